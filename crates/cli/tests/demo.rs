//! The demo from start to end, with stock servers in the place of ours, so that this crate stands alone. Skipped, with a
//! word, where no stock server is installed.

#![allow(clippy::disallowed_methods, reason = "tests wait for processes")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn demo() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this
        .parent()
        .and_then(|deps| deps.parent())
        .unwrap()
        .join("examples/skein_demo");
    assert!(path.exists(), "build the examples first: {}", path.display());
    path
}

fn start(server: &str, directory: &Path, args: &[&str]) -> Child {
    std::fs::create_dir_all(directory).unwrap();
    Command::new(demo())
        .args(args)
        .env("SKEIN_DEMO_SERVER", server)
        .env("TMPDIR", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A directory of this test's own for the demo's.
fn directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("skein-demo-test-{}-{name}", std::process::id()))
}

/// Nothing of the demo is left: no file, no process that names its directory.
fn check_nothing_left(directory: &Path) {
    let left: Vec<_> = std::fs::read_dir(directory).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    std::fs::remove_dir(directory).unwrap();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        // A process may end while we look.
        let place = std::fs::read_link(process.path().join("cwd")).unwrap_or_default();
        assert!(!place.starts_with(directory), "{} still runs", process.path().display());
    }
}

fn has_stock_server() -> bool {
    let found = Command::new("redis-server").arg("--version").output().is_ok();
    if !found {
        eprintln!("redis-server is not installed: no demo");
    }
    found
}

#[test]
fn the_story_is_told_to_its_end() {
    if !has_stock_server() {
        return;
    }
    let directory = directory("story");
    let output = start("redis-server", &directory, &["--seconds", "1"])
        .wait_with_output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("It asked for what it missed: 1 partial and 0 full resyncs."),
        "{text}"
    );
    assert!(
        text.contains("They changed leaders: 2 partial and 0 full resyncs."),
        "{text}"
    );
    assert!(text.contains("  replica-2  2000 keys\n"), "{text}");
    check_nothing_left(&directory);
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    if !has_stock_server() {
        return;
    }
    for wait in [Duration::from_millis(30), Duration::from_millis(1500)] {
        let directory = directory(&format!("interrupted-{}", wait.as_millis()));
        let demo = start("redis-server", &directory, &["--seconds", "60"]);
        std::thread::sleep(wait);
        let pid = rustix::process::Pid::from_child(&demo);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let start = Instant::now();
        demo.wait_with_output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(20));
        check_nothing_left(&directory);
    }
}

#[test]
fn a_server_that_does_not_start_shows_its_last_words() {
    let directory = directory("broken");
    let script = directory.join("server.sh");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(&script, "#!/bin/sh\necho the beak is broken\nexit 3\n").unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let output = start(script.to_str().unwrap(), &directory, &[])
        .wait_with_output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("ended by itself (exit status: 3)") && text.contains("the beak is broken"),
        "{text}"
    );
    std::fs::remove_file(script).unwrap();
    check_nothing_left(&directory);
}
