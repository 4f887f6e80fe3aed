//! A tree laid out for a number of entries that is known ahead.
//!
//! ```text
//!   entries expected     600
//!                      350 │ 250            hashes are spread unevenly, see `crate::hash`
//!                  190 │160│…               halved until a segment takes what is expected
//!                100│90│                    each half a child, one bit deeper
//! ```
//!
//! Grown entry by entry, a table of a million entries splits its segments some fourteen thousand times and enlarges them
//! ten times as often. What is laid out ahead does neither, but for where chance has put more entries than expected.

use super::Table;
use super::child::Child;
use super::node::{self, BITS_MAX, Inner, Summary};
use super::segment::{self, NEVER, Segment};
use super::write::SPLIT_LEN;
use crate::hash::{POSITION_BITS, share_below};

/// A segment is laid out for at most so many entries: with what chance adds, few have more than one takes.
const SEGMENT_LEN_MAX: f64 = 0.88 * SPLIT_LEN as f64;

const EMPTY: Summary = Summary {
    len: 0,
    expiring: 0,
    soonest: NEVER,
};

/// The hashes that begin with the same bits.
#[derive(Clone, Copy)]
struct Region {
    prefix: u64,
    bits: u32,
}

impl Region {
    /// How many of `len` entries are expected here.
    fn expected(self, len: f64) -> f64 {
        let width = (1_u64 << self.bits) as f64;
        let from = self.prefix as f64 / width;
        len * (share_below(from + 1.0 / width) - share_below(from))
    }

    fn halves(self) -> [Self; 2] {
        [0, 1].map(|bit| Self {
            prefix: self.prefix << 1 | bit,
            bits: self.bits + 1,
        })
    }
}

impl Table {
    /// Lays the table out for `len` entries in all, those that it has among them. It takes about as much memory then as if
    /// it had them already, without the entries themselves.
    pub fn prepare(&mut self, len: u64) {
        let whole = Region { prefix: 0, bits: 0 };
        if len <= self.len() || len as f64 <= SEGMENT_LEN_MAX {
            return;
        }
        let old = self.root;
        self.root = self.laid_out_node(whole, len as f64).child(0);
        if !old.is_none() {
            self.move_in(old);
        }
    }

    fn laid_out_node(&mut self, region: Region, len: f64) -> Inner {
        let mut children = Vec::new();
        for half in region.halves() {
            self.lay_out(half, len, 1, &mut children);
        }
        // There are two at least.
        let bits = children.iter().map(|child| child.depth()).max().unwrap_or(1);
        let spans = children.iter().map(|child| (*child, 1 << (bits - child.depth())));
        let slots: Vec<Child> = spans
            .flat_map(|(child, span)| std::iter::repeat_n(child, span))
            .collect();
        Inner::new(bits, |index| slots[index], EMPTY, &mut self.ledger)
    }

    /// Makes what takes the entries of a region, `depth` bits below its node.
    fn lay_out(&mut self, region: Region, len: f64, depth: u32, children: &mut Vec<Child>) {
        let expected = region.expected(len);
        if expected <= SEGMENT_LEN_MAX || region.bits == POSITION_BITS {
            // It grows to what chance makes of it.
            let sure = (expected - 2.0 * expected.sqrt()).clamp(0.0, SPLIT_LEN as f64);
            let segment = Segment::new(segment::class_for(sure as usize), &mut self.ledger);
            children.push(segment.child(depth));
        } else if depth < BITS_MAX {
            for half in region.halves() {
                self.lay_out(half, len, depth + 1, children);
            }
        } else {
            children.push(self.laid_out_node(region, len).child(depth));
        }
    }

    /// Puts the entries under `child`, the reference to which is the caller's and given up, into the table.
    fn move_in(&mut self, child: Child) {
        // SAFETY: the reference is the caller's; what is unshared is the table's alone, and not used again once it is
        // dissolved or freed.
        unsafe {
            let child = node::unshare(child, &mut self.ledger);
            if child.is_inner() {
                let inner = Inner::of(child);
                let below: Vec<Child> = inner.children().collect();
                inner.free(&mut self.ledger);
                below.into_iter().for_each(|child| self.move_in(child));
                return;
            }
            let segment = Segment::of(child);
            segment.prefetch_entries();
            let mut entries = Vec::with_capacity(segment.len());
            let mark = segment.mark().clone();
            segment.dissolve(&mut self.ledger, |entry, _| entries.push(entry));
            for entry in entries {
                let hash = self.hasher.hash(entry.key());
                let path = self.own_path(hash);
                path.segment.mark().inherit(&mark);
                self.add(path, hash, entry);
            }
        }
    }
}
