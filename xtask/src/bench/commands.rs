//! The first table of the data path: GET, SET and ZADD, what a replica costs its primary, and what the stream costs the
//! replica.

use std::time::Duration;

use harness::server::{replicate, wait_caught_up};
use harness::{Program, Result, Server, wait};

use super::load::{Load, Rate, fill};
use super::statistics::median;
use super::{LOAD_CPU, Null, Plans, SERVER_CPU, Target, verdict};

/// Keys, or members, that are there and are read or overwritten.
const KEYS: u64 = 1_000_000;
/// Where new ones are taken from at random: so many that hardly one comes twice.
const NEW: u64 = 1_000_000_000;
const SET: &str = "SET key:# xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
const ZADD: &str = "ZADD zset # member:#";
/// How long a replica may take to follow, and to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);

struct Row {
    name: &'static str,
    command: &'static str,
    pipeline: u64,
    /// At least so many times the null server, and the best of the others.
    of_null: Option<f64>,
    of_best: f64,
    finds: Finds,
}

/// What a command finds at its key, or member.
#[derive(Clone, Copy, PartialEq)]
enum Finds {
    Value,
    Nothing,
}

const fn row(name: &'static str, command: &'static str, pipeline: u64, of_null: Option<f64>, of_best: f64) -> Row {
    Row {
        name,
        command,
        pipeline,
        of_null,
        of_best,
        finds: Finds::Value,
    }
}

const fn new(name: &'static str, command: &'static str, pipeline: u64, of_null: Option<f64>, of_best: f64) -> Row {
    Row {
        finds: Finds::Nothing,
        ..row(name, command, pipeline, of_null, of_best)
    }
}

static ROWS: &[Row] = &[
    row("GET P=1", "GET key:#", 1, Some(0.92), 1.0),
    row("SET P=1", SET, 1, Some(0.92), 1.0),
    row("GET P=16", "GET key:#", 16, Some(0.8), 1.5),
    row("SET P=16", SET, 16, Some(0.75), 2.0),
    new("SET P=16, new keys", SET, 16, Some(0.75), 2.0),
    row("GET P=128", "GET key:#", 128, None, 3.0),
    row("SET P=128", SET, 128, None, 3.0),
    new("SET P=128, new keys", SET, 128, None, 3.0),
    row("ZADD P=16", ZADD, 16, None, 3.0),
    new("ZADD P=16, new members", ZADD, 16, None, 3.0),
];

const REPLICATED: Row = row("SET P=16, one replica", SET, 16, None, 2.5);
const APPLYING: [Row; 2] = [
    row("replica applying SET", SET, 16, None, 3.0),
    new("the same, new keys", SET, 16, None, 3.0),
];
/// The share of its processor time that a primary may spend on a replica.
const REPLICA_COST: f64 = 0.10;

/// Measures one server of a row, once.
type Measure<'a> = &'a dyn Fn(&Plans, &Program, &Row) -> Result<Rate>;

pub fn run(plans: &Plans, skein: &Program) -> Result<()> {
    println!(
        "Commands: 64-byte values, {} keys or members that are there, or none of which is; at random; 50 connections; thousands\n\
         of requests per second of the server's processor time, and of wall time behind it; medians of {} interleaved rounds\n",
        keys(plans),
        plans.rounds
    );
    header(plans);
    for row in ROWS {
        compare(plans, skein, row, Limit::Measured, &alone)?;
    }
    replicated(plans, skein)?;
    for row in &APPLYING {
        compare(plans, skein, row, Limit::Absent, &applying)?;
    }
    println!(
        "(the replicas of the last two rows all follow {})\n",
        plans.peers[0].name
    );
    Ok(())
}

fn header(plans: &Plans) {
    let mut line = format!("{:<24}{:>9}", "per CPU second", "null");
    for peer in &plans.peers {
        line += &format!("{:>9}", peer.name);
    }
    line += &format!("{:>9}{:>9}{:>9}  {:<66}", "skein", "of null", "of best", "wanted");
    println!("{line}wall: null, {}, skein", names(plans));
}

