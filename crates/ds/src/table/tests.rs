//! The table against a plain ordered map: random operations, frozen views of random moments, and after each round the
//! whole tree looked through, block by block.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Millis, Rng};

use super::child::Child;
use super::node::{self, Inner};
use super::segment::{self, NEVER, Segment};
use super::*;
use crate::account::Account;
use crate::object::Object;
use crate::value::{Encoding, INLINE_BYTES_MAX, Pack};

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    value: Vec<u8>,
    encoding: Encoding,
    expiry: Option<i64>,
}

type Model = BTreeMap<Vec<u8>, Expected>;

fn table(seed: u64, mask: u64) -> Table {
    let mut hasher = Hasher::new(seed);
    hasher.mask = mask;
    Table::new(Arc::new(hasher), Arc::new(Account::default()))
}

fn text(entry: &Entry) -> Vec<u8> {
    match entry.value() {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Bytes(bytes) => bytes.to_vec(),
        ValueRef::Chunked(string) => string.chunks().flatten().copied().collect(),
        ValueRef::Pack(_, bytes) => bytes.to_vec(),
        other @ ValueRef::Zset(_) => unreachable!("a {other:?} is tested apart"),
        ValueRef::Set(table) | ValueRef::Hash(table) => {
            let members: BTreeMap<&[u8], Vec<u8>> = table.iter().map(|entry| (entry.key(), text(entry))).collect();
            serialize(members.into_iter())
        }
        ValueRef::Stream(_) | ValueRef::List(_) => unreachable!("none is put into these tables"),
    }
}

/// A large collection as the model has it.
fn serialize(members: impl Iterator<Item = (impl AsRef<[u8]>, Vec<u8>)>) -> Vec<u8> {
    members
        .flat_map(|(member, value)| [member.as_ref(), b"=", &value, b";"].concat())
        .collect()
}

