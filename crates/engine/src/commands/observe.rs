//! Watching the server at work: MONITOR, SLOWLOG, LATENCY.

use crate::latency::Spikes;
use crate::{ArgsExt, Arity, Category, Error, Flags, Handler, Result, ServerCtx, Spec};
use resp::Args;

const ADMIN: Flags = Flags::ADMIN.or(Flags::LOADING).or(Flags::STALE);
const HELP_FLAGS: Flags = Flags::LOADING.or(Flags::STALE);
const SUBCOMMAND: Spec = Spec {
    category: Category::Server,
    flags: ADMIN,
    ..Spec::BASE
};

/// MONITOR
pub static MONITOR: Spec = Spec {
    name: "monitor",
    summary: "Streams every command that the server executes.",
    since: "1.0.0",
    arity: Arity::Exactly(1),
    flags: ADMIN.or(Flags::NO_SCRIPT),
    handler: Handler::Server(monitor),
    ..SUBCOMMAND
};

fn monitor(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    if ctx.engine.in_exec() {
        return Err(Error::fixed("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    let id = ctx.session_id;
    if ctx.session().kind != crate::session::Kind::Normal {
        // A replica's connection carries the stream: what it asks for here is passed over in silence, as stock does.
        return Ok(());
    }
    ctx.engine.add_monitor(id);
    ctx.reply.ok();
    Ok(())
}

/// SLOWLOG
pub static SLOWLOG: Spec = Spec {
    name: "slowlog",
    summary: "Shows commands that took long.",
    since: "2.2.12",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    category: Category::Server,
    subcommands: &[&SLOWLOG_GET, &SLOWLOG_HELP, &SLOWLOG_LEN, &SLOWLOG_RESET],
    ..Spec::BASE
};

static SLOWLOG_GET: Spec = Spec {
    name: "get",
    summary: "The newest slow commands.",
    since: "2.2.12",
    complexity: "O(N) where N is the number of entries returned",
    arity: Arity::AtLeast(2),
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    args: "[count]",
    history: &[("4.0.0", "Added client IP address, port and name to the reply.")],
    handler: Handler::Server(slowlog_get),
    ..SUBCOMMAND
};

fn slowlog_get(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    const DEFAULT: i64 = 10;
    let log = &ctx.engine.slowlog;
    let count = match args.len() {
        2 => DEFAULT,
        3 => args
            .int(2)
            .ok()
            .filter(|count| *count >= -1)
            .ok_or(Error::fixed("ERR count should be greater than or equal to -1"))?,
        _ => {
            return Err(Error::err(format_args!(
                "unknown subcommand or wrong number of arguments for '{}'. Try SLOWLOG HELP.",
                args.text(1)
            )));
        }
    };
    let shown = if count == -1 {
        log.iter().len()
    } else {
        log.iter().len().min(count as usize)
    };
    let reply = &mut ctx.reply;
    reply.array(shown);
    for entry in log.iter().take(shown) {
        reply.array(6);
        reply.int(entry.id as i64);
        reply.int(entry.unix_seconds);
        reply.int(entry.usec as i64);
        reply.array(entry.words.len());
        entry.words.iter().for_each(|word| reply.bulk(word));
        reply.bulk(entry.client.as_bytes());
        reply.bulk(&entry.client_name);
    }
    Ok(())
}

static SLOWLOG_LEN: Spec = Spec {
    name: "len",
    summary: "How many slow commands are kept.",
    since: "2.2.12",
    arity: Arity::Exactly(2),
    tips: &[
        "request_policy:all_nodes",
        "response_policy:agg_sum",
        "nondeterministic_output",
    ],
    handler: Handler::Server(|ctx, _| {
        ctx.reply.int(ctx.engine.slowlog.iter().len() as i64);
        Ok(())
    }),
    ..SUBCOMMAND
};

static SLOWLOG_RESET: Spec = Spec {
    name: "reset",
    summary: "Forgets the slow commands.",
    since: "2.2.12",
    complexity: "O(N) where N is the number of entries in the slowlog",
    arity: Arity::Exactly(2),
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    handler: Handler::Server(|ctx, _| {
        ctx.engine.slowlog.clear();
        ctx.reply.ok();
        Ok(())
    }),
    ..SUBCOMMAND
};

static SLOWLOG_HELP: Spec = Spec {
    name: "help",
    summary: "Lists the subcommands.",
    since: "6.2.0",
    arity: Arity::Exactly(2),
    flags: HELP_FLAGS,
    handler: Handler::Server(|ctx, _| {
        let lines = [
            (
                "GET [<count>]",
                "The newest entries (10; all with -1): id, time, microseconds, words, client, its name.",
            ),
            ("LEN", "How many entries there are."),
            ("RESET", "Forgets all entries."),
        ];
        super::help::write(&mut ctx.reply, "SLOWLOG", &lines);
        Ok(())
    }),
    ..SUBCOMMAND
};

/// LATENCY
pub static LATENCY: Spec = Spec {
    name: "latency",
    summary: "Shows what made the server slow, and how slow commands are.",
    since: "2.8.13",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    category: Category::Server,
    subcommands: &[
        &LATENCY_DOCTOR,
        &LATENCY_GRAPH,
        &LATENCY_HELP,
        &LATENCY_HISTOGRAM,
        &LATENCY_HISTORY,
        &LATENCY_LATEST,
        &LATENCY_RESET,
    ],
    ..Spec::BASE
};

const LATENCY_SUBCOMMAND: Spec = Spec {
    flags: ADMIN.or(Flags::NO_SCRIPT),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ],
    ..SUBCOMMAND
};

static LATENCY_LATEST: Spec = Spec {
    name: "latest",
    summary: "The last spike of every event.",
    since: "2.8.13",
    arity: Arity::Exactly(2),
    handler: Handler::Server(|ctx, _| {
        let events: Vec<_> = ctx.engine.latency.iter().collect();
        ctx.reply.array(events.len());
        for (event, spikes) in events {
            let (second, ms) = spikes.last().unwrap_or_default();
            ctx.reply.array(4);
            ctx.reply.bulk(event.as_bytes());
            ctx.reply.int(second);
            ctx.reply.int(ms as i64);
            ctx.reply.int(spikes.max_ms as i64);
        }
        Ok(())
    }),
    ..LATENCY_SUBCOMMAND
};

static LATENCY_HISTORY: Spec = Spec {
    name: "history",
    summary: "The spikes of an event.",
    since: "2.8.13",
    arity: Arity::Exactly(3),
    args: "event",
    handler: Handler::Server(|ctx, args| {
        let event = args.text(2);
        let spikes = ctx.engine.latency.get(&event);
        ctx.reply.array(spikes.map_or(0, |spikes| spikes.iter().len()));
        for (second, ms) in spikes.into_iter().flat_map(Spikes::iter) {
            ctx.reply.array(2);
            ctx.reply.int(second);
            ctx.reply.int(ms as i64);
        }
        Ok(())
    }),
    ..LATENCY_SUBCOMMAND
};

static LATENCY_RESET: Spec = Spec {
    name: "reset",
    summary: "Forgets the spikes of all events, or of some.",
    since: "2.8.13",
    arity: Arity::AtLeast(2),
    args: "[event [event ...]]",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    handler: Handler::Server(|ctx, args| {
        let forgotten = match args.len() {
            2 => ctx.engine.latency.clear(),
            _ => (2..args.len())
                .filter(|at| ctx.engine.latency.forget(&args.text(*at)))
                .count(),
        };
        ctx.reply.int(forgotten as i64);
        Ok(())
    }),
    ..LATENCY_SUBCOMMAND
};

static LATENCY_GRAPH: Spec = Spec {
    name: "graph",
    summary: "Draws the spikes of an event.",
    since: "2.8.13",
    arity: Arity::Exactly(3),
    args: "event",
    handler: Handler::Server(|ctx, args| {
        let event = args.text(2);
        let Some(spikes) = ctx.engine.latency.get(&event) else {
            return Err(Error::err(format_args!("No samples available for event '{event}'")));
        };
        let graph = draw(&event, spikes);
        ctx.reply.verbatim("txt", graph.as_bytes());
        Ok(())
    }),
    ..LATENCY_SUBCOMMAND
};

/// A bar per spike, oldest first, scaled to the highest.
fn draw(event: &str, spikes: &Spikes) -> String {
    const ROWS: u64 = 4;
    let (mut low, mut high) = (u64::MAX, 0);
    for (_, ms) in spikes.iter() {
        (low, high) = (low.min(ms), high.max(ms));
    }
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n",
        spikes.max_ms
    );
    text.push_str(&"-".repeat(80));
    text.push('\n');
    for row in (0..ROWS).rev() {
        let line: String = spikes
            .iter()
            .map(|(_, ms)| if ms * ROWS > row * high.max(1) { '#' } else { ' ' })
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

static LATENCY_DOCTOR: Spec = Spec {
    name: "doctor",
    summary: "Says in words what the spikes mean.",
    since: "2.8.13",
    arity: Arity::Exactly(2),
    handler: Handler::Server(|ctx, _| {
        let text = diagnose(ctx);
        ctx.reply.verbatim("txt", text.as_bytes());
        Ok(())
    }),
    ..LATENCY_SUBCOMMAND
};

fn diagnose(ctx: &ServerCtx<'_>) -> String {
    if ctx.engine.data.settings.latency_threshold_ms == 0 {
        return "The latency monitor is off: nothing is recorded. Turn it on with CONFIG SET latency-monitor-threshold \
                <milliseconds>, for example 100, and ask again when the server has felt slow.\n"
            .into();
    }
    let mut text = String::new();
    for (event, spikes) in ctx.engine.latency.iter() {
        let count = spikes.iter().len() as u64;
        let mean = spikes.iter().map(|(_, ms)| ms).sum::<u64>() / count.max(1);
        text.push_str(&format!(
            "{event}: {count} spikes, {mean} ms on average, {} ms at worst.\n",
            spikes.max_ms
        ));
        text.push_str(match event {
            "command" => "  A slow command ran: SLOWLOG GET names it.\n",
            "fast-command" => "  A command of constant time was slow: the machine was busy elsewhere or swapping.\n",
            _ => "",
        });
    }
    if text.is_empty() {
        "No spike was seen yet.\n".into()
    } else {
        text
    }
}

static LATENCY_HISTOGRAM: Spec = Spec {
    name: "histogram",
    summary: "How often commands took how long.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands with latency information being retrieved.",
    arity: Arity::AtLeast(2),
    args: "[command [command ...]]",
    handler: Handler::Server(histogram),
    ..LATENCY_SUBCOMMAND
};

fn histogram(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let table = &ctx.engine.table;
    let mut chosen: Vec<&crate::table::Command> = Vec::new();
    if args.len() == 2 {
        chosen.extend(table.iter().filter(|command| command.latency.is_some()));
    }
    for name in args.iter().skip(2) {
        let Some(id) = table.find_full(&name.to_ascii_lowercase()) else {
            continue;
        };
        chosen.extend(std::iter::once(&table[id]).filter(|command| command.latency.is_some()));
        chosen.extend(
            table
                .children(id)
                .iter()
                .map(|id| &table[*id])
                .filter(|command| command.latency.is_some()),
        );
    }
    ctx.reply.map(chosen.len());
    for command in chosen {
        let Some(histogram) = &command.latency else { continue };
        let rows = histogram.cumulative();
        ctx.reply.bulk(command.full_name.as_bytes());
        ctx.reply.map(2);
        ctx.reply.bulk(b"calls");
        ctx.reply.int(histogram.count() as i64);
        ctx.reply.bulk(b"histogram_usec");
        ctx.reply.map(rows.len());
        for (limit, seen) in rows {
            ctx.reply.int(limit as i64);
            ctx.reply.int(seen as i64);
        }
    }
    Ok(())
}

static LATENCY_HELP: Spec = Spec {
    name: "help",
    summary: "Lists the subcommands.",
    since: "2.8.13",
    arity: Arity::Exactly(2),
    flags: HELP_FLAGS,
    handler: Handler::Server(|ctx, _| {
        let lines = [
            ("DOCTOR", "Says in words what the spikes mean."),
            ("GRAPH <event>", "Draws the spikes of an event."),
            ("HISTOGRAM [COMMAND ...]", "How often commands took how long."),
            ("HISTORY <event>", "The spikes of an event: time and milliseconds."),
            ("LATEST", "The last spike of every event."),
            ("RESET [<event> ...]", "Forgets the spikes of all events, or of some."),
        ];
        super::help::write(&mut ctx.reply, "LATENCY", &lines);
        Ok(())
    }),
    ..SUBCOMMAND
};
