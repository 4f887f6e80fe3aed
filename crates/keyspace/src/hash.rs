//! Hashes: fields with values, each field perhaps with an expiry of its own.
//!
//! ```text
//!   small    Pack::Hash   one listpack: field value field value …      found by looking through it
//!   large    Hash         a table: field ──► value, expiry             as the keyspace itself
//! ```
//!
//! A hash becomes large when it has too many fields, a text in it is too long, or a field gets an expiry; it never
//! becomes small again.

use base::{Millis, Rng};
use ds::listpack::{self, Listpack, Value};
use ds::table::Expired;
use ds::{Bytes, ChunkedString, Entry, NewValue, Object, ObjectMut, Pack, Table, ValueMut, ValueRef};

use crate::Encodings;
use crate::field_expiry::FieldExpiries;

/// The most bytes that a listpack may grow to, as the stock server has it.
const LISTPACK_BYTES_MAX: usize = 1 << 30;

/// Up to where a hash stays in one block.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Fields.
    entries: usize,
    /// Bytes of a field or value.
    value_bytes: usize,
}

impl Limits {
    fn of(encodings: &Encodings) -> Self {
        Self {
            // A negative number of entries is no limit.
            entries: usize::try_from(encodings.hash_max_listpack_entries).unwrap_or(usize::MAX),
            value_bytes: usize::try_from(encodings.hash_max_listpack_value).unwrap_or(usize::MAX),
        }
    }

    /// Whether a hash in this block may take one more field of this name and value.
    fn admit(self, pack: &[u8], name: &[u8], value: &[u8]) -> bool {
        name.len().max(value.len()) <= self.value_bytes && pack.len() + name.len() + value.len() < LISTPACK_BYTES_MAX
    }
}

/// A text of a collection, in the form in which it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// The canonical text of an integer.
    Int(i64),
    /// In one piece.
    Bytes(&'a [u8]),
    /// A long one, in chunks.
    Chunked(&'a ChunkedString),
}

impl<'a> From<Value<'a>> for Text<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Int(number) => Self::Int(number),
            Value::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl<'a> Text<'a> {
    fn of_value(entry: &'a Entry) -> Self {
        match entry.value() {
            ValueRef::Int(number) => Self::Int(number),
            ValueRef::Bytes(bytes) => Self::Bytes(bytes),
            ValueRef::Chunked(chunks) => Self::Chunked(chunks),
            other => unreachable!("a {} as the value of a field", other.value_type().name()),
        }
    }

    /// Hands the text on in one piece.
    pub fn with<R>(self, then: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Int(number) => Value::Int(number).with_text(then),
            Self::Bytes(bytes) => then(bytes),
            Self::Chunked(chunks) => then(&chunks.chunks().flatten().copied().collect::<Vec<u8>>()),
        }
    }

    /// The text, copied.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        self.with(<[u8]>::to_vec)
    }
}

/// One field of a hash.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Its value.
    pub value: Text<'a>,
    /// When it expires, if it does.
    pub expiry: Option<Millis>,
}

impl<'a> Field<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            name: Text::Bytes(entry.key()),
            value: Text::of_value(entry),
            expiry: entry.expiry(),
        }
    }

    fn packed(name: Value<'a>, value: Value<'a>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            expiry: None,
        }
    }
}

/// A hash, to look at: all its fields, whether their time has passed or not.
#[derive(Clone, Copy, Debug)]
pub enum HashRef<'a> {
    /// In one block.
    Pack(Listpack<'a>),
    /// In a table.
    Table(&'a Table),
}

impl<'a> HashRef<'a> {
    /// The hash that a value is, if it is one.
    #[must_use]
    pub fn of(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::Pack(Pack::Hash, bytes) => Some(Self::Pack(Listpack::new(bytes))),
            ValueRef::Hash(table) => Some(Self::Table(table)),
            _ => None,
        }
    }

    /// The number of fields.
    #[must_use]
    pub fn len(self) -> u64 {
        match self {
            Self::Pack(pack) => pack.len() as u64 / 2,
            Self::Table(table) => table.len(),
        }
    }

    /// Whether there are none: only in the middle of a change.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The field of this name.
    #[must_use]
    pub fn get(self, name: &[u8]) -> Option<Field<'a>> {
        match self {
            Self::Pack(pack) => {
                let at = pack.find(name, 1)?;
                Some(Field::packed(pack.get(at), pack.get(pack.next(at)?)))
            }
            Self::Table(table) => table.get(name, table.hash(name)).map(Field::of),
        }
    }

    /// All fields, in the order in which they lie.
    #[must_use]
    pub fn iter(self) -> Iter<'a> {
        match self {
            Self::Pack(pack) => Iter::Pack {
                pack,
                next: pack.first(),
            },
            Self::Table(table) => Iter::Table(Box::new(table.iter())),
        }
    }

    /// A random field, every one about equally likely. `None` of an empty hash.
    #[must_use]
    pub fn random(self, rng: &mut Rng) -> Option<Field<'a>> {
        match self {
            Self::Pack(_) if self.is_empty() => None,
            Self::Pack(pack) => {
                let index = rng.below(self.len());
                let at = pack.seek(2 * index as i64)?;
                Some(Field::packed(pack.get(at), pack.get(pack.next(at)?)))
            }
            Self::Table(table) => table.random(rng).map(Field::of),
        }
    }

    /// Visits about `count` fields from `cursor` on and gives the cursor to go on from, as [`crate::Db::scan`] does. A
    /// small hash is visited at once.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Field<'_>)) -> u64 {
        match self {
            Self::Pack(_) => {
                self.iter().for_each(visit);
                0
            }
            Self::Table(table) => table.scan(cursor, count, &mut |entry| visit(Field::of(entry))),
        }
    }

    /// How many fields have an expiry.
    #[must_use]
    pub fn expiring_len(self) -> u64 {
        match self {
            Self::Pack(_) => 0,
            Self::Table(table) => table.expiring_len(),
        }
    }

    /// No field expires before this moment; `None` if none expires at all.
    #[must_use]
    pub fn soonest_expiry(self) -> Option<Millis> {
        match self {
            Self::Pack(_) => None,
            Self::Table(table) if table.expiring_len() == 0 => None,
            Self::Table(table) => table.soonest_expiry(),
        }
    }
}

