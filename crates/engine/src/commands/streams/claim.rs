//! XCLAIM and XAUTOCLAIM: entries that were given to a consumer go over to another.

use super::effects::{self, Effects};
use super::read::find_or_create;
use super::{DELETES, STREAM, UPDATES, ids, no_key_or_group, reply};
use crate::slots::StreamSlot;
use crate::{ArgsExt, Arity, Error, Event, Flags, Handler, Result, Spec, WriteCtx};
use keyspace::stream::stream::{ConsumerId, GroupMut, Pending, StreamId};
use resp::Args;

/// XCLAIM key group consumer min-idle-time id [id ...] [options]
pub static XCLAIM: Spec = Spec {
    name: "xclaim",
    summary: "Makes a consumer the owner of pending entries.",
    complexity: "O(log N) with N the number of the group's pending entries.",
    arity: Arity::AtLeast(6),
    keys: UPDATES,
    flags: Flags::FAST,
    tips: &["nondeterministic_output"],
    args: "key group consumer min-idle-time id [id ...] [IDLE ms:integer] [TIME unix-time-milliseconds] \
           [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]",
    handler: Handler::Write(claim),
    ..STREAM
};

/// XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]
pub static XAUTOCLAIM: Spec = Spec {
    name: "xautoclaim",
    summary: "Makes a consumer the owner of entries that others have left pending for long.",
    since: "6.2.0",
    complexity: "O(1) if COUNT is small.",
    arity: Arity::AtLeast(6),
    keys: DELETES,
    flags: Flags::FAST,
    tips: &["nondeterministic_output"],
    args: "key group consumer min-idle-time start:string [COUNT count] [JUSTID]",
    history: &[(
        "7.0.0",
        "Names the entries that are deleted and therefore no longer pending.",
    )],
    handler: Handler::Write(claim_idle),
    ..STREAM
};

/// What becomes of an entry that is claimed.
#[derive(Default)]
struct Options {
    /// When it counts as given; `None` for now.
    delivered_ms: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl Options {
    fn parse(args: Args<'_>, first: usize, now_ms: i64) -> Result<Self> {
        let mut options = Self::default();
        let mut deliveries = -1;
        let mut delivered_ms = -1;
        let mut at = first;
        while at < args.len() {
            let more = at + 1 < args.len();
            let int = |error| base::number::parse_i64(args.get(at + 1)).ok_or(Error::fixed(error));
            let words = if args.is(at, "force") {
                options.force = true;
                1
            } else if args.is(at, "justid") {
                options.just_id = true;
                1
            } else if more && args.is(at, "idle") {
                delivered_ms = now_ms.wrapping_sub(int("ERR Invalid IDLE option argument for XCLAIM")?);
                2
            } else if more && args.is(at, "time") {
                delivered_ms = int("ERR Invalid TIME option argument for XCLAIM")?;
                2
            } else if more && args.is(at, "retrycount") {
                deliveries = int("ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                2
            } else if more && args.is(at, "lastid") {
                options.last_id = ids::strict(args.get(at + 1), 0)?;
                2
            } else {
                let word = args.get(at).split(|byte| *byte == 0).next().unwrap_or_default();
                let line = [b"ERR Unrecognized XCLAIM option '", word, b"'"];
                return Err(Error::quoting(line.concat()));
            };
            at += words;
        }
        options.deliveries = u64::try_from(deliveries).ok();
        // A time in the future is a client's clock that is wrong.
        options.delivered_ms = Some(delivered_ms).filter(|ms| (0..=now_ms).contains(ms));
        Ok(options)
    }
}

/// The words that both commands begin with.
struct Claimer<'a> {
    key: &'a [u8],
    group: &'a [u8],
    consumer: &'a [u8],
    min_idle_ms: i64,
    now_ms: i64,
}

impl<'a> Claimer<'a> {
    fn parse(ctx: &WriteCtx<'_>, args: Args<'a>, not_a_number: Error) -> Result<Self> {
        let min_idle_ms = base::number::parse_i64(args.get(4)).ok_or(not_a_number)?;
        Ok(Self {
            key: args.key(1),
            group: args.get(2),
            consumer: args.get(3),
            min_idle_ms: min_idle_ms.max(0),
            now_ms: ctx.now.unix_ms().0,
        })
    }

