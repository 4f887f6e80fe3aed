//! Real data to begin with: what our own writers make.

use base::{DbIndex, Millis, Rng};
use ds::list::End;
use ds::stream::{NodeLimits, Stream, StreamId};
use ds::{NewValue, Object, intset, listpack};
use keyspace::{Encodings, HashBuilder, Keyspace, ListBuilder, SetBuilder, ZsetBuilder};
use rdb::{Compression, FieldExpiries, SaveOptions, Unwatched};
use std::sync::Arc;

fn text(rng: &mut Rng) -> Vec<u8> {
    match rng.below(8) {
        0 => (rng.next_u64() as i64 >> rng.below(64)).to_string().into_bytes(),
        1 => vec![b'l'; rng.below(300) as usize],
        2 => vec![b'm'; 60 + rng.below(70) as usize],
        3 => rng.next_u64().to_le_bytes().to_vec(),
        _ => format!("t{}", rng.below(100)).into_bytes(),
    }
}

pub fn requests(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n"[..],
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n",
        b"PING\r\nSET a \"b c\\x00\\n\" 'd e'\r\n",
        b"*-1\r\n*0\r\n$5\r\nhello\r\n",
        b"+OK\r\n-ERR no\r\n:42\r\n$-1\r\n*2\r\n$1\r\na\r\n*1\r\n:-1\r\n",
        b"%1\r\n+k\r\n~2\r\n:1\r\n:2\r\n,1.5\r\n#t\r\n_\r\n(12345678901234567890\r\n=7\r\ntxt:abc\r\n>1\r\n+x\r\n",
    ]
    .map(<[u8]>::to_vec)
    .into();
    for _ in 0..20 {
        let words: Vec<Vec<u8>> = (0..1 + rng.below(5)).map(|_| text(rng)).collect();
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(&word);
            request.extend_from_slice(b"\r\n");
        }
        corpus.push(request);
    }
    corpus
}

pub fn listpacks(rng: &mut Rng) -> Vec<Vec<u8>> {
    let one = |rng: &mut Rng| {
        let mut pack = listpack::init().to_vec();
        for _ in 0..rng.below(12) {
            listpack::append(&mut pack, &text(rng));
        }
        pack
    };
    (0..40).map(|_| one(rng)).collect()
}

pub fn intsets(rng: &mut Rng) -> Vec<Vec<u8>> {
    let one = |rng: &mut Rng| {
        let (mut set, bits) = (intset::init().to_vec(), *rng.pick(&[50, 33, 0]));
        for _ in 0..1 + rng.below(20) {
            intset::insert(&mut set, rng.next_u64() as i64 >> bits);
        }
        set
    };
    (0..40).map(|_| one(rng)).collect()
}

fn stream(rng: &mut Rng) -> Stream {
    let mut stream = Stream::new(Arc::default());
    fill_stream(&mut stream, rng);
    stream
}

/// Entries from id 7-7 on, some deleted; groups with consumers, some with pending entries.
fn fill_stream(stream: &mut Stream, rng: &mut Rng) {
    let limits = NodeLimits {
        bytes: 4096,
        entries: 10,
    };
    for number in 0..1 + rng.below(25) {
        let (value, other) = (text(rng), text(rng));
        let pairs: &[&[u8]] = &[b"field", &value, &other, b"x"];
        let pairs = if rng.chance(3, 4) { &pairs[..2] } else { pairs };
        stream.append(StreamId::new(7 + number / 3, 7 + number), pairs, limits);
    }
    for number in 0..rng.below(10) {
        stream.delete(StreamId::new(7 + number, 7 + 3 * number));
    }
    for number in 0..rng.below(3) {
        let name = format!("group{number}").into_bytes();
        stream.create_group(&name, StreamId::new(8, 8), Some(3).filter(|_| number > 0));
        let ids: Vec<StreamId> = stream
            .range(StreamId::MIN, StreamId::MAX)
            .map(|entry| entry.id())
            .collect();
        stream.update_group(&name, |group| {
            let Some(consumer) = group.create_consumer(b"consumer", 1_700_000_000_000) else {
                return;
            };
            group.create_consumer(b"idle", 1);
            for id in ids.iter().take(3) {
                group.set_pending(ds::stream::Pending {
                    id: *id,
                    delivered_ms: 1_700_000_000_001,
                    deliveries: 2,
                    consumer,
                });
            }
        });
    }
}

pub fn stream_nodes(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut nodes = Vec::new();
    for _ in 0..30 {
        // The first node counts from the id that the target takes.
        nodes.extend(stream(rng).nodes().take(1).map(|(_, node)| node.to_vec()));
    }
    nodes
}

/// Ziplists and zipmaps, put together by hand, and a compressed text: nothing here writes these any more.
pub fn old_forms(_: &mut Rng) -> Vec<Vec<u8>> {
    [
        &b"\x1f\0\0\0\x19\0\0\0\x05\0\0\xf2\x02\x03abc\x05\xfe\x80\x03\xc0\x00\x80\x04\xd0\x00\x00\x00\x80\xff"[..],
        b"\x0b\0\0\0\x0a\0\0\0\0\0\xff",
        b"\x02\x03foo\x03\x02bar..\x00\x00\x00\xff",
        b"\x01\xfe\x02\x00\x00\x00ab\xfe\x01\x00\x00\x00\x00z\xff",
        b"\x00x\xe0\x10\x00\x00x",
    ]
    .map(<[u8]>::to_vec)
    .into()
}

