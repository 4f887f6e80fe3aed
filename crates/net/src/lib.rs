//! The machine, behind small safe types: sockets and their readiness, signals, the process, the clock.
//!
//! Nothing here knows a command or a key. What the system refuses comes back as an error; what it cannot answer, as an
//! `Option`. This crate and `ds` are the only ones with `unsafe` in them, here for the calls that have no safe form.
#![allow(clippy::disallowed_methods)] // The clock and the threads of the tests live here.

pub mod blocking;
pub mod buffer;
pub mod clock;
pub mod listen;
pub mod poll;
pub mod process;
pub mod signals;
pub mod stream;
pub mod systemd;

pub use blocking::{BlockingStream, Cancelled};
pub use buffer::InBuf;
pub use clock::{Clock, LocalTime};
pub use listen::{Accepted, BindError, Listener, listen_on_all};
pub use poll::{Interest, Poller, Ready, Registration, Waker};
pub use signals::{Signals, Stop};
pub use stream::{Received, Stream, address_text};
pub use systemd::Notifier;
