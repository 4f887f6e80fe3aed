//! Hashes against a plain map, frozen at random moments, and the index of field expiries against a search.

use std::collections::BTreeMap;

use base::{DbIndex, Millis, Rng};
use keyspace::{Encodings, FieldExpiry, Frozen, HashBuilder, HashRef, Keyspace, NewValue, Pack};

const DB: DbIndex = DbIndex(0);

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>;

fn encodings() -> Encodings {
    Encodings {
        hash_max_listpack_entries: 8,
        hash_max_listpack_value: 20,
        ..Encodings::default()
    }
}

fn contents(hash: HashRef<'_>) -> Model {
    let fields: Model = hash
        .iter()
        .map(|field| (field.name.to_vec(), (field.value.to_vec(), field.expiry)))
        .collect();
    assert_eq!(fields.len() as u64, hash.len());
    fields
}

fn frozen_contents(frozen: Frozen) -> BTreeMap<Vec<u8>, Model> {
    frozen
        .databases()
        .flatten()
        .map(|entry| {
            let hash = HashRef::of(entry.value()).expect("only hashes are here");
            (entry.key().to_vec(), contents(hash))
        })
        .collect()
}

fn create(keyspace: &mut Keyspace, key: &[u8]) {
    let hash = keyspace.hash(key);
    let empty = ds::listpack::init();
    keyspace
        .db_mut(DB)
        .set(key, hash, NewValue::Pack(Pack::Hash, &empty), None);
}

/// What the index says is due at `now` is what the model says.
fn check_due(keyspace: &mut Keyspace, model: &mut BTreeMap<Vec<u8>, Model>, now: Millis) {
    while let Some(expired) = keyspace.db_mut(DB).expire_fields(now, 3) {
        let fields = model.get_mut(&expired.key).expect("a hash that is there");
        for name in &expired.fields {
            let (_, expiry) = fields.remove(name).expect("a field that is there");
            assert!(expiry.is_some_and(|at| at <= now));
        }
        assert_eq!(expired.emptied, fields.is_empty());
        if expired.emptied {
            model.remove(&expired.key);
            let hash = keyspace.hash(&expired.key);
            keyspace.db_mut(DB).delete(&expired.key, hash);
        }
    }
    for (_, expiry) in model.values().flat_map(Model::values) {
        assert!(expiry.is_none_or(|at| at > now), "a field that was not found to be due");
    }
    let expiring = model
        .values()
        .filter(|fields| fields.values().any(|(_, expiry)| expiry.is_some()))
        .count();
    assert_eq!(keyspace.db(DB).hashes_with_expiring_fields(), expiring);
}

fn key_of(rng: &mut Rng) -> Vec<u8> {
    format!("key{}", rng.below(4)).into_bytes()
}

fn change_one(keyspace: &mut Keyspace, model: &mut BTreeMap<Vec<u8>, Model>, rng: &mut Rng, now: i64) {
    let key = key_of(rng);
    let hash = keyspace.hash(&key);
    let name = match rng.below(3) {
        0 => rng.below(400).to_string(),
        _ => format!("field{}", rng.below(40)),
    }
    .into_bytes();
    if rng.below(40) == 0 {
        let to = key_of(rng);
        let to_hash = keyspace.hash(&to);
        if let Some(removed) = keyspace.db_mut(DB).remove(&key, hash) {
            keyspace.db_mut(DB).insert(&to, to_hash, removed);
            let fields = model.remove(&key).expect("the same keys");
            model.insert(to, fields);
        }
        return;
    }
    if rng.below(60) == 0 {
        assert_eq!(keyspace.db_mut(DB).delete(&key, hash), model.remove(&key).is_some());
        return;
    }
    if !model.contains_key(&key) {
        create(keyspace, &key);
        model.insert(key.clone(), Model::new());
    }
    let fields = model.get_mut(&key).expect("just made");
    let mut target = keyspace.db_mut(DB).hash_mut(&key, hash, &encodings()).expect("a hash");
    match rng.below(8) {
        0..4 => {
            let longest = if rng.chance(1, 50) { 30 } else { 10 };
            let value = vec![b'v'; rng.below(longest) as usize];
            let (expiry, at) = match rng.below(20) {
                0 => {
                    let at = Millis(now + rng.below(50) as i64);
                    (FieldExpiry::At(at), Some(at))
                }
                1..5 => (FieldExpiry::Keep, fields.get(&name).and_then(|(_, at)| *at)),
                _ => (FieldExpiry::Clear, None),
            };
            let new = target.insert(&name, &value, expiry);
            assert_eq!(new, fields.insert(name, (value, at)).is_none());
        }
        4..7 => assert_eq!(target.remove(&name), fields.remove(&name).is_some()),
        _ => {
            let at = rng.chance(1, 2).then(|| Millis(now + rng.below(50) as i64));
            let found = fields.get_mut(&name).map(|(_, expiry)| *expiry = at).is_some();
            assert_eq!(target.set_expiry(&name, at), found);
        }
    }
    assert_eq!(contents(target.get()), *fields);
    if fields.is_empty() {
        model.remove(&key);
        keyspace.db_mut(DB).delete(&key, hash);
    }
}

