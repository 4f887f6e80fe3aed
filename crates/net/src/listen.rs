//! Sockets that take connections.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt};

use crate::stream::Stream;

/// What accepting brought.
#[derive(Debug)]
pub enum Accepted {
    /// A new connection.
    Stream(Stream),
    /// Nobody waits.
    Nobody,
    /// A connection that was gone before it was accepted; others may wait.
    Lost,
    /// The process or the system has no descriptor left: the connection stays in the backlog until one is free.
    NoDescriptors(io::Error),
    /// Something that accepting again will not cure.
    Failed(io::Error),
}

/// A listening socket, non-blocking. Dropping it closes it; a Unix socket's file stays.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: Option<PathBuf>,
}

impl Listener {
    /// Listens on one TCP address; port 0 lets the system choose. An IPv6 socket takes IPv6 only.
    pub fn tcp(address: SocketAddr, backlog: i32) -> io::Result<Self> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, backlog)?;
        Ok(Self { socket, path: None })
    }

    /// Listens on a Unix socket, whose file replaces one left over. `mode` is its permissions, 0 for the default.
    pub fn unix(path: &Path, mode: u32, backlog: i32) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        if mode != 0 {
            rustix::fs::chmod(path, Mode::from_raw_mode(mode))?;
        }
        rustix::net::listen(&socket, backlog)?;
        Ok(Self {
            socket,
            path: Some(path.to_owned()),
        })
    }

    /// Takes one waiting connection, without blocking.
    #[must_use]
    pub fn accept(&self) -> Accepted {
        loop {
            return match rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => Accepted::Stream(Stream::from_socket(socket)),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Accepted::Nobody,
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    Accepted::NoDescriptors(error.into())
                }
                // Errors of the connection itself, which Linux hands to the one who accepts it.
                Err(
                    Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::NETDOWN
                    | Errno::NOPROTOOPT
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NETUNREACH
                    | Errno::PERM
                    | Errno::TIMEDOUT,
                ) => Accepted::Lost,
                Err(error) => Accepted::Failed(error.into()),
            };
        }
    }

    /// The TCP address listened on; `None` for a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        SocketAddr::try_from(rustix::net::getsockname(&self.socket).ok()?).ok()
    }

    /// The file of a Unix socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An address of the `bind` directive that could not be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address as written in the configuration, without its `-`.
    pub address: String,
    /// The port.
    pub port: u16,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port, error } = self;
        write!(
            f,
            "Could not create server TCP listening socket {address}:{port}: {error}"
        )
    }
}

impl std::error::Error for BindError {}

/// Listens on every address of a `bind` directive. `*` is every IPv4 address, `::*` every IPv6 address; one with a `-`
/// before it may be unavailable, and a protocol that the system lacks is left out. The first other failure ends it all,
/// with nothing listening.
pub fn listen_on_all<'a>(
    addresses: impl IntoIterator<Item = &'a str>,
    port: u16,
    backlog: i32,
) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::new();
    for written in addresses {
        let (optional, address) = match written.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, written),
        };
        match resolve_local(address, port).and_then(|resolved| Listener::tcp(resolved, backlog)) {
            Ok(listener) => listeners.push(listener),
            Err(error) if optional && unavailable(&error) => {}
            Err(error) if no_such_protocol(&error) => {}
            Err(error) => {
                return Err(BindError {
                    address: address.to_owned(),
                    port,
                    error,
                });
            }
        }
    }
    Ok(listeners)
}

fn resolve_local(address: &str, port: u16) -> io::Result<SocketAddr> {
    let any: Option<IpAddr> = match address {
        "*" => Some(Ipv4Addr::UNSPECIFIED.into()),
        "::*" => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => None,
    };
    if let Some(ip) = any {
        return Ok(SocketAddr::new(ip, port));
    }
    let mut found = (address, port).to_socket_addrs()?;
    found
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn unavailable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

fn no_such_protocol(error: &io::Error) -> bool {
    let lacking = [
        Errno::NOPROTOOPT,
        Errno::PROTONOSUPPORT,
        Errno::SOCKTNOSUPPORT,
        Errno::PFNOSUPPORT,
        Errno::AFNOSUPPORT,
    ];
    lacking
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn optional_addresses_may_be_missing_others_may_not() {
        let listeners = listen_on_all(["127.0.0.1", "-192.0.2.1"], 0, 8).unwrap();
        assert_eq!(listeners.len(), 1);

        let error = listen_on_all(["127.0.0.1", "192.0.2.1"], 0, 8).unwrap_err();
        assert_eq!(error.address, "192.0.2.1");
        assert!(
            error
                .to_string()
                .starts_with("Could not create server TCP listening socket 192.0.2.1:0: ")
        );
    }

    #[test]
    fn both_families_share_a_port() {
        let v4 = listen_on_all(["*"], 0, 8).unwrap();
        let port = v4[0].address().unwrap().port();
        let v6 = listen_on_all(["-::*"], port, 8).unwrap();
        assert!(v6.len() <= 1);
        assert_eq!(v4[0].address().unwrap().ip().to_string(), "0.0.0.0");
    }

    #[test]
    fn a_port_in_use_is_an_error() {
        let first = listen_on_all(["127.0.0.1"], 0, 8).unwrap();
        let port = first[0].address().unwrap().port();
        let error = listen_on_all(["-127.0.0.1"], port, 8).unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_unix_socket_replaces_the_file_left_over_and_has_the_mode() {
        let path = std::env::temp_dir().join(format!("skein-net-{}.sock", std::process::id()));
        drop(Listener::unix(&path, 0, 8).unwrap());
        assert!(path.exists());
        let listener = Listener::unix(&path, 0o700, 8).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(listener.accept(), Accepted::Nobody));
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let Accepted::Stream(stream) = listener.accept() else {
            panic!("nobody there")
        };
        assert!(stream.is_unix());
        assert_eq!(listener.path(), Some(path.as_path()));
        std::fs::remove_file(&path).unwrap();
    }
}
