//! Writing: making a path one's own, splitting what is full, merging what has become small.

use super::Table;
use super::child::Child;
use super::node::{self, BITS_MAX, Inner};
use super::segment::{self, NEVER, Segment};
use crate::entry::Entry;
use crate::hash::{Hasher, KeyHash, POSITION_BITS};
use base::Millis;

/// Inner nodes on a path at most: all but the last take six bits of 48.
const STEPS_MAX: usize = (POSITION_BITS / BITS_MAX) as usize;

/// Segments of at most this many entries look for a neighbour to merge with …
const MERGE_LEN_MAX: usize = 16;
/// … and do if the two have at most this many together, well below what makes one split.
const MERGED_LEN_MAX: usize = 36;

/// Segments split when they are to hold more than this many entries: all that 15 groups take.
pub(super) const SPLIT_LEN: usize = 105;

#[derive(Clone, Copy)]
struct Step {
    inner: Inner,
    index: usize,
    /// Bits of the hash that led to the node.
    consumed: u32,
}

/// The way from the root to a segment, every node of which has the table as its only holder.
pub(super) struct Path {
    steps: [Option<Step>; STEPS_MAX],
    len: usize,
    pub(super) segment: Segment,
    /// Bits of its node's directory index that are the segment's own.
    depth: u32,
}

enum Room {
    Split,
    Grow,
}

impl Path {
    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps[..self.len].iter().flatten()
    }

    fn last(&self) -> Option<Step> {
        self.len.checked_sub(1).and_then(|last| self.steps[last])
    }

    /// What must happen before the segment takes one more entry.
    fn room_needed(&self) -> Option<Room> {
        let len = self.segment.len();
        let bits = self.last().map_or(0, |step| step.consumed) + self.depth;
        if bits < POSITION_BITS && len >= SPLIT_LEN {
            return Some(Room::Split);
        }
        (len >= segment::capacity(self.segment.class())).then_some(Room::Grow)
    }

    /// Changes the counts of the segment and of all nodes above it.
    pub(super) fn adjust(&self, len: i64, expiring: i64, soonest: i64) {
        // SAFETY: a path's nodes have the table as their only holder, which is borrowed for writing where paths are.
        unsafe {
            self.segment.adjust(len as isize, expiring as isize, soonest);
            self.steps().for_each(|step| step.inner.adjust(len, expiring, soonest));
        }
    }
}

impl Table {
    /// The path to the segment of this hash, made the table's own.
    pub(super) fn own_path(&mut self, hash: KeyHash) -> Path {
        if self.root.is_none() {
            self.root = Segment::new(0, &mut self.ledger).child(0);
        }
        let mut steps = [None; STEPS_MAX];
        let mut len = 0;
        let mut consumed = 0;
        let mut child = self.root;
        loop {
            if !child.is_inner() {
                // Its count is in another cache line than the slots: let both come at once.
                // SAFETY: held by the node above, or as the root.
                unsafe { Segment::of(child) }.prefetch_group(hash);
            }
            // SAFETY: the reference is the table's or its own node's, where the copy replaces it just below.
            let owned = unsafe { node::unshare(child, &mut self.ledger) };
            if owned != child {
                self.put(if len == 0 { None } else { steps[len - 1] }, owned);
            }
            if !owned.is_inner() {
                // SAFETY: held by the node above, or as the root.
                let segment = unsafe { Segment::of(owned) };
                return Path {
                    steps,
                    len,
                    segment,
                    depth: owned.depth(),
                };
            }
            // SAFETY: as above.
            let inner = unsafe { Inner::of(owned) };
            let index = inner.index(hash, consumed);
            steps[len] = Some(Step { inner, index, consumed });
            len += 1;
            consumed += inner.bits();
            child = inner.slot(index);
        }
    }

    /// Puts `child` where a step leads, or at the root, in the place of a child of the same depth.
    fn put(&mut self, at: Option<Step>, child: Child) {
        match at {
            None => self.root = child,
            Some(Step { inner, index, .. }) => {
                let (first, span) = inner.span(index);
                // SAFETY: the node is on an owned path.
                unsafe { inner.set_slots(first, span, child) };
            }
        }
    }

    /// Puts a new entry in, at the end of the path of its hash.
    pub(super) fn add(&mut self, path: Path, hash: KeyHash, entry: Entry) {
        let mut path = path;
        while let Some(room) = path.room_needed() {
            match room {
                Room::Split => self.split(&path),
                Room::Grow => self.grow(&path),
            }
            path = self.own_path(hash);
        }
        let expiry = entry.expiry();
        // SAFETY: the path is owned, and there is room.
        unsafe { path.segment.place(entry) };
        path.adjust(
            1,
            i64::from(expiry.is_some()),
            expiry.map_or(NEVER, |Millis(expiry)| expiry),
        );
    }

    /// Gives a segment more slots.
    fn grow(&mut self, path: &Path) {
        // SAFETY: the path is owned, and the old segment's place is taken at once.
        let grown = unsafe { path.segment.resize(path.segment.class() + 1, &mut self.ledger) };
        self.put(path.last(), grown.child(path.depth));
    }

