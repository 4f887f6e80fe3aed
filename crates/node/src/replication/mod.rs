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

/// Bytes held by the replication stream and backlog.
#[must_use]
pub fn stream_memory_bytes(_state: &ServerState) -> u64 {
    0
}
