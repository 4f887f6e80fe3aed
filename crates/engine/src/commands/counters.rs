//! Numbers kept inside strings.

use crate::{
    ArgsExt, Arity, Category, Error, Event, Expiry, Flags, Handler, KeyFlags, KeySpec, Result, Spec, WriteCtx,
};
use base::ld80::Ld80;
use resp::Args;

const KEY: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE))];
const FLAGS: Flags = Flags::DENY_OOM.or(Flags::FAST);

/// INCR key
pub static INCR: Spec = Spec {
    name: "incr",
    summary: "Adds one to the integer at a key.",
    since: "1.0.0",
    arity: Arity::Exactly(2),
    keys: KEY,
    category: Category::String,
    flags: FLAGS,
    args: "key",
    handler: Handler::Write(|ctx, args| add(ctx, args.key(1), 1)),
    ..Spec::BASE
};

/// DECR key
pub static DECR: Spec = Spec {
    name: "decr",
    summary: "Takes one from the integer at a key.",
    since: "1.0.0",
    arity: Arity::Exactly(2),
    keys: KEY,
    category: Category::String,
    flags: FLAGS,
    args: "key",
    handler: Handler::Write(|ctx, args| add(ctx, args.key(1), -1)),
    ..Spec::BASE
};

/// INCRBY key increment
pub static INCRBY: Spec = Spec {
    name: "incrby",
    summary: "Adds to the integer at a key.",
    since: "1.0.0",
    arity: Arity::Exactly(3),
    keys: KEY,
    category: Category::String,
    flags: FLAGS,
    args: "key increment",
    handler: Handler::Write(|ctx, args| add(ctx, args.key(1), args.int(2)?)),
    ..Spec::BASE
};

/// DECRBY key decrement
pub static DECRBY: Spec = Spec {
    name: "decrby",
    summary: "Takes from the integer at a key.",
    since: "1.0.0",
    arity: Arity::Exactly(3),
    keys: KEY,
    category: Category::String,
    flags: FLAGS,
    args: "key decrement",
    handler: Handler::Write(|ctx, args| {
        let delta = args
            .int(2)?
            .checked_neg()
            .ok_or(Error::fixed("ERR decrement would overflow"))?;
        add(ctx, args.key(1), delta)
    }),
    ..Spec::BASE
};

/// Adds `delta` to the integer at `key`; an absent key counts as 0.
///
/// Keeps the expiry. On error nothing changes. Propagated verbatim: integer addition gives the same result on every
/// replica.
fn add(ctx: &mut WriteCtx<'_>, key: &[u8], delta: i64) -> Result {
    let slot = ctx.keys.string_slot(key)?;
    let old = match slot.get() {
        Some(string) => string.to_int().ok_or(Error::NotAnInteger)?,
        None => 0,
    };
    let new = old.checked_add(delta).ok_or(Error::Overflow)?;

    slot.set_int(new, Expiry::Keep, Event::INCR_BY);
    ctx.reply.int(new);
    Ok(())
}

/// INCRBYFLOAT key increment
pub static INCRBYFLOAT: Spec = Spec {
    name: "incrbyfloat",
    summary: "Adds to the floating point number at a key.",
    since: "2.6.0",
    arity: Arity::Exactly(3),
    keys: KEY,
    category: Category::String,
    flags: FLAGS,
    args: "key increment:double",
    handler: Handler::Write(add_float),
    ..Spec::BASE
};

/// Adds in 80-bit extended precision; an absent key counts as 0. Keeps the expiry.
///
/// Propagated as `SET key sum KEEPTTL`, so that replicas need not round as this machine does.
fn add_float(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let slot = ctx.keys.string_slot(key)?;
    let old = match slot.get() {
        Some(string) => Ld80::parse(&string.to_bytes()).ok_or(Error::NotAFloat)?,
        None => Ld80::from_i64(0),
    };
    let sum = old.plus(Ld80::parse(args.get(2)).ok_or(Error::NotAFloat)?);
    if sum.is_infinite() || sum.is_nan() {
        return Err(Error::fixed("ERR increment would produce NaN or Infinity"));
    }

    let mut text = Vec::new();
    sum.write(&mut text);
    slot.set_raw(&text, Expiry::Keep, Event::INCR_BY_FLOAT);
    ctx.propagate(&[b"SET", key, &text, b"KEEPTTL"]);
    ctx.reply.bulk(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn overflow_changes_nothing() {
        check(
            "
            > SET n 9223372036854775807
            OK
            > INCRBY n 1
            ERR increment or decrement would overflow
            > DECRBY n -9223372036854775808
            ERR decrement would overflow
            > GET n
            9223372036854775807
            propagated: SELECT 0
            propagated: SET n 9223372036854775807
            propagated: nothing
            events: set n
            events: nothing
            ",
        );
    }

    #[test]
    fn integers_count_up_and_down() {
        check(
            "
            > INCR n
            1
            > DECRBY n 5
            -4
            > DECR n
            -5
            > INCRBY n x
            ERR value is not an integer or out of range
            > SET s abc
            OK
            > INCR s
            ERR value is not an integer or out of range
            > OBJECT ENCODING n
            int
            events: incrby n
            ",
        );
    }

    #[test]
    fn floats_travel_as_their_sum_and_keep_the_expiry() {
        check(
            "
            > SET f 10.50 EX 100
            OK
            > INCRBYFLOAT f 0.1
            10.6
            > TTL f
            100
            > INCRBYFLOAT f inf
            ERR increment would produce NaN or Infinity
            > INCRBYFLOAT f abc
            ERR value is not a valid float
            > INCRBYFLOAT g 5
            5
            > OBJECT ENCODING g
            embstr
            propagated: SELECT 0
            propagated: SET f 10.50 PXAT 1700000100000
            propagated: SET f 10.6 KEEPTTL
            propagated: SET g 5 KEEPTTL
            events: set f
            events: expire f
            events: incrbyfloat f
            ",
        );
    }
}
