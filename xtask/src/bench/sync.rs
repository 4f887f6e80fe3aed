//! A full sync under writes: how long it takes, and what clients and memory feel of it.

use std::time::{Duration, Instant};

use harness::load::{Plan, Probe, Writer, fill, quantile};
use harness::process::status_kb;
use harness::server::replicate;
use harness::{Program, Result, Server, wait};

use super::Plans;

/// How long a sync may take before it is given up.
const SYNC_TIMEOUT: Duration = Duration::from_secs(180);

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

pub fn run(plans: &Plans, skein: &Program, other: &Program) -> Result<()> {
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
