//! The slab beside mimalloc and, if built with it, jemalloc: what blocks take, what allocating costs, and what stays
//! resident when most is deleted.
//!
//! ```text
//! JEMALLOC_SYS_WITH_LG_QUANTUM=3 cargo run --release -p skein-ds --features jemalloc --example allocators
//! ```
//!
//! mimalloc and jemalloc are told, when they are built, to have classes of 8 bytes: jemalloc by the variable above,
//! mimalloc by `MI_MAX_ALIGN_SIZE` in this crate's build.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;

use base::Rng;
use ds::memory::Counting;

/// Blocks of one size fill so much memory.
const FILLED_BYTES: usize = 100_000_000;
const BLOCKS: usize = 1_000_000;
const ROUNDS: usize = 5;

/// What an entry of each takes, header included: integer; value of 32; of 64; of 100; ten small fields; values of 500
/// and 1,000 bytes.
const SIZES: [usize; 7] = [40, 56, 88, 124, 231, 528, 1036];

struct Mimalloc;

// SAFETY: mimalloc's functions are a correct allocator.
unsafe impl GlobalAlloc for Mimalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size will do.
        unsafe { libmimalloc_sys::mi_malloc(layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller has it from `alloc`.
        unsafe { libmimalloc_sys::mi_free(block.cast()) }
    }
}

unsafe extern "C" {
    fn mi_collect(force: bool);
}

#[cfg(feature = "jemalloc")]
struct Jemalloc;

#[cfg(feature = "jemalloc")]
// SAFETY: jemalloc's functions are a correct allocator.
unsafe impl GlobalAlloc for Jemalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size will do.
        unsafe { tikv_jemalloc_sys::malloc(layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller has it from `alloc`, with this size.
        unsafe { tikv_jemalloc_sys::sdallocx(block.cast(), layout.size(), 0) }
    }
}

/// Blocks in use.
struct Blocks<'a, A> {
    allocator: &'a A,
    blocks: Vec<(*mut u8, usize)>,
}

impl<'a, A: GlobalAlloc> Blocks<'a, A> {
    fn new(allocator: &'a A, most: usize) -> Self {
        // Touched, so that it does not count later.
        let mut blocks = vec![(std::ptr::dangling_mut(), 1); most];
        blocks.clear();
        Self { allocator, blocks }
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes.next_multiple_of(8), 8).expect("a layout")
    }

    #[inline(always)]
    fn take(&self, bytes: usize) -> (*mut u8, usize) {
        // SAFETY: not empty, and written to where it is.
        unsafe {
            let block = self.allocator.alloc(Self::layout(bytes));
            block.cast::<u64>().write(bytes as u64);
            for at in (64..bytes).step_by(64) {
                block.add(at).write(1);
            }
            (block, bytes)
        }
    }

    #[inline(always)]
    fn free(&self, (block, bytes): (*mut u8, usize)) {
        // SAFETY: taken with this layout, and not used again.
        unsafe {
            assert_eq!(block.cast::<u64>().read(), bytes as u64);
            self.allocator.dealloc(block, Self::layout(bytes));
        }
    }

    fn push(&mut self, bytes: usize) {
        let block = self.take(bytes);
        self.blocks.push(block);
    }

    fn overwrite(&mut self, at: usize, bytes: usize) {
        self.free(self.blocks[at]);
        self.blocks[at] = self.take(bytes);
    }

    fn remove(&mut self, at: usize) {
        let block = self.blocks.swap_remove(at);
        self.free(block);
    }

    fn bytes(&self) -> usize {
        self.blocks.iter().map(|(_, bytes)| bytes).sum()
    }
}

fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok())
        .unwrap_or(0.0)
        * 4096.0
}

/// Processor time of this thread, in nanoseconds.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

fn print(name: &str, figure: f64) {
    println!("{name}\t{figure}");
}

fn one_size<A: GlobalAlloc>(allocator: &A, bytes: usize) {
    let count = FILLED_BYTES / bytes;
    let mut blocks = Blocks::new(allocator, count);
    let before = resident_bytes();
    (0..count).for_each(|_| blocks.push(bytes));
    let taken = resident_bytes() - before;
    print(&format!("resident bytes per block of {bytes}"), taken / count as f64);
}

