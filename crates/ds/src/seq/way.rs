//! Edits of one leaf: found and done in one go down, where nobody else holds the nodes on the way and no other leaf has to
//! do with it. That is nearly all of them; the rest is the business of [`super::edit`].

use super::Item;
use super::node::{LEN_MIN, Node};
use super::seek::Seek;
use crate::account::Ledger;

/// Sequences of more levels, which nobody will see, are edited by the others.
const LEVELS_MAX: usize = 5;

/// The way from the root to a place in a leaf, every node of which has one holder.
pub(super) struct Way<T> {
    /// Inner nodes, and the indices of the children where the way goes on.
    nodes: [Node<T>; LEVELS_MAX],
    children: [u8; LEVELS_MAX],
    len: u8,
    leaf: Node<T>,
    at: usize,
}

impl<T> Clone for Way<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Way<T> {}

impl<T: Item> Way<T> {
    /// A way that begins at the root of a sequence.
    #[inline]
    pub(super) fn new(root: Node<T>) -> Self {
        Self {
            nodes: [root; LEVELS_MAX],
            children: [0; LEVELS_MAX],
            len: 0,
            leaf: root,
            at: 0,
        }
    }

    /// Goes down to a place; false if others hold a node on the way.
    #[inline]
    pub(super) fn down(&mut self, seek: impl Seek<T>) -> bool {
        let mut seek = seek;
        let down = self.descend(&mut seek);
        if down {
            self.arrive(seek);
        }
        down
    }

    /// Goes down to the leaf in which a place is, and asks the processor for it; where in the leaf that is, [`Self::arrive`]
    /// will find. False if others hold a node on the way.
    #[inline]
    pub(super) fn descend(&mut self, seek: &mut impl Seek<T>) -> bool {
        let mut node = self.leaf;
        while !node.is_leaf() {
            if !node.count().is_one() {
                return false;
            }
            let at = seek.child(node);
            if !self.step(node, at) {
                return false;
            }
            let below = node.child(at);
            if node.level() == 1 {
                below.prefetch_leaf(node.items_below()[at]);
            }
            node = below;
        }
        self.leaf = node;
        node.count().is_one()
    }

    /// Goes a step further down, to this child; false if there have been too many, or others hold the node.
    #[inline]
    pub(super) fn step(&mut self, node: Node<T>, at: usize) -> bool {
        let here = usize::from(self.len);
        let can = here < LEVELS_MAX && node.count().is_one();
        if can {
            self.nodes[here] = node;
            self.children[here] = at as u8;
            self.len += 1;
        }
        can
    }

    /// Goes to the leaf below the last step: which block it is may have changed since the way was found. False if others
    /// have come to hold a node of the way, or it is not, or no longer, the way to this key. The nodes before the leaf must
    /// be the sequence's still.
    #[inline]
    pub(super) fn rejoin(&mut self, key: u64) -> bool {
        let goes = |(node, at): (Node<T>, usize)| node.leads_to(key, at) && node.count().is_one();
        if !(0..self.len()).all(|level| goes(self.at(level))) {
            return false;
        }
        if let Some((node, at)) = self.last() {
            self.leaf = node.child(at);
        }
        self.leaf.is_leaf() && self.leaf.count().is_one()
    }

    /// Finds the place in the leaf.
    #[inline]
    pub(super) fn arrive(&mut self, seek: impl Seek<T>) {
        self.at = seek.item(self.leaf);
    }

    #[inline]
    fn len(&self) -> usize {
        usize::from(self.len).min(LEVELS_MAX)
    }

    /// The inner node of this level from the root, and which of its children the way goes on to.
    #[inline]
    fn at(&self, level: usize) -> (Node<T>, usize) {
        (self.nodes[level], usize::from(self.children[level]))
    }

    /// The node above the leaf.
    #[inline]
    fn last(&self) -> Option<(Node<T>, usize)> {
        self.len().checked_sub(1).map(|level| self.at(level))
    }

    /// Makes room for one more item in the leaf, which may become another block; false if no other leaf must have to do
    /// with it.
    ///
    /// # Safety
    /// - The caller holds the root, and nothing has changed in the sequence since [`Self::down`].
    #[inline]
    pub(super) unsafe fn make_room(&mut self, ledger: &mut Ledger) -> bool {
        // SAFETY: as promised.
        self.leaf.has_room() || unsafe { self.grow(ledger) }
    }

