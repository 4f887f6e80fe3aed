//! Sorted sets: members and their scores, one or several at a time.

use crate::keys::Event;
use crate::spec::ScoreWord;
use crate::{ArgsExt, Arity, Category, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use keyspace::zset::Member;
use keyspace::{Foreseen, Placed, ZsetMut, ZsetRef};
use resp::{Args, Proto, Reply};

pub(super) const ZSET: Spec = Spec {
    category: Category::SortedSet,
    ..Spec::BASE
};

pub(super) const READ: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))];

/// The event of a sorted set of this name.
pub(super) const fn event(name: &'static str) -> Event {
    Event::new('z', name)
}

pub(super) fn write_member(reply: &mut Reply<'_>, member: Member<'_>) {
    member.with_text(|text| reply.bulk(text));
}

/// Begins an array of so many members, each with its score if asked for: pairs in RESP3, flat in RESP2.
pub(super) fn begin_members(reply: &mut Reply<'_>, members: usize, with_scores: bool) {
    let flat = with_scores && reply.proto() == Proto::Resp2;
    reply.array(if flat { 2 * members } else { members });
}

/// One member of such an array.
pub(super) fn write_scored(reply: &mut Reply<'_>, member: Member<'_>, score: Option<f64>) {
    if score.is_some() && reply.proto() == Proto::Resp3 {
        reply.array(2);
    }
    write_member(reply, member);
    if let Some(score) = score {
        reply.double(score);
    }
}

/// What ZADD's options make of a new score.
#[derive(Clone, Copy, Default)]
pub(super) struct Rule {
    /// Leave existing members alone.
    pub(super) only_new: bool,
    /// Add no members.
    pub(super) only_existing: bool,
    only_greater: bool,
    only_less: bool,
    increment: bool,
}

/// What became of a member.
pub(super) enum Outcome {
    Added(f64),
    Updated(f64),
    /// It had the score already.
    Same(f64),
    /// The options forbid it.
    Left,
}

impl Rule {
    /// Gives a member a score, or more of it, as far as the options allow.
    ///
    /// # Errors
    /// When the sum is no number.
    pub(super) fn apply(
        self,
        zset: &mut ZsetMut<'_>,
        member: &[u8],
        foreseen: Foreseen<'_>,
        score: f64,
    ) -> Result<Outcome> {
        let mut not_a_number = false;
        let updated = zset.update(member, foreseen, |old| {
            let Some(old) = old else {
                return (!self.only_existing).then_some(score);
            };
            let new = if self.increment { old + score } else { score };
            not_a_number = new.is_nan() && !self.only_new;
            let forbidden =
                self.only_new || (self.only_less && new >= old) || (self.only_greater && new <= old) || not_a_number;
            (!forbidden).then_some(new)
        });
        Ok(match updated {
            None if not_a_number => return Err(Error::fixed("ERR resulting score is not a number (NaN)")),
            None => Outcome::Left,
            Some((Placed::Added, score)) => Outcome::Added(score),
            Some((Placed::Moved(_), score)) => Outcome::Updated(score),
            Some((Placed::Unchanged, score)) => Outcome::Same(score),
        })
    }
}

/// ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]
pub static ZADD: Spec = Spec {
    name: "zadd",
    summary: "Gives members of a sorted set their scores, adding those that are new.",
    since: "1.2.0",
    complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    arity: Arity::AtLeast(4),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key [NX|XX] [GT|LT] [CH] [INCR] score:double member [score:double member ...]",
    history: &[
        ("2.4.0", "Several members at once."),
        ("3.0.2", "`XX`, `NX`, `CH` and `INCR`."),
        ("6.2.0", "`GT` and `LT`."),
    ],
    member: 3,
    score: Some(ScoreWord::Is(2)),
    handler: Handler::Write(|ctx, args| add(ctx, args, Rule::default())),
    ..ZSET
};

