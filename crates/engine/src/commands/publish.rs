//! PUBLISH and SPUBLISH: messages travel in the replication stream, subscribers here or not.

use crate::{Arity, Category, Flags, Handler, KeyFlags, KeySpec, Result, ServerCtx, Spec};
use resp::Args;

const FLAGS: Flags = Flags::PUBSUB
    .or(Flags::LOADING)
    .or(Flags::STALE)
    .or(Flags::FAST)
    .or(Flags::MAY_REPLICATE)
    .or(Flags::SENTINEL);

/// PUBLISH channel message
pub static PUBLISH: Spec = Spec {
    name: "publish",
    summary: "Sends a message to the subscribers of a channel.",
    since: "2.0.0",
    complexity: "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number \
                 of subscribed patterns (by any client).",
    arity: Arity::Exactly(3),
    category: Category::Pubsub,
    flags: FLAGS,
    args: "channel message",
    handler: Handler::Server(publish),
    ..Spec::BASE
};

/// SPUBLISH shardchannel message
pub static SPUBLISH: Spec = Spec {
    name: "spublish",
    summary: "Sends a message to the subscribers of a shard channel.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of clients subscribed to the receiving shard channel.",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, KeyFlags::NOT_KEY)],
    category: Category::Pubsub,
    flags: Flags::PUBSUB
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::FAST)
        .or(Flags::MAY_REPLICATE),
    args: "shardchannel message",
    handler: Handler::Server(publish),
    ..Spec::BASE
};

/// Passes the message on to replicas; nobody can subscribe here yet, so nobody here hears it.
fn publish(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let db = ctx.session().db;
    ctx.engine.data.propagation.verbatim(db, args);
    ctx.reply.int(0);
    Ok(())
}
