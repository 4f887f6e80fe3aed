//! The sockets of sessions, by the session's slot.

use std::io;

use engine::SessionId;
use net::buffer::READ_BYTES;
use net::{InBuf, Interest, Received, Registration, Stream};

use crate::token::Token;

/// Buffers kept for the next read, where not more are read at once.
pub const POOLED_BUFFERS: usize = 64;

/// A buffer larger than this is not kept.
const POOLED_BUFFER_BYTES: usize = 256 * 1024;

/// The socket of a session.
pub struct Connection {
    /// Whose it is.
    pub id: SessionId,
    /// The socket.
    pub stream: Stream,
    /// Its place in the poller.
    pub registration: Registration,
    /// What arrived and was not executed.
    pub input: InBuf,
    /// Another thread sends a snapshot through the socket: nothing else is to be written meanwhile.
    pub transferring: bool,
    /// Another thread holds the socket too, or did.
    pub shared: bool,
    /// To be closed once the session's output is sent.
    pub closing: bool,
    /// It is in the list of those to be flushed.
    pub listed: bool,
}

/// What any thread may do that has the connection.
impl Connection {
    /// Reads once.
    pub fn receive(&mut self) -> io::Result<Received> {
        self.stream.read(&mut self.input)
    }

    /// Writes once; how much went.
    pub fn send(&mut self, output: &[u8]) -> io::Result<usize> {
        self.stream.write(output)
    }
}

/// All of them.
pub struct Connections {
    /// A connection that is lent has left its slot.
    slots: Vec<Option<Box<Connection>>>,
    /// Storage of read buffers that are not in use.
    pool: Vec<Vec<u8>>,
    pooled_buffers: usize,
    /// Sessions that may have output to be sent.
    to_flush: Vec<SessionId>,
}

impl Connections {
    /// None yet. So many read buffers are kept for the next reads.
    pub fn new(pooled_buffers: usize) -> Self {
        Self {
            slots: Vec::new(),
            pool: Vec::new(),
            pooled_buffers,
            to_flush: Vec::new(),
        }
    }

    /// Adds the socket of a new session.
    pub fn add(&mut self, id: SessionId, stream: Stream, registration: Registration) {
        let slot = id.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(Box::new(Connection {
            id,
            stream,
            registration,
            input: InBuf::new(),
            transferring: false,
            shared: false,
            closing: false,
            listed: false,
        }));
    }

    /// The connection of a session, if it has one.
    pub fn get(&self, id: SessionId) -> Option<&Connection> {
        self.slots
            .get(id.slot as usize)?
            .as_deref()
            .filter(|connection| connection.id == id)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Connection> {
        self.slots
            .get_mut(id.slot as usize)?
            .as_deref_mut()
            .filter(|connection| connection.id == id)
    }

    /// The session that a token stands for, unless it has gone.
    pub fn session_of(&self, token: Token) -> Option<SessionId> {
        let Token::Session(slot, _) = token else { return None };
        let id = self.slots.get(slot as usize)?.as_deref()?.id;
        token.fits(id).then_some(id)
    }

    /// Takes the connection of a session away.
    pub fn remove(&mut self, id: SessionId) -> Option<Box<Connection>> {
        self.get_mut(id)?;
        let mut connection = self.slots[id.slot as usize].take()?;
        self.pool(connection.input.take_storage());
        Some(connection)
    }

    /// The connection of a session, with memory to read into.
    pub fn to_be_read(&mut self, id: SessionId) -> Option<&mut Connection> {
        let connection = self
            .slots
            .get_mut(id.slot as usize)?
            .as_deref_mut()
            .filter(|connection| connection.id == id)?;
        if connection.input.capacity() == 0 {
            let storage = self.pool.pop().unwrap_or_else(|| Vec::with_capacity(READ_BYTES));
            connection.input = InBuf::from_storage(storage);
        }
        Some(connection)
    }

    /// Takes the connection of a session out of its slot, to be [given back](Self::give_back) in the same turn.
    pub fn lend(&mut self, id: SessionId) -> Option<Box<Connection>> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.take_if(|connection| connection.id == id)
    }

    /// Puts a connection back that was lent.
    pub fn give_back(&mut self, connection: Box<Connection>) {
        let slot = connection.id.slot as usize;
        self.slots[slot] = Some(connection);
    }

    /// Takes a read buffer's storage back.
    pub fn pool(&mut self, storage: Option<Vec<u8>>) {
        if let Some(storage) = storage
            && self.pool.len() < self.pooled_buffers
            && storage.capacity() <= POOLED_BUFFER_BYTES
        {
            self.pool.push(storage);
        }
    }

    /// Gives large read buffers back that nobody has used for a while: they count as memory in use.
    pub fn trim_pool(&mut self) {
        const KEPT_BYTES: usize = 32 << 10;
        self.pool.retain(|storage| storage.capacity() <= KEPT_BYTES);
    }

    /// Notes that a session may have output.
    pub fn mark(&mut self, id: SessionId) {
        let Some(connection) = self.get_mut(id) else { return };
        if !std::mem::replace(&mut connection.listed, true) {
            self.to_flush.push(id);
        }
    }

    /// Notes that a session may have output, unless its socket is full. Returns whether the session has a socket.
    pub fn mark_if_writable(&mut self, id: SessionId) -> bool {
        let Some(connection) = self.get_mut(id) else {
            return false;
        };
        if connection.registration.interest() == Interest::Read {
            self.mark(id);
        }
        true
    }

    /// Takes the sessions that may have output. Give the list back with [`Self::flushed`], so that its memory is used
    /// again.
    pub fn take_marked(&mut self) -> Vec<SessionId> {
        let marked = std::mem::take(&mut self.to_flush);
        for id in &marked {
            if let Some(connection) = self.get_mut(*id) {
                connection.listed = false;
            }
        }
        marked
    }

    /// Gives the list of [`Self::take_marked`] back.
    pub fn flushed(&mut self, mut list: Vec<SessionId>) {
        list.clear();
        if self.to_flush.is_empty() {
            self.to_flush = list;
        }
    }
}
