//! Searches by sort key that go down side by side, so that their cache misses pass together; see
//! [`crate::table::Descent`] for the same in a table.
//!
//! Nothing is found: what is looked up after that is in the cache.

use std::marker::PhantomData;

use super::node::Node;
use super::{Item, Seq};

/// A search for the leaf in which items of a sort key are, or would be, on its way there.
pub struct Descent<'a, T: Item> {
    node: Node<T>,
    key: u64,
    arrived: bool,
    seq: PhantomData<&'a Seq<T>>,
}

impl<'a, T: Item> Descent<'a, T> {
    /// A search that begins at the root; none in an empty sequence.
    #[must_use]
    pub fn new(seq: &'a Seq<T>, key: u64) -> Option<Self> {
        let node = seq.root?;
        Some(Self {
            node,
            key,
            arrived: false,
            seq: PhantomData,
        })
    }

    /// Goes down by a node, and asks for the next one, and for what a change below will change in this one. False once a
    /// leaf has been asked for.
    #[inline]
    pub fn step(&mut self) -> bool {
        let node = self.node;
        if self.arrived || node.is_leaf() {
            return false;
        }
        let after = node.keys().partition_point(|first| *first <= self.key);
        let at = after.max(1) - 1;
        node.prefetch_sums(at);
        self.node = node.child(at);
        if node.level() == 1 {
            self.node.prefetch_leaf();
            self.arrived = true;
            return false;
        }
        self.node.prefetch_keys();
        true
    }
}

impl<T: Item> std::fmt::Debug for Descent<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Descent")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
