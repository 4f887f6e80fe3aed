//! Load: filling a server, and writers that go on until told to stop. All bounded in count and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base::Rng;

use crate::error::Result;
use crate::reply::{Reply, write_command};
use crate::{Client, Server, bail, ensure, wait};

/// A number written by its text; spares the callers the conversions.
fn text(n: impl std::fmt::Display) -> Vec<u8> {
    n.to_string().into_bytes()
}

/// Fills database 0 with `keys` strings `key:N` of `bytes` bytes each.
///
/// # Errors
/// When the server refuses.
pub fn fill(server: &Server, keys: u64, bytes: usize) -> Result<()> {
    let mut client = server.client()?;
    let mut rng = Rng::new(keys);
    in_batches(&mut client, keys, |n, out| {
        let value = noise(&mut rng, bytes);
        write_command(out, &[b"SET".to_vec(), [b"key:".as_slice(), &text(n)].concat(), value]);
    })
}

/// Printable bytes that no compressor makes shorter by much.
fn noise(rng: &mut Rng, bytes: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        value.extend(rng.next_u64().to_le_bytes().map(|byte| b'0' + byte % 64));
    }
    value.truncate(bytes);
    value
}

/// Fills three databases with `keys` strings of mixed size (empty to 200 kB, mostly small), numbers among them; a third
/// has an expiry, some of them within seconds.
///
/// # Errors
/// When the server refuses.
pub fn fill_mixed(server: &Server, keys: u64, seed: u64) -> Result<()> {
    let mut client = server.client()?;
    let mut rng = Rng::new(seed);
    for db in [0, 1, 9] {
        client.ok(&["SELECT", &db.to_string()])?;
        in_batches(&mut client, keys / 3, |n, out| {
            let key = [b"key:".as_slice(), &text(n)].concat();
            let mut words = vec![b"SET".to_vec(), key, mixed_value(&mut rng)];
            if rng.chance(1, 3) {
                let ms = if rng.chance(1, 10) {
                    rng.below(5_000) + 1
                } else {
                    3_600_000 + rng.below(1 << 40)
                };
                words.extend([b"PX".to_vec(), text(ms)]);
            }
            write_command(out, &words);
        })?;
    }
    Ok(())
}

fn mixed_value(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.below(1000) {
        0..=199 => return text(rng.next_u64() as i64 >> rng.below(64)),
        200..=899 => rng.below(200),
        900..=989 => rng.below(5_000),
        990..=998 => rng.below(40_000),
        _ => rng.below(200_000),
    } as usize;
    let mut value = vec![0; len];
    // Half of them compress well.
    let spread = if rng.chance(1, 2) { 4 } else { 256 };
    for byte in &mut value {
        *byte = rng.below(spread) as u8;
    }
    value
}

fn in_batches(client: &mut Client, count: u64, mut make: impl FnMut(u64, &mut Vec<u8>)) -> Result<()> {
    const BATCH: u64 = 500;
    let mut out = Vec::new();
    for first in (0..count).step_by(BATCH as usize) {
        out.clear();
        let batch = first..count.min(first + BATCH);
        for n in batch.clone() {
            make(n, &mut out);
        }
        client.send_raw(&out)?;
        for _ in batch {
            let reply = client.reply()?;
            ensure!(reply.as_error().is_none(), "filling: {}", reply.text());
        }
    }
    Ok(())
}

/// What a writer does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Fixes the commands.
    pub seed: u64,
    /// Keys are the prefix and a number below this.
    pub keys: u64,
    /// What keys begin with; `key:` are those of the fillings.
    pub prefix: &'static str,
    /// Commands sent before their replies are read.
    pub pipeline: usize,
    /// At most so many commands in a second; `None` for as many as go.
    pub per_second: Option<u64>,
    /// Only SET of values of so many bytes, as benchmarks do; `None` for all kinds of writes.
    pub set_bytes: Option<usize>,
    /// Ends by itself after this time.
    pub at_most: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        let at_most = Duration::from_secs(300);
        Self {
            seed: 1,
            keys: 10_000,
            prefix: "key:",
            pipeline: 32,
            per_second: None,
            set_bytes: None,
            at_most,
        }
    }
}

/// A thread that writes until it is stopped.
#[derive(Debug)]
pub struct Writer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Writer {
    /// Starts writing to a server.
    ///
    /// # Errors
    /// When it does not take the connection.
    pub fn start(server: &Server, plan: Plan) -> Result<Self> {
        let client = server.client()?;
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let thread = std::thread::spawn({
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            move || write_on(client, &plan, &stop, &done)
        });
        Ok(Self {
            stop,
            done,
            thread: Some(thread),
        })
    }

