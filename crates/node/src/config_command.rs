//! CONFIG: reading and changing the configuration of a running server.
//!
//! ```text
//!   CONFIG SET ─► Config::prepare ─► dir: Disk::enter ─► Config in force ─► settings::apply
//!                  checks all pairs    may still fail                     └► Effect::Reconfigured: ports, limits, log …
//! ```

use crate::effect::Effect;
use crate::host::{ServerState, split};
use crate::outside::Disk;
use config::{Access, Prepared, SetContext, SetError, Text};
use engine::host::Level;
use engine::settings::Loading;
use engine::{Arity, Category, Engine, Error, Flags, Handler, Result, ServerCtx, Session, Spec};
use resp::Args;
use std::io::{self, Read as _, Write as _};

pub use config::RewriteScope as Scope;

const ADMIN: Flags = Flags::ADMIN.or(Flags::NO_SCRIPT).or(Flags::LOADING).or(Flags::STALE);

const SUBCOMMAND: Spec = Spec {
    category: Category::Server,
    flags: ADMIN,
    ..Spec::BASE
};

/// CONFIG
pub static CONFIG: Spec = Spec {
    name: "config",
    summary: "Reads and changes the configuration.",
    since: "2.0.0",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    category: Category::Server,
    subcommands: &[&GET, &HELP, &RESETSTAT, &REWRITE, &SET],
    ..Spec::BASE
};

static GET: Spec = Spec {
    name: "get",
    summary: "Directives that fit patterns, and their values.",
    since: "2.0.0",
    complexity: "O(N) when N is the number of configuration parameters provided",
    arity: Arity::AtLeast(3),
    args: "parameter [parameter ...]",
    history: &[(
        "7.0.0",
        "Added the ability to pass multiple pattern parameters in one call",
    )],
    handler: Handler::Server(get),
    ..SUBCOMMAND
};

fn get(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let answers = split(ctx).0.config.get(args.iter().skip(2));
    ctx.reply.map(answers.len());
    for (name, value) in answers {
        ctx.reply.bulk(&name);
        ctx.reply.bulk(&value);
    }
    Ok(())
}

static SET: Spec = Spec {
    name: "set",
    summary: "Changes directives, all or none.",
    since: "2.0.0",
    complexity: "O(N) when N is the number of configuration parameters provided",
    arity: Arity::AtLeast(4),
    args: "parameter value [parameter value ...]",
    history: &[("7.0.0", "Added the ability to set multiple parameters in one call.")],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    secrets: Some(|args| {
        let values = (3..args.len()).step_by(2);
        values.filter(|at| config::is_sensitive(args.get(at - 1))).collect()
    }),
    handler: Handler::Server(set),
    ..SUBCOMMAND
};

fn set(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let session_id = ctx.session_id;
    let words: Vec<&[u8]> = args.iter().skip(2).collect();
    let (state, engine) = split(ctx);
    let context = SetContext {
        loading: engine.data.settings.loading != Loading::No,
        protected_allowed: may_change_protected(state, &engine.sessions[session_id]),
    };
    change(state, engine, &words, context).map_err(|error| Error::Message(error.to_string().into()))?;
    ctx.reply.ok();
    Ok(())
}

fn may_change_protected(state: &ServerState, session: &Session) -> bool {
    match state.config.enable_protected_configs {
        Access::Yes => true,
        Access::No => false,
        Access::Local => session.peer.loopback || session.peer.unix_socket,
    }
}

/// Changes directives and puts them in force; on an error nothing has changed.
fn change(
    state: &mut ServerState,
    engine: &mut Engine,
    words: &[&[u8]],
    context: SetContext,
) -> std::result::Result<(), SetError> {
    let mut prepared = state.config.prepare(words, context)?;
    check_sockets(state, &prepared)?;
    if prepared.changed.contains(&"dir") {
        let disk = state.outside.disk();
        let wanted = prepared.config.dir.0.to_str().into_owned();
        disk.enter(&wanted)
            .map_err(|error| SetError::failed("dir", system_text(&error)))?;
        prepared.config.dir.0 = Text::from(disk.directory().as_str());
    }
    state.config = prepared.config;
    crate::settings::apply(state, engine);
    state.effects.push(Effect::Reconfigured(prepared.changed));
    Ok(())
}

