//! The slot of a stream.

use super::KeySlot;
use crate::error::{Error, Result};
use crate::keys::{Event, Reader, WriteCtx, Writer};
use keyspace::stream::Stream;
use keyspace::stream::stream::NodeLimits;
use keyspace::{Entry, NewValue, Object, ObjectMut, ValueRef};

/// The place of one key, where a stream is or nothing.
///
/// Not every change of a stream counts as one for those who WATCH it, as stock has it: changes of its groups do not.
pub struct StreamSlot<'c, 'a> {
    slot: KeySlot<'c, 'a>,
}

impl StreamSlot<'_, '_> {
    /// The stream that is there now.
    #[must_use]
    pub fn get(&self) -> Option<&Stream> {
        // The slot was made after checking that no other type is here.
        self.slot.entry().and_then(|entry| stream_of(entry).ok())
    }

    /// Puts an empty stream here if nothing is. Must be committed.
    pub fn create(&mut self) {
        if !self.slot.exists() {
            let stream = Stream::new(self.slot.db().account().clone());
            self.slot.create(NewValue::Object(Object::Stream(Box::new(stream))));
        }
    }

    /// Changes the stream that is here; `None` if there is none. Must be committed.
    pub fn edit<R>(&mut self, change: impl FnOnce(&mut Stream) -> R) -> Option<R> {
        let mut value = self.slot.value_mut()?;
        value.object_mut(|object| match object {
            ObjectMut::Stream(stream) => Some(change(stream)),
            // The slot was made after checking that no other type is here.
            _ => None,
        })
    }

    /// Says that entries were changed, in so many ways.
    pub fn commit(&mut self, changes: u64, event: Event) {
        self.slot.commit(changes, event);
    }

    /// Says that something else was changed, in so many ways: who watches the key does not care.
    pub fn commit_aside(&mut self, changes: u64, event: Option<Event>) {
        let (key, keys) = (self.slot.key, &mut *self.slot.keys);
        keys.commits += changes;
        if let Some(event) = event {
            keys.announce(key, event);
        }
    }

    /// Names one more event of a change that is already committed.
    pub fn announce(&mut self, event: Event) {
        self.slot.keys.announce(self.slot.key, event);
    }

    /// Lets clients that wait for the key look again.
    pub fn wake(&mut self) {
        let (key, db) = (self.slot.key, self.slot.keys.db());
        let data = &mut *self.slot.keys.reader.data;
        data.blocking.touch(db, key, &data.keyspace);
    }

    /// Lets those who watch the key know that it is there now.
    pub fn tell_watchers(&mut self) {
        let (key, db) = (self.slot.key, self.slot.keys.db());
        self.slot.keys.reader.data.watch.touch(db, key);
    }

    /// Up to which size entries go into one node.
    #[must_use]
    pub fn node_limits(&self) -> NodeLimits {
        let encodings = self.slot.encodings();
        NodeLimits {
            bytes: encodings.stream_node_max_bytes,
            entries: encodings.stream_node_max_entries.max(0) as u64,
        }
    }
}

/// The stream of an entry, or an error when it holds another type.
fn stream_of(entry: &Entry) -> Result<&Stream> {
    match entry.value() {
        ValueRef::Stream(stream) => Ok(stream),
        _ => Err(Error::WrongType),
    }
}

impl Reader<'_> {
    /// The stream at `key`, or an error when another type is there.
    pub fn stream(&mut self, key: &[u8]) -> Result<Option<&Stream>> {
        self.get(key).map(stream_of).transpose()
    }
}

impl<'a> Writer<'a> {
    /// The place of `key`, where a stream is or nothing.
    pub fn stream_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<StreamSlot<'c, 'a>> {
        let slot = self.key_slot(key);
        slot.entry().map(stream_of).transpose()?;
        Ok(StreamSlot { slot })
    }
}

impl<'a> WriteCtx<'a> {
    /// The place of `key`, where a stream is or nothing.
    pub fn stream_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<StreamSlot<'c, 'a>> {
        self.keys.stream_slot(key)
    }
}
