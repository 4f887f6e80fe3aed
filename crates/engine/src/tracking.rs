//! Client-side caching: who has read which keys, and must hear when they change.
//!
//! ```text
//!   default     a read remembers    key ──► sessions       the first change tells them, and forgets the key
//!   broadcast   a session names     prefix ──► sessions    changed keys gather; at the end of the turn each session
//!                                                          of the prefix gets them in one message
//! ```
//!
//! Keys are told apart by name alone, whatever their database. A message goes to the session itself, or to the one that
//! it redirects to: to one that speaks RESP3 as a push, to one that listens in RESP2 as a message of the channel
//! `__redis__:invalidate`.

use crate::execute::Engine;
use crate::key_positions;
use crate::outbox::News;
use crate::pubsub::Seeded;
use crate::session::SessionId;
use crate::spec::Flags;
use crate::table::CommandId;
use resp::{Args, Proto, Reply};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Which reads are remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remember {
    /// All.
    #[default]
    All,
    /// Those that follow CLIENT CACHING YES.
    OptedIn,
    /// All but those that follow CLIENT CACHING NO.
    NotOptedOut,
}

/// How one session caches.
#[derive(Clone, Debug, Default)]
pub struct Caching {
    /// The session that hears of changes in its place.
    pub redirect: Option<SessionId>,
    /// Which reads are remembered.
    pub remember: Remember,
    /// Changes by itself are not told.
    pub no_loop: bool,
    /// It hears of all keys with these prefixes, and no read is remembered.
    pub broadcast: Option<BTreeSet<Box<[u8]>>>,
    /// CLIENT CACHING was called for the next command.
    pub asked: bool,
    /// The session that it redirects to has gone.
    pub broken_redirect: bool,
}

impl Caching {
    fn remembers(&self) -> bool {
        self.broadcast.is_none()
            && match self.remember {
                Remember::All => true,
                Remember::OptedIn => self.asked,
                Remember::NotOptedOut => !self.asked,
            }
    }
}

/// Sessions that hear of the keys with one prefix.
#[derive(Default)]
struct Prefix {
    sessions: BTreeSet<SessionId>,
    /// Keys changed in this turn, each with the session whose command did it last.
    changed: BTreeMap<Box<[u8]>, Option<SessionId>>,
}

/// Who must hear of which keys.
pub struct Tracking {
    keys: HashMap<Box<[u8]>, BTreeSet<SessionId>, Seeded>,
    items: usize,
    prefixes: BTreeMap<Box<[u8]>, Prefix>,
    /// Sessions that cache.
    sessions: BTreeSet<SessionId>,
    /// Whether any prefix has changed keys.
    broadcast_due: bool,
}

/// What a message tells.
#[derive(Clone, Copy)]
enum Invalid<'a> {
    Keys(&'a [&'a [u8]]),
    Everything,
}

impl Tracking {
    /// Nobody caches.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            keys: HashMap::with_hasher(Seeded(keyspace::Hasher::new(seed))),
            items: 0,
            prefixes: BTreeMap::new(),
            sessions: BTreeSet::new(),
            broadcast_due: false,
        }
    }

    /// How many sessions cache.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// How many sessions are remembered, of all keys together.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// How many prefixes sessions have named.
    #[must_use]
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    fn remember(&mut self, key: &[u8], session: SessionId) {
        let new = match self.keys.get_mut(key) {
            Some(sessions) => sessions.insert(session),
            None => {
                self.keys.insert(key.into(), BTreeSet::from([session]));
                true
            }
        };
        self.items += usize::from(new);
    }

    fn forget(&mut self, key: &[u8]) -> BTreeSet<SessionId> {
        let sessions = self.keys.remove(key).unwrap_or_default();
        self.items -= sessions.len();
        sessions
    }

    fn note_for_broadcast(&mut self, key: &[u8], by: Option<SessionId>) {
        for (prefix, state) in &mut self.prefixes {
            if key.starts_with(prefix) {
                state.changed.insert(key.into(), by);
                self.broadcast_due = true;
            }
        }
    }
}

impl Engine {
    /// Lets a session cache, or changes how it does. Prefixes add to those it has; the caller has checked that they do
    /// not overlap.
    pub fn start_caching(&mut self, id: SessionId, mut caching: Caching) {
        if let Some(prefixes) = &mut caching.broadcast {
            if prefixes.is_empty() {
                prefixes.insert(Box::default());
            }
            for prefix in &*prefixes {
                let state = self.tracking.prefixes.entry(prefix.clone()).or_default();
                state.sessions.insert(id);
            }
            let old = self.sessions[id].caching.take().and_then(|old| old.broadcast);
            prefixes.extend(old.into_iter().flatten());
        }
        self.tracking.sessions.insert(id);
        self.data.outbox.someone_caches = true;
        self.sessions[id].caching = Some(Box::new(caching));
    }

    /// A session caches no more. Keys that it has read are forgotten when they change.
    pub fn stop_caching(&mut self, id: SessionId) {
        let Some(caching) = self.sessions.get_mut(id).and_then(|session| session.caching.take()) else {
            return;
        };
        for prefix in caching.broadcast.into_iter().flatten() {
            if let Some(state) = self.tracking.prefixes.get_mut(&prefix) {
                state.sessions.remove(&id);
                if state.sessions.is_empty() {
                    self.tracking.prefixes.remove(&prefix);
                }
            }
        }
        self.tracking.sessions.remove(&id);
        // While keys are remembered changes must be heard of, or the table would keep them for ever.
        self.data.outbox.someone_caches = !(self.tracking.sessions.is_empty() && self.tracking.keys.is_empty());
    }

