//! Ids as clients write them.
//!
//! ```text
//!   1526919030474-55     1526919030474 (with a sequence that the command chooses)     -  +  (the ends of all ids)
//!   (1526919030474-55    in a range: the one after, or before
//!   1526919030474-*      in XADD: the next of that millisecond
//! ```

use crate::error::{Error, Result};
use keyspace::stream::stream::StreamId;

const INVALID: Error = Error::fixed("ERR Invalid stream ID specified as stream command argument");
/// Longer words are no ids.
const LEN_MAX: usize = 127;

/// An id whose sequence may be left to XADD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Whole(StreamId),
    /// The millisecond of `ms-*`.
    Millisecond(u64),
}

/// An id that stands for one entry; where the sequence is left out it is `missing_seq`.
pub(super) fn strict(word: &[u8], missing_seq: u64) -> Result<StreamId> {
    if matches!(word, b"-" | b"+") {
        return Err(INVALID);
    }
    loose(word, missing_seq)
}

/// As [`strict`], or one of the ends, `-` and `+`.
pub(super) fn loose(word: &[u8], missing_seq: u64) -> Result<StreamId> {
    match parse(word, missing_seq)? {
        Given::Whole(id) => Ok(id),
        Given::Millisecond(_) => Err(INVALID),
    }
}

/// The id that XADD is given.
pub(super) fn for_add(word: &[u8]) -> Result<Given> {
    if matches!(word, b"-" | b"+") {
        return Err(INVALID);
    }
    parse(word, 0)
}

fn parse(word: &[u8], missing_seq: u64) -> Result<Given> {
    if word.len() > LEN_MAX {
        return Err(INVALID);
    }
    match word {
        b"-" => return Ok(Given::Whole(StreamId::MIN)),
        b"+" => return Ok(Given::Whole(StreamId::MAX)),
        _ => {}
    }
    // Stock reads a C string.
    let text = word.split(|byte| *byte == 0).next().unwrap_or(word);
    let Some(dash) = text.iter().position(|byte| *byte == b'-') else {
        let ms = unsigned(text).ok_or(INVALID)?;
        return Ok(Given::Whole(StreamId::new(ms, missing_seq)));
    };
    let (ms, seq) = (unsigned(&text[..dash]).ok_or(INVALID)?, &text[dash + 1..]);
    if seq == b"*" {
        return Ok(Given::Millisecond(ms));
    }
    Ok(Given::Whole(StreamId::new(ms, unsigned(seq).ok_or(INVALID)?)))
}

/// A number as the C library reads one: white space before it and a sign are let pass.
fn unsigned(text: &[u8]) -> Option<u64> {
    if let Some(number) = base::number::parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { number.wrapping_neg() } else { number })
}

/// The start of a range: an id, the one after it if it is preceded by `(`, or an end.
pub(super) fn range_start(word: &[u8]) -> Result<StreamId> {
    match exclusive(word) {
        Some(id) => strict(id, 0)?
            .next()
            .ok_or(Error::fixed("ERR invalid start ID for the interval")),
        None => loose(word, 0),
    }
}

/// The end of a range: an id, the one before it if it is preceded by `(`, or an end.
pub(super) fn range_end(word: &[u8]) -> Result<StreamId> {
    match exclusive(word) {
        Some(id) => strict(id, u64::MAX)?
            .prev()
            .ok_or(Error::fixed("ERR invalid end ID for the interval")),
        None => loose(word, u64::MAX),
    }
}

fn exclusive(word: &[u8]) -> Option<&[u8]> {
    word.strip_prefix(b"(").filter(|id| !id.is_empty())
}

/// The text of an id.
pub(super) fn text(id: StreamId) -> Vec<u8> {
    let mut text = Vec::with_capacity(41);
    base::number::write_u64(&mut text, id.ms);
    text.push(b'-');
    base::number::write_u64(&mut text, id.seq);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_id() {
        let id = StreamId::new;
        for (word, expected) in [
            (&b"5-7"[..], Some(id(5, 7))),
            (b"5", Some(id(5, 9))),
            (b"0-0", Some(id(0, 0))),
            (b"18446744073709551615-18446744073709551615", Some(StreamId::MAX)),
            (b"007-01", Some(id(7, 1))),
            (b" 5-+1", Some(id(5, 1))),
            (b"5--0", Some(id(5, 0))),
            (b"5--1", None),
            (b"5- -1", Some(id(5, u64::MAX))),
            (b"5\0x", Some(id(5, 9))),
            (b"", None),
            (b"-", None),
            (b"+", None),
            (b"-5", None),
            (b"5-", None),
            (b"5-*", None),
            (b"*", None),
            (b"5-1-1", None),
            (b"18446744073709551616", None),
            (b"5x", None),
            (&[b'0'; 128], None),
        ] {
            assert_eq!(strict(word, 9).ok(), expected, "{}", word.escape_ascii());
        }
        assert_eq!(for_add(b"5-*"), Ok(Given::Millisecond(5)));
        assert_eq!(for_add(b"5"), Ok(Given::Whole(id(5, 0))));
        assert_eq!((loose(b"-", 1), loose(b"+", 1)), (Ok(StreamId::MIN), Ok(StreamId::MAX)));
        assert_eq!(range_start(b"(5-1"), Ok(id(5, 2)));
        assert_eq!(range_end(b"(5"), Ok(id(5, u64::MAX - 1)));
        assert_eq!(range_end(b"(5-0"), Ok(id(4, u64::MAX)));
        assert_eq!(range_end(b"5"), Ok(id(5, u64::MAX)));
        assert!(range_start(b"(-").is_err() && range_start(b"(").is_err());
        assert!(range_end(b"(0-0").is_err());
    }
}
