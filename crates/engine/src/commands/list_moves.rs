//! Elements on their way from one list to another or to a client, waited for or not.

use super::lists::{LIST, TAKEN, write_end, write_one};
use super::pops::{self, Several};
use crate::blocking::{Timeout, Wanted};
use crate::{ArgsExt, Arity, Error, Flags, Handler, KeyFlags, KeySpec, Result, Spec, WriteCtx};
use keyspace::End;
use resp::Args;

const BOTH: &[KeySpec] = &[KeySpec::at(1, TAKEN), KeySpec::at(2, KeyFlags::RW.or(KeyFlags::INSERT))];
const WAITING: Flags = Flags::NO_SCRIPT.or(Flags::BLOCKING);
const FRACTIONS: &[(&str, &str)] = &[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")];

/// LMOVE source destination LEFT|RIGHT LEFT|RIGHT
pub static LMOVE: Spec = Spec {
    name: "lmove",
    summary: "Takes an element out of a list and puts it into another.",
    since: "6.2.0",
    arity: Arity::Exactly(5),
    keys: BOTH,
    flags: Flags::DENY_OOM,
    args: "source destination <LEFT|RIGHT> <LEFT|RIGHT>",
    handler: Handler::Write(|ctx, args| {
        let (from, to) = (end_of(args, 3)?, end_of(args, 4)?);
        if !move_element(ctx, args.key(1), args.key(2), from, to)? {
            ctx.reply.null();
        }
        Ok(())
    }),
    ..LIST
};

/// RPOPLPUSH source destination
pub static RPOPLPUSH: Spec = Spec {
    name: "rpoplpush",
    summary: "Takes the last element out of a list and puts it at the head of another.",
    since: "1.2.0",
    arity: Arity::Exactly(3),
    keys: BOTH,
    flags: Flags::DENY_OOM,
    args: "source destination",
    deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
    handler: Handler::Write(|ctx, args| {
        if !move_element(ctx, args.key(1), args.key(2), End::Tail, End::Head)? {
            ctx.reply.null();
        }
        Ok(())
    }),
    ..LIST
};

/// BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout
pub static BLMOVE: Spec = Spec {
    name: "blmove",
    summary: "Takes an element out of a list and puts it into another; waits for one if there is none.",
    since: "6.2.0",
    arity: Arity::Exactly(6),
    keys: BOTH,
    flags: Flags::DENY_OOM.or(WAITING),
    args: "source destination <LEFT|RIGHT> <LEFT|RIGHT> timeout:double",
    handler: Handler::Write(|ctx, args| {
        let (from, to) = (end_of(args, 3)?, end_of(args, 4)?);
        let timeout = Timeout::seconds(args.get(5))?;
        // When it is served after a wait, stock words the ends itself.
        let (from_word, to_word) = match ctx.resumed() {
            Some(_) => (word_of(from), word_of(to)),
            None => (args.get(3), args.get(4)),
        };
        let effect = [b"LMOVE", args.key(1), args.key(2), from_word, to_word];
        blocking_move(ctx, args, (from, to), timeout, &effect)
    }),
    ..LIST
};

/// BRPOPLPUSH source destination timeout
pub static BRPOPLPUSH: Spec = Spec {
    name: "brpoplpush",
    summary: "Takes the last element out of a list and puts it at the head of another; waits for one if there is none.",
    since: "2.2.0",
    arity: Arity::Exactly(4),
    keys: BOTH,
    flags: Flags::DENY_OOM.or(WAITING),
    args: "source destination timeout:double",
    history: FRACTIONS,
    deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
    handler: Handler::Write(|ctx, args| {
        let timeout = Timeout::seconds(args.get(3))?;
        let effect = [b"RPOPLPUSH", args.key(1), args.key(2)];
        blocking_move(ctx, args, (End::Tail, End::Head), timeout, &effect)
    }),
    ..LIST
};

/// LEFT or RIGHT.
fn end_of(args: Args<'_>, at: usize) -> Result<End> {
    if args.is(at, "left") {
        Ok(End::Head)
    } else if args.is(at, "right") {
        Ok(End::Tail)
    } else {
        Err(Error::Syntax)
    }
}

fn word_of(end: End) -> &'static [u8] {
    match end {
        End::Head => b"left",
        End::Tail => b"right",
    }
}

/// Moves an element and replies with it; whether there was one.
fn move_element(ctx: &mut WriteCtx<'_>, source: &[u8], destination: &[u8], from: End, to: End) -> Result<bool> {
    let reply = &mut ctx.reply;
    let slot = ctx.keys.list_slot(source)?;
    let Some(list) = slot.get() else { return Ok(false) };
    let index = match from {
        End::Head => 0,
        End::Tail => list.len() - 1,
    };
    // There is one at both ends.
    let text = list.with(index, |value| value.to_vec()).unwrap_or_default();
    if source == destination {
        slot.turn(from, to, &text);
    } else {
        ctx.keys.list_slot(destination)?.push_moved(to, &text);
        ctx.keys.list_slot(source)?.pop(from, 1);
    }
    reply.bulk(&text);
    Ok(true)
}

