//! Keys on their way into a keyspace, a few dozen at a time.
//!
//! RDB data comes in an order that means nothing to the keyspace, so each key lands where no cache is warm. Before a batch
//! is put, the places of all its keys are asked for: they arrive together instead of one after the other.

use crate::error::LoadError;
use crate::loader::Duplicates;
use base::{DbIndex, Millis};
use ds::Pack;
use keyspace::{KeyHash, Keyspace, NewValue};
use std::ops::Range;

/// Keys in a batch.
const BATCH_KEYS: usize = 32;

/// Keys with more bytes than this, value included, are put at once: copying them would cost more than waiting.
const STAGED_BYTES_MAX: usize = 1024;

/// A key and its value on their way, all in one database.
pub(crate) struct Batch {
    db: DbIndex,
    duplicates: Duplicates,
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
            staged: Vec::with_capacity(BATCH_KEYS),
            bytes: Vec::new(),
        }
    }

    /// The database that further keys go to. Nothing may be staged for another.
    pub(crate) fn select(&mut self, db: DbIndex) {
        debug_assert!(self.staged.is_empty());
        self.db = db;
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

    /// Puts all that is staged.
    pub(crate) fn flush(&mut self, keyspace: &mut Keyspace) -> Result<(), LoadError> {
        let (staged, bytes) = (std::mem::take(&mut self.staged), std::mem::take(&mut self.bytes));
        let db = keyspace.db(self.db);
        for Staged { hash, .. } in &staged {
            db.prefetch_for_write(*hash);
        }
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
        Ok(())
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
