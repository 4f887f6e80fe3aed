//! HyperLogLogs: how many different elements were added, within one percent, in at most 12 KiB. Format and estimate are
//! those of the stock server, whose bytes these are.
//!
//! ```text
//!    0     1 … 3   4          5 … 7   8 … 15               16 …
//!   +-------------+----------+-------+--------------------+------------------------------------------------+
//!   | "HYLL"      | encoding | zeros | cached estimate    | registers                                      |
//!   +-------------+----------+-------+--------------------+------------------------------------------------+
//!                   0 dense            little endian; the    dense: 16 384 of 6 bits each, see `dense`
//!                   1 sparse           highest bit: stale    sparse: runs of equal ones, see `sparse`
//! ```
//!
//! An element's hash picks a register by its lower 14 bits; the register keeps the longest run of zeros, plus one, that any
//! hash had in the bits above. From how many registers have which value follows the estimate (Otmar Ertl, "New cardinality
//! estimation algorithms for HyperLogLog sketches", 2017).

mod dense;
mod estimate;
mod hash;
mod sparse;

pub use estimate::Histogram;

/// Bits of a hash that pick a register.
const INDEX_BITS: u32 = 14;
/// How many registers there are.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that are looked at for zeros.
const RUN_BITS: u32 = 64 - INDEX_BITS;

const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const CACHE_AT: usize = 8;
/// Where the registers begin.
pub const HEADER_BYTES: usize = 16;
const STALE: u8 = 0x80;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// Values of all registers.
pub type Registers = [u8; REGISTERS];

/// The runs of a sparse one do not make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

/// How the registers are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Each by itself.
    Dense,
    /// As runs of equal ones.
    Sparse,
}

/// An empty one, with its cached estimate of 0 in force.
#[must_use]
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[ENCODING_AT] = SPARSE;
    sparse::Run::Zeros(REGISTERS).write_to(&mut bytes);
    bytes
}

/// One to look at.
#[derive(Clone, Copy)]
pub struct View<'a>(&'a [u8]);

impl<'a> View<'a> {
    /// What these bytes are, if their header is one. Nothing is known of the registers of a sparse one.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let fits = match *bytes.get(ENCODING_AT)? {
            DENSE => bytes.len() == HEADER_BYTES + dense::BYTES,
            SPARSE => bytes.len() >= HEADER_BYTES,
            _ => false,
        };
        (fits && bytes.starts_with(MAGIC)).then_some(Self(bytes))
    }

    /// How the registers are written down.
    #[must_use]
    pub fn encoding(self) -> Encoding {
        if self.0[ENCODING_AT] == DENSE {
            Encoding::Dense
        } else {
            Encoding::Sparse
        }
    }

    /// The estimate that was made last, unless registers have changed since.
    #[must_use]
    pub fn cached(self) -> Option<u64> {
        let mut cache = [0; 8];
        cache.copy_from_slice(&self.0[CACHE_AT..HEADER_BYTES]);
        (cache[7] & STALE == 0).then_some(u64::from_le_bytes(cache))
    }

    /// How many registers have which value.
    pub fn histogram(self) -> Result<Histogram, Corrupted> {
        match self.encoding() {
            Encoding::Dense => {
                let mut histogram = Histogram::default();
                dense::for_each(self.registers(), |_, value| histogram.count(value, 1));
                Ok(histogram)
            }
            Encoding::Sparse => sparse::histogram(self.registers()),
        }
    }

    /// Raises each register of `into` to at least the one here.
    pub fn merge_into(self, into: &mut Registers) -> Result<(), Corrupted> {
        match self.encoding() {
            Encoding::Dense => {
                dense::for_each(self.registers(), |index, value| into[index] = into[index].max(value));
                Ok(())
            }
            Encoding::Sparse => sparse::for_each_set(self.registers(), |index, value| {
                into[index] = into[index].max(value);
            }),
        }
    }

    /// The runs of a sparse one as text.
    #[must_use]
    pub fn describe_runs(self) -> String {
        sparse::describe(self.registers())
    }

    /// Where the register lies and what it becomes, if this is a dense one and adding the element changes it.
    #[must_use]
    pub fn dense_change(self, element: &[u8]) -> Option<(usize, [u8; 2])> {
        let (index, value) = place(element);
        let (at, bytes) = dense::raised(self.registers(), index, value)?;
        Some((HEADER_BYTES + at, bytes))
    }

    fn registers(self) -> &'a [u8] {
        &self.0[HEADER_BYTES..]
    }
}

/// What the last byte of the cached estimate becomes when the estimate is no longer right: its position and value.
#[must_use]
pub fn stale_mark(hll: View<'_>) -> (usize, u8) {
    (HEADER_BYTES - 1, hll.0[HEADER_BYTES - 1] | STALE)
}

