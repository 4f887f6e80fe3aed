//! The commands, a file per family. Places to touch for a new one: its file, and one line here.

pub mod client;
pub mod connection;
pub mod help;
pub mod observe;
pub mod strings;
pub mod transaction;

use crate::Spec;

/// Every command that the engine itself can run.
pub static ALL: &[&Spec] = &[
    // connection
    &client::CLIENT,
    &connection::AUTH,
    &connection::ECHO,
    &connection::HELLO,
    &connection::PING,
    &connection::QUIT,
    &connection::RESET,
    &connection::SELECT,
    // observing
    &observe::LATENCY,
    &observe::MONITOR,
    &observe::SLOWLOG,
    // strings
    &strings::GET,
    &strings::INCRBY,
    // transactions
    &transaction::DISCARD,
    &transaction::EXEC,
    &transaction::MULTI,
    &transaction::UNWATCH,
    &transaction::WATCH,
];
