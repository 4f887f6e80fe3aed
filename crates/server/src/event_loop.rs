//! The engine's thread: one turn after the other.
//!
//! ```text
//!   wait ─► accept, read ─► execute ─► timers ─► effects ─► write (every session with output)
//!    ▲      (16 ready sockets at a time)                        │ full sockets wait for room
//!    └──────────────────────────────────────────────────────────┘
//! ```

use std::io::{self, IoSlice};

use engine::SessionId;
use engine::host::Level;
use engine::session::Kind;
use net::{Accepted, Clock, Interest, Poller, Ready, Received, Signals, Stop, Waker};
use node::{Input, Node, Opened};
use resp::Limits;

use crate::background::{Background, Message};
use crate::connections::Connections;
use crate::feeding::Feeding;
use crate::io_threads::IoThreads;
use crate::link::Link;
use crate::listeners::{ACCEPTS_PER_TURN, Listeners, peer_of};
use crate::log::Log;
use crate::surroundings::Surroundings;
use crate::threads::{Inbox, Reaper};
use crate::token::Token;

/// So many sockets are read before what arrived on them is executed: as many cache misses as a processor has under way.
pub const READ_AT_ONCE: usize = 16;

/// How much of the stream one replica is sent in one turn at most, so that none holds up the others.
const STREAM_BYTES_PER_TURN: usize = 4 << 20;

/// A running server.
pub struct Server {
    pub(crate) node: Node,
    pub(crate) log: Log,
    pub(crate) poller: Poller,
    pub(crate) connections: Connections,
    pub(crate) listeners: Listeners,
    pub(crate) link: Link,
    /// The sessions that were read from, and whose requests are to be executed next.
    pub(crate) arrived: Vec<SessionId>,
    /// What was read from the primary last; its memory is used again.
    pub(crate) link_input: Vec<u8>,
    /// Those that help with sockets, if there are any.
    pub(crate) io_threads: Option<IoThreads>,
    pub(crate) background: Background,
    pub(crate) inbox: Inbox<Message>,
    pub(crate) reaper: Reaper,
    pub(crate) signals: Signals,
    pub(crate) waker: Waker,
    pub(crate) surroundings: Surroundings,
    /// Any session may have output, not only those that were marked.
    pub(crate) mark_all: bool,
    /// The code to exit with, once it is to end.
    pub(crate) exit: Option<i32>,
    pub(crate) next_tick_ms: u64,
    /// The sessions that have become replicas: whatever any session executes may give them something to send.
    pub(crate) replicas: Vec<SessionId>,
    /// When those are sent the stream.
    pub(crate) feeding: Feeding,
}

impl Server {
    /// Runs until the node asks for the end; returns the code to exit with.
    ///
    /// # Errors
    /// When the poller itself fails, which nothing can be done about.
    pub fn run(mut self) -> io::Result<i32> {
        let mut effects_left = self.settle();
        loop {
            if let Some(code) = self.exit {
                // What was held back goes to the replicas.
                self.flush();
                self.surroundings.at_exit(&self.log, self.listeners.unix_path());
                return Ok(code);
            }
            let timeout_ms = if effects_left { 0 } else { self.wait_ms() };
            effects_left = self.turn(timeout_ms)?;
        }
    }

    fn wait_ms(&self) -> u64 {
        if self.node.is_busy() {
            return 0;
        }
        // Rounded up: waking a fraction of a millisecond early would mean another wait of nothing.
        let deadline_ms = self.node.next_deadline_ms().unwrap_or(u64::MAX);
        let next_ms = self.next_tick_ms.min(deadline_ms);
        let wait_ms = (next_ms + 1).saturating_sub(Clock.mono_us() / 1000);
        wait_ms.min(if self.feeding.holds { 1 } else { u64::MAX })
    }

    /// One turn. Returns whether there is more to do without waiting.
    fn turn(&mut self, timeout_ms: u64) -> io::Result<bool> {
        let ready = self.poller.wait(Some(timeout_ms))?;
        let now = Clock.now();
        self.node.begin_turn(now);
        let at_once = self.io_threads.as_ref().map_or(READ_AT_ONCE, IoThreads::read_at_once);
        for first in (0..ready).step_by(at_once) {
            for index in first..ready.min(first + at_once) {
                self.on_ready(self.poller.ready(index));
            }
            self.read_noted();
            self.execute_arrived();
        }
        if now.mono_ms() >= self.next_tick_ms {
            self.tick(now.mono_ms());
        }
        Ok(self.settle())
    }