fn names(plans: &Plans) -> String {
    let names: Vec<&str> = plans.peers.iter().map(|peer| peer.name.as_str()).collect();
    names.join(", ")
}

/// Whether the null server can stand beside a row.
#[derive(Clone, Copy, PartialEq)]
enum Limit {
    Measured,
    Absent,
}

/// Measures a row on all servers in turns, prints it; gives the medians, ours last.
fn compare(plans: &Plans, skein: &Program, row: &Row, limit: Limit, measure: Measure) -> Result<Vec<Rate>> {
    let programs: Vec<&Program> = plans.peers.iter().chain([skein]).collect();
    let mut nulls = Vec::new();
    let mut rates = vec![Vec::new(); programs.len()];
    for _ in 0..plans.rounds {
        if limit == Limit::Measured {
            nulls.push(measure_null(plans, row)?);
        }
        for (program, rates) in programs.iter().zip(&mut rates) {
            let rate = measure(plans, program, row);
            rates.push(rate.map_err(|error| format!("{}, {}: {error}", row.name, program.name))?);
        }
    }
    let medians: Vec<Rate> = rates.iter().map(|rates| Rate::median(rates)).collect();
    let null = (limit == Limit::Measured).then(|| Rate::median(&nulls));
    print(row, null, &medians);
    Ok(medians)
}

fn print(row: &Row, null: Option<Rate>, medians: &[Rate]) {
    let Some((ours, peers)) = medians.split_last() else {
        return;
    };
    let best = peers.iter().map(|peer| peer.per_cpu).fold(0.0, f64::max);
    let of_best = ours.per_cpu / best;
    let of_null = null.map(|null| ours.per_cpu / null.per_cpu);
    let blank = || format!("{:>9}", "");
    let mut line = format!("{:<24}", row.name);
    line += &null.map_or_else(blank, |null| format!("{:>9.1}", null.per_cpu));
    for rate in medians {
        line += &format!("{:>9.1}", rate.per_cpu);
    }
    line += &of_null.map_or_else(blank, |ratio| format!("{ratio:>9.2}"));
    line += &format!("{of_best:>9.2}");
    let targets = [
        row.of_null
            .zip(of_null)
            .map(|(wanted, is)| Target::at_least("null", wanted, is)),
        Some(Target::at_least("best", row.of_best, of_best)),
    ];
    line += &format!("  {:<66}", verdict(targets.into_iter().flatten()));
    let walls = null.iter().chain(medians).map(|rate| format!("{:.0}", rate.per_wall));
    println!("{line}{}", walls.collect::<Vec<_>>().join(", "));
}

fn requests(plans: &Plans, row: &Row) -> u64 {
    let factor = if row.pipeline > 1 { 8 } else { 1 };
    (plans.requests * factor).next_multiple_of(row.pipeline)
}

fn keys(plans: &Plans) -> u64 {
    KEYS.min(plans.requests * 4)
}

fn load<'a>(plans: &Plans, row: &Row) -> Load<'a> {
    Load {
        command: row.command,
        range: match row.finds {
            Finds::Value => keys(plans),
            Finds::Nothing => NEW,
        },
        pipeline: row.pipeline,
        requests: requests(plans, row),
    }
}

fn measure_null(plans: &Plans, row: &Row) -> Result<Rate> {
    let server = Null::start()?;
    let load = load(plans, row);
    let warming = Load {
        requests: (load.requests / 10).max(row.pipeline),
        ..load
    };
    warming.run(plans, server.port())?;
    Rate::of(server.pid(), load.requests, || load.run(plans, server.port()))
}

