//! How fast, beside a stock server and beside a server that only counts requests: the physical limit of the machine.
//!
//! Servers run on one processor and the load generator on the other; the servers take turns within each round, and the
//! median of the rounds counts. Processor time is what a server costs; wall time also holds what the generator costs.

mod bounds;
mod commands;
mod io_threads;
mod load;
mod memory;
mod soak;
mod statistics;
mod sync;
mod types;

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use harness::process::{self, free_port};
use harness::{Client, Program, Result, bail, wait};

use crate::args::Args;
use crate::build;

const SERVER_CPU: u32 = 0;
const LOAD_CPU: u32 = 1;

struct Plans {
    /// The servers to stand beside: the stock one first.
    peers: Vec<Program>,
    benchmark: PathBuf,
    rounds: u64,
    /// Requests of one measurement at pipeline 1; pipelined ones are so many times eight.
    requests: u64,
    sync_keys: u64,
    /// Collections are filled with one member in so many.
    fill_share: u64,
}

const PARTS: [&str; 5] = ["commands", "types", "memory", "frozen", "sync"];

pub fn run(args: &Args) -> Result<bool> {
    let part = args.rest().first().copied();
    match part {
        Some("bounds") => return bounds::run(args),
        Some("soak") => return soak::run(args),
        Some("io-threads") => return io_threads::run(args),
        Some(name) if !PARTS.contains(&name) => {
            bail!(
                "there is no part '{name}' of bench; there are {}, io-threads, bounds, soak",
                PARTS.join(", ")
            )
        }
        _ => {}
    }
    let quick = args.flag("quick");
    let against = args.values("against");
    let plans = Plans {
        peers: [Program::stock()?]
            .into_iter()
            .chain(against.into_iter().map(peer))
            .collect(),
        benchmark: harness::stock::ensure("redis-benchmark")?,
        rounds: args.number("rounds", if quick { 1 } else { 3 })?,
        requests: args.number("requests", if quick { 50_000 } else { 300_000 })?,
        sync_keys: args.number("keys", if quick { 100_000 } else { 2_000_000 })?,
        fill_share: if quick { 50 } else { 1 },
    };
    let skein = build::subject_in(args, "release")?;
    let wanted = |name: &str| part.is_none_or(|part| part == name);
    if wanted("commands") {
        commands::run(&plans, &skein)?;
    }
    if wanted("types") {
        types::run(&plans, &skein)?;
    }
    if wanted("memory") {
        memory::run(&plans, &skein)?;
    }
    if wanted("frozen") {
        types::run_frozen(&plans, &skein)?;
    }
    if wanted("sync") {
        sync::run(&plans, &skein, &plans.peers[0])?;
    }
    Ok(true)
}

/// `PATH` or `NAME=PATH` of another server.
fn peer(text: &str) -> Program {
    let (name, path) = text.split_once('=').unwrap_or(("other", text));
    Program::at(name, &PathBuf::from(path))
}

/// A running null server.
struct Null {
    child: Child,
    port: u16,
}

impl Null {
    fn start() -> Result<Self> {
        let port = free_port()?;
        let program = std::env::current_exe()?;
        let child = process::spawn(&PathBuf::from("taskset"), |command| {
            command.args(["-c", &SERVER_CPU.to_string()]).arg(&program).args([
                "null-server",
                "--port",
                &port.to_string(),
            ]);
        })?;
        let null = Self { child, port };
        wait::until("the null server", Duration::from_secs(5), || {
            Client::connect(port)?.call(&["PING"])?;
            Ok(None)
        })?;
        Ok(null)
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Null {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What issue 4 asks of a figure, and what it is.
struct Target {
    what: &'static str,
    wanted: f64,
    sign: &'static str,
    /// 1 is reached; 2 is missed by a factor of two.
    missed_by: f64,
}

impl Target {
    fn at_least(what: &'static str, wanted: f64, is: f64) -> Self {
        Self {
            what,
            wanted,
            sign: ">=",
            missed_by: wanted / is,
        }
    }

    fn at_most(what: &'static str, wanted: f64, is: f64) -> Self {
        Self {
            what,
            wanted,
            sign: "<=",
            missed_by: is / wanted,
        }
    }
}

/// `null >= 0.92 reached, best >= 2 missed by x 1.10`.
fn verdict(targets: impl IntoIterator<Item = Target>) -> String {
    let parts = targets.into_iter().map(|target| {
        let Target {
            what,
            wanted,
            sign,
            missed_by,
        } = target;
        // What is not a number has not been reached.
        if missed_by <= 1.0 {
            format!("{what} {sign} {wanted} reached")
        } else {
            format!("{what} {sign} {wanted} missed by x {missed_by:.2}")
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_reached_or_missed_by_so_much() {
        assert_eq!(
            verdict([Target::at_least("null", 0.9, 0.9), Target::at_most("bytes", 50.0, 60.0)]),
            "null >= 0.9 reached, bytes <= 50 missed by x 1.20"
        );
        assert_eq!(
            verdict([Target::at_least("best", 2.0, 0.0)]),
            "best >= 2 missed by x inf"
        );
    }
}
