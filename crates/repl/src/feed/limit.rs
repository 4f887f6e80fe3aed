//! How far behind a replica may fall. Only unsent bytes of the stream count.

use crate::settings::{LimitOrigin, OutputLimit, Settings};

/// Remembers since when one replica has been over its soft limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    over_soft_since_ms: Option<u64>,
}

impl Meter {
    /// The limit that `unsent_bytes` break at `now_ms`, if any.
    pub(super) fn exceeded(&mut self, limit: OutputLimit, unsent_bytes: u64, now_ms: u64) -> Option<u64> {
        if limit.hard_bytes != 0 && unsent_bytes > limit.hard_bytes {
            return Some(limit.hard_bytes);
        }
        if limit.soft_bytes == 0 || unsent_bytes <= limit.soft_bytes {
            self.over_soft_since_ms = None;
            return None;
        }
        let since = *self.over_soft_since_ms.get_or_insert(now_ms);
        (now_ms.saturating_sub(since) > limit.soft_seconds * 1000).then_some(limit.soft_bytes)
    }
}

/// The limit of a replica that is in step. Less than the backlog makes no sense: that much is kept anyway.
pub(super) fn in_step(settings: &Settings) -> OutputLimit {
    let at_least_backlog = |limit: u64| {
        if limit == 0 {
            0
        } else {
            limit.max(settings.backlog_bytes)
        }
    };
    OutputLimit {
        hard_bytes: at_least_backlog(settings.replica_limit.hard_bytes),
        soft_bytes: at_least_backlog(settings.replica_limit.soft_bytes),
        soft_seconds: settings.replica_limit.soft_seconds,
    }
}

/// The limit of a replica that is being synchronized, and afterwards until it has caught up: a full resynchronization
/// that has begun ends, unless the operator forbade what that takes.
pub(super) fn synchronizing(settings: &Settings, dataset_bytes: u64) -> OutputLimit {
    let in_step = in_step(settings);
    if settings.replica_limit_origin == LimitOrigin::Operator {
        return in_step;
    }
    let hard_bytes = match settings.sync_buffer_limit_bytes {
        0 if in_step.hard_bytes == 0 => 0,
        0 => dataset_bytes.max(in_step.hard_bytes),
        set => set.max(settings.backlog_bytes),
    };
    OutputLimit {
        hard_bytes,
        soft_bytes: 0,
        soft_seconds: 0,
    }
}

/// Below this a replica that was synchronized counts as caught up, and the ordinary limits hold for it.
pub(super) fn caught_up_bytes(settings: &Settings) -> u64 {
    let limit = in_step(settings);
    let smallest = [limit.soft_bytes, limit.hard_bytes]
        .into_iter()
        .filter(|&bytes| bytes != 0)
        .min();
    smallest.unwrap_or(u64::MAX) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn the_soft_limit_takes_its_time_and_forgives_a_break() {
        let limit = OutputLimit {
            hard_bytes: 100,
            soft_bytes: 50,
            soft_seconds: 10,
        };
        let mut meter = Meter::default();
        assert_eq!(meter.exceeded(limit, 101, 0), Some(100));
        assert_eq!(meter.exceeded(limit, 51, 1_000), None);
        assert_eq!(meter.exceeded(limit, 51, 11_000), None);
        assert_eq!(
            meter.exceeded(limit, 50, 11_001),
            None,
            "a moment below starts the clock again"
        );
        assert_eq!(meter.exceeded(limit, 51, 11_002), None);
        assert_eq!(meter.exceeded(limit, 51, 21_003), Some(50));
    }

    #[test]
    fn no_limit_is_no_limit() {
        let limit = OutputLimit {
            hard_bytes: 0,
            soft_bytes: 0,
            soft_seconds: 0,
        };
        assert_eq!(Meter::default().exceeded(limit, u64::MAX, u64::MAX), None);
        assert_eq!(
            synchronizing(
                &Settings {
                    replica_limit: limit,
                    ..Settings::default()
                },
                5
            )
            .hard_bytes,
            0
        );
    }

    #[test]
    fn while_it_synchronizes_a_replica_may_hold_a_dataset() {
        let mut settings = Settings::default();
        assert_eq!(synchronizing(&settings, 4096 * MB).hard_bytes, 4096 * MB);
        assert_eq!(
            synchronizing(&settings, 5).hard_bytes,
            256 * MB,
            "never less than in step"
        );
        assert_eq!(synchronizing(&settings, 5).soft_bytes, 0);

        settings.sync_buffer_limit_bytes = 10 * MB;
        assert_eq!(synchronizing(&settings, 4096 * MB).hard_bytes, 10 * MB);

        settings.replica_limit_origin = LimitOrigin::Operator;
        assert_eq!(synchronizing(&settings, 4096 * MB), settings.replica_limit);
    }

    #[test]
    fn a_limit_below_the_backlog_is_raised_to_it() {
        let limit = OutputLimit {
            hard_bytes: 1,
            soft_bytes: 0,
            soft_seconds: 0,
        };
        let settings = Settings {
            replica_limit: limit,
            ..Settings::default()
        };
        assert_eq!(
            in_step(&settings),
            OutputLimit {
                hard_bytes: MB,
                ..limit
            }
        );
    }
}
