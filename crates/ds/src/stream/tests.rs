//! Streams against plain collections, with forks at random moments whose originals stay as they were.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Rng;

use super::*;

type Pairs = Vec<Vec<u8>>;

#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    entries: BTreeMap<StreamId, Pairs>,
    groups: BTreeMap<Vec<u8>, ModelGroup>,
    last_id: StreamId,
}

#[derive(Clone, Default, PartialEq, Debug)]
struct ModelGroup {
    /// Delivered when, how often, to whom.
    pending: BTreeMap<StreamId, (i64, u64, Vec<u8>)>,
    consumers: BTreeMap<Vec<u8>, i64>,
}

const LIMITS: NodeLimits = NodeLimits {
    bytes: 300,
    entries: 12,
};

fn pairs_of(entry: &Entry<'_>) -> Pairs {
    entry
        .pairs()
        .flat_map(|(field, value)| [field.to_vec(), value.to_vec()])
        .collect()
}

fn collect<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<(StreamId, Pairs)> {
    entries.map(|entry| (entry.id(), pairs_of(&entry))).collect()
}

fn model_of(stream: &Stream) -> Model {
    let groups = stream.groups().map(|group| {
        let pending = group.pending_from(StreamId::MIN).map(|pending| {
            let consumer = group.consumer(pending.consumer).expect("a consumer of the group");
            (
                pending.id,
                (pending.delivered_ms, pending.deliveries, consumer.name().to_vec()),
            )
        });
        let model = ModelGroup {
            pending: pending.collect(),
            consumers: group
                .consumers()
                .map(|consumer| (consumer.name().to_vec(), consumer.seen_ms()))
                .collect(),
        };
        for consumer in group.consumers() {
            let own = model.pending.iter().filter(|(_, (_, _, name))| name == consumer.name());
            assert!(consumer.pending_from(StreamId::MIN).eq(own.map(|(id, _)| *id)));
        }
        (group.name().to_vec(), model)
    });
    Model {
        entries: collect(stream.range(StreamId::MIN, StreamId::MAX))
            .into_iter()
            .collect(),
        groups: groups.collect(),
        last_id: stream.counters().last_id,
    }
}

fn check(stream: &Stream, model: &Model) {
    assert_eq!(model_of(stream), *model);
    let mut back = collect(stream.range_back(StreamId::MIN, StreamId::MAX));
    back.reverse();
    assert!(back.iter().map(|(id, pairs)| (id, pairs)).eq(model.entries.iter()));
    assert_eq!(stream.len(), model.entries.len() as u64);
    for (master, pack) in stream.nodes() {
        let live = model.entries.range(master..).count();
        assert!(validate_node(master, pack).expect("a valid node") <= live as u64);
    }
}

fn random_id(rng: &mut Rng, model: &Model) -> StreamId {
    let ms = rng.below(model.last_id.ms + 2);
    StreamId::new(ms, rng.below(3))
}

fn append(rng: &mut Rng, stream: &mut Stream, model: &mut Model) {
    let id = match rng.below(3) {
        0 => model.last_id.next().expect("far from the end"),
        _ => StreamId::new(model.last_id.ms + 1 + rng.below(2), rng.below(3)),
    };
    let fields: &[&str] = if rng.chance(1, 4) {
        &["a", "other"]
    } else {
        &["a", "b", "3"]
    };
    let mut pairs = Pairs::new();
    for field in fields {
        pairs.push(field.as_bytes().to_vec());
        pairs.push(match rng.below(4) {
            0 => vec![b'x'; rng.below(90) as usize],
            _ => rng.below(1000).to_string().into_bytes(),
        });
    }
    let words: Vec<&[u8]> = pairs.iter().map(Vec::as_slice).collect();
    stream.append(id, &words, LIMITS);
    model.entries.insert(id, pairs);
    model.last_id = id;
}

