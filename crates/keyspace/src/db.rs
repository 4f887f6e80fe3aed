//! One database: a table of entries, and what Redis asks of it.

use std::mem;
use std::sync::Arc;

use base::{Millis, Rng};
use ds::account::Account;
use ds::table::{Descent, Expired, Overwritten};
use ds::{Entry, Hasher, KeyHash, NewValue, Object, Removed, StringMut, Table, ValueMut};

use crate::Encodings;
use crate::field_expiry::FieldExpiries;
use crate::hash::{HashMut, HashRef};

/// What an entry takes in the table on average, in bytes: a slot of eight, at four fifths full, and headers.
const TABLE_BYTES_PER_ENTRY: usize = 11;

/// One database.
///
/// Every hash handed in must be that of the key next to it, by [`crate::Keyspace::hash`] of the keyspace it is in.
#[derive(Debug)]
pub struct Db {
    table: Table,
    /// The sum of all expiries, in milliseconds since the epoch.
    expiry_sum: i128,
    /// The hashes whose fields expire.
    field_expiries: FieldExpiries,
}

/// Fields of one hash that were taken out because their time had come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiredFields {
    /// The key of the hash.
    pub key: Vec<u8>,
    /// The names of the fields. None where a search used up its bound.
    pub fields: Vec<Vec<u8>>,
    /// Whether no field is left: the key is to be deleted.
    pub emptied: bool,
}

impl Db {
    pub(crate) fn new(hasher: Arc<Hasher>, account: Arc<Account>) -> Self {
        Self {
            table: Table::new(hasher, account),
            expiry_sum: 0,
            field_expiries: FieldExpiries::default(),
        }
    }

    pub(crate) fn take(&mut self) -> Self {
        Self {
            table: self.table.take(),
            expiry_sum: mem::take(&mut self.expiry_sum),
            field_expiries: mem::take(&mut self.field_expiries),
        }
    }

    pub(crate) fn freeze(&self) -> ds::Frozen {
        self.table.freeze()
    }

    /// Bytes of heap that the database reaches, as the allocator rounds them.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.table.memory_bytes()
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.table.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The number of keys with an expiry.
    #[must_use]
    pub fn expiring_len(&self) -> u64 {
        self.table.expiring_len()
    }

    /// Lays the database out for `keys` keys in all; see [`Table::prepare`].
    pub fn prepare(&mut self, keys: u64) {
        self.table.prepare(keys);
    }

