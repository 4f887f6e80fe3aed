//! MULTI, EXEC and WATCH.

use crate::execute::Engine;
use crate::session::{SessionId, Transaction};
use crate::{Acl, ArgsExt, Arity, Category, Error, Flags, Handler, KeyFlags, KeySpec, Result, ServerCtx, Spec};
use resp::Args;

const FLAGS: Flags = Flags::NO_SCRIPT
    .or(Flags::LOADING)
    .or(Flags::STALE)
    .or(Flags::ALLOW_BUSY);

/// MULTI
pub static MULTI: Spec = Spec {
    name: "multi",
    summary: "Begins a transaction: the commands that follow are queued.",
    since: "1.2.0",
    arity: Arity::Exactly(1),
    category: Category::Transactions,
    flags: FLAGS.or(Flags::FAST),
    acl: Acl::TRANSACTION,
    handler: Handler::Server(multi),
    ..Spec::BASE
};

fn multi(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    if ctx.session().transaction.is_some() {
        return Err(Error::fixed("ERR MULTI calls can not be nested"));
    }
    ctx.session_mut().transaction = Some(Box::default());
    ctx.reply.ok();
    Ok(())
}

/// DISCARD
pub static DISCARD: Spec = Spec {
    name: "discard",
    summary: "Drops the open transaction and all watches.",
    since: "2.0.0",
    complexity: "O(N), when N is the number of queued commands",
    arity: Arity::Exactly(1),
    category: Category::Transactions,
    flags: FLAGS.or(Flags::FAST),
    acl: Acl::TRANSACTION,
    handler: Handler::Server(discard_command),
    ..Spec::BASE
};

fn discard_command(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    if ctx.session().transaction.is_none() {
        return Err(Error::fixed("ERR DISCARD without MULTI"));
    }
    discard(ctx.engine, ctx.session_id);
    ctx.reply.ok();
    Ok(())
}

/// Drops the open transaction of a session, and its watches.
pub(crate) fn discard(engine: &mut Engine, id: SessionId) -> Option<Box<Transaction>> {
    engine.data.watch.unwatch(id);
    engine.sessions[id].transaction.take()
}

/// EXEC
pub static EXEC: Spec = Spec {
    name: "exec",
    summary: "Runs the queued commands, all or none.",
    since: "1.2.0",
    complexity: "Depends on commands in the transaction",
    arity: Arity::Exactly(1),
    category: Category::Transactions,
    flags: Flags::NO_SCRIPT
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::SKIP_SLOWLOG),
    acl: Acl::TRANSACTION,
    handler: Handler::Server(exec),
    ..Spec::BASE
};

/// Runs the queue and answers with an array of the replies; with a null array when a watched key was touched.
fn exec(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let id = ctx.session_id;
    let broken = watched_key_changed(ctx);
    let Some(transaction) = &mut ctx.engine.sessions[id].transaction else {
        return Err(Error::fixed("ERR EXEC without MULTI"));
    };
    let poisoned = transaction.poisoned;
    let queue = std::mem::take(&mut transaction.queue);
    // The transaction stays open, as far as CLIENT LIST can tell, until its last command has run.
    transaction.running = queue.len();
    ctx.engine.data.watch.unwatch(id);
    if poisoned || broken {
        discard(ctx.engine, id);
    }
    if poisoned {
        return Err(Error::fixed(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    if broken {
        ctx.reply.null_array();
        return Ok(());
    }
    ctx.reply.array(queue.len());
    let ServerCtx {
        engine, host, reply, ..
    } = ctx;
    engine.run_queue(*host, id, &queue, reply);
    discard(engine, id);
    Ok(())
}

/// Whether a watched key was touched, or has expired since the watch began.
fn watched_key_changed(ctx: &ServerCtx<'_>) -> bool {
    let data = &ctx.engine.data;
    if data.watch.is_broken(ctx.session_id) {
        return true;
    }
    let now = ctx.now.unix_ms();
    data.watch.keys_of(ctx.session_id).any(|(db, key)| {
        let entry = data.keyspace.db(db).get(key, data.keyspace.hash(key));
        let expired = entry.and_then(keyspace::Entry::expiry).is_some_and(|at| at <= now);
        expired && !data.watch.was_expired(ctx.session_id, db, key)
    })
}

/// WATCH key [key ...]
pub static WATCH: Spec = Spec {
    name: "watch",
    summary: "Makes the next EXEC fail if one of these keys changes before it.",
    since: "2.2.0",
    complexity: "O(1) for every key.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    category: Category::Transactions,
    flags: FLAGS.or(Flags::FAST),
    acl: Acl::TRANSACTION,
    args: "key [key ...]",
    handler: Handler::Server(watch),
    ..Spec::BASE
};

fn watch(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    if ctx.session().transaction.is_some() {
        return Err(Error::fixed("ERR WATCH inside MULTI is not allowed"));
    }
    let (id, db, now) = (ctx.session_id, ctx.session().db, ctx.now.unix_ms());
    let data = &mut ctx.engine.data;
    if !data.watch.is_broken(id) {
        for at in 1..args.len() {
            let key = args.key(at);
            let entry = data.keyspace.db(db).get(key, data.keyspace.hash(key));
            let expired = entry.and_then(keyspace::Entry::expiry).is_some_and(|at| at <= now);
            data.watch.watch(id, db, key, expired);
        }
    }
    ctx.reply.ok();
    Ok(())
}

/// UNWATCH
pub static UNWATCH: Spec = Spec {
    name: "unwatch",
    summary: "Forgets all watched keys.",
    since: "2.2.0",
    arity: Arity::Exactly(1),
    category: Category::Transactions,
    flags: FLAGS.or(Flags::FAST),
    acl: Acl::TRANSACTION,
    handler: Handler::Server(unwatch),
    ..Spec::BASE
};

fn unwatch(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    ctx.engine.data.watch.unwatch(ctx.session_id);
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn several_effects_travel_as_one_transaction() {
        check(
            "
            > MULTI
            OK
            > INCRBY a 1
            QUEUED
            > GET a
            QUEUED
            > INCRBY b 2
            QUEUED
            > EXEC
            [1, \"1\", 2]
            propagated: SELECT 0
            propagated: MULTI
            propagated: INCRBY a 1
            propagated: INCRBY b 2
            propagated: EXEC
            ",
        );
    }

    #[test]
    fn a_refused_command_poisons_the_transaction() {
        check(
            "
            > MULTI
            OK
            > INCRBY a
            ERR wrong number of arguments for 'incrby' command
            > EXEC
            EXECABORT Transaction discarded because of previous errors.
            > EXEC
            ERR EXEC without MULTI
            ",
        );
    }

    #[test]
    fn a_watched_key_that_changes_fails_exec() {
        check(
            "
            > WATCH a
            OK
            > INCRBY a 1
            1
            > MULTI
            OK
            > GET a
            QUEUED
            > EXEC
            (nil)
            ",
        );
    }

    /// The stock suite: SWAPDB that replaces an expired key by another, or by none, changes nothing for its watchers.
    #[test]
    fn swapping_stale_keys_breaks_no_watch() {
        check(
            "
            > SET live v
            OK
            > SELECT 1
            OK
            > SET stale v PX 1
            OK
            clock: +5
            > WATCH stale
            OK
            @2> SELECT 1
            OK
            @2> WATCH live
            OK
            > SWAPDB 0 1
            OK
            > SWAPDB 0 1
            OK
            > MULTI
            OK
            > EXEC
            []
            @2> MULTI
            OK
            @2> EXEC
            (nil)
            ",
        );
    }
}
