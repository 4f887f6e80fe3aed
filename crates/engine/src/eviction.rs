//! The limit of memory: which keys go when it is reached.
//!
//! ```text
//!   before each command, and turn after turn while it goes on
//!     memory over maxmemory? ─ no ──► within
//!        │ yes
//!        ├─ noeviction, or nothing left to evict ──► full: commands that may need memory are refused
//!        └─ evict the best of the candidates ─► DEL to replicas, `evicted` to listeners ─► again, for a bounded time
//!
//!   lru, lfu   a pool of the best candidates seen, fed by a few samples of each database at every step
//!   ttl        the key that expires first, which the tree knows
//!   random     any key (or any with an expiry)
//! ```
//!
//! Memory is what [`Host::counted_memory`] says: what frozen views alone hold, what is on its way to be freed elsewhere
//! and the replication stream are not in it, so that eviction never chases memory that it cannot free.

use crate::access::lfu_counter;
use crate::execute::Engine;
use crate::host::Host;
use crate::keys::Data;
use crate::settings::{EvictionOrder, EvictionPolicy, Role};
use base::DbIndex;
use keyspace::{Entry, Sampled};

/// How many candidates are remembered.
const POOL: usize = 16;

/// How many keys go between looks at the clock.
const KEYS_PER_LOOK: u64 = 16;

/// Where a limit of memory stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is no limit, or memory is within it.
    Within,
    /// Memory is over the limit, and eviction goes on in the next turn.
    Evicting,
    /// Memory is over the limit, and there is nothing to evict.
    Full,
}

/// A key that may go.
struct Candidate {
    /// The higher the sooner it goes.
    score: u64,
    db: DbIndex,
    key: Box<[u8]>,
}

/// What eviction keeps from one step to the next.
#[derive(Default)]
pub struct Evictor {
    /// Candidates, the best last.
    pool: Vec<Candidate>,
    /// The database that a random choice begins with.
    next_db: u32,
    /// Eviction has more to do: the loop comes back to it without waiting.
    pub under_way: bool,
    /// Since when memory has been over the limit, monotonic µs.
    over_since_us: Option<u64>,
    /// For how long memory was over the limit in all, in µs, the present time not counted.
    over_us: u64,
}

impl Evictor {
    /// For how long memory has been over the limit: in all, and this time; in µs.
    #[must_use]
    pub fn time_over_limit(&self, now_us: u64) -> (u64, u64) {
        let current = self.over_since_us.map_or(0, |since| now_us.saturating_sub(since));
        (self.over_us + current, current)
    }

    /// Forgets the time over the limit that is past, as CONFIG RESETSTAT does.
    pub fn reset_time(&mut self) {
        self.over_us = 0;
    }

    #[inline]
    pub(crate) fn note_within(&mut self, now_us: u64) {
        if let Some(since) = self.over_since_us.take() {
            self.over_us += now_us.saturating_sub(since);
        }
        self.under_way = false;
    }
}

impl Engine {
    /// Makes room for a command, if memory is over the limit: evicts keys, for a bounded time.
    pub fn make_room(&mut self, host: &dyn Host) -> Room {
        let settings = &self.data.settings;
        let left_to_primary = settings.role == Role::Replica && settings.ignore_maxmemory_as_replica;
        if settings.maxmemory == 0 || left_to_primary {
            self.evictor.note_within(self.now.mono_us);
            return Room::Within;
        }
        // Writes are held back, so that the dataset stays as it is.
        if self.pauses.in_force().is_some() || settings.loading != crate::settings::Loading::No {
            return Room::Within;
        }
        if host.counted_memory(&self.data) <= settings.maxmemory {
            self.evictor.note_within(self.now.mono_us);
            return Room::Within;
        }
        self.evictor.over_since_us.get_or_insert(self.now.mono_us);
        let Some(policy) = settings.eviction else {
            return Room::Full;
        };
        self.evict(host, policy)
    }

    /// Goes on with an eviction that was cut short.
    pub fn evict_on(&mut self, host: &dyn Host) {
        if self.evictor.under_way {
            self.evictor.under_way = false;
            self.make_room(host);
        }
    }

