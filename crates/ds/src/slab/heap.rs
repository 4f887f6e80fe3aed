//! A thread's pages.
//!
//! ```text
//!   current   one page per class, at hand by the request's size in words          alloc: the first free block of it
//!   ready     per class, pages with free blocks                                   free: onto the list of the block's page
//!   full      pages without; the first free makes them ready
//!   told      blocks that other threads freed in pages where that matters
//! ```
//!
//! A heap is never freed: one whose thread ends gives its pages up, and waits for the next thread.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

use super::door::Put;
use super::page::{List, NO_PAGE, Page};
use super::shared;
use crate::size::{CLASSES, SMALL_BYTES_MAX, class_bytes, class_of};

const WORDS: usize = SMALL_BYTES_MAX / 8;

/// So many pages are looked at for the one with the fewest free blocks.
const CANDIDATES: usize = 4;

/// So many classes are looked at by [`Heap::tidy`].
const TIDIED: usize = CLASSES / 4;
const _: () = assert!(CLASSES.is_multiple_of(TIDIED));

/// What a thread allocates from. Cells belong to that thread.
#[repr(C, align(64))]
pub(crate) struct Heap {
    /// Of each class the page that blocks are taken from, once for each number of words that is of the class.
    current: [Cell<&'static Page>; WORDS + 1],
    ready: [List; CLASSES],
    full: List,
    /// The next class to be looked at by [`Self::tidy`].
    tidied: Cell<usize>,
    /// Bytes of all blocks that the thread has taken, less those it has freed. Only the thread writes it.
    bytes: Line<AtomicI64>,
    told: Line<AtomicPtr<Told>>,
    /// All heaps there are; set once.
    pub(super) next: AtomicPtr<Heap>,
    /// Heaps without a thread; under the lock.
    pub(super) next_idle: Cell<Option<&'static Heap>>,
}

#[repr(align(64))]
struct Line<T>(T);

/// A block on its way to the owner of its page.
struct Told {
    next: *mut Told,
}

// SAFETY: cells are used by the heap's thread alone, or under the lock, as said above.
unsafe impl Sync for Heap {}

/// The heap of threads that have none: all its pages are empty, so that the first request goes the slow way.
pub(super) static NO_HEAP: Heap = Heap::new();

impl Heap {
    pub(super) const fn new() -> Self {
        Self {
            current: [const { Cell::new(&NO_PAGE) }; WORDS + 1],
            ready: [const { List::new() }; CLASSES],
            full: List::new(),
            tidied: Cell::new(0),
            bytes: Line(AtomicI64::new(0)),
            told: Line(AtomicPtr::new(ptr::null_mut())),
            next: AtomicPtr::new(ptr::null_mut()),
            next_idle: Cell::new(None),
        }
    }

    #[inline(always)]
    pub(super) fn is_none(&self) -> bool {
        ptr::eq(self, &raw const NO_HEAP)
    }

    /// Bytes of blocks of any kind, as [`Self::count`] was told of them.
    pub(super) fn bytes(&self) -> i64 {
        self.bytes.0.load(Ordering::Relaxed)
    }

    /// So many bytes more are in use. By the heap's thread.
    #[inline(always)]
    pub(super) fn count(&self, bytes: i64) {
        let bytes_now = self.bytes.0.load(Ordering::Relaxed);
        self.bytes.0.store(bytes_now.wrapping_add(bytes), Ordering::Relaxed);
    }

    /// A block of at least `bytes`, at most [`SMALL_BYTES_MAX`]; counted. None if there is none at hand.
    #[inline(always)]
    pub(super) fn take(&self, bytes: usize) -> Option<NonNull<u8>> {
        let page = self.current[bytes.div_ceil(8)].get();
        let block = page.pop()?;
        self.count(i64::from(page.block_bytes.get()));
        Some(block)
    }

    /// As [`Self::take`], after making some be at hand. None if there is no memory.
    pub(super) fn take_slowly(&'static self, bytes: usize) -> Option<NonNull<u8>> {
        let bytes = bytes.max(1);
        self.hear();
        let class = class_of(bytes);
        loop {
            let page = self.current[bytes.div_ceil(8)].get();
            if !ptr::eq(page, &raw const NO_PAGE) {
                if !page.has_free() {
                    page.collect();
                }
                if !page.has_free() {
                    page.make();
                }
                if page.has_free() {
                    return self.take(bytes);
                }
                if !page.close() {
                    continue;
                }
                self.full.push(page);
            }
            self.set_current(class, &NO_PAGE);
            let next = match self.choose(class) {
                Some(page) => page,
                None => shared::page(self, class, class_bytes(class))?,
            };
            self.set_current(class, next);
        }
    }

    /// Takes of the pages that are ready the fullest of the first few.
    fn choose(&self, class: usize) -> Option<&'static Page> {
        let list = &self.ready[class];
        let mut best = list.first()?;
        let mut page = best;
        for _ in 1..CANDIDATES {
            let Some(next) = page.next.get() else { break };
            page = next;
            if page.in_use() > best.in_use() {
                best = page;
            }
        }
        list.remove(best);
        Some(best)
    }

    fn set_current(&self, class: usize, page: &'static Page) {
        // The words of a class are those down to the class below it.
        let last = class_bytes(class) / 8;
        let first = if class == 0 { 0 } else { class_bytes(class - 1) / 8 + 1 };
        for current in &self.current[first..=last] {
            current.set(page);
        }
    }

