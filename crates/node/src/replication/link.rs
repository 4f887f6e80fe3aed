//! The link to the primary: its connection, its stream, its dataset.

use super::{collect, effects, tell_engine, with_machines};
use crate::effect::Effect;
use crate::host::ServerState;
use crate::jobs::{LoadFailure, Loaded};
use crate::node::Node;
use base::DbIndex;
use engine::host::{Level, NoHost};
use engine::session::{Kind, Peer};
use engine::settings::Loading;
use engine::table::Lookup;
use engine::{Engine, Flags};
use repl::{ApplyFailure, LinkDown, Phase};
use resp::Args;

/// Why a connection to the primary could not be made, or ended, as the outside saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The name could not be resolved.
    ResolveFailed(String),
    /// Nobody listens there.
    Refused(String),
    /// No answer in time.
    Timeout,
    /// The primary closed the connection.
    Closed,
    /// Anything else that the system said.
    Io(String),
}

impl LinkEnd {
    fn while_connecting(self) -> LinkDown {
        match self {
            Self::ResolveFailed(error) => LinkDown::ResolveFailed { error },
            Self::Refused(_) => LinkDown::Refused,
            Self::Timeout => LinkDown::Timeout(Phase::Connecting),
            Self::Closed => LinkDown::ClosedByPrimary(Phase::Connecting),
            Self::Io(error) => LinkDown::Unreachable { error },
        }
    }
}

/// What the outside tells of the connection to the primary, and takes for it.
impl Node {
    /// [`crate::Effect::Connect`] has worked. `peer` names the connection's ends, for CLIENT LIST.
    pub fn link_connected(&mut self, peer: Peer) {
        let Node { engine, state, .. } = self;
        state.replication.link_peer = Some(peer);
        with_machines(state, engine, |machines, now, asked| {
            machines.on_link_connected(now, asked)
        });
        self.after_execution();
    }

    /// [`crate::Effect::Connect`] has failed, or the connection has ended.
    pub fn link_ended(&mut self, end: LinkEnd) {
        let Node { engine, state, .. } = self;
        let was_open = state.replication.link_peer.is_some();
        drop_connection(state, engine);
        with_machines(state, engine, |machines, now, asked| match was_open {
            true => machines.on_link_closed(now, asked),
            false => machines.on_link_connect_failed(now, end.while_connecting(), asked),
        });
        self.after_execution();
    }

    /// Bytes from the primary. All are taken: what is incomplete is kept here.
    pub fn link_input(&mut self, bytes: &[u8]) {
        if let Some(room) = self.link_room(bytes.len()) {
            room.extend_from_slice(bytes);
            return self.link_read();
        }
        let Node { engine, state, .. } = self;
        with_machines(state, engine, |machines, now, asked| {
            machines.on_link_bytes(now, bytes, asked)
        });
        apply(state, engine);
        self.after_execution();
    }

    /// Where the primary's stream can be read to, behind what is there, with room for so many bytes; `None` while what it
    /// sends is not the stream: then [`Self::link_input`] takes it.
    pub fn link_room(&mut self, bytes: usize) -> Option<&mut Vec<u8>> {
        self.state.replication.machines.link_room(bytes)
    }

    /// Bytes were read into [`Self::link_room`].
    pub fn link_read(&mut self) {
        let Node { engine, state, .. } = self;
        collect(state, engine);
        state.replication.machines.on_link_read(engine.now);
        apply(state, engine);
        self.after_execution();
    }

    /// The snapshot that this load received to a file is sound, but does not fit beside the dataset: gives the dataset
    /// up, to be dropped before the file is loaded. From here on this server has no data and no history, and should the
    /// load fail, it asks for another full sync. `None` if the load is not wanted any more.
    pub fn give_up_dataset(&mut self, load_id: u64) -> Option<keyspace::Keyspace> {
        let Node { engine, state, .. } = self;
        let ours = state.replication.load.as_ref().is_some_and(|load| load.id == load_id);
        if !ours || !state.replication.machines.wants_load() {
            return None;
        }
        collect(state, engine);
        state.persistence.cancel();
        engine.data.settings.loading = Loading::Foreground;
        with_machines(state, engine, |machines, now, asked| {
            machines.on_dataset_replaced(now, asked)
        });
        state.log(Level::Notice, "MASTER <-> REPLICA sync: Flushing old data");
        let empty = crate::persistence::empty_keyspace(state, engine);
        Some(engine.data.replace_keyspace(empty))
    }

