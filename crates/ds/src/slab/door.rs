//! How blocks come back to a page from threads that do not own it.
//!
//! ```text
//!   owner     the heap that hands the page's blocks out, or nobody
//!   returned  +------+-------+-------+
//!             | FULL | count | first |     a list through the blocks; taken by the owner in one piece
//!             +------+-------+-------+
//! ```
//!
//! The owner does not look at a page that is full. It says so here, in the word that others change anyway: whoever comes
//! upon FULL takes it away and tells the owner, once, by giving it the block directly. In the same way the owner is told
//! of what may be the last block of a page, so that a page does not stay because nobody looks.
//!
//! A thread that ends gives its pages up: their owner is nobody. Who frees a block of such a page becomes its owner, and so
//! does who needs a page of its class. Both happen under one lock, which also guards the fields of pages that nobody owns.

// The crate's atomics are the standard ones; those of `tests/slab_loom.rs`, which includes this file, are loom's.
use crate::atomics::{AtomicPtr, AtomicU32, Ordering};

const INDEX_BITS: u32 = 14;
const INDEX: u32 = (1 << INDEX_BITS) - 1;
const FULL: u32 = 1 << 31;

/// The word of a page to which nothing has come back.
pub(crate) const NOTHING: u32 = 0;

/// A page as other threads than its owner's see it. Of a heap it knows the address alone.
#[derive(Debug)]
pub(crate) struct Door<Heap> {
    pub(crate) owner: AtomicPtr<Heap>,
    pub(crate) returned: AtomicU32,
}

/// Blocks that came back: the number of the first, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Returned {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// What became of a block that was put in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// The owner will find it.
    Left,
    /// The owner must be given it.
    Tell,
}

fn unpack(word: u32) -> Option<Returned> {
    let first = (word & INDEX).checked_sub(1)?;
    Some(Returned {
        first,
        count: word >> INDEX_BITS & INDEX,
    })
}

impl<Heap> Door<Heap> {
    /// The owner; null for nobody. Certain only for the owner itself, and for others under the lock.
    #[inline]
    pub(crate) fn owner(&self) -> *mut Heap {
        self.owner.load(Ordering::Relaxed)
    }

    /// Under the lock, by the owner to be or the one who was.
    pub(crate) fn pass_to(&self, owner: *mut Heap) {
        self.owner.store(owner, Ordering::Relaxed);
    }

    /// Puts block number `block` in. `link` writes into the block which one follows it; `may_be_last` says of a count of
    /// returned blocks whether these may be all that the page has.
    pub(crate) fn put(&self, block: u32, may_be_last: impl Fn(u32) -> bool, mut link: impl FnMut(Option<u32>)) -> Put {
        let mut word = self.returned.load(Ordering::Relaxed);
        loop {
            let (changed, put) = if word & FULL != 0 {
                (word & !FULL, Put::Tell)
            } else {
                let before = unpack(word);
                let count = before.map_or(0, |returned| returned.count) + 1;
                if may_be_last(count) {
                    return Put::Tell;
                }
                link(before.map(|returned| returned.first));
                (count << INDEX_BITS | (block + 1), Put::Left)
            };
            // What was written into the block is there for the owner, who takes the list.
            match self
                .returned
                .compare_exchange_weak(word, changed, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return put,
                Err(now) => word = now,
            }
        }
    }

    /// Whether anything has come back.
    pub(crate) fn has_returned(&self) -> bool {
        unpack(self.returned.load(Ordering::Relaxed)).is_some()
    }

    /// By the owner: all that came back. The page does not count as full any more.
    pub(crate) fn take(&self) -> Option<Returned> {
        if self.returned.load(Ordering::Relaxed) == NOTHING {
            return None;
        }
        unpack(self.returned.swap(NOTHING, Ordering::Acquire))
    }

    /// By the owner: the page is full, unless something has come back meanwhile.
    #[must_use]
    pub(crate) fn close(&self) -> bool {
        self.returned
            .compare_exchange(NOTHING, FULL, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}
