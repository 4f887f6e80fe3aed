//! Signals that ask the process to end, turned into something a poller can see.
//!
//! ```text
//!   SIGTERM, SIGINT ──► handler: set a bit, write the waker's eventfd ──► poller ──► Signals::take
//!   second SIGINT   ──► handler: leave at once
//!   SIGHUP, SIGPIPE ──► ignored
//!   SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT ──► handler: a line and the stack to the log, then the default action
//! ```

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::poll::Waker;

static WAKER_FD: AtomicI32 = AtomicI32::new(-1);
static LOG_FD: AtomicI32 = AtomicI32::new(1);
static PENDING: AtomicU32 = AtomicU32::new(0);
/// SIGINTs received and not forgiven: the second one leaves at once.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

const TERM_BIT: u32 = 1;
const INT_BIT: u32 = 2;

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: a service manager, `kill`.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
}

/// The handlers, once installed. There is one set for the process, and it stays.
#[derive(Debug)]
pub struct Signals {
    // Keeps the descriptor that the handler writes open as long as anybody can look at the signals.
    _waker: Waker,
}

impl Signals {
    /// Installs the handlers; from now on a stop signal wakes the poller that `waker` belongs to.
    pub fn install(waker: &Waker) -> io::Result<Self> {
        // A duplicate that is never closed: the handler may run until the process ends.
        let duplicate: OwnedFd = rustix::io::fcntl_dupfd_cloexec(waker, 3)?;
        WAKER_FD.store(duplicate.as_raw_fd(), Ordering::SeqCst);
        std::mem::forget(duplicate);

        set_handler(
            libc::SIGTERM,
            on_stop as extern "C" fn(libc::c_int) as libc::sighandler_t,
            0,
        )?;
        set_handler(
            libc::SIGINT,
            on_stop as extern "C" fn(libc::c_int) as libc::sighandler_t,
            0,
        )?;
        set_handler(libc::SIGHUP, libc::SIG_IGN, 0)?;
        set_handler(libc::SIGPIPE, libc::SIG_IGN, 0)?;
        Ok(Self { _waker: waker.clone() })
    }

    /// Has a crash write a line and the stack to the log before the process dies of it.
    pub fn install_crash_handler() -> io::Result<()> {
        // The first call may load a library, which a handler must not do.
        stack(&mut [std::ptr::null_mut(); 1]);
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT] {
            // On the alternative stack that the runtime gives every thread, since the usual one may be what overflowed.
            let flags = libc::SA_RESETHAND | libc::SA_NODEFER | libc::SA_ONSTACK;
            set_handler(
                signal,
                on_crash as extern "C" fn(libc::c_int) as libc::sighandler_t,
                flags,
            )?;
        }
        Ok(())
    }

    /// The signals since the last call: the strongest one, SIGTERM before SIGINT.
    #[must_use]
    pub fn take(&self) -> Option<Stop> {
        match PENDING.swap(0, Ordering::AcqRel) {
            0 => None,
            bits if bits & TERM_BIT != 0 => Some(Stop::Terminate),
            _ => Some(Stop::Interrupt),
        }
    }

    /// The shutdown that the first SIGINT asked for is off: the next one is a first again.
    pub fn forgive(&self) {
        INTERRUPTS.store(0, Ordering::SeqCst);
    }

    /// Where handlers write their last line: the descriptor of the log file, which must stay open, or 1.
    pub fn log_to(descriptor: i32) {
        LOG_FD.store(descriptor, Ordering::SeqCst);
    }
}

