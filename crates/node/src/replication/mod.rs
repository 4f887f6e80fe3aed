//! Replication's glue: the machines of crate `repl` on this node's engine, sessions and effects.
//!
//! ```text
//!   engine ── units ──▶ collect ──▶ ┌──────────┐ ──▶ stream slices ──▶ replicas' sockets
//!   sessions ── PSYNC, REPLCONF ──▶ │ machines │ ──▶ repl::Effect ──▶ carry_out
//!   link ── bytes ────────────────▶ └──────────┘ ──▶ commands ──▶ link::apply ──▶ engine
//! ```
//!
//! `effects.rs` carries out what the machines ask for, `link.rs` brings them the primary, `commands.rs` the clients, and
//! `info.rs` shows them.

pub mod commands;
mod effects;
mod info;
mod link;

use crate::host::ServerState;
use crate::jobs::{Cancel, Position, Progress};
use crate::node::Node;
use base::{DbIndex, Now, Offset, Rng};
use config::Config;
use engine::settings::Role;
use engine::{Engine, SessionId};
use repl::{LimitOrigin, LostReason, OutputLimit, ReplicaId, Settings, SyncCounters, SyncMethod, WaiterId};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use info::info;
pub use link::{LinkEnd, kill_link, loaded};

/// Both roles.
pub struct Replication {
    machines: repl::Replication,
    /// The session that applies the primary's stream, while it flows.
    primary: Option<SessionId>,
    /// The connection to the primary is open; its ends, for CLIENT LIST.
    link_peer: Option<engine::session::Peer>,
    /// Bytes for the primary.
    link_output: Vec<u8>,
    /// Kept for its room: see [`link`].
    lookups: Vec<link::Known>,
    /// The load under way.
    load: Option<RunningLoad>,
    next_load: u64,
    /// Stops the transfers under way, by the replica's session number.
    transfers: BTreeMap<u64, Cancel>,
    /// How much of the stream a replica of the last full sync may hold until it has caught up, where the operator has
    /// not said: see [`effects::sync_allowance`].
    sync_allowance_bytes: u64,
}

struct RunningLoad {
    id: u64,
    cancel: Cancel,
    progress: Arc<Progress>,
    began: Now,
}

impl Replication {
    /// A primary with no history yet, or a replica about to connect, as the configuration says.
    #[must_use]
    pub fn new(config: &Config, _now: Now, rng: &mut Rng) -> Self {
        let mut machines = repl::Replication::new(settings(config), Rng::new(rng.next_u64()));
        if let Some(primary) = &config.replicaof.0 {
            machines.start_as_replica(&primary.host.to_str(), primary.port, None);
        }
        Self {
            machines,
            primary: None,
            link_peer: None,
            link_output: Vec::new(),
            lookups: Vec::new(),
            load: None,
            next_load: 1,
            transfers: BTreeMap::new(),
            sync_allowance_bytes: 0,
        }
    }
}

/// The machines' settings, from the configuration.
fn settings(config: &Config) -> Settings {
    let text = |text: &config::Text| (!text.is_empty()).then(|| text.as_bytes().to_vec());
    let limit = config.client_output_buffer_limit.replica;
    // The file that stock ships writes the default out, so that only another value tells of an operator's wish.
    let is_default = limit == config::OutputLimits::default().replica;
    Settings {
        port: config.port,
        announce_port: config.replica_announce_port,
        announce_ip: (!config.replica_announce_ip.is_empty()).then(|| config.replica_announce_ip.to_str().into_owned()),
        primary_user: text(&config.masteruser),
        primary_password: text(&config.masterauth),
        timeout_seconds: u64::from(config.repl_timeout),
        ping_period_seconds: u64::from(config.repl_ping_replica_period),
        backlog_bytes: config.repl_backlog_size,
        backlog_ttl_seconds: u64::try_from(config.repl_backlog_ttl).unwrap_or(0),
        sync_method: if config.repl_diskless_sync {
            SyncMethod::Diskless
        } else {
            SyncMethod::Disk
        },
        diskless_delay_seconds: u64::from(config.repl_diskless_sync_delay),
        diskless_max_replicas: config.repl_diskless_sync_max_replicas as usize,
        min_replicas_max_lag_seconds: u64::from(config.min_replicas_max_lag),
        replica_limit: OutputLimit {
            hard_bytes: limit.hard_bytes,
            soft_bytes: limit.soft_bytes,
            soft_seconds: u64::try_from(limit.soft_seconds).unwrap_or(0),
        },
        replica_limit_origin: if is_default {
            LimitOrigin::Default
        } else {
            LimitOrigin::Operator
        },
        sync_buffer_limit_bytes: config.repl_sync_buffer_limit,
    }
}

