//! Sets: members without order, each once.
//!
//! ```text
//!   Pack::Intset   integers only, up to `set-max-intset-entries`      sorted, 2 to 8 bytes each
//!      │ a member that is no integer, or too many
//!      ├──────────► Pack::Set   a listpack of up to 128 members of up to 64 bytes
//!      │               │ more, or longer
//!      └───────────────┴──────► Set   a table of entries without values
//! ```
//!
//! A set never goes back to a smaller form. Users are told `hashtable` of the lower two: the stock server keeps a table
//! for both.

use base::Rng;
use ds::intset::{self, Intset};
use ds::listpack::{self, Listpack};
use ds::{Bytes, Encoding, NewValue, Object, ObjectMut, Pack, Table, ValueMut, ValueRef};
use std::collections::BTreeSet;

use crate::encodings::Encodings;

pub use ds::listpack::Value as Member;

/// A listpack of more members becomes a table.
const PACK_MEMBERS_MAX: usize = 128;

/// A longer member makes a table of a listpack.
const PACK_MEMBER_BYTES_MAX: usize = 64;

/// Intsets end here whatever the configuration says: their size must fit into 32 bits.
const INTSET_MEMBERS_MAX: usize = 1 << 30;

/// A set to look at.
#[derive(Clone, Copy, Debug)]
pub enum SetRef<'a> {
    /// Integers.
    Intset(Intset<'a>),
    /// A few members of any kind.
    Pack(Listpack<'a>),
    /// Many.
    Table(&'a Table),
}

impl<'a> SetRef<'a> {
    /// The set that a value is; `None` for a value of another type.
    #[must_use]
    pub fn of(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::Pack(Pack::Intset, bytes) => Some(Self::Intset(Intset::new(bytes))),
            ValueRef::Pack(Pack::Set, bytes) => Some(Self::Pack(Listpack::new(bytes))),
            ValueRef::Set(table) => Some(Self::Table(table)),
            _ => None,
        }
    }

    /// How many members there are.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::Intset(set) => set.len(),
            Self::Pack(list) => list.len(),
            Self::Table(table) => table.len() as usize,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// How users are told it is stored.
    #[must_use]
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Intset(_) => Encoding::Intset,
            Self::Pack(_) | Self::Table(_) => Encoding::Hashtable,
        }
    }

    /// Whether `member` is in it.
    #[must_use]
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            Self::Intset(set) => base::number::parse_i64(member).is_some_and(|number| set.contains(number)),
            Self::Pack(list) => list.find(member, 0).is_some(),
            Self::Table(table) => table.get(member, table.hash(member)).is_some(),
        }
    }

    /// The members: integers in order, others in none.
    pub fn iter(self) -> impl Iterator<Item = Member<'a>> {
        let (mut intset, mut list, mut table) = (None, None, None);
        match self {
            Self::Intset(set) => intset = Some(set.iter().map(Member::Int)),
            Self::Pack(members) => list = Some(members.iter().map(|(_, member)| member)),
            Self::Table(members) => table = Some(members.iter().map(|entry| Member::Bytes(entry.key()))),
        }
        let of_blocks = intset.into_iter().flatten().chain(list.into_iter().flatten());
        of_blocks.chain(table.into_iter().flatten())
    }

    /// A random member, every one equally likely.
    pub fn random(self, rng: &mut Rng) -> Option<Member<'a>> {
        match self {
            Self::Intset(set) if set.is_empty() => None,
            Self::Intset(set) => Some(Member::Int(set.get(rng.below(set.len() as u64) as usize))),
            Self::Pack(list) => {
                let index = rng.below((list.len() as u64).max(1)) as i64;
                list.seek(index).map(|position| list.get(position))
            }
            Self::Table(table) => table.random(rng).map(|entry| Member::Bytes(entry.key())),
        }
    }

    /// `count` different random members, or all if there are no more. Any set of so many is equally likely; their order
    /// is not random.
    pub fn sample(self, count: usize, rng: &mut Rng) -> Vec<Member<'a>> {
        /// Up to so many members for each wanted, all are looked at; from there on, chance seldom hits one twice.
        const SPARSE: usize = 3;
        let len = self.len();
        if count >= len {
            return self.iter().collect();
        }
        if matches!(self, Self::Table(_)) && count.saturating_mul(SPARSE) < len {
            let mut seen = BTreeSet::new();
            let mut found = Vec::with_capacity(count);
            while found.len() < count {
                let Some(member) = self.random(rng) else { break };
                if member.with_text(|text| seen.insert(text.to_vec())) {
                    found.push(member);
                }
            }
            return found;
        }
        let mut all: Vec<Member<'a>> = self.iter().collect();
        for at in 0..count {
            let other = at + rng.below((len - at) as u64) as usize;
            all.swap(at, other);
        }
        all.truncate(count);
        all
    }

    /// Visits about `count` members from `cursor` on, and gives the cursor to go on from; 0 starts, and as an answer means
    /// the end. A small set is visited whole, whatever the cursor.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Member<'_>)) -> u64 {
        match self {
            Self::Table(table) => table.scan(cursor, count, &mut |entry| visit(Member::Bytes(entry.key()))),
            _ => {
                self.iter().for_each(visit);
                0
            }
        }
    }
}

