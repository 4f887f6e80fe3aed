//! Strings as a whole: set, get, and both at once.

use crate::commands::string_options::{Condition, Expiration, Options, Target};
use crate::keys::int_text;
use crate::settings::Role;
use crate::{ArgsExt, Arity, Category, Error, Event, Expiry, Flags, Handler, KeyFlags, KeySpec};
use crate::{ReadCtx, Result, Spec, StrRef, WriteCtx};
use base::Millis;
use resp::Args;

const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const READ_AND_UPDATE: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE);
const OVERWRITE: KeyFlags = KeyFlags::OW.or(KeyFlags::UPDATE);
const INSERT: KeyFlags = KeyFlags::OW.or(KeyFlags::INSERT);

/// GET key
pub static GET: Spec = Spec {
    name: "get",
    summary: "Returns the string at a key.",
    since: "1.0.0",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, READ)],
    category: Category::String,
    flags: Flags::FAST,
    args: "key",
    handler: Handler::Read(get),
    ..Spec::BASE
};

/// The string at `key`, or null.
fn get(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    match ctx.keys.string(args.key(1))? {
        Some(string) => string.write_to(&mut ctx.reply),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// SET key value [options]
pub static SET: Spec = Spec {
    name: "set",
    summary: "Puts a string at a key, whatever is there; can give it an expiry, ask for a condition, return the old one.",
    since: "1.0.0",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec {
        notes: "RW and ACCESS due to the optional `GET` argument",
        ..KeySpec::at(1, READ_AND_UPDATE.or(KeyFlags::VARIABLE_FLAGS))
    }],
    get_key_flags: Some(set_key_flags),
    category: Category::String,
    flags: Flags::DENY_OOM,
    args: "key value [NX|XX] [GET] \
           [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]",
    history: &[
        ("2.6.12", "EX, PX, NX and XX."),
        ("6.0.0", "KEEPTTL."),
        ("6.2.0", "GET, EXAT and PXAT."),
        ("7.0.0", "NX and GET may be used together."),
    ],
    handler: Handler::Write(set),
    ..Spec::BASE
};

/// With GET, the key is read as well.
fn set_key_flags(args: Args<'_>) -> KeyFlags {
    let gets = (3..args.len()).any(|at| args.is(at, "get"));
    if gets { READ_AND_UPDATE } else { OVERWRITE }
}

/// Sets the string at `key`; the expiry goes unless KEEPTTL or a new one is given.
///
/// Replies OK, or null when the condition does not hold; with GET, the old string or null instead. A time is propagated
/// as the moment it stands for: `SET key value PXAT ms`. GET is left out of what is propagated.
fn set(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let (key, value) = (args.key(1), args.get(2));
    let options = Options::parse(args, 3, Target::Set)?;
    let deadline = options.deadline("set", ctx.now)?;
    if options.get {
        reply_string(ctx, key)?;
    }

    let slot = ctx.keys.key_slot(key);
    let holds = match options.condition {
        None => true,
        Some(Condition::Absent) => !slot.exists(),
        Some(Condition::Present) => slot.exists(),
    };
    if !holds {
        if !options.get {
            ctx.reply.null();
        }
        return Ok(());
    }

    match deadline {
        Some(at) => {
            slot.set_bytes(value, Expiry::At(at), Event::SET);
            ctx.keys.announce(key, Event::EXPIRE);
            propagate_set_at(ctx, key, value, at);
        }
        None => {
            let keep = matches!(options.expiration, Some(Expiration::Keep));
            slot.set_bytes(value, if keep { Expiry::Keep } else { Expiry::Clear }, Event::SET);
            if options.get {
                let is_get = |(at, word): &(usize, &[u8])| *at >= 3 && word.eq_ignore_ascii_case(b"get");
                let words: Vec<&[u8]> = args
                    .iter()
                    .enumerate()
                    .filter(|word| !is_get(word))
                    .map(|(_, word)| word)
                    .collect();
                ctx.propagate(&words);
            }
        }
    }
    if !options.get {
        ctx.reply.ok();
    }
    Ok(())
}

fn propagate_set_at(ctx: &mut WriteCtx<'_>, key: &[u8], value: &[u8], at: Millis) {
    ctx.propagate(&[b"SET", key, value, b"PXAT", &int_text(at.0)]);
}

/// Replies with the string at `key`, or null; whether there was one.
fn reply_string(ctx: &mut WriteCtx<'_>, key: &[u8]) -> Result<bool> {
    let string = ctx.keys.string(key)?;
    match string {
        Some(string) => string.write_to(&mut ctx.reply),
        None => ctx.reply.null(),
    }
    Ok(string.is_some())
}

/// SETNX key value
pub static SETNX: Spec = Spec {
    name: "setnx",
    summary: "Puts a string at a key that is absent.",
    since: "1.0.0",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, INSERT)],
    category: Category::String,
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key value",
    handler: Handler::Write(set_if_absent),
    ..Spec::BASE
};