/// A keyspace with values of every type and form.
fn keyspace(rng: &mut Rng, encodings: &Encodings) -> Keyspace {
    let mut keyspace = Keyspace::new(16, 1);
    for number in 0..30u64 {
        let key = format!("key{number}").into_bytes();
        let (hash, index) = (keyspace.hash(&key), DbIndex((number % 3) as u32));
        let db = keyspace.db_mut(index);
        let expiry = rng.chance(1, 4).then_some(Millis(1_800_000_000_000));
        let (table, many) = (db.new_table(), rng.below(12));
        match number % 6 {
            0 => drop(db.set(&key, hash, NewValue::Bytes(&text(rng)), expiry)),
            1 => {
                let mut builder = ListBuilder::new(encodings, db.account());
                (0..=many).for_each(|_| builder.push(End::Tail, &text(rng)));
                db.set(&key, hash, builder.finish(), expiry);
            }
            2 => {
                let mut builder = SetBuilder::new(table, *encodings);
                for member in 0..=many {
                    let member = if rng.chance(2, 3) {
                        member.to_string().into_bytes()
                    } else {
                        text(rng)
                    };
                    builder.add(&member);
                }
                builder.with_value(|value| db.set(&key, hash, value, expiry));
            }
            3 => {
                let mut builder = HashBuilder::new(encodings, table);
                for _ in 0..=many {
                    let expiry = rng.chance(1, 12).then_some(Millis(1_900_000_000_000));
                    let _ = builder.push(&text(rng), &text(rng), expiry);
                }
                db.set(&key, hash, builder.finish(), expiry);
            }
            4 => {
                let mut builder = ZsetBuilder::new(encodings, table);
                for _ in 0..=many {
                    let _ = builder.push(&text(rng), rng.below(100) as f64 / 4.0);
                }
                db.set(&key, hash, builder.finish(), expiry);
            }
            _ => {
                let mut stream = Stream::new(db.account().clone());
                fill_stream(&mut stream, rng);
                db.set(&key, hash, NewValue::Object(Object::Stream(Box::new(stream))), expiry);
            }
        }
    }
    keyspace
}

fn encodings() -> [Encodings; 2] {
    let large = Encodings {
        hash_max_listpack_entries: 2,
        set_max_intset_entries: 2,
        zset_max_listpack_entries: 2,
        list_max_listpack_size: 3,
        list_compress_depth: 1,
        ..Encodings::default()
    };
    [Encodings::default(), large]
}

pub fn payloads(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for encodings in encodings() {
        let keyspace = keyspace(rng, &encodings);
        for db in 0..3 {
            for entry in keyspace.db(DbIndex(db)).iter() {
                let mut payload = Vec::new();
                let compression = if rng.chance(1, 4) {
                    Compression::Lzf
                } else {
                    Compression::Off
                };
                rdb::write_payload(&mut payload, entry.value(), compression);
                corpus.push(payload);
            }
        }
    }
    // The forms of other versions: a zipmap, ziplists, listpacks with expiries, in the order of their numbers.
    let ziplist = b"\x13\0\0\0\x0e\0\0\0\x02\0\0\x02ab\x04\xc0\x00\x80\xff";
    for (kind, version, body) in [
        (9u8, 6u16, &b"\x0f\x02\x03foo\x03\x02bar..\x00\x00\x00\xff"[..]),
        (10, 9, ziplist),
        (12, 9, ziplist),
        (13, 9, ziplist),
        (14, 9, ziplist),
        (3, 6, b"\x03\x01a\x031.5\x01b\xfe\x01c\xff"),
        (20, 11, b"\x0d\x0d\0\0\0\x03\0\x81a\x02\x05\x01\x07\x01\xff"),
        (22, 12, b"\x02\x00\x01f\x01v\x05\x01g\x01w"),
        (
            24,
            12,
            b"\x00\x00\x00\x01\x00\x00\x00\x00\x02\x00\x01f\x01v\x05\x01g\x01w",
        ),
        (
            25,
            12,
            b"\x00\x00\x00\x01\x00\x00\x00\x00\x0e\x0e\0\0\0\x03\0\x81f\x02\x81v\x02\x05\x01\xff",
        ),
        (22, 80, b"\x01\x01f\x01v\x00\x00\x00\x01\x00\x00\x00\x00"),
    ] {
        let length: &[u8] = if [10, 12, 13].contains(&kind) {
            b"\x13"
        } else if kind == 14 {
            b"\x01\x13"
        } else {
            b""
        };
        let mut payload = [&[kind], length, body, &version.to_le_bytes()].concat();
        payload.extend_from_slice(&rdb::crc64(0, &payload).to_le_bytes());
        corpus.push(payload);
    }
    corpus
}

pub fn files(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for encodings in encodings() {
        for field_expiries in [FieldExpiries::Valkey, FieldExpiries::Redis] {
            for compression in [Compression::Lzf, Compression::Off] {
                let options = SaveOptions {
                    compression,
                    field_expiries,
                    functions: Arc::from([b"#!lua name=l\n".to_vec()]),
                    ..SaveOptions::default()
                };
                let mut file = Vec::new();
                let saved = rdb::save(&mut file, keyspace(rng, &encodings).freeze(), &options, &mut Unwatched);
                saved.expect("writing to memory does not fail");
                corpus.push(file);
            }
        }
    }
    corpus
}
