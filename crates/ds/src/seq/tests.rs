//! Sequences against a plain vector, with forks at random moments whose originals stay as they were.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Rng;

use super::node::LEN_MAX;
use super::*;
use crate::blob::Blob;
use crate::bytes::Bytes;

/// An item that weighs its number modulo ten.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Number(u64);

impl Item for Number {
    const WEIGHED: bool = true;

    fn weight(&self) -> u64 {
        self.0 % 10
    }

    fn sort_key(&self) -> u64 {
        self.0 / 8
    }

    fn share(&self) -> Self {
        *self
    }
}

/// An item that owns a block, and weighs what is in it.
struct Text(Blob);

impl Item for Text {
    const WEIGHED: bool = true;

    fn weight(&self) -> u64 {
        self.0.len() as u64
    }

    fn share(&self) -> Self {
        Self(self.0.share())
    }

    fn leave(self, ledger: &mut Ledger) {
        self.0.leave(ledger);
    }

    fn release(self, account: &Account) {
        self.0.release(account);
    }
}

/// Every block under `node` by its address; checks what nodes say about themselves on the way.
fn blocks<T: Item>(node: Node<T>, found: &mut BTreeMap<usize, usize>) -> u64 {
    found.insert(node.address().addr(), node.block_bytes());
    assert!(node.len() > 0 && node.len() <= LEN_MAX, "an empty node");
    if node.is_leaf() {
        for item in node.items().iter().filter(|_| T::MARKED) {
            assert_eq!(item.mark(), node.mark(item.sort_key()), "a mark on another scale");
        }
        return node.len() as u64;
    }
    let mut items = 0;
    for (at, child) in node.children().enumerate() {
        assert_eq!(child.level() + 1, node.level());
        assert_eq!(node.sum_of(at), child.sum());
        items += blocks(child, found);
    }
    items
}

impl<T: Item> Seq<T> {
    /// Address and size of every node.
    pub(crate) fn for_each_block(&self, each: &mut dyn FnMut(usize, usize)) {
        let mut found = BTreeMap::new();
        if let Some(root) = self.root {
            blocks(root, &mut found);
        }
        found.into_iter().for_each(|(address, bytes)| each(address, bytes));
    }
}

fn check<T: Item>(sequence: &Seq<T>, bytes: u64) {
    let mut found = BTreeMap::new();
    if let Some(root) = sequence.root {
        assert_eq!(blocks(root, &mut found), sequence.len());
        assert_eq!(root.sum().weight, sequence.weight());
        assert!(root.is_leaf() || root.len() > 1, "a root of one child");
    } else {
        assert_eq!((sequence.len(), sequence.weight()), (0, 0));
    }
    assert_eq!(found.values().sum::<usize>() as u64, bytes, "bytes of nodes");
}

fn numbers(sequence: &Seq<Number>) -> Vec<u64> {
    sequence.iter().map(|Number(number)| *number).collect()
}

fn same(sequence: &Seq<Number>, model: &[u64], rng: &mut Rng) {
    assert_eq!(numbers(sequence), model);
    let mut back: Vec<u64> = sequence.iter_back().map(|Number(number)| *number).collect();
    back.reverse();
    assert_eq!(back, model);
    assert_eq!(sequence.first().map(|first| first.0), model.first().copied());
    assert_eq!(sequence.last().map(|last| last.0), model.last().copied());
    let index = rng.below(model.len() as u64 + 2);
    assert_eq!(
        sequence.get(index).map(|item| item.0),
        model.get(index as usize).copied()
    );
    let from = (index as usize).min(model.len());
    assert!(
        sequence
            .iter_from(index)
            .map(|item| item.0)
            .eq(model[from..].iter().copied())
    );
    if (index as usize) < model.len() {
        let back = sequence.iter_back_from(index).map(|item| item.0);
        assert!(back.eq(model[..=from].iter().rev().copied()));
    }
    let before: u64 = model[..from].iter().map(|number| number % 10).sum();
    assert_eq!(sequence.weight_before(index), before);
    let position = rng.below(sequence.weight() + 2);
    let mut rest = position;
    let expected = model.iter().position(|number| {
        let here = rest < number % 10;
        if !here {
            rest -= number % 10;
        }
        here
    });
    let located = sequence
        .locate(position)
        .map(|(index, within, item)| (index as usize, within, item.0));
    assert_eq!(located, expected.map(|at| (at, rest, model[at])));
}

