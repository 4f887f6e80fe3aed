//! A primary and two replicas at full load for minutes, with a save, a cut or a lost replica every few seconds.
//!
//! ```text
//!   writers of all types, readers ──► primary ──► proxy ──► replica a     cuts; now and then so long that the backlog is gone
//!   probe, once a millisecond ──────►    │   └──► proxy ──► replica b     cuts; killed and started anew
//!   probe of a null server on the primary's processor: what the machine itself does to latencies
//!                                        └─► samples of memory, each second
//!   in the end: nobody writes, offsets meet, all three are read key by key
//! ```
//!
//! The primary has one processor and everything else the other; writers are nice to replicas, else these would fall behind
//! for want of a processor and the soak would be one long full sync.

mod disturbance;
mod load;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use harness::dataset::ensure_equal;
use harness::server::{replicate, wait_caught_up};
use harness::{Proxy, Result, Server, ensure, process, wait};

use super::{LOAD_CPU, Null, SERVER_CPU};
use crate::args::Args;
use crate::build;
use crate::report::Report;
use disturbance::{Counts, Disturber};
use load::Worker;
use watch::{Memory, Outlier, Probe, unexplained};

/// Bytes of backlog: so few that a cut of seconds outlives them.
const BACKLOG: &str = "4mb";
const CATCH_UP: Duration = Duration::from_secs(120);
const WRITERS: u64 = 3;
/// Below this there is no telling growth from warming up, nor a rare stall from a busy machine; equal data is always judged.
const JUDGED_SECONDS: u64 = 120;

pub fn run(args: &Args) -> Result<bool> {
    let seconds = match args.value("seconds") {
        Some(_) => args.number("seconds", 0)?,
        None if args.flag("quick") => 20,
        None => 60 * args.number("minutes", 10)?,
    };
    process::pin_this_thread(LOAD_CPU as usize)?;
    let mut soak = Soak::start(args)?;
    println!("{seconds} s at full load; a sample each second, every 15th is shown");
    let outcome = soak.go_on(Duration::from_secs(seconds));
    let mut report = Report::default();
    report.case("it ran", || {
        outcome.map_err(|error| format!("{error}{}", soak.logs()))?;
        Ok(soak.throughput(seconds))
    });
    soak.judge(seconds, &mut report);
    Ok(report.finish())
}

struct Soak {
    primary: Server,
    disturber: Disturber,
    probe: Probe,
    machine: Probe,
    workers: Vec<Worker>,
    /// Ends the workers, whatever comes.
    stop: Arc<AtomicBool>,
    memory: Memory,
    tamper: bool,
    // Dropped last: the probe of it must have ended.
    _null: Null,
}

impl Soak {
    fn start(args: &Args) -> Result<Self> {
        let program = build::subject_in(args, args.value("profile").unwrap_or("release"))?;
        let settings = [
            ("repl-backlog-size", BACKLOG),
            ("repl-diskless-sync-delay", "0"),
            ("repl-timeout", "20"),
            ("client-output-buffer-limit", "replica 0 0 0"),
        ];
        let primary = Server::start_pinned(&program, &settings, Some(SERVER_CPU))?;
        load::fill(&primary)?;
        let mut replicas = Vec::new();
        for _ in 0..2 {
            let proxy = Proxy::start(primary.port())?;
            let mut replica = Server::start_pinned(&program, &settings, Some(LOAD_CPU))?;
            replica.set_config("replicaof", &format!("127.0.0.1 {}", proxy.port()));
            replicate(&replica, proxy.port())?;
            replicas.push((replica, proxy));
        }
        let null = Null::start()?;
        let probe = Probe::start(primary.port(), primary.pid())?;
        let machine = Probe::start(null.port(), null.pid())?;
        let memory = Memory::new(&primary, &replicas[0].0)?;
        let stop = Arc::new(AtomicBool::new(false));
        let tamper = args.flag("tamper");
        let mut workers = Vec::new();
        for seed in 0..WRITERS {
            workers.push(Worker::writer(primary.port(), seed, &stop));
        }
        workers.push(Worker::reader(primary.port(), 100, &stop));
        // One that is killed now and then would be a reader that only reconnects.
        workers.push(Worker::reader(replicas[0].0.port(), 101, &stop));
        if tamper {
            workers.push(Worker::leak(primary.port(), &stop));
        }
        let disturber = Disturber::new(replicas, args.number("seed", 1)?);
        Ok(Self {
            primary,
            disturber,
            probe,
            machine,
            workers,
            stop,
            memory,
            tamper,
            _null: null,
        })
    }

