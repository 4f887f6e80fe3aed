//! SHUTDOWN.

use crate::host::split;
use crate::shutdown::{self, Options, Save};
use engine::session::Blocked;
use engine::{ArgsExt, Arity, Category, Error, Flags, Handler, Result, ServerCtx, Spec};
use resp::Args;

/// SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]
pub static SHUTDOWN: Spec = Spec {
    name: "shutdown",
    summary: "Waits for replicas, saves, and ends the server.",
    since: "1.0.0",
    complexity: "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)",
    arity: Arity::AtLeast(1),
    category: Category::Server,
    flags: Flags::ADMIN
        .or(Flags::NO_SCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::NO_MULTI)
        .or(Flags::SENTINEL)
        .or(Flags::ALLOW_BUSY),
    args: "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
    history: &[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")],
    handler: Handler::Server(shutdown_command),
    ..Spec::BASE
};

fn shutdown_command(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let mut options = Options::default();
    let mut abort = false;
    for at in 1..args.len() {
        if args.is(at, "nosave") && options.save != Save::Always {
            options.save = Save::Never;
        } else if args.is(at, "save") && options.save != Save::Never {
            options.save = Save::Always;
        } else if args.is(at, "now") {
            options.now = true;
        } else if args.is(at, "force") {
            options.force = true;
        } else if args.is(at, "abort") {
            abort = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    if abort && args.len() != 2 {
        return Err(Error::Syntax);
    }
    let now = ctx.now;
    let (state, engine) = split(ctx);
    if abort {
        if !shutdown::abort(state, engine) {
            return Err(Error::fixed("ERR No shutdown in progress."));
        }
        ctx.reply.ok();
        return Ok(());
    }
    match shutdown::begin(state, engine, options, now) {
        shutdown::Begun::Ending => {}
        shutdown::Begun::Waiting => ctx.block(Blocked::Shutdown),
        shutdown::Begun::Failed => return Err(Error::fixed(shutdown::FAILED)),
    }
    Ok(())
}
