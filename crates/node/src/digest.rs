//! DEBUG DIGEST: equal datasets have equal digests, whatever the order and encoding of what they hold.
//!
//! Ours alone: the value differs from stock's for the same data. Keys are summed, so their order does not count.

use base::DbIndex;
use engine::StrRef;
use keyspace::{Entry, Keyspace};
use std::fmt;

/// 160 bits, printed as 40 hexadecimal digits; all zero for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u64; 3]);

impl Digest {
    fn add(&mut self, other: Self) {
        for (lane, more) in self.0.iter_mut().zip(other.0) {
            *lane = lane.wrapping_add(more);
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}{:08x}", self.0[0], self.0[1], self.0[2] as u32)
    }
}

/// Hashes a sequence of byte strings; where one ends and the next begins counts.
struct Hasher([u64; 3]);

impl Hasher {
    const FACTORS: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9];

    fn new() -> Self {
        Self(Self::FACTORS)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.part(bytes);
    }

    fn part(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn word(&mut self, word: u64) {
        for (lane, factor) in self.0.iter_mut().zip(Self::FACTORS) {
            *lane = (*lane ^ word).wrapping_mul(factor);
            *lane ^= *lane >> 29;
        }
    }

    fn finish(self) -> Digest {
        Digest(self.0)
    }
}

/// The digest of a value, apart from its key.
#[must_use]
pub fn of_value(entry: &Entry) -> Digest {
    let mut hasher = Hasher::new();
    hash_value(&mut hasher, entry);
    hasher.finish()
}

fn hash_value(hasher: &mut Hasher, entry: &Entry) {
    hasher.bytes(entry.value_type().name().as_bytes());
    if let Ok(text) = StrRef::of(entry) {
        hasher.bytes(&text.to_bytes());
    }
    hasher.word(u64::from(entry.expiry().is_some()));
}

/// The digest of all databases.
#[must_use]
pub fn of_keyspace(keyspace: &Keyspace) -> Digest {
    let mut sum = Digest::default();
    for index in 0..keyspace.databases() {
        for entry in keyspace.db(DbIndex(index)).iter() {
            let mut hasher = Hasher::new();
            hasher.word(u64::from(index));
            hasher.bytes(entry.key());
            hash_value(&mut hasher, entry);
            sum.add(hasher.finish());
        }
    }
    sum
}
