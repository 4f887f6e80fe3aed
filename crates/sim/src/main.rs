//! `skein-sim [--seeds N | --seeds FROM..TO] [--seed S [--trace]]`: plays seeds; one seed is replayed with its story.

use std::process::ExitCode;

const USAGE: &str = "skein-sim [--seeds N | --seeds FROM..TO]   plays many seeds, 1,000 unless told
skein-sim --seed S [--trace]               replays one, with the end of its story or all of it";

/// How many lines of a failing seed's story are printed among others.
const STORY_LINES: usize = 12;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let played = match words.as_slice() {
        [] => Some(many(0, 1000)),
        ["--seed", seed] => seed.parse().ok().map(|seed| one(&sim::run(seed), seed)),
        ["--seed", seed, "--trace"] | ["--trace", "--seed", seed] => seed.parse().ok().map(aloud),
        ["--seeds", range] => parse_range(range).map(|(from, to)| many(from, to)),
        _ => None,
    };
    played.unwrap_or_else(|| {
        eprintln!("{USAGE}");
        ExitCode::from(2)
    })
}

fn parse_range(text: &str) -> Option<(u64, u64)> {
    match text.split_once("..") {
        Some((from, to)) => Some((from.parse().ok()?, to.parse().ok()?)),
        None => Some((0, text.parse().ok()?)),
    }
}

fn one(report: &sim::Report, seed: u64) -> ExitCode {
    report.trace.iter().for_each(|line| println!("{line}"));
    conclude(report, seed)
}

fn aloud(seed: u64) -> ExitCode {
    conclude(&sim::run_aloud(seed, |line| println!("{line}")), seed)
}

fn conclude(report: &sim::Report, seed: u64) -> ExitCode {
    println!("seed {seed}: digest {:016x}, {:?}", report.digest, report.counts);
    match &report.failure {
        None => ExitCode::SUCCESS,
        Some(what) => {
            println!("FAILED: {what}");
            ExitCode::FAILURE
        }
    }
}

fn many(from: u64, to: u64) -> ExitCode {
    let mut failed = 0;
    let mut counts = sim::Counts::default();
    for seed in from..to {
        // Panics abort in optimised builds: this is what is left to say then.
        std::panic::set_hook(Box::new(move |panic| {
            println!("seed {seed}: {panic}\n  {}", replay(seed))
        }));
        let report = sim::run(seed);
        counts.add(&report.counts);
        if let Some(what) = &report.failure {
            failed += 1;
            println!("seed {seed}: {what}");
            let skipped = report.trace.len().saturating_sub(STORY_LINES);
            report.trace[skipped..].iter().for_each(|line| println!("    {line}"));
            println!("  {}", replay(seed));
        }
    }
    println!(
        "{} seeds, {failed} failed; {} commands, {} stops, {} full and {} partial resynchronizations, {} failed loads, {} \
         comparisons",
        to - from,
        counts.commands,
        counts.stops,
        counts.full,
        counts.partial,
        counts.failed_loads,
        counts.comparisons
    );
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn replay(seed: u64) -> String {
    format!("replay: cargo run --profile fast -p skein-sim -- --seed {seed} --trace")
}
