//! Connections between replicas and their primaries: ordered bytes with latency and bandwidth, and two ends, each of which
//! learns only from what arrives that the other is closed.

use std::collections::VecDeque;

use base::Rng;
use engine::SessionId;
use node::TransferJob;
use node::jobs::Cancel;

/// The most bytes that a connection passes in one step, in each direction.
const STEP_BYTES: usize = 64 << 10;

/// One direction.
#[derive(Default)]
pub struct Pipe {
    /// Bytes with the time of their arrival, in order.
    flying: VecDeque<(u64, Vec<u8>)>,
    /// When the end arrives, once the sender has closed.
    end_ms: Option<u64>,
}

impl Pipe {
    /// Sends bytes, to arrive at `due_ms` or after what was sent before. They are lost once the pipe is closed.
    pub fn send(&mut self, due_ms: u64, bytes: Vec<u8>) {
        if !bytes.is_empty() && self.end_ms.is_none() {
            let due_ms = self.flying.back().map_or(due_ms, |(before, _)| due_ms.max(*before));
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

    /// The sender closes its end.
    pub fn close(&mut self, due_ms: u64) {
        self.end_ms.get_or_insert(due_ms);
    }

    /// Whether everything has arrived, the end too.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.is_empty() && self.end_ms.is_some_and(|end_ms| end_ms <= now_ms)
    }

    /// Breaks after any byte of what is on its way.
    pub fn cut(&mut self, now_ms: u64, rng: &mut Rng) {
        let mut keep = rng.below(self.flying_bytes() as u64 + 1) as usize;
        for (_, bytes) in &mut self.flying {
            let kept = keep.min(bytes.len());
            bytes.truncate(kept);
            keep -= kept;
        }
        self.flying.retain(|(_, bytes)| !bytes.is_empty());
        self.close(now_ms);
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

/// A snapshot on its way to a replica.
pub enum Transfer {
    /// None: the primary writes its stream.
    No,
    /// The thread has not come to it yet; the dataset is frozen meanwhile, and the primary goes on.
    Waiting {
        /// What to send.
        job: Box<TransferJob>,
        /// When.
        due_ms: u64,
    },
    /// Encoded and sent.
    Flying {
        /// Stops it.
        cancel: Cancel,
    },
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
    /// Whether the replica has its end open.
    pub replica_open: bool,
    /// Whether the primary has its end open.
    pub primary_open: bool,
    /// While a payload is on its way, the primary writes nothing else.
    pub transfer: Transfer,
    /// How many bytes it passes in a step at most, in each direction.
    pub bandwidth: u64,
}
