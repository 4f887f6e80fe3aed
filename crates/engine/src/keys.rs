//! The door to the keys: what read and write handlers may do, and nothing else.
//!
//! ```text
//!   ReadCtx ── keys: Reader ── get, peek, exists …            no mutators
//!   WriteCtx ─ keys: Writer ── the same, and slots:
//!                 key_slot(k)    ─► KeySlot    ─ remove, set_expiry, put  ┐ each names its Event; the commit alone
//!                 string_slot(k) ─► StringSlot ─ set_bytes, append …      ┘ counts dirty, breaks WATCHes, notifies
//! ```
//!
//! Expiry is settled here, at lookup: a primary deletes a key whose time has passed and propagates DEL; a replica hides
//! it from its clients; to the primary's stream every key is alive.

mod string;

use crate::access::stamp;
use crate::ahead::{Ahead, KnownKey};
use crate::blocking::Blocking;
use crate::error::Result;
use crate::host::Notice;
use crate::lazyfree::Lazyfree;
use crate::outbox::Outbox;
use crate::propagate::Propagation;
use crate::session::{Kind, SessionId};
use crate::settings::{Role, Settings};
use crate::slots::{KeySlot, StringSlot};
use crate::stats::Stats;
use crate::watch::{Presence, WatchIndex};
use base::{DbIndex, Millis, Now, Rng};
use keyspace::{Entry, KeyHash, Keyspace, Removed};
use resp::Reply;
use std::collections::BTreeMap;

pub use string::StrRef;
pub(crate) use string::int_text;

/// The dataset and everything that a change to it must keep true.
pub struct Data {
    /// The keys.
    pub keyspace: Keyspace,
    /// Effects on their way to the replication stream.
    pub propagation: Propagation,
    /// Who watches what.
    pub watch: WatchIndex,
    /// Who waits for what.
    pub blocking: Blocking,
    /// Counters.
    pub stats: Stats,
    /// What is being freed elsewhere.
    pub lazyfree: Lazyfree,
    /// Configuration and state.
    pub settings: Settings,
    /// What the surroundings must hear.
    pub notices: Vec<Notice>,
    /// What sessions must hear.
    pub outbox: Outbox,
    /// Once the output of the client at hand has more bytes than this the client will be closed, and gets none of it: a
    /// reply without end may end. 0 for never.
    pub reply_limit_bytes: u64,
    /// Changes since the last save.
    pub dirty: u64,
    /// Randomness.
    pub rng: Rng,
    /// The value that an access stamps on an entry: seconds, or with LFU minutes and a counter.
    pub access_clock: u32,
    /// Keys that clients of a writable replica gave a time to live; the primary knows nothing of them.
    pub replica_expiring: BTreeMap<(DbIndex, Box<[u8]>), Millis>,
    /// Expired keys are hidden but not deleted, because writes are paused.
    pub expiry_paused: bool,
    /// Events as they happen, when somebody records them.
    pub recorded_events: Option<Vec<String>>,
    /// What is known of the requests that run next.
    pub(crate) ahead: Ahead,
    /// The key whose hash is known, while a request with it runs.
    pub(crate) known_key: Option<KnownKey>,
}

impl Data {
    /// An empty dataset of `databases` databases.
    #[must_use]
    pub fn new(databases: u32, seed: u64) -> Self {
        Self {
            keyspace: Keyspace::new(databases, seed),
            propagation: Propagation::default(),
            watch: WatchIndex::default(),
            blocking: Blocking::default(),
            stats: Stats::default(),
            lazyfree: Lazyfree::default(),
            settings: Settings::default(),
            notices: Vec::new(),
            outbox: Outbox::default(),
            reply_limit_bytes: 0,
            dirty: 0,
            rng: Rng::new(seed ^ 0x5eed),
            access_clock: 0,
            replica_expiring: BTreeMap::new(),
            expiry_paused: false,
            recorded_events: None,
            ahead: Ahead::default(),
            known_key: None,
        }
    }

