//! Ending the server, in order.
//!
//! ```text
//!   SHUTDOWN, a signal ─► replicas behind, and time to wait?
//!                           ├─ yes ─► pause writes, wait ─┬─ all caught up, or time over ─► finish
//!                           │                             └─ SHUTDOWN ABORT ─► writes go on
//!                           └─ no ──► finish: save if asked ─┬─ ok ─► Effect::Exit
//!                                                            └─ failed, not forced ─► the server stays
//! ```

use crate::effect::Effect;
use crate::host::ServerState;
use crate::persistence;
use base::Now;
use engine::host::Level;
use engine::pause::{PauseKind, PausePurpose};
use engine::session::Blocked;
use engine::settings::Loading;
use engine::{Engine, SessionId};

/// What a client hears whose SHUTDOWN did not end the server.
pub const FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";

/// Whether to save before the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Save {
    /// Where save points are configured.
    #[default]
    AsConfigured,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// How to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether to save.
    pub save: Save,
    /// Do not wait for replicas.
    pub now: bool,
    /// End even if saving fails.
    pub force: bool,
}

/// What became of the request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The process ends with this turn of the loop.
    Ending,
    /// Replicas are being waited for.
    Waiting,
    /// Something went wrong; the log says what.
    Failed,
}

/// An end that waits for replicas.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    options: Options,
    deadline_ms: u64,
}

impl Pending {
    /// How many milliseconds are left to wait.
    #[must_use]
    pub fn remaining_ms(&self, now: Now) -> u64 {
        self.deadline_ms.saturating_sub(now.mono_ms())
    }
}

/// Begins to end the server.
pub fn begin(state: &mut ServerState, engine: &mut Engine, options: Options, now: Now) -> Begun {
    if state.shutdown.is_some() {
        return Begun::Waiting;
    }
    state.log(Level::Warning, "User requested shutdown...");
    let timeout_ms = u64::from(state.config.shutdown_timeout) * 1000;
    if !options.now && timeout_ms > 0 && !crate::replication::lagging_replicas(state).is_empty() {
        let deadline_ms = now.mono_ms() + timeout_ms;
        engine.pauses.begin(PausePurpose::Shutdown, PauseKind::Write, u64::MAX);
        engine.data.expiry_paused = true;
        state.shutdown = Some(Pending { options, deadline_ms });
        let seconds = state.config.shutdown_timeout;
        state.log(
            Level::Notice,
            format!("Waiting for replicas before shutting down: up to {seconds} seconds."),
        );
        return Begun::Waiting;
    }
    finish(state, engine, options)
}

/// Begins to end the server because of a signal. While DEBUG PAUSE-CRON holds the timer, the end waits for it.
pub fn begin_by_signal(state: &mut ServerState, engine: &mut Engine, options: Options, now: Now) -> Begun {
    if !state.cron_paused {
        return begin(state, engine, options, now);
    }
    let deadline_ms = now.mono_ms();
    state.shutdown.get_or_insert(Pending { options, deadline_ms });
    Begun::Waiting
}

/// Goes on waiting, or ends.
pub fn tick(state: &mut ServerState, engine: &mut Engine) {
    let Some(pending) = state.shutdown.filter(|_| !state.cron_paused) else {
        return;
    };
    let in_time = pending.remaining_ms(engine.now) > 0;
    if in_time && !crate::replication::lagging_replicas(state).is_empty() {
        return;
    }
    state.shutdown = None;
    engine.end_pause(PausePurpose::Shutdown);
    if finish(state, engine, pending.options) == Begun::Failed {
        answer_waiting(engine);
    }
}

/// Gives up an end that waits; false when there is none.
pub fn abort(state: &mut ServerState, engine: &mut Engine) -> bool {
    if state.shutdown.take().is_none() {
        return false;
    }
    engine.end_pause(PausePurpose::Shutdown);
    answer_waiting(engine);
    state.log(Level::Notice, "Shutdown manually aborted.");
    true
}

fn answer_waiting(engine: &mut Engine) {
    let waiting: Vec<SessionId> = engine
        .sessions
        .iter()
        .filter(|s| s.blocked == Some(Blocked::Shutdown))
        .map(|s| s.id)
        .collect();
    for id in waiting {
        engine.data.stats.count_error("ERR");
        engine.answer_blocked(id, |reply| reply.error(FAILED));
    }
}

fn finish(state: &mut ServerState, engine: &mut Engine, options: Options) -> Begun {
    report_lag(state);
    state.persistence.cancel();
    let saves = match options.save {
        Save::Never => false,
        // What is here is not the dataset: saved, it would take the place of the file that is being loaded.
        _ if engine.data.settings.loading == Loading::Foreground => false,
        Save::Always => true,
        Save::AsConfigured => !crate::settings::save_points(&state.config).is_empty(),
    };
    if saves {
        state.log(Level::Notice, "Saving the final RDB snapshot before exiting.");
        if persistence::save_now(state, engine).is_err() {
            if !options.force {
                state.log(Level::Warning, "Error trying to save the DB, can't exit.");
                state.log(
                    Level::Warning,
                    "Errors trying to shut down the server. Check the logs for more information.",
                );
                return Begun::Failed;
            }
            state.log(
                Level::Warning,
                "Error trying to save the DB, exiting all the same as asked.",
            );
        }
    }
    state.log(Level::Warning, "Skein is now ready to exit, bye bye...");
    state.effects.push(Effect::Exit(0));
    Begun::Ending
}

/// Says which replicas miss something of the stream.
fn report_lag(state: &mut ServerState) {
    let lagging = crate::replication::lagging_replicas(state);
    let all = crate::replication::online_replicas(state);
    if all == 0 {
        return;
    }
    for (address, bytes) in &lagging {
        let line =
            format!("Lagging replica {address} reported offset {bytes} behind master, lag={bytes}, state=online.");
        state.log(Level::Warning, line);
    }
    let level = if lagging.is_empty() {
        Level::Notice
    } else {
        Level::Warning
    };
    let in_sync = all - lagging.len();
    state.log(
        level,
        format!("{in_sync} of {all} replicas are in sync when shutting down."),
    );
}
