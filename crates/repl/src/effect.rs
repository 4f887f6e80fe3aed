//! What the machines ask of the world: values, carried out by whoever owns the sockets, threads and files.

use base::{DbIndex, Offset, ReplId};

/// A connection that a replica opened to us; the number is the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

/// A client blocked in WAIT; the number is the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// How the payload of a full resynchronization is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `$<length>` and so many bytes: the sender must know the length, so it writes the snapshot to a file first.
    Sized {
        /// The length; 0 in a [`Transfer`], where the sender finds it out.
        bytes: u64,
    },
    /// `$EOF:<mark>`, the bytes as they are made, and the mark once more.
    Marked {
        /// Forty random characters.
        mark: [u8; 40],
    },
}

/// What a replica wants in the payload (`REPLCONF rdb-filter-only`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contents {
    /// The keys.
    pub data: bool,
    /// The function libraries.
    pub functions: bool,
}

impl Contents {
    /// The whole dataset.
    pub const ALL: Self = Self {
        data: true,
        functions: true,
    };
}

/// A full resynchronization to serve. The snapshot must be taken while this effect is carried out, before anything else
/// is written: it is the dataset at exactly `cut`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Who gets it, each at its own pace. Each has been sent its `+FULLRESYNC` line.
    pub replicas: Vec<ReplicaId>,
    /// The framing. The header line, the payload and the closing mark are the carrier's to write.
    pub form: Form,
    /// What goes in.
    pub contents: Contents,
    /// The RDB's `repl-id`.
    pub history: ReplId,
    /// The RDB's `repl-offset`.
    pub cut: Offset,
    /// The RDB's `repl-stream-db`: where the stream after the cut begins.
    pub stream_db: DbIndex,
}

/// How important a log line is; the names are those of `loglevel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the curious.
    Verbose,
    /// What an operator wants to know.
    Notice,
    /// What an operator must know.
    Warning,
}

/// One thing to do. Effects are carried out in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send bytes to a replica, before anything of the stream.
    ToReplica {
        /// To whom.
        replica: ReplicaId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Take a snapshot now and send it.
    StartTransfer(Transfer),
    /// Stop sending the snapshot to a replica; others that get it go on.
    StopTransfer {
        /// Which.
        replica: ReplicaId,
    },
    /// Close a replica's connection. The machine has already forgotten it.
    CloseReplica {
        /// Which.
        replica: ReplicaId,
    },
    /// Answer a client's WAIT.
    WaitDone {
        /// The client.
        waiter: WaiterId,
        /// How many replicas acknowledged.
        replicas: usize,
    },
    /// Resolve the name anew and open a connection to the primary. At most one link is open at a time.
    Connect {
        /// Host name or address, as the operator wrote it.
        host: String,
        /// Port.
        port: u16,
    },
    /// Send bytes to the primary.
    ToPrimary {
        /// What.
        bytes: Vec<u8>,
    },
    /// Close the connection to the primary, or give up opening it, and drop the session that applied its stream, an
    /// unfinished MULTI included.
    CloseLink,
    /// Load a payload from the primary's connection into a new keyspace, beside the old one. Until the outcome is reported
    /// the connection is the loader's.
    StartLoad(Load),
    /// Throw away a load that is under way; the old data stays.
    CancelLoad,
    /// The stream goes on: apply what follows in a fresh session that stands in this database.
    StreamBegins {
        /// The database.
        db: DbIndex,
    },
    /// Let no client write (FAILOVER waits for the replicas).
    PauseWrites,
    /// Let clients write again.
    ResumeWrites,
    /// We have become a replica of another server.
    BecameReplica,
    /// We have become a primary.
    BecamePrimary,
    /// Write to the log.
    Log {
        /// How important.
        level: Level,
        /// What.
        text: String,
    },
}

/// A full resynchronization to receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The framing; its header line has been read.
    pub form: Form,
    /// What has been read of the payload.
    pub already: Vec<u8>,
    /// Whether the payload continues the history that our data belongs to: then the old data may be served meanwhile.
    pub same_history: bool,
}

/// Where a machine leaves its effects.
pub(crate) trait Effects {
    fn log(&mut self, level: Level, text: impl Into<String>);
    fn notice(&mut self, text: impl Into<String>) {
        self.log(Level::Notice, text);
    }
    fn warning(&mut self, text: impl Into<String>) {
        self.log(Level::Warning, text);
    }
}

impl Effects for Vec<Effect> {
    fn log(&mut self, level: Level, text: impl Into<String>) {
        self.push(Effect::Log {
            level,
            text: text.into(),
        });
    }
}
