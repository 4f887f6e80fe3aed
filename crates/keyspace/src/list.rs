//! Lists: elements in an order, reached fast from both ends and by index.
//!
//! ```text
//!   small    Pack::List   one listpack                                 up to the size of one node
//!   large    List         a sequence of such nodes, see `ds::list`     long elements have nodes of their own
//! ```
//!
//! A list becomes large when its elements do not fit into one node (`list-max-listpack-size`), and never becomes small
//! again.

use std::ops::ControlFlow;
use std::sync::Arc;

use ds::account::Account;
use ds::list::{Limits, List, NodeRef};
use ds::listpack::{self, Listpack};
use ds::{NewValue, Object, ObjectMut, Pack, ValueMut, ValueRef};

use crate::Encodings;

pub use ds::list::{Direction, End};
pub use ds::listpack::Value;

/// What a counted block needs besides its bytes: nodes are to fill the allocator's size classes.
const BLOCK_HEADER_BYTES: usize = 8;

fn limits(encodings: &Encodings) -> Limits {
    const SMALLEST_CLASS_BYTES: usize = 4096;
    const LARGEST_CLASS: u32 = 5;
    /// A node of a limited number of entries is limited in size too.
    const SAFE_BYTES: usize = 8192;
    let size = encodings.list_max_listpack_size;
    let (node_bytes, node_entries) = if size < 0 {
        let class = size.unsigned_abs().min(LARGEST_CLASS);
        (SMALLEST_CLASS_BYTES << (class - 1), usize::MAX)
    } else {
        (SAFE_BYTES, (size as usize).max(1))
    };
    Limits {
        node_bytes: node_bytes - BLOCK_HEADER_BYTES,
        node_entries,
        plain_bytes: usize::try_from(encodings.list_packed_threshold).unwrap_or(usize::MAX),
        compress_depth: encodings.list_compress_depth,
    }
}

/// Whether a list of one block may take one more element.
fn admits(limits: &Limits, pack: Listpack<'_>, text: &[u8]) -> bool {
    !limits.is_plain(text.len()) && limits.admit(pack.bytes().len(), pack.len(), listpack::encoded_bytes(text))
}

