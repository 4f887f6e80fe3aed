//! A full sync: how long until the replica is caught up, and what clients and memory feel of it.
//!
//! ```text
//! processor 0   the primary, all its threads and children
//! processor 1   the replica, the writer, the probe
//!
//! ── fill ──► writes ──► REPLICAOF ──► frozen ──── sent, loaded, swapped in ────► caught up
//!             before     │◄──────────── seconds, writes kept, probe, memory ───────────►│
//! ```
//!
//! Idle, caught up means: the replica has every byte of the primary's stream. Under writes that never quite happens; there
//! it means that the replica lacks less than a quarter of a second of writes. Both are asked of the replica itself, which
//! tells its primary only once a second.

use std::process::Command;
use std::time::{Duration, Instant};

use harness::load::{Plan, Probe, Writer, fill, quantile};
use harness::process::status_kb;
use harness::server::replicate;
use harness::{Context, Error, Program, Reply, Result, Server, bail, wait};

use super::{LOAD_CPU, Plans, SERVER_CPU};

/// How long a sync may take before it is given up.
const SYNC_TIMEOUT: Duration = Duration::from_secs(180);
const VALUE_BYTES: usize = 100;
/// A sync so small that what it costs is what does not depend on the size.
const SMALL_KEYS: u64 = 100_000;
/// How often the children of the primary are looked at: it costs them something.
const CHILDREN_INTERVAL: Duration = Duration::from_millis(250);
/// About what a write of the benchmark takes in the stream.
const STREAM_BYTES_PER_WRITE: f64 = 140.0;

/// What the primary has to do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// Nothing but the probe's questions.
    Idle,
    /// One client that overwrites random keys, sixteen at a time, as fast as it gets answers.
    Writes,
}

/// What one full sync cost.
#[derive(Default)]
struct Sync {
    seconds: f64,
    /// Processor time of both sides until caught up.
    primary_cpu: f64,
    replica_cpu: f64,
    writes_before: f64,
    writes_during: f64,
    probe_before_us: u32,
    probe_median_us: u32,
    probe_us: u32,
    probe_worst_us: u32,
    /// Of the primary: without a sync, and at its peak (its child's included).
    memory_kb: f64,
    peak_kb: f64,
    /// What was written to the stream between the freeze and the end.
    stream_kb: f64,
    replica_peak_kb: f64,
}

impl Sync {
    fn kept(&self) -> f64 {
        self.writes_during / self.writes_before.max(1.0)
    }

    /// Peak memory beyond the stream's bytes, as a multiple of what it was without a sync.
    fn factor(&self) -> f64 {
        (self.peak_kb - self.stream_kb) / self.memory_kb
    }
}

pub fn run(plans: &Plans, skein: &Program, other: &Program) -> Result<()> {
    bind(&LOAD_CPU.to_string())?;
    let outcome = measure_all(plans, skein, other);
    bind(&format!("{SERVER_CPU},{LOAD_CPU}"))?;
    outcome
}

fn measure_all(plans: &Plans, skein: &Program, other: &Program) -> Result<()> {
    println!(
        "Full syncs, diskless, strings of {VALUE_BYTES} bytes; the primary on one processor, replica, writer and probe on the \
         other; medians of {} rounds\n",
        plans.rounds
    );
    let mut sizes = vec![plans.sync_keys];
    sizes.extend((plans.sync_keys > SMALL_KEYS).then_some(SMALL_KEYS));
    for keys in sizes {
        for load in [Load::Idle, Load::Writes] {
            let mut results: [Vec<Sync>; 2] = Default::default();
            for _ in 0..plans.rounds {
                for (program, results) in [other, skein].into_iter().zip(&mut results) {
                    results.push(sync(program, keys, load)?);
                }
            }
            report(keys, load, &other.name, &results);
        }
    }
    Ok(())
}

