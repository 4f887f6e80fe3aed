//! Clients that wait for keys: BLPOP, BZPOPMIN, XREAD BLOCK and their like.
//!
//! ```text
//!   handler finds nothing ─► ctx.block(…) ─► the session executes nothing more, its request is kept here
//!
//!   a commit ─► touch(key) ─ does somebody wait for what is there now? ─► ready: keys, each once, in order
//!                                                                           │ after the execution, EXEC included
//!   for each ready key, for each client that waits for it, oldest first: ◄──┘
//!        the request runs again, `ctx.resumed()` naming the key ─┬─► answered: it goes on with its next request
//!                                                                └─► blocks again: it keeps its place
//! ```
//!
//! How a handler uses it: parse (the timeout with [`Timeout`]), look, and when there is nothing to answer with, return
//! `ctx.block(Wanted::List, keys, timeout)`. Inside EXEC and from the primary's stream nothing may block: then the call
//! answers as if the time were up, with a null array (a command that answers otherwise asks `ctx.may_block()` first).
//! When the handler runs again, it looks only at the key that [`ReadCtx::resumed`] names: stock serves by the key that
//! became ready, not by the order of the request. What it propagates then goes out as an execution of its own, right
//! after the effects that made the key ready. A request that must not mean the same when it runs again (`$` of XREAD)
//! is replaced by [`ReadCtx::block_as`].

mod serve;
#[cfg(test)]
mod tests;

pub use serve::GiveUp;

use crate::error::{Error, Result};
use crate::keys::{ReadCtx, Reader, WriteCtx};
use crate::session::SessionId;
use crate::table::CommandId;
use base::DbIndex;
use keyspace::Keyspace;
use resp::{Args, OwnedArgs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What must be at a key for a client that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A list.
    List,
    /// A sorted set.
    Zset,
    /// A stream.
    Stream,
    /// A stream whose disappearance must be told too: of a consumer group nothing can come then.
    StreamOrGone,
    /// A string: for tests.
    #[cfg(test)]
    Str,
}

impl Wanted {
    fn type_name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Zset => "zset",
            Self::Stream | Self::StreamOrGone => "stream",
            #[cfg(test)]
            Self::Str => "string",
        }
    }

    /// Whether a client has to look again when there is a value of this type, or no value.
    fn fits(self, type_name: Option<&str>) -> bool {
        type_name == Some(self.type_name()) || (self == Self::StreamOrGone && type_name != Some("stream"))
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// `None` for ever.
    ms: Option<u64>,
}

impl Timeout {
    /// Seconds with a fraction, rounded up to milliseconds; 0 means for ever.
    ///
    /// # Errors
    /// When the word is no number, or negative.
    pub fn seconds(word: &[u8]) -> Result<Self> {
        const NOT_A_FLOAT: Error = Error::fixed("ERR timeout is not a float or out of range");
        let ms = (base::number::parse_f64(word).ok_or(NOT_A_FLOAT)? * 1000.0).ceil();
        // What a 64-bit integer cannot hold turns negative in stock servers.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        Self::milliseconds(if ms < LIMIT { ms as i64 } else { i64::MIN })
    }

    /// Milliseconds; 0 means for ever.
    ///
    /// # Errors
    /// When the word is no integer, or negative.
    pub fn integer_milliseconds(word: &[u8]) -> Result<Self> {
        const NOT_AN_INTEGER: Error = Error::fixed("ERR timeout is not an integer or out of range");
        Self::milliseconds(base::number::parse_i64(word).ok_or(NOT_AN_INTEGER)?)
    }

    fn milliseconds(ms: i64) -> Result<Self> {
        const NEGATIVE: Error = Error::fixed("ERR timeout is negative");
        let ms = u64::try_from(ms).map_err(|_| NEGATIVE)?;
        Ok(Self {
            ms: (ms > 0).then_some(ms),
        })
    }

    fn deadline_ms(self, now_ms: u64) -> Option<u64> {
        self.ms.map(|ms| now_ms.saturating_add(ms))
    }
}

/// What a handler asked for when it found nothing.
pub(crate) struct Asked {
    wanted: Wanted,
    keys: Vec<Box<[u8]>>,
    timeout: Timeout,
    /// The request to run again, where it is not the one that was made.
    instead: Option<OwnedArgs>,
}

/// What the command that is running may do.
#[derive(Default)]
pub(crate) enum Chance {
    /// It must answer.
    #[default]
    Answer,
    /// It may block.
    Block,
    /// It has blocked before, and runs again because this key is ready; it may go on waiting.
    Resumed(Box<[u8]>),
}

