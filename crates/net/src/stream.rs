//! One connection: a non-blocking TCP or Unix socket.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType, ipproto, sockopt};

use crate::buffer::InBuf;

/// How many slices one vectored write takes at most; the kernel's own limit is 1024.
pub const SLICES_PER_WRITE: usize = 64;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes were added.
    Bytes(usize),
    /// Nothing is there now.
    Nothing,
    /// The other side will send no more.
    End,
}

/// A connected, non-blocking socket. Dropping it closes it.
#[derive(Debug)]
pub struct Stream {
    socket: OwnedFd,
}

impl Stream {
    pub(crate) fn from_socket(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Begins to connect; the socket becomes writable when that has ended, then [`connect_result`](Self::connect_result)
    /// tells how. `source` is the local address to come from, if it matters.
    pub fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<Self> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        if let Some(source) = source {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
        }
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Self { socket }),
            Err(error) => Err(error.into()),
        }
    }

    /// Connects, waiting up to `timeout`: for threads that may block.
    pub fn connect_within(address: SocketAddr, source: Option<IpAddr>, timeout: Duration) -> io::Result<Self> {
        let stream = Self::connect(address, source)?;
        if !wait_until(&stream, PollFlags::OUT, timeout)? {
            return Err(Errno::TIMEDOUT.into());
        }
        stream.connect_result()?;
        Ok(stream)
    }

    /// How the connecting ended. Call it once the socket is writable.
    pub fn connect_result(&self) -> io::Result<()> {
        sockopt::socket_error(&self.socket)??;
        Ok(())
    }

    /// Reads once into the buffer, which makes room as it sees fit.
    pub fn read(&self, into: &mut InBuf) -> io::Result<Received> {
        into.make_room();
        self.read_spare(into.spare())
    }

    /// Reads once into the spare capacity of `into`, which must have some.
    pub fn read_spare(&self, into: &mut Vec<u8>) -> io::Result<Received> {
        assert!(into.capacity() > into.len(), "a read needs room");
        received(|| rustix::io::read(&self.socket, spare_capacity(into)))
    }

    /// Reads once into `into`, which must not be empty.
    pub fn read_slice(&self, into: &mut [u8]) -> io::Result<Received> {
        assert!(!into.is_empty(), "a read needs room");
        received(|| rustix::io::read(&self.socket, &mut *into))
    }

    /// Writes once; returns how much went, 0 when the socket is full.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        sent(|| rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL))
    }

    /// Writes the slices one after the other, [`SLICES_PER_WRITE`] at most; returns how much went, 0 when the socket is
    /// full.
    pub fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices = &slices[..slices.len().min(SLICES_PER_WRITE)];
        sent(|| rustix::io::writev(&self.socket, slices))
    }

    /// Turns Nagle's delay off (`true`) or on. Sockets other than TCP have none.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        if self.is_unix() {
            return Ok(());
        }
        Ok(sockopt::set_tcp_nodelay(&self.socket, nodelay)?)
    }

    /// Has the kernel probe a silent peer after `idle_seconds`, and give it up when three probes, a third of that time
    /// apart, find no answer. 0 turns probing off. Sockets other than TCP have none.
    pub fn set_keepalive(&self, idle_seconds: u32) -> io::Result<()> {
        if self.is_unix() {
            return Ok(());
        }
        sockopt::set_socket_keepalive(&self.socket, idle_seconds > 0)?;
        if idle_seconds > 0 {
            let probe_seconds = (idle_seconds / 3).max(1);
            sockopt::set_tcp_keepidle(&self.socket, Duration::from_secs(idle_seconds.into()))?;
            sockopt::set_tcp_keepintvl(&self.socket, Duration::from_secs(probe_seconds.into()))?;
            sockopt::set_tcp_keepcnt(&self.socket, 3)?;
        }
        Ok(())
    }

    /// Where the other side is; `None` for a Unix socket or one that is gone.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        SocketAddr::try_from(rustix::net::getpeername(&self.socket).ok()??).ok()
    }

    /// Where this side is; `None` for a Unix socket.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        SocketAddr::try_from(rustix::net::getsockname(&self.socket).ok()?).ok()
    }

    /// Whether this is a Unix socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        rustix::net::getsockname(&self.socket).is_ok_and(|name| name.address_family() == AddressFamily::UNIX)
    }

    /// A second handle on the same connection, for another thread. The connection closes when both are dropped.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
        })
    }

    /// Ends the connection in both directions, whoever else holds a handle.
    pub fn shutdown(&self) {
        // Only fails when the other side has ended it already.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An address as clients and logs see it: `127.0.0.1:6379`, `[::1]:6379`.
#[must_use]
pub fn address_text(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => format!("{ip}:{}", address.port()),
        IpAddr::V6(ip) => format!("[{ip}]:{}", address.port()),
    }
}

