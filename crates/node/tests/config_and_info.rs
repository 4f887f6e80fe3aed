//! CONFIG and INFO on a whole node, with files in memory.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex};

use base::Now;
use config::Config;
use engine::SessionId;
use engine::session::Peer;
use node::{Disk, DiskFile, Effect, Node, Opened, Outside, Resources};

#[derive(Default)]
struct Files {
    content: Mutex<BTreeMap<String, Vec<u8>>>,
    full: Mutex<bool>,
}

struct Writing {
    files: Arc<Files>,
    name: String,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self.files.full.lock().unwrap() {
            return Err(io::Error::from_raw_os_error(28));
        }
        let mut content = self.files.content.lock().unwrap();
        content.entry(self.name.clone()).or_default().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Writing {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct MemoryDisk(Arc<Files>);

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self
            .0
            .content
            .lock()
            .unwrap()
            .get(name)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.0.content.lock().unwrap().insert(name.to_owned(), Vec::new());
        let (files, name) = (self.0.clone(), name.to_owned());
        Ok(Box::new(Writing { files, name }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut content = self.0.content.lock().unwrap();
        let bytes = content.remove(from).ok_or(io::ErrorKind::NotFound)?;
        content.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.0.content.lock().unwrap().remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.0.content.lock().unwrap().get(name).map(|bytes| bytes.len() as u64))
    }

    fn enter(&self, directory: &str) -> io::Result<()> {
        if directory == "/nowhere" {
            Err(io::Error::from_raw_os_error(2))
        } else {
            Ok(())
        }
    }

    fn directory(&self) -> String {
        "/data".into()
    }
}

struct World(Arc<Files>);

impl Outside for World {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(MemoryDisk(self.0.clone()))
    }

    fn allocated_bytes(&self) -> u64 {
        1 << 20
    }

    fn sleep(&mut self, _microseconds: u64) {}

    fn resources(&self) -> Resources {
        Resources {
            allocated_bytes: 1 << 20,
            resident_bytes: 2 << 20,
            pid: 7,
            ..Resources::default()
        }
    }

    fn purge_memory(&mut self) {}

    fn can_listen(&self, addresses: &[&str], port: u16) -> Result<(), String> {
        if port == 1 || addresses.contains(&"9.9.9.9") {
            Err("taken".into())
        } else {
            Ok(())
        }
    }
}

struct Server {
    node: Node,
    client: SessionId,
    files: Arc<Files>,
}

impl Server {
    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let files = Arc::new(Files::default());
        let mut node = Node::new(config, Box::new(World(files.clone())), Now::default(), 1, || 0).unwrap();
        node.state.config_file = Some("/etc/skein.conf".into());
        let peer = Peer {
            loopback: true,
            ..Peer::default()
        };
        let Opened::Session(client) = node.open(peer) else {
            panic!("refused")
        };
        Self { node, client, files }
    }

    /// Executes a line and returns the reply's bytes.
    fn ask(&mut self, words: &[&str]) -> String {
        let mut request = Vec::new();
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        resp::write_command(&mut request, &words);
        let taken = self.node.input(self.client, &request);
        assert_eq!(taken, request.len());
        let session = &mut self.node.engine.sessions[self.client];
        String::from_utf8(std::mem::take(&mut session.out)).unwrap()
    }

    fn file(&self) -> String {
        let content = self.files.content.lock().unwrap();
        String::from_utf8(content["/etc/skein.conf"].clone()).unwrap()
    }
}

fn refused(name: &str, what: &str) -> String {
    format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {what}\r\n")
}

