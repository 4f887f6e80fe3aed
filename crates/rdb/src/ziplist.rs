//! Ziplists: what listpacks were before version 10. Read only.
//!
//! ```text
//!  0           4           8        10
//! +-----------+-----------+--------+--------------------+-- ... --+-----+
//! | total     | offset of | count  | entry              |         | ff  |
//! | bytes u32 | last u32  | u16    | previous form data |         |     |   little-endian
//! +-----------+-----------+--------+--------------------+-- ... --+-----+
//!
//!   previous: how long the entry before is: one byte below 254, or 254 and a u32
//!   form                        data
//!   00llllll                    l bytes      text
//!   01llllll llllllll           l bytes      text; big-endian length
//!   10______ l l l l            l bytes      text; big-endian length
//!   c0, d0, e0, f0, fe          2, 4, 8, 3, 1 bytes: an integer, little-endian
//!   f1 to fd                    -            integer 0 to 12
//! ```
//!
//! A count of 65,535 means "go and count". This is the stock servers' format; there is no other authority for it.

use ds::listpack::{Damage, Value};

const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
const LONG_PREVIOUS: u8 = 254;
const COUNT_UNKNOWN: u16 = u16::MAX;

fn damage<T>(at: usize, what: &'static str) -> Result<T, Damage> {
    Err(Damage { at, what })
}

/// Goes through foreign bytes, whatever they are, and gives each entry to `each`.
///
/// # Errors
/// What is wrong with them; some entries may have been given out by then.
pub(crate) fn read<'a>(bytes: &'a [u8], mut each: impl FnMut(Value<'a>)) -> Result<usize, Damage> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return damage(0, "a ziplist too short for its header");
    };
    let [a, b, c, d, e, f, g, h, i, j] = *header;
    let total = u32::from_le_bytes([a, b, c, d]) as usize;
    let tail = u32::from_le_bytes([e, f, g, h]) as usize;
    let count = u16::from_le_bytes([i, j]);
    if total != bytes.len() {
        return damage(0, "a ziplist of another length than it says");
    }
    let last = bytes.len() - 1;
    if last < HEADER_BYTES || bytes[last] != END {
        return damage(last, "a ziplist without its end");
    }
    let body = &bytes[..last];
    let (mut at, mut previous, mut previous_at, mut entries) = (HEADER_BYTES, 0, HEADER_BYTES, 0);
    while at < last {
        let Some((said, value, next)) = entry(body, at) else {
            return damage(at, "an entry of a ziplist in an unknown form, or beyond its end");
        };
        if said != previous {
            return damage(at, "an entry of a ziplist with a wrong length before it");
        }
        each(value);
        (previous, previous_at, at) = (next - at, at, next);
        entries += 1;
    }
    if tail != previous_at {
        return damage(4, "a ziplist whose last entry is elsewhere than it says");
    }
    if count != COUNT_UNKNOWN && usize::from(count) != entries {
        return damage(8, "a ziplist of another count than it says");
    }
    Ok(entries)
}

/// The entry at `at`: the length of the one before it, its value, and where the next one is.
fn entry(body: &[u8], at: usize) -> Option<(usize, Value<'_>, usize)> {
    let (previous, at) = match *body.get(at)? {
        LONG_PREVIOUS => (u32::from_le_bytes(array(body, at + 1)?) as usize, at + 5),
        END => return None,
        short => (usize::from(short), at + 1),
    };
    let form = *body.get(at)?;
    let text = |from: usize, len: usize| {
        let to = from.checked_add(len)?;
        Some((previous, Value::Bytes(body.get(from..to)?), to))
    };
    match form >> 6 {
        0 => return text(at + 1, usize::from(form & 0x3f)),
        1 => return text(at + 2, usize::from(form & 0x3f) << 8 | usize::from(*body.get(at + 1)?)),
        2 => return text(at + 5, u32::from_be_bytes(array(body, at + 1)?) as usize),
        _ => {}
    }
    let from = at + 1;
    let (number, len) = match form {
        0xc0 => (i64::from(i16::from_le_bytes(array(body, from)?)), 2),
        0xd0 => (i64::from(i32::from_le_bytes(array(body, from)?)), 4),
        0xe0 => (i64::from_le_bytes(array(body, from)?), 8),
        0xf0 => {
            let [low, middle, high] = array(body, from)?;
            (i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8), 3)
        }
        0xfe => (i64::from(i8::from_le_bytes(array(body, from)?)), 1),
        0xf1..=0xfd => (i64::from(form & 0x0f) - 1, 0),
        _ => return None,
    };
    Some((previous, Value::Int(number), from + len))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8]) -> Result<Vec<String>, Damage> {
        let mut texts = Vec::new();
        let read = read(bytes, |value| texts.push(String::from_utf8(value.to_vec()).unwrap()))?;
        assert_eq!(read, texts.len());
        Ok(texts)
    }

    /// All forms of integers and the first of texts, put together by hand.
    fn example() -> Vec<u8> {
        let entries: [&[u8]; 9] = [
            b"\xf1",
            b"\xfd",
            b"\xfe\x80",
            b"\xc0\x00\x80",
            b"\xf0\x00\x00\x80",
            b"\xd0\x00\x00\x00\x80",
            b"\xe0\x00\x00\x00\x00\x00\x00\x00\x80",
            b"\x03abc",
            b"\x80\x00\x00\x00\x02xy",
        ];
        let mut body = Vec::new();
        let (mut previous, mut tail) = (0, HEADER_BYTES);
        for entry in entries {
            tail = HEADER_BYTES + body.len();
            body.push(previous);
            body.extend_from_slice(entry);
            previous = entry.len() as u8 + 1;
        }
        let mut bytes = (HEADER_BYTES as u32 + body.len() as u32 + 1).to_le_bytes().to_vec();
        bytes.extend_from_slice(&(tail as u32).to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes.push(END);
        bytes
    }

    #[test]
    fn all_forms_are_read() {
        let expected = [
            "0",
            "12",
            "-128",
            "-32768",
            "-8388608",
            "-2147483648",
            "-9223372036854775808",
            "abc",
            "xy",
        ];
        assert_eq!(texts(&example()).unwrap(), expected);
        assert_eq!(texts(b"\x0b\0\0\0\x0a\0\0\0\0\0\xff").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn damage_is_seen_and_never_panics() {
        let bytes = example();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end], |_| {}).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = read(&damaged, |value| drop(value.to_vec()));
        }
        let mut elsewhere = bytes;
        elsewhere[4] -= 1;
        assert!(read(&elsewhere, |_| {}).is_err());
    }
}
