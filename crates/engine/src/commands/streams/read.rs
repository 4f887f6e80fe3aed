//! XREAD and XREADGROUP: entries that are new to a client, or to a group, of several streams at once; waiting for them
//! if asked to.

use super::effects::{self, Effects};
use super::{STREAM, ids, quoting, reply};
use crate::blocking::{Timeout, Wanted};
use crate::slots::StreamSlot;
use crate::spec::{Begin, Find};
use crate::{ArgsExt, Arity, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use keyspace::stream::stream::{ConsumerId, GroupMut, Pending, StreamId};
use keyspace::stream::{Stream, entries_up_to, has_gaps_from};
use resp::reply::Deferred;
use resp::{Args, OwnedArgs, Proto, Reply};

const fn keys_after_streams(from: i64) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword { word: "STREAMS", from },
        find: Find::Range {
            last: -1,
            step: 1,
            limit: 2,
        },
        flags: KeyFlags::RO.or(KeyFlags::ACCESS),
        notes: "",
    }
}

/// XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]
pub static XREAD: Spec = Spec {
    name: "xread",
    summary: "Returns entries of several streams after given IDs, waiting for some if asked to.",
    complexity: "O(N) for each stream, with N the number of entries returned.",
    arity: Arity::AtLeast(4),
    keys: &[keys_after_streams(1)],
    flags: Flags::BLOCKING,
    args: "[COUNT count] [BLOCK milliseconds] STREAMS <key [key ...] id [id ...]>",
    handler: Handler::Read(read),
    ..STREAM
};

/// XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]
pub static XREADGROUP: Spec = Spec {
    name: "xreadgroup",
    summary: "Returns entries that are new to a consumer group, or those that a consumer was given before.",
    complexity: "O(N) for each stream, with N the number of entries returned.",
    arity: Arity::AtLeast(7),
    keys: &[keys_after_streams(4)],
    flags: Flags::BLOCKING,
    args: "GROUP <group consumer> [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS <key [key ...] id [id ...]>",
    handler: Handler::Write(read_group),
    ..STREAM
};

/// Entries that are returned of each stream after waiting, where the request does not say.
const COUNT_AFTER_WAITING: u64 = 1000;

/// Whose words are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Read,
    ReadGroup,
}

