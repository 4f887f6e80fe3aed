//! The connection itself: AUTH, HELLO, SELECT, PING, ECHO, QUIT, RESET.

use crate::session::{Kind, ReplyMode};
use crate::{Acl, ArgsExt, Arity, Category, Error, Flags, Handler, Result, ServerCtx, Spec};
use base::DbIndex;
use resp::{Args, Proto};

const OPEN: Flags = Flags::NO_SCRIPT
    .or(Flags::LOADING)
    .or(Flags::STALE)
    .or(Flags::FAST)
    .or(Flags::NO_AUTH)
    .or(Flags::ALLOW_BUSY);

/// The version that HELLO, INFO and LOLWUT tell: the one whose behaviour is kept.
pub const COMPATIBLE_VERSION: &str = "7.0.15";

const WRONG_PASSWORD: Error = Error::fixed("WRONGPASS invalid username-password pair or user is disabled.");

/// AUTH [username] password
pub static AUTH: Spec = Spec {
    name: "auth",
    summary: "Authenticates the connection.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of passwords defined for the user",
    arity: Arity::AtLeast(2),
    category: Category::Connection,
    flags: OPEN.or(Flags::SENTINEL),
    acl: Acl::CONNECTION,
    args: "[username] password",
    history: &[("6.0.0", "Added ACL style (username and password).")],
    secrets: Some(|args| (1..args.len().min(3)).collect()),
    handler: Handler::Server(auth),
    ..Spec::BASE
};

fn auth(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let (user, password): (&[u8], &[u8]) = match args.len() {
        2 => {
            if ctx.engine.data.settings.password.is_none() {
                return Err(Error::fixed(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure \
                     your configuration is correct?",
                ));
            }
            (b"default", args.get(1))
        }
        3 => (args.get(1), args.get(2)),
        _ => return Err(Error::Syntax),
    };
    log_in(ctx, user, password)?;
    ctx.reply.ok();
    Ok(())
}

/// Makes the session authenticated if user and password are right.
fn log_in(ctx: &mut ServerCtx<'_>, user: &[u8], password: &[u8]) -> Result {
    let known = user == b"default";
    let right = match &ctx.engine.data.settings.password {
        // A default user without a password takes any.
        None => true,
        Some(expected) => equal_in_constant_time(expected, password),
    };
    if !(known && right) {
        return Err(WRONG_PASSWORD);
    }
    ctx.session_mut().authenticated = true;
    Ok(())
}

/// Compares two byte strings in a time that depends on their lengths only.
fn equal_in_constant_time(expected: &[u8], given: &[u8]) -> bool {
    let mut difference = expected.len() ^ given.len();
    for at in 0..given.len().max(1) {
        // An index that wraps keeps the loop going over all given bytes, whatever the expected length.
        let left = expected.get(at % expected.len().max(1)).copied().unwrap_or(0);
        let right = given.get(at).copied().unwrap_or(1);
        difference |= usize::from(std::hint::black_box(left ^ right));
    }
    std::hint::black_box(difference) == 0
}

/// HELLO [protover [AUTH username password] [SETNAME clientname]]
pub static HELLO: Spec = Spec {
    name: "hello",
    summary: "Agrees on the protocol, and may authenticate and name the connection.",
    since: "6.0.0",
    arity: Arity::AtLeast(1),
    category: Category::Connection,
    flags: OPEN.or(Flags::SENTINEL),
    acl: Acl::CONNECTION,
    args: "[protover [AUTH username password] [SETNAME clientname]]",
    history: &[(
        "6.2.0",
        "`protover` made optional; when called without arguments the command reports the current connection's context.",
    )],
    secrets: Some(secrets_of_hello),
    handler: Handler::Server(hello),
    ..Spec::BASE
};

/// User and password of its AUTH option.
fn secrets_of_hello(args: Args<'_>) -> Vec<usize> {
    let auth = (2..args.len()).find(|at| args.is(*at, "auth"));
    let words = auth.map_or(0..0, |at| at + 1..args.len().min(at + 3));
    words.collect()
}

