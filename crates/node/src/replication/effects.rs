//! Carrying out what the machines ask for.

use super::RunningLoad;
use crate::effect::Effect;
use crate::host::ServerState;
use crate::jobs::{Cancel, LoadJob, LoadVia, PayloadForm, Position, Progress, TransferJob};
use config::DisklessLoad;
use engine::host::Level;
use engine::pause::{PauseKind, PausePurpose};
use engine::session::{Blocked, Kind};
use engine::settings::Loading;
use engine::{Engine, Notice, SessionId};
use repl::{FieldExpiryForm, Form, Load, Peer, ReplicaId, Transfer};
use std::sync::Arc;

/// Carries out effects in their order.
pub(super) fn carry_out(state: &mut ServerState, engine: &mut Engine, asked: Vec<repl::Effect>) {
    for effect in asked {
        one(state, engine, effect);
    }
}

fn one(state: &mut ServerState, engine: &mut Engine, effect: repl::Effect) {
    match effect {
        repl::Effect::ToReplica { replica, bytes } => {
            if let Some(id) = session_of(engine, replica) {
                engine
                    .sessions
                    .get_mut(id)
                    .into_iter()
                    .for_each(|session| session.out.extend_from_slice(&bytes));
            }
        }
        repl::Effect::StartTransfer(transfer) => start_transfer(state, engine, &transfer),
        repl::Effect::StopTransfer { replica } => {
            if let Some(cancel) = state.replication.transfers.remove(&replica.0) {
                cancel.cancel();
            }
        }
        repl::Effect::CloseReplica { replica } => {
            if let Some(id) = session_of(engine, replica) {
                engine.data.notices.push(Notice::Close(id));
            }
        }
        repl::Effect::WaitDone { waiter, replicas } => {
            if let Some(id) = engine.sessions.by_number(waiter.0).map(|session| session.id) {
                engine.answer_blocked(id, |reply| reply.int(replicas as i64));
            }
        }
        repl::Effect::Connect { host, port } => {
            let source = &state.config.bind_source_addr;
            let source = (!source.is_empty()).then(|| source.to_str().into_owned());
            state.effects.push(Effect::Connect { host, port, source });
        }
        repl::Effect::ToPrimary { bytes } => state.replication.link_output.extend_from_slice(&bytes),
        repl::Effect::CloseLink => {
            super::link::drop_connection(state, engine);
            state.effects.push(Effect::CloseLink);
        }
        repl::Effect::StartLoad(load) => start_load(state, engine, load),
        repl::Effect::CancelLoad => {
            if let Some(load) = state.replication.load.take() {
                load.cancel.cancel();
            }
            engine.data.settings.loading = Loading::No;
        }
        repl::Effect::StreamBegins { db } => super::link::begin_stream(state, engine, db),
        repl::Effect::PauseWrites => {
            engine.pauses.begin(PausePurpose::Failover, PauseKind::Write, u64::MAX);
            engine.data.expiry_paused = true;
        }
        repl::Effect::ResumeWrites => engine.end_pause(PausePurpose::Failover),
        repl::Effect::BecameReplica => unblock_waiting(engine),
        repl::Effect::BecamePrimary => engine.data.propagation.set_stream_db(None),
        repl::Effect::Log { level, text } => state.log(level_of(level), text),
    }
}

fn level_of(level: repl::Level) -> Level {
    match level {
        repl::Level::Verbose => Level::Verbose,
        repl::Level::Notice => Level::Notice,
        repl::Level::Warning => Level::Warning,
    }
}

fn session_of(engine: &Engine, replica: ReplicaId) -> Option<SessionId> {
    engine.sessions.by_number(replica.0).map(|session| session.id)
}

/// How much of the stream a replica may hold from now on until it has caught up: as much as the dataset is large now,
/// however it shrinks meanwhile, and where memory is plenty up to half of what is free. Clients that write faster than
/// the line to a replica carries would else make its full syncs begin again and again.
pub(super) fn sync_allowance(state: &ServerState, engine: &Engine) -> u64 {
    let free_bytes = state.outside.resources().available_memory_bytes.unwrap_or(0);
    engine.data.keyspace.live_bytes().max(free_bytes / 2)
}

/// Freezes the dataset, once for all replicas of the transfer, and has it sent to each.
fn start_transfer(state: &mut ServerState, engine: &mut Engine, transfer: &Transfer) {
    let Some(frozen) = crate::persistence::freeze(state, engine) else {
        // They lose their connections, and ask again.
        let ids = transfer
            .replicas
            .iter()
            .filter_map(|replica| session_of(engine, *replica));
        let closing: Vec<Notice> = ids.map(Notice::Close).collect();
        return engine.data.notices.extend(closing);
    };
    state.replication.sync_allowance_bytes = sync_allowance(state, engine);
    let mut options = crate::persistence::write_options(state, engine);
    options.position = Some(Position {
        replid: transfer.history,
        offset: transfer.cut,
        stream_db: Some(transfer.stream_db),
    });
    for replica in &transfer.replicas {
        let Some(id) = session_of(engine, *replica) else {
            continue;
        };
        options.field_expiries = field_expiries(state, *replica);
        let cancel = Cancel::default();
        state.replication.transfers.insert(id.number, cancel.clone());
        state.effects.push(Effect::Transfer(TransferJob {
            replica: id,
            frozen: frozen.clone(),
            mark: match transfer.form {
                Form::Marked { mark } => Some(mark),
                Form::Sized { .. } => None,
            },
            options: options.clone(),
            cancel,
            progress: Arc::new(Progress::default()),
            timeout_ms: u64::from(state.config.repl_timeout) * 1000,
        }));
    }
    // What follows the cut is read by somebody who stands in no database yet.
    if state.replication.machines.is_primary() {
        engine.data.propagation.forget_database();
    }
}

