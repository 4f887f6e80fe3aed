//! Publish and subscribe.
//!
//! Messages travel in the replication stream, listeners here or not: a replica delivers them to its own.

use crate::pubsub::Scope;
use crate::{Arity, Category, Error, Flags, Handler, KeyFlags, KeySpec, Result, ServerCtx, Spec};
use resp::Args;

const PUBLISHING: Spec = Spec {
    arity: Arity::Exactly(3),
    category: Category::Pubsub,
    flags: Flags::PUBSUB
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::FAST)
        .or(Flags::MAY_REPLICATE),
    ..Spec::BASE
};

/// What begins listening, and with another arity what ends it.
const LISTENING: Spec = Spec {
    since: "2.0.0",
    arity: Arity::AtLeast(2),
    category: Category::Pubsub,
    flags: Flags::PUBSUB
        .or(Flags::NO_SCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::PUBSUB_MODE),
    ..Spec::BASE
};

const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)];

/// PUBLISH channel message
pub static PUBLISH: Spec = Spec {
    name: "publish",
    summary: "Sends a message to the subscribers of a channel.",
    since: "2.0.0",
    complexity: "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number \
                 of subscribed patterns (by any client).",
    flags: PUBLISHING.flags.or(Flags::SENTINEL),
    args: "channel message",
    handler: Handler::Server(|ctx, args| publish(ctx, args, Scope::Channel)),
    ..PUBLISHING
};

/// SPUBLISH shardchannel message
pub static SPUBLISH: Spec = Spec {
    name: "spublish",
    summary: "Sends a message to the subscribers of a shard channel.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of clients subscribed to the receiving shard channel.",
    keys: &[KeySpec::at(1, KeyFlags::NOT_KEY)],
    args: "shardchannel message",
    handler: Handler::Server(|ctx, args| publish(ctx, args, Scope::Shard)),
    ..PUBLISHING
};

/// Delivers to the listeners of this server, and passes the message on to replicas.
fn publish(ctx: &mut ServerCtx<'_>, args: Args<'_>, scope: Scope) -> Result {
    let db = ctx.session().db;
    let deliveries = ctx.engine.publish(scope, args.get(1), args.get(2));
    ctx.engine.data.propagation.verbatim(db, args);
    ctx.reply.int(deliveries as i64);
    Ok(())
}

/// SUBSCRIBE channel [channel ...]
pub static SUBSCRIBE: Spec = Spec {
    name: "subscribe",
    summary: "Listens to channels.",
    complexity: "O(N) where N is the number of channels to subscribe to.",
    flags: LISTENING.flags.or(Flags::SENTINEL),
    args: "channel [channel ...]",
    handler: Handler::Server(|ctx, args| subscribe(ctx, args, Scope::Channel)),
    ..LISTENING
};

/// PSUBSCRIBE pattern [pattern ...]
pub static PSUBSCRIBE: Spec = Spec {
    name: "psubscribe",
    summary: "Listens to all channels whose names fit patterns.",
    complexity: "O(N) where N is the number of patterns the client is already subscribed to.",
    flags: LISTENING.flags.or(Flags::SENTINEL),
    args: "pattern [pattern ...]",
    handler: Handler::Server(|ctx, args| subscribe(ctx, args, Scope::Pattern)),
    ..LISTENING
};

