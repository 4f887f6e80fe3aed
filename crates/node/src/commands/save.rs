//! SAVE, BGSAVE and LASTSAVE.

use crate::host::split;
use crate::persistence::{self, Begun};
use engine::{Acl, ArgsExt, Arity, Category, Error, Flags, Handler, Result, ServerCtx, Spec};
use resp::Args;

/// SAVE
pub static SAVE: Spec = Spec {
    name: "save",
    summary: "Saves the dataset to disk while everything waits.",
    since: "1.0.0",
    complexity: "O(N) where N is the total number of keys in all databases",
    arity: Arity::Exactly(1),
    category: Category::Server,
    flags: Flags::ADMIN
        .or(Flags::NO_SCRIPT)
        .or(Flags::NO_ASYNC_LOADING)
        .or(Flags::NO_MULTI),
    handler: Handler::Server(save),
    ..Spec::BASE
};

fn save(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let (state, engine) = split(ctx);
    if state.persistence.is_saving() {
        return Err(Error::fixed("ERR Background save already in progress"));
    }
    persistence::save_now(state, engine).map_err(|_| Error::fixed("ERR"))?;
    ctx.reply.ok();
    Ok(())
}

/// BGSAVE [SCHEDULE]
pub static BGSAVE: Spec = Spec {
    name: "bgsave",
    summary: "Saves the dataset to disk from a frozen view, while everything goes on.",
    since: "1.0.0",
    arity: Arity::AtLeast(1),
    category: Category::Server,
    flags: Flags::ADMIN.or(Flags::NO_SCRIPT).or(Flags::NO_ASYNC_LOADING),
    args: "[SCHEDULE]",
    history: &[("3.2.2", "Added the `SCHEDULE` option.")],
    handler: Handler::Server(bgsave),
    ..Spec::BASE
};

fn bgsave(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let schedule = match args.len() {
        1 => false,
        2 if args.is(1, "schedule") => true,
        _ => return Err(Error::Syntax),
    };
    let (state, engine) = split(ctx);
    let begun = if engine.in_exec() {
        // What the transaction has written so far is in the dataset, but has no offset before all of it has.
        persistence::begin_later(state)
    } else {
        persistence::begin(state, engine, schedule)
    };
    match begun {
        Begun::Started => ctx.reply.simple("Background saving started"),
        Begun::Scheduled => ctx.reply.simple("Background saving scheduled"),
        Begun::Refused => return Err(Error::fixed(persistence::TOO_MANY_VIEWS)),
        Begun::AlreadyRunning => return Err(Error::fixed("ERR Background save already in progress")),
    }
    Ok(())
}

/// LASTSAVE
pub static LASTSAVE: Spec = Spec {
    name: "lastsave",
    summary: "Tells when the dataset was last saved, in seconds since the epoch.",
    since: "1.0.0",
    arity: Arity::Exactly(1),
    category: Category::Server,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    acl: Acl::ADMIN.or(Acl::DANGEROUS),
    tips: &["nondeterministic_output"],
    handler: Handler::Server(lastsave),
    ..Spec::BASE
};

fn lastsave(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let seconds = split(ctx).0.persistence.last_save_seconds;
    ctx.reply.int(seconds);
    Ok(())
}
