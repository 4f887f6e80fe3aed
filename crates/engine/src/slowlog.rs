//! The slow log: commands that took longer than asked, newest first.

use base::Now;
use resp::Args;
use std::collections::VecDeque;

/// At most so many arguments of a command are kept; the last then says how many more there were.
const MAX_ARGS: usize = 32;
/// At most so many bytes of an argument are kept.
const MAX_ARG_BYTES: usize = 128;

/// One slow command.
pub struct SlowEntry {
    /// Counts up from 0 for the life of the process.
    pub id: u64,
    /// When it ended, seconds since the epoch.
    pub unix_seconds: i64,
    /// How long it took, in microseconds.
    pub usec: u64,
    /// Its words, cut to the limits.
    pub words: Vec<Vec<u8>>,
    /// The client's address.
    pub client: String,
    /// The client's name.
    pub client_name: Vec<u8>,
}

/// The slow log.
#[derive(Default)]
pub struct Slowlog {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

impl Slowlog {
    /// Adds a command, dropping the oldest over `max_len`.
    pub fn add(&mut self, now: Now, usec: u64, args: Args<'_>, client: &str, client_name: &[u8], max_len: usize) {
        let entry = SlowEntry {
            id: self.next_id,
            unix_seconds: now.unix_ms().seconds(),
            usec,
            words: cut(args),
            client: client.to_owned(),
            client_name: client_name.to_vec(),
        };
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(max_len);
    }

    /// The entries, newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    /// Forgets the oldest over `max_len`.
    pub fn truncate(&mut self, max_len: usize) {
        self.entries.truncate(max_len);
    }

    /// Forgets all entries; numbers go on.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

fn cut(args: Args<'_>) -> Vec<Vec<u8>> {
    let shown = if args.len() > MAX_ARGS {
        MAX_ARGS - 1
    } else {
        args.len()
    };
    let mut words: Vec<Vec<u8>> = args.iter().take(shown).map(cut_word).collect();
    if args.len() > MAX_ARGS {
        words.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    words
}

fn cut_word(word: &[u8]) -> Vec<u8> {
    if word.len() <= MAX_ARG_BYTES {
        return word.to_vec();
    }
    let mut cut = word[..MAX_ARG_BYTES].to_vec();
    cut.extend_from_slice(format!("... ({} more bytes)", word.len() - MAX_ARG_BYTES).as_bytes());
    cut
}
