//! CLIENT: what connections there are, and what may be done to them.

use super::tracking;
use crate::blocking::GiveUp;
use crate::execute::Engine;
use crate::host::Notice;
use crate::pause::{PauseKind, PausePurpose};
use crate::pubsub::Scope;
use crate::session::{Blocked, Kind, ReplyMode, Session, SessionId};
use crate::{Acl, ArgsExt, Arity, Category, Error, Flags, Handler, Result, ServerCtx, Spec};
use resp::Args;
use std::fmt::Write;

/// CLIENT
pub static CLIENT: Spec = Spec {
    name: "client",
    summary: "Looks at connections and acts on them.",
    since: "2.4.0",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    category: Category::Connection,
    handler: Handler::Container,
    subcommands: &[
        &tracking::CACHING,
        &GETNAME,
        &tracking::GETREDIR,
        &HELP,
        &ID,
        &INFO,
        &KILL,
        &LIST,
        &NO_EVICT,
        &NO_TOUCH,
        &PAUSE,
        &REPLY,
        &SETINFO,
        &SETNAME,
        &tracking::TRACKING,
        &tracking::TRACKINGINFO,
        &UNBLOCK,
        &UNPAUSE,
    ],
    ..Spec::BASE
};

const OWN: Flags = Flags::NO_SCRIPT.or(Flags::LOADING).or(Flags::STALE);
const ADMIN: Flags = OWN.or(Flags::ADMIN);

/// What the subcommands share.
pub(super) const SUBCOMMAND: Spec = Spec {
    category: Category::Connection,
    acl: Acl::CONNECTION,
    flags: OWN,
    ..Spec::BASE
};

static ID: Spec = Spec {
    name: "id",
    summary: "Tells the connection's number.",
    since: "5.0.0",
    arity: Arity::Exactly(2),
    handler: Handler::Server(|ctx, _| {
        ctx.reply.int(ctx.session_id.number as i64);
        Ok(())
    }),
    ..SUBCOMMAND
};

static GETNAME: Spec = Spec {
    name: "getname",
    summary: "Tells the connection's name.",
    since: "2.6.9",
    arity: Arity::Exactly(2),
    handler: Handler::Server(|ctx, _| {
        match &ctx.engine.sessions[ctx.session_id].name[..] {
            [] => ctx.reply.null(),
            name => ctx.reply.bulk(name),
        }
        Ok(())
    }),
    ..SUBCOMMAND
};

static SETNAME: Spec = Spec {
    name: "setname",
    summary: "Names the connection.",
    since: "2.6.9",
    arity: Arity::Exactly(3),
    args: "connection-name",
    handler: Handler::Server(|ctx, args| {
        ctx.session_mut().name = checked_name(args.get(2))?.to_vec();
        ctx.reply.ok();
        Ok(())
    }),
    ..SUBCOMMAND
};

