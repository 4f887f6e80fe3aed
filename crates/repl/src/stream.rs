//! The replication stream: what was written, as a chain of shared blocks that everybody reads and nobody copies.
//!
//! ```text
//!             slow replica            fast replica
//!                  ▼                        ▼
//!   ┌────────┬────────┬────────┬────────┬───┄┄┄┐
//!   │ block  │ block  │ block  │ block  │ tail │◀── append
//!   └────────┴────────┴────────┴────────┴───┄┄┄┘
//!   ▲                     ▲                 ▲
//!   start()               end - backlog     end(): master_repl_offset
//! ```
//!
//! A block stays while a cursor still has to pass it, or while without it less than `repl-backlog-size` would remain for
//! replicas that come back. Whatever is held serves partial resynchronizations, also the part that only a slow replica
//! holds. The tail is written in place while the stream alone owns it; once somebody else holds it (a thread that is
//! sending), the next append opens a new block instead. So no reader ever sees bytes move, and there is no lock.
//!
//! Without a backlog (no replica ever came, or none for `repl-backlog-ttl`) the stream is *inactive*: it keeps nothing
//! and its offset stands still.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use base::{DbIndex, Offset};

use crate::psync::Kept;

/// The size of an ordinary block.
pub const BLOCK_BYTES: usize = 64 << 10;
/// The smallest block, for small backlogs: a backlog is some sixteen blocks long.
const SMALLEST_BLOCK_BYTES: usize = 1 << 10;
/// The longest block: a big write gets blocks of its own, up to this size each.
const LARGEST_BLOCK_BYTES: usize = 1 << 20;
/// The largest number of parts that one call of [`Stream::slices`] needs to be asked for: what one `writev` takes.
pub const MAX_SLICES: usize = 64;

/// The place of one replica in the stream. Given by [`Stream::open_cursor`], of no meaning to another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorId(usize);

/// A part of the stream that can be sent from another thread; it keeps its block alive.
#[derive(Clone, Debug)]
pub struct SharedSlice {
    block: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl AsRef<[u8]> for SharedSlice {
    fn as_ref(&self) -> &[u8] {
        &self.block[self.range.clone()]
    }
}

#[derive(Debug)]
struct Block {
    /// The last offset before the block.
    start: Offset,
    bytes: Arc<Vec<u8>>,
}

impl Block {
    fn end(&self) -> Offset {
        self.start.plus(self.bytes.len() as u64)
    }
}

/// The stream; see the module.
#[derive(Debug)]
pub struct Stream {
    /// Oldest first; each begins where the one before ends, and the last ends at `end`.
    blocks: VecDeque<Block>,
    end: Offset,
    /// False: nothing is kept and `end` stands still. Never false while a cursor is open.
    active: bool,
    backlog_bytes: u64,
    /// By `CursorId`; a closed cursor leaves a hole for the next one.
    cursors: Vec<Option<Offset>>,
    /// What the blocks have reserved.
    reserved_bytes: u64,
    /// The database that a reader of the stream stands in; `None`: the next command brings a SELECT.
    selected: Option<DbIndex>,
    /// A passed block, kept to be written again.
    spare: Option<Arc<Vec<u8>>>,
}

impl Stream {
    /// An inactive stream at offset 0.
    #[must_use]
    pub fn new(backlog_bytes: u64) -> Self {
        Self {
            blocks: VecDeque::new(),
            end: Offset(0),
            active: false,
            backlog_bytes,
            cursors: Vec::new(),
            reserved_bytes: 0,
            selected: None,
            spare: None,
        }
    }

    /// Whether there is a backlog (`repl_backlog_active`).
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// The last offset written (`master_repl_offset`).
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The last offset that is no longer held.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.blocks.front().map_or(self.end, |block| block.start)
    }

    /// What a partial resynchronization can draw on.
    #[must_use]
    pub fn kept(&self) -> Option<Kept> {
        self.active.then(|| Kept {
            start: self.start(),
            end: self.end,
        })
    }

