//! The reading end: a buffer over any [`Read`] that counts and sums what passes, and the primitives on it.
//!
//! ```text
//! buffer  |  read and summed  |  read  |  here, not yet read  |  free  |
//!         0                 summed    start                  end    capacity
//! ```
//!
//! What is read is summed in one go when it leaves the buffer. Short strings are lent straight from the buffer; longer
//! ones are gathered, the memory growing as bytes come, never by what a length claims.

use crate::error::LoadError;
use crate::format::{length, special};
use base::lzf;
use ds::crc64::crc64;
use std::io::{self, Read};

/// The size of the buffer, and of the largest string that is lent from it.
pub(crate) const BUFFER_BYTES: usize = 128 * 1024;

/// Scratch memory above this size is given back after the string that needed it.
const SCRATCH_KEPT_BYTES: usize = 1024 * 1024;

pub(crate) struct Input<R> {
    inner: R,
    buffer: Box<[u8]>,
    summed: usize,
    start: usize,
    end: usize,
    /// Where the buffer's first byte lies in the data.
    base: u64,
    sum: u64,
    /// Strings that did not fit the buffer.
    gathered: Vec<u8>,
    /// Strings that were compressed, or integers as text.
    plain: Vec<u8>,
}

/// A length, or the number of a special string form in its place.
pub(crate) enum Length {
    Plain(u64),
    Special(u8),
}

/// A string's form, before its bytes.
pub(crate) enum StringHead {
    /// So many bytes follow.
    Raw(u64),
    /// An integer, read already.
    Int(i64),
    /// Compressed bytes follow.
    Lzf { packed: u64, plain: u64 },
}

/// A string, lent until the next read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringRef<'a> {
    /// It was written as an integer.
    Int(i64),
    /// Its bytes.
    Bytes(&'a [u8]),
}

