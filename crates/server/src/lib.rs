//! The process around the node: sockets, threads, files, signals, log.
//!
//! ```text
//!   main ─► invocation ─┬─► startup ─► event_loop ◄─► node (all logic; knows nothing of what is here)
//!                       ├─► cli        │  accepts, reads, writes: listeners, connections, link, io_threads (over crew)
//!                       └─► check_rdb  │  carries out effects:    effects, background, threads
//!                                      └─ is the machine to node: outside, log, surroundings
//! ```
//!
//! One thread, the engine's, runs the loop and the node. Others do what takes long and send what came of it, or help with
//! the sockets.
#![allow(clippy::disallowed_methods)] // The outside world is what this crate is about.

pub mod background;
pub mod check_rdb;
pub mod connections;
pub mod crew;
mod effects;
pub mod event_loop;
mod feeding;
pub mod invocation;
pub mod io_threads;
pub mod link;
pub mod listeners;
pub mod log;
pub mod logo;
pub mod migrate;
pub mod outside;
pub mod startup;
pub mod surroundings;
pub mod threads;
pub mod token;
pub mod version;

use std::process::ExitCode;

use invocation::Invocation;

/// The whole program: does what its name and arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let called = arguments.next().unwrap_or_else(|| "skein".to_owned());
    let arguments: Vec<String> = arguments.collect();
    match Invocation::parse(&called, &arguments) {
        Invocation::Server(arguments) => startup::run(&called, &arguments),
        Invocation::CheckRdb(files) => check_rdb::run(&files),
        Invocation::Cli(arguments) => cli::main(arguments),
        Invocation::Demo(arguments) => cli::demo::main(arguments),
        Invocation::Version => {
            println!("{}", version::server_line());
            ExitCode::SUCCESS
        }
        Invocation::Help => {
            print!("{}", invocation::HELP);
            ExitCode::SUCCESS
        }
        Invocation::NotBuilt(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