/// A list to look at.
#[derive(Clone, Copy, Debug)]
pub enum ListRef<'a> {
    /// In one block.
    Pack(Listpack<'a>),
    /// In nodes.
    Large(&'a List),
}

impl<'a> ListRef<'a> {
    /// The list that a value is; `None` for a value of another type.
    #[must_use]
    pub fn of(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::Pack(Pack::List, bytes) => Some(Self::Pack(Listpack::new(bytes))),
            ValueRef::List(list) => Some(Self::Large(list)),
            _ => None,
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(self) -> u64 {
        match self {
            Self::Pack(pack) => pack.len() as u64,
            Self::Large(list) => list.len(),
        }
    }

    /// Whether there are none: only in the middle of a change.
    #[must_use]
    pub fn is_empty(self) -> bool {
        match self {
            Self::Pack(pack) => pack.is_empty(),
            Self::Large(list) => list.is_empty(),
        }
    }

    /// Hands the element at `index` on; nothing if there is none.
    pub fn with<R>(self, index: u64, then: impl FnOnce(Value<'_>) -> R) -> Option<R> {
        match self {
            Self::Pack(pack) => Some(then(pack.get(pack.seek(i64::try_from(index).ok()?)?))),
            Self::Large(list) => list.with(index, then),
        }
    }

    /// Visits the elements from the one at `start` on, in this direction, until there are no more or `visit` breaks off.
    pub fn walk(self, start: u64, direction: Direction, visit: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
        let pack = match self {
            Self::Large(list) => return list.walk(start, direction, visit),
            Self::Pack(pack) => pack,
        };
        let Some(position) = i64::try_from(start).ok().and_then(|start| pack.seek(start)) else {
            return;
        };
        // Whether the visitor has broken off says nothing here: there is no more in either case.
        let _ = match direction {
            Direction::Forward => pack.iter_from(position).try_for_each(|(_, value)| visit(value)),
            Direction::Back => {
                let behind = pack.next(position).unwrap_or(pack.end());
                pack.iter_back_before(behind).try_for_each(|(_, value)| visit(value))
            }
        };
    }

    /// Visits all elements, from head to tail.
    pub fn for_each(self, mut visit: impl FnMut(Value<'_>)) {
        self.walk(0, Direction::Forward, &mut |value| {
            visit(value);
            ControlFlow::Continue(())
        });
    }

    /// Its nodes, from head to tail: for those who save it.
    pub fn nodes(self) -> impl Iterator<Item = NodeRef<'a>> {
        let (pack, large) = match self {
            Self::Pack(pack) => (Some(NodeRef::Pack(pack.bytes())), None),
            Self::Large(list) => (None, Some(list.nodes())),
        };
        pack.into_iter().chain(large.into_iter().flatten())
    }
}

/// A list to change.
#[derive(Debug)]
pub struct ListMut<'a> {
    value: ValueMut<'a>,
    limits: Limits,
}

impl<'a> ListMut<'a> {
    /// The list that a value is; `None` for a value of another type.
    #[must_use]
    pub fn of(value: ValueMut<'a>, encodings: &Encodings) -> Option<Self> {
        ListRef::of(value.value())?;
        Some(Self {
            value,
            limits: limits(encodings),
        })
    }

    /// The list as it is now.
    ///
    /// # Panics
    /// Never: the value was a list when this was made, and stays one.
    #[must_use]
    pub fn get(&self) -> ListRef<'_> {
        ListRef::of(self.value.value()).expect("a list stays one")
    }

    fn pack(&self) -> Option<Listpack<'_>> {
        match self.get() {
            ListRef::Pack(pack) => Some(pack),
            ListRef::Large(_) => None,
        }
    }

    /// Changes a large list.
    fn large<R>(&mut self, change: impl FnOnce(&mut List) -> R) -> R {
        self.value.object_mut(|object| match object {
            ObjectMut::List(list) => change(list),
            _ => unreachable!("the container of a list that is not one block"),
        })
    }

    /// Puts a list of one block into nodes.
    fn grow(&mut self) {
        let Some(pack) = self.pack() else { return };
        let list = large_from(pack, self.value.account(), &self.limits);
        self.value.replace(NewValue::Object(Object::List(Box::new(list))));
    }

    /// Puts elements in at an end, one after the other.
    pub fn push<'t>(&mut self, end: End, texts: impl IntoIterator<Item = &'t [u8]>) {
        let mut texts = texts.into_iter().peekable();
        while let (Some(pack), Some(text)) = (self.pack(), texts.peek().copied()) {
            if !admits(&self.limits, pack, text) {
                self.grow();
                break;
            }
            let mut pack = self.value.pack_mut();
            match end {
                End::Head => listpack::prepend(&mut pack, text),
                End::Tail => listpack::append(&mut pack, text),
            }
            texts.next();
        }
        if texts.peek().is_some() {
            let limits = self.limits;
            self.large(|list| texts.for_each(|text| list.push(end, text, &limits)));
        }
    }

    /// Puts an element in so that it is the one at `index`; at the tail if there are not so many.
    pub fn insert(&mut self, index: u64, text: &[u8]) {
        if let Some(pack) = self.pack() {
            if admits(&self.limits, pack, text) {
                let at = pack.seek(index as i64).unwrap_or(pack.end());
                return listpack::insert_before(&mut self.value.pack_mut(), at, text);
            }
            self.grow();
        }
        let limits = self.limits;
        self.large(|list| list.insert(index, text, &limits));
    }

    /// Puts a text in place of the element at `index`; nothing happens if there is none.
    pub fn set(&mut self, index: u64, text: &[u8]) {
        if let Some(pack) = self.pack() {
            let Some(at) = pack.seek(index as i64) else { return };
            // The old entry makes room, as much as it takes.
            let old_bytes = pack.next(at).unwrap_or(pack.end()).offset() - at.offset();
            let bytes = pack.bytes().len() - old_bytes + listpack::encoded_bytes(text);
            if !self.limits.is_plain(text.len()) && bytes <= self.limits.node_bytes.max(pack.bytes().len()) {
                return listpack::replace(&mut self.value.pack_mut(), at, text);
            }
            self.grow();
        }
        let limits = self.limits;
        self.large(|list| list.set(index, text, &limits));
    }

    /// Takes out the elements from `start` up to, not including, `end`.
    pub fn remove_range(&mut self, start: u64, end: u64) {
        if let Some(pack) = self.pack() {
            let Some(at) = pack.seek(start as i64).filter(|_| start < end) else {
                return;
            };
            let count = (end - start).min(pack.len() as u64) as usize;
            listpack::delete(&mut self.value.pack_mut(), at, count);
            return;
        }
        let limits = self.limits;
        self.large(|list| list.remove_range(start, end, &limits));
    }

    /// Takes out the first `most` elements, in this direction, that are equal to `text`; how many there were.
    pub fn remove_equal(&mut self, text: &[u8], most: u64, direction: Direction) -> u64 {
        let Some(pack) = self.pack() else {
            let limits = self.limits;
            return self.large(|list| list.remove_equal(text, most, direction, &limits));
        };
        let mut found = Vec::new();
        let mut from = pack.first();
        while let Some(at) = from.and_then(|from| pack.find_from(from, text, 0)) {
            found.push(at);
            from = pack.next(at);
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(found.len());
        match direction {
            Direction::Forward => found.truncate(most),
            Direction::Back => drop(found.drain(..found.len() - most)),
        }
        let mut pack = self.value.pack_mut();
        for at in found.iter().rev() {
            listpack::delete(&mut pack, *at, 1);
        }
        found.len() as u64
    }
}

