//! One replica, as its primary sees it.
//!
//! ```text
//!                       PSYNC, and its bytes are held
//!   Handshaking ────────────────────────────────────────────────────────────┐
//!       │ PSYNC or SYNC, else                                                │
//!       ▼                                                                    ▼
//!    Waiting ────────▶ Transferring ── sized payload sent ───────────────▶ Online
//!              cut X        │                                                ▲
//!              frozen       └── marked payload sent ──▶ AwaitingAck ── ACK ──┘
//! ```
//!
//! From each state the replica can be lost, and then the machine ends. A cursor at the cut X holds the stream from the
//! moment of the freeze, so that `Online` goes on exactly there. After a marked payload (`$EOF:`) the stream must wait for
//! an ACK: the replica tells the end of the payload by its last bytes, so nothing may follow it yet.

use base::Offset;

use super::limit::Meter;
use crate::effect::{Contents, ReplicaId};
use crate::stream::CursorId;

/// The first major version of Valkey in which fields of hashes expire.
const FIELD_EXPIRIES_SINCE_VALKEY: u32 = 9;

/// How a replica reads hashes with expiring fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldExpiryForm {
    /// Not at all.
    None,
    /// As Valkey 9 writes them.
    Valkey,
    /// As Redis 7.4 writes them.
    Redis,
}

/// What a replica told of itself before it asked for data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address its connection comes from.
    pub ip: String,
    /// `REPLCONF ip-address`: the address it wants to be known by.
    pub announced_ip: Option<String>,
    /// `REPLCONF listening-port`; 0: it did not say.
    pub listening_port: u16,
    /// `REPLCONF capa eof`: it reads payloads that end with a mark.
    pub reads_marked: bool,
    /// `REPLCONF capa psync2`: it understands `+CONTINUE <new id>`.
    pub follows_ids: bool,
    /// `REPLCONF capa rdb-channel-repl`: Redis 8 says so, and no earlier one.
    pub knows_rdb_channel: bool,
    /// `REPLCONF version`: Valkey says so, and we do.
    pub version: Option<String>,
    /// `REPLCONF rdb-only 1`: it wants the payload and no stream.
    pub snapshot_only: bool,
    /// `REPLCONF rdb-filter-only`.
    pub contents: Contents,
}

impl Peer {
    pub(super) fn new(ip: &str) -> Self {
        Self {
            ip: ip.to_owned(),
            announced_ip: None,
            listening_port: 0,
            reads_marked: false,
            follows_ids: false,
            knows_rdb_channel: false,
            version: None,
            snapshot_only: false,
            contents: Contents::ALL,
        }
    }

    /// The form in which it reads hashes with expiring fields.
    #[must_use]
    pub fn field_expiries(&self) -> FieldExpiryForm {
        let major = self.version.as_deref().and_then(|version| version.split('.').next());
        match major.map(str::parse::<u32>) {
            Some(Ok(FIELD_EXPIRIES_SINCE_VALKEY..)) => FieldExpiryForm::Valkey,
            _ if self.knows_rdb_channel => FieldExpiryForm::Redis,
            _ => FieldExpiryForm::None,
        }
    }

    /// The address to show.
    #[must_use]
    pub fn shown_ip(&self) -> &str {
        self.announced_ip.as_deref().unwrap_or(&self.ip)
    }

    /// The replica as the log names it.
    #[must_use]
    pub fn name(&self) -> String {
        let ip = self.shown_ip();
        let (open, close) = if ip.contains(':') { ("[", "]") } else { ("", "") };
        match self.listening_port {
            0 => format!("{open}{ip}{close}:<unknown-replica-port>"),
            port => format!("{open}{ip}{close}:{port}"),
        }
    }
}

/// Replicas that are served from one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupId(pub(super) u64);

/// Which command the replica asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SYNC: no offsets, no acknowledgements.
    Old,
    /// PSYNC.
    Psync,
}

/// How the payload is framed; the marks are the transfer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Framing {
    Sized,
    Marked,
}

/// Whether a replica has ever been in step since it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Reading what was written while it synchronized: it may still hold that much.
    CatchingUp,
    InStep,
}

/// It has asked for the whole dataset and waits for a snapshot to begin.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) dialect: Dialect,
    pub(super) since_ms: u64,
    /// It has failed before and must wait at least so long.
    pub(super) not_before_ms: u64,
}

/// It is being sent a snapshot.
#[derive(Debug)]
pub(super) struct Transferring {
    pub(super) dialect: Dialect,
    pub(super) group: GroupId,
    pub(super) framing: Framing,
    /// Stands at the cut.
    pub(super) cursor: CursorId,
}

/// It has the whole payload; the stream goes on when it says that it has loaded it.
#[derive(Debug)]
pub(super) struct AwaitingAck {
    pub(super) cursor: CursorId,
    pub(super) heard_ms: u64,
}

