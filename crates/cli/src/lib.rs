//! The client: `skein cli`, and what the binary does when called `redis-cli`.
//!
//! ```text
//!   options ─► session (connect, AUTH, SELECT, HELLO) ─► format ─► standard output
//!                ▲
//!   prompt, lines of standard input, words of the command line, modes (--stat, --scan …)
//!
//!   topology   asks every server it can find who follows whom
//!   demo       starts three servers and shows that picture live
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "a client owns its outside: it waits, measures and talks to terminals"
)]

pub mod connection;
pub mod demo;
pub mod docs;
pub mod format;
pub mod modes;
pub mod options;
pub mod prompt;
pub mod screen;
pub mod session;
pub mod topology;

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;

use options::{InputArgument, Mode, Options, Refusal};
use session::Session;

/// The version of the stock client whose habits this one has.
const VERSION_LINE: &str = concat!("skein cli ", env!("CARGO_PKG_VERSION"), " (as redis-cli 7.0.15)");

/// Runs the client with the command line behind the program's name (and behind the word `cli`).
pub fn main<A: Into<OsString>>(args: Vec<A>) -> ExitCode {
    let mut options = match Options::parse(args.into_iter().map(Into::into).collect()) {
        Ok(options) => options,
        Err(refusal) => return refuse(&refusal),
    };
    if options.password_visible && !options.no_auth_warning {
        eprintln!("Warning: Using a password with '-a' or '-u' option on the command line interface may not be safe.");
    }
    if options.ask_password {
        match ask_password() {
            Ok(password) => options.credentials.password = Some(password),
            Err(error) => {
                eprintln!("Error: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let topology = options.command.first().is_some_and(|word| word == b"topology");
    let success = match options.mode {
        Mode::Commands if topology => topology::main(&options, &options.command[1..]),
        Mode::Commands if options.command.is_empty() => {
            prompt::run(Session::new(options));
            true
        }
        Mode::Commands => one_command(options),
        _ => modes::run(&options),
    };
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refuse(refusal: &Refusal) -> ExitCode {
    match refusal {
        Refusal::Help => screen::print(HELP.as_bytes()),
        Refusal::Version => screen::print_line(VERSION_LINE),
        Refusal::Unrecognized(name) => {
            eprintln!("Unrecognized option or bad number of args for: '{name}'");
            return ExitCode::FAILURE;
        }
        Refusal::NotBuilt(name) => {
            eprintln!("{name} is not built into this client yet; the stock redis-cli works with Skein.");
            return ExitCode::FAILURE;
        }
        Refusal::Invalid(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn one_command(options: Options) -> bool {
    let mut words = options.command.clone();
    if options.quoted_input {
        let unquoted: Option<Vec<Vec<u8>>> = words.iter().map(|word| options::unquote(word)).collect();
        match unquoted {
            Some(unquoted) => words = unquoted,
            None => {
                screen::print_line("Invalid quoted string");
                return false;
            }
        }
    }
    if options.input != InputArgument::None {
        let mut input = Vec::new();
        if let Err(error) = std::io::stdin().lock().read_to_end(&mut input) {
            eprintln!("Error: {error}");
            return false;
        }
        match &options.input {
            InputArgument::Tag(tag) => match words.iter_mut().find(|word| *word == tag) {
                Some(word) => *word = input,
                None => {
                    eprintln!("Using -X option but stdin tag not match.");
                    return false;
                }
            },
            _ => words.push(input),
        }
    }
    let repeat = options.repeat;
    Session::new(options).issue(&words, repeat).is_ok()
}

/// Reads a password from the terminal without showing it.
fn ask_password() -> std::io::Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    eprint!("Please input password: ");
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin);
    if let Ok(before) = &before {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &silent)?;
    }
    let mut line = String::new();
    let outcome = stdin.read_line(&mut line);
    if let Ok(before) = &before {
        tcsetattr(&stdin, OptionalActions::Now, before)?;
    }
    eprintln!();
    outcome?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

const HELP: &str = "\
Usage: skein cli [options] [command [argument ...]]
       skein cli [options] topology [host:port ...]

Without a command: a prompt, or one command a line from standard input.

  -h <host>  -p <port>  -s <socket>  -u redis://[user:password@]host[:port][/database]
  -a, --pass <password>   better in the environment as REDISCLI_AUTH, or:
  --askpass               asks for it on the terminal
  --user <name>           together with a password
  --no-auth-warning       nothing said about -a
  -n <database>
  -2, -3                  the protocol
  -r <times>  -i <seconds>  runs the command so often, with pauses
  -x                      the last argument comes from standard input
  -X <tag>                the argument that reads <tag> comes from standard input
  --quoted-input          arguments are quoted as at the prompt
  --raw, --no-raw, --csv, --json, --quoted-json   how replies look; raw when no terminal
  -d <text>, -D <text>    between the parts of a raw reply, between raw replies
  --show-pushes <yes|no>
  -e                      an error reply gives exit code 1

  --scan, --bigkeys       all keys, or the biggest; with --pattern <glob> or --quoted-pattern <glob>
  --stat, --latency, --latency-history   watches the server; -i sets the pace
  --pipe                  sends standard input as it is, counts replies; --pipe-timeout <seconds>

  topology                the tree of primary and replicas, from any of its servers; --json for scripts;
                          exit code 1 when a link is broken
  --help, --version
";
