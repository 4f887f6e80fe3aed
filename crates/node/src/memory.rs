//! What memory is used for, as INFO memory and MEMORY tell it.
//!
//! ```text
//!   allocated ── what the allocator has handed out
//!     └ less what another thread is about to free = used
//!          ├─ overhead: at the start, the replication stream, clients, function libraries, the keys' tables
//!          └─ dataset: the rest
//! ```

use crate::host::ServerState;
use crate::outside::Resources;
use base::DbIndex;
use engine::Engine;
use engine::session::Kind;

/// The figures of one moment, in bytes.
#[derive(Clone, Debug)]
pub struct Memory {
    /// In use.
    pub used: u64,
    /// The most that was ever in use.
    pub peak: u64,
    /// In use when the server was ready and empty.
    pub startup: u64,
    /// Of the stream, what is kept for reconnects.
    pub backlog: u64,
    /// Of the stream, what only slow replicas still need.
    pub replicas: u64,
    /// Held by clients' connections.
    pub clients: u64,
    /// Of function libraries.
    pub functions: u64,
    /// What tables take for the keys of each database that has any, without the entries.
    pub tables: Vec<(DbIndex, u64)>,
    /// The number of keys.
    pub keys: u64,
}

impl Memory {
    /// As of now.
    #[must_use]
    pub fn now(state: &ServerState, engine: &Engine) -> Self {
        let used = crate::persistence::used_memory(state, &engine.data);
        let keyspace = &engine.data.keyspace;
        let stream = crate::replication::stream_memory_bytes(state);
        let backlog = crate::replication::backlog_memory_bytes(state);
        let fed = engine.sessions.iter().any(|session| session.kind == Kind::Replica);
        let functions = &state.persistence.functions;
        Self {
            used,
            peak: state.meters.peak_memory.max(used),
            startup: state.meters.startup_memory.min(used),
            backlog: if fed { backlog } else { stream },
            replicas: if fed { stream - backlog } else { 0 },
            clients: crate::client_memory::of_clients(engine),
            functions: functions.iter().map(|library| library.len() as u64).sum(),
            tables: (0..keyspace.databases())
                .map(DbIndex)
                .filter(|db| !keyspace.db(*db).is_empty())
                .map(|db| (db, keyspace.db(db).table_bytes()))
                .collect(),
            keys: keyspace.key_count(),
        }
    }

    /// What is not data.
    #[must_use]
    pub fn overhead(&self) -> u64 {
        let tables: u64 = self.tables.iter().map(|(_, bytes)| bytes).sum();
        self.startup + self.backlog + self.replicas + self.clients + self.functions + tables
    }

    /// What is data.
    #[must_use]
    pub fn dataset(&self) -> u64 {
        self.used.saturating_sub(self.overhead())
    }

    /// The dataset's share of what was not there at the start, in hundredths.
    #[must_use]
    pub fn dataset_percent(&self) -> f64 {
        100.0 * self.dataset() as f64 / self.used.saturating_sub(self.startup).max(1) as f64
    }

    /// Bytes for each key.
    #[must_use]
    pub fn bytes_per_key(&self) -> u64 {
        let since_start = self.used.saturating_sub(self.startup);
        since_start.checked_div(self.keys).unwrap_or(0)
    }

    /// What is resident for each byte in use, and how many bytes more.
    #[must_use]
    pub fn fragmentation(&self, resources: &Resources) -> (f64, i64) {
        let resident = resources.resident_bytes;
        (
            resident as f64 / self.used.max(1) as f64,
            resident as i64 - self.used as i64,
        )
    }
}