impl<R: Read> Input<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            summed: 0,
            start: 0,
            end: 0,
            base: 0,
            sum: 0,
            gathered: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// How many bytes were read.
    pub(crate) fn at(&self) -> u64 {
        self.base + self.start as u64
    }

    pub(crate) fn corrupt(&self, what: &'static str) -> LoadError {
        LoadError::Corrupt { at: self.at(), what }
    }

    /// The checksum of all that was read.
    pub(crate) fn sum(&mut self) -> u64 {
        self.sum = crc64(self.sum, &self.buffer[self.summed..self.start]);
        self.summed = self.start;
        self.sum
    }

    /// The source, and the bytes that were taken from it but not read.
    pub(crate) fn into_parts(self) -> (R, Vec<u8>) {
        (self.inner, self.buffer[self.start..self.end].to_vec())
    }

    /// Waits until `count` unread bytes, at most [`BUFFER_BYTES`], lie in the buffer.
    #[inline]
    fn ensure(&mut self, count: usize) -> Result<(), LoadError> {
        if self.end - self.start >= count {
            Ok(())
        } else {
            self.fill(count)
        }
    }

    #[cold]
    fn fill(&mut self, count: usize) -> Result<(), LoadError> {
        self.sum();
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        (self.start, self.summed) = (0, 0);
        while self.end < count {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    return Err(LoadError::Truncated {
                        at: self.base + self.end as u64,
                    });
                }
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(LoadError::Io {
                        at: self.base + self.end as u64,
                        error,
                    });
                }
            }
        }
        Ok(())
    }

    /// The next `count` bytes, at most [`BUFFER_BYTES`].
    #[inline]
    fn take(&mut self, count: usize) -> Result<&[u8], LoadError> {
        self.ensure(count)?;
        let from = self.start;
        self.start += count;
        Ok(&self.buffer[from..self.start])
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        self.ensure(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffer[self.start..self.start + N]);
        self.start += N;
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, LoadError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn millis(&mut self) -> Result<i64, LoadError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Passes over `count` bytes.
    pub(crate) fn skip(&mut self, mut count: u64) -> Result<(), LoadError> {
        while count > 0 {
            count -= self.piece(count)?.len() as u64;
        }
        Ok(())
    }

    /// Some of the next `count` bytes, as many as are there; `count` must not be 0.
    pub(crate) fn piece(&mut self, count: u64) -> Result<&[u8], LoadError> {
        self.ensure(1)?;
        let here = (self.end - self.start).min(usize::try_from(count).unwrap_or(usize::MAX));
        self.take(here)
    }

    #[inline]
    fn length_or_special(&mut self) -> Result<Length, LoadError> {
        let first = self.byte()?;
        Ok(match first & 0xc0 {
            0 => Length::Plain(u64::from(first)),
            length::BITS_14 => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            length::SPECIAL => Length::Special(first & 0x3f),
            _ if first == length::BITS_32 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            _ if first == length::BITS_64 => Length::Plain(u64::from_be_bytes(self.array()?)),
            _ => return Err(self.corrupt("a length in an unknown form")),
        })
    }

    /// A length that must be one.
    pub(crate) fn length(&mut self) -> Result<u64, LoadError> {
        match self.length_or_special()? {
            Length::Plain(length) => Ok(length),
            Length::Special(_) => Err(self.corrupt("a string in the place of a length")),
        }
    }

    #[inline]
    pub(crate) fn string_head(&mut self) -> Result<StringHead, LoadError> {
        Ok(match self.length_or_special()? {
            Length::Plain(length) => StringHead::Raw(length),
            Length::Special(special::INT8) => StringHead::Int(i64::from(i8::from_le_bytes(self.array()?))),
            Length::Special(special::INT16) => StringHead::Int(i64::from(i16::from_le_bytes(self.array()?))),
            Length::Special(special::INT32) => StringHead::Int(i64::from(i32::from_le_bytes(self.array()?))),
            Length::Special(special::LZF) => StringHead::Lzf {
                packed: self.length()?,
                plain: self.length()?,
            },
            Length::Special(_) => return Err(self.corrupt("a string in an unknown form")),
        })
    }

    /// The next string.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<StringRef<'_>, LoadError> {
        let head = self.string_head()?;
        self.string_after(head)
    }

    /// The string that `head` begins.
    #[inline]
    pub(crate) fn string_after(&mut self, head: StringHead) -> Result<StringRef<'_>, LoadError> {
        match head {
            StringHead::Int(number) => Ok(StringRef::Int(number)),
            StringHead::Raw(count) => self.bytes(count).map(StringRef::Bytes),
            StringHead::Lzf { packed, plain } => self.unpacked(packed, plain).map(StringRef::Bytes),
        }
    }

    /// The next string, an integer as its text.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&[u8], LoadError> {
        match self.string_head()? {
            StringHead::Int(number) => {
                self.plain.clear();
                base::number::write_i64(&mut self.plain, number);
                Ok(&self.plain)
            }
            StringHead::Raw(count) => self.bytes(count),
            StringHead::Lzf { packed, plain } => self.unpacked(packed, plain),
        }
    }

    #[inline]
    pub(crate) fn bytes(&mut self, count: u64) -> Result<&[u8], LoadError> {
        match usize::try_from(count) {
            Ok(count) if count <= BUFFER_BYTES => self.take(count),
            _ => self.gather(count),
        }
    }

    /// The next `count` bytes in memory of their own.
    fn gather(&mut self, count: u64) -> Result<&[u8], LoadError> {
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.clear();
        gathered.shrink_to(SCRATCH_KEPT_BYTES);
        let mut left = count;
        while left > 0 {
            let piece = self.piece(left)?;
            gathered.extend_from_slice(piece);
            left -= piece.len() as u64;
        }
        self.gathered = gathered;
        Ok(&self.gathered)
    }

    fn unpacked(&mut self, packed: u64, plain: u64) -> Result<&[u8], LoadError> {
        let at = self.at();
        let corrupt = |error: lzf::LzfError| LoadError::Corrupt {
            at,
            what: error.as_str(),
        };
        let plain_bytes = usize::try_from(plain).map_err(|_| corrupt(lzf::LzfError::BadLength))?;
        let mut out = std::mem::take(&mut self.plain);
        out.clear();
        out.shrink_to(SCRATCH_KEPT_BYTES);
        let compressed = self.bytes(packed)?;
        lzf::decompress(compressed, plain_bytes, &mut out).map_err(corrupt)?;
        self.plain = out;
        Ok(&self.plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a bad network might.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Ok(0);
            };
            out[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn lengths_of_every_form() {
        let bytes = [
            &[0x3f][..],
            &[0x7f, 0xfe],
            &[0x80, 0, 1, 0, 0],
            &[0x81, 0, 0, 0, 1, 0, 0, 0, 2],
        ]
        .concat();
        let mut input = Input::new(Dripping(&bytes));
        for expected in [63, 16382, 65536, 0x1_0000_0002] {
            assert_eq!(input.length().unwrap(), expected);
        }
        assert!(matches!(input.length(), Err(LoadError::Truncated { at: 17 })));
        assert!(matches!(
            Input::new(&[0x82][..]).length(),
            Err(LoadError::Corrupt { .. })
        ));
        assert!(matches!(
            Input::new(&[0xc0, 1][..]).length(),
            Err(LoadError::Corrupt { .. })
        ));
    }

    #[test]
    fn strings_of_every_form() {
        let bytes = [
            &b"\x03abc"[..],
            b"\xc0\xfe",
            b"\xc1\x00\x80",
            b"\xc2\x00\x00\x00\x80",
            b"\xc3\x06\x0a\x00x\xe0\x00\x00\x00",
        ]
        .concat();
        let mut input = Input::new(Dripping(&bytes[..bytes.len() - 1]));
        assert_eq!(input.string().unwrap(), StringRef::Bytes(b"abc"));
        assert_eq!(input.string().unwrap(), StringRef::Int(-2));
        assert_eq!(input.text().unwrap(), b"-32768");
        assert_eq!(input.string().unwrap(), StringRef::Int(-2_147_483_648));
        assert!(matches!(input.string(), Err(LoadError::Truncated { .. })));
        assert!(matches!(
            Input::new(&b"\xc4"[..]).string(),
            Err(LoadError::Corrupt { .. })
        ));
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let mut input = Input::new(&b"\x81\xff\xff\xff\xff\xff\xff\xff\xff only this"[..]);
        assert!(matches!(input.string(), Err(LoadError::Truncated { .. })));
        let mut input = Input::new(&b"\xc3\x02\x81\x7f\xff\xff\xff\xff\xff\xff\xff\x00a"[..]);
        assert!(matches!(input.string(), Err(LoadError::Corrupt { .. })));
        assert_eq!(input.plain.capacity(), 0);
    }

    #[test]
    fn strings_longer_than_the_buffer_are_gathered_and_summed() {
        let long: Vec<u8> = (0..BUFFER_BYTES as u32 * 3).map(|i| (i % 251) as u8).collect();
        let mut bytes = vec![0x80];
        bytes.extend_from_slice(&(long.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&long);
        let mut input = Input::new(&bytes[..]);
        assert_eq!(input.string().unwrap(), StringRef::Bytes(&long));
        assert_eq!(input.sum(), crc64(0, &bytes));
        assert_eq!(input.at(), bytes.len() as u64);
    }
}
