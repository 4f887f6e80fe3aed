//! Lists: their ends, their elements by index, and ranges of them.

use crate::{ArgsExt, Arity, Category, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use keyspace::list::Value;
use keyspace::{Direction, End, ListRef};
use resp::{Args, Reply};
use std::ops::ControlFlow;

pub(super) const LIST: Spec = Spec {
    category: Category::List,
    ..Spec::BASE
};

const INSERTED: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::INSERT))];
const REMOVED: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::DELETE))];
pub(super) const TAKEN: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE);

const PUSH: Spec = Spec {
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple \
                 arguments.",
    arity: Arity::AtLeast(3),
    keys: INSERTED,
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key element [element ...]",
    ..LIST
};

/// LPUSH key element [element ...]
pub static LPUSH: Spec = Spec {
    name: "lpush",
    summary: "Puts elements in at the head of a list, creating it if it is absent.",
    history: &[("2.4.0", "Accepts multiple `element` arguments.")],
    handler: Handler::Write(|ctx, args| push(ctx, args, End::Head)),
    ..PUSH
};

/// RPUSH key element [element ...]
pub static RPUSH: Spec = Spec {
    name: "rpush",
    summary: "Puts elements in at the tail of a list, creating it if it is absent.",
    history: &[("2.4.0", "Accepts multiple `element` arguments.")],
    handler: Handler::Write(|ctx, args| push(ctx, args, End::Tail)),
    ..PUSH
};

/// LPUSHX key element [element ...]
pub static LPUSHX: Spec = Spec {
    name: "lpushx",
    summary: "Puts elements in at the head of a list that exists.",
    since: "2.2.0",
    history: &[("4.0.0", "Accepts multiple `element` arguments.")],
    handler: Handler::Write(|ctx, args| push_if_there(ctx, args, End::Head)),
    ..PUSH
};

/// RPUSHX key element [element ...]
pub static RPUSHX: Spec = Spec {
    name: "rpushx",
    summary: "Puts elements in at the tail of a list that exists.",
    since: "2.2.0",
    history: &[("4.0.0", "Accepts multiple `element` arguments.")],
    handler: Handler::Write(|ctx, args| push_if_there(ctx, args, End::Tail)),
    ..PUSH
};

/// Replies with the new length. Propagated verbatim.
fn push(ctx: &mut WriteCtx<'_>, args: Args<'_>, end: End) -> Result {
    let len = ctx.list_slot(args.key(1))?.push(end, args.skip(2).iter());
    ctx.reply.int(len as i64);
    Ok(())
}

/// As [`push`]; an absent list stays absent.
fn push_if_there(ctx: &mut WriteCtx<'_>, args: Args<'_>, end: End) -> Result {
    let slot = ctx.list_slot(args.key(1))?;
    let len = match slot.get() {
        Some(_) => slot.push(end, args.skip(2).iter()),
        None => 0,
    };
    ctx.reply.int(len as i64);
    Ok(())
}

const POP: Spec = Spec {
    complexity: "O(N) where N is the number of elements returned",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::at(1, TAKEN)],
    flags: Flags::FAST,
    args: "key [count]",
    history: &[("6.2.0", "Added the `count` argument.")],
    ..LIST
};

/// LPOP key [count]
pub static LPOP: Spec = Spec {
    name: "lpop",
    summary: "Takes elements out from the head of a list, and deletes it when none is left.",
    handler: Handler::Write(|ctx, args| pop(ctx, args, End::Head)),
    ..POP
};

/// RPOP key [count]
pub static RPOP: Spec = Spec {
    name: "rpop",
    summary: "Takes elements out from the tail of a list, and deletes it when none is left.",
    handler: Handler::Write(|ctx, args| pop(ctx, args, End::Tail)),
    ..POP
};

