//! The words after `cargo xtask`.

use std::path::PathBuf;

use harness::{Context, Result};

/// A task, its options (`--name value`, or a bare `--flag`) and its other words.
#[derive(Debug)]
pub struct Args {
    words: Vec<String>,
}

/// Options that take no value.
const FLAGS: [&str; 3] = ["quick", "tamper", "verbose"];

impl Args {
    pub fn from_env() -> Self {
        Self {
            words: std::env::args().skip(1).collect(),
        }
    }

    pub fn task(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub fn flag(&self, name: &str) -> bool {
        debug_assert!(FLAGS.contains(&name), "a flag that is not listed");
        self.words.iter().any(|word| word.strip_prefix("--") == Some(name))
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self
            .words
            .iter()
            .position(|word| word.strip_prefix("--") == Some(name))?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// The values of an option that may be given more than once.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let pairs = self.words.windows(2);
        let named = pairs.filter(|pair| pair[0].strip_prefix("--") == Some(name));
        named.map(|pair| pair[1].as_str()).collect()
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    pub fn number(&self, name: &str, default: u64) -> Result<u64> {
        self.value(name)
            .map_or(Ok(default), |text| text.parse().context(|| format!("--{name} {text}")))
    }

    /// The words that are neither the task nor options.
    pub fn rest(&self) -> Vec<&str> {
        let mut rest = Vec::new();
        let mut words = self.words.iter().skip(1);
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some(name) if FLAGS.contains(&name) => {}
                Some(_) => drop(words.next()),
                None => rest.push(word.as_str()),
            }
        }
        rest
    }
}
