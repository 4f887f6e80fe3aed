//! When the stream goes to replicas: not after every turn, since each sending costs a system call and wakes the replica.
//!
//! ```text
//!   writes      w w      w w w w w w w w w w w w w w w w w w w w w w            W (somebody waits for it)
//!   sendings    ▲  ▲     ▲         ▲         ▲        ▲    ▲      ▲              ▲
//!               │  └ a millisecond later              └────┴ 64 KiB              └ at once
//!               └ at once, after a quiet time
//! ```

use base::Offset;

/// So much of the stream is sent whenever it has come together.
const MUCH_BYTES: u64 = 64 << 10;
/// After so long less is sent, too.
const LONG_US: u64 = 1_000;

/// When the stream was sent last, and whether some of it is held back.
#[derive(Debug, Default)]
pub struct Feeding {
    sent_us: u64,
    sent_to: Offset,
    /// There is something that was not worth a sending yet: the next turn must come within a millisecond.
    pub holds: bool,
}

impl Feeding {
    /// Whether to send now, the stream having reached `end`. `at_once`: whatever there is must go.
    pub fn is_due(&mut self, now_us: u64, end: Offset, at_once: bool) -> bool {
        let long_ago = now_us.saturating_sub(self.sent_us) >= LONG_US;
        // The stream of another history may begin further back.
        let few = end > self.sent_to && end.since(self.sent_to) < MUCH_BYTES;
        self.holds = few && !long_ago && !at_once;
        if !self.holds && end != self.sent_to {
            (self.sent_us, self.sent_to) = (now_us, end);
        }
        !self.holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_quiet_time_at_once_then_in_lots_or_after_a_while() {
        let mut feeding = Feeding::default();
        assert!(feeding.is_due(10_000, Offset(100), false), "after a quiet time");
        assert!(!feeding.is_due(10_500, Offset(200), false));
        assert!(feeding.holds);
        assert!(feeding.is_due(11_000, Offset(200), false), "a millisecond has passed");
        assert!(!feeding.holds);
        assert!(!feeding.is_due(11_100, Offset(201), false));
        assert!(feeding.is_due(11_200, Offset(200 + MUCH_BYTES), false), "much has come");
        assert!(feeding.is_due(11_300, Offset(300 + MUCH_BYTES), true), "somebody waits");
        assert!(feeding.is_due(11_400, Offset(50), false), "another history");
    }

    #[test]
    fn where_nothing_is_new_nothing_is_held() {
        let mut feeding = Feeding::default();
        assert!(feeding.is_due(10_000, Offset(100), false));
        assert!(feeding.is_due(10_001, Offset(100), false));
        assert!(!feeding.holds);
        assert!(
            !feeding.is_due(10_002, Offset(101), false),
            "asking did not count as sending"
        );
        assert!(feeding.is_due(11_000, Offset(101), false));
    }
}
