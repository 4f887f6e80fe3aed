//! Saves: SAVE, BGSAVE, save points, SHUTDOWN's save, and what INFO persistence tells of them.
//!
//! ```text
//!   save point reached ─┐
//!   BGSAVE ─────────────┼─► freeze ─► Effect::Save ─► Done::Saved ─┬─ ok: dirty falls by what was dirty at the freeze
//!   (later if one runs) ┘                │                          └─ failed: writes refused, if asked; tried again
//!                                        └─ FLUSHALL, a swapped-in keyspace, SHUTDOWN: cancelled, file untouched
//! ```

use crate::effect::Effect;
use crate::host::ServerState;
use crate::jobs::{Cancel, Progress, SaveJob, WriteOptions};
use base::Now;
use config::MaxmemoryPolicy as Policy;
use engine::host::Level;
use engine::{Data, Engine};
use std::sync::Arc;

/// After a failed save, the next is not tried before so many seconds.
const RETRY_SECONDS: i64 = 5;

/// The state of the dataset on disk.
pub struct Persistence {
    running: Option<Running>,
    /// The load at the start, while it goes on.
    pub starting: Option<crate::start::Starting>,
    /// A save is to begin as soon as the running one ends (BGSAVE SCHEDULE).
    scheduled: bool,
    next_id: u64,
    /// When the dataset was last saved, seconds since the epoch.
    pub last_save_seconds: i64,
    /// When a background save was last tried, seconds since the epoch.
    last_try_seconds: i64,
    /// Whether the last background save was whole.
    pub last_ok: bool,
    /// How long the last background save took, in seconds; -1 for none yet.
    pub last_duration_seconds: i64,
    /// Saves that ended well.
    pub saves: u64,
    /// Function libraries that came with the dataset, to be saved and passed on with it.
    pub functions: Arc<[Vec<u8>]>,
    /// Keys loaded by the last load.
    pub last_load_keys: u64,
    /// Keys passed over by the last load because their time had passed.
    pub last_load_expired: u64,
    /// How long the last freeze took, in microseconds.
    pub last_freeze_us: u64,
    /// How many freezes there were.
    pub freezes: u64,
}

struct Running {
    id: u64,
    cancel: Cancel,
    progress: Arc<Progress>,
    dirty_at_freeze: u64,
    keys: u64,
    began: Now,
    cancelled: bool,
}

impl Persistence {
    /// Nothing saved yet; the dataset counts as saved at the start.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self {
            running: None,
            starting: None,
            scheduled: false,
            next_id: 1,
            last_save_seconds: now.unix_ms().seconds(),
            last_try_seconds: 0,
            last_ok: true,
            last_duration_seconds: -1,
            saves: 0,
            functions: Arc::from([]),
            last_load_keys: 0,
            last_load_expired: 0,
            last_freeze_us: 0,
            freezes: 0,
        }
    }

    /// Whether a background save runs.
    #[must_use]
    pub fn is_saving(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.cancelled)
    }

    /// Whether a background save runs, or will as soon as one that was cancelled has let go: who waits for a save to end
    /// waits for that one too.
    #[must_use]
    pub fn is_saving_soon(&self) -> bool {
        self.is_saving() || (self.scheduled && self.running.is_some())
    }

    /// How long the running save has been running, in seconds; -1 for none.
    #[must_use]
    pub fn running_seconds(&self, now: Now) -> i64 {
        self.running.as_ref().map_or(-1, |running| {
            now.unix_ms().seconds() - running.began.unix_ms().seconds()
        })
    }

    /// Keys done and keys in all of the running save.
    #[must_use]
    pub fn running_keys(&self) -> (u64, u64) {
        self.running.as_ref().map_or((0, 0), |running| {
            (
                running.progress.keys.load(std::sync::atomic::Ordering::Relaxed),
                running.keys,
            )
        })
    }

    /// Forbids the running save to become the file: its data is no longer the dataset.
    pub fn cancel(&mut self) {
        if let Some(running) = &mut self.running {
            running.cancelled = true;
            running.cancel.cancel();
        }
        self.scheduled = false;
    }
}

