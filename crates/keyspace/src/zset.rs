//! Sorted sets: members in order of their scores, and of their bytes where scores are equal.
//!
//! ```text
//!   small    Pack::Zset   one listpack: member score member score …    in order; found by looking through it
//!   large    Zset         a table: member ──► score, and a sequence of its entries in order
//! ```
//!
//! A sorted set becomes large when it has too many members or one that is too long; it never becomes small again. All
//! ranges are ranges of ranks: a range by score or by member is looked up as one first.

use std::ops::Range;

use base::{Rng, number};
use ds::listpack::{self, Listpack, Value};
use ds::zset::{Downwards, Foreseen, Placed, Upwards};
use ds::{Bytes, Entry, NewValue, Object, ObjectMut, Pack, Table, ValueMut, ValueRef, Zset};

use crate::Encodings;
use crate::hash::Duplicate;

/// The most bytes that a listpack may grow to, as the stock server has it.
const LISTPACK_BYTES_MAX: usize = 1 << 30;

/// A member, in the form in which it is stored.
pub type Member<'a> = Value<'a>;

/// Up to where a sorted set stays in one block.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Members.
    entries: usize,
    /// Bytes of a member.
    value_bytes: usize,
}

impl Limits {
    fn of(encodings: &Encodings) -> Self {
        Self {
            // A negative number of entries is no limit.
            entries: usize::try_from(encodings.zset_max_listpack_entries).unwrap_or(usize::MAX),
            value_bytes: usize::try_from(encodings.zset_max_listpack_value).unwrap_or(usize::MAX),
        }
    }
}

/// One end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreBound {
    /// The score.
    pub score: f64,
    /// The score itself is outside.
    pub exclusive: bool,
}

/// One end of a range of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before all members.
    Lowest,
    /// This member, or where it would be, with it.
    Inclusive(&'a [u8]),
    /// This member, or where it would be, without it.
    Exclusive(&'a [u8]),
    /// After all members.
    Highest,
}

impl LexBound<'_> {
    /// Whether a member lies below this bound, as the lower end of a range.
    fn is_above(self, member: &[u8]) -> bool {
        match self {
            Self::Lowest => false,
            Self::Inclusive(bound) => member < bound,
            Self::Exclusive(bound) => member <= bound,
            Self::Highest => true,
        }
    }

    /// Whether a member lies within this bound, as the upper end of a range.
    fn admits(self, member: &[u8]) -> bool {
        match self {
            Self::Lowest => false,
            Self::Inclusive(bound) => member <= bound,
            Self::Exclusive(bound) => member < bound,
            Self::Highest => true,
        }
    }
}