    /// Deletes a key because its time has passed, and says so to watchers, replicas and listeners.
    pub fn expire(&mut self, db: DbIndex, key: &[u8], hash: KeyHash) {
        let Some(removed) = self.keyspace.db_mut(db).remove(key, hash) else {
            return;
        };
        self.discard(removed);
        self.stats.expired_keys += 1;
        self.propagation.effect(db, &[deletion(self.settings.lazy_expire), key]);
        self.watch.touch_expired(db, key);
        self.blocking.touch(db, key, &self.keyspace);
        self.outbox.vanished(key);
        self.notify(db, Event::EXPIRED, key);
    }

    /// Deletes a key to make room, as an execution of its own; how many bytes the dataset has given up by that.
    pub fn evict(&mut self, db: DbIndex, key: &[u8]) -> u64 {
        let hash = self.keyspace.hash(key);
        let keys = self.keyspace.db_mut(db);
        let before = keys.memory_bytes();
        let Some(removed) = keys.remove(key, hash) else {
            return 0;
        };
        let freed = before.saturating_sub(keys.memory_bytes());
        self.discard(removed);
        self.stats.evicted_keys += 1;
        self.propagation
            .effect(db, &[deletion(self.settings.lazy_eviction), key]);
        self.propagation.end_unit();
        self.watch.touch(db, key);
        self.outbox.vanished(key);
        self.blocking.touch(db, key, &self.keyspace);
        self.notify(db, Event::EVICTED, key);
        freed
    }

    /// Puts another dataset in place of this one, which is handed over. Watchers of keys in either are told.
    pub fn replace_keyspace(&mut self, keyspace: Keyspace) -> Keyspace {
        let mut watch = std::mem::take(&mut self.watch);
        for index in 0..self.keyspace.databases() {
            let db = DbIndex(index);
            // Whether a key of the other dataset has expired is for EXEC to find.
            let never = Millis(i64::MIN);
            watch.touch_database(db, |key| {
                let in_it = |of| presence(of, db, key, never);
                (in_it(&self.keyspace), in_it(&keyspace))
            });
        }
        self.watch = watch;
        self.outbox.flushed();
        self.replica_expiring.clear();
        let old = std::mem::replace(&mut self.keyspace, keyspace);
        for index in 0..self.keyspace.databases() {
            self.blocking.touch_database(DbIndex(index), &self.keyspace);
        }
        old
    }

    /// Lets go of a value; a heavy one is freed elsewhere.
    pub fn discard(&mut self, removed: Removed) {
        const HEAVY: usize = 64;
        if removed.weight() > HEAVY {
            let bytes = removed.entry().memory_bytes() as u64;
            let pending = self.lazyfree.pending(removed, bytes, 1);
            self.notices.push(Notice::Discard(Box::new(pending)));
        }
    }

    /// Tells that a key is about to come into being, if there is none.
    #[cold]
    fn announce_if_new(&mut self, db: DbIndex, key: &[u8], hash: KeyHash) {
        if self.keyspace.db(db).get(key, hash).is_none() {
            self.outbox.event(db, Event::NEW, key);
        }
    }

    /// Tells of an event, to those that the configuration lets hear it.
    #[inline]
    pub fn notify(&mut self, db: DbIndex, event: Event, key: &[u8]) {
        if self.settings.key_events.wants(event.class) {
            self.outbox.event(db, event, key);
        }
        if let Some(events) = &mut self.recorded_events {
            events.push(format!("{} {}", event.name, String::from_utf8_lossy(key)));
        }
    }
}

/// The word by which replicas hear that a key went.
fn deletion(lazy: bool) -> &'static [u8] {
    if lazy { b"UNLINK" } else { b"DEL" }
}

/// A keyspace event: what a commit says has happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The letter of its class in `notify-keyspace-events`.
    pub class: char,
    /// Its name.
    pub name: &'static str,
}

