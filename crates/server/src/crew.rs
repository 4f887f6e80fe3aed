//! Threads that help the main thread with a batch of small jobs, and sleep when there is none.
//!
//! ```text
//!   main: jobs ─► pieces, `left` = so many ─┬─► main      ┐ each takes a piece, works it off, takes the next
//!                                           ├─► helper 0  │   helper n wakes 2n+1 and 2n+2 before it begins
//!                                           └─► helper 1  ┘
//!   main ◄─ the jobs, in their order ◄──────── `undone` = 0
//! ```
//!
//! Pieces belong to nobody before they are taken. So main never waits for a helper that has not begun: a helper that wakes
//! late finds nothing left, and where processors are scarce main does most by itself. A job is owned by the piece that it
//! is in, and no two threads look into a piece at the same time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use net::process;

/// A helper that has nothing to do looks for more for so long, if batches have followed each other as closely; then it sleeps.
/// About twice what executing a request each of 64 sessions takes, between reading them and writing to them.
const SPIN: Duration = Duration::from_micros(100);

/// Pieces of a batch for each thread: more than one, so that whoever is done early takes some of another's share.
const PIECES_PER_THREAD: usize = 2;

/// Who works on a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// The main thread and the helpers.
    All,
    /// The helpers; the main thread waits. For tests, which want to see what they do.
    HelpersOnly,
}

/// The main thread's end: the threads, and what they share with it.
pub struct Crew<J> {
    shared: Arc<Shared<J>>,
    helpers: Vec<JoinHandle<()>>,
    /// Every thread can have a processor to itself, and one is left for those whom the server talks to.
    may_spin: bool,
    /// When the last batch was done.
    last_end: Option<Instant>,
}

/// A value that shares its cache line with no other.
#[repr(align(64))]
struct Alone<T>(T);

struct Shared<J> {
    work: fn(&mut J),
    pieces: Box<[Mutex<Vec<J>>]>,
    /// Pieces of the batch that nobody has taken: the first so many.
    left: Alone<AtomicUsize>,
    /// Pieces of the batch that are not done. No batch begins before this is 0.
    undone: Alone<AtomicUsize>,
    /// Batches follow each other so closely that looking for the next is cheaper than sleeping.
    closely: AtomicBool,
    /// There will be no more.
    over: AtomicBool,
    main: Thread,
    helpers: OnceLock<Vec<Thread>>,
}

impl<J: Send + 'static> Crew<J> {
    /// Starts `helpers` threads, called `name_1` and so on. `work` does a job. Batches are run by the thread that calls this.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(name: &str, helpers: usize, work: fn(&mut J)) -> std::io::Result<Self> {
        let threads = helpers + 1;
        let shared = Arc::new(Shared {
            work,
            pieces: (0..threads * PIECES_PER_THREAD).map(|_| Mutex::default()).collect(),
            left: Alone(AtomicUsize::new(0)),
            undone: Alone(AtomicUsize::new(0)),
            closely: AtomicBool::new(false),
            over: AtomicBool::new(false),
            main: thread::current(),
            helpers: OnceLock::new(),
        });
        let mut crew = Self {
            shared,
            helpers: Vec::new(),
            may_spin: thread::available_parallelism().is_ok_and(|processors| processors.get() > threads),
            last_end: None,
        };
        for index in 0..helpers {
            let shared = Arc::clone(&crew.shared);
            let name = format!("{name}_{}", index + 1);
            let helper = thread::Builder::new().name(name.clone()).spawn(move || {
                process::name_thread(&name);
                shared.help(index);
            })?;
            crew.helpers.push(helper);
        }
        let helpers = crew.helpers.iter().map(|helper| helper.thread().clone()).collect();
        // Empty until now: nobody else sets it.
        let _ = crew.shared.helpers.set(helpers);
        Ok(crew)
    }

    /// Does all the jobs, which are in their old order afterwards.
    pub fn run(&mut self, jobs: &mut Vec<J>, hands: Hands) {
        if jobs.is_empty() {
            return;
        }
        let shared = &*self.shared;
        let closely = self.may_spin && self.last_end.is_some_and(|end| end.elapsed() < SPIN);
        shared.closely.store(closely, Ordering::Relaxed);
        let pieces = shared.deal(jobs);
        shared.undone.0.store(pieces, Ordering::Relaxed);
        // Whoever sees pieces left sees how many are undone.
        shared.left.0.store(pieces, Ordering::Release);
        shared.wake(0);
        if hands == Hands::All {
            shared.work_off();
        }
        shared.wait(self.may_spin);
        for piece in &shared.pieces[..pieces] {
            jobs.append(&mut lock(piece));
        }
        self.last_end = self.may_spin.then(Instant::now);
    }
}

impl<J> Drop for Crew<J> {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // A helper that panicked has ended the process.
            let _ = helper.join();
        }
    }
}

impl<J> Shared<J> {
    /// Puts the jobs into pieces; returns into how many.
    fn deal(&self, jobs: &mut Vec<J>) -> usize {
        let size = jobs.len().div_ceil(self.pieces.len()).max(1);
        let pieces = jobs.len().div_ceil(size);
        let mut rest = jobs.drain(..);
        for piece in &self.pieces[..pieces] {
            lock(piece).extend(rest.by_ref().take(size));
        }
        pieces
    }

