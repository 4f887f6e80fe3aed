//! Servers, connections and time: one step after the other, from a seed.

use std::collections::BTreeMap;
use std::io::Cursor;

use base::Rng;
use engine::SessionId;
use engine::session::{Kind, Peer};
use node::jobs::LoadFailure;
use node::replication::LinkEnd;
use node::{Done, Effect, LoadJob, Node, Opened, PayloadForm, TransferJob};

use crate::faults::{self, Happening};
use crate::network::{Connection, Pipe};
use crate::server::{Link, Loading, Saving, Server, host, index_of};
use crate::time;
use crate::truth::{Truth, fingerprint};

/// How far time goes in a step.
const STEP_MS: u64 = 10;
/// How long there are faults.
const TROUBLE_MS: u64 = 12_000;
/// How long the servers have to agree when there are none any more. The longest back-off is a minute.
const PEACE_MS: u64 = 180_000;
/// How many lines of what happened a failure shows.
const TRACE_LINES: usize = 400;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// Why it failed; `None`: it did not.
    pub failure: Option<String>,
    /// What happened, in short lines, the last ones.
    pub trace: Vec<String>,
    /// Stands for everything that happened: a seed gives the same number every time.
    pub digest: u64,
    /// Full and partial resynchronizations served.
    pub syncs: (u64, u64),
}

/// Plays a seed.
#[must_use]
pub fn run(seed: u64) -> Report {
    let mut world = World::new(seed);
    let outcome = world.play();
    let failure = outcome.err();
    Report {
        failure,
        trace: world.trace.into_iter().collect(),
        digest: world.digest,
        syncs: world.syncs,
    }
}

struct World {
    rng: Rng,
    servers: Vec<Server>,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
    /// Until when nothing passes between two servers, the smaller number first.
    partitions: BTreeMap<(usize, usize), u64>,
    truth: Truth,
    trace: std::collections::VecDeque<String>,
    digest: u64,
    next_tick_ms: u64,
    syncs: (u64, u64),
}

type Outcome = Result<(), String>;

impl World {
    fn new(seed: u64) -> Self {
        time::reset();
        let mut rng = Rng::new(seed);
        let count = 2 + rng.below(3) as usize;
        let servers = (0..count)
            .map(|index| {
                // A star, or a chain.
                let primary = index
                    .checked_sub(1)
                    .map(|before| if rng.chance(1, 3) { before } else { 0 });
                Server::new(index, primary, &mut rng)
            })
            .collect();
        Self {
            rng,
            servers,
            connections: BTreeMap::new(),
            last_connection: 0,
            partitions: BTreeMap::new(),
            truth: Truth::default(),
            trace: std::collections::VecDeque::new(),
            digest: seed,
            next_tick_ms: 0,
            syncs: (0, 0),
        }
    }

    fn play(&mut self) -> Outcome {
        for index in 0..self.servers.len() {
            self.start(index)?;
        }
        let end_ms = time::now_ms() + TROUBLE_MS;
        while time::now_ms() < end_ms {
            for happening in faults::roll(&mut self.rng, self.servers.len()) {
                self.happen(happening)?;
            }
            self.step()?;
        }
        self.make_peace()
    }

    /// Ends all trouble, makes one server the primary of all, and waits until they agree.
    fn make_peace(&mut self) -> Outcome {
        self.note("peace".into());
        self.partitions.clear();
        for index in 0..self.servers.len() {
            if self.servers[index].node.is_none() {
                self.start(index)?;
            }
        }
        let primary = self.rng.below(self.servers.len() as u64) as usize;
        let end_ms = time::now_ms() + PEACE_MS;
        loop {
            for index in 0..self.servers.len() {
                // A failover that was under way may refuse this, or turn it around.
                if !self.is_as_wished(index, primary) {
                    let line = match index == primary {
                        true => "REPLICAOF NO ONE".to_owned(),
                        false => format!("REPLICAOF {} {}", host(primary), 7000 + primary),
                    };
                    self.command(index, &line)?;
                }
            }
            self.step()?;
            if self.agree(primary) {
                return self.compare_all(primary);
            }
            if time::now_ms() > end_ms {
                return Err(format!(
                    "no agreement after {PEACE_MS} ms of peace: {}",
                    self.describe()
                ));
            }
        }
    }

