//! What a node asks of its surroundings, and what they answer.

use crate::jobs::{LoadFailure, LoadJob, Loaded, SaveJob, TransferJob};
use engine::SessionId;
use engine::host::Level;

/// Something to be done outside. Effects are carried out in order, after the outputs of the turn were made.
pub enum Effect {
    /// Write a line to the log.
    Log(Level, String),
    /// Close a session's socket now, unsent output and all. The node has forgotten the session.
    Close(SessionId),
    /// Close a session's socket when its output is sent.
    CloseAfterFlush(SessionId),
    /// Offer a session's unread input again through [`crate::Node::input`].
    Resume(SessionId),
    /// Resolve `host` anew and connect to the primary. Answer with [`crate::Node::link_connected`] or
    /// [`crate::Node::link_failed`]. At most one connection to a primary exists or is being made.
    Connect {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// The address to bind the local end to.
        source: Option<String>,
    },
    /// Close the connection to the primary, or give up making it. Nothing more of it is reported.
    CloseLink,
    /// Take the primary's connection and read a snapshot from it on another thread; answer [`Done::Loaded`]. Until
    /// then the connection is not read here. Where it goes through a file, [`crate::Node::give_up_dataset`] makes room.
    Load(LoadJob),
    /// Send a snapshot through a copy of a session's socket on another thread; answer [`Done::Transferred`]. Until then
    /// nothing else is written to the session.
    Transfer(TransferJob),
    /// Save to disk on another thread; answer [`Done::Saved`].
    Save(SaveJob),
    /// Send keys to another server on another thread; answer [`Done::Migrated`].
    Migrate(Box<engine::commands::migrate::Job>),
    /// Drop a value on another thread.
    Discard(Box<dyn Send>),
    /// These directives were changed by CONFIG SET, already checked: let them take effect outside (ports, addresses,
    /// log level …).
    Reconfigured(Vec<&'static str>),
    /// End the process with this code. Sockets are flushed as far as they take it at once.
    Exit(i32),
    /// Crash, as DEBUG SEGFAULT and its like ask for.
    Crash(Crash),
}

/// Ways to crash on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Access invalid memory.
    Segfault,
    /// Panic.
    Panic,
    /// Abort at once.
    Abort,
}

/// The end of a background job.
pub enum Done {
    /// A save ended: with the number of keys saved, or what went wrong.
    Saved {
        /// Which job.
        id: u64,
        /// The outcome.
        result: Result<u64, String>,
    },
    /// A snapshot went through a replica's socket, or did not.
    Transferred {
        /// Which replica.
        replica: SessionId,
        /// The outcome: bytes sent, or what went wrong.
        result: Result<u64, String>,
    },
    /// Keys were sent to another server, or were not.
    Migrated(engine::commands::migrate::Outcome),
    /// The primary's snapshot was read, or was not.
    Loaded {
        /// Which job.
        id: u64,
        /// The outcome. On success the link goes on streaming.
        result: Result<Box<Loaded>, LoadFailure>,
    },
}
