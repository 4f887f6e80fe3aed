//! Replicas that went: who, when and why, and how long one that keeps failing must wait for its next full sync.

use std::collections::VecDeque;
use std::fmt;

use base::Now;

/// How many lost replicas are remembered.
const LOST_MAX: usize = 8;
/// How many addresses with failed full resynchronizations are remembered.
const SETBACKS_MAX: usize = 64;
/// The longest a replica is made to wait for its next full resynchronization.
const LONGEST_WAIT_MS: u64 = 60_000;

/// Why a replica was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// It closed the connection, or the network did.
    Closed,
    /// It was silent for longer than `repl-timeout`.
    TimedOut,
    /// It fell too far behind.
    OutputLimit {
        /// What was unsent.
        unsent_bytes: u64,
        /// What was allowed.
        limit_bytes: u64,
    },
    /// The snapshot could not be made or sent.
    TransferFailed {
        /// What failed.
        error: String,
    },
    /// We took over another history, which its data does not belong to.
    HistoryReplaced,
    /// Our history got a new id, which it must learn by asking again.
    HistoryRenamed,
    /// It sent a command that writes a reply into its stream.
    Misbehaved {
        /// Which.
        command: String,
    },
    /// A client killed the connection.
    Killed,
    /// It wanted the snapshot alone, and has it.
    SnapshotDelivered,
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("connection closed by the replica"),
            Self::TimedOut => f.write_str("timed out"),
            Self::OutputLimit {
                unsent_bytes,
                limit_bytes,
            } => {
                write!(
                    f,
                    "too far behind: {unsent_bytes} bytes unsent and {limit_bytes} allowed"
                )
            }
            Self::TransferFailed { error } => write!(f, "full sync failed: {error}"),
            Self::HistoryReplaced => f.write_str("disconnected to resync with the new dataset"),
            Self::HistoryRenamed => f.write_str("disconnected to learn the new replication id"),
            Self::Misbehaved { command } => write!(f, "sent the command '{command}'"),
            Self::Killed => f.write_str("killed"),
            Self::SnapshotDelivered => f.write_str("snapshot delivered"),
        }
    }
}

impl LostReason {
    /// Nothing went wrong: the replica was done, or is to come back at once.
    pub(super) fn is_planned(&self) -> bool {
        matches!(
            self,
            Self::SnapshotDelivered | Self::HistoryRenamed | Self::HistoryReplaced
        )
    }
}

/// One replica that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its address, as INFO showed it.
    pub ip: String,
    /// The port it listens on; 0 when it did not say.
    pub port: u16,
    /// Why.
    pub reason: LostReason,
    /// When.
    pub at: Now,
}

/// The last lost replicas and the ones that keep failing.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Oldest first.
    lost: VecDeque<Lost>,
    setbacks: VecDeque<Setback>,
}

#[derive(Debug)]
struct Setback {
    ip: String,
    port: u16,
    failures: u32,
    not_before_ms: u64,
}

impl Losses {
    /// Newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lost> {
        self.lost.iter().rev()
    }

    pub(super) fn record(&mut self, lost: Lost) {
        if self.lost.len() == LOST_MAX {
            self.lost.pop_front();
        }
        self.lost.push_back(lost);
    }

    /// A full resynchronization of this replica did not end well. The next may begin at once, the one after that must
    /// wait a second, then two, four and so on.
    pub(super) fn record_setback(&mut self, ip: &str, port: u16, now: Now) {
        // One that did not say where it listens cannot be told from others at its address.
        if port == 0 {
            return;
        }
        let known = self
            .setbacks
            .iter_mut()
            .find(|setback| setback.ip == ip && setback.port == port);
        if let Some(setback) = known {
            let wait_ms = (1000u64 << setback.failures.min(16).saturating_sub(1)).min(LONGEST_WAIT_MS);
            setback.failures += 1;
            setback.not_before_ms = now.mono_ms() + wait_ms;
            return;
        }
        if self.setbacks.len() == SETBACKS_MAX {
            self.setbacks.pop_front();
        }
        self.setbacks.push_back(Setback {
            ip: ip.to_owned(),
            port,
            failures: 1,
            not_before_ms: 0,
        });
    }

    /// The replica is in step again.
    pub(super) fn forgive(&mut self, ip: &str, port: u16) {
        self.setbacks.retain(|setback| setback.ip != ip || setback.port != port);
    }

    /// The earliest time for a full resynchronization of this replica.
    pub(super) fn not_before_ms(&self, ip: &str, port: u16) -> u64 {
        let known = self
            .setbacks
            .iter()
            .find(|setback| setback.ip == ip && setback.port == port);
        known.map_or(0, |setback| setback.not_before_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_eight_are_remembered_newest_first() {
        let mut losses = Losses::default();
        for port in 1..=10 {
            losses.record(Lost {
                ip: "::1".into(),
                port,
                reason: LostReason::Closed,
                at: Now::default(),
            });
        }
        let ports: Vec<u16> = losses.iter().map(|lost| lost.port).collect();
        assert_eq!(ports, [10, 9, 8, 7, 6, 5, 4, 3]);
    }

    #[test]
    fn a_replica_that_keeps_failing_waits_longer_and_longer() {
        let mut losses = Losses::default();
        let now = Now { mono_us: 0, unix_us: 0 };
        let waits: Vec<u64> = (0..10)
            .map(|_| {
                losses.record_setback("a", 1, now);
                losses.not_before_ms("a", 1)
            })
            .collect();
        assert_eq!(
            waits,
            [0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]
        );
        assert_eq!(losses.not_before_ms("a", 2), 0, "another replica is not punished");

        for _ in 0..3 {
            losses.record_setback("a", 0, now);
        }
        assert_eq!(losses.not_before_ms("a", 0), 0, "it may have been three of them");

        losses.forgive("a", 1);
        assert_eq!(losses.not_before_ms("a", 1), 0);
    }
}
