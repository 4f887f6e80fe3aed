//! A large sorted set: members in a hash-ordered table, and references to them in order of score.
//!
//! ```text
//!   members: Table ──► … ──► segment ──► entry { key: member, value: score as 8 bytes }
//!                                          ▲
//!   order: Seq ──► … ──► leaf: mark, reference        by score, then by the member's bytes
//! ```
//!
//! The mark is the score as far as sixteen bits can say it within one leaf: a search looks at entries only where marks
//! are equal.
//!
//! The order owns nothing but its nodes: entries are the table's. Whenever the table gives a member another block, the
//! reference in the order changes with it. A fork shares the nodes of both, and since its table holds every entry that
//! its order refers to, so does the original.

use std::cmp::Ordering;
use std::mem;
use std::ptr::NonNull;
use std::sync::Arc;

use base::Rng;

use crate::account::{Account, Ledger};
use crate::entry::{Entry, upper, with_upper};
use crate::hash::KeyHash;
use crate::object::Container;
use crate::seq::{Descent, Item, Iter, IterBack, Kept, Point, Present, Seq};
use crate::table::{Table, side_by_side};

/// A reference to an entry that the table next to it holds, with a mark in the upper part of the address.
#[derive(Clone, Copy)]
struct Ranked(NonNull<u8>);

// SAFETY: as for `Entry`, which it stands for: it gives reads of a block that its container's table holds.
unsafe impl Send for Ranked {}
// SAFETY: as above.
unsafe impl Sync for Ranked {}

impl Ranked {
    /// The reference to the block of an entry.
    fn to(entry: NonNull<u8>) -> Self {
        Self(entry)
    }

    /// The entry. It lives as long as the item is in its sequence: items go before their entries do.
    fn entry(&self) -> &Entry {
        // SAFETY: the entry lives, in a table that is borrowed or owned together with the sequence of this item; its tag,
        // in the place of which the mark is, is not asked for.
        unsafe { Entry::from_raw_ref(&self.0) }
    }

    fn is(&self, entry: NonNull<u8>) -> bool {
        self.entry().is_at(entry)
    }

    fn score(&self) -> f64 {
        score_of(self.entry())
    }

    fn cmp_to(&self, score: f64, member: &[u8]) -> Ordering {
        self.score()
            .total_cmp_numbers(score)
            .then_with(|| self.entry().key().cmp(member))
    }
}

impl Item for Ranked {
    const MARKED: bool = true;

    fn sort_key(&self) -> u64 {
        sort_key(self.score())
    }

    #[inline]
    fn mark(&self) -> u16 {
        upper(self.0)
    }

    #[inline]
    fn set_mark(&mut self, mark: u16) {
        self.0 = with_upper(self.0, mark);
    }

    fn prefetch(&self) {
        self.entry().prefetch_short();
    }

    fn share(&self) -> Self {
        *self
    }
}

/// Where a member is, or would be.
#[derive(Clone, Copy)]
struct Place<'a> {
    score: f64,
    member: &'a [u8],
}

impl<'a> Place<'a> {
    /// In front of it.
    fn point(self) -> Point<impl Fn(&Ranked) -> bool + Copy + 'a> {
        Point {
            key: sort_key(self.score),
            before: move |item: &Ranked| item.cmp_to(self.score, self.member).is_lt(),
        }
    }

    /// The member itself, which is there and has this entry.
    fn present(
        self,
        entry: NonNull<u8>,
    ) -> Present<impl Fn(&Ranked) -> bool + Copy + 'a, impl Fn(&Ranked) -> bool + Copy + 'a> {
        Present {
            key: sort_key(self.score),
            is: move |item: &Ranked| item.is(entry),
            up_to: move |item: &Ranked| item.cmp_to(self.score, self.member).is_le(),
        }
    }
}

trait CompareNumbers {
    fn total_cmp_numbers(self, other: Self) -> Ordering;
}

impl CompareNumbers for f64 {
    /// The order of numbers that are not NaN, as scores never are.
    fn total_cmp_numbers(self, other: Self) -> Ordering {
        self.partial_cmp(&other).unwrap_or(Ordering::Equal)
    }
}

