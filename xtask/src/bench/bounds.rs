//! The bounds that the design promises, each with its measured figure and a verdict.
//!
//! Pauses are measured inside one process (`crates/node/examples/bounds`), idle connections on the real server. A bound
//! is missed when the longest *step* is over it, by the median of the step's rounds: what the machine adds falls on other
//! steps in each round. The longest single time of all stands beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::process::{self, status_kb};
use harness::{Client, Context, Program, Result, Server, bail, ensure, wait};

use super::SERVER_CPU;
use crate::args::Args;
use crate::build;

const MICROSECOND: f64 = 1_000.0;
const FREEZE_NS: f64 = 1_000.0 * MICROSECOND;
const FIRST_WRITE_NS: f64 = 10.0 * MICROSECOND;
const GROWTH_NS: f64 = 50.0 * MICROSECOND;
const COLLECTION_NS: f64 = 50.0 * MICROSECOND;
const IDLE_BYTES: f64 = 4_096.0;
/// Where the bound of a freeze is promised.
const PROMISED_KEYS: f64 = 100e6;

struct Plan {
    rounds: u64,
    /// Numbers of keys to freeze.
    keys: [u64; 3],
    growth: u64,
    members: u64,
    string_bytes: u64,
    connections: usize,
}

impl Plan {
    fn of(args: &Args) -> Result<Self> {
        Ok(if args.flag("quick") {
            Self {
                rounds: args.number("rounds", 5)?,
                keys: [100_000, 400_000, 1_600_000],
                growth: 400_000,
                members: 100_000,
                string_bytes: 64 << 20,
                connections: 2_000,
            }
        } else {
            Self {
                rounds: args.number("rounds", 9)?,
                keys: [1_000_000, 4_000_000, 16_000_000],
                growth: 4_000_000,
                members: 1_000_000,
                string_bytes: 512 << 20,
                connections: 10_000,
            }
        })
    }
}

pub fn run(args: &Args) -> Result<bool> {
    let plan = Plan::of(args)?;
    let profile = args.value("profile").unwrap_or("release");
    let program = match args.path("program") {
        Some(path) => path,
        None => build_example(profile)?,
    };
    let program = program.as_path();
    let server = build::subject_in(args, profile)?;
    println!(
        "Pauses in microseconds. A step (one write, one freeze) is timed alone, in {} rounds of the same steps; its own time is\n\
         the shorter of wall and processor time. Steps on shared data find nothing of it in the processor's caches, only the\n\
         program; with `code cold too` not even that; `nothing frozen` is a plain write to cold data. Columns: the median step;\n\
         the longest step, by the median of its rounds, which the bound holds for; the longest single time seen\n",
        plan.rounds
    );
    println!(
        "{:<46}{:>8}{:>10}{:>12}{:>12}{:>8}",
        "", "steps", "median", "longest", "seen once", "bound"
    );
    let mut sheet = Sheet::default();
    snapshots(&plan, program, &mut sheet)?;
    growth(&plan, program, &mut sheet)?;
    for kind in ["hash", "set", "zset", "list", "stream"] {
        for figure in measure(program, kind, plan.members, plan.rounds)? {
            let name = format!("{} to a frozen {kind} of {}", figure.name, count(plan.members));
            match figure.name.as_str() {
                "code cold too" => reference("  the same, code cold too", &figure),
                _ => sheet.pause(&name, &figure, COLLECTION_NS),
            }
        }
    }
    for figure in measure(program, "setbit", plan.string_bytes, plan.rounds)? {
        let name = format!("{}, SETBIT in a frozen {} MB", figure.name, plan.string_bytes >> 20);
        match figure.name.as_str() {
            "code cold too" => reference("  the same, code cold too", &figure),
            _ => sheet.pause(&name, &figure, COLLECTION_NS),
        }
    }
    idle_connections(&server, plan.connections, &mut sheet)?;
    Ok(sheet.finish())
}

/// Every rows' verdict, counted.
#[derive(Default)]
struct Sheet {
    kept: u64,
    missed: Vec<String>,
}

impl Sheet {
    fn pause(&mut self, name: &str, figure: &Figure, bound: f64) {
        let verdict = self.judge(name, figure.longest, bound);
        println!("{}{:>8.1}  {verdict}", figure.columns(name), bound / MICROSECOND);
    }

    fn judge(&mut self, name: &str, value: f64, bound: f64) -> String {
        if value <= bound {
            self.kept += 1;
            "kept".into()
        } else {
            self.missed.push(name.into());
            format!("MISSED: {:.2} times the bound", value / bound)
        }
    }

