//! Threads for what takes long, and the way their results come back to the engine's thread.
//!
//! ```text
//!   engine ──► Workers::run(job) ──► an idle thread, or a new one ──► job() ──► Mailbox::send ──► queue + waker ──► engine
//!   engine ──► Reaper::drop(value) ──► one thread that drops
//! ```

use std::sync::mpsc::{self, Receiver, Sender};

use net::{Waker, process};

/// How far background threads stand back: where they share a processor with the engine, a client's request must not wait
/// for the end of their slice, and yet a full sync must go on under full load.
const NICE: i32 = 5;

/// The engine's end of a mailbox.
pub struct Inbox<T> {
    receiver: Receiver<T>,
}

impl<T> Inbox<T> {
    /// The next message, if one is there.
    pub fn next(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

/// The other threads' end: what is sent wakes the engine's poller.
pub struct Mailbox<T> {
    sender: Sender<T>,
    waker: Waker,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            waker: self.waker.clone(),
        }
    }
}

impl<T> Mailbox<T> {
    /// Both ends of a mailbox whose messages wake `waker`.
    #[must_use]
    pub fn new(waker: &Waker) -> (Self, Inbox<T>) {
        let (sender, receiver) = mpsc::channel();
        (
            Self {
                sender,
                waker: waker.clone(),
            },
            Inbox { receiver },
        )
    }

    /// Sends a message and wakes the engine.
    pub fn send(&self, message: T) {
        // Fails only when the engine has ended, and then nobody waits for the message.
        let _ = self.sender.send(message);
        self.waker.wake();
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run one job after the other. As many as jobs ever ran at the same time; idle ones sleep.
pub struct Workers {
    name: &'static str,
    idle: Sender<Sender<Job>>,
    waiting: Receiver<Sender<Job>>,
}

impl Workers {
    /// No threads yet. Those to come are called `name`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let (idle, waiting) = mpsc::channel();
        Self { name, idle, waiting }
    }

    /// Runs a job on a thread that is idle, or on a new one.
    ///
    /// # Errors
    /// The job back, when the system gives no thread.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), std::io::Error> {
        let mut job: Job = Box::new(job);
        while let Ok(worker) = self.waiting.try_recv() {
            match worker.send(job) {
                Ok(()) => return Ok(()),
                // The thread is gone: the next one, or a new one.
                Err(back) => job = back.0,
            }
        }
        let (jobs, queue) = mpsc::channel::<Job>();
        let idle = self.idle.clone();
        let name = self.name;
        spawn(name, move || {
            process::stand_back(NICE);
            job();
            while idle.send(jobs.clone()).is_ok() {
                // What a job has built belongs to others now, and their memory with it.
                ds::memory::let_go();
                match queue.recv() {
                    Ok(job) => job(),
                    Err(_) => break,
                }
            }
        })
    }
}

/// Starts a thread that is called `name`, 15 bytes of it by the system's tools.
fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let body = move || {
        process::name_thread(name);
        body();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// One thread that drops what it is given: a dataset that was replaced, a large value that was deleted.
pub struct Reaper {
    values: Sender<Box<dyn Send>>,
}

impl Reaper {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (values, queue) = mpsc::channel::<Box<dyn Send>>();
        spawn("skein-reaper", move || {
            process::stand_back(NICE);
            for value in queue {
                drop(value);
                // The rest of the pages that were freed from is for those who allocate.
                ds::memory::let_go();
            }
        })?;
        Ok(Self { values })
    }

    /// Drops a value there.
    pub fn drop(&self, value: Box<dyn Send>) {
        // If that thread has died, the value comes back and is dropped here.
        let _ = self.values.send(value);
    }
}

/// Starts the thread that has memory ready in huge pages before the dataset grows into them.
///
/// # Errors
/// When the system gives no thread.
pub fn start_preparer() -> std::io::Result<()> {
    spawn("skein-memory", ds::memory::prepare_huge_pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::{Interest, Poller};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn jobs_run_elsewhere_their_results_wake_the_poller_and_threads_are_used_again() {
        let mut poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        let _registration = poller.register(&waker, 0, Interest::Read).unwrap();
        let (mailbox, inbox) = Mailbox::new(&waker);
        let workers = Workers::new("test");
        let mut threads = std::collections::BTreeSet::new();
        for round in 0..20 {
            let mailbox = mailbox.clone();
            workers
                .run(move || mailbox.send((round, format!("{:?}", std::thread::current().id()))))
                .unwrap();
            while poller.wait(Some(5000)).unwrap() == 0 {}
            waker.take();
            let (done, thread) = inbox.next().unwrap();
            assert_eq!(done, round);
            threads.insert(thread);
            // Until the thread has said that it is idle.
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(threads.len() < 10, "{threads:?}");
    }

    #[test]
    fn values_are_dropped_by_the_reaper() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        struct Value;
        impl Drop for Value {
            fn drop(&mut self) {
                assert_eq!(std::thread::current().name(), Some("skein-reaper"));
                DROPPED.fetch_add(1, Ordering::SeqCst);
            }
        }
        let reaper = Reaper::start().unwrap();
        reaper.drop(Box::new(Value));
        reaper.drop(Box::new(vec![Value, Value]));
        while DROPPED.load(Ordering::SeqCst) < 3 {
            std::thread::yield_now();
        }
    }
}