    /// Bytes for the primary; empty it as they are sent.
    pub fn link_output(&mut self) -> Option<&mut Vec<u8>> {
        let replication = &mut self.state.replication;
        replication.link_peer.is_some().then_some(&mut replication.link_output)
    }
}

/// The session that applies the primary's stream is to be closed (CLIENT KILL): the link ends with it, and is made anew.
/// False if `id` is another session.
pub fn kill_link(node: &mut Node, id: engine::SessionId) -> bool {
    let Node { engine, state, .. } = node;
    if state.replication.primary != Some(id) {
        return false;
    }
    drop_connection(state, engine);
    state.effects.push(Effect::CloseLink);
    with_machines(state, engine, |machines, now, asked| {
        machines.on_link_closed(now, asked)
    });
    true
}

/// Forgets the connection to the primary and the session that applied its stream, an unfinished MULTI included.
pub(super) fn drop_connection(state: &mut ServerState, engine: &mut Engine) {
    state.replication.link_peer = None;
    state.replication.link_output.clear();
    if let Some(id) = state.replication.primary.take() {
        engine.close(id);
    }
}

/// Opens the session that applies the primary's stream.
pub(super) fn begin_stream(state: &mut ServerState, engine: &mut Engine, db: DbIndex) {
    if let Some(old) = state.replication.primary.take() {
        engine.close(old);
    }
    let peer = state.replication.link_peer.clone().unwrap_or_default();
    let id = engine.open(peer);
    if let Some(session) = engine.sessions.get_mut(id) {
        session.kind = Kind::Primary;
        session.authenticated = true;
        session.db = db;
    }
    state.replication.primary = Some(id);
}

/// Applies what has come of the primary's stream, as far as it is complete.
pub(super) fn apply(state: &mut ServerState, engine: &mut Engine) {
    let mut asked = Vec::new();
    // What the next commands mean, the last one first.
    let mut lookups = std::mem::take(&mut state.replication.lookups);
    lookups.clear();
    while let Some(id) = state.replication.primary {
        // CLIENT PAUSE holds the primary's commands back like anybody's; `tick` goes on with them.
        if engine.pauses.in_force().is_some() {
            break;
        }
        let machines = &mut state.replication.machines;
        if lookups.is_empty() {
            look_ahead(machines, engine, id, &mut lookups);
        }
        let Some(incoming) = machines.next_command(engine.now, &mut asked) else {
            break;
        };
        let lookup = lookups.pop().unwrap_or_else(|| (engine.look_up(incoming.args), None));
        match apply_one(engine, id, lookup, incoming.args) {
            Ok(()) => machines.on_applied(),
            Err(failure) => machines.on_apply_failed(engine.now, failure, &mut asked),
        }
        if !asked.is_empty() {
            effects::carry_out(state, engine, std::mem::take(&mut asked));
        }
    }
    state.replication.machines.forward();
    state.replication.lookups = lookups;
    effects::carry_out(state, engine, asked);
    tell_engine(state, engine);
}

/// What is known of a command before it is applied: what it means, and what was noted of it.
pub(super) type Known = (Lookup, Option<engine::Noted>);

/// Looks up what the next commands mean, and asks memory for what they will look up.
fn look_ahead(machines: &mut repl::Replication, engine: &mut Engine, id: engine::SessionId, lookups: &mut Vec<Known>) {
    let Some(db) = engine.sessions.get(id).map(|session| session.db) else {
        return;
    };
    machines.upcoming(|args| {
        let lookup = engine.look_up(args);
        let noted = engine.note_ahead(db, lookup, args);
        lookups.push((lookup, noted));
    });
    lookups.reverse();
    engine.fetch_ahead();
}