/// Puts in what a row is to find.
fn prepare(plans: &Plans, row: &Row, server: &Server) -> Result<()> {
    if row.finds == Finds::Nothing {
        return Ok(());
    }
    let command: fn(u64) -> Vec<String> = match row.command {
        ZADD => |n| vec!["ZADD".into(), "zset".into(), n.to_string(), format!("member:{n:012}")],
        _ => |n| vec!["SET".into(), format!("key:{n:012}"), "x".repeat(64)],
    };
    fill(&mut server.client()?, 0..keys(plans), command)
}

fn alone(plans: &Plans, program: &Program, row: &Row) -> Result<Rate> {
    let server = Server::start_pinned(program, &[], Some(SERVER_CPU))?;
    prepare(plans, row, &server)?;
    let load = load(plans, row);
    Rate::of(server.pid(), load.requests, || load.run(plans, server.port()))
}

const SETTINGS: [(&str, &str); 3] = [
    ("repl-diskless-sync-delay", "0"),
    ("repl-backlog-size", "64mb"),
    ("client-output-buffer-limit", "replica 0 0 0"),
];

/// A primary and its replica, in step.
fn pair(primary: (&Program, u32), replica: (&Program, u32)) -> Result<(Server, Server)> {
    let primary = Server::start_pinned(primary.0, &SETTINGS, Some(primary.1))?;
    let replica = Server::start_pinned(replica.0, &SETTINGS, Some(replica.1))?;
    replicate(&replica, primary.port())?;
    wait::until("the replica following", CATCH_UP, || {
        let status = replica.info_field("replication", "master_link_status")?;
        Ok((status != "up").then_some(status))
    })?;
    Ok((primary, replica))
}

/// What the primary spends with a replica of its own kind, which runs where the load does.
fn with_replica(plans: &Plans, program: &Program, row: &Row) -> Result<Rate> {
    let (primary, replica) = pair((program, SERVER_CPU), (program, LOAD_CPU))?;
    follow_load(plans, row, &primary, &replica, primary.pid())
}

/// What the replica spends; the primary is the same for all, and runs where the load does.
fn applying(plans: &Plans, program: &Program, row: &Row) -> Result<Rate> {
    let (primary, replica) = pair((&plans.peers[0], LOAD_CPU), (program, SERVER_CPU))?;
    follow_load(plans, row, &primary, &replica, replica.pid())
}

/// Loads the primary; what process `pid` spends until the replica has all of it.
fn follow_load(plans: &Plans, row: &Row, primary: &Server, replica: &Server, pid: u32) -> Result<Rate> {
    prepare(plans, row, primary)?;
    wait_caught_up(primary, &[replica], CATCH_UP)?;
    let load = load(plans, row);
    Rate::of(pid, load.requests, || {
        load.run(plans, primary.port())?;
        wait_caught_up(primary, &[replica], CATCH_UP)
    })
}

/// The same load without and with a replica, in the same rounds: the difference is what the replica costs its primary.
fn replicated(plans: &Plans, skein: &Program) -> Result<()> {
    let costs = std::cell::RefCell::new(Vec::new());
    let both = |plans: &Plans, program: &Program, row: &Row| -> Result<Rate> {
        let (alone, with) = (alone(plans, program, row)?, with_replica(plans, program, row)?);
        let cost = 1.0 - with.per_cpu / alone.per_cpu;
        costs.borrow_mut().push((program.path.clone(), cost));
        Ok(with)
    };
    compare(plans, skein, &REPLICATED, Limit::Absent, &both)?;
    let costs = costs.into_inner();
    let cost_of = |program: &Program| {
        let all = costs.iter().filter(|(path, _)| *path == program.path);
        100.0 * median(all.map(|(_, cost)| *cost))
    };
    let mut line = format!("{:<24}{:>9}", "the replica's cost, %", "");
    for program in plans.peers.iter().chain([skein]) {
        line += &format!("{:>9.1}", cost_of(program));
    }
    let target = Target::at_most("cost", 100.0 * REPLICA_COST, cost_of(skein));
    println!("{line}{:>18}  {}", "", verdict([target]));
    Ok(())
}
