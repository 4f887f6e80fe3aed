//! The slot of a string.

use super::KeySlot;
use crate::keys::{Event, Expiry, StrRef};
use base::Millis;
use keyspace::NewValue;

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

    fn set(self, value: NewValue<'_>, expiry: Expiry, event: Event) {
        self.slot.set_value(value, expiry, event);
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
                self.slot.keys.announce_new(key, hash);
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
            self.slot.keys.announce_new(key, hash);
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

    /// Makes the string at least `length` bytes long, with zeros at its end, creating it if absent; whether that changed
    /// it. An integer becomes its text. Must be committed if it did.
    pub(crate) fn stretch(&mut self, length: usize) -> bool {
        let Some(string) = self.get() else {
            self.slot.create(NewValue::RawBytes(b""));
            self.patch(length - 1, &[0]);
            return true;
        };
        if string.len() < length {
            self.patch(length - 1, &[0]);
            return true;
        }
        if let Some(first) = string.to_short().as_ref().and_then(|text| text.first()).copied() {
            self.patch(0, &[first]);
        }
        false
    }

    /// Overwrites the string that is there from `offset` on. Must be committed.
    pub(crate) fn patch(&mut self, offset: usize, bytes: &[u8]) {
        let (key, hash) = (self.slot.key, self.slot.hash);
        if let Some(mut string) = self.slot.database().string_mut(key, hash) {
            string.write_at(offset, bytes);
        }
    }

    /// Replaces the string, or creates it; its expiry stays, and it counts as one that was changed in place. Must be
    /// committed.
    pub(crate) fn rewrite(&mut self, bytes: &[u8]) {
        if !self.slot.exists() {
            self.slot.create(NewValue::RawBytes(b""));
            return self.patch(0, bytes);
        }
        let (key, hash, expiry) = (self.slot.key, self.slot.hash, self.slot.expiry());
        self.slot.database().set(key, hash, NewValue::RawBytes(bytes), expiry);
        self.stretch(bytes.len());
    }

    /// Takes the expiry away. Must be committed.
    pub(crate) fn clear_expiry(&mut self) {
        let (key, hash) = (self.slot.key, self.slot.hash);
        self.slot.database().set_expiry(key, hash, None);
        self.slot.keys.note_expiry(key, None);
    }

    /// Says that the string was changed, in so many ways as count for `rdb_changes_since_last_save`.
    pub(crate) fn commit(mut self, changes: u64, event: Event) {
        self.slot.commit(changes, event);
    }

    /// Says that the string was changed in a way that has no event.
    pub(crate) fn commit_unannounced(self) {
        self.slot.keys.commit_unannounced(self.slot.key);
    }
}
