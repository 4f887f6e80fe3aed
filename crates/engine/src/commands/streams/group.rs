//! XGROUP: consumer groups are made, set and taken away.

use super::{STREAM, ids, no_group_of_key, wrong_subcommand};
use crate::slots::StreamSlot;
use crate::{ArgsExt, Arity, Error, Event, Flags, Handler, KeyFlags, KeySpec, Result, Spec, WriteCtx};
use keyspace::stream::stream::StreamId;
use resp::{Args, Reply};

/// XGROUP subcommand
pub static XGROUP: Spec = Spec {
    name: "xgroup",
    summary: "Manages consumer groups.",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    subcommands: &[&DESTROY, &DELCONSUMER, &CREATE, &HELP, &CREATECONSUMER, &SETID],
    ..STREAM
};

const OF_GROUP: Spec = Spec {
    arity: Arity::Exactly(5),
    args: "key groupname consumername",
    ..STREAM
};

const INSERTS: &[KeySpec] = &[KeySpec::at(2, KeyFlags::RW.or(KeyFlags::INSERT))];
const DELETES: &[KeySpec] = &[KeySpec::at(2, KeyFlags::RW.or(KeyFlags::DELETE))];

/// XGROUP CREATE key group id|$ [MKSTREAM] [ENTRIESREAD entries-read]
static CREATE: Spec = Spec {
    name: "create",
    summary: "Creates a consumer group.",
    arity: Arity::AtLeast(5),
    keys: INSERTS,
    flags: Flags::DENY_OOM,
    args: "key groupname <id|$> [MKSTREAM] [ENTRIESREAD entries_read:integer]",
    history: &[("7.0.0", "ENTRIESREAD.")],
    handler: Handler::Write(create),
    ..OF_GROUP
};

/// XGROUP SETID key group id|$ [ENTRIESREAD entries-read]
static SETID: Spec = Spec {
    name: "setid",
    summary: "Sets how far a consumer group has read.",
    arity: Arity::AtLeast(5),
    keys: &[KeySpec::at(2, KeyFlags::RW.or(KeyFlags::UPDATE))],
    args: "key groupname <id|$> [ENTRIESREAD entries_read:integer]",
    history: &[("7.0.0", "ENTRIESREAD.")],
    handler: Handler::Write(set_id),
    ..OF_GROUP
};

/// XGROUP DESTROY key group
static DESTROY: Spec = Spec {
    name: "destroy",
    summary: "Takes a consumer group away.",
    complexity: "O(N) with N the number of its pending entries.",
    arity: Arity::Exactly(4),
    keys: DELETES,
    args: "key groupname",
    handler: Handler::Write(destroy),
    ..OF_GROUP
};

/// XGROUP CREATECONSUMER key group consumer
static CREATECONSUMER: Spec = Spec {
    name: "createconsumer",
    summary: "Adds a consumer to a group.",
    since: "6.2.0",
    keys: INSERTS,
    flags: Flags::DENY_OOM,
    handler: Handler::Write(create_consumer),
    ..OF_GROUP
};

/// XGROUP DELCONSUMER key group consumer
static DELCONSUMER: Spec = Spec {
    name: "delconsumer",
    summary: "Takes a consumer of a group away.",
    keys: DELETES,
    handler: Handler::Write(delete_consumer),
    ..OF_GROUP
};

/// The options behind the id of CREATE and SETID.
struct Options {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn parse(args: Args<'_>, may_make_stream: bool) -> Result<Self> {
        let mut options = Self {
            make_stream: false,
            entries_read: None,
        };
        let mut at = 5;
        while at < args.len() {
            if may_make_stream && args.is(at, "mkstream") {
                options.make_stream = true;
                at += 1;
            } else if args.is(at, "entriesread") && at + 1 < args.len() {
                options.entries_read = match args.int(at + 1)? {
                    -1 => None,
                    read => Some(u64::try_from(read).map_err(|_| NEGATIVE)?),
                };
                at += 2;
            } else {
                return Err(wrong_subcommand("XGROUP", args.get(1)));
            }
        }
        Ok(options)
    }
}

const NEGATIVE: Error = Error::fixed("ERR value for ENTRIESREAD must be positive or -1");
const NO_STREAM: Error = Error::fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option \
     to create an empty stream automatically.",
);

/// The id at which a group begins to read; `$` is the stream's last.
fn start_id(slot: &StreamSlot<'_, '_>, word: &[u8], parse: fn(&[u8], u64) -> Result<StreamId>) -> Result<StreamId> {
    if word == b"$" {
        Ok(slot.get().map_or(StreamId::MIN, |stream| stream.counters().last_id))
    } else {
        parse(word, 0)
    }
}

fn create(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let options = Options::parse(args, true)?;
    let mut slot = ctx.keys.stream_slot(args.key(2))?;
    if slot.get().is_none() && !options.make_stream {
        return Err(NO_STREAM);
    }
    if args.len() > 8 {
        return Err(wrong_subcommand("XGROUP", args.get(1)));
    }
    let id = start_id(&slot, args.get(4), ids::strict)?;
    if slot.get().is_none() {
        slot.create();
        slot.tell_watchers();
    }
    let created = slot.edit(|stream| stream.create_group(args.get(3), id, options.entries_read));
    if created != Some(true) {
        return Err(Error::fixed("BUSYGROUP Consumer Group name already exists"));
    }
    slot.commit_aside(1, Some(Event::XGROUP_CREATE));
    ctx.reply.ok();
    Ok(())
}

