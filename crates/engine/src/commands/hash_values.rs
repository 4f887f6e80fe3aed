//! Fields read or written together with their expiries.

use super::hash_expire::{
    HDEL_EVENT, HEXPIRE_EVENT, HPERSIST_EVENT, POSITIVE, propagate_deletion, propagate_fields, propagate_moment,
};
use super::hash_options::{Condition, Options, Target, fields_of};
use super::hashes::{HASH, reply_value};
use super::string_options::Expiration;
use crate::keys::int_text;
use crate::settings::Role;
use crate::{ArgsExt, Arity, Event, Flags, Handler, KeyFlags, KeySpec, Result, Spec, WriteCtx};
use keyspace::FieldExpiry;
use resp::Args;

const SHARED: Spec = Spec {
    since: "8.0.0",
    complexity: "O(N) where N is the number of specified fields",
    arity: Arity::AtLeast(5),
    flags: Flags::FAST,
    ..HASH
};

/// HGETDEL key FIELDS numfields field [field ...]
pub static HGETDEL: Spec = Spec {
    name: "hgetdel",
    summary: "Returns the values of fields and deletes them.",
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE))],
    args: "key <FIELDS numfields field [field ...]>",
    handler: Handler::Write(get_and_delete),
    ..SHARED
};

/// Propagated as HDEL of the fields that were there.
fn get_and_delete(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let mut slot = ctx.keys.hash_slot(key)?;
    let names = fields_of(args, 2, POSITIVE)?;

    let mut deleted = Vec::new();
    ctx.reply.array(names.len());
    for name in names.iter() {
        reply_value(&mut ctx.reply, slot.get(name));
        if slot.remove(name) {
            deleted.push(name);
        }
    }
    if !deleted.is_empty() {
        slot.commit(deleted.len() as u64, HDEL_EVENT);
        slot.finish();
    }
    propagate_deletion(ctx, key, &deleted);
    Ok(())
}

/// HGETEX key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] FIELDS numfields
/// field [field ...]
pub static HGETEX: Spec = Spec {
    name: "hgetex",
    summary: "Returns the values of fields and sets their expiries.",
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE))],
    args: "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] \
           <FIELDS numfields field [field ...]>",
    handler: Handler::Write(get_and_expire),
    ..SHARED
};