/// Replies with the element, or with an array of them if a count is given. Propagated verbatim.
fn pop(ctx: &mut WriteCtx<'_>, args: Args<'_>, end: End) -> Result {
    let count = match args.len() {
        2 => None,
        3 => Some(args.count(2)? as u64),
        _ => {
            let name = if end == End::Head { "lpop" } else { "rpop" };
            return Err(Error::arity(name));
        }
    };
    let reply = &mut ctx.reply;
    let slot = ctx.keys.list_slot(args.key(1))?;
    let Some(list) = slot.get() else {
        match count {
            Some(_) => reply.null_array(),
            None => reply.null(),
        }
        return Ok(());
    };
    match count {
        Some(0) => reply.array(0),
        Some(count) => {
            write_end(reply, list, end, count);
            slot.pop(end, count);
        }
        None => {
            write_one(reply, list, end);
            slot.pop(end, 1);
        }
    }
    Ok(())
}

/// Writes the element at an end.
pub(super) fn write_one(reply: &mut Reply<'_>, list: ListRef<'_>, end: End) {
    let index = match end {
        End::Head => 0,
        End::Tail => list.len().saturating_sub(1),
    };
    list.with(index, |value| write_value(reply, value));
}

/// Writes up to `count` elements from an end on.
pub(super) fn write_end(reply: &mut Reply<'_>, list: ListRef<'_>, end: End, count: u64) {
    let len = list.len();
    let count = count.min(len);
    match end {
        End::Head => write_elements(reply, list, 0, count, Direction::Forward),
        End::Tail => write_elements(reply, list, len - 1, count, Direction::Back),
    }
}

