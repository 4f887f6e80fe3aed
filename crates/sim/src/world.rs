//! Servers, connections and time: one step after the other, from a seed.
//!
//! `wires.rs` moves bytes, `jobs.rs` does what nodes ask for, `checks.rs` looks at what has come of it.

mod checks;
mod jobs;
mod wires;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use base::Rng;

use crate::faults::{self, Happening, Sabotage};
use crate::network::Connection;
use crate::server::{Link, Server, host};
use crate::time;
use crate::truth::Truth;

/// How far time goes in a step.
const STEP_MS: u64 = 10;
/// How often nodes are told that time has passed.
const TICK_MS: u64 = 100;
/// How long there are faults.
const TROUBLE_MS: u64 = 12_000;
/// How long the servers have to agree when there are none any more. The longest back-off is a minute.
const PEACE_MS: u64 = 180_000;
/// When sabotage begins: there is something to be done wrong by then.
const SABOTAGE_MS: u64 = 3_000;
/// How many lines of what happened a failure shows.
const TRACE_LINES: usize = 300;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// Why it failed; `None`: it did not.
    pub failure: Option<String>,
    /// What happened, in short lines, the last ones.
    pub trace: Vec<String>,
    /// Stands for everything that happened: a seed gives the same number every time.
    pub digest: u64,
    /// What there was to see.
    pub counts: Counts,
    /// Whether the sabotage asked for was committed.
    pub sabotaged: bool,
}

/// How much happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Full resynchronizations served.
    pub full: u64,
    /// Partial resynchronizations served.
    pub partial: u64,
    /// Commands that clients sent.
    pub commands: u64,
    /// Times that a process stopped.
    pub stops: u64,
    /// Loads that failed.
    pub failed_loads: u64,
    /// Comparisons of a replica's data with its history.
    pub comparisons: u64,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.full += other.full;
        self.partial += other.partial;
        self.commands += other.commands;
        self.stops += other.stops;
        self.failed_loads += other.failed_loads;
        self.comparisons += other.comparisons;
    }
}

/// Plays a seed.
#[must_use]
pub fn run(seed: u64) -> Report {
    play(seed, None, |_| {})
}

/// Plays a seed, and tells the whole story as it happens.
#[must_use]
pub fn run_aloud(seed: u64, tell: fn(&str)) -> Report {
    play(seed, None, tell)
}

/// Plays a seed in which something is done wrong on purpose: it must fail.
#[must_use]
pub fn run_sabotaged(seed: u64, sabotage: Sabotage) -> Report {
    play(seed, Some(sabotage), |_| {})
}

fn play(seed: u64, sabotage: Option<Sabotage>, tell: fn(&str)) -> Report {
    let mut world = World::new(seed, sabotage, tell);
    // A panic leaves the world as it was then, which is only looked at. (Where panics abort, the caller's hook is told.)
    let outcome = catch_unwind(AssertUnwindSafe(|| world.play()));
    let failure = match outcome {
        Ok(outcome) => outcome.err(),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            Some(format!("panic: {}", text.unwrap_or("without a word")))
        }
    };
    world.counts.comparisons = world.truth.compared;
    Report {
        failure,
        trace: world.trace.into_iter().collect(),
        digest: world.digest,
        counts: world.counts,
        sabotaged: sabotage.is_some() && world.sabotage.is_none(),
    }
}

struct World {
    rng: Rng,
    servers: Vec<Server>,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
    /// Until when nothing passes between two servers, the smaller number first.
    partitions: BTreeMap<(usize, usize), u64>,
    truth: Truth,
    trace: VecDeque<String>,
    tell: fn(&str),
    digest: u64,
    next_tick_ms: u64,
    counts: Counts,
    /// What is still to be done wrong.
    sabotage: Option<Sabotage>,
}

type Outcome = Result<(), String>;

impl World {
    fn new(seed: u64, sabotage: Option<Sabotage>, tell: fn(&str)) -> Self {
        time::reset();
        let mut rng = Rng::new(seed);
        let count = 2 + rng.below(3) as usize;
        let servers = (0..count)
            .map(|index| {
                // A star, or a chain.
                let primary = index
                    .checked_sub(1)
                    .map(|before| if rng.chance(1, 3) { before } else { 0 });
                Server::new(index, primary, &mut rng)
            })
            .collect();
        Self {
            rng,
            servers,
            connections: BTreeMap::new(),
            last_connection: 0,
            partitions: BTreeMap::new(),
            truth: Truth::default(),
            trace: VecDeque::new(),
            tell,
            digest: seed,
            next_tick_ms: 0,
            counts: Counts::default(),
            sabotage,
        }
    }

    fn play(&mut self) -> Outcome {
        for index in 0..self.servers.len() {
            self.start(index)?;
        }
        let end_ms = time::now_ms() + TROUBLE_MS;
        while time::now_ms() < end_ms {
            for happening in faults::roll(&mut self.rng, self.servers.len()) {
                self.happen(happening)?;
            }
            self.step()?;
        }
        self.make_peace()
    }

    /// Notes what happened, for the reader and for the digest.
    fn note(&mut self, what: String) {
        for byte in what.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.digest ^= time::now_ms();
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        let line = format!("{:>7} {what}", time::now_ms());
        (self.tell)(&line);
        self.trace.push_back(line);
    }

    // ---- happenings ----

