//! The slot of a list.

use super::KeySlot;
use crate::keys::{Event, Reader, Writer};
use crate::{Error, Result, WriteCtx};
use keyspace::{Direction, End, ListBuilder, ListMut, ListRef};

const LINSERT: Event = Event::new('l', "linsert");
const LSET: Event = Event::new('l', "lset");
const LREM: Event = Event::new('l', "lrem");
const LTRIM: Event = Event::new('l', "ltrim");

fn pushed(end: End) -> Event {
    match end {
        End::Head => Event::new('l', "lpush"),
        End::Tail => Event::new('l', "rpush"),
    }
}

fn popped(end: End) -> Event {
    match end {
        End::Head => Event::new('l', "lpop"),
        End::Tail => Event::new('l', "rpop"),
    }
}

/// The place of one key, where a list is or nothing.
pub struct ListSlot<'c, 'a> {
    slot: KeySlot<'c, 'a>,
}

impl<'c, 'a> ListSlot<'c, 'a> {
    pub(crate) fn new(slot: KeySlot<'c, 'a>) -> Self {
        Self { slot }
    }

    /// The list that is there now.
    #[must_use]
    pub fn get(&self) -> Option<ListRef<'_>> {
        // The slot was made after checking that no other type is here.
        self.slot.value().and_then(ListRef::of)
    }

    fn list_mut(&mut self) -> Option<ListMut<'_>> {
        let encodings = self.slot.encodings();
        ListMut::of(self.slot.value_mut()?, &encodings)
    }

    /// Puts elements in at an end, one after the other, creating the list if it is absent; its new length.
    pub fn push<'t>(mut self, end: End, texts: impl ExactSizeIterator<Item = &'t [u8]>) -> u64 {
        let count = texts.len() as u64;
        self.put(end, texts);
        self.slot.commit(count, pushed(end));
        self.get().map_or(0, ListRef::len)
    }

    /// Puts an element in that was taken from another list, where the change is counted.
    pub fn push_moved(mut self, end: End, text: &[u8]) {
        self.put(end, std::iter::once(text));
        self.slot.commit(0, pushed(end));
    }

    /// Takes `text`, the element at one end, out and puts it in again, at an end of the same list.
    pub fn turn(mut self, from: End, to: End, text: &[u8]) {
        let Some(mut list) = self.list_mut() else { return };
        let len = list.get().len();
        // One alone is at both ends, and the list must not be empty in between.
        if len > 1 {
            match from {
                End::Head => list.remove_range(0, 1),
                End::Tail => list.remove_range(len - 1, len),
            }
            list.push(to, std::iter::once(text));
        }
        self.slot.commit(0, pushed(to));
        self.slot.commit(1, popped(from));
    }

    fn put<'t>(&mut self, end: End, texts: impl Iterator<Item = &'t [u8]>) {
        if let Some(mut list) = self.list_mut() {
            return list.push(end, texts);
        }
        let mut list = ListBuilder::new(&self.slot.encodings(), self.slot.db().account());
        texts.for_each(|text| list.push(end, text));
        self.slot.create(list.finish());
    }

    /// Puts an element in before the one at `index`, or behind the last.
    pub fn insert(mut self, index: u64, text: &[u8]) {
        if let Some(mut list) = self.list_mut() {
            list.insert(index, text);
            self.slot.commit(1, LINSERT);
        }
    }

    /// Puts a text in place of the element at `index`.
    pub fn set(mut self, index: u64, text: &[u8]) {
        if let Some(mut list) = self.list_mut() {
            list.set(index, text);
            self.slot.commit(1, LSET);
        }
    }

    /// Takes elements out from an end, and the key away if none is left.
    pub fn pop(mut self, end: End, count: u64) {
        let Some(mut list) = self.list_mut() else { return };
        let len = list.get().len();
        let count = count.min(len);
        match end {
            End::Head => list.remove_range(0, count),
            End::Tail => list.remove_range(len - count, len),
        }
        self.slot.commit(count, popped(end));
        self.remove_if_empty();
    }

    /// Takes out all elements but those from `start` up to, not including, `end`.
    pub fn trim(mut self, start: u64, end: u64) {
        let Some(mut list) = self.list_mut() else { return };
        let len = list.get().len();
        list.remove_range(end, len);
        list.remove_range(0, start);
        let left = list.get().len();
        self.slot.commit(len - left, LTRIM);
        self.remove_if_empty();
    }

    /// Takes out the first `most` elements, in this direction, that are equal to `text`; how many there were.
    pub fn remove_equal(mut self, text: &[u8], most: u64, direction: Direction) -> u64 {
        let Some(mut list) = self.list_mut() else { return 0 };
        let removed = list.remove_equal(text, most, direction);
        if removed > 0 {
            self.slot.commit(removed, LREM);
        }
        self.remove_if_empty();
        removed
    }

    fn remove_if_empty(self) {
        if self.get().is_some_and(ListRef::is_empty) {
            self.slot.remove_emptied();
        }
    }
}

impl<'a> WriteCtx<'a> {
    /// The place of `key`, where a list is or nothing.
    pub fn list_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<ListSlot<'c, 'a>> {
        self.keys.list_slot(key)
    }
}

impl<'a> Writer<'a> {
    /// The place of `key`, where a list is or nothing.
    pub fn list_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<ListSlot<'c, 'a>> {
        let slot = self.key_slot(key);
        match slot.value() {
            Some(value) if ListRef::of(value).is_none() => Err(Error::WrongType),
            _ => Ok(ListSlot::new(slot)),
        }
    }
}

impl Reader<'_> {
    /// The list at `key`, or an error when another type is there.
    pub fn list(&mut self, key: &[u8]) -> Result<Option<ListRef<'_>>> {
        let Some(entry) = self.get(key) else { return Ok(None) };
        ListRef::of(entry.value()).map(Some).ok_or(Error::WrongType)
    }
}

impl KeySlot<'_, '_> {
    /// An empty list in the making, for this database.
    #[must_use]
    pub fn list_builder(&self) -> ListBuilder {
        ListBuilder::new(&self.encodings(), self.db().account())
    }

    /// Puts a list here, in place of whatever is there; an empty one takes away what is there.
    pub fn store_list(mut self, mut list: ListBuilder, event: Event) {
        if list.is_empty() {
            self.remove(Event::DEL);
            return;
        }
        let len = list.len();
        self.make_way();
        self.create(list.finish());
        self.keys.note_expiry(self.key, None);
        self.commit(len, event);
    }
}
