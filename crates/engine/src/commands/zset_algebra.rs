//! Sorted sets: unions, intersections and differences, of sets too.

use super::zsets::{ZSET, begin_members, event};
use crate::keys::Reader;
use crate::{ArgsExt, Arity, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use keyspace::{SetRef, ZsetRef};
use resp::{Args, Proto};
use std::collections::BTreeMap;

const SOURCE: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);

const READING: Spec = Spec {
    since: "6.2.0",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::counted(1, SOURCE)],
    ..ZSET
};

const STORING: Spec = Spec {
    since: "2.0.0",
    arity: Arity::AtLeast(4),
    keys: &[
        KeySpec::at(1, KeyFlags::OW.or(KeyFlags::UPDATE)),
        KeySpec::counted(2, SOURCE),
    ],
    flags: Flags::DENY_OOM,
    ..ZSET
};

const UNION_COST: &str = "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the \
                          number of elements in the resulting sorted set.";
const INTERSECTION_COST: &str = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the \
                                 number of input sorted sets and M being the number of elements in the resulting \
                                 sorted set.";
const DIFFERENCE_COST: &str = "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N \
                               is the size of the first set, and K is the size of the result set.";

/// ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX>] [WITHSCORES]
pub static ZUNION: Spec = Spec {
    name: "zunion",
    summary: "Returns the members that are in any of several sorted sets.",
    complexity: UNION_COST,
    args: "numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] [AGGREGATE <SUM|MIN|MAX>] \
           [WITHSCORES]",
    handler: Handler::Read(|ctx, args| list(ctx, args, Operation::Union)),
    ..READING
};

/// ZINTER numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX>] [WITHSCORES]
pub static ZINTER: Spec = Spec {
    name: "zinter",
    summary: "Returns the members that several sorted sets have in common.",
    complexity: INTERSECTION_COST,
    args: ZUNION.args,
    handler: Handler::Read(|ctx, args| list(ctx, args, Operation::Intersection)),
    ..READING
};

/// ZDIFF numkeys key [key ...] [WITHSCORES]
pub static ZDIFF: Spec = Spec {
    name: "zdiff",
    summary: "Returns the members of the first sorted set that are in none of the others.",
    complexity: DIFFERENCE_COST,
    args: "numkeys:integer key [key ...] [WITHSCORES]",
    handler: Handler::Read(|ctx, args| list(ctx, args, Operation::Difference)),
    ..READING
};

/// ZINTERCARD numkeys key [key ...] [LIMIT limit]
pub static ZINTERCARD: Spec = Spec {
    name: "zintercard",
    summary: "Returns how many members several sorted sets have in common.",
    since: "7.0.0",
    complexity: "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
    args: "numkeys:integer key [key ...] [LIMIT limit:integer]",
    handler: Handler::Read(intersection_cardinality),
    ..READING
};

/// ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX>]
pub static ZUNIONSTORE: Spec = Spec {
    name: "zunionstore",
    summary: "Keeps the members that are in any of several sorted sets at a key.",
    complexity: "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of \
                 elements in the resulting sorted set.",
    args: "destination numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] [AGGREGATE \
           <SUM|MIN|MAX>]",
    handler: Handler::Write(|ctx, args| store(ctx, args, Operation::Union, "zunionstore")),
    ..STORING
};

/// ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX>]
pub static ZINTERSTORE: Spec = Spec {
    name: "zinterstore",
    summary: "Keeps the members that several sorted sets have in common at a key.",
    complexity: INTERSECTION_COST,
    args: ZUNIONSTORE.args,
    handler: Handler::Write(|ctx, args| store(ctx, args, Operation::Intersection, "zinterstore")),
    ..STORING
};

