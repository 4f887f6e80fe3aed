//! The request parser: requests per second and bytes per second of a pipeline of 128.
//!
//! `cargo bench -p skein-resp`
#![allow(missing_docs)]

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use resp::{Argv, Limits, Parsed, Parser, write_command};

const PIPELINE: usize = 128;

fn main() {
    divan::main();
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    write_command(&mut out, words.iter());
    out
}

fn parse(bencher: Bencher, one: &[u8]) {
    let stream = one.repeat(PIPELINE);
    let (mut parser, mut argv, limits) = (Parser::new(), Argv::new(), Limits::default());
    bencher
        .counter(ItemsCount::new(PIPELINE))
        .counter(BytesCount::new(stream.len()))
        .bench_local(|| {
            let mut rest = black_box(stream.as_slice());
            while let Parsed::Command { consumed } = parser.parse(rest, &limits, &mut argv) {
                black_box(argv.args(rest).len());
                rest = &rest[consumed..];
            }
            assert!(rest.is_empty(), "all of it is requests");
        });
}

#[divan::bench]
fn get(bencher: Bencher) {
    parse(bencher, &request(&["GET", "key:000000012345"]));
}

#[divan::bench(args = [64, 4096])]
fn set(bencher: Bencher, bytes: usize) {
    parse(bencher, &request(&["SET", "key:000000012345", &"x".repeat(bytes)]));
}

#[divan::bench]
fn mset_of_10(bencher: Bencher) {
    parse(bencher, &request(&["MSET"; 21]));
}

#[divan::bench]
fn inline_ping(bencher: Bencher) {
    parse(bencher, b"PING\r\n");
}
