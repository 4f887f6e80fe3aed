//! The whole server without its outside: engine, replication, persistence and configuration wired together.
//!
//! ```text
//!              events in                                     effects out
//!   open/input/closed (clients) ─┐                        ┌─► bytes in each session's output
//!   link_* (the primary)        ─┤        ┌────────┐      ├─► Effect::{Connect, Load, Transfer, Save, Close, Log …}
//!   done (background jobs)      ─┼──────► │  Node  │ ─────┤
//!   tick (time)                 ─┘        └────────┘      └─► slices of the replication stream
//! ```
//!
//! `server` runs one of these on sockets and threads; `sim` runs many on a virtual network. Neither the clock, nor a
//! socket, nor a file, nor entropy is touched here: [`Outside`] and [`Effect`] stand for them.

pub mod client_memory;
pub mod config_command;
pub mod digest;
pub mod effect;
pub mod host;
pub mod info;
pub mod intake;
pub mod jobs;
pub mod memory;
pub mod node;
pub mod outside;
pub mod persistence;
pub mod replication;
pub mod settings;
pub mod shutdown;
pub mod start;

mod commands;

pub use effect::{Done, Effect};
pub use host::ServerState;
pub use intake::Input;
pub use jobs::{LoadJob, PayloadForm, SaveJob, TransferJob};
pub use node::{Node, Opened};
pub use outside::{Disk, DiskFile, Nowhere, Outside, Resources};

/// Whether there is a command of this name, in any case: what `rename-command` may name.
#[must_use]
pub fn has_command(name: &[u8]) -> bool {
    let mut specs = engine::commands::ALL.iter().chain(commands::ALL);
    specs.any(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
}