/// As [`move_element`], and waits if there is nothing. Propagated as what it did.
fn blocking_move(
    ctx: &mut WriteCtx<'_>,
    args: Args<'_>,
    ends: (End, End),
    timeout: Timeout,
    effect: &[&[u8]],
) -> Result {
    let (source, destination) = (args.key(1), args.key(2));
    if move_element(ctx, source, destination, ends.0, ends.1)? {
        ctx.propagate(effect);
        return Ok(());
    }
    if ctx.may_block() {
        return ctx.block(Wanted::List, [source], timeout);
    }
    // Where nothing may block, this is not the answer of one whose time is up.
    ctx.reply.null();
    Ok(())
}

const BLOCKING_POP: Spec = Spec {
    since: "2.0.0",
    complexity: "O(N) where N is the number of provided keys.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::range(1, -2, 1, TAKEN)],
    flags: WAITING,
    args: "key [key ...] timeout:double",
    history: FRACTIONS,
    ..LIST
};

/// BLPOP key [key ...] timeout
pub static BLPOP: Spec = Spec {
    name: "blpop",
    summary: "Takes the first element out of the first list that has one; waits for one if there is none.",
    handler: Handler::Write(|ctx, args| {
        pops::one_or_wait(ctx, args, Wanted::List, |ctx, key| pop_one(ctx, key, End::Head))
    }),
    ..BLOCKING_POP
};

/// BRPOP key [key ...] timeout
pub static BRPOP: Spec = Spec {
    name: "brpop",
    summary: "Takes the last element out of the first list that has one; waits for one if there is none.",
    handler: Handler::Write(|ctx, args| {
        pops::one_or_wait(ctx, args, Wanted::List, |ctx, key| pop_one(ctx, key, End::Tail))
    }),
    ..BLOCKING_POP
};

fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::Head => b"LPOP",
        End::Tail => b"RPOP",
    }
}

/// Replies with the key and the element. Propagated as LPOP or RPOP.
fn pop_one(ctx: &mut WriteCtx<'_>, key: &[u8], end: End) -> Result<bool> {
    let reply = &mut ctx.reply;
    let slot = ctx.keys.list_slot(key)?;
    let Some(list) = slot.get() else { return Ok(false) };
    reply.array(2);
    reply.bulk(key);
    write_one(reply, list, end);
    slot.pop(end, 1);
    ctx.propagate(&[pop_name(end), key]);
    Ok(true)
}

const SEVERAL: Spec = Spec {
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    ..LIST
};

/// LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]
pub static LMPOP: Spec = Spec {
    name: "lmpop",
    summary: "Takes elements out of the first list that has some.",
    arity: Arity::AtLeast(4),
    keys: &[KeySpec::counted(1, TAKEN)],
    args: "numkeys key [key ...] <LEFT|RIGHT> [COUNT count]",
    handler: Handler::Write(|ctx, args| pops::several(ctx, args, end_of, pop_several)),
    ..SEVERAL
};

/// BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]
pub static BLMPOP: Spec = Spec {
    name: "blmpop",
    summary: "Takes elements out of the first list that has some; waits for one if there is none.",
    arity: Arity::AtLeast(5),
    keys: &[KeySpec::counted(2, TAKEN)],
    flags: Flags::BLOCKING,
    args: "timeout:double numkeys key [key ...] <LEFT|RIGHT> [COUNT count]",
    handler: Handler::Write(|ctx, args| pops::several_or_wait(ctx, args, Wanted::List, end_of, pop_several)),
    ..SEVERAL
};