/// What a client hears whose save cannot begin.
pub const TOO_MANY_VIEWS: &str = "ERR Too many snapshots are being read already, try again later";

/// What BGSAVE answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It cannot run: too many snapshots are being read.
    Refused,
    /// It runs now.
    Started,
    /// One runs already.
    AlreadyRunning,
    /// It begins when the running one ends.
    Scheduled,
}

/// Begins a background save; with `schedule`, later if one runs.
pub fn begin(state: &mut ServerState, engine: &mut Engine, schedule: bool) -> Begun {
    if state.persistence.running.is_some() {
        if !schedule && state.persistence.is_saving() {
            return Begun::AlreadyRunning;
        }
        state.persistence.scheduled = true;
        return Begun::Scheduled;
    }
    let Some(job) = job(state, engine) else {
        return Begun::Refused;
    };
    state.persistence.last_try_seconds = engine.now.unix_ms().seconds();
    state.persistence.running = Some(Running {
        id: job.id,
        cancel: job.cancel.clone(),
        progress: job.progress.clone(),
        dirty_at_freeze: engine.data.dirty,
        keys: engine.data.keyspace.key_count(),
        began: engine.now,
        cancelled: false,
    });
    state.log(
        Level::Notice,
        format!("Background saving started by pid {}", state.outside.resources().pid),
    );
    state.effects.push(Effect::Save(job));
    Begun::Started
}

/// Begins a background save with the next tick, unless one runs.
pub fn begin_later(state: &mut ServerState) -> Begun {
    if state.persistence.is_saving() {
        return Begun::AlreadyRunning;
    }
    state.persistence.scheduled = true;
    Begun::Scheduled
}

/// A save of the dataset as it is now, if it can be frozen.
fn job(state: &mut ServerState, engine: &mut Engine) -> Option<SaveJob> {
    let frozen = freeze(state, engine)?;
    let id = state.persistence.next_id;
    state.persistence.next_id += 1;
    Some(SaveJob {
        id,
        frozen,
        file: state.config.dbfilename.to_str().into_owned(),
        options: write_options(state, engine),
        cancel: Cancel::default(),
        progress: Arc::default(),
    })
}

/// Freezes the dataset, and notes how long that took. `None` while as many frozen views are being read as entries can
/// count: the caller says so, and tries again later.
pub fn freeze(state: &mut ServerState, engine: &mut Engine) -> Option<keyspace::Frozen> {
    if engine.data.keyspace.live_views() >= keyspace::MAX_LIVE_VIEWS {
        state.log(
            Level::Warning,
            "Too many snapshots are being read already: no further one can be taken until one of them ends",
        );
        return None;
    }
    let before = engine.read_clock();
    let frozen = engine.data.keyspace.freeze();
    state.persistence.last_freeze_us = engine.read_clock().saturating_sub(before);
    state.persistence.freezes += 1;
    Some(frozen)
}

/// How a snapshot taken now is to be written.
pub fn write_options(state: &ServerState, engine: &Engine) -> WriteOptions {
    WriteOptions {
        compression: state.config.rdbcompression,
        checksum: state.config.rdbchecksum,
        key_delay_us: i64::from(state.config.rdb_key_save_delay),
        position: crate::replication::position(state, engine),
        unix_seconds: engine.now.unix_ms().seconds(),
        used_memory: state.outside.allocated_bytes(),
        access_clock: match state.config.maxmemory_policy {
            Policy::VolatileLru | Policy::AllkeysLru | Policy::VolatileLfu | Policy::AllkeysLfu => {
                Some(access_clock(engine))
            }
            Policy::VolatileRandom | Policy::VolatileTtl | Policy::AllkeysRandom | Policy::NoEviction => None,
        },
        functions: state.persistence.functions.clone(),
        field_expiries: rdb::FieldExpiries::Valkey,
    }
}

