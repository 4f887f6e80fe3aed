//! The keyspace through its own interface: databases, moves between them, views and accounts.

use base::{DbIndex, Millis, Rng};
use keyspace::{Encoding, Entry, Expired, INLINE_BYTES_MAX, Keyspace, MAX_LIVE_VIEWS, NewValue, ValueRef};

const ZERO: DbIndex = DbIndex(0);
const ONE: DbIndex = DbIndex(1);

fn text(entry: &Entry) -> Vec<u8> {
    match entry.value() {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Bytes(bytes) => bytes.to_vec(),
        ValueRef::Chunked(string) => string.chunks().flatten().copied().collect(),
        _ => unreachable!("only strings are stored here"),
    }
}

fn get(keyspace: &Keyspace, db: DbIndex, key: &str) -> Option<Vec<u8>> {
    keyspace
        .db(db)
        .get(key.as_bytes(), keyspace.hash(key.as_bytes()))
        .map(text)
}

fn set(keyspace: &mut Keyspace, db: DbIndex, key: &str, value: &[u8], expiry: Option<i64>) -> bool {
    let hash = keyspace.hash(key.as_bytes());
    keyspace
        .db_mut(db)
        .set(key.as_bytes(), hash, NewValue::Bytes(value), expiry.map(Millis))
}

fn encoding(keyspace: &Keyspace, key: &str) -> Encoding {
    keyspace
        .db(ZERO)
        .get(key.as_bytes(), keyspace.hash(key.as_bytes()))
        .expect("a key that was set")
        .encoding()
}

#[test]
fn encodings_are_those_of_the_stock_server() {
    let mut keyspace = Keyspace::new(1, 1);
    let rows: [(&[u8], Encoding); 9] = [
        (b"12", Encoding::Int),
        (b"-9223372036854775808", Encoding::Int),
        (b"9223372036854775808", Encoding::Embstr),
        (b"012", Encoding::Embstr),
        (b"+1", Encoding::Embstr),
        (b"", Encoding::Embstr),
        (&[b'x'; 44], Encoding::Embstr),
        (&[b'x'; 45], Encoding::Raw),
        (&[b'x'; INLINE_BYTES_MAX + 1], Encoding::Raw),
    ];
    for (value, expected) in rows {
        set(&mut keyspace, ZERO, "k", value, None);
        assert_eq!(encoding(&keyspace, "k"), expected, "{}", String::from_utf8_lossy(value));
        assert_eq!(get(&keyspace, ZERO, "k").as_deref(), Some(value));
    }
    let hash = keyspace.hash(b"k");
    keyspace.db_mut(ZERO).set(b"k", hash, NewValue::RawBytes(b"12"), None);
    assert_eq!(encoding(&keyspace, "k"), Encoding::Embstr);
    assert_eq!(keyspace.db_mut(ZERO).string_mut(b"k", hash).expect("k").append(b"3"), 3);
    assert_eq!(
        (encoding(&keyspace, "k"), get(&keyspace, ZERO, "k")),
        (Encoding::Raw, Some(b"123".to_vec()))
    );
    keyspace.db_mut(ZERO).set(b"k", hash, NewValue::Int(-5), None);
    assert_eq!(
        keyspace
            .db_mut(ZERO)
            .string_mut(b"k", hash)
            .expect("k")
            .write_at(4, b"!"),
        5
    );
    assert_eq!(
        (encoding(&keyspace, "k"), get(&keyspace, ZERO, "k")),
        (Encoding::Raw, Some(b"-5\0\0!".to_vec()))
    );
}

#[test]
fn entries_move_between_keys_and_databases_with_expiry_and_clock() {
    let mut keyspace = Keyspace::new(2, 1);
    let long = vec![b'z'; 3 * INLINE_BYTES_MAX];
    let (a, b) = (keyspace.hash(b"a"), keyspace.hash(b"b"));
    for value in [b"small".as_slice(), b"7", &long] {
        set(&mut keyspace, ZERO, "a", value, Some(500));
        keyspace.db(ZERO).get(b"a", a).expect("a").touch(0xff12_3456);
        let removed = keyspace.db_mut(ZERO).remove(b"a", a).expect("a");
        assert!(keyspace.db(ZERO).is_empty() && keyspace.live_bytes() == 0);
        assert_eq!(removed.weight() > 1, value.len() > INLINE_BYTES_MAX);
        assert!(!keyspace.db_mut(ONE).insert(b"b", b, removed));
        let entry = keyspace.db(ONE).get(b"b", b).expect("b");
        assert_eq!(
            (entry.expiry(), entry.clock(), text(entry)),
            (Some(Millis(500)), 0x12_3456, value.to_vec())
        );
        let copy = keyspace.db(ONE).copy_value(b"b", b).expect("b");
        assert!(!keyspace.db_mut(ZERO).insert(b"a", a, copy));
        assert_eq!(get(&keyspace, ZERO, "a"), get(&keyspace, ONE, "b"));
        assert!(keyspace.db(ZERO).bytes_of(keyspace.db(ZERO).get(b"a", a).expect("a")) > value.len());
        drop(keyspace.take());
        assert_eq!((keyspace.live_bytes(), keyspace.frozen_bytes()), (0, 0));
    }
}

