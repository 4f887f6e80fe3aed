//! Sorted sets: taking the lowest or highest members out, at once or when there are some.

use super::zsets::{ZSET, event};
use crate::blocking::{Timeout, Wanted};
use crate::spec::{Begin, Find};
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
    handler: Handler::Write(|ctx, args| pop_or_wait(ctx, args, End::Min)),
    ..BLOCKING_POP
};

/// BZPOPMAX key [key ...] timeout
pub static BZPOPMAX: Spec = Spec {
    name: "bzpopmax",
    summary: "Takes the member with the highest score out of the first of several sorted sets that has one, or waits.",
    handler: Handler::Write(|ctx, args| pop_or_wait(ctx, args, End::Max)),
    ..BLOCKING_POP
};

fn pop_or_wait(ctx: &mut WriteCtx<'_>, args: Args<'_>, end: End) -> Result {
    let timeout = Timeout::seconds(args.get(args.len() - 1))?;
    let keys = args.take(args.len() - 1).skip(1);
    for key in keys.iter() {
        if !ctx.looks_at(key) {
            continue;
        }
        let Some(taken) = take(ctx, key, end, 1)? else { continue };
        ctx.propagate(&[end.command().as_bytes(), key]);
        ctx.reply.array(1 + 2 * taken.len());
        ctx.reply.bulk(key);
        write_flat(ctx, &taken);
        return Ok(());
    }
    ctx.block(Wanted::Zset, keys.iter(), timeout)
}

const fn counted_keys(at: usize) -> KeySpec {
    KeySpec {
        begin: Begin::Index(at),
        find: Find::KeyNum {
            count: 0,
            first: 1,
            step: 1,
        },
        flags: TAKING,
        notes: "",
    }
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
    keys: &[counted_keys(1)],
    args: "numkeys:integer key [key ...] <MIN|MAX> [COUNT count]",
    handler: Handler::Write(pop_several),
    ..MULTIPLE_POP
};

/// BZMPOP timeout numkeys key [key ...] <MIN|MAX> [COUNT count]
pub static BZMPOP: Spec = Spec {
    name: "bzmpop",
    summary: "Takes the lowest or highest members out of the first of several sorted sets that has some, or waits.",
    arity: Arity::AtLeast(5),
    keys: &[counted_keys(2)],
    flags: Flags::BLOCKING,
    args: "timeout:double numkeys:integer key [key ...] <MIN|MAX> [COUNT count]",
    handler: Handler::Write(pop_several_or_wait),
    ..MULTIPLE_POP
};

/// The words of ZMPOP and BZMPOP from the number of keys on.
struct Request<'a> {
    keys: Args<'a>,
    end: End,
    count: u64,
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>, at: usize) -> Result<Self> {
        let positive = |at: usize, error: Error| match args.int(at) {
            Ok(number) if number > 0 => Ok(number as u64),
            _ => Err(error),
        };
        let keys = positive(at, Error::fixed("ERR numkeys should be greater than 0"))?;
        let where_at = usize::try_from(keys).ok().and_then(|keys| keys.checked_add(at + 1));
        let where_at = where_at.filter(|at| *at < args.len()).ok_or(Error::Syntax)?;
        let end = match () {
            () if args.is(where_at, "min") => End::Min,
            () if args.is(where_at, "max") => End::Max,
            () => return Err(Error::Syntax),
        };
        let mut count = None;
        let mut option = where_at + 1;
        while option < args.len() {
            if count.is_some() || !args.is(option, "count") || option + 1 >= args.len() {
                return Err(Error::Syntax);
            }
            count = Some(positive(
                option + 1,
                Error::fixed("ERR count should be greater than 0"),
            )?);
            option += 2;
        }
        Ok(Self {
            keys: args.take(where_at).skip(at + 1),
            end,
            count: count.unwrap_or(1),
        })
    }

    /// Answers from the first key that has members; whether there was one.
    fn serve(&self, ctx: &mut WriteCtx<'_>) -> Result<bool> {
        for key in self.keys.iter() {
            if !ctx.looks_at(key) {
                continue;
            }
            let Some(taken) = take(ctx, key, self.end, self.count)? else {
                continue;
            };
            let count = taken.len().to_string();
            ctx.propagate(&[self.end.command().as_bytes(), key, count.as_bytes()]);
            ctx.reply.array(2);
            ctx.reply.bulk(key);
            write_pairs(ctx, &taken);
            return Ok(true);
        }
        Ok(false)
    }
}

fn pop_several(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    if !Request::parse(args, 1)?.serve(ctx)? {
        ctx.reply.null_array();
    }
    Ok(())
}

fn pop_several_or_wait(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let request = Request::parse(args, 2)?;
    let timeout = Timeout::seconds(args.get(1))?;
    if request.serve(ctx)? {
        return Ok(());
    }
    ctx.block(Wanted::Zset, request.keys.iter(), timeout)
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
