//! Snapshots going out: to a file, or through a replica's socket.
//!
//! ```text
//! save:      frozen ─► temp-<job>-<file> ─► sync ─► rename, unless cancelled by then
//! transfer:  frozen ─► $EOF:<mark> ─► encoded as the socket takes it ─► mark
//!        or  frozen ─► temp-<job>-... ─► $<bytes> ─► the file ─► removed
//! ```

use super::watch::JobWatch;
use super::{Cancel, Position, SaveJob, TransferJob, WriteOptions};
use crate::outside::{Disk, DiskFile};
use base::DbIndex;
use rdb::transfer::Framing;
use rdb::{Compression, FieldExpiries, SaveError, SaveOptions, Watch};
use std::io::{self, Read, Write};

/// How much of a file is sent at a time.
const COPY_BYTES: usize = 256 * 1024;

/// How much is encoded before it is handed on, when every key is delayed: the other side must see that something comes.
const DELAYED_CHUNK_BYTES: usize = 16 * 1024;

/// While a snapshot is written to a file first, the replica gets an empty line every so many bytes,
const ALIVE_BYTES: u64 = 8 * 1024 * 1024;
/// or microseconds of delay.
const ALIVE_PAUSE_MICROSECONDS: u64 = 1_000_000;

const UNREADABLE: &str = "the dataset has hashes with expiring fields, which this replica cannot read: it must be Skein, \
                          Valkey 9 or Redis 8";

const CANCELLED: &str = "cancelled";

/// Saves to `job.file`, which is either replaced by a whole and durable file, or left as it was. Gives the number of
/// keys.
///
/// # Errors
/// What went wrong, in words.
pub fn run_save(disk: &dyn Disk, job: SaveJob, sleep: &mut dyn FnMut(u64)) -> Result<u64, String> {
    let temporary = format!("temp-{}-{}", job.id, job.file);
    let SaveJob {
        frozen,
        file,
        options,
        cancel,
        progress,
        ..
    } = job;
    let mut watch = JobWatch {
        cancel: &cancel,
        progress: &progress,
        sleep,
        alive: &mut || {},
    };
    let written = write_file(disk, &temporary, frozen, &options, &mut watch).and_then(|(mut written, saved)| {
        written.sync().map_err(|error| format!("{temporary}: {error}"))?;
        Ok(saved)
    });
    let outcome = written.and_then(|saved| match cancel.commit(|| disk.rename(&temporary, &file)) {
        Some(Ok(())) => Ok(saved.keys),
        Some(Err(error)) => Err(format!("renaming {temporary} to {file}: {error}")),
        None => Err(CANCELLED.into()),
    });
    if outcome.is_err() {
        remove(disk, &temporary);
    }
    outcome
}

/// Sends a snapshot through `out`, framed as the replica expects it. Gives the number of bytes.
///
/// # Errors
/// What went wrong, in words.
pub fn run_transfer(
    disk: &dyn Disk,
    job: TransferJob,
    out: &mut dyn Write,
    sleep: &mut dyn FnMut(u64),
) -> Result<u64, String> {
    let cancel = job.cancel.clone();
    if job.frozen.has_field_expiries() && job.options.field_expiries == FieldExpiries::Refused {
        // A replica that waits for a payload takes such a line as the reason why there is none.
        let told = out.write_all(format!("-ERR {UNREADABLE}\r\n").as_bytes());
        let told = told.and_then(|()| out.flush());
        return Err(told.map_or_else(|error| format!("{UNREADABLE}: {error}"), |()| UNREADABLE.into()));
    }
    let outcome = match job.mark {
        Some(mark) => transfer_marked(mark, job, out, sleep),
        None => transfer_sized(disk, job, out, sleep),
    };
    outcome.map_err(|what| if cancel.is_cancelled() { CANCELLED.into() } else { what })
}

fn transfer_marked(
    mark: [u8; 40],
    job: TransferJob,
    out: &mut dyn Write,
    sleep: &mut dyn FnMut(u64),
) -> Result<u64, String> {
    let TransferJob {
        frozen,
        options,
        cancel,
        progress,
        ..
    } = job;
    let mut watch = JobWatch {
        cancel: &cancel,
        progress: &progress,
        sleep,
        alive: &mut || {},
    };
    let announcement = Framing::Marked(mark).announcement();
    out.write_all(&announcement).map_err(|error| error.to_string())?;
    let saved = rdb::save(out, frozen, &save_options(&options), &mut watch).map_err(|error| error.to_string())?;
    out.write_all(&mark)
        .and_then(|()| out.flush())
        .map_err(|error| error.to_string())?;
    Ok(announcement.len() as u64 + saved.bytes + mark.len() as u64)
}