/// The configuration has changed.
pub fn configure(state: &mut ServerState, engine: &mut Engine) {
    let settings = settings(&state.config);
    if *state.replication.machines.settings() != settings {
        state.replication.machines.set_settings(settings);
    }
    tell_engine(state, engine);
}

/// Tells the engine what it must know of replication.
fn tell_engine(state: &ServerState, engine: &mut Engine) {
    let machines = &state.replication.machines;
    let settings = &mut engine.data.settings;
    settings.role = if machines.is_primary() {
        Role::Primary
    } else {
        Role::Replica
    };
    settings.link_up = machines.is_link_up();
    let wanted = state.config.min_replicas_to_write as usize;
    settings.too_few_replicas =
        wanted > 0 && state.config.min_replicas_max_lag > 0 && machines.good_replicas(engine.now) < wanted;
    let propagation = &mut engine.data.propagation;
    if propagation.is_enabled() != machines.records() {
        propagation.set_enabled(machines.records());
    }
    if propagation.ready().is_empty() {
        propagation.set_offset(machines.stream().end());
    }
}

/// Moves effects that are ready into the replication stream. Called after every batch of executions, and before the machines
/// hear of anything: a cut lies between executions.
pub fn collect(state: &mut ServerState, engine: &mut Engine) {
    let propagation = &mut engine.data.propagation;
    if propagation.ready().is_empty() {
        return;
    }
    let machines = &mut state.replication.machines;
    machines.append(propagation.ready(), propagation.stream_db());
    propagation.clear_ready();
    propagation.set_offset(machines.stream().end());
}

/// Lets the machines hear of something, and carries out what they ask for.
fn with_machines<T>(
    state: &mut ServerState,
    engine: &mut Engine,
    event: impl FnOnce(&mut repl::Replication, Now, &mut Vec<repl::Effect>) -> T,
) -> T {
    collect(state, engine);
    let mut asked = Vec::new();
    let result = event(&mut state.replication.machines, engine.now, &mut asked);
    effects::carry_out(state, engine, asked);
    note_primary(state);
    tell_engine(state, engine);
    result
}

/// Keeps `replicaof` in the configuration what it is, for CONFIG GET and REWRITE.
fn note_primary(state: &mut ServerState) {
    let primary = state.replication.machines.primary();
    let configured = state.config.replicaof.0.as_ref();
    let same = match (primary, configured) {
        (None, None) => true,
        (Some((host, port)), Some(known)) => known.host.as_bytes() == host.as_bytes() && known.port == port,
        _ => false,
    };
    if !same {
        let primary = primary.map(|(host, port)| config::Primary {
            host: host.into(),
            port,
        });
        state.config.replicaof = config::ReplicaOf(primary);
    }
}

/// A session is about to be forgotten: it may have been a replica's, or waiting in WAIT.
pub fn session_closed(node: &mut Node, id: SessionId) {
    let Node { engine, state, .. } = node;
    state.replication.machines.on_waiter_gone(WaiterId(id.number));
    let killed = engine
        .sessions
        .get(id)
        .is_some_and(|session| session.close_now || session.close_after_reply);
    let reason = if killed { LostReason::Killed } else { LostReason::Closed };
    with_machines(state, engine, |machines, now, asked| {
        machines.on_replica_closed(now, ReplicaId(id.number), reason, asked);
    });
}

/// The data of this server is not what its history says: no partial sync may go on from it, here or elsewhere.
pub fn diverge(state: &mut ServerState, engine: &mut Engine) {
    with_machines(state, engine, |machines, now, asked| {
        machines.on_dataset_replaced(now, asked);
    });
}

/// A client in WAIT waits no longer: how many replicas have acknowledged the offset that it waited for.
pub fn end_wait(state: &mut ServerState, engine: &mut Engine, waiter: SessionId, offset: Offset) -> u64 {
    collect(state, engine);
    let machines = &mut state.replication.machines;
    machines.on_waiter_gone(WaiterId(waiter.number));
    machines.acknowledged(offset) as u64
}

