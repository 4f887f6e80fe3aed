//! Identifiers that must not be mixed up with plain numbers.

use std::fmt;

/// The number of a logical database, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DbIndex(pub u32);

/// A position in the replication stream: the number of bytes of history up to and including it.
///
/// The first byte ever written has offset 1, so an empty history stands at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset `bytes` further on.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }

    /// How many bytes lie between `earlier` and this offset; 0 when `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one replication history: 40 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplId([u8; 40]);

impl ReplId {
    /// The id that stands for "no history": forty zeros, as `INFO replication` prints it.
    pub const NONE: Self = Self([b'0'; 40]);

    /// Takes an id from its text; `None` unless it is 40 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits: [u8; 40] = text.try_into().ok()?;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(Self(digits))
    }

    /// A new random id.
    #[must_use]
    pub fn random(rng: &mut crate::Rng) -> Self {
        let mut digits = [0; 40];
        rng.fill_hex(&mut digits);
        Self(digits)
    }

    /// The 40 digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 40] {
        &self.0
    }

    /// The 40 digits as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII hexadecimal digits are ever stored, so this cannot fail.
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Display for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
