//! The single writer: it executes every command, in one order, and that order is the replication stream.
//!
//! ```text
//!   request ─► table ─► gates ─► handler ─► keys (slots commit) ─► reply
//!              who is it?  may it?  what does it do?     │
//!                                                        └─► dirty, WATCH, event, effects ─► propagation
//! ```
//!
//! Nothing here reads a clock, a socket, a file or entropy: `now` and randomness are handed in, and what must happen
//! outside leaves as a [`Notice`] or through the [`Host`].

pub mod access;
pub mod acl;
mod ahead;
pub mod arguments;
pub mod bits;
pub mod blocking;
pub mod commands;
pub mod error;
pub mod eviction;
pub mod execute;
pub mod gates;
pub mod geo;
pub mod host;
pub mod hyperloglog;
pub mod key_positions;
pub mod keys;
pub mod latency;
pub mod lazyfree;
pub mod outbox;
pub mod pause;
pub mod propagate;
pub mod pubsub;
pub mod session;
pub mod settings;
pub mod slots;
pub mod slowlog;
pub mod spec;
pub mod stats;
pub mod syntax;
pub mod table;
pub mod testing;
pub mod tracking;
pub mod watch;

pub use ahead::Noted;
pub use arguments::ArgsExt;
pub use error::{Error, Result};
pub use execute::{Engine, Flow};
pub use host::{Host, Notice, ServerCtx};
pub use keys::{Data, ReadCtx, WriteCtx};
pub use keys::{Event, Expiry, StrRef};
pub use keyspace::KeyHash;
pub use session::{Session, SessionId};
pub use spec::{Acl, Arity, Category, Flags, Handler, KeyFlags, KeySpec, Spec};
pub use table::{CommandId, CommandTable};
