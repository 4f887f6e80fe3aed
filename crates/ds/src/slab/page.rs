//! A page of blocks of one size, and lists of pages.
//!
//! ```text
//!   region, 64 MiB          +-----------------+--------+--------+-----+-----------+
//!   at such a boundary      | 1024 × Page     | page 1 | page 2 | ... | page 1023 |    64 KiB each
//!                           +-----------------+--------+--------+-----+-----------+
//!   page                    +---------+---------+-----+------------------+
//!                           | block 0 | block 1 | ... | not yet made ... |         `made` blocks; free ones are linked
//!                           +---------+---------+-----+------------------+
//! ```
//!
//! What is known of a page is not in it but at the beginning of its region: beside the others, where the caches hold it
//! well (addresses 64 KiB apart fall on the same lines of a cache), and where an address leads by two masks.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use super::door::{Door, NOTHING, Put};
use super::heap::Heap;
use crate::size::{block_bytes, class_of};

pub(super) const PAGE_BYTES: usize = 64 * 1024;
pub(super) const REGION_BYTES: usize = PAGE_BYTES * REGION_PAGES;
pub(super) const REGION_PAGES: usize = PAGE_BYTES / size_of::<Page>();

/// Blocks are made in runs that end where a page of the kernel does: memory is not touched before it is used.
const KERNEL_PAGE_BYTES: usize = 4096;

const _: () = assert!(size_of::<Page>() == 64 && REGION_PAGES == 1024);

/// A free block: its first word is the next one.
pub(super) struct Block {
    next: Option<NonNull<Block>>,
}

/// What is known of a page. All zeros is a page never used.
///
/// Cells belong to the owner's thread, and to the holder of the lock while the page has no owner.
#[repr(C, align(64))]
pub(super) struct Page {
    pub(super) door: Door<Heap>,
    /// Blocks in use, those included that have come back to the door. Of a full page 1: so that a free needs one test to
    /// see whether anything is to be done. Only the owner writes it.
    in_use: AtomicU32,
    pub(super) block_bytes: Cell<u32>,
    free: Cell<Option<NonNull<Block>>>,
    pub(super) next: Cell<Option<&'static Page>>,
    previous: Cell<Option<&'static Page>>,
    /// How many blocks there can be, and how many have been made.
    blocks: Cell<u16>,
    made: Cell<u16>,
    class: Cell<u8>,
    /// Of the first page of a block: how many pages of that are cold. Under the lock.
    pub(super) cold_in_block: Cell<u8>,
    /// Whether the page is in a list of full pages. Only the owner writes it.
    full: AtomicBool,
}

// SAFETY: cells are used by one thread at a time, as said above, and the owner changes under a lock.
unsafe impl Sync for Page {}

/// A page without blocks, owned by nobody, that is never written to: the current one of each class of a new heap.
pub(super) static NO_PAGE: Page = Page {
    door: Door {
        owner: AtomicPtr::new(ptr::null_mut()),
        returned: AtomicU32::new(NOTHING),
    },
    in_use: AtomicU32::new(0),
    block_bytes: Cell::new(0),
    free: Cell::new(None),
    next: Cell::new(None),
    previous: Cell::new(None),
    blocks: Cell::new(0),
    made: Cell::new(0),
    class: Cell::new(0),
    cold_in_block: Cell::new(0),
    full: AtomicBool::new(false),
};

