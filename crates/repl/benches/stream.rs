//! Appending to the replication stream, with and without a cursor that follows.
//!
//! `cargo bench -p skein-repl`
#![allow(missing_docs)]

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use repl::stream::Stream;

const BACKLOG_BYTES: u64 = 1 << 20;
const COMMANDS: usize = 1_000;
/// What a replica's socket takes at once.
const SENT_BYTES: usize = 64 * 1024;

fn main() {
    divan::main();
}

fn stream() -> Stream {
    let mut stream = Stream::new(BACKLOG_BYTES);
    stream.activate();
    stream
}

#[divan::bench(args = [100, 10_000])]
fn append(bencher: Bencher, bytes: usize) {
    let (mut stream, command) = (stream(), vec![b'x'; bytes]);
    bencher
        .counter(ItemsCount::new(COMMANDS))
        .counter(BytesCount::new(COMMANDS * bytes))
        .bench_local(|| (0..COMMANDS).for_each(|_| stream.append(&command)));
}

#[divan::bench]
fn append_and_feed_a_replica(bencher: Bencher) {
    let (mut stream, command) = (stream(), [b'x'; 100]);
    let cursor = stream.open_cursor(stream.end());
    bencher
        .counter(ItemsCount::new(COMMANDS))
        .counter(BytesCount::new(COMMANDS * command.len()))
        .bench_local(|| {
            (0..COMMANDS).for_each(|_| stream.append(&command));
            while stream.unsent_bytes(cursor) > 0 {
                let from = stream.position(cursor);
                let sent: usize = stream
                    .slices(from, SENT_BYTES)
                    .map(|slice| divan::black_box(slice).len())
                    .sum();
                stream.advance(cursor, sent as u64);
            }
        });
}