#[test]
fn what_is_set_is_in_force_and_told_outside() {
    let mut server = Server::with(|_| {});
    assert_eq!(
        server.ask(&["CONFIG", "SET", "replica-read-only", "no", "timeout", "9"]),
        "+OK\r\n"
    );
    assert!(!server.node.engine.data.settings.replica_read_only);
    let told = server.node.take_effects().into_iter().find_map(|effect| match effect {
        Effect::Reconfigured(names) => Some(names),
        _ => None,
    });
    assert_eq!(told, Some(vec!["timeout", "replica-read-only"]));
    assert_eq!(
        server.ask(&["CONFIG", "GET", "TIMEOUT"]),
        "*2\r\n$7\r\nTIMEOUT\r\n$1\r\n9\r\n"
    );
    server.ask(&["HELLO", "3"]);
    assert_eq!(server.ask(&["CONFIG", "GET", "hz"]), "%1\r\n$2\r\nhz\r\n$2\r\n10\r\n");
}

#[test]
fn what_the_system_refuses_changes_nothing() {
    let mut server = Server::with(|config| config.enable_protected_configs = config::Access::Local);
    let unable = "Unable to listen on this port. Check server logs.";
    assert_eq!(
        server.ask(&["CONFIG", "SET", "timeout", "3", "port", "1"]),
        refused("port", unable)
    );
    let failed = "Failed to bind to specified addresses.";
    assert_eq!(
        server.ask(&["CONFIG", "SET", "bind", "127.0.0.1 9.9.9.9"]),
        refused("bind", failed)
    );
    let missing = "No such file or directory";
    assert_eq!(
        server.ask(&["CONFIG", "SET", "timeout", "3", "dir", "/nowhere"]),
        refused("dir", missing)
    );
    let config = &server.node.state.config;
    assert_eq!((config.timeout, config.port), (0, 6379));
    assert_eq!(server.ask(&["CONFIG", "SET", "dir", "x"]), "+OK\r\n");
    assert_eq!(
        server.ask(&["CONFIG", "GET", "dir"]),
        "*2\r\n$3\r\ndir\r\n$5\r\n/data\r\n"
    );
}

#[test]
fn protected_directives_need_leave() {
    let mut server = Server::with(|_| {});
    let protected = "can't set protected config";
    assert_eq!(
        server.ask(&["CONFIG", "SET", "dbfilename", "x"]),
        refused("dbfilename", protected)
    );
}

/// A full disk in the middle of CONFIG REWRITE must leave the old file, whole, and nothing beside it.
#[test]
fn the_file_is_rewritten_whole_or_not_at_all() {
    let mut server = Server::with(|_| {});
    let old = "# mine\nport 6379\n";
    server
        .files
        .content
        .lock()
        .unwrap()
        .insert("/etc/skein.conf".into(), old.into());
    server.ask(&["CONFIG", "SET", "timeout", "9"]);
    *server.files.full.lock().unwrap() = true;
    let answer = server.ask(&["CONFIG", "REWRITE"]);
    assert_eq!(answer, "-ERR Rewriting config file: No space left on device\r\n");
    assert_eq!(server.file(), old);
    assert_eq!(server.files.content.lock().unwrap().len(), 1);
    *server.files.full.lock().unwrap() = false;
    assert_eq!(server.ask(&["CONFIG", "REWRITE"]), "+OK\r\n");
    assert!(server.file().starts_with("# mine\nport 6379\n"));
    assert!(server.file().contains("\n# Generated by CONFIG REWRITE\n"));
    assert!(server.file().contains("\ntimeout 9\n"));
    server.node.state.config_file = None;
    let answer = server.ask(&["CONFIG", "REWRITE"]);
    assert_eq!(answer, "-ERR The server is running without a config file\r\n");
}

#[test]
fn counters_begin_anew() {
    let mut server = Server::with(|_| {});
    server.ask(&["GET", "a"]);
    server.ask(&["NOPE"]);
    let info = server.ask(&["INFO", "stats", "commandstats", "errorstats"]);
    assert!(info.contains("\r\nkeyspace_misses:1\r\n"), "{info}");
    assert!(info.contains("\r\ncmdstat_get:calls=1,"), "{info}");
    assert!(info.contains("\r\nerrorstat_ERR:count=1\r\n"), "{info}");
    assert_eq!(server.ask(&["CONFIG", "RESETSTAT"]), "+OK\r\n");
    let info = server.ask(&["INFO", "stats", "commandstats", "errorstats"]);
    assert!(info.contains("\r\nkeyspace_misses:0\r\n"), "{info}");
    assert!(!info.contains("cmdstat_get") && !info.contains("errorstat_"), "{info}");
}

