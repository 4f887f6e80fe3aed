//! Sockets that several threads read and write: replies, messages and the stream stay whole and in order.
#![allow(clippy::disallowed_methods, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::dataset::ensure_equal;
use harness::process::{CpuTime, signal};
use harness::reply::{Reply as _, Value, write_command};
use harness::server::{Program, Server, replicate, wait_caught_up};
use harness::{Client, wait};

const SOON: Duration = Duration::from_secs(60);
/// The stock server wakes its threads from two sockets for each on.
const ENOUGH: usize = 2 * 4;

/// Main and helpers share the work where there is enough of it, as on any server; or helpers do all of it.
const MODES: [&str; 2] = ["no", "yes"];

fn start(always: &str, more: &[(&str, &str)]) -> Server {
    let mut settings = vec![
        ("io-threads", "4"),
        ("io-threads-do-reads", "yes"),
        ("io-threads-always-active", always),
        ("repl-diskless-sync-delay", "0"),
    ];
    settings.extend(more);
    let program = Program::at("skein", Path::new(env!("CARGO_BIN_EXE_skein")));
    Server::start(&program, &settings).unwrap()
}

fn number(server: &Server, section: &str, field: &str) -> u64 {
    server.info_field(section, field).unwrap().parse().unwrap()
}

/// The threads of a process: name, and nanoseconds on a processor.
fn threads(server: &Server) -> BTreeMap<String, u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let one = |path: &Path| {
        let name = std::fs::read_to_string(path.join("comm")).unwrap();
        let times = std::fs::read_to_string(path.join("schedstat")).unwrap();
        let spent = times.split(' ').next().unwrap().parse().unwrap();
        (name.trim().to_owned(), spent)
    };
    tasks.flatten().map(|task| one(&task.path())).collect()
}

/// What the server gets while it stands still, it finds all at once.
fn at_once<T>(server: &Server, send: impl FnOnce() -> T) -> T {
    signal(server.pid(), "STOP").unwrap();
    let sent = send();
    signal(server.pid(), "CONT").unwrap();
    sent
}

#[test]
fn threads_have_stock_names_and_sleep_when_there_is_nothing_to_do() {
    let helpers = |server: &Server| -> BTreeMap<String, u64> {
        let all = threads(server).into_iter();
        all.filter(|(name, _)| name.starts_with("io_thd_")).collect()
    };
    let server = start("no", &[]);
    let mut clients: Vec<Client> = (0..32).map(|_| server.client().unwrap()).collect();
    for _ in 0..20 {
        at_once(&server, || {
            clients.iter_mut().for_each(|client| client.send(&["PING"]).unwrap())
        });
        for client in &mut clients {
            assert_eq!(client.reply().unwrap(), Value::Simple(b"PONG".to_vec()));
        }
    }
    std::thread::sleep(Duration::from_millis(100));
    let (before, all_before) = (helpers(&server), CpuTime::of(server.pid()).unwrap());
    assert!(before.keys().eq(["io_thd_1", "io_thd_2", "io_thd_3"]), "{before:?}");
    std::thread::sleep(Duration::from_millis(1000));
    assert_eq!(helpers(&server), before, "a helper was not asleep");
    let spent = CpuTime::of(server.pid()).unwrap().seconds_since(&all_before);
    assert!(spent < 0.05, "an idle server took {spent} s of a second");

    let program = server.program().clone();
    let alone = Server::start(&program, &[]).unwrap();
    assert!(helpers(&alone).is_empty());
}