/// What the access clocks of entries mean now, for saving and loading them.
#[must_use]
pub fn access_clock(engine: &Engine) -> rdb::AccessClock {
    let (data, now) = (&engine.data, engine.data.access_clock);
    if data.settings.lfu {
        rdb::AccessClock::Lfu {
            now_minutes: now as u16,
            decay_minutes: data.settings.lfu_decay_minutes,
        }
    } else {
        rdb::AccessClock::Lru { now_seconds: now }
    }
}

/// Saves now, while everything waits.
///
/// # Errors
/// What went wrong, for the log.
pub fn save_now(state: &mut ServerState, engine: &mut Engine) -> Result<u64, String> {
    let job = job(state, engine).ok_or(TOO_MANY_VIEWS)?;
    let outside = &mut state.outside;
    let disk = outside.disk();
    let result = crate::jobs::run_save(&*disk, job, &mut |microseconds| outside.sleep(microseconds));
    match &result {
        Ok(_) => {
            state.persistence.last_save_seconds = engine.now.unix_ms().seconds();
            state.persistence.last_ok = true;
            state.persistence.saves += 1;
            engine.data.dirty = 0;
            engine.data.settings.save_failed = false;
            state.log(Level::Notice, "DB saved on disk");
        }
        Err(what) => {
            let line = format!("Error trying to save the DB: {what}");
            state.log(Level::Warning, line);
        }
    }
    result
}

/// A background save has ended.
pub fn saved(state: &mut ServerState, engine: &mut Engine, id: u64, result: Result<u64, String>) {
    let Some(running) = state.persistence.running.take_if(|running| running.id == id) else {
        return;
    };
    let seconds = engine.now.unix_ms().seconds();
    if running.cancelled {
        state.log(Level::Notice, "Background saving cancelled");
    } else {
        state.persistence.last_duration_seconds = seconds - running.began.unix_ms().seconds();
        state.persistence.last_ok = result.is_ok();
        match result {
            Ok(_) => {
                state.persistence.last_save_seconds = seconds;
                state.persistence.saves += 1;
                engine.data.dirty = engine.data.dirty.saturating_sub(running.dirty_at_freeze);
                state.log(Level::Notice, "Background saving terminated with success");
            }
            Err(what) => state.log(Level::Warning, format!("Background saving error: {what}")),
        }
    }
    refresh_gate(state, engine);
    if std::mem::take(&mut state.persistence.scheduled) {
        begin(state, engine, false);
    }
}

/// Whether a failed save holds writes back.
fn refresh_gate(state: &ServerState, engine: &mut Engine) {
    let config = &state.config;
    let watched = config.stop_writes_on_bgsave_error && !crate::settings::save_points(config).is_empty();
    engine.data.settings.save_failed = watched && !state.persistence.last_ok;
}

/// Lets save points begin a save.
pub fn tick(state: &mut ServerState, engine: &mut Engine) {
    refresh_gate(state, engine);
    if state.persistence.running.is_some() || state.cron_paused {
        return;
    }
    let seconds = engine.now.unix_ms().seconds();
    let persistence = &state.persistence;
    if !persistence.last_ok && seconds - persistence.last_try_seconds <= RETRY_SECONDS {
        return;
    }
    if std::mem::take(&mut state.persistence.scheduled) {
        begin(state, engine, false);
        return;
    }
    let persistence = &state.persistence;
    let since = seconds - persistence.last_save_seconds;
    let dirty = engine.data.dirty;
    let reached = crate::settings::save_points(&state.config)
        .iter()
        .copied()
        .find(|point| dirty >= point.changes.max(0) as u64 && since > point.seconds);
    if let Some(point) = reached {
        state.log(
            Level::Notice,
            format!("{} changes in {} seconds. Saving...", point.changes, point.seconds),
        );
        begin(state, engine, false);
    }
}

