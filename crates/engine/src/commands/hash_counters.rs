//! Numbers kept in the fields of hashes.

use super::hashes::HASH;
use crate::keys::int_text;
use crate::{ArgsExt, Arity, Error, Event, Flags, Handler, KeyFlags, KeySpec, Result, Spec, StrRef, WriteCtx};
use base::ld80::Ld80;
use keyspace::FieldExpiry;
use resp::Args;

const COUNTER: Spec = Spec {
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE))],
    flags: Flags::DENY_OOM.or(Flags::FAST),
    ..HASH
};

/// HINCRBY key field increment
pub static HINCRBY: Spec = Spec {
    name: "hincrby",
    summary: "Adds to the integer in a field.",
    args: "key field increment",
    member: 2,
    handler: Handler::Write(increment),
    ..COUNTER
};

/// Adds to the integer in the field; an absent one counts as 0. Keeps the field's expiry. Propagated verbatim.
fn increment(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    const HINCRBY_EVENT: Event = Event::new('h', "hincrby");
    let name = args.get(2);
    let delta = args.int(3)?;

    let mut slot = ctx.hash_slot(args.key(1))?;
    let old = match slot.get(name) {
        Some(field) => StrRef::from(field.value)
            .to_int()
            .ok_or(Error::fixed("ERR hash value is not an integer"))?,
        None => 0,
    };
    let new = old.checked_add(delta).ok_or(Error::Overflow)?;

    slot.set(name, &int_text(new), FieldExpiry::Keep);
    slot.commit(1, HINCRBY_EVENT);
    ctx.reply.int(new);
    Ok(())
}

/// HINCRBYFLOAT key field increment
pub static HINCRBYFLOAT: Spec = Spec {
    name: "hincrbyfloat",
    summary: "Adds to the floating point number in a field.",
    since: "2.6.0",
    args: "key field increment:double",
    member: 2,
    handler: Handler::Write(increment_float),
    ..COUNTER
};

/// Adds in 80-bit extended precision; an absent field counts as 0. Keeps the field's expiry.
///
/// Propagated as `HSET key field sum`, so that replicas need not round as this machine does; where the field expires,
/// its moment follows, since HSET takes it away.
fn increment_float(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    const HINCRBYFLOAT_EVENT: Event = Event::new('h', "hincrbyfloat");
    let (key, name) = (args.key(1), args.get(2));
    let delta = Ld80::parse(args.get(3)).ok_or(Error::NotAFloat)?;
    if delta.is_infinite() || delta.is_nan() {
        return Err(Error::fixed("ERR value is NaN or Infinity"));
    }

    let mut slot = ctx.hash_slot(key)?;
    let (old, expiry) = match slot.get(name) {
        Some(field) => {
            let number = Ld80::parse(&StrRef::from(field.value).to_bytes());
            (
                number.ok_or(Error::fixed("ERR hash value is not a float"))?,
                field.expiry,
            )
        }
        None => (Ld80::from_i64(0), None),
    };
    let sum = old.plus(delta);
    if sum.is_infinite() || sum.is_nan() {
        return Err(Error::fixed("ERR increment would produce NaN or Infinity"));
    }

    let mut text = Vec::new();
    sum.write(&mut text);
    slot.set(name, &text, FieldExpiry::Keep);
    slot.commit(1, HINCRBYFLOAT_EVENT);
    ctx.propagate(&[b"HSET", key, name, &text]);
    if let Some(at) = expiry {
        ctx.propagate(&[b"HPEXPIREAT", key, &int_text(at.0), b"FIELDS", b"1", name]);
    }
    ctx.reply.bulk(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn integers() {
        check(
            "
            > HINCRBY h n 5
            5
            > HINCRBY h n -7
            -2
            > HSET h s abc max 9223372036854775807 space \" 1\"
            3
            > HINCRBY h s 1
            ERR hash value is not an integer
            > HINCRBY h space 1
            ERR hash value is not an integer
            > HINCRBY h max 1
            ERR increment or decrement would overflow
            > HINCRBY h n 1.5
            ERR value is not an integer or out of range
            propagated: SELECT 0
            propagated: HINCRBY h n 5
            events: hincrby h
            ",
        );
    }

    #[test]
    fn floats_travel_as_their_sum() {
        check(
            "
            > HINCRBYFLOAT h f 10.5
            10.5
            > HINCRBYFLOAT h f 0.1
            10.6
            > HINCRBYFLOAT h f nan
            ERR value is not a valid float
            > HINCRBYFLOAT h f inf
            ERR value is NaN or Infinity
            > HSET h s abc
            1
            > HINCRBYFLOAT h s 1
            ERR hash value is not a float
            > HPEXPIREAT h 1700000100000 FIELDS 1 f
            [1]
            > HINCRBYFLOAT h f 1
            11.6
            > HPEXPIRETIME h FIELDS 1 f
            [1700000100000]
            propagated: SELECT 0
            propagated: HSET h f 10.5
            propagated: HSET h f 10.6
            propagated: HSET h s abc
            propagated: HPEXPIREAT h 1700000100000 FIELDS 1 f
            propagated: MULTI
            propagated: HSET h f 11.6
            propagated: HPEXPIREAT h 1700000100000 FIELDS 1 f
            propagated: EXEC
            events: hincrbyfloat h
            ",
        );
    }
}
