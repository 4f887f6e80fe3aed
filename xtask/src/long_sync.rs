//! One long full sync: default limits, a gigabyte of data, a replica behind a slow line, clients that write as fast as
//! they can all the while. It must be online after exactly one full sync.

use std::time::{Duration, Instant};

use harness::dataset::ensure_equal;
use harness::load::{Plan, Writer, fill};
use harness::proxy::Rules;
use harness::server::{replicate, wait_caught_up};
use harness::{Proxy, Result, Server, ensure, wait};

use crate::args::Args;
use crate::build;
use crate::report::Report;

/// What the slow line carries.
const BYTES_PER_SECOND: u64 = 20_000_000;
const VALUE_BYTES: usize = 1_000;
/// Of what is written meanwhile.
const WRITE_BYTES: usize = 16;

pub fn run(args: &Args) -> Result<bool> {
    let megabytes = args.number("megabytes", 1_000)?;
    let program = build::subject(args)?;
    let mut report = Report::default();
    report.case(
        &format!("full sync of {megabytes} MB over a slow line under writes"),
        || {
            let primary = Server::start(&program, &[])?;
            let replica = Server::start(&program, &[])?;
            let keys = megabytes * 1_000_000 / VALUE_BYTES as u64;
            fill(&primary, keys, VALUE_BYTES)?;
            let proxy = Proxy::start(primary.port())?;
            proxy.set(Rules {
                bytes_per_second: Some(BYTES_PER_SECOND),
                ..Rules::default()
            });

            let at_most = Duration::from_secs(60 + megabytes / 20 * 6);
            // Keys of their own: overwriting the dataset would make it another.
            let plan = Plan {
                keys: 100_000,
                prefix: "w:",
                set_bytes: Some(WRITE_BYTES),
                pipeline: 64,
                at_most,
                ..Plan::default()
            };
            let writer = Writer::start(&primary, plan)?;
            let start = Instant::now();
            replicate(&replica, proxy.port())?;
            let waited = wait::until("online", at_most, || {
                let full = primary.info_field("stats", "sync_full")?;
                if full != "0" && full != "1" {
                    return Ok(None); // It began anew; that is told below.
                }
                let online = primary
                    .info("replication")?
                    .values()
                    .any(|v| v.contains("state=online"));
                let status = replica.info_field("replication", "master_link_status")?;
                Ok((!online || status != "up")
                    .then(|| format!("link {status}, {} bytes passed", proxy.bytes_to_client())))
            });
            let logs = |error: harness::Error| {
                format!(
                    "{error}\n--- primary ---\n{}\n--- replica ---\n{}",
                    primary.log_tail(15),
                    replica.log_tail(15)
                )
            };
            waited.map_err(logs)?;
            let took = start.elapsed();
            let writes = writer.stop()?;
            let full = primary.info_field("stats", "sync_full")?;
            let rate = writes as f64 / took.as_secs_f64();
            if full != "1" {
                let why = format!(
                    "sync_full is {full} after {:.1} s and {writes} writes ({rate:.0}/s)",
                    took.as_secs_f64()
                );
                return Err(logs(why.into()).into());
            }
            proxy.set(Rules::default());
            wait_caught_up(&primary, &[&replica], Duration::from_secs(120))?;
            let keys = ensure_equal(&primary, &replica)?;
            let full = primary.info_field("stats", "sync_full")?;
            ensure!(full == "1", "sync_full is {full}, not 1");
            Ok(format!(
                "online after {:.1} s and one full sync; {writes} writes ({rate:.0}/s); {keys} keys equal",
                took.as_secs_f64()
            ))
        },
    );
    Ok(report.finish())
}
