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

#[test]
fn a_pinned_file_of_stock_loads() {
    let (summary, keyspace) = load(&unhex(STOCK_STRINGS)).unwrap();
    let expected = [
        ((0, b"a".to_vec()), (b"1".to_vec(), None)),
        ((0, b"big".to_vec()), (b"ab".repeat(200), Some(1_795_484_100_270))),
        ((3, b"s".to_vec()), (b"hello".to_vec(), None)),
    ];
    assert_eq!(contents(&keyspace), Model::from(expected));
    assert_eq!(summary.aux.server_version.as_deref(), Some("7.0.15"));
    assert_eq!(summary.aux.created_seconds, Some(0x6b03_6324));
    assert_eq!(summary.aux.used_memory_bytes, Some(0x000f_db28));
    assert_eq!(summary.aux.position, None);
    assert_eq!(summary.functions.len(), 1);
    assert!(summary.functions[0].starts_with(b"#!lua name=l\n"));
    assert_eq!((summary.keys_loaded, summary.keys_expired), (3, 0));
    assert_eq!(summary.checksum, Checksum::Verified);
    assert_eq!(summary.bytes, unhex(STOCK_STRINGS).len() as u64);
}

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

#[test]
fn every_type_of_stock_loads() {
    let bytes = unhex(STOCK_TYPES);
    let mut keys = Vec::new();
    let report = rdb::check(&bytes[..], Millis(0), &mut |_, event| {
        if let rdb::CheckEvent::Key(key, head) = event {
            keys.push(format!("{} {}", String::from_utf8_lossy(key), head.value_type.name()));
        }
    });
    let report = report.unwrap();
    assert_eq!(
        (report.keys, report.checksum, report.bytes),
        (9, Checksum::Verified, bytes.len() as u64)
    );
    let (summary, mut keyspace) = load(&bytes).unwrap();
    assert_eq!(summary.keys_loaded, 9);
    let described = |keyspace: &Keyspace| {
        let entries = keyspace.db(DbIndex(0)).iter();
        let mut all: Vec<_> = entries
            .map(|entry| format!("{} {}", entry.key().escape_ascii(), describe(entry)))
            .collect();
        all.sort();
        all
    };
    let expected = [
        "H listpack f=zzzzzzzzzzzzzzzzzzzz",
        "Z listpack a:1",
        "h listpack h=1",
        "l quicklist a b c",
        "n int 12345",
        "si intset 1 2 3",
        "ss hashtable x y",
        "st stream 1-1[f=v] group g at 1-1 read Some(1) c<1-1>",
        "z listpack a:1 b:2.5",
    ];
    let got = described(&keyspace);
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        // Names and encodings; contents are compared after a round trip, and with stock itself.
        assert_eq!(
            got.split(' ').take(2).collect::<Vec<_>>(),
            expected.split(' ').take(2).collect::<Vec<_>>()
        );
    }
    assert!(rdb::rehearse(&bytes[..], 16, &LoadOptions::default(), &mut Unwatched).is_ok());
    let saved = save(&mut keyspace, &SaveOptions::default());
    assert_eq!(described(&load(&saved).unwrap().1), got);
}

/// Of a file: its header, the number of the type, the parts of the value, and what is read.
type Case<'a> = (&'a str, &'a [u8], &'a [&'a [u8]], &'a str);

