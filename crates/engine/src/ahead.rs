//! Fetching ahead: what requests are about to look up is asked of memory for many of them at once.
//!
//! ```text
//!   requests parsed, not yet run         ┌ groups of the keys ──► entries ──► groups of the members ──► their entries
//!   GET a · HSET b f v · ZADD c 1 m ─────┤      a  b  c            a  b  c           f  m                   f  m
//!                                        │                       ──► where m is in the order of c, and where it will be
//!                                        └ each step for all of them, so that their cache misses pass side by side
//! ```
//!
//! All of it is a guess: keys are not compared, nothing is counted or changed, and a request may find something else when
//! it runs. What costs time to find out is kept until then: hashes, the score that was read, and the ways to places in sorted
//! sets, which say themselves whether they still lead there.

use crate::execute::Engine;
use crate::keys::Data;
use crate::spec::{Begin, Find, Handler, KeySpec, ScoreWord, Spec};
use crate::table::Lookup;
use base::DbIndex;
use keyspace::{Descent, Entry, KeyHash, Keyspace, Table, TowardsPlace, ValueRef, Ways, score_of};
use resp::Args;

/// Of a request with many keys the first so many are fetched.
const KEYS_MAX: usize = 16;

/// What the next requests will look up.
#[derive(Default)]
pub(crate) struct Ahead {
    /// Of the requests noted last.
    hints: Vec<Hint>,
    /// For each hint, and as many as there ever were, ways that were found for it or another before it.
    ways: Vec<Ways>,
    /// The number of the first hint: no two ever have the same.
    first: u64,
    /// Memory has been asked for all of them; the next to come is the first of others.
    fetched: bool,
}

struct Hint {
    db: DbIndex,
    key: KeyHash,
    /// The member or field that will be looked for in the collection at the key.
    member: Option<Word>,
    score: Option<Score>,
    writes: bool,
}

/// A word of a request, hashed.
#[derive(Clone, Copy)]
struct Word {
    /// Where its bytes are. As long as the request is there, nothing else can be.
    address: usize,
    len: usize,
    hash: KeyHash,
}

impl Word {
    fn is(&self, word: &[u8]) -> bool {
        self.address == word.as_ptr().addr() && self.len == word.len()
    }
}

/// What is known of a request that was noted, until it runs.
#[derive(Clone, Copy, Debug)]
pub struct Noted {
    /// The hash of its word 1.
    pub(crate) key: KeyHash,
    /// The number of its hint, where that says more.
    pub(crate) hint: Option<u64>,
}

/// What is known of a member that a request names with its score.
#[derive(Default)]
pub(crate) struct KnownMember {
    pub(crate) hash: Option<KeyHash>,
    pub(crate) score: Option<f64>,
    /// Which of the ways are for it.
    pub(crate) ways: usize,
}

impl Ahead {
    #[inline]
    fn push(&mut self, hint: Hint) {
        if self.fetched {
            self.fetched = false;
            self.first += self.hints.len() as u64;
            self.hints.clear();
        }
        self.hints.push(hint);
    }

    /// What was noted of this member, if it is that of the hint.
    #[inline]
    pub(crate) fn known(&self, hint: u64, member: &[u8]) -> Option<KnownMember> {
        let at = hint.checked_sub(self.first)? as usize;
        let hint = self.hints.get(at)?;
        let word = hint.member.filter(|word| word.is(member))?;
        Some(KnownMember {
            hash: Some(word.hash),
            score: match hint.score {
                Some(Score::Is(score) | Score::Adds(score)) => Some(score),
                None => None,
            },
            ways: at,
        })
    }

    /// The ways of all hints, to be [given back](Self::give_back).
    #[inline]
    pub(crate) fn take_ways(&mut self) -> Vec<Ways> {
        std::mem::take(&mut self.ways)
    }

    #[inline]
    pub(crate) fn give_back(&mut self, ways: Vec<Ways>) {
        self.ways = ways;
    }
}

impl Hint {
    /// Of a key alone.
    #[inline]
    fn new(db: DbIndex, key: KeyHash, writes: bool) -> Self {
        Self {
            db,
            key,
            member: None,
            score: None,
            writes,
        }
    }
}

