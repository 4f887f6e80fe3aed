//! The hash-ordered tree of entries, freezable at any moment in constant time.
//!
//! ```text
//!   Table { root } ──► inner ──┬──► inner ──┬──► segment ──► entry, entry, entry, …
//!   Frozen { root } ─────┘     ├──► segment ├──► segment
//!                              ├──► segment └──► …            hash bits:  0 1 0 1 1 0 | 1 1 0 1 …
//!                              └──► …                                     first inner   second
//! ```
//!
//! - A look-up takes six bits of the hash per inner node, then one cache line of the segment, then the entry.
//! - A full segment splits in two by the next bit, alone; where its node has no bit left, a new inner node takes its
//!   place. Two segments that have become small merge again. Nothing else ever moves: no growth touches more than one
//!   segment and one node.
//! - A write first makes every node on its path its own: a node that a frozen view holds too is copied, and what is below
//!   is not even looked at (see [`crate::count`] for how both hold it). An entry is copied too.
//! - Nodes count their entries and those with an expiry, and know a moment before which nothing below expires.
//! - The tree lies in the order of the hashes, which is what SCAN walks.

mod child;
mod descent;
mod frozen;
mod group;
mod lent;
mod node;
mod prepare;
mod segment;
mod spot;
#[cfg(test)]
mod tests;
mod walk;
mod write;

use std::ptr::NonNull;
use std::sync::Arc;

use base::Millis;

use crate::account::{Account, Ledger};
use crate::bytes::Bytes;
use crate::entry::Entry;
use crate::hash::{Hasher, KeyHash};
use crate::object::{Container, ObjectMut};
use crate::value::{NewValue, ValueRef, with_payload};
use child::Child;
use group::SLOTS;
use node::Inner;
use segment::{NEVER, Segment};
use write::Path;

pub use descent::Descent;
pub(crate) use descent::side_by_side;
pub use frozen::{Frozen, FrozenEntries, FrozenEntry};
pub use walk::{Expired, Sampled};

/// A set of entries by key.
///
/// All hashes handed in must be those of the keys under the table's own [`Hasher`].
pub struct Table {
    root: Child,
    hasher: Arc<Hasher>,
    ledger: Ledger,
}

// SAFETY: the nodes behind `root` are counted by atomics and changed only by a holder who is alone; entries are `Send`
// and `Sync`.
unsafe impl Send for Table {}
// SAFETY: as above; `&Table` changes nothing but atomics.
unsafe impl Sync for Table {}

/// What a key had before it was overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overwritten {
    /// The expiry it had.
    pub expiry: Option<Millis>,
}

impl Table {
    /// An empty table. What frozen views of it keep is counted in `account`.
    #[must_use]
    pub fn new(hasher: Arc<Hasher>, account: Arc<Account>) -> Self {
        Self {
            root: Child::NONE,
            hasher,
            ledger: Ledger::new(account),
        }
    }

    /// Empties the table; gives what was in it.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let empty = Self::new(self.hasher.clone(), self.ledger.account().clone());
        std::mem::replace(self, empty)
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.summary().len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of entries with an expiry.
    #[must_use]
    pub fn expiring_len(&self) -> u64 {
        self.summary().expiring
    }

