//! INFO: what the server tells of itself, in the sections, fields and order of Redis 7.0.15.
//!
//! Fields of things that do not exist here (modules, scripts, the append-only file) are there with the value that they
//! have in a stock server that does not use them. Fields of our own follow the stock ones of their section.

use crate::host::{ServerState, split};
use crate::memory::Memory;
use crate::outside::Resources;
use base::DbIndex;
use base::number::human_bytes;
use config::special::format_percentile;
use engine::pubsub::Scope;
use engine::session::{Blocked, Kind};
use engine::settings::Loading;
use engine::{Acl, Arity, Category, Engine, Flags, Handler, Result, ServerCtx, Spec};
use resp::Args;
use std::cell::LazyCell;
use std::fmt::{Display, Write as _};

/// INFO [section [section ...]]
pub static INFO: Spec = Spec {
    name: "info",
    summary: "What the server tells of itself.",
    since: "1.0.0",
    arity: Arity::AtLeast(1),
    category: Category::Server,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::SENTINEL),
    acl: Acl::DANGEROUS,
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    args: "[section [section ...]]",
    history: &[("7.0.0", "Added support for taking multiple section arguments.")],
    handler: Handler::Server(info),
    ..Spec::BASE
};

/// What a section is made from.
struct Facts<'a> {
    state: &'a ServerState,
    engine: &'a Engine,
    /// Looked up for the sections that need it only: it asks the system.
    resources: LazyCell<Resources, Box<dyn Fn() -> Resources + 'a>>,
}

/// A section: its name in requests, whether plain INFO shows it, and what writes it, headline included.
struct Section {
    name: &'static str,
    plain: bool,
    write: fn(&Facts<'_>, &mut Text),
}

const fn section(name: &'static str, write: fn(&Facts<'_>, &mut Text)) -> Section {
    Section {
        name,
        plain: true,
        write,
    }
}

const fn on_request(name: &'static str, write: fn(&Facts<'_>, &mut Text)) -> Section {
    Section {
        name,
        plain: false,
        write,
    }
}

const SECTIONS: [Section; 13] = [
    section("server", server),
    section("clients", clients),
    section("memory", memory),
    section("persistence", persistence),
    section("stats", stats),
    section("replication", replication),
    section("cpu", cpu),
    section("modules", |_, text| text.headline("Modules")),
    on_request("commandstats", command_stats),
    section("errorstats", error_stats),
    on_request("latencystats", latency_stats),
    section("cluster", cluster),
    section("keyspace", keyspace),
];

fn info(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let wanted: Vec<Vec<u8>> = args.iter().skip(1).map(<[u8]>::to_ascii_lowercase).collect();
    let (state, engine) = split(ctx);
    let text = text(state, engine, &wanted);
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The text of the sections named (in lower case; `all`, `everything` and `default` are names too), in stock order; of
/// the plain ones where none is named.
#[must_use]
pub fn text(state: &ServerState, engine: &Engine, wanted: &[Vec<u8>]) -> String {
    let named = |name: &str| wanted.iter().any(|word| word == name.as_bytes());
    let everything = named("all") || named("everything");
    let plain = wanted.is_empty() || named("default");
    let facts = Facts {
        state,
        engine,
        resources: LazyCell::new(Box::new(|| state.outside.resources())),
    };
    let mut text = Text::default();
    for section in &SECTIONS {
        if everything || (plain && section.plain) || named(section.name) {
            (section.write)(&facts, &mut text);
        }
    }
    text.0
}

/// INFO's text: headlines and fields, lines ended as the protocol's.
#[derive(Default)]
struct Text(String);

impl Text {
    fn headline(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.0.push_str("# ");
        self.0.push_str(name);
        self.0.push_str("\r\n");
    }

    fn field(&mut self, name: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    fn fields<V: Display>(&mut self, fields: &[(&str, V)]) {
        for (name, value) in fields {
            self.field(name, value);
        }
    }

    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human_bytes(bytes));
    }

    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.field(name, 0);
        }
    }

    fn flag(&mut self, name: &str, on: bool) {
        self.field(name, u8::from(on));
    }
}