/// What a command looks up, as far as memory can be asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LooksUp {
    /// Nothing that could be told.
    Nothing,
    /// One key, its word 1.
    Key {
        /// Whether it will be written to.
        writes: bool,
    },
    /// Several keys, or members too.
    More,
}

impl LooksUp {
    pub(crate) fn of(spec: &Spec) -> Self {
        match keys_in_range(spec) {
            None => Self::Nothing,
            Some((1, 0, _)) if spec.member == 0 && spec.score.is_none() => Self::Key {
                writes: matches!(spec.handler, Handler::Write(_)),
            },
            Some(_) => Self::More,
        }
    }
}

/// The first keys of a command where they are words at fixed places: the first, the last after it (negative: from the end)
/// and the step.
fn keys_in_range(spec: &Spec) -> Option<(usize, i64, usize)> {
    match spec.keys.first()? {
        KeySpec {
            begin: Begin::Index(first),
            find: Find::Range { last, step, .. },
            ..
        } => Some((*first, *last, *step)),
        _ => None,
    }
}

/// The score that the member will have.
#[derive(Clone, Copy)]
enum Score {
    Is(f64),
    Adds(f64),
}

/// A key of the request that runs, hashed when memory was asked for what it will look up.
pub(crate) struct KnownKey {
    /// Where its bytes are. As long as the request runs nothing else can be there.
    address: usize,
    len: usize,
    noted: Noted,
}

impl Data {
    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        match &self.known_key {
            Some(known) if known.address == key.as_ptr().addr() && known.len == key.len() => known.noted.key,
            _ => self.keyspace.hash(key),
        }
    }

    /// A request begins to run, of which something may be known. Forget it with the request.
    #[inline]
    pub(crate) fn know_key(&mut self, args: Args<'_>, noted: Option<Noted>) {
        self.known_key = noted.zip(args.try_get(1)).map(|(noted, key)| KnownKey {
            address: key.as_ptr().addr(),
            len: key.len(),
            noted,
        });
    }

    /// What is known of a member that the request that runs names.
    #[inline]
    pub(crate) fn known_member(&self, member: &[u8]) -> KnownMember {
        let hint = self.known_key.as_ref().and_then(|known| known.noted.hint);
        let known = hint.and_then(|hint| self.ahead.known(hint, member));
        known.unwrap_or_default()
    }
}

impl Engine {
    /// Notes what a request that will run soon, in this database, is going to look up. What is known of it then, if its
    /// word 1 is its first key.
    #[inline]
    pub fn note_ahead(&mut self, db: DbIndex, lookup: Lookup, args: Args<'_>) -> Option<Noted> {
        let Lookup::Found(command) = lookup else { return None };
        let command = &self.table[command];
        match command.looks_up {
            LooksUp::Nothing => None,
            LooksUp::Key { writes } => {
                let key = self.data.keyspace.hash(args.try_get(1)?);
                self.data.ahead.push(Hint::new(db, key, writes));
                Some(Noted { key, hint: None })
            }
            LooksUp::More => self.note_more(db, command.spec, args),
        }
    }

    fn note_more(&mut self, db: DbIndex, spec: &Spec, args: Args<'_>) -> Option<Noted> {
        let (first, last, step) = keys_in_range(spec)?;
        let (keyspace, ahead) = (&self.data.keyspace, &mut self.data.ahead);
        let last = match last {
            last @ 0.. => (first + last as usize).min(args.len() - 1),
            from_end => (args.len() as i64 + from_end).max(0) as usize,
        };
        let member = args.try_get(spec.member).filter(|_| spec.member > 0);
        let member = member.map(|member| Word {
            address: member.as_ptr().addr(),
            len: member.len(),
            hash: keyspace.hash(member),
        });
        let number = |at| args.try_get(at).and_then(base::number::parse_f64);
        let score = match spec.score {
            None => None,
            Some(ScoreWord::Is(at)) => number(at).map(Score::Is),
            Some(ScoreWord::Adds(at)) => number(at).map(Score::Adds),
        };
        let writes = matches!(spec.handler, Handler::Write(_));
        let mut word_1 = None;
        for at in (first..=last).step_by(step.max(1)).take(KEYS_MAX) {
            let key = keyspace.hash(args.get(at));
            ahead.push(Hint {
                member,
                score,
                ..Hint::new(db, key, writes)
            });
            if at == 1 {
                let hint = ahead.first + ahead.hints.len() as u64 - 1;
                let hint = member.map(|_| hint);
                word_1 = Some(Noted { key, hint });
            }
        }
        word_1
    }

