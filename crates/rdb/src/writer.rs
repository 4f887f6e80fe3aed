//! A frozen keyspace as RDB data: version 10, or a later one where hashes have expiring fields.

use crate::encode::{self, Encoder, FieldExpiries};
use crate::error::SaveError;
use crate::facts::{AccessClock, Position, Usage, Watch, WatchCancelled, Watched};
use crate::format::{REDIS_VERSION_MAX, VALKEY_VERSION, VERSION_WRITTEN, opcode};
use crate::output::{Compression, Output, Sink, StringWriter, WatchedOutput, put_length};
use keyspace::{Entry, Frozen, FrozenDb};
use std::io::{self, Write};
use std::sync::Arc;

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
    /// In which form hashes with expiring fields are written, if there are any: it decides the version then.
    pub field_expiries: FieldExpiries,
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
            field_expiries: FieldExpiries::Valkey,
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
/// [`SaveError::Io`] if `out` fails, [`SaveError::Cancelled`] if the watcher says so, [`SaveError::FieldExpiries`] if the
/// options refuse what is there. What was written is then of no use.
pub fn save(
    out: &mut dyn Write,
    frozen: Frozen,
    options: &SaveOptions,
    watch: &mut dyn Watch,
) -> Result<Saved, SaveError> {
    let has_expiries = frozen.has_field_expiries();
    if has_expiries && options.field_expiries == FieldExpiries::Refused {
        return Err(SaveError::FieldExpiries);
    }
    let output = Output::new(out, options.chunk_bytes.max(CHUNK_BYTES_MIN), options.checksum);
    let mut writer = Writer {
        out: WatchedOutput {
            output,
            watched: Watched::new(watch, options.key_delay_microseconds),
        },
        strings: StringWriter::new(options.compression),
        access_clock: options.access_clock,
        field_expiries: if has_expiries {
            options.field_expiries
        } else {
            FieldExpiries::Refused
        },
        gathered: Vec::new(),
    };
    writer.header(options)?;
    for db in frozen.databases() {
        if !db.is_empty() {
            writer.database(db)?;
        }
    }
    writer.out.put(&[opcode::EOF])?;
    let WatchedOutput { output, mut watched } = writer.out;
    watched.tell(output.at())?;
    let bytes = output.finish()?;
    Ok(Saved {
        keys: watched.keys,
        bytes,
    })
}

struct Writer<'a, W> {
    out: WatchedOutput<'a, W>,
    strings: StringWriter,
    access_clock: Option<AccessClock>,
    field_expiries: FieldExpiries,
    gathered: Vec<u8>,
}

impl<W: Write> Writer<'_, W> {
    fn header(&mut self, options: &SaveOptions) -> io::Result<()> {
        let magic = match self.field_expiries {
            FieldExpiries::Valkey => format!("VALKEY{VALKEY_VERSION:03}"),
            FieldExpiries::Redis => format!("REDIS{REDIS_VERSION_MAX:04}"),
            FieldExpiries::Refused => format!("REDIS{VERSION_WRITTEN:04}"),
        };
        self.out.put(magic.as_bytes())?;
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
        db.into_iter().visit(|entry| {
            self.entry(entry)?;
            let at = self.out.output.at();
            Ok(self.out.watched.key_done(at)?)
        })
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
        let value = entry.value();
        self.out.put(&[encode::type_byte(value, self.field_expiries)?])?;
        self.strings.put(&mut self.out, entry.key())?;
        let mut encoder = Encoder {
            out: &mut self.out,
            strings: &mut self.strings,
            gathered: &mut self.gathered,
        };
        encoder.value(value, self.field_expiries)
    }
}

impl From<WatchCancelled> for SaveError {
    fn from(_: WatchCancelled) -> Self {
        Self::Cancelled
    }
}
