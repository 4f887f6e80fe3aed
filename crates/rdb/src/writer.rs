//! A frozen keyspace as RDB data, version 10.

use crate::error::SaveError;
use crate::facts::{AccessClock, Position, Usage, Watch, WatchCancelled, Watched};
use crate::format::{VERSION_WRITTEN, opcode};
use crate::output::{Compression, Output, Sink, StringWriter, put_length};
use keyspace::{ChunkedString, Entry, Frozen, FrozenDb, ValueRef};
use std::io::{self, Write};
use std::sync::Arc;

/// The number of the type that strings are.
pub(crate) const TYPE_STRING: u8 = 0;

/// Long strings above this size are written from their chunks as they are: to compress them, all would have to be
/// brought together twice.
const COMPRESSED_CHUNKED_MAX: usize = 16 * 1024 * 1024;

/// The smallest buffer that makes sense.
const CHUNK_BYTES_MIN: usize = 512;

/// What to write besides the keys, and how.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// The version of the stock server that readers should think of.
    pub server_version: &'static str,
    /// When the keyspace was frozen, in seconds since the epoch.
    pub created_seconds: i64,
    /// How much memory it took, in bytes.
    pub used_memory_bytes: u64,
    /// Which state of which history it is, if replication has one.
    pub position: Option<Position>,
    /// Whether it begins an append-only file.
    pub aof_base: bool,
    /// The sources of the function libraries.
    pub functions: Arc<[Vec<u8>]>,
    /// `rdbcompression`.
    pub compression: Compression,
    /// `rdbchecksum`.
    pub checksum: bool,
    /// What the access clocks mean, under a policy for which they are worth saving.
    pub access_clock: Option<AccessClock>,
    /// `rdb-key-save-delay`, in microseconds a key; negative: one microsecond every so many keys.
    pub key_delay_microseconds: i64,
    /// How much is handed to the output at a time.
    pub chunk_bytes: usize,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self {
            server_version: "7.0.15",
            created_seconds: 0,
            used_memory_bytes: 0,
            position: None,
            aof_base: false,
            functions: Arc::from([]),
            compression: Compression::Lzf,
            checksum: true,
            access_clock: None,
            key_delay_microseconds: 0,
            chunk_bytes: 256 * 1024,
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// How many keys.
    pub keys: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Writes `frozen` to `out`, giving it up piece by piece.
///
/// # Errors
/// [`SaveError::Io`] if `out` fails, [`SaveError::Cancelled`] if the watcher says so. What was written is then of no
/// use.
pub fn save(
    out: &mut dyn Write,
    frozen: Frozen,
    options: &SaveOptions,
    watch: &mut dyn Watch,
) -> Result<Saved, SaveError> {
    let mut writer = Writer {
        out: Output::new(out, options.chunk_bytes.max(CHUNK_BYTES_MIN), options.checksum),
        strings: StringWriter::new(options.compression),
        access_clock: options.access_clock,
        watched: Watched::new(watch, options.key_delay_microseconds),
        gathered: Vec::new(),
    };
    writer.header(options)?;
    for db in frozen.databases() {
        if !db.is_empty() {
            writer.database(db)?;
        }
    }
    writer.out.put(&[opcode::EOF])?;
    let keys = writer.watched.keys;
    writer.watched.tell(writer.out.at())?;
    let bytes = writer.out.finish()?;
    Ok(Saved { keys, bytes })
}

struct Writer<'a, W> {
    out: Output<W>,
    strings: StringWriter,
    access_clock: Option<AccessClock>,
    watched: Watched<'a>,
    gathered: Vec<u8>,
}

