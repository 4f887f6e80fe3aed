//! What commands on groups propagate in place of themselves: what they did, to which entry.

use super::ids;
use crate::WriteCtx;
use keyspace::stream::Stream;
use keyspace::stream::stream::{Group, Pending, StreamId};

/// The words of a command, some of which are made on the way.
pub(super) type Words = Vec<Vec<u8>>;

/// `XCLAIM …`: gives an entry to its consumer as it has it now, and says how far the group has read.
pub(super) fn claim(key: &[u8], group: &Group, pending: &Pending) -> Words {
    claim_as(key, group, pending, ids::text(pending.id))
}

/// As [`claim`], of an id in these words.
pub(super) fn claim_as(key: &[u8], group: &Group, pending: &Pending, id: Vec<u8>) -> Words {
    let consumer = group.consumer(pending.consumer).map_or(&[][..], |found| found.name());
    let number = |number: i128| number.to_string().into_bytes();
    vec![
        b"XCLAIM".to_vec(),
        key.to_vec(),
        group.name().to_vec(),
        consumer.to_vec(),
        b"0".to_vec(),
        id,
        b"TIME".to_vec(),
        number(pending.delivered_ms.into()),
        b"RETRYCOUNT".to_vec(),
        number(pending.deliveries.into()),
        b"FORCE".to_vec(),
        b"JUSTID".to_vec(),
        b"LASTID".to_vec(),
        ids::text(group.last_id()),
    ]
}

/// `XGROUP SETID …`: how far the group has read.
pub(super) fn set_id(key: &[u8], group: &Group) -> Words {
    let read = group.entries_read().map_or(-1, |read| read as i64);
    vec![
        b"XGROUP".to_vec(),
        b"SETID".to_vec(),
        key.to_vec(),
        group.name().to_vec(),
        ids::text(group.last_id()),
        b"ENTRIESREAD".to_vec(),
        read.to_string().into_bytes(),
    ]
}

/// `XGROUP CREATECONSUMER …`
pub(super) fn create_consumer(key: &[u8], group: &[u8], consumer: &[u8]) -> Words {
    [b"XGROUP", &b"CREATECONSUMER"[..], key, group, consumer]
        .map(<[u8]>::to_vec)
        .into()
}

/// What a command did, gathered while it does it. Nothing is, while nobody listens.
pub(super) struct Effects {
    listening: bool,
    gathered: Vec<Words>,
}

impl Effects {
    pub(super) fn new(ctx: &WriteCtx<'_>) -> Self {
        Self {
            listening: ctx.keys.data().propagation.is_enabled(),
            gathered: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, words: impl FnOnce() -> Words) {
        if self.listening {
            self.gathered.push(words());
        }
    }

    /// Propagates what was gathered, in its order, in place of the request.
    pub(super) fn propagate(self, ctx: &mut WriteCtx<'_>) {
        propagate(ctx, &self.gathered);
    }
}

/// Propagates these commands in place of the request.
pub(super) fn propagate(ctx: &mut WriteCtx<'_>, effects: &[Words]) {
    ctx.propagate_nothing();
    for words in effects {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        ctx.propagate(&words);
    }
}

/// The first id of a stream, deleted entries and all, as exact trims are propagated.
pub(super) fn first_kept(stream: &Stream) -> StreamId {
    stream.first_with_deleted().unwrap_or(StreamId::MAX)
}