/// It reads the stream.
#[derive(Debug)]
pub(super) struct Online {
    pub(super) dialect: Dialect,
    pub(super) cursor: CursorId,
    /// What it last acknowledged.
    pub(super) ack: Offset,
    pub(super) heard_ms: u64,
    pub(super) pace: Pace,
}

#[derive(Debug)]
pub(super) enum State {
    Handshaking,
    Waiting(Waiting),
    Transferring(Transferring),
    AwaitingAck(AwaitingAck),
    Online(Online),
}

impl Waiting {
    pub(super) fn transfer(self, group: GroupId, framing: Framing, cursor: CursorId) -> Transferring {
        Transferring {
            dialect: self.dialect,
            group,
            framing,
            cursor,
        }
    }
}

impl Transferring {
    /// The payload has been handed to the network, to its last byte.
    pub(super) fn sent(self, now_ms: u64) -> State {
        match self.framing {
            Framing::Marked => State::AwaitingAck(AwaitingAck {
                cursor: self.cursor,
                heard_ms: now_ms,
            }),
            Framing::Sized => State::Online(Online::begin(self.dialect, self.cursor, now_ms)),
        }
    }
}

impl AwaitingAck {
    pub(super) fn acknowledged(self, ack: Offset, now_ms: u64) -> Online {
        Online {
            ack,
            ..Online::begin(Dialect::Psync, self.cursor, now_ms)
        }
    }
}

impl Online {
    pub(super) fn begin(dialect: Dialect, cursor: CursorId, now_ms: u64) -> Self {
        Self {
            dialect,
            cursor,
            ack: Offset(0),
            heard_ms: now_ms,
            pace: Pace::CatchingUp,
        }
    }
}

/// One replica's connection and where it stands.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) id: ReplicaId,
    pub(super) peer: Peer,
    pub(super) state: State,
    pub(super) meter: Meter,
}

impl Replica {
    pub(super) fn new(id: ReplicaId, ip: &str) -> Self {
        Self {
            id,
            peer: Peer::new(ip),
            state: State::Handshaking,
            meter: Meter::default(),
        }
    }

    /// Passes the state through a transition.
    pub(super) fn step(&mut self, transition: impl FnOnce(State) -> State) {
        self.state = transition(std::mem::replace(&mut self.state, State::Handshaking));
    }

    /// Whether it has asked for data: from then on it is one of the "connected" replicas.
    pub(super) fn is_attached(&self) -> bool {
        !matches!(self.state, State::Handshaking)
    }

    pub(super) fn cursor(&self) -> Option<CursorId> {
        match &self.state {
            State::Handshaking | State::Waiting(_) => None,
            State::Transferring(transferring) => Some(transferring.cursor),
            State::AwaitingAck(awaiting) => Some(awaiting.cursor),
            State::Online(online) => Some(online.cursor),
        }
    }

    /// Whether losing it now means that a full resynchronization failed.
    pub(super) fn is_synchronizing(&self) -> bool {
        match &self.state {
            State::Handshaking | State::Waiting(_) => false,
            State::Transferring(_) | State::AwaitingAck(_) => true,
            State::Online(online) => online.pace == Pace::CatchingUp,
        }
    }

    /// When it was last heard of, if silence means that it is gone: an old replica never speaks.
    pub(super) fn must_speak_since_ms(&self) -> Option<u64> {
        match &self.state {
            State::Online(Online {
                dialect: Dialect::Old, ..
            }) => None,
            _ => self.heard_ms(),
        }
    }

    /// When it was last heard of, once it reads the stream or is about to.
    pub(super) fn heard_ms(&self) -> Option<u64> {
        match &self.state {
            State::AwaitingAck(awaiting) => Some(awaiting.heard_ms),
            State::Online(online) => Some(online.heard_ms),
            _ => None,
        }
    }

    /// The state's name in INFO. A marked payload has no name of its own there, and neither has the wait for its ACK.
    pub(super) fn state_name(&self) -> &'static str {
        match &self.state {
            State::Handshaking | State::Waiting(_) => "wait_bgsave",
            State::Transferring(transferring) => match transferring.framing {
                Framing::Sized => "send_bulk",
                Framing::Marked => "wait_bgsave",
            },
            State::AwaitingAck(_) | State::Online(_) => "online",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_says_which_hashes_it_reads() {
        let said = |version: Option<&str>, knows_rdb_channel| {
            let peer = Peer {
                version: version.map(str::to_owned),
                knows_rdb_channel,
                ..Peer::new("a")
            };
            peer.field_expiries()
        };
        assert_eq!(said(None, false), FieldExpiryForm::None);
        assert_eq!(said(Some("8.1.3"), false), FieldExpiryForm::None);
        assert_eq!(said(Some("9.0.0"), false), FieldExpiryForm::Valkey);
        assert_eq!(said(Some("10.1"), true), FieldExpiryForm::Valkey);
        assert_eq!(said(Some("so new"), false), FieldExpiryForm::None);
        assert_eq!(said(None, true), FieldExpiryForm::Redis);
    }
}
