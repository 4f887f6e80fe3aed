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

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

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
    // With a limit of memory this is asked before every command: only counters that some thread has are looked at.
    let assigned = ASSIGNED.load(Ordering::Relaxed).min(COUNTERS);
    BYTES[..assigned]
        .iter()
        .map(|counter| counter.0.load(Ordering::Relaxed))
        .sum::<i64>()
        .max(0) as u64
}

// The crate declares this one only with a feature that brings another dependency.
unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// Gives memory that is free back to the system now; mimalloc else does so when it is next asked for some. Looks through
/// all pages of the calling thread, so it is nothing for a hot path.
pub fn purge() {
    // SAFETY: `mi_collect` may be called by any thread at any time; it frees nothing that is in use.
    unsafe { mi_collect(true) };
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

/// What every block of mimalloc is aligned to, however it was built. Asked for it by name, mimalloc would look for a
/// better block than it needs.
const ALIGNED_ANYWAY: usize = 8;

// SAFETY: every request goes to mimalloc unchanged, whose functions are a correct allocator: blocks of `mi_malloc` and its
// kin are aligned to a word, those of `mi_malloc_aligned` and its kin as asked, all are freed by `mi_free`, and null means
// that there is no memory. Counting touches only statics and a thread-local without a destructor, and never allocates.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(block_bytes(layout.size()) as i64);
        // SAFETY: any size will do, and a layout's alignment is a power of two.
        unsafe {
            if layout.align() <= ALIGNED_ANYWAY {
                mi_malloc(layout.size()).cast()
            } else {
                mi_malloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(block_bytes(layout.size()) as i64);
        // SAFETY: any size will do, and a layout's alignment is a power of two.
        unsafe {
            if layout.align() <= ALIGNED_ANYWAY {
                mi_zalloc(layout.size()).cast()
            } else {
                mi_zalloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::count(-(block_bytes(layout.size()) as i64));
        // SAFETY: the caller has the block from this allocator.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Self::count(block_bytes(bytes) as i64 - block_bytes(layout.size()) as i64);
        // SAFETY: the caller has the block from this allocator; any size will do, and a layout's alignment is a power of
        // two.
        unsafe {
            if layout.align() <= ALIGNED_ANYWAY {
                mi_realloc(block.cast(), bytes).cast()
            } else {
                mi_realloc_aligned(block.cast(), bytes, layout.align()).cast()
            }
        }
    }
}

static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// [`Counting`], noting the largest block that was asked for: for fuzzers, which look for decoders that believe what a
/// length claims.
#[derive(Debug)]
pub struct Watching;

impl Watching {
    /// The largest block since the last call, in bytes.
    #[must_use]
    pub fn take_largest() -> usize {
        LARGEST.swap(0, Ordering::Relaxed)
    }
}

// SAFETY: every request goes to `Counting`, which is a correct allocator; noting sizes touches only a static.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { Counting.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { Counting.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { Counting.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        LARGEST.fetch_max(bytes, Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { Counting.realloc(block, layout, bytes) }
    }
}