fn parse(text: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    text.split_inclusive(|byte| *byte == b';')
        .map(|pair| {
            let (member, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=').unwrap());
            (member.to_vec(), value[1..value.len() - 1].to_vec())
        })
        .collect()
}

fn seen(entry: &Entry) -> (Vec<u8>, Expected) {
    let expected = Expected {
        value: text(entry),
        encoding: entry.encoding(),
        expiry: entry.expiry().map(|Millis(ms)| ms),
    };
    (entry.key().to_vec(), expected)
}

/// Every block under `child` by its address; checks what nodes say about themselves on the way.
fn blocks(table: Option<&Table>, child: Child, prefix: u64, consumed: u32, found: &mut BTreeMap<usize, usize>) {
    // SAFETY: the tests hold what they look at.
    unsafe {
        if child.is_none() {
            return;
        }
        let summary = node::summary(child);
        if child.is_inner() {
            let inner = Inner::of(child);
            found.insert(child.address().addr(), node::block_bytes(inner.bits()));
            let (mut len, mut expiring, mut soonest, mut deepest) = (0, 0, NEVER, 0);
            let mut index = 0;
            for below in inner.children() {
                let (first, span) = inner.span(index);
                assert_eq!(first, index, "a child in slots of its own");
                assert!((index..index + span).all(|index| inner.slot(index) == below));
                let prefix = prefix | ((index as u64) << (64 - consumed - inner.bits()));
                let bits = if below.is_inner() { inner.bits() } else { below.depth() };
                blocks(table, below, prefix, consumed + bits, found);
                let below_summary = node::summary(below);
                len += below_summary.len;
                expiring += below_summary.expiring;
                soonest = soonest.min(below_summary.soonest);
                deepest = deepest.max(below.depth());
                index += span;
            }
            assert_eq!((summary.len, summary.expiring), (len, expiring));
            assert!(summary.soonest <= soonest && (expiring == 0) == (summary.soonest == NEVER));
            assert_eq!(deepest, inner.bits(), "a directory no larger than needed");
            return;
        }
        let segment = Segment::of(child);
        found.insert(child.address().addr(), segment::block_bytes(segment.class()));
        assert_eq!(segment.entries().count(), segment.len());
        assert!(segment.len() <= segment.capacity());
        let expiries: Vec<i64> = segment
            .entries()
            .filter_map(|entry| entry.expiry().map(|Millis(ms)| ms))
            .collect();
        assert_eq!(expiries.len(), segment.expiring());
        assert!(expiries.iter().all(|expiry| *expiry >= segment.soonest()));
        assert_eq!(expiries.is_empty(), segment.soonest() == NEVER);
        for entry in segment.entries() {
            entry.for_each_block(&mut |address, bytes| _ = found.insert(address, bytes));
            if let Some(table) = table {
                let hash = table.hasher.hash(entry.key());
                assert_eq!(entry.tag(), hash.tag(consumed));
                assert!(
                    consumed == 0 || (hash.0 ^ prefix) >> (64 - consumed) == 0,
                    "an entry in its place"
                );
                assert!(
                    table
                        .get(entry.key(), hash)
                        .is_some_and(|found| std::ptr::eq(found, entry))
                );
            }
        }
    }
}

impl Table {
    /// Address and size of every block of the table.
    pub(crate) fn for_each_block(&self, each: &mut dyn FnMut(usize, usize)) {
        let mut found = BTreeMap::new();
        blocks(Some(self), self.root, 0, 0, &mut found);
        found.into_iter().for_each(|(address, bytes)| each(address, bytes));
    }
}

/// All that must always be so.
fn check(table: &Table, model: &Model, views: &[(Frozen, Model)]) {
    assert_eq!(table.len(), model.len() as u64);
    assert_eq!(
        table.expiring_len(),
        model.values().filter(|expected| expected.expiry.is_some()).count() as u64
    );
    let mut live = BTreeMap::new();
    blocks(Some(table), table.root, 0, 0, &mut live);
    assert_eq!(table.memory_bytes(), live.values().sum::<usize>() as u64, "live bytes");
    let mut frozen = BTreeMap::new();
    views
        .iter()
        .for_each(|(view, _)| blocks(None, view.root, 0, 0, &mut frozen));
    frozen.retain(|address, _| !live.contains_key(address));
    assert_eq!(
        table.ledger.account().frozen_bytes(),
        frozen.values().sum::<usize>() as u64,
        "frozen bytes"
    );
    assert_eq!(&table.iter().map(seen).collect::<Model>(), model);
}

fn encoding_of(value: &[u8], raw: bool) -> Encoding {
    if raw || value.len() > 44 {
        Encoding::Raw
    } else {
        Encoding::Embstr
    }
}

struct Trial {
    rng: Rng,
    table: Table,
    model: Model,
    views: Vec<(Frozen, Model)>,
    keys: u64,
    long: bool,
}

impl Trial {
    fn new(seed: u64, mask: u64, keys: u64, long: bool) -> Self {
        let (rng, table) = (Rng::new(seed), table(seed, mask));
        Self {
            rng,
            table,
            model: Model::new(),
            views: Vec::new(),
            keys,
            long,
        }
    }

    fn key(&mut self) -> (Vec<u8>, KeyHash) {
        let number = self.rng.below(self.keys);
        let mut key = format!("key:{number}").into_bytes();
        if number.is_multiple_of(50) {
            key.resize(250 + (number % 9) as usize, b'.');
        }
        let hash = self.table.hasher.hash(&key);
        (key, hash)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let most = match self.rng.below(if self.long { 30 } else { 28 }) {
            0..20 => 60,
            20..27 => 600,
            27 => 5_000,
            _ => 3 * INLINE_BYTES_MAX as u64,
        };
        let byte = b'a' + self.rng.below(26) as u8;
        vec![byte; self.rng.below(most) as usize]
    }

    fn expiry(&mut self) -> Option<Millis> {
        self.rng.chance(1, 3).then(|| Millis(self.rng.below(1000) as i64))
    }

    fn set(&mut self) {
        let (key, hash) = self.key();
        let expiry = self.expiry();
        let number = self.rng.next_u64() as i64 >> self.rng.below(64);
        let expected = if self.rng.chance(1, 4) {
            let value = number.to_string().into_bytes();
            let new = if self.rng.chance(1, 2) {
                NewValue::Int(number)
            } else {
                NewValue::Bytes(&value)
            };
            let old = self.table.set(&key, hash, new, expiry);
            assert_eq!(old.is_some(), self.model.contains_key(&key));
            Expected {
                value,
                encoding: Encoding::Int,
                expiry: expiry.map(|Millis(ms)| ms),
            }
        } else {
            let value = self.bytes();
            self.table.set(&key, hash, NewValue::RawBytes(&value), expiry);
            Expected {
                encoding: encoding_of(&value, false),
                value,
                expiry: expiry.map(|Millis(ms)| ms),
            }
        };
        self.model.insert(key, expected);
    }

    fn set_expiry(&mut self) {
        let ((key, hash), expiry) = (self.key(), self.expiry());
        let known = self.model.get_mut(&key);
        assert_eq!(self.table.set_expiry(&key, hash, expiry).is_some(), known.is_some());
        if let Some(expected) = known {
            expected.expiry = expiry.map(|Millis(ms)| ms);
        }
    }

    fn change_string(&mut self) {
        let ((key, hash), bytes) = (self.key(), self.bytes());
        let offset = self.rng.below(if self.long { 100_000 } else { 300 }) as usize;
        let append = self.rng.chance(1, 2);
        let Some(expected) = self.model.get_mut(&key) else {
            assert!(self.table.string_mut(&key, hash).is_none());
            return;
        };
        if matches!(expected.encoding, Encoding::Listpack | Encoding::Hashtable) {
            return;
        }
        let mut string = self.table.string_mut(&key, hash).expect("known to the model");
        if append {
            expected.value.extend_from_slice(&bytes);
            expected.encoding = Encoding::Raw;
            assert_eq!(string.append(&bytes), expected.value.len());
            return;
        }
        if !bytes.is_empty() {
            let end = offset + bytes.len();
            expected.value.resize(expected.value.len().max(end), 0);
            expected.value[offset..end].copy_from_slice(&bytes);
            expected.encoding = Encoding::Raw;
        }
        assert_eq!(string.write_at(offset, &bytes), expected.value.len());
    }

    fn set_collection(&mut self) {
        let ((key, hash), expiry) = (self.key(), self.expiry());
        let (value, encoding) = if self.rng.chance(1, 2) {
            let value = self.bytes();
            self.table.set(&key, hash, NewValue::Pack(Pack::Hash, &value), expiry);
            (value, Encoding::Listpack)
        } else {
            let inner = Box::new(self.table.new_inner());
            let object = if self.rng.chance(1, 2) {
                Object::Set(inner)
            } else {
                Object::Hash(inner)
            };
            self.table.set(&key, hash, NewValue::Object(object), expiry);
            (Vec::new(), Encoding::Hashtable)
        };
        let expiry = expiry.map(|Millis(ms)| ms);
        self.model.insert(
            key,
            Expected {
                value,
                encoding,
                expiry,
            },
        );
    }

    fn change_collection(&mut self) {
        let ((key, hash), bytes) = (self.key(), self.bytes());
        let (some, other) = (self.rng.next_u64() as usize, self.rng.next_u64() as usize);
        let Some(expected) = self.model.get_mut(&key) else {
            assert!(self.table.value_mut(&key, hash).is_none());
            return;
        };
        let mut value = self.table.value_mut(&key, hash).expect("known to the model");
        match expected.encoding {
            Encoding::Listpack => {
                let at = some % (expected.value.len() + 1);
                let remove = other % (expected.value.len() - at + 1);
                expected.value.splice(at..at + remove, [&bytes[..], b"+"].concat());
                value.pack_mut().splice(at, remove, &[&bytes, b"+"]);
                if let Some(byte) = expected.value.get_mut(at) {
                    *byte ^= 1;
                    value.pack_mut().as_mut_slice()[at] ^= 1;
                }
            }
            Encoding::Hashtable => {
                let mut members = parse(&expected.value);
                value.object_mut(|object| {
                    let (ObjectMut::Set(table) | ObjectMut::Hash(table)) = object else {
                        unreachable!("a table")
                    };
                    for step in 0..1 + some % 40 {
                        let member = format!("m{}", (other.wrapping_mul(step + 1) >> 8) % 300).into_bytes();
                        let hash = table.hash(&member);
                        if other >> (step % 16) & 1 == 0 {
                            assert_eq!(table.delete(&member, hash).is_some(), members.remove(&member).is_some());
                        } else {
                            table.set(&member, hash, NewValue::RawBytes(&bytes), None);
                            members.insert(member, bytes.clone());
                        }
                    }
                });
                expected.value = serialize(members.into_iter());
            }
            _ => {}
        }
    }

    fn remove(&mut self) {
        let (key, hash) = self.key();
        let known = self.model.remove(&key);
        if self.rng.chance(1, 2) {
            assert_eq!(self.table.delete(&key, hash).is_some(), known.is_some());
            return;
        }
        let removed = self.table.remove(&key, hash);
        assert_eq!(removed.is_some(), known.is_some());
        let (Some(removed), Some(expected)) = (removed, known) else {
            return;
        };
        assert_eq!(seen(removed.entry()), (key, expected.clone()));
        if self.rng.chance(1, 2) {
            let (other, hash) = self.key();
            self.table.insert(&other, hash, removed);
            self.model.insert(other, expected);
        }
    }

    fn copy(&mut self) {
        let ((from, from_hash), (to, to_hash)) = (self.key(), self.key());
        if let Some(copy) = self.table.duplicate(&from, from_hash) {
            self.table.insert(&to, to_hash, copy);
            let expected = self.model[&from].clone();
            self.model.insert(to, expected);
        }
    }

    fn expire(&mut self) {
        let now = self.rng.below(100) as i64;
        loop {
            let key = match self.table.next_expired(Millis(now)) {
                Expired::Found(entry) => entry.key().to_vec(),
                Expired::More => continue,
                Expired::None => break,
            };
            let expected = self.model.remove(&key).expect("known to the model");
            assert!(expected.expiry.is_some_and(|expiry| expiry <= now));
            self.table
                .delete(&key, self.table.hasher.hash(&key))
                .expect("a key just found");
        }
        let soonest = self.model.values().filter_map(|expected| expected.expiry).min();
        assert!(soonest.is_none_or(|soonest| soonest > now));
        assert!(
            self.table
                .soonest_expiry()
                .is_none_or(|Millis(bound)| bound > now && bound <= soonest.unwrap())
        );
    }

    /// Reads a view to the end, or half, or drops it; possibly on another thread, possibly twice at once.
    fn end_view(&mut self) {
        if self.views.is_empty() {
            return;
        }
        let (view, model) = self.views.swap_remove(self.rng.below(self.views.len() as u64) as usize);
        let (way, clone) = (
            self.rng.below(4),
            self.rng.chance(1, 4).then(|| (view.clone(), model.clone())),
        );
        let work = move || match way {
            0 => drop(view),
            1 => drop(
                view.into_entries()
                    .take(model.len() / 2)
                    .map(|entry| seen(&entry))
                    .collect::<Vec<_>>(),
            ),
            _ => assert_eq!(view.into_entries().map(|entry| seen(&entry)).collect::<Model>(), model),
        };
        std::thread::scope(|scope| {
            if way == 3 {
                scope.spawn(work);
            } else {
                work();
            }
            if let Some((view, model)) = clone {
                scope
                    .spawn(move || assert_eq!(view.into_entries().map(|entry| seen(&entry)).collect::<Model>(), model));
            }
        });
    }

    fn step(&mut self, removals: u64) {
        match self.rng.below(100) {
            0..45 => self.set(),
            45..52 => self.change_string(),
            52..54 => self.set_collection(),
            54 => (0..4).for_each(|_| self.change_collection()),
            55..60 => self.set_expiry(),
            60..63 => self.copy(),
            63 if self.rng.chance(1, 8) => self.table.prepare(self.rng.below(3 * self.keys)),
            _ => (0..removals).for_each(|_| self.remove()),
        }
    }

    fn run(mut self, rounds: u64, steps: u64) {
        for round in 0..rounds {
            // Now growing, now shrinking.
            let removals = if round / 4 % 2 == 0 { 1 } else { 3 };
            (0..steps).for_each(|_| self.step(removals));
            if self.rng.chance(1, 2) && self.views.len() < 6 {
                self.views.push((self.table.freeze(), self.model.clone()));
            }
            if self.rng.chance(1, 3) {
                self.end_view();
            }
            if self.rng.chance(1, 5) {
                self.expire();
            }
            if self.rng.chance(1, 40) {
                drop(self.table.take());
                self.model.clear();
            }
            check(&self.table, &self.model, &self.views);
        }
        let account = self.table.ledger.account().clone();
        let keys: Vec<Vec<u8>> = self.model.keys().cloned().collect();
        for key in keys {
            self.table
                .delete(&key, self.table.hasher.hash(&key))
                .expect("known to the model");
        }
        assert_eq!(self.table.memory_bytes(), 0, "an empty table takes no memory");
        while !self.views.is_empty() {
            self.end_view();
        }
        assert_eq!(account.frozen_bytes(), 0);
    }
}

#[cfg(not(slow_checker))]
const SEEDS: u64 = 16;
#[cfg(slow_checker)]
const SEEDS: u64 = 3;

#[test]
fn behaves_as_a_map_and_views_never_change() {
    (0..SEEDS).for_each(|seed| Trial::new(seed, u64::MAX, 40 << (seed % 8), false).run(40, 200));
}

#[test]
fn long_strings_are_shared_with_views_by_the_chunk() {
    (0..SEEDS / 3).for_each(|seed| Trial::new(100 + seed, u64::MAX, 25, true).run(30, 40));
}

/// Hashes that differ in few bits make deep trees, one-sided splits, segments that cannot be split, and groups that
/// overflow into each other.
#[test]
fn bad_hashes_are_slow_but_right() {
    let masks = [
        0,
        0xffff,
        0xf000,
        0xffff_0000,
        0xff00_0000_0000_0000,
        0x0707_0707_0707_0707,
        1 << 16,
        3 << 15,
    ];
    for (seed, mask) in masks.into_iter().enumerate() {
        Trial::new(200 + seed as u64, mask, 800, false).run(24, 200);
    }
}

#[test]
fn a_large_table_grows_and_shrinks() {
    let mut table = table(1, u64::MAX);
    let mut model = Model::new();
    let key = |number: u64| number.to_string().into_bytes();
    let count = if cfg!(slow_checker) { 10_000 } else { 40_000 };
    for number in 0..count {
        let key = key(number);
        let hash = table.hasher.hash(&key);
        assert_eq!(table.set(&key, hash, NewValue::Bytes(&key), None), None);
        model.insert(
            key.clone(),
            Expected {
                value: key,
                encoding: Encoding::Int,
                expiry: None,
            },
        );
    }
    check(&table, &model, &[]);
    let view = table.freeze();
    for number in 0..count {
        let key = key(number);
        let removed = table.remove(&key, table.hasher.hash(&key)).expect("a key that was set");
        assert_eq!(text(removed.entry()), key);
    }
    assert_eq!((table.len(), table.memory_bytes()), (0, 0));
    assert_eq!(view.into_entries().map(|entry| seen(&entry)).collect::<Model>(), model);
    assert_eq!(table.ledger.account().frozen_bytes(), 0);
}

/// A table that was laid out for what it then holds is not larger than one that has grown, nor much smaller.
#[test]
fn a_table_laid_out_ahead_is_as_large_as_one_that_grew() {
    let count = if cfg!(slow_checker) { 3_000 } else { 60_000 };
    for count in [count, count + count / 2, 500] {
        let fill = |prepared: &[u64]| {
            let mut table = table(8, u64::MAX);
            for number in 0..count {
                if prepared.contains(&number) {
                    table.prepare((8 * number).clamp(count / 3, count));
                }
                let key = number.to_string().into_bytes();
                table.set(&key, table.hasher.hash(&key), NewValue::Int(1), None);
            }
            check_tree(&table, count);
            table.memory_bytes() as f64
        };
        let grown = fill(&[]);
        for prepared in [&[0][..], &[count / 20, count / 3]] {
            let ratio = fill(prepared) / grown;
            assert!(
                (0.95..1.05).contains(&ratio),
                "{count} entries, laid out at {prepared:?}: {ratio}"
            );
        }
    }
}

/// The tree is what it says of itself.
fn check_tree(table: &Table, len: u64) {
    let mut live = BTreeMap::new();
    blocks(Some(table), table.root, 0, 0, &mut live);
    assert_eq!(
        (table.len(), table.memory_bytes()),
        (len, live.values().sum::<usize>() as u64)
    );
}

/// Keys that stay are visited by a scan just once, while others come and go and segments split and merge.
#[test]
fn a_scan_misses_no_key_that_stays() {
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let mut table = table(seed, u64::MAX);
        let set = |table: &mut Table, key: String| {
            table.set(
                key.as_bytes(),
                table.hasher.hash(key.as_bytes()),
                NewValue::Int(1),
                None,
            );
        };
        let (stay, churn) = (1 + rng.below(600), 1 + rng.below(6000));
        (0..stay).for_each(|number| set(&mut table, format!("stay:{number}")));
        let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let (mut cursor, mut calls) = (0, 0u64);
        loop {
            let count = 1 + rng.below(30) as usize;
            let mut visited = 0;
            cursor = table.scan(cursor, count, &mut |entry| {
                *seen.entry(entry.key().to_vec()).or_default() += 1;
                visited += 1;
            });
            assert!(cursor == 0 || visited >= count, "{visited} of {count}");
            assert!(visited <= count, "hashes differ, so the count can be kept");
            calls += 1;
            if cursor == 0 {
                break;
            }
            // Waves of growth and of shrinking.
            for _ in 0..rng.below(200) {
                let key = format!("churn:{}", rng.below(churn));
                if calls / 20 % 2 == 0 {
                    set(&mut table, key);
                } else {
                    table.delete(key.as_bytes(), table.hasher.hash(key.as_bytes()));
                }
            }
        }
        assert!((0..stay).all(|number| seen.get(format!("stay:{number}").as_bytes()) == Some(&1)));
        assert!(seen.values().all(|count| *count <= 1) || churn > 0);
    }
}

