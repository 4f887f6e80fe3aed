//! What threads have in common, under one lock: pages that nobody uses, pages that nobody owns, heaps without a thread.
//!
//! ```text
//!   fresh memory ─► a page ─┐                        ┌─► its blocks are used ─► empty ─┬─► warm: memory kept, a few
//!                           ├─► page of some heap ───┤                                 └─► cold: memory given back
//!   warm, cold ─────────────┘                        └─► its thread ends ─► abandoned ─► adopted by another heap
//! ```
//!
//! The lock is taken once for a page of 64 KiB, and for moments.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::fresh::{Block, Fresh};
use super::heap::Heap;
use super::page::{List, PAGE_BYTES, Page};
use crate::size::CLASSES;

/// Memory of empty pages is kept up to this share of those in use, and up to this number.
const WARM_SHARE: usize = 512;
const WARM_PAGES: usize = 4;

/// So many pages make a class one with many: what is unused of the last one is little beside them.
const MANY_PAGES: u32 = 64;

/// A huge page is begun although there are cold pages if those are at most this share of what is in use.
const COLD_SHARE: usize = 8;

struct Shared {
    warm: List,
    warm_pages: usize,
    cold: List,
    cold_pages: usize,
    fresh: Fresh,
    /// Pages that are neither empty nor fresh, and of them those of each class.
    pages: usize,
    class_pages: [u32; CLASSES],
    abandoned: [List; CLASSES],
    abandoned_full: List,
    idle: Cell<Option<&'static Heap>>,
}

// SAFETY: lists and cells are used under the lock alone.
unsafe impl Send for Shared {}

static SHARED: Mutex<Shared> = Mutex::new(Shared {
    warm: List::new(),
    warm_pages: 0,
    cold: List::new(),
    cold_pages: 0,
    fresh: Fresh::new(),
    pages: 0,
    class_pages: [0; CLASSES],
    abandoned: [const { List::new() }; CLASSES],
    abandoned_full: List::new(),
    idle: Cell::new(None),
});

/// All heaps, those without a thread included.
static HEAPS: AtomicPtr<Heap> = AtomicPtr::new(ptr::null_mut());

fn lock() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// An empty page, for blocks of a class.
    fn take_empty(&mut self, class: usize) -> Option<&'static Page> {
        if let Some(page) = self.warm.pop() {
            self.warm_pages -= 1;
            return Some(page);
        }
        if self.class_pages[class] >= MANY_PAGES
            && self.cold_pages * COLD_SHARE <= self.pages
            && let Some(page) = self.fresh.take_huge()
        {
            return Some(page);
        }
        if let Some(page) = self.cold.pop() {
            self.cold_pages -= 1;
            Block::of(page).count_cold(-1);
            return Some(page);
        }
        self.fresh.take_plain()
    }

    /// Takes a page without memory.
    fn put_cold(&mut self, page: &'static Page) {
        self.cold.push(page);
        self.cold_pages += 1;
        let block = Block::of(page);
        if block.count_cold(1) {
            for page in block.pages() {
                self.cold.remove(page);
                self.cold_pages -= 1;
                block.count_cold(-1);
            }
            self.fresh.put_block(block);
        }
    }

    /// Gives back what is resident and no page: if nobody seems to need it, or in any case.
    fn rest(&mut self, in_any_case: bool) {
        let mut left = self.fresh.rest(if in_any_case { None } else { Some(self.pages) });
        while let Some(page) = left.take_page() {
            self.put_cold(page);
        }
    }

    fn abandoned(&self, page: &Page) -> &List {
        if page.is_full() {
            &self.abandoned_full
        } else {
            &self.abandoned[page.class()]
        }
    }
}

/// Gives the memory of an empty page back to the kernel.
fn cool(page: &'static Page) {
    // SAFETY: the page is the caller's alone, nothing in it is in use, and it reads as zeros from now on.
    let _ = unsafe { rustix::mm::madvise(page.memory().cast(), PAGE_BYTES, Advice::LinuxDontNeed) };
}

