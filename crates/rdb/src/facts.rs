//! What saving and loading share: facts beside the keys, the meaning of the access clock, the watcher.

use base::{DbIndex, Offset, ReplId};

/// Which point of which history the keys are the state of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The history.
    pub replid: ReplId,
    /// How much of it is contained.
    pub offset: Offset,
    /// The database that the stream stands in at that point.
    pub stream_db: DbIndex,
}

/// What an entry's access clock means: decided by `maxmemory-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessClock {
    /// Seconds, modulo 2²⁴, of the last access; the present one is given.
    Lru {
        /// The clock now.
        now_seconds: u32,
    },
    /// Minutes, modulo 2¹⁶, of the last decrement in the upper bits, a logarithmic count in the lower eight.
    Lfu {
        /// The clock now.
        now_minutes: u16,
        /// `lfu-decay-time`: so many minutes take one off the count; 0 for never.
        decay_minutes: u32,
    },
}

/// Values of the LRU clock, which then starts again.
const LRU_PERIOD: u32 = 1 << 24;

/// The count that a new key starts with.
const LFU_INITIAL: u8 = 5;

/// Usage as it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    IdleSeconds(u64),
    Frequency(u8),
}

impl AccessClock {
    /// What to save for a key whose clock is `clock`.
    pub(crate) fn usage(self, clock: u32) -> Usage {
        match self {
            Self::Lru { now_seconds } => {
                let idle = now_seconds.wrapping_sub(clock) % LRU_PERIOD;
                Usage::IdleSeconds(u64::from(idle))
            }
            Self::Lfu {
                now_minutes,
                decay_minutes,
            } => {
                let elapsed = u32::from(now_minutes.wrapping_sub((clock >> 8) as u16));
                let lost = elapsed.checked_div(decay_minutes).unwrap_or(0);
                Usage::Frequency((clock & 0xff).saturating_sub(lost) as u8)
            }
        }
    }

    /// The clock of a key that comes with this usage.
    pub(crate) fn clock(self, idle_seconds: Option<u64>, frequency: Option<u8>) -> u32 {
        match self {
            Self::Lru { now_seconds } => match idle_seconds {
                // Idle for longer than the clock reaches back: as long ago as it can tell from the future.
                Some(idle) if idle > u64::from(now_seconds) => (now_seconds + LRU_PERIOD / 2) % LRU_PERIOD,
                Some(idle) => now_seconds - idle as u32,
                None => now_seconds,
            },
            Self::Lfu { now_minutes, .. } => u32::from(now_minutes) << 8 | u32::from(frequency.unwrap_or(LFU_INITIAL)),
        }
    }
}

/// Whoever wants to know how far a long save or load is, may stop it, or slow it down.
///
/// Called from the thread that works, every few hundred keys or every piece of bytes, whichever comes first.
pub trait Watch {
    /// So many keys, and bytes of RDB data, are done.
    fn progress(&mut self, keys: u64, bytes: u64) {
        let _ = (keys, bytes);
    }

    /// Whether to stop now.
    fn cancelled(&self) -> bool {
        false
    }

    /// Sleeps for so many microseconds: the debugging delays `rdb-key-save-delay` and `key-load-delay`.
    fn pause(&mut self, microseconds: u64) {
        let _ = microseconds;
    }
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// Calls a watcher as often as it wants to be.
pub(crate) struct Watched<'a> {
    watch: &'a mut dyn Watch,
    delay_microseconds: i64,
    pub(crate) keys: u64,
    told_bytes: u64,
}

/// The watcher hears at least once every so many keys,
const WATCH_EVERY_KEYS: u64 = 256;
/// and bytes.
const WATCH_EVERY_BYTES: u64 = 64 * 1024;

pub(crate) struct WatchCancelled;

impl<'a> Watched<'a> {
    /// A negative delay of -n is one microsecond every n keys.
    pub(crate) fn new(watch: &'a mut dyn Watch, delay_microseconds: i64) -> Self {
        Self {
            watch,
            delay_microseconds,
            keys: 0,
            told_bytes: 0,
        }
    }

    /// One more key is done, `bytes` in all.
    #[inline]
    pub(crate) fn key_done(&mut self, bytes: u64) -> Result<(), WatchCancelled> {
        self.keys += 1;
        if self.delay_microseconds != 0 {
            self.pause();
        }
        if self.keys.is_multiple_of(WATCH_EVERY_KEYS) || self.delay_microseconds > 0 {
            return self.tell(bytes);
        }
        self.bytes_done(bytes)
    }

    /// Some more bytes are done, `bytes` in all.
    #[inline]
    pub(crate) fn bytes_done(&mut self, bytes: u64) -> Result<(), WatchCancelled> {
        if bytes - self.told_bytes < WATCH_EVERY_BYTES {
            Ok(())
        } else {
            self.tell(bytes)
        }
    }

    pub(crate) fn tell(&mut self, bytes: u64) -> Result<(), WatchCancelled> {
        self.told_bytes = bytes;
        self.watch.progress(self.keys, bytes);
        if self.watch.cancelled() {
            Err(WatchCancelled)
        } else {
            Ok(())
        }
    }

    fn pause(&mut self) {
        match u64::try_from(self.delay_microseconds) {
            Ok(delay) => self.watch.pause(delay),
            Err(_) if self.keys.is_multiple_of(self.delay_microseconds.unsigned_abs()) => self.watch.pause(1),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_times_survive_and_wrap() {
        let lru = |now_seconds| AccessClock::Lru { now_seconds };
        assert_eq!(lru(1000).usage(900), Usage::IdleSeconds(100));
        assert_eq!(lru(5).usage(LRU_PERIOD - 5), Usage::IdleSeconds(10));
        assert_eq!(lru(1000).clock(Some(100), None), 900);
        assert_eq!(lru(1000).clock(None, Some(9)), 1000);
        assert_eq!(lru(5).clock(Some(10), None), 5 + LRU_PERIOD / 2);
        assert_eq!(lru(5).clock(Some(u64::MAX), None), 5 + LRU_PERIOD / 2);
    }

    #[test]
    fn frequencies_decay_and_come_back() {
        let lfu = |decay_minutes| AccessClock::Lfu {
            now_minutes: 100,
            decay_minutes,
        };
        assert_eq!(lfu(1).usage(97 << 8 | 10), Usage::Frequency(7));
        assert_eq!(lfu(0).usage(97 << 8 | 10), Usage::Frequency(10));
        assert_eq!(lfu(1).usage(1 << 8 | 10), Usage::Frequency(0));
        assert_eq!(lfu(1).usage(0xfffe << 8 | 200), Usage::Frequency(98));
        assert_eq!(lfu(1).clock(None, Some(33)), 100 << 8 | 33);
        assert_eq!(lfu(1).clock(Some(3), None), 100 << 8 | 5);
    }
}
