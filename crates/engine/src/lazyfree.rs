//! What the dataset has given up and another thread frees: how much of it is still to be freed.
//!
//! ```text
//!   key deleted, database emptied ─► Pending { value } ─► another thread ─► dropped: value first, then taken off the count
//! ```
//!
//! Nothing that is heavy is freed on the engine's thread, whatever the `lazyfree-` directives say; they decide what
//! replicas are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The count of what is being freed elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Lazyfree(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    objects: AtomicU64,
    freed: AtomicU64,
}

/// A value on its way to be freed.
#[derive(Debug)]
pub struct Pending<T> {
    value: Option<T>,
    bytes: u64,
    objects: u64,
    counts: Lazyfree,
}

impl Lazyfree {
    /// Counts a value, of so many bytes and keys, until it is dropped.
    #[must_use]
    pub fn pending<T>(&self, value: T, bytes: u64, objects: u64) -> Pending<T> {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.objects.fetch_add(objects, Ordering::Relaxed);
        Pending {
            value: Some(value),
            bytes,
            objects,
            counts: self.clone(),
        }
    }

    /// Bytes still to be freed.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Keys still to be freed.
    #[must_use]
    pub fn pending_objects(&self) -> u64 {
        self.0.objects.load(Ordering::Relaxed)
    }

    /// Keys that were freed.
    #[must_use]
    pub fn freed_objects(&self) -> u64 {
        self.0.freed.load(Ordering::Relaxed)
    }

    /// Forgets how many were freed, as CONFIG RESETSTAT does.
    pub fn reset_freed(&self) {
        self.0.freed.store(0, Ordering::Relaxed);
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        drop(self.value.take());
        let counts = &self.counts.0;
        counts.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        counts.freed.fetch_add(self.objects, Ordering::Relaxed);
        counts.objects.fetch_sub(self.objects, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_leaves_the_count() {
        let lazyfree = Lazyfree::default();
        let pending = lazyfree.pending(vec![1, 2, 3], 100, 7);
        assert_eq!((lazyfree.pending_bytes(), lazyfree.pending_objects()), (100, 7));
        drop(pending);
        assert_eq!((lazyfree.pending_bytes(), lazyfree.pending_objects()), (0, 0));
        assert_eq!(lazyfree.freed_objects(), 7);
        lazyfree.reset_freed();
        assert_eq!(lazyfree.freed_objects(), 0);
    }
}
