//! Writes to one large collection, or a long string, that a frozen view holds.

use base::Rng;

use crate::measure::{Cold, Rounds};
use crate::server::{Server, request};

/// Writes after each freeze, every one cold.
const WRITES: usize = 24;

struct Kind {
    name: &'static str,
    /// The command that adds member `n`.
    add: fn(u64) -> String,
    /// What is measured: of write number `at` in round `round`, to member `n`.
    write: fn(u64, u64, usize) -> String,
    /// Fills a smaller one, and writes to it.
    small: fn(u64) -> Vec<u8>,
    warming: fn(u64) -> Vec<u8>,
    /// What undoes it, so that every round finds the same.
    undo: Option<fn(u64, u64, usize) -> String>,
}

static KINDS: &[Kind] = &[
    Kind {
        name: "hash",
        add: |n| format!("HSET large field:{n} value:{n:08}"),
        write: |n, round, _| format!("HSET large field:{n} value:{:08}", n + round),
        small: |n| request(&format!("HSET large field:{n} value:{n:08}")),
        warming: |n| request(&format!("HSET large field:{n} value:{:08}", n + 1)),
        undo: None,
    },
    Kind {
        name: "set",
        add: |n| format!("SADD large member:{n}"),
        write: |n, _, _| format!("SADD large new:{n}"),
        small: |n| request(&format!("SADD large member:{n}")),
        warming: |n| request(&format!("SADD large new:{n}")),
        undo: Some(|n, _, _| format!("SREM large new:{n}")),
    },
    Kind {
        name: "zset",
        add: |n| format!("ZADD large {} member:{n}", n * 7919 % 1_000_003),
        // Far from where it was: out of one leaf and into another.
        write: |n, round, _| {
            format!(
                "ZADD large {} member:{n}",
                (n * 7919 + 400_009 * (round + 1)) % 1_000_003
            )
        },
        small: |n| request(&format!("ZADD large {} member:{n}", n * 7919 % 1_000_003)),
        warming: |n| request(&format!("ZADD large {} member:{n}", n * 104_729 % 1_000_003)),
        undo: None,
    },
    Kind {
        name: "list",
        add: |n| format!("RPUSH large element:{n:08}"),
        write: |n, round, at| match at % 3 {
            0 => format!("RPUSH large element:{round:08}"),
            1 => format!("LPUSH large element:{round:08}"),
            _ => format!("LSET large {n} changed:{round:08}"),
        },
        small: |n| request(&format!("RPUSH large element:{n:08}")),
        warming: |n| match n % 3 {
            0 => request(&format!("RPUSH large element:{n:08}")),
            1 => request(&format!("LPUSH large element:{n:08}")),
            _ => request(&format!("LSET large {n} changed:{n:08}")),
        },
        undo: None,
    },
    Kind {
        name: "stream",
        add: |n| format!("XADD large {}-0 field value:{n}", n + 1),
        write: |n, round, at| match at % 2 {
            0 => format!("XADD large {}-{at} field value:{n}", 1_000_000_000 + round),
            _ => format!("XDEL large {}-0", n + 1 + round),
        },
        small: |n| request(&format!("XADD large {}-0 field value:{n}", n + 1)),
        warming: |n| match n % 2 {
            0 => request("XADD large * field value"),
            _ => request(&format!("XDEL large {}-0", n + 1)),
        },
        undo: None,
    },
];

pub fn run(kind: &str, members: u64, rounds: u64) {
    let Some(kind) = KINDS.iter().find(|known| known.name == kind) else {
        return eprintln!("no part '{kind}'");
    };
    let mut server = Server::new();
    for n in 0..members {
        server.call(&request(&(kind.add)(n)));
        if n % 4096 == 0 {
            server.rest();
        }
    }
    let mut cold = Cold::new(&mut server, kind.small, kind.warming);
    measure(&mut server, &mut cold, rounds, members, kind.write, kind.undo);
}

/// SETBIT in a frozen string of so many bytes.
pub fn setbit(bytes: u64, rounds: u64) {
    let mut server = Server::new();
    // So long that it is there in chunks, and not as zeros that nobody has written.
    let mut fill = Vec::new();
    let part = vec![b'x'; 1 << 20];
    resp::write_command(&mut fill, [b"APPEND".as_slice(), b"large", &part]);
    for _ in 0..bytes / part.len() as u64 {
        server.call(&fill);
    }
    let write = |n: u64, round: u64, _: usize| format!("SETBIT large {n} {}", round / 2 % 2);
    let small = |n: u64| request(&format!("SETBIT large {} 1", n * 1_024));
    let mut cold = Cold::new(&mut server, small, small);
    measure(&mut server, &mut cold, rounds, bytes * 8, write, None);
}

type Command = fn(u64, u64, usize) -> String;

fn measure(server: &mut Server, cold: &mut Cold, rounds: u64, members: u64, write: Command, undo: Option<Command>) {
    let mut rng = Rng::new(9);
    let chosen: Vec<u64> = (0..WRITES).map(|_| rng.below(members)).collect();
    let mut first = Rounds::new(rounds, 1);
    let mut all = Rounds::new(rounds, WRITES);
    let mut all_cold = Rounds::new(rounds, WRITES);
    for round in 0..rounds {
        server.rest();
        let (_, frozen) = server.freeze();
        for (at, n) in chosen.iter().enumerate() {
            let time = cold.data(server, &request(&write(*n, 2 * round, at)));
            if at == 0 {
                first.push(round, time);
            }
            all.push(round, time);
        }
        drop(frozen);
        let (_, frozen) = server.freeze();
        for (at, n) in chosen.iter().enumerate() {
            let request = request(&write(n / 2, 2 * round + 1, at));
            all_cold.push(round, cold.everything(server, &request));
        }
        drop(frozen);
        if let Some(undo) = undo {
            for (at, n) in chosen.iter().enumerate() {
                server.call(&request(&undo(*n, round, at)));
                server.call(&request(&undo(n / 2, round, at)));
            }
        }
    }
    first.print("first write");
    all.print("write");
    all_cold.print("code cold too");
}
