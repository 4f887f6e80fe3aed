//! Publish and subscribe: who listens to what, and the delivery of messages.
//!
//! ```text
//!   channels        name ──► sessions, in the order in which they subscribed        hash map
//!   shard channels  name ──► sessions                                               hash map
//!   patterns        glob ──► sessions        tried one after the other at each message
//!
//!   session.subscriptions        the same names, the other way round
//! ```
//!
//! A message is written once, into a buffer that is used again, and copied from there to the end of every listener's
//! output: a delivery allocates nothing once the outputs are warm.

use crate::execute::Engine;
use crate::session::{SessionId, Sessions};
use base::glob;
use resp::{Proto, Reply};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// A channel's name, or a pattern's text; shared by the index and its listeners.
type Name = Arc<[u8]>;

/// What one subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A channel.
    Channel,
    /// All channels whose names fit a pattern.
    Pattern,
    /// A shard channel.
    Shard,
}

/// What one session listens to.
#[derive(Default)]
pub struct Subscriptions {
    channels: BTreeSet<Name>,
    patterns: BTreeSet<Name>,
    shard_channels: BTreeSet<Name>,
}

impl Subscriptions {
    /// What it listens to in this scope, in order.
    #[must_use]
    pub fn names(&self, scope: Scope) -> &BTreeSet<Name> {
        match scope {
            Scope::Channel => &self.channels,
            Scope::Pattern => &self.patterns,
            Scope::Shard => &self.shard_channels,
        }
    }

    fn names_mut(&mut self, scope: Scope) -> &mut BTreeSet<Name> {
        match scope {
            Scope::Channel => &mut self.channels,
            Scope::Pattern => &mut self.patterns,
            Scope::Shard => &mut self.shard_channels,
        }
    }

    /// The number that the reply to a subscription shows: of channels and patterns together, or of shard channels.
    #[must_use]
    pub fn shown_count(&self, scope: Scope) -> usize {
        match scope {
            Scope::Channel | Scope::Pattern => self.channels.len() + self.patterns.len(),
            Scope::Shard => self.shard_channels.len(),
        }
    }

    /// How many names it listens to in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shard_channels.len()
    }

    /// Whether it listens to nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty()
    }

    /// Bytes that the names take, as MEMORY and CLIENT LIST count them.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        [Scope::Channel, Scope::Pattern, Scope::Shard]
            .into_iter()
            .flat_map(|scope| self.names(scope))
            .map(|name| name.len() + size_of::<Name>())
            .sum()
    }
}

/// Who listens to what.
pub struct PubSub {
    channels: HashMap<Name, Vec<SessionId>, Seeded>,
    shard_channels: HashMap<Name, Vec<SessionId>, Seeded>,
    patterns: BTreeMap<Name, Vec<SessionId>>,
    /// The message under way, without its first byte, which depends on the listener's protocol.
    frame: Vec<u8>,
}

impl PubSub {
    /// Nobody listens. `seed` keeps clients from preparing names that collide.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let hasher = Seeded(keyspace::Hasher::new(seed));
        Self {
            channels: HashMap::with_hasher(hasher.clone()),
            shard_channels: HashMap::with_hasher(hasher),
            patterns: BTreeMap::new(),
            frame: Vec::new(),
        }
    }

    /// The channels that somebody listens to, in no order. `None` for patterns, which are no channels.
    pub fn channels(&self, scope: Scope) -> impl Iterator<Item = &[u8]> {
        self.index(scope)
            .into_iter()
            .flat_map(|index| index.keys().map(|name| &**name))
    }

    /// How many listen to a channel by its name.
    #[must_use]
    pub fn listeners(&self, scope: Scope, name: &[u8]) -> usize {
        self.index(scope).and_then(|index| index.get(name)).map_or(0, Vec::len)
    }

    /// How many channels, patterns or shard channels somebody listens to.
    #[must_use]
    pub fn count(&self, scope: Scope) -> usize {
        self.index(scope).map_or(self.patterns.len(), HashMap::len)
    }

    /// Whether messages to channels have nobody to go to.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty()
    }

    fn index(&self, scope: Scope) -> Option<&HashMap<Name, Vec<SessionId>, Seeded>> {
        match scope {
            Scope::Channel => Some(&self.channels),
            Scope::Shard => Some(&self.shard_channels),
            Scope::Pattern => None,
        }
    }

    /// The name as the index has it, with `session` added to its listeners.
    fn add(&mut self, scope: Scope, name: &[u8], session: SessionId) -> Name {
        let index = match scope {
            Scope::Channel => &mut self.channels,
            Scope::Shard => &mut self.shard_channels,
            Scope::Pattern => {
                let shared = self.patterns.get_key_value(name).map(|(known, _)| known.clone());
                let shared = shared.unwrap_or_else(|| name.into());
                self.patterns.entry(shared.clone()).or_default().push(session);
                return shared;
            }
        };
        let shared = index.get_key_value(name).map(|(known, _)| known.clone());
        let shared = shared.unwrap_or_else(|| name.into());
        index.entry(shared.clone()).or_default().push(session);
        shared
    }

    fn remove(&mut self, scope: Scope, name: &[u8], session: SessionId) {
        let listeners = match scope {
            Scope::Channel => self.channels.get_mut(name),
            Scope::Shard => self.shard_channels.get_mut(name),
            Scope::Pattern => self.patterns.get_mut(name),
        };
        let Some(listeners) = listeners else { return };
        listeners.retain(|other| *other != session);
        if !listeners.is_empty() {
            return;
        }
        match scope {
            Scope::Channel => drop(self.channels.remove(name)),
            Scope::Shard => drop(self.shard_channels.remove(name)),
            Scope::Pattern => drop(self.patterns.remove(name)),
        }
    }

    /// Sends a message to all who listen; how many deliveries that were. A session that listens to the channel and to
    /// patterns that fit gets it for each.
    pub fn publish(&mut self, sessions: &mut Sessions, scope: Scope, channel: &[u8], message: &[u8]) -> usize {
        let mut frame = std::mem::take(&mut self.frame);
        let mut deliveries = 0;
        if let Some(listeners) = self.index(scope).and_then(|index| index.get(channel)) {
            let kind: &[u8] = if scope == Scope::Shard { b"smessage" } else { b"message" };
            write_frame(&mut frame, &[kind, channel, message]);
            deliveries += deliver(sessions, listeners, &frame);
        }
        if scope == Scope::Channel {
            for (pattern, listeners) in &self.patterns {
                if glob::matches(pattern, channel, false) {
                    write_frame(&mut frame, &[b"pmessage", pattern, channel, message]);
                    deliveries += deliver(sessions, listeners, &frame);
                }
            }
        }
        const KEPT_BYTES: usize = 64 << 10;
        frame.clear();
        frame.shrink_to(KEPT_BYTES);
        self.frame = frame;
        deliveries
    }
}

