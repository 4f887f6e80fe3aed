//! The virtual clock.

use std::cell::Cell;

use base::Now;

thread_local! {
    /// Microseconds since the world began. A world lives on one thread.
    static MONO_US: Cell<u64> = const { Cell::new(0) };
}

/// When the world begins, by its wall clock.
const BEGINNING_UNIX_US: i64 = 1_700_000_000_000_000;

/// Begins a world's time.
pub fn reset() {
    MONO_US.set(1_000_000);
}

/// Lets time pass.
pub fn advance_ms(ms: u64) {
    MONO_US.set(MONO_US.get() + ms * 1000);
}

/// The monotonic clock, as nodes read it to time commands.
#[must_use]
pub fn mono_us() -> u64 {
    MONO_US.get()
}

/// Both clocks.
#[must_use]
pub fn now() -> Now {
    Now {
        unix_us: BEGINNING_UNIX_US + mono_us() as i64,
        mono_us: mono_us(),
    }
}

/// The monotonic clock in milliseconds.
#[must_use]
pub fn now_ms() -> u64 {
    mono_us() / 1000
}
