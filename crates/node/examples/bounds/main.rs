//! The pauses that the design forbids, each measured through a whole node without sockets.
//!
//! ```text
//!   step 1, step 2, … step n      one write or freeze each, timed alone
//!   again, in so many rounds      the same steps, so that what the machine adds falls on other steps each time
//!         │
//!         ▼
//!   the median of a step's rounds is what the step takes; the longest step is what a bound is held against
//! ```
//!
//! A step's time is the shorter of what the clock and what the thread's processor time say: neither can be less than the
//! step's own work, and the second leaves out what others did on the processor meanwhile.
//!
//! Before a step that is measured cold, so much memory is read that nothing is left in the processor's caches; then some
//! writes of the same kind go to another database, so that the program's code is there again as in a server at work, and of
//! the dataset nothing. `code cold too` leaves those out, and `nothing frozen` is a plain write to compare with.
//!
//! As in the server, a thread prepares huge pages, unless the environment has `SMALL_PAGES`.
//!
//! `cargo run --release -p skein-node --example bounds -- PART SIZE ROUNDS`, and `cargo xtask bench bounds` for all of it.
//! What is printed is for that task: tab-separated name, steps, median, longest step, longest single time, all in
//! nanoseconds; lines that begin with `#` are for people.
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod collections;
mod growth;
mod measure;
mod server;
mod snapshot;

#[global_allocator]
static ALLOCATOR: ds::memory::Counting = ds::memory::Counting;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let (Some(part), Some(size), Some(rounds)) = (words.first(), number(1), number(2)) else {
        return eprintln!("bounds PART SIZE ROUNDS");
    };
    if std::env::var_os("SMALL_PAGES").is_none() {
        std::thread::spawn(ds::memory::prepare_huge_pages);
    }
    match part.as_str() {
        "snapshot" => snapshot::run(size, rounds),
        "growth" => growth::run(size, rounds),
        "setbit" => collections::setbit(size, rounds),
        kind => collections::run(kind, size, rounds),
    }
}
