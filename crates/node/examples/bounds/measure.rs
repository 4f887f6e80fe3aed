//! Clocks, cold caches, and figures of many rounds.

use std::hint::black_box;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::server::Server;

/// Twice the largest last-level cache that these machines have.
const EVICTING_BYTES: usize = 96 * 1024 * 1024;
const CACHE_LINE_BYTES: usize = 64;

fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds that `work` takes of its own; see the head of this program.
pub fn timed<T>(work: impl FnOnce() -> T) -> (u32, T) {
    let thread = thread_ns();
    let start = Instant::now();
    let result = work();
    let wall = start.elapsed().as_nanos() as u64;
    let thread = thread_ns() - thread;
    (u32::try_from(wall.min(thread)).unwrap_or(u32::MAX), result)
}

/// Writes to database 9 after the caches were emptied.
const WARMING_WRITES: u64 = 48;
/// Members, or keys, that they go to: so many that most of them are the first to their node after a freeze.
const WARMING_MEMBERS: u64 = 20_000;

/// Times requests of which nothing is in the processor's caches.
pub struct Cold {
    memory: Vec<u8>,
    warming: fn(u64) -> Vec<u8>,
    next: u64,
}

impl Cold {
    /// `fill` makes what `warming` writes to.
    pub fn new(server: &mut Server, fill: fn(u64) -> Vec<u8>, warming: fn(u64) -> Vec<u8>) -> Self {
        for n in 0..WARMING_MEMBERS {
            server.warm(&fill(n));
        }
        Self {
            memory: vec![1; EVICTING_BYTES],
            warming,
            next: 0,
        }
    }

    /// Empties the caches.
    pub fn nothing_warm(&self) {
        let lines = self.memory.iter().step_by(CACHE_LINE_BYTES);
        black_box(lines.map(|byte| u64::from(*byte)).sum::<u64>());
    }

    /// How long a request takes when its data is in no cache.
    pub fn data(&mut self, server: &mut Server, request: &[u8]) -> u32 {
        self.nothing_warm();
        for _ in 0..WARMING_WRITES {
            // A stride without a common divisor: all over the place, and every member once.
            server.warm(&(self.warming)(self.next * 7_919 % WARMING_MEMBERS));
            self.next += 1;
        }
        black_box(request.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        server.call(request)
    }

    /// How long a request takes when not even the program's code is.
    pub fn everything(&self, server: &mut Server, request: &[u8]) -> u32 {
        self.nothing_warm();
        server.call(request)
    }
}

/// The times of the same steps in several rounds.
pub struct Rounds {
    rounds: Vec<Vec<u32>>,
}

impl Rounds {
    /// So many rounds of so many steps, in memory that is there before anything is measured.
    pub fn new(rounds: u64, steps: usize) -> Self {
        let rounds = (0..rounds)
            .map(|_| {
                let mut round = black_box(vec![1; steps]);
                round.clear();
                round
            })
            .collect();
        Self { rounds }
    }

    pub fn push(&mut self, round: u64, time: u32) {
        self.rounds[round as usize].push(time);
    }

    /// The median of the rounds for each step.
    pub fn steps(&self) -> Vec<u32> {
        let Some(first) = self.rounds.first() else {
            return Vec::new();
        };
        (0..first.len())
            .map(|step| median(self.rounds.iter().map(|round| round[step]).collect()))
            .collect()
    }

    /// Prints the line of a figure.
    pub fn print(&self, name: &str) {
        let steps = self.steps();
        let longest = steps.iter().copied().max().unwrap_or(0);
        let single = self.rounds.iter().flatten().copied().max().unwrap_or(0);
        let count = steps.len();
        println!("{name}\t{count}\t{}\t{longest}\t{single}", median(steps));
    }
}

fn median(mut all: Vec<u32>) -> u32 {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}
