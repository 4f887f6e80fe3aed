//! Searches by sort key that go down side by side, so that their cache misses pass together; see
//! [`crate::table::Descent`] for the same in a table.
//!
//! Nothing is found for certain: what is looked up after that is in the cache. The way to the leaf is [kept](Kept), and need
//! not be looked for again by whoever goes there while the sequence has the same [stamp](super::Seq::stamp).

use super::node::{CHILDREN, HEADER_BYTES, ITEMS, LEN_MAX, Node};
use super::way::Way;
use super::{Item, Seq};

/// The way that a search found, to the leaf where items of a sort key are or would be.
///
/// It says nothing of how long it lasts: nobody goes it who has not compared the stamp.
pub struct Kept<T: Item> {
    /// Of the sequence, when the search began.
    stamp: u64,
    way: Option<Way<T>>,
}

// SAFETY: it is addresses, which are followed by the sequence with this stamp alone.
unsafe impl<T: Item> Send for Kept<T> {}
// SAFETY: as above; it is changed through `&mut` alone.
unsafe impl<T: Item> Sync for Kept<T> {}

impl<T: Item> Kept<T> {
    /// The way, if it was found under this stamp.
    #[inline]
    pub(super) fn way(&self, stamp: u64) -> Option<Way<T>> {
        self.way.filter(|_| stamp != 0 && self.stamp == stamp)
    }
}

#[cfg(test)]
impl<T: Item> Kept<T> {
    /// Whether there is a way that the sequence would go.
    pub(crate) fn leads(&self, seq: &Seq<T>) -> bool {
        self.way(seq.stamp()).is_some()
    }
}

impl<T: Item> Default for Kept<T> {
    fn default() -> Self {
        Self { stamp: 0, way: None }
    }
}

impl<T: Item> std::fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// A search for the leaf in which items of a sort key are, or would be, on its way there.
pub struct Descent<'a, T: Item> {
    node: Node<T>,
    key: u64,
    stage: Stage,
    /// Whether items with this key will be compared with another.
    compares: bool,
    /// Where the way is kept. The sequence is borrowed as long.
    kept: &'a mut Kept<T>,
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
    /// have the same key, so that what these refer to will be looked at. The way goes to `kept`.
    #[must_use]
    #[inline]
    pub fn new(seq: &'a Seq<T>, key: u64, compares: bool, kept: &'a mut Kept<T>) -> Option<Self> {
        let root = seq.root?;
        kept.stamp = seq.stamp();
        kept.way = Some(Way::new(root));
        Some(Self {
            node: root,
            key,
            stage: if root.is_leaf() { Stage::Leaf } else { Stage::Keys },
            compares,
            kept,
        })
    }

    /// Goes on with what was asked for last, and asks for what comes next. False once there is nothing more.
    #[inline]
    pub fn step(&mut self) -> bool {
        let node = self.node;
        match self.stage {
            Stage::Keys => {
                let at = self.towards(node);
                node.prefetch_child(at);
                if node.level() > 1 {
                    // There are few such nodes: all of them are near.
                    self.node = node.child(at);
                    self.node.prefetch_keys();
                } else {
                    self.stage = Stage::Child(at);
                }
                true
            }
            Stage::Child(at) => {
                self.node = node.child(at);
                self.node.prefetch_leaf(node.items_below()[at]);
                self.stage = Stage::Leaf;
                self.compares
            }
            Stage::Leaf => {
                if T::MARKED && self.compares {
                    prefetch_equal(node, self.key);
                }
                self.stage = Stage::Arrived;
                false
            }
            Stage::Arrived => false,
        }
    }

    /// The child to go to, and that step kept; where the key alone does not tell, nothing is kept.
    #[inline]
    fn towards(&mut self, node: Node<T>) -> usize {
        let keys = node.keys();
        let next = keys.partition_point(|first| *first < self.key).max(1);
        let sure = keys.get(next).is_none_or(|first| *first > self.key);
        let kept = &mut self.kept.way;
        if !(sure && kept.as_mut().is_some_and(|way| way.step(node, next - 1))) {
            *kept = None;
        }
        next - 1
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
        let lines = bytes.div_ceil(LINE_BYTES);
        for line in 0..lines {
            crate::entry::prefetch(self.address().wrapping_add(line * LINE_BYTES));
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
