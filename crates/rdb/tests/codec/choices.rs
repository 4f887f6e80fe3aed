//! What whoever loads may choose: what becomes of what has expired, is empty or is there already, and of the hints of use.

use super::*;

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

/// A database is laid out for as many keys as its head announces. A head that lies costs no more than a few times what has
/// really come.
#[test]
fn an_announcement_alone_takes_no_memory() {
    let file = |announced: u64, keys: u32| {
        let mut bytes = [&b"REDIS0010\xfe\x00\xfb\x81"[..], &announced.to_be_bytes(), b"\x00"].concat();
        for number in 0..keys {
            bytes.extend([&b"\x00\x04"[..], &number.to_be_bytes(), b"\xc0\x01"].concat());
        }
        [&bytes[..], b"\xff", &[0; 8]].concat()
    };
    let taken = |announced: u64, keys: u32| {
        let (summary, keyspace) = load(&file(announced, keys)).unwrap();
        assert_eq!(
            (summary.keys_loaded, keyspace.key_count()),
            (u64::from(keys), u64::from(keys))
        );
        keyspace.live_bytes()
    };
    assert_eq!(taken(u64::MAX, 0), 0);
    assert_eq!(
        taken(u64::MAX, 4000),
        taken(0, 4000),
        "too few have come to believe anything"
    );
    for keys in [5000, 40_000] {
        let (honest, lying) = (taken(u64::from(keys), keys), taken(u64::MAX, keys));
        assert!(lying < 5 * honest, "{keys} keys: {lying} bytes against {honest}");
    }
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
