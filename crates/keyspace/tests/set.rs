//! Sets against a plain ordered set, with frozen views at random moments.

use std::collections::BTreeSet;

use base::{DbIndex, Rng};
use keyspace::{Encodings, Keyspace, SetBuilder, SetMut, SetRef, ValueRef};

const DB: DbIndex = DbIndex(0);

fn members(value: ValueRef<'_>) -> BTreeSet<Vec<u8>> {
    SetRef::of(value)
        .expect("a set")
        .iter()
        .map(|member| member.to_vec())
        .collect()
}

fn limits(intset: i64) -> Encodings {
    Encodings {
        set_max_intset_entries: intset,
        ..Encodings::default()
    }
}

fn member(rng: &mut Rng, kind: u64) -> Vec<u8> {
    match kind {
        0 => (rng.below(60) as i64 - 30).to_string().into_bytes(),
        1 => rng.below(2000).to_string().into_bytes(),
        2 => format!("m{}", rng.below(100)).into_bytes(),
        3 => format!("member:{}", rng.below(3000)).into_bytes(),
        _ => vec![b'x'; rng.below(80) as usize],
    }
}

#[test]
fn behaves_as_a_set_in_all_its_forms_and_views_never_change() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut keyspace = Keyspace::new(1, seed);
        let hash = keyspace.hash(b"key");
        let limits = limits([512, 20, 0][(seed % 3) as usize]);
        let mut model = BTreeSet::new();
        let mut builder = SetBuilder::new(keyspace.db(DB).new_table(), limits);
        assert!(builder.add(b"1"));
        model.insert(b"1".to_vec());
        builder.with_value(|value| keyspace.db_mut(DB).set(b"key", hash, value, None));
        let mut views = Vec::new();
        for step in 0..600 {
            let kind = if step < 200 { seed % 2 } else { rng.below(5) };
            let some: Vec<Vec<u8>> = (0..=rng.below(4)).map(|_| member(&mut rng, kind)).collect();
            let slices = some.iter().map(Vec::as_slice);
            let mut set = SetMut::of(keyspace.db_mut(DB).value_mut(b"key", hash).unwrap(), limits).unwrap();
            if rng.chance(3, 5) || model.len() < 6 {
                let new = some.iter().filter(|member| model.insert((*member).clone())).count();
                assert_eq!(set.add(slices), new as u64);
            } else {
                let gone = some.iter().filter(|member| model.remove(*member)).count();
                assert_eq!(set.remove(slices), gone as u64);
            }
            let set = set.get();
            assert_eq!(set.len(), model.len());
            let asked = member(&mut rng, kind);
            assert_eq!(set.contains(&asked), model.contains(&asked));
            if step % 50 == 0 {
                let count = rng.below(model.len() as u64 + 3) as usize;
                let sample: BTreeSet<Vec<u8>> = set.sample(count, &mut rng).iter().map(|m| m.to_vec()).collect();
                assert_eq!(sample.len(), count.min(model.len()));
                assert!(sample.is_subset(&model));
                let mut cursor = 0;
                let mut seen = BTreeSet::new();
                loop {
                    cursor = set.scan(cursor, 10, &mut |member| {
                        seen.insert(member.to_vec());
                    });
                    if cursor == 0 {
                        break;
                    }
                }
                assert_eq!(seen, model);
                if views.len() < 8 {
                    views.push((keyspace.freeze(), model.clone()));
                }
            }
        }
        assert_eq!(members(keyspace.db(DB).get(b"key", hash).unwrap().value()), model);
        for (view, model) in views {
            let db = view.databases().next().unwrap();
            let entry = db.into_iter().next().unwrap();
            assert_eq!(members(entry.value()), model);
        }
        assert_eq!(keyspace.frozen_bytes(), 0);
        drop(keyspace.take());
    }
}

/// The bound that large sets keep: 36 bytes for a member of 16, the table's share included.
#[test]
fn large_sets_are_dense() {
    let keyspace = Keyspace::new(1, 3);
    let mut builder = SetBuilder::new(keyspace.db(DB).new_table(), Encodings::default());
    let count = 200_000;
    (0..count).for_each(|number| assert!(builder.add(format!("m{number:015}").as_bytes())));
    let SetRef::Table(table) = builder.get() else {
        panic!("not a large set")
    };
    let each = table.memory_bytes() as f64 / f64::from(count);
    assert!(each <= 36.0, "{each} bytes");
}

#[test]
fn every_member_is_drawn_as_often_as_any_other() {
    let keyspace = Keyspace::new(1, 3);
    let mut rng = Rng::new(9);
    for prefix in ["", "m"] {
        for len in [10, 100, 1000] {
            let mut builder = SetBuilder::new(keyspace.db(DB).new_table(), Encodings::default());
            (0..len).for_each(|number| assert!(builder.add(format!("{prefix}{number}").as_bytes())));
            let mut hits = vec![0_u64; len];
            let index = |member: &[u8]| -> usize { String::from_utf8_lossy(&member[prefix.len()..]).parse().unwrap() };
            let draws = len * 100;
            for _ in 0..draws / 10 {
                let set = builder.get();
                for member in set.sample(5, &mut rng) {
                    hits[index(&member.to_vec())] += 1;
                }
                (0..5).for_each(|_| hits[index(&set.random(&mut rng).unwrap().to_vec())] += 1);
            }
            assert!(hits.iter().all(|hits| (50..160).contains(hits)), "{hits:?}");
        }
    }
}
