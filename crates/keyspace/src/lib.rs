//! The keyspace: databases of keys with values and expiries, and the only door to changing them.
//!
//! First form, for the crates above to build on: plain ordered maps behind the final interface.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::{DbIndex, Millis, Rng, number};

/// How many frozen views may be alive at once; a further snapshot joins one or waits.
pub const MAX_LIVE_VIEWS: usize = 16;

/// Values up to this many bytes lie in their entry; longer ones are chunk trees.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// The seeded hash of a key: computed once per command, good for every database of one [`Keyspace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(u64);

/// What kind of value a key holds, as `TYPE` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// A string, in whatever encoding.
    String,
}

impl Type {
    /// The name that `TYPE` answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
        }
    }
}

/// How a value is stored, as `OBJECT ENCODING` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// A 64-bit integer.
    Int,
    /// A string of at most 44 bytes, as it was set.
    Embstr,
    /// A longer string, or one that was changed in place.
    Raw,
}

impl Encoding {
    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Embstr => "embstr",
            Self::Raw => "raw",
        }
    }
}

/// A value as readers see it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// A string that is a canonical 64-bit integer.
    Int(i64),
    /// A string up to [`INLINE_BYTES_MAX`].
    Bytes(&'a [u8]),
    /// A longer string.
    Chunked(&'a ChunkedString),
}

/// A value as writers hand it in.
#[derive(Clone, Copy, Debug)]
pub enum NewValue<'a> {
    /// A string; kept as an integer when its text is canonical.
    Bytes(&'a [u8]),
    /// A string that stays one.
    RawBytes(&'a [u8]),
    /// An integer.
    Int(i64),
}

/// A string of more than [`INLINE_BYTES_MAX`] bytes, in chunks.
#[derive(Clone, Debug)]
pub struct ChunkedString {
    bytes: Vec<u8>,
}

impl ChunkedString {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is empty, which it never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All bytes, in order, piece by piece.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(16 * 1024)
    }

    /// The bytes from `start` up to, not including, `end`, piece by piece. Panics if the range is not within the string.
    pub fn range(&self, start: usize, end: usize) -> impl Iterator<Item = &[u8]> {
        self.bytes[start..end].chunks(16 * 1024)
    }

    /// Fills `out` with the bytes from `start` on. Panics if there are not as many.
    pub fn read(&self, start: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.bytes[start..start + out.len()]);
    }
}

#[derive(Clone, Debug)]
enum Stored {
    Int(i64),
    Bytes { bytes: Vec<u8>, raw: bool },
    Chunked(ChunkedString),
}

impl Stored {
    fn new(value: NewValue<'_>) -> Self {
        match value {
            NewValue::Int(number) => Self::Int(number),
            NewValue::Bytes(bytes) => match number::parse_i64(bytes) {
                Some(number) => Self::Int(number),
                None => Self::from_bytes(bytes.to_vec(), false),
            },
            NewValue::RawBytes(bytes) => Self::from_bytes(bytes.to_vec(), false),
        }
    }

    fn from_bytes(bytes: Vec<u8>, raw: bool) -> Self {
        if bytes.len() > INLINE_BYTES_MAX {
            Self::Chunked(ChunkedString { bytes })
        } else {
            Self::Bytes { bytes, raw }
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Int(number) => {
                let mut text = Vec::new();
                number::write_i64(&mut text, number);
                text
            }
            Self::Bytes { bytes, .. } => bytes,
            Self::Chunked(string) => string.bytes,
        }
    }
}

/// One key with its value, expiry and access clock.
#[derive(Debug)]
pub struct Entry {
    key: Box<[u8]>,
    expiry: Option<Millis>,
    value: Stored,
    clock: AtomicU32,
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            expiry: self.expiry,
            value: self.value.clone(),
            clock: AtomicU32::new(self.clock()),
        }
    }
}

impl Entry {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// When the key expires, if it does.
    #[must_use]
    pub fn expiry(&self) -> Option<Millis> {
        self.expiry
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> ValueRef<'_> {
        match &self.value {
            Stored::Int(number) => ValueRef::Int(*number),
            Stored::Bytes { bytes, .. } => ValueRef::Bytes(bytes),
            Stored::Chunked(string) => ValueRef::Chunked(string),
        }
    }

