//! What threads have in common, under one lock: pages that nobody uses, pages that nobody owns, heaps without a thread.
//!
//! ```text
//!   regions ─► a page never used ─┐                        ┌─► its blocks are used ─► empty ─┬─► warm: memory kept, a few
//!                                 ├─► page of some heap ───┤                                 └─► cold: memory given back
//!   warm, cold ───────────────────┘                        └─► its thread ends ─► abandoned ─► adopted by another heap
//! ```
//!
//! The lock is taken once for a page of 64 KiB, and for moments.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::heap::Heap;
use super::page::{List, PAGE_BYTES, Page, REGION_BYTES, REGION_PAGES};
use crate::size::CLASSES;

/// Memory of empty pages is kept up to this share of those in use, and up to this number.
const WARM_SHARE: usize = 512;
const WARM_PAGES: usize = 4;

struct Shared {
    warm: List,
    warm_pages: usize,
    cold: List,
    /// Pages of heaps.
    pages: usize,
    /// The youngest region, and how many of its pages have been used.
    region: *mut u8,
    used: usize,
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
    pages: 0,
    region: ptr::null_mut(),
    used: REGION_PAGES,
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
    fn take_empty(&mut self) -> Option<&'static Page> {
        if let Some(page) = self.warm.pop() {
            self.warm_pages -= 1;
            return Some(page);
        }
        if let Some(page) = self.cold.pop() {
            return Some(page);
        }
        if self.used == REGION_PAGES {
            self.region = map_region()?;
            // The first is where pages are described.
            self.used = 1;
        }
        let memory = self.region.wrapping_add(self.used * PAGE_BYTES);
        self.used += 1;
        // SAFETY: the beginning of a page in a region.
        Some(unsafe { Page::of(memory) })
    }

    fn abandoned(&self, page: &Page) -> &List {
        if page.is_full() {
            &self.abandoned_full
        } else {
            &self.abandoned[page.class()]
        }
    }
}

/// Zeros, aligned to their size.
fn map_region() -> Option<*mut u8> {
    const SPARE: usize = REGION_BYTES - PAGE_BYTES;
    let (access, flags) = (
        ProtFlags::READ | ProtFlags::WRITE,
        MapFlags::PRIVATE | MapFlags::NORESERVE,
    );
    // SAFETY: new mappings, at an address that the kernel chooses; the ends that are unmapped nobody has seen.
    unsafe {
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
        Some(region)
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
            let page = shared.take_empty()?;
            page.begin(class_bytes);
            page
        }
    };
    shared.pages += 1;
    page.door.pass_to(ptr::from_ref(heap).cast_mut());
    Some(page)
}

/// Makes `heap` the owner of a page that has none; false if another was faster.
pub(super) fn adopt(page: &'static Page, heap: &'static Heap) -> bool {
    let mut shared = lock();
    if !page.door.owner().is_null() {
        return false;
    }
    shared.abandoned(page).remove(page);
    shared.pages += 1;
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
    let mut shared = lock();
    shared.pages -= 1;
    page.door.pass_to(ptr::null_mut());
    shared.abandoned(page).push(page);
}

/// Takes an empty page from its owner, who calls this and has it in no list.
pub(super) fn give_back(page: &'static Page) {
    let mut shared = lock();
    shared.pages -= 1;
    page.door.pass_to(ptr::null_mut());
    if shared.warm_pages < WARM_PAGES.max(shared.pages / WARM_SHARE) {
        shared.warm_pages += 1;
        shared.warm.push(page);
        return;
    }
    drop(shared);
    cool(page);
    lock().cold.push(page);
}

/// Gives the memory of empty pages back to the kernel, of so many at most.
pub(super) fn cool_some(pages: usize) {
    for _ in 0..pages {
        let mut shared = lock();
        let Some(page) = shared.warm.pop() else { return };
        shared.warm_pages -= 1;
        drop(shared);
        cool(page);
        lock().cold.push(page);
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
            let mut shared = lock();
            let list = shared.abandoned.get(class).unwrap_or(&shared.abandoned_full);
            let Some(page) = returned(list) else { break };
            list.remove(page);
            shared.pages += 1;
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
