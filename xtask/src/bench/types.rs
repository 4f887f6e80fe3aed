//! One row per main command of each type, and one per write to a large collection while a snapshot is being saved.

use std::time::Duration;

use harness::{Program, Result, Server, wait};

use super::load::{Load, Rate};
use super::{Plans, SERVER_CPU};

/// A command to measure. `#` stands for a random number below `range`, of twelve digits.
struct Row {
    name: &'static str,
    /// Run before: command, and how often.
    fill: &'static [(&'static str, u64)],
    command: &'static str,
    range: u64,
    pipeline: u64,
    /// Of the requests that are planned, one in so many: for commands that do much.
    share: u64,
}

impl Row {
    const fn new(name: &'static str, fill: &'static [(&'static str, u64)], command: &'static str) -> Self {
        Self {
            name,
            fill,
            command,
            range: 1_000_000,
            pipeline: 16,
            share: 1,
        }
    }

    const fn range(self, range: u64) -> Self {
        Self { range, ..self }
    }

    const fn share(self, share: u64) -> Self {
        Self { share, ..self }
    }
}

const LIST: &[(&str, u64)] = &[("RPUSH list element:#", 500_000)];
const SHORT_LIST: &[(&str, u64)] = &[("RPUSH list element:#", 1_000)];
const SET: &[(&str, u64)] = &[("SADD set member:#", 1_000_000)];
const HASH: &[(&str, u64)] = &[("HSET hash field:# value:#", 1_000_000)];
const ZSET: &[(&str, u64)] = &[("ZADD zset # member:#", 1_000_000)];
const STREAM: &[(&str, u64)] = &[("XADD stream * field value:#", 500_000)];

static ROWS: &[Row] = &[
    Row::new("LPUSH", &[], "LPUSH list element:#"),
    Row::new("RPUSH, short lists", &[], "RPUSH list:# element").range(100_000),
    Row::new("LPOP", LIST, "LPOP list").share(2),
    Row::new("LINDEX, 500,000", LIST, "LINDEX list 250000").share(2),
    Row::new("LRANGE of 100", SHORT_LIST, "LRANGE list 0 99").share(8),
    Row::new("LMOVE", SHORT_LIST, "LMOVE list list LEFT RIGHT"),
    Row::new("SADD", &[], "SADD set member:#"),
    Row::new("SADD, integers", &[], "SADD set:# 1#").range(20_000),
    Row::new("SISMEMBER", SET, "SISMEMBER set member:#"),
    Row::new("SPOP", SET, "SPOP set").share(2),
    Row::new(
        "SINTER of 1,000 and 100",
        &[("SADD a member:#", 2_000), ("SADD b member:#", 100)],
        "SINTER a b",
    )
    .range(1_000)
    .share(8),
    Row::new("SMEMBERS of 100", &[("SADD set member:#", 500)], "SMEMBERS set")
        .range(100)
        .share(8),
    Row::new("HSET, large hash", &[], "HSET hash field:# value:#"),
    Row::new("HSET, small hashes", &[], "HSET hash:# a value b value c value").range(100_000),
    Row::new("HGET", HASH, "HGET hash field:#"),
    Row::new("HINCRBY", &[], "HINCRBY hash field:# 1").range(10_000),
    Row::new("HGETALL of 10", &[("HSET hash field:# value:#", 100)], "HGETALL hash")
        .range(10)
        .share(2),
    Row::new(
        "HGETALL of 1,000",
        &[("HSET hash field:# value:#", 10_000)],
        "HGETALL hash",
    )
    .range(1_000)
    .share(64),
    Row::new("ZADD, large", &[], "ZADD zset # member:#"),
    Row::new("ZADD, small", &[], "ZADD zset:# 1 a 2 b").range(100_000),
    Row::new("ZINCRBY", ZSET, "ZINCRBY zset 1 member:#"),
    Row::new("ZSCORE", ZSET, "ZSCORE zset member:#"),
    Row::new("ZRANK", ZSET, "ZRANK zset member:#"),
    Row::new("ZRANGE of 100 by rank", ZSET, "ZRANGE zset 300000 300099 WITHSCORES").share(8),
    Row::new("ZRANGE of 10 by score", ZSET, "ZRANGE zset # +inf BYSCORE LIMIT 0 10").share(4),
    Row::new("ZPOPMIN", ZSET, "ZPOPMIN zset").share(2),
    Row::new("XADD", &[], "XADD stream * field value:#"),
    Row::new("XADD, trimmed", &[], "XADD stream MAXLEN ~ 1000 * field value:#"),
    Row::new("XRANGE of 100", STREAM, "XRANGE stream - + COUNT 100").share(16),
    Row::new(
        "XREADGROUP of 1",
        &[
            ("XADD stream * field value:#", 500_000),
            ("XGROUP CREATE stream group 0", 1),
        ],
        "XREADGROUP GROUP group consumer COUNT 1 STREAMS stream >",
    )
    .share(2),
    Row::new("PFADD", &[], "PFADD hll element:#"),
    Row::new(
        "PFCOUNT of 2",
        &[("PFADD a element:#", 100_000), ("PFADD b element:#", 1_000)],
        "PFCOUNT a b",
    )
    .share(64),
    Row::new("GEOADD", &[], "GEOADD geo 13.# 38.# member:#").range(999_999_999),
    Row::new(
        "GEOSEARCH",
        &[("GEOADD geo 13.# 38.# member:#", 100_000)],
        "GEOSEARCH geo FROMLONLAT 13.0005 38.0005 BYRADIUS 2 m ASC COUNT 10",
    )
    .range(999_999_999)
    .share(16),
    Row::new("SETBIT, small", &[], "SETBIT bits:# 77 1").range(100_000),
    Row::new("GETBIT of 120 kB", &[("APPEND bits #", 10_000)], "GETBIT bits 400000"),
    Row::new("BITCOUNT of 120 kB", &[("APPEND bits #", 10_000)], "BITCOUNT bits").share(64),
    Row::new("BITFIELD", &[], "BITFIELD bits INCRBY u16 1000 1"),
    Row::new("SORT of 100", &[("SADD set 1#", 500)], "SORT set")
        .range(100)
        .share(16),
    Row::new("EXPIRE", &[("SET key:# value", 100_000)], "EXPIRE key:# 1000").range(100_000),
    Row::new("PUBLISH, nobody", &[], "PUBLISH channel message"),
];

/// Writes to one large collection while a snapshot is saved, besides a million other keys.
static FROZEN_ROWS: &[Row] = &[
    Row::new("RPUSH", LIST, "RPUSH list element:#"),
    Row::new("LSET", LIST, "LSET list 5000 element:#"),
    Row::new("SADD", SET, "SADD set member:#").range(2_000_000),
    Row::new("HSET", HASH, "HSET hash field:# changed:#"),
    Row::new("ZADD", ZSET, "ZADD zset # member:#"),
    Row::new("XADD", STREAM, "XADD stream * field value:#"),
    Row::new(
        "SETBIT, 64 MB",
        &[("SETBIT bits 512000000 1", 1)],
        "SETBIT bits 300000000 1",
    ),
];

pub fn run(plans: &Plans, skein: &Program) -> Result<()> {
    println!(
        "Main commands of each type, pipeline 16, 50 connections, a million members where nothing else is said; thousands of\n\
         requests per second; medians of {} interleaved rounds\n",
        plans.rounds
    );
    header(plans);
    let mut slower = Vec::new();
    for row in ROWS {
        let ratio = compare(plans, row, skein, measure)?.per_cpu;
        if ratio < 1.0 {
            slower.push(format!("{} ({ratio:.2})", row.name));
        }
    }
    verdict(&slower, ROWS.len(), "per CPU");
    Ok(())
}

pub fn run_frozen(plans: &Plans, skein: &Program) -> Result<()> {
    println!(
        "Writes to one large collection while a snapshot with a million other keys is saved, pipeline 16; thousands of\n\
         requests per second; medians of {} interleaved rounds\n",
        plans.rounds
    );
    header(plans);
    let mut slower = Vec::new();
    for row in FROZEN_ROWS {
        // A fork's child is not counted against its parent, and a thread of ours is: only wall time compares.
        let ratio = compare(plans, row, skein, measure_frozen)?.per_wall;
        if ratio < 1.0 {
            slower.push(format!("{} ({ratio:.2})", row.name));
        }
    }
    verdict(&slower, FROZEN_ROWS.len(), "in wall time");
    Ok(())
}

fn header(plans: &Plans) {
    let mut line = format!("{:<26}", "");
    for unit in ["cpu", "wall"] {
        for peer in &plans.peers {
            line += &format!("{:>12}", format!("{}/{unit}", peer.name));
        }
        line += &format!("{:>12}{:>9}   ", format!("skein/{unit}"), "of best");
    }
    println!("{}", line.trim_end());
}

fn verdict(slower: &[String], rows: usize, by: &str) {
    let ahead = rows - slower.len();
    match slower {
        [] => println!("\nahead {by} in all {rows} rows\n"),
        slower => println!(
            "\nahead {by} in {ahead} of {rows} rows; behind in {}\n",
            slower.join(", ")
        ),
    }
}

type Measure = fn(&Plans, &Server, &Row) -> Result<Rate>;

/// Measures a row on all servers in turns and prints it; gives how many times the best other's rates ours are.
fn compare(plans: &Plans, row: &Row, skein: &Program, measure: Measure) -> Result<Rate> {
    let programs: Vec<&Program> = plans.peers.iter().chain([skein]).collect();
    let mut rates = vec![Vec::new(); programs.len()];
    for _ in 0..plans.rounds {
        for (program, rates) in programs.iter().zip(&mut rates) {
            let server = Server::start_pinned(program, &[], Some(SERVER_CPU))?;
            for (command, requests) in row.fill {
                let fill = Load {
                    command,
                    range: row.range,
                    pipeline: 64,
                    requests: (requests / plans.fill_share).max(1),
                };
                fill.run(plans, server.port())?;
            }
            let rate = measure(plans, &server, row).map_err(|error| format!("{}: {error}", row.name))?;
            rates.push(rate);
        }
    }
    let medians: Vec<Rate> = rates.iter().map(|rates| Rate::median(rates)).collect();
    let mut line = format!("{:<26}", row.name);
    let [per_cpu, per_wall] = [|rate: &Rate| rate.per_cpu, |rate: &Rate| rate.per_wall].map(|of| {
        let all: Vec<f64> = medians.iter().map(of).collect();
        let (ours, peers) = all.split_last().unwrap_or((&0.0, &[]));
        let ratio = ours / peers.iter().copied().fold(0.0, f64::max);
        all.iter().for_each(|rate| line += &format!("{rate:>12.1}"));
        line += &format!("{ratio:>9.2}   ");
        ratio
    });
    println!("{}", line.trim_end());
    Ok(Rate { per_cpu, per_wall })
}

fn measure(plans: &Plans, server: &Server, row: &Row) -> Result<Rate> {
    let load = Load {
        command: row.command,
        range: row.range,
        pipeline: row.pipeline,
        requests: (plans.requests * 4 / row.share).next_multiple_of(row.pipeline),
    };
    Rate::of(server.pid(), load.requests, || load.run(plans, server.port()))
}

/// As [`measure`], with a save begun just before.
fn measure_frozen(plans: &Plans, server: &Server, row: &Row) -> Result<Rate> {
    let mut client = server.client()?;
    client.call(&["DEBUG", "POPULATE", "1000000", "other", "100"])?;
    client.call(&["BGSAVE"])?;
    let rate = measure(plans, server, row)?;
    wait::until("the save", Duration::from_secs(60), || {
        let saving = server.info("persistence")?.get("rdb_bgsave_in_progress").cloned();
        Ok((saving.as_deref() != Some("0")).then(|| "still saving".to_string()))
    })?;
    Ok(rate)
}
