//! Sets: intersections, unions and differences.

use super::sets::{SET, write_all, write_member};
use crate::keys::{Event, Reader};
use crate::{ArgsExt, Arity, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use keyspace::set::Member;
use keyspace::{SetBuilder, SetRef};
use resp::Args;

/// The sets to be combined; `None` for a key that is not there.
type Sets<'a> = Vec<Option<SetRef<'a>>>;

const SOURCES: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::RO.or(KeyFlags::ACCESS))];

const STORE_OVERWRITING: &[KeySpec] = &[
    KeySpec::at(1, KeyFlags::OW.or(KeyFlags::UPDATE)),
    KeySpec::range(2, -1, 1, KeyFlags::RO.or(KeyFlags::ACCESS)),
];

const COMBINING: Spec = Spec {
    arity: Arity::AtLeast(2),
    keys: SOURCES,
    tips: &["nondeterministic_output_order"],
    args: "key [key ...]",
    ..SET
};

const STORING: Spec = Spec {
    arity: Arity::AtLeast(3),
    keys: STORE_OVERWRITING,
    flags: Flags::DENY_OOM,
    args: "destination key [key ...]",
    ..SET
};

const INTERSECTING_COST: &str =
    "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.";
const WALKING_COST: &str = "O(N) where N is the total number of elements in all given sets.";

impl Reader<'_> {
    /// An empty set in the making, for this database.
    fn set_builder(&self) -> SetBuilder {
        SetBuilder::new(self.database().new_table(), self.data.settings.encodings)
    }

    /// The sets at these keys, looked up as for reading, or an error when another type is at one.
    fn sets<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]> + Clone) -> Result<Sets<'_>> {
        // All lookups first: they delete what has expired.
        let there = keys
            .clone()
            .map(|key| Ok(self.set(key)?.is_some()))
            .collect::<Result<Vec<bool>>>()?;
        let (database, data) = (self.database(), &*self.data);
        let look = |(key, there): (&'k [u8], bool)| {
            let entry = database.get(key, data.keyspace.hash(key)).filter(|_| there)?;
            SetRef::of(entry.value())
        };
        Ok(keys.zip(there).map(look).collect())
    }
}

/// SINTER key [key ...]
pub static SINTER: Spec = Spec {
    name: "sinter",
    summary: "Returns the members that several sets have in common.",
    complexity: INTERSECTING_COST,
    handler: Handler::Read(intersection),
    ..COMBINING
};

fn intersection(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let sets = ctx.keys.sets(args.skip(1).iter())?;
    let mut found = 0;
    let deferred = ctx.reply.deferred_set();
    intersect(&sets, usize::MAX, |member| {
        write_member(&mut ctx.reply, member);
        found += 1;
    });
    ctx.reply.set_deferred(deferred, found);
    Ok(())
}

/// Visits what the sets have in common, up to `limit` members; how many.
fn intersect<'a>(sets: &[Option<SetRef<'a>>], limit: usize, mut each: impl FnMut(Member<'a>)) -> usize {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<SetRef<'a>>>>() else {
        return 0;
    };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else {
        return 0;
    };
    let common = smallest
        .iter()
        .filter(|member| others.iter().all(|other| member.with_text(|text| other.contains(text))));
    common.take(limit).map(&mut each).count()
}

