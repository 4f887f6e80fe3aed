//! The two ways in which a primary delimits the RDB data that it sends, as sources that end where the data ends.
//!
//! ```text
//! $<n>\r\n         n bytes
//! $EOF:<mark>\r\n  bytes  mark         the mark: 40 random bytes, which will not be in the data by chance
//! ```
//!
//! The first line is read by whoever reads the link. Behind the mark nothing comes before the replica has answered; what
//! comes anyway is not lost: `into_parts` gives it back.

use crate::error::LoadError;
use std::io::{self, Read, Write};

/// The length of the mark behind data of unknown length.
pub const MARK_BYTES: usize = 40;

/// How the data on a link is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Sized(u64),
    /// Up to this mark.
    Marked([u8; MARK_BYTES]),
}

impl Framing {
    /// Reads the line that announces the data, without its line end.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"$")?;
        match rest.strip_prefix(b"EOF:") {
            Some(mark) => mark.try_into().ok().map(Self::Marked),
            None => base::number::parse_u64(rest).map(Self::Sized),
        }
    }

    /// The line that announces the data, with its line end.
    #[must_use]
    pub fn announcement(&self) -> Vec<u8> {
        match self {
            Self::Sized(bytes) => format!("${bytes}\r\n").into_bytes(),
            Self::Marked(mark) => [b"$EOF:", &mark[..], b"\r\n"].concat(),
        }
    }

    /// A source that ends where the data ends. `ahead` are bytes that were read from `inner` already.
    pub fn reader<R: Read>(self, ahead: Vec<u8>, inner: R) -> FramedReader<R> {
        match self {
            Self::Sized(bytes) => FramedReader::Sized(SizedReader::new(bytes, ahead, inner)),
            Self::Marked(mark) => FramedReader::Marked(EofMarkedReader::new(mark, ahead, inner)),
        }
    }
}

/// A source that ends where the announced data ends.
pub enum FramedReader<R> {
    /// After its length.
    Sized(SizedReader<R>),
    /// At its mark.
    Marked(EofMarkedReader<R>),
}

impl<R: Read> FramedReader<R> {
    /// Checks that nothing is left before the end, once the data says of itself that it is whole.
    ///
    /// # Errors
    /// [`LoadError::Corrupt`] if there is more; [`LoadError::Truncated`] or [`LoadError::Io`] if the end does not come.
    pub fn finish(&mut self) -> Result<(), LoadError> {
        let mut more = [0];
        let got = loop {
            match self.read(&mut more) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                got => break got,
            }
        };
        let at = self.bytes_read();
        match got {
            Ok(0) if self.is_complete() => Ok(()),
            Ok(0) => Err(LoadError::Truncated { at }),
            Ok(_) => Err(LoadError::Corrupt {
                at,
                what: "the transfer goes on after the end of its RDB data",
            }),
            Err(error) => Err(LoadError::Io { at, error }),
        }
    }

    /// Whether the end was reached, all announced bytes or the mark having come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Sized(reader) => reader.remaining == 0,
            Self::Marked(reader) => reader.found,
        }
    }

    /// How many bytes of data were given out.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        match self {
            Self::Sized(reader) => reader.given,
            Self::Marked(reader) => reader.given,
        }
    }

    /// The source, and bytes that were taken from it but lie behind the end.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        match self {
            Self::Sized(reader) => reader.into_parts(),
            Self::Marked(reader) => reader.into_parts(),
        }
    }
}

impl<R: Read> Read for FramedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Sized(reader) => reader.read(out),
            Self::Marked(reader) => reader.read(out),
        }
    }
}

/// Gives out a number of bytes. Takes no more from its source.
pub struct SizedReader<R> {
    inner: R,
    ahead: Vec<u8>,
    ahead_at: usize,
    remaining: u64,
    given: u64,
}

