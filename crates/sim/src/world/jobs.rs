//! What nodes ask for, carried out: in place, but heard of later, so that anything can happen in between.

use std::io::Cursor;

use node::jobs::{self, LoadFailure};
use node::{Done, Effect, LoadJob, PayloadForm, TransferJob};

use super::wires::take_output;
use super::{Outcome, World};
use crate::model::fingerprint;
use crate::network::{Connection, Transfer};
use crate::server::{Link, LoadEnd, Loading, Saving, index_of};
use crate::time;

/// How often effects may lead to further effects in one turn.
const ROUNDS: usize = 100;

impl World {
    /// Carries out what a node asks for, sends what it has to send, and compares its data with its history.
    pub(super) fn settle(&mut self, index: usize) -> Outcome {
        for _ in 0..ROUNDS {
            let Some(node) = &mut self.servers[index].node else {
                return Ok(());
            };
            let effects = node.take_effects();
            if effects.is_empty() {
                self.servers[index].open_clients()?;
                self.flush(index);
                return self.compare(index);
            }
            for effect in effects {
                self.carry_out(index, effect)?;
                if self.servers[index].node.is_none() {
                    // It has exited; what else it wanted it wants no more.
                    return Ok(());
                }
            }
        }
        Err(format!("server {index} asks for more and more"))
    }

    fn carry_out(&mut self, index: usize, effect: Effect) -> Outcome {
        match effect {
            Effect::Log(_, line) => self.note(format!("{index}: {line}")),
            Effect::Close(session) | Effect::CloseAfterFlush(session) => self.close_session(index, session),
            Effect::Connect { host, .. } => return self.connect(index, &host),
            Effect::CloseLink => self.close_link(index),
            Effect::Load(job) => return self.begin_load(index, job),
            Effect::Transfer(job) => self.begin_transfer(index, job),
            Effect::Save(job) => {
                let due_ms = time::now_ms() + self.rng.below(500);
                let job = Box::new(job);
                self.servers[index].saves.push(Saving::Waiting { job, due_ms });
            }
            Effect::Resume(session) => self.resume(index, session),
            Effect::Exit(_) => {
                self.note(format!("{index} exits"));
                self.flush(index);
                self.compare(index)?;
                return self.stop(index);
            }
            Effect::Migrate(_) => {
                // There is nobody else in this world.
                let failure = Some(engine::commands::migrate::Failure::Connect);
                let outcome = engine::commands::migrate::Outcome {
                    failure,
                    ..Default::default()
                };
                if let Some(node) = &mut self.servers[index].node {
                    node.done(node::Done::Migrated(outcome));
                }
            }
            Effect::Discard(value) => drop(value),
            Effect::Reconfigured(_) => {}
            Effect::Crash(how) => return Err(format!("server {index} crashes as asked: {how:?}")),
        }
        Ok(())
    }

    fn connect(&mut self, index: usize, host: &str) -> Outcome {
        if !matches!(self.servers[index].link, Link::Down) {
            return Err(format!("server {index} opens a second link"));
        }
        let Some(to) = index_of(host).filter(|to| *to < self.servers.len()) else {
            self.tell_link_ended(index, node::replication::LinkEnd::ResolveFailed("no such host".into()));
            return Ok(());
        };
        let due_ms = time::now_ms() + 1 + self.rng.below(50);
        self.servers[index].link = Link::Connecting { to, due_ms };
        Ok(())
    }

    fn close_link(&mut self, index: usize) {
        match std::mem::take(&mut self.servers[index].link) {
            Link::Up(id) => self.close_replica_end(id),
            Link::Loading(loading) => {
                self.close_replica_end(loading.connection);
                // The thread finds its socket closed; the node has forgotten it.
                if let Some(job) = loading.job {
                    self.end_load(index, job.id, Err(LoadFailure::Cancelled), None);
                }
            }
            Link::Down | Link::Connecting { .. } => {}
        }
    }

    // ---- loads ----

    fn begin_load(&mut self, index: usize, job: LoadJob) -> Outcome {
        let id = job.id;
        match std::mem::take(&mut self.servers[index].link) {
            Link::Up(connection) => {
                let loading = Loading {
                    connection,
                    job: Some(job),
                    received: Vec::new(),
                };
                self.servers[index].link = Link::Loading(Box::new(loading));
                self.read_payload(index)
            }
            other => {
                self.servers[index].link = other;
                self.end_load(index, id, Err(LoadFailure::Io("the connection is gone".into())), None);
                Ok(())
            }
        }
    }

