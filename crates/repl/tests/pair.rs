//! A primary's and a replica's machines back to back, over a pipe that is cut after every possible byte.
//!
//! The dataset is the list of commands applied, so that "a prefix of the primary's history" can be seen by eye.

use base::{DbIndex, Now, Rng};
use repl::{Effect, Form, LinkDown, LostReason, Phase, ReplicaId, Replication, Settings, SyncMethod};
use resp::{Argv, Limits, Parsed, Parser};

/// One connection between the two.
struct Pipe {
    id: ReplicaId,
    to_primary: Vec<u8>,
    to_replica: Vec<u8>,
    /// What has arrived at the primary and is not yet a whole request.
    partial: Vec<u8>,
    /// Parses what the replica says.
    parser: Parser,
    argv: Argv,
}

/// A payload being read by the replica's loader.
struct Loading {
    form: Form,
    bytes: Vec<u8>,
}

struct World {
    primary: Replication,
    replica: Replication,
    primary_data: Vec<u8>,
    replica_data: Vec<u8>,
    /// What the open MULTI of the replica's stream holds.
    queued: Option<Vec<u8>>,
    pipe: Option<Pipe>,
    loading: Option<Loading>,
    connections: u64,
    now_ms: u64,
    /// The pipe is cut when so many more bytes have passed.
    bytes_to_cut: u64,
    rng: Rng,
}

impl World {
    fn new(method: SyncMethod, bytes_to_cut: u64) -> Self {
        let settings = Settings {
            diskless_delay_seconds: 0,
            sync_method: method,
            ping_period_seconds: 1,
            ..Settings::default()
        };
        let mut replica = Replication::new(settings.clone(), Rng::new(2));
        replica.start_as_replica("primary", 6379, None);
        Self {
            primary: Replication::new(settings, Rng::new(1)),
            replica,
            primary_data: Vec::new(),
            replica_data: Vec::new(),
            queued: None,
            pipe: None,
            loading: None,
            connections: 0,
            now_ms: 1000,
            bytes_to_cut,
            rng: Rng::new(bytes_to_cut),
        }
    }

    fn now(&self) -> Now {
        Now {
            unix_us: self.now_ms as i64 * 1000,
            mono_us: self.now_ms * 1000,
        }
    }

    fn write(&mut self, unit: &str) {
        self.primary.append(unit.as_bytes(), Some(DbIndex(0)));
        self.primary_data.extend_from_slice(unit.as_bytes());
    }

    /// One turn: time, bytes in both directions, effects.
    fn turn(&mut self) {
        self.now_ms += 50;
        let now = self.now();
        let mut effects = Vec::new();
        self.primary.on_tick(now, 1 << 20, &mut effects);
        self.primary.on_turn_end(now, 1 << 20, &mut effects);
        self.carry_out_primary(effects);
        let mut effects = Vec::new();
        self.replica.on_tick(now, 0, &mut effects);
        self.carry_out_replica(effects);
        self.feed();
        self.deliver_to_primary();
        self.deliver_to_replica();
    }

    /// Takes some bytes from the front of a direction; cuts the pipe when its time has come.
    fn pass(&mut self, direction: fn(&mut Pipe) -> &mut Vec<u8>) -> Vec<u8> {
        let Some(pipe) = &mut self.pipe else { return Vec::new() };
        let queue = direction(pipe);
        let most = (queue.len() as u64).min(self.bytes_to_cut);
        let count = if most == 0 { 0 } else { 1 + self.rng.below(most) };
        self.bytes_to_cut -= count;
        queue.drain(..count as usize).collect()
    }

    fn cut_if_due(&mut self) {
        if self.bytes_to_cut > 0 || self.pipe.is_none() {
            return;
        }
        self.bytes_to_cut = u64::MAX;
        let pipe = self.pipe.take().unwrap();
        let now = self.now();
        let mut effects = Vec::new();
        self.primary
            .on_replica_closed(now, pipe.id, LostReason::Closed, &mut effects);
        self.carry_out_primary(effects);
        let mut effects = Vec::new();
        match self.loading.take() {
            Some(_) => self
                .replica
                .on_load_failed(now, LinkDown::ClosedByPrimary(Phase::Transfer), &mut effects),
            None => self.replica.on_link_closed(now, &mut effects),
        }
        self.carry_out_replica(effects);
    }

