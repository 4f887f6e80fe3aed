//! What is read: files of stock servers, and forms and layouts that none at hand writes. And the form of what we write.

use super::*;

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
