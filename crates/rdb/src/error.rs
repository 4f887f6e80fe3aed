//! Why reading or writing stopped, in words for operators.

use crate::format::{Family, Format, REDIS_VERSION_MAX, VALKEY_VERSION};
use base::DbIndex;
use std::{fmt, io};

/// At most so many bytes of a key are shown in an error.
const SHOWN_KEY_BYTES: usize = 64;

/// Why RDB data could not be read. Offsets count bytes from its beginning.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// Reading failed: a disk error, a lost connection, a timeout.
    Io {
        /// How many bytes had come.
        at: u64,
        /// What the system said.
        error: io::Error,
    },
    /// The data ends early.
    Truncated {
        /// How many bytes there are.
        at: u64,
    },
    /// The checksum at the end is not that of what was read.
    BadChecksum {
        /// What the data says.
        expected: u64,
        /// What it comes to.
        found: u64,
    },
    /// It does not begin as RDB data does; these are its first nine bytes.
    BadMagic([u8; 9]),
    /// A version that is not read.
    Version(Format),
    /// A key of a type that has no home here.
    UnsupportedType {
        /// What it is: `list`, `stream`, `module` and so on.
        what: String,
        /// The type's number.
        byte: u8,
        /// The database.
        db: DbIndex,
        /// The key.
        key: Vec<u8>,
    },
    /// Something beside the keys that cannot be kept: module data, slot imports.
    Unsupported {
        /// Where it begins.
        at: u64,
        /// What it is.
        what: String,
    },
    /// A database number that is not configured.
    DatabaseOutOfRange {
        /// The number.
        index: u64,
        /// How many databases there are.
        databases: u32,
    },
    /// The same key twice in one database.
    DuplicateKey {
        /// The database.
        db: DbIndex,
        /// The key.
        key: Vec<u8>,
    },
    /// The bytes make no sense.
    Corrupt {
        /// Where.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A packed value makes no sense.
    Block {
        /// Where it begins.
        at: u64,
        /// What it is.
        kind: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// The reader was told to stop.
    Cancelled,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { at, error } => write!(f, "reading failed after {at} bytes: {error}"),
            Self::Truncated { at } => write!(f, "the data ends too early, after {at} bytes"),
            Self::BadChecksum { expected, found } => {
                write!(
                    f,
                    "CRC error: the data says {expected:016x}, its bytes give {found:016x}"
                )
            }
            Self::BadMagic(bytes) => write!(f, "no RDB data: it begins with '{}'", bytes.escape_ascii()),
            Self::Version(Format { family, version }) => {
                let magic = if *family == Family::Redis { "REDIS" } else { "VALKEY" };
                write!(
                    f,
                    "RDB version {version} (magic {magic}) is not supported; readable are 1 to {REDIS_VERSION_MAX} of \
                     Redis and {VALKEY_VERSION} of Valkey"
                )
            }
            Self::UnsupportedType { what, byte, db, key } => {
                write!(
                    f,
                    "key '{}' in db {} holds a {what} (RDB type {byte}), ",
                    Shown(key),
                    db.0
                )?;
                f.write_str("which only that module can load")
            }
            Self::Unsupported { at, what } => write!(f, "{what}, at byte {at}, cannot be loaded"),
            Self::DatabaseOutOfRange { index, databases } => write!(
                f,
                "the data has a database {index}, but only {databases} are configured; raise 'databases'"
            ),
            Self::DuplicateKey { db, key } => write!(f, "key '{}' is there twice in db {}", Shown(key), db.0),
            Self::Corrupt { at, what } => write!(f, "corrupt at byte {at}: {what}"),
            Self::Block { at, kind, what } => write!(f, "{kind} integrity check failed at byte {at}: {what}"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl LoadError {
    /// Whether the connection or disk failed, rather than the data being wrong: trying again may help.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Truncated { .. } | Self::Cancelled)
    }
}

/// A key as an error shows it: escaped, and cut when long.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..SHOWN_KEY_BYTES) {
            Some(front) if self.0.len() > SHOWN_KEY_BYTES => write!(f, "{}...", front.escape_ascii()),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

/// Why RDB data could not be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum SaveError {
    /// Writing failed.
    Io(io::Error),
    /// The writer was told to stop.
    Cancelled,
    /// There are hashes with expiring fields, which the reader could not take.
    FieldExpiries,
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "writing failed: {error}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::FieldExpiries => f.write_str(
                "there are hashes with expiring fields, which RDB version 10 has no form for; Valkey 9 and Redis 7.4 and \
                 later read them",
            ),
        }
    }
}

impl std::error::Error for SaveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Cancelled | Self::FieldExpiries => None,
        }
    }
}

impl From<io::Error> for SaveError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
