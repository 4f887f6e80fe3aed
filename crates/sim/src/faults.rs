//! What goes wrong, and what operators and clients do, by chance.

use base::Rng;

/// Something that happens in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A client's command at a server.
    Command(usize, String),
    /// A server stops without a word.
    Crash(usize),
    /// The connections between two servers end.
    Cut(usize, usize),
    /// Nothing passes between two servers for a while, and neither is told.
    Partition(usize, usize, u64),
    /// A byte of a payload on its way is damaged.
    Damage(usize),
}

/// Chances are so many in this many steps.
const STEPS: u64 = 2000;

/// What happens in this step.
#[must_use]
pub fn roll(rng: &mut Rng, servers: usize) -> Vec<Happening> {
    let mut happenings = Vec::new();
    for _ in 0..rng.below(4) {
        happenings.push(Happening::Command(any(rng, servers), write(rng)));
    }
    let (a, b) = (any(rng, servers), any(rng, servers));
    match rng.below(STEPS) {
        0..=4 => happenings.push(Happening::Crash(a)),
        5..=24 => happenings.push(Happening::Cut(a, b)),
        25..=34 => happenings.push(Happening::Partition(a, b, 100 + rng.below(5_000))),
        35..=39 => happenings.push(Happening::Damage(a)),
        40..=54 => happenings.push(Happening::Command(a, "BGSAVE".into())),
        55..=62 => happenings.push(Happening::Command(a, "REPLICAOF NO ONE".into())),
        63..=79 if a != b => happenings.push(Happening::Command(a, format!("REPLICAOF n{b} {}", 7000 + b))),
        80..=89 => happenings.push(Happening::Command(a, "FAILOVER TIMEOUT 2000".into())),
        90..=94 => happenings.push(Happening::Command(a, "FLUSHALL".into())),
        95..=109 => happenings.push(Happening::Command(a, "WAIT 1 100".into())),
        _ => {}
    }
    happenings
}

fn any(rng: &mut Rng, servers: usize) -> usize {
    rng.below(servers as u64) as usize
}

fn write(rng: &mut Rng) -> String {
    let key = format!("k{}", rng.below(40));
    match rng.below(12) {
        0 => format!("DEL {key}"),
        1 => format!("INCR n{}", rng.below(5)),
        2 => format!("SET {key} soon PX {}", 1 + rng.below(1_500)),
        3 => format!("APPEND {key} {}", "x".repeat(rng.below(200) as usize + 1)),
        4 => format!("SELECT {}", rng.below(3)),
        5 => format!("PEXPIRE {key} {}", 1 + rng.below(3_000)),
        6 => format!("MSET {key} a k{} b", rng.below(40)),
        7 => format!("RENAME {key} k{}", rng.below(40)),
        8 => format!("GET {key}"),
        9 => format!("SET {key} {}", "y".repeat(rng.below(6_000) as usize + 1)),
        _ => format!("SET {key} {}", rng.below(1_000_000)),
    }
}
