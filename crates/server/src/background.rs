//! What runs on other threads: saves, transfers to replicas, loads from the primary, connecting; and what they send back.

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use engine::SessionId;
use engine::commands::migrate::{Failure, Job, Outcome};
use net::{BlockingStream, Clock, Stream};
use node::jobs::{FromPrimary, LoadFailure};
use node::replication::LinkEnd;
use node::start::StartLoad;
use node::{Disk, Done, LoadJob, SaveJob, TransferJob, jobs};

use crate::link;
use crate::migrate::Targets;
use crate::threads::{Mailbox, Workers};

/// How often a replica that loads tells its primary that it is alive.
const NEWLINE_INTERVAL_US: u64 = 1_000_000;

/// What other threads bring to the engine's.
pub enum Message {
    /// A save ended.
    Saved(Done),
    /// The keys of a MIGRATE were sent, or were not.
    Migrated(Done),
    /// The load at the start ended.
    Started(Result<Box<jobs::Loaded>, jobs::LoadFailure>),
    /// A transfer ended.
    Transferred(SessionId, Done),
    /// A load from the primary ended; the connection comes back with it.
    Loaded {
        /// The attempt that the connection belongs to.
        attempt: u32,
        /// The connection.
        stream: Stream,
        /// What came of it.
        done: Done,
    },
    /// A load wants the dataset to make room; its thread waits for it, to drop it.
    GiveUpDataset {
        /// Which load.
        load_id: u64,
        /// Takes the dataset, or nothing if the load is not wanted any more.
        answer: mpsc::Sender<Option<keyspace::Keyspace>>,
    },
    /// An attempt to connect to the primary ended.
    Connected {
        /// Which.
        attempt: u32,
        /// How.
        result: Result<Stream, LinkEnd>,
    },
}

/// The threads and the way back from them.
pub struct Background {
    workers: Workers,
    mailbox: Mailbox<Message>,
    disk: std::sync::Arc<dyn Disk>,
    targets: Targets,
}

impl Background {
    /// Runs jobs on threads of its own; `mailbox` takes what they bring.
    #[must_use]
    pub fn new(mailbox: Mailbox<Message>, disk: std::sync::Arc<dyn Disk>, targets: Targets) -> Self {
        Self {
            workers: Workers::new("skein-worker"),
            mailbox,
            disk,
            targets,
        }
    }

    /// Sends keys to another server.
    pub fn migrate(&self, job: Box<Job>) {
        let (targets, mailbox) = (self.targets.clone(), self.mailbox.clone());
        let started = self.workers.run(move || {
            mailbox.send(Message::Migrated(Done::Migrated(targets.run(&job))));
        });
        if started.is_err() {
            self.mailbox.send(Message::Migrated(Done::Migrated(Outcome {
                failure: Some(Failure::Connect),
                ..Outcome::default()
            })));
        }
    }

    /// Saves to disk.
    pub fn save(&self, job: SaveJob) {
        let (id, disk, mailbox) = (job.id, self.disk.clone(), self.mailbox.clone());
        let started = self.workers.run(move || {
            let result = jobs::run_save(&*disk, job, &mut sleep);
            mailbox.send(Message::Saved(Done::Saved { id, result }));
        });
        if let Err(error) = started {
            self.mailbox.send(Message::Saved(Done::Saved {
                id,
                result: Err(no_thread(&error)),
            }));
        }
    }

    /// Loads the file that the last run left.
    pub fn start(&self, load: StartLoad) {
        let (disk, mailbox) = (self.disk.clone(), self.mailbox.clone());
        let started = self.workers.run(move || {
            let result = load.run(&*disk, &mut sleep);
            mailbox.send(Message::Started(result));
        });
        if let Err(error) = started {
            let failure = jobs::LoadFailure::Io(no_thread(&error));
            self.mailbox.send(Message::Started(Err(failure)));
        }
    }