/// SINTERCARD numkeys key [key ...] [LIMIT limit]
pub static SINTERCARD: Spec = Spec {
    name: "sintercard",
    summary: "Returns how many members several sets have in common.",
    since: "7.0.0",
    complexity: INTERSECTING_COST,
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::counted(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    args: "numkeys key [key ...] [LIMIT limit]",
    handler: Handler::Read(intersection_cardinality),
    ..SET
};

fn intersection_cardinality(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    const TOO_FEW: Error = Error::fixed("ERR numkeys should be greater than 0");
    const TOO_MANY: Error = Error::fixed("ERR Number of keys can't be greater than number of args");
    const NEGATIVE: Error = Error::fixed("ERR LIMIT can't be negative");
    let count = args.int(1).ok().filter(|count| *count > 0).ok_or(TOO_FEW)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > args.len() - 2 {
        return Err(TOO_MANY);
    }
    let mut limit = 0;
    let mut at = 2 + count;
    while at < args.len() {
        if !args.is(at, "limit") || at + 1 >= args.len() {
            return Err(Error::Syntax);
        }
        limit = args.count(at + 1).map_err(|_| NEGATIVE)?;
        at += 2;
    }
    let limit = if limit == 0 { usize::MAX } else { limit };

    let sets = ctx.keys.sets(args.skip(2).iter().take(count))?;
    let found = intersect(&sets, limit, |_| {});
    ctx.reply.int(found as i64);
    Ok(())
}

/// SINTERSTORE destination key [key ...]
pub static SINTERSTORE: Spec = Spec {
    name: "sinterstore",
    summary: "Keeps the members that several sets have in common at a key.",
    complexity: INTERSECTING_COST,
    keys: &[
        KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE)),
        KeySpec::range(2, -1, 1, KeyFlags::RO.or(KeyFlags::ACCESS)),
    ],
    handler: Handler::Write(|ctx, args| {
        store(ctx, args, Event::new('s', "sinterstore"), |sets, result| {
            intersect(sets, usize::MAX, |member| add(result, member));
        })
    }),
    ..STORING
};

/// SUNION key [key ...]
pub static SUNION: Spec = Spec {
    name: "sunion",
    summary: "Returns the members that are in any of several sets.",
    complexity: WALKING_COST,
    handler: Handler::Read(|ctx, args| combine(ctx, args, unite)),
    ..COMBINING
};

/// SUNIONSTORE destination key [key ...]
pub static SUNIONSTORE: Spec = Spec {
    name: "sunionstore",
    summary: "Keeps the members that are in any of several sets at a key.",
    complexity: WALKING_COST,
    handler: Handler::Write(|ctx, args| store(ctx, args, Event::new('s', "sunionstore"), unite)),
    ..STORING
};

/// SDIFF key [key ...]
pub static SDIFF: Spec = Spec {
    name: "sdiff",
    summary: "Returns the members of the first set that are in none of the others.",
    complexity: WALKING_COST,
    handler: Handler::Read(|ctx, args| combine(ctx, args, subtract)),
    ..COMBINING
};

/// SDIFFSTORE destination key [key ...]
pub static SDIFFSTORE: Spec = Spec {
    name: "sdiffstore",
    summary: "Keeps the members of the first set that are in none of the others at a key.",
    complexity: WALKING_COST,
    handler: Handler::Write(|ctx, args| store(ctx, args, Event::new('s', "sdiffstore"), subtract)),
    ..STORING
};

fn add(result: &mut SetBuilder, member: Member<'_>) {
    member.with_text(|text| {
        result.add(text);
    });
}

fn unite(sets: &[Option<SetRef<'_>>], result: &mut SetBuilder) {
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        add(result, member);
    }
}

