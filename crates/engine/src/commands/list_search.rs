//! LPOS: where in a list a text is.

use super::lists::LIST;
use crate::{ArgsExt, Arity, Error, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec};
use keyspace::list::Value;
use keyspace::{Direction, ListRef};
use resp::Args;
use std::ops::ControlFlow;

/// LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]
pub static LPOS: Spec = Spec {
    name: "lpos",
    summary: "Tells where in a list elements are that are equal to a text.",
    since: "6.0.6",
    complexity: "O(N) where N is the number of elements in the list, for the average case. When searching for elements \
                 near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in \
                 constant time.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    args: "key element [RANK rank:integer] [COUNT num-matches:integer] [MAXLEN len]",
    handler: Handler::Read(positions),
    ..LIST
};

/// What LPOS looks for.
struct Search {
    /// The first so many matches are passed over.
    skip: u64,
    direction: Direction,
    /// How many matches are wanted, as an array; `None` for one alone.
    count: Option<u64>,
    /// How many elements are looked at.
    max_len: u64,
}

impl Search {
    fn parse(args: Args<'_>) -> Result<Self> {
        const ZERO_RANK: Error = Error::fixed(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
             start from the end of the list",
        );
        const NEGATIVE_COUNT: Error = Error::fixed("ERR COUNT can't be negative");
        const NEGATIVE_LEN: Error = Error::fixed("ERR MAXLEN can't be negative");
        let (mut rank, mut count, mut max_len) = (1, None, 0);
        let mut at = 3;
        while at < args.len() {
            if at + 1 == args.len() {
                return Err(Error::Syntax);
            }
            let natural = |error| {
                let number = args.int(at + 1).ok().and_then(|number| u64::try_from(number).ok());
                number.ok_or(error)
            };
            if args.is(at, "rank") {
                rank = args.int(at + 1)?;
                if rank == 0 {
                    return Err(ZERO_RANK);
                }
            } else if args.is(at, "count") {
                count = Some(natural(NEGATIVE_COUNT)?);
            } else if args.is(at, "maxlen") {
                max_len = natural(NEGATIVE_LEN)?;
            } else {
                return Err(Error::Syntax);
            }
            at += 2;
        }
        let no_limit = |number: u64| if number == 0 { u64::MAX } else { number };
        Ok(Self {
            // The lowest number has no opposite: to stock it means the same as -1.
            skip: rank.checked_abs().map_or(0, |rank| rank as u64 - 1),
            direction: if rank > 0 { Direction::Forward } else { Direction::Back },
            count: count.map(no_limit),
            max_len: no_limit(max_len),
        })
    }
}

/// Replies with an index, or with an array of them when a count is given.
fn positions(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let search = Search::parse(args)?;
    let reply = &mut ctx.reply;
    let list = ctx.keys.list(args.key(1))?;
    let found = list.map_or(Vec::new(), |list| find(list, args.get(2), &search));
    match (search.count, found.first()) {
        (Some(_), _) => {
            reply.array(found.len());
            for index in found {
                reply.int(index as i64);
            }
        }
        (None, Some(index)) => reply.int(*index as i64),
        (None, None) => reply.null(),
    }
    Ok(())
}

fn find(list: ListRef<'_>, text: &[u8], search: &Search) -> Vec<u64> {
    let len = list.len();
    let start = match search.direction {
        Direction::Forward => 0,
        Direction::Back => len.saturating_sub(1),
    };
    let wanted = Wanted::new(text);
    let (mut seen, mut skip, mut found) = (0, search.skip, Vec::new());
    list.walk(start, search.direction, &mut |value| {
        if wanted.is(value) {
            if skip == 0 {
                found.push(match search.direction {
                    Direction::Forward => seen,
                    Direction::Back => len - 1 - seen,
                });
            }
            skip = skip.saturating_sub(1);
        }
        seen += 1;
        if found.len() as u64 >= search.count.unwrap_or(1) || seen >= search.max_len {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    found
}

/// A text to compare elements with, read as a number once.
struct Wanted<'a> {
    text: &'a [u8],
    number: Option<i64>,
}

impl<'a> Wanted<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            number: base::number::parse_i64(text),
        }
    }

    fn is(&self, value: Value<'_>) -> bool {
        match value {
            Value::Int(number) => self.number == Some(number),
            Value::Bytes(bytes) => bytes == self.text,
        }
    }
}

/// The index of the first element that is equal to `text`.
pub(super) fn first_equal(list: ListRef<'_>, text: &[u8]) -> Option<u64> {
    let any = Search {
        skip: 0,
        direction: Direction::Forward,
        count: None,
        max_len: u64::MAX,
    };
    find(list, text, &any).first().copied()
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn positions_from_either_end() {
        check(
            "
            > RPUSH l a b c 1 2 3 c c
            8
            > LPOS l a
            0
            > LPOS l c RANK -1
            7
            > LPOS l c RANK 2
            6
            > LPOS l x
            (nil)
            > LPOS l x COUNT 0
            []
            > LPOS l c COUNT 0 RANK -2
            [6, 2]
            > LPOS l c COUNT 2
            [2, 6]
            > LPOS l c COUNT 0 MAXLEN 3
            [2]
            > LPOS l 1
            3
            > LPOS none c
            (nil)
            > LPOS none c COUNT 1
            []
            > LPOS l c RANK 0
            ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
            > LPOS l c COUNT -1
            ERR COUNT can't be negative
            > LPOS l c MAXLEN -1
            ERR MAXLEN can't be negative
            > LPOS l c COUNT
            ERR syntax error
            ",
        );
    }
}
