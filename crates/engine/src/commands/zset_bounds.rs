//! The ends of ranges of a sorted set, as requests give them.

use crate::{ArgsExt, Error, Result};
use base::number;
use keyspace::{LexBound, ScoreBound, ZsetRef};
use resp::Args;
use std::ops::Range;

/// A range, of whichever kind.
#[derive(Clone, Copy)]
pub(super) enum Bounds<'a> {
    /// From one rank to another, both included; negative ones count from the end.
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

/// The kinds of ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

/// The direction in which a range is listed. Backwards, the ends of ranges by score and member change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

impl<'a> Bounds<'a> {
    /// Reads the ends from words `at` and `at + 1`.
    pub(super) fn parse(args: Args<'a>, at: usize, by: By, direction: Direction) -> Result<Self> {
        let (min, max) = match direction {
            Direction::Up => (at, at + 1),
            Direction::Down => (at + 1, at),
        };
        match by {
            By::Rank => Ok(Self::Rank(args.int(at)?, args.int(at + 1)?)),
            By::Score => {
                const NOT_A_FLOAT: Error = Error::fixed("ERR min or max is not a float");
                let bound = |at| score_bound(args.get(at)).ok_or(NOT_A_FLOAT);
                Ok(Self::Score(bound(min)?, bound(max)?))
            }
            By::Lex => {
                const NOT_VALID: Error = Error::fixed("ERR min or max not valid string range item");
                let bound = |at| lex_bound(args.get(at)).ok_or(NOT_VALID);
                Ok(Self::Lex(bound(min)?, bound(max)?))
            }
        }
    }

    /// The ranks of the members inside, counted from the lowest. `direction` says which end ranks are given from.
    pub(super) fn ranks(self, zset: ZsetRef<'_>, direction: Direction) -> Range<u64> {
        match self {
            Self::Score(min, max) => zset.ranks_by_score(min, max),
            Self::Lex(min, max) => zset.ranks_by_member(min, max),
            Self::Rank(start, end) => {
                let len = zset.len();
                let ranks = ranks_from_end(start, end, len);
                match direction {
                    Direction::Up => ranks,
                    Direction::Down => len - ranks.end..len - ranks.start,
                }
            }
        }
    }
}

/// Ranks of which negative ones count from the end, both included, as a range of those that are there.
fn ranks_from_end(start: i64, end: i64, len: u64) -> Range<u64> {
    let len = len as i64;
    let from_end = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let start = from_end(start).clamp(0, len);
    let end = from_end(end).min(len - 1).saturating_add(1);
    start as u64..end.max(start) as u64
}

/// `5`, `(5`, `-inf`: a score, as C reads it.
fn score_bound(word: &[u8]) -> Option<ScoreBound> {
    let (exclusive, number) = match word {
        [b'(', number @ ..] => (true, number),
        number => (false, number),
    };
    let score = number::parse_f64_loosely(number)?;
    Some(ScoreBound { score, exclusive })
}

/// `[member`, `(member`, `-`, `+`.
fn lex_bound(word: &[u8]) -> Option<LexBound<'_>> {
    match word {
        [b'[', member @ ..] => Some(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Some(LexBound::Exclusive(member)),
        // A zero byte ends the text.
        [b'-'] | [b'-', 0, ..] => Some(LexBound::Lowest),
        [b'+'] | [b'+', 0, ..] => Some(LexBound::Highest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        for (start, end, expected) in [
            (0, -1, 0..5),
            (1, 2, 1..3),
            (-2, -1, 3..5),
            (-100, 100, 0..5),
            (3, 1, 3..3),
            (5, 9, 5..5),
            (0, -9, 0..0),
            (i64::MIN, i64::MAX, 0..5),
        ] {
            assert_eq!(ranks_from_end(start, end, 5), expected, "{start} {end}");
        }
        assert_eq!(ranks_from_end(0, -1, 0), 0..0);
    }
}