/// A number that compares as the score does. The two zeros are equal.
fn sort_key(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The score of the member that has this entry.
#[inline]
#[must_use]
pub fn score_of(entry: &Entry) -> f64 {
    entry.word().map_or(0.0, f64::from_le_bytes)
}

/// What adding a member did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Placed {
    /// It is new.
    Added,
    /// It had this other score.
    Moved(f64),
    /// It had this score.
    Unchanged,
}

/// A large sorted set. Scores are never NaN.
#[derive(Debug)]
pub struct Zset {
    members: Table,
    order: Seq<Ranked>,
    /// The nodes of `order`.
    ledger: Ledger,
}

impl Zset {
    /// An empty set around an empty table of the keyspace it will be in.
    #[must_use]
    pub fn new(members: Table) -> Self {
        assert!(members.is_empty(), "a sorted set begins without members");
        let ledger = Ledger::new(members.account().clone());
        Self {
            members,
            order: Seq::new(),
            ledger,
        }
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.order.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The members, by their hash.
    #[must_use]
    pub fn members(&self) -> &Table {
        &self.members
    }

    /// The score of `member`.
    #[must_use]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.members.get(member, self.members.hash(member)).map(score_of)
    }

    /// How many members come before `member`, and its score.
    #[must_use]
    pub fn rank(&self, member: &[u8]) -> Option<(u64, f64)> {
        let entry = self.members.get(member, self.members.hash(member))?;
        let score = score_of(entry);
        let present = Place { score, member }.present(entry.as_raw());
        Some((self.order.index_of_present(present), score))
    }

    /// The member of rank `index` and its score.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<(&[u8], f64)> {
        self.order.get(index).map(parts)
    }

    /// How many members have a score below `score`, or up to it.
    #[must_use]
    pub fn count_by_score(&self, score: f64, up_to: bool) -> u64 {
        self.order.partition_point_by_key(sort_key(score), |item| {
            if up_to {
                item.score() <= score
            } else {
                item.score() < score
            }
        })
    }

    /// How many members `before` is true for, where it is for all up to some rank and for none from there on.
    pub fn partition_point(&self, mut before: impl FnMut(&[u8], f64) -> bool) -> u64 {
        self.order
            .partition_point(|item| before(item.entry().key(), item.score()))
    }

    /// Members and scores from rank `index` on, upwards.
    #[must_use]
    pub fn iter_from(&self, index: u64) -> Upwards<'_> {
        Upwards(self.order.iter_from(index))
    }

    /// The member of rank `index` and all below, downwards, with scores. Nothing if there is no such member.
    #[must_use]
    pub fn iter_back_from(&self, index: u64) -> Downwards<'_> {
        Downwards(self.order.iter_back_from(index))
    }

    /// A random member, every one equally likely.
    pub fn random(&self, rng: &mut Rng) -> Option<(&[u8], f64)> {
        if self.is_empty() {
            return None;
        }
        self.get(rng.below(self.len()))
    }

    /// Visits some members; see [`Table::scan`].
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(&[u8], f64)) -> u64 {
        self.members
            .scan(cursor, count, &mut |entry| visit(entry.key(), score_of(entry)))
    }

    /// Gives `member` this score, whether it was there or not.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Placed {
        // Nothing is left alone.
        self.update(member, Foreseen::default(), |_| Some(score))
            .map_or(Placed::Unchanged, |(placed, _)| placed)
    }

    /// Gives `member` the score that `decide` makes of the one it has, or of none. Gives what that did, and the score; or
    /// nothing if `decide` leaves the member alone.
    pub fn update(
        &mut self,
        member: &[u8],
        foreseen: Foreseen<'_>,
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Option<(Placed, f64)> {
        let hash = foreseen.hash.unwrap_or_else(|| self.members.hash(member));
        debug_assert_eq!(hash, self.members.hash(member), "the hash of another member");
        let (from, to) = (foreseen.ways.map(|ways| &ways.from), foreseen.ways.map(|ways| &ways.to));
        let Self { members, order, ledger } = self;
        let spot = members.spot(member, hash);
        let old = spot.entry().map(|entry| (score_of(entry), entry.as_raw()));
        let score = decide(old.map(|(old, _)| old))?;
        let there = Place { score, member };
        let store = || Ranked::to(spot.set_text(&score.to_le_bytes()));
        let Some((old, entry)) = old else {
            order.insert_at_point(there.point(), to, ledger, store);
            return Some((Placed::Added, score));
        };
        if score == old {
            return Some((Placed::Unchanged, score));
        }
        let here = Place { score: old, member };
        order.shift((here.present(entry), there.point()), (from, to), ledger, store);
        Some((Placed::Moved(old), score))
    }

    /// Takes `member` out; gives the score it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let hash = self.members.hash(member);
        let Self { members, order, ledger } = self;
        let spot = members.spot(member, hash);
        let (score, entry) = spot.entry().map(|entry| (score_of(entry), entry.as_raw()))?;
        order.remove_present(Place { score, member }.present(entry), ledger);
        spot.delete();
        Some(score)
    }

    /// The searches for where members of the one score are in the order, and where a member would be that gets the other:
    /// to be taken down beside others. The ways they find are kept.
    #[inline]
    pub fn towards<'a>(
        &'a self,
        old: Option<f64>,
        new: Option<f64>,
        ways: &'a mut Ways,
    ) -> [Option<TowardsPlace<'a>>; 2] {
        let Ways { from, to } = ways;
        let search = |score: f64, compares, kept| Descent::new(&self.order, sort_key(score), compares, kept);
        [
            old.and_then(|score| search(score, false, from)).map(TowardsPlace),
            new.and_then(|score| search(score, true, to)).map(TowardsPlace),
        ]
    }

    /// Takes out the member of this rank.
    fn remove_at(&mut self, rank: u64) {
        let entry = self.order.remove(rank, &mut self.ledger).0;
        // SAFETY: what was in the order is in the table.
        unsafe { self.members.delete_entry(entry) };
        // Whoever takes one from an end is likely to come back for the next: the one after it is looked at then, and what
        // leads to it.
        let len = self.len();
        let coming = |steps: u64| if rank == 0 { steps } else { len.wrapping_sub(steps + 1) };
        if rank == 0 || rank == len {
            if let Some(next) = self.order.get(coming(0)) {
                self.members.prefetch_for_write(self.members.hash(next.entry().key()));
            }
            if let Some(later) = self.order.get(coming(2)) {
                later.prefetch();
            }
        }
    }

    /// Takes out the members of the ranks from `start` up to, not including, `end`. Panics if they are not there.
    pub fn remove_range(&mut self, start: u64, end: u64) {
        if end == start + 1 {
            return self.remove_at(start);
        }
        let items: Vec<Ranked> = self
            .order
            .iter_from(start)
            .take((end - start) as usize)
            .copied()
            .collect();
        self.order.remove_range(start, end, &mut self.ledger);
        for item in items {
            // SAFETY: what was in the order is in the table.
            unsafe { self.members.delete_entry(item.0) };
        }
    }
}

