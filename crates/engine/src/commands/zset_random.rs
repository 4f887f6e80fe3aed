//! Sorted sets: members drawn by chance, and step by step.

use super::scan;
use super::zsets::{READ, ZSET, begin_members, write_member, write_scored};
use crate::{ArgsExt, Arity, Error, Handler, ReadCtx, Result, Spec};
use base::Rng;
use keyspace::ZsetRef;
use keyspace::zset::Member;
use resp::Args;
use std::collections::BTreeSet;

/// ZRANDMEMBER key [count [WITHSCORES]]
pub static ZRANDMEMBER: Spec = Spec {
    name: "zrandmember",
    summary: "Returns random members of a sorted set; with a negative count, some of them more than once.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of elements returned",
    arity: Arity::AtLeast(2),
    keys: READ,
    tips: &["nondeterministic_output"],
    args: "key [count [WITHSCORES]]",
    handler: Handler::Read(random),
    ..ZSET
};

fn random(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    if args.len() == 2 {
        let mut rng = ctx.keys.own_rng();
        match ctx.keys.zset(key)?.and_then(|zset| zset.random(&mut rng)) {
            Some((member, _)) => write_member(&mut ctx.reply, member),
            None => ctx.reply.null(),
        }
        return Ok(());
    }
    let count = args.ranged_int(2, -i64::MAX, i64::MAX)?;
    let with_scores = match args.len() {
        3 => false,
        4 if args.is(3, "withscores") => true,
        _ => return Err(Error::Syntax),
    };
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::fixed("ERR value is out of range"));
    }

    let mut rng = ctx.keys.own_rng();
    let limit_bytes = ctx.keys.data().reply_limit_bytes;
    let zset = ctx.keys.zset(key)?;
    let reply = &mut ctx.reply;
    let Some(zset) = zset.filter(|_| count != 0) else {
        reply.array(0);
        return Ok(());
    };
    let scored = |score| with_scores.then_some(score);
    if count > 0 {
        let drawn = sample(zset, count as u64, &mut rng);
        begin_members(reply, drawn.len(), with_scores);
        for (member, score) in drawn {
            write_scored(reply, member, scored(score));
        }
    } else {
        begin_members(reply, count.unsigned_abs() as usize, with_scores);
        for _ in 0..count.unsigned_abs() {
            if let Some((member, score)) = zset.random(&mut rng) {
                write_scored(reply, member, scored(score));
            }
            // A client that leaves too much unread is closed, and gets none of it.
            if limit_bytes > 0 && reply.written() as u64 > limit_bytes {
                break;
            }
        }
    }
    Ok(())
}

/// Up to `count` members, no two the same, every choice of them equally likely. All of them come from the highest down,
/// as stock gives them.
fn sample<'a>(zset: ZsetRef<'a>, count: u64, rng: &mut Rng) -> Vec<(Member<'a>, f64)> {
    let len = zset.len();
    if count >= len {
        return zset.range_back(0..len).collect();
    }
    // Floyd's: each step adds one rank to those drawn, the last possible one if the drawn one is there already.
    let mut ranks = BTreeSet::new();
    for last in len - count..len {
        let rank = rng.below(last + 1);
        if !ranks.insert(rank) {
            ranks.insert(last);
        }
    }
    ranks.into_iter().filter_map(|rank| zset.get(rank)).collect()
}

/// ZSCAN key cursor [MATCH pattern] [COUNT count]
pub static ZSCAN: Spec = Spec {
    name: "zscan",
    summary: "Returns some members of a sorted set with their scores, and the cursor to go on from.",
    since: "2.8.0",
    complexity: "O(1) for every call, O(N) from the first cursor to the last, where N is the number of members.",
    arity: Arity::AtLeast(3),
    keys: READ,
    tips: &["nondeterministic_output"],
    args: "key cursor [MATCH pattern] [COUNT count]",
    handler: Handler::Read(scan_members),
    ..ZSET
};

/// Members that are there from the first call to the last are returned at least once. A sorted set in one block is
/// returned whole. Scores are strings, in RESP3 too.
fn scan_members(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let cursor = scan::cursor(args, 2)?;
    let zset = ctx.keys.zset(args.key(1))?;
    scan::collection(&mut ctx.reply, args, zset, |zset, count, found| {
        zset.scan(cursor, count, &mut |member, score| {
            member.with_text(|name| {
                found.offer_pair(name, |reply| {
                    reply.bulk(name);
                    reply.bulk(&zset.kept_text(score));
                });
            });
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use keyspace::zset::ZsetMut;
    use keyspace::{Encodings, Keyspace};

    #[test]
    fn replies() {
        check(
            "
            > ZRANDMEMBER none
            (nil)
            > ZRANDMEMBER none 3
            []
            > ZADD z 1 a 2 b
            2
            > ZRANDMEMBER z 5 WITHSCORES
            [\"b\", \"2\", \"a\", \"1\"]
            > ZRANDMEMBER z 0
            []
            > ZREM z a
            1
            > ZRANDMEMBER z
            b
            > ZRANDMEMBER z -3
            [\"b\", \"b\", \"b\"]
            > ZRANDMEMBER z 1 x
            ERR syntax error
            > ZRANDMEMBER z -9223372036854775807 WITHSCORES
            ERR value is out of range
            > ZSCAN z 0
            [\"0\", [\"b\", \"2\"]]
            > ZSCAN z 0 MATCH a*
            [\"0\", []]
            > ZSCAN none 0 nonsense
            [\"0\", []]
            > ZSCAN z 0 TYPE zset
            ERR syntax error
            > ZSCAN z x
            ERR invalid cursor
            ",
        );
    }

    #[test]
    fn every_member_is_drawn_about_as_often() {
        let mut keyspace = Keyspace::new(1, 1);
        let hash = keyspace.hash(b"z");
        let db = keyspace.db_mut(base::DbIndex(0));
        db.set(b"z", hash, ZsetMut::empty(), None);
        let value = db.value_mut(b"z", hash).expect("just set");
        let mut zset = ZsetMut::new(value, &Encodings::default()).expect("a sorted set");
        for number in 0..10 {
            zset.insert(number.to_string().as_bytes(), f64::from(number));
        }
        let (mut rng, mut drawn) = (Rng::new(1), [0; 10]);
        for _ in 0..10_000 {
            let members = sample(zset.get(), 3, &mut rng);
            assert_eq!(members.len(), 3);
            members.iter().for_each(|(_, score)| drawn[*score as usize] += 1);
        }
        assert!(drawn.iter().all(|count| (2700..3300).contains(count)), "{drawn:?}");
    }
}
