//! The commands of replication: REPLICAOF, ROLE, WAIT, FAILOVER, and what replicas say to us.

use super::{collect, effects, with_machines};
use crate::host::{ServerState, split};
use engine::host::Level;
use engine::session::{Blocked, Kind};
use engine::{Acl, ArgsExt, Arity, Category, Engine, Error, Flags, Handler, Result, ServerCtx, Spec};
use repl::{ReplconfReply, ReplicaId, Retarget, WaiterId};
use resp::Args;

/// ROLE
pub static ROLE: Spec = Spec {
    name: "role",
    summary: "Tells this server's role in replication, and its primary or replicas.",
    since: "2.8.12",
    category: Category::Server,
    flags: Flags::NO_SCRIPT
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::FAST)
        .or(Flags::SENTINEL),
    acl: Acl::ADMIN.or(Acl::DANGEROUS),
    handler: Handler::Server(role),
    ..Spec::BASE
};

fn role(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let (state, engine) = split(ctx);
    collect(state, engine);
    let view = state.replication.machines.view(engine.now);
    let reply = &mut ctx.reply;
    let Some(link) = view.link else {
        let online: Vec<_> = view
            .replicas
            .iter()
            .filter(|replica| replica.state == "online")
            .collect();
        reply.array(3);
        reply.bulk(b"master");
        reply.int(view.offset.0 as i64);
        reply.array(online.len());
        for replica in online {
            reply.array(3);
            reply.bulk(replica.ip.as_bytes());
            reply.bulk(replica.port.to_string().as_bytes());
            reply.bulk(replica.offset.to_string().as_bytes());
        }
        return Ok(());
    };
    reply.array(5);
    reply.bulk(b"slave");
    reply.bulk(link.host.as_bytes());
    reply.int(i64::from(link.port));
    reply.bulk(link.state.as_bytes());
    reply.int(if link.up { link.applied_offset.0 as i64 } else { -1 });
    Ok(())
}

/// REPLICAOF host port | NO ONE
pub static REPLICAOF: Spec = Spec {
    name: "replicaof",
    summary: "Makes this server a replica of another one, or a primary.",
    since: "5.0.0",
    arity: Arity::Exactly(3),
    category: Category::Server,
    flags: Flags::ADMIN
        .or(Flags::NO_SCRIPT)
        .or(Flags::STALE)
        .or(Flags::NO_ASYNC_LOADING),
    args: "host port|NO ONE",
    handler: Handler::Server(replicaof),
    ..Spec::BASE
};

/// SLAVEOF host port | NO ONE
pub static SLAVEOF: Spec = Spec {
    name: "slaveof",
    since: "1.0.0",
    deprecated: Some(("5.0.0", "`REPLICAOF`")),
    ..REPLICAOF
};

fn replicaof(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let who = client_text(ctx);
    let is_replica = ctx.session().kind == Kind::Replica;
    let (state, engine) = split(ctx);
    if state.replication.machines.is_failing_over() {
        return Err(Error::fixed("ERR REPLICAOF not allowed while failing over."));
    }
    if args.is(1, "no") && args.is(2, "one") {
        let changed = with_machines(state, engine, |machines, now, asked| {
            machines.on_replicaof_no_one(now, asked)
        });
        if changed == Retarget::Changed {
            state.log(
                Level::Notice,
                format!("MASTER MODE enabled (user request from '{who}')"),
            );
        }
        ctx.reply.ok();
        return Ok(());
    }
    if is_replica {
        return Err(Error::fixed("ERR Command is not valid when client is a replica."));
    }
    let port = args.int(2).ok().and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(Error::fixed("ERR Invalid master port"))?;
    let host = args.text(1);
    // In a transaction: nothing of it reaches replicas, as with stock servers, and so our data leaves the history.
    let writes_were_made = engine.data.propagation.drop_unit();
    let changed = with_machines(state, engine, |machines, now, asked| {
        machines.on_replicaof(now, &host, port, asked)
    });
    if writes_were_made {
        super::diverge(state, engine);
    }
    if changed == Retarget::Unchanged {
        ctx.reply.simple("OK Already connected to specified master");
        return Ok(());
    }
    state.log(
        Level::Notice,
        format!("REPLICAOF {host}:{port} enabled (user request from '{who}')"),
    );
    ctx.reply.ok();
    Ok(())
}

fn client_text(ctx: &ServerCtx<'_>) -> String {
    let session = ctx.session();
    format!("id={} addr={}", session.id.number, session.peer.address)
}

/// WAIT numreplicas timeout
pub static WAIT: Spec = Spec {
    name: "wait",
    summary: "Waits until replicas have acknowledged what this client wrote.",
    since: "3.0.0",
    arity: Arity::Exactly(3),
    category: Category::Generic,
    flags: Flags::NO_SCRIPT,
    acl: Acl::CONNECTION,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    args: "numreplicas timeout",
    handler: Handler::Server(wait),
    ..Spec::BASE
};

