//! Sets: members, one or several at a time.

use crate::keys::Reader;
use crate::{ArgsExt, Arity, Category, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, WriteCtx};
use keyspace::SetRef;
use keyspace::set::Member;
use resp::{Args, Reply};

pub(super) const SET: Spec = Spec {
    category: Category::Set,
    ..Spec::BASE
};

/// SADD key member [member ...]
pub static SADD: Spec = Spec {
    name: "sadd",
    summary: "Puts members into a set, creating it if it is absent.",
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple \
                 arguments.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::INSERT))],
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key member [member ...]",
    history: &[("2.4.0", "Accepts multiple `member` arguments.")],
    member: 2,
    handler: Handler::Write(add),
    ..SET
};

fn add(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let added = ctx.set_slot(args.key(1))?.insert(args.skip(2).iter());
    ctx.reply.int(added as i64);
    Ok(())
}

/// SREM key member [member ...]
pub static SREM: Spec = Spec {
    name: "srem",
    summary: "Takes members out of a set, and deletes it when none is left.",
    complexity: "O(N) where N is the number of members to be removed.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::DELETE))],
    flags: Flags::FAST,
    args: "key member [member ...]",
    history: &[("2.4.0", "Accepts multiple `member` arguments.")],
    member: 2,
    handler: Handler::Write(remove),
    ..SET
};

fn remove(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let removed = ctx.set_slot(args.key(1))?.remove(args.skip(2).iter());
    ctx.reply.int(removed as i64);
    Ok(())
}

/// SISMEMBER key member
pub static SISMEMBER: Spec = Spec {
    name: "sismember",
    summary: "Says whether a member is in a set.",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, KeyFlags::RO)],
    flags: Flags::FAST,
    args: "key member",
    member: 2,
    handler: Handler::Read(is_member),
    ..SET
};

fn is_member(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let found = ctx.keys.set(args.key(1))?.is_some_and(|set| set.contains(args.get(2)));
    ctx.reply.int(found.into());
    Ok(())
}

/// SMISMEMBER key member [member ...]
pub static SMISMEMBER: Spec = Spec {
    name: "smismember",
    summary: "Says of each of several members whether it is in a set.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of elements being checked for membership",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    flags: Flags::FAST,
    args: "key member [member ...]",
    member: 2,
    handler: Handler::Read(are_members),
    ..SET
};

fn are_members(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let set = ctx.keys.set(args.key(1))?;
    ctx.reply.array(args.len() - 2);
    for member in args.skip(2).iter() {
        let found = set.is_some_and(|set| set.contains(member));
        ctx.reply.int(found.into());
    }
    Ok(())
}

/// SCARD key
pub static SCARD: Spec = Spec {
    name: "scard",
    summary: "Returns the number of members of a set.",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO)],
    flags: Flags::FAST,
    args: "key",
    handler: Handler::Read(cardinality),
    ..SET
};

fn cardinality(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let len = ctx.keys.set(args.key(1))?.map_or(0, SetRef::len);
    ctx.reply.int(len as i64);
    Ok(())
}

/// SMEMBERS key
pub static SMEMBERS: Spec = Spec {
    name: "smembers",
    summary: "Returns all members of a set.",
    complexity: "O(N) where N is the set cardinality.",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    tips: &["nondeterministic_output_order"],
    args: "key",
    handler: Handler::Read(members),
    ..SET
};

fn members(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    write_all(&mut ctx.reply, ctx.keys.set(args.key(1))?);
    Ok(())
}

/// Writes all members as a set reply.
pub(super) fn write_all(reply: &mut Reply<'_>, set: Option<SetRef<'_>>) {
    reply.set(set.map_or(0, SetRef::len));
    for member in set.iter().flat_map(|set| set.iter()) {
        write_member(reply, member);
    }
}

pub(super) fn write_member(reply: &mut Reply<'_>, member: Member<'_>) {
    member.with_text(|text| reply.bulk(text));
}

