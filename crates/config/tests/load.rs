//! What files and command lines mean, and what is said about those that mean nothing.
#![allow(missing_docs)]

mod common;

use common::{World, load_text, show};
use config::{Config, MaxmemoryPolicy, arguments, load};

fn loaded(text: &str) -> Config {
    load_text(text, &[]).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// Each is a file, a directive and what CONFIG GET says then; all but the last two were tried with stock 7.0.15.
#[test]
fn files_and_their_meaning() {
    for (text, name, expected) in [
        ("save 1 2\nsave 3 4 5 6", "save", "1 2 3 4 5 6"),
        ("save \"1 2 3 4\"", "save", "1 2 3 4"),
        ("save ''", "save", ""),
        ("save 1 2\nsave \"\"", "save", ""),
        ("save", "save", ""),
        ("requirepass 'a\\'b'", "requirepass", "a'b"),
        ("requirepass \"a\\x41\\n\\q\\\\\"", "requirepass", "aA\nq\\"),
        ("requirepass a\"b\"", "requirepass", "ab"),
        ("requirepass a#b", "requirepass", "a#b"),
        ("PORT 17114\r\nTIMEOUT 5\r\n", "timeout", "5"),
        ("  # comment\n\n\t \nport 7", "port", "7"),
        ("hz 9000", "hz", "500"),
        ("hz 0", "hz", "1"),
        ("unixsocketperm 0700", "unixsocketperm", "700"),
        ("bind 127.0.0.1\nbind ::1", "bind", "::1"),
        ("bind \"127.0.0.1 ::1\"", "bind", "127.0.0.1 ::1"),
        ("bind", "bind", ""),
        ("replicaof no one", "replicaof", ""),
        ("slaveof localhost 0", "replicaof", "localhost 0"),
        ("slaveof \"localhost 17999\"", "slaveof", "localhost 17999"),
        ("slaveof localhost 17999\nreplicaof no one", "replicaof", ""),
        ("maxmemory 1gb", "maxmemory", "1073741824"),
        ("maxmemory-clients 5%", "maxmemory-clients", "5%"),
        ("shutdown-on-sigterm nosave now", "shutdown-on-sigterm", "nosave now"),
        ("oom-score-adj-values \"1 2 3\"", "oom-score-adj-values", "1 2 3"),
        (
            "latency-tracking-info-percentiles 50 99.9",
            "latency-tracking-info-percentiles",
            "50 99.9",
        ),
        (
            "latency-tracking-info-percentiles",
            "latency-tracking-info-percentiles",
            "",
        ),
        (
            "client-output-buffer-limit normal 1 2 3\nclient-output-buffer-limit replica 1mb 2k 3",
            "client-output-buffer-limit",
            "normal 1 2 3 slave 1048576 2000 3 pubsub 33554432 8388608 60",
        ),
        ("list-max-ziplist-entries 5\nlua-replicate-commands yes", "port", "6379"),
        ("user default on nopass ~* &* +@all", "port", "6379"),
        ("unbuilt-directives warn\nappendonly yes", "appendonly", "yes"),
        ("repl-sync-buffer-limit 1gb", "repl-sync-buffer-limit", "1073741824"),
    ] {
        assert_eq!(show(&loaded(text), name), expected, "{text:?}");
    }
}

#[test]
fn fields_hold_what_was_read() {
    let config = loaded("slave-serve-stale-data no\nmasterauth 123456\nslaveof primary.example 6380\nbind 0.0.0.0\n");
    assert!(!config.replica_serve_stale_data);
    assert_eq!(config.masterauth.as_bytes(), b"123456");
    let primary = config.replicaof.0.clone().unwrap();
    assert_eq!(
        (primary.host.to_str().as_ref(), primary.port),
        ("primary.example", 6380)
    );
    assert_eq!(config.bind.0.len(), 1);
    assert_eq!(config.maxmemory_policy, MaxmemoryPolicy::NoEviction);
    assert_eq!(config.save.len(), 3);
    assert_eq!(show(&config, "dir"), "/data");
}

#[test]
fn a_wrong_line_is_shown_with_its_place() {
    let check = |text: &str, expected: &str| {
        let error = load_text(text, &[])
            .err()
            .unwrap_or_else(|| panic!("{text:?} was taken"));
        let head = format!(
            "\n*** FATAL CONFIG FILE ERROR (Skein {}) ***\n",
            env!("CARGO_PKG_VERSION")
        );
        let shown = error.to_string();
        assert_eq!(shown.strip_prefix(&head), Some(expected), "{text:?}: {shown}");
    };
    check(
        "# hello\nprot 1\n",
        "Reading the configuration file /etc/skein.conf, at line 2\n>>> 'prot 1'\n\
         Bad directive or wrong number of arguments\nDid you mean 'port'?",
    );
    check(
        "\tport 1 2  \n",
        "Reading the configuration file /etc/skein.conf, at line 1\n>>> 'port 1 2'\nwrong number of arguments",
    );
    check(
        "requirepass \"a\n",
        "Reading the configuration file /etc/skein.conf, at line 1\n>>> 'requirepass \"a'\n\
         Unbalanced quotes in configuration line",
    );
    check(
        "include",
        "Reading the configuration file /etc/skein.conf, at line 1\n>>> 'include'\n\
         Bad directive or wrong number of arguments\n'include' takes another number of words.",
    );
    check(
        "logfile /nonexist/x",
        "Can't open the log file: No such file or directory",
    );
    check(
        "timeout 1\nappendonly yes\nport 1",
        "Reading the configuration file /etc/skein.conf, at line 2\n>>> 'appendonly yes'\n\
         'appendonly': the append-only file is not built yet: a crash would lose every write since the last snapshot. \
         Remove the line and rely on 'save' and on replicas, or stay on a stock server for now.",
    );
}

/// What would lose data or open a door stops the start; `unbuilt-directives warn` makes it a warning.
#[test]
fn unbuilt_directives_stop_the_start() {
    for (text, directive) in [
        ("appendonly yes", "appendonly"),
        ("tls-port 6380", "tls-port"),
        ("tls-replication yes", "tls-replication"),
        ("tls-cert-file x.pem", "tls-cert-file"),
        ("aclfile users.acl", "aclfile"),
        ("user alice on", "user"),
        ("requirepass x\nuser default on nopass ~* &* +@all", "user"),
        ("loadmodule x.so", "loadmodule"),
        ("graph.timeout 5", "graph.timeout"),
        ("cluster-enabled yes", "cluster-enabled"),
    ] {
        let error = load_text(text, &[])
            .err()
            .unwrap_or_else(|| panic!("{text:?} was taken"));
        assert!(error.what.starts_with(&format!("'{directive}': ")), "{error}");
        assert!(error.place.is_some(), "{error}");
        let config = load_text(text, &["--unbuilt-directives", "warn"]).unwrap();
        assert_eq!(config.unbuilt().len(), 1, "{text:?}");
        assert_eq!(config.unbuilt()[0].directive, directive);
    }
    for text in [
        "appendonly no",
        "tls-port 0",
        "aclfile \"\"",
        "maxmemory 1gb\nmaxmemory-policy allkeys-lru",
        "tls-session-caching no",
    ] {
        assert!(loaded(text).unbuilt().is_empty());
    }
}

#[test]
fn what_does_nothing_is_named_once() {
    let config =
        loaded("appendfsync always\nsocket-mark-id 4\nappendfilename appendonly.aof\nport 7000\nsocket-mark-id 2\n");
    assert_eq!(config.kept_without_effect(), ["socket-mark-id", "appendfsync"]);
}

#[test]
fn included_files_report_their_own_lines() {
    let include = |main: &str, others: &[(&str, &str)]| {
        let mut world = World::with(others);
        world.files.insert("/etc/skein.conf".into(), main.into());
        load(&arguments::parse(&["/etc/skein.conf".to_owned()]), &mut world)
    };
    let others = [
        ("/etc/d/a.conf", "port 1"),
        ("/etc/d/b.conf", "\nport 2"),
        ("/etc/d/.c.conf", "port 3"),
        ("/etc/d/d.txt", "port 4"),
    ];
    let config = include("port 9\ninclude /etc/d/*.conf\ntimeout 3", &others).unwrap();
    assert_eq!((config.port, config.timeout), (2, 3));
    include("include /etc/nothing/*", &[]).unwrap();

    let error = include("include /etc/d/x.conf", &[("/etc/d/x.conf", "port 1\n\nport x")]).unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.contains("configuration file /etc/d/x.conf, at line 3\n>>> 'port x'\n"),
        "{shown}"
    );

    let error = include("include /etc/nothing.conf", &[]).unwrap_err().to_string();
    assert!(error.contains("at line 1\n>>> 'include /etc/nothing.conf'\nFatal error, can't open config file '/etc/nothing.conf': No such file or directory"), "{error}");
    let error = include("include /etc/skein.conf", &[]).unwrap_err().to_string();
    assert!(error.contains("Files include each other in a circle"), "{error}");
}

