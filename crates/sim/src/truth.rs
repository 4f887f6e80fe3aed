//! What every history was at every offset, and whether servers have that.
//!
//! ```text
//!   a writer's stream ──▶ bytes ──▶ model (a second implementation) ──▶ a fingerprint at every end of a unit
//!                                     │                                   │
//!            equal to the writer's data, always          equal to a replica's data at its offset, always
//! ```
//!
//! So a command that propagates something else than what it did is found where it is executed, and a replica that has
//! anything but a prefix of the history where it stands.

use std::collections::BTreeMap;

use base::{DbIndex, Offset, ReplId};
use keyspace::Keyspace;
use repl::ReplicationView;
use repl::stream::Stream;
use resp::{Argv, Limits, Parsed, Parser};

use crate::model::{Model, fingerprint, shown};

/// A server's place in history and its data, to be compared.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// What its replication shows.
    pub view: &'a ReplicationView,
    /// Its stream.
    pub stream: &'a Stream,
    /// Its data.
    pub keyspace: &'a Keyspace,
    /// Whether it has not been looked at since it started.
    pub just_started: bool,
}

/// Every how many units a model is kept, to begin another history from.
const UNITS_PER_CHECKPOINT: usize = 32;

/// One history, as its writers wrote it.
#[derive(Clone)]
struct History {
    /// The offset at which what is known begins.
    base: u64,
    /// Everything written since.
    bytes: Vec<u8>,
    /// The data at every end of a unit.
    states: BTreeMap<u64, u64>,
    checkpoints: BTreeMap<u64, Model>,
    units: usize,
    /// The data at the end.
    model: Model,
}

