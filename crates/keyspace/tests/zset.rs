//! Sorted sets against a plain map, in one block and large, frozen at random moments.

use std::collections::BTreeMap;

use base::{DbIndex, Rng};
use keyspace::{
    Encodings, Frozen, Keyspace, LexBound, NewValue, Pack, Placed, ScoreBound, ZsetBuilder, ZsetMut, ZsetRef,
};

const DB: DbIndex = DbIndex(0);
const KEY: &[u8] = b"z";

type Model = BTreeMap<Vec<u8>, f64>;
type Listed = Vec<(Vec<u8>, f64)>;

fn encodings() -> Encodings {
    Encodings {
        zset_max_listpack_entries: 40,
        zset_max_listpack_value: 12,
        ..Encodings::default()
    }
}

fn sorted(model: &Model) -> Listed {
    let mut all: Listed = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    all
}

fn listed<'a>(members: impl Iterator<Item = (keyspace::Member<'a>, f64)>) -> Listed {
    members.map(|(member, score)| (member.to_vec(), score)).collect()
}

fn look(keyspace: &Keyspace) -> ZsetRef<'_> {
    let entry = keyspace.db(DB).get(KEY, keyspace.hash(KEY)).expect("the key");
    ZsetRef::of(entry.value()).expect("a sorted set")
}