fn server(facts: &Facts<'_>, text: &mut Text) {
    let Facts {
        state,
        engine,
        resources,
    } = facts;
    let config = &state.config;
    let up_seconds = engine.now.mono_us.saturating_sub(state.started.mono_us) / 1_000_000;
    text.headline("Server");
    text.fields(&[
        ("redis_version", "7.0.15"),
        ("redis_git_sha1", "00000000"),
        ("redis_git_dirty", "0"),
        ("redis_build_id", "0000000000000000"),
        ("redis_mode", "standalone"),
        ("os", &resources.os),
        ("arch_bits", "64"),
        ("monotonic_clock", "POSIX clock_gettime"),
        ("multiplexing_api", "epoll"),
        ("atomicvar_api", "c11-builtin"),
        ("gcc_version", "0.0.0"),
    ]);
    text.field("process_id", resources.pid);
    text.field("process_supervised", config.supervised.name());
    text.field("run_id", &state.run_id);
    text.field("tcp_port", config.port);
    text.field("server_time_usec", engine.now.unix_us);
    text.field("uptime_in_seconds", up_seconds);
    text.field("uptime_in_days", up_seconds / 86_400);
    text.field("hz", config.hz);
    text.field("configured_hz", config.hz);
    text.field("lru_clock", engine.now.unix_ms().seconds() & 0xff_ffff);
    text.field("executable", &resources.executable);
    text.field("config_file", state.config_file.as_deref().unwrap_or_default());
    text.field("io_threads_active", u8::from(state.io_threads_active));
    if let Some(shutdown) = &state.shutdown {
        text.field("shutdown_in_milliseconds", shutdown.remaining_ms(engine.now));
    }
    text.field("server_name", "skein");
    text.field("skein_version", env!("CARGO_PKG_VERSION"));
}

fn clients(facts: &Facts<'_>, text: &mut Text) {
    let Facts { state, engine, .. } = facts;
    let connected = engine
        .sessions
        .iter()
        .filter(|session| session.kind == Kind::Normal)
        .count();
    let waiting = |session: &&engine::Session| session.blocked.is_some();
    let in_timeout_table = |session: &&engine::Session| {
        matches!(
            session.blocked,
            Some(Blocked::Wait {
                deadline_ms: Some(_),
                ..
            })
        )
    };
    text.headline("Clients");
    text.field("connected_clients", connected);
    text.field("cluster_connections", 0);
    text.field("maxclients", state.config.maxclients);
    text.field("client_recent_max_input_buffer", state.meters.recent_max_input_buffer);
    text.field("client_recent_max_output_buffer", state.meters.recent_max_output_buffer);
    text.field("blocked_clients", engine.sessions.iter().filter(waiting).count());
    text.field("tracking_clients", engine.tracking.sessions());
    text.field(
        "clients_in_timeout_table",
        engine.sessions.iter().filter(in_timeout_table).count() + engine.data.blocking.with_deadline(),
    );
}

/// A share of a whole, as a percentage with two decimals.
fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    };
    format!("{share:.2}%")
}

fn ratio(part: u64, whole: u64) -> String {
    format!("{:.2}", part as f64 / whole.max(1) as f64)
}

/// How much more `part` is than `whole`; negative for less.
fn excess(part: u64, whole: u64) -> i64 {
    part as i64 - whole as i64
}