    /// A search for a key, to be taken down beside others so that their cache misses pass side by side.
    #[inline]
    #[must_use]
    pub fn descent(&self, hash: KeyHash, for_write: bool) -> Descent<'_> {
        Descent::new(&self.table, hash, for_write)
    }

    /// The entry of `key`.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &[u8], hash: KeyHash) -> Option<&Entry> {
        self.table.get(key, hash)
    }

    /// Gives `key` this value and this expiry, whatever it had; says whether it existed. A key that existed keeps its
    /// access clock, a new one starts at 0.
    pub fn set(&mut self, key: &[u8], hash: KeyHash, value: NewValue<'_>, expiry: Option<Millis>) -> bool {
        let is_hash = matches!(value, NewValue::Object(Object::Hash(_)));
        let old = self.table.set(key, hash, value, expiry);
        self.value_changed(key, hash, is_hash);
        self.expiry_changed(old, expiry)
    }

    /// As [`Self::set`], with an access clock that came with the value.
    pub fn set_with_clock(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        value: NewValue<'_>,
        expiry: Option<Millis>,
        clock: u32,
    ) -> bool {
        let is_hash = matches!(value, NewValue::Object(Object::Hash(_)));
        let old = self.table.set_with_clock(key, hash, value, expiry, clock);
        self.value_changed(key, hash, is_hash);
        self.expiry_changed(old, expiry)
    }

    #[inline]
    fn value_changed(&mut self, key: &[u8], hash: KeyHash, is_hash: bool) {
        self.field_expiries.forget(key);
        if is_hash {
            self.note_fields(key, hash);
        }
    }

    /// As [`Self::set`], where the entry gets this access clock too, and keeps the expiry it has if `expiry` is `None`. Changes
    /// nothing, and gives the value back, if more than `blocks_max` heap blocks would be freed.
    ///
    /// # Errors
    /// The value.
    pub fn overwrite<'v>(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        value: NewValue<'v>,
        expiry: Option<Option<Millis>>,
        clock: u32,
        blocks_max: usize,
    ) -> Result<(), NewValue<'v>> {
        let is_hash = matches!(value, NewValue::Object(Object::Hash(_)));
        let old = self.table.overwrite(key, hash, value, expiry, clock, blocks_max)?;
        self.value_changed(key, hash, is_hash);
        let before = old.and_then(|old| old.expiry);
        self.expiry_sum += sum(expiry.unwrap_or(before)) - sum(before);
        Ok(())
    }

    /// Gives an existing `key` another expiry, or none; says whether the key exists.
    pub fn set_expiry(&mut self, key: &[u8], hash: KeyHash, expiry: Option<Millis>) -> bool {
        let old = self.table.set_expiry(key, hash, expiry);
        if old.is_some() {
            self.expiry_changed(old, expiry)
        } else {
            false
        }
    }

    /// The string at `key`, to change a part of it. An integer becomes its text at the first change.
    pub fn string_mut(&mut self, key: &[u8], hash: KeyHash) -> Option<StringMut<'_>> {
        self.table.string_mut(key, hash)
    }

    /// The value of `key`, to be changed whatever its type, keeping its expiry.
    pub fn value_mut(&mut self, key: &[u8], hash: KeyHash) -> Option<ValueMut<'_>> {
        self.table.value_mut(key, hash)
    }

    /// The hash at `key`, if one is there, to be changed within these limits.
    pub fn hash_mut<'a>(&'a mut self, key: &'a [u8], hash: KeyHash, encodings: &Encodings) -> Option<HashMut<'a>> {
        let value = self.table.value_mut(key, hash)?;
        HashMut::new(value, encodings, key, &mut self.field_expiries)
    }

    /// How many hashes have fields that expire.
    #[must_use]
    pub fn hashes_with_expiring_fields(&self) -> usize {
        self.field_expiries.len()
    }

    /// Takes up to `limit` fields whose time has come out of a hash that has such; `None` if there is none. The caller
    /// deletes the key if it was emptied.
    pub fn expire_fields(&mut self, now: Millis, limit: usize) -> Option<ExpiredFields> {
        loop {
            let (soonest, key) = self.field_expiries.soonest()?;
            if soonest > now {
                return None;
            }
            let key = key.to_vec();
            let hash = self.table.hash(&key);
            let Some(mut fields) = self.hash_mut(&key, hash, &Encodings::default()) else {
                // Nothing but a hash is noted; what is none any more was forgotten.
                debug_assert!(false, "no hash at a key that is noted as one");
                self.field_expiries.forget(&key);
                continue;
            };
            let due = fields.remove_expired(now, limit);
            let (emptied, bound) = (fields.get().is_empty(), fields.get().soonest_expiry());
            // A bound that was too early has been corrected; one that is still due was searched in part.
            if !due.is_empty() || bound.is_some_and(|bound| bound <= now) {
                return Some(ExpiredFields {
                    key,
                    fields: due,
                    emptied,
                });
            }
        }
    }

    /// Notes when the first field of what is now at `key` expires.
    fn note_fields(&mut self, key: &[u8], hash: KeyHash) {
        let fields = self.table.get(key, hash).and_then(|entry| HashRef::of(entry.value()));
        self.field_expiries.note(key, fields.and_then(HashRef::soonest_expiry));
    }

    /// An empty table for a large set or hash of this database.
    #[must_use]
    pub fn new_table(&self) -> Table {
        self.table.new_inner()
    }

    /// Where what frozen views keep is counted: what containers for this database are made with.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        self.table.account()
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &[u8], hash: KeyHash) -> Option<Removed> {
        let removed = self.table.remove(key, hash)?;
        self.field_expiries.forget(key);
        self.expiry_sum -= sum(removed.entry().expiry());
        Some(removed)
    }

    /// Takes `key` out and frees it here and now; says whether it existed. Cheaper than [`Self::remove`] where neither
    /// the value nor another thread to free it is wanted.
    pub fn delete(&mut self, key: &[u8], hash: KeyHash) -> bool {
        let old = self.table.delete(key, hash);
        self.field_expiries.forget(key);
        self.expiry_changed(old, None)
    }

    /// Puts value, expiry and clock of a removed entry under `key`, whatever it had; says whether it existed.
    ///
    /// Panics if the entry comes from another keyspace.
    pub fn insert(&mut self, key: &[u8], hash: KeyHash, removed: Removed) -> bool {
        let expiry = removed.entry().expiry();
        let old = self.table.insert(key, hash, removed);
        self.note_fields(key, hash);
        self.expiry_changed(old, expiry)
    }

    /// A copy of the entry of `key`, to be inserted elsewhere in this keyspace. It shares nothing with the original.
    #[must_use]
    pub fn copy_value(&self, key: &[u8], hash: KeyHash) -> Option<Removed> {
        self.table.duplicate(key, hash)
    }

    /// A random entry, every one about equally likely.
    pub fn random(&self, rng: &mut Rng) -> Option<&Entry> {
        self.table.random(rng)
    }

    /// A random key of those with an expiry, every one equally likely.
    pub fn random_expiring(&self, rng: &mut Rng) -> Option<&Entry> {
        self.table.random_expiring(rng)
    }

    /// Visits up to `count` entries at a random place; says how many. See [`Table::sample`].
    pub fn sample<'a>(
        &'a self,
        which: ds::table::Sampled,
        count: usize,
        rng: &mut Rng,
        visit: &mut dyn FnMut(&'a Entry),
    ) -> usize {
        self.table.sample(which, count, rng, visit)
    }

    /// The key that expires first, or nearly so. See [`Table::soonest_entry`].
    #[must_use]
    pub fn soonest_entry(&self) -> Option<&Entry> {
        self.table.soonest_entry()
    }

    /// Visits `count` entries from `cursor` on, or a few more, and gives the next cursor; 0 starts, and as an answer
    /// means the end. Cursors are below 2⁴⁸, and any number is a valid one.
    ///
    /// Every key that is there from the first call to the last is visited, once, whatever else happens in between.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(&Entry)) -> u64 {
        self.table.scan(cursor, count, visit)
    }

    /// All entries, in hash order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.table.iter()
    }

    /// No key expires before this moment; `None` if none expires at all. It is a bound: the key that set it may have
    /// got a later expiry since, or be gone. [`Self::next_expired`] corrects it.
    #[must_use]
    pub fn soonest_expiry(&self) -> Option<Millis> {
        self.table.soonest_expiry()
    }

    /// A key whose time has come: its expiry is `now` or earlier. `None` where [`Self::expire_step`] gives `None` or
    /// `More`.
    #[must_use]
    pub fn next_expired(&self, now: Millis) -> Option<&Entry> {
        match self.table.next_expired(now) {
            Expired::Found(entry) => Some(entry),
            Expired::None | Expired::More => None,
        }
    }

    /// Looks for a key whose time has come, through a bounded part of the database.
    #[must_use]
    pub fn expire_step(&self, now: Millis) -> Expired<'_> {
        self.table.next_expired(now)
    }

    /// The average time to live of the keys with an expiry, in milliseconds; 0 if there are none.
    #[must_use]
    pub fn average_ttl(&self, now: Millis) -> i64 {
        match i128::from(self.expiring_len()) {
            0 => 0,
            count => (self.expiry_sum / count - i128::from(now.0)).clamp(0, i64::MAX.into()) as i64,
        }
    }

    /// About how many bytes the table takes for its keys, without the entries.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        self.len() * TABLE_BYTES_PER_ENTRY as u64
    }

    /// The memory that this entry takes, in bytes, its share of the table included.
    #[must_use]
    pub fn bytes_of(&self, entry: &Entry) -> usize {
        entry.memory_bytes() + TABLE_BYTES_PER_ENTRY
    }

    fn expiry_changed(&mut self, old: Option<Overwritten>, new: Option<Millis>) -> bool {
        self.expiry_sum += sum(new) - sum(old.and_then(|old| old.expiry));
        old.is_some()
    }
}

fn sum(expiry: Option<Millis>) -> i128 {
    expiry.map_or(0, |Millis(expiry)| i128::from(expiry))
}