/// Writes `count` elements, which are there, as an array.
fn write_elements(reply: &mut Reply<'_>, list: ListRef<'_>, start: u64, count: u64, direction: Direction) {
    reply.array(count as usize);
    let mut left = count;
    if left == 0 {
        return;
    }
    list.walk(start, direction, &mut |value| {
        write_value(reply, value);
        left -= 1;
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
}

/// Writes an element as a bulk string.
pub(super) fn write_value(reply: &mut Reply<'_>, value: Value<'_>) {
    match value {
        Value::Int(number) => reply.bulk_int(number),
        Value::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// LLEN key
pub static LLEN: Spec = Spec {
    name: "llen",
    summary: "Tells how many elements a list has.",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO)],
    flags: Flags::FAST,
    args: "key",
    handler: Handler::Read(|ctx, args| {
        let len = ctx.keys.list(args.key(1))?.map_or(0, ListRef::len);
        ctx.reply.int(len as i64);
        Ok(())
    }),
    ..LIST
};

/// Which element an index means that counts from the end if it is negative.
fn resolve(index: i64, len: u64) -> Option<u64> {
    let index = if index < 0 {
        len.checked_sub(index.unsigned_abs())?
    } else {
        index as u64
    };
    (index < len).then_some(index)
}

/// The elements from `first` up to and including `last`, both counted from the end if negative: start and end.
fn resolve_range(first: i64, last: i64, len: u64) -> (u64, u64) {
    let from_end = |index: i64| len.saturating_sub(index.unsigned_abs());
    let start = if first < 0 { from_end(first) } else { first as u64 };
    let end = if last >= 0 {
        (last as u64).saturating_add(1).min(len)
    } else if last.unsigned_abs() > len {
        0
    } else {
        from_end(last) + 1
    };
    if start < end { (start, end) } else { (0, 0) }
}

/// LINDEX key index
pub static LINDEX: Spec = Spec {
    name: "lindex",
    summary: "Returns one element of a list.",
    complexity: "O(log(N)), and a walk within one node.",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    args: "key index",
    handler: Handler::Read(index),
    ..LIST
};

fn index(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let reply = &mut ctx.reply;
    let Some(list) = ctx.keys.list(args.key(1))? else {
        reply.null();
        return Ok(());
    };
    let found = resolve(args.int(2)?, list.len());
    match found {
        Some(index) => drop(list.with(index, |value| write_value(reply, value))),
        None => reply.null(),
    }
    Ok(())
}

/// LSET key index element
pub static LSET: Spec = Spec {
    name: "lset",
    summary: "Puts a text in place of an element of a list.",
    complexity: "O(log(N)), and a walk within one node.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
    flags: Flags::DENY_OOM,
    args: "key index element",
    handler: Handler::Write(set),
    ..LIST
};

/// Propagated verbatim.
fn set(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let slot = ctx.list_slot(args.key(1))?;
    let len = slot.get().ok_or(Error::NoSuchKey)?.len();
    let index = resolve(args.int(2)?, len).ok_or(Error::IndexOutOfRange)?;
    slot.set(index, args.get(3));
    ctx.reply.ok();
    Ok(())
}

/// LRANGE key start stop
pub static LRANGE: Spec = Spec {
    name: "lrange",
    summary: "Returns a range of elements of a list.",
    complexity: "O(log(S)+N) where S is the index of the first element and N is the number of elements returned.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    args: "key start stop:integer",
    handler: Handler::Read(range),
    ..LIST
};

fn range(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let (first, last) = (args.int(2)?, args.int(3)?);
    let reply = &mut ctx.reply;
    match ctx.keys.list(args.key(1))? {
        None => reply.array(0),
        Some(list) => {
            let (start, end) = resolve_range(first, last, list.len());
            write_elements(reply, list, start, end - start, Direction::Forward);
        }
    }
    Ok(())
}

/// LTRIM key start stop
pub static LTRIM: Spec = Spec {
    name: "ltrim",
    summary: "Takes all elements out of a list but a range of them.",
    complexity: "O(N) where N is the number of elements to be removed by the operation.",
    arity: Arity::Exactly(4),
    keys: REMOVED,
    args: "key start stop:integer",
    handler: Handler::Write(trim),
    ..LIST
};

/// Propagated verbatim, unless all elements stay.
fn trim(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let (first, last) = (args.int(2)?, args.int(3)?);
    let slot = ctx.list_slot(args.key(1))?;
    if let Some(list) = slot.get() {
        let (start, end) = resolve_range(first, last, list.len());
        slot.trim(start, end);
    }
    ctx.reply.ok();
    Ok(())
}

/// LREM key count element
pub static LREM: Spec = Spec {
    name: "lrem",
    summary: "Takes elements that are equal to a text out of a list, and deletes it when none is left.",
    complexity: "O(N+M) where N is the length of the list and M is the number of elements removed.",
    arity: Arity::Exactly(4),
    keys: REMOVED,
    args: "key count element",
    handler: Handler::Write(remove),
    ..LIST
};

/// A positive count takes the first so many, a negative one the last, 0 takes all. Propagated verbatim.
fn remove(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let count = args.int(2)?;
    let (most, direction) = match count {
        0 => (u64::MAX, Direction::Forward),
        1.. => (count as u64, Direction::Forward),
        _ => (count.unsigned_abs(), Direction::Back),
    };
    let removed = ctx.list_slot(args.key(1))?.remove_equal(args.get(3), most, direction);
    ctx.reply.int(removed as i64);
    Ok(())
}

/// LINSERT key BEFORE|AFTER pivot element
pub static LINSERT: Spec = Spec {
    name: "linsert",
    summary: "Puts an element in before or after the first that is equal to a text.",
    since: "2.2.0",
    complexity: "O(N) where N is the number of elements to traverse before seeing the value pivot. This means that \
                 inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere \
                 on the right end (tail) is O(N).",
    arity: Arity::Exactly(5),
    keys: INSERTED,
    flags: Flags::DENY_OOM,
    args: "key <BEFORE|AFTER> pivot element",
    handler: Handler::Write(insert),
    ..LIST
};

/// Replies with the new length; -1 when no element is equal, 0 when there is no list. Propagated verbatim.
fn insert(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let after = args.is(2, "after");
    if !after && !args.is(2, "before") {
        return Err(Error::Syntax);
    }
    let slot = ctx.list_slot(args.key(1))?;
    let Some(list) = slot.get() else {
        ctx.reply.int(0);
        return Ok(());
    };
    let len = list.len();
    match super::list_search::first_equal(list, args.get(3)) {
        None => ctx.reply.int(-1),
        Some(index) => {
            slot.insert(index + u64::from(after), args.get(4));
            ctx.reply.int(len as i64 + 1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::resolve_range;
    use crate::testing::check;

    #[test]
    fn ranges_count_from_either_end() {
        let cases = [
            ((0, -1), (0, 5)),
            ((1, 2), (1, 3)),
            ((-2, -1), (3, 5)),
            ((-100, 1), (0, 2)),
            ((3, 100), (3, 5)),
            ((4, 3), (0, 0)),
            ((5, 9), (0, 0)),
            ((0, -6), (0, 0)),
            ((0, i64::MAX), (0, 5)),
            ((i64::MIN, i64::MIN), (0, 0)),
        ];
        for ((first, last), expected) in cases {
            assert_eq!(resolve_range(first, last, 5), expected, "{first} to {last}");
        }
    }

    #[test]
    fn pushed_and_popped() {
        check(
            "
            > RPUSH l a b c
            3
            > LPUSH l 1 2
            5
            > LRANGE l 0 -1
            [\"2\", \"1\", \"a\", \"b\", \"c\"]
            > LPOP l
            2
            > RPOP l 2
            [\"c\", \"b\"]
            > LPOP l 0
            []
            > LPOP l 10
            [\"1\", \"a\"]
            > LPOP l 1
            (nil)
            > RPOP l
            (nil)
            > LPOP l -1
            ERR value is out of range, must be positive
            > LPOP l 1 2
            ERR wrong number of arguments for 'lpop' command
            > LPUSHX l x
            0
            > RPUSH l x
            1
            > RPUSHX l y z
            3
            > OBJECT ENCODING l
            quicklist
            propagated: SELECT 0
            propagated: RPUSH l a b c
            propagated: LPUSH l 1 2
            propagated: LPOP l
            propagated: RPOP l 2
            propagated: LPOP l 10
            propagated: RPUSH l x
            propagated: RPUSHX l y z
            propagated: nothing
            events: rpush l
            events: lpush l
            events: lpop l
            events: rpop l
            events: lpop l
            events: del l
            events: rpush l
            events: rpush l
            events: nothing
            ",
        );
    }

    #[test]
    fn elements_by_index_and_value() {
        check(
            "
            > RPUSH l a b a c a
            5
            > LINDEX l -1
            a
            > LINDEX l 5
            (nil)
            > LINDEX none x
            (nil)
            > LINDEX l x
            ERR value is not an integer or out of range
            > LSET l -2 9
            OK
            > LSET l 7 9
            ERR index out of range
            > LSET none 0 9
            ERR no such key
            > LINSERT l BEFORE b 1
            6
            > LINSERT l after 9 2
            7
            > LINSERT l AFTER x 3
            -1
            > LINSERT none AFTER x 3
            0
            > LINSERT l NEAR x 3
            ERR syntax error
            > LRANGE l 0 -1
            [\"a\", \"1\", \"b\", \"a\", \"9\", \"2\", \"a\"]
            > LREM l -2 a
            2
            > LREM l 0 x
            0
            > LREM l 1 9
            1
            > LRANGE l 0 -1
            [\"a\", \"1\", \"b\", \"2\"]
            > LTRIM l 0 -1
            OK
            > LTRIM l 1 2
            OK
            > LLEN l
            2
            > LTRIM l 5 6
            OK
            > EXISTS l
            0
            > SET l x
            OK
            > LLEN l
            WRONGTYPE Operation against a key holding the wrong kind of value
            propagated: SELECT 0
            propagated: RPUSH l a b a c a
            propagated: LSET l -2 9
            propagated: LINSERT l BEFORE b 1
            propagated: LINSERT l after 9 2
            propagated: LREM l -2 a
            propagated: LREM l 1 9
            propagated: LTRIM l 1 2
            propagated: LTRIM l 5 6
            propagated: SET l x
            events: rpush l
            events: lset l
            events: linsert l
            events: linsert l
            events: lrem l
            events: lrem l
            events: ltrim l
            events: ltrim l
            events: ltrim l
            events: del l
            events: set l
            ",
        );
    }
}
