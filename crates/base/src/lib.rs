//! Small vocabulary shared by every layer: identifiers, times, offsets, seeded randomness, number text, words of a line, compression.
//!
//! Nothing here knows a protocol, a socket or a key.

pub mod glob;
pub mod ids;
pub mod ld80;
pub mod lzf;
pub mod number;
pub mod rng;
pub mod time;
pub mod words;

pub use ids::{DbIndex, Offset, ReplId};
pub use rng::Rng;
pub use time::{Millis, Now};