#[test]
fn databases_are_swapped_taken_and_frozen() {
    let mut keyspace = Keyspace::new(3, 1);
    set(&mut keyspace, ZERO, "a", b"1", None);
    set(&mut keyspace, ONE, "b", b"2", Some(9));
    keyspace.swap_dbs(ZERO, ONE);
    assert_eq!(
        (get(&keyspace, ONE, "a"), get(&keyspace, ZERO, "b")),
        (Some(b"1".to_vec()), Some(b"2".to_vec()))
    );
    assert_eq!(keyspace.db(ZERO).average_ttl(Millis(4)), 5);

    let frozen = keyspace.freeze();
    let other = frozen.clone();
    assert_eq!(keyspace.live_views(), 1);
    let discarded = keyspace.take_db(ZERO);
    assert_eq!(
        (discarded.key_count(), keyspace.key_count(), keyspace.frozen_bytes()),
        (1, 1, 0)
    );
    std::thread::scope(|scope| _ = scope.spawn(move || drop(discarded)));
    assert!(keyspace.frozen_bytes() > 0, "the view holds it now");

    let seen: Vec<(u32, u64, u64)> = frozen
        .databases()
        .map(|db| (db.index().0, db.len(), db.expiring_len()))
        .collect();
    assert_eq!(seen, [(0, 1, 1), (1, 1, 0), (2, 0, 0)]);
    let keys: Vec<Vec<u8>> = other.databases().flatten().map(|entry| entry.key().to_vec()).collect();
    assert_eq!(keys, [b"b", b"a"]);
    assert_eq!((keyspace.live_views(), keyspace.frozen_bytes()), (0, 0));

    let views: Vec<_> = (0..MAX_LIVE_VIEWS).map(|_| keyspace.freeze()).collect();
    assert_eq!(keyspace.live_views(), MAX_LIVE_VIEWS);
    drop(views);
    assert_eq!(keyspace.live_views(), 0);
}

/// Every view has its own version of every key: as many as an entry or a segment will ever be shared by.
#[test]
fn all_views_at_once_keep_their_versions() {
    let mut keyspace = Keyspace::new(1, 1);
    let mut views = Vec::new();
    for version in 0..MAX_LIVE_VIEWS {
        for key in 0..200 {
            // Some keys change at every version, some never.
            if version == 0 || key % 3 != 0 {
                set(
                    &mut keyspace,
                    ZERO,
                    &key.to_string(),
                    format!("{version}").as_bytes(),
                    None,
                );
            }
        }
        views.push(keyspace.freeze());
    }
    let readers: Vec<_> = views.iter().cloned().chain(views.iter().cloned()).enumerate().collect();
    drop(views);
    std::thread::scope(|scope| {
        for (index, view) in readers {
            let version = index % MAX_LIVE_VIEWS;
            scope.spawn(move || {
                for entry in view.databases().flatten() {
                    let key: usize = String::from_utf8_lossy(entry.key()).parse().expect("a number");
                    let expected = if key.is_multiple_of(3) { 0 } else { version };
                    assert_eq!(text(&entry), expected.to_string().into_bytes());
                }
            });
        }
    });
    assert_eq!((keyspace.live_views(), keyspace.frozen_bytes()), (0, 0));
}

#[test]
fn expired_keys_are_found_and_the_average_ttl_follows() {
    let mut keyspace = Keyspace::new(1, 1);
    let mut rng = Rng::new(1);
    for key in 0..1000 {
        set(
            &mut keyspace,
            ZERO,
            &key.to_string(),
            b"v",
            (key % 2 == 0).then_some(1000 + key),
        );
    }
    assert_eq!(keyspace.db(ZERO).expiring_len(), 500);
    assert_eq!(keyspace.db(ZERO).average_ttl(Millis(1000)), 499);
    assert_eq!(keyspace.db(ZERO).soonest_expiry(), Some(Millis(1000)));
    assert!(keyspace.db(ZERO).next_expired(Millis(999)).is_none());
    let mut found = 0;
    while let Some(key) = keyspace
        .db(ZERO)
        .next_expired(Millis(1498))
        .map(|entry| entry.key().to_vec())
    {
        let hash = keyspace.hash(&key);
        assert!(keyspace.db_mut(ZERO).delete(&key, hash));
        found += 1;
    }
    assert_eq!((found, keyspace.db(ZERO).len()), (250, 750));
    assert!(matches!(keyspace.db(ZERO).expire_step(Millis(1498)), Expired::None));
    assert_eq!(keyspace.db(ZERO).average_ttl(Millis(0)), 1749);
    let hash = keyspace.hash(b"600");
    assert!(keyspace.db_mut(ZERO).set_expiry(b"600", hash, None));
    assert!(!keyspace.db_mut(ZERO).set_expiry(b"no such key", hash, None));
    assert_eq!(keyspace.db(ZERO).expiring_len(), 249);
    assert!(keyspace.db(ZERO).random(&mut rng).is_some());
}
