//! Counts what passed and what failed, and says so in one closing line.

use std::time::Instant;

use harness::Result;

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

    /// Adds the counts of a part.
    pub fn add(&mut self, passed: u64, failed: u64, name: &str) {
        self.passed += passed;
        self.failed.extend((0..failed).map(|_| name.to_owned()));
    }

    /// Says how many cases were not run, for the closing line.
    pub fn leave_out(&mut self, count: usize) {
        self.left_out = Some(count);
    }

    /// Prints the closing line; true if nothing failed.
    pub fn finish(self) -> bool {
        let mut names = self.failed.clone();
        names.dedup();
        for name in &names {
            println!("failed: {name}");
        }
        let left_out = self
            .left_out
            .map_or(String::new(), |count| format!(", {count} left out"));
        println!("{} passed, {} failed{left_out}", self.passed, self.failed.len());
        self.failed.is_empty()
    }
}
