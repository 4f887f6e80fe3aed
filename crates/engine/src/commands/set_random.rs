//! Sets: members drawn by chance.

use super::sets::{SET, write_all, write_member};
use crate::{ArgsExt, Arity, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use keyspace::SetRef;
use keyspace::set::Member;
use resp::Args;

/// SPOP key [count]
pub static SPOP: Spec = Spec {
    name: "spop",
    summary: "Takes random members out of a set and returns them.",
    complexity: "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE))],
    flags: Flags::FAST,
    tips: &["nondeterministic_output"],
    args: "key [count]",
    history: &[("3.2.0", "Added the `count` argument.")],
    handler: Handler::Write(pop),
    ..SET
};

/// Goes to replicas as an SREM of each member drawn, or as the DEL of a set that was taken whole.
fn pop(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    match args.len() {
        2 => pop_one(ctx, args.key(1)),
        3 => pop_several(ctx, args),
        _ => Err(Error::Syntax),
    }
}

fn pop_one(ctx: &mut WriteCtx<'_>, key: &[u8]) -> Result {
    let mut rng = ctx.keys.own_rng();
    let slot = ctx.set_slot(key)?;
    let drawn = slot
        .get()
        .and_then(|set| set.random(&mut rng))
        .map(|member| member.to_vec());
    let Some(member) = drawn else {
        ctx.reply.null();
        return Ok(());
    };
    slot.pop([&member[..]]);
    ctx.propagate(&[b"SREM", key, &member]);
    ctx.reply.bulk(&member);
    Ok(())
}

fn pop_several(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let count = args.count(2)?;
    let mut rng = ctx.keys.own_rng();
    let mut reply = ctx.reply.reborrow();
    let slot = ctx.keys.set_slot(key)?;
    let len = slot.get().map_or(0, SetRef::len);
    if count == 0 || len == 0 {
        reply.set(0);
        return Ok(());
    }
    if count >= len {
        write_all(&mut reply, slot.get());
        slot.pop_all();
        ctx.propagate(&[b"DEL", key]);
        return Ok(());
    }
    let drawn: Vec<Vec<u8>> = slot
        .get()
        .map_or(Vec::new(), |set| set.sample(count, &mut rng))
        .iter()
        .map(Member::to_vec)
        .collect();
    slot.pop(drawn.iter().map(Vec::as_slice));
    reply.set(drawn.len());
    drawn.iter().for_each(|member| reply.bulk(member));
    for member in &drawn {
        ctx.propagate(&[b"SREM", key, member]);
    }
    Ok(())
}

/// SRANDMEMBER key [count]
pub static SRANDMEMBER: Spec = Spec {
    name: "srandmember",
    summary: "Returns random members of a set; with a negative count, some of them more than once.",
    complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    tips: &["nondeterministic_output"],
    args: "key [count]",
    history: &[("2.6.0", "Added the optional `count` argument.")],
    handler: Handler::Read(random),
    ..SET
};

fn random(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let count = match args.len() {
        2 => None,
        3 => Some(args.ranged_int(2, -i64::MAX, i64::MAX)?),
        _ => return Err(Error::Syntax),
    };
    let mut rng = ctx.keys.own_rng();
    let limit_bytes = ctx.keys.data().reply_limit_bytes;
    let set = ctx.keys.set(key)?;
    match (set, count) {
        (None, None) => ctx.reply.null(),
        (None, Some(_)) | (_, Some(0)) => ctx.reply.array(0),
        (Some(set), None) => match set.random(&mut rng) {
            Some(member) => write_member(&mut ctx.reply, member),
            None => ctx.reply.null(),
        },
        (Some(set), Some(count)) if count > 0 => {
            let drawn = set.sample(usize::try_from(count).unwrap_or(usize::MAX), &mut rng);
            ctx.reply.array(drawn.len());
            drawn
                .into_iter()
                .for_each(|member| write_member(&mut ctx.reply, member));
        }
        (Some(set), Some(count)) => {
            ctx.reply.array(count.unsigned_abs() as usize);
            for _ in 0..count.unsigned_abs() {
                if let Some(member) = set.random(&mut rng) {
                    write_member(&mut ctx.reply, member);
                }
                // A client that leaves too much unread is closed, and gets none of it.
                if limit_bytes > 0 && ctx.reply.written() as u64 > limit_bytes {
                    break;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn what_was_drawn_is_told_and_not_that_it_was_drawn() {
        check(
            "
            > SADD s a a a
            1
            > SPOP s
            a
            > SPOP s
            (nil)
            > SADD s a b
            2
            > SPOP s 0
            []
            > SPOP none 3
            []
            > SPOP s -1
            ERR value is out of range, must be positive
            > SPOP s x
            ERR value is out of range, must be positive
            > SPOP s 1 1
            ERR syntax error
            > SADD t 1 2
            2
            > SPOP t 2
            [\"1\", \"2\"]
            > EXISTS t
            0
            propagated: SELECT 0
            propagated: SADD s a a a
            propagated: SREM s a
            propagated: SADD s a b
            propagated: SADD t 1 2
            propagated: DEL t
            events: sadd s
            events: spop s
            events: del s
            events: sadd s
            events: sadd t
            events: spop t
            events: del t
        ",
        );
    }

    #[test]
    fn several_removals_are_one_transaction() {
        check(
            "
            > SADD s 1 1
            1
            > MULTI
            OK
            > SPOP s
            QUEUED
            > SADD s 2
            QUEUED
            > EXEC
            [\"1\", 1]
            propagated: SELECT 0
            propagated: SADD s 1 1
            propagated: MULTI
            propagated: SREM s 1
            propagated: SADD s 2
            propagated: EXEC
        ",
        );
    }

    #[test]
    fn drawing_leaves_the_set_as_it_is() {
        check(
            "
            > SRANDMEMBER none
            (nil)
            > SRANDMEMBER none 3
            []
            > SADD s a
            1
            > SRANDMEMBER s
            a
            > SRANDMEMBER s 5
            [\"a\"]
            > SRANDMEMBER s -3
            [\"a\", \"a\", \"a\"]
            > SRANDMEMBER s 0
            []
            > SRANDMEMBER s x
            ERR value is not an integer or out of range
            > SRANDMEMBER s -9223372036854775808
            ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
            > SRANDMEMBER s 1 2
            ERR syntax error
            > SCARD s
            1
            propagated: SELECT 0
            propagated: SADD s a
            propagated: nothing
        ",
        );
    }
}