/// The bytes of a cached estimate, and where they are.
#[must_use]
pub fn cache_of(estimate: u64) -> (usize, [u8; 8]) {
    (CACHE_AT, estimate.to_le_bytes())
}

/// Changes one that is known to have a sound header.
pub struct Editor<'a> {
    bytes: &'a mut Vec<u8>,
    /// A sparse one that would get longer than this becomes dense.
    sparse_bytes_max: u64,
}

impl<'a> Editor<'a> {
    /// `bytes` must have passed [`View::new`].
    #[must_use]
    pub fn new(bytes: &'a mut Vec<u8>, sparse_bytes_max: u64) -> Self {
        Self {
            bytes,
            sparse_bytes_max,
        }
    }

    /// Adds an element; whether that changed a register.
    pub fn add(&mut self, element: &[u8]) -> Result<bool, Corrupted> {
        let (index, value) = place(element);
        self.raise(index, value)
    }

    /// Makes a register at least `value`; whether it was less.
    pub fn raise(&mut self, index: usize, value: u8) -> Result<bool, Corrupted> {
        if self.view().encoding() == Encoding::Sparse {
            match sparse::raise(self.bytes, index, value, self.sparse_bytes_max)? {
                sparse::Raised::Yes => {
                    self.mark_stale();
                    return Ok(true);
                }
                sparse::Raised::No => return Ok(false),
                sparse::Raised::TooLong => self.make_dense()?,
            }
        }
        let Some((at, bytes)) = dense::raised(&self.bytes[HEADER_BYTES..], index, value) else {
            return Ok(false);
        };
        self.bytes[HEADER_BYTES..][at..at + 2].copy_from_slice(&bytes);
        Ok(true)
    }

    /// Writes each register by itself, if that is not so yet.
    pub fn make_dense(&mut self) -> Result<(), Corrupted> {
        if self.view().encoding() == Encoding::Dense {
            return Ok(());
        }
        let mut registers = vec![0; dense::BYTES];
        sparse::for_each_set(&self.bytes[HEADER_BYTES..], |index, value| {
            if let Some((at, bytes)) = dense::raised(&registers, index, value) {
                registers[at..at + 2].copy_from_slice(&bytes);
            }
        })?;
        self.bytes.truncate(HEADER_BYTES);
        self.bytes[ENCODING_AT] = DENSE;
        self.bytes.extend_from_slice(&registers);
        Ok(())
    }

    /// Says that the cached estimate is no longer right.
    pub fn mark_stale(&mut self) {
        self.bytes[HEADER_BYTES - 1] |= STALE;
    }

    fn view(&self) -> View<'_> {
        View(self.bytes)
    }
}

/// The register of an element, and the value that the element gives it: one more than the zeros in its hash's upper bits.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = hash::murmur64a(element, hash::SEED);
    let index = hash as usize % REGISTERS;
    let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros() + 1;
    (index, run as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(bytes: &[u8]) -> u64 {
        View::new(bytes).unwrap().histogram().unwrap().estimate()
    }

    /// Dense and sparse ones of the same elements have the same registers, and estimates are near the truth.
    #[test]
    fn dense_and_sparse_agree() {
        let (mut small, mut large) = (empty(), empty());
        Editor::new(&mut large, 0).make_dense().unwrap();
        for n in 0..20_000_u32 {
            let element = n.to_le_bytes();
            let changed = Editor::new(&mut small, 1 << 20).add(&element).unwrap();
            assert_eq!(Editor::new(&mut large, 0).add(&element).unwrap(), changed);
            if n.is_multiple_of(997) {
                let (mut a, mut b) = ([0; REGISTERS], [0; REGISTERS]);
                View::new(&small).unwrap().merge_into(&mut a).unwrap();
                View::new(&large).unwrap().merge_into(&mut b).unwrap();
                assert!(a == b);
                assert_eq!(estimate(&small), estimate(&large));
                let near = f64::from(n + 1) * 0.03 + 1.0;
                assert!((estimate(&small) as f64 - f64::from(n + 1)).abs() < near, "{n}");
            }
        }
        assert_eq!(View::new(&small).unwrap().encoding(), Encoding::Sparse);
        Editor::new(&mut small, 0).make_dense().unwrap();
        assert_eq!(small[HEADER_BYTES..], large[HEADER_BYTES..]);
    }

    #[test]
    fn what_is_none() {
        assert!(View::new(b"").is_none());
        assert!(View::new(b"HYLL\x01\0\0\0\0\0\0\0\0\0\0").is_none());
        assert!(View::new(b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0").is_some());
        assert!(View::new(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0").is_none());
        assert!(View::new(b"HYLL\0\0\0\0\0\0\0\0\0\0\0\0").is_none());
        assert!(View::new(b"HYLX\x01\0\0\0\0\0\0\0\0\0\0\0").is_none());
    }
}