    fn is_idle_enough(&self, pending: &Pending) -> bool {
        self.min_idle_ms == 0 || self.now_ms.wrapping_sub(pending.delivered_ms) >= self.min_idle_ms
    }
}

fn check_group(ctx: &mut WriteCtx<'_>, key: &[u8], group: &[u8]) -> Result {
    let stream = ctx.keys.stream(key)?;
    match stream.and_then(|stream| stream.group(group)) {
        Some(_) => Ok(()),
        None => Err(no_key_or_group(key, group)),
    }
}

/// Replies the entries that went over. Those that were deleted from the stream are no longer pending.
///
/// Propagated as an XCLAIM of each entry, with all that it is now.
fn claim(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    check_group(ctx, args.key(1), args.get(2))?;
    let not_a_number = Error::fixed("ERR Invalid min-idle-time argument for XCLAIM");
    let claimer = Claimer::parse(ctx, args, not_a_number)?;
    let ids: Vec<StreamId> = args
        .skip(5)
        .iter()
        .map_while(|word| ids::strict(word, 0).ok())
        .collect();
    let options = Options::parse(args, 5 + ids.len(), claimer.now_ms)?;

    let mut effects = Effects::new(ctx);
    let mut slot = ctx.keys.stream_slot(claimer.key)?;
    let Some(stream) = slot.get() else { return Ok(()) };
    let found: Vec<Asked<'_>> = ids
        .into_iter()
        .zip(args.skip(5).iter())
        .map(|(id, word)| Asked {
            id,
            word,
            exists: stream.contains(id),
        })
        .collect();
    let done = slot.edit(|stream| {
        stream.update_group(claimer.group, |group| {
            claim_all(group, &claimer, &options, &found, &mut effects)
        })
    });
    let done = done.flatten().unwrap_or_default();
    slot.commit_aside(done.changes, done.created.then_some(Event::XGROUP_CREATECONSUMER));
    if let Some(stream) = slot.get() {
        ctx.reply.array(done.claimed.len());
        for id in done.claimed {
            if options.just_id {
                reply::id(&mut ctx.reply, id);
            } else {
                reply::entry_of(&mut ctx.reply, stream, id);
            }
        }
    }
    effects.propagate(ctx);
    Ok(())
}

/// An entry that a client asks for.
struct Asked<'a> {
    id: StreamId,
    /// Its id in the client's words, which are those that are propagated.
    word: &'a [u8],
    /// Whether it is in the stream.
    exists: bool,
}

/// What claiming did to a group.
#[derive(Default)]
struct Done {
    /// The entries that went over.
    claimed: Vec<StreamId>,
    changes: u64,
    consumer: Option<ConsumerId>,
    /// The consumer is new.
    created: bool,
}

impl Done {
    /// The consumer that claims: made, and counted as seen, when it gets its first entry.
    fn consumer(&mut self, group: &mut GroupMut<'_>, claimer: &Claimer<'_>) -> ConsumerId {
        *self.consumer.get_or_insert_with(|| {
            let (consumer, created) = find_or_create(group, claimer.consumer, claimer.now_ms);
            self.created = created;
            self.changes += u64::from(created);
            consumer
        })
    }
}

