//! The access clock of entries: when a key was used last, or how often.
//!
//! ```text
//!   lru   seconds, 24 bits
//!   lfu   minutes, 16 bits | counter, 8 bits: rises the more rarely the higher it is, and decays with time
//! ```

use crate::settings::Settings;
use base::Rng;

/// The new access stamp of an entry that stood at `old`.
pub(crate) fn stamp(old: u32, clock: u32, settings: &Settings, rng: &mut Rng) -> u32 {
    if !settings.lfu {
        return clock;
    }
    let counter = lfu_counter(old, clock, settings);
    (clock & 0xffff) << 8 | u32::from(lfu_increment(counter, settings.lfu_log_factor, rng))
}

/// The LFU counter of a stamp, decayed for the minutes gone by since.
#[must_use]
pub fn lfu_counter(stamp: u32, clock: u32, settings: &Settings) -> u8 {
    let minutes = (clock & 0xffff).wrapping_sub(stamp >> 8) & 0xffff;
    let decay = minutes.checked_div(settings.lfu_decay_minutes).unwrap_or(0);
    (stamp & 0xff).saturating_sub(decay) as u8
}

fn lfu_increment(counter: u8, log_factor: u32, rng: &mut Rng) -> u8 {
    const INITIAL: u8 = 5;
    if counter == u8::MAX {
        return counter;
    }
    let base = u64::from(counter.saturating_sub(INITIAL));
    counter + u8::from(rng.chance(1, base * u64::from(log_factor) + 1))
}