/// Replies 1 when the key was absent and is set, else 0. Propagated verbatim.
fn set_if_absent(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let slot = ctx.keys.key_slot(args.key(1));
    let absent = !slot.exists();
    if absent {
        slot.set_bytes(args.get(2), Expiry::Clear, Event::SET);
    }
    ctx.reply.int(i64::from(absent));
    Ok(())
}

/// SETEX key seconds value
pub static SETEX: Spec = Spec {
    name: "setex",
    summary: "Puts a string at a key, with a time to live in seconds.",
    since: "2.0.0",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, OVERWRITE)],
    category: Category::String,
    flags: Flags::DENY_OOM,
    args: "key seconds value",
    handler: Handler::Write(|ctx, args| set_with_ttl(ctx, args, Expiration::AfterSeconds(args.get(2)), "setex")),
    ..Spec::BASE
};

/// PSETEX key milliseconds value
pub static PSETEX: Spec = Spec {
    name: "psetex",
    summary: "Puts a string at a key, with a time to live in milliseconds.",
    since: "2.6.0",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, OVERWRITE)],
    category: Category::String,
    flags: Flags::DENY_OOM,
    args: "key milliseconds value",
    handler: Handler::Write(|ctx, args| set_with_ttl(ctx, args, Expiration::AfterMillis(args.get(2)), "psetex")),
    ..Spec::BASE
};

/// Propagated as `SET key value PXAT ms`.
fn set_with_ttl(ctx: &mut WriteCtx<'_>, args: Args<'_>, expiration: Expiration<'_>, command: &str) -> Result {
    let (key, value) = (args.key(1), args.get(3));
    let Some(at) = expiration.deadline(command, ctx.now)? else {
        return Err(Error::Syntax);
    };
    ctx.keys.key_slot(key).set_bytes(value, Expiry::At(at), Event::SET);
    ctx.keys.announce(key, Event::EXPIRE);
    propagate_set_at(ctx, key, value, at);
    ctx.reply.ok();
    Ok(())
}

/// GETSET key value
pub static GETSET: Spec = Spec {
    name: "getset",
    summary: "Puts a string at a key and returns the one that was there.",
    since: "1.0.0",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, READ_AND_UPDATE)],
    category: Category::String,
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key value",
    deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
    handler: Handler::Write(get_and_set),
    ..Spec::BASE
};

/// The expiry goes. Propagated as SET.
fn get_and_set(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let (key, value) = (args.key(1), args.get(2));
    reply_string(ctx, key)?;
    ctx.keys.key_slot(key).set_bytes(value, Expiry::Clear, Event::SET);
    ctx.propagate(&[b"SET", key, value]);
    Ok(())
}

/// GETDEL key
pub static GETDEL: Spec = Spec {
    name: "getdel",
    summary: "Returns the string at a key and deletes the key.",
    since: "6.2.0",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE))],
    category: Category::String,
    flags: Flags::FAST,
    args: "key",
    handler: Handler::Write(get_and_delete),
    ..Spec::BASE
};

/// Propagated as DEL.
fn get_and_delete(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    if reply_string(ctx, key)? && ctx.keys.key_slot(key).remove(Event::DEL) {
        ctx.propagate(&[b"DEL", key]);
    }
    Ok(())
}

