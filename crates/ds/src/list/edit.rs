//! Changing a long list.

use super::node::{Form, Node};
use super::{Direction, EMPTY_BYTES, End, Limits, List};
use crate::bytes::Bytes;
use crate::listpack::{self, Listpack, Position};
use crate::seq::Item;

impl Node {
    fn new(text: &[u8], limits: &Limits, ledger: &mut crate::account::Ledger) -> Self {
        if limits.is_plain(text.len()) {
            Self::plain(text, ledger)
        } else {
            Self::of_one(text, ledger)
        }
    }

    /// The bytes of its listpack, decompressed; `None` of a plain node.
    fn pack_bytes(&self) -> Option<usize> {
        match self.view() {
            super::NodeRef::Pack(bytes) => Some(bytes.len()),
            super::NodeRef::Compressed { plain_bytes, .. } => Some(plain_bytes),
            super::NodeRef::Plain(_) => None,
        }
    }

    /// Whether there is room for one more entry of so many bytes.
    fn admits(&self, entry_bytes: usize, limits: &Limits) -> bool {
        self.pack_bytes()
            .is_some_and(|bytes| limits.admit(bytes, self.entries(), entry_bytes))
    }
}

impl List {
    /// Puts an element at an end.
    pub fn push(&mut self, end: End, text: &[u8], limits: &Limits) {
        let last = self.nodes.len().saturating_sub(1);
        let at = if end == End::Head { 0 } else { last };
        if self.takes(at, text, limits) {
            self.edit(at, |bytes| match end {
                End::Head => listpack::prepend(bytes, text),
                End::Tail => listpack::append(bytes, text),
            });
            return;
        }
        let node = Node::new(text, limits, &mut self.ledger);
        let depth = u64::from(limits.compress_depth);
        match end {
            End::Head => {
                self.nodes.insert(0, node, &mut self.ledger);
                self.settle(depth, limits);
            }
            End::Tail => {
                self.nodes.push(node, &mut self.ledger);
                self.settle((last + 1).wrapping_sub(depth), limits);
            }
        }
    }

    /// Puts a node of this listpack, which is not empty, at the tail.
    pub fn push_pack(&mut self, pack: &[u8], limits: &Limits) {
        let node = Node::pack(pack, &mut self.ledger);
        self.nodes.push(node, &mut self.ledger);
        self.settle(
            (self.nodes.len() - 1).wrapping_sub(u64::from(limits.compress_depth)),
            limits,
        );
    }

    /// Puts an element in so that it is the one at `index`; at the tail if there are not so many.
    pub fn insert(&mut self, index: u64, text: &[u8], limits: &Limits) {
        if index == 0 {
            return self.push(End::Head, text, limits);
        }
        let Some((at, within, _)) = self.nodes.locate(index) else {
            return self.push(End::Tail, text, limits);
        };
        if self.takes(at, text, limits) {
            self.edit(at, |bytes| {
                if let Some(position) = Listpack::new(bytes.as_slice()).seek(within as i64) {
                    listpack::insert_before(bytes, position, text);
                }
            });
            return self.settle(at, limits);
        }
        if within == 0 {
            return self.insert_between(at, text, limits);
        }
        self.split(at, within);
        self.insert_between(at + 1, text, limits);
        self.merge(at + 1, limits);
        self.merge(at, limits);
        for at in at.saturating_sub(1)..=at + 2 {
            self.settle(at, limits);
        }
    }

    /// Puts an element in before the node `at`, which is not the first.
    fn insert_between(&mut self, at: u64, text: &[u8], limits: &Limits) {
        if self.takes(at - 1, text, limits) {
            self.edit(at - 1, |bytes| listpack::append(bytes, text));
            return self.settle(at - 1, limits);
        }
        if self.takes(at, text, limits) {
            self.edit(at, |bytes| listpack::prepend(bytes, text));
            return self.settle(at, limits);
        }
        let node = Node::new(text, limits, &mut self.ledger);
        self.nodes.insert(at, node, &mut self.ledger);
        self.settle(at, limits);
    }

    /// Puts a text in place of the element at `index`, which must be there.
    pub fn set(&mut self, index: u64, text: &[u8], limits: &Limits) {
        let Some((at, within, node)) = self.nodes.locate(index) else {
            return;
        };
        if node.entries() == 1 {
            let new = Node::new(text, limits, &mut self.ledger);
            self.nodes.modify(at, &mut self.ledger, |node, ledger| {
                std::mem::replace(node, new).leave(ledger);
            });
            return self.settle(at, limits);
        }
        let mut scratch = Vec::new();
        let fits = match node.elements(&mut scratch) {
            super::Elements::Pack(pack) if !limits.is_plain(text.len()) => {
                let old_bytes = pack
                    .seek(within as i64)
                    .map_or(0, |position| entry_bytes(pack, position));
                let bytes = pack.bytes().len() - old_bytes + listpack::encoded_bytes(text);
                bytes <= limits.node_bytes.max(pack.bytes().len())
            }
            _ => false,
        };
        if fits {
            self.edit(at, |bytes| {
                if let Some(position) = Listpack::new(bytes.as_slice()).seek(within as i64) {
                    listpack::replace(bytes, position, text);
                }
            });
            self.settle(at, limits);
        } else {
            self.remove_range(index, index + 1, limits);
            self.insert(index, text, limits);
        }
    }

