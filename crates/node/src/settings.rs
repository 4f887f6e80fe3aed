//! From configuration to the engine's settings, and the small questions that several places ask of configuration.

use crate::host::ServerState;
use base::Now;
use config::{Access, Config, MaxmemoryPolicy, SavePoint};
use engine::host::Level;
use engine::settings::{Allow, EvictionOrder, EvictionPolicy, KeyEvents};
use engine::{Engine, Session};

/// Puts the configuration in force: called at the start, and after CONFIG SET.
pub fn apply(state: &mut ServerState, engine: &mut Engine) {
    let config = &state.config;
    let settings = &mut engine.data.settings;
    settings.replica_read_only = config.replica_read_only;
    settings.serve_stale_data = config.replica_serve_stale_data;
    let limit_changed = settings.maxmemory != config.maxmemory;
    settings.maxmemory = config.maxmemory;
    // Keys go soon, even if no command comes.
    engine.evictor.under_way |= limit_changed;
    settings.eviction = eviction(config.maxmemory_policy);
    settings.maxmemory_samples = config.maxmemory_samples;
    settings.eviction_tenacity = config.maxmemory_eviction_tenacity;
    settings.lazy_eviction = config.lazyfree_lazy_eviction;
    settings.lazy_expire = config.lazyfree_lazy_expire;
    settings.ignore_maxmemory_as_replica = config.replica_ignore_maxmemory;
    settings.debug_command = match config.enable_debug_command {
        Access::No => Allow::Never,
        Access::Yes => Allow::Always,
        Access::Local => Allow::Local,
    };
    settings.max_bulk_bytes = config.proto_max_bulk_len;
    settings.slowlog_slower_than_us = config.slowlog_log_slower_than;
    settings.slowlog_max_len = config.slowlog_max_len as usize;
    settings.latency_threshold_ms = config.latency_monitor_threshold as u64;
    settings.latency_tracking = config.latency_tracking;
    settings.lfu = settings
        .eviction
        .is_some_and(|policy| policy.order == EvictionOrder::Lfu);
    settings.lfu_log_factor = config.lfu_log_factor;
    settings.lfu_decay_minutes = config.lfu_decay_time;
    settings.lazy_user_flush = config.lazyfree_lazy_user_flush;
    settings.lazy_user_del = config.lazyfree_lazy_user_del;
    let packed_threshold = settings.encodings.list_packed_threshold;
    settings.encodings = encodings(config);
    settings.encodings.list_packed_threshold = packed_threshold;
    settings.tracked_keys_max = usize::try_from(config.tracking_table_max_keys).unwrap_or(0);
    let letters = b"g$lshzxetdnKEm".iter();
    let wanted = letters.filter(|letter| config.notify_keyspace_events.wants(**letter));
    settings.key_events = KeyEvents::of(wanted.map(|letter| char::from(*letter)));
    let password = (!config.requirepass.is_empty()).then(|| config.requirepass.as_bytes().into());
    settings.password = password;
    settings.client_output_hard_bytes = config.client_output_buffer_limit.normal.hard_bytes;
    engine.slowlog.truncate(engine.data.settings.slowlog_max_len);
    crate::replication::configure(state, engine);
    crate::client_memory::count_all(state, engine);
    if limit_changed {
        warn_of_tight_limit(state, engine);
    }
}

fn warn_of_tight_limit(state: &mut ServerState, engine: &Engine) {
    let limit = state.config.maxmemory;
    let used = crate::persistence::used_memory(state, &engine.data);
    if limit > 0 && used > limit {
        let line = format!(
            "maxmemory is {limit} bytes now, and {used} are in use: keys will be evicted, or writes refused, as \
             maxmemory-policy says."
        );
        state.log(Level::Warning, line);
    }
}

/// Up to which size collections are kept as one compact block.
#[must_use]
pub fn encodings(config: &Config) -> keyspace::Encodings {
    keyspace::Encodings {
        hash_max_listpack_entries: config.hash_max_listpack_entries,
        hash_max_listpack_value: config.hash_max_listpack_value,
        list_max_listpack_size: config.list_max_listpack_size,
        list_compress_depth: config.list_compress_depth,
        list_packed_threshold: keyspace::Encodings::default().list_packed_threshold,
        set_max_intset_entries: config.set_max_intset_entries,
        zset_max_listpack_entries: config.zset_max_listpack_entries,
        zset_max_listpack_value: config.zset_max_listpack_value,
        stream_node_max_bytes: config.stream_node_max_bytes,
        stream_node_max_entries: config.stream_node_max_entries,
        hll_sparse_max_bytes: config.hll_sparse_max_bytes,
    }
}