/// The forms that no stock server at hand writes, from their definitions.
#[test]
fn later_and_older_forms_load() {
    // Its length and the place of its last entry are put in here; the string's length goes before it.
    let ziplist = &{
        let mut fixed = b"\0\0\0\0\0\0\0\0\x04\0\0\x01b\x03\xf2\x02\x01a\x03\xfe\x02\xff".to_vec();
        let (total, tail) = (fixed.len() as u8, fixed.len() as u8 - 4);
        (fixed[0], fixed[4]) = (total, tail);
        fixed.insert(0, total);
        fixed
    }[..];
    let cases: &[Case<'_>] = &[
        ("REDIS0009", b"\x01", &[b"\x02\x01a\xc0\x05"], "quicklist a 5"),
        (
            "REDIS0009",
            b"\x03",
            &[b"\x03\x01a\x031.5\x01b\xff\x01c\xfe"],
            "listpack b:-inf a:1.5 c:inf",
        ),
        (
            "REDIS0003",
            b"\x09",
            &[b"\x10\x02\x03foo\x03\x01bar.\x01g\x00\x00\xff"],
            "listpack foo=bar g=",
        ),
        ("REDIS0009", b"\x0a", &[ziplist], "quicklist b 1 a 2"),
        ("REDIS0009", b"\x0c", &[ziplist], "listpack b:1 a:2"),
        ("REDIS0009", b"\x0d", &[ziplist], "listpack a=2 b=1"),
        (
            "REDIS0009",
            b"\x0e",
            &[b"\x02", ziplist, ziplist],
            "quicklist b 1 a 2 b 1 a 2",
        ),
        (
            "REDIS0011",
            b"\x14",
            &[b"\x0c\x0c\0\0\0\x02\0\x81a\x02\x05\x01\xff"],
            "hashtable 5 a",
        ),
        (
            "REDIS0012",
            b"\x16",
            &[b"\x02\x00\x01f\x01v\x05\x01g\x01w"],
            "hashtable f=v g=w@5",
        ),
        (
            "REDIS0012",
            b"\x18",
            &[b"\x00\x01\0\0\0\0\0\0\x02\x00\x01f\x01v\x05\x01g\x01w"],
            "hashtable f=v g=w@260",
        ),
        (
            "REDIS0012",
            b"\x19",
            &[b"\x00\x01\0\0\0\0\0\0\x0f\x0f\0\0\0\x03\0\x81f\x02\x81v\x02\x05\x01\xff"],
            "hashtable f=v@5",
        ),
        (
            "VALKEY080",
            b"\x16",
            &[b"\x02\x01f\x01v\x00\x01\0\0\0\0\0\0\x01g\x01w\xff\xff\xff\xff\xff\xff\xff\xff"],
            "hashtable f=v@256 g=w",
        ),
    ];
    let node = unhex("1d1d0000000a0001010001010181660200010201000100018176020401ff");
    let id = unhex("00000000000000010000000000000001");
    let (eight, groups) = ([7; 8], b"\x01\x01g\x01\x01");
    let first: &[&[u8]] = &[
        b"\x01\x10",
        &id,
        &node,
        b"\x01\x01\x01",
        groups,
        b"\x01",
        &id,
        &eight,
        b"\x01\x01\x01c",
        &eight,
        b"\x01",
        &id,
    ];
    let third: &[&[u8]] = &[
        b"\x01\x10",
        &id,
        &node,
        b"\x01\x01\x01\x01\x01\x00\x00\x01",
        groups,
        b"\x01\x01",
        &id,
        &eight,
        b"\x01\x01\x01c",
        &eight,
        &eight,
        b"\x01",
        &id,
    ];
    let stream = "stream 1-1[f=v] group g at 1-1 read Some(1) c<1-1>";
    let streams: [Case<'_>; 2] = [
        ("REDIS0009", b"\x0f", first, stream),
        ("REDIS0011", b"\x15", third, stream),
    ];
    for (magic, kind, body, expected) in cases.iter().chain(&streams) {
        let bytes = [
            magic.as_bytes(),
            kind,
            b"\x01k",
            &body.concat(),
            b"\xff\0\0\0\0\0\0\0\0",
        ]
        .concat();
        let (_, mut keyspace) = load(&bytes).unwrap_or_else(|error| panic!("{expected}: {error}"));
        assert_eq!(lone(&keyspace), *expected);
        for field_expiries in [FieldExpiries::Valkey, FieldExpiries::Redis] {
            let options = SaveOptions {
                field_expiries,
                ..SaveOptions::default()
            };
            let saved = save(&mut keyspace, &options);
            assert_eq!(lone(&load(&saved).unwrap().1), *expected);
            let magic: &[u8] = match field_expiries {
                _ if !expected.contains('@') => b"REDIS0010",
                FieldExpiries::Redis => b"REDIS0012",
                _ => b"VALKEY080",
            };
            assert!(saved.starts_with(magic), "{expected}");
        }
        let refused = SaveOptions {
            field_expiries: FieldExpiries::Refused,
            ..SaveOptions::default()
        };
        let outcome = rdb::save(&mut Vec::new(), keyspace.freeze(), &refused, &mut Unwatched);
        assert_eq!(matches!(outcome, Err(SaveError::FieldExpiries)), expected.contains('@'));
    }
}

