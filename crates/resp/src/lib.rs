//! The wire protocol, RESP2 and RESP3: requests in, replies out, and the client's view of both.
//!
//! ```text
//!   socket bytes ──► Parser ──► Argv ──► Args (slices of the read buffer) ──► a command
//!   a command ──► Reply ──► output buffer
//!   a client: write_command ──► …… ──► value::Decoder ──► Value
//! ```
//!
//! Nothing here reads a socket or a clock. Once its buffers are warm, neither parsing a request nor writing a reply
//! allocates.

pub mod args;
#[doc(hidden)]
pub mod fuzz;
mod inline;
pub mod parser;
pub mod reply;
mod scan;
pub mod value;

pub use args::{ArgRange, Args, Argv, OwnedArgs};
pub use parser::{Limits, Parsed, Parser, ProtocolError};
pub use reply::{Deferred, Proto, Reply, write_command};
pub use value::{Bounds, Decoded, Decoder, Value};