/// Waits until the socket can do what `flags` say; `false` when `timeout` passes first.
pub(crate) fn wait_until(socket: impl AsFd, flags: PollFlags, timeout: Duration) -> io::Result<bool> {
    let timeout = Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    match poll(&mut [PollFd::new(&socket, flags)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn received(mut read: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<Received> {
    loop {
        return match read() {
            Ok(0) => Ok(Received::End),
            Ok(count) => Ok(Received::Bytes(count)),
            Err(Errno::AGAIN) => Ok(Received::Nothing),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

fn sent(mut write: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    loop {
        return match write() {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::{Accepted, Listener};

    pub(crate) fn pair() -> (Stream, Stream) {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), 8).unwrap();
        let client = Stream::connect_within(listener.address().unwrap(), None, Duration::from_secs(5)).unwrap();
        assert!(wait_until(&listener, PollFlags::IN, Duration::from_secs(5)).unwrap());
        let Accepted::Stream(server) = listener.accept() else {
            panic!("nothing to accept")
        };
        (client, server)
    }

    #[test]
    fn bytes_go_both_ways_until_the_end() {
        let (client, server) = pair();
        let mut buffer = InBuf::new();
        assert_eq!(server.read(&mut buffer).unwrap(), Received::Nothing);
        assert_eq!(client.write(b"hello ").unwrap(), 6);
        assert_eq!(
            client
                .write_vectored(&[IoSlice::new(b"wor"), IoSlice::new(b""), IoSlice::new(b"ld")])
                .unwrap(),
            5
        );
        while buffer.len() < 11 {
            wait_until(&server, PollFlags::IN, Duration::from_secs(5)).unwrap();
            server.read(&mut buffer).unwrap();
        }
        assert_eq!(buffer.data(), b"hello world");
        drop(client);
        wait_until(&server, PollFlags::IN, Duration::from_secs(5)).unwrap();
        assert_eq!(server.read(&mut buffer).unwrap(), Received::End);
    }

    #[test]
    fn a_full_socket_takes_nothing_and_does_not_block() {
        let (client, _server) = pair();
        let chunk = vec![1; 1 << 20];
        while client.write(&chunk).unwrap() > 0 {}
        assert_eq!(client.write_vectored(&[IoSlice::new(&chunk)]).unwrap(), 0);
    }

    #[test]
    fn options_are_set_as_asked() {
        let (client, server) = pair();
        server.set_nodelay(true).unwrap();
        server.set_keepalive(300).unwrap();
        assert!(sockopt::tcp_nodelay(&server).unwrap());
        assert!(sockopt::socket_keepalive(&server).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&server).unwrap(), Duration::from_secs(300));
        assert_eq!(sockopt::tcp_keepintvl(&server).unwrap(), Duration::from_secs(100));
        assert_eq!(sockopt::tcp_keepcnt(&server).unwrap(), 3);
        server.set_keepalive(0).unwrap();
        assert!(!sockopt::socket_keepalive(&server).unwrap());
        assert_eq!(client.peer(), server.local());
        assert_eq!(client.local(), server.peer());
    }

    #[test]
    fn a_refused_connection_says_so() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), 8).unwrap();
        let address = listener.address().unwrap();
        drop(listener);
        let error = Stream::connect_within(address, None, Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_source_address_is_where_the_connection_comes_from() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), 8).unwrap();
        let source = "127.0.0.7".parse().unwrap();
        let address = listener.address().unwrap();
        let stream = Stream::connect_within(address, Some(source), Duration::from_secs(5)).unwrap();
        assert_eq!(stream.local().unwrap().ip(), source);
    }

    #[test]
    fn names_are_written_as_the_protocol_shows_them() {
        assert_eq!(address_text("127.0.0.1:80".parse().unwrap()), "127.0.0.1:80");
        assert_eq!(address_text("[::1]:80".parse().unwrap()), "[::1]:80");
        assert_eq!(address_text("[::ffff:10.0.0.1]:80".parse().unwrap()), "10.0.0.1:80");
    }
}