/// A replica sent a blank line.
pub fn keepalive(state: &mut ServerState, now: Now, id: SessionId) {
    state
        .replication
        .machines
        .on_replica_keepalive(now, ReplicaId(id.number));
}

/// A replica's command wrote a reply, at `reply_from` of its output, which would stand in the middle of its stream: it is closed.
pub fn misbehaved(node: &mut Node, id: SessionId, reply_from: usize, command: &str) {
    let Node { engine, state, .. } = node;
    let address = engine
        .sessions
        .get(id)
        .map(|session| session.peer.address.clone())
        .unwrap_or_default();
    let session = engine.sessions.get(id);
    let reply = session
        .and_then(|session| session.out.get(reply_from..))
        .unwrap_or_default();
    if let Some(error) = link::first_error(reply) {
        state.log(
            engine::host::Level::Warning,
            format!(
                "== CRITICAL == This master is sending an error to its replica: '{error}' after processing the command \
                 '{command}'"
            ),
        );
    }
    state.log(
        engine::host::Level::Warning,
        format!("Replica generated a reply to command '{command}', disconnecting it: addr={address}"),
    );
    if let Some(session) = engine.sessions.get_mut(id) {
        session.out.clear();
        session.sent = 0;
    }
    let reason = LostReason::Misbehaved {
        command: command.to_owned(),
    };
    with_machines(state, engine, |machines, now, asked| {
        machines.on_replica_closed(now, ReplicaId(id.number), reason, asked);
    });
    engine.data.notices.push(engine::Notice::Close(id));
}

/// Time has passed (called some ten times a second): pings, timeouts, retries, WAIT deadlines, failover.
pub fn tick(node: &mut Node) {
    let Node { engine, state, .. } = node;
    let allowance = state.replication.sync_allowance_bytes;
    with_machines(state, engine, |machines, now, asked| {
        machines.on_tick(now, allowance, asked);
        machines.on_turn_end(now, allowance, asked);
    });
    link::apply(state, engine);
}

/// A snapshot went through a replica's socket, or did not.
pub fn transferred(node: &mut Node, replica: SessionId, result: Result<u64, String>) {
    let Node { engine, state, .. } = node;
    state.replication.transfers.remove(&replica.number);
    if let Ok(bytes) = &result {
        engine.data.stats.net_repl_output_bytes += bytes;
    }
    with_machines(state, engine, |machines, now, asked| match result {
        Ok(_) => machines.on_transfer_sent(now, ReplicaId(replica.number), asked),
        Err(what) => machines.on_transfer_failed(now, ReplicaId(replica.number), &what, asked),
    });
}

/// Where the dataset stands in its history, for an RDB file; `None` while there is no history worth keeping.
#[must_use]
pub fn position(state: &ServerState, engine: &Engine) -> Option<Position> {
    let point = state.replication.machines.resume_point()?;
    // What is executed and not yet in the stream belongs to the dataset that is saved.
    let ready = engine.data.propagation.ready().len() as u64;
    let stream_db = engine
        .data
        .propagation
        .stream_db()
        .filter(|_| state.replication.machines.is_primary());
    Some(Position {
        replid: point.id,
        offset: point.offset.plus(ready),
        stream_db: Some(stream_db.unwrap_or(point.stream_db)),
    })
}

/// The dataset loaded at the start stood at `position`: go on from there, as a replica or a primary.
pub fn resume(state: &mut ServerState, engine: &mut Engine, position: Position) {
    let saved = repl::Resume {
        id: position.replid,
        offset: position.offset,
        stream_db: position.stream_db.unwrap_or_default(),
    };
    let machines = &mut state.replication.machines;
    match machines.primary().map(|(host, port)| (host.to_owned(), port)) {
        Some((host, port)) => machines.start_as_replica(&host, port, Some(saved)),
        None => machines.resume_as_primary(engine.now, saved),
    }
    tell_engine(state, engine);
}

/// Whether a full sync is being sent.
#[must_use]
pub fn transfers_running(state: &ServerState) -> bool {
    !state.replication.transfers.is_empty()
}

/// Bytes held by the replication stream and backlog.
#[must_use]
pub fn stream_memory_bytes(state: &ServerState) -> u64 {
    state.replication.machines.stream().memory_bytes()
}

/// Bytes held by the backlog alone.
#[must_use]
pub fn backlog_memory_bytes(state: &ServerState) -> u64 {
    state.replication.machines.stream().backlog_memory_bytes()
}

