//! A server that only counts requests and answers `+OK`: what one thread and the kernel allow at best.
//!
//! Requests are counted by their lengths alone, as a multibulk request without looking at its words.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use rustix::event::epoll;

use crate::error::{Context, Result};

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// Serves 127.0.0.1 until the process is killed.
///
/// # Errors
/// When the port cannot be had or epoll fails.
pub fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).context(|| "starting the null server")?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context(|| "epoll")?;
    let watch = |fd: &dyn AsFd, token: u64| {
        epoll::add(&poll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN).context(|| "epoll")
    };
    watch(&listener, 0)?;
    let mut connections: HashMap<u64, Connection, BuildHasherDefault<DefaultHasher>> = HashMap::default();
    let mut events = Vec::with_capacity(256);
    let mut chunk = vec![0; 1 << 16];
    loop {
        events.clear();
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error).context(|| "epoll"),
        }
        for event in &events {
            let token = event.data.u64();
            if token == 0 {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let token = stream.as_raw_fd() as u64;
                    watch(&stream, token)?;
                    connections.insert(
                        token,
                        Connection {
                            stream,
                            input: Vec::new(),
                            output: Vec::new(),
                        },
                    );
                }
            } else if connections.get_mut(&token).is_some_and(|c| !c.answer(&mut chunk)) {
                connections.remove(&token);
            }
        }
    }
}

impl Connection {
    /// Reads what is there and answers each whole request; false when the connection is over.
    fn answer(&mut self, chunk: &mut [u8]) -> bool {
        match self.stream.read(chunk) {
            Ok(0) => return false,
            Ok(n) if self.input.is_empty() => {
                let used = count(&chunk[..n], &mut self.output);
                self.input.extend_from_slice(&chunk[used..n]);
            }
            Ok(n) => {
                self.input.extend_from_slice(&chunk[..n]);
                let used = count(&self.input, &mut self.output);
                self.input.drain(..used);
            }
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
        if self.output.is_empty() {
            return true;
        }
        // Replies are far smaller than requests; a benchmark client always takes them.
        let sent = self.stream.write_all(&self.output).is_ok();
        self.output.clear();
        sent
    }
}

/// Appends one `+OK` for each whole request; gives the bytes that they took.
fn count(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut used = 0;
    while let Some(length) = request_length(&input[used..]) {
        used += length;
        output.extend_from_slice(b"+OK\r\n");
    }
    used
}

/// The length of the request at the front, if it is whole.
fn request_length(input: &[u8]) -> Option<usize> {
    let (words, mut at) = header(input)?;
    for _ in 0..words {
        let (bytes, length) = header(input.get(at..)?)?;
        at += length + bytes + 2;
    }
    (at <= input.len()).then_some(at)
}

/// The number in a line like `*3` or `$12`, and the length of the line.
fn header(input: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (i, &byte) in input.iter().enumerate().skip(1) {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            _ => return (i + 2 <= input.len()).then_some((number, i + 2)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_requests_are_answered() {
        let wire = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n";
        for cut in 0..=wire.len() {
            let mut output = Vec::new();
            let used = count(&wire[..cut], &mut output);
            let expected = usize::from(cut >= 20) + usize::from(cut >= 34);
            assert_eq!(output, b"+OK\r\n".repeat(expected), "cut at {cut}");
            assert!(used <= cut);
        }
    }
}