#[test]
fn fields_that_have_expired_are_left_out_where_keys_are() {
    let body = b"\x16\x01k\x02\x01f\x01v\x00\x01\0\0\0\0\0\0\x01g\x01w\xff\xff\xff\xff\xff\xff\xff\xff";
    let bytes = [&b"VALKEY080"[..], body, b"\xff\0\0\0\0\0\0\0\0"].concat();
    let dropping = |now| LoadOptions {
        expired: Expired::Drop(Millis(now)),
        ..LoadOptions::default()
    };
    assert_eq!(
        lone(&load_with(&bytes, &dropping(256)).unwrap().1),
        "hashtable f=v@256 g=w"
    );
    assert_eq!(lone(&load_with(&bytes, &dropping(257)).unwrap().1), "listpack g=w");
}

#[test]
fn keys_with_nothing_in_them_are_left_out_and_named() {
    let bytes = b"REDIS0003\x02\x01s\x00\x01\x01l\x00\x04\x01h\x00\x0b\x01i\x08\x02\0\0\0\0\0\0\0\xff";
    let error = load(bytes).unwrap_err().to_string();
    assert!(error.starts_with("Intset integrity check failed at byte"), "{error}");
    let bytes = b"REDIS0003\x02\x01s\x00\x01\x01l\x00\x04\x01h\x00\x00\x01k\x01v\xff";
    let (summary, keyspace) = load(bytes).unwrap();
    assert_eq!(
        (summary.keys_loaded, summary.keys_empty, keyspace.key_count()),
        (1, 3, 1)
    );
    assert_eq!(summary.empty_keys, [b"s", b"l", b"h"].map(|key| key.to_vec()));
}

/// What a deep look finds in blocks whose structure is whole.
#[test]
fn blocks_that_make_no_sense_are_refused() {
    for (body, expected) in [
        (
            &b"\x10\x01h\x0f\x0f\0\0\0\x04\0\x01\x01\x02\x01\x01\x01\x03\x01\xff"[..],
            "Hash listpack",
        ),
        (b"\x10\x01h\x09\x09\0\0\0\x01\0\x01\x01\xff", "Hash listpack"),
        (b"\x11\x01z\x0c\x0c\0\0\0\x02\0\x01\x01\x81x\x02\xff", "Zset listpack"),
        (
            b"\x11\x01z\x0f\x0f\0\0\0\x04\0\x01\x01\x05\x01\x02\x01\x04\x01\xff",
            "Zset listpack",
        ),
        (b"\x12\x01l\x01\x02\x08\x09\0\0\0\x01\0\x01\xff", "List listpack"),
    ] {
        let bytes = [&b"REDIS0010"[..], body, b"\xff\0\0\0\0\0\0\0\0"].concat();
        let error = load(&bytes).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{expected} integrity check failed")),
            "{error}"
        );
    }
}

fn position() -> Position {
    let replid = ReplId::parse(b"0123456789abcdef0123456789abcdef01234567").unwrap();
    Position {
        replid,
        offset: Offset(123_456_789_012),
        stream_db: DbIndex(9),
    }
}

