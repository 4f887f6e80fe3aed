//! How long the parser takes for a command of a pipeline: `cargo run --profile fast -p skein-resp --example parse`.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use resp::{Argv, Limits, Parsed, Parser, Proto, Reply, write_command};

const PIPELINE: usize = 128;
const ROUNDS: usize = 5_000;

fn main() {
    let value = "v".repeat(100);
    parse("GET key:000000012345", &["GET", "key:000000012345"]);
    parse("SET key:000000012345 <100 bytes>", &["SET", "key:000000012345", &value]);
    parse("MSET of 10 pairs", &["MSET"; 21]);
    parse_stream("PING inline", b"PING\r\n", 1);

    let (mut out, value) = (Vec::new(), [b'v'; 100]);
    measure("reply: bulk of 100 bytes", 108, || {
        out.clear();
        for _ in 0..PIPELINE {
            Reply::new(&mut out, Proto::Resp2).bulk(black_box(&value));
        }
        black_box(&out);
    });
}

fn parse(name: &str, words: &[&str]) {
    let mut one = Vec::new();
    write_command(&mut one, words.iter());
    parse_stream(name, &one, words.len());
}

fn parse_stream(name: &str, one: &[u8], words: usize) {
    let stream = one.repeat(PIPELINE);
    let (mut parser, mut argv, limits) = (Parser::new(), Argv::new(), Limits::default());
    measure(name, one.len(), || {
        let mut rest = black_box(stream.as_slice());
        while let Parsed::Command { consumed } = parser.parse(rest, &limits, &mut argv) {
            assert_eq!(black_box(argv.args(rest)).len(), words);
            rest = &rest[consumed..];
        }
        assert!(rest.is_empty());
    });
}

/// Prints the best time of many rounds of one pipeline each: what the code takes when nothing disturbs it.
fn measure(name: &str, bytes: usize, mut pipeline: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        pipeline();
        best = best.min(start.elapsed().as_nanos() as f64 / PIPELINE as f64);
    }
    println!("{name:34} {best:6.1} ns  {:5.1} GB/s", bytes as f64 / best);
}