/// ZDIFFSTORE destination numkeys key [key ...]
pub static ZDIFFSTORE: Spec = Spec {
    name: "zdiffstore",
    summary: "Keeps the members of the first sorted set that are in none of the others at a key.",
    since: "6.2.0",
    complexity: DIFFERENCE_COST,
    args: "destination numkeys:integer key [key ...]",
    handler: Handler::Write(|ctx, args| store(ctx, args, Operation::Difference, "zdiffstore")),
    ..STORING
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the scores of one member.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            // The two infinities make nothing.
            Self::Sum => number_or_zero(one + other),
            Self::Min if other < one => other,
            Self::Max if other > one => other,
            Self::Min | Self::Max => one,
        }
    }
}

fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A set that takes part: in a plain one every score is 1.
#[derive(Clone, Copy)]
enum Source<'a> {
    None,
    Set(SetRef<'a>),
    Zset(ZsetRef<'a>),
}

impl Source<'_> {
    fn len(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Set(set) => set.len() as u64,
            Self::Zset(zset) => zset.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::Zset(zset) => zset.score(member),
        }
    }

    /// Visits members until `each` says no more.
    fn visit(self, each: &mut dyn FnMut(&[u8], f64) -> bool) {
        match self {
            Self::None => {}
            Self::Set(set) => {
                for member in set.iter() {
                    if !member.with_text(|text| each(text, 1.0)) {
                        return;
                    }
                }
            }
            Self::Zset(zset) => {
                for (member, score) in zset.iter() {
                    if !member.with_text(|text| each(text, score)) {
                        return;
                    }
                }
            }
        }
    }
}

impl Reader<'_> {
    /// What is at these keys, looked up as for reading; an error when a value of another type is at one.
    fn set_sources<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]> + Clone) -> Result<Vec<Source<'_>>> {
        fn of(value: keyspace::ValueRef<'_>) -> Option<Source<'_>> {
            let zset = ZsetRef::of(value).map(Source::Zset);
            zset.or_else(|| SetRef::of(value).map(Source::Set))
        }
        // All lookups first: they delete what has expired.
        let mut there = Vec::new();
        for key in keys.clone() {
            let entry = self.get(key);
            if entry.is_some_and(|entry| of(entry.value()).is_none()) {
                return Err(Error::WrongType);
            }
            there.push(entry.is_some());
        }
        let (database, data) = (self.database(), self.data());
        let look = |(key, there): (&'k [u8], bool)| {
            let entry = database.get(key, data.keyspace.hash(key)).filter(|_| there)?;
            of(entry.value())
        };
        Ok(keys.zip(there).map(|key| look(key).unwrap_or(Source::None)).collect())
    }
}

