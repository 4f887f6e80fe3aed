//! The oracle: the same random commands to two servers, one of them stock, and the same replies from both.
//!
//! A run is made of epochs of some thousand steps. An epoch begins with empty servers and ends with comparing all keys,
//! and follows from its seed alone. When servers part, the epoch is shrunk to a short transcript.

mod garbage;
mod generate;
mod grammar;
mod run;
mod shrink;
mod volatile;

use std::collections::BTreeSet;
use std::time::Instant;

use harness::Rng;
use harness::{Program, Reply, Result, Server};

use crate::args::Args;
use crate::build;
use generate::Generator;
use run::{Encoding, Mismatch, Pair, Step};

/// Steps of one epoch.
const EPOCH: usize = 2_000;
/// Steps printed of a mismatch.
const TRANSCRIPT_MAX: usize = 40;
/// Different mismatches after which a run ends.
const MISMATCHES_MAX: usize = 12;

pub fn run(args: &Args) -> Result<bool> {
    let commands = args.number("commands", 120_000)?;
    let seed = args.number("seed", 1)?;
    let a = match args.path("a") {
        Some(path) => Program::at("a", &path),
        None => Program::stock()?,
    };
    let b = match args.path("b") {
        Some(path) => Program::at("b", &path),
        None => build::subject(args)?,
    };
    let start = Instant::now();
    println!("oracle: {} against {}, seed {seed}", a.path.display(), b.path.display());
    let mut pair = Pair::new(
        Server::start(&a, SETTINGS)?,
        Server::start(&b, SETTINGS)?,
        args.flag("tamper"),
    )?;
    let payloads = payloads(&pair)?;
    let forms = grammar::forms();

    let mut found = BTreeSet::new();
    let mut epoch = 0;
    while pair.compared < commands && found.len() < MISMATCHES_MAX {
        let rng = Rng::new(seed.wrapping_mul(1_000_003).wrapping_add(epoch));
        let steps = Generator {
            rng,
            forms: &forms,
            payloads: &payloads,
        }
        .steps(EPOCH);
        if let Some(mismatch) = pair.run(&steps)? {
            report(&mut pair, &steps, mismatch, &mut found)?;
        }
        epoch += 1;
    }
    println!(
        "{} commands compared in {epoch} epochs, {:.1} s; {} different mismatches",
        pair.compared,
        start.elapsed().as_secs_f64(),
        found.len()
    );
    println!(
        "{} passed, {} failed",
        epoch - (found.len() as u64).min(epoch),
        found.len()
    );
    Ok(found.is_empty())
}

/// Settings of both servers.
const SETTINGS: &[(&str, &str)] = &[
    ("enable-protected-configs", "yes"),
    ("repl-diskless-sync-delay", "0"),
    // Slow moments of the machine must not show.
    ("slowlog-log-slower-than", "-1"),
];

/// Shrinks a mismatch that has not been seen before, and prints it.
fn report(pair: &mut Pair, steps: &[Step], mismatch: Mismatch, found: &mut BTreeSet<String>) -> Result<()> {
    let key = |m: &Mismatch| {
        format!(
            "{} {}",
            m.topic,
            m.why.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
        )
    };
    if !found.insert(key(&mismatch)) {
        return Ok(());
    }
    if let Some(log) = pair.crash() {
        println!("\nthe second server ended; the end of its log:\n{log}");
    }
    let (short, mismatch) = shrink::shrink(pair, steps, &mismatch)?;
    println!("\n--- mismatch at {}: {}", mismatch.topic, mismatch.why);
    let hidden = short.len().saturating_sub(TRANSCRIPT_MAX);
    if hidden > 0 {
        println!("  ({hidden} steps before these; a mismatch that needs many may be one of time: try again)");
    }
    for step in &short[hidden..] {
        println!("  {}", transcript(step));
    }
    let clip = |text: &str| text.chars().take(600).collect::<String>();
    println!("  a: {}\n  b: {}", clip(&mismatch.a), clip(&mismatch.b));
    Ok(())
}

/// A step as a person would type it.
fn transcript(step: &Step) -> String {
    let shown = |words: &[Vec<u8>]| {
        let quoted = words.iter().map(|word| match word.len() {
            0..=80 => format!("\"{}\"", word.escape_ascii()),
            n => format!("\"{}...\"({n} bytes)", word[..40].escape_ascii()),
        });
        quoted.collect::<Vec<_>>().join(" ")
    };
    match step {
        Step::Command {
            session,
            words,
            encoding,
        } => {
            let how = if *encoding == Encoding::Inline { " inline" } else { "" };
            format!("connection {session}{how}> {}", shown(words))
        }
        Step::Sweep { words } => format!("new connection> SCAN 0 {} ... to the end", shown(words)),
        Step::Raw { bytes, password } => {
            let with = if *password { " with a password set" } else { "" };
            let clip: String = bytes.escape_ascii().to_string().chars().take(300).collect();
            format!("new connection{with}> {clip}")
        }
    }
}

/// What DUMP gives for some strings, and the same with a byte changed, cut, or of a later version.
fn payloads(pair: &Pair) -> Result<Vec<Vec<u8>>> {
    let mut client = pair.first()?;
    let mut payloads = Vec::new();
    for value in [
        "12",
        "-30000",
        "2000000000",
        "99999999999",
        "short",
        "",
        &"long and the same ".repeat(40),
        &"x".repeat(300),
    ] {
        client.ok(&["SET", "k", value])?;
        payloads.push(client.ok(&["DUMP", "k"])?.bytes().unwrap_or_default().to_vec());
    }
    let good = payloads[4].clone();
    payloads.extend([Vec::new(), b"junk".to_vec(), good[..good.len() - 1].to_vec()]);
    for at in [0, 2, good.len() - 9, good.len() - 1] {
        let mut harmed = good.clone();
        harmed[at] ^= 0x40;
        payloads.push(harmed);
    }
    client.ok(&["FLUSHALL"])?;
    Ok(payloads)
}
