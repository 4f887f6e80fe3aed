//! Times to live of the fields of hashes.
//!
//! ```text
//!   HEXPIRE key 10 NX FIELDS 2 f g ─► per field: -2 not there, 0 condition not met, 1 set, 2 deleted, its time is past
//!                                     goes out as HPEXPIREAT key ms FIELDS 1 f, or HDEL key g
//! ```
//!
//! As Redis 8 and Valkey 9 both have it. Where they differ in a text or an event, it is as in Redis.

use super::hash_options::{fields_of, latest_moment};
use super::hashes::HASH;
use super::string_options::invalid_expire_time;
use crate::keys::int_text;
use crate::settings::Role;
use crate::{ArgsExt, Arity, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use base::Millis;
use resp::Args;

pub(super) const HEXPIRE_EVENT: Event = Event::new('h', "hexpire");
pub(super) const HPERSIST_EVENT: Event = Event::new('h', "hpersist");
pub(super) const HDEL_EVENT: Event = Event::new('h', "hdel");

/// The reply for a field that is not there.
const NO_FIELD: i64 = -2;

/// How a command tells time.
struct Clock {
    /// Its name.
    name: &'static str,
    /// Milliseconds of one unit.
    unit_ms: i64,
    /// Whether times count from now, or else from 1970.
    from_now: bool,
}

/// What the commands that set expiries share.
const SETTER: Spec = Spec {
    since: "7.4.0",
    complexity: "O(N) where N is the number of specified fields",
    arity: Arity::AtLeast(6),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
    flags: Flags::DENY_OOM.or(Flags::FAST),
    ..HASH
};

/// HEXPIRE key seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]
pub static HEXPIRE: Spec = Spec {
    name: "hexpire",
    summary: "Gives fields a time to live in seconds.",
    args: "key seconds [NX|XX|GT|LT] <FIELDS numfields field [field ...]>",
    handler: Handler::Write(|ctx, args| {
        expire(
            ctx,
            args,
            &Clock {
                name: "hexpire",
                unit_ms: 1000,
                from_now: true,
            },
        )
    }),
    ..SETTER
};

/// HPEXPIRE key milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]
pub static HPEXPIRE: Spec = Spec {
    name: "hpexpire",
    summary: "Gives fields a time to live in milliseconds.",
    args: "key milliseconds [NX|XX|GT|LT] <FIELDS numfields field [field ...]>",
    handler: Handler::Write(|ctx, args| {
        expire(
            ctx,
            args,
            &Clock {
                name: "hpexpire",
                unit_ms: 1,
                from_now: true,
            },
        )
    }),
    ..SETTER
};

/// HEXPIREAT key unix-time-seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]
pub static HEXPIREAT: Spec = Spec {
    name: "hexpireat",
    summary: "Gives fields a moment to expire at, in seconds since 1970.",
    args: "key unix-time-seconds [NX|XX|GT|LT] <FIELDS numfields field [field ...]>",
    handler: Handler::Write(|ctx, args| {
        expire(
            ctx,
            args,
            &Clock {
                name: "hexpireat",
                unit_ms: 1000,
                from_now: false,
            },
        )
    }),
    ..SETTER
};

/// HPEXPIREAT key unix-time-milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]
pub static HPEXPIREAT: Spec = Spec {
    name: "hpexpireat",
    summary: "Gives fields a moment to expire at, in milliseconds since 1970.",
    args: "key unix-time-milliseconds [NX|XX|GT|LT] <FIELDS numfields field [field ...]>",
    handler: Handler::Write(|ctx, args| {
        expire(
            ctx,
            args,
            &Clock {
                name: "hpexpireat",
                unit_ms: 1,
                from_now: false,
            },
        )
    }),
    ..SETTER
};

/// When a new expiry is taken.
#[derive(Clone, Copy)]
enum Condition {
    Always,
    Absent,
    Present,
    Greater,
    Less,
}

impl Condition {
    /// The condition that word `at` is, if it is one.
    fn parse(args: Args<'_>, at: usize) -> Self {
        match args.get(at).to_ascii_lowercase().as_slice() {
            b"nx" => Self::Absent,
            b"xx" => Self::Present,
            b"gt" => Self::Greater,
            b"lt" => Self::Less,
            _ => Self::Always,
        }
    }

    /// Whether a field that expires at `old` may expire at `new`. No expiry is later than any.
    fn holds(self, old: Option<Millis>, new: Millis) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => old.is_none(),
            Self::Present => old.is_some(),
            Self::Greater => old.is_some_and(|old| new > old),
            Self::Less => old.is_none_or(|old| new < old),
        }
    }
}

