//! A table that grows from nothing: how long a single insert takes at most.

use crate::measure::Rounds;
use crate::server::{Server, request};

/// Of the longest steps, so many are looked at for page faults.
const LOOKED_AT: usize = 2_000;

pub fn run(keys: u64, rounds: u64) {
    let mut times = Rounds::new(rounds, keys as usize);
    for round in 0..rounds {
        let mut server = Server::new();
        for number in 0..keys {
            let time = server.call(&set(number));
            times.push(round, time);
            if number % 4096 == 0 {
                server.rest();
            }
        }
        // Giving back what this round took belongs to no step of the next.
        drop(server);
        ds::memory::purge();
    }
    times.print("insert");
    page_faults(keys, &times.steps());
}

/// One more round, in which the longest steps are watched for page faults: their cost is the kernel's, which hands out
/// and clears memory, and every program that grows pays it.
fn page_faults(keys: u64, steps: &[u32]) {
    let mut longest: Vec<usize> = (0..steps.len()).collect();
    longest.sort_unstable_by_key(|step| std::cmp::Reverse(steps[*step]));
    longest.truncate(LOOKED_AT);
    let mut watched = vec![false; steps.len()];
    longest.iter().for_each(|step| watched[*step] = true);

    let mut server = Server::new();
    let (mut with, mut without) = ((0, 0, 0), (0, 0));
    let first: Vec<String> = longest
        .iter()
        .take(5)
        .map(|step| format!("{} us at insert {step}", steps[*step] / 1000))
        .collect();
    println!("# the longest: {}", first.join(", "));
    for number in 0..keys {
        let request = set(number);
        if number % 4096 == 0 {
            server.rest();
        }
        if !watched[number as usize] {
            server.call(&request);
            continue;
        }
        let before = faults();
        let time = server.call(&request);
        match faults() - before {
            0 => without = (without.0 + 1, time.max(without.1)),
            count => with = (with.0 + 1, time.max(with.1), count.max(with.2)),
        }
    }
    println!(
        "# of the {} longest, in one more round: {} without a page fault, at most {:.1} us; {} with page faults, at most \
         {:.1} us and {} of them",
        longest.len(),
        without.0,
        f64::from(without.1) / 1000.0,
        with.0,
        f64::from(with.1) / 1000.0,
        with.2
    );
}

fn set(number: u64) -> Vec<u8> {
    request(&format!("SET key:{number:012} {:064}", 7))
}

/// Page faults of this thread that needed no disk.
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name
        .split_whitespace()
        .nth(7)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0)
}
