//! Replication as pure state machines: events in, effects out; no sockets, files, clock or entropy.
//!
//! ```text
//!      our primary                                             our replicas
//!           │                                                   ▲   ▲   ▲
//!           ▼                                                   │   │   │
//!     ┌───────────┐  units applied   ┌────────────────┐      ┌──┴───┴───┴──┐
//!     │   link    ├─────────────────▶│     stream     │◀─────┤    feed     │
//!     └───────────┘                  │ blocks, backlog│cursor└─────────────┘
//!                  what we write ───▶└────────────────┘
//!     failover: who is whose          ids: the history's names
//! ```
//!
//! * [`stream`] holds what was written, once, for everybody.
//! * `feed` is the primary's side: one machine per replica. `link` is the replica's side: one machine for our primary. A
//!   server in the middle of a chain has both, and the same stream between them.
//! * [`psync`] decides whether a replica can go on where it was; [`ids`] is what histories are called.
//! * [`Replication`] is all of it together, and the only door: one method per event, each pushing [`Effect`]s.
//!
//! What is absent: keys, commands' meanings, the bytes of snapshots, and any knowledge of time but the `now` handed in.

mod effect;
mod failover;
mod feed;
pub mod ids;
mod link;
pub mod psync;
mod replication;
mod settings;
pub mod stream;
mod view;

pub use effect::{Contents, Effect, Form, Level, Load, ReplicaId, Transfer, WaiterId};
pub use feed::{Ask, FieldExpiryForm, Lost, LostReason, Peer, ReplconfReply, SyncCounters, TRANSFERS_MAX};
pub use link::{ApplyFailure, Incoming, LinkDown, Phase};
pub use replication::{Replication, Resume, Retarget, TICK_MS};
pub use settings::{LimitOrigin, OutputLimit, Settings, SyncMethod};
pub use view::{BacklogView, LinkView, ReplicaView, ReplicationView, SyncView};