/// The fields of plain INFO on a primary without replicas, in the order of stock 7.0.15, ours behind them.
const PLAIN: &str = "\
# Server redis_version redis_git_sha1 redis_git_dirty redis_build_id redis_mode os arch_bits monotonic_clock
multiplexing_api atomicvar_api gcc_version process_id process_supervised run_id tcp_port server_time_usec
uptime_in_seconds uptime_in_days hz configured_hz lru_clock executable config_file io_threads_active
server_name skein_version
# Clients connected_clients cluster_connections maxclients client_recent_max_input_buffer
client_recent_max_output_buffer blocked_clients tracking_clients clients_in_timeout_table
# Memory used_memory used_memory_human used_memory_rss used_memory_rss_human used_memory_peak used_memory_peak_human
used_memory_peak_perc used_memory_overhead used_memory_startup used_memory_dataset used_memory_dataset_perc
allocator_allocated allocator_active allocator_resident total_system_memory total_system_memory_human used_memory_lua
used_memory_vm_eval used_memory_lua_human used_memory_scripts_eval number_of_cached_scripts number_of_functions
number_of_libraries used_memory_vm_functions used_memory_vm_total used_memory_vm_total_human used_memory_functions
used_memory_scripts used_memory_scripts_human maxmemory maxmemory_human maxmemory_policy allocator_frag_ratio
allocator_frag_bytes allocator_rss_ratio allocator_rss_bytes rss_overhead_ratio rss_overhead_bytes
mem_fragmentation_ratio mem_fragmentation_bytes mem_not_counted_for_evict mem_replication_backlog
mem_total_replication_buffers mem_clients_slaves mem_clients_normal mem_cluster_links mem_aof_buffer mem_allocator
active_defrag_running lazyfree_pending_objects lazyfreed_objects mem_frozen_bytes
# Persistence loading async_loading current_cow_peak current_cow_size current_cow_size_age current_fork_perc
current_save_keys_processed current_save_keys_total rdb_changes_since_last_save rdb_bgsave_in_progress
rdb_last_save_time rdb_last_bgsave_status rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves
rdb_last_cow_size rdb_last_load_keys_expired rdb_last_load_keys_loaded aof_enabled aof_rewrite_in_progress
aof_rewrite_scheduled aof_last_rewrite_time_sec aof_current_rewrite_time_sec aof_last_bgrewrite_status aof_rewrites
aof_rewrites_consecutive_failures aof_last_write_status aof_last_cow_size module_fork_in_progress
module_fork_last_cow_size
# Stats total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes
total_net_output_bytes total_net_repl_input_bytes total_net_repl_output_bytes instantaneous_input_kbps
instantaneous_output_kbps instantaneous_input_repl_kbps instantaneous_output_repl_kbps rejected_connections sync_full
sync_partial_ok sync_partial_err expired_keys expired_stale_perc expired_time_cap_reached_count
expire_cycle_cpu_milliseconds evicted_keys evicted_clients total_eviction_exceeded_time
current_eviction_exceeded_time keyspace_hits keyspace_misses pubsub_channels pubsub_patterns pubsubshard_channels
latest_fork_usec total_forks migrate_cached_sockets slave_expires_tracked_keys active_defrag_hits
active_defrag_misses active_defrag_key_hits active_defrag_key_misses total_active_defrag_time
current_active_defrag_time tracking_total_keys tracking_total_items tracking_total_prefixes unexpected_error_replies
total_error_replies dump_payload_sanitizations total_reads_processed total_writes_processed
io_threaded_reads_processed io_threaded_writes_processed reply_buffer_shrinks reply_buffer_expands
# Replication role connected_slaves master_failover_state master_replid master_replid2 master_repl_offset
second_repl_offset repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen
# CPU used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread
used_cpu_user_main_thread
# Modules
# Errorstats
# Cluster cluster_enabled
# Keyspace";