/// Of two ways the cheaper: to look up each member of the first set in the others, which may end early, or to go through
/// all sets and take the members of the others out.
fn subtract(sets: &[Option<SetRef<'_>>], result: &mut SetBuilder) {
    let Some((Some(first), others)) = sets.split_first() else {
        return;
    };
    let mut others: Vec<SetRef<'_>> = others.iter().flatten().copied().collect();
    let by_look_up = first.len() * (others.len() + 1) / 2;
    let by_walk = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    if by_look_up <= by_walk {
        // The larger a set, the more likely it has what is looked for.
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        for member in first.iter() {
            let stays = member.with_text(|text| !others.iter().any(|other| other.contains(text)));
            if stays {
                add(result, member);
            }
        }
        return;
    }
    first.iter().for_each(|member| add(result, member));
    for other in others {
        for member in other.iter() {
            member.with_text(|text| result.remove(text));
        }
        if result.get().is_empty() {
            return;
        }
    }
}

fn combine(ctx: &mut ReadCtx<'_>, args: Args<'_>, work: fn(&[Option<SetRef<'_>>], &mut SetBuilder)) -> Result {
    let mut result = ctx.keys.set_builder();
    work(&ctx.keys.sets(args.skip(1).iter())?, &mut result);
    write_all(&mut ctx.reply, Some(result.get()));
    Ok(())
}

fn store(
    ctx: &mut WriteCtx<'_>,
    args: Args<'_>,
    event: Event,
    work: impl FnOnce(&[Option<SetRef<'_>>], &mut SetBuilder),
) -> Result {
    let mut result = ctx.keys.set_builder();
    work(&ctx.keys.sets(args.skip(2).iter())?, &mut result);
    ctx.reply.int(result.get().len() as i64);
    ctx.keys.unsettled_slot(args.key(1)).store_set(result, event);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn sets_are_combined() {
        check(
            "
            > SADD a 1 2 3 4
            4
            > SADD b 3 4 5
            3
            > SADD c 4 x
            2
            > SINTER a b
            [\"3\", \"4\"]
            > SINTER a b none
            []
            > SUNION a b
            [\"1\", \"2\", \"3\", \"4\", \"5\"]
            > SUNION none
            []
            > SDIFF a b
            [\"1\", \"2\"]
            > SDIFF a b c none
            [\"1\", \"2\"]
            > SDIFF a a
            []
            > SDIFF none a
            []
            > SINTERCARD 2 a b
            2
            > SINTERCARD 2 a b LIMIT 1
            1
            > SINTERCARD 2 a b LIMIT 0
            2
            > SINTERCARD 0 a
            ERR numkeys should be greater than 0
            > SINTERCARD x a
            ERR numkeys should be greater than 0
            > SINTERCARD 2 a
            ERR Number of keys can't be greater than number of args
            > SINTERCARD 1 a LIMIT
            ERR syntax error
            > SINTERCARD 1 a LIMIT -1
            ERR LIMIT can't be negative
            > SET k v
            OK
            > SINTER none k
            WRONGTYPE Operation against a key holding the wrong kind of value
            > SDIFF none k
            WRONGTYPE Operation against a key holding the wrong kind of value
        ",
        );
    }

    #[test]
    fn results_are_kept() {
        check(
            "
            > SADD a 1 2 3
            3
            > SADD b 3 x
            2
            > SET d v EX 100
            OK
            > SUNIONSTORE d a b
            4
            > TTL d
            -1
            > OBJECT ENCODING d
            hashtable
            > SINTERSTORE d a b
            1
            > SMEMBERS d
            [\"3\"]
            > OBJECT ENCODING d
            intset
            > SDIFFSTORE a a b
            2
            > SDIFFSTORE d a a
            0
            > EXISTS d
            0
            > SINTERSTORE d a none
            0
            propagated: SELECT 0
            propagated: SADD a 1 2 3
            propagated: SADD b 3 x
            propagated: SET d v PXAT 1700000100000
            propagated: SUNIONSTORE d a b
            propagated: SINTERSTORE d a b
            propagated: SDIFFSTORE a a b
            propagated: SDIFFSTORE d a a
            propagated: nothing
            events: sadd a
            events: sadd b
            events: set d
            events: expire d
            events: sunionstore d
            events: sinterstore d
            events: sdiffstore a
            events: del d
            events: nothing
        ",
        );
    }

    /// Both ways to subtract give the same.
    #[test]
    fn a_small_set_less_large_ones_and_the_other_way_round() {
        let numbers = |range: std::ops::Range<i32>| range.map(|n| format!(" m{n}")).collect::<String>();
        check(&format!(
            "
            > SADD large{}
            300
            > SADD small{}
            4
            > SADD other{}
            3
            > SDIFF small large other
            [\"m-1\", \"m-2\"]
            > SDIFFSTORE rest large small small small small other
            296
            > SINTERCARD 2 rest large
            296
            > SINTERCARD 2 rest small
            0
            ",
            numbers(0..300),
            " m-1 m1 m-2 m2",
            numbers(2..5),
        ));
    }
}
