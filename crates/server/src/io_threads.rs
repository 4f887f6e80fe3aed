//! Reading from sockets and writing to them with more threads than one: `io-threads`.
//!
//! ```text
//!   ready sockets ─► connections leave their slots ─► crew: receive ─► back in their slots ─► what came is looked at, in order
//!   outputs       ─► connections leave their slots ─► crew: send    ─► back in their slots ─► what went is counted, in order
//! ```
//!
//! Threads get connections, never sessions: while one is out, nobody else can reach it, and main does nothing but its own
//! share. Everything that a session, a counter or the log hears of a socket it hears from main afterwards, in the order that
//! one thread alone would have had. The two methods that threads call are [`Connection::receive`] and [`Connection::send`].

use std::io;

use config::Config;
use engine::SessionId;
use net::Received;

use crate::connections::{Connection, POOLED_BUFFERS};
use crate::crew::{Crew, Hands};
use crate::event_loop::{READ_AT_ONCE, Server};

/// A batch is given to the threads from so many sockets for each of them on, main included; as stock servers do.
const LEAST_PER_THREAD: usize = 2;

/// The threads, and room for what goes to them and comes back.
pub struct IoThreads {
    crew: Crew<Job>,
    /// How many there are, main included.
    threads: usize,
    /// Whether they read, too.
    reads: bool,
    /// Sessions to be read from next.
    to_read: Vec<SessionId>,
    jobs: Vec<Job>,
    received: Vec<(SessionId, io::Result<Received>)>,
}

/// What is to be done with one connection, and what came of it.
enum Job {
    Receive {
        connection: Box<Connection>,
        received: io::Result<Received>,
    },
    Send {
        connection: Box<Connection>,
        /// The session's whole output.
        output: Vec<u8>,
        /// How much of it went before.
        from: usize,
        sent: io::Result<usize>,
    },
}

impl Job {
    fn work(&mut self) {
        match self {
            Self::Receive { connection, received } => *received = connection.receive(),
            Self::Send {
                connection,
                output,
                from,
                sent,
            } => *sent = connection.send(&output[*from..]),
        }
    }
}

impl IoThreads {
    /// Starts as many as the configuration asks for beside the main thread; none when that shall do everything.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(config: &Config) -> io::Result<Option<Self>> {
        let threads = config.io_threads as usize;
        if threads < 2 {
            return Ok(None);
        }
        Ok(Some(Self {
            crew: Crew::start("io_thd", threads - 1, Job::work)?,
            threads,
            reads: config.io_threads_do_reads,
            to_read: Vec::new(),
            jobs: Vec::new(),
            received: Vec::new(),
        }))
    }

    /// How many buffers should be kept for the next reads.
    pub fn buffers(&self) -> usize {
        POOLED_BUFFERS.max(self.read_at_once())
    }

    /// How many sockets are read before what arrived on them is executed.
    pub fn read_at_once(&self) -> usize {
        if self.reads {
            READ_AT_ONCE * self.threads
        } else {
            READ_AT_ONCE
        }
    }

    /// Notes that a session is to be read from. Returns whether this is how sessions are read from at all.
    pub fn take_to_read(&mut self, id: SessionId) -> bool {
        if self.reads {
            self.to_read.push(id);
        }
        self.reads
    }

    /// Whether so many jobs are worth waking threads, and who then works; `None` when main does them by itself.
    fn hands(&self, jobs: usize, always: bool) -> Option<Hands> {
        match (always, jobs >= LEAST_PER_THREAD * self.threads) {
            (true, _) => Some(Hands::HelpersOnly),
            (false, true) => Some(Hands::All),
            (false, false) => None,
        }
    }
}

impl Server {
    /// Reads from the sessions that were noted since the last call.
    pub(crate) fn read_noted(&mut self) {
        let always = self.node.state.config.io_threads_always_active;
        let Some(io) = self.io_threads.as_mut().filter(|io| !io.to_read.is_empty()) else {
            return;
        };
        let Some(hands) = io.hands(io.to_read.len(), always) else {
            let mut alone = std::mem::take(&mut io.to_read);
            for id in alone.drain(..) {
                self.on_readable(id);
            }
            if let Some(io) = &mut self.io_threads {
                io.to_read = alone;
            }
            return;
        };
        for id in io.to_read.drain(..) {
            if self.connections.to_be_read(id).is_some()
                && let Some(connection) = self.connections.lend(id)
            {
                io.jobs.push(Job::Receive {
                    connection,
                    received: Ok(Received::Nothing),
                });
            }
        }
        self.node.engine.data.stats.threaded_reads_processed += io.jobs.len() as u64;
        self.node.state.io_threads_active = true;
        io.crew.run(&mut io.jobs, hands);
        for job in io.jobs.drain(..) {
            if let Job::Receive { connection, received } = job {
                io.received.push((connection.id, received));
                self.connections.give_back(connection);
            }
        }
        // Only now: what one session's end leads to may look at any other.
        let mut received = std::mem::take(&mut io.received);
        for (id, received) in received.drain(..) {
            self.on_received(id, received);
        }
        if let Some(io) = &mut self.io_threads {
            io.received = received;
        }
    }

    /// Sends the outputs of these sessions, if they are so many that threads are worth it, and tells the node what went.
    /// Returns the sessions that this was tried for, in their order here, and whether a socket is full.
    pub(crate) fn send_with_threads(&mut self, marked: &[SessionId]) -> Vec<(SessionId, io::Result<bool>)> {
        let always = self.node.state.config.io_threads_always_active;
        let Some(io) = self.io_threads.as_mut().filter(|_| !marked.is_empty()) else {
            return Vec::new();
        };
        self.node.state.io_threads_active = false;
        if io.hands(marked.len(), always).is_none() {
            return Vec::new();
        }
        for id in marked {
            let Some(session) = self.node.engine.sessions.get_mut(*id) else {
                continue;
            };
            if session.unsent_bytes() == 0 || self.connections.get_mut(*id).is_none_or(|own| own.transferring) {
                continue;
            }
            if let Some(connection) = self.connections.lend(*id) {
                io.jobs.push(Job::Send {
                    connection,
                    output: std::mem::take(&mut session.out),
                    from: session.sent,
                    sent: Ok(0),
                });
            }
        }
        match io.hands(io.jobs.len(), always) {
            Some(hands) if !io.jobs.is_empty() => {
                self.node.state.io_threads_active = true;
                self.node.engine.data.stats.threaded_writes_processed += io.jobs.len() as u64;
                io.crew.run(&mut io.jobs, hands);
            }
            _ => io.jobs.iter_mut().for_each(Job::work),
        }
        let mut outcomes = Vec::with_capacity(io.jobs.len());
        for job in io.jobs.drain(..) {
            let Job::Send {
                connection,
                output,
                from,
                sent,
            } = job
            else {
                continue;
            };
            let id = connection.id;
            self.connections.give_back(connection);
            let unsent = output.len() - from;
            if let Some(session) = self.node.engine.sessions.get_mut(id) {
                session.out = output;
            }
            // Before anything is closed for what others' sockets said: that may change any session's output.
            outcomes.push((
                id,
                sent.map(|sent| {
                    self.node.sent(id, sent);
                    sent < unsent
                }),
            ));
        }
        outcomes
    }
}
