//! Time as logic sees it: handed in, never read.

/// Milliseconds since the Unix epoch. Negative before it, as the protocol allows for expiries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// This time, `ms` later (saturating).
    #[must_use]
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; negative when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// The clocks at one moment of the event loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, microseconds since the Unix epoch. May jump.
    pub unix_us: i64,
    /// Monotonic clock, microseconds since some fixed moment.
    pub mono_us: u64,
}

impl Now {
    /// The wall clock in milliseconds: what expiries are compared with.
    #[must_use]
    pub fn unix_ms(self) -> Millis {
        Millis(self.unix_us.div_euclid(1000))
    }

    /// The monotonic clock in milliseconds: what timeouts are measured with.
    #[must_use]
    pub fn mono_ms(self) -> u64 {
        self.mono_us / 1000
    }
}
