//! Reading more than one entry: in order, from a cursor, at random, by expiry.

use base::{Millis, Rng};

use super::Table;
use super::child::Child;
use super::node::{self, Inner};
use super::segment::{NEVER, Segment};
use crate::entry::Entry;
use crate::hash::{KeyHash, POSITION_BITS};

/// Tries at finding a random entry by chance before it is counted out.
const RANDOM_TRIES: u32 = 64;

/// Segments that one call of [`Table::next_expired`] looks through at most.
const EXPIRY_SEGMENTS_MAX: u32 = 64;

/// Segments that one call of [`Table::soonest_entry`] looks through at most, once it has something to show.
const SOONEST_SEGMENTS_MAX: u32 = 64;

/// Which entries a sample is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// All.
    All,
    /// Those with an expiry.
    Expiring,
}

impl Sampled {
    /// How many of them are below `child`, which lives.
    fn in_child(self, child: Child) -> u64 {
        // SAFETY: held by the node or table it was taken from, by what the callers in this file do.
        let summary = unsafe { node::summary(child) };
        match self {
            Self::All => summary.len,
            Self::Expiring => summary.expiring,
        }
    }

    fn takes(self, entry: &Entry) -> bool {
        self == Self::All || entry.expiry().is_some()
    }
}

/// What a bounded search for an expired entry came to.
#[derive(Debug)]
pub enum Expired<'a> {
    /// This one's time has come.
    Found(&'a Entry),
    /// There is none.
    None,
    /// Not yet known: the search used up its bound. The next one goes on where it ended.
    More,
}

impl Table {
    /// All entries, segment by segment in the order of their hashes.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let mut stack = vec![self.root];
        stack.retain(|root| !root.is_none());
        std::iter::from_fn(move || {
            loop {
                let child = stack.pop()?;
                if !child.is_inner() {
                    // SAFETY: held by the table, directly or not.
                    let segment = unsafe { Segment::of(child) };
                    segment.prefetch_entries();
                    return Some(segment.entries());
                }
                let below = stack.len();
                // SAFETY: as above.
                stack.extend(unsafe { Inner::of(child) }.children());
                stack[below..].reverse();
            }
        })
        .flatten()
    }

    /// Visits `count` entries from position `cursor` on, or a few more, and gives the cursor to go on from. Cursors are
    /// positions in the order of the hashes, below 2⁴⁸; 0 starts, and as an answer means the end.
    ///
    /// An entry that is there during a whole walk is visited by it, however the tree changes meanwhile, and just once;
    /// one that comes or goes meanwhile may be visited or not.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(&Entry)) -> u64 {
        let end = 1 << POSITION_BITS;
        let mut position = cursor;
        let mut left = count.max(1);
        while position < end {
            let Some((segment, bits)) = self.segment(KeyHash(position << (64 - POSITION_BITS))) else {
                return 0;
            };
            segment.prefetch_entries();
            let mut entries: Vec<(u64, &Entry)> = segment
                .entries()
                .map(|entry| (self.hasher.hash(entry.key()).position(), entry))
                .filter(|(at, _)| *at >= position)
                .collect();
            entries.sort_unstable_by_key(|(at, _)| *at);
            let mut last = None;
            for (at, entry) in entries {
                // Entries at one position go together: no cursor lies between them.
                if left == 0 && last != Some(at) {
                    return at;
                }
                last = Some(at);
                left = left.saturating_sub(1);
                visit(entry);
            }
            // The first position after the segment's.
            position = ((position >> (POSITION_BITS - bits)) + 1) << (POSITION_BITS - bits);
            if left == 0 {
                break;
            }
        }
        if position < end { position } else { 0 }
    }

    /// A random entry, every one about equally likely.
    pub fn random(&self, rng: &mut Rng) -> Option<&Entry> {
        let len = self.len();
        if len == 0 {
            return None;
        }
        // A random position falls into segments as their share of all positions goes, so one that is denser than the
        // average must be taken more often than others: a rejection does that, up to twice the average.
        for _ in 0..RANDOM_TRIES {
            let (segment, bits) = self.segment(KeyHash(rng.next_u64()))?;
            let density = (segment.len() as u128) << bits;
            if u128::from(rng.below(2 * len)) < density {
                return segment.entries().nth(rng.below(segment.len() as u64) as usize);
            }
        }
        self.nth(rng.below(len))
    }

    fn nth(&self, index: u64) -> Option<&Entry> {
        let mut index = index;
        let mut child = self.root;
        loop {
            if !child.is_inner() {
                // SAFETY: held by the table, directly or not.
                return unsafe { Segment::of(child) }.entries().nth(index as usize);
            }
            // SAFETY: as above.
            child = unsafe { Inner::of(child) }.children().find(|child| {
                // SAFETY: held by the node above.
                let len = unsafe { node::summary(*child) }.len;
                let here = index < len;
                if !here {
                    index -= len;
                }
                here
            })?;
        }
    }

    /// Visits up to `count` entries that lie together at a random place, only those with an expiry if so wished; says how
    /// many. Enough for sampling: places follow from hashes, which know nothing of how entries are used. Fewer are
    /// visited where a segment has no more.
    pub fn sample<'a>(
        &'a self,
        which: Sampled,
        count: usize,
        rng: &mut Rng,
        visit: &mut dyn FnMut(&'a Entry),
    ) -> usize {
        let mut child = self.root;
        if child.is_none() {
            return 0;
        }
        while child.is_inner() {
            // SAFETY: held by the table, directly or not.
            let inner = unsafe { Inner::of(child) };
            let slots = 1_usize << inner.bits();
            let start = rng.below(slots as u64) as usize;
            let mut from_start = (0..slots).map(|index| inner.slot((start + index) % slots));
            let Some(below) = from_start.find(|below| which.in_child(*below) > 0) else {
                return 0;
            };
            child = below;
        }
        // SAFETY: as above.
        let segment = unsafe { Segment::of(child) };
        let entries: Vec<&Entry> = segment.entries().collect();
        if entries.is_empty() {
            return 0;
        }
        segment.prefetch_entries();
        let (before, after) = entries.split_at(rng.below(entries.len() as u64) as usize);
        let found = after.iter().chain(before).filter(|entry| which.takes(entry));
        found.take(count).map(|entry| visit(entry)).count()
    }

    /// A random entry of those with an expiry, every one equally likely.
    pub fn random_expiring(&self, rng: &mut Rng) -> Option<&Entry> {
        let expiring = self.expiring_len();
        if expiring == 0 {
            return None;
        }
        let mut index = rng.below(expiring);
        let mut child = self.root;
        while child.is_inner() {
            // SAFETY: held by the table, directly or not.
            child = unsafe { Inner::of(child) }.children().find(|below| {
                let expiring = Sampled::Expiring.in_child(*below);
                let here = index < expiring;
                if !here {
                    index -= expiring;
                }
                here
            })?;
        }
        // SAFETY: as above.
        let entries = unsafe { Segment::of(child) }.entries();
        entries.filter(|entry| entry.expiry().is_some()).nth(index as usize)
    }

    /// The entry that expires first, or, where finding it would take long because many expiries were pushed on, one that
    /// expires soon.
    #[must_use]
    pub fn soonest_entry(&self) -> Option<&Entry> {
        if self.summary().soonest == NEVER {
            return None;
        }
        let mut segments_left = SOONEST_SEGMENTS_MAX;
        soonest_below(self.root, &mut segments_left).map(|(entry, _)| entry)
    }

    /// No entry expires before this moment; `None` if none expires at all. Takes constant time, and is exact once
    /// [`Self::next_expired`] has looked at it in vain.
    #[must_use]
    pub fn soonest_expiry(&self) -> Option<Millis> {
        let soonest = self.summary().soonest;
        (soonest != NEVER).then_some(Millis(soonest))
    }

    /// An entry whose expiry is `now` or earlier.
    ///
    /// Nodes know a moment before which nothing below them expires. When an entry gets a later expiry or goes, they
    /// keep theirs, which is then too early; a search that finds it so corrects it, and looks at a limited number of
    /// segments, so that no call takes long however many expiries were pushed on.
    #[must_use]
    pub fn next_expired(&self, now: Millis) -> Expired<'_> {
        if self.summary().soonest > now.0 {
            return Expired::None;
        }
        let mut segments_left = EXPIRY_SEGMENTS_MAX;
        expired_below(self.root, now.0, &mut segments_left)
    }
}

