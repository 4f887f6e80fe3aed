//! FAILOVER: a primary hands its role to a replica without losing a write.
//!
//! ```text
//!                FAILOVER                     a replica has everything,
//!              (writes paused)                or time is up and FORCE
//!   Idle ──────────────────────▶ WaitingForSync ────────────────────▶ InProgress
//!    ▲                                │                                   │
//!    │           ABORT, or time is up │         the target took over:     │
//!    ├────────────────────────────────┘         we are its replica        │
//!    └────────────────────────────────────────────────────────────────────┘
//!                                               it refused, or ABORT: we are primary again
//! ```
//!
//! Writes stay paused from the command until `Idle` is reached again.

use base::{Now, number};
use resp::Args;

/// Where a failover goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What to do when the time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtDeadline {
    Abort,
    /// Fail over all the same: the target may lack the last writes.
    Force,
}

/// What a FAILOVER command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Abort,
    Begin {
        target: Option<Target>,
        timeout_ms: Option<u64>,
        at_deadline: AtDeadline,
    },
}

impl Request {
    /// Parses the words after FAILOVER.
    pub(crate) fn parse(args: Args<'_>) -> Result<Self, String> {
        const SYNTAX: &str = "ERR syntax error";
        const NUMBER: &str = "ERR value is not an integer or out of range";
        let (mut target, mut timeout_ms, mut at_deadline) = (None, None, AtDeadline::Abort);
        let mut at = 1;
        while let Some(word) = args.try_get(at) {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            if is(b"abort") && args.len() == 2 {
                return Ok(Self::Abort);
            } else if is(b"timeout") && at + 1 < args.len() && timeout_ms.is_none() {
                let number = number::parse_i64(args.get(at + 1)).ok_or(NUMBER)?;
                let positive = u64::try_from(number).ok().filter(|ms| *ms > 0);
                timeout_ms = Some(positive.ok_or("ERR FAILOVER timeout must be greater than 0")?);
                at += 2;
            } else if is(b"to") && at + 2 < args.len() && target.is_none() {
                let host = String::from_utf8_lossy(args.get(at + 1)).into_owned();
                let port = number::parse_i64(args.get(at + 2)).ok_or(NUMBER)?;
                // No replica listens on a number that is no port.
                target = Some(Target {
                    host,
                    port: u16::try_from(port).unwrap_or(0),
                });
                at += 3;
            } else if is(b"force") && at_deadline == AtDeadline::Abort {
                at_deadline = AtDeadline::Force;
                at += 1;
            } else {
                return Err(SYNTAX.into());
            }
        }
        Ok(Self::Begin {
            target,
            timeout_ms,
            at_deadline,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingForSync {
    /// `None`: whichever replica is first.
    pub(crate) target: Option<Target>,
    deadline_ms: Option<u64>,
    at_deadline: AtDeadline,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Failover {
    #[default]
    Idle,
    WaitingForSync(WaitingForSync),
    InProgress(Target),
}

/// What time does to a waiting failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    NotYet,
    Abort,
    Force(Target),
}

impl Failover {
    pub(crate) fn begin(now: Now, target: Option<Target>, timeout_ms: Option<u64>, at_deadline: AtDeadline) -> Self {
        let deadline_ms = timeout_ms.map(|timeout_ms| now.mono_ms().saturating_add(timeout_ms));
        Self::WaitingForSync(WaitingForSync {
            target,
            deadline_ms,
            at_deadline,
        })
    }

    /// `master_failover_state`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Idle => "no-failover",
            Self::WaitingForSync(_) => "waiting-for-sync",
            Self::InProgress(_) => "failover-in-progress",
        }
    }

    /// Whom the log says it goes to.
    pub(crate) fn target_text(&self) -> String {
        match self {
            Self::WaitingForSync(WaitingForSync {
                target: Some(target), ..
            })
            | Self::InProgress(target) => target.to_string(),
            _ => "any replica".into(),
        }
    }
}

impl WaitingForSync {
    pub(crate) fn deadline(&self, now: Now) -> Deadline {
        match (self.deadline_ms, self.at_deadline, &self.target) {
            (Some(deadline_ms), ..) if now.mono_ms() < deadline_ms => Deadline::NotYet,
            (None, ..) => Deadline::NotYet,
            (Some(_), AtDeadline::Force, Some(target)) => Deadline::Force(target.clone()),
            (Some(_), ..) => Deadline::Abort,
        }
    }
}

#[cfg(test)]
mod tests {
    use resp::OwnedArgs;

    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        Request::parse(OwnedArgs::from_words(line.split(' ')).as_args())
    }

    #[test]
    fn the_words_of_failover() {
        let target = Some(Target {
            host: "h".into(),
            port: 7,
        });
        assert_eq!(parse("FAILOVER abort"), Ok(Request::Abort));
        assert_eq!(
            parse("FAILOVER TO h 7 FORCE TIMEOUT 5"),
            Ok(Request::Begin {
                target,
                timeout_ms: Some(5),
                at_deadline: AtDeadline::Force
            })
        );
        for wrong in ["ABORT FORCE", "X", "TO h", "TIMEOUT", "FORCE FORCE", "TO a 1 TO b 2"] {
            assert_eq!(
                parse(&format!("FAILOVER {wrong}")),
                Err("ERR syntax error".into()),
                "{wrong}"
            );
        }
        assert_eq!(
            parse("FAILOVER TIMEOUT 0"),
            Err("ERR FAILOVER timeout must be greater than 0".into())
        );
        assert_eq!(
            parse("FAILOVER TO h x"),
            Err("ERR value is not an integer or out of range".into())
        );
    }
}