    fn start(&mut self, index: usize) -> Outcome {
        self.note(format!("{index} starts"));
        let started = self.servers[index].start(&mut self.rng);
        started.map_err(|what| format!("server {index} does not start: {what}"))?;
        self.settle(index)
    }

    fn happen(&mut self, happening: Happening) -> Outcome {
        match happening {
            Happening::Client {
                server,
                client,
                commands,
            } => self.speak(server, client, commands)?,
            Happening::Operator(index, line) => drop(self.operate(index, &line)?),
            Happening::Kill(index) => {
                self.note(format!("{index} is killed"));
                self.stop(index)?;
            }
            Happening::PowerCut(index) => {
                self.note(format!("{index} loses power"));
                self.stop(index)?;
                self.servers[index].disk.crash(&mut self.rng);
            }
            Happening::Cut(a, b) => self.cut(a, b),
            Happening::Partition(a, b, ms) => {
                self.note(format!("nothing passes between {a} and {b} for {ms} ms"));
                self.partitions.insert((a.min(b), a.max(b)), time::now_ms() + ms);
            }
            Happening::Damage(index) => self.damage(index),
            Happening::BreakTransfer => self.break_transfer(),
            Happening::DiskFull(index, room) => {
                match room {
                    Some(bytes) => self.note(format!("{index} has {bytes} bytes of disk left")),
                    None => self.note(format!("{index} has disk enough")),
                }
                self.servers[index].disk.fail_after(room);
            }
        }
        Ok(())
    }

    /// The process of a server ends; its sockets are closed by the system, wherever they were.
    fn stop(&mut self, index: usize) -> Outcome {
        if self.servers[index].node.is_none() {
            return Ok(());
        }
        self.counts.stops += 1;
        self.count_syncs(index);
        self.servers[index].stop(&mut self.rng);
        let now_ms = time::now_ms();
        for connection in self.connections.values_mut() {
            if connection.replica == index && connection.replica_open {
                connection.replica_open = false;
                connection.up.cut(now_ms, &mut self.rng);
            }
            if connection.primary == index && connection.primary_open {
                connection.primary_open = false;
                connection.down.cut(now_ms, &mut self.rng);
            }
        }
        Ok(())
    }

    fn count_syncs(&mut self, index: usize) {
        if let Some(node) = &self.servers[index].node {
            let counters = node::replication::counters(&node.state);
            self.counts.full += counters.full;
            self.counts.partial += counters.partial_ok;
        }
    }

    // ---- time ----

    fn step(&mut self) -> Outcome {
        time::advance_ms(STEP_MS);
        let now_ms = time::now_ms();
        self.partitions.retain(|_, until_ms| *until_ms > now_ms);
        let ticks = now_ms >= self.next_tick_ms;
        if ticks {
            self.next_tick_ms = now_ms + TICK_MS;
        }
        for index in 0..self.servers.len() {
            self.step_server(index, ticks)?;
        }
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            self.step_connection(id)?;
        }
        self.connections
            .retain(|_, connection| connection.replica_open || connection.primary_open);
        if ticks { self.check_connections() } else { Ok(()) }
    }

    fn step_server(&mut self, index: usize, tick: bool) -> Outcome {
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else {
            if time::now_ms() >= server.restart_ms {
                return self.start(index);
            }
            return Ok(());
        };
        node.begin_turn(time::now());
        if tick {
            node.tick();
        }
        let started = server.finish_start();
        started.map_err(|what| format!("server {index} does not start: {what}"))?;
        self.finish_saves(index);
        self.finish_loads(index)?;
        if let Link::Connecting { to, due_ms } = self.servers[index].link
            && time::now_ms() >= due_ms
        {
            self.finish_connecting(index, to)?;
        }
        self.delete_alone(index);
        self.settle(index)
    }

    fn is_partitioned(&self, a: usize, b: usize) -> bool {
        self.partitions.contains_key(&(a.min(b), a.max(b)))
    }

    // ---- peace ----

    /// Ends all trouble, makes one server the primary of all, and waits until they agree.
    fn make_peace(&mut self) -> Outcome {
        self.note("peace".into());
        self.partitions.clear();
        for index in 0..self.servers.len() {
            self.servers[index].disk.fail_after(None);
            if self.servers[index].node.is_none() {
                self.start(index)?;
            }
            // One whose target does not answer goes on until somebody ends it, as stock's.
            self.operate(index, "FAILOVER ABORT")?;
        }
        let primary = self.rng.below(self.servers.len() as u64) as usize;
        let end_ms = time::now_ms() + PEACE_MS;
        loop {
            for index in 0..self.servers.len() {
                // A failover that was under way may refuse this, or turn it around.
                if !self.is_as_wished(index, primary) {
                    let line = match index == primary {
                        true => "REPLICAOF NO ONE".to_owned(),
                        false => format!("REPLICAOF {} {}", host(primary), 7000 + primary),
                    };
                    self.operate(index, &line)?;
                }
            }
            self.step()?;
            if self.agree(primary) {
                self.compare_all(primary)?;
                for index in 0..self.servers.len() {
                    self.count_syncs(index);
                }
                return Ok(());
            }
            if time::now_ms() > end_ms {
                let all = self.describe();
                return Err(format!("no agreement after {PEACE_MS} ms of peace: {all}"));
            }
        }
    }
}