    fn feed(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let Some(from) = self.primary.position(pipe.id) else {
            return;
        };
        let bytes: Vec<u8> = self.primary.stream().slices(from, 1000).flatten().copied().collect();
        pipe.to_replica.extend_from_slice(&bytes);
        self.primary.on_sent(pipe.id, bytes.len() as u64);
    }

    fn deliver_to_primary(&mut self) {
        let bytes = self.pass(|pipe| &mut pipe.to_primary);
        let now = self.now();
        let Some(mut pipe) = self.pipe.take() else { return };
        let mut input = std::mem::take(&mut pipe.partial);
        input.extend(bytes);
        let mut effects = Vec::new();
        let mut replies = Vec::new();
        let mut at = 0;
        loop {
            match pipe.parser.parse(&input[at..], &Limits::default(), &mut pipe.argv) {
                Parsed::Command { consumed } => {
                    let args = pipe.argv.args(&input[at..]);
                    match args.get(0) {
                        b"PING" => replies.extend_from_slice(b"+PONG\r\n"),
                        b"REPLCONF" => {
                            let reply = self.primary.on_replconf(now, pipe.id, "::1", args, &mut effects);
                            if reply == repl::ReplconfReply::Ok {
                                replies.extend_from_slice(b"+OK\r\n");
                            }
                        }
                        b"PSYNC" => self.primary.on_sync(now, pipe.id, "::1", args, &mut effects).unwrap(),
                        other => panic!("{}", other.escape_ascii()),
                    }
                    at += consumed;
                }
                Parsed::Empty { consumed } => at += consumed,
                Parsed::Incomplete => break,
                Parsed::Error(error) => panic!("{error}"),
            }
        }
        pipe.partial = input.split_off(at);
        pipe.to_replica.extend_from_slice(&replies);
        self.pipe = Some(pipe);
        self.carry_out_primary(effects);
        self.cut_if_due();
    }

    fn deliver_to_replica(&mut self) {
        let bytes = self.pass(|pipe| &mut pipe.to_replica);
        let now = self.now();
        let mut effects = Vec::new();
        match &mut self.loading {
            Some(loading) => loading.bytes.extend_from_slice(&bytes),
            None => self.replica.on_link_bytes(now, &bytes, &mut effects),
        }
        self.carry_out_replica(effects);
        self.finish_load();
        self.apply();
        self.cut_if_due();
    }

    /// Ends the load if its payload is whole.
    fn finish_load(&mut self) {
        let Some(loading) = &self.loading else { return };
        let (payload, rest) = match loading.form {
            Form::Sized { bytes } if loading.bytes.len() as u64 >= bytes => loading.bytes.split_at(bytes as usize),
            Form::Marked { mark } if loading.bytes.ends_with(&mark) => {
                (&loading.bytes[..loading.bytes.len() - 40], &[][..])
            }
            _ => return,
        };
        let (payload, rest) = (payload.to_vec(), rest.to_vec());
        self.loading = None;
        assert!(self.replica.wants_load());
        self.replica_data = payload;
        let mut effects = Vec::new();
        self.replica.on_loaded(self.now(), DbIndex(0), &rest, &mut effects);
        self.carry_out_replica(effects);
    }

    fn apply(&mut self) {
        let now = self.now();
        let mut effects = Vec::new();
        while let Some(incoming) = self.replica.next_command(now, &mut effects) {
            let mut request = Vec::new();
            incoming.args.write_to(&mut request);
            match (incoming.args.get(0), &mut self.queued) {
                (b"ping", _) => {}
                (b"MULTI", _) => self.queued = Some(request),
                (b"EXEC", Some(queued)) => {
                    queued.extend(request);
                    self.replica_data.append(queued);
                    self.queued = None;
                }
                (_, Some(queued)) => queued.extend(request),
                (_, None) => self.replica_data.extend(request),
            }
            self.replica.on_applied();
        }
        self.carry_out_replica(effects);
        let end = self.replica.stream().end();
        assert!(end <= self.primary.stream().end());
        assert!(
            self.primary_data.starts_with(&self.replica_data),
            "the replica's data is not a prefix"
        );
    }

