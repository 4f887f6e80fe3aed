//! Sorted sets: ranges, by rank, by score, by member: listed, stored, counted, removed.

use super::zset_bounds::{Bounds, By, Direction};
use super::zsets::{READ, ZSET, begin_members, event, write_scored};
use crate::{ArgsExt, Arity, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use keyspace::ZsetRef;
use keyspace::zset::Members;
use resp::Args;
use std::ops::Range;

const RANGE_COST: &str = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
                          elements returned.";
const LIMITED_COST: &str = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
                            elements being returned. If M is constant (e.g. always asking for the first 10 elements \
                            with LIMIT), you can consider it O(log(N)).";
const REMOVING_COST: &str = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
                             elements removed by the operation.";

const RANGE: Spec = Spec {
    since: "1.2.0",
    complexity: RANGE_COST,
    arity: Arity::AtLeast(4),
    keys: READ,
    ..ZSET
};

/// ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]
pub static ZRANGE: Spec = Spec {
    name: "zrange",
    summary: "Returns the members of a sorted set in a range of ranks, scores or members.",
    args: "key start:string stop:string [BYSCORE|BYLEX] [REV] [LIMIT <offset count>] [WITHSCORES]",
    history: &[("6.2.0", "`REV`, `BYSCORE`, `BYLEX` and `LIMIT`.")],
    handler: Handler::Read(|ctx, args| list(ctx, args, None, None)),
    ..RANGE
};

/// ZREVRANGE key start stop [WITHSCORES]
pub static ZREVRANGE: Spec = Spec {
    name: "zrevrange",
    summary: "Returns the members of a sorted set in a range of ranks, from the highest score down.",
    args: "key start stop:integer [WITHSCORES]",
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
    handler: Handler::Read(|ctx, args| list(ctx, args, Some(By::Rank), Some(Direction::Down))),
    ..RANGE
};

/// ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]
pub static ZRANGEBYSCORE: Spec = Spec {
    name: "zrangebyscore",
    summary: "Returns the members of a sorted set in a range of scores.",
    since: "1.0.5",
    complexity: LIMITED_COST,
    args: "key min:double max:double [WITHSCORES] [LIMIT <offset count>]",
    history: &[("2.0.0", "`WITHSCORES`.")],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
    handler: Handler::Read(|ctx, args| list(ctx, args, Some(By::Score), Some(Direction::Up))),
    ..RANGE
};

/// ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]
pub static ZREVRANGEBYSCORE: Spec = Spec {
    name: "zrevrangebyscore",
    summary: "Returns the members of a sorted set in a range of scores, from the highest down.",
    since: "2.2.0",
    complexity: LIMITED_COST,
    args: "key max:double min:double [WITHSCORES] [LIMIT <offset count>]",
    history: &[("2.1.6", "`min` and `max` may be exclusive.")],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
    handler: Handler::Read(|ctx, args| list(ctx, args, Some(By::Score), Some(Direction::Down))),
    ..RANGE
};

/// ZRANGEBYLEX key min max [LIMIT offset count]
pub static ZRANGEBYLEX: Spec = Spec {
    name: "zrangebylex",
    summary: "Returns the members of a sorted set in a range of members, where all scores are equal.",
    since: "2.8.9",
    complexity: LIMITED_COST,
    args: "key min max [LIMIT <offset count>]",
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
    handler: Handler::Read(|ctx, args| list(ctx, args, Some(By::Lex), Some(Direction::Up))),
    ..RANGE
};

/// ZREVRANGEBYLEX key max min [LIMIT offset count]
pub static ZREVRANGEBYLEX: Spec = Spec {
    name: "zrevrangebylex",
    summary: "Returns the members of a sorted set in a range of members, from the last back.",
    since: "2.8.9",
    complexity: LIMITED_COST,
    args: "key max min [LIMIT <offset count>]",
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
    handler: Handler::Read(|ctx, args| list(ctx, args, Some(By::Lex), Some(Direction::Down))),
    ..RANGE
};

/// What a request wants of a sorted set.
struct Query<'a> {
    bounds: Bounds<'a>,
    direction: Direction,
    offset: i64,
    /// Negative for no limit.
    limit: i64,
    with_scores: bool,
}