#[allow(missing_docs)]
impl Event {
    pub const SET: Self = Self::new('$', "set");
    pub const SET_BIT: Self = Self::new('$', "setbit");
    pub const PF_ADD: Self = Self::new('$', "pfadd");
    pub const APPEND: Self = Self::new('$', "append");
    pub const SET_RANGE: Self = Self::new('$', "setrange");
    pub const INCR_BY: Self = Self::new('$', "incrby");
    pub const INCR_BY_FLOAT: Self = Self::new('$', "incrbyfloat");
    pub const DEL: Self = Self::new('g', "del");
    pub const EXPIRE: Self = Self::new('g', "expire");
    pub const PERSIST: Self = Self::new('g', "persist");
    pub const NEW: Self = Self::new('n', "new");
    pub const KEY_MISS: Self = Self::new('m', "keymiss");
    pub const EXPIRED: Self = Self::new('x', "expired");
    pub const EVICTED: Self = Self::new('e', "evicted");
    pub const RENAME_FROM: Self = Self::new('g', "rename_from");
    pub const RENAME_TO: Self = Self::new('g', "rename_to");
    pub const MOVE_FROM: Self = Self::new('g', "move_from");
    pub const MOVE_TO: Self = Self::new('g', "move_to");
    pub const COPY_TO: Self = Self::new('g', "copy_to");
    pub const RESTORE: Self = Self::new('g', "restore");

    /// An event of a class.
    #[must_use]
    pub const fn new(class: char, name: &'static str) -> Self {
        Self { class, name }
    }
}

/// What becomes of a key's expiry when its value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Stays as it is.
    Keep,
    /// Is taken away.
    Clear,
    /// Becomes this moment.
    At(Millis),
}

/// Reading keys.
pub struct Reader<'a> {
    pub(crate) data: &'a mut Data,
    pub(crate) db: DbIndex,
    pub(crate) now: Millis,
    pub(crate) from: Kind,
    pub(crate) touch: bool,
}