    /// A session has read the keys of a command.
    pub(crate) fn remember_reads(&mut self, id: SessionId, command: CommandId, args: Args<'_>) {
        let command = &self.table[command];
        let caches = self.sessions.get(id).and_then(|session| session.caching.as_ref());
        if command.flags.has(Flags::READONLY) && caches.is_some_and(|caching| caching.remembers()) {
            for key in key_positions::find(command.spec, args) {
                self.tracking.remember(args.get(key.at), id);
            }
        }
    }

    /// Tells those who cache of a change that `current`'s command made, or of one that nobody made.
    pub(crate) fn invalidate(&mut self, news: &News, keys: &[u8], current: Option<SessionId>) {
        let (key, by) = match news {
            News::Changed(key) => (&keys[key.clone()], current),
            News::Vanished(key) => (&keys[key.clone()], None),
            News::Flushed => return self.invalidate_all(current),
            News::Event(..) => return,
        };
        self.tracking.note_for_broadcast(key, by);
        for id in self.tracking.forget(key) {
            let caching = self.sessions.get(id).and_then(|session| session.caching.as_ref());
            let Some(caching) = caching.filter(|caching| caching.broadcast.is_none()) else {
                continue;
            };
            if !(caching.no_loop && by == Some(id)) {
                self.send_invalid(id, Invalid::Keys(&[key]), current);
            }
        }
    }

    fn invalidate_all(&mut self, current: Option<SessionId>) {
        for id in self.tracking.sessions.clone() {
            self.send_invalid(id, Invalid::Everything, current);
        }
        self.tracking.keys.clear();
        self.tracking.items = 0;
    }

    /// Sends the keys that changed in this turn to those who named their prefixes.
    pub fn broadcast_invalid(&mut self) {
        if !std::mem::take(&mut self.tracking.broadcast_due) {
            return;
        }
        let mut messages = Vec::new();
        for state in self.tracking.prefixes.values_mut() {
            let changed = std::mem::take(&mut state.changed);
            if !changed.is_empty() {
                messages.push((state.sessions.clone(), changed));
            }
        }
        for (sessions, changed) in messages {
            for id in sessions {
                let caching = self.sessions.get(id).and_then(|session| session.caching.as_ref());
                let no_loop = caching.is_some_and(|caching| caching.no_loop);
                let told = changed.iter().filter(|(_, by)| !(no_loop && **by == Some(id)));
                let told: Vec<&[u8]> = told.map(|(key, _)| &**key).collect();
                if !told.is_empty() {
                    self.send_invalid(id, Invalid::Keys(&told), None);
                }
            }
        }
    }

    /// Forgets keys beyond `max` (0: any number); those who read them are told as if they had changed.
    pub fn limit_tracked_keys(&mut self, max: usize) {
        const MOST_AT_ONCE: usize = 20_000;
        let excess = self.tracking.keys.len().saturating_sub(max);
        if max == 0 || excess == 0 {
            return;
        }
        // The order of the map is that of a seeded hash: as good as random.
        let some = self.tracking.keys.keys().take(excess.min(MOST_AT_ONCE));
        for key in some.cloned().collect::<Vec<_>>() {
            for id in self.tracking.forget(&key) {
                self.send_invalid(id, Invalid::Keys(&[&key]), None);
            }
        }
    }

    /// Sends a message to a session that caches, or to where it redirects. What the session whose command runs is told
    /// follows its reply.
    fn send_invalid(&mut self, id: SessionId, what: Invalid<'_>, current: Option<SessionId>) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let proto = session.proto;
        let Some(caching) = &mut session.caching else { return };
        let Some(target) = caching.redirect else {
            if proto == Proto::Resp3 {
                let write = |out: &mut Vec<u8>| write_invalid(out, proto, proto, what);
                if current == Some(id) {
                    write(&mut self.own_invalid);
                } else {
                    self.sessions.push(id, |_, out| write(out));
                }
            }
            return;
        };
        let listens = match self.sessions.get(target).filter(|session| !session.close_now) {
            Some(session) => session.subscriptions.is_some(),
            None => return self.tell_broken_redirect(id, target),
        };
        self.sessions.push(target, |target_proto, out| {
            if target_proto == Proto::Resp3 || listens {
                write_invalid(out, target_proto, proto, what);
            }
        });
    }

    /// A session caches and redirects to one that has gone.
    fn tell_broken_redirect(&mut self, id: SessionId, target: SessionId) {
        if let Some(caching) = &mut self.sessions[id].caching {
            caching.broken_redirect = true;
        }
        self.sessions.push(id, |proto, out| {
            if proto == Proto::Resp3 {
                let mut reply = Reply::new(out, proto);
                reply.push(2);
                reply.bulk(b"tracking-redir-broken");
                reply.int(target.number as i64);
            }
        });
    }
}

fn write_invalid(out: &mut Vec<u8>, proto: Proto, tracker: Proto, what: Invalid<'_>) {
    let mut reply = Reply::new(out, proto);
    if proto == Proto::Resp3 {
        reply.push(2);
        reply.bulk(b"invalidate");
    } else {
        reply.array(3);
        reply.bulk(b"message");
        reply.bulk(b"__redis__:invalidate");
    }
    match what {
        Invalid::Keys(keys) => {
            reply.array(keys.len());
            for key in keys {
                reply.bulk(key);
            }
        }
        // The protocol of the session that caches, whoever hears it: as stock does.
        Invalid::Everything => {
            reply.set_proto(tracker);
            reply.null();
        }
    }
}
