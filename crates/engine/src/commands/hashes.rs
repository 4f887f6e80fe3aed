//! Hashes: fields with values.

use crate::slots::HashView;
use crate::{
    ArgsExt, Arity, Category, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, StrRef, WriteCtx,
};
use keyspace::{Field, FieldExpiry};
use resp::Args;

const HSET_EVENT: Event = Event::new('h', "hset");
const HDEL_EVENT: Event = Event::new('h', "hdel");

/// What the commands about hashes share.
pub(super) const HASH: Spec = Spec {
    since: "2.0.0",
    category: Category::Hash,
    ..Spec::BASE
};

const READ_KEY: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))];
const ASKED_KEY: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RO)];
const UPDATED_KEY: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))];

/// What the commands that set fields share.
const SETTER: Spec = Spec {
    keys: UPDATED_KEY,
    flags: Flags::DENY_OOM.or(Flags::FAST),
    ..HASH
};

/// HSET key field value [field value ...]
pub static HSET: Spec = Spec {
    name: "hset",
    summary: "Sets fields of a hash.",
    complexity: "O(1) for each field, so O(N) for N of them.",
    arity: Arity::AtLeast(4),
    args: "key field value [field value ...]",
    history: &[("4.0.0", "Several fields.")],
    member: 2,
    handler: Handler::Write(|ctx, args| {
        let new = set_fields(ctx, args, "hset")?;
        ctx.reply.int(new as i64);
        Ok(())
    }),
    ..SETTER
};

/// HMSET key field value [field value ...]
pub static HMSET: Spec = Spec {
    name: "hmset",
    summary: "Sets fields of a hash.",
    complexity: "O(N) where N is the number of fields being set.",
    arity: Arity::AtLeast(4),
    args: "key field value [field value ...]",
    deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
    member: 2,
    handler: Handler::Write(|ctx, args| {
        set_fields(ctx, args, "hmset")?;
        ctx.reply.ok();
        Ok(())
    }),
    ..SETTER
};

/// Sets the fields and takes their expiries away; how many are new. Propagated verbatim.
fn set_fields(ctx: &mut WriteCtx<'_>, args: Args<'_>, command: &str) -> Result<u64> {
    if !args.len().is_multiple_of(2) {
        return Err(Error::arity(command));
    }
    let pairs = args.skip(2).iter().step_by(2).zip(args.skip(3).iter().step_by(2));
    let mut slot = ctx.hash_slot(args.key(1))?;
    let new = slot.set_all(pairs, FieldExpiry::Clear);
    slot.commit((args.len() as u64 - 2) / 2, HSET_EVENT);
    Ok(new)
}

/// HSETNX key field value
pub static HSETNX: Spec = Spec {
    name: "hsetnx",
    summary: "Sets a field of a hash if it is not there.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::INSERT))],
    args: "key field value",
    member: 2,
    handler: Handler::Write(set_if_absent),
    ..SETTER
};

/// Replies 1 when the field was set. Propagated verbatim.
fn set_if_absent(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let mut slot = ctx.hash_slot(args.key(1))?;
    let absent = slot.get(args.get(2)).is_none();
    if absent {
        slot.set(args.get(2), args.get(3), FieldExpiry::Clear);
        slot.commit(1, HSET_EVENT);
    }
    ctx.reply.int(i64::from(absent));
    Ok(())
}

/// HDEL key field [field ...]
pub static HDEL: Spec = Spec {
    name: "hdel",
    summary: "Deletes fields of a hash.",
    complexity: "O(N) where N is the number of fields to be removed.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::DELETE))],
    flags: Flags::FAST,
    args: "key field [field ...]",
    history: &[("2.4.0", "Several fields.")],
    member: 2,
    handler: Handler::Write(delete),
    ..HASH
};

/// Replies with how many fields were there. The key goes with its last field. Propagated verbatim.
fn delete(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let mut slot = ctx.hash_slot(args.key(1))?;
    let deleted = args.skip(2).iter().filter(|name| slot.remove(name)).count();
    if deleted > 0 {
        slot.commit(deleted as u64, HDEL_EVENT);
        slot.finish();
    }
    ctx.reply.int(deleted as i64);
    Ok(())
}

/// What the commands that look at a field share.
const GETTER: Spec = Spec {
    arity: Arity::Exactly(3),
    keys: READ_KEY,
    flags: Flags::FAST,
    args: "key field",
    ..HASH
};

/// HGET key field
pub static HGET: Spec = Spec {
    name: "hget",
    summary: "Returns the value of a field.",
    member: 2,
    handler: Handler::Read(|ctx, args| {
        match ctx.keys.hash(args.key(1))? {
            Some(hash) => reply_value(&mut ctx.reply, hash.get(args.get(2))),
            None => ctx.reply.null(),
        }
        Ok(())
    }),
    ..GETTER
};

/// HMGET key field [field ...]
pub static HMGET: Spec = Spec {
    name: "hmget",
    summary: "Returns the values of fields.",
    complexity: "O(N) where N is the number of fields being requested.",
    arity: Arity::AtLeast(3),
    args: "key field [field ...]",
    member: 2,
    handler: Handler::Read(|ctx, args| {
        let hash = ctx.keys.hash(args.key(1))?;
        ctx.reply.array(args.len() - 2);
        for name in args.skip(2).iter() {
            reply_value(&mut ctx.reply, hash.and_then(|hash| hash.get(name)));
        }
        Ok(())
    }),
    ..GETTER
};

