//! Files that data is saved to: RDB now, the append-only file later.

use super::*;
use crate::choices::AppendFsync;
use crate::directive::Effect::Unbuilt;
use crate::directive::Effect::{Kept, Now};
use crate::directive::{Flags, group};
use crate::setting::Text;
use crate::special::{Directory, SavePoints};

const MOD: Flags = Flags::MODIFIABLE;
const IMM: Flags = Flags::IMMUTABLE;
const PROTECTED: Flags = Flags::PROTECTED;
const HIDDEN: Flags = Flags::HIDDEN;

group! {
    /// Files that data is saved to: RDB now, the append-only file later.
    Persistence at persistence, TABLE {
        /// When snapshots are due.
        "save" => save: SavePoints = SavePoints::default(), OWN, Flags::MULTI, Now;
        /// The working directory.
        "dir" => dir: Directory = Directory(Text::from("./")), OWN, PROTECTED.or(Flags::DENY_LOADING), Now;
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
        "appendonly" => appendonly: bool = false, OWN, Flags::DENY_LOADING, Unbuilt(
            "the append-only file is not built yet: a crash would lose every write since the last snapshot. \
             Remove the line and rely on 'save' and on replicas, or stay on a stock server for now.");
        "appendfilename" => appendfilename: Text = Text::from("appendonly.aof"), checked_text(check::append_file), IMM, Kept;
        "appenddirname" => appenddirname: Text = Text::from("appendonlydir"), checked_text(check::append_directory), IMM, Kept;
        "appendfsync" => appendfsync: AppendFsync = AppendFsync::EverySecond, OWN, MOD, Kept;
        "no-appendfsync-on-rewrite" => no_appendfsync_on_rewrite: bool = false, OWN, MOD, Kept;
        "auto-aof-rewrite-percentage" => auto_aof_rewrite_percentage: i64 = 100, NATURAL, MOD, Kept;
        "auto-aof-rewrite-min-size" => auto_aof_rewrite_min_size: u64 = 64 << 20, BYTES, MOD, Kept;
        "aof-load-truncated" => aof_load_truncated: bool = true, OWN, MOD, Kept;
        "aof-use-rdb-preamble" => aof_use_rdb_preamble: bool = true, OWN, MOD, Kept;
        "aof-rewrite-incremental-fsync" => aof_rewrite_incremental_fsync: bool = true, OWN, MOD, Kept;
        "aof-timestamp-enabled" => aof_timestamp_enabled: bool = false, OWN, MOD, Kept;
        "aof-disable-auto-gc" => aof_disable_auto_gc: bool = false, OWN, MOD, Kept;
        /// For tests: microseconds to wait after each key loaded; negative is keys per microsecond.
        "key-load-delay" => key_load_delay: i64 = 0, Rule::Int(i32::MIN as i64, INT_MAX), HIDDEN, Now;
        /// For tests: microseconds to wait after each key saved; negative is keys per microsecond.
        "rdb-key-save-delay" => rdb_key_save_delay: i64 = 0, Rule::Int(i32::MIN as i64, INT_MAX), HIDDEN, Now;
        /// Bytes loaded between two turns for clients.
        "loading-process-events-interval-bytes" => loading_process_events_interval_bytes: i64 = 2 << 20,
            Rule::Int(1024, INT_MAX), HIDDEN, Now;
    }
}
