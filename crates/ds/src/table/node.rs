//! Inner nodes, and what nodes of both kinds have in common.
//!
//! ```text
//!   +--------------------------------+---------+---------+---------+---------+
//!   | count, entries, expiring,      | slot 00 | slot 01 | slot 10 | slot 11 |    1 << bits slots, bits ≤ 6
//!   | soonest expiry below           |    A    |    A    |    B    |    C    |
//!   +--------------------------------+---------+---------+---------+---------+
//!                                      A: depth 1           B, C: depth 2
//! ```
//!
//! The next `bits` bits of the hash choose the slot (extendible hashing). A child that needs fewer of them to be told
//! from the others stands in several slots in a row, but counts as one reference.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, Ordering};

use super::child::Child;
use super::lent::{Lent, Mark};
use super::segment::{self, NEVER, Segment};
use crate::account::{Account, Ledger};
use crate::count::Count32;
use crate::entry::Entry;
use crate::hash::KeyHash;

/// The most bits of the hash that one node takes.
pub(super) const BITS_MAX: u32 = 6;

#[repr(C)]
struct Header {
    count: Count32,
    mark: Mark,
    len: u64,
    expiring: u64,
    /// No entry below expires before this moment; [`NEVER`] if none expires. Atomic as in a segment.
    soonest: AtomicI64,
}

/// An inner node in memory: a pointer without a count of its own.
#[derive(Clone, Copy)]
pub(super) struct Inner {
    header: NonNull<Header>,
    bits: u32,
}

/// What a node says about the entries below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) len: u64,
    pub(super) expiring: u64,
    /// A lower bound.
    pub(super) soonest: i64,
}

fn layout(bits: u32) -> Layout {
    // Constants, and a power of two.
    Layout::from_size_align(block_bytes(bits), 8).expect("the layout of a node")
}

pub(super) fn block_bytes(bits: u32) -> usize {
    crate::size::block_bytes(size_of::<Header>() + (size_of::<Child>() << bits))
}

impl Inner {
    /// The node behind `child`.
    ///
    /// # Safety
    /// - `child` refers to an inner node that lives as long as the result is used.
    #[inline]
    pub(super) unsafe fn of(child: Child) -> Self {
        // SAFETY: not null, by contract.
        let header = unsafe { NonNull::new_unchecked(child.address().cast()) };
        Self {
            header,
            bits: child.bits(),
        }
    }

    /// A new node with one holder and these children, the caller's references to which go into it.
    pub(super) fn new(bits: u32, child_at: impl Fn(usize) -> Child, summary: Summary, ledger: &mut Ledger) -> Self {
        let layout = layout(bits);
        // SAFETY: the size is not 0.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        ledger.add(layout.size());
        let inner = Self {
            header: block.cast(),
            bits,
        };
        // SAFETY: the block has room for the header and the slots.
        unsafe {
            inner.header.write(Header {
                count: Count32::one(),
                mark: Mark::new(),
                len: summary.len,
                expiring: summary.expiring,
                soonest: AtomicI64::new(summary.soonest),
            });
            for index in 0..1 << bits {
                inner.slots_at().add(index).write(child_at(index));
            }
        }
        inner
    }

    pub(super) fn child(self, depth: u32) -> Child {
        Child::inner(self.header.as_ptr().cast(), self.bits, depth)
    }

    fn header<'a>(self) -> &'a Header {
        // SAFETY: the node lives, by the contract of `of`.
        unsafe { self.header.as_ref() }
    }

    #[inline]
    fn slots_at(self) -> *mut Child {
        self.header.as_ptr().wrapping_add(1).cast()
    }

    pub(super) fn bits(self) -> u32 {
        self.bits
    }

    pub(super) fn count<'a>(self) -> &'a Count32 {
        &self.header().count
    }

    fn mark<'a>(self) -> &'a Mark {
        &self.header().mark
    }

    pub(super) fn set_soonest(self, soonest: i64) {
        self.header().soonest.store(soonest, Ordering::Relaxed);
    }

    /// The slot that a hash chooses, of which `consumed` bits led here.
    #[inline]
    pub(super) fn index(self, hash: KeyHash, consumed: u32) -> usize {
        ((hash.0 << consumed) >> (64 - self.bits)) as usize
    }

    /// The child on the way to a hash, of which `consumed` bits led here.
    #[inline]
    pub(super) fn towards(self, hash: KeyHash, consumed: u32) -> Child {
        // SAFETY: the node lives, by the contract of `of`, and has `1 << bits` slots: an index of `bits` bits is in them.
        unsafe { self.slots_at().add(self.index(hash, consumed)).read() }
    }

    /// Asks the processor for the slot on the way to a hash, and for the header if the way will be made one's own.
    #[inline]
    pub(super) fn prefetch(self, hash: KeyHash, consumed: u32, for_write: bool) {
        crate::entry::prefetch(self.slots_at().wrapping_add(self.index(hash, consumed)).cast());
        if for_write {
            crate::entry::prefetch(self.header.as_ptr().cast());
        }
    }