impl<'a> IntoIterator for HashRef<'a> {
    type Item = Field<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The fields of a hash.
pub enum Iter<'a> {
    /// Of a small one.
    Pack {
        /// The block.
        pack: Listpack<'a>,
        /// Where the next field is.
        next: Option<listpack::Position>,
    },
    /// Of a large one.
    Table(Box<dyn Iterator<Item = &'a Entry> + 'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        match self {
            Self::Pack { pack, next } => {
                let name = (*next)?;
                let value = pack.next(name)?;
                *next = pack.next(value);
                Some(Field::packed(pack.get(name), pack.get(value)))
            }
            Self::Table(entries) => entries.next().map(Field::of),
        }
    }
}

/// What becomes of a field's expiry when its value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldExpiry {
    /// Stays as it is.
    Keep,
    /// Is taken away.
    Clear,
    /// Becomes this moment.
    At(Millis),
}

/// A hash in a database, to change. It may become empty; whoever makes it so deletes the key.
#[derive(Debug)]
pub struct HashMut<'a> {
    value: ValueMut<'a>,
    limits: Limits,
    key: &'a [u8],
    expiries: &'a mut FieldExpiries,
}

impl<'a> HashMut<'a> {
    /// `value` must be a hash, and at `key` of the database that `expiries` speaks of.
    pub(crate) fn new(
        value: ValueMut<'a>,
        encodings: &Encodings,
        key: &'a [u8],
        expiries: &'a mut FieldExpiries,
    ) -> Option<Self> {
        HashRef::of(value.value())?;
        Some(Self {
            value,
            limits: Limits::of(encodings),
            key,
            expiries,
        })
    }

    /// The hash as it is now.
    #[must_use]
    pub fn get(&self) -> HashRef<'_> {
        HashRef::of(self.value.value()).expect("checked when it was made, and only hashes are put in its place")
    }

    /// Gives a field this value, whatever it had; says whether it is new.
    pub fn insert(&mut self, name: &[u8], value: &[u8], expiry: FieldExpiry) -> bool {
        if let HashRef::Pack(pack) = self.get() {
            if !matches!(expiry, FieldExpiry::At(_)) && self.limits.admit(pack.bytes(), name, value) {
                return self.insert_into_pack(name, value);
            }
            self.enlarge();
        }
        let HashRef::Table(table) = self.get() else {
            unreachable!("a hash that was just made large")
        };
        let hash = table.hash(name);
        let expiry = match expiry {
            FieldExpiry::Clear => None,
            FieldExpiry::At(at) => Some(at),
            FieldExpiry::Keep => table.get(name, hash).and_then(Entry::expiry),
        };
        let old = self.change(|table| table.set(name, hash, NewValue::RawBytes(value), expiry));
        if expiry.is_some() || old.is_some_and(|old| old.expiry.is_some()) {
            self.note_expiries();
        }
        old.is_none()
    }

    fn insert_into_pack(&mut self, name: &[u8], value: &[u8]) -> bool {
        let mut pack = self.value.pack_mut();
        let block = Listpack::new(pack.as_slice());
        if let Some(at) = block.find(name, 1).and_then(|at| block.next(at)) {
            listpack::replace(&mut pack, at, value);
            return false;
        }
        listpack::append_many(&mut pack, &[name, value]);
        if Listpack::new(pack.as_slice()).len() / 2 > self.limits.entries {
            self.enlarge();
        }
        true
    }

    /// Takes a field out; says whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        match self.get() {
            HashRef::Pack(pack) => {
                let Some(at) = pack.find(name, 1) else { return false };
                listpack::delete(&mut self.value.pack_mut(), at, 2);
                true
            }
            HashRef::Table(table) => {
                let hash = table.hash(name);
                if table.get(name, hash).is_none() {
                    return false;
                }
                let removed = self.change(|table| table.delete(name, hash));
                if removed.is_some_and(|old| old.expiry.is_some()) {
                    self.note_expiries();
                }
                true
            }
        }
    }

    /// Gives an existing field another expiry, or none; says whether it is there.
    pub fn set_expiry(&mut self, name: &[u8], expiry: Option<Millis>) -> bool {
        let Some(field) = self.get().get(name) else {
            return false;
        };
        if field.expiry == expiry {
            return true;
        }
        if let HashRef::Pack(_) = self.get() {
            self.enlarge();
        }
        self.change(|table| {
            let hash = table.hash(name);
            table.set_expiry(name, hash, expiry);
        });
        self.note_expiries();
        true
    }

    /// Takes out up to `limit` fields whose time has come, and gives their names.
    pub(crate) fn remove_expired(&mut self, now: Millis, limit: usize) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        if let HashRef::Table(_) = self.get() {
            while names.len() < limit {
                let HashRef::Table(table) = self.get() else { break };
                let Expired::Found(entry) = table.next_expired(now) else {
                    break;
                };
                let name = entry.key().to_vec();
                self.change(|table| {
                    let hash = table.hash(&name);
                    table.delete(&name, hash)
                });
                names.push(name);
            }
        }
        self.note_expiries();
        names
    }

    /// Changes the table of a large hash.
    fn change<R>(&mut self, change: impl FnOnce(&mut Table) -> R) -> R {
        self.value.object_mut(|object| match object {
            ObjectMut::Hash(table) => change(table),
            other => unreachable!("{other:?} in place of a hash"),
        })
    }

    fn note_expiries(&mut self) {
        let soonest = self.get().soonest_expiry();
        self.expiries.note(self.key, soonest);
    }

    /// Makes a small hash a large one.
    fn enlarge(&mut self) {
        let table = large(self.get(), self.value.new_table());
        self.value.replace(NewValue::Object(Object::Hash(Box::new(table))));
    }
}

