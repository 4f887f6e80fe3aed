//! Replication's glue: the machines of crate `repl` on this node's engine, sessions and effects.
//!
//! (The functions below are the whole interface to the rest of the node.)

use crate::host::ServerState;
use crate::jobs::{LoadFailure, Loaded, Position};
use crate::node::Node;
use base::{Now, Rng};
use config::Config;
use engine::{Engine, SessionId};

/// Both roles.
pub struct Replication {}

impl Replication {
    /// A primary with no history yet, or a replica about to connect, as the configuration says.
    #[must_use]
    pub fn new(_config: &Config, _now: Now, _rng: &mut Rng) -> Self {
        Self {}
    }
}

/// Moves effects that are ready into the replication stream. Called after every batch of executions.
pub fn collect(_state: &mut ServerState, engine: &mut Engine) {
    engine.data.propagation.clear_ready();
}

/// A session is about to be forgotten: it may have been a replica's, or waiting in WAIT.
pub fn session_closed(_node: &mut Node, _id: SessionId) {}

/// Time has passed (called some ten times a second): pings, timeouts, retries, WAIT deadlines, failover.
pub fn tick(_node: &mut Node) {}

/// A snapshot went through a replica's socket, or did not.
pub fn transferred(_node: &mut Node, _replica: SessionId, _result: Result<u64, String>) {}

/// The primary's snapshot was read, or was not.
pub fn loaded(_node: &mut Node, _id: u64, _result: Result<Box<Loaded>, LoadFailure>) {}

/// Where the dataset stands in its history, for an RDB file; `None` while there is no history worth keeping.
#[must_use]
pub fn position(_state: &ServerState, _engine: &Engine) -> Option<Position> {
    None
}

/// The dataset loaded at the start stood at `position`: go on from there, as a replica or a primary.
pub fn resume(_state: &mut ServerState, _engine: &mut Engine, _position: Position) {}

/// Bytes held by the replication stream and backlog.
#[must_use]
pub fn stream_memory_bytes(_state: &ServerState) -> u64 {
    0
}

/// Why a connection to the primary could not be made, or ended, as the outside saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The name could not be resolved.
    ResolveFailed(String),
    /// Nobody listens there.
    Refused(String),
    /// No answer in time.
    Timeout,
    /// The primary closed the connection.
    Closed,
    /// Anything else that the system said.
    Io(String),
}

/// What the outside tells of the connection to the primary, and takes for it.
impl Node {
    /// [`crate::Effect::Connect`] has worked. `local` and `peer` are the ends' addresses, for CLIENT LIST.
    pub fn link_connected(&mut self, _peer: engine::session::Peer) {}

    /// [`crate::Effect::Connect`] has failed, or the connection has ended.
    pub fn link_ended(&mut self, _end: LinkEnd) {}

    /// Bytes from the primary. All are taken: what is incomplete is kept here.
    pub fn link_input(&mut self, _bytes: &[u8]) {}

    /// Bytes for the primary; empty it as they are sent.
    pub fn link_output(&mut self) -> Option<&mut Vec<u8>> {
        None
    }

    /// Replicas that have bytes of the stream to be sent now.
    pub fn replicas_to_feed(&self) -> impl Iterator<Item = SessionId> {
        std::iter::empty()
    }

    /// The next bytes of the stream for a replica, at most `max_bytes`, in as many slices as they lie in. Empty while a
    /// transfer to it runs, or its session has output of its own, which goes first.
    pub fn stream_slices(&self, _replica: SessionId, _max_bytes: usize) -> impl Iterator<Item = &[u8]> {
        std::iter::empty()
    }

    /// So many of those bytes were sent.
    pub fn stream_sent(&mut self, _replica: SessionId, _bytes: usize) {}
}

/// Replicas that have not acknowledged the whole stream: their addresses, and how many bytes they lack.
#[must_use]
pub fn lagging_replicas(_state: &ServerState) -> Vec<(String, u64)> {
    Vec::new()
}

/// How many replicas there are that get the stream.
#[must_use]
pub fn online_replicas(_state: &ServerState) -> usize {
    0
}

/// Gives this server a new replication id (DEBUG CHANGE-REPL-ID).
pub fn change_id(_state: &mut ServerState, _engine: &mut Engine) {}

/// Puts a request into the stream without executing it (DEBUG REPLICATE).
pub fn inject(_state: &mut ServerState, engine: &mut Engine, words: &[&[u8]]) {
    engine.data.propagation.effect(base::DbIndex(0), words);
    engine.data.propagation.end_unit();
}

/// The fields of INFO replication, in stock order, ours behind them; each line ended by CR LF.
#[must_use]
pub fn info(_state: &ServerState, _engine: &Engine) -> String {
    String::new()
}

/// How replicas were synchronized since the start, or since CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default)]
pub struct SyncCounters {
    /// `sync_full`.
    pub full: u64,
    /// `sync_partial_ok`.
    pub partial_ok: u64,
    /// `sync_partial_err`.
    pub partial_err: u64,
}

/// How replicas were synchronized.
#[must_use]
pub fn counters(_state: &ServerState) -> SyncCounters {
    SyncCounters::default()
}

/// CONFIG RESETSTAT.
pub fn reset_counters(_state: &mut ServerState) {}

/// Bytes that the backlog holds (`mem_replication_backlog`).
#[must_use]
pub fn backlog_memory_bytes(_state: &ServerState) -> u64 {
    0
}
