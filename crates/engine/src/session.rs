//! A session: what the engine keeps of one connection.

use crate::pubsub::Subscriptions;
use crate::table::CommandId;
use crate::tracking::Caching;
use base::{DbIndex, Now};
use resp::{OwnedArgs, Parser, Proto};

/// Names a session for as long as the process lives: its place among the sessions, and the number CLIENT ID tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// Index into [`Sessions`]; used again after the session has gone.
    pub slot: u32,
    /// Never used again. From 1: 0 is nobody.
    pub number: u64,
}

/// Where a connection comes from.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The other end, as CLIENT LIST shows it: `127.0.0.1:5000`, `/path:0`.
    pub address: String,
    /// Our end.
    pub local_address: String,
    /// The file descriptor, for CLIENT LIST; -1 where there is none.
    pub fd: i32,
    /// Whether it came through a Unix socket.
    pub unix_socket: bool,
    /// Whether the other end is on this host.
    pub loopback: bool,
}

/// What a session is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A client.
    #[default]
    Normal,
    /// A replica that this server feeds.
    Replica,
    /// The stream of this server's primary.
    Primary,
}

/// Whether replies are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// Not the next command's.
    SkipNext,
    /// Not this command's.
    Skip,
}

/// What CLIENT SETINFO told of the library that the client uses.
#[derive(Clone, Debug, Default)]
pub struct Library {
    /// Its name.
    pub name: Vec<u8>,
    /// Its version.
    pub version: Vec<u8>,
}

/// Why a session executes nothing for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// CLIENT PAUSE or a failover holds its next command back.
    Postponed,
    /// WAIT: until so many replicas have acknowledged the offset, or the moment (monotonic ms) has come.
    Wait {
        /// How many replicas must acknowledge.
        replicas: i64,
        /// What they must acknowledge.
        offset: base::Offset,
        /// When to answer anyway; `None` for never.
        deadline_ms: Option<u64>,
    },
    /// MIGRATE waits for the other server.
    Migration,
    /// SHUTDOWN waits for replicas to catch up.
    Shutdown,
    /// It waits for keys. See [`crate::blocking`].
    Keys,
}

/// Commands queued by MULTI.
#[derive(Default)]
pub struct Transaction {
    /// The queue, in order.
    pub queue: Vec<(CommandId, OwnedArgs)>,
    /// A command was refused while queueing: EXEC must fail.
    pub poisoned: bool,
    /// All flags of the queued commands together.
    pub flags: crate::Flags,
    /// Of the flags that let a command run while others may not (STALE, LOADING), those that some queued command lacks.
    pub lacking: crate::Flags,
    /// Bytes of the queue.
    pub bytes: usize,
    /// How many commands EXEC is running, once it does: the queue is empty then.
    pub running: usize,
}

impl Transaction {
    /// How many commands it has, as CLIENT LIST counts them.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.queue.len() + self.running
    }
}

/// One connection's state.
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// What it is for.
    pub kind: Kind,
    /// Where it comes from.
    pub peer: Peer,
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// The database that its commands see.
    pub db: DbIndex,
    /// The protocol its replies are written in.
    pub proto: Proto,
    /// Whether it may use commands at all.
    pub authenticated: bool,
    /// Whether it is a monitor.
    pub monitor: bool,
    /// Whether client eviction passes it over.
    pub no_evict: bool,
    /// Whether its commands leave the access clocks alone.
    pub no_touch: bool,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// What it listens to, if it listens to anything.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// How it caches keys, if it does.
    pub caching: Option<Box<Caching>>,
    /// CLIENT SETINFO: name and version of the client's library.
    pub library: Library,
    /// MULTI's queue while one is open.
    pub transaction: Option<Box<Transaction>>,
    /// Why it executes nothing for now.
    pub blocked: Option<Blocked>,
    /// It is in the list of sessions that others gave output to.
    pushed: bool,
    /// To be closed as soon as its output is sent.
    pub close_after_reply: bool,
    /// To be closed now, output or not.
    pub close_now: bool,
    /// Requests that have been begun.
    pub parser: Parser,
    /// Replies to be sent; from `sent` on they have not been.
    pub out: Vec<u8>,
    /// How much of `out` has been sent.
    pub sent: usize,
    /// The most that `out` held since the timer last looked.
    pub out_peak: usize,
    /// When the peak began anew, monotonic ms.
    pub out_peak_since_ms: u64,
    /// Since when its output has been over the soft limit, monotonic ms.
    pub over_soft_limit_since_ms: Option<u64>,
    /// When it began.
    pub created: Now,
    /// When it last sent something.
    pub last_active: Now,
    /// The command it executed last.
    pub last_command: Option<CommandId>,
    /// Bytes read and not yet made words of, for CLIENT LIST.
    pub query_bytes: usize,
    /// Bytes of the words that an unfinished request has so far.
    pub argument_bytes: usize,
    /// What it counted for when `maxmemory-clients` was last looked at.
    pub counted_bytes: usize,
    /// Size of the read buffer, for CLIENT LIST.
    pub query_capacity: usize,
    /// The stream offset after the last write of this session: what WAIT waits for.
    pub write_offset: base::Offset,
}

