//! The simulator's seeds: whole servers on a virtual network, clock and disk.

use std::process::Command;

use harness::{Context, Result, bail};

use crate::args::Args;
use crate::build;

pub fn run(args: &Args) -> Result<bool> {
    let seeds = args.number("seeds", if args.flag("quick") { 200 } else { 1_000 })?;
    let first = args.number("seed", 0)?;
    if !build::cargo(&["build", "--quiet", "--profile", "fast", "--package", "skein-sim"])? {
        bail!("the simulator does not build");
    }
    let output = Command::new(build::target_dir().join("fast").join("skein-sim"))
        .args(["--seeds", &format!("{first}..{}", first + seeds)])
        .output()
        .context(|| "starting the simulator")?;
    let text = [
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    ]
    .concat();
    print!("{text}");
    // "1000 seeds, 0 failed; ..."
    let counts = text.lines().rev().find_map(|line| {
        let (all, rest) = line.split_once(" seeds, ")?;
        Some((all.parse::<u64>().ok()?, rest.split(' ').next()?.parse::<u64>().ok()?))
    });
    let Some((all, failed)) = counts else {
        bail!("the simulator did not come to its end")
    };
    if all != seeds || output.status.success() != (failed == 0) {
        bail!("the simulator played {all} seeds, not {seeds}, or its exit status does not fit");
    }
    println!("{} passed, {failed} failed", all - failed);
    Ok(failed == 0)
}
