//! The clocks of the machine: the one place that reads them for the server.

use std::cell::Cell;
#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

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
    /// every command. Where the processor counts time itself, the clock is read only once a microsecond has passed.
    #[inline]
    #[must_use]
    pub fn recent_mono_us(self) -> u64 {
        RECENT.with(|recent| recent.mono_us(ticks()))
    }
}

thread_local! {
    static RECENT: Recent = const { Recent::new() };
}

/// What the clock said when it was last read, and how many ticks of the processor's counter it stays true for.
struct Recent {
    ticks: Cell<u64>,
    mono_us: Cell<u64>,
    /// Ticks that certainly take less than a microsecond; 0 until they have been measured.
    valid_ticks: Cell<u64>,
    /// The first reading, from which the length of a tick is taken.
    first: Cell<Option<(u64, u64)>>,
}

impl Recent {
    const fn new() -> Self {
        Self {
            ticks: Cell::new(0),
            mono_us: Cell::new(0),
            valid_ticks: Cell::new(0),
            first: Cell::new(None),
        }
    }

    #[inline]
    fn mono_us(&self, ticks: u64) -> u64 {
        if ticks.wrapping_sub(self.ticks.get()) >= self.valid_ticks.get() {
            self.read(ticks);
        }
        self.mono_us.get()
    }

    #[cold]
    fn read(&self, ticks: u64) {
        const MEASURE_US: u64 = 10_000;
        let mono_us = Clock.mono_us();
        self.ticks.set(ticks);
        self.mono_us.set(mono_us);
        if self.valid_ticks.get() > 0 || ticks == 0 {
            return;
        }
        match self.first.get() {
            // The counter is read after the clock here and before it there: a pause between the two makes a microsecond
            // seem to have fewer ticks, never more.
            None => self.first.set(Some((self::ticks(), mono_us))),
            Some((first_ticks, first_us)) if mono_us - first_us >= MEASURE_US => {
                let per_us = ticks.saturating_sub(first_ticks) / (mono_us - first_us);
                self.valid_ticks.set(per_us * 9 / 10);
            }
            Some(_) => {}
        }
    }
}

/// The processor's counter of time, where it has one that counts evenly, whatever the processor does; else 0.
#[inline]
fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    if counts_evenly() {
        // SAFETY: every x86-64 processor has the instruction; it changes nothing.
        return unsafe { std::arch::x86_64::_rdtsc() };
    }
    0
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counts_evenly() -> bool {
    const INVARIANT: u32 = 1 << 8;
    static EVENLY: LazyLock<bool> = LazyLock::new(|| {
        use std::arch::x86_64::__cpuid;
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & INVARIANT != 0
    });
    *EVENLY
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
            assert!(measured > 0 || ticks() == 0, "the counter was never measured");
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
