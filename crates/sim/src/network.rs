//! Connections between replicas and their primaries: ordered bytes with latency and bandwidth, until they are cut.

use std::collections::VecDeque;

use engine::SessionId;

/// The most bytes that a connection passes in one step, in each direction.
const STEP_BYTES: usize = 64 << 10;

/// One direction.
#[derive(Default)]
pub struct Pipe {
    /// Bytes with the time of their arrival, in order.
    flying: VecDeque<(u64, Vec<u8>)>,
}

impl Pipe {
    /// Sends bytes, to arrive at `due_ms`.
    pub fn send(&mut self, due_ms: u64, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.flying.push_back((due_ms, bytes));
        }
    }

    /// Whether everything has arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// How many bytes are on their way.
    #[must_use]
    pub fn flying_bytes(&self) -> usize {
        self.flying.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// What has arrived by `now_ms`: at most `most_bytes`, and no more than bandwidth allows.
    pub fn arrive(&mut self, now_ms: u64, most_bytes: usize) -> Vec<u8> {
        let mut left = most_bytes.min(STEP_BYTES);
        let mut arrived = Vec::new();
        while let Some((due_ms, bytes)) = self.flying.front_mut() {
            if *due_ms > now_ms || left == 0 {
                break;
            }
            let count = bytes.len().min(left);
            arrived.extend(bytes.drain(..count));
            left -= count;
            if bytes.is_empty() {
                self.flying.pop_front();
            }
        }
        arrived
    }

    /// Damages one byte that is on its way, if there is one.
    pub fn damage(&mut self, at: u64) {
        let total = self.flying_bytes() as u64;
        if total == 0 {
            return;
        }
        let mut at = (at % total) as usize;
        for (_, bytes) in &mut self.flying {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x40;
                return;
            }
            at -= bytes.len();
        }
    }
}

/// A connection that the replica opened.
pub struct Connection {
    /// Which server is the replica.
    pub replica: usize,
    /// Which server it is connected to.
    pub primary: usize,
    /// The primary's session for it.
    pub session: SessionId,
    /// Towards the primary.
    pub up: Pipe,
    /// Towards the replica.
    pub down: Pipe,
    /// Arrived at the primary and not consumed.
    pub input: Vec<u8>,
    /// A payload is on its way: the primary writes nothing else until it has passed.
    pub transferring: bool,
}
