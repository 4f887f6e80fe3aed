//! The stock test suite against our server. Its source is fetched from the distribution when this runs, and none of it is
//! ever kept here: only the list of files to run, and of those left out with the reason (`xtask/tcl.list`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use harness::process::find_program;
use harness::{Context, Program, Result, bail, stock};

use crate::args::Args;
use crate::build;
use crate::report::Report;

/// Seconds that one file of the suite may take.
const FILE_SECONDS: u64 = 600;

/// A file of the suite, and tests in it that are not run.
struct Entry {
    file: String,
    skipped: Vec<String>,
    /// Texts that name top-level blocks to be cut out: they do outside of tests what is not built, and end the file.
    cut: Vec<String>,
}

pub fn run(args: &Args) -> Result<bool> {
    let program = build::subject(args)?;
    let (entries, left_out) = list()?;
    let wanted = args.rest();
    let suite = suite(&program)?;
    let mut report = Report::default();
    let (mut skipped, mut blocks) = (0, 0);
    for entry in entries
        .iter()
        .filter(|entry| wanted.is_empty() || wanted.contains(&entry.file.as_str()))
    {
        run_file(&suite, &program, entry, &mut report, args.flag("verbose"))?;
        skipped += entry.skipped.len();
        blocks += entry.cut.len();
    }
    // A file that is not on the list may be tried too.
    for file in wanted
        .iter()
        .filter(|file| entries.iter().all(|entry| entry.file != **file))
    {
        let entry = Entry {
            file: (*file).to_owned(),
            skipped: Vec::new(),
            cut: Vec::new(),
        };
        run_file(&suite, &program, &entry, &mut report, args.flag("verbose"))?;
    }
    if wanted.is_empty() {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, reason) in &left_out {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
        println!(
            "left out: {} files, {skipped} tests and {blocks} blocks of tests of other files",
            left_out.len()
        );
        for (reason, files) in reasons {
            println!("  {files:>3} files: {reason}");
        }
    }
    Ok(report.finish())
}

/// A file that is not run, and why.
type LeftOut = (String, String);

/// Reads `xtask/tcl.list`: files to run; beneath, indented and with a reason after `#`, tests to skip, and after a `!`
/// words of top-level blocks to cut out; and files left out after a `-`, with the reason after `#`.
fn list() -> Result<(Vec<Entry>, Vec<LeftOut>)> {
    let path = build::root().join("xtask").join("tcl.list");
    let text = std::fs::read_to_string(&path).context(|| path.display().to_string())?;
    let (mut entries, mut left_out): (Vec<Entry>, Vec<LeftOut>) = (Vec::new(), Vec::new());
    for line in text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        let (name, reason) = line
            .split_once(" # ")
            .map_or((line, ""), |(name, reason)| (name, reason.trim()));
        let indented = name.starts_with(' ');
        match (name.trim().strip_prefix("- "), entries.last_mut()) {
            (Some(file), _) if !indented => {
                if reason.is_empty() {
                    bail!("tcl.list: no reason for leaving out {file}");
                }
                left_out.push((file.to_owned(), reason.to_owned()));
            }
            (_, Some(entry)) if indented => {
                if reason.is_empty() {
                    bail!("tcl.list: no reason for skipping '{}' of {}", name.trim(), entry.file);
                }
                match name.trim().strip_prefix("! ") {
                    Some(text) => entry.cut.push(text.to_owned()),
                    None => entry.skipped.push(name.trim().to_owned()),
                }
            }
            _ => entries.push(Entry {
                file: name.trim().to_owned(),
                skipped: Vec::new(),
                cut: Vec::new(),
            }),
        }
    }
    Ok((entries, left_out))
}

