//! Changes of a listpack, wherever its bytes lie: each is one splice, and puts the header right.

use base::number;

use super::*;
use crate::bytes::Bytes;

/// An entry on its way in.
struct Encoded<'a> {
    /// The form; with an integer its data, too.
    head: [u8; INT_BYTES_MAX],
    head_len: u8,
    text: &'a [u8],
    backlen: [u8; BACKLEN_BYTES_MAX],
    backlen_len: u8,
}

impl<'a> Encoded<'a> {
    fn new(text: &'a [u8]) -> Self {
        match number::parse_i64(text) {
            Some(number) => Self::of_int(number),
            None => Self::of_text(text),
        }
    }

    fn of_text(text: &'a [u8]) -> Self {
        let len = text.len();
        match len {
            0..=63 => Self::build(&[TEXT_6 | len as u8], text),
            64..=4095 => Self::build(&[TEXT_12 | (len >> 8) as u8, len as u8], text),
            _ => {
                let [a, b, c, d] = (len as u32).to_le_bytes();
                Self::build(&[TEXT_32, a, b, c, d], text)
            }
        }
    }

    fn of_int(number: i64) -> Self {
        let [a, b, c, d, ..] = number.to_le_bytes();
        match number {
            0..=127 => Self::build(&[a], &[]),
            -4096..=4095 => Self::build(&[INT_13 | (b & 0x1f), a], &[]),
            -32_768..=32_767 => Self::build(&[INT_16, a, b], &[]),
            -8_388_608..=8_388_607 => Self::build(&[INT_24, a, b, c], &[]),
            -2_147_483_648..=2_147_483_647 => Self::build(&[INT_32, a, b, c, d], &[]),
            _ => {
                let mut head = [INT_64; INT_BYTES_MAX];
                head[1..].copy_from_slice(&number.to_le_bytes());
                Self::build(&head, &[])
            }
        }
    }

    fn build(form: &[u8], text: &'a [u8]) -> Self {
        let mut head = [0; INT_BYTES_MAX];
        head[..form.len()].copy_from_slice(form);
        let len = form.len() + text.len();
        let backlen_len = backlen_bytes(len);
        let mut backlen = [0; BACKLEN_BYTES_MAX];
        let mut rest = len;
        for byte in backlen[..backlen_len].iter_mut().rev() {
            *byte = (rest & 0x7f) as u8 | 0x80;
            rest >>= 7;
        }
        backlen[0] &= 0x7f;
        Self {
            head,
            head_len: form.len() as u8,
            text,
            backlen,
            backlen_len: backlen_len as u8,
        }
    }

    fn parts(&self) -> [&[u8]; 3] {
        [
            &self.head[..usize::from(self.head_len)],
            self.text,
            &self.backlen[..usize::from(self.backlen_len)],
        ]
    }

    fn len(&self) -> usize {
        usize::from(self.head_len) + self.text.len() + usize::from(self.backlen_len)
    }
}

/// How many bytes an entry of a text of `text_len` bytes takes that is no integer; an integer takes at most 11 and never
/// more than this plus 4.
#[must_use]
pub fn entry_bytes(text_len: usize) -> usize {
    let form = match text_len {
        0..=63 => 1,
        64..=4095 => 2,
        _ => 5,
    };
    form + text_len + backlen_bytes(form + text_len)
}

/// How many bytes the entry of `text` takes.
#[must_use]
pub fn encoded_bytes(text: &[u8]) -> usize {
    Encoded::new(text).len()
}

/// An empty listpack.
#[must_use]
pub fn init() -> [u8; HEADER_BYTES + 1] {
    [HEADER_BYTES as u8 + 1, 0, 0, 0, 0, 0, END]
}

/// Inserts `text` before the entry at `position`, or at [`Listpack::end`]. The new entry is at `position` then.
pub fn insert_before(bytes: &mut impl Bytes, position: Position, text: &[u8]) {
    splice(bytes, position.at(), 0, &Encoded::new(text).parts(), 1);
}

/// Inserts `text` after the entry at `position`; says where it is.
pub fn insert_after(bytes: &mut impl Bytes, position: Position, text: &[u8]) -> Position {
    let at = Position::new(after(bytes.as_slice(), position.at()));
    insert_before(bytes, at, text);
    at
}

/// Puts `text` at the end.
pub fn append(bytes: &mut impl Bytes, text: &[u8]) {
    let end = Listpack::new(bytes.as_slice()).end();
    insert_before(bytes, end, text);
}

/// Puts an integer at the end.
pub fn append_int(bytes: &mut impl Bytes, number: i64) {
    let end = bytes.as_slice().len() - 1;
    splice(bytes, end, 0, &Encoded::of_int(number).parts(), 1);
}

/// Puts `text` at the beginning.
pub fn prepend(bytes: &mut impl Bytes, text: &[u8]) {
    insert_before(bytes, Position::new(HEADER_BYTES), text);
}

/// Puts `texts` at the end.
pub fn append_many(bytes: &mut impl Bytes, texts: &[&[u8]]) {
    let end = Listpack::new(bytes.as_slice()).end();
    insert_many_before(bytes, end, texts);
}

