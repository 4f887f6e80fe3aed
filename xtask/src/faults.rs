//! Kills, cuts, delays, truncations, altered bytes, black holes and restarts, by seed.
//!
//! A trial is a primary under writes, a replica behind a proxy, one to three faults, and then peace: the replica must
//! catch up in bounded time and hold the same keys, values and expiries as the primary. What it held before it followed
//! the primary must still be there after a load that failed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::dataset::ensure_equal;
use harness::load::{Plan, Writer, fill_mixed};
use harness::proxy::Rules;
use harness::server::{replicate, wait_caught_up};
use harness::{Context, Dataset, Program, Proxy, Result, Rng, Server, ensure, wait};

use crate::args::Args;
use crate::build;
use crate::report::Report;

/// How long the replica may take once there are no faults any more.
const PEACE: Duration = Duration::from_secs(45);
/// Trials that run at the same time: most of a trial is waiting.
const WORKERS: usize = 3;

/// What a trial is made with.
struct Setup {
    skein: Program,
    stock: Program,
    /// The program under test is stock itself: it does not keep old data, and exits on a snapshot that makes no sense.
    subject_is_stock: bool,
    tamper: bool,
    seed: u64,
}

pub fn run(args: &Args) -> Result<bool> {
    let skein = build::subject(args)?;
    let subject_is_stock = skein.path.file_name().is_some_and(|name| name == "redis-server");
    let seed = args.number("seed", 1)?;
    let setup = Setup {
        skein,
        stock: Program::stock()?,
        subject_is_stock,
        tamper: args.flag("tamper"),
        seed,
    };
    let trials = match args.value("only") {
        Some(_) => args.number("only", 0).map(|n| n..n + 1)?,
        None => 0..args.number("trials", if args.flag("quick") { 20 } else { 200 })?,
    };
    let report = Mutex::new(Report::default());
    let next = AtomicU64::new(trials.start);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= trials.end {
                        return;
                    }
                    let start = Instant::now();
                    let (name, outcome) = setup.trial(number);
                    let mut report = report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    report.count(&name, outcome, start.elapsed().as_secs_f64());
                }
            });
        }
    });
    Ok(report
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .finish())
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    KillReplica,
    KillPrimary,
    KillReplicaInFullSync,
    KillPrimaryInFullSync,
    RestartReplica,
    RestartPrimary,
    Cuts,
    Delay,
    TruncatedSnapshot,
    AlteredSnapshot,
    TruncatedStream,
    BlackHole,
    Refused,
}

const FAULTS: [Fault; 13] = [
    Fault::KillReplica,
    Fault::KillPrimary,
    Fault::KillReplicaInFullSync,
    Fault::KillPrimaryInFullSync,
    Fault::RestartReplica,
    Fault::RestartPrimary,
    Fault::Cuts,
    Fault::Delay,
    Fault::TruncatedSnapshot,
    Fault::AlteredSnapshot,
    Fault::TruncatedStream,
    Fault::BlackHole,
    Fault::Refused,
];

impl Setup {
    fn trial(&self, number: u64) -> (String, Result<String>) {
        let mut rng = Rng::new(self.seed.wrapping_mul(7_919).wrapping_add(number));
        let (primary, replica) = match rng.below(4) {
            0 => (&self.stock, &self.skein),
            1 => (&self.skein, &self.stock),
            _ => (&self.skein, &self.skein),
        };
        let mut faults: Vec<Fault> = (0..=rng.below(3)).map(|_| *rng.pick(&FAULTS)).collect();
        if self.subject_is_stock || replica.name == self.stock.name {
            faults.retain(|fault| *fault != Fault::AlteredSnapshot);
        }
        let keeps_old_data = !self.subject_is_stock && replica.name != self.stock.name;
        let name = format!("trial {number}: {} <- {}, {faults:?}", primary.name, replica.name);
        let outcome = Trial::start(primary, replica, keeps_old_data, rng).and_then(|mut trial| {
            let result = faults
                .iter()
                .try_for_each(|fault| trial.strike(*fault).context(|| format!("{fault:?}")));
            let result = result.and_then(|()| trial.peace(self.tamper));
            result.map_err(|error| trial.explain(&error.to_string()).into())
        });
        (name, outcome)
    }
}

struct Trial {
    rng: Rng,
    primary: Server,
    replica: Server,
    proxy: Proxy,
    writer: Option<Writer>,
    keeps_old_data: bool,
}

