//! A node with one client and no outside.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use base::Now;
use engine::session::{Peer, SessionId};
use node::{Disk, Node, Opened, Outside, Resources};

use crate::measure::timed;

fn mono_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

struct Nowhere;

impl Outside for Nowhere {
    fn disk(&self) -> Arc<dyn Disk> {
        unreachable!("no file is touched here")
    }
    fn allocated_bytes(&self) -> u64 {
        ds::memory::allocated_bytes()
    }
    fn sleep(&mut self, _microseconds: u64) {}
    fn resources(&self) -> Resources {
        Resources::default()
    }
    fn purge_memory(&mut self) {}
}

/// The node, a client that is measured, and one in another database that keeps the code warm.
pub struct Server {
    node: Node,
    measured: SessionId,
    warming: SessionId,
}

impl Server {
    pub fn new() -> Self {
        let now = Now {
            unix_us: 1_700_000_000_000_000,
            mono_us: mono_us(),
        };
        let node = Node::new(config::Config::default(), Box::new(Nowhere), now, 1, mono_us);
        let mut node = node.unwrap_or_else(|error| panic!("the default configuration is refused: {error}"));
        let mut open = || match node.open(Peer {
            loopback: true,
            ..Peer::default()
        }) {
            Opened::Session(id) => id,
            Opened::Refused(_) => panic!("one of two clients is refused"),
        };
        let (measured, warming) = (open(), open());
        let mut server = Self {
            node,
            measured,
            warming,
        };
        server.warm(&request("SELECT 9"));
        server
    }

    /// Executes a request of the client that is measured; gives how long that took.
    pub fn call(&mut self, request: &[u8]) -> u32 {
        self.execute(self.measured, request)
    }

    /// Executes a request of the other client, in database 9.
    pub fn warm(&mut self, request: &[u8]) {
        self.execute(self.warming, request);
    }

    fn execute(&mut self, client: SessionId, request: &[u8]) -> u32 {
        let now = Now {
            unix_us: 1_700_000_000_000_000 + mono_us() as i64,
            mono_us: mono_us(),
        };
        self.node.begin_turn(now);
        let (time, consumed) = timed(|| self.node.input(client, request));
        assert_eq!(consumed, request.len(), "a whole request");
        let output = &self.node.engine.sessions[client].out;
        assert!(output.first().is_some_and(|byte| *byte != b'-'), "a refusal");
        let sent = output.len();
        self.node.sent(client, sent);
        time
    }

    /// Forgets what is to be done outside.
    pub fn rest(&mut self) {
        drop(self.node.take_effects());
    }

    pub fn freeze(&mut self) -> (u32, keyspace::Frozen) {
        timed(|| self.node.engine.data.keyspace.freeze())
    }
}

/// A request, from words between blanks.
pub fn request(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    resp::write_command(&mut out, text.split(' ').collect::<Vec<_>>());
    out
}