/// `sync_full` and its siblings.
#[must_use]
pub fn counters(state: &ServerState) -> SyncCounters {
    state.replication.machines.counters()
}

/// CONFIG RESETSTAT.
pub fn reset_counters(state: &mut ServerState) {
    state.replication.machines.reset_counters();
}

impl Node {
    /// Replicas that have bytes of the stream to be sent now.
    pub fn replicas_to_feed(&self) -> impl Iterator<Item = SessionId> {
        let machines = &self.state.replication.machines;
        let end = machines.stream().end();
        let behind = move |session: &&engine::Session| {
            session.kind == engine::session::Kind::Replica
                && machines
                    .position(ReplicaId(session.id.number))
                    .is_some_and(|at| at < end)
        };
        self.engine.sessions.iter().filter(behind).map(|session| session.id)
    }

    /// Whether somebody waits for replicas to have the stream: it must be sent with this turn. Asking answers it.
    pub fn take_awaited(&mut self) -> bool {
        self.state.replication.machines.take_awaited()
    }

    /// The next bytes of the stream for a replica, at most `max_bytes`, in as many slices as they lie in. Empty while a
    /// transfer to it runs, or its session has output of its own, which goes first.
    pub fn stream_slices(&self, replica: SessionId, max_bytes: usize) -> impl Iterator<Item = &[u8]> {
        let machines = &self.state.replication.machines;
        let own = self
            .engine
            .sessions
            .get(replica)
            .is_none_or(|session| session.unsent_bytes() > 0);
        let from = machines.position(ReplicaId(replica.number)).filter(|_| !own);
        from.into_iter()
            .flat_map(move |from| machines.stream().slices(from, max_bytes))
    }

    /// So many of those bytes were sent.
    pub fn stream_sent(&mut self, replica: SessionId, bytes: usize) {
        self.engine.data.stats.net_repl_output_bytes += bytes as u64;
        self.state
            .replication
            .machines
            .on_sent(ReplicaId(replica.number), bytes as u64);
    }
}

/// Replicas that have not acknowledged the whole stream: their addresses, and how many bytes they lack.
#[must_use]
pub fn lagging_replicas(state: &ServerState) -> Vec<(String, u64)> {
    let machines = &state.replication.machines;
    let end = machines.stream().end();
    let online = machines
        .replicas(Now::default())
        .into_iter()
        .filter(|replica| replica.state == "online" && replica.offset != end);
    online
        .map(|replica| (format!("{}:{}", replica.ip, replica.port), end.since(replica.offset)))
        .collect()
}

/// How many replicas there are that get the stream.
#[must_use]
pub fn online_replicas(state: &ServerState) -> usize {
    state
        .replication
        .machines
        .replicas(Now::default())
        .into_iter()
        .filter(|replica| replica.state == "online")
        .count()
}

/// Everything that INFO and ROLE show, as values.
#[must_use]
pub fn view(node: &Node) -> repl::ReplicationView {
    node.state.replication.machines.view(node.engine.now)
}

/// The stream as it is kept.
#[must_use]
pub fn stream(state: &ServerState) -> &repl::stream::Stream {
    state.replication.machines.stream()
}

/// Our history's name, and how far our data has it.
#[must_use]
pub fn place(state: &ServerState) -> (base::ReplId, base::Offset) {
    let machines = &state.replication.machines;
    (machines.history().id(), machines.stream().end())
}

/// Gives this server a new replication id (DEBUG CHANGE-REPL-ID).
pub fn change_id(state: &mut ServerState, engine: &mut Engine) {
    with_machines(state, engine, |machines, _, _| machines.change_id());
}

/// Puts a request into the stream without executing it (DEBUG REPLICATE).
pub fn inject(_state: &mut ServerState, engine: &mut Engine, words: &[&[u8]]) {
    engine.data.propagation.effect(DbIndex(0), words);
    engine.data.propagation.end_unit();
}

/// How far the load of a snapshot is: when it began, bytes loaded, and bytes in all (0 where that is not known).
#[must_use]
pub fn load_progress(state: &ServerState) -> Option<(Now, u64, u64)> {
    if let Some(starting) = &state.persistence.starting {
        let (began, progress) = starting.progress();
        return Some(share(began, progress));
    }
    let load = state.replication.load.as_ref()?;
    Some(share(load.began, &load.progress))
}

fn share(began: Now, progress: &Progress) -> (Now, u64, u64) {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    (began, count(&progress.bytes), count(&progress.total_bytes))
}
