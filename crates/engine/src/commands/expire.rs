//! Times to live.

use crate::commands::string_options::invalid_expire_time;
use crate::keys::int_text;
use crate::settings::Role;
use crate::{Acl, ArgsExt, Arity, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use base::Millis;
use resp::Args;

/// How a command tells time.
struct Clock {
    /// Its name.
    name: &'static str,
    /// Milliseconds of one unit.
    unit_ms: i64,
    /// Whether times count from now, or else from 1970.
    from_now: bool,
}

const EXPIRE_CLOCK: Clock = Clock {
    name: "expire",
    unit_ms: 1000,
    from_now: true,
};
const PEXPIRE_CLOCK: Clock = Clock {
    name: "pexpire",
    unit_ms: 1,
    from_now: true,
};
const EXPIREAT_CLOCK: Clock = Clock {
    name: "expireat",
    unit_ms: 1000,
    from_now: false,
};
const PEXPIREAT_CLOCK: Clock = Clock {
    name: "pexpireat",
    unit_ms: 1,
    from_now: false,
};

/// What the commands that set an expiry share.
const SETTER: Spec = Spec {
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    history: &[("7.0.0", "NX, XX, GT and LT.")],
    ..Spec::BASE
};

/// EXPIRE key seconds [NX|XX|GT|LT]
pub static EXPIRE: Spec = Spec {
    name: "expire",
    summary: "Gives a key a time to live in seconds.",
    args: "key seconds [NX|XX|GT|LT]",
    handler: Handler::Write(|ctx, args| expire(ctx, args, &EXPIRE_CLOCK)),
    ..SETTER
};

/// PEXPIRE key milliseconds [NX|XX|GT|LT]
pub static PEXPIRE: Spec = Spec {
    name: "pexpire",
    summary: "Gives a key a time to live in milliseconds.",
    since: "2.6.0",
    args: "key milliseconds [NX|XX|GT|LT]",
    handler: Handler::Write(|ctx, args| expire(ctx, args, &PEXPIRE_CLOCK)),
    ..SETTER
};

/// EXPIREAT key unix-time-seconds [NX|XX|GT|LT]
pub static EXPIREAT: Spec = Spec {
    name: "expireat",
    summary: "Gives a key a moment to expire at, in seconds since 1970.",
    since: "1.2.0",
    args: "key unix-time-seconds [NX|XX|GT|LT]",
    handler: Handler::Write(|ctx, args| expire(ctx, args, &EXPIREAT_CLOCK)),
    ..SETTER
};

/// PEXPIREAT key unix-time-milliseconds [NX|XX|GT|LT]
pub static PEXPIREAT: Spec = Spec {
    name: "pexpireat",
    summary: "Gives a key a moment to expire at, in milliseconds since 1970.",
    since: "2.6.0",
    args: "key unix-time-milliseconds [NX|XX|GT|LT]",
    handler: Handler::Write(|ctx, args| expire(ctx, args, &PEXPIREAT_CLOCK)),
    ..SETTER
};

/// When the new expiry is taken.
#[derive(Clone, Copy, Default)]
struct Conditions {
    absent: bool,
    present: bool,
    greater: bool,
    less: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Self> {
        let mut conditions = Self::default();
        for at in 3..args.len() {
            match args.get(at).to_ascii_lowercase().as_slice() {
                b"nx" => conditions.absent = true,
                b"xx" => conditions.present = true,
                b"gt" => conditions.greater = true,
                b"lt" => conditions.less = true,
                _ => return Err(unsupported_option(args.get(at))),
            }
        }
        let Self {
            absent,
            present,
            greater,
            less,
        } = conditions;
        if absent && (present || greater || less) {
            return Err(Error::fixed(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if greater && less {
            return Err(Error::fixed(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(conditions)
    }

    /// Whether a key that expires at `old` may expire at `new`. No expiry is later than any.
    fn hold(self, old: Option<Millis>, new: Millis) -> bool {
        let held_back = (self.absent && old.is_some())
            || (self.present && old.is_none())
            || (self.greater && old.is_none_or(|old| new <= old))
            || (self.less && old.is_some_and(|old| new >= old));
        !held_back
    }
}

fn unsupported_option(word: &[u8]) -> Error {
    let shown = word.split(|byte| *byte == 0).next().unwrap_or(word);
    Error::quoting([b"ERR Unsupported option ", shown].concat())
}

/// Replies 1 when the expiry was set, 0 when the key is absent or a condition does not hold.
///
/// A time that has passed deletes the key, on a primary. Propagated as the moment, `PEXPIREAT key ms` with the
/// conditions as given; or as DEL.
fn expire(ctx: &mut WriteCtx<'_>, args: Args<'_>, clock: &Clock) -> Result {
    let key = args.key(1);
    let conditions = Conditions::parse(args)?;
    let time = args.int(2)?;
    let from = if clock.from_now { ctx.now.unix_ms().0 } else { 0 };
    let at = time.checked_mul(clock.unit_ms).and_then(|ms| ms.checked_add(from));
    let at = Millis(at.ok_or_else(|| invalid_expire_time(clock.name))?);
    let deletes = at <= ctx.now.unix_ms() && ctx.keys.data().settings.role == Role::Primary;

    let slot = ctx.keys.key_slot(key);
    if !slot.exists() || !conditions.hold(slot.expiry(), at) {
        ctx.reply.int(0);
        return Ok(());
    }
    if deletes {
        slot.remove(Event::DEL);
        ctx.propagate(&[b"DEL", key]);
    } else {
        slot.set_expiry(Some(at), Event::EXPIRE);
        if clock.from_now || clock.unit_ms != 1 {
            let at = int_text(at.0);
            let mut words: Vec<&[u8]> = vec![b"PEXPIREAT", key, &at];
            words.extend(args.skip(3).iter());
            ctx.propagate(&words);
        }
    }
    ctx.reply.int(1);
    Ok(())
}

/// What the commands that ask for an expiry share.
const GETTER: Spec = Spec {
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    args: "key",
    ..Spec::BASE
};

const VOLATILE: &[&str] = &["nondeterministic_output"];
const ABSENT_SINCE: &[(&str, &str)] = &[("2.8.0", "-2 for an absent key.")];

/// TTL key
pub static TTL: Spec = Spec {
    name: "ttl",
    summary: "Tells how long a key has to live, in seconds.",
    tips: VOLATILE,
    history: ABSENT_SINCE,
    handler: Handler::Read(|ctx, args| reply_expiry(ctx, args, |at, now| rounded_seconds(at.since(now)))),
    ..GETTER
};

/// PTTL key
pub static PTTL: Spec = Spec {
    name: "pttl",
    summary: "Tells how long a key has to live, in milliseconds.",
    since: "2.6.0",
    tips: VOLATILE,
    history: ABSENT_SINCE,
    handler: Handler::Read(|ctx, args| reply_expiry(ctx, args, |at, now| at.since(now).max(0))),
    ..GETTER
};

/// EXPIRETIME key
pub static EXPIRETIME: Spec = Spec {
    name: "expiretime",
    summary: "Tells when a key expires, in seconds since 1970.",
    since: "7.0.0",
    handler: Handler::Read(|ctx, args| reply_expiry(ctx, args, |at, _| rounded_seconds(at.0))),
    ..GETTER
};

/// PEXPIRETIME key
pub static PEXPIRETIME: Spec = Spec {
    name: "pexpiretime",
    summary: "Tells when a key expires, in milliseconds since 1970.",
    since: "7.0.0",
    handler: Handler::Read(|ctx, args| reply_expiry(ctx, args, |at, _| at.0.max(0))),
    ..GETTER
};

/// Whole seconds, halves up; nothing is below zero.
fn rounded_seconds(ms: i64) -> i64 {
    let ms = ms.max(0);
    ms / 1000 + i64::from(ms % 1000 >= 500)
}

/// Replies -2 for an absent key, -1 for one that does not expire, else what `show` makes of the moment and of now.
fn reply_expiry(ctx: &mut ReadCtx<'_>, args: Args<'_>, show: fn(Millis, Millis) -> i64) -> Result {
    let answer = match ctx.keys.inspect(args.key(1)) {
        None => -2,
        Some(entry) => entry.expiry().map_or(-1, |at| show(at, ctx.now.unix_ms())),
    };
    ctx.reply.int(answer);
    Ok(())
}

/// PERSIST key
pub static PERSIST: Spec = Spec {
    name: "persist",
    summary: "Takes a key's expiry away.",
    since: "2.2.0",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    args: "key",
    handler: Handler::Write(persist),
    ..Spec::BASE
};

/// Replies 1 when there was one. Propagated verbatim.
fn persist(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let slot = ctx.keys.key_slot(args.key(1));
    let expires = slot.expiry().is_some();
    if expires {
        slot.set_expiry(None, Event::PERSIST);
    }
    ctx.reply.int(i64::from(expires));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn times_travel_as_moments() {
        check(
            "
            > SET k v
            OK
            > EXPIRE k 10
            1
            > PEXPIRE k 10500 gt
            1
            > EXPIREAT k 1700000020
            1
            > pexpireat k 1700000020100 XX
            1
            > PTTL k
            20100
            > TTL k
            20
            > EXPIRETIME k
            1700000020
            > PEXPIRETIME k
            1700000020100
            > PERSIST k
            1
            > PERSIST k
            0
            > TTL k
            -1
            > EXPIRE k -1
            1
            > TTL k
            -2
            > EXPIRE k 10
            0
            propagated: SELECT 0
            propagated: SET k v
            propagated: PEXPIREAT k 1700000010000
            propagated: PEXPIREAT k 1700000010500 gt
            propagated: PEXPIREAT k 1700000020000
            propagated: pexpireat k 1700000020100 XX
            propagated: PERSIST k
            propagated: DEL k
            propagated: nothing
            events: set k
            events: expire k
            events: expire k
            events: expire k
            events: expire k
            events: persist k
            events: del k
            ",
        );
    }

    /// The random differential test found `EXPIRETIME` negative for the latest of all moments.
    #[test]
    fn the_latest_moment_is_not_negative() {
        check(
            "
            > SET k v
            OK
            > PEXPIREAT k 9223372036854775807
            1
            > EXPIRETIME k
            9223372036854776
            > PEXPIRETIME k
            9223372036854775807
            ",
        );
    }

    #[test]
    fn conditions() {
        check(
            "
            > SET k v
            OK
            > EXPIRE k 10 XX
            0
            > EXPIRE k 10 GT
            0
            > EXPIRE k 10 LT
            1
            > EXPIRE k 11 LT
            0
            > EXPIRE k 11 NX
            0
            > EXPIRE k 11 GT XX
            1
            > EXPIRE k 11 NX GT
            ERR NX and XX, GT or LT options at the same time are not compatible
            > EXPIRE k 11 LT GT
            ERR GT and LT options at the same time are not compatible
            > EXPIRE k 11 AB
            ERR Unsupported option AB
            > EXPIRE k 9223372036854775807
            ERR invalid expire time in 'expire' command
            > PEXPIRE k 9223372036854775807
            ERR invalid expire time in 'pexpire' command
            ",
        );
    }

    #[test]
    fn a_key_whose_time_has_passed_is_deleted_at_its_next_use() {
        check(
            "
            > SET k v PX 100
            OK
            propagated: SELECT 0
            propagated: SET k v PXAT 1700000000100
            clock: +100
            > GET k
            (nil)
            propagated: DEL k
            events: set k
            events: expire k
            events: expired k
            ",
        );
    }
}