impl<R: Read> SizedReader<R> {
    /// Gives out `bytes` bytes: first those `ahead`, which were read already, then those of `inner`.
    pub fn new(bytes: u64, ahead: Vec<u8>, inner: R) -> Self {
        Self {
            inner,
            ahead,
            ahead_at: 0,
            remaining: bytes,
            given: 0,
        }
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The source, and bytes that lay ahead but belong to what follows.
    pub fn into_parts(mut self) -> (R, Vec<u8>) {
        (self.inner, self.ahead.split_off(self.ahead_at))
    }
}

impl<R: Read> Read for SizedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        let out = &mut out[..most];
        let ahead = &self.ahead[self.ahead_at..];
        let read = if out.is_empty() {
            0
        } else if ahead.is_empty() {
            self.inner.read(out)?
        } else {
            let read = ahead.len().min(out.len());
            out[..read].copy_from_slice(&ahead[..read]);
            self.ahead_at += read;
            read
        };
        self.remaining -= read as u64;
        self.given += read as u64;
        Ok(read)
    }
}

const MARKED_BUFFER_BYTES: usize = 128 * 1024;

/// Gives out the bytes before a mark. What might be the beginning of the mark is held back until it is known.
///
/// ```text
/// buffer  |  given out  |  data  |  may be the mark, or behind it  |  free  |
///         0           start   data_end                            end
/// ```
pub struct EofMarkedReader<R> {
    inner: R,
    mark: [u8; MARK_BYTES],
    /// How far the mark moves on when a byte under its last place does not fit.
    shifts: Box<[u8; 256]>,
    buffer: Vec<u8>,
    start: usize,
    data_end: usize,
    end: usize,
    found: bool,
    given: u64,
}

impl<R: Read> EofMarkedReader<R> {
    /// Gives out what comes before `mark`: first from `ahead`, which was read already, then from `inner`.
    pub fn new(mark: [u8; MARK_BYTES], ahead: Vec<u8>, inner: R) -> Self {
        let mut shifts = Box::new([MARK_BYTES as u8; 256]);
        for (at, byte) in mark[..MARK_BYTES - 1].iter().enumerate() {
            shifts[usize::from(*byte)] = (MARK_BYTES - 1 - at) as u8;
        }
        let end = ahead.len();
        let mut buffer = ahead;
        buffer.resize(end.max(MARKED_BUFFER_BYTES), 0);
        let mut reader = Self {
            inner,
            mark,
            shifts,
            buffer,
            start: 0,
            data_end: 0,
            end,
            found: false,
            given: 0,
        };
        reader.search();
        reader
    }

    /// Whether the mark has come.
    #[must_use]
    pub fn found(&self) -> bool {
        self.found
    }

    /// The source, and bytes that came behind the mark; before the mark was found, all that was not given out.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        let from = if self.found {
            self.data_end + MARK_BYTES
        } else {
            self.start
        };
        (self.inner, self.buffer[from..self.end].to_vec())
    }

    /// Looks for the mark in what is not known to be data (Horspool's search).
    fn search(&mut self) {
        let mut at = self.data_end;
        while at + MARK_BYTES <= self.end {
            let window = &self.buffer[at..at + MARK_BYTES];
            if window == self.mark {
                self.found = true;
                break;
            }
            at += usize::from(self.shifts[usize::from(window[MARK_BYTES - 1])]);
        }
        self.data_end = at.min(self.end);
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.data_end..self.end, 0);
        self.end -= self.data_end;
        (self.start, self.data_end) = (0, 0);
        while self.data_end == 0 && !self.found {
            let read = self.inner.read(&mut self.buffer[self.end..])?;
            if read == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the transfer ended before its mark",
                ));
            }
            self.end += read;
            self.search();
        }
        Ok(())
    }
}

impl<R: Read> Read for EofMarkedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.start == self.data_end && !self.found {
            self.fill()?;
        }
        let read = out.len().min(self.data_end - self.start);
        out[..read].copy_from_slice(&self.buffer[self.start..self.start + read]);
        self.start += read;
        self.given += read as u64;
        Ok(read)
    }
}

