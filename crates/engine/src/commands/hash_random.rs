//! Some fields of a hash: at random, or step by step.

use super::hashes::HASH;
use super::scan;
use crate::slots::HashView;
use crate::{ArgsExt, Arity, Error, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, StrRef};
use base::Rng;
use keyspace::Field;
use resp::{Args, Proto, Reply};
use std::collections::BTreeSet;

/// HRANDFIELD key [count [WITHVALUES]]
pub static HRANDFIELD: Spec = Spec {
    name: "hrandfield",
    summary: "Returns random fields of a hash.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of fields returned",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    tips: &["nondeterministic_output"],
    args: "key [count [WITHVALUES]]",
    handler: Handler::Read(random_fields),
    ..HASH
};

/// Whether values are wanted beside the names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Names,
    Values,
}

impl Show {
    fn write(self, reply: &mut Reply<'_>, field: &Field<'_>) {
        let pair = self == Self::Values;
        if pair && reply.proto() == Proto::Resp3 {
            reply.array(2);
        }
        StrRef::from(field.name).write_to(reply);
        if pair {
            StrRef::from(field.value).write_to(reply);
        }
    }

    /// Begins a reply of so many fields.
    fn begin(self, reply: &mut Reply<'_>, fields: usize) {
        let flat = self == Self::Values && reply.proto() == Proto::Resp2;
        reply.array(if flat { fields.saturating_mul(2) } else { fields });
    }
}

/// Without a count one field; with one, so many different ones; with a negative one, fields that may repeat.
fn random_fields(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let wanted = if args.len() > 2 { Some(parse_count(args)?) } else { None };
    let mut rng = Rng::new(ctx.keys.rng().next_u64());
    let limit_bytes = ctx.keys.data().reply_limit_bytes;
    let hash = ctx.keys.hash(args.key(1))?;
    let reply = &mut ctx.reply;
    match (hash, wanted) {
        (None, None) => reply.null(),
        (None, Some(_)) | (Some(_), Some((0, _))) => reply.array(0),
        (Some(hash), None) => match hash.random(&mut rng) {
            Some(field) => StrRef::from(field.name).write_to(reply),
            None => reply.null(),
        },
        (Some(hash), Some((count, show))) if count < 0 => {
            let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            repeated(reply, hash, count, show, &mut rng, limit_bytes);
        }
        (Some(hash), Some((count, show))) => different(reply, hash, count as u64, show, &mut rng),
    }
    Ok(())
}

fn parse_count(args: Args<'_>) -> Result<(i64, Show)> {
    let count = args.int(2)?;
    if count == i64::MIN {
        return Err(Error::err(format_args!(
            "value is out of range, value must between {} and {}",
            -i64::MAX,
            i64::MAX
        )));
    }
    match args.len() {
        3 => Ok((count, Show::Names)),
        4 if args.is(3, "withvalues") => {
            if !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
                return Err(Error::fixed("ERR value is out of range"));
            }
            Ok((count, Show::Values))
        }
        _ => Err(Error::Syntax),
    }
}

/// So many fields, each chosen anew. Ends early where the reply has outgrown what the client may leave unread: it will
/// be closed, and never gets it.
fn repeated(reply: &mut Reply<'_>, hash: HashView<'_>, count: usize, show: Show, rng: &mut Rng, limit_bytes: u64) {
    if hash.len() == 0 {
        return reply.array(0);
    }
    show.begin(reply, count);
    for _ in 0..count {
        if let Some(field) = hash.random(rng) {
            show.write(reply, &field);
        }
        if limit_bytes > 0 && reply.written() as u64 > limit_bytes {
            break;
        }
    }
}

/// So many different fields, or all.
fn different(reply: &mut Reply<'_>, hash: HashView<'_>, count: u64, show: Show, rng: &mut Rng) {
    let len = hash.len();
    if count >= len {
        show.begin(reply, len as usize);
        return hash.iter().for_each(|field| show.write(reply, &field));
    }
    show.begin(reply, count as usize);
    // Choosing again what is chosen already takes too long when much is wanted.
    const ENOUGH_TO_CHOOSE_AGAIN: u64 = 3;
    if hash.is_small() || count * ENOUGH_TO_CHOOSE_AGAIN > len {
        let mut fields: Vec<Field<'_>> = hash.iter().collect();
        for chosen in 0..count as usize {
            let left = (fields.len() - chosen) as u64;
            fields.swap(chosen, chosen + rng.below(left) as usize);
            show.write(reply, &fields[chosen]);
        }
        return;
    }
    let mut chosen = BTreeSet::new();
    while (chosen.len() as u64) < count {
        // There is one, since more are shown than wanted.
        let Some(field) = hash.random(rng) else { break };
        if chosen.insert(field.name.to_vec()) {
            show.write(reply, &field);
        }
    }
}

/// HSCAN key cursor [MATCH pattern] [COUNT count]
pub static HSCAN: Spec = Spec {
    name: "hscan",
    summary: "Returns some fields of a hash, and the cursor to go on from.",
    since: "2.8.0",
    complexity: "O(1) for every call, O(N) from the first cursor to the last, where N is the number of fields.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    tips: &["nondeterministic_output"],
    args: "key cursor [MATCH pattern] [COUNT count]",
    handler: Handler::Read(hash_scan),
    ..HASH
};

/// Fields that are there from the first call to the last are returned at least once. A hash in one block is returned
/// whole.
fn hash_scan(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let cursor = scan::cursor(args, 2)?;
    let hash = ctx.keys.hash(args.key(1))?;
    scan::collection(&mut ctx.reply, args, hash, |hash, count, found| {
        hash.scan(cursor, count, &mut |field| {
            field.name.with(|name| {
                found.offer_pair(name, |reply| {
                    reply.bulk(name);
                    StrRef::from(field.value).write_to(reply);
                });
            });
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn all_fields_when_as_many_are_wanted() {
        check(
            "
            > HSET h a 1 b 2
            2
            > HRANDFIELD h 2
            [\"a\", \"b\"]
            > HRANDFIELD h 5 withvalues
            [\"a\", \"1\", \"b\", \"2\"]
            > HRANDFIELD h 0
            []
            > HRANDFIELD none
            (nil)
            > HRANDFIELD none 3
            []
            > HDEL h b
            1
            > HRANDFIELD h
            a
            > HRANDFIELD h -3
            [\"a\", \"a\", \"a\"]
            > HRANDFIELD h x
            ERR value is not an integer or out of range
            > HRANDFIELD h 1 xx
            ERR syntax error
            > HRANDFIELD h -9223372036854775808
            ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
            > HRANDFIELD h 9223372036854775807 withvalues
            ERR value is out of range
            ",
        );
    }

    #[test]
    fn steps_through_a_hash() {
        check(
            "
            > HSET h a 1 b 2
            2
            > HSCAN h 0
            [\"0\", [\"a\", \"1\", \"b\", \"2\"]]
            > HSCAN h 0 MATCH b* COUNT 1
            [\"0\", [\"b\", \"2\"]]
            > HSCAN none 0 nonsense
            [\"0\", []]
            > HSCAN h x
            ERR invalid cursor
            > HSCAN h 0 COUNT 0
            ERR syntax error
            > HSCAN h 0 TYPE hash
            ERR syntax error
            ",
        );
    }
}
