//! The slab against its promises: blocks are apart and keep what is written, whoever frees them, and memory comes back.
#![allow(clippy::disallowed_methods, reason = "what threads do to each other takes threads")]

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use base::Rng;

use super::heap::Heap;
use super::page::{PAGE_BYTES, Page};
use super::*;
use crate::size::{SMALL_BYTES_MAX, block_bytes};

/// Tests of one process share pages: each would see what the others do.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A block filled with a pattern of its own; dropping it checks the pattern and frees the block.
struct Filled {
    block: *mut u8,
    bytes: usize,
    pattern: u64,
}

// SAFETY: a block may be freed on any thread.
unsafe impl Send for Filled {}

impl Filled {
    fn new(bytes: usize, pattern: u64) -> Self {
        let block = alloc(bytes);
        assert!(
            !block.is_null() && block.addr().is_multiple_of(8),
            "a block at {block:?}"
        );
        let filled = Self { block, bytes, pattern };
        for at in 0..bytes {
            // SAFETY: within the block, which is this one's alone.
            unsafe { block.add(at).write(filled.byte(at)) };
        }
        filled
    }

    fn byte(&self, at: usize) -> u8 {
        (self.pattern.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 8 * 8)) as u8 ^ at as u8
    }

    fn page(&self) -> &'static Page {
        // SAFETY: a block of the slab.
        unsafe { Page::of(self.block) }
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        for at in 0..self.bytes {
            // SAFETY: within the block, all of which is written.
            let byte = unsafe { self.block.add(at).read() };
            assert_eq!(byte, self.byte(at), "byte {at} of {}", self.bytes);
        }
        // SAFETY: from `alloc`, and not used again.
        unsafe { free(self.block) };
    }
}

/// Bytes of this thread's heap, which may have been another's before.
fn mine() -> i64 {
    count(0);
    HEAP.get().bytes()
}

fn random_bytes(rng: &mut Rng) -> usize {
    let most = [16, 64, 300, 1000, SMALL_BYTES_MAX][rng.below(5) as usize];
    rng.below(most as u64) as usize + 1
}

#[test]
fn blocks_keep_what_is_written_and_all_is_counted() {
    let _alone = alone();
    for seed in 0..4 {
        let mut rng = Rng::new(seed);
        let before = mine();
        let mut all: Vec<Filled> = Vec::new();
        let mut expected = 0;
        for step in 0..30_000 {
            let grows = rng.chance(if step / 5000 % 2 == 0 { 7 } else { 3 }, 10);
            if grows || all.is_empty() {
                let filled = Filled::new(random_bytes(&mut rng), step);
                expected += block_bytes(filled.bytes) as i64;
                all.push(filled);
            } else {
                let filled = all.swap_remove(rng.below(all.len() as u64) as usize);
                expected -= block_bytes(filled.bytes) as i64;
            }
            assert_eq!(mine() - before, expected);
        }
        drop(all);
        assert_eq!(mine(), before);
    }
}

#[test]
fn a_page_holds_as_many_blocks_as_fit_and_is_used_again_when_empty() {
    let _alone = alone();
    for bytes in [8, 24, 232, 520, 1000, 2048, 4096] {
        // What others left empty would be used first.
        purge();
        let class = block_bytes(bytes);
        let most = PAGE_BYTES / class;
        let blocks: Vec<_> = (0..3 * most as u64).map(|n| Filled::new(bytes, n)).collect();
        let pages: BTreeSet<usize> = blocks
            .iter()
            .map(|filled| ptr::from_ref(filled.page()).addr())
            .collect();
        assert!((3..=4).contains(&pages.len()), "{} pages of {class}", pages.len());
        drop(blocks);
        let again: Vec<_> = (0..3 * most as u64).map(|n| Filled::new(bytes, n)).collect();
        let (full, of) = (again[0].page().is_full(), again.len() / most);
        assert!(full && of == 3);
        let pages_again: BTreeSet<usize> = again.iter().map(|filled| ptr::from_ref(filled.page()).addr()).collect();
        assert!(
            pages_again.intersection(&pages).count() >= 2,
            "empty pages are used again"
        );
    }
}

/// What is freed elsewhere comes back to its owner without another page being asked for, even in pages that were full.
#[test]
fn blocks_freed_by_another_thread_come_back() {
    let _alone = alone();
    let count = 5 * PAGE_BYTES as u64 / 64;
    let mut pages = BTreeSet::new();
    for round in 0..10 {
        let blocks: Vec<_> = (0..count).map(|n| Filled::new(64, n + round)).collect();
        pages.extend(blocks.iter().map(|filled| ptr::from_ref(filled.page()).addr()));
        let owner = blocks[0].page().door.owner();
        assert!(ptr::eq(owner, HEAP.get()));
        thread::spawn(move || drop(blocks)).join().unwrap();
        settle();
    }
    // Without coming back it would be fifty.
    assert!(pages.len() <= 15, "{} pages", pages.len());
}

