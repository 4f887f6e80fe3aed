//! The short way: requests that concern nobody but their session and the keys.
//!
//! ```text
//!   begin_straight ─► every gate is open, nobody listens, nothing is limited: so it stays until a command of the server
//!                     runs, or time passes
//!   execute_straight ─► handler ─► propagate ─► count          for each request, its reply straight into the output
//! ```
//!
//! What is not usual (an error, news for others, a wait) is seen to behind the request that brought it. Whatever does not
//! fit goes the [long way](Engine::execute_known).

use super::on_keys::{Seen, run_on_keys};
use super::{Engine, Flow};
use crate::ahead::Noted;
use crate::blocking::Chance;
use crate::host::Host;
use crate::session::{Kind, Session, SessionId};
use crate::settings::{Loading, Role};
use crate::spec::{Flags, Handler};
use crate::table::{CommandId, Lookup};
use resp::{Args, Reply};

impl Engine {
    /// Whether requests of a session may go to [`Self::execute_straight`]. Ask again in every turn, after every command
    /// that [uses more than keys](Self::only_uses_keys), and when another session has had its turn.
    #[must_use]
    pub fn begin_straight(&mut self, id: SessionId) -> bool {
        let settings = &mut self.data.settings;
        let open = settings.role == Role::Primary
            && settings.loading == Loading::No
            && !(settings.save_failed || settings.too_few_replicas)
            && settings.maxmemory == 0
            && settings.client_output_hard_bytes == 0
            && !self.pauses.are_any()
            && !self.data.outbox.someone_caches
            && self.monitors.is_empty();
        let Some(session) = self
            .sessions
            .get_mut(id)
            .filter(|session| open && session.is_ordinary())
        else {
            return false;
        };
        session.last_active = self.now;
        if session.out.capacity() < Session::LEAST_REPLY_BUFFER_BYTES {
            session.out.reserve(Session::LEAST_REPLY_BUFFER_BYTES);
        }
        self.evictor.note_within(self.now.mono_us);
        settings.out_of_memory = false;
        self.data.reply_limit_bytes = 0;
        self.data.blocking.begin(Chance::Block);
        self.deliver();
        true
    }

    /// Executes one request of a session for which [`Self::begin_straight`] said so. Nothing need be known of it.
    #[inline]
    pub fn execute_straight(
        &mut self,
        host: &mut dyn Host,
        id: SessionId,
        lookup: Lookup,
        args: Args<'_>,
        noted: Option<Noted>,
    ) -> Flow {
        let Lookup::Found(command) = lookup else {
            return self.execute_known(host, id, lookup, args);
        };
        let entry = &self.table[command];
        let (spec, flags) = (entry.spec, entry.flags);
        let on_keys = matches!(spec.handler, Handler::Read(_) | Handler::Write(_));
        if !on_keys || flags.has(Flags::PROTECTED) || !spec.arity.admits(args.len()) {
            return self.execute_known(host, id, lookup, args);
        }
        self.data.know_key(args, noted);
        self.run_straight(id, command, spec.handler, args);
        self.data.known_key = None;
        if self.data.blocking.has_ready() {
            self.serve_ready(host);
            self.data.blocking.begin(Chance::Block);
        }
        let session = self.sessions.get(id);
        match session {
            Some(session) if session.blocked.is_some() => Flow::Blocked,
            Some(session) if !(session.close_after_reply || session.close_now) => Flow::Done,
            _ => Flow::Close,
        }
    }

    /// Runs a handler on keys whose reply goes straight into the session's output, because nothing else can come into it
    /// meanwhile. Does what [`Self::run_aside`] does where nobody else is concerned.
    #[inline]
    pub(super) fn run_straight(&mut self, id: SessionId, command: CommandId, handler: Handler, args: Args<'_>) {
        let session = &mut self.sessions[id];
        session.last_command = Some(command);
        let before = session.out.len();
        let seen = Seen::by(session);
        let result = run_on_keys(&mut self.data, handler, seen, self.now, args, &mut session.out);
        let failed = result.is_err();
        if let Err(error) = result {
            session.out.truncate(before);
            Reply::new(&mut session.out, session.proto).error_bytes(error.line());
            self.data.stats.count_error(error.code());
        }
        match handler {
            Handler::Read(_) => self.data.propagation.end_unit_of_reading(),
            _ => self.data.propagation.end_unit(),
        }
        session.write_offset = self.data.propagation.offset();
        if !self.data.outbox.is_empty() {
            let out = std::mem::take(&mut session.out);
            self.deliver_from(Some(id));
            self.set_own_pushes_apart(id);
            self.give_output(id, command, out, before);
        }
        let usec = self.advance_clock();
        if let Some(asked) = self.data.blocking.take_asked() {
            self.hold(id, command, args, asked, usec);
        }
        self.account(id, command, args, usec, failed);
    }

    /// What a handler may do that runs for this session and not in a transaction: the primary's stream waits for nobody.
    pub(super) fn chance_in(kind: Kind) -> Chance {
        match kind {
            Kind::Primary => Chance::Answer,
            Kind::Normal | Kind::Replica => Chance::Block,
        }
    }
}
