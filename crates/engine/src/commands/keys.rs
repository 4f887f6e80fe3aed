//! Keys, whatever their values: delete, look for, rename, move, copy.

use crate::{Acl, ArgsExt, Arity, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use resp::Args;

const REMOVED: KeyFlags = KeyFlags::RM.or(KeyFlags::DELETE);
const SUMMED: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const LEFT: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE);

/// DEL key [key ...]
pub static DEL: Spec = Spec {
    name: "del",
    summary: "Deletes keys.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys; large values are freed in the background.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::range(1, -1, 1, REMOVED)],
    acl: Acl::KEYSPACE,
    tips: SUMMED,
    args: "key [key ...]",
    handler: Handler::Write(delete),
    ..Spec::BASE
};

/// UNLINK key [key ...]
pub static UNLINK: Spec = Spec {
    name: "unlink",
    summary: "Deletes keys; their values are freed in the background.",
    since: "4.0.0",
    complexity: "O(1) for each key",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::range(1, -1, 1, REMOVED)],
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    tips: SUMMED,
    args: "key [key ...]",
    handler: Handler::Write(delete),
    ..Spec::BASE
};

/// Replies with how many keys were there. Propagated verbatim.
fn delete(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let mut deleted = 0;
    for key in args.skip(1).iter() {
        deleted += i64::from(ctx.keys.key_slot(key).remove(Event::DEL));
    }
    ctx.reply.int(deleted);
    Ok(())
}

/// EXISTS key [key ...]
pub static EXISTS: Spec = Spec {
    name: "exists",
    summary: "Counts the keys that are there; one that is named twice counts twice.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys to check.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    tips: SUMMED,
    args: "key [key ...]",
    history: &[("3.0.3", "Several keys.")],
    handler: Handler::Read(exists),
    ..Spec::BASE
};

fn exists(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let found = args
        .skip(1)
        .iter()
        .filter(|key| ctx.keys.inspect(key).is_some())
        .count();
    ctx.reply.int(found as i64);
    Ok(())
}

/// TOUCH key [key ...]
pub static TOUCH: Spec = Spec {
    name: "touch",
    summary: "Counts the keys that are there, and marks them as used now.",
    since: "3.2.1",
    complexity: "O(N) where N is the number of keys that will be touched.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    tips: SUMMED,
    args: "key [key ...]",
    handler: Handler::Read(touch),
    ..Spec::BASE
};

/// Stamps the access clocks even for a client that has asked with CLIENT NO-TOUCH that its commands do not.
fn touch(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    ctx.keys.touch = true;
    let found = args.skip(1).iter().filter(|key| ctx.keys.get(key).is_some()).count();
    ctx.reply.int(found as i64);
    Ok(())
}

/// TYPE key
pub static TYPE: Spec = Spec {
    name: "type",
    summary: "Tells the type of the value at a key.",
    since: "1.0.0",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO)],
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    args: "key",
    handler: Handler::Read(type_of),
    ..Spec::BASE
};

/// `none` for an absent key.
fn type_of(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let name = ctx
        .keys
        .inspect(args.key(1))
        .map_or("none", |entry| entry.value_type().name());
    ctx.reply.simple(name);
    Ok(())
}

/// RANDOMKEY
pub static RANDOMKEY: Spec = Spec {
    name: "randomkey",
    summary: "Returns the name of a random key.",
    since: "1.0.0",
    arity: Arity::Exactly(1),
    acl: Acl::KEYSPACE,
    tips: &["request_policy:all_shards", "nondeterministic_output"],
    handler: Handler::Read(random_key),
    ..Spec::BASE
};

fn random_key(ctx: &mut ReadCtx<'_>, _args: Args<'_>) -> Result {
    match ctx.keys.random_key() {
        Some(key) => ctx.reply.bulk(&key),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// RENAME key newkey
pub static RENAME: Spec = Spec {
    name: "rename",
    summary: "Gives a key another name; a key that has that name is replaced.",
    since: "1.0.0",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, LEFT), KeySpec::at(2, KeyFlags::OW.or(KeyFlags::UPDATE))],
    acl: Acl::KEYSPACE,
    args: "key newkey",
    handler: Handler::Write(|ctx, args| {
        rename(ctx, args.key(1), args.key(2), Target::Replace)?;
        ctx.reply.ok();
        Ok(())
    }),
    ..Spec::BASE
};

/// RENAMENX key newkey
pub static RENAMENX: Spec = Spec {
    name: "renamenx",
    summary: "Gives a key another name, unless a key has that name.",
    since: "1.0.0",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, LEFT), KeySpec::at(2, KeyFlags::OW.or(KeyFlags::INSERT))],
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    args: "key newkey",
    history: &[("3.2.0", "Equal names are no longer an error.")],
    handler: Handler::Write(|ctx, args| {
        let renamed = rename(ctx, args.key(1), args.key(2), Target::Spare)?;
        ctx.reply.int(i64::from(renamed));
        Ok(())
    }),
    ..Spec::BASE
};

/// What to do with a key at the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Replace,
    Spare,
}

