//! What a command costs without sockets: nanoseconds from request bytes to reply bytes, through a whole node.
//!
//! `cargo run --release -p skein-node --example hot_path [SET | GET] [KEYS] [COMMANDS]`
//!
//! For instructions: `valgrind --tool=callgrind --toggle-collect='*turn*'` before the built example, with fewer keys
//! and commands.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use base::Now;
use engine::SessionId;
use engine::session::Peer;
use node::{Node, Nowhere, Opened};
use std::sync::OnceLock;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: ds::memory::Counting = ds::memory::Counting;

const KEYS: u64 = 1_000_000;
const COMMANDS: u64 = 2_000_000;
const BATCH: u64 = 128;

fn mono_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

/// What is measured: a turn of the loop with one batch of requests.
#[inline(never)]
fn turn(node: &mut Node, id: SessionId, now: Now, request: &[u8]) {
    node.begin_turn(now);
    assert_eq!(node.input(id, request), request.len());
    let sent = node.engine.sessions[id].out.len();
    node.sent(id, sent);
}

fn main() {
    let mut words = std::env::args().skip(1).peekable();
    let only = words.next_if(|word| word.parse::<u64>().is_err());
    let mut number = |default| words.next().and_then(|word| word.parse().ok()).unwrap_or(default);
    let (keys, commands) = (number(KEYS), number(COMMANDS));
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
    let value = [b'x'; 64];
    let key = |n: u64| format!("key:{n:012}").into_bytes();
    let set = |key: &[u8]| -> Vec<u8> {
        let mut out = Vec::new();
        resp::write_command(&mut out, [b"SET".as_slice(), key, &value]);
        out
    };
    let get = |key: &[u8]| -> Vec<u8> {
        let mut out = Vec::new();
        resp::write_command(&mut out, [b"GET".as_slice(), key]);
        out
    };
    let mut rng = base::Rng::new(7);
    for (name, random) in [("SET new", false), ("SET", true), ("GET", true)] {
        let counted = only.as_deref().is_none_or(|only| only == name);
        let total = if random { commands } else { keys };
        if !counted && random {
            continue;
        }
        let mut spent = 0;
        for batch in 0..total / BATCH {
            let mut request = Vec::new();
            for at in 0..BATCH {
                let number = if random { rng.below(keys) } else { batch * BATCH + at };
                request.extend(if name == "GET" {
                    get(&key(number))
                } else {
                    set(&key(number))
                });
            }
            let begun = mono_us();
            turn(&mut node, id, Now { mono_us: begun, ..now }, &request);
            spent += mono_us() - begun;
        }
        println!(
            "{name:<8} {:>6.1} ns per command",
            spent as f64 * 1000.0 / (total - total % BATCH) as f64
        );
    }
}