/// A connection's name, if it has no character that would break CLIENT LIST's lines.
pub(super) fn checked_name(name: &[u8]) -> Result<&[u8]> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(name);
    }
    Err(Error::fixed(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

static INFO: Spec = Spec {
    name: "info",
    summary: "Describes this connection.",
    since: "6.2.0",
    arity: Arity::Exactly(2),
    tips: &["nondeterministic_output"],
    handler: Handler::Server(|ctx, _| {
        let line = describe(ctx.engine, ctx.session());
        ctx.reply.verbatim("txt", format!("{line}\n").as_bytes());
        Ok(())
    }),
    ..SUBCOMMAND
};

static LIST: Spec = Spec {
    name: "list",
    summary: "Describes all connections.",
    since: "2.4.0",
    complexity: "O(N) where N is the number of client connections",
    arity: Arity::AtLeast(2),
    flags: ADMIN,
    tips: &["nondeterministic_output"],
    args: "[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id [client-id ...]]",
    handler: Handler::Server(list),
    ..SUBCOMMAND
};

fn list(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let mut kind = None;
    let mut numbers = None;
    if args.len() == 4 && args.is(2, "type") {
        kind = Some(ClientType::parse(args.get(3))?);
    } else if args.len() > 3 && args.is(2, "id") {
        let parse = |word| base::number::parse_i64(word).ok_or(Error::fixed("ERR Invalid client ID"));
        numbers = Some(args.iter().skip(3).map(parse).collect::<Result<Vec<i64>>>()?);
    } else if args.len() != 2 {
        return Err(Error::Syntax);
    }
    let engine = &*ctx.engine;
    let mut text = String::new();
    let mut add = |session: &Session| text.push_str(&(describe(engine, session) + "\n"));
    match numbers {
        Some(numbers) => {
            numbers
                .iter()
                .filter_map(|number| engine.sessions.by_number(*number as u64))
                .for_each(&mut add);
        }
        None => engine
            .sessions
            .iter_by_age()
            .filter(|session| kind.is_none_or(|kind| ClientType::of(session) == kind))
            .for_each(&mut add),
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The kinds of client that filters tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientType {
    Normal,
    Replica,
    Pubsub,
    Master,
}

impl ClientType {
    fn parse(word: &[u8]) -> Result<Self> {
        match &word.to_ascii_lowercase()[..] {
            b"normal" => Ok(Self::Normal),
            b"replica" | b"slave" => Ok(Self::Replica),
            b"pubsub" => Ok(Self::Pubsub),
            b"master" => Ok(Self::Master),
            _ => Err(Error::err(format_args!(
                "Unknown client type '{}'",
                String::from_utf8_lossy(word)
            ))),
        }
    }

    fn of(session: &Session) -> Self {
        match session.kind {
            Kind::Primary => Self::Master,
            Kind::Replica => Self::Replica,
            Kind::Normal if session.subscriptions.is_some() => Self::Pubsub,
            Kind::Normal => Self::Normal,
        }
    }
}

/// One line of CLIENT LIST, without its end.
pub fn describe(engine: &Engine, session: &Session) -> String {
    let now = engine.now;
    let mut line = format!("id={} addr={}", session.id.number, session.peer.address);
    let seconds_since = |then: base::Now| now.mono_ms().saturating_sub(then.mono_ms()) / 1000;
    let queued = session.transaction.as_ref().map_or(-1, |t| t.commands() as i64);
    let multi_bytes = session.transaction.as_ref().map_or(0, |t| t.bytes);
    let subscriptions = session.subscriptions.as_ref();
    let listens_to = |scope| subscriptions.map_or(0, |all| all.names(scope).len());
    let command = session.last_command.map_or("NULL", |id| &engine.table[id].full_name);
    // Stock has a first buffer of fixed size and a list of further ones.
    let pending = session.unsent_bytes();
    let first = pending.min(Session::REPLY_BUFFER_BYTES);
    let (further, blocks) = (pending - first, (pending - first).div_ceil(Session::REPLY_BUFFER_BYTES));
    let total = engine.client_bytes(session);
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        " laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={queued} qbuf={} qbuf-free={} \
         argv-mem={} multi-mem={multi_bytes} rbs={} rbp={} obl={first} oll={blocks} omem={further} tot-mem={total} events={} \
         cmd={command} user={} redir={} resp={} lib-name={} lib-ver={}",
        session.peer.local_address,
        session.peer.fd,
        String::from_utf8_lossy(&session.name),
        seconds_since(session.created),
        seconds_since(session.last_active),
        flags(engine, session),
        session.db.0,
        listens_to(Scope::Channel),
        listens_to(Scope::Pattern),
        listens_to(Scope::Shard),
        session.query_bytes,
        session
            .query_capacity
            .saturating_sub(session.query_bytes + session.argument_bytes),
        session.argument_bytes,
        session
            .out
            .capacity()
            .clamp(Session::LEAST_REPLY_BUFFER_BYTES, Session::REPLY_BUFFER_BYTES),
        session.out_peak.min(Session::REPLY_BUFFER_BYTES),
        if pending > 0 { "rw" } else { "r" },
        if session.authenticated {
            "default"
        } else {
            "(superuser)"
        },
        session.redirect_number(),
        session.proto.version(),
        String::from_utf8_lossy(&session.library.name),
        String::from_utf8_lossy(&session.library.version),
    );
    line
}

fn flags(engine: &Engine, session: &Session) -> String {
    let caching = session.caching.as_ref();
    let letters = [
        (session.kind == Kind::Replica, 'S'),
        (session.monitor, 'O'),
        (session.kind == Kind::Primary, 'M'),
        (session.subscriptions.is_some(), 'P'),
        (session.transaction.is_some(), 'x'),
        (session.blocked.is_some(), 'b'),
        (caching.is_some(), 't'),
        (caching.is_some_and(|caching| caching.broken_redirect), 'R'),
        (caching.is_some_and(|caching| caching.broadcast.is_some()), 'B'),
        (engine.data.watch.is_broken(session.id), 'd'),
        (session.close_after_reply, 'c'),
        (session.close_now, 'A'),
        (session.peer.unix_socket, 'U'),
        (session.no_evict, 'e'),
        (session.no_touch, 'T'),
    ];
    let text: String = letters
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, letter)| *letter)
        .collect();
    if text.is_empty() { "N".into() } else { text }
}

static KILL: Spec = Spec {
    name: "kill",
    summary: "Closes connections.",
    since: "2.4.0",
    complexity: "O(N) where N is the number of client connections",
    arity: Arity::AtLeast(3),
    flags: ADMIN,
    args: "ip:port|<[ID client-id] [TYPE NORMAL|MASTER|SLAVE|REPLICA|PUBSUB] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME yes/no]>",
    handler: Handler::Server(kill),
    ..SUBCOMMAND
};

/// Which connections CLIENT KILL means. All that is given must fit.
#[derive(Default)]
struct Filter {
    number: Option<u64>,
    kind: Option<ClientType>,
    address: Option<Vec<u8>>,
    local_address: Option<Vec<u8>>,
    user: bool,
    keep_own: bool,
}

impl Filter {
    fn parse(args: Args<'_>) -> Result<Self> {
        let mut filter = Self {
            keep_own: true,
            ..Self::default()
        };
        let mut at = 2;
        while at < args.len() {
            let Some(value) = args.try_get(at + 1) else {
                return Err(Error::Syntax);
            };
            if args.is(at, "id") {
                let number = base::number::parse_i64(value).filter(|number| *number > 0);
                filter.number = Some(number.ok_or(Error::fixed("ERR client-id should be greater than 0"))? as u64);
            } else if args.is(at, "type") {
                filter.kind = Some(ClientType::parse(value)?);
            } else if args.is(at, "addr") {
                filter.address = Some(value.to_vec());
            } else if args.is(at, "laddr") {
                filter.local_address = Some(value.to_vec());
            } else if args.is(at, "user") {
                if value != b"default" {
                    return Err(Error::err(format_args!("No such user '{}'", args.text(at + 1))));
                }
                filter.user = true;
            } else if args.is(at, "skipme") && args.is(at + 1, "yes") {
                filter.keep_own = true;
            } else if args.is(at, "skipme") && args.is(at + 1, "no") {
                filter.keep_own = false;
            } else {
                return Err(Error::Syntax);
            }
            at += 2;
        }
        Ok(filter)
    }

    fn fits(&self, session: &Session, own: SessionId) -> bool {
        let is = |wanted: &Option<Vec<u8>>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text.as_bytes());
        self.number.is_none_or(|number| number == session.id.number)
            && self.kind.is_none_or(|kind| kind == ClientType::of(session))
            && is(&self.address, &session.peer.address)
            && is(&self.local_address, &session.peer.local_address)
            && (!self.user || session.authenticated)
            && !(self.keep_own && session.id == own)
    }
}

