//! The node: sessions come and go, time reaches its timers, jobs' ends whoever waits for them.

use crate::effect::{Done, Effect};
use crate::host::ServerState;
use crate::intake::Intake;
use crate::outside::Outside;
use crate::persistence::{self, Persistence};
use crate::replication::Replication;
use crate::settings::ClientOutputLimits;
use base::{Now, Rng};
use config::Config;
use engine::host::{Level, Notice};
use engine::session::{Kind, Peer};
use engine::{Engine, Session, SessionId};

/// A whole server but its outside.
pub struct Node {
    /// The single writer.
    pub engine: Engine,
    /// Everything around it.
    pub state: ServerState,
    pub(crate) intake: Intake,
}

/// What became of a new connection.
pub enum Opened {
    /// It has a session.
    Session(SessionId),
    /// It is refused: send this and close.
    Refused(Vec<u8>),
}

/// Rates and peaks that the timer keeps for INFO.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    /// Commands per second.
    pub operations: Rate,
    /// Bytes per second read from clients.
    pub input: Rate,
    /// Bytes per second written to clients.
    pub output: Rate,
    /// Bytes per second read from the primary.
    pub repl_input: Rate,
    /// Bytes per second written to replicas.
    pub repl_output: Rate,
    /// The most bytes the allocator ever had handed out.
    pub peak_memory: u64,
    /// What the allocator had handed out when the server was ready and empty.
    pub startup_memory: u64,
    /// The largest read buffer seen lately.
    pub recent_max_input_buffer: usize,
    /// The largest output seen lately.
    pub recent_max_output_buffer: usize,
}

/// The rate of a counter, as the mean of samples of 100 ms.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    samples: [u64; Self::SAMPLES],
    next: usize,
    last_count: u64,
    last_ms: u64,
}

impl Rate {
    const SAMPLES: usize = 16;

    fn sample(&mut self, count: u64, mono_ms: u64) {
        let elapsed = mono_ms.saturating_sub(self.last_ms).max(1);
        // A counter that CONFIG RESETSTAT has cleared begins anew.
        let grown = count.saturating_sub(self.last_count);
        self.samples[self.next] = grown * 1000 / elapsed;
        self.next = (self.next + 1) % Self::SAMPLES;
        self.last_count = count;
        self.last_ms = mono_ms;
    }

    /// Per second, now.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / Self::SAMPLES as u64
    }
}

/// After how long room that a client's output has not needed is given back.
pub(crate) const REPLY_BUFFER_PEAK_RESET_MS: u64 = 5000;

/// How many keys one round of the background expiry deletes at most before it looks at the clock.
const EXPIRE_BATCH: usize = 64;

impl Node {
    /// A node with an empty dataset. `clock` reads the monotonic clock in microseconds; `seed` feeds all randomness.
    ///
    /// # Errors
    /// When `rename-command` names a command that does not exist, or a name that is taken.
    pub fn new(
        config: Config,
        outside: Box<dyn Outside>,
        now: Now,
        seed: u64,
        clock: fn() -> u64,
    ) -> Result<Self, String> {
        let specs = engine::commands::ALL.iter().chain(crate::commands::ALL);
        let mut engine = Engine::new(config.databases, seed, clock, specs);
        engine.begin_turn(now);
        for (old, new) in crate::settings::renamed_commands(&config) {
            engine
                .table
                .rename(&old, &new)
                .map_err(|what| format!("{what}: '{old}'"))?;
        }
        let mut rng = Rng::new(seed ^ 0x0de);
        let run_id = base::ReplId::random(&mut rng).as_str().to_owned();
        let replication = Replication::new(&config, now, &mut rng);
        let state = ServerState {
            replication,
            persistence: Persistence::new(now),
            outside,
            effects: Vec::new(),
            rng,
            run_id,
            started: now,
            config_file: None,
            meters: Meters::default(),
            cron_paused: false,
            reply_buffer_peak_reset_ms: Some(REPLY_BUFFER_PEAK_RESET_MS),
            reply_buffers_resized: true,
            io_threads_active: false,
            shutdown: None,
            config,
        };
        let mut node = Self {
            engine,
            state,
            intake: Intake::default(),
        };
        crate::settings::apply(&mut node.state, &mut node.engine);
        node.state.meters.startup_memory = node.state.outside.allocated_bytes();
        Ok(node)
    }

