//! The stock suite's files: fetched from the distribution's source package, with our server under the names they call.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::process::find_program;
use harness::{Context, Program, Result, bail, stock};

use super::list::Entry;
use crate::build;

/// The suite's directory, with our server in it by the names that the suite calls.
pub fn prepare(program: &Program) -> Result<PathBuf> {
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

/// A directory like the suite's, in which files can run beside those of other lanes: each run empties `tests/tmp` first.
pub fn lane(suite: &Path, lane: u16) -> Result<PathBuf> {
    let dir = suite.with_file_name(format!("lane-{lane}"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    for entry in std::fs::read_dir(suite)?.flatten() {
        if entry.file_name() != "tests" {
            std::os::unix::fs::symlink(entry.path(), dir.join(entry.file_name()))?;
        }
    }
    let copied = Command::new("cp")
        .arg("-r")
        .arg(suite.join("tests"))
        .arg(&dir)
        .status()?;
    if !copied.success() {
        bail!("copying the suite to {} failed", dir.display());
    }
    Ok(dir)
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
    entries.flatten().map(|entry| entry.path()).find(|path| {
        let is_lane = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("lane-"));
        !is_lane && path.join("tests").join("test_helper.tcl").is_file()
    })
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
pub fn cut(suite: &Path, entry: &Entry) -> Result<String> {
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

/// The text of a file of the suite.
pub fn source(suite: &Path, file: &str) -> Result<String> {
    let path = suite.join("tests").join(format!("{file}.tcl"));
    let bytes = std::fs::read(&path).context(|| path.display().to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
