//! What the compiler cannot check: which crate may depend on which, the size of files, unsafe where it does not belong,
//! leftovers, unproven unwraps, machine paths, and command definitions that nobody listed.

use std::path::{Path, PathBuf};

use harness::{Context, Result};

use crate::build;
use crate::report::Report;

/// The map of the code: a crate, and the crates of this workspace that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("ds", &["base"]),
    ("resp", &["base"]),
    ("keyspace", &["base", "ds"]),
    ("rdb", &["base", "ds", "keyspace"]),
    ("engine", &["base", "resp", "keyspace", "rdb"]),
    ("repl", &["base", "resp"]),
    ("config", &["base"]),
    ("node", &["base", "resp", "keyspace", "rdb", "engine", "repl", "config"]),
    ("net", &["base", "resp"]),
    ("cli", &["base", "resp"]),
    (
        "server",
        &[
            "base", "ds", "resp", "keyspace", "rdb", "engine", "repl", "config", "node", "net", "cli",
        ],
    ),
    (
        "sim",
        &[
            "base", "ds", "resp", "keyspace", "rdb", "engine", "repl", "config", "node",
        ],
    ),
    ("harness", &["base", "resp"]),
    ("xtask", &["harness"]),
];

/// Crates in which unsafe code may be.
const UNSAFE: [&str; 2] = ["ds", "net"];

/// Lines of a file before its tests.
const LINES_MAX: usize = 800;

/// A file of Rust, and what of it is no test.
struct Source {
    name: String,
    /// Lines before the tests, from 1.
    lines: Vec<String>,
    krate: String,
}

pub fn run() -> Result<bool> {
    let root = build::root();
    let sources = sources(&root)?;
    let mut report = Report::default();
    let mut check = |name: &str, findings: Vec<String>| {
        report.case(name, || match findings.len() {
            0 => Ok(String::new()),
            n => Err(format!("{n}\n  {}", findings.join("\n  ")).into()),
        });
    };
    check("crates depend only on what they may", arrows(&root)?);
    check(
        &format!("files of at most {LINES_MAX} lines before tests"),
        long_files(&sources),
    );
    check("unsafe only in ds and net", unsafe_code(&root, &sources)?);
    check("no leftovers", leftovers(&sources));
    check("every unwrap outside tests has its proof beside it", unwraps(&sources));
    check("no paths of one machine", machine_paths(&root)?);
    check("every command definition is listed", unlisted(&sources));
    Ok(report.finish())
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).context(|| dir.display().to_string())? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.') && n != ".ci" && n != ".cargo");
        if hidden || path.file_name().is_some_and(|name| name == "target") {
            continue;
        }
        if path.is_dir() {
            files(&path, out)?;
        } else {
            out.push(path);
        }
    }
    out.sort();
    Ok(())
}

fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut paths = Vec::new();
    files(root, &mut paths)?;
    let mut sources = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        // These are tests, or tools of tests, from the first line to the last.
        if path.extension().is_none_or(|e| e != "rs")
            || ["/tests/", "/tests.rs", "/testing.rs", "/examples/", "/benches/"]
                .iter()
                .any(|part| name.contains(part))
        {
            continue;
        }
        let text = std::fs::read_to_string(&path).context(|| name.clone())?;
        let tests = |line: &str| line.trim_start().starts_with("#[cfg(test)]") || line.starts_with("#![cfg(test)]");
        // A module of tests in another file (`#[cfg(test)] mod x;`) does not end this one.
        let all: Vec<&str> = text.lines().collect();
        let end = (0..all.len()).find(|&at| tests(all[at]) && all.get(at + 1).is_none_or(|next| !next.ends_with(';')));
        let lines = all[..end.unwrap_or(all.len())]
            .iter()
            .map(|line| (*line).to_owned())
            .collect();
        let krate = name
            .strip_prefix("crates/")
            .unwrap_or(&name)
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        sources.push(Source { name, lines, krate });
    }
    Ok(sources)
}