fn kill(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let by_address = args.len() == 3;
    let filter = if by_address {
        Filter {
            address: Some(args.get(2).to_vec()),
            ..Filter::default()
        }
    } else {
        Filter::parse(args)?
    };
    let own = ctx.session_id;
    let doomed: Vec<SessionId> = ctx
        .engine
        .sessions
        .iter()
        .filter(|session| filter.fits(session, own))
        .map(|session| session.id)
        .collect();
    for id in &doomed {
        if *id == own {
            ctx.session_mut().close_after_reply = true;
        } else {
            ctx.engine.sessions[*id].close_now = true;
            ctx.engine.forget_wait(*id);
            ctx.notice(Notice::Close(*id));
        }
    }
    match (by_address, doomed.len()) {
        (true, 0) => return Err(Error::fixed("ERR No such client")),
        (true, _) => ctx.reply.ok(),
        (false, count) => ctx.reply.int(count as i64),
    }
    Ok(())
}

static REPLY: Spec = Spec {
    name: "reply",
    summary: "Turns the connection's replies on or off.",
    since: "3.2.0",
    arity: Arity::Exactly(3),
    args: "ON|OFF|SKIP",
    handler: Handler::Server(reply_mode),
    ..SUBCOMMAND
};

fn reply_mode(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let session = &mut ctx.engine.sessions[ctx.session_id];
    if args.is(2, "on") {
        session.reply_mode = ReplyMode::On;
        ctx.reply.ok();
    } else if args.is(2, "off") {
        session.reply_mode = ReplyMode::Off;
    } else if args.is(2, "skip") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Error::Syntax);
    }
    Ok(())
}

/// Whether word `at` is ON.
fn on_or_off(args: Args<'_>, at: usize) -> Result<bool> {
    match () {
        () if args.is(at, "on") => Ok(true),
        () if args.is(at, "off") => Ok(false),
        () => Err(Error::Syntax),
    }
}

