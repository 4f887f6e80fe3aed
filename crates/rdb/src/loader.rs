//! RDB data into a fresh keyspace.

use crate::batch::{Attributes, Batch};
use crate::decode::Home;
use crate::error::LoadError;
use crate::facts::{AccessClock, Position, Watch, WatchCancelled, Watched};
use crate::format::{Format, ValueType};
use crate::input::StringRef;
use crate::reader::{Checksum, KeyHead, Reader, Record, StringValue, Verify};
use base::{DbIndex, Millis, Offset, ReplId, number};
use keyspace::{Encodings, Keyspace, NewValue};
use std::io::Read;

/// So many aux fields that mean nothing here are kept for the log; the others are dropped.
const OTHER_AUX_MAX: usize = 64;

/// So many keys with nothing in them are kept for the log.
const EMPTY_KEYS_MAX: usize = 10;

/// What happens to a key that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// It stops the load.
    Refused,
    /// The later one counts.
    Replace,
}

/// What happens to keys that have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// They are left out, if they expired before this time: on a primary.
    Drop(Millis),
    /// They are loaded: on a replica, whose primary will say when they go, and before commands that came after them.
    Keep,
}

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// What happens to keys that have expired.
    pub expired: Expired,
    /// What happens to a key that is there already.
    pub duplicates: Duplicates,
    /// `rdbchecksum`, `sanitize-dump-payload` and their like: whether the checksum is compared.
    pub verify: Verify,
    /// What the access clocks mean.
    pub access_clock: AccessClock,
    /// `key-load-delay`, in microseconds a key; negative: one microsecond every so many keys.
    pub key_delay_microseconds: i64,
    /// Up to where collections are small.
    pub encodings: Encodings,
}

impl Default for LoadOptions {
    /// As a replica loads, with an access clock of 0.
    fn default() -> Self {
        Self {
            expired: Expired::Keep,
            duplicates: Duplicates::Refused,
            verify: Verify::Checksum,
            access_clock: AccessClock::Lru { now_seconds: 0 },
            key_delay_microseconds: 0,
            encodings: Encodings::default(),
        }
    }
}

impl LoadOptions {
    /// Fields that expired before this moment are left out, as keys are.
    fn drop_expired(&self) -> Option<Millis> {
        match self.expired {
            Expired::Drop(now) => Some(now),
            Expired::Keep => None,
        }
    }

    fn attributes(&self, head: KeyHead) -> Attributes {
        Attributes {
            expiry: head.expiry,
            clock: self.access_clock.clock(head.idle_seconds, head.frequency),
        }
    }
}

/// The facts that came with the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aux {
    /// The version of the server that wrote them (`redis-ver`, `valkey-ver`).
    pub server_version: Option<String>,
    /// When, in seconds since the epoch (`ctime`).
    pub created_seconds: Option<i64>,
    /// How much memory they took there, in bytes (`used-mem`).
    pub used_memory_bytes: Option<u64>,
    /// Which state of which history they are, if all three fields are there and right.
    pub position: Option<Position>,
    /// Whether an append-only file follows (`aof-base`, `aof-preamble`).
    pub aof_base: bool,
    /// All others, name and value.
    pub other: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The format it was in.
    pub format: Format,
    /// The facts that came with it.
    pub aux: Aux,
    /// The sources of function libraries, to be kept and saved again.
    pub functions: Vec<Vec<u8>>,
    /// How many keys are in the keyspace now because of it.
    pub keys_loaded: u64,
    /// How many were left out because they had expired.
    pub keys_expired: u64,
    /// How many keys had nothing in them, and were left out.
    pub keys_empty: u64,
    /// Some of these.
    pub empty_keys: Vec<Vec<u8>>,
    /// How many bytes it was.
    pub bytes: u64,
    /// What its end said.
    pub checksum: Checksum,
}

/// Loads `input` into `keyspace`, which should be fresh: on an error it holds a part.
///
/// Reads to the end of the RDB data, perhaps further: give it a source that ends there, such as those in
/// [`crate::transfer`].
///
/// # Errors
/// Any [`LoadError`].
pub fn load(
    input: impl Read,
    keyspace: &mut Keyspace,
    options: &LoadOptions,
    watch: &mut dyn Watch,
) -> Result<Summary, LoadError> {
    let mut reader = Reader::open(input, options.verify)?;
    load_from(&mut reader, keyspace, options, watch)
}

