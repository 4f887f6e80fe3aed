//! What a tree's root and its inner nodes' slots hold: an address, and all that is needed to go on from there without
//! first looking at what lies there.
//!
//! ```text
//!   63    59    56   55                                               2     0
//!   +------+------+--+-------+-----------------------------------------+-----+
//!   | size | depth|in| 0     | address, 48 bits, a multiple of 8       |claim|
//!   +------+------+--+-------+-----------------------------------------+-----+
//!   size: an inner node's directory bits, a segment's size class
//!   depth: how many bits of its parent's directory index are its own
//!   claim: what the holder has of the node's count, see `crate::count`
//! ```

use crate::count::Claim;
use crate::entry::ADDRESS;

const INNER: usize = 1 << 56;
const DEPTH_AT: u32 = 57;
const SIZE_AT: u32 = 60;

/// A reference to an inner node or a segment, or to nothing. Copying it does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child(*mut u8);

impl Child {
    /// No node: an empty tree.
    pub(super) const NONE: Self = Self(std::ptr::null_mut());

    pub(super) fn segment(address: *mut u8, class: usize, depth: u32) -> Self {
        Self::tagged(address, class << SIZE_AT | (depth as usize) << DEPTH_AT)
    }

    pub(super) fn inner(address: *mut u8, bits: u32, depth: u32) -> Self {
        Self::tagged(
            address,
            (bits as usize) << SIZE_AT | (depth as usize) << DEPTH_AT | INNER,
        )
    }

    fn tagged(address: *mut u8, tag: usize) -> Self {
        assert!(address.addr() & !ADDRESS == 0, "an address that is none of a node");
        Self(address.map_addr(|address| address | tag))
    }

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self.0.is_null()
    }

    #[inline]
    pub(super) fn is_inner(self) -> bool {
        self.0.addr() & INNER != 0
    }

    #[inline]
    pub(super) fn address(self) -> *mut u8 {
        self.0.map_addr(|address| address & ADDRESS)
    }

    #[inline]
    pub(super) fn claim(self) -> Claim {
        Claim::of(self.0.addr())
    }

    fn with_claim(self, claim: Claim) -> Self {
        Self(self.0.map_addr(|address| address & !Claim::BITS | claim.bits()))
    }

    /// As [`Claim::halved`].
    pub(super) fn halved(self) -> Self {
        self.with_claim(self.claim().halved())
    }

    /// As [`Claim::counted`].
    pub(super) fn counted(self) -> Self {
        self.with_claim(self.claim().counted())
    }

    /// A segment's size class.
    #[inline]
    pub(super) fn class(self) -> usize {
        self.0.addr() >> SIZE_AT
    }

    /// An inner node's directory bits: it has `1 << bits` slots.
    #[inline]
    pub(super) fn bits(self) -> u32 {
        (self.0.addr() >> SIZE_AT) as u32
    }

    /// How many bits of the parent's directory index tell this child from others; it stands in all slots that agree.
    #[inline]
    pub(super) fn depth(self) -> u32 {
        (self.0.addr() >> DEPTH_AT) as u32 & 7
    }
}
