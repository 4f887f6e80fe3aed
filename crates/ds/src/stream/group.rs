//! Consumer groups: how far a group has read, what it was given and has not acknowledged, and to whom.
//!
//! ```text
//!   Group ─┬─ pending:   (id, when delivered, how often, consumer number) …    by id
//!          ├─ consumers: Consumer 1, Consumer 4, …                             by number, each with its pending ids
//!          └─ names:     (first bytes of the name, number) …                   by name
//! ```
//!
//! A pending entry names its consumer by a number, which no other consumer of the group ever gets. Groups and consumers
//! are blocks with a count ([`Shared`]), copied when they are written to while a fork holds them too.

use std::ops::Deref;
use std::sync::Arc;

use super::id::StreamId;
use crate::account::{Account, Ledger};
use crate::blob::Blob;
use crate::seq::{Item, Seq};
use crate::size::block_bytes;

/// What a counted block consists of: all of it is shared, left and released together.
pub(super) trait Parts: Send + Sync + Sized + 'static {
    fn share(&self) -> Self;
    fn leave(self, ledger: &mut Ledger);
    fn release(self, account: &Account);
}

/// A counted block.
pub(super) struct Shared<T>(Arc<T>);

impl<T: Parts> Shared<T> {
    /// The two counts of an [`Arc`] stand before what it holds.
    const BLOCK: usize = block_bytes(size_of::<T>() + 16);

    pub(super) fn new(parts: T, ledger: &mut Ledger) -> Self {
        ledger.add(Self::BLOCK);
        Self(Arc::new(parts))
    }

    /// What is in the block, to be changed: in a copy of it, if others hold it too.
    pub(super) fn make_mut(&mut self, ledger: &mut Ledger) -> &mut T {
        if Arc::get_mut(&mut self.0).is_none() {
            ledger.add(Self::BLOCK);
            let copy = Self(Arc::new(self.0.share()));
            ledger.leave_to_frozen(Self::BLOCK);
            std::mem::replace(self, copy).release(ledger.account());
        }
        // Alone since the copy above, if not before.
        Arc::get_mut(&mut self.0).expect("a block that was just made the only one")
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Parts> Item for Shared<T> {
    fn share(&self) -> Self {
        Self(self.0.clone())
    }

    fn leave(self, ledger: &mut Ledger) {
        let mut this = self.0;
        if Arc::get_mut(&mut this).is_some() {
            ledger.remove(Self::BLOCK);
            if let Some(parts) = Arc::into_inner(this) {
                parts.leave(ledger);
            }
            return;
        }
        // The parts leave one by one, also where the block itself goes on with others.
        let parts = this.share();
        ledger.leave_to_frozen(Self::BLOCK);
        Self(this).release(ledger.account());
        parts.leave(ledger);
    }

    fn release(self, account: &Account) {
        if let Some(parts) = Arc::into_inner(self.0) {
            account.freed(Self::BLOCK);
            parts.release(account);
        }
    }
}

/// Names a consumer within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsumerId(u32);

/// An entry that was given to a consumer and not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Which entry.
    pub id: StreamId,
    /// When it was last given to somebody, in milliseconds since 1970.
    pub delivered_ms: i64,
    /// How often it was given to somebody.
    pub deliveries: u64,
    /// To whom, last.
    pub consumer: ConsumerId,
}

impl Item for Pending {
    fn sort_key(&self) -> u64 {
        self.id.ms
    }

    fn share(&self) -> Self {
        *self
    }
}

impl Item for StreamId {
    fn sort_key(&self) -> u64 {
        self.ms
    }

    fn share(&self) -> Self {
        *self
    }
}

/// One of those who read as a group.
pub struct Consumer {
    number: u32,
    name: Blob,
    seen_ms: i64,
    pending: Seq<StreamId>,
}

impl Consumer {
    /// What pending entries call it.
    #[must_use]
    pub fn id(&self) -> ConsumerId {
        ConsumerId(self.number)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.name.as_slice()
    }

    /// When it last tried to read, in milliseconds since 1970.
    #[must_use]
    pub fn seen_ms(&self) -> i64 {
        self.seen_ms
    }

    /// How many entries wait for it to acknowledge them.
    #[must_use]
    pub fn pending_len(&self) -> u64 {
        self.pending.len()
    }

    /// The ids from `start` on of the entries that wait for it, in order.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> {
        let first = place_of_id(&self.pending, start).0;
        self.pending.iter_from(first).copied()
    }
}

impl Parts for Consumer {
    fn share(&self) -> Self {
        Self {
            name: self.name.share(),
            pending: self.pending.fork(),
            ..*self
        }
    }

    fn leave(self, ledger: &mut Ledger) {
        self.name.leave(ledger);
        self.pending.leave(ledger);
    }

    fn release(self, account: &Account) {
        self.name.release(account);
        self.pending.release(account);
    }
}

