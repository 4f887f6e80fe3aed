//! A job's flag and counters, as the codec looks at them.

use super::{Cancel, Progress};
use std::sync::atomic::Ordering;

/// Watches a save or load on behalf of its job.
pub(super) struct JobWatch<'a> {
    pub(super) cancel: &'a Cancel,
    pub(super) progress: &'a Progress,
    pub(super) sleep: &'a mut dyn FnMut(u64),
    /// Somebody else who waits, and wants to hear now and then that this goes on.
    pub(super) alive: &'a mut dyn FnMut(),
}

impl rdb::Watch for JobWatch<'_> {
    fn progress(&mut self, keys: u64, bytes: u64) {
        self.progress.keys.store(keys, Ordering::Relaxed);
        self.progress.bytes.store(bytes, Ordering::Relaxed);
        (self.alive)();
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn pause(&mut self, microseconds: u64) {
        (self.sleep)(microseconds);
    }
}