/// In which form a replica reads hashes with expiring fields.
fn field_expiries(state: &ServerState, replica: ReplicaId) -> rdb::FieldExpiries {
    match state.replication.machines.peer(replica).map(Peer::field_expiries) {
        Some(FieldExpiryForm::Valkey) => rdb::FieldExpiries::Valkey,
        Some(FieldExpiryForm::Redis) => rdb::FieldExpiries::Redis,
        Some(FieldExpiryForm::None) | None => rdb::FieldExpiries::Refused,
    }
}

fn start_load(state: &mut ServerState, engine: &mut Engine, load: Load) {
    let id = state.replication.next_load;
    state.replication.next_load += 1;
    let (cancel, progress) = (Cancel::default(), Arc::new(Progress::default()));
    let into = crate::persistence::empty_keyspace(state, engine);
    engine.data.settings.loading = shown_as(state, engine, load.same_history);
    let job = LoadJob {
        id,
        form: match load.form {
            Form::Sized { bytes } => PayloadForm::Sized(bytes),
            Form::Marked { mark } => PayloadForm::Marked(mark),
        },
        already: load.already,
        into,
        via: load_via(state, engine, load.form),
        checksum: state.config.rdbchecksum && !engine.data.settings.skip_checksum,
        access_clock: crate::persistence::access_clock(engine),
        key_delay_us: i64::from(state.config.key_load_delay),
        encodings: engine.data.settings.encodings,
        cancel: cancel.clone(),
        progress: progress.clone(),
        timeout_ms: u64::from(state.config.repl_timeout) * 1000,
    };
    state.replication.load = Some(RunningLoad {
        id,
        cancel,
        progress,
        began: engine.now,
    });
    state.log(Level::Notice, "MASTER <-> REPLICA sync: Loading DB in memory");
    state.effects.push(Effect::Load(job));
}

/// What clients see of a load from the primary, which goes on beside the old dataset in any case: as of a stock replica that
/// reads a snapshot as `repl-diskless-load` says. One that receives it to a file goes on with what it has, and takes orders
/// like REPLICAOF.
fn shown_as(state: &ServerState, engine: &Engine, same_history: bool) -> Loading {
    let keyspace = &engine.data.keyspace;
    match state.config.repl_diskless_load {
        DisklessLoad::Disabled => Loading::No,
        DisklessLoad::OnEmptyDb if keyspace.key_count() > 0 => Loading::No,
        DisklessLoad::SwapDb if same_history => Loading::Async,
        DisklessLoad::OnEmptyDb | DisklessLoad::SwapDb => Loading::Foreground,
    }
}

/// Through a file if both datasets do not fit beside each other. The new one is taken to be as large as the old, or three
/// times its encoded size.
fn load_via(state: &ServerState, engine: &Engine, form: Form) -> LoadVia {
    let live_bytes = engine.data.keyspace.live_bytes();
    let new_bytes = match form {
        Form::Sized { bytes } => bytes.saturating_mul(3).max(live_bytes),
        Form::Marked { .. } => live_bytes,
    };
    let available = state.outside.resources().available_memory_bytes;
    let limit = state.config.maxmemory;
    let over_limit = limit > 0 && !state.config.replica_ignore_maxmemory && live_bytes + new_bytes > limit;
    if live_bytes > 0 && (over_limit || available.is_some_and(|available| new_bytes > available)) {
        LoadVia::File
    } else {
        LoadVia::Memory
    }
}

/// Clients that wait for keys or replicas of a primary that we are no longer. They are told, and their connections closed.
fn unblock_waiting(engine: &mut Engine) {
    const LINE: &str = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
    let waits = |session: &&engine::Session| matches!(session.blocked, Some(Blocked::Keys | Blocked::Wait { .. }));
    let waiting: Vec<SessionId> = engine.sessions.iter().filter(waits).map(|session| session.id).collect();
    for id in waiting {
        engine.unblock_with_error(id, LINE);
        if let Some(session) = engine.sessions.get_mut(id) {
            session.close_after_reply = true;
        }
    }
}

/// A session has become a replica's.
pub(super) fn adopt_replica(engine: &mut Engine, id: SessionId) {
    if let Some(session) = engine.sessions.get_mut(id) {
        session.kind = Kind::Replica;
    }
}
