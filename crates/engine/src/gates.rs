//! What may run now: every reason to refuse a command before it executes, in the order in which stock asks.

use crate::error::Error;
use crate::pause::PauseKind;
use crate::session::{Kind, Session};
use crate::settings::{Allow, Loading, Role, Settings};
use crate::spec::Flags;
use crate::table::Command;

/// What to do with a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run, or be queued.
    Run,
    /// It is refused with this error.
    Refuse(Error),
    /// It is held back until a pause ends.
    Postpone,
}

const NO_AUTH: Error = Error::fixed("NOAUTH Authentication required.");
const OOM: Error = Error::fixed("OOM command not allowed when used memory > 'maxmemory'.");
const NO_REPLICAS: Error = Error::fixed("NOREPLICAS Not enough good replicas to write.");
pub(crate) const READ_ONLY: Error = Error::fixed("READONLY You can't write against a read only replica.");
const LOADING: Error = Error::fixed("LOADING Redis is loading the dataset in memory");
const MASTER_DOWN: Error =
    Error::fixed("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");
const REPLICA_KEYSPACE: Error = Error::fixed("ERR Replica can't interact with the keyspace");
const MISCONF: Error = Error::fixed(
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that \
     may modify the data set are disabled, because this instance is configured to report errors during writes if RDB \
     snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB \
     error.",
);

/// The facts that the gates ask about one request.
pub struct Request<'a> {
    /// What is to run.
    pub command: &'a Command,
    /// For whom.
    pub session: &'a Session,
    /// Flags that count: the command's own, and of EXEC also those of its queue.
    pub flags: Flags,
    /// Whether an open transaction would take it.
    pub queues: bool,
    /// Whether clients are being held back.
    pub pause: Option<PauseKind>,
}

/// Whether no gate can refuse or hold back a command of an [ordinary](Session::is_ordinary) session, but for a pause. The
/// usual state of a primary; in any other [`check`] decides.
#[must_use]
#[inline]
pub fn are_open(command: &Command, settings: &Settings) -> bool {
    settings.role == Role::Primary
        && settings.loading == Loading::No
        && !(settings.out_of_memory || settings.save_failed || settings.too_few_replicas)
        && !command.flags.has(Flags::PROTECTED)
}

/// Decides on a request. The primary's stream passes all gates but the first.
#[must_use]
pub fn check(request: &Request<'_>, settings: &Settings) -> Verdict {
    let refusal = access(request, settings).or_else(|| {
        if request.session.is_primary() {
            None
        } else {
            state(request, settings)
        }
    });
    if let Some(error) = refusal {
        return Verdict::Refuse(error);
    }
    let held = match request.pause {
        None => false,
        Some(PauseKind::All) => true,
        Some(PauseKind::Write) => request.flags.any(Flags::WRITE.or(Flags::MAY_REPLICATE)),
    };
    if held && request.session.kind == Kind::Normal {
        Verdict::Postpone
    } else {
        Verdict::Run
    }
}

/// Whether this client may use the command at all.
fn access(request: &Request<'_>, settings: &Settings) -> Option<Error> {
    if request.command.flags.has(Flags::PROTECTED) {
        let allowed = match settings.debug_command {
            Allow::Always => true,
            Allow::Never => false,
            Allow::Local => request.session.peer.loopback || request.session.peer.unix_socket,
        };
        if !allowed {
            return Some(protected());
        }
    }
    let waived = request.session.authenticated || request.command.flags.has(Flags::NO_AUTH);
    (!waived).then_some(NO_AUTH)
}

fn confined(name: &str) -> Error {
    Error::err(format_args!(
        "Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    ))
}

fn protected() -> Error {
    Error::fixed(
        "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
         local connection, otherwise you need to set this option in the configuration file, and then restart the \
         server.",
    )
}

/// Whether the server is in a state to run it.
fn state(request: &Request<'_>, settings: &Settings) -> Option<Error> {
    let flags = request.flags;
    let writes = flags.has(Flags::WRITE);
    let name = request.command.spec.name;
    let replica = settings.role == Role::Replica;

    // What an open transaction queues takes memory without bound.
    if settings.out_of_memory && (request.queues || flags.has(Flags::DENY_OOM)) {
        return Some(OOM);
    }
    if settings.save_failed && !replica && (writes || name == "ping") {
        return Some(MISCONF);
    }
    if settings.too_few_replicas && !replica && writes {
        return Some(NO_REPLICAS);
    }
    if replica && settings.replica_read_only && writes {
        return Some(READ_ONLY);
    }
    if request.session.is_confined_to_pubsub() && !flags.has(Flags::PUBSUB_MODE) {
        return Some(confined(&request.command.full_name));
    }
    if replica && !settings.link_up && !settings.serve_stale_data && !flags.has(Flags::STALE) {
        return Some(MASTER_DOWN);
    }
    match settings.loading {
        Loading::Foreground if !flags.has(Flags::LOADING) => return Some(LOADING),
        Loading::Async if flags.has(Flags::NO_ASYNC_LOADING) => return Some(LOADING),
        _ => {}
    }
    let touches_keys = flags.any(Flags::WRITE.or(Flags::READONLY).or(Flags::MAY_REPLICATE));
    (request.session.kind == Kind::Replica && touches_keys).then_some(REPLICA_KEYSPACE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::Engine;
    use crate::session::Peer;

    /// The short way past the gates leaves out nothing that they would refuse.
    #[test]
    fn what_is_open_passes_every_gate() {
        let mut engine = Engine::new(16, 1, || 0, crate::commands::ALL);
        let id = engine.open(Peer::default());
        let (mut open, mut shut) = (0, 0);
        for state in 0..1 << 7 {
            let is = |bit: u32| state >> bit & 1 != 0;
            let settings = Settings {
                role: if is(0) { Role::Replica } else { Role::Primary },
                loading: match (is(1), is(2)) {
                    (false, _) => Loading::No,
                    (true, false) => Loading::Foreground,
                    (true, true) => Loading::Async,
                },
                out_of_memory: is(3),
                save_failed: is(4),
                too_few_replicas: is(5),
                link_up: is(6),
                ..Settings::default()
            };
            for command in engine.table.iter() {
                let request = Request {
                    command,
                    session: &engine.sessions[id],
                    flags: command.flags,
                    queues: false,
                    pause: None,
                };
                assert!(request.session.is_ordinary());
                if are_open(command, &settings) {
                    assert_eq!(check(&request, &settings), Verdict::Run, "{}", command.full_name);
                    open += 1;
                } else if check(&request, &settings) != Verdict::Run {
                    shut += 1;
                }
            }
        }
        assert!(open > 100 && shut > 100, "{open} open, {shut} shut");
    }
}