impl Session {
    fn new(id: SessionId, peer: Peer, now: Now, authenticated: bool) -> Self {
        Self {
            id,
            kind: Kind::Normal,
            peer,
            name: Vec::new(),
            db: DbIndex(0),
            proto: Proto::Resp2,
            authenticated,
            monitor: false,
            no_evict: false,
            no_touch: false,
            reply_mode: ReplyMode::On,
            subscriptions: None,
            caching: None,
            library: Library::default(),
            transaction: None,
            blocked: None,
            pushed: false,
            close_after_reply: false,
            close_now: false,
            parser: Parser::default(),
            out: Vec::new(),
            sent: 0,
            out_peak: 0,
            out_peak_since_ms: now.mono_ms(),
            over_soft_limit_since_ms: None,
            created: now,
            last_active: now,
            last_command: None,
            query_bytes: 0,
            argument_bytes: 0,
            counted_bytes: 0,
            query_capacity: 0,
            write_offset: base::Offset(0),
        }
    }

    /// Bytes waiting to be sent.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Who hears of changes to keys that this session caches, as CLIENT GETREDIR tells: -1 when it does not cache, 0
    /// for itself.
    #[must_use]
    pub fn redirect_number(&self) -> i64 {
        let caching = self.caching.as_ref();
        caching.map_or(-1, |caching| caching.redirect.map_or(0, |target| target.number as i64))
    }

    /// Whether it is a client that has said who it is and does nothing but ask and read answers: no gate, queue or listener
    /// is to be thought of.
    #[must_use]
    #[inline]
    pub fn is_ordinary(&self) -> bool {
        self.kind == Kind::Normal && self.authenticated && self.only_takes_replies()
    }

    /// Whether a command leads to its reply and nothing else in this session's output: no queue of MULTI, no messages.
    #[must_use]
    #[inline]
    pub fn only_takes_replies(&self) -> bool {
        self.transaction.is_none()
            && self.subscriptions.is_none()
            && self.caching.is_none()
            && self.reply_mode == ReplyMode::On
    }

    /// Whether it listens to messages in a protocol that cannot tell them from replies.
    #[must_use]
    pub fn is_confined_to_pubsub(&self) -> bool {
        self.subscriptions.is_some() && self.proto == Proto::Resp2
    }

    /// Bytes waiting to be sent, as limits of output count them: what fits into a reply buffer every client may have.
    #[must_use]
    pub fn overflow_bytes(&self) -> usize {
        match self.unsent_bytes() {
            0..=Self::REPLY_BUFFER_BYTES => 0,
            more => more,
        }
    }

    /// Up to so many bytes of output are a client's reply buffer; what is beyond stock servers keep in a list of blocks
    /// of that size, and CLIENT LIST shows it apart.
    pub const REPLY_BUFFER_BYTES: usize = 16 << 10;

    /// A reply buffer is at least so large once it has been used.
    pub const LEAST_REPLY_BUFFER_BYTES: usize = 1 << 10;

    /// Gives back room that the output has not needed for a while: `reset_ms` after which a peak counts no more (`None`:
    /// it always counts). Whether it did.
    pub fn fit_output(&mut self, now_ms: u64, reset_ms: Option<u64>) -> bool {
        let wanted = (self.out_peak + 1).max(Self::LEAST_REPLY_BUFFER_BYTES);
        let shrinks = self.out.is_empty() && self.out_peak < self.out.capacity() / 2 && wanted < self.out.capacity();
        if shrinks {
            self.out.shrink_to(wanted);
        }
        if reset_ms.is_some_and(|reset_ms| now_ms.saturating_sub(self.out_peak_since_ms) > reset_ms) {
            self.out_peak = self.out.len();
            self.out_peak_since_ms = now_ms;
        }
        shrinks
    }

    /// Whether this session is the primary's stream, whose commands pass every gate.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.kind == Kind::Primary
    }
}

