//! `skein demo`: a primary with a password and two replicas, started, shown live, and gone without a trace.
//!
//! ```text
//!   flock     the three servers: config files, processes, commands to them
//!   show      what happens where nobody looks at a terminal: a short story, then the end
//!   live      the moving picture, and keys to press
//!   terminal  raw mode, keys, size
//! ```

pub mod flock;
mod live;
mod show;
mod terminal;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::screen;
use flock::Flock;

/// How long the story of the plain show takes.
const SHOW_SECONDS: u64 = 10;
/// How often a wait looks whether it was interrupted.
const INTERRUPT_POLL: Duration = Duration::from_millis(20);

const HELP: &str = "\
Usage: skein demo [--seconds <n>] [--keep] [--plain]

Starts a primary with a password and two replicas on free ports of this machine, from config files worth reading, and
shows what they do. On a terminal: live, with keys. Elsewhere, or with --plain: a short story in lines of text.

  --seconds <n>   ends after so long (plain: 10; live: never)
  --keep          leaves the directory with the config files, logs and data
  --plain         no live view
";

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wishes {
    seconds: Option<u64>,
    keep: bool,
    plain: bool,
}

/// Runs the demo with the command line behind the word `demo`.
pub fn main<A: Into<std::ffi::OsString>>(args: Vec<A>) -> ExitCode {
    let args: Vec<String> = args
        .into_iter()
        .map(|arg| arg.into().to_string_lossy().into_owned())
        .collect();
    let wishes = match parse(&args) {
        Ok(Some(wishes)) => wishes,
        Ok(None) => {
            screen::print(HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprint!("{problem}\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    };
    match run(wishes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Result<Option<Wishes>, String> {
    let mut wishes = Wishes {
        seconds: None,
        keep: false,
        plain: false,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--keep" => wishes.keep = true,
            "--plain" => wishes.plain = true,
            "--seconds" => {
                let value = args.next().and_then(|value| value.parse().ok());
                wishes.seconds = Some(value.ok_or("--seconds needs a whole number")?);
            }
            "-h" | "--help" => return Ok(None),
            other => return Err(format!("The demo knows no '{other}'.")),
        }
    }
    Ok(Some(wishes))
}

fn run(wishes: Wishes) -> Result<(), String> {
    let stop = Stop::on_signals();
    let mut flock = Flock::launch(wishes.keep, &stop)?;
    let live = !wishes.plain && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let outcome = if live {
        live::run(&mut flock, wishes.seconds.map(Duration::from_secs), &stop)
    } else {
        show::run(
            &mut flock,
            Duration::from_secs(wishes.seconds.unwrap_or(SHOW_SECONDS)),
            &stop,
        )
    };
    let farewell = flock.farewell();
    drop(flock);
    screen::print_line(&farewell);
    outcome
}

/// Whether somebody asked us to end: Ctrl-C, or a signal to the process.
#[derive(Clone, Debug)]
pub struct Stop {
    flag: Arc<AtomicBool>,
}

impl Stop {
    fn on_signals() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ] {
            // Without a handler the signal ends us, and the servers go on: worth a word.
            if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&flag)) {
                eprintln!("Signal {signal} will not be handled: {error}");
            }
        }
        Self { flag }
    }

    /// Whether to end now.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Sleeps, unless asked to end.
    fn sleep(&self, duration: Duration) {
        let end = Instant::now() + duration;
        while !self.is_set() && Instant::now() < end {
            std::thread::sleep(INTERRUPT_POLL.min(end.saturating_duration_since(Instant::now())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        let parse = |line: &str| parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(
            parse("--seconds 3 --keep"),
            Ok(Some(Wishes {
                seconds: Some(3),
                keep: true,
                plain: false
            }))
        );
        assert_eq!(parse("--help"), Ok(None));
        assert!(parse("--seconds x").is_err() && parse("--seconds").is_err() && parse("loud").is_err());
    }
}
