//! The binary as a process: how it starts, what it says, how it listens, how it ends.
#![allow(clippy::disallowed_methods, missing_docs)]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use harness::process::{TempDir, free_port, signal};
use harness::reply::Reply as _;
use harness::server::{Program, Server};
use harness::{Client, wait};

const SOON: Duration = Duration::from_secs(20);

fn program() -> Program {
    Program::at("skein", Path::new(env!("CARGO_BIN_EXE_skein")))
}

fn start(overrides: &[(&str, &str)]) -> Server {
    Server::start(&program(), overrides).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skein"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    wait::until(what, SOON, || Ok((!done()).then(|| "not yet".to_owned()))).unwrap();
}

#[test]
fn a_start_says_what_test_suites_wait_for() {
    let server = start(&[("always-show-logo", "yes")]);
    let log = server.log();
    let pid = server.pid();
    for words in [
        &*format!(" PID: {pid}"),
        "Server initialized",
        "Ready to accept connections",
        "Port: ",
    ] {
        assert!(log.contains(words), "{words:?} is not in\n{log}");
    }
    let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let title = String::from_utf8_lossy(&title);
    assert!(
        title
            .trim_end_matches('\0')
            .ends_with(&format!("skein 127.0.0.1:{}", server.port())),
        "{title:?}"
    );
}

#[test]
fn versions_help_and_what_is_not_built() {
    let version = run(&["--version"]);
    let text = String::from_utf8(version.stdout).unwrap();
    assert!(
        text.contains("v=7.0.15 ") && text.contains("Skein 0.") && version.status.success(),
        "{text}"
    );
    assert!(
        String::from_utf8(run(&["-h"]).stdout)
            .unwrap()
            .starts_with("Usage: skein")
    );
    let sentinel = run(&["--port", "0", "--sentinel"]);
    assert!(!sentinel.status.success() && !sentinel.stderr.is_empty());

    // A link by the name of a stock program acts as that.
    let dir = TempDir::new().unwrap();
    let link = |name: &str| {
        let link = dir.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_skein"), &link).unwrap();
        Command::new(link).arg("--version").output().unwrap()
    };
    assert!(
        String::from_utf8(link("redis-server").stdout)
            .unwrap()
            .contains("v=7.0.15")
    );
    assert!(link("redis-cli").status.success());
    assert!(!link("redis-benchmark").status.success());
}

#[test]
fn a_bad_line_and_a_busy_port_stop_the_start() {
    let bad = run(&["--port", "foo"]);
    assert!(!bad.status.success());
    let text = String::from_utf8(bad.stderr).unwrap();
    assert!(text.contains("FATAL CONFIG FILE ERROR"), "{text}");

    let server = start(&[]);
    let busy = run(&[
        "--bind",
        "127.0.0.1",
        "--port",
        &server.port().to_string(),
        "--save",
        "",
    ]);
    assert!(!busy.status.success());
    let text = String::from_utf8(busy.stdout).unwrap();
    assert!(
        text.contains(&format!("Failed listening on port {} (TCP), aborting.", server.port())),
        "{text}"
    );
    assert!(text.contains("Address already in use"), "{text}");

    let nowhere = run(&["--port", "0", "--save", ""]);
    assert!(
        String::from_utf8(nowhere.stdout)
            .unwrap()
            .contains("Configured to not listen anywhere, exiting.")
    );
}

#[test]
fn a_daemon_writes_its_pid_and_takes_it_away_again() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (pid_file, log_file, port) = (path("skein.pid"), path("skein.log"), free_port().unwrap().to_string());
    let started = Command::new(env!("CARGO_BIN_EXE_skein"))
        .args([
            "--daemonize",
            "yes",
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--port",
            &port,
        ])
        .args(["--pidfile", &pid_file, "--logfile", &log_file, "--dir", &path("")])
        .output()
        .unwrap();
    assert!(started.status.success() && started.stdout.is_empty());
    let log = || std::fs::read_to_string(&log_file).unwrap_or_default();
    until("the daemon being ready", || {
        log().contains("Ready to accept connections")
    });
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    assert_eq!(
        Client::connect(port.parse().unwrap())
            .unwrap()
            .ok(&["PING"])
            .unwrap()
            .text(),
        "PONG"
    );
    signal(pid, "TERM").unwrap();
    until("the pid file being gone", || !Path::new(&pid_file).exists());
    assert!(log().contains("Received SIGTERM scheduling shutdown...") && log().contains("ready to exit, bye bye"));
}

