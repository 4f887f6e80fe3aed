//! XLEN, XRANGE, XREVRANGE, XDEL, XSETID: entries by id.

use super::{DELETES, READS, STREAM, UPDATES, ids, reply};
use crate::{ArgsExt, Arity, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use keyspace::stream::stream::StreamId;
use resp::Args;

/// XLEN key
pub static XLEN: Spec = Spec {
    name: "xlen",
    summary: "Tells how many entries a stream has.",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO)],
    flags: Flags::FAST,
    args: "key",
    handler: Handler::Read(|ctx, args| {
        let length = ctx.keys.stream(args.key(1))?.map_or(0, |stream| stream.len());
        ctx.reply.int(length as i64);
        Ok(())
    }),
    ..STREAM
};

/// XRANGE key start end [COUNT count]
pub static XRANGE: Spec = Spec {
    name: "xrange",
    summary: "Returns the entries of a stream between two IDs.",
    complexity: "O(N) with N the number of entries returned.",
    arity: Arity::AtLeast(4),
    keys: READS,
    args: "key start:string end:string [COUNT count]",
    history: &[("6.2.0", "Exclusive ranges.")],
    handler: Handler::Read(|ctx, args| range(ctx, args, Direction::Forwards)),
    ..STREAM
};

/// XREVRANGE key end start [COUNT count]
pub static XREVRANGE: Spec = Spec {
    name: "xrevrange",
    summary: "Returns the entries of a stream between two IDs, last first.",
    complexity: "O(N) with N the number of entries returned.",
    arity: Arity::AtLeast(4),
    keys: READS,
    args: "key end:string start:string [COUNT count]",
    history: &[("6.2.0", "Exclusive ranges.")],
    handler: Handler::Read(|ctx, args| range(ctx, args, Direction::Backwards)),
    ..STREAM
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forwards,
    Backwards,
}

fn range(ctx: &mut ReadCtx<'_>, args: Args<'_>, direction: Direction) -> Result {
    let [start, end] = match direction {
        Direction::Forwards => [2, 3],
        Direction::Backwards => [3, 2],
    };
    let start = ids::range_start(args.get(start))?;
    let end = ids::range_end(args.get(end))?;
    let mut count = None;
    let mut at = 4;
    while at < args.len() {
        if !args.is(at, "count") || at + 1 >= args.len() {
            return Err(Error::Syntax);
        }
        count = Some(args.int(at + 1)?.max(0) as u64);
        at += 2;
    }
    let Some(stream) = ctx.keys.stream(args.key(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    if count == Some(0) {
        ctx.reply.null_array();
        return Ok(());
    }
    let count = count.unwrap_or(0);
    match direction {
        Direction::Forwards => reply::entries(&mut ctx.reply, stream.range(start, end), count),
        Direction::Backwards => reply::entries(&mut ctx.reply, stream.range_back(start, end), count),
    };
    Ok(())
}

/// XDEL key id [id ...]
pub static XDEL: Spec = Spec {
    name: "xdel",
    summary: "Deletes entries of a stream.",
    complexity: "O(1) for each entry, whatever the size of the stream.",
    arity: Arity::AtLeast(3),
    keys: DELETES,
    flags: Flags::FAST,
    args: "key id [id ...]",
    handler: Handler::Write(delete),
    ..STREAM
};

/// Replies how many entries were deleted. All ids are read before anything changes.
fn delete(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let mut slot = ctx.keys.stream_slot(args.key(1))?;
    if slot.get().is_none() {
        ctx.reply.int(0);
        return Ok(());
    }
    let ids = args
        .skip(2)
        .iter()
        .map(|word| ids::strict(word, 0))
        .collect::<Result<Vec<StreamId>>>()?;
    let deleted = if ids
        .iter()
        .any(|id| slot.get().is_some_and(|stream| stream.contains(*id)))
    {
        slot.edit(|stream| {
            let deleted: Vec<StreamId> = ids.into_iter().filter(|id| stream.delete(*id)).collect();
            stream.note_deleted(deleted.iter().max().copied());
            deleted.len()
        })
    } else {
        None
    };
    let deleted = deleted.unwrap_or(0) as u64;
    if deleted > 0 {
        slot.commit(deleted, Event::XDEL);
    }
    ctx.reply.int(deleted as i64);
    Ok(())
}

/// XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]
pub static XSETID: Spec = Spec {
    name: "xsetid",
    summary: "Sets what a stream knows of itself; for replication.",
    arity: Arity::AtLeast(3),
    keys: UPDATES,
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key last-id [ENTRIESADDED entries_added:integer] [MAXDELETEDID max_deleted_entry_id]",
    history: &[("7.0.0", "ENTRIESADDED and MAXDELETEDID.")],
    handler: Handler::Write(set_id),
    ..STREAM
};

fn set_id(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let id = ids::strict(args.get(2), 0)?;
    let (mut entries_added, mut max_deleted) = (None, StreamId::MIN);
    let mut at = 3;
    while at < args.len() {
        let more = at + 1 < args.len();
        if more && args.is(at, "entriesadded") {
            let added = u64::try_from(args.int(at + 1)?);
            entries_added = Some(added.map_err(|_| Error::fixed("ERR entries_added must be positive"))?);
        } else if more && args.is(at, "maxdeletedid") {
            max_deleted = ids::strict(args.get(at + 1), 0)?;
            if id < max_deleted {
                return Err(Error::fixed(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Error::Syntax);
        }
        at += 2;
    }
    let mut slot = ctx.keys.stream_slot(args.key(1))?;
    let stream = slot.get().ok_or(Error::NoSuchKey)?;
    if stream.last().is_some_and(|last| id < last.id()) {
        return Err(Error::fixed(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if entries_added.is_some_and(|added| added < stream.len()) {
        return Err(Error::fixed(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    let max_deleted = Some(max_deleted).filter(|id| *id != StreamId::MIN);
    slot.edit(|stream| stream.set_counters(id, entries_added, max_deleted));
    slot.commit_aside(1, Some(Event::XSETID));
    ctx.reply.ok();
    Ok(())
}
