//! Marks: sort keys in 16 bits, rounded to the [`Scale`] of their leaf.
//!
//! ```text
//!   sort key      base                    first                    last
//!   ───────────────┼────────────────────────┼────────────────────────┼──────────────────────────►
//!   mark      0 0 0 1 2 …                 2¹⁴                    < 3 · 2¹⁴               2¹⁶-1 2¹⁶-1 2¹⁶-1
//! ```
//!
//! Whatever the scale, marks never fall along a leaf, so a scale is never wrong, only coarse: it is chosen anew when a
//! leaf changes its size and many of its marks are equal.

/// What the marks of a leaf are counted in: sort keys from `base` on, in steps of `1 << shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) base: u64,
    pub(super) shift: u8,
}

impl Scale {
    /// Of a leaf of which nothing is known yet.
    pub(super) const UNKNOWN: Self = Self { base: 0, shift: 48 };

    /// The mark of a key.
    #[inline]
    pub(super) fn mark(self, key: u64) -> u16 {
        (key.saturating_sub(self.base) >> self.shift).min(u64::from(u16::MAX)) as u16
    }

    /// The scale on which these keys take the middle half of all marks, or what they need of it.
    pub(super) fn around(first: u64, last: u64) -> Self {
        let bits = (u64::BITS - last.saturating_sub(first).leading_zeros()) as u8;
        Self {
            base: first,
            shift: bits.saturating_sub(15),
        }
        .lowered(1 << 14)
    }

    /// The same steps, with this key in the middle.
    pub(super) fn at(self, key: u64) -> Self {
        Self { base: key, ..self }.lowered(1 << 15)
    }

    fn lowered(self, marks: u64) -> Self {
        Self {
            base: self.base.saturating_sub(marks << self.shift),
            ..self
        }
    }
}
