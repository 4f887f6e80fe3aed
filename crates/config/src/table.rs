//! The table of directives: one line each.
//!
//! ```text
//! "name" / "older name" => field: Type = default, rule, flags, effect;
//! ```
//! To add one, add its line; its field of [`Config`], its default, CONFIG GET, SET and REWRITE follow from it.

use crate::choices::*;
use crate::directive::Effect::{Kept, Now, Unbuilt};
use crate::directive::{Directive, Flags, directives};
use crate::setting::{MemoryOrPercent, Permissions, Rule, Text};
use crate::special::*;
use crate::unbuilt::{APPEND_ONLY, CLUSTER, TLS, USERS};

const MOD: Flags = Flags::MODIFIABLE;
const IMM: Flags = Flags::IMMUTABLE;
const MULTI: Flags = Flags::MULTI;
const DEBUG: Flags = Flags::DEBUG;
const HIDDEN: Flags = Flags::HIDDEN;
const PROTECTED: Flags = Flags::PROTECTED;
const SENSITIVE: Flags = Flags::SENSITIVE;
const DENY_LOADING: Flags = Flags::DENY_LOADING;

const INT_MAX: u64 = i32::MAX as u64;
const UINT_MAX: u64 = u32::MAX as u64;
const LONG_MAX: u64 = i64::MAX as u64;

/// The type says everything.
const OWN: Rule = Rule::Own;
/// 0 to the largest 32-bit integer.
const NATURAL: Rule = Rule::Int(0, INT_MAX);
/// 0 to the largest 64-bit integer.
const NATURAL_LONG: Rule = Rule::Int(0, LONG_MAX);
/// A port, or 0.
const PORT: Rule = Rule::Int(0, 65535);
/// Bytes, to the largest signed 64-bit integer.
const BYTES: Rule = Rule::Memory(0, LONG_MAX);
/// A text for which empty means not set.
const OPTIONAL_TEXT: Rule = Rule::Text {
    unset_when_empty: true,
    check: check::anything,
};
/// A text that may be empty.
const TEXT: Rule = Rule::Text {
    unset_when_empty: false,
    check: check::anything,
};

/// A text that must pass a check.
const fn checked_text(check: fn(&[u8]) -> Result<(), &'static str>) -> Rule {
    Rule::Text {
        unset_when_empty: false,
        check,
    }
}

