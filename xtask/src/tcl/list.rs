//! `xtask/tcl.list`: which files of the stock suite are run, and which tests are left out for what reason.

use harness::{Context, Result, bail};

use crate::build;

/// A file of the suite, and tests in it that are not run.
pub struct Entry {
    pub file: String,
    /// Tests, each with the reason.
    pub skipped: Vec<(String, String)>,
    /// Texts that name top-level blocks to be cut out, each with the reason: they do outside of tests what is not built,
    /// and end the file.
    pub cut: Vec<(String, String)>,
}

impl Entry {
    /// A file of which everything is run.
    pub fn whole(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            skipped: Vec::new(),
            cut: Vec::new(),
        }
    }
}

/// A file that is not run, and why.
pub type Unrun = (String, String);

/// Reads `xtask/tcl.list`: files to run; beneath, indented and with a reason after `#`, tests to skip, and after a `!`
/// words of top-level blocks to cut out; and files left out after a `-`, with the reason after `#`.
pub fn read() -> Result<(Vec<Entry>, Vec<Unrun>)> {
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