/// A consumer's place in the order of names.
#[derive(Clone, Copy)]
struct ByName {
    /// The first bytes of the name, as a number of the same order.
    start: u64,
    number: u32,
}

impl Item for ByName {
    fn share(&self) -> Self {
        *self
    }
}

fn start_of(name: &[u8]) -> u64 {
    let mut start = [0; 8];
    let len = name.len().min(8);
    start[..len].copy_from_slice(&name[..len]);
    u64::from_be_bytes(start)
}

fn place_of_id(ids: &Seq<StreamId>, id: StreamId) -> (u64, bool) {
    let at = ids.partition_point_by_key(id.ms, |other| *other < id);
    (at, ids.get(at) == Some(&id))
}

/// A group of consumers.
pub struct Group {
    name: Blob,
    last_id: StreamId,
    entries_read: Option<u64>,
    next_number: u32,
    pending: Seq<Pending>,
    consumers: Seq<Shared<Consumer>>,
    names: Seq<ByName>,
}

impl Parts for Group {
    fn share(&self) -> Self {
        Self {
            name: self.name.share(),
            pending: self.pending.fork(),
            consumers: self.consumers.fork(),
            names: self.names.fork(),
            ..*self
        }
    }

    fn leave(self, ledger: &mut Ledger) {
        self.name.leave(ledger);
        self.pending.leave(ledger);
        self.consumers.leave(ledger);
        self.names.leave(ledger);
    }

    fn release(self, account: &Account) {
        self.name.release(account);
        self.pending.release(account);
        self.consumers.release(account);
        self.names.release(account);
    }
}

impl Group {
    pub(super) fn new(name: &[u8], last_id: StreamId, entries_read: Option<u64>, ledger: &mut Ledger) -> Self {
        Self {
            name: Blob::new(&[name], ledger),
            last_id,
            entries_read,
            next_number: 0,
            pending: Seq::new(),
            consumers: Seq::new(),
            names: Seq::new(),
        }
    }

    /// A copy that shares nothing.
    pub(super) fn duplicate(&self, ledger: &mut Ledger) -> Self {
        Self {
            name: self.name.duplicate(ledger),
            pending: self.pending.duplicate(ledger, |pending, _| *pending),
            consumers: self.consumers.duplicate(ledger, |consumer, ledger| {
                let copy = Consumer {
                    name: consumer.name.duplicate(ledger),
                    pending: consumer.pending.duplicate(ledger, |id, _| *id),
                    ..**consumer
                };
                Shared::new(copy, ledger)
            }),
            names: self.names.duplicate(ledger, |name, _| *name),
            ..*self
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.name.as_slice()
    }

    /// The last entry that was given to any of its consumers.
    #[must_use]
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// How many entries up to [`Self::last_id`] the stream has ever had, if that is known.
    #[must_use]
    pub fn entries_read(&self) -> Option<u64> {
        self.entries_read
    }

    /// How many entries wait to be acknowledged.
    #[must_use]
    pub fn pending_len(&self) -> u64 {
        self.pending.len()
    }

    /// The entries from `start` on that wait to be acknowledged, in order.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = &Pending> {
        self.pending.iter_from(self.place_of_pending(start).0)
    }

    /// The last of the entries that wait to be acknowledged.
    #[must_use]
    pub fn last_pending(&self) -> Option<&Pending> {
        self.pending.last()
    }

    /// The entry `id`, if it waits to be acknowledged.
    #[must_use]
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        let (at, found) = self.place_of_pending(id);
        if found { self.pending.get(at) } else { None }
    }

    fn place_of_pending(&self, id: StreamId) -> (u64, bool) {
        let at = self.pending.partition_point_by_key(id.ms, |other| other.id < id);
        (at, self.pending.get(at).is_some_and(|found| found.id == id))
    }

    /// How many consumers it has.
    #[must_use]
    pub fn consumer_count(&self) -> u64 {
        self.consumers.len()
    }

    /// Its consumers, by name.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.names
            .iter_from(0)
            .filter_map(|name| self.consumer(ConsumerId(name.number)))
    }

    /// The consumer that a pending entry names.
    #[must_use]
    pub fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.consumers.get(self.place_of_consumer(id)?).map(|shared| &**shared)
    }

    fn place_of_consumer(&self, id: ConsumerId) -> Option<u64> {
        let at = self.consumers.partition_point(|consumer| consumer.number < id.0);
        let found = self.consumers.get(at).is_some_and(|found| found.number == id.0);
        found.then_some(at)
    }

    /// The consumer of this name.
    #[must_use]
    pub fn find_consumer(&self, name: &[u8]) -> Option<&Consumer> {
        let (at, found) = self.place_of_name(name);
        if !found {
            return None;
        }
        self.consumer(ConsumerId(self.names.get(at)?.number))
    }

    fn place_of_name(&self, name: &[u8]) -> (u64, bool) {
        let start = start_of(name);
        let name_of = |other: &ByName| {
            let consumer = self.consumer(ConsumerId(other.number));
            consumer.map_or(&[][..], Consumer::name)
        };
        let at = self
            .names
            .partition_point(|other| other.start < start || (other.start == start && name_of(other) < name));
        let found = self.names.get(at).is_some_and(|other| name_of(other) == name);
        (at, found)
    }
}

