//! How fast, beside a stock server and beside a server that only counts requests: the physical limit of the machine.
//!
//! Servers run on one processor and the load generator on the other; the servers take turns within each round, and the
//! median of the rounds counts. Processor time is what a server costs; wall time also holds what the generator costs.

mod memory;
mod types;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::load::{Plan, Probe, Writer, fill, quantile};
use harness::process::{self, cpu_seconds, free_port, status_kb};
use harness::server::replicate;
use harness::{Client, Context, Program, Result, Server, bail, wait};

use crate::args::Args;
use crate::build;

const SERVER_CPU: u32 = 0;
const LOAD_CPU: u32 = 1;
const PIPELINES: [u64; 3] = [1, 16, 128];
const KEYS: u64 = 1_000_000;
const VALUE_BYTES: u64 = 64;
/// Seconds without answer before a sync is given up.
const SYNC_TIMEOUT: Duration = Duration::from_secs(180);

struct Plans {
    benchmark: PathBuf,
    rounds: u64,
    /// Requests of one measurement at pipeline 1; pipelined ones are so many times eight.
    requests: u64,
    sync_keys: u64,
    /// Collections are filled with one member in so many.
    fill_share: u64,
}

pub fn run(args: &Args) -> Result<bool> {
    let quick = args.flag("quick");
    let plans = Plans {
        benchmark: harness::stock::ensure("redis-benchmark")?,
        rounds: args.number("rounds", if quick { 1 } else { 3 })?,
        requests: args.number("requests", if quick { 50_000 } else { 300_000 })?,
        sync_keys: args.number("keys", if quick { 100_000 } else { 2_000_000 })?,
        fill_share: if quick { 50 } else { 1 },
    };
    let skein = build::subject_in(args, "release")?;
    let other = match args.path("against") {
        Some(path) => Program::at("other", &path),
        None => Program::stock()?,
    };
    let wanted = |name: &str| args.rest().first().is_none_or(|part| *part == name);
    if wanted("commands") {
        commands(&plans, &skein, &other)?;
    }
    if wanted("types") {
        types::run(&plans, &skein, &other)?;
    }
    if wanted("memory") {
        memory::run(&plans, &skein, &other)?;
    }
    if wanted("frozen") {
        types::run_frozen(&plans, &skein, &other)?;
    }
    if wanted("sync") {
        syncs(&plans, &skein, &other)?;
    }
    Ok(true)
}

/// A server to measure, of whatever kind.
enum Measured {
    Server(Server),
    Null { child: Child, port: u16 },
}

impl Measured {
    fn null() -> Result<Self> {
        let port = free_port()?;
        let program = std::env::current_exe()?;
        let child = process::spawn(&PathBuf::from("taskset"), |command| {
            command.args(["-c", &SERVER_CPU.to_string()]).arg(&program).args([
                "null-server",
                "--port",
                &port.to_string(),
            ]);
        })?;
        wait::until("the null server", Duration::from_secs(5), || {
            Client::connect(port)?.call(&["PING"])?;
            Ok(None)
        })?;
        Ok(Self::Null { child, port })
    }