#[test]
fn random_entries_are_spread_evenly() {
    let mut rng = Rng::new(5);
    for len in [1, 5, 100, 1500] {
        let mut table = table(len, u64::MAX);
        for number in 0..len {
            let key = number.to_string();
            table.set(
                key.as_bytes(),
                table.hasher.hash(key.as_bytes()),
                NewValue::Int(0),
                None,
            );
        }
        let mut hits: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for _ in 0..len * 150 {
            *hits
                .entry(table.random(&mut rng).expect("not empty").key().to_vec())
                .or_default() += 1;
        }
        assert_eq!(hits.len() as u64, len);
        assert!(hits.values().all(|hits| (70..260).contains(hits)), "{hits:?}");
    }
    assert!(table(1, u64::MAX).random(&mut rng).is_none());
}

#[test]
fn samples_are_of_what_was_asked_for_and_the_soonest_is_found() {
    let mut rng = Rng::new(11);
    let mut table = table(2, u64::MAX);
    assert_eq!(
        table.sample(Sampled::All, 5, &mut rng, &mut |_| panic!("a sample of nothing")),
        0
    );
    assert!(table.random_expiring(&mut rng).is_none() && table.soonest_entry().is_none());
    for number in 0..5000_i64 {
        let key = number.to_string();
        let expiry = (number % 50 == 0).then_some(Millis(10_000 - number));
        let hash = table.hasher.hash(key.as_bytes());
        table.set(key.as_bytes(), hash, NewValue::Int(number), expiry);
    }
    let mut hits: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for _ in 0..15_000 {
        let entry = table.random_expiring(&mut rng).expect("some expire");
        *hits.entry(entry.key().to_vec()).or_default() += 1;
    }
    assert_eq!(hits.len(), 100);
    assert!(hits.values().all(|hits| (80..250).contains(hits)), "{hits:?}");
    let mut expiring: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for _ in 0..2000 {
        let mut visit = |entry: &Entry| {
            assert!(entry.expiry().is_some());
            *expiring.entry(entry.key().to_vec()).or_default() += 1;
        };
        assert!((1..=5).contains(&table.sample(Sampled::Expiring, 5, &mut rng, &mut visit)));
        assert!((1..=5).contains(&table.sample(Sampled::All, 5, &mut rng, &mut |_| {})));
    }
    assert_eq!(expiring.len(), 100, "every one comes up");
    // Pushing expiries on leaves bounds that are too early; the soonest is found nevertheless.
    for number in (50..100_i64).map(|number| number * 50) {
        let key = number.to_string();
        table.set_expiry(key.as_bytes(), table.hasher.hash(key.as_bytes()), Some(Millis(50_000)));
    }
    for number in (0..50_i64).rev().map(|number| number * 50) {
        let key = table.soonest_entry().expect("some expire").key().to_vec();
        assert_eq!(key, number.to_string().as_bytes());
        table.delete(&key, table.hasher.hash(&key));
    }
}

