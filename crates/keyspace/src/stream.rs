//! Streams, as they are put together from what was saved.
//!
//! ```text
//!   node, node, …  counters  ( group  pending, …  ( consumer  its pending ids … ) … ) …  finish
//! ```
//!
//! What is saved names the consumer of a pending entry only in the consumer's own list, which comes after the group's;
//! the two are brought together here.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use ds::account::Account;
use ds::stream::{ConsumerId, Counters, Pending, StreamId, validate_node};

pub use ds::stream::{self, Stream};

/// How many entries up to `id` the stream has ever had, where that can be told without a look at them: at its ends, and
/// only while nothing between was deleted.
#[must_use]
pub fn entries_up_to(counters: &Counters, id: StreamId) -> Option<u64> {
    if counters.entries_added == 0 {
        return Some(0);
    }
    if (counters.length == 0 && id < counters.last_id) || id == counters.last_id {
        return Some(counters.entries_added);
    }
    if id > counters.last_id {
        return None;
    }
    // Both numbers can be set to anything by a client.
    let before_first = counters.entries_added.wrapping_sub(counters.length);
    match id.cmp(&counters.first_id) {
        _ if has_gaps(counters) => None,
        Ordering::Less => Some(before_first),
        Ordering::Equal => Some(before_first.wrapping_add(1)),
        Ordering::Greater => None,
    }
}

/// Whether something was deleted between the entries from `start` on, as far as the stream remembers.
#[must_use]
pub fn has_gaps_from(counters: &Counters, start: StreamId) -> bool {
    has_gaps(counters) && counters.length > 0 && start <= counters.max_deleted_id
}

/// Whether something was deleted behind the first entry, as far as the stream remembers.
fn has_gaps(counters: &Counters) -> bool {
    counters.max_deleted_id != StreamId::MIN && counters.max_deleted_id >= counters.first_id
}

/// How many entries of the stream a group that has read so far has not been given, where that can be told.
#[must_use]
pub fn lag(counters: &Counters, last_id: StreamId, entries_read: Option<u64>) -> Option<i64> {
    if counters.entries_added == 0 {
        return Some(0);
    }
    let read = entries_read
        .filter(|_| !has_gaps_from(counters, last_id))
        .or_else(|| entries_up_to(counters, last_id))?;
    Some(counters.entries_added.wrapping_sub(read) as i64)
}

/// Why saved parts do not make a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAStream(pub &'static str);

/// Puts a stream together.
#[derive(Debug)]
pub struct StreamBuilder {
    stream: Stream,
    group: Option<GroupParts>,
}

#[derive(Debug)]
struct GroupParts {
    name: Vec<u8>,
    pending: BTreeMap<StreamId, Parts>,
    consumer: Option<ConsumerId>,
}

#[derive(Debug)]
struct Parts {
    delivered_ms: i64,
    deliveries: u64,
    consumer: Option<ConsumerId>,
}

impl StreamBuilder {
    /// A builder of a stream for the keyspace of this account ([`crate::Db::account`]).
    #[must_use]
    pub fn new(account: &Arc<Account>) -> Self {
        Self {
            stream: Stream::new(account.clone()),
            group: None,
        }
    }

    /// Adds a node, whatever its bytes are: they are looked through.
    ///
    /// # Errors
    /// If it is not one, or not behind the others.
    pub fn node(&mut self, master: StreamId, pack: &[u8]) -> Result<(), NotAStream> {
        validate_node(master, pack).map_err(|damage| NotAStream(damage.what))?;
        if self.stream.push_node(master, pack) {
            Ok(())
        } else {
            Err(NotAStream("nodes of a stream out of order"))
        }
    }

    /// Sets what the stream knows of itself. Formats that do not say so leave `more` out: it is then taken for a stream of
    /// which nothing was ever deleted.
    ///
    /// # Errors
    /// If it is said to be of another length than its nodes, or to end before them.
    pub fn counters(&mut self, length: u64, last_id: StreamId, more: Option<SavedCounters>) -> Result<(), NotAStream> {
        if length != self.stream.len() {
            return Err(NotAStream("a stream of another length than it says"));
        }
        if self.stream.last().is_some_and(|entry| entry.id() > last_id) {
            return Err(NotAStream("a stream with entries behind its last id"));
        }
        let first_id = self.stream.first().map_or(StreamId::MIN, |entry| entry.id());
        let more = more.unwrap_or(SavedCounters {
            first_id,
            max_deleted_id: StreamId::MIN,
            entries_added: length,
        });
        self.stream
            .set_counters(last_id, Some(more.entries_added), Some(more.max_deleted_id));
        self.stream.set_first_id(more.first_id);
        Ok(())
    }

    /// What the stream knows of itself so far.
    #[must_use]
    pub fn known(&self) -> Counters {
        self.stream.counters()
    }

    /// Begins a group. `entries_read` is `None` where it is not known.
    ///
    /// # Errors
    /// If there is one of this name.
    pub fn group(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<u64>) -> Result<(), NotAStream> {
        self.end_group()?;
        if !self.stream.create_group(name, last_id, entries_read) {
            return Err(NotAStream("two groups of a stream with one name"));
        }
        self.group = Some(GroupParts {
            name: name.to_vec(),
            pending: BTreeMap::new(),
            consumer: None,
        });
        Ok(())
    }