    /// Effects and outputs, until there are none. Returns whether some are left for the next turn.
    fn settle(&mut self) -> bool {
        // Before the outputs go: what is told of evicted keys is sent at once, and not in the way of the next look.
        self.node.evict_on();
        let mut left = self.carry_out_effects();
        self.flush();
        self.node.limit_clients_as_counted();
        // Sending may have ended sessions, and so led to more.
        left |= self.carry_out_effects();
        self.log.role = self.surroundings.role(&self.node);
        left
    }

    fn tick(&mut self, now_ms: u64) {
        self.node.tick();
        self.listeners.resume(&self.poller);
        if self.node.state.shutdown.is_none() {
            self.signals.forgive();
        }
        self.connections.trim_pool();
        ds::memory::settle();
        self.mark_all = true;
        self.next_tick_ms = now_ms + self.node.tick_interval_ms();
    }

    fn on_ready(&mut self, ready: Ready) {
        match Token::from_u64(ready.token) {
            Token::Wake => {
                self.waker.take();
                if let Some(stop) = self.signals.take() {
                    self.on_stop(stop);
                }
                self.take_messages();
            }
            Token::Listener(index) => self.accept(index),
            Token::Link(attempt) => self.on_link_ready(attempt, ready),
            token @ Token::Session(..) => {
                let Some(id) = self.connections.session_of(token) else {
                    return;
                };
                let noted = |io: &mut IoThreads| io.take_to_read(id);
                if ready.readable && !self.io_threads.as_mut().is_some_and(noted) {
                    self.on_readable(id);
                }
                if ready.writable {
                    self.connections.mark(id);
                }
            }
        }
    }

    fn on_stop(&mut self, stop: Stop) {
        let (name, flags) = match stop {
            Stop::Terminate => ("SIGTERM", self.node.state.config.shutdown_on_sigterm),
            Stop::Interrupt => ("SIGINT", self.node.state.config.shutdown_on_sigint),
        };
        self.log
            .line(Level::Warning, &format!("Received {name} scheduling shutdown..."));
        self.surroundings.stopping();
        let options = node::shutdown::Options {
            save: match (flags.save, flags.nosave) {
                (true, _) => node::shutdown::Save::Always,
                (_, true) => node::shutdown::Save::Never,
                _ => node::shutdown::Save::AsConfigured,
            },
            now: flags.now,
            force: flags.force,
        };
        let Node { engine, state, .. } = &mut self.node;
        let now = engine.now;
        // What comes of it is in the log, and in the effects.
        let _ = node::shutdown::begin_by_signal(state, engine, options, now);
    }