/// Without an option changes nothing. Propagated as what it did: HPEXPIREAT, HPERSIST or HDEL.
fn get_and_expire(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let (key, now) = (args.key(1), ctx.now);
    let primary = ctx.keys.data().settings.role == Role::Primary;

    let mut slot = ctx.keys.hash_slot(key)?;
    let options = Options::parse(args, Target::GetEx)?;
    let at = options.deadline("hgetex", now)?;
    let past = primary && at.is_some_and(|at| at <= now.unix_ms());

    let mut changed = Vec::new();
    ctx.reply.array(options.fields.len());
    for name in options.fields.iter() {
        let field = slot.get(name);
        reply_value(&mut ctx.reply, field);
        let Some(old) = field.map(|field| field.expiry) else {
            continue;
        };
        let changes = match options.expiration {
            None => false,
            Some(_) if past => slot.remove(name),
            Some(Expiration::Persist) => old.is_some() && slot.set_expiry(name, None),
            Some(_) => slot.set_expiry(name, at),
        };
        if changes {
            changed.push(name);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let event = match at {
        Some(_) if past => HDEL_EVENT,
        Some(_) => HEXPIRE_EVENT,
        None => HPERSIST_EVENT,
    };
    slot.commit(changed.len() as u64, event);
    slot.finish();
    match at {
        Some(_) if past => propagate_deletion(ctx, key, &changed),
        Some(at) => propagate_moment(ctx, key, at, &changed),
        None => propagate_fields(ctx, &[b"HPERSIST", key], &changed),
    }
    Ok(())
}

/// HSETEX key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL] FIELDS
/// numfields field value [field value ...]
pub static HSETEX: Spec = Spec {
    name: "hsetex",
    summary: "Sets fields and their expiries.",
    arity: Arity::AtLeast(6),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL] \
           <FIELDS numfields field value [field value ...]>",
    handler: Handler::Write(set_and_expire),
    ..SHARED
};

/// Replies 1 when the fields were set, 0 when the condition does not hold for all of them. Without an option the fields
/// do not expire.
///
/// Propagated with the moment and without the condition; as HDEL where the moment is past.
fn set_and_expire(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    const HSET_EVENT: Event = Event::new('h', "hset");
    let (key, now) = (args.key(1), ctx.now);
    let primary = ctx.keys.data().settings.role == Role::Primary;

    let mut slot = ctx.keys.hash_slot(key)?;
    let options = Options::parse(args, Target::SetEx)?;
    let at = options.deadline("hsetex", now)?;
    let names = options.fields.iter().step_by(2);
    let pairs = names.clone().zip(options.fields.skip(1).iter().step_by(2));
    let refused_for_key = options
        .key_condition
        .is_some_and(|condition| (condition == Condition::Present) != slot.fields().is_some());
    let refused_for_fields = match options.condition {
        None => false,
        Some(Condition::Absent) => names.clone().any(|name| slot.get(name).is_some()),
        Some(Condition::Present) => names.clone().any(|name| slot.get(name).is_none()),
    };
    let refused = refused_for_key || refused_for_fields;
    ctx.reply.int(i64::from(!refused));
    if refused {
        return Ok(());
    }
    if primary && at.is_some_and(|at| at <= now.unix_ms()) {
        let deleted: Vec<&[u8]> = names.filter(|name| slot.remove(name)).collect();
        if !deleted.is_empty() {
            slot.commit(deleted.len() as u64, HDEL_EVENT);
            slot.finish();
        }
        propagate_deletion(ctx, key, &deleted);
        return Ok(());
    }
    let expiry = match (options.expiration, at) {
        (Some(Expiration::Keep), _) => FieldExpiry::Keep,
        (_, Some(at)) => FieldExpiry::At(at),
        _ => FieldExpiry::Clear,
    };
    slot.set_all(pairs, expiry);
    slot.commit(options.fields.len() as u64 / 2, HSET_EVENT);
    if at.is_some() {
        slot.commit(0, HEXPIRE_EVENT);
    }
    propagate_fields_and_values(ctx, key, expiry, options.fields);
    Ok(())
}

fn propagate_fields_and_values(ctx: &mut WriteCtx<'_>, key: &[u8], expiry: FieldExpiry, fields: Args<'_>) {
    let (at, count) = match expiry {
        FieldExpiry::At(at) => (int_text(at.0), int_text(fields.len() as i64 / 2)),
        _ => (Vec::new(), int_text(fields.len() as i64 / 2)),
    };
    let mut words: Vec<&[u8]> = vec![b"HSETEX", key];
    match expiry {
        FieldExpiry::At(_) => words.extend([b"PXAT", &at[..]]),
        FieldExpiry::Keep => words.push(b"KEEPTTL"),
        FieldExpiry::Clear => {}
    }
    words.extend([b"FIELDS", &count[..]]);
    words.extend(fields.iter());
    ctx.propagate(&words);
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn values_with_their_expiries() {
        check(
            "
            > HSETEX h EX 10 FIELDS 2 a 1 b 2
            1
            > HTTL h FIELDS 2 a b
            [10, 10]
            > HSETEX h FNX FIELDS 2 b 3 c 4
            0
            > HSETEX h FXX KEEPTTL FIELDS 1 a 5
            1
            > HTTL h FIELDS 1 a
            [10]
            > HSETEX h FIELDS 1 b 6
            1
            > HTTL h FIELDS 1 b
            [-1]
            > HGETEX h PX 500 FIELDS 2 b none
            [\"6\", (nil)]
            > HGETEX h PERSIST FIELDS 2 a b
            [\"5\", \"6\"]
            > HGETEX h FIELDS 1 a
            [\"5\"]
            > HGETEX h PXAT 1 FIELDS 1 a
            [\"5\"]
            > HGETDEL h FIELDS 3 a b b
            [(nil), \"6\", (nil)]
            > EXISTS h
            0
            > HGETDEL h FIELDS 1 a
            [(nil)]
            > HSETEX h EXAT 1 FIELDS 1 a 1
            1
            > EXISTS h
            0
            > HSETEX h XX FIELDS 1 a 1
            0
            propagated: SELECT 0
            propagated: HSETEX h PXAT 1700000010000 FIELDS 2 a 1 b 2
            propagated: HSETEX h KEEPTTL FIELDS 1 a 5
            propagated: HSETEX h FIELDS 1 b 6
            propagated: HPEXPIREAT h 1700000000500 FIELDS 1 b
            propagated: HPERSIST h FIELDS 2 a b
            propagated: HDEL h a
            propagated: HDEL h b
            propagated: nothing
            events: hset h
            events: hexpire h
            events: hset h
            events: hset h
            events: hexpire h
            events: hpersist h
            events: hdel h
            events: hdel h
            events: del h
            ",
        );
    }

    #[test]
    fn what_is_malformed() {
        check(
            "
            > HSETEX h EX 10 KEEPTTL FIELDS 1 a 1
            ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
            > HSETEX h FNX FXX FIELDS 1 a 1
            ERR Only one of FXX or FNX arguments can be specified
            > HSETEX h FIELDS 2 a 1
            ERR The `numfields` parameter must match the number of arguments
            > HSETEX h EX 0 FIELDS 1 a 1
            ERR invalid expire time in 'hsetex' command
            > HSETEX h NX XX FIELDS 1 a 1
            ERR Only one of XX or NX arguments can be specified
            > HSETEX h NX NX FIELDS 1 a 1
            ERR Only one of XX or NX arguments can be specified
            > HSETEX h GT FIELDS 1 a 1
            ERR unknown argument: GT
            > HGETEX h PX 5 PERSIST FIELDS 1 a
            ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified
            > HGETEX h PX 5 a b
            ERR unknown argument: a
            > HGETEX h PX x FIELDS 1 a
            ERR value is not an integer or out of range
            ",
        );
    }
}