#[test]
fn hashes_are_maps_and_frozen_ones_stay() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut keyspace = Keyspace::new(1, seed);
        let mut model = BTreeMap::new();
        let mut views: Vec<(Frozen, BTreeMap<Vec<u8>, Model>)> = Vec::new();
        for step in 0..4000 {
            change_one(&mut keyspace, &mut model, &mut rng, step / 20);
            if rng.below(100) == 0 {
                check_due(&mut keyspace, &mut model, Millis(step / 20));
            }
            if rng.below(100) == 0 && views.len() < 8 {
                views.push((keyspace.freeze(), model.clone()));
            }
            if rng.below(150) == 0 && !views.is_empty() {
                let (frozen, then) = views.swap_remove(rng.below(views.len() as u64) as usize);
                assert_eq!(frozen_contents(frozen), then);
            }
        }
        check_due(&mut keyspace, &mut model, Millis(i64::MAX - 1));
        for (frozen, then) in views {
            assert_eq!(frozen_contents(frozen), then);
        }
        drop(keyspace.take());
        assert_eq!((keyspace.live_bytes(), keyspace.frozen_bytes()), (0, 0));
    }
}

#[test]
fn what_makes_a_hash_large() {
    let mut keyspace = Keyspace::new(1, 1);
    let key = b"h";
    let hash = keyspace.hash(key);
    let mut encoding_after = |change: &dyn Fn(&mut keyspace::HashMut<'_>)| {
        create(&mut keyspace, key);
        let mut target = keyspace.db_mut(DB).hash_mut(key, hash, &encodings()).expect("a hash");
        target.insert(b"f", b"v", FieldExpiry::Clear);
        change(&mut target);
        keyspace.db(DB).get(key, hash).expect("a hash").encoding().name()
    };
    assert_eq!(encoding_after(&|_| {}), "listpack");
    assert_eq!(
        encoding_after(&|hash| {
            for number in 0..7 {
                hash.insert(&[number], b"v", FieldExpiry::Clear);
            }
        }),
        "listpack"
    );
    assert_eq!(
        encoding_after(&|hash| {
            for number in 0..8 {
                hash.insert(&[number], b"v", FieldExpiry::Clear);
            }
        }),
        "hashtable"
    );
    assert_eq!(
        encoding_after(&|hash| assert!(!hash.insert(b"f", &[0; 21], FieldExpiry::Clear))),
        "hashtable"
    );
    assert_eq!(
        encoding_after(&|hash| assert!(hash.set_expiry(b"f", Some(Millis(1))))),
        "hashtable"
    );
    assert_eq!(encoding_after(&|hash| assert!(hash.set_expiry(b"f", None))), "listpack");
}

#[test]
fn long_values_and_random_fields() {
    let mut keyspace = Keyspace::new(1, 1);
    let (key, hash) = (b"h", keyspace.hash(b"h"));
    let long = vec![7; 200_000];
    let mut builder = HashBuilder::new(&encodings(), keyspace.db(DB).new_table());
    for number in 0..3 {
        builder.push(&[number], &long, None).expect("a new field");
    }
    assert!(builder.push(&[1], &long, None).is_err());
    keyspace.db_mut(DB).set(key, hash, builder.finish(), None);
    let found = keyspace.db(DB).get(key, hash).expect("a hash");
    let fields = HashRef::of(found.value()).expect("a hash");
    assert!(fields.iter().all(|field| field.value.to_vec() == long));
    let mut rng = Rng::new(1);
    let mut seen = [0; 3];
    for _ in 0..300 {
        seen[usize::from(fields.random(&mut rng).expect("a field").name.to_vec()[0])] += 1;
    }
    assert!(seen.iter().all(|times| *times > 50), "{seen:?}");
}