/// A group, to be changed.
pub struct GroupMut<'a> {
    group: &'a mut Group,
    ledger: &'a mut Ledger,
}

impl Deref for GroupMut<'_> {
    type Target = Group;

    fn deref(&self) -> &Group {
        self.group
    }
}

impl<'a> GroupMut<'a> {
    pub(super) fn new(group: &'a mut Group, ledger: &'a mut Ledger) -> Self {
        Self { group, ledger }
    }

    /// Sets how far the group has read.
    pub fn set_last_id(&mut self, last_id: StreamId) {
        self.group.last_id = last_id;
    }

    /// Sets how many entries that were.
    pub fn set_entries_read(&mut self, entries_read: Option<u64>) {
        self.group.entries_read = entries_read;
    }

    /// Adds a consumer, unless there is one of this name.
    pub fn create_consumer(&mut self, name: &[u8], seen_ms: i64) -> Option<ConsumerId> {
        let (at, found) = self.place_of_name(name);
        if found {
            return None;
        }
        let number = self.group.next_number;
        // One more than four billion consumers that a group has ever had: numbers would name two.
        self.group.next_number = number.checked_add(1).expect("fewer consumers than a u32 counts");
        let consumer = Consumer {
            number,
            name: Blob::new(&[name], self.ledger),
            seen_ms,
            pending: Seq::new(),
        };
        let consumer = Shared::new(consumer, self.ledger);
        self.group.consumers.push(consumer, self.ledger);
        let by_name = ByName {
            start: start_of(name),
            number,
        };
        self.group.names.insert(at, by_name, self.ledger);
        Some(ConsumerId(number))
    }

    /// Notes when a consumer last tried to read.
    pub fn touch_consumer(&mut self, id: ConsumerId, seen_ms: i64) {
        self.update_consumer(id, |consumer, _| consumer.seen_ms = seen_ms);
    }

    fn update_consumer(&mut self, id: ConsumerId, change: impl FnOnce(&mut Consumer, &mut Ledger)) {
        if let Some(at) = self.group.place_of_consumer(id) {
            self.group.consumers.modify(at, self.ledger, |consumer, ledger| {
                change(consumer.make_mut(ledger), ledger);
            });
        }
    }

    /// Takes a consumer away, and what waits for it to acknowledge; how many entries that were, if there is such a
    /// consumer.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<u64> {
        let (by_name, found) = self.place_of_name(name);
        if !found {
            return None;
        }
        let number = self.group.names.get(by_name)?.number;
        let at = self.group.place_of_consumer(ConsumerId(number))?;
        let pending: Vec<StreamId> = self.group.consumers.get(at)?.pending_from(StreamId::MIN).collect();
        for id in &pending {
            let (at, found) = self.group.place_of_pending(*id);
            if found {
                self.group.pending.remove(at, self.ledger);
            }
        }
        self.group.names.remove(by_name, self.ledger);
        self.group.consumers.remove(at, self.ledger).leave(self.ledger);
        Some(pending.len() as u64)
    }

    /// Lets an entry wait for its consumer, whoever it waited for before.
    pub fn set_pending(&mut self, pending: Pending) {
        let (at, found) = self.group.place_of_pending(pending.id);
        let mut before = None;
        if found {
            before = self.group.pending.modify(at, self.ledger, |slot, _| {
                let old = std::mem::replace(slot, pending);
                Some(old.consumer)
            });
        } else {
            self.group.pending.insert(at, pending, self.ledger);
        }
        if before == Some(pending.consumer) {
            return;
        }
        if let Some(before) = before {
            self.forget_id(before, pending.id);
        }
        self.update_consumer(pending.consumer, |consumer, ledger| {
            let (at, found) = place_of_id(&consumer.pending, pending.id);
            if !found {
                consumer.pending.insert(at, pending.id, ledger);
            }
        });
    }

    /// An entry waits no longer; whether it did.
    pub fn remove_pending(&mut self, id: StreamId) -> bool {
        let (at, found) = self.group.place_of_pending(id);
        if found {
            let removed = self.group.pending.remove(at, self.ledger);
            self.forget_id(removed.consumer, id);
        }
        found
    }

    fn forget_id(&mut self, consumer: ConsumerId, id: StreamId) {
        self.update_consumer(consumer, |consumer, ledger| {
            let (at, found) = place_of_id(&consumer.pending, id);
            if found {
                consumer.pending.remove(at, ledger);
            }
        });
    }
}