    #[inline]
    pub(super) fn slot(self, index: usize) -> Child {
        assert!(index < 1 << self.bits, "slot {index} of a node of {} bits", self.bits);
        // SAFETY: the node lives, by the contract of `of`, and has that slot.
        unsafe { self.slots_at().add(index).read() }
    }

    /// The first slot and the number of slots of the child that stands in slot `index`.
    pub(super) fn span(self, index: usize) -> (usize, usize) {
        let span = 1 << (self.bits - self.slot(index).depth());
        (index & !(span - 1), span)
    }

    /// Every child once, in the order of their hashes.
    pub(super) fn children(self) -> impl Iterator<Item = Child> {
        let mut index = 0;
        std::iter::from_fn(move || {
            (index < 1 << self.bits).then(|| {
                let child = self.slot(index);
                index += 1 << (self.bits - child.depth());
                child
            })
        })
    }

    /// Puts `child` into the slots `first..first + span`.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn set_slots(self, first: usize, span: usize, child: Child) {
        assert!(first + span <= 1 << self.bits, "slots past the end of a node");
        for index in first..first + span {
            // SAFETY: the node lives and has that slot, and nobody else looks at it.
            unsafe { self.slots_at().add(index).write(child) };
        }
    }

    /// Changes the counts, and the soonest expiry by one that has come.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn adjust(self, len: i64, expiring: i64, soonest: i64) {
        // SAFETY: the only holder; the reference ends with this function.
        let header = unsafe { &mut *self.header.as_ptr() };
        header.len = header.len.wrapping_add_signed(len);
        header.expiring = header.expiring.wrapping_add_signed(expiring);
        let known = header.soonest.get_mut();
        *known = if header.expiring == 0 {
            NEVER
        } else {
            soonest.min(*known)
        };
    }

    /// Counts one more entry below, which does not expire.
    ///
    /// # Safety
    /// - The caller is the only holder.
    #[inline]
    pub(super) unsafe fn count_one(self) {
        // SAFETY: the only holder; the reference ends with this statement.
        unsafe { (*self.header.as_ptr()).len += 1 };
    }

    /// The same children in a node of another size; the old one's block is gone.
    ///
    /// # Safety
    /// - The caller is the only holder, and does not use the node again.
    /// - No child is deeper than `bits`.
    pub(super) unsafe fn resize(self, bits: u32, ledger: &mut Ledger) -> Self {
        let child_at = |index| {
            if bits >= self.bits {
                index >> (bits - self.bits)
            } else {
                index << (self.bits - bits)
            }
        };
        let resized = Self::new(bits, |index| self.slot(child_at(index)), self.summary(), ledger);
        resized.mark().inherit(self.mark());
        // SAFETY: as promised.
        unsafe { self.free(ledger) };
        resized
    }

    /// A copy with one holder that shares all children. The caller gives up its reference to `self` afterwards.
    ///
    /// # Safety
    /// - The caller is the writer.
    unsafe fn duplicate(self, ledger: &mut Ledger) -> Self {
        let copy = Self::new(self.bits, |_| Child::NONE, self.summary(), ledger);
        let lent = self.mark().lend(copy.mark(), ledger.account());
        let counted = |child: Child| lent == Lent::Whole && child.claim().is_half();
        let mut index = 0;
        while index < 1 << self.bits {
            let child = self.slot(index);
            let span = 1 << (self.bits - child.depth());
            let copied = if counted(child) {
                count(child).increment();
                child
            } else {
                child.halved()
            };
            // SAFETY: the copy is ours alone.
            unsafe { copy.set_slots(index, span, copied) };
            index += span;
        }
        copy
    }

    /// Frees the node, not its children.
    ///
    /// # Safety
    /// - The caller is the only holder, and does not use the node again.
    pub(super) unsafe fn free(self, ledger: &mut Ledger) {
        ledger.remove(block_bytes(self.bits));
        // SAFETY: allocated with this layout; nobody else holds it.
        unsafe { dealloc(self.header.as_ptr().cast(), layout(self.bits)) };
    }

    fn summary(self) -> Summary {
        let header = self.header();
        Summary {
            len: header.len,
            expiring: header.expiring,
            soonest: header.soonest.load(Ordering::Relaxed),
        }
    }

    /// The children, for a frozen view that goes on to them and gives the node up.
    ///
    /// # Safety
    /// - The reference to the node is the caller's, who does not use it again. Those to the children then are.
    pub(super) unsafe fn open(self, account: &Account) -> Vec<Child> {
        let mut children: Vec<Child> = self.children().collect();
        if self.count().is_last() {
            let lent = self.mark().lent();
            children
                .iter()
                .for_each(|child| crate::entry::prefetch(child.address()));
            for child in &mut children {
                // SAFETY: held by this node, whose claims are the caller's now.
                *child = unsafe { made_whole(lent.child(*child)) };
            }
            account.freed(block_bytes(self.bits));
            // SAFETY: allocated with this layout; nobody else holds it.
            unsafe { dealloc(self.header.as_ptr().cast(), layout(self.bits)) };
        } else {
            // SAFETY: the children live as long as this node does, which the caller holds.
            unsafe {
                children.iter_mut().for_each(|child| *child = share(*child));
                release(self.child(0), account);
            }
        }
        children
    }
}

