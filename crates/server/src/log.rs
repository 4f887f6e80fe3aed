//! The log: stock servers' lines, `pid:role dd Mon yyyy hh:mm:ss.mmm level text`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use engine::host::Level;
use net::{Clock, LocalTime};

/// Who writes, as the letter after the process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Before it is known which of the two it is, and for children.
    Starting,
    /// A primary.
    Primary,
    /// A replica.
    Replica,
}

impl Role {
    fn letter(self) -> char {
        match self {
            Self::Starting => 'C',
            Self::Primary => 'M',
            Self::Replica => 'S',
        }
    }
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, opened for each line: it may be moved away and is then begun anew.
    File(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// Writes log lines.
#[derive(Debug)]
pub struct Log {
    /// Where lines go.
    pub sink: Sink,
    /// Lines below this level are left out.
    pub level: Level,
    /// Who writes.
    pub role: Role,
}

impl Log {
    /// A log as it is before the configuration is read.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sink: Sink::Stdout,
            level: Level::Notice,
            role: Role::Starting,
        }
    }

    /// Writes one line, if its level is logged.
    pub fn line(&self, level: Level, text: &str) {
        if level < self.level {
            return;
        }
        let line = format_line(std::process::id(), self.role, Clock.now().unix_us, level, text);
        self.write(line.as_bytes());
    }

    /// Writes text without a line's beginning: the logo.
    pub fn write(&self, text: &[u8]) {
        // A log that cannot be written has no place to say so.
        let _ = match &self.sink {
            Sink::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text).and_then(|()| stdout.flush())
            }
            Sink::File(path) => OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(text)),
            Sink::Nowhere => Ok(()),
        };
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn format_line(pid: u32, role: Role, unix_us: i64, level: Level, text: &str) -> String {
    let time = LocalTime::at(unix_us.div_euclid(1_000_000));
    let mark = match level {
        Level::Debug => '.',
        Level::Verbose => '-',
        Level::Notice => '*',
        Level::Warning => '#',
    };
    format!(
        "{pid}:{} {:02} {} {:04} {:02}:{:02}:{:02}.{:03} {mark} {text}\n",
        role.letter(),
        time.day,
        MONTHS[usize::from(time.month - 1)],
        time.year,
        time.hour,
        time.minute,
        time.second,
        unix_us.rem_euclid(1_000_000) / 1000,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_looks_like_stocks() {
        let line = format_line(42, Role::Replica, 1_700_000_000_007_000, Level::Warning, "hello");
        // The hour depends on the machine's time zone.
        assert_eq!(&line[..5], "42:S ");
        assert_eq!(&line[7..17], " Nov 2023 ");
        assert_eq!(&line[22..], ":20.007 # hello\n");
    }

    #[test]
    fn a_file_gets_what_its_level_lets_through() {
        let path = std::env::temp_dir().join(format!("skein-log-{}", std::process::id()));
        let log = Log {
            sink: Sink::File(path.clone()),
            level: Level::Notice,
            role: Role::Primary,
        };
        log.line(Level::Verbose, "quiet");
        log.line(Level::Notice, "one");
        std::fs::rename(&path, path.with_extension("old")).unwrap();
        log.line(Level::Warning, "two");
        let old = std::fs::read_to_string(path.with_extension("old")).unwrap();
        let new = std::fs::read_to_string(&path).unwrap();
        assert!(old.ends_with(" * one\n") && old.lines().count() == 1);
        assert!(new.ends_with(" # two\n") && new.lines().count() == 1);
        std::fs::remove_file(path.with_extension("old")).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
