//! Skein beside stock servers: who is primary of whom, how the dataset travels, and what happens on the way.
//!
//! Every case ends the same way: the writing stops, offsets meet, and all servers hold the same keys, values and
//! expiries, each one compared.

use std::time::Duration;

use harness::dataset::ensure_equal;
use harness::load::{Plan, Writer, fill_mixed};
use harness::server::{replicate, wait_caught_up};
use harness::{Program, Proxy, Reply, Result, Server, ensure, wait};

use crate::args::Args;
use crate::{build, report};

/// How long a replica may take until it has caught up.
const CATCH_UP: Duration = Duration::from_secs(90);

/// How the snapshot travels.
#[derive(Clone, Copy, PartialEq)]
enum Transfer {
    Disk,
    Diskless,
}

struct Setup {
    skein: Program,
    stock: Program,
    /// Keys in the dataset of the two-server cases.
    keys: u64,
    /// Members of the largest collection of each type.
    members: u64,
    /// Removes a key from the last server before the comparison.
    tamper: bool,
}

pub fn run(args: &Args) -> Result<bool> {
    let keys = args.number("keys", if args.flag("quick") { 20_000 } else { 200_000 })?;
    let setup = Setup {
        skein: build::subject(args)?,
        stock: Program::stock()?,
        keys,
        members: args.number("members", if args.flag("quick") { 50_000 } else { 1_000_000 })?,
        tamper: args.flag("tamper"),
    };
    let wanted = args.rest().first().map(|name| (*name).to_owned()).unwrap_or_default();
    let mut report = report::Report::default();
    for (name, body) in setup.cases() {
        if name.contains(&wanted) {
            report.case(&name, body);
        }
    }
    Ok(report.finish())
}

type Case<'a> = (String, Box<dyn FnOnce() -> Result<String> + 'a>);