fn count<'a>(child: Child) -> &'a Count32 {
    // SAFETY: every caller in this file promises that `child` lives.
    unsafe {
        if child.is_inner() {
            Inner::of(child).count()
        } else {
            Segment::of(child).count()
        }
    }
}

/// What `child` says about the entries below it.
///
/// # Safety
/// - `child` lives, and is not [`Child::NONE`].
pub(super) unsafe fn summary(child: Child) -> Summary {
    // SAFETY: alive, by contract.
    unsafe {
        if child.is_inner() {
            Inner::of(child).summary()
        } else {
            let segment = Segment::of(child);
            Summary {
                len: segment.len() as u64,
                expiring: segment.expiring() as u64,
                soonest: segment.soonest(),
            }
        }
    }
}

/// One more reference.
///
/// # Safety
/// - `child` lives, and is not [`Child::NONE`].
pub(super) unsafe fn share(child: Child) -> Child {
    count(child).increment();
    child.counted()
}

/// The same reference with a whole claim.
///
/// # Safety
/// - The reference is the caller's, who does not use `child` again.
unsafe fn made_whole(child: Child) -> Child {
    if !child.claim().is_half() {
        return child;
    }
    // SAFETY: alive, being held.
    let whole = unsafe { share(child) };
    let last = count(child).give_up(child.claim());
    debug_assert!(!last, "another reference was just made");
    whole
}

/// The node to write to: `child` if nobody else holds it, else a copy, for which the reference to `child` is given up.
///
/// # Safety
/// - `child` lives, is not [`Child::NONE`], and the reference to it is the caller's.
/// - The caller is the writer of the tree: there is one, and all others are views that the account knows of.
#[inline]
pub(super) unsafe fn unshare(child: Child, ledger: &mut Ledger) -> Child {
    if count(child).is_alone(child.claim()) {
        return child;
    }
    // SAFETY: as promised.
    unsafe { copy_shared(child, ledger) }
}

/// # Safety
/// - As for [`unshare`].
#[cold]
unsafe fn copy_shared(child: Child, ledger: &mut Ledger) -> Child {
    assert!(!ledger.is_forked(), "a write to what a fork has left behind");
    // SAFETY: alive, by contract; a copy's references to what is below are made before the original's are given up.
    unsafe {
        let copy = if child.is_inner() {
            let copy = Inner::of(child).duplicate(ledger);
            ledger.leave_to_frozen(block_bytes(copy.bits));
            copy.child(child.depth())
        } else {
            let segment = Segment::of(child);
            let copy = segment.duplicate(ledger);
            ledger.leave_to_frozen(segment::block_bytes(segment.class()));
            copy.child(child.depth())
        };
        release(child, ledger.account());
        copy
    }
}

/// A frozen view gives its reference up; what it held last is freed.
///
/// # Safety
/// - `child` is not [`Child::NONE`]; the reference is the caller's, who does not use it again.
pub(super) unsafe fn release(child: Child, account: &Account) {
    // SAFETY: alive, by contract, and handed on.
    unsafe {
        if !count(child).give_up(child.claim()) {
            return;
        }
        if !child.is_inner() {
            Segment::of(child).free_released(account);
            return;
        }
        let inner = Inner::of(child);
        let lent = inner.mark().lent();
        // The count said that nobody else holds the node, so its references to the children are the caller's.
        inner.children().for_each(|below| release(lent.child(below), account));
        account.freed(block_bytes(inner.bits));
        dealloc(inner.header.as_ptr().cast(), layout(inner.bits));
    }
}

/// The owner gives its reference up: everything below leaves its ledger, what frozen views share becomes theirs.
///
/// # Safety
/// - As for [`release`].
pub(super) unsafe fn leave(child: Child, ledger: &mut Ledger) {
    // SAFETY: alive, by contract. References to what is below either come with the last one to the node, or are made
    // before the one to the node is given up.
    unsafe {
        let alone = count(child).is_alone(child.claim());
        if child.is_inner() {
            let inner = Inner::of(child);
            let mut children: Vec<Child> = inner.children().collect();
            if alone {
                let lent = inner.mark().lent();
                children.iter_mut().for_each(|below| *below = lent.child(*below));
                inner.free(ledger);
            } else {
                children.iter_mut().for_each(|below| *below = share(*below));
                ledger.leave_to_frozen(block_bytes(inner.bits));
                release(child, ledger.account());
            }
            children.into_iter().for_each(|below| leave(below, ledger));
            return;
        }
        let segment = Segment::of(child);
        segment.prefetch_entries();
        if alone {
            let lent = segment.mark().lent();
            segment.dissolve(ledger, |entry, ledger| lent.entry(entry).leave(ledger));
        } else {
            let entries: Vec<Entry> = segment.entries().map(Entry::share).collect();
            ledger.leave_to_frozen(segment::block_bytes(segment.class()));
            release(child, ledger.account());
            entries.into_iter().for_each(|entry| entry.leave(ledger));
        }
    }
}
