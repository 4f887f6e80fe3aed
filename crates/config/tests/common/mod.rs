//! A world in memory for configuration to be read from.
#![allow(dead_code, missing_docs)]

use std::collections::BTreeMap;

use config::{Config, LoadError, Outside, arguments, load};

#[derive(Default)]
pub struct World {
    pub files: BTreeMap<String, Vec<u8>>,
    pub stdin: Vec<u8>,
}

impl World {
    pub fn with(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        Self {
            files: files.iter().map(owned).collect(),
            stdin: Vec::new(),
        }
    }
}

impl Outside for World {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| "No such file or directory".to_owned())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let prefix = format!("{}/", directory.trim_end_matches('/'));
        let mut names: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        names.dedup();
        Ok(names)
    }

    fn standard_input(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.stdin.clone())
    }

    fn enter(&mut self, path: &str) -> Result<String, String> {
        match path {
            "./" => Ok("/data".to_owned()),
            path if path.starts_with("/nonexist") || path.is_empty() => Err("No such file or directory".to_owned()),
            path => Ok(path.to_owned()),
        }
    }

    fn can_log_to(&mut self, path: &str) -> Result<(), String> {
        if path.starts_with("/nonexist") {
            Err("No such file or directory".to_owned())
        } else {
            Ok(())
        }
    }

    fn has_command(&self, name: &[u8]) -> bool {
        ["get", "set", "keys", "config"]
            .iter()
            .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Loads one file, with more words of the command line behind it.
pub fn load_text(text: &str, words: &[&str]) -> Result<Config, LoadError> {
    let mut world = World::with(&[("/etc/skein.conf", text)]);
    let words: Vec<String> = ["/etc/skein.conf"]
        .iter()
        .chain(words)
        .map(|word| (*word).to_owned())
        .collect();
    load(&arguments::parse(&words), &mut world)
}

pub fn show(config: &Config, name: &str) -> String {
    let answers = config.get([name.as_bytes()]);
    answers
        .iter()
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}
