//! Snapshots coming in: from the primary, or from a file.
//!
//! ```text
//! via memory:  socket ─► decoded into the new keyspace ─► the end checked
//! via a file:  socket ─► temp-load-<job>.rdb ─► rehearsed ─► the old data goes ─► decoded ─► removed
//! ```

use super::save::remove;
use super::watch::JobWatch;
use super::{Cancel, LoadFailure, LoadJob, LoadVia, Loaded, PayloadForm, Position, Progress};
use crate::outside::Disk;
use keyspace::Keyspace;
use rdb::transfer::{FramedReader, Framing};
use rdb::{Duplicates, Expired, LoadError, LoadOptions, Reader, Summary, Verify};
use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;

/// The connection that a snapshot comes through.
pub trait FromPrimary: Read {
    /// Called often while the load works without reading: tells the primary, as often as it must hear that, that nobody
    /// is dead here.
    fn still_loading(&mut self);
}

/// Reads the snapshot that the primary sends through `input`, whole or not at all. The old data stays what it is.
///
/// # Errors
/// Why there is no new dataset.
pub fn run_load(
    disk: &dyn Disk,
    job: LoadJob,
    input: &mut dyn Read,
    sleep: &mut dyn FnMut(u64),
) -> Result<Box<Loaded>, LoadFailure> {
    run_load_letting_go(disk, job, &mut Silent(input), sleep, &mut || Ok(()))
}

/// A connection over which nothing is told.
struct Silent<'a>(&'a mut dyn Read);

impl Read for Silent<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl FromPrimary for Silent<'_> {
    fn still_loading(&mut self) {}
}

/// As [`run_load`], with the old data making room for the new.
///
/// When the snapshot goes through a file, `let_go` is called once the file is known to be loadable, and must return when the old
/// data is gone. Where that fails, the old data stays.
///
/// # Errors
/// Why there is no new dataset.
pub fn run_load_letting_go(
    disk: &dyn Disk,
    job: LoadJob,
    input: &mut dyn FromPrimary,
    sleep: &mut dyn FnMut(u64),
    let_go: &mut dyn FnMut() -> Result<(), LoadFailure>,
) -> Result<Box<Loaded>, LoadFailure> {
    let cancel = job.cancel.clone();
    let outcome = match job.via {
        LoadVia::Memory => through_memory(job, input, sleep),
        LoadVia::File => through_file(disk, job, input, sleep, let_go),
    };
    outcome.map_err(|failure| {
        if cancel.is_cancelled() {
            LoadFailure::Cancelled
        } else {
            failure
        }
    })
}

fn through_memory(
    job: LoadJob,
    input: &mut dyn FromPrimary,
    sleep: &mut dyn FnMut(u64),
) -> Result<Box<Loaded>, LoadFailure> {
    let options = options(&job);
    let LoadJob {
        form,
        already,
        mut into,
        cancel,
        progress,
        ..
    } = job;
    note_size(&progress, form);
    let mut framed = framing(form).reader(already, input);
    let mut watch = JobWatch {
        cancel: &cancel,
        progress: &progress,
        sleep,
        alive: &mut || {},
    };
    let mut reader = Reader::open(&mut framed, options.verify)?;
    let summary = rdb::load_from(&mut reader, &mut into, &options, &mut watch)?;
    if !reader.into_parts().1.is_empty() {
        return Err(LoadFailure::Bad(
            "the transfer goes on after the end of its RDB data".into(),
        ));
    }
    framed.finish()?;
    let (_, rest) = framed.into_parts();
    Ok(loaded(into, summary, rest))
}

fn through_file(
    disk: &dyn Disk,
    job: LoadJob,
    input: &mut dyn FromPrimary,
    sleep: &mut dyn FnMut(u64),
    let_go: &mut dyn FnMut() -> Result<(), LoadFailure>,
) -> Result<Box<Loaded>, LoadFailure> {
    let name = format!("temp-load-{}.rdb", job.id);
    let options = options(&job);
    let LoadJob {
        form,
        already,
        into,
        cancel,
        progress,
        ..
    } = job;
    note_size(&progress, form);
    let received = receive(
        disk,
        &name,
        framing(form).reader(already, &mut *input),
        &cancel,
        &progress,
    );
    let mut alive = || input.still_loading();
    let outcome = received.and_then(|rest| {
        rehearse(disk, &name, into.databases(), &options, &cancel, &mut alive)?;
        let_go()?;
        // A key that is there twice is the one thing that a rehearsal does not see, and no reason to lose all others.
        let options = LoadOptions {
            duplicates: Duplicates::Replace,
            ..options
        };
        let file = FileLoad {
            file: &name,
            into,
            options,
            cancel: &cancel,
            progress: &progress,
        };
        let mut loaded = load_file(disk, file, sleep, &mut alive)?;
        loaded.rest = rest;
        Ok(loaded)
    });
    remove(disk, &name);
    outcome
}

