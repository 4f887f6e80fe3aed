//! Full or partial: what a replica that asks `PSYNC <id> <next byte>` gets.
//!
//! One pure function. The protocol asks for the *next* byte; [`Offset`] here is the last byte had, one less.

use std::fmt;

use base::Offset;

use crate::ids::History;

/// What the backlog still holds: every byte after `start`, up to and including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The last offset that is gone.
    pub start: Offset,
    /// The last offset written.
    pub end: Offset,
}

/// The answer to a PSYNC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The replica has everything up to `from` and gets the bytes after it.
    Continue {
        /// The replica's own offset.
        from: Offset,
    },
    /// The replica needs the whole dataset.
    Full(Refusal),
}

/// Why a partial resynchronization is not possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The replica asked for a full one (`PSYNC ? -1`, or the old SYNC).
    NotAsked,
    /// Its history is not ours.
    OtherHistory {
        /// The id it named.
        asked: String,
    },
    /// It went on under our older id past the point where our history left that.
    Diverged {
        /// The next byte it wants.
        asked: i64,
        /// The last such number we could serve.
        valid_to: Offset,
    },
    /// The bytes it misses are no longer, or not yet, in the backlog.
    OutOfBacklog {
        /// The next byte it wants.
        asked: i64,
        /// It wants a byte we have not written.
        ahead: bool,
    },
}

/// Decides on `PSYNC <asked_id> <asked_next>`. `kept` is `None` while there is no backlog.
#[must_use]
pub fn decide(asked_id: &[u8], asked_next: i64, history: &History, kept: Option<Kept>) -> Decision {
    if asked_id == b"?" {
        return Decision::Full(Refusal::NotAsked);
    }
    if !asked_id.eq_ignore_ascii_case(history.id().as_bytes()) {
        match history.second() {
            Some(second) if asked_id.eq_ignore_ascii_case(second.id.as_bytes()) => {
                if asked_next > second.valid_to.0 as i64 {
                    return Decision::Full(Refusal::Diverged {
                        asked: asked_next,
                        valid_to: second.valid_to,
                    });
                }
            }
            _ => {
                let asked = String::from_utf8_lossy(asked_id).into_owned();
                return Decision::Full(Refusal::OtherHistory { asked });
            }
        }
    }
    let ahead = |end: Offset| asked_next > 0 && asked_next as u64 > end.0 + 1;
    match kept {
        Some(Kept { start, end }) if asked_next > start.0 as i64 && !ahead(end) => Decision::Continue {
            from: Offset(asked_next as u64 - 1),
        },
        _ => Decision::Full(Refusal::OutOfBacklog {
            asked: asked_next,
            ahead: kept.is_some_and(|kept| ahead(kept.end)),
        }),
    }
}

/// A refusal as the log says it, with whom it concerns. The wording is the one operators and test suites search for.
pub struct RefusalLog<'a> {
    /// Why.
    pub refusal: &'a Refusal,
    /// The replica's address as the log names it.
    pub replica: &'a str,
    /// Our ids.
    pub history: &'a History,
}

impl fmt::Display for RefusalLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replica = self.replica;
        match self.refusal {
            Refusal::NotAsked => write!(f, "Full resync requested by replica {replica}"),
            Refusal::OtherHistory { asked } => {
                let second = self.history.second().map_or(base::ReplId::NONE, |second| second.id);
                write!(
                    f,
                    "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '{asked}', my \
                     replication IDs are '{}' and '{second}')",
                    self.history.id()
                )
            }
            Refusal::Diverged { asked, valid_to } => write!(
                f,
                "Partial resynchronization not accepted: Requested offset for second ID was {asked}, but I can reply \
                 up to {valid_to}"
            ),
            Refusal::OutOfBacklog { asked, ahead } => {
                write!(
                    f,
                    "Unable to partial resync with replica {replica} for lack of backlog (Replica request was: {asked})."
                )?;
                if *ahead {
                    f.write_str(" It asked for more than the master replication offset.")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{ReplId, Rng};

    use super::*;

    const OURS: [u8; 40] = [b'a'; 40];
    const OLDER: [u8; 40] = [b'b'; 40];

    /// Our history is `b` up to offset 100 and `a` since; the backlog holds 51..=200.
    fn ask(id: &[u8], next: i64) -> Decision {
        let mut history = History::new(&mut Rng::new(1));
        history.adopt(ReplId::parse(&OLDER).unwrap());
        history.continue_as(ReplId::parse(&OURS).unwrap(), Offset(100));
        decide(
            id,
            next,
            &history,
            Some(Kept {
                start: Offset(50),
                end: Offset(200),
            }),
        )
    }

    #[test]
    fn the_whole_backlog_is_served_and_not_a_byte_more() {
        assert_eq!(ask(&OURS, 51), Decision::Continue { from: Offset(50) });
        assert_eq!(
            ask(&OURS, 201),
            Decision::Continue { from: Offset(200) },
            "nothing missing is a continue too"
        );
        for next in [i64::MIN, -1, 0, 50] {
            let refused = Refusal::OutOfBacklog {
                asked: next,
                ahead: false,
            };
            assert_eq!(ask(&OURS, next), Decision::Full(refused));
        }
        for next in [202, i64::MAX] {
            assert_eq!(
                ask(&OURS, next),
                Decision::Full(Refusal::OutOfBacklog {
                    asked: next,
                    ahead: true
                })
            );
        }
    }

    #[test]
    fn the_older_id_is_served_up_to_where_we_left_it() {
        assert_eq!(ask(&OLDER, 101), Decision::Continue { from: Offset(100) });
        let refused = Refusal::Diverged {
            asked: 102,
            valid_to: Offset(101),
        };
        assert_eq!(ask(&OLDER, 102), Decision::Full(refused));
    }

    #[test]
    fn ids_compare_without_case_and_strangers_are_refused() {
        assert_eq!(ask(&[b'A'; 40], 60), Decision::Continue { from: Offset(59) });
        assert_eq!(
            ask(b"foo", 60),
            Decision::Full(Refusal::OtherHistory { asked: "foo".into() })
        );
        assert_eq!(ask(b"?", -1), Decision::Full(Refusal::NotAsked));
    }

    #[test]
    fn without_a_backlog_nothing_is_partial() {
        let history = History::new(&mut Rng::new(1));
        let asked = decide(history.id().as_bytes(), 1, &history, None);
        assert_eq!(asked, Decision::Full(Refusal::OutOfBacklog { asked: 1, ahead: false }));
    }

    #[test]
    fn the_log_speaks_the_words_operators_search_for() {
        let mut history = History::new(&mut Rng::new(1));
        history.adopt(ReplId::parse(&OURS).unwrap());
        let log = |refusal: Refusal| {
            RefusalLog {
                refusal: &refusal,
                replica: "10.0.0.1:6379",
                history: &history,
            }
            .to_string()
        };
        assert_eq!(log(Refusal::NotAsked), "Full resync requested by replica 10.0.0.1:6379");
        assert_eq!(
            log(Refusal::OtherHistory { asked: "foo".into() }),
            "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for 'foo', my replication \
             IDs are 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' and '0000000000000000000000000000000000000000')"
        );
        assert_eq!(
            log(Refusal::Diverged {
                asked: 7,
                valid_to: Offset(5)
            }),
            "Partial resynchronization not accepted: Requested offset for second ID was 7, but I can reply up to 5"
        );
        assert_eq!(
            log(Refusal::OutOfBacklog { asked: 7, ahead: false }),
            "Unable to partial resync with replica 10.0.0.1:6379 for lack of backlog (Replica request was: 7)."
        );
    }
}
