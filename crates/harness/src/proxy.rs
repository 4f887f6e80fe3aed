//! A TCP proxy that misbehaves when told to: cuts, delays, truncates, throttles, swallows, alters a byte.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Context, Result};
use crate::process::free_port;

/// How the proxy treats what passes. The default passes everything as it is.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Waits this long before each piece that goes to the client.
    pub delay: Duration,
    /// Closes a connection once it has passed so many bytes to the client.
    pub truncate_after: Option<u64>,
    /// At most so many bytes to the client in a second, on each connection.
    pub bytes_per_second: Option<u64>,
    /// Keeps connections open and lets nothing through, either way, while it lasts. What waits goes on afterwards, as after
    /// a partition of the network: a stream never loses bytes in its middle.
    pub black_hole: bool,
    /// Closes new connections as soon as they come.
    pub refuse: bool,
    /// Turns over the lowest bit of this byte of each connection's stream to the client, counted from 0.
    pub alter_byte: Option<u64>,
}

/// A listening proxy; stops with the value.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: AtomicU16,
    rules: Mutex<Rules>,
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicU64,
    to_client: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn rules(&self) -> Rules {
        lock(&self.rules).clone()
    }

    fn wait_out_black_hole(&self) {
        while self.rules().black_hole && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A poisoned lock only means that another thread of this test failed; the data is plain.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Proxy {
    /// Listens on a free port and passes connections on to `target`, both on 127.0.0.1.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(target: u16) -> Result<Self> {
        let listener = listen()?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(target),
            rules: Mutex::default(),
            connections: Mutex::default(),
            accepted: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(Self {
            port,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// Where to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the rules, for open connections too.
    pub fn set(&self, rules: Rules) {
        *lock(&self.shared.rules) = rules;
    }

    /// Passes new connections to another port.
    pub fn retarget(&self, port: u16) {
        self.shared.target.store(port, Ordering::Relaxed);
    }

    /// Closes all open connections now.
    pub fn cut(&self) {
        for stream in lock(&self.shared.connections).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections came so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Bytes passed to clients so far.
    #[must_use]
    pub fn bytes_to_client(&self) -> u64 {
        self.shared.to_client.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.cut();
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the acceptor
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.cut();
    }
}

/// Somebody else may take a free port between the look and the bind: then another one.
fn listen() -> Result<TcpListener> {
    let mut listener = TcpListener::bind(("127.0.0.1", free_port()?));
    for _ in 0..10 {
        if listener.is_ok() {
            break;
        }
        listener = TcpListener::bind(("127.0.0.1", free_port()?));
    }
    listener.context(|| "starting a proxy")
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = client else { continue };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        if shared.rules().refuse {
            continue;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target.load(Ordering::Relaxed))) else {
            continue;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ends = (
            client.try_clone(),
            server.try_clone(),
            client.try_clone(),
            server.try_clone(),
        );
        let (Ok(client_out), Ok(server_out), Ok(client_kept), Ok(server_kept)) = ends else {
            continue;
        };
        lock(&shared.connections).extend([client_kept, server_kept]);
        let up = Arc::clone(shared);
        std::thread::spawn(move || pump_up(client, server_out, &up));
        let down = Arc::clone(shared);
        std::thread::spawn(move || pump_down(server, client_out, &down));
    }
}

/// Client to server: only the black hole applies.
fn pump_up(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut chunk = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut chunk) {
        shared.wait_out_black_hole();
        if to.write_all(&chunk[..n]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Server to client, under all rules.
fn pump_down(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut chunk = vec![0; 1 << 16];
    let mut passed = 0_u64;
    let mut pace = Pace {
        second: Instant::now(),
        sent: 0,
    };
    while let Ok(n @ 1..) = from.read(&mut chunk) {
        shared.wait_out_black_hole();
        let rules = shared.rules();
        if !rules.delay.is_zero() {
            std::thread::sleep(rules.delay);
        }
        if let Some(at) = rules.alter_byte.filter(|at| (passed..passed + n as u64).contains(at)) {
            chunk[(at - passed) as usize] ^= 1;
        }
        let allowed = rules
            .truncate_after
            .map_or(n as u64, |limit| limit.saturating_sub(passed).min(n as u64));
        if to.write_all(&chunk[..allowed as usize]).is_err() || allowed < n as u64 {
            break;
        }
        passed += allowed;
        shared.to_client.fetch_add(allowed, Ordering::Relaxed);
        if let Some(limit) = rules.bytes_per_second {
            pace.wait(allowed, limit);
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Keeps a stream under a number of bytes a second, in small steps.
struct Pace {
    second: Instant,
    sent: u64,
}

impl Pace {
    fn wait(&mut self, bytes: u64, limit: u64) {
        self.sent += bytes;
        let due = Duration::from_secs_f64(self.sent as f64 / limit.max(1) as f64);
        let ahead = due.saturating_sub(self.second.elapsed());
        std::thread::sleep(ahead.min(Duration::from_secs(1)));
        if self.second.elapsed() > Duration::from_secs(5) {
            *self = Self {
                second: Instant::now(),
                sent: 0,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets, for one connection after the other.
    fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut chunk = [0; 1024];
                while let Ok(n @ 1..) = stream.read(&mut chunk) {
                    let _ = stream.write_all(&chunk[..n]);
                }
            }
        });
        port
    }

    fn through(rules: Rules, bytes: &[u8]) -> Vec<u8> {
        let proxy = Proxy::start(echo()).unwrap();
        proxy.set(rules);
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let _ = stream.write_all(bytes);
        let mut seen = Vec::new();
        let mut chunk = [0; 1024];
        while let Ok(n @ 1..) = stream.read(&mut chunk) {
            seen.extend_from_slice(&chunk[..n]);
        }
        seen
    }

    #[test]
    fn each_rule_does_what_it_says() {
        assert_eq!(through(Rules::default(), b"hello"), b"hello");
        assert_eq!(
            through(
                Rules {
                    truncate_after: Some(2),
                    ..Rules::default()
                },
                b"hello"
            ),
            b"he"
        );
        assert_eq!(
            through(
                Rules {
                    alter_byte: Some(1),
                    ..Rules::default()
                },
                b"hello"
            ),
            b"hdllo"
        );
        assert_eq!(
            through(
                Rules {
                    black_hole: true,
                    ..Rules::default()
                },
                b"hello"
            ),
            b""
        );
        assert_eq!(
            through(
                Rules {
                    refuse: true,
                    ..Rules::default()
                },
                b"hello"
            ),
            b""
        );
        let start = Instant::now();
        let slow = Rules {
            bytes_per_second: Some(10_000),
            ..Rules::default()
        };
        assert_eq!(through(slow, &[7; 2_000]), [7; 2_000]);
        assert!(
            start.elapsed() > Duration::from_millis(150),
            "a throttled stream came too fast"
        );
    }
}
