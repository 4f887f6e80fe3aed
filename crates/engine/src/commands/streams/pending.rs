//! XACK and XPENDING: what a group has been given and not acknowledged.

use super::{READS, STREAM, UPDATES, ids, no_key_or_group, reply};
use crate::{ArgsExt, Arity, Error, Flags, Handler, ReadCtx, Result, Spec, WriteCtx};
use base::Millis;
use keyspace::stream::stream::{Group, Pending, StreamId};
use resp::{Args, Reply};

/// XACK key group id [id ...]
pub static XACK: Spec = Spec {
    name: "xack",
    summary: "Acknowledges entries that a consumer group was given.",
    complexity: "O(1) for each ID.",
    arity: Arity::AtLeast(4),
    keys: UPDATES,
    flags: Flags::FAST,
    args: "key group id [id ...]",
    handler: Handler::Write(acknowledge),
    ..STREAM
};

/// Replies how many of the ids were waiting for it.
fn acknowledge(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let group = args.get(2);
    let mut slot = ctx.keys.stream_slot(args.key(1))?;
    if slot.get().and_then(|stream| stream.group(group)).is_none() {
        ctx.reply.int(0);
        return Ok(());
    }
    let ids = args
        .skip(3)
        .iter()
        .map(|word| ids::strict(word, 0))
        .collect::<Result<Vec<StreamId>>>()?;
    let acknowledged = slot
        .edit(|stream| {
            stream.update_group(group, |group| {
                ids.iter().filter(|id| group.remove_pending(**id)).count()
            })
        })
        .flatten()
        .unwrap_or(0);
    slot.commit_aside(acknowledged as u64, None);
    ctx.reply.int(acknowledged as i64);
    Ok(())
}

/// XPENDING key group [[IDLE min-idle-time] start end count [consumer]]
pub static XPENDING: Spec = Spec {
    name: "xpending",
    summary: "Tells which entries a consumer group was given and has not acknowledged.",
    complexity: "O(N) with N the number of entries returned or passed over, or of consumers in the summary.",
    arity: Arity::AtLeast(3),
    keys: READS,
    tips: &["nondeterministic_output"],
    args: "key group [[IDLE min-idle-time:integer] start:string end:string count [consumer]]",
    history: &[("6.2.0", "IDLE, and exclusive ranges.")],
    handler: Handler::Read(pending),
    ..STREAM
};

/// Which pending entries are asked for.
struct Wanted<'a> {
    start: StreamId,
    end: StreamId,
    count: u64,
    min_idle_ms: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    fn parse(args: Args<'a>) -> Result<Self> {
        let mut first = 3;
        let mut min_idle_ms = 0;
        if args.is(3, "idle") {
            min_idle_ms = args.int(4)?;
            if args.len() < 8 {
                return Err(Error::Syntax);
            }
            first = 5;
        }
        let count = args.int(first + 2)?.max(0) as u64;
        Ok(Self {
            start: ids::range_start(args.get(first))?,
            end: ids::range_end(args.get(first + 1))?,
            count,
            min_idle_ms,
            consumer: args.try_get(first + 3),
        })
    }
}

fn pending(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let (key, name) = (args.key(1), args.get(2));
    let wanted = match args.len() {
        3 => None,
        6..=9 => Some(Wanted::parse(args)?),
        _ => return Err(Error::Syntax),
    };
    let now = ctx.now.unix_ms();
    let stream = ctx.keys.stream(key)?;
    let group = stream
        .and_then(|stream| stream.group(name))
        .ok_or_else(|| no_key_or_group(key, name))?;
    match wanted {
        None => summary(&mut ctx.reply, group),
        Some(wanted) => list(&mut ctx.reply, group, &wanted, now),
    }
    Ok(())
}

/// How many, first and last id, and how many for each consumer that has any.
fn summary(reply: &mut Reply<'_>, group: &Group) {
    reply.array(4);
    reply.int(group.pending_len() as i64);
    let first = group.pending_from(StreamId::MIN).next();
    let (Some(first), Some(last)) = (first, group.last_pending()) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply::id(reply, first.id);
    reply::id(reply, last.id);
    let header = reply.deferred_array();
    let mut count = 0;
    for consumer in group.consumers().filter(|consumer| consumer.pending_len() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_int(consumer.pending_len() as i64);
        count += 1;
    }
    reply.set_deferred(header, count);
}

/// Id, consumer, milliseconds since it was given, and how often it was.
fn list(reply: &mut Reply<'_>, group: &Group, wanted: &Wanted<'_>, now: Millis) {
    let consumer = match wanted.consumer {
        None => None,
        Some(name) => match group.find_consumer(name) {
            Some(consumer) => Some(consumer),
            None => return reply.array(0),
        },
    };
    let all: Box<dyn Iterator<Item = Pending> + '_> = match consumer {
        None => Box::new(group.pending_from(wanted.start).copied()),
        Some(consumer) => {
            let ids = consumer.pending_from(wanted.start);
            Box::new(ids.filter_map(|id| group.pending(id).copied()))
        }
    };
    let chosen = all
        .take_while(|pending| pending.id <= wanted.end)
        .filter(|pending| wanted.min_idle_ms == 0 || now.0.wrapping_sub(pending.delivered_ms) >= wanted.min_idle_ms)
        .take(wanted.count as usize);
    let header = reply.deferred_array();
    let mut written = 0;
    for pending in chosen {
        reply.array(4);
        reply::id(reply, pending.id);
        reply.bulk(group.consumer(pending.consumer).map_or(&[][..], |found| found.name()));
        reply.int(now.0.wrapping_sub(pending.delivered_ms).max(0));
        reply.int(pending.deliveries as i64);
        written += 1;
    }
    reply.set_deferred(header, written);
}
