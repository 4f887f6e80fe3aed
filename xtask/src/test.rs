//! Everything that proves the project, in one run with one closing line.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use harness::process::find_program;
use harness::{Context, Result, bail};

use crate::args::Args;
use crate::build;
use crate::report::{FAILED, Report};

/// Files of the stock suite that have much to do with sockets, run once more with threads that read and write them.
const THREADED_FILES: &[&str] = &[
    "integration/replication-4",
    "unit/obuf-limits",
    "unit/type/list",
    "unit/networking",
    "unit/protocol",
    "unit/pubsub",
    "unit/querybuf",
    "unit/pendingquerybuf",
    "unit/tracking",
    "unit/client-eviction",
    "unit/pause",
    "unit/multi",
];

pub fn run(args: &Args) -> Result<bool> {
    let quick = args.flag("quick");
    let start = Instant::now();
    let mut report = Report::default();
    for name in ["redis-server", "redis-cli"] {
        harness::stock::ensure(name)?;
    }
    report.case("format", || cargo(&["fmt", "--all", "--", "--check"]));
    report.case("clippy", || {
        cargo(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    });
    unit_tests(&mut report)?;
    part(&mut report, &["tidy"])?;
    part(&mut report, &["fuzz", "--seconds", if quick { "2" } else { "10" }])?;
    let mut build_failed = true;
    report.case("build", || {
        let outcome = cargo(&["build", "--quiet", "--profile", "fast", "--package", "skein-server"]);
        build_failed = outcome.is_err();
        outcome
    });
    part(&mut report, &["sim", "--seeds", if quick { "200" } else { "1000" }])?;
    if !build_failed {
        let size = |full: &'static str, small: &'static str| if quick { small } else { full };
        part(&mut report, &["tutorial"])?;
        part(&mut report, &["oracle", "--commands", size("500000", "20000")])?;
        let members = size("200000", "20000");
        part(
            &mut report,
            &["interop", "--keys", size("200000", "5000"), "--members", members],
        )?;
        part(&mut report, &["faults", "--trials", size("200", "20")])?;
        part(&mut report, &["long-sync", "--megabytes", size("1000", "100")])?;
        part(&mut report, &["tcl"])?;
        let threaded = [&["tcl", "--io-threads", "4"], THREADED_FILES].concat();
        part(&mut report, &threaded)?;
        part(&mut report, &["memcheck"])?;
        report.case("bench runs", || bench(quick));
        report.case("bounds are measured", bounds);
        part(&mut report, &["bench", "soak", "--seconds", "20", "--profile", "fast"])?;
        // The checks themselves: harmed on purpose, they must fail.
        for words in [
            &["tutorial", "--tamper"][..],
            &["oracle", "--commands", "4000", "--tamper"],
            &[
                "interop",
                "--keys",
                "1000",
                "--members",
                "2000",
                "--tamper",
                "partial resync",
            ],
            &["faults", "--trials", "2", "--tamper"],
            &["bench", "soak", "--seconds", "20", "--profile", "fast", "--tamper"],
        ] {
            report.case(&format!("fails when it should: {}", words[0]), || must_fail(words));
        }
    }
    println!("all in {:.0} s", start.elapsed().as_secs_f64());
    Ok(report.finish())
}

/// The benchmark, small: that it runs and compares, not what it measures.
fn bench(quick: bool) -> Result<String> {
    let (requests, keys) = if quick { ("5000", "20000") } else { ("20000", "100000") };
    let output = own(&["bench", "--quick", "--requests", requests, "--keys", keys])?
        .output()
        .context(|| "starting the benchmark")?;
    if !output.status.success() {
        bail!("the benchmark failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(String::new())
}

/// The bounds, small: that they are measured, and what comes out. Verdicts are for a machine at rest and full sizes.
fn bounds() -> Result<String> {
    let words = ["bench", "bounds", "--quick", "--rounds", "3", "--profile", "fast"];
    let output = own(&words)?.output().context(|| "starting the benchmark of bounds")?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    match text.lines().rev().find_map(closing_line) {
        Some((kept, missed)) => Ok(format!("{kept} kept, {missed} missed")),
        None => bail!("it did not end: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn cargo(args: &[&str]) -> Result<String> {
    if !build::cargo(args)? {
        bail!("cargo {} failed", args.join(" "));
    }
    Ok(String::new())
}

/// Runs a program, passes its output on line by line, and gives all of it.
fn watch(mut command: Command) -> Result<(String, bool)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context(|| "starting a part of the tests")?;
    let mut seen = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("  {line}");
            seen.push_str(&line);
            seen.push('\n');
        }
    }
    Ok((seen, child.wait()?.success()))
}

/// Another task of ours, in a process of its own; its closing line is added to the count.
fn part(report: &mut Report, words: &[&str]) -> Result<()> {
    println!("{}", words.join(" "));
    let start = Instant::now();
    let (seen, success) = watch(own(words)?)?;
    let closing = seen.lines().rev().find_map(closing_line);
    match closing {
        Some((passed, failed)) if success == (failed == 0) => report.add(passed, failures(words[0], &seen, failed)),
        _ => report.count(
            words[0],
            Err("ended without a closing line that fits".into()),
            start.elapsed().as_secs_f64(),
        ),
    }
    println!("  {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The names of a part's failures, so many: as it said them, or its own.
fn failures(part: &str, seen: &str, count: u64) -> Vec<String> {
    let said = seen.lines().filter_map(|line| line.strip_prefix(FAILED));
    let mut names: Vec<String> = said.map(|name| format!("{part}: {name}")).collect();
    names.resize_with(count as usize, || part.to_owned());
    names
}

fn own(words: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).current_dir(build::root());
    Ok(command)
}

fn must_fail(words: &[&str]) -> Result<String> {
    let output = own(words)?.output().context(|| "starting a part of the tests")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().rev().find_map(closing_line) {
        Some((_, failed)) if failed > 0 && !output.status.success() => Ok(format!("{failed} failures found")),
        _ => bail!("xtask {} did not notice:\n{text}", words.join(" ")),
    }
}

/// `N passed, N failed`, and perhaps `, N left out`.
fn closing_line(line: &str) -> Option<(u64, u64)> {
    let (passed, rest) = line.trim().split_once(" passed, ")?;
    let (failed, rest) = rest.split_once(" failed")?;
    if !rest.is_empty() {
        let left_out = rest.strip_prefix(", ")?.strip_suffix(" left out")?;
        left_out.parse::<u64>().ok()?;
    }
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

fn unit_tests(report: &mut Report) -> Result<()> {
    let start = Instant::now();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(build::root()).stderr(Stdio::piped());
    let nextest = find_program("cargo-nextest").is_some();
    if nextest {
        command.args([
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--status-level",
            "fail",
            "--color",
            "never",
        ]);
    } else {
        command.args(["test", "--quiet", "--workspace", "--no-fail-fast"]);
    }
    println!("unit tests");
    let output = command.output().context(|| "running the unit tests")?;
    let text = [
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    ]
    .concat();
    let (mut passed, mut failed) = (0, 0);
    for line in text.lines() {
        // "Summary [ 1.2s] 12 tests run: 11 passed, 1 failed" or "test result: ok. 11 passed; 1 failed; ...".
        if line.contains("Summary [") || line.starts_with("test result:") {
            let words: Vec<&str> = line.split([' ', ',', ';']).filter(|w| !w.is_empty()).collect();
            let before = |name: &str| -> u64 {
                let counts = words
                    .windows(2)
                    .filter(|pair| pair[1].starts_with(name))
                    .map(|pair| pair[0].parse().unwrap_or(0));
                counts.sum()
            };
            passed += before("passed");
            failed += before("failed") + before("timed");
        }
    }
    if !output.status.success() {
        println!("{text}");
    }
    if output.status.success() == (failed == 0) && passed > 0 {
        report.add(passed, failures("unit tests", "", failed));
    } else {
        report.count(
            "unit tests",
            Err("they do not build or did not run".into()),
            start.elapsed().as_secs_f64(),
        );
    }
    println!(
        "  {passed} passed, {failed} failed, {:.0} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_keep_the_names_that_a_part_gave_them() {
        let seen = "a 1 passed 1 failed\nfailed: a: first\n  failed: not at the margin\n3 passed, 2 failed";
        assert_eq!(failures("tcl", seen, 2), ["tcl: a: first", "tcl"]);
        assert_eq!(failures("tcl", "", 0), [""; 0]);
    }

    #[test]
    fn closing_lines_are_told_from_others() {
        assert_eq!(closing_line("12 passed, 3 failed"), Some((12, 3)));
        assert_eq!(closing_line("  0 passed, 0 failed"), Some((0, 0)));
        assert_eq!(closing_line("2074 passed, 0 failed, 620 left out"), Some((2074, 0)));
        assert_eq!(closing_line("12 passed, 3 failed, 4 skipped"), None);
        assert_eq!(closing_line("file  12 passed   0 failed   1 left out    3 s"), None);
        assert_eq!(closing_line("ok  something (1.0 s)"), None);
    }
}