    fn carry_out_primary(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::ToReplica { replica, bytes } => {
                    let pipe = self.pipe.as_mut().filter(|pipe| pipe.id == replica);
                    pipe.into_iter()
                        .for_each(|pipe| pipe.to_replica.extend_from_slice(&bytes));
                }
                Effect::StartTransfer(transfer) => {
                    let payload = match transfer.form {
                        Form::Sized { .. } => [
                            format!("${}\r\n", self.primary_data.len()).as_bytes(),
                            &self.primary_data,
                        ]
                        .concat(),
                        Form::Marked { mark } => [b"$EOF:", &mark[..], b"\r\n", &self.primary_data, &mark].concat(),
                    };
                    let Some(pipe) = &mut self.pipe else { continue };
                    pipe.to_replica.extend_from_slice(&payload);
                    let id = pipe.id;
                    let mut more = Vec::new();
                    self.primary.on_transfer_sent(self.now(), id, &mut more);
                    self.carry_out_primary(more);
                }
                Effect::CloseReplica { .. } => panic!("nobody here is closed by the primary"),
                _ => {}
            }
        }
    }

    fn carry_out_replica(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Connect { .. } => {
                    assert!(self.pipe.is_none(), "two links at a time");
                    self.connections += 1;
                    self.pipe = Some(Pipe {
                        id: ReplicaId(self.connections),
                        to_primary: Vec::new(),
                        to_replica: Vec::new(),
                        partial: Vec::new(),
                        parser: Parser::default(),
                        argv: Argv::default(),
                    });
                    let mut more = Vec::new();
                    self.replica.on_link_connected(self.now(), &mut more);
                    self.carry_out_replica(more);
                }
                Effect::ToPrimary { bytes } => {
                    let pipe = self.pipe.as_mut();
                    pipe.into_iter()
                        .for_each(|pipe| pipe.to_primary.extend_from_slice(&bytes));
                }
                Effect::StartLoad(load) => {
                    self.loading = Some(Loading {
                        form: load.form,
                        bytes: load.already,
                    });
                }
                Effect::CloseLink => {
                    self.queued = None;
                    assert!(self.pipe.is_none(), "the replica found fault with the primary");
                }
                Effect::StreamBegins { .. } => self.queued = None,
                _ => {}
            }
        }
    }

    fn is_caught_up(&self) -> bool {
        self.replica.is_link_up() && self.replica.stream().end() == self.primary.stream().end()
    }
}

fn request(words: &[&str]) -> String {
    let mut bytes = Vec::new();
    resp::write_command(&mut bytes, words.iter());
    String::from_utf8(bytes).unwrap()
}

fn run(method: SyncMethod, bytes_to_cut: u64) -> u64 {
    let mut world = World::new(method, bytes_to_cut);
    world.write(&request(&["SET", "before", "1"]));
    for turn in 0..200 {
        if turn < 60 {
            world.write(&request(&["SET", "k", &turn.to_string()]));
        }
        if turn % 7 == 0 && turn < 60 {
            let unit = [
                request(&["MULTI"]),
                request(&["SET", "a", "b"]),
                request(&["SET", "c", "d"]),
                request(&["EXEC"]),
            ];
            world.write(&unit.concat());
        }
        world.turn();
    }
    let mut turns = 0;
    while !world.is_caught_up() {
        world.turn();
        turns += 1;
        assert!(turns < 2000, "cut after {bytes_to_cut} bytes, and never in step again");
    }
    assert_eq!(world.replica_data, world.primary_data, "cut after {bytes_to_cut} bytes");
    world.connections
}

#[test]
fn a_cut_after_any_byte_is_mended() {
    for method in [SyncMethod::Diskless, SyncMethod::Disk] {
        // Greeting, payload and the beginning of the stream byte by byte, and the rest by samples.
        for bytes_to_cut in (1..1200).chain((1200..3000).step_by(37)) {
            assert_eq!(
                run(method, bytes_to_cut),
                2,
                "one cut, one connection more (after {bytes_to_cut} bytes)"
            );
        }
    }
}
