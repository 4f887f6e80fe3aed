//! Collections of every type: small ones, ones beyond the compact encodings, and one of each that is large.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use base::Rng;

use crate::error::Result;
use crate::{Client, Reply, Server, ensure};

/// A command, word by word.
type Words = Vec<Vec<u8>>;

/// Members that one command adds.
const AT_ONCE: u64 = 200;
/// Commands that are sent before their replies are read.
const PIPELINE: usize = 50;

const TYPES: [&str; 5] = ["list", "set", "hash", "zset", "stream"];

fn words(text: &str) -> Words {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// What one command adds to the collection of a type: members `first` up to, not including, `end`.
fn add(kind: &str, key: &str, first: u64, end: u64) -> Vec<Words> {
    let begin = match kind {
        "list" => "RPUSH",
        "set" => "SADD",
        "hash" => "HSET",
        "zset" => "ZADD",
        _ => {
            let entry = |n: u64| {
                words(&format!(
                    "XADD {key} {}-{} number {n} text t{}",
                    n / 3 + 1,
                    n % 3,
                    n % 97
                ))
            };
            return (first..end).map(entry).collect();
        }
    };
    let mut command = words(&format!("{begin} {key}"));
    for n in first..end {
        command.extend(match kind {
            "hash" => words(&format!("field:{n} value:{}", n * 7)),
            "zset" => words(&format!("{} member:{n}", (n % 1009) as f64 / 8.0)),
            _ if key.ends_with("numbers") => words(&n.to_string()),
            _ => words(&format!("member:{n}")),
        });
    }
    vec![command]
}

/// Fills database 0 with collections of a few members, of some hundreds, and one of each type of `members`; some with an
/// expiry, the small streams with groups that have read some of them.
///
/// # Errors
/// When the server refuses.
pub fn fill(server: &Server, members: u64) -> Result<()> {
    let mut client = server.client()?;
    for kind in TYPES {
        for (size, count) in [("few", 7), ("numbers", 100), ("some", 700), ("large", members)] {
            let key = format!("{kind}:{size}");
            let mut commands = Vec::new();
            for first in (0..count).step_by(AT_ONCE as usize) {
                commands.extend(add(kind, &key, first, count.min(first + AT_ONCE)));
                if commands.len() >= PIPELINE {
                    send(&mut client, &commands)?;
                    commands.clear();
                }
            }
            if size == "few" {
                commands.push(words(&format!("PEXPIRE {key} 3600000")));
            }
            send(&mut client, &commands)?;
        }
    }
    let groups: Vec<Words> = ["few", "some"]
        .iter()
        .flat_map(|size| {
            let key = format!("stream:{size}");
            [
                words(&format!("XGROUP CREATE {key} readers 0")),
                words(&format!("XREADGROUP GROUP readers ann COUNT 5 STREAMS {key} >")),
                words(&format!("XREADGROUP GROUP readers bob COUNT 2 STREAMS {key} >")),
                words(&format!("XDEL {key} 1-1")),
            ]
        })
        .collect();
    send(&mut client, &groups)
}

fn send(client: &mut Client, commands: &[Words]) -> Result<()> {
    for reply in client.pipeline(commands)? {
        ensure!(reply.as_error().is_none(), "filling: {}", reply.text());
    }
    Ok(())
}

/// A thread that changes the collections of [`fill`] until it is stopped.
#[derive(Debug)]
pub struct Changer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Changer {
    /// Starts it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn start(server: &Server, members: u64) -> Result<Self> {
        let mut client = server.client()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut rng = Rng::new(members);
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                let commands: Vec<Words> = (0..PIPELINE).map(|_| change(&mut rng, members)).collect();
                send(&mut client, &commands)?;
                count += commands.len() as u64;
            }
            Ok(count)
        });
        Ok(Self { stop, thread })
    }

    /// Stops it; how many commands it has sent.
    ///
    /// # Errors
    /// When the server refused one of them.
    pub fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| "the thread that changes collections panicked")?
    }
}

fn change(rng: &mut Rng, members: u64) -> Words {
    let size = ["few", "numbers", "some", "large"][rng.below(4) as usize];
    let (n, m) = (rng.below(members), rng.below(1 << 40));
    words(&match rng.below(15) {
        0 => format!("RPUSH list:{size} new:{m}"),
        1 => format!("LPUSH list:{size} {m}"),
        2 => format!("RPOP list:{size} 2"),
        3 => format!("SADD set:{size} {m} new:{n}"),
        4 => format!("SREM set:{size} member:{n} {n}"),
        5 => format!("SPOP set:{size} 1"),
        6 => format!("HSET hash:{size} field:{n} changed:{m}"),
        7 => format!("HDEL hash:{size} field:{n}"),
        8 => format!("HINCRBY hash:{size} counter {n}"),
        9 => format!("ZADD zset:{size} {m} member:{n}"),
        10 => format!("ZREM zset:{size} member:{n}"),
        11 => format!("ZINCRBY zset:{size} 0.5 member:{n}"),
        12 => format!("XADD stream:{size} * number {m} text {n}"),
        13 => format!("XDEL stream:{size} {}-{}", n / 3 + 1, n % 3),
        _ => format!("XADD stream:{size} MAXLEN ~ {members} * other {m}"),
    })
}
