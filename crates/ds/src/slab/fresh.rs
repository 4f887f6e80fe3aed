//! Memory in which no page is in use, and how it becomes pages.
//!
//! ```text
//!   region ─► blocks of 2 MiB ─┬─► plain      comes in pieces of 4 KiB as each is touched    ─► classes with few pages
//!   64 MiB         ▲           └─► prepared   one huge page, there before anybody needs it   ─► classes with many
//!                  └── all pages of a block are cold again
//! ```
//!
//! A huge page takes one entry of a TLB where small ones take 512, and TLBs are what a look-up in a large table waits for.
//! But to clear one takes a tenth of a millisecond and more, and whoever touches it first stands still meanwhile. So another
//! thread does that ([`super::prepare_blocks`]), when the block before is nearly used up. Where it comes too late, plain
//! blocks serve.
//!
//! What has been prepared is resident, needed or not. So classes with few pages, of whose last one most may stay unused, get
//! plain ones; and when nobody needs more, [`Fresh::rest`] gives the remainder back. The kernel is asked for huge pages while
//! a block is being prepared and at no other time: it clears none on the engine's thread, and puts no small ones together
//! later.

use std::ptr;
use std::sync::OnceLock;
use std::thread::Thread;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::page::{List, PAGE_BYTES, Page, REGION_BYTES};

/// A huge page of the processor.
const BLOCK_BYTES: usize = 2 * 1024 * 1024;

/// The next block is prepared when so many pages are left of the one before: a few milliseconds ahead at the fastest.
const LEFT_WHEN_ASKED: usize = 4;

/// What is resident beyond need is kept if it is at most so small a share of what is in use.
const KEPT_SHARE: usize = 256;

const _: () = assert!(REGION_BYTES.is_multiple_of(BLOCK_BYTES) && BLOCK_BYTES.is_multiple_of(PAGE_BYTES));

/// Memory in which no page is in use. Under the lock.
pub(super) struct Fresh {
    /// The rest of the youngest region, never used.
    region: Span,
    /// Blocks that were used and have no memory now, by their first page.
    blocks: List,
    plain: Span,
    huge: Span,
    /// The next `huge`.
    prepared: Option<Span>,
    /// Who prepares blocks, once somebody does.
    preparer: OnceLock<Thread>,
    /// The preparer was told that a block is needed, and has none ready yet.
    asked: bool,
    /// Whether prepared memory was taken since the last [`Self::rest`].
    taken: bool,
}

// SAFETY: used under the lock alone.
unsafe impl Send for Fresh {}

impl Fresh {
    pub(super) const fn new() -> Self {
        Self {
            region: Span::EMPTY,
            blocks: List::new(),
            plain: Span::EMPTY,
            huge: Span::EMPTY,
            prepared: None,
            preparer: OnceLock::new(),
            asked: false,
            taken: false,
        }
    }

    /// A page of a huge one, if there is one ready; sees to it that there will be.
    pub(super) fn take_huge(&mut self) -> Option<&'static Page> {
        let preparer = self.preparer.get()?;
        if self.huge.bytes == 0 {
            self.huge = self.prepared.take().unwrap_or(Span::EMPTY);
        }
        let page = self.huge.take_page();
        if self.huge.bytes <= LEFT_WHEN_ASKED * PAGE_BYTES && self.prepared.is_none() && !self.asked {
            self.asked = true;
            preparer.unpark();
        }
        self.taken |= page.is_some();
        page
    }

    pub(super) fn take_plain(&mut self) -> Option<&'static Page> {
        if self.plain.bytes == 0 {
            self.plain = self.take_block()?;
        }
        self.plain.take_page()
    }

    fn take_block(&mut self) -> Option<Span> {
        if let Some(first) = self.blocks.pop() {
            return Some(Span::of_block(first));
        }
        if self.region.bytes == 0 {
            self.region = map_region()?;
            // Where pages are described.
            self.region.take(PAGE_BYTES);
        }
        self.region.take(bytes_to_boundary(self.region.start))
    }

    /// Takes a block of which [`Block::pages`] are all without memory, in no list and not in use.
    pub(super) fn put_block(&mut self, block: Block) {
        self.blocks.push(block.first);
    }

    /// The calling thread prepares blocks from now on; false if another does.
    pub(super) fn set_preparer(&mut self, thread: Thread) -> bool {
        self.preparer.set(thread).is_ok()
    }

    /// A block to be prepared, if one is needed.
    pub(super) fn begin_preparing(&mut self) -> Option<Span> {
        if !self.asked {
            return None;
        }
        let block = self.take_block();
        // Without memory for a region there is nothing to be done, until somebody asks again.
        self.asked = block.is_some();
        block
    }

    pub(super) fn end_preparing(&mut self, block: Span) {
        self.prepared = Some(block);
        self.asked = false;
    }

    pub(super) fn bytes_beyond_need(&self) -> usize {
        self.huge.bytes + self.prepared.map_or(0, |block| block.bytes)
    }

    /// Gives back what is resident and no page, if none of it was taken since the last call and it is not little beside
    /// `pages` in use; in any case if those are not told. What is left of a block begun becomes the caller's, without memory.
    pub(super) fn rest(&mut self, pages: Option<usize>) -> Span {
        let needed = std::mem::take(&mut self.taken);
        let is_little = |pages| self.bytes_beyond_need() * KEPT_SHARE <= pages * PAGE_BYTES;
        if pages.is_some_and(|pages| needed || is_little(pages)) {
            return Span::EMPTY;
        }
        if let Some(mut block) = self.prepared.take() {
            block.advise(Advice::LinuxDontNeed);
            block.take_page().into_iter().for_each(|first| self.blocks.push(first));
        }
        self.huge.advise(Advice::LinuxDontNeed);
        std::mem::replace(&mut self.huge, Span::EMPTY)
    }
}

