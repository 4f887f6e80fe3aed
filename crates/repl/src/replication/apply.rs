//! Applying the primary's stream.
//!
//! ```text
//!   link_room ─► bytes ─► upcoming: shown, so that it can be fetched
//!                            └──► next_command ─► on_applied ─┐   until all that was shown is done
//!                                      ▲                      │
//!                                      └──────────────────────┤
//!                                                             ▼
//!                                                          forward: into our own stream, in one piece
//! ```

use base::Now;
use resp::Args;

use super::Replication;
use crate::effect::Effect;
use crate::link::{self, ApplyFailure, Incoming, Link};

impl Replication {
    /// Where the next bytes from the primary can be read to, behind what is there, with room for so many; `None` while
    /// they are not the stream: then see [`Self::on_link_bytes`]. Report them with [`Self::on_link_read`].
    pub fn link_room(&mut self, bytes: usize) -> Option<&mut Vec<u8>> {
        self.link.as_mut()?.room(bytes)
    }

    /// Bytes were read into [`Self::link_room`]. Afterwards apply what [`Self::next_command`] gives.
    pub fn on_link_read(&mut self, now: Now) {
        if let Some(link) = &mut self.link {
            link.on_read(now);
        }
    }

    /// The next command of the primary's stream, for the engine to apply. Report it with [`Self::on_applied`] or
    /// [`Self::on_apply_failed`] before asking for another. Whenever there is none, and whenever there are effects, all
    /// that was applied is in our own stream.
    pub fn next_command(&mut self, now: Now, effects: &mut Vec<Effect>) -> Option<Incoming<'_>> {
        let link = self.link.as_mut()?;
        let mut cx = link::Context {
            now,
            settings: &self.settings,
            resume: None,
            rng: &mut self.rng,
            effects,
        };
        let found = link.find_command(&mut cx);
        if !found || !effects.is_empty() {
            self.forward();
        }
        if !found {
            return None;
        }
        self.link.as_ref()?.command()
    }

    /// Shows some of the commands that [`Self::next_command`] is going to give, in their order, so that what they need can
    /// be fetched. There may be more, but if it shows none there are none.
    pub fn upcoming(&mut self, each: impl FnMut(Args<'_>)) {
        if let Some(link) = &mut self.link {
            link.upcoming(each);
        }
    }

    /// The command was applied, or queued in its MULTI. Our own stream has it when all that [`Self::upcoming`] shows has
    /// been applied, or with [`Self::forward`].
    pub fn on_applied(&mut self) {
        if self.link.as_mut().is_some_and(Link::on_applied) {
            self.forward();
        }
    }

    /// Appends whole units of the primary's stream that were applied, as they came: our replicas read the same bytes at
    /// the same offsets.
    pub fn forward(&mut self) {
        if let Some((units, db)) = self.link.as_mut().and_then(Link::take_passed)
            && !units.is_empty()
        {
            self.stream.append(units);
            self.stream.set_selected(Some(db));
        }
    }

    /// The command could not be applied. The link stops before it; if a part of it was applied, our data is nobody's any
    /// more and the next resynchronization is a full one.
    pub fn on_apply_failed(&mut self, now: Now, failure: ApplyFailure, effects: &mut Vec<Effect>) {
        self.forward();
        if failure.is_partial() {
            self.data_has_history = false;
        }
        if let Some(link) = &mut self.link {
            link.on_apply_failed(&mut link_context!(self, now, effects), failure);
        }
    }
}