    /// Adds an entry that the group has given to one of its consumers.
    ///
    /// # Errors
    /// If it was added already.
    pub fn pending(&mut self, id: StreamId, delivered_ms: i64, deliveries: u64) -> Result<(), NotAStream> {
        let parts = Parts {
            delivered_ms,
            deliveries,
            consumer: None,
        };
        match self.group.as_mut().and_then(|group| group.pending.insert(id, parts)) {
            None => Ok(()),
            Some(_) => Err(NotAStream("an entry of a stream is pending twice")),
        }
    }

    /// Begins a consumer of the group.
    ///
    /// # Errors
    /// If there is one of this name.
    pub fn consumer(&mut self, name: &[u8], seen_ms: i64) -> Result<(), NotAStream> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let created = self
            .stream
            .update_group(&group.name, |group| group.create_consumer(name, seen_ms));
        group.consumer = created.flatten();
        match group.consumer {
            Some(_) => Ok(()),
            None => Err(NotAStream("Duplicate stream consumer detected")),
        }
    }

    /// Says that a pending entry of the group was given to the consumer.
    ///
    /// # Errors
    /// If the group has no such pending entry, or another consumer has it.
    pub fn consumer_pending(&mut self, id: StreamId) -> Result<(), NotAStream> {
        let Some(group) = &mut self.group else { return Ok(()) };
        match group.pending.get_mut(&id) {
            Some(parts) if parts.consumer.is_none() => {
                parts.consumer = group.consumer;
                Ok(())
            }
            Some(_) => Err(NotAStream("an entry of a stream is pending for two consumers")),
            None => Err(NotAStream("a consumer's pending entry that its group does not know")),
        }
    }

    fn end_group(&mut self) -> Result<(), NotAStream> {
        let Some(parts) = self.group.take() else { return Ok(()) };
        let filled = self.stream.update_group(&parts.name, |group| {
            parts.pending.iter().all(|(id, parts)| {
                let Some(consumer) = parts.consumer else { return false };
                group.set_pending(Pending {
                    id: *id,
                    delivered_ms: parts.delivered_ms,
                    deliveries: parts.deliveries,
                    consumer,
                });
                true
            })
        });
        match filled {
            Some(true) => Ok(()),
            _ => Err(NotAStream("a pending entry of a group without a consumer")),
        }
    }

    /// The stream.
    ///
    /// # Errors
    /// If a pending entry of the last group has no consumer.
    pub fn finish(mut self) -> Result<Stream, NotAStream> {
        self.end_group()?;
        Ok(self.stream)
    }
}

/// What later formats say of a stream in addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedCounters {
    /// The id of its first entry; zero where there is none.
    pub first_id: StreamId,
    /// The largest id that was ever deleted; zero if none was.
    pub max_deleted_id: StreamId,
    /// Entries that were ever added.
    pub entries_added: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ds::stream::NodeLimits;

    const LIMITS: NodeLimits = NodeLimits { bytes: 0, entries: 3 };

    fn id(ms: u64) -> StreamId {
        StreamId::new(ms, 0)
    }

    #[test]
    fn a_stream_is_put_together_from_its_parts() {
        let account = Arc::default();
        let mut original = Stream::new(Arc::clone(&account));
        for ms in 1..=10 {
            original.append(id(ms), &[b"f", b"v"], LIMITS);
        }
        let mut builder = StreamBuilder::new(&account);
        for (master, pack) in original.nodes() {
            builder.node(master, pack).unwrap();
        }
        let (master, pack) = original.nodes().next().unwrap();
        assert!(builder.node(master, pack).is_err());
        assert!(builder.node(id(99), b"damaged").is_err());
        assert!(builder.counters(9, id(10), None).is_err());
        builder.counters(10, id(12), None).unwrap();
        assert_eq!(builder.known().first_id, id(1));
        builder.group(b"g", id(5), Some(5)).unwrap();
        builder.pending(id(1), 100, 1).unwrap();
        builder.pending(id(2), 200, 2).unwrap();
        assert!(builder.pending(id(2), 200, 2).is_err());
        builder.consumer(b"c", 7).unwrap();
        assert!(builder.consumer(b"c", 7).is_err());
        builder.consumer(b"d", 8).unwrap();
        builder.consumer_pending(id(2)).unwrap();
        assert!(builder.consumer_pending(id(2)).is_err());
        assert!(builder.consumer_pending(id(3)).is_err());
        builder.consumer_pending(id(1)).unwrap();
        assert!(builder.group(b"g", id(5), None).is_err());
        let stream = builder.finish().unwrap();
        let group = stream.group(b"g").unwrap();
        assert_eq!((group.pending_len(), group.entries_read()), (2, Some(5)));
        assert_eq!(group.find_consumer(b"d").unwrap().pending_len(), 2);
    }

    #[test]
    fn a_pending_entry_needs_a_consumer() {
        let mut builder = StreamBuilder::new(&Arc::default());
        builder.group(b"g", id(5), None).unwrap();
        builder.pending(id(1), 100, 1).unwrap();
        assert!(builder.finish().is_err());
    }
}
