//! A blocking client: sends, reads whole replies, and never waits for ever.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Context, Result};
use crate::reply::{Decoded, Value, decode, write_command};
use crate::{bail, ensure};

/// How long a client waits for a reply before it gives up, unless told otherwise.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    at: usize,
}

impl Client {
    /// Connects to a port of 127.0.0.1.
    ///
    /// # Errors
    /// When nobody listens there, or not within five seconds.
    pub fn connect(port: u16) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .context(|| format!("connecting to port {port}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            at: 0,
        })
    }

    /// Changes how long a reply may take.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn set_timeout(&mut self, timeout: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(timeout))?;
        Ok(self.stream.set_write_timeout(Some(timeout))?)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server closed the connection or does not take the bytes in time.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Sends one command without waiting for its reply.
    ///
    /// # Errors
    /// As [`Client::send_raw`].
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<()> {
        let mut out = Vec::new();
        write_command(&mut out, words);
        self.send_raw(&out)
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// When the connection ends, time is up, or the bytes are no reply.
    pub fn reply(&mut self) -> Result<Value> {
        self.raw_reply().map(|(value, _)| value)
    }

    /// Reads one reply, and gives its bytes too.
    ///
    /// # Errors
    /// As [`Client::reply`].
    pub fn raw_reply(&mut self) -> Result<(Value, Vec<u8>)> {
        loop {
            match decode(&self.buffer[self.at..]) {
                Decoded::Value { value, consumed: used } => {
                    let raw = self.buffer[self.at..self.at + used].to_vec();
                    self.at += used;
                    if self.at == self.buffer.len() {
                        self.buffer.clear();
                        self.at = 0;
                    }
                    return Ok((value, raw));
                }
                Decoded::Error(why) => bail!("not a reply: {why}"),
                Decoded::Incomplete => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<()> {
        if self.at > 1 << 16 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        // Read at least as much as is there already, so that a large reply is not decoded once per packet.
        let pending = self.buffer.len() - self.at;
        let goal = self.buffer.len() + if pending > 1 << 16 { pending } else { 1 };
        let mut chunk = vec![0; 1 << 16];
        while self.buffer.len() < goal {
            let n = match self.stream.read(&mut chunk) {
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    bail!("no reply in time ({} bytes of one so far)", self.buffer.len() - self.at)
                }
                Err(e) => bail!("reading a reply: {e}"),
            };
            ensure!(n > 0, "connection closed by the server");
            self.buffer.extend_from_slice(&chunk[..n]);
            if n < chunk.len() {
                break;
            }
        }
        Ok(())
    }

    /// Sends one command and reads its reply; an error reply is a value like others.
    ///
    /// # Errors
    /// As [`Client::reply`].
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Value> {
        self.send(words)?;
        self.reply()
    }

    /// As [`Client::call`], where an error reply is a failure.
    ///
    /// # Errors
    /// As [`Client::reply`], and on an error reply.
    pub fn ok<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Value> {
        let value = self.call(words)?;
        if let Some(error) = value.as_error() {
            let shown: Vec<_> = words.iter().map(|w| w.as_ref().escape_ascii().to_string()).collect();
            bail!("{}: {}", shown.join(" "), error.escape_ascii());
        }
        Ok(value)
    }

    /// Sends many commands at once and reads all their replies.
    ///
    /// # Errors
    /// As [`Client::reply`].
    pub fn pipeline<W: AsRef<[u8]>>(&mut self, commands: &[Vec<W>]) -> Result<Vec<Value>> {
        let mut out = Vec::new();
        for words in commands {
            write_command(&mut out, words);
        }
        self.send_raw(&out)?;
        commands.iter().map(|_| self.reply()).collect()
    }

    /// Reads until the server closes the connection, `end` has come in, or time is up; gives all bytes, and whether it
    /// was closed.
    pub fn read_until(&mut self, end: &[u8], timeout: Duration) -> (Vec<u8>, bool) {
        let deadline = std::time::Instant::now() + timeout;
        let mut seen = self.buffer.split_off(self.at);
        self.buffer.clear();
        self.at = 0;
        let mut chunk = vec![0; 1 << 16];
        loop {
            if !end.is_empty() && seen.windows(end.len()).any(|w| w == end) {
                return (seen, false);
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return (seen, false);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return (seen, true),
                Ok(n) => seen.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let waiting = matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                    return (seen, !waiting);
                }
            }
        }
    }

    /// Says that no more bytes will be sent.
    pub fn finish_sending(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}
