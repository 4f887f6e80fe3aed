//! The sockets that take connections, and taking them.

use std::io;
use std::path::Path;

use config::Config;
use engine::host::Level;
use engine::session::Peer;
use net::{Accepted, Interest, Listener, Poller, Registration, Stream, address_text, listen_on_all};
use std::os::fd::{AsFd, AsRawFd};

use crate::log::Log;
use crate::token::Token;

/// How many connections one listener gives in one turn at most.
pub const ACCEPTS_PER_TURN: usize = 1000;

/// All listening sockets.
#[derive(Default)]
pub struct Listeners {
    tcp: Vec<Listening>,
    unix: Option<Listening>,
    next_token: u32,
    /// Nothing is accepted until the next tick: there were no descriptors.
    paused: bool,
}

struct Listening {
    listener: Listener,
    registration: Registration,
}

impl Listeners {
    /// Listens on everything that the configuration names. What went wrong is in the log already.
    ///
    /// # Errors
    /// The last words before the process ends.
    pub fn open(config: &Config, poller: &Poller, log: &Log) -> Result<Self, String> {
        let mut listeners = Self::default();
        let port = config.port;
        listeners
            .listen_tcp(config, poller, log)
            .map_err(|()| format!("Failed listening on port {port} (TCP), aborting."))?;
        let path = config.unixsocket.to_str();
        if !path.is_empty() {
            let backlog = config.tcp_backlog as i32;
            let listener = Listener::unix(Path::new(&*path), config.unixsocketperm.0, backlog)
                .map_err(|error| format!("Failed opening Unix socket {path}: bind: {error}"))?;
            listeners.unix = Some(
                listeners
                    .register(listener, poller)
                    .map_err(|error| error.to_string())?,
            );
        }
        if listeners.tcp.is_empty() && listeners.unix.is_none() {
            return Err("Configured to not listen anywhere, exiting.".to_owned());
        }
        Ok(listeners)
    }

    /// Listens on the TCP addresses of a changed configuration. On failure, which is in the log then, the old ones stay.
    pub fn reopen_tcp(&mut self, config: &Config, poller: &Poller, log: &Log) {
        let before = std::mem::take(&mut self.tcp);
        // An address that is kept must be free before it is bound again.
        let addresses: Vec<_> = before
            .iter()
            .filter_map(|listening| listening.listener.address())
            .collect();
        drop(before);
        if self.listen_tcp(config, poller, log).is_ok() {
            return;
        }
        let backlog = config.tcp_backlog as i32;
        for address in addresses {
            let again = Listener::tcp(address, backlog).and_then(|listener| self.register(listener, poller));
            match again {
                Ok(listening) => self.tcp.push(listening),
                Err(error) => log.line(Level::Warning, &format!("Can't listen on {address} again: {error}")),
            }
        }
    }

    fn listen_tcp(&mut self, config: &Config, poller: &Poller, log: &Log) -> Result<(), ()> {
        let port = config.port;
        // No addresses at all, as `bind ""` says, is no TCP, as in stock servers.
        if port == 0 || config.bind.is_empty() {
            return Ok(());
        }
        let addresses: Vec<_> = config.bind.iter().map(|address| address.to_str()).collect();
        let addresses = addresses.iter().map(|address| &**address);
        let opened = listen_on_all(addresses, port, config.tcp_backlog as i32);
        let opened = opened.map_err(|error| log.line(Level::Warning, &format!("Warning: {error}")))?;
        for listener in opened {
            match self.register(listener, poller) {
                Ok(listening) => self.tcp.push(listening),
                Err(error) => {
                    log.line(
                        Level::Warning,
                        &format!("Warning: Could not watch a listening socket: {error}"),
                    );
                    return Err(());
                }
            }
        }
        Ok(())
    }

    fn register(&mut self, listener: Listener, poller: &Poller) -> io::Result<Listening> {
        let token = Token::Listener(self.next_token);
        self.next_token += 1;
        let registration = poller.register(&listener, token.to_u64(), Interest::Read)?;
        Ok(Listening { listener, registration })
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Listening> {
        self.tcp.iter_mut().chain(self.unix.as_mut())
    }

    /// Takes one connection from the listener that a token stands for.
    pub fn accept(&mut self, index: u32) -> Option<(Accepted, Option<String>)> {
        let token = Token::Listener(index).to_u64();
        let listening = self.all().find(|listening| listening.registration.token() == token)?;
        let path = listening
            .listener
            .path()
            .map(|path| path.to_string_lossy().into_owned());
        Some((listening.listener.accept(), path))
    }

    /// Takes nothing until [`Self::resume`]: a waiting connection would be reported over and over.
    pub fn pause(&mut self, poller: &Poller) {
        self.paused = true;
        for listening in self.all() {
            // A listener that cannot be paused goes on asking: a waste, no harm.
            let _ = poller.set(&listening.listener, &mut listening.registration, Interest::Nothing);
        }
    }

    /// Takes connections again.
    pub fn resume(&mut self, poller: &Poller) {
        if !self.paused {
            return;
        }
        let mut failed = false;
        for listening in self.all() {
            failed |= poller
                .set(&listening.listener, &mut listening.registration, Interest::Read)
                .is_err();
        }
        self.paused = failed;
    }

    /// The file of the Unix socket, to be removed at the end.
    pub fn unix_path(&self) -> Option<&Path> {
        self.unix.as_ref()?.listener.path()
    }
}

/// Who a new connection comes from. `path` is the Unix socket's, when it came through one.
pub fn peer_of(stream: &Stream, path: Option<String>) -> Peer {
    let fd = stream.as_fd().as_raw_fd();
    match path {
        Some(path) => {
            let name = format!("{path}:0");
            Peer {
                address: name.clone(),
                local_address: name,
                fd,
                unix_socket: true,
                loopback: false,
            }
        }
        None => {
            let peer = stream.peer();
            Peer {
                address: peer.map_or_else(|| "?:0".to_owned(), address_text),
                local_address: stream.local().map_or_else(|| "?:0".to_owned(), address_text),
                fd,
                unix_socket: false,
                loopback: peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()),
            }
        }
    }
}
