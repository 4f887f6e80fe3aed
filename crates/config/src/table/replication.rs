//! Primary and replica.

use super::*;
use crate::choices::{DisklessLoad, PropagationErrors};
use crate::directive::Effect::Now;
use crate::directive::{Flags, group};
use crate::setting::Text;
use crate::special::ReplicaOf;

const MOD: Flags = Flags::MODIFIABLE;
const DEBUG: Flags = Flags::DEBUG;

group! {
    /// Primary and replica.
    Replication at replication, TABLE {
        /// The primary, for a replica. REPLICAOF changes it.
        "replicaof" / "slaveof" => replicaof: ReplicaOf = ReplicaOf(None), OWN, Flags::IMMUTABLE.or(Flags::MULTI), Now;
        /// Password for the primary; empty sends no AUTH.
        "masterauth" => masterauth: Text = Text::default(), OPTIONAL_TEXT, Flags::SENSITIVE, Now;
        /// User for the primary; empty is the default user.
        "masteruser" => masteruser: Text = Text::default(), OPTIONAL_TEXT, Flags::SENSITIVE, Now;
        /// Answer reads from old data while the link is down.
        "replica-serve-stale-data" / "slave-serve-stale-data" => replica_serve_stale_data: bool = true, OWN, MOD, Now;
        /// Refuse writes of clients on a replica.
        "replica-read-only" / "slave-read-only" => replica_read_only: bool = true, OWN, DEBUG, Now;
        /// For sentinels: the lowest is promoted first, 0 never.
        "replica-priority" / "slave-priority" => replica_priority: i64 = 100, NATURAL, MOD, Now;
        /// Address to tell the primary; empty is the socket's.
        "replica-announce-ip" / "slave-announce-ip" => replica_announce_ip: Text = Text::default(), OPTIONAL_TEXT, MOD, Now;
        /// Port to tell the primary; 0 is `port`.
        "replica-announce-port" / "slave-announce-port" => replica_announce_port: i64 = 0, PORT, MOD, Now;
        /// Be listed for sentinels.
        "replica-announced" => replica_announced: bool = true, OWN, MOD, Now;
        /// Free old data on another thread before a full sync.
        "replica-lazy-flush" / "slave-lazy-flush" => replica_lazy_flush: bool = false, OWN, MOD, Now;
        /// A replica leaves `maxmemory` to its primary.
        "replica-ignore-maxmemory" / "slave-ignore-maxmemory" => replica_ignore_maxmemory: bool = true, OWN, MOD, Now;
        /// A replica goes on when its disk fails.
        "replica-ignore-disk-write-errors" => replica_ignore_disk_write_errors: bool = false, OWN, MOD, Now;
        /// Send full syncs from memory, not from a file.
        "repl-diskless-sync" => repl_diskless_sync: bool = true, OWN, DEBUG, Now;
        /// Seconds that a full sync waits for more replicas.
        "repl-diskless-sync-delay" => repl_diskless_sync_delay: i64 = 5, NATURAL, MOD, Now;
        /// Replicas that end the wait; 0 is no number.
        "repl-diskless-sync-max-replicas" => repl_diskless_sync_max_replicas: i64 = 0, NATURAL, MOD, Now;
        /// Load a full sync as it arrives, or from a file.
        "repl-diskless-load" => repl_diskless_load: DisklessLoad = DisklessLoad::Disabled, OWN, DEBUG.or(Flags::DENY_LOADING), Now;
        /// Seconds between pings to replicas.
        "repl-ping-replica-period" / "repl-ping-slave-period" => repl_ping_replica_period: i64 = 10, Rule::Int(1, INT_MAX), MOD, Now;
        /// Seconds of silence after which a link is broken.
        "repl-timeout" => repl_timeout: i64 = 60, Rule::Int(1, INT_MAX), MOD, Now;
        /// Let the system collect small packets.
        "repl-disable-tcp-nodelay" => repl_disable_tcp_nodelay: bool = false, OWN, MOD, Now;
        /// Bytes of the stream kept for replicas that come back; at least 16 KiB in use.
        "repl-backlog-size" => repl_backlog_size: u64 = 1 << 20, Rule::Memory(1, LONG_MAX), MOD, Now;
        /// Seconds after the last replica until the backlog is freed; 0 is never.
        "repl-backlog-ttl" => repl_backlog_ttl: i64 = 3600, NATURAL_LONG, MOD, Now;
        /// Skein's own. Bytes of the stream that a replica may have waiting while its full sync goes on; 0 is as much as
        /// the dataset is large.
        "repl-sync-buffer-limit" => repl_sync_buffer_limit: u64 = 0, BYTES, MOD, Now;
        /// Refuse writes with fewer good replicas; 0 is off.
        "min-replicas-to-write" / "min-slaves-to-write" => min_replicas_to_write: i64 = 0, NATURAL, MOD, Now;
        /// Seconds of lag up to which a replica is good; 0 is off.
        "min-replicas-max-lag" / "min-slaves-max-lag" => min_replicas_max_lag: i64 = 10, NATURAL, MOD, Now;
        /// What a failing command of the stream does.
        "propagation-error-behavior" => propagation_error_behavior: PropagationErrors = PropagationErrors::Ignore, OWN, MOD, Now;
    }
}
