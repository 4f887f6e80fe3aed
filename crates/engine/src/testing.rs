//! Transcripts: the way commands are tested.
//!
//! ```text
//!   > SET n 5                 a request, words split as on a command line; `@2> GET n` is the second client's
//!   OK                        the reply, as text: simple strings and errors bare, bulk strings in quotes inside
//!                             arrays, (nil), [a, b] for arrays, {k: v} for maps
//!   propagated: SET n 5       what has gone to the replication stream since the last such block, a line per command
//!   events: set n             the keyspace events since the last such block, a line each
//!   clock: +1000              moves the clocks on, in milliseconds
//! ```
//!
//! What is not mentioned is not checked: a transcript with no `propagated:` line says nothing about propagation.

use crate::commands;
use crate::execute::Engine;
use crate::host::{Host, NoHost};
use crate::session::{Peer, SessionId};
use base::Now;
use resp::{OwnedArgs, Value};
use std::collections::VecDeque;

/// Plays a transcript against a fresh engine of the engine's own commands.
///
/// # Panics
/// With the line and both texts, where the engine answers otherwise.
pub fn check(transcript: &str) {
    let mut engine = Engine::new(16, 1, || 0, commands::ALL);
    check_with(&mut engine, &mut NoHost, transcript);
}

/// Plays a transcript against this engine and host.
///
/// # Panics
/// With the line and both texts, where the engine answers otherwise.
pub fn check_with(engine: &mut Engine, host: &mut dyn Host, transcript: &str) {
    let mut player = Player::new(engine, host);
    let mut lines = transcript
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    while let Some(line) = lines.next() {
        if let Some(words) = line.strip_prefix("propagated:") {
            player.expect_propagated(words.trim());
        } else if let Some(event) = line.strip_prefix("events:") {
            player.expect_event(event.trim());
        } else if let Some(ms) = line.strip_prefix("clock:") {
            player.move_clock(ms.trim());
        } else if let Some((client, request)) = request_of(line) {
            let reply = player.request(client, request);
            let expected = lines.next_if(|next| request_of(next).is_none()).unwrap_or("");
            assert_eq!(reply, expected, "reply to `{request}`");
        } else {
            panic!("a transcript line that is nothing: {line}");
        }
    }
}

fn request_of(line: &str) -> Option<(usize, &str)> {
    if let Some(request) = line.strip_prefix("> ") {
        return Some((0, request));
    }
    let rest = line.strip_prefix('@')?;
    let (client, request) = rest.split_once("> ")?;
    Some((client.parse().ok()?, request))
}

struct Player<'a> {
    engine: &'a mut Engine,
    host: &'a mut dyn Host,
    clients: Vec<(usize, SessionId)>,
    propagated: VecDeque<String>,
}

impl<'a> Player<'a> {
    fn new(engine: &'a mut Engine, host: &'a mut dyn Host) -> Self {
        engine.begin_turn(Now {
            unix_us: 1_700_000_000_000_000,
            mono_us: 1_000_000,
        });
        engine.data.propagation.set_enabled(true);
        engine.data.recorded_events = Some(Vec::new());
        Self {
            engine,
            host,
            clients: Vec::new(),
            propagated: VecDeque::new(),
        }
    }

    fn client(&mut self, number: usize) -> SessionId {
        if let Some((_, id)) = self.clients.iter().find(|(known, _)| *known == number) {
            return *id;
        }
        let id = self.engine.open(Peer {
            address: format!("127.0.0.1:{}", 5000 + number),
            ..Peer::default()
        });
        self.clients.push((number, id));
        id
    }

    fn request(&mut self, client: usize, request: &str) -> String {
        let id = self.client(client);
        let words = base::words::split(request.as_bytes()).expect("a request with balanced quotes");
        let args = OwnedArgs::from_words(words);
        self.engine.execute(self.host, id, args.as_args());
        self.take_propagated();
        let out = std::mem::take(&mut self.engine.sessions[id].out);
        let mut shown = Vec::new();
        let mut rest = &out[..];
        while !rest.is_empty() {
            match resp::value::decode(rest) {
                resp::Decoded::Value { value, consumed } => {
                    shown.push(show(&value, Nesting::Top));
                    rest = &rest[consumed..];
                }
                _ => panic!("a malformed reply to `{request}`: {}", out.escape_ascii()),
            }
        }
        shown.join(" ")
    }

    fn take_propagated(&mut self) {
        let ready = self.engine.data.propagation.ready().to_vec();
        self.engine.data.propagation.clear_ready();
        let mut rest = &ready[..];
        while !rest.is_empty() {
            let resp::Decoded::Value {
                value: Value::Array(words),
                consumed,
            } = resp::value::decode(rest)
            else {
                panic!("malformed effects: {}", ready.escape_ascii());
            };
            let words: Vec<String> = words.iter().map(|word| show(word, Nesting::Top)).collect();
            self.propagated.push_back(words.join(" "));
            rest = &rest[consumed..];
        }
    }

    fn expect_propagated(&mut self, words: &str) {
        let found = self.propagated.pop_front().unwrap_or_else(|| "nothing".into());
        assert_eq!(found, words, "propagated");
    }

    fn expect_event(&mut self, event: &str) {
        let events = self.engine.data.recorded_events.as_mut().expect("events are recorded");
        let found = if events.is_empty() {
            "nothing".into()
        } else {
            events.remove(0)
        };
        assert_eq!(found, event, "event");
    }

    fn move_clock(&mut self, ms: &str) {
        let ms: u64 = ms.trim_start_matches('+').parse().expect("a number of milliseconds");
        let now = self.engine.now;
        self.engine.begin_turn(Now {
            unix_us: now.unix_us + 1000 * ms as i64,
            mono_us: now.mono_us + 1000 * ms,
        });
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Nesting {
    Top,
    Inside,
}

fn show(value: &Value, nesting: Nesting) -> String {
    let join = |values: &[Value]| {
        values
            .iter()
            .map(|v| show(v, Nesting::Inside))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match value {
        Value::Bulk(bytes) if nesting == Nesting::Inside => format!("\"{}\"", bytes.escape_ascii()),
        Value::Bulk(bytes) => bytes.escape_ascii().to_string(),
        Value::Simple(text) | Value::Error(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Int(number) => number.to_string(),
        Value::Null | Value::NullBulk | Value::NullArray => "(nil)".into(),
        Value::Array(values) => format!("[{}]", join(values)),
        Value::Push(values) => format!("push [{}]", join(values)),
        Value::Map(pairs) => {
            let pair = |(key, value): &(Value, Value)| {
                format!("{}: {}", show(key, Nesting::Inside), show(value, Nesting::Inside))
            };
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}
