//! The executor: one way for every command, whoever sent it.
//!
//! ```text
//!   execute ─► look up ─► arity ─► gates ─┬─► refuse: error reply, an open MULTI is poisoned
//!                                         ├─► postpone: the request stays unread until the pause ends
//!                                         ├─► queue: an open MULTI takes it, +QUEUED
//!                                         └─► run ─► handler ─► propagate ─► count, slow log, monitors
//! ```

mod account;
mod deliver;
mod on_keys;
mod straight;

use crate::ahead::Noted;
use crate::blocking::Chance;
use crate::commands::migrate::Pending;
use crate::error::{Error, quoted};
use crate::eviction::{Evictor, Room};
use crate::gates::{self, Request, Verdict};
use crate::host::{Host, Level, Notice, ServerCtx};
use crate::keys::Data;
use crate::latency::LatencyMonitor;
use crate::pause::Pauses;
use crate::pubsub::PubSub;
use crate::session::{Blocked, Peer, Session, SessionId, Sessions};
use crate::slowlog::Slowlog;
use crate::spec::{Flags, Handler, Spec};
use crate::table::{CommandId, CommandTable, Lookup};
use crate::tracking::Tracking;
use account::without_secrets;
use base::Now;
use on_keys::{Seen, run_on_keys};
use resp::{Args, OwnedArgs, Reply};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It was answered (or queued): the next may come.
    Done,
    /// It was answered or will be later, and the session executes nothing more for now.
    Blocked,
    /// It was not executed and must be offered again when the session is resumed.
    Postponed,
    /// The session must be closed once its output is sent.
    Close,
}

/// The single writer.
pub struct Engine {
    /// Keys and all that follows their changes.
    pub data: Data,
    /// Connections.
    pub sessions: Sessions,
    /// Commands.
    pub table: CommandTable,
    /// Who listens to what.
    pub pubsub: PubSub,
    /// A MIGRATE whose keys are on their way.
    pub(crate) migration: Option<Pending>,
    /// Who caches which keys.
    pub tracking: Tracking,
    /// Commands that took long.
    pub slowlog: Slowlog,
    /// Events that took long.
    pub latency: LatencyMonitor,
    /// Clients held back.
    pub pauses: Pauses,
    /// What goes when memory reaches its limit.
    pub evictor: Evictor,
    /// The clocks: set at each turn of the loop, moved on by each command.
    pub now: Now,
    /// Reads the monotonic clock in microseconds, to time commands by.
    clock: fn() -> u64,
    /// EXEC is running its queue.
    in_exec: bool,
    monitors: Vec<SessionId>,
    /// When the log last told of an HTTP request, monotonic ms.
    warned_of_attack_ms: Option<u64>,
    scratch: Vec<u8>,
    /// The name of a channel of keyspace events, while one is being told.
    channel: Vec<u8>,
    /// What the session that is executing was sent by what it did itself, apart from its reply.
    own_pushes: Vec<u8>,
    /// What it was told of keys that it caches and changed: this follows the reply.
    pub(crate) own_invalid: Vec<u8>,
}

