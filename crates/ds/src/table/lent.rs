//! What a node knows of the claims it has to what is below.
//!
//! ```text
//!   live ──► original ──► a b c                   live ──► copy ──► a b c        half a claim to each, both;
//!   view ────┘                            view ──► original ────┘                original: lent
//! ```
//!
//! A node that is copied, because a frozen view holds it too, has its claims together with the copy from then on, without a
//! look at what is below ([`crate::count`]). The original's pointers stay as they are, since others read them: a mark says
//! how they are to be taken.
//!
//! Where halves from an earlier copy are not settled, because views overlap, these children are counted, and it is the
//! original whose claims to them become whole.

use std::sync::atomic::{AtomicU32, Ordering};

use super::child::Child;
use crate::account::Account;
use crate::entry::Entry;

const LENT: u32 = 3;
const GENERATION_AT: u32 = 2;

/// The mark of a node: how it was lent, and of which generation the youngest of its halves are.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Mark(AtomicU32);

/// How a node's claims are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lent {
    /// As the pointers say.
    No = 0,
    /// All are halves.
    All = 1,
    /// Those that were whole are halves, and those that were halves are whole ones beside others.
    Whole = 2,
}

impl Mark {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The same mark, for when the node is gone.
    pub(super) fn clone(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }

    fn generation(&self) -> u32 {
        self.0.load(Ordering::Relaxed) >> GENERATION_AT
    }

    /// How the node was lent. To be asked by its last holder: whoever lends a node is one, and gives it up afterwards.
    pub(super) fn lent(&self) -> Lent {
        match self.0.load(Ordering::Relaxed) & LENT {
            0 => Lent::No,
            1 => Lent::All,
            _ => Lent::Whole,
        }
    }

    /// Marks a node as lent to a copy, whose mark is `copy`.
    pub(super) fn lend(&self, copy: &Self, account: &Account) -> Lent {
        let generation = self.generation();
        let lent = if account.is_settled(generation) {
            Lent::All
        } else {
            Lent::Whole
        };
        assert_eq!(self.lent(), Lent::No, "a node is lent once");
        self.0
            .store(generation << GENERATION_AT | lent as u32, Ordering::Relaxed);
        copy.0.store(account.generation() << GENERATION_AT, Ordering::Relaxed);
        lent
    }

    /// To be called on the mark of a node that takes in what is below another, which has this mark.
    pub(super) fn inherit(&self, from: &Self) {
        let generation = self.generation().max(from.generation());
        self.0.store(generation << GENERATION_AT, Ordering::Relaxed);
    }
}

impl Lent {
    /// What the original has of a child, taken from its pointer.
    pub(super) fn child(self, child: Child) -> Child {
        match self {
            Self::No => child,
            Self::Whole if child.claim().is_half() => child.counted(),
            Self::All | Self::Whole => child.halved(),
        }
    }