impl<W: Write> Writer<'_, W> {
    fn header(&mut self, options: &SaveOptions) -> io::Result<()> {
        self.out.put(format!("REDIS{VERSION_WRITTEN:04}").as_bytes())?;
        self.aux("redis-ver", options.server_version.as_bytes())?;
        self.aux_int("redis-bits", 64)?;
        self.aux_int("ctime", options.created_seconds)?;
        self.aux_int("used-mem", options.used_memory_bytes as i64)?;
        if let Some(position) = &options.position {
            self.aux_int("repl-stream-db", i64::from(position.stream_db.0))?;
            self.aux("repl-id", position.replid.as_bytes())?;
            self.aux_int("repl-offset", position.offset.0 as i64)?;
        }
        self.aux_int("aof-base", i64::from(options.aof_base))?;
        for code in options.functions.iter() {
            self.out.put(&[opcode::FUNCTION])?;
            self.strings.put(&mut self.out, code)?;
        }
        Ok(())
    }

    fn aux(&mut self, name: &str, value: &[u8]) -> io::Result<()> {
        self.out.put(&[opcode::AUX])?;
        self.strings.put(&mut self.out, name.as_bytes())?;
        self.strings.put(&mut self.out, value)
    }

    fn aux_int(&mut self, name: &str, value: i64) -> io::Result<()> {
        self.out.put(&[opcode::AUX])?;
        self.strings.put(&mut self.out, name.as_bytes())?;
        self.strings.put_int(&mut self.out, value)
    }

    fn database(&mut self, db: FrozenDb) -> Result<(), SaveError> {
        self.out.put(&[opcode::SELECT_DB])?;
        put_length(&mut self.out, u64::from(db.index().0))?;
        self.out.put(&[opcode::RESIZE_DB])?;
        put_length(&mut self.out, db.len())?;
        put_length(&mut self.out, db.expiring_len())?;
        for entry in db {
            self.entry(&entry)?;
            self.watched.key_done(self.out.at())?;
        }
        Ok(())
    }

    #[inline]
    fn entry(&mut self, entry: &Entry) -> Result<(), SaveError> {
        if let Some(expiry) = entry.expiry() {
            let [a, b, c, d, e, f, g, h] = expiry.0.to_le_bytes();
            self.out.put(&[opcode::EXPIRE_MILLIS, a, b, c, d, e, f, g, h])?;
        }
        match self.access_clock.map(|clock| clock.usage(entry.clock())) {
            Some(Usage::IdleSeconds(seconds)) => {
                self.out.put(&[opcode::IDLE])?;
                put_length(&mut self.out, seconds)?;
            }
            Some(Usage::Frequency(frequency)) => self.out.put(&[opcode::FREQUENCY, frequency])?,
            None => {}
        }
        // Each type of value has its number before the key and its form after it.
        match entry.value() {
            ValueRef::Int(number) => {
                self.type_and_key(TYPE_STRING, entry.key())?;
                self.strings.put_int(&mut self.out, number)?;
            }
            ValueRef::Bytes(bytes) => {
                self.type_and_key(TYPE_STRING, entry.key())?;
                self.strings.put(&mut self.out, bytes)?;
            }
            ValueRef::Chunked(string) => {
                self.type_and_key(TYPE_STRING, entry.key())?;
                self.chunked(string)?;
            }
            _ => unreachable!("the keyspace holds a type of value that is not written yet"),
        }
        Ok(())
    }

    fn type_and_key(&mut self, type_byte: u8, key: &[u8]) -> io::Result<()> {
        self.out.put(&[type_byte])?;
        self.strings.put(&mut self.out, key)
    }

    fn chunked(&mut self, string: &ChunkedString) -> Result<(), SaveError> {
        if self.strings.compresses() && string.len() <= COMPRESSED_CHUNKED_MAX {
            gather(string, &mut self.gathered);
            self.strings.put(&mut self.out, &self.gathered)?;
            return Ok(());
        }
        put_length(&mut self.out, string.len() as u64)?;
        for chunk in string.chunks() {
            self.out.put(chunk)?;
            self.watched.bytes_done(self.out.at())?;
        }
        Ok(())
    }
}

/// Brings the chunks of a string together.
pub(crate) fn gather(string: &ChunkedString, gathered: &mut Vec<u8>) {
    gathered.clear();
    gathered.reserve(string.len());
    string.chunks().for_each(|chunk| gathered.extend_from_slice(chunk));
}

impl From<WatchCancelled> for SaveError {
    fn from(_: WatchCancelled) -> Self {
        Self::Cancelled
    }
}