/// Both commands' options.
struct Request<'a> {
    /// Group and consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    /// 0 is all.
    count: u64,
    timeout: Option<(Timeout, &'a [u8])>,
    no_ack: bool,
    keys: Args<'a>,
    ids: Args<'a>,
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>, command: Command) -> Result<Self> {
        let mut request = Self {
            group: None,
            count: 0,
            timeout: None,
            no_ack: false,
            keys: args.take(0),
            ids: args.take(0),
        };
        let mut at = 1;
        loop {
            let more = args.len().saturating_sub(at + 1);
            if more >= 1 && args.is(at, "block") {
                let word = args.get(at + 1);
                request.timeout = Some((Timeout::integer_milliseconds(word)?, word));
                at += 2;
            } else if more >= 1 && args.is(at, "count") {
                request.count = args.int(at + 1)?.max(0) as u64;
                at += 2;
            } else if more >= 1 && args.is(at, "streams") {
                request.parse_streams(args.skip(at + 1))?;
                break;
            } else if more >= 2 && args.is(at, "group") {
                only_for_groups(command, "GROUP")?;
                request.group = Some((args.get(at + 1), args.get(at + 2)));
                at += 3;
            } else if args.is(at, "noack") {
                only_for_groups(command, "NOACK")?;
                request.no_ack = true;
                at += 1;
            } else {
                return Err(Error::Syntax);
            }
        }
        if command == Command::ReadGroup && request.group.is_none() {
            return Err(Error::fixed("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(request)
    }

    fn parse_streams(&mut self, words: Args<'a>) -> Result {
        if !words.len().is_multiple_of(2) {
            return Err(Error::fixed(
                "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
            ));
        }
        self.keys = words.take(words.len() / 2);
        self.ids = words.skip(words.len() / 2);
        Ok(())
    }

    /// The place of the first such key.
    fn find_key(&self, key: &[u8]) -> Option<usize> {
        self.keys.iter().position(|other| other == key)
    }

    fn count_after_waiting(&self) -> u64 {
        if self.count == 0 {
            COUNT_AFTER_WAITING
        } else {
            self.count
        }
    }
}

fn only_for_groups(command: Command, option: &str) -> Result {
    if command == Command::ReadGroup {
        return Ok(());
    }
    Err(Error::err(format_args!(
        "The {option} option is only supported by XREADGROUP. You called XREAD instead."
    )))
}

/// The reply: for each stream that has something, its key and its entries.
#[derive(Default)]
struct Streams {
    header: Option<Deferred>,
    count: usize,
}

impl Streams {
    /// Begins the next stream: its entries follow.
    fn begin(&mut self, reply: &mut Reply<'_>, key: &[u8]) {
        let flat = reply.proto() == Proto::Resp3;
        if self.header.is_none() {
            self.header = Some(if flat {
                reply.deferred_map()
            } else {
                reply.deferred_array()
            });
        }
        if !flat {
            reply.array(2);
        }
        reply.bulk(key);
        self.count += 1;
    }

    /// Whether there was any.
    fn end(self, reply: &mut Reply<'_>) -> bool {
        let any = self.header.is_some();
        if let Some(header) = self.header {
            reply.set_deferred(header, self.count);
        }
        any
    }
}

/// The entries of a stream after an id, the last that a client knows.
fn entries_after(reply: &mut Reply<'_>, stream: &Stream, known: StreamId, count: u64) {
    match known.next() {
        Some(start) => reply::entries(reply, stream.range(start, StreamId::MAX), count),
        // Stock's increment wraps around.
        None => reply::entries(reply, stream.range(StreamId::MIN, StreamId::MAX), count),
    };
}

fn read(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let request = Request::parse(args, Command::Read)?;
    let mut known = Vec::with_capacity(request.keys.len());
    for (key, word) in request.keys.iter().zip(request.ids.iter()) {
        let stream = ctx.keys.stream(key)?;
        known.push(match word {
            b"$" => stream.map_or(StreamId::MIN, |stream| stream.counters().last_id),
            b">" => {
                return Err(Error::fixed(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
                ));
            }
            word => ids::strict(word, 0)?,
        });
    }
    if let Some(at) = ctx.resumed().and_then(|key| request.find_key(key)) {
        return read_resumed(ctx, &request, at, known[at]);
    }
    let mut streams = Streams::default();
    for (key, known) in request.keys.iter().zip(&known) {
        let Some(stream) = ctx.keys.stream(key)? else { continue };
        if stream.last().is_some_and(|last| last.id() > *known) {
            streams.begin(&mut ctx.reply, key);
            entries_after(&mut ctx.reply, stream, *known, request.count);
        }
    }
    if streams.end(&mut ctx.reply) {
        return Ok(());
    }
    let Some((timeout, word)) = request.timeout else {
        ctx.reply.null_array();
        return Ok(());
    };
    let count = request.count.to_string();
    let mut words: Vec<Vec<u8>> = [b"XREAD", &b"COUNT"[..], count.as_bytes(), b"BLOCK", word, b"STREAMS"]
        .map(<[u8]>::to_vec)
        .into();
    words.extend(request.keys.iter().map(<[u8]>::to_vec));
    words.extend(known.into_iter().map(ids::text));
    ctx.block_as(
        Wanted::Stream,
        request.keys.iter(),
        timeout,
        OwnedArgs::from_words(words),
    )
}

/// A key is ready: only that one is looked at.
fn read_resumed(ctx: &mut ReadCtx<'_>, request: &Request<'_>, at: usize, known: StreamId) -> Result {
    let key = request.keys.get(at);
    let Some(stream) = ctx.keys.stream(key)?.filter(|stream| stream.counters().last_id > known) else {
        return wait_on(ctx, request);
    };
    let mut streams = Streams::default();
    streams.begin(&mut ctx.reply, key);
    entries_after(&mut ctx.reply, stream, known, request.count_after_waiting());
    streams.end(&mut ctx.reply);
    Ok(())
}

fn wait_on(ctx: &mut ReadCtx<'_>, request: &Request<'_>) -> Result {
    match request.timeout {
        Some((timeout, _)) => ctx.block(Wanted::Stream, request.keys.iter(), timeout),
        // What has blocked once had a timeout.
        None => Ok(()),
    }
}

/// A consumer that reads one stream for its group.
struct Reading<'a> {
    key: &'a [u8],
    group: &'a [u8],
    consumer: &'a [u8],
    no_ack: bool,
    now_ms: i64,
}

/// Replies new entries and notes to whom they were given; or those that the consumer was given before and has not
/// acknowledged. Propagated as XCLAIM of each entry, or as how far the group has read where nothing is to be
/// acknowledged.
fn read_group(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let request = Request::parse(args, Command::ReadGroup)?;
    // Checked when the request was read.
    let Some((group, consumer)) = request.group else {
        return Err(Error::Syntax);
    };
    let reading = |key| Reading {
        key,
        group,
        consumer,
        no_ack: request.no_ack,
        now_ms: ctx.now.unix_ms().0,
    };
    if let Some(at) = ctx.resumed().and_then(|key| request.find_key(key)) {
        let reading = reading(request.keys.get(at));
        return read_group_resumed(ctx, &request, &reading);
    }
    let readings: Vec<Reading<'_>> = request.keys.iter().map(reading).collect();
    let mut starts = Vec::with_capacity(readings.len());
    for (reading, word) in readings.iter().zip(request.ids.iter()) {
        starts.push(group_start(ctx, reading, word)?);
    }
    let mut effects = Effects::new(ctx);
    let mut streams = Streams::default();
    for (reading, start) in readings.iter().zip(starts) {
        let mut slot = ctx.keys.stream_slot(reading.key)?;
        // A consumer for whom there is nothing is not made, nor counts as seen.
        if start.is_none() && !slot.get().is_some_and(|stream| has_news(stream, reading)) {
            continue;
        }
        let Some(consumer) = find_or_create_consumer(&mut slot, reading, &mut effects) else {
            continue;
        };
        streams.begin(&mut ctx.reply, reading.key);
        match start {
            Some(start) => give_again(&mut ctx.reply, &mut slot, reading, start, request.count),
            None => give_new(
                &mut ctx.reply,
                &mut slot,
                reading,
                consumer,
                request.count,
                &mut effects,
            ),
        }
        slot.commit_aside(1, None);
    }
    effects.propagate(ctx);
    if streams.end(&mut ctx.reply) {
        return Ok(());
    }
    match request.timeout {
        Some((timeout, _)) => ctx.block(Wanted::StreamOrGone, request.keys.iter(), timeout),
        None => {
            ctx.reply.null_array();
            Ok(())
        }
    }
}

/// Where the consumer's own history is to be read from; `None` for what is new to the group.
fn group_start(ctx: &mut WriteCtx<'_>, reading: &Reading<'_>, word: &[u8]) -> Result<Option<StreamId>> {
    let stream = ctx.keys.stream(reading.key)?;
    if stream.and_then(|stream| stream.group(reading.group)).is_none() {
        let parts: [&[u8]; 3] = [
            b"NOGROUP No such key '",
            b"' or consumer group '",
            b"' in XREADGROUP with GROUP option",
        ];
        return Err(quoting(parts, reading.key, reading.group));
    }
    match word {
        b"$" => Err(Error::fixed(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
             specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
        )),
        b">" => Ok(None),
        word => ids::strict(word, 0).map(|id| Some(id).filter(|id| *id != StreamId::MAX)),
    }
}

fn has_news(stream: &Stream, reading: &Reading<'_>) -> bool {
    let read = stream.group(reading.group).map(|group| group.last_id());
    let last = stream.last().map(|entry| entry.id());
    last.is_some_and(|last| read.is_some_and(|read| last > read))
}

fn find_or_create_consumer(
    slot: &mut StreamSlot<'_, '_>,
    reading: &Reading<'_>,
    effects: &mut Effects,
) -> Option<ConsumerId> {
    let (consumer, created) = slot
        .edit(|stream| {
            stream.update_group(reading.group, |group| {
                find_or_create(group, reading.consumer, reading.now_ms)
            })
        })
        .flatten()?;
    if created {
        slot.commit_aside(1, Some(Event::XGROUP_CREATECONSUMER));
        if reading.no_ack {
            // Else the first XCLAIM makes it.
            effects.push(|| effects::create_consumer(reading.key, reading.group, reading.consumer));
        }
    }
    Some(consumer)
}

/// The consumer of this name, seen now; and whether it is new.
pub(super) fn find_or_create(group: &mut GroupMut<'_>, name: &[u8], now_ms: i64) -> (ConsumerId, bool) {
    let known = group.find_consumer(name).map(|consumer| consumer.id());
    match known {
        Some(consumer) => {
            group.touch_consumer(consumer, now_ms);
            (consumer, false)
        }
        None => {
            let created = group.create_consumer(name, now_ms);
            // It was just looked for and not found.
            (created.expect("a consumer of a new name"), true)
        }
    }
}

/// Writes entries that are new to the group, and gives them to the consumer.
fn give_new(
    reply: &mut Reply<'_>,
    slot: &mut StreamSlot<'_, '_>,
    reading: &Reading<'_>,
    consumer: ConsumerId,
    count: u64,
    effects: &mut Effects,
) {
    let Some(stream) = slot.get() else { return };
    let read = stream
        .group(reading.group)
        .map_or(StreamId::MIN, |group| group.last_id());
    let mut given = Vec::new();
    let start = read.next().unwrap_or(StreamId::MIN);
    let entries = stream
        .range(start, StreamId::MAX)
        .inspect(|entry| given.push(entry.id()));
    reply::entries(reply, entries, count);
    let counters = stream.counters();
    slot.edit(|stream| {
        stream.update_group(reading.group, |group| {
            let mut moved = false;
            for id in given {
                if id > group.last_id() {
                    let read = match group.entries_read() {
                        Some(read) if !has_gaps_from(&counters, id) => Some(read.wrapping_add(1)),
                        other if counters.entries_added == 0 => other,
                        _ => entries_up_to(&counters, id),
                    };
                    group.set_entries_read(read);
                    group.set_last_id(id);
                    moved = true;
                }
                if !reading.no_ack {
                    let pending = Pending {
                        id,
                        delivered_ms: reading.now_ms,
                        deliveries: 1,
                        consumer,
                    };
                    group.set_pending(pending);
                    effects.push(|| effects::claim(reading.key, group, &pending));
                }
            }
            // Else every XCLAIM has told how far the group has read.
            if moved && reading.no_ack {
                effects.push(|| effects::set_id(reading.key, group));
            }
        });
    });
}

/// What waits for the consumer after `known`.
fn history<'s>(
    stream: &'s Stream,
    reading: &Reading<'_>,
    known: StreamId,
    count: u64,
) -> impl Iterator<Item = StreamId> + use<'s> {
    let consumer = stream
        .group(reading.group)
        .and_then(|group| group.find_consumer(reading.consumer));
    let limit = if count == 0 { usize::MAX } else { count as usize };
    let start = known.next().unwrap_or(StreamId::MIN);
    consumer
        .into_iter()
        .flat_map(move |consumer| consumer.pending_from(start))
        .take(limit)
}

