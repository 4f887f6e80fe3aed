//! Carrying out what the node asks for, and bringing it what other threads did.

use std::time::Duration;

use engine::SessionId;
use engine::host::Level;
use net::process::{FileLimit, raise_file_limit};
use net::{Interest, Received};
use node::effect::Crash;
use node::replication::LinkEnd;
use node::{Done, Effect, LoadJob, Node, TransferJob};

use crate::background::Message;
use crate::event_loop::Server;
use crate::link::{State, Up, end_of};
use crate::listeners::peer_of;
use crate::startup::{RESERVED_DESCRIPTORS, level_of};
use crate::token::Token;

/// How much is read from the primary at once.
const LINK_READ_BYTES: usize = 256 * 1024;

/// How many rounds of effects one turn carries out at most; what is left comes in the next.
const ROUNDS_PER_TURN: usize = 32;

impl Server {
    /// Carries out effects, and those that they lead to. Returns whether some are left.
    pub(crate) fn carry_out_effects(&mut self) -> bool {
        for _ in 0..ROUNDS_PER_TURN {
            let effects = self.node.take_effects();
            if effects.is_empty() {
                return false;
            }
            for effect in effects {
                self.carry_out(effect);
            }
        }
        true
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Log(level, line) => self.log.line(level, &line),
            Effect::Close(id) => self.close_socket(id),
            Effect::CloseAfterFlush(id) => {
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.closing = true;
                    self.connections.mark(id);
                }
            }
            Effect::Resume(id) => {
                self.offer_input(id);
                self.connections.mark(id);
            }
            Effect::Connect { host, port, source } => self.connect(host, port, source),
            Effect::CloseLink => self.link.close(),
            Effect::Load(job) => self.load(job),
            Effect::Transfer(job) => self.transfer(job),
            Effect::Save(job) => self.background.save(job),
            Effect::Migrate(job) => self.background.migrate(job),
            Effect::Discard(value) => self.reaper.drop(value),
            Effect::Reconfigured(names) => self.reconfigured(&names),
            Effect::Exit(code) => self.exit = Some(code),
            Effect::Crash(how) => crash(how),
        }
    }

    fn connect(&mut self, host: String, port: u16, source: Option<String>) {
        self.link.close();
        self.link.state = State::Connecting;
        let timeout = Duration::from_secs(u64::from(self.node.state.config.repl_timeout));
        self.background.connect(host, port, source, timeout, self.link.attempt);
    }

    fn load(&mut self, job: LoadJob) {
        let id = job.id;
        let State::Up(Up { stream, registration }) = std::mem::take(&mut self.link.state) else {
            // The connection broke in this very turn; the node has been told of that already.
            return self.node.done(Done::Loaded {
                id,
                result: Err(gone("the connection to the primary is gone")),
            });
        };
        let begun = self
            .poller
            .remove(&stream, registration)
            .and_then(|()| stream.try_clone());
        let begun = begun.and_then(|handle| {
            self.background.load(job, stream, self.link.attempt)?;
            Ok(handle)
        });
        match begun {
            Ok(handle) => self.link.state = State::Loading(handle),
            Err(error) => self.node.done(Done::Loaded {
                id,
                result: Err(gone(&error.to_string())),
            }),
        }
    }

    fn transfer(&mut self, job: TransferJob) {
        let replica = job.replica;
        let Some(connection) = self.connections.get_mut(replica) else {
            let result = Err("the replica's connection is gone".to_owned());
            return self.node.done(Done::Transferred { replica, result });
        };
        // A socket that refuses this will refuse the snapshot too.
        let _ = connection
            .stream
            .set_nodelay(!self.node.state.config.repl_disable_tcp_nodelay);
        match connection.stream.try_clone() {
            Ok(stream) => {
                connection.transferring = true;
                connection.shared = true;
                // Nothing is to be written from here now, so there is nothing to wait for.
                let Ok(()) = self
                    .poller
                    .set(&connection.stream, &mut connection.registration, Interest::Read)
                else {
                    return self.close_session(replica);
                };
                let before = self.take_output(replica);
                self.background.transfer(job, stream, before);
            }
            Err(error) => self.node.done(Done::Transferred {
                replica,
                result: Err(error.to_string()),
            }),
        }
    }

    /// Takes what a session has to send, as if it were sent.
    fn take_output(&mut self, id: SessionId) -> Vec<u8> {
        let Some(session) = self.node.engine.sessions.get(id) else {
            return Vec::new();
        };
        let bytes = session.out[session.sent..].to_vec();
        self.node.sent(id, bytes.len());
        bytes
    }

    /// Takes what other threads have sent.
    pub(crate) fn take_messages(&mut self) {
        while let Some(message) = self.inbox.next() {
            self.on_message(message);
            // A loaded keyspace is swapped in here: what it leads to is carried out before the next message.
            self.carry_out_effects();
        }
        self.mark_all = true;
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Saved(done) | Message::Migrated(done) => self.node.done(done),
            Message::Started(result) => self.on_started(result),
            Message::Transferred(replica, done) => {
                if let Some(connection) = self.connections.get_mut(replica) {
                    connection.transferring = false;
                }
                // A replica that asked with SYNC never speaks: nothing else would wake its part of the stream.
                self.connections.mark(replica);
                self.node.done(done);
            }
            Message::Connected { attempt, result } => self.on_connected(attempt, result),
            Message::Loaded { attempt, stream, done } => self.on_loaded(attempt, stream, done),
            Message::GiveUpDataset { load_id, answer } => {
                // Fails only when the load's thread has ended; what it was to drop is dropped here then.
                let _ = answer.send(self.node.give_up_dataset(load_id));
            }
        }
    }

    /// The dataset of the last run is here, or cannot be had.
    fn on_started(&mut self, result: Result<Box<node::jobs::Loaded>, node::jobs::LoadFailure>) {
        let Node { engine, state, .. } = &mut self.node;
        let ended = node::start::end(state, engine, result);
        self.carry_out_effects();
        match ended {
            Ok(()) => self.in_service(),
            Err(what) => {
                let line = format!("{what}. The server does not run without its data.");
                self.log.line(Level::Warning, &line);
                self.exit = Some(1);
            }
        }
    }

    /// Everything is here: clients are answered.
    pub(crate) fn in_service(&mut self) {
        self.log.line(Level::Notice, "Ready to accept connections");
        self.surroundings.in_service();
    }

    fn on_connected(&mut self, attempt: u32, result: Result<net::Stream, LinkEnd>) {
        if attempt != self.link.attempt || !matches!(self.link.state, State::Connecting) {
            return;
        }
        let config = &self.node.state.config;
        let (nodelay, keepalive) = (!config.repl_disable_tcp_nodelay, config.tcp_keepalive);
        let prepared = result.and_then(|stream| {
            stream.set_nodelay(nodelay).map_err(|error| end_of(&error))?;
            stream.set_keepalive(keepalive).map_err(|error| end_of(&error))?;
            self.watch_link(stream).map_err(|error| end_of(&error))
        });
        match prepared {
            Ok(()) => {
                let State::Up(up) = &self.link.state else { return };
                let peer = peer_of(&up.stream, None);
                self.node.link_connected(peer);
            }
            Err(end) => {
                self.link.close();
                self.node.link_ended(end);
            }
        }
    }

    fn watch_link(&mut self, stream: net::Stream) -> std::io::Result<()> {
        let token = Token::Link(self.link.attempt).to_u64();
        let registration = self.poller.register(&stream, token, Interest::Read)?;
        self.link.state = State::Up(Up { stream, registration });
        Ok(())
    }

    fn on_loaded(&mut self, attempt: u32, stream: net::Stream, done: Done) {
        let ours = attempt == self.link.attempt && matches!(self.link.state, State::Loading(_));
        let whole = matches!(&done, Done::Loaded { result: Ok(_), .. });
        if ours && whole {
            if let Err(error) = self.watch_link(stream) {
                self.log.line(
                    Level::Warning,
                    &format!("Can't watch the connection to the primary: {error}"),
                );
                self.link.close();
                self.node.done(done);
                return self.node.link_ended(end_of(&error));
            }
        } else if ours {
            self.link.close();
        }
        self.node.done(done);
    }

    /// Bytes have come from the primary, or the connection can take some again.
    pub(crate) fn on_link_ready(&mut self, attempt: u32, ready: net::Ready) {
        let State::Up(up) = &mut self.link.state else { return };
        if attempt != self.link.attempt {
            return;
        }
        if ready.readable {
            let received = match self.node.link_room(LINK_READ_BYTES) {
                Some(room) => (up.stream.read_spare(room), true),
                None => {
                    self.link_input.clear();
                    self.link_input.reserve(LINK_READ_BYTES);
                    (up.stream.read_spare(&mut self.link_input), false)
                }
            };
            match received.0 {
                Ok(Received::Bytes(count)) => {
                    self.node.engine.data.stats.net_repl_input_bytes += count as u64;
                    match received.1 {
                        true => self.node.link_read(),
                        false => self.node.link_input(&self.link_input),
                    }
                }
                Ok(Received::Nothing) => {}
                Ok(Received::End) => self.end_link(LinkEnd::Closed),
                Err(error) => self.end_link(end_of(&error)),
            }
        }
    }

    pub(crate) fn end_link(&mut self, end: LinkEnd) {
        self.link.close();
        self.node.link_ended(end);
    }

    /// Sends what there is for the primary.
    pub(crate) fn flush_link(&mut self) {
        let State::Up(up) = &mut self.link.state else { return };
        let Some(out) = self.node.link_output() else { return };
        if out.is_empty() && up.registration.interest() == Interest::Read {
            return;
        }
        let sent = if out.is_empty() { Ok(0) } else { up.stream.write(out) };
        let settled = sent.and_then(|sent| {
            out.drain(..sent);
            let interest = Interest::of(true, !out.is_empty());
            self.poller.set(&up.stream, &mut up.registration, interest)
        });
        if let Err(error) = settled {
            self.end_link(end_of(&error));
        }
    }
}

impl Server {
    /// Lets changed directives take effect outside.
    fn reconfigured(&mut self, names: &[&'static str]) {
        let config = &self.node.state.config;
        for name in names {
            match *name {
                "port" | "bind" => self.listeners.reopen_tcp(config, &self.poller, &self.log),
                "loglevel" => self.log.level = level_of(config.loglevel),
                "maxclients" => {
                    let wanted = u64::from(config.maxclients) + RESERVED_DESCRIPTORS;
                    if let FileLimit::Short { to, .. } = raise_file_limit(wanted) {
                        let line = format!("Only {to} descriptors for maxclients {}", config.maxclients);
                        self.log.line(Level::Warning, &line);
                    }
                }
                _ => {}
            }
        }
        self.surroundings.show_title(config);
    }
}

fn gone(what: &str) -> node::jobs::LoadFailure {
    node::jobs::LoadFailure::Io(what.to_owned())
}

fn crash(how: Crash) {
    match how {
        Crash::Segfault => net::process::raise_segfault(),
        Crash::Panic => panic!("crashed as DEBUG PANIC asked for"),
        Crash::Abort => std::process::abort(),
    }
}