/// The ways in the order that were found while memory was asked for them: to where a member is, and to where it will be.
#[derive(Debug, Default)]
pub struct Ways {
    from: Kept<Ranked>,
    to: Kept<Ranked>,
}

/// What is known of a member before it is looked up, to be used again. Ways may have become wrong, and be those of others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Foreseen<'a> {
    /// Its hash, which must be right.
    pub hash: Option<KeyHash>,
    /// Where its places were when that was looked for.
    pub ways: Option<&'a Ways>,
}

/// A search that asks the processor for places in the order of a large sorted set, a step at a time.
#[derive(Debug)]
pub struct TowardsPlace<'a>(Descent<'a, Ranked>);

impl TowardsPlace<'_> {
    /// Takes searches there, a step of each in turn, so that their cache misses pass side by side.
    pub fn take_down(searches: &mut [Option<Self>]) {
        side_by_side(searches, |search| search.0.step());
    }
}

fn parts(item: &Ranked) -> (&[u8], f64) {
    (item.entry().key(), item.score())
}

impl Container for Zset {
    fn memory_bytes(&self) -> usize {
        (self.members.memory_bytes() + self.ledger.bytes()) as usize
    }

    fn blocks(&self) -> usize {
        self.len() as usize + self.order.blocks()
    }

    fn fork(&self) -> Self {
        Self {
            members: self.members.fork(),
            order: self.order.fork(),
            ledger: self.ledger.fork(),
        }
    }