/// A sorted set, to look at.
#[derive(Clone, Copy, Debug)]
pub enum ZsetRef<'a> {
    /// In one block.
    Pack(Listpack<'a>),
    /// In a table and a sequence.
    Large(&'a Zset),
}

impl<'a> ZsetRef<'a> {
    /// The sorted set that a value is, if it is one.
    #[must_use]
    pub fn of(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::Pack(Pack::Zset, bytes) => Some(Self::Pack(Listpack::new(bytes))),
            ValueRef::Zset(zset) => Some(Self::Large(zset)),
            _ => None,
        }
    }

    /// The number of members.
    #[must_use]
    pub fn len(self) -> u64 {
        match self {
            Self::Pack(pack) => pack.len() as u64 / 2,
            Self::Large(zset) => zset.len(),
        }
    }

    /// Whether there are none: only in the middle of a change.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The score of `member`.
    #[must_use]
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Pack(pack) => {
                let at = pack.find(member, 1)?;
                Some(score_of(pack.get(pack.next(at)?)))
            }
            Self::Large(zset) => zset.score(member),
        }
    }

    /// How many members come before `member`, and its score.
    #[must_use]
    pub fn rank(self, member: &[u8]) -> Option<(u64, f64)> {
        match self {
            Self::Pack(pack) => pack
                .pairs()
                .enumerate()
                .find(|(_, (_, other, _))| other.is(member))
                .map(|(rank, (_, _, score))| (rank as u64, score_of(score))),
            Self::Large(zset) => zset.rank(member),
        }
    }

    /// The member of this rank and its score.
    #[must_use]
    pub fn get(self, rank: u64) -> Option<(Member<'a>, f64)> {
        match self {
            Self::Pack(pack) => {
                let at = pack.seek(2 * rank as i64)?;
                Some((pack.get(at), score_of(pack.get(pack.next(at)?))))
            }
            Self::Large(zset) => zset.get(rank).map(|(member, score)| (Value::Bytes(member), score)),
        }
    }

    /// All members with their scores, upwards.
    #[must_use]
    pub fn iter(self) -> Members<'a> {
        self.range(0..self.len())
    }

    /// The members of these ranks with their scores, upwards. Ranks that are not there are left out.
    #[must_use]
    pub fn range(self, ranks: Range<u64>) -> Members<'a> {
        let left = ranks.end.min(self.len()).saturating_sub(ranks.start);
        let way = match self {
            _ if left == 0 => Way::Nowhere,
            Self::Pack(pack) => match pack.seek(2 * ranks.start as i64) {
                Some(at) => Way::PackUp(pack.iter_from(at)),
                None => Way::Nowhere,
            },
            Self::Large(zset) => Way::Up(zset.iter_from(ranks.start)),
        };
        Members { way, left }
    }

    /// The members of these ranks with their scores, downwards. Ranks that are not there are left out.
    #[must_use]
    pub fn range_back(self, ranks: Range<u64>) -> Members<'a> {
        let end = ranks.end.min(self.len());
        let left = end.saturating_sub(ranks.start);
        let way = match self {
            _ if left == 0 => Way::Nowhere,
            Self::Pack(pack) => {
                let before = pack.seek(2 * end as i64).unwrap_or(pack.end());
                Way::PackDown(pack.iter_back_before(before))
            }
            Self::Large(zset) => Way::Down(zset.iter_back_from(end - 1)),
        };
        Members { way, left }
    }

    /// The ranks of the members with scores from `min` to `max`.
    #[must_use]
    pub fn ranks_by_score(self, min: ScoreBound, max: ScoreBound) -> Range<u64> {
        let count = |score: f64, up_to: bool| match self {
            Self::Pack(pack) => pack
                .pairs()
                .map(|(_, _, other)| score_of(other))
                .take_while(|other| if up_to { *other <= score } else { *other < score })
                .count() as u64,
            Self::Large(zset) => zset.count_by_score(score, up_to),
        };
        let start = count(min.score, min.exclusive);
        let end = count(max.score, !max.exclusive);
        start..end.max(start)
    }

    /// The ranks of the members from `min` to `max`, where all scores are equal.
    #[must_use]
    pub fn ranks_by_member(self, min: LexBound<'_>, max: LexBound<'_>) -> Range<u64> {
        // Where scores differ the result is what it happens to be; stock looks at the two ends first.
        let is = |rank, test: &dyn Fn(&[u8]) -> bool| self.get(rank).is_some_and(|(member, _)| member.with_text(test));
        if !is(0, &|first| max.admits(first)) || is(self.len() - 1, &|last| min.is_above(last)) {
            return 0..0;
        }
        match self {
            Self::Pack(pack) => {
                let above = |member: &Value<'_>| member.with_text(|text| min.is_above(text));
                let within = |member: &Value<'_>| member.with_text(|text| max.admits(text));
                let start = pack.pairs().take_while(|(_, member, _)| above(member)).count();
                let inside = pack.pairs().skip(start).take_while(|(_, member, _)| within(member));
                start as u64..(start + inside.count()) as u64
            }
            Self::Large(zset) => {
                let start = zset.partition_point(|member, _| min.is_above(member));
                let end = zset.partition_point(|member, _| max.admits(member));
                start..end.max(start)
            }
        }
    }

    /// A random member with its score, every one equally likely. `None` of an empty set.
    #[must_use]
    pub fn random(self, rng: &mut Rng) -> Option<(Member<'a>, f64)> {
        match self.len() {
            0 => None,
            len => self.get(rng.below(len)),
        }
    }

    /// A score of this set as it is kept: in one block integers are, where seventeen digits may need an exponent.
    #[must_use]
    pub fn kept_text(self, score: f64) -> Vec<u8> {
        match self {
            Self::Pack(_) => score_text(score),
            Self::Large(_) => {
                let mut text = Vec::with_capacity(24);
                number::write_f64(&mut text, score);
                text
            }
        }
    }

    /// Visits about `count` members from `cursor` on and gives the cursor to go on from, as [`crate::Db::scan`] does. A
    /// small set is visited at once.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Member<'_>, f64)) -> u64 {
        match self {
            Self::Pack(_) => {
                self.iter().for_each(|(member, score)| visit(member, score));
                0
            }
            Self::Large(zset) => zset.scan(cursor, count, &mut |member, score| visit(Value::Bytes(member), score)),
        }
    }
}

