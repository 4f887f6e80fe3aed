//! Values in their written form: the type's number, and what follows the key.
//!
//! ```text
//! value                        number, form
//! string                       0   a string
//! set                          2   count, members; 11 if it is an intset: that, as a string
//! sorted set                   5   count, members with scores, from the highest; 17 if it is a listpack
//! hash                         4   count, fields with values; 16 if it is a listpack
//! hash with expiring fields    22  of Valkey, 24 of Redis: see `decode::hash`
//! list                         18  count of nodes, each: 1 for one long element, 2 for a listpack; a string
//! stream                       19  see `decode::stream`
//! ```

use crate::decode::list;
use crate::error::SaveError;
use crate::output::{Sink, StringWriter, put_compressed, put_length};
use ds::list::{List, NodeRef};
use ds::listpack::{Listpack, Value};
use ds::stream::{Group, Stream, StreamId};
use ds::zset::Zset;
use ds::{Pack, Table};
use keyspace::hash::{Field, HashRef, Text};
use keyspace::{ChunkedString, ValueRef};

const STRING: u8 = 0;
const SET: u8 = 2;
const HASH: u8 = 4;
const ZSET: u8 = 5;
const SET_INTSET: u8 = 11;
const HASH_LISTPACK: u8 = 16;
const ZSET_LISTPACK: u8 = 17;
const LIST_QUICKLIST: u8 = 18;
const STREAM: u8 = 19;
const HASH_EXPIRING: u8 = 22;
const HASH_METADATA: u8 = 24;

/// Stands for the number of entries that a group has read, where that is not known.
const UNKNOWN_READ: u64 = u64::MAX;

/// Stands for the moment of a field that never expires.
const NEVER: i64 = -1;

/// Long strings above this size are written from their chunks as they are: to compress them, all would have to be
/// brought together twice.
const COMPRESSED_CHUNKED_MAX: usize = 16 * 1024 * 1024;

/// In which form hashes with expiring fields are written. Version 10 has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldExpiries {
    /// They are not: saving one fails.
    Refused,
    /// As Valkey 9 reads them, version 80.
    Valkey,
    /// As Redis 7.4 reads them, version 12.
    Redis,
}

/// The number of the type that `value` is written as.
pub(crate) fn type_byte(value: ValueRef<'_>, expiries: FieldExpiries) -> Result<u8, SaveError> {
    Ok(match value {
        ValueRef::Int(_) | ValueRef::Bytes(_) | ValueRef::Chunked(_) => STRING,
        ValueRef::Pack(Pack::Intset, _) => SET_INTSET,
        ValueRef::Pack(Pack::Set, _) | ValueRef::Set(_) => SET,
        ValueRef::Pack(Pack::Hash, _) => HASH_LISTPACK,
        ValueRef::Hash(table) if table.expiring_len() == 0 => HASH,
        ValueRef::Hash(_) => match expiries {
            FieldExpiries::Refused => return Err(SaveError::FieldExpiries),
            FieldExpiries::Valkey => HASH_EXPIRING,
            FieldExpiries::Redis => HASH_METADATA,
        },
        ValueRef::Pack(Pack::Zset, _) => ZSET_LISTPACK,
        ValueRef::Zset(_) => ZSET,
        ValueRef::Pack(Pack::List, _) | ValueRef::List(_) => LIST_QUICKLIST,
        ValueRef::Stream(_) => STREAM,
        other => unreachable!("a {} of an unknown kind", other.value_type().name()),
    })
}

/// Writes values, one after the other, to one place.
pub(crate) struct Encoder<'a, S> {
    pub(crate) out: &'a mut S,
    pub(crate) strings: &'a mut StringWriter,
    pub(crate) gathered: &'a mut Vec<u8>,
}