fn wait(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let (id, offset) = (ctx.session_id, ctx.session().write_offset);
    let (state, engine) = split(ctx);
    collect(state, engine);
    if !state.replication.machines.is_primary() {
        return Err(Error::fixed(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not \
             propagated.",
        ));
    }
    let replicas = args.int(1)?;
    let timeout = args
        .int(2)
        .map_err(|_| Error::fixed("ERR timeout is not an integer or out of range"))?;
    let timeout_ms = u64::try_from(timeout).map_err(|_| Error::fixed("ERR timeout is negative"))?;
    let machines = &mut state.replication.machines;
    let wanted = usize::try_from(replicas).unwrap_or(0);
    let acknowledged = if engine.in_exec() {
        Some(machines.acknowledged(offset))
    } else {
        machines.on_wait(engine.now, WaiterId(id.number), offset, wanted, timeout_ms)
    };
    if let Some(count) = acknowledged {
        ctx.reply.int(count as i64);
        return Ok(());
    }
    let deadline_ms = (timeout_ms > 0).then(|| engine.now.mono_ms().saturating_add(timeout_ms));
    end_turn(state, engine);
    ctx.block(Blocked::Wait {
        replicas,
        offset,
        deadline_ms,
    });
    Ok(())
}

/// The GETACK that was asked for goes out with this turn.
fn end_turn(state: &mut ServerState, engine: &mut Engine) {
    let allowance = state.replication.sync_allowance_bytes;
    with_machines(state, engine, |machines, now, asked| {
        machines.on_turn_end(now, allowance, asked)
    });
}

/// FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]
pub static FAILOVER: Spec = Spec {
    name: "failover",
    summary: "Hands the role of primary to a replica, without losing a write.",
    since: "6.2.0",
    arity: Arity::AtLeast(1),
    category: Category::Server,
    flags: Flags::ADMIN.or(Flags::NO_SCRIPT).or(Flags::STALE),
    args: "[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]",
    handler: Handler::Server(failover),
    ..Spec::BASE
};

fn failover(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let (state, engine) = split(ctx);
    with_machines(state, engine, |machines, now, asked| {
        machines.on_failover(now, args, asked)
    })
    .map_err(message)?;
    end_turn(state, engine);
    ctx.reply.ok();
    Ok(())
}

fn message(text: String) -> Error {
    Error::Message(text.into())
}

/// PSYNC replicationid offset
pub static PSYNC: Spec = Spec {
    name: "psync",
    summary: "A replica asks to go on with the stream, or for the whole dataset.",
    since: "2.8.0",
    arity: Arity::AtLeast(3),
    args: "replicationid offset",
    ..SYNC
};

/// SYNC
pub static SYNC: Spec = Spec {
    name: "sync",
    summary: "A replica of an old version asks for the whole dataset.",
    since: "1.0.0",
    complexity: "",
    category: Category::Server,
    flags: Flags::ADMIN
        .or(Flags::NO_SCRIPT)
        .or(Flags::NO_ASYNC_LOADING)
        .or(Flags::NO_MULTI),
    handler: Handler::Server(sync),
    ..Spec::BASE
};

fn sync(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let (id, ip) = (ctx.session_id, address_of(ctx));
    if ctx.session().monitor {
        return Ok(());
    }
    let (state, engine) = split(ctx);
    let replica = ReplicaId(id.number);
    let asked = with_machines(state, engine, |machines, now, asked| {
        machines.on_sync(now, replica, &ip, args, asked)
    });
    asked.map_err(message)?;
    effects::adopt_replica(engine, id);
    Ok(())
}

/// The address of the other end, without its port.
fn address_of(ctx: &ServerCtx<'_>) -> String {
    let address = &ctx.session().peer.address;
    let ip = address.rsplit_once(':').map_or(address.as_str(), |(ip, _)| ip);
    ip.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// REPLCONF
pub static REPLCONF: Spec = Spec {
    name: "replconf",
    summary: "A replica tells what it is and how far it has come.",
    since: "3.0.0",
    arity: Arity::AtLeast(1),
    category: Category::Server,
    flags: Flags::ADMIN
        .or(Flags::NO_SCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::ALLOW_BUSY),
    handler: Handler::Server(replconf),
    ..Spec::BASE
};

fn replconf(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let (id, ip) = (ctx.session_id, address_of(ctx));
    let (state, engine) = split(ctx);
    let replica = ReplicaId(id.number);
    let reply = with_machines(state, engine, |machines, now, asked| {
        machines.on_replconf(now, replica, &ip, args, asked)
    });
    match reply {
        ReplconfReply::Ok => ctx.reply.ok(),
        ReplconfReply::Silent | ReplconfReply::GetAck => {}
        ReplconfReply::Error(text) => return Err(message(text)),
    }
    Ok(())
}
