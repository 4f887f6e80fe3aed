//! Searches by sort key that go down side by side, so that their cache misses pass together; see
//! [`crate::table::Descent`] for the same in a table.
//!
//! Nothing is found: what is looked up after that is in the cache.

use std::marker::PhantomData;

use super::node::{CHILDREN, HEADER_BYTES, ITEMS, LEN_MAX, Node};
use super::{Item, Seq};

/// A search for the leaf in which items of a sort key are, or would be, on its way there.
pub struct Descent<'a, T: Item> {
    node: Node<T>,
    key: u64,
    stage: Stage,
    /// Whether items with this key will be compared with another.
    compares: bool,
    seq: PhantomData<&'a Seq<T>>,
}

/// What has been asked of memory.
#[derive(Clone, Copy)]
enum Stage {
    /// The keys of a node.
    Keys,
    /// What a node says of this child, which is a leaf.
    Child(usize),
    /// A leaf.
    Leaf,
    /// All.
    Arrived,
}

impl<'a, T: Item> Descent<'a, T> {
    /// A search that begins at the root; none in an empty sequence. `compares` if it is for a place among items that may
    /// have the same key, so that what these refer to will be looked at.
    #[must_use]
    pub fn new(seq: &'a Seq<T>, key: u64, compares: bool) -> Option<Self> {
        let node = seq.root?;
        Some(Self {
            node,
            key,
            stage: if node.is_leaf() { Stage::Leaf } else { Stage::Keys },
            compares,
            seq: PhantomData,
        })
    }

    /// Goes on with what was asked for last, and asks for what comes next. False once there is nothing more.
    #[inline]
    pub fn step(&mut self) -> bool {
        let node = self.node;
        match self.stage {
            Stage::Keys => {
                let after = node.keys().partition_point(|first| *first <= self.key);
                let at = after.max(1) - 1;
                node.prefetch_child(at);
                if node.level() > 1 {
                    // There are few such nodes: all of them are near.
                    self.node = node.child(at);
                    self.node.prefetch_keys();
                } else {
                    self.stage = Stage::Child(at);
                }
            }
            Stage::Child(at) => {
                self.node = node.child(at);
                self.node.prefetch_leaf(node.items_below()[at]);
                self.stage = Stage::Leaf;
                return self.compares;
            }
            Stage::Leaf => {
                if T::MARKED && self.compares {
                    prefetch_equal(node, self.key);
                }
                self.stage = Stage::Arrived;
                return false;
            }
            Stage::Arrived => return false,
        }
        true
    }
}

impl<T: Item> Node<T> {
    /// Asks the processor for a leaf that has so many items.
    #[inline]
    pub(super) fn prefetch_leaf(self, items: u64) {
        self.prefetch_bytes(HEADER_BYTES + (items as usize + 1) * size_of::<T>());
    }

    /// Asks the processor for the header and the keys of an inner node whose size is not known yet: as if it had as many
    /// children as fit, which most have.
    #[inline]
    fn prefetch_keys(self) {
        self.prefetch_bytes(HEADER_BYTES + LEN_MAX * 8);
    }

    /// Asks the processor for what an inner node says of a child, but for its key. The weight is not asked for.
    #[inline]
    fn prefetch_child(self, index: usize) {
        for column in [CHILDREN, ITEMS] {
            crate::entry::prefetch(self.column_at(column).wrapping_add(index).cast());
        }
    }

    #[inline]
    fn prefetch_bytes(self, bytes: usize) {
        const LINE_BYTES: usize = 64;
        for at in (0..bytes).step_by(LINE_BYTES) {
            crate::entry::prefetch(self.address().wrapping_add(at));
        }
    }
}

/// Asks the processor for what the items of a leaf refer to that have the mark of this key, if they are few: a search among
/// many asks for those that it needs.
#[inline]
fn prefetch_equal<T: Item>(leaf: Node<T>, key: u64) {
    const FEW: usize = 4;
    let items = leaf.items();
    let mark = leaf.mark(key);
    let low = items.partition_point(|item| item.mark() < mark);
    let equal = items[low..].iter().take_while(|item| item.mark() == mark);
    equal.take(FEW).for_each(Item::prefetch);
}

impl<T: Item> std::fmt::Debug for Descent<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Descent")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