    /// Loads a payload that is whole.
    pub(super) fn read_payload(&mut self, index: usize) -> Outcome {
        let Link::Loading(loading) = &mut self.servers[index].link else {
            return Ok(());
        };
        let is_whole = loading.job.as_ref().is_some_and(|job| is_whole(job, &loading.received));
        let Some(job) = loading.job.take_if(|_| is_whole) else {
            return Ok(());
        };
        let received = std::mem::take(&mut loading.received);
        self.run_load(index, job, received)
    }

    /// The connection ended while the payload was read: the thread gets as far as it gets.
    pub(super) fn break_load(&mut self, index: usize) -> Outcome {
        let Link::Loading(loading) = std::mem::take(&mut self.servers[index].link) else {
            return Ok(());
        };
        match loading.job {
            Some(job) => self.run_load(index, job, loading.received),
            // Its end is on its way to the node, which learns at its next read that the connection is gone too.
            None => {
                self.servers[index].link = Link::Loading(loading);
                Ok(())
            }
        }
    }

    fn run_load(&mut self, index: usize, job: LoadJob, received: Vec<u8>) -> Outcome {
        let server = &mut self.servers[index];
        let (id, disk) = (job.id, server.disk.clone());
        let whole = is_whole(&job, &received);
        let Some(node) = &mut server.node else { return Ok(()) };
        let mut before = Some(fingerprint(&node.engine.data.keyspace));
        let mut let_go = || {
            before = None;
            // What is given up is dropped here.
            node.give_up_dataset(id).map(drop).ok_or(LoadFailure::Cancelled)
        };
        let mut input = Payload(Cursor::new(received));
        let mut result = jobs::run_load_letting_go(&disk, job, &mut input, &mut |_| {}, &mut let_go);
        if let Ok(loaded) = &mut result {
            if !whole {
                return Err(format!("server {index} loads a payload that is not whole"));
            }
            let read = input.0.position() as usize;
            loaded.rest.extend_from_slice(&input.0.get_ref()[read..]);
        }
        self.end_load(index, id, result, before);
        Ok(())
    }

    fn end_load(&mut self, index: usize, id: u64, result: Result<Box<jobs::Loaded>, LoadFailure>, before: Option<u64>) {
        let due_ms = time::now_ms() + self.rng.below(300);
        let end = LoadEnd {
            id,
            result,
            due_ms,
            before,
        };
        self.servers[index].load_ends.push(end);
    }

    /// Nodes hear of loads that have ended.
    pub(super) fn finish_loads(&mut self, index: usize) -> Outcome {
        let due = |end: &LoadEnd| end.due_ms <= time::now_ms();
        while let Some(at) = self.servers[index].load_ends.iter().position(due) {
            let LoadEnd {
                id, mut result, before, ..
            } = self.servers[index].load_ends.remove(at);
            self.give_link_back(index, &mut result);
            let server = &mut self.servers[index];
            let Some(node) = &mut server.node else { return Ok(()) };
            let failure = result.as_ref().err().map(ToString::to_string);
            let data = fingerprint(&node.engine.data.keyspace);
            node.done(Done::Loaded { id, result });
            if failure.is_some() && data != fingerprint(&node.engine.data.keyspace) {
                return Err(format!("server {index}: a load that failed has changed its data"));
            }
            let kept = before.is_some();
            self.counts.failed_loads += u64::from(failure.is_some());
            self.note(format!(
                "{index} has loaded: {}, old data {}",
                failure.as_deref().unwrap_or("well"),
                if kept { "kept till then" } else { "given up before" }
            ));
            self.settle(index)?;
        }
        Ok(())
    }