    /// Takes out the elements from `start` up to, not including, `end`.
    pub fn remove_range(&mut self, start: u64, end: u64, limits: &Limits) {
        let mut end = end.min(self.len());
        while start < end {
            let Some((at, within, node)) = self.nodes.locate(start) else {
                return;
            };
            let entries = node.entries() as u64;
            if within == 0 && entries <= end - start {
                let behind = self.nodes.locate(end).map_or(self.nodes.len(), |(at, ..)| at);
                let before = self.len();
                self.nodes.remove_range(at, behind, &mut self.ledger);
                end -= before - self.len();
            } else {
                let count = (entries - within).min(end - start);
                self.edit(at, |bytes| {
                    if let Some(position) = Listpack::new(bytes.as_slice()).seek(within as i64) {
                        listpack::delete(bytes, position, count as usize);
                    }
                });
                self.settle(at, limits);
                end -= count;
            }
        }
    }

    /// Takes out the first `most` elements, in this direction, that are equal to `text`; how many there were.
    pub fn remove_equal(&mut self, text: &[u8], most: u64, direction: Direction, limits: &Limits) -> u64 {
        let mut left = most;
        let mut at = match direction {
            Direction::Forward => 0,
            Direction::Back => self.nodes.len().wrapping_sub(1),
        };
        while left > 0 && at < self.nodes.len() {
            let (found, emptied) = self.remove_equal_in(at, text, left, direction, limits);
            left -= found;
            at = match direction {
                Direction::Forward if emptied => at,
                Direction::Forward => at + 1,
                Direction::Back => at.wrapping_sub(1),
            };
        }
        most - left
    }

    /// The same in one node; says also whether the node has gone.
    fn remove_equal_in(
        &mut self,
        at: u64,
        text: &[u8],
        most: u64,
        direction: Direction,
        limits: &Limits,
    ) -> (u64, bool) {
        let mut scratch = Vec::new();
        let mut found = Vec::new();
        let Some(node) = self.nodes.get(at) else {
            return (0, false);
        };
        let entries = node.entries();
        let equal = match node.elements(&mut scratch) {
            super::Elements::Plain(bytes) => usize::from(bytes == text),
            super::Elements::Pack(pack) => {
                let mut from = pack.first();
                while let Some(position) = from.and_then(|from| pack.find_from(from, text, 0)) {
                    found.push(position);
                    from = pack.next(position);
                }
                let most = usize::try_from(most).unwrap_or(usize::MAX).min(found.len());
                match direction {
                    Direction::Forward => found.truncate(most),
                    Direction::Back => drop(found.drain(..found.len() - most)),
                }
                found.len()
            }
        };
        if equal == entries {
            self.nodes.remove(at, &mut self.ledger).leave(&mut self.ledger);
            return (equal as u64, true);
        }
        if equal > 0 {
            self.edit(at, |bytes| {
                for position in found.iter().rev() {
                    listpack::delete(bytes, *position, 1);
                }
            });
            self.settle(at, limits);
        }
        (equal as u64, false)
    }

    /// Whether the node `at` has room for this element.
    fn takes(&self, at: u64, text: &[u8], limits: &Limits) -> bool {
        !limits.is_plain(text.len())
            && self
                .nodes
                .get(at)
                .is_some_and(|node| node.admits(listpack::encoded_bytes(text), limits))
    }

    fn edit(&mut self, at: u64, change: impl FnOnce(&mut crate::blob::BlobMut<'_>)) {
        self.nodes
            .modify(at, &mut self.ledger, |node, ledger| node.edit(ledger, change));
    }

    /// Divides a node before its entry `within`.
    fn split(&mut self, at: u64, within: u64) {
        let back = self.nodes.modify(at, &mut self.ledger, |node, ledger| {
            node.edit(ledger, |bytes| {
                let position = Listpack::new(bytes.as_slice()).seek(within as i64);
                position.map(|position| listpack::split_off(bytes, position))
            })
        });
        if let Some(back) = back {
            let node = Node::pack(&back, &mut self.ledger);
            self.nodes.insert(at + 1, node, &mut self.ledger);
        }
    }

    /// Joins the node `at` with the one before it, if both together are a node that may be.
    fn merge(&mut self, at: u64, limits: &Limits) {
        let Some(before) = at.checked_sub(1) else { return };
        let (Some(left), Some(right)) = (self.nodes.get(before), self.nodes.get(at)) else {
            return;
        };
        let (Some(left_bytes), Some(right_bytes)) = (left.pack_bytes(), right.pack_bytes()) else {
            return;
        };
        let fits = left_bytes + right_bytes - EMPTY_BYTES <= limits.node_bytes
            && left.entries() + right.entries() <= limits.node_entries;
        if !fits {
            return;
        }
        let right = self.nodes.remove(at, &mut self.ledger);
        right
            .view()
            .with_bytes(|pack| self.edit(before, |bytes| listpack::merge(bytes, Listpack::new(pack))));
        right.leave(&mut self.ledger);
    }

    /// Compresses the node `at` if it lies deep enough.
    fn settle(&mut self, at: u64, limits: &Limits) {
        let depth = u64::from(limits.compress_depth);
        if depth == 0 || at < depth || at >= self.nodes.len().saturating_sub(depth) {
            return;
        }
        if self.nodes.get(at).is_some_and(|node| node.form() == Form::Pack) {
            self.nodes
                .modify(at, &mut self.ledger, |node, ledger| node.compress(ledger));
        }
    }
}

fn entry_bytes(pack: Listpack<'_>, position: Position) -> usize {
    pack.next(position).unwrap_or(pack.end()).offset() - position.offset()
}
