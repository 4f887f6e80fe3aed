//! What threads for sockets bring: the same load on servers with 1, 2 and 4 of them, ours and the stock one.
//!
//! Nothing is bound to a processor: servers and the load generator share all there are, and how many these are is printed
//! first. Where the generator has none to itself, a server that takes more processor time can only be slower.

use std::process::{Command, Stdio};

use harness::{Context, Program, Result, Server, bail};

use super::load::Rate;
use crate::args::Args;
use crate::build;

const THREADS: [&str; 3] = ["1", "2", "4"];
/// Few: what sockets cost is asked here, not what memory does.
const KEYS: u64 = 10_000;
/// So many random writes leave hardly a key out.
const FILL: u64 = 3 * KEYS;

struct Row {
    name: &'static str,
    command: &'static str,
    bytes: u64,
    pipeline: u64,
}

static ROWS: &[Row] = &[
    row("GET P=1, 64 bytes", "get", 64, 1),
    row("SET P=1, 64 bytes", "set", 64, 1),
    row("GET P=16, 64 bytes", "get", 64, 16),
    row("SET P=16, 64 bytes", "set", 64, 16),
    row("GET P=1, 16 KiB", "get", 16 << 10, 1),
    row("SET P=1, 16 KiB", "set", 16 << 10, 1),
];

const fn row(name: &'static str, command: &'static str, bytes: u64, pipeline: u64) -> Row {
    Row {
        name,
        command,
        bytes,
        pipeline,
    }
}

struct Plan {
    benchmark: std::path::PathBuf,
    rounds: u64,
    requests: u64,
    /// Threads of the generator: half of the processors, so that it is not what is measured.
    generators: usize,
}

pub fn run(args: &Args) -> Result<bool> {
    let quick = args.flag("quick");
    let processors = std::thread::available_parallelism()?.get();
    let plan = Plan {
        benchmark: harness::stock::ensure("redis-benchmark")?,
        rounds: args.number("rounds", if quick { 1 } else { 3 })?,
        requests: args.number("requests", if quick { 10_000 } else { 200_000 })?,
        generators: (processors / 2).max(1),
    };
    let servers = [Program::stock()?, build::subject_in(args, "release")?];
    println!(
        "io-threads on {processors} processors, which servers and a generator of {} thread(s) share; 50 connections, reads \
         threaded, too;\nthousands of requests per second of wall time (and per second of the server's processors), \
         medians of {} interleaved rounds",
        plan.generators, plan.rounds
    );
    if processors < 4 {
        println!("With so few processors this shows what threads cost, not what they bring.");
    }
    let mut header = format!("\n{:<20}", "");
    for server in &servers {
        for threads in THREADS {
            header += &format!("{:>18}", format!("{} {threads}", server.name));
        }
    }
    println!("{header}   ours, 2 and 4 of 1");
    for row in ROWS {
        compare(&plan, &servers, row)?;
    }
    Ok(true)
}

fn compare(plan: &Plan, servers: &[Program], row: &Row) -> Result<()> {
    let columns: Vec<(&Program, &str)> = servers
        .iter()
        .flat_map(|server| THREADS.map(|threads| (server, threads)))
        .collect();
    let mut rates = vec![Vec::new(); columns.len()];
    for _ in 0..plan.rounds {
        for ((server, threads), rates) in columns.iter().zip(&mut rates) {
            rates.push(plan.measure(server, threads, row)?);
        }
    }
    let medians: Vec<Rate> = rates.iter().map(|rates| Rate::median(rates)).collect();
    let mut line = format!("{:<20}", row.name);
    for rate in &medians {
        line += &format!("{:>18}", format!("{:.1} ({:.1})", rate.per_wall, rate.per_cpu));
    }
    let ours = &medians[THREADS.len()..];
    println!(
        "{line}   {:.2}, {:.2}",
        ours[1].per_wall / ours[0].per_wall,
        ours[2].per_wall / ours[0].per_wall
    );
    Ok(())
}

impl Plan {
    fn measure(&self, program: &Program, threads: &str, row: &Row) -> Result<Rate> {
        let server = Server::start(program, &[("io-threads", threads), ("io-threads-do-reads", "yes")])?;
        let requests = if row.pipeline > 1 {
            self.requests * 4
        } else {
            self.requests
        };
        self.load(row, "set", FILL, 16, server.port())?;
        let rate = Rate::of(server.pid(), requests, || {
            self.load(row, row.command, requests, row.pipeline, server.port())
        })?;
        let helped: u64 = server
            .info_field("stats", "io_threaded_writes_processed")?
            .parse()
            .context(|| "reading INFO".to_owned())?;
        // What is printed must be what threads did.
        if (threads == "1") != (helped == 0) {
            bail!(
                "{} with io-threads {threads}: threads wrote {helped} times",
                program.name
            );
        }
        Ok(rate)
    }

    fn load(&self, row: &Row, command: &str, requests: u64, pipeline: u64, port: u16) -> Result<()> {
        let output = Command::new(&self.benchmark)
            .args(["-p", &port.to_string(), "-t", command, "-n", &requests.to_string()])
            .args(["-P", &pipeline.to_string(), "-d", &row.bytes.to_string()])
            .args(["-r", &KEYS.to_string(), "-c", "50", "-q"])
            .args(["--threads", &self.generators.to_string()])
            .stdin(Stdio::null())
            .output()
            .context(|| "running redis-benchmark")?;
        let complained = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || complained.contains("Error") {
            bail!("redis-benchmark {command}: {complained}");
        }
        Ok(())
    }
}
