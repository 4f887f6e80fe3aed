//! What the proofs are made of: servers started and ended, a small client, datasets compared key by key, a proxy that
//! misbehaves on purpose, and load.
//!
//! Everything stays on 127.0.0.1, is bounded in time and count, and ends what it started: each server is a child that
//! the kernel kills when the test process goes, whatever the way it goes.
#![allow(clippy::disallowed_methods, reason = "test tooling owns clocks, threads and sockets")]

pub mod client;
pub mod dataset;
pub mod error;
pub mod load;
pub mod null_server;
pub mod process;
pub mod proxy;
pub mod reply;
pub mod server;
pub mod stock;
pub mod types;
pub mod wait;

pub use base::Rng;
pub use client::Client;
pub use dataset::Dataset;
pub use error::{Context, Error, Result};
pub use proxy::Proxy;
pub use reply::{Reply, Value};
pub use server::{Program, Server};