    fn finish(self) -> bool {
        println!();
        for name in &self.missed {
            println!("missed: {name}");
        }
        println!("{} passed, {} failed", self.kept, self.missed.len());
        self.missed.is_empty()
    }
}

/// What the program measured, in nanoseconds.
struct Figure {
    name: String,
    steps: u64,
    median: f64,
    longest: f64,
    single: f64,
}

/// A figure without a bound, to compare others with.
fn reference(name: &str, figure: &Figure) {
    println!("{}{:>8}", figure.columns(name), "-");
}

impl Figure {
    fn columns(&self, name: &str) -> String {
        format!(
            "{name:<46}{:>8}{:>10.1}{:>12.1}{:>12.1}",
            self.steps,
            self.median / MICROSECOND,
            self.longest / MICROSECOND,
            self.single / MICROSECOND
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let name = fields.next()?.to_owned();
        let mut number = || fields.next()?.parse::<u64>().ok();
        Some(Self {
            name,
            steps: number()?,
            median: number()? as f64,
            longest: number()? as f64,
            single: number()? as f64,
        })
    }
}

/// The program that measures.
fn build_example(profile: &str) -> Result<PathBuf> {
    let words = ["build", "--quiet", "--profile", profile, "--package", "skein-node"];
    if !build::cargo(&[&words[..], &["--example", "bounds"]].concat())? {
        bail!("the program that measures does not build");
    }
    Ok(build::target_dir().join(profile).join("examples").join("bounds"))
}

/// Has the program do without a thread that prepares huge pages.
const SMALL_PAGES: Option<(&str, &str)> = Some(("SMALL_PAGES", "1"));

/// Runs one part in a process of its own.
fn measure(program: &Path, part: &str, size: u64, rounds: u64) -> Result<Vec<Figure>> {
    measure_with(None, program, part, size, rounds)
}

fn measure_with(
    variables: Option<(&str, &str)>,
    program: &Path,
    part: &str,
    size: u64,
    rounds: u64,
) -> Result<Vec<Figure>> {
    let output = Command::new("taskset")
        .args(["-c", &SERVER_CPU.to_string()])
        .arg(program)
        .args([part, &size.to_string(), &rounds.to_string()])
        .envs(variables)
        .stdin(Stdio::null())
        .output()
        .context(|| format!("running {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "measuring {part}: {said}{complained}");
    let mut figures = Vec::new();
    for line in said.lines() {
        match line.strip_prefix('#') {
            Some(note) => println!(" {note}"),
            None => figures.push(Figure::parse(line).ok_or_else(|| format!("measuring {part}: {line}"))?),
        }
    }
    ensure!(!figures.is_empty(), "measuring {part} gave nothing: {complained}");
    Ok(figures)
}

/// Growth as the server grows, and again where nothing prepares huge pages, so that each small one is cleared when it is
/// touched.
fn growth(plan: &Plan, program: &Path, sheet: &mut Sheet) -> Result<()> {
    let rounds = plan.rounds.min(5);
    for (how, variables) in [("", None), (", small pages", SMALL_PAGES)] {
        for figure in measure_with(variables, program, "growth", plan.growth, rounds)? {
            let name = format!("an insert, 0 to {} keys{how}", count(plan.growth));
            match variables {
                None => sheet.pause(&name, &figure, GROWTH_NS),
                Some(_) => reference(&name, &figure),
            }
        }
    }
    Ok(())
}

fn snapshots(plan: &Plan, program: &Path, sheet: &mut Sheet) -> Result<()> {
    let mut freezes = Vec::new();
    for keys in plan.keys {
        for figure in measure(program, "snapshot", keys, plan.rounds)? {
            let (name, bound) = match figure.name.as_str() {
                "freeze" => {
                    freezes.push((keys as f64, figure.longest));
                    (format!("freeze of {} keys, cold", count(keys)), FREEZE_NS)
                }
                "first write" => (
                    format!("first write after it, {} keys, cold", count(keys)),
                    FIRST_WRITE_NS,
                ),
                "shared segment" => (
                    format!("first write to a segment, {} keys", count(keys)),
                    FIRST_WRITE_NS,
                ),
                other => {
                    reference(&format!("  the same, {other}"), &figure);
                    continue;
                }
            };
            sheet.pause(&name, &figure, bound);
        }
    }
    let (slope, expected) = extrapolate(&freezes, PROMISED_KEYS);
    let verdict = sheet.judge("freeze of 100 M keys", expected, FREEZE_NS);
    println!(
        "{:<46}{:>8}{:>10}{:>12.1}{:>12}{:>8.1}  {verdict} (a line through the three: {:.3} us more per million keys)",
        "freeze of 100 M keys, extrapolated",
        "",
        "",
        expected / MICROSECOND,
        "",
        FREEZE_NS / MICROSECOND,
        slope * 1e6 / MICROSECOND
    );
    Ok(())
}

/// The slope of the line nearest to the points, and what it says at `x`; never less than the largest value seen, since
/// a falling line is noise.
fn extrapolate(points: &[(f64, f64)], x: f64) -> (f64, f64) {
    let (slope, intercept) = super::statistics::line(points);
    let largest = points.iter().map(|point| point.1).fold(0.0, f64::max);
    (slope, (intercept + slope * x).max(largest))
}

fn count(number: u64) -> String {
    match number {
        n if n >= 1_000_000 && n % 100_000 == 0 => format!("{} M", n as f64 / 1e6),
        n => format!("{} k", n / 1_000),
    }
}

/// Resident memory of the real server before and after so many connections, opened, and once used.
fn idle_connections(program: &Program, wanted: usize, sheet: &mut Sheet) -> Result<()> {
    const RUNS: usize = 3;
    const SPARE_DESCRIPTORS: usize = 100;
    let limit = process::raise_file_limit((wanted + SPARE_DESCRIPTORS) as u64)?;
    let connections = wanted.min((limit as usize).saturating_sub(SPARE_DESCRIPTORS));
    let (mut opened, mut used) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let [before, open, after] = idle_run(program, connections)?;
        let each = |now: u64| (now.saturating_sub(before) * 1024) as f64 / connections as f64;
        opened.push(each(open));
        used.push(each(after));
    }
    println!(
        "\n{:<46}{:>18}{:>12}{:>8}",
        "bytes for an idle connection", "median", "worst", "bound"
    );
    for (name, mut all) in [("opened", opened), ("after a command through each", used)] {
        all.sort_by(f64::total_cmp);
        let title = format!("{connections} connections, {name}");
        let verdict = sheet.judge(&title, all[RUNS / 2], IDLE_BYTES);
        println!(
            "{title:<46}{:>18.0}{:>12.0}{IDLE_BYTES:>8.0}  {verdict}",
            all[RUNS / 2],
            all[RUNS - 1]
        );
    }
    Ok(())
}

/// Resident kB of the server: before, with all connections open, and after each was used.
fn idle_run(program: &Program, connections: usize) -> Result<[u64; 3]> {
    let maxclients = (connections + 32).to_string();
    let server = Server::start(program, &[("maxclients", &maxclients)])?;
    // What the first connection brings with it is the server's, not a connection's.
    let mut first = server.client()?;
    first.ok(&["PING"])?;
    let before = status_kb(server.pid(), "VmRSS")?;
    let mut clients = (0..connections)
        .map(|_| Client::connect(server.port()))
        .collect::<Result<Vec<_>>>()?;
    wait::until("all connections accepted", Duration::from_secs(30), || {
        let now: usize = server.info_field("clients", "connected_clients")?.parse().unwrap_or(0);
        Ok((now < connections).then(|| format!("{now} of {connections}")))
    })?;
    let opened = status_kb(server.pid(), "VmRSS")?;
    for client in &mut clients {
        client.ok(&["PING"])?;
    }
    // Time for the server to give back the buffers of those that fell silent.
    std::thread::sleep(Duration::from_secs(3));
    let used = status_kb(server.pid(), "VmRSS")?;
    Ok([before, opened, used])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_falls_promises_nothing() {
        let (slope, at_ten) = extrapolate(&[(1.0, 5.0), (2.0, 6.0), (3.0, 7.0)], 10.0);
        assert!((slope - 1.0).abs() < 1e-9 && (at_ten - 14.0).abs() < 1e-9);
        let (_, at_ten) = extrapolate(&[(1.0, 7.0), (2.0, 6.0), (3.0, 5.0)], 10.0);
        assert!((at_ten - 7.0).abs() < 1e-9);
    }

    #[test]
    fn over_the_bound_is_missed() {
        let mut sheet = Sheet::default();
        assert_eq!(sheet.judge("a", 10.0, 10.0), "kept");
        assert_eq!(sheet.judge("b", 20.0, 10.0), "MISSED: 2.00 times the bound");
        assert!(!sheet.finish());
    }
}
