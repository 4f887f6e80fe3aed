//! A string as an entry keeps it: a number, bytes in one piece, or chunks; and what commands ask of it.

use crate::error::{Error, Result};
use keyspace::{ChunkedString, Entry, ValueRef};
use resp::Reply;
use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

/// A string value, in the form it is stored.
#[derive(Clone, Copy)]
pub enum StrRef<'a> {
    /// A number, whose text is its canonical decimal form.
    Int(i64),
    /// In one piece.
    Bytes(&'a [u8]),
    /// A long one, in chunks.
    Chunked(&'a ChunkedString),
}

impl<'a> StrRef<'a> {
    /// The string of an entry, or an error when it holds another type.
    pub fn of(entry: &'a Entry) -> Result<Self> {
        match entry.value() {
            ValueRef::Int(number) => Ok(Self::Int(number)),
            ValueRef::Bytes(bytes) => Ok(Self::Bytes(bytes)),
            ValueRef::Chunked(chunks) => Ok(Self::Chunked(chunks)),
            #[allow(unreachable_patterns, reason = "the other types are on their way")]
            _ => Err(Error::WrongType),
        }
    }

    /// Length in bytes of its text.
    #[must_use]
    #[allow(
        clippy::len_without_is_empty,
        reason = "a string at a key is asked for its length only"
    )]
    pub fn len(self) -> usize {
        match self {
            Self::Int(n) => int_text(n).len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Chunked(chunks) => chunks.len(),
        }
    }

    /// The integer that the text is, if it is one.
    #[must_use]
    pub fn to_int(self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(n),
            Self::Bytes(bytes) => base::number::parse_i64(bytes),
            Self::Chunked(_) => None,
        }
    }

    /// The text in one piece; copied where it is not stored so.
    #[must_use]
    pub fn to_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Int(n) => Cow::Owned(int_text(n)),
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Chunked(chunks) => Cow::Owned(chunks.chunks().flatten().copied().collect()),
        }
    }

    /// The text of an integer or of a string short enough to be kept with its key as it was set.
    #[must_use]
    pub(crate) fn to_short(self) -> Option<Cow<'a, [u8]>> {
        const EMBSTR_BYTES_MAX: usize = 44;
        match self {
            Self::Chunked(_) => None,
            Self::Bytes(bytes) if bytes.len() > EMBSTR_BYTES_MAX => None,
            other => Some(other.to_bytes()),
        }
    }

    /// Hands the bytes of a part of the text on, piece by piece, until one is enough.
    pub(crate) fn pieces<B>(
        self,
        range: Range<usize>,
        mut each: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match self {
            Self::Int(n) => each(&int_text(n)[range]),
            Self::Bytes(bytes) => each(&bytes[range]),
            Self::Chunked(chunks) => chunks.range(range.start, range.end).try_for_each(each),
        }
    }

    /// Fills `out` with the bytes from `start` on, with zeros past the end.
    pub(crate) fn read(self, start: usize, out: &mut [u8]) {
        let length = self.len();
        let start = start.min(length);
        let mut filled = 0;
        let _ = self.pieces(start..length.min(start + out.len()), |piece| {
            out[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
            ControlFlow::<()>::Continue(())
        });
        out[filled..].fill(0);
    }

    /// Writes the text as a bulk reply.
    pub fn write_to(self, reply: &mut Reply<'_>) {
        match self {
            Self::Int(n) => reply.bulk_int(n),
            Self::Bytes(bytes) => reply.bulk(bytes),
            Self::Chunked(chunks) => reply.bulk_parts(chunks.len(), chunks.chunks()),
        }
    }
}

/// The decimal text of a number.
pub(crate) fn int_text(n: i64) -> Vec<u8> {
    let mut text = Vec::with_capacity(20);
    base::number::write_i64(&mut text, n);
    text
}
