//! The stock server that ours is measured against.

use std::path::PathBuf;
use std::process::Command;

use crate::bail;
use crate::error::{Context, Result};
use crate::process::find_program;

/// Finds a program of the stock distribution, and installs the distribution's packages if it is missing.
///
/// # Errors
/// When it is missing and cannot be installed; the text says what to do.
pub fn ensure(name: &str) -> Result<PathBuf> {
    if let Some(path) = find_program(name) {
        return Ok(path);
    }
    let packages = ["redis-server", "redis-tools"];
    let by_hand = format!("install it first, for example: apt-get install {}", packages.join(" "));
    if find_program("apt-get").is_none() {
        bail!("{name} is needed to compare with and is not installed; {by_hand}");
    }
    if !is_root() {
        bail!("{name} is needed to compare with and is not installed, and only root may install it; {by_hand}");
    }
    install(&packages).context(|| by_hand)?;
    match find_program(name) {
        Some(path) => Ok(path),
        None => bail!("installed {}, but there is still no {name}", packages.join(" and ")),
    }
}

/// Installs packages of the distribution without starting any service.
///
/// # Errors
/// When apt-get fails.
pub fn install(packages: &[&str]) -> Result<()> {
    println!("installing {}", packages.join(" "));
    // Services of a package must not start here: `policy-rc.d` exists for that, but writing it would change the
    // machine; RUNLEVEL=1 tells invoke-rc.d the same for this one call.
    let run = |args: &[&str]| -> Result<()> {
        let output = Command::new("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1")
            .output()
            .context(|| "running apt-get")?;
        if !output.status.success() {
            bail!(
                "apt-get {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    };
    run(&["-qq", "update"])?;
    let mut args = vec!["-qq", "install", "-y", "--no-install-recommends"];
    args.extend(packages);
    run(&args)
}

/// Whether this process may install packages.
#[must_use]
pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0"))
    })
}
