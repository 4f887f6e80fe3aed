//! The whole of a server's replication: the machines together, and what passes between them.

use base::{DbIndex, Now, Offset, ReplId, Rng, number};
use resp::Args;

use crate::effect::{Effect, Effects, ReplicaId, WaiterId};
use crate::failover::{Deadline, Failover, Request, Target};
use crate::feed::wait::Waits;
use crate::feed::{self, Ask, Author, Feeds, LostReason, Peer, Pings, ReplconfReply, SyncCounters};
use crate::ids::History;
use crate::link::{self, Link, LinkDown, Notice, Purpose};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::view::{BacklogView, ReplicaView, ReplicationView};

/// How often [`Replication::on_tick`] must be called at least.
pub const TICK_MS: u64 = 100;

/// A point in a history: what a saved dataset belongs to (`repl-id`, `repl-offset`, `repl-stream-db` of an RDB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The history.
    pub id: ReplId,
    /// How far the dataset has it.
    pub offset: Offset,
    /// The database in which the stream stands there.
    pub stream_db: DbIndex,
}

/// What a REPLICAOF changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retarget {
    /// The role or the primary is another now.
    Changed,
    /// That was the case already.
    Unchanged,
}

/// See the crate.
///
/// Two rules for the caller. Effects are carried out in order, before the next event. And everything that commands wrote is
/// appended to the stream before a replica's request or a tick is handed in: a cut lies between top-level commands.
#[derive(Debug)]
pub struct Replication {
    settings: Settings,
    history: History,
    /// On a replica its end is the applied offset.
    stream: Stream,
    feeds: Feeds,
    waits: Waits,
    failover: Failover,
    /// `None`: we are a primary.
    link: Option<Link>,
    /// Whether our data is what `history` has at the stream's end; only a server that starts as a replica, from nothing,
    /// has data that is nobody's.
    data_has_history: bool,
    rng: Rng,
}

/// The link's surroundings, borrowed field by field so that the link itself stays free.
macro_rules! link_context {
    ($self:ident, $now:expr, $effects:expr) => {
        link::Context {
            now: $now,
            settings: &$self.settings,
            resume: $self.data_has_history.then(|| ($self.history.id(), $self.stream.end())),
            rng: &mut $self.rng,
            effects: $effects,
        }
    };
}

macro_rules! feed_context {
    ($self:ident, $now:expr, $effects:expr) => {
        feed::Context {
            now: $now,
            author: if $self.link.is_some() {
                Author::OurPrimary
            } else {
                Author::Ourselves
            },
            settings: &$self.settings,
            history: &mut $self.history,
            stream: &mut $self.stream,
            rng: &mut $self.rng,
            effects: $effects,
        }
    };
}

mod apply;

impl Replication {
    /// A primary with a history of its own and no replicas. All randomness comes from `rng`.
    #[must_use]
    pub fn new(settings: Settings, mut rng: Rng) -> Self {
        Self {
            history: History::new(&mut rng),
            stream: Stream::new(settings.backlog_bytes),
            settings,
            feeds: Feeds::default(),
            waits: Waits::default(),
            failover: Failover::default(),
            link: None,
            data_has_history: false,
            rng,
        }
    }

    // ---- settings and start ----

    /// The directives in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// CONFIG SET.
    pub fn set_settings(&mut self, settings: Settings) {
        self.stream.resize_backlog(settings.backlog_bytes);
        self.settings = settings;
    }

    /// A primary starts with a dataset that belongs to a history: replicas of that may go on with us.
    pub fn resume_as_primary(&mut self, now: Now, saved: Resume) {
        self.history.resume_as_primary(saved.id, saved.offset, &mut self.rng);
        self.stream.restart_at(saved.offset);
        self.feeds.begin_counting_ttl(now);
    }

    /// A replica starts (`replicaof` in the configuration). With a saved point it asks to go on there.
    pub fn start_as_replica(&mut self, host: &str, port: u16, saved: Option<Resume>) {
        if let Some(saved) = saved {
            self.history.adopt(saved.id);
            self.stream.restart_at(saved.offset);
            self.stream.set_selected(Some(saved.stream_db));
            self.data_has_history = true;
        }
        self.link = Some(Link::new(host, port, Purpose::Follow));
    }

    // ---- what we are ----