fn large_from(pack: Listpack<'_>, account: &Arc<Account>, limits: &Limits) -> List {
    let mut list = List::new(account.clone());
    if !pack.is_empty() {
        list.push_pack(pack.bytes(), limits);
    }
    list
}

/// A list in the making: for new keys, results and loading.
#[derive(Debug)]
pub struct ListBuilder {
    limits: Limits,
    account: Arc<Account>,
    /// All elements, until they are too many.
    pack: Vec<u8>,
    large: Option<Box<List>>,
}

impl ListBuilder {
    /// An empty list for a database, whose account this is.
    #[must_use]
    pub fn new(encodings: &Encodings, account: &Arc<Account>) -> Self {
        Self {
            limits: limits(encodings),
            account: account.clone(),
            pack: listpack::init().to_vec(),
            large: None,
        }
    }

    fn large(&mut self) -> &mut List {
        self.large
            .get_or_insert_with(|| Box::new(large_from(Listpack::new(&self.pack), &self.account, &self.limits)))
    }

    /// Puts an element in at an end.
    pub fn push(&mut self, end: End, text: &[u8]) {
        let limits = self.limits;
        if self.large.is_none() && admits(&limits, Listpack::new(&self.pack), text) {
            match end {
                End::Head => listpack::prepend(&mut self.pack, text),
                End::Tail => listpack::append(&mut self.pack, text),
            }
        } else {
            self.large().push(end, text, &limits);
        }
    }

