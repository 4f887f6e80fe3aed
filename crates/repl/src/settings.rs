//! The directives that replication obeys, in the units of `redis.conf`.

/// A client class's output limits (`client-output-buffer-limit replica …`). A limit of 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// More than this closes the connection at once.
    pub hard_bytes: u64,
    /// More than this for `soft_seconds` without a break closes it.
    pub soft_bytes: u64,
    /// See `soft_bytes`.
    pub soft_seconds: u64,
}

/// Where the replica class's limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitOrigin {
    /// Built in: while a replica synchronizes, `repl-sync-buffer-limit` stands in its place.
    Default,
    /// Written by the operator: obeyed always.
    Operator,
}

/// How the payload of full resynchronizations is made (`repl-diskless-sync`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMethod {
    /// Straight to the sockets, where the replica can take it.
    Diskless,
    /// From a file.
    Disk,
}

/// The directives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The port we listen on; what a replica tells its primary.
    pub port: u16,
    /// `replica-announce-port`; 0: tell `port`.
    pub announce_port: u16,
    /// `replica-announce-ip`.
    pub announce_ip: Option<String>,
    /// `masteruser`.
    pub primary_user: Option<Vec<u8>>,
    /// `masterauth`.
    pub primary_password: Option<Vec<u8>>,
    /// `repl-timeout`.
    pub timeout_seconds: u64,
    /// `repl-ping-replica-period`.
    pub ping_period_seconds: u64,
    /// `repl-backlog-size`.
    pub backlog_bytes: u64,
    /// `repl-backlog-ttl`; 0: for ever.
    pub backlog_ttl_seconds: u64,
    /// `repl-diskless-sync`.
    pub sync_method: SyncMethod,
    /// `repl-diskless-sync-delay`.
    pub diskless_delay_seconds: u64,
    /// `repl-diskless-sync-max-replicas`; 0: the delay always runs out.
    pub diskless_max_replicas: usize,
    /// `min-replicas-max-lag`.
    pub min_replicas_max_lag_seconds: u64,
    /// `client-output-buffer-limit replica`.
    pub replica_limit: OutputLimit,
    /// Whether `replica_limit` is the operator's.
    pub replica_limit_origin: LimitOrigin,
    /// `repl-sync-buffer-limit`: how much of the stream a replica may hold while it synchronizes; 0: as much as the
    /// dataset is large.
    pub sync_buffer_limit_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 6379,
            announce_port: 0,
            announce_ip: None,
            primary_user: None,
            primary_password: None,
            timeout_seconds: 60,
            ping_period_seconds: 10,
            backlog_bytes: 1 << 20,
            backlog_ttl_seconds: 3600,
            sync_method: SyncMethod::Diskless,
            diskless_delay_seconds: 5,
            diskless_max_replicas: 0,
            min_replicas_max_lag_seconds: 10,
            replica_limit: OutputLimit {
                hard_bytes: 256 << 20,
                soft_bytes: 64 << 20,
                soft_seconds: 60,
            },
            replica_limit_origin: LimitOrigin::Default,
            sync_buffer_limit_bytes: 0,
        }
    }
}