/// A set to change.
#[derive(Debug)]
pub struct SetMut<'a> {
    value: ValueMut<'a>,
    limits: Encodings,
}

impl<'a> SetMut<'a> {
    /// The set that a value is; `None` for a value of another type.
    #[must_use]
    pub fn of(value: ValueMut<'a>, limits: Encodings) -> Option<Self> {
        SetRef::of(value.value())?;
        Some(Self { value, limits })
    }

    /// The set as it is now.
    ///
    /// # Panics
    /// Never: the value was a set when this was made, and stays one.
    #[must_use]
    pub fn get(&self) -> SetRef<'_> {
        SetRef::of(self.value.value()).expect("a set")
    }

    /// Puts members in; how many of them are new.
    pub fn add<'m>(&mut self, members: impl IntoIterator<Item = &'m [u8]>) -> u64 {
        let (mut members, mut added) = (members.into_iter(), 0);
        while let Some(member) = members.next() {
            match self.value.value() {
                ValueRef::Set(_) => {
                    let rest = std::iter::once(member).chain(members);
                    return added
                        + self.change_table(|table| rest.filter(|member| add_to_table(table, member)).count());
                }
                ValueRef::Pack(Pack::Intset, _) => {
                    added += u64::from(match add_to_intset(&mut self.value.pack_mut(), member, self.limits) {
                        Added::Yes => true,
                        Added::No => false,
                        Added::Overfull => {
                            self.convert(0);
                            true
                        }
                        Added::NotHere => self.convert_and_add(member),
                    });
                }
                _ => {
                    added += u64::from(match add_to_pack(&mut self.value.pack_mut(), member) {
                        Added::Yes => true,
                        Added::No => false,
                        Added::Overfull | Added::NotHere => self.convert_and_add(member),
                    });
                }
            }
        }
        added
    }

    /// Takes members out, until it is empty; how many of them were there.
    pub fn remove<'m>(&mut self, members: impl IntoIterator<Item = &'m [u8]>) -> u64 {
        let members = members.into_iter();
        if matches!(self.value.value(), ValueRef::Set(_)) {
            let remove = |table: &mut Table, member: &[u8]| {
                let hash = table.hash(member);
                !table.is_empty() && table.delete(member, hash).is_some()
            };
            return self.change_table(|table| members.filter(|member| remove(table, member)).count());
        }
        let mut removed = 0;
        for member in members {
            let there = match self.get() {
                SetRef::Intset(_) => base::number::parse_i64(member)
                    .is_some_and(|number| intset::remove(&mut self.value.pack_mut(), number)),
                SetRef::Pack(list) => match list.find(member, 0) {
                    Some(position) => listpack::delete(&mut self.value.pack_mut(), position, 1) > 0,
                    None => false,
                },
                SetRef::Table(_) => false,
            };
            removed += u64::from(there);
            if self.get().is_empty() {
                break;
            }
        }
        removed
    }

    fn change_table(&mut self, change: impl FnOnce(&mut Table) -> usize) -> u64 {
        self.value.object_mut(|object| match object {
            ObjectMut::Set(table) => change(table) as u64,
            // The value was seen to be a table of members.
            _ => 0,
        })
    }

    /// Takes the next larger form, and a member that did not fit into this one.
    fn convert_and_add(&mut self, member: &[u8]) -> bool {
        self.convert(member.len());
        self.add([member]) > 0
    }

    /// Takes the form that has room for one more member of `bytes` bytes; none if it is 0 members more.
    fn convert(&mut self, bytes: usize) {
        let grown = Form::grown(self.get(), bytes, || self.value.new_table());
        grown.with_value(|value| self.value.replace(value));
    }
}

/// What became of a member that was to be put into a compact form.
enum Added {
    Yes,
    No,
    /// It is in, and that is more than the form may hold.
    Overfull,
    /// This form does not take it.
    NotHere,
}