    fn accept(&mut self, index: u32) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some((accepted, path)) = self.listeners.accept(index) else {
                return;
            };
            match accepted {
                Accepted::Stream(stream) => self.open(stream, path),
                Accepted::Lost => {}
                Accepted::Nobody => return,
                Accepted::NoDescriptors(error) | Accepted::Failed(error) => {
                    self.log
                        .line(Level::Warning, &format!("Accepting client connection: {error}"));
                    return self.listeners.pause(&self.poller);
                }
            }
        }
    }

    fn open(&mut self, stream: net::Stream, path: Option<String>) {
        let peer = peer_of(&stream, path);
        // A client that hung up already fails these; reading tells.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_keepalive(self.node.state.config.tcp_keepalive);
        match self.node.open(peer) {
            Opened::Session(id) => match self
                .poller
                .register(&stream, Token::session(id).to_u64(), Interest::Read)
            {
                Ok(registration) => self.connections.add(id, stream, registration),
                Err(error) => {
                    self.log
                        .line(Level::Warning, &format!("Can't watch a client's connection: {error}"));
                    self.node.closed(id);
                }
            },
            Opened::Refused(reply) => {
                // Best effort: a client that cannot take even this learns it from the end of the connection.
                let _ = stream.write(&reply);
            }
        }
    }

    pub(crate) fn on_readable(&mut self, id: SessionId) {
        if let Some(connection) = self.connections.to_be_read(id) {
            let received = connection.receive();
            self.on_received(id, received);
        }
    }

    /// A session's socket was read from.
    pub(crate) fn on_received(&mut self, id: SessionId, received: io::Result<Received>) {
        match received {
            Ok(Received::Bytes(count)) => {
                self.node.engine.data.stats.net_input_bytes += count as u64;
                if self.has_too_much_waiting(id) {
                    self.close_session(id);
                } else {
                    self.arrived.push(id);
                }
            }
            Ok(Received::Nothing) => {
                if let Some(connection) = self.connections.get_mut(id) {
                    let storage = connection.input.take_storage();
                    self.connections.pool(storage);
                }
            }
            Ok(Received::End) => self.close_session(id),
            Err(error) => {
                let address = self
                    .node
                    .engine
                    .sessions
                    .get(id)
                    .map_or("?", |session| &*session.peer.address);
                self.log
                    .line(Level::Verbose, &format!("Reading from client {address}: {error}"));
                self.close_session(id);
            }
        }
    }

    /// Executes what was read from several sessions, in the order in which it was read.
    fn execute_arrived(&mut self) {
        let mut arrived = std::mem::take(&mut self.arrived);
        for group in arrived.chunks(READ_AT_ONCE) {
            self.offer(group);
            for id in group {
                self.connections.mark(*id);
            }
        }
        arrived.clear();
        self.arrived = arrived;
    }

    /// Whether a session has sent more than may wait, executable or not; the log says so.
    fn has_too_much_waiting(&mut self, id: SessionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        let Some(session) = self.node.engine.sessions.get(id) else {
            return false;
        };
        let waiting = connection.input.len();
        let limits = Limits {
            authenticated: session.authenticated,
            query_buffer_bytes: self.node.state.config.client_query_buffer_limit,
            ..Limits::default()
        };
        let exceeded = limits.query_buffer_exceeded(waiting, 0);
        if exceeded {
            let address = &session.peer.address;
            let line = format!("Closing client that reached max query buffer length: addr={address} qbuf={waiting}");
            self.log.line(Level::Warning, &line);
        }
        exceeded
    }

    /// Has the node execute what a session has sent.
    pub(crate) fn offer_input(&mut self, id: SessionId) {
        self.offer(&[id]);
    }

    /// Has the node execute what sessions have sent, [`READ_AT_ONCE`] of them at most.
    fn offer(&mut self, ids: &[SessionId]) {
        let mut inputs = [Input::default(); READ_AT_ONCE];
        for (input, id) in inputs.iter_mut().zip(ids) {
            let Some(connection) = self.connections.get(*id) else {
                continue;
            };
            if !connection.input.is_empty()
                && let Some(session) = self.node.engine.sessions.get_mut(*id)
            {
                session.query_capacity = connection.input.capacity();
            }
            (input.id, input.buffer) = (*id, connection.input.data());
        }
        self.node.inputs(&mut inputs[..ids.len()]);
        let consumed = inputs.map(|input| input.consumed);
        for (id, consumed) in ids.iter().zip(consumed) {
            self.consumed(*id, consumed);
        }
    }

    /// So much of what a session has sent is done with.
    fn consumed(&mut self, id: SessionId, bytes: usize) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.input.consume(bytes);
        if connection.input.is_empty() {
            let storage = connection.input.take_storage();
            return self.connections.pool(storage);
        }
        let Some(session) = self.node.engine.sessions.get(id) else {
            return;
        };
        let waiting = connection.input.len();
        let needed = session.parser.bytes_needed();
        if needed > waiting {
            connection.input.reserve_total(needed);
        }
        self.node.input_resized(id, connection.input.capacity());
    }

    /// Ends a session whose connection is gone or useless.
    pub(crate) fn close_session(&mut self, id: SessionId) {
        self.node.closed(id);
        self.close_socket(id);
    }

    /// Closes the socket of a session that the node has forgotten.
    pub(crate) fn close_socket(&mut self, id: SessionId) {
        let Some(connection) = self.connections.remove(id) else {
            return;
        };
        if connection.shared {
            // Another thread may hold the socket: it would stay open, and in the poller.
            connection.stream.shutdown();
            let _ = self.poller.remove(&connection.stream, connection.registration);
        }
    }

    /// Sends what is there to be sent.
    fn flush(&mut self) {
        if std::mem::take(&mut self.mark_all) {
            for session in self.node.engine.sessions.iter() {
                if session.unsent_bytes() > 0 || session.close_after_reply || session.close_now {
                    self.connections.mark(session.id);
                }
            }
        } else {
            for id in self.node.engine.monitors() {
                self.connections.mark(*id);
            }
        }
        let pushed = self.node.take_pushed();
        for id in &pushed {
            self.connections.mark(*id);
        }
        self.node.engine.sessions.recycle_pushed(pushed);
        self.mark_replicas();

        let marked = self.connections.take_marked();
        let mut sent = self.send_with_threads(&marked).into_iter().peekable();
        for id in &marked {
            let sent = sent.next_if(|(of, _)| of == id).map(|(_, sent)| sent);
            if let Err(error) = self.flush_session(*id, sent) {
                let address = self
                    .node
                    .engine
                    .sessions
                    .get(*id)
                    .map_or("?", |session| &*session.peer.address);
                self.log
                    .line(Level::Verbose, &format!("Error writing to client {address}: {error}"));
                self.close_session(*id);
            }
        }
        self.connections.flushed(marked);
        self.flush_link();
    }

    /// Marks the replicas if the stream is to go to them now.
    fn mark_replicas(&mut self) {
        self.feeding.holds = false;
        if self.replicas.is_empty() {
            return;
        }
        let at_once = self.node.take_awaited() || self.exit.is_some();
        let end = node::replication::stream(&self.node.state).end();
        if self.feeding.is_due(self.node.engine.now.mono_us, end, at_once) {
            // A replica whose socket is full is reported by the poller when it has room.
            let connections = &mut self.connections;
            self.replicas.retain(|id| connections.mark_if_writable(*id));
        }
    }

    /// Sends a session's replies, unless that was `tried` and it is known whether the socket is full; then its part of the
    /// stream. Watches for room when the socket takes no more.
    fn flush_session(&mut self, id: SessionId, tried: Option<io::Result<bool>>) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Ok(());
        };
        if connection.transferring {
            return Ok(());
        }
        let Some(session) = self.node.engine.sessions.get(id) else {
            return Ok(());
        };
        let (close_now, close_after) = (session.close_now, session.close_after_reply || connection.closing);
        let is_replica = session.kind == Kind::Replica;
        if is_replica && !self.replicas.contains(&id) {
            self.replicas.push(id);
        }
        let unsent = &session.out[session.sent..];
        let mut full = false;
        if let Some(tried) = tried {
            full = tried?;
        } else if !unsent.is_empty() {
            let sent = connection.send(unsent)?;
            full = sent < unsent.len();
            self.node.sent(id, sent);
        }
        if is_replica && !full {
            full = self.feed(id)?;
        }
        if close_now || (close_after && !full) {
            self.close_session(id);
            return Ok(());
        }
        let Some(connection) = self.connections.get_mut(id) else {
            return Ok(());
        };
        self.poller.set(
            &connection.stream,
            &mut connection.registration,
            Interest::of(true, full),
        )
    }

    /// Sends a replica its part of the stream. Returns whether there is more.
    fn feed(&mut self, id: SessionId) -> io::Result<bool> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Ok(false);
        };
        let mut left = STREAM_BYTES_PER_TURN;
        loop {
            let mut slices = [IoSlice::new(&[]); net::stream::SLICES_PER_WRITE];
            let (mut count, mut offered) = (0, 0);
            for (place, slice) in slices.iter_mut().zip(self.node.stream_slices(id, left)) {
                *place = IoSlice::new(slice);
                count += 1;
                offered += slice.len();
            }
            if offered == 0 {
                return Ok(left == 0);
            }
            let sent = connection.stream.write_vectored(&slices[..count])?;
            self.node.stream_sent(id, sent);
            left -= sent;
            if sent < offered {
                return Ok(true);
            }
        }
    }
}