/// What a command says of itself, so that its options need not and may not.
#[derive(Clone, Copy)]
struct Form {
    by: Option<By>,
    direction: Option<Direction>,
    /// Whether the result is stored, scores always included.
    stores: bool,
}

impl<'a> Query<'a> {
    /// Reads the range from words `at` and `at + 1`, and the options behind it.
    fn parse(args: Args<'a>, at: usize, form: Form) -> Result<Self> {
        let Form {
            mut by,
            mut direction,
            stores,
        } = form;
        let (mut offset, mut limit, mut with_scores) = (0, -1, false);
        let mut option = at + 2;
        while option < args.len() {
            if !stores && args.is(option, "withscores") {
                with_scores = true;
            } else if args.is(option, "limit") && option + 2 < args.len() {
                (offset, limit) = (args.int(option + 1)?, args.int(option + 2)?);
                option += 2;
            } else if direction.is_none() && args.is(option, "rev") {
                direction = Some(Direction::Down);
            } else if by.is_none() && args.is(option, "bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && args.is(option, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(Error::Syntax);
            }
            option += 1;
        }
        let (by, direction) = (by.unwrap_or(By::Rank), direction.unwrap_or(Direction::Up));
        if limit != -1 && by == By::Rank {
            return Err(Error::fixed(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Error::fixed(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let direction_of_bounds = if by == By::Rank { Direction::Up } else { direction };
        Ok(Self {
            bounds: Bounds::parse(args, at, by, direction_of_bounds)?,
            direction,
            offset,
            limit,
            with_scores,
        })
    }

    /// The members asked for.
    fn members<'z>(&self, zset: ZsetRef<'z>) -> Members<'z> {
        let ranks = self.limited(self.bounds.ranks(zset, self.direction));
        match self.direction {
            Direction::Up => zset.range(ranks),
            Direction::Down => zset.range_back(ranks),
        }
    }

    /// What LIMIT leaves of the ranks. A negative offset skips everything. Of a range by rank nothing is left out: LIMIT
    /// can only have said there that there is no limit.
    fn limited(&self, ranks: Range<u64>) -> Range<u64> {
        if matches!(self.bounds, Bounds::Rank(..)) {
            return ranks;
        }
        let len = ranks.end - ranks.start;
        let skip = u64::try_from(self.offset).unwrap_or(len).min(len);
        let take = u64::try_from(self.limit).unwrap_or(len).min(len - skip);
        match self.direction {
            Direction::Up => ranks.start + skip..ranks.start + skip + take,
            Direction::Down => ranks.end - skip - take..ranks.end - skip,
        }
    }
}

fn list(ctx: &mut ReadCtx<'_>, args: Args<'_>, by: Option<By>, direction: Option<Direction>) -> Result {
    let form = Form {
        by,
        direction,
        stores: false,
    };
    let query = Query::parse(args, 2, form)?;
    let zset = ctx.keys.zset(args.key(1))?;
    let reply = &mut ctx.reply;
    let Some(zset) = zset else {
        reply.array(0);
        return Ok(());
    };
    let members = query.members(zset);
    begin_members(reply, members.len(), query.with_scores);
    for (member, score) in members {
        write_scored(reply, member, query.with_scores.then_some(score));
    }
    Ok(())
}

/// ZRANGESTORE dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]
pub static ZRANGESTORE: Spec = Spec {
    name: "zrangestore",
    summary: "Keeps the members of a sorted set in a range of ranks, scores or members at a key.",
    since: "6.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored \
                 into the destination key.",
    arity: Arity::AtLeast(5),
    keys: &[
        KeySpec::at(1, KeyFlags::OW.or(KeyFlags::UPDATE)),
        KeySpec::at(2, KeyFlags::RO.or(KeyFlags::ACCESS)),
    ],
    flags: Flags::DENY_OOM,
    args: "dst:key src:key min max [BYSCORE|BYLEX] [REV] [LIMIT <offset count>]",
    handler: Handler::Write(store),
    ..ZSET
};

fn store(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let form = Form {
        by: None,
        direction: None,
        stores: true,
    };
    let query = Query::parse(args, 3, form)?;
    let mut result = ctx.keys.zset_builder();
    if let Some(zset) = ctx.keys.zset(args.key(2))? {
        for (member, score) in query.members(zset) {
            // Members of a set are each there once.
            let _ = member.with_text(|member| result.push(member, score));
        }
    }
    let len = ctx.key_slot(args.key(1)).store_zset(result, event("zrangestore"));
    ctx.reply.int(len as i64);
    Ok(())
}

const COUNT: Spec = Spec {
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    arity: Arity::Exactly(4),
    keys: READ,
    flags: Flags::FAST,
    ..ZSET
};

/// ZCOUNT key min max
pub static ZCOUNT: Spec = Spec {
    name: "zcount",
    summary: "Returns how many members of a sorted set are in a range of scores.",
    since: "2.0.0",
    args: "key min:double max:double",
    handler: Handler::Read(|ctx, args| count(ctx, args, By::Score)),
    ..COUNT
};

/// ZLEXCOUNT key min max
pub static ZLEXCOUNT: Spec = Spec {
    name: "zlexcount",
    summary: "Returns how many members of a sorted set are in a range of members, where all scores are equal.",
    since: "2.8.9",
    args: "key min max",
    handler: Handler::Read(|ctx, args| count(ctx, args, By::Lex)),
    ..COUNT
};

fn count(ctx: &mut ReadCtx<'_>, args: Args<'_>, by: By) -> Result {
    let bounds = Bounds::parse(args, 2, by, Direction::Up)?;
    let zset = ctx.keys.zset(args.key(1))?;
    let ranks = zset.map_or(0..0, |zset| bounds.ranks(zset, Direction::Up));
    ctx.reply.int((ranks.end - ranks.start) as i64);
    Ok(())
}

const REMOVE: Spec = Spec {
    complexity: REMOVING_COST,
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::DELETE))],
    ..ZSET
};