/// The value of a field, or null for none.
pub(super) fn reply_value(reply: &mut resp::Reply<'_>, field: Option<Field<'_>>) {
    match field {
        Some(field) => StrRef::from(field.value).write_to(reply),
        None => reply.null(),
    }
}

/// HSTRLEN key field
pub static HSTRLEN: Spec = Spec {
    name: "hstrlen",
    summary: "Returns the length of a field's value.",
    since: "3.2.0",
    keys: ASKED_KEY,
    member: 2,
    handler: Handler::Read(|ctx, args| {
        let hash = ctx.keys.hash(args.key(1))?;
        let field = hash.and_then(|hash| hash.get(args.get(2)));
        let length = field.map_or(0, |field| StrRef::from(field.value).len());
        ctx.reply.int(length as i64);
        Ok(())
    }),
    ..GETTER
};

/// HEXISTS key field
pub static HEXISTS: Spec = Spec {
    name: "hexists",
    summary: "Tells whether a hash has a field.",
    keys: ASKED_KEY,
    member: 2,
    handler: Handler::Read(|ctx, args| {
        let hash = ctx.keys.hash(args.key(1))?;
        let found = hash.is_some_and(|hash| hash.get(args.get(2)).is_some());
        ctx.reply.int(i64::from(found));
        Ok(())
    }),
    ..GETTER
};

/// HLEN key
pub static HLEN: Spec = Spec {
    name: "hlen",
    summary: "Returns the number of fields.",
    arity: Arity::Exactly(2),
    keys: ASKED_KEY,
    flags: Flags::FAST,
    args: "key",
    handler: Handler::Read(|ctx, args| {
        let count = ctx.keys.hash(args.key(1))?.map_or(0, HashView::len);
        ctx.reply.int(count as i64);
        Ok(())
    }),
    ..HASH
};

/// What the commands that return a whole hash share.
const WHOLE: Spec = Spec {
    arity: Arity::Exactly(2),
    keys: READ_KEY,
    complexity: "O(N) where N is the size of the hash.",
    tips: &["nondeterministic_output_order"],
    args: "key",
    ..HASH
};

/// HKEYS key
pub static HKEYS: Spec = Spec {
    name: "hkeys",
    summary: "Returns the names of all fields.",
    handler: Handler::Read(|ctx, args| of_each_field(ctx, args, |field| StrRef::from(field.name))),
    ..WHOLE
};

/// HVALS key
pub static HVALS: Spec = Spec {
    name: "hvals",
    summary: "Returns the values of all fields.",
    handler: Handler::Read(|ctx, args| of_each_field(ctx, args, |field| StrRef::from(field.value))),
    ..WHOLE
};

/// Replies with a part of every field.
fn of_each_field(ctx: &mut ReadCtx<'_>, args: Args<'_>, part: for<'a> fn(Field<'a>) -> StrRef<'a>) -> Result {
    let Some(hash) = ctx.keys.hash(args.key(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    ctx.reply.array(hash.len() as usize);
    hash.iter().for_each(|field| part(field).write_to(&mut ctx.reply));
    Ok(())
}

/// HGETALL key
pub static HGETALL: Spec = Spec {
    name: "hgetall",
    summary: "Returns all fields and their values.",
    handler: Handler::Read(get_all),
    ..WHOLE
};

fn get_all(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let Some(hash) = ctx.keys.hash(args.key(1))? else {
        ctx.reply.map(0);
        return Ok(());
    };
    ctx.reply.map(hash.len() as usize);
    for field in hash.iter() {
        StrRef::from(field.name).write_to(&mut ctx.reply);
        StrRef::from(field.value).write_to(&mut ctx.reply);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn fields_come_and_go() {
        check(
            "
            > HSET h a 1 b two a 3
            2
            > HSET h b 2 c 4
            1
            > HMSET h d x
            OK
            > HSETNX h d y
            0
            > HSETNX h e y
            1
            > HGET h a
            3
            > HMGET h a none e
            [\"3\", (nil), \"y\"]
            > HGETALL h
            [\"a\", \"3\", \"b\", \"2\", \"c\", \"4\", \"d\", \"x\", \"e\", \"y\"]
            > HKEYS h
            [\"a\", \"b\", \"c\", \"d\", \"e\"]
            > HVALS h
            [\"3\", \"2\", \"4\", \"x\", \"y\"]
            > HLEN h
            5
            > HSTRLEN h none
            0
            > HEXISTS h e
            1
            > HDEL h a b none a
            2
            > HDEL h c d e
            3
            > EXISTS h
            0
            > HDEL h c
            0
            propagated: SELECT 0
            propagated: HSET h a 1 b two a 3
            propagated: HSET h b 2 c 4
            propagated: HMSET h d x
            propagated: HSETNX h e y
            propagated: HDEL h a b none a
            propagated: HDEL h c d e
            propagated: nothing
            events: hset h
            events: hset h
            events: hset h
            events: hset h
            events: hdel h
            events: hdel h
            events: del h
            events: nothing
            ",
        );
    }

    #[test]
    fn what_is_no_hash_and_what_is_no_pair() {
        check(
            "
            > HSET h a
            ERR wrong number of arguments for 'hset' command
            > HSET h a 1 b
            ERR wrong number of arguments for 'hset' command
            > HMSET h a 1 b
            ERR wrong number of arguments for 'hmset' command
            > SET s x
            OK
            > HSET s a 1
            WRONGTYPE Operation against a key holding the wrong kind of value
            > HGET s a
            WRONGTYPE Operation against a key holding the wrong kind of value
            > HGETALL none
            []
            > HKEYS none
            []
            > HGET none a
            (nil)
            > TYPE h
            none
            ",
        );
    }
}
