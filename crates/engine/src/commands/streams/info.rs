//! XINFO: what streams, groups and consumers tell about themselves.

use super::{STREAM, no_group_of_key, reply, wrong_subcommand};
use crate::{ArgsExt, Arity, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec};
use keyspace::stream::stream::{Consumer, Group, StreamId};
use keyspace::stream::{Stream, lag};
use resp::{Args, Reply};

/// XINFO subcommand
pub static XINFO: Spec = Spec {
    name: "xinfo",
    summary: "Tells about streams, consumer groups and consumers.",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    subcommands: &[&HELP, &GROUPS, &CONSUMERS, &STREAM_INFO],
    ..STREAM
};

const KEY: &[KeySpec] = &[KeySpec::at(2, KeyFlags::RO.or(KeyFlags::ACCESS))];

/// XINFO STREAM key [FULL [COUNT count]]
static STREAM_INFO: Spec = Spec {
    name: "stream",
    summary: "Tells about a stream.",
    arity: Arity::AtLeast(3),
    keys: KEY,
    args: "key [FULL [COUNT count]]",
    history: &[
        ("6.0.0", "FULL."),
        (
            "7.0.0",
            "Fields `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag`.",
        ),
    ],
    handler: Handler::Read(stream_info),
    ..STREAM
};

/// XINFO GROUPS key
static GROUPS: Spec = Spec {
    name: "groups",
    summary: "Lists the consumer groups of a stream.",
    arity: Arity::Exactly(3),
    keys: KEY,
    args: "key",
    history: &[("7.0.0", "Fields `entries-read` and `lag`.")],
    handler: Handler::Read(groups),
    ..STREAM
};

/// XINFO CONSUMERS key group
static CONSUMERS: Spec = Spec {
    name: "consumers",
    summary: "Lists the consumers of a group.",
    arity: Arity::Exactly(4),
    keys: KEY,
    tips: &["nondeterministic_output"],
    args: "key groupname",
    handler: Handler::Read(consumers),
    ..STREAM
};

/// XINFO HELP
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
        "XINFO",
        &[
            "CONSUMERS <key> <groupname>",
            "    Show consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the stream consumer groups.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about the stream.",
        ],
    );
}

fn consumers(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let now_ms = ctx.now.unix_ms().0;
    let (key, name) = (args.key(2), args.get(3));
    let stream = ctx.keys.stream(key)?.ok_or(Error::NoSuchKey)?;
    let group = stream.group(name).ok_or_else(|| no_group_of_key(name, key))?;
    let reply = &mut ctx.reply;
    reply.array(group.consumer_count() as usize);
    for consumer in group.consumers() {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply.bulk(b"pending");
        reply.int(consumer.pending_len() as i64);
        reply.bulk(b"idle");
        reply.int(now_ms.wrapping_sub(consumer.seen_ms()).max(0));
    }
    Ok(())
}

fn groups(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let stream = ctx.keys.stream(args.key(2))?.ok_or(Error::NoSuchKey)?;
    let reply = &mut ctx.reply;
    reply.array(stream.group_count() as usize);
    for group in stream.groups() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(group.name());
        reply.bulk(b"consumers");
        reply.int(group.consumer_count() as i64);
        reply.bulk(b"pending");
        reply.int(group.pending_len() as i64);
        progress(reply, stream, group);
    }
    Ok(())
}

/// How far a group has read.
fn progress(reply: &mut Reply<'_>, stream: &Stream, group: &Group) {
    reply.bulk(b"last-delivered-id");
    reply::id(reply, group.last_id());
    reply.bulk(b"entries-read");
    reply::known(reply, group.entries_read().map(|read| read as i64));
    reply.bulk(b"lag");
    reply::known(reply, lag(&stream.counters(), group.last_id(), group.entries_read()));
}

fn stream_info(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    // Stock looks the key up first.
    let stream = ctx.keys.stream(args.key(2))?.ok_or(Error::NoSuchKey)?;
    let wrong = || wrong_subcommand("XINFO", args.get(1));
    let full_count = match args.len() {
        3 => None,
        4 if args.is(3, "full") => Some(10),
        6 if args.is(3, "full") && args.is(4, "count") => match args.int(5)? {
            count if count < 0 => Some(10),
            count => Some(count as u64),
        },
        _ => return Err(wrong()),
    };
    let reply = &mut ctx.reply;
    reply.map(if full_count.is_some() { 9 } else { 10 });
    about_stream(reply, stream);
    match full_count {
        None => summary(reply, stream),
        Some(count) => {
            reply.bulk(b"entries");
            reply::entries(reply, stream.range(StreamId::MIN, StreamId::MAX), count);
            full_groups(reply, stream, if count == 0 { usize::MAX } else { count as usize });
        }
    }
    Ok(())
}

