//! Sorted sets: taking the lowest or highest members out, at once or when there are some.

use super::pops::{self, Several};
use super::zsets::{ZSET, event};
use crate::blocking::Wanted;
use crate::{ArgsExt, Arity, Error, Flags, Handler, KeyFlags, KeySpec, Result, Spec, WriteCtx};
use resp::{Args, Proto};

const TAKING: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE);

/// Which end members are taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    /// The command that takes from this end: what replicas are told.
    fn command(self) -> &'static str {
        match self {
            Self::Min => "ZPOPMIN",
            Self::Max => "ZPOPMAX",
        }
    }

    fn event_name(self) -> &'static str {
        match self {
            Self::Min => "zpopmin",
            Self::Max => "zpopmax",
        }
    }
}

const POP: Spec = Spec {
    since: "5.0.0",
    complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements \
                 popped.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::at(1, TAKING)],
    flags: Flags::FAST,
    args: "key [count]",
    ..ZSET
};

/// ZPOPMIN key [count]
pub static ZPOPMIN: Spec = Spec {
    name: "zpopmin",
    summary: "Takes the members with the lowest scores out of a sorted set and returns them.",
    handler: Handler::Write(|ctx, args| pop(ctx, args, End::Min)),
    ..POP
};

/// ZPOPMAX key [count]
pub static ZPOPMAX: Spec = Spec {
    name: "zpopmax",
    summary: "Takes the members with the highest scores out of a sorted set and returns them.",
    handler: Handler::Write(|ctx, args| pop(ctx, args, End::Max)),
    ..POP
};

/// Members that were taken out, each with its score.
type Taken = Vec<(Vec<u8>, f64)>;

/// Takes up to `count` members out of the sorted set at `key`; `None` if there is none.
fn take(ctx: &mut WriteCtx<'_>, key: &[u8], end: End, count: u64) -> Result<Option<Taken>> {
    let slot = ctx.zset_slot(key)?;
    let Some(zset) = slot.get() else { return Ok(None) };
    let len = zset.len();
    let count = count.min(len);
    let (ranks, members) = match end {
        End::Min => (0..count, zset.range(0..count)),
        End::Max => (len - count..len, zset.range_back(len - count..len)),
    };
    let taken: Taken = members.map(|(member, score)| (member.to_vec(), score)).collect();
    if count > 0 {
        slot.edit(event(end.event_name()), |zset| (count, zset.remove_range(ranks)));
    }
    Ok(Some(taken))
}

/// Flat, but for RESP3 with a count: pairs then.
fn pop(ctx: &mut WriteCtx<'_>, args: Args<'_>, end: End) -> Result {
    let count = match args.len() {
        2 => None,
        3 => Some(args.count(2)? as u64),
        _ => return Err(Error::Syntax),
    };
    let taken = take(ctx, args.key(1), end, count.unwrap_or(1))?.unwrap_or_default();
    if count.is_some() && ctx.reply.proto() == Proto::Resp3 {
        write_pairs(ctx, &taken);
    } else {
        ctx.reply.array(2 * taken.len());
        write_flat(ctx, &taken);
    }
    Ok(())
}

fn write_flat(ctx: &mut WriteCtx<'_>, taken: &Taken) {
    for (member, score) in taken {
        ctx.reply.bulk(member);
        ctx.reply.double(*score);
    }
}

fn write_pairs(ctx: &mut WriteCtx<'_>, taken: &Taken) {
    ctx.reply.array(taken.len());
    for (member, score) in taken {
        ctx.reply.array(2);
        ctx.reply.bulk(member);
        ctx.reply.double(*score);
    }
}

const BLOCKING_POP: Spec = Spec {
    since: "5.0.0",
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::range(1, -2, 1, TAKING)],
    flags: Flags::NO_SCRIPT.or(Flags::BLOCKING).or(Flags::FAST),
    args: "key [key ...] timeout:double",
    history: &[("6.0.0", "`timeout` is a double.")],
    ..ZSET
};

/// BZPOPMIN key [key ...] timeout
pub static BZPOPMIN: Spec = Spec {
    name: "bzpopmin",
    summary: "Takes the member with the lowest score out of the first of several sorted sets that has one, or waits.",
    handler: Handler::Write(|ctx, args| {
        pops::one_or_wait(ctx, args, Wanted::Zset, |ctx, key| pop_one(ctx, key, End::Min))
    }),
    ..BLOCKING_POP
};

/// BZPOPMAX key [key ...] timeout
pub static BZPOPMAX: Spec = Spec {
    name: "bzpopmax",
    summary: "Takes the member with the highest score out of the first of several sorted sets that has one, or waits.",
    handler: Handler::Write(|ctx, args| {
        pops::one_or_wait(ctx, args, Wanted::Zset, |ctx, key| pop_one(ctx, key, End::Max))
    }),
    ..BLOCKING_POP
};

/// Replies with the key, the member and its score. Propagated as ZPOPMIN or ZPOPMAX.
fn pop_one(ctx: &mut WriteCtx<'_>, key: &[u8], end: End) -> Result<bool> {
    let Some(taken) = take(ctx, key, end, 1)? else {
        return Ok(false);
    };
    ctx.propagate(&[end.command().as_bytes(), key]);
    ctx.reply.array(1 + 2 * taken.len());
    ctx.reply.bulk(key);
    write_flat(ctx, &taken);
    Ok(true)
}

