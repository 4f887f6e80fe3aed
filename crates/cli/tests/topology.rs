//! `skein cli topology` against stock servers: a chain, a wrong password, a server that is gone. Skipped, with a word,
//! where no stock server is installed.

#![allow(clippy::disallowed_methods, reason = "tests wait for servers")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Stock servers that end with their owner.
struct Servers(Vec<(u16, Child)>);

impl Servers {
    fn start(&mut self, options: &[&str]) -> u16 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--requirepass",
                "pw",
                "--repl-diskless-sync-delay",
                "0",
            ])
            .args(options)
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.0.push((port, process));
        port
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for (_, process) in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn topology(args: &[&str]) -> Output {
    let this = std::env::current_exe().unwrap();
    let client: PathBuf = this
        .parent()
        .and_then(|deps| deps.parent())
        .unwrap()
        .join("examples/skein_cli");
    Command::new(client)
        .arg("topology")
        .args(args)
        .env("REDISCLI_AUTH", "pw")
        .output()
        .unwrap()
}

/// Asks until the answer has all of `wanted`.
fn wait_for(args: &[&str], wanted: &[String]) -> Output {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let output = topology(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if wanted.iter().all(|line| text.contains(line)) {
            return output;
        }
        assert!(
            Instant::now() < end,
            "wanted {wanted:#?}, got\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_chain_and_what_breaks_it() {
    if Command::new("redis-server").arg("--version").output().is_err() {
        eprintln!("redis-server is not installed: no topology");
        return;
    }
    let mut servers = Servers(Vec::new());
    let top = servers.start(&[]);
    let middle = servers.start(&["--replicaof", "localhost", &top.to_string(), "--masterauth", "pw"]);
    let end = servers.start(&["--replicaof", "127.0.0.1", &middle.to_string(), "--masterauth", "pw"]);

    // From its end, the chain is found whole.
    let whole = [
        format!("localhost:{top}  primary  "),
        format!("└── 127.0.0.1:{middle}  replica  link up  "),
        format!("    └── 127.0.0.1:{end}  replica  link up  "),
    ];
    let output = wait_for(&["-p", &end.to_string()], &whole);
    assert_eq!(output.status.code(), Some(0));

    // A replica with the wrong password is not in its primary's list; asked itself, it hangs below it.
    let stranger = servers.start(&["--replicaof", "127.0.0.1", &top.to_string(), "--masterauth", "wrong"]);
    let (top_name, stranger_name) = (format!("127.0.0.1:{top}"), format!("127.0.0.1:{stranger}"));
    let broken = [
        format!("── {stranger_name}  replica  LINK DOWN"),
        "why: the server does not say".to_owned(),
    ];
    let output = wait_for(&[&top_name, &stranger_name], &broken);
    assert_eq!(output.status.code(), Some(1));
    let output = topology(&["--json", &top_name, &stranger_name]);
    let json = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(json.starts_with("{\"healthy\":false,"), "{json}");
    assert!(json.contains("\"link\":{\"status\":\"down\","), "{json}");

    // Without its top, the rest is still shown, and the empty place too.
    let (_, mut process) = servers.0.remove(0);
    process.kill().unwrap();
    process.wait().unwrap();
    let headless = [
        format!("localhost:{top}  UNREACHABLE: Connection refused"),
        format!("└── 127.0.0.1:{middle}  replica  LINK DOWN for "),
        format!("why: its primary localhost:{top} does not answer: Connection refused"),
        format!("    └── 127.0.0.1:{end}  replica  link up  "),
    ];
    let output = wait_for(&["-p", &end.to_string()], &headless);
    assert_eq!(output.status.code(), Some(1));
}