/// A million expiries that were all pushed on leave bounds that are too early: no single search may pay for all.
#[test]
fn a_search_for_expired_keys_is_bounded() {
    let mut table = table(9, u64::MAX);
    let set = |table: &mut Table, number: u64, expiry: i64| {
        let key = number.to_string();
        table.set(
            key.as_bytes(),
            table.hasher.hash(key.as_bytes()),
            NewValue::Int(0),
            Some(Millis(expiry)),
        );
    };
    (0..20_000).for_each(|number| set(&mut table, number, 10));
    (0..20_000).for_each(|number| set(&mut table, number, 1000));
    assert_eq!(table.soonest_expiry(), Some(Millis(10)));
    let mut searches = 0;
    while let Expired::More = table.next_expired(Millis(500)) {
        searches += 1;
    }
    assert!(searches > 1);
    assert_eq!(table.soonest_expiry(), Some(Millis(1000)));
    assert!(matches!(table.next_expired(Millis(1000)), Expired::Found(_)));
}

/// The writer goes on under readers on other threads, each with a view of its own moment.
#[test]
fn readers_on_other_threads_see_their_moment() {
    let mut table = table(3, u64::MAX);
    let mut rng = Rng::new(3);
    let rounds = if cfg!(slow_checker) { 4 } else { 12 };
    let set = |table: &mut Table, key: u64, value: u64| {
        let key = key.to_string();
        let value = format!("{value:0>50}");
        table.set(
            key.as_bytes(),
            table.hasher.hash(key.as_bytes()),
            NewValue::RawBytes(value.as_bytes()),
            None,
        );
    };
    std::thread::scope(|scope| {
        for round in 0..rounds {
            (0..20_000).for_each(|key| set(&mut table, key, round));
            for _ in 0..2 {
                let view = table.freeze();
                scope.spawn(move || {
                    let expected = format!("{round:0>50}").into_bytes();
                    let mut count = 0;
                    for entry in view.into_entries() {
                        assert_eq!(text(&entry), expected);
                        count += 1;
                    }
                    assert_eq!(count, 20_000);
                });
            }
            for _ in 0..2000 {
                let key = rng.below(20_000).to_string();
                table.delete(key.as_bytes(), table.hasher.hash(key.as_bytes()));
            }
        }
    });
    assert_eq!(table.ledger.account().frozen_bytes(), 0);
}

#[test]
fn views_and_what_is_taken_out_go_to_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<Table>();
    check::<Frozen>();
    check::<FrozenEntries>();
    check::<FrozenEntry>();
    check::<Removed>();
}
