//! What the simulator found, each as short as it can be told.
#![allow(missing_docs)]

use base::DbIndex;
use config::Config;
use engine::SessionId;
use engine::session::Peer;
use node::{Effect, Node, Opened};
use sim::disk::{Machine, MemoryDisk};
use sim::model::bytes_of;
use sim::time;

struct Told {
    node: Node,
    client: SessionId,
}

impl Told {
    /// A primary with a replica that has asked for everything, so that what is written is recorded.
    fn primary() -> Self {
        time::reset();
        let machine = Machine {
            disk: MemoryDisk::default(),
            available_memory_bytes: None,
        };
        let node = Node::new(Config::default(), Box::new(machine), time::now(), 1, time::mono_us);
        let mut node = node.unwrap();
        node.begin_turn(time::now());
        let mut open = || match node.open(Peer {
            loopback: true,
            ..Peer::default()
        }) {
            Opened::Session(id) => id,
            Opened::Refused(_) => panic!("refused"),
        };
        let (replica, client) = (open(), open());
        node.input(replica, b"PSYNC ? -1\r\n");
        Self { node, client }
    }

    fn send(&mut self, lines: &[&str]) -> String {
        for line in lines {
            let request = format!("{line}\r\n");
            assert_eq!(self.node.input(self.client, request.as_bytes()), request.len());
        }
        let session = self.node.engine.sessions.get(self.client).unwrap();
        let replies = String::from_utf8_lossy(&session.out[session.sent..]).into_owned();
        self.node.sent(self.client, replies.len());
        replies
    }

    fn place(&self) -> (base::ReplId, base::Offset) {
        node::replication::place(&self.node.state)
    }

    fn offset(&self) -> u64 {
        self.place().1.0
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let keyspace = &self.node.engine.data.keyspace;
        let entry = keyspace
            .db(DbIndex(0))
            .get(key.as_bytes(), keyspace.hash(key.as_bytes()))?;
        Some(bytes_of(entry.value()))
    }

    /// The offsets of the saves asked for since the last call.
    fn saves(&mut self) -> Vec<u64> {
        let effects = self.node.take_effects();
        let offset = |effect| match effect {
            Effect::Save(job) => Some(job.options.position.unwrap().offset.0),
            _ => None,
        };
        effects.into_iter().filter_map(offset).collect()
    }
}

/// A save that began within a transaction had the transaction's writes, and an offset before them. A restart went on from
/// there, and its replicas applied the writes again: counters were off by one.
#[test]
fn a_save_within_a_transaction_waits_for_its_end() {
    let mut told = Told::primary();
    told.saves();
    let replies = told.send(&["MULTI", "INCR n", "BGSAVE", "INCR n", "EXEC"]);
    assert!(
        replies.ends_with(":1\r\n+Background saving scheduled\r\n:2\r\n"),
        "{replies}"
    );
    assert_eq!(told.saves(), []);

    told.node.tick();
    assert_eq!(told.saves(), [told.offset()]);
}

/// A transaction that makes its server a replica ended the process when it had written before. As with stock servers all
/// its writes are made and none reaches the replicas: so the data has left the history, which must not go on from there.
#[test]
fn a_transaction_that_changes_the_role_and_writes_leaves_the_history() {
    let mut told = Told::primary();
    let before = told.place();
    let replies = told.send(&["MULTI", "SET k before", "REPLICAOF n1 7001", "SET k after", "EXEC"]);
    assert!(replies.contains("+OK\r\n+OK\r\n+OK\r\n"), "{replies}");
    assert_eq!(told.get("k").unwrap(), b"after");
    assert_ne!(told.place().0, before.0, "another history");
}