#[test]
fn systemd_hears_when_the_server_is_ready_and_when_it_ends() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let port = free_port().unwrap().to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_skein"))
        .args([
            "--supervised",
            "systemd",
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--port",
            &port,
        ])
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let hear = || {
        let mut state = [0; 200];
        let length = manager.recv(&mut state).unwrap();
        String::from_utf8_lossy(&state[..length]).into_owned()
    };
    assert!(hear().contains("READY=1"));
    signal(child.id(), "TERM").unwrap();
    assert!(hear().contains("STOPPING=1"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_unix_socket_serves_with_its_permissions_and_goes_with_the_server() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("skein.sock");
    let mut server = start(&[("unixsocket", path.to_str().unwrap()), ("unixsocketperm", "700")]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"CLIENT LIST\r\n").unwrap();
    let mut text = [0; 1000];
    let length = client.read(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    assert!(text.contains(&format!(" addr={}:0 ", path.display())), "{text}");
    server.terminate(SOON).unwrap();
    assert!(!path.exists());
}

#[test]
fn clients_over_the_limit_are_told_so() {
    let server = start(&[("maxclients", "3")]);
    let mut clients: Vec<_> = (0..3).map(|_| server.client().unwrap()).collect();
    for client in &mut clients {
        client.ok(&["PING"]).unwrap();
    }
    let mut refused = Client::connect(server.port()).unwrap();
    assert_eq!(refused.reply().unwrap().text(), "ERR max number of clients reached");
    drop(clients);
    until("a place being free", || {
        server.client().is_ok_and(|mut client| client.ok(&["PING"]).is_ok())
    });
}

#[test]
fn large_values_and_slow_readers_hold_nobody_up() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let value = "x".repeat(32 << 20);
    client.ok(&["SET", "large", &value]).unwrap();

    // Asks for far more than sockets hold, and reads nothing yet.
    let mut slow = server.client().unwrap();
    for _ in 0..8 {
        slow.send(&["GET", "large"]).unwrap();
    }
    let started = std::time::Instant::now();
    for _ in 0..100 {
        client.ok(&["PING"]).unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for _ in 0..8 {
        assert_eq!(slow.reply().unwrap().text().len(), value.len());
    }
    assert_eq!(slow.ok(&["PING"]).unwrap().text(), "PONG");
}

#[test]
fn a_long_pipeline_is_answered_in_order_and_then_the_end_of_it_closes() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let commands: Vec<Vec<String>> = (0..50_000).map(|i| vec!["ECHO".to_owned(), i.to_string()]).collect();
    for (i, reply) in client.pipeline(&commands).unwrap().into_iter().enumerate() {
        assert_eq!(reply.text(), i.to_string());
    }
    client.finish_sending();
    assert!(client.reply().is_err());
    until("the connection being forgotten", || {
        server
            .info_field("clients", "connected_clients")
            .is_ok_and(|count| count == "1")
    });
}

#[test]
fn a_monitor_hears_what_others_do_at_once() {
    let server = start(&[]);
    let mut monitor = server.client().unwrap();
    assert_eq!(monitor.ok(&["MONITOR"]).unwrap().text(), "OK");
    let mut client = server.client().unwrap();
    let started = std::time::Instant::now();
    for i in 0..200 {
        client.ok(&["SET", "k", &i.to_string()]).unwrap();
        let line = monitor.reply().unwrap().text();
        assert!(line.ends_with(&format!("\"SET\" \"k\" \"{i}\"")), "{line}");
    }
    // Were monitors served by the timer alone, this would take twenty seconds.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_new_port_is_listened_on_and_the_old_one_is_not() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let port = free_port().unwrap();
    client.ok(&["CONFIG", "SET", "port", &port.to_string()]).unwrap();
    until("the new port answering", || {
        Client::connect(port).is_ok_and(|mut client| client.ok(&["PING"]).is_ok())
    });
    assert!(Client::connect(server.port()).is_err());
    client.ok(&["PING"]).unwrap();
}

#[test]
fn the_second_interrupt_ends_a_server_that_does_not_listen() {
    let mut server = start(&[]);
    let mut client = server.client().unwrap();
    client.send(&["DEBUG", "SLEEP", "60"]).unwrap();
    until("the server being asleep", || {
        let asleep = std::fs::read_to_string(format!("/proc/{}/wchan", server.pid()));
        asleep.is_ok_and(|text| text.contains("nanosleep"))
    });
    for _ in 0..2 {
        signal(server.pid(), "INT").unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    until("the server being gone", || !server.is_running());
    assert_eq!(server.exit_status().and_then(|status| status.code()), Some(1));
}

#[test]
fn data_survives_a_restart_and_a_damaged_file_stops_the_start() {
    let mut server = start(&[("save", "900 1")]);
    server.client().unwrap().ok(&["SET", "k", "v"]).unwrap();
    server.terminate(SOON).unwrap();
    server.run().unwrap();
    assert_eq!(server.client().unwrap().ok(&["GET", "k"]).unwrap().text(), "v");
    server.client().unwrap().ok(&["CONFIG", "SET", "save", ""]).unwrap();
    server.kill();

    let file = server.dir().join("dump.rdb");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&file, bytes).unwrap();
    server.launch().unwrap();
    until("the server giving up", || !server.is_running());
    assert!(
        server.log().contains("The server does not run without its data."),
        "{}",
        server.log_tail(5)
    );
    let check = run(&["check-rdb", file.to_str().unwrap()]);
    assert!(!check.status.success());
}

#[test]
fn a_crash_leaves_a_line_in_the_log() {
    let mut server = start(&[]);
    let mut client = server.client().unwrap();
    client.send(&["DEBUG", "SEGFAULT"]).unwrap();
    until("the server being gone", || !server.is_running());
    assert!(server.log().contains("crashed by signal: 11"), "{}", server.log_tail(5));
}

#[test]
fn a_client_that_sends_more_than_may_wait_is_closed() {
    let server = start(&[("client-query-buffer-limit", "1mb"), ("requirepass", "secret")]);
    let mut client = server.client().unwrap();
    let value = "x".repeat(2 << 20);
    let sent = client.send(&["SET", "k", &value]).and_then(|()| client.reply());
    assert!(sent.is_err());
    assert!(
        server
            .log()
            .contains("Closing client that reached max query buffer length"),
        "{}",
        server.log_tail(3)
    );
    server
        .client()
        .unwrap()
        .ok(&["SET", "k", &"x".repeat(1 << 19)])
        .unwrap();
}

#[test]
fn a_large_file_is_loaded_while_clients_hear_of_it() {
    let mut server = start(&[("save", "900 1")]);
    let mut client = server.client().unwrap();
    client.ok(&["DEBUG", "POPULATE", "2000"]).unwrap();
    server.terminate(SOON).unwrap();
    server.set_config("key-load-delay", "1000");
    server.launch().unwrap();
    until("the port being open", || Client::connect(server.port()).is_ok());
    let mut client = Client::connect(server.port()).unwrap();
    let refused = client.call(&["GET", "key:1"]).unwrap();
    assert!(refused.text().starts_with("LOADING "), "{refused:?}");
    assert_eq!(server.info_field("persistence", "loading").unwrap(), "1");
    until("the data being there", || {
        client
            .call(&["GET", "key:1"])
            .is_ok_and(|reply| reply.text() == "value:1")
    });
    assert_eq!(client.ok(&["DBSIZE"]).unwrap().text(), "2000");

    // Ended in the middle of a load, it leaves the file as it is.
    server.terminate(SOON).unwrap();
    server.launch().unwrap();
    until("the port being open", || Client::connect(server.port()).is_ok());
    server.terminate(SOON).unwrap();
    server.set_config("key-load-delay", "0");
    server.run().unwrap();
    assert_eq!(server.client().unwrap().ok(&["DBSIZE"]).unwrap().text(), "2000");
}

/// The stock suite asks for it; here an empty server takes so little that a forgotten buffer would be most of it.
#[test]
fn what_a_large_request_took_is_given_back() {
    let server = start(&[]);
    let used = || -> u64 { server.info_field("memory", "used_memory").unwrap().parse().unwrap() };
    let before = used();
    let mut client = server.client().unwrap();
    let mut words = vec!["SADD".to_owned(), "set".to_owned()];
    words.extend((0..100_000).map(|member| member.to_string()));
    assert_eq!(client.ok(&words).unwrap().text(), "100000");
    assert!(used() > before + 1_000_000);
    client.ok(&["UNLINK", "set"]).unwrap();
    until("the memory being given back", || used() < before * 2);
}

#[test]
fn a_replica_that_syncs_goes_on_with_what_it_has_and_takes_orders() {
    let primary = start(&[("rdb-key-save-delay", "1000000"), ("repl-diskless-sync-delay", "0")]);
    primary.client().unwrap().ok(&["DEBUG", "POPULATE", "20"]).unwrap();
    let replica = start(&[]);
    let mut client = replica.client().unwrap();
    client.ok(&["SET", "own", "data"]).unwrap();
    let port = primary.port().to_string();
    for (way, loading) in [("disabled", false), ("on-empty-db", false), ("swapdb", true)] {
        client.ok(&["CONFIG", "SET", "repl-diskless-load", way]).unwrap();
        client.ok(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
        until("the snapshot being on its way", || {
            let log = replica.log_tail(2);
            log.contains("Loading DB in memory")
        });
        assert_eq!(
            replica.info_field("replication", "master_sync_in_progress").unwrap(),
            "1"
        );
        let shown = replica.info_field("persistence", "loading").unwrap();
        assert_eq!(shown, if loading { "1" } else { "0" }, "{way}");
        let read = client.call(&["GET", "own"]).unwrap();
        let order = client.call(&["REPLICAOF", "NO", "ONE"]).unwrap();
        if loading {
            assert!(read.text().starts_with("LOADING ") && order.text().starts_with("LOADING "));
        } else {
            assert_eq!((read.text().as_str(), order.text().as_str()), ("data", "OK"), "{way}");
            assert_eq!(replica.info_field("replication", "role").unwrap(), "master");
            assert_eq!(client.ok(&["GET", "own"]).unwrap().text(), "data");
        }
    }
}

/// The stock suite: a replica that asks with SYNC never speaks again, so nothing woke its part of the stream.
#[test]
fn a_replica_that_asks_with_sync_gets_the_stream() {
    let server = start(&[]);
    let mut replica = server.client().unwrap();
    replica.send_raw(b"SYNC\r\n").unwrap();
    until("the payload being sent", || {
        server
            .info("replication")
            .unwrap()
            .get("slave0")
            .is_some_and(|line| line.contains("state=online"))
    });
    let mut client = server.client().unwrap();
    client.ok(&["SET", "key", "in the stream"]).unwrap();
    let (read, _) = replica.read_until(b"in the stream\r\n", SOON);
    assert!(read.ends_with(b"in the stream\r\n"), "{}", read.escape_ascii());
}

/// The stock suite: the stream went on without the session that applied it, and the replica crashed.
#[test]
fn a_killed_link_to_the_primary_is_made_anew() {
    let (primary, replica) = (start(&[("repl-diskless-sync-delay", "0")]), start(&[]));
    harness::server::replicate(&replica, primary.port()).unwrap();
    harness::server::wait_caught_up(&primary, &[&replica], SOON).unwrap();
    let mut client = replica.client().unwrap();
    assert_eq!(client.ok(&["CLIENT", "KILL", "TYPE", "master"]).unwrap().text(), "1");
    primary.client().unwrap().ok(&["SET", "key", "value"]).unwrap();
    until("a partial resynchronization", || {
        primary.info_field("stats", "sync_partial_ok").unwrap() == "1"
    });
    harness::server::wait_caught_up(&primary, &[&replica], SOON).unwrap();
    assert_eq!(client.ok(&["GET", "key"]).unwrap().text(), "value");
}

/// The stock suite: a primary that was demoted in a transaction which had written crashed.
#[test]
fn a_transaction_may_demote_its_server() {
    let server = start(&[]);
    let mut replica = server.client().unwrap();
    replica.send_raw(b"SYNC\r\n").unwrap();
    until("a replica being there", || {
        server.info_field("replication", "connected_slaves").unwrap() == "1"
    });
    let mut client = server.client().unwrap();
    client.ok(&["SET", "earlier", "1"]).unwrap();
    let (read, ended) = replica.read_until(b"earlier", SOON);
    assert!(!ended, "{}", read.escape_ascii());
    client.ok(&["MULTI"]).unwrap();
    client.ok(&["SET", "before", "1"]).unwrap();
    client.ok(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    client.ok(&["SET", "after", "1"]).unwrap();
    client.ok(&["EXEC"]).unwrap();
    let refused = client.call(&["SET", "k", "1"]).unwrap();
    assert!(refused.text().starts_with("READONLY"), "{refused:?}");
    // The link ends, and nothing of the transaction was in its stream.
    let (read, _) = replica.read_until(b"after", SOON);
    assert!(
        !read.windows(6).any(|bytes| bytes == b"before"),
        "{}",
        read.escape_ascii()
    );
}

/// The stock suite: one reply over the hard limit closes the connection, and nothing of it is sent.
#[test]
fn a_reply_over_the_hard_limit_is_not_sent() {
    let server = start(&[("client-output-buffer-limit", "normal 100000 0 0")]);
    let mut client = server.client().unwrap();
    client.ok(&["SET", "large", &"x".repeat(200_000)]).unwrap();
    assert!(client.call(&["GET", "large"]).is_err());
    server.client().unwrap().ok(&["PING"]).unwrap();
}

/// The stock suite: EXEC runs on a replica without its primary only if every command of the queue might.
#[test]
fn a_queue_is_refused_when_one_of_its_commands_would_be() {
    let server = start(&[("replica-serve-stale-data", "no")]);
    let mut client = server.client().unwrap();
    client.ok(&["MULTI"]).unwrap();
    client.ok(&["GET", "k"]).unwrap();
    let mut other = server.client().unwrap();
    other.ok(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let refused = client.call(&["EXEC"]).unwrap();
    let text = refused.text();
    assert!(text.starts_with("EXECABORT ") && text.contains("MASTERDOWN"), "{text}");
    client.ok(&["MULTI"]).unwrap();
    client.ok(&["INFO", "server"]).unwrap();
    client.ok(&["EXEC"]).unwrap();
}

/// The stock suite: CLIENT PAUSE on a replica holds its primary's commands back too, and they are not lost.
#[test]
fn a_paused_replica_applies_nothing() {
    let (primary, replica) = (start(&[("repl-diskless-sync-delay", "0")]), start(&[]));
    harness::server::replicate(&replica, primary.port()).unwrap();
    harness::server::wait_caught_up(&primary, &[&replica], SOON).unwrap();
    let mut client = replica.client().unwrap();
    client.ok(&["CLIENT", "PAUSE", "100000", "WRITE"]).unwrap();
    primary.client().unwrap().ok(&["SET", "key", "value"]).unwrap();
    let offset = primary.info_field("replication", "master_repl_offset").unwrap();
    until("the write having come", || {
        replica.info_field("replication", "slave_read_repl_offset").unwrap() == offset
    });
    assert_ne!(replica.info_field("replication", "slave_repl_offset").unwrap(), offset);
    assert!(client.ok(&["GET", "key"]).unwrap().is_null());
    client.ok(&["CLIENT", "UNPAUSE"]).unwrap();
    until("the write being applied", || {
        client.ok(&["GET", "key"]).is_ok_and(|reply| reply.text() == "value")
    });
}

/// The stock suite: between a signal and the timer that acts on it, SHUTDOWN ABORT still helps.
#[test]
fn a_signal_waits_for_the_timer_and_can_be_taken_back() {
    let mut server = start(&[("enable-debug-command", "yes")]);
    let mut client = server.client().unwrap();
    client.ok(&["DEBUG", "PAUSE-CRON", "1"]).unwrap();
    signal(server.pid(), "TERM").unwrap();
    until("the signal being seen", || server.log().contains("scheduling shutdown"));
    client.ok(&["SHUTDOWN", "ABORT"]).unwrap();
    assert!(server.log().contains("Shutdown manually aborted"), "{}", server.log());
    client.ok(&["DEBUG", "PAUSE-CRON", "0"]).unwrap();
    client.ok(&["PING"]).unwrap();
    assert!(server.is_running());
}

/// The stock suite: a replica that sends a command with a reply is closed, and the log says what it was told.
#[test]
fn a_replica_that_asks_for_keys_is_closed() {
    let server = start(&[("repl-diskless-sync-delay", "0")]);
    for _ in 0..3 {
        let mut replica = server.client().unwrap();
        let synchronizing = replica.ok(&["PSYNC", "nonsense", "-1"]).unwrap();
        assert!(synchronizing.text().starts_with("FULLRESYNC "), "{synchronizing:?}");
        replica.send(&["GET", "foo"]).unwrap();
        assert!(replica.read_until(b"", SOON).1, "it is still connected");
    }
    let log = server.log();
    for words in [
        "== CRITICAL == This master is sending an error to its replica: 'ERR Replica can't interact with the keyspace'",
        "Replica generated a reply to command 'get', disconnecting it: ",
    ] {
        assert!(log.contains(words), "{words:?} is not in\n{log}");
    }
}