    /// The memory that the table reaches, in bytes, as the allocator rounds it.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.ledger.bytes()
    }

    /// The table as it is now.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        Frozen::new(self.root, self.ledger.account().clone())
    }

    fn summary(&self) -> node::Summary {
        if self.root.is_none() {
            return node::Summary {
                len: 0,
                expiring: 0,
                soonest: NEVER,
            };
        }
        // SAFETY: the table holds its root, and it is not none.
        unsafe { node::summary(self.root) }
    }

    /// The segment where entries of this hash are, and how many bits of the hash led there.
    #[inline]
    fn segment(&self, hash: KeyHash) -> Option<(Segment, u32)> {
        let mut child = self.root;
        if child.is_none() {
            return None;
        }
        let mut consumed = 0;
        let mut above = 0;
        while child.is_inner() {
            // SAFETY: the table holds its root, and every node its children.
            let inner = unsafe { Inner::of(child) };
            child = inner.towards(hash, consumed);
            above = consumed;
            consumed += inner.bits();
        }
        // SAFETY: as above.
        Some((unsafe { Segment::of(child) }, above + child.depth()))
    }

    /// The entry of `key`.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &[u8], hash: KeyHash) -> Option<&Entry> {
        let (segment, depth) = self.segment(hash)?;
        segment.slot(segment.find(key, hash.tag(depth))?)
    }

    /// Asks the processor for the part of the table that a change at this hash begins at, where the way there is likely in the
    /// cache. For many searches at once see [`Descent`].
    #[inline]
    pub fn prefetch_for_write(&self, hash: KeyHash) {
        if let Some((segment, depth)) = self.segment(hash) {
            segment.prefetch_header();
            segment.prefetch_group(hash.tag(depth));
        }
    }

    /// Gives `key` this value and expiry, whatever it had. A key that existed keeps its clock, a new one starts at 0.
    pub fn set(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        value: NewValue<'_>,
        expiry: Option<Millis>,
    ) -> Option<Overwritten> {
        self.put_value(key, hash, value, Some(expiry), None, usize::MAX)
            .unwrap_or(None)
    }

    /// As [`Self::set`], with a clock that came with the value.
    pub fn set_with_clock(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        value: NewValue<'_>,
        expiry: Option<Millis>,
        clock: u32,
    ) -> Option<Overwritten> {
        self.put_value(key, hash, value, Some(expiry), Some(clock), usize::MAX)
            .unwrap_or(None)
    }

    /// As [`Self::set`], where the entry gets this clock too, and its old expiry if `expiry` is `None`. Changes nothing, and
    /// gives the value back, if more than `blocks_max` heap blocks would be freed: that is better done elsewhere.
    pub fn overwrite<'v>(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        value: NewValue<'v>,
        expiry: Option<Option<Millis>>,
        clock: u32,
        blocks_max: usize,
    ) -> Result<Option<Overwritten>, NewValue<'v>> {
        self.put_value(key, hash, value, expiry, Some(clock), blocks_max)
    }

    #[inline]
    fn put_value<'v>(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        value: NewValue<'v>,
        expiry: Option<Option<Millis>>,
        clock: Option<u32>,
        blocks_max: usize,
    ) -> Result<Option<Overwritten>, NewValue<'v>> {
        let path = self.own_path(hash);
        let slot = match path.look(key, hash) {
            Ok(slot) => slot,
            Err(free) => {
                let expiry = expiry.flatten();
                let entry = with_payload(value, &mut self.ledger, |payload, ledger| {
                    Entry::new(path.tag(hash), key, expiry, clock.unwrap_or(0), payload, ledger)
                });
                self.add_at(path, free, entry);
                return Ok(None);
            }
        };
        // SAFETY: the path is owned.
        let entry = unsafe { entry_mut(path.segment, slot) };
        if entry.owns() && entry.blocks() > blocks_max {
            return Err(value);
        }
        let old = entry.expiry();
        let expiry = expiry.unwrap_or(old);
        with_payload(value, &mut self.ledger, |payload, ledger| {
            entry.set(payload, expiry, ledger)
        });
        if let Some(clock) = clock {
            entry.touch(clock);
        }
        self.expiry_changed(&path, old, expiry);
        Ok(Some(Overwritten { expiry: old }))
    }

    /// Gives an existing `key` another expiry, or none.
    pub fn set_expiry(&mut self, key: &[u8], hash: KeyHash, expiry: Option<Millis>) -> Option<Overwritten> {
        let old = self.get(key, hash)?.expiry();
        if old != expiry {
            let path = self.own_path(hash);
            // Found just before.
            let slot = path.find(key, hash).expect("a key that is there");
            // SAFETY: the path is owned.
            unsafe { entry_mut(path.segment, slot) }.set_expiry(expiry, &mut self.ledger);
            self.expiry_changed(&path, old, expiry);
        }
        Some(Overwritten { expiry: old })
    }

    /// The string at `key`, to change a part of it.
    pub fn string_mut(&mut self, key: &[u8], hash: KeyHash) -> Option<StringMut<'_>> {
        self.spot(key, hash)
            .entry_mut()
            .map(|(entry, ledger, _)| StringMut { entry, ledger })
    }

    /// The value of `key`, to be changed whatever its type.
    pub fn value_mut(&mut self, key: &[u8], hash: KeyHash) -> Option<ValueMut<'_>> {
        let (entry, ledger, hasher) = self.spot(key, hash).entry_mut()?;
        Some(ValueMut { entry, ledger, hasher })
    }

    /// An empty table with this one's hasher, whose frozen views are counted with this one's: for a large set or hash
    /// among its values.
    #[must_use]
    pub fn new_inner(&self) -> Self {
        Self::new(self.hasher.clone(), self.ledger.account().clone())
    }

    /// Where what frozen views keep is counted.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        self.ledger.account()
    }

    /// The hash of `key`, as this table wants it.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        self.hasher.hash(key)
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &[u8], hash: KeyHash) -> Option<Removed> {
        let entry = self.take_entry(key, hash)?;
        let mut ledger = Ledger::new(self.ledger.account().clone());
        let bytes = entry.memory_bytes();
        self.ledger.remove(bytes);
        ledger.add(bytes);
        Some(Removed {
            entry: Some(entry),
            ledger,
        })
    }

    /// Takes `key` out and frees it; gives the expiry it had.
    pub fn delete(&mut self, key: &[u8], hash: KeyHash) -> Option<Overwritten> {
        let entry = self.take_entry(key, hash)?;
        let expiry = entry.expiry();
        entry.leave(&mut self.ledger);
        Some(Overwritten { expiry })
    }

    /// Takes out and frees the entry at this address, whatever stands above the address.
    ///
    /// # Safety
    /// - The entry is in the table.
    pub(crate) unsafe fn delete_entry(&mut self, address: NonNull<u8>) {
        // SAFETY: the table holds the entry, as promised; the reference ends before anything is changed.
        let hash = self.hash(unsafe { Entry::from_raw_ref(&address) }.key());
        let path = self.own_path(hash);
        if let Some(slot) = path.segment.find_address(address, path.tag(hash)) {
            self.take_slot(path, slot, hash).leave(&mut self.ledger);
        }
    }

    fn take_entry(&mut self, key: &[u8], hash: KeyHash) -> Option<Entry> {
        self.get(key, hash)?;
        let path = self.own_path(hash);
        let slot = path.find(key, hash)?;
        Some(self.take_slot(path, slot, hash))
    }

    /// Takes out the entry of a slot at the end of an owned path.
    fn take_slot(&mut self, path: Path, slot: usize, hash: KeyHash) -> Entry {
        // SAFETY: the path is owned.
        let entry = unsafe { path.segment.take(slot) };
        let expiring = i64::from(entry.expiry().is_some());
        path.adjust(-1, -expiring, NEVER);
        self.shrink(path, hash);
        entry
    }

    /// Puts value, expiry and clock of a removed entry under `key`, whatever it had.
    ///
    /// Panics if the entry comes from a table with another account.
    pub fn insert(&mut self, key: &[u8], hash: KeyHash, removed: Removed) -> Option<Overwritten> {
        let path = self.own_path(hash);
        let entry = removed.under(key, path.tag(hash), &mut self.ledger);
        let Some(slot) = path.find(key, hash) else {
            self.add(path, hash, entry);
            return None;
        };
        let expiry = entry.expiry();
        // SAFETY: the path is owned.
        let replaced = std::mem::replace(unsafe { entry_mut(path.segment, slot) }, entry);
        let old = replaced.expiry();
        replaced.leave(&mut self.ledger);
        self.expiry_changed(&path, old, expiry);
        Some(Overwritten { expiry: old })
    }

    /// A copy of the entry of `key`, sharing nothing with it.
    #[must_use]
    pub fn duplicate(&self, key: &[u8], hash: KeyHash) -> Option<Removed> {
        let mut ledger = Ledger::new(self.ledger.account().clone());
        let entry = self.get(key, hash)?.duplicate(&mut ledger);
        Some(Removed {
            entry: Some(entry),
            ledger,
        })
    }

    fn expiry_changed(&mut self, path: &Path, old: Option<Millis>, new: Option<Millis>) {
        let expiring = i64::from(new.is_some()) - i64::from(old.is_some());
        if expiring != 0 || new.is_some() {
            path.adjust(0, expiring, new.map_or(NEVER, |Millis(expiry)| expiry));
        }
    }
}

