//! Where the workspace is, and the program under test.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Context, Program, Result, bail};

use crate::args::Args;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs cargo in the workspace; its output goes where ours goes.
pub fn cargo(args: &[&str]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(args)
        .current_dir(root())
        .status()
        .context(|| "running cargo")?;
    Ok(status.success())
}

/// The server under test: `--binary PATH`, else skein, built now.
pub fn subject(args: &Args) -> Result<Program> {
    subject_in(args, "fast")
}

/// As [`subject`], built with the given profile.
pub fn subject_in(args: &Args, profile: &str) -> Result<Program> {
    if let Some(path) = args.path("binary") {
        return Ok(Program::at("skein", &path));
    }
    if !cargo(&["build", "--quiet", "--profile", profile, "--package", "skein-server"])? {
        bail!("the server does not build");
    }
    Ok(Program::at("skein", &target_dir().join(profile).join("skein")))
}
