//! Who follows whom: the tree of a primary and its replicas, found by asking any of them.
//!
//! ```text
//!   start ─► up to its primary, and its primary's …          each server tells in INFO and ROLE
//!         └► down to every replica it lists, and theirs …    whom it follows and who follows it
//!
//!   127.0.0.1:7001  primary  offset 5406  2 replicas
//!   ├── 127.0.0.1:7002  replica  link up  offset 5406  0 bytes and 0 s behind
//!   └── 127.0.0.1:7003  replica  LINK DOWN for 12 s  offset 5100  306 bytes behind
//!         why: auth: WRONGPASS invalid username-password pair or user is disabled.
//! ```

pub mod probe;
pub mod show;
pub mod tree;

use std::time::Duration;

use crate::connection::Endpoint;
use crate::format::{self, Delimiters, Style};
use crate::options::Options;
use crate::screen;

use probe::{Address, Prober};
use tree::Topology;

/// How long one server may take to connect, and to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// `skein cli topology`: prints the tree around the options' server, or around `seeds` (`host:port`). Whether every
/// server answers and no link is broken.
pub fn main(options: &Options, seeds: &[Vec<u8>]) -> bool {
    let mut addresses = Vec::new();
    for seed in seeds {
        match Address::parse(&String::from_utf8_lossy(seed)) {
            Some(address) => addresses.push(address),
            None => {
                eprintln!("'{}' is no host:port", String::from_utf8_lossy(seed));
                return false;
            }
        }
    }
    if addresses.is_empty() {
        match &options.endpoint {
            Endpoint::Tcp { host, port } => addresses.push(Address {
                host: host.clone(),
                port: *port,
            }),
            Endpoint::Unix(_) => {
                eprintln!("topology needs a host and a port: replicas cannot follow a socket file");
                return false;
            }
        }
    }
    let mut prober = Prober::new(options.credentials.clone(), PROBE_TIMEOUT);
    let topology = Topology::survey(&addresses, &mut |address| prober.probe(address));
    let text = match options.style {
        Style::Json | Style::QuotedJson => {
            format::reply(&show::as_value(&topology), options.style, &Delimiters::default())
        }
        _ => show::as_tree(&topology).into_bytes(),
    };
    screen::print(&text);
    topology.is_healthy()
}
