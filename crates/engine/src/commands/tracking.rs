//! CLIENT TRACKING and what belongs to it: telling clients which of the keys that they cache have changed.

use super::client::SUBCOMMAND;
use crate::session::SessionId;
use crate::tracking::{Caching, Remember};
use crate::{ArgsExt, Arity, Error, Handler, Result, ServerCtx, Spec};
use resp::Args;
use std::collections::BTreeSet;

pub(super) static TRACKING: Spec = Spec {
    name: "tracking",
    summary: "Turns the tracking of keys that this connection caches on or off.",
    since: "6.0.0",
    complexity: "O(1). Some options may introduce additional complexity.",
    arity: Arity::AtLeast(3),
    args: "<ON|OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
    handler: Handler::Server(tracking),
    ..SUBCOMMAND
};

#[derive(Default)]
struct Options {
    redirect: Option<SessionId>,
    prefixes: Vec<Box<[u8]>>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
}

impl Options {
    fn parse(ctx: &ServerCtx<'_>, args: Args<'_>) -> Result<Self> {
        let mut options = Self::default();
        let mut at = 3;
        while at < args.len() {
            let has_value = at + 1 < args.len();
            if args.is(at, "redirect") && has_value {
                at += 1;
                if options.redirect.is_some() {
                    return Err(Error::fixed("ERR A client can only redirect to a single other client"));
                }
                let number = args.int(at)?;
                let known = ctx
                    .engine
                    .sessions
                    .by_number(number as u64)
                    .ok_or(Error::fixed("ERR The client ID you want redirect to does not exist"))?;
                options.redirect = Some(known.id);
            } else if args.is(at, "bcast") {
                options.broadcast = true;
            } else if args.is(at, "optin") {
                options.opt_in = true;
            } else if args.is(at, "optout") {
                options.opt_out = true;
            } else if args.is(at, "noloop") {
                options.no_loop = true;
            } else if args.is(at, "prefix") && has_value {
                at += 1;
                options.prefixes.push(args.get(at).into());
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }

    /// Whether the options go together, and with how the connection caches already.
    fn check(&self, old: Option<&Caching>) -> Result {
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(Error::fixed("ERR PREFIX option requires BCAST mode to be enabled"));
        }
        if old.is_some_and(|old| old.broadcast.is_some() != self.broadcast) {
            return Err(Error::fixed(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                 re-enabling it with a different mode.",
            ));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(Error::fixed("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if self.opt_in && self.opt_out {
            return Err(Error::fixed("ERR You can't specify both OPTIN mode and OPTOUT mode"));
        }
        let switches = |old: &Caching| match old.remember {
            Remember::All => false,
            Remember::OptedIn => self.opt_out,
            Remember::NotOptedOut => self.opt_in,
        };
        if old.is_some_and(switches) {
            return Err(Error::fixed(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                 re-enabling it with a different mode.",
            ));
        }
        self.check_prefixes(old.and_then(|old| old.broadcast.as_ref()))
    }

    /// A key must not be told twice.
    fn check_prefixes(&self, existing: Option<&BTreeSet<Box<[u8]>>>) -> Result {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let old = existing.into_iter().flatten().find(|old| overlap(prefix, old));
            if let Some(old) = old {
                return Err(overlapping(prefix, "an existing", old));
            }
            let other = self.prefixes[at + 1..].iter().find(|other| overlap(prefix, other));
            if let Some(other) = other {
                return Err(overlapping(prefix, "another provided", other));
            }
        }
        Ok(())
    }
}

fn overlapping(prefix: &[u8], which: &str, other: &[u8]) -> Error {
    let parts = [
        b"ERR Prefix '",
        prefix,
        b"' overlaps with ",
        which.as_bytes(),
        b" prefix '",
        other,
        b"'. Prefixes for a single client must not overlap.",
    ];
    Error::quoting(parts.concat())
}

fn tracking(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let options = Options::parse(ctx, args)?;
    let id = ctx.session_id;
    if args.is(2, "on") {
        let old = ctx.session().caching.as_deref();
        options.check(old)?;
        let remember = match (options.opt_in, options.opt_out) {
            (true, _) => Remember::OptedIn,
            (_, true) => Remember::NotOptedOut,
            _ => Remember::All,
        };
        let caching = Caching {
            redirect: options.redirect,
            remember,
            no_loop: options.no_loop,
            broadcast: options.broadcast.then(|| options.prefixes.into_iter().collect()),
            asked: old.is_some_and(|old| old.asked),
            broken_redirect: false,
        };
        ctx.engine.start_caching(id, caching);
    } else if args.is(2, "off") {
        ctx.engine.stop_caching(id);
    } else {
        return Err(Error::Syntax);
    }
    ctx.reply.ok();
    Ok(())
}

pub(super) static CACHING: Spec = Spec {
    name: "caching",
    summary: "Says whether the keys of the next command are tracked, in the modes OPTIN and OPTOUT.",
    since: "6.0.0",
    arity: Arity::Exactly(3),
    args: "<YES|NO>",
    handler: Handler::Server(caching),
    ..SUBCOMMAND
};

fn caching(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let Some(caching) = ctx.session_mut().caching.as_deref_mut() else {
        return Err(Error::fixed(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
             enabled",
        ));
    };
    if args.is(2, "yes") {
        if caching.remember != Remember::OptedIn {
            return Err(Error::fixed(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
    } else if args.is(2, "no") {
        if caching.remember != Remember::NotOptedOut {
            return Err(Error::fixed(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    } else {
        return Err(Error::Syntax);
    }
    caching.asked = true;
    ctx.reply.ok();
    Ok(())
}

pub(super) static GETREDIR: Spec = Spec {
    name: "getredir",
    summary: "Tells which connection hears of the keys that this one caches.",
    since: "6.0.0",
    arity: Arity::Exactly(2),
    handler: Handler::Server(|ctx, _| {
        let number = redirect(ctx);
        ctx.reply.int(number);
        Ok(())
    }),
    ..SUBCOMMAND
};

/// -1 when the connection does not cache, 0 when it hears of changes itself.
fn redirect(ctx: &ServerCtx<'_>) -> i64 {
    ctx.session().redirect_number()
}

pub(super) static TRACKINGINFO: Spec = Spec {
    name: "trackinginfo",
    summary: "Tells how this connection caches.",
    since: "6.2.0",
    arity: Arity::Exactly(2),
    handler: Handler::Server(tracking_info),
    ..SUBCOMMAND
};

fn tracking_info(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let number = redirect(ctx);
    let caching = ctx.engine.sessions[ctx.session_id].caching.as_deref();
    let mut flags: Vec<&[u8]> = Vec::new();
    match caching {
        None => flags.push(b"off"),
        Some(caching) => {
            flags.push(b"on");
            flags.extend(caching.broadcast.is_some().then_some(&b"bcast"[..]));
            let (mode, asked): (&[&[u8]], &[&[u8]]) = match caching.remember {
                Remember::All => (&[], &[]),
                Remember::OptedIn => (&[b"optin"], &[b"caching-yes"]),
                Remember::NotOptedOut => (&[b"optout"], &[b"caching-no"]),
            };
            flags.extend(mode);
            flags.extend(asked.iter().filter(|_| caching.asked));
            flags.extend(caching.no_loop.then_some(&b"noloop"[..]));
            flags.extend(caching.broken_redirect.then_some(&b"broken_redirect"[..]));
        }
    }
    let reply = &mut ctx.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag));
    reply.bulk(b"redirect");
    reply.int(number);
    reply.bulk(b"prefixes");
    let prefixes = caching.and_then(|caching| caching.broadcast.as_ref());
    reply.array(prefixes.map_or(0, BTreeSet::len));
    prefixes.into_iter().flatten().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    const HELLO: &str = r#"> HELLO 3
        {"server": "redis", "version": "7.0.15", "proto": 3, "id": 1, "mode": "standalone", "role": "master", "modules": []}
        "#;

    fn check_in_resp3(transcript: &str) {
        check(&format!("{HELLO}{transcript}"));
    }

    #[test]
    fn who_has_read_a_key_hears_of_its_first_change() {
        check_in_resp3(
            r#"
            > CLIENT TRACKING ON
            OK
            > MGET a b
            [(nil), (nil)]
            @2> SET a 1
            OK
            @2> SET a 2
            OK
            > PING
            push ["invalidate", ["a"]] PONG
            > SET b 1
            OK push ["invalidate", ["b"]]
            > MULTI
            OK
            > GET a
            QUEUED
            > SET a 3
            QUEUED
            > EXEC
            ["2", OK] push ["invalidate", ["a"]]
            @2> FLUSHALL
            OK
            > CLIENT TRACKING OFF
            push ["invalidate", (nil)] OK
            "#,
        );
    }

    #[test]
    fn what_is_remembered_and_what_is_told_can_be_chosen() {
        check_in_resp3(
            r#"
            > CLIENT TRACKING ON OPTIN NOLOOP
            OK
            > GET a
            (nil)
            @2> SET a 1
            OK
            > CLIENT CACHING YES
            OK
            > GET a
            1
            > SET a 2
            OK
            > CLIENT CACHING NO
            ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
            > CLIENT TRACKING ON OPTOUT
            ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.
            > CLIENT TRACKING OFF
            OK
            > CLIENT TRACKING ON BCAST PREFIX a PREFIX ab
            ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.
            > CLIENT TRACKINGINFO
            {"flags": Set([Bulk([111, 102, 102])]), "redirect": -1, "prefixes": []}
            "#,
        );
    }

    /// As Redis 7.2 has it: all commands leave the access clocks alone but TOUCH.
    #[test]
    fn commands_of_a_client_that_does_not_touch() {
        check(
            "
            > CLIENT NO-TOUCH ON
            OK
            > SET k v
            OK
            clock: +9000
            > GET k
            v
            > OBJECT IDLETIME k
            9
            > TOUCH k
            1
            > OBJECT IDLETIME k
            0
            > CLIENT SETINFO LIB-NAME a b
            ERR wrong number of arguments for 'client|setinfo' command
            > CLIENT SETINFO LIB-NAME \"a b\"
            ERR lib-name cannot contain spaces, newlines or special characters.
            > CLIENT SETINFO LIB x
            ERR Unrecognized option 'LIB'
            > CLIENT SETINFO lib-ver 1.2
            OK
            ",
        );
    }

    #[test]
    fn what_is_asked_of_one_mode_says_so_in_the_others() {
        // In the plain mode the answer was that of a client that does not track at all.
        check_in_resp3(
            "
            > CLIENT CACHING YES
            ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled
            > CLIENT TRACKING ON
            OK
            > CLIENT CACHING YES
            ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.
            > CLIENT CACHING NO
            ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
            > CLIENT CACHING MAYBE
            ERR syntax error
            ",
        );
    }
}