/// What a policy means to the engine.
fn eviction(policy: MaxmemoryPolicy) -> Option<EvictionPolicy> {
    use keyspace::Sampled::{All, Expiring};
    let (order, among) = match policy {
        MaxmemoryPolicy::NoEviction => return None,
        MaxmemoryPolicy::VolatileLru => (EvictionOrder::Lru, Expiring),
        MaxmemoryPolicy::VolatileLfu => (EvictionOrder::Lfu, Expiring),
        MaxmemoryPolicy::VolatileRandom => (EvictionOrder::Random, Expiring),
        MaxmemoryPolicy::VolatileTtl => (EvictionOrder::Ttl, Expiring),
        MaxmemoryPolicy::AllkeysLru => (EvictionOrder::Lru, All),
        MaxmemoryPolicy::AllkeysLfu => (EvictionOrder::Lfu, All),
        MaxmemoryPolicy::AllkeysRandom => (EvictionOrder::Random, All),
    };
    Some(EvictionPolicy { order, among })
}

/// `rename-command`: old and new names; an empty new name takes the command away.
pub fn renamed_commands(config: &Config) -> impl Iterator<Item = (String, String)> {
    config
        .renamed_commands()
        .iter()
        .map(|rename| (rename.from.to_str().into_owned(), rename.to.to_str().into_owned()))
}

/// The save points.
#[must_use]
pub fn save_points(config: &Config) -> &[SavePoint] {
    &config.save.0
}

/// How much output a client may leave unread.
#[derive(Clone, Copy, Debug)]
pub struct ClientOutputLimit {
    hard_bytes: u64,
    soft_bytes: u64,
    soft_seconds: u64,
}

/// The limits of clients' outputs.
#[derive(Clone, Copy, Debug)]
pub struct ClientOutputLimits {
    normal: ClientOutputLimit,
    pubsub: ClientOutputLimit,
}

impl ClientOutputLimits {
    /// The limit of the class that a session belongs to.
    #[must_use]
    pub fn of(self, session: &Session) -> ClientOutputLimit {
        if session.subscriptions.is_some() {
            self.pubsub
        } else {
            self.normal
        }
    }
}

/// The limits of the classes `normal` and `pubsub`.
#[must_use]
pub fn client_output_limits(config: &Config) -> ClientOutputLimits {
    let limits = config.client_output_buffer_limit;
    ClientOutputLimits {
        normal: client_output_limit(limits.normal),
        pubsub: client_output_limit(limits.pubsub),
    }
}

fn client_output_limit(limit: config::OutputLimit) -> ClientOutputLimit {
    ClientOutputLimit {
        hard_bytes: limit.hard_bytes,
        soft_bytes: limit.soft_bytes,
        soft_seconds: limit.soft_seconds.max(0) as u64,
    }
}

impl ClientOutputLimit {
    /// Whether there is a limit at all.
    #[must_use]
    pub fn is_any(self) -> bool {
        self.hard_bytes > 0 || self.soft_bytes > 0
    }

    /// Whether the session is over the hard limit, or has been over the soft one for too long. Keeps its mark of since
    /// when. Time is counted in whole seconds, as the stock server does: it is never cut short, and may last one more.
    pub fn exceeded(self, session: &mut Session, now: Now) -> bool {
        let unsent = session.overflow_bytes() as u64;
        if self.soft_bytes == 0 || unsent < self.soft_bytes {
            session.over_soft_limit_since_ms = None;
        } else {
            let since = *session.over_soft_limit_since_ms.get_or_insert(now.mono_ms());
            if (now.mono_ms() / 1000).saturating_sub(since / 1000) > self.soft_seconds {
                return true;
            }
        }
        self.hard_bytes > 0 && unsent >= self.hard_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::session::{Peer, Sessions};

    #[test]
    fn the_soft_limit_is_never_cut_short() {
        let at = |ms: u64| Now {
            mono_us: ms * 1000,
            unix_us: 0,
        };
        let limit = ClientOutputLimit {
            hard_bytes: 0,
            soft_bytes: 50_000,
            soft_seconds: 3,
        };
        let mut sessions = Sessions::default();
        let id = sessions.open(Peer::default(), at(0), true);
        let session = &mut sessions[id];
        session.out = vec![0; 100_000];
        assert!(!limit.exceeded(session, at(10_900)));
        assert!(
            !limit.exceeded(session, at(13_999)),
            "more than 3,000 ms, but not in whole seconds"
        );
        assert!(limit.exceeded(session, at(14_000)));
        session.out.clear();
        assert!(!limit.exceeded(session, at(14_001)));
        session.out = vec![0; 100_000];
        assert!(
            !limit.exceeded(session, at(14_002)),
            "a moment below starts the clock again"
        );
    }
}
