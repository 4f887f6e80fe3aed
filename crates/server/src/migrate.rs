//! Connections to other servers, for MIGRATE: made when needed, kept for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::commands::migrate::{Failure, Job, Outcome, Target};
use net::{BlockingStream, Clock};
use node::replication::LinkEnd;

use crate::link;

/// How long a connection is kept without use.
const KEPT_MS: u64 = 10_000;

/// How many connections are kept.
const MOST_KEPT: usize = 64;

/// A connection that is not in use.
struct Idle {
    target: Target<BlockingStream>,
    used_ms: u64,
}

/// The connections that are kept, by the other server's name and port. Shared by the threads that use them.
#[derive(Clone, Default)]
pub struct Targets {
    idle: Arc<Mutex<BTreeMap<(String, u16), Idle>>>,
}

impl Targets {
    /// How many there are; those kept for long enough are closed.
    #[must_use]
    pub fn count(&self) -> usize {
        // A thread that panicked held no half-made change: each is one call of the map.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = Clock.mono_us() / 1000;
        idle.retain(|_, one| now_ms < one.used_ms + KEPT_MS);
        idle.len()
    }

    fn take(&self, job: &Job) -> Option<Target<BlockingStream>> {
        // What is too old is closed.
        let _ = self.count();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.remove(&(job.host.clone(), job.port)).map(|one| one.target)
    }

    fn keep(&self, job: &Job, target: Target<BlockingStream>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_KEPT {
            let used_ms = Clock.mono_us() / 1000;
            idle.insert((job.host.clone(), job.port), Idle { target, used_ms });
        }
    }

    /// Sends the keys of a job, over a connection that is kept or a new one.
    #[must_use]
    pub fn run(&self, job: &Job) -> Outcome {
        if let Some(mut target) = self.take(job) {
            let timeout = Duration::from_millis(job.timeout_ms);
            target.stream.set_timeout(timeout);
            let began_us = Clock.mono_us();
            let outcome = target.run(job);
            let broke = matches!(outcome.failure, Some(Failure::Read | Failure::Write));
            let in_time = Clock.mono_us().saturating_sub(began_us) < job.timeout_ms.saturating_mul(1000);
            if !broke {
                self.keep(job, target);
                return outcome;
            }
            // The other server closes connections too: that of a connection that was kept is no failure yet.
            if !outcome.arrived.is_empty() || !in_time {
                return outcome;
            }
        }
        match connect(job) {
            Ok(mut target) => {
                let outcome = target.run(job);
                if !matches!(outcome.failure, Some(Failure::Read | Failure::Write)) {
                    self.keep(job, target);
                }
                outcome
            }
            Err(failure) => Outcome {
                failure: Some(failure),
                ..Outcome::default()
            },
        }
    }
}

fn connect(job: &Job) -> Result<Target<BlockingStream>, Failure> {
    let timeout = Duration::from_millis(job.timeout_ms);
    match link::connect(&job.host, job.port, None, timeout) {
        Ok(stream) => {
            // Without it the last piece may wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            Ok(Target {
                stream: BlockingStream::new(stream, timeout, || false),
                db: None,
            })
        }
        // Stock servers find out when they write.
        Err(LinkEnd::Refused(_)) => Err(Failure::Write),
        Err(_) => Err(Failure::Connect),
    }
}