fn transfer_sized(
    disk: &dyn Disk,
    job: TransferJob,
    out: &mut dyn Write,
    sleep: &mut dyn FnMut(u64),
) -> Result<u64, String> {
    let temporary = format!("temp-repl-{}.rdb", job.replica.number);
    let TransferJob {
        frozen,
        options,
        cancel,
        progress,
        ..
    } = job;
    let mut watch = AliveWatch {
        inner: JobWatch {
            cancel: &cancel,
            progress: &progress,
            sleep,
            alive: &mut || {},
        },
        out,
        next_bytes: ALIVE_BYTES,
        paused: 0,
        lost: None,
    };
    let written = write_file(disk, &temporary, frozen, &options, &mut watch).map(|(_, saved)| saved.bytes);
    let lost = watch.lost.take();
    let outcome = match (lost, written) {
        (Some(error), _) => Err(error.to_string()),
        (None, Ok(bytes)) => send_file(disk, &temporary, bytes, &cancel, out),
        (None, Err(what)) => Err(what),
    };
    remove(disk, &temporary);
    outcome
}

/// Sends a file of `bytes` bytes, announced.
fn send_file(disk: &dyn Disk, name: &str, bytes: u64, cancel: &Cancel, out: &mut dyn Write) -> Result<u64, String> {
    let in_file = |error: io::Error| format!("{name}: {error}");
    let mut file = disk.open(name).map_err(in_file)?;
    let announcement = Framing::Sized(bytes).announcement();
    out.write_all(&announcement).map_err(|error| error.to_string())?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut left = bytes;
    while left > 0 {
        if cancel.is_cancelled() {
            return Err(CANCELLED.into());
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match file.read(&mut buffer[..most]) {
            Ok(0) => return Err(format!("{name}: shorter than it was written")),
            Ok(read) => {
                out.write_all(&buffer[..read]).map_err(|error| error.to_string())?;
                left -= read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(in_file(error)),
        }
    }
    out.flush().map_err(|error| error.to_string())?;
    Ok(announcement.len() as u64 + bytes)
}

fn write_file(
    disk: &dyn Disk,
    name: &str,
    frozen: keyspace::Frozen,
    options: &WriteOptions,
    watch: &mut dyn Watch,
) -> Result<(Box<dyn DiskFile>, rdb::Saved), String> {
    let mut file = disk.create(name).map_err(|error| format!("{name}: {error}"))?;
    match rdb::save(&mut file, frozen, &save_options(options), watch) {
        Ok(saved) => Ok((file, saved)),
        Err(SaveError::Io(error)) => Err(format!("{name}: {error}")),
        Err(error) => Err(error.to_string()),
    }
}

/// A temporary file that is of no use any more. If it cannot be removed, the next job of that name overwrites it.
pub(super) fn remove(disk: &dyn Disk, name: &str) {
    let _ = disk.remove(name);
}

fn save_options(options: &WriteOptions) -> SaveOptions {
    let standard = SaveOptions::default();
    SaveOptions {
        created_seconds: options.unix_seconds,
        used_memory_bytes: options.used_memory,
        position: options.position.map(rdb::Position::from),
        functions: options.functions.clone(),
        compression: if options.compression {
            Compression::Lzf
        } else {
            Compression::Off
        },
        checksum: options.checksum,
        access_clock: options.access_clock,
        field_expiries: options.field_expiries,
        key_delay_microseconds: options.key_delay_us,
        chunk_bytes: if options.key_delay_us > 0 {
            DELAYED_CHUNK_BYTES
        } else {
            standard.chunk_bytes
        },
        ..standard
    }
}

impl From<Position> for rdb::Position {
    fn from(position: Position) -> Self {
        // The stream names its database before its next command when it stands in none.
        let stream_db = position.stream_db.unwrap_or(DbIndex(0));
        Self {
            replid: position.replid,
            offset: position.offset,
            stream_db,
        }
    }
}

impl From<rdb::Position> for Position {
    fn from(position: rdb::Position) -> Self {
        Self {
            replid: position.replid,
            offset: position.offset,
            stream_db: Some(position.stream_db),
        }
    }
}

/// Tells the replica that it is not forgotten while its snapshot goes to a file.
struct AliveWatch<'a, 'o> {
    inner: JobWatch<'a>,
    out: &'o mut dyn Write,
    next_bytes: u64,
    paused: u64,
    lost: Option<io::Error>,
}

impl AliveWatch<'_, '_> {
    fn alive(&mut self) {
        if self.lost.is_none() {
            self.lost = self.out.write_all(b"\n").and_then(|()| self.out.flush()).err();
        }
    }
}

impl Watch for AliveWatch<'_, '_> {
    fn progress(&mut self, keys: u64, bytes: u64) {
        self.inner.progress(keys, bytes);
        if bytes >= self.next_bytes {
            self.next_bytes = bytes + ALIVE_BYTES;
            self.alive();
        }
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled() || self.lost.is_some()
    }

    fn pause(&mut self, microseconds: u64) {
        self.inner.pause(microseconds);
        self.paused += microseconds;
        if self.paused >= ALIVE_PAUSE_MICROSECONDS {
            self.paused = 0;
            self.alive();
        }
    }
}