impl Trial {
    fn start(primary: &Program, replica: &Program, keeps_old_data: bool, mut rng: Rng) -> Result<Self> {
        let diskless = |rng: &mut Rng| if rng.chance(1, 2) { "yes" } else { "no" };
        let load = *rng.pick(&["disabled", "on-empty-db", "swapdb"]);
        let (send, save) = (diskless(&mut rng), if rng.chance(1, 2) { "3600 1" } else { "" });
        let settings = [
            ("repl-diskless-sync", send),
            ("repl-diskless-load", load),
            ("repl-diskless-sync-delay", "0"),
            ("repl-timeout", "3"),
            ("repl-ping-replica-period", "1"),
            ("repl-backlog-size", "4mb"),
            ("save", save),
        ];
        let (primary, replica) = (Server::start(primary, &settings)?, Server::start(replica, &settings)?);
        let proxy = Proxy::start(primary.port())?;
        let mut trial = Self {
            rng,
            primary,
            replica,
            proxy,
            writer: None,
            keeps_old_data,
        };
        fill_mixed(&trial.primary, 1_000 + trial.rng.below(4_000), trial.rng.next_u64())?;
        fill_mixed(&trial.replica, 300, trial.rng.next_u64())?;
        // Half of the trials begin with a replica that has caught up.
        if trial.rng.chance(1, 2) {
            replicate(&trial.replica, trial.proxy.port())?;
            trial.wait_link_up()?;
        }
        trial.start_writer()?;
        Ok(trial)
    }

    fn start_writer(&mut self) -> Result<()> {
        // A writer whose primary was killed ends with an error; that is no news.
        self.writer = None;
        let plan = Plan {
            seed: self.rng.next_u64(),
            keys: 2_000,
            pipeline: 8,
            per_second: Some(2_000),
            ..Plan::default()
        };
        self.writer = Some(Writer::start(&self.primary, plan)?);
        Ok(())
    }

