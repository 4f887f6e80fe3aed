//! What keys cost: resident bytes per key, nanoseconds per operation, and the pauses around a freeze.
//!
//! `cargo run --release -p skein-keyspace --example density [keys]`
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use base::{DbIndex, Millis, Rng};
use keyspace::{Descent, Keyspace, NewValue};

#[global_allocator]
static ALLOCATOR: ds::memory::Counting = ds::memory::Counting;

const DB: DbIndex = DbIndex(0);

#[derive(Clone, Copy)]
enum Row {
    String,
    StringWithExpiry,
    Integer,
}

impl Row {
    fn name(self) -> &'static str {
        match self {
            Self::String => "16-byte key, 32-byte value",
            Self::StringWithExpiry => "the same with an expiry",
            Self::Integer => "16-byte key, integer",
        }
    }

    fn set(self, keyspace: &mut Keyspace, number: u64, key: &[u8; 16]) {
        let hash = keyspace.hash(key);
        let db = keyspace.db_mut(DB);
        let expiry = Some(Millis(1_800_000_000_000 + number as i64));
        match self {
            Self::String => db.set(key, hash, NewValue::Bytes(&value(number)), None),
            Self::StringWithExpiry => db.set(key, hash, NewValue::Bytes(&value(number)), expiry),
            Self::Integer => db.set(key, hash, NewValue::Int(number as i64 * 1_000_003), None),
        };
    }
}

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn value(number: u64) -> [u8; 32] {
    [b'a' + (number % 26) as u8; 32]
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}

/// Time that this thread ran: what a busy machine does beside it is not counted.
struct Cpu(u64);

impl Cpu {
    fn start() -> Self {
        Self(Self::now())
    }

    fn now() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        stat.split(' ')
            .next()
            .and_then(|nanoseconds| nanoseconds.parse().ok())
            .unwrap_or(0)
    }

    fn per_op(&self, count: u64) -> u64 {
        (Self::now() - self.0) / count
    }
}

fn measure(row: Row, keys: u64) {
    let mut slowest = black_box(vec![1u32; keys as usize]);
    slowest.clear();
    let before = resident_bytes();
    let mut keyspace = Keyspace::new(1, 42);
    let start = Cpu::start();
    for number in 0..keys {
        let one = Instant::now();
        row.set(&mut keyspace, number, &key(number));
        slowest.push(one.elapsed().as_nanos() as u32);
    }
    let fill = start.per_op(keys);
    slowest.sort_unstable();
    let slowest = Duration::from_nanos(slowest[slowest.len() - 1 - slowest.len() / 100_000].into());
    let resident = resident_bytes() - before;
    println!(
        "{:<28} {:>6.1} resident, {:>6.1} counted bytes per key; fill {fill} ns, p99.999 {slowest:?}",
        row.name(),
        resident as f64 / keys as f64,
        keyspace.live_bytes() as f64 / keys as f64,
    );

    let mut rng = Rng::new(7);
    let order: Vec<u64> = (0..2_000_000).map(|_| rng.below(keys)).collect();
    let present: Vec<[u8; 16]> = order.iter().map(|number| key(*number)).collect();
    let absent: Vec<[u8; 16]> = order.iter().map(|number| key(number + keys)).collect();
    let count = order.len() as u64;
    let start = Cpu::start();
    for key in &present {
        black_box(keyspace.db(DB).get(key, keyspace.hash(key)).map(|entry| entry.value()));
    }
    let get = start.per_op(count);
    let start = Cpu::start();
    for key in &absent {
        black_box(keyspace.db(DB).get(key, keyspace.hash(key)).is_some());
    }
    let miss = start.per_op(count);
    let start = Cpu::start();
    for batch in present.chunks(16) {
        let mut searches = [None; 16];
        for (search, key) in searches.iter_mut().zip(batch) {
            *search = Some(keyspace.db(DB).descent(keyspace.hash(key), false));
        }
        Descent::take_down(&mut searches);
        for search in searches.iter().flatten() {
            black_box(search.likely());
        }
        for key in batch {
            black_box(keyspace.db(DB).get(key, keyspace.hash(key)).map(|entry| entry.value()));
        }
    }
    let batched = start.per_op(count);
    let start = Cpu::start();
    order
        .iter()
        .zip(&present)
        .for_each(|(number, key)| row.set(&mut keyspace, *number, key));
    let set = start.per_op(count);
    println!(
        "{:<28} get {get} ns, absent {miss} ns, get in batches of 16 {batched} ns, overwrite {set} ns",
        ""
    );

    freeze(row, &mut keyspace, keys, &order, &present);
    let start = Instant::now();
    drop(keyspace);
    println!("{:<28} dropped in {:?}", "", start.elapsed());
}

