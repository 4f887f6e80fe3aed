//! Bytes on their way: between clients and servers, and between replicas and primaries.

use engine::SessionId;
use engine::session::{Kind, Peer};
use node::replication::LinkEnd;
use node::{Done, Node, Opened};

use super::{Outcome, World};
use crate::network::{Connection, Pipe, Transfer};
use crate::server::{Link, OPERATOR};
use crate::time;

impl World {
    // ---- clients ----

    /// A client sends its next few commands at once.
    pub(super) fn speak(&mut self, index: usize, client: usize, commands: u64) -> Outcome {
        for _ in 0..commands {
            let Some(speaker) = self.servers[index].clients.get_mut(client) else {
                return Ok(());
            };
            if !speaker.input.is_empty() {
                return Ok(());
            }
            let line = speaker.next(&mut self.rng);
            self.say(index, client, &line)?;
        }
        Ok(())
    }

    /// An operator's command, unless an earlier one is held back.
    pub(super) fn operate(&mut self, index: usize, line: &str) -> Outcome {
        match self.servers[index].clients.get(OPERATOR) {
            Some(operator) if operator.input.is_empty() => self.say(index, OPERATOR, line),
            _ => Ok(()),
        }
    }

    fn say(&mut self, index: usize, client: usize, line: &str) -> Outcome {
        let expected = self.expected_reply(index, client, line);
        let server = &mut self.servers[index];
        let speaker = &mut server.clients[client];
        let words: Vec<&str> = line.split(' ').collect();
        resp::write_command(&mut speaker.input, words.iter());
        speaker.unanswered.push_back(line.to_owned());
        self.counts.commands += 1;
        let reply = self.offer(index, client);
        let refused = |reply: &[u8]| reply.starts_with(b"-LOADING") || reply.starts_with(b"-MASTERDOWN");
        if let (Some(expected), Some(reply)) = (expected, reply)
            && reply != expected
            && !refused(&reply)
            && !reply.is_empty()
        {
            let (reply, expected) = (reply.escape_ascii(), expected.escape_ascii());
            return Err(format!("server {index} answers {reply} to {line}, not {expected}"));
        }
        self.settle(index)
    }

    /// Has the node execute what a client has sent; gives the reply to it, if all of it was executed.
    fn offer(&mut self, index: usize, client: usize) -> Option<Vec<u8>> {
        let server = &mut self.servers[index];
        let node = server.node.as_mut()?;
        let speaker = server.clients.get_mut(client)?;
        node.begin_turn(time::now());
        let consumed = node.input(speaker.session, &speaker.input);
        speaker.input.drain(..consumed);
        let waits = !speaker.input.is_empty();
        let reply = self.collect_replies(index, client);
        reply.filter(|_| !waits)
    }

    /// Takes what a client is answered.
    fn collect_replies(&mut self, index: usize, client: usize) -> Option<Vec<u8>> {
        let server = &mut self.servers[index];
        let speaker = server.clients.get_mut(client)?;
        let replies = take_output(server.node.as_mut()?, speaker.session);
        let mut at = 0;
        let mut notes = Vec::new();
        while let resp::value::Decoded::Value { consumed, .. } = resp::value::decode(&replies[at..]) {
            let line = speaker.unanswered.pop_front().unwrap_or_default();
            let shown: String = line.chars().take(50).collect();
            let reply = &replies[at..at + consumed];
            let digest = if line == "INFO" { &b"(a report)"[..] } else { reply };
            let answer = digest[..digest.len().min(60)].escape_ascii();
            notes.push(format!("{index}.{client}> {shown} -> {answer}"));
            at += consumed;
        }
        notes.into_iter().for_each(|note| self.note(note));
        Some(replies)
    }

    /// Sessions that were held back go on.
    pub(super) fn resume(&mut self, index: usize, session: SessionId) {
        let client = self.servers[index]
            .clients
            .iter()
            .position(|client| client.session == session);
        if let Some(client) = client {
            self.offer(index, client);
            return;
        }
        let connection = self
            .connections
            .values_mut()
            .find(|c| c.primary == index && c.session == session);
        if let Some(connection) = connection.filter(|connection| connection.primary_open) {
            feed(self.servers[index].node.as_mut(), connection, Vec::new());
        }
    }

    // ---- connections ----

