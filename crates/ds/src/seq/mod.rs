//! A sequence: items in an order, found by index, by weight or by a search, freezable at any moment in constant time.
//!
//! ```text
//!   Seq { root } ──► inner node ──► inner node ──► leaf: item item item …      ≤ 62 elements per node; each inner node
//!                        │              ├────────► leaf                        keeps, for each child, how many items
//!                        └► …           └────────► leaf                        are below, their weight, and the sort
//!                                                                              key of the first
//! ```
//!
//! A counted B+tree. The structure under big lists, sorted sets and streams: what an item is, and what it weighs, is
//! theirs. Nodes are shared with frozen forks and copied, one by one, when they are first written to; see
//! [`crate::account`] for whose the bytes are. The container around a sequence owns the [`Ledger`] and hands it in.

mod descent;
mod edit;
mod iter;
mod node;
mod scale;
mod seek;
#[cfg(test)]
mod tests;
mod way;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::account::{Account, Ledger};
use edit::Ends;
use node::Node;
use seek::{At, Before, Seek};
use way::Way;

pub use descent::{Descent, Kept};
pub use iter::{Iter, IterBack};
pub use seek::{Point, Present};

/// What a sequence consists of.
pub trait Item: Send + Sync + 'static {
    /// Whether items weigh anything but 1 each.
    const WEIGHED: bool = false;

    /// What it counts for [`Seq::weight`] and [`Seq::locate`]; always 1 where items are not [weighed](Self::WEIGHED).
    fn weight(&self) -> u64 {
        1
    }

    /// A number that never falls along the sequence, for sequences that are searched by
    /// [`Seq::partition_point_by_key`]: kept in inner nodes, so that a search looks at the items of one leaf only.
    fn sort_key(&self) -> u64 {
        0
    }

    /// Whether items have room for a mark, which tells most of them from their neighbours without a look at what they
    /// refer to: their sort key, as far as sixteen bits can say it within one leaf. The sequence writes it.
    const MARKED: bool = false;

    /// The mark that was last set.
    fn mark(&self) -> u16 {
        0
    }

    /// Sets the mark.
    fn set_mark(&mut self, mark: u16) {
        let _ = mark;
    }

    /// Asks the processor for what the item refers to, a few items before an iteration comes to it.
    fn prefetch(&self) {}

    /// The same item for a copied node: a plain copy, or one more reference to a counted block.
    #[must_use]
    fn share(&self) -> Self;

    /// The owner gives it up.
    fn leave(self, ledger: &mut Ledger)
    where
        Self: Sized,
    {
        let _ = ledger;
    }

    /// A frozen holder gives it up.
    fn release(self, account: &Account)
    where
        Self: Sized,
    {
        let _ = account;
    }
}

/// A sequence of items.
///
/// It does not give its nodes up when dropped: the container around it calls [`Self::leave`] or [`Self::release`].
pub struct Seq<T: Item> {
    root: Option<Node<T>>,
    len: u64,
    weight: u64,
    /// See [`Self::stamp`].
    stamp: u64,
}

// SAFETY: nodes are counted by atomics and changed only by a holder who is alone; items are `Send` and `Sync`.
unsafe impl<T: Item> Send for Seq<T> {}
// SAFETY: as above; `&Seq` changes nothing but atomics.
unsafe impl<T: Item> Sync for Seq<T> {}

impl<T: Item> Default for Seq<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Item> Seq<T> {
    /// An empty sequence.
    #[must_use]
    pub fn new() -> Self {
        Self {
            root: None,
            len: 0,
            weight: 0,
            stamp: 0,
        }
    }