/// GETEX key [options]
pub static GETEX: Spec = Spec {
    name: "getex",
    summary: "Returns the string at a key, and sets or removes the key's expiry.",
    since: "6.2.0",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec {
        notes: "RW and UPDATE because it changes the TTL",
        ..KeySpec::at(1, READ_AND_UPDATE)
    }],
    category: Category::String,
    flags: Flags::FAST,
    args: "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]",
    handler: Handler::Write(get_and_expire),
    ..Spec::BASE
};

/// Propagated as PEXPIREAT, as DEL when the moment given has passed, or as PERSIST; not at all when nothing changes.
fn get_and_expire(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let options = Options::parse(args, 2, Target::GetEx)?;
    if !reply_string(ctx, key)? {
        return Ok(());
    }
    let Some(expiration) = options.expiration else {
        return Ok(());
    };
    let deadline = expiration.deadline("getex", ctx.now)?;

    let passed = deadline.is_some_and(|at| at <= ctx.now.unix_ms());
    let on_primary = ctx.keys.data().settings.role == Role::Primary;
    let slot = ctx.keys.key_slot(key);
    match deadline {
        Some(_) if passed && on_primary && expiration.is_moment() => {
            slot.remove(Event::DEL);
            ctx.propagate(&[b"DEL", key]);
        }
        Some(at) => {
            slot.set_expiry(deadline, Event::EXPIRE);
            ctx.propagate(&[b"PEXPIREAT", key, &int_text(at.0)]);
        }
        None if slot.expiry().is_some() => {
            slot.set_expiry(None, Event::PERSIST);
            ctx.propagate(&[b"PERSIST", key]);
        }
        None => {}
    }
    Ok(())
}

/// MGET key [key ...]
pub static MGET: Spec = Spec {
    name: "mget",
    summary: "Returns the strings at several keys.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys to retrieve.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::range(1, -1, 1, READ)],
    category: Category::String,
    flags: Flags::FAST,
    tips: &["request_policy:multi_shard"],
    args: "key [key ...]",
    handler: Handler::Read(get_many),
    ..Spec::BASE
};

