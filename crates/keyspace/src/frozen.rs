//! The keyspace at one moment.

use std::sync::Arc;

use base::DbIndex;
use ds::{Entry, FrozenEntry};

/// All databases as they were at one moment. A clone is another reader of the same view.
#[derive(Clone, Debug)]
pub struct Frozen {
    dbs: Vec<ds::Frozen>,
    has_field_expiries: bool,
    view: View,
}

/// What one freeze and all that comes of it hold together, so that the keyspace can count views.
#[derive(Clone, Debug)]
struct View {
    _shared: Arc<Counted>,
}

#[derive(Debug)]
struct Counted {
    _views: Arc<()>,
}

impl Frozen {
    pub(crate) fn new(dbs: Vec<ds::Frozen>, has_field_expiries: bool, views: Arc<()>) -> Self {
        Self {
            dbs,
            has_field_expiries,
            view: View {
                _shared: Arc::new(Counted { _views: views }),
            },
        }
    }

    /// The databases in order, the empty ones too.
    pub fn databases(self) -> impl Iterator<Item = FrozenDb> {
        let view = self.view;
        self.dbs.into_iter().enumerate().map(move |(index, table)| FrozenDb {
            index: DbIndex(index as u32),
            table,
            view: view.clone(),
        })
    }

    /// Whether any hash has fields that expire. Not every form of writing has a place for them.
    #[must_use]
    pub fn has_field_expiries(&self) -> bool {
        self.has_field_expiries
    }

    /// The number of keys in all databases.
    #[must_use]
    pub fn key_count(&self) -> u64 {
        self.dbs.iter().map(ds::Frozen::len).sum()
    }
}

/// One database as it was at one moment.
#[derive(Clone, Debug)]
pub struct FrozenDb {
    index: DbIndex,
    table: ds::Frozen,
    view: View,
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
}

impl IntoIterator for FrozenDb {
    type Item = FrozenEntry;
    type IntoIter = FrozenEntries;

    fn into_iter(self) -> FrozenEntries {
        FrozenEntries {
            entries: self.table.into_entries(),
            _view: self.view,
        }
    }
}

/// The entries of a frozen database in hash order; gives memory back as it passes.
#[derive(Debug)]
pub struct FrozenEntries {
    entries: ds::FrozenEntries,
    _view: View,
}

impl FrozenEntries {
    /// Hands `each` the entries that are left, until it fails: what the iterator gives, cheaper where nobody keeps an
    /// entry.
    ///
    /// # Errors
    /// The error of `each`.
    pub fn visit<E>(self, each: impl FnMut(&Entry) -> Result<(), E>) -> Result<(), E> {
        let Self { entries, _view } = self;
        entries.visit(each)
    }
}

impl Iterator for FrozenEntries {
    type Item = FrozenEntry;

    fn next(&mut self) -> Option<FrozenEntry> {
        self.entries.next()
    }
}