directives! {
    // ── Sockets, clients and their buffers.
    /// Addresses to listen on.
    "bind" => bind: Bind = Bind::default(), OWN, MULTI, Now;
    /// Address that outgoing connections come from; empty leaves it to the system.
    "bind-source-addr" => bind_source_addr: Text = Text::default(), OPTIONAL_TEXT, MOD, Now;
    /// TCP port; 0 is none.
    "port" => port: u16 = 6379, PORT, MOD, Now;
    /// Path of a Unix socket; empty is none.
    "unixsocket" => unixsocket: Text = Text::default(), OPTIONAL_TEXT, IMM, Now;
    /// Permission bits of the Unix socket; 0 leaves them to the umask.
    "unixsocketperm" => unixsocketperm: Permissions = Permissions(0), Rule::Octal(0, 0o777), IMM, Now;
    /// Length of the queue of connections not yet accepted.
    "tcp-backlog" => tcp_backlog: u32 = 511, NATURAL, IMM, Now;
    /// Seconds between TCP keep-alive probes; 0 is never.
    "tcp-keepalive" => tcp_keepalive: u32 = 300, NATURAL, MOD, Now;
    /// Mark of outgoing packets, for the firewall.
    "socket-mark-id" => socket_mark_id: u32 = 0, Rule::Int(0, UINT_MAX), IMM, Kept;
    /// Seconds after which an idle client is closed; 0 is never.
    "timeout" => timeout: u32 = 0, NATURAL, MOD, Now;
    /// Most clients connected at the same time.
    "maxclients" => maxclients: u32 = 10_000, Rule::Int(1, UINT_MAX), MOD, Now;
    /// How much unsent output closes a connection, by class of client.
    "client-output-buffer-limit" => client_output_buffer_limit: OutputLimits = OutputLimits::default(), OWN, MULTI, Now;
    /// Most bytes of a client's requests that wait.
    "client-query-buffer-limit" => client_query_buffer_limit: u64 = 1 << 30, Rule::Memory(1 << 20, LONG_MAX), DEBUG, Now;
    /// Largest single word of a request, in bytes.
    "proto-max-bulk-len" => proto_max_bulk_len: u64 = 512 << 20, Rule::Memory(1 << 20, LONG_MAX), DEBUG, Now;
    /// Threads that read and write sockets.
    "io-threads" => io_threads: u32 = 1, Rule::Int(1, 128), DEBUG.or(IMM), Now;
    /// Whether those threads read, too, and not only write.
    "io-threads-do-reads" => io_threads_do_reads: bool = false, OWN, DEBUG.or(IMM), Now;
    /// For tests: those threads do all of it, however little it is.
    "io-threads-always-active" => io_threads_always_active: bool = false, OWN, HIDDEN, Now;

    // ── Passwords, users and what is closed by default.
    /// Refuse clients from elsewhere while there is no password and no address to bind to.
    "protected-mode" => protected_mode: bool = true, OWN, MOD, Now;
    /// The password of the default user; empty is none.
    "requirepass" => requirepass: Text = Text::default(), OPTIONAL_TEXT, SENSITIVE, Now;
    "aclfile" => aclfile: Text = Text::default(), TEXT, IMM, Unbuilt(USERS);
    "acl-pubsub-default" => acl_pubsub_default: AclPubsubDefault = AclPubsubDefault::ResetChannels, OWN, MOD, Kept;
    "acllog-max-len" => acllog_max_len: i64 = 128, NATURAL_LONG, MOD, Kept;
    /// Who may send DEBUG.
    "enable-debug-command" => enable_debug_command: Access = Access::No, OWN, IMM, Now;
    /// Who may change directives that are protected.
    "enable-protected-configs" => enable_protected_configs: Access = Access::No, OWN, IMM, Now;
    "enable-module-command" => enable_module_command: Access = Access::No, OWN, IMM, Kept;
    "sanitize-dump-payload" => sanitize_dump_payload: SanitizeDumpPayload = SanitizeDumpPayload::No, OWN, DEBUG, Kept;

    // ── The process: how it starts, runs and ends, and what it calls itself.
    /// Go to the background.
    "daemonize" => daemonize: bool = false, OWN, IMM, Now;
    /// Whom to tell when the server is ready.
    "supervised" => supervised: Supervised = Supervised::No, OWN, IMM, Now;
    /// File that holds the process id; empty is none, or the system's place with `daemonize`.
    "pidfile" => pidfile: Text = Text::default(), OPTIONAL_TEXT, IMM, Now;
    /// Number of databases.
    "databases" => databases: u32 = 16, Rule::Int(1, INT_MAX), IMM, Now;
    /// Show the logo even when the log is no terminal.
    "always-show-logo" => always_show_logo: bool = false, OWN, IMM, Now;
    /// Change the title that `ps` shows.
    "set-proc-title" => set_proc_title: bool = true, OWN, IMM, Now;
    /// The title; see [`crate::title::expand`].
    "proc-title-template" => proc_title_template: Text = Text::from("{title} {listen-addr} {server-mode}"),
        checked_text(check::title_template), MOD, Now;
    /// Warnings at the start that are known and wanted away.
    "ignore-warnings" => ignore_warnings: Text = Text::default(), TEXT, MOD, Now;
    /// How SIGINT ends the server.
    "shutdown-on-sigint" => shutdown_on_sigint: ShutdownFlags = ShutdownFlags::default(), OWN, MULTI, Now;
    /// How SIGTERM ends the server.
    "shutdown-on-sigterm" => shutdown_on_sigterm: ShutdownFlags = ShutdownFlags::default(), OWN, MULTI, Now;
    /// Seconds that a shutdown waits for replicas to catch up.
    "shutdown-timeout" => shutdown_timeout: u32 = 10, NATURAL, MOD, Now;
    /// Runs of the background work in a second, 1 to 500.
    "hz" => hz: u32 = 10, NATURAL, MOD, Now;
    /// Raise `hz` with the number of clients.
    "dynamic-hz" => dynamic_hz: bool = true, OWN, MOD, Now;
    "server_cpulist" => server_cpulist: Text = Text::default(), OPTIONAL_TEXT, IMM, Kept;
    "bio_cpulist" => bio_cpulist: Text = Text::default(), OPTIONAL_TEXT, IMM, Kept;
    "aof_rewrite_cpulist" => aof_rewrite_cpulist: Text = Text::default(), OPTIONAL_TEXT, IMM, Kept;
    "bgsave_cpulist" => bgsave_cpulist: Text = Text::default(), OPTIONAL_TEXT, IMM, Kept;
    /// Small pages of memory only.
    "disable-thp" => disable_thp: bool = true, OWN, IMM, Now;
    "oom-score-adj" => oom_score_adj: OomScoreAdj = OomScoreAdj::No, OWN, MOD, Kept;
    "oom-score-adj-values" => oom_score_adj_values: OomScores = OomScores([0, 200, 800]), OWN, MULTI, Kept;
    "busy-reply-threshold" / "lua-time-limit" => busy_reply_threshold: i64 = 5000, NATURAL_LONG, MOD, Kept;
    "lua-enable-deprecated-api" => lua_enable_deprecated_api: bool = false, OWN, IMM.or(HIDDEN), Kept;
    "use-exit-on-panic" => use_exit_on_panic: bool = false, OWN, HIDDEN, Kept;
    /// Milliseconds without progress after which stock servers log where they are.
    "watchdog-period" => watchdog_period: u32 = 0, NATURAL, HIDDEN, Kept;
    /// Skein's own. Whether a directive stops the start whose silent absence would lose data or open a door.
    "unbuilt-directives" => unbuilt_directives: UnbuiltDirectives = UnbuiltDirectives::Stop, OWN, IMM.or(HIDDEN), Now;

    // ── Logs, slow commands, latency and notifications.
    /// The least that is logged.
    "loglevel" => loglevel: LogLevel = LogLevel::Notice, OWN, MOD, Now;
    /// File to log to; empty is standard output.
    "logfile" => logfile: Text = Text::default(), TEXT, IMM, Now;
    "syslog-enabled" => syslog_enabled: bool = false, OWN, IMM, Kept;
    "syslog-ident" => syslog_ident: Text = Text::from("redis"), TEXT, IMM, Kept;
    "syslog-facility" => syslog_facility: SyslogFacility = SyslogFacility::Local0, OWN, IMM, Kept;
    /// Log where a crash happened.
    "crash-log-enabled" => crash_log_enabled: bool = true, OWN, MOD, Now;
    "crash-memcheck-enabled" => crash_memcheck_enabled: bool = true, OWN, MOD, Kept;
    /// Microseconds from which a command is slow; -1 logs none.
    "slowlog-log-slower-than" => slowlog_log_slower_than: i64 = 10_000, Rule::Int(-1, LONG_MAX), MOD, Now;
    /// Most slow commands kept.
    "slowlog-max-len" => slowlog_max_len: i64 = 128, NATURAL_LONG, MOD, Now;
    /// Milliseconds from which an event is sampled; 0 is never.
    "latency-monitor-threshold" => latency_monitor_threshold: i64 = 0, NATURAL_LONG, MOD, Now;
    /// Keep a histogram of each command's latency.
    "latency-tracking" => latency_tracking: bool = true, OWN, MOD, Now;
    /// Percentiles that INFO latencystats shows.
    "latency-tracking-info-percentiles" => latency_tracking_info_percentiles: Percentiles = Percentiles(vec![50.0, 99.0, 99.9]),
        OWN, MULTI, Now;
    "notify-keyspace-events" => notify_keyspace_events: KeyEvents = KeyEvents::default(), OWN, MOD, Now;
    "tracking-table-max-keys" => tracking_table_max_keys: i64 = 1_000_000, NATURAL_LONG, MOD, Now;

    // ── Files that data is saved to: RDB now, the append-only file later.
    /// When snapshots are due.
    "save" => save: SavePoints = SavePoints::default(), OWN, MULTI, Now;
    /// The working directory.
    "dir" => dir: Directory = Directory(Text::from("./")), OWN, PROTECTED.or(DENY_LOADING), Now;
    /// File name of the snapshot, inside `dir`.
    "dbfilename" => dbfilename: Text = Text::from("dump.rdb"), checked_text(check::dump_file), PROTECTED, Now;
    /// Compress long strings in the snapshot.
    "rdbcompression" => rdbcompression: bool = true, OWN, MOD, Now;
    /// End the snapshot with a checksum.
    "rdbchecksum" => rdbchecksum: bool = true, OWN, IMM, Now;
    "rdb-save-incremental-fsync" => rdb_save_incremental_fsync: bool = true, OWN, MOD, Now;
    /// Delete snapshot files that only served replication.
    "rdb-del-sync-files" => rdb_del_sync_files: bool = false, OWN, MOD, Now;
    /// Refuse writes after a snapshot failed.
    "stop-writes-on-bgsave-error" => stop_writes_on_bgsave_error: bool = true, OWN, MOD, Now;
    "appendonly" => appendonly: bool = false, OWN, DENY_LOADING, Unbuilt(APPEND_ONLY);
    "appendfilename" => appendfilename: Text = Text::from("appendonly.aof"), checked_text(check::append_file), IMM, Kept;
    "appenddirname" => appenddirname: Text = Text::from("appendonlydir"), checked_text(check::append_directory), IMM, Kept;
    "appendfsync" => appendfsync: AppendFsync = AppendFsync::EverySecond, OWN, MOD, Kept;
    "no-appendfsync-on-rewrite" => no_appendfsync_on_rewrite: bool = false, OWN, MOD, Kept;
    "auto-aof-rewrite-percentage" => auto_aof_rewrite_percentage: u32 = 100, NATURAL, MOD, Kept;
    "auto-aof-rewrite-min-size" => auto_aof_rewrite_min_size: u64 = 64 << 20, BYTES, MOD, Kept;
    "aof-load-truncated" => aof_load_truncated: bool = true, OWN, MOD, Kept;
    "aof-use-rdb-preamble" => aof_use_rdb_preamble: bool = true, OWN, MOD, Kept;
    "aof-rewrite-incremental-fsync" => aof_rewrite_incremental_fsync: bool = true, OWN, MOD, Kept;
    "aof-timestamp-enabled" => aof_timestamp_enabled: bool = false, OWN, MOD, Kept;
    "aof-disable-auto-gc" => aof_disable_auto_gc: bool = false, OWN, MOD, Kept;
    /// For tests: microseconds to wait after each key loaded; negative is keys per microsecond.
    "key-load-delay" => key_load_delay: i32 = 0, Rule::Int(i32::MIN as i64, INT_MAX), HIDDEN, Now;
    /// For tests: microseconds to wait after each key saved; negative is keys per microsecond.
    "rdb-key-save-delay" => rdb_key_save_delay: i32 = 0, Rule::Int(i32::MIN as i64, INT_MAX), HIDDEN, Now;
    /// Bytes loaded between two turns for clients.
    "loading-process-events-interval-bytes" => loading_process_events_interval_bytes: i64 = 2 << 20,
        Rule::Int(1024, INT_MAX), HIDDEN, Now;

    // ── Primary and replica.
    /// The primary, for a replica. REPLICAOF changes it.
    "replicaof" / "slaveof" => replicaof: ReplicaOf = ReplicaOf(None), OWN, IMM.or(MULTI), Now;
    /// Password for the primary; empty sends no AUTH.
    "masterauth" => masterauth: Text = Text::default(), OPTIONAL_TEXT, SENSITIVE, Now;
    /// User for the primary; empty is the default user.
    "masteruser" => masteruser: Text = Text::default(), OPTIONAL_TEXT, SENSITIVE, Now;
    /// Answer reads from old data while the link is down.
    "replica-serve-stale-data" / "slave-serve-stale-data" => replica_serve_stale_data: bool = true, OWN, MOD, Now;
    /// Refuse writes of clients on a replica.
    "replica-read-only" / "slave-read-only" => replica_read_only: bool = true, OWN, DEBUG, Now;
    /// For sentinels: the lowest is promoted first, 0 never.
    "replica-priority" / "slave-priority" => replica_priority: u32 = 100, NATURAL, MOD, Now;
    /// Address to tell the primary; empty is the socket's.
    "replica-announce-ip" / "slave-announce-ip" => replica_announce_ip: Text = Text::default(), OPTIONAL_TEXT, MOD, Now;
    /// Port to tell the primary; 0 is `port`.
    "replica-announce-port" / "slave-announce-port" => replica_announce_port: u16 = 0, PORT, MOD, Now;
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
    "repl-diskless-sync-delay" => repl_diskless_sync_delay: u32 = 5, NATURAL, MOD, Now;
    /// Replicas that end the wait; 0 is no number.
    "repl-diskless-sync-max-replicas" => repl_diskless_sync_max_replicas: u32 = 0, NATURAL, MOD, Now;
    /// Load a full sync as it arrives, or from a file.
    "repl-diskless-load" => repl_diskless_load: DisklessLoad = DisklessLoad::Disabled, OWN, DEBUG.or(DENY_LOADING), Now;
    /// Seconds between pings to replicas.
    "repl-ping-replica-period" / "repl-ping-slave-period" => repl_ping_replica_period: u32 = 10, Rule::Int(1, INT_MAX), MOD, Now;
    /// Seconds of silence after which a link is broken.
    "repl-timeout" => repl_timeout: u32 = 60, Rule::Int(1, INT_MAX), MOD, Now;
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
    "min-replicas-to-write" / "min-slaves-to-write" => min_replicas_to_write: u32 = 0, NATURAL, MOD, Now;
    /// Seconds of lag up to which a replica is good; 0 is off.
    "min-replicas-max-lag" / "min-slaves-max-lag" => min_replicas_max_lag: u32 = 10, NATURAL, MOD, Now;
    /// What a failing command of the stream does.
    "propagation-error-behavior" => propagation_error_behavior: PropagationErrors = PropagationErrors::Ignore, OWN, MOD, Now;

    // ── Memory: its limit, freeing, expiry.
    /// Bytes of data; 0 is no limit.
    "maxmemory" => maxmemory: u64 = 0, Rule::Memory(0, u64::MAX), MOD, Now;
    /// What happens at the limit.
    "maxmemory-policy" => maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::NoEviction, OWN, MOD, Now;
    "maxmemory-samples" => maxmemory_samples: u32 = 5, Rule::Int(1, INT_MAX), MOD, Now;
    "maxmemory-eviction-tenacity" => maxmemory_eviction_tenacity: u32 = 10, Rule::Int(0, 100), MOD, Now;
    "maxmemory-clients" => maxmemory_clients: MemoryOrPercent = MemoryOrPercent::Bytes(0), OWN, MOD, Now;
    /// Share of time for deleting expired keys, 1 to 10.
    "active-expire-effort" => active_expire_effort: u32 = 1, Rule::Int(1, 10), MOD, Now;
    "lfu-log-factor" => lfu_log_factor: u32 = 10, NATURAL, MOD, Now;
    "lfu-decay-time" => lfu_decay_time: u32 = 1, NATURAL, MOD, Now;
    /// Free evicted values on another thread.
    "lazyfree-lazy-eviction" => lazyfree_lazy_eviction: bool = false, OWN, DEBUG, Now;
    /// Free expired values on another thread.
    "lazyfree-lazy-expire" => lazyfree_lazy_expire: bool = false, OWN, DEBUG, Now;
    /// Free overwritten values on another thread.
    "lazyfree-lazy-server-del" => lazyfree_lazy_server_del: bool = false, OWN, DEBUG, Now;
    /// DEL acts as UNLINK.
    "lazyfree-lazy-user-del" => lazyfree_lazy_user_del: bool = false, OWN, DEBUG, Now;
    /// FLUSHALL and FLUSHDB act as with ASYNC.
    "lazyfree-lazy-user-flush" => lazyfree_lazy_user_flush: bool = false, OWN, DEBUG, Now;
    "activerehashing" => activerehashing: bool = true, OWN, MOD, Kept;
    "activedefrag" => activedefrag: bool = false, OWN, DEBUG, Kept;
    "active-defrag-cycle-min" => active_defrag_cycle_min: u32 = 1, Rule::Int(1, 99), MOD, Kept;
    "active-defrag-cycle-max" => active_defrag_cycle_max: u32 = 25, Rule::Int(1, 99), MOD, Kept;
    "active-defrag-ignore-bytes" => active_defrag_ignore_bytes: u64 = 100 << 20, Rule::Memory(1, LONG_MAX), MOD, Kept;
    "active-defrag-max-scan-fields" => active_defrag_max_scan_fields: i64 = 1000, Rule::Int(1, LONG_MAX), MOD, Kept;
    "active-defrag-threshold-lower" => active_defrag_threshold_lower: u32 = 10, Rule::Int(0, 1000), MOD, Kept;
    "active-defrag-threshold-upper" => active_defrag_threshold_upper: u32 = 100, Rule::Int(0, 1000), MOD, Kept;
    "jemalloc-bg-thread" => jemalloc_bg_thread: bool = true, OWN, MOD, Kept;

    // ── Up to which size collections stay compact.
    "hash-max-listpack-entries" / "hash-max-ziplist-entries" => hash_max_listpack_entries: i64 = 512, NATURAL_LONG, MOD, Now;
    "hash-max-listpack-value" / "hash-max-ziplist-value" => hash_max_listpack_value: u64 = 64, BYTES, MOD, Now;
    "list-max-listpack-size" / "list-max-ziplist-size" => list_max_listpack_size: i32 = -2,
        Rule::Int(i32::MIN as i64, INT_MAX), MOD, Now;
    "list-compress-depth" => list_compress_depth: u32 = 0, NATURAL, DEBUG, Now;
    "set-max-intset-entries" => set_max_intset_entries: i64 = 512, NATURAL_LONG, MOD, Now;
    "zset-max-listpack-entries" / "zset-max-ziplist-entries" => zset_max_listpack_entries: i64 = 128, NATURAL_LONG, MOD, Now;
    "zset-max-listpack-value" / "zset-max-ziplist-value" => zset_max_listpack_value: u64 = 64, BYTES, MOD, Now;
    "hll-sparse-max-bytes" => hll_sparse_max_bytes: u64 = 3000, BYTES, MOD, Now;
    "stream-node-max-bytes" => stream_node_max_bytes: u64 = 4096, BYTES, MOD, Now;
    "stream-node-max-entries" => stream_node_max_entries: i64 = 100, NATURAL_LONG, MOD, Now;

    // ── Cluster mode.
    "cluster-enabled" => cluster_enabled: bool = false, OWN, IMM, Unbuilt(CLUSTER);
    "cluster-config-file" => cluster_config_file: Text = Text::from("nodes.conf"), TEXT, IMM, Kept;
    "cluster-port" => cluster_port: u16 = 0, PORT, IMM, Kept;
    "cluster-node-timeout" => cluster_node_timeout: i64 = 15_000, NATURAL_LONG, MOD, Kept;
    "cluster-migration-barrier" => cluster_migration_barrier: u32 = 1, NATURAL, MOD, Kept;
    "cluster-replica-validity-factor" / "cluster-slave-validity-factor" => cluster_replica_validity_factor: u32 = 10, NATURAL, MOD, Kept;
    "cluster-replica-no-failover" / "cluster-slave-no-failover" => cluster_replica_no_failover: bool = false, OWN, MOD, Kept;
    "cluster-require-full-coverage" => cluster_require_full_coverage: bool = true, OWN, MOD, Kept;
    "cluster-allow-reads-when-down" => cluster_allow_reads_when_down: bool = false, OWN, MOD, Kept;
    "cluster-allow-pubsubshard-when-down" => cluster_allow_pubsubshard_when_down: bool = true, OWN, MOD, Kept;
    "cluster-allow-replica-migration" => cluster_allow_replica_migration: bool = true, OWN, MOD, Kept;
    "cluster-announce-ip" => cluster_announce_ip: Text = Text::default(), OPTIONAL_TEXT, MOD, Kept;
    "cluster-announce-hostname" => cluster_announce_hostname: Text = Text::default(),
        Rule::Text { unset_when_empty: true, check: check::host_name }, MOD, Kept;
    "cluster-announce-port" => cluster_announce_port: u16 = 0, PORT, MOD, Kept;
    "cluster-announce-tls-port" => cluster_announce_tls_port: u16 = 0, PORT, MOD, Kept;
    "cluster-announce-bus-port" => cluster_announce_bus_port: u16 = 0, PORT, MOD, Kept;
    "cluster-preferred-endpoint-type" => cluster_preferred_endpoint_type: EndpointType = EndpointType::Ip, OWN, MOD, Kept;
    "cluster-link-sendbuf-limit" => cluster_link_sendbuf_limit: u64 = 0, Rule::Memory(0, u64::MAX), MOD, Kept;

    // ── TLS.
    "tls-port" => tls_port: u16 = 0, PORT, MOD, Unbuilt(TLS);
    "tls-replication" => tls_replication: bool = false, OWN, MOD, Unbuilt(TLS);
    "tls-cluster" => tls_cluster: bool = false, OWN, MOD, Unbuilt(TLS);
    "tls-cert-file" => tls_cert_file: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-key-file" => tls_key_file: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-key-file-pass" => tls_key_file_pass: Text = Text::default(), OPTIONAL_TEXT, SENSITIVE, Unbuilt(TLS);
    "tls-client-cert-file" => tls_client_cert_file: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-client-key-file" => tls_client_key_file: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-client-key-file-pass" => tls_client_key_file_pass: Text = Text::default(), OPTIONAL_TEXT, SENSITIVE, Unbuilt(TLS);
    "tls-ca-cert-file" => tls_ca_cert_file: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-ca-cert-dir" => tls_ca_cert_dir: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-dh-params-file" => tls_dh_params_file: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-auth-clients" => tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes, OWN, MOD, Kept;
    "tls-protocols" => tls_protocols: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-ciphers" => tls_ciphers: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-ciphersuites" => tls_ciphersuites: Text = Text::default(), OPTIONAL_TEXT, MOD, Unbuilt(TLS);
    "tls-prefer-server-ciphers" => tls_prefer_server_ciphers: bool = false, OWN, MOD, Kept;
    "tls-session-caching" => tls_session_caching: bool = true, OWN, MOD, Kept;
    "tls-session-cache-size" => tls_session_cache_size: u32 = 20_480, NATURAL, MOD, Kept;
    "tls-session-cache-timeout" => tls_session_cache_timeout: u32 = 300, NATURAL, MOD, Kept;
}
