//! Random commands from the tables: mostly sensible, some at the edges, some wrong.
//!
//! An epoch is about a few types. Most of its commands are of these, on a few keys each, so that collections live long enough
//! to grow, change their encoding and be combined; the others meet these keys too, and what they hold of other types.

mod made;
mod plan;
mod streams;
mod words;

use harness::Rng;

use super::grammar::{Form, Group, Piece};
use super::run::{Encoding, Step};
pub use plan::{Choice, default_thresholds};

/// Words of one command.
pub type Words = Vec<Vec<u8>>;

/// Connections of one epoch.
pub const SESSIONS: usize = 4;

/// Makes the steps of an epoch.
pub struct Generator<'a> {
    pub rng: Rng,
    pub groups: &'a [Group],
    /// Values of DUMP by type, whole and harmed, for RESTORE.
    pub payloads: &'a [(&'static str, Vec<u8>)],
    /// How many different members there are in this epoch.
    universe: u64,
    /// The last stream id that was made up.
    last_id: u64,
    /// What the last counted repetition came to.
    counted: u64,
    /// The types that the epoch is about.
    kinds: Vec<&'static str>,
    /// What streams hold.
    streams: streams::Streams,
}

impl<'a> Generator<'a> {
    pub fn new(rng: Rng, groups: &'a [Group], payloads: &'a [(&'static str, Vec<u8>)]) -> Self {
        let mut rng = rng;
        let universe = *rng.pick(&[6, 20, 20, 60, 300, 2_000]);
        Self {
            rng,
            groups,
            payloads,
            universe,
            last_id: 1,
            counted: 1,
            kinds: Vec::new(),
            streams: streams::Streams::default(),
        }
    }

    /// About so many steps, in bursts on one connection after the other.
    pub fn steps(&mut self, count: usize, choice: &Choice) -> Vec<Step> {
        let mut steps = Vec::with_capacity(count);
        let plan = plan::Plan::new(&mut self.rng, self.groups, choice);
        self.kinds = Self::kinds_of(&plan.about);
        for session in [1, 3] {
            steps.push(plain(session, &["HELLO", "3"]));
        }
        if !plan.settings.is_empty() {
            steps.push(plain(0, &plan.settings));
        }
        while steps.len() < count {
            match self.rng.below(600) {
                0 => steps.push(self.sweep(&plan)),
                1..=2 if plan.everywhere => steps.push(super::garbage::step(&mut self.rng)),
                3 if plan.everywhere => steps.push(super::pubsub::step(&mut self.rng)),
                _ => {
                    let session = self.rng.below(SESSIONS as u64) as usize;
                    let transaction = self.rng.chance(1, 8);
                    if transaction {
                        steps.push(plain(session, &["MULTI"]));
                    }
                    for _ in 0..=self.rng.below(if transaction { 6 } else { 48 }) {
                        let group = plan.pick(&mut self.rng);
                        steps.push(self.form(session, group));
                    }
                    if transaction {
                        steps.push(plain(
                            session,
                            &[if self.rng.chance(1, 9) { "DISCARD" } else { "EXEC" }],
                        ));
                    }
                }
            }
        }
        steps
    }

    fn form(&mut self, session: usize, group: &Group) -> Step {
        let total = group.forms.iter().map(|form| form.weight).sum();
        let mut at = self.rng.below(total);
        let form = group
            .forms
            .iter()
            .find(|form| {
                let here = at < form.weight;
                at = at.saturating_sub(form.weight);
                here
            })
            .unwrap_or(&group.forms[0]);
        self.step(session, form)
    }

    fn step(&mut self, session: usize, form: &Form) -> Step {
        let mut commands: Vec<Words> = Vec::new();
        for piece in &form.commands {
            let mut words = Words::new();
            self.streams.begin(session);
            self.expand(piece, commands.first(), &mut words);
            if form.harmable && self.rng.chance(1, 24) {
                self.harm(&mut words);
            }
            self.streams.note(&words);
            commands.push(words);
        }
        let short = |words: &Words| words.iter().map(Vec::len).sum::<usize>() < 2_000;
        let named = |words: &Words| words[0].first().is_some_and(u8::is_ascii_alphabetic);
        let inline = commands.iter().all(|words| short(words) && named(words)) && self.rng.chance(1, 12);
        let encoding = if inline { Encoding::Inline } else { Encoding::Multibulk };
        Step::Command {
            session,
            commands,
            encoding,
        }
    }

    /// A whole SCAN, or one of a collection.
    fn sweep(&mut self, plan: &plan::Plan<'_>) -> Step {
        let mut words = match self.rng.below(2) {
            0 => vec![b"SCAN".to_vec()],
            _ => {
                let kinds = [
                    ("sets", "SSCAN", "set"),
                    ("hashes", "HSCAN", "hash"),
                    ("zsets", "ZSCAN", "zset"),
                ];
                match kinds
                    .iter()
                    .filter(|kind| plan.has(kind.0))
                    .nth(self.rng.below(3) as usize)
                {
                    Some((_, command, kind)) => vec![command.as_bytes().to_vec(), self.make(kind)],
                    None => vec![b"SCAN".to_vec()],
                }
            }
        };
        let cursor_at = words.len();
        if self.rng.chance(1, 2) {
            words.extend([b"COUNT".to_vec(), self.one_of(&["1", "3", "10", "1000"])]);
        }
        if self.rng.chance(1, 2) {
            words.extend([b"MATCH".to_vec(), self.make("pattern")]);
        }
        if cursor_at == 1 && self.rng.chance(1, 3) {
            words.extend([b"TYPE".to_vec(), self.make("type")]);
        }
        Step::Sweep { words, cursor_at }
    }

    fn expand(&mut self, piece: &Piece, first: Option<&Words>, out: &mut Words) {
        match piece {
            Piece::Word(word) => out.push(self.random_case(word)),
            Piece::Made(name) => self.make_into(name, out),
            Piece::Again(index) => out.push(first.and_then(|words| words.get(*index)).cloned().unwrap_or_default()),
            Piece::All(pieces) => pieces.iter().for_each(|piece| self.expand(piece, first, out)),
            Piece::Maybe(piece) => {
                if self.rng.chance(1, 2) {
                    self.expand(piece, first, out);
                }
            }
            Piece::OneOf(ways) => {
                let way = self.rng.below(ways.len() as u64) as usize;
                self.expand(&ways[way], first, out);
            }
            Piece::Repeat(piece, most) => {
                for _ in 0..=self.rng.below(*most) {
                    self.expand(piece, first, out);
                }
            }
            Piece::Counted(piece) => {
                let count = 1 + self.rng.below(3);
                self.counted = count;
                let told = match self.rng.below(60) {
                    0 => self.one_of(&["0", "-1", "x", "100", "1", "2"]),
                    _ => count.to_string().into_bytes(),
                };
                out.push(told);
                (0..count).for_each(|_| self.expand(piece, first, out));
            }
            Piece::AsCounted(piece) => (0..self.counted).for_each(|_| self.expand(piece, first, out)),
        }
    }

    fn random_case(&mut self, word: &str) -> Vec<u8> {
        match self.rng.below(6) {
            0 => word.to_lowercase().into_bytes(),
            1 => {
                let mixed = word.bytes().map(|byte| match self.rng.chance(1, 2) {
                    true => byte.to_ascii_lowercase(),
                    false => byte,
                });
                mixed.collect()
            }
            _ => word.as_bytes().to_vec(),
        }
    }

    /// Drops, adds, doubles, swaps or replaces words; the command's name stays.
    fn harm(&mut self, words: &mut Words) {
        let at = self.rng.below(words.len() as u64) as usize;
        match self.rng.below(6) {
            0 if at > 0 => drop(words.remove(at)),
            1 if at > 0 => words.insert(at, words[at].clone()),
            2 if at > 0 => words[at] = self.make("junk"),
            // With these the value would become the expiry, perhaps a near one.
            3 if at > 1 && !words[0].to_ascii_lowercase().ends_with(b"setex") => words.swap(at, at - 1),
            4 => words.truncate(1),
            _ => words.push(self.make("junk")),
        }
        // An id by the clock is another on each server.
        if words[0].eq_ignore_ascii_case(b"xadd") {
            let clocked = words.iter_mut().filter(|word| *word == b"*");
            clocked.for_each(|word| word.push(b'*'));
        }
    }
}

fn plain(session: usize, words: &[&str]) -> Step {
    Step::Command {
        session,
        commands: vec![words.iter().map(|word| word.as_bytes().to_vec()).collect()],
        encoding: Encoding::Multibulk,
    }
}
