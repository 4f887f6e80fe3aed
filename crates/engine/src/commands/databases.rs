//! Databases as a whole, and the time.

use crate::host::Notice;
use crate::keys::int_text;
use crate::{Acl, ArgsExt, Arity, Category, Error, Flags, Handler, ReadCtx, Result, ServerCtx, Spec, WriteCtx};
use base::DbIndex;
use resp::Args;

/// DBSIZE
pub static DBSIZE: Spec = Spec {
    name: "dbsize",
    summary: "Tells how many keys the database has.",
    since: "1.0.0",
    arity: Arity::Exactly(1),
    category: Category::Server,
    flags: Flags::FAST,
    acl: Acl::KEYSPACE,
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    handler: Handler::Read(size),
    ..Spec::BASE
};

/// Keys whose time has passed and that nobody has looked at since count too.
fn size(ctx: &mut ReadCtx<'_>, _args: Args<'_>) -> Result {
    let keys = ctx.keys.database().len();
    ctx.reply.int(keys as i64);
    Ok(())
}

const FLUSH: Spec = Spec {
    arity: Arity::AtLeast(1),
    category: Category::Server,
    acl: Acl::KEYSPACE.or(Acl::DANGEROUS),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    args: "[ASYNC|SYNC]",
    history: &[("4.0.0", "ASYNC."), ("6.2.0", "SYNC.")],
    ..Spec::BASE
};

/// FLUSHDB [ASYNC|SYNC]
pub static FLUSHDB: Spec = Spec {
    name: "flushdb",
    summary: "Deletes all keys of the database.",
    complexity: "O(1); the values are freed in the background.",
    handler: Handler::Write(flush_db),
    ..FLUSH
};

/// FLUSHALL [ASYNC|SYNC]
pub static FLUSHALL: Spec = Spec {
    name: "flushall",
    summary: "Deletes all keys of all databases.",
    complexity: "O(1); the values are freed in the background.",
    handler: Handler::Write(flush_all),
    ..FLUSH
};

/// Both modes detach the keys at once and free them in the background; the word is checked and propagated.
fn check_flush_mode(args: Args<'_>) -> Result {
    let known = args.len() == 2 && (args.is(1, "sync") || args.is(1, "async"));
    if known || args.len() == 1 {
        Ok(())
    } else {
        Err(Error::Syntax)
    }
}

/// Propagated verbatim, even when the database was empty.
fn flush_db(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    check_flush_mode(args)?;
    let db = ctx.keys.db();
    ctx.keys.flush_db(db);
    ctx.keys.announce_flush();
    propagate_verbatim(ctx, args);
    ctx.reply.ok();
    Ok(())
}

/// Propagated verbatim, even when all databases were empty. A running save is void.
fn flush_all(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    check_flush_mode(args)?;
    for index in 0..ctx.keys.data().keyspace.databases() {
        ctx.keys.flush_db(DbIndex(index));
    }
    ctx.keys.announce_flush();
    ctx.keys.commit_whole();
    ctx.keys.notice(Notice::FlushedAll);
    propagate_verbatim(ctx, args);
    ctx.reply.ok();
    Ok(())
}

fn propagate_verbatim(ctx: &mut WriteCtx<'_>, args: Args<'_>) {
    let words: Vec<&[u8]> = args.iter().collect();
    ctx.propagate(&words);
}

/// SWAPDB index1 index2
pub static SWAPDB: Spec = Spec {
    name: "swapdb",
    summary: "Lets two databases change places.",
    since: "4.0.0",
    complexity: "O(N) where N is the number of clients that watch keys of the two databases.",
    arity: Arity::Exactly(3),
    category: Category::Server,
    flags: Flags::FAST,
    acl: Acl::KEYSPACE.or(Acl::DANGEROUS),
    args: "index1 index2",
    handler: Handler::Write(swap_dbs),
    ..Spec::BASE
};

/// Propagated verbatim.
fn swap_dbs(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let first = args.int32(1).map_err(|_| Error::fixed("ERR invalid first DB index"))?;
    let second = args.int32(2).map_err(|_| Error::fixed("ERR invalid second DB index"))?;
    let databases = ctx.keys.data().keyspace.databases();
    let index = |number: i32| match u32::try_from(number) {
        Ok(index) if index < databases => Ok(DbIndex(index)),
        _ => Err(Error::DbIndexOutOfRange),
    };
    ctx.keys.swap_dbs(index(first)?, index(second)?);
    ctx.reply.ok();
    Ok(())
}

/// TIME
pub static TIME: Spec = Spec {
    name: "time",
    summary: "Tells the server's time: seconds since 1970, and microseconds within the second.",
    since: "2.6.0",
    arity: Arity::Exactly(1),
    category: Category::Server,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    tips: &["nondeterministic_output"],
    handler: Handler::Server(time),
    ..Spec::BASE
};

fn time(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let now = ctx.now.unix_us;
    ctx.reply.array(2);
    ctx.reply.bulk(&int_text(now.div_euclid(1_000_000)));
    ctx.reply.bulk(&int_text(now.rem_euclid(1_000_000)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn flushes_travel_even_when_there_was_nothing() {
        check(
            "
            > FLUSHDB
            OK
            > SET k v
            OK
            > flushall ASYNC
            OK
            > DBSIZE
            0
            > FLUSHALL NOW
            ERR syntax error
            > FLUSHALL SYNC SYNC
            ERR syntax error
            propagated: SELECT 0
            propagated: FLUSHDB
            propagated: SET k v
            propagated: flushall ASYNC
            propagated: nothing
            ",
        );
    }

    #[test]
    fn databases_change_places() {
        check(
            "
            > SET k v
            OK
            > SWAPDB 0 1
            OK
            > GET k
            (nil)
            > SELECT 1
            OK
            > GET k
            v
            > SWAPDB x 1
            ERR invalid first DB index
            > SWAPDB 1 99999999999
            ERR invalid second DB index
            > SWAPDB 1 99
            ERR DB index is out of range
            > TIME
            [\"1700000000\", \"0\"]
            propagated: SELECT 0
            propagated: SET k v
            propagated: SWAPDB 0 1
            ",
        );
    }
}
