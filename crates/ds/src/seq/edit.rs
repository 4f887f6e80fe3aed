//! Insertion and removal, one node at a time on the way down, what changed on the way up.
//!
//! A full leaf first offers items to a neighbour, and only splits where that is full too, so that leaves are well filled
//! under insertions anywhere. At either end of the sequence a full leaf stays as it is and a new one begins, so that
//! what is only ever appended, or prepended, lies in full leaves.

use super::Item;
use super::node::{LEN_MAX, Node, Sum, leave, own};
use crate::account::Ledger;

/// Nodes with less are evened out with a neighbour.
const LEN_MIN: usize = LEN_MAX / 4;
/// Two neighbours with this much together have no room left worth moving items for.
const PAIR_MAX: usize = 2 * LEN_MAX - 12;

/// Where in the whole sequence an insertion happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    First,
    Inside,
    Last,
}

/// Inserts under `node`; gives its new right neighbour if it had to split.
///
/// # Safety
/// - The reference is the caller's, in a tree counted by `ledger`; the caller puts back what it becomes.
pub(super) unsafe fn insert<T: Item>(
    node: &mut Node<T>,
    index: u64,
    item: T,
    edge: Edge,
    ledger: &mut Ledger,
) -> Option<Node<T>> {
    // SAFETY: as promised; after `own` the caller is the only holder.
    unsafe {
        own(node, ledger);
        if node.is_leaf() {
            return place(node, index as usize, edge, ledger, |node, at| {
                node.insert_item(at, item)
            });
        }
        let (mut at, mut within) = child_for(*node, index);
        if edge == Edge::Inside && node.level() == 1 && node.child(at).is_full() && relieve(*node, at, ledger) {
            (at, within) = child_for(*node, index);
        }
        let weight = item.weight();
        let mut child = node.child(at);
        let split = insert(&mut child, within, item, edge, ledger);
        node.set_child(at, child);
        let Some(right) = split else {
            let old = node.sum_of(at);
            node.set_sum(
                at,
                Sum {
                    items: old.items + 1,
                    weight: old.weight + weight,
                    key: if within == 0 { child.first_key() } else { old.key },
                },
            );
            return None;
        };
        node.set_sum(at, child.sum());
        place(node, at + 1, edge, ledger, |node, at| node.insert_child(at, right))
    }
}

/// The child in which an item is to be inserted at `index`, and where in it.
fn child_for<T: Item>(node: Node<T>, index: u64) -> (usize, u64) {
    let mut within = index;
    for (at, items) in node.items_below().iter().enumerate() {
        if within <= *items {
            return (at, within);
        }
        within -= items;
    }
    panic!("an insertion behind the end");
}

/// Inserts one element into a node itself, which splits if it is full; gives the new right neighbour.
///
/// # Safety
/// - The caller is the only holder.
unsafe fn place<T: Item>(
    node: &mut Node<T>,
    at: usize,
    edge: Edge,
    ledger: &mut Ledger,
    insert: impl FnOnce(Node<T>, usize),
) -> Option<Node<T>> {
    // SAFETY: as promised, and new nodes have no other holder.
    unsafe {
        if !node.is_full() {
            *node = node.reserve(ledger);
            insert(*node, at);
            return None;
        }
        // With the child that split its new neighbour is inserted behind it: at 1 at the front.
        let cut = match edge {
            Edge::First if at <= 1 => at,
            Edge::Last if at == LEN_MAX => LEN_MAX,
            _ => LEN_MAX / 2,
        };
        let mut right = node.split_off(cut, ledger);
        *node = node.fit(ledger);
        if at > cut || cut == LEN_MAX || (at == cut && at > LEN_MAX / 4) {
            right = right.reserve(ledger);
            insert(right, at - cut);
        } else {
            *node = node.reserve(ledger);
            insert(*node, at);
        }
        Some(right)
    }
}

/// Moves items from a full child to a neighbour that has room; says whether there was one.
///
/// # Safety
/// - The caller is the only holder of `node`.
unsafe fn relieve<T: Item>(node: Node<T>, at: usize, ledger: &mut Ledger) -> bool {
    let fits = |other: usize| node.items_below()[other] as usize + LEN_MAX <= PAIR_MAX;
    let first = if at > 0 && fits(at - 1) {
        at - 1
    } else if at + 1 < node.len() && fits(at + 1) {
        at
    } else {
        return false;
    };
    // SAFETY: as promised.
    unsafe { even_out(node, first, ledger) };
    true
}