    fn work_off(&self) {
        let one_less = |left: usize| left.checked_sub(1);
        while let Ok(left) = self.left.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less) {
            lock(&self.pieces[left - 1]).iter_mut().for_each(self.work);
            if self.undone.0.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.main.unpark();
            }
        }
    }

    /// Waits until all is done; for the main thread.
    fn wait(&self, may_spin: bool) {
        let done = || self.undone.0.load(Ordering::Acquire) == 0;
        while !done() {
            if !(may_spin && spin_until(done)) {
                thread::park();
            }
        }
    }

    /// A helper's life.
    fn help(&self, index: usize) {
        let _stop = StopTheProcess;
        while !self.over.load(Ordering::Acquire) {
            if self.is_waiting() {
                self.wake(2 * index + 1);
                self.wake(2 * index + 2);
                self.work_off();
            }
            let news = || self.is_waiting() || self.over.load(Ordering::Relaxed);
            // What comes between this look and the sleep has left its mark, and there is no sleep.
            if !(self.closely.load(Ordering::Relaxed) && spin_until(news)) {
                thread::park();
            }
        }
    }

    fn is_waiting(&self) -> bool {
        self.left.0.load(Ordering::Acquire) > 0
    }

    fn wake(&self, helper: usize) {
        if let Some(helper) = self.helpers.get().and_then(|helpers| helpers.get(helper)) {
            helper.unpark();
        }
    }
}

/// Looks again and again for [`SPIN`] at most. Returns whether it has come true.
fn spin_until(come_true: impl Fn() -> bool) -> bool {
    const LOOKS_PER_TIME: u32 = 16;
    let begun = Instant::now();
    loop {
        for _ in 0..LOOKS_PER_TIME {
            if come_true() {
                return true;
            }
            std::hint::spin_loop();
        }
        if begun.elapsed() >= SPIN {
            return false;
        }
    }
}

/// A mutex is poisoned only by a panic, which ends the process.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process when the thread panics, however it was built: main would wait for that thread for ever.
struct StopTheProcess;

impl Drop for StopTheProcess {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;
    use std::collections::BTreeSet;

    struct Job {
        number: usize,
        /// How long it takes.
        rounds: u64,
        done_by: Vec<Option<String>>,
    }

    fn work(job: &mut Job) {
        (0..job.rounds).for_each(|_| std::hint::spin_loop());
        job.done_by.push(thread::current().name().map(str::to_owned));
    }

    fn jobs(count: usize, rng: &mut Rng) -> Vec<Job> {
        (0..count)
            .map(|number| Job {
                number,
                rounds: rng.below(300),
                done_by: Vec::new(),
            })
            .collect()
    }

    /// Every job is done once, and stands where it stood.
    fn check(jobs: &[Job], count: usize) {
        assert_eq!(jobs.len(), count);
        for (place, job) in jobs.iter().enumerate() {
            assert_eq!((job.number, job.done_by.len()), (place, 1));
        }
    }

    #[test]
    fn every_job_is_done_once_and_keeps_its_place() {
        let mut rng = Rng::new(1);
        for (helpers, may_spin) in [(0, true), (1, true), (2, false), (3, true), (3, false), (7, true)] {
            let mut crew = Crew::start("test", helpers, work).unwrap();
            crew.may_spin = may_spin;
            for round in 0..1_000 {
                // Some come closely, some find the helpers asleep, and some while they fall asleep.
                if round % 50 == 0 {
                    thread::sleep(Duration::from_micros(rng.below(300)));
                }
                let count = rng.below(70) as usize;
                let mut batch = jobs(count, &mut rng);
                crew.run(&mut batch, Hands::All);
                check(&batch, count);
            }
        }
    }

    #[test]
    fn helpers_alone_do_all_of_it_when_asked() {
        let mut rng = Rng::new(2);
        let mut crew = Crew::start("helper", 3, work).unwrap();
        let mut names = BTreeSet::new();
        for _ in 0..500 {
            let mut batch = jobs(8, &mut rng);
            crew.run(&mut batch, Hands::HelpersOnly);
            check(&batch, 8);
            names.extend(batch.into_iter().flat_map(|job| job.done_by).flatten());
        }
        let all = ["helper_1", "helper_2", "helper_3"].map(str::to_owned);
        assert!(!names.is_empty() && names.is_subset(&all.into()), "{names:?}");
    }

    /// Main takes what a helper has not begun: a batch ends even if no helper ever wakes.
    #[test]
    fn main_waits_for_nobody_who_has_not_begun() {
        let mut crew = Crew::start("test", 2, work).unwrap();
        crew.shared.over.store(true, Ordering::Release);
        for helper in crew.helpers.drain(..) {
            helper.thread().unpark();
            helper.join().unwrap();
        }
        let mut batch = jobs(20, &mut Rng::new(3));
        crew.run(&mut batch, Hands::All);
        check(&batch, 20);
    }
}