    /// # Safety
    /// - As for [`Self::make_room`].
    #[cold]
    unsafe fn grow(&mut self, ledger: &mut Ledger) -> bool {
        let Some((above, at)) = self.last() else {
            return false;
        };
        if self.leaf.is_full() {
            return false;
        }
        // SAFETY: as promised; the node above lets go of the old block, which is gone.
        unsafe {
            self.leaf = self.leaf.reserve(ledger);
            above.set_child(at, self.leaf);
        }
        true
    }

    /// Whether the leaf can lose an item, and no other leaf has to do with it.
    #[inline]
    pub(super) fn has_spare(&self) -> bool {
        self.leaf.len() > LEN_MIN && (self.len > 0 || !self.leaf.would_shrink(self.leaf.len() - 1))
    }

    /// Gives room back of which there is much in the leaf, behind a removal.
    ///
    /// # Safety
    /// - As for [`Self::make_room`], but for the removal.
    #[inline]
    unsafe fn fit(&self, ledger: &mut Ledger) {
        if self.leaf.would_shrink(self.leaf.len())
            && let Some((above, at)) = self.last()
        {
            // SAFETY: as promised; the node above lets go of the old block, which is gone.
            unsafe { above.set_child(at, self.leaf.fit(ledger)) };
        }
    }

    /// Whether another way ends in the same leaf.
    #[inline]
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.leaf == other.leaf
    }

    /// Puts an item in.
    ///
    /// # Safety
    /// - The caller holds the root, and nothing has changed in the sequence since [`Self::down`].
    /// - There is room.
    #[inline]
    pub(super) unsafe fn insert(&self, item: T) {
        let weight = item.weight() as i64;
        // SAFETY: as promised: the root is the caller's, and every node has one holder.
        unsafe {
            self.leaf.insert_item(self.at, item);
            self.count(1, weight, 0);
        }
    }

    /// Takes the item out.
    ///
    /// # Safety
    /// - As for [`Self::insert`]; there is an item, and another one.
    #[inline]
    pub(super) unsafe fn remove(&self, ledger: &mut Ledger) -> T {
        // SAFETY: as for `insert`.
        unsafe {
            let item = self.leaf.remove_item(self.at);
            self.count(-1, -(item.weight() as i64), 0);
            self.fit(ledger);
            item
        }
    }

    /// Puts an item in at the place `to` of the leaf, in place of the one here, which weighs the same and needs no giving
    /// up.
    ///
    /// # Safety
    /// - As for [`Self::insert`]; there is an item.
    /// - The other way ends in the same leaf, and nothing has changed since it went down.
    #[inline]
    pub(super) unsafe fn turn(&self, to: &Self, item: T) {
        let target = if to.at > self.at { to.at - 1 } else { to.at };
        // SAFETY: as for `insert`.
        unsafe {
            self.leaf.turn_item(self.at, target, item);
            if self.at == 0 || target == 0 {
                self.rekey();
            }
        }
    }

    /// Puts an item in at the end of another way, in place of the one here, which weighs the same and needs no giving up.
    ///
    /// # Safety
    /// - As for [`Self::remove`], and for [`Self::insert`] at the other end, which is in another leaf.
    #[inline]
    pub(super) unsafe fn carry(&self, to: &Self, item: T, ledger: &mut Ledger) {
        let weight = item.weight() as i64;
        // Nodes from which both leaves are below the same child have as many items below it as before.
        let levels = self.len().min(to.len());
        let shared = (0..levels).take_while(|level| self.at(*level) == to.at(*level)).count();
        // SAFETY: as promised.
        unsafe {
            self.leaf.remove_item(self.at);
            to.leaf.insert_item(to.at, item);
            self.count(-1, -weight, shared);
            to.count(1, weight, shared);
            self.fit(ledger);
        }
    }

    /// Tells the nodes above of a change in the leaf, but that the first `shared` of them are only told of another first
    /// sort key.
    ///
    /// # Safety
    /// - As for [`Self::insert`].
    #[inline]
    unsafe fn count(&self, items: i64, weight: i64, shared: usize) {
        for level in shared..self.len() {
            let (node, at) = self.at(level);
            // SAFETY: as for `insert`; `at` is the index of a child.
            unsafe { node.change_sum(at, items, weight) };
        }
        if self.at == 0 {
            // SAFETY: as promised.
            unsafe { self.rekey() };
        }
    }

    /// Tells the nodes above of another first item in the leaf.
    ///
    /// # Safety
    /// - As for [`Self::insert`]; there is an item.
    #[cold]
    unsafe fn rekey(&self) {
        let key = self.leaf.first_key();
        for level in (0..self.len()).rev() {
            let (node, at) = self.at(level);
            // SAFETY: as for `insert`; `at` is the index of a child.
            unsafe { node.set_key(at, key) };
            if at > 0 {
                break;
            }
        }
    }
}
