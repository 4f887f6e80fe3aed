//! The dataset at the start: the file that the last run left, if there is one.
//!
//! ```text
//!   begin ─► StartLoad ─► run, in place or on another thread ─► end ─► the node is in service
//!     └─ meanwhile clients hear -LOADING, and nothing is saved, expired or replicated
//! ```

use crate::host::ServerState;
use crate::jobs::{Cancel, FileLoad, LoadFailure, Loaded, Progress, run_load_file};
use crate::outside::Disk;
use crate::persistence::{adopt, empty_keyspace, file_load_options};
use base::Now;
use engine::Engine;
use engine::host::Level;
use engine::settings::Loading;
use keyspace::Keyspace;
use std::sync::Arc;

/// A load that has begun and not ended.
pub struct Starting {
    began: Now,
    progress: Arc<Progress>,
}

impl Starting {
    /// When it began, and how far it is.
    #[must_use]
    pub fn progress(&self) -> (Now, &Progress) {
        (self.began, &self.progress)
    }
}

/// What is to be loaded.
pub struct StartLoad {
    /// Size of the file in bytes.
    pub bytes: u64,
    file: String,
    into: Keyspace,
    options: rdb::LoadOptions,
    progress: Arc<Progress>,
}

impl StartLoad {
    /// Loads it. Takes a while.
    ///
    /// # Errors
    /// Why there is no dataset.
    pub fn run(self, disk: &dyn Disk, sleep: &mut dyn FnMut(u64)) -> Result<Box<Loaded>, LoadFailure> {
        let job = FileLoad {
            file: &self.file,
            into: self.into,
            options: self.options,
            cancel: &Cancel::default(),
            progress: &self.progress,
        };
        run_load_file(disk, job, sleep)
    }
}

/// Looks for the file. If there is one, the node is loading from now on, until [`end`]; if not, it is in service.
///
/// # Errors
/// When the disk does not tell whether there is one.
pub fn begin(state: &mut ServerState, engine: &mut Engine) -> Result<Option<StartLoad>, String> {
    let file = state.config.dbfilename.to_str().into_owned();
    let bytes = match state.outside.disk().size(&file) {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => bytes,
        Err(error) => return Err(format!("Can't look for the RDB file {file}: {error}")),
    };
    let into = empty_keyspace(state, engine);
    // What has expired is loaded too and deleted then: replicas that go on with us must hear of it.
    let options = rdb::LoadOptions {
        expired: rdb::Expired::Keep,
        ..file_load_options(state, engine)
    };
    let progress = Arc::new(Progress::default());
    engine.data.settings.loading = Loading::Foreground;
    state.persistence.starting = Some(Starting {
        began: engine.now,
        progress: progress.clone(),
    });
    Ok(Some(StartLoad {
        bytes,
        file,
        into,
        options,
        progress,
    }))
}

/// The load that [`begin`] began has ended: with a dataset, the node is in service.
///
/// # Errors
/// What is wrong with the file: the server must not run without its data.
pub fn end(
    state: &mut ServerState,
    engine: &mut Engine,
    result: Result<Box<Loaded>, LoadFailure>,
) -> Result<(), String> {
    let Some(starting) = state.persistence.starting.take() else {
        return Ok(());
    };
    let file = state.config.dbfilename.to_str().into_owned();
    let loaded = result.map_err(|failure| format!("Fatal error loading the RDB file {file}: {failure}"))?;
    engine.data.settings.loading = Loading::No;
    let position = loaded.position;
    adopt(state, engine, *loaded);
    if let Some(position) = position {
        crate::replication::resume(state, engine, position);
    }
    let expired = engine.expire_some(usize::MAX) as u64;
    state.persistence.last_load_keys -= expired;
    state.persistence.last_load_expired = expired;
    crate::replication::collect(state, engine);
    let now_us = engine.read_clock();
    let seconds = now_us.saturating_sub(starting.began.mono_us) as f64 / 1e6;
    state.log(Level::Notice, format!("DB loaded from disk: {seconds:.3} seconds"));
    Ok(())
}

/// Loads the file while everything waits.
///
/// # Errors
/// As [`begin`] and [`end`].
pub fn load_in_place(state: &mut ServerState, engine: &mut Engine) -> Result<(), String> {
    let Some(load) = begin(state, engine)? else {
        return Ok(());
    };
    run_in_place(state, engine, load)
}

/// Runs a load that has begun while everything waits, and ends it.
///
/// # Errors
/// As [`end`].
pub fn run_in_place(state: &mut ServerState, engine: &mut Engine, load: StartLoad) -> Result<(), String> {
    let outside = &mut state.outside;
    let disk = outside.disk();
    let result = load.run(&*disk, &mut |microseconds| outside.sleep(microseconds));
    end(state, engine, result)
}