impl Container for Table {
    fn memory_bytes(&self) -> usize {
        self.ledger.bytes() as usize
    }

    fn blocks(&self) -> usize {
        self.len() as usize
    }

    fn fork(&self) -> Self {
        if !self.root.is_none() {
            // SAFETY: the table holds its root.
            unsafe { node::share(self.root) };
        }
        Self {
            root: self.root,
            hasher: self.hasher.clone(),
            ledger: self.ledger.fork(),
        }
    }

    fn release(mut self) {
        let root = std::mem::replace(&mut self.root, Child::NONE);
        let account = self.ledger.account().clone();
        // What is left is an empty table, which drops as one.
        self.ledger = Ledger::new(account.clone());
        if !root.is_none() {
            // SAFETY: the table's own reference, not used again.
            unsafe { node::release(root, &account) };
        }
    }

    fn deep_copy(&self, account: &Arc<Account>) -> Self {
        let mut copy = Self::new(self.hasher.clone(), account.clone());
        for entry in self.iter() {
            let hash = self.hasher.hash(entry.key());
            let path = copy.own_path(hash);
            let entry = entry.duplicate(&mut copy.ledger);
            copy.add(path, hash, entry);
        }
        copy
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if !self.root.is_none() {
            // SAFETY: the table's own reference, not used again.
            unsafe { node::leave(self.root, &mut self.ledger) };
        }
        debug_assert!(
            std::thread::panicking() || self.ledger.bytes() == 0,
            "bytes left in an empty table"
        );
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len())
            .field("memory_bytes", &self.memory_bytes())
            .finish()
    }
}

