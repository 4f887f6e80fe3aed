//! The oracle: the same random commands to two servers, one of them stock, and the same replies from both.
//!
//! A run is made of epochs of some thousand steps. An epoch begins with empty servers and ends with comparing all keys,
//! and follows from its seed alone. When servers part, the epoch is shrunk to a short transcript.

mod garbage;
mod generate;
mod grammar;
mod keyspaces;
mod pubsub;
mod run;
mod shrink;
mod volatile;

use std::collections::BTreeSet;
use std::time::Instant;

use harness::Rng;
use harness::{Program, Reply, Result, Server};

use crate::args::Args;
use crate::build;
use generate::{Choice, Generator};
use run::{Encoding, Mismatch, Pair, Step};

/// Steps of one epoch.
const EPOCH: usize = 2_000;
/// Steps printed of a mismatch.
const TRANSCRIPT_MAX: usize = 40;
/// Different mismatches after which a run ends.
const MISMATCHES_MAX: usize = 12;

pub fn run(args: &Args) -> Result<bool> {
    let commands = args.number("commands", 500_000)?;
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
    let payloads = payloads(&mut pair)?;
    let groups = grammar::groups();
    let names = |option: &str| -> Vec<String> {
        let given = args.value(option).into_iter().flat_map(|names| names.split(','));
        given.map(ToOwned::to_owned).collect()
    };
    let choice = Choice {
        only: names("only"),
        without: names("without"),
    };

    let mut found = BTreeSet::new();
    let mut epoch = 0;
    while pair.compared < commands && found.len() < MISMATCHES_MAX {
        let rng = Rng::new(seed.wrapping_mul(1_000_003).wrapping_add(epoch));
        let steps = Generator::new(rng, &groups, &payloads).steps(EPOCH, &choice);
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
    println!("{}", errors(&pair));
    println!(
        "{} passed, {} failed",
        epoch - (found.len() as u64).min(epoch),
        found.len()
    );
    Ok(found.is_empty())
}

/// How many of the replies were errors, per command: what is never tried in earnest is not tested.
fn errors(pair: &Pair) -> String {
    let (replies, errors) = pair
        .replies
        .values()
        .fold((0, 0), |(replies, errors), (r, e)| (replies + r, errors + e));
    let mut text = format!("{errors} of {replies} replies were errors; per command, in percent:");
    let mut shown: Vec<_> = pair.replies.iter().filter(|(_, (replies, _))| *replies >= 20).collect();
    shown.sort_by_key(|(name, (replies, errors))| (std::cmp::Reverse(100 * errors / replies), *name));
    for (index, (name, (replies, errors))) in shown.into_iter().enumerate() {
        text.push_str(if index.is_multiple_of(8) { "\n  " } else { ", " });
        text.push_str(&format!("{name} {}", 100 * errors / replies));
    }
    text
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
    let [a, b] = around_difference(&mismatch.a, &mismatch.b);
    println!("  a: {a}\n  b: {b}");
    Ok(())
}

/// The parts of two texts around where they begin to differ.
fn around_difference(a: &str, b: &str) -> [String; 2] {
    const BEFORE: usize = 150;
    const SHOWN: usize = 700;
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let skipped = if same > SHOWN / 2 { same - BEFORE } else { 0 };
    [a, b].map(|text| {
        let part: String = text.chars().skip(skipped).take(SHOWN).collect();
        if skipped > 0 { format!("… {part}") } else { part }
    })
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
            commands,
            encoding,
        } => {
            let how = if *encoding == Encoding::Inline { " inline" } else { "" };
            let lines = commands
                .iter()
                .map(|words| format!("connection {session}{how}> {}", shown(words)));
            lines.collect::<Vec<_>>().join("\n  ")
        }
        Step::Sweep { words, .. } => format!("new connection> {} ... from the first cursor to the last", shown(words)),
        Step::Raw { bytes, password } => {
            let with = if *password { " with a password set" } else { "" };
            let clip: String = bytes.escape_ascii().to_string().chars().take(300).collect();
            format!("new connection{with}> {clip}")
        }
    }
}

/// What DUMP gives for values of all types, small and large, and the same with a byte changed, cut, or of a later version;
/// each with the type that it is of.
fn payloads(pair: &mut Pair) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut client = pair.first()?;
    let mut payloads = Vec::new();
    let long = "long and the same ".repeat(40);
    let many: Vec<String> = (0..700).map(|n| format!("m{n}")).collect();
    let numbers: Vec<String> = (0..60).map(|n| (n * n * 50_000).to_string()).collect();
    let some = &many[..20];
    let pairs = |members: &[String]| -> Vec<String> {
        let pairs = members
            .iter()
            .enumerate()
            .flat_map(|(n, member)| [n.to_string(), member.clone()]);
        pairs.collect()
    };
    let words = |words: &[&str]| -> Vec<String> { words.iter().map(|word| (*word).to_owned()).collect() };
    let x300 = "x".repeat(300);
    let mut cases: Vec<(&'static str, &str, Vec<String>)> = Vec::new();
    for value in ["12", "-30000", "2000000000", "99999999999", "short", "", &long, &x300] {
        cases.push(("string", "SET", words(&[value])));
    }
    cases.push(("list", "RPUSH", words(&["a", "1", "-70000", &long])));
    cases.push(("list", "RPUSH", many.clone()));
    cases.push(("set", "SADD", words(&["1", "2", "70000"])));
    cases.push(("set", "SADD", numbers));
    cases.push(("set", "SADD", words(&["a", "b", "3"])));
    cases.push(("set", "SADD", many.clone()));
    cases.push(("hash", "HSET", pairs(some)));
    cases.push(("hash", "HSET", pairs(&many)));
    cases.push(("hash", "HSET", words(&["f", &long])));
    cases.push(("zset", "ZADD", pairs(some)));
    cases.push(("zset", "ZADD", pairs(&many)));
    cases.push(("hll", "PFADD", some.to_vec()));
    cases.push(("stream", "XADD", words(&["5-1", "f", "v", "g", "w"])));
    for (kind, command, values) in cases {
        client.ok(&["DEL", "k"])?;
        pair.know(&values);
        let mut call = vec![command.to_owned(), "k".to_owned()];
        call.extend(values);
        client.ok(&call)?;
        if kind == "stream" {
            client.ok(&["XADD", "k", "6-1", "f", "v"])?;
            client.ok(&["XGROUP", "CREATE", "k", "g1", "0"])?;
            client.ok(&["XREADGROUP", "GROUP", "g1", "alice", "COUNT", "1", "STREAMS", "k", ">"])?;
        }
        payloads.push((kind, client.ok(&["DUMP", "k"])?.bytes().unwrap_or_default().to_vec()));
    }
    let good = payloads[4].1.clone();
    let harmed = [Vec::new(), b"junk".to_vec(), good[..good.len() - 1].to_vec()];
    payloads.extend(harmed.map(|payload| ("string", payload)));
    for at in [0, 2, good.len() - 9, good.len() - 1] {
        let mut harmed = good.clone();
        harmed[at] ^= 0x40;
        payloads.push(("string", harmed));
    }
    client.ok(&["FLUSHALL"])?;
    Ok(payloads)
}