    /// Commands answered so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Stops writing; gives the number of commands answered.
    ///
    /// # Errors
    /// With what ended the writing before.
    pub fn stop(mut self) -> Result<u64> {
        self.join()?;
        Ok(self.done())
    }

    fn join(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => bail!("a writer panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

fn write_on(mut client: Client, plan: &Plan, stop: &AtomicBool, done: &AtomicU64) -> Result<()> {
    let start = Instant::now();
    let mut rng = Rng::new(plan.seed);
    let mut out = Vec::new();
    while !stop.load(Ordering::Relaxed) && start.elapsed() < plan.at_most {
        out.clear();
        let mut expected = 0;
        while expected < plan.pipeline {
            expected += write_something(&mut rng, plan, &mut out);
        }
        client.send_raw(&out)?;
        for _ in 0..expected {
            let reply = client.reply()?;
            ensure!(reply.as_error().is_none(), "a write was refused: {}", reply.text());
        }
        let total = done.fetch_add(expected as u64, Ordering::Relaxed) + expected as u64;
        if let Some(rate) = plan.per_second {
            let due = Duration::from_secs_f64(total as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(start.elapsed()).min(Duration::from_millis(100)));
        }
    }
    Ok(())
}

/// Appends one write, or a transaction; gives the number of replies to expect. Nothing here can be refused.
fn write_something(rng: &mut Rng, plan: &Plan, out: &mut Vec<u8>) -> usize {
    let key = [plan.prefix.as_bytes(), &text(rng.below(plan.keys))].concat();
    if let Some(bytes) = plan.set_bytes {
        let value = noise(rng, bytes);
        write_command(out, &[b"SET".to_vec(), key, value]);
        return 1;
    }
    let b = |s: &str| s.as_bytes().to_vec();
    let counter = [b"counter:".as_slice(), &text(rng.below(plan.keys / 10 + 1))].concat();
    let words = match rng.below(17) {
        0..=4 => vec![b("SET"), key, mixed_value(rng)],
        5 => vec![b("SET"), key, mixed_value(rng), b("PX"), text(rng.below(3_000) + 1)],
        6 => vec![
            b("SET"),
            key,
            mixed_value(rng),
            b("EX"),
            text(10_000 + rng.below(100_000)),
        ],
        7 => vec![b("INCRBY"), counter, text(rng.below(1000))],
        8 => vec![b("INCRBYFLOAT"), counter_float(rng), b("0.1")],
        9 => vec![b("DEL"), key],
        10 => vec![b("UNLINK"), key],
        11 => vec![b("PEXPIRE"), key, text(100_000 + rng.below(1 << 30))],
        12 => vec![b("PERSIST"), key],
        13 => vec![b("SETRANGE"), key, text(rng.below(300)), text(rng.next_u64())],
        14 => vec![b("GETDEL"), key],
        15 => vec![b("MSET"), key, mixed_value(rng), counter, text(rng.below(9))],
        _ => {
            let now = wait::unix_ms();
            write_command(out, &[b("MULTI")]);
            write_command(out, &[b("SET"), key.clone(), b("in a transaction")]);
            write_command(
                out,
                &[b("PEXPIREAT"), key, text(now + 50_000 + rng.below(1 << 30) as i64)],
            );
            write_command(out, &[b("EXEC")]);
            return 4;
        }
    };
    write_command(out, &words);
    1
}

fn counter_float(rng: &mut Rng) -> Vec<u8> {
    [b"float:".as_slice(), &text(rng.below(50))].concat()
}

/// A thread that asks for one key over and over and keeps how long each answer took.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<u32>>>>,
}

impl Probe {
    /// Starts asking `GET` once a millisecond.
    ///
    /// # Errors
    /// When the server does not take the connection.
    pub fn start(server: &Server) -> Result<Self> {
        let mut client = server.client()?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut micros = Vec::new();
            while !flag.load(Ordering::Relaxed) {
                let start = Instant::now();
                client.ok(&["GET", "key:0"])?;
                let took = start.elapsed();
                micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                std::thread::sleep(Duration::from_millis(1).saturating_sub(took));
            }
            Ok(micros)
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Stops; gives all latencies in microseconds, sorted.
    ///
    /// # Errors
    /// With what ended the asking before.
    pub fn stop(mut self) -> Result<Vec<u32>> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(Ok(result)) = self.thread.take().map(JoinHandle::join) else {
            bail!("the probe panicked")
        };
        let mut micros = result?;
        micros.sort_unstable();
        Ok(micros)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The value below which `per_mille` of a thousand lie, of a sorted list; 0 of an empty one.
#[must_use]
pub fn quantile(sorted: &[u32], per_mille: usize) -> u32 {
    let at = (sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}