    fn port(&self) -> u16 {
        match self {
            Self::Server(server) => server.port(),
            Self::Null { port, .. } => *port,
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Server(server) => server.pid(),
            Self::Null { child, .. } => child.id(),
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if let Self::Null { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Thousands of requests per second of processor time, and of wall time.
#[derive(Clone, Copy)]
struct Rate {
    per_cpu: f64,
    per_wall: f64,
}

fn commands(plans: &Plans, skein: &Program, other: &Program) -> Result<()> {
    println!(
        "GET and SET, {VALUE_BYTES}-byte values, {KEYS} random keys, 50 connections; thousands of requests per second;\n\
         medians of {} rounds\n",
        plans.rounds
    );
    println!(
        "{:<14}{:>10}{:>10}{:>10}{:>9}{:>9}   {:>10}{:>10}{:>10}{:>9}",
        "",
        "null/cpu",
        &format!("{}/cpu", other.name),
        "skein/cpu",
        "x other",
        "of null",
        "null/wall",
        &format!("{}/wall", other.name),
        "skein/wall",
        "x other"
    );
    for name in ["GET", "SET"] {
        for pipeline in PIPELINES {
            let mut rates: [Vec<Rate>; 3] = Default::default();
            for _ in 0..plans.rounds {
                for (kind, rates) in rates.iter_mut().enumerate() {
                    let server = match kind {
                        0 => Measured::null()?,
                        1 => Measured::Server(Server::start_pinned(other, &[], Some(SERVER_CPU))?),
                        _ => Measured::Server(Server::start_pinned(skein, &[], Some(SERVER_CPU))?),
                    };
                    rates.push(measure(plans, &server, name, pipeline)?);
                }
            }
            let [null, stock, ours] = rates.map(|rates| median(&rates));
            println!(
                "{:<14}{:>10.0}{:>10.0}{:>10.0}{:>9.2}{:>9.2}   {:>10.0}{:>10.0}{:>10.0}{:>9.2}",
                format!("{name} P={pipeline}"),
                null.per_cpu,
                stock.per_cpu,
                ours.per_cpu,
                ours.per_cpu / stock.per_cpu,
                ours.per_cpu / null.per_cpu,
                null.per_wall,
                stock.per_wall,
                ours.per_wall,
                ours.per_wall / stock.per_wall
            );
        }
    }
    println!();
    Ok(())
}

fn median(rates: &[Rate]) -> Rate {
    let middle = |of: fn(&Rate) -> f64| {
        let mut all: Vec<f64> = rates.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Rate {
        per_cpu: middle(|r| r.per_cpu),
        per_wall: middle(|r| r.per_wall),
    }
}

fn measure(plans: &Plans, server: &Measured, name: &str, pipeline: u64) -> Result<Rate> {
    let mut requests = plans.requests * if pipeline > 1 { 8 } else { 1 };
    if let Measured::Server(server) = server
        && name == "GET"
    {
        benchmark(plans, server.port(), "set", 64, KEYS.min(requests * 4))?;
    } else {
        benchmark(plans, server.port(), &name.to_lowercase(), pipeline, requests / 10)?; // Warm.
    }
    requests -= requests % pipeline;
    let (cpu, start) = (cpu_seconds(server.pid())?, Instant::now());
    benchmark(plans, server.port(), &name.to_lowercase(), pipeline, requests)?;
    let (cpu, wall) = (cpu_seconds(server.pid())? - cpu, start.elapsed().as_secs_f64());
    let thousands = requests as f64 / 1_000.0;
    // The kernel counts processor time in hundredths of a second.
    Ok(Rate {
        per_cpu: thousands / cpu.max(0.01),
        per_wall: thousands / wall,
    })
}

/// Runs the stock load generator on its own processor.
fn benchmark(plans: &Plans, port: u16, test: &str, pipeline: u64, requests: u64) -> Result<()> {
    let output = Command::new("taskset")
        .args(["-c", &LOAD_CPU.to_string()])
        .arg(&plans.benchmark)
        .args([
            "-p",
            &port.to_string(),
            "-t",
            test,
            "-n",
            &requests.max(1_000).to_string(),
            "-P",
            &pipeline.to_string(),
        ])
        .args([
            "-r",
            &KEYS.to_string(),
            "-d",
            &VALUE_BYTES.to_string(),
            "-c",
            "50",
            "-q",
        ])
        .stdin(Stdio::null())
        .output()
        .context(|| "running redis-benchmark")?;
    if !output.status.success() {
        bail!(
            "redis-benchmark: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// What one full sync cost.
struct Sync {
    seconds: f64,
    writes_before: f64,
    writes_during: f64,
    probe_before_us: u32,
    probe_us: u32,
    probe_worst_us: u32,
    /// Of the primary: without a sync, and at its peak (its child's included).
    memory_kb: u64,
    peak_kb: u64,
    replica_peak_kb: u64,
}

fn syncs(plans: &Plans, skein: &Program, other: &Program) -> Result<()> {
    println!(
        "A full sync of {} keys of 100 bytes under writes, diskless; medians of {} rounds\n",
        plans.sync_keys, plans.rounds
    );
    let mut results: [Vec<Sync>; 2] = Default::default();
    for _ in 0..plans.rounds {
        for (program, results) in [other, skein].into_iter().zip(&mut results) {
            results.push(sync(program, plans.sync_keys)?);
        }
    }
    println!("{:<44}{:>14}{:>14}{:>9}", "", other.name, "skein", "ratio");
    let row = |title: &str, unit: &str, of: &dyn Fn(&Sync) -> f64| {
        let [a, b] = [0, 1].map(|i: usize| {
            let mut all: Vec<f64> = results[i].iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        });
        println!(
            "{:<44}{a:>14.1}{b:>14.1}{:>9.2}",
            format!("{title}, {unit}"),
            b / a.max(0.001)
        );
    };
    row("until caught up", "s", &|s| s.seconds);
    row("writes before", "thousands/s", &|s| s.writes_before / 1_000.0);
    row("writes while it syncs", "thousands/s", &|s| s.writes_during / 1_000.0);
    row("writes kept", "%", &|s| 100.0 * s.writes_during / s.writes_before);
    row("probe p99.9 before", "ms", &|s| f64::from(s.probe_before_us) / 1_000.0);
    row("probe p99.9 while it syncs", "ms", &|s| f64::from(s.probe_us) / 1_000.0);
    row("probe worst while it syncs", "ms", &|s| {
        f64::from(s.probe_worst_us) / 1_000.0
    });
    row("memory of the primary before", "MB", &|s| s.memory_kb as f64 / 1_024.0);
    row("peak memory of the primary", "MB", &|s| s.peak_kb as f64 / 1_024.0);
    row("peak memory of the replica", "MB", &|s| {
        s.replica_peak_kb as f64 / 1_024.0
    });
    Ok(())
}

fn sync(program: &Program, keys: u64) -> Result<Sync> {
    let settings = [
        ("repl-diskless-sync", "yes"),
        ("repl-diskless-sync-delay", "0"),
        ("repl-backlog-size", "64mb"),
    ];
    let limits = [("client-output-buffer-limit", "replica 0 0 0")];
    let settings = [&settings[..], &limits].concat();
    let primary = Server::start(program, &settings)?;
    let replica = Server::start(program, &settings)?;
    fill(&primary, keys, 100)?;
    let plan = Plan {
        keys,
        set_bytes: Some(100),
        pipeline: 16,
        at_most: SYNC_TIMEOUT,
        ..Plan::default()
    };
    let writer = Writer::start(&primary, plan)?;
    let (probe, done, start) = (Probe::start(&primary)?, writer.done(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let writes_before = (writer.done() - done) as f64 / start.elapsed().as_secs_f64();
    let before = probe.stop()?;
    let memory_kb = status_kb(primary.pid(), "VmRSS")?;

    let (probe, done, start) = (Probe::start(&primary)?, writer.done(), Instant::now());
    replicate(&replica, primary.port())?;
    let mut children_kb = 0;
    wait::until("caught up", SYNC_TIMEOUT, || {
        children_kb = children_kb.max(children_private_kb(primary.pid()));
        let ours = primary.info("replication")?;
        let state = ours
            .values()
            .find(|v| v.contains("state=online"))
            .cloned()
            .unwrap_or_default();
        let acknowledged = state
            .split(',')
            .find_map(|part| part.strip_prefix("offset=")?.parse::<u64>().ok())
            .unwrap_or(0);
        let offset = ours
            .get("master_repl_offset")
            .and_then(|v| v.parse::<u64>().ok())
            .unwrap_or(0);
        // Within a second of writes is caught up: acknowledgements come once a second.
        let near = offset.saturating_sub(acknowledged) < 200 * writes_before as u64;
        Ok((!near || acknowledged == 0).then(|| format!("acknowledged {acknowledged} of {offset}")))
    })
    .map_err(|error| format!("{error}\n{}\n{}", primary.log_tail(10), replica.log_tail(10)))?;
    let seconds = start.elapsed().as_secs_f64();
    let writes_during = (writer.done() - done) as f64 / seconds;
    let during = probe.stop()?;
    writer.stop()?;
    Ok(Sync {
        seconds,
        writes_before,
        writes_during,
        probe_before_us: quantile(&before, 999),
        probe_us: quantile(&during, 999),
        probe_worst_us: during.last().copied().unwrap_or(0),
        memory_kb,
        peak_kb: status_kb(primary.pid(), "VmHWM")? + children_kb,
        replica_peak_kb: status_kb(replica.pid(), "VmHWM")?,
    })
}

/// Memory that the children of a process hold for themselves: what a fork costs.
fn children_private_kb(pid: u32) -> u64 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let private = |child: &str| -> u64 {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{child}/smaps_rollup")) else {
            return 0;
        };
        let lines = text.lines().filter(|l| l.starts_with("Private_Dirty:"));
        lines
            .filter_map(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum()
    };
    children.split_whitespace().map(private).sum()
}
