//! Random commands from the table: mostly sensible, some at the edges, some wrong.

use harness::Rng;
use harness::wait;

use super::grammar::{Form, Piece};
use super::run::{Encoding, Step};

/// Words of one command.
pub type Words = Vec<Vec<u8>>;

/// Connections of one epoch.
pub const SESSIONS: usize = 4;

/// Makes the steps of an epoch.
pub struct Generator<'a> {
    pub rng: Rng,
    pub forms: &'a [Form],
    /// Values of DUMP, whole and harmed, for RESTORE.
    pub payloads: &'a [Vec<u8>],
}

impl Generator<'_> {
    /// So many steps, in bursts on one connection after the other.
    pub fn steps(&mut self, count: usize) -> Vec<Step> {
        let mut steps = Vec::with_capacity(count);
        for session in [1, 3] {
            let words = vec![b"HELLO".to_vec(), b"3".to_vec()];
            steps.push(Step::Command {
                session,
                words,
                encoding: Encoding::Multibulk,
            });
        }
        while steps.len() < count {
            match self.rng.below(400) {
                0 => steps.push(Step::Sweep { words: self.sweep() }),
                1..=3 => steps.push(super::garbage::step(&mut self.rng)),
                _ => {
                    let session = self.rng.below(SESSIONS as u64) as usize;
                    for _ in 0..=self.rng.below(48) {
                        steps.push(self.command(session));
                    }
                }
            }
        }
        steps.truncate(count);
        steps
    }

    fn command(&mut self, session: usize) -> Step {
        let total = self.forms.iter().map(|form| form.weight).sum();
        let mut at = self.rng.below(total);
        let forms = self.forms;
        let form = forms
            .iter()
            .find(|form| {
                let here = at < form.weight;
                at = at.saturating_sub(form.weight);
                here
            })
            .unwrap_or(&forms[0]);
        let mut words = Words::new();
        self.expand(&form.words, &mut words);
        if form.harmable && self.rng.chance(1, 12) {
            self.harm(&mut words);
        }
        let short = words.iter().map(Vec::len).sum::<usize>() < 2_000;
        let inline = short && words[0].first().is_some_and(u8::is_ascii_alphabetic) && self.rng.chance(1, 12);
        let encoding = if inline { Encoding::Inline } else { Encoding::Multibulk };
        Step::Command {
            session,
            words,
            encoding,
        }
    }

    /// The options of a whole SCAN.
    fn sweep(&mut self) -> Words {
        let mut words = Words::new();
        if self.rng.chance(1, 2) {
            words.extend([b"COUNT".to_vec(), self.one_of(&["1", "3", "10", "1000"])]);
        }
        if self.rng.chance(1, 2) {
            words.extend([b"MATCH".to_vec(), self.make("pattern")]);
        }
        if self.rng.chance(1, 3) {
            words.extend([b"TYPE".to_vec(), self.make("type")]);
        }
        words
    }

    fn expand(&mut self, piece: &Piece, out: &mut Words) {
        match piece {
            Piece::Word(word) => out.push(self.random_case(word)),
            Piece::Made(name) => out.push(self.make(name)),
            Piece::All(pieces) => pieces.iter().for_each(|piece| self.expand(piece, out)),
            Piece::Maybe(piece) => {
                if self.rng.chance(1, 2) {
                    self.expand(piece, out);
                }
            }
            Piece::OneOf(ways) => {
                let way = self.rng.below(ways.len() as u64) as usize;
                self.expand(&ways[way], out);
            }
            Piece::Repeat(piece) => {
                for _ in 0..=self.rng.below(4) {
                    self.expand(piece, out);
                }
            }
        }
    }

    fn random_case(&mut self, word: &str) -> Vec<u8> {
        match self.rng.below(6) {
            0 => word.to_lowercase().into_bytes(),
            1 => word
                .bytes()
                .map(|b| {
                    if self.rng.chance(1, 2) {
                        b.to_ascii_lowercase()
                    } else {
                        b
                    }
                })
                .collect(),
            _ => word.as_bytes().to_vec(),
        }
    }

    /// Drops, adds, doubles, swaps or replaces words; the command's name stays.
    fn harm(&mut self, words: &mut Words) {
        let at = self.rng.below(words.len() as u64) as usize;
        match self.rng.below(6) {
            0 if at > 0 => drop(words.remove(at)),
            1 if at > 0 => words.insert(at, words[at].clone()),
            2 if at > 0 => words[at] = self.make("junk"),
            // With these the value would become the expiry, perhaps a near one.
            3 if at > 1 && !words[0].to_ascii_lowercase().ends_with(b"setex") => words.swap(at, at - 1),
            4 => words.truncate(1),
            _ => words.push(self.make("junk")),
        }
    }

    fn one_of(&mut self, from: &[&str]) -> Vec<u8> {
        self.rng.pick(from).as_bytes().to_vec()
    }

    fn number(&mut self, below: u64) -> Vec<u8> {
        self.rng.below(below).to_string().into_bytes()
    }

    fn make(&mut self, name: &str) -> Vec<u8> {
        let now = wait::unix_ms();
        // The time of the run must not show in what is sent: a day is near enough, and a seed gives the same again.
        let today = now - now % 86_400_000;
        match name {
            "key" => self.key(),
            "value" => self.value(),
            "int" => self.int(),
            "float" => self.one_of(FLOATS),
            "offset" => match self.rng.below(4) {
                0 => self.one_of(OFFSETS),
                _ => (self.rng.below(40) as i64 - 20).to_string().into_bytes(),
            },
            "setoffset" => match self.rng.below(5) {
                0 => self.one_of(&[
                    "65530",
                    "65536",
                    "70000",
                    "536870912",
                    "9223372036854775807",
                    "-1",
                    "x",
                    "4294967296",
                ]),
                _ => self.number(60),
            },
            "secs" => self.duration(100_000, 1 << 33),
            "millis" => self.duration(100_000_000, 1 << 43),
            "at" => self.moment(today / 1000 + 1_000_000),
            "atms" => self.moment(today + 1_000_000_000),
            // SET with a moment past leaves a key that is gone only when somebody looks: the counts of keys would race.
            "farat" => (today / 1000 + 1_000_000 + self.rng.below(1 << 30) as i64)
                .to_string()
                .into_bytes(),
            "faratms" => (today + 1_000_000_000 + self.rng.below(1 << 40) as i64)
                .to_string()
                .into_bytes(),
            "restorettl" => match self.rng.below(6) {
                0..=3 => b"0".to_vec(),
                4 => (today + 1_000_000_000).to_string().into_bytes(),
                _ => self.one_of(&["-1", "x", "9223372036854775807", "100000000"]),
            },
            "payload" => self.rng.pick(self.payloads).clone(),
            "db" => match self.rng.below(10) {
                0 => self.one_of(&["16", "-1", "x", "", "9999999999999999999", "4294967296"]),
                1 => self.number(16),
                _ => self.number(3),
            },
            "count" => self.one_of(&["0", "1", "2", "3", "5", "10", "1000", "-1", "x", ""]),
            "cursor" => self.one_of(&["0", "0", "0", "0", "0", "x", "-1", "", "1e3", "18446744073709551616"]),
            "type" => self.one_of(&["string", "STRING", "list", "zset", "hash", "stream", "set", "nosuch"]),
            "pattern" => self.one_of(PATTERNS),
            "name" => self.one_of(&["bob", "", "two words", "line\nend", "ok-name", "caf\u{e9}", "x:y"]),
            "setword" => self.one_of(&[
                "NX", "XX", "GET", "KEEPTTL", "EX", "PX", "EXAT", "100", "100000", "PERSIST",
            ]),
            "waitcount" => self.one_of(&["0", "1", "-1", "5"]),
            "command" => self.one_of(COMMANDS),
            "parameter" => self.one_of(PARAMETERS),
            "junk" => self.one_of(JUNK),
            other => panic!("grammar.txt: there is no generator <{other}>"),
        }
    }

    fn key(&mut self) -> Vec<u8> {
        match self.rng.below(60) {
            0 => Vec::new(),
            1 => b"key with space".to_vec(),
            2 => b"\x00\xff\r\n\"bin".to_vec(),
            3 => vec![b'L'; 300],
            4..=14 => [b"new:".as_slice(), &self.number(300)].concat(),
            _ => [b"k".as_slice(), &self.number(24)].concat(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.below(40) {
            0..=9 => self.int(),
            10..=14 => self.one_of(FLOATS),
            15..=27 => {
                let len = self.rng.below(60);
                (0..len).map(|_| b'a' + self.rng.below(26) as u8).collect()
            }
            28..=31 => {
                let len = self.rng.below(90);
                (0..len).map(|_| self.rng.below(256) as u8).collect()
            }
            32..=34 => b"abcab".repeat(self.rng.below(60) as usize),
            35 => Vec::new(),
            36 => vec![b'4'; 44],
            37 => vec![b'5'; 45],
            38 => (0..self.rng.below(3_000)).map(|n| (n * n) as u8).collect(),
            _ => match self.rng.below(8) {
                0 => vec![b'z'; 70_000],
                1 => (0..66_000_u32)
                    .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
                    .collect(),
                _ => b"plain".to_vec(),
            },
        }
    }

    fn int(&mut self) -> Vec<u8> {
        match self.rng.below(5) {
            0 => self.one_of(INTS),
            1 => ((self.rng.next_u64() as i64) >> self.rng.below(63))
                .to_string()
                .into_bytes(),
            _ => (self.rng.below(200) as i64 - 100).to_string().into_bytes(),
        }
    }

    /// Far away, past, at the edges or wrong; never so near that it could run out during the test.
    fn duration(&mut self, from: u64, spread: u64) -> Vec<u8> {
        match self.rng.below(10) {
            0 => self.one_of(&["0", "-1", "-100", "-9223372036854775808"]),
            1 => self.one_of(&[
                "9223372036854775807",
                "9223372036854775",
                "9223372036854776",
                "x",
                "",
                "1.5",
                " 1",
                "99999999999999999999",
            ]),
            _ => (from + self.rng.below(spread)).to_string().into_bytes(),
        }
    }

    fn moment(&mut self, far: i64) -> Vec<u8> {
        match self.rng.below(10) {
            0 | 1 => self.one_of(&["0", "1", "-1", "1000000000", "-9223372036854775808"]),
            2 => self.one_of(&[
                "9223372036854775807",
                "9223372036854775",
                "9223372036854776",
                "x",
                "",
                "1e10",
            ]),
            _ => (far + self.rng.below(1 << 30) as i64).to_string().into_bytes(),
        }
    }
}

const INTS: &[&str] = &[
    "0",
    "-0",
    "+1",
    "01",
    " 1",
    "1 ",
    "1.0",
    "abc",
    "",
    "-",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "9223372036854775806",
    "10000",
    "9999",
    "18446744073709551615",
    "00",
    "0x10",
    "1e2",
    "99999999999999999999999999",
];
const FLOATS: &[&str] = &[
    "0",
    "0.1",
    "-0.1",
    "1.5",
    "3.0e3",
    "5.0e-3",
    "1e17",
    "1e20",
    "-1e-20",
    "0.30000000000000004",
    "inf",
    "-inf",
    "nan",
    "1e400",
    "1e4931",
    "1e5000",
    "abc",
    "",
    " 1",
    "1 ",
    "+2.5",
    "0x1p4",
    "3.14159265358979323846264338327950288",
    "1e308",
    "200.0000000",
    "1.",
    ".5",
    "-5",
    "1000000000000000000000",
    "17976931348623157e292",
    "Infinity",
    "1e-400",
    "-0.0",
];
const OFFSETS: &[&str] = &[
    "0",
    "-1",
    "65535",
    "65536",
    "70000",
    "1000000",
    "-1000000",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
    "",
    "1.0",
    "4294967296",
];
const PATTERNS: &[&str] = &[
    "*", "k*", "k?", "k1?", "new:*", "k[1-3]", "k[^1]", "k[a-z]", "*1*", "[k", "\\k*", "**", "", "L*", "k[3-1]",
    "nosuch", "*:*5", "k\\", "?*", "[^k]*",
];
const COMMANDS: &[&str] = &[
    "get",
    "SET",
    "mset",
    "msetnx",
    "del",
    "getex",
    "copy",
    "rename",
    "incrbyfloat",
    "lcs",
    "object",
    "config|get",
    "client|kill",
    "expire",
    "ttl",
    "scan",
    "keys",
    "multi",
    "exec",
    "watch",
    "ping",
    "hello",
    "auth",
    "select",
    "info",
    "nosuch",
    "config|nosuch",
    "swapdb",
    "wait",
    "restore",
    "dump",
    "psync",
    "replicaof",
    "slaveof",
    "role",
    "shutdown",
    "memory|usage",
    "publish",
    "randomkey",
    "append",
    "substr",
    "getrange",
    "setrange",
    "strlen",
    "touch",
    "unlink",
    "persist",
    "move",
    "flushall",
    "debug",
    "reset",
    "quit",
];
const PARAMETERS: &[&str] = &[
    "maxmemory",
    "maxmemory-policy",
    "appendonly",
    "save",
    "hz",
    "databases",
    "timeout",
    "slowlog-log-slower-than",
    "client-output-buffer-limit",
    "repl-backlog-size",
    "maxclients",
    "replica-read-only",
    "slave-read-only",
    "masterauth",
    "min-replicas-to-write",
    "min-slaves-*",
    "repl-diskless-*",
    "list-max-*",
    "HZ",
    "no-such-parameter",
    "proto-max-bulk-len",
    "tcp-keepalive",
    "notify-keyspace-events",
    "requirepass",
    "lfu-*",
    "latency-*",
    "active*",
    "hash-max-listpack-entries",
    "replica-serve-stale-data",
    "loglevel",
    "oom-score-adj-values",
    "rdbcompression",
    "maxmemory-samples",
    "*ziplist*",
];
const JUNK: &[&str] = &[
    "",
    "junk",
    "0",
    "-1",
    "*",
    "\r\n",
    "a\"b",
    "GET",
    "NX",
    "EX",
    "caf\u{e9}",
    "nan",
    "9223372036854775808",
    "'",
    "a-rather-long-word-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on",
];
