//! Subscriptions: connections of their own that subscribe, publish to themselves and leave again, where the whole stream of
//! replies and messages is compared.

use std::collections::BTreeSet;

use harness::Rng;

use super::run::{Step, inline};

const CHANNELS: &[&str] = &["news", "sports", "", "a b", "\r\n"];
/// No two match the same channel: which of the two is told first is chance.
const PATTERNS: &[&str] = &["n[a-z]*", "s?orts", "a *", "nosuch", "\r*"];

/// One such connection.
pub fn step(rng: &mut Rng) -> Step {
    let mut bytes = Vec::new();
    let mut send = |words: &[&str]| {
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        bytes.extend(inline(&words));
    };
    let modern = rng.chance(1, 2);
    if modern {
        send(&["HELLO", "3"]);
    }
    // The order in which several are given up at once is nobody's business.
    let mut kinds = [
        Kind::new("SUBSCRIBE", "UNSUBSCRIBE", CHANNELS),
        Kind::new("PSUBSCRIBE", "PUNSUBSCRIBE", PATTERNS),
        Kind::new("SSUBSCRIBE", "SUNSUBSCRIBE", CHANNELS),
    ];
    for _ in 0..4 + rng.below(16) {
        let kind = &mut kinds[rng.below(3) as usize];
        match rng.below(10) {
            0..=3 => {
                let mut words = vec![kind.enter];
                words.extend((0..=rng.below(2)).map(|_| *rng.pick(kind.names)));
                kind.held.extend(&words[1..]);
                send(&words);
            }
            4 if kind.held.len() <= 1 => {
                kind.held.clear();
                send(&[kind.leave]);
            }
            4 | 5 => {
                let name = *rng.pick(kind.names);
                kind.held.remove(name);
                send(&[kind.leave, name]);
            }
            6 => send(&["PING"]),
            7 => send(&["PING", "hello"]),
            8 => send(&["GET", "k1"]),
            _ => {
                send(&["PUBLISH", *rng.pick(CHANNELS), "message"]);
                send(&["SPUBLISH", *rng.pick(CHANNELS), "message"]);
                send(&["PUBSUB", "NUMPAT"]);
            }
        }
    }
    send(&["RESET"]);
    send(&["PUBSUB", "CHANNELS"]);
    Step::Raw { bytes, password: false }
}

/// One of the ways to subscribe.
struct Kind {
    enter: &'static str,
    leave: &'static str,
    names: &'static [&'static str],
    held: BTreeSet<&'static str>,
}

impl Kind {
    fn new(enter: &'static str, leave: &'static str, names: &'static [&'static str]) -> Self {
        Self {
            enter,
            leave,
            names,
            held: BTreeSet::new(),
        }
    }
}
