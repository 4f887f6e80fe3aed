//! Hashes as commands see them: fields whose time has passed are not there.

use super::KeySlot;
use crate::error::{Error, Result};
use crate::keys::{Data, Event, Reader, StrRef, WriteCtx, Writer};
use crate::session::Kind;
use base::{DbIndex, Millis, Rng};
use keyspace::{ExpiredFields, Field, FieldExpiry, HashBuilder, HashMut, HashRef, NewValue, Pack, Text};

/// A hash without the fields whose time has passed.
#[derive(Clone, Copy)]
pub struct HashView<'a> {
    hash: HashRef<'a>,
    /// Fields that expire at this moment or before are hidden; `None` hides nothing.
    hidden_until: Option<Millis>,
}

impl<'a> HashView<'a> {
    pub(crate) fn new(hash: HashRef<'a>, hidden_until: Option<Millis>) -> Self {
        let all_are_shown = match (hash.soonest_expiry(), hidden_until) {
            (Some(soonest), Some(now)) => soonest > now,
            _ => true,
        };
        Self {
            hash,
            hidden_until: if all_are_shown { None } else { hidden_until },
        }
    }

    fn shows(self, field: &Field<'_>) -> bool {
        match (field.expiry, self.hidden_until) {
            (Some(at), Some(now)) => at > now,
            _ => true,
        }
    }

    /// The field of this name.
    #[must_use]
    pub fn get(self, name: &[u8]) -> Option<Field<'a>> {
        self.hash.get(name).filter(|field| self.shows(field))
    }

    /// The number of fields. Takes time only if some may be hidden.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a hash at a key has fields")]
    pub fn len(self) -> u64 {
        match self.hidden_until {
            None => self.hash.len(),
            Some(_) => self.iter().count() as u64,
        }
    }

    /// All fields.
    pub fn iter(self) -> impl Iterator<Item = Field<'a>> {
        self.hash.iter().filter(move |field| self.shows(field))
    }

    /// A random field; `None` if all are hidden.
    #[must_use]
    pub fn random(self, rng: &mut Rng) -> Option<Field<'a>> {
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let field = self.hash.random(rng)?;
            if self.shows(&field) {
                return Some(field);
            }
        }
        let shown = self.len();
        (shown > 0)
            .then(|| self.iter().nth(rng.below(shown) as usize))
            .flatten()
    }

    /// Whether the fields lie in one block, where all together are found as fast as one.
    #[must_use]
    pub fn is_small(self) -> bool {
        matches!(self.hash, HashRef::Pack(_))
    }

    /// Visits about `count` fields from `cursor` on, and gives the cursor to go on from.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Field<'_>)) -> u64 {
        self.hash.scan(cursor, count, &mut |field| {
            if self.shows(&field) {
                visit(field);
            }
        })
    }
}

/// The place of one key, where a hash is or nothing.
///
/// A field whose time has passed is deleted when a change comes upon it, as it would have been by the expiry cycle.
pub struct HashSlot<'c, 'a> {
    slot: KeySlot<'c, 'a>,
    hidden_until: Option<Millis>,
}

impl<'c, 'a> HashSlot<'c, 'a> {
    pub(crate) fn new(slot: KeySlot<'c, 'a>) -> Self {
        let hidden_until = slot.keys.hides_until();
        Self { slot, hidden_until }
    }

