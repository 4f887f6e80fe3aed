//! A global allocator that counts: mimalloc, and beside it the bytes in use.
//!
//! ```text
//!   thread ──► its own counter (plain load and store)      ┐
//!   thread ──► its own counter                             ├── summed by `allocated_bytes`
//!   more than 255 threads ever ──► one shared counter      ┘
//! ```
//!
//! A counter outlives its thread, so nothing is lost when a thread ends, and one thread may free what another
//! allocated: single counters go below zero, their sum does not.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use mimalloc::MiMalloc;

use crate::size::block_bytes;

/// Threads that get a counter of their own; the rest share the last.
const COUNTERS: usize = 256;
const SHARED: usize = COUNTERS - 1;
const UNASSIGNED: usize = usize::MAX;

#[repr(align(64))]
struct Counter(AtomicI64);

static BYTES: [Counter; COUNTERS] = [const { Counter(AtomicI64::new(0)) }; COUNTERS];
static ASSIGNED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(UNASSIGNED) };
}

/// The bytes of heap in use now, as the allocator rounds requests. 0 if [`Counting`] is not the global allocator.
#[must_use]
pub fn allocated_bytes() -> u64 {
    BYTES
        .iter()
        .map(|counter| counter.0.load(Ordering::Relaxed))
        .sum::<i64>()
        .max(0) as u64
}

/// mimalloc, counting. To be installed with `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

impl Counting {
    #[inline]
    fn count(bytes: i64) {
        let mine = MINE.get();
        if mine < SHARED {
            let counter = &BYTES[mine].0;
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
        } else {
            Self::count_slowly(bytes);
        }
    }

    #[cold]
    fn count_slowly(bytes: i64) {
        if MINE.get() == UNASSIGNED {
            let next = ASSIGNED.fetch_add(1, Ordering::Relaxed).min(SHARED);
            MINE.set(next);
        }
        BYTES[MINE.get()].0.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every request goes to mimalloc unchanged, which is a correct global allocator; counting touches only statics
// and a thread-local without a destructor, and never allocates.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(block_bytes(layout.size()) as i64);
        // SAFETY: the caller's promise is the one asked for.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(block_bytes(layout.size()) as i64);
        // SAFETY: the caller's promise is the one asked for.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::count(-(block_bytes(layout.size()) as i64));
        // SAFETY: the caller's promise is the one asked for.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Self::count(block_bytes(bytes) as i64 - block_bytes(layout.size()) as i64);
        // SAFETY: the caller's promise is the one asked for.
        unsafe { MiMalloc.realloc(block, layout, bytes) }
    }
}