#[test]
fn the_last_word_is_the_command_lines() {
    let run = |words: &[&str], stdin: &str| {
        let mut world = World::with(&[("a.conf", "timeout 4\nport 1")]);
        world.stdin = stdin.into();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        load(&arguments::parse(&words), &mut world)
    };
    let config = run(&["a.conf", "-"], "timeout 5").unwrap();
    assert_eq!((config.timeout, config.port), (5, 1));
    let config = run(&["a.conf", "--timeout", "6"], "").unwrap();
    assert_eq!(config.timeout, 6);
    assert_eq!(config.file(), Some("a.conf"));
    let error = run(&["--port", "1", "--masterauth", "--foo", "bar"], "")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(
            "Reading the command line, at option 2\n>>> 'masterauth \"--foo\" \"bar\"'\nwrong number of arguments"
        ),
        "{error}"
    );
    let error = run(&["nothing.conf"], "").unwrap_err().to_string();
    assert!(
        error.ends_with("***\nFatal error, can't open config file 'nothing.conf': No such file or directory"),
        "{error}"
    );
}

/// A command that was renamed is gone under its old name, and the new one is taken.
#[test]
fn renaming_commands() {
    let config = loaded("rename-command GET fetch\nrename-command keys \"\"");
    let renamed: Vec<_> = config
        .renamed_commands()
        .iter()
        .map(|rename| (rename.from.to_str(), rename.to.to_str()))
        .collect();
    assert_eq!(renamed, [("GET".into(), "fetch".into()), ("keys".into(), "".into())]);
    for (text, what) in [
        ("rename-command nope x", "No such command in rename-command"),
        ("rename-command get set", "Target command name already exists"),
        (
            "rename-command get x\nrename-command get y",
            "No such command in rename-command",
        ),
        (
            "rename-command get x\nrename-command set X",
            "Target command name already exists",
        ),
    ] {
        assert_eq!(
            load_text(text, &[]).err().map(|error| error.what).as_deref(),
            Some(what),
            "{text}"
        );
    }
    loaded("rename-command get \"\"\nrename-command set get");
    loaded("rename-command get x\nrename-command x y");
}