fn change<R>(keyspace: &mut Keyspace, change: impl FnOnce(&mut ZsetMut<'_>) -> R) -> R {
    let hash = keyspace.hash(KEY);
    let value = keyspace.db_mut(DB).value_mut(KEY, hash).expect("the key");
    change(&mut ZsetMut::new(value, &encodings()).expect("a sorted set"))
}

fn create(keyspace: &mut Keyspace) {
    let hash = keyspace.hash(KEY);
    let empty = ds::listpack::init();
    keyspace
        .db_mut(DB)
        .set(KEY, hash, NewValue::Pack(Pack::Zset, &empty), None);
}

fn check(zset: ZsetRef<'_>, model: &Model, rng: &mut Rng) {
    let all = sorted(model);
    let len = all.len() as u64;
    assert_eq!(zset.len(), len);
    assert_eq!(listed(zset.iter()), all);
    let start = rng.below(len + 2);
    let end = start + rng.below(10);
    let slice = |range: std::ops::Range<u64>| {
        let (start, end) = (range.start.min(len) as usize, range.end.min(len) as usize);
        all[start..end.max(start)].to_vec()
    };
    assert_eq!(listed(zset.range(start..end)), slice(start..end));
    let mut back = listed(zset.range_back(start..end));
    back.reverse();
    assert_eq!(back, slice(start..end));
    assert_eq!(
        zset.get(start).map(|(member, _)| member.to_vec()),
        slice(start..start + 1).first().map(|(member, _)| member.clone())
    );
    for (rank, (member, score)) in all.iter().enumerate().step_by(7) {
        assert_eq!(zset.rank(member), Some((rank as u64, *score)));
        assert_eq!(zset.score(member), Some(*score));
    }
    assert_eq!((zset.score(b"absent"), zset.rank(b"absent")), (None, None));
    let bound = |rng: &mut Rng| ScoreBound {
        score: rng.below(50) as f64 - 25.0,
        exclusive: rng.chance(1, 2),
    };
    let (min, max) = (bound(rng), bound(rng));
    let inside = |score: f64| {
        (score > min.score || (score == min.score && !min.exclusive))
            && (score < max.score || (score == max.score && !max.exclusive))
    };
    let expected: Listed = all.iter().filter(|(_, score)| inside(*score)).cloned().collect();
    assert_eq!(listed(zset.range(zset.ranks_by_score(min, max))), expected);
    let drawn = zset.random(rng).map(|(member, score)| (member.to_vec(), score));
    assert_eq!(drawn.is_none(), all.is_empty());
    assert!(drawn.is_none_or(|(member, score)| model.get(&member) == Some(&score)));
}

fn frozen_contents(frozen: Frozen) -> Listed {
    let mut all = frozen.databases().flatten();
    let entry = all.next().expect("the key");
    listed(ZsetRef::of(entry.value()).expect("a sorted set").iter())
}

#[test]
fn behaves_as_a_sorted_map_and_views_never_change() {
    for seed in 0..16 {
        let mut rng = Rng::new(seed);
        let mut keyspace = Keyspace::new(1, seed);
        let mut model = Model::new();
        let mut views: Vec<(Frozen, Listed)> = Vec::new();
        create(&mut keyspace);
        // Half of them outgrow the block.
        let members = if seed % 2 == 0 { 30 } else { 400 };
        for _ in 0..600 {
            let member = match rng.below(3) {
                0 => rng.below(members / 3).to_string(),
                _ => format!("m{}", rng.below(members / 3 * 2)),
            };
            let member = member.as_bytes();
            if rng.chance(1, 3) {
                let removed = change(&mut keyspace, |zset| zset.remove(member));
                assert_eq!(removed, model.remove(member));
            } else {
                let score = rng.below(80) as f64 / 2.0 - 20.0;
                let placed = match model.insert(member.to_vec(), score) {
                    None => Placed::Added,
                    Some(old) if old == score => Placed::Unchanged,
                    Some(old) => Placed::Moved(old),
                };
                assert_eq!(change(&mut keyspace, |zset| zset.insert(member, score)), placed);
            }
            if rng.chance(1, 30) {
                let len = model.len() as u64;
                let start = rng.below(len + 1);
                let end = start + rng.below(len - start + 1).min(5);
                for (member, _) in &sorted(&model)[start as usize..end as usize] {
                    model.remove(member);
                }
                change(&mut keyspace, |zset| zset.remove_range(start..end));
            }
            check(look(&keyspace), &model, &mut rng);
            if rng.chance(1, 20) && views.len() < 10 {
                views.push((keyspace.freeze(), sorted(&model)));
            }
            if rng.chance(1, 30) && !views.is_empty() {
                let (view, expected) = views.swap_remove(0);
                assert_eq!(frozen_contents(view), expected);
            }
        }
        for (view, expected) in views {
            assert_eq!(frozen_contents(view), expected);
        }
        assert_eq!(keyspace.frozen_bytes(), 0);
    }
}

#[test]
fn a_builder_makes_what_insertions_make() {
    for (count, long, small) in [
        (3, false, true),
        (40, false, true),
        (41, false, false),
        (3, true, false),
        (500, false, false),
    ] {
        let mut rng = Rng::new(count);
        let mut keyspace = Keyspace::new(1, 5);
        let mut builder = ZsetBuilder::new(&encodings(), keyspace.db(DB).new_table());
        let mut model = Model::new();
        for number in 0..count {
            let member = format!(
                "m{number}{}",
                if long && number == 1 {
                    "-longer-than-allowed"
                } else {
                    ""
                }
            );
            let score = rng.below(20) as f64 * 0.5;
            builder.push(member.as_bytes(), score).expect("a new member");
            assert!(builder.push(member.as_bytes(), score).is_err());
            model.insert(member.into_bytes(), score);
        }
        assert_eq!(builder.len(), count);
        let hash = keyspace.hash(KEY);
        keyspace.db_mut(DB).set(KEY, hash, builder.finish(), None);
        assert_eq!(matches!(look(&keyspace), ZsetRef::Pack(_)), small);
        check(look(&keyspace), &model, &mut rng);
    }
}

#[test]
fn ranges_by_member() {
    let mut keyspace = Keyspace::new(1, 1);
    create(&mut keyspace);
    for large in [false, true] {
        if large {
            change(&mut keyspace, |zset| zset.insert(b"a-member-that-is-long", 5.0));
            change(&mut keyspace, |zset| zset.remove(b"a-member-that-is-long"));
            assert!(matches!(look(&keyspace), ZsetRef::Large(_)));
        }
        for member in [b"a", b"b", b"c", b"d"] {
            change(&mut keyspace, |zset| zset.insert(member, 0.0));
        }
        let zset = look(&keyspace);
        let text = |min, max| {
            let ranks = zset.ranks_by_member(min, max);
            let members = listed(zset.range(ranks))
                .into_iter()
                .take_while(|(_, score)| *score == 0.0);
            String::from_utf8(members.flat_map(|(member, _)| member).collect()).expect("letters")
        };
        assert_eq!(text(LexBound::Lowest, LexBound::Inclusive(b"z")), "abcd");
        assert_eq!(text(LexBound::Inclusive(b"b"), LexBound::Exclusive(b"d")), "bc");
        assert_eq!(text(LexBound::Exclusive(b"b"), LexBound::Inclusive(b"d")), "cd");
        assert_eq!(text(LexBound::Highest, LexBound::Lowest), "");
        assert_eq!(text(LexBound::Inclusive(b"c"), LexBound::Inclusive(b"a")), "");
    }
}
