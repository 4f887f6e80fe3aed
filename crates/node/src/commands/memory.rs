//! MEMORY.

use crate::host::split;
use engine::{ArgsExt, Arity, Category, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, ServerCtx, Spec};
use resp::Args;

/// MEMORY
pub static MEMORY: Spec = Spec {
    name: "memory",
    summary: "Tells what takes how much memory.",
    since: "4.0.0",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    category: Category::Server,
    subcommands: &[&DOCTOR, &HELP, &MALLOC_STATS, &PURGE, &STATS, &USAGE],
    ..Spec::BASE
};

const SUBCOMMAND: Spec = Spec {
    category: Category::Server,
    since: "4.0.0",
    ..Spec::BASE
};

static USAGE: Spec = Spec {
    name: "usage",
    summary: "How many bytes a key takes, its share of the table included.",
    complexity: "O(N) where N is the number of samples.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(2, KeyFlags::RO)],
    args: "key [SAMPLES count]",
    handler: Handler::Read(usage),
    ..SUBCOMMAND
};

fn usage(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let mut at = 3;
    while at < args.len() {
        if !args.is(at, "samples") || at + 1 >= args.len() {
            return Err(Error::Syntax);
        }
        if args.int(at + 1)? < 0 {
            return Err(Error::Syntax);
        }
        at += 2;
    }
    match ctx.keys.bytes_of(args.key(2)) {
        Some(bytes) => ctx.reply.int(bytes as i64),
        None => ctx.reply.null(),
    }
    Ok(())
}

static STATS: Spec = Spec {
    name: "stats",
    summary: "What the server's memory is used for.",
    arity: Arity::Exactly(2),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    handler: Handler::Server(stats),
    ..SUBCOMMAND
};

fn stats(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let (state, engine) = split(ctx);
    let resources = state.outside.resources();
    let keyspace = &engine.data.keyspace;
    let (allocated, startup) = (resources.allocated_bytes, state.meters.startup_memory);
    let dataset = keyspace.live_bytes();
    let overhead = allocated.saturating_sub(dataset);
    let clients: usize = engine
        .sessions
        .iter()
        .map(|s| size_of_val(s) + s.out.capacity() + s.query_capacity)
        .sum();
    let keys = keyspace.key_count();
    let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
    let ratio = |a: u64, b: u64| a as f64 / b.max(1) as f64;
    let integers = [
        ("peak.allocated", state.meters.peak_memory.max(allocated)),
        ("total.allocated", allocated),
        ("startup.allocated", startup),
        ("replication.backlog", crate::replication::stream_memory_bytes(state)),
        ("clients.slaves", 0),
        ("clients.normal", clients as u64),
        ("cluster.links", 0),
        ("aof.buffer", 0),
        ("lua.caches", 0),
        (
            "functions.caches",
            state
                .persistence
                .functions
                .iter()
                .map(|library| library.len() as u64)
                .sum(),
        ),
        ("overhead.total", overhead),
        ("keys.count", keys),
        (
            "keys.bytes-per-key",
            allocated.saturating_sub(startup).checked_div(keys).unwrap_or(0),
        ),
        ("dataset.bytes", dataset),
        ("frozen.bytes", keyspace.frozen_bytes()),
        ("allocator.allocated", allocated),
        ("allocator.active", resources.resident_bytes),
        ("allocator.resident", resources.resident_bytes),
    ];
    let floats = [
        (
            "dataset.percentage",
            percent(dataset, allocated.saturating_sub(startup)),
        ),
        (
            "peak.percentage",
            percent(allocated, state.meters.peak_memory.max(allocated)),
        ),
        ("fragmentation", ratio(resources.resident_bytes, allocated)),
    ];
    let bytes = resources.resident_bytes as i64 - allocated as i64;
    ctx.reply.map(integers.len() + floats.len() + 1);
    for (name, value) in integers {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(value as i64);
    }
    for (name, value) in floats {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.double(value);
    }
    ctx.reply.bulk(b"fragmentation.bytes");
    ctx.reply.int(bytes);
    Ok(())
}

static DOCTOR: Spec = Spec {
    name: "doctor",
    summary: "Says in words whether memory is used as it should be.",
    arity: Arity::Exactly(2),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    handler: Handler::Server(doctor),
    ..SUBCOMMAND
};

fn doctor(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    const SMALL: u64 = 5 << 20;
    let (state, engine) = split(ctx);
    let resources = state.outside.resources();
    let mut text = String::new();
    if resources.allocated_bytes < SMALL {
        text.push_str(
            "This server uses so little memory that its figures say nothing about how it will do with data.\n",
        );
    } else {
        let frozen = engine.data.keyspace.frozen_bytes();
        if resources.resident_bytes > resources.allocated_bytes * 3 / 2 {
            text.push_str("Much more memory is resident than handed out: MEMORY PURGE may give some of it back.\n");
        }
        if frozen > resources.allocated_bytes / 2 {
            text.push_str(
                "More than half of the memory is held by snapshots in progress: a replica or a disk is slow.\n",
            );
        }
        if text.is_empty() {
            text.push_str("Nothing is wrong with the memory of this server.\n");
        }
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

static PURGE: Spec = Spec {
    name: "purge",
    summary: "Asks the allocator to give free memory back.",
    complexity: "Depends on how much memory is allocated, could be slow",
    arity: Arity::Exactly(2),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    handler: Handler::Server(|ctx, _| {
        split(ctx).0.outside.purge_memory();
        ctx.reply.ok();
        Ok(())
    }),
    ..SUBCOMMAND
};

static MALLOC_STATS: Spec = Spec {
    name: "malloc-stats",
    summary: "The allocator's own figures.",
    complexity: "Depends on how much memory is allocated, could be slow",
    arity: Arity::Exactly(2),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    handler: Handler::Server(|ctx, _| {
        let resources = split(ctx).0.outside.resources();
        let text = format!(
            "{}: {} bytes handed out, {} bytes resident\n",
            resources.allocator, resources.allocated_bytes, resources.resident_bytes
        );
        ctx.reply.verbatim("txt", text.as_bytes());
        Ok(())
    }),
    ..SUBCOMMAND
};

static HELP: Spec = Spec {
    name: "help",
    summary: "Lists the subcommands.",
    arity: Arity::Exactly(2),
    flags: Flags::LOADING.or(Flags::STALE),
    handler: Handler::Server(|ctx, _| {
        let lines = [
            ("DOCTOR", "Says in words whether memory is used as it should be."),
            ("MALLOC-STATS", "The allocator's own figures."),
            ("PURGE", "Asks the allocator to give free memory back."),
            ("STATS", "What the server's memory is used for."),
            ("USAGE <key> [SAMPLES <count>]", "How many bytes a key takes."),
        ];
        engine::commands::help::write(&mut ctx.reply, "MEMORY", &lines);
        Ok(())
    }),
    ..SUBCOMMAND
};
