//! What a run of a file of the stock suite says, and which of the file's tests it says nothing about.
//!
//! ```text
//!   the file                          the run                           the outcome
//!   test {GET after SET} {…}          [ok]: GET after SET (1 ms)        passed
//!   test "SCAN with $encoding" {…}    [err]: SCAN with intset in …      failed
//!   test {needs Lua} {…}              [skip]: needs Lua                 left out, with the list's reason
//!   test {the last} {…}                                                 left out: never reached
//! ```

use std::collections::BTreeSet;

/// What came of the tests of one file.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many passed.
    pub passed: u64,
    /// Those that failed, each with what the suite said of it.
    pub failures: Vec<String>,
    /// Those that the list says not to run.
    pub skipped: BTreeSet<String>,
    /// Those that their tags keep from running, with the tags' words.
    pub ignored: BTreeSet<String>,
    /// Those that the file names and the run does not: an aborted or cut block never reached them, or a condition of
    /// the file kept them out.
    pub unreached: BTreeSet<String>,
}

impl Outcome {
    /// How many tests were not run.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.skipped.len() + self.ignored.len() + self.unreached.len()
    }

    /// Reads what the suite printed, without colours, of a file whose text is `source`.
    #[must_use]
    pub fn read(printed: &str, source: &str) -> Self {
        let mut outcome = Self::default();
        let mut seen = Vec::new();
        let lines: Vec<&str> = printed.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((mark, said)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) else {
                continue;
            };
            match mark {
                "ok" => {
                    outcome.passed += 1;
                    seen.push(said.rsplit_once(" (").map_or(said, |(name, _)| name));
                }
                "skip" => {
                    outcome.skipped.insert(said.to_owned());
                    seen.push(said);
                }
                "ignore" => {
                    outcome.ignored.insert(said.to_owned());
                    seen.push(said.rsplit_once(": ").map_or(said, |(name, _)| name));
                }
                "err" | "exception" | "timeout" => {
                    outcome.failures.push(with_reason(line, lines.get(at + 1)));
                    seen.push(said.rsplit_once(" in tests/").map_or(said, |(name, _)| name));
                }
                _ => {}
            }
        }
        outcome.failures.dedup();
        if outcome.failures.is_empty() && !printed.contains("All tests passed without errors") {
            let tail = lines[lines.len().saturating_sub(12)..].join("\n    ");
            outcome
                .failures
                .push(format!("the file did not come to its end:\n    {tail}"));
        }
        outcome.unreached = names(source)
            .into_iter()
            .filter(|name| !seen.iter().any(|seen| fits(name, seen)))
            .collect();
        outcome
    }
}

/// A failure's line, and beneath it what was expected.
fn with_reason(line: &str, next: Option<&&str>) -> String {
    const SHOWN_CHARS: usize = 200;
    match next.filter(|next| !next.starts_with('[') && !next.is_empty()) {
        None => line.to_owned(),
        Some(why) => format!("{line}\n        {}", why.chars().take(SHOWN_CHARS).collect::<String>()),
    }
}

/// The names of the tests that a file defines, as its text has them: a variable stands where the run has its value.
#[must_use]
pub fn names(source: &str) -> BTreeSet<String> {
    source.lines().filter_map(name_of).collect()
}

fn name_of(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("test ")?.trim_start();
    if let Some(rest) = rest.strip_prefix('"') {
        return rest.split_once('"').map(|(name, _)| name.to_owned());
    }
    let rest = rest.strip_prefix('{')?;
    let mut depth = 1;
    for (at, letter) in rest.char_indices() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        if depth == 0 {
            return Some(rest[..at].to_owned());
        }
    }
    None
}

/// Whether a name of the run may be that of this name of the file, whose variables stand for any text.
fn fits(name: &str, seen: &str) -> bool {
    let mut pieces = fixed_pieces(name).into_iter();
    let Some(rest) = pieces.next().and_then(|first| seen.strip_prefix(first.as_str())) else {
        return false;
    };
    let mut rest = rest;
    let mut any = false;
    for piece in pieces {
        any = true;
        match rest.find(piece.as_str()) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    any || rest.is_empty()
}

/// The text between variables: `a $b c` is `a `, ` c`.
fn fixed_pieces(name: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '$' => {
                let in_braces = letters.next_if_eq(&'{').is_some();
                while letters
                    .next_if(|next| next.is_alphanumeric() || *next == '_' || *next == ':' && in_braces)
                    .is_some()
                {}
                letters.next_if_eq(&'}');
                pieces.push(String::new());
            }
            '[' => {
                for inside in letters.by_ref() {
                    if inside == ']' {
                        break;
                    }
                }
                pieces.push(String::new());
            }
            other => {
                if let Some(last) = pieces.last_mut() {
                    last.push(other);
                }
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        start_server {} {
            test {GET after SET} {
                r get k
            } {v}
            foreach encoding {intset hashtable} {
                test "SCAN with $encoding, ${count} times" {
                }
            }
            test {needs Lua} {}
            test {needs a large machine} {} {} {large-memory}
            test {a {nested} name} {}
            test {the last} {}
        }
    "#;

    #[test]
    fn every_test_of_the_file_counts_once() {
        let printed = "\
            [ok]: GET after SET (1 ms)\n\
            [err]: SCAN with intset, 5 times in tests/unit/x.tcl\n\
            Expected 'a' to be equal to 'b'\n\
            [ok]: SCAN with hashtable, 5 times (3 ms)\n\
            [skip]: needs Lua\n\
            [ignore]: needs a large machine: large memory flag not provided\n\
            [1/1 done]: unit/x (1 seconds)\n";
        let outcome = Outcome::read(printed, FILE);
        assert_eq!(outcome.passed, 2);
        assert_eq!(
            outcome.failures,
            ["[err]: SCAN with intset, 5 times in tests/unit/x.tcl\n        Expected 'a' to be equal to 'b'"]
        );
        let unreached: Vec<&str> = outcome.unreached.iter().map(String::as_str).collect();
        assert_eq!(unreached, ["a {nested} name", "the last"]);
        assert_eq!(outcome.left_out(), 4);
    }

    #[test]
    fn a_run_that_ends_early_is_a_failure() {
        let outcome = Outcome::read("[ok]: GET after SET (1 ms)\n", FILE);
        assert_eq!(outcome.failures.len(), 1);
        assert!(outcome.failures[0].starts_with("the file did not come to its end"));
    }
}