static NO_EVICT: Spec = Spec {
    name: "no-evict",
    summary: "Lets client eviction pass this connection over.",
    since: "7.0.0",
    arity: Arity::Exactly(3),
    flags: ADMIN,
    args: "ON|OFF",
    handler: Handler::Server(|ctx, args| {
        ctx.session_mut().no_evict = on_or_off(args, 2)?;
        ctx.reply.ok();
        Ok(())
    }),
    ..SUBCOMMAND
};

static NO_TOUCH: Spec = Spec {
    name: "no-touch",
    summary: "Makes the connection's commands leave the access clocks of keys alone.",
    since: "7.2.0",
    arity: Arity::Exactly(3),
    args: "<ON|OFF>",
    handler: Handler::Server(|ctx, args| {
        ctx.session_mut().no_touch = on_or_off(args, 2)?;
        ctx.reply.ok();
        Ok(())
    }),
    ..SUBCOMMAND
};

static SETINFO: Spec = Spec {
    name: "setinfo",
    summary: "Tells name and version of the library that the client uses.",
    since: "7.2.0",
    arity: Arity::Exactly(4),
    args: "<LIB-NAME libname|LIB-VER libver>",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    handler: Handler::Server(set_info),
    ..SUBCOMMAND
};

fn set_info(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let is_name = args.is(2, "lib-name");
    if !is_name && !args.is(2, "lib-ver") {
        let line = [b"ERR Unrecognized option '", crate::error::quoted(args.get(2)), b"'"].concat();
        return Err(Error::quoting(line));
    }
    let value = args.get(3);
    if !value.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        let option = if is_name { "lib-name" } else { "lib-ver" };
        return Err(Error::err(format_args!(
            "{option} cannot contain spaces, newlines or special characters."
        )));
    }
    let library = &mut ctx.session_mut().library;
    let field = if is_name {
        &mut library.name
    } else {
        &mut library.version
    };
    *field = value.to_vec();
    ctx.reply.ok();
    Ok(())
}

static PAUSE: Spec = Spec {
    name: "pause",
    summary: "Holds clients' commands back for a while.",
    since: "2.9.50",
    arity: Arity::AtLeast(3),
    flags: ADMIN,
    args: "timeout [WRITE|ALL]",
    history: &[("6.2.0", "`CLIENT PAUSE WRITE` mode added along with the `mode` option.")],
    handler: Handler::Server(pause),
    ..SUBCOMMAND
};

