//! Streams.
//!
//! ```text
//! nodes       count, then id(16, as a string) listpack …
//! counters    length, last id; from the second version on: first id, highest id deleted, entries ever added
//! groups      count, then of each:
//!   name, last id given out; from the second version on: entries read
//!   pending     count, then id(16) moment(8) deliveries …
//!   consumers   count, then of each:
//!     name, moment seen(8); in the third version: moment active(8)
//!     pending     count, then id(16) …
//!
//! id: milliseconds, then number: as two lengths, or as 16 bytes, big-endian
//! ```

use super::{Home, Scratch};
use crate::error::LoadError;
use crate::format::ValueType;
use crate::input::{Input, StringRef};
use ds::stream::StreamId;
use ds::{NewValue, Object};
use keyspace::stream::{NotAStream, SavedCounters, StreamBuilder, entries_up_to};
use std::io::Read;

/// How many entries a group has read, where that is not known.
const UNKNOWN_READ: u64 = u64::MAX;

pub(super) fn read<R: Read, T>(
    input: &mut Input<R>,
    scratch: &mut Scratch,
    value_type: ValueType,
    home: &Home,
    then: impl FnOnce(Option<NewValue<'_>>) -> T,
) -> Result<T, LoadError> {
    let mut builder = StreamBuilder::new(home.table.account());
    let at = input.at();
    let corrupt = |NotAStream(what)| LoadError::Corrupt { at, what };
    for _ in 0..input.length()? {
        let id = node_id(input)?;
        let node = super::Block::read(input, value_type)?;
        builder
            .node(id, node.bytes)
            .map_err(|NotAStream(what)| node.corrupt(what))?;
    }
    let (length, last_id) = (input.length()?, id(input)?);
    let counters = if value_type >= ValueType::Stream2 {
        Some(SavedCounters {
            first_id: id(input)?,
            max_deleted_id: id(input)?,
            entries_added: input.length()?,
        })
    } else {
        None
    };
    builder.counters(length, last_id, counters).map_err(corrupt)?;
    for _ in 0..input.length()? {
        group(input, scratch, value_type, &mut builder, at)?;
    }
    let stream = builder.finish().map_err(corrupt)?;
    Ok(then(Some(NewValue::Object(Object::Stream(Box::new(stream))))))
}

fn group<R: Read>(
    input: &mut Input<R>,
    scratch: &mut Scratch,
    value_type: ValueType,
    builder: &mut StreamBuilder,
    at: u64,
) -> Result<(), LoadError> {
    let corrupt = |NotAStream(what)| LoadError::Corrupt { at, what };
    scratch.text.clear();
    scratch.text.extend_from_slice(input.text()?);
    let last_id = id(input)?;
    let entries_read = if value_type >= ValueType::Stream2 {
        Some(input.length()?).filter(|read| *read != UNKNOWN_READ)
    } else {
        entries_up_to(&builder.known(), last_id)
    };
    builder.group(&scratch.text, last_id, entries_read).map_err(corrupt)?;
    for _ in 0..input.length()? {
        let id = raw_id(input)?;
        let (delivered_ms, deliveries) = (input.millis()?, input.length()?);
        builder.pending(id, delivered_ms, deliveries).map_err(corrupt)?;
    }
    for _ in 0..input.length()? {
        scratch.text.clear();
        scratch.text.extend_from_slice(input.text()?);
        let seen_ms = input.millis()?;
        if value_type >= ValueType::Stream3 {
            input.millis()?;
        }
        builder.consumer(&scratch.text, seen_ms).map_err(corrupt)?;
        for _ in 0..input.length()? {
            builder.consumer_pending(raw_id(input)?).map_err(corrupt)?;
        }
    }
    Ok(())
}

/// The id that the entries of a node count from.
fn node_id<R: Read>(input: &mut Input<R>) -> Result<StreamId, LoadError> {
    let at = input.at();
    match input.string()? {
        StringRef::Bytes(bytes) if bytes.len() == 16 => {
            let mut id = [0; 16];
            id.copy_from_slice(bytes);
            Ok(StreamId::from_bytes(id))
        }
        _ => Err(LoadError::Corrupt {
            at,
            what: "a node of a stream without an id",
        }),
    }
}

fn id<R: Read>(input: &mut Input<R>) -> Result<StreamId, LoadError> {
    Ok(StreamId::new(input.length()?, input.length()?))
}

fn raw_id<R: Read>(input: &mut Input<R>) -> Result<StreamId, LoadError> {
    Ok(StreamId::from_bytes(input.array()?))
}
