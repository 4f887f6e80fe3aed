//! Counts what passed and what failed, and says so in one closing line.

use std::time::Instant;

use harness::Result;

/// What the lines begin with that name a failure, before the closing line.
pub const FAILED: &str = "failed: ";

/// The running count of a task.
#[derive(Debug, Default)]
pub struct Report {
    passed: u64,
    failed: Vec<String>,
    left_out: Option<usize>,
}

impl Report {
    /// Runs one case, prints its line, counts it.
    pub fn case(&mut self, name: &str, body: impl FnOnce() -> Result<String>) {
        let start = Instant::now();
        let outcome = body();
        self.count(name, outcome, start.elapsed().as_secs_f64());
    }

    /// Counts a case that has run elsewhere.
    pub fn count(&mut self, name: &str, outcome: Result<String>, seconds: f64) {
        match outcome {
            Ok(note) => {
                let note = if note.is_empty() { note } else { format!(": {note}") };
                println!("ok     {name} ({seconds:.1} s){note}");
                self.passed += 1;
            }
            Err(error) => {
                println!("FAILED {name} ({seconds:.1} s): {error}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Adds the counts of a part: how many passed, and the names of those that failed.
    pub fn add(&mut self, passed: u64, failed: impl IntoIterator<Item = String>) {
        self.passed += passed;
        self.failed.extend(failed);
    }

    /// Says how many cases were not run, for the closing line.
    pub fn leave_out(&mut self, count: usize) {
        self.left_out = Some(count);
    }

    /// Prints what failed and the closing line; true if nothing failed.
    pub fn finish(self) -> bool {
        for name in &self.failed {
            println!("{FAILED}{name}");
        }
        let left_out = self
            .left_out
            .map_or(String::new(), |count| format!(", {count} left out"));
        println!("{} passed, {} failed{left_out}", self.passed, self.failed.len());
        self.failed.is_empty()
    }
}