impl<S: Sink> Encoder<'_, S> {
    /// What follows the key.
    pub(crate) fn value(&mut self, value: ValueRef<'_>, expiries: FieldExpiries) -> Result<(), SaveError> {
        match value {
            ValueRef::Int(number) => Ok(self.strings.put_int(self.out, number)?),
            ValueRef::Bytes(bytes) => self.string(bytes),
            ValueRef::Chunked(string) => self.chunked(string),
            ValueRef::Pack(Pack::Intset | Pack::Hash | Pack::Zset, block) => self.string(block),
            ValueRef::Pack(Pack::Set, block) => self.packed_set(Listpack::new(block)),
            ValueRef::Pack(Pack::List, block) => {
                self.length(1)?;
                self.length(list::PACKED)?;
                self.string(block)
            }
            ValueRef::Set(table) => self.set(table),
            ValueRef::Hash(table) if table.expiring_len() == 0 => self.hash(table),
            ValueRef::Hash(table) => match expiries {
                FieldExpiries::Refused => Err(SaveError::FieldExpiries),
                FieldExpiries::Valkey => self.expiring_hash(table),
                FieldExpiries::Redis => self.metadata_hash(table),
            },
            ValueRef::List(list) => self.list(list),
            ValueRef::Zset(zset) => self.zset(zset),
            ValueRef::Stream(stream) => self.stream(stream),
            other => unreachable!("a {} of an unknown kind", other.value_type().name()),
        }
    }

    fn length(&mut self, length: u64) -> Result<(), SaveError> {
        Ok(put_length(self.out, length)?)
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), SaveError> {
        self.strings.put(self.out, bytes)?;
        self.out.checkpoint()
    }

    fn entry(&mut self, value: Value<'_>) -> Result<(), SaveError> {
        match value {
            Value::Int(number) => Ok(self.strings.put_int(self.out, number)?),
            Value::Bytes(bytes) => self.string(bytes),
        }
    }

    fn text(&mut self, text: Text<'_>) -> Result<(), SaveError> {
        match text {
            Text::Int(number) => Ok(self.strings.put_int(self.out, number)?),
            Text::Bytes(bytes) => self.string(bytes),
            Text::Chunked(string) => self.chunked(string),
        }
    }

    fn millis(&mut self, millis: i64) -> Result<(), SaveError> {
        Ok(self.out.put(&millis.to_le_bytes())?)
    }

    fn chunked(&mut self, string: &ChunkedString) -> Result<(), SaveError> {
        if self.strings.compresses() && string.len() <= COMPRESSED_CHUNKED_MAX {
            self.gathered.clear();
            self.gathered.reserve(string.len());
            string.chunks().for_each(|chunk| self.gathered.extend_from_slice(chunk));
            self.strings.put(self.out, self.gathered)?;
            return self.out.checkpoint();
        }
        self.length(string.len() as u64)?;
        for chunk in string.chunks() {
            self.out.put(chunk)?;
            self.out.checkpoint()?;
        }
        Ok(())
    }

    fn list(&mut self, list: &List) -> Result<(), SaveError> {
        self.length(list.node_count())?;
        for node in list.nodes() {
            match node {
                NodeRef::Pack(block) => {
                    self.length(list::PACKED)?;
                    self.string(block)?;
                }
                NodeRef::Compressed { plain_bytes, bytes } => {
                    self.length(list::PACKED)?;
                    put_compressed(self.out, bytes, plain_bytes)?;
                    self.out.checkpoint()?;
                }
                NodeRef::Plain(element) => {
                    self.length(list::PLAIN)?;
                    self.string(element)?;
                }
            }
        }
        Ok(())
    }

    fn packed_set(&mut self, members: Listpack<'_>) -> Result<(), SaveError> {
        self.length(members.len() as u64)?;
        members.iter().try_for_each(|(_, member)| self.entry(member))
    }

    fn set(&mut self, members: &Table) -> Result<(), SaveError> {
        self.length(members.len())?;
        members.iter().try_for_each(|member| self.string(member.key()))
    }

    fn hash(&mut self, fields: &Table) -> Result<(), SaveError> {
        self.length(fields.len())?;
        HashRef::Table(fields).iter().try_for_each(|field| self.field(field))
    }

    fn field(&mut self, field: Field<'_>) -> Result<(), SaveError> {
        self.text(field.name)?;
        self.text(field.value)
    }

    fn expiring_hash(&mut self, fields: &Table) -> Result<(), SaveError> {
        self.length(fields.len())?;
        for field in HashRef::Table(fields) {
            self.field(field)?;
            self.millis(field.expiry.map_or(NEVER, |expiry| expiry.0))?;
        }
        Ok(())
    }

    fn metadata_hash(&mut self, fields: &Table) -> Result<(), SaveError> {
        let expiries = HashRef::Table(fields).iter().filter_map(|field| field.expiry);
        let soonest = expiries.map(|expiry| expiry.0.max(0)).min().unwrap_or(0);
        self.millis(soonest)?;
        self.length(fields.len())?;
        for field in HashRef::Table(fields) {
            let after = field.expiry.map_or(0, |expiry| expiry.0.max(0) - soonest + 1);
            self.length(after as u64)?;
            self.field(field)?;
        }
        Ok(())
    }

    /// From the highest score down, so that stock, reading it, always inserts at the front of its list.
    fn zset(&mut self, zset: &Zset) -> Result<(), SaveError> {
        self.length(zset.len())?;
        for (member, score) in zset.iter_back_from(zset.len().wrapping_sub(1)) {
            self.string(member)?;
            self.out.put(&score.to_le_bytes())?;
        }
        Ok(())
    }

    fn stream(&mut self, stream: &Stream) -> Result<(), SaveError> {
        self.length(stream.node_count())?;
        for (master, node) in stream.nodes() {
            self.string(&master.to_bytes())?;
            self.string(node)?;
        }
        let counters = stream.counters();
        self.length(stream.len())?;
        self.id(counters.last_id)?;
        self.id(counters.first_id)?;
        self.id(counters.max_deleted_id)?;
        self.length(counters.entries_added)?;
        self.length(stream.group_count())?;
        stream.groups().try_for_each(|group| self.group(group))
    }

    fn group(&mut self, group: &Group) -> Result<(), SaveError> {
        self.string(group.name())?;
        self.id(group.last_id())?;
        self.length(group.entries_read().unwrap_or(UNKNOWN_READ))?;
        self.length(group.pending_len())?;
        for pending in group.pending_from(StreamId::MIN) {
            self.out.put(&pending.id.to_bytes())?;
            self.millis(pending.delivered_ms)?;
            self.length(pending.deliveries)?;
            self.out.checkpoint()?;
        }
        self.length(group.consumer_count())?;
        for consumer in group.consumers() {
            self.string(consumer.name())?;
            self.millis(consumer.seen_ms())?;
            self.length(consumer.pending_len())?;
            for id in consumer.pending_from(StreamId::MIN) {
                self.out.put(&id.to_bytes())?;
                self.out.checkpoint()?;
            }
        }
        Ok(())
    }

    fn id(&mut self, id: StreamId) -> Result<(), SaveError> {
        self.length(id.ms)?;
        self.length(id.seq)
    }
}