    /// Disturbs and samples until the time is over, or something breaks.
    fn go_on(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        let mut shown = 0;
        let mut next_disturbance = Duration::from_secs(3);
        let mut stalled = !self.tamper;
        while start.elapsed() < time {
            std::thread::sleep(Duration::from_secs(1));
            self.memory
                .sample(start.elapsed(), &self.primary, self.disturber.kept_replica())?;
            for worker in &self.workers {
                ensure!(!worker.is_finished(), "a client ended before its time");
            }
            if start.elapsed() >= next_disturbance {
                self.disturber.strike(&self.primary)?;
                next_disturbance = start.elapsed() + self.disturber.pause();
            }
            if !stalled && start.elapsed() > time / 2 {
                stalled = true;
                self.primary.client()?.ok(&["DEBUG", "SLEEP", "0.2"])?;
            }
            if self.memory.samples() / 15 > shown {
                shown = self.memory.samples() / 15;
                println!("  {:>4.0} s  {}", start.elapsed().as_secs_f64(), self.memory.latest());
            }
        }
        Ok(())
    }

    fn throughput(&self, seconds: u64) -> String {
        let writes: u64 = self.workers.iter().map(Worker::writes).sum();
        let reads: u64 = self.workers.iter().map(Worker::reads).sum();
        format!(
            "{:.0} writes/s, {:.0} reads/s",
            writes as f64 / seconds as f64,
            reads as f64 / seconds as f64
        )
    }

    fn logs(&self) -> String {
        let mut text = format!("\n--- primary ---\n{}", self.primary.log_tail(12));
        for (name, replica) in ["a", "b"].iter().zip(self.disturber.replicas()) {
            text += &format!("\n--- replica {name} ---\n{}", replica.log_tail(12));
        }
        text
    }

    fn judge(mut self, seconds: u64, report: &mut Report) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let workers = std::mem::take(&mut self.workers);
        report.case("no client was refused", || {
            workers.into_iter().try_for_each(Worker::finish)?;
            Ok(String::new())
        });
        report.case("snapshots and cuts took place", || {
            self.disturber.counts.ensure_all(&self.primary, seconds)
        });
        let judged = seconds >= JUDGED_SECONDS || self.tamper;
        let latencies = (self.probe.stop(), self.machine.stop());
        report.case("no latency above 50 ms that the machine does not show", || {
            let (probe, machine) = (latencies.0?, latencies.1?);
            let how = if judged { "" } else { "too short to be judged; " };
            let note = format!("{how}skein {}; null server {}", probe.summary(), machine.summary());
            let bad = unexplained(&probe.outliers, &machine.outliers);
            let shown: Vec<String> = bad.iter().take(5).map(Outlier::to_string).collect();
            ensure!(
                !judged || bad.is_empty(),
                "{} of them: {}; {note}",
                bad.len(),
                shown.join(", ")
            );
            Ok(note)
        });
        report.case("memory does not grow over the second half", || {
            self.memory.judge(judged)
        });
        report.case("all three are equal in the end", || self.compare());
    }

    fn compare(&mut self) -> Result<String> {
        self.disturber.peace()?;
        let [a, b] = self.disturber.replicas();
        let compared = wait::until("links up", CATCH_UP, || {
            for replica in [a, b] {
                let status = replica.info_field("replication", "master_link_status")?;
                if status != "up" {
                    return Ok(Some(format!("{}: {status}", replica.label())));
                }
            }
            Ok(None)
        })
        .and_then(|_| wait_caught_up(&self.primary, &[a, b], CATCH_UP))
        .and_then(|()| {
            if self.tamper {
                let mut client = b.client()?;
                client.ok(&["CONFIG", "SET", "replica-read-only", "no"])?;
                client.ok(&["SET", "s:1", "tampered"])?;
            }
            let keys = ensure_equal(&self.primary, a)?;
            ensure_equal(&self.primary, b)?;
            Ok(keys)
        });
        let keys = compared.map_err(|error| format!("{error}{}", self.logs()))?;
        for server in [&self.primary, a, b] {
            ensure!(!server.log().contains("panicked at"), "{} panicked", server.label());
        }
        let Counts {
            cuts,
            gaps,
            kills,
            saves,
        } = self.disturber.counts;
        Ok(format!(
            "{keys} keys; {saves} saves, {cuts} cuts, {gaps} of them beyond the backlog, {kills} kills; the primary counts {} \
             full and {} partial syncs",
            self.primary.info_field("stats", "sync_full")?,
            self.primary.info_field("stats", "sync_partial_ok")?
        ))
    }
}
