//! Transcripts: what goes into a server's replication, and what it asks for.
//!
//! ```text
//!   > <bytes>            from the primary (\r\n is added, unless the line ends with `…`)
//!   ! connected | refused | closed | loaded [rest] | load failed | apply | tick <ms>
//!   <n>> <command>       REPLCONF, PSYNC or SYNC from replica <n>
//!   <n>! sent | failed | closed | blank | read
//!   write <bytes>        we executed this
//!   REPLICAOF, FAILOVER, WAIT <n> <ms>
//!   ?                    what we are
//! ```
//! Every other line is expected output. Ids are named A, B, C … in the order in which they are first seen.

#![allow(dead_code)]

use std::fmt::Write;

use base::{DbIndex, Now, ReplId, Rng};
use repl::{
    ApplyFailure, Effect, Form, Level, LinkDown, LostReason, ReplconfReply, ReplicaId, Replication, Settings, WaiterId,
};
use resp::OwnedArgs;

pub struct Stage {
    pub machines: Replication,
    pub now_ms: u64,
    pub effects: Vec<Effect>,
    ids: Vec<ReplId>,
}

impl Stage {
    pub fn new(settings: Settings) -> Self {
        let machines = Replication::new(settings, Rng::new(7));
        Self {
            machines,
            now_ms: 1_000_000,
            effects: Vec::new(),
            ids: Vec::new(),
        }
    }

    pub fn now(&self) -> Now {
        Now {
            unix_us: self.now_ms as i64 * 1000,
            mono_us: self.now_ms * 1000,
        }
    }