/// SSUBSCRIBE shardchannel [shardchannel ...]
pub static SSUBSCRIBE: Spec = Spec {
    name: "ssubscribe",
    summary: "Listens to shard channels.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels to subscribe to.",
    keys: SHARD_CHANNELS,
    args: "shardchannel [shardchannel ...]",
    handler: Handler::Server(|ctx, args| {
        if ctx.engine.in_exec() {
            return Err(Error::fixed("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
        }
        subscribe(ctx, args, Scope::Shard)
    }),
    ..LISTENING
};

/// UNSUBSCRIBE [channel [channel ...]]
pub static UNSUBSCRIBE: Spec = Spec {
    name: "unsubscribe",
    summary: "Listens to channels no more; without names, to none.",
    complexity: "O(N) where N is the number of clients already subscribed to a channel.",
    arity: Arity::AtLeast(1),
    flags: LISTENING.flags.or(Flags::SENTINEL),
    args: "[channel [channel ...]]",
    handler: Handler::Server(|ctx, args| unsubscribe(ctx, args, Scope::Channel)),
    ..LISTENING
};

/// PUNSUBSCRIBE [pattern [pattern ...]]
pub static PUNSUBSCRIBE: Spec = Spec {
    name: "punsubscribe",
    summary: "Listens to what fits patterns no more; without patterns, to none.",
    complexity: "O(N+M) where N is the number of patterns the client is already subscribed and M is the number of total \
                 patterns subscribed in the system (by any client).",
    arity: Arity::AtLeast(1),
    flags: LISTENING.flags.or(Flags::SENTINEL),
    args: "[pattern [pattern ...]]",
    handler: Handler::Server(|ctx, args| unsubscribe(ctx, args, Scope::Pattern)),
    ..LISTENING
};

/// SUNSUBSCRIBE [shardchannel [shardchannel ...]]
pub static SUNSUBSCRIBE: Spec = Spec {
    name: "sunsubscribe",
    summary: "Listens to shard channels no more; without names, to none.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of clients already subscribed to a shard channel.",
    arity: Arity::AtLeast(1),
    keys: SHARD_CHANNELS,
    args: "[shardchannel [shardchannel ...]]",
    handler: Handler::Server(|ctx, args| unsubscribe(ctx, args, Scope::Shard)),
    ..LISTENING
};

/// The kind of message that answers a subscription, and its end.
fn kinds(scope: Scope) -> (&'static [u8], &'static [u8]) {
    match scope {
        Scope::Channel => (b"subscribe", b"unsubscribe"),
        Scope::Pattern => (b"psubscribe", b"punsubscribe"),
        Scope::Shard => (b"ssubscribe", b"sunsubscribe"),
    }
}

/// Every name is answered by a message of its own.
fn subscribe(ctx: &mut ServerCtx<'_>, args: Args<'_>, scope: Scope) -> Result {
    for name in args.iter().skip(1) {
        let count = ctx.engine.subscribe(ctx.session_id, scope, name);
        answer(ctx, kinds(scope).0, Some(name), count);
    }
    Ok(())
}

/// Without names all are meant. Even where there is nothing to end, one message answers.
fn unsubscribe(ctx: &mut ServerCtx<'_>, args: Args<'_>, scope: Scope) -> Result {
    let kind = kinds(scope).1;
    for name in args.iter().skip(1) {
        let count = ctx.engine.unsubscribe(ctx.session_id, scope, name);
        answer(ctx, kind, Some(name), count);
    }
    if args.len() > 1 {
        return Ok(());
    }
    let subscriptions = ctx.session().subscriptions.as_ref();
    let all: Vec<_> = subscriptions.map_or_else(Vec::new, |all| all.names(scope).iter().cloned().collect());
    for name in &all {
        let count = ctx.engine.unsubscribe(ctx.session_id, scope, name);
        answer(ctx, kind, Some(name), count);
    }
    if all.is_empty() {
        let subscriptions = ctx.session().subscriptions.as_ref();
        let count = subscriptions.map_or(0, |all| all.shown_count(scope));
        answer(ctx, kind, None, count);
    }
    Ok(())
}

/// Answers a change of subscriptions with a message. CLIENT REPLY silences replies and no messages; but in EXEC, where
/// it is an element of the reply, it is one.
fn answer(ctx: &mut ServerCtx<'_>, kind: &[u8], name: Option<&[u8]>, count: usize) {
    let write = |reply: &mut resp::Reply<'_>| {
        reply.push(3);
        reply.bulk(kind);
        match name {
            Some(name) => reply.bulk(name),
            None => reply.null(),
        }
        reply.int(count as i64);
    };
    if ctx.engine.in_exec() {
        write(&mut ctx.reply);
    } else {
        let session = ctx.session_mut();
        write(&mut resp::Reply::new(&mut session.out, session.proto));
    }
}

/// PUBSUB
pub static PUBSUB: Spec = Spec {
    name: "pubsub",
    summary: "Tells which channels have subscribers.",
    since: "2.8.0",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    category: Category::Pubsub,
    handler: Handler::Container,
    subcommands: &[&CHANNELS, &HELP, &NUMPAT, &NUMSUB, &SHARDCHANNELS, &SHARDNUMSUB],
    ..Spec::BASE
};

const SUBCOMMAND: Spec = Spec {
    since: "2.8.0",
    category: Category::Pubsub,
    flags: Flags::PUBSUB.or(Flags::LOADING).or(Flags::STALE),
    ..Spec::BASE
};

static CHANNELS: Spec = Spec {
    name: "channels",
    summary: "Lists the channels that have subscribers.",
    complexity: "O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively \
                 short channels and patterns)",
    arity: Arity::AtLeast(2),
    args: "[pattern]",
    handler: Handler::Server(|ctx, args| channels(ctx, args, Scope::Channel)),
    ..SUBCOMMAND
};

static SHARDCHANNELS: Spec = Spec {
    name: "shardchannels",
    summary: "Lists the shard channels that have subscribers.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of active shard channels, and assuming constant time pattern matching \
                 (relatively short shard channels).",
    handler: Handler::Server(|ctx, args| channels(ctx, args, Scope::Shard)),
    ..CHANNELS
};

fn channels(ctx: &mut ServerCtx<'_>, args: Args<'_>, scope: Scope) -> Result {
    if args.len() > 3 {
        return Err(Error::quoting(
            [
                b"ERR unknown subcommand or wrong number of arguments for '",
                crate::error::quoted(args.get(1)),
                b"'. Try PUBSUB HELP.",
            ]
            .concat(),
        ));
    }
    let pattern = args.try_get(2);
    let fits = |name: &&[u8]| pattern.is_none_or(|pattern| base::glob::matches(pattern, name, false));
    let deferred = ctx.reply.deferred_array();
    let mut count = 0;
    for name in ctx.engine.pubsub.channels(scope).filter(fits) {
        ctx.reply.bulk(name);
        count += 1;
    }
    ctx.reply.set_deferred(deferred, count);
    Ok(())
}

static NUMSUB: Spec = Spec {
    name: "numsub",
    summary: "Counts the subscribers of channels, those to patterns aside.",
    complexity: "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
    arity: Arity::AtLeast(2),
    args: "[channel [channel ...]]",
    handler: Handler::Server(|ctx, args| subscribers(ctx, args, Scope::Channel)),
    ..SUBCOMMAND
};

static SHARDNUMSUB: Spec = Spec {
    name: "shardnumsub",
    summary: "Counts the subscribers of shard channels.",
    since: "7.0.0",
    complexity: "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
    args: "[shardchannel [shardchannel ...]]",
    handler: Handler::Server(|ctx, args| subscribers(ctx, args, Scope::Shard)),
    ..NUMSUB
};

fn subscribers(ctx: &mut ServerCtx<'_>, args: Args<'_>, scope: Scope) -> Result {
    ctx.reply.array(2 * (args.len() - 2));
    for name in args.iter().skip(2) {
        ctx.reply.bulk(name);
        ctx.reply.int(ctx.engine.pubsub.listeners(scope, name) as i64);
    }
    Ok(())
}

static NUMPAT: Spec = Spec {
    name: "numpat",
    summary: "Counts the patterns that somebody listens to.",
    arity: Arity::Exactly(2),
    handler: Handler::Server(|ctx, _| {
        ctx.reply.int(ctx.engine.pubsub.count(Scope::Pattern) as i64);
        Ok(())
    }),
    ..SUBCOMMAND
};

static HELP: Spec = Spec {
    name: "help",
    summary: "Lists the subcommands.",
    since: "6.2.0",
    arity: Arity::Exactly(2),
    flags: Flags::LOADING.or(Flags::STALE),
    handler: Handler::Server(|ctx, _| {
        super::help::write(&mut ctx.reply, "PUBSUB", HELP_LINES);
        Ok(())
    }),
    ..SUBCOMMAND
};

const HELP_LINES: &[(&str, &str)] = &[
    ("CHANNELS [<pattern>]", "The channels that have subscribers."),
    ("NUMPAT", "How many patterns somebody listens to."),
    (
        "NUMSUB [<channel> ...]",
        "How many subscribers these channels have, those to patterns aside.",
    ),
    ("SHARDCHANNELS [<pattern>]", "The shard channels that have subscribers."),
    (
        "SHARDNUMSUB [<shardchannel> ...]",
        "How many subscribers these shard channels have.",
    ),
];

#[cfg(test)]
mod tests {
    use crate::execute::Engine;
    use crate::host::NoHost;
    use crate::settings::KeyEvents;
    use crate::testing::{check, check_with};

    #[test]
    fn listeners_hear_in_the_order_of_their_names() {
        check(
            r#"
            > SUBSCRIBE a b a
            ["subscribe", "a", 1] ["subscribe", "b", 2] ["subscribe", "a", 2]
            @2> PSUBSCRIBE *
            ["psubscribe", "*", 1]
            @3> PUBLISH a hello
            2
            @3> PUBSUB NUMSUB a b c
            ["a", 1, "b", 1, "c", 0]
            > UNSUBSCRIBE b
            ["message", "a", "hello"] ["unsubscribe", "b", 1]
            @2> PUNSUBSCRIBE
            ["pmessage", "*", "a", "hello"] ["punsubscribe", "*", 0]
            @2> PUNSUBSCRIBE
            ["punsubscribe", (nil), 0]
            @3> PUBSUB CHANNELS
            ["a"]
            @3> PUBSUB NUMPAT
            0
            @3> PUBSUB CHANNELS a b
            ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.
            propagated: SELECT 0
            propagated: PUBLISH a hello
            propagated: nothing
            "#,
        );
    }

    #[test]
    fn a_listener_of_resp2_may_do_little_else() {
        check(
            r#"
            > SUBSCRIBE a
            ["subscribe", "a", 1]
            > PING
            ["pong", ""]
            > PING x
            ["pong", "x"]
            > GET k
            ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
            > CLIENT ID
            ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
            > RESET
            RESET
            > PUBSUB CHANNELS
            []
            "#,
        );
    }

    #[test]
    fn shard_channels_are_counted_apart_and_not_in_exec() {
        check(
            r#"
            > SSUBSCRIBE s
            ["ssubscribe", "s", 1]
            > SUBSCRIBE c
            ["subscribe", "c", 1]
            @2> SPUBLISH s m
            1
            @2> PUBLISH s m
            0
            @2> MULTI
            OK
            @2> SSUBSCRIBE s
            QUEUED
            @2> SUBSCRIBE c
            QUEUED
            @2> UNSUBSCRIBE c
            QUEUED
            @2> EXEC
            [ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client, ["subscribe", "c", 1], ["unsubscribe", "c", 0]]
            > SUNSUBSCRIBE
            ["smessage", "s", "m"] ["sunsubscribe", "s", 0]
            "#,
        );
    }

    /// As stock 7.0 outside of EXEC; inside of its reply, where stock puts them, clients would take messages for
    /// elements.
    #[test]
    fn messages_to_oneself_come_before_the_reply_and_after_that_of_exec() {
        check(
            r#"
            > HELLO 3
            {"server": "redis", "version": "7.0.15", "proto": 3, "id": 1, "mode": "standalone", "role": "master", "modules": []}
            > SUBSCRIBE c
            push ["subscribe", "c", 1]
            > PUBLISH c m
            push ["message", "c", "m"] 1
            > MULTI
            OK
            > PUBLISH c m
            QUEUED
            > EXEC
            [1] push ["message", "c", "m"]
            > CLIENT REPLY OFF

            > PUBLISH c m
            push ["message", "c", "m"]
            > UNSUBSCRIBE
            push ["unsubscribe", "c", 0]
            "#,
        );
    }

    fn check_with_events(letters: &str, transcript: &str) {
        let mut engine = Engine::new(16, 1, || 0, crate::commands::ALL);
        engine.data.settings.key_events = KeyEvents::of(letters.chars());
        check_with(&mut engine, &mut NoHost, transcript);
    }

    #[test]
    fn what_happens_to_keys_is_published() {
        check_with_events(
            "KE$gxnm",
            r#"
            @2> PSUBSCRIBE __key*
            ["psubscribe", "__key*", 1]
            > SET k v PX 1
            OK
            @2> PING
            ["pmessage", "__key*", "__keyspace@0__:k", "new"] ["pmessage", "__key*", "__keyevent@0__:new", "k"] ["pmessage", "__key*", "__keyspace@0__:k", "set"] ["pmessage", "__key*", "__keyevent@0__:set", "k"] ["pmessage", "__key*", "__keyspace@0__:k", "expire"] ["pmessage", "__key*", "__keyevent@0__:expire", "k"] ["pong", ""]
            clock: +5
            > GET k
            (nil)
            @2> PING
            ["pmessage", "__key*", "__keyspace@0__:k", "expired"] ["pmessage", "__key*", "__keyevent@0__:expired", "k"] ["pmessage", "__key*", "__keyspace@0__:k", "keymiss"] ["pmessage", "__key*", "__keyevent@0__:keymiss", "k"] ["pong", ""]
            "#,
        );
    }

    #[test]
    fn only_the_classes_and_channels_that_are_wanted() {
        check_with_events(
            "Kg",
            r#"
            @2> PSUBSCRIBE __key*
            ["psubscribe", "__key*", 1]
            > SELECT 3
            OK
            > SET k v
            OK
            > RENAME k l
            OK
            > DEL l
            1
            @2> PING
            ["pmessage", "__key*", "__keyspace@3__:k", "rename_from"] ["pmessage", "__key*", "__keyspace@3__:l", "rename_to"] ["pmessage", "__key*", "__keyspace@3__:l", "del"] ["pong", ""]
            "#,
        );
    }
}
