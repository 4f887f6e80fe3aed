//! Holding clients back for a while: CLIENT PAUSE, a shutdown that waits for replicas, a failover.

/// Whose commands are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseKind {
    /// Those that may write.
    Write,
    /// All.
    All,
}

/// Who holds clients back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PausePurpose {
    /// CLIENT PAUSE.
    Command = 0,
    /// SHUTDOWN waiting for replicas.
    Shutdown = 1,
    /// FAILOVER waiting for its target.
    Failover = 2,
    /// MIGRATE waiting for the other server.
    Migration = 3,
}

/// All pauses in force. They overlap; the strictest rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses {
    by_purpose: [Option<(PauseKind, u64)>; 4],
}

impl Pauses {
    /// Begins a pause that ends at `until_ms` (monotonic), or makes one of the same purpose stricter and longer.
    pub fn begin(&mut self, purpose: PausePurpose, kind: PauseKind, until_ms: u64) {
        let slot = &mut self.by_purpose[purpose as usize];
        *slot = Some(match *slot {
            Some((old_kind, old_until)) => (old_kind.max(kind), old_until.max(until_ms)),
            None => (kind, until_ms),
        });
    }

    /// Ends a pause.
    pub fn end(&mut self, purpose: PausePurpose) {
        self.by_purpose[purpose as usize] = None;
    }

    /// Ends the pauses whose time has come; whether any did.
    pub fn end_due(&mut self, mono_ms: u64) -> bool {
        let mut ended = false;
        for slot in &mut self.by_purpose {
            if slot.is_some_and(|(_, until)| until <= mono_ms) {
                *slot = None;
                ended = true;
            }
        }
        ended
    }

    /// The strictest pause in force.
    #[must_use]
    pub fn in_force(&self) -> Option<PauseKind> {
        self.by_purpose.iter().flatten().map(|(kind, _)| *kind).max()
    }

    /// Whether any is in force.
    #[must_use]
    #[inline]
    pub fn are_any(&self) -> bool {
        self.by_purpose.iter().any(Option::is_some)
    }

    /// When the first pause in force ends, monotonic ms.
    #[must_use]
    pub fn next_end_ms(&self) -> Option<u64> {
        self.by_purpose.iter().flatten().map(|(_, until)| *until).min()
    }
}
