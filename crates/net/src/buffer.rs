//! The bytes of one connection that arrived and are not yet used up.
//!
//! ```text
//!   0 ……… start ……… filled ……… capacity
//!   [ used ][ waiting ][ room for the next read ]
//! ```
//!
//! Whoever parses consumes from the front; the next read makes room first, by moving what waits to the front or by
//! growing. A buffer that is empty can give its memory away, so idle connections hold none.

/// Room that a read should find at least.
pub const READ_BYTES: usize = 16 * 1024;

/// Room a read should find when a large value is under way, so that it takes few system calls.
const LARGE_READ_BYTES: usize = 256 * 1024;

/// Input of one connection. See the picture above.
#[derive(Debug, Default)]
pub struct InBuf {
    bytes: Vec<u8>,
    start: usize,
}

impl InBuf {
    /// An empty buffer without memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer over memory used before.
    #[must_use]
    pub fn from_storage(mut storage: Vec<u8>) -> Self {
        storage.clear();
        Self {
            bytes: storage,
            start: 0,
        }
    }

    /// What waits to be used.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory held, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Marks the first `count` waiting bytes as used.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "consumed more than arrived");
        self.start += count;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
        }
    }

    /// Adds bytes that arrived some other way.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Makes room for the next read: [`READ_BYTES`] at least, and more at once while a large value is under way.
    pub fn make_room(&mut self) {
        let large = self.len() >= LARGE_READ_BYTES / 2;
        self.make_spare(READ_BYTES, if large { LARGE_READ_BYTES } else { READ_BYTES });
    }

    /// Makes room for `total` waiting bytes in one go, and a read behind them: the parser knows how long the value will be.
    pub fn reserve_total(&mut self, total: usize) {
        let missing = total.saturating_sub(self.len());
        self.make_spare(missing + READ_BYTES, missing + READ_BYTES);
    }

    /// Sees to it that `enough` bytes of room are there; if not, moves what waits to the front and makes it `wanted`.
    fn make_spare(&mut self, enough: usize, wanted: usize) {
        if self.bytes.capacity() - self.bytes.len() >= enough {
            return;
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start.., 0);
            self.bytes.truncate(self.bytes.len() - self.start);
            self.start = 0;
        }
        if self.bytes.capacity() - self.bytes.len() < wanted {
            self.bytes.reserve(wanted);
        }
    }

    /// The room that a read fills; what it adds to the vector waits from then on.
    pub fn spare(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Gives the memory away when nothing waits in it.
    pub fn take_storage(&mut self) -> Option<Vec<u8>> {
        (self.is_empty() && self.bytes.capacity() > 0).then(|| {
            self.start = 0;
            std::mem::take(&mut self.bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_queue_of_bytes() {
        let mut rng = base::Rng::new(1);
        let mut buffer = InBuf::new();
        let mut model = std::collections::VecDeque::new();
        for _ in 0..4_000 {
            match rng.below(3) {
                0 => {
                    buffer.make_room();
                    let room = buffer.spare();
                    assert!(room.capacity() - room.len() >= READ_BYTES);
                    for _ in 0..rng.below(2000) {
                        let byte = rng.next_u64() as u8;
                        room.push(byte);
                        model.push_back(byte);
                    }
                }
                1 => {
                    let count = rng.below(buffer.len() as u64 + 1) as usize;
                    buffer.consume(count);
                    model.drain(..count);
                }
                _ => {
                    if let Some(storage) = buffer.take_storage() {
                        assert!(model.is_empty());
                        buffer = InBuf::from_storage(storage);
                    }
                }
            }
            assert_eq!(buffer.len(), model.len());
            assert!(model.iter().eq(buffer.data()));
        }
    }

    /// A value of 64 MiB was copied once more for its last piece: the room left for it was less than a read wanted.
    #[test]
    fn a_value_of_known_length_is_never_moved() {
        let mut buffer = InBuf::new();
        buffer.push(b"head");
        buffer.reserve_total(1 << 20);
        let (place, capacity) = (buffer.data().as_ptr(), buffer.capacity());
        while buffer.len() < 1 << 20 {
            buffer.make_room();
            let count = (1 << 20) - buffer.len();
            buffer.push(&vec![1; count.min(60_000)]);
        }
        assert_eq!((buffer.data().as_ptr(), buffer.capacity()), (place, capacity));
    }

    #[test]
    fn consumed_bytes_do_not_pile_up() {
        let mut buffer = InBuf::new();
        for _ in 0..10_000 {
            buffer.make_room();
            buffer.push(&[7; 1000]);
            buffer.reserve_total(2000);
            // One byte is always left behind, so the buffer is never simply empty.
            buffer.consume(buffer.len() - 1);
        }
        assert!(buffer.capacity() <= 4 * READ_BYTES, "{}", buffer.capacity());
    }
}
