//! The clocks of the machine: the one place that reads them for the server.

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
}
