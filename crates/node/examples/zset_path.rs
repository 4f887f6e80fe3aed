//! What commands on sorted sets cost without sockets: nanoseconds of the processor from request bytes to reply bytes,
//! sixteen requests at a time, through a whole node.
//!
//! `cargo run --release -p skein-node --example zset_path [MEMBERS] [CASE …]`
//!
//! Cases run in the order of the list, each on what those before it left. For instructions, run it under `perf stat`, or
//! under `valgrind --tool=callgrind --toggle-collect='*measured*'`.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use base::{Now, Rng};
use engine::session::{Peer, SessionId};
use node::{Node, Nowhere, Opened};
use std::sync::OnceLock;
use std::time::Instant;

const BATCH: u64 = 16;
const MEMBERS: u64 = 1_000_000;

#[global_allocator]
static ALLOCATOR: ds::memory::Counting = ds::memory::Counting;

fn mono_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

fn mono_us() -> u64 {
    mono_ns() / 1000
}

/// A command to measure: `#` stands for the number of the request, `?` for a random number below the members, each of
/// twelve digits.
struct Case {
    name: &'static str,
    command: &'static str,
    /// For each member so many requests, in hundredths.
    share: u64,
    /// Numbers go up to this many, in place of the members.
    range: Option<u64>,
}

const fn case(name: &'static str, command: &'static str, share: u64) -> Case {
    Case {
        name,
        command,
        share,
        range: None,
    }
}

static CASES: &[Case] = &[
    case("zadd-new", "ZADD zset ? member:#", 100),
    case("zadd-moved", "ZADD zset ? member:?", 100),
    case("zadd-incr-one", "ZINCRBY zset 1 member:?", 100),
    case("zscore", "ZSCORE zset member:?", 100),
    case("zrank", "ZRANK zset member:?", 100),
    case("zrange", "ZRANGE zset ? +inf BYSCORE LIMIT 0 10", 25),
    case("zrem", "ZREM zset member:?", 10),
    case("zpopmin", "ZPOPMIN zset", 50),
    case("zadd-append", "ZADD log # member:#", 50),
    case("zadd-equal", "ZADD lex 0 member:?", 25),
    case("geoadd", "GEOADD geo 13.? 38.? member:#", 50),
    case("zadd-pairs", "ZADD pair:? 1 a 2 b", 50),
    Case {
        range: Some(1000),
        ..case("zadd-tiny", "ZADD tiny:? 1? member:1?", 50)
    },
    Case {
        range: Some(100),
        ..case("zadd-pack", "ZADD pack ? member:?", 25)
    },
    Case {
        range: Some(1000),
        ..case("zadd-thousand", "ZADD thousand ? member:?", 50)
    },
];

fn word(template: &str, at: u64, range: u64, rng: &mut Rng) -> Vec<u8> {
    let mut out = String::new();
    for letter in template.chars() {
        match letter {
            '#' => out.push_str(&format!("{at:012}")),
            '?' => out.push_str(&format!("{:012}", rng.below(range))),
            letter => out.push(letter),
        }
    }
    out.into_bytes()
}

/// Nanoseconds that this process has had of its processor: wall time says little where others run, too.
fn processor_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let spent = text.split(' ').next().and_then(|word| word.parse().ok());
    spent.unwrap_or_else(mono_ns)
}

#[inline(never)]
fn measured(node: &mut Node, id: SessionId, requests: &[Vec<u8>], now: Now) {
    for request in requests {
        node.begin_turn(Now {
            mono_us: mono_us(),
            ..now
        });
        assert_eq!(node.input(id, request), request.len());
        let sent = node.engine.sessions[id].out.len();
        node.sent(id, sent);
    }
}

fn requests(case: &Case, members: u64, rng: &mut Rng) -> Vec<Vec<u8>> {
    let batch = |batch| {
        let mut request = Vec::new();
        for at in 0..BATCH {
            let number = batch * BATCH + at;
            let range = case.range.unwrap_or(members);
            let words = case.command.split(' ');
            let words: Vec<Vec<u8>> = words.map(|template| word(template, number, range, rng)).collect();
            resp::write_command(&mut request, &words);
        }
        request
    };
    (0..members * case.share / 100 / BATCH).map(batch).collect()
}

fn main() {
    // As in the server.
    std::thread::spawn(ds::memory::prepare_huge_pages);
    let now = Now {
        unix_us: 1_700_000_000_000_000,
        mono_us: mono_us(),
    };
    let config = config::Config::default();
    let Ok(mut node) = Node::new(config, Box::new(Nowhere), now, 1, mono_us) else {
        return;
    };
    let Opened::Session(id) = node.open(Peer {
        loopback: true,
        ..Peer::default()
    }) else {
        return;
    };
    let words: Vec<String> = std::env::args().skip(1).collect();
    let members = words.iter().find_map(|word| word.parse().ok()).unwrap_or(MEMBERS);
    let all = words.iter().all(|word| word.parse::<u64>().is_ok());
    let mut rng = Rng::new(7);
    for case in CASES
        .iter()
        .filter(|case| all || words.iter().any(|word| word == case.name))
    {
        let requests = requests(case, members, &mut rng);
        let begun = processor_ns();
        measured(&mut node, id, &requests, now);
        let spent = processor_ns() - begun;
        let commands = requests.len() as u64 * BATCH;
        println!(
            "{:<14} {:>7.1} ns per command",
            case.name,
            spent as f64 / commands as f64
        );
    }
}
