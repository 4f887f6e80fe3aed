//! What the streams of an epoch most likely hold, so that most commands name groups, consumers and entries that are there.
//!
//! ```text
//!   database, key ─► ids, oldest first
//!                    group ─► how many of the ids were handed out
//!                             consumers
//!                             ids that wait to be acknowledged
//! ```
//!
//! It follows what is sent, not what is answered: a command that failed or a transaction that was discarded leaves it a little
//! wrong, and so does what expires. That only makes some more of the commands fail.

use std::collections::BTreeMap;

use super::{SESSIONS, Words};

/// Ids of a stream that are remembered.
const IDS_MAX: usize = 60;

/// A database's number in words, and a key in it.
type Place = (Vec<u8>, Vec<u8>);

/// All streams of an epoch.
#[derive(Default)]
pub(super) struct Streams {
    selected: [Vec<u8>; SESSIONS],
    session: usize,
    streams: BTreeMap<Place, Stream>,
    /// What the command that is being made is about.
    key: Vec<u8>,
    group: Vec<u8>,
}

#[derive(Clone, Default)]
struct Stream {
    ids: Vec<Vec<u8>>,
    groups: BTreeMap<Vec<u8>, Group>,
}

#[derive(Clone, Default)]
struct Group {
    handed_out: usize,
    consumers: Vec<Vec<u8>>,
    waiting: Vec<Vec<u8>>,
}

impl Streams {
    /// A command for this session begins.
    pub(super) fn begin(&mut self, session: usize) {
        self.session = session;
        self.key.clear();
        self.group.clear();
    }

    /// The command is about this key.
    pub(super) fn choose_key(&mut self, key: &[u8]) {
        self.key = key.to_vec();
    }

    /// The command is about this group.
    pub(super) fn choose_group(&mut self, group: &[u8]) {
        self.group = group.to_vec();
    }

    /// The key that was chosen.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Keys of streams that have groups, in the session's database.
    pub(super) fn with_groups(&self) -> Vec<Vec<u8>> {
        let here = |place: &Place| place.0 == self.selected[self.session];
        let streams = self
            .streams
            .iter()
            .filter(|(place, stream)| here(place) && !stream.groups.is_empty());
        streams.map(|((_, key), _)| key.clone()).collect()
    }

    /// Groups of the chosen stream.
    pub(super) fn groups(&self) -> Vec<Vec<u8>> {
        self.stream()
            .map_or(Vec::new(), |stream| stream.groups.keys().cloned().collect())
    }

    /// Consumers of the chosen group.
    pub(super) fn consumers(&self) -> &[Vec<u8>] {
        self.chosen_group().map_or(&[], |group| &group.consumers)
    }

    /// Ids that wait in the chosen group.
    pub(super) fn waiting(&self) -> &[Vec<u8>] {
        self.chosen_group().map_or(&[], |group| &group.waiting)
    }

    /// Ids of the chosen stream.
    pub(super) fn ids(&self) -> &[Vec<u8>] {
        self.stream().map_or(&[], |stream| &stream.ids)
    }

    fn place(&self, key: &[u8]) -> Place {
        (self.selected[self.session].clone(), key.to_vec())
    }

    fn stream(&self) -> Option<&Stream> {
        self.streams.get(&self.place(&self.key))
    }

    fn chosen_group(&self) -> Option<&Group> {
        self.stream()?.groups.get(&self.group)
    }

    /// Takes note of a command that is sent.
    pub(super) fn note(&mut self, words: &Words) {
        let name = words[0].to_ascii_lowercase();
        match name.as_slice() {
            b"select" => {
                if let Some(db) = database(words.get(1)) {
                    self.selected[self.session] = db;
                }
            }
            b"swapdb" => {
                if let (Some(a), Some(b)) = (database(words.get(1)), database(words.get(2))) {
                    self.swap(&a, &b);
                }
            }
            b"expire" | b"pexpire" | b"expireat" | b"pexpireat" if words.get(2).is_some_and(|time| is_past(time)) => {
                self.streams.remove(&self.place(&words[1]));
            }
            b"reset" => self.selected[self.session].clear(),
            b"flushall" => self.streams.clear(),
            b"flushdb" => {
                let here = self.selected[self.session].clone();
                self.streams.retain(|(db, _), _| *db != here);
            }
            b"del" | b"unlink" => words[1..]
                .iter()
                .for_each(|key| drop(self.streams.remove(&self.place(key)))),
            b"rename" | b"copy" | b"renamenx" | b"move" if words.len() > 2 => self.copy(words, &name),
            b"xadd" if words.len() > 4 => self.add(words),
            b"xgroup" if words.len() > 3 => self.manage(words),
            b"xreadgroup" => drop(self.read(words)),
            b"xclaim" | b"xautoclaim" if words.len() > 3 => {
                if let Some(group) = self.group_at(&words[1], &words[2]) {
                    group.meet(&words[3]);
                }
            }
            b"xack" if words.len() > 3 => {
                if let Some(group) = self.group_at(&words[1], &words[2]) {
                    group.waiting.retain(|id| !words[3..].contains(id));
                }
            }
            _ => {}
        }
    }

    fn group_at(&mut self, key: &[u8], group: &[u8]) -> Option<&mut Group> {
        let place = self.place(key);
        self.streams.get_mut(&place)?.groups.get_mut(group)
    }

    fn swap(&mut self, a: &[u8], b: &[u8]) {
        let swapped = |db: Vec<u8>| match () {
            () if db == a => b.to_vec(),
            () if db == b => a.to_vec(),
            () => db,
        };
        let streams = std::mem::take(&mut self.streams).into_iter();
        self.streams = streams
            .map(|((db, key), stream)| ((swapped(db), key), stream))
            .collect();
    }