/// Replies with the key and the elements. Propagated as LPOP or RPOP with a count.
fn pop_several(ctx: &mut WriteCtx<'_>, key: &[u8], wanted: &Several<'_, End>) -> Result<bool> {
    let reply = &mut ctx.reply;
    let slot = ctx.keys.list_slot(key)?;
    let Some(list) = slot.get() else { return Ok(false) };
    let count = wanted.count.min(list.len());
    reply.array(2);
    reply.bulk(key);
    write_end(reply, list, wanted.end, count);
    slot.pop(wanted.end, count);
    ctx.propagate(&[pop_name(wanted.end), key, count.to_string().as_bytes()]);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::commands;
    use crate::execute::Engine;
    use crate::host::NoHost;
    use crate::testing::{check, check_with};
    use base::DbIndex;
    use keyspace::ListRef;

    #[test]
    fn elements_move_between_lists() {
        check(
            "
            > RPUSH a 1 2 3
            3
            > LMOVE a b LEFT RIGHT
            1
            > RPOPLPUSH a b
            3
            > LMOVE a a left left
            2
            > BLMOVE a b Right left 0
            2
            > LRANGE b 0 -1
            [\"2\", \"3\", \"1\"]
            > BRPOPLPUSH b b 0
            1
            > LRANGE b 0 -1
            [\"1\", \"2\", \"3\"]
            > LMOVE a b LEFT RIGHT
            (nil)
            > LMOVE a b LEFT UP
            ERR syntax error
            > SET s x
            OK
            > LMOVE b s LEFT LEFT
            WRONGTYPE Operation against a key holding the wrong kind of value
            > LLEN b
            3
            propagated: SELECT 0
            propagated: RPUSH a 1 2 3
            propagated: LMOVE a b LEFT RIGHT
            propagated: RPOPLPUSH a b
            propagated: LMOVE a a left left
            propagated: LMOVE a b Right left
            propagated: RPOPLPUSH b b
            propagated: SET s x
            propagated: nothing
            events: rpush a
            events: rpush b
            events: lpop a
            events: lpush b
            events: rpop a
            events: lpush a
            events: lpop a
            events: lpush b
            events: rpop a
            events: del a
            events: lpush b
            events: rpop b
            events: set s
            events: nothing
            ",
        );
    }

    #[test]
    fn a_list_that_turns_loses_its_node_before_it_gets_the_element_back() {
        // Where the element went in first, a list of nodes of one element each kept a node more than stock's.
        let mut engine = Engine::new(16, 1, || 0, commands::ALL);
        engine.data.settings.encodings.list_max_listpack_size = 1;
        check_with(&mut engine, &mut NoHost, "> RPUSH l 1 2 3\n3");
        engine.data.settings.encodings.list_max_listpack_size = -2;
        check_with(
            &mut engine,
            &mut NoHost,
            "
            > LMOVE l l LEFT LEFT
            1
            > LMOVE l l RIGHT LEFT
            3
            > LRANGE l 0 -1
            [\"3\", \"1\", \"2\"]
            > RPUSH one x
            1
            > LMOVE one one RIGHT LEFT
            x
            > LRANGE one 0 -1
            [\"x\"]
            ",
        );
        let keyspace = &engine.data.keyspace;
        let list = keyspace.db(DbIndex(0)).get(b"l", keyspace.hash(b"l"));
        let nodes = list
            .and_then(|entry| ListRef::of(entry.value()))
            .map(|list| list.nodes().count());
        assert_eq!(nodes, Some(1));
    }

    #[test]
    fn several_at_once() {
        check(
            "
            > RPUSH b 1 2 3
            3
            > LMPOP 2 a b LEFT
            [\"b\", [\"1\"]]
            > LMPOP 2 a b RIGHT COUNT 10
            [\"b\", [\"3\", \"2\"]]
            > LMPOP 1 a LEFT
            (nil)
            > LMPOP 0 a LEFT
            ERR numkeys should be greater than 0
            > LMPOP 1 a UP
            ERR syntax error
            > LMPOP 3 a LEFT
            ERR syntax error
            > LMPOP 1 a LEFT COUNT 0
            ERR count should be greater than 0
            > LMPOP 1 a LEFT COUNT 1 COUNT 2
            ERR syntax error
            propagated: SELECT 0
            propagated: RPUSH b 1 2 3
            propagated: LPOP b 1
            propagated: RPOP b 2
            propagated: nothing
            ",
        );
    }

    #[test]
    fn waiting_clients_are_served_as_elements_come() {
        check(
            "
            @1> BLPOP a b 0

            @2> BLMPOP 0 2 b a RIGHT COUNT 2

            @3> BLMOVE b c RIGHT LEFT 0

            @4> BLPOP c 0

            > RPUSH b 1 2 3 4
            4
            @1> PING
            [\"b\", \"1\"] PONG
            @2> PING
            [\"b\", [\"4\", \"3\"]] PONG
            @3> PING
            2 PONG
            @4> PING
            [\"c\", \"2\"] PONG
            > KEYS *
            []
            propagated: SELECT 0
            propagated: RPUSH b 1 2 3 4
            propagated: LPOP b
            propagated: RPOP b 2
            propagated: LMOVE b c right left
            propagated: LPOP c
            propagated: nothing
            events: rpush b
            events: lpop b
            events: rpop b
            events: lpush c
            events: rpop b
            events: del b
            events: lpop c
            events: del c
            ",
        );
    }

    #[test]
    fn a_value_of_another_type_wakes_nobody_and_a_bad_destination_leaves_the_element() {
        check(
            "
            @1> BLPOP a 0

            @2> BLMOVE a s LEFT LEFT 0

            > SET a x
            OK
            > SET s x
            OK
            > DEL a
            1
            > RPUSH a 1 2
            2
            @1> PING
            [\"a\", \"1\"] PONG
            @2> PING
            WRONGTYPE Operation against a key holding the wrong kind of value PONG
            > LRANGE a 0 -1
            [\"2\"]
            ",
        );
    }
}
