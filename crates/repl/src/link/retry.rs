//! When to try again: at once, then every second; only what keeps failing at great cost is tried less and less often.

use base::Rng;

use super::down::LinkDown;

/// The ordinary time between two attempts, before the spread of a fifth to either side.
const PERIOD_MS: u64 = 1000;
/// The longest time between two attempts, before the spread.
const LONGEST_MS: u64 = 50_000;

/// How often the link failed since it last worked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    /// Attempts in a row that ended without one applied byte.
    attempts: u32,
    /// Those among them that cost a full resynchronization, or that will end the same way again.
    stubborn: u32,
}

impl Retry {
    /// The time to wait before the next attempt.
    pub(super) fn after(&mut self, reason: &LinkDown, rng: &mut Rng) -> u64 {
        self.attempts = self.attempts.saturating_add(1);
        if reason.is_stubborn() {
            self.stubborn = self.stubborn.saturating_add(1);
        }
        if self.attempts == 1 {
            return 0;
        }
        let doublings = self.stubborn.saturating_sub(2).min(16);
        let wait_ms = (PERIOD_MS << doublings).min(LONGEST_MS);
        wait_ms * 4 / 5 + rng.below(wait_ms * 2 / 5 + 1)
    }

    /// Whether this failure is one of a row: its steps need not be logged again.
    pub(super) fn is_repeating(self) -> bool {
        self.attempts > 1
    }

    /// The link works.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::down::Phase;

    #[test]
    fn first_at_once_then_every_second_and_never_over_two() {
        let (mut retry, mut rng) = (Retry::default(), Rng::new(1));
        assert_eq!(retry.after(&LinkDown::Refused, &mut rng), 0);
        let waits: Vec<u64> = (0..1000).map(|_| retry.after(&LinkDown::Refused, &mut rng)).collect();
        assert!(waits.iter().all(|wait| (800..=1200).contains(wait)));
        assert!(
            waits.iter().any(|wait| *wait < 850) && waits.iter().any(|wait| *wait > 1150),
            "they spread"
        );
        assert!((0..100).all(|_| retry.after(&LinkDown::PrimaryLoading, &mut rng) <= 1200));
    }

    #[test]
    fn full_syncs_that_keep_failing_back_off_to_a_minute() {
        let (mut retry, mut rng) = (Retry::default(), Rng::new(1));
        let reason = LinkDown::ClosedByPrimary(Phase::Transfer);
        let waits: Vec<u64> = (0..12).map(|_| retry.after(&reason, &mut rng)).collect();
        assert_eq!(waits[0], 0);
        for (at, expected) in [(1, 1000), (2, 2000), (3, 4000), (5, 16_000), (7, 50_000), (11, 50_000)] {
            assert!((expected * 4 / 5..=expected * 6 / 5).contains(&waits[at]), "{waits:?}");
        }
        assert!(waits.iter().all(|wait| *wait <= 60_000));

        retry.reset();
        assert_eq!(retry.after(&reason, &mut rng), 0);
    }
}
