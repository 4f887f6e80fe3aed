//! The hash of a key: 64 bits from a seeded function.
//!
//! ```text
//!   63                                            16 15             0
//!   +-----------------------------------------------+----------------+
//!   | position: the path through the tree, 48 bits   | tag, in a slot |
//!   +-----------------------------------------------+----------------+
//! ```

use rapidhash::v3::{RapidSecrets, rapidhash_v3_micro_inline};

/// How many bits of a hash order the tree.
pub const POSITION_BITS: u32 = 48;

/// The hash of a key under one [`Hasher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// Where the key stands in the order of the tree: below 2⁴⁸.
    #[must_use]
    pub fn position(self) -> u64 {
        self.0 >> (64 - POSITION_BITS)
    }

    /// The bits that a slot keeps of the hash.
    #[inline]
    pub(crate) fn tag(self) -> u16 {
        self.0 as u16
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
        let hash = rapidhash_v3_micro_inline::<true, true>(key, &self.secrets);
        #[cfg(test)]
        let hash = hash & self.mask;
        KeyHash(hash)
    }
}
