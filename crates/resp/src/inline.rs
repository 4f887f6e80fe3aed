//! Inline requests: a line of words, quoted as a shell would.

use crate::args::{ArgRange, Argv};
use base::words::{self, Unbalanced};

/// Splits `line` into words, appending them to `argv`'s scratch space.
pub(crate) fn split(line: &[u8], argv: &mut Argv) -> Result<(), Unbalanced> {
    let mut rest = line;
    loop {
        let start = argv.scratch.len();
        let Some(after) = words::next_word(rest, &mut argv.scratch)? else {
            return Ok(());
        };
        argv.ranges.push(ArgRange {
            start,
            end: argv.scratch.len(),
        });
        rest = after;
    }
}
