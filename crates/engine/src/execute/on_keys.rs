//! Running a handler that only reads or changes keys.

use crate::error::{Error, Result};
use crate::keys::{Data, ReadCtx, Reader, WriteCtx, Writer};
use crate::session::{Kind, Session, SessionId};
use crate::spec::Handler;
use base::{DbIndex, Now};
use resp::{Args, Proto, Reply};

/// What a handler gets to know of the session that it runs for.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    id: SessionId,
    db: DbIndex,
    pub(super) proto: Proto,
    kind: Kind,
    touch: bool,
}

impl Seen {
    #[inline]
    pub(super) fn by(session: &Session) -> Self {
        Self {
            id: session.id,
            db: session.db,
            proto: session.proto,
            kind: session.kind,
            touch: !session.no_touch,
        }
    }
}

/// Runs a handler that only reads or changes keys. What it changed is counted and propagated.
#[inline]
pub(super) fn run_on_keys(
    data: &mut Data,
    handler: Handler,
    seen: Seen,
    now: Now,
    args: Args<'_>,
    out: &mut Vec<u8>,
) -> Result {
    let reply = Reply::new(out, seen.proto);
    let session_id = seen.id;
    let keys = Reader {
        data,
        db: seen.db,
        now: now.unix_ms(),
        from: seen.kind,
        touch: seen.touch,
    };
    match handler {
        Handler::Read(handler) => handler(
            &mut ReadCtx {
                reply,
                keys,
                now,
                session_id,
            },
            args,
        ),
        Handler::Write(handler) => {
            let mut ctx = WriteCtx {
                reply,
                keys: Writer::new(keys),
                now,
                session_id,
            };
            let result = handler(&mut ctx, args);
            let (commits, propagated) = (ctx.keys.commits, ctx.keys.propagated);
            data.dirty += commits;
            if commits > 0 && !propagated {
                data.propagation.verbatim(seen.db, args);
            }
            result
        }
        // Those need more than keys.
        Handler::Server(_) | Handler::Container => Err(Error::Syntax),
    }
}
