//! How the engine reaches what is around it: notices that leave as values, and the host that server commands work on.

use crate::commands::migrate::{Failure, Job, Outcome};
use crate::execute::Engine;
use crate::keys::Data;
use crate::session::{Blocked, Session, SessionId};
use base::{DbIndex, Now, Offset};
use resp::Reply;
use std::any::Any;

/// What the engine asks its surroundings to do, or tells them, after an execution.
pub enum Notice {
    /// Values to be dropped off the engine thread.
    Discard(Box<dyn Send>),
    /// A session's input can be looked at again.
    Resume(SessionId),
    /// A session must be closed.
    Close(SessionId),
    /// Every database was emptied by a client: running saves are void.
    FlushedAll,
    /// Two databases changed places.
    Swapped(DbIndex, DbIndex),
    /// Keys must be sent to another server; [`Engine::end_migration`] hears what came of it.
    Migrate(Box<Job>),
    /// A line for the log.
    Log(Level, String),
}

/// How loud a log line is, as `loglevel` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// What stands behind server commands (INFO, CONFIG, PSYNC …). They know its type and get at it through [`Any`].
pub trait Host: Any {
    /// Bytes in use as `maxmemory` counts them: asked often, so it must be cheap.
    fn counted_memory(&self, data: &Data) -> u64 {
        let _ = data;
        0
    }

    /// Itself, for server commands to cast.
    fn as_any(&mut self) -> &mut dyn Any;

    /// A transaction that made this server a replica writes on: its data is that of no history.
    fn diverge(&mut self, _engine: &mut Engine) {}

    /// Sends keys to another server, now.
    fn migrate(&mut self, job: &Job) -> Outcome {
        let _ = job;
        Outcome {
            failure: Some(Failure::Connect),
            ..Outcome::default()
        }
    }

    /// A client in WAIT waits no longer: how many replicas have acknowledged the offset that it waited for.
    fn end_wait(&mut self, _engine: &mut Engine, _waiter: SessionId, _offset: Offset) -> u64 {
        0
    }
}

/// A host that has nothing: for tests of the engine alone.
pub struct NoHost;

impl Host for NoHost {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// What a server command works with.
pub struct ServerCtx<'a> {
    /// The engine.
    pub engine: &'a mut Engine,
    /// What stands around the engine.
    pub host: &'a mut dyn Host,
    /// Who asks.
    pub session_id: SessionId,
    /// The clocks when the command began.
    pub now: Now,
    /// Where the reply goes.
    pub reply: Reply<'a>,
}

impl ServerCtx<'_> {
    /// Who asks. Its `out` is lent to `reply` for the time of the command.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.engine.sessions[self.session_id]
    }

    /// Who asks.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.engine.sessions[self.session_id]
    }

    /// Lets the session execute nothing until it is resumed. The reply is written then.
    pub fn block(&mut self, why: Blocked) {
        self.session_mut().blocked = Some(why);
    }

    /// Asks the surroundings for something.
    pub fn notice(&mut self, notice: Notice) {
        self.engine.data.notices.push(notice);
    }
}
