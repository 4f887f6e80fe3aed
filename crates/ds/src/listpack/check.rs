//! Looking through bytes that claim to be a listpack.

use super::*;

/// Goes through foreign bytes, whatever they are, and says how many entries they hold.
///
/// # Errors
/// What is wrong with them. After `Ok` everything in this module works on them.
pub fn validate(bytes: &[u8]) -> Result<usize, Damage> {
    let damage = |at, what| Err(Damage::new(at, what));
    if bytes.len() <= HEADER_BYTES {
        return damage(0, "a listpack too short for its header");
    }
    if total_bytes(bytes) != bytes.len() {
        return damage(0, "a listpack of another length than it says");
    }
    let last = bytes.len() - 1;
    if bytes[last] != END {
        return damage(last, "a listpack without its end");
    }
    let (mut at, mut entries) = (HEADER_BYTES, 0);
    while at < last {
        let form = form_bytes(bytes, at).ok_or(Damage::new(at, "an entry of a listpack in an unknown form"))?;
        let next = at + form + backlen_bytes(form);
        // The last byte is the end, so an entry must stop before it.
        if next > last {
            return damage(at, "an entry of a listpack reaches beyond its end");
        }
        if before_checked(&bytes[at..next]) != Some(form) {
            return damage(at, "an entry of a listpack with a wrong length behind it");
        }
        at = next;
        entries += 1;
    }
    let said = count(bytes);
    if said != COUNT_UNKNOWN && usize::from(said) != entries {
        return damage(4, "a listpack of another count than it says");
    }
    Ok(entries)
}

/// How many bytes form and data of the entry at `at` have, as it says; it may be more than there are.
fn form_bytes(bytes: &[u8], at: usize) -> Option<usize> {
    let first = bytes[at];
    let byte = |offset: usize| bytes.get(at + offset).map(|byte| usize::from(*byte));
    Some(match first {
        0..TEXT_6 => 1,
        TEXT_6..INT_13 => 1 + usize::from(first & 0x3f),
        INT_13..TEXT_12 => 2,
        TEXT_12..TEXT_32 => 2 + (usize::from(first & 0x0f) << 8 | byte(1)?),
        TEXT_32 => {
            let len: [u8; 4] = bytes.get(at + 1..at + 5)?.try_into().ok()?;
            5 + u32::from_le_bytes(len) as usize
        }
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        INT_64 => 9,
        _ => return None,
    })
}

/// What the backlen at the end of `entry` says, if it is whole and of the size that it should be.
fn before_checked(entry: &[u8]) -> Option<usize> {
    let (mut len, mut bytes) = (0, 0);
    for byte in entry.iter().rev().take(BACKLEN_BYTES_MAX) {
        len |= usize::from(byte & 0x7f) << (7 * bytes);
        bytes += 1;
        if byte & 0x80 == 0 {
            return (backlen_bytes(len) == bytes).then_some(len);
        }
    }
    None
}