/// ZINCRBY key increment member
pub static ZINCRBY: Spec = Spec {
    name: "zincrby",
    summary: "Adds to the score of a member of a sorted set.",
    since: "1.2.0",
    complexity: "O(log(N)) where N is the number of elements in the sorted set.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE))],
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key increment member",
    member: 3,
    score: Some(ScoreWord::Adds(2)),
    handler: Handler::Write(|ctx, args| {
        add(
            ctx,
            args,
            Rule {
                increment: true,
                ..Rule::default()
            },
        )
    }),
    ..ZSET
};

/// The options of ZADD, which end where the first score is.
struct AddOptions {
    rule: Rule,
    /// Count members whose score has changed, too.
    count_changed: bool,
    first: usize,
}

impl AddOptions {
    fn parse(args: Args<'_>, rule: Rule) -> Result<Self> {
        let mut options = Self {
            rule,
            count_changed: false,
            first: 2,
        };
        let rule = &mut options.rule;
        while options.first < args.len() {
            let at = options.first;
            // As nearly all scores begin, and no option does.
            if args.get(at).first().is_some_and(u8::is_ascii_digit) {
                break;
            }
            if args.is(at, "nx") {
                rule.only_new = true;
            } else if args.is(at, "xx") {
                rule.only_existing = true;
            } else if args.is(at, "gt") {
                rule.only_greater = true;
            } else if args.is(at, "lt") {
                rule.only_less = true;
            } else if args.is(at, "ch") {
                options.count_changed = true;
            } else if args.is(at, "incr") {
                rule.increment = true;
            } else {
                break;
            }
            options.first += 1;
        }
        options.check(args.len() - options.first)?;
        Ok(options)
    }