impl Reader<'_> {
    /// The entry of `key` for a command that reads it: counts hit or miss and stamps the access clock.
    pub fn get(&mut self, key: &[u8]) -> Option<&Entry> {
        let hash = self.data.hash(key);
        let there = self.settle_expiry(key, hash, Access::Read);
        let data = &mut *self.data;
        let entry = data.keyspace.db(self.db).get(key, hash).filter(|_| there);
        let Some(entry) = entry else {
            data.stats.keyspace_misses += 1;
            if data.settings.key_events.wants(Event::KEY_MISS.class) {
                data.outbox.event(self.db, Event::KEY_MISS, key);
            }
            return None;
        };
        data.stats.keyspace_hits += 1;
        if self.touch {
            entry.touch(stamp(entry.clock(), data.access_clock, &data.settings, &mut data.rng));
        }
        Some(entry)
    }

    /// The entry of `key` for a command that asks about it: counts hit or miss, and leaves the access clock alone.
    pub fn inspect(&mut self, key: &[u8]) -> Option<&Entry> {
        let touch = std::mem::replace(&mut self.touch, false);
        let found = self.get(key).is_some();
        self.touch = touch;
        if found { self.peek(key) } else { None }
    }

    /// The entry of `key`, unstamped and uncounted: for commands that ask about a key rather than use it.
    pub fn peek(&mut self, key: &[u8]) -> Option<&Entry> {
        let hash = self.data.hash(key);
        if !self.settle_expiry(key, hash, Access::Read) {
            return None;
        }
        self.data.keyspace.db(self.db).get(key, hash)
    }

    /// How many bytes `key` takes, its share of the table included.
    pub fn bytes_of(&mut self, key: &[u8]) -> Option<usize> {
        let hash = self.data.hash(key);
        if !self.settle_expiry(key, hash, Access::Read) {
            return None;
        }
        let db = self.data.keyspace.db(self.db);
        db.get(key, hash).map(|entry| db.bytes_of(entry))
    }

    /// The string at `key`, or an error when another type is there.
    pub fn string(&mut self, key: &[u8]) -> Result<Option<StrRef<'_>>> {
        self.get(key).map(StrRef::of).transpose()
    }

    /// Whether an entry may be shown to whoever reads: scans ask, and delete nothing.
    #[must_use]
    pub fn is_visible(&self, entry: &Entry) -> bool {
        self.from == Kind::Primary || entry.expiry().is_none_or(|at| at > self.now)
    }

    /// Which database these keys are in.
    #[must_use]
    pub fn db(&self) -> DbIndex {
        self.db
    }

    /// The database itself, expired keys and all. For scans and counts.
    #[must_use]
    pub fn database(&self) -> &keyspace::Db {
        self.data.keyspace.db(self.db)
    }

    /// The whole dataset. For counts.
    #[must_use]
    pub fn data(&self) -> &Data {
        self.data
    }

    /// Randomness of one's own, to be used while keys are looked at.
    pub fn own_rng(&mut self) -> Rng {
        Rng::new(self.data.rng.next_u64())
    }

    /// Randomness.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.data.rng
    }

    /// The same kind of access to another database.
    pub fn in_db(&mut self, db: DbIndex) -> Reader<'_> {
        Reader {
            data: self.data,
            db,
            now: self.now,
            from: self.from,
            touch: self.touch,
        }
    }

    /// A random key that is not expired, stamped and counted as nothing.
    pub fn random_key(&mut self) -> Option<Vec<u8>> {
        // On a replica expired keys stay; stock gives up hiding them after a while, or a database of nothing but
        // expired keys would never be answered for.
        const TRIES: usize = 100;
        for attempt in 0.. {
            let entry = self.data.keyspace.db(self.db).random(&mut self.data.rng)?;
            let key = entry.key().to_vec();
            let hash = self.data.keyspace.hash(&key);
            if self.settle_expiry(&key, hash, Access::Read) || attempt >= TRIES {
                return Some(key);
            }
        }
        None
    }

    /// Settles whether `key` has expired; false when it counts as absent. A primary deletes it then.
    #[inline]
    fn settle_expiry(&mut self, key: &[u8], hash: KeyHash, access: Access) -> bool {
        self.data.keyspace.db(self.db).expiring_len() == 0 || self.settle_known_expiry(key, hash, access)
    }

    /// The same where some keys expire.
    fn settle_known_expiry(&mut self, key: &[u8], hash: KeyHash, access: Access) -> bool {
        let db = self.data.keyspace.db(self.db);
        let Some(expiry) = db.get(key, hash).and_then(Entry::expiry) else {
            return true;
        };
        if expiry > self.now || self.from == Kind::Primary {
            return true;
        }
        let settings = &self.data.settings;
        let deletes = match (settings.role, access) {
            (Role::Primary, _) => !self.data.expiry_paused,
            (Role::Replica, Access::Write) => !settings.replica_read_only,
            (Role::Replica, Access::Read) => false,
        };
        if deletes {
            self.data.expire(self.db, key, hash);
        }
        false
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// What a read handler works with.
pub struct ReadCtx<'a> {
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The keys.
    pub keys: Reader<'a>,
    /// The clocks when the command began.
    pub now: Now,
    /// Who asks.
    pub session_id: SessionId,
}

/// What a write handler works with.
pub struct WriteCtx<'a> {
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The keys.
    pub keys: Writer<'a>,
    /// The clocks when the command began.
    pub now: Now,
    /// Who asks.
    pub session_id: SessionId,
}

impl<'a> WriteCtx<'a> {
    /// The place of `key`, whatever is there.
    pub fn key_slot<'c>(&'c mut self, key: &'c [u8]) -> KeySlot<'c, 'a> {
        self.keys.key_slot(key)
    }

    /// The place of `key`, where a string is or nothing.
    pub fn string_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<StringSlot<'c, 'a>> {
        self.keys.string_slot(key)
    }

    /// Propagates these words in place of the request. May be called several times: all of them go out.
    pub fn propagate(&mut self, words: &[&[u8]]) {
        self.keys.propagate(words);
    }

    /// Propagates nothing in place of the request.
    pub fn propagate_nothing(&mut self) {
        self.keys.propagated = true;
    }
}

/// Reading and changing keys.
pub struct Writer<'a> {
    pub(crate) reader: Reader<'a>,
    /// Changes committed by this command.
    pub(crate) commits: u64,
    /// The handler said what to propagate; else a changed request goes out as it came.
    pub(crate) propagated: bool,
}

impl<'a> std::ops::Deref for Writer<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}