    /// The type of the value.
    #[must_use]
    pub fn value_type(&self) -> Type {
        Type::String
    }

    /// How the value is stored.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        match &self.value {
            Stored::Int(_) => Encoding::Int,
            Stored::Bytes { bytes, raw: false } if bytes.len() <= 44 => Encoding::Embstr,
            Stored::Bytes { .. } | Stored::Chunked(_) => Encoding::Raw,
        }
    }

    /// The access clock: 24 bits that mean what the eviction policy says.
    #[must_use]
    pub fn clock(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Sets the access clock; its upper eight bits are dropped.
    pub fn touch(&self, clock: u32) {
        self.clock.store(clock & 0x00ff_ffff, Ordering::Relaxed);
    }
}

/// An entry taken out of its database. Dropping it anywhere frees it.
#[derive(Debug)]
pub struct Removed(Arc<Entry>);

impl Removed {
    /// How many heap blocks dropping it frees: what decides between freeing here and elsewhere.
    #[must_use]
    pub fn weight(&self) -> usize {
        match &self.0.value {
            Stored::Chunked(string) => 1 + string.len().div_ceil(16 * 1024),
            _ => 1,
        }
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.0
    }
}

type Map = BTreeMap<(u64, Box<[u8]>), Arc<Entry>>;

/// One database.
#[derive(Debug, Default)]
pub struct Db {
    map: Map,
}

impl Db {
    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The number of keys with an expiry.
    #[must_use]
    pub fn expiring_len(&self) -> u64 {
        self.map.values().filter(|entry| entry.expiry.is_some()).count() as u64
    }

    /// Asks the processor to fetch what a coming [`Self::get`] will touch.
    pub fn prefetch(&self, _hash: KeyHash) {}

    /// The entry of `key`.
    #[must_use]
    pub fn get(&self, key: &[u8], hash: KeyHash) -> Option<&Entry> {
        self.map.get(&(hash.0, key.into())).map(|entry| &**entry)
    }

    /// Gives `key` this value and this expiry, whatever it had; says whether it existed. A key that existed keeps its
    /// access clock, a new one starts at 0.
    pub fn set(&mut self, key: &[u8], hash: KeyHash, value: NewValue<'_>, expiry: Option<Millis>) -> bool {
        self.put(key, hash, Stored::new(value), expiry)
    }

    fn put(&mut self, key: &[u8], hash: KeyHash, value: Stored, expiry: Option<Millis>) -> bool {
        let clock = AtomicU32::new(self.get(key, hash).map_or(0, Entry::clock));
        let entry = Entry {
            key: key.into(),
            expiry,
            value,
            clock,
        };
        self.map.insert((hash.0, key.into()), Arc::new(entry)).is_some()
    }

    /// Gives an existing `key` another expiry, or none; says whether the key exists.
    pub fn set_expiry(&mut self, key: &[u8], hash: KeyHash, expiry: Option<Millis>) -> bool {
        let Some(entry) = self.map.get_mut(&(hash.0, key.into())) else {
            return false;
        };
        Arc::make_mut(entry).expiry = expiry;
        true
    }

