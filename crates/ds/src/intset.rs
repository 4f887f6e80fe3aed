//! Intsets: a sorted run of integers, all of the width that the widest needs.
//!
//! ```text
//!  0           4           8
//! +-----------+-----------+----------+----------+-- ...
//! | width     | count     | smallest |          |         little-endian; width: 2, 4 or 8 bytes a number
//! +-----------+-----------+----------+----------+-- ...
//! ```
//!
//! A set widens when a number needs it, and never narrows. This is the stock servers' format, byte for byte; there is no
//! other authority for it. [`Intset`] reads bytes that are known to be whole ([`validate`] says so of foreign ones); on
//! others it gives wrong answers or panics, nothing worse.

use crate::bytes::Bytes;
use crate::listpack::Damage;

const HEADER_BYTES: usize = 8;

/// An intset that is known to be whole.
#[derive(Clone, Copy, Debug)]
pub struct Intset<'a> {
    width: usize,
    /// What follows the header.
    numbers: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Intset<'a> {
    /// The set that `bytes` are.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let width = usize::from(bytes[0]);
        debug_assert!(matches!(width, 2 | 4 | 8));
        Self {
            width,
            numbers: &bytes[HEADER_BYTES..],
            bytes,
        }
    }

    /// Its bytes, the header included.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes per number: 2, 4 or 8.
    #[must_use]
    pub fn width(self) -> usize {
        self.width
    }

    /// How many numbers it holds.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        self.numbers.len() / self.width
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.numbers.is_empty()
    }

    /// The number of this rank, the smallest being 0. Panics if there is none.
    #[inline]
    #[must_use]
    pub fn get(self, rank: usize) -> i64 {
        let bytes = &self.numbers[rank * self.width..][..self.width];
        match *bytes {
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => panic!("an intset of {} bytes a number", self.width),
        }
    }

    /// Whether `number` is in it.
    #[inline]
    #[must_use]
    pub fn contains(self, number: i64) -> bool {
        self.search(number).is_ok()
    }

    /// The numbers, from the smallest to the largest.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator {
        (0..self.len()).map(move |rank| self.get(rank))
    }

    /// The rank of `number`, or the one it would have.
    fn search(self, number: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        // Most sets are filled in rising order.
        if high > 0 && number > self.get(high - 1) {
            return Err(high);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(&number) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

/// An empty set.
#[must_use]
pub fn init() -> [u8; HEADER_BYTES] {
    [2, 0, 0, 0, 0, 0, 0, 0]
}

/// Puts `number` in; says whether it is new.
pub fn insert(bytes: &mut impl Bytes, number: i64) -> bool {
    let set = Intset::new(bytes.as_slice());
    let width = width_of(number);
    if width > set.width {
        widen(bytes, width, number);
        return true;
    }
    let (rank, width) = match set.search(number) {
        Ok(_) => return false,
        Err(rank) => (rank, set.width),
    };
    let at = HEADER_BYTES + rank * width;
    Bytes::splice(bytes, at, 0, &[&number.to_le_bytes()[..width]]);
    put_header(bytes, width);
    true
}

/// Takes `number` out; says whether it was there.
pub fn remove(bytes: &mut impl Bytes, number: i64) -> bool {
    let set = Intset::new(bytes.as_slice());
    let (Ok(rank), width) = (set.search(number), set.width) else {
        return false;
    };
    remove_rank(bytes, rank, width);
    true
}

/// Takes out the number of this rank, and gives it. Panics if there is none.
pub fn remove_at(bytes: &mut impl Bytes, rank: usize) -> i64 {
    let set = Intset::new(bytes.as_slice());
    let (number, width) = (set.get(rank), set.width);
    remove_rank(bytes, rank, width);
    number
}

fn remove_rank(bytes: &mut impl Bytes, rank: usize, width: usize) {
    Bytes::splice(bytes, HEADER_BYTES + rank * width, width, &[]);
    put_header(bytes, width);
}

fn put_header(bytes: &mut impl Bytes, width: usize) {
    let all = bytes.as_mut_slice();
    let count = ((all.len() - HEADER_BYTES) / width) as u32;
    all[..4].copy_from_slice(&(width as u32).to_le_bytes());
    all[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
}

/// Makes every number `width` bytes wide, with `number`, which needs it, at the end that is its.
fn widen(bytes: &mut impl Bytes, width: usize, number: i64) {
    let set = Intset::new(bytes.as_slice());
    let old_len = set.bytes.len();
    let mut wide = Vec::with_capacity((set.len() + 1) * width);
    let mut push = |number: i64| wide.extend_from_slice(&number.to_le_bytes()[..width]);
    if number < 0 {
        push(number);
    }
    set.iter().for_each(&mut push);
    if number >= 0 {
        push(number);
    }
    Bytes::splice(bytes, HEADER_BYTES, old_len - HEADER_BYTES, &[&wide]);
    put_header(bytes, width);
}

/// How many bytes `number` needs.
fn width_of(number: i64) -> usize {
    if i16::try_from(number).is_ok() {
        2
    } else if i32::try_from(number).is_ok() {
        4
    } else {
        8
    }
}

/// Goes through foreign bytes, whatever they are, and says how many numbers they hold.
///
/// # Errors
/// What is wrong with them; an empty set is, too, as no key holds one. After `Ok` everything in this module works on
/// them.
pub fn validate(bytes: &[u8]) -> Result<usize, Damage> {
    let damage = |at, what| Err(Damage::new(at, what));
    let Some((header, numbers)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return damage(0, "an intset too short for its header");
    };
    let [a, b, c, d, e, f, g, h] = *header;
    let (width, count) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if !matches!(width, 2 | 4 | 8) {
        return damage(0, "an intset of an unknown width");
    }
    if count == 0 || u64::from(width) * u64::from(count) != numbers.len() as u64 {
        return damage(4, "an intset of another count than it says");
    }
    let set = Intset::new(bytes);
    let mut previous = None;
    for (rank, number) in set.iter().enumerate() {
        if previous.is_some_and(|previous| previous >= number) {
            return damage(HEADER_BYTES + rank * set.width, "an intset out of order");
        }
        previous = Some(number);
    }
    Ok(set.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;
    use std::collections::BTreeSet;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What stock 7.0.15 gives as DUMP of such sets, without type, length and footer.
    #[test]
    fn the_encodings_are_those_of_stock() {
        let mut set = init().to_vec();
        for number in [1, 2, -3] {
            assert!(insert(&mut set, number));
        }
        assert_eq!(hex(&set), "0200000003000000fdff01000200");
        assert!(insert(&mut set, 70_000));
        assert_eq!(hex(&set), "0400000004000000fdffffff010000000200000070110100");
        assert!(insert(&mut set, -5_000_000_000));
        assert_eq!(
            hex(&set),
            "0800000005000000000efad5fefffffffdffffffffffffff010000000000000002000000000000007011010000000000"
        );
        assert!(remove(&mut set, -5_000_000_000) && remove(&mut set, 70_000));
        assert_eq!(Intset::new(&set).width(), 8);
    }

    #[test]
    fn edits_are_those_of_a_set() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let (mut bytes, mut model) = (init().to_vec(), BTreeSet::new());
            for _ in 0..300 {
                let number = match rng.below(if seed % 3 == 0 { 40 } else { 12 }) {
                    0 => rng.next_u64() as i64,
                    1 => i64::from(rng.next_u64() as i32),
                    2 => i64::from(rng.next_u64() as i16),
                    3 => [i64::MIN, i64::MAX, 32_767, 32_768, -32_769][rng.below(5) as usize],
                    _ => rng.below(60) as i64 - 30,
                };
                match rng.below(5) {
                    0 => assert_eq!(remove(&mut bytes, number), model.remove(&number)),
                    1 if !model.is_empty() => {
                        let rank = rng.below(model.len() as u64) as usize;
                        assert_eq!(model.iter().nth(rank).copied(), Some(remove_at(&mut bytes, rank)));
                        model.remove(&{ *model.iter().nth(rank).unwrap() });
                    }
                    2 => assert_eq!(Intset::new(&bytes).contains(number), model.contains(&number)),
                    _ => assert_eq!(insert(&mut bytes, number), model.insert(number)),
                }
                assert!(Intset::new(&bytes).iter().eq(model.iter().copied()));
                assert_eq!(validate(&bytes).ok(), (!model.is_empty()).then_some(model.len()));
            }
        }
    }

    #[test]
    fn damage_is_seen_and_never_panics() {
        let mut bytes = init().to_vec();
        for number in [5, 100_000, -7] {
            insert(&mut bytes, number);
        }
        for end in 0..bytes.len() {
            assert!(validate(&bytes[..end]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if validate(&damaged).is_ok() {
                assert!(Intset::new(&damaged).iter().is_sorted());
            }
        }
        assert!(validate(&init()).is_err());
        assert!(validate(b"\x03\0\0\0\x01\0\0\0abc").is_err());
        assert!(validate(b"\x02\0\0\0\x02\0\0\0\x05\0\x05\0").is_err());
    }
}