    fn evict(&mut self, host: &dyn Host, policy: EvictionPolicy) -> Room {
        let started = self.read_clock();
        let limit = self.data.settings.maxmemory;
        let budget_us = budget_us(self.data.settings.eviction_tenacity);
        // What is told of an eviction takes memory itself: that must not lead to more of them, so what the dataset gives
        // up is reckoned with, not what memory says meanwhile.
        let wanted = host.counted_memory(&self.data).saturating_sub(limit);
        let (mut evicted, mut freed) = (0_u64, 0);
        let room = loop {
            if freed >= wanted {
                self.evictor.note_within(self.now.mono_us);
                break Room::Within;
            }
            let Some((db, key)) = self.choose(policy) else {
                break Room::Full;
            };
            let began = self.read_clock();
            freed += self.data.evict(db, &key);
            self.note_latency("eviction-del", self.read_clock().saturating_sub(began));
            evicted += 1;
            let out_of_time = evicted.is_multiple_of(KEYS_PER_LOOK)
                && budget_us.is_some_and(|budget| self.read_clock().saturating_sub(started) > budget);
            if out_of_time {
                self.evictor.under_way = true;
                break Room::Evicting;
            }
        };
        self.note_latency("eviction-cycle", self.read_clock().saturating_sub(started));
        room
    }

    fn note_latency(&mut self, event: &str, usec: u64) {
        let threshold = self.data.settings.latency_threshold_ms;
        if threshold > 0 && usec / 1000 >= threshold {
            self.latency.note(event, self.now, usec / 1000);
        }
    }

    /// The key that goes next.
    fn choose(&mut self, policy: EvictionPolicy) -> Option<(DbIndex, Box<[u8]>)> {
        let data = &mut self.data;
        match policy.order {
            EvictionOrder::Lru | EvictionOrder::Lfu => choose_by_use(&mut self.evictor.pool, data, policy),
            EvictionOrder::Ttl => choose_soonest(data),
            EvictionOrder::Random => choose_random(&mut self.evictor.next_db, data, policy),
        }
    }
}

/// For how long one step may evict, in µs; `None` for as long as it takes. Grows with `maxmemory-eviction-tenacity`: up to
/// 10 in proportion, to 500 µs, and from there by 15 % each; 100 knows no bound.
fn budget_us(tenacity: u32) -> Option<u64> {
    match tenacity {
        0..=10 => Some(50 * u64::from(tenacity)),
        11..=99 => Some((500.0 * 1.15_f64.powi(tenacity as i32 - 10)) as u64),
        _ => None,
    }
}

fn databases(data: &Data) -> impl Iterator<Item = DbIndex> + use<> {
    (0..data.keyspace.databases()).map(DbIndex)
}

/// How many keys of a database a policy may choose from.
fn choosable(data: &Data, db: DbIndex, sampled: Sampled) -> u64 {
    let db = data.keyspace.db(db);
    match sampled {
        Sampled::All => db.len(),
        Sampled::Expiring => db.expiring_len(),
    }
}

fn choose_by_use(pool: &mut Vec<Candidate>, data: &mut Data, policy: EvictionPolicy) -> Option<(DbIndex, Box<[u8]>)> {
    let sampled = policy.among;
    loop {
        let mut any = false;
        for db in databases(data) {
            if choosable(data, db, sampled) > 0 {
                any = true;
                feed(pool, data, db, policy);
            }
        }
        if !any {
            return None;
        }
        // What was seen once may be gone since, or expire no more.
        while let Some(best) = pool.pop() {
            let hash = data.keyspace.hash(&best.key);
            let entry = data.keyspace.db(best.db).get(&best.key, hash);
            if entry.is_some_and(|entry| sampled == Sampled::All || entry.expiry().is_some()) {
                return Some((best.db, best.key));
            }
        }
    }
}

