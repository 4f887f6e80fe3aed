//! Bits of byte strings, numbered as Redis numbers them: bit 0 is the highest of the first byte.
//!
//! ```text
//!   byte      0                 1
//!   bit       0 1 2 3 4 5 6 7   8 9 …
//!             ^ 0x80        ^ 0x01
//! ```

use crate::StrRef;
use std::ops::{ControlFlow, RangeInclusive};

/// How many bits of these bytes are set.
#[must_use]
pub fn count(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 = words
        .iter()
        .map(|word| u64::from(u64::from_ne_bytes(*word).count_ones()))
        .sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The first bit of these bytes that is `wanted`.
#[must_use]
pub fn find(bytes: &[u8], wanted: bool) -> Option<u64> {
    let dull: u8 = if wanted { 0 } else { 0xff };
    let (words, _) = bytes.as_chunks::<8>();
    let skipped = 8 * words.iter().take_while(|word| **word == [dull; 8]).count();
    let at = skipped + bytes[skipped..].iter().position(|byte| *byte != dull)?;
    Some(8 * at as u64 + u64::from((bytes[at] ^ dull).leading_zeros()))
}

/// How many of these bits of a string are set. The string must have them all.
#[must_use]
pub fn count_in(string: StrRef<'_>, bits: RangeInclusive<u64>) -> u64 {
    let bytes = Bytes::of(&bits);
    let mut total = 0;
    let _ = string.pieces(bytes.first..bytes.last + 1, |piece| {
        total += count(piece);
        ControlFlow::<()>::Continue(())
    });
    let surplus = |at, mask: u8| u64::from((byte(string, at) & !mask).count_ones());
    total - surplus(bytes.first, bytes.first_mask) - surplus(bytes.last, bytes.last_mask)
}

/// The first of these bits of a string that is `wanted`. The string must have them all.
#[must_use]
pub fn find_in(string: StrRef<'_>, bits: RangeInclusive<u64>, wanted: bool) -> Option<u64> {
    let bytes = Bytes::of(&bits);
    let in_byte = |at: usize, mask: u8| {
        let all = byte(string, at);
        let candidates = mask & if wanted { all } else { !all };
        (candidates != 0).then(|| 8 * at as u64 + u64::from(candidates.leading_zeros()))
    };
    if bytes.first == bytes.last {
        return in_byte(bytes.first, bytes.first_mask & bytes.last_mask);
    }
    in_byte(bytes.first, bytes.first_mask)
        .or_else(|| {
            let mut at = bytes.first + 1;
            let found = string.pieces(at..bytes.last, |piece| match find(piece, wanted) {
                Some(bit) => ControlFlow::Break(8 * at as u64 + bit),
                None => {
                    at += piece.len();
                    ControlFlow::Continue(())
                }
            });
            found.break_value()
        })
        .or_else(|| in_byte(bytes.last, bytes.last_mask))
}

/// The byte at a position, or 0 past the end.
#[must_use]
pub fn byte(string: StrRef<'_>, at: usize) -> u8 {
    let mut byte = [0];
    string.read(at, &mut byte);
    byte[0]
}

/// The bytes that bits lie in, and which bits of the outer ones are meant.
struct Bytes {
    first: usize,
    first_mask: u8,
    last: usize,
    last_mask: u8,
}

impl Bytes {
    fn of(bits: &RangeInclusive<u64>) -> Self {
        Self {
            first: (bits.start() / 8) as usize,
            first_mask: 0xff >> (bits.start() % 8),
            last: (bits.end() / 8) as usize,
            last_mask: 0xff << (7 - bits.end() % 8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;

    /// Against a string looked at bit by bit.
    #[test]
    fn as_bit_by_bit() {
        let mut rng = Rng::new(7);
        for _ in 0..2_000 {
            let len = 1 + rng.below(40) as usize;
            let density = rng.below(4);
            let bytes: Vec<u8> = (0..len)
                .map(|_| match density {
                    0 => 0,
                    1 => 0xff,
                    _ => rng.below(256) as u8,
                })
                .collect();
            let bit = |at: u64| bytes[(at / 8) as usize] >> (7 - at % 8) & 1 == 1;
            let first = rng.below(8 * len as u64);
            let last = first + rng.below(8 * len as u64 - first);
            let string = StrRef::Bytes(&bytes);
            assert_eq!(
                count_in(string, first..=last),
                (first..=last).filter(|at| bit(*at)).count() as u64
            );
            for wanted in [false, true] {
                assert_eq!(
                    find_in(string, first..=last, wanted),
                    (first..=last).find(|at| bit(*at) == wanted)
                );
            }
            assert_eq!(count(&bytes), count_in(string, 0..=8 * len as u64 - 1));
        }
    }
}