fn about_stream(reply: &mut Reply<'_>, stream: &Stream) {
    let counters = stream.counters();
    reply.bulk(b"length");
    reply.int(counters.length as i64);
    reply.bulk(b"radix-tree-keys");
    reply.int(stream.node_count() as i64);
    reply.bulk(b"radix-tree-nodes");
    reply.int(radix_tree_nodes(stream.nodes().map(|(master, _)| master)) as i64);
    reply.bulk(b"last-generated-id");
    reply::id(reply, counters.last_id);
    reply.bulk(b"max-deleted-entry-id");
    reply::id(reply, counters.max_deleted_id);
    reply.bulk(b"entries-added");
    reply.int(counters.entries_added as i64);
    reply.bulk(b"recorded-first-entry-id");
    reply::id(reply, counters.first_id);
}

/// Stock keeps the nodes in a radix tree of their ids' bytes, and tells of how many nodes that consists. Ours would too:
/// one for each id, each place where ids part, and each run of bytes between those.
fn radix_tree_nodes(ids: impl Iterator<Item = StreamId>) -> u64 {
    const ID_BYTES: u32 = 16;
    let mut ids = ids.map(|id| u128::from_be_bytes(id.to_bytes()));
    let Some(mut last) = ids.next() else { return 1 };
    let mut nodes = 0;
    // Depths at which the path to the last id parts from others.
    let mut parts: Vec<u32> = Vec::new();
    // An edge takes a byte in the node where it begins; what is left of it is a node of its own.
    let edge = |from: Option<&u32>, to: u32| u64::from(from.map_or(to, |from| to - from - 1) > 0);
    for id in ids {
        let common = (last ^ id).leading_zeros() / 8;
        let mut below = ID_BYTES;
        while parts.last().is_some_and(|depth| *depth > common) {
            let depth = parts.pop();
            nodes += 1 + edge(depth.as_ref(), below);
            below = depth.unwrap_or(below);
        }
        nodes += 1 + edge(Some(&common), below);
        if parts.last() != Some(&common) {
            parts.push(common);
        }
        last = id;
    }
    let mut below = ID_BYTES;
    while let Some(depth) = parts.pop() {
        nodes += 1 + edge(Some(&depth), below);
        below = depth;
    }
    nodes + 1 + edge(None, below)
}

fn summary(reply: &mut Reply<'_>, stream: &Stream) {
    reply.bulk(b"groups");
    reply.int(stream.group_count() as i64);
    for (name, entry) in [(&b"first-entry"[..], stream.first()), (b"last-entry", stream.last())] {
        reply.bulk(name);
        match entry {
            Some(entry) => reply::entry(reply, &entry),
            None => reply.null(),
        }
    }
}

fn full_groups(reply: &mut Reply<'_>, stream: &Stream, limit: usize) {
    reply.bulk(b"groups");
    reply.array(stream.group_count() as usize);
    for group in stream.groups() {
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(group.name());
        progress(reply, stream, group);
        reply.bulk(b"pel-count");
        reply.int(group.pending_len() as i64);
        reply.bulk(b"pending");
        let header = reply.deferred_array();
        let mut written = 0;
        for pending in group.pending_from(StreamId::MIN).take(limit) {
            reply.array(4);
            reply::id(reply, pending.id);
            reply.bulk(group.consumer(pending.consumer).map_or(&[][..], Consumer::name));
            reply.int(pending.delivered_ms);
            reply.int(pending.deliveries as i64);
            written += 1;
        }
        reply.set_deferred(header, written);
        reply.bulk(b"consumers");
        reply.array(group.consumer_count() as usize);
        for consumer in group.consumers() {
            full_consumer(reply, group, consumer, limit);
        }
    }
}

fn full_consumer(reply: &mut Reply<'_>, group: &Group, consumer: &Consumer, limit: usize) {
    reply.map(4);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    reply.bulk(b"seen-time");
    reply.int(consumer.seen_ms());
    reply.bulk(b"pel-count");
    reply.int(consumer.pending_len() as i64);
    reply.bulk(b"pending");
    let header = reply.deferred_array();
    let mut written = 0;
    let ids = consumer.pending_from(StreamId::MIN).take(limit);
    for pending in ids.filter_map(|id| group.pending(id)) {
        reply.array(3);
        reply::id(reply, pending.id);
        reply.int(pending.delivered_ms);
        reply.int(pending.deliveries as i64);
        written += 1;
    }
    reply.set_deferred(header, written);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_the_radix_tree() {
        let id = StreamId::new;
        let nodes = |ids: &[StreamId]| radix_tree_nodes(ids.iter().copied());
        assert_eq!(nodes(&[]), 1);
        // A run of sixteen bytes, and the end.
        assert_eq!(nodes(&[id(1, 0)]), 2);
        // Seven common bytes, the parting, and for each the other eight bytes and the end.
        assert_eq!(nodes(&[id(1, 0), id(2, 0)]), 6);
        // Parting at the last byte: no run is left.
        assert_eq!(nodes(&[id(1, 0), id(1, 1), id(1, 2)]), 5);
        assert_eq!(nodes(&[id(1, 0), id(1, 1), id(2, 0)]), 8);
        assert_eq!(nodes(&[id(0, 0), id(1 << 56, 0)]), 5);
    }
}
