//! The primary's side: every replica, what it gets next, and what all of them hold.
//!
//! The machine of one replica is drawn in `replica.rs`; here the replicas meet: those that ask together share a
//! snapshot, all share the stream, and limits, timeouts and pings are kept for all.

mod limit;
mod lost;
mod replconf;
mod replica;
pub(crate) mod wait;

use base::{Now, Offset, Rng};

pub use lost::{Lost, LostReason};
pub use replconf::ReplconfReply;
pub use replica::{FieldExpiryForm, Peer};

use crate::effect::{Contents, Effect, Effects, Form, Level, ReplicaId, Transfer};
use crate::ids::History;
use crate::psync::{self, Decision, Refusal, RefusalLog};
use crate::settings::{Settings, SyncMethod};
use crate::stream::Stream;
use crate::view::ReplicaView;
use lost::Losses;
use replica::{Dialect, Framing, GroupId, Online, Pace, Replica, State, Waiting};

/// How many snapshots may be on their way at the same time. Replicas that come later wait for one to end.
pub const TRANSFERS_MAX: usize = 4;
/// How often a replica that waits for its payload gets a newline.
const NEWLINE_PERIOD_MS: u64 = 1000;

const PING: &[u8] = b"*1\r\n$4\r\nping\r\n";
const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

/// How many replicas asked for what: `sync_full`, `sync_partial_ok`, `sync_partial_err`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCounters {
    /// Full resynchronizations begun.
    pub full: u64,
    /// Partial ones.
    pub partial_ok: u64,
    /// Partial ones asked for and refused.
    pub partial_err: u64,
}

/// What a replica asks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// `SYNC`.
    Sync,
    /// `PSYNC <id> <next>`.
    Psync {
        /// The history it knows; `?`: none.
        id: &'a [u8],
        /// The next byte it wants.
        next: i64,
    },
}

/// Who writes the stream that the replicas read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// We do.
    Ourselves,
    /// Our primary; we pass its bytes on as they are.
    OurPrimary,
}

/// Whether the stream gets its regular PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pings {
    /// Yes.
    Due,
    /// No: the offset must stand still.
    Withheld,
}

/// What the machines of this side work with.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) author: Author,
    pub(crate) settings: &'a Settings,
    pub(crate) history: &'a mut History,
    pub(crate) stream: &'a mut Stream,
    pub(crate) rng: &'a mut Rng,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Context<'_> {
    fn now_ms(&self) -> u64 {
        self.now.mono_ms()
    }
}

/// A snapshot on its way to some replicas.
#[derive(Debug)]
struct Group {
    id: GroupId,
    /// How many are still taking it.
    readers: usize,
}

/// Which replicas can share a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    framing: Framing,
    contents: Contents,
}

/// All replicas.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    /// In the order in which they came.
    replicas: Vec<Replica>,
    /// At most [`TRANSFERS_MAX`].
    groups: Vec<Group>,
    last_group: u64,
    pub(crate) counters: SyncCounters,
    losses: Losses,
    pinged_ms: u64,
    newlines_ms: u64,
    /// Since when there has been no replica; `None` while there is one.
    empty_since_ms: Option<u64>,
    /// A GETACK goes out at the end of the turn.
    acks_wanted: bool,
    /// A GETACK is in the stream, and must not be held back.
    pub(crate) awaited: bool,
}

impl Feeds {
    fn find(&mut self, id: ReplicaId) -> Option<&mut Replica> {
        self.replicas.iter_mut().find(|replica| replica.id == id)
    }