    fn pause(&mut self, at_most_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.rng.below(at_most_ms)));
    }

    fn strike(&mut self, fault: Fault) -> Result<()> {
        self.pause(100);
        match fault {
            Fault::KillReplica => self.kill_replica(),
            Fault::KillPrimary => self.kill_primary(),
            Fault::KillReplicaInFullSync => {
                self.begin_slow_full_sync()?;
                self.kill_replica()
            }
            Fault::KillPrimaryInFullSync => {
                self.begin_slow_full_sync()?;
                self.kill_primary()
            }
            Fault::RestartReplica => self.restart_replica(),
            Fault::RestartPrimary => self.restart_primary(),
            Fault::Cuts => {
                self.follow()?;
                for _ in 0..3 {
                    self.pause(300);
                    self.proxy.cut();
                }
                Ok(())
            }
            Fault::Delay => {
                let delay = Duration::from_millis(1 + self.rng.below(40));
                self.proxy.set(Rules {
                    delay,
                    ..Rules::default()
                });
                self.follow()?;
                self.pause(500);
                Ok(())
            }
            Fault::TruncatedSnapshot => {
                let limit = 300 + self.rng.below(150_000);
                self.fail_to_load(Rules {
                    truncate_after: Some(limit),
                    ..Rules::default()
                })
            }
            Fault::AlteredSnapshot => {
                let at = 500 + self.rng.below(100_000);
                self.fail_to_load(Rules {
                    alter_byte: Some(at),
                    ..Rules::default()
                })
            }
            Fault::TruncatedStream => {
                self.follow()?;
                self.wait_link_up()?;
                // Connections of now have passed far more; the next is cut in its stream of commands, in mid-command.
                let limit = 200 + self.rng.below(3_000);
                self.proxy.cut();
                self.proxy.set(Rules {
                    truncate_after: Some(limit),
                    ..Rules::default()
                });
                self.pause(1_500);
                Ok(())
            }
            Fault::BlackHole => {
                self.follow()?;
                self.proxy.set(Rules {
                    black_hole: true,
                    ..Rules::default()
                });
                std::thread::sleep(Duration::from_millis(3_500));
                Ok(())
            }
            Fault::Refused => {
                self.proxy.set(Rules {
                    refuse: true,
                    ..Rules::default()
                });
                self.proxy.cut();
                self.follow()?;
                self.pause(600);
                Ok(())
            }
        }
        .map(|()| self.proxy.set(Rules::default()))
    }

    /// Tells the replica whom to follow, if it does not know.
    fn follow(&self) -> Result<()> {
        if self.replica.info_field("replication", "role")? == "master" {
            return replicate(&self.replica, self.proxy.port());
        }
        Ok(())
    }

    /// Makes the replica a primary; a server that is loading takes no such order, as stock.
    fn leave(&self) -> Result<()> {
        wait::until("REPLICAOF NO ONE", PEACE, || {
            let answer = self.replica.client()?.call(&["REPLICAOF", "NO", "ONE"])?;
            Ok(answer
                .as_error()
                .map(|error| String::from_utf8_lossy(error).into_owned()))
        })
        .map(drop)
    }

    /// Makes the replica begin anew, slowly, and returns in the middle of it.
    fn begin_slow_full_sync(&mut self) -> Result<()> {
        self.leave()?;
        self.proxy.set(Rules {
            bytes_per_second: Some(1 << 20),
            ..Rules::default()
        });
        replicate(&self.replica, self.proxy.port())?;
        self.pause(400);
        Ok(())
    }

    fn kill_replica(&mut self) -> Result<()> {
        self.replica.kill();
        self.proxy.set(Rules::default());
        self.replica.run()?;
        self.follow()
    }

    fn kill_primary(&mut self) -> Result<()> {
        if self.rng.chance(1, 2) {
            // It comes back with what it saved, which is behind what the replica has.
            // Refused while a snapshot for the replica is being written: then it comes back empty.
            self.primary.client()?.call(&["SAVE"])?;
            self.pause(50);
        }
        self.primary.kill();
        self.pause(300);
        self.primary.run()?;
        self.start_writer()
    }

    fn restart_replica(&mut self) -> Result<()> {
        self.follow()?;
        self.pause(300);
        self.replica.terminate(PEACE)?;
        self.pause(100);
        self.replica.run()?;
        self.follow()
    }

    fn restart_primary(&mut self) -> Result<()> {
        self.primary.terminate(PEACE)?;
        self.pause(100);
        self.primary.run()?;
        self.start_writer()
    }

    /// A server with data of its own follows the primary, but the snapshot does not come whole; its own data must stay.
    fn fail_to_load(&mut self, rules: Rules) -> Result<()> {
        self.leave()?;
        // Data of a history of its own.
        fill_mixed(&self.replica, 200, self.rng.next_u64())?;
        let before = Dataset::read(&self.replica)?;
        // The snapshot must be larger than where the fault is.
        fill_mixed(&self.primary, 3_000, self.rng.next_u64())?;
        self.proxy.set(rules);
        let accepted = self.proxy.accepted();
        replicate(&self.replica, self.proxy.port())?;
        wait::until("a second attempt", Duration::from_secs(10), || {
            let attempts = self.proxy.accepted() - accepted;
            Ok((attempts < 2).then(|| format!("{attempts} so far")))
        })?;
        self.proxy.set(Rules {
            refuse: true,
            ..Rules::default()
        });
        self.proxy.cut();
        wait::until("the load given up", Duration::from_secs(10), || {
            let info = self.replica.info("persistence")?;
            let loading =
                info.get("loading").is_some_and(|v| v != "0") || info.get("async_loading").is_some_and(|v| v != "0");
            let status = self.replica.info_field("replication", "master_link_status")?;
            let syncing = self.replica.info_field("replication", "master_sync_in_progress")? != "0";
            let over = !loading && !syncing && status == "down";
            Ok((!over).then(|| format!("loading {loading}, syncing {syncing}, link {status}")))
        })?;
        if self.keeps_old_data {
            let after = Dataset::read(&self.replica)?;
            let differences = before.differences(&after, 0, 5);
            ensure!(
                differences.is_empty(),
                "old data was not kept:\n  {}",
                differences.join("\n  ")
            );
        }
        Ok(())
    }

    /// No faults any more: the replica catches up and holds what the primary holds.
    fn peace(&mut self, tamper: bool) -> Result<String> {
        self.proxy.set(Rules::default());
        self.follow()?;
        self.wait_link_up()?;
        let writes = match self.writer.take() {
            Some(writer) => writer.stop().context(|| "the last writer")?,
            None => 0,
        };
        wait_caught_up(&self.primary, &[&self.replica], PEACE)?;
        if tamper {
            let mut client = self.replica.client()?;
            client.ok(&["CONFIG", "SET", "replica-read-only", "no"])?;
            client.ok(&["SET", "key:1", "tampered"])?;
        }
        let keys = ensure_equal(&self.primary, &self.replica)?;
        for server in [&self.primary, &self.replica] {
            ensure!(!server.log().contains("panicked at"), "{} panicked", server.label());
        }
        Ok(format!("{keys} keys, {writes} writes"))
    }

    fn wait_link_up(&self) -> Result<()> {
        wait::until("link up", PEACE, || {
            let info = self.replica.info("replication")?;
            let status = info.get("master_link_status").cloned().unwrap_or_default();
            Ok((status != "up").then(|| format!("{info:?}")))
        })
        .map(drop)
    }

    fn explain(&self, error: &str) -> String {
        let tail = |server: &Server| format!("--- log of {} ---\n{}", server.label(), server.log_tail(12));
        format!("{error}\n{}\n{}", tail(&self.primary), tail(&self.replica))
    }
}