/// Reads `input` as [`load`] would, but keeps nothing: what it accepts, `load` will load into `databases` databases. Only
/// a key that is there twice passes unseen.
///
/// # Errors
/// Any [`LoadError`].
pub fn rehearse(
    input: impl Read,
    databases: u32,
    options: &LoadOptions,
    watch: &mut dyn Watch,
) -> Result<Summary, LoadError> {
    let mut reader = Reader::open(input, options.verify)?;
    run(&mut reader, Target::Nowhere { databases }, options, watch)
}

/// As [`load`], from a reader whose source can be had back afterwards.
///
/// # Errors
/// Any [`LoadError`].
pub fn load_from<R: Read>(
    reader: &mut Reader<R>,
    keyspace: &mut Keyspace,
    options: &LoadOptions,
    watch: &mut dyn Watch,
) -> Result<Summary, LoadError> {
    run(reader, Target::Keyspace(keyspace), options, watch)
}

/// Where keys go.
enum Target<'a> {
    Keyspace(&'a mut Keyspace),
    Nowhere { databases: u32 },
}

fn run<R: Read>(
    reader: &mut Reader<R>,
    mut target: Target<'_>,
    options: &LoadOptions,
    watch: &mut dyn Watch,
) -> Result<Summary, LoadError> {
    let mut loader = Loader {
        db: DbIndex(0),
        batch: Batch::new(options.duplicates),
        options,
        facts: Facts::default(),
        functions: Vec::new(),
        keys_loaded: 0,
        keys_expired: 0,
        keys_empty: 0,
        empty_keys: Vec::new(),
        home: match &target {
            Target::Keyspace(keyspace) => Home::new(keyspace.db(DbIndex(0)), options.encodings, options.drop_expired()),
            Target::Nowhere { .. } => Home::nowhere(options.encodings),
        },
    };
    let mut watched = Watched::new(watch, options.key_delay_microseconds);
    let checksum = loop {
        let at = reader.bytes_read();
        match reader.next_record()? {
            Record::Key(head) => {
                loader.key(head, reader, &mut target, &mut watched)?;
                watched.key_done(reader.bytes_read())?;
            }
            Record::End(checksum) => break checksum,
            record => loader.other(record, &mut target, at)?,
        }
    };
    loader.flush(&mut target)?;
    watched.tell(reader.bytes_read())?;
    Ok(Summary {
        format: reader.format(),
        aux: loader.facts.into_aux(),
        functions: loader.functions,
        keys_loaded: loader.keys_loaded,
        keys_expired: loader.keys_expired,
        keys_empty: loader.keys_empty,
        empty_keys: loader.empty_keys,
        bytes: reader.bytes_read(),
        checksum,
    })
}

struct Loader<'a> {
    db: DbIndex,
    batch: Batch,
    options: &'a LoadOptions,
    facts: Facts,
    functions: Vec<Vec<u8>>,
    keys_loaded: u64,
    keys_expired: u64,
    keys_empty: u64,
    empty_keys: Vec<Vec<u8>>,
    home: Home,
}

