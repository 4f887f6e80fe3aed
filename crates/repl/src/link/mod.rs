//! The replica's side: the link to the primary.
//!
//! ```text
//!            ┌───────────────────────── any failure ──────────────────────────┐
//!            ▼                                                                │
//!         Pausing ──▶ Connecting ──▶ Greeting ──▶ Asking ──▶ AwaitingPayload ─┤
//!        (at once,      resolve,      PING,        PSYNC,      $EOF: or $<n>  │
//!       then every      connect       AUTH,        SYNC            │          │
//!        second)                      REPLCONF       │             │          │
//!                                          +CONTINUE │             ▼          │
//!                                                    │          Loading ──────┤
//!                                                    ▼             │ whole    │
//!                                                Streaming ◀───────┘          │
//!                                                    └────────────────────────┘
//! ```
//!
//! What the link learns about histories it reports as a [`Notice`]; it never changes ids, data or replicas itself. Until
//! the new primary's answer is there, everything stays as it was; a link that loads keeps the old data until the new
//! is whole.

pub(crate) mod down;
mod reader;
mod retry;
mod view;
mod wire;

use std::collections::VecDeque;

use base::{DbIndex, Now, Offset, ReplId, Rng};
use resp::Args;

pub use down::{LinkDown, Phase};
use reader::{Front, Meaning, Reader};
use retry::Retry;
use wire::{parse_full_resync, parse_payload_header, refusal, send, send_ack, take_line};

use crate::effect::{Effect, Effects, Form, Level, Load};
use crate::settings::Settings;

/// How often the primary gets our offset.
const ACK_PERIOD_MS: u64 = 1000;
/// The longest line that a primary may send outside of the stream.
const LINE_BYTES_MAX: usize = 4096;

/// Why there is a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// We are its replica.
    Follow,
    /// FAILOVER: we hand our role to it, and it must confirm.
    HandOver,
}

/// What the link learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The primary will send a whole dataset.
    FullResync,
    /// The primary goes on where we are, under this id if it named one.
    Continued { id: Option<ReplId> },
    /// The primary refused to take over (only with [`Purpose::HandOver`]).
    HandOverRefused,
}

/// What the link works with.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) settings: &'a Settings,
    /// The history that our data belongs to and how far we have it; `None`: the data is nobody's.
    pub(crate) resume: Option<(ReplId, Offset)>,
    pub(crate) rng: &'a mut Rng,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Context<'_> {
    fn now_ms(&self) -> u64 {
        self.now.mono_ms()
    }
}

/// The version of Valkey whose snapshots we read: a primary may send us hashes with expiring fields.
const VERSION_READ: &[u8] = b"9.0.0";

/// A reply that the handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Pong,
    Auth,
    ListeningPort,
    IpAddress,
    Capabilities,
    Version,
}

#[derive(Debug)]
struct Pausing {
    until_ms: u64,
}

#[derive(Debug)]
struct Connecting {
    since_ms: u64,
}

#[derive(Debug)]
struct Greeting {
    /// In the order in which the replies come.
    expected: VecDeque<Expected>,
    heard_ms: u64,
}

#[derive(Debug)]
struct Asking {
    heard_ms: u64,
}

/// Where the stream after a payload begins; `None` after SYNC.
type Offer = Option<(ReplId, Offset)>;

#[derive(Debug)]
struct AwaitingPayload {
    offer: Offer,
    heard_ms: u64,
}

/// The connection is the loader's; it answers for timeouts too.
#[derive(Debug)]
struct Loading {
    offer: Offer,
    form: Form,
}

#[derive(Debug)]
struct Streaming {
    reader: Reader,
    /// The end of the last complete unit: what we acknowledge.
    applied: Offset,
    /// Where the unit under way has taken the stream.
    db: DbIndex,
    /// Where the last complete unit has left it.
    unit_db: DbIndex,
    heard_ms: u64,
    /// When the last acknowledgement went out; `None`: the primary understands none.
    acked_ms: Option<u64>,
}

#[derive(Debug)]
enum State {
    Pausing(Pausing),
    Connecting(Connecting),
    Greeting(Greeting),
    Asking(Asking),
    AwaitingPayload(AwaitingPayload),
    Loading(Loading),
    Streaming(Box<Streaming>),
}