/// The block of a hash without fields.
#[must_use]
pub fn empty_pack() -> [u8; 7] {
    listpack::init()
}

/// The fields of a hash in this table, which is empty.
fn large(fields: HashRef<'_>, mut table: Table) -> Table {
    for field in fields {
        field.name.with(|name| {
            let hash = table.hash(name);
            field
                .value
                .with(|value| table.set(name, hash, NewValue::RawBytes(value), field.expiry));
        });
    }
    table
}

/// Builds a hash field by field, as a file or a payload has them.
#[derive(Debug)]
pub struct HashBuilder {
    limits: Limits,
    pack: Vec<u8>,
    /// The fields, once they are too many or too long for one block.
    table: Option<Box<Table>>,
    /// An empty table, until it is needed.
    spare: Option<Table>,
}

/// A field that is already in the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate;

impl HashBuilder {
    /// An empty hash; `table` is one of the database it is for.
    #[must_use]
    pub fn new(encodings: &Encodings, table: Table) -> Self {
        Self {
            limits: Limits::of(encodings),
            pack: listpack::init().to_vec(),
            table: None,
            spare: Some(table),
        }
    }

    /// A hash from a valid listpack of fields and values.
    #[must_use]
    pub fn from_pack(pack: Vec<u8>, encodings: &Encodings, table: Table) -> Self {
        let mut builder = Self {
            pack,
            ..Self::new(encodings, table)
        };
        if Listpack::new(&builder.pack).len() / 2 > builder.limits.entries {
            builder.enlarge();
        }
        builder
    }

    /// Adds a field.
    ///
    /// # Errors
    /// If there is one of this name, which may have the new value then.
    pub fn push(&mut self, name: &[u8], value: &[u8], expiry: Option<Millis>) -> Result<(), Duplicate> {
        let full = Listpack::new(&self.pack).len() / 2 >= self.limits.entries;
        if full || expiry.is_some() || !self.limits.admit(&self.pack, name, value) {
            self.enlarge();
        }
        let Some(table) = &mut self.table else {
            if Listpack::new(&self.pack).find(name, 1).is_some() {
                return Err(Duplicate);
            }
            listpack::append_many(&mut self.pack, &[name, value]);
            return Ok(());
        };
        let hash = table.hash(name);
        match table.set(name, hash, NewValue::RawBytes(value), expiry) {
            None => Ok(()),
            Some(_) => Err(Duplicate),
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.table {
            Some(table) => table.is_empty(),
            None => Listpack::new(&self.pack).is_empty(),
        }
    }

    /// The hash, for [`crate::Db::set`].
    #[must_use]
    pub fn finish(&mut self) -> NewValue<'_> {
        match self.table.take() {
            Some(table) => NewValue::Object(Object::Hash(table)),
            None => NewValue::Pack(Pack::Hash, &self.pack),
        }
    }

    fn enlarge(&mut self) {
        if let Some(table) = self.spare.take() {
            let pack = HashRef::Pack(Listpack::new(&self.pack));
            self.table = Some(Box::new(large(pack, table)));
        }
    }
}
