//! The stock load generator, on its own processor, and what a server spends while it runs.

use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::Instant;

use harness::process::CpuTime;
use harness::reply::write_command;
use harness::{Client, Context, Result, bail};

use super::statistics::median;
use super::{LOAD_CPU, Plans};

/// What the generator sends.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// `#` stands for a random number below `range`, of twelve digits.
    pub command: &'a str,
    pub range: u64,
    pub pipeline: u64,
    pub requests: u64,
}

impl Load<'_> {
    /// Sends it all, from 50 connections; a single request from one.
    pub fn run(&self, plans: &Plans, port: u16) -> Result<()> {
        let Self {
            command,
            range,
            pipeline,
            requests,
        } = *self;
        let connections = if requests == 1 { "1" } else { "50" };
        let output = Command::new("taskset")
            .args(["-c", &LOAD_CPU.to_string()])
            .arg(&plans.benchmark)
            .args(["-p", &port.to_string(), "-n", &requests.to_string()])
            .args(["-P", &pipeline.min(requests).to_string(), "-r", &range.to_string()])
            .args(["-c", connections, "-q"])
            .args(command.replace('#', "__rand_int__").split(' '))
            .stdin(Stdio::null())
            .output()
            .context(|| "running redis-benchmark")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || complained.contains("Error") {
            bail!("redis-benchmark {command}: {said}{complained}");
        }
        Ok(())
    }
}

/// Thousands of requests per second of processor time, and of wall time.
#[derive(Clone, Copy)]
pub struct Rate {
    pub per_cpu: f64,
    pub per_wall: f64,
}

impl Rate {
    /// What process `pid` spends on so many requests while `work` runs.
    pub fn of(pid: u32, requests: u64, work: impl FnOnce() -> Result<()>) -> Result<Self> {
        let (cpu, start) = (CpuTime::of(pid)?, Instant::now());
        work()?;
        let (cpu, wall) = (CpuTime::of(pid)?.seconds_since(&cpu), start.elapsed().as_secs_f64());
        let thousands = requests as f64 / 1_000.0;
        // A hundredth of a second is what the kernel counts in where it has nothing finer.
        Ok(Self {
            per_cpu: thousands / cpu.max(0.001),
            per_wall: thousands / wall,
        })
    }

    pub fn median(rates: &[Self]) -> Self {
        Self {
            per_cpu: median(rates.iter().map(|rate| rate.per_cpu)),
            per_wall: median(rates.iter().map(|rate| rate.per_wall)),
        }
    }
}

/// Sends the command of each number, many at a time.
pub fn fill(client: &mut Client, range: Range<u64>, command: fn(u64) -> Vec<String>) -> Result<()> {
    const BATCH: u64 = 500;
    let mut next = range.start;
    while next < range.end {
        let batch = BATCH.min(range.end - next);
        let mut out = Vec::new();
        (next..next + batch).for_each(|n| write_command(&mut out, &command(n)));
        client.send_raw(&out)?;
        for _ in 0..batch {
            client.reply()?;
        }
        next += batch;
    }
    Ok(())
}
