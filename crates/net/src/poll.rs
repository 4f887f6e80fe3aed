//! Readiness: which sockets can be read or written now.
//!
//! ```text
//!   register(fd, token, interest) ──► kernel set ──► wait(timeout) ──► [Ready { token, readable, writable }]
//!   Waker::wake (any thread) ──► eventfd ──┘
//! ```
//!
//! Level-triggered: what is not read or written now is reported again by the next `wait`. The loop above sees only
//! tokens and what happened to them, so that completions (io_uring) could be delivered through the same type.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

/// How many events one `wait` takes at most; the rest come with the next.
const EVENTS_PER_WAIT: usize = 1024;

/// What a socket is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Errors and hang-ups only: a connection that is paused.
    Nothing,
    /// Bytes to read, or the end of them.
    Read,
    /// Room to write.
    Write,
    /// Either.
    ReadWrite,
}

impl Interest {
    /// The interest made of its two halves.
    #[must_use]
    pub fn of(read: bool, write: bool) -> Self {
        match (read, write) {
            (false, false) => Self::Nothing,
            (true, false) => Self::Read,
            (false, true) => Self::Write,
            (true, true) => Self::ReadWrite,
        }
    }

    fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Nothing => epoll::EventFlags::empty(),
            Self::Read => epoll::EventFlags::IN,
            Self::Write => epoll::EventFlags::OUT,
            Self::ReadWrite => epoll::EventFlags::IN | epoll::EventFlags::OUT,
        }
    }
}

/// One socket's place in the poller: remembers the interest, so that setting it anew costs nothing when it is the same.
///
/// Closing the last descriptor of a socket also ends its registration; a socket that was duplicated must be
/// [removed](Poller::remove) first, or its events go on.
#[derive(Debug)]
#[must_use]
pub struct Registration {
    token: u64,
    interest: Interest,
}

impl Registration {
    /// The token that events of this socket carry.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// What the socket is watched for now.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.interest
    }
}

/// One socket that can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The token given at registration.
    pub token: u64,
    /// A read will not block: bytes, the end, or an error to collect.
    pub readable: bool,
    /// A write will not block.
    pub writable: bool,
    /// The socket failed or both sides are shut: reading tells the reason.
    pub broken: bool,
}

/// The set of watched sockets.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(EVENTS_PER_WAIT),
        })
    }

    /// Watches a socket; its events carry `token`.
    pub fn register(&self, socket: impl AsFd, token: u64, interest: Interest) -> io::Result<Registration> {
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), interest.flags())?;
        Ok(Registration { token, interest })
    }

    /// Changes what a socket is watched for; no system call when that is what it is watched for already.
    pub fn set(&self, socket: impl AsFd, registration: &mut Registration, interest: Interest) -> io::Result<()> {
        if registration.interest == interest {
            return Ok(());
        }
        epoll::modify(
            &self.epoll,
            socket,
            epoll::EventData::new_u64(registration.token),
            interest.flags(),
        )?;
        registration.interest = interest;
        Ok(())
    }

    /// Watches a socket no longer.
    pub fn remove(&self, socket: impl AsFd, registration: Registration) -> io::Result<()> {
        let _ = registration;
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Waits until something is ready or `timeout_ms` have passed (`None`: for ever); returns how many are ready.
    /// A signal ends the wait early, with 0.
    pub fn wait(&mut self, timeout_ms: Option<u64>) -> io::Result<usize> {
        let timeout = timeout_ms.map(|ms| Timespec {
            tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::from((ms % 1000) as u32) * 1_000_000,
        });
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(ready) => Ok(ready),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The `index`-th of the sockets that the last `wait` found ready.
    #[must_use]
    pub fn ready(&self, index: usize) -> Ready {
        use epoll::EventFlags as F;
        let event = self.events[index];
        let (flags, data) = (event.flags, event.data);
        Ready {
            token: data.u64(),
            readable: flags.intersects(F::IN | F::HUP | F::ERR),
            writable: flags.intersects(F::OUT | F::HUP | F::ERR),
            broken: flags.intersects(F::HUP | F::ERR),
        }
    }
}

/// Ends a poller's wait from any thread. Clones wake the same poller.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<OwnedFd>,
}

impl Waker {
    /// A waker to be registered for [`Interest::Read`] with the poller that it shall wake.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Makes the poller's wait return. Many wakes before it does count as one.
    pub fn wake(&self) {
        // The only failure of a write to an eventfd that is open is a full counter, and then the poller is awake anyway.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Takes the wakes so far; called by the poller's thread when the token is ready. Returns their number.
    pub fn take(&self) -> u64 {
        let mut count = [0; 8];
        match rustix::io::read(&self.event, &mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            _ => 0,
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_waker_on_another_thread_ends_the_wait() {
        let mut poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        let _registration = poller.register(&waker, 7, Interest::Read).unwrap();
        assert_eq!(poller.wait(Some(0)).unwrap(), 0);

        let other = waker.clone();
        let thread = std::thread::spawn(move || {
            other.wake();
            other.wake();
        });
        assert_eq!(poller.wait(None).unwrap(), 1);
        assert_eq!(poller.ready(0).token, 7);
        thread.join().unwrap();
        assert_eq!(waker.take(), 2);
        assert_eq!(poller.wait(Some(0)).unwrap(), 0);
    }

    #[test]
    fn readiness_is_reported_until_it_is_used_up_and_only_for_what_was_asked() {
        let (a, mut b) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        let mut registration = poller.register(&a, 1, Interest::Read).unwrap();
        assert_eq!(poller.wait(Some(0)).unwrap(), 0);

        b.write_all(b"ab").unwrap();
        for _ in 0..2 {
            assert_eq!(poller.wait(Some(1000)).unwrap(), 1);
            assert_eq!(
                poller.ready(0),
                Ready {
                    token: 1,
                    readable: true,
                    writable: false,
                    broken: false
                }
            );
        }
        (&a).read_exact(&mut [0; 2]).unwrap();
        assert_eq!(poller.wait(Some(0)).unwrap(), 0);

        poller.set(&a, &mut registration, Interest::ReadWrite).unwrap();
        assert_eq!(poller.wait(Some(0)).unwrap(), 1);
        assert!(poller.ready(0).writable && !poller.ready(0).readable);

        poller.set(&a, &mut registration, Interest::Nothing).unwrap();
        b.write_all(b"ab").unwrap();
        assert_eq!(poller.wait(Some(0)).unwrap(), 0);

        drop(b);
        assert_eq!(poller.wait(Some(1000)).unwrap(), 1);
        assert!(poller.ready(0).broken);
        poller.remove(&a, registration).unwrap();
        assert_eq!(poller.wait(Some(0)).unwrap(), 0);
    }
}