/// A page whose last blocks another thread frees goes back, though its owner takes nothing from it: the replica of a full
/// sync once kept what the dataset of before had, a little more each time.
#[test]
fn pages_emptied_by_another_thread_go_back() {
    let _alone = alone();
    let mut blocks: Vec<_> = (0..6 * PAGE_BYTES as u64 / 64).map(|n| Filled::new(64, n)).collect();
    // The first of each page: none is full any more.
    let mut seen = BTreeSet::new();
    blocks.retain(|filled| !seen.insert(ptr::from_ref(filled.page()).addr()));
    let pages: Vec<_> = blocks.iter().map(Filled::page).collect();
    thread::spawn(move || drop(blocks)).join().unwrap();
    settle();
    let mut kept: Vec<_> = pages.iter().filter(|page| !page.door.owner().is_null()).collect();
    kept.dedup_by_key(|page| ptr::from_ref(**page));
    assert!(kept.len() <= 1, "{} pages kept beside the one at hand", kept.len());
}

/// A dataset that another thread built belongs to whoever frees it, and its free blocks to whoever needs some.
#[test]
fn pages_of_a_thread_that_ended_are_adopted() {
    let _alone = alone();
    let built = thread::spawn(|| {
        let mut blocks: Vec<_> = (0..5000).map(|n| Filled::new(88, n)).collect();
        // Some of the last page are free.
        blocks.truncate(4900);
        blocks
    });
    let mut blocks = built.join().unwrap();
    assert!(blocks.iter().all(|filled| filled.page().door.owner().is_null()));
    let last = blocks[4899].page();
    let more = Filled::new(88, 1);
    assert!(ptr::eq(more.page(), last), "the free blocks of an abandoned page first");
    assert!(ptr::eq(last.door.owner(), HEAP.get()));
    drop(blocks.remove(0));
    assert!(
        ptr::eq(blocks[0].page().door.owner(), HEAP.get()),
        "adopted by the free"
    );
    let before = mine();
    let freed = blocks.len() as i64 * 88;
    drop(blocks);
    assert_eq!(before - mine(), freed);
}

/// A thread that has let go and frees what is left of its pages has nothing in the end.
#[test]
fn a_thread_lets_go_and_another_finds_its_pages() {
    let _alone = alone();
    let (sender, receiver) = mpsc::channel::<Vec<Filled>>();
    let (done, wait) = mpsc::channel();
    let worker = thread::spawn(move || {
        for blocks in receiver {
            drop(blocks);
            let_go();
            done.send(()).unwrap();
        }
    });
    let mut rest = Vec::new();
    for round in 0..20 {
        let built = thread::spawn(move || (0..3000).map(|n| Filled::new(120, n + round)).collect::<Vec<_>>());
        let mut blocks = built.join().unwrap();
        rest.extend(blocks.drain(..3));
        sender.send(blocks).unwrap();
        wait.recv().unwrap();
    }
    assert!(rest.iter().all(|filled| filled.page().door.owner().is_null()), "let go");
    let pages: BTreeSet<usize> = rest.iter().map(|filled| ptr::from_ref(filled.page()).addr()).collect();
    let more: Vec<_> = (0..300).map(|n| Filled::new(120, n)).collect();
    assert!(
        more.iter()
            .all(|filled| pages.contains(&ptr::from_ref(filled.page()).addr()))
    );
    drop(sender);
    worker.join().unwrap();
}

