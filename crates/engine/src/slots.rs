//! Slots: the only way to change a key. A commit names its event, and does all that a change entails.

use crate::keys::{Event, Expiry, StrRef, Writer};
use base::Millis;
use keyspace::{Entry, KeyHash, NewValue, Removed};

/// The place of one key, whatever is there.
pub struct KeySlot<'c, 'a> {
    keys: &'c mut Writer<'a>,
    key: &'c [u8],
    hash: KeyHash,
}

impl<'c, 'a> KeySlot<'c, 'a> {
    pub(crate) fn new(keys: &'c mut Writer<'a>, key: &'c [u8], hash: KeyHash) -> Self {
        Self { keys, key, hash }
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
        if matches!(self.entry().map(StrRef::of), Some(Ok(StrRef::Chunked(_))))
            && let Some(removed) = self.detach()
        {
            self.keys.reader.data.discard(removed);
        }
    }

    /// Puts a value, with its expiry, at this key, in place of what is there.
    pub fn put(mut self, value: Removed, event: Event) {
        self.make_way();
        let (key, hash) = (self.key, self.hash);
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

    /// Stamps the access clock of what is there (a 24-bit value).
    pub fn stamp(&self, clock: u32) {
        if let Some(entry) = self.entry() {
            entry.touch(clock);
        }
    }
}

/// The place of one key, where a string is or nothing.
pub struct StringSlot<'c, 'a> {
    slot: KeySlot<'c, 'a>,
}

impl<'c, 'a> StringSlot<'c, 'a> {
    pub(crate) fn new(slot: KeySlot<'c, 'a>) -> Self {
        Self { slot }
    }

    /// The string that is there now.
    #[must_use]
    pub fn get(&self) -> Option<StrRef<'_>> {
        // The slot was made after checking that no other type is here.
        self.slot.entry().and_then(|entry| StrRef::of(entry).ok())
    }

    /// When it expires, if it does.
    #[must_use]
    pub fn expiry(&self) -> Option<Millis> {
        self.slot.expiry()
    }

    /// The slot itself, for what can be done to any value.
    #[must_use]
    pub fn into_key_slot(self) -> KeySlot<'c, 'a> {
        self.slot
    }

    /// Replaces the string. Text of a canonical integer is stored as an integer, as stock does.
    pub fn set_bytes(self, bytes: &[u8], expiry: Expiry, event: Event) {
        self.set(NewValue::Bytes(bytes), expiry, event);
    }

    /// Replaces the string with text that is never stored as an integer.
    pub fn set_raw(self, bytes: &[u8], expiry: Expiry, event: Event) {
        self.set(NewValue::RawBytes(bytes), expiry, event);
    }

    /// Replaces the string with the text of an integer.
    pub fn set_int(self, number: i64, expiry: Expiry, event: Event) {
        self.set(NewValue::Int(number), expiry, event);
    }

    fn set(mut self, value: NewValue<'_>, expiry: Expiry, event: Event) {
        let (key, hash) = (self.slot.key, self.slot.hash);
        let expiry = match expiry {
            Expiry::Keep => self.slot.expiry(),
            Expiry::Clear => None,
            Expiry::At(at) => Some(at),
        };
        self.slot.make_way();
        self.slot.database().set(key, hash, value, expiry);
        self.slot.keys.stamp_new(key, hash);
        self.slot.keys.note_expiry(key, expiry);
        self.slot.keys.commit(key, event);
    }

    /// Appends to the string, creating it if absent; its new length.
    pub fn append(mut self, bytes: &[u8], event: Event) -> usize {
        let (key, hash) = (self.slot.key, self.slot.hash);
        let length = match self.slot.database().string_mut(key, hash) {
            Some(mut string) => {
                let length = string.append(bytes);
                self.slot.keys.stamp_used(key, hash);
                length
            }
            None => {
                self.slot.database().set(key, hash, NewValue::Bytes(bytes), None);
                self.slot.keys.stamp_new(key, hash);
                bytes.len()
            }
        };
        self.slot.keys.commit(key, event);
        length
    }

    /// Overwrites the string from `offset` on, filling a gap with zero bytes and creating it if absent; its new
    /// length.
    pub fn write_at(mut self, offset: usize, bytes: &[u8], event: Event) -> usize {
        let (key, hash) = (self.slot.key, self.slot.hash);
        if self.slot.exists() {
            self.slot.keys.stamp_used(key, hash);
        } else {
            self.slot.database().set(key, hash, NewValue::RawBytes(b""), None);
            self.slot.keys.stamp_new(key, hash);
        }
        let length = self
            .slot
            .database()
            .string_mut(key, hash)
            .map_or(0, |mut string| string.write_at(offset, bytes));
        self.slot.keys.commit(key, event);
        length
    }
}