/// All sessions, by slot.
#[derive(Default)]
pub struct Sessions {
    slots: Vec<Option<Box<Session>>>,
    free: Vec<u32>,
    last_number: u64,
    count: usize,
    /// The sum of what sessions count for.
    counted_bytes: u64,
    /// Those that got output by what others did, until somebody takes the list.
    pushed: Vec<SessionId>,
}

impl Sessions {
    /// Adds a session.
    pub fn open(&mut self, peer: Peer, now: Now, authenticated: bool) -> SessionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.last_number += 1;
        let id = SessionId {
            slot,
            number: self.last_number,
        };
        self.slots[slot as usize] = Some(Box::new(Session::new(id, peer, now, authenticated)));
        self.count += 1;
        id
    }

    /// Removes a session and hands over what it was.
    pub fn close(&mut self, id: SessionId) -> Option<Box<Session>> {
        self.get(id)?;
        self.recount(id, 0);
        let session = self.slots[id.slot as usize].take();
        self.free.push(id.slot);
        self.count -= 1;
        session
    }

    /// Says what a session counts for from now on, in bytes of its buffers.
    pub fn recount(&mut self, id: SessionId, bytes: usize) {
        let Some(session) = self.get_mut(id) else { return };
        let before = std::mem::replace(&mut session.counted_bytes, bytes);
        self.counted_bytes = self.counted_bytes + bytes as u64 - before as u64;
    }

    /// The sum of what sessions count for.
    #[must_use]
    pub fn counted_bytes(&self) -> u64 {
        self.counted_bytes
    }

    /// The session `id`, unless it has gone.
    #[must_use]
    #[inline]
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.slots
            .get(id.slot as usize)?
            .as_deref()
            .filter(|session| session.id == id)
    }

    /// The session `id`, unless it has gone.
    #[inline]
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.slots
            .get_mut(id.slot as usize)?
            .as_deref_mut()
            .filter(|session| session.id == id)
    }

    /// Adds to a session's output something that it did not ask for just now: `write` gets its protocol and its output.
    /// One that is about to be closed, or has gone, gets nothing.
    pub fn push(&mut self, id: SessionId, write: impl FnOnce(Proto, &mut Vec<u8>)) {
        let Some(session) = self.get_mut(id).filter(|session| !session.close_now) else {
            return;
        };
        write(session.proto, &mut session.out);
        if !std::mem::replace(&mut session.pushed, true) {
            self.pushed.push(id);
        }
    }

    /// The sessions that got output by what others did since [`Self::take_pushed`].
    #[must_use]
    pub fn pushed(&self) -> &[SessionId] {
        &self.pushed
    }

    /// Takes the list of sessions that got output by what others did. Give it back with [`Self::recycle_pushed`].
    pub fn take_pushed(&mut self) -> Vec<SessionId> {
        let list = std::mem::take(&mut self.pushed);
        for id in &list {
            if let Some(session) = self.get_mut(*id) {
                session.pushed = false;
            }
        }
        list
    }

    /// Takes the space of [`Self::take_pushed`] back, to be used again.
    pub fn recycle_pushed(&mut self, mut list: Vec<SessionId>) {
        list.clear();
        if self.pushed.is_empty() {
            self.pushed = list;
        }
    }

    /// The session with the number that CLIENT ID tells.
    #[must_use]
    pub fn by_number(&self, number: u64) -> Option<&Session> {
        self.iter().find(|session| session.id.number == number)
    }

    /// All sessions, oldest first.
    pub fn iter_by_age(&self) -> impl Iterator<Item = &Session> {
        let mut all: Vec<&Session> = self.iter().collect();
        all.sort_unstable_by_key(|session| session.id.number);
        all.into_iter()
    }

    /// All sessions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.slots.iter().filter_map(|slot| slot.as_deref())
    }

    /// All sessions, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.slots.iter_mut().filter_map(|slot| slot.as_deref_mut())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number given last.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        self.last_number
    }
}

impl std::ops::Index<SessionId> for Sessions {
    type Output = Session;

    /// # Panics
    /// When the session has gone: the caller holds an id that it should have given up.
    fn index(&self, id: SessionId) -> &Session {
        match self.get(id) {
            Some(session) => session,
            None => panic!("session {} is gone", id.number),
        }
    }
}

impl std::ops::IndexMut<SessionId> for Sessions {
    fn index_mut(&mut self, id: SessionId) -> &mut Session {
        match self.get_mut(id) {
            Some(session) => session,
            None => panic!("session {} is gone", id.number),
        }
    }
}
