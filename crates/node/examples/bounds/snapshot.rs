//! Freezing a keyspace, and the first write to a segment that a frozen view holds.

use base::Rng;

use crate::measure::{Cold, Rounds};
use crate::server::{Server, request};

/// Writes after each freeze, every one cold and in a segment of its own, as likely as not.
const WRITES: usize = 12;
/// Between freezes the keyspace lives: these are written.
const CHANGES: u64 = 2_000;

pub fn run(keys: u64, rounds: u64) {
    let mut server = Server::new();
    for number in 0..keys {
        server.call(&set(number, 0));
        if number % 4096 == 0 {
            server.rest();
        }
    }
    let mut cold = Cold::new(&mut server, |n| set(n, 0), |n| set(n, 1));
    let mut rng = Rng::new(5);
    let chosen: Vec<u64> = (0..WRITES).map(|_| rng.below(keys)).collect();
    let mut freezes = Rounds::new(rounds, 1);
    let mut first = Rounds::new(rounds, 1);
    let mut writes = Rounds::new(rounds, WRITES);
    let mut all_cold = Rounds::new(rounds, WRITES);
    let mut nothing_frozen = Rounds::new(rounds, WRITES);
    for round in 0..rounds {
        for _ in 0..CHANGES {
            server.call(&set(rng.below(keys), round));
        }
        server.rest();
        cold.nothing_warm();
        let (time, frozen) = server.freeze();
        freezes.push(round, time);
        for (at, number) in chosen.iter().enumerate() {
            let time = cold.data(&mut server, &set(*number, round));
            if at == 0 {
                first.push(round, time);
            }
            writes.push(round, time);
        }
        drop(frozen);
        let (_, frozen) = server.freeze();
        for number in &chosen {
            all_cold.push(round, cold.everything(&mut server, &set(*number, round)));
        }
        drop(frozen);
        for number in &chosen {
            nothing_frozen.push(round, cold.data(&mut server, &set(*number, round)));
        }
    }
    freezes.print("freeze");
    first.print("first write");
    writes.print("shared segment");
    all_cold.print("code cold too");
    nothing_frozen.print("nothing frozen");
}

fn set(number: u64, value: u64) -> Vec<u8> {
    request(&format!("SET key:{number:012} {:012}", 1_000_000_000 + value))
}