    pub(super) fn finish_connecting(&mut self, index: usize, to: usize) -> Outcome {
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
        let bandwidths = [300, 3_000, 100_000, 100_000];
        let connection = Connection {
            replica: index,
            primary: to,
            session,
            up: Pipe::default(),
            down: Pipe::default(),
            input: Vec::new(),
            replica_open: true,
            primary_open: true,
            transfer: Transfer::No,
            bandwidth: *self.rng.pick(&bandwidths),
        };
        self.connections.insert(id, connection);
        self.servers[index].link = Link::Up(id);
        self.note(format!("{index} connects to {to}"));
        if let Some(node) = &mut self.servers[index].node {
            node.link_connected(peer);
        }
        Ok(())
    }

    pub(super) fn step_connection(&mut self, id: u64) -> Outcome {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let (replica, primary) = (connection.replica, connection.primary);
        let pair = (replica.min(primary), replica.max(primary));
        if self.partitions.contains_key(&pair) {
            return Ok(());
        }
        let now_ms = time::now_ms();
        let most = 1 + self.rng.below(connection.bandwidth) as usize;
        let up = connection.up.arrive(now_ms, most);
        let down = connection.down.arrive(now_ms, most);
        if !up.is_empty() && connection.primary_open {
            feed(self.servers[primary].node.as_mut(), connection, up);
            self.settle(primary)?;
        }
        self.step_transfer(id)?;
        let down = self.tampered(replica, id, down);
        if !down.is_empty() {
            self.receive(replica, id, &down)?;
        }
        self.learn_of_ends(id)
    }

