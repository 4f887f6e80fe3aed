//! Latencies: a histogram per command, and the spikes that the latency monitor keeps per event.

use base::Now;
use std::collections::{BTreeMap, VecDeque};

/// How often each latency was seen, in buckets of at most 1/32 of their value: 0 to 31 exactly, then 32 buckets per
/// power of two, up to a second; longer ones count as a second.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
}

const SUB_BITS: u32 = 5;
const MAX_US: u64 = 1_000_000;

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; bucket_of(MAX_US) + 1],
            count: 0,
        }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&mut self, usec: u64) {
        self.buckets[bucket_of(usec.min(MAX_US))] += 1;
        self.count += 1;
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The latency that `percent` of a hundred were at or below, in microseconds: the upper end of its bucket.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((percent / 100.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return bucket_end(bucket);
            }
        }
        0
    }

    /// Counts at or below each power of two of microseconds, where the count grows: LATENCY HISTOGRAM's picture.
    #[must_use]
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut rows: Vec<(u64, u64)> = Vec::new();
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            seen += u64::from(*count);
            let limit = bucket_end(bucket).max(1).next_power_of_two();
            match rows.last_mut() {
                Some((last, total)) if *last == limit => *total = seen,
                _ => rows.push((limit, seen)),
            }
        }
        rows
    }
}

fn bucket_of(usec: u64) -> usize {
    let top = 63 - (usec | 1).leading_zeros();
    if top < SUB_BITS {
        return usec as usize;
    }
    let shift = top - SUB_BITS;
    let sub = (usec >> shift) as usize & ((1 << SUB_BITS) - 1);
    (((shift + 1) as usize) << SUB_BITS) + sub
}

fn bucket_end(bucket: usize) -> u64 {
    if bucket < 1 << SUB_BITS {
        return bucket as u64;
    }
    let shift = (bucket >> SUB_BITS) as u32 - 1;
    let sub = (bucket & ((1 << SUB_BITS) - 1)) as u64;
    (((1 << SUB_BITS) + sub + 1) << shift) - 1
}

/// How many spikes an event keeps.
const KEPT_SPIKES: usize = 160;

/// Spikes of one event: when (seconds since the epoch) and how long (milliseconds), oldest first.
#[derive(Default)]
pub struct Spikes {
    samples: VecDeque<(i64, u64)>,
    /// The longest ever, in milliseconds.
    pub max_ms: u64,
}

impl Spikes {
    /// The spikes kept, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (i64, u64)> + '_ {
        self.samples.iter().copied()
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<(i64, u64)> {
        self.samples.back().copied()
    }
}

/// The latency monitor.
#[derive(Default)]
pub struct LatencyMonitor {
    events: BTreeMap<String, Spikes>,
}

impl LatencyMonitor {
    /// Notes that `event` took `ms`. Spikes of one second count as one, the longest.
    pub fn note(&mut self, event: &str, now: Now, ms: u64) {
        let second = now.unix_ms().seconds();
        let spikes = match self.events.get_mut(event) {
            Some(spikes) => spikes,
            None => self.events.entry(event.to_owned()).or_default(),
        };
        spikes.max_ms = spikes.max_ms.max(ms);
        match spikes.samples.back_mut() {
            Some((last, longest)) if *last == second => *longest = (*longest).max(ms),
            _ => spikes.samples.push_back((second, ms)),
        }
        if spikes.samples.len() > KEPT_SPIKES {
            spikes.samples.pop_front();
        }
    }

    /// The events and their spikes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Spikes)> {
        self.events.iter().map(|(event, spikes)| (event.as_str(), spikes))
    }

    /// The spikes of one event.
    #[must_use]
    pub fn get(&self, event: &str) -> Option<&Spikes> {
        self.events.get(event)
    }

    /// Forgets an event; whether it was known.
    pub fn forget(&mut self, event: &str) -> bool {
        self.events.remove(event).is_some()
    }

    /// Forgets all; how many events there were.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.events).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_they_say() {
        for usec in (0..5000).chain([99_999, MAX_US]) {
            let end = bucket_end(bucket_of(usec));
            assert!(
                end >= usec && end <= usec + usec / 32,
                "{usec} in a bucket ending at {end}"
            );
        }
    }

    #[test]
    fn percentiles_follow_the_counts() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|usec| histogram.record(usec));
        assert_eq!(histogram.percentile(50.0), 50);
        assert!((99..=100).contains(&histogram.percentile(99.0)));
        assert_eq!(histogram.cumulative().last().map(|row| row.1), Some(100));
    }
}
