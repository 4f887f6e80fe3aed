//! What a dataset is after so much of a replication stream, worked out a second time: plain maps, written from the commands'
//! documentation and sharing nothing with the engine.

use std::collections::BTreeMap;

use base::DbIndex;
use keyspace::{Keyspace, ValueRef};

/// A string with its expiry, milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    bytes: Vec<u8>,
    expiry: Option<i64>,
}

/// A dataset of strings, and the database that the stream stands in.
#[derive(Clone, Debug, Default)]
pub struct Model {
    databases: BTreeMap<u32, BTreeMap<Vec<u8>, Value>>,
    selected: u32,
    /// The fingerprints of all keys, added up.
    sum: u64,
}

type Words<'a> = &'a [Vec<u8>];

impl Model {
    /// The same data as a server's, the stream standing in `selected`.
    #[must_use]
    pub fn of(keyspace: &Keyspace, selected: DbIndex) -> Self {
        let mut model = Self::default();
        for index in 0..keyspace.databases() {
            for entry in keyspace.db(DbIndex(index)).iter() {
                let value = Value {
                    bytes: bytes_of(entry.value()),
                    expiry: entry.expiry().map(|at| at.0),
                };
                model.put(index, entry.key().to_vec(), value);
            }
        }
        model.selected = selected.0;
        model
    }

