//! Slots: the only way to change a key. A commit names its event, and does all that a change entails.
//!
//! [`KeySlot`] does what can be done to any value; a file per type has the slot of that type, whose edits end in
//! [`KeySlot::commit`].

mod hash;
mod list;
mod set;
mod stream;
mod string;
mod zset;

use crate::keys::{Event, Expiry, Writer};
use base::Millis;
use keyspace::{Encodings, Entry, KeyHash, NewValue, Removed, ValueMut, ValueRef};

pub use hash::{HashSlot, HashView};
pub use list::ListSlot;
pub use set::SetSlot;
pub use stream::StreamSlot;
pub use string::StringSlot;
pub use zset::ZsetSlot;

/// A value of more heap blocks than this is freed off the engine's thread.
const HEAVY_BLOCKS: usize = 64;

/// The place of one key, whatever is there.
pub struct KeySlot<'c, 'a> {
    keys: &'c mut Writer<'a>,
    key: &'c [u8],
    hash: KeyHash,
    /// Something was put here, and stamped as new.
    created: bool,
}

impl<'c, 'a> KeySlot<'c, 'a> {
    pub(crate) fn new(keys: &'c mut Writer<'a>, key: &'c [u8], hash: KeyHash) -> Self {
        Self {
            keys,
            key,
            hash,
            created: false,
        }
    }

    fn database(&mut self) -> &mut keyspace::Db {
        let db = self.keys.db();
        self.keys.reader.data.keyspace.db_mut(db)
    }