/// Members with their scores.
#[derive(Debug)]
pub struct Members<'a> {
    way: Way<'a>,
    left: u64,
}

#[derive(Debug)]
enum Way<'a> {
    Nowhere,
    PackUp(listpack::Iter<'a>),
    PackDown(listpack::IterBack<'a>),
    Up(Upwards<'a>),
    Down(Downwards<'a>),
}

impl<'a> Iterator for Members<'a> {
    type Item = (Member<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let bytes = |(member, score)| (Value::Bytes(member), score);
        match &mut self.way {
            Way::Nowhere => None,
            Way::PackUp(iter) => {
                let (_, member) = iter.next()?;
                Some((member, score_of(iter.next()?.1)))
            }
            Way::PackDown(iter) => {
                let (_, score) = iter.next()?;
                Some((iter.next()?.1, score_of(score)))
            }
            Way::Up(iter) => iter.next().map(bytes),
            Way::Down(iter) => iter.next().map(bytes),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Members<'_> {}

/// The score that an entry of a listpack is.
fn score_of(value: Value<'_>) -> f64 {
    match value {
        Value::Int(number) => number as f64,
        Value::Bytes(text) => number::parse_f64(text).unwrap_or(0.0),
    }
}

/// A score as a listpack has it: an integer if it is one up to 2⁶², else seventeen digits.
fn score_text(score: f64) -> Vec<u8> {
    const INTEGERS: f64 = 4_611_686_018_427_387_904.0;
    let mut text = Vec::with_capacity(24);
    if score.abs() <= INTEGERS && score.trunc() == score {
        number::write_i64(&mut text, score as i64);
    } else {
        number::write_f64(&mut text, score);
    }
    text
}

/// A sorted set in a database, to change. It may become empty; whoever makes it so deletes the key.
#[derive(Debug)]
pub struct ZsetMut<'a> {
    value: ValueMut<'a>,
    limits: Limits,
    /// The set is a large one, which has members as long as none is taken out.
    has_members: bool,
}

impl<'a> ZsetMut<'a> {
    /// The sorted set that a value is, if it is one.
    #[must_use]
    pub fn new(value: ValueMut<'a>, encodings: &Encodings) -> Option<Self> {
        let has_members = matches!(ZsetRef::of(value.value())?, ZsetRef::Large(_));
        Some(Self {
            value,
            limits: Limits::of(encodings),
            has_members,
        })
    }

    /// A sorted set without members, to begin with.
    #[must_use]
    pub fn empty() -> NewValue<'static> {
        // A length of seven bytes, no entries, the end.
        NewValue::Pack(Pack::Zset, &[7, 0, 0, 0, 0, 0, 0xff])
    }

    /// The set as it is now.
    #[must_use]
    pub fn get(&self) -> ZsetRef<'_> {
        ZsetRef::of(self.value.value()).expect("checked when it was made, and only sorted sets are put in its place")
    }

    /// Whether there are no members now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_members && self.get().is_empty()
    }

    /// The entry that the set is the value of.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        self.value.entry()
    }

    /// Gives `member` this score, which is not NaN, whether it is there or not.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Placed {
        // Nothing is left alone.
        self.update(member, Foreseen::default(), |_| Some(score))
            .map_or(Placed::Unchanged, |(placed, _)| placed)
    }

    /// Gives `member` the score, which is not NaN, that `decide` makes of the one it has, or of none. Gives what that did,
    /// and the score; or nothing if `decide` leaves the member alone.
    pub fn update(
        &mut self,
        member: &[u8],
        foreseen: Foreseen<'_>,
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Option<(Placed, f64)> {
        if self.has_members {
            return self.change(|zset| zset.update(member, foreseen, decide));
        }
        let ZsetRef::Pack(pack) = self.get() else {
            return self.change(|zset| zset.update(member, foreseen, decide));
        };
        let Some(at) = pack.find(member, 1) else {
            let score = decide(None)?;
            self.add(member, score);
            return Some((Placed::Added, score));
        };
        // Members and scores come in pairs.
        let old = pack.next(at).map_or(0.0, |at| score_of(pack.get(at)));
        let score = decide(Some(old))?;
        if old == score {
            return Some((Placed::Unchanged, score));
        }
        let mut pack = self.value.pack_mut();
        listpack::delete(&mut pack, at, 2);
        insert_into_pack(&mut pack, member, score);
        Some((Placed::Moved(old), score))
    }

    /// Adds a member that is not there to a set in one block, which may become a large one.
    fn add(&mut self, member: &[u8], score: f64) {
        if let ZsetRef::Pack(pack) = self.get() {
            let fits = pack.len() / 2 < self.limits.entries
                && member.len() <= self.limits.value_bytes
                && pack.bytes().len() + member.len() < LISTPACK_BYTES_MAX;
            if fits {
                return insert_into_pack(&mut self.value.pack_mut(), member, score);
            }
        }
        let zset = large(self.get(), self.value.new_table());
        self.value.replace(NewValue::Object(Object::Zset(Box::new(zset))));
        self.change(|zset| zset.insert(member, score));
    }

    /// Takes `member` out; gives the score it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        self.has_members = false;
        let ZsetRef::Pack(pack) = self.get() else {
            return self.change(|zset| zset.remove(member));
        };
        let at = pack.find(member, 1)?;
        let score = score_of(pack.get(pack.next(at)?));
        listpack::delete(&mut self.value.pack_mut(), at, 2);
        Some(score)
    }

    /// Takes out the members of these ranks. Panics if they are not there.
    pub fn remove_range(&mut self, ranks: Range<u64>) {
        self.has_members = false;
        let ZsetRef::Pack(pack) = self.get() else {
            return self.change(|zset| zset.remove_range(ranks.start, ranks.end));
        };
        if let Some(at) = pack.seek(2 * ranks.start as i64) {
            let entries = 2 * (ranks.end - ranks.start) as usize;
            listpack::delete(&mut self.value.pack_mut(), at, entries);
        }
    }

    /// Changes a large set.
    fn change<R>(&mut self, change: impl FnOnce(&mut Zset) -> R) -> R {
        self.value.object_mut(|object| match object {
            ObjectMut::Zset(zset) => change(zset),
            other => unreachable!("{other:?} in place of a sorted set"),
        })
    }
}