    fn release(mut self) {
        let account = self.ledger.account().clone();
        let empty = self.members.new_inner();
        mem::take(&mut self.order).release(&account);
        // What is left is an empty set, which drops as one.
        self.ledger = Ledger::new(account);
        mem::replace(&mut self.members, empty).release();
    }

    fn deep_copy(&self, account: &Arc<Account>) -> Self {
        let members = self.members.deep_copy(account);
        let mut ledger = Ledger::new(account.clone());
        let order = self.order.duplicate(&mut ledger, |item, _| {
            let member = item.entry().key();
            // The copy has the same members.
            let entry = members.get(member, members.hash(member)).expect("a copied member");
            Ranked::to(entry.as_raw())
        });
        Self { members, order, ledger }
    }
}

impl Drop for Zset {
    fn drop(&mut self) {
        mem::take(&mut self.order).leave(&mut self.ledger);
    }
}

/// Members and scores, upwards.
#[derive(Debug)]
pub struct Upwards<'a>(Iter<'a, Ranked>);

impl<'a> Iterator for Upwards<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(parts)
    }
}

/// Members and scores, downwards.
#[derive(Debug)]
pub struct Downwards<'a>(IterBack<'a, Ranked>);

impl<'a> Iterator for Downwards<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(parts)
    }
}