fn arrows(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut crates: Vec<(String, PathBuf)> = vec![("xtask".into(), root.join("xtask"))];
    for entry in std::fs::read_dir(root.join("crates"))? {
        let entry = entry?;
        crates.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    crates.sort();
    for (name, dir) in crates {
        let Some((_, allowed)) = ARROWS.iter().find(|(krate, _)| *krate == name) else {
            findings.push(format!("{name}: not on the map in tidy.rs"));
            continue;
        };
        let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).context(|| name.clone())?;
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            // Tests may use more.
            let counts = section.ends_with("dependencies]") && !section.contains("dev-");
            if counts && ARROWS.iter().any(|(krate, _)| *krate == dependency) && !allowed.contains(&dependency) {
                findings.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    Ok(findings)
}

fn long_files(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().filter(|source| source.lines.len() > LINES_MAX);
    long.map(|source| format!("{}: {} lines", source.name, source.lines.len()))
        .collect()
}

fn unsafe_code(root: &Path, sources: &[Source]) -> Result<Vec<String>> {
    let mut findings = lines_with(sources, |source, code| {
        !UNSAFE.contains(&source.krate.as_str())
            && source.krate != "xtask"
            && (code.contains("allow(unsafe_code") || code.contains("unsafe {") || code.contains("unsafe fn"))
    });
    for (krate, _) in ARROWS.iter().filter(|(krate, _)| !UNSAFE.contains(krate)) {
        let dir = if *krate == "xtask" {
            root.join(krate)
        } else {
            root.join("crates").join(krate)
        };
        let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
        if !manifest.contains("[lints]\nworkspace = true") {
            findings.push(format!(
                "{krate}: does not take the lints of the workspace, which forbid unsafe code"
            ));
        }
    }
    Ok(findings)
}

/// Lines whose code (without a comment after it) the test finds.
fn lines_with(sources: &[Source], found: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        for (at, line) in source.lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if found(source, code) {
                findings.push(format!("{}:{}: {}", source.name, at + 1, line.trim()));
            }
        }
    }
    findings
}

fn leftovers(sources: &[Source]) -> Vec<String> {
    let mut findings = lines_with(sources, |source, code| {
        let marks = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore]"];
        source.name != "xtask/src/tidy.rs" && marks.iter().any(|mark| code.contains(mark))
    });
    for source in sources.iter().filter(|source| source.name != "xtask/src/tidy.rs") {
        for (at, line) in source.lines.iter().enumerate() {
            if line.contains("FIXME") || line.contains("TODO") || line.contains("XXX") {
                findings.push(format!("{}:{}: {}", source.name, at + 1, line.trim()));
            }
        }
    }
    findings
}

/// The proof may stand on the same line, or in a comment within the three lines above.
fn unwraps(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.name != "xtask/src/tidy.rs") {
        let comment = |at: usize| source.lines[at].contains("//");
        for (at, line) in source.lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let documented = line.trim_start().starts_with("//");
            let unproven = !(at.saturating_sub(3)..=at).any(comment);
            // A text that says why it cannot happen is a proof too, if it is a sentence.
            let sentence = code
                .split_once(".expect(\"")
                .is_some_and(|(_, text)| text.split(' ').count() >= 4);
            if !documented && unproven && !sentence && (code.contains(".unwrap()") || code.contains(".expect(\"")) {
                findings.push(format!("{}:{}: {}", source.name, at + 1, line.trim()));
            }
        }
    }
    findings
}

fn machine_paths(root: &Path) -> Result<Vec<String>> {
    const MARKS: [&str; 3] = ["/work/", "/root/", "/home/"];
    let mut paths = Vec::new();
    files(root, &mut paths)?;
    let mut findings = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        if name == "xtask/src/tidy.rs" {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            if MARKS.iter().any(|mark| line.contains(mark)) {
                findings.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    Ok(findings)
}

/// A public `Spec` that no list refers to is a command that nobody can call.
fn unlisted(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        for line in &source.lines {
            let Some(rest) = line.strip_prefix("pub static ") else {
                continue;
            };
            let Some((name, _)) = rest.split_once(": Spec") else {
                continue;
            };
            let module = Path::new(&source.name)
                .file_stem()
                .map(|s| s.to_string_lossy().into_owned())
                .unwrap_or_default();
            // A group's module passes on what the files beneath it define.
            let group = Path::new(&source.name)
                .parent()
                .and_then(Path::file_name)
                .map(|s| s.to_string_lossy().into_owned())
                .unwrap_or_default();
            let wanted = [
                format!("&{module}::{name}"),
                format!("::{module}::{name}"),
                format!("{module}::{name},"),
                format!("&{group}::{name},"),
            ];
            let short = [format!("&{name},"), format!("&{name}]"), format!("&super::{name}")];
            let listed = sources.iter().any(|s| {
                s.lines.iter().any(|l| {
                    wanted.iter().any(|w| l.contains(w))
                        || (s.krate == source.krate && short.iter().any(|w| l.contains(w)))
                })
            });
            if !listed {
                findings.push(format!("{}: {name}", source.name));
            }
        }
    }
    findings
}