/// Threads take, free, and pass blocks on to each other to free; some end in between, and what they had lives on.
#[test]
fn threads_that_free_each_others_blocks() {
    const THREADS: usize = 4;
    let _alone = alone();
    let steps = if cfg!(slow_checker) { 3000 } else { 30_000 };
    let before = bytes();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel::<Vec<Filled>>()).unzip();
    let threads: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(number, receiver)| {
            let senders = senders.clone();
            thread::spawn(move || {
                let mut rng = Rng::new(number as u64);
                let mut mine: Vec<Filled> = Vec::new();
                for step in 0..steps {
                    match rng.below(10) {
                        0..6 => mine.push(Filled::new(random_bytes(&mut rng).min(700), step)),
                        6 if mine.len() > 100 => {
                            let to = rng.below(THREADS as u64) as usize;
                            let from = rng.below(mine.len() as u64 - 50) as usize;
                            // The other may have ended; then they are freed here.
                            let _ = senders[to].send(mine.drain(from..from + 50).collect());
                        }
                        7 => drop(receiver.try_recv()),
                        8 => mine.extend(receiver.try_recv().unwrap_or_default()),
                        _ if !mine.is_empty() => {
                            mine.swap_remove(rng.below(mine.len() as u64) as usize);
                        }
                        _ => {}
                    }
                    match rng.below(3000) {
                        0 => let_go(),
                        1 => purge(),
                        2 => {
                            // Built by one thread that ends, freed by another.
                            let built = thread::spawn(move || (0..500).map(|n| Filled::new(40, n)).collect::<Vec<_>>());
                            mine.extend(built.join().unwrap());
                        }
                        _ => {}
                    }
                }
                (mine, receiver)
            })
        })
        .collect();
    drop(senders);
    for thread in threads {
        let (mine, receiver) = thread.join().unwrap();
        drop(mine);
        drop(receiver);
    }
    settle();
    assert_eq!(bytes(), before, "all counts together");
}

/// Heaps are used again: as many as threads at a time.
#[test]
fn heaps_outlive_their_threads() {
    let _alone = alone();
    thread::spawn(|| drop(Filled::new(8, 1))).join().unwrap();
    let heaps = shared::heaps().count();
    for _ in 0..50 {
        thread::spawn(|| drop(Filled::new(8, 1))).join().unwrap();
    }
    assert_eq!(shared::heaps().count(), heaps);
    assert_eq!(align_of::<Heap>(), 64);
}

/// Blocks may be taken and freed while a thread ends, after its heap has gone.
#[test]
fn blocks_of_a_thread_that_is_ending() {
    struct Late(Option<Filled>);

    impl Drop for Late {
        fn drop(&mut self) {
            self.0 = None;
            drop(Filled::new(48, 5));
        }
    }

    thread_local! {
        static LATE: Cell<Option<Late>> = const { Cell::new(None) };
    }

    let _alone = alone();
    let before = bytes();
    thread::spawn(|| {
        // Registered before the heap's end is, so that it is dropped after it.
        LATE.set(None);
        LATE.set(Some(Late(Some(Filled::new(40, 3)))));
    })
    .join()
    .unwrap();
    assert_eq!(bytes(), before);
}

/// Memory of pages that are empty goes back to the kernel, all but a little.
#[test]
fn memory_goes_back() {
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    let _alone = alone();
    let before = resident();
    let blocks: Vec<_> = (0..100_000).map(|n| Filled::new(500, n)).collect();
    assert!(resident() > before + 45_000_000);
    drop(blocks);
    assert!(
        resident() < before + 10_000_000,
        "pages that are too many are given back at once"
    );
    purge();
    assert!(resident() < before + 8_000_000);
}

/// A field of `/proc/self/smaps_rollup`, in KiB.
fn smaps_kb(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

#[test]
#[cfg_attr(slow_checker, ignore = "asks the kernel what is resident")]
fn many_blocks_lie_in_huge_pages_that_another_thread_prepared() {
    let _alone = alone();
    const BYTES: usize = 96;
    const BLOCKS: u64 = 32 * 1024 * 1024 / BYTES as u64;
    thread::spawn(prepare_blocks);
    let filled: Vec<Filled> = (0..BLOCKS)
        .map(|n| {
            // As slow as a server under load: the other thread must have a chance on one processor, too.
            if n % 10_000 == 0 {
                thread::sleep(std::time::Duration::from_micros(500));
            }
            Filled::new(BYTES, n)
        })
        .collect();
    let modes = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    if modes.contains("[madvise]") || modes.contains("[always]") {
        let huge = smaps_kb("AnonHugePages");
        assert!(huge > 8 * 1024, "{huge} KiB of 32 MiB");
    }
    // At rest nothing stays resident that was only prepared.
    assert!(shared::bytes_beyond_need() > 0);
    settle();
    settle();
    assert_eq!(shared::bytes_beyond_need(), 0);

    // Dropping checks every byte. Blocks that are empty as a whole come back, and are used again.
    let pages: BTreeSet<usize> = filled.iter().map(|block| block.page().memory().addr()).collect();
    drop(filled);
    purge();
    let again: Vec<Filled> = (0..BLOCKS).map(|n| Filled::new(BYTES, n)).collect();
    let known = again
        .iter()
        .filter(|block| pages.contains(&block.page().memory().addr()));
    assert!(known.count() as u64 > BLOCKS / 2);
}
