//! A global allocator that counts: small blocks from the [`slab`], large ones from mimalloc, and beside it the bytes in use.
//!
//! ```text
//!   up to 4 KiB, word-aligned ──► slab       ┐ thread ──► the count of its heap (plain load and store) ┐ summed by
//!   anything else ──────────────► mimalloc   ┘ thread ──► the count of its heap                        ┘ `allocated_bytes`
//! ```
//!
//! A heap outlives its thread, so nothing is lost when a thread ends, and one thread may free what another allocated:
//! single counts go below zero, their sum does not.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

use crate::size::{SMALL_BYTES_MAX, block_bytes};
use crate::slab;

/// The bytes of heap in use now, as the allocator rounds requests. 0 if [`Counting`] is not the global allocator.
#[must_use]
pub fn allocated_bytes() -> u64 {
    // With a limit of memory this is asked before every command: there are about as many heaps as threads at work.
    slab::bytes().max(0) as u64
}

// The crate declares this one only with a feature that brings another dependency.
unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// Gives memory that is free back to the system now. Looks through all pages of the calling thread, so it is nothing for a
/// hot path.
pub fn purge() {
    slab::purge();
    // SAFETY: `mi_collect` may be called by any thread at any time; it frees nothing that is in use.
    unsafe { mi_collect(true) };
}

/// Takes back what other threads have freed of this thread's memory, and gives memory back to the system that has been free
/// for a while. For a thread that goes on for long, a few times per second; a few microseconds.
pub fn settle() {
    slab::settle();
}

/// Has the calling thread prepare huge pages for small blocks, in time before they are needed, so that nobody waits for the
/// kernel to clear them. Does not return, unless another thread does so already. Nothing for a process to which the kernel
/// gives no huge pages: memory would be resident before it is needed, and nothing gained.
pub fn prepare_huge_pages() {
    slab::prepare_blocks();
}

/// Leaves the memory of this thread that is free to others. For threads that have worked and are going to sleep.
pub fn let_go() {
    slab::let_go();
}

/// What every block is aligned to, of the slab and of mimalloc.
const ALIGNED_ANYWAY: usize = 8;

#[inline(always)]
fn is_small(layout: Layout) -> bool {
    layout.size() <= SMALL_BYTES_MAX && layout.align() <= ALIGNED_ANYWAY
}

/// The slab and mimalloc, counting. To be installed with `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

// SAFETY: a layout says whether a block is the slab's or mimalloc's, when it is allocated and when it is freed. Blocks of
// the slab are as large as asked and aligned to a word. mimalloc's functions are a correct allocator: blocks of
// `mi_malloc` and its kin are aligned to a word, those of `mi_malloc_aligned` and its kin as asked, all are freed by
// `mi_free`. Null means that there is no memory, in both.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_small(layout) {
            return slab::alloc(layout.size());
        }
        slab::count(block_bytes(layout.size()) as i64);
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
        if is_small(layout) {
            let block = slab::alloc(layout.size());
            if !block.is_null() {
                // SAFETY: the block is as large.
                unsafe { block.write_bytes(0, layout.size()) };
            }
            return block;
        }
        slab::count(block_bytes(layout.size()) as i64);
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
        if is_small(layout) {
            // SAFETY: the caller has the block from this allocator, whose small ones are the slab's.
            return unsafe { slab::free(block) };
        }
        slab::count(-(block_bytes(layout.size()) as i64));
        // SAFETY: the caller has the block from this allocator.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller promises that such a layout can be; the rest of the contract is that of both.
        unsafe {
            let new = Layout::from_size_align_unchecked(bytes, layout.align());
            if is_small(layout) || is_small(new) {
                move_small(block, layout, new)
            } else {
                move_large(block, layout, bytes)
            }
        }
    }
}

/// Makes a block larger or smaller that is small before or after it.
///
/// # Safety
/// - As for [`GlobalAlloc::realloc`].
unsafe fn move_small(block: *mut u8, old: Layout, new: Layout) -> *mut u8 {
    if is_small(old) && is_small(new) && block_bytes(old.size()) == block_bytes(new.size()) {
        return block;
    }
    // SAFETY: the caller's contract is the same; both blocks have as many bytes as are copied, and are not the same.
    unsafe {
        let moved = Counting.alloc(new);
        if !moved.is_null() {
            ptr::copy_nonoverlapping(block, moved, old.size().min(new.size()));
            Counting.dealloc(block, old);
        }
        moved
    }
}

/// Makes a block of mimalloc larger or smaller.
///
/// # Safety
/// - As for [`GlobalAlloc::realloc`].
unsafe fn move_large(block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
    slab::count(block_bytes(bytes) as i64 - block_bytes(layout.size()) as i64);
    // SAFETY: the caller has the block from this allocator; any size will do, and a layout's alignment is a power of two.
    unsafe {
        if layout.align() <= ALIGNED_ANYWAY {
            mi_realloc(block.cast(), bytes).cast()
        } else {
            mi_realloc_aligned(block.cast(), bytes, layout.align()).cast()
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