    /// Whether a request does nothing but read or change keys: sessions and settings stay as they are.
    #[must_use]
    #[inline]
    pub fn only_uses_keys(&self, lookup: Lookup) -> bool {
        match lookup {
            Lookup::Found(command) => {
                matches!(self.table[command].spec.handler, Handler::Read(_) | Handler::Write(_))
            }
            Lookup::Unknown | Lookup::UnknownSubcommand(_) => true,
        }
    }

    /// Asks memory for all that was noted.
    pub fn fetch_ahead(&mut self) {
        let Ahead {
            hints, ways, fetched, ..
        } = &mut self.data.ahead;
        // One alone would be fetched no earlier than it is looked up.
        if hints.len() > 1 && !*fetched {
            if ways.len() < hints.len() {
                ways.resize_with(hints.len(), Ways::default);
            }
            for (some, ways) in hints.chunks(SIDE_BY_SIDE).zip(ways.chunks_mut(SIDE_BY_SIDE)) {
                fetch(&self.data.keyspace, some, ways);
            }
        }
        *fetched = true;
    }
}

/// So many searches go side by side: a processor has no more misses under way.
const SIDE_BY_SIDE: usize = 16;

fn fetch(keyspace: &Keyspace, hints: &[Hint], ways: &mut [Ways]) {
    let mut searches = [None; SIDE_BY_SIDE];
    let mut before = None;
    for (search, hint) in searches.iter_mut().zip(hints) {
        // One after the other often has the same key.
        if before.replace((hint.db, hint.key)) != Some((hint.db, hint.key)) {
            *search = Some(keyspace.db(hint.db).descent(hint.key, hint.writes));
        }
    }
    Descent::take_down(&mut searches[..hints.len()]);
    let mut entries = [None; SIDE_BY_SIDE];
    let mut likely = None;
    for (entry, search) in entries.iter_mut().zip(&searches[..hints.len()]) {
        if let Some(search) = search {
            likely = search.likely();
        }
        *entry = likely;
    }
    if hints.iter().all(|hint| hint.member.is_none()) {
        return;
    }
    let mut searches = [None; SIDE_BY_SIDE];
    for (search, (entry, hint)) in searches.iter_mut().zip(entries.iter().zip(hints)) {
        if let (Some(entry), Some(member)) = (entry, hint.member) {
            *search = members(entry).map(|members| Descent::new(members, member.hash, hint.writes));
        }
    }
    Descent::take_down(&mut searches);
    let mut members = [None; SIDE_BY_SIDE];
    for (member, search) in members.iter_mut().zip(&searches) {
        *member = search.as_ref().and_then(Descent::likely);
    }
    fetch_places(hints, &entries, &members, ways);
}

/// Fetches where members that will be written to are in the order of their sorted sets, and where they will be.
fn fetch_places(hints: &[Hint], entries: &[Option<&Entry>], members: &[Option<&Entry>], ways: &mut [Ways]) {
    let mut searches = [const { None }; 2 * SIDE_BY_SIDE];
    let mut count = 0;
    for (((hint, entry), member), ways) in hints.iter().zip(entries).zip(members).zip(ways) {
        let Some(ValueRef::Zset(zset)) = entry.filter(|_| hint.writes).map(Entry::value) else {
            continue;
        };
        let old = member.map(score_of);
        let new = match hint.score {
            Some(Score::Is(score)) => Some(score),
            Some(Score::Adds(change)) => old.map(|old| old + change),
            None => None,
        };
        if new.is_none() || new != old {
            for search in zset.towards(old, new, ways).into_iter().flatten() {
                searches[count] = Some(search);
                count += 1;
            }
        }
    }
    TowardsPlace::take_down(&mut searches[..count]);
}

/// The members, by their hash, of a large set, hash or sorted set.
fn members(entry: &Entry) -> Option<&Table> {
    match entry.value() {
        ValueRef::Set(members) | ValueRef::Hash(members) => Some(members),
        ValueRef::Zset(zset) => Some(zset.members()),
        _ => None,
    }
}
