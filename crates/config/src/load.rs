//! Reading configuration: files, what they include, standard input and the command line, in this order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::arguments::Invocation;
use crate::choices::UnbuiltDirectives;
use crate::directive::{self, Flags, IGNORED};
use crate::glob;
use crate::setting::{Origin, Text};
use crate::unbuilt::{self, Unbuilt};
use crate::{Config, Rename};
use base::words::{Unbalanced, split};

/// How deep files may include each other before it is taken for a circle.
pub const INCLUDE_DEPTH_MAX: usize = 32;

/// The world as configuration needs it.
pub trait Outside {
    /// The whole content of a file. The error is the system's text, such as `No such file or directory`.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// The names in a directory, without `.` and `..`.
    fn list(&self, directory: &str) -> Result<Vec<String>, String>;
    /// All of standard input.
    fn standard_input(&mut self) -> Result<Vec<u8>, String>;
    /// Makes `path` the working directory and returns it as an absolute path.
    fn enter(&mut self, path: &str) -> Result<String, String>;
    /// Tries to open a log file for appending.
    fn can_log_to(&mut self, path: &str) -> Result<(), String>;
    /// True when there is a command of this name, in any case.
    fn has_command(&self, name: &[u8]) -> bool;
}

/// A line of configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it stands.
    pub source: Source,
    /// Counted from 1.
    pub line: usize,
    /// The line itself, trimmed.
    pub text: String,
}

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, as its path was given.
    File(String),
    /// `-`.
    StandardInput,
    /// Options; the line counts them.
    CommandLine,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::File(path) => writeln!(f, "Reading the configuration file {path}, at line {}", self.line)?,
            Source::StandardInput => writeln!(
                f,
                "Reading the configuration from standard input, at line {}",
                self.line
            )?,
            Source::CommandLine => writeln!(f, "Reading the command line, at option {}", self.line)?,
        }
        write!(f, ">>> '{}'", self.text)
    }
}

/// Why configuration cannot be used. Its text is for standard error, in the shape that scripts look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The line at fault, if it is one line.
    pub place: Option<Place>,
    /// What is wrong, in stock words where stock servers have them.
    pub what: String,
    /// What to do, where there is something to say.
    pub advice: Option<String>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n*** FATAL CONFIG FILE ERROR (Skein {}) ***",
            env!("CARGO_PKG_VERSION")
        )?;
        if let Some(place) = &self.place {
            writeln!(f, "{place}")?;
        }
        f.write_str(&self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for LoadError {}

/// A complaint about one line, before its place is known.
struct Complaint {
    what: String,
    advice: Option<String>,
}

impl<S: Into<String>> From<S> for Complaint {
    fn from(what: S) -> Self {
        Self {
            what: what.into(),
            advice: None,
        }
    }
}

/// Reads everything that `invocation` names.
///
/// # Errors
/// The first line that is wrong; or a directive whose silent absence would lose data or open a door, unless
/// `unbuilt-directives warn` is set.
pub fn load(invocation: &Invocation, outside: &mut dyn Outside) -> Result<Config, LoadError> {
    let mut loader = Loader {
        config: Config::default(),
        outside,
        places: BTreeMap::new(),
        lines: Vec::new(),
        commands: BTreeSet::new(),
        gone: BTreeSet::new(),
        depth: 0,
    };
    if let Some(path) = &invocation.file {
        loader.config.more.file = Some(path.clone());
        loader.read_path(path).map_err(|complaint| LoadError {
            place: None,
            what: complaint.what,
            advice: complaint.advice,
        })??;
    }
    if invocation.from_stdin {
        let text = loader.outside.standard_input().map_err(|error| LoadError {
            place: None,
            what: format!("Can't read the configuration from standard input: {error}"),
            advice: None,
        })?;
        loader.read_text(&text, &Source::StandardInput)?;
    }
    loader.read_text(&invocation.options, &Source::CommandLine)?;
    loader.finish()
}

struct Loader<'a> {
    config: Config,
    outside: &'a mut dyn Outside,
    /// The last line that set each directive.
    places: BTreeMap<&'static str, Place>,
    /// Lines that are no settings, for [`unbuilt`].
    lines: Vec<(Vec<Vec<u8>>, Place)>,
    /// Names given by `rename-command`, and names that it took away.
    commands: BTreeSet<Vec<u8>>,
    gone: BTreeSet<Vec<u8>>,
    /// How many files include the present one.
    depth: usize,
}