    /// Plays a transcript and compares.
    #[track_caller]
    pub fn check(&mut self, transcript: &str) {
        let mut played = String::new();
        for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(output) = self.play(line) {
                let _ = writeln!(played, "{line}\n{output}");
            }
        }
        let tidy = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|line| line.trim().to_owned());
            lines.filter(|line| !line.is_empty()).collect()
        };
        let (played, expected) = (tidy(&played), tidy(transcript));
        assert!(
            played == expected,
            "\n--- played ---\n{}\n--- expected ---\n{}\n",
            played.join("\n"),
            expected.join("\n")
        );
    }

    /// Plays an input line; `None` if it is none.
    fn play(&mut self, line: &str) -> Option<String> {
        let now = self.now();
        let mut said = String::new();
        if let Some(bytes) = line.strip_prefix("> ").or((line == ">").then_some("")) {
            let bytes = self.unname(bytes);
            let (text, end) = match bytes.strip_suffix('…') {
                Some(text) => (text, ""),
                None => (bytes.as_str(), "\r\n"),
            };
            let bytes = format!("{}{end}", text.replace("\\r\\n", "\r\n"));
            self.machines.on_link_bytes(now, bytes.as_bytes(), &mut self.effects);
        } else if let Some(event) = line.strip_prefix("! ") {
            self.event(event, &mut said);
        } else if let Some((replica, event)) = numbered(line, "! ") {
            self.replica_event(replica, event, &mut said);
        } else if let Some((replica, command)) = numbered(line, "> ") {
            let command = self.unname(command);
            self.replica_command(replica, &command, &mut said);
        } else if let Some(bytes) = line.strip_prefix("write ") {
            self.machines.append(bytes.as_bytes(), Some(DbIndex(0)));
        } else if line == "REPLICAOF NO ONE" {
            self.machines.on_replicaof_no_one(now, &mut self.effects);
        } else if let Some(target) = line.strip_prefix("REPLICAOF ") {
            let (host, port) = target.split_once(' ').unwrap();
            let port = port.parse().unwrap();
            let changed = self.machines.on_replicaof(now, host, port, &mut self.effects);
            let _ = writeln!(said, "{changed:?}");
        } else if line.starts_with("FAILOVER") {
            let args = OwnedArgs::from_words(line.split(' '));
            match self.machines.on_failover(now, args.as_args(), &mut self.effects) {
                Ok(()) => said.push_str("+OK\n"),
                Err(error) => drop(writeln!(said, "-{error}")),
            }
        } else if let Some(wait) = line.strip_prefix("WAIT ") {
            let (replicas, timeout) = wait.split_once(' ').unwrap();
            let (replicas, timeout) = (replicas.parse().unwrap(), timeout.parse().unwrap());
            let end = self.machines.stream().end();
            match self.machines.on_wait(now, WaiterId(99), end, replicas, timeout) {
                Some(count) => drop(writeln!(said, ":{count}")),
                None => said.push_str("blocked\n"),
            }
        } else if line == "?" {
            said = self.describe();
        } else {
            return None;
        }
        Some(self.drain() + &said)
    }

    fn event(&mut self, event: &str, said: &mut String) {
        let now = self.now();
        let effects = &mut self.effects;
        match event.split_once(' ').unwrap_or((event, "")) {
            ("connected", _) => self.machines.on_link_connected(now, effects),
            ("refused", _) => self.machines.on_link_connect_failed(now, LinkDown::Refused, effects),
            ("closed", _) => self.machines.on_link_closed(now, effects),
            ("loaded", rest) => {
                assert!(self.machines.wants_load());
                let rest = rest.replace("\\r\\n", "\r\n");
                self.machines.on_loaded(now, DbIndex(0), rest.as_bytes(), effects);
            }
            ("load", "failed") => {
                let reason = LinkDown::LoadingFailed {
                    error: "bad data".into(),
                };
                self.machines.on_load_failed(now, reason, effects);
            }
            ("apply", what) => {
                while let Some(incoming) = self.machines.next_command(now, &mut self.effects) {
                    let words: Vec<String> = incoming
                        .args
                        .iter()
                        .map(|word| word.escape_ascii().to_string())
                        .collect();
                    let failure = match words[0].as_str() {
                        "UNKNOWN" => Some(ApplyFailure::Unknown),
                        "FAIL" => Some(ApplyFailure::Failed("WRONGTYPE no".into())),
                        _ if what == "fails" => Some(ApplyFailure::Partly("WRONGTYPE no".into())),
                        _ => None,
                    };
                    let _ = writeln!(said, "applies {}", words.join(" "));
                    match failure {
                        Some(failure) => self.machines.on_apply_failed(now, failure, &mut self.effects),
                        None => self.machines.on_applied(),
                    }
                    said.push_str(&self.drain());
                }
            }
            ("tick", ms) => {
                let ms: u64 = ms.parse().unwrap();
                let until = self.now_ms + ms;
                while self.now_ms < until {
                    self.now_ms = (self.now_ms + 100).min(until);
                    let now = self.now();
                    self.machines.on_tick(now, 1 << 30, &mut self.effects);
                    self.machines.on_turn_end(now, 1 << 30, &mut self.effects);
                }
            }
            _ => panic!("what is '{event}'?"),
        }
    }

    fn replica_event(&mut self, replica: ReplicaId, event: &str, said: &mut String) {
        let now = self.now();
        let effects = &mut self.effects;
        match event {
            "sent" => self.machines.on_transfer_sent(now, replica, effects),
            "failed" => self.machines.on_transfer_failed(now, replica, "no luck", effects),
            "closed" => self
                .machines
                .on_replica_closed(now, replica, LostReason::Closed, effects),
            "blank" => self.machines.on_replica_keepalive(now, replica),
            "read" => {
                let Some(from) = self.machines.position(replica) else {
                    return said.push_str("nothing for it yet\n");
                };
                let bytes: Vec<u8> = self
                    .machines
                    .stream()
                    .slices(from, 1 << 20)
                    .flatten()
                    .copied()
                    .collect();
                let _ = writeln!(said, "reads {}", bytes.escape_ascii());
                self.machines.on_sent(replica, bytes.len() as u64);
            }
            _ => panic!("what is '{event}'?"),
        }
    }

    fn replica_command(&mut self, replica: ReplicaId, command: &str, said: &mut String) {
        let now = self.now();
        let args = OwnedArgs::from_words(command.split(' '));
        let ip = format!("10.0.0.{}", replica.0);
        if command.starts_with("REPLCONF") {
            match self
                .machines
                .on_replconf(now, replica, &ip, args.as_args(), &mut self.effects)
            {
                ReplconfReply::Ok => said.push_str("+OK\n"),
                ReplconfReply::Error(error) => drop(writeln!(said, "-{error}")),
                ReplconfReply::Silent | ReplconfReply::GetAck => {}
            }
        } else if let Err(error) = self
            .machines
            .on_sync(now, replica, &ip, args.as_args(), &mut self.effects)
        {
            let _ = writeln!(said, "-{error}");
        }
    }

    fn describe(&mut self) -> String {
        let view = self.machines.view(self.now());
        let mut text = match &view.link {
            Some(link) => format!("replica of {}:{}, {}", link.host, link.port, link.state),
            None => "primary".to_owned(),
        };
        if let Some((reason, _)) = view.link.as_ref().and_then(|link| link.down.as_ref()) {
            let _ = write!(text, " ({reason})");
        }
        let (id, second) = (self.name(view.id), view.second_id);
        let _ = write!(text, "; {id} at {}", view.offset);
        if second != ReplId::NONE {
            let second = self.name(second);
            let _ = write!(text, ", {second} to {}", view.second_offset);
        }
        for replica in &view.replicas {
            let _ = write!(
                text,
                "; {}:{} {} {}",
                replica.ip, replica.port, replica.state, replica.offset
            );
        }
        if view.failover_state != "no-failover" {
            let _ = write!(text, "; {}", view.failover_state);
        }
        text + "\n"
    }

    fn drain(&mut self) -> String {
        let mut text = String::new();
        for effect in std::mem::take(&mut self.effects) {
            let line = self.render(effect);
            if !line.is_empty() {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }

    fn render(&mut self, effect: Effect) -> String {
        match effect {
            Effect::ToReplica { replica, bytes } => format!("to {}: {}", replica.0, self.words(&bytes)),
            Effect::StartTransfer(transfer) => {
                let form = match transfer.form {
                    Form::Marked { .. } => "marked",
                    Form::Sized { .. } => "sized",
                };
                let to: Vec<String> = transfer.replicas.iter().map(|replica| replica.0.to_string()).collect();
                format!("snapshot at {}, {form}, to {}", transfer.cut, to.join(" and "))
            }
            Effect::StopTransfer { replica } => format!("stop snapshot to {}", replica.0),
            Effect::CloseReplica { replica } => format!("close {}", replica.0),
            Effect::WaitDone { replicas, .. } => format!("answers WAIT with {replicas}"),
            Effect::Connect { host, port } => format!("connect to {host}:{port}"),
            Effect::ToPrimary { bytes } => format!("send {}", self.words(&bytes)),
            Effect::CloseLink => "close the link".into(),
            Effect::StartLoad(load) => {
                let form = match load.form {
                    Form::Marked { .. } => "marked".into(),
                    Form::Sized { bytes } => format!("{bytes} bytes"),
                };
                let history = if load.same_history {
                    "our history"
                } else {
                    "another history"
                };
                format!("load {form} of {history}, had '{}'", load.already.escape_ascii())
            }
            Effect::CancelLoad => "cancel the load".into(),
            Effect::StreamBegins { db } => format!("stream begins in db {}", db.0),
            Effect::PauseWrites => "pause writes".into(),
            Effect::ResumeWrites => "resume writes".into(),
            Effect::BecameReplica => "became replica".into(),
            Effect::BecamePrimary => "became primary".into(),
            Effect::Log {
                level: Level::Warning,
                text,
            } => format!("warns: {}", self.words(text.as_bytes())),
            Effect::Log { .. } => String::new(),
        }
    }

    /// Bytes as words: RESP requests without their framing, ids by name.
    fn words(&mut self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let text = if text.starts_with('*') {
            let words = text
                .split("\r\n")
                .filter(|word| !word.starts_with(['*', '$']) && !word.is_empty());
            words.collect::<Vec<_>>().join(" ")
        } else {
            text.trim_end_matches("\r\n")
                .escape_debug()
                .to_string()
                .replace("\\'", "'")
        };
        let named = text.split(' ').map(|word| {
            let bare = word.trim_end_matches(['.', ',']);
            match ReplId::parse(bare.as_bytes()) {
                Some(id) => format!("{}{}", self.name(id), &word[40..]),
                None => word.to_owned(),
            }
        });
        named.collect::<Vec<_>>().join(" ")
    }

    fn name(&mut self, id: ReplId) -> char {
        let at = self.ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.ids.push(id);
            self.ids.len() - 1
        });
        char::from(b'A' + at as u8)
    }

    /// The opposite of [`Self::name`], for words that are one capital letter.
    fn unname(&self, line: &str) -> String {
        let id = |word: &str| match word.as_bytes() {
            [letter @ b'A'..=b'Z'] => self.ids.get(usize::from(letter - b'A')).map(ReplId::to_string),
            // An id from elsewhere: a digit forty times.
            [b'0'..=b'9', b'*'] => Some(word[..1].repeat(40)),
            _ => None,
        };
        let words = line.split(' ').map(|word| id(word).unwrap_or_else(|| word.to_owned()));
        words.collect::<Vec<_>>().join(" ")
    }
}

fn numbered<'a>(line: &'a str, separator: &str) -> Option<(ReplicaId, &'a str)> {
    let (number, rest) = line.split_once(separator)?;
    Some((ReplicaId(number.parse().ok()?), rest))
}
