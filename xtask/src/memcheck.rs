//! The tests of the crates with unsafe code, under a checker of memory errors: AddressSanitizer where a nightly toolchain
//! is installed, else valgrind; and the reference counts and the slab's doors under loom.

use std::path::PathBuf;
use std::process::Command;

use harness::process::find_program;
use harness::{Context, Result, bail};

use crate::build;
use crate::report::Report;

/// The crates with unsafe code, and the one whose tests use the freezable structures hardest.
const CRATES: [&str; 3] = ["skein-ds", "skein-keyspace", "skein-net"];

pub fn run() -> Result<bool> {
    let mut report = Report::default();
    for krate in CRATES {
        let nightly = Command::new("rustup")
            .args(["run", "nightly", "rustc", "--version"])
            .output();
        if nightly.is_ok_and(|output| output.status.success()) {
            report.case(&format!("{krate} under AddressSanitizer"), || address_sanitizer(krate));
        } else {
            if find_program("valgrind").is_none() {
                harness::stock::install(&["valgrind"])
                    .context(|| "neither a nightly toolchain nor valgrind is installed; install one of them")?;
            }
            report.case(&format!("{krate} under valgrind"), || valgrind(krate));
        }
    }
    report.case(
        "reference counts and the slab's doors in every interleaving, by loom",
        loom,
    );
    Ok(report.finish())
}

fn loom() -> Result<String> {
    let status = Command::new("cargo")
        .args([
            "test",
            "--quiet",
            "--profile",
            "fast",
            "--package",
            "skein-ds",
            "--test",
            "count_loom",
            "--test",
            "slab_loom",
        ])
        .arg("--target-dir")
        .arg(build::target_dir().join("loom"))
        .env("RUSTFLAGS", "--cfg loom")
        .current_dir(build::root())
        .status()
        .context(|| "running the tests under loom")?;
    if !status.success() {
        bail!("an interleaving breaks the counts or the slab, or the tests do not build");
    }
    Ok(String::new())
}

fn address_sanitizer(krate: &str) -> Result<String> {
    let host = Command::new("rustc")
        .args(["--print", "host-tuple"])
        .output()
        .context(|| "asking rustc for the host")?;
    let host = String::from_utf8_lossy(&host.stdout).trim().to_owned();
    let target = build::target_dir().join("asan");
    let status = Command::new("rustup")
        .args([
            "run",
            "nightly",
            "cargo",
            "test",
            "--quiet",
            "--package",
            krate,
            "--lib",
            "--tests",
            "--target",
            &host,
        ])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", "-Zsanitizer=address -Cdebuginfo=1 --cfg slow_checker")
        .env("ASAN_OPTIONS", "detect_leaks=1")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .current_dir(build::root())
        .status()
        .context(|| "running the tests under AddressSanitizer")?;
    if !status.success() {
        bail!("memory errors, or tests that fail");
    }
    Ok(String::new())
}

fn valgrind(krate: &str) -> Result<String> {
    let output = Command::new("cargo")
        .args([
            "test",
            "--quiet",
            "--package",
            krate,
            "--lib",
            "--no-run",
            "--message-format",
            "json",
        ])
        .current_dir(build::root())
        .output()
        .context(|| "building the tests")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let programs: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next())
        .map(PathBuf::from)
        .collect();
    if programs.is_empty() {
        bail!("the tests do not build");
    }
    for program in programs {
        let status = Command::new("valgrind")
            .args(["--quiet", "--error-exitcode=9", "--leak-check=full"])
            .arg(&program)
            .status()
            .context(|| "running valgrind")?;
        if !status.success() {
            bail!("memory errors in {}", program.display());
        }
    }
    Ok(String::new())
}