/// The slot of a stream that has this group.
fn with_group<'c, 'a>(ctx: &'c mut WriteCtx<'a>, args: Args<'c>) -> Result<StreamSlot<'c, 'a>> {
    let (key, group) = (args.key(2), args.get(3));
    let slot = ctx.stream_slot(key)?;
    let stream = slot.get().ok_or(NO_STREAM)?;
    if stream.group(group).is_none() {
        return Err(no_group_of_key(group, key));
    }
    Ok(slot)
}

fn set_id(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let options = Options::parse(args, false)?;
    let mut slot = with_group(ctx, args)?;
    if args.len() > 7 {
        return Err(wrong_subcommand("XGROUP", args.get(1)));
    }
    let id = start_id(&slot, args.get(4), ids::loose)?;
    slot.edit(|stream| {
        stream.update_group(args.get(3), |group| {
            group.set_last_id(id);
            group.set_entries_read(options.entries_read);
        })
    });
    slot.commit_aside(1, Some(Event::XGROUP_SETID));
    ctx.reply.ok();
    Ok(())
}

fn destroy(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let mut slot = ctx.keys.stream_slot(args.key(2))?;
    if slot.get().is_none() {
        return Err(NO_STREAM);
    }
    let destroyed = slot.edit(|stream| stream.remove_group(args.get(3))) == Some(true);
    if destroyed {
        slot.commit_aside(1, Some(Event::XGROUP_DESTROY));
        // Who waits for the group must hear that nothing will come.
        slot.wake();
    }
    ctx.reply.int(i64::from(destroyed));
    Ok(())
}

/// Replies 1 if there was no such consumer, else 0.
fn create_consumer(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let now = ctx.now.unix_ms().0;
    let mut slot = with_group(ctx, args)?;
    let created = slot
        .edit(|stream| stream.update_group(args.get(3), |group| group.create_consumer(args.get(4), now)))
        .flatten()
        .flatten()
        .is_some();
    if created {
        slot.commit_aside(1, Some(Event::XGROUP_CREATECONSUMER));
    }
    ctx.reply.int(i64::from(created));
    Ok(())
}

/// Replies how many entries were waiting for it.
fn delete_consumer(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let mut slot = with_group(ctx, args)?;
    let pending = slot
        .edit(|stream| stream.update_group(args.get(3), |group| group.remove_consumer(args.get(4))))
        .flatten()
        .flatten();
    if pending.is_some() {
        slot.commit_aside(1, Some(Event::XGROUP_DELCONSUMER));
    }
    ctx.reply.int(pending.unwrap_or(0) as i64);
    Ok(())
}

/// XGROUP HELP
static HELP: Spec = Spec {
    name: "help",
    summary: "Lists the subcommands.",
    arity: Arity::Exactly(2),
    flags: Flags::LOADING.or(Flags::STALE),
    handler: Handler::Server(|ctx, _| {
        write_help(&mut ctx.reply);
        Ok(())
    }),
    ..STREAM
};

fn write_help(reply: &mut Reply<'_>) {
    crate::commands::help::write_lines(
        reply,
        "XGROUP",
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a new consumer group. Options are:",
            "    * MKSTREAM",
            "      Create the empty stream if it does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set the group's entries_read counter (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a new consumer in the specified group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove the specified consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the specified group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the current group ID and entries_read counter.",
        ],
    );
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn groups_and_consumers() {
        check(
            "
            > XGROUP CREATE s g $
            ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.
            > XGROUP CREATE s g $ MKSTREAM
            OK
            > XGROUP CREATE s g 0
            BUSYGROUP Consumer Group name already exists
            > XGROUP CREATECONSUMER s g c
            1
            > XGROUP CREATECONSUMER s g c
            0
            > XGROUP DELCONSUMER s g c
            0
            > XGROUP SETID s g 5-5 ENTRIESREAD -2
            ERR value for ENTRIESREAD must be positive or -1
            > XGROUP SETID s g 5-5 ENTRIESREAD 2
            OK
            > XGROUP SETID s none 5-5
            NOGROUP No such consumer group 'none' for key name 's'
            > XGROUP DESTROY s g
            1
            > XGROUP DESTROY s g
            0
            > XGROUP CREATE s g 0 X
            ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.
            propagated: SELECT 0
            propagated: XGROUP CREATE s g $ MKSTREAM
            propagated: XGROUP CREATECONSUMER s g c
            propagated: XGROUP DELCONSUMER s g c
            propagated: XGROUP SETID s g 5-5 ENTRIESREAD 2
            propagated: XGROUP DESTROY s g
            propagated: nothing
            events: xgroup-create s
            events: xgroup-createconsumer s
            events: xgroup-delconsumer s
            events: xgroup-setid s
            events: xgroup-destroy s
            events: nothing
            ",
        );
    }
}