fn trim(rng: &mut Rng, stream: &mut Stream, model: &mut Model) {
    let before = model.entries.len() as u64;
    let to = if rng.chance(1, 2) {
        TrimTo::Length(before.saturating_sub(rng.below(20)))
    } else {
        TrimTo::Id(StreamId::new(model.last_id.ms.saturating_sub(rng.below(300)), 1))
    };
    if rng.chance(1, 2) {
        let limit = rng.below(20);
        let deleted = stream.trim(to, TrimBy::Nodes(limit));
        assert!(limit == 0 || deleted <= limit);
        for _ in 0..deleted {
            model.entries.pop_first();
        }
        match to {
            TrimTo::Length(max) => assert!(stream.len() >= max.min(before)),
            TrimTo::Id(min) => assert_eq!(model.entries.range(..min).count() as u64 + deleted, {
                let kept = stream.range(StreamId::MIN, min).filter(|entry| entry.id() < min);
                kept.count() as u64 + deleted
            }),
        }
        return;
    }
    let deleted = stream.trim(to, TrimBy::Entries);
    match to {
        TrimTo::Length(max) => {
            while model.entries.len() as u64 > max {
                model.entries.pop_first();
            }
        }
        TrimTo::Id(min) => model.entries = model.entries.split_off(&min),
    }
    assert_eq!(deleted, before - model.entries.len() as u64);
}

fn change_group(rng: &mut Rng, stream: &mut Stream, model: &mut Model) {
    let name = vec![b'g'; rng.below(3) as usize];
    if stream.create_group(&name, StreamId::MIN, None) {
        assert_eq!(model.groups.insert(name, ModelGroup::default()), None);
        return;
    }
    if rng.chance(1, 40) {
        assert!(stream.remove_group(&name));
        model.groups.remove(&name);
        return;
    }
    let group = model.groups.get_mut(&name).expect("a group that the stream has");
    let consumer = format!("consumer number {}", rng.below(12)).into_bytes();
    let id = StreamId::new(rng.below(200), 0);
    stream.update_group(&name, |real| {
        let number = match real.create_consumer(&consumer, 7) {
            Some(number) => {
                assert_eq!(group.consumers.insert(consumer.clone(), 7), None);
                number
            }
            None => real.find_consumer(&consumer).expect("it is there").id(),
        };
        match rng.below(8) {
            0 => {
                let removed = real.remove_consumer(&consumer).expect("it is there");
                let before = group.pending.len();
                group.pending.retain(|_, (_, _, name)| *name != consumer);
                group.consumers.remove(&consumer);
                assert_eq!(removed, (before - group.pending.len()) as u64);
            }
            1 | 2 => {
                let removed = real.remove_pending(id);
                assert_eq!(removed, group.pending.remove(&id).is_some());
            }
            3 => {
                let seen = rng.below(1000) as i64;
                real.touch_consumer(number, seen);
                group.consumers.insert(consumer.clone(), seen);
            }
            _ => {
                let (delivered_ms, deliveries) = (rng.below(1000) as i64, rng.below(9));
                real.set_pending(Pending {
                    id,
                    delivered_ms,
                    deliveries,
                    consumer: number,
                });
                group.pending.insert(id, (delivered_ms, deliveries, consumer.clone()));
            }
        }
    });
}

fn step(rng: &mut Rng, stream: &mut Stream, model: &mut Model) {
    match rng.below(20) {
        0 => trim(rng, stream, model),
        1..4 => {
            let id = random_id(rng, model);
            assert_eq!(stream.contains(id), model.entries.contains_key(&id));
            assert_eq!(stream.delete(id), model.entries.remove(&id).is_some());
        }
        4 => {
            let (start, end) = (random_id(rng, model), random_id(rng, model));
            let expected: Vec<_> = model
                .entries
                .iter()
                .filter(|(id, _)| (start..=end).contains(id))
                .map(|(id, pairs)| (*id, pairs.clone()))
                .collect();
            assert_eq!(collect(stream.range(start, end)), expected);
            let mut back = collect(stream.range_back(start, end));
            back.reverse();
            assert_eq!(back, expected);
        }
        5..12 => change_group(rng, stream, model),
        _ => append(rng, stream, model),
    }
}