impl Setup {
    fn cases(&self) -> Vec<Case<'_>> {
        let (skein, stock) = (&self.skein, &self.stock);
        let mut cases: Vec<Case<'_>> = Vec::new();
        let pairs = [(skein, stock), (stock, skein), (skein, skein)];
        for (primary, replica) in pairs {
            let who = format!("{} primary, {} replica", primary.name, replica.name);
            for (how, transfer) in [("disk", Transfer::Disk), ("diskless", Transfer::Diskless)] {
                let name = format!("full sync under writes, {how}: {who}");
                cases.push((name, Box::new(move || self.full_sync(primary, replica, transfer))));
            }
            let name = format!("partial resync after a cut: {who}");
            cases.push((name, Box::new(move || self.partial_resync(primary, replica))));
            let name = format!("promotion in the middle of writes: {who}");
            cases.push((name, Box::new(move || self.promotion(primary, replica))));
            let name = format!("promotion at rest keeps all partial: {who}");
            cases.push((name, Box::new(move || self.calm_promotion(primary, replica))));
            let name = format!("WAIT, min-replicas-to-write and FAILOVER: {who}");
            cases.push((name, Box::new(move || self.acknowledgements(primary, replica))));
            let name = format!("expired keys are the primary's to delete: {who}");
            cases.push((name, Box::new(move || self.expiry(primary, replica))));
            let name = format!("a wrong password, then the right one: {who}");
            cases.push((name, Box::new(move || self.wrong_password(primary, replica))));
            let name = format!("restart of the replica goes on partially: {who}");
            cases.push((name, Box::new(move || self.replica_restart(primary, replica))));
            let name = format!("restart of the primary: {who}");
            cases.push((name, Box::new(move || self.primary_restart(primary, replica))));
        }
        for (there, here) in [(stock, skein), (skein, stock)] {
            let name = format!(
                "collections of all types: {} <- {} <- {}",
                there.name, here.name, there.name
            );
            cases.push((name, Box::new(move || self.collections([there, here, there]))));
        }
        for chain in 1..8_u32 {
            // Every order of the two kinds in a chain of three, but the one without a skein in it.
            let links = [0, 1, 2].map(|i| if chain >> i & 1 == 1 { skein } else { stock });
            let name = format!("chain: {}", links.map(|p| p.name.as_str()).join(" <- "));
            cases.push((name, Box::new(move || self.chain(links, chain % 2 == 0))));
        }
        cases
    }

    fn full_sync(&self, primary: &Program, replica: &Program, transfer: Transfer) -> Result<String> {
        let primary = start(primary, transfer)?;
        let replica = start(replica, transfer)?;
        fill_mixed(&primary, self.keys, 1)?;
        fill_mixed(&replica, 300, 2)?; // What the replica held before must go.
        let writer = Writer::start(&primary, plan(3))?;
        replicate(&replica, primary.port())?;
        wait_link_up(&replica)?;
        std::thread::sleep(Duration::from_millis(300));
        let writes = writer.stop()?;
        let keys = self.settle(&primary, &[&replica])?;
        ensure_counter(&primary, "sync_full", "1")?;
        Ok(format!("{keys} keys, {writes} writes meanwhile"))
    }

    /// Small and large collections of every type, there and back again through full syncs and under writes.
    fn collections(&self, links: [&Program; 3]) -> Result<String> {
        let [top, middle, bottom] = links.map(|program| start(program, Transfer::Diskless));
        let (top, middle, bottom) = (top?, middle?, bottom?);
        harness::types::fill(&top, self.members)?;
        let changer = harness::types::Changer::start(&top, self.members)?;
        replicate(&middle, top.port())?;
        wait_link_up(&middle)?;
        replicate(&bottom, middle.port())?;
        wait_link_up(&bottom)?;
        std::thread::sleep(Duration::from_millis(500));
        let writes = changer.stop()?;
        let keys = self.settle(&top, &[&middle, &bottom])?;
        Ok(format!(
            "{keys} keys, the largest of {} members, {writes} writes meanwhile",
            self.members
        ))
    }

    fn partial_resync(&self, primary: &Program, replica: &Program) -> Result<String> {
        let primary = start(primary, Transfer::Diskless)?;
        let replica = start(replica, Transfer::Diskless)?;
        let proxy = Proxy::start(primary.port())?;
        fill_mixed(&primary, 3_000, 1)?;
        replicate(&replica, proxy.port())?;
        wait_link_up(&replica)?;
        let slow = Plan {
            per_second: Some(500),
            ..plan(4)
        };
        let writer = Writer::start(&primary, slow)?;
        for cut in 1..=3 {
            let before = proxy.accepted();
            proxy.cut();
            wait::until("the replica coming back", CATCH_UP, || {
                Ok((proxy.accepted() == before).then(|| format!("cut {cut}, {} connections so far", before)))
            })?;
            wait_link_up(&replica)?;
            std::thread::sleep(Duration::from_millis(200));
        }
        writer.stop()?;
        let keys = self.settle(&primary, &[&replica])?;
        ensure_counter(&primary, "sync_full", "1")?;
        ensure_counter(&primary, "sync_partial_ok", "3")?;
        Ok(format!("{keys} keys, 3 cuts, 3 partial resyncs"))
    }

    /// The replica becomes the primary; the old primary and a sibling follow it with a partial resync.
    fn promotion(&self, old: &Program, new: &Program) -> Result<String> {
        let old = start(old, Transfer::Diskless)?;
        let new = start(new, Transfer::Diskless)?;
        let sibling = start(&self.stock, Transfer::Diskless)?;
        fill_mixed(&old, 20_000, 1)?;
        for replica in [&new, &sibling] {
            replicate(replica, old.port())?;
        }
        let writer = Writer::start(
            &old,
            Plan {
                per_second: Some(2_000),
                ..plan(5)
            },
        )?;
        for replica in [&new, &sibling] {
            wait_link_up(replica)?;
        }
        std::thread::sleep(Duration::from_millis(300));
        writer.stop()?;
        wait_caught_up(&old, &[&new, &sibling], CATCH_UP)?;

        let history = old.info_field("replication", "master_replid")?;
        let writer = Writer::start(
            &old,
            Plan {
                per_second: Some(1_000),
                ..plan(6)
            },
        )?;
        new.client()?.ok(&["REPLICAOF", "NO", "ONE"])?;
        let second = new.info_field("replication", "master_replid2")?;
        ensure!(
            second == history,
            "the promoted server's master_replid2 is {second}, its history was {history}"
        );
        // The old primary goes on for a moment: what it writes alone is lost, as it must be.
        std::thread::sleep(Duration::from_millis(100));
        writer.stop()?;
        let writer = Writer::start(
            &new,
            Plan {
                per_second: Some(1_000),
                ..plan(7)
            },
        )?;
        replicate(&sibling, new.port())?;
        replicate(&old, new.port())?;
        for replica in [&sibling, &old] {
            wait_link_up(replica)?;
        }
        writer.stop()?;
        let keys = self.settle(&new, &[&sibling, &old])?;
        Ok(format!(
            "{keys} keys, full syncs from the promoted one: {}",
            new.info_field("stats", "sync_full")?
        ))
    }

    /// With nothing written meanwhile, the old primary and the sibling go on with a partial resync: `replid2` is for that.
    fn calm_promotion(&self, old: &Program, new: &Program) -> Result<String> {
        let start = |program| start_with(program, Transfer::Diskless, &[("repl-ping-replica-period", "3600")]);
        let (old, new, sibling) = (start(old)?, start(new)?, start(&self.stock)?);
        fill_mixed(&old, 3_000, 1)?;
        for replica in [&new, &sibling] {
            replicate(replica, old.port())?;
        }
        for replica in [&new, &sibling] {
            wait_link_up(replica)?;
        }
        // The soon-to-expire keys of the dataset go first: their DELs would be writes of the old primary.
        std::thread::sleep(Duration::from_millis(5_500));
        wait_caught_up(&old, &[&new, &sibling], CATCH_UP)?;
        new.client()?.ok(&["REPLICAOF", "NO", "ONE"])?;
        let writer = Writer::start(
            &new,
            Plan {
                per_second: Some(1_000),
                ..plan(13)
            },
        )?;
        for replica in [&sibling, &old] {
            replicate(replica, new.port())?;
        }
        for replica in [&sibling, &old] {
            wait_link_up(replica)?;
        }
        writer.stop()?;
        let keys = self.settle(&new, &[&sibling, &old])?;
        ensure_counter(&new, "sync_full", "0")?;
        ensure_counter(&new, "sync_partial_ok", "2")?;
        Ok(format!("{keys} keys"))
    }

    /// What the primary knows of its replicas: how many have a write, whether there are enough, who takes over.
    fn acknowledgements(&self, old: &Program, new: &Program) -> Result<String> {
        let (old, new) = (start(old, Transfer::Diskless)?, start(new, Transfer::Diskless)?);
        let mut client = old.client()?;
        client.ok(&["CONFIG", "SET", "min-replicas-to-write", "1"])?;
        let refused = client.call(&["SET", "k", "v"])?.text();
        ensure!(
            refused == "NOREPLICAS Not enough good replicas to write.",
            "SET without replicas: {refused}"
        );
        replicate(&new, old.port())?;
        wait_link_up(&new)?;
        wait::until("enough good replicas", CATCH_UP, || {
            let answer = client.call(&["SET", "k", "v"])?.text();
            Ok((answer != "OK").then_some(answer))
        })?;
        let acknowledged = client.ok(&["WAIT", "1", "5000"])?.int();
        ensure!(acknowledged == Some(1), "WAIT 1 answered {acknowledged:?}");
        let acknowledged = client.ok(&["WAIT", "2", "50"])?.int();
        ensure!(acknowledged == Some(1), "WAIT 2 answered {acknowledged:?}");

        client.ok(&["CONFIG", "SET", "min-replicas-to-write", "0"])?;
        fill_mixed(&old, 2_000, 1)?;
        client.ok(&["FAILOVER", "TIMEOUT", "20000"])?;
        wait::until("roles exchanged", CATCH_UP, || {
            let roles = [&old, &new].map(|server| server.info_field("replication", "role"));
            let [a, b] = roles;
            let (a, b) = (a?, b?);
            Ok((a != "slave" || b != "master").then(|| format!("{a} and {b}")))
        })?;
        wait_link_up(&old)?;
        fill_mixed(&new, 300, 2)?;
        let keys = self.settle(&new, &[&old])?;
        ensure_counter(&new, "sync_full", "0")?;
        Ok(format!("{keys} keys"))
    }

    /// A replica hides a key whose time is up, and drops it when the primary says so.
    fn expiry(&self, primary: &Program, replica: &Program) -> Result<String> {
        let (primary, replica) = (start(primary, Transfer::Diskless)?, start(replica, Transfer::Diskless)?);
        replicate(&replica, primary.port())?;
        wait_link_up(&replica)?;
        let (mut upper, mut lower) = (primary.client()?, replica.client()?);
        upper.ok(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"])?;
        upper.ok(&["SET", "k", "v", "PX", "150"])?;
        wait_caught_up(&primary, &[&replica], CATCH_UP)?;
        std::thread::sleep(Duration::from_millis(300));
        let seen = |client: &mut harness::Client| -> Result<Vec<String>> {
            let asked = [&["GET", "k"][..], &["EXISTS", "k"], &["TTL", "k"], &["DBSIZE"]];
            asked.iter().map(|words| Ok(client.call(words)?.show())).collect()
        };
        let hidden = seen(&mut lower)?.join(" ");
        ensure!(
            hidden == "(nil) (integer) 0 (integer) -2 (integer) 1",
            "the replica answers {hidden}"
        );
        upper.ok(&["GET", "k"])?; // Now the primary notices.
        wait_caught_up(&primary, &[&replica], CATCH_UP)?;
        let gone = lower.call(&["DBSIZE"])?.show();
        ensure!(
            gone == "(integer) 0",
            "after the primary's DEL the replica's DBSIZE is {gone}"
        );
        Ok(String::new())
    }

    fn wrong_password(&self, primary: &Program, replica: &Program) -> Result<String> {
        let primary = start_with(primary, Transfer::Diskless, &[("requirepass", "right")])?;
        let replica = start_with(replica, Transfer::Diskless, &[("masterauth", "wrong")])?;
        fill_mixed(&primary, 300, 1)?;
        fill_mixed(&replica, 300, 2)?;
        let before = replica.client()?.ok(&["DBSIZE"])?.show();
        replicate(&replica, primary.port())?;
        std::thread::sleep(Duration::from_millis(1_500));
        let status = replica.info_field("replication", "master_link_status")?;
        ensure!(status == "down", "the link is {status} with a wrong password");
        ensure!(
            replica.client()?.ok(&["GET", "key:1"]).is_ok(),
            "data is not served while the link is down"
        );
        ensure!(before != "(integer) 0", "nothing was filled");
        replica.client()?.ok(&["CONFIG", "SET", "masterauth", "right"])?;
        wait_link_up(&replica)?;
        let keys = self.settle(&primary, &[&replica])?;
        Ok(format!("{keys} keys"))
    }

    fn replica_restart(&self, primary: &Program, replica: &Program) -> Result<String> {
        let primary = start(primary, Transfer::Diskless)?;
        let mut replica = start(replica, Transfer::Diskless)?;
        fill_mixed(&primary, 5_000, 1)?;
        replica.set_config("replicaof", &format!("127.0.0.1 {}", primary.port()));
        replica.set_config("save", "3600 1");
        replica.terminate(CATCH_UP)?;
        replica.run()?;
        wait_link_up(&replica)?;
        let full_before = primary.info_field("stats", "sync_full")?;
        let writer = Writer::start(
            &primary,
            Plan {
                per_second: Some(1_000),
                ..plan(8)
            },
        )?;
        replica.terminate(CATCH_UP)?;
        std::thread::sleep(Duration::from_millis(100));
        replica.run()?;
        wait_link_up(&replica)?;
        writer.stop()?;
        let keys = self.settle(&primary, &[&replica])?;
        ensure_counter(&primary, "sync_full", &full_before)?;
        Ok(format!("{keys} keys"))
    }

    fn primary_restart(&self, primary: &Program, replica: &Program) -> Result<String> {
        let mut primary = start(primary, Transfer::Diskless)?;
        let replica = start(replica, Transfer::Diskless)?;
        primary.set_config("save", "3600 1");
        primary.terminate(CATCH_UP)?;
        primary.run()?;
        fill_mixed(&primary, 5_000, 1)?;
        replicate(&replica, primary.port())?;
        wait_link_up(&replica)?;
        let writer = Writer::start(
            &primary,
            Plan {
                per_second: Some(2_000),
                ..plan(9)
            },
        )?;
        std::thread::sleep(Duration::from_millis(200));
        writer.stop()?;
        primary.terminate(CATCH_UP)?;
        primary.run()?;
        let writer = Writer::start(
            &primary,
            Plan {
                per_second: Some(2_000),
                ..plan(10)
            },
        )?;
        wait_link_up(&replica)?;
        std::thread::sleep(Duration::from_millis(200));
        writer.stop()?;
        let keys = self.settle(&primary, &[&replica])?;
        Ok(format!("{keys} keys"))
    }

    /// Top, middle, bottom; a cut above the middle, then the top goes and the middle is promoted.
    fn chain(&self, links: [&Program; 3], diskless: bool) -> Result<String> {
        let transfer = if diskless { Transfer::Diskless } else { Transfer::Disk };
        let [top, middle, bottom] = links.map(|program| start(program, transfer));
        let (top, middle, bottom) = (top?, middle?, bottom?);
        fill_mixed(&top, 20_000, 1)?;
        let writer = Writer::start(
            &top,
            Plan {
                per_second: Some(3_000),
                ..plan(11)
            },
        )?;
        let proxy = Proxy::start(top.port())?;
        replicate(&bottom, middle.port())?;
        replicate(&middle, proxy.port())?;
        wait_link_up(&middle)?;
        wait_link_up(&bottom)?;
        std::thread::sleep(Duration::from_millis(200));
        proxy.cut();
        std::thread::sleep(Duration::from_millis(200));
        writer.stop()?;
        wait_link_up(&middle)?;
        wait_caught_up(&top, &[&middle, &bottom], CATCH_UP)?;
        ensure_equal(&top, &middle)?;
        ensure_equal(&top, &bottom)?;
        ensure_counter(&top, "sync_full", "1")?;
        drop(top);

        middle.client()?.ok(&["REPLICAOF", "NO", "ONE"])?;
        let writer = Writer::start(
            &middle,
            Plan {
                per_second: Some(3_000),
                ..plan(12)
            },
        )?;
        std::thread::sleep(Duration::from_millis(200));
        writer.stop()?;
        wait_link_up(&bottom)?;
        let keys = self.settle(&middle, &[&bottom])?;
        Ok(format!("{keys} keys"))
    }

    /// Waits for offsets to meet, then compares every key; gives the number of keys.
    fn settle(&self, primary: &Server, replicas: &[&Server]) -> Result<usize> {
        wait_caught_up(primary, replicas, CATCH_UP)?;
        if self.tamper
            && let Some(last) = replicas.last()
        {
            let mut client = last.client()?;
            client.ok(&["CONFIG", "SET", "replica-read-only", "no"])?;
            client.ok(&["SET", "key:1", "tampered"])?;
        }
        let mut keys = 0;
        for replica in replicas {
            keys = ensure_equal(primary, replica)?;
        }
        Ok(keys)
    }
}