    /// What is there now.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        self.keys.database().get(self.key, self.hash)
    }

    /// Whether anything is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.entry().is_some()
    }

    /// When it expires, if it does.
    #[must_use]
    pub fn expiry(&self) -> Option<Millis> {
        self.entry().and_then(Entry::expiry)
    }

    /// Removes the key; whether it was there. A heavy value is freed off this thread.
    pub fn remove(mut self, event: Event) -> bool {
        let Some(removed) = self.detach() else { return false };
        self.keys.commit(self.key, event);
        self.keys.reader.data.discard(removed);
        true
    }

    /// Removes the key and hands its value and expiry over, to be put elsewhere: the change is counted there.
    pub fn take(mut self, event: Event) -> Option<Removed> {
        let removed = self.detach()?;
        self.keys.tell(self.key, event);
        Some(removed)
    }

    fn detach(&mut self) -> Option<Removed> {
        let (key, hash) = (self.key, self.hash);
        let removed = self.database().remove(key, hash)?;
        self.keys.note_expiry(key, None);
        Some(removed)
    }

    /// Takes away what is there before something else is put in its place, if it is heavy: it is freed off this thread.
    fn make_way(&mut self) {
        if self.entry().is_some_and(|entry| entry.blocks() > HEAVY_BLOCKS)
            && let Some(removed) = self.detach()
        {
            self.keys.reader.data.discard(removed);
        }
    }

    /// Puts a value, with its expiry, at this key, in place of what is there.
    pub fn put(mut self, value: Removed, event: Event) {
        self.make_way();
        let (key, hash) = (self.key, self.hash);
        self.keys.announce_new(key, hash);
        self.database().insert(key, hash, value);
        self.keys.stamp_used(key, hash);
        let expiry = self.expiry();
        self.keys.note_expiry(key, expiry);
        self.keys.commit(key, event);
    }

    /// A copy of what is there, to be put elsewhere.
    #[must_use]
    pub fn copy(&self) -> Option<Removed> {
        self.keys.database().copy_value(self.key, self.hash)
    }

    /// Sets or takes away the expiry; whether the key was there.
    pub fn set_expiry(mut self, expiry: Option<Millis>, event: Event) -> bool {
        let (key, hash) = (self.key, self.hash);
        if !self.database().set_expiry(key, hash, expiry) {
            return false;
        }
        self.keys.stamp_used(key, hash);
        self.keys.note_expiry(key, expiry);
        self.keys.commit(key, event);
        true
    }

    /// Puts a string here, in place of whatever is there. See [`StringSlot::set_bytes`].
    pub fn set_bytes(self, bytes: &[u8], expiry: Expiry, event: Event) {
        StringSlot::new(self).set_bytes(bytes, expiry, event);
    }

    /// Puts a value of any type here, in place of whatever is there.
    pub fn set_value(mut self, value: NewValue<'_>, expiry: Expiry, event: Event) {
        let (key, hash) = (self.key, self.hash);
        let expiry = match expiry {
            Expiry::Keep => None,
            Expiry::Clear => Some(None),
            Expiry::At(at) => Some(Some(at)),
        };
        self.keys.announce_new(key, hash);
        let clock = self.keys.new_stamp();
        let db = self.database();
        if let Err(value) = db.overwrite(key, hash, value, expiry, clock, HEAVY_BLOCKS) {
            let expiry = expiry.unwrap_or_else(|| self.expiry());
            self.make_way();
            self.database().set(key, hash, value, expiry);
            self.keys.stamp_new(key, hash);
        }
        if let Some(expiry) = expiry {
            self.keys.note_expiry(key, expiry);
        }
        self.keys.commit(key, event);
    }

    /// Puts an empty string without an expiry here, in place of whatever is there. Must be committed.
    pub(crate) fn restart_string(mut self) -> StringSlot<'c, 'a> {
        self.keys.announce_new(self.key, self.hash);
        self.make_way();
        self.place(NewValue::RawBytes(b""));
        self.keys.note_expiry(self.key, None);
        StringSlot::new(self)
    }

    /// The slot as that of a string, which must be what is here.
    pub(crate) fn into_string_slot(self) -> StringSlot<'c, 'a> {
        StringSlot::new(self)
    }

    /// The value that is there now.
    #[must_use]
    pub fn value(&self) -> Option<ValueRef<'_>> {
        self.entry().map(Entry::value)
    }

    /// Up to which size collections are kept as one compact block.
    pub(crate) fn encodings(&self) -> Encodings {
        self.keys.reader.data.settings.encodings
    }

    /// The database, to make containers for it.
    pub(crate) fn db(&self) -> &keyspace::Db {
        self.keys.database()
    }

    /// The value that is there, to be edited. A change must be committed.
    pub(crate) fn value_mut(&mut self) -> Option<ValueMut<'_>> {
        let (key, hash) = (self.key, self.hash);
        self.database().value_mut(key, hash)
    }

    /// Puts a value where nothing is, without an expiry. Must be committed.
    pub(crate) fn create(&mut self, value: NewValue<'_>) {
        self.keys.announce_new(self.key, self.hash);
        self.place(value);
    }

    fn place(&mut self, value: NewValue<'_>) {
        let (key, hash) = (self.key, self.hash);
        self.database().set(key, hash, value, None);
        self.keys.stamp_new(key, hash);
        self.created = true;
    }

    /// Puts a value here, without an expiry, in place of whatever is there.
    pub(crate) fn replace(mut self, value: NewValue<'_>, event: Event) {
        self.make_way();
        self.create(value);
        self.keys.note_expiry(self.key, None);
        self.commit(1, event);
    }

    /// Says that what is there was changed, in so many ways as count for `rdb_changes_since_last_save`.
    pub(crate) fn commit(&mut self, changes: u64, event: Event) {
        if !self.created {
            self.keys.stamp_used(self.key, self.hash);
        }
        self.commit_stamped(changes, event);
    }

    /// As [`Self::commit`], where the access clock is stamped already.
    pub(crate) fn commit_stamped(&mut self, changes: u64, event: Event) {
        self.keys.commit_changes(self.key, changes, event);
    }

    /// The access clock of what is there and is changed now, where that does not depend on what it was.
    pub(crate) fn plain_stamp(&self) -> Option<u32> {
        self.keys.plain_stamp()
    }

    /// Takes away a collection that was emptied by a change already committed.
    pub(crate) fn remove_emptied(mut self) {
        if let Some(removed) = self.detach() {
            self.keys.tell(self.key, Event::DEL);
            self.keys.reader.data.discard(removed);
        }
    }

    /// Stamps the access clock of what is there (a 24-bit value).
    pub fn stamp(&self, clock: u32) {
        if let Some(entry) = self.entry() {
            entry.touch(clock);
        }
    }
}
