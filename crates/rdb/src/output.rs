//! The writing end: a buffer over any [`Write`] that counts and sums what passes, and the primitives on it.

use crate::error::SaveError;
use crate::facts::Watched;
use crate::format::{length, special};
use base::lzf::Compressor;
use base::number;
use ds::crc64::crc64;
use std::io::{self, Write};

/// Compression is tried on strings longer than this.
const COMPRESSED_ABOVE: usize = 20;

/// After so many short strings in a row that compression did not shorten, the next ones are taken to be like them,
const HOPELESS_AFTER: u32 = 32;
/// but for one in so many, which is tried all the same.
const RETRIED_EVERY: u32 = 32;

/// Longer strings are always tried: what compression saves of one may be as much as of many short ones.
const SHORT_BYTES_MAX: usize = 1024;

/// Text of this length or shorter may be an integer of 32 bits.
const INTEGER_TEXT_MAX: usize = 11;

/// Where encoded bytes go.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Called between the parts of large values: tells whoever watches, who may stop it.
    fn checkpoint(&mut self) -> Result<(), SaveError> {
        Ok(())
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

pub(crate) struct Output<W> {
    inner: W,
    buffer: Vec<u8>,
    chunk_bytes: usize,
    written: u64,
    sum: Option<u64>,
}

impl<W: Write> Output<W> {
    /// Writes in pieces of `chunk_bytes`; sums them if `checksum`.
    pub(crate) fn new(inner: W, chunk_bytes: usize, checksum: bool) -> Self {
        let buffer = Vec::with_capacity(chunk_bytes);
        Self {
            inner,
            buffer,
            chunk_bytes,
            written: 0,
            sum: checksum.then_some(0),
        }
    }

    /// How many bytes were put so far.
    pub(crate) fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Writes the checksum, or eight zeros, and passes all on.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.flush_buffer()?;
        let sum = self.sum.take().unwrap_or(0);
        self.inner.write_all(&sum.to_le_bytes())?;
        self.inner.flush()?;
        Ok(self.written + 8)
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        if let Some(sum) = &mut self.sum {
            *sum = crc64(*sum, &self.buffer);
        }
        self.inner.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Sink for Output<W> {
    #[inline]
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while bytes.len() > self.chunk_bytes - self.buffer.len() {
            let (front, back) = bytes.split_at(self.chunk_bytes - self.buffer.len());
            self.buffer.extend_from_slice(front);
            self.flush_buffer()?;
            bytes = back;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }
}

/// An output, and whoever watches it.
pub(crate) struct WatchedOutput<'a, W> {
    pub(crate) output: Output<W>,
    pub(crate) watched: Watched<'a>,
}

impl<W: Write> Sink for WatchedOutput<'_, W> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.put(bytes)
    }

    #[inline]
    fn checkpoint(&mut self) -> Result<(), SaveError> {
        Ok(self.watched.bytes_done(self.output.at())?)
    }
}

/// Whether strings are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// All strings as they are.
    Off,
    /// Strings of more than 20 bytes by LZF, where it saves at least four.
    Lzf,
}

/// Turns strings into their shortest form.
#[derive(Debug)]
pub(crate) struct StringWriter {
    compression: Compression,
    /// Made for the first string that is long enough: a single short value needs none.
    compressor: Option<Compressor>,
    packed: Vec<u8>,
    /// Short strings in a row that were not compressed, because it was tried in vain or not at all.
    hopeless: u32,
}

impl StringWriter {
    pub(crate) fn new(compression: Compression) -> Self {
        Self {
            compression,
            compressor: None,
            packed: Vec::new(),
            hopeless: 0,
        }
    }

    pub(crate) fn compresses(&self) -> bool {
        self.compression == Compression::Lzf
    }

    /// A string: as an integer if it is the text of one, compressed if that helps, else as it is.
    pub(crate) fn put(&mut self, out: &mut impl Sink, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() <= INTEGER_TEXT_MAX
            && let Some(number) = number::parse_i64(bytes)
            && let Some((form, len)) = small_integer(number)
        {
            return out.put(&form[..len]);
        }
        if bytes.len() > COMPRESSED_ABOVE && self.compression == Compression::Lzf && self.pack(bytes) {
            return put_compressed(out, &self.packed, bytes.len());
        }
        put_length(out, bytes.len() as u64)?;
        out.put(bytes)
    }

    /// Compresses a string, if that helps and seems worth trying.
    fn pack(&mut self, bytes: &[u8]) -> bool {
        let short = bytes.len() <= SHORT_BYTES_MAX;
        if short && self.hopeless >= HOPELESS_AFTER && !self.hopeless.is_multiple_of(RETRIED_EVERY) {
            self.hopeless = self.hopeless.wrapping_add(1);
            return false;
        }
        let compressor = self.compressor.get_or_insert_default();
        let shorter = compressor.compress(bytes, bytes.len() - 4, &mut self.packed);
        if short {
            self.hopeless = if shorter { 0 } else { self.hopeless.wrapping_add(1) };
        }
        shorter
    }

