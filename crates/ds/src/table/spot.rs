//! Where a key is, or would be: found once, looked at, and then perhaps written to.
//!
//! ```text
//!   root ──► inner ──► … ──► segment: slot ──► entry          all of it the table's alone: written to there and then
//!                   └─ path ─┘                                else: found again on a path that is made its own
//! ```

use std::ptr::NonNull;
use std::sync::Arc;

use super::node::Inner;
use super::segment::Segment;
use super::{Table, entry_mut};
use crate::account::Ledger;
use crate::entry::{Entry, Payload};
use crate::hash::{Hasher, KeyHash};

/// The place of a key in a table, which is not changed meanwhile.
pub(crate) struct Spot<'a, 'k> {
    table: &'a mut Table,
    key: &'k [u8],
    hash: KeyHash,
    /// The segment and the slot of an entry.
    found: Option<(Segment, usize)>,
    /// Nobody else holds the segment or a node above it.
    own: bool,
}

impl Table {
    /// The place of `key`. Nothing is changed or copied until that is asked for.
    #[inline]
    pub(crate) fn spot<'a, 'k>(&'a mut self, key: &'k [u8], hash: KeyHash) -> Spot<'a, 'k> {
        let (found, own) = self.find(key, hash);
        Spot {
            table: self,
            key,
            hash,
            found,
            own,
        }
    }

    /// The slot of `key`, and whether all nodes on the way there are the table's alone.
    #[inline]
    fn find(&self, key: &[u8], hash: KeyHash) -> (Option<(Segment, usize)>, bool) {
        let mut child = self.root;
        if child.is_none() {
            return (None, false);
        }
        let (mut above, mut consumed) = (0, 0);
        let mut own = true;
        while child.is_inner() {
            // SAFETY: the table holds its root, and every node its children.
            let inner = unsafe { Inner::of(child) };
            own &= inner.count().is_alone(child.claim());
            child = inner.towards(hash, consumed);
            above = consumed;
            consumed += inner.bits();
        }
        // SAFETY: as above.
        let segment = unsafe { Segment::of(child) };
        // The count is in another cache line than the slots: let both come at once.
        segment.prefetch_header();
        let slot = segment.find(key, hash.tag(above + child.depth()));
        own &= segment.count().is_alone(child.claim());
        (slot.map(|slot| (segment, slot)), own)
    }
}

impl<'a> Spot<'a, '_> {
    /// The entry that is there.
    #[inline]
    pub(crate) fn entry(&self) -> Option<&Entry> {
        let (segment, slot) = self.found?;
        segment.slot(slot)
    }

    /// The entry that is there, in nodes that are the table's own, with what changing it takes.
    #[inline]
    pub(super) fn entry_mut(self) -> Option<(&'a mut Entry, &'a mut Ledger, &'a Arc<Hasher>)> {
        let (mut segment, mut slot) = self.found?;
        if !self.own {
            let path = self.table.own_path(self.hash);
            (segment, slot) = (path.segment, path.find(self.key, self.hash)?);
        }
        // SAFETY: the path is the table's own, and the table stays borrowed as long as the entry does.
        let entry = unsafe { entry_mut(segment, slot) };
        Some((entry, &mut self.table.ledger, &self.table.hasher))
    }

    /// Puts a short text there for a value, in a table where nothing expires. Gives the address of the entry, as
    /// [`Entry::as_raw`] does, which stays the same until the key is written to or taken out.
    #[inline]
    pub(crate) fn set_text(self, text: &[u8]) -> NonNull<u8> {
        if self.found.is_none() {
            return self.add_text(text);
        }
        // Copied nodes have what was found in the original.
        let (entry, ledger, _) = self.entry_mut().expect("an entry that is there");
        entry.set_text(text, ledger);
        entry.as_raw()
    }

    /// Puts a new entry there.
    fn add_text(self, text: &[u8]) -> NonNull<u8> {
        let Self { table, key, hash, .. } = self;
        let path = table.own_path(hash);
        let parts = &[text];
        let payload = Payload::Bytes { parts, raw: false };
        let entry = Entry::new(path.tag(hash), key, None, 0, payload, &mut table.ledger);
        let address = entry.as_raw();
        table.add(path, hash, entry);
        address
    }

    /// Takes the entry out that is there, and frees it.
    pub(crate) fn delete(self) {
        if self.found.is_some() {
            let path = self.table.own_path(self.hash);
            if let Some(slot) = path.find(self.key, self.hash) {
                let entry = self.table.take_slot(path, slot, self.hash);
                entry.leave(&mut self.table.ledger);
            }
        }
    }
}