#[test]
fn sections_and_fields_are_those_of_stock() {
    let mut server = Server::with(|_| {});
    let info = server.ask(&["INFO"]);
    let body = info.split_once("\r\n").unwrap().1.trim_end();
    let names: Vec<&str> = body
        .split("\r\n")
        .filter(|line| !line.is_empty())
        .flat_map(|line| match line.strip_prefix("# ") {
            Some(section) => vec!["#", section],
            None => vec![line.split(':').next().unwrap()],
        })
        .collect();
    let expected: Vec<&str> = PLAIN.split_whitespace().collect();
    assert_eq!(names, expected);
    assert_eq!(server.ask(&["INFO", "nothing"]), "$0\r\n\r\n");
    assert_eq!(
        server.ask(&["INFO", "Cluster", "cluster"]),
        "$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n"
    );
    server.ask(&["SET", "a", "b"]);
    server.ask(&["SET", "c", "d", "EX", "100"]);
    let info = server.ask(&["INFO", "keyspace"]);
    assert!(
        info.contains("# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=100000\r\n"),
        "{info}"
    );
    server.ask(&["HELLO", "3"]);
    let cpu = server.ask(&["INFO", "cpu"]);
    assert!(cpu.contains("\r\ntxt:# CPU\r\nused_cpu_sys:0.000000\r\n"), "{cpu}");
    let everything = server.ask(&["INFO", "everything"]);
    assert!(everything.contains("# Commandstats\r\n") && everything.contains("# Latencystats\r\n"));
}

/// The largest go first, one that must not is passed over, and the others stay.
#[test]
fn clients_that_hold_too_much_together_are_closed() {
    let mut server = Server::with(|_| {});
    let mut open = || match server.node.open(Peer {
        loopback: true,
        ..Peer::default()
    }) {
        Opened::Session(id) => id,
        Opened::Refused(_) => panic!("refused"),
    };
    let (large, larger, largest) = (open(), open(), open());
    server.ask(&["CONFIG", "SET", "maxmemory-clients", "4mb"]);
    server.node.engine.sessions[largest].no_evict = true;
    server.node.input_resized(large, 1 << 20);
    server.node.input_resized(larger, 2 << 20);
    server.ask(&["PING"]);
    assert_eq!(server.node.engine.sessions.len(), 4);
    server.node.input_resized(largest, 3 << 20);
    server.ask(&["PING"]);
    let stays = |id| server.node.engine.sessions.get(id).is_some();
    assert!(!stays(larger) && !stays(large) && stays(largest) && stays(server.client));
    assert_eq!(server.node.engine.data.stats.evicted_clients, 2);
    let closed = server.node.take_effects();
    let closed = closed.iter().filter(|effect| matches!(effect, Effect::Close(_)));
    assert_eq!(closed.count(), 2);
    // What is left of a limit that nobody may be closed for changes nothing.
    server.node.engine.sessions[server.client].no_evict = true;
    server.ask(&["CONFIG", "SET", "maxmemory-clients", "1mb"]);
    assert_eq!(server.ask(&["PING"]), "+PONG\r\n");
}

#[test]
fn reloading_without_a_file_keeps_what_is_not_to_be_flushed() {
    // The dataset went into the load before anybody had looked whether there was a file, and was gone with it.
    let mut server = Server::with(|config| config.enable_debug_command = config::Access::Yes);
    let failed = "-ERR Error trying to load the RDB dump\r\n";
    server.ask(&["SET", "k", "v"]);
    assert_eq!(server.ask(&["DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE"]), failed);
    assert_eq!(server.ask(&["GET", "k"]), "$1\r\nv\r\n");
    server.ask(&["SAVE"]);
    server.ask(&["SET", "k", "w"]);
    assert_eq!(
        server.ask(&["DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE"]),
        "+OK\r\n"
    );
    assert_eq!(server.ask(&["GET", "k"]), "$1\r\nv\r\n");
}