fn set_handler(signal: libc::c_int, handler: libc::sighandler_t, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: `sigaction` is plain data for which zeroes are valid, and it is filled in before it is used. The handlers
    // given are either SIG_IGN or functions below that take one int and touch nothing but atomics and async-signal-safe
    // calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigemptyset(&raw mut action.sa_mask);
        if libc::sigaction(signal, &raw const action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_stop(signal: libc::c_int) {
    if signal == libc::SIGINT && INTERRUPTS.fetch_add(1, Ordering::SeqCst) > 0 {
        write_raw(b"Interrupted again: exiting now, without saving.\n");
        // SAFETY: `_exit` may be called anywhere.
        unsafe { libc::_exit(1) };
    }
    let bit = if signal == libc::SIGINT { INT_BIT } else { TERM_BIT };
    PENDING.fetch_or(bit, Ordering::AcqRel);
    let descriptor = WAKER_FD.load(Ordering::SeqCst);
    if descriptor >= 0 {
        let one = 1u64.to_ne_bytes();
        // The interrupted code may be about to read errno.
        // SAFETY: `__errno_location` gives this thread's errno, valid for the thread's life; `write` is
        // async-signal-safe, and the buffer is eight bytes that live until it returns.
        unsafe {
            let errno = libc::__errno_location();
            let before = *errno;
            libc::write(descriptor, one.as_ptr().cast(), one.len());
            *errno = before;
        }
    }
}

extern "C" fn on_crash(signal: libc::c_int) {
    let mut line =
        *b"\n=== SKEIN BUG REPORT: the server crashed by signal: 00. Please report it, with this log and INFO.\n";
    // The digits stand where "00" is.
    if let Some(at) = line.windows(2).position(|pair| pair == b"00") {
        line[at] = b'0' + (signal / 10) as u8;
        line[at + 1] = b'0' + (signal % 10) as u8;
    }
    write_raw(&line);
    write_stack();
    // SAFETY: `raise` is async-signal-safe. The handler is reset by SA_RESETHAND, so this ends the process as the
    // signal would have.
    unsafe { libc::raise(signal) };
}

/// The addresses that this thread's functions return to, innermost first; how many there are.
#[cfg(target_env = "gnu")]
fn stack(frames: &mut [*mut libc::c_void]) -> libc::c_int {
    let room = libc::c_int::try_from(frames.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `frames` has room for as many pointers as are asked for.
    unsafe { libc::backtrace(frames.as_mut_ptr(), room) }
}

#[cfg(not(target_env = "gnu"))]
fn stack(_frames: &mut [*mut libc::c_void]) -> libc::c_int {
    0
}

/// Writes this thread's stack to the log, a line for each function. A second crash while it does so ends the process: the
/// handler is reset.
#[cfg(target_env = "gnu")]
fn write_stack() {
    const DEEPEST: usize = 100;
    let mut frames = [std::ptr::null_mut(); DEEPEST];
    let count = stack(&mut frames);
    write_raw(b"\n------ STACK TRACE ------\n");
    // SAFETY: the first `count` pointers were filled in. It allocates nothing, and takes no lock but that of the loader.
    unsafe { libc::backtrace_symbols_fd(frames.as_ptr(), count, LOG_FD.load(Ordering::SeqCst)) };
    write_raw(b"\n");
}

#[cfg(not(target_env = "gnu"))]
fn write_stack() {}

fn write_raw(text: &[u8]) {
    // SAFETY: `write` is async-signal-safe, and the buffer lives until it returns.
    unsafe { libc::write(LOG_FD.load(Ordering::SeqCst), text.as_ptr().cast(), text.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{Interest, Poller};

    #[test]
    fn a_stop_signal_wakes_the_poller_and_hangups_are_ignored() {
        let mut poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        let _registration = poller.register(&waker, 1, Interest::Read).unwrap();
        let signals = Signals::install(&waker).unwrap();
        assert_eq!(signals.take(), None);
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::HUP).unwrap();
        for (signal, stop) in [
            (rustix::process::Signal::TERM, Stop::Terminate),
            (rustix::process::Signal::INT, Stop::Interrupt),
        ] {
            rustix::process::kill_process(me, signal).unwrap();
            while poller.wait(Some(5000)).unwrap() == 0 {}
            waker.take();
            assert_eq!(signals.take(), Some(stop));
        }
        signals.forgive();
    }
}