/// Changes at random places: the order is not sorted here.
#[test]
fn behaves_as_a_vector_and_forks_stay() {
    for seed in 0..12 {
        let mut rng = Rng::new(seed);
        let mut ledger = Ledger::new(Arc::default());
        let mut model: Vec<u64> = Vec::new();
        let mut sequence = Seq::<Number>::new();
        let mut frozen: Vec<(Seq<Number>, Vec<u64>)> = Vec::new();
        for round in 0..150 {
            let growing = rng.chance(if round < 90 { 3 } else { 1 }, 4);
            for _ in 0..rng.below(120) {
                let number = rng.below(1000);
                let len = model.len() as u64;
                match rng.below(10) {
                    0 if len > 0 => {
                        let index = rng.below(len);
                        let old = sequence.modify(index, &mut ledger, |item, _| std::mem::replace(&mut item.0, number));
                        assert_eq!(old, std::mem::replace(&mut model[index as usize], number));
                    }
                    1..=6 if !growing && len > 0 => {
                        let index = if seed % 3 == 0 { 0 } else { rng.below(len) };
                        assert_eq!(sequence.remove(index, &mut ledger).0, model.remove(index as usize));
                    }
                    kind => {
                        let index = match kind {
                            7 => 0,
                            8 => len,
                            _ => rng.below(len + 1),
                        };
                        sequence.insert(index, Number(number), &mut ledger);
                        model.insert(index as usize, number);
                    }
                }
            }
            if rng.chance(1, 6) {
                let start = rng.below(model.len() as u64 + 1);
                let end = start + rng.below(model.len() as u64 - start + 1);
                sequence.remove_range(start, end, &mut ledger);
                model.drain(start as usize..end as usize);
            }
            check(&sequence, ledger.bytes());
            same(&sequence, &model, &mut rng);
            if rng.chance(1, 5) {
                let fork = sequence.fork();
                frozen.push((std::mem::replace(&mut sequence, fork), model.clone()));
            }
            if rng.chance(1, 6) && !frozen.is_empty() {
                let (old, expected) = frozen.swap_remove(rng.below(frozen.len() as u64) as usize);
                assert_eq!(numbers(&old), expected);
                old.release(ledger.account());
            }
        }
        let mut other = Ledger::new(ledger.account().clone());
        let copy = sequence.duplicate(&mut other, |item, _| *item);
        same(&copy, &model, &mut rng);
        copy.leave(&mut other);
        assert_eq!(other.bytes(), 0);
        sequence.leave(&mut ledger);
        assert_eq!(ledger.bytes(), 0);
        for (old, expected) in frozen {
            assert_eq!(numbers(&old), expected);
            old.release(ledger.account());
        }
        assert_eq!(ledger.account().frozen_bytes(), 0);
    }
}

#[test]
fn searches_find_the_first_item_that_is_not_before() {
    let mut rng = Rng::new(3);
    let mut ledger = Ledger::new(Arc::default());
    let (mut sequence, mut model) = (Seq::new(), Vec::new());
    for _ in 0..6000 {
        let number = rng.below(3000);
        let expected = model.partition_point(|other| *other < number);
        assert_eq!(
            sequence.partition_point(|item: &Number| item.0 < number),
            expected as u64
        );
        let before = |item: &Number| item.0 < number;
        let point = Point {
            key: number / 8,
            before: &before,
        };
        assert_eq!(sequence.partition_point_by_key(point.key, before), expected as u64);
        sequence.insert_at_point(point, None, &mut ledger, || Number(number));
        model.insert(expected, number);
    }
    assert_eq!(numbers(&sequence), model);
    for number in model.iter().step_by(7) {
        let expected = model.partition_point(|other| other < number) as u64;
        let position = sequence.index_of_present(Present {
            key: number / 8,
            is: |item: &Number| item.0 == *number,
            up_to: |item: &Number| item.0 <= *number,
        });
        let found = sequence.get(position).map(|item| item.0);
        assert!(position >= expected && found == Some(*number), "{number}");
    }
    sequence.leave(&mut ledger);
}