fn memory(facts: &Facts<'_>, text: &mut Text) {
    let Facts {
        state,
        engine,
        resources,
    } = facts;
    let (allocated, resident) = (resources.allocated_bytes, resources.resident_bytes);
    let memory = Memory::now(state, engine);
    let (used, peak) = (memory.used, memory.peak);
    text.headline("Memory");
    text.bytes("used_memory", used);
    text.bytes("used_memory_rss", resident);
    text.bytes("used_memory_peak", peak);
    text.field("used_memory_peak_perc", percent(used, peak));
    text.field("used_memory_overhead", memory.overhead());
    text.field("used_memory_startup", memory.startup);
    text.field("used_memory_dataset", memory.dataset());
    text.field(
        "used_memory_dataset_perc",
        format_args!("{:.2}%", memory.dataset_percent()),
    );
    text.field("allocator_allocated", allocated);
    text.field("allocator_active", allocated);
    text.field("allocator_resident", resident);
    text.bytes("total_system_memory", resources.total_memory_bytes);
    scripting_memory(text);
    text.bytes("maxmemory", state.config.maxmemory);
    text.field("maxmemory_policy", state.config.maxmemory_policy.name());
    text.field("allocator_frag_ratio", "1.00");
    text.field("allocator_frag_bytes", 0);
    text.field("allocator_rss_ratio", ratio(resident, used));
    text.field("allocator_rss_bytes", excess(resident, used));
    text.field("rss_overhead_ratio", "1.00");
    text.field("rss_overhead_bytes", 0);
    text.field("mem_fragmentation_ratio", ratio(resident, used));
    text.field("mem_fragmentation_bytes", excess(resident, used));
    buffer_memory(facts, &memory, text);
}

/// Of an interpreter that is not there.
fn scripting_memory(text: &mut Text) {
    text.zeros(&["used_memory_lua", "used_memory_vm_eval"]);
    text.field("used_memory_lua_human", "0B");
    text.zeros(&[
        "used_memory_scripts_eval",
        "number_of_cached_scripts",
        "number_of_functions",
        "number_of_libraries",
        "used_memory_vm_functions",
    ]);
    text.bytes("used_memory_vm_total", 0);
    text.zeros(&["used_memory_functions"]);
    text.bytes("used_memory_scripts", 0);
}

fn buffer_memory(facts: &Facts<'_>, memory: &Memory, text: &mut Text) {
    let Facts {
        state,
        engine,
        resources,
    } = facts;
    let stream = crate::replication::stream_memory_bytes(state);
    text.field(
        "mem_not_counted_for_evict",
        crate::persistence::uncounted_memory(state, &engine.data),
    );
    text.field("mem_replication_backlog", memory.backlog);
    text.field("mem_total_replication_buffers", stream);
    text.field("mem_clients_slaves", memory.replicas);
    text.field("mem_clients_normal", memory.clients);
    text.zeros(&["mem_cluster_links", "mem_aof_buffer"]);
    text.field("mem_allocator", &resources.allocator);
    text.zeros(&["active_defrag_running"]);
    text.field("lazyfree_pending_objects", engine.data.lazyfree.pending_objects());
    text.field("lazyfreed_objects", engine.data.lazyfree.freed_objects());
    text.field("mem_frozen_bytes", engine.data.keyspace.frozen_bytes());
}

