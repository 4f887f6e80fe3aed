//! Why the link to the primary is down, in words that say what to do.

use std::fmt;

use base::Offset;

/// What the link was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Opening the connection.
    Connecting,
    /// Greeting the primary and asking for data.
    Handshake,
    /// Receiving a full resynchronization.
    Transfer,
    /// Applying the stream.
    Streaming,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "while connecting",
            Self::Handshake => "during the handshake",
            Self::Transfer => "during the full sync",
            Self::Streaming => "while streaming",
        })
    }
}

/// Why the link is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkDown {
    /// The primary does not take our password, or wants one and we have none.
    WrongPassword {
        /// What it said.
        reply: String,
    },
    /// Our user may not do what a replica must.
    NoPermission {
        /// What it said.
        reply: String,
    },
    /// Nobody listens there.
    Refused,
    /// The connection could not be opened for another reason.
    Unreachable {
        /// What the system said.
        error: String,
    },
    /// The name has no address.
    ResolveFailed {
        /// What the resolver said.
        error: String,
    },
    /// Silence for longer than `repl-timeout`.
    Timeout(Phase),
    /// The primary, or something between, closed the connection.
    ClosedByPrimary(Phase),
    /// The primary is loading its own data.
    PrimaryLoading,
    /// The primary cannot serve us now.
    PrimaryNotReady {
        /// What it said.
        reply: String,
    },
    /// The primary refused to synchronize us.
    SyncRefused {
        /// What it said.
        reply: String,
    },
    /// The payload could not be loaded; the old data is as it was.
    LoadingFailed {
        /// Why.
        error: String,
    },
    /// The stream contains a command that this server does not know. Nothing of it was applied.
    UnknownCommand {
        /// Its name.
        command: String,
        /// The offset of the last byte before it.
        offset: Offset,
    },
    /// A command of the stream failed here, which it did not on the primary.
    ApplyFailed {
        /// Its name.
        command: String,
        /// What it said.
        error: String,
        /// The offset of the last byte before it.
        offset: Offset,
    },
    /// The other side does not speak the protocol.
    ProtocolError {
        /// What came.
        detail: String,
    },
}

impl LinkDown {
    /// Whether the reason stays until somebody does something about it: then trying hard helps nobody.
    pub(super) fn is_stubborn(&self) -> bool {
        match self {
            Self::LoadingFailed { .. }
            | Self::UnknownCommand { .. }
            | Self::ApplyFailed { .. }
            | Self::ClosedByPrimary(Phase::Transfer)
            | Self::Timeout(Phase::Transfer) => true,
            Self::WrongPassword { .. }
            | Self::NoPermission { .. }
            | Self::Refused
            | Self::Unreachable { .. }
            | Self::ResolveFailed { .. }
            | Self::Timeout(_)
            | Self::ClosedByPrimary(_)
            | Self::PrimaryLoading
            | Self::PrimaryNotReady { .. }
            | Self::SyncRefused { .. }
            | Self::ProtocolError { .. } => false,
        }
    }

    /// The reason as the log says it, in the words that operators and test suites search for where there are such.
    pub(super) fn log_text(&self) -> String {
        match self {
            Self::WrongPassword { reply } => format!("Unable to AUTH to MASTER: {reply}"),
            Self::Refused => "Error condition on socket for SYNC: Connection refused".into(),
            Self::Unreachable { error } => format!("Error condition on socket for SYNC: {error}"),
            Self::ResolveFailed { error } => format!("Unable to connect to MASTER: {error}"),
            Self::Timeout(Phase::Connecting | Phase::Handshake) => "Timeout connecting to the MASTER...".into(),
            Self::Timeout(Phase::Transfer) => "Timeout receiving bulk data from MASTER... If the problem persists try \
                                               to set the 'repl-timeout' parameter in redis.conf to a larger value."
                .into(),
            Self::Timeout(Phase::Streaming) => "MASTER timeout: no data nor PING received...".into(),
            Self::ClosedByPrimary(Phase::Streaming) => "Connection with master lost.".into(),
            Self::ClosedByPrimary(Phase::Transfer) => "I/O error trying to sync with MASTER: connection lost".into(),
            Self::SyncRefused { reply } => {
                format!(
                    "MASTER aborted replication with an error: {}",
                    reply.trim_start_matches('-')
                )
            }
            Self::LoadingFailed { error } => {
                format!("Failed trying to load the MASTER synchronization DB: {error}. The old data stays")
            }
            other => format!("MASTER <-> REPLICA link down: {other}"),
        }
    }
}

impl fmt::Display for LinkDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPassword { reply } => {
                write!(
                    f,
                    "wrong password: check masterauth and masteruser (primary said: {reply})"
                )
            }
            Self::NoPermission { reply } => {
                write!(
                    f,
                    "no permission: give the replication user the commands it needs (primary said: {reply})"
                )
            }
            Self::Refused => f.write_str("connection refused: no server listens at this address"),
            Self::Unreachable { error } => write!(f, "unreachable: {error}"),
            Self::ResolveFailed { error } => write!(f, "host name not resolved: {error}"),
            Self::Timeout(phase) => write!(f, "timeout {phase}: nothing heard for longer than repl-timeout"),
            Self::ClosedByPrimary(phase) => write!(f, "connection closed by the primary {phase}"),
            Self::PrimaryLoading => f.write_str("the primary is loading its dataset"),
            Self::PrimaryNotReady { reply } => write!(f, "the primary is not ready (it said: {reply})"),
            Self::SyncRefused { reply } => write!(f, "the primary refused to synchronize (it said: {reply})"),
            Self::LoadingFailed { error } => write!(f, "loading the primary's dataset failed: {error}"),
            Self::UnknownCommand { command, offset } => {
                write!(f, "unknown command '{command}' in the stream after offset {offset}")
            }
            Self::ApplyFailed { command, error, offset } => {
                write!(
                    f,
                    "command '{command}' in the stream after offset {offset} failed: {error}"
                )
            }
            Self::ProtocolError { detail } => write!(f, "protocol error: {detail}"),
        }
    }
}
