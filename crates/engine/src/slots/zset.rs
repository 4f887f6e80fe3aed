//! The slot of a sorted set.

use super::KeySlot;
use crate::ahead::KnownMember;
use crate::keys::{Event, Reader, Writer};
use crate::{Error, Result, WriteCtx};
use keyspace::{Ways, ZsetBuilder, ZsetMut, ZsetRef};

/// The place of one key, where a sorted set is or nothing.
pub struct ZsetSlot<'c, 'a> {
    slot: KeySlot<'c, 'a>,
    /// A sorted set is here.
    exists: bool,
}

impl<'c, 'a> ZsetSlot<'c, 'a> {
    /// Whether a sorted set is there now.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// The sorted set that is there now.
    #[must_use]
    pub fn get(&self) -> Option<ZsetRef<'_>> {
        // The slot was made after checking that no other type is here.
        self.slot.value().and_then(ZsetRef::of)
    }

    /// Changes the sorted set, one without members if there is none. What `change` gives says how many changes it was:
    /// none are no event. The key goes if no member is left.
    pub fn edit<R>(mut self, event: Event, change: impl FnOnce(&mut ZsetMut<'_>) -> (u64, R)) -> R {
        if !self.exists {
            self.slot.create(ZsetMut::empty());
        }
        let encodings = self.slot.encodings();
        let value = self.slot.value_mut().and_then(|value| ZsetMut::new(value, &encodings));
        let zset = value.expect("a sorted set, which was there or has just been made");
        let done = Done::of(zset, None, change);
        done.commit(self.slot, event)
    }
}

/// A change that was made, and must be committed.
struct Done<R> {
    changes: u64,
    /// No member is left.
    emptied: bool,
    /// The access clock is stamped.
    stamped: bool,
    result: R,
}

impl<R> Done<R> {
    /// Makes a change; with a stamp that does not depend on the one before, stamps the sorted set too.
    #[inline]
    fn of(mut zset: ZsetMut<'_>, stamp: Option<u32>, change: impl FnOnce(&mut ZsetMut<'_>) -> (u64, R)) -> Self {
        let (changes, result) = change(&mut zset);
        let emptied = zset.is_empty();
        assert!(changes > 0 || !emptied, "an empty sorted set that nobody has emptied");
        if let Some(stamp) = stamp.filter(|_| changes > 0) {
            zset.entry().touch(stamp);
        }
        Self {
            changes,
            emptied,
            stamped: stamp.is_some(),
            result,
        }
    }

    #[inline]
    fn commit(self, mut slot: KeySlot<'_, '_>, event: Event) -> R {
        if self.changes > 0 {
            if self.stamped {
                slot.commit_stamped(self.changes, event);
            } else {
                slot.commit(self.changes, event);
            }
        }
        if self.emptied {
            slot.remove_emptied();
        }
        self.result
    }
}

impl<'a> WriteCtx<'a> {
    /// What was found out of a member when memory was asked for it.
    pub(crate) fn known_member(&self, member: &[u8]) -> KnownMember {
        self.keys.reader.data.known_member(member)
    }

    /// The ways to places in sorted sets that were found then; to be [given back](Self::give_back_ways).
    pub(crate) fn take_ways(&mut self) -> Vec<Ways> {
        self.keys.reader.data.ahead.take_ways()
    }

    pub(crate) fn give_back_ways(&mut self, ways: Vec<Ways>) {
        self.keys.reader.data.ahead.give_back(ways);
    }

    /// The place of `key`, where a sorted set is or nothing.
    pub fn zset_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<ZsetSlot<'c, 'a>> {
        self.keys.zset_slot(key)
    }

    /// Changes the sorted set at `key` as [`ZsetSlot::edit`] does, without looking it up before: with `create` one without
    /// members where nothing is, else nothing there.
    pub fn edit_zset<R>(
        &mut self,
        key: &[u8],
        create: bool,
        event: Event,
        change: impl FnOnce(&mut ZsetMut<'_>) -> (u64, R),
    ) -> Result<Option<R>> {
        let mut slot = self.keys.key_slot(key);
        let (encodings, stamp) = (slot.encodings(), slot.plain_stamp());
        let value = match slot.value_mut() {
            None if !create => return Ok(None),
            None => {
                slot.create(ZsetMut::empty());
                slot.value_mut().expect("what has just been put there")
            }
            Some(value) => value,
        };
        let zset = ZsetMut::new(value, &encodings).ok_or(Error::WrongType)?;
        let done = Done::of(zset, stamp, change);
        Ok(Some(done.commit(slot, event)))
    }
}

impl<'a> Writer<'a> {
    /// The place of `key`, where a sorted set is or nothing.
    pub fn zset_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<ZsetSlot<'c, 'a>> {
        let slot = self.key_slot(key);
        let exists = match slot.value() {
            Some(value) if ZsetRef::of(value).is_none() => return Err(Error::WrongType),
            value => value.is_some(),
        };
        Ok(ZsetSlot { slot, exists })
    }
}

impl Reader<'_> {
    /// The sorted set at `key`, or an error when another type is there.
    pub fn zset(&mut self, key: &[u8]) -> Result<Option<ZsetRef<'_>>> {
        let Some(entry) = self.get(key) else { return Ok(None) };
        ZsetRef::of(entry.value()).map(Some).ok_or(Error::WrongType)
    }

    /// An empty sorted set in the making, for this database.
    #[must_use]
    pub fn zset_builder(&self) -> ZsetBuilder {
        ZsetBuilder::new(&self.data.settings.encodings, self.database().new_table())
    }
}

impl KeySlot<'_, '_> {
    /// Puts a sorted set here, in place of whatever is there; an empty one takes away what is there. Gives its length.
    pub fn store_zset(self, mut zset: ZsetBuilder, event: Event) -> u64 {
        let len = zset.len();
        if len == 0 {
            self.remove(Event::DEL);
        } else {
            self.replace(zset.finish(), event);
        }
        len
    }
}