fn moment(args: Args<'_>, clock: &Clock, now: Millis) -> Result<Millis> {
    let time = args.int(2)?;
    if time < 0 {
        return Err(Error::fixed("ERR invalid expire time, must be >= 0"));
    }
    let from = if clock.from_now { now.0 } else { 0 };
    let at = time.checked_mul(clock.unit_ms).and_then(|ms| ms.checked_add(from));
    at.map(Millis)
        .filter(|at| *at <= latest_moment())
        .ok_or_else(|| invalid_expire_time(clock.name))
}

/// Sets the fields' expiries. Propagated as the moment, and as HDEL for fields whose time is past already.
fn expire(ctx: &mut WriteCtx<'_>, args: Args<'_>, clock: &Clock) -> Result {
    let (key, now) = (args.key(1), ctx.now.unix_ms());
    let primary = ctx.keys.data().settings.role == Role::Primary;

    let mut slot = ctx.keys.hash_slot(key)?;
    let at = moment(args, clock, now)?;
    let condition = Condition::parse(args, 3);
    let names_at = if matches!(condition, Condition::Always) { 3 } else { 4 };
    let names = fields_of(args, names_at, "ERR Parameter `numFields` should be greater than 0")?;

    let (mut set, mut deleted) = (Vec::new(), Vec::new());
    ctx.reply.array(names.len());
    for name in names.iter() {
        let code = match slot.get(name).map(|field| field.expiry) {
            None => NO_FIELD,
            Some(old) if !condition.holds(old, at) => 0,
            Some(_) if at <= now && primary => {
                slot.remove(name);
                deleted.push(name);
                2
            }
            Some(_) => {
                slot.set_expiry(name, Some(at));
                set.push(name);
                1
            }
        };
        ctx.reply.int(code);
    }
    if !set.is_empty() {
        slot.commit(set.len() as u64, HEXPIRE_EVENT);
    }
    if !deleted.is_empty() {
        slot.commit(deleted.len() as u64, HDEL_EVENT);
    }
    slot.finish();
    propagate_moment(ctx, key, at, &set);
    propagate_deletion(ctx, key, &deleted);
    Ok(())
}

/// `HPEXPIREAT key ms FIELDS n field …`, if there are fields.
pub(super) fn propagate_moment(ctx: &mut WriteCtx<'_>, key: &[u8], at: Millis, names: &[&[u8]]) {
    propagate_fields(ctx, &[b"HPEXPIREAT", key, &int_text(at.0)], names);
}

/// The words, then `FIELDS n field …`, if there are fields.
pub(super) fn propagate_fields(ctx: &mut WriteCtx<'_>, words: &[&[u8]], names: &[&[u8]]) {
    if names.is_empty() {
        return;
    }
    let count = int_text(names.len() as i64);
    let mut all = words.to_vec();
    all.extend([b"FIELDS", &count[..]]);
    all.extend(names);
    ctx.propagate(&all);
}

/// `HDEL key field …`, if there are fields.
pub(super) fn propagate_deletion(ctx: &mut WriteCtx<'_>, key: &[u8], names: &[&[u8]]) {
    if names.is_empty() {
        return;
    }
    let mut words: Vec<&[u8]> = vec![b"HDEL", key];
    words.extend(names);
    ctx.propagate(&words);
}

/// HPERSIST key FIELDS numfields field [field ...]
pub static HPERSIST: Spec = Spec {
    name: "hpersist",
    summary: "Takes the expiries of fields away.",
    arity: Arity::AtLeast(5),
    flags: Flags::FAST,
    args: "key <FIELDS numfields field [field ...]>",
    handler: Handler::Write(persist),
    ..SETTER
};

/// Per field: 1 when it had an expiry, -1 when it had none, -2 when it is not there.
fn persist(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let mut slot = ctx.keys.hash_slot(key)?;
    let names = fields_of(args, 2, POSITIVE)?;

    let mut persisted = Vec::new();
    ctx.reply.array(names.len());
    for name in names.iter() {
        let code = match slot.get(name).map(|field| field.expiry) {
            None => NO_FIELD,
            Some(None) => -1,
            Some(Some(_)) => {
                slot.set_expiry(name, None);
                persisted.push(name);
                1
            }
        };
        ctx.reply.int(code);
    }
    if !persisted.is_empty() {
        slot.commit(persisted.len() as u64, HPERSIST_EVENT);
    }
    propagate_fields(ctx, &[b"HPERSIST", key], &persisted);
    Ok(())
}

pub(super) const POSITIVE: &str = "ERR Number of fields must be a positive integer";

/// What the commands that ask for expiries share.
const GETTER: Spec = Spec {
    since: "7.4.0",
    complexity: "O(N) where N is the number of specified fields",
    arity: Arity::AtLeast(5),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    flags: Flags::FAST,
    args: "key <FIELDS numfields field [field ...]>",
    ..HASH
};

