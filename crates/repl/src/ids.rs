//! The names of a server's replication history, and how they change.
//!
//! ```text
//!   offset 0 ─────────── A ───────────┬────────── B ──────────▶ end
//!                                     │
//!                             second_offset: the history called A
//!                             is ours up to here, B is ours for good
//! ```
//!
//! A history is an id and the bytes written under it. When a replica is promoted it opens a history of its own, but what
//! it wrote before is still its old primary's: it keeps that id as the *second* one, with the offset up to which it is
//! valid, so that its siblings can go on without copying everything again.

use base::{Offset, ReplId, Rng};

/// A server's replication ids: `master_replid`, `master_replid2` and `second_repl_offset` of INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    id: ReplId,
    second: Option<Second>,
}

/// An older id that a prefix of our history also bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second {
    /// The older id.
    pub id: ReplId,
    /// The first offset that a replica of that history may ask for and no longer get under its own id plus one: the
    /// protocol counts here as PSYNC does, by the next byte wanted.
    pub valid_to: Offset,
}

impl History {
    /// A history that nobody shares yet.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            id: ReplId::random(rng),
            second: None,
        }
    }

    /// The current id.
    #[must_use]
    pub fn id(&self) -> ReplId {
        self.id
    }

    /// The older id, if a prefix of the history still bears one.
    #[must_use]
    pub fn second(&self) -> Option<Second> {
        self.second
    }

    /// Leaves the past behind: a new id, and no claim to any older one. What follows the loss of the backlog, or a
    /// dataset that came from nowhere.
    pub fn start_over(&mut self, rng: &mut Rng) {
        *self = Self::new(rng);
    }

    /// Takes over a primary's history whole, after a full resynchronization.
    pub fn adopt(&mut self, id: ReplId) {
        *self = Self { id, second: None };
    }

    /// Our primary answered `+CONTINUE` with an id we did not ask for: the same bytes, a new name from `at` on.
    pub fn continue_as(&mut self, id: ReplId, at: Offset) {
        self.second = Some(Second {
            id: self.id,
            valid_to: at.plus(1),
        });
        self.id = id;
    }

    /// We were a replica at offset `at` and write a history of our own from here.
    pub fn promote(&mut self, at: Offset, rng: &mut Rng) {
        self.continue_as(ReplId::random(rng), at);
    }

    /// A restarted primary read its old id and offset from its file. It may have lost what came after the file, so it
    /// goes on under a new id and serves the old one up to where the file ends.
    pub fn resume_as_primary(&mut self, saved: ReplId, at: Offset, rng: &mut Rng) {
        *self = Self {
            id: ReplId::random(rng),
            second: Some(Second {
                id: saved,
                valid_to: at.plus(1),
            }),
        };
    }

    /// `second_repl_offset` as INFO prints it: -1 when there is no second id.
    #[must_use]
    pub fn second_offset_number(&self) -> i64 {
        // An offset is a count of bytes sent over a network: it cannot reach 2⁶³.
        self.second.map_or(-1, |second| second.valid_to.0 as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: u8) -> ReplId {
        ReplId::parse(&[digit; 40]).unwrap()
    }

    #[test]
    fn a_promotion_keeps_the_old_name_for_the_siblings() {
        let mut rng = Rng::new(1);
        let mut history = History::new(&mut rng);
        history.adopt(id(b'a'));
        assert_eq!(history.second_offset_number(), -1);

        history.promote(Offset(1165), &mut rng);
        assert_ne!(history.id(), id(b'a'));
        assert_eq!(
            history.second(),
            Some(Second {
                id: id(b'a'),
                valid_to: Offset(1166)
            })
        );
        assert_eq!(history.second_offset_number(), 1166);
    }

    #[test]
    fn a_continue_with_a_new_id_shifts() {
        let mut history = History::new(&mut Rng::new(1));
        history.adopt(id(b'a'));
        history.continue_as(id(b'b'), Offset(10));
        history.continue_as(id(b'c'), Offset(20));
        assert_eq!(history.id(), id(b'c'));
        assert_eq!(
            history.second(),
            Some(Second {
                id: id(b'b'),
                valid_to: Offset(21)
            }),
            "only one older id is kept"
        );
    }

    #[test]
    fn a_full_resync_and_a_fresh_start_forget_the_past() {
        let mut rng = Rng::new(1);
        let mut history = History::new(&mut rng);
        history.promote(Offset(5), &mut rng);
        history.adopt(id(b'd'));
        assert_eq!((history.id(), history.second()), (id(b'd'), None));

        history.promote(Offset(9), &mut rng);
        history.start_over(&mut rng);
        assert_eq!(history.second(), None);
        assert_ne!(history.id(), id(b'd'));
    }

    #[test]
    fn a_restarted_primary_serves_its_old_id_up_to_its_file() {
        let mut rng = Rng::new(1);
        let mut history = History::new(&mut rng);
        history.resume_as_primary(id(b'e'), Offset(100), &mut rng);
        assert_ne!(history.id(), id(b'e'));
        assert_eq!(
            history.second(),
            Some(Second {
                id: id(b'e'),
                valid_to: Offset(101)
            })
        );
    }
}