    /// Sends a snapshot through a replica's socket, after `before`.
    pub fn transfer(&self, job: TransferJob, stream: Stream, before: Vec<u8>) {
        let (replica, disk, mailbox) = (job.replica, self.disk.clone(), self.mailbox.clone());
        let started = self.workers.run(move || {
            let cancel = job.cancel.clone();
            let timeout = Duration::from_millis(job.timeout_ms);
            let mut out = BlockingStream::new(stream, timeout, move || cancel.is_cancelled());
            let result = out.write_all(&before).map_err(|error| error.to_string());
            let result = result.and_then(|()| jobs::run_transfer(&*disk, job, &mut out, &mut sleep));
            mailbox.send(Message::Transferred(replica, Done::Transferred { replica, result }));
        });
        if let Err(error) = started {
            let done = Done::Transferred {
                replica,
                result: Err(no_thread(&error)),
            };
            self.mailbox.send(Message::Transferred(replica, done));
        }
    }

    /// Reads a snapshot from the primary's connection.
    pub fn load(&self, job: LoadJob, stream: Stream, attempt: u32) -> io::Result<()> {
        let (id, disk, mailbox) = (job.id, self.disk.clone(), self.mailbox.clone());
        self.workers.run(move || {
            let cancel = job.cancel.clone();
            let timeout = Duration::from_millis(job.timeout_ms);
            let input = BlockingStream::new(stream, timeout, move || cancel.is_cancelled());
            let mut input = AliveWhileReading {
                input,
                last_newline_us: Clock.mono_us(),
            };
            let mut give_up = || give_up_dataset(&mailbox, id);
            let mut result = jobs::run_load_letting_go(&*disk, job, &mut input, &mut sleep, &mut give_up);
            let (stream, ahead) = input.input.into_parts();
            if let Ok(loaded) = &mut result {
                loaded.rest.extend_from_slice(&ahead);
            }
            mailbox.send(Message::Loaded {
                attempt,
                stream,
                done: Done::Loaded { id, result },
            });
        })
    }

    /// Resolves the primary's name and connects to it.
    pub fn connect(&self, host: String, port: u16, source: Option<String>, timeout: Duration, attempt: u32) {
        let mailbox = self.mailbox.clone();
        let started = self.workers.run(move || {
            let result = link::connect(&host, port, source.as_deref(), timeout);
            mailbox.send(Message::Connected { attempt, result });
        });
        if let Err(error) = started {
            self.mailbox.send(Message::Connected {
                attempt,
                result: Err(LinkEnd::Io(no_thread(&error))),
            });
        }
    }
}

/// Has the engine give its dataset up, and drops it here.
fn give_up_dataset(mailbox: &Mailbox<Message>, load_id: u64) -> Result<(), LoadFailure> {
    let (answer, answered) = mpsc::channel();
    mailbox.send(Message::GiveUpDataset { load_id, answer });
    match answered.recv() {
        Ok(Some(dataset)) => {
            drop(dataset);
            Ok(())
        }
        // Not wanted, or the engine has ended.
        Ok(None) | Err(_) => Err(LoadFailure::Cancelled),
    }
}

fn no_thread(error: &io::Error) -> String {
    format!("no thread to do it on: {error}")
}

fn sleep(microseconds: u64) {
    std::thread::sleep(Duration::from_micros(microseconds));
}

/// The primary's connection while a snapshot is read: now and then a newline tells the primary that this replica is
/// alive, as stock replicas do.
struct AliveWhileReading {
    input: BlockingStream,
    last_newline_us: u64,
}

impl Read for AliveWhileReading {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.still_loading();
        self.input.read(into)
    }
}

impl FromPrimary for AliveWhileReading {
    fn still_loading(&mut self) {
        let now_us = Clock.mono_us();
        if now_us.saturating_sub(self.last_newline_us) >= NEWLINE_INTERVAL_US {
            self.last_newline_us = now_us;
            // A socket that takes no byte now has newer news of us than this one.
            let _ = self.input.stream().write(b"\n");
        }
    }
}
