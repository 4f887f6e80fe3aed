//! `skein-sim --seed N` replays one seed and shows what happened; `skein-sim [--seeds FROM..TO]` plays many.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--seed", seed] => match seed.parse() {
            Ok(seed) => one(seed),
            Err(_) => usage(),
        },
        [] => many(0, 1000),
        ["--seeds", range] => match range.split_once("..").map(|(from, to)| (from.parse(), to.parse())) {
            Some((Ok(from), Ok(to))) => many(from, to),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("skein-sim [--seed N | --seeds FROM..TO]");
    ExitCode::from(2)
}

fn one(seed: u64) -> ExitCode {
    let report = sim::run(seed);
    for line in &report.trace {
        println!("{line}");
    }
    println!("seed {seed}: digest {:016x}", report.digest);
    match report.failure {
        None => ExitCode::SUCCESS,
        Some(what) => {
            println!("FAILED: {what}");
            ExitCode::FAILURE
        }
    }
}

fn many(from: u64, to: u64) -> ExitCode {
    let mut failed = 0;
    let (mut full, mut partial) = (0, 0);
    for seed in from..to {
        let played = std::panic::catch_unwind(|| sim::run(seed));
        let failure = match played {
            Ok(report) => {
                full += report.syncs.0;
                partial += report.syncs.1;
                report.failure
            }
            Err(_) => Some("panicked".to_owned()),
        };
        if let Some(what) = failure {
            failed += 1;
            println!("seed {seed}: {what}");
        }
    }
    println!(
        "{} seeds, {failed} failed; {full} full and {partial} partial resynchronizations",
        to - from
    );
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