/// The entry in a slot of an owned segment, to change.
///
/// # Safety
/// - The segment's only holder is the table from which the result is borrowed.
/// - The slot holds an entry.
unsafe fn entry_mut<'a>(segment: Segment, slot: usize) -> &'a mut Entry {
    // SAFETY: as promised.
    let groups = unsafe { segment.groups_mut() };
    groups[slot / SLOTS][slot % SLOTS]
        .as_mut()
        .expect("a slot that holds an entry")
}

/// An entry taken out of its table. Dropping it, anywhere, frees it.
#[derive(Debug)]
pub struct Removed {
    /// There until the drop or until it is put under another key.
    entry: Option<Entry>,
    ledger: Ledger,
}

impl Removed {
    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        self.entry.as_ref().expect("an entry until it is consumed")
    }

    /// About how many heap blocks dropping it frees: what decides between freeing here and on another thread.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.entry().blocks()
    }

    /// The entry, moved to `key` and into `ledger`.
    fn under(mut self, key: &[u8], tag: u16, ledger: &mut Ledger) -> Entry {
        assert!(
            Arc::ptr_eq(self.ledger.account(), ledger.account()),
            "an entry of another keyspace"
        );
        let mut entry = self.entry.take().expect("an entry until it is consumed");
        ledger.add(entry.memory_bytes());
        self.ledger.remove(entry.memory_bytes());
        entry.move_to(tag, key, entry.expiry(), ledger);
        entry
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            entry.leave(&mut self.ledger);
        }
    }
}

/// A value in a table, open for changes that keep its key and its expiry.
pub struct ValueMut<'a> {
    entry: &'a mut Entry,
    ledger: &'a mut Ledger,
    hasher: &'a Arc<Hasher>,
}

impl ValueMut<'_> {
    /// The value as it is now.
    #[must_use]
    pub fn value(&self) -> ValueRef<'_> {
        self.entry.value()
    }

    /// The entry as it is now.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        self.entry
    }

    /// The block of a small collection. Panics, at the first use, if the value is none.
    pub fn pack_mut(&mut self) -> PackMut<'_> {
        PackMut {
            entry: self.entry,
            ledger: self.ledger,
        }
    }

    /// Changes a large collection. Panics if the value is none.
    pub fn object_mut<R>(&mut self, change: impl FnOnce(ObjectMut<'_>) -> R) -> R {
        self.entry.object_mut(self.ledger, change)
    }

    /// Puts another value in place of this one.
    pub fn replace(&mut self, value: NewValue<'_>) {
        let expiry = self.entry.expiry();
        with_payload(value, self.ledger, |payload, ledger| {
            self.entry.set(payload, expiry, ledger);
        });
    }

    /// An empty table for a large set or hash.
    #[must_use]
    pub fn new_table(&self) -> Table {
        Table::new(self.hasher.clone(), self.ledger.account().clone())
    }

    /// Where what frozen views keep is counted: what containers for this table are made with.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        self.ledger.account()
    }
}

impl std::fmt::Debug for ValueMut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.entry.fmt(f)
    }
}

/// The block of a small collection in an entry.
#[derive(Debug)]
pub struct PackMut<'a> {
    entry: &'a mut Entry,
    ledger: &'a mut Ledger,
}

impl Bytes for PackMut<'_> {
    fn as_slice(&self) -> &[u8] {
        match self.entry.value() {
            ValueRef::Pack(_, bytes) => bytes,
            other => unreachable!("a {} in one block", other.value_type().name()),
        }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        self.entry.pack_bytes_mut(self.ledger)
    }

    fn splice(&mut self, at: usize, remove: usize, insert: &[&[u8]]) {
        self.entry.splice_pack(at, remove, insert, self.ledger);
    }
}

/// A string in a table, open for partial changes. An integer becomes its text at the first change.
#[derive(Debug)]
pub struct StringMut<'a> {
    entry: &'a mut Entry,
    ledger: &'a mut Ledger,
}

impl StringMut<'_> {
    /// Adds `bytes` at the end; gives the new length.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        self.entry.append(bytes, self.ledger)
    }

    /// Writes `bytes` at `offset`, filling with zeros what lies between the end and there; gives the new length.
    /// Writing nothing changes nothing.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return match self.entry.value() {
                crate::ValueRef::Int(number) => number.to_string().len(),
                crate::ValueRef::Bytes(bytes) => bytes.len(),
                crate::ValueRef::Chunked(string) => string.len(),
                _ => unreachable!("a string"),
            };
        }
        self.entry.write_at(offset, bytes, self.ledger)
    }

    /// The entry as it is now.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        self.entry
    }
}
