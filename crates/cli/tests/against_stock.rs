//! The same command lines through the stock `redis-cli` and through ours, against the same stock server: the same bytes
//! on both outputs and the same exit codes. Skipped, with a word, where the stock programs are not installed.

#![allow(clippy::disallowed_methods, reason = "tests wait for servers")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A stock server that ends with its owner.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(options: &[&str]) -> Option<Self> {
        if Command::new("redis-cli").arg("--version").output().is_err() {
            eprintln!("redis-cli is not installed: nothing compared");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--enable-debug-command",
                "yes",
            ])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let server = Self { process, port };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the stock server did not start");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where cargo put `examples/skein_cli.rs`, beside this test.
fn our_client() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this
        .parent()
        .and_then(|deps| deps.parent())
        .unwrap()
        .join("examples/skein_cli");
    assert!(path.exists(), "build the examples first: {}", path.display());
    path
}

/// One run of a client.
#[derive(Clone, Copy)]
struct Case<'a> {
    args: &'a [&'a str],
    input: &'a [u8],
    environment: &'a [(&'a str, &'a str)],
}

fn run(program: &PathBuf, port: u16, case: Case<'_>) -> Output {
    let mut child = Command::new(program)
        .args(["-p", &port.to_string()])
        .args(case.args)
        .env_remove("REDISCLI_AUTH")
        .env_remove("FAKETTY")
        .envs(case.environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A client that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(case.input);
    child.wait_with_output().unwrap()
}

fn check(port: u16, case: Case<'_>) {
    let stock = run(&PathBuf::from("redis-cli"), port, case);
    let ours = run(&our_client(), port, case);
    let shown = |output: &Output| {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string().replace("\\n", "\n");
        format!(
            "{:?}\nout: {}\nerr: {}",
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr)
        )
    };
    let name = format!("{:?} with input {:?}", case.args, case.input.escape_ascii().to_string());
    assert_eq!(shown(&ours), shown(&stock), "{name}");
}

const PEOPLE: &[(&str, &str)] = &[("FAKETTY", "1")];

#[test]
fn every_type_in_every_style_and_protocol() {
    let Some(server) = Server::start(&[]) else { return };
    // Stock clients choke on the types `attrib` and `bignum` in RESP3; ours shows them.
    let kinds = [
        "string", "integer", "double", "null", "array", "set", "map", "verbatim", "true", "false", "push",
    ];
    for style in ["--no-raw", "--raw", "--csv", "--json", "--quoted-json"] {
        for protocol in ["-2", "-3"] {
            for kind in kinds {
                for environment in [PEOPLE, &[]] {
                    let args = [protocol, style, "debug", "protocol", kind];
                    check(
                        server.port,
                        Case {
                            args: &args,
                            input: b"",
                            environment,
                        },
                    );
                }
            }
        }
    }
}