    fn receive(&mut self, index: usize, id: u64, bytes: &[u8]) -> Outcome {
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return Ok(()) };
        node.begin_turn(time::now());
        match &mut server.link {
            Link::Up(up) if *up == id => node.link_input(bytes),
            Link::Loading(loading) if loading.connection == id => {
                loading.received.extend_from_slice(bytes);
                self.read_payload(index)?;
            }
            _ => {}
        }
        self.settle(index)
    }

    /// An end that has everything learns that the other is closed.
    fn learn_of_ends(&mut self, id: u64) -> Outcome {
        let now_ms = time::now_ms();
        let Some(connection) = self.connections.get(&id) else {
            return Ok(());
        };
        let (primary, replica) = (connection.primary, connection.replica);
        if connection.primary_open && connection.up.is_over(now_ms) {
            self.end_session(id);
            self.settle(primary)?;
        }
        let ended = |connection: &&Connection| connection.replica_open && connection.down.is_over(now_ms);
        if self.connections.get(&id).filter(ended).is_some() {
            self.end_link(id)?;
            self.settle(replica)?;
        }
        Ok(())
    }

    /// Every connection between two servers breaks, after any byte of what is on its way.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        self.note(format!("cut {a} {b}"));
        let now_ms = time::now_ms();
        for connection in self.connections.values_mut() {
            let ends = (connection.replica, connection.primary);
            if ends == (a, b) || ends == (b, a) {
                connection.up.cut(now_ms, &mut self.rng);
                connection.down.cut(now_ms, &mut self.rng);
            }
        }
    }

    /// A connection with a payload on its way breaks after any byte.
    pub(super) fn break_transfer(&mut self) {
        let now_ms = time::now_ms();
        let transfers = |c: &&mut Connection| !matches!(c.transfer, Transfer::No);
        if let Some(connection) = self.connections.values_mut().find(transfers) {
            connection.up.cut(now_ms, &mut self.rng);
            connection.down.cut(now_ms, &mut self.rng);
            let what = format!("cut what {} receives from {}", connection.replica, connection.primary);
            self.note(what);
        }
    }

    pub(super) fn damage(&mut self, index: usize) {
        let at = self.rng.next_u64();
        let flies = |c: &&mut Connection| c.replica == index && matches!(c.transfer, Transfer::Flying { .. });
        if let Some(connection) = self.connections.values_mut().find(flies) {
            connection.down.damage(at);
            self.note(format!("damage to what {index} receives"));
        }
    }

    /// The replica's end is over: its node is told.
    fn end_link(&mut self, id: u64) -> Outcome {
        self.close_replica_end(id);
        let Some(connection) = self.connections.get(&id) else {
            return Ok(());
        };
        let index = connection.replica;
        match &self.servers[index].link {
            Link::Up(up) if *up == id => {
                self.servers[index].link = Link::Down;
                self.tell_link_ended(index, LinkEnd::Closed);
                Ok(())
            }
            Link::Loading(loading) if loading.connection == id => self.break_load(index),
            _ => Ok(()),
        }
    }

    pub(super) fn tell_link_ended(&mut self, index: usize, end: LinkEnd) {
        if let Some(node) = &mut self.servers[index].node {
            node.begin_turn(time::now());
            node.link_ended(end);
        }
    }

    /// The primary's end is over: its node is told.
    fn end_session(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.primary_open = false;
        connection.down.close(time::now_ms());
        let transfer = std::mem::replace(&mut connection.transfer, Transfer::No);
        let session = connection.session;
        let Some(node) = &mut self.servers[connection.primary].node else {
            return;
        };
        node.begin_turn(time::now());
        if !matches!(transfer, Transfer::No) {
            let result = Err("connection lost".into());
            node.done(Done::Transferred {
                replica: session,
                result,
            });
        }
        node.closed(session);
    }

    /// The replica closes its end; the primary finds out when it arrives.
    pub(super) fn close_replica_end(&mut self, id: u64) {
        let due_ms = time::now_ms() + 1 + self.rng.below(20);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.replica_open = false;
            connection.up.close(due_ms);
        }
    }

    /// The primary closes a session; the replica finds out when it arrives.
    pub(super) fn close_session(&mut self, index: usize, session: SessionId) {
        let due_ms = time::now_ms() + 1 + self.rng.below(20);
        if let Some(node) = &mut self.servers[index].node {
            node.closed(session);
        }
        let found = self
            .connections
            .values_mut()
            .find(|c| c.primary == index && c.session == session);
        if let Some(connection) = found {
            connection.primary_open = false;
            connection.down.close(due_ms);
        }
    }

    /// Sends what a node has for its primary, its replicas and its clients.
    pub(super) fn flush(&mut self, index: usize) {
        let due_ms = time::now_ms() + 1 + self.rng.below(20);
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return };
        // Every output is looked at anyway.
        let pushed = node.take_pushed();
        node.engine.sessions.recycle_pushed(pushed);
        if let Link::Up(id) = &server.link
            && let Some(connection) = self.connections.get_mut(id)
            && let Some(out) = node.link_output()
        {
            connection.up.send(due_ms, std::mem::take(out));
        }
        let writable = |c: &&mut Connection| c.primary == index && c.primary_open && matches!(c.transfer, Transfer::No);
        for connection in self.connections.values_mut().filter(writable) {
            let bytes = take_output(node, connection.session);
            connection.down.send(due_ms, bytes);
            let session = node.engine.sessions.get(connection.session);
            // A socket takes so much and no more.
            let room = (64usize << 10).saturating_sub(connection.down.flying_bytes());
            if room > 0 && session.is_some_and(|session| session.kind == Kind::Replica) {
                let slices = node.stream_slices(connection.session, room);
                let bytes: Vec<u8> = slices.flatten().copied().collect();
                node.stream_sent(connection.session, bytes.len());
                connection.down.send(due_ms, bytes);
            }
        }
        for client in 0..self.servers[index].clients.len() {
            self.collect_replies(index, client);
        }
    }

    /// Sabotage of what a replica receives.
    fn tampered(&mut self, index: usize, id: u64, bytes: Vec<u8>) -> Vec<u8> {
        let Some(sabotage) = self.sabotage else { return bytes };
        let streams = matches!(&self.servers[index].link, Link::Up(up) if *up == id);
        if !streams || !self.is_ripe(index) {
            return bytes;
        }
        match sabotage.tamper(&bytes) {
            None => bytes,
            Some(tampered) => {
                self.sabotage = None;
                self.note(format!("sabotage: {sabotage:?} on the way to {index}"));
                tampered
            }
        }
    }
}

/// Has a primary's node execute what has arrived on a replica's connection.
fn feed(node: Option<&mut Node>, connection: &mut Connection, bytes: Vec<u8>) {
    let Some(node) = node else { return };
    connection.input.extend(bytes);
    node.begin_turn(time::now());
    let consumed = node.input(connection.session, &connection.input);
    connection.input.drain(..consumed);
}

/// Takes a session's output, as if the network took it at once.
pub(super) fn take_output(node: &mut Node, session: SessionId) -> Vec<u8> {
    let Some(found) = node.engine.sessions.get(session) else {
        return Vec::new();
    };
    let bytes = found.out[found.sent..].to_vec();
    if !bytes.is_empty() {
        node.sent(session, bytes.len());
    }
    bytes
}