fn persistence(facts: &Facts<'_>, text: &mut Text) {
    let Facts { state, engine, .. } = facts;
    let persistence = &state.persistence;
    let (done, all) = persistence.running_keys();
    text.headline("Persistence");
    text.flag("loading", engine.data.settings.loading == Loading::Foreground);
    text.flag("async_loading", engine.data.settings.loading == Loading::Async);
    text.zeros(&["current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    text.field(
        "current_fork_perc",
        format!("{:.2}", done as f64 * 100.0 / all.max(1) as f64),
    );
    text.field("current_save_keys_processed", done);
    text.field("current_save_keys_total", all);
    text.field("rdb_changes_since_last_save", engine.data.dirty);
    // Full syncs are saves to stock, and its tools look here for them.
    let syncing = crate::replication::transfers_running(state);
    text.flag("rdb_bgsave_in_progress", persistence.is_saving_soon() || syncing);
    text.field("rdb_last_save_time", persistence.last_save_seconds);
    text.field("rdb_last_bgsave_status", if persistence.last_ok { "ok" } else { "err" });
    text.field("rdb_last_bgsave_time_sec", persistence.last_duration_seconds);
    text.field("rdb_current_bgsave_time_sec", persistence.running_seconds(engine.now));
    text.field("rdb_saves", persistence.saves);
    text.field("rdb_last_cow_size", 0);
    text.field("rdb_last_load_keys_expired", persistence.last_load_expired);
    text.field("rdb_last_load_keys_loaded", persistence.last_load_keys);
    text.zeros(&["aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]);
    text.fields(&[("aof_last_rewrite_time_sec", -1), ("aof_current_rewrite_time_sec", -1)]);
    text.field("aof_last_bgrewrite_status", "ok");
    text.zeros(&["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    text.field("aof_last_write_status", "ok");
    text.zeros(&[
        "aof_last_cow_size",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
    ]);
    if engine.data.settings.loading != Loading::No {
        loading(facts, text);
    }
}

/// How far a load is. A snapshot that ends with a mark does not tell its size, and so not its share either.
fn loading(facts: &Facts<'_>, text: &mut Text) {
    let Some((began, loaded, total)) = crate::replication::load_progress(facts.state) else {
        return;
    };
    let elapsed_seconds = facts.engine.now.mono_ms().saturating_sub(began.mono_ms()) / 1000;
    let remaining = if total == 0 { 1 } else { total.saturating_sub(loaded) };
    let share = if total == 0 {
        0.0
    } else {
        loaded as f64 * 100.0 / total as f64
    };
    text.field("loading_start_time", began.unix_ms().seconds());
    text.field("loading_total_bytes", total);
    text.field("loading_rdb_used_mem", 0);
    text.field("loading_loaded_bytes", loaded);
    text.field("loading_loaded_perc", format_args!("{share:.2}"));
    // Within the first second there is nothing to reckon with yet.
    let seconds_left = if elapsed_seconds == 0 {
        1
    } else {
        elapsed_seconds.saturating_mul(remaining) / (loaded + 1)
    };
    text.field("loading_eta_seconds", seconds_left);
}

/// Kilobytes per second.
fn kbps(rate: &crate::node::Rate) -> String {
    format!("{:.2}", rate.per_second() as f64 / 1024.0)
}

fn stats(facts: &Facts<'_>, text: &mut Text) {
    let Facts { state, engine, .. } = facts;
    let stats = &engine.data.stats;
    let meters = &state.meters;
    let syncs = crate::replication::counters(state);
    text.headline("Stats");
    text.field("total_connections_received", stats.connections);
    text.field("total_commands_processed", stats.commands);
    text.field("instantaneous_ops_per_sec", meters.operations.per_second());
    text.field(
        "total_net_input_bytes",
        stats.net_input_bytes + stats.net_repl_input_bytes,
    );
    text.field(
        "total_net_output_bytes",
        stats.net_output_bytes + stats.net_repl_output_bytes,
    );
    text.field("total_net_repl_input_bytes", stats.net_repl_input_bytes);
    text.field("total_net_repl_output_bytes", stats.net_repl_output_bytes);
    text.field("instantaneous_input_kbps", kbps(&meters.input));
    text.field("instantaneous_output_kbps", kbps(&meters.output));
    text.field("instantaneous_input_repl_kbps", kbps(&meters.repl_input));
    text.field("instantaneous_output_repl_kbps", kbps(&meters.repl_output));
    text.field("rejected_connections", stats.rejected_connections);
    text.field("sync_full", syncs.full);
    text.field("sync_partial_ok", syncs.partial_ok);
    text.field("sync_partial_err", syncs.partial_err);
    text.field("expired_keys", stats.expired_keys);
    text.field("expired_stale_perc", "0.00");
    text.field("expired_time_cap_reached_count", stats.expire_time_cap_reached);
    text.field("expire_cycle_cpu_milliseconds", stats.expire_cycle_us / 1000);
    text.field("evicted_keys", stats.evicted_keys);
    text.field("evicted_clients", stats.evicted_clients);
    let (total_us, current_us) = engine.evictor.time_over_limit(engine.now.mono_us);
    text.field("total_eviction_exceeded_time", total_us / 1000);
    text.field("current_eviction_exceeded_time", current_us / 1000);
    text.field("keyspace_hits", stats.keyspace_hits);
    text.field("keyspace_misses", stats.keyspace_misses);
    text.field("pubsub_channels", engine.pubsub.count(Scope::Channel));
    text.field("pubsub_patterns", engine.pubsub.count(Scope::Pattern));
    text.field("pubsubshard_channels", engine.pubsub.count(Scope::Shard));
    text.field("latest_fork_usec", state.persistence.last_freeze_us);
    text.field("total_forks", state.persistence.freezes);
    text.field("migrate_cached_sockets", state.outside.migration_targets());
    text.field("slave_expires_tracked_keys", engine.data.replica_expiring.len());
    text.zeros(&[
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ]);
    text.field("tracking_total_keys", engine.tracking.keys());
    text.field("tracking_total_items", engine.tracking.items());
    text.field("tracking_total_prefixes", engine.tracking.prefixes());
    text.field("unexpected_error_replies", stats.unexpected_error_replies);
    text.field("total_error_replies", stats.error_replies);
    text.field("dump_payload_sanitizations", stats.dump_payload_sanitizations);
    text.field("total_reads_processed", stats.reads_processed);
    text.field("total_writes_processed", stats.writes_processed);
    text.field("io_threaded_reads_processed", stats.threaded_reads_processed);
    text.field("io_threaded_writes_processed", stats.threaded_writes_processed);
    text.field("reply_buffer_shrinks", stats.reply_buffer_shrinks);
    text.zeros(&["reply_buffer_expands"]);
}

fn replication(facts: &Facts<'_>, text: &mut Text) {
    text.headline("Replication");
    text.0.push_str(&crate::replication::info(facts.state, facts.engine));
}

fn cpu(facts: &Facts<'_>, text: &mut Text) {
    let resources = &facts.resources;
    let seconds = |microseconds: u64| format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000);
    text.headline("CPU");
    text.field("used_cpu_sys", seconds(resources.cpu_system_us));
    text.field("used_cpu_user", seconds(resources.cpu_user_us));
    text.field("used_cpu_sys_children", seconds(0));
    text.field("used_cpu_user_children", seconds(0));
    text.field("used_cpu_sys_main_thread", seconds(resources.thread_system_us));
    text.field("used_cpu_user_main_thread", seconds(resources.thread_user_us));
}

fn command_stats(facts: &Facts<'_>, text: &mut Text) {
    text.headline("Commandstats");
    for command in facts.engine.table.iter() {
        let stats = &command.stats;
        if stats.calls == 0 && stats.rejected == 0 && stats.failed == 0 {
            continue;
        }
        let per_call = if stats.calls == 0 {
            0.0
        } else {
            stats.usec as f64 / stats.calls as f64
        };
        let value = format!(
            "calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
            stats.calls, stats.usec, stats.rejected, stats.failed
        );
        text.field(&format!("cmdstat_{}", command.full_name), value);
    }
}

fn error_stats(facts: &Facts<'_>, text: &mut Text) {
    text.headline("Errorstats");
    for (code, count) in &facts.engine.data.stats.errors {
        text.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latency_stats(facts: &Facts<'_>, text: &mut Text) {
    text.headline("Latencystats");
    let config = &facts.state.config;
    if !config.latency_tracking {
        return;
    }
    for command in facts.engine.table.iter() {
        let Some(histogram) = &command.latency else { continue };
        let shown: Vec<String> = config
            .latency_tracking_info_percentiles
            .iter()
            .map(|percentile| {
                let value = histogram.percentile(*percentile) as f64;
                format!("p{}={value:.3}", format_percentile(*percentile))
            })
            .collect();
        text.field(
            &format!("latency_percentiles_usec_{}", command.full_name),
            shown.join(","),
        );
    }
}

fn cluster(_: &Facts<'_>, text: &mut Text) {
    text.headline("Cluster");
    text.field("cluster_enabled", 0);
}

fn keyspace(facts: &Facts<'_>, text: &mut Text) {
    text.headline("Keyspace");
    let keyspace = &facts.engine.data.keyspace;
    let now = facts.engine.now.unix_ms();
    for index in 0..keyspace.databases() {
        let db = keyspace.db(DbIndex(index));
        if db.is_empty() {
            continue;
        }
        let (keys, expires, ttl) = (db.len(), db.expiring_len(), db.average_ttl(now));
        text.field(
            &format!("db{index}"),
            format_args!("keys={keys},expires={expires},avg_ttl={ttl}"),
        );
    }
}