/// Copies a transfer to a file; gives the bytes that came after it.
fn receive(
    disk: &dyn Disk,
    name: &str,
    mut framed: FramedReader<&mut dyn FromPrimary>,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<Vec<u8>, LoadFailure> {
    let in_file = |error: io::Error| LoadFailure::Io(format!("{name}: {error}"));
    let mut file = disk.create(name).map_err(in_file)?;
    let mut broken = None;
    let mut counted = Counted {
        file: &mut file,
        cancel,
        progress,
        bytes: 0,
        broken: &mut broken,
    };
    let copied = rdb::transfer::copy(&mut framed, &mut counted);
    match (broken, copied) {
        (Some(error), _) => Err(in_file(error)),
        (None, Ok(_)) => Ok(framed.into_parts().1),
        (None, Err(error)) => Err(LoadError::Io {
            at: framed.bytes_read(),
            error,
        }
        .into()),
    }
}

/// Makes sure that a file will load, before what it replaces is given up.
fn rehearse(
    disk: &dyn Disk,
    name: &str,
    databases: u32,
    options: &LoadOptions,
    cancel: &Cancel,
    alive: &mut dyn FnMut(),
) -> Result<(), LoadFailure> {
    let file = disk
        .open(name)
        .map_err(|error| LoadFailure::Io(format!("{name}: {error}")))?;
    // Its figures are nobody's progress.
    let progress = Progress::default();
    let mut watch = JobWatch {
        cancel,
        progress: &progress,
        sleep: &mut |_| {},
        alive,
    };
    let options = LoadOptions {
        key_delay_microseconds: 0,
        ..*options
    };
    rdb::rehearse(file, databases, &options, &mut watch)?;
    Ok(())
}

/// A file to be loaded: at the start, for DEBUG RELOAD, or as the second half of a transfer.
pub struct FileLoad<'a> {
    /// Its name.
    pub file: &'a str,
    /// The keyspace to fill: empty, as large as configured, seeded.
    pub into: Keyspace,
    /// How.
    pub options: LoadOptions,
    /// Stops it.
    pub cancel: &'a Cancel,
    /// How far it is.
    pub progress: &'a Progress,
}

/// Loads a file.
///
/// # Errors
/// Why there is no dataset.
pub fn run_load_file(
    disk: &dyn Disk,
    job: FileLoad<'_>,
    sleep: &mut dyn FnMut(u64),
) -> Result<Box<Loaded>, LoadFailure> {
    load_file(disk, job, sleep, &mut || {})
}

fn load_file(
    disk: &dyn Disk,
    job: FileLoad<'_>,
    sleep: &mut dyn FnMut(u64),
    alive: &mut dyn FnMut(),
) -> Result<Box<Loaded>, LoadFailure> {
    let FileLoad {
        file,
        mut into,
        options,
        cancel,
        progress,
    } = job;
    let in_file = |error: io::Error| LoadFailure::Io(format!("{file}: {error}"));
    let size = disk.size(file).map_err(in_file)?.unwrap_or(0);
    progress.total_bytes.store(size, Ordering::Relaxed);
    let input = disk.open(file).map_err(in_file)?;
    let mut watch = JobWatch {
        cancel,
        progress,
        sleep,
        alive,
    };
    let summary = rdb::load(input, &mut into, &options, &mut watch)?;
    Ok(loaded(into, summary, Vec::new()))
}

fn options(job: &LoadJob) -> LoadOptions {
    LoadOptions {
        expired: Expired::Keep,
        duplicates: Duplicates::Refused,
        verify: if job.checksum {
            Verify::Checksum
        } else {
            Verify::Nothing
        },
        access_clock: job.access_clock,
        key_delay_microseconds: job.key_delay_us,
        encodings: job.encodings,
    }
}

fn framing(form: PayloadForm) -> Framing {
    match form {
        PayloadForm::Sized(bytes) => Framing::Sized(bytes),
        PayloadForm::Marked(mark) => Framing::Marked(mark),
    }
}

fn note_size(progress: &Progress, form: PayloadForm) {
    if let PayloadForm::Sized(bytes) = form {
        progress.total_bytes.store(bytes, Ordering::Relaxed);
    }
}

fn loaded(keyspace: Keyspace, summary: Summary, rest: Vec<u8>) -> Box<Loaded> {
    Box::new(Loaded {
        keyspace,
        position: summary.aux.position.map(Position::from),
        keys: summary.keys_loaded,
        expired: summary.keys_expired,
        empty: summary.keys_empty,
        empty_keys: summary.empty_keys,
        functions: summary.functions,
        rest,
    })
}

impl From<LoadError> for LoadFailure {
    fn from(error: LoadError) -> Self {
        match &error {
            LoadError::Cancelled => Self::Cancelled,
            LoadError::Io { error, .. }
                if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) =>
            {
                Self::Timeout
            }
            LoadError::Io { .. } | LoadError::Truncated { .. } => Self::Io(error.to_string()),
            _ => Self::Bad(error.to_string()),
        }
    }
}

/// A file that counts what is written to it, and tells its own failures from those of the other side.
struct Counted<'a> {
    file: &'a mut dyn Write,
    cancel: &'a Cancel,
    progress: &'a Progress,
    bytes: u64,
    broken: &'a mut Option<io::Error>,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        match self.file.write(bytes) {
            Ok(written) => {
                self.bytes += written as u64;
                self.progress.bytes.store(self.bytes, Ordering::Relaxed);
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                *self.broken = Some(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
