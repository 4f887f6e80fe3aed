//! Streams: entries by id, and the groups that read them.
//!
//! ```text
//!   Stream ─┬─ nodes: Seq ──► (master id, blob) (master id, blob) …     a blob is a listpack of about a hundred entries,
//!           │                                                           as it is saved; see `node`
//!           ├─ groups: Seq, by name ──► Group ─┬─ pending: Seq by id ──► (id, when, how often, to whom)
//!           │                                  ├─ consumers: Seq by number ──► Consumer ── pending: Seq of ids
//!           │                                  └─ names: Seq of numbers, by name
//!           └─ length, last id, first id, largest deleted id, how many were ever added
//! ```
//!
//! Nodes, groups and consumers are counted blocks: a fork shares them all, and a write copies the ones on its way.

mod group;
mod id;
mod node;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;

use crate::account::{Account, Ledger};
use crate::blob::Blob;
use crate::object::Container;
use crate::seq::{self, Item, Seq};
use group::Shared;
use node::NodeRef;

pub use group::{Consumer, ConsumerId, Group, GroupMut, Pending};
pub use id::StreamId;
pub use node::{Entry, validate_node};

/// Up to which size entries go into one node; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// Bytes of its listpack.
    pub bytes: u64,
    /// Entries, deleted ones too.
    pub entries: u64,
}

/// What a stream knows of itself beside its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Entries that are there.
    pub length: u64,
    /// The id of the last entry added, or a later one that was set.
    pub last_id: StreamId,
    /// The id of the first entry; zero where there is none.
    pub first_id: StreamId,
    /// The largest id that was ever deleted; zero if none was.
    pub max_deleted_id: StreamId,
    /// Entries that were ever added.
    pub entries_added: u64,
}

/// From which end a trim is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// So many entries stay.
    Length(u64),
    /// Entries from this id on stay.
    Id(StreamId),
}

/// How exact a trim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimBy {
    /// To the entry.
    Entries,
    /// Whole nodes, of at most so many entries together; 0 is no limit.
    Nodes(u64),
}

/// A stream.
pub struct Stream {
    nodes: Seq<Node>,
    groups: Seq<Shared<Group>>,
    counters: Counters,
    ledger: Ledger,
}

struct Node {
    master: StreamId,
    pack: Blob,
}

impl Item for Node {
    fn sort_key(&self) -> u64 {
        self.master.ms
    }

    fn prefetch(&self) {
        self.pack.prefetch();
    }

    fn share(&self) -> Self {
        Self {
            master: self.master,
            pack: self.pack.share(),
        }
    }

    fn leave(self, ledger: &mut Ledger) {
        self.pack.leave(ledger);
    }

    fn release(self, account: &Account) {
        self.pack.release(account);
    }
}

impl Node {
    fn view(&self) -> NodeRef<'_> {
        NodeRef::new(self.master, self.pack.as_slice())
    }
}

impl Stream {
    /// An empty stream. What frozen forks of it keep is counted in `account`.
    #[must_use]
    pub fn new(account: Arc<Account>) -> Self {
        Self {
            nodes: Seq::new(),
            groups: Seq::new(),
            counters: Counters::default(),
            ledger: Ledger::new(account),
        }
    }

    /// What it knows of itself.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sets the last id, and with them how many were added and the largest deleted id, where given.
    pub fn set_counters(&mut self, last_id: StreamId, entries_added: Option<u64>, max_deleted_id: Option<StreamId>) {
        let counters = &mut self.counters;
        counters.last_id = last_id;
        counters.entries_added = entries_added.unwrap_or(counters.entries_added);
        counters.max_deleted_id = max_deleted_id.unwrap_or(counters.max_deleted_id);
    }

