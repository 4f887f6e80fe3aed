//! A conversation with a server: connecting, sending commands, showing replies, and knowing where we stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use resp::Value;

use crate::connection::{Connection, Endpoint, Error};
use crate::format;
use crate::options::{Options, Protocol};
use crate::screen;

/// What became of a command whose reply could not be shown. The reason has been printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command failed; a prompt goes on, a script ends with code 1.
    Command,
    /// The program must end with code 1.
    Fatal,
}

/// Whether a failure to connect is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loudness {
    /// It is.
    Loud,
    /// A second attempt will print it.
    Quiet,
}

/// A conversation with one server, over as many connections as it takes.
#[derive(Debug)]
pub struct Session {
    /// The command line's wishes; AUTH, `:set` and `connect` change them.
    pub options: Options,
    /// Set by Ctrl-C: what waits for the server gives up. `None` where Ctrl-C ends the program.
    pub interrupted: Option<Arc<AtomicBool>>,
    connection: Option<Connection>,
    /// The database of the connection.
    database: i64,
    multi: Option<BeforeMulti>,
    /// SHUTDOWN was sent: the connection may close without a reply.
    shutting_down: bool,
}

/// What an EXEC that fails goes back to.
#[derive(Clone, Copy, Debug)]
struct BeforeMulti {
    database: i64,
}