    /// Whether we take writes from clients as a primary.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.link.is_none()
    }

    /// Whether our primary's stream is up; false on a primary.
    #[must_use]
    pub fn is_link_up(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_streaming)
    }

    /// Whether a FAILOVER is under way.
    #[must_use]
    pub fn is_failing_over(&self) -> bool {
        self.failover != Failover::Idle
    }

    /// Our primary, as REPLICAOF named it.
    #[must_use]
    pub fn primary(&self) -> Option<(&str, u16)> {
        self.link.as_ref().map(Link::target)
    }

    /// The stream, to read from.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Our ids.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What a snapshot taken now should remember, so that a restart can go on; `None` if there is nothing to go on from.
    #[must_use]
    pub fn resume_point(&self) -> Option<Resume> {
        let ours = if self.link.is_some() {
            self.data_has_history
        } else {
            self.stream.is_active()
        };
        ours.then(|| Resume {
            id: self.history.id(),
            offset: self.stream.end(),
            stream_db: self.stream.selected().unwrap_or_default(),
        })
    }

    /// `sync_full` and its siblings.
    #[must_use]
    pub fn counters(&self) -> SyncCounters {
        self.feeds.counters
    }

    /// CONFIG RESETSTAT.
    pub fn reset_counters(&mut self) {
        self.feeds.counters = SyncCounters::default();
    }

    // ---- writing ----

    /// Appends what we executed, as RESP; it leaves the stream in database `db`. Ignored on a replica, whose stream is its
    /// primary's alone, and while nobody ever came to read.
    pub fn append(&mut self, units: &[u8], db: Option<DbIndex>) {
        if self.link.is_none() {
            self.stream.append(units);
            self.stream.set_selected(db);
        }
    }

    /// Whether what we execute must be appended.
    #[must_use]
    pub fn records(&self) -> bool {
        self.link.is_none() && self.stream.is_active()
    }

    /// The end of a turn of the event loop: what was asked for once or often in it goes out once.
    pub fn on_turn_end(&mut self, now: Now, dataset_bytes: u64, effects: &mut Vec<Effect>) {
        if self.link.is_none() {
            self.feeds.on_turn_end(&mut self.stream);
        }
        self.feeds
            .check_limits(&mut feed_context!(self, now, effects), dataset_bytes);
    }

    /// Whether since the last call something went into the stream that somebody waits for: WAIT's and FAILOVER's GETACK.
    pub fn take_awaited(&mut self) -> bool {
        std::mem::take(&mut self.feeds.awaited)
    }

    // ---- replicas ----

    /// REPLCONF from any client; `ip` is its address.
    pub fn on_replconf(
        &mut self,
        now: Now,
        replica: ReplicaId,
        ip: &str,
        args: Args<'_>,
        effects: &mut Vec<Effect>,
    ) -> ReplconfReply {
        let reply = self
            .feeds
            .on_replconf(&mut feed_context!(self, now, effects), replica, ip, args);
        match reply {
            ReplconfReply::Silent => self.on_acknowledged(now, effects),
            ReplconfReply::GetAck => {
                if let Some(link) = &mut self.link {
                    link.acknowledge(now, effects);
                }
            }
            ReplconfReply::Ok | ReplconfReply::Error(_) => {}
        }
        reply
    }

    /// `SYNC` or `PSYNC <id> <next> [FAILOVER]`. An error is for the client; otherwise the answers are effects.
    pub fn on_sync(
        &mut self,
        now: Now,
        replica: ReplicaId,
        ip: &str,
        args: Args<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), String> {
        if self.feeds.is_attached(replica) {
            return Ok(());
        }
        if let (Some(id), Some(word)) = (args.try_get(1), args.try_get(3))
            && word.eq_ignore_ascii_case(b"failover")
        {
            self.take_over(now, id, effects)?;
        }
        if self.failover != Failover::Idle {
            return Err("NOMASTERLINK Can't SYNC while failing over".into());
        }
        if self.link.as_ref().is_some_and(|link| !link.is_streaming()) {
            return Err("NOMASTERLINK Can't SYNC while not connected with my master".into());
        }
        let ask = match (args.try_get(1), args.try_get(2)) {
            (Some(id), Some(next)) => match number::parse_i64(next) {
                Some(next) => Ask::Psync { id, next },
                None => {
                    effects.warning(format!("Replica {ip} asks for synchronization but with a wrong offset"));
                    return Err("ERR value is not an integer or out of range".into());
                }
            },
            _ => Ask::Sync,
        };
        if let Some(peer) = self.feeds.peer_of(replica)
            && peer.contents != crate::Contents::ALL
            && !peer.reads_marked
        {
            return Err("ERR Filtered replica requires EOF capability".into());
        }
        self.feeds
            .on_ask(&mut feed_context!(self, now, effects), replica, ip, ask);
        Ok(())
    }

    /// `PSYNC … FAILOVER`: our primary hands its role to us.
    fn take_over(&mut self, now: Now, id: &[u8], effects: &mut Vec<Effect>) -> Result<(), String> {
        effects.warning(format!("Failover request received for replid {}.", id.escape_ascii()));
        if self.link.is_none() {
            return Err("ERR PSYNC FAILOVER can't be sent to a master.".into());
        }
        if !id.eq_ignore_ascii_case(self.history.id().as_bytes()) {
            return Err("ERR PSYNC FAILOVER replid must match my replid.".into());
        }
        self.on_replicaof_no_one(now, effects);
        effects.notice("MASTER MODE enabled (failover request)");
        Ok(())
    }

    /// A blank line came on a replica's connection.
    pub fn on_replica_keepalive(&mut self, now: Now, replica: ReplicaId) {
        self.feeds.on_keepalive(now, replica);
    }

    /// A replica's connection closed, or is about to be closed for `reason`.
    pub fn on_replica_closed(&mut self, now: Now, replica: ReplicaId, reason: LostReason, effects: &mut Vec<Effect>) {
        self.feeds
            .on_closed(&mut feed_context!(self, now, effects), replica, reason);
    }

    /// Whether this connection has asked for data.
    #[must_use]
    pub fn is_replica(&self, replica: ReplicaId) -> bool {
        self.feeds.is_attached(replica)
    }

    /// How many replicas are connected.
    #[must_use]
    pub fn replica_count(&self) -> usize {
        self.feeds.count()
    }

    /// How many replicas `min-replicas-to-write` can count on.
    #[must_use]
    pub fn good_replicas(&self, now: Now) -> usize {
        self.feeds.good(now, &self.settings)
    }

    /// Where the stream must go on for a replica; `None` while it gets none. Read [`Stream::slices`] from there, send, and
    /// report it with [`Self::on_sent`].
    #[must_use]
    pub fn position(&self, replica: ReplicaId) -> Option<Offset> {
        self.feeds.position(&self.stream, replica)
    }

    /// So many bytes of the stream were handed to a replica's socket.
    pub fn on_sent(&mut self, replica: ReplicaId, bytes: u64) {
        self.feeds.on_sent(&mut self.stream, &self.settings, replica, bytes);
    }

    /// A replica was sent its payload to the last byte.
    pub fn on_transfer_sent(&mut self, now: Now, replica: ReplicaId, effects: &mut Vec<Effect>) {
        self.feeds
            .on_transfer_sent(&mut feed_context!(self, now, effects), replica);
    }

    /// A replica's payload could not be made or sent.
    pub fn on_transfer_failed(&mut self, now: Now, replica: ReplicaId, error: &str, effects: &mut Vec<Effect>) {
        self.feeds
            .on_transfer_failed(&mut feed_context!(self, now, effects), replica, error);
    }

    /// The dataset was given up or replaced by other data: replicas cannot follow that, and on a replica what is there now
    /// belongs to no history.
    pub fn on_dataset_replaced(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.feeds
            .close_all(&mut feed_context!(self, now, effects), &LostReason::HistoryReplaced);
        self.history.start_over(&mut self.rng);
        self.data_has_history = false;
        if self.stream.is_active() {
            self.stream.deactivate();
        }
    }

    /// Gives our history another name (DEBUG CHANGE-REPL-ID); replicas learn it when they ask again.
    pub fn change_id(&mut self) {
        self.history.start_over(&mut self.rng);
    }

    // ---- WAIT ----

    /// `WAIT <replicas> <timeout>` for everything up to `offset`. Gives the number at once if it is enough; otherwise the
    /// client blocks until [`Effect::WaitDone`]. A timeout of 0 is none.
    pub fn on_wait(
        &mut self,
        now: Now,
        waiter: WaiterId,
        offset: Offset,
        replicas: usize,
        timeout_ms: u64,
    ) -> Option<usize> {
        let acknowledged = self.feeds.acknowledged(offset);
        if acknowledged >= replicas {
            return Some(acknowledged);
        }
        let deadline_ms = (timeout_ms > 0).then(|| now.mono_ms().saturating_add(timeout_ms));
        self.waits.add(waiter, offset, replicas, deadline_ms);
        self.feeds.want_acks();
        None
    }

    /// A client in WAIT went or was unblocked.
    pub fn on_waiter_gone(&mut self, waiter: WaiterId) {
        self.waits.remove(waiter);
    }

    /// How many replicas have acknowledged `offset`.
    #[must_use]
    pub fn acknowledged(&self, offset: Offset) -> usize {
        self.feeds.acknowledged(offset)
    }

    fn on_acknowledged(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if !self.waits.is_empty() {
            let feeds = &self.feeds;
            self.waits.settle(|offset| feeds.acknowledged(offset), effects);
        }
        self.check_failover(now, effects);
    }

    // ---- roles ----

    /// `REPLICAOF <host> <port>`. The old stream stops at once; data, ids and replicas stay until the new primary answers.
    pub fn on_replicaof(&mut self, now: Now, host: &str, port: u16, effects: &mut Vec<Effect>) -> Retarget {
        if self.primary() == Some((host, port)) {
            return Retarget::Unchanged;
        }
        if self.failover != Failover::Idle {
            self.end_failover(effects);
        }
        self.follow(now, host, port, Purpose::Follow, effects);
        Retarget::Changed
    }

    fn follow(&mut self, now: Now, host: &str, port: u16, purpose: Purpose, effects: &mut Vec<Effect>) {
        match &mut self.link {
            Some(link) => link.cancel(effects),
            None => {
                effects.notice(
                    "Before turning into a replica, using my own master parameters to synthesize a cached master: I may \
                     be able to synchronize with the new master with just a partial transfer.",
                );
                self.data_has_history = true;
                self.waits = Waits::default();
                effects.push(Effect::BecameReplica);
            }
        }
        let mut link = Link::new(host, port, purpose);
        link.on_tick(&mut link_context!(self, now, effects));
        self.link = Some(link);
    }

    /// `REPLICAOF NO ONE`: we write a history of our own from here. Our replicas are closed so that they learn its id; they
    /// go on with a partial resynchronization. What of an unfinished MULTI had come is dropped.
    pub fn on_replicaof_no_one(&mut self, now: Now, effects: &mut Vec<Effect>) -> Retarget {
        let Some(mut link) = self.link.take() else {
            return Retarget::Unchanged;
        };
        link.cancel(effects);
        self.end_failover(effects);
        let (old, at) = (self.history.id(), self.stream.end());
        self.history.promote(at, &mut self.rng);
        self.stream.set_selected(None);
        self.feeds
            .close_all(&mut feed_context!(self, now, effects), &LostReason::HistoryRenamed);
        self.feeds.begin_counting_ttl(now);
        effects.warning(format!(
            "Setting secondary replication ID to {old}, valid up to offset: {}. New replication ID is {}",
            at.0 + 1,
            self.history.id()
        ));
        effects.push(Effect::BecamePrimary);
        Retarget::Changed
    }

    // ---- FAILOVER ----

    /// `FAILOVER …`: `Ok` is `+OK`.
    pub fn on_failover(&mut self, now: Now, args: Args<'_>, effects: &mut Vec<Effect>) -> Result<(), String> {
        let error = |text: &str| Err(format!("ERR {text}"));
        let (target, timeout_ms, at_deadline) = match (Request::parse(args)?, &self.failover) {
            (Request::Abort, Failover::Idle) => return error("No failover in progress."),
            (Request::Abort, _) => {
                self.abort_failover(now, "Failover manually aborted", effects);
                return Ok(());
            }
            (
                Request::Begin {
                    target,
                    timeout_ms,
                    at_deadline,
                },
                Failover::Idle,
            ) => (target, timeout_ms, at_deadline),
            (Request::Begin { .. }, _) => return error("FAILOVER already in progress."),
        };
        if self.link.is_some() {
            return error("FAILOVER is not valid when server is a replica.");
        }
        if self.feeds.count() == 0 {
            return error("FAILOVER requires connected replicas.");
        }
        if at_deadline == crate::failover::AtDeadline::Force && (timeout_ms.is_none() || target.is_none()) {
            return error("FAILOVER with force option requires both a timeout and target HOST and IP.");
        }
        if let Some(target) = &target {
            match self.feeds.is_online(&target.host, target.port) {
                None => return error("FAILOVER target HOST and PORT is not a replica."),
                Some(false) => return error("FAILOVER target replica is not online."),
                Some(true) => {}
            }
        }
        self.failover = Failover::begin(now, target, timeout_ms, at_deadline);
        effects.warning(format!("FAILOVER requested to {}.", self.failover.target_text()));
        effects.push(Effect::PauseWrites);
        self.feeds.want_acks();
        Ok(())
    }

    /// Goes on with a failover when its target has everything, or its time is up.
    fn check_failover(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Failover::WaitingForSync(waiting) = &self.failover else {
            return;
        };
        let named = waiting
            .target
            .as_ref()
            .map(|target| (target.host.as_str(), target.port));
        // The GETACK that the failover itself brings is not in the stream yet: equality now would be too early.
        if !self.feeds.acks_are_wanted()
            && let Some(peer) = self.feeds.caught_up(self.stream.end(), named)
        {
            let target = Target {
                host: peer.shown_ip().to_owned(),
                port: peer.listening_port,
            };
            effects.notice("Failover target is synced, failing over.");
            self.hand_over(now, target, effects);
            return;
        }
        match waiting.deadline(now) {
            Deadline::NotYet => {}
            Deadline::Abort => self.abort_failover(now, "Replica never caught up before timeout", effects),
            Deadline::Force(target) => {
                effects.notice(format!("Failover to {target} time out exceeded, failing over."));
                self.hand_over(now, target, effects);
            }
        }
    }

    fn hand_over(&mut self, now: Now, target: Target, effects: &mut Vec<Effect>) {
        self.follow(now, &target.host, target.port, Purpose::HandOver, effects);
        self.failover = Failover::InProgress(target);
    }

    fn abort_failover(&mut self, now: Now, why: &str, effects: &mut Vec<Effect>) {
        effects.notice(format!("FAILOVER to {} aborted: {why}", self.failover.target_text()));
        if matches!(self.failover, Failover::InProgress(_)) {
            self.on_replicaof_no_one(now, effects);
        }
        self.end_failover(effects);
    }

    fn end_failover(&mut self, effects: &mut Vec<Effect>) {
        if self.failover != Failover::Idle {
            self.failover = Failover::Idle;
            effects.push(Effect::ResumeWrites);
        }
    }

    // ---- link ----

    /// The connection to the primary is open.
    pub fn on_link_connected(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if let Some(link) = &mut self.link {
            link.on_connected(&mut link_context!(self, now, effects));
        }
    }

    /// The connection to the primary could not be opened: [`LinkDown::Refused`], [`LinkDown::ResolveFailed`] or
    /// [`LinkDown::Unreachable`].
    pub fn on_link_connect_failed(&mut self, now: Now, reason: LinkDown, effects: &mut Vec<Effect>) {
        if let Some(link) = &mut self.link {
            link.on_connect_failed(&mut link_context!(self, now, effects), reason);
        }
    }

    /// The connection to the primary is gone.
    pub fn on_link_closed(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if let Some(link) = &mut self.link {
            link.on_closed(&mut link_context!(self, now, effects));
        }
    }

    /// Bytes from the primary. Afterwards apply what [`Self::next_command`] gives.
    pub fn on_link_bytes(&mut self, now: Now, bytes: &[u8], effects: &mut Vec<Effect>) {
        let mut rest = bytes;
        while !rest.is_empty()
            && let Some(link) = &mut self.link
        {
            if let Some(notice) = link.on_bytes(&mut link_context!(self, now, effects), &mut rest) {
                self.on_notice(now, notice, effects);
            }
        }
    }

    /// Whether to read from the primary's connection.
    #[must_use]
    pub fn link_wants_input(&self) -> bool {
        self.link.as_ref().is_some_and(Link::wants_input)
    }

    /// The load has failed, and the connection to the primary is closed: [`LinkDown::LoadingFailed`],
    /// [`LinkDown::ClosedByPrimary`] or [`LinkDown::Timeout`].
    pub fn on_load_failed(&mut self, now: Now, reason: LinkDown, effects: &mut Vec<Effect>) {
        if let Some(link) = &mut self.link {
            link.on_load_failed(&mut link_context!(self, now, effects), reason);
        }
    }

    /// Whether a load that ended well is still wanted. If so put its dataset in place and call [`Self::on_loaded`].
    #[must_use]
    pub fn wants_load(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.loaded_at().is_some())
    }

    /// The primary's dataset is in place. `stream_db` is its `repl-stream-db`, and `rest` what was read of the stream.
    pub fn on_loaded(&mut self, now: Now, stream_db: DbIndex, rest: &[u8], effects: &mut Vec<Effect>) {
        let Some(offer) = self.link.as_ref().and_then(Link::loaded_at) else {
            return;
        };
        self.feeds
            .close_all(&mut feed_context!(self, now, effects), &LostReason::HistoryReplaced);
        match offer {
            Some((id, offset)) => {
                self.history.adopt(id);
                self.stream.restart_at(offset);
            }
            // An old primary: what it sends is a history that only we know.
            None => {
                self.history.start_over(&mut self.rng);
                self.stream.restart_at(self.stream.end());
            }
        }
        self.stream.set_selected(Some(stream_db));
        self.data_has_history = true;
        let applied = self.stream.end();
        if let Some(link) = &mut self.link {
            link.after_load(now, stream_db, applied, rest, effects);
        }
    }

    fn on_notice(&mut self, now: Now, notice: Notice, effects: &mut Vec<Effect>) {
        match notice {
            Notice::FullResync => self.confirm_failover(effects),
            Notice::Continued { id } => {
                self.confirm_failover(effects);
                self.stream.activate();
                let applied = self.stream.end();
                if let Some(id) = id {
                    self.history.continue_as(id, applied);
                    self.feeds
                        .close_all(&mut feed_context!(self, now, effects), &LostReason::HistoryRenamed);
                }
                let db = self.stream.selected().unwrap_or_default();
                if let Some(link) = &mut self.link {
                    link.begin_streaming(now, db, applied, true, effects);
                }
            }
            Notice::HandOverRefused => {
                self.abort_failover(now, "Failover target rejected psync request", effects);
            }
        }
    }

    fn confirm_failover(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.failover, Failover::InProgress(_)) {
            self.end_failover(effects);
            if let Some(link) = &mut self.link {
                link.become_follower();
            }
        }
    }

    // ---- time ----

    /// Time passes. Call at least every [`TICK_MS`]. `dataset_bytes` is what a replica may hold while it synchronizes, if the
    /// operator has not said.
    pub fn on_tick(&mut self, now: Now, dataset_bytes: u64, effects: &mut Vec<Effect>) {
        if let Some(link) = &mut self.link {
            link.on_tick(&mut link_context!(self, now, effects));
        }
        // While FAILOVER waits for equal offsets nothing of ours may move them.
        let pings = if self.failover == Failover::Idle {
            Pings::Due
        } else {
            Pings::Withheld
        };
        self.feeds
            .on_tick(&mut feed_context!(self, now, effects), dataset_bytes, pings);
        let feeds = &self.feeds;
        self.waits.expire(now, |offset| feeds.acknowledged(offset), effects);
        self.check_failover(now, effects);
    }

    // ---- view ----

    /// Everything to show.
    #[must_use]
    pub fn view(&self, now: Now) -> ReplicationView {
        let stream = &self.stream;
        let stream_db = stream.selected().unwrap_or_default();
        let kept = stream.kept();
        ReplicationView {
            link: self.link.as_ref().map(|link| link.view(now, stream.end(), stream_db)),
            replicas: self.feeds.views(now, stream),
            lost: self.feeds.lost().cloned().collect(),
            good_replicas: self.feeds.good(now, &self.settings),
            failover_state: self.failover.name(),
            id: self.history.id(),
            second_id: self.history.second().map_or(ReplId::NONE, |second| second.id),
            offset: stream.end(),
            second_offset: self.history.second_offset_number(),
            backlog: BacklogView {
                active: kept.is_some(),
                size_bytes: stream.backlog_bytes(),
                first_byte: kept.map_or(0, |kept| kept.start.0 + 1),
                history_bytes: kept.map_or(0, |kept| kept.end.since(kept.start)),
                memory_bytes: stream.backlog_memory_bytes(),
            },
            stream_memory_bytes: stream.memory_bytes(),
        }
    }

    /// Our replicas as INFO shows them.
    #[must_use]
    pub fn replicas(&self, now: Now) -> Vec<ReplicaView> {
        self.feeds.views(now, &self.stream)
    }

    /// What a replica told of itself.
    #[must_use]
    pub fn peer(&self, replica: ReplicaId) -> Option<&Peer> {
        self.feeds.peer_of(replica)
    }
}