    /// Sets the clocks. Call it at the beginning of every turn of the loop, before any event of the turn.
    pub fn begin_turn(&mut self, now: Now) {
        self.engine.begin_turn(now);
        if self.engine.time_out_waits() > 0 {
            self.after_execution();
        }
    }

    /// Goes on with an eviction that was cut short. Call it at the end of every turn, before outputs are sent.
    pub fn evict_on(&mut self) {
        if self.engine.evictor.under_way {
            self.engine.evict_on(&self.state);
            self.after_execution();
        }
    }

    /// Whether there is work for another turn at once, whatever else happens.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.engine.evictor.under_way
    }

    /// When the node must have a turn, whatever happens or not: a client will have waited long enough (monotonic ms).
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        // A deadline passes when it is over, not when it comes.
        self.engine
            .data
            .blocking
            .next_deadline_ms()
            .map(|at| at.saturating_add(1))
    }

    /// A connection has come in.
    pub fn open(&mut self, peer: Peer) -> Opened {
        if self.engine.sessions.len() >= self.state.config.maxclients as usize {
            self.engine.data.stats.rejected_connections += 1;
            return Opened::Refused(b"-ERR max number of clients reached\r\n".to_vec());
        }
        let open_to_all = self.state.config.protected_mode && self.engine.data.settings.password.is_none();
        if open_to_all && !peer.loopback && !peer.unix_socket {
            self.engine.data.stats.rejected_connections += 1;
            return Opened::Refused(PROTECTED.as_bytes().to_vec());
        }
        Opened::Session(self.engine.open(peer))
    }

    /// `get`, `client|list`: what a session sent last, if that is a command.
    pub(crate) fn last_command_name(&self, id: SessionId) -> String {
        let last = self.engine.sessions.get(id).and_then(|session| session.last_command);
        last.map_or_else(String::new, |command| self.engine.table[command].full_name.clone())
    }

    /// How much output a replica's session has; `None` for other sessions.
    pub(crate) fn replica_output(&self, id: SessionId) -> Option<usize> {
        let session = self.engine.sessions.get(id)?;
        (session.kind == Kind::Replica).then_some(session.out.len())
    }

    pub(crate) fn may_execute(&self, id: SessionId) -> bool {
        self.engine
            .sessions
            .get(id)
            .is_some_and(|session| session.blocked.is_none() && !session.close_after_reply && !session.close_now)
    }

    pub(crate) fn protocol_error(&mut self, id: SessionId, error: resp::ProtocolError, request: &[u8]) {
        let session = &mut self.engine.sessions[id];
        session.close_after_reply = true;
        session.out.extend_from_slice(&error.reply_line());
        let sample = request[..request.len().min(40)].escape_ascii();
        let line = format!(
            "Protocol error ({}) from client {}: {sample}",
            error.log_reason(),
            session.peer.address
        );
        self.engine.data.stats.count_error("ERR");
        self.state.log(Level::Verbose, line);
    }

    /// Hands on what executions left behind: effects to the stream, notices to the outside.
    pub(crate) fn after_execution(&mut self) {
        crate::replication::collect(&mut self.state, &mut self.engine);
        self.engine.deliver();
        if self.engine.data.notices.is_empty() {
            return;
        }
        for notice in std::mem::take(&mut self.engine.data.notices) {
            match notice {
                Notice::Migrate(job) => self.state.effects.push(Effect::Migrate(job)),
                Notice::Discard(value) => self.state.effects.push(Effect::Discard(value)),
                Notice::Resume(id) => self.state.effects.push(Effect::Resume(id)),
                Notice::Close(id) => {
                    self.closed(id);
                    self.state.effects.push(Effect::Close(id));
                }
                Notice::FlushedAll => persistence::on_flushed_all(&mut self.state, &mut self.engine),
                Notice::Swapped(..) => {}
                Notice::Log(level, line) => self.state.log(level, line),
            }
        }
    }

    /// The sessions that got output by what others did since the last call. Those that leave too much unread are closed.
    /// Give the list back with [`engine::session::Sessions::recycle_pushed`].
    pub fn take_pushed(&mut self) -> Vec<SessionId> {
        self.engine.deliver();
        self.engine.broadcast_invalid();
        let pushed = self.engine.sessions.take_pushed();
        if !pushed.is_empty() {
            let limits = crate::settings::client_output_limits(&self.state.config);
            for id in &pushed {
                self.enforce_output_limit(*id, limits);
                self.count_client(*id);
            }
            self.after_execution();
        }
        pushed
    }

    /// A session's connection is gone, or is given up.
    pub fn closed(&mut self, id: SessionId) {
        if self.engine.sessions.get(id).is_none() || crate::replication::kill_link(self, id) {
            return;
        }
        crate::replication::session_closed(self, id);
        self.engine.close(id);
    }

    /// So many bytes of a session's output were sent.
    pub fn sent(&mut self, id: SessionId, bytes: usize) {
        self.engine.data.stats.net_output_bytes += bytes as u64;
        self.engine.data.stats.writes_processed += 1;
        let Some(session) = self.engine.sessions.get_mut(id) else {
            return;
        };
        session.sent += bytes;
        session.out_peak = session.out_peak.max(session.out.len());
        if session.sent == session.out.len() {
            session.out.clear();
            session.sent = 0;
            // Where memory is limited, room for one long reply must not cost keys.
            const KEPT_BYTES: usize = 64 << 10;
            let limited = self.engine.data.settings.maxmemory > 0;
            if limited && session.out.capacity() > Session::REPLY_BUFFER_BYTES {
                session.out.shrink_to(Session::LEAST_REPLY_BUFFER_BYTES);
            } else {
                session.out.shrink_to(KEPT_BYTES);
            }
        } else if session.sent > session.out.len() / 2 {
            // A listener that never catches up must not keep what it has read. What moves is no more than what was sent.
            session.out.drain(..session.sent);
            session.sent = 0;
        }
        self.count_client(id);
    }

    /// A background job has ended.
    pub fn done(&mut self, done: Done) {
        match done {
            Done::Saved { id, result } => persistence::saved(&mut self.state, &mut self.engine, id, result),
            Done::Transferred { replica, result } => crate::replication::transferred(self, replica, result),
            Done::Migrated(outcome) => self.engine.end_migration(&mut self.state, outcome),
            Done::Loaded { id, result } => crate::replication::loaded(self, id, result),
        }
        self.after_execution();
    }

    /// Lets time pass: call it about every [`Self::tick_interval_ms`].
    pub fn tick(&mut self) {
        let now = self.engine.now;
        self.end_pauses(now);
        self.intake.rest();
        if !self.state.cron_paused {
            self.expire_cycle();
            self.engine.serve_ready(&mut self.state);
            self.measure(now);
            self.close_idle_sessions(now);
            self.engine
                .limit_tracked_keys(self.engine.data.settings.tracked_keys_max);
        }
        self.enforce_output_limits(now);
        self.limit_all_clients();
        crate::shutdown::tick(&mut self.state, &mut self.engine);
        // Before the dataset of the last run is here there is nothing to save, and no place in a history to go on from.
        if self.state.persistence.starting.is_none() {
            persistence::tick(&mut self.state, &mut self.engine);
            crate::replication::tick(self);
        }
        self.after_execution();
    }

    /// How long to wait between ticks, in milliseconds.
    #[must_use]
    pub fn tick_interval_ms(&self) -> u64 {
        const MOST_MS: u64 = 100;
        (1000 / u64::from(self.state.config.hz.clamp(1, 500))).clamp(2, MOST_MS)
    }

    fn end_pauses(&mut self, now: Now) {
        if self.engine.pauses.end_due(now.mono_ms()) {
            self.engine.resume_postponed();
        }
    }

    /// Deletes expired keys for a bounded time, most overdue segments first.
    fn expire_cycle(&mut self) {
        const BUDGET_US: u64 = 2_500;
        let started = self.engine.read_clock();
        loop {
            let expired = self.engine.expire_some(EXPIRE_BATCH);
            let spent = self.engine.read_clock().saturating_sub(started);
            self.engine.data.stats.expire_cycle_us += if expired > 0 { spent } else { 0 };
            if expired < EXPIRE_BATCH {
                break;
            }
            if spent > BUDGET_US {
                self.engine.data.stats.expire_time_cap_reached += 1;
                break;
            }
        }
    }

    fn measure(&mut self, now: Now) {
        let stats = &self.engine.data.stats;
        let meters = &mut self.state.meters;
        if now.mono_ms().saturating_sub(meters.operations.last_ms) < 100 {
            return;
        }
        meters.operations.sample(stats.commands, now.mono_ms());
        meters.input.sample(stats.net_input_bytes, now.mono_ms());
        meters.output.sample(stats.net_output_bytes, now.mono_ms());
        meters.repl_input.sample(stats.net_repl_input_bytes, now.mono_ms());
        meters.repl_output.sample(stats.net_repl_output_bytes, now.mono_ms());
        meters.peak_memory = meters.peak_memory.max(self.state.outside.allocated_bytes());
        /// After how long a client's read buffer is shown as given back.
        const IDLE_MS: u64 = 2000;
        let (mut input, mut output, mut shrinks) = (0, 0, 0);
        for session in self.engine.sessions.iter_mut() {
            // The memory itself went back when the last request was complete.
            let waits = session.query_bytes + session.argument_bytes > 0;
            if !waits && now.mono_ms().saturating_sub(session.last_active.mono_ms()) > IDLE_MS {
                session.query_capacity = 0;
            }
            input = input.max(session.query_capacity);
            output = output.max(session.out.capacity());
            if self.state.reply_buffers_resized {
                shrinks += u64::from(session.fit_output(now.mono_ms(), self.state.reply_buffer_peak_reset_ms));
            }
        }
        self.engine.data.stats.reply_buffer_shrinks += shrinks;
        meters.recent_max_input_buffer = input;
        meters.recent_max_output_buffer = output;
    }

    fn close_idle_sessions(&mut self, now: Now) {
        let timeout_ms = u64::from(self.state.config.timeout) * 1000;
        if timeout_ms == 0 {
            return;
        }
        let idle = |session: &engine::Session| {
            session.kind == Kind::Normal
                && !session.monitor
                && session.blocked.is_none()
                && now.mono_ms().saturating_sub(session.last_active.mono_ms()) > timeout_ms
        };
        let due: Vec<SessionId> = self.engine.sessions.iter().filter(|s| idle(s)).map(|s| s.id).collect();
        for id in due {
            self.state.log(Level::Verbose, "Closing idle client");
            self.engine.data.notices.push(Notice::Close(id));
        }
    }

    /// Closes a client whose replies have outgrown its limit before any of it could be sent: it gets none of them.
    pub(crate) fn enforce_output_limit(&mut self, id: SessionId, limits: ClientOutputLimits) {
        let now = self.engine.now;
        let Some(session) = self.engine.sessions.get_mut(id).filter(|session| !session.close_now) else {
            return;
        };
        if session.kind != Kind::Normal || !limits.of(session).exceeded(session, now) {
            return;
        }
        session.out = Vec::new();
        session.sent = 0;
        session.close_now = true;
        self.close_over_limit(id);
    }

    fn close_over_limit(&mut self, id: SessionId) {
        let address = &self.engine.sessions[id].peer.address;
        let line = format!("Client {address} scheduled to be closed ASAP for overcoming of output buffer limits.");
        self.state.log(Level::Warning, line);
        self.engine.data.notices.push(Notice::Close(id));
    }

    /// Closes clients that leave too much unread. Replicas have limits of their own, kept by replication.
    fn enforce_output_limits(&mut self, now: Now) {
        let limits = crate::settings::client_output_limits(&self.state.config);
        let mut over = Vec::new();
        for session in self
            .engine
            .sessions
            .iter_mut()
            .filter(|session| session.kind == Kind::Normal)
        {
            if limits.of(session).exceeded(session, now) {
                over.push(session.id);
            }
        }
        for id in over {
            self.close_over_limit(id);
        }
    }

    /// Takes what is to be done outside.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.state.effects)
    }
}

const PROTECTED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is \
    set for the default user. In this mode connections are only accepted from the loopback interface. To connect from \
    other hosts, do one of these: 1) set a password for the default user with requirepass; 2) set protected-mode no, in \
    the configuration file or from the loopback interface with CONFIG SET, and make sure that nobody else can reach \
    this port; 3) start the server with --protected-mode no, only to try it.\r\n";