    /// The hash that is there now.
    #[must_use]
    pub fn fields(&self) -> Option<HashView<'_>> {
        // The slot was made after checking that no other type is here.
        let hash = HashRef::of(self.slot.value()?)?;
        Some(HashView::new(hash, self.hidden_until))
    }

    /// The field of this name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Field<'_>> {
        self.fields()?.get(name)
    }

    fn hash_mut(&mut self) -> Option<HashMut<'_>> {
        let (key, hash, encodings) = (self.slot.key, self.slot.hash, self.slot.encodings());
        self.slot.database().hash_mut(key, hash, &encodings)
    }

    /// Gives a field a value; says whether it is new. Must be committed.
    pub fn set(&mut self, name: &[u8], value: &[u8], expiry: FieldExpiry) -> bool {
        self.settle(name);
        if let Some(mut hash) = self.hash_mut() {
            return hash.insert(name, value, expiry);
        }
        self.create(std::iter::once((name, value)), expiry);
        true
    }

    /// Gives several fields values; how many are new. Must be committed.
    pub fn set_all<'b>(
        &mut self,
        pairs: impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone,
        expiry: FieldExpiry,
    ) -> u64 {
        if !self.slot.exists() {
            return self.create(pairs, expiry);
        }
        pairs
            .map(|(name, value)| u64::from(self.set(name, value, expiry)))
            .sum()
    }

    /// Makes a hash of these fields; how many they are.
    fn create<'b>(&mut self, pairs: impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone, expiry: FieldExpiry) -> u64 {
        let at = match expiry {
            FieldExpiry::At(at) => Some(at),
            FieldExpiry::Keep | FieldExpiry::Clear => None,
        };
        let mut builder = HashBuilder::new(&self.slot.encodings(), self.slot.db().new_table());
        let mut count = 0;
        for (name, value) in pairs.clone() {
            if builder.push(name, value, at).is_err() {
                // A name that is given twice: one by one, then, in a hash that is there.
                self.slot
                    .create(NewValue::Pack(Pack::Hash, &keyspace::hash::empty_pack()));
                return self.set_all(pairs, expiry);
            }
            count += 1;
        }
        self.slot.create(builder.finish());
        count
    }

    /// Takes a field out; says whether it was there. Must be committed.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.settle(name);
        self.hash_mut().is_some_and(|mut hash| hash.remove(name))
    }

    /// Gives a field an expiry, or none; says whether it is there. Must be committed.
    pub fn set_expiry(&mut self, name: &[u8], expiry: Option<Millis>) -> bool {
        self.settle(name);
        self.hash_mut().is_some_and(|mut hash| hash.set_expiry(name, expiry))
    }

    /// Deletes a field whose time has passed.
    fn settle(&mut self, name: &[u8]) {
        let Some(now) = self.hidden_until else { return };
        if self.slot.db().hashes_with_expiring_fields() == 0 {
            return;
        }
        let Some(hash) = self.slot.value().and_then(HashRef::of) else {
            return;
        };
        let expiry = || hash.get(name).and_then(|field| field.expiry);
        if hash.expiring_len() == 0 || expiry().is_none_or(|at| at > now) {
            return;
        }
        let Some(mut hash) = self.hash_mut() else { return };
        hash.remove(name);
        let expired = ExpiredFields {
            emptied: hash.get().is_empty(),
            key: self.slot.key.to_vec(),
            fields: vec![name.to_vec()],
        };
        let db = self.slot.keys.db();
        self.slot.keys.reader.data.fields_expired(db, &expired);
    }

    /// Says that so many changes were made. May be called several times, for an event each.
    pub fn commit(&mut self, changes: u64, event: Event) {
        self.slot.commit(changes, event);
    }

    /// Deletes the key if no field is left.
    pub fn finish(self) {
        if self.slot.value().and_then(HashRef::of).is_some_and(HashRef::is_empty) {
            self.slot.remove_emptied();
        }
    }
}

impl<'a> WriteCtx<'a> {
    /// The place of `key`, where a hash is or nothing.
    pub fn hash_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<HashSlot<'c, 'a>> {
        self.keys.hash_slot(key)
    }
}

impl<'a> Writer<'a> {
    /// The place of `key`, where a hash is or nothing.
    pub fn hash_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<HashSlot<'c, 'a>> {
        let slot = self.key_slot(key);
        if slot.value().is_some_and(|value| HashRef::of(value).is_none()) {
            return Err(Error::WrongType);
        }
        Ok(HashSlot::new(slot))
    }
}

impl Reader<'_> {
    /// The hash at `key`, or an error when another type is there.
    pub fn hash(&mut self, key: &[u8]) -> Result<Option<HashView<'_>>> {
        let hidden_until = self.hides_until();
        let Some(entry) = self.get(key) else { return Ok(None) };
        let hash = HashRef::of(entry.value()).ok_or(Error::WrongType)?;
        Ok(Some(HashView::new(hash, hidden_until)))
    }

    /// Up to which expiry fields are hidden from whoever asks: to the primary's stream every field is there.
    fn hides_until(&self) -> Option<Millis> {
        (self.from != Kind::Primary).then_some(self.now)
    }
}

impl Data {
    /// Deletes fields whose time has come, `limit` at most, and says so to watchers, replicas and listeners; `None` if
    /// there are none, else how many it came upon, at least 1.
    pub(crate) fn expire_fields(&mut self, db: DbIndex, now: Millis, limit: usize) -> Option<usize> {
        let expired = self.keyspace.db_mut(db).expire_fields(now, limit)?;
        if !expired.fields.is_empty() {
            self.fields_expired(db, &expired);
        }
        Some(expired.fields.len().max(1))
    }

    /// Tells of fields that were deleted because their time had come. The key goes with the last one.
    fn fields_expired(&mut self, db: DbIndex, expired: &ExpiredFields) {
        const HEXPIRED: Event = Event::new('h', "hexpired");
        let key = &expired.key[..];
        let words: Vec<&[u8]> = [b"HDEL", key]
            .into_iter()
            .chain(expired.fields.iter().map(|name| &name[..]))
            .collect();
        self.propagation.effect(db, &words);
        self.watch.touch(db, key);
        self.notify(db, HEXPIRED, key);
        let hash = self.keyspace.hash(key);
        if expired.emptied
            && let Some(removed) = self.keyspace.db_mut(db).remove(key, hash)
        {
            self.discard(removed);
            self.replica_expiring.remove(&(db, Box::from(key)));
            self.notify(db, Event::DEL, key);
        }
    }
}

impl<'a> From<Text<'a>> for StrRef<'a> {
    fn from(text: Text<'a>) -> Self {
        match text {
            Text::Int(number) => Self::Int(number),
            Text::Bytes(bytes) => Self::Bytes(bytes),
            Text::Chunked(chunks) => Self::Chunked(chunks),
        }
    }
}