    fn copy(&mut self, words: &Words, name: &[u8]) {
        let from = self.place(&words[1]);
        let mut to = self.place(&words[2]);
        let said = |word: &[u8]| words.iter().position(|other| other.eq_ignore_ascii_case(word));
        let other_db = match name {
            b"move" => Some(words.get(2)),
            _ => said(b"db").map(|at| words.get(at + 1)),
        };
        if let Some(word) = other_db {
            let Some(db) = database(word) else { return };
            to = (db, if name == b"move" { words[1].clone() } else { to.1 });
        }
        let replaces = name == b"rename" || said(b"replace").is_some();
        if from == to || (!replaces && self.streams.contains_key(&to)) {
            return;
        }
        let stream = match name {
            b"copy" => self.streams.get(&from).cloned(),
            _ => self.streams.remove(&from),
        };
        if let Some(stream) = stream {
            self.streams.insert(to, stream);
        }
    }

    fn add(&mut self, words: &Words) {
        let mut at = 2;
        let mut may_make = true;
        while let Some(word) = words.get(at) {
            match word.to_ascii_lowercase().as_slice() {
                b"nomkstream" => (may_make, at) = (false, at + 1),
                b"maxlen" | b"minid" => {
                    let strictness = words.get(at + 1).is_some_and(|word| word == b"=" || word == b"~");
                    at += 2 + usize::from(strictness);
                }
                b"limit" => at += 2,
                _ => break,
            }
        }
        let Some(id) = words
            .get(at)
            .filter(|id| id.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'))
        else {
            return;
        };
        let place = self.place(&words[1]);
        if !may_make && !self.streams.contains_key(&place) {
            return;
        }
        let stream = self.streams.entry(place).or_default();
        stream.ids.push(id.clone());
        if stream.ids.len() > IDS_MAX {
            stream.ids.remove(0);
            stream
                .groups
                .values_mut()
                .for_each(|group| group.handed_out = group.handed_out.saturating_sub(1));
        }
    }

    fn manage(&mut self, words: &Words) {
        let place = self.place(&words[2]);
        let group = &words[3];
        match words[1].to_ascii_lowercase().as_slice() {
            b"create" if words.len() > 4 => {
                let makes = words.iter().any(|word| word.eq_ignore_ascii_case(b"mkstream"));
                if makes || self.streams.contains_key(&place) {
                    let stream = self.streams.entry(place).or_default();
                    let handed_out = stream.up_to(&words[4]);
                    let new = Group {
                        handed_out,
                        ..Group::default()
                    };
                    stream.groups.entry(group.clone()).or_insert(new);
                }
            }
            b"setid" if words.len() > 4 => {
                if let Some(stream) = self.streams.get_mut(&place) {
                    let handed_out = stream.up_to(&words[4]);
                    if let Some(group) = stream.groups.get_mut(group) {
                        group.handed_out = handed_out;
                    }
                }
            }
            b"destroy" => {
                if let Some(stream) = self.streams.get_mut(&place) {
                    stream.groups.remove(group);
                }
            }
            b"createconsumer" if words.len() > 4 => {
                if let Some(group) = self.group_at(&words[2], group) {
                    group.meet(&words[4]);
                }
            }
            b"delconsumer" if words.len() > 4 => {
                if let Some(group) = self.group_at(&words[2], group) {
                    group.consumers.retain(|consumer| *consumer != words[4]);
                }
            }
            _ => {}
        }
    }

    /// `None` where words are missing.
    fn read(&mut self, words: &Words) -> Option<()> {
        let after = |name: &[u8]| {
            words
                .iter()
                .position(|word| word.eq_ignore_ascii_case(name))
                .map(|at| at + 1)
        };
        let group_at = after(b"group")?;
        let (group, consumer) = (words.get(group_at)?, words.get(group_at + 1)?);
        let count = after(b"count").and_then(|at| std::str::from_utf8(words.get(at)?).ok()?.parse().ok());
        let waits = after(b"noack").is_none();
        let keys = words.get(after(b"streams")?..)?;
        let (keys, after) = keys.split_at(keys.len() / 2);
        for (key, _) in keys.iter().zip(after).filter(|(_, id)| *id == b">") {
            let place = self.place(key);
            let stream = self.streams.get_mut(&place)?;
            let group = stream.groups.get_mut(group)?;
            group.meet(consumer);
            let new = stream.ids.get(group.handed_out..).unwrap_or_default();
            let new = &new[..new.len().min(count.unwrap_or(usize::MAX).max(1))];
            group.handed_out += new.len();
            if waits {
                group.waiting.extend_from_slice(new);
                group.waiting.drain(..group.waiting.len().saturating_sub(IDS_MAX));
            }
        }
        Some(())
    }
}

impl Stream {
    /// How many of the ids a group that begins after this one has read.
    fn up_to(&self, id: &[u8]) -> usize {
        match id {
            b"0" => 0,
            b"$" => self.ids.len(),
            id => self.ids.iter().position(|other| other == id).map_or(0, |at| at + 1),
        }
    }
}

impl Group {
    fn meet(&mut self, consumer: &[u8]) {
        if !self.consumers.iter().any(|known| known == consumer) {
            self.consumers.push(consumer.to_vec());
        }
    }
}

/// A database by its number, if there is one: 0, the one that is selected at first, is nothing.
fn database(word: Option<&Vec<u8>>) -> Option<Vec<u8>> {
    let number: u8 = std::str::from_utf8(word?).ok()?.parse().ok()?;
    match number {
        0 => Some(Vec::new()),
        1..=15 => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

/// Whether an expiry deletes the key: of those that are sent, all short ones do.
fn is_past(time: &[u8]) -> bool {
    time.len() < 4 || time.starts_with(b"-")
}