    /// The same of an entry.
    pub(super) fn entry(self, entry: Entry) -> Entry {
        match self {
            Self::No => entry,
            Self::Whole if entry.claim().is_half() => entry.counted(),
            Self::All | Self::Whole => entry.halve(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use base::Rng;

    use crate::account::Account;
    use crate::hash::Hasher;
    use crate::table::{Frozen, Table};
    use crate::value::{NewValue, ValueRef};

    type Model = BTreeMap<Vec<u8>, i64>;

    fn number(value: ValueRef<'_>) -> i64 {
        let ValueRef::Int(number) = value else {
            panic!("only numbers were set")
        };
        number
    }

    fn read(view: Frozen) -> Model {
        let entries = view.into_entries();
        entries
            .map(|entry| (entry.key().to_vec(), number(entry.value())))
            .collect()
    }

    struct Trial {
        rng: Rng,
        table: Table,
        model: Model,
        account: Arc<Account>,
        keys: u64,
        next: i64,
    }

    impl Trial {
        fn new(seed: u64, keys: u64) -> Self {
            let account = Arc::new(Account::default());
            Self {
                rng: Rng::new(seed),
                table: Table::new(Arc::new(Hasher::new(seed)), account.clone()),
                model: Model::new(),
                account,
                keys,
                next: 0,
            }
        }

        /// Sets and removes as many keys, of which there come to be about that share.
        fn write(&mut self, writes: u64, share: u64) {
            for _ in 0..writes {
                let key = self.rng.below(self.keys).to_string().into_bytes();
                let hash = self.table.hash(&key);
                if self.rng.below(100) < share {
                    self.next += 1;
                    self.table.set(&key, hash, NewValue::Int(self.next), None);
                    self.model.insert(key, self.next);
                } else {
                    let was = self.table.delete(&key, hash).is_some();
                    assert_eq!(was, self.model.remove(&key).is_some());
                }
            }
        }

        fn check(&self) {
            let entries = self.table.iter();
            let now: Model = entries
                .map(|entry| (entry.key().to_vec(), number(entry.value())))
                .collect();
            assert_eq!(now, self.model);
        }

        fn end(self) {
            self.check();
            drop(self.table);
            assert_eq!(self.account.frozen_bytes(), 0, "what no view holds any more");
        }
    }

    const ROUNDS: u64 = if cfg!(slow_checker) { 6 } else { 40 };
    const KEYS: u64 = if cfg!(slow_checker) { 3_000 } else { 12_000 };

    /// One view after another: claims are halved, settled and halved again, in tables that grow, shrink and are laid out
    /// anew meanwhile.
    #[test]
    fn views_one_after_another() {
        let mut trial = Trial::new(1, KEYS);
        for round in 0..ROUNDS {
            let (view, then) = (trial.table.freeze(), trial.model.clone());
            let share = [90, 50, 10][round as usize / 5 % 3];
            let writes = trial.rng.below(KEYS);
            trial.write(writes, share);
            if round % 7 == 3 {
                let len = trial.table.len();
                trial.table.prepare(len + len / 2);
            }
            if round % 2 == 0 {
                trial.check();
            }
            assert_eq!(read(view), then);
            assert_eq!(trial.account.frozen_bytes(), 0, "what no view holds any more");
            let writes = trial.rng.below(KEYS / 4);
            trial.write(writes, share);
        }
        trial.end();
    }

    /// Views that overlap in every way, with times without any between.
    #[test]
    fn views_beside_each_other() {
        let mut trial = Trial::new(2, KEYS / 2);
        let mut views: Vec<(Frozen, Model)> = Vec::new();
        for round in 0..2 * ROUNDS {
            if round % 12 == 11 {
                views.drain(..).for_each(|(view, then)| assert_eq!(read(view), then));
                assert_eq!(trial.account.frozen_bytes(), 0, "what no view holds any more");
            }
            if views.len() == 4 || !views.is_empty() && trial.rng.below(3) == 0 {
                let which = trial.rng.below(views.len() as u64) as usize;
                let (view, then) = views.swap_remove(which);
                assert_eq!(read(view), then);
            }
            views.push((trial.table.freeze(), trial.model.clone()));
            let writes = trial.rng.below(KEYS / 2);
            trial.write(writes, [80, 40][round as usize / 9 % 2]);
        }
        views.into_iter().for_each(|(view, then)| assert_eq!(read(view), then));
        trial.end();
    }

    /// A reader gives up what it has read while the writer writes, view after view.
    #[test]
    fn views_on_another_thread() {
        let mut trial = Trial::new(3, KEYS);
        trial.write(KEYS, 100);
        for _ in 0..ROUNDS {
            let (view, then) = (trial.table.freeze(), trial.model.clone());
            std::thread::scope(|scope| {
                scope.spawn(move || assert_eq!(read(view), then));
                trial.write(KEYS / 3, 85);
            });
            assert_eq!(trial.account.frozen_bytes(), 0, "what no view holds any more");
        }
        trial.end();
    }

    /// The first write to what a view holds counts nothing but what it replaces, the first time and later on.
    #[test]
    fn what_is_not_written_is_not_touched() {
        let mut trial = Trial::new(4, KEYS);
        trial.write(KEYS, 100);
        for _ in 0..4 {
            let view = trial.table.freeze();
            let counts = |table: &Table| -> Vec<u8> { table.iter().map(|entry| entry.count_word()).collect() };
            let before = counts(&trial.table);
            let (key, _) = trial.model.first_key_value().map(|(k, v)| (k.clone(), *v)).unwrap();
            trial.table.set(&key, trial.table.hash(&key), NewValue::Int(7), None);
            trial.model.insert(key, 7);
            let after = counts(&trial.table);
            let differ = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert!(differ <= 1, "{differ} entries were counted");
            assert!(trial.table.iter().any(|entry| !entry.is_alone()), "a segment of halves");
            drop(view);
            assert!(trial.table.iter().all(|entry| entry.is_alone()), "the view is gone");
        }
        trial.end();
    }
}
