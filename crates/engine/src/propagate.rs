//! Effects on their way to the replication stream.
//!
//! ```text
//!   one top-level execution        what the stream gets
//!   ─────────────────────────      ─────────────────────────────────────
//!   no effect                      nothing
//!   one effect in db 3             [SELECT 3]  effect
//!   several effects                [SELECT 3]  MULTI  effect … [SELECT n] effect  EXEC
//!   of a command that only reads   [SELECT 3]  DEL    DEL …
//! ```
//!
//! SELECT goes out only when the stream stands in another database. Effects of one execution are gathered in `unit`
//! and moved to `ready` by [`Propagation::end_unit`]; whoever owns the stream takes `ready`.

use base::{DbIndex, Offset};
use resp::Args;

/// Gathers the effects of executions as bytes of the replication stream.
#[derive(Default)]
pub struct Propagation {
    /// Off while nobody listens (no backlog, no log), and on a replica, whose stream is its primary's.
    enabled: bool,
    /// The effects of the execution under way, with the SELECTs between them but for the first.
    unit: Vec<u8>,
    unit_effects: usize,
    unit_first_db: DbIndex,
    unit_last_db: DbIndex,
    /// Whole units, ready for the stream.
    ready: Vec<u8>,
    /// The database that the stream stands in; `None` where a reader may begin, so that a SELECT follows.
    stream_db: Option<DbIndex>,
    /// The stream offset at which `ready` begins.
    ready_from: Offset,
}

impl Propagation {
    /// Turns gathering on or off. Effects of an execution under way must not exist.
    pub fn set_enabled(&mut self, enabled: bool) {
        assert!(
            self.unit_effects == 0,
            "propagation switched in the middle of an execution"
        );
        self.enabled = enabled;
    }

    /// Whether effects are gathered.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Makes the next effect name its database, because a reader may begin here.
    pub fn forget_database(&mut self) {
        self.stream_db = None;
    }

    /// The database that the stream stands in, if it has named one.
    #[must_use]
    pub fn stream_db(&self) -> Option<DbIndex> {
        self.stream_db
    }

    /// Sets the database that the stream stands in: a promoted replica goes on where its primary's stream ended.
    pub fn set_stream_db(&mut self, db: Option<DbIndex>) {
        self.stream_db = db;
    }

    /// Adds an effect given as words.
    pub fn effect(&mut self, db: DbIndex, words: &[&[u8]]) {
        if self.begin_effect(db) {
            resp::write_command(&mut self.unit, words.iter());
        }
    }

    /// Adds a request as it came.
    #[inline]
    pub fn verbatim(&mut self, db: DbIndex, args: Args<'_>) {
        if self.begin_effect(db) {
            args.write_to(&mut self.unit);
        }
    }

    /// How many effects the execution under way has.
    #[must_use]
    pub fn unit_effects(&self) -> usize {
        self.unit_effects
    }

    #[inline]
    fn begin_effect(&mut self, db: DbIndex) -> bool {
        if !self.enabled {
            return false;
        }
        if self.unit_effects == 0 {
            self.unit_first_db = db;
        } else if self.unit_last_db != db {
            write_select(&mut self.unit, db);
        }
        self.unit_last_db = db;
        self.unit_effects += 1;
        true
    }

    /// Ends a top-level execution: its effects become ready, as one transaction if there are several.
    #[inline]
    pub fn end_unit(&mut self) {
        if self.unit_effects > 0 {
            self.finish(Together::Always);
        }
    }

    /// Ends the execution of a command that only reads. What it leaves are expired keys that it came upon: each is a
    /// change of its own.
    #[inline]
    pub fn end_unit_of_reading(&mut self) {
        if self.unit_effects > 0 {
            self.finish(Together::Never);
        }
    }

    /// Forgets the effects of the execution under way; whether there were any.
    pub fn drop_unit(&mut self) -> bool {
        self.unit.clear();
        std::mem::take(&mut self.unit_effects) > 0
    }

    /// Makes the effects of the execution under way ready, of which there are some.
    fn finish(&mut self, together: Together) {
        if self.stream_db != Some(self.unit_first_db) {
            write_select(&mut self.ready, self.unit_first_db);
        }
        let several = self.unit_effects > 1 && together == Together::Always;
        if several {
            resp::write_command(&mut self.ready, ["MULTI"].iter());
        }
        self.ready.extend_from_slice(&self.unit);
        if several {
            resp::write_command(&mut self.ready, ["EXEC"].iter());
        }
        self.stream_db = Some(self.unit_last_db);
        self.unit.clear();
        self.unit_effects = 0;
    }

    /// The bytes that are ready for the stream.
    #[must_use]
    pub fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// The stream offset after everything that is ready.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.ready_from.plus(self.ready.len() as u64)
    }

    /// Tells where the stream stands: nothing may be ready.
    pub fn set_offset(&mut self, offset: Offset) {
        assert!(self.ready.is_empty(), "the stream moved under effects that are ready");
        self.ready_from = offset;
    }

    /// Forgets the ready bytes after the stream has taken them over; keeps the space.
    pub fn clear_ready(&mut self) {
        self.ready_from = self.offset();
        self.ready.clear();
        if self.ready.capacity() > 1 << 17 {
            self.ready.shrink_to(1 << 16);
        }
    }
}

/// Whether several effects are one transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Together {
    Always,
    Never,
}

fn write_select(out: &mut Vec<u8>, db: DbIndex) {
    let mut digits = Vec::with_capacity(10);
    base::number::write_i64(&mut digits, i64::from(db.0));
    resp::write_command(out, [b"SELECT".as_slice(), &digits].iter());
}