/// The suite's directory, with our server in it by the names that the suite calls.
fn suite(program: &Program) -> Result<PathBuf> {
    for (name, package) in [
        ("tclsh", "tcl"),
        ("redis-cli", "redis-tools"),
        ("redis-benchmark", "redis-tools"),
    ] {
        if find_program(name).is_none() {
            if !stock::is_root() {
                bail!("{name} is needed; install the package {package}");
            }
            stock::install(&[package])?;
        }
    }
    let home = build::target_dir().join("tcl");
    let root = match unpacked(&home) {
        Some(root) => root,
        None => {
            fetch(&home)?;
            unpacked(&home).context(|| format!("no test suite in what was fetched to {}", home.display()))?
        }
    };
    let src = root.join("src");
    let _ = std::fs::remove_dir_all(&src);
    std::fs::create_dir_all(&src)?;
    for name in ["redis-server", "redis-sentinel", "redis-check-rdb", "redis-check-aof"] {
        std::os::unix::fs::symlink(&program.path, src.join(name))?;
    }
    for name in ["redis-cli", "redis-benchmark"] {
        std::os::unix::fs::symlink(stock::ensure(name)?, src.join(name))?;
    }
    Ok(root)
}

trait OrElse<T> {
    fn context(self, why: impl FnOnce() -> String) -> Result<T>;
}

impl<T> OrElse<T> for Option<T> {
    fn context(self, why: impl FnOnce() -> String) -> Result<T> {
        self.ok_or_else(|| why().into())
    }
}

fn unpacked(home: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(home).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.join("tests").join("test_helper.tcl").is_file())
}

/// Fetches the source package with a temporary configuration of apt, made of the machine's own sources.
fn fetch(home: &Path) -> Result<()> {
    println!("fetching the source package of the stock server");
    if find_program("apt-get").is_none() {
        bail!("the suite comes from the distribution's source package, and there is no apt-get here");
    }
    let apt = home.join("apt");
    for dir in ["parts", "lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(apt.join(dir))?;
    }
    let mut sources = 0;
    let mut machine = vec![PathBuf::from("/etc/apt/sources.list")];
    machine.extend(
        std::fs::read_dir("/etc/apt/sources.list.d")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path()),
    );
    for path in machine {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        // Only the distribution itself: others do not have the package.
        if !(text.contains("debian") || text.contains("ubuntu")) || !text.contains(" main") {
            continue;
        }
        let deb822 = path.extension().is_some_and(|e| e == "sources");
        let lines = text.lines().map(|line| match (deb822, line.strip_prefix("deb ")) {
            (true, _) if line.starts_with("Types:") => "Types: deb-src".to_owned(),
            (false, Some(rest)) => format!("deb-src {rest}"),
            _ => line.to_owned(),
        });
        let name = format!("{sources}.{}", if deb822 { "sources" } else { "list" });
        std::fs::write(
            apt.join("parts").join(name),
            lines.collect::<Vec<_>>().join("\n") + "\n",
        )?;
        sources += 1;
    }
    let option = |key: &str, dir: &str| format!("{key}={}", apt.join(dir).display());
    let run = |words: &[&str]| -> Result<()> {
        let output = Command::new("apt-get")
            .args(["-qq", "-o", "Dir::Etc::SourceList=/dev/null"])
            .args([
                "-o",
                &option("Dir::Etc::SourceParts", "parts"),
                "-o",
                &option("Dir::State::Lists", "lists"),
            ])
            .args(["-o", &option("Dir::Cache", "cache"), "-o", "APT::Sandbox::User=root"])
            .args(words)
            .current_dir(&apt)
            .output()?;
        if !output.status.success() {
            bail!(
                "apt-get {}: {}",
                words.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    };
    run(&["update"])?;
    run(&["source", "--download-only", "--only-source", "redis"])?;
    let archive = std::fs::read_dir(&apt)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains(".orig.tar"))
        .context(|| "apt-get fetched no source archive".to_owned())?;
    let status = Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(home)
        .status()?;
    if !status.success() {
        bail!("unpacking {} failed", archive.display());
    }
    Ok(())
}