/// A command of the primary's stream, to be applied.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its words.
    pub args: Args<'a>,
    /// It is the last of its unit: EXEC, or a command outside of MULTI.
    pub completes: bool,
}

/// What a command's failure means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyFailure {
    /// The engine does not know the command.
    Unknown,
    /// The command was refused or failed, and nothing of it was applied.
    Failed(String),
    /// The transaction failed in its middle.
    Partly(String),
}

impl ApplyFailure {
    pub(crate) fn is_partial(&self) -> bool {
        matches!(self, Self::Partly(_))
    }
}

/// The link to one primary; see the module.
#[derive(Debug)]
pub(crate) struct Link {
    host: String,
    port: u16,
    purpose: Purpose,
    state: State,
    /// The line being read, in the states that read lines.
    line: Vec<u8>,
    retry: Retry,
    /// Why the link is down and since when.
    down: Option<(LinkDown, Now)>,
    /// Since when it is not up; `None`: it never was.
    last_up: Option<Now>,
}

impl Link {
    /// A link that connects at the next tick.
    pub(crate) fn new(host: &str, port: u16, purpose: Purpose) -> Self {
        Self {
            host: host.to_owned(),
            port,
            purpose,
            state: State::Pausing(Pausing { until_ms: 0 }),
            line: Vec::new(),
            retry: Retry::default(),
            down: None,
            last_up: None,
        }
    }

    pub(crate) fn target(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// From now on an ordinary replica's link: the other side has taken over.
    pub(crate) fn become_follower(&mut self) {
        self.purpose = Purpose::Follow;
    }

    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// Whether to read from the primary's connection. While a payload is loaded what follows it stays in the network.
    pub(crate) fn wants_input(&self) -> bool {
        !matches!(self.state, State::Loading(_))
    }

    // ---- connecting ----

    fn connect(&mut self, cx: &mut Context<'_>) {
        if !self.retry.is_repeating() {
            cx.effects
                .notice(format!("Connecting to MASTER {}:{}", self.host, self.port));
        }
        self.line.clear();
        self.state = State::Connecting(Connecting { since_ms: cx.now_ms() });
        cx.effects.push(Effect::Connect {
            host: self.host.clone(),
            port: self.port,
        });
    }

    /// The connection is open.
    pub(crate) fn on_connected(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.state, State::Connecting(_)) {
            return;
        }
        if !self.retry.is_repeating() {
            cx.effects.notice("MASTER <-> REPLICA sync started");
        }
        send(cx.effects, &[b"PING"]);
        self.state = State::Greeting(Greeting {
            expected: [Expected::Pong].into(),
            heard_ms: cx.now_ms(),
        });
    }

    /// The connection could not be opened.
    pub(crate) fn on_connect_failed(&mut self, cx: &mut Context<'_>, reason: LinkDown) {
        if matches!(self.state, State::Connecting(_)) {
            self.pause(cx, reason);
        }
    }

    /// The connection is gone.
    pub(crate) fn on_closed(&mut self, cx: &mut Context<'_>) {
        let reason = match &self.state {
            State::Pausing(_) => return,
            State::Connecting(_) => LinkDown::Refused,
            State::Greeting(_) | State::Asking(_) => LinkDown::ClosedByPrimary(Phase::Handshake),
            State::AwaitingPayload(_) | State::Loading(_) => LinkDown::ClosedByPrimary(Phase::Transfer),
            State::Streaming(_) => LinkDown::ClosedByPrimary(Phase::Streaming),
        };
        self.pause(cx, reason);
    }

    /// Ends what is under way; the link itself is about to be dropped.
    pub(crate) fn cancel(&mut self, effects: &mut Vec<Effect>) {
        match self.state {
            State::Pausing(_) => return,
            State::Loading(_) => effects.push(Effect::CancelLoad),
            _ => {}
        }
        effects.push(Effect::CloseLink);
    }

    /// We close the connection because of what we found.
    fn fail(&mut self, cx: &mut Context<'_>, reason: LinkDown) {
        cx.effects.push(Effect::CloseLink);
        self.pause(cx, reason);
    }

