//! Intake: from the bytes of sessions to executed requests.
//!
//! ```text
//!   inputs    a: GET GET … GET ▏GET GET          b: SET SET        c: PING ▏GET
//!                └── wave 1 ──┘ └───── wave 2 ─────────┴──────────────┘    └─ wave 3
//!
//!   of each wave      parse all ─► ask memory for what all will look up ─► execute one after the other
//! ```
//!
//! Requests are parsed some at a time, of several sessions if need be, so that their cache misses pass side by side.
//! Sessions are served in the order of their inputs, and what they see is as if each request had been parsed when its turn
//! came: a wave ends behind a request that may change how those after it are to be read or taken (AUTH, CONFIG SET, PSYNC),
//! and what was parsed of a session that then takes no more is parsed again when its time comes.

use crate::node::Node;
use engine::session::Kind;
use engine::table::Lookup;
use engine::{Flow, Noted, SessionId};
use resp::{Argv, Limits, Parsed, Parser};
use std::ops::Range;

/// What a session has sent and the node has not consumed.
#[derive(Clone, Copy, Default)]
pub struct Input<'a> {
    /// Whose it is.
    pub id: SessionId,
    /// All of it.
    pub buffer: &'a [u8],
    /// How much of it is consumed now. Less than all when a request is incomplete, or the session is blocked or to be
    /// closed.
    pub consumed: usize,
}

/// How far an input has come.
#[derive(Default)]
struct Progress {
    stage: Stage,
    parser: Parser,
    /// How much of it is parsed.
    parsed: usize,
    /// How much of it is executed.
    executed: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing of it has been looked at.
    #[default]
    New,
    /// It is being parsed and executed.
    Open,
    /// Nothing more is taken of it.
    Over,
}

impl Progress {
    /// Nothing more is taken, and of what there is the first `executed` bytes were.
    fn stop(&mut self, executed: usize) {
        self.executed = executed;
        self.parser = Parser::new();
        self.stage = Stage::Over;
    }
}

/// The memory of inputs under way, to be used again.
#[derive(Default)]
pub(crate) struct Intake {
    progress: Vec<Progress>,
    wave: Wave,
}

impl Intake {
    /// Gives room back that large requests needed. To be called now and then, between inputs.
    pub(crate) fn rest(&mut self) {
        for request in &mut self.wave.room {
            request.argv.rest();
        }
    }
}

/// Requests that are parsed before the first of them runs.
#[derive(Default)]
struct Wave {
    /// Room for so many as there ever were.
    room: Vec<Request>,
    count: usize,
    runs: Vec<Run>,
}

/// Requests of one input that follow each other.
struct Run {
    input: usize,
    requests: Range<usize>,
    /// Behind them there is nothing more of this input for now.
    last: bool,
}

struct Request {
    argv: Argv,
    /// What the parser said of it.
    parsed: Parsed,
    lookup: Lookup,
    /// What is known of it until it runs.
    noted: Option<Noted>,
    /// Where it begins.
    at: usize,
}

/// Why parsing stopped.
#[derive(PartialEq, Eq)]
enum Pause {
    /// The wave is full.
    Full,
    /// There is no whole request any more.
    NoMore,
    /// What is behind the last request may mean something else once that has run.
    Closed,
}

impl Wave {
    /// As many as a processor has cache misses under way.
    const REQUESTS: usize = 16;

    fn clear(&mut self) {
        self.count = 0;
        self.runs.clear();
    }

    /// The next request, to be filled in.
    #[inline]
    fn next(&mut self) -> &mut Request {
        if self.count == self.room.len() {
            self.room.push(Request {
                argv: Argv::new(),
                parsed: Parsed::Incomplete,
                lookup: Lookup::Unknown,
                noted: None,
                at: 0,
            });
        }
        self.count += 1;
        &mut self.room[self.count - 1]
    }
}

