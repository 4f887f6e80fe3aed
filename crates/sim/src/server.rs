//! One server of the world: a node, its disk, and what it is in the middle of.

use base::{Offset, ReplId, Rng};
use config::{Config, Primary, ReplicaOf};
use engine::session::Peer;
use node::jobs::LoadFailure;
use node::jobs::Loaded;
use node::{LoadJob, Node, Opened, SaveJob};
use repl::ReplicationView;

use crate::clients::Client;
use crate::disk::{Machine, MemoryDisk};
use crate::time;

/// How many clients each server has; the last one is its operator, who opens no transactions.
const CLIENTS: usize = 3;
/// Which client is the operator.
pub const OPERATOR: usize = CLIENTS - 1;

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
    /// What the node asked for; `None` once the thread has read it all.
    pub job: Option<LoadJob>,
    /// What has come since.
    pub received: Vec<u8>,
}

/// A load whose end is on its way to the node.
pub struct LoadEnd {
    /// Which load.
    pub id: u64,
    /// What came of it.
    pub result: Result<Box<Loaded>, LoadFailure>,
    /// When the node hears of it.
    pub due_ms: u64,
    /// The data as it was before, as a fingerprint; `None` if it was given up to make room.
    pub before: Option<u64>,
}

/// A save that takes its time.
pub enum Saving {
    /// The thread has not come to it yet.
    Waiting {
        /// What the node asked for.
        job: Box<SaveJob>,
        /// When it is done.
        due_ms: u64,
    },
    /// On its way to the node.
    Done {
        /// Which save.
        id: u64,
        /// What came of it.
        result: Result<u64, String>,
        /// When the node hears of it.
        due_ms: u64,
    },
}

/// What changes whenever a server's data or its place in history does.
pub type Version = (u64, u64, u64, ReplId, bool);

/// See the module.
pub struct Server {
    /// The node; `None` while the process does not run.
    pub node: Option<Node>,
    /// The disk.
    pub disk: MemoryDisk,
    /// Its clients.
    pub clients: Vec<Client>,
    /// The link to its primary.
    pub link: Link,
    /// Loads that have ended.
    pub load_ends: Vec<LoadEnd>,
    /// Saves under way.
    pub saves: Vec<Saving>,
    /// The load at the start, and when it is over.
    starting: Option<(u64, node::start::StartLoad)>,
    /// When it starts again.
    pub restart_ms: u64,
    /// The version of its data that was last compared.
    pub compared: Option<Version>,
    /// Of which history its stream was compared, how far, and whether it wrote it.
    pub seen: (ReplId, Offset, bool),
    available_memory_bytes: Option<u64>,
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
        config.repl_backlog_size = *rng.pick(&[500, 4_000, 40_000, 1 << 20]);
        config.repl_backlog_ttl = *rng.pick(&[0, 2, 3600]);
        config.replica_serve_stale_data = rng.chance(2, 3);
        config.rdbcompression = rng.chance(1, 2);
        config.shutdown_timeout = rng.below(3) as u32;
        config.save = config::SavePoints(Vec::new());
        config.replicaof = replica_of(primary);
        Self {
            node: None,
            disk: MemoryDisk::default(),
            clients: Vec::new(),
            link: Link::Down,
            load_ends: Vec::new(),
            saves: Vec::new(),
            starting: None,
            restart_ms: 0,
            compared: None,
            seen: (ReplId::NONE, Offset(0), false),
            available_memory_bytes: rng.chance(1, 5).then_some(1),
            config,
        }
    }

    /// Starts, with what is on the disk; that takes until [`Self::finish_start`].
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn start(&mut self, rng: &mut Rng) -> Result<(), String> {
        let machine = Box::new(Machine {
            disk: self.disk.clone(),
            available_memory_bytes: self.available_memory_bytes,
        });
        let mut node = Node::new(self.config.clone(), machine, time::now(), rng.next_u64(), time::mono_us)?;
        node.begin_turn(time::now());
        let Node { engine, state, .. } = &mut node;
        let load = node::start::begin(state, engine)?;
        self.starting = load.map(|load| (time::now_ms() + rng.below(400), load));
        self.node = Some(node);
        self.compared = None;
        self.clients.clear();
        self.open_clients()
    }

    /// Loads the file, once its time has come.
    ///
    /// # Errors
    /// When what was renamed into its place does not load.
    pub fn finish_start(&mut self) -> Result<(), String> {
        let Some(node) = &mut self.node else { return Ok(()) };
        let Some((_, load)) = self.starting.take_if(|(due_ms, _)| time::now_ms() >= *due_ms) else {
            return Ok(());
        };
        let Node { engine, state, .. } = node;
        node::start::run_in_place(state, engine, load)
    }

    /// Connects the clients that are not connected.
    ///
    /// # Errors
    /// When the server takes none.
    pub fn open_clients(&mut self) -> Result<(), String> {
        let Some(node) = &mut self.node else { return Ok(()) };
        for at in 0..CLIENTS {
            let known = self
                .clients
                .get(at)
                .and_then(|client| node.engine.sessions.get(client.session));
            if known.is_some() {
                continue;
            }
            let peer = Peer {
                address: "10.0.0.1:1".into(),
                loopback: true,
                ..Peer::default()
            };
            let Opened::Session(id) = node.open(peer) else {
                return Err("a client is refused".into());
            };
            match self.clients.get_mut(at) {
                Some(lost) => *lost = Client::new(id),
                None => self.clients.push(Client::new(id)),
            }
        }
        Ok(())
    }

    /// The process is gone. It starts again as what it was, as if CONFIG REWRITE followed every change. A save that was
    /// under way gets as far as it gets.
    pub fn stop(&mut self, rng: &mut Rng) {
        if let Some(node) = self.node.take() {
            self.config.replicaof = node.state.config.replicaof.clone();
        }
        for saving in std::mem::take(&mut self.saves) {
            if let Saving::Waiting { job, .. } = saving {
                self.disk.fail_after(Some(rng.below(3_000)));
                // Nobody is left to hear of it.
                let _ = node::jobs::run_save(&self.disk, *job, &mut |_| {});
            }
        }
        self.disk.fail_after(None);
        self.clients.clear();
        self.link = Link::Down;
        self.load_ends.clear();
        self.starting = None;
        self.compared = None;
        self.seen = (ReplId::NONE, Offset(0), false);
        self.restart_ms = time::now_ms() + 100 + rng.below(2_000);
    }

    /// Whether the file of the last run is still being loaded.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.starting.is_some()
    }

    /// See [`Version`].
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        let node = self.node.as_ref()?;
        let data = &node.engine.data;
        let (id, end) = node::replication::place(&node.state);
        let changes = data.stats.commands + data.stats.expired_keys;
        let is_primary = data.settings.role == engine::settings::Role::Primary;
        Some((end.0, data.dirty, changes, id, is_primary))
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