fn start(program: &Program, transfer: Transfer) -> Result<Server> {
    start_with(program, transfer, &[])
}

fn start_with(program: &Program, transfer: Transfer, more: &[(&str, &str)]) -> Result<Server> {
    let diskless = if transfer == Transfer::Diskless { "yes" } else { "no" };
    let mut overrides = vec![
        ("repl-diskless-sync", diskless),
        ("repl-diskless-sync-delay", "0"),
        ("repl-backlog-size", "64mb"),
        // Writers here write as fast as they can; being dropped for it is another test.
        ("client-output-buffer-limit", "replica 0 0 0"),
    ];
    overrides.extend(more);
    Server::start(program, &overrides)
}

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        ..Plan::default()
    }
}

fn wait_link_up(replica: &Server) -> Result<()> {
    let waited = wait::until("link up", CATCH_UP, || {
        let status = replica.info_field("replication", "master_link_status")?;
        Ok((status != "up").then(|| format!("{}: {status}", replica.label())))
    });
    waited
        .map(drop)
        .map_err(|error| format!("{error}\n--- end of its log ---\n{}", replica.log_tail(15)).into())
}

fn ensure_counter(server: &Server, field: &str, expected: &str) -> Result<()> {
    let value = server.info_field("stats", field)?;
    ensure!(
        value == expected,
        "{}: {field} is {value}, not {expected}",
        server.label()
    );
    Ok(())
}
