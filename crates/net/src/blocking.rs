//! A socket as a plain reader and writer, for threads that may wait: a snapshot being sent, a snapshot being loaded.

use std::io::{self, Read, Write};
use std::time::Duration;

use rustix::event::PollFlags;

use crate::clock::Clock;
use crate::stream::{Received, Stream, wait_until};

/// How long a blocked thread takes at most to see that it was cancelled.
const CANCEL_CHECK_INTERVAL_MS: u64 = 100;

/// A stream that waits. Each read and each write may wait for `timeout` without any progress; then it fails with
/// `TimedOut`. Once `cancelled` says so it fails with [`Cancelled`] inside of [`io::ErrorKind::Other`] within a tenth of a second.
pub struct BlockingStream {
    stream: Stream,
    timeout: Duration,
    cancelled: Box<dyn Fn() -> bool + Send>,
    /// Read ahead of what was asked for, up to its length.
    spare: Vec<u8>,
    used: usize,
}

/// The error of an operation that was told to stop.
#[derive(Debug)]
pub struct Cancelled;

impl std::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// How much is read ahead at once.
const READ_AHEAD_BYTES: usize = 128 * 1024;

impl BlockingStream {
    /// Reads and writes `stream`, waiting at most `timeout` for progress; asks `cancelled` whether to go on.
    #[must_use]
    pub fn new(stream: Stream, timeout: Duration, cancelled: impl Fn() -> bool + Send + 'static) -> Self {
        Self {
            stream,
            timeout,
            cancelled: Box::new(cancelled),
            spare: Vec::new(),
            used: 0,
        }
    }

    /// Changes how long each read and each write may wait.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Bytes to be read before those of the socket: what was received before this thread took over.
    pub fn push_back(&mut self, bytes: &[u8]) {
        self.spare.splice(..self.used, bytes.iter().copied());
        self.used = 0;
    }

    /// Gives the socket back, and what was read ahead of it.
    #[must_use]
    pub fn into_parts(mut self) -> (Stream, Vec<u8>) {
        self.spare.drain(..self.used);
        (self.stream, self.spare)
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Waits for the socket, in slices short enough to see a cancellation.
    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        let end = Clock
            .mono_us()
            .saturating_add(u64::try_from(self.timeout.as_micros()).unwrap_or(u64::MAX));
        loop {
            if (self.cancelled)() {
                return Err(io::Error::other(Cancelled));
            }
            let left = end.saturating_sub(Clock.mono_us()).min(CANCEL_CHECK_INTERVAL_MS * 1000);
            if wait_until(&self.stream, flags, Duration::from_micros(left))? {
                return Ok(());
            }
            if Clock.mono_us() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl BlockingStream {
    /// Reads once something is there; 0 at the end.
    fn receive(&self, mut read: impl FnMut(&Stream) -> io::Result<Received>) -> io::Result<usize> {
        loop {
            if (self.cancelled)() {
                return Err(io::Error::other(Cancelled));
            }
            match read(&self.stream)? {
                Received::Bytes(count) => return Ok(count),
                Received::End => return Ok(0),
                Received::Nothing => self.wait(PollFlags::IN)?,
            }
        }
    }
}

impl Read for BlockingStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.used == self.spare.len() {
            if into.len() >= READ_AHEAD_BYTES / 2 {
                // It takes about as much at once as would be read ahead: no need to copy it.
                return self.receive(|stream| stream.read_slice(into));
            }
            let mut spare = std::mem::take(&mut self.spare);
            spare.clear();
            spare.reserve(READ_AHEAD_BYTES);
            let read = self.receive(|stream| stream.read_spare(&mut spare));
            (self.spare, self.used) = (spare, 0);
            if read? == 0 {
                return Ok(0);
            }
        }
        let count = into.len().min(self.spare.len() - self.used);
        into[..count].copy_from_slice(&self.spare[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}

impl Write for BlockingStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            if (self.cancelled)() {
                return Err(io::Error::other(Cancelled));
            }
            match self.stream.write(bytes)? {
                0 => self.wait(PollFlags::OUT)?,
                count => return Ok(count),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::{Accepted, Listener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn pair(timeout_ms: u64, cancelled: impl Fn() -> bool + Send + 'static) -> (Stream, BlockingStream) {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), 8).unwrap();
        let client = Stream::connect_within(listener.address().unwrap(), None, Duration::from_secs(5)).unwrap();
        assert!(wait_until(&listener, PollFlags::IN, Duration::from_secs(5)).unwrap());
        let Accepted::Stream(server) = listener.accept() else {
            panic!("nothing to accept")
        };
        (
            client,
            BlockingStream::new(server, Duration::from_millis(timeout_ms), cancelled),
        )
    }

    #[test]
    fn a_large_transfer_passes_whole_and_leftovers_come_back() {
        let (client, mut server) = pair(5000, || false);
        let writer = std::thread::spawn(move || {
            let mut client = BlockingStream::new(client, Duration::from_secs(5), || false);
            let mut value = 0u32;
            for _ in 0..200 {
                let chunk: Vec<u8> = (0..4096)
                    .flat_map(|_| {
                        value += 1;
                        value.to_le_bytes()
                    })
                    .collect();
                client.write_all(&chunk).unwrap();
            }
        });
        server.push_back(&0u32.to_le_bytes());
        let mut word = [0; 4];
        for expected in 0..200 * 4096 {
            server.read_exact(&mut word).unwrap();
            assert_eq!(u32::from_le_bytes(word), expected);
        }
        let (stream, ahead) = server.into_parts();
        writer.join().unwrap();
        assert_eq!(ahead, 819_200u32.to_le_bytes());
        drop(stream);
    }

    #[test]
    fn silence_times_out_and_a_raised_flag_ends_the_wait() {
        let (_client, mut server) = pair(50, || false);
        assert_eq!(server.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::TimedOut);

        let cancel = Arc::new(AtomicBool::new(false));
        let flag = cancel.clone();
        let (_client, mut server) = pair(60_000, move || flag.load(Ordering::SeqCst));
        let reader = std::thread::spawn(move || server.read(&mut [0; 1]).unwrap_err());
        std::thread::sleep(Duration::from_millis(20));
        cancel.store(true, Ordering::SeqCst);
        assert_eq!(reader.join().unwrap().to_string(), "cancelled");
    }

    #[test]
    fn a_peer_that_takes_nothing_times_out_the_writer() {
        let (_client, mut server) = pair(50, || false);
        let error = server.write_all(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
