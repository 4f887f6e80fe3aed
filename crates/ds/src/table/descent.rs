//! Searches that go down the tree side by side, so that their cache misses do too.
//!
//! ```text
//!   searches   a ─► b ─► c       one step of each: look at the node that the last step asked memory for,
//!              a ─► b ─► c       and ask for the next
//!              …                 then the entries, then what they lead to
//! ```
//!
//! Nothing is compared and nothing is found: what is looked up after that is in the cache.

use std::marker::PhantomData;

use super::Table;
use super::child::Child;
use super::node::Inner;
use super::segment::Segment;
use crate::entry::Entry;
use crate::hash::KeyHash;

/// A search on its way down.
#[derive(Clone, Copy)]
pub struct Descent<'a> {
    child: Child,
    hash: KeyHash,
    consumed: u32,
    /// Of these, those that led to the node above the child.
    above: u32,
    for_write: bool,
    table: PhantomData<&'a Table>,
}

impl<'a> Descent<'a> {
    /// A search that begins at the root of `table`; `for_write` if what it finds will be changed.
    #[inline]
    #[must_use]
    pub fn new(table: &'a Table, hash: KeyHash, for_write: bool) -> Self {
        Self {
            child: table.root,
            hash,
            consumed: 0,
            above: 0,
            for_write,
            table: PhantomData,
        }
    }

    /// Goes down by a node, and asks for the next one. False once it has arrived where entries are.
    #[inline]
    pub fn step(&mut self) -> bool {
        if !self.child.is_inner() {
            return false;
        }
        // SAFETY: the table, which is borrowed, holds its root, and every node its children.
        let inner = unsafe { Inner::of(self.child) };
        self.child = inner.towards(self.hash, self.consumed);
        self.above = self.consumed;
        self.consumed += inner.bits();
        if self.child.is_inner() {
            // SAFETY: as above.
            unsafe { Inner::of(self.child) }.prefetch(self.hash, self.consumed, self.for_write);
            return true;
        }
        // SAFETY: as above; a child of a node is never none.
        let segment = unsafe { Segment::of(self.child) };
        segment.prefetch_group(self.tag());
        if self.for_write {
            segment.prefetch_header();
        }
        false
    }

    /// The tag that is looked for, in the segment where the search has arrived.
    #[inline]
    fn tag(&self) -> u16 {
        self.hash.tag(self.above + self.child.depth())
    }

    /// Takes searches down to where entries are, a step of each in turn.
    pub fn take_down(searches: &mut [Option<Self>]) {
        side_by_side(searches, Self::step);
    }

    /// Once arrived: the entry that the search will likely find, its key not compared; asks for it.
    #[inline]
    #[must_use]
    pub fn likely(&self) -> Option<&'a Entry> {
        if self.child.is_none() || self.child.is_inner() {
            return None;
        }
        // SAFETY: as above.
        let entry = unsafe { Segment::of(self.child) }.likely(self.tag())?;
        entry.prefetch_whole();
        Some(entry)
    }
}

/// Takes a step of each search in turn until none is under way, which is what `step` says.
#[inline]
pub(crate) fn side_by_side<S>(searches: &mut [Option<S>], step: impl Fn(&mut S) -> bool) {
    let mut under_way = true;
    while under_way {
        under_way = false;
        for search in searches.iter_mut().flatten() {
            under_way |= step(search);
        }
    }
}