    /// The string at `key`, to change a part of it. An integer becomes its text at the first change.
    pub fn string_mut(&mut self, key: &[u8], hash: KeyHash) -> Option<StringMut<'_>> {
        Some(StringMut {
            entry: self.map.get_mut(&(hash.0, key.into()))?,
        })
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &[u8], hash: KeyHash) -> Option<Removed> {
        self.map.remove(&(hash.0, key.into())).map(Removed)
    }

    /// Puts value, expiry and clock of a removed entry under `key`, whatever it had; says whether it existed.
    pub fn insert(&mut self, key: &[u8], hash: KeyHash, removed: Removed) -> bool {
        let mut entry = Arc::unwrap_or_clone(removed.0);
        entry.key = key.into();
        self.map.insert((hash.0, key.into()), Arc::new(entry)).is_some()
    }

    /// A copy of the entry of `key`, to be inserted elsewhere.
    #[must_use]
    pub fn copy_value(&self, key: &[u8], hash: KeyHash) -> Option<Removed> {
        self.get(key, hash).map(|entry| Removed(Arc::new(entry.clone())))
    }

    /// A random entry, every one about equally likely.
    pub fn random(&self, rng: &mut Rng) -> Option<&Entry> {
        if self.is_empty() {
            return None;
        }
        self.map
            .values()
            .nth(rng.below(self.len()) as usize)
            .map(|entry| &**entry)
    }

    /// Visits about `count` entries from `cursor` on and gives the next cursor; 0 starts and means the end.
    ///
    /// Every key that is there from the first call to the last is visited, whatever else happens in between.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(&Entry)) -> u64 {
        let mut last = None;
        for (visited, ((hash, _), entry)) in self.map.range((cursor << 16, Box::from(&b""[..]))..).enumerate() {
            let position = hash >> 16;
            if visited >= count.max(1) && last != Some(position) {
                return position;
            }
            last = Some(position);
            visit(entry);
        }
        0
    }

    /// All entries, in hash order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.map.values().map(|entry| &**entry)
    }

    /// No key expires before this moment; `None` if none expires at all.
    #[must_use]
    pub fn soonest_expiry(&self) -> Option<Millis> {
        self.map.values().filter_map(|entry| entry.expiry).min()
    }

    /// A key whose time has come: its expiry is `now` or earlier.
    #[must_use]
    pub fn next_expired(&self, now: Millis) -> Option<&Entry> {
        self.iter()
            .find(|entry| entry.expiry.is_some_and(|expiry| expiry <= now))
    }

    /// The average time to live of the keys with an expiry, in milliseconds; 0 if there are none.
    #[must_use]
    pub fn average_ttl(&self, now: Millis) -> i64 {
        let (mut sum, mut count) = (0i128, 0i128);
        for expiry in self.map.values().filter_map(|entry| entry.expiry) {
            sum += i128::from(expiry.since(now));
            count += 1;
        }
        if count == 0 { 0 } else { (sum / count).max(0) as i64 }
    }

    /// The memory that this entry takes, in bytes, its share of the table included.
    #[must_use]
    pub fn bytes_of(&self, entry: &Entry) -> usize {
        24 + entry.key.len()
            + match &entry.value {
                Stored::Int(_) => 8,
                Stored::Bytes { bytes, .. } => bytes.len(),
                Stored::Chunked(string) => string.len(),
            }
    }
}

/// A string in the keyspace, open for partial changes.
#[derive(Debug)]
pub struct StringMut<'a> {
    entry: &'a mut Arc<Entry>,
}

impl StringMut<'_> {
    /// Adds `bytes` at the end; gives the new length.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        self.change(|string| string.extend_from_slice(bytes))
    }

    /// Writes `bytes` at `offset`, filling with zeros what lies between the end and there; gives the new length.
    /// Writing nothing changes nothing.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> usize {
        self.change(|string| {
            if bytes.is_empty() {
                return;
            }
            if string.len() < offset + bytes.len() {
                string.resize(offset + bytes.len(), 0);
            }
            string[offset..offset + bytes.len()].copy_from_slice(bytes);
        })
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<u8>)) -> usize {
        let entry = Arc::make_mut(self.entry);
        let mut string = std::mem::replace(&mut entry.value, Stored::Int(0)).into_bytes();
        change(&mut string);
        let len = string.len();
        entry.value = Stored::from_bytes(string, true);
        len
    }
}

/// All databases.
#[derive(Debug)]
pub struct Keyspace {
    dbs: Vec<Db>,
    seed: u64,
    views: Arc<()>,
}

impl Keyspace {
    /// Empty databases; `seed` makes the hashes of keys unguessable, so it must not be known to clients.
    #[must_use]
    pub fn new(databases: u32, seed: u64) -> Self {
        Self {
            dbs: (0..databases).map(|_| Db::default()).collect(),
            seed,
            views: Arc::new(()),
        }
    }