    /// Splits a segment by the next bit of its entries' hashes.
    fn split(&mut self, path: &Path) {
        let depth = path.depth;
        let summary = |segment: Segment| node::Summary {
            len: segment.len() as u64,
            expiring: segment.expiring() as u64,
            soonest: segment.soonest(),
        };
        let whole = summary(path.segment);
        let Some(step) = path.last() else {
            let (low, high) = self.halves(path.segment, 0);
            let halves = [low.child(1), high.child(1)];
            self.root = Inner::new(1, |index| halves[index], whole, &mut self.ledger).child(0);
            return;
        };
        let (low, high) = self.halves(path.segment, step.consumed + depth);
        let bits = step.inner.bits();
        if depth == BITS_MAX {
            let halves = [low.child(1), high.child(1)];
            let inner = Inner::new(1, |index| halves[index], whole, &mut self.ledger);
            self.put(Some(step), inner.child(depth));
            return;
        }
        let (mut inner, mut index) = (step.inner, step.index);
        if depth == bits {
            let above = path.len.checked_sub(2).and_then(|above| path.steps[above]);
            let node_depth = above.map_or(0, |above| above.inner.slot(above.index).depth());
            // SAFETY: the path is owned; the node's place above is taken at once.
            inner = unsafe { inner.resize(bits + 1, &mut self.ledger) };
            self.put(above, inner.child(node_depth));
            index <<= 1;
        }
        // Still the slots of the segment that was split; only its depth is looked at.
        let (first, span) = inner.span(index);
        // SAFETY: the node is on an owned path, or new.
        unsafe {
            inner.set_slots(first, span / 2, low.child(depth + 1));
            inner.set_slots(first + span / 2, span / 2, high.child(depth + 1));
        }
    }

    /// Divides the entries of an owned segment, which is gone afterwards, by bit `bit` of their hashes.
    fn halves(&mut self, whole: Segment, bit: u32) -> (Segment, Segment) {
        let sides = sides(whole, bit, &self.hasher);
        let high_len = sides.count_ones() as usize;
        let low = Segment::new(segment::class_for(whole.len() - high_len), &mut self.ledger);
        let high = Segment::new(segment::class_for(high_len), &mut self.ledger);
        let mut sides = sides;
        // SAFETY: the path to the segment is owned; the new ones are ours, with room for what was counted.
        unsafe {
            whole.dissolve(&mut self.ledger, |entry, _| {
                let side = if sides & 1 == 0 { low } else { high };
                side.insert(entry);
                sides >>= 1;
            });
        }
        (low, high)
    }

    /// After a removal: gives memory back where segments and nodes have become small.
    pub(super) fn shrink(&mut self, path: Path, hash: KeyHash) {
        let mut path = path;
        let len = path.segment.len();
        if len <= MERGE_LEN_MAX && len.is_multiple_of(8) {
            while path.segment.len() <= MERGE_LEN_MAX && self.merge(&path) {
                path = self.own_path(hash);
            }
        }
        if self.is_empty() {
            let root = std::mem::replace(&mut self.root, Child::NONE);
            // SAFETY: the table's own reference, which it forgets.
            unsafe { node::leave(root, &mut self.ledger) };
            return;
        }
        let len = path.segment.len();
        let class = segment::class_for(len + len / 4);
        if class + 2 <= path.segment.class() {
            // SAFETY: the path is owned, and the old segment's place is taken at once.
            let smaller = unsafe { path.segment.resize(class, &mut self.ledger) };
            self.put(path.last(), smaller.child(path.depth));
        }
    }

    /// Merges the segment at the end of an owned path with its neighbour, if that is a segment too and both are small;
    /// says whether it did. The path is then no longer one.
    fn merge(&mut self, path: &Path) -> bool {
        let Some(step) = path.last() else { return false };
        let inner = step.inner;
        let (first, span) = inner.span(step.index);
        let neighbour = inner.slot(first ^ span);
        if neighbour.is_inner() || neighbour.depth() != path.depth {
            return false;
        }
        // SAFETY: the node holds it.
        let other = unsafe { Segment::of(neighbour) };
        let len = path.segment.len() + other.len();
        if len > MERGED_LEN_MAX {
            return false;
        }
        let merged = Segment::new(segment::class_for(len + len / 8), &mut self.ledger);
        // SAFETY: both references were the node's, which gets another child instead; unsharing makes the neighbour ours
        // alone; the new segment is ours and has room.
        unsafe {
            let other = Segment::of(node::unshare(neighbour, &mut self.ledger));
            path.segment.dissolve(&mut self.ledger, |entry, _| merged.insert(entry));
            other.dissolve(&mut self.ledger, |entry, _| merged.insert(entry));
        }
        let depth = path.depth - 1;
        let above = path.len.checked_sub(2).and_then(|above| path.steps[above]);
        let node_depth = above.map_or(0, |above| above.inner.slot(above.index).depth());
        if depth == 0 {
            // The node has one child left, which takes its place.
            // SAFETY: the path is owned.
            unsafe { inner.free(&mut self.ledger) };
            self.put(above, merged.child(node_depth));
            return true;
        }
        // SAFETY: the path is owned.
        unsafe { inner.set_slots(first & !span, span * 2, merged.child(depth)) };
        if inner.children().all(|child| child.depth() < inner.bits()) {
            // SAFETY: the path is owned, and the node's place above is taken at once.
            let smaller = unsafe { inner.resize(inner.bits() - 1, &mut self.ledger) };
            self.put(above, smaller.child(node_depth));
        }
        true
    }
}

/// On which side of the split each entry belongs, as a bit each in the order in which they are taken out.
fn sides(whole: Segment, bit: u32, hasher: &Hasher) -> u128 {
    whole.prefetch_entries();
    whole
        .entries()
        .enumerate()
        .filter(|(_, entry)| hasher.hash(entry.key()).0 << bit >> 63 == 1)
        .fold(0, |sides, (index, _)| sides | 1 << index)
}
