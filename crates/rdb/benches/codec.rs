//! The RDB codec in bytes per second: 100,000 keys, encoded to nowhere and decoded from memory into a keyspace.
//!
//! `cargo bench -p skein-rdb`
#![allow(missing_docs)]

use base::{DbIndex, Rng};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use keyspace::{Keyspace, NewValue};
use rdb::{Compression, LoadOptions, SaveOptions, Unwatched, Verify};

#[global_allocator]
static ALLOCATOR: ds::memory::Counting = ds::memory::Counting;

const KEYS: u32 = 100_000;
const VALUE_BYTES: usize = 100;
const COMPRESSIONS: [bool; 2] = [false, true];

fn main() {
    divan::main();
}

/// Values half of which a compressor can shorten.
fn keyspace() -> Keyspace {
    let mut rng = Rng::new(1);
    let mut keyspace = Keyspace::new(1, 1);
    for number in 0..KEYS {
        let key = format!("key:{number:012}");
        let mut value = [b'x'; VALUE_BYTES];
        rng.fill_hex(&mut value[..VALUE_BYTES / 2]);
        let hash = keyspace.hash(key.as_bytes());
        let db = keyspace.db_mut(DbIndex(0));
        db.set(key.as_bytes(), hash, NewValue::Bytes(&value), None);
    }
    keyspace
}

fn options(compressed: bool) -> SaveOptions {
    let compression = if compressed { Compression::Lzf } else { Compression::Off };
    SaveOptions {
        compression,
        ..SaveOptions::default()
    }
}

fn encoded(keyspace: &mut Keyspace, compressed: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    rdb::save(&mut bytes, keyspace.freeze(), &options(compressed), &mut Unwatched).expect("memory does not fail");
    bytes
}

#[divan::bench(args = COMPRESSIONS, sample_count = 20, sample_size = 1)]
fn encode(bencher: Bencher, compressed: bool) {
    let mut keyspace = keyspace();
    let bytes = encoded(&mut keyspace, compressed).len();
    bencher
        .counter(ItemsCount::new(KEYS))
        .counter(BytesCount::new(bytes))
        .with_inputs(|| keyspace.freeze())
        .bench_local_values(|frozen| {
            rdb::save(&mut std::io::sink(), frozen, &options(compressed), &mut Unwatched).expect("a sink does not fail")
        });
}

#[divan::bench(args = COMPRESSIONS, sample_count = 20, sample_size = 1)]
fn decode(bencher: Bencher, compressed: bool) {
    let bytes = encoded(&mut keyspace(), compressed);
    let options = LoadOptions {
        verify: Verify::Checksum,
        ..LoadOptions::default()
    };
    bencher
        .counter(ItemsCount::new(KEYS))
        .counter(BytesCount::new(bytes.len()))
        .with_inputs(|| Keyspace::new(1, 2))
        .bench_local_values(|mut loaded| {
            rdb::load(&bytes[..], &mut loaded, &options, &mut Unwatched).expect("it is whole");
            assert_eq!(loaded.key_count(), u64::from(KEYS));
            loaded
        });
}