/// Writes the entries of a consumer's history, and counts that they were given to it once more.
fn give_again(
    reply: &mut Reply<'_>,
    slot: &mut StreamSlot<'_, '_>,
    reading: &Reading<'_>,
    known: StreamId,
    count: u64,
) {
    let Some(stream) = slot.get() else { return };
    let ids: Vec<StreamId> = history(stream, reading, known, count).collect();
    reply.array(ids.len());
    let mut there = Vec::with_capacity(ids.len());
    for id in ids {
        if reply::entry_of(reply, stream, id) {
            there.push(id);
        } else {
            // Deleted since it was given.
            reply.array(2);
            reply::id(reply, id);
            reply.null_array();
        }
    }
    slot.edit(|stream| {
        stream.update_group(reading.group, |group| {
            for id in there {
                if let Some(pending) = group.pending(id).copied() {
                    group.set_pending(Pending {
                        delivered_ms: reading.now_ms,
                        deliveries: pending.deliveries.wrapping_add(1),
                        ..pending
                    });
                }
            }
        })
    });
}

/// A key is ready: only that one is looked at. Key or group may be gone.
fn read_group_resumed(ctx: &mut WriteCtx<'_>, request: &Request<'_>, reading: &Reading<'_>) -> Result {
    const GONE: Error = Error::fixed("UNBLOCKED the stream key no longer exists");
    const NO_GROUP: Error = Error::fixed("NOGROUP the consumer group this client was blocked on no longer exists");
    let mut effects = Effects::new(ctx);
    let mut slot = match ctx.keys.stream_slot(reading.key) {
        Ok(slot) if slot.get().is_some() => slot,
        _ => return Err(GONE),
    };
    let Some(stream) = slot.get() else { return Err(GONE) };
    let read = stream.group(reading.group).ok_or(NO_GROUP)?.last_id();
    if stream.counters().last_id <= read {
        return match request.timeout {
            Some((timeout, _)) => ctx.block(Wanted::StreamOrGone, request.keys.iter(), timeout),
            // What has blocked once had a timeout.
            None => Ok(()),
        };
    }
    let consumer = find_or_create_consumer(&mut slot, reading, &mut effects).ok_or(NO_GROUP)?;
    let mut streams = Streams::default();
    streams.begin(&mut ctx.reply, reading.key);
    let count = request.count_after_waiting();
    give_new(&mut ctx.reply, &mut slot, reading, consumer, count, &mut effects);
    streams.end(&mut ctx.reply);
    effects.propagate(ctx);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn a_group_is_given_each_entry_once() {
        check(
            "
            > XADD s 1-1 a 1
            1-1
            > XADD s 1-2 a 2
            1-2
            > XGROUP CREATE s g 0
            OK
            > XREADGROUP GROUP g alice COUNT 1 STREAMS s >
            [[\"s\", [[\"1-1\", [\"a\", \"1\"]]]]]
            > XREADGROUP GROUP g bob NOACK STREAMS s >
            [[\"s\", [[\"1-2\", [\"a\", \"2\"]]]]]
            > XREADGROUP GROUP g alice STREAMS s >
            (nil)
            > XDEL s 1-1
            1
            > XREADGROUP GROUP g alice STREAMS s 0
            [[\"s\", [[\"1-1\", (nil)]]]]
            > XPENDING s g
            [1, \"1-1\", \"1-1\", [[\"alice\", \"1\"]]]
            > XPENDING s g - + 10
            [[\"1-1\", \"alice\", 0, 1]]
            > XACK s g 1-1 1-2
            1
            > XREADGROUP GROUP none alice STREAMS s >
            NOGROUP No such key 's' or consumer group 'none' in XREADGROUP with GROUP option
            > XREAD GROUP g alice STREAMS s 0
            ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.
            > XREADGROUP GROUP g alice STREAMS s
            ERR wrong number of arguments for 'xreadgroup' command
            > XREAD STREAMS s t 0
            ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.
            propagated: SELECT 0
            propagated: XADD s 1-1 a 1
            propagated: XADD s 1-2 a 2
            propagated: XGROUP CREATE s g 0
            propagated: XCLAIM s g alice 0 1-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1
            propagated: MULTI
            propagated: XGROUP CREATECONSUMER s g bob
            propagated: XGROUP SETID s g 1-2 ENTRIESREAD 2
            propagated: EXEC
            propagated: XDEL s 1-1
            propagated: XACK s g 1-1 1-2
            propagated: nothing
            ",
        );
    }

    #[test]
    fn who_waits_is_told_of_what_comes_after() {
        check(
            "
            > XADD s 1-1 a 1
            1-1
            @1> XREAD BLOCK 0 STREAMS t s $ $

            > XADD s 2-1 a 2
            2-1
            > XADD s 3-1 a 3
            3-1
            @1> PING
            [[\"s\", [[\"2-1\", [\"a\", \"2\"]]]]] PONG
            > XREAD STREAMS s $
            (nil)
            > XREAD COUNT 1 STREAMS s 1
            [[\"s\", [[\"1-1\", [\"a\", \"1\"]]]]]
            ",
        );
    }

    #[test]
    fn who_waits_for_a_group_hears_that_it_is_gone() {
        check(
            "
            > XGROUP CREATE s g $ MKSTREAM
            OK
            @1> XREADGROUP GROUP g a BLOCK 0 STREAMS s >

            @2> XREADGROUP GROUP g b BLOCK 0 STREAMS s >

            > XADD s 1-1 a 1
            1-1
            > XGROUP DESTROY s g
            1
            @1> PING
            [[\"s\", [[\"1-1\", [\"a\", \"1\"]]]]] PONG
            @2> PING
            NOGROUP the consumer group this client was blocked on no longer exists PONG
            > XGROUP CREATE s g $
            OK
            @1> XREADGROUP GROUP g a BLOCK 0 STREAMS s >

            > DEL s
            1
            @1> PING
            UNBLOCKED the stream key no longer exists PONG
            propagated: SELECT 0
            propagated: XGROUP CREATE s g $ MKSTREAM
            propagated: XADD s 1-1 a 1
            propagated: XCLAIM s g a 0 1-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1
            propagated: XGROUP DESTROY s g
            propagated: XGROUP CREATE s g $
            propagated: DEL s
            propagated: nothing
            ",
        );
    }
}