impl Engine {
    /// An engine of `databases` databases that knows these commands. `clock` reads the monotonic clock (µs).
    #[must_use]
    pub fn new<'a>(
        databases: u32,
        seed: u64,
        clock: fn() -> u64,
        specs: impl IntoIterator<Item = &'a &'static Spec>,
    ) -> Self {
        Self {
            data: Data::new(databases, seed),
            sessions: Sessions::default(),
            table: CommandTable::new(specs),
            pubsub: PubSub::new(seed ^ 0x9b5),
            migration: None,
            tracking: Tracking::new(seed ^ 0x7ac),
            slowlog: Slowlog::default(),
            latency: LatencyMonitor::default(),
            pauses: Pauses::default(),
            evictor: Evictor::default(),
            now: Now::default(),
            clock,
            in_exec: false,
            monitors: Vec::new(),
            warned_of_attack_ms: None,
            scratch: Vec::new(),
            channel: Vec::new(),
            own_pushes: Vec::new(),
            own_invalid: Vec::new(),
        }
    }

    /// Sets the clocks at the beginning of a turn of the loop.
    pub fn begin_turn(&mut self, now: Now) {
        self.now = now;
        let lfu = self.data.settings.lfu;
        let seconds = now.unix_ms().seconds();
        let clock = if lfu { seconds / 60 } else { seconds };
        self.data.access_clock = (clock & 0xff_ffff) as u32;
    }

    /// Opens a session.
    pub fn open(&mut self, peer: Peer) -> SessionId {
        let authenticated = self.data.settings.password.is_none();
        self.data.stats.connections += 1;
        self.sessions.open(peer, self.now, authenticated)
    }

    /// Closes a session and forgets what it watched and monitored.
    pub fn close(&mut self, id: SessionId) {
        self.data.watch.unwatch(id);
        self.forget_wait(id);
        self.monitors.retain(|other| *other != id);
        self.unsubscribe_all(id);
        self.stop_caching(id);
        self.sessions.close(id);
    }

    /// The monitors: whatever any session executes adds to their output.
    #[must_use]
    pub fn monitors(&self) -> &[SessionId] {
        &self.monitors
    }

    /// Makes a session a monitor.
    pub fn add_monitor(&mut self, id: SessionId) {
        if !self.monitors.contains(&id) {
            self.monitors.push(id);
        }
        self.sessions[id].monitor = true;
    }

    /// Makes a session a normal client again.
    pub fn remove_monitor(&mut self, id: SessionId) {
        self.monitors.retain(|other| *other != id);
        self.sessions[id].monitor = false;
    }

    /// Whether EXEC is running its queue: what would block answers at once then.
    #[must_use]
    pub fn in_exec(&self) -> bool {
        self.in_exec
    }

    /// The command that a request means.
    #[must_use]
    #[inline]
    pub fn look_up(&self, args: Args<'_>) -> Lookup {
        self.table.look_up(args.get(0), args.try_get(1))
    }

    /// Executes one request of a session.
    pub fn execute(&mut self, host: &mut dyn Host, id: SessionId, args: Args<'_>) -> Flow {
        self.execute_known(host, id, self.look_up(args), args)
    }

    /// Executes one request of a session, already looked up with [`Self::look_up`].
    pub fn execute_known(&mut self, host: &mut dyn Host, id: SessionId, lookup: Lookup, args: Args<'_>) -> Flow {
        let command = match self.admit(lookup, args) {
            Ok(command) => command,
            Err((command, error)) => return self.turn_away(id, command, &error, args),
        };
        let session = &mut self.sessions[id];
        session.last_active = self.now;
        session.last_command = Some(command);
        let ordinary = session.is_ordinary();
        if self.data.settings.maxmemory == 0 {
            self.evictor.note_within(self.now.mono_us);
            self.data.settings.out_of_memory = false;
        } else {
            self.data.settings.out_of_memory = self.make_room(host) == Room::Full;
        }
        if self.data.outbox.someone_caches {
            self.limit_tracked_keys(self.data.settings.tracked_keys_max);
        }
        // Whoever hears of what had to go hears it before any reply.
        self.deliver();
        if ordinary && gates::are_open(&self.table[command], &self.data.settings) && !self.pauses.are_any() {
            self.run_top_level(host, id, command, args);
            return self.after(id);
        }
        match gates::check(&self.request(id, command), &self.data.settings) {
            Verdict::Run => {}
            Verdict::Refuse(error) => {
                self.refuse(id, Some(command), &error);
                return self.after(id);
            }
            Verdict::Postpone => {
                self.sessions[id].blocked = Some(Blocked::Postponed);
                return Flow::Postponed;
            }
        }
        if self.queues(id, command) {
            self.queue(id, command, args);
        } else {
            self.run_top_level(host, id, command, args);
        }
        self.after(id)
    }

    /// Answers a request that is no command of ours, or has the wrong number of words.
    #[cold]
    fn turn_away(&mut self, id: SessionId, command: Option<CommandId>, error: &Error, args: Args<'_>) -> Flow {
        let session = &mut self.sessions[id];
        session.last_active = self.now;
        if [&b"post"[..], b"host:"]
            .iter()
            .any(|word| args.get(0).eq_ignore_ascii_case(word))
        {
            return self.drop_attacker(id);
        }
        session.last_command = command;
        self.refuse(id, command, error);
        self.after(id)
    }

    /// Runs a command of the primary's stream: like [`Self::execute_known`], but past all gates, and nobody is answered.
    /// `judge` sees the reply. Nothing need be known of it.
    ///
    /// # Errors
    /// When the command does not exist, or not with so many words.
    pub fn execute_internal<T>(
        &mut self,
        host: &mut dyn Host,
        id: SessionId,
        (lookup, noted): (Lookup, Option<Noted>),
        args: Args<'_>,
        judge: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Error> {
        let command = self.admit(lookup, args).map_err(|(_, error)| error)?;
        let session = &self.sessions[id];
        let before = session.out.len();
        if session.transaction.is_some() && self.queues(id, command) {
            self.queue(id, command, args);
        } else {
            self.data.know_key(args, noted);
            self.run_top_level(host, id, command, args);
            self.data.known_key = None;
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(judge(&[]));
        };
        let judged = judge(&session.out[before..]);
        session.out.truncate(before);
        Ok(judged)
    }

    /// Whether a command was found, and takes so many words.
    #[inline]
    fn admit(&self, lookup: Lookup, args: Args<'_>) -> Result<CommandId, (Option<CommandId>, Error)> {
        let id = match lookup {
            Lookup::Found(id) => id,
            Lookup::Unknown | Lookup::UnknownSubcommand(_) => return Err((None, self.unknown(lookup, args))),
        };
        let command = &self.table[id];
        if !command.spec.arity.admits(args.len()) || matches!(command.spec.handler, Handler::Container) {
            return Err((Some(id), Error::arity(&command.full_name)));
        }
        Ok(id)
    }

    #[cold]
    fn unknown(&self, lookup: Lookup, args: Args<'_>) -> Error {
        match lookup {
            Lookup::UnknownSubcommand(id) => Error::unknown_subcommand(&self.table[id].full_name, args.get(1)),
            _ => unknown_command(args),
        }
    }

    fn request(&self, id: SessionId, command: CommandId) -> Request<'_> {
        let session = &self.sessions[id];
        let queues = self.queues(id, command);
        let command = &self.table[command];
        let mut flags = command.flags;
        if command.spec.name == "exec"
            && let Some(transaction) = &session.transaction
        {
            for bit in [
                Flags::WRITE,
                Flags::READONLY,
                Flags::DENY_OOM,
                Flags::MAY_REPLICATE,
                Flags::NO_ASYNC_LOADING,
            ] {
                if transaction.flags.has(bit) {
                    flags = flags.or(bit);
                }
            }
            flags = flags.without(transaction.lacking);
        }
        Request {
            command,
            session,
            flags,
            queues,
            pause: self.pauses.in_force(),
        }
    }

    /// Drops a connection that speaks HTTP: somebody's browser may be sending what a page told it to.
    fn drop_attacker(&mut self, id: SessionId) -> Flow {
        const WARN_EVERY_MS: u64 = 60_000;
        let now = self.now.mono_ms();
        if self.warned_of_attack_ms.is_none_or(|last| now >= last + WARN_EVERY_MS) {
            self.warned_of_attack_ms = Some(now);
            let text = format!(
                "Possible SECURITY ATTACK detected: {} sent an HTTP request (POST or Host:), as a web page does that is \
                 made to attack servers behind a firewall. The connection is closed.",
                self.sessions[id].peer.address
            );
            self.data.notices.push(Notice::Log(Level::Warning, text));
        }
        let session = &mut self.sessions[id];
        session.out.clear();
        session.sent = 0;
        session.close_now = true;
        Flow::Close
    }

    /// Answers with an error that came before execution.
    fn refuse(&mut self, id: SessionId, command: Option<CommandId>, error: &Error) {
        let session = &mut self.sessions[id];
        if let Some(transaction) = &mut session.transaction {
            transaction.poisoned = true;
        }
        let mut is_exec = false;
        if let Some(command) = command {
            self.table[command].stats.rejected += 1;
            is_exec = self.table[command].spec.name == "exec";
        }
        self.data
            .stats
            .count_error(if is_exec { "EXECABORT" } else { error.code() });
        let text = error.text();
        if is_exec {
            crate::commands::transaction::discard(self, id);
        }
        let session = &mut self.sessions[id];
        if session.is_primary() || !session.reply_mode.takes_reply() {
            return;
        }
        let mut reply = Reply::new(&mut session.out, session.proto);
        if is_exec {
            // Stock names the reason without its code word when that is the general one.
            let reason = text.strip_prefix("ERR ").unwrap_or(text);
            reply.error(&format!("EXECABORT Transaction discarded because of: {reason}"));
        } else {
            reply.error_bytes(error.line());
        }
    }

    fn queues(&self, id: SessionId, command: CommandId) -> bool {
        const NEVER_QUEUED: [&str; 6] = ["exec", "discard", "multi", "watch", "quit", "reset"];
        self.sessions[id].transaction.is_some() && !NEVER_QUEUED.contains(&self.table[command].full_name.as_str())
    }

    fn queue(&mut self, id: SessionId, command: CommandId, args: Args<'_>) {
        let flags = self.table[command].flags;
        if flags.has(Flags::NO_MULTI) {
            self.refuse(
                id,
                Some(command),
                &Error::fixed("ERR Command not allowed inside a transaction"),
            );
            return;
        }
        let session = &mut self.sessions[id];
        let Some(transaction) = &mut session.transaction else {
            return;
        };
        // What EXEC will refuse anyway takes no memory.
        if !transaction.poisoned && !self.data.watch.is_broken(id) {
            let args = OwnedArgs::from(args);
            transaction.bytes += args.heap_bytes() + size_of_val(&args);
            transaction.queue.push((command, args));
            transaction.flags = transaction.flags.or(flags);
            for permission in [Flags::STALE, Flags::LOADING] {
                if !flags.has(permission) {
                    transaction.lacking = transaction.lacking.or(permission);
                }
            }
        }
        if session.reply_mode.takes_reply() {
            Reply::new(&mut session.out, session.proto).simple("QUEUED");
        }
    }

    fn run_top_level(&mut self, host: &mut dyn Host, id: SessionId, command: CommandId, args: Args<'_>) {
        let session = &mut self.sessions[id];
        if session.out.capacity() < Session::LEAST_REPLY_BUFFER_BYTES {
            session.out.reserve(Session::LEAST_REPLY_BUFFER_BYTES);
        }
        self.data.reply_limit_bytes = match self.data.settings.client_output_hard_bytes {
            0 => 0,
            hard_bytes => reply_limit_bytes(session, hard_bytes),
        };
        let concerns_nobody_else =
            session.only_takes_replies() && !self.data.outbox.someone_caches && self.monitors.is_empty();
        match self.table[command].spec.handler {
            handler @ (Handler::Read(_) | Handler::Write(_)) if concerns_nobody_else => {
                self.data.blocking.begin(Self::chance_in(session.kind));
                self.run_straight(id, command, handler, args);
            }
            _ => self.run_aside(host, id, command, args),
        }
        if self.data.blocking.has_ready() {
            self.serve_ready(host);
        }
    }

    /// Runs any command, its reply first written beside the session's output: it may be sent other things meanwhile.
    fn run_aside(&mut self, host: &mut dyn Host, id: SessionId, command: CommandId, args: Args<'_>) {
        let mut out = std::mem::take(&mut self.sessions[id].out);
        let before = out.len();
        self.run(host, id, command, args, &mut out);
        match self.table[command].spec.handler {
            Handler::Read(_) => self.data.propagation.end_unit_of_reading(),
            _ => self.data.propagation.end_unit(),
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if !session.reply_mode.takes_reply() {
            out.truncate(before);
        }
        session.write_offset = self.data.propagation.offset();
        if let Some(caching) = &mut session.caching
            && session.transaction.is_none()
            && !self.table[command].full_name.starts_with("client|")
        {
            caching.asked = false;
        }
        self.give_output(id, command, out, before);
    }

    /// Gives a session its output back, in which the reply that begins at `before` now stands, and what it was sent
    /// meanwhile.
    fn give_output(&mut self, id: SessionId, command: CommandId, mut out: Vec<u8>, before: usize) {
        if !self.own_pushes.is_empty() {
            // What EXEC's commands led to must not stand inside of its reply.
            let follows = self.table[command].spec.name == "exec";
            let at = if follows { out.len() } else { before };
            out.splice(at..at, self.own_pushes.drain(..));
        }
        out.append(&mut self.own_invalid);
        let session = &mut self.sessions[id];
        // What was pushed to the session while it was executing follows the reply.
        out.append(&mut session.out);
        session.out = out;
    }

    /// Runs one command, its reply or error going to `out`. Time, errors and effects are accounted for.
    fn run(&mut self, host: &mut dyn Host, id: SessionId, command: CommandId, args: Args<'_>, out: &mut Vec<u8>) {
        let before = out.len();
        let started = self.now;
        self.data.blocking.begin(self.chance_of(id));
        let result = self.dispatch(host, id, command, args, out);
        let failed = if let Err(error) = &result {
            out.truncate(before);
            let proto = self.sessions[id].proto;
            Reply::new(out, proto).error_bytes(error.line());
            self.data.stats.count_error(error.code());
            true
        } else {
            false
        };
        if !self.data.outbox.is_empty() {
            self.deliver_from(Some(id));
        }
        if self.data.outbox.someone_caches {
            self.remember_reads(id, command, args);
        }
        self.set_own_pushes_apart(id);
        let usec = self.advance_clock();
        if let Some(asked) = self.data.blocking.take_asked() {
            self.hold(id, command, args, asked, usec);
        }
        self.account(id, command, args, usec, failed);
        let flags = self.table[command].flags;
        if !self.monitors.is_empty() && !flags.any(Flags::SKIP_MONITOR.or(Flags::ADMIN)) {
            let shown = without_secrets(self.table[command].spec, args);
            self.feed_monitors(id, shown.as_ref().map_or(args, OwnedArgs::as_args), started);
        }
    }

    /// Whether a command of this session may block. The primary's stream waits for nobody, nor does a transaction.
    fn chance_of(&self, id: SessionId) -> Chance {
        if self.in_exec || self.sessions[id].is_primary() {
            Chance::Answer
        } else {
            Chance::Block
        }
    }

    pub(crate) fn dispatch(
        &mut self,
        host: &mut dyn Host,
        id: SessionId,
        command: CommandId,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> crate::error::Result {
        if self.in_exec && self.became_read_only(id, command) {
            host.diverge(self);
        }
        let session = &self.sessions[id];
        let (seen, now) = (Seen::by(session), self.now);
        match self.table[command].spec.handler {
            on_keys @ (Handler::Read(_) | Handler::Write(_)) => {
                run_on_keys(&mut self.data, on_keys, seen, now, args, out)
            }
            Handler::Server(handler) => handler(
                &mut ServerCtx {
                    engine: self,
                    host,
                    session_id: id,
                    now,
                    reply: Reply::new(out, seen.proto),
                },
                args,
            ),
            // The lookup found a subcommand, or refused the request.
            Handler::Container => Err(Error::Syntax),
        }
    }

    /// Runs the queue of an EXEC; replies go to `reply` one after the other.
    pub(crate) fn run_queue(
        &mut self,
        host: &mut dyn Host,
        id: SessionId,
        queue: &[(CommandId, OwnedArgs)],
        reply: &mut Reply<'_>,
    ) {
        let mut out = std::mem::take(&mut self.scratch);
        self.in_exec = true;
        for (command, args) in queue {
            self.run(host, id, *command, args.as_args(), &mut out);
            reply.raw(&out);
            out.clear();
        }
        self.in_exec = false;
        self.scratch = out;
    }

    /// Whether a write stands in a queue that a primary accepted, behind a REPLICAOF: it is made, as stock servers do,
    /// and our data has no history any more.
    fn became_read_only(&self, id: SessionId, command: CommandId) -> bool {
        let settings = &self.data.settings;
        settings.role == crate::settings::Role::Replica
            && settings.replica_read_only
            && self.table[command].flags.has(Flags::WRITE)
            && !self.sessions[id].is_primary()
    }

    #[cfg(test)]
    pub(crate) fn set_clock(&mut self, clock: fn() -> u64) {
        self.clock = clock;
    }

    /// Reads the monotonic clock, in microseconds.
    #[must_use]
    pub fn read_clock(&self) -> u64 {
        (self.clock)()
    }

    /// Moves the clocks on by what has gone by since they were last set; returns it, in microseconds.
    pub(crate) fn advance_clock(&mut self) -> u64 {
        let usec = (self.clock)().saturating_sub(self.now.mono_us);
        if !self.in_exec {
            self.now.mono_us += usec;
            self.now.unix_us += usec as i64;
        }
        usec
    }

    fn after(&mut self, id: SessionId) -> Flow {
        let Some(session) = self.sessions.get_mut(id) else {
            return Flow::Close;
        };
        // The request of a blocked session is not over.
        if session.blocked.is_none() {
            session.end_of_request();
        }
        if session.close_after_reply || session.close_now {
            return Flow::Close;
        }
        if session.blocked.is_some() {
            Flow::Blocked
        } else {
            Flow::Done
        }
    }

    /// Deletes keys whose time has passed, at most `limit` of them; how many. A primary does this for all its keys, a
    /// writable replica for those that its own clients gave a time to live.
    pub fn expire_some(&mut self, limit: usize) -> usize {
        let now = self.now.unix_ms();
        let data = &mut self.data;
        let mut expired = 0;
        if data.expiry_paused || !data.settings.active_expire {
            return 0;
        }
        if data.settings.role == crate::settings::Role::Replica {
            return expire_own_keys_of_replica(data, now, limit);
        }
        for index in 0..data.keyspace.databases() {
            let db = base::DbIndex(index);
            while expired < limit {
                let Some(key) = data.keyspace.db(db).next_expired(now).map(|entry| entry.key().to_vec()) else {
                    break;
                };
                let hash = data.keyspace.hash(&key);
                data.expire(db, &key, hash);
                data.propagation.end_unit();
                expired += 1;
            }
            while expired < limit {
                let Some(fields) = data.expire_fields(db, now, limit - expired) else {
                    break;
                };
                data.propagation.end_unit();
                expired += fields;
            }
        }
        expired
    }
}

fn expire_own_keys_of_replica(data: &mut Data, now: base::Millis, limit: usize) -> usize {
    let due: Vec<_> = data
        .replica_expiring
        .iter()
        .filter(|(_, at)| **at <= now)
        .map(|(id, _)| id.clone())
        .take(limit)
        .collect();
    for (db, key) in &due {
        data.replica_expiring.remove(&(*db, key.clone()));
        let hash = data.keyspace.hash(key);
        let entry = data.keyspace.db(*db).get(key, hash);
        if entry.and_then(keyspace::Entry::expiry).is_some_and(|at| at <= now) {
            data.expire(*db, key, hash);
        }
    }
    due.len()
}

/// See [`Data::reply_limit_bytes`]. Limits count what is unsent, if it is more than a reply buffer holds.
fn reply_limit_bytes(session: &Session, hard_bytes: u64) -> u64 {
    // Listeners have a limit of their own.
    if session.subscriptions.is_some() {
        return 0;
    }
    hard_bytes.max(Session::REPLY_BUFFER_BYTES as u64) + session.sent as u64
}

fn unknown_command(args: Args<'_>) -> Error {
    const SHOWN_BYTES: usize = 128;
    let mut shown: Vec<u8> = Vec::new();
    for word in args.iter().skip(1) {
        if shown.len() >= SHOWN_BYTES {
            break;
        }
        let room = SHOWN_BYTES - shown.len();
        let word = quoted(word);
        shown.push(b'\'');
        shown.extend_from_slice(&word[..word.len().min(room)]);
        shown.extend_from_slice(b"' ");
    }
    let parts = [
        b"ERR unknown command '",
        quoted(args.get(0)),
        b"', with args beginning with: ",
        &shown,
    ];
    Error::quoting(parts.concat())
}

/// Appends `word` in double quotes, unprintable bytes escaped, as MONITOR and the command line show it.
pub fn quote_into(line: &mut String, word: &[u8]) {
    use std::fmt::Write;
    line.push('"');
    for byte in word {
        match byte {
            b'\\' | b'"' => line.extend(['\\', char::from(*byte)]),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x07 => line.push_str("\\a"),
            0x08 => line.push_str("\\b"),
            0x20..=0x7e => line.push(char::from(*byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
    }
    line.push('"');
}
