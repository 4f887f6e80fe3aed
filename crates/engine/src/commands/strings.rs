//! Strings, whole and in parts, and integers kept inside them.

use crate::{ArgsExt, Arity, Category, Error, Event, Expiry, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use resp::Args;

/// GET key
pub static GET: Spec = Spec {
    name: "get",
    summary: "Returns the string at a key.",
    since: "1.0.0",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
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

/// INCRBY key increment
pub static INCRBY: Spec = Spec {
    name: "incrby",
    summary: "Adds an integer to the number stored at a key.",
    since: "1.0.0",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE))],
    category: Category::String,
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key increment",
    handler: Handler::Write(incr_by),
    ..Spec::BASE
};

/// Adds `increment` to the integer at `key`; an absent key counts as 0.
///
/// Keeps the expiry. On error nothing changes. Propagated verbatim: integer addition gives the same result on every
/// replica.
fn incr_by(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let delta = args.int(2)?;

    let slot = ctx.string_slot(key)?;
    let old = match slot.get() {
        Some(string) => string.to_int().ok_or(Error::NotAnInteger)?,
        None => 0,
    };
    let new = old.checked_add(delta).ok_or(Error::Overflow)?;

    slot.set_int(new, Expiry::Keep, Event::INCR_BY);
    ctx.reply.int(new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn overflow_changes_nothing() {
        check(
            "
            > INCRBY n 9223372036854775807
            9223372036854775807
            > INCRBY n 1
            ERR increment or decrement would overflow
            > GET n
            9223372036854775807
            propagated: SELECT 0
            propagated: INCRBY n 9223372036854775807
            events: incrby n
            ",
        );
    }
}