/// Binds all threads of this process to processors; those to come are bound alike.
fn bind(cpus: &str) -> Result<()> {
    let output = Command::new("taskset")
        .args(["-a", "-c", "-p", cpus, &std::process::id().to_string()])
        .output()
        .context(|| "running taskset")?;
    if !output.status.success() {
        bail!("taskset: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn report(keys: u64, load: Load, other: &str, results: &[Vec<Sync>; 2]) {
    let (title, seconds) = match load {
        Load::Idle => (format!("{keys} keys, idle"), Some(2.5)),
        Load::Writes => (format!("{keys} keys, under writes"), Some(5.0)),
    };
    println!("{title:<44}{other:>12}{:>12}{:>9}{:>11}", "skein", "ratio", "wanted");
    let row = |title: &str, wanted: Option<f64>, of: &dyn Fn(&Sync) -> f64| {
        let [a, b] = [0, 1].map(|side: usize| {
            let mut all: Vec<f64> = results[side].iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        });
        let wanted = wanted.map_or(String::new(), |wanted| format!("{wanted:.2}"));
        println!("{title:<44}{a:>12.2}{b:>12.2}{:>9.2}{wanted:>11}", b / a.max(0.001));
    };
    row("until caught up, s", seconds.filter(|_| keys > SMALL_KEYS), &|s| {
        s.seconds
    });
    row("processor time of the primary, s", None, &|s| s.primary_cpu);
    row("processor time of the replica, s", None, &|s| s.replica_cpu);
    if load == Load::Writes {
        row("writes before, thousands/s", None, &|s| s.writes_before / 1_000.0);
        row("writes kept", Some(0.7), &Sync::kept);
    }
    let ms = |us: u32| f64::from(us) / 1_000.0;
    row("probe p99.9 before, ms", None, &|s| ms(s.probe_before_us));
    row("probe p50 meanwhile, ms", None, &|s| ms(s.probe_median_us));
    row("probe p99.9 meanwhile, ms", Some(20.0), &|s| ms(s.probe_us));
    row("probe worst meanwhile, ms", None, &|s| ms(s.probe_worst_us));
    row("memory of the primary before, MB", None, &|s| s.memory_kb / 1_024.0);
    row("peak memory of the primary, MB", None, &|s| s.peak_kb / 1_024.0);
    row("stream since the freeze, MB", None, &|s| s.stream_kb / 1_024.0);
    row("peak, as a multiple", None, &|s| s.peak_kb / s.memory_kb);
    row("peak beyond the stream, as a multiple", Some(1.25), &Sync::factor);
    row("peak memory of the replica, MB", None, &|s| s.replica_peak_kb / 1_024.0);
    println!();
}

fn sync(program: &Program, keys: u64, load: Load) -> Result<Sync> {
    let settings = [
        ("repl-diskless-sync", "yes"),
        ("repl-diskless-sync-delay", "0"),
        ("repl-backlog-size", "64mb"),
        ("client-output-buffer-limit", "replica 0 0 0"),
    ];
    let primary = Server::start_pinned(program, &settings, Some(SERVER_CPU))?;
    let replica = Server::start_pinned(program, &settings, Some(LOAD_CPU))?;
    fill(&primary, keys, VALUE_BYTES)?;
    let writer = match load {
        Load::Idle => None,
        Load::Writes => Some(Writer::start(
            &primary,
            Plan {
                keys,
                set_bytes: Some(VALUE_BYTES),
                pipeline: 16,
                at_most: SYNC_TIMEOUT,
                ..Plan::default()
            },
        )?),
    };
    let written = || writer.as_ref().map_or(0, Writer::done) as f64;
    let (probe, done, start) = (Probe::start(&primary)?, written(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let writes_before = (written() - done) / start.elapsed().as_secs_f64();
    let before = probe.stop()?;
    forget_peak(primary.pid())?;
    let memory_kb = status_kb(primary.pid(), "VmRSS")? as f64;
    let cpu = |server: &Server| cpu_with_children(server.pid());
    let (primary_cpu, replica_cpu) = (cpu(&primary)?, cpu(&replica)?);

    let (probe, done, start) = (Probe::start(&primary)?, written(), Instant::now());
    let (children_kb, end) = until_caught_up(&primary, &replica, writes_before)?;
    let seconds = start.elapsed().as_secs_f64();
    let writes_during = (written() - done) / seconds;
    let during = probe.stop()?;
    let costs = (cpu(&primary)? - primary_cpu, cpu(&replica)? - replica_cpu);
    if let Some(writer) = writer {
        writer.stop()?;
    }
    Ok(Sync {
        seconds,
        primary_cpu: costs.0,
        replica_cpu: costs.1,
        writes_before,
        writes_during,
        probe_before_us: quantile(&before, 999),
        probe_median_us: quantile(&during, 500),
        probe_us: quantile(&during, 999),
        probe_worst_us: during.last().copied().unwrap_or(0),
        memory_kb,
        peak_kb: (status_kb(primary.pid(), "VmHWM")? + children_kb) as f64,
        stream_kb: (end - frozen_at(&replica)?) as f64 / 1_024.0,
        replica_peak_kb: status_kb(replica.pid(), "VmHWM")? as f64,
    })
}

/// Attaches the replica and waits until it has what the primary has. Gives the most that the primary's children held, and
/// the end of the stream.
fn until_caught_up(primary: &Server, replica: &Server, writes_before: f64) -> Result<(u64, u64)> {
    let near = (writes_before * STREAM_BYTES_PER_WRITE / 4.0) as u64;
    let (mut children_kb, mut looked, mut end) = (0, Instant::now(), 0);
    let (mut of_primary, mut of_replica) = (primary.client()?, replica.client()?);
    replicate(replica, primary.port())?;
    let waited = wait::until("caught up", SYNC_TIMEOUT, || {
        if looked.elapsed() >= CHILDREN_INTERVAL {
            children_kb = children_kb.max(children_private_kb(primary.pid()));
            looked = Instant::now();
        }
        let theirs = harness::server::parse_info(&of_replica.call(&["INFO", "replication"])?.text());
        if theirs.get("master_link_status").map(String::as_str) != Some("up") {
            return Ok(Some("the link is not up".into()));
        }
        let ours = harness::server::parse_info(&of_primary.call(&["INFO", "replication"])?.text());
        let offset = |fields: &std::collections::BTreeMap<String, String>, name: &str| {
            fields.get(name).and_then(|value| value.parse::<u64>().ok())
        };
        let (Some(written), Some(applied)) = (
            offset(&ours, "master_repl_offset"),
            offset(&theirs, "slave_repl_offset"),
        ) else {
            return Ok(Some("INFO without offsets".into()));
        };
        end = written;
        Ok((applied + near < end).then(|| format!("applied {applied} of {end}")))
    });
    waited.map_err(|error| format!("{error}\n{}\n{}", primary.log_tail(10), replica.log_tail(10)))?;
    Ok((children_kb, end))
}

/// Where in the stream the snapshot was taken, as the replica's log tells.
fn frozen_at(replica: &Server) -> Result<u64> {
    let log = replica.log();
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains("Full resync from master: "));
    line.and_then(|line| line.rsplit(':').next()?.trim().parse().ok())
        .ok_or_else(|| Error::new(format!("no full resync in the log of {}", replica.label())))
}

/// Processor time that a process and those of its children that have ended used, in seconds.
fn cpu_with_children(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold spaces; the fields after it do not. From utime on, the 14th, to cstime.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(4).filter_map(|ticks| ticks.parse::<u64>().ok());
    Ok(ticks.sum::<u64>() as f64 / 100.0)
}

/// Has the kernel measure the peak of a process's memory from now on.
fn forget_peak(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context(|| "resetting a peak of memory")
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