/// The form of what we write, byte by byte.
#[test]
fn the_written_form_is_pinned() {
    let mut model = Model::new();
    model.insert((0, b"10".to_vec()), (b"-5".to_vec(), Some(0x0102_0304)));
    model.insert((300 % 16, b"k".to_vec()), (b"x".repeat(30), None));
    let options = SaveOptions {
        created_seconds: 1_700_000_000,
        used_memory_bytes: 5_000_000_000,
        position: Some(position()),
        functions: std::sync::Arc::from([b"#!lua".to_vec()]),
        access_clock: Some(AccessClock::Lru { now_seconds: 70 }),
        ..SaveOptions::default()
    };
    let bytes = save(&mut build(&model), &options);
    let expected = [
        &b"REDIS0010"[..],
        b"\xfa\x09redis-ver\x067.0.15",
        b"\xfa\x0aredis-bits\xc0\x40",
        b"\xfa\x05ctime\xc2\x00\xf1\x53\x65",
        b"\xfa\x08used-mem\x0a5000000000",
        b"\xfa\x0erepl-stream-db\xc0\x09",
        b"\xfa\x07repl-id\xc3\x15\x28\x0f0123456789abcdef\xe0\x0b\x0f\x010123",
        b"\xfa\x0brepl-offset\x0c123456789012",
        b"\xfa\x08aof-base\xc0\x00",
        b"\xf5\x05#!lua",
        b"\xfe\x00\xfb\x01\x01",
        b"\xfc\x04\x03\x02\x01\x00\x00\x00\x00\xf8\x40\x46\x00\xc0\x0a\xc0\xfb",
        b"\xfe\x0c\xfb\x01\x00",
        b"\xf8\x40\x46\x00\x01k\xc3\x04\x1e\x00x\xe0",
    ];
    let expected = expected.concat();
    // The compressed forms are checked by reading them: how hard the compressor tries is its own affair.
    let until = expected.windows(7).position(|window| window == b"repl-id").unwrap() + 7;
    assert_eq!(
        bytes[..until].escape_ascii().to_string(),
        expected[..until].escape_ascii().to_string()
    );
    let from = |bytes: &[u8]| bytes.windows(11).position(|window| window == b"repl-offset").unwrap();
    let (got, expected) = (&bytes[from(&bytes)..], &expected[from(&expected)..]);
    let end = expected.len() - 5;
    assert_eq!(
        got[..end].escape_ascii().to_string(),
        expected[..end].escape_ascii().to_string()
    );
    assert_eq!(got[got.len() - 9], 0xff);

    let (summary, keyspace) = load(&bytes).unwrap();
    assert_eq!(contents(&keyspace), model);
    assert_eq!(summary.aux.position, Some(position()));
    assert_eq!(summary.aux.used_memory_bytes, Some(5_000_000_000));
    assert_eq!(summary.functions, [b"#!lua".to_vec()]);
    assert_eq!(summary.checksum, Checksum::Verified);
}

/// Old versions: no checksum, expiry in seconds, no hints.
#[test]
fn old_versions_load() {
    let old = b"REDIS0003\xfe\x02\xfd\x00\xca\x9a\x3b\x00\x01k\x01v\x00\x01n\xc1\x39\x30\xff";
    let (summary, keyspace) = load(old).unwrap();
    assert_eq!(summary.checksum, Checksum::Absent);
    assert_eq!(summary.format.version, 3);
    let expected = [
        ((2, b"k".to_vec()), (b"v".to_vec(), Some(1_000_000_000_000))),
        ((2, b"n".to_vec()), (b"12345".to_vec(), None)),
    ];
    assert_eq!(contents(&keyspace), Model::from(expected));
}

#[test]
fn newer_versions_and_valkey_load() {
    for (magic, family) in [
        ("REDIS0011", Family::Redis),
        ("REDIS0012", Family::Redis),
        ("VALKEY080", Family::Valkey),
    ] {
        let rest = b"\xfa\x0avalkey-ver\x059.0.0\xfe\x00\xfb\x01\x00\xf4\x07\x01\x00\xf9\x05\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0";
        let (summary, keyspace) = load(&[magic.as_bytes(), rest].concat()).unwrap();
        assert_eq!(summary.format.family, family);
        assert_eq!(summary.aux.server_version.as_deref(), Some("9.0.0"));
        assert_eq!(summary.checksum, Checksum::Disabled);
        assert_eq!(keyspace.key_count(), 1);
    }
}