    /// Whether a server is the primary, or follows it.
    fn is_as_wished(&self, index: usize, primary: usize) -> bool {
        let Some(view) = self.servers[index].view() else {
            return false;
        };
        match view.link {
            None => index == primary,
            Some(link) => index != primary && index_of(&link.host) == Some(primary),
        }
    }

    fn agree(&self, primary: usize) -> bool {
        let wished = (0..self.servers.len()).all(|index| self.is_as_wished(index, primary));
        wished && self.are_in_step(primary)
    }

    fn are_in_step(&self, primary: usize) -> bool {
        let Some(end) = self.servers[primary].view().map(|view| view.offset) else {
            return false;
        };
        self.servers.iter().enumerate().all(|(index, server)| {
            index == primary
                || server
                    .view()
                    .is_some_and(|view| view.offset == end && view.link.is_some_and(|link| link.up))
        })
    }

    fn compare_all(&self, primary: usize) -> Outcome {
        let data = |server: &Server| server.node.as_ref().map(|node| fingerprint(&node.engine.data.keyspace));
        let expected = data(&self.servers[primary]);
        match self.servers.iter().position(|server| data(server) != expected) {
            None => Ok(()),
            Some(index) => Err(format!("server {index} differs from primary {primary} in the end")),
        }
    }

    fn describe(&self) -> String {
        let one = |(index, server): (usize, &Server)| match server.view() {
            None => format!("{index} is down"),
            Some(view) => match &view.link {
                None => format!("{index} is primary at {}", view.offset),
                Some(link) => format!(
                    "{index} follows {} ({}) at {}{}",
                    link.host,
                    link.state,
                    view.offset,
                    link.down
                        .as_ref()
                        .map(|(reason, _)| format!(", {reason}"))
                        .unwrap_or_default()
                ),
            },
        };
        self.servers.iter().enumerate().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Notes what happened, for the reader and for the digest.
    fn note(&mut self, what: String) {
        for byte in what.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.digest ^= time::now_ms();
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:>7} {what}", time::now_ms()));
    }

    // ---- happenings ----

    fn start(&mut self, index: usize) -> Outcome {
        self.note(format!("{index} starts"));
        self.servers[index].start(&mut self.rng);
        self.settle(index)
    }

    fn happen(&mut self, happening: Happening) -> Outcome {
        match happening {
            Happening::Command(index, line) => drop(self.command(index, &line)?),
            Happening::Crash(index) => self.crash(index),
            Happening::Cut(a, b) => {
                self.note(format!("cut {a} {b}"));
                let between = |connection: &Connection| is_between(connection, a, b);
                let cut: Vec<u64> = self
                    .connections
                    .iter()
                    .filter(|(_, connection)| between(connection))
                    .map(|(id, _)| *id)
                    .collect();
                for id in cut {
                    self.break_connection(id)?;
                }
            }
            Happening::Partition(a, b, ms) => {
                self.note(format!("partition {a} {b} for {ms} ms"));
                self.partitions.insert((a.min(b), a.max(b)), time::now_ms() + ms);
            }
            Happening::Damage(index) => {
                let at = self.rng.next_u64();
                let payload = self
                    .connections
                    .values_mut()
                    .find(|c| c.replica == index && c.transferring);
                if let Some(connection) = payload {
                    connection.down.damage(at);
                    self.note(format!("damage to what {index} receives"));
                }
            }
        }
        Ok(())
    }

