//! What all clients together may hold: `maxmemory-clients`.
//!
//! ```text
//!   before each command, after outputs were sent, at each tick:
//!     the clients' bytes, counted as they change ── over the limit? ──► close the largest, until they are within
//!
//!   size classes are powers of two: 32 KiB, 64 KiB … 8 GiB; in a class the oldest client goes first
//! ```
//!
//! The count is kept for clients (`normal` and `pubsub`): replicas and the primary have limits of their own.

use crate::host::ServerState;
use crate::node::Node;
use config::{Config, MemoryOrPercent};
use engine::host::Level;
use engine::session::Kind;
use engine::{Engine, Session, SessionId};

/// A limit below this would leave no client able to raise it.
const LEAST_BYTES: u64 = 128 << 10;

/// The limit in bytes; `None` where there is none.
fn limit(config: &Config) -> Option<u64> {
    let bytes = match config.maxmemory_clients {
        MemoryOrPercent::Bytes(0) => return None,
        MemoryOrPercent::Bytes(bytes) => bytes,
        MemoryOrPercent::Percent(_) if config.maxmemory == 0 => return None,
        MemoryOrPercent::Percent(percent) => (config.maxmemory as f64 * f64::from(percent) / 100.0) as u64,
    };
    Some(bytes.max(LEAST_BYTES))
}

/// The size class of so many bytes.
fn class(bytes: usize) -> u32 {
    const SMALLEST: u32 = 15;
    const LARGEST: u32 = 33;
    bytes.max(1).ilog2().clamp(SMALLEST, LARGEST)
}

/// What a session counts for.
fn counted(engine: &Engine, session: &Session) -> usize {
    match session.kind {
        Kind::Normal => engine.client_bytes(session),
        Kind::Replica | Kind::Primary => 0,
    }
}

/// Bytes that clients hold, replicas and the primary not among them.
#[must_use]
pub fn of_clients(engine: &Engine) -> u64 {
    engine
        .sessions
        .iter()
        .map(|session| counted(engine, session) as u64)
        .sum()
}

impl Node {
    /// A session's buffers have changed.
    pub(crate) fn count_client(&mut self, changed: SessionId) {
        if limit(&self.state.config).is_some() {
            recount(&mut self.engine, changed);
        }
    }

    /// What a session has sent and not yet asked for whole waits in a buffer of so many bytes.
    pub fn input_resized(&mut self, id: SessionId, capacity: usize) {
        if let Some(session) = self.engine.sessions.get_mut(id) {
            session.query_capacity = capacity;
        }
        self.count_client(id);
    }

    /// Whether there is a limit to what all clients together may hold.
    pub(crate) fn limits_clients(&self) -> bool {
        limit(&self.state.config).is_some()
    }

    /// Counts a session anew, and closes clients if all of them are over their limit, this one maybe among them.
    pub(crate) fn limit_clients(&mut self, changed: SessionId) {
        self.count_client(changed);
        self.limit_clients_as_counted();
    }

    /// Closes clients if all of them are over their limit, as last counted. To be called when outputs were sent.
    pub fn limit_clients_as_counted(&mut self) {
        let Some(limit) = limit(&self.state.config) else { return };
        if self.engine.sessions.counted_bytes() > limit {
            evict(&mut self.state, &mut self.engine, limit);
            self.after_execution();
        }
    }

    /// Any session's buffers may have changed.
    pub(crate) fn limit_all_clients(&mut self) {
        count_all(&self.state, &mut self.engine);
        self.limit_clients_as_counted();
    }
}

/// Counts all sessions anew: needed where a limit has come that was not there before.
pub(crate) fn count_all(state: &ServerState, engine: &mut Engine) {
    if limit(&state.config).is_none() {
        return;
    }
    let ids: Vec<SessionId> = engine.sessions.iter().map(|session| session.id).collect();
    ids.iter().for_each(|id| recount(engine, *id));
}

fn recount(engine: &mut Engine, id: SessionId) {
    let Some(session) = engine.sessions.get(id) else { return };
    let bytes = counted(engine, session);
    engine.sessions.recount(id, bytes);
}

fn evict(state: &mut ServerState, engine: &mut Engine, limit: u64) {
    let mut candidates: Vec<(u32, SessionId)> = engine
        .sessions
        .iter()
        .filter(|session| session.kind == Kind::Normal && !session.no_evict && !session.close_now)
        .map(|session| (class(session.counted_bytes), session.id))
        .collect();
    candidates.sort_unstable_by_key(|(class, id)| (std::cmp::Reverse(*class), id.number));
    for (_, id) in candidates {
        if engine.sessions.counted_bytes() <= limit {
            return;
        }
        let line = engine::commands::client::describe(engine, &engine.sessions[id]);
        state.log(Level::Notice, format!("Evicting client: {line}"));
        engine.data.stats.evicted_clients += 1;
        // Whoever closes it forgets it at once: it counts no more.
        engine.sessions.recount(id, 0);
        engine.sessions[id].close_now = true;
        engine.data.notices.push(engine::Notice::Close(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_may_be_a_share_and_is_never_too_small() {
        let mut config = Config::default();
        assert_eq!(limit(&config), None);
        config.maxmemory_clients = MemoryOrPercent::Percent(7);
        assert_eq!(limit(&config), None);
        config.maxmemory = 6 << 20;
        assert_eq!(limit(&config), Some((6 << 20) * 7 / 100));
        config.maxmemory_clients = MemoryOrPercent::Bytes(1);
        assert_eq!(limit(&config), Some(LEAST_BYTES));
    }

    #[test]
    fn classes_double() {
        assert_eq!(class(0), class(65_535));
        assert!(class(65_536) > class(65_535));
        assert_eq!(class(usize::MAX), 33);
    }
}
