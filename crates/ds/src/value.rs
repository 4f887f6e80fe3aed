//! Values as they come in and as they are looked at, however an entry keeps them.

use base::number;

use crate::account::Ledger;
use crate::chunked::ChunkedString;
use crate::entry::Payload;

/// Values up to this many bytes lie in their entry; longer ones are chunked.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// What kind of value a key holds, as `TYPE` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// A string, in whatever encoding.
    String,
}

impl Type {
    /// The name that `TYPE` answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
        }
    }
}

/// How a value is stored, as `OBJECT ENCODING` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// A 64-bit integer.
    Int,
    /// A string of at most 44 bytes, as it was set.
    Embstr,
    /// A longer string, or one that was changed in place.
    Raw,
}

impl Encoding {
    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Embstr => "embstr",
            Self::Raw => "raw",
        }
    }
}

/// A value as readers see it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// A string that is a canonical 64-bit integer.
    Int(i64),
    /// A string up to [`INLINE_BYTES_MAX`].
    Bytes(&'a [u8]),
    /// A longer string.
    Chunked(&'a ChunkedString),
}

/// A value as writers hand it in.
#[derive(Clone, Copy, Debug)]
pub enum NewValue<'a> {
    /// A string; kept as an integer when its text is canonical.
    Bytes(&'a [u8]),
    /// A string that stays one.
    RawBytes(&'a [u8]),
    /// An integer.
    Int(i64),
}

/// Hands `value` on in the form it will be stored in.
pub(crate) fn with_payload<R>(
    value: NewValue<'_>,
    ledger: &mut Ledger,
    then: impl FnOnce(Payload<'_>, &mut Ledger) -> R,
) -> R {
    let bytes = match value {
        NewValue::Int(number) => return then(Payload::Int(number), ledger),
        NewValue::Bytes(bytes) => {
            if let Some(number) = number::parse_i64(bytes) {
                return then(Payload::Int(number), ledger);
            }
            bytes
        }
        NewValue::RawBytes(bytes) => bytes,
    };
    let payload = if bytes.len() > INLINE_BYTES_MAX {
        Payload::Chunked(ChunkedString::new(&[bytes], ledger))
    } else {
        Payload::Bytes {
            parts: &[bytes],
            raw: false,
        }
    };
    then(payload, ledger)
}
