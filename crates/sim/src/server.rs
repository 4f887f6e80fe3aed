//! One server of the world: a node, its disk, and what it is in the middle of.

use base::Rng;
use config::{Config, Primary, ReplicaOf};
use engine::SessionId;
use engine::session::Peer;
use node::{LoadJob, Node, Opened, SaveJob};
use repl::ReplicationView;

use crate::disk::{Machine, MemoryDisk};
use crate::time;

/// The link as the outside knows it.
#[derive(Default)]
pub enum Link {
    /// None.
    #[default]
    Down,
    /// On its way to be connected.
    Connecting {
        /// Who is to be reached.
        to: usize,
        /// When that comes to something.
        due_ms: u64,
    },
    /// Connected: the connection's number.
    Up(u64),
    /// A payload is read from the connection.
    Loading(Box<Loading>),
}

/// A payload that is being received.
pub struct Loading {
    /// The connection's number.
    pub connection: u64,
    /// What the node asked for.
    pub job: LoadJob,
    /// What has come since.
    pub received: Vec<u8>,
}

/// A save that takes its time.
pub struct Saving {
    /// What the node asked for.
    pub job: SaveJob,
    /// When it ends.
    pub due_ms: u64,
}

/// See the module.
pub struct Server {
    /// The node; `None` after a crash.
    pub node: Option<Node>,
    /// The disk.
    pub disk: MemoryDisk,
    /// A client's session.
    pub client: Option<SessionId>,
    /// The link to its primary.
    pub link: Link,
    /// Saves under way.
    pub saves: Vec<Saving>,
    /// When it starts again after a crash.
    pub restart_ms: u64,
    /// The version of its data that was last compared.
    pub compared: Option<(u64, u64, u64, base::ReplId)>,
    config: Config,
}

/// The name by which server `index` is reached.
#[must_use]
pub fn host(index: usize) -> String {
    format!("n{index}")
}

/// The server that a name stands for.
#[must_use]
pub fn index_of(host: &str) -> Option<usize> {
    host.strip_prefix('n')?.parse().ok()
}

impl Server {
    /// A server that follows `primary`, or none; not yet started.
    #[must_use]
    pub fn new(index: usize, primary: Option<usize>, rng: &mut Rng) -> Self {
        let mut config = Config::default();
        config.port = 7000 + index as u16;
        config.replica_announce_ip = host(index).as_str().into();
        config.repl_timeout = 3;
        config.repl_ping_replica_period = 1;
        config.repl_diskless_sync = rng.chance(2, 3);
        config.repl_diskless_sync_delay = rng.below(2) as u32;
        config.repl_backlog_size = *rng.pick(&[500, 4_000, 1 << 20]);
        config.repl_backlog_ttl = *rng.pick(&[0, 2, 3600]);
        config.save = config::SavePoints(Vec::new());
        config.replicaof = replica_of(primary);
        Self {
            node: None,
            disk: MemoryDisk::default(),
            client: None,
            link: Link::Down,
            saves: Vec::new(),
            restart_ms: 0,
            compared: None,
            config,
        }
    }

    /// Starts, with what is on the disk.
    pub fn start(&mut self, rng: &mut Rng) {
        let machine = Box::new(Machine(self.disk.clone()));
        let node = Node::new(self.config.clone(), machine, time::now(), rng.next_u64(), time::mono_us);
        let mut node = node.expect("the world's configuration renames no command");
        node.begin_turn(time::now());
        let Node { engine, state, .. } = &mut node;
        if let Err(what) = node::start::load_in_place(state, engine) {
            panic!("a file that was renamed into its place does not load: {what}");
        }
        let peer = Peer {
            address: "10.0.0.1:1".into(),
            loopback: true,
            ..Peer::default()
        };
        match node.open(peer) {
            Opened::Session(id) => self.client = Some(id),
            Opened::Refused(_) => panic!("the first client is refused"),
        }
        self.node = Some(node);
    }

    /// Stops without a word. It starts again as what it was, as if CONFIG REWRITE followed every change.
    pub fn crash(&mut self, rng: &mut Rng) {
        if let Some(node) = self.node.take() {
            self.config.replicaof = node.state.config.replicaof.clone();
        }
        self.client = None;
        self.link = Link::Down;
        self.saves.clear();
        self.disk.crash(rng);
        self.restart_ms = time::now_ms() + 100 + rng.below(2_000);
    }

    /// Runs a client's command; `None` while its session cannot take one.
    pub fn command(&mut self, line: &str) -> Option<String> {
        let node = self.node.as_mut()?;
        let client = self.client?;
        if node.engine.sessions.get(client)?.blocked.is_some() {
            return None;
        }
        let mut request = Vec::new();
        let words: Vec<&str> = line.split(' ').collect();
        resp::write_command(&mut request, words.iter());
        if node.input(client, &request) == 0 {
            // Held back by a pause: the node waits for it to be offered again.
            if let Some(session) = node.engine.sessions.get_mut(client) {
                session.blocked = None;
            }
            return None;
        }
        let session = node.engine.sessions.get(client)?;
        let reply = String::from_utf8_lossy(&session.out[session.sent..]).into_owned();
        node.sent(client, reply.len());
        Some(reply)
    }

    /// A number that changes whenever the data or its place in history does.
    #[must_use]
    pub fn version(&self) -> Option<(u64, u64, u64, base::ReplId)> {
        let node = self.node.as_ref()?;
        let data = &node.engine.data;
        let (id, end) = node::replication::place(&node.state);
        Some((end.0, data.dirty, data.stats.commands + data.stats.expired_keys, id))
    }

    /// What replication shows.
    #[must_use]
    pub fn view(&self) -> Option<ReplicationView> {
        Some(node::replication::view(self.node.as_ref()?))
    }
}

fn replica_of(primary: Option<usize>) -> ReplicaOf {
    ReplicaOf(primary.map(|primary| Primary {
        host: host(primary).as_str().into(),
        port: 7000 + primary as u16,
    }))
}