    /// Equal data, equal number; the same as [`fingerprint`] of a server's data.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.sum
    }

    /// The database that the stream stands in.
    #[must_use]
    pub fn selected(&self) -> DbIndex {
        DbIndex(self.selected)
    }

    fn get(&self, db: u32, key: &[u8]) -> Option<&Value> {
        self.databases.get(&db)?.get(key)
    }

    fn put(&mut self, db: u32, key: Vec<u8>, value: Value) {
        self.remove(db, &key);
        self.sum = self.sum.wrapping_add(of_key(db, &key, &value.bytes, value.expiry));
        self.databases.entry(db).or_default().insert(key, value);
    }

    fn remove(&mut self, db: u32, key: &[u8]) -> Option<Value> {
        let old = self.databases.get_mut(&db)?.remove(key)?;
        self.sum = self.sum.wrapping_sub(of_key(db, key, &old.bytes, old.expiry));
        Some(old)
    }

    fn flush(&mut self, db: u32) {
        for (key, value) in self.databases.remove(&db).unwrap_or_default() {
            self.sum = self.sum.wrapping_sub(of_key(db, &key, &value.bytes, value.expiry));
        }
    }

    /// Applies a command of the stream. MULTI and EXEC are for the caller, who knows where units end.
    ///
    /// # Errors
    /// When it is not one that a primary sends for what the world's clients do.
    pub fn apply(&mut self, words: Words<'_>) -> Result<(), String> {
        let name = words[0].to_ascii_uppercase();
        let done = match name.as_slice() {
            b"PING" | b"REPLCONF" | b"PUBLISH" | b"SPUBLISH" => Some(()),
            b"SELECT" => number(words, 1).map(|db| self.selected = db as u32),
            b"SET" => self.set(words),
            b"SETNX" => self.set_if_absent(words),
            b"MSET" => self.set_many(words),
            b"MSETNX" => {
                let free = words[1..]
                    .chunks(2)
                    .all(|pair| self.get(self.selected, &pair[0]).is_none());
                if free { self.set_many(words) } else { Some(()) }
            }
            b"APPEND" => self.change(words, |bytes, words| {
                bytes.extend_from_slice(&words[2]);
                Some(())
            }),
            b"SETRANGE" => self.change(words, set_range),
            b"INCR" => self.add(words, Some(1)),
            b"DECR" => self.add(words, Some(-1)),
            b"INCRBY" => self.add(words, number(words, 2)),
            b"DECRBY" => self.add(words, number(words, 2).map(|by| -by)),
            b"DEL" | b"UNLINK" => {
                for key in &words[1..] {
                    self.remove(self.selected, key);
                }
                Some(())
            }
            b"PERSIST" => self.expire(words, None),
            b"PEXPIREAT" => self.expire_if(words),
            b"RENAME" | b"RENAMENX" => self.rename(words, name == b"RENAMENX"),
            b"COPY" => self.copy(words),
            b"MOVE" => self.relocate(words),
            b"SWAPDB" => self.swap(words),
            b"FLUSHDB" => {
                self.flush(self.selected);
                Some(())
            }
            b"FLUSHALL" => {
                let databases: Vec<u32> = self.databases.keys().copied().collect();
                databases.into_iter().for_each(|db| self.flush(db));
                Some(())
            }
            _ => None,
        };
        done.ok_or_else(|| format!("no primary sends {}", shown(words)))
    }

    fn set(&mut self, words: Words<'_>) -> Option<()> {
        let (db, key) = (self.selected, words.get(1)?);
        let old = self.get(db, key);
        let (mut expiry, mut holds, mut at) = (None, true, 3);
        while let Some(option) = words.get(at) {
            at += 1;
            match option.to_ascii_uppercase().as_slice() {
                b"NX" => holds = old.is_none(),
                b"XX" => holds = old.is_some(),
                b"KEEPTTL" => expiry = old.and_then(|old| old.expiry),
                b"PXAT" => {
                    expiry = Some(number(words, at)?);
                    at += 1;
                }
                _ => return None,
            }
        }
        if holds {
            let bytes = words.get(2)?.clone();
            self.put(db, key.clone(), Value { bytes, expiry });
        }
        Some(())
    }

    fn set_if_absent(&mut self, words: Words<'_>) -> Option<()> {
        if self.get(self.selected, words.get(1)?).is_some() {
            return Some(());
        }
        self.set(words)
    }

    fn set_many(&mut self, words: Words<'_>) -> Option<()> {
        for pair in words[1..].chunks(2) {
            let bytes = pair.get(1)?.clone();
            self.put(self.selected, pair[0].clone(), Value { bytes, expiry: None });
        }
        Some(())
    }

    /// Changes a string's bytes; the expiry stays.
    fn change(&mut self, words: Words<'_>, how: impl FnOnce(&mut Vec<u8>, Words<'_>) -> Option<()>) -> Option<()> {
        let key = words.get(1)?;
        let mut value = self.get(self.selected, key).cloned().unwrap_or(Value {
            bytes: Vec::new(),
            expiry: None,
        });
        how(&mut value.bytes, words)?;
        self.put(self.selected, key.clone(), value);
        Some(())
    }

    fn add(&mut self, words: Words<'_>, by: Option<i64>) -> Option<()> {
        self.change(words, |bytes, _| {
            let old = if bytes.is_empty() { 0 } else { parse(bytes)? };
            *bytes = old.checked_add(by?)?.to_string().into_bytes();
            Some(())
        })
    }

    fn expire(&mut self, words: Words<'_>, expiry: Option<i64>) -> Option<()> {
        let key = words.get(1)?;
        let value = self.get(self.selected, key)?.clone();
        self.put(self.selected, key.clone(), Value { expiry, ..value });
        Some(())
    }

    fn expire_if(&mut self, words: Words<'_>) -> Option<()> {
        let at = number(words, 2)?;
        let old = self.get(self.selected, words.get(1)?)?.expiry;
        let holds = words[3..]
            .iter()
            .all(|word| match word.to_ascii_uppercase().as_slice() {
                b"NX" => old.is_none(),
                b"XX" => old.is_some(),
                b"GT" => old.is_some_and(|old| at > old),
                b"LT" => old.is_none_or(|old| at < old),
                _ => false,
            });
        if holds { self.expire(words, Some(at)) } else { Some(()) }
    }

    fn rename(&mut self, words: Words<'_>, only_to_absent: bool) -> Option<()> {
        let (db, from, to) = (self.selected, words.get(1)?, words.get(2)?);
        if only_to_absent && self.get(db, to).is_some() {
            return Some(());
        }
        let value = self.remove(db, from)?;
        self.put(db, to.clone(), value);
        Some(())
    }

    fn copy(&mut self, words: Words<'_>) -> Option<()> {
        let value = self.get(self.selected, words.get(1)?)?.clone();
        let (mut db, mut replaces, mut at) = (self.selected, false, 3);
        while let Some(option) = words.get(at) {
            at += 1;
            match option.to_ascii_uppercase().as_slice() {
                b"DB" => {
                    db = number(words, at)? as u32;
                    at += 1;
                }
                b"REPLACE" => replaces = true,
                _ => return None,
            }
        }
        let to = words.get(2)?;
        if replaces || self.get(db, to).is_none() {
            self.put(db, to.clone(), value);
        }
        Some(())
    }

    fn relocate(&mut self, words: Words<'_>) -> Option<()> {
        let (key, db) = (words.get(1)?, number(words, 2)? as u32);
        if self.get(db, key).is_none() {
            let value = self.remove(self.selected, key)?;
            self.put(db, key.clone(), value);
        }
        Some(())
    }

    fn swap(&mut self, words: Words<'_>) -> Option<()> {
        let (a, b) = (number(words, 1)? as u32, number(words, 2)? as u32);
        let take = |model: &mut Self, db: u32| {
            let taken = model.databases.get(&db).cloned().unwrap_or_default();
            model.flush(db);
            taken
        };
        let (of_a, of_b) = (take(self, a), take(self, b));
        of_a.into_iter().for_each(|(key, value)| self.put(b, key, value));
        of_b.into_iter().for_each(|(key, value)| self.put(a, key, value));
        Some(())
    }

    /// In what a server's data differs from this, in a few words.
    #[must_use]
    pub fn difference(&self, keyspace: &Keyspace) -> String {
        let other = Self::of(keyspace, DbIndex(0));
        let mut found = Vec::new();
        for db in 0..keyspace.databases() {
            let (ours, theirs) = (self.databases.get(&db), other.databases.get(&db));
            let keys = ours.into_iter().chain(theirs).flat_map(BTreeMap::keys);
            for key in keys.collect::<std::collections::BTreeSet<_>>() {
                let (want, have) = (self.get(db, key), other.get(db, key));
                if want != have {
                    let key = key.escape_ascii();
                    found.push(format!("{db}:{key} is {}, not {}", describe(have), describe(want)));
                }
            }
        }
        let more = found.len().saturating_sub(4);
        found.truncate(4);
        if more > 0 {
            found.push(format!("and {more} more"));
        }
        found.join(", ")
    }
}

