//! The slot of a set.

use super::KeySlot;
use crate::keys::{Event, Writer};
use crate::{Error, Result, WriteCtx};
use keyspace::{SetBuilder, SetMut, SetRef};

const SADD: Event = Event::new('s', "sadd");
const SREM: Event = Event::new('s', "srem");
const SPOP: Event = Event::new('s', "spop");

/// The place of one key, where a set is or nothing.
pub struct SetSlot<'c, 'a> {
    slot: KeySlot<'c, 'a>,
}

impl<'c, 'a> SetSlot<'c, 'a> {
    pub(crate) fn new(slot: KeySlot<'c, 'a>) -> Self {
        Self { slot }
    }

    /// The set that is there now.
    #[must_use]
    pub fn get(&self) -> Option<SetRef<'_>> {
        // The slot was made after checking that no other type is here.
        self.slot.value().and_then(SetRef::of)
    }

    /// An empty set in the making, for this database.
    #[must_use]
    pub fn builder(&self) -> SetBuilder {
        SetBuilder::new(self.slot.db().new_table(), self.slot.encodings())
    }

    /// Puts members in, creating the set if it is absent; how many of them are new.
    pub fn insert<'m>(mut self, members: impl IntoIterator<Item = &'m [u8]>) -> u64 {
        let limits = self.slot.encodings();
        let added = match self.slot.value_mut().and_then(|value| SetMut::of(value, limits)) {
            Some(mut set) => set.add(members),
            None => {
                let mut builder = self.builder();
                let added = members.into_iter().filter(|member| builder.add(member)).count();
                builder.with_value(|value| self.slot.create(value));
                added as u64
            }
        };
        if added > 0 {
            self.slot.commit(added, SADD);
        }
        added
    }

    /// Takes members out, and the key away if none is left; how many of them were there.
    pub fn remove<'m>(self, members: impl IntoIterator<Item = &'m [u8]>) -> u64 {
        self.take_out(members, SREM)
    }

    /// Takes members out that were drawn by chance, as [`Self::remove`].
    pub fn pop<'m>(self, members: impl IntoIterator<Item = &'m [u8]>) -> u64 {
        self.take_out(members, SPOP)
    }

    fn take_out<'m>(mut self, members: impl IntoIterator<Item = &'m [u8]>, event: Event) -> u64 {
        let limits = self.slot.encodings();
        let Some(mut set) = self.slot.value_mut().and_then(|value| SetMut::of(value, limits)) else {
            return 0;
        };
        let removed = set.remove(members);
        let emptied = set.get().is_empty();
        if removed > 0 {
            self.slot.commit(removed, event);
        }
        if emptied {
            self.slot.remove_emptied();
        }
        removed
    }

    /// Takes all members out, drawn by chance as they are; how many there were.
    pub fn pop_all(mut self) -> u64 {
        let count = self.get().map_or(0, SetRef::len) as u64;
        if count > 0 {
            self.slot.commit(count, SPOP);
            self.slot.remove_emptied();
        }
        count
    }
}

impl<'a> WriteCtx<'a> {
    /// The place of `key`, where a set is or nothing.
    pub fn set_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<SetSlot<'c, 'a>> {
        self.keys.set_slot(key)
    }
}

impl<'a> Writer<'a> {
    /// The place of `key`, where a set is or nothing.
    pub fn set_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<SetSlot<'c, 'a>> {
        let slot = self.key_slot(key);
        match slot.value() {
            Some(value) if SetRef::of(value).is_none() => Err(Error::WrongType),
            _ => Ok(SetSlot::new(slot)),
        }
    }
}

impl KeySlot<'_, '_> {
    /// Puts a set here, in place of whatever is there; an empty one takes away what is there.
    pub fn store_set(self, set: SetBuilder, event: Event) {
        if set.get().is_empty() {
            self.remove(Event::DEL);
        } else {
            set.with_value(|value| self.replace(value, event));
        }
    }
}
