//! Standard output, for a program whose reader may leave at any time.

use std::io::{self, Write};

/// Writes to standard output at once. When nobody reads it any more there is nothing left to do: the process ends.
pub fn print(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(1);
    }
}

/// As [`print()`], with a line end.
pub fn print_line(line: &str) {
    let mut bytes = line.as_bytes().to_vec();
    bytes.push(b'\n');
    print(&bytes);
}