const MULTIPLE_POP: Spec = Spec {
    since: "7.0.0",
    complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the \
                 sorted set, and M being the number of elements popped.",
    ..ZSET
};

/// ZMPOP numkeys key [key ...] <MIN|MAX> [COUNT count]
pub static ZMPOP: Spec = Spec {
    name: "zmpop",
    summary: "Takes the lowest or highest members out of the first of several sorted sets that has some.",
    arity: Arity::AtLeast(4),
    keys: &[KeySpec::counted(1, TAKING)],
    args: "numkeys:integer key [key ...] <MIN|MAX> [COUNT count]",
    handler: Handler::Write(|ctx, args| pops::several(ctx, args, end_of, pop_several)),
    ..MULTIPLE_POP
};

/// BZMPOP timeout numkeys key [key ...] <MIN|MAX> [COUNT count]
pub static BZMPOP: Spec = Spec {
    name: "bzmpop",
    summary: "Takes the lowest or highest members out of the first of several sorted sets that has some, or waits.",
    arity: Arity::AtLeast(5),
    keys: &[KeySpec::counted(2, TAKING)],
    flags: Flags::BLOCKING,
    args: "timeout:double numkeys:integer key [key ...] <MIN|MAX> [COUNT count]",
    handler: Handler::Write(|ctx, args| pops::several_or_wait(ctx, args, Wanted::Zset, end_of, pop_several)),
    ..MULTIPLE_POP
};

/// MIN or MAX.
fn end_of(args: Args<'_>, at: usize) -> Result<End> {
    match () {
        () if args.is(at, "min") => Ok(End::Min),
        () if args.is(at, "max") => Ok(End::Max),
        () => Err(Error::Syntax),
    }
}

/// Replies with the key and pairs of members and scores. Propagated as ZPOPMIN or ZPOPMAX with a count.
fn pop_several(ctx: &mut WriteCtx<'_>, key: &[u8], wanted: &Several<'_, End>) -> Result<bool> {
    let Some(taken) = take(ctx, key, wanted.end, wanted.count)? else {
        return Ok(false);
    };
    let count = taken.len().to_string();
    ctx.propagate(&[wanted.end.command().as_bytes(), key, count.as_bytes()]);
    ctx.reply.array(2);
    ctx.reply.bulk(key);
    write_pairs(ctx, &taken);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn members_are_taken_from_either_end() {
        check(
            "
            > ZADD z 1 a 2 b 3 c 4 d 5 e
            5
            > ZPOPMIN z
            [\"a\", \"1\"]
            > ZPOPMAX z 2
            [\"e\", \"5\", \"d\", \"4\"]
            > ZPOPMIN z 0
            []
            > ZMPOP 2 none z MAX COUNT 9
            [\"z\", [[\"c\", \"3\"], [\"b\", \"2\"]]]
            > ZMPOP 1 z MIN
            (nil)
            > ZPOPMIN z
            []
            > ZPOPMIN z -1
            ERR value is out of range, must be positive
            > ZPOPMIN z 1 2
            ERR syntax error
            > ZMPOP 0 z MIN
            ERR numkeys should be greater than 0
            > ZMPOP 1 z MIN COUNT 0
            ERR count should be greater than 0
            > ZMPOP 1 z MIN COUNT 1 COUNT 1
            ERR syntax error
            > ZMPOP 2 z MIN
            ERR syntax error
            propagated: SELECT 0
            propagated: ZADD z 1 a 2 b 3 c 4 d 5 e
            propagated: ZPOPMIN z
            propagated: ZPOPMAX z 2
            propagated: ZPOPMAX z 2
            propagated: nothing
            events: zadd z
            events: zpopmin z
            events: zpopmax z
            events: zpopmax z
            events: del z
            events: nothing
            ",
        );
    }

    #[test]
    fn who_waits_is_served_by_what_is_added() {
        check(
            "
            @1> BZPOPMIN none z 0

            @2> BZMPOP 0 2 y z MAX COUNT 2

            > ZADD z 1 a 2 b 3 c 4 d
            4
            @1> PING
            [\"z\", \"a\", \"1\"] PONG
            @2> PING
            [\"z\", [[\"d\", \"4\"], [\"c\", \"3\"]]] PONG
            > BZPOPMAX z 1
            [\"z\", \"b\", \"2\"]
            > MULTI
            OK
            > BZPOPMIN z 0
            QUEUED
            > EXEC
            [(nil)]
            > BZPOPMIN z x
            ERR timeout is not a float or out of range
            > SET s x
            OK
            > BZPOPMIN s 0
            WRONGTYPE Operation against a key holding the wrong kind of value
            propagated: SELECT 0
            propagated: ZADD z 1 a 2 b 3 c 4 d
            propagated: ZPOPMIN z
            propagated: ZPOPMAX z 2
            propagated: ZPOPMAX z
            propagated: SET s x
            ",
        );
    }
}