    /// A load gives its connection back when it has ended well, with what has come since; else it is closed.
    fn give_link_back(&mut self, index: usize, result: &mut Result<Box<jobs::Loaded>, LoadFailure>) {
        let server = &mut self.servers[index];
        let Link::Loading(loading) = &mut server.link else {
            return;
        };
        // A load that was given up has ended; this connection is another one's.
        if loading.job.is_some() {
            return;
        }
        let id = loading.connection;
        let open = self
            .connections
            .get(&id)
            .is_some_and(|connection| connection.replica_open);
        match result {
            Ok(loaded) => {
                loaded.rest.append(&mut loading.received);
                server.link = Link::Up(id);
                if !open && let Some(connection) = self.connections.get_mut(&id) {
                    // What the network knows already, the node's next read tells it.
                    connection.replica_open = true;
                }
            }
            Err(_) => {
                server.link = Link::Down;
                self.close_replica_end(id);
            }
        }
    }

    // ---- transfers ----

    fn begin_transfer(&mut self, index: usize, job: TransferJob) {
        let replica = job.replica;
        let now_ms = time::now_ms();
        let due_ms = now_ms + self.rng.below(600);
        let Some(node) = &mut self.servers[index].node else {
            return;
        };
        let of_replica = |c: &&mut Connection| c.primary == index && c.session == replica && c.primary_open;
        match self.connections.values_mut().find(of_replica) {
            Some(connection) => {
                connection.down.send(now_ms + 1, take_output(node, replica));
                let job = Box::new(job);
                connection.transfer = Transfer::Waiting { job, due_ms };
            }
            None => {
                let result = Err("the replica's connection is gone".into());
                node.done(Done::Transferred { replica, result });
            }
        }
    }

    /// A transfer goes on: it is encoded, or the network has taken its last byte, or it is stopped.
    pub(super) fn step_transfer(&mut self, id: u64) -> Outcome {
        let now_ms = time::now_ms();
        let Some(connection) = self.connections.get_mut(&id).filter(|c| c.primary_open) else {
            return Ok(());
        };
        let (index, replica) = (connection.primary, connection.session);
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return Ok(()) };
        let result = match std::mem::replace(&mut connection.transfer, Transfer::No) {
            Transfer::No => return Ok(()),
            Transfer::Waiting { job, due_ms } if due_ms <= now_ms => {
                let (cancel, mut bytes) = (job.cancel.clone(), Vec::new());
                let run = jobs::run_transfer(&server.disk, *job, &mut bytes, &mut |_| {});
                connection.down.send(now_ms + 1, bytes);
                match run {
                    Ok(_) => {
                        connection.transfer = Transfer::Flying { cancel };
                        return Ok(());
                    }
                    Err(what) => Err(what),
                }
            }
            Transfer::Flying { cancel } if cancel.is_cancelled() => {
                connection.down.cut(now_ms, &mut self.rng);
                Err("cancelled".to_owned())
            }
            Transfer::Flying { .. } if connection.down.is_empty() => Ok(0),
            other => {
                connection.transfer = other;
                return Ok(());
            }
        };
        node.begin_turn(time::now());
        node.done(Done::Transferred { replica, result });
        self.settle(index)
    }

    // ---- saves ----

    /// Saves whose time has come are made, and nodes hear of those that are made.
    pub(super) fn finish_saves(&mut self, index: usize) {
        let now_ms = time::now_ms();
        let later_ms = now_ms + self.rng.below(100);
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return };
        for saving in std::mem::take(&mut server.saves) {
            match saving {
                Saving::Waiting { job, due_ms } if due_ms <= now_ms => {
                    let id = job.id;
                    let result = jobs::run_save(&server.disk, *job, &mut |_| {});
                    server.saves.push(Saving::Done {
                        id,
                        result,
                        due_ms: later_ms,
                    });
                }
                Saving::Done { id, result, due_ms } if due_ms <= now_ms => node.done(Done::Saved { id, result }),
                other => server.saves.push(other),
            }
        }
    }
}

/// What a load reads from its connection.
struct Payload(Cursor<Vec<u8>>);

impl std::io::Read for Payload {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out)
    }
}

impl jobs::FromPrimary for Payload {
    fn still_loading(&mut self) {}
}

fn is_whole(job: &LoadJob, received: &[u8]) -> bool {
    match job.form {
        PayloadForm::Sized(bytes) => (job.already.len() + received.len()) as u64 >= bytes,
        PayloadForm::Marked(mark) => {
            let tail = job.already.iter().chain(received).rev().take(mark.len());
            tail.eq(mark.iter().rev())
        }
    }
}