/// Puts a member that is not there into a block, in its place.
fn insert_into_pack(pack: &mut impl Bytes, member: &[u8], score: f64) {
    let block = Listpack::new(pack.as_slice());
    let place = block
        .pairs()
        .find(|(_, other, other_score)| {
            let other_score = score_of(*other_score);
            other_score > score || (other_score == score && other.with_text(|text| text > member))
        })
        .map_or(block.end(), |(at, _, _)| at);
    listpack::insert_many_before(pack, place, &[member, &score_text(score)]);
}

/// The members of a set, as a large one around this empty table.
fn large(members: ZsetRef<'_>, table: Table) -> Zset {
    let mut zset = Zset::new(table);
    for (member, score) in members.iter() {
        member.with_text(|member| zset.insert(member, score));
    }
    zset
}

/// Builds a sorted set member by member, in whatever order.
#[derive(Debug)]
pub struct ZsetBuilder {
    limits: Limits,
    /// The members of a set that is small so far, and where each is in `texts`.
    few: Vec<(f64, Range<usize>)>,
    texts: Vec<u8>,
    /// What `finish` gives out.
    pack: Vec<u8>,
    longest: usize,
    /// The members, once they are many.
    zset: Option<Box<Zset>>,
    /// An empty table, until it is needed.
    spare: Option<Table>,
}

