//! Whole servers on a virtual network, clock and disk, with faults by seed.
//!
//! ```text
//!   seed ─▶ Rng ─▶ faults, clients' commands, latencies
//!                        │
//!     ┌──────────────────▼──────────────────┐        ┌─────────┐
//!     │ world: time goes on by a step,      │ states │  truth  │  every replica's data is what its history
//!     │ bytes arrive, nodes do their work   ├───────▶│  model  │  had at its offset
//!     └───┬──────────┬──────────┬───────────┘        └─────────┘
//!       node       node       node     (crate node, the very code of the server)
//!       disk       disk       disk     (in memory; what is not synced dies with a crash)
//! ```
//!
//! A seed gives the same run on every machine, so a seed that fails is a test. Nothing here has sockets, threads, a clock or
//! entropy. That the world notices when something is wrong is tested too, by doing something wrong: [`Sabotage`].

pub mod clients;
pub mod disk;
pub mod faults;
pub mod model;
pub mod network;
pub mod server;
pub mod time;
pub mod truth;
pub mod world;

pub use faults::Sabotage;
pub use world::{Counts, Report, run, run_aloud, run_sabotaged};
