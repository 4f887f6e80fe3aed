//! How many resident bytes an element of each type takes, beside the other servers.
//!
//! Tables fill in saw-teeth, so each row is measured at eight sizes across one octave: the mean is the figure, and the
//! worst stands beside it.

use std::time::Duration;

use harness::process::status_kb;
use harness::{Program, Result, Server};

use super::load::fill;
use super::{Plans, SERVER_CPU, Target, verdict};

/// Elements at the smallest size; the largest has almost twice as many.
const ELEMENTS: u64 = 500_000;
const SIZES: u32 = 8;
/// How long servers are left alone before they are measured.
const REST: Duration = Duration::from_millis(400);

struct Row {
    name: &'static str,
    /// Bytes per element that issue 4 asks for at most.
    wanted: f64,
    /// The command that adds element number `n`.
    command: fn(u64) -> Vec<String>,
}

/// Sixteen characters that do not sort as they count.
fn word(n: u64) -> String {
    format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

static ROWS: &[Row] = &[
    Row {
        name: "string, key of 16, value of 32",
        wanted: 70.0,
        command: |n| words(&["SET", &word(n), &[word(n + 1), word(n + 2)].concat()]),
    },
    Row {
        name: "the same with an expiry",
        wanted: 80.0,
        command: |n| words(&["SET", &word(n), &[word(n + 1), word(n + 2)].concat(), "EX", "100000"]),
    },
    Row {
        name: "integer, key of 16",
        wanted: 46.0,
        command: |n| words(&["SET", &word(n), &(1_000_000_000 + n).to_string()]),
    },
    Row {
        name: "hash of 10 small fields",
        wanted: 262.0,
        command: |n| {
            let mut request = words(&["HSET", &word(n)]);
            for field in 0..10 {
                request.extend([format!("field{field}"), format!("value:{:04}", (n + field) % 10_000)]);
            }
            request
        },
    },
    Row {
        name: "sorted set, a member of 16",
        wanted: 54.0,
        command: |n| {
            words(&[
                "ZADD",
                "zset",
                &(n.wrapping_mul(7919) % 1_000_003).to_string(),
                &word(n),
            ])
        },
    },
    Row {
        name: "set, a member of 16",
        wanted: 36.0,
        command: |n| words(&["SADD", "set", &word(n)]),
    },
    Row {
        name: "hash, a field of 15 + 16",
        wanted: 54.0,
        command: |n| words(&["HSET", "hash", &word(n)[..15], &word(n + 1)]),
    },
    Row {
        name: "list, an element of 16",
        wanted: 18.5,
        command: |n| words(&["RPUSH", "list", &word(n)]),
    },
    Row {
        name: "stream, an entry of 2 small fields",
        wanted: 21.0,
        command: |n| {
            words(&[
                "XADD",
                "stream",
                &format!("{}-0", 1_700_000_000_000 + n),
                "a",
                "1",
                "b",
                "2",
            ])
        },
    },
];

struct Figure {
    mean: f64,
    worst: f64,
}

pub fn run(plans: &Plans, skein: &Program) -> Result<()> {
    println!(
        "Memory: resident bytes per element, at {SIZES} sizes from {} elements to nearly twice as many: mean (worst)\n",
        ELEMENTS / plans.fill_share
    );
    let mut header = format!("{:<36}", "");
    for program in plans.peers.iter().chain([skein]) {
        header += &format!("{:>18}", program.name);
    }
    println!("{header}{:>9}  wanted", "of best");
    for row in ROWS {
        let peers = plans.peers.iter().map(|peer| figure(plans, peer, row));
        let peers = peers.collect::<Result<Vec<_>>>()?;
        let ours = figure(plans, skein, row)?;
        let mut line = format!("{:<36}", row.name);
        for Figure { mean, worst } in peers.iter().chain([&ours]) {
            line += &format!("{:>18}", format!("{mean:.1} ({worst:.1})"));
        }
        let best = peers.iter().map(|peer| peer.mean).fold(f64::INFINITY, f64::min);
        // Memory comes from the kernel in pieces of up to 2 MB: a small fill says nothing.
        let said = match plans.fill_share {
            1 => verdict([Target::at_most("mean", row.wanted, ours.mean)]),
            _ => format!("mean <= {}, too few elements to be judged", row.wanted),
        };
        println!("{line}{:>9.2}  {said}", ours.mean / best);
    }
    println!();
    Ok(())
}

fn figure(plans: &Plans, program: &Program, row: &Row) -> Result<Figure> {
    let server = Server::start_pinned(program, &[], Some(SERVER_CPU))?;
    let mut client = server.client()?;
    // Buffers of the connection are there before, and are not counted.
    client.call(&["SET", "warm", &"x".repeat(64 * 1024)])?;
    client.call(&["DEL", "warm"])?;
    std::thread::sleep(REST);
    let before = status_kb(server.pid(), "VmRSS")?;
    let (mut done, mut all) = (0, Vec::new());
    for size in 0..SIZES {
        let elements = (ELEMENTS / plans.fill_share) as f64 * 2f64.powf(f64::from(size) / f64::from(SIZES));
        let commands = elements as u64;
        fill(&mut client, done..commands, row.command)?;
        done = commands;
        // What a server has ready for more of the same is no cost of an element; ours gives it back when at rest.
        std::thread::sleep(REST);
        // A small fill may fit into what was resident before.
        let resident = status_kb(server.pid(), "VmRSS")?.saturating_sub(before);
        all.push((resident * 1024) as f64 / commands as f64);
    }
    Ok(Figure {
        mean: all.iter().sum::<f64>() / all.len() as f64,
        worst: all.iter().copied().fold(0.0, f64::max),
    })
}