/// The number of keys at word `at`, of which there must be some, and not more than words.
fn key_count(args: Args<'_>, at: usize) -> Result<usize> {
    let count = args.int(at)?;
    if count < 1 {
        let name = args.text(0).to_ascii_lowercase();
        return Err(Error::err(format_args!(
            "at least 1 input key is needed for '{name}' command"
        )));
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > args.len() - (at + 1) {
        return Err(Error::Syntax);
    }
    Ok(count)
}

/// What stands behind the keys.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Options {
    /// Reads the options from word `at` on of an operation on so many keys.
    fn parse(args: Args<'_>, mut at: usize, keys: usize, operation: Operation, stores: bool) -> Result<Self> {
        let mut options = Self {
            weights: vec![1.0; keys],
            aggregate: Aggregate::Sum,
            with_scores: false,
        };
        let combines = operation != Operation::Difference;
        while at < args.len() {
            let left = args.len() - at;
            if combines && left > keys && args.is(at, "weights") {
                const NOT_A_FLOAT: Error = Error::fixed("ERR weight value is not a float");
                for (index, weight) in options.weights.iter_mut().enumerate() {
                    let word = args.get(at + 1 + index);
                    *weight = base::number::parse_f64(word).ok_or(NOT_A_FLOAT)?;
                }
                at += 1 + keys;
            } else if combines && left >= 2 && args.is(at, "aggregate") {
                options.aggregate = match () {
                    () if args.is(at + 1, "sum") => Aggregate::Sum,
                    () if args.is(at + 1, "min") => Aggregate::Min,
                    () if args.is(at + 1, "max") => Aggregate::Max,
                    () => return Err(Error::Syntax),
                };
                at += 2;
            } else if !stores && args.is(at, "withscores") {
                options.with_scores = true;
                at += 1;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

/// The result of an operation: members with their scores, by member.
type Combined = BTreeMap<Box<[u8]>, f64>;

fn combine(sources: Vec<Source<'_>>, options: &Options, operation: Operation) -> Combined {
    let weighted = sources.into_iter().zip(options.weights.iter().copied());
    let mut weighted: Vec<(Source<'_>, f64)> = weighted.collect();
    if operation != Operation::Difference {
        // Sums of scores depend on their order: the smallest set comes first.
        weighted.sort_by_key(|(source, _)| source.len());
    }
    let mut result = Combined::new();
    match operation {
        Operation::Union => unite(&weighted, options.aggregate, &mut result),
        Operation::Intersection => intersect(&weighted, options.aggregate, &mut |member, score| {
            result.insert(member.into(), score);
            true
        }),
        Operation::Difference => subtract(&weighted, &mut result),
    }
    result
}

fn unite(sources: &[(Source<'_>, f64)], aggregate: Aggregate, result: &mut Combined) {
    for (source, weight) in sources {
        source.visit(&mut |member, score| {
            let score = number_or_zero(weight * score);
            match result.get_mut(member) {
                Some(sum) => *sum = aggregate.of(*sum, score),
                None => _ = result.insert(member.into(), score),
            }
            true
        });
    }
}

/// Visits what all sources have in common, the first being the smallest, until `each` says no more.
fn intersect(sources: &[(Source<'_>, f64)], aggregate: Aggregate, each: &mut dyn FnMut(&[u8], f64) -> bool) {
    let Some(((smallest, weight), others)) = sources.split_first() else {
        return;
    };
    smallest.visit(&mut |member, score| {
        let first = number_or_zero(weight * score);
        let combined = others.iter().try_fold(first, |sum, (other, weight)| {
            other.score(member).map(|score| aggregate.of(sum, score * weight))
        });
        combined.is_none_or(|score| each(member, score))
    });
}

fn subtract(sources: &[(Source<'_>, f64)], result: &mut Combined) {
    let Some(((first, _), others)) = sources.split_first() else {
        return;
    };
    first.visit(&mut |member, score| {
        if others.iter().all(|(other, _)| other.score(member).is_none()) {
            result.insert(member.into(), score);
        }
        true
    });
}

fn list(ctx: &mut ReadCtx<'_>, args: Args<'_>, operation: Operation) -> Result {
    let count = key_count(args, 1)?;
    let sources = ctx.keys.set_sources(args.skip(2).iter().take(count))?;
    let options = Options::parse(args, 2 + count, count, operation, false)?;
    let mut members: Vec<(Box<[u8]>, f64)> = combine(sources, &options, operation).into_iter().collect();
    // By member they are sorted already. No score is NaN.
    members.sort_by(|(_, a), (_, b)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));

    let reply = &mut ctx.reply;
    begin_members(reply, members.len(), options.with_scores);
    for (member, score) in &members {
        if options.with_scores && reply.proto() == Proto::Resp3 {
            reply.array(2);
        }
        reply.bulk(member);
        if options.with_scores {
            reply.double(*score);
        }
    }
    Ok(())
}

fn store(ctx: &mut WriteCtx<'_>, args: Args<'_>, operation: Operation, name: &'static str) -> Result {
    let count = key_count(args, 2)?;
    let mut result = ctx.keys.zset_builder();
    let sources = ctx.keys.set_sources(args.skip(3).iter().take(count))?;
    let options = Options::parse(args, 3 + count, count, operation, true)?;
    for (member, score) in combine(sources, &options, operation) {
        // A map has each member once.
        let _ = result.push(&member, score);
    }
    let len = ctx.key_slot(args.key(1)).store_zset(result, event(name));
    ctx.reply.int(len as i64);
    Ok(())
}

fn intersection_cardinality(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let count = key_count(args, 1)?;
    let sources = ctx.keys.set_sources(args.skip(2).iter().take(count))?;
    let mut limit = 0;
    let mut at = 2 + count;
    while at < args.len() {
        const NEGATIVE: Error = Error::fixed("ERR LIMIT can't be negative");
        if at + 1 >= args.len() || !args.is(at, "limit") {
            return Err(Error::Syntax);
        }
        limit = args.count(at + 1).map_err(|_| NEGATIVE)?;
        at += 2;
    }
    let mut weighted: Vec<(Source<'_>, f64)> = sources.into_iter().map(|source| (source, 1.0)).collect();
    weighted.sort_by_key(|(source, _)| source.len());
    let mut found = 0;
    intersect(&weighted, Aggregate::Sum, &mut |_, _| {
        found += 1;
        found != limit
    });
    ctx.reply.int(found as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn sets_and_sorted_sets_are_combined() {
        check(
            "
            > ZADD a 1 x 2 y 3 z
            3
            > ZADD b 10 y 20 z 30 w
            3
            > SADD s z w 7
            3
            > ZUNION 2 a b WITHSCORES
            [\"x\", \"1\", \"y\", \"12\", \"z\", \"23\", \"w\", \"30\"]
            > ZUNION 2 a b WEIGHTS 2 1 AGGREGATE MAX WITHSCORES
            [\"x\", \"2\", \"y\", \"10\", \"z\", \"20\", \"w\", \"30\"]
            > ZINTER 3 a b s WITHSCORES
            [\"z\", \"24\"]
            > ZINTER 2 a none
            []
            > ZINTERCARD 2 a b
            2
            > ZINTERCARD 2 a b LIMIT 1
            1
            > ZDIFF 2 a b WITHSCORES
            [\"x\", \"1\"]
            > ZUNIONSTORE to 2 a s AGGREGATE MIN
            5
            > ZRANGE to 0 -1 WITHSCORES
            [\"7\", \"1\", \"w\", \"1\", \"x\", \"1\", \"z\", \"1\", \"y\", \"2\"]
            > ZINTERSTORE a 2 a b
            2
            > ZDIFFSTORE a 2 a b
            0
            > EXISTS a
            0
            > ZDIFFSTORE a 2 none b
            0
            propagated: SELECT 0
            propagated: ZADD a 1 x 2 y 3 z
            propagated: ZADD b 10 y 20 z 30 w
            propagated: SADD s z w 7
            propagated: ZUNIONSTORE to 2 a s AGGREGATE MIN
            propagated: ZINTERSTORE a 2 a b
            propagated: ZDIFFSTORE a 2 a b
            propagated: nothing
            events: zadd a
            events: zadd b
            events: sadd s
            events: zunionstore to
            events: zinterstore a
            events: del a
            events: nothing
            ",
        );
    }

    #[test]
    fn what_is_refused() {
        check(
            "
            > ZUNION 0 a
            ERR at least 1 input key is needed for 'zunion' command
            > ZUNIONSTORE to x a
            ERR value is not an integer or out of range
            > ZUNION 3 a b
            ERR syntax error
            > ZUNION 1 a WEIGHTS x
            ERR weight value is not a float
            > ZUNION 1 a AGGREGATE x
            ERR syntax error
            > ZDIFF 1 a WEIGHTS 1
            ERR syntax error
            > ZUNIONSTORE to 1 a WITHSCORES
            ERR syntax error
            > ZINTERCARD 1 a LIMIT -1
            ERR LIMIT can't be negative
            > SET k v
            OK
            > ZUNION 2 k none
            WRONGTYPE Operation against a key holding the wrong kind of value
            ",
        );
    }

    #[test]
    fn infinities_make_no_nan() {
        check(
            "
            > ZADD a inf x
            1
            > ZADD b -inf x
            1
            > ZUNION 2 a b WITHSCORES
            [\"x\", \"0\"]
            > ZINTER 2 a b WEIGHTS 0 1 WITHSCORES
            [\"x\", \"-inf\"]
            ",
        );
    }
}