/// A client that waits.
struct Waiting {
    ticket: u64,
    db: DbIndex,
    wanted: Wanted,
    keys: Vec<Box<[u8]>>,
    deadline_ms: Option<u64>,
    command: CommandId,
    /// What runs again.
    request: OwnedArgs,
    /// What the client sent, where that is something else.
    sent: Option<OwnedArgs>,
    /// How long its execution took before it blocked, in microseconds.
    first_us: u64,
}

/// Who waits for a key.
#[derive(Default)]
struct Queue {
    /// By ticket: oldest first.
    waiting: BTreeMap<u64, SessionId>,
    /// It is among the ready keys.
    ready: bool,
}

/// All clients that wait for keys.
#[derive(Default)]
pub struct Blocking {
    waits: BTreeMap<SessionId, Waiting>,
    queues: BTreeMap<DbIndex, BTreeMap<Box<[u8]>, Queue>>,
    deadlines: BTreeSet<(u64, SessionId)>,
    ready: VecDeque<(DbIndex, Box<[u8]>)>,
    last_ticket: u64,
    chance: Chance,
    asked: Option<Asked>,
}

impl Blocking {
    /// Whether nobody waits.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// Whether a key is ready that somebody waits for.
    #[must_use]
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many clients wait no longer than until some moment.
    #[must_use]
    pub fn with_deadline(&self) -> usize {
        self.deadlines.len()
    }

    /// The first moment (monotonic ms) after which somebody has waited long enough.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Something has happened to a key: it becomes ready if somebody waits for what is there now.
    #[inline]
    pub fn touch(&mut self, db: DbIndex, key: &[u8], keyspace: &Keyspace) {
        if !self.is_empty() {
            self.touch_waited(db, key, keyspace);
        }
    }

    fn touch_waited(&mut self, db: DbIndex, key: &[u8], keyspace: &Keyspace) {
        let Some(queue) = self.queues.get_mut(&db).and_then(|keys| keys.get_mut(key)) else {
            return;
        };
        if queue.ready {
            return;
        }
        let there = type_at(keyspace, db, key);
        let waits = &self.waits;
        queue.ready = queue
            .waiting
            .values()
            .any(|id| waits.get(id).is_some_and(|waiting| waiting.wanted.fits(there)));
        if queue.ready {
            self.ready.push_back((db, key.into()));
        }
    }

    /// A database has changed as a whole: FLUSHDB, SWAPDB, a loaded keyspace.
    pub fn touch_database(&mut self, db: DbIndex, keyspace: &Keyspace) {
        let Some(queues) = self.queues.get(&db) else { return };
        let keys: Vec<Box<[u8]>> = queues.keys().cloned().collect();
        for key in keys {
            self.touch(db, &key, keyspace);
        }
    }

    /// Says what the command that is about to run may do.
    pub(crate) fn begin(&mut self, chance: Chance) {
        self.chance = chance;
        self.asked = None;
    }

    /// What the command that has run asked for.
    pub(crate) fn take_asked(&mut self) -> Option<Asked> {
        self.asked.take()
    }

    fn add(&mut self, id: SessionId, waiting: Waiting) {
        if let Some(at) = waiting.deadline_ms {
            self.deadlines.insert((at, id));
        }
        let queues = self.queues.entry(waiting.db).or_default();
        for key in &waiting.keys {
            let queue = queues.entry(key.clone()).or_default();
            queue.waiting.insert(waiting.ticket, id);
        }
        self.waits.insert(id, waiting);
    }

    /// Forgets a client.
    fn remove(&mut self, id: SessionId) -> Option<Waiting> {
        let waiting = self.waits.remove(&id)?;
        if let Some(at) = waiting.deadline_ms {
            self.deadlines.remove(&(at, id));
        }
        if let Some(queues) = self.queues.get_mut(&waiting.db) {
            for key in &waiting.keys {
                if let Some(queue) = queues.get_mut(key) {
                    queue.waiting.remove(&waiting.ticket);
                    if queue.waiting.is_empty() {
                        queues.remove(key);
                    }
                }
            }
            if queues.is_empty() {
                self.queues.remove(&waiting.db);
            }
        }
        Some(waiting)
    }

    fn next_ready(&mut self) -> Option<(DbIndex, Box<[u8]>)> {
        let (db, key) = self.ready.pop_front()?;
        // From here on the key may become ready again.
        if let Some(queue) = self.queues.get_mut(&db).and_then(|keys| keys.get_mut(&key)) {
            queue.ready = false;
        }
        Some((db, key))
    }