/// The name of the file to run: the file itself, or a copy without the blocks that are cut.
fn cut(suite: &Path, entry: &Entry) -> Result<String> {
    if entry.cut.is_empty() {
        return Ok(entry.file.clone());
    }
    let path = |name: &str| suite.join("tests").join(format!("{name}.tcl"));
    // Every server has a port and files of its own: no block misses another.
    let text = String::from_utf8_lossy(&std::fs::read(path(&entry.file))?).into_owned();
    let (mut kept, mut block) = (String::new(), String::new());
    let mut used = vec![false; entry.cut.len()];
    for line in text.split_inclusive('\n') {
        block.push_str(line);
        if !line.starts_with('}') && !line.starts_with('#') && !line.trim().is_empty() {
            continue;
        }
        // A blank line inside of a block does not end it.
        let open = block
            .lines()
            .any(|line| line.ends_with('{') && !line.starts_with([' ', '#', '}']));
        if open && !line.starts_with('}') {
            continue;
        }
        match entry.cut.iter().position(|text| block.contains(text.as_str())) {
            Some(at) => used[at] = true,
            None => kept.push_str(&block),
        }
        block.clear();
    }
    kept.push_str(&block);
    if let Some(at) = used.iter().position(|used| !used) {
        bail!("tcl.list: no block of {} has the words '{}'", entry.file, entry.cut[at]);
    }
    let name = format!("{}-cut", entry.file);
    std::fs::write(path(&name), kept)?;
    Ok(name)
}

/// Runs a file. The suite's own timing is tight for a machine that others use too: a file that fails is run once more, and
/// counts as it does then. Both runs are printed.
fn run_file(suite: &Path, program: &Program, entry: &Entry, report: &mut Report, verbose: bool) -> Result<()> {
    let (mut passed, mut failed) = try_file(suite, program, entry, verbose)?;
    if failed > 0 {
        println!("    once more");
        (passed, failed) = try_file(suite, program, entry, verbose)?;
    }
    report.add(passed, failed, &entry.file);
    Ok(())
}

/// Runs a file once; how many tests passed and failed.
fn try_file(suite: &Path, program: &Program, entry: &Entry, verbose: bool) -> Result<(u64, u64)> {
    let start = Instant::now();
    let file = cut(suite, entry)?;
    // Above the ports of our own tests, below those the kernel gives to outgoing connections.
    let port = (30_200 + std::process::id() % 20 * 100).to_string();
    let mut command = Command::new("timeout");
    command
        .args([
            "--kill-after=10",
            &FILE_SECONDS.to_string(),
            "tclsh",
            "tests/test_helper.tcl",
            "--single",
            &file,
        ])
        .args([
            "--baseport",
            &port,
            "--portcount",
            "200",
            "--clients",
            "1",
            "--durable",
            "--dont-clean",
        ])
        .current_dir(suite);
    if program.path.file_name().is_none_or(|name| name != "redis-server") {
        command.args(["--config", "unbuilt-directives", "warn"]);
    }
    for name in &entry.skipped {
        command.args(["--skiptest", name]);
    }
    let output = command.output().context(|| "running the suite")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if verbose {
        println!("{text}");
    }
    let plain = uncoloured(&text);
    let passed = plain.lines().filter(|line| line.starts_with("[ok]:")).count() as u64;
    let mut failures = Vec::new();
    for (at, line) in plain.lines().enumerate() {
        if ["[err]:", "[exception]:", "[timeout]:"]
            .iter()
            .any(|mark| line.starts_with(mark))
        {
            // What was expected stands beneath.
            let why = plain
                .lines()
                .nth(at + 1)
                .filter(|next| !next.starts_with('['))
                .unwrap_or_default();
            let why: String = why.chars().take(200).collect();
            failures.push(if why.is_empty() {
                line.to_owned()
            } else {
                format!("{line}\n        {why}")
            });
        }
    }
    failures.dedup();
    if failures.is_empty() && !plain.contains("All tests passed without errors") {
        let tail: Vec<&str> = plain.lines().rev().take(12).collect();
        failures.push(format!(
            "the file did not come to its end:\n    {}",
            tail.into_iter().rev().collect::<Vec<_>>().join("\n    ")
        ));
    }
    println!(
        "{:<40} {passed:>4} passed {:>3} failed {:>4.0} s",
        entry.file,
        failures.len(),
        start.elapsed().as_secs_f64()
    );
    for failure in &failures {
        println!("    {failure}");
    }
    Ok((passed, failures.len() as u64))
}

/// Without the escape sequences of colours.
fn uncoloured(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    out
}
