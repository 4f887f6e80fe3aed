//! Background jobs: what they are given and what they give back. Their bodies are functions over `Read`, `Write` and
//! [`crate::Disk`], so that the server runs them on threads and the simulator in place.

use base::{DbIndex, Offset, ReplId};
use engine::SessionId;
use keyspace::{Frozen, Keyspace};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

mod load;
mod save;
#[cfg(test)]
mod tests;
mod watch;

pub use load::{FileLoad, FromPrimary, run_load, run_load_file, run_load_letting_go};
pub use save::{run_save, run_transfer};

/// Tells a job to stop, from another thread. Clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<CancelFlag>);

#[derive(Debug, Default)]
struct CancelFlag {
    raised: AtomicBool,
    /// Held while what the job made takes the place of what was there.
    commit: Mutex<()>,
}

impl Cancel {
    /// Asks the job to stop soon. On return, what it made is either in its place already or will never be: what is put
    /// there next is not overwritten.
    pub fn cancel(&self) {
        self.0.raised.store(true, Ordering::SeqCst);
        drop(self.0.commit.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.raised.load(Ordering::Relaxed)
    }

    /// Runs `commit`, unless the job is cancelled before.
    fn commit<T>(&self, commit: impl FnOnce() -> T) -> Option<T> {
        let _held = self.0.commit.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.0.raised.load(Ordering::SeqCst)).then(commit)
    }
}

/// How far a job is, for INFO.
#[derive(Debug, Default)]
pub struct Progress {
    /// Keys done.
    pub keys: AtomicU64,
    /// Bytes done.
    pub bytes: AtomicU64,
    /// Bytes in all, when known.
    pub total_bytes: AtomicU64,
}

/// Where a dataset stands in a replication history: what an RDB file tells so that a restart can resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The history.
    pub replid: ReplId,
    /// The offset of the dataset in it.
    pub offset: Offset,
    /// The database that the stream stands in there.
    pub stream_db: Option<DbIndex>,
}

/// How a dataset is to be written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Compress strings.
    pub compression: bool,
    /// End with a checksum.
    pub checksum: bool,
    /// Microseconds to wait per key (per so many keys when negative), for tests.
    pub key_delay_us: i64,
    /// Where the dataset stands.
    pub position: Option<Position>,
    /// When the save began, seconds since the epoch: aux field `ctime`.
    pub unix_seconds: i64,
    /// Bytes in use: aux field `used-mem`.
    pub used_memory: u64,
    /// What the access clocks mean, under a policy for which they are worth saving.
    pub access_clock: Option<rdb::AccessClock>,
    /// Function libraries to be passed on.
    pub functions: Arc<[Vec<u8>]>,
    /// In which form hashes with expiring fields are written.
    pub field_expiries: rdb::FieldExpiries,
}

/// A save to disk.
pub struct SaveJob {
    /// Names the job in [`crate::Done::Saved`].
    pub id: u64,
    /// What to save.
    pub frozen: Frozen,
    /// The file that it becomes when it is whole.
    pub file: String,
    /// How.
    pub options: WriteOptions,
    /// Stops it.
    pub cancel: Cancel,
    /// How far it is.
    pub progress: Arc<Progress>,
}

/// How a snapshot is framed on a replication link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadForm {
    /// `$<bytes>`: so many bytes follow.
    Sized(u64),
    /// `$EOF:<mark>`: the mark follows the snapshot.
    Marked([u8; 40]),
}

/// A snapshot for a replica.
pub struct TransferJob {
    /// Whom it goes to.
    pub replica: SessionId,
    /// What to send; shared by the replicas that asked together.
    pub frozen: Frozen,
    /// Framed with this mark as it is encoded; with `None`, sized, through a temporary file.
    pub mark: Option<[u8; 40]>,
    /// How.
    pub options: WriteOptions,
    /// Stops it.
    pub cancel: Cancel,
    /// How far it is.
    pub progress: Arc<Progress>,
    /// The replica counts as lost when it takes nothing for so long, in milliseconds.
    pub timeout_ms: u64,
}

/// Whether a loaded dataset is built in memory at once, or received to a file first because both do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadVia {
    /// Decoded as it comes, beside the old data.
    Memory,
    /// Received to a file and verified; the old data goes, then the file is loaded.
    File,
}

/// A snapshot from the primary.
pub struct LoadJob {
    /// Names the job in [`crate::Done::Loaded`].
    pub id: u64,
    /// How it is framed.
    pub form: PayloadForm,
    /// Bytes of it that were read already.
    pub already: Vec<u8>,
    /// The keyspace to fill: empty, as large as configured, seeded.
    pub into: Keyspace,
    /// In memory or through a file.
    pub via: LoadVia,
    /// Compare the checksum at the end.
    pub checksum: bool,
    /// What the access clocks mean.
    pub access_clock: rdb::AccessClock,
    /// Microseconds to wait per key, for tests.
    pub key_delay_us: i64,
    /// Up to where collections are small.
    pub encodings: keyspace::Encodings,
    /// Stops it.
    pub cancel: Cancel,
    /// How far it is.
    pub progress: Arc<Progress>,
    /// The primary counts as lost when it sends nothing for so long, in milliseconds.
    pub timeout_ms: u64,
}

/// A dataset that was read whole.
pub struct Loaded {
    /// The keys.
    pub keyspace: Keyspace,
    /// What the file said of its place in a history.
    pub position: Option<Position>,
    /// Keys loaded.
    pub keys: u64,
    /// Keys passed over because their time had passed.
    pub expired: u64,
    /// Keys passed over because nothing was in them.
    pub empty: u64,
    /// Some of these.
    pub empty_keys: Vec<Vec<u8>>,
    /// Function libraries, kept to be saved and passed on.
    pub functions: Vec<Vec<u8>>,
    /// Bytes that came after the snapshot: the beginning of the stream.
    pub rest: Vec<u8>,
}

/// Why a dataset was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadFailure {
    /// The connection or the file failed.
    Io(String),
    /// Nothing came for too long.
    Timeout,
    /// What came is no dataset that can be loaded.
    Bad(String),
    /// It was told to stop.
    Cancelled,
}

impl std::fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(what) | Self::Bad(what) => f.write_str(what),
            Self::Timeout => f.write_str("nothing came for too long"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}