    /// A number that no other sequence has but forks of this one; 0 where none is given. As long as it is the same, so are
    /// the inner nodes and their children, but that a leaf may have become another block.
    fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Inner nodes change.
    fn restamp(&mut self) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // Nobody keeps ways to anything else.
        if T::MARKED {
            self.stamp = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        }
    }

    /// The number of items.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The weight of all items together.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// About how many heap blocks its nodes are.
    #[must_use]
    pub fn blocks(&self) -> usize {
        1 + (self.len / 48) as usize
    }

    /// The item at `index`.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        let (leaf, within) = self.root?.leaf_at(index);
        leaf.items().get(within)
    }

    /// The first item.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.get(0)
    }

    /// The last item.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.get(self.len.checked_sub(1)?)
    }

    /// The item that contains the position `weight`, its index, and where in the item the position lies. Items of no
    /// weight contain nothing.
    #[must_use]
    pub fn locate(&self, weight: u64) -> Option<(u64, u64, &T)> {
        if weight >= self.weight {
            return None;
        }
        let mut node = self.root?;
        let mut index = 0;
        let mut rest = weight;
        while !node.is_leaf() {
            let at = position_within(node.weights().iter().copied(), &mut rest)?;
            index += node.items_below()[..at].iter().sum::<u64>();
            node = node.child(at);
        }
        let at = position_within(node.items().iter().map(Item::weight), &mut rest)?;
        Some((index + at as u64, rest, &node.items()[at]))
    }

    /// The weight of the items before `index`.
    #[must_use]
    pub fn weight_before(&self, index: u64) -> u64 {
        if index >= self.len {
            return self.weight;
        }
        let Some(mut node) = self.root else { return 0 };
        let mut weight = 0;
        let mut within = index;
        while !node.is_leaf() {
            let (at, rest) = node.child_at(within);
            weight += node.weights()[..at].iter().sum::<u64>();
            within = rest;
            node = node.child(at);
        }
        weight + node.items()[..within as usize].iter().map(Item::weight).sum::<u64>()
    }

    /// The index of the first item that `before` is false for, where it is true for all items up to some point.
    pub fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> u64 {
        let Some(mut node) = self.root else { return 0 };
        let mut index = 0;
        while !node.is_leaf() {
            // The point lies in the last child whose first item comes before it.
            let (mut low, mut high) = (1, node.len());
            while low < high {
                let middle = usize::midpoint(low, high);
                if before(node.child(middle).first_item()) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            index += node.items_below()[..low - 1].iter().sum::<u64>();
            node = node.child(low - 1);
        }
        index + node.items().partition_point(before) as u64
    }

    /// As [`Self::partition_point`], for a point of this sort key; see [`Point`].
    pub fn partition_point_by_key(&self, key: u64, before: impl Fn(&T) -> bool) -> u64 {
        let before = &before;
        self.index_of(Point { key, before })
    }

    /// The index of an item that is there. Panics if it is not.
    pub fn index_of_present<I, U>(&self, item: Present<I, U>) -> u64
    where
        I: Fn(&T) -> bool + Copy,
        U: Fn(&T) -> bool + Copy,
    {
        self.index_of(item)
    }

    fn index_of(&self, seek: impl Seek<T>) -> u64 {
        let Some(mut node) = self.root else { return 0 };
        let mut seek = seek;
        let mut index = 0;
        while !node.is_leaf() {
            let at = seek.child(node);
            index += node.items_below()[..at].iter().sum::<u64>();
            node = node.child(at);
        }
        index + seek.item(node) as u64
    }

    /// Puts an item in at `index`.
    pub fn insert(&mut self, index: u64, item: T, ledger: &mut Ledger) {
        assert!(index <= self.len, "item {index} of a sequence of {}", self.len);
        self.insert_at(Before(index), item, ledger);
    }

    /// The way down to the leaf in which a place with this sort key is: the one kept, if it is still right, or found anew.
    /// None if others hold a node of it.
    #[inline]
    fn way_to(&self, key: u64, seek: &mut impl Seek<T>, kept: Option<&Kept<T>>) -> Option<Way<T>> {
        let root = self.root?;
        // Of the same stamp: the nodes before the leaf are this sequence's.
        if let Some(mut way) = kept.and_then(|kept| kept.way(self.stamp))
            && way.rejoin(key)
        {
            return Some(way);
        }
        let mut way = Way::new(root);
        way.descend(seek).then_some(way)
    }

    /// Puts what `make` gives in at a point. The way there comes out of memory meanwhile, if none was kept.
    pub fn insert_at_point<B: Fn(&T) -> bool + Copy>(
        &mut self,
        point: Point<B>,
        kept: Option<&Kept<T>>,
        ledger: &mut Ledger,
        make: impl FnOnce() -> T,
    ) {
        let mut seek = point;
        let way = self.way_to(point.key, &mut seek, kept);
        let item = make();
        if let Some(mut way) = way {
            // SAFETY: the root's reference is ours.
            if unsafe { way.make_room(ledger) } {
                way.arrive(seek);
                return self.insert_by_way(&way, item);
            }
        }
        self.insert_by_steps(point, item, ledger);
    }

    fn insert_at(&mut self, seek: impl Seek<T>, item: T, ledger: &mut Ledger) {
        if let Some(root) = self.root {
            let mut way = Way::new(root);
            // SAFETY: the root's reference is ours.
            if way.down(seek) && unsafe { way.make_room(ledger) } {
                return self.insert_by_way(&way, item);
            }
        }
        self.insert_by_steps(seek, item, ledger);
    }

    #[inline]
    fn insert_by_way(&mut self, way: &Way<T>, item: T) {
        debug_assert!(T::WEIGHED || item.weight() == 1, "a weight that nobody keeps");
        self.weight += item.weight();
        self.len += 1;
        // SAFETY: the root's reference is ours; there is room.
        unsafe { way.insert(item) };
    }

    /// As [`Self::insert_at`], where nodes are shared or a leaf is full.
    fn insert_by_steps(&mut self, seek: impl Seek<T>, item: T, ledger: &mut Ledger) {
        self.restamp();
        self.weight += item.weight();
        self.len += 1;
        let mut root = self.root.take().unwrap_or_else(|| Node::new(0, 1, ledger));
        // SAFETY: the root's reference is ours, and every node holds its children; new nodes have no other holder.
        unsafe {
            if let Some(right) = edit::insert(&mut root, seek, item, Ends::ROOT, ledger).right {
                let top = Node::new(root.level() + 1, 4, ledger);
                top.insert_child(0, root);
                top.insert_child(1, right);
                root = top;
            }
        }
        self.root = Some(root);
    }

    /// Puts an item in at the end.
    pub fn push(&mut self, item: T, ledger: &mut Ledger) {
        self.insert(self.len, item, ledger);
    }

    /// Takes out the item at `index`. Panics if there is none.
    pub fn remove(&mut self, index: u64, ledger: &mut Ledger) -> T {
        assert!(index < self.len, "item {index} of a sequence of {}", self.len);
        self.remove_at(At(index), ledger)
    }

    /// Takes out an item that is there. Panics if it is not.
    pub fn remove_present<I, U>(&mut self, item: Present<I, U>, ledger: &mut Ledger) -> T
    where
        I: Fn(&T) -> bool + Copy,
        U: Fn(&T) -> bool + Copy,
    {
        self.remove_at(item, ledger)
    }

    fn remove_at(&mut self, seek: impl Seek<T>, ledger: &mut Ledger) -> T {
        if let Some(root) = self.root {
            let mut way = Way::new(root);
            if way.down(seek) && way.has_spare() {
                // SAFETY: the root's reference is ours; there is an item, and others in its leaf.
                let item = unsafe { way.remove(ledger) };
                self.len -= 1;
                self.weight -= item.weight();
                return item;
            }
        }
        self.restamp();
        // There is one, since there are items.
        let mut root = self.root.take().expect("the root of items");
        // SAFETY: the root's reference is ours, and every node holds its children.
        let item = unsafe { edit::remove(&mut root, seek, ledger) }.item;
        self.len -= 1;
        self.weight -= item.weight();
        self.set_root(root, ledger);
        item
    }

    /// Moves an item that is there to the point where it belongs with another sort key: puts what `renew` gives there.
    /// Items weigh the same, and need no giving up. All looking at items is done before `renew` is called, which may change
    /// what they refer to, or else after the item has been taken out.
    /// The ways to both places may have been kept.
    pub fn shift<I, U, B>(
        &mut self,
        (item, to): (Present<I, U>, Point<B>),
        (kept_from, kept_to): (Option<&Kept<T>>, Option<&Kept<T>>),
        ledger: &mut Ledger,
        renew: impl FnOnce() -> T,
    ) where
        I: Fn(&T) -> bool + Copy,
        U: Fn(&T) -> bool + Copy,
        B: Fn(&T) -> bool + Copy,
    {
        let (mut here, mut there) = (item, to);
        if let Some(mut from) = self.way_to(item.key, &mut here, kept_from)
            && let Some(mut target) = self.way_to(to.key, &mut there, kept_to)
        {
            from.arrive(here);
            target.arrive(there);
            if from.meets(&target) {
                // SAFETY: the root's reference is ours, and there is an item.
                return unsafe { from.turn(&target, renew()) };
            }
            // SAFETY: the root's reference is ours; there are an item, others in its leaf, and room in another, which is made
            // after both places are found and moves no item.
            unsafe {
                if from.has_spare() && target.make_room(ledger) {
                    return from.carry(&target, renew(), ledger);
                }
            }
        }
        self.shift_by_steps(item, to, ledger, renew);
    }

    /// As [`Self::shift`], where nodes are shared, or leaves too full or too empty.
    fn shift_by_steps<I, U, B>(
        &mut self,
        item: Present<I, U>,
        to: Point<B>,
        ledger: &mut Ledger,
        renew: impl FnOnce() -> T,
    ) where
        I: Fn(&T) -> bool + Copy,
        U: Fn(&T) -> bool + Copy,
        B: Fn(&T) -> bool + Copy,
    {
        self.restamp();
        // There is one, since there are items.
        let mut root = self.root.take().expect("the root of items");
        // SAFETY: the root's reference is ours, and every node holds its children.
        let taken = unsafe { edit::shift(&mut root, item, &to, renew, ledger) };
        let Some((taken, renew)) = taken else {
            self.root = Some(root);
            return;
        };
        self.len -= 1;
        self.weight -= taken.item.weight();
        self.set_root(root, ledger);
        self.insert_at(to, renew(), ledger);
    }

    /// Takes out the items from `start` up to, not including, `end`; each leaves.
    pub fn remove_range(&mut self, start: u64, end: u64, ledger: &mut Ledger) {
        assert!(
            start <= end && end <= self.len,
            "items {start}..{end} of a sequence of {}",
            self.len
        );
        if start == end {
            return;
        }
        self.restamp();
        // There is one, since there are items.
        let mut root = self.root.take().expect("the root of items");
        // SAFETY: the root's reference is ours, and every node holds its children.
        unsafe { edit::remove_range(&mut root, start, end, ledger) };
        let sum = root.sum();
        (self.len, self.weight) = (sum.items, sum.weight);
        self.set_root(root, ledger);
    }

    /// Changes the item at `index`; its sort key must keep its place. Panics if there is none.
    pub fn modify<R>(&mut self, index: u64, ledger: &mut Ledger, change: impl FnOnce(&mut T, &mut Ledger) -> R) -> R {
        assert!(index < self.len, "item {index} of a sequence of {}", self.len);
        self.restamp();
        // There is one, since there are items.
        let root = self.root.as_mut().expect("the root of items");
        // SAFETY: the root's reference is ours, and every node holds its children.
        let (result, difference) = unsafe { edit::modify(root, index, ledger, change) };
        self.weight = self.weight.wrapping_add_signed(difference);
        result
    }

    /// Puts an owned root back after a removal: lower, or not at all, where it has become too small.
    fn set_root(&mut self, root: Node<T>, ledger: &mut Ledger) {
        let mut root = root;
        // SAFETY: the root is ours alone after the removal, and an only child that others hold too has more than one
        // child itself or is a leaf with items; what the root held is kept, or there is nothing.
        unsafe {
            while !root.is_leaf() && root.len() == 1 {
                let child = root.remove_child(0);
                root.free(ledger);
                root = child;
            }
            if root.len() == 0 {
                root.free(ledger);
                return;
            }
        }
        self.root = Some(root);
    }

    /// All items from `index` on, forwards.
    #[must_use]
    pub fn iter_from(&self, index: u64) -> Iter<'_, T> {
        Iter::new(self, index)
    }

    /// All items, forwards.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        self.iter_from(0)
    }

    /// The item at `index` and all before it, backwards. Nothing if there is no such item.
    #[must_use]
    pub fn iter_back_from(&self, index: u64) -> IterBack<'_, T> {
        IterBack::new(self, index)
    }

    /// All items, backwards.
    #[must_use]
    pub fn iter_back(&self) -> IterBack<'_, T> {
        self.iter_back_from(self.len.wrapping_sub(1))
    }

    /// A second sequence that shares all nodes, and is the one to be changed from now on; this one may only be read, and
    /// released.
    #[must_use]
    pub fn fork(&self) -> Self {
        if let Some(root) = self.root {
            root.count().increment();
        }
        Self { ..*self }
    }

    /// A copy that shares no node, of copies of the items.
    #[must_use]
    pub fn duplicate(&self, ledger: &mut Ledger, mut copy: impl FnMut(&T, &mut Ledger) -> T) -> Self {
        let mut duplicate = Self::new();
        for item in self.iter() {
            let item = copy(item, ledger);
            duplicate.push(item, ledger);
        }
        duplicate
    }

    /// A sequence of these items, in full leaves.
    pub fn from_iter(items: impl IntoIterator<Item = T>, ledger: &mut Ledger) -> Self {
        let mut sequence = Self::new();
        for item in items {
            sequence.push(item, ledger);
        }
        sequence
    }

    /// The owner gives it up: nodes and items leave the ledger.
    pub fn leave(self, ledger: &mut Ledger) {
        if let Some(root) = self.root {
            // SAFETY: the root's reference is ours, and gone with `self`.
            unsafe { node::leave(root, ledger) };
        }
    }

    /// A frozen holder gives it up.
    pub fn release(self, account: &Account) {
        if let Some(root) = self.root {
            // SAFETY: the root's reference is ours, and gone with `self`.
            unsafe { node::release(root, account) };
        }
    }
}

impl<T: Item> std::fmt::Debug for Seq<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seq")
            .field("len", &self.len)
            .field("weight", &self.weight)
            .finish()
    }
}

/// Which of the parts contains the position, which becomes the one within that part.
fn position_within(parts: impl Iterator<Item = u64>, position: &mut u64) -> Option<usize> {
    for (at, part) in parts.enumerate() {
        if *position < part {
            return Some(at);
        }
        *position -= part;
    }
    None
}

impl<T: Item> Node<T> {
    fn leaf_at(self, index: u64) -> (Self, usize) {
        let mut node = self;
        let mut within = index;
        while !node.is_leaf() {
            let (at, rest) = node.child_at(within);
            within = rest;
            node = node.child(at);
        }
        (node, within as usize)
    }

    fn first_item<'a>(self) -> &'a T {
        &self.leaf_at(0).0.items()[0]
    }
}