fn pause(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let kind = match args.len() {
        3 => PauseKind::All,
        4 if args.is(3, "write") => PauseKind::Write,
        4 if args.is(3, "all") => PauseKind::All,
        4 => return Err(Error::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(Error::Syntax),
    };
    let until_ms = deadline_ms(args.get(2), ctx.now.mono_ms())?;
    ctx.engine.pauses.begin(PausePurpose::Command, kind, until_ms);
    ctx.engine.data.expiry_paused = true;
    ctx.reply.ok();
    Ok(())
}

/// The moment `word` milliseconds from now, on the monotonic clock.
fn deadline_ms(word: &[u8], now_ms: u64) -> Result<u64> {
    let bad = Error::fixed("ERR timeout is not an integer or out of range");
    let timeout = base::number::parse_i64(word).ok_or(bad.clone())?;
    if timeout < 0 {
        return Err(Error::fixed("ERR timeout is negative"));
    }
    if timeout > i64::MAX - now_ms as i64 {
        return Err(Error::fixed("ERR timeout is out of range"));
    }
    Ok(now_ms + timeout as u64)
}

static UNPAUSE: Spec = Spec {
    name: "unpause",
    summary: "Ends CLIENT PAUSE.",
    since: "6.2.0",
    complexity: "O(N) Where N is the number of paused clients",
    arity: Arity::Exactly(2),
    flags: ADMIN,
    handler: Handler::Server(|ctx, _| {
        ctx.engine.end_pause(PausePurpose::Command);
        ctx.reply.ok();
        Ok(())
    }),
    ..SUBCOMMAND
};

static UNBLOCK: Spec = Spec {
    name: "unblock",
    summary: "Makes a blocked connection go on, as if its time were up or with an error.",
    since: "5.0.0",
    complexity: "O(log N) where N is the number of client connections",
    arity: Arity::AtLeast(3),
    flags: ADMIN,
    args: "client-id [TIMEOUT|ERROR]",
    handler: Handler::Server(unblock),
    ..SUBCOMMAND
};

/// Commands that wait for keys, and WAIT, can be made to go on.
fn unblock(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let with_error = args.is(3, "error");
    if args.len() > 4 {
        return Err(Error::fixed(
            "ERR unknown subcommand or wrong number of arguments for 'unblock'. Try CLIENT HELP.",
        ));
    }
    if args.len() == 4 && !args.is(3, "timeout") && !with_error {
        return Err(Error::fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    }
    let number = args.int(2)?;
    let waits = |session: &Session| matches!(session.blocked, Some(Blocked::Keys | Blocked::Wait { .. }));
    let target = ctx.engine.sessions.by_number(number as u64);
    let Some((id, blocked)) = target.filter(|session| waits(session)).map(|s| (s.id, s.blocked)) else {
        ctx.reply.int(0);
        return Ok(());
    };
    let acknowledged = match blocked {
        Some(Blocked::Wait { offset, .. }) => ctx.host.end_wait(ctx.engine, id, offset),
        _ => 0,
    };
    if with_error {
        ctx.engine
            .unblock_with_error(id, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    } else if blocked == Some(Blocked::Keys) {
        ctx.engine.give_up(id, GiveUp::Unblocked);
    } else {
        ctx.engine.answer_blocked(id, |reply| reply.int(acknowledged as i64));
    }
    ctx.reply.int(1);
    Ok(())
}

static HELP: Spec = Spec {
    name: "help",
    summary: "Lists the subcommands.",
    since: "5.0.0",
    arity: Arity::Exactly(2),
    flags: Flags::LOADING.or(Flags::STALE),
    handler: Handler::Server(|ctx, _| {
        super::help::write(&mut ctx.reply, "CLIENT", HELP_LINES);
        Ok(())
    }),
    ..SUBCOMMAND
};

const HELP_LINES: &[(&str, &str)] = &[
    ("CACHING (YES|NO)", "Whether the keys of the next command are tracked."),
    ("GETNAME", "The name of this connection."),
    ("GETREDIR", "Which connection hears of the keys that this one caches."),
    ("ID", "The number of this connection."),
    ("INFO", "A line that describes this connection."),
    ("KILL <ip:port>", "Closes the connection from this address."),
    (
        "KILL <option> <value> [<option> <value> [...]]",
        "Closes all connections that fit: ID, TYPE, USER, ADDR, LADDR, SKIPME.",
    ),
    (
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> [...]]",
        "A line for each connection.",
    ),
    (
        "NO-EVICT (ON|OFF)",
        "Whether client eviction passes this connection over.",
    ),
    (
        "NO-TOUCH (ON|OFF)",
        "Whether commands of this connection leave access clocks alone.",
    ),
    (
        "PAUSE <timeout> [WRITE|ALL]",
        "Holds commands, or just writes, back for so many milliseconds.",
    ),
    ("REPLY (ON|OFF|SKIP)", "Which replies this connection gets."),
    ("SETINFO (LIB-NAME|LIB-VER) <value>", "Names the client's library."),
    ("SETNAME <name>", "Names this connection."),
    (
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
        "Tracks the keys that this connection caches.",
    ),
    ("TRACKINGINFO", "How this connection caches."),
    (
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "Makes a blocked connection go on.",
    ),
    ("UNPAUSE", "Ends PAUSE."),
];

impl Engine {
    /// Bytes of memory that a session holds: its buffers, what it has queued, and what it watches and listens to.
    #[must_use]
    pub fn client_bytes(&self, session: &Session) -> usize {
        /// What a name costs in the indexes, its text aside, which may be shared.
        const NAME_BYTES: usize = 64;
        let queued = session.transaction.as_ref().map_or(0, |transaction| transaction.bytes);
        let listens = session.subscriptions.as_ref().map_or(0, |all| all.count());
        let caching = session.caching.as_ref().and_then(|caching| caching.broadcast.as_ref());
        let prefixes = caching.map_or(0, |prefixes| prefixes.len());
        let names = listens + prefixes + self.data.watch.count_of(session.id);
        size_of::<Session>() + session.query_capacity + session.out.capacity() + queued + names * NAME_BYTES
    }

    /// Ends a pause, and lets those go on whom no other pause holds back.
    pub fn end_pause(&mut self, purpose: PausePurpose) {
        self.pauses.end(purpose);
        self.resume_postponed();
    }

    /// Lets sessions that a pause held back go on, unless a pause is still in force.
    pub fn resume_postponed(&mut self) {
        self.data.expiry_paused = self.pauses.in_force().is_some();
        let held = |session: &&mut Session| session.blocked == Some(Blocked::Postponed);
        for session in self.sessions.iter_mut().filter(held) {
            session.blocked = None;
            self.data.notices.push(Notice::Resume(session.id));
        }
    }
}
