//! The executor's side of waiting: who blocks, who is served, and who has waited long enough.

use super::{Asked, Chance, Waiting};
use crate::execute::Engine;
use crate::host::{Host, Notice};
use crate::session::{Blocked, ReplyMode, Session, SessionId};
use crate::spec::Flags;
use crate::table::CommandId;
use base::DbIndex;
use resp::{Args, Reply};

/// Why a client that waits goes on without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// Its time is up.
    TimedOut,
    /// Another client asked, with CLIENT UNBLOCK.
    Unblocked,
}

impl Engine {
    /// A command has asked to wait: the session executes nothing until it is served.
    pub(crate) fn hold(&mut self, id: SessionId, command: CommandId, args: Args<'_>, asked: Asked, us: u64) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let blocking = &mut self.data.blocking;
        blocking.last_ticket += 1;
        let now_ms = self.now.mono_ms();
        let waiting = Waiting::new(asked, blocking.last_ticket, session.db, command, args, now_ms, us);
        session.blocked = Some(Blocked::Keys);
        blocking.add(id, waiting);
    }

    /// Serves the clients that wait for keys which are ready, and those that become ready by serving them.
    pub fn serve_ready(&mut self, host: &mut dyn Host) {
        while let Some((db, key)) = self.data.blocking.next_ready() {
            let mut last = 0;
            while let Some((ticket, id)) = self.data.blocking.next_waiting(db, &key, last, &self.data.keyspace) {
                last = ticket;
                self.serve(host, id, db, &key);
            }
        }
        // A key that expired when it was looked at leaves an effect, whoever was served.
        self.data.propagation.end_unit();
    }

    /// Runs the request of a client again. If it blocks again, nothing has happened.
    fn serve(&mut self, host: &mut dyn Host, id: SessionId, db: DbIndex, key: &[u8]) {
        let Some(waiting) = self.data.blocking.waits.get_mut(&id) else {
            return;
        };
        debug_assert_eq!(waiting.db, db, "the queue of one database has a client of another");
        let command = waiting.command;
        let request = std::mem::replace(&mut waiting.request, resp::OwnedArgs::from_words([b""]));
        let mut out = std::mem::take(&mut self.sessions[id].out);
        let before = out.len();
        self.data.blocking.begin(Chance::Resumed(key.into()));
        let result = self.dispatch(host, id, command, request.as_args(), &mut out);
        let goes_on_waiting = self.data.blocking.take_asked().is_some();
        if let Some(waiting) = self.data.blocking.waits.get_mut(&id) {
            waiting.request = request;
        }
        if let Err(error) = &result {
            out.truncate(before);
            Reply::new(&mut out, self.sessions[id].proto).error_bytes(error.line());
            self.data.stats.count_error(error.code());
        }
        let us = self.advance_clock();
        if goes_on_waiting {
            out.truncate(before);
        }
        self.sessions[id].out = out;
        self.deliver();
        self.data.propagation.end_unit();
        if goes_on_waiting {
            return;
        }
        if let Some(waiting) = self.release(id, before) {
            self.account_unblocked(id, &waiting, us, result.is_err());
        }
    }

    /// Answers for clients that have waited long enough; how many there were.
    pub fn time_out_waits(&mut self) -> usize {
        let now_ms = self.now.mono_ms();
        let mut count = 0;
        while let Some((at, id)) = self.data.blocking.deadlines.first().copied() {
            if at >= now_ms {
                break;
            }
            self.give_up(id, GiveUp::TimedOut);
            count += 1;
        }
        count
    }

    /// Answers for a client that waits for keys, without what it waited for.
    pub fn give_up(&mut self, id: SessionId, why: GiveUp) {
        let waiting = self.unblock(id, |reply| reply.null_array());
        if let Some(waiting) = waiting
            && why == GiveUp::Unblocked
        {
            self.account_unblocked(id, &waiting, 0, true);
        }
    }

    /// Answers for a blocked client with an error that begins with `UNBLOCKED`.
    pub fn unblock_with_error(&mut self, id: SessionId, line: &str) {
        self.data.stats.count_error("UNBLOCKED");
        if let Some(waiting) = self.unblock(id, |reply| reply.error(line)) {
            self.account_unblocked(id, &waiting, 0, true);
        }
    }

    /// Writes the reply that a blocked client waits for, whatever it waits for, and lets it go on.
    pub fn answer_blocked(&mut self, id: SessionId, reply: impl FnOnce(&mut Reply<'_>)) {
        self.unblock(id, reply);
    }

    /// A client that waits is to be closed: it takes nothing more from any key.
    pub fn forget_wait(&mut self, id: SessionId) {
        self.data.blocking.remove(id);
    }

    fn unblock(&mut self, id: SessionId, reply: impl FnOnce(&mut Reply<'_>)) -> Option<Waiting> {
        let session = self.sessions.get_mut(id)?;
        session.blocked?;
        let before = session.out.len();
        reply(&mut Reply::new(&mut session.out, session.proto));
        self.release(id, before)
    }

    /// Lets a blocked session go on; what it was answered with begins at `reply_from` of its output.
    fn release(&mut self, id: SessionId, reply_from: usize) -> Option<Waiting> {
        let waiting = self.data.blocking.remove(id);
        let offset = self.data.propagation.offset();
        let session = self.sessions.get_mut(id)?;
        session.blocked = None;
        if !session.reply_mode.takes_reply() {
            session.out.truncate(reply_from);
        }
        session.end_of_request();
        if waiting.is_some() {
            session.write_offset = offset;
        }
        self.data.notices.push(Notice::Resume(id));
        waiting
    }

    /// Accounts for a request that has blocked, now that it is answered. When it blocked it was counted as a call.
    fn account_unblocked(&mut self, id: SessionId, waiting: &Waiting, reply_us: u64, failed: bool) {
        let us = waiting.first_us + reply_us;
        let settings = &self.data.settings;
        let entry = &mut self.table[waiting.command];
        entry.stats.usec += us;
        entry.stats.failed += u64::from(failed);
        if settings.latency_tracking {
            entry.latency.get_or_insert_default().record(us);
        }
        let slow = settings.slowlog_slower_than_us;
        if slow >= 0 && us >= slow as u64 && !entry.flags.has(Flags::SKIP_SLOWLOG) {
            let session = &self.sessions[id];
            let (address, name, max_len) = (&session.peer.address, &session.name, settings.slowlog_max_len);
            self.slowlog.add(self.now, us, waiting.sent(), address, name, max_len);
        }
        let threshold = settings.latency_threshold_ms;
        if threshold > 0 && reply_us / 1000 >= threshold {
            self.latency.note("command-unblocking", self.now, reply_us / 1000);
        }
    }
}

impl ReplyMode {
    /// Whether the request at hand is answered.
    #[must_use]
    pub fn takes_reply(self) -> bool {
        !matches!(self, Self::Off | Self::Skip)
    }
}

impl Session {
    /// A request has been answered: CLIENT REPLY SKIP has had its effect.
    pub(crate) fn end_of_request(&mut self) {
        self.reply_mode = match self.reply_mode {
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
            other => other,
        };
    }
}
