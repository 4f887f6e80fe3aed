//! Zipmaps: what small hashes were before version 4. Read only.
//!
//! ```text
//! +-------+-------------------------------------------+-- ... --+-----+
//! | count | length field | length free value (unused) |         | ff  |
//! +-------+-------------------------------------------+-- ... --+-----+
//!
//!   length: one byte below 254, or 254 and a little-endian u32; free: so many unused bytes follow the value
//! ```
//!
//! A count of 254 or more means "go and count". This is the stock servers' format; there is no other authority for it.

use ds::listpack::Damage;

const END: u8 = 0xff;
const LONG: u8 = 254;

/// Goes through foreign bytes, whatever they are, and gives each field and its value to `each`.
///
/// # Errors
/// What is wrong with them; some fields may have been given out by then.
pub(crate) fn read<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<usize, Damage> {
    let damage = |at, what| Err(Damage { at, what });
    let (Some(count), Some(&END)) = (bytes.first(), bytes.last()) else {
        return damage(0, "a zipmap without its end");
    };
    let (last, mut at, mut entries) = (bytes.len() - 1, 1, 0);
    let Some(body) = bytes.get(..last).filter(|body| !body.is_empty()) else {
        return damage(0, "a zipmap without a count");
    };
    while at < last {
        let Some((field, value, next)) = entry(body, at) else {
            return damage(at, "a field of a zipmap reaches beyond its end");
        };
        each(field, value);
        at = next;
        entries += 1;
    }
    if entries == 0 {
        return damage(0, "a zipmap with nothing in it");
    }
    if *count < LONG && usize::from(*count) != entries {
        return damage(0, "a zipmap of another count than it says");
    }
    Ok(entries)
}

/// The field at `at`, its value, and where the next one is.
fn entry(body: &[u8], at: usize) -> Option<(&[u8], &[u8], usize)> {
    let (len, from) = length(body, at)?;
    let to = from.checked_add(len)?;
    let field = body.get(from..to)?;
    let (len, free_at) = length(body, to)?;
    let free = usize::from(*body.get(free_at)?);
    let to = (free_at + 1).checked_add(len)?;
    let value = body.get(free_at + 1..to)?;
    body.get(to..to + free)?;
    Some((field, value, to + free))
}

fn length(body: &[u8], at: usize) -> Option<(usize, usize)> {
    match *body.get(at)? {
        END => None,
        LONG => {
            let len: [u8; 4] = body.get(at + 1..at + 5)?.try_into().ok()?;
            Some((u32::from_le_bytes(len) as usize, at + 5))
        }
        short => Some((usize::from(short), at + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields = Vec<(Vec<u8>, Vec<u8>)>;

    fn fields(bytes: &[u8]) -> Result<Fields, Damage> {
        let mut fields = Vec::new();
        read(bytes, |field, value| fields.push((field.to_vec(), value.to_vec())))?;
        Ok(fields)
    }

    const EXAMPLE: &[u8] = b"\x03\x03foo\x03\x02bar..\x00\x00\x00\xfe\x02\x00\x00\x00ab\xfe\x01\x00\x00\x00\x00z\xff";

    #[test]
    fn all_forms_are_read() {
        let expected = [(&b"foo"[..], &b"bar"[..]), (b"", b""), (b"ab", b"z")];
        let expected: Vec<_> = expected.map(|(field, value)| (field.to_vec(), value.to_vec())).into();
        assert_eq!(fields(EXAMPLE).unwrap(), expected);
        let mut uncounted = EXAMPLE.to_vec();
        uncounted[0] = 254;
        assert_eq!(fields(&uncounted).unwrap(), expected);
        assert!(fields(b"\0\xff").is_err());
    }

    #[test]
    fn damage_is_seen_and_never_panics() {
        for end in 0..EXAMPLE.len() {
            assert!(fields(&EXAMPLE[..end]).is_err());
        }
        for bit in 0..EXAMPLE.len() * 8 {
            let mut damaged = EXAMPLE.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = fields(&damaged);
        }
        assert!(fields(b"\xff").is_err());
    }
}
