//! The terminal while the live view has it.

use std::io;
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::connection::readable;
use crate::screen;

/// What a terminal is taken for when it does not tell its size.
const FALLBACK_SIZE: (usize, usize) = (80, 24);

/// A terminal in raw mode, on its alternate screen; as it was when dropped.
pub struct Terminal {
    before: Termios,
}

impl Terminal {
    /// Takes the terminal of standard input and output.
    pub fn take() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Flush, &raw)?;
        screen::print(b"\x1b[?1049h\x1b[?25l\x1b[2J");
        Ok(Self { before })
    }

    /// Its columns and rows.
    pub fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
            _ => FALLBACK_SIZE,
        }
    }

    /// The key pressed within `timeout`, if one is. A terminal that is gone presses Ctrl-C.
    pub fn key(&self, timeout: Duration) -> Option<u8> {
        let stdin = io::stdin();
        if !readable(&stdin, timeout).ok()? {
            return None;
        }
        let mut keys = [0; 64];
        match rustix::io::read(&stdin, &mut keys) {
            Ok(0) | Err(_) => Some(3),
            // Arrows and their like come as several bytes that begin with an escape; they mean nothing here.
            Ok(count) => Some(keys[0]).filter(|key| count == 1 || *key != 0x1b),
        }
    }

    /// Shows `lines` from the top left, cut to the screen.
    pub fn draw(&self, lines: &[String]) {
        let (columns, rows) = self.size();
        let mut frame = String::from("\x1b[?2026h\x1b[H");
        for (row, line) in lines.iter().take(rows).enumerate() {
            if row > 0 {
                frame.push_str("\r\n");
            }
            frame.push_str(&cut(line, columns));
            frame.push_str("\x1b[0m\x1b[K");
        }
        frame.push_str("\x1b[J\x1b[?2026l");
        screen::print(frame.as_bytes());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        screen::print(b"\x1b[?25h\x1b[?1049l");
        // There is nobody left to tell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// The first `columns` characters of a line; escape sequences take no room.
fn cut(line: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    let mut escaped = false;
    for character in line.chars() {
        if escaped {
            escaped = !character.is_ascii_alphabetic();
        } else if character == '\x1b' {
            escaped = true;
        } else if used == columns {
            continue;
        } else {
            used += 1;
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_but_its_colours_end() {
        assert_eq!(cut("\x1b[1mabcdef\x1b[0m", 3), "\x1b[1mabc\x1b[0m");
        assert_eq!(cut("─│x", 2), "─│");
    }
}