    fn attached(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| replica.is_attached())
    }

    pub(crate) fn is_attached(&self, id: ReplicaId) -> bool {
        self.attached().any(|replica| replica.id == id)
    }

    /// How many replicas are connected, in whatever state.
    pub(crate) fn count(&self) -> usize {
        self.attached().count()
    }

    pub(crate) fn lost(&self) -> impl Iterator<Item = &Lost> {
        self.losses.iter()
    }

    /// The replica asks for data. Everything written so far must be in the stream.
    pub(crate) fn on_ask(&mut self, cx: &mut Context<'_>, id: ReplicaId, ip: &str, ask: Ask<'_>) {
        if self.find(id).is_none() {
            self.replicas.push(Replica::new(id, ip));
        }
        let replica = self.find(id).expect("it has just been put there");
        assert!(
            !replica.is_attached(),
            "a replica asks once; its later requests are ignored before they come here"
        );
        let name = replica.peer.name();
        if self.count() == 0 {
            // The first PING is due a whole period from here, however long there was nobody to send one to.
            self.pinged_ms = cx.now_ms();
        }
        cx.effects.notice(format!("Replica {name} asks for synchronization"));

        match ask {
            Ask::Sync => self.begin_waiting(cx, id, Dialect::Old),
            Ask::Psync { id: asked_id, next } => match psync::decide(asked_id, next, cx.history, cx.stream.kept()) {
                Decision::Continue { from } => self.resume(cx, id, from),
                Decision::Full(refusal) => {
                    if refusal != Refusal::NotAsked {
                        self.counters.partial_err += 1;
                    }
                    let text = RefusalLog {
                        refusal: &refusal,
                        replica: &name,
                        history: cx.history,
                    }
                    .to_string();
                    cx.effects.notice(text);
                    self.begin_waiting(cx, id, Dialect::Psync);
                }
            },
        }
        self.empty_since_ms = None;
    }

    fn resume(&mut self, cx: &mut Context<'_>, id: ReplicaId, from: Offset) {
        self.counters.partial_ok += 1;
        let now_ms = cx.now_ms();
        let cursor = cx.stream.open_cursor(from);
        let replica = self.find(id).expect("the caller has just found it");
        let line = if replica.peer.follows_ids {
            format!("+CONTINUE {}\r\n", cx.history.id())
        } else {
            "+CONTINUE\r\n".to_owned()
        };
        cx.effects.push(Effect::ToReplica {
            replica: id,
            bytes: line.into_bytes(),
        });
        cx.effects.notice(format!(
            "Partial resynchronization request from {} accepted. Sending {} bytes of backlog starting from offset {}.",
            replica.peer.name(),
            cx.stream.unsent_bytes(cursor),
            from.0 + 1,
        ));
        replica.step(|_| State::Online(Online::begin(Dialect::Psync, cursor, now_ms)));
    }

    fn begin_waiting(&mut self, cx: &mut Context<'_>, id: ReplicaId, dialect: Dialect) {
        self.counters.full += 1;
        let since_ms = cx.now_ms();
        let alone = self.count() == 0;
        let replica = self
            .replicas
            .iter_mut()
            .find(|replica| replica.id == id)
            .expect("the caller has just found it");
        let not_before_ms = self
            .losses
            .not_before_ms(replica.peer.shown_ip(), replica.peer.listening_port);
        if not_before_ms > since_ms {
            let (name, wait) = (replica.peer.name(), (not_before_ms - since_ms).div_ceil(1000));
            cx.effects.notice(format!(
                "Replica {name} failed to synchronize before, its full sync waits {wait} seconds"
            ));
        }
        replica.step(|_| {
            State::Waiting(Waiting {
                dialect,
                since_ms,
                not_before_ms,
            })
        });
        if alone && !cx.stream.is_active() {
            create_backlog(cx);
        }
        self.start_transfers(cx);
    }

    /// Begins the transfers that are due, as far as the limit of snapshots allows.
    fn start_transfers(&mut self, cx: &mut Context<'_>) {
        while self.groups.len() < TRANSFERS_MAX {
            let Some(kind) = self.due(cx) else { return };
            self.start_transfer(cx, kind);
        }
    }

    /// A kind of snapshot that is wanted and need not wait any longer for others to join.
    fn due(&self, cx: &Context<'_>) -> Option<Kind> {
        let now_ms = cx.now_ms();
        let delay_ms = cx.settings.diskless_delay_seconds * 1000;
        let ready = |replica: &Replica| match &replica.state {
            State::Waiting(waiting) if waiting.not_before_ms <= now_ms => Some(waiting.since_ms),
            _ => None,
        };
        self.replicas.iter().find_map(|replica| {
            let since_ms = ready(replica)?;
            let kind = kind_for(&replica.peer, cx.settings);
            let together = || {
                let others = self.replicas.iter().filter(|other| ready(other).is_some());
                others
                    .filter(|other| kind_for(&other.peer, cx.settings) == kind)
                    .count()
            };
            let enough = cx.settings.diskless_max_replicas;
            let due = match kind.framing {
                Framing::Sized => true,
                Framing::Marked => now_ms.saturating_sub(since_ms) >= delay_ms || (enough > 0 && together() >= enough),
            };
            due.then_some(kind)
        })
    }

    fn start_transfer(&mut self, cx: &mut Context<'_>, kind: Kind) {
        let now_ms = cx.now_ms();
        let cut = cx.stream.end();
        self.last_group += 1;
        let group = GroupId(self.last_group);
        let mut members = Vec::new();
        for replica in &mut self.replicas {
            let State::Waiting(waiting) = &replica.state else {
                continue;
            };
            if waiting.not_before_ms > now_ms || kind_for(&replica.peer, cx.settings) != kind {
                continue;
            }
            if waiting.dialect == Dialect::Psync {
                let line = format!("+FULLRESYNC {} {cut}\r\n", cx.history.id());
                cx.effects.push(Effect::ToReplica {
                    replica: replica.id,
                    bytes: line.into_bytes(),
                });
            }
            let cursor = cx.stream.open_cursor(cut);
            replica.step(|state| match state {
                State::Waiting(waiting) => State::Transferring(waiting.transfer(group, kind.framing, cursor)),
                other => other,
            });
            members.push(replica.id);
        }
        self.groups.push(Group {
            id: group,
            readers: members.len(),
        });

        let form = match kind.framing {
            Framing::Sized => Form::Sized { bytes: 0 },
            Framing::Marked => {
                let mut mark = [0; 40];
                cx.rng.fill_hex(&mut mark);
                Form::Marked { mark }
            }
        };
        let target = if kind.framing == Framing::Marked {
            "replicas sockets"
        } else {
            "disk"
        };
        cx.effects
            .notice(format!("Starting BGSAVE for SYNC with target: {target}"));
        cx.effects.push(Effect::StartTransfer(Transfer {
            replicas: members,
            form,
            contents: kind.contents,
            history: cx.history.id(),
            cut,
            stream_db: cx.stream.selected().unwrap_or_default(),
        }));
        if cx.author == Author::Ourselves {
            cx.stream.set_selected(None);
        }
    }

    /// A replica was sent the payload to its last byte.
    pub(crate) fn on_transfer_sent(&mut self, cx: &mut Context<'_>, id: ReplicaId) {
        let now_ms = cx.now_ms();
        let Some(replica) = self.replicas.iter_mut().find(|replica| replica.id == id) else {
            return;
        };
        let State::Transferring(transferring) = &replica.state else {
            return;
        };
        let (group, framing, name) = (transferring.group, transferring.framing, replica.peer.name());
        let snapshot_only = replica.peer.snapshot_only;
        replica.step(|state| match state {
            State::Transferring(transferring) => transferring.sent(now_ms),
            other => other,
        });
        self.leave_group(group);
        if snapshot_only {
            cx.effects.notice(format!(
                "RDB transfer completed, rdb only replica ({name}) should be disconnected asap"
            ));
            self.lose(cx, id, LostReason::SnapshotDelivered);
            cx.effects.push(Effect::CloseReplica { replica: id });
        } else if framing == Framing::Marked {
            cx.effects.notice(format!(
                "Streamed RDB transfer with replica {name} succeeded (socket). Waiting for REPLCONF ACK from slave to \
                 enable streaming"
            ));
        } else {
            cx.effects
                .notice(format!("Synchronization with replica {name} succeeded"));
        }
        self.start_transfers(cx);
    }

    /// The snapshot could not be made, or not be sent to this replica. It is closed, and will ask again.
    pub(crate) fn on_transfer_failed(&mut self, cx: &mut Context<'_>, id: ReplicaId, error: &str) {
        let Some(Replica {
            state: State::Transferring(transferring),
            peer,
            ..
        }) = self.find(id)
        else {
            return;
        };
        let (group, name) = (transferring.group, peer.name());
        cx.effects.warning(format!("SYNC with replica {name} failed: {error}"));
        self.leave_group(group);
        self.forget(
            cx,
            id,
            LostReason::TransferFailed {
                error: error.to_owned(),
            },
        );
        cx.effects.push(Effect::CloseReplica { replica: id });
        self.start_transfers(cx);
    }

    /// One reader less.
    fn leave_group(&mut self, group: GroupId) {
        let Some(at) = self.groups.iter().position(|other| other.id == group) else {
            return;
        };
        self.groups[at].readers -= 1;
        if self.groups[at].readers == 0 {
            self.groups.remove(at);
        }
    }

    /// `REPLCONF ACK <offset>`.
    pub(crate) fn on_ack(&mut self, cx: &mut Context<'_>, id: ReplicaId, ack: Offset) {
        let now_ms = cx.now_ms();
        let Some(replica) = self.find(id) else { return };
        match &mut replica.state {
            State::Online(online) => {
                online.ack = online.ack.max(ack);
                online.heard_ms = now_ms;
            }
            State::AwaitingAck(_) => {
                replica.step(|state| match state {
                    State::AwaitingAck(awaiting) => State::Online(awaiting.acknowledged(ack, now_ms)),
                    other => other,
                });
                cx.effects.notice(format!(
                    "Synchronization with replica {} succeeded",
                    replica.peer.name()
                ));
            }
            // Too early to mean anything.
            State::Handshaking | State::Waiting(_) | State::Transferring(_) => {}
        }
    }

    /// A blank line: the replica is loading, and alive.
    pub(crate) fn on_keepalive(&mut self, now: Now, id: ReplicaId) {
        let now_ms = now.mono_ms();
        match self.find(id).map(|replica| &mut replica.state) {
            Some(State::Online(online)) => online.heard_ms = now_ms,
            Some(State::AwaitingAck(awaiting)) => awaiting.heard_ms = now_ms,
            _ => {}
        }
    }

    /// Where a replica that may be sent stream bytes stands. `None`: it gets nothing of the stream yet.
    pub(crate) fn position(&self, stream: &Stream, id: ReplicaId) -> Option<Offset> {
        let replica = self.replicas.iter().find(|replica| replica.id == id)?;
        match &replica.state {
            State::Online(online) => Some(stream.position(online.cursor)),
            _ => None,
        }
    }

    /// So many bytes of the stream were handed to a replica's socket.
    pub(crate) fn on_sent(&mut self, stream: &mut Stream, settings: &Settings, id: ReplicaId, bytes: u64) {
        let Some(replica) = self.replicas.iter_mut().find(|replica| replica.id == id) else {
            return;
        };
        let State::Online(online) = &mut replica.state else {
            return;
        };
        stream.advance(online.cursor, bytes);
        if online.pace == Pace::CatchingUp && stream.unsent_bytes(online.cursor) <= limit::caught_up_bytes(settings) {
            online.pace = Pace::InStep;
            self.losses
                .forgive(replica.peer.shown_ip(), replica.peer.listening_port);
        }
    }

    /// A replica's connection is gone.
    pub(crate) fn on_closed(&mut self, cx: &mut Context<'_>, id: ReplicaId, reason: LostReason) {
        self.lose(cx, id, reason);
        self.start_transfers(cx);
    }

    /// Forgets a replica and closes its connection.
    fn close(&mut self, cx: &mut Context<'_>, id: ReplicaId, reason: LostReason) {
        self.lose(cx, id, reason);
        cx.effects.push(Effect::CloseReplica { replica: id });
    }

    /// Closes every replica.
    pub(crate) fn close_all(&mut self, cx: &mut Context<'_>, reason: &LostReason) {
        let all: Vec<ReplicaId> = self.attached().map(|replica| replica.id).collect();
        for id in all {
            self.close(cx, id, reason.clone());
        }
    }

    /// Forgets a replica and stops what runs for it.
    fn lose(&mut self, cx: &mut Context<'_>, id: ReplicaId, reason: LostReason) {
        if let Some(Replica {
            state: State::Transferring(transferring),
            ..
        }) = self.find(id)
        {
            let group = transferring.group;
            self.leave_group(group);
            cx.effects.push(Effect::StopTransfer { replica: id });
        }
        self.forget(cx, id, reason);
    }

    fn forget(&mut self, cx: &mut Context<'_>, id: ReplicaId, reason: LostReason) {
        let Some(at) = self.replicas.iter().position(|replica| replica.id == id) else {
            return;
        };
        let replica = self.replicas.remove(at);
        if !replica.is_attached() {
            return;
        }
        if let Some(cursor) = replica.cursor() {
            cx.stream.close_cursor(cursor);
        }
        if self.attached().next().is_none() {
            self.empty_since_ms = Some(cx.now_ms());
        }
        if reason.is_planned() {
            return;
        }
        let (ip, port) = (replica.peer.shown_ip(), replica.peer.listening_port);
        if replica.is_synchronizing() {
            self.losses.record_setback(ip, port, cx.now);
        }
        cx.effects.warning(format!(
            "Connection with replica {} lost: {reason}.",
            replica.peer.name()
        ));
        self.losses.record(Lost {
            ip: ip.to_owned(),
            port,
            reason,
            at: cx.now,
        });
    }

    /// Time passes. Call at least every [`crate::TICK_MS`].
    pub(crate) fn on_tick(&mut self, cx: &mut Context<'_>, dataset_bytes: u64, pings: Pings) {
        self.start_transfers(cx);
        self.check_timeouts(cx);
        self.check_limits(cx, dataset_bytes);
        self.send_newlines(cx);
        if cx.author == Author::Ourselves {
            if pings == Pings::Due {
                self.send_ping(cx);
            }
            self.expire_backlog(cx);
        }
    }

    /// Closes the replicas that hold more of the stream than they may. Call after a burst of writes too.
    pub(crate) fn check_limits(&mut self, cx: &mut Context<'_>, dataset_bytes: u64) {
        let now_ms = cx.now_ms();
        let in_step = limit::in_step(cx.settings);
        let synchronizing = limit::synchronizing(cx.settings, dataset_bytes);
        let mut at = 0;
        while let Some(replica) = self.replicas.get_mut(at) {
            at += 1;
            let Some(cursor) = replica.cursor() else { continue };
            let limit = if replica.is_synchronizing() {
                synchronizing
            } else {
                in_step
            };
            let unsent_bytes = cx.stream.unsent_bytes(cursor);
            let Some(limit_bytes) = replica.meter.exceeded(limit, unsent_bytes, now_ms) else {
                continue;
            };
            let id = replica.id;
            cx.effects.warning(format!(
                "Client of replica {} scheduled to be closed ASAP for overcoming of output buffer limits.",
                replica.peer.name()
            ));
            self.close(
                cx,
                id,
                LostReason::OutputLimit {
                    unsent_bytes,
                    limit_bytes,
                },
            );
            at -= 1;
        }
    }

    fn check_timeouts(&mut self, cx: &mut Context<'_>) {
        let silent_since_ms = cx.now_ms().saturating_sub(cx.settings.timeout_seconds * 1000);
        let mut at = 0;
        while let Some(replica) = self.replicas.get(at) {
            at += 1;
            if replica
                .must_speak_since_ms()
                .is_none_or(|heard_ms| heard_ms >= silent_since_ms)
            {
                continue;
            }
            let id = replica.id;
            let name = replica.peer.name();
            cx.effects
                .warning(format!("Disconnecting timedout replica (streaming sync): {name}"));
            self.close(cx, id, LostReason::TimedOut);
            at -= 1;
        }
    }

    /// Tells replicas that are waiting for a payload that we are alive. Once it is on its way, its carrier does.
    fn send_newlines(&mut self, cx: &mut Context<'_>) {
        if cx.now_ms() < self.newlines_ms + NEWLINE_PERIOD_MS {
            return;
        }
        self.newlines_ms = cx.now_ms();
        for replica in &self.replicas {
            if matches!(replica.state, State::Waiting(_)) {
                cx.effects.push(Effect::ToReplica {
                    replica: replica.id,
                    bytes: b"\n".to_vec(),
                });
            }
        }
    }

    fn send_ping(&mut self, cx: &mut Context<'_>) {
        let due = cx.now_ms() >= self.pinged_ms + cx.settings.ping_period_seconds * 1000;
        if due && self.attached().next().is_some() {
            self.pinged_ms = cx.now_ms();
            cx.stream.append(PING);
        }
    }

    /// Frees a backlog that nobody came back for. The history ends with it: what is written from now on is not recorded,
    /// so nobody may take our offset for a continuation.
    fn expire_backlog(&mut self, cx: &mut Context<'_>) {
        let ttl_ms = cx.settings.backlog_ttl_seconds * 1000;
        let Some(since_ms) = self.empty_since_ms else { return };
        if ttl_ms == 0 || !cx.stream.is_active() || cx.now_ms() < since_ms + ttl_ms {
            return;
        }
        cx.history.start_over(cx.rng);
        cx.stream.deactivate();
        let seconds = cx.settings.backlog_ttl_seconds;
        cx.effects.notice(format!(
            "Replication backlog freed after {seconds} seconds without connected replicas."
        ));
    }

    /// Begins to count the time without replicas: we hold a backlog and nobody reads it (after a restart, a promotion).
    pub(crate) fn begin_counting_ttl(&mut self, now: Now) {
        if self.count() == 0 {
            self.empty_since_ms = Some(now.mono_ms());
        }
    }

    /// Asks every replica for its offset, once at the end of the turn.
    pub(crate) fn want_acks(&mut self) {
        self.acks_wanted = true;
    }

    /// Whether a GETACK is still to be sent.
    pub(crate) fn acks_are_wanted(&self) -> bool {
        self.acks_wanted
    }

    /// What a replica told of itself.
    pub(crate) fn peer_of(&self, id: ReplicaId) -> Option<&Peer> {
        self.replicas
            .iter()
            .find(|replica| replica.id == id)
            .map(|replica| &replica.peer)
    }

    /// Sends the GETACK that was wanted.
    pub(crate) fn on_turn_end(&mut self, stream: &mut Stream) {
        if std::mem::take(&mut self.acks_wanted) {
            stream.append(GETACK);
            self.awaited = true;
        }
    }

    /// How many replicas have acknowledged `offset`.
    pub(crate) fn acknowledged(&self, offset: Offset) -> usize {
        let has = |replica: &&Replica| matches!(&replica.state, State::Online(online) if online.ack >= offset);
        self.replicas.iter().filter(has).count()
    }

    /// How many replicas are near enough for `min-replicas-max-lag`.
    pub(crate) fn good(&self, now: Now, settings: &Settings) -> usize {
        let max_lag = settings.min_replicas_max_lag_seconds;
        let is_good = |replica: &&Replica| {
            replica
                .heard_ms()
                .is_some_and(|heard_ms| lag_seconds(now, heard_ms) <= max_lag)
        };
        self.replicas.iter().filter(is_good).count()
    }

    /// A replica that FAILOVER may go to: it has acknowledged everything up to `offset`. With a target, that one.
    pub(crate) fn caught_up(&self, offset: Offset, target: Option<(&str, u16)>) -> Option<&Peer> {
        let fits = |replica: &&Replica| {
            let is_target = target.is_none_or(|(ip, port)| is_at(&replica.peer, ip, port));
            is_target && matches!(&replica.state, State::Online(online) if online.ack == offset)
        };
        self.replicas.iter().find(fits).map(|replica| &replica.peer)
    }

    /// Whether there is a replica at this address, and whether it is online.
    pub(crate) fn is_online(&self, ip: &str, port: u16) -> Option<bool> {
        let replica = self.attached().find(|replica| is_at(&replica.peer, ip, port))?;
        Some(replica.state_name() == "online")
    }

    /// The replicas as INFO shows them.
    pub(crate) fn views(&self, now: Now, stream: &Stream) -> Vec<ReplicaView> {
        let view = |replica: &Replica| ReplicaView {
            id: replica.id,
            ip: replica.peer.shown_ip().to_owned(),
            port: replica.peer.listening_port,
            state: replica.state_name(),
            offset: match &replica.state {
                State::Online(online) => online.ack,
                _ => Offset(0),
            },
            lag_seconds: replica.heard_ms().map_or(0, |heard_ms| lag_seconds(now, heard_ms)),
            unsent_bytes: replica.cursor().map_or(0, |cursor| stream.unsent_bytes(cursor)),
        };
        self.attached().map(view).collect()
    }
}

fn is_at(peer: &Peer, ip: &str, port: u16) -> bool {
    peer.shown_ip() == ip && peer.listening_port == port
}

fn lag_seconds(now: Now, heard_ms: u64) -> u64 {
    now.mono_ms().saturating_sub(heard_ms) / 1000
}

fn kind_for(peer: &Peer, settings: &Settings) -> Kind {
    let framing = match settings.sync_method {
        SyncMethod::Diskless if peer.reads_marked => Framing::Marked,
        _ => Framing::Sized,
    };
    Kind {
        framing,
        contents: peer.contents,
    }
}

/// History is kept from here on. It begins under a new id: what was written before is in no backlog.
fn create_backlog(cx: &mut Context<'_>) {
    cx.history.start_over(cx.rng);
    cx.stream.activate();
    cx.effects.log(
        Level::Notice,
        format!(
            "Replication backlog created, my new replication IDs are '{}' and '{}'",
            cx.history.id(),
            base::ReplId::NONE
        ),
    );
}