/// Memory of the slab's, mapped for good, that nobody uses.
#[derive(Clone, Copy)]
pub(super) struct Span {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: memory that nobody uses may be anybody's.
unsafe impl Send for Span {}

impl Span {
    const EMPTY: Self = Self {
        start: ptr::null_mut(),
        bytes: 0,
    };

    fn of_block(first: &'static Page) -> Self {
        let start = first.memory();
        Self {
            start,
            bytes: bytes_to_boundary(start),
        }
    }

    /// So many bytes of the beginning, or all there are; none of nothing.
    fn take(&mut self, bytes: usize) -> Option<Self> {
        let bytes = bytes.min(self.bytes);
        let taken = Self {
            start: self.start,
            bytes,
        };
        self.start = self.start.wrapping_add(bytes);
        self.bytes -= bytes;
        (bytes > 0).then_some(taken)
    }

    pub(super) fn take_page(&mut self) -> Option<&'static Page> {
        let page = self.take(PAGE_BYTES)?;
        // SAFETY: the beginning of a page in a region.
        Some(unsafe { Page::of(page.start) })
    }

    fn advise(self, advice: Advice) {
        // SAFETY: mapped for good and used by nobody: what is dropped reads as zeros from then on. A kernel that does not
        // know an advice changes nothing.
        let _ = unsafe { rustix::mm::madvise(self.start.cast(), self.bytes, advice) };
    }

    /// Has the memory there at once, in a huge page if the kernel has one.
    pub(super) fn populate(self) {
        // Of a block that was used, a table of small pages is left, which would be in the way. Linux from 6.14 on gives it up
        // with the memory of all 2 MiB; before, such a block gets small pages again.
        self.advise(Advice::LinuxDontNeed);
        self.advise(Advice::LinuxHugepage);
        self.advise(Advice::LinuxPopulateWrite);
        self.advise(Advice::LinuxNoHugepage);
    }
}

/// The pages that one huge page would hold.
pub(super) struct Block {
    first: &'static Page,
}

impl Block {
    /// The block that a page is of.
    pub(super) fn of(page: &Page) -> Self {
        let memory = page.memory();
        let before = memory.addr() % BLOCK_BYTES;
        let mut start = memory.wrapping_sub(before);
        if start.addr().is_multiple_of(REGION_BYTES) {
            // Behind where pages are described.
            start = start.wrapping_add(PAGE_BYTES);
        }
        // SAFETY: the beginning of a page in a region.
        let first = unsafe { Page::of(start) };
        Self { first }
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = &'static Page> + use<> {
        let mut span = Span::of_block(self.first);
        std::iter::from_fn(move || span.take_page())
    }

    /// Counts how many of the pages are cold; true if all are now.
    pub(super) fn count_cold(&self, change: i8) -> bool {
        let cold = self.first.cold_in_block.get().wrapping_add_signed(change);
        self.first.cold_in_block.set(cold);
        usize::from(cold) == Span::of_block(self.first).bytes / PAGE_BYTES
    }
}

fn bytes_to_boundary(start: *mut u8) -> usize {
    BLOCK_BYTES - start.addr() % BLOCK_BYTES
}

/// Zeros, aligned to their size.
fn map_region() -> Option<Span> {
    const SPARE: usize = REGION_BYTES - PAGE_BYTES;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: new mappings, at an address that the kernel chooses; the ends that are unmapped nobody has seen.
    let region = unsafe {
        let start = rustix::mm::mmap_anonymous(ptr::null_mut(), REGION_BYTES + SPARE, access, flags).ok()?;
        let start = start.cast::<u8>();
        let before = start.addr().next_multiple_of(REGION_BYTES) - start.addr();
        let region = start.wrapping_add(before);
        if before > 0 {
            let _ = rustix::mm::munmap(start.cast(), before);
        }
        if before < SPARE {
            let _ = rustix::mm::munmap(region.wrapping_add(REGION_BYTES).cast(), SPARE - before);
        }
        region
    };
    let region = Span {
        start: region,
        bytes: REGION_BYTES,
    };
    region.advise(Advice::LinuxNoHugepage);
    Some(region)
}
