//! Reference counts of blocks that the live tree and frozen views share.
//!
//! ```text
//!   count    +---------------------+------+
//!            | references          | turn |          one word
//!            +---------------------+------+
//!
//!   a claim to a block is      whole:  a reference of its own                          bits of the pointer to the
//!                              half:   one reference, together with one other holder   block: half, turn
//! ```
//!
//! Whole claims follow the protocol of [`std::sync::Arc`] without its weak half. A new reference is only ever made by
//! someone who holds one, so a holder that reads 1 is alone and stays alone until it gives a reference away itself.
//!
//! A node that is copied before it is written would have to count everything that it refers to once more, all of it far
//! away in memory. Instead original and copy keep the one reference together: both then have half a claim. The first of
//! the two that gives up flips the turn, whereby the other has the reference alone; it gives the reference itself up. So
//! nothing is touched but what is given up.
//!
//! A claim knows the turn at which its holder is alone. For a whole claim that is the turn as it is: nobody flips it. For
//! half a claim it is the other one, which the partner makes it. A block is never in two pairs at once, so the writer,
//! which is the only one to make pairs, must know that the former partner has given up before it makes another: see
//! [`crate::account`].

// The crate's atomics are the standard ones; those of `tests/count_loom.rs`, which includes this file, are loom's.
use crate::atomics::{AtomicU8, AtomicU32, Ordering, fence};

/// How a holder holds a block: two bits in the lower part of a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim(usize);

const TURN: usize = 1;
const HALF: usize = 2;

impl Claim {
    /// The bits of a pointer that a claim takes.
    pub(crate) const BITS: usize = TURN | HALF;

    /// What a pointer says.
    #[inline]
    pub(crate) fn of(address: usize) -> Self {
        Self(address & Self::BITS)
    }

    #[inline]
    pub(crate) fn bits(self) -> usize {
        self.0
    }

    #[inline]
    pub(crate) fn is_half(self) -> bool {
        self.0 & HALF != 0
    }

    /// What becomes of a claim that two holders have from now on: whole until now, or half with a partner that has given up.
    /// Both get the same.
    #[inline]
    pub(crate) fn halved(self) -> Self {
        Self((self.0 ^ TURN) | HALF)
    }

    /// A whole claim beside the others there are. Its holder may be told that it is not alone when it is.
    #[inline]
    pub(crate) fn counted(self) -> Self {
        Self(self.0 & TURN)
    }
}

macro_rules! count {
    ($(#[$doc:meta])* $name:ident, $atomic:ident, $integer:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name($atomic);

        impl $name {
            const TURN: $integer = TURN as $integer;
            const ONE: $integer = 2;

            /// The count of a block with one holder, whose claim is whole.
            pub(crate) fn one() -> Self {
                Self($atomic::new(Self::ONE))
            }

            /// Whether the caller's reference, of this claim, is the only one; what former holders did is then visible.
            #[inline]
            pub(crate) fn is_alone(&self, claim: Claim) -> bool {
                self.0.load(Ordering::Acquire) == Self::ONE | (claim.bits() & TURN) as $integer
            }

            /// One more holder. Aborts the process before the count could wrap.
            #[inline]
            pub(crate) fn increment(&self) {
                if self.0.fetch_add(Self::ONE, Ordering::Relaxed) > <$integer>::MAX / 2 {
                    std::process::abort();
                }
            }

            /// One holder less; true if it was the last, who must free the block.
            #[inline]
            #[must_use]
            pub(crate) fn decrement(&self) -> bool {
                if self.0.fetch_sub(Self::ONE, Ordering::Release) & !Self::TURN != Self::ONE {
                    return false;
                }
                fence(Ordering::Acquire);
                true
            }

            /// As [`Self::decrement`], for this claim: the first half leaves the reference to the second.
            #[inline]
            #[must_use]
            pub(crate) fn give_up(&self, claim: Claim) -> bool {
                let alone = (claim.bits() & TURN) as $integer;
                // Once the turn is the one at which this claim is alone, it stays: the partner flipped it and has gone.
                if claim.is_half()
                    && self.0.load(Ordering::Acquire) & Self::TURN != alone
                    && self.0.fetch_xor(Self::TURN, Ordering::AcqRel) & Self::TURN != alone
                {
                    return false;
                }
                self.decrement()
            }
        }
    };
}

count!(
    /// The holders of an entry: the tables that contain it, of which there is one per frozen view and the live one.
    Count8, AtomicU8, u8
);
count!(
    /// The holders of a node or segment.
    Count32, AtomicU32, u32
);

/// Nodes and blobs are also held where there are no halves, or the turn is not known.
impl Count32 {
    /// As [`Self::is_alone`], in a block without halves.
    #[inline]
    pub(crate) fn is_one(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::ONE
    }

    /// As [`Self::is_alone`], for a whole claim whose holder does not know the turn.
    #[inline]
    pub(crate) fn is_last(&self) -> bool {
        self.0.load(Ordering::Acquire) & !Self::TURN == Self::ONE
    }
}

#[cfg(test)]
impl Count8 {
    pub(crate) fn word(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
