//! The state around the engine that server commands work on.

use crate::effect::Effect;
use crate::outside::Outside;
use crate::persistence::Persistence;
use crate::replication::Replication;
use base::{Now, Offset, Rng};
use config::Config;
use engine::commands::migrate::{Job, Outcome};
use engine::{Data, Engine, Host, ServerCtx, SessionId};
use std::any::Any;

/// Everything of a server but its engine.
pub struct ServerState {
    /// The configuration in force.
    pub config: Config,
    /// Both roles of replication.
    pub replication: Replication,
    /// Saves and the state of the dataset on disk.
    pub persistence: Persistence,
    /// The outside.
    pub outside: Box<dyn Outside>,
    /// What is to be done outside.
    pub effects: Vec<Effect>,
    /// Randomness.
    pub rng: Rng,
    /// Names this run of the server: 40 hexadecimal digits.
    pub run_id: String,
    /// When the server started.
    pub started: Now,
    /// The configuration file, if there is one; an absolute path.
    pub config_file: Option<String>,
    /// Rates and peaks that the timer keeps for INFO.
    pub meters: crate::node::Meters,
    /// Background expiry and the rest of the timer are stopped (DEBUG PAUSE-CRON).
    pub cron_paused: bool,
    /// After how many milliseconds the peak of a client's output counts no more (DEBUG REPLYBUFFER).
    pub reply_buffer_peak_reset_ms: Option<u64>,
    /// Whether room that a client's output does not need is given back (DEBUG REPLYBUFFER).
    pub reply_buffers_resized: bool,
    /// Other threads helped with the sockets when they were last worth it.
    pub io_threads_active: bool,
    /// A shutdown that waits for replicas.
    pub shutdown: Option<crate::shutdown::Pending>,
}

impl Host for ServerState {
    fn counted_memory(&self, data: &Data) -> u64 {
        let used = crate::persistence::used_memory(self, data);
        used.saturating_sub(crate::persistence::uncounted_memory(self, data))
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn diverge(&mut self, engine: &mut Engine) {
        crate::replication::diverge(self, engine);
    }

    fn migrate(&mut self, job: &Job) -> Outcome {
        self.outside.migrate(job)
    }

    fn end_wait(&mut self, engine: &mut Engine, waiter: SessionId, offset: Offset) -> u64 {
        crate::replication::end_wait(self, engine, waiter, offset)
    }
}

impl ServerState {
    /// Writes a line to the log.
    pub fn log(&mut self, level: engine::host::Level, line: impl Into<String>) {
        self.effects.push(Effect::Log(level, line.into()));
    }
}

/// The server's state and the engine, both at hand, for a server command.
///
/// # Panics
/// When the engine is run by another host than a node: node's commands are listed by a node only.
pub fn split<'c>(ctx: &'c mut ServerCtx<'_>) -> (&'c mut ServerState, &'c mut engine::Engine) {
    match ctx.host.as_any().downcast_mut::<ServerState>() {
        Some(state) => (state, ctx.engine),
        None => panic!("a command of the server ran without a server"),
    }
}

/// The server's state, for a server command.
///
/// # Panics
/// As [`split`].
pub fn state<'c>(ctx: &'c mut ServerCtx<'_>) -> &'c mut ServerState {
    split(ctx).0
}