fn freeze(row: Row, keyspace: &mut Keyspace, keys: u64, order: &[u64], present: &[[u8; 16]]) {
    let start = Instant::now();
    let frozen = keyspace.freeze();
    let taken = start.elapsed();
    // So few that nearly all of them are the first in their segment.
    let first_writes = keys as usize / 1000;
    let writes = || order.iter().zip(present).take(first_writes);
    let mut timed = || -> Vec<Duration> {
        let mut times: Vec<Duration> = writes()
            .map(|(number, key)| {
                let start = Instant::now();
                row.set(keyspace, *number, key);
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        times
    };
    let (first, second) = (timed(), timed());
    let start = Cpu::start();
    let held = keyspace.frozen_bytes();
    let mut read = 0;
    for entry in frozen.databases().flatten() {
        black_box(entry.key());
        read += 1;
    }
    assert_eq!((read, keyspace.frozen_bytes()), (keys, 0));
    println!(
        "{:<28} freeze {taken:?}; first write to a frozen segment {:?}, p99 {:?}, a second one {:?}; \
         {first_writes} writes froze {} kB; reading the view {} ns per key",
        "",
        first[first.len() / 2],
        first[first.len() * 99 / 100],
        second[second.len() / 2],
        held / 1000,
        start.per_op(read),
    );
}

/// The longest a single SET takes while a table grows. What another process or an interrupt adds falls elsewhere in
/// each run, so the shortest time of every step over all runs is that step's own.
fn pauses() {
    let keys = 1_000_000;
    let mut shortest = vec![Duration::MAX; keys as usize];
    for _ in 0..7 {
        let mut keyspace = Keyspace::new(1, 42);
        for number in 0..keys {
            let key = key(number);
            let start = Instant::now();
            Row::String.set(&mut keyspace, number, &key);
            let time = &mut shortest[number as usize];
            *time = start.elapsed().min(*time);
        }
    }
    shortest.sort_unstable();
    let [.., second, longest] = shortest[..] else { return };
    println!(
        "growing to {keys} keys: p99.99 {:?}, longest {second:?}, {longest:?}",
        shortest[keys as usize * 9999 / 10000]
    );
}

/// The first write to a chunk of a frozen string of 512 MB.
fn long_string() {
    let mut keyspace = Keyspace::new(1, 42);
    let hash = keyspace.hash(b"long");
    let bytes = 512 * 1024 * 1024;
    keyspace
        .db_mut(DB)
        .set(b"long", hash, NewValue::RawBytes(&vec![b'x'; bytes]), None);
    let frozen = keyspace.freeze();
    let mut rng = Rng::new(3);
    let mut times = Vec::new();
    for _ in 0..1000 {
        let offset = rng.below(bytes as u64) as usize;
        let start = Instant::now();
        if let Some(mut string) = keyspace.db_mut(DB).string_mut(b"long", hash) {
            string.write_at(offset, b"y");
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!(
        "SETRANGE in a frozen 512 MB string: median {:?}, p99 {:?}; 1000 of them froze {} kB",
        times[500],
        times[990],
        keyspace.frozen_bytes() / 1000
    );
    drop(frozen);
}

/// Each row in a process of its own, so that resident memory is the row's.
fn main() {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let keys = words.next().and_then(|keys| keys.parse().ok()).unwrap_or(5_000_000);
    let rows = [Row::String, Row::StringWithExpiry, Row::Integer];
    if let Some(row) = words.next().and_then(|row| row.parse::<usize>().ok()) {
        match rows.get(row) {
            Some(row) => measure(*row, keys),
            None => {
                pauses();
                long_string();
            }
        }
        return;
    }
    println!("{keys} keys");
    for row in 0..=rows.len() {
        let arguments = [keys.to_string(), row.to_string()];
        std::process::Command::new(&program)
            .args(arguments)
            .status()
            .expect("this program again");
    }
}
