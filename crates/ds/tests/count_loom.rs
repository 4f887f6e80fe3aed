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

use count::{Claim, Count8};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread::JoinHandle;

const BYTES: u64 = 64;

/// What a pointer to a new block says.
fn whole() -> Claim {
    Claim::of(0)
}

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

impl Block {
    /// As `Entry::release` with half a claim.
    fn release_claim(&self, claim: Claim, frozen_bytes: &AtomicU64) {
        if self.count.give_up(claim) {
            frozen_bytes.fetch_sub(BYTES, Ordering::Relaxed);
            self.free();
        }
    }

    /// As `Entry::set` by the writer, with this claim; says whether it wrote in place.
    fn write(&self, claim: Claim, frozen_bytes: &AtomicU64) -> bool {
        if self.count.is_alone(claim) {
            // SAFETY: loom checks it.
            self.value.with_mut(|value| unsafe { *value = 2 });
            return true;
        }
        let copy = Block::new(self.read() + 1);
        // As `Ledger::leave_to_frozen`, before the reference is given up.
        frozen_bytes.fetch_add(BYTES, Ordering::Relaxed);
        self.release_claim(claim, frozen_bytes);
        assert_eq!(copy.read(), 2);
        false
    }
}

/// A view that reads the block and gives its claim up.
fn reader(block: &Arc<Block>, claim: Claim, frozen_bytes: &Arc<AtomicU64>) -> JoinHandle<()> {
    let (block, frozen_bytes) = (block.clone(), frozen_bytes.clone());
    loom::thread::spawn(move || {
        assert_eq!(block.read(), 1, "a view never changes");
        block.release_claim(claim, &frozen_bytes);
    })
}

/// The writer and a view have half a claim each, at either turn.
#[test]
fn a_write_beside_the_other_half() {
    for turned in [false, true] {
        loom::model(move || {
            let block = Arc::new(Block::new(1));
            let frozen_bytes = Arc::new(AtomicU64::new(0));
            let mut claim = whole().halved();
            if turned {
                // A partner of before has given up.
                assert!(!block.count.give_up(claim));
                assert!(block.count.is_alone(claim));
                claim = claim.halved();
            }
            let reader = reader(&block, claim, &frozen_bytes);
            let in_place = block.write(claim, &frozen_bytes);
            reader.join().unwrap();
            assert_eq!(block.freed.load(Ordering::Relaxed), usize::from(!in_place));
            assert_eq!(frozen_bytes.load(Ordering::Relaxed), 0);
            if in_place {
                assert!(block.count.is_alone(claim), "what is alone stays it");
            }
        });
    }
}

/// Views overlap: an old one has half a claim with the writer, and a young one a whole one.
#[test]
fn a_write_beside_the_other_half_and_a_reader() {
    loom::model(|| {
        let block = Arc::new(Block::new(1));
        let frozen_bytes = Arc::new(AtomicU64::new(0));
        let half = whole().halved();
        block.count.increment();
        let readers: Vec<_> = [half, half.counted()]
            .into_iter()
            .map(|claim| reader(&block, claim, &frozen_bytes))
            .collect();
        let in_place = block.write(half, &frozen_bytes);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(block.freed.load(Ordering::Relaxed), usize::from(!in_place));
        assert_eq!(frozen_bytes.load(Ordering::Relaxed), 0);
    });
}

/// A reader of a node that it holds last makes half a claim a whole one, while the writer gives its half up.
#[test]
fn half_made_whole() {
    loom::model(|| {
        let block = Arc::new(Block::new(1));
        let frozen_bytes = Arc::new(AtomicU64::new(0));
        let half = whole().halved();
        let reader = {
            let (block, frozen_bytes) = (block.clone(), frozen_bytes.clone());
            loom::thread::spawn(move || {
                block.count.increment();
                assert!(!block.count.give_up(half));
                assert_eq!(block.read(), 1, "a view never changes");
                block.release_claim(half.counted(), &frozen_bytes);
            })
        };
        let in_place = block.write(half, &frozen_bytes);
        reader.join().unwrap();
        assert_eq!(block.freed.load(Ordering::Relaxed), usize::from(!in_place));
        assert_eq!(frozen_bytes.load(Ordering::Relaxed), 0);
    });
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
        let in_place = block.count.is_alone(whole());
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
