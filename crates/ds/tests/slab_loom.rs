//! The protocol by which blocks come back to a page from other threads, and by which a page changes its owner, in every
//! interleaving.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p skein-ds --test slab_loom`
#![cfg(loom)]

mod atomics {
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
}

#[path = "../src/slab/door.rs"]
mod door;

use door::{Door, NOTHING, Put};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};

const BLOCKS: u32 = 3;

/// A heap, of which only what others tell it matters. As a pointer it is what doors know of owners.
#[derive(Default)]
struct Heap {
    told: Mutex<Vec<u32>>,
}

/// As `slab::page::Page`: loom reports any access to cells that another does not happen before or after.
struct Page {
    door: Door<Heap>,
    in_use: AtomicU32,
    full: AtomicBool,
    free: UnsafeCell<Vec<u32>>,
    next: [UnsafeCell<Option<u32>>; BLOCKS as usize],
    lock: Mutex<()>,
}

impl Page {
    /// All blocks are in use, and it says that it is full.
    fn full_of(owner: &Arc<Heap>) -> Arc<Self> {
        let page = Self {
            door: Door {
                owner: AtomicPtr::new(address(owner)),
                returned: AtomicU32::new(NOTHING),
            },
            in_use: AtomicU32::new(BLOCKS),
            full: AtomicBool::new(false),
            free: UnsafeCell::new(Vec::new()),
            next: [(); BLOCKS as usize].map(|()| UnsafeCell::new(None)),
            lock: Mutex::new(()),
        };
        assert!(page.close());
        Arc::new(page)
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn close(&self) -> bool {
        if !self.door.close() {
            return false;
        }
        self.full.store(true, Ordering::Relaxed);
        self.in_use.store(1, Ordering::Relaxed);
        true
    }

    fn free_blocks(&self) -> usize {
        // SAFETY: loom checks it.
        self.free.with(|free| unsafe { (*free).len() })
    }

    /// As `Page::push` and what `Heap::attend` does for a full page.
    fn push(&self, block: u32) {
        // SAFETY: loom checks it.
        self.free.with_mut(|free| unsafe { (*free).push(block) });
        let left = self.in_use.load(Ordering::Relaxed) - 1;
        self.in_use.store(left, Ordering::Relaxed);
        if left == 0 && self.is_full() {
            self.open(1);
        }
    }

    fn open(&self, freed: u32) {
        self.full.store(false, Ordering::Relaxed);
        self.in_use.store(BLOCKS - freed, Ordering::Relaxed);
        self.collect();
    }

    fn collect(&self) {
        let Some(returned) = self.door.take() else { return };
        let mut block = returned.first;
        for rest in (0..returned.count).rev() {
            // SAFETY: loom checks both.
            self.free.with_mut(|free| unsafe { (*free).push(block) });
            let next = self.next[block as usize].with(|next| unsafe { *next });
            assert_eq!(next.is_some(), rest > 0, "as many blocks as were counted");
            block = next.unwrap_or(block);
        }
        let left = self.in_use.load(Ordering::Relaxed) - returned.count;
        self.in_use.store(left, Ordering::Relaxed);
    }

    fn put(&self, block: u32) -> Put {
        let may_be_last = |count| !self.is_full() && count >= self.in_use.load(Ordering::Relaxed);
        self.door.put(block, may_be_last, |next| {
            // SAFETY: loom checks it.
            self.next[block as usize].with_mut(|cell| unsafe { *cell = next });
        })
    }

    /// As `Heap::free_of_others`.
    fn free(&self, block: u32, heap: &Arc<Heap>) {
        loop {
            let owner = self.door.owner();
            if owner.is_null() {
                self.adopt(heap);
                continue;
            }
            if owner == address(heap) {
                self.push(block);
                return self.collect();
            }
            if self.put(block) == Put::Left {
                return;
            }
            // SAFETY: heaps outlive the model's threads.
            if let Some(owner) = unsafe { self.door.owner().as_ref() } {
                return owner.told.lock().unwrap().push(block);
            }
        }
    }

    fn adopt(&self, heap: &Arc<Heap>) {
        let guard = self.lock.lock().unwrap();
        if !self.door.owner().is_null() {
            return;
        }
        self.door.pass_to(address(heap));
        drop(guard);
        if self.is_full() {
            while !self.door.close() {
                self.open(0);
                if self.free_blocks() > 0 || self.close() {
                    return;
                }
            }
        } else {
            self.collect();
        }
    }

    /// As `Heap::let_go`.
    fn let_go(&self, heap: &Arc<Heap>) {
        self.hear(heap, heap);
        if !self.is_full() {
            self.collect();
        }
        let _guard = self.lock.lock().unwrap();
        self.door.pass_to(std::ptr::null_mut());
    }

    fn hear(&self, told: &Arc<Heap>, heap: &Arc<Heap>) {
        let told = std::mem::take(&mut *told.told.lock().unwrap());
        told.into_iter().for_each(|block| self.free(block, heap));
    }
}

fn address(heap: &Arc<Heap>) -> *mut Heap {
    std::ptr::from_ref::<Heap>(heap).cast_mut()
}

fn heaps<const N: usize>() -> [Arc<Heap>; N] {
    [(); N].map(|()| Arc::new(Heap::default()))
}

/// Interleavings with up to so many switches of a thread that could have gone on.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Two threads with these heaps free the first two blocks.
fn free_beside(page: &Arc<Page>, heaps: [&Arc<Heap>; 2]) -> [loom::thread::JoinHandle<()>; 2] {
    let mut block = 0..;
    heaps.map(|heap| {
        let (page, heap, block) = (page.clone(), heap.clone(), block.next().unwrap());
        loom::thread::spawn(move || page.free(block, &heap))
    })
}

/// Two threads free blocks of a full page, and its owner one. It hears of them without looking at the page.
#[test]
fn a_full_page_hears_of_what_comes_back() {
    model(|| {
        let [owner, one, two] = heaps();
        let page = Page::full_of(&owner);
        let threads = free_beside(&page, [&one, &two]);
        page.free(2, &owner);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        page.hear(&owner, &owner);
        assert!(!page.is_full());
        // What came while the page was open may wait at the door.
        page.collect();
        assert!(!page.door.has_returned());
        assert_eq!((page.free_blocks(), page.in_use.load(Ordering::Relaxed)), (3, 0));
    });
}

/// The same without the owner freeing anything.
#[test]
fn a_page_stays_full_for_no_longer_than_it_is() {
    model(|| {
        let [owner, one, two] = heaps();
        let page = Page::full_of(&owner);
        let threads = free_beside(&page, [&one, &two]);
        page.hear(&owner, &owner);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        page.hear(&owner, &owner);
        assert!(!page.is_full(), "told of at least one");
        page.collect();
        assert_eq!((page.free_blocks(), page.in_use.load(Ordering::Relaxed)), (2, 1));
    });
}

/// A page is closed while a block comes back: either it does not close, or its owner is told.
#[test]
fn closing_beside_a_free() {
    model(|| {
        let [owner, other] = heaps();
        let page = Page::full_of(&owner);
        page.open(0);
        let thread = {
            let page = page.clone();
            loom::thread::spawn(move || page.free(0, &other))
        };
        if !page.close() {
            page.collect();
            assert_eq!(page.free_blocks(), 1);
        }
        thread.join().unwrap();
        page.hear(&owner, &owner);
        assert!(!page.is_full());
        assert_eq!((page.free_blocks(), page.in_use.load(Ordering::Relaxed)), (1, 2));
    });
}

/// The owner gives the page up while two others free blocks: one of them, or both in turn, find nobody and adopt it. In the
/// end no block is lost, and a full page is one of which nothing was freed.
#[test]
fn a_page_is_abandoned_while_blocks_come_back() {
    model(|| {
        let [owner, one, two] = heaps();
        let page = Page::full_of(&owner);
        let threads = free_beside(&page, [&one, &two]);
        page.let_go(&owner);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // Told may be any of them, the first owner too late.
        let last = [&owner, &one, &two]
            .into_iter()
            .find(|heap| address(heap) == page.door.owner());
        let heap = last.cloned().unwrap_or_else(|| {
            page.adopt(&owner);
            owner.clone()
        });
        for told in [&owner, &one, &two] {
            page.hear(told, &heap);
        }
        assert!(!page.is_full());
        page.collect();
        assert_eq!((page.free_blocks(), page.in_use.load(Ordering::Relaxed)), (2, 1));
    });
}