impl Loader<'_> {
    fn flush(&mut self, target: &mut Target<'_>) -> Result<(), LoadError> {
        match target {
            Target::Keyspace(keyspace) => self.batch.flush(keyspace),
            Target::Nowhere { .. } => Ok(()),
        }
    }

    fn other(&mut self, record: Record<'_>, target: &mut Target<'_>, at: u64) -> Result<(), LoadError> {
        match record {
            Record::SelectDb(index) => {
                self.flush(target)?;
                let databases = match target {
                    Target::Keyspace(keyspace) => keyspace.databases(),
                    Target::Nowhere { databases } => *databases,
                };
                match u32::try_from(index) {
                    Ok(number) if number < databases => {
                        self.db = DbIndex(number);
                        self.batch.select(self.db);
                    }
                    _ => return Err(LoadError::DatabaseOutOfRange { index, databases }),
                }
            }
            Record::Aux { name, value } => self.facts.add(name, value),
            Record::Function(code) => self.functions.push(code.to_vec()),
            Record::ModuleAux(id) => {
                let what = format!("data of the module type '{}'", id.name());
                return Err(LoadError::Unsupported { at, what });
            }
            Record::SlotImport => {
                let what = "the state of a cluster slot being imported".into();
                return Err(LoadError::Unsupported { at, what });
            }
            Record::Resize { keys, .. } => self.batch.announce(keys),
            // Hints only, and nothing to prepare for.
            _ => {}
        }
        Ok(())
    }

    fn key<R: Read>(
        &mut self,
        head: KeyHead,
        reader: &mut Reader<R>,
        target: &mut Target<'_>,
        watched: &mut Watched<'_>,
    ) -> Result<(), LoadError> {
        if matches!(head.value_type, ValueType::Module | ValueType::ModulePreGa) {
            return Err(self.no_home(head, reader));
        }
        if let (Expired::Drop(now), Some(expiry)) = (self.options.expired, head.expiry)
            && expiry < now
        {
            self.keys_expired += 1;
            return Ok(());
        }
        if head.value_type != ValueType::String {
            return self.collection(head, reader, target);
        }
        self.keys_loaded += 1;
        let Target::Keyspace(keyspace) = target else {
            return Ok(());
        };
        match reader.string()? {
            StringValue::Whole(key, value) => {
                let value = match value {
                    StringRef::Int(number) => NewValue::Int(number),
                    StringRef::Bytes(bytes) => NewValue::Bytes(bytes),
                };
                let attributes = self.options.attributes(head);
                self.batch.push(keyspace, key, value, attributes)?;
            }
            StringValue::Long(_) => self.long_string(head, reader, keyspace, watched)?,
        }
        Ok(())
    }

    fn collection<R: Read>(
        &mut self,
        head: KeyHead,
        reader: &mut Reader<R>,
        target: &mut Target<'_>,
    ) -> Result<(), LoadError> {
        let attributes = self.options.attributes(head);
        let batch = &mut self.batch;
        let loaded = reader.collection(&self.home, |key, value| match (value, target) {
            (None, _) => Ok::<_, LoadError>(false),
            (Some(_), Target::Nowhere { .. }) => Ok(true),
            (Some(value), Target::Keyspace(keyspace)) => {
                batch.push(keyspace, key, value, attributes)?;
                Ok(true)
            }
        })??;
        if loaded {
            self.keys_loaded += 1;
        } else {
            self.keys_empty += 1;
            if self.empty_keys.len() < EMPTY_KEYS_MAX {
                self.empty_keys.push(reader.key().to_vec());
            }
        }
        Ok(())
    }

    /// A string that goes into the keyspace as it comes, never being whole anywhere else.
    fn long_string<R: Read>(
        &mut self,
        head: KeyHead,
        reader: &mut Reader<R>,
        keyspace: &mut Keyspace,
        watched: &mut Watched<'_>,
    ) -> Result<(), LoadError> {
        let key = reader.key().to_vec();
        let hash = keyspace.hash(&key);
        let mut begun = false;
        while let Some(piece) = reader.piece()? {
            if begun {
                if let Some(mut string) = keyspace.db_mut(self.db).string_mut(&key, hash) {
                    string.append(piece);
                }
            } else {
                let attributes = self.options.attributes(head);
                self.batch.push(keyspace, &key, NewValue::RawBytes(piece), attributes)?;
                begun = true;
            }
            watched.bytes_done(reader.bytes_read())?;
        }
        Ok(())
    }

    /// A value of a module stops the load with the module's name.
    fn no_home<R: Read>(&self, head: KeyHead, reader: &mut Reader<R>) -> LoadError {
        let key = reader.key().to_vec();
        let what = match reader.module() {
            Ok(id) => format!("value of the module type '{}'", id.name()),
            Err(error) => return error,
        };
        LoadError::UnsupportedType {
            what,
            byte: head.type_byte,
            db: self.db,
            key,
        }
    }
}

impl From<WatchCancelled> for LoadError {
    fn from(_: WatchCancelled) -> Self {
        Self::Cancelled
    }
}

/// Aux fields as they come, until all are there.
#[derive(Default)]
struct Facts {
    aux: Aux,
    replid: Option<ReplId>,
    offset: Option<u64>,
    stream_db: Option<u32>,
}

impl Facts {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        let number = || number::parse_i64(value);
        match name.to_ascii_lowercase().as_slice() {
            b"redis-ver" | b"valkey-ver" => {
                self.aux.server_version = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"ctime" => self.aux.created_seconds = number(),
            b"used-mem" => self.aux.used_memory_bytes = number().map(|bytes| bytes.max(0) as u64),
            b"repl-id" => self.replid = ReplId::parse(value),
            b"repl-offset" => self.offset = number::parse_u64(value),
            b"repl-stream-db" => self.stream_db = number().and_then(|index| u32::try_from(index).ok()),
            b"aof-base" | b"aof-preamble" => self.aux.aof_base = number().is_some_and(|flag| flag != 0),
            _ if self.aux.other.len() < OTHER_AUX_MAX => self.aux.other.push((name.to_vec(), value.to_vec())),
            _ => {}
        }
    }

    fn into_aux(self) -> Aux {
        let position = match (self.replid, self.offset, self.stream_db) {
            (Some(replid), Some(offset), Some(db)) => Some(Position {
                replid,
                offset: Offset(offset),
                stream_db: DbIndex(db),
            }),
            _ => None,
        };
        Aux { position, ..self.aux }
    }
}