impl Page {
    /// The page that a block is in.
    ///
    /// # Safety
    /// - `block` is a block of the slab, from [`Heap::alloc`], or the first byte of a page.
    #[inline(always)]
    pub(super) unsafe fn of(block: *mut u8) -> &'static Self {
        let page = block.map_addr(|address| {
            let index = address / PAGE_BYTES % REGION_PAGES;
            (address & !(REGION_BYTES - 1)) + index * size_of::<Self>()
        });
        // SAFETY: blocks lie in regions, whose beginning is an array of pages, zeros at first, never unmapped.
        unsafe { &*page.cast::<Self>() }
    }

    /// Where the blocks are.
    pub(super) fn memory(&self) -> *mut u8 {
        ptr::from_ref(self).cast_mut().cast::<u8>().map_addr(|address| {
            let index = address % REGION_BYTES / size_of::<Self>();
            (address & !(REGION_BYTES - 1)) + index * PAGE_BYTES
        })
    }

    /// Makes an empty page one of blocks of a class.
    pub(super) fn begin(&self, class_bytes: usize) {
        self.block_bytes.set(class_bytes as u32);
        self.class.set(class_of(class_bytes) as u8);
        self.blocks.set((PAGE_BYTES / class_bytes) as u16);
        self.made.set(0);
        self.free.set(None);
        self.in_use.store(0, Ordering::Relaxed);
        debug_assert!(!self.is_full() && block_bytes(class_bytes) == class_bytes);
    }

    pub(super) fn class(&self) -> usize {
        usize::from(self.class.get())
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn in_use(&self) -> u32 {
        self.in_use.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn set_in_use(&self, blocks: u32) {
        self.in_use.store(blocks, Ordering::Relaxed);
    }

    /// A free block, if there is one at hand.
    #[inline(always)]
    pub(super) fn pop(&self) -> Option<NonNull<u8>> {
        let block = self.free.get()?;
        // SAFETY: a free block's first word is initialised, and nobody else uses the block.
        self.free.set(unsafe { block.as_ref().next });
        self.set_in_use(self.in_use() + 1);
        Some(block.cast())
    }

    /// Takes a block back; 0 says that there is something to be done about the page.
    ///
    /// # Safety
    /// - The block is of this page, and nobody uses it again.
    /// - The caller owns the page.
    #[inline(always)]
    pub(super) unsafe fn push(&self, block: NonNull<u8>) -> u32 {
        let block = block.cast::<Block>();
        // SAFETY: a block has room for a word, is aligned to one, and nobody uses it.
        unsafe {
            block.write(Block { next: self.free.get() });
        }
        self.free.set(Some(block));
        let left = self.in_use() - 1;
        self.set_in_use(left);
        left
    }

    /// Takes a block back on a thread that does not own the page.
    ///
    /// # Safety
    /// - The block is of this page, and nobody uses it again.
    pub(super) unsafe fn put(&'static self, block: NonNull<u8>) -> Put {
        let memory = self.memory();
        let index = (block.addr().get() - memory.addr()) / 8;
        let may_be_last = |count| !self.is_full() && count >= self.in_use();
        self.door.put(index as u32, may_be_last, |next| {
            let next = next.map(|index| self.numbered(index));
            // SAFETY: a block has room for a word, is aligned to one, and nobody uses it.
            unsafe { block.cast::<Block>().write(Block { next }) }
        })
    }

    /// The block at so many words.
    fn numbered(&'static self, index: u32) -> NonNull<Block> {
        // SAFETY: an address within a mapping is not null.
        unsafe { NonNull::new_unchecked(self.memory().wrapping_add(index as usize * 8).cast()) }
    }

    /// Takes in what came back to the door, if anything has.
    pub(super) fn collect(&'static self) -> bool {
        let Some(returned) = self.door.take() else {
            return false;
        };
        debug_assert!(!self.is_full());
        let first = self.numbered(returned.first);
        match self.free.get() {
            None => self.free.set(Some(first)),
            // SAFETY: free blocks, whose first words are initialised and used by nobody else.
            Some(mut only) if unsafe { only.as_ref().next.is_none() } => unsafe {
                only.as_mut().next = Some(first);
            },
            free => {
                let mut last = first;
                // SAFETY: blocks of a list that `put` linked, ours since it was taken: `count` of them are there, and all
                // but the last have a next.
                unsafe {
                    for _ in 1..returned.count {
                        last = last.as_ref().next.unwrap_or(last);
                    }
                    last.as_mut().next = free;
                }
                self.free.set(Some(first));
            }
        }
        self.set_in_use(self.in_use() - returned.count);
        true
    }

    pub(super) fn has_free(&self) -> bool {
        self.free.get().is_some()
    }

    /// Makes the next few blocks, if there is room for more.
    pub(super) fn make(&'static self) {
        let (made, bytes) = (usize::from(self.made.get()), self.block_bytes.get() as usize);
        let end = (made * bytes + 1).next_multiple_of(KERNEL_PAGE_BYTES);
        let blocks = (end / bytes).max(made + 1).min(usize::from(self.blocks.get()));
        let memory = self.memory();
        let at = |index: usize| memory.wrapping_add(index * bytes).cast::<Block>();
        for index in (made..blocks).rev() {
            // SAFETY: within the page, aligned to a word, and not handed out; never null.
            unsafe {
                let block = NonNull::new_unchecked(at(index));
                block.write(Block { next: self.free.get() });
                self.free.set(Some(block));
            }
        }
        self.made.set(blocks as u16);
    }

    /// Says that no block is free, unless one has come back. All of them are in use then.
    pub(super) fn close(&self) -> bool {
        debug_assert!(self.free.get().is_none() && self.made.get() == self.blocks.get() && !self.is_full());
        if !self.door.close() {
            return false;
        }
        self.full.store(true, Ordering::Relaxed);
        self.set_in_use(1);
        true
    }

    /// Makes a full page, of which `freed` blocks have been pushed, an ordinary one again.
    pub(super) fn open(&'static self, freed: u32) {
        debug_assert!(self.is_full());
        self.full.store(false, Ordering::Relaxed);
        self.set_in_use(u32::from(self.blocks.get()) - freed);
        self.collect();
    }

    /// Of a full page with a new owner: whoever saw it without one may have taken from the door that it is full.
    pub(super) fn close_again(&'static self) -> bool {
        debug_assert!(self.is_full());
        loop {
            if self.door.close() {
                return true;
            }
            self.open(0);
            if self.has_free() {
                return false;
            }
            if self.close() {
                return true;
            }
        }
    }
}

/// Pages in an order, linked through them.
pub(super) struct List {
    first: Cell<Option<&'static Page>>,
    last: Cell<Option<&'static Page>>,
}

impl List {
    pub(super) const fn new() -> Self {
        Self {
            first: Cell::new(None),
            last: Cell::new(None),
        }
    }

    pub(super) fn first(&self) -> Option<&'static Page> {
        self.first.get()
    }

    pub(super) fn push(&self, page: &'static Page) {
        let last = self.last.replace(Some(page));
        page.previous.set(last);
        page.next.set(None);
        match last {
            Some(last) => last.next.set(Some(page)),
            None => self.first.set(Some(page)),
        }
    }

    pub(super) fn remove(&self, page: &'static Page) {
        let (previous, next) = (page.previous.take(), page.next.take());
        match previous {
            Some(previous) => previous.next.set(next),
            None => self.first.set(next),
        }
        match next {
            Some(next) => next.previous.set(previous),
            None => self.last.set(previous),
        }
    }

    pub(super) fn pop(&self) -> Option<&'static Page> {
        let page = self.first()?;
        self.remove(page);
        Some(page)
    }
}