#[test]
fn counts_are_those_of_one_thread() {
    let server = start("no", &[]);
    let mut clients: Vec<Client> = (0..24).map(|_| server.client().unwrap()).collect();
    let mut watcher = server.client().unwrap();
    for name in ["io-threads", "io-threads-do-reads"] {
        let refused = watcher.call(&["CONFIG", "SET", name, "1"]).unwrap();
        assert!(
            refused.as_error().unwrap().ends_with(b"immutable config"),
            "{refused:?}"
        );
    }
    watcher.ok(&["CONFIG", "RESETSTAT"]).unwrap();
    assert_eq!(number(&server, "stats", "io_threaded_writes_processed"), 0);

    let counted = [
        "total_net_input_bytes",
        "total_net_output_bytes",
        "total_reads_processed",
        "total_writes_processed",
    ];
    let look = |watcher: &mut Client| -> Vec<u64> {
        let stats = harness::server::parse_info(&watcher.ok(&["INFO", "everything"]).unwrap().text());
        let mut counts: Vec<u64> = counted.iter().map(|name| stats[*name].parse().unwrap()).collect();
        counts.push(stats["io_threads_active"].parse().unwrap());
        counts
    };
    let mut request = Vec::new();
    write_command(&mut request, &["ECHO", &"x".repeat(100)]);
    let before = look(&mut watcher);
    // The reply to this look itself, and the request of the next.
    let own = (look(&mut watcher)[1] - before[1], look(&mut watcher));
    at_once(&server, || {
        clients.iter_mut().for_each(|client| client.send_raw(&request).unwrap())
    });
    for client in &mut clients {
        assert_eq!(client.reply().unwrap(), Value::Bulk(vec![b'x'; 100]));
    }
    let after = look(&mut watcher);
    let grown: Vec<u64> = after.iter().zip(&own.1).map(|(after, before)| after - before).collect();
    let info_request = b"*2\r\n$4\r\nINFO\r\n$10\r\neverything\r\n".len() as u64;
    assert_eq!(grown[0], 24 * request.len() as u64 + info_request);
    // INFO's own length varies by a few digits.
    let replies = 24 * b"$100\r\n\r\n".len() as u64 + 24 * 100;
    assert!(grown[1].abs_diff(replies + own.0) < 100, "{grown:?} {own:?}");
    assert_eq!(grown[2..4], [25, 25]);

    let threaded =
        ["io_threaded_reads_processed", "io_threaded_writes_processed"].map(|name| number(&server, "stats", name));
    assert_eq!(threaded, [24, 24]);
    // The watcher alone is not worth a thread.
    assert_eq!(look(&mut watcher)[4], 0);
    at_once(&server, || {
        clients.iter_mut().for_each(|client| client.send_raw(&request).unwrap());
        watcher.send(&["INFO", "server"]).unwrap();
    });
    assert!(watcher.reply().unwrap().text().contains("io_threads_active:1"));
    assert!(clients.len() >= ENOUGH);
}

/// Replies of one client: pipelines of writes and reads of its own, messages, and values that no socket takes at once.
fn talk(server: &Server, name: usize, rounds: usize) {
    let mut client = server.client().unwrap();
    let large = vec![b'a' + name as u8; 300_000 + name];
    client
        .ok(&[b"SET".to_vec(), format!("large:{name}").into_bytes(), large.clone()])
        .unwrap();
    for round in 0..rounds {
        let mut commands: Vec<Vec<String>> = Vec::new();
        for step in 0..20 {
            let (key, value) = (format!("key:{name}:{step}"), format!("{name}:{round}:{step}"));
            commands.push(vec!["SET".into(), key.clone(), value]);
            commands.push(vec!["GET".into(), key]);
            commands.push(vec!["INCR".into(), format!("count:{name}")]);
        }
        commands.push(vec!["PUBLISH".into(), "news".into(), format!("{name} {round}")]);
        if round % 10 == 0 {
            commands.push(vec!["GET".into(), format!("large:{name}")]);
        }
        let replies = client.pipeline(&commands).unwrap();
        for step in 0..20 {
            let expected = [
                Value::Simple(b"OK".to_vec()),
                Value::Bulk(format!("{name}:{round}:{step}").into_bytes()),
                Value::Int((round * 20 + step + 1) as i64),
            ];
            assert_eq!(replies[step * 3..step * 3 + 3], expected);
        }
        assert!(matches!(replies[60], Value::Int(_)));
        if round % 10 == 0 {
            assert!(
                replies[61] == Value::Bulk(large.clone()),
                "a large reply of {name} is not what was set"
            );
        }
    }
}

/// Reads messages until there were so many; those of each sender in their order, without a gap.
fn listen(mut client: Client, senders: usize, rounds: usize) {
    let mut next = vec![0; senders];
    for _ in 0..senders * rounds {
        let message = client.reply().unwrap();
        let text = message.items()[2].text();
        let (name, round) = text.split_once(' ').unwrap();
        let (name, round): (usize, usize) = (name.parse().unwrap(), round.parse().unwrap());
        assert_eq!(round, next[name], "message of {name}");
        next[name] += 1;
    }
}

/// Asks for large replies until it is killed; then again, on a new connection. Returns how often it was killed.
fn be_killed(server: &Server, over: &AtomicBool) -> usize {
    let mut killed = 0;
    while !over.load(Ordering::Relaxed) {
        let mut client = server.client().unwrap();
        let ask = |client: &mut Client| client.pipeline(&vec![vec!["GET", "large:0"]; 4]);
        if client.call(&["CLIENT", "SETNAME", "victim"]).is_err() {
            killed += 1;
            continue;
        }
        while !over.load(Ordering::Relaxed) {
            if ask(&mut client).is_err() {
                killed += 1;
                break;
            }
        }
    }
    killed
}

fn kill_victims(server: &Server, over: &AtomicBool) {
    let mut client = server.client().unwrap();
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
        let list = client.ok(&["CLIENT", "LIST"]).unwrap().text();
        for line in list.lines().filter(|line| line.contains("name=victim")) {
            let id = line.split(' ').next().unwrap().trim_start_matches("id=");
            client.call(&["CLIENT", "KILL", "ID", id]).unwrap();
        }
    }
}

