//! LZF, the small fast compression of strings in RDB files, and of the inner nodes of long lists.
//!
//! A compressed string is a row of instructions, each beginning with a control byte:
//!
//! ```text
//! 000LLLLL  L+1 bytes                 copy the L+1 bytes that follow (1 to 32)
//! LLLooooo  oooooooo                  L in 1..=6: copy L+2 bytes from o+1 bytes back (3 to 8)
//! 111ooooo  llllllll  oooooooo        copy l+9 bytes from o+1 bytes back (9 to 264)
//! ```
//!
//! The source may overlap the copy: the byte one back, 264 times, is a run. Format: LibLZF by Marc Lehmann.

const LITERALS_MAX: usize = 32;
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;
const DISTANCE_MAX: usize = 8192;

/// No compressed byte can stand for more plain ones than this: three bytes give at most 264.
pub const EXPANSION_MAX: u64 = 88;

/// What is wrong with a compressed string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LzfError {
    /// It ends in the middle of an instruction.
    Truncated,
    /// It copies from before its beginning.
    BadDistance,
    /// It does not give as many bytes as it says.
    BadLength,
}

impl LzfError {
    /// The defect in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "compressed string ends in the middle of an instruction",
            Self::BadDistance => "compressed string refers to before its beginning",
            Self::BadLength => "compressed string does not have the length it claims",
        }
    }
}

/// Replaces `plain` by the decompressed form of `compressed`, which must be exactly `plain_bytes` long.
///
/// Memory is taken as output is produced, so a false claim costs nothing. On error `plain` holds a part of it.
pub fn decompress(compressed: &[u8], plain_bytes: usize, plain: &mut Vec<u8>) -> Result<(), LzfError> {
    plain.clear();
    if plain_bytes as u64 > (compressed.len() as u64).saturating_mul(EXPANSION_MAX) {
        return Err(LzfError::BadLength);
    }
    plain.reserve(plain_bytes);
    let mut input = compressed;
    while let Some((&control, rest)) = input.split_first() {
        if control < LITERALS_MAX as u8 {
            let literals = usize::from(control) + 1;
            let (run, rest) = rest.split_at_checked(literals).ok_or(LzfError::Truncated)?;
            if literals > plain_bytes - plain.len() {
                return Err(LzfError::BadLength);
            }
            plain.extend_from_slice(run);
            input = rest;
            continue;
        }
        let (length, distance, rest) = back_reference(control, rest)?;
        if length > plain_bytes - plain.len() {
            return Err(LzfError::BadLength);
        }
        copy_back(plain, distance, length)?;
        input = rest;
    }
    if plain.len() == plain_bytes {
        Ok(())
    } else {
        Err(LzfError::BadLength)
    }
}

fn back_reference(control: u8, rest: &[u8]) -> Result<(usize, usize, &[u8]), LzfError> {
    let high = usize::from(control & 0x1f) << 8;
    match (control >> 5, rest) {
        (7, [long, low, rest @ ..]) => Ok((usize::from(*long) + 9, high + usize::from(*low) + 1, rest)),
        (7, _) => Err(LzfError::Truncated),
        (length, [low, rest @ ..]) => Ok((usize::from(length) + 2, high + usize::from(*low) + 1, rest)),
        (_, []) => Err(LzfError::Truncated),
    }
}

fn copy_back(plain: &mut Vec<u8>, distance: usize, length: usize) -> Result<(), LzfError> {
    let from = plain.len().checked_sub(distance).ok_or(LzfError::BadDistance)?;
    if distance >= length {
        plain.extend_from_within(from..from + length);
    } else if distance == 1 {
        let byte = plain[from];
        plain.resize(plain.len() + length, byte);
    } else {
        // The copy overlaps itself: what is already there repeats, and doubles with every round.
        let end = plain.len() + length;
        while plain.len() < end {
            let piece = (plain.len() - from).min(end - plain.len());
            plain.extend_from_within(from..from + piece);
        }
    }
    Ok(())
}

