//! RDB: the keyspace as bytes, in files, in full syncs, and value by value in DUMP payloads.
//!
//! A codec over [`std::io::Read`] and [`std::io::Write`]: it streams, never seeks, opens nothing and reads no clock.
//! Versions 1 to 12 of Redis and 80 of Valkey are read; version 10 is written, and where hashes have expiring fields,
//! which it has no form for, version 80 or 12. What is read is taken to be hostile: no input makes it panic, or take
//! memory that the input has not filled. Every packed value is gone through before it is believed, whatever
//! `sanitize-dump-payload` says.
//!
//! ```text
//! keyspace::Frozen ── save ──▶ Write          Read ── Reader (records) ──▶ load ──▶ keyspace::Keyspace
//!                                             transfer: where the data     check ─▶ a report
//!                                             on a link ends
//! ```
//!
//! A type of value has its ways in under `decode`, from all forms that versions have for it, and its way out in `encode`;
//! files and payloads share both. Passing over a value, in `reader`, needs neither.
//!
//! Format: as stock servers write it; there is no other authority. Numbers are in `format`.

mod batch;
mod check;
mod decode;
mod encode;
mod error;
mod facts;
mod format;
pub mod fuzz;
mod input;
mod loader;
mod output;
mod payload;
mod reader;
pub mod transfer;
mod writer;
mod ziplist;
mod zipmap;

pub use base::lzf::{Compressor, LzfError, decompress};
pub use check::{CheckEvent, CheckReport, check};
pub use decode::Home;
pub use ds::crc64::crc64;
pub use encode::FieldExpiries;
pub use error::{LoadError, SaveError};
pub use facts::{AccessClock, Position, Unwatched, Watch};
pub use format::{Family, Format, ModuleId, REDIS_VERSION_MAX, VALKEY_VERSION, VERSION_WRITTEN, ValueType};
pub use input::StringRef;
pub use loader::{Aux, Duplicates, Expired, LoadOptions, Summary, load, load_from, rehearse};
pub use output::Compression;
pub use payload::{Payload, PayloadError, write_payload};
pub use reader::{Checksum, KeyHead, Reader, Record, StringValue, Verify};
pub use writer::{SaveOptions, Saved, save};
