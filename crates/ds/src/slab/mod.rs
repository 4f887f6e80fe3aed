//! Small blocks in classes that fit: an entry of 231 bytes takes 232.
//!
//! ```text
//!   thread ──► its heap ──► per class a page of 64 KiB ──► a list of free blocks            no lock, no atomic operation
//!                │ told                  ▲ door                                             but plain loads and stores
//!   another thread frees a block of it ──┘                                                  one compare-and-swap
//!   a thread ends ──► its pages are nobody's ──► who frees a block of one, or needs one, adopts it   a lock, once a page
//! ```
//!
//! - [`page`]: blocks of one size, and what is known of them.
//! - [`heap`]: the pages of a thread: taking and freeing.
//! - [`door`]: how blocks come back from other threads; the one piece with a protocol, checked by loom
//!   (`tests/slab_loom.rs`).
//! - [`shared`]: pages that nobody uses or owns.
//! - [`fresh`]: where pages come from, huge ones if there is a thread that prepares them.
//!
//! The engine's thread takes and frees nearly all there is. A dataset that another thread loads becomes the engine's page
//! by page, as it frees blocks of it.

mod door;
mod fresh;
mod heap;
mod page;
mod shared;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ptr::{self, NonNull};

use heap::{Heap, NO_HEAP};
use page::Page;

thread_local! {
    static HEAP: Cell<&'static Heap> = const { Cell::new(&NO_HEAP) };
    static END: End = const { End };
}

/// Gives the thread's heap back when the thread ends.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        let heap = HEAP.replace(&NO_HEAP);
        if !heap.is_none() {
            heap.let_go();
            shared::keep(heap);
        }
    }
}

/// A block of at least `bytes`, which are at most [`crate::size::SMALL_BYTES_MAX`]. Aligned to a word. Null if there is no
/// memory.
#[inline(always)]
pub(crate) fn alloc(bytes: usize) -> *mut u8 {
    match HEAP.get().take(bytes) {
        Some(block) => block.as_ptr(),
        None => alloc_slowly(bytes),
    }
}

#[cold]
#[inline(never)]
fn alloc_slowly(bytes: usize) -> *mut u8 {
    with_heap(|heap| heap.take_slowly(bytes))
        .flatten()
        .map_or(ptr::null_mut(), NonNull::as_ptr)
}

/// Frees a block.
///
/// # Safety
/// - The block is from [`alloc`], and nobody uses it again.
#[inline(always)]
pub(crate) unsafe fn free(block: *mut u8) {
    // SAFETY: `alloc` gives no null to be freed; the rest as promised.
    unsafe { HEAP.get().free(NonNull::new_unchecked(block)) }
}

/// # Safety
/// - The block is from [`alloc`], and nobody uses it again.
#[cold]
#[inline(never)]
unsafe fn free_elsewhere(block: NonNull<u8>) {
    with_heap(|heap| {
        // SAFETY: as promised; the page's block size does not change while a block of it is in use.
        unsafe {
            heap.count(-i64::from(Page::of(block.as_ptr()).block_bytes.get()));
            heap.free_of_others(block);
        }
    });
    // Without memory for a heap the block is lost; the thread will not get far.
}

/// So many bytes more are in use, in blocks of any kind.
#[inline(always)]
pub(crate) fn count(bytes: i64) {
    let heap = HEAP.get();
    if heap.is_none() {
        count_slowly(bytes);
    } else {
        heap.count(bytes);
    }
}

#[cold]
#[inline(never)]
fn count_slowly(bytes: i64) {
    with_heap(|heap| heap.count(bytes));
}

/// Bytes in use, of all threads.
pub(crate) fn bytes() -> i64 {
    shared::heaps().map(Heap::bytes).sum()
}

/// Runs with the thread's heap, which it gets if it has none. A thread that is past the end of its heap is lent one. None
/// if there is no memory for one.
fn with_heap<R>(run: impl FnOnce(&'static Heap) -> R) -> Option<R> {
    let heap = HEAP.get();
    if !heap.is_none() {
        return Some(run(heap));
    }
    let heap = shared::heap()?;
    // Before the end is registered, which may allocate.
    HEAP.set(heap);
    if END.try_with(|_| ()).is_ok() {
        return Some(run(heap));
    }
    let result = run(heap);
    HEAP.set(&NO_HEAP);
    heap.let_go();
    shared::keep(heap);
    Some(result)
}

/// What is to be done now and then: takes back what other threads have freed, and gives back what has been empty for a
/// while. A few microseconds.
pub(crate) fn settle() {
    const COOLED: usize = 4;
    let heap = HEAP.get();
    if !heap.is_none() {
        heap.hear();
        heap.tidy();
        shared::cool_some(COOLED);
        shared::rest(false);
    }
}

/// Prepares huge pages whenever they will be needed; returns at once if another thread does.
pub(crate) fn prepare_blocks() {
    shared::prepare_blocks();
}

/// Leaves all pages of this thread to others. For threads that have freed a lot and will now sleep.
pub(crate) fn let_go() {
    HEAP.get().let_go();
}

/// Gives memory that is free back to the system.
pub(crate) fn purge() {
    with_heap(|heap| {
        shared::heaps().for_each(|other| other.hear_for(heap));
        shared::adopt_returned(heap, |page| heap.take_in(page));
        heap.sift();
    });
    shared::cool_some(usize::MAX);
    shared::rest(true);
}
