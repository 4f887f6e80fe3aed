//! WAIT: clients that want to know how many replicas have their writes.

use base::{Now, Offset};

use crate::effect::{Effect, WaiterId};

#[derive(Debug)]
struct Waiting {
    waiter: WaiterId,
    /// The offset that must be acknowledged.
    offset: Offset,
    replicas: usize,
    deadline_ms: Option<u64>,
}

/// The clients blocked in WAIT. Bounded by the number of clients.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    waiting: Vec<Waiting>,
}

impl Waits {
    pub(crate) fn add(&mut self, waiter: WaiterId, offset: Offset, replicas: usize, deadline_ms: Option<u64>) {
        self.waiting.push(Waiting {
            waiter,
            offset,
            replicas,
            deadline_ms,
        });
    }

    /// The client went, or was unblocked by another.
    pub(crate) fn remove(&mut self, waiter: WaiterId) {
        self.waiting.retain(|waiting| waiting.waiter != waiter);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Answers those who have what they want, given how many replicas acknowledged an offset.
    pub(crate) fn settle(&mut self, acknowledged: impl Fn(Offset) -> usize, effects: &mut Vec<Effect>) {
        self.answer(effects, |waiting| {
            let replicas = acknowledged(waiting.offset);
            (replicas >= waiting.replicas).then_some(replicas)
        });
    }

    /// Answers those who have waited long enough.
    pub(crate) fn expire(&mut self, now: Now, acknowledged: impl Fn(Offset) -> usize, effects: &mut Vec<Effect>) {
        let now_ms = now.mono_ms();
        self.answer(effects, |waiting| {
            waiting
                .deadline_ms
                .is_some_and(|deadline| now_ms >= deadline)
                .then(|| acknowledged(waiting.offset))
        });
    }

    fn answer(&mut self, effects: &mut Vec<Effect>, mut answer: impl FnMut(&Waiting) -> Option<usize>) {
        self.waiting.retain(|waiting| match answer(waiting) {
            Some(replicas) => {
                effects.push(Effect::WaitDone {
                    waiter: waiting.waiter,
                    replicas,
                });
                false
            }
            None => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_its_replicas_or_its_time() {
        let mut waits = Waits::default();
        let mut effects = Vec::new();
        waits.add(WaiterId(1), Offset(100), 1, None);
        waits.add(WaiterId(2), Offset(100), 2, Some(50));
        waits.add(WaiterId(3), Offset(200), 1, None);

        waits.settle(|offset| usize::from(offset <= Offset(100)), &mut effects);
        assert_eq!(
            effects,
            [Effect::WaitDone {
                waiter: WaiterId(1),
                replicas: 1
            }]
        );

        effects.clear();
        waits.expire(
            Now {
                mono_us: 49_999,
                unix_us: 0,
            },
            |_| 1,
            &mut effects,
        );
        assert_eq!(effects, []);
        waits.expire(
            Now {
                mono_us: 50_000,
                unix_us: 0,
            },
            |_| 1,
            &mut effects,
        );
        assert_eq!(
            effects,
            [Effect::WaitDone {
                waiter: WaiterId(2),
                replicas: 1
            }]
        );

        waits.remove(WaiterId(3));
        assert!(waits.is_empty());
    }
}
