//! Values other than strings, from all forms that versions 1 to 12 and 80 have for them into the one kept here.
//!
//! ```text
//!   one element after the other ──► builder ─┬─► small: one block ─┬─► NewValue
//!   a block of today (listpack, intset) ─────┼─► fits as it is ────┤
//!   a block of old (ziplist, zipmap) ────────┘   large: a container┘
//! ```
//!
//! Blocks are gone through before anything is believed: their structure, that nothing is in them twice, that scores are
//! numbers in order. What fits the limits of the configuration is then kept as it came.

mod hash;
pub(crate) mod list;
mod set;
mod stream;
mod unique;
mod zset;

use crate::error::LoadError;
use crate::format::ValueType;
use crate::input::{Input, StringRef};
use base::Millis;
use ds::listpack::{self, Damage, Listpack};
use ds::{NewValue, Table};
use keyspace::{Db, Encodings, Keyspace};
use std::io::Read;
use unique::Unique;

/// What collections are made for: a keyspace and its limits.
#[derive(Debug)]
pub struct Home {
    /// An empty table of the keyspace, from which others are made.
    table: Table,
    encodings: Encodings,
    /// Fields of hashes that expired before this moment are left out.
    drop_expired: Option<Millis>,
}

impl Home {
    /// For any database of the keyspace that `db` is in. Fields of hashes that expired before `drop_expired`, if it is
    /// given, are left out.
    #[must_use]
    pub fn new(db: &Db, encodings: Encodings, drop_expired: Option<Millis>) -> Self {
        Self {
            table: db.new_table(),
            encodings,
            drop_expired,
        }
    }

    /// For nobody: what is made is thrown away.
    pub(crate) fn nowhere(encodings: Encodings) -> Self {
        let keyspace = Keyspace::new(1, 0);
        Self::new(keyspace.db(base::DbIndex(0)), encodings, None)
    }

    fn new_table(&self) -> Table {
        self.table.new_inner()
    }

    fn drops(&self, expiry: Option<Millis>) -> bool {
        match (expiry, self.drop_expired) {
            (Some(expiry), Some(now)) => expiry < now,
            _ => false,
        }
    }
}

/// Memory that reading needs, kept from one value to the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    unique: Unique,
    /// A field or member, while what belongs to it is read.
    text: Vec<u8>,
}

/// Reads a value of this type, which is no string and no module's, and hands it to `then`: `None` if nothing is in it, so
/// that its key does not exist.
pub(crate) fn collection<R: Read, T>(
    input: &mut Input<R>,
    scratch: &mut Scratch,
    value_type: ValueType,
    home: &Home,
    then: impl FnOnce(Option<NewValue<'_>>) -> T,
) -> Result<T, LoadError> {
    use ValueType as V;
    match value_type {
        V::Set | V::SetIntset | V::SetListpack => set::read(input, scratch, value_type, home, then),
        V::Hash
        | V::HashExpiring
        | V::HashMetadata
        | V::HashMetadataPreGa
        | V::HashZipmap
        | V::HashZiplist
        | V::HashListpack
        | V::HashListpackEx
        | V::HashListpackExPreGa => hash::read(input, scratch, value_type, home, then),
        V::List | V::ListZiplist | V::ListQuicklist | V::ListQuicklist2 => list::read(input, value_type, home, then),
        V::ZsetText | V::Zset | V::ZsetZiplist | V::ZsetListpack => zset::read(input, scratch, value_type, home, then),
        V::Stream1 | V::Stream2 | V::Stream3 => stream::read(input, scratch, value_type, home, then),
        V::String | V::Module | V::ModulePreGa => panic!("{value_type:?} is read elsewhere"),
    }
}

/// Whether so many entries are within a limit, where a negative one is none.
fn fits(entries: usize, limit: i64) -> bool {
    u64::try_from(limit).map_or(true, |limit| entries as u64 <= limit)
}

/// A packed value, and where its string began.
#[derive(Clone, Copy)]
struct Block<'a> {
    bytes: &'a [u8],
    at: u64,
    /// What it is, for errors.
    kind: &'static str,
}

impl<'a> Block<'a> {
    /// The next string, which must be a block.
    fn read<R: Read>(input: &'a mut Input<R>, value_type: ValueType) -> Result<Self, LoadError> {
        let (at, kind) = (input.at(), value_type.block_name());
        match input.string()? {
            StringRef::Bytes(bytes) => Ok(Self { bytes, at, kind }),
            StringRef::Int(_) => Err(LoadError::Block {
                at,
                kind,
                what: "an integer in its place",
            }),
        }
    }

    fn corrupt(self, what: &'static str) -> LoadError {
        let Self { at, kind, .. } = self;
        LoadError::Block { at, kind, what }
    }

    fn damaged(self, damage: Damage) -> LoadError {
        self.corrupt(damage.what)
    }

    /// As a whole listpack of so many entries, in groups of `step`; the first of each must be there only once.
    fn unique_listpack(
        self,
        step: usize,
        home: &Home,
        scratch: &mut Scratch,
    ) -> Result<(Listpack<'a>, usize), LoadError> {
        let entries = listpack::validate(self.bytes).map_err(|damage| self.damaged(damage))?;
        if !entries.is_multiple_of(step) {
            return Err(self.corrupt("a listpack that ends in the middle of a pair"));
        }
        let pack = Listpack::new(self.bytes);
        if !scratch.unique.holds(pack, step, |text| home.table.hash(text)) {
            return Err(self.corrupt("a member or field that is there twice"));
        }
        Ok((pack, entries / step))
    }
}
