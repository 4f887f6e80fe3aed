//! Mutations of real data for every decoder; the runner is an example of the server's crate.

use std::process::Command;

use harness::{Context, Result, bail};

use crate::args::Args;
use crate::build;

pub fn run(args: &Args) -> Result<bool> {
    let seconds = args.number("seconds", 10)?;
    let seed = args.number("seed", 1)?;
    let built = [
        "build",
        "--quiet",
        "--profile",
        "fast",
        "--package",
        "skein-server",
        "--example",
        "fuzz",
    ];
    if !build::cargo(&built)? {
        bail!("the fuzzer does not build");
    }
    let failures = build::target_dir().join("fuzz");
    std::fs::create_dir_all(&failures).context(|| failures.display().to_string())?;
    let status = Command::new(build::target_dir().join("fast").join("examples").join("fuzz"))
        .args(args.rest())
        .args(["--seconds", &seconds.to_string(), "--seed", &seed.to_string()])
        .arg("--failures")
        .arg(&failures)
        .arg("--corpus")
        .arg(failures.join("corpus"))
        .status()
        .context(|| "starting the fuzzer")?;
    Ok(status.success())
}
