//! MEMORY.

use crate::host::split;
use crate::memory::Memory;
use engine::{ArgsExt, Arity, Category, Error, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, ServerCtx, Spec};
use resp::{Args, Reply};

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
    let memory = Memory::now(state, engine);
    let frozen = engine.data.keyspace.frozen_bytes();
    let (ratio, excess) = memory.fragmentation(&resources);
    let allocated = resources.allocated_bytes;
    let spare = resources.resident_bytes as i64 - allocated as i64;
    let resident_ratio = resources.resident_bytes as f64 / allocated.max(1) as f64;
    let mut figures = Figures::default();
    figures.int("peak.allocated", memory.peak);
    figures.int("total.allocated", memory.used);
    figures.int("startup.allocated", memory.startup);
    figures.int("replication.backlog", memory.backlog);
    figures.int("clients.slaves", memory.replicas);
    figures.int("clients.normal", memory.clients);
    figures.int("cluster.links", 0);
    figures.int("aof.buffer", 0);
    figures.int("lua.caches", 0);
    figures.int("functions.caches", memory.functions);
    for (db, bytes) in &memory.tables {
        figures.table(format!("db.{}", db.0), *bytes);
    }
    figures.int("overhead.total", memory.overhead());
    figures.int("keys.count", memory.keys);
    figures.int("keys.bytes-per-key", memory.bytes_per_key());
    figures.int("dataset.bytes", memory.dataset());
    figures.float("dataset.percentage", memory.dataset_percent());
    figures.float(
        "peak.percentage",
        100.0 * memory.used as f64 / memory.peak.max(1) as f64,
    );
    figures.int("allocator.allocated", allocated);
    figures.int("allocator.active", allocated);
    figures.int("allocator.resident", resources.resident_bytes);
    figures.float("allocator-fragmentation.ratio", 1.0);
    figures.int("allocator-fragmentation.bytes", 0);
    figures.float("allocator-rss.ratio", resident_ratio);
    figures.signed("allocator-rss.bytes", spare);
    figures.float("rss-overhead.ratio", 1.0);
    figures.int("rss-overhead.bytes", 0);
    figures.float("fragmentation", ratio);
    figures.signed("fragmentation.bytes", excess);
    figures.int("frozen.bytes", frozen);
    figures.write_to(&mut ctx.reply);
    Ok(())
}

/// What MEMORY STATS answers, in order.
#[derive(Default)]
struct Figures(Vec<(String, Figure)>);

enum Figure {
    Int(i64),
    Float(f64),
    /// Of a database: what its table takes.
    Table(u64),
}

impl Figures {
    fn int(&mut self, name: &str, value: u64) {
        self.signed(name, value as i64);
    }

    fn signed(&mut self, name: &str, value: i64) {
        self.0.push((name.to_owned(), Figure::Int(value)));
    }

    fn float(&mut self, name: &str, value: f64) {
        self.0.push((name.to_owned(), Figure::Float(value)));
    }

    fn table(&mut self, name: String, bytes: u64) {
        self.0.push((name, Figure::Table(bytes)));
    }

    fn write_to(&self, reply: &mut Reply<'_>) {
        reply.map(self.0.len());
        for (name, figure) in &self.0 {
            reply.bulk(name.as_bytes());
            match figure {
                Figure::Int(value) => reply.int(*value),
                Figure::Float(value) => reply.double(*value),
                // Expiries are in the entries, and slots are nowhere.
                Figure::Table(bytes) => {
                    let parts = [("main", *bytes), ("expires", 0), ("slot-to-keys", 0)];
                    reply.map(parts.len());
                    for (name, bytes) in parts {
                        reply.bulk(format!("overhead.hashtable.{name}").as_bytes());
                        reply.int(bytes as i64);
                    }
                }
            }
        }
    }
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
