//! Insertion and removal, one node at a time on the way down, what changed on the way up.
//!
//! A full leaf first offers items to a neighbour, and only splits where that is full too, so that leaves are well filled
//! under insertions anywhere. At either end of the sequence a full leaf stays as it is and a new one begins, so that
//! what is only ever appended, or prepended, lies in full leaves.

use super::Item;
use super::node::{LEN_MAX, LEN_MIN, Node, Sum, leave, own};
use super::seek::{Point, Seek};
use crate::account::Ledger;

/// Two neighbours with this much together have no room left worth moving items for.
const PAIR_MAX: usize = 2 * LEN_MAX - 10;

/// Where in the whole sequence an insertion happens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    First,
    Inside,
    Last,
}

/// At which ends of the sequence a node is.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    first: bool,
    last: bool,
}

impl Ends {
    /// The root is at both.
    pub(super) const ROOT: Self = Self {
        first: true,
        last: true,
    };

    fn of_child(self, at: usize, len: usize) -> Self {
        Self {
            first: self.first && at == 0,
            last: self.last && at + 1 == len,
        }
    }

    fn edge(self, at: usize, len: usize) -> Edge {
        if self.last && at == len {
            Edge::Last
        } else if self.first && at == 0 {
            Edge::First
        } else {
            Edge::Inside
        }
    }
}

/// What an insertion below a node did.
pub(super) struct Inserted<T> {
    /// The new right neighbour of a node that had to split.
    pub(super) right: Option<Node<T>>,
    edge: Edge,
    /// The item is the first below.
    first: bool,
}

/// Inserts under `node`.
///
/// # Safety
/// - The reference is the caller's, in a tree counted by `ledger`; the caller puts back what it becomes.
pub(super) unsafe fn insert<T: Item>(
    node: &mut Node<T>,
    seek: impl Seek<T>,
    item: T,
    ends: Ends,
    ledger: &mut Ledger,
) -> Inserted<T> {
    // SAFETY: as promised; after `own` the caller is the only holder.
    unsafe {
        own(node, ledger);
        if node.is_leaf() {
            let at = seek.item(*node);
            let edge = ends.edge(at, node.len());
            let right = place(node, at, edge, ledger, |node, at| node.insert_item(at, item));
            let first = at == 0;
            return Inserted { right, edge, first };
        }
        let mut below = seek;
        let mut at = below.child(*node);
        if node.level() == 1 && node.child(at).is_full() {
            let leaf = node.child(at);
            let edge = ends.of_child(at, node.len()).edge(below.item(leaf), leaf.len());
            if edge == Edge::Inside && relieve(*node, at, ledger) {
                below = seek;
                at = below.child(*node);
            }
        }
        let weight = item.weight();
        let mut child = node.child(at);
        let inserted = insert(&mut child, below, item, ends.of_child(at, node.len()), ledger);
        node.set_child(at, child);
        let (edge, first) = (inserted.edge, inserted.first && at == 0);
        let Some(right) = inserted.right else {
            let old = node.sum_of(at);
            node.set_sum(
                at,
                Sum {
                    items: old.items + 1,
                    weight: old.weight + weight,
                    key: if inserted.first { child.first_key() } else { old.key },
                },
            );
            return Inserted {
                right: None,
                edge,
                first,
            };
        };
        node.set_sum(at, child.sum());
        let right = place(node, at + 1, edge, ledger, |node, at| node.insert_child(at, right));
        Inserted { right, edge, first }
    }
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

/// What was taken out below a node.
pub(super) struct Taken<T> {
    pub(super) item: T,
    /// It was the first below.
    first: bool,
}

/// Takes out an item under `node`, which may be empty afterwards.
///
/// # Safety
/// - As for [`insert`]; there is such an item.
pub(super) unsafe fn remove<T: Item>(node: &mut Node<T>, seek: impl Seek<T>, ledger: &mut Ledger) -> Taken<T> {
    // SAFETY: as promised; after `own` the caller is the only holder.
    unsafe {
        own(node, ledger);
        if node.is_leaf() {
            return take(node, seek.item(*node), ledger);
        }
        let mut below = seek;
        let at = below.child(*node);
        let mut child = node.child(at);
        let taken = remove(&mut child, below, ledger);
        node.set_child(at, child);
        taken_below(*node, at, taken, ledger)
    }
}

/// Takes an item out of an owned leaf.
///
/// # Safety
/// - As for [`insert`]; there is an item at `at`.
unsafe fn take<T: Item>(leaf: &mut Node<T>, at: usize, ledger: &mut Ledger) -> Taken<T> {
    // SAFETY: as promised.
    unsafe {
        let item = leaf.remove_item(at);
        *leaf = leaf.fit(ledger);
        let first = at == 0;
        Taken { item, first }
    }
}

/// Keeps the books of an owned node that lost an item below child `at`, whose pointer is up to date.
///
/// # Safety
/// - As for [`insert`].
unsafe fn taken_below<T: Item>(node: Node<T>, at: usize, taken: Taken<T>, ledger: &mut Ledger) -> Taken<T> {
    let old = node.sum_of(at);
    let sum = Sum {
        items: old.items - 1,
        weight: old.weight - taken.item.weight(),
        key: if taken.first {
            node.child(at).first_key()
        } else {
            old.key
        },
    };
    // SAFETY: as promised.
    unsafe {
        node.set_sum(at, sum);
        tidy(node, at, ledger);
    }
    Taken {
        first: taken.first && at == 0,
        ..taken
    }
}

/// Puts what `renew` gives at the point `to`, in place of the item at `from`, if both are inside the same leaf, so that
/// nothing changes for the nodes above; else takes the item out, does not ask for another, and gives `renew` back.
///
/// # Safety
/// - As for [`remove`], of an item that needs no giving up.
pub(super) unsafe fn shift<T: Item, B: Fn(&T) -> bool + Copy, R: FnOnce() -> T>(
    node: &mut Node<T>,
    from: impl Seek<T>,
    to: &Point<B>,
    renew: R,
    ledger: &mut Ledger,
) -> Option<(Taken<T>, R)> {
    // SAFETY: as promised; after `own` the caller is the only holder.
    unsafe {
        own(node, ledger);
        if node.is_leaf() {
            let at = from.item(*node);
            let Some(point) = to.inside(*node).filter(|_| at > 0) else {
                return Some((take(node, at, ledger), renew));
            };
            let target = if point > at { point - 1 } else { point };
            node.turn_item(at, target, renew());
            return None;
        }
        let mut below = from;
        let at = below.child(*node);
        let mut child = node.child(at);
        let taken = shift(&mut child, below, to, renew, ledger);
        node.set_child(at, child);
        taken.map(|(taken, renew)| (taken_below(*node, at, taken, ledger), renew))
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
