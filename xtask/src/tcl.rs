//! The stock test suite against our server. Its source is fetched from the distribution when this runs, and none of it is
//! ever kept here: only the list of files to run, and of those left out with the reason (`xtask/tcl.list`).

mod list;
mod outcome;
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use harness::{Context, Program, Result};

use crate::args::Args;
use crate::build;
use crate::report::Report;
use list::Entry;
use outcome::Outcome;

/// Seconds that one file of the suite may take.
const FILE_SECONDS: u64 = 600;
/// Files that run side by side if nothing else is said: most of their time they wait.
const LANES: u64 = 3;
/// If more files fail than these, it is not for want of time, and they are not run again.
const UNLUCKY_FILES: usize = 6;
/// Ports of one lane.
const LANE_PORTS: u16 = 200;
/// The first port if nothing else is said: above those of our own tests, and all lanes below those the kernel gives to outgoing connections.
const FIRST_PORT: u16 = 30_200;

pub fn run(args: &Args) -> Result<bool> {
    let program = build::subject(args)?;
    let (mut entries, unrun) = list::read()?;
    let wanted = args.rest();
    if !wanted.is_empty() {
        entries.retain(|entry| wanted.contains(&entry.file.as_str()));
        // A file that is not on the list may be tried too.
        for file in &wanted {
            if entries.iter().all(|entry| entry.file != *file) {
                entries.push(Entry::whole(file));
            }
        }
    }
    let bench = Bench {
        suite: &suite::prepare(&program)?,
        program: &program,
        verbose: args.flag("verbose"),
        io_threads: args.number("io-threads", 1)?,
        first_port: args.number("port", FIRST_PORT.into())? as u16,
    };
    let mut report = Report::default();
    let mut left = LeftOut::default();
    let outcomes: Result<Vec<Outcome>> = bench
        .run_all(&entries, args.number("lanes", LANES)?)
        .into_iter()
        .collect();
    let outcomes = outcomes?;
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    for (entry, mut outcome) in entries.iter().zip(outcomes) {
        if failed <= UNLUCKY_FILES {
            outcome = bench.settle(entry, outcome)?;
        }
        let failures = outcome.failures.iter();
        let named = failures.map(|failure| format!("{}: {}", entry.file, failure.lines().next().unwrap_or_default()));
        report.add(outcome.passed, named.collect::<Vec<_>>());
        left.add(entry, outcome);
    }
    for (file, reason) in unrun.iter().filter(|_| wanted.is_empty()) {
        left.add_file(file, reason, outcome::names(&suite::source(bench.suite, file)?));
    }
    left.print();
    report.leave_out(left.count());
    Ok(report.finish())
}

/// The tests that were not run, each with the reason.
#[derive(Default)]
struct LeftOut {
    /// By reason: file and test.
    tests: BTreeMap<String, BTreeSet<(String, String)>>,
}

impl LeftOut {
    /// Adds what a run of a file left out.
    fn add(&mut self, entry: &Entry, outcome: Outcome) {
        let cut = entry.cut.first().map(|(_, reason)| reason.as_str());
        let listed = outcome.skipped.into_iter().map(|test| {
            let known = entry.skipped.iter().find(|(name, _)| *name == test);
            (known.map_or("the list says so", |(_, reason)| reason.as_str()), test)
        });
        let tagged = outcome.ignored.into_iter().map(|test| ("its tags keep it out", test));
        let unreached = outcome
            .unreached
            .into_iter()
            .map(|test| (cut.unwrap_or("never reached"), test));
        for (reason, test) in listed.chain(tagged).chain(unreached) {
            let tests = self.tests.entry(reason.to_owned()).or_default();
            tests.insert((entry.file.clone(), test));
        }
    }

    /// Adds all tests of a file.
    fn add_file(&mut self, file: &str, reason: &str, names: BTreeSet<String>) {
        let tests = self.tests.entry(reason.to_owned()).or_default();
        tests.extend(names.into_iter().map(|test| (file.to_owned(), test)));
    }

    fn count(&self) -> usize {
        self.tests.values().map(BTreeSet::len).sum()
    }

    fn print(&self) {
        for (reason, tests) in &self.tests {
            println!("left out, {reason}: {}", tests.len());
            for (file, test) in tests {
                println!("    {file}: {test}");
            }
        }
    }
}