    /// Puts all elements of a listpack, which has been validated and is not empty, at the tail, as a node of theirs.
    pub fn push_pack(&mut self, pack: &[u8]) {
        /// A list of one node that is larger than this is not kept in its entry.
        const INLINE_BYTES_MAX: usize = 64 << 10;
        let limits = self.limits;
        if self.is_empty() && pack.len() <= INLINE_BYTES_MAX {
            self.pack.clear();
            self.pack.extend_from_slice(pack);
        } else {
            self.large().push_pack(pack, &limits);
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.large {
            Some(list) => list.len(),
            None => Listpack::new(&self.pack).len() as u64,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value to put at a key. The builder is of no use afterwards.
    pub fn finish(&mut self) -> NewValue<'_> {
        match self.large.take() {
            Some(list) => NewValue::Object(Object::List(list)),
            None => NewValue::Pack(Pack::List, &self.pack),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keyspace;
    use base::{DbIndex, Rng};

    fn encodings(rng: &mut Rng) -> Encodings {
        Encodings {
            list_max_listpack_size: *rng.pick(&[-1, -2, 1, 4, 0]),
            list_packed_threshold: *rng.pick(&[20, 1 << 30]),
            list_compress_depth: *rng.pick(&[0, 1]),
            ..Encodings::default()
        }
    }

    fn all(list: ListRef<'_>) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        list.for_each(|value| found.push(value.to_vec()));
        found
    }

    fn change(list: &mut ListMut<'_>, model: &mut Vec<Vec<u8>>, rng: &mut Rng) {
        let text = match rng.below(5) {
            0 => vec![b'x'; rng.below(3000) as usize],
            1 => rng.below(3).to_string().into_bytes(),
            _ => rng.below(100_000).to_string().into_bytes(),
        };
        let len = model.len() as u64;
        let index = rng.below(len + 1);
        match rng.below(9) {
            0 | 1 => {
                let texts = vec![text; rng.below(4) as usize];
                list.push(End::Head, texts.iter().map(Vec::as_slice));
                texts.into_iter().for_each(|text| model.insert(0, text));
            }
            2 | 3 => {
                list.push(End::Tail, [&text[..]]);
                model.push(text);
            }
            4 => {
                list.insert(index, &text);
                model.insert(index as usize, text);
            }
            5 if index < len => {
                list.set(index, &text);
                model[index as usize] = text;
            }
            6 => {
                let end = (index + rng.below(3)).min(len);
                list.remove_range(index, end);
                model.drain(index as usize..end as usize);
            }
            7 => {
                let most = rng.below(3);
                let mut at: Vec<usize> = (0..model.len()).rev().filter(|at| model[*at] == text).collect();
                at.truncate(most as usize);
                assert_eq!(list.remove_equal(&text, most, Direction::Back), at.len() as u64);
                at.into_iter().for_each(|at| drop(model.remove(at)));
            }
            _ => assert_eq!(
                list.get().with(index, |value| value.to_vec()),
                model.get(index as usize).cloned()
            ),
        }
    }

    /// In a keyspace that is frozen now and then, lists are as vectors, and memory is what it was in the end.
    #[test]
    fn behaves_as_a_vector() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut keyspace = Keyspace::new(1, seed);
            let hash = keyspace.hash(b"list");
            let mut model: Vec<Vec<u8>> = Vec::new();
            let mut frozen = Vec::new();
            let empty_bytes = keyspace.live_bytes();
            let mut builder = ListBuilder::new(&encodings(&mut rng), keyspace.db(DbIndex(0)).account());
            let db = keyspace.db_mut(DbIndex(0));
            db.set(b"list", hash, builder.finish(), None);
            for round in 0..600 {
                let value = keyspace.db_mut(DbIndex(0)).value_mut(b"list", hash).unwrap();
                let mut list = ListMut::of(value, &encodings(&mut rng)).unwrap();
                change(&mut list, &mut model, &mut rng);
                if round % 20 == 0 {
                    assert_eq!(all(list.get()), model);
                    assert_eq!(list.get().len(), model.len() as u64);
                }
                if rng.chance(1, 50) {
                    frozen.push(keyspace.freeze());
                }
                if rng.chance(1, 60) {
                    frozen.pop();
                }
            }
            drop(frozen);
            keyspace.db_mut(DbIndex(0)).delete(b"list", hash);
            assert_eq!(keyspace.live_bytes(), empty_bytes);
            assert_eq!(keyspace.frozen_bytes(), 0);
        }
    }

    #[test]
    fn builders_take_nodes_as_they_are() {
        let keyspace = Keyspace::new(1, 1);
        let encodings = Encodings::default();
        let mut pack = listpack::init().to_vec();
        listpack::append_many(&mut pack, &[b"a", b"2"]);
        let mut builder = ListBuilder::new(&encodings, keyspace.db(DbIndex(0)).account());
        builder.push_pack(&pack);
        assert!(matches!(builder.finish(), NewValue::Pack(Pack::List, bytes) if bytes == pack));

        let mut builder = ListBuilder::new(&encodings, keyspace.db(DbIndex(0)).account());
        builder.push_pack(&pack);
        builder.push(End::Tail, &[b'x'; 10_000]);
        builder.push_pack(&pack);
        assert_eq!(builder.len(), 5);
        let NewValue::Object(Object::List(list)) = builder.finish() else {
            panic!("a long element fits into no block");
        };
        let forms: Vec<_> = list.nodes().map(|node| matches!(node, NodeRef::Plain(_))).collect();
        assert_eq!(forms, [false, true, false]);
    }
}