fn describe(value: Option<&Value>) -> String {
    let Some(value) = value else { return "absent".into() };
    let start = value.bytes[..value.bytes.len().min(20)].escape_ascii();
    match value.expiry {
        None => format!("'{start}' ({} bytes)", value.bytes.len()),
        Some(at) => format!("'{start}' ({} bytes, until {at})", value.bytes.len()),
    }
}

fn set_range(bytes: &mut Vec<u8>, words: Words<'_>) -> Option<()> {
    let (at, patch) = (number(words, 2)? as usize, words.get(3)?);
    if bytes.len() < at + patch.len() {
        bytes.resize(at + patch.len(), 0);
    }
    bytes[at..at + patch.len()].copy_from_slice(patch);
    Some(())
}

fn parse(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn number(words: Words<'_>, at: usize) -> Option<i64> {
    parse(words.get(at)?)
}

/// A command in so many characters as a reader wants.
#[must_use]
pub fn shown(words: &[Vec<u8>]) -> String {
    let word = |word: &Vec<u8>| word[..word.len().min(30)].escape_ascii().to_string();
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The bytes of a value.
///
/// # Panics
/// When it is no string: the world's clients write nothing else.
#[must_use]
pub fn bytes_of(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Bytes(bytes) => bytes.to_vec(),
        ValueRef::Chunked(chunked) => chunked.chunks().flatten().copied().collect(),
        _ => panic!("the world's clients write strings"),
    }
}

/// A server's data as one number: equal data, equal number.
///
/// # Panics
/// When there is something else than strings: the world's clients write nothing else.
#[must_use]
pub fn fingerprint(keyspace: &Keyspace) -> u64 {
    let mut sum = 0u64;
    for db in 0..keyspace.databases() {
        for entry in keyspace.db(DbIndex(db)).iter() {
            let expiry = entry.expiry().map(|at| at.0);
            let one = match entry.value() {
                ValueRef::Int(number) => of_key(db, entry.key(), number.to_string().as_bytes(), expiry),
                ValueRef::Bytes(bytes) => of_key(db, entry.key(), bytes, expiry),
                other => of_key(db, entry.key(), &bytes_of(other), expiry),
            };
            sum = sum.wrapping_add(one);
        }
    }
    sum
}

fn of_key(db: u32, key: &[u8], value: &[u8], expiry: Option<i64>) -> u64 {
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    hash.number(u64::from(db));
    hash.bytes(key);
    hash.bytes(value);
    hash.number(expiry.map_or(u64::MAX, |at| at as u64));
    hash.0
}

struct Hash(u64);

impl Hash {
    fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }
}