    /// The configured size of the backlog (`repl-backlog-size`).
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes
    }

    /// What the stream occupies, for the backlog and for slow replicas together (`mem_total_replication_buffers`).
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        /// Two counts and the vector's own fields, for each block.
        const SHARED_BYTES: usize = 2 * size_of::<usize>() + size_of::<Vec<u8>>();
        if self.blocks.is_empty() {
            return self.reserved_bytes;
        }
        let listed = self.blocks.capacity() * size_of::<Block>() + self.blocks.len() * SHARED_BYTES;
        self.reserved_bytes + listed as u64
    }

    /// What the backlog's share of the memory is (`mem_replication_backlog`): blocks that only slow replicas hold do not
    /// count.
    #[must_use]
    pub fn backlog_memory_bytes(&self) -> u64 {
        if self.active {
            self.memory_bytes().min(self.backlog_bytes.max(BLOCK_BYTES as u64))
        } else {
            0
        }
    }

    /// Begins to keep history at the current offset. No effect on an active stream.
    pub fn activate(&mut self) {
        self.active = true;
    }

    /// Drops the backlog: no replica is left and none came back in time.
    pub fn deactivate(&mut self) {
        assert!(
            self.cursors.iter().all(Option::is_none),
            "the backlog went while a replica was reading it"
        );
        self.clear();
        self.active = false;
    }

    /// Begins an unrelated history at `offset`: after a full resynchronization or a restart. Drops what is held and all
    /// cursors.
    pub fn restart_at(&mut self, offset: Offset) {
        self.cursors.clear();
        self.clear();
        self.end = offset;
        self.selected = None;
        self.active = true;
    }

    fn clear(&mut self) {
        self.blocks.clear();
        self.spare = None;
        self.reserved_bytes = 0;
    }

    /// Changes `repl-backlog-size`. What is held stays until later writes push it out.
    pub fn resize_backlog(&mut self, bytes: u64) {
        self.backlog_bytes = bytes;
        self.trim();
    }

    /// The database in which the stream leaves its reader.
    #[must_use]
    pub fn selected(&self) -> Option<DbIndex> {
        self.selected
    }

    /// Sets the database in which the stream leaves its reader; `None` makes the next command bring its SELECT.
    pub fn set_selected(&mut self, db: Option<DbIndex>) {
        self.selected = db;
    }

    /// Appends bytes as they are. Ignored while the stream is inactive.
    pub fn append(&mut self, bytes: &[u8]) {
        if !self.active {
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let tail = self.tail(rest.len());
            let (now, later) = rest.split_at(rest.len().min(tail.capacity() - tail.len()));
            tail.extend_from_slice(now);
            self.end = self.end.plus(now.len() as u64);
            rest = later;
        }
        if self.end.since(self.start()) > self.backlog_bytes {
            self.trim();
        }
    }

    /// The tail to write to, with at least one byte of room: the last block if it is ours alone and not full, else a new
    /// one.
    fn tail(&mut self, wanted: usize) -> &mut Vec<u8> {
        let writable = match self.blocks.back_mut() {
            Some(block) => block.bytes.len() < block.bytes.capacity() && Arc::get_mut(&mut block.bytes).is_some(),
            None => false,
        };
        if !writable {
            let block = self.new_block(wanted);
            self.reserved_bytes += block.capacity() as u64;
            self.blocks.push_back(Block {
                start: self.end,
                bytes: block,
            });
        }
        let block = self
            .blocks
            .back_mut()
            .expect("a block was there or has just been added");
        Arc::get_mut(&mut block.bytes).expect("the block is new, or was found to be ours alone")
    }

    fn new_block(&mut self, wanted: usize) -> Arc<Vec<u8>> {
        let ordinary = self.ordinary_block_bytes();
        // No single write may make the backlog much longer than it is meant to be.
        let share = usize::try_from(self.backlog_bytes / 4).unwrap_or(LARGEST_BLOCK_BYTES);
        let size = wanted.clamp(ordinary, share.clamp(ordinary, LARGEST_BLOCK_BYTES));
        if let Some(mut spare) = self.spare.take()
            && spare.capacity() == size
            && let Some(bytes) = Arc::get_mut(&mut spare)
        {
            bytes.clear();
            return spare;
        }
        Arc::new(Vec::with_capacity(size))
    }

    fn ordinary_block_bytes(&self) -> usize {
        let share = usize::try_from(self.backlog_bytes / 16).unwrap_or(BLOCK_BYTES);
        share.clamp(SMALLEST_BLOCK_BYTES, BLOCK_BYTES)
    }

    /// Drops the oldest blocks that neither the backlog nor a cursor needs.
    fn trim(&mut self) {
        let slowest = self.cursors.iter().flatten().min().copied().unwrap_or(self.end);
        while let Some(front) = self.blocks.front()
            && self.blocks.len() > 1
            && front.end() <= slowest
            && self.end.since(front.end()) >= self.backlog_bytes
        {
            let passed = self.blocks.pop_front().expect("the loop's condition saw it");
            self.reserved_bytes -= passed.bytes.capacity() as u64;
            self.spare = Some(passed.bytes);
        }
        // A replica that was far behind leaves a long list.
        const LIST: usize = 1024;
        if self.blocks.capacity() > LIST && self.blocks.len() < self.blocks.capacity() / 4 {
            self.blocks.shrink_to(self.blocks.len() * 2);
        }
    }

    /// Opens a cursor of a reader that has everything up to `at`, which must still be held.
    pub fn open_cursor(&mut self, at: Offset) -> CursorId {
        assert!(
            self.active && at >= self.start() && at <= self.end,
            "a cursor outside of the stream"
        );
        let hole = self.cursors.iter().position(Option::is_none).unwrap_or_else(|| {
            self.cursors.push(None);
            self.cursors.len() - 1
        });
        self.cursors[hole] = Some(at);
        CursorId(hole)
    }

    /// Closes a cursor; what it alone held goes.
    pub fn close_cursor(&mut self, cursor: CursorId) {
        self.cursors[cursor.0].take().expect("a cursor is closed once");
        self.trim();
    }

    /// How far a cursor has read.
    #[must_use]
    pub fn position(&self, cursor: CursorId) -> Offset {
        self.cursors[cursor.0].expect("only open cursors are asked for")
    }

    /// How much a cursor has yet to read.
    #[must_use]
    pub fn unsent_bytes(&self, cursor: CursorId) -> u64 {
        self.end.since(self.position(cursor))
    }

    /// Moves a cursor on, past `bytes` that were sent.
    pub fn advance(&mut self, cursor: CursorId, bytes: u64) {
        let position = self.position(cursor).plus(bytes);
        assert!(position <= self.end, "more was sent than there is");
        self.cursors[cursor.0] = Some(position);
        if self.end.since(self.start()) > self.backlog_bytes {
            self.trim();
        }
    }

    /// The bytes after `from`, at most `max_bytes` of them, as they lie in the blocks.
    pub fn slices(&self, from: Offset, max_bytes: usize) -> impl Iterator<Item = &[u8]> {
        self.parts(from, max_bytes).map(|(block, range)| &block.bytes[range])
    }

    /// The same bytes, to be sent from another thread.
    pub fn shared_slices(&self, from: Offset, max_bytes: usize) -> impl Iterator<Item = SharedSlice> {
        self.parts(from, max_bytes).map(|(block, range)| SharedSlice {
            block: Arc::clone(&block.bytes),
            range,
        })
    }

    fn parts(&self, from: Offset, max_bytes: usize) -> impl Iterator<Item = (&Block, Range<usize>)> {
        assert!(
            from >= self.start() && from <= self.end,
            "bytes that the stream does not hold"
        );
        let first = self.blocks.partition_point(|block| block.end() <= from);
        let mut at = from;
        let mut left = max_bytes;
        self.blocks.range(first..).map_while(move |block| {
            let skip = at.since(block.start) as usize;
            let take = (block.bytes.len() - skip).min(left);
            at = at.plus(take as u64);
            left -= take;
            (take > 0).then(|| (block, skip..skip + take))
        })
    }
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::*;

    fn active(backlog_bytes: u64) -> Stream {
        let mut stream = Stream::new(backlog_bytes);
        stream.activate();
        stream
    }

    #[test]
    fn an_inactive_stream_keeps_nothing_and_stands_still() {
        let mut stream = Stream::new(1 << 20);
        stream.append(b"lost");
        assert_eq!(
            (stream.end(), stream.kept(), stream.memory_bytes()),
            (Offset(0), None, 0)
        );

        stream.activate();
        stream.append(b"kept");
        assert_eq!(
            stream.kept(),
            Some(Kept {
                start: Offset(0),
                end: Offset(4)
            })
        );

        stream.deactivate();
        assert_eq!(
            (stream.end(), stream.kept(), stream.memory_bytes()),
            (Offset(4), None, 0)
        );
    }

    #[test]
    fn the_backlog_keeps_its_size_and_at_most_a_block_more() {
        let mut stream = active(1 << 20);
        for _ in 0..3000 {
            stream.append(&[b'x'; 1000]);
        }
        let kept = stream.end().since(stream.start());
        assert!(kept >= 1 << 20 && kept < (1 << 20) + BLOCK_BYTES as u64, "{kept}");
        assert!(stream.memory_bytes() < (1 << 20) + 3 * BLOCK_BYTES as u64);

        stream.resize_backlog(100_000);
        assert!(stream.end().since(stream.start()) < 100_000 + BLOCK_BYTES as u64);
    }

    /// The stock suite: a restart that deletes many expired keys writes more than a small backlog holds, in one go.
    #[test]
    fn one_large_write_makes_a_small_backlog_no_longer() {
        let mut stream = active(16_384);
        stream.append(&[b'x'; 70_000]);
        let kept = stream.end().since(stream.start());
        assert!((16_384..16_384 + 4096).contains(&kept), "{kept}");
    }

    #[test]
    fn a_slow_replica_holds_what_it_still_needs() {
        let mut stream = active(10_000);
        let slow = stream.open_cursor(Offset(0));
        let fast = stream.open_cursor(Offset(0));
        for _ in 0..100 {
            stream.append(&[b'x'; 1000]);
            let unsent = stream.unsent_bytes(fast);
            stream.advance(fast, unsent);
        }
        assert_eq!(stream.start(), Offset(0));
        assert_eq!(stream.unsent_bytes(slow), 100_000);
        assert!(
            stream.backlog_memory_bytes() <= 1 << 16,
            "a slow replica's share is not the backlog's"
        );

        stream.close_cursor(slow);
        assert!(stream.end().since(stream.start()) < 12_000);
    }

    #[test]
    fn a_block_that_is_being_sent_is_never_written() {
        let mut stream = active(1 << 20);
        stream.append(b"hello ");
        let held: Vec<SharedSlice> = stream.shared_slices(Offset(0), 100).collect();
        stream.append(b"world");
        assert_eq!(held.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>(), [b"hello "]);
        assert_eq!(
            stream.slices(Offset(0), 100).collect::<Vec<_>>(),
            [&b"hello "[..], b"world"]
        );
    }

    #[test]
    fn a_closed_cursor_makes_room_for_the_next() {
        let mut stream = active(100);
        let a = stream.open_cursor(Offset(0));
        let b = stream.open_cursor(Offset(0));
        stream.close_cursor(a);
        assert_eq!(stream.open_cursor(Offset(0)), a);
        assert_ne!(a, b);
    }

    /// Against the plainest stream there is: all bytes ever written, in one vector.
    #[test]
    fn model() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut stream = active([1, 100, 5_000, 40_000, 2 << 20][rng.below(5) as usize]);
            let mut history: Vec<u8> = Vec::new();
            let mut cursors: Vec<(CursorId, usize)> = Vec::new();
            let mut held = Vec::new();
            for _ in 0..200 {
                match rng.below(10) {
                    0..=3 => {
                        let length = [3, 60, 700, 9_000, 80_000][rng.below(5) as usize];
                        let bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
                        stream.append(&bytes);
                        history.extend(bytes);
                    }
                    4 => {
                        let at = stream.start().0 + rng.below(stream.end().since(stream.start()) + 1);
                        cursors.push((stream.open_cursor(Offset(at)), at as usize));
                    }
                    5..=7 if !cursors.is_empty() => {
                        let which = rng.below(cursors.len() as u64) as usize;
                        let (cursor, at) = &mut cursors[which];
                        let max = rng.below(50_000) as usize;
                        let sent: Vec<u8> = stream.slices(Offset(*at as u64), max).flatten().copied().collect();
                        assert_eq!(sent, history[*at..(*at + max).min(history.len())], "seed {seed}");
                        held = stream.shared_slices(Offset(*at as u64), 1000).collect();
                        *at += sent.len();
                        stream.advance(*cursor, sent.len() as u64);
                    }
                    8 if !cursors.is_empty() => {
                        let which = rng.below(cursors.len() as u64) as usize;
                        stream.close_cursor(cursors.swap_remove(which).0);
                    }
                    _ => held.clear(),
                }
                check_against(&stream, &history, &cursors);
            }
        }
    }

    fn check_against(stream: &Stream, history: &[u8], cursors: &[(CursorId, usize)]) {
        assert_eq!(stream.end(), Offset(history.len() as u64));
        let kept = stream.end().since(stream.start());
        assert!(
            kept >= stream.backlog_bytes().min(history.len() as u64),
            "the backlog is shorter than promised"
        );
        for (cursor, at) in cursors {
            assert_eq!(stream.position(*cursor), Offset(*at as u64));
            assert!(stream.start() <= stream.position(*cursor));
        }
        let reserved: u64 = stream.blocks.iter().map(|block| block.bytes.capacity() as u64).sum();
        assert_eq!(stream.reserved_bytes, reserved);
    }
}