/// Everything was flushed: a running save holds data that is gone. Stock then saves the empty dataset at once, where
/// saving is configured, so that a restart does not bring the old one back.
pub fn on_flushed_all(state: &mut ServerState, engine: &mut Engine) {
    state.persistence.cancel();
    if !crate::settings::save_points(&state.config).is_empty() {
        // What goes wrong is in the log; the next save point tries again.
        let _ = save_now(state, engine);
    }
}

/// A keyspace with nothing in it, as large as configured.
#[must_use]
pub fn empty_keyspace(state: &mut ServerState, engine: &Engine) -> keyspace::Keyspace {
    keyspace::Keyspace::new(engine.data.keyspace.databases(), state.rng.next_u64())
}

/// How a file is read now.
pub fn file_load_options(state: &ServerState, engine: &Engine) -> rdb::LoadOptions {
    let replica = engine.data.settings.role == engine::settings::Role::Replica;
    let checked = state.config.rdbchecksum && !engine.data.settings.skip_checksum;
    rdb::LoadOptions {
        expired: if replica {
            rdb::Expired::Keep
        } else {
            rdb::Expired::Drop(engine.now.unix_ms())
        },
        duplicates: rdb::Duplicates::Refused,
        verify: if checked {
            rdb::Verify::Checksum
        } else {
            rdb::Verify::Nothing
        },
        access_clock: access_clock(engine),
        key_delay_microseconds: i64::from(state.config.key_load_delay),
        encodings: engine.data.settings.encodings,
    }
}

/// Reads a file while everything waits.
///
/// # Errors
/// Why there is no dataset.
pub fn load_file(
    state: &mut ServerState,
    file: &str,
    into: keyspace::Keyspace,
    options: rdb::LoadOptions,
) -> Result<Box<crate::jobs::Loaded>, crate::jobs::LoadFailure> {
    let outside = &mut state.outside;
    let disk = outside.disk();
    let (cancel, progress) = (Cancel::default(), Progress::default());
    let job = crate::jobs::FileLoad {
        file,
        into,
        options,
        cancel: &cancel,
        progress: &progress,
    };
    crate::jobs::run_load_file(&*disk, job, &mut |microseconds| outside.sleep(microseconds))
}

/// Makes a loaded dataset the dataset.
pub fn adopt(state: &mut ServerState, engine: &mut Engine, loaded: crate::jobs::Loaded) {
    for key in &loaded.empty_keys {
        state.log(Level::Notice, format!("skipping empty key: {}", key.escape_ascii()));
    }
    let crate::jobs::Loaded {
        keys, expired, empty, ..
    } = loaded;
    state.log(
        Level::Notice,
        format!("Done loading RDB, keys loaded: {keys}, keys expired: {expired}, empty keys skipped: {empty}."),
    );
    state.persistence.last_load_keys = loaded.keys;
    state.persistence.last_load_expired = loaded.expired;
    state.persistence.functions = loaded.functions.into();
    let old = engine.data.replace_keyspace(loaded.keyspace);
    let (bytes, keys) = (old.live_bytes(), old.key_count());
    let pending = engine.data.lazyfree.pending(old, bytes, keys);
    state.effects.push(Effect::Discard(Box::new(pending)));
}

/// Bytes that `maxmemory` does not count: the replication stream and what only snapshots still hold.
#[must_use]
pub fn uncounted_memory(state: &ServerState, data: &Data) -> u64 {
    crate::replication::stream_memory_bytes(state) + data.keyspace.frozen_bytes()
}

/// Bytes in use: what the allocator has handed out, without what another thread is about to free.
#[must_use]
pub fn used_memory(state: &ServerState, data: &Data) -> u64 {
    let allocated = state.outside.allocated_bytes();
    allocated.saturating_sub(data.lazyfree.pending_bytes())
}