/// The layouts that no stock server at hand writes, from their definitions.
#[test]
fn later_and_older_layouts_are_passed_over() {
    let end = b"\xff\0\0\0\0\0\0\0\0";
    let values: &[(&str, &[u8])] = &[
        ("REDIS0009", b"\x01\x01l\x02\x01a\xc0\x05"),
        ("REDIS0009", b"\x02\x01s\x01\x01a"),
        ("REDIS0009", b"\x03\x01z\x04\x01a\x031.5\x01b\xfd\x01c\xfe\x01d\xff"),
        ("REDIS0009", b"\x09\x01h\x02ab"),
        ("REDIS0009", b"\x0e\x01l\x02\x03abc\x01d"),
        ("REDIS0009", b"\x0f\x01x\x01\x02id\x02lp\x01\x05\x06\x01\x01g\x05\x06\x01iiiiiiiiiiiiiiiitttttttt\x01\x01\x01ctttttttt\x01iiiiiiiiiiiiiiii"),
        ("REDIS0011", b"\x15\x01x\x01\x02id\x02lp\x01\x05\x06\x01\x02\x03\x04\x05\x01\x01g\x05\x06\x07\x00\x01\x01csssssssstttttttt\x00"),
        ("REDIS0012", b"\x16\x01h\x01\x00\x01f\x01v"),
        ("REDIS0012", b"\x17\x01h\x02lp"),
        ("REDIS0012", b"\x18\x01hmmmmmmmm\x02\x00\x01f\x01v\x05\x01g\x01w"),
        ("REDIS0012", b"\x19\x01hmmmmmmmm\x02lp"),
        ("VALKEY080", b"\x16\x01h\x01\x01f\x01veeeeeeee"),
        ("REDIS0010", b"\x07\x01m\x81\0\0\0\0\0\0\x04\0\x01\x05\x02\x06\x03ffff\x04dddddddd\x05\x02hi\x00"),
        ("REDIS0010", b"\xf7\x81\0\0\0\0\0\0\x04\0\x02\x01\x05\x02hi\x00\x00\x01k\x01v"),
        ("VALKEY080", b"\xf3\x03job\x02\x01\x02\x05\x06\x00\x01k\x01v"),
    ];
    for (magic, value) in values {
        let bytes = [magic.as_bytes(), value, end].concat();
        let report = rdb::check(&bytes[..], Millis(0), &mut |_, _| {});
        let report = report.unwrap_or_else(|error| panic!("{}: {error}", value.escape_ascii()));
        assert_eq!(
            (report.keys, report.bytes),
            (1, bytes.len() as u64),
            "{}",
            value.escape_ascii()
        );
        // What is inside is not always what its type says; a load, which looks, may refuse it.
        let _ = load(&bytes);
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let failing = |bytes: &[u8]| load(bytes).unwrap_err().to_string();
    assert_eq!(
        failing(b"REDIS0013"),
        "RDB version 13 (magic REDIS) is not supported; readable are 1 to 12 of Redis and 80 of Valkey"
    );
    assert_eq!(failing(b"-LOADING x"), "no RDB data: it begins with '-LOADING '");
    assert_eq!(
        failing(b"REDIS0003\xfe\x10\xff"),
        "the data has a database 16, but only 16 are configured; raise 'databases'"
    );
    assert_eq!(
        failing(b"REDIS0003\x00\x01k\x01v\x00\x01k\x01w\xff"),
        "key 'k' is there twice in db 0"
    );
    assert_eq!(failing(b"REDIS0003\xfe"), "the data ends too early, after 10 bytes");
    assert_eq!(
        failing(b"REDIS0003\x08"),
        "corrupt at byte 10: an unknown type, perhaps of a newer version"
    );
    assert_eq!(
        failing(b"REDIS0003\xf3"),
        "corrupt at byte 10: an unknown record, perhaps of a newer version"
    );
    let module = b"REDIS0010\x07\x02\xffk\x81\0\0\0\0\0\0\x04\0\x00";
    assert_eq!(
        failing(module),
        "key '\\xffk' in db 0 holds a value of the module type 'AAAAAAAAB' (RDB type 7), which only that module can load"
    );
    let aux = b"REDIS0010\xf7\x81\0\0\0\0\0\0\x04\0\x02\x01\x00";
    assert_eq!(
        failing(aux),
        "data of the module type 'AAAAAAAAB', at byte 9, cannot be loaded"
    );
    let long = [b"REDIS0010\x07\x40\x64", &[b'k'; 100][..], b"\x05\x00"].concat();
    assert!(failing(&long).starts_with(&format!("key '{}...' in db 0", "k".repeat(64))));
    let mut bytes = unhex(STOCK_STRINGS);
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(
        failing(&bytes),
        "CRC error: the data says beeb2c280108f0c8, its bytes give bfeb2c280108f0c8"
    );
}

#[test]
fn expired_keys_are_dropped_only_where_asked() {
    let mut model = Model::new();
    for expiry in [1, 99, 100, 101] {
        model.insert((0, expiry.to_string().into_bytes()), (b"v".to_vec(), Some(expiry)));
    }
    let bytes = save(&mut build(&model), &SaveOptions::default());
    let options = LoadOptions {
        expired: Expired::Drop(Millis(100)),
        ..LoadOptions::default()
    };
    let (summary, keyspace) = load_with(&bytes, &options).unwrap();
    assert_eq!(
        (summary.keys_loaded, summary.keys_expired, keyspace.key_count()),
        (2, 2, 2)
    );
    let (summary, keyspace) = load(&bytes).unwrap();
    assert_eq!(
        (summary.keys_loaded, summary.keys_expired, keyspace.key_count()),
        (4, 0, 4)
    );
}

#[test]
fn duplicates_may_be_asked_for() {
    let bytes = b"REDIS0003\x00\x01k\x01v\x00\x01k\x01w\xff";
    let options = LoadOptions {
        duplicates: Duplicates::Replace,
        ..LoadOptions::default()
    };
    let (_, keyspace) = load_with(bytes, &options).unwrap();
    assert_eq!(contents(&keyspace)[&(0, b"k".to_vec())].0, b"w");
}

#[test]
fn usage_survives() {
    for (clock, now, expected) in [
        (100, AccessClock::Lru { now_seconds: 150 }, 100),
        (
            100 << 8 | 7,
            AccessClock::Lfu {
                now_minutes: 102,
                decay_minutes: 1,
            },
            102 << 8 | 5,
        ),
    ] {
        let mut keyspace = Keyspace::new(16, 1);
        let hash = keyspace.hash(b"k");
        keyspace.db_mut(DbIndex(0)).set(b"k", hash, NewValue::Int(1), None);
        keyspace.db(DbIndex(0)).get(b"k", hash).unwrap().touch(clock);
        let options = SaveOptions {
            access_clock: Some(now),
            ..SaveOptions::default()
        };
        let bytes = save(&mut keyspace, &options);
        let options = LoadOptions {
            access_clock: now,
            ..LoadOptions::default()
        };
        let (_, loaded) = load_with(&bytes, &options).unwrap();
        let hash = loaded.hash(b"k");
        assert_eq!(loaded.db(DbIndex(0)).get(b"k", hash).unwrap().clock(), expected);
    }
}

/// Hands out what it has in pieces, as a network does.
struct Pieces<'a>(&'a [u8], Rng);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = *self.1.pick(&[1, 7, 4096, 1 << 20]);
        let count = most.min(out.len()).min(self.0.len());
        let (front, back) = self.0.split_at(count);
        out[..count].copy_from_slice(front);
        self.0 = back;
        Ok(count)
    }
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

