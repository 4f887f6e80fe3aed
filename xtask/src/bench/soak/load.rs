//! Clients that write and read all types as fast as they are served. What they write stays within bounds, so that the
//! dataset has a size that it keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use harness::reply::write_command;
use harness::{Client, Reply, Result, Rng, Server, bail, ensure, process};

const PIPELINE: usize = 32;
/// Keys of each type.
const KEYS: u64 = 1_500;
/// Members of the one large collection of each type.
const LARGE: u64 = 20_000;
const SMALL: u64 = 40;
/// Writers and readers give way to replicas by so much.
const NICENESS: i32 = 10;
/// Bytes in a second that a leak writes to keys of its own.
const LEAK_BYTES: u64 = 2_000_000;

/// One command, words between blanks.
fn write(rng: &mut Rng) -> String {
    let large = rng.chance(1, 4);
    let n = if large { 0 } else { 1 + rng.below(KEYS) };
    let m = rng.below(if large { LARGE } else { SMALL });
    match rng.below(20) {
        0..=3 => format!("SET s:{n} {}", value(rng)),
        4 => format!("SET e:{n} {} PX {}", value(rng), 1 + rng.below(20_000)),
        5 => format!("INCRBY c:{n} {m}"),
        6 => format!("DEL s:{n}"),
        7 => format!("SETRANGE s:{n} {} {m}", rng.below(400)),
        8 | 9 => format!("HSET h:{n} field:{m} {}", rng.below(1 << 40)),
        10 => format!("HDEL h:{n} field:{m}"),
        11 => format!("SADD m:{n} member:{m}"),
        12 => format!("SREM m:{n} member:{m}"),
        13 | 14 => format!("ZADD z:{n} {} member:{m}", rng.below(1 << 30)),
        15 => format!("ZREM z:{n} member:{m}"),
        16 => format!("RPUSH l:{n} element:{m} {}", rng.below(1 << 40)),
        17 => format!("LTRIM l:{n} -{} -1", if large { LARGE } else { SMALL }),
        18 => format!("XADD x:{n} MAXLEN ~ {} * field {m}", if large { LARGE } else { SMALL }),
        _ => format!("SETBIT b:{} {} {}", n % 50, rng.below(1 << 20), m % 2),
    }
}

fn read(rng: &mut Rng) -> String {
    let n = if rng.chance(1, 4) { 0 } else { 1 + rng.below(KEYS) };
    let m = rng.below(SMALL);
    match rng.below(10) {
        0..=3 => format!("GET s:{n}"),
        4 => format!("HGET h:{n} field:{m}"),
        5 => format!("SISMEMBER m:{n} member:{m}"),
        6 => format!("ZRANGE z:{n} {m} {}", m + 10),
        7 => format!("LRANGE l:{n} 0 10"),
        8 => format!("XRANGE x:{n} - + COUNT 5"),
        _ => format!("SCAN {n} COUNT 20"),
    }
}

fn value(rng: &mut Rng) -> String {
    let len = match rng.below(1_000) {
        0..=899 => rng.below(200),
        900..=998 => rng.below(4_000),
        _ => rng.below(150_000),
    } as usize;
    let mut text = format!("{:016x}", rng.next_u64()).repeat(len / 16 + 1);
    text.truncate(len + 1);
    text
}

/// Brings the dataset to the size that it keeps: the large stream is the last to be full, and gets one write in eighty.
pub fn fill(server: &Server) -> Result<()> {
    const BATCH: usize = 500;
    let mut client = server.client()?;
    let mut rng = Rng::new(77);
    for _ in 0..(LARGE as usize * 80 / BATCH) {
        batch(&mut client, &mut rng, write, BATCH)?;
    }
    Ok(())
}

fn batch(client: &mut Client, rng: &mut Rng, make: fn(&mut Rng) -> String, count: usize) -> Result<()> {
    let mut out = Vec::new();
    for _ in 0..count {
        write_command(&mut out, &make(rng).split(' ').collect::<Vec<_>>());
    }
    client.send_raw(&out)?;
    for _ in 0..count {
        let reply = client.reply()?;
        // A replica that loads, or has lost its primary, says so.
        let error = reply
            .as_error()
            .filter(|e| !e.starts_with(b"LOADING") && !e.starts_with(b"MASTERDOWN"));
        ensure!(error.is_none(), "refused: {}", reply.text());
    }
    Ok(())
}

/// A client in a thread of its own.
pub struct Worker {
    kind: Kind,
    done: Arc<AtomicU64>,
    thread: JoinHandle<Result<()>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Writer,
    Reader,
    Leak,
}

impl Worker {
    pub fn writer(port: u16, seed: u64, stop: &Arc<AtomicBool>) -> Self {
        Self::start(Kind::Writer, port, seed, stop)
    }

    pub fn reader(port: u16, seed: u64, stop: &Arc<AtomicBool>) -> Self {
        Self::start(Kind::Reader, port, seed, stop)
    }

    /// What a server that forgets to free memory would look like.
    pub fn leak(port: u16, stop: &Arc<AtomicBool>) -> Self {
        Self::start(Kind::Leak, port, 0, stop)
    }

    fn start(kind: Kind, port: u16, seed: u64, stop: &Arc<AtomicBool>) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let (stop, count) = (stop.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            process::be_nice(NICENESS)?;
            let mut client = Client::connect(port)?;
            let mut rng = Rng::new(seed);
            while !stop.load(Ordering::Relaxed) {
                match kind {
                    Kind::Writer => batch(&mut client, &mut rng, write, PIPELINE)?,
                    Kind::Reader => batch(&mut client, &mut rng, read, PIPELINE)?,
                    Kind::Leak => leak(&mut client, count.load(Ordering::Relaxed))?,
                }
                count.fetch_add(PIPELINE as u64, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { kind, done, thread }
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub fn writes(&self) -> u64 {
        if self.kind == Kind::Reader {
            0
        } else {
            self.done.load(Ordering::Relaxed)
        }
    }

    pub fn reads(&self) -> u64 {
        if self.kind == Kind::Reader {
            self.done.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    /// Waits for its end; it must have been told to stop.
    pub fn finish(self) -> Result<()> {
        match self.thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a client panicked"),
        }
    }
}

fn leak(client: &mut Client, number: u64) -> Result<()> {
    client.ok(&["SET", &format!("leak:{number}"), &"x".repeat(LEAK_BYTES as usize / 100)])?;
    std::thread::sleep(Duration::from_millis(10));
    Ok(())
}