/// A message of these words, but for the first byte.
fn write_frame(frame: &mut Vec<u8>, words: &[&[u8]]) {
    frame.clear();
    let mut reply = Reply::new(frame, Proto::Resp2);
    reply.array(words.len());
    for word in words {
        reply.bulk(word);
    }
}

fn deliver(sessions: &mut Sessions, listeners: &[SessionId], frame: &[u8]) -> usize {
    for id in listeners {
        sessions.push(*id, |proto, out| {
            out.push(if proto == Proto::Resp3 { b'>' } else { b'*' });
            // The frame was written as an array: a push differs in its first byte alone.
            out.extend_from_slice(&frame[1..]);
        });
    }
    listeners.len()
}

impl Engine {
    /// Lets a session listen to a channel or pattern; how many it listens to then, as the reply shows.
    pub fn subscribe(&mut self, id: SessionId, scope: Scope, name: &[u8]) -> usize {
        let subscriptions = self.sessions[id].subscriptions.get_or_insert_default();
        if !subscriptions.names(scope).contains(name) {
            let shared = self.pubsub.add(scope, name, id);
            subscriptions.names_mut(scope).insert(shared);
        }
        subscriptions.shown_count(scope)
    }

    /// Takes a session off a channel's or pattern's listeners; how many it still listens to, as the reply shows.
    pub fn unsubscribe(&mut self, id: SessionId, scope: Scope, name: &[u8]) -> usize {
        let session = &mut self.sessions[id];
        let Some(subscriptions) = &mut session.subscriptions else {
            return 0;
        };
        if subscriptions.names_mut(scope).remove(name) {
            self.pubsub.remove(scope, name, id);
        }
        let left = subscriptions.shown_count(scope);
        if subscriptions.is_empty() {
            session.subscriptions = None;
        }
        left
    }

    /// Takes a session off all lists of listeners, and says nothing of it.
    pub fn unsubscribe_all(&mut self, id: SessionId) {
        let Some(subscriptions) = self
            .sessions
            .get_mut(id)
            .and_then(|session| session.subscriptions.take())
        else {
            return;
        };
        for scope in [Scope::Channel, Scope::Pattern, Scope::Shard] {
            for name in subscriptions.names(scope) {
                self.pubsub.remove(scope, name, id);
            }
        }
    }

    /// Sends a message to all who listen here; how many deliveries that were.
    pub fn publish(&mut self, scope: Scope, channel: &[u8], message: &[u8]) -> usize {
        self.pubsub.publish(&mut self.sessions, scope, channel, message)
    }
}

/// Makes hash maps use the seeded hash function of keys.
#[derive(Clone)]
pub(crate) struct Seeded(pub(crate) keyspace::Hasher);

impl BuildHasher for Seeded {
    type Hasher = Digest;

    fn build_hasher(&self) -> Digest {
        Digest {
            hasher: self.0.clone(),
            value: 0,
        }
    }
}

pub(crate) struct Digest {
    hasher: keyspace::Hasher,
    value: u64,
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.value = self.value.rotate_left(17) ^ self.hasher.hash(bytes).0;
    }

    /// Lengths of slices, which the hash of their bytes covers already.
    fn write_usize(&mut self, number: usize) {
        self.value = self.value.rotate_left(17) ^ number as u64;
    }

    fn finish(&self) -> u64 {
        self.value
    }
}
