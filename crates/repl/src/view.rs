//! What INFO, ROLE and the log show of replication: plain values, no text.

use base::{DbIndex, Now, Offset, ReplId};

use crate::effect::{Form, ReplicaId};
use crate::feed::Lost;
use crate::link::LinkDown;

/// Everything that `INFO replication` and ROLE need.
#[derive(Clone, Debug)]
pub struct ReplicationView {
    /// The link to our primary; `None`: we are a primary.
    pub link: Option<LinkView>,
    /// Our replicas, in the order in which they came.
    pub replicas: Vec<ReplicaView>,
    /// The last replicas lost, newest first.
    pub lost: Vec<Lost>,
    /// Replicas near enough for `min-replicas-to-write` (`min_slaves_good_slaves`).
    pub good_replicas: usize,
    /// `master_failover_state`.
    pub failover_state: &'static str,
    /// `master_replid`.
    pub id: ReplId,
    /// `master_replid2`; forty zeros when there is none.
    pub second_id: ReplId,
    /// `master_repl_offset`.
    pub offset: Offset,
    /// `second_repl_offset`; -1 when there is none.
    pub second_offset: i64,
    /// The backlog.
    pub backlog: BacklogView,
    /// What the stream occupies in all (`mem_total_replication_buffers`).
    pub stream_memory_bytes: u64,
}

/// The backlog as INFO shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogView {
    /// `repl_backlog_active`.
    pub active: bool,
    /// `repl_backlog_size`: as configured.
    pub size_bytes: u64,
    /// `repl_backlog_first_byte_offset`; 0 while there is none.
    pub first_byte: u64,
    /// `repl_backlog_histlen`.
    pub history_bytes: u64,
    /// `mem_replication_backlog`.
    pub memory_bytes: u64,
}

/// One `slave<N>:` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    /// Its connection.
    pub id: ReplicaId,
    /// `ip=`
    pub ip: String,
    /// `port=`
    pub port: u16,
    /// `state=`: wait_bgsave, send_bulk or online.
    pub state: &'static str,
    /// `offset=`: what it last acknowledged.
    pub offset: Offset,
    /// `lag=`: seconds since it was last heard of; 0 while it is not online.
    pub lag_seconds: u64,
    /// What it has yet to be sent (CLIENT LIST's `omem`).
    pub unsent_bytes: u64,
}

/// Where the link to our primary stands.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkView {
    /// `master_host`.
    pub host: String,
    /// `master_port`.
    pub port: u16,
    /// `master_link_status` is up.
    pub up: bool,
    /// ROLE's word: connect, connecting, handshake, sync, connected.
    pub state: &'static str,
    /// `master_last_io_seconds_ago`; -1 while the link is not up.
    pub last_io_seconds: i64,
    /// The transfer under way (`master_sync_in_progress`).
    pub sync: Option<SyncView>,
    /// `slave_read_repl_offset`.
    pub read_offset: Offset,
    /// `slave_repl_offset`.
    pub applied_offset: Offset,
    /// The database that the stream stands in.
    pub db: DbIndex,
    /// `master_link_down_since_seconds`; -1: it was never up.
    pub down_seconds: i64,
    /// Why the link is down and since when; `None` while it is up or has not been tried.
    pub down: Option<(LinkDown, Now)>,
}

/// A full resynchronization that is being received. How far it is, the loader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncView {
    /// The primary prepares the payload.
    Preparing,
    /// The loader has the connection.
    Loading {
        /// How the payload is framed.
        form: Form,
    },
}
