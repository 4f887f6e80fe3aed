//! The command table: names to commands, as this server knows them (`rename-command` included).

use crate::ahead::LooksUp;
use crate::latency::Histogram;
use crate::spec::{Flags, Spec};
use crate::stats::CommandStats;
use std::collections::BTreeMap;

/// Index of a command, or subcommand, in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u16);

/// A command as the table holds it.
pub struct Command {
    /// Its definition.
    pub spec: &'static Spec,
    /// `client|list` for a subcommand.
    pub full_name: String,
    /// All its flags.
    pub flags: Flags,
    /// The container of a subcommand.
    pub parent: Option<CommandId>,
    /// What INFO commandstats shows of it.
    pub stats: CommandStats,
    /// Its latencies in microseconds, once it has run.
    pub latency: Option<Box<Histogram>>,
    children: Vec<CommandId>,
    pub(crate) looks_up: LooksUp,
}

/// All commands.
pub struct CommandTable {
    commands: Vec<Command>,
    /// Top-level commands by name: open addressing, a power of two of places.
    places: Vec<Option<Place>>,
    names: BTreeMap<String, CommandId>,
}

/// A command by name.
#[derive(Clone)]
struct Place {
    /// [`short_key`] of the name.
    key: u64,
    /// Whether key and length alone tell the name: it has up to eight letters, and nothing but letters.
    short: bool,
    name: Box<[u8]>,
    id: CommandId,
}

/// How a request's name was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This is it.
    Found(CommandId),
    /// No such command.
    Unknown,
    /// The command has subcommands, and the request's second word is none of them.
    UnknownSubcommand(CommandId),
}

impl CommandTable {
    /// A table of these commands.
    #[must_use]
    pub fn new<'a>(specs: impl IntoIterator<Item = &'a &'static Spec>) -> Self {
        let mut table = Self {
            commands: Vec::new(),
            places: Vec::new(),
            names: BTreeMap::new(),
        };
        for spec in specs {
            let id = table.add(spec, spec.name.to_owned(), None);
            for sub in spec.subcommands {
                let child = table.add(sub, format!("{}|{}", spec.name, sub.name), Some(id));
                table.commands[id.0 as usize].children.push(child);
            }
            let clash = table.names.insert(spec.name.to_owned(), id);
            assert!(clash.is_none(), "command {} is listed twice", spec.name);
        }
        table.index();
        table
    }

    fn add(&mut self, spec: &'static Spec, full_name: String, parent: Option<CommandId>) -> CommandId {
        let id = CommandId(self.commands.len() as u16);
        let flags = spec.all_flags();
        let stats = CommandStats::default();
        self.commands.push(Command {
            spec,
            full_name,
            flags,
            parent,
            stats,
            latency: None,
            children: Vec::new(),
            looks_up: LooksUp::of(spec),
        });
        id
    }

    fn index(&mut self) {
        let size = (self.names.len() * 4).next_power_of_two();
        self.places = vec![None; size];
        for (name, id) in &self.names {
            let name = name.as_bytes();
            let key = short_key(name);
            let mut at = place_of(key, size);
            while self.places[at].is_some() {
                at = (at + 1) & (size - 1);
            }
            self.places[at] = Some(Place {
                key,
                short: name.len() <= 8 && name.iter().all(u8::is_ascii_lowercase),
                name: name.into(),
                id: *id,
            });
        }
    }

    /// Gives a command another name, or none when `new` is empty.
    ///
    /// # Errors
    /// `Err` with what is wrong when there is no `old`, or a `new` already.
    pub fn rename(&mut self, old: &str, new: &str) -> Result<(), &'static str> {
        let (old, new) = (old.to_ascii_lowercase(), new.to_ascii_lowercase());
        if !self.names.contains_key(&old) {
            return Err("No such command in rename-command");
        }
        if self.names.contains_key(&new) {
            return Err("Target command name already exists");
        }
        if let Some(id) = self.names.remove(&old)
            && !new.is_empty()
        {
            self.names.insert(new, id);
        }
        self.index();
        Ok(())
    }

    /// The top-level command of this name, letter case aside.
    #[must_use]
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<CommandId> {
        let key = short_key(name);
        let size = self.places.len();
        let mut at = place_of(key, size);
        while let Some(place) = &self.places[at] {
            if place.key == key
                && (place.short && place.name.len() == name.len() || place.name.eq_ignore_ascii_case(name))
            {
                return Some(place.id);
            }
            at = (at + 1) & (size - 1);
        }
        None
    }

    /// The command that a request beginning with these words means.
    #[must_use]
    #[inline]
    pub fn look_up(&self, name: &[u8], second: Option<&[u8]>) -> Lookup {
        let Some(id) = self.find(name) else {
            return Lookup::Unknown;
        };
        let command = &self.commands[id.0 as usize];
        if command.children.is_empty() {
            return Lookup::Found(id);
        }
        let Some(word) = second else { return Lookup::Found(id) };
        match self.child(id, word) {
            Some(child) => Lookup::Found(child),
            None => Lookup::UnknownSubcommand(id),
        }
    }

    /// The subcommand of `container` that `word` names.
    #[must_use]
    pub fn child(&self, container: CommandId, word: &[u8]) -> Option<CommandId> {
        let children = &self.commands[container.0 as usize].children;
        children
            .iter()
            .copied()
            .find(|id| self[*id].spec.name.as_bytes().eq_ignore_ascii_case(word))
    }

    /// The subcommands of a container, in the order of its definition.
    #[must_use]
    pub fn children(&self, container: CommandId) -> &[CommandId] {
        &self.commands[container.0 as usize].children
    }

    /// Top-level commands by the name that clients use.
    pub fn top_level(&self) -> impl ExactSizeIterator<Item = (&str, CommandId)> {
        self.names.iter().map(|(name, id)| (name.as_str(), *id))
    }

    /// All commands and subcommands.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Command> {
        self.commands.iter_mut()
    }

    /// All commands and subcommands.
    pub fn iter(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter()
    }

    /// `full_name`'s command: `get`, `client|list`.
    #[must_use]
    pub fn find_full(&self, full_name: &[u8]) -> Option<CommandId> {
        let mut words = full_name.splitn(2, |byte| *byte == b'|');
        let id = self.find(words.next()?)?;
        match words.next() {
            Some(word) => self.child(id, word),
            None => Some(id),
        }
    }
}