/// Adds a few samples of a database to the pool, those that are better than what is in it.
fn feed(pool: &mut Vec<Candidate>, data: &mut Data, db: DbIndex, policy: EvictionPolicy) {
    let wanted = data.settings.maxmemory_samples as usize;
    let (clock, settings) = (data.access_clock, &data.settings);
    let score = |entry: &Entry| match policy.order {
        EvictionOrder::Lfu => 255 - u64::from(lfu_counter(entry.clock(), clock, settings)),
        _ => u64::from(clock.wrapping_sub(entry.clock()) & 0xff_ffff),
    };
    let mut visit = |entry: &Entry| {
        let score = score(entry);
        let full = pool.len() >= POOL;
        let known = |other: &Candidate| other.db == db && *other.key == *entry.key();
        if (full && pool[0].score >= score) || pool.iter().any(known) {
            return;
        }
        if full {
            pool.remove(0);
        }
        let at = pool.partition_point(|other| other.score <= score);
        let key = entry.key().into();
        pool.insert(at, Candidate { score, db, key });
    };
    let (mut seen, mut tries) = (0, 0);
    while seen < wanted && tries < wanted {
        seen += data
            .keyspace
            .db(db)
            .sample(policy.among, wanted - seen, &mut data.rng, &mut visit);
        tries += 1;
    }
}

fn choose_soonest(data: &Data) -> Option<(DbIndex, Box<[u8]>)> {
    let soonest = |db: DbIndex| data.keyspace.db(db).soonest_entry().map(|entry| (db, entry));
    let first = databases(data)
        .filter_map(soonest)
        .min_by_key(|(_, entry)| entry.expiry());
    first.map(|(db, entry)| (db, entry.key().into()))
}

