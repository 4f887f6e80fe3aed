//! The hash of a key: 64 bits from a seeded function.
//!
//! ```text
//!   63                    window                  16 15          4 3  0
//!   +--------------------+- - - -+-------------------+------------+----+
//!   | position: the path through the tree, 48 bits   | tag, in a slot   |
//!   +--------------------+- - - -+-------------------+------------+----+
//!                            └──────────────────────────────────► 3  0
//! ```
//!
//! A slot keeps twelve of the last bits, and beside them a window of four bits of the position: those that the next splits
//! of its segment go by. So three splits of four look at no key.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_micro_inline};

/// How many bits of a hash order the tree.
pub const POSITION_BITS: u32 = 48;

/// How many bits of the position a tag holds.
const WINDOW_BITS: u32 = 4;

/// The part of a tag that is the same at every depth, out of [`LASTING_TAGS`].
#[inline]
pub(crate) fn lasting(tag: u16) -> usize {
    usize::from(tag >> WINDOW_BITS)
}

/// How many lasting parts there are.
pub(crate) const LASTING_TAGS: usize = 1 << (16 - WINDOW_BITS);

/// Bit `depth` of the hash that this is a tag of, in a segment to which `depth` bits of it lead: the one that it splits by.
#[inline]
pub(crate) fn next_bit(tag: u16, depth: u32) -> bool {
    tag >> (WINDOW_BITS - 1 - depth % WINDOW_BITS) & 1 == 1
}

/// Whether the tags of a hash at these two depths are the same.
#[inline]
pub(crate) fn same_window(depth: u32, other: u32) -> bool {
    depth / WINDOW_BITS == other / WINDOW_BITS
}

/// The hash of a key under one [`Hasher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// Where the key stands in the order of the tree: below 2⁴⁸.
    #[must_use]
    pub fn position(self) -> u64 {
        self.0 >> (64 - POSITION_BITS)
    }

    /// The bits that a slot keeps of the hash, in a segment to which `depth` bits of it lead.
    #[inline]
    pub(crate) fn tag(self, depth: u32) -> u16 {
        let window = (self.0 << (depth - depth % WINDOW_BITS)) >> (64 - WINDOW_BITS);
        self.0 as u16 >> WINDOW_BITS << WINDOW_BITS | window as u16
    }
}

/// A hash function out of a family so large that colliding keys cannot be prepared without its seed.
#[derive(Clone, Debug)]
pub struct Hasher {
    secrets: RapidSecrets,
    /// Tests take bits of the hash away, to see the tree with bad hashes.
    #[cfg(test)]
    pub(crate) mask: u64,
}

impl Hasher {
    /// The function of this seed, which must stay unknown to whoever chooses keys.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            secrets: RapidSecrets::seed(seed),
            #[cfg(test)]
            mask: u64::MAX,
        }
    }

    /// The hash of `key`.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let hash = spread(rapidhash_v3_micro_inline::<true, true>(key, &self.secrets));
        #[cfg(test)]
        let hash = hash & self.mask;
        KeyHash(hash)
    }
}

/// Spreads hashes over positions unevenly: from half to the whole of the greatest density, and all densities between
/// alike.
///
/// Spread evenly, all segments of a table would fill, grow and split at the same time. Memory per key would go up and
/// down by half as keys come, and the allocator would be left with blocks of the sizes that no segment has just now.
/// Spread like this there are segments of every size at any time.
///
/// With u from 0 to 1 the position is u - u(1 - u)/3, whose slope goes from 2/3 to 4/3.
#[inline]
fn spread(hash: u64) -> u64 {
    let bend = (u128::from(hash) * u128::from(!hash)) >> 64;
    hash - bend as u64 / 3
}

/// Which share of all keys has a hash below this fraction of the greatest: what `spread` does, undone.
pub(crate) fn share_below(fraction: f64) -> f64 {
    (1.0 + 3.0 * fraction).sqrt() - 1.0
}