/// Options take effect as they are read, as stock does: a wrong password is told before a later option is looked at.
fn hello(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let mut proto = None;
    if let Some(version) = args.try_get(1) {
        let version = base::number::parse_i64(version)
            .ok_or(Error::fixed("ERR Protocol version is not an integer or out of range"))?;
        proto = Some(Proto::from_version(version).ok_or(Error::fixed("NOPROTO unsupported protocol version"))?);
    }
    let mut at = 2;
    while at < args.len() {
        let more = args.len() - 1 - at;
        if args.is(at, "auth") && more >= 2 {
            log_in(ctx, args.get(at + 1), args.get(at + 2))?;
            at += 3;
        } else if args.is(at, "setname") && more >= 1 {
            ctx.session_mut().name = super::client::checked_name(args.get(at + 1))?.to_vec();
            at += 2;
        } else {
            return Err(Error::err(format_args!(
                "Syntax error in HELLO option '{}'",
                args.text(at)
            )));
        }
    }
    if !ctx.session().authenticated {
        return Err(Error::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(proto) = proto {
        ctx.session_mut().proto = proto;
        ctx.reply.set_proto(proto);
    }
    write_greeting(ctx);
    Ok(())
}

fn write_greeting(ctx: &mut ServerCtx<'_>) {
    let replica = ctx.engine.data.settings.role == crate::settings::Role::Replica;
    let (number, proto) = (ctx.session_id.number, ctx.session().proto);
    let reply = &mut ctx.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(COMPATIBLE_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(proto.version());
    reply.bulk(b"id");
    reply.int(number as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(if replica { b"replica" } else { b"master" });
    reply.bulk(b"modules");
    reply.array(0);
}

/// SELECT index
pub static SELECT: Spec = Spec {
    name: "select",
    summary: "Changes the database that the connection's commands see.",
    since: "1.0.0",
    arity: Arity::Exactly(2),
    category: Category::Connection,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    acl: Acl::CONNECTION,
    args: "index",
    handler: Handler::Server(select),
    ..Spec::BASE
};

fn select(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let databases = ctx.engine.data.keyspace.databases();
    ctx.session_mut().db = args.db(1, databases)?;
    ctx.reply.ok();
    Ok(())
}

/// PING [message]
pub static PING: Spec = Spec {
    name: "ping",
    summary: "Answers PONG, or the message.",
    since: "1.0.0",
    arity: Arity::AtLeast(1),
    category: Category::Connection,
    flags: Flags::FAST.or(Flags::SENTINEL).or(Flags::PUBSUB_MODE),
    acl: Acl::CONNECTION,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    args: "[message]",
    handler: Handler::Server(ping),
    ..Spec::BASE
};

fn ping(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let message = match args.len() {
        1 => None,
        2 => Some(args.get(1)),
        _ => return Err(Error::arity("ping")),
    };
    if ctx.session().is_confined_to_pubsub() {
        ctx.reply.array(2);
        ctx.reply.bulk(b"pong");
        ctx.reply.bulk(message.unwrap_or_default());
    } else {
        match message {
            None => ctx.reply.simple("PONG"),
            Some(message) => ctx.reply.bulk(message),
        }
    }
    Ok(())
}

/// ECHO message
pub static ECHO: Spec = Spec {
    name: "echo",
    summary: "Answers the message.",
    since: "1.0.0",
    arity: Arity::Exactly(2),
    category: Category::Connection,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    acl: Acl::CONNECTION,
    args: "message",
    handler: Handler::Server(echo),
    ..Spec::BASE
};

fn echo(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    ctx.reply.bulk(args.get(1));
    Ok(())
}

/// QUIT
pub static QUIT: Spec = Spec {
    name: "quit",
    summary: "Closes the connection.",
    since: "1.0.0",
    arity: Arity::AtLeast(1),
    category: Category::Connection,
    flags: OPEN.or(Flags::PUBSUB_MODE),
    acl: Acl::CONNECTION,
    handler: Handler::Server(quit),
    ..Spec::BASE
};

fn quit(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    ctx.session_mut().close_after_reply = true;
    ctx.reply.ok();
    Ok(())
}

/// RESET
pub static RESET: Spec = Spec {
    name: "reset",
    summary: "Puts the connection back into the state of a new one.",
    since: "6.2.0",
    arity: Arity::Exactly(1),
    category: Category::Connection,
    flags: OPEN.or(Flags::PUBSUB_MODE),
    acl: Acl::CONNECTION,
    handler: Handler::Server(reset),
    ..Spec::BASE
};

fn reset(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    if ctx.session().kind != Kind::Normal {
        return Err(Error::fixed("ERR can only reset normal client connections"));
    }
    let id = ctx.session_id;
    let authenticated = ctx.engine.data.settings.password.is_none();
    super::transaction::discard(ctx.engine, id);
    ctx.engine.remove_monitor(id);
    ctx.engine.unsubscribe_all(id);
    ctx.engine.stop_caching(id);
    let session = ctx.session_mut();
    session.db = DbIndex(0);
    session.proto = Proto::Resp2;
    session.name.clear();
    session.authenticated = authenticated;
    session.no_touch = false;
    session.reply_mode = ReplyMode::On;
    ctx.reply.set_proto(Proto::Resp2);
    ctx.reply.simple("RESET");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::equal_in_constant_time;

    #[test]
    fn passwords_are_compared_whole() {
        assert!(equal_in_constant_time(b"secret", b"secret"));
        for wrong in [b"secre".as_slice(), b"secrett", b"", b"Secret", b"secretsecret"] {
            assert!(!equal_in_constant_time(b"secret", wrong));
        }
        assert!(!equal_in_constant_time(b"", b"x"));
    }
}