    /// Sets the first id, as a saved stream remembers it.
    pub fn set_first_id(&mut self, first_id: StreamId) {
        self.counters.first_id = first_id;
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.counters.length
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The nodes as they are saved: master ids and listpacks.
    pub fn nodes(&self) -> impl Iterator<Item = (StreamId, &[u8])> {
        self.nodes.iter_from(0).map(|node| (node.master, node.pack.as_slice()))
    }

    /// How many nodes there are.
    #[must_use]
    pub fn node_count(&self) -> u64 {
        self.nodes.len()
    }

    /// Puts a saved node behind the others; false, and nothing is done, if its id is not larger than theirs. The node
    /// must be valid ([`validate_node`]).
    pub fn push_node(&mut self, master: StreamId, pack: &[u8]) -> bool {
        if self.nodes.last().is_some_and(|last| last.master >= master) {
            return false;
        }
        self.counters.length += NodeRef::new(master, pack).live;
        let pack = Blob::new(&[pack], &mut self.ledger);
        self.nodes.push(Node { master, pack }, &mut self.ledger);
        true
    }

    /// Adds an entry. `pairs` are fields and values in turn.
    ///
    /// Panics if `id` is not larger than the last one.
    pub fn append(&mut self, id: StreamId, pairs: &[&[u8]], limits: NodeLimits) {
        assert!(id > self.counters.last_id, "{id} after {}", self.counters.last_id);
        let bytes = pairs.iter().map(|word| word.len()).sum();
        let has_room = |node: &Node| node::has_room(node.pack.as_slice(), node.master, bytes, limits);
        if !self.nodes.last().is_some_and(has_room) {
            self.begin_node(id, pairs);
        }
        let last = self.nodes.len() - 1;
        self.nodes.modify(last, &mut self.ledger, |node, ledger| {
            node::append(&mut node.pack.make_mut(ledger), node.master, id, pairs);
        });
        let counters = &mut self.counters;
        counters.length += 1;
        counters.entries_added += 1;
        counters.last_id = id;
        if counters.length == 1 {
            counters.first_id = id;
        }
    }

    fn begin_node(&mut self, id: StreamId, pairs: &[&[u8]]) {
        let pack = Blob::new(&[&node::new_node(pairs)], &mut self.ledger);
        self.nodes.push(Node { master: id, pack }, &mut self.ledger);
    }

    /// The index of the node that `id` would be in: the last that begins at or before it.
    fn node_of(&self, id: StreamId) -> Option<u64> {
        let after = self.nodes.partition_point_by_key(id.ms, |node| node.master <= id);
        after.checked_sub(1)
    }

    /// Whether there is an entry of this id.
    #[must_use]
    pub fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    /// The entry of this id.
    #[must_use]
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        let node = self.nodes.get(self.node_of(id)?)?;
        let mut entries = node.view().entries();
        entries.find(|entry| entry.id() == id && !entry.is_deleted())
    }

    /// The entries from `start` to `end`, both included.
    #[must_use]
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        let first = self.node_of(start).unwrap_or(0);
        Range {
            nodes: self.nodes.iter_from(first),
            entries: None,
            start,
            end,
        }
    }

    /// The same entries backwards, from `end` to `start`.
    #[must_use]
    pub fn range_back(&self, start: StreamId, end: StreamId) -> RangeBack<'_> {
        RangeBack {
            // Before the first node there is nothing, and no index leads there.
            nodes: self.nodes.iter_back_from(self.node_of(end).unwrap_or(u64::MAX)),
            entries: None,
            start,
            end,
        }
    }

    /// The first entry that is there.
    #[must_use]
    pub fn first(&self) -> Option<Entry<'_>> {
        self.range(StreamId::MIN, StreamId::MAX).next()
    }

    /// The id of the first entry that was not cleared away, be it deleted or not.
    #[must_use]
    pub fn first_with_deleted(&self) -> Option<StreamId> {
        let first = self.nodes.first()?;
        first.view().entries().next().map(|entry| entry.id())
    }

    /// The last entry that is there.
    #[must_use]
    pub fn last(&self) -> Option<Entry<'_>> {
        self.range_back(StreamId::MIN, StreamId::MAX).next()
    }

    /// Deletes the entry of this id; whether there was one. Leaves first id and largest deleted id alone.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(index) = self.node_of(id) else { return false };
        if !self.contains(id) {
            return false;
        }
        let live = self.nodes.get(index).map_or(0, |node| node.view().live);
        if live <= 1 {
            self.nodes.remove(index, &mut self.ledger).leave(&mut self.ledger);
        } else {
            self.nodes.modify(index, &mut self.ledger, |node, ledger| {
                node::delete(&mut node.pack.make_mut(ledger), node.master, id);
            });
        }
        self.counters.length -= 1;
        true
    }

    /// Finds the first id anew, and remembers a deleted one, after deletions.
    pub fn note_deleted(&mut self, largest: Option<StreamId>) {
        if let Some(largest) = largest {
            self.counters.max_deleted_id = self.counters.max_deleted_id.max(largest);
        }
        self.find_first_id();
    }

    fn find_first_id(&mut self) {
        self.counters.first_id = self.first().map_or(StreamId::MIN, |entry| entry.id());
    }

    /// Removes entries from the front; how many.
    pub fn trim(&mut self, to: TrimTo, by: TrimBy) -> u64 {
        let (whole_nodes, mut deleted) = self.nodes_to_trim(to, by);
        self.nodes.remove_range(0, whole_nodes, &mut self.ledger);
        self.counters.length -= deleted;
        if by == TrimBy::Entries && self.exceeds(to) {
            let length = self.counters.length;
            let more = |id: StreamId, marked: u64| match to {
                TrimTo::Length(max) => length - marked > max,
                TrimTo::Id(min) => id < min,
            };
            let marked = self.nodes.modify(0, &mut self.ledger, |node, ledger| {
                node::delete_front(&mut node.pack.make_mut(ledger), node.master, more)
            });
            self.counters.length -= marked;
            deleted += marked;
        }
        if deleted > 0 {
            self.find_first_id();
        }
        deleted
    }

    /// How many nodes from the front go as a whole, and how many entries are in them.
    fn nodes_to_trim(&self, to: TrimTo, by: TrimBy) -> (u64, u64) {
        let (mut nodes, mut entries) = (0, 0);
        for node in self.nodes.iter_from(0) {
            let view = node.view();
            let goes = match to {
                TrimTo::Length(max) => self.len() - entries > max && self.len() - entries - view.live >= max,
                TrimTo::Id(min) => view.last_id() < min,
            };
            if !goes || matches!(by, TrimBy::Nodes(limit) if limit > 0 && entries + view.live > limit) {
                break;
            }
            nodes += 1;
            entries += view.live;
        }
        (nodes, entries)
    }

    /// Whether the first node has entries that a trim to this would remove.
    fn exceeds(&self, to: TrimTo) -> bool {
        match to {
            TrimTo::Length(max) => self.len() > max,
            TrimTo::Id(min) => self
                .nodes
                .first()
                .and_then(|node| node.view().entries().find(|entry| !entry.is_deleted()))
                .is_some_and(|entry| entry.id() < min),
        }
    }

    /// The groups, by name.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter_from(0).map(|group| &**group)
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> u64 {
        self.groups.len()
    }

    fn group_place(&self, name: &[u8]) -> (u64, bool) {
        let at = self.groups.partition_point(|group| group.name() < name);
        let found = self.groups.get(at).is_some_and(|group| group.name() == name);
        (at, found)
    }

    /// The group of this name.
    #[must_use]
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        let (at, found) = self.group_place(name);
        if !found {
            return None;
        }
        self.groups.get(at).map(|group| &**group)
    }

    /// Makes a group, unless there is one of this name.
    pub fn create_group(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<u64>) -> bool {
        let (at, found) = self.group_place(name);
        if found {
            return false;
        }
        let group = Group::new(name, last_id, entries_read, &mut self.ledger);
        let shared = Shared::new(group, &mut self.ledger);
        self.groups.insert(at, shared, &mut self.ledger);
        true
    }

    /// Takes a group away; whether it was there.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        let (at, found) = self.group_place(name);
        if found {
            self.groups.remove(at, &mut self.ledger).leave(&mut self.ledger);
        }
        found
    }

    /// Changes the group of this name.
    pub fn update_group<R>(&mut self, name: &[u8], change: impl FnOnce(&mut GroupMut<'_>) -> R) -> Option<R> {
        let (at, found) = self.group_place(name);
        found.then(|| {
            self.groups.modify(at, &mut self.ledger, |group, ledger| {
                change(&mut GroupMut::new(group.make_mut(ledger), ledger))
            })
        })
    }

    /// Bytes of heap that it reaches, without the block of its own.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.ledger.bytes()
    }
}