/// Whether the key has changed its name. The expiry goes with it. Propagated verbatim.
fn rename(ctx: &mut WriteCtx<'_>, from: &[u8], to: &[u8], target: Target) -> Result<bool> {
    if !ctx.keys.key_slot(from).exists() {
        return Err(Error::NoSuchKey);
    }
    if from == to || (ctx.keys.key_slot(to).exists() && target == Target::Spare) {
        return Ok(false);
    }
    if let Some(value) = ctx.keys.key_slot(from).take(Event::RENAME_FROM) {
        ctx.keys.key_slot(to).put(value, Event::RENAME_TO);
    }
    Ok(true)
}

/// MOVE key db
pub static MOVE: Spec = Spec {
    name: "move",
    summary: "Moves a key to another database.",
    since: "1.0.0",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE))],
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    args: "key db",
    handler: Handler::Write(move_key),
    ..Spec::BASE
};

/// Replies 1 when it was moved, 0 when it is absent here or present there. The expiry goes with it.
fn move_key(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let there = args.db(2, ctx.keys.data().keyspace.databases())?;
    if there == ctx.keys.db() {
        return Err(Error::SameObject);
    }
    let present_here = ctx.keys.key_slot(key).exists();
    let moves = present_here && !ctx.keys.in_db(there, |keys| keys.key_slot(key).exists());
    if moves && let Some(value) = ctx.keys.key_slot(key).take(Event::MOVE_FROM) {
        ctx.keys
            .in_db(there, |keys| keys.key_slot(key).put(value, Event::MOVE_TO));
    }
    ctx.reply.int(i64::from(moves));
    Ok(())
}

/// COPY source destination [DB destination-db] [REPLACE]
pub static COPY: Spec = Spec {
    name: "copy",
    summary: "Copies a key, to another name or another database.",
    since: "6.2.0",
    complexity: "O(1) for a string; large values are shared until one of the two changes.",
    arity: Arity::AtLeast(3),
    keys: &[
        KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS)),
        KeySpec::at(2, KeyFlags::OW.or(KeyFlags::UPDATE)),
    ],
    flags: Flags::DENY_OOM,
    acl: Acl::KEYSPACE,
    args: "source destination [DB destination-db] [REPLACE]",
    handler: Handler::Write(copy),
    ..Spec::BASE
};

/// Replies 1 when it was copied, 0 when the source is absent, or the destination present without REPLACE. The expiry
/// is copied too. Propagated verbatim.
fn copy(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let (from, to) = (args.key(1), args.key(2));
    let (mut there, mut target) = (ctx.keys.db(), Target::Spare);
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "replace") {
            target = Target::Replace;
        } else if args.is(at, "db") && at + 1 < args.len() {
            there = args.db(at + 1, ctx.keys.data().keyspace.databases())?;
            at += 1;
        } else {
            return Err(Error::Syntax);
        }
        at += 1;
    }
    if there == ctx.keys.db() && from == to {
        return Err(Error::SameObject);
    }

    let present = ctx.keys.get(from).is_some();
    let copies = present && (!ctx.keys.in_db(there, |keys| keys.key_slot(to).exists()) || target == Target::Replace);
    if copies && let Some(value) = ctx.keys.key_slot(from).copy() {
        ctx.keys
            .in_db(there, |keys| keys.key_slot(to).put(value, Event::COPY_TO));
    }
    ctx.reply.int(i64::from(copies));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn delete_and_look_for() {
        check(
            "
            > MSET a 1 b 2 c 3
            OK
            > EXISTS a b a x
            3
            > TOUCH a x
            1
            > DEL a x
            1
            > UNLINK b c b
            2
            > DEL x
            0
            > TYPE a
            none
            > RANDOMKEY
            (nil)
            propagated: SELECT 0
            propagated: MSET a 1 b 2 c 3
            propagated: DEL a x
            propagated: UNLINK b c b
            propagated: nothing
            ",
        );
    }

    #[test]
    fn a_key_takes_its_expiry_along() {
        check(
            "
            > SET a 1 EX 100
            OK
            > RENAME a b
            OK
            > TTL b
            100
            > COPY b c
            1
            > TTL c
            100
            > MOVE c 3
            1
            > SELECT 3
            OK
            > TTL c
            100
            > TYPE c
            string
            events: set a
            events: expire a
            events: rename_from a
            events: rename_to b
            events: copy_to c
            events: move_from c
            events: move_to c
            propagated: SELECT 0
            propagated: SET a 1 PXAT 1700000100000
            propagated: RENAME a b
            propagated: COPY b c
            propagated: MOVE c 3
            ",
        );
    }

    #[test]
    fn what_stands_in_the_way() {
        check(
            "
            > RENAME a b
            ERR no such key
            > MSET a 1 b 2
            OK
            > RENAMENX a b
            0
            > RENAMENX a a
            0
            > RENAME a a
            OK
            > COPY a b
            0
            > COPY a a
            ERR source and destination objects are the same
            > COPY a a DB 1
            1
            > MOVE a 1
            0
            > MOVE a 0
            ERR source and destination objects are the same
            > MOVE a 16
            ERR DB index is out of range
            > MOVE a 99999999999
            ERR value is out of range, value must between -2147483648 and 2147483647
            > COPY a b DB
            ERR syntax error
            > COPY a b REPLACE
            1
            propagated: SELECT 0
            propagated: MSET a 1 b 2
            propagated: COPY a a DB 1
            propagated: COPY a b REPLACE
            ",
        );
    }
}
