//! What clients send: commands of every kind that propagates, alone and in transactions, across databases.

use std::collections::VecDeque;

use base::Rng;
use engine::SessionId;

/// How many databases clients use.
const DATABASES: u64 = 3;

/// A client of one server.
pub struct Client {
    /// Its session.
    pub session: SessionId,
    /// What it is about to send, in order.
    pub script: VecDeque<String>,
    /// Sent and not yet consumed: the server holds it back.
    pub input: Vec<u8>,
    /// Sent commands whose replies have not come.
    pub unanswered: VecDeque<String>,
}

impl Client {
    /// A client that has nothing to say yet.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            script: VecDeque::new(),
            input: Vec::new(),
            unanswered: VecDeque::new(),
        }
    }

    /// The next command; once it has said everything, it thinks of something new.
    pub fn next(&mut self, rng: &mut Rng) -> String {
        if self.script.is_empty() {
            self.script.extend(script(rng));
        }
        self.script.pop_front().unwrap_or_else(|| "PING".into())
    }
}

/// One command, or a transaction.
fn script(rng: &mut Rng) -> Vec<String> {
    if !rng.chance(1, 8) {
        return vec![command(rng)];
    }
    let mut lines = Vec::new();
    if rng.chance(1, 4) {
        lines.push(format!("WATCH {}", key(rng)));
    }
    lines.push("MULTI".into());
    lines.extend((0..rng.below(6)).map(|_| command(rng)));
    if rng.chance(1, 100) {
        lines.push(in_transaction(rng).into());
        lines.push(command(rng));
    }
    lines.push(if rng.chance(1, 12) { "DISCARD" } else { "EXEC" }.into());
    lines
}

/// What operators rarely put into a transaction, and may.
fn in_transaction(rng: &mut Rng) -> &'static str {
    const LINES: [&str; 5] = [
        "BGSAVE",
        "REPLICAOF NO ONE",
        "REPLICAOF n0 7000",
        "FAILOVER TIMEOUT 500",
        "CLIENT KILL TYPE replica",
    ];
    LINES[rng.below(LINES.len() as u64) as usize]
}

fn key(rng: &mut Rng) -> String {
    format!("k{}", rng.below(30))
}

fn value(rng: &mut Rng) -> String {
    match rng.below(40) {
        0 => "z".repeat(rng.below(6_000) as usize + 1),
        1..=3 => "y".repeat(rng.below(300) as usize + 1),
        4..=12 => rng.below(1_000_000).to_string(),
        _ => format!("v{}", rng.below(1 << 40)),
    }
}

fn soon(rng: &mut Rng) -> u64 {
    let most_ms = *rng.pick(&[300, 2_000, 20_000]);
    1 + rng.below(most_ms)
}

fn command(rng: &mut Rng) -> String {
    let (key, counter) = (key(rng), format!("n{}", rng.below(6)));
    match rng.below(62) {
        0..=11 => format!("SET {key} {}", value(rng)),
        12..=13 => format!("SET {key} {} PX {}", value(rng), soon(rng)),
        14 => format!("SET {key} {} EX {}", value(rng), 1 + rng.below(3)),
        15 => format!(
            "SET {key} {} {}",
            value(rng),
            rng.pick(&["NX", "XX", "KEEPTTL", "GET", "XX KEEPTTL"])
        ),
        16 => format!("SETNX {key} {}", value(rng)),
        17 => format!("PSETEX {key} {} {}", soon(rng), value(rng)),
        18 => format!("GETSET {key} {}", value(rng)),
        19 => format!("GETDEL {key}"),
        20 => format!("GETEX {key} PX {}", soon(rng)),
        21 => format!("GETEX {key} PERSIST"),
        22..=24 => format!("INCR {counter}"),
        25 => format!("INCRBY {counter} {}", rng.below(1000)),
        26 => format!("DECRBY {counter} {}", rng.below(1000)),
        27 => format!("INCRBYFLOAT f{} {}.{}", rng.below(3), rng.below(100), rng.below(100)),
        28..=29 => format!("APPEND {key} {}", value(rng)),
        30 => format!("SETRANGE {key} {} {}", rng.below(40), value(rng)),
        31..=33 => format!("DEL {key}"),
        34 => format!("UNLINK {key} k{} {counter}", rng.below(30)),
        35..=37 => format!("PEXPIRE {key} {}", soon(rng)),
        38 => format!(
            "EXPIRE {counter} {} {}",
            rng.below(4),
            rng.pick(&["NX", "XX", "GT", "LT"])
        ),
        39 => format!("PERSIST {key}"),
        40..=41 => format!("MSET {key} {} k{} {}", value(rng), rng.below(30), value(rng)),
        42 => format!("MSETNX {key} {} k{} {}", value(rng), rng.below(30), value(rng)),
        43 => format!("RENAME {key} k{}", rng.below(30)),
        44 => format!("RENAMENX {key} k{}", rng.below(30)),
        45 => format!("COPY {key} k{}", rng.below(30)),
        46 => format!("COPY {key} {key} DB {} REPLACE", rng.below(DATABASES)),
        47 => format!("MOVE {key} {}", rng.below(DATABASES)),
        48..=49 => format!("SELECT {}", rng.below(DATABASES)),
        50 => rare(rng),
        51 => format!("PUBLISH news {}", rng.below(100)),
        52 => format!("WAIT {} {}", rng.below(3), 1 + rng.below(300)),
        _ => format!("GET {key}"),
    }
}

fn rare(rng: &mut Rng) -> String {
    match rng.below(10) {
        0..=1 => format!("SWAPDB {} {}", rng.below(DATABASES), rng.below(DATABASES)),
        2 => "FLUSHDB".into(),
        3 => "FLUSHALL ASYNC".into(),
        4 => "INFO".into(),
        5 => "ROLE".into(),
        6 => "BGSAVE".into(),
        7 => "SAVE".into(),
        8 => "DBSIZE".into(),
        _ => "CONFIG SET repl-backlog-size 3000".into(),
    }
}