impl Session {
    /// A conversation that has not begun.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            interrupted: None,
            connection: None,
            database: 0,
            multi: None,
            shutting_down: false,
        }
    }

    /// Whether commands come one after another from a person or a stream, not from the command line.
    fn is_interactive(&self) -> bool {
        self.options.command.is_empty()
    }

    /// The prompt: `host:port[database](TX)> `.
    #[must_use]
    pub fn prompt(&self) -> String {
        if self.connection.is_none() {
            return "not connected> ".to_owned();
        }
        let place = match &self.options.endpoint {
            Endpoint::Unix(path) => format!("redis {}", path.display()),
            tcp => tcp.to_string(),
        };
        let database = if self.database == 0 {
            String::new()
        } else {
            format!("[{}]", self.database)
        };
        let transaction = if self.multi.is_some() { "(TX)" } else { "" };
        format!("{place}{database}{transaction}> ")
    }

    /// Whether a MULTI is open.
    #[must_use]
    pub fn in_multi(&self) -> bool {
        self.multi.is_some()
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Connects anew, then authenticates, selects and switches protocol as far as the server lets us. What it refuses
    /// is printed, and the connection stays.
    pub fn connect(&mut self, loudness: Loudness) -> bool {
        self.disconnect();
        match Connection::open(&self.options.endpoint, None) {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => {
                if loudness == Loudness::Loud {
                    let reason = crate::connection::io_text(&error);
                    let at = match &self.options.endpoint {
                        Endpoint::Tcp { host, port } => format!("{host}:{port}"),
                        unix => unix.to_string(),
                    };
                    eprintln!("Could not connect to Redis at {at}: {reason}");
                }
                return false;
            }
        }
        if let Err(error) = self.introduce() {
            eprintln!("Error: {error}");
            self.disconnect();
        }
        self.connection.is_some()
    }

    /// The connection, made if there is none.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        if self.connection.is_none() {
            self.connect(Loudness::Loud);
        }
        self.connection.as_mut()
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.database = 0;
        self.multi = None;
    }

    fn introduce(&mut self) -> Result<(), Error> {
        let Some(connection) = self.connection.as_mut() else {
            return Ok(());
        };
        if let Some(auth) = self.options.credentials.command()
            && let Some(line) = connection.call(&auth)?.as_error()
        {
            eprintln!("AUTH failed: {}", String::from_utf8_lossy(line));
            return Ok(());
        }
        if !self.select()? {
            return Ok(());
        }
        let Some(connection) = self.connection.as_mut() else {
            return Ok(());
        };
        if matches!(self.options.protocol, Protocol::Resp3 | Protocol::Resp3IfPossible)
            && let Some(line) = connection.call(&["HELLO", "3"])?.as_error()
            && self.options.protocol == Protocol::Resp3
        {
            eprintln!("HELLO 3 failed: {}", String::from_utf8_lossy(line));
        }
        Ok(())
    }

    /// Selects the wished database if the connection is at another; whether it is there now.
    fn select(&mut self) -> Result<bool, Error> {
        let wished = self.options.database;
        if wished == self.database {
            return Ok(true);
        }
        let Some(connection) = self.connection.as_mut() else {
            return Ok(false);
        };
        let reply = connection.call(&["SELECT", &wished.to_string()])?;
        if let Some(line) = reply.as_error() {
            eprintln!("SELECT {wished} failed: {}", String::from_utf8_lossy(line));
            return Ok(false);
        }
        self.database = wished;
        Ok(true)
    }

    /// Sends a command `repeat` times (negative: for ever) and shows the replies. A connection found closed is made
    /// anew once.
    ///
    /// # Errors
    /// When the server cannot be reached or the reply is none. An error reply is not a failure, but with `-e`.
    pub fn issue(&mut self, words: &[Vec<u8>], repeat: i64) -> Result<(), Failure> {
        let Some((name, _)) = words.split_first() else {
            return Ok(());
        };
        if self.connection.is_none() && !self.connect(Loudness::Loud) {
            return Err(Failure::Command);
        }
        let mut left = repeat;
        while left != 0 {
            left -= i64::from(left > 0);
            match self.exchange(words) {
                Ok(()) => {}
                Err(error) if error.is_disconnect() && self.shutting_down => {
                    self.shutting_down = false;
                    self.disconnect();
                    return Ok(());
                }
                Err(error) if error.is_disconnect() && self.is_interactive() => self.exchange_anew(words)?,
                Err(error) => return Err(self.give_up(&error)),
            }
            if !self.options.interval.is_zero() && !name.eq_ignore_ascii_case(b"monitor") {
                std::thread::sleep(self.options.interval);
            }
        }
        Ok(())
    }

    /// The server had closed the connection, perhaps long ago: one more attempt.
    fn exchange_anew(&mut self, words: &[Vec<u8>]) -> Result<(), Failure> {
        if !self.connect(Loudness::Loud) {
            return Err(Failure::Command);
        }
        self.exchange(words).map_err(|error| self.give_up(&error))
    }

    fn give_up(&mut self, error: &Error) -> Failure {
        let interrupted = self
            .interrupted
            .as_ref()
            .is_some_and(|flag| flag.swap(false, Ordering::Relaxed));
        if interrupted {
            // The server may still be at it: leave that connection to its fate.
            screen::print(b"\n");
            self.connect(Loudness::Quiet);
        } else {
            eprintln!("Error: {error}");
            self.disconnect();
        }
        if self.is_interactive() {
            Failure::Command
        } else {
            Failure::Fatal
        }
    }

    fn exchange(&mut self, words: &[Vec<u8>]) -> Result<(), Error> {
        let name = words[0].to_ascii_lowercase();
        if let Some(connection) = self.connection.as_mut() {
            connection.send(words)?;
        }
        match name.as_slice() {
            b"monitor" => return self.stream(),
            b"subscribe" | b"psubscribe" | b"ssubscribe" => {
                if self.options.style != format::Style::Raw {
                    screen::print_line("Reading messages... (press Ctrl-C to quit)");
                }
                return self.stream();
            }
            b"shutdown" => self.shutting_down = true,
            _ => {}
        }
        let reply = loop {
            match self.read()? {
                push @ Value::Push(_) => {
                    if self.options.show_pushes {
                        screen::print(&format::push(&push, self.options.style, &self.options.delimiters));
                    }
                }
                reply => break reply,
            }
        };
        self.shutting_down = false;
        self.show(&reply, shown_verbatim(words));
        self.notice(&name, words, &reply)
    }

    /// Shows what comes, until the connection ends or the first reply is an error.
    fn stream(&mut self) -> Result<(), Error> {
        loop {
            let message = self.read()?;
            self.show(&message, false);
            if message.as_error().is_some() {
                return Ok(());
            }
        }
    }

    fn show(&self, reply: &Value, verbatim: bool) {
        if let Some(line) = reply.as_error()
            && self.options.error_exit
            && !self.is_interactive()
        {
            eprintln!("{}", String::from_utf8_lossy(line));
            std::process::exit(1);
        }
        let (style, delimiters) = (self.options.style, &self.options.delimiters);
        let text = if verbatim {
            format::verbatim(reply, delimiters)
        } else {
            format::reply(reply, style, delimiters)
        };
        screen::print(&text);
    }

    /// What a command's success changes for us.
    fn notice(&mut self, name: &[u8], words: &[Vec<u8>], reply: &Value) -> Result<(), Error> {
        let failed = reply.as_error().is_some();
        match (name, words.len()) {
            (b"select", 2) if !failed => {
                let database = std::str::from_utf8(&words[1])
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0);
                self.options.database = database;
                self.database = database;
            }
            (b"auth", 2 | 3) => {
                self.select()?;
            }
            (b"multi", 1) if !failed => {
                self.multi = Some(BeforeMulti {
                    database: self.database,
                })
            }
            (b"exec", 1) => {
                let before = self.multi.take();
                if let Some(before) = before.filter(|_| failed || reply.is_null()) {
                    self.options.database = before.database;
                    self.database = before.database;
                }
            }
            (b"discard", 1) if !failed => {
                if let Some(before) = self.multi.take() {
                    self.options.database = before.database;
                    self.database = before.database;
                }
            }
            (b"reset", 1) if !failed => {
                self.multi = None;
                self.database = 0;
                self.options.database = 0;
            }
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Value, Error> {
        match (&mut self.connection, &self.interrupted) {
            (Some(connection), Some(flag)) => connection.read_unless(flag),
            (Some(connection), None) => connection.read(),
            (None, _) => Err(Error::Closed),
        }
    }
}

/// Replies that are text for people already, and are shown as they are in every style.
fn shown_verbatim(words: &[Vec<u8>]) -> bool {
    let lower: Vec<Vec<u8>> = words.iter().take(2).map(|word| word.to_ascii_lowercase()).collect();
    let second = lower.get(1).map(Vec::as_slice).unwrap_or_default();
    match (lower[0].as_slice(), second, words.len()) {
        (b"info" | b"lolwut", _, _)
        | (b"debug", b"htstats" | b"htstats-key" | b"client-eviction", _)
        | (b"memory", b"malloc-stats" | b"doctor", _)
        | (b"cluster", b"nodes" | b"info", 2)
        | (b"client", b"list" | b"info", _)
        | (b"latency", b"graph", 3)
        | (b"latency", b"doctor", 2) => true,
        (b"proxy", second, _) => second == b"info",
        _ => false,
    }
}
