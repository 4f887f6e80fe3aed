//! Entries as replies.

use super::ids;
use keyspace::stream::Stream;
use keyspace::stream::stream::{Entry, StreamId};
use resp::Reply;

/// The text of an id.
pub(super) fn id(reply: &mut Reply<'_>, id: StreamId) {
    reply.bulk(&ids::text(id));
}

/// An entry: its id, and an array of its fields and values.
pub(super) fn entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    id(reply, entry.id());
    reply.array(2 * entry.len());
    for (field, value) in entry.pairs() {
        field.with_text(|text| reply.bulk(text));
        value.with_text(|text| reply.bulk(text));
    }
}

/// As many entries as `count` says, 0 being all; how many there were.
pub(super) fn entries<'a>(reply: &mut Reply<'_>, all: impl Iterator<Item = Entry<'a>>, count: u64) -> usize {
    let header = reply.deferred_array();
    let limit = if count == 0 { usize::MAX } else { count as usize };
    let mut written = 0;
    for found in all.take(limit) {
        entry(reply, &found);
        written += 1;
    }
    reply.set_deferred(header, written);
    written
}

/// The entry of this id, or nothing and false.
pub(super) fn entry_of(reply: &mut Reply<'_>, stream: &Stream, id: StreamId) -> bool {
    let found = stream.get(id);
    if let Some(found) = &found {
        entry(reply, found);
    }
    found.is_some()
}

/// A number that may not be known.
pub(super) fn known(reply: &mut Reply<'_>, number: Option<i64>) {
    match number {
        Some(number) => reply.int(number),
        None => reply.null(),
    }
}