fn apply_one(engine: &mut Engine, id: engine::SessionId, known: Known, args: Args<'_>) -> Result<(), ApplyFailure> {
    if !belongs_in_a_stream(engine, known.0) {
        return Err(ApplyFailure::Unknown);
    }
    let judged = engine.execute_internal(&mut NoHost, id, known, args, judge);
    judged.unwrap_or_else(|error| Err(ApplyFailure::Failed(error.text().to_owned())))
}

fn judge(reply: &[u8]) -> Result<(), ApplyFailure> {
    match first_error(reply) {
        None => Ok(()),
        // Of a transaction, what stood before the failure was applied.
        Some(error) if reply.starts_with(b"*") => Err(ApplyFailure::Partly(error)),
        Some(error) => Err(ApplyFailure::Failed(error)),
    }
}

/// Whether a command is one that primaries send. Others have no business in a stream, and some of them would need the server
/// around the engine.
fn belongs_in_a_stream(engine: &Engine, lookup: Lookup) -> bool {
    let Lookup::Found(id) = lookup else {
        return false;
    };
    let command = &engine.table[id];
    command.flags.any(Flags::WRITE.or(Flags::MAY_REPLICATE))
        || matches!(command.spec.name, "ping" | "select" | "multi" | "exec" | "discard")
}

/// The text of the first error in a reply, or among the replies of a transaction.
pub(super) fn first_error(reply: &[u8]) -> Option<String> {
    let line = |at: &[u8]| {
        let end = at.iter().position(|byte| *byte == b'\r').unwrap_or(at.len());
        String::from_utf8_lossy(&at[..end]).into_owned()
    };
    match reply.split_first() {
        Some((b'-', rest)) => Some(line(rest)),
        Some((b'*', _)) => match resp::value::decode(reply) {
            resp::value::Decoded::Value {
                value: resp::Value::Array(replies),
                ..
            } => replies.into_iter().find_map(|reply| match reply {
                resp::Value::Error(text) => Some(String::from_utf8_lossy(&text).into_owned()),
                _ => None,
            }),
            _ => None,
        },
        _ => None,
    }
}

/// The primary's snapshot was read, or was not.
pub fn loaded(node: &mut Node, id: u64, result: Result<Box<Loaded>, LoadFailure>) {
    let Node { engine, state, .. } = node;
    let ours = state.replication.load.as_ref().is_some_and(|load| load.id == id);
    if !ours || !state.replication.machines.wants_load() {
        // It was cancelled, and its end crossed that.
        if let Ok(loaded) = result {
            state.effects.push(Effect::Discard(Box::new(loaded.keyspace)));
        }
        return;
    }
    state.replication.load = None;
    engine.data.settings.loading = Loading::No;
    match result {
        Ok(loaded) => swap_in(state, engine, *loaded),
        Err(failure) => {
            drop_connection(state, engine);
            let reason = match failure {
                LoadFailure::Io(_) => LinkDown::ClosedByPrimary(Phase::Transfer),
                LoadFailure::Timeout => LinkDown::Timeout(Phase::Transfer),
                LoadFailure::Bad(error) => LinkDown::LoadingFailed { error },
                LoadFailure::Cancelled => LinkDown::LoadingFailed {
                    error: "cancelled".into(),
                },
            };
            with_machines(state, engine, |machines, now, asked| {
                machines.on_load_failed(now, reason, asked)
            });
        }
    }
}

fn swap_in(state: &mut ServerState, engine: &mut Engine, mut loaded: Loaded) {
    collect(state, engine);
    state.persistence.cancel();
    let rest = std::mem::take(&mut loaded.rest);
    let stream_db = loaded
        .position
        .and_then(|position| position.stream_db)
        .unwrap_or_default();
    crate::persistence::adopt(state, engine, loaded);
    with_machines(state, engine, |machines, now, asked| {
        machines.on_loaded(now, stream_db, &rest, asked)
    });
    apply(state, engine);
}