/// A random key, from one database after the other.
fn choose_random(next_db: &mut u32, data: &mut Data, policy: EvictionPolicy) -> Option<(DbIndex, Box<[u8]>)> {
    let count = data.keyspace.databases();
    for _ in 0..count {
        let db = DbIndex(*next_db % count);
        *next_db = (*next_db + 1) % count;
        let keys = data.keyspace.db(db);
        let entry = match policy.among {
            Sampled::All => keys.random(&mut data.rng),
            Sampled::Expiring => keys.random_expiring(&mut data.rng),
        };
        if let Some(entry) = entry {
            return Some((db, entry.key().into()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands;
    use crate::testing::check_with;
    use std::any::Any;

    /// Memory is what the databases reach.
    struct Measured;

    impl Host for Measured {
        fn as_any(&mut self) -> &mut dyn Any {
            self
        }

        fn counted_memory(&self, data: &Data) -> u64 {
            data.keyspace.live_bytes()
        }
    }

    fn engine(order: EvictionOrder, among: Sampled) -> Engine {
        let mut engine = Engine::new(16, 7, || 0, commands::ALL);
        engine.data.settings.eviction = Some(EvictionPolicy { order, among });
        engine.data.settings.lfu = order == EvictionOrder::Lfu;
        engine.data.settings.eviction_tenacity = 100;
        engine
    }

    #[test]
    fn nothing_goes_without_a_policy_and_what_needs_memory_is_refused() {
        let mut engine = engine(EvictionOrder::Random, Sampled::All);
        engine.data.settings.eviction = None;
        let play = |engine: &mut Engine, transcript: &str| check_with(engine, &mut Measured, transcript);
        play(&mut engine, "> SET a 1\nOK");
        engine.data.settings.maxmemory = 1;
        play(
            &mut engine,
            "
            > SET b 1
            OOM command not allowed when used memory > 'maxmemory'.
            > GET a
            1
            > MULTI
            OK
            > GET a
            OOM command not allowed when used memory > 'maxmemory'.
            > EXEC
            EXECABORT Transaction discarded because of previous errors.
            > DEL a
            1
            > SET b 1
            OK
        ",
        );
    }

    #[test]
    fn volatile_policies_leave_the_others_alone() {
        for order in [
            EvictionOrder::Lru,
            EvictionOrder::Lfu,
            EvictionOrder::Ttl,
            EvictionOrder::Random,
        ] {
            let mut engine = engine(order, Sampled::Expiring);
            check_with(
                &mut engine,
                &mut Measured,
                "> MSET a 1 b 2 c 3\nOK\n> SET v 1 EX 100\nOK\n> SET w 1 EX 50\nOK\n> SELECT 3\nOK\n> SET x 1 EX 200\nOK",
            );
            engine.data.settings.maxmemory = 1;
            check_with(
                &mut engine,
                &mut Measured,
                "
                > SET b 1
                OOM command not allowed when used memory > 'maxmemory'.
                > EXISTS a b c v w
                3
                ",
            );
            assert_eq!(engine.data.stats.evicted_keys, 3);
            assert_eq!(engine.data.keyspace.key_count(), 3);
        }
    }

    #[test]
    fn the_soonest_goes_first_and_each_key_is_an_execution_of_its_own() {
        let mut engine = engine(EvictionOrder::Ttl, Sampled::Expiring);
        check_with(
            &mut engine,
            &mut Measured,
            "> SET late 1 EX 100\nOK\n> SELECT 1\nOK\n> SET soon 1 EX 50\nOK\n> SET never 1\nOK",
        );
        engine.data.propagation.end_unit();
        engine.data.propagation.clear_ready();
        engine.data.recorded_events = None;
        engine.data.settings.maxmemory = 1;
        check_with(
            &mut engine,
            &mut Measured,
            "
            > GET never
            (nil)
            propagated: DEL soon
            propagated: SELECT 0
            propagated: DEL late
            events: evicted soon
            events: evicted late
            ",
        );
    }

    #[test]
    fn used_keys_stay() {
        for order in [EvictionOrder::Lru, EvictionOrder::Lfu] {
            let mut engine = engine(order, Sampled::All);
            engine.data.settings.maxmemory_samples = 10;
            let mut transcript = String::new();
            for number in 0..200 {
                transcript += &format!("> SET key:{number} {}\nOK\n", "x".repeat(100));
            }
            transcript += "clock: +100000\n";
            for _ in 0..20 {
                for number in 0..100 {
                    transcript += &format!("> EXISTS key:{number}\n1\n> STRLEN key:{number}\n100\n");
                }
            }
            check_with(&mut engine, &mut Measured, &transcript);
            engine.data.settings.maxmemory = engine.data.keyspace.live_bytes() * 6 / 10;
            check_with(&mut engine, &mut Measured, "clock: +200000\n> PING\nPONG");
            let evicted = engine.data.stats.evicted_keys;
            assert!((60..=100).contains(&evicted), "{evicted} went");
            let db = engine.data.keyspace.db(DbIndex(0));
            let kept = (0..100).filter(|number| {
                let key = format!("key:{number}");
                db.get(key.as_bytes(), engine.data.keyspace.hash(key.as_bytes()))
                    .is_some()
            });
            assert!(kept.count() >= 95, "{order:?}: keys in use went");
        }
    }

    #[test]
    fn a_step_ends_in_time_and_the_next_turn_goes_on() {
        assert_eq!(budget_us(0), Some(0));
        assert_eq!(budget_us(10), Some(500));
        assert_eq!(budget_us(11), Some(575));
        assert_eq!(budget_us(100), None);
        let mut engine = engine(EvictionOrder::Random, Sampled::All);
        let mut transcript = String::new();
        (0..100).for_each(|number| transcript += &format!("> SET key:{number} x\nOK\n"));
        check_with(&mut engine, &mut Measured, &transcript);
        engine.data.settings.eviction_tenacity = 0;
        // A clock that moves at every look.
        static TICKS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        engine.set_clock(|| TICKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        engine.data.settings.maxmemory = 1;
        assert_eq!(engine.make_room(&Measured), Room::Evicting);
        assert_eq!(engine.data.stats.evicted_keys, KEYS_PER_LOOK);
        while engine.evictor.under_way {
            engine.evict_on(&Measured);
        }
        assert_eq!(engine.data.stats.evicted_keys, 100);
    }

    #[test]
    fn a_replica_leaves_the_limit_to_its_primary() {
        let mut engine = engine(EvictionOrder::Random, Sampled::All);
        check_with(&mut engine, &mut Measured, "> SET a 1\nOK");
        engine.data.settings.maxmemory = 1;
        engine.data.settings.role = Role::Replica;
        assert_eq!(engine.make_room(&Measured), Room::Within);
        engine.data.settings.ignore_maxmemory_as_replica = false;
        engine.make_room(&Measured);
        assert_eq!(engine.data.keyspace.key_count(), 0);
    }
}