const TABLE_BITS: u32 = 14;
/// Short strings use the front of the table only, which stays in the nearest cache.
const SHORT_TABLE_BITS: u32 = 11;
const SHORT_BYTES: usize = 2048;
/// After so many bytes without a match the search goes on two bytes at a time, then three: random data is not worth it.
const PATIENCE_SHIFT: u32 = 6;

/// A compressor: a table of where each three bytes were last seen, reused from string to string.
///
/// Positions count on from string to string, so that what an earlier string left in the table is recognised as too old
/// without clearing.
pub struct Compressor {
    last_seen: Box<[u32]>,
    base: u32,
}

impl Default for Compressor {
    fn default() -> Self {
        Self {
            last_seen: vec![0; 1 << TABLE_BITS].into_boxed_slice(),
            base: 1,
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// A compressor. Takes 64 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces `out` by the compressed form of `plain`; false if that would be longer than `limit` bytes, `out` then
    /// being of no use. Strings of 2 GiB or more are not compressed.
    pub fn compress(&mut self, plain: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        if plain.len() < MATCH_MIN + 1 || plain.len() > i32::MAX as usize {
            return false;
        }
        let base = self.claim(plain.len() as u32);
        let bits = if plain.len() <= SHORT_BYTES {
            SHORT_TABLE_BITS
        } else {
            TABLE_BITS
        };
        let mut literals_from = 0;
        let mut at = 0;
        // The last three-byte group that can be looked at begins here.
        let last = plain.len() - MATCH_MIN;
        while at <= last {
            let slot = slot_of(plain, at, bits);
            let seen = std::mem::replace(&mut self.last_seen[slot], base + at as u32);
            let found = seen.checked_sub(base).map(|seen| seen as usize);
            match found.filter(|from| at - from <= DISTANCE_MAX && plain[*from..from + 3] == plain[at..at + 3]) {
                Some(from) => {
                    let length = match_length(plain, from, at);
                    push_literals(out, &plain[literals_from..at]);
                    push_match(out, at - from, length);
                    self.remember(plain, at + 1, (at + length).min(last + 1), base, bits);
                    at += length;
                    literals_from = at;
                }
                None => at += 1 + ((at - literals_from) >> PATIENCE_SHIFT),
            }
            if out.len() > limit {
                return false;
            }
        }
        push_literals(out, &plain[literals_from..]);
        out.len() <= limit
    }

    /// The position that stands for the first byte of a string of `bytes`.
    fn claim(&mut self, bytes: u32) -> u32 {
        if self.base.checked_add(bytes).is_none() {
            self.last_seen.fill(0);
            self.base = 1;
        }
        let base = self.base;
        self.base += bytes;
        base
    }

    /// Enters the first and the last two positions inside a match: enough to find the next one, and quick.
    fn remember(&mut self, plain: &[u8], from: usize, to: usize, base: u32, bits: u32) {
        let tail = to.saturating_sub(2).max(from + 1);
        for at in (from..to.min(from + 1)).chain(tail..to) {
            self.last_seen[slot_of(plain, at, bits)] = base + at as u32;
        }
    }
}

#[inline(always)]
fn slot_of(plain: &[u8], at: usize, bits: u32) -> usize {
    let group = &plain[at..at + 3];
    let word = u32::from_le_bytes([0, group[0], group[1], group[2]]);
    (word.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
}

#[inline(always)]
fn match_length(plain: &[u8], from: usize, at: usize) -> usize {
    let longest = (plain.len() - at).min(MATCH_MAX);
    let (earlier, here) = (&plain[from..from + longest], &plain[at..at + longest]);
    let mut length = 0;
    for (a, b) in earlier.as_chunks::<8>().0.iter().zip(here.as_chunks::<8>().0) {
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return length + differing.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    while length < longest && earlier[length] == here[length] {
        length += 1;
    }
    length
}

fn push_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn push_match(out: &mut Vec<u8>, distance: usize, length: usize) {
    let distance = distance - 1;
    let (high, low) = ((distance >> 8) as u8, distance as u8);
    let length = length - 2;
    if length < 7 {
        out.extend_from_slice(&[(length as u8) << 5 | high, low]);
    } else {
        out.extend_from_slice(&[7 << 5 | high, (length - 7) as u8, low]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    fn round_trip(compressor: &mut Compressor, plain: &[u8]) -> Option<usize> {
        let (mut packed, mut back) = (Vec::new(), Vec::new());
        if !compressor.compress(plain, plain.len().saturating_sub(4), &mut packed) {
            return None;
        }
        assert_eq!(decompress(&packed, plain.len(), &mut back), Ok(()));
        assert_eq!(back, plain);
        Some(packed.len())
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut rng = Rng::new(11);
        let mut compressor = Compressor::new();
        for round in 0..2_500 {
            let longest = if round % 50 == 0 { 40_000 } else { 300 };
            let len = rng.below(longest) as usize;
            let most = *rng.pick(&[4, 4, 255]);
            let letters = 1 + rng.below(most);
            let mut plain: Vec<u8> = (0..len).map(|_| rng.below(letters) as u8).collect();
            if rng.chance(1, 2) && len > 10 {
                let from = rng.below(len as u64 / 2) as usize;
                let copy = plain[from..].to_vec();
                plain.extend(copy);
            }
            round_trip(&mut compressor, &plain);
        }
    }

    #[test]
    fn runs_and_repetitions_shrink_and_noise_does_not() {
        let mut compressor = Compressor::new();
        assert!(round_trip(&mut compressor, &[b'x'; 100]).is_some_and(|packed| packed <= 8));
        assert!(round_trip(&mut compressor, &b"abcde".repeat(100_000)).is_some_and(|packed| packed < 6000));
        let mut rng = Rng::new(1);
        let noise: Vec<u8> = (0..10_000).map(|_| rng.next_u64() as u8).collect();
        assert_eq!(round_trip(&mut compressor, &noise), None);
    }

    #[test]
    fn positions_start_again_before_they_run_out() {
        let mut compressor = Compressor::new();
        compressor.base = u32::MAX - 150;
        for _ in 0..4 {
            assert!(round_trip(&mut compressor, &[b'y'; 100]).is_some());
        }
        assert!(compressor.base < 1000);
    }

    /// Bytes that a stock server wrote for "ab" two hundred times.
    #[test]
    fn reads_what_stock_compressed() {
        let packed = [
            0x02, 0x61, 0x62, 0x61, 0xe0, 0xff, 0x01, 0xe0, 0x7a, 0x01, 0x01, 0x61, 0x62,
        ];
        let mut plain = Vec::new();
        assert_eq!(decompress(&packed, 400, &mut plain), Ok(()));
        assert_eq!(plain, b"ab".repeat(200));
    }

    #[test]
    fn broken_input_is_refused_and_bounded() {
        let mut plain = Vec::new();
        assert_eq!(decompress(&[5, 1, 2], 6, &mut plain), Err(LzfError::Truncated));
        assert_eq!(decompress(&[0, 1, 0x20], 4, &mut plain), Err(LzfError::Truncated));
        assert_eq!(decompress(&[0, 1, 0xe0, 9], 19, &mut plain), Err(LzfError::Truncated));
        assert_eq!(decompress(&[0, 1, 0x20, 1], 4, &mut plain), Err(LzfError::BadDistance));
        assert_eq!(decompress(&[0, 1, 0x20, 0], 3, &mut plain), Err(LzfError::BadLength));
        assert_eq!(decompress(&[0, 1], 2, &mut plain), Err(LzfError::BadLength));
        let mut plain = Vec::new();
        assert_eq!(decompress(&[0, 1], usize::MAX, &mut plain), Err(LzfError::BadLength));
        assert_eq!(plain.capacity(), 0, "a claim alone takes no memory");
    }

    #[test]
    fn noise_never_panics() {
        let mut rng = Rng::new(3);
        let mut plain = Vec::new();
        for _ in 0..50_000 {
            let len = rng.below(40) as usize;
            let noise: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
            let _ = decompress(&noise, rng.below(500) as usize, &mut plain);
            assert!(plain.len() <= 500);
        }
    }
}