    /// The connection is closed; the next attempt comes in a while.
    fn pause(&mut self, cx: &mut Context<'_>, reason: LinkDown) {
        match self.state {
            State::Loading(_) => cx.effects.push(Effect::CancelLoad),
            State::Streaming(_) => self.last_up = Some(cx.now),
            _ => {}
        }
        let wait_ms = self.retry.after(&reason, cx.rng);
        let (known, since) = match self.down.take() {
            Some((known, since)) => (known == reason, since),
            None => (false, cx.now),
        };
        if !known {
            cx.effects.log(Level::Warning, reason.log_text());
        }
        self.down = Some((reason, since));
        self.line.clear();
        self.state = State::Pausing(Pausing {
            until_ms: cx.now_ms() + wait_ms,
        });
        if wait_ms == 0 {
            self.connect(cx);
        }
    }

    /// Time passes.
    pub(crate) fn on_tick(&mut self, cx: &mut Context<'_>) {
        let now_ms = cx.now_ms();
        let silent_since_ms = now_ms.saturating_sub(cx.settings.timeout_seconds * 1000);
        let (heard_ms, phase) = match &self.state {
            State::Pausing(pausing) => {
                if now_ms >= pausing.until_ms {
                    self.connect(cx);
                }
                return;
            }
            State::Loading(_) => return,
            State::Connecting(connecting) => (connecting.since_ms, Phase::Connecting),
            State::Greeting(greeting) => (greeting.heard_ms, Phase::Handshake),
            State::Asking(asking) => (asking.heard_ms, Phase::Handshake),
            State::AwaitingPayload(awaiting) => (awaiting.heard_ms, Phase::Transfer),
            State::Streaming(streaming) => (streaming.heard_ms, Phase::Streaming),
        };
        if heard_ms < silent_since_ms {
            self.fail(cx, LinkDown::Timeout(phase));
            return;
        }
        if let State::Streaming(streaming) = &mut self.state
            && streaming
                .acked_ms
                .is_some_and(|acked_ms| now_ms >= acked_ms + ACK_PERIOD_MS)
        {
            streaming.acknowledge(cx.now, cx.effects);
        }
    }

    // ---- bytes ----

    /// Takes bytes from the primary, in any portion, until they are all taken or there is something to report first.
    pub(crate) fn on_bytes(&mut self, cx: &mut Context<'_>, rest: &mut &[u8]) -> Option<Notice> {
        let now_ms = cx.now_ms();
        while !rest.is_empty() {
            match &mut self.state {
                // The connection was closed, or given to the loader, while these were on their way.
                State::Pausing(_) | State::Connecting(_) | State::Loading(_) => *rest = &[],
                State::Greeting(_) | State::Asking(_) | State::AwaitingPayload(_) => {
                    self.hear(now_ms);
                    if let Some(line) = take_line(&mut self.line, rest) {
                        let notice = self.on_line(cx, &line, rest);
                        if notice.is_some() {
                            return notice;
                        }
                    } else if self.line.len() > LINE_BYTES_MAX {
                        let detail = "a line without end where a short reply was expected".into();
                        self.fail(cx, LinkDown::ProtocolError { detail });
                    }
                }
                State::Streaming(streaming) => {
                    streaming.heard_ms = now_ms;
                    streaming.reader.push(rest);
                    *rest = &[];
                }
            }
        }
        None
    }

    /// The buffer of the stream, to be read into, with room for so many bytes; `None` unless the stream flows. Tell of
    /// what came with [`Self::on_read`].
    pub(crate) fn room(&mut self, bytes: usize) -> Option<&mut Vec<u8>> {
        match &mut self.state {
            State::Streaming(streaming) => Some(streaming.reader.room(bytes)),
            _ => None,
        }
    }

    /// Bytes were read into [`Self::room`].
    pub(crate) fn on_read(&mut self, now: Now) {
        if let State::Streaming(streaming) = &mut self.state {
            streaming.heard_ms = now.mono_ms();
        }
    }

    fn hear(&mut self, now_ms: u64) {
        match &mut self.state {
            State::Greeting(greeting) => greeting.heard_ms = now_ms,
            State::Asking(asking) => asking.heard_ms = now_ms,
            State::AwaitingPayload(awaiting) => awaiting.heard_ms = now_ms,
            _ => {}
        }
    }

    fn on_line(&mut self, cx: &mut Context<'_>, line: &str, rest: &mut &[u8]) -> Option<Notice> {
        match &mut self.state {
            State::Greeting(greeting) => {
                let expected = greeting
                    .expected
                    .pop_front()
                    .expect("Greeting ends with its last expected reply");
                self.on_greeting(cx, expected, line);
                None
            }
            // A newline means: still preparing.
            State::Asking(_) | State::AwaitingPayload(_) if line.is_empty() => None,
            State::Asking(_) => self.on_answer(cx, line),
            State::AwaitingPayload(awaiting) => {
                let offer = awaiting.offer;
                self.on_payload_header(cx, offer, line, rest);
                None
            }
            _ => None,
        }
    }