#[test]
fn behaves_as_maps_and_forks_stay() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let account: Arc<Account> = Arc::default();
        let mut stream = Stream::new(account.clone());
        let mut model = Model::default();
        let mut frozen: Vec<(Stream, Model)> = Vec::new();
        for _ in 0..700 {
            step(&mut rng, &mut stream, &mut model);
            if rng.chance(1, 30) {
                let fork = stream.fork();
                frozen.push((mem::replace(&mut stream, fork), model.clone()));
            }
            if rng.chance(1, 40) && !frozen.is_empty() {
                let (old, expected) = frozen.swap_remove(rng.below(frozen.len() as u64) as usize);
                check(&old, &expected);
                old.release();
            }
        }
        check(&stream, &model);
        let copy = stream.deep_copy(&account);
        check(&copy, &model);
        assert_eq!(copy.counters(), stream.counters());
        drop(copy);
        while model.entries.len() + model.groups.len() > 0 {
            let first = model.entries.pop_first().map(|(id, _)| id);
            if let Some(id) = first {
                assert!(stream.delete(id));
            }
            if let Some((name, _)) = model.groups.pop_first() {
                assert!(stream.remove_group(&name));
            }
        }
        assert_eq!((stream.memory_bytes(), stream.node_count()), (0, 0));
        drop(stream);
        for (old, expected) in frozen {
            check(&old, &expected);
            old.release();
        }
        assert_eq!(account.frozen_bytes(), 0, "seed {seed}");
    }
}

#[test]
fn a_dropped_stream_leaves_what_forks_hold() {
    let account: Arc<Account> = Arc::default();
    let mut rng = Rng::new(1);
    let (mut stream, mut model) = (Stream::new(account.clone()), Model::default());
    for _ in 0..500 {
        step(&mut rng, &mut stream, &mut model);
    }
    let live = stream.fork();
    let bytes = live.memory_bytes();
    drop(live);
    assert_eq!(account.frozen_bytes(), bytes);
    check(&stream, &model);
    stream.release();
    assert_eq!(account.frozen_bytes(), 0);
}

#[test]
fn small_entries_take_little() {
    let limits = NodeLimits {
        bytes: 4096,
        entries: 100,
    };
    let mut stream = Stream::new(Arc::default());
    for number in 0..100_000_u64 {
        let id = StreamId::new(1_700_000_000_000 + number, 0);
        let (a, b) = ((number % 100).to_string(), (number % 77).to_string());
        stream.append(id, &[b"a", a.as_bytes(), b"b", b.as_bytes()], limits);
    }
    let per_entry = stream.memory_bytes() as f64 / 100_000.0;
    assert!(per_entry <= 21.0, "{per_entry} bytes an entry");
}

/// A node as stock 7.0.15 saved it: three entries, of which the second has fields of its own and the third is deleted.
#[test]
fn nodes_are_those_of_stock() {
    let mut stream = Stream::new(Arc::default());
    let id = StreamId::new;
    let limits = NodeLimits {
        bytes: 4096,
        entries: 100,
    };
    stream.append(id(1000, 1), &[b"name", b"x", b"n", b"5"], limits);
    stream.append(id(1000, 2), &[b"other", b"500"], limits);
    stream.append(id(2000, 0), &[b"name", b"y", b"n", b"-1"], limits);
    assert!(stream.delete(id(2000, 0)));
    let (master, pack) = stream.nodes().next().expect("a node");
    let hex: String = pack.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((master, hex.as_str()), (id(1000, 1), GOLDEN));
}

const GOLDEN: &str = "490000001900020101010201846e616d6505816e020001020100010001817802050105010001000101010101856f\
                      7468657206c1f40206010301c3e802dfff02817902dfff020501ff";

#[test]
fn damaged_nodes_are_seen_and_never_panic() {
    let mut rng = Rng::new(3);
    let (mut stream, mut model) = (Stream::new(Arc::default()), Model::default());
    for _ in 0..12 {
        append(&mut rng, &mut stream, &mut model);
    }
    stream.delete(*model.entries.keys().nth(2).expect("twelve entries"));
    let (master, pack) = stream.nodes().next().expect("a node");
    assert!(validate_node(master, pack).is_ok());
    for end in 0..pack.len() {
        assert!(validate_node(master, &pack[..end]).is_err());
    }
    for bit in 0..pack.len() * 8 {
        let mut damaged = pack.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if validate_node(master, &damaged).is_err() {
            continue;
        }
        let mut other = Stream::new(Arc::default());
        assert!(other.push_node(master, &damaged) && !other.push_node(master, &damaged));
        collect(other.range(StreamId::MIN, StreamId::MAX));
        let ids: Vec<_> = collect(other.range_back(StreamId::MIN, StreamId::MAX));
        other.trim(TrimTo::Length(7), TrimBy::Entries);
        ids.iter().for_each(|(id, _)| {
            other.delete(*id);
        });
    }
}