/// Items that own a block give it up exactly once, whoever is the last to hold it.
#[test]
fn items_with_blocks_are_counted() {
    for seed in 0..10 {
        let mut rng = Rng::new(seed);
        let mut ledger = Ledger::new(Arc::default());
        let mut model: Vec<Vec<u8>> = Vec::new();
        let mut sequence = Seq::<Text>::new();
        let mut frozen: Vec<(Seq<Text>, Vec<Vec<u8>>)> = Vec::new();
        for _ in 0..1500 {
            let len = model.len() as u64;
            let index = rng.below(len + 1);
            match rng.below(12) {
                0..=4 => {
                    let text = vec![rng.below(200) as u8; rng.below(60) as usize];
                    let blob = Blob::new(&[&text], &mut ledger);
                    sequence.insert(index, Text(blob), &mut ledger);
                    model.insert(index as usize, text);
                }
                5..=7 if index < len => {
                    sequence.modify(index, &mut ledger, |item, ledger| {
                        item.0.make_mut(ledger).splice(0, 0, &[b"new"]);
                    });
                    model[index as usize].splice(0..0, *b"new");
                }
                8 if index < len => {
                    sequence.remove(index, &mut ledger).leave(&mut ledger);
                    model.remove(index as usize);
                }
                9 if rng.chance(1, 8) => {
                    sequence.remove_range(0, index, &mut ledger);
                    model.drain(..index as usize);
                }
                10 if rng.chance(1, 10) => {
                    let fork = sequence.fork();
                    frozen.push((std::mem::replace(&mut sequence, fork), model.clone()));
                }
                11 if rng.chance(1, 10) && !frozen.is_empty() => {
                    let (old, expected) = frozen.swap_remove(0);
                    assert!(
                        old.iter()
                            .map(|item| item.0.as_slice())
                            .eq(expected.iter().map(Vec::as_slice))
                    );
                    old.release(ledger.account());
                }
                _ => {}
            }
            assert_eq!(sequence.weight(), model.iter().map(Vec::len).sum::<usize>() as u64);
        }
        assert!(
            sequence
                .iter()
                .map(|item| item.0.as_slice())
                .eq(model.iter().map(Vec::as_slice))
        );
        sequence.leave(&mut ledger);
        assert_eq!(ledger.bytes(), 0);
        for (old, expected) in frozen {
            assert!(
                old.iter()
                    .map(|item| item.0.as_slice())
                    .eq(expected.iter().map(Vec::as_slice))
            );
            old.release(ledger.account());
        }
        assert_eq!(ledger.account().frozen_bytes(), 0);
    }
}

fn fill(sequence: &Seq<Number>) -> f64 {
    let mut leaves = 0;
    let mut index = 0;
    while index < sequence.len() {
        let (leaf, _) = sequence.root.expect("items").leaf_at(index);
        leaves += 1;
        index += leaf.len() as u64;
    }
    sequence.len() as f64 / (leaves * LEN_MAX) as f64
}

#[test]
fn leaves_are_full_at_the_ends_and_well_filled_inside() {
    let mut ledger = Ledger::new(Arc::default());
    let count = 20_000;
    let appended = Seq::from_iter((0..count).map(Number), &mut ledger);
    assert!(fill(&appended) > 0.99, "{}", fill(&appended));
    let mut prepended = Seq::new();
    (0..count).for_each(|number| prepended.insert(0, Number(number), &mut ledger));
    assert!(fill(&prepended) > 0.99, "{}", fill(&prepended));
    let mut rng = Rng::new(1);
    let mut random = Seq::new();
    (0..count).for_each(|number| random.insert(rng.below(random.len() + 1), Number(number), &mut ledger));
    assert!(fill(&random) > 0.8, "{}", fill(&random));
    for sequence in [appended, prepended, random] {
        sequence.leave(&mut ledger);
    }
    assert_eq!(ledger.bytes(), 0);
}
