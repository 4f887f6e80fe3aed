//! The command line: stock options, in the stock order of things.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::connection::{Credentials, Endpoint};
use crate::format::{Delimiters, Style};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub endpoint: Endpoint,
    /// Who we are.
    pub credentials: Credentials,
    /// Whether a password stood on the command line, where others can see it.
    pub password_visible: bool,
    /// Whether not to say so.
    pub no_auth_warning: bool,
    /// Whether to ask for the password on the terminal.
    pub ask_password: bool,
    /// The database to select.
    pub database: i64,
    /// The protocol asked for.
    pub protocol: Protocol,
    /// How replies are shown.
    pub style: Style,
    /// Between parts of raw output.
    pub delimiters: Delimiters,
    /// Whether pushes are shown.
    pub show_pushes: bool,
    /// How often the command runs; negative for ever.
    pub repeat: i64,
    /// The pause between repetitions, and the pace of the rolling modes.
    pub interval: Duration,
    /// Where standard input goes into the command.
    pub input: InputArgument,
    /// Whether an error reply makes the exit code 1.
    pub error_exit: bool,
    /// Whether the command's words are quoted as at the prompt.
    pub quoted_input: bool,
    /// What to do.
    pub mode: Mode,
    /// The pattern of `--scan` and `--bigkeys`.
    pub pattern: Option<Vec<u8>>,
    /// How long `--pipe` waits for the last replies; zero for ever.
    pub pipe_timeout: Duration,
    /// The command, if one was given.
    pub command: Vec<Vec<u8>>,
}

/// The protocol asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Whatever a connection starts with: RESP2.
    Unspecified,
    /// RESP2, even for JSON.
    Resp2,
    /// RESP3; a server that cannot is an error.
    Resp3,
    /// RESP3 if the server can.
    Resp3IfPossible,
}

/// Where standard input goes into the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputArgument {
    /// Nowhere.
    None,
    /// Behind its last word.
    Last,
    /// In place of this word.
    Tag(Vec<u8>),
}

/// What the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Runs commands.
    Commands,
    /// A line of server statistics, again and again.
    Stat,
    /// Measures the latency of PING.
    Latency {
        /// Whether a new line begins every interval.
        history: bool,
    },
    /// Lists the keys.
    Scan,
    /// Finds the largest key of each type.
    BigKeys,
    /// Sends standard input as it is and counts the replies.
    Pipe,
}

/// Why the command line asks for nothing that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Help was asked for.
    Help,
    /// The version was asked for.
    Version,
    /// An option that does not exist, or lacks its value.
    Unrecognized(String),
    /// An option of the stock client that is not built here.
    NotBuilt(&'static str),
    /// A value that makes no sense.
    Invalid(String),
}

/// Stock options that are not built, and the number of their values.
const NOT_BUILT: &[&str] = &[
    "--cluster",
    "--replica",
    "--slave",
    "--rdb",
    "--functions-rdb",
    "--eval",
    "--ldb",
    "--ldb-sync-mode",
    "--memkeys",
    "--memkeys-samples",
    "--hotkeys",
    "--lru-test",
    "--intrinsic-latency",
    "--latency-dist",
    "--tls",
    "--sni",
    "--cacert",
    "--cacertdir",
    "--cert",
    "--key",
    "--tls-ciphers",
    "--tls-ciphersuites",
    "--insecure",
];