    // ---- handshake ----

    fn on_greeting(&mut self, cx: &mut Context<'_>, expected: Expected, line: &str) {
        let refused = |option| format!("(Non critical) Master does not understand REPLCONF {option}: {line}");
        match expected {
            Expected::Pong => {
                // "Not without a password" is an answer too: the password comes next.
                let welcome = ["+", "-NOAUTH", "-NOPERM", "-ERR operation not permitted"];
                if !welcome.iter().any(|welcome| line.starts_with(welcome)) {
                    self.fail(cx, refusal(line));
                    return;
                }
                if !self.retry.is_repeating() {
                    cx.effects.notice("Master replied to PING, replication can continue...");
                }
                self.introduce(cx);
                return;
            }
            Expected::Auth if line.starts_with('-') => {
                let reply = line.to_owned();
                self.fail(cx, LinkDown::WrongPassword { reply });
                return;
            }
            Expected::ListeningPort if line.starts_with('-') => cx.effects.notice(refused("listening-port")),
            Expected::IpAddress if line.starts_with('-') => cx.effects.notice(refused("ip-address")),
            Expected::Capabilities if line.starts_with('-') => cx.effects.notice(refused("capa")),
            _ => {}
        }
        if matches!(&self.state, State::Greeting(greeting) if greeting.expected.is_empty()) {
            self.ask(cx);
        }
    }

    /// Sends everything about us at once, and then waits for all replies.
    fn introduce(&mut self, cx: &mut Context<'_>) {
        let settings = cx.settings;
        let mut expected = VecDeque::new();
        if let Some(password) = &settings.primary_password {
            match &settings.primary_user {
                Some(user) => send(cx.effects, &[b"AUTH", user, password]),
                None => send(cx.effects, &[b"AUTH", password]),
            }
            expected.push_back(Expected::Auth);
        }
        let port = if settings.announce_port == 0 {
            settings.port
        } else {
            settings.announce_port
        };
        send(
            cx.effects,
            &[b"REPLCONF", b"listening-port", port.to_string().as_bytes()],
        );
        expected.push_back(Expected::ListeningPort);
        if let Some(ip) = &settings.announce_ip {
            send(cx.effects, &[b"REPLCONF", b"ip-address", ip.as_bytes()]);
            expected.push_back(Expected::IpAddress);
        }
        send(cx.effects, &[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]);
        expected.push_back(Expected::Capabilities);
        // Stock servers before Valkey 8 answer with an error, which says nothing that they did not say before.
        send(cx.effects, &[b"REPLCONF", b"version", VERSION_READ]);
        expected.push_back(Expected::Version);
        self.state = State::Greeting(Greeting {
            expected,
            heard_ms: cx.now_ms(),
        });
    }

    fn ask(&mut self, cx: &mut Context<'_>) {
        let (id, next) = match cx.resume {
            Some((id, have)) => (id.to_string(), (have.0 + 1).to_string()),
            None => ("?".to_owned(), "-1".to_owned()),
        };
        if !self.retry.is_repeating() {
            cx.effects.notice(match cx.resume {
                Some(_) => format!("Trying a partial resynchronization (request {id}:{next})."),
                None => "Partial resynchronization not possible (no cached master)".to_owned(),
            });
        }
        match self.purpose {
            Purpose::Follow => send(cx.effects, &[b"PSYNC", id.as_bytes(), next.as_bytes()]),
            Purpose::HandOver => send(cx.effects, &[b"PSYNC", id.as_bytes(), next.as_bytes(), b"FAILOVER"]),
        }
        self.state = State::Asking(Asking { heard_ms: cx.now_ms() });
    }