    /// An integer: in one, two or four bytes if it fits, else as its text.
    pub(crate) fn put_int(&mut self, out: &mut impl Sink, value: i64) -> io::Result<()> {
        if let Some((form, len)) = small_integer(value) {
            return out.put(&form[..len]);
        }
        self.packed.clear();
        number::write_i64(&mut self.packed, value);
        put_length(out, self.packed.len() as u64)?;
        out.put(&self.packed)
    }
}

/// A string that was compressed by LZF, and is so long without.
pub(crate) fn put_compressed(out: &mut impl Sink, packed: &[u8], plain_bytes: usize) -> io::Result<()> {
    out.put(&[length::SPECIAL | special::LZF])?;
    put_length(out, packed.len() as u64)?;
    put_length(out, plain_bytes as u64)?;
    out.put(packed)
}

fn small_integer(value: i64) -> Option<([u8; 5], usize)> {
    let [a, b, c, d, ..] = value.to_le_bytes();
    if i8::try_from(value).is_ok() {
        Some(([length::SPECIAL | special::INT8, a, 0, 0, 0], 2))
    } else if i16::try_from(value).is_ok() {
        Some(([length::SPECIAL | special::INT16, a, b, 0, 0], 3))
    } else if i32::try_from(value).is_ok() {
        Some(([length::SPECIAL | special::INT32, a, b, c, d], 5))
    } else {
        None
    }
}

/// A length, in the shortest form.
pub(crate) fn put_length(out: &mut impl Sink, value: u64) -> io::Result<()> {
    if value < 1 << 6 {
        out.put(&[value as u8])
    } else if value < 1 << 14 {
        out.put(&[length::BITS_14 | (value >> 8) as u8, value as u8])
    } else if let Ok(value) = u32::try_from(value) {
        let [a, b, c, d] = value.to_be_bytes();
        out.put(&[length::BITS_32, a, b, c, d])
    } else {
        let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
        out.put(&[length::BITS_64, a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        StringWriter::new(Compression::Lzf).put(&mut out, bytes).unwrap();
        out
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        for (value, form) in [
            (0, &[0][..]),
            (63, &[63]),
            (64, &[0x40, 64]),
            (16383, &[0x7f, 0xff]),
            (16384, &[0x80, 0, 0, 0x40, 0]),
            (0xffff_ffff, &[0x80, 0xff, 0xff, 0xff, 0xff]),
            (1 << 32, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_length(&mut out, value).unwrap();
            assert_eq!(out, form, "{value}");
        }
    }

    #[test]
    fn strings_take_the_forms_that_stock_gives_them() {
        assert_eq!(string(b"-128"), [0xc0, 0x80]);
        assert_eq!(string(b"128"), [0xc1, 0x80, 0]);
        assert_eq!(string(b"-32769"), [0xc2, 0xff, 0x7f, 0xff, 0xff]);
        assert_eq!(string(b"-2147483648"), [0xc2, 0, 0, 0, 0x80]);
        assert_eq!(string(b"2147483648"), b"\x0a2147483648");
        assert_eq!(string(b"01"), b"\x0201");
        assert_eq!(string(b""), b"\0");
        assert_eq!(string(&[b'a'; 20])[0], 20);
        assert_eq!(string(&[b'a'; 21])[0], 0xc3);
    }

    /// Trying to compress noise took longer than all else that a full sync of it costs its primary.
    #[test]
    fn noise_is_given_up_and_what_shrinks_again_is_noticed() {
        let mut writer = StringWriter::new(Compression::Lzf);
        let mut compressed = |count: usize, make: &mut dyn FnMut(&mut [u8])| {
            let mut bytes = [0; 100];
            let strings = (0..count).map(|_| {
                make(&mut bytes);
                let mut out = Vec::new();
                writer.put(&mut out, &bytes).unwrap();
                usize::from(out[0] == 0xc3)
            });
            strings.sum::<usize>()
        };
        let mut rng = base::Rng::new(7);
        assert_eq!(
            compressed(5000, &mut |bytes| bytes.fill_with(|| rng.next_u64() as u8)),
            0
        );
        let words = compressed(5000, &mut |bytes| bytes.fill(b'x'));
        assert!(words > 5000 - RETRIED_EVERY as usize, "{words}");
        let mut turn = 0;
        let mixed = compressed(5000, &mut |bytes| {
            turn += 1;
            bytes.fill_with(|| if turn % 8 == 0 { 0 } else { rng.next_u64() as u8 });
        });
        assert_eq!(mixed, 625, "one in eight is worth trying all");
    }

    #[test]
    fn big_writes_pass_in_chunks_and_are_summed() {
        let mut written = Vec::new();
        let mut out = Output::new(&mut written, 7, true);
        out.put(b"0123456789abcdefghijk").unwrap();
        out.put(b"x").unwrap();
        assert_eq!(out.at(), 22);
        assert_eq!(out.finish().unwrap(), 30);
        assert_eq!(written[22..], crc64(0, &written[..22]).to_le_bytes());
    }
}