#[test]
fn replies_messages_and_the_stream_stay_whole_while_clients_are_killed() {
    const TALKERS: usize = 16;
    const ROUNDS: usize = 60;
    for mode in MODES {
        let (server, replica) = (start(mode, &[]), start(mode, &[]));
        replicate(&replica, server.port()).unwrap();
        wait::until("the replica's link", SOON, || {
            let status = replica.info_field("replication", "master_link_status")?;
            Ok((status != "up").then_some(status))
        })
        .unwrap();
        let over = AtomicBool::new(false);
        let listeners: Vec<Client> = (0..4)
            .map(|_| {
                let mut client = server.client().unwrap();
                client.ok(&["SUBSCRIBE", "news"]).unwrap();
                client
            })
            .collect();
        std::thread::scope(|scope| {
            let listeners: Vec<_> = listeners
                .into_iter()
                .map(|client| scope.spawn(move || listen(client, TALKERS, ROUNDS)))
                .collect();
            let victims: Vec<_> = (0..4).map(|_| scope.spawn(|| be_killed(&server, &over))).collect();
            let killer = scope.spawn(|| kill_victims(&server, &over));
            let talkers: Vec<_> = (0..TALKERS)
                .map(|name| {
                    let server = &server;
                    scope.spawn(move || talk(server, name, ROUNDS))
                })
                .collect();
            let ended: Vec<bool> = talkers
                .into_iter()
                .chain(listeners)
                .map(|one| one.join().is_ok())
                .collect();
            over.store(true, Ordering::Relaxed);
            let killed: usize = victims.into_iter().map(|victim| victim.join().unwrap()).sum();
            killer.join().unwrap();
            assert!(ended.iter().all(|well| *well), "{ended:?}");
            assert!(killed > 0, "nobody was killed");
        });
        wait_caught_up(&server, &[&replica], SOON).unwrap();
        let keys = ensure_equal(&server, &replica).unwrap();
        assert_eq!(keys, TALKERS * 22);
        for name in ["io_threaded_reads_processed", "io_threaded_writes_processed"] {
            assert!(number(&server, "stats", name) > 0, "{name} with always-active {mode}");
        }
    }
}

/// A client that stops reading holds up nobody else, and gets all of it when it reads again.
#[test]
fn a_full_socket_holds_up_nobody() {
    for mode in MODES {
        let server = start(mode, &[]);
        let mut lazy = server.client().unwrap();
        let large = vec![b'l'; 4 << 20];
        lazy.ok(&[b"SET".to_vec(), b"large".to_vec(), large.clone()]).unwrap();
        let mut clients: Vec<Client> = (0..16).map(|_| server.client().unwrap()).collect();
        let asked = 8;
        at_once(&server, || {
            (0..asked).for_each(|_| lazy.send(&["GET", "large"]).unwrap());
            clients.iter_mut().for_each(|client| client.send(&["PING"]).unwrap());
        });
        for _ in 0..20 {
            for client in &mut clients {
                assert_eq!(client.reply().unwrap(), Value::Simple(b"PONG".to_vec()));
                client.send(&["PING"]).unwrap();
            }
        }
        for _ in 0..asked {
            assert!(lazy.reply().unwrap() == Value::Bulk(large.clone()));
        }
        assert_eq!(lazy.call(&["PING"]).unwrap(), Value::Simple(b"PONG".to_vec()));
    }
}

/// Too much unread ends a client, whoever writes its socket; the others hear nothing of it.
#[test]
fn a_listener_over_its_limit_is_closed() {
    for mode in MODES {
        let limit = ("client-output-buffer-limit", "pubsub 1mb 0 0");
        let server = start(mode, &[limit]);
        let mut deaf = server.client().unwrap();
        deaf.ok(&["SUBSCRIBE", "news"]).unwrap();
        let mut others: Vec<Client> = (0..12).map(|_| server.client().unwrap()).collect();
        for other in &mut others {
            other.ok(&["SUBSCRIBE", "news"]).unwrap();
        }
        let mut sender = server.client().unwrap();
        let message = "m".repeat(200_000);
        let mut receivers = i64::MAX;
        for _ in 0..200 {
            let Value::Int(count) = sender.call(&["PUBLISH", "news", &message]).unwrap() else {
                panic!("PUBLISH answers a number")
            };
            receivers = count;
            for other in &mut others {
                assert_eq!(other.reply().unwrap().items()[2].text().len(), message.len());
            }
            if count == 12 {
                break;
            }
        }
        assert_eq!(receivers, 12, "the deaf one is still there");
        let (seen, closed) = deaf.read_until(b"", Duration::from_secs(10));
        assert!(closed && seen.len() < 200 * message.len());
    }
}