impl Loader<'_> {
    /// Reads a file, or every file that fits its wildcards. The outer error has no line of its own; the inner has.
    fn read_path(&mut self, path: &str) -> Result<Result<(), LoadError>, Complaint> {
        let paths = if glob::has_wildcard(path) {
            glob::expand(path, self.outside)
        } else {
            vec![path.to_owned()]
        };
        if self.depth >= INCLUDE_DEPTH_MAX {
            return Err("Files include each other in a circle".into());
        }
        for path in paths {
            let text = self.outside.read(&path);
            let text = text.map_err(|error| format!("Fatal error, can't open config file '{path}': {error}"))?;
            self.depth += 1;
            let outcome = self.read_text(&text, &Source::File(path));
            self.depth -= 1;
            if outcome.is_err() {
                return Ok(outcome);
            }
        }
        Ok(Ok(()))
    }

    fn read_text(&mut self, text: &[u8], source: &Source) -> Result<(), LoadError> {
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = trim(line);
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let place = Place {
                source: source.clone(),
                line: index + 1,
                text: String::from_utf8_lossy(line).into_owned(),
            };
            let outcome = match split(line) {
                Ok(words) if words.is_empty() => continue,
                Ok(words) => self.read_line(words, &place),
                Err(Unbalanced) => Err("Unbalanced quotes in configuration line".into()),
            };
            outcome.map_err(|complaint| LoadError {
                place: Some(place),
                what: complaint.what,
                advice: complaint.advice,
            })??;
        }
        Ok(())
    }

    fn read_line(&mut self, mut words: Vec<Vec<u8>>, place: &Place) -> Result<Result<(), LoadError>, Complaint> {
        words[0].make_ascii_lowercase();
        if let Some(found) = directive::find(&words[0]) {
            return self.set(found.directive, &words[1..], place).map(Ok);
        }
        let name = String::from_utf8_lossy(&words[0]).into_owned();
        let arguments = words.len() - 1;
        let fits =
            |(ignored, fewest, most): &(&str, usize, usize)| name == *ignored && (*fewest..=*most).contains(&arguments);
        if IGNORED.iter().any(fits) {
            return Ok(Ok(()));
        }
        match name.as_str() {
            "include" if arguments == 1 => return self.read_path(&String::from_utf8_lossy(&words[1])),
            "rename-command" if arguments == 2 => self.rename(&words[1], &words[2])?,
            "user" | "loadmodule" if arguments >= 1 => self.lines.push((words, place.clone())),
            "sentinel" if arguments == 0 => {}
            "sentinel" => return Err("sentinel directive while not in sentinel mode".into()),
            _ if name.contains('.') && arguments == 0 => return Err("Module config specified without value".into()),
            _ if name.contains('.') => self.lines.push((words, place.clone())),
            _ => return Err(bad_directive(&words[0])),
        }
        Ok(Ok(()))
    }

    fn set(&mut self, found: &'static directive::Directive, words: &[Vec<u8>], place: &Place) -> Result<(), Complaint> {
        let multi = found.flags.has(Flags::MULTI);
        if !multi && words.len() != 1 {
            return Err("wrong number of arguments".into());
        }
        // One word for a directive of several may hold them all: `save "900 1"`.
        let unpacked = match words {
            [only] if multi => match split(only) {
                Ok(words) if words.is_empty() => None,
                Ok(words) => Some(words),
                Err(Unbalanced) => return Err("Unbalanced quotes in configuration line".into()),
            },
            _ => None,
        };
        let words = unpacked.as_deref().unwrap_or(words);
        let origin = Origin::File {
            first: !self.places.contains_key(found.name),
        };
        (found.get_mut)(&mut self.config).assign(words, &found.rule, origin)?;
        if found.name == "dir" {
            self.enter_directory()?;
        }
        self.config.more.explicit.insert(found.name);
        self.places.insert(found.name, place.clone());
        Ok(())
    }

    /// As in stock servers, `dir` holds at once: what follows is relative to it.
    fn enter_directory(&mut self) -> Result<(), Complaint> {
        let absolute = self.outside.enter(&self.config.dir.0.to_str())?;
        self.config.dir.0 = Text::from(absolute.as_str());
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Complaint> {
        let exists = |loader: &Self, name: &[u8]| {
            let name = name.to_ascii_lowercase();
            let original = loader.outside.has_command(&name) && !loader.gone.contains(&name);
            original || loader.commands.contains(&name)
        };
        if !exists(self, from) {
            return Err("No such command in rename-command".into());
        }
        self.gone.insert(from.to_ascii_lowercase());
        self.commands.remove(&from.to_ascii_lowercase());
        if !to.is_empty() {
            if exists(self, to) {
                return Err("Target command name already exists".into());
            }
            self.commands.insert(to.to_ascii_lowercase());
            self.gone.remove(&to.to_ascii_lowercase());
        }
        self.config.more.renamed_commands.push(Rename {
            from: Text(from.to_vec()),
            to: Text(to.to_vec()),
        });
        Ok(())
    }

    /// What can only be said once everything is read.
    fn finish(mut self) -> Result<Config, LoadError> {
        let general = |what: String| LoadError {
            place: None,
            what,
            advice: None,
        };
        if !self.places.contains_key("dir") {
            self.enter_directory().map_err(|complaint| general(complaint.what))?;
        }
        let log = self.config.logfile.clone();
        if !log.is_empty() {
            let opened = self.outside.can_log_to(&log.to_str());
            opened.map_err(|error| general(format!("Can't open the log file: {error}")))?;
        }
        if self.config.cluster_enabled && self.config.replicaof.0.is_some() {
            return Err(general("replicaof directive not allowed in cluster mode".to_owned()));
        }
        self.config.settle();
        self.refuse_unbuilt()?;
        Ok(self.config)
    }

    fn refuse_unbuilt(&mut self) -> Result<(), LoadError> {
        let place_of = |name: &str| self.places.get(name).cloned();
        let values = unbuilt::of_values(&self.config).into_iter().map(|found| Unbuilt {
            place: place_of(&found.directive),
            ..found
        });
        let lines = self.lines.iter().filter_map(|(words, place)| {
            let found = unbuilt::of_line(words, &self.config.requirepass)?;
            Some(Unbuilt {
                place: Some(place.clone()),
                ..found
            })
        });
        let found: Vec<Unbuilt> = values.chain(lines).collect();
        self.config.more.only_default_user = !found.iter().any(|found| found.directive == "user");
        match found.first() {
            Some(first) if self.config.unbuilt_directives == UnbuiltDirectives::Stop => Err(LoadError {
                place: first.place.clone(),
                what: first.to_string(),
                advice: None,
            }),
            _ => {
                self.config.more.unbuilt = found;
                Ok(())
            }
        }
    }
}

/// The end of a line that comes from a file of another system is no part of it, nor is space around it.
pub(crate) fn trim(line: &[u8]) -> &[u8] {
    let is_edge = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|byte| !is_edge(byte)).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(|byte| !is_edge(byte))
        .map_or(start, |last| last + 1);
    let line = &line[start..end];
    // A zero byte ends a line, as it ends a C string.
    &line[..line.iter().position(|&byte| byte == 0).unwrap_or(line.len())]
}

fn bad_directive(name: &[u8]) -> Complaint {
    let advice = match directive::nearest(name) {
        Some(known) if known.as_bytes() == name => Some(format!("'{known}' takes another number of words.")),
        Some(known) => Some(format!("Did you mean '{known}'?")),
        None => Some("Remove the line, or correct the directive's name.".to_owned()),
    };
    Complaint {
        what: "Bad directive or wrong number of arguments".to_owned(),
        advice,
    }
}
