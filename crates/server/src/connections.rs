//! The sockets of sessions, by the session's slot.

use engine::SessionId;
use net::{InBuf, Interest, Registration, Stream};

use crate::token::Token;

/// Buffers kept for the next read.
const POOLED_BUFFERS: usize = 64;

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

/// All of them.
#[derive(Default)]
pub struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    /// Storage of read buffers that are not in use.
    pool: Vec<Vec<u8>>,
    /// Sessions that may have output to be sent.
    to_flush: Vec<SessionId>,
}

impl Connections {
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

    /// A read buffer's storage to use.
    pub fn storage(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    /// Takes a read buffer's storage back.
    pub fn pool(&mut self, storage: Option<Vec<u8>>) {
        if let Some(storage) = storage
            && self.pool.len() < POOLED_BUFFERS
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
