//! Waiting for something to become true, never for ever.

use std::time::{Duration, Instant};

use crate::bail;
use crate::error::Result;

/// Asks every 10 ms until the answer is `Ok(None)`; the text of an answer says what is still missing.
///
/// # Errors
/// When time is up, with the last answer or error.
pub fn until(what: &str, timeout: Duration, mut missing: impl FnMut() -> Result<Option<String>>) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let answer = match missing() {
            Ok(None) => return Ok(start.elapsed()),
            Ok(Some(answer)) => answer,
            Err(error) => error.to_string(),
        };
        if start.elapsed() > timeout {
            bail!("{what}: not within {:.1} s; {answer}", timeout.as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Milliseconds since 1970, by the wall clock.
#[must_use]
pub fn unix_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