impl Node {
    /// Executes what a session has sent; how much of it is consumed, see [`Input::consumed`].
    pub fn input(&mut self, id: SessionId, buffer: &[u8]) -> usize {
        let mut input = Input {
            id,
            buffer,
            consumed: 0,
        };
        self.inputs(std::slice::from_mut(&mut input));
        input.consumed
    }

    /// Executes what several sessions have sent, one after the other. None may be among them twice.
    pub fn inputs(&mut self, inputs: &mut [Input<'_>]) {
        let Intake { mut progress, mut wave } = std::mem::take(&mut self.intake);
        progress.clear();
        progress.resize_with(inputs.len(), Progress::default);
        let mut next = 0;
        loop {
            self.prepare(inputs, &mut progress, &mut next, &mut wave);
            if wave.runs.is_empty() {
                break;
            }
            self.engine.fetch_ahead();
            self.execute_wave(inputs, &mut progress, &wave);
        }
        self.intake = Intake { progress, wave };
    }

    /// Parses the next requests, beginning with the input `next`, and notes what they will look up.
    fn prepare(&mut self, inputs: &[Input<'_>], progress: &mut [Progress], next: &mut usize, wave: &mut Wave) {
        wave.clear();
        while wave.count < Wave::REQUESTS
            && let Some(input) = inputs.get(*next)
        {
            let progress = &mut progress[*next];
            match progress.stage {
                Stage::New if input.buffer.is_empty() => progress.stage = Stage::Over,
                Stage::New => self.begin(input, progress),
                Stage::Open | Stage::Over => {}
            }
            if progress.stage == Stage::Over {
                *next += 1;
                continue;
            }
            let first = wave.count;
            let pause = self.parse(input, progress, wave);
            let last = pause == Pause::NoMore || progress.parsed == input.buffer.len();
            wave.runs.push(Run {
                input: *next,
                requests: first..wave.count,
                last,
            });
            *next += usize::from(last);
            if pause == Pause::Closed {
                return;
            }
        }
    }

    fn begin(&mut self, input: &Input<'_>, progress: &mut Progress) {
        progress.stage = Stage::Open;
        if let Some(session) = self.engine.sessions.get_mut(input.id) {
            session.query_bytes = input.buffer.len();
            session.argument_bytes = 0;
            progress.parser = std::mem::take(&mut session.parser);
            self.engine.data.stats.reads_processed += 1;
        }
    }

    /// Parses requests of an input until the wave is full.
    fn parse(&mut self, input: &Input<'_>, progress: &mut Progress, wave: &mut Wave) -> Pause {
        if !self.may_execute(input.id) {
            return Pause::NoMore;
        }
        let limits = self.limits(input.id);
        let db = self.engine.sessions[input.id].db;
        while progress.parsed < input.buffer.len() {
            if wave.count == Wave::REQUESTS {
                return Pause::Full;
            }
            let request = wave.next();
            let rest = &input.buffer[progress.parsed..];
            request.at = progress.parsed;
            request.parsed = progress.parser.parse(rest, &limits, &mut request.argv);
            match request.parsed {
                Parsed::Command { consumed } => {
                    progress.parsed += consumed;
                    let args = request.argv.args(rest);
                    request.lookup = self.engine.look_up(args);
                    if !self.engine.only_uses_keys(request.lookup) {
                        request.noted = None;
                        return Pause::Closed;
                    }
                    request.noted = self.engine.note_ahead(db, request.lookup, args);
                }
                Parsed::Empty { consumed } => progress.parsed += consumed,
                Parsed::Incomplete => {
                    wave.count -= 1;
                    return Pause::NoMore;
                }
                Parsed::Error(_) => return Pause::NoMore,
            }
        }
        Pause::NoMore
    }

    fn execute_wave(&mut self, inputs: &mut [Input<'_>], progress: &mut [Progress], wave: &Wave) {
        for run in &wave.runs {
            let (input, progress) = (&mut inputs[run.input], &mut progress[run.input]);
            if progress.stage == Stage::Over {
                continue;
            }
            self.execute_run(input, progress, wave, run);
            if run.last && progress.stage == Stage::Open {
                progress.executed = progress.parsed;
                progress.stage = Stage::Over;
            }
            if progress.stage == Stage::Over {
                self.end(input, progress);
            }
        }
    }

    fn execute_run<'w>(&mut self, input: &'w Input<'_>, progress: &mut Progress, wave: &'w Wave, run: &Run) {
        let id = input.id;
        let Some(session) = self.engine.sessions.get(id) else {
            return progress.stop(input.buffer.len());
        };
        // Only the last request of a wave can change any of these.
        let output_limits = crate::settings::client_output_limits(&self.state.config);
        let is_limited = output_limits.of(session).is_any();
        let is_replica = session.kind == Kind::Replica;
        let all_limited = self.limits_clients();
        let straight = !(is_limited || is_replica || all_limited) && self.engine.begin_straight(id);
        // Words are looked up one request ahead: they are copied 16 bytes at a time, which waits for stores of 8 bytes that
        // have only just been made.
        let args_of = |request: &'w Request| request.argv.args(&input.buffer[request.at..]);
        let requests = &wave.room[run.requests.clone()];
        let mut next_args = requests.first().map(args_of);
        for (index, request) in requests.iter().enumerate() {
            let Some(args) = next_args else { return };
            next_args = requests.get(index + 1).map(args_of);
            if index == 0 && !self.may_execute(id) {
                return progress.stop(request.at);
            }
            match request.parsed {
                Parsed::Command { consumed } if straight => {
                    let (lookup, noted) = (request.lookup, request.noted);
                    match self.engine.execute_straight(&mut self.state, id, lookup, args, noted) {
                        Flow::Done => {}
                        Flow::Postponed => return progress.stop(request.at),
                        Flow::Blocked | Flow::Close => {
                            if !self.may_execute(id) {
                                return progress.stop(request.at + consumed);
                            }
                        }
                    }
                }
                Parsed::Command { consumed } => {
                    if all_limited {
                        self.limit_clients(id);
                        if !self.may_execute(id) {
                            return progress.stop(request.at);
                        }
                    }
                    let replica_out = if is_replica { self.replica_output(id) } else { None };
                    let flow = self.engine.execute_known(&mut self.state, id, request.lookup, args);
                    if let Some(before) = replica_out
                        && self.replica_output(id).is_some_and(|after| after > before)
                    {
                        let name = self.last_command_name(id);
                        crate::replication::misbehaved(self, id, before, &name);
                    }
                    if flow == Flow::Postponed {
                        return progress.stop(request.at);
                    }
                    if is_limited {
                        self.enforce_output_limit(id, output_limits);
                    }
                    if (flow != Flow::Done || is_limited) && !self.may_execute(id) {
                        return progress.stop(request.at + consumed);
                    }
                }
                Parsed::Empty { .. } => {
                    if self.replica_output(id).is_some() {
                        crate::replication::keepalive(&mut self.state, self.engine.now, id);
                    }
                }
                Parsed::Error(error) => {
                    self.protocol_error(id, error, &input.buffer[request.at..]);
                    return progress.stop(input.buffer.len());
                }
                // Those are not kept in a wave.
                Parsed::Incomplete => {}
            }
        }
    }

    /// Nothing more of an input is executed now.
    fn end(&mut self, input: &mut Input<'_>, progress: &mut Progress) {
        input.consumed = progress.executed;
        if let Some(session) = self.engine.sessions.get_mut(input.id) {
            let left = input.buffer.len() - input.consumed;
            session.parser = std::mem::take(&mut progress.parser);
            session.argument_bytes = session.parser.bytes_parsed().min(left);
            session.query_bytes = left - session.argument_bytes;
            self.count_client(input.id);
        }
        self.after_execution();
    }

    fn limits(&self, id: SessionId) -> Limits {
        let settings = &self.engine.data.settings;
        Limits {
            bulk_bytes: settings.max_bulk_bytes,
            authenticated: self.engine.sessions[id].authenticated,
            query_buffer_bytes: self.state.config.client_query_buffer_limit,
        }
    }
}
