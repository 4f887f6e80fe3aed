//! The clocks of the machine: the one place that reads them for the server.

use std::cell::Cell;

use base::Now;
use rustix::time::{ClockId, clock_gettime};

/// Reads the machine's clocks. Reading takes some tens of nanoseconds and no system call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Both clocks.
    #[must_use]
    pub fn now(self) -> Now {
        Now {
            unix_us: microseconds(ClockId::Realtime),
            mono_us: self.mono_us(),
        }
    }

    /// The monotonic clock alone, in microseconds.
    #[must_use]
    pub fn mono_us(self) -> u64 {
        microseconds(ClockId::Monotonic).unsigned_abs()
    }

    /// The monotonic clock, in microseconds, as it is now or was less than a microsecond ago: for whoever reads it after
    /// every command. Where the processor counts time itself, the clock is read now and then only, and the rest is reckoned.
    #[inline]
    #[must_use]
    pub fn recent_mono_us(self) -> u64 {
        RECENT.with(|recent| recent.mono_us(ticks()))
    }
}

thread_local! {
    static RECENT: Recent = const { Recent::new() };
}

/// What the clock said when it was last read, and what the processor's counter says of the time since then.
///
/// What is reckoned is never ahead of the clock: the counter is read after it, and a tick does not count for more than it
/// takes.
struct Recent {
    ticks: Cell<u64>,
    mono_ns: Cell<u64>,
    /// For so many ticks the reading is good to reckon from; 0 until ticks have been measured.
    valid_ticks: Cell<u64>,
    /// Nanoseconds of a tick, in parts of 2^[`FRACTION_BITS`].
    tick_ns: Cell<u64>,
    /// The first reading, from which the length of a tick is taken.
    first: Cell<Option<(u64, u64)>>,
}

const FRACTION_BITS: u32 = 24;
/// How long is reckoned from one reading.
const VALID_NS: u64 = 50_000;
/// For so long ticks are measured, by the clock; by the counter it is a little longer, so that a tick never counts too much.
const MEASURED_NS: u64 = 10_000_000;

/// The kernel makes its clock slower or faster by one part in so many at most, to adjust it.
const ADJUSTED: u64 = 2_000;

impl Recent {
    const fn new() -> Self {
        Self {
            ticks: Cell::new(0),
            mono_ns: Cell::new(0),
            valid_ticks: Cell::new(0),
            tick_ns: Cell::new(0),
            first: Cell::new(None),
        }
    }

    #[inline]
    fn mono_us(&self, ticks: u64) -> u64 {
        let since = ticks.wrapping_sub(self.ticks.get());
        if since >= self.valid_ticks.get() {
            return self.read(ticks) / 1000;
        }
        (self.mono_ns.get() + ((since * self.tick_ns.get()) >> FRACTION_BITS)) / 1000
    }

    #[cold]
    fn read(&self, before: u64) -> u64 {
        let mono_ns = nanoseconds(ClockId::Monotonic).unsigned_abs();
        let after = ticks();
        let valid = self.valid_ticks.get();
        // A reading that took long, because something happened to the thread, is nothing to reckon from.
        let taken = after.wrapping_sub(before);
        self.ticks.set(if taken <= valid / 16 {
            after
        } else {
            after.wrapping_sub(valid)
        });
        self.mono_ns.set(mono_ns);
        if valid == 0 {
            self.measure(before, mono_ns, after);
        }
        mono_ns
    }

    /// The clock said `mono_ns` between two readings of the counter.
    fn measure(&self, before: u64, mono_ns: u64, after: u64) {
        match self.first.get() {
            None if counts_evenly() => self.first.set(Some((before, mono_ns))),
            Some((first, first_ns)) if mono_ns - first_ns >= MEASURED_NS => {
                let passed = after.saturating_sub(first).max(1);
                let tick_ns = ((mono_ns - first_ns) << FRACTION_BITS) / passed;
                self.tick_ns.set(tick_ns - tick_ns / ADJUSTED);
                self.valid_ticks.set((VALID_NS << FRACTION_BITS) / tick_ns.max(1));
            }
            _ => {}
        }
    }
}

/// The processor's counter of time; 0 where it has none.
#[inline(always)]
fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction; it changes nothing.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Whether the counter goes on evenly, whatever the processor does.
fn counts_evenly() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        const INVARIANT: u32 = 1 << 8;
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & INVARIANT != 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn microseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// A moment in the machine's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// The year, such as 2026.
    pub year: i32,
    /// The month, from 1.
    pub month: u8,
    /// The day of the month, from 1.
    pub day: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute.
    pub minute: u8,
    /// The second, 60 in a leap second.
    pub second: u8,
}

impl LocalTime {
    /// The local time so many seconds after the epoch.
    #[must_use]
    pub fn at(unix_seconds: i64) -> Self {
        // SAFETY: `tm` is plain data for which zeroes are valid; `localtime_r` reads one number and writes one `tm`,
        // both of which live here. The process changes its environment only before it has other threads.
        let time = unsafe {
            let mut time: libc::tm = std::mem::zeroed();
            libc::localtime_r(&raw const unix_seconds, &raw mut time);
            time
        };
        Self {
            year: time.tm_year + 1900,
            month: time.tm_mon as u8 + 1,
            day: time.tm_mday as u8,
            hour: time.tm_hour as u8,
            minute: time.tm_min as u8,
            second: time.tm_sec as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_is_within_a_day_of_universal_time() {
        let time = LocalTime::at(1_700_000_000); // 14 November 2023, 22:13:20 UTC
        assert_eq!((time.year, time.month, time.second), (2023, 11, 20));
        assert!((13..=16).contains(&time.day));
    }

    #[test]
    fn the_wall_clock_is_today_and_the_other_one_only_rises() {
        let first = Clock.now();
        assert!(first.unix_ms().seconds() > 1_700_000_000);
        let mut last = first.mono_us;
        for _ in 0..1000 {
            let next = Clock.mono_us();
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn the_recent_clock_is_no_more_than_a_microsecond_behind() {
        let started = Clock.mono_us();
        while Clock.mono_us() - started < 50_000 {
            // A reading between two others; what happens to the thread in between makes it late, never early.
            let before = Clock.mono_us();
            let recent = Clock.recent_mono_us();
            assert!(recent + 1 >= before, "{recent} before {before}");
            assert!(recent <= Clock.mono_us());
        }
        RECENT.with(|recent| {
            let measured = recent.valid_ticks.get();
            assert!(measured > 0 || !counts_evenly(), "the counter was never measured");
        });
    }

    #[test]
    fn without_a_counter_every_reading_is_fresh() {
        let recent = Recent::new();
        let first = recent.mono_us(0);
        while Clock.mono_us() < first + 20_000 {}
        assert!(recent.mono_us(0) >= first + 20_000);
    }
}