/// Gives what may be given.
fn claim_all(
    group: &mut GroupMut<'_>,
    claimer: &Claimer<'_>,
    options: &Options,
    asked: &[Asked<'_>],
    effects: &mut Effects,
) -> Done {
    let mut last_id_is_told = true;
    if options.last_id > group.last_id() {
        group.set_last_id(options.last_id);
        last_id_is_told = false;
    }
    let mut done = Done::default();
    for Asked { id, word, exists } in asked {
        let before = match group.pending(*id).copied() {
            Some(pending) if !exists => {
                // Nobody can do anything with it any more.
                effects.push(|| effects::claim_as(claimer.key, group, &pending, word.to_vec()));
                group.remove_pending(*id);
                (last_id_is_told, done.changes) = (true, done.changes + 1);
                continue;
            }
            _ if !exists => continue,
            Some(pending) if !claimer.is_idle_enough(&pending) => continue,
            None if !options.force => continue,
            Some(pending) => pending.deliveries,
            // It counts as given once, before it is claimed.
            None => 1,
        };
        let counted = before.wrapping_add(u64::from(!options.just_id));
        let pending = Pending {
            id: *id,
            delivered_ms: options.delivered_ms.unwrap_or(claimer.now_ms),
            deliveries: options.deliveries.unwrap_or(counted),
            consumer: done.consumer(group, claimer),
        };
        group.set_pending(pending);
        done.claimed.push(*id);
        effects.push(|| effects::claim_as(claimer.key, group, &pending, word.to_vec()));
        (last_id_is_told, done.changes) = (true, done.changes + 1);
    }
    if !last_id_is_told {
        effects.push(|| effects::set_id(claimer.key, group));
        done.changes += 1;
    }
    done
}

/// What XAUTOCLAIM found on its way through the pending entries.
#[derive(Default)]
struct Found {
    /// In order; those that are gone from the stream, and those that go over.
    entries: Vec<(Pending, Fate)>,
    /// Where the next call goes on; zero at the end.
    next: StreamId,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Gone,
    Claimed,
}

/// Replies where to go on, the entries that went over, and the ids of those that were deleted from the stream.
///
/// Propagated as an XCLAIM of each entry, with all that it is now.
fn claim_idle(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let not_a_number = Error::fixed("ERR Invalid min-idle-time argument for XAUTOCLAIM");
    let claimer = Claimer::parse(ctx, args, not_a_number)?;
    let start = ids::range_start(args.get(5))?;
    let (count, just_id) = parse_idle_options(args)?;
    check_group(ctx, claimer.key, claimer.group)?;

    let mut effects = Effects::new(ctx);
    let mut slot = ctx.keys.stream_slot(claimer.key)?;
    let found = find_idle(&slot, &claimer, start, count);
    let done = slot.edit(|stream| {
        stream.update_group(claimer.group, |group| {
            claim_found(group, &claimer, &found.entries, just_id, &mut effects)
        })
    });
    let done = done.flatten().unwrap_or_default();
    slot.commit_aside(done.changes, done.created.then_some(Event::XGROUP_CREATECONSUMER));
    let reply = &mut ctx.reply;
    reply.array(3);
    reply::id(reply, found.next);
    reply.array(done.claimed.len());
    for id in done.claimed {
        match slot.get().filter(|_| !just_id) {
            Some(stream) => {
                reply::entry_of(reply, stream, id);
            }
            None => reply::id(reply, id),
        }
    }
    let gone = found.entries.iter().filter(|(_, fate)| *fate == Fate::Gone);
    reply.array(gone.clone().count());
    gone.for_each(|(pending, _)| reply::id(reply, pending.id));
    effects.propagate(ctx);
    Ok(())
}

fn claim_found(
    group: &mut GroupMut<'_>,
    claimer: &Claimer<'_>,
    found: &[(Pending, Fate)],
    just_id: bool,
    effects: &mut Effects,
) -> Done {
    let mut done = Done::default();
    for (pending, fate) in found {
        done.changes += 1;
        if *fate == Fate::Gone {
            effects.push(|| effects::claim(claimer.key, group, pending));
            group.remove_pending(pending.id);
            continue;
        }
        let pending = Pending {
            delivered_ms: claimer.now_ms,
            deliveries: pending.deliveries.wrapping_add(u64::from(!just_id)),
            consumer: done.consumer(group, claimer),
            ..*pending
        };
        group.set_pending(pending);
        done.claimed.push(pending.id);
        effects.push(|| effects::claim(claimer.key, group, &pending));
    }
    done
}

fn parse_idle_options(args: Args<'_>) -> Result<(u64, bool)> {
    // As many as stock has room to remember.
    const COUNT_MAX: i64 = i64::MAX / 16;
    const NOT_POSITIVE: Error = Error::fixed("ERR COUNT must be > 0");
    let (mut count, mut just_id) = (100, false);
    let mut at = 6;
    while at < args.len() {
        if args.is(at, "count") && at + 1 < args.len() {
            count = args.int(at + 1).map_err(|_| NOT_POSITIVE)?;
            if !(1..=COUNT_MAX).contains(&count) {
                return Err(NOT_POSITIVE);
            }
            at += 1;
        } else if args.is(at, "justid") {
            just_id = true;
        } else {
            return Err(Error::Syntax);
        }
        at += 1;
    }
    Ok((count as u64, just_id))
}

/// Looks through pending entries, ten times as many as are wanted at most.
fn find_idle(slot: &StreamSlot<'_, '_>, claimer: &Claimer<'_>, start: StreamId, count: u64) -> Found {
    const LOOKS_PER_ENTRY: u64 = 10;
    let mut found = Found::default();
    let Some(stream) = slot.get() else { return found };
    let Some(group) = stream.group(claimer.group) else {
        return found;
    };
    let mut looks = count.saturating_mul(LOOKS_PER_ENTRY);
    let mut pending_entries = group.pending_from(start);
    while looks > 0 && (found.entries.len() as u64) < count {
        looks -= 1;
        let Some(pending) = pending_entries.next() else {
            return found;
        };
        if !stream.contains(pending.id) {
            found.entries.push((*pending, Fate::Gone));
        } else if claimer.is_idle_enough(pending) {
            found.entries.push((*pending, Fate::Claimed));
        }
    }
    found.next = pending_entries.next().map_or(StreamId::MIN, |pending| pending.id);
    found
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn entries_go_over_and_deleted_ones_are_dropped() {
        check(
            "
            > XADD s 1-1 a 1
            1-1
            > XADD s 1-2 a 2
            1-2
            > XADD s 1-3 a 3
            1-3
            > XGROUP CREATE s g 0
            OK
            > XREADGROUP GROUP g a STREAMS s >
            [[\"s\", [[\"1-1\", [\"a\", \"1\"]], [\"1-2\", [\"a\", \"2\"]], [\"1-3\", [\"a\", \"3\"]]]]]
            clock: +500
            > XCLAIM s g b 1000 1-1
            []
            > XCLAIM s g b 100 1
            []
            > XCLAIM s g b 100 1-1
            [[\"1-1\", [\"a\", \"1\"]]]
            > XDEL s 1-2
            1
            > XAUTOCLAIM s g b 100 - COUNT 2
            [\"0-0\", [[\"1-3\", [\"a\", \"3\"]]], [\"1-2\"]]
            > XPENDING s g - + 10 a
            []
            > XCLAIM s g b 0 1-3 JUSTID RETRYCOUNT 7 TIME 5 LASTID 9-9
            [\"1-3\"]
            > XPENDING s g IDLE 1 - + 10 b
            [[\"1-3\", \"b\", 1700000000495, 7]]
            > XCLAIM s g b 0 1-3 WHAT
            ERR Unrecognized XCLAIM option 'WHAT'
            > XCLAIM s none b 0 1-3
            NOGROUP No such key 's' or consumer group 'none'
            > XAUTOCLAIM s g b 0 0 COUNT 0
            ERR COUNT must be > 0
            ",
        );
    }

    #[test]
    fn what_was_claimed_is_propagated_entry_by_entry() {
        check(
            "
            > XADD s 1-1 a 1
            1-1
            > XGROUP CREATE s g 0
            OK
            > XCLAIM s g c 0 1-1 FORCE
            [[\"1-1\", [\"a\", \"1\"]]]
            > XCLAIM s g c 0 9 LASTID 5-5
            []
            propagated: SELECT 0
            propagated: XADD s 1-1 a 1
            propagated: XGROUP CREATE s g 0
            propagated: XCLAIM s g c 0 1-1 TIME 1700000000000 RETRYCOUNT 2 FORCE JUSTID LASTID 0-0
            propagated: XGROUP SETID s g 5-5 ENTRIESREAD -1
            propagated: nothing
            events: xadd s
            events: xgroup-create s
            events: xgroup-createconsumer s
            events: nothing
            ",
        );
    }
}
