//! What a command's changes have to tell others, gathered while it runs and told when it has.
//!
//! ```text
//!   slot commit, expiry, a miss ─► Outbox ─► after the handler: keyspace events to their channels,
//!                                            invalidations to sessions that cache
//! ```
//!
//! Handlers change keys and never see sessions; so what sessions must hear waits here, in two buffers that are used
//! again: gathering allocates nothing once they are warm.

use crate::keys::Event;
use base::DbIndex;
use std::ops::Range;

/// One thing to tell.
#[derive(Clone, Debug)]
pub enum News {
    /// Something happened to a key.
    Event(DbIndex, Event, Range<usize>),
    /// A key is not what it was, by the running command's doing.
    Changed(Range<usize>),
    /// A key is not what it was: its time has passed, or memory was needed.
    Vanished(Range<usize>),
    /// Whole databases are not what they were.
    Flushed,
}

/// News in the order in which they came up.
#[derive(Default)]
pub struct Outbox {
    news: Vec<News>,
    keys: Vec<u8>,
    /// Whether any session caches: else nobody wants to hear which keys changed.
    pub someone_caches: bool,
}

impl Outbox {
    /// Whether there is nothing to tell.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.news.is_empty()
    }

    /// Something happened to a key.
    pub fn event(&mut self, db: DbIndex, event: Event, key: &[u8]) {
        let key = self.keep(key);
        self.news.push(News::Event(db, event, key));
    }

    /// A key was changed by the running command.
    #[inline]
    pub fn changed(&mut self, key: &[u8]) {
        if self.someone_caches {
            let key = self.keep(key);
            self.news.push(News::Changed(key));
        }
    }

    /// A key went away by itself.
    #[inline]
    pub fn vanished(&mut self, key: &[u8]) {
        if self.someone_caches {
            let key = self.keep(key);
            self.news.push(News::Vanished(key));
        }
    }

    /// All keys of one or more databases may be different ones now.
    pub fn flushed(&mut self) {
        if self.someone_caches {
            self.news.push(News::Flushed);
        }
    }

    fn keep(&mut self, key: &[u8]) -> Range<usize> {
        let start = self.keys.len();
        self.keys.extend_from_slice(key);
        start..self.keys.len()
    }

    /// Takes everything out: the news, and the bytes that their ranges point into. Give both back with
    /// [`Self::recycle`].
    pub fn take(&mut self) -> (Vec<News>, Vec<u8>) {
        (std::mem::take(&mut self.news), std::mem::take(&mut self.keys))
    }

    /// Takes the space of [`Self::take`] back, to be used again.
    pub fn recycle(&mut self, mut news: Vec<News>, mut keys: Vec<u8>) {
        const KEPT: usize = 64 << 10;
        news.clear();
        keys.clear();
        if self.news.is_empty() && news.capacity() * size_of::<News>() <= KEPT && keys.capacity() <= KEPT {
            self.news = news;
            self.keys = keys;
        }
    }
}