impl<'a> std::ops::DerefMut for Writer<'a> {
    fn deref_mut(&mut self) -> &mut Reader<'a> {
        &mut self.reader
    }
}

impl<'a> Writer<'a> {
    pub(crate) fn new(reader: Reader<'a>) -> Self {
        Self {
            reader,
            commits: 0,
            propagated: false,
        }
    }

    /// Names one more event of a change that is already committed.
    pub fn announce(&mut self, key: &[u8], event: Event) {
        let db = self.reader.db;
        self.reader.data.notify(db, event, key);
    }

    /// Propagates these words in place of the request, from the database of these keys.
    pub fn propagate(&mut self, words: &[&[u8]]) {
        self.propagated = true;
        let db = self.reader.db;
        self.reader.data.propagation.effect(db, words);
    }

    /// The place of `key`, whatever is there.
    pub fn key_slot<'c>(&'c mut self, key: &'c [u8]) -> KeySlot<'c, 'a> {
        let hash = self.reader.data.hash(key);
        self.reader.settle_expiry(key, hash, Access::Write);
        KeySlot::new(self, key, hash)
    }

    /// The place of `key` as it is, even if its time has passed: for a command that replaces it unseen.
    pub fn unsettled_slot<'c>(&'c mut self, key: &'c [u8]) -> KeySlot<'c, 'a> {
        let hash = self.reader.data.hash(key);
        KeySlot::new(self, key, hash)
    }

    /// The place of `key`, where a string is or nothing.
    pub fn string_slot<'c>(&'c mut self, key: &'c [u8]) -> Result<StringSlot<'c, 'a>> {
        let slot = self.key_slot(key);
        if let Some(entry) = slot.entry() {
            StrRef::of(entry)?;
        }
        Ok(StringSlot::new(slot))
    }

    /// Runs `work` on the keys of another database.
    pub fn in_db<T>(&mut self, db: DbIndex, work: impl FnOnce(&mut Self) -> T) -> T {
        let here = std::mem::replace(&mut self.reader.db, db);
        let result = work(self);
        self.reader.db = here;
        result
    }

    /// Empties a database; how many keys went. Watchers of keys that existed are told.
    pub fn flush_db(&mut self, db: DbIndex) -> u64 {
        let now = self.reader.now;
        let data = &mut *self.reader.data;
        let keys = data.keyspace.db(db).len();
        let mut watch = std::mem::take(&mut data.watch);
        watch.touch_database(db, |key| (presence(&data.keyspace, db, key, now), Presence::Absent));
        data.watch = watch;
        data.replica_expiring.retain(|(other, _), _| *other != db);
        let discarded = data.keyspace.take_db(db);
        let bytes = discarded.memory_bytes();
        let pending = data.lazyfree.pending(discarded, bytes, keys);
        data.notices.push(Notice::Discard(Box::new(pending)));
        data.blocking.touch_database(db, &data.keyspace);
        self.commits += keys;
        keys
    }

    /// Tells those who cache keys that databases were emptied.
    pub fn announce_flush(&mut self) {
        self.reader.data.outbox.flushed();
    }

    /// Counts a change that is not the change of one key: SWAPDB, FLUSHALL of nothing.
    pub fn commit_whole(&mut self) {
        self.commits += 1;
    }

    /// Counts more changes than commits have, where stock counts what a command stores.
    pub fn count_changes(&mut self, changes: u64) {
        self.commits += changes;
    }

    /// Lets two databases change places. With itself a database changes nothing, but the command counts as a change.
    pub fn swap_dbs(&mut self, a: DbIndex, b: DbIndex) {
        if a == b {
            return self.commit_whole();
        }
        let now = self.reader.now;
        let data = &mut *self.reader.data;
        let mut watch = std::mem::take(&mut data.watch);
        for (db, other) in [(a, b), (b, a)] {
            watch.touch_database(db, |key| {
                let in_it = |db| presence(&data.keyspace, db, key, now);
                (in_it(db), in_it(other))
            });
        }
        data.watch = watch;
        data.keyspace.swap_dbs(a, b);
        for db in [a, b] {
            data.blocking.touch_database(db, &data.keyspace);
        }
        data.notices.push(Notice::Swapped(a, b));
        self.commits += 1;
    }

    /// Tells the surroundings something.
    pub fn notice(&mut self, notice: Notice) {
        self.reader.data.notices.push(notice);
    }

    /// Tells listeners that a key is about to come into being, if there is none: before the event of what makes it.
    #[inline]
    pub(crate) fn announce_new(&mut self, key: &[u8], hash: KeyHash) {
        let (db, data) = (self.reader.db, &mut *self.reader.data);
        if data.settings.key_events.wants(Event::NEW.class) {
            data.announce_if_new(db, key, hash);
        }
    }

    /// The access clock of an entry that is written now.
    #[inline]
    pub(crate) fn new_stamp(&self) -> u32 {
        const NEW_COUNTER: u32 = 5;
        let (clock, lfu) = (self.reader.data.access_clock, self.reader.data.settings.lfu);
        if lfu {
            (clock & 0xffff) << 8 | NEW_COUNTER
        } else {
            clock
        }
    }

    /// The access clock of an entry that is used now, where that does not depend on what it was before.
    #[inline]
    pub(crate) fn plain_stamp(&self) -> Option<u32> {
        let data = &self.reader.data;
        (!data.settings.lfu).then_some(data.access_clock)
    }

    /// Stamps the access clock of an entry that was just written.
    pub(crate) fn stamp_new(&mut self, key: &[u8], hash: KeyHash) {
        if let Some(entry) = self.database().get(key, hash) {
            entry.touch(self.new_stamp());
        }
    }

    /// Stamps the access clock of an entry that was there and has been changed.
    pub(crate) fn stamp_used(&mut self, key: &[u8], hash: KeyHash) {
        let data = &mut *self.reader.data;
        if let Some(entry) = data.keyspace.db(self.reader.db).get(key, hash) {
            entry.touch(stamp(entry.clock(), data.access_clock, &data.settings, &mut data.rng));
        }
    }

    #[inline]
    pub(crate) fn commit(&mut self, key: &[u8], event: Event) {
        self.commit_changes(key, 1, event);
    }

    #[inline]
    pub(crate) fn commit_changes(&mut self, key: &[u8], changes: u64, event: Event) {
        self.commits += changes;
        self.tell(key, event);
    }

    /// Counts a change that listeners hear nothing of.
    pub(crate) fn commit_unannounced(&mut self, key: &[u8]) {
        self.commits += 1;
        self.reader.data.watch.touch(self.reader.db, key);
        self.reader.data.outbox.changed(key);
    }

    /// Tells watchers and listeners of a change that is counted elsewhere.
    #[inline]
    pub(crate) fn tell(&mut self, key: &[u8], event: Event) {
        let db = self.reader.db;
        let data = &mut *self.reader.data;
        data.watch.touch(db, key);
        data.blocking.touch(db, key, &data.keyspace);
        data.outbox.changed(key);
        data.notify(db, event, key);
    }

    /// Keeps the list of keys that only a writable replica knows to expire.
    #[inline]
    pub(crate) fn note_expiry(&mut self, key: &[u8], expiry: Option<Millis>) {
        if self.reader.data.settings.role == Role::Replica && self.reader.from != Kind::Primary {
            self.note_own_expiry(key, expiry);
        }
    }

    /// The same on a replica, for one of its own clients.
    fn note_own_expiry(&mut self, key: &[u8], expiry: Option<Millis>) {
        let data = &mut *self.reader.data;
        let id = (self.reader.db, Box::<[u8]>::from(key));
        match expiry {
            Some(at) => data.replica_expiring.insert(id, at),
            None => data.replica_expiring.remove(&id),
        };
    }
}

/// What a key is to those who watch it.
fn presence(keyspace: &Keyspace, db: DbIndex, key: &[u8], now: Millis) -> Presence {
    match keyspace.db(db).get(key, keyspace.hash(key)).map(Entry::expiry) {
        None => Presence::Absent,
        Some(Some(at)) if at <= now => Presence::Expired,
        Some(_) => Presence::Live,
    }
}
