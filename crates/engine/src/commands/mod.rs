//! The commands, a file per family. Places to touch for a new one: its file, and one line here.

pub mod strings;
pub mod transaction;

use crate::Spec;

/// Every command that the engine itself can run.
pub static ALL: &[&Spec] = &[
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
