//! The tutorial our users work from, step by step: one primary with a password, two replicas, config files, the stock
//! `redis-cli`. A pair of stock servers set up in the same way says which fields `INFO replication` has, and in what order.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use harness::server::wait_caught_up;
use harness::{Client, Context, Program, Reply, Result, Server, ensure, wait};

use crate::args::Args;
use crate::build;
use crate::report::Report;

const SETTLE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "123456";

/// A primary and its two replicas.
struct Flock {
    cli: PathBuf,
    primary: Server,
    replicas: Vec<Server>,
}

pub fn run(args: &Args) -> Result<bool> {
    let mut stock = Flock::start(&Program::stock()?)?;
    let mut ours = Flock::start(&build::subject(args)?)?;
    if args.flag("tamper") {
        ours.replicas[0]
            .client()?
            .ok(&["CONFIG", "SET", "replica-read-only", "no"])?;
    }
    let mut report = Report::default();
    report.case("auth", || ours.auth());
    report.case("SET and GET on the primary, GET on the replicas", || ours.set_and_get());
    report.case("SET on a replica", || ours.write_on_replica());
    report.case("info replication on the primary", || ours.info_of_primary(&stock));
    report.case("info replication on a replica", || ours.info_of_replica(&stock));
    report.case("offsets meet", || ours.offsets_meet());
    report.case("link down, stale data forbidden", || ours.link_down(&mut stock));
    report.case("INFO and REPLICAOF are still answered", || ours.escape());
    Ok(report.finish())
}

impl Flock {
    fn start(program: &Program) -> Result<Self> {
        let primary = Server::start(
            program,
            &[("protected-mode", "no"), ("bind", "0.0.0.0"), ("requirepass", PASSWORD)],
        )?;
        let address = format!("localhost {}", primary.port());
        let replica = || {
            let settings = [
                ("slaveof", address.as_str()),
                ("masterauth", PASSWORD),
                ("slave-serve-stale-data", "no"),
            ];
            Server::start(program, &settings)
        };
        let flock = Self {
            cli: harness::stock::ensure("redis-cli")?,
            replicas: vec![replica()?, replica()?],
            primary,
        };
        flock.wait_linked()?;
        Ok(flock)
    }

    fn wait_linked(&self) -> Result<()> {
        for replica in &self.replicas {
            wait::until("the replica's link", SETTLE, || {
                let status = replica.info_field("replication", "master_link_status")?;
                Ok((status != "up").then(|| format!("{status}\n{}", replica.log_tail(10))))
            })?;
        }
        wait::until("both replicas online", SETTLE, || {
            let info = self.primary.info("replication")?;
            let online = info.values().filter(|v| v.contains("state=online")).count();
            Ok((online < 2).then(|| format!("{online} online")))
        })?;
        let replicas: Vec<&Server> = self.replicas.iter().collect();
        wait_caught_up(&self.primary, &replicas, SETTLE)
    }

    /// Types lines into `redis-cli`, as a person does; gives what it shows.
    fn type_in(&self, server: &Server, lines: &str) -> Result<String> {
        use std::io::Write;
        let mut command = Command::new(&self.cli);
        command.args(["-p", &server.port().to_string(), "--no-raw"]);
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().context(|| "starting redis-cli")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(lines.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .replace("\r\n", "\n")
            .trim_end()
            .to_owned())
    }

    fn check(&self, server: &Server, lines: &str, expected: &str) -> Result<()> {
        let shown = self.type_in(server, lines)?;
        ensure!(shown == expected, "redis-cli showed\n{shown}\ninstead of\n{expected}");
        Ok(())
    }

    fn auth(&self) -> Result<String> {
        self.check(
            &self.primary,
            "get k1\nauth wrong\nauth 123456\nping\n",
            "(error) NOAUTH Authentication required.\n\
             (error) WRONGPASS invalid username-password pair or user is disabled.\nOK\nPONG",
        )?;
        Ok(String::new())
    }

    fn set_and_get(&self) -> Result<String> {
        self.check(&self.primary, "auth 123456\nSET k1 v1\nGET k1\n", "OK\nOK\n\"v1\"")?;
        let replicas: Vec<&Server> = self.replicas.iter().collect();
        wait_caught_up(&self.primary, &replicas, SETTLE)?;
        for replica in replicas {
            self.check(replica, "GET k1\n", "\"v1\"")?;
        }
        Ok(String::new())
    }

    fn write_on_replica(&self) -> Result<String> {
        for replica in &self.replicas {
            let refused = "(error) READONLY You can't write against a read only replica.";
            self.check(replica, "SET k1 v2\nGET k1\n", &format!("{refused}\n\"v1\""))?;
        }
        Ok(String::new())
    }

    /// Fields, names and order as stock's; what stock lacks may only come after.
    fn info_of_primary(&self, stock: &Self) -> Result<String> {
        let [ours, theirs] = [self, stock].map(|f| f.type_in(&f.primary, "auth 123456\ninfo replication\n"));
        let (ours, theirs) = (ours?, theirs?);
        same_fields(&ours, &theirs)?;
        let field = |name: &str| value(&ours, name);
        ensure!(
            field("role") == "master" && field("connected_slaves") == "2",
            "in\n{ours}"
        );
        for name in ["slave0", "slave1"] {
            let value = field(name);
            let parts: Vec<&str> = value.split(',').collect();
            let [ip, port, state, offset, lag] = parts.as_slice() else {
                return Err(format!("{name}:{value}").into());
            };
            ensure!(*ip == "ip=127.0.0.1" && *state == "state=online", "{name}:{value}");
            let port_is_known = self.replicas.iter().any(|r| *port == format!("port={}", r.port()));
            let number = |text: &str, name: &str| text.strip_prefix(name).is_some_and(|n| n.parse::<i64>().is_ok());
            ensure!(
                port_is_known && number(offset, "offset=") && number(lag, "lag="),
                "{name}:{value}"
            );
        }
        check_replication_numbers(&ours)?;
        Ok(String::new())
    }