impl History {
    /// Begins with data that nobody vouches for.
    fn begin(offset: u64, model: Model) -> Self {
        Self {
            base: offset,
            bytes: Vec::new(),
            states: BTreeMap::from([(offset, model.fingerprint())]),
            checkpoints: BTreeMap::from([(offset, model.clone())]),
            units: 0,
            model,
        }
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    fn slice(&self, from: u64, to: u64) -> &[u8] {
        &self.bytes[(from - self.base) as usize..(to - self.base) as usize]
    }

    /// The model at an end of a unit; `None` at any other place.
    fn model_at(&self, offset: u64) -> Option<Model> {
        self.states.get(&offset)?;
        let (at, model) = self.checkpoints.range(..=offset).next_back()?;
        let mut model = model.clone();
        // What was applied once can be applied again.
        each_unit(self.slice(*at, offset), |units, _| {
            units.iter().try_for_each(|words| model.apply(words))
        })
        .ok()?;
        Some(model)
    }

    /// The history up to `offset`, to go on from under another name.
    fn up_to(&self, offset: u64) -> Option<Self> {
        let model = self.model_at(offset)?;
        Some(Self {
            base: self.base,
            bytes: self.slice(self.base, offset).to_vec(),
            states: self.states.range(..=offset).map(|(at, state)| (*at, *state)).collect(),
            checkpoints: self
                .checkpoints
                .range(..=offset)
                .map(|(at, model)| (*at, model.clone()))
                .collect(),
            units: self.units,
            model,
        })
    }

    /// Goes on with what was written.
    fn append(&mut self, bytes: &[u8]) -> Result<(), String> {
        let start = self.end();
        let Self {
            model,
            states,
            checkpoints,
            units,
            ..
        } = self;
        let read = each_unit(bytes, |commands, end| {
            commands.iter().try_for_each(|words| model.apply(words))?;
            let at = start + end as u64;
            states.insert(at, model.fingerprint());
            *units += 1;
            if units.is_multiple_of(UNITS_PER_CHECKPOINT) {
                checkpoints.insert(at, model.clone());
            }
            Ok(())
        })?;
        if read < bytes.len() {
            return Err(format!(
                "a writer's stream ends within a unit, at {}",
                start + read as u64
            ));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Calls `unit` with every unit of a stream, a command or a whole transaction, and where it ends. Returns where the last
/// one ends.
fn each_unit(
    bytes: &[u8],
    mut unit: impl FnMut(&[Vec<Vec<u8>>], usize) -> Result<(), String>,
) -> Result<usize, String> {
    let (mut parser, mut argv) = (Parser::default(), Argv::default());
    let limits = Limits {
        bulk_bytes: 1 << 30,
        authenticated: true,
        query_buffer_bytes: 1 << 30,
    };
    let (mut at, mut ended) = (0, 0);
    let mut commands: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut in_transaction = false;
    while at < bytes.len() {
        match parser.parse(&bytes[at..], &limits, &mut argv) {
            Parsed::Command { consumed } => {
                let words: Vec<Vec<u8>> = argv.args(&bytes[at..]).iter().map(<[u8]>::to_vec).collect();
                at += consumed;
                match words[0].to_ascii_uppercase().as_slice() {
                    b"MULTI" if in_transaction => return Err("a stream has MULTI in a MULTI".into()),
                    b"MULTI" => in_transaction = true,
                    b"EXEC" if !in_transaction => return Err("a stream has EXEC without MULTI".into()),
                    b"EXEC" => in_transaction = false,
                    _ => commands.push(words),
                }
                if !in_transaction {
                    unit(&commands, at)?;
                    commands.clear();
                    ended = at;
                }
            }
            Parsed::Empty { consumed } => at += consumed,
            Parsed::Incomplete => break,
            Parsed::Error(error) => return Err(format!("a stream cannot be read: {error}")),
        }
    }
    Ok(ended)
}

/// All histories by their names.
#[derive(Default)]
pub struct Truth {
    histories: BTreeMap<[u8; 40], History>,
    /// How many comparisons found a replica's data to be what it should.
    pub compared: u64,
}

type Outcome = Result<(), String>;

impl Truth {
    /// A writer: what it has written goes on with its history, and its data is what that makes.
    ///
    /// # Errors
    /// What is wrong.
    pub fn record(&mut self, sight: Sight<'_>) -> Outcome {
        let view = sight.view;
        // Without a backlog nothing is recorded: the offset stands still while the data goes on, and nobody shares it.
        if !view.backlog.active {
            return Ok(());
        }
        if !self.histories.contains_key(view.id.as_bytes()) {
            let begun = self.begin(sight)?;
            self.histories.insert(*view.id.as_bytes(), begun);
        }
        let Some(history) = self.histories.get_mut(view.id.as_bytes()) else {
            return Ok(());
        };
        let (from, to) = (history.end(), view.offset.0);
        if to < from {
            return Err(format!("history {} went back from {from} to {to}", view.id));
        }
        if sight.stream.start().0 > from {
            // The backlog is so small that it forgot what was written in one turn.
            *history = History::begin(to, Model::of(sight.keyspace, selected(sight.stream)));
        } else {
            history
                .append(&read(sight.stream, from, to))
                .map_err(|what| format!("history {}: {what}", view.id))?;
        }
        if history.model.fingerprint() != fingerprint(sight.keyspace) {
            let difference = history.model.difference(sight.keyspace);
            return Err(format!("its data is not what it wrote up to {to}: {difference}"));
        }
        Ok(())
    }

    /// The beginning of a history, with what it shares with the one it comes from.
    fn begin(&self, sight: Sight<'_>) -> Result<History, String> {
        let view = sight.view;
        if view.second_id != ReplId::NONE
            && let Some(older) = self.histories.get(view.second_id.as_bytes())
        {
            let shared = u64::try_from(view.second_offset - 1).unwrap_or(0);
            // A save that began in the turn in which the backlog went away knows what nobody else ever saw.
            if shared > older.end() && !sight.just_started {
                return Err(format!(
                    "says that it shares {} up to {shared}, which goes only to {}",
                    view.second_id,
                    older.end()
                ));
            }
            if shared >= older.base && shared <= older.end() {
                return older
                    .up_to(shared)
                    .ok_or_else(|| format!("says that it shares {} up to {shared}, within a unit", view.second_id));
            }
        }
        let mut history = History::begin(view.offset.0, Model::of(sight.keyspace, selected(sight.stream)));
        history.reach_back(sight.stream);
        Ok(history)
    }

    /// A replica: its data is what its history had at its offset, and its stream is the same bytes.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&mut self, sight: Sight<'_>, seen: Offset) -> Outcome {
        let view = sight.view;
        let link_is_up = view.link.as_ref().is_some_and(|link| link.up);
        let Some(history) = self.histories.get(view.id.as_bytes()) else {
            // Data of its own, from before it followed anybody.
            return match link_is_up {
                true => Err(format!("follows a history that nobody writes: {}", view.id)),
                false => Ok(()),
            };
        };
        let offset = view.offset.0;
        if offset < history.base {
            return Ok(());
        }
        if offset > history.end() {
            return Err(format!(
                "is at {offset} of {}, which goes only to {}",
                view.id,
                history.end()
            ));
        }
        let from = seen.0.max(history.base).max(sight.stream.start().0).min(offset);
        if view.backlog.active && read(sight.stream, from, offset) != history.slice(from, offset) {
            return Err(format!(
                "forwards other bytes than its primary's between {from} and {offset}"
            ));
        }
        let Some(expected) = history.states.get(&offset) else {
            return Err(format!("stands at {offset}, within a unit of {}", view.id));
        };
        self.compared += 1;
        if *expected == fingerprint(sight.keyspace) {
            return Ok(());
        }
        let difference = history.model_at(offset).map(|model| model.difference(sight.keyspace));
        Err(format!(
            "its data is not what {} had at {offset}: {}",
            view.id,
            difference.unwrap_or_default()
        ))
    }
}

impl History {
    /// Before the first sight of a history its writer may have written what changes nothing, PING and the like.
    fn reach_back(&mut self, stream: &Stream) {
        let (start, end) = (stream.start().0, self.base);
        if start >= end {
            return;
        }
        let mut ends = vec![start];
        let silent = each_unit(&read(stream, start, end), |commands, at| {
            let is_silent = |words: &Vec<Vec<u8>>| matches!(words[0].as_slice(), b"PING" | b"SELECT" | b"REPLCONF");
            ends.push(start + at as u64);
            match commands.iter().find(|words| !is_silent(words)) {
                None => Ok(()),
                Some(words) => Err(shown(words)),
            }
        });
        if silent.is_ok() {
            let state = self.model.fingerprint();
            self.states.extend(ends.into_iter().map(|at| (at, state)));
            self.bytes = read(stream, start, end);
            self.checkpoints.insert(start, self.model.clone());
            self.base = start;
        }
    }
}

fn read(stream: &Stream, from: u64, to: u64) -> Vec<u8> {
    let slices = stream.slices(Offset(from), (to - from) as usize);
    slices.flatten().copied().collect()
}

/// The database in which a stream leaves its reader. Where it does not say, the next command does.
fn selected(stream: &Stream) -> DbIndex {
    stream.selected().unwrap_or_default()
}
