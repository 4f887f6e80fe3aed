//! Writing: making a path one's own, splitting what is full, merging what has become small.

use super::Table;
use super::child::Child;
use super::node::{self, BITS_MAX, Inner};
use super::segment::{self, Filling, NEVER, Segment};
use crate::account::Ledger;
use crate::entry::Entry;
use crate::hash::{Hasher, KeyHash, POSITION_BITS, next_bit, same_window};
use base::Millis;

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
}

/// The way from the root to a segment, every node of which has the table as its only holder.
///
/// It knows its ends. What lies between is found again by the hash where it is needed, which the nodes are near for.
pub(super) struct Path {
    root: Child,
    hash: KeyHash,
    pub(super) segment: Segment,
    /// Bits of the hash that led to the segment's node.
    consumed: u32,
    /// Bits of its node's directory index that are the segment's own.
    depth: u32,
}

enum Room {
    Split,
    Grow,
}

impl Path {
    /// The inner nodes, from the root on, each with the bits of the hash that led there.
    #[inline]
    fn inner_nodes(&self) -> impl Iterator<Item = (Inner, u32)> {
        let hash = self.hash;
        let (mut child, mut consumed) = (self.root, 0);
        std::iter::from_fn(move || {
            if !child.is_inner() {
                return None;
            }
            // SAFETY: the nodes of a path live as long as it is used.
            let inner = unsafe { Inner::of(child) };
            let step = (inner, consumed);
            child = inner.towards(hash, consumed);
            consumed += inner.bits();
            Some(step)
        })
    }

    /// The last step, and the one before it.
    fn last_two(&self) -> (Option<Step>, Option<Step>) {
        let mut steps = (None, None);
        for (inner, consumed) in self.inner_nodes() {
            let index = inner.index(self.hash, consumed);
            steps = (Some(Step { inner, index }), steps.0);
        }
        steps
    }

    /// How many bits of the hash led to the segment.
    #[inline]
    fn bits(&self) -> u32 {
        self.consumed + self.depth
    }

    /// The tag that this hash has in the segment.
    #[inline]
    pub(super) fn tag(&self, hash: KeyHash) -> u16 {
        hash.tag(self.bits())
    }

    /// The slot of `key` in the segment.
    #[inline]
    pub(super) fn find(&self, key: &[u8], hash: KeyHash) -> Option<usize> {
        self.segment.find(key, self.tag(hash))
    }

    /// The slot of `key` in the segment, or else the free one where it would be put if there is room.
    #[inline]
    pub(super) fn look(&self, key: &[u8], hash: KeyHash) -> Result<usize, usize> {
        self.segment.look(key, self.tag(hash))
    }

    /// What must happen before the segment takes one more entry.
    #[inline]
    fn room_needed(&self) -> Option<Room> {
        let len = self.segment.len();
        if len >= SPLIT_LEN && self.bits() < POSITION_BITS {
            return Some(Room::Split);
        }
        (len >= self.segment.capacity()).then_some(Room::Grow)
    }

    /// Changes the counts of the segment and of all nodes above it.
    pub(super) fn adjust(&self, len: i64, expiring: i64, soonest: i64) {
        // SAFETY: a path's nodes have the table as their only holder, which is borrowed for writing where paths are.
        unsafe {
            self.segment.adjust(len as isize, expiring as isize, soonest);
            self.inner_nodes()
                .for_each(|(inner, _)| inner.adjust(len, expiring, soonest));
        }
    }

    /// Counts a new entry in the segment and in all nodes above it.
    #[inline]
    fn count(&self, expiry: Option<Millis>) {
        if let Some(Millis(expiry)) = expiry {
            return self.adjust(1, 1, expiry);
        }
        // SAFETY: as for `adjust`.
        unsafe {
            self.segment.count_one();
            self.inner_nodes().for_each(|(inner, _)| inner.count_one());
        }
    }
}