#[test]
fn commands_on_the_command_line() {
    let Some(server) = Server::start(&[]) else { return };
    let lines: &[&[&str]] = &[
        &["set", "key", "a \"quoted\"\n\ttext \\ \u{1}\u{7f} é"],
        &["get", "key"],
        &["get", "absent"],
        &["mget", "key", "absent", "key"],
        &["del", "absent"],
        &["rpush", "list", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"],
        &["lrange", "list", "0", "-1"],
        &["lrange", "list", "5", "1"],
        &["-d", "|", "-D", ";", "lrange", "list", "0", "-1"],
        &["hset", "hash", "f", "v"],
        &["-3", "hgetall", "hash"],
        &["-3", "hgetall", "absent"],
        &["-3", "smembers", "absent"],
        &["-2", "--json", "hgetall", "hash"],
        &["--json", "hgetall", "hash"],
        &["zadd", "zset", "1.5", "a", "inf", "b"],
        &["-3", "zrange", "zset", "0", "-1", "withscores"],
        &[
            "eval",
            "return {1,{2,{3,'x'},{}},false,redis.error_reply('MY bad')}",
            "0",
        ],
        &["no-such-command", "x"],
        &["-e", "no-such-command"],
        &["-e", "get", "key"],
        &["incr", "key"],
        &["--csv", "incr", "key"],
        &["--json", "incr", "key"],
        &["-r", "3", "ping"],
        &["-r", "2", "-i", "0.01", "ping"],
        &["-n", "3", "dbsize"],
        &["-n", "99", "ping"],
        &["-n", "99", "-3", "ping"],
        &["xinfo", "stream", "absent"],
        &["command", "info", "get"],
        &["-3", "command", "info", "get"],
        &["command", "docs", "get"],
        &["-3", "command", "docs", "set"],
        &["config", "get", "maxmemory*"],
        &["-3", "config", "get", "maxmemory*"],
        &["client", "getname"],
        &["--quoted-input", "set", "\"a\\x01b\"", "'c d'"],
        &["--quoted-input", "get", "\"a\\x01b\""],
        &["--quoted-input", "get", "\"a"],
        &["multi"],
        &["exec"],
        &["--scan", "--pattern", "no*thing"],
        &["--scan", "--pattern", "a*"],
        &["--scan", "--quoted-pattern", "\"a\\x01*\""],
        &["--bogus"],
        &["-p"],
        &["-h", "127.0.0.1", "-p", "1", "ping"],
        &["-h", "no-such-host.invalid", "ping"],
        &["-s", "/no/such/socket", "ping"],
        &["-a", "wrong", "ping"],
        &["-a", "wrong", "--no-auth-warning", "ping"],
    ];
    for args in lines {
        for environment in [PEOPLE, &[]] {
            check_from_same_state(&server, args, environment);
        }
    }
}

/// Runs both clients from the same data: a command that changes something must change the same.
fn check_from_same_state(server: &Server, args: &[&str], environment: &[(&str, &str)]) {
    let changes = args.iter().any(|word| matches!(*word, "rpush" | "hset" | "zadd"));
    let case = Case {
        args,
        input: b"",
        environment,
    };
    if changes {
        let key = args[1];
        let delete = Case {
            args: &["del", key],
            ..case
        };
        run(&our_client(), server.port, delete);
        let stock = run(&PathBuf::from("redis-cli"), server.port, case);
        run(&our_client(), server.port, delete);
        let ours = run(&our_client(), server.port, case);
        assert_eq!(
            ours.stdout.escape_ascii().to_string(),
            stock.stdout.escape_ascii().to_string(),
            "{args:?}"
        );
    } else {
        check(server.port, case);
    }
}

/// When a map's value begins on a line of its own.
#[test]
fn maps_within_maps() {
    let Some(server) = Server::start(&[]) else { return };
    let verbatim = "{verbatim_string={string='x\ny',format='txt'}}";
    let values = [
        "1",
        "{1}",
        "{1,2}",
        "{{1,2}}",
        "{{1}}",
        "{}",
        "{'x',{1,2}}",
        "{set={}}",
        "{set={x=true}}",
        "{map={}}",
    ];
    let maps = [
        "{map={b={1,2}}}",
        "{map={b=1}}",
        "{map={b={{1,2}}}}",
        "{double=1.5}",
        verbatim,
    ];
    for value in values.iter().chain(&maps) {
        let script = format!("redis.setresp(3); return {{ {{map={{a={value}}}}}, 5 }}");
        for style in ["--no-raw", "--raw", "--csv", "--json"] {
            check(
                server.port,
                Case {
                    args: &["-3", style, "eval", &script, "0"],
                    input: b"",
                    environment: PEOPLE,
                },
            );
        }
    }
}

#[test]
fn words_from_standard_input() {
    let Some(server) = Server::start(&[]) else { return };
    let blob: Vec<u8> = (0..=255).collect();
    for environment in [PEOPLE, &[]] {
        check(
            server.port,
            Case {
                args: &["-x", "set", "blob"],
                input: &blob,
                environment,
            },
        );
        check(
            server.port,
            Case {
                args: &["get", "blob"],
                input: b"",
                environment,
            },
        );
        check(
            server.port,
            Case {
                args: &["-X", "tag", "set", "tag", "v"],
                input: b"blob",
                environment,
            },
        );
        check(
            server.port,
            Case {
                args: &["-X", "tag", "get", "other"],
                input: b"blob",
                environment,
            },
        );
    }
}

#[test]
fn commands_from_standard_input() {
    let Some(server) = Server::start(&[]) else { return };
    let scripts: &[&[u8]] = &[
        b"set a 1\nget a\n\n  \nget \"b c\"\nbad \"quote\n3 ping\n0 ping\n-1 ping\nfoo\nquit\nping\n",
        b"select 3\nset x 1\ndbsize\nselect 99\nflushall\n",
        b"multi\nset a 1\nget a\nexec\nmulti\nselect 5\ndiscard\ndbsize\nexec\n",
        b"watch a\nset a 2\nmulti\nget a\nexec\nreset\nping",
        b"hello 3\nconfig get maxmemory\nhello 2\nconfig get maxmemory\n",
        b"SUBSCRIBE\nping\r\nexit\n",
    ];
    for script in scripts {
        for environment in [PEOPLE, &[]] {
            for args in [&[] as &[&str], &["--csv"], &["-3", "--json"]] {
                // HELLO's reply carries the connection's number.
                if !script.starts_with(b"hello") {
                    check(
                        server.port,
                        Case {
                            args,
                            input: script,
                            environment,
                        },
                    );
                }
            }
        }
    }
    check(
        server.port,
        Case {
            args: &["-h", "127.0.0.1", "-p", "1"],
            input: b"ping\nping\n",
            environment: &[],
        },
    );
}

/// A connection that the server has closed is made anew, silently, for the next line.
#[test]
fn a_prompt_reconnects() {
    let Some(server) = Server::start(&[]) else { return };
    let script = b"client kill type normal skipme no\nping\nselect 2\nclient kill type normal skipme no\nping\n";
    let ours = run(
        &our_client(),
        server.port,
        Case {
            args: &[],
            input: script,
            environment: &[],
        },
    );
    assert_eq!(String::from_utf8_lossy(&ours.stdout), "1\nPONG\nOK\n1\nPONG\n");
}

#[test]
fn passwords() {
    let Some(server) = Server::start(&["--requirepass", "secret"]) else {
        return;
    };
    let secret = [("REDISCLI_AUTH", "secret")];
    let lines: &[&[&str]] = &[
        &["ping"],
        &["-a", "secret", "ping"],
        &["-a", "secret", "--no-auth-warning", "ping"],
        &["--pass", "wrong", "ping"],
        &["--user", "default", "--pass", "secret", "ping"],
        &["--user", "nobody", "--pass", "secret", "ping"],
        &["-u", "redis://default:secret@127.0.0.1/4", "--no-auth-warning", "ping"],
        &["-n", "2", "ping"],
        &["-3", "ping"],
    ];
    for args in lines {
        check(
            server.port,
            Case {
                args,
                input: b"",
                environment: &[],
            },
        );
        check(
            server.port,
            Case {
                args,
                input: b"",
                environment: &secret,
            },
        );
    }
    check(
        server.port,
        Case {
            args: &["-n", "2"],
            input: b"ping\nauth secret\nping\n",
            environment: &[],
        },
    );
}

#[test]
fn mass_insertion() {
    let Some(server) = Server::start(&[]) else { return };
    let mut input = Vec::new();
    for number in 0..10_000 {
        resp::write_command(&mut input, ["SET", &format!("key:{number}"), "value"]);
    }
    input.extend_from_slice(b"PING\r\nLPUSH key:1 x\r\n");
    check(
        server.port,
        Case {
            args: &["--pipe"],
            input: &input,
            environment: &[],
        },
    );
    let ours = run(
        &our_client(),
        server.port,
        Case {
            args: &["--scan"],
            input: b"",
            environment: &[],
        },
    );
    assert_eq!(ours.stdout.iter().filter(|byte| **byte == b'\n').count(), 10_000);
}
