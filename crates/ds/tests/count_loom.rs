//! The protocol by which the writer and the readers of frozen views share a block, in every interleaving.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p skein-ds --test count_loom`
#![cfg(loom)]
#![allow(dead_code, reason = "the protocol needs one of the two counts, and not all of it")]

mod atomics {
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, Ordering, fence};
}

#[path = "../src/count.rs"]
mod count;

use count::Count8;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const BYTES: u64 = 64;

/// An entry's block: loom reports any access to `value` that another does not happen before or after. Never freed, so
/// that a use after the last reference is seen, not suffered.
struct Block {
    count: Count8,
    value: UnsafeCell<u32>,
    freed: AtomicUsize,
}

impl Block {
    fn new(value: u32) -> Self {
        Self {
            count: Count8::one(),
            value: UnsafeCell::new(value),
            freed: AtomicUsize::new(0),
        }
    }

    fn read(&self) -> u32 {
        // SAFETY: loom checks it.
        self.value.with(|value| unsafe { *value })
    }

    /// Freeing counts as a write.
    fn free(&self) {
        // SAFETY: loom checks it.
        self.value.with_mut(|value| unsafe { *value = 0 });
        assert_eq!(self.freed.fetch_add(1, Ordering::Relaxed), 0, "freed twice");
    }

    /// As `Entry::release`.
    fn release(&self, frozen_bytes: &AtomicU64) {
        if self.count.decrement() {
            frozen_bytes.fetch_sub(BYTES, Ordering::Relaxed);
            self.free();
        }
    }
}

/// Two views read a block and give it up, while the writer overwrites it: in place if it finds itself alone, else in a
/// copy. Nobody reads what is being written, the block is freed at most once, and the account ends at 0.
#[test]
fn a_write_beside_two_readers() {
    loom::model(|| {
        let block = Arc::new(Block::new(1));
        let frozen_bytes = Arc::new(AtomicU64::new(0));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                block.count.increment();
                let (block, frozen_bytes) = (block.clone(), frozen_bytes.clone());
                loom::thread::spawn(move || {
                    assert_eq!(block.read(), 1, "a view never changes");
                    block.release(&frozen_bytes);
                })
            })
            .collect();

        // As `Entry::set`.
        let in_place = block.count.is_one();
        if in_place {
            // SAFETY: loom checks it.
            block.value.with_mut(|value| unsafe { *value = 2 });
        } else {
            let copy = Block::new(block.read() + 1);
            // As `Ledger::leave_to_frozen`, before the reference is given up.
            frozen_bytes.fetch_add(BYTES, Ordering::Relaxed);
            block.release(&frozen_bytes);
            assert_eq!(copy.read(), 2);
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(block.freed.load(Ordering::Relaxed), usize::from(!in_place));
        assert_eq!(frozen_bytes.load(Ordering::Relaxed), 0);
    });
}
