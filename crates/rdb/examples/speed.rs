//! How fast the codec is, in CPU time: 1,000,000 keys with values of 100 bytes, encoded to nowhere and decoded from memory.
//!
//! `cargo run --release -p skein-rdb --example speed [crc64|encode|check|decode]`

use base::{DbIndex, Rng};
use keyspace::{Keyspace, NewValue};
use rdb::{Compression, LoadOptions, SaveOptions, Unwatched, Verify};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: ds::memory::Counting = ds::memory::Counting;

const KEYS: u32 = 1_000_000;
const VALUE_BYTES: usize = 100;

/// Time on the processor of this thread, in nanoseconds (Linux), so that whatever else runs here does not count.
fn cpu_ns() -> u64 {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this measures on Linux");
    figures
        .split(' ')
        .next()
        .and_then(|field| field.parse().ok())
        .expect("its first figure is a number")
}

/// Whether a part is wanted: the one that was named, or all.
fn wanted(part: &str) -> bool {
    std::env::args().nth(1).is_none_or(|named| named == part)
}

fn timed<T>(what: &str, bytes: u64, work: impl FnOnce() -> T) -> T {
    let start = cpu_ns();
    let result = work();
    let seconds = (cpu_ns() - start) as f64 / 1e9;
    let (megabytes, millis) = (bytes as f64 / 1e6 / seconds, seconds * 1e3);
    let nanos = seconds * 1e9 / f64::from(KEYS);
    println!("{what:<44} {millis:>7.0} ms  {megabytes:>6.0} MB/s  {nanos:>5.0} ns/key");
    result
}

fn keyspace(value: impl Fn(&mut Rng, &mut [u8; VALUE_BYTES])) -> Keyspace {
    let mut rng = Rng::new(1);
    let mut keyspace = Keyspace::new(16, 1);
    let mut bytes = [0; VALUE_BYTES];
    for number in 0..KEYS {
        let key = format!("key:{number:012}");
        value(&mut rng, &mut bytes);
        let hash = keyspace.hash(key.as_bytes());
        keyspace
            .db_mut(DbIndex(0))
            .set(key.as_bytes(), hash, NewValue::Bytes(&bytes), None);
    }
    keyspace
}

fn main() {
    let block: Vec<u8> = (0..256 * 1024).map(|at| (at * 7) as u8).collect();
    let rounds = 4096;
    if wanted("crc64") {
        timed("crc64", rounds * block.len() as u64, || {
            (0..rounds).fold(0, |sum, _| rdb::crc64(sum, black_box(&block)))
        });
    }
    let noise = |rng: &mut Rng, value: &mut [u8; VALUE_BYTES]| value.fill_with(|| rng.next_u64() as u8);
    let words = |rng: &mut Rng, value: &mut [u8; VALUE_BYTES]| {
        value.fill(b'x');
        rng.fill_hex(&mut value[..20]);
    };
    measure("noise", keyspace(noise));
    measure("text", keyspace(words));
}

fn measure(name: &str, mut keyspace: Keyspace) {
    for (compressed, compression) in [("plain", Compression::Off), ("compressed", Compression::Lzf)] {
        let options = SaveOptions {
            compression,
            ..SaveOptions::default()
        };
        let mut bytes = Vec::with_capacity(300_000_000);
        rdb::save(&mut bytes, keyspace.freeze(), &options, &mut Unwatched).expect("memory does not fail");
        let size = bytes.len() as u64;
        println!("-- {name}, {compressed}: {} MB", size / 1_000_000);
        if wanted("encode") {
            let mut frozen = Some(keyspace.freeze());
            timed("encode", size, || {
                rdb::save(
                    &mut std::io::sink(),
                    frozen.take().expect("frozen once"),
                    &options,
                    &mut Unwatched,
                )
                .expect("memory does not fail")
            });
        }
        if wanted("check") {
            timed("check", size, || {
                rdb::check(&bytes[..], base::Millis(0), &mut |_, _| {}).expect("it is whole")
            });
        }
        if wanted("decode") {
            decode(&bytes);
        }
    }
}

fn decode(bytes: &[u8]) {
    for (verified, verify) in [("verified", Verify::Checksum), ("unverified", Verify::Nothing)] {
        let options = LoadOptions {
            verify,
            access_clock: rdb::AccessClock::Lru { now_seconds: 1 },
            ..LoadOptions::default()
        };
        let loaded = timed(
            &format!("decode into a keyspace, {verified}"),
            bytes.len() as u64,
            || {
                let mut loaded = Keyspace::new(16, 2);
                rdb::load(bytes, &mut loaded, &options, &mut Unwatched).expect("it is whole");
                loaded
            },
        );
        assert_eq!(loaded.key_count(), u64::from(KEYS));
    }
}
