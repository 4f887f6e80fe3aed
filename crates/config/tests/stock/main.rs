//! Compared with an installed stock server of version 7.0.15: names and defaults, what CONFIG SET says to good and bad
//! values, what files and command lines are taken for, and what CONFIG REWRITE writes. Where there is no such server the
//! tests say so and pass.
#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod rewriting;
mod server;
mod setting;