/// The entry under `child` that expires first, as far as the segments left allow; corrects bounds on the way.
fn soonest_below<'a>(child: Child, segments_left: &mut u32) -> Option<(&'a Entry, i64)> {
    if !child.is_inner() {
        *segments_left = segments_left.saturating_sub(1);
        // SAFETY: held by the table, directly or not, which is borrowed for as long as the result.
        return unsafe { Segment::of(child) }.soonest_entry();
    }
    // SAFETY: as above.
    let inner = unsafe { Inner::of(child) };
    let mut best: Option<(&'a Entry, i64)> = None;
    loop {
        // SAFETY: held by the node above.
        let bound = |below: &Child| unsafe { node::summary(*below) }.soonest;
        let first = inner.children().min_by_key(bound)?;
        let bound = bound(&first);
        if bound == NEVER || best.is_some_and(|(_, expiry)| expiry <= bound) {
            inner.set_soonest(bound);
            return best;
        }
        let found = soonest_below(first, segments_left);
        best = match (best, found) {
            (Some(a), Some(b)) => Some(if b.1 < a.1 { b } else { a }),
            (a, b) => a.or(b),
        };
        if *segments_left == 0 && best.is_some() {
            return best;
        }
    }
}

/// Looks for an expired entry under `child`, whose bound says that there may be one, and corrects bounds on the way.
fn expired_below<'a>(child: Child, now: i64, segments_left: &mut u32) -> Expired<'a> {
    if !child.is_inner() {
        if *segments_left == 0 {
            return Expired::More;
        }
        *segments_left -= 1;
        // SAFETY: held by the table, directly or not, which is borrowed for as long as the result.
        return match unsafe { Segment::of(child) }.soonest_entry() {
            Some((entry, expiry)) if expiry <= now => Expired::Found(entry),
            _ => Expired::None,
        };
    }
    // SAFETY: as above.
    let inner = unsafe { Inner::of(child) };
    let mut soonest = NEVER;
    for below in inner.children() {
        // SAFETY: held by the node above.
        let bound = || unsafe { node::summary(below) }.soonest;
        if bound() <= now {
            match expired_below(below, now, segments_left) {
                Expired::None => {}
                found => return found,
            }
        }
        soonest = soonest.min(bound());
    }
    inner.set_soonest(soonest);
    Expired::None
}
