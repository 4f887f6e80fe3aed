//! The keyspace: databases of keys with values and expiries, and the only door to changing them.
//!
//! ```text
//!   Keyspace ──► Db 0 ──► table (ds) ──► … ──► Entry { key, value, expiry, access clock }
//!      │    ├──► Db 1                             │
//!      │    └──► …                                └ value: integer, bytes up to 64 KiB, a chunked string,
//!      │                                             a small collection in one block, a large one in a box
//!      ├── freeze ──► Frozen: the roots of all tables, for other threads to read; it never changes
//!      └── take ────► Discarded: all that was in it, for another thread to free
//! ```
//!
//! One thread owns a keyspace. Reading takes `&Keyspace` and copies nothing; the access clock of an entry is touched
//! through an atomic. A write copies what frozen views still hold, a node at a time; otherwise it happens in place.
//!
//! What is absent here: commands, replies, time (it is handed in), events, and anything that decides *when* a key
//! expires or is evicted.

mod db;
mod encodings;
mod field_expiry;
mod frozen;
pub mod hash;
pub mod list;
pub mod set;
pub mod stream;
pub mod zset;

use std::sync::Arc;

use base::DbIndex;
use ds::account::Account;

pub use db::{Db, ExpiredFields};
pub use ds::list::NodeRef as ListNode;
pub use ds::listpack::{self, Listpack};
pub use ds::table::{Descent, Expired, Sampled};
pub use ds::value::INLINE_BYTES_MAX;
pub use ds::zset::{Foreseen, Placed, TowardsPlace, Ways, score_of};
pub use ds::{
    Bytes, ChunkedString, Encoding, Entry, FrozenEntry, Hasher, KeyHash, NewValue, Object, ObjectMut, Pack, PackMut,
    Removed, StringMut, Table, Type, ValueMut, ValueRef,
};
pub use encodings::Encodings;
pub use frozen::{Frozen, FrozenDb, FrozenEntries};
pub use hash::{Field, FieldExpiry, HashBuilder, HashMut, HashRef, Text};
pub use list::{Direction, End, ListBuilder, ListMut, ListRef};
pub use set::{SetBuilder, SetMut, SetRef};
pub use zset::{LexBound, Member, ScoreBound, ZsetBuilder, ZsetMut, ZsetRef};

/// How many frozen views may be alive at once; a further snapshot joins one or waits.
pub const MAX_LIVE_VIEWS: usize = 16;

/// All databases.
#[derive(Debug)]
pub struct Keyspace {
    dbs: Vec<Db>,
    hasher: Arc<Hasher>,
    account: Arc<Account>,
    /// Held once by every frozen view and its clones together.
    views: Arc<()>,
}

impl Keyspace {
    /// Empty databases; `seed` makes the hashes of keys unguessable, so it must not be known to clients.
    #[must_use]
    pub fn new(databases: u32, seed: u64) -> Self {
        let (hasher, account) = (Arc::new(Hasher::new(seed)), Arc::new(Account::default()));
        let dbs = (0..databases)
            .map(|_| Db::new(hasher.clone(), account.clone()))
            .collect();
        Self {
            dbs,
            hasher,
            account,
            views: Arc::new(()),
        }
    }

    /// The hash of `key`, as all databases of this keyspace want it.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        self.hasher.hash(key)
    }

    /// The number of databases.
    #[must_use]
    pub fn databases(&self) -> u32 {
        self.dbs.len() as u32
    }

    /// The database `index`. Panics if there is none.
    #[inline]
    #[must_use]
    pub fn db(&self, index: DbIndex) -> &Db {
        &self.dbs[index.0 as usize]
    }

    /// The database `index`, to change it. Panics if there is none.
    #[inline]
    pub fn db_mut(&mut self, index: DbIndex) -> &mut Db {
        &mut self.dbs[index.0 as usize]
    }

    /// Exchanges the contents of two databases.
    pub fn swap_dbs(&mut self, a: DbIndex, b: DbIndex) {
        self.dbs.swap(a.0 as usize, b.0 as usize);
    }

    /// The keyspace as it is now, for other threads to read, in time proportional to the number of databases.
    ///
    /// Panics if [`MAX_LIVE_VIEWS`] are alive: entries could not count more holders.
    pub fn freeze(&mut self) -> Frozen {
        assert!(
            self.live_views() < MAX_LIVE_VIEWS,
            "more frozen views than entries can count"
        );
        let has_field_expiries = self.has_field_expiries();
        Frozen::new(
            self.dbs.iter().map(Db::freeze).collect(),
            has_field_expiries,
            self.views.clone(),
        )
    }

    /// Whether any hash has fields that expire.
    #[must_use]
    pub fn has_field_expiries(&self) -> bool {
        self.dbs.iter().any(|db| db.hashes_with_expiring_fields() > 0)
    }

    /// How many frozen views are alive; clones of one count once.
    #[must_use]
    pub fn live_views(&self) -> usize {
        Arc::strong_count(&self.views) - 1
    }

    /// Empties all databases. Dropping the result frees what was in them, on whatever thread.
    pub fn take(&mut self) -> Discarded {
        Discarded {
            dbs: self.dbs.iter_mut().map(Db::take).collect(),
        }
    }

    /// Empties one database.
    pub fn take_db(&mut self, index: DbIndex) -> Discarded {
        Discarded {
            dbs: vec![self.db_mut(index).take()],
        }
    }

    /// Bytes of heap that the databases reach, as the allocator rounds them.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.dbs.iter().map(Db::memory_bytes).sum()
    }

    /// Bytes of heap that only frozen views still hold.
    #[must_use]
    pub fn frozen_bytes(&self) -> u64 {
        self.account.frozen_bytes()
    }

    /// The number of keys in all databases.
    #[must_use]
    pub fn key_count(&self) -> u64 {
        self.dbs.iter().map(Db::len).sum()
    }
}

/// What was in emptied databases. Dropping it frees it; until then it is counted neither as live nor as frozen.
#[derive(Debug)]
pub struct Discarded {
    dbs: Vec<Db>,
}

impl Discarded {
    /// Bytes that dropping it gives back, now or when frozen views end.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.dbs.iter().map(Db::memory_bytes).sum()
    }

    /// The number of keys in it.
    #[must_use]
    pub fn key_count(&self) -> u64 {
        self.dbs.iter().map(Db::len).sum()
    }
}