    fn current(&self, class: usize) -> &'static Page {
        self.current[class_bytes(class) / 8].get()
    }

    /// Frees a block; counted.
    ///
    /// # Safety
    /// - The block is of the slab, and nobody uses it again.
    #[inline(always)]
    pub(super) unsafe fn free(&'static self, block: NonNull<u8>) {
        // SAFETY: as promised.
        let page = unsafe { Page::of(block.as_ptr()) };
        if !ptr::eq(page.door.owner(), self) {
            // SAFETY: as promised.
            unsafe { super::free_elsewhere(block) };
            return;
        }
        self.count(-i64::from(page.block_bytes.get()));
        // SAFETY: as promised; owned, as just seen: only this thread makes itself, or ceases to be, the owner.
        if unsafe { page.push(block) } == 0 {
            self.attend(page);
        }
    }

    /// A page says 0: it was full, or is empty.
    #[cold]
    #[inline(never)]
    fn attend(&self, page: &'static Page) {
        let class = page.class();
        if page.is_full() {
            self.full.remove(page);
            page.open(1);
            if page.in_use() > 0 {
                self.ready[class].push(page);
                return;
            }
        } else if ptr::eq(page, self.current(class)) {
            return;
        } else {
            self.ready[class].remove(page);
        }
        page.collect();
        shared::give_back(page);
    }

    /// Frees a block of a page that another thread owns, or nobody. Not counted here.
    ///
    /// # Safety
    /// - The block is of the slab, and nobody uses it again.
    pub(super) unsafe fn free_of_others(&'static self, block: NonNull<u8>) {
        // SAFETY: as promised.
        let page = unsafe { Page::of(block.as_ptr()) };
        loop {
            // SAFETY: never freed.
            let Some(owner) = (unsafe { page.door.owner().as_ref() }) else {
                if shared::adopt(page, self) {
                    self.take_in(page);
                }
                continue;
            };
            if ptr::eq(owner, self) {
                // SAFETY: as promised; owned by this thread.
                let mut left = unsafe { page.push(block) };
                // Who tells of what may be the last block has left the others at the door.
                if left > 0 && page.collect() {
                    left = page.in_use();
                }
                if left == 0 {
                    self.attend(page);
                }
                return;
            }
            // SAFETY: as promised.
            if unsafe { page.put(block) } == Put::Left {
                return;
            }
            // Whoever was the owner may have given the page up by now; then the block is for the next one to tell of.
            // SAFETY: never freed.
            if let Some(owner) = unsafe { page.door.owner().as_ref() } {
                owner.tell(block);
                return;
            }
        }
    }

    /// A page that this heap has just become the owner of, on a free.
    pub(super) fn take_in(&self, page: &'static Page) {
        if page.is_full() && page.close_again() {
            self.full.push(page);
        } else {
            page.collect();
            self.ready[page.class()].push(page);
        }
    }

    /// Gives a freed block to the thread of this heap, from any other.
    fn tell(&self, block: NonNull<u8>) {
        let told = block.cast::<Told>().as_ptr();
        let mut next = self.told.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: a freed block has room for a word, is aligned to one, and nobody uses it.
            unsafe { told.write(Told { next }) };
            match self
                .told
                .0
                .compare_exchange_weak(next, told, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => next = now,
            }
        }
    }

    /// Frees what this heap was told of: its thread does, or another if it has none.
    pub(super) fn hear(&'static self) {
        self.hear_for(self);
    }

    /// Frees what this heap was told of, on the thread of `hearer`.
    pub(super) fn hear_for(&self, hearer: &'static Self) {
        if self.told.0.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut told = self.told.0.swap(ptr::null_mut(), Ordering::Acquire);
        while let Some(block) = NonNull::new(told) {
            // SAFETY: what was told is a freed block, ours since the list was taken, and begins with the next one.
            unsafe {
                told = block.read().next;
                hearer.free_of_others(block.cast());
            }
        }
    }

    /// Gives all pages up, for whoever needs them; empty ones go back.
    pub(super) fn let_go(&'static self) {
        self.hear();
        for class in 0..CLASSES {
            let page = self.current(class);
            if !ptr::eq(page, &raw const NO_PAGE) {
                self.set_current(class, &NO_PAGE);
                shared::abandon(page);
            }
            while let Some(page) = self.ready[class].pop() {
                shared::abandon(page);
            }
        }
        while let Some(page) = self.full.pop() {
            shared::abandon(page);
        }
    }

    /// Gives back, of a few classes in turn, the page at hand if it is empty: classes that something grew through would keep
    /// one each.
    pub(super) fn tidy(&'static self) {
        let first = self.tidied.get();
        for class in first..(first + TIDIED).min(CLASSES) {
            let page = self.current(class);
            if page.in_use() == 0 && !ptr::eq(page, &raw const NO_PAGE) {
                self.set_current(class, &NO_PAGE);
                page.collect();
                shared::give_back(page);
            }
        }
        self.tidied.set((first + TIDIED) % CLASSES);
    }

    /// Looks through all pages for those that nobody uses any more, and gives them back.
    pub(super) fn sift(&'static self) {
        self.hear();
        for list in &self.ready {
            let mut at = list.first();
            while let Some(page) = at {
                at = page.next.get();
                page.collect();
                if page.in_use() == 0 {
                    list.remove(page);
                    shared::give_back(page);
                }
            }
        }
        for class in 0..CLASSES {
            let page = self.current(class);
            page.collect();
            if !ptr::eq(page, &raw const NO_PAGE) && page.in_use() == 0 {
                self.set_current(class, &NO_PAGE);
                shared::give_back(page);
            }
        }
    }
}
