//! The stock test suite against our server. Its source is fetched from the distribution when this runs, and none of it is
//! ever kept here: only the list of files to run, and of those left out with the reason (`xtask/tcl.list`).

mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use harness::process::find_program;
use harness::{Context, Program, Result, bail, stock};

use crate::args::Args;
use crate::build;
use crate::report::Report;
use outcome::Outcome;

/// Seconds that one file of the suite may take.
const FILE_SECONDS: u64 = 600;

/// A file of the suite, and tests in it that are not run.
struct Entry {
    file: String,
    /// Tests, each with the reason.
    skipped: Vec<(String, String)>,
    /// Texts that name top-level blocks to be cut out, each with the reason: they do outside of tests what is not built,
    /// and end the file.
    cut: Vec<(String, String)>,
}

impl Entry {
    /// A file of which everything is run.
    fn whole(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            skipped: Vec::new(),
            cut: Vec::new(),
        }
    }
}

pub fn run(args: &Args) -> Result<bool> {
    let program = build::subject(args)?;
    let (entries, unrun) = list()?;
    let wanted = args.rest();
    let suite = suite(&program)?;
    let mut report = Report::default();
    let mut left = LeftOut::default();
    for entry in entries
        .iter()
        .filter(|entry| wanted.is_empty() || wanted.contains(&entry.file.as_str()))
    {
        let outcome = run_file(&suite, &program, entry, &mut report, args.flag("verbose"))?;
        left.add(entry, outcome);
    }
    // A file that is not on the list may be tried too.
    for file in wanted
        .iter()
        .filter(|file| entries.iter().all(|entry| entry.file != **file))
    {
        let entry = Entry::whole(file);
        let outcome = run_file(&suite, &program, &entry, &mut report, args.flag("verbose"))?;
        left.add(&entry, outcome);
    }
    for (file, reason) in unrun.iter().filter(|_| wanted.is_empty()) {
        left.add_file(file, reason, outcome::names(&source(&suite, file)?));
    }
    left.print();
    report.leave_out(left.count());
    Ok(report.finish())
}

/// A file that is not run, and why.
type Unrun = (String, String);

/// The tests that were not run, each with the reason.
#[derive(Default)]
struct LeftOut {
    /// By reason: file and test.
    tests: BTreeMap<String, BTreeSet<(String, String)>>,
}

impl LeftOut {
    /// Adds what a run of a file left out.
    fn add(&mut self, entry: &Entry, outcome: Outcome) {
        let cut = entry.cut.first().map(|(_, reason)| reason.as_str());
        let listed = outcome.skipped.into_iter().map(|test| {
            let known = entry.skipped.iter().find(|(name, _)| *name == test);
            (known.map_or("the list says so", |(_, reason)| reason.as_str()), test)
        });
        let tagged = outcome.ignored.into_iter().map(|test| ("its tags keep it out", test));
        let unreached = outcome
            .unreached
            .into_iter()
            .map(|test| (cut.unwrap_or("never reached"), test));
        for (reason, test) in listed.chain(tagged).chain(unreached) {
            let tests = self.tests.entry(reason.to_owned()).or_default();
            tests.insert((entry.file.clone(), test));
        }
    }

    /// Adds all tests of a file.
    fn add_file(&mut self, file: &str, reason: &str, names: BTreeSet<String>) {
        let tests = self.tests.entry(reason.to_owned()).or_default();
        tests.extend(names.into_iter().map(|test| (file.to_owned(), test)));
    }

    fn count(&self) -> usize {
        self.tests.values().map(BTreeSet::len).sum()
    }

    fn print(&self) {
        for (reason, tests) in &self.tests {
            println!("left out, {reason}: {}", tests.len());
            for (file, test) in tests {
                println!("    {file}: {test}");
            }
        }
    }
}

/// Reads `xtask/tcl.list`: files to run; beneath, indented and with a reason after `#`, tests to skip, and after a `!`
/// words of top-level blocks to cut out; and files left out after a `-`, with the reason after `#`.
fn list() -> Result<(Vec<Entry>, Vec<Unrun>)> {
    let path = build::root().join("xtask").join("tcl.list");
    let text = std::fs::read_to_string(&path).context(|| path.display().to_string())?;
    let (mut entries, mut unrun): (Vec<Entry>, Vec<Unrun>) = (Vec::new(), Vec::new());
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
                unrun.push((file.to_owned(), reason.to_owned()));
            }
            (_, Some(entry)) if indented => {
                if reason.is_empty() {
                    bail!("tcl.list: no reason for skipping '{}' of {}", name.trim(), entry.file);
                }
                let (list, text) = match name.trim().strip_prefix("! ") {
                    Some(text) => (&mut entry.cut, text),
                    None => (&mut entry.skipped, name.trim()),
                };
                list.push((text.to_owned(), reason.to_owned()));
            }
            _ => entries.push(Entry::whole(name.trim())),
        }
    }
    Ok((entries, unrun))
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
    let text = source(suite, &entry.file)?;
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
        match entry.cut.iter().position(|(text, _)| block.contains(text.as_str())) {
            Some(at) => used[at] = true,
            None => kept.push_str(&block),
        }
        block.clear();
    }
    kept.push_str(&block);
    if let Some(at) = used.iter().position(|used| !used) {
        bail!(
            "tcl.list: no block of {} has the words '{}'",
            entry.file,
            entry.cut[at].0
        );
    }
    let name = format!("{}-cut", entry.file);
    std::fs::write(path(&name), kept)?;
    Ok(name)
}

/// Runs a file. The suite's own timing is tight for a machine that others use too: a file that fails is run once more, and
/// counts as it does then. Both runs are printed.
fn run_file(suite: &Path, program: &Program, entry: &Entry, report: &mut Report, verbose: bool) -> Result<Outcome> {
    let mut outcome = try_file(suite, program, entry, verbose)?;
    if !outcome.failures.is_empty() {
        println!("    once more");
        outcome = try_file(suite, program, entry, verbose)?;
    }
    report.add(outcome.passed, outcome.failures.len() as u64, &entry.file);
    Ok(outcome)
}

/// Runs a file once; what came of its tests.
fn try_file(suite: &Path, program: &Program, entry: &Entry, verbose: bool) -> Result<Outcome> {
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
    for (name, _) in &entry.skipped {
        command.args(["--skiptest", name]);
    }
    let output = command.output().context(|| "running the suite")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if verbose {
        println!("{text}");
    }
    let outcome = Outcome::read(&uncoloured(&text), &source(suite, &entry.file)?);
    println!(
        "{:<40} {:>4} passed {:>3} failed {:>3} left out {:>4.0} s",
        entry.file,
        outcome.passed,
        outcome.failures.len(),
        outcome.left_out(),
        start.elapsed().as_secs_f64()
    );
    for failure in &outcome.failures {
        println!("    {failure}");
    }
    Ok(outcome)
}

/// The text of a file of the suite.
fn source(suite: &Path, file: &str) -> Result<String> {
    let path = suite.join("tests").join(format!("{file}.tcl"));
    let bytes = std::fs::read(&path).context(|| path.display().to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