#[test]
fn random_keyspaces_come_back() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let model = random_model(&mut rng, 200, seed % 20 == 0);
        let options = SaveOptions {
            compression: *rng.pick(&[Compression::Off, Compression::Lzf]),
            checksum: rng.chance(1, 2),
            chunk_bytes: *rng.pick(&[1, 1000, 1 << 20]),
            ..SaveOptions::default()
        };
        let bytes = save(&mut build(&model), &options);
        let mut keyspace = Keyspace::new(16, seed);
        let pieces = Pieces(&bytes, Rng::new(seed));
        let summary = rdb::load(pieces, &mut keyspace, &LoadOptions::default(), &mut Unwatched).unwrap();
        assert_eq!(contents(&keyspace), model, "seed {seed}");
        assert_eq!(summary.keys_loaded, model.len() as u64);
        let expected = if options.checksum {
            Checksum::Verified
        } else {
            Checksum::Disabled
        };
        assert_eq!(summary.checksum, expected);
        let checked = rdb::check(&bytes[..], Millis(0), &mut |_, _| {}).unwrap();
        assert_eq!(checked.keys, model.len() as u64);
    }
}

/// A string too long to be handed over whole, or to be brought together for compression.
#[test]
fn very_long_strings_come_back() {
    let mut rng = Rng::new(4);
    let mut model = Model::new();
    let noise: Vec<u8> = (0..17 << 17).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
    model.insert((1, b"noise".to_vec()), (noise, Some(5)));
    model.insert((1, b"plain".to_vec()), (vec![b'p'; 3 << 20], None));
    let bytes = save(&mut build(&model), &SaveOptions::default());
    assert!(
        bytes.len() < (17 << 20) + (1 << 20),
        "the compressible one is compressed"
    );
    let (_, keyspace) = load(&bytes).unwrap();
    assert!(contents(&keyspace) == model);
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    let mut rng = Rng::new(8);
    let ours = save(&mut build(&random_model(&mut rng, 60, false)), &SaveOptions::default());
    for bytes in [ours, unhex(STOCK_STRINGS), unhex(STOCK_TYPES)] {
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            let error = rdb::check(cut, Millis(0), &mut |_, _| {}).unwrap_err();
            assert!(
                matches!(error, LoadError::Truncated { at } if at == end as u64),
                "cut at {end}: {error}"
            );
            assert!(load(cut).is_err());
        }
    }
}

