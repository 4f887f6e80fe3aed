//! What the poller's tokens stand for.
//!
//! ```text
//!   63 … 60  59 ……………… 32  31 ……………… 0
//!   [ kind ][  number     ][  index    ]
//! ```

use engine::SessionId;

/// Whose socket is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A thread's result or a signal.
    Wake,
    /// A listener, by its index.
    Listener(u32),
    /// The connection to the primary; the number tells one attempt from the next.
    Link(u32),
    /// A client's connection: its session's slot, and the low bits of the session's number, so that an event of a
    /// session that is gone does not hit the next one in its slot.
    Session(u32, u32),
}

const NUMBER_BITS: u32 = 28;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

impl Token {
    /// The token of a session.
    #[must_use]
    pub fn session(id: SessionId) -> Self {
        Self::Session(id.slot, (id.number & NUMBER_MASK) as u32)
    }

    /// Whether this is the token of the session `id`.
    #[must_use]
    pub fn fits(self, id: SessionId) -> bool {
        self == Self::session(id)
    }

    /// As the poller keeps it.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        let (kind, number, index) = match self {
            Self::Wake => (0, 0, 0),
            Self::Listener(index) => (1, 0, index),
            Self::Link(attempt) => (2, 0, attempt),
            Self::Session(slot, number) => (3, number, slot),
        };
        (kind << 60) | (u64::from(number) << 32) | u64::from(index)
    }

    /// As [`Self::to_u64`] made it.
    #[must_use]
    pub fn from_u64(token: u64) -> Self {
        let index = token as u32;
        match token >> 60 {
            1 => Self::Listener(index),
            2 => Self::Link(index),
            3 => Self::Session(index, ((token >> 32) & NUMBER_MASK) as u32),
            _ => Self::Wake,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_poller() {
        let id = SessionId {
            slot: u32::MAX,
            number: u64::MAX - 5,
        };
        for token in [
            Token::Wake,
            Token::Listener(3),
            Token::Link(u32::MAX),
            Token::session(id),
        ] {
            assert_eq!(Token::from_u64(token.to_u64()), token);
        }
        assert!(Token::session(id).fits(id));
        assert!(!Token::session(id).fits(SessionId {
            slot: u32::MAX,
            number: 4
        }));
    }
}