fn add_to_intset(bytes: &mut impl Bytes, member: &[u8], limits: Encodings) -> Added {
    let Some(number) = base::number::parse_i64(member) else {
        return Added::NotHere;
    };
    if !intset::insert(bytes, number) {
        return Added::No;
    }
    let configured = usize::try_from(limits.set_max_intset_entries).unwrap_or(usize::MAX);
    let most = configured.min(INTSET_MEMBERS_MAX);
    if Intset::new(bytes.as_slice()).len() > most {
        Added::Overfull
    } else {
        Added::Yes
    }
}

fn add_to_pack(bytes: &mut impl Bytes, member: &[u8]) -> Added {
    let list = Listpack::new(bytes.as_slice());
    if list.find(member, 0).is_some() {
        return Added::No;
    }
    if member.len() > PACK_MEMBER_BYTES_MAX || list.len() >= PACK_MEMBERS_MAX {
        return Added::NotHere;
    }
    listpack::append(bytes, member);
    Added::Yes
}

fn add_to_table(table: &mut Table, member: &[u8]) -> bool {
    let hash = table.hash(member);
    let new = table.get(member, hash).is_none();
    if new {
        table.set(member, hash, NewValue::RawBytes(b""), None);
    }
    new
}

/// A set outside of the keyspace.
#[derive(Debug)]
enum Form {
    Intset(Vec<u8>),
    Pack(Vec<u8>),
    Table(Table),
}

impl Form {
    /// The members of `set` in the next larger form that has room for one more of so many bytes.
    fn grown(set: SetRef<'_>, member_bytes: usize, new_table: impl FnOnce() -> Table) -> Self {
        let from_intset = matches!(set, SetRef::Intset(_));
        if from_intset && set.len() < PACK_MEMBERS_MAX && member_bytes <= PACK_MEMBER_BYTES_MAX {
            let mut bytes = listpack::init().to_vec();
            set.iter()
                .for_each(|member| member.with_text(|text| listpack::append(&mut bytes, text)));
            return Self::Pack(bytes);
        }
        let mut table = new_table();
        set.iter().for_each(|member| {
            member.with_text(|text| add_to_table(&mut table, text));
        });
        Self::Table(table)
    }

    fn get(&self) -> SetRef<'_> {
        match self {
            Self::Intset(bytes) => SetRef::Intset(Intset::new(bytes)),
            Self::Pack(bytes) => SetRef::Pack(Listpack::new(bytes)),
            Self::Table(table) => SetRef::Table(table),
        }
    }

    fn with_value<R>(self, then: impl FnOnce(NewValue<'_>) -> R) -> R {
        match self {
            Self::Intset(bytes) => then(NewValue::Pack(Pack::Intset, &bytes)),
            Self::Pack(bytes) => then(NewValue::Pack(Pack::Set, &bytes)),
            Self::Table(table) => then(NewValue::Object(Object::Set(Box::new(table)))),
        }
    }
}

/// A set in the making: for results and for loading.
#[derive(Debug)]
pub struct SetBuilder {
    form: Form,
    /// What a table for the database is made from.
    empty: Table,
    limits: Encodings,
}

impl SetBuilder {
    /// An empty set. `empty` is a new table of the database that it is for.
    #[must_use]
    pub fn new(empty: Table, limits: Encodings) -> Self {
        Self {
            form: Form::Intset(intset::init().to_vec()),
            empty,
            limits,
        }
    }

    /// Puts a member in; says whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        let (grow_for, new) = match &mut self.form {
            Form::Intset(bytes) => match add_to_intset(bytes, member, self.limits) {
                Added::Yes => return true,
                Added::No => return false,
                Added::Overfull => (0, true),
                Added::NotHere => (member.len(), false),
            },
            Form::Pack(bytes) => match add_to_pack(bytes, member) {
                Added::Yes => return true,
                Added::No => return false,
                Added::Overfull | Added::NotHere => (member.len(), false),
            },
            Form::Table(table) => return add_to_table(table, member),
        };
        self.form = Form::grown(self.form.get(), grow_for, || self.empty.new_inner());
        new || self.add(member)
    }

    /// Takes a member out; says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.form {
            Form::Intset(bytes) => base::number::parse_i64(member).is_some_and(|number| intset::remove(bytes, number)),
            Form::Pack(bytes) => match Listpack::new(bytes).find(member, 0) {
                Some(position) => listpack::delete(bytes, position, 1) > 0,
                None => false,
            },
            Form::Table(table) => {
                let hash = table.hash(member);
                table.delete(member, hash).is_some()
            }
        }
    }

    /// The set as it is now.
    #[must_use]
    pub fn get(&self) -> SetRef<'_> {
        self.form.get()
    }

    /// Hands the set on, to be put at a key.
    pub fn with_value<R>(self, then: impl FnOnce(NewValue<'_>) -> R) -> R {
        self.form.with_value(then)
    }
}