/// ZREMRANGEBYRANK key start stop
pub static ZREMRANGEBYRANK: Spec = Spec {
    name: "zremrangebyrank",
    summary: "Takes the members in a range of ranks out of a sorted set.",
    since: "2.0.0",
    args: "key start stop:integer",
    handler: Handler::Write(|ctx, args| remove(ctx, args, By::Rank, "zremrangebyrank")),
    ..REMOVE
};

/// ZREMRANGEBYSCORE key min max
pub static ZREMRANGEBYSCORE: Spec = Spec {
    name: "zremrangebyscore",
    summary: "Takes the members in a range of scores out of a sorted set.",
    since: "1.2.0",
    args: "key min:double max:double",
    handler: Handler::Write(|ctx, args| remove(ctx, args, By::Score, "zremrangebyscore")),
    ..REMOVE
};

/// ZREMRANGEBYLEX key min max
pub static ZREMRANGEBYLEX: Spec = Spec {
    name: "zremrangebylex",
    summary: "Takes the members in a range of members out of a sorted set, where all scores are equal.",
    since: "2.8.9",
    args: "key min max",
    handler: Handler::Write(|ctx, args| remove(ctx, args, By::Lex, "zremrangebylex")),
    ..REMOVE
};

fn remove(ctx: &mut WriteCtx<'_>, args: Args<'_>, by: By, name: &'static str) -> Result {
    let bounds = Bounds::parse(args, 2, by, Direction::Up)?;
    let slot = ctx.zset_slot(args.key(1))?;
    let ranks = slot.get().map_or(0..0, |zset| bounds.ranks(zset, Direction::Up));
    let removed = ranks.end - ranks.start;
    if removed > 0 {
        slot.edit(event(name), |zset| (removed, zset.remove_range(ranks)));
    }
    ctx.reply.int(removed as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn ranges_of_all_kinds() {
        check(
            "
            > ZADD z 1 a 2 b 3 c 4 d
            4
            > ZRANGE z 1 -2
            [\"b\", \"c\"]
            > ZRANGE z 0 1 REV WITHSCORES
            [\"d\", \"4\", \"c\", \"3\"]
            > ZREVRANGE z 0 0
            [\"d\"]
            > ZRANGE z (1 3 BYSCORE
            [\"b\", \"c\"]
            > ZRANGE z +inf (1 BYSCORE REV LIMIT 1 1
            [\"c\"]
            > ZRANGEBYSCORE z -inf +inf WITHSCORES LIMIT 2 -1
            [\"c\", \"3\", \"d\", \"4\"]
            > ZREVRANGEBYSCORE z 3 2
            [\"c\", \"b\"]
            > ZRANGEBYSCORE z 0 9 LIMIT -1 2
            []
            > ZRANGE z 0 -1 LIMIT 0 1
            ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
            > ZRANGE z - + BYLEX WITHSCORES
            ERR syntax error, WITHSCORES not supported in combination with BYLEX
            > ZRANGEBYSCORE z x 1
            ERR min or max is not a float
            > ZRANGEBYLEX z a +
            ERR min or max not valid string range item
            > ZRANGE z a 1
            ERR value is not an integer or out of range
            > ZREVRANGE z 0 1 REV
            ERR syntax error
            > ZCOUNT z (1 3
            2
            > ZRANGE none 0 -1
            []
            ",
        );
    }

    #[test]
    fn ranges_of_members() {
        check(
            "
            > ZADD z 0 a 0 b 0 c 0 d
            4
            > ZRANGEBYLEX z [b (d
            [\"b\", \"c\"]
            > ZREVRANGEBYLEX z + [b LIMIT 1 2
            [\"c\", \"b\"]
            > ZRANGE z + - BYLEX REV LIMIT 0 1
            [\"d\"]
            > ZLEXCOUNT z - +
            4
            > ZREMRANGEBYLEX z [b [c
            2
            > ZREMRANGEBYRANK z 5 9
            0
            > ZREMRANGEBYSCORE z 0 0
            2
            > EXISTS z
            0
            propagated: SELECT 0
            propagated: ZADD z 0 a 0 b 0 c 0 d
            propagated: ZREMRANGEBYLEX z [b [c
            propagated: ZREMRANGEBYSCORE z 0 0
            events: zadd z
            events: zremrangebylex z
            events: zremrangebyscore z
            events: del z
            ",
        );
    }

    #[test]
    fn a_range_is_stored() {
        check(
            "
            > ZADD z 1 a 2 b 3 c
            3
            > ZRANGESTORE to z 1 -1
            2
            > ZRANGE to 0 -1 WITHSCORES
            [\"b\", \"2\", \"c\", \"3\"]
            > ZRANGESTORE z z (2 +inf BYSCORE
            1
            > ZRANGESTORE to z 5 6
            0
            > EXISTS to
            0
            > ZRANGESTORE to z 0 -1 WITHSCORES
            ERR syntax error
            propagated: SELECT 0
            propagated: ZADD z 1 a 2 b 3 c
            propagated: ZRANGESTORE to z 1 -1
            propagated: ZRANGESTORE z z (2 +inf BYSCORE
            propagated: ZRANGESTORE to z 5 6
            events: zadd z
            events: zrangestore to
            events: zrangestore z
            events: del to
            ",
        );
    }
}
