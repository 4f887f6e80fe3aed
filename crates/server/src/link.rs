//! The connection to the primary.
//!
//! ```text
//!           Connect                 connected               Load
//!   Down ────────────► Connecting ────────────► Up ────────────────► Loading
//!    ▲                     │ failed             │ ▲                     │
//!    │                     ▼                    │ └──── snapshot read ──┤
//!    └──────── CloseLink, or the connection ends, or the load fails ◄───┘
//! ```
//!
//! Every attempt has a number: what a thread brings of an older attempt is dropped.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use net::{Registration, Stream};
use node::replication::LinkEnd;

/// Where the connection stands.
#[derive(Default)]
pub enum State {
    /// There is none.
    #[default]
    Down,
    /// A thread resolves the name and connects.
    Connecting,
    /// It is there.
    Up(Up),
    /// A thread reads a snapshot from it. This handle ends the reading when the connection is given up.
    Loading(Stream),
}

/// A connection that is there.
pub struct Up {
    /// The socket.
    pub stream: Stream,
    /// Its place in the poller.
    pub registration: Registration,
}

/// The connection to the primary, and the number of the attempt.
#[derive(Default)]
pub struct Link {
    /// Where it stands.
    pub state: State,
    /// The number of the attempt.
    pub attempt: u32,
}

impl Link {
    /// Gives up what there is. Whatever still comes of it is of an old attempt.
    pub fn close(&mut self) {
        self.attempt = self.attempt.wrapping_add(1);
        match std::mem::take(&mut self.state) {
            State::Loading(stream) => stream.shutdown(),
            // Dropped, they close.
            State::Down | State::Connecting | State::Up(_) => {}
        }
    }
}

/// Resolves a name and connects to the first of its addresses that answers; for a thread that may wait.
///
/// # Errors
/// Why not: of the last address tried.
pub fn connect(host: &str, port: u16, source: Option<&str>, timeout: Duration) -> Result<Stream, LinkEnd> {
    let resolved = (host, port)
        .to_socket_addrs()
        .map_err(|error| LinkEnd::ResolveFailed(error.to_string()))?;
    let sources = source.map(local_addresses).transpose()?.unwrap_or_default();
    let mut last = LinkEnd::ResolveFailed("the name has no address".to_owned());
    for address in resolved {
        let source = match source {
            None => None,
            Some(name) => match sources.iter().find(|source| source.is_ipv4() == address.is_ipv4()) {
                Some(source) => Some(*source),
                None => {
                    last = LinkEnd::Io(format!(
                        "bind-source-addr {name} has no address of the kind of {address}"
                    ));
                    continue;
                }
            },
        };
        match Stream::connect_within(address, source, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = end_of(&error),
        }
    }
    Err(last)
}

fn local_addresses(source: &str) -> Result<Vec<IpAddr>, LinkEnd> {
    let found = (source, 0).to_socket_addrs();
    let found = found.map_err(|error| LinkEnd::Io(format!("bind-source-addr {source} can't be resolved: {error}")))?;
    Ok(found.map(|address: SocketAddr| address.ip()).collect())
}

/// An error of the socket as the node knows it.
#[must_use]
pub fn end_of(error: &io::Error) -> LinkEnd {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => LinkEnd::Refused(error.to_string()),
        io::ErrorKind::TimedOut => LinkEnd::Timeout,
        _ => LinkEnd::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn each_way_to_fail_has_its_name() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        assert!(matches!(
            connect("127.0.0.1", free, None, SOON),
            Err(LinkEnd::Refused(_))
        ));
        assert!(matches!(
            connect("no-such-host.invalid", free, None, SOON),
            Err(LinkEnd::ResolveFailed(_))
        ));
        assert!(matches!(
            connect("127.0.0.1", free, Some("::1"), SOON),
            Err(LinkEnd::Io(_))
        ));
    }

    #[test]
    fn a_name_is_resolved_and_the_source_address_used() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = connect("localhost", port, Some("127.0.0.9"), SOON).unwrap();
        assert_eq!(stream.local().unwrap().ip().to_string(), "127.0.0.9");
    }
}