/// Inserts, overwrites with another size, and deletes, in random order: as 16-byte keys with values of 16 to 200 bytes.
fn work<A: GlobalAlloc>(allocator: &A) {
    let mut rng = Rng::new(1);
    let mut size = move || 40 + rng.below(185) as usize;
    let mut rng = Rng::new(2);
    let mut blocks = Blocks::new(allocator, BLOCKS);
    let mut start = cpu_ns();
    let mut lap = |name: &str, count: usize| {
        let now = cpu_ns();
        print(name, (now - start) / count as f64);
        start = now;
    };
    (0..BLOCKS).for_each(|_| blocks.push(size()));
    lap("ns per insert", BLOCKS);
    for _ in 0..2 * BLOCKS {
        let at = rng.below(BLOCKS as u64) as usize;
        blocks.overwrite(at, size());
    }
    lap("ns per overwrite with another size", 2 * BLOCKS);
    for _ in 0..BLOCKS / 2 {
        let at = rng.below(blocks.blocks.len() as u64) as usize;
        blocks.remove(at);
    }
    lap("ns per delete of every other", BLOCKS / 2);
    (0..BLOCKS / 2).for_each(|_| blocks.push(size()));
    lap("ns per insert into what that left", BLOCKS / 2);
    // The same block over and over: what a temporary costs.
    let (first, times) = (blocks.blocks.len() - 1, 5 * BLOCKS);
    (0..times).for_each(|_| blocks.overwrite(first, 72));
    lap("ns per temporary", times);
    print(
        "resident share of the work's bytes",
        resident_bytes() / blocks.bytes() as f64,
    );
}

/// Nine of ten are deleted, and what they took is filled with other sizes.
fn shrink<A: GlobalAlloc>(allocator: &A, purge: fn()) {
    let mut rng = Rng::new(3);
    let mut blocks = Blocks::new(allocator, 2 * BLOCKS);
    let before = resident_bytes();
    let share = |blocks: &Blocks<'_, A>| (resident_bytes() - before) / blocks.bytes() as f64;
    for _ in 0..2 * BLOCKS {
        blocks.push(40 + rng.below(100) as usize);
    }
    let all = blocks.bytes();
    print("resident share when filled", share(&blocks));
    for _ in 0..BLOCKS * 18 / 10 {
        let at = rng.below(blocks.blocks.len() as u64) as usize;
        blocks.remove(at);
    }
    purge();
    print("… nine of ten deleted, purged", share(&blocks));
    while blocks.bytes() < all {
        for _ in 0..10_000 {
            blocks.push(150 + rng.below(200) as usize);
        }
    }
    purge();
    print("… refilled with larger ones, purged", share(&blocks));
    for _ in 0..4 * BLOCKS {
        let at = rng.below(blocks.blocks.len() as u64) as usize;
        blocks.overwrite(at, 40 + rng.below(400) as usize);
    }
    purge();
    print("… all overwritten with other sizes, purged", share(&blocks));
}

fn measure<A: GlobalAlloc>(allocator: &A, part: &str, purge: fn()) {
    match part {
        "work" => work(allocator),
        "shrink" => shrink(allocator, purge),
        size => one_size(allocator, size.parse().unwrap_or(64)),
    }
}

fn purge_mimalloc() {
    // SAFETY: may be called at any time.
    unsafe { mi_collect(true) }
}

#[cfg(feature = "jemalloc")]
fn purge_jemalloc() {
    // 4096 stands for all arenas.
    // SAFETY: the name ends with a zero, and nothing is read or written.
    unsafe {
        let (old, len, new) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        tikv_jemalloc_sys::mallctl(c"arena.4096.purge".as_ptr(), old, len, new, 0);
    }
}

#[cfg(feature = "jemalloc")]
const NAMES: &[&str] = &["slab", "mimalloc", "jemalloc"];
#[cfg(not(feature = "jemalloc"))]
const NAMES: &[&str] = &["slab", "mimalloc"];

/// Figures by name, of one allocator and part, in a process of its own.
fn child(program: &str, name: &str, part: &str) -> Vec<(String, f64)> {
    let output = Command::new(program)
        .args([name, part])
        .output()
        .expect("this program again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, figure)| (name.to_owned(), figure.parse().expect("a figure")))
        .collect()
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, name, part] = &words[..] {
        return match &name[..] {
            "slab" => measure(&Counting, part, ds::memory::purge),
            #[cfg(feature = "jemalloc")]
            "jemalloc" => measure(&Jemalloc, part, purge_jemalloc),
            _ => measure(&Mimalloc, part, purge_mimalloc),
        };
    }
    println!("medians of {ROUNDS} interleaved rounds\n");
    println!(
        "{:<46}{}",
        "",
        NAMES.iter().map(|name| format!("{name:>12}")).collect::<String>()
    );
    let parts = SIZES.map(|size| size.to_string());
    for part in parts.iter().map(String::as_str).chain(["work", "shrink"]) {
        let rounds = if part == "work" { ROUNDS } else { 1 };
        let mut all: Vec<Vec<Vec<(String, f64)>>> = NAMES.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (name, of_name) in NAMES.iter().zip(&mut all) {
                of_name.push(child(&words[0], name, part));
            }
        }
        for row in 0..all[0][0].len() {
            let mut line = format!("{:<46}", all[0][0][row].0);
            for of_name in &all {
                let mut figures: Vec<f64> = of_name.iter().map(|round| round[row].1).collect();
                figures.sort_by(f64::total_cmp);
                line += &format!("{:>12.2}", figures[figures.len() / 2]);
            }
            println!("{line}");
        }
    }
}
