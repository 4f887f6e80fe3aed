//! Lists against plain vectors.

use std::ops::ControlFlow;
use std::sync::Arc;

use base::Rng;

use super::*;

fn limits(rng: &mut Rng) -> Limits {
    Limits {
        node_bytes: *rng.pick(&[64, 200, 4088]),
        node_entries: *rng.pick(&[1, 3, 1000]),
        plain_bytes: *rng.pick(&[40, 1 << 30]),
        compress_depth: *rng.pick(&[0, 0, 1, 3]),
    }
}

fn text(rng: &mut Rng) -> Vec<u8> {
    match rng.below(8) {
        0 => rng.below(100_000).to_string().into_bytes(),
        1 => vec![b'x'; rng.below(300) as usize],
        2 => vec![rng.below(256) as u8; rng.below(60) as usize],
        _ => rng.below(10).to_string().into_bytes(),
    }
}

fn all(list: &List, start: u64, direction: Direction) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    list.walk(start, direction, &mut |value| {
        found.push(value.to_vec());
        ControlFlow::Continue(())
    });
    found
}

/// The list reaches as many bytes as its ledger says; its nodes are what they should be.
fn check(list: &List, model: &[Vec<u8>]) {
    assert_eq!(list.len(), model.len() as u64);
    assert_eq!(all(list, 0, Direction::Forward), model);
    let entries: usize = list
        .nodes
        .iter()
        .map(|node| {
            if let NodeRef::Plain(_) = node.view() {
                assert_eq!(node.entries(), 1);
            } else {
                node.view()
                    .with_bytes(|bytes| assert_eq!(crate::listpack::validate(bytes), Ok(node.entries())));
            }
            assert!(node.entries() > 0);
            node.entries()
        })
        .sum();
    assert_eq!(entries, model.len());
}

fn change(list: &mut List, model: &mut Vec<Vec<u8>>, rng: &mut Rng, limits: &Limits) {
    let text = text(rng);
    let len = model.len() as u64;
    let index = rng.below(len + 1);
    match rng.below(12) {
        0..=2 => {
            list.push(End::Head, &text, limits);
            model.insert(0, text);
        }
        3..=5 => {
            list.push(End::Tail, &text, limits);
            model.push(text);
        }
        6..=7 => {
            list.insert(index, &text, limits);
            model.insert(index as usize, text);
        }
        8 if index < len => {
            list.set(index, &text, limits);
            model[index as usize] = text;
        }
        9 => {
            let end = (index + rng.below(6)).min(len);
            list.remove_range(index, end, limits);
            model.drain(index as usize..end as usize);
        }
        10 if rng.chance(1, 4) => {
            let (most, direction) = (1 + rng.below(5), *rng.pick(&[Direction::Forward, Direction::Back]));
            let mut at: Vec<usize> = (0..model.len()).filter(|at| model[*at] == text).collect();
            if direction == Direction::Back {
                at.reverse();
            }
            at.truncate(most as usize);
            assert_eq!(list.remove_equal(&text, most, direction, limits), at.len() as u64);
            at.sort_unstable();
            for at in at.into_iter().rev() {
                model.remove(at);
            }
        }
        11 if rng.chance(1, 40) => {
            let end = index + rng.below(len - index + 1);
            list.remove_range(index, end, limits);
            model.drain(index as usize..end as usize);
        }
        _ => {
            let found = list.with(index, |value| value.to_vec());
            assert_eq!(found.as_ref(), model.get(index as usize));
            let mut back = all(list, index, Direction::Back);
            back.reverse();
            let expected = if index < len { &model[..=index as usize] } else { &[] };
            assert_eq!(back, expected);
            assert_eq!(all(list, index, Direction::Forward), model[index as usize..]);
        }
    }
}

#[test]
fn behaves_as_a_vector_and_frozen_lists_stay() {
    let rounds = if cfg!(slow_checker) { 3 } else { 30 };
    for seed in 0..rounds {
        let mut rng = Rng::new(seed);
        let account = Arc::<Account>::default();
        let mut limits = limits(&mut rng);
        let mut list = List::new(account.clone());
        let mut model = Vec::new();
        let mut frozen: Vec<(List, Vec<Vec<u8>>)> = Vec::new();
        for round in 0..800 {
            change(&mut list, &mut model, &mut rng, &limits);
            if round % 16 == 0 {
                check(&list, &model);
            }
            if rng.chance(1, 100) {
                limits = self::limits(&mut rng);
            }
            if rng.chance(1, 30) {
                let fork = list.fork();
                frozen.push((std::mem::replace(&mut list, fork), model.clone()));
            }
            if rng.chance(1, 40) && !frozen.is_empty() {
                let (old, expected) = frozen.swap_remove(rng.below(frozen.len() as u64) as usize);
                check(&old, &expected);
                old.release();
            }
        }
        let copy = list.deep_copy(&account);
        drop(list);
        for (old, expected) in frozen {
            check(&old, &expected);
            old.release();
        }
        assert_eq!(account.frozen_bytes(), 0);
        check(&copy, &model);
        let mut copy = copy;
        let len = copy.len();
        copy.remove_range(0, len, &limits);
        assert!(copy.is_empty());
        assert_eq!(copy.memory_bytes(), 0);
    }
}

#[test]
fn a_million_short_elements_take_little_more_than_their_text() {
    let limits = Limits {
        node_bytes: 8192 - 8,
        node_entries: usize::MAX,
        plain_bytes: 1 << 30,
        compress_depth: 0,
    };
    let mut list = List::new(Arc::default());
    const ELEMENTS: usize = if cfg!(slow_checker) { 20_000 } else { 1_000_000 };
    for number in 0..ELEMENTS {
        list.push(End::Tail, format!("element:{number:08}").as_bytes(), &limits);
    }
    let each = list.memory_bytes() as f64 / ELEMENTS as f64;
    assert!(each < 18.5, "{each:.2} bytes an element of 16");
}

#[test]
fn inner_nodes_are_compressed() {
    let limits = Limits {
        node_bytes: 4088,
        node_entries: usize::MAX,
        plain_bytes: 1 << 30,
        compress_depth: 1,
    };
    let mut list = List::new(Arc::default());
    for number in 0..2000 {
        list.push(End::Tail, format!("element:{number:08}").as_bytes(), &limits);
    }
    let forms: Vec<bool> = list
        .nodes()
        .map(|node| matches!(node, NodeRef::Compressed { .. }))
        .collect();
    assert!(forms.len() > 5);
    assert!(!forms[0] && !forms[forms.len() - 1]);
    assert!(forms[1..forms.len() - 1].iter().all(|compressed| *compressed));
}
