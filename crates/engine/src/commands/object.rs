//! OBJECT: how a value is kept.

use crate::access::lfu_counter;
use crate::commands::help;
use crate::settings::EvictionOrder;
use crate::{Acl, ArgsExt, Arity, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, ServerCtx, Spec};
use keyspace::{Entry, ValueRef};
use resp::Args;

/// OBJECT subcommand
pub static OBJECT: Spec = Spec {
    name: "object",
    summary: "Tells how values are kept.",
    since: "2.2.3",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    subcommands: &[&ENCODING, &FREQ, &IDLETIME, &REFCOUNT, &HELP],
    ..Spec::BASE
};

const ABOUT_KEY: Spec = Spec {
    since: "2.2.3",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(2, KeyFlags::RO)],
    acl: Acl::KEYSPACE,
    tips: &["nondeterministic_output"],
    args: "key",
    ..Spec::BASE
};

/// OBJECT ENCODING key
static ENCODING: Spec = Spec {
    name: "encoding",
    summary: "Tells in which encoding a value is kept.",
    handler: Handler::Read(|ctx, args| {
        match ctx.keys.inspect(args.key(2)) {
            Some(entry) => ctx.reply.bulk(entry.encoding().name().as_bytes()),
            None => ctx.reply.null(),
        }
        Ok(())
    }),
    ..ABOUT_KEY
};

/// OBJECT REFCOUNT key
static REFCOUNT: Spec = Spec {
    name: "refcount",
    summary: "Tells how many references a value has.",
    handler: Handler::Read(|ctx, args| {
        // Where an access clock decides what is evicted, every value has one of its own.
        let settings = &ctx.keys.data().settings;
        let clocked = settings
            .eviction
            .is_some_and(|policy| matches!(policy.order, EvictionOrder::Lru | EvictionOrder::Lfu));
        let shares = settings.maxmemory == 0 || !clocked;
        let count = ctx
            .keys
            .inspect(args.key(2))
            .map(|entry| reference_count(entry, shares));
        reply_number(ctx, count)
    }),
    ..ABOUT_KEY
};

/// Stock servers keep small integers once for all keys, and count their references no more. We share nothing that
/// could be counted, and answer alike.
fn reference_count(entry: &Entry, shares: bool) -> i64 {
    const SHARED_BELOW: i64 = 10_000;
    match entry.value() {
        ValueRef::Int(0..SHARED_BELOW) if shares => i64::from(i32::MAX),
        _ => 1,
    }
}

/// OBJECT IDLETIME key
static IDLETIME: Spec = Spec {
    name: "idletime",
    summary: "Tells for how many seconds a key has not been used.",
    handler: Handler::Read(idle_time),
    ..ABOUT_KEY
};

fn idle_time(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let Some(stamp) = ctx.keys.inspect(args.key(2)).map(Entry::clock) else {
        return reply_number(ctx, None);
    };
    let data = ctx.keys.data();
    if data.settings.lfu {
        return Err(Error::fixed(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let idle = data.access_clock.wrapping_sub(stamp) & 0xff_ffff;
    reply_number(ctx, Some(i64::from(idle)))
}

/// OBJECT FREQ key
static FREQ: Spec = Spec {
    name: "freq",
    summary: "Tells how often a key is used, on the logarithmic scale of the LFU policies.",
    since: "4.0.0",
    handler: Handler::Read(frequency),
    ..ABOUT_KEY
};

fn frequency(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let Some(stamp) = ctx.keys.inspect(args.key(2)).map(Entry::clock) else {
        return reply_number(ctx, None);
    };
    let data = ctx.keys.data();
    if !data.settings.lfu {
        return Err(Error::fixed(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let counter = lfu_counter(stamp, data.access_clock, &data.settings);
    reply_number(ctx, Some(i64::from(counter)))
}

fn reply_number(ctx: &mut ReadCtx<'_>, number: Option<i64>) -> Result {
    match number {
        Some(number) => ctx.reply.int(number),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// OBJECT HELP
static HELP: Spec = Spec {
    name: "help",
    summary: "Lists the subcommands.",
    since: "6.2.0",
    arity: Arity::Exactly(2),
    flags: Flags::LOADING.or(Flags::STALE),
    acl: Acl::KEYSPACE,
    handler: Handler::Server(write_help),
    ..Spec::BASE
};

fn write_help(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    help::write(
        &mut ctx.reply,
        "OBJECT",
        &[
            ("ENCODING <key>", "Tell in which encoding the value of <key> is kept."),
            ("FREQ <key>", "Tell how often <key> is used, on a logarithmic scale."),
            ("IDLETIME <key>", "Tell for how many seconds <key> has not been used."),
            ("REFCOUNT <key>", "Tell how many references the value of <key> has."),
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn how_strings_are_kept() {
        check(
            "
            > MSET n 5 big 12345 s abc
            OK
            > OBJECT ENCODING n
            int
            > OBJECT ENCODING s
            embstr
            > OBJECT ENCODING absent
            (nil)
            > OBJECT REFCOUNT n
            2147483647
            > OBJECT REFCOUNT big
            1
            clock: +5000
            > OBJECT IDLETIME s
            5
            > TOUCH s
            1
            > OBJECT IDLETIME s
            0
            > OBJECT FREQ absent
            (nil)
            > OBJECT FREQ
            ERR wrong number of arguments for 'object|freq' command
            > OBJECT NONE
            ERR unknown subcommand 'NONE'. Try OBJECT HELP.
            ",
        );
    }
}