    /// The oldest client after this ticket that waits for `key` and must look at what is there now.
    fn next_waiting(&self, db: DbIndex, key: &[u8], after: u64, keyspace: &Keyspace) -> Option<(u64, SessionId)> {
        let queue = self.queues.get(&db)?.get(key)?;
        let there = type_at(keyspace, db, key);
        queue
            .waiting
            .range(after + 1..)
            .find(|(_, id)| self.waits.get(id).is_some_and(|waiting| waiting.wanted.fits(there)))
            .map(|(ticket, id)| (*ticket, *id))
    }
}

fn type_at(keyspace: &Keyspace, db: DbIndex, key: &[u8]) -> Option<&'static str> {
    let entry = keyspace.db(db).get(key, keyspace.hash(key))?;
    Some(entry.value_type().name())
}

impl Reader<'_> {
    fn may_block(&self) -> bool {
        !matches!(self.data.blocking.chance, Chance::Answer)
    }

    fn resumed(&self) -> Option<&[u8]> {
        match &self.data.blocking.chance {
            Chance::Resumed(key) => Some(key),
            _ => None,
        }
    }

    /// Whether the handler has to look at `key`: at any, or when it was resumed at the one that is ready.
    fn looks_at(&self, key: &[u8]) -> bool {
        self.resumed().is_none_or(|ready| ready == key)
    }

    fn ask<'k>(
        &mut self,
        wanted: Wanted,
        keys: impl IntoIterator<Item = &'k [u8]>,
        timeout: Timeout,
        instead: Option<OwnedArgs>,
    ) {
        self.data.blocking.asked = Some(Asked {
            wanted,
            keys: keys.into_iter().map(Box::from).collect(),
            timeout,
            instead,
        });
    }
}

macro_rules! blocking_methods {
    ($ctx:ident) => {
        impl $ctx<'_> {
            /// Whether the command may block: not inside EXEC, and not from the primary's stream.
            #[must_use]
            pub fn may_block(&self) -> bool {
                self.keys.may_block()
            }

            /// The key that is ready, when the command runs again after it has blocked: it may look at no other.
            #[must_use]
            pub fn resumed(&self) -> Option<&[u8]> {
                self.keys.resumed()
            }

            /// Whether the handler has to look at `key`: at any, or when it was resumed at the one that is ready.
            #[must_use]
            pub fn looks_at(&self, key: &[u8]) -> bool {
                self.keys.looks_at(key)
            }

            /// Lets the client wait until one of `keys` is ready. If the command may not block, it is answered as if
            /// its time were up.
            ///
            /// # Errors
            /// None: the result is the handler's.
            pub fn block<'k>(
                &mut self,
                wanted: Wanted,
                keys: impl IntoIterator<Item = &'k [u8]>,
                timeout: Timeout,
            ) -> Result {
                if self.may_block() {
                    self.keys.ask(wanted, keys, timeout, None);
                } else {
                    self.reply.null_array();
                }
                Ok(())
            }

            /// As `block`; when a key is ready, these words run in place of the request.
            ///
            /// # Errors
            /// None: the result is the handler's.
            pub fn block_as<'k>(
                &mut self,
                wanted: Wanted,
                keys: impl IntoIterator<Item = &'k [u8]>,
                timeout: Timeout,
                words: OwnedArgs,
            ) -> Result {
                if self.may_block() {
                    self.keys.ask(wanted, keys, timeout, Some(words));
                } else {
                    self.reply.null_array();
                }
                Ok(())
            }
        }
    };
}

blocking_methods!(ReadCtx);
blocking_methods!(WriteCtx);

impl Waiting {
    fn new(asked: Asked, ticket: u64, db: DbIndex, command: CommandId, args: Args<'_>, now_ms: u64, us: u64) -> Self {
        let sent = OwnedArgs::from(args);
        let (request, sent) = match asked.instead {
            Some(instead) => (instead, Some(sent)),
            None => (sent, None),
        };
        Self {
            ticket,
            db,
            wanted: asked.wanted,
            keys: asked.keys,
            deadline_ms: asked.timeout.deadline_ms(now_ms),
            command,
            request,
            sent,
            first_us: us,
        }
    }

    /// What the client sent, for the slow log.
    fn sent(&self) -> Args<'_> {
        self.sent.as_ref().unwrap_or(&self.request).as_args()
    }
}