    fn check(&self, words: usize) -> Result {
        let rule = self.rule;
        if words == 0 || !words.is_multiple_of(2) {
            return Err(Error::Syntax);
        }
        if rule.only_new && rule.only_existing {
            return Err(Error::fixed(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if (rule.only_greater && rule.only_less) || (rule.only_new && (rule.only_greater || rule.only_less)) {
            return Err(Error::fixed(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if rule.increment && words > 2 {
            return Err(Error::fixed("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }
}

/// Word `at` as a score or weight.
pub(super) fn score(args: Args<'_>, at: usize) -> Result<f64> {
    base::number::parse_f64(args.get(at)).ok_or(Error::NotAFloat)
}

/// Replies with the number of new members (with `CH`, of changed ones, too), or with `INCR` with the new score.
/// Propagated verbatim: the same additions give the same sums everywhere.
pub(super) fn add(ctx: &mut WriteCtx<'_>, args: Args<'_>, rule: Rule) -> Result {
    let key = args.key(1);
    let options = AddOptions::parse(args, rule)?;
    let rule = options.rule;
    let member = |index: usize| args.get(options.first + 2 * index + 1);
    // Of the first it may be known where it is.
    let known = ctx.known_member(member(0));
    let first = match known.score {
        Some(score) => score,
        None => score(args, options.first)?,
    };
    // Mostly there is one.
    let others = match args.len() - options.first {
        2 => Vec::new(),
        _ => other_scores(args, options.first + 2)?,
    };

    let ways = ctx.take_ways();
    let foreseen = Foreseen {
        hash: known.hash,
        ways: ways.get(known.ways),
    };
    let (mut added, mut updated, mut last) = (0, 0, None);
    let event = event(if rule.increment { "zincr" } else { "zadd" });
    let done = ctx.edit_zset(key, !rule.only_existing, event, |zset| {
        for (index, score) in std::iter::once(&first).chain(&others).enumerate() {
            let foreseen = if index == 0 { foreseen } else { Foreseen::default() };
            match rule.apply(zset, member(index), foreseen, *score) {
                Ok(Outcome::Added(score)) => (added, last) = (added + 1, Some(score)),
                Ok(Outcome::Updated(score)) => (updated, last) = (updated + 1, Some(score)),
                Ok(Outcome::Same(score)) => last = Some(score),
                Ok(Outcome::Left) => {}
                Err(error) => return (added + updated, Err(error)),
            }
        }
        (added + updated, Ok(()))
    });
    ctx.give_back_ways(ways);
    done?.unwrap_or(Ok(()))?;

    match last {
        Some(score) if rule.increment => ctx.reply.double(score),
        None if rule.increment => ctx.reply.null(),
        _ if options.count_changed => ctx.reply.int((added + updated) as i64),
        _ => ctx.reply.int(added as i64),
    }
    Ok(())
}

#[cold]
fn other_scores(args: Args<'_>, from: usize) -> Result<Vec<f64>> {
    (from..args.len()).step_by(2).map(|at| score(args, at)).collect()
}

/// ZREM key member [member ...]
pub static ZREM: Spec = Spec {
    name: "zrem",
    summary: "Takes members out of a sorted set, and deletes it when none is left.",
    since: "1.2.0",
    complexity: "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be \
                 removed.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::DELETE))],
    flags: Flags::FAST,
    args: "key member [member ...]",
    history: &[("2.4.0", "Several members at once.")],
    member: 2,
    handler: Handler::Write(remove),
    ..ZSET
};

fn remove(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let removed = ctx.edit_zset(args.key(1), false, event("zrem"), |zset| {
        let members = args.skip(2).iter();
        let removed = members.filter(|member| zset.remove(member).is_some()).count() as u64;
        (removed, removed)
    })?;
    let removed = removed.unwrap_or(0);
    ctx.reply.int(removed as i64);
    Ok(())
}

/// ZCARD key
pub static ZCARD: Spec = Spec {
    name: "zcard",
    summary: "Returns the number of members of a sorted set.",
    since: "1.2.0",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO)],
    flags: Flags::FAST,
    args: "key",
    handler: Handler::Read(cardinality),
    ..ZSET
};

fn cardinality(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let len = ctx.keys.zset(args.key(1))?.map_or(0, ZsetRef::len);
    ctx.reply.int(len as i64);
    Ok(())
}

/// ZSCORE key member
pub static ZSCORE: Spec = Spec {
    name: "zscore",
    summary: "Returns the score of a member of a sorted set.",
    since: "1.2.0",
    arity: Arity::Exactly(3),
    keys: READ,
    flags: Flags::FAST,
    args: "key member",
    member: 2,
    handler: Handler::Read(score_of),
    ..ZSET
};

fn score_of(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    match ctx.keys.zset(args.key(1))?.and_then(|zset| zset.score(args.get(2))) {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// ZMSCORE key member [member ...]
pub static ZMSCORE: Spec = Spec {
    name: "zmscore",
    summary: "Returns the scores of several members of a sorted set.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of members being requested.",
    arity: Arity::AtLeast(3),
    keys: READ,
    flags: Flags::FAST,
    args: "key member [member ...]",
    member: 2,
    handler: Handler::Read(scores_of),
    ..ZSET
};

fn scores_of(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let zset = ctx.keys.zset(args.key(1))?;
    ctx.reply.array(args.len() - 2);
    for member in args.skip(2).iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// ZRANK key member [WITHSCORE]
pub static ZRANK: Spec = Spec {
    name: "zrank",
    summary: "Returns how many members of a sorted set come before a member.",
    member: 2,
    handler: Handler::Read(|ctx, args| rank(ctx, args, |rank, _| rank)),
    ..RANK
};

/// ZREVRANK key member [WITHSCORE]
pub static ZREVRANK: Spec = Spec {
    name: "zrevrank",
    summary: "Returns how many members of a sorted set come after a member.",
    member: 2,
    handler: Handler::Read(|ctx, args| rank(ctx, args, |rank, len| len - 1 - rank)),
    ..RANK
};

const RANK: Spec = Spec {
    since: "2.0.0",
    complexity: "O(log(N))",
    arity: Arity::AtLeast(3),
    keys: READ,
    flags: Flags::FAST,
    args: "key member [WITHSCORE]",
    history: &[("7.2.0", "`WITHSCORE`.")],
    ..ZSET
};

fn rank(ctx: &mut ReadCtx<'_>, args: Args<'_>, counted: fn(u64, u64) -> u64) -> Result {
    let with_score = match args.len() {
        3 => false,
        4 if args.is(3, "withscore") => true,
        4 => return Err(Error::Syntax),
        _ => return Err(Error::arity(&args.text(0).to_ascii_lowercase())),
    };
    let zset = ctx.keys.zset(args.key(1))?;
    let found = zset.and_then(|zset| Some((zset.rank(args.get(2))?, zset.len())));
    match found {
        Some(((rank, score), len)) => {
            if with_score {
                ctx.reply.array(2);
            }
            ctx.reply.int(counted(rank, len) as i64);
            if with_score {
                ctx.reply.double(score);
            }
        }
        None if with_score => ctx.reply.null_array(),
        None => ctx.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn members_get_scores() {
        check(
            "
            > ZADD z 2 b 1 a 3 c
            3
            > ZADD z 5 a 2 b
            0
            > ZADD z CH 6 a 2 b 1 d
            2
            > ZRANGE z 0 -1 WITHSCORES
            [\"d\", \"1\", \"b\", \"2\", \"c\", \"3\", \"a\", \"6\"]
            > ZCARD z
            4
            > ZSCORE z a
            6
            > ZSCORE z x
            (nil)
            > ZMSCORE z a x b
            [\"6\", (nil), \"2\"]
            > ZRANK z c
            2
            > ZREVRANK z c WITHSCORE
            [1, \"3\"]
            > ZRANK z x
            (nil)
            > ZRANK z a b
            ERR syntax error
            > ZRANK z a WITHSCORE x
            ERR wrong number of arguments for 'zrank' command
            > ZREM z a b x
            2
            > ZREM z c d
            2
            > EXISTS z
            0
            propagated: SELECT 0
            propagated: ZADD z 2 b 1 a 3 c
            propagated: ZADD z 5 a 2 b
            propagated: ZADD z CH 6 a 2 b 1 d
            propagated: ZREM z a b x
            propagated: ZREM z c d
            propagated: nothing
            events: zadd z
            events: zadd z
            events: zadd z
            events: zrem z
            events: zrem z
            events: del z
            events: nothing
            ",
        );
    }

    #[test]
    fn options_of_zadd() {
        check(
            "
            > ZADD z XX 1 a
            0
            > EXISTS z
            0
            > ZADD z NX 1 a 2 b
            2
            > ZADD z NX 9 a
            0
            > ZADD z GT 0 a
            0
            > ZADD z GT CH 3 a
            1
            > ZADD z LT INCR 1 a
            (nil)
            > ZADD z INCR 1.5 a
            4.5
            > ZADD z XX INCR 1 none
            (nil)
            > ZINCRBY z -inf b
            -inf
            > ZINCRBY z +inf b
            ERR resulting score is not a number (NaN)
            > ZADD z NX XX 1 a
            ERR XX and NX options at the same time are not compatible
            > ZADD z GT LT 1 a
            ERR GT, LT, and/or NX options at the same time are not compatible
            > ZADD z INCR 1 a 2 b
            ERR INCR option supports a single increment-element pair
            > ZADD z 1
            ERR wrong number of arguments for 'zadd' command
            > ZADD z 1 a 2
            ERR syntax error
            > ZADD z nan a
            ERR value is not a valid float
            > SET s x
            OK
            > ZADD s 1 a
            WRONGTYPE Operation against a key holding the wrong kind of value
            propagated: SELECT 0
            propagated: ZADD z NX 1 a 2 b
            propagated: ZADD z GT CH 3 a
            propagated: ZADD z INCR 1.5 a
            propagated: ZINCRBY z -inf b
            propagated: SET s x
            events: zadd z
            events: zadd z
            events: zincr z
            events: zincr z
            events: set s
            ",
        );
    }
}
