//! How fast, beside a stock server and beside a server that only counts requests: the physical limit of the machine.
//!
//! Servers run on one processor and the load generator on the other; the servers take turns within each round, and the
//! median of the rounds counts. Processor time is what a server costs; wall time also holds what the generator costs.

mod memory;
mod sync;
mod types;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::process::{self, cpu_seconds, free_port};
use harness::{Client, Context, Program, Result, Server, bail, wait};

use crate::args::Args;
use crate::build;

const SERVER_CPU: u32 = 0;
const LOAD_CPU: u32 = 1;
const PIPELINES: [u64; 3] = [1, 16, 128];
const KEYS: u64 = 1_000_000;
const VALUE_BYTES: u64 = 64;

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
        sync::run(&plans, &skein, &other)?;
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