    /// The hash of `key`, as all databases of this keyspace want it.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hash = self.seed ^ 0xcbf2_9ce4_8422_2325;
        for byte in key {
            hash = (hash ^ u64::from(*byte))
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(29);
        }
        KeyHash(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The number of databases.
    #[must_use]
    pub fn databases(&self) -> u32 {
        self.dbs.len() as u32
    }

    /// The database `index`. Panics if there is none.
    #[must_use]
    pub fn db(&self, index: DbIndex) -> &Db {
        &self.dbs[index.0 as usize]
    }

    /// The database `index`, to change it. Panics if there is none.
    pub fn db_mut(&mut self, index: DbIndex) -> &mut Db {
        &mut self.dbs[index.0 as usize]
    }

    /// Exchanges the contents of two databases.
    pub fn swap_dbs(&mut self, a: DbIndex, b: DbIndex) {
        self.dbs.swap(a.0 as usize, b.0 as usize);
    }

    /// The keyspace as it is now, for other threads to read. Panics at more than [`MAX_LIVE_VIEWS`] views.
    pub fn freeze(&mut self) -> Frozen {
        assert!(
            self.live_views() < MAX_LIVE_VIEWS,
            "more frozen views than entries can count"
        );
        Frozen {
            dbs: self.dbs.iter().map(|db| db.map.clone()).collect(),
            _view: Arc::new(View {
                _count: self.views.clone(),
            }),
        }
    }

    /// How many frozen views are alive; clones of one count once.
    #[must_use]
    pub fn live_views(&self) -> usize {
        Arc::strong_count(&self.views) - 1
    }

    /// Empties all databases. Dropping the result frees what was in them, on whatever thread.
    pub fn take(&mut self) -> Discarded {
        Discarded {
            _dbs: self.dbs.iter_mut().map(std::mem::take).collect(),
        }
    }

    /// Empties one database.
    pub fn take_db(&mut self, index: DbIndex) -> Discarded {
        Discarded {
            _dbs: vec![std::mem::take(self.db_mut(index))],
        }
    }

    /// Bytes of heap that the databases reach, as the allocator rounds them.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.dbs
            .iter()
            .flat_map(|db| db.iter().map(|entry| db.bytes_of(entry) as u64))
            .sum()
    }

    /// Bytes of heap that only frozen views still hold.
    #[must_use]
    pub fn frozen_bytes(&self) -> u64 {
        0
    }

    /// The number of keys in all databases.
    #[must_use]
    pub fn key_count(&self) -> u64 {
        self.dbs.iter().map(Db::len).sum()
    }
}

/// What was in emptied databases; dropping it frees them.
#[derive(Debug)]
pub struct Discarded {
    _dbs: Vec<Db>,
}

/// The whole keyspace as it was at one moment.
#[derive(Clone, Debug)]
pub struct Frozen {
    dbs: Vec<Map>,
    _view: Arc<View>,
}

impl Frozen {
    /// The databases in order, the empty ones too.
    pub fn databases(self) -> impl Iterator<Item = FrozenDb> {
        let view = self._view;
        self.dbs.into_iter().enumerate().map(move |(index, map)| FrozenDb {
            index: DbIndex(index as u32),
            map,
            _view: view.clone(),
        })
    }

    /// The number of keys in all databases.
    #[must_use]
    pub fn key_count(&self) -> u64 {
        self.dbs.iter().map(|map| map.len() as u64).sum()
    }
}

/// One database as it was at one moment.
#[derive(Debug)]
pub struct FrozenDb {
    index: DbIndex,
    map: Map,
    _view: Arc<View>,
}

impl FrozenDb {
    /// Its number.
    #[must_use]
    pub fn index(&self) -> DbIndex {
        self.index
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The number of keys with an expiry.
    #[must_use]
    pub fn expiring_len(&self) -> u64 {
        self.map.values().filter(|entry| entry.expiry.is_some()).count() as u64
    }
}

impl IntoIterator for FrozenDb {
    type Item = FrozenEntry;
    type IntoIter = FrozenEntries;

    fn into_iter(self) -> FrozenEntries {
        FrozenEntries {
            entries: self.map.into_values(),
            _view: self._view,
        }
    }
}

/// The entries of a frozen database in hash order; gives memory back as it passes.
#[derive(Debug)]
pub struct FrozenEntries {
    entries: std::collections::btree_map::IntoValues<(u64, Box<[u8]>), Arc<Entry>>,
    _view: Arc<View>,
}

impl Iterator for FrozenEntries {
    type Item = FrozenEntry;

    fn next(&mut self) -> Option<FrozenEntry> {
        self.entries.next().map(FrozenEntry)
    }
}

/// An entry of a frozen database.
#[derive(Debug)]
pub struct FrozenEntry(Arc<Entry>);

impl Deref for FrozenEntry {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0
    }
}

/// What one freeze and all its clones share.
#[derive(Debug)]
struct View {
    _count: Arc<()>,
}
