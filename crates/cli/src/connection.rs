//! A blocking connection to one server.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use resp::value::DecodeError;
use resp::{Decoder, Value, write_command};

/// Bytes asked from the socket at once.
const READ_BYTES: usize = 64 * 1024;
/// How often a waiting read looks whether it was interrupted.
const INTERRUPT_POLL: Duration = Duration::from_millis(100);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or address, and a port.
    Tcp {
        /// A name, or an IPv4 or IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket file.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What AUTH says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user; the default one when absent.
    pub user: Option<String>,
    /// The password; without one, AUTH is not sent.
    pub password: Option<String>,
}

impl Credentials {
    /// The words of the AUTH command, if there is anything to say.
    #[must_use]
    pub fn command(&self) -> Option<Vec<&str>> {
        let password = self.password.as_deref()?;
        Some(match self.user.as_deref() {
            Some(user) => vec!["AUTH", user, password],
            None => vec!["AUTH", password],
        })
    }
}

/// Why a connection is of no further use.
#[derive(Debug)]
pub enum Error {
    /// The system said no.
    Io(io::Error),
    /// The server closed it.
    Closed,
    /// The server sent no protocol.
    Protocol(DecodeError),
}

impl Error {
    /// Whether the server went away, so that connecting anew may help.
    #[must_use]
    pub fn is_disconnect(&self) -> bool {
        match self {
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            ),
            Self::Closed => true,
            Self::Protocol(_) => false,
        }
    }

    /// Whether this is a timeout set by [`Connection::set_timeout`].
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Io(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) if self.is_timeout() => f.write_str("no answer in time"),
            Self::Io(error) => f.write_str(&io_text(error)),
            Self::Closed => f.write_str("Server closed the connection"),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The system's own words for an error, without the standard library's additions.
#[must_use]
pub fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    text.split(" (os error ").next().unwrap_or(text).to_owned()
}

/// A connection: requests out, replies in.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    decoder: Decoder,
    /// The request being written; kept for its memory.
    request: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// Connects; to each address of the name in turn. `timeout` bounds each attempt.
    ///
    /// # Errors
    /// When the name does not resolve or no address takes the connection.
    pub fn open(endpoint: &Endpoint, timeout: Option<Duration>) -> io::Result<Self> {
        let stream = match endpoint {
            Endpoint::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
            Endpoint::Tcp { host, port } => Stream::Tcp(connect(host, *port, timeout)?),
        };
        Ok(Self {
            stream,
            decoder: Decoder::default(),
            request: Vec::new(),
        })
    }

    /// How long a read or write may wait; `None` for ever.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<(), Error> {
        self.request.clear();
        write_command(&mut self.request, words.iter().map(AsRef::as_ref));
        self.stream.write_all(&self.request)?;
        Ok(())
    }

    /// Sends bytes that are protocol already.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Waits for the next reply or push.
    ///
    /// # Errors
    /// When the connection ends, times out, or carries no protocol.
    pub fn read(&mut self) -> Result<Value, Error> {
        loop {
            if let Some(value) = self.decoder.next().map_err(Error::Protocol)? {
                return Ok(value);
            }
            self.read_more()?;
        }
    }

    /// As [`Self::read`], but gives up with an interruption once `stop` is set.
    ///
    /// # Errors
    /// When the connection ends, carries no protocol, or `stop` is set.
    pub fn read_unless(&mut self, stop: &AtomicBool) -> Result<Value, Error> {
        loop {
            if let Some(value) = self.decoder.next().map_err(Error::Protocol)? {
                return Ok(value);
            }
            if stop.load(Ordering::Relaxed) {
                return Err(io::Error::from(io::ErrorKind::Interrupted).into());
            }
            if readable(&*self, INTERRUPT_POLL)? {
                self.read_more()?;
            }
        }
    }

    /// The next reply or push, if it is here already or comes with what the socket holds now.
    ///
    /// # Errors
    /// When the connection ends or carries no protocol.
    pub fn read_available(&mut self) -> Result<Option<Value>, Error> {
        match self.decoder.next().map_err(Error::Protocol)? {
            Some(value) => Ok(Some(value)),
            None => {
                self.read_more()?;
                self.decoder.next().map_err(Error::Protocol)
            }
        }
    }

    /// Sends a request and waits for its reply; pushes that come between are dropped.
    ///
    /// # Errors
    /// When the connection ends, times out, or carries no protocol.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Value, Error> {
        self.send(words)?;
        loop {
            match self.read()? {
                Value::Push(_) => {}
                value => return Ok(value),
            }
        }
    }

    /// Whether a decoded reply or part of one waits here, so that the socket alone does not tell.
    #[must_use]
    pub fn has_buffered(&self) -> bool {
        !self.decoder.rest().is_empty()
    }

    fn read_more(&mut self) -> Result<(), Error> {
        let mut piece = [0; READ_BYTES];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(Error::Closed),
                Ok(count) => {
                    self.decoder.push(&piece[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Waits until `source` can be read without waiting, for `timeout` at most; whether it can. A signal ends the wait.
///
/// # Errors
/// When the system refuses to wait.
pub fn readable(source: &impl AsFd, timeout: Duration) -> io::Result<bool> {
    let timeout = rustix::event::Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    let mut polled = [rustix::event::PollFd::new(source, rustix::event::PollFlags::IN)];
    match rustix::event::poll(&mut polled, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn connect(host: &str, port: u16, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let attempt = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match attempt {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            Self::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