impl ZsetBuilder {
    /// An empty set; `table` is one of the database it is for.
    #[must_use]
    pub fn new(encodings: &Encodings, table: Table) -> Self {
        Self {
            limits: Limits::of(encodings),
            few: Vec::new(),
            texts: Vec::new(),
            pack: Vec::new(),
            longest: 0,
            zset: None,
            spare: Some(table),
        }
    }

    /// A set from a valid listpack of members and scores, in order and each member once.
    #[must_use]
    pub fn from_pack(pack: Vec<u8>, encodings: &Encodings, table: Table) -> Self {
        let mut builder = Self::new(encodings, table);
        let members = ZsetRef::Pack(Listpack::new(&pack));
        if members.len() as usize > builder.limits.entries {
            builder.zset = builder.spare.take().map(|table| Box::new(large(members, table)));
        }
        builder.pack = pack;
        builder
    }

    /// Adds a member with its score, which is not NaN.
    ///
    /// # Errors
    /// If the member is there already.
    pub fn push(&mut self, member: &[u8], score: f64) -> Result<(), Duplicate> {
        // Up to here a search through all is cheap; a larger set may still be put into one block in the end.
        const FEW: usize = 128;
        self.longest = self.longest.max(member.len());
        if self.zset.is_none() && (self.few.len() >= FEW.min(self.limits.entries) || !self.fits(self.few.len())) {
            self.enlarge();
        }
        if let Some(zset) = &mut self.zset {
            return match zset.insert(member, score) {
                Placed::Added => Ok(()),
                Placed::Moved(_) | Placed::Unchanged => Err(Duplicate),
            };
        }
        if self.few.iter().any(|(_, at)| &self.texts[at.clone()] == member) {
            return Err(Duplicate);
        }
        let start = self.texts.len();
        self.texts.extend_from_slice(member);
        self.few.push((score, start..self.texts.len()));
        Ok(())
    }

    /// How many members were added.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.zset {
            Some(zset) => zset.len(),
            None if self.pack.is_empty() => self.few.len() as u64,
            None => Listpack::new(&self.pack).len() as u64 / 2,
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The set, for [`crate::Db::set`].
    #[must_use]
    pub fn finish(&mut self) -> NewValue<'_> {
        match self.zset.take() {
            Some(zset) if !self.pack.is_empty() || !self.fits(zset.len() as usize) => {
                return NewValue::Object(Object::Zset(zset));
            }
            Some(zset) => {
                self.pack = pack_of(zset.iter_from(0), self.longest * zset.len() as usize);
            }
            None if self.pack.is_empty() => {
                let (few, texts) = (&mut self.few, &self.texts);
                few.sort_by(|(a, a_at), (b, b_at)| {
                    let scores = a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
                    scores.then_with(|| texts[a_at.clone()].cmp(&texts[b_at.clone()]))
                });
                let members = few.iter().map(|(score, at)| (&texts[at.clone()], *score));
                self.pack = pack_of(members, texts.len());
            }
            None => {}
        }
        NewValue::Pack(Pack::Zset, &self.pack)
    }

    /// Whether so many members go into one block.
    fn fits(&self, members: usize) -> bool {
        members <= self.limits.entries && self.longest <= self.limits.value_bytes
    }

    fn enlarge(&mut self) {
        if let Some(table) = self.spare.take() {
            let mut zset = Zset::new(table);
            for (score, at) in self.few.drain(..) {
                zset.insert(&self.texts[at], score);
            }
            self.zset = Some(Box::new(zset));
        }
    }
}

fn pack_of<'m>(members: impl Iterator<Item = (&'m [u8], f64)>, text_bytes: usize) -> Vec<u8> {
    let mut pack = Vec::with_capacity(64 + 2 * text_bytes);
    pack.extend_from_slice(&listpack::init());
    for (member, score) in members {
        listpack::append_many(&mut pack, &[member, &score_text(score)]);
    }
    pack
}