impl Container for Stream {
    fn memory_bytes(&self) -> usize {
        self.ledger.bytes() as usize
    }

    fn blocks(&self) -> usize {
        let of_groups: u64 = self.groups().map(|group| 4 + group.pending_len() / 32).sum();
        (self.nodes.len() + of_groups) as usize
    }

    fn fork(&self) -> Self {
        Self {
            nodes: self.nodes.fork(),
            groups: self.groups.fork(),
            counters: self.counters,
            ledger: self.ledger.fork(),
        }
    }

    fn release(mut self) {
        let account = self.ledger.account().clone();
        // What is left is an empty stream, which drops as one.
        self.ledger = Ledger::new(account.clone());
        mem::take(&mut self.nodes).release(&account);
        mem::take(&mut self.groups).release(&account);
    }

    fn deep_copy(&self, account: &Arc<Account>) -> Self {
        let mut copy = Self::new(account.clone());
        for (master, pack) in self.nodes() {
            copy.push_node(master, pack);
        }
        for group in self.groups() {
            let duplicate = group.duplicate(&mut copy.ledger);
            let shared = Shared::new(duplicate, &mut copy.ledger);
            copy.groups.push(shared, &mut copy.ledger);
        }
        copy.counters = self.counters;
        copy
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        mem::take(&mut self.nodes).leave(&mut self.ledger);
        mem::take(&mut self.groups).leave(&mut self.ledger);
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("counters", &self.counters)
            .field("nodes", &self.nodes.len())
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}

/// Entries in order.
pub struct Range<'a> {
    nodes: seq::Iter<'a, Node>,
    entries: Option<node::Entries<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(entries) = &mut self.entries else {
                self.entries = Some(self.nodes.next()?.view().entries());
                continue;
            };
            match entries.next() {
                None => self.entries = None,
                Some(entry) if entry.id() > self.end => return None,
                Some(entry) if entry.is_deleted() || entry.id() < self.start => {}
                Some(entry) => return Some(entry),
            }
        }
    }
}

/// Entries from the last to the first.
pub struct RangeBack<'a> {
    nodes: seq::IterBack<'a, Node>,
    entries: Option<node::EntriesBack<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Iterator for RangeBack<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(entries) = &mut self.entries else {
                self.entries = Some(self.nodes.next()?.view().entries_back());
                continue;
            };
            match entries.next() {
                None => self.entries = None,
                Some(entry) if entry.id() < self.start => return None,
                Some(entry) if entry.is_deleted() || entry.id() > self.end => {}
                Some(entry) => return Some(entry),
            }
        }
    }
}

macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("start", &self.start).field("end", &self.end).finish()
            }
        }
    )*};
}

opaque_debug!(Range, RangeBack);