    fn info_of_replica(&self, stock: &Self) -> Result<String> {
        let [ours, theirs] = [self, stock].map(|f| f.type_in(&f.replicas[0], "info replication\n"));
        let (ours, theirs) = (ours?, theirs?);
        same_fields(&ours, &theirs)?;
        let port = self.primary.port().to_string();
        for (name, expected) in [
            ("role", "slave"),
            ("master_host", "localhost"),
            ("master_port", &port),
            ("master_link_status", "up"),
            ("master_sync_in_progress", "0"),
            ("slave_priority", "100"),
            ("slave_read_only", "1"),
            ("connected_slaves", "0"),
        ] {
            ensure!(value(&ours, name) == expected, "{name} is not {expected} in\n{ours}");
        }
        check_replication_numbers(&ours)?;
        let same_id = value(&ours, "master_replid") == self.primary.info_field("replication", "master_replid")?;
        ensure!(same_id, "master_replid differs from the primary's");
        Ok(String::new())
    }

    fn offsets_meet(&self) -> Result<String> {
        wait::until("offsets meet", SETTLE, || {
            let info = self.primary.info("replication")?;
            let offset = info.get("master_repl_offset").cloned().unwrap_or_default();
            let acked = |name: &str| info.get(name).is_some_and(|v| v.contains(&format!("offset={offset},")));
            let mut all = vec![acked("slave0"), acked("slave1")];
            for replica in &self.replicas {
                let theirs = replica.info("replication")?;
                all.extend(["slave_repl_offset", "master_repl_offset"].map(|f| theirs.get(f) == Some(&offset)));
            }
            Ok(all.contains(&false).then(|| format!("{info:?}")))
        })?;
        Ok(String::new())
    }

    fn link_down(&mut self, stock: &mut Self) -> Result<String> {
        let mut answers = Vec::new();
        for flock in [self, stock] {
            flock.primary.kill();
            let replica = &flock.replicas[0];
            wait::until("the link going down", SETTLE, || {
                let status = replica.info_field("replication", "master_link_status")?;
                Ok((status != "down").then_some(status))
            })?;
            answers.push(flock.type_in(
                replica,
                "GET k1\nSET k1 v\nPING\nDBSIZE\nCONFIG GET databases\nECHO x\nMULTI\nGET k1\nEXEC\n",
            )?);
        }
        ensure!(
            answers[0] == answers[1],
            "after the primary went away redis-cli showed\n{}\nwith stock\n{}",
            answers[0],
            answers[1]
        );
        let stale = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
        ensure!(answers[0].contains(stale), "no MASTERDOWN in\n{}", answers[0]);
        Ok(String::new())
    }

    fn escape(&self) -> Result<String> {
        let shown = self.type_in(&self.replicas[0], "info replication\n")?;
        ensure!(shown.contains("master_link_status:down"), "{shown}");
        ensure!(!value(&shown, "master_link_down_since_seconds").is_empty(), "{shown}");
        self.check(
            &self.replicas[0],
            "REPLICAOF NO ONE\nGET k1\nSET k1 v2\nGET k1\n",
            "OK\n\"v1\"\nOK\n\"v2\"",
        )?;
        let mut other = Client::connect(self.replicas[1].port())?;
        // The promoted replica asks for no password.
        other.ok(&["CONFIG", "SET", "masterauth", ""])?;
        let answer = other
            .call(&["REPLICAOF", "localhost", &self.replicas[0].port().to_string()])?
            .text();
        ensure!(answer == "OK", "REPLICAOF answered {answer}");
        wait::until("following the promoted replica", SETTLE, || {
            let value = other.call(&["GET", "k1"])?.text();
            Ok((value != "v2").then_some(value))
        })?;
        Ok(String::new())
    }
}

/// The value of a field in an INFO text.
fn value(info: &str, name: &str) -> String {
    let fields = info.lines().filter_map(|line| line.split_once(':'));
    fields
        .filter(|(field, _)| *field == name)
        .map(|(_, value)| value.to_owned())
        .next()
        .unwrap_or_default()
}

/// Stock's lines, by name, have to be ours, in its order, without a gap; ours may go on after them.
fn same_fields(ours: &str, stock: &str) -> Result<()> {
    let names = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split(':').next().unwrap_or_default().to_owned())
            .collect()
    };
    let (ours, stock) = (names(ours), names(stock));
    ensure!(
        ours.starts_with(&stock),
        "the fields are\n  {}\nand those of stock\n  {}",
        ours.join(" "),
        stock.join(" ")
    );
    Ok(())
}

fn check_replication_numbers(info: &str) -> Result<()> {
    let id = value(info, "master_replid");
    ensure!(
        id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "master_replid:{id}"
    );
    let number = |name: &str| value(info, name).parse::<i64>().context(|| name.to_owned());
    for (name, expected) in [
        ("second_repl_offset", -1),
        ("repl_backlog_active", 1),
        ("repl_backlog_size", 1_048_576),
    ] {
        ensure!(number(name)? == expected, "{name} is not {expected} in\n{info}");
    }
    let (first, length) = (
        number("repl_backlog_first_byte_offset")?,
        number("repl_backlog_histlen")?,
    );
    ensure!(
        first + length - 1 == number("master_repl_offset")?,
        "the backlog's bounds do not meet the offset in\n{info}"
    );
    ensure!(
        value(info, "master_replid2") == "0".repeat(40),
        "master_replid2 in\n{info}"
    );
    Ok(())
}
