//! What goes wrong, and what operators do, by chance; and what is done wrong on purpose, to see that it is noticed.

use base::Rng;

use crate::server::OPERATOR;

/// Something that happens in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A client sends its next few commands.
    Client {
        /// The server.
        server: usize,
        /// Which of its clients.
        client: usize,
        /// How many commands.
        commands: u64,
    },
    /// An operator's command.
    Operator(usize, String),
    /// The machine stops: what was not synced is gone.
    PowerCut(usize),
    /// The process is killed.
    Kill(usize),
    /// The connections between two servers end, after any byte.
    Cut(usize, usize),
    /// Nothing passes between two servers for a while, and neither is told.
    Partition(usize, usize, u64),
    /// A byte of a payload on its way is damaged.
    Damage(usize),
    /// A connection breaks while a payload is on its way, after any byte.
    BreakTransfer,
    /// The disk is full after so many bytes; `None` ends that.
    DiskFull(usize, Option<u64>),
}

/// Chances are so many in this many steps.
const STEPS: u64 = 2000;

/// Ways to end a server in order.
const SHUTDOWNS: [&str; 4] = ["SHUTDOWN SAVE", "SHUTDOWN NOSAVE", "SHUTDOWN NOW SAVE", "SHUTDOWN"];

/// What happens in this step.
#[must_use]
pub fn roll(rng: &mut Rng, servers: usize) -> Vec<Happening> {
    let mut happenings = Vec::new();
    for _ in 0..rng.below(4) {
        happenings.push(Happening::Client {
            server: any(rng, servers),
            client: rng.below(OPERATOR as u64) as usize,
            commands: 1 + rng.below(3),
        });
    }
    let (a, b) = (any(rng, servers), any(rng, servers));
    let operator = |line: &str| Happening::Operator(a, line.to_owned());
    let happening = match rng.below(STEPS) {
        0..=3 => Happening::Kill(a),
        4..=6 => Happening::PowerCut(a),
        7..=11 => operator(SHUTDOWNS[rng.below(SHUTDOWNS.len() as u64) as usize]),
        12..=31 => Happening::Cut(a, b),
        32..=42 => Happening::Partition(a, b, 100 + rng.below(6_000)),
        43..=48 => Happening::Damage(a),
        121..=133 => Happening::BreakTransfer,
        49..=51 => Happening::DiskFull(a, Some(rng.below(20_000))),
        52..=57 => Happening::DiskFull(a, None),
        58..=72 => operator("BGSAVE"),
        73..=80 => operator("REPLICAOF NO ONE"),
        81..=97 if a != b => Happening::Operator(a, format!("REPLICAOF n{b} {}", 7000 + b)),
        98..=107 => operator("FAILOVER TIMEOUT 2000"),
        108..=109 => operator("FAILOVER ABORT"),
        110..=112 => operator("SHUTDOWN ABORT"),
        113..=116 => operator("FLUSHALL"),
        117..=118 => operator("CLIENT KILL TYPE replica"),
        119..=120 => operator("CLIENT KILL TYPE master"),
        _ => return happenings,
    };
    happenings.push(happening);
    happenings
}

fn any(rng: &mut Rng, servers: usize) -> usize {
    rng.below(servers as u64) as usize
}

/// A fault in the servers themselves, committed once, to prove that the world notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A command of the stream does not reach a replica.
    LoseCommand,
    /// A command of the stream is applied twice.
    RepeatCommand,
    /// A byte of a value in the stream is another one.
    SpoilByte,
    /// A replica deletes a key by itself.
    DeleteAlone,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::LoseCommand,
        Self::RepeatCommand,
        Self::SpoilByte,
        Self::DeleteAlone,
    ];

    /// Tampers with bytes of the stream, if they have a command to tamper with.
    #[must_use]
    pub fn tamper(self, bytes: &[u8]) -> Option<Vec<u8>> {
        // A command that always changes something and whose text is easy to find: SET key value, nothing else.
        const HEAD: &[u8] = b"*3\r\n$3\r\nSET\r\n$";
        let start = bytes.windows(HEAD.len()).position(|window| window == HEAD)?;
        let mut lines = bytes[start..].split_inclusive(|byte| *byte == b'\n');
        let length: usize = lines.by_ref().take(7).map(<[u8]>::len).sum();
        let end = start + length;
        if end > bytes.len() || bytes[end - 1] != b'\n' {
            return None;
        }
        let mut tampered = bytes.to_vec();
        match self {
            Self::LoseCommand => drop(tampered.drain(start..end)),
            Self::RepeatCommand => drop(tampered.splice(end..end, bytes[start..end].iter().copied())),
            Self::SpoilByte => tampered[end - 3] ^= 1,
            Self::DeleteAlone => return None,
        }
        Some(tampered)
    }
}