impl Table {
    /// The path to the segment of this hash, made the table's own.
    #[inline]
    pub(super) fn own_path(&mut self, hash: KeyHash) -> Path {
        let root = self.root;
        if root.is_none() {
            return self.unshared_path(hash);
        }
        let (mut child, mut consumed, mut above) = (root, 0, 0);
        while child.is_inner() {
            // SAFETY: the table holds its root, and every node its children.
            let inner = unsafe { Inner::of(child) };
            if !inner.count().is_alone(child.claim()) {
                return self.unshared_path(hash);
            }
            child = inner.towards(hash, consumed);
            above = consumed;
            consumed += inner.bits();
        }
        // SAFETY: as above.
        let segment = unsafe { Segment::of(child) };
        if !segment.count().is_alone(child.claim()) {
            return self.unshared_path(hash);
        }
        Path {
            root,
            hash,
            segment,
            consumed: above,
            depth: child.depth(),
        }
    }

    /// As [`Self::own_path`], where a node on the way is shared, or there is none.
    #[cold]
    fn unshared_path(&mut self, hash: KeyHash) -> Path {
        if self.root.is_none() {
            self.root = Segment::new(0, &mut self.ledger).child(0);
        }
        let mut last = None;
        let (mut above, mut consumed) = (0, 0);
        let mut child = self.root;
        loop {
            if !child.is_inner() {
                // Its count is in another cache line than the slots: let both come at once.
                // SAFETY: held by the node above, or as the root.
                unsafe { Segment::of(child) }.prefetch_group(hash.tag(above + child.depth()));
            }
            // SAFETY: the reference is the table's or its own node's, where the copy replaces it just below.
            let owned = unsafe { node::unshare(child, &mut self.ledger) };
            if owned != child {
                self.put(last, owned);
            }
            if !owned.is_inner() {
                return Path {
                    root: self.root,
                    hash,
                    // SAFETY: held by the node above, or as the root.
                    segment: unsafe { Segment::of(owned) },
                    consumed: above,
                    depth: owned.depth(),
                };
            }
            // SAFETY: as above.
            let inner = unsafe { Inner::of(owned) };
            let index = inner.index(hash, consumed);
            last = Some(Step { inner, index });
            above = consumed;
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
        let path = self.with_room(path);
        let expiry = entry.expiry();
        // SAFETY: the path is owned, and there is room.
        unsafe { path.segment.place(entry.with_tag(path.tag(hash))) };
        path.count(expiry);
    }

    /// As [`Self::add`], of an entry whose tag is that of the path, where `free` is what [`Path::look`] said.
    #[inline]
    pub(super) fn add_at(&mut self, path: Path, free: usize, entry: Entry) {
        if path.room_needed().is_some() {
            let hash = path.hash;
            return self.add(path, hash, entry);
        }
        let expiry = entry.expiry();
        // SAFETY: the path is owned, and where there is room the slot is a free one.
        unsafe { path.segment.place_at(free, entry) };
        path.count(expiry);
    }

    /// The path of the same hash to a segment with room for one more entry.
    fn with_room(&mut self, mut path: Path) -> Path {
        while let Some(room) = path.room_needed() {
            // All of it is read, of which the search has seen a group or two.
            path.segment.prefetch_groups();
            match room {
                Room::Split => self.split(&path),
                Room::Grow => self.grow(&path),
            }
            path = self.own_path(path.hash);
        }
        path
    }

    /// Gives a segment more slots.
    fn grow(&mut self, path: &Path) {
        // SAFETY: the path is owned, and the old segment's place is taken at once.
        let grown = unsafe { path.segment.resize(path.segment.class() + 1, &mut self.ledger) };
        self.put(path.last_two().0, grown.child(path.depth));
    }

    /// Splits a segment by the next bit of its entries' hashes.
    fn split(&mut self, path: &Path) {
        let depth = path.depth;
        let whole = node::Summary {
            len: path.segment.len() as u64,
            expiring: path.segment.expiring() as u64,
            soonest: path.segment.soonest(),
        };
        let [low, high] = self.halves(path.segment, path.bits());
        let (last, above) = path.last_two();
        let Some(step) = last else {
            let halves = [low.child(1), high.child(1)];
            self.root = Inner::new(1, |index| halves[index], whole, &mut self.ledger).child(0);
            return;
        };
        let bits = step.inner.bits();
        if depth == BITS_MAX {
            let halves = [low.child(1), high.child(1)];
            let inner = Inner::new(1, |index| halves[index], whole, &mut self.ledger);
            self.put(Some(step), inner.child(depth));
            return;
        }
        let (mut inner, mut index) = (step.inner, step.index);
        if depth == bits {
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

    /// Divides the entries of an owned segment, which is gone afterwards, by the bit of their hashes that follows the
    /// `depth` bits which led to it. The tags tell that bit, so that no entry is looked at, unless one of them expires or
    /// their tags must change.
    fn halves(&mut self, whole: Segment, depth: u32) -> [Segment; 2] {
        let hasher = (!same_window(depth, depth + 1)).then(|| self.hasher.clone());
        let expire = whole.expiring() > 0;
        if hasher.is_some() || expire {
            whole.prefetch_entries();
        }
        let len = whole.len();
        let high_len = whole.count_where(|tag| next_bit(tag, depth));
        let lens = [len - high_len, high_len];
        let mut halves = lens.map(|len| Filling::new(segment::class_for(len), &mut self.ledger));
        halves.iter().for_each(|half| half.segment.mark().inherit(whole.mark()));
        // SAFETY: the path to the segment is owned; the new ones are ours, with room for what was counted.
        unsafe {
            whole.dissolve(&mut self.ledger, |entry, _| {
                let half = &mut halves[usize::from(next_bit(entry.tag(), depth))];
                let entry = match &hasher {
                    Some(hasher) => retag(entry, hasher, depth + 1),
                    None => entry,
                };
                if expire && let Some(Millis(expiry)) = entry.expiry() {
                    half.segment.adjust(0, 1, expiry);
                }
                half.place(entry);
            });
            for (half, len) in halves.iter().zip(lens) {
                half.segment.adjust(len as isize, 0, NEVER);
            }
        }
        halves.map(|half| half.segment)
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
            self.put(path.last_two().0, smaller.child(path.depth));
        }
    }

    /// Merges the segment at the end of an owned path with its neighbour, if that is a segment too and both are small;
    /// says whether it did. The path is then no longer one.
    fn merge(&mut self, path: &Path) -> bool {
        let (Some(step), above) = path.last_two() else {
            return false;
        };
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
        let bits = path.bits() - 1;
        let hasher = (!same_window(bits, bits + 1)).then(|| self.hasher.clone());
        let merged = Segment::new(segment::class_for(len + len / 8), &mut self.ledger);
        let take = |entry: Entry, _: &mut Ledger| {
            let entry = match &hasher {
                Some(hasher) => retag(entry, hasher, bits),
                None => entry,
            };
            // SAFETY: the new segment is ours and has room.
            unsafe { merged.insert(entry) };
        };
        // SAFETY: both references were the node's, which gets another child instead; unsharing makes the neighbour ours
        // alone.
        unsafe {
            let other = Segment::of(node::unshare(neighbour, &mut self.ledger));
            merged.mark().inherit(path.segment.mark());
            merged.mark().inherit(other.mark());
            path.segment.dissolve(&mut self.ledger, take);
            other.dissolve(&mut self.ledger, take);
        }
        let depth = path.depth - 1;
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

/// The entry with the tag that it has in a segment to which `depth` bits of its hash lead.
fn retag(entry: Entry, hasher: &Hasher, depth: u32) -> Entry {
    let tag = hasher.hash(entry.key()).tag(depth);
    entry.with_tag(tag)
}