/// Copies what is left of a transfer, for a file that is verified later; gives the number of bytes.
///
/// # Errors
/// If either side fails, or the transfer ends before its end.
pub fn copy<R: Read>(from: &mut FramedReader<R>, to: &mut dyn Write) -> io::Result<u64> {
    let mut buffer = vec![0; MARKED_BUFFER_BYTES];
    let mut copied = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) if from.is_complete() => return Ok(copied),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                to.write_all(&buffer[..read])?;
                copied += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;

    /// Gives pieces of random lengths, as a network does.
    struct Pieces<'a>(&'a [u8], Rng);

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let most = 1 + self.1.below(90) as usize;
            let read = most.min(out.len()).min(self.0.len());
            let (front, back) = self.0.split_at(read);
            out[..read].copy_from_slice(front);
            self.0 = back;
            Ok(read)
        }
    }

    const MARK: [u8; 40] = *b"0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn announcements() {
        for framing in [Framing::Sized(17), Framing::Marked(MARK)] {
            let line = framing.announcement();
            assert_eq!(Framing::parse(line.strip_suffix(b"\r\n").unwrap()), Some(framing));
        }
        for wrong in [&b"$-1"[..], b"$EOF:123", b"17", b"$", b"$1x"] {
            assert_eq!(Framing::parse(wrong), None);
        }
    }

    /// Data that is full of beginnings of the mark, cut anywhere.
    #[test]
    fn the_data_ends_before_its_mark_wherever_the_pieces_are_cut() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut data = Vec::new();
            for _ in 0..rng.below(12) {
                match rng.below(3) {
                    0 => data.extend_from_slice(&MARK[..rng.below(40) as usize]),
                    1 => data.extend_from_slice(&MARK[1 + rng.below(39) as usize..]),
                    _ => data.extend((0..rng.below(100)).map(|_| rng.next_u64() as u8)),
                }
            }
            let all = [&data[..], &MARK, b"behind"].concat();
            if all.windows(40).position(|window| window == MARK) != Some(data.len()) {
                continue;
            }
            let ahead = rng.below(all.len() as u64 + 1) as usize;
            let (ahead, rest) = (all[..ahead].to_vec(), Pieces(&all[ahead..], rng));
            let mut reader = Framing::Marked(MARK).reader(ahead, rest);
            let mut got = Vec::new();
            assert_eq!(copy(&mut reader, &mut got).unwrap(), got.len() as u64);
            assert_eq!(got, data, "seed {seed}");
            reader.finish().unwrap();
            let (rest, beyond) = reader.into_parts();
            assert_eq!([&beyond[..], rest.0].concat(), b"behind");
        }
    }

    #[test]
    fn sized_data_takes_nothing_of_what_follows() {
        let all = b"12345678follows";
        for ahead in 0..all.len() {
            let rest = Pieces(&all[ahead..], Rng::new(ahead as u64));
            let mut reader = Framing::Sized(8).reader(all[..ahead].to_vec(), rest);
            let mut got = Vec::new();
            copy(&mut reader, &mut got).unwrap();
            assert_eq!(got, b"12345678");
            reader.finish().unwrap();
            let (rest, beyond) = reader.into_parts();
            assert_eq!([&beyond[..], rest.0].concat(), b"follows");
        }
    }

    #[test]
    fn an_end_that_does_not_come_is_an_error() {
        let mut out = Vec::new();
        let mut short = Framing::Sized(9).reader(b"1234".to_vec(), &b"5678"[..]);
        assert_eq!(
            copy(&mut short, &mut out).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        let mut short = Framing::Marked(MARK).reader(Vec::new(), &MARK[..39]);
        assert_eq!(
            copy(&mut short, &mut out).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        let mut long = Framing::Sized(9).reader(Vec::new(), &b"123456789"[..]);
        assert!(matches!(long.finish(), Err(LoadError::Corrupt { .. })));
    }
}