#[cfg(test)]
impl Zset {
    /// Address and size of every block of the set, but for its own.
    pub(crate) fn for_each_block(&self, each: &mut dyn FnMut(usize, usize)) {
        self.members.for_each_block(each);
        self.order.for_each_block(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hasher;
    use std::collections::BTreeMap;

    type Model = BTreeMap<Vec<u8>, f64>;

    fn sorted(model: &Model) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
        all.sort_by(|a, b| a.1.total_cmp_numbers(b.1).then_with(|| a.0.cmp(&b.0)));
        all
    }

    fn listed(zset: &Zset) -> Vec<(Vec<u8>, f64)> {
        zset.iter_from(0)
            .map(|(member, score)| (member.to_vec(), score))
            .collect()
    }

    fn check(zset: &Zset, model: &Model, rng: &mut Rng) {
        let expected = sorted(model);
        assert_eq!(zset.len(), expected.len() as u64);
        assert_eq!(zset.members.len(), zset.len());
        assert_eq!(listed(zset), expected);
        let mut back: Vec<_> = zset
            .iter_back_from(zset.len().wrapping_sub(1))
            .map(|(member, score)| (member.to_vec(), score))
            .collect();
        back.reverse();
        assert_eq!(back, expected);
        let mut bytes = 0;
        zset.for_each_block(&mut |_, size| bytes += size);
        assert_eq!(zset.memory_bytes(), bytes);
        if let Some(at) = (!expected.is_empty()).then(|| rng.below(expected.len() as u64)) {
            let (member, score) = &expected[at as usize];
            assert_eq!(zset.rank(member), Some((at, *score)));
            assert_eq!(zset.get(at), Some((&member[..], *score)));
            let below = expected.iter().filter(|(_, other)| other < score).count() as u64;
            let up_to = expected.iter().filter(|(_, other)| other <= score).count() as u64;
            assert_eq!(zset.count_by_score(*score, false), below);
            assert_eq!(zset.count_by_score(*score, true), up_to);
        }
        assert_eq!(zset.rank(b"absent"), None);
    }

    #[test]
    fn behaves_as_a_sorted_map_and_forks_stay() {
        for seed in 0..12 {
            let mut rng = Rng::new(seed);
            let account = Arc::new(Account::default());
            let mut zset = Zset::new(Table::new(Arc::new(Hasher::new(seed)), account.clone()));
            let mut model = Model::new();
            let mut frozen: Vec<(Zset, Model)> = Vec::new();
            // Few scores make for many equal ones.
            let scores = *rng.pick(&[3, 40, 100_000]);
            for round in 0..40 {
                for _ in 0..rng.below(200) {
                    let member = format!("member:{}", rng.below(600)).into_bytes();
                    if rng.chance(if round < 25 { 1 } else { 3 }, 5) {
                        assert_eq!(zset.remove(&member), model.remove(&member));
                    } else {
                        let score = match model.get(&member) {
                            // Often not far from where it is.
                            Some(old) if rng.chance(1, 3) => old + (rng.below(5) as f64 - 2.0) * scores as f64 / 1000.0,
                            _ => rng.below(scores) as f64 - (scores / 2) as f64,
                        };
                        let placed = match model.insert(member.clone(), score) {
                            None => Placed::Added,
                            Some(old) if old == score => Placed::Unchanged,
                            Some(old) => Placed::Moved(old),
                        };
                        assert_eq!(zset.insert(&member, score), placed);
                    }
                }
                if rng.chance(1, 5) {
                    let start = rng.below(zset.len() + 1);
                    let end = start + rng.below(zset.len() - start + 1);
                    for (member, _) in &sorted(&model)[start as usize..end as usize] {
                        model.remove(member);
                    }
                    zset.remove_range(start, end);
                }
                check(&zset, &model, &mut rng);
                if rng.chance(1, 4) && frozen.len() < 10 {
                    let fork = zset.fork();
                    frozen.push((mem::replace(&mut zset, fork), model.clone()));
                }
                if rng.chance(1, 6) && !frozen.is_empty() {
                    let (old, expected) = frozen.swap_remove(rng.below(frozen.len() as u64) as usize);
                    assert_eq!(listed(&old), sorted(&expected));
                    old.release();
                }
            }
            let other = Arc::new(Account::default());
            let copy = zset.deep_copy(&other);
            drop(zset);
            check(&copy, &model, &mut rng);
            for (old, expected) in frozen {
                assert_eq!(listed(&old), sorted(&expected));
                old.release();
            }
            assert_eq!(account.frozen_bytes(), 0);
        }
    }

    /// Ways are found for many changes before the first is made, as for a wave of requests: many of them are wrong by the time
    /// that they are gone, and the nodes on them gone.
    #[test]
    fn ways_that_were_kept_do_no_harm() {
        for seed in 0..if cfg!(slow_checker) { 3 } else { 24 } {
            let mut rng = Rng::new(seed);
            let account = Arc::new(Account::default());
            let mut zset = Zset::new(Table::new(Arc::new(Hasher::new(seed)), account.clone()));
            let mut model = Model::new();
            let mut frozen = None;
            let scores = *rng.pick(&[3, 100, 1000, 100_000]);
            let mut ways: Vec<Ways> = (0..16).map(|_| Ways::default()).collect();
            let mut gone = 0;
            for round in 0..if cfg!(slow_checker) { 150 } else { 600 } {
                let members = if round % 200 < 120 { 8000 } else { 3000 };
                let changes: Vec<(Vec<u8>, f64)> = (0..16)
                    .map(|_| (rng.below(members).to_le_bytes().to_vec(), rng.below(scores) as f64))
                    .collect();
                let mut searches: Vec<_> = ways
                    .iter_mut()
                    .zip(&changes)
                    .flat_map(|(ways, (member, score))| zset.towards(zset.score(member), Some(*score), ways))
                    .collect();
                TowardsPlace::take_down(&mut searches);
                for ((member, score), ways) in changes.iter().zip(&ways) {
                    match rng.below(40) {
                        0 if frozen.is_none() => {
                            let fork = zset.fork();
                            frozen = Some((mem::replace(&mut zset, fork), model.clone()));
                        }
                        0 => {
                            let (old, expected): (Zset, Model) = frozen.take().unwrap();
                            assert_eq!(listed(&old), sorted(&expected));
                            old.release();
                        }
                        1 => {
                            let start = rng.below(zset.len() + 1);
                            let end = zset.len().min(start + rng.below(100));
                            for (member, _) in &sorted(&model)[start as usize..end as usize] {
                                model.remove(member);
                            }
                            zset.remove_range(start, end);
                        }
                        2..10 => assert_eq!(zset.remove(member), model.remove(member)),
                        _ => {}
                    }
                    gone += usize::from(!ways.to.leads(&zset.order));
                    let foreseen = Foreseen {
                        hash: Some(zset.members.hash(member)),
                        ways: Some(ways),
                    };
                    zset.update(member, foreseen, |_| Some(*score));
                    model.insert(member.clone(), *score);
                }
                if round % 50 == 49 {
                    check(&zset, &model, &mut rng);
                }
            }
            check(&zset, &model, &mut rng);
            assert!(gone > 100, "{gone} ways were wrong");
            drop(zset);
            if let Some((old, _)) = frozen {
                old.release();
            }
            assert_eq!(account.frozen_bytes(), 0);
        }
    }

    /// A way lasts as long as no inner node changes: over changes within leaves, and until one splits.
    #[test]
    fn ways_last_while_inner_nodes_do() {
        let mut zset = Zset::new(Table::new(Arc::new(Hasher::new(1)), Arc::default()));
        for at in 0..5000u64 {
            let at = at * 37 % 5000;
            zset.insert(&at.to_le_bytes(), (at * 100) as f64);
        }
        let mut ways = Ways::default();
        let mut searches = zset.towards(Some(1000.0 * 100.0), Some(2000.0 * 100.0 + 50.0), &mut ways);
        TowardsPlace::take_down(&mut searches);
        assert!(ways.from.leads(&zset.order) && ways.to.leads(&zset.order));
        let foreseen = Foreseen {
            hash: None,
            ways: Some(&ways),
        };
        let moved = zset.update(&1000u64.to_le_bytes(), foreseen, |_| Some(200_050.0));
        assert_eq!(moved, Some((Placed::Moved(100_000.0), 200_050.0)));
        assert!(
            ways.to.leads(&zset.order),
            "a change of two leaves is none of inner nodes"
        );
        for at in 0..100u64 {
            zset.insert(&(10_000 + at).to_le_bytes(), 200_051.0);
        }
        assert!(!ways.to.leads(&zset.order), "a leaf has split");
    }

    /// Marks are of use only while a leaf's scale suits its scores, whatever these are and however they come to be there.
    #[test]
    fn neighbours_have_different_marks() {
        type Scores = fn(u64, &mut Rng) -> f64;
        let cases: [(&str, Scores); 6] = [
            ("uniform", |_, rng| rng.below(1 << 40) as f64),
            ("times", |at, rng| (1_700_000_000_000 + at * 20 + rng.below(100)) as f64),
            ("downwards", |at, _| -(at as f64)),
            ("fractions", |_, rng| rng.below(1 << 52) as f64 / (1u64 << 52) as f64),
            ("around zero", |_, rng| rng.below(1 << 20) as f64 - (1 << 19) as f64),
            ("all magnitudes", |_, rng| f64::from_bits(rng.below(0x7ff0 << 48))),
        ];
        for (name, score) in cases {
            let mut rng = Rng::new(5);
            let mut zset = Zset::new(Table::new(Arc::new(Hasher::new(1)), Arc::default()));
            let members = if cfg!(slow_checker) { 2000 } else { 20_000 };
            for at in 0..2 * members {
                let member = if at < members { at } else { rng.below(members) };
                let score = score(at, &mut rng);
                zset.insert(&member.to_le_bytes(), score);
            }
            let items: Vec<&Ranked> = zset.order.iter().collect();
            let told = |pair: &&[&Ranked]| pair[0].mark() != pair[1].mark() || pair[0].score() == pair[1].score();
            let told = items.windows(2).filter(told).count();
            assert!(told * 20 >= items.len() * 19, "{name}: {told} of {}", items.len());
        }
    }

    #[test]
    fn sort_keys_are_ordered_as_scores() {
        let scores = [
            f64::NEG_INFINITY,
            -1e300,
            -1.5,
            -1e-300,
            0.0,
            5e-324,
            1.0,
            2.0,
            f64::INFINITY,
        ];
        assert!(scores.windows(2).all(|pair| sort_key(pair[0]) < sort_key(pair[1])));
        assert_eq!(sort_key(-0.0), sort_key(0.0));
    }

    /// What a member costs in a large set: its entry, its share of the table and of the order.
    #[test]
    fn a_member_of_16_bytes_takes_54_at_most() {
        let members = if cfg!(slow_checker) { 20_000 } else { 200_000 };
        let mut rng = Rng::new(7);
        let mut zset = Zset::new(Table::new(Arc::new(Hasher::new(1)), Arc::default()));
        for number in 0..members {
            zset.insert(format!("member:{number:09}").as_bytes(), rng.below(1 << 40) as f64);
        }
        let bytes = zset.memory_bytes() as f64 / members as f64;
        assert!(bytes <= 54.0, "{bytes} bytes");
    }
}