/// Whatever stands in a file or comes with CONFIG SET, it is taken or refused; nothing panics, and what was taken is
/// taken again when it is written back.
#[test]
fn noise_is_taken_or_refused() {
    let mut rng = base::Rng::new(7);
    let names: Vec<&str> = config::directive::all().map(|directive| directive.name).collect();
    let pieces = [
        "\"",
        "'",
        " ",
        "\\x4",
        "\\",
        "-1",
        "yes",
        "no",
        "1",
        "1kb",
        "%",
        "a",
        "\0",
        "normal",
        "#",
        "é",
        "99999999999999999999",
    ];
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..30_000 {
        let name = *rng.pick(&names);
        let noise: String = (0..rng.below(6)).map(|_| *rng.pick(&pieces)).collect();
        let config = match load_text(&format!("unbuilt-directives warn\n{name} {noise}"), &[]) {
            Ok(config) => config,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        taken += 1;
        let _ = config.prepare(&[name.as_bytes(), noise.as_bytes()], config::SetContext::default());
        let written = config.rewrite(b"", config::RewriteScope::Changes);
        let again = load_text(&String::from_utf8_lossy(&written), &[])
            .unwrap_or_else(|error| panic!("{name} {noise}: {error}"));
        assert_eq!(show(&again, name), show(&config, name), "{name} {noise}");
    }
    assert!(taken > 1_000 && refused > 1_000, "{taken} {refused}");
}