impl Options {
    /// The options when the command line is empty. What is shown depends on whether a person is looking.
    #[must_use]
    pub fn new() -> Self {
        let person = std::io::stdout().is_terminal() || std::env::var_os("FAKETTY").is_some();
        Self {
            endpoint: Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 6379,
            },
            credentials: Credentials::default(),
            password_visible: false,
            no_auth_warning: false,
            ask_password: false,
            database: 0,
            protocol: Protocol::Unspecified,
            style: if person { Style::Standard } else { Style::Raw },
            delimiters: Delimiters::default(),
            show_pushes: person,
            repeat: 1,
            interval: Duration::ZERO,
            input: InputArgument::None,
            error_exit: false,
            quoted_input: false,
            mode: Mode::Commands,
            pattern: None,
            pipe_timeout: Duration::from_secs(30),
            command: Vec::new(),
        }
    }

    /// Reads the command line, without the program's name; options first, then the command.
    ///
    /// # Errors
    /// When it asks for help or for what cannot be done.
    pub fn parse(args: Vec<OsString>) -> Result<Self, Refusal> {
        let mut options = Self::new();
        let mut args: VecDeque<Vec<u8>> = args.into_iter().map(OsStringExt::into_vec).collect();
        options.leading(&mut args)?;
        if args.front().is_some_and(|word| word == b"topology") {
            // A word of our own, and not a server's: options may stand behind it too.
            args.pop_front();
            options.leading(&mut args)?;
            args.push_front(b"topology".to_vec());
        }
        options.command = args.into();
        if options.credentials.password.is_none() {
            options.credentials.password = std::env::var("REDISCLI_AUTH").ok();
        }
        Ok(options)
    }

    /// Takes options off the front of `args`.
    fn leading(&mut self, args: &mut VecDeque<Vec<u8>>) -> Result<(), Refusal> {
        while args.front().is_some_and(|word| word.first() == Some(&b'-')) {
            let Some(name) = args.pop_front() else { break };
            let name = String::from_utf8_lossy(&name).into_owned();
            self.option(&name, args)?;
        }
        Ok(())
    }

    fn option(&mut self, name: &str, rest: &mut VecDeque<Vec<u8>>) -> Result<(), Refusal> {
        if self.switch(name) {
            return Ok(());
        }
        match name {
            "--help" => return Err(Refusal::Help),
            "-h" if rest.is_empty() => return Err(Refusal::Help),
            "-v" | "--version" => return Err(Refusal::Version),
            _ => {}
        }
        if let Some(known) = NOT_BUILT.iter().find(|known| **known == name) {
            return Err(Refusal::NotBuilt(known));
        }
        let bytes = rest
            .front()
            .ok_or_else(|| Refusal::Unrecognized(name.to_owned()))?
            .clone();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let invalid = || Refusal::Invalid(format!("Invalid value for {name}: '{text}'"));
        match name {
            "-h" => self.set_host(text),
            "-p" => self.set_port(
                text.parse()
                    .map_err(|_| Refusal::Invalid("Invalid server port.".into()))?,
            ),
            "-s" => self.endpoint = Endpoint::Unix(PathBuf::from(OsString::from_vec(bytes))),
            "-a" | "--pass" => {
                self.credentials.password = Some(text);
                self.password_visible = true;
            }
            "--user" => self.credentials.user = Some(text),
            "-u" => self.uri(&text)?,
            "-r" => self.repeat = text.parse().map_err(|_| invalid())?,
            "-i" => self.interval = seconds(&text).ok_or_else(invalid)?,
            "-n" => self.database = text.parse().map_err(|_| invalid())?,
            "-d" => self.delimiters.element = bytes,
            "-D" => self.delimiters.reply = bytes,
            "-X" => self.input = InputArgument::Tag(bytes),
            "--pattern" => self.pattern = Some(bytes),
            "--quoted-pattern" => {
                self.pattern = Some(unquote(&bytes).ok_or_else(|| Refusal::Invalid("Invalid quoted string".into()))?);
            }
            "--pipe-timeout" => self.pipe_timeout = seconds(&text).ok_or_else(invalid)?,
            "--show-pushes" => self.show_pushes = !matches!(bytes.first(), Some(b'n' | b'N')),
            _ => return Err(Refusal::Unrecognized(name.to_owned())),
        }
        rest.pop_front();
        Ok(())
    }

    /// Options without a value; whether `name` was one.
    fn switch(&mut self, name: &str) -> bool {
        match name {
            "-x" => self.input = InputArgument::Last,
            "-e" => self.error_exit = true,
            "-2" => self.protocol = Protocol::Resp2,
            "-3" => self.protocol = Protocol::Resp3,
            "--raw" => self.style = Style::Raw,
            "--no-raw" => self.style = Style::Standard,
            "--csv" => self.style = Style::Csv,
            "--json" | "--quoted-json" => {
                self.style = if name == "--json" {
                    Style::Json
                } else {
                    Style::QuotedJson
                };
                if self.protocol == Protocol::Unspecified {
                    self.protocol = Protocol::Resp3IfPossible;
                }
            }
            "--quoted-input" => self.quoted_input = true,
            "--no-auth-warning" => self.no_auth_warning = true,
            "--askpass" => self.ask_password = true,
            "--stat" => self.mode = Mode::Stat,
            "--latency" => self.mode = Mode::Latency { history: false },
            "--latency-history" => self.mode = Mode::Latency { history: true },
            "--scan" => self.mode = Mode::Scan,
            "--bigkeys" => self.mode = Mode::BigKeys,
            "--pipe" => self.mode = Mode::Pipe,
            "--verbose" => {}
            // Scripts that say it everywhere must not stumble over a remark.
            "-c" if !std::io::stderr().is_terminal() => {}
            "-c" => eprintln!("Note: there are no clusters yet; -MOVED and -ASK are not followed."),
            _ => return false,
        }
        true
    }

    fn set_host(&mut self, host: String) {
        let port = match self.endpoint {
            Endpoint::Tcp { port, .. } => port,
            Endpoint::Unix(_) => return,
        };
        self.endpoint = Endpoint::Tcp { host, port };
    }

    fn set_port(&mut self, new: u16) {
        if let Endpoint::Tcp { port, .. } = &mut self.endpoint {
            *port = new;
        }
    }

    /// `redis://[[user][:password]@]host[:port][/database]`
    fn uri(&mut self, uri: &str) -> Result<(), Refusal> {
        if uri.starts_with("rediss://") {
            return Err(Refusal::NotBuilt("TLS"));
        }
        let rest = uri
            .strip_prefix("redis://")
            .ok_or_else(|| Refusal::Invalid("Invalid URI scheme".into()))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host_port = match authority.rsplit_once('@') {
            Some((user_info, host_port)) => {
                let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
                self.credentials.user = Some(percent_decoded(user)).filter(|user| !user.is_empty());
                if !password.is_empty() {
                    self.credentials.password = Some(percent_decoded(password));
                    self.password_visible = true;
                }
                host_port
            }
            None => authority,
        };
        let (host, port) = match host_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, port)) => (address, port.strip_prefix(':')),
            None => match host_port.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host_port, None),
            },
        };
        if !host.is_empty() {
            self.set_host(percent_decoded(host));
        }
        if let Some(port) = port {
            self.set_port(
                port.parse()
                    .map_err(|_| Refusal::Invalid("Invalid server port.".into()))?,
            );
        }
        if !path.is_empty() {
            let invalid = || Refusal::Invalid(format!("Invalid database number in the URI: '{path}'"));
            self.database = path.parse().map_err(|_| invalid())?;
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes one word in the prompt's quotes, or bare.
#[must_use]
pub fn unquote(word: &[u8]) -> Option<Vec<u8>> {
    match base::words::split(word).ok()?.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let escaped = match (byte, tail) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        out.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Refusal> {
        Options::parse(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn options_then_the_command() {
        let options = parse("-h ::1 -p 7000 -n 3 -r 5 -i 0.5 --csv -a pw SET -a b").unwrap();
        assert_eq!(options.endpoint.to_string(), "[::1]:7000");
        assert_eq!((options.database, options.repeat, options.style), (3, 5, Style::Csv));
        assert_eq!(options.interval, Duration::from_millis(500));
        assert_eq!(options.credentials.command(), Some(vec!["AUTH", "pw"]));
        assert!(options.password_visible);
        assert_eq!(options.command, [b"SET".as_slice(), b"-a", b"b"]);
    }

    #[test]
    fn refusals() {
        assert_eq!(parse("--bogus").unwrap_err(), Refusal::Unrecognized("--bogus".into()));
        assert_eq!(parse("-p").unwrap_err(), Refusal::Unrecognized("-p".into()));
        assert_eq!(parse("-h").unwrap_err(), Refusal::Help);
        assert_eq!(parse("--rdb x").unwrap_err(), Refusal::NotBuilt("--rdb"));
        assert!(matches!(parse("-p 70000").unwrap_err(), Refusal::Invalid(_)));
        assert!(matches!(parse("-u http://x").unwrap_err(), Refusal::Invalid(_)));
    }

    #[test]
    fn uris() {
        let options = parse("-u redis://us%65r:p%40ss@host:7000/2").unwrap();
        assert_eq!(options.endpoint.to_string(), "host:7000");
        assert_eq!(options.credentials.command(), Some(vec!["AUTH", "user", "p@ss"]));
        assert_eq!(options.database, 2);
        let options = parse("-u redis://:pw@[::1]").unwrap();
        assert_eq!(options.endpoint.to_string(), "[::1]:6379");
        assert_eq!(options.credentials.command(), Some(vec!["AUTH", "pw"]));
    }
}
