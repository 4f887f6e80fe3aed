//! The codec against pinned files, against itself, and against damage.

use base::{DbIndex, Millis, Offset, ReplId, Rng};
use ds::listpack::Value;
use ds::stream::StreamId;
use keyspace::{Entry, HashRef, Keyspace, ListRef, NewValue, SetRef, ValueRef, ZsetRef};
use rdb::{
    AccessClock, Checksum, Compression, Duplicates, Expired, Family, FieldExpiries, LoadError, LoadOptions, Position,
    SaveError, SaveOptions, Summary, Unwatched, Verify, Watch,
};
use std::collections::BTreeMap;
use std::io::{self, Read};

mod choices;
mod damage;
mod forms;
mod round_trips;

type Model = BTreeMap<(u32, Vec<u8>), (Vec<u8>, Option<i64>)>;

fn text(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Bytes(bytes) => bytes.to_vec(),
        ValueRef::Chunked(string) => string.chunks().flatten().copied().collect(),
        other => panic!("an unexpected value: {other:?}"),
    }
}

fn contents(keyspace: &Keyspace) -> Model {
    let mut model = Model::new();
    for db in 0..keyspace.databases() {
        for entry in keyspace.db(DbIndex(db)).iter() {
            let value = (text(entry.value()), entry.expiry().map(|expiry| expiry.0));
            model.insert((db, entry.key().to_vec()), value);
        }
    }
    model
}

fn build(model: &Model) -> Keyspace {
    let mut keyspace = Keyspace::new(16, 5);
    for ((db, key), (value, expiry)) in model {
        let hash = keyspace.hash(key);
        keyspace
            .db_mut(DbIndex(*db))
            .set(key, hash, NewValue::Bytes(value), expiry.map(Millis));
    }
    keyspace
}

fn save(keyspace: &mut Keyspace, options: &SaveOptions) -> Vec<u8> {
    let mut out = Vec::new();
    let keys = keyspace.key_count();
    let saved = rdb::save(&mut out, keyspace.freeze(), options, &mut Unwatched).unwrap();
    assert_eq!((saved.keys, saved.bytes), (keys, out.len() as u64));
    out
}

fn load_with(bytes: &[u8], options: &LoadOptions) -> Result<(Summary, Keyspace), LoadError> {
    let mut keyspace = Keyspace::new(16, 77);
    let summary = rdb::load(bytes, &mut keyspace, options, &mut Unwatched)?;
    Ok((summary, keyspace))
}

fn load(bytes: &[u8]) -> Result<(Summary, Keyspace), LoadError> {
    load_with(bytes, &LoadOptions::default())
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Written by redis-server 7.0.15: three strings in two databases, one compressed and expiring, a function library, LFU
/// frequencies.
const STOCK_STRINGS: &str = "
524544495330303130fa0972656469732d76657206372e302e3135fa0a72656469732d62697473c040fa056374696d65c22463036bfa08757365642d6d656dc2
28db0f00fa08616f662d62617365c000f5404223216c7561206e616d653d6c0a72656469732e72656769737465725f66756e6374696f6e282766272c2066756e
6374696f6e28292072657475726e203120656e6429fe00fb0201f900000161c001fcae26310ba2010000f9000003626967c30d419002616261e0ff01e07a0101
6162fe03fb0100f9000001730568656c6c6fffc8f00801282cebbf";

/// Written by redis-server 7.0.15: nine keys, of every type.
const STOCK_TYPES: &str = "
524544495330303130fa0972656469732d76657206372e302e3135fa0a72656469732d62697473c040fa056374696d65c24f69036bfa08757365642d6d656dc2
d8711100fa08616f662d62617365c000fe00fb09000b0273690e0200000003000000010002000300020273730201790178130273740110000000000000000100
000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff010101010100000101016701010101000000000000000100000000
00000001bb5b5305a201000001010163bb5b5305a201000001000000000000000100000000000000011001680d0d0000000200816602817602ff12016c010210
100000000300816102816202816302ff05015a010161000000000000f03f00016ec13930040148010166017611017a1414000000040081610201018162028332
2e3504ffff1ab626cf93b64088";

/// A value in words: its encoding, its parts in order, sets and hashes sorted.
fn describe(entry: &Entry) -> String {
    let shown = |value: Value<'_>| value.to_vec().escape_ascii().to_string();
    let (encoding, value) = (entry.encoding().name(), entry.value());
    let mut parts: Vec<String> = Vec::new();
    if let Some(list) = ListRef::of(value) {
        list.for_each(|value| parts.push(shown(value)));
    } else if let Some(set) = SetRef::of(value) {
        parts.extend(set.iter().map(shown));
        parts.sort();
    } else if let Some(hash) = HashRef::of(value) {
        for field in hash {
            let expiry = field.expiry.map_or(String::new(), |expiry| format!("@{}", expiry.0));
            let (name, value) = (field.name.to_vec(), field.value.to_vec());
            parts.push(format!("{}={}{expiry}", name.escape_ascii(), value.escape_ascii()));
        }
        parts.sort();
    } else if let Some(zset) = ZsetRef::of(value) {
        parts.extend(zset.iter().map(|(member, score)| format!("{}:{score}", shown(member))));
    } else if let ValueRef::Stream(stream) = value {
        for found in stream.range(StreamId::MIN, StreamId::MAX) {
            let pairs: Vec<String> = found
                .pairs()
                .map(|(f, v)| format!("{}={}", shown(f), shown(v)))
                .collect();
            parts.push(format!("{}[{}]", found.id(), pairs.join(" ")));
        }
        for group in stream.groups() {
            let consumers: Vec<String> = group
                .consumers()
                .map(|consumer| {
                    let ids: Vec<String> = consumer.pending_from(StreamId::MIN).map(|id| id.to_string()).collect();
                    format!("{}<{}>", consumer.name().escape_ascii(), ids.join(" "))
                })
                .collect();
            parts.push(format!(
                "group {} at {} read {:?} {}",
                group.name().escape_ascii(),
                group.last_id(),
                group.entries_read(),
                consumers.join(" ")
            ));
        }
    } else {
        parts.push(text(value).escape_ascii().to_string());
    }
    format!("{encoding} {}", parts.join(" "))
}

/// The only value of `keyspace`.
fn lone(keyspace: &Keyspace) -> String {
    let all: Vec<String> = keyspace.db(DbIndex(0)).iter().map(describe).collect();
    assert_eq!(all.len(), 1);
    all.concat()
}

fn random_string(rng: &mut Rng, large: bool) -> Vec<u8> {
    match rng.below(6) {
        0 => (rng.next_u64() as i64 >> rng.below(64)).to_string().into_bytes(),
        1 => (0..rng.below(60)).map(|_| rng.next_u64() as u8).collect(),
        2 => vec![rng.next_u64() as u8; rng.below(300) as usize],
        3 => b"abcdefghij".repeat(rng.below(40) as usize),
        4 if large => {
            let len = rng.below(400_000) as usize;
            let noisy = rng.chance(1, 2);
            (0..len)
                .map(|at| if noisy { rng.next_u64() as u8 } else { (at / 7) as u8 })
                .collect()
        }
        _ => format!("value:{}", rng.below(1_000_000)).into_bytes(),
    }
}

fn random_model(rng: &mut Rng, keys: u64, large: bool) -> Model {
    let mut model = Model::new();
    for _ in 0..rng.below(keys + 1) {
        let db = rng.below(16) as u32;
        let key = random_string(rng, false);
        let expiry = rng.chance(1, 3).then(|| rng.below(1 << 50) as i64);
        model.insert((db, key), (random_string(rng, large), expiry));
    }
    model
}
