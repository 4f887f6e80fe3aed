//! What the engine must know of configuration and of the server's state. Whoever owns these facts keeps them current.

use keyspace::Sampled;

/// Which side of replication this server stands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Takes writes and expires keys.
    #[default]
    Primary,
    /// Follows a primary: hides expired keys, and waits for their DEL.
    Replica,
}

/// Whether a dataset is being loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loading {
    /// No.
    #[default]
    No,
    /// Yes, and no older data may answer.
    Foreground,
    /// Yes, and data of the same history answers meanwhile.
    Async,
}

/// Who may use a protected command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allow {
    /// Nobody.
    #[default]
    Never,
    /// Anybody.
    Always,
    /// Connections from this host.
    Local,
}

/// By what eviction judges keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionOrder {
    /// Those not used for the longest time go first.
    Lru,
    /// Those used least often go first.
    Lfu,
    /// Those that expire first go first.
    Ttl,
    /// All are equal.
    Random,
}

/// What goes when memory reaches its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvictionPolicy {
    /// By what keys are judged.
    pub order: EvictionOrder,
    /// Which keys may go.
    pub among: Sampled,
}

/// Which keyspace events are published, and to which channels: the letters of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyEvents(u128);

impl KeyEvents {
    /// The classes and channels of these letters, `A` spelt out.
    #[must_use]
    pub fn of(letters: impl IntoIterator<Item = char>) -> Self {
        let bits = letters.into_iter().fold(0, |bits, letter| bits | Self::bit(letter));
        Self(bits)
    }

    const fn bit(letter: char) -> u128 {
        1 << (letter as u32 & 127)
    }

    /// Whether events of this class, or messages to this kind of channel (`K`, `E`), are wanted.
    #[must_use]
    #[inline]
    pub fn wants(self, letter: char) -> bool {
        self.0 & Self::bit(letter) != 0
    }
}

/// The engine's view of configuration and state.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which side of replication this server stands on.
    pub role: Role,
    /// On a replica: whether the stream from the primary flows.
    pub link_up: bool,
    /// On a replica: refuse writes of clients.
    pub replica_read_only: bool,
    /// On a replica: answer from old data while the link is down.
    pub serve_stale_data: bool,
    /// Whether a dataset is being loaded.
    pub loading: Loading,
    /// Writes are refused because the last background save failed.
    pub save_failed: bool,
    /// Writes are refused because too few replicas are good.
    pub too_few_replicas: bool,
    /// The limit of memory in bytes; 0 for none.
    pub maxmemory: u64,
    /// A replica leaves the limit to its primary.
    pub ignore_maxmemory_as_replica: bool,
    /// What goes when memory reaches the limit; `None` for nothing.
    pub eviction: Option<EvictionPolicy>,
    /// How many keys of a database eviction looks at for each that it evicts.
    pub maxmemory_samples: u32,
    /// How long one step of eviction may take, from 0 to 100.
    pub eviction_tenacity: u32,
    /// Memory is over the limit and cannot be brought below it, as of the command that is about to run.
    pub out_of_memory: bool,
    /// The password of the default user.
    pub password: Option<Box<[u8]>>,
    /// Who may use DEBUG.
    pub debug_command: Allow,
    /// The longest bulk a request may have, in bytes.
    pub max_bulk_bytes: u64,
    /// Commands that take so many microseconds go to the slow log; negative for none.
    pub slowlog_slower_than_us: i64,
    /// How many commands the slow log keeps.
    pub slowlog_max_len: usize,
    /// Events that take so many milliseconds go to the latency monitor; 0 for none.
    pub latency_threshold_ms: u64,
    /// Whether each command's latencies are kept in a histogram.
    pub latency_tracking: bool,
    /// Whether the access clock counts frequency (LFU) rather than recency.
    pub lfu: bool,
    /// The logarithm factor of the LFU counter.
    pub lfu_log_factor: u32,
    /// Minutes after which the LFU counter decays by one.
    pub lfu_decay_minutes: u32,
    /// Whether FLUSHALL and FLUSHDB free in the background unless told.
    pub lazy_user_flush: bool,
    /// Whether DEL frees in the background.
    pub lazy_user_del: bool,
    /// Whether eviction tells replicas UNLINK instead of DEL.
    pub lazy_eviction: bool,
    /// Whether expiry tells replicas UNLINK instead of DEL.
    pub lazy_expire: bool,
    /// Whether the background expiry cycle runs.
    pub active_expire: bool,
    /// Whether checksums of RDB files and DUMP payloads are passed over, as DEBUG asks.
    pub skip_checksum: bool,
    /// How many keys are remembered for those who cache them; 0: any number.
    pub tracked_keys_max: usize,
    /// Which keyspace events are published.
    pub key_events: KeyEvents,
    /// Whether RESTORE checks its payload deeply.
    pub sanitize_dump_payload: bool,
    /// How many bytes of replies a client may leave unread before it is closed; 0 for any number. What goes beyond need
    /// not be written.
    pub client_output_hard_bytes: u64,
    /// Up to which size collections are kept as one compact block.
    pub encodings: keyspace::Encodings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            role: Role::Primary,
            link_up: false,
            replica_read_only: true,
            serve_stale_data: true,
            loading: Loading::No,
            save_failed: false,
            too_few_replicas: false,
            maxmemory: 0,
            ignore_maxmemory_as_replica: true,
            eviction: None,
            maxmemory_samples: 5,
            eviction_tenacity: 10,
            out_of_memory: false,
            password: None,
            debug_command: Allow::Never,
            max_bulk_bytes: 512 << 20,
            slowlog_slower_than_us: 10_000,
            slowlog_max_len: 128,
            latency_threshold_ms: 0,
            latency_tracking: true,
            lfu: false,
            lfu_log_factor: 10,
            lfu_decay_minutes: 1,
            lazy_user_flush: false,
            lazy_user_del: false,
            lazy_eviction: false,
            lazy_expire: false,
            active_expire: true,
            skip_checksum: false,
            tracked_keys_max: 1_000_000,
            key_events: KeyEvents::default(),
            sanitize_dump_payload: false,
            client_output_hard_bytes: 0,
            encodings: keyspace::Encodings::default(),
        }
    }
}