const VOLATILE: &[&str] = &["nondeterministic_output"];

/// HTTL key FIELDS numfields field [field ...]
pub static HTTL: Spec = Spec {
    name: "httl",
    summary: "Tells how long fields have to live, in seconds.",
    tips: VOLATILE,
    handler: Handler::Read(|ctx, args| reply_expiries(ctx, args, |at, now| at.since(now).div_ceil_seconds())),
    ..GETTER
};

/// HPTTL key FIELDS numfields field [field ...]
pub static HPTTL: Spec = Spec {
    name: "hpttl",
    summary: "Tells how long fields have to live, in milliseconds.",
    tips: VOLATILE,
    handler: Handler::Read(|ctx, args| reply_expiries(ctx, args, Millis::since)),
    ..GETTER
};

/// HEXPIRETIME key FIELDS numfields field [field ...]
pub static HEXPIRETIME: Spec = Spec {
    name: "hexpiretime",
    summary: "Tells when fields expire, in seconds since 1970.",
    handler: Handler::Read(|ctx, args| reply_expiries(ctx, args, |at, _| at.0.div_ceil_seconds())),
    ..GETTER
};

/// HPEXPIRETIME key FIELDS numfields field [field ...]
pub static HPEXPIRETIME: Spec = Spec {
    name: "hpexpiretime",
    summary: "Tells when fields expire, in milliseconds since 1970.",
    handler: Handler::Read(|ctx, args| reply_expiries(ctx, args, |at, _| at.0)),
    ..GETTER
};

trait Seconds {
    /// Whole seconds of so many milliseconds, begun ones included.
    fn div_ceil_seconds(self) -> i64;
}

impl Seconds for i64 {
    fn div_ceil_seconds(self) -> i64 {
        self.saturating_add(999) / 1000
    }
}

