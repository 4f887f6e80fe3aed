//! Keys on their way into a keyspace, a few dozen at a time.
//!
//! RDB data comes in an order that means nothing to the keyspace, so each key lands where no cache is warm. Before a batch
//! is put, the places of all its keys are looked for side by side.
//!
//! ```text
//! announced 2,000,000 keys      come: 4,096        32,768          262,144
//!                               laid out for: 32,768 ─► 262,144 ─► 2,000,000
//! ```

use crate::error::LoadError;
use crate::loader::Duplicates;
use base::{DbIndex, Millis};
use ds::Pack;
use keyspace::{Descent, KeyHash, Keyspace, NewValue};
use std::ops::Range;

/// Keys in a batch.
const BATCH_KEYS: usize = 32;

/// A database is laid out for the keys that its head announces once so many have come,
const LAID_OUT_FROM_KEYS: u64 = 4096;
/// and at first for so many times that, in steps of as much: what an announcement alone claims takes no memory.
const LAID_OUT_AHEAD: u64 = 8;

/// Keys with more bytes than this, value included, are put at once: copying them would cost more than waiting.
const STAGED_BYTES_MAX: usize = 1024;

/// A key and its value on their way, all in one database.
pub(crate) struct Batch {
    db: DbIndex,
    duplicates: Duplicates,
    /// How many keys the database is said to have.
    announced: u64,
    /// With so many it is laid out for more.
    prepare_at: u64,
    staged: Vec<Staged>,
    /// The bytes of keys and values, one after the other.
    bytes: Vec<u8>,
}

struct Staged {
    hash: KeyHash,
    key: Range<usize>,
    value: StagedValue,
    attributes: Attributes,
}

enum StagedValue {
    Int(i64),
    Bytes(Range<usize>),
    Pack(Pack, Range<usize>),
}

/// What is put with a key and its value.
#[derive(Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) expiry: Option<Millis>,
    pub(crate) clock: u32,
}

impl Batch {
    pub(crate) fn new(duplicates: Duplicates) -> Self {
        Self {
            db: DbIndex(0),
            duplicates,
            announced: 0,
            prepare_at: LAID_OUT_FROM_KEYS,
            staged: Vec::with_capacity(BATCH_KEYS),
            bytes: Vec::new(),
        }
    }

    /// The database that further keys go to. Nothing may be staged for another.
    pub(crate) fn select(&mut self, db: DbIndex) {
        debug_assert!(self.staged.is_empty());
        self.db = db;
        self.announce(0);
    }

    /// The database will have so many keys, says whoever writes them.
    pub(crate) fn announce(&mut self, keys: u64) {
        (self.announced, self.prepare_at) = (keys, LAID_OUT_FROM_KEYS);
    }

    /// Takes a value: into the batch, or behind it into the keyspace if it is large.
    #[inline]
    pub(crate) fn push(
        &mut self,
        keyspace: &mut Keyspace,
        key: &[u8],
        value: NewValue<'_>,
        attributes: Attributes,
    ) -> Result<(), LoadError> {
        let hash = keyspace.hash(key);
        let (key, value) = match value {
            NewValue::Int(number) if key.len() <= STAGED_BYTES_MAX => (self.keep(key), StagedValue::Int(number)),
            NewValue::Bytes(bytes) if key.len() + bytes.len() <= STAGED_BYTES_MAX => {
                (self.keep(key), StagedValue::Bytes(self.keep(bytes)))
            }
            NewValue::Pack(pack, bytes) if key.len() + bytes.len() <= STAGED_BYTES_MAX => {
                (self.keep(key), StagedValue::Pack(pack, self.keep(bytes)))
            }
            large => {
                self.flush(keyspace)?;
                return self.put(keyspace, key, hash, large, attributes);
            }
        };
        self.staged.push(Staged {
            hash,
            key,
            value,
            attributes,
        });
        if self.staged.len() == BATCH_KEYS {
            self.flush(keyspace)
        } else {
            Ok(())
        }
    }

    #[inline]
    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        from..self.bytes.len()
    }

    /// Asks memory for the places of all keys that are staged, their cache misses side by side.
    fn fetch(&self, keyspace: &Keyspace) {
        let db = keyspace.db(self.db);
        let mut searches = [None; BATCH_KEYS];
        for (search, item) in searches.iter_mut().zip(&self.staged) {
            *search = Some(db.descent(item.hash, true));
        }
        Descent::take_down(&mut searches);
        for search in searches.iter().flatten() {
            // None is expected: this asks for where a search goes on.
            let _ = search.likely();
        }
    }

    /// Puts all that is staged.
    pub(crate) fn flush(&mut self, keyspace: &mut Keyspace) -> Result<(), LoadError> {
        self.fetch(keyspace);
        let (staged, bytes) = (std::mem::take(&mut self.staged), std::mem::take(&mut self.bytes));
        for item in &staged {
            let value = match &item.value {
                StagedValue::Int(number) => NewValue::Int(*number),
                StagedValue::Bytes(range) => NewValue::Bytes(&bytes[range.clone()]),
                StagedValue::Pack(pack, range) => NewValue::Pack(*pack, &bytes[range.clone()]),
            };
            self.put(keyspace, &bytes[item.key.clone()], item.hash, value, item.attributes)?;
        }
        (self.staged, self.bytes) = (staged, bytes);
        self.staged.clear();
        self.bytes.clear();
        self.prepare(keyspace);
        Ok(())
    }

    /// Lays the database out for more of what was announced, once enough of it has come.
    fn prepare(&mut self, keyspace: &mut Keyspace) {
        let keys = keyspace.db(self.db).len();
        if keys < self.prepare_at || self.announced < keys.saturating_mul(2) {
            return;
        }
        let laid_out = self.announced.min(keys.saturating_mul(LAID_OUT_AHEAD));
        keyspace.db_mut(self.db).prepare(laid_out);
        self.prepare_at = laid_out;
    }

    #[inline]
    fn put(
        &self,
        keyspace: &mut Keyspace,
        key: &[u8],
        hash: KeyHash,
        value: NewValue<'_>,
        attributes: Attributes,
    ) -> Result<(), LoadError> {
        let db = keyspace.db_mut(self.db);
        let Attributes { expiry, clock } = attributes;
        if db.set_with_clock(key, hash, value, expiry, clock) && self.duplicates == Duplicates::Refused {
            return Err(LoadError::DuplicateKey {
                db: self.db,
                key: key.to_vec(),
            });
        }
        Ok(())
    }
}