/// Inserts `texts`, in their order, before the entry at `position` or at the end. The first is at `position` then.
pub fn insert_many_before(bytes: &mut impl Bytes, position: Position, texts: &[&[u8]]) {
    match texts {
        [] => {}
        [one] => insert_before(bytes, position, one),
        [one, two] => {
            let (one, two) = (Encoded::new(one), Encoded::new(two));
            let ([a, b, c], [d, e, f]) = (one.parts(), two.parts());
            splice(bytes, position.at(), 0, &[a, b, c, d, e, f], 2);
        }
        many => {
            let mut encoded = Vec::new();
            for text in many {
                push(&mut encoded, text);
            }
            splice(bytes, position.at(), 0, &[&encoded], many.len() as i64);
        }
    }
}

/// Appends the entry of `text`, alone, to `out`.
fn push(out: &mut Vec<u8>, text: &[u8]) {
    for part in Encoded::new(text).parts() {
        out.extend_from_slice(part);
    }
}

/// Entries encoded ahead, to be put into a listpack in one move.
#[derive(Debug, Default)]
pub struct Run {
    bytes: Vec<u8>,
    entries: usize,
}

impl Run {
    /// A run with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            entries: 0,
        }
    }

    /// Adds a text.
    pub fn push(&mut self, text: &[u8]) {
        push(&mut self.bytes, text);
        self.entries += 1;
    }

    /// Adds an integer.
    pub fn push_int(&mut self, number: i64) {
        for part in Encoded::of_int(number).parts() {
            self.bytes.extend_from_slice(part);
        }
        self.entries += 1;
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// How many bytes the entries take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Puts the entries of a run at the end.
pub fn append_run(bytes: &mut impl Bytes, run: &Run) {
    let end = bytes.as_slice().len() - 1;
    splice(bytes, end, 0, &[&run.bytes], run.entries as i64);
}

/// Puts `text` in the place of the entry at `position`.
pub fn replace(bytes: &mut impl Bytes, position: Position, text: &[u8]) {
    let encoded = Encoded::new(text);
    replace_encoded(bytes, position, &encoded);
}

/// Puts an integer in the place of the entry at `position`.
pub fn replace_int(bytes: &mut impl Bytes, position: Position, number: i64) {
    let encoded = Encoded::of_int(number);
    replace_encoded(bytes, position, &encoded);
}

fn replace_encoded(bytes: &mut impl Bytes, position: Position, encoded: &Encoded<'_>) {
    let at = position.at();
    let old = after(bytes.as_slice(), at) - at;
    if old == encoded.len() {
        let target = &mut bytes.as_mut_slice()[at..at + old];
        let (head, rest) = target.split_at_mut(usize::from(encoded.head_len));
        let (text, backlen) = rest.split_at_mut(encoded.text.len());
        let parts = encoded.parts();
        head.copy_from_slice(parts[0]);
        text.copy_from_slice(parts[1]);
        backlen.copy_from_slice(parts[2]);
    } else {
        splice(bytes, at, old, &encoded.parts(), 0);
    }
}

/// Takes out `entries` entries from `position` on, or as many as there are; gives their number. What followed them is at
/// `position` then.
pub fn delete(bytes: &mut impl Bytes, position: Position, entries: usize) -> usize {
    let all = bytes.as_slice();
    let (mut to, mut deleted) = (position.at(), 0);
    while deleted < entries && all[to] != END {
        to = after(all, to);
        deleted += 1;
    }
    splice(bytes, position.at(), to - position.at(), &[], -(deleted as i64));
    deleted
}

/// Puts all entries of `other` behind those of `bytes`.
pub fn merge(bytes: &mut impl Bytes, other: Listpack<'_>) {
    let end = bytes.as_slice().len() - 1;
    let entries = &other.0[HEADER_BYTES..other.0.len() - 1];
    splice(bytes, end, 0, &[entries], other.len() as i64);
}

/// Splits before `position`: what was there and behind becomes a listpack of its own, which is returned.
pub fn split_off(bytes: &mut impl Bytes, position: Position) -> Vec<u8> {
    let (all, at) = (bytes.as_slice(), position.at());
    let entries = Listpack::new(all).iter_from(position).count();
    let mut back = init().to_vec();
    splice(&mut back, HEADER_BYTES, 0, &[&all[at..all.len() - 1]], entries as i64);
    let removed = all.len() - 1 - at;
    splice(bytes, at, removed, &[], -(entries as i64));
    back
}

/// Replaces bytes, and puts the header right for so many `entries` more or fewer.
fn splice(bytes: &mut impl Bytes, at: usize, remove: usize, insert: &[&[u8]], entries: i64) {
    let old_count = count(bytes.as_slice());
    Bytes::splice(bytes, at, remove, insert);
    let all = bytes.as_mut_slice();
    let total = u32::try_from(all.len()).expect("a listpack holds less than 4 GiB: its owner splits it long before");
    all[..4].copy_from_slice(&total.to_le_bytes());
    if old_count != COUNT_UNKNOWN {
        let count = (i64::from(old_count) + entries).clamp(0, i64::from(COUNT_UNKNOWN)) as u16;
        all[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
    }
}