/// SMOVE source destination member
pub static SMOVE: Spec = Spec {
    name: "smove",
    summary: "Moves a member from one set to another.",
    arity: Arity::Exactly(4),
    keys: &[
        KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE)),
        KeySpec::at(2, KeyFlags::RW.or(KeyFlags::INSERT)),
    ],
    flags: Flags::FAST,
    args: "source destination member",
    member: 3,
    handler: Handler::Write(move_member),
    ..SET
};

fn move_member(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let (from, to, member) = (args.key(1), args.key(2), args.get(3));
    // A destination of another type matters only where there is a source.
    let source = ctx.set_slot(from);
    if let Ok(slot) = &source
        && slot.get().is_none()
    {
        ctx.reply.int(0);
        return Ok(());
    }
    let there = source?.get().is_some_and(|set| set.contains(member));
    ctx.set_slot(to)?;
    if there && from != to {
        ctx.set_slot(from)?.remove([member]);
        ctx.set_slot(to)?.insert([member]);
    }
    ctx.reply.int(there.into());
    Ok(())
}

impl Reader<'_> {
    /// The set at `key`, or an error when another type is there.
    pub fn set(&mut self, key: &[u8]) -> Result<Option<SetRef<'_>>> {
        let Some(entry) = self.get(key) else { return Ok(None) };
        SetRef::of(entry.value()).map(Some).ok_or(Error::WrongType)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn members_come_and_go() {
        check(
            "
            > SADD s 3 1 2 1
            3
            > SADD s 2
            0
            > SMEMBERS s
            [\"1\", \"2\", \"3\"]
            > OBJECT ENCODING s
            intset
            > SADD s a
            1
            > OBJECT ENCODING s
            hashtable
            > SCARD s
            4
            > SISMEMBER s a
            1
            > SISMEMBER s 01
            0
            > SMISMEMBER s 1 a x
            [1, 1, 0]
            > SREM s 1 2 x
            2
            > SREM s 3 a b
            2
            > EXISTS s
            0
            > SREM s a
            0
            > SCARD s
            0
            > SMEMBERS s
            []
            > SMISMEMBER s a b
            [0, 0]
            propagated: SELECT 0
            propagated: SADD s 3 1 2 1
            propagated: SADD s a
            propagated: SREM s 1 2 x
            propagated: SREM s 3 a b
            propagated: nothing
            events: sadd s
            events: sadd s
            events: srem s
            events: srem s
            events: del s
            events: nothing
        ",
        );
    }

    #[test]
    fn other_types_are_refused() {
        check(
            "
            > SET k v
            OK
            > SADD k a
            WRONGTYPE Operation against a key holding the wrong kind of value
            > SMEMBERS k
            WRONGTYPE Operation against a key holding the wrong kind of value
            > SADD s a
            1
            > GET s
            WRONGTYPE Operation against a key holding the wrong kind of value
            > SMOVE none k a
            0
            > SMOVE s k x
            WRONGTYPE Operation against a key holding the wrong kind of value
            > SMOVE k s x
            WRONGTYPE Operation against a key holding the wrong kind of value
        ",
        );
    }

    #[test]
    fn a_member_moves() {
        check(
            "
            > SADD a 1 2
            2
            > SADD b 2 x
            2
            > SMOVE a b 1
            1
            > SMOVE a b 1
            0
            > SMOVE a a 2
            1
            > SMOVE a b 2
            1
            > EXISTS a
            0
            > SMOVE b c x
            1
            propagated: SELECT 0
            propagated: SADD a 1 2
            propagated: SADD b 2 x
            propagated: SMOVE a b 1
            propagated: SMOVE a b 2
            propagated: SMOVE b c x
            events: sadd a
            events: sadd b
            events: srem a
            events: sadd b
            events: srem a
            events: del a
            events: srem b
            events: sadd c
        ",
        );
    }
}