/// A page for `heap` with room for blocks of a class: one that was abandoned, or an empty one.
pub(super) fn page(heap: &'static Heap, class: usize, class_bytes: usize) -> Option<&'static Page> {
    let mut shared = lock();
    let page = match shared.abandoned[class].pop() {
        Some(page) => page,
        None => {
            let page = shared.take_empty(class)?;
            shared.pages += 1;
            shared.class_pages[class] += 1;
            page.begin(class_bytes);
            page
        }
    };
    page.door.pass_to(ptr::from_ref(heap).cast_mut());
    Some(page)
}

/// Makes `heap` the owner of a page that has none; false if another was faster.
pub(super) fn adopt(page: &'static Page, heap: &'static Heap) -> bool {
    let shared = lock();
    if !page.door.owner().is_null() {
        return false;
    }
    shared.abandoned(page).remove(page);
    page.door.pass_to(ptr::from_ref(heap).cast_mut());
    true
}

/// Takes a page from its owner, who calls this and has it in no list.
pub(super) fn abandon(page: &'static Page) {
    if !page.is_full() {
        page.collect();
        if page.in_use() == 0 {
            give_back(page);
            return;
        }
    }
    let shared = lock();
    page.door.pass_to(ptr::null_mut());
    shared.abandoned(page).push(page);
}

/// Takes an empty page from its owner, who calls this and has it in no list.
pub(super) fn give_back(page: &'static Page) {
    let mut shared = lock();
    shared.pages -= 1;
    shared.class_pages[page.class()] -= 1;
    page.door.pass_to(ptr::null_mut());
    if shared.warm_pages < WARM_PAGES.max(shared.pages / WARM_SHARE) {
        shared.warm_pages += 1;
        shared.warm.push(page);
        return;
    }
    drop(shared);
    cool(page);
    lock().put_cold(page);
}

/// Gives back memory that is resident and no page: what seems not to be needed soon, or all of it.
pub(super) fn rest(all: bool) {
    lock().rest(all);
}

/// Bytes that are resident and no page.
#[cfg(test)]
pub(super) fn bytes_beyond_need() -> usize {
    lock().fresh.bytes_beyond_need()
}

/// Prepares blocks whenever they will be needed, until the process ends. Returns if another thread does already.
pub(super) fn prepare_blocks() {
    if !lock().fresh.set_preparer(thread::current()) {
        return;
    }
    loop {
        let block = lock().fresh.begin_preparing();
        match block {
            Some(block) => {
                block.populate();
                lock().fresh.end_preparing(block);
            }
            None => thread::park(),
        }
    }
}

/// Gives the memory of empty pages back to the kernel, of so many at most.
pub(super) fn cool_some(pages: usize) {
    for _ in 0..pages {
        let mut shared = lock();
        let Some(page) = shared.warm.pop() else { return };
        shared.warm_pages -= 1;
        drop(shared);
        cool(page);
        lock().put_cold(page);
    }
}

/// Adopts the pages that nobody owns and that seem to be empty, or have blocks that came back.
pub(super) fn adopt_returned(heap: &'static Heap, mut take_in: impl FnMut(&'static Page)) {
    let returned = |list: &List| {
        let mut at = list.first();
        while let Some(page) = at {
            if page.door.has_returned() {
                return Some(page);
            }
            at = page.next.get();
        }
        None
    };
    for class in 0..=CLASSES {
        loop {
            let shared = lock();
            let list = shared.abandoned.get(class).unwrap_or(&shared.abandoned_full);
            let Some(page) = returned(list) else { break };
            list.remove(page);
            page.door.pass_to(ptr::from_ref(heap).cast_mut());
            drop(shared);
            take_in(page);
        }
    }
}

/// A heap for a thread.
pub(super) fn heap() -> Option<&'static Heap> {
    let shared = lock();
    if let Some(heap) = shared.idle.get() {
        shared.idle.set(heap.next_idle.take());
        return Some(heap);
    }
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: a new mapping at an address that the kernel chooses, aligned to a page of it, which is more than a heap's
    // alignment; never unmapped.
    let heap = unsafe {
        let memory = rustix::mm::mmap_anonymous(ptr::null_mut(), size_of::<Heap>(), access, flags).ok()?;
        let heap = memory.cast::<Heap>();
        heap.write(Heap::new());
        &*heap
    };
    heap.next.store(HEAPS.load(Ordering::Relaxed), Ordering::Relaxed);
    HEAPS.store(ptr::from_ref(heap).cast_mut(), Ordering::Release);
    Some(heap)
}

/// Keeps a heap for the next thread.
pub(super) fn keep(heap: &'static Heap) {
    let shared = lock();
    heap.next_idle.set(shared.idle.replace(Some(heap)));
}

/// All heaps there are.
pub(super) fn heaps() -> impl Iterator<Item = &'static Heap> {
    // SAFETY: heaps are written before they are put here, and never unmapped.
    let deref = |heap: *mut Heap| unsafe { heap.as_ref() };
    let first = deref(HEAPS.load(Ordering::Acquire));
    std::iter::successors(first, move |heap| deref(heap.next.load(Ordering::Relaxed)))
}
