//! The options that SET and GETEX share.

use crate::{ArgsExt, Error, Result};
use base::{Millis, Now};
use resp::Args;

/// Whose options they are: not all go with both.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Set,
    GetEx,
}

/// What must be true of the key for SET to go ahead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Absent,
    Present,
}

/// What is to become of the expiry, the time still as text.
#[derive(Clone, Copy)]
pub(crate) enum Expiration<'a> {
    Keep,
    Persist,
    AfterSeconds(&'a [u8]),
    AfterMillis(&'a [u8]),
    AtSeconds(&'a [u8]),
    AtMillis(&'a [u8]),
}

impl Expiration<'_> {
    /// Whether it names a moment rather than a time from now.
    pub(crate) fn is_moment(self) -> bool {
        matches!(self, Self::AtSeconds(_) | Self::AtMillis(_))
    }

    /// The moment it stands for; `None` for KEEPTTL and PERSIST. `command` is named in the error.
    pub(crate) fn deadline(self, command: &str, now: Now) -> Result<Option<Millis>> {
        let (text, unit_ms) = match self {
            Self::Keep | Self::Persist => return Ok(None),
            Self::AfterSeconds(text) | Self::AtSeconds(text) => (text, 1000),
            Self::AfterMillis(text) | Self::AtMillis(text) => (text, 1),
        };
        let from = if self.is_moment() { 0 } else { now.unix_ms().0 };
        let time = base::number::parse_i64(text).ok_or(Error::NotAnInteger)?;
        let at = time.checked_mul(unit_ms).and_then(|ms| ms.checked_add(from));
        match at {
            Some(at) if time > 0 => Ok(Some(Millis(at))),
            _ => Err(invalid_expire_time(command)),
        }
    }
}

/// The error of a time that is not positive, or too large.
pub(crate) fn invalid_expire_time(command: &str) -> Error {
    Error::err(format_args!("invalid expire time in '{command}' command"))
}

/// The options of one request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options<'a> {
    pub(crate) condition: Option<Condition>,
    pub(crate) get: bool,
    pub(crate) expiration: Option<Expiration<'a>>,
}

impl<'a> Options<'a> {
    /// Reads the words from `at` on. An option may be repeated, the last time given counts; different ones of a kind
    /// exclude each other.
    #[inline]
    pub(crate) fn parse(args: Args<'a>, at: usize, target: Target) -> Result<Self> {
        if at == args.len() {
            return Ok(Self::default());
        }
        Self::parse_some(args, at, target)
    }

    fn parse_some(args: Args<'a>, mut at: usize, target: Target) -> Result<Self> {
        let mut options = Self::default();
        while at < args.len() {
            let next = args.try_get(at + 1);
            if target == Target::Set && args.is(at, "nx") {
                options.require(Condition::Absent)?;
            } else if target == Target::Set && args.is(at, "xx") {
                options.require(Condition::Present)?;
            } else if target == Target::Set && args.is(at, "get") {
                options.get = true;
            } else {
                let expiration = match (args.get(at).to_ascii_lowercase().as_slice(), next) {
                    (b"keepttl", _) if target == Target::Set => Expiration::Keep,
                    (b"persist", _) if target == Target::GetEx => Expiration::Persist,
                    (b"ex", Some(time)) => Expiration::AfterSeconds(time),
                    (b"px", Some(time)) => Expiration::AfterMillis(time),
                    (b"exat", Some(time)) => Expiration::AtSeconds(time),
                    (b"pxat", Some(time)) => Expiration::AtMillis(time),
                    _ => return Err(Error::Syntax),
                };
                at += usize::from(!matches!(expiration, Expiration::Keep | Expiration::Persist));
                options.expire(expiration)?;
            }
            at += 1;
        }
        Ok(options)
    }

    fn require(&mut self, condition: Condition) -> Result {
        if self.condition.is_some_and(|other| other != condition) {
            return Err(Error::Syntax);
        }
        self.condition = Some(condition);
        Ok(())
    }

    fn expire(&mut self, expiration: Expiration<'a>) -> Result {
        let kind = std::mem::discriminant(&expiration);
        if self
            .expiration
            .is_some_and(|other| std::mem::discriminant(&other) != kind)
        {
            return Err(Error::Syntax);
        }
        self.expiration = Some(expiration);
        Ok(())
    }

    /// The moment of the expiry asked for, if one is.
    pub(crate) fn deadline(&self, command: &str, now: Now) -> Result<Option<Millis>> {
        self.expiration
            .map_or(Ok(None), |expiration| expiration.deadline(command, now))
    }
}