/// Divides the elements of children `at` and `at + 1` evenly, or puts all into one if they fit.
///
/// # Safety
/// - The caller is the only holder of `node`.
unsafe fn even_out<T: Item>(node: Node<T>, at: usize, ledger: &mut Ledger) {
    let (mut left, mut right) = (node.child(at), node.child(at + 1));
    // SAFETY: as promised; children are put back as they become.
    unsafe {
        own(&mut left, ledger);
        own(&mut right, ledger);
        let total = left.len() + right.len();
        let left_len = if total <= LEN_MAX { total } else { total / 2 };
        (left, right) = left.divide(right, left_len, ledger);
        node.set_child(at, left);
        node.set_sum(at, left.sum());
        if right.len() == 0 {
            node.remove_child(at + 1);
            right.free(ledger);
        } else {
            node.set_child(at + 1, right);
            node.set_sum(at + 1, right.sum());
        }
    }
}

/// After a removal below child `at`, whose pointer and sum are up to date: takes it out if it is empty, evens it out if
/// it is small.
///
/// # Safety
/// - The caller is the only holder of `node`, and has made the child its own.
unsafe fn tidy<T: Item>(node: Node<T>, at: usize, ledger: &mut Ledger) {
    let child = node.child(at);
    // SAFETY: as promised.
    unsafe {
        if child.len() == 0 {
            node.remove_child(at);
            child.free(ledger);
        } else if child.len() < LEN_MIN && node.len() > 1 {
            even_out(node, at.saturating_sub(1), ledger);
        }
    }
}

/// Takes out an item under `node`, which may be empty afterwards.
///
/// # Safety
/// - As for [`insert`]; there is an item at `index`.
pub(super) unsafe fn remove<T: Item>(node: &mut Node<T>, index: u64, ledger: &mut Ledger) -> T {
    // SAFETY: as promised; after `own` the caller is the only holder.
    unsafe {
        own(node, ledger);
        if node.is_leaf() {
            let item = node.remove_item(index as usize);
            *node = node.fit(ledger);
            return item;
        }
        let (at, within) = node.child_at(index);
        let mut child = node.child(at);
        let item = remove(&mut child, within, ledger);
        node.set_child(at, child);
        let old = node.sum_of(at);
        node.set_sum(
            at,
            Sum {
                items: old.items - 1,
                weight: old.weight - item.weight(),
                key: if within == 0 { child.first_key() } else { old.key },
            },
        );
        tidy(*node, at, ledger);
        item
    }
}

/// Takes out the items `start..end` under `node`, which may be empty afterwards; each leaves.
///
/// # Safety
/// - As for [`insert`]; the items are there.
pub(super) unsafe fn remove_range<T: Item>(node: &mut Node<T>, start: u64, end: u64, ledger: &mut Ledger) {
    // SAFETY: as promised; after `own` the caller is the only holder.
    unsafe {
        own(node, ledger);
        if node.is_leaf() {
            for _ in start..end {
                node.remove_item(start as usize).leave(ledger);
            }
            *node = node.fit(ledger);
            return;
        }
        let mut at = 0;
        let mut before = 0;
        let mut touched = None;
        while at < node.len() && before < end {
            let items = node.items_below()[at];
            let (from, to) = (start.max(before) - before, end.min(before + items) - before);
            before += items;
            if from == 0 && to == items {
                leave(node.remove_child(at), ledger);
                continue;
            }
            if from < to {
                let mut child = node.child(at);
                remove_range(&mut child, from, to, ledger);
                node.set_child(at, child);
                node.set_sum(at, child.sum());
                touched = Some(at);
            }
            at += 1;
        }
        // At most two children lost a part of theirs, and they are neighbours now.
        if let Some(last) = touched {
            tidy(*node, last, ledger);
            if last > 0 && last - 1 < node.len() {
                tidy(*node, last - 1, ledger);
            }
        }
        *node = node.fit(ledger);
    }
}

/// Changes an item under `node`; gives what `change` gives, and by how much the weight has changed.
///
/// # Safety
/// - As for [`insert`]; there is an item at `index`.
pub(super) unsafe fn modify<T: Item, R>(
    node: &mut Node<T>,
    index: u64,
    ledger: &mut Ledger,
    change: impl FnOnce(&mut T, &mut Ledger) -> R,
) -> (R, i64) {
    // SAFETY: as promised; after `own` the caller is the only holder.
    unsafe {
        own(node, ledger);
        if node.is_leaf() {
            let item = &mut node.items_mut()[index as usize];
            let before = item.weight();
            let result = change(item, ledger);
            return (result, item.weight().wrapping_sub(before) as i64);
        }
        let (at, within) = node.child_at(index);
        let mut child = node.child(at);
        let (result, difference) = modify(&mut child, within, ledger, change);
        node.set_child(at, child);
        let old = node.sum_of(at);
        node.set_sum(
            at,
            Sum {
                weight: old.weight.wrapping_add_signed(difference),
                key: if within == 0 { child.first_key() } else { old.key },
                ..old
            },
        );
        (result, difference)
    }
}