/// Per field: -2 when it is not there, -1 when it does not expire, else what `show` makes of the moment and of now.
fn reply_expiries(ctx: &mut ReadCtx<'_>, args: Args<'_>, show: fn(Millis, Millis) -> i64) -> Result {
    let now = ctx.now.unix_ms();
    let hash = ctx.keys.hash(args.key(1))?;
    let names = fields_of(args, 2, POSITIVE)?;
    ctx.reply.array(names.len());
    for name in names.iter() {
        let field = hash.and_then(|hash| hash.get(name));
        let answer = field.map_or(NO_FIELD, |field| field.expiry.map_or(-1, |at| show(at, now)));
        ctx.reply.int(answer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands;
    use crate::execute::Engine;
    use crate::host::NoHost;
    use crate::testing::{check, check_with};

    #[test]
    fn fields_expire_at_their_moment() {
        check(
            "
            > HSET h a 1 b 2 c 3
            3
            > HEXPIRE h 10 FIELDS 2 a none
            [1, -2]
            > HPEXPIRE h 500 FIELDS 1 b
            [1]
            > HTTL h FIELDS 4 a b c none
            [10, 1, -1, -2]
            > HPTTL h FIELDS 1 b
            [500]
            > HEXPIRETIME h FIELDS 1 a
            [1700000010]
            > HPEXPIRETIME h FIELDS 1 b
            [1700000000500]
            > OBJECT ENCODING h
            hashtable
            clock: +500
            > HGET h b
            (nil)
            > HLEN h
            2
            > HEXISTS h b
            0
            > HMGET h a b
            [\"1\", (nil)]
            > HTTL h FIELDS 1 b
            [-2]
            > HSET h b again
            1
            > HTTL h FIELDS 1 b
            [-1]
            > HPERSIST h FIELDS 3 a b none
            [1, -1, -2]
            > HTTL h FIELDS 1 a
            [-1]
            propagated: SELECT 0
            propagated: HSET h a 1 b 2 c 3
            propagated: HPEXPIREAT h 1700000010000 FIELDS 1 a
            propagated: HPEXPIREAT h 1700000000500 FIELDS 1 b
            propagated: MULTI
            propagated: HDEL h b
            propagated: HSET h b again
            propagated: EXEC
            propagated: HPERSIST h FIELDS 1 a
            events: hset h
            events: hexpire h
            events: hexpire h
            events: hexpired h
            events: hset h
            events: hpersist h
            ",
        );
    }

    #[test]
    fn conditions() {
        check(
            "
            > HSET h a 1 b 2
            2
            > HEXPIRE h 10 XX FIELDS 1 a
            [0]
            > HEXPIRE h 10 GT FIELDS 1 a
            [0]
            > HEXPIRE h 10 NX FIELDS 1 a
            [1]
            > HEXPIRE h 20 NX FIELDS 2 a b
            [0, 1]
            > HEXPIRE h 15 GT FIELDS 2 a b
            [1, 0]
            > HEXPIRE h 12 LT FIELDS 2 a b
            [1, 1]
            > HEXPIRE h 30 XX FIELDS 2 a b
            [1, 1]
            > HPEXPIREAT h 1 FIELDS 1 a
            [2]
            > HEXPIRE h 0 FIELDS 2 b a
            [2, -2]
            > EXISTS h
            0
            > HEXPIRE h 10 FIELDS 2 a b
            [-2, -2]
            propagated: SELECT 0
            propagated: HSET h a 1 b 2
            propagated: HPEXPIREAT h 1700000010000 FIELDS 1 a
            propagated: HPEXPIREAT h 1700000020000 FIELDS 1 b
            propagated: HPEXPIREAT h 1700000015000 FIELDS 1 a
            propagated: HPEXPIREAT h 1700000012000 FIELDS 2 a b
            propagated: HPEXPIREAT h 1700000030000 FIELDS 2 a b
            propagated: HDEL h a
            propagated: HDEL h b
            propagated: nothing
            ",
        );
    }

    #[test]
    fn the_expiry_cycle_takes_fields_and_the_key_with_the_last() {
        let mut engine = Engine::new(16, 1, || 0, commands::ALL);
        check_with(
            &mut engine,
            &mut NoHost,
            "
            > HSET h a 1 b 2
            2
            > HSET other a 1
            1
            > HPEXPIRE h 100 FIELDS 1 a
            [1]
            > HPEXPIRE h 200 FIELDS 1 b
            [1]
            > HPEXPIRE other 100 FIELDS 1 a
            [1]
            > HSETEX gone PX 100 FIELDS 2 a 1 b 2
            1
            > RENAME gone here
            OK
            ",
        );
        engine.data.recorded_events = Some(Vec::new());
        engine.begin_turn(base::Now {
            unix_us: 1_700_000_000_150_000,
            mono_us: 1_150_000,
        });
        assert_eq!(engine.expire_some(100), 4);
        assert_eq!(engine.expire_some(100), 0);
        let events = engine.data.recorded_events.take().expect("they are recorded");
        assert_eq!(
            events,
            ["hexpired h", "hexpired here", "del here", "hexpired other", "del other"]
        );
        check_with(
            &mut engine,
            &mut NoHost,
            "
            > HLEN h
            1
            propagated: HDEL h a
            propagated: HDEL here a b
            propagated: HDEL other a
            propagated: nothing
            > EXISTS other gone here
            0
            ",
        );
    }

    #[test]
    fn copies_and_renamed_keys_keep_the_expiries_of_fields() {
        check(
            "
            > HSET h a 1 b 2
            2
            > HEXPIRE h 10 FIELDS 1 a
            [1]
            > COPY h copy
            1
            > MOVE copy 1
            1
            > RENAME h other
            OK
            > HTTL other FIELDS 2 a b
            [10, -1]
            > SELECT 1
            OK
            > HTTL copy FIELDS 2 a b
            [10, -1]
            clock: +10000
            > HGETALL copy
            [\"b\", \"2\"]
            > HRANDFIELD copy 5
            [\"b\"]
            > HSCAN copy 0
            [\"0\", [\"b\", \"2\"]]
            > HDEL copy a
            0
            > HINCRBY copy a 3
            3
            > HTTL copy FIELDS 1 a
            [-1]
            ",
        );
    }

    #[test]
    fn what_is_malformed() {
        check(
            "
            > HSET h a 1
            1
            > HEXPIRE h x FIELDS 1 a
            ERR value is not an integer or out of range
            > HEXPIRE h -1 FIELDS 1 a
            ERR invalid expire time, must be >= 0
            > HEXPIRE h 9223372036854775807 FIELDS 1 a
            ERR invalid expire time in 'hexpire' command
            > HPEXPIREAT h 70368744177664 FIELDS 1 a
            ERR invalid expire time in 'hpexpireat' command
            > HEXPIRE h 1 AB FIELDS 1 a
            ERR Mandatory argument FIELDS is missing or not at the right position
            > HEXPIRE h 1 FIELDS 0 a
            ERR Parameter `numFields` should be greater than 0
            > HEXPIRE h 1 FIELDS 2 a
            ERR The `numfields` parameter must match the number of arguments
            > HTTL h FIELDS 0 a
            ERR Number of fields must be a positive integer
            > HTTL h FIELDS 1 a b
            ERR The `numfields` parameter must match the number of arguments
            > HTTL h F 1 a
            ERR Mandatory argument FIELDS is missing or not at the right position
            > SET s 1
            OK
            > HTTL s FIELDS 1 a
            WRONGTYPE Operation against a key holding the wrong kind of value
            ",
        );
    }
}