#[test]
fn no_flipped_bit_passes_the_checksum_and_none_panics_without_it() {
    let mut rng = Rng::new(9);
    let ours = save(&mut build(&random_model(&mut rng, 30, false)), &SaveOptions::default());
    for bytes in [ours, unhex(STOCK_STRINGS), unhex(STOCK_TYPES)] {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let checked = rdb::check(&damaged[..], Millis(0), &mut |_, _| {});
            // The one thing that a flip can do unseen: an older version number, whose data the rest is as well.
            let version = (5..9).contains(&(bit / 8));
            assert!(checked.is_err() || version, "bit {bit}");
            let options = LoadOptions {
                verify: Verify::Nothing,
                ..LoadOptions::default()
            };
            let _ = load_with(&damaged, &options);
        }
    }
}

/// Mutations of whole files, seeded: a smoke of what a fuzzer does at length.
#[test]
fn seeded_mutations_never_panic() {
    let mut rng = Rng::new(10);
    let ours = save(&mut build(&random_model(&mut rng, 40, false)), &SaveOptions::default());
    let sources = [ours, unhex(STOCK_STRINGS), unhex(STOCK_TYPES)];
    let telling = [
        0x00, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xc0, 0xc1, 0xc2, 0xc3, 0xf3, 0xf5, 0xf7, 0xfb, 0xfc, 0xff,
    ];
    for _ in 0..6000 {
        let mut bytes = rng.pick(&sources).clone();
        for _ in 0..1 + rng.below(6) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(5) {
                0 => bytes[at] = rng.next_u64() as u8,
                1 => bytes[at] = *rng.pick(&telling),
                2 => drop(bytes.drain(at..(at + 1 + rng.below(20) as usize).min(bytes.len()))),
                3 => {
                    let from = rng.below(bytes.len() as u64) as usize;
                    let piece = bytes[from..(from + rng.below(40) as usize).min(bytes.len())].to_vec();
                    drop(bytes.splice(at..at, piece));
                }
                _ => bytes.truncate(at.max(9)),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        rdb::fuzz::file(&bytes);
    }
}

struct Script {
    told: Vec<(u64, u64)>,
    pauses: Vec<u64>,
    cancel_after: u64,
}

impl Watch for Script {
    fn progress(&mut self, keys: u64, bytes: u64) {
        self.told.push((keys, bytes));
    }

    fn cancelled(&self) -> bool {
        self.told.last().is_some_and(|(keys, _)| *keys >= self.cancel_after)
    }

    fn pause(&mut self, microseconds: u64) {
        self.pauses.push(microseconds);
    }
}

#[test]
fn whoever_watches_hears_stops_and_delays() {
    let model: Model = (0..1000)
        .map(|n| ((0, n.to_string().into_bytes()), (b"v".to_vec(), None)))
        .collect();
    let bytes = save(&mut build(&model), &SaveOptions::default());
    let script = |cancel_after| Script {
        told: Vec::new(),
        pauses: Vec::new(),
        cancel_after,
    };

    let mut watch = script(u64::MAX);
    let options = SaveOptions {
        key_delay_microseconds: 50,
        ..SaveOptions::default()
    };
    rdb::save(&mut io::sink(), build(&model).freeze(), &options, &mut watch).unwrap();
    assert_eq!(watch.pauses, [50; 1000]);
    assert_eq!(watch.told.last().unwrap().0, 1000);
    assert!(watch.told.is_sorted());

    let mut watch = script(u64::MAX);
    let options = LoadOptions {
        key_delay_microseconds: -100,
        ..LoadOptions::default()
    };
    rdb::load(&bytes[..], &mut Keyspace::new(16, 1), &options, &mut watch).unwrap();
    assert_eq!(watch.pauses, [1; 10]);
    assert_eq!(watch.told.last(), Some(&(1000, bytes.len() as u64)));

    let mut watch = script(300);
    let saved = rdb::save(
        &mut io::sink(),
        build(&model).freeze(),
        &SaveOptions::default(),
        &mut watch,
    );
    assert!(matches!(saved, Err(SaveError::Cancelled)));
    let mut watch = script(300);
    let loaded = rdb::load(
        &bytes[..],
        &mut Keyspace::new(16, 1),
        &LoadOptions::default(),
        &mut watch,
    );
    assert!(matches!(loaded, Err(LoadError::Cancelled)));
    assert!(watch.told.last().unwrap().0 < 600);
}

#[test]
fn failing_ends_are_told_apart_from_bad_data() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bytes = unhex(STOCK_STRINGS);
    let mut keyspace = Keyspace::new(16, 1);
    let error = rdb::load(
        bytes[..50].chain(Broken),
        &mut keyspace,
        &LoadOptions::default(),
        &mut Unwatched,
    )
    .unwrap_err();
    assert!(matches!(&error, LoadError::Io { at: 50, error } if error.kind() == io::ErrorKind::ConnectionReset));
    assert!(error.is_interruption());
    let saved = rdb::save(&mut Broken, keyspace.freeze(), &SaveOptions::default(), &mut Unwatched);
    assert!(matches!(saved, Err(SaveError::Io(_))));
}

/// The bytes behind RDB data that begins something longer (an append-only file) are not lost.
#[test]
fn what_follows_can_be_had_back() {
    let bytes = [&unhex(STOCK_STRINGS)[..], b"*1\r\n$4\r\nPING\r\n"].concat();
    let mut reader = rdb::Reader::open(&bytes[..], Verify::Checksum).unwrap();
    let mut keyspace = Keyspace::new(16, 1);
    rdb::load_from(&mut reader, &mut keyspace, &LoadOptions::default(), &mut Unwatched).unwrap();
    assert!(reader.next_record().is_err(), "nothing comes after the end");
    let (rest, ahead) = reader.into_parts();
    assert_eq!([&ahead[..], rest].concat(), b"*1\r\n$4\r\nPING\r\n");
}
