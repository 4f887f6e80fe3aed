//! The table of directives: one line each, in groups.
//!
//! To add one, add its line to a group; field, default, CONFIG GET, SET and REWRITE follow from it.

pub mod cluster;
pub mod encoding;
pub mod memory;
pub mod network;
pub mod observability;
pub mod persistence;
pub mod process;
pub mod replication;
pub mod security;
pub mod tls;

use crate::directive::Directive;
use crate::setting::Rule;
use crate::special::check;

pub(crate) static GROUPS: [&[Directive]; 10] = [
    network::TABLE,
    security::TABLE,
    process::TABLE,
    observability::TABLE,
    persistence::TABLE,
    replication::TABLE,
    memory::TABLE,
    encoding::TABLE,
    cluster::TABLE,
    tls::TABLE,
];

const INT_MAX: u64 = i32::MAX as u64;
const UINT_MAX: u64 = u32::MAX as u64;
const LONG_MAX: u64 = i64::MAX as u64;

/// The type says everything.
const OWN: Rule = Rule::Own;
/// 0 to the largest 32-bit integer.
const NATURAL: Rule = Rule::Int(0, INT_MAX);
/// 0 to the largest 64-bit integer.
const NATURAL_LONG: Rule = Rule::Int(0, LONG_MAX);
/// A port, or 0.
const PORT: Rule = Rule::Int(0, 65535);
/// Bytes, to the largest signed 64-bit integer.
const BYTES: Rule = Rule::Memory(0, LONG_MAX);
/// A text for which empty means not set.
const OPTIONAL_TEXT: Rule = Rule::Text {
    unset_when_empty: true,
    check: check::anything,
};
/// A text that may be empty.
const TEXT: Rule = Rule::Text {
    unset_when_empty: false,
    check: check::anything,
};

/// A text that must pass a check.
const fn checked_text(check: fn(&[u8]) -> Result<(), &'static str>) -> Rule {
    Rule::Text {
        unset_when_empty: false,
        check,
    }
}
