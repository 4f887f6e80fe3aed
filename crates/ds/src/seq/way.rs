//! Edits of one leaf: found and done in one go down, where nobody else holds the nodes on the way and no other leaf has to
//! do with it. That is nearly all of them; the rest is the business of [`super::edit`].

use super::Item;
use super::node::{LEN_MIN, Node};
use super::seek::{Point, Seek};

/// Sequences of more levels, which nobody will see, are edited by the others.
const LEVELS_MAX: usize = 8;

/// The way from the root to a place in a leaf, every node of which has one holder.
pub(super) struct Way<T> {
    steps: [(Node<T>, usize); LEVELS_MAX],
    len: usize,
    leaf: Node<T>,
    at: usize,
}

impl<T: Item> Way<T> {
    /// The way to a place, unless others hold a node on it.
    #[inline]
    pub(super) fn down(root: Node<T>, seek: impl Seek<T>) -> Option<Self> {
        let mut seek = seek;
        let mut steps = [(root, 0); LEVELS_MAX];
        let mut len = 0;
        let mut node = root;
        loop {
            if !node.count().is_one() {
                return None;
            }
            if node.is_leaf() {
                break;
            }
            let at = seek.child(node);
            *steps.get_mut(len)? = (node, at);
            len += 1;
            node = node.child(at);
        }
        let at = seek.item(node);
        Some(Self {
            steps,
            len,
            leaf: node,
            at,
        })
    }

    /// Whether the leaf takes one more item as it is.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.leaf.has_room()
    }

    /// Whether the leaf can lose an item and stay as it is.
    #[inline]
    pub(super) fn has_spare(&self) -> bool {
        self.leaf.len() > LEN_MIN && !self.leaf.would_shrink(self.leaf.len() - 1)
    }

    /// Where a point is in the leaf, if it is surely inside.
    #[inline]
    pub(super) fn inside<B: Fn(&T) -> bool + Copy>(&self, point: &Point<B>) -> Option<usize> {
        point.inside(self.leaf).filter(|_| self.at > 0)
    }

    /// Puts an item in.
    ///
    /// # Safety
    /// - The caller holds the root, and nothing has changed since [`Self::down`].
    /// - There is room.
    #[inline]
    pub(super) unsafe fn insert(self, item: T) {
        let weight = item.weight() as i64;
        // SAFETY: as promised: the root is the caller's, and every node has one holder.
        unsafe {
            self.leaf.insert_item(self.at, item);
            self.count(1, weight);
        }
    }

    /// Takes the item out.
    ///
    /// # Safety
    /// - As for [`Self::insert`]; there is an item, and another one.
    #[inline]
    pub(super) unsafe fn remove(self) -> T {
        // SAFETY: as for `insert`.
        unsafe {
            let item = self.leaf.remove_item(self.at);
            self.count(-1, -(item.weight() as i64));
            item
        }
    }

    /// Puts an item in at the place `to` of the leaf, in place of the one here, which needs no giving up.
    ///
    /// # Safety
    /// - As for [`Self::insert`]; the place came from [`Self::inside`].
    #[inline]
    pub(super) unsafe fn turn(self, to: usize, item: T) {
        let to = if to > self.at { to - 1 } else { to };
        // SAFETY: as for `insert`.
        unsafe { self.leaf.turn_item(self.at, to, item) };
    }

    /// Tells the nodes above of a change in the leaf.
    ///
    /// # Safety
    /// - As for [`Self::insert`].
    #[inline]
    unsafe fn count(&self, items: i64, weight: i64) {
        let key = (self.at == 0).then(|| self.leaf.first_key());
        let mut first = true;
        for (node, at) in self.steps[..self.len].iter().rev() {
            // SAFETY: as for `insert`; `at` is the index of a child.
            unsafe { node.change_sum(*at, items, weight, key.filter(|_| first)) };
            first = first && *at == 0;
        }
    }
}