    fn command(&mut self, index: usize, line: &str) -> Result<Option<String>, String> {
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return Ok(None) };
        node.begin_turn(time::now());
        let reply = server.command(line);
        if let Some(reply) = &reply {
            let shown: String = line.chars().take(40).collect();
            let answer: String = reply.trim_end().chars().take(60).collect();
            self.note(format!("{index}> {shown} -> {answer}"));
        }
        self.settle(index)?;
        Ok(reply)
    }

    fn crash(&mut self, index: usize) {
        if self.servers[index].node.is_none() {
            return;
        }
        self.note(format!("{index} crashes"));
        self.count_syncs(index);
        self.servers[index].crash(&mut self.rng);
        // Its sockets die with it: the others find out when the next segment comes, which is at once.
        let lost: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.replica == index || connection.primary == index)
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let Some(connection) = self.connections.remove(&id) else {
                continue;
            };
            if connection.primary == index {
                self.end_link(connection.replica, id);
            } else {
                self.end_session(&connection);
            }
        }
    }

    fn count_syncs(&mut self, index: usize) {
        if let Some(node) = &self.servers[index].node {
            let counters = node::replication::counters(&node.state);
            self.syncs.0 += counters.full;
            self.syncs.1 += counters.partial_ok;
        }
    }

    // ---- time ----

    fn step(&mut self) -> Outcome {
        time::advance_ms(STEP_MS);
        let now_ms = time::now_ms();
        self.partitions.retain(|_, until_ms| *until_ms > now_ms);
        let ticks = now_ms >= self.next_tick_ms;
        if ticks {
            self.next_tick_ms = now_ms + 100;
        }
        for index in 0..self.servers.len() {
            self.step_server(index, ticks)?;
        }
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            self.step_connection(id)?;
        }
        Ok(())
    }

    fn step_server(&mut self, index: usize, tick: bool) -> Outcome {
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else {
            if time::now_ms() >= server.restart_ms {
                return self.start(index);
            }
            return Ok(());
        };
        node.begin_turn(time::now());
        if tick {
            node.tick();
        }
        while let Some(at) = server.saves.iter().position(|saving| time::now_ms() >= saving.due_ms) {
            let job = server.saves.remove(at).job;
            let id = job.id;
            let result = node::jobs::run_save(&server.disk, job, &mut |_| {});
            node.done(Done::Saved { id, result });
        }
        if let Link::Connecting { to, due_ms } = server.link
            && time::now_ms() >= due_ms
        {
            self.finish_connecting(index, to)?;
        }
        self.settle(index)
    }

    fn is_partitioned(&self, a: usize, b: usize) -> bool {
        self.partitions.contains_key(&(a.min(b), a.max(b)))
    }

    fn finish_connecting(&mut self, index: usize, to: usize) -> Outcome {
        if self.is_partitioned(index, to) {
            self.servers[index].link = Link::Down;
            self.tell_link_ended(index, LinkEnd::Timeout);
            return Ok(());
        }
        let Some(primary) = self.servers[to].node.as_mut().filter(|_| to != index) else {
            self.servers[index].link = Link::Down;
            self.tell_link_ended(index, LinkEnd::Refused("refused".into()));
            return Ok(());
        };
        primary.begin_turn(time::now());
        self.last_connection += 1;
        let id = self.last_connection;
        let peer = Peer {
            address: format!("10.0.0.{index}:{}", 20_000 + id % 40_000),
            loopback: true,
            ..Peer::default()
        };
        let Opened::Session(session) = primary.open(peer.clone()) else {
            return Err("a replica's connection was refused a session".into());
        };
        let connection = Connection {
            replica: index,
            primary: to,
            session,
            up: Pipe::default(),
            down: Pipe::default(),
            input: Vec::new(),
            transferring: false,
        };
        self.connections.insert(id, connection);
        self.servers[index].link = Link::Up(id);
        self.note(format!("{index} connects to {to}"));
        if let Some(node) = &mut self.servers[index].node {
            node.link_connected(peer);
        }
        Ok(())
    }

    // ---- connections ----

    fn step_connection(&mut self, id: u64) -> Outcome {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let (replica, primary) = (connection.replica, connection.primary);
        if self
            .partitions
            .contains_key(&(replica.min(primary), replica.max(primary)))
        {
            return Ok(());
        }
        let now_ms = time::now_ms();
        let most = 1 + self.rng.below(100_000) as usize;
        let up = connection.up.arrive(now_ms, most);
        let down = connection.down.arrive(now_ms, most);
        let session = connection.session;
        if !up.is_empty() {
            connection.input.extend_from_slice(&up);
            let mut input = std::mem::take(&mut connection.input);
            if let Some(node) = &mut self.servers[primary].node {
                node.begin_turn(time::now());
                let consumed = node.input(session, &input);
                input.drain(..consumed);
            }
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.input = input;
            }
            self.settle(primary)?;
        }
        self.finish_transfer(id)?;
        if !down.is_empty() {
            self.receive(replica, id, &down)?;
        }
        Ok(())
    }

    /// The last byte of a payload has been taken by the network.
    fn finish_transfer(&mut self, id: u64) -> Outcome {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        if !connection.transferring || !connection.down.is_empty() {
            return Ok(());
        }
        connection.transferring = false;
        let (primary, replica) = (connection.primary, connection.session);
        if let Some(node) = &mut self.servers[primary].node {
            node.begin_turn(time::now());
            node.done(Done::Transferred { replica, result: Ok(0) });
        }
        self.settle(primary)
    }

    fn receive(&mut self, index: usize, id: u64, bytes: &[u8]) -> Outcome {
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return Ok(()) };
        node.begin_turn(time::now());
        match &mut server.link {
            Link::Up(up) if *up == id => node.link_input(bytes),
            Link::Loading(loading) if loading.connection == id => {
                loading.received.extend_from_slice(bytes);
                self.finish_load(index);
            }
            _ => {}
        }
        self.settle(index)
    }

    /// Loads a payload that is whole.
    fn finish_load(&mut self, index: usize) {
        let server = &mut self.servers[index];
        let Link::Loading(loading) = &server.link else { return };
        if !is_whole(loading) {
            return;
        }
        let Link::Loading(loading) = std::mem::take(&mut server.link) else {
            return;
        };
        let Loading {
            connection,
            job,
            received,
        } = *loading;
        let id = job.id;
        let mut input = Cursor::new(received);
        let mut result = node::jobs::run_load(&server.disk, job, &mut input, &mut |_| {});
        if let Ok(loaded) = &mut result {
            let read = input.position() as usize;
            loaded.rest.extend_from_slice(&input.get_ref()[read..]);
            server.link = Link::Up(connection);
        }
        let failed = result.as_ref().err().map(ToString::to_string);
        if let Some(node) = &mut server.node {
            node.done(Done::Loaded { id, result });
        }
        self.note(format!("{index} loads: {}", failed.clone().unwrap_or("well".into())));
        if failed.is_some() {
            self.drop_connection_of_replica(connection);
        }
    }

    /// Both ends learn that a connection is gone.
    fn break_connection(&mut self, id: u64) -> Outcome {
        let Some(connection) = self.connections.remove(&id) else {
            return Ok(());
        };
        self.end_link(connection.replica, id);
        self.end_session(&connection);
        self.settle(connection.primary)?;
        self.settle(connection.replica)
    }

    /// The replica's end is told.
    fn end_link(&mut self, index: usize, id: u64) {
        match std::mem::take(&mut self.servers[index].link) {
            Link::Up(up) if up == id => self.tell_link_ended(index, LinkEnd::Closed),
            Link::Loading(loading) if loading.connection == id => {
                let Some(node) = &mut self.servers[index].node else {
                    return;
                };
                node.begin_turn(time::now());
                let result = Err(LoadFailure::Io("connection lost".into()));
                node.done(Done::Loaded {
                    id: loading.job.id,
                    result,
                });
            }
            other => self.servers[index].link = other,
        }
    }

    fn tell_link_ended(&mut self, index: usize, end: LinkEnd) {
        if let Some(node) = &mut self.servers[index].node {
            node.begin_turn(time::now());
            node.link_ended(end);
        }
    }

    /// The primary's end is told.
    fn end_session(&mut self, connection: &Connection) {
        let Some(node) = &mut self.servers[connection.primary].node else {
            return;
        };
        node.begin_turn(time::now());
        if connection.transferring {
            let result = Err("connection lost".into());
            node.done(Done::Transferred {
                replica: connection.session,
                result,
            });
        }
        node.closed(connection.session);
    }

    /// The replica has closed its end.
    fn drop_connection_of_replica(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id) {
            self.end_session(&connection);
        }
    }

    // ---- effects ----

    /// Carries out what a node asks for, sends what it has to send, and compares its data with its history.
    fn settle(&mut self, index: usize) -> Outcome {
        for _ in 0..100 {
            let Some(node) = &mut self.servers[index].node else {
                return Ok(());
            };
            let effects = node.take_effects();
            if effects.is_empty() {
                self.flush(index);
                return self.compare(index);
            }
            for effect in effects {
                self.carry_out(index, effect)?;
            }
        }
        Err(format!("server {index} asks for more and more"))
    }

    fn compare(&mut self, index: usize) -> Outcome {
        let server = &mut self.servers[index];
        let version = server.version();
        if version.is_none() || version == server.compared {
            return Ok(());
        }
        server.compared = version;
        let (Some(node), Some(view)) = (&server.node, server.view()) else {
            return Ok(());
        };
        let state = fingerprint(&node.engine.data.keyspace);
        let outcome = match view.link {
            None => self.truth.record(&view, state),
            Some(_) => self.truth.check(&view, state),
        };
        outcome.map_err(|what| format!("server {index}: {what}"))
    }

    fn carry_out(&mut self, index: usize, effect: Effect) -> Outcome {
        match effect {
            Effect::Log(_, line) => self.note(format!("{index}: {line}")),
            Effect::Close(session) | Effect::CloseAfterFlush(session) => self.close_session(index, session)?,
            Effect::Connect { host, .. } => {
                if !matches!(self.servers[index].link, Link::Down) {
                    return Err(format!("server {index} opens a second link"));
                }
                let Some(to) = index_of(&host).filter(|to| *to < self.servers.len()) else {
                    self.tell_link_ended(index, LinkEnd::ResolveFailed("no such host".into()));
                    return Ok(());
                };
                let due_ms = time::now_ms() + 1 + self.rng.below(50);
                self.servers[index].link = Link::Connecting { to, due_ms };
            }
            Effect::CloseLink => match std::mem::take(&mut self.servers[index].link) {
                Link::Up(id) => self.drop_connection_of_replica(id),
                Link::Loading(loading) => self.drop_connection_of_replica(loading.connection),
                Link::Down | Link::Connecting { .. } => {}
            },
            Effect::Load(job) => self.begin_load(index, job),
            Effect::Transfer(job) => self.transfer(index, job),
            Effect::Save(job) => {
                let due_ms = time::now_ms() + self.rng.below(500);
                self.servers[index].saves.push(Saving { job, due_ms });
            }
            Effect::Discard(value) => drop(value),
            Effect::Resume(_) | Effect::Reconfigured(_) | Effect::Exit(_) | Effect::Crash(_) => {}
        }
        Ok(())
    }

    fn begin_load(&mut self, index: usize, job: LoadJob) {
        match std::mem::take(&mut self.servers[index].link) {
            Link::Up(connection) => {
                let received = Vec::new();
                self.servers[index].link = Link::Loading(Box::new(Loading {
                    connection,
                    job,
                    received,
                }));
                self.finish_load(index);
            }
            other => {
                self.servers[index].link = other;
                let result = Err(LoadFailure::Io("the connection is gone".into()));
                if let Some(node) = &mut self.servers[index].node {
                    node.done(Done::Loaded { id: job.id, result });
                }
            }
        }
    }

    fn transfer(&mut self, index: usize, job: TransferJob) {
        let replica = job.replica;
        let delay_ms = 1 + self.rng.below(1_000);
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return };
        let of_replica = |c: &&mut Connection| c.primary == index && c.session == replica;
        let Some(connection) = self.connections.values_mut().find(of_replica) else {
            let result = Err("the replica's connection is gone".into());
            return node.done(Done::Transferred { replica, result });
        };
        let mut bytes = take_output(node, replica);
        match node::jobs::run_transfer(&server.disk, job, &mut bytes, &mut |_| {}) {
            Ok(_) => {
                connection.transferring = true;
                connection.down.send(time::now_ms() + delay_ms, bytes);
            }
            Err(what) => node.done(Done::Transferred {
                replica,
                result: Err(what),
            }),
        }
    }

    /// The primary closes a session's connection.
    fn close_session(&mut self, index: usize, session: SessionId) -> Outcome {
        if let Some(node) = &mut self.servers[index].node {
            node.closed(session);
        }
        let found = self
            .connections
            .iter()
            .find(|(_, c)| c.primary == index && c.session == session);
        if let Some(id) = found.map(|(id, _)| *id)
            && let Some(connection) = self.connections.remove(&id)
        {
            self.end_link(connection.replica, id);
            self.settle(connection.replica)?;
        }
        Ok(())
    }

    /// Sends what a node has for its primary and its replicas.
    fn flush(&mut self, index: usize) {
        let latency_ms = 1 + self.rng.below(20);
        let due_ms = time::now_ms() + latency_ms;
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return };
        if let Link::Up(id) = &server.link
            && let Some(connection) = self.connections.get_mut(id)
            && let Some(out) = node.link_output()
        {
            connection.up.send(due_ms, std::mem::take(out));
        }
        for connection in self
            .connections
            .values_mut()
            .filter(|c| c.primary == index && !c.transferring)
        {
            let bytes = take_output(node, connection.session);
            connection.down.send(due_ms, bytes);
            let is_replica = |kind: Kind| kind == Kind::Replica;
            if node
                .engine
                .sessions
                .get(connection.session)
                .is_some_and(|session| is_replica(session.kind))
            {
                let bytes: Vec<u8> = node
                    .stream_slices(connection.session, 10_000)
                    .flatten()
                    .copied()
                    .collect();
                node.stream_sent(connection.session, bytes.len());
                connection.down.send(due_ms, bytes);
            }
        }
    }
}

fn is_between(connection: &Connection, a: usize, b: usize) -> bool {
    let ends = (connection.replica, connection.primary);
    ends == (a, b) || ends == (b, a)
}

/// Takes a session's output, as if the network took it at once.
fn take_output(node: &mut Node, session: SessionId) -> Vec<u8> {
    let Some(found) = node.engine.sessions.get(session) else {
        return Vec::new();
    };
    let bytes = found.out[found.sent..].to_vec();
    node.sent(session, bytes.len());
    bytes
}

fn is_whole(loading: &Loading) -> bool {
    let already = &loading.job.already;
    match loading.job.form {
        PayloadForm::Sized(bytes) => (already.len() + loading.received.len()) as u64 >= bytes,
        PayloadForm::Marked(mark) => {
            let tail: Vec<u8> = already
                .iter()
                .chain(&loading.received)
                .rev()
                .take(40)
                .copied()
                .collect();
            tail.iter().rev().eq(mark.iter())
        }
    }
}