/// Null for a key that is absent or holds another type.
fn get_many(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let keys = args.skip(1);
    ctx.reply.array(keys.len());
    for key in keys.iter() {
        match ctx.keys.get(key).map(StrRef::of) {
            Some(Ok(string)) => string.write_to(&mut ctx.reply),
            Some(Err(_)) | None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// MSET key value [key value ...]
pub static MSET: Spec = Spec {
    name: "mset",
    summary: "Puts strings at several keys at once.",
    since: "1.0.1",
    complexity: "O(N) where N is the number of keys to set.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::range(1, -1, 2, OVERWRITE)],
    category: Category::String,
    flags: Flags::DENY_OOM,
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    args: "key value [key value ...]",
    handler: Handler::Write(set_many),
    ..Spec::BASE
};

/// Expiries go. Propagated verbatim.
fn set_many(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    expect_pairs(args, "mset")?;
    for (key, value) in pairs(args) {
        ctx.keys.key_slot(key).set_bytes(value, Expiry::Clear, Event::SET);
    }
    ctx.reply.ok();
    Ok(())
}

/// MSETNX key value [key value ...]
pub static MSETNX: Spec = Spec {
    name: "msetnx",
    summary: "Puts strings at several keys at once, if all of the keys are absent.",
    since: "1.0.1",
    complexity: "O(N) where N is the number of keys to set.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::range(1, -1, 2, INSERT)],
    category: Category::String,
    flags: Flags::DENY_OOM,
    tips: &["request_policy:multi_shard", "response_policy:agg_min"],
    args: "key value [key value ...]",
    handler: Handler::Write(set_many_if_absent),
    ..Spec::BASE
};

/// Replies 1 when all keys were absent and are set, else 0. Propagated verbatim.
fn set_many_if_absent(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    expect_pairs(args, "msetnx")?;
    for (key, _) in pairs(args) {
        if ctx.keys.key_slot(key).exists() {
            ctx.reply.int(0);
            return Ok(());
        }
    }
    for (key, value) in pairs(args) {
        ctx.keys.key_slot(key).set_bytes(value, Expiry::Clear, Event::SET);
    }
    ctx.reply.int(1);
    Ok(())
}

fn expect_pairs(args: Args<'_>, command: &str) -> Result {
    if args.len() % 2 == 1 {
        Ok(())
    } else {
        Err(Error::arity(command))
    }
}

fn pairs(args: Args<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    (1..args.len())
        .step_by(2)
        .map(move |at| (args.get(at), args.get(at + 1)))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn set_drops_the_expiry_unless_told() {
        check(
            "
            > SET k v EX 100
            OK
            events: set k
            events: expire k
            > SET k w KEEPTTL
            OK
            > TTL k
            100
            > SET k x
            OK
            > TTL k
            -1
            propagated: SELECT 0
            propagated: SET k v PXAT 1700000100000
            propagated: SET k w KEEPTTL
            propagated: SET k x
            ",
        );
    }

    #[test]
    fn set_conditions_and_the_old_value() {
        check(
            "
            > SET k v XX
            (nil)
            > SET k v NX GET
            (nil)
            > SET k w NX GET
            v
            > SET k w GET XX get
            v
            > SET k w NX
            (nil)
            > GETSET k 5
            w
            propagated: SELECT 0
            propagated: SET k v NX
            propagated: SET k w XX
            propagated: SET k 5
            propagated: nothing
            ",
        );
    }

    #[test]
    fn set_options_that_exclude_each_other() {
        check(
            "
            > SET k v NX XX
            ERR syntax error
            > SET k v EX 1 PX 1
            ERR syntax error
            > SET k v EX 1 KEEPTTL
            ERR syntax error
            > SET k v PERSIST
            ERR syntax error
            > SET k v EX
            ERR syntax error
            > SET k v EX 0
            ERR invalid expire time in 'set' command
            > SET k v PX 9223372036854775807
            ERR invalid expire time in 'set' command
            > SET k v EX x
            ERR value is not an integer or out of range
            > SET k v EX 1 EX 2
            OK
            > TTL k
            2
            > GETEX k NX
            ERR syntax error
            propagated: SELECT 0
            propagated: SET k v PXAT 1700000002000
            propagated: nothing
            ",
        );
    }

    #[test]
    fn every_expiry_travels_as_milliseconds_since_1970() {
        check(
            "
            > SET k v PXAT 1700000009000 GET
            (nil)
            > set k v EXAT 1700000009 XX
            OK
            propagated: SELECT 0
            propagated: SET k v PXAT 1700000009000
            propagated: SET k v PXAT 1700000009000
            ",
        );
    }

    #[test]
    fn getex_travels_as_what_it_did() {
        check(
            "
            > SET k v
            OK
            propagated: SELECT 0
            propagated: SET k v
            > GETEX k
            v
            > GETEX k PERSIST
            v
            > GETEX k EX 10
            v
            propagated: PEXPIREAT k 1700000010000
            > GETEX k PERSIST
            v
            propagated: PERSIST k
            > GETEX k EXAT 1
            v
            propagated: DEL k
            > GETEX k EX 0
            (nil)
            > SETEX k 5 v
            OK
            propagated: SET k v PXAT 1700000005000
            > GETDEL k
            v
            propagated: DEL k
            > GETDEL k
            (nil)
            propagated: nothing
            ",
        );
    }

    #[test]
    fn several_keys_at_once() {
        check(
            "
            > MSET a 1 b
            ERR wrong number of arguments for 'mset' command
            > MSETNX a 1 b 2
            1
            > MSETNX b 3 c 4
            0
            > MGET a b c
            [\"1\", \"2\", (nil)]
            > MSET a x c y
            OK
            events: set a
            events: set b
            events: set a
            events: set c
            propagated: SELECT 0
            propagated: MSETNX a 1 b 2
            propagated: MSET a x c y
            ",
        );
    }
}
