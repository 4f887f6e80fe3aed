//! Makes a long run that ends in a mismatch short.

use std::time::{Duration, Instant};

use harness::Result;

use super::run::{Mismatch, Pair, Step};

/// How long shrinking one mismatch may take.
const AT_MOST: Duration = Duration::from_secs(20);

/// The fewest steps found that still end in a mismatch about the same command, and that mismatch.
pub fn shrink(pair: &mut Pair, steps: &[Step], found: &Mismatch) -> Result<(Vec<Step>, Mismatch)> {
    let start = Instant::now();
    let mut best = steps[..=found.step].to_vec();
    let mut mismatch = found.clone();
    let mut attempt = |pair: &mut Pair, steps: Vec<Step>, best: &mut Vec<Step>| -> Result<bool> {
        if start.elapsed() > AT_MOST {
            return Ok(false);
        }
        match pair.run(&steps)? {
            Some(again) if again.topic == found.topic => {
                *best = steps;
                best.truncate(again.step + 1);
                mismatch = again;
                Ok(true)
            }
            _ => Ok(false),
        }
    };
    // Most of the time a few steps before the end are all it takes.
    for tail in [1, 4, 16, 64, 256] {
        if tail < best.len() {
            let suffix = best[best.len() - tail..].to_vec();
            if attempt(pair, suffix, &mut best)? {
                break;
            }
        }
    }
    let mut chunk = best.len() / 2;
    while chunk > 0 {
        let mut from = 0;
        while from + 1 < best.len() {
            let mut fewer = best.clone();
            fewer.drain(from..(from + chunk).min(best.len()));
            if fewer.is_empty() || !attempt(pair, fewer, &mut best)? {
                from += chunk;
            }
        }
        chunk /= 2;
    }
    Ok((best, mismatch))
}