    /// The answer to PSYNC.
    fn on_answer(&mut self, cx: &mut Context<'_>, line: &str) -> Option<Notice> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "+FULLRESYNC" => {
                let Some((id, offset)) = parse_full_resync(rest) else {
                    let detail = format!("wrong +FULLRESYNC syntax: {line}");
                    self.fail(cx, LinkDown::ProtocolError { detail });
                    return None;
                };
                cx.effects.notice(format!("Full resync from master: {id}:{offset}"));
                self.await_payload(cx, Some((id, offset)));
                Some(Notice::FullResync)
            }
            "+CONTINUE" => self.on_continue(cx, line, rest.trim()),
            _ if self.purpose == Purpose::HandOver => {
                cx.effects.notice(format!("Failover target refused PSYNC: {line}"));
                Some(Notice::HandOverRefused)
            }
            "-NOMASTERLINK" | "-LOADING" | "-NOAUTH" | "-NOPERM" | "-WRONGPASS" | "-BUSY" | "-MASTERDOWN" => {
                self.fail(cx, refusal(line));
                None
            }
            _ => {
                cx.effects.notice(if line.starts_with('-') {
                    format!("Master does not support PSYNC or is in error state (reply: {line})")
                } else {
                    format!("Unexpected reply to PSYNC from master: {line}")
                });
                cx.effects.notice("Retrying with SYNC...");
                cx.effects.push(Effect::ToPrimary {
                    bytes: b"SYNC\r\n".to_vec(),
                });
                self.await_payload(cx, None);
                None
            }
        }
    }

    fn on_continue(&mut self, cx: &mut Context<'_>, line: &str, id: &str) -> Option<Notice> {
        let parsed = ReplId::parse(id.as_bytes());
        let Some((ours, _)) = cx.resume.filter(|_| id.is_empty() || parsed.is_some()) else {
            let detail = format!("unexpected {line}");
            self.fail(cx, LinkDown::ProtocolError { detail });
            return None;
        };
        cx.effects.notice("Successful partial resynchronization with master.");
        let id = parsed.filter(|id| *id != ours);
        if let Some(id) = id {
            cx.effects.warning(format!("Master replication ID changed to {id}"));
        }
        cx.effects
            .notice("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
        Some(Notice::Continued { id })
    }

    /// Begins to apply the stream; the histories are settled. Acknowledges at once.
    pub(crate) fn begin_streaming(
        &mut self,
        now: Now,
        db: DbIndex,
        applied: Offset,
        offered: bool,
        effects: &mut Vec<Effect>,
    ) {
        let acked_ms = offered.then_some(now.mono_ms());
        self.state = State::Streaming(Box::new(Streaming {
            reader: Reader::default(),
            applied,
            db,
            unit_db: db,
            heard_ms: now.mono_ms(),
            acked_ms,
        }));
        self.line.clear();
        self.down = None;
        self.last_up = Some(now);
        effects.push(Effect::StreamBegins { db });
        if offered {
            send_ack(effects, applied);
        }
    }

    // ---- transfer ----

    fn await_payload(&mut self, cx: &mut Context<'_>, offer: Offer) {
        self.state = State::AwaitingPayload(AwaitingPayload {
            offer,
            heard_ms: cx.now_ms(),
        });
    }

    fn on_payload_header(&mut self, cx: &mut Context<'_>, offer: Offer, line: &str, rest: &mut &[u8]) {
        if line.starts_with('-') {
            self.fail(cx, LinkDown::SyncRefused { reply: line.to_owned() });
            return;
        }
        let Some(form) = parse_payload_header(line) else {
            let detail = format!("a payload was expected and '{line}' received: are host and port right?");
            self.fail(cx, LinkDown::ProtocolError { detail });
            return;
        };
        cx.effects.notice(match form {
            Form::Marked { .. } => {
                "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to parser".to_owned()
            }
            Form::Sized { bytes } => {
                format!("MASTER <-> REPLICA sync: receiving {bytes} bytes from master to parser")
            }
        });
        let same_history = matches!((offer, cx.resume), (Some((theirs, _)), Some((ours, _))) if theirs == ours);
        let already = std::mem::take(rest).to_vec();
        cx.effects.push(Effect::StartLoad(Load {
            form,
            already,
            same_history,
        }));
        self.state = State::Loading(Loading { offer, form });
    }

    /// The load has failed or was cancelled; the connection is closed, and the old data is as it was.
    pub(crate) fn on_load_failed(&mut self, cx: &mut Context<'_>, reason: LinkDown) {
        if let State::Loading(loading) = &self.state {
            // Nothing is left to be cancelled.
            self.state = State::AwaitingPayload(AwaitingPayload {
                offer: loading.offer,
                heard_ms: cx.now_ms(),
            });
            self.fail(cx, reason);
        }
    }

    /// The new dataset is whole: where its stream goes on. `None`: no load was wanted any more.
    pub(crate) fn loaded_at(&self) -> Option<Offer> {
        match &self.state {
            State::Loading(loading) => Some(loading.offer),
            _ => None,
        }
    }

    /// The new dataset and its history are in place: goes on with the stream, of which `rest` has been read.
    pub(crate) fn after_load(
        &mut self,
        now: Now,
        db: DbIndex,
        applied: Offset,
        rest: &[u8],
        effects: &mut Vec<Effect>,
    ) {
        let State::Loading(loading) = &self.state else { return };
        let offered = loading.offer.is_some();
        effects.notice("MASTER <-> REPLICA sync: Finished with success");
        self.begin_streaming(now, db, applied, offered, effects);
        if let State::Streaming(streaming) = &mut self.state {
            streaming.reader.push(rest);
        }
    }

    // ---- streaming ----

    /// Moves to the next command for the engine, if one is there. Blank lines and GETACK are dealt with on the way.
    pub(crate) fn find_command(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let State::Streaming(streaming) = &mut self.state else {
                return false;
            };
            match streaming.reader.front() {
                Front::Command(Meaning::GetAck) => {
                    streaming.pass();
                    streaming.acknowledge(cx.now, cx.effects);
                }
                Front::Command(_) => return true,
                Front::Blank => {
                    streaming.pass();
                }
                Front::Incomplete => return false,
                Front::Error(error) => {
                    let detail = format!("in the stream: {error}");
                    self.fail(cx, LinkDown::ProtocolError { detail });
                    return false;
                }
            }
        }
    }

    /// See [`crate::Replication::upcoming`].
    pub(crate) fn upcoming(&mut self, each: impl FnMut(Args<'_>)) {
        if let State::Streaming(streaming) = &mut self.state {
            streaming.reader.upcoming(each);
        }
    }

    /// The command that [`Self::find_command`] moved to.
    pub(crate) fn command(&self) -> Option<Incoming<'_>> {
        let State::Streaming(streaming) = &self.state else {
            return None;
        };
        Some(Incoming {
            args: streaming.reader.args(),
            completes: streaming.reader.completes(),
        })
    }

    /// The command has been applied, or queued in its transaction. True if all that was looked at has been.
    pub(crate) fn on_applied(&mut self) -> bool {
        let State::Streaming(streaming) = &mut self.state else {
            return true;
        };
        if streaming.pass() {
            self.retry.reset();
        }
        streaming.reader.has_passed_all()
    }

    /// Units that became whole since the last call, and the database in which they leave the stream.
    pub(crate) fn take_passed(&mut self) -> Option<(&[u8], DbIndex)> {
        match &mut self.state {
            State::Streaming(streaming) => Some((streaming.reader.take_passed(), streaming.unit_db)),
            _ => None,
        }
    }

    /// The command was not applied: the link stops before it, and so does our history.
    pub(crate) fn on_apply_failed(&mut self, cx: &mut Context<'_>, failure: ApplyFailure) {
        let State::Streaming(streaming) = &self.state else {
            return;
        };
        let offset = streaming.applied.plus(streaming.reader.front_start());
        let command = streaming.reader.args().get(0).escape_ascii().to_string();
        let reason = match failure {
            ApplyFailure::Unknown => LinkDown::UnknownCommand { command, offset },
            ApplyFailure::Failed(error) | ApplyFailure::Partly(error) => {
                LinkDown::ApplyFailed { command, error, offset }
            }
        };
        self.fail(cx, reason);
    }

    /// Acknowledges now, if the stream is up.
    pub(crate) fn acknowledge(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if let State::Streaming(streaming) = &mut self.state {
            streaming.acknowledge(now, effects);
        }
    }
}

impl Streaming {
    /// Passes what is at the front. True if that completes a unit.
    fn pass(&mut self) -> bool {
        let (unit, meaning) = self.reader.pass();
        if let Meaning::Select(db) = meaning {
            self.db = db;
        }
        let Some(length) = unit else { return false };
        self.applied = self.applied.plus(length as u64);
        self.unit_db = self.db;
        true
    }

    fn acknowledge(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.acked_ms.is_some() {
            self.acked_ms = Some(now.mono_ms());
            send_ack(effects, self.applied);
        }
    }
}
