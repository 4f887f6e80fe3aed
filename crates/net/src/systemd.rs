//! Telling a service manager how the process is.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The line of communication that systemd opens for a service of `Type=notify`.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// Opens it when the environment names it (`NOTIFY_SOCKET`); `None` when nobody listens.
    ///
    /// # Errors
    /// When the name in the environment is none that a socket can have.
    pub fn from_environment() -> io::Result<Option<Self>> {
        env::var("NOTIFY_SOCKET").ok().map(|name| Self::to(&name)).transpose()
    }

    /// Opens one to a socket by its name: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// When it is none that a socket can have.
    pub fn to(name: &str) -> io::Result<Self> {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        Ok(Self {
            socket: UnixDatagram::unbound()?,
            address,
        })
    }

    /// Sends one state, such as `READY=1\nSTATUS=Ready to accept connections`.
    ///
    /// # Errors
    /// When nobody takes it.
    pub fn notify(&self, state: &str) -> io::Result<()> {
        self.socket.send_to_addr(state.as_bytes(), &self.address).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_arrive_at_abstract_names_and_paths() {
        let abstract_name = format!("skein-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
        Notifier::to(&format!("@{abstract_name}"))
            .unwrap()
            .notify("READY=1")
            .unwrap();
        let mut text = [0; 100];
        let length = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"READY=1");

        let path = env::temp_dir().join(format!("{abstract_name}.sock"));
        let manager = UnixDatagram::bind(&path).unwrap();
        Notifier::to(path.to_str().unwrap())
            .unwrap()
            .notify("STOPPING=1")
            .unwrap();
        let length = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"STOPPING=1");
        std::fs::remove_file(path).unwrap();
    }
}