/// Where the files of one lane run.
struct Lane {
    dir: PathBuf,
    /// The first of its ports.
    port: u16,
}

/// What is run, and where.
struct Bench<'a> {
    suite: &'a Path,
    program: &'a Program,
    verbose: bool,
    /// With more than one, helpers read and write every socket, however little there is for them.
    io_threads: u64,
    first_port: u16,
}

impl Bench<'_> {
    /// Runs all files in so many lanes, each lane taking the next file that none has taken; the outcomes in the list's
    /// order.
    fn run_all(&self, entries: &[Entry], lanes: u64) -> Vec<Result<Outcome>> {
        let next = AtomicUsize::new(0);
        let outcomes: Vec<Mutex<Option<Result<Outcome>>>> = entries.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for lane in 0..lanes.clamp(1, 8) as u16 {
                let (next, outcomes) = (&next, &outcomes);
                scope.spawn(move || {
                    let place = self.lane(lane);
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(entry) = entries.get(at) else { break };
                        let outcome = match &place {
                            Ok(place) => self.run_file(entry, place, ""),
                            Err(error) => Err(error.to_string().into()),
                        };
                        *outcomes[at].lock().unwrap_or_else(|poison| poison.into_inner()) = Some(outcome);
                    }
                });
            }
        });
        let taken = outcomes.into_iter().map(|outcome| {
            let outcome = outcome.into_inner().unwrap_or_else(|poison| poison.into_inner());
            outcome.unwrap_or_else(|| Err("the file was not run".into()))
        });
        taken.collect()
    }

    fn lane(&self, number: u16) -> Result<Lane> {
        let dir = suite::lane(self.suite, number)?;
        Ok(Lane {
            dir,
            port: self.first_port + number * LANE_PORTS,
        })
    }

    /// The suite's own timing is tight for a machine that others use too: a file that failed among others is run again with
    /// nothing beside it, twice at most, and counts as it does then. Each run is printed.
    fn settle(&self, entry: &Entry, mut outcome: Outcome) -> Result<Outcome> {
        for note in ["once more, alone: ", "and again: "] {
            if outcome.failures.is_empty() {
                break;
            }
            outcome = self.run_file(entry, &self.lane(0)?, note)?;
        }
        Ok(outcome)
    }

    /// Runs a file once; what came of its tests.
    fn run_file(&self, entry: &Entry, lane: &Lane, note: &str) -> Result<Outcome> {
        let start = Instant::now();
        let file = suite::cut(&lane.dir, entry)?;
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=10", &FILE_SECONDS.to_string()])
            .args(["tclsh", "tests/test_helper.tcl", "--single", &file])
            .args([
                "--baseport",
                &lane.port.to_string(),
                "--portcount",
                &LANE_PORTS.to_string(),
            ])
            .args(["--clients", "1", "--durable", "--dont-clean"])
            .current_dir(&lane.dir);
        if self.program.path.file_name().is_none_or(|name| name != "redis-server") {
            command.args(["--config", "unbuilt-directives", "warn"]);
            if self.io_threads > 1 {
                command.args(["--config", "io-threads-always-active", "yes"]);
            }
        }
        if self.io_threads > 1 {
            command.args(["--config", "io-threads", &self.io_threads.to_string()]);
            command.args(["--config", "io-threads-do-reads", "yes"]);
        }
        for (name, _) in &entry.skipped {
            command.args(["--skiptest", name]);
        }
        let output = command.output().context(|| "running the suite")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let outcome = Outcome::read(&uncoloured(&text), &suite::source(self.suite, &entry.file)?);
        let mut said = if self.verbose { text.into_owned() } else { String::new() };
        let _ = write!(
            said,
            "{:<40} {:>4} passed {:>3} failed {:>3} left out {:>4.0} s",
            format!("{note}{}", entry.file),
            outcome.passed,
            outcome.failures.len(),
            outcome.left_out(),
            start.elapsed().as_secs_f64()
        );
        for failure in &outcome.failures {
            let _ = write!(said, "\n    {failure}");
        }
        // In one piece: other lanes print too.
        println!("{said}");
        Ok(outcome)
    }
}

/// Without the escape sequences of colours.
fn uncoloured(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    out
}