/// Sees to it that changed addresses or a changed port can be had: once the reply is out, it is too late to refuse.
fn check_sockets(state: &mut ServerState, prepared: &Prepared) -> std::result::Result<(), SetError> {
    let new = |name| prepared.changed.contains(&name);
    let port = prepared.config.port;
    let (name, what, port) = match (new("port"), new("bind")) {
        (true, _) if port > 0 => ("port", "Unable to listen on this port. Check server logs.", port),
        (_, true) => ("bind", "Failed to bind to specified addresses.", 0),
        _ => return Ok(()),
    };
    let addresses: Vec<_> = prepared.config.bind.iter().map(Text::to_str).collect();
    let addresses: Vec<&str> = addresses.iter().map(|address| &**address).collect();
    state.outside.can_listen(&addresses, port).map_err(|system| {
        state.log(
            Level::Warning,
            format!("Warning: Could not create server TCP listening socket: {system}"),
        );
        SetError::failed(name, what)
    })
}

static REWRITE: Spec = Spec {
    name: "rewrite",
    summary: "Writes the configuration in force back to its file.",
    since: "2.8.0",
    arity: Arity::Exactly(2),
    handler: Handler::Server(|ctx, _| {
        rewrite(split(ctx).0, Scope::Changes)?;
        ctx.reply.ok();
        Ok(())
    }),
    ..SUBCOMMAND
};

/// Writes the configuration back to its file, comments and order kept.
///
/// # Errors
/// When there is no file, or it cannot be read or written; the old file stays as it was.
pub fn rewrite(state: &mut ServerState, scope: Scope) -> Result {
    let Some(file) = state.config_file.clone() else {
        return Err(Error::fixed("ERR The server is running without a config file"));
    };
    let disk = state.outside.disk();
    match replace(&*disk, &file, |old| state.config.rewrite(old, scope)) {
        Ok(()) => {
            state.log(Level::Warning, "CONFIG REWRITE executed with success.");
            Ok(())
        }
        Err(error) => {
            let what = system_text(&error);
            state.log(Level::Warning, format!("CONFIG REWRITE failed: {what}"));
            Err(Error::err(format_args!("Rewriting config file: {what}")))
        }
    }
}

/// Gives a file new content made from the old; a file that is not there is empty. It is never half written.
fn replace(disk: &dyn Disk, file: &str, make: impl FnOnce(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let mut old = Vec::new();
    match disk.open(file) {
        Ok(mut reader) => reader.read_to_end(&mut old).map(drop)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let temporary = format!("{file}.rewrite.tmp");
    let write = || {
        let mut out = disk.create(&temporary)?;
        out.write_all(&make(&old))?;
        out.sync()?;
        drop(out);
        disk.rename(&temporary, file)
    };
    write().inspect_err(|_| {
        // It may not have been created; that error is the one to tell.
        let _ = disk.remove(&temporary);
    })
}

/// The system's words for an error, without the number that the standard library adds.
fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

static RESETSTAT: Spec = Spec {
    name: "resetstat",
    summary: "Sets the counters of INFO to zero.",
    since: "2.0.0",
    arity: Arity::Exactly(2),
    handler: Handler::Server(|ctx, _| {
        let (state, engine) = split(ctx);
        reset_statistics(state, engine);
        ctx.reply.ok();
        Ok(())
    }),
    ..SUBCOMMAND
};

fn reset_statistics(state: &mut ServerState, engine: &mut Engine) {
    engine.data.stats = engine::stats::Stats::default();
    engine.data.lazyfree.reset_freed();
    engine.evictor.reset_time();
    for command in engine.table.iter_mut() {
        command.stats = engine::stats::CommandStats::default();
        command.latency = None;
    }
    state.persistence.last_freeze_us = 0;
    state.persistence.freezes = 0;
    crate::replication::reset_counters(state);
}

static HELP: Spec = Spec {
    name: "help",
    summary: "Lists the subcommands.",
    since: "5.0.0",
    arity: Arity::Exactly(2),
    flags: Flags::LOADING.or(Flags::STALE),
    handler: Handler::Server(|ctx, _| {
        let lines = [
            (
                "GET <pattern>",
                "Return parameters matching the glob-like <pattern> and their values.",
            ),
            (
                "SET <directive> <value>",
                "Set the configuration <directive> to <value>.",
            ),
            ("RESETSTAT", "Reset statistics reported by the INFO command."),
            ("REWRITE", "Rewrite the configuration file."),
        ];
        engine::commands::help::write(&mut ctx.reply, "CONFIG", &lines);
        Ok(())
    }),
    ..SUBCOMMAND
};