impl std::ops::Index<CommandId> for CommandTable {
    type Output = Command;

    fn index(&self, id: CommandId) -> &Command {
        &self.commands[id.0 as usize]
    }
}

impl std::ops::IndexMut<CommandId> for CommandTable {
    fn index_mut(&mut self, id: CommandId) -> &mut Command {
        &mut self.commands[id.0 as usize]
    }
}

/// A number that is the same for names that differ in letter case only. Names of the same length, up to eight letters and
/// nothing but letters, have the same number only if they are the same.
#[inline]
fn short_key(name: &[u8]) -> u64 {
    const LOWER_CASE: u64 = 0x2020_2020_2020_2020;
    let four = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (Some(first), Some(last)) if name.len() <= 8 => four(first) | four(last) << (8 * (name.len() - 4)) | LOWER_CASE,
        (Some(first), Some(last)) => (four(first) | four(last) << 32 | LOWER_CASE).rotate_left(name.len() as u32),
        _ => name.iter().rev().fold(0, |key, byte| key << 8 | u64::from(*byte)) | LOWER_CASE,
    }
}

/// Where the search for a key begins in a table of so many places: names are few, and the table is a quarter full.
#[inline]
fn place_of(key: u64, size: usize) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (size - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_nothing_else_is() {
        let table = CommandTable::new(crate::commands::ALL);
        for (name, id) in table.top_level() {
            assert_eq!(table.find(name.as_bytes()), Some(id), "{name}");
            assert_eq!(table.find(name.to_ascii_uppercase().as_bytes()), Some(id), "{name}");
            for near in [
                format!("{name} "),
                format!("{name}\0"),
                format!(" {name}"),
                name.replace('e', "\u{5}"),
            ] {
                let found = table.find(near.as_bytes()).map(|id| table[id].full_name.as_str());
                assert_eq!(found, (near == name).then_some(name), "{near:?}");
            }
            for length in 1..name.len() {
                let found = table
                    .find(&name.as_bytes()[..length])
                    .map(|id| table[id].full_name.as_str());
                assert!(
                    found.is_none_or(|found| found == &name[..length]),
                    "{name} cut to {length}"
                );
            }
        }
        assert_eq!(table.find(b""), None);
    }
}
