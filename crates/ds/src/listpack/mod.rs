//! Listpacks: a list of texts and integers in one run of bytes, readable from both ends.
//!
//! ```text
//!  0           4        6                                                    total - 1
//! +-----------+--------+-------------------+-------------------+-- ... --+-----+
//! | total     | count  | entry             | entry             |         | ff  |
//! | bytes u32 | u16    | form data backlen |                   |         |     |   little-endian
//! +-----------+--------+-------------------+-------------------+-- ... --+-----+
//!
//!   form                                 data
//!   0vvvvvvv                             -                integer 0 to 127
//!   10llllll                             l bytes          text up to 63 bytes
//!   110vvvvv vvvvvvvv                    -                integer of 13 bits, two's complement
//!   1110llll llllllll                    l bytes          text up to 4,095 bytes
//!   f0 l l l l (little-endian)           l bytes          text
//!   f1, f2, f3, f4                       2, 3, 4, 8       integer, little-endian, two's complement
//!
//!   backlen: how long form and data are, seven bits a byte, the lowest last; all bytes but the first have bit 7 set
//! ```
//!
//! A count of 65,535 means "that many or more: go and count". A text that is a canonical integer is kept as one. This
//! is the stock servers' format, byte for byte; there is no other authority for it.
//!
//! [`Listpack`] reads bytes that are known to be whole ([`validate`] says so of foreign ones): on others it gives wrong
//! answers or panics, nothing worse. The functions edit through [`Bytes`], wherever they lie.

mod check;
mod edit;

use base::number;

pub use check::validate;
pub use edit::{
    Run, append, append_int, append_many, append_run, delete, encoded_bytes, entry_bytes, init, insert_after,
    insert_before, insert_many_before, merge, prepend, replace, replace_int, split_off,
};

const HEADER_BYTES: usize = 6;
const END: u8 = 0xff;
/// In the header: the number of entries does not fit it.
const COUNT_UNKNOWN: u16 = u16::MAX;

const TEXT_6: u8 = 0x80;
const INT_13: u8 = 0xc0;
const TEXT_12: u8 = 0xe0;
const TEXT_32: u8 = 0xf0;
const INT_16: u8 = 0xf1;
const INT_24: u8 = 0xf2;
const INT_32: u8 = 0xf3;
const INT_64: u8 = 0xf4;

/// The most bytes of form and data of an integer.
const INT_BYTES_MAX: usize = 9;
const BACKLEN_BYTES_MAX: usize = 5;

/// Where an entry begins, or where the listpack ends; edits at or before it make it stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u32);

impl Position {
    #[inline]
    fn new(at: usize) -> Self {
        Self(at as u32)
    }

    #[inline]
    fn at(self) -> usize {
        self.0 as usize
    }

    /// Bytes from the beginning.
    #[must_use]
    pub fn offset(self) -> usize {
        self.at()
    }
}

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text that is a canonical integer.
    Int(i64),
    /// Any other text.
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// Whether this is `text`.
    #[inline]
    #[must_use]
    pub fn is(&self, text: &[u8]) -> bool {
        match self {
            Self::Int(number) => number::parse_i64(text) == Some(*number),
            Self::Bytes(bytes) => *bytes == text,
        }
    }

    /// Hands the text on.
    #[inline]
    pub fn with_text<R>(&self, then: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Bytes(bytes) => then(bytes),
            Self::Int(number) => {
                let (digits, start) = int_text(*number);
                then(&digits[start..])
            }
        }
    }

    /// Appends the text.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>) {
        self.with_text(|text| out.extend_from_slice(text));
    }

    /// The text.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.with_text(<[u8]>::to_vec)
    }

    /// The length of the text.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with_text(<[u8]>::len)
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Bytes([]))
    }

    /// The integer that the text is, if it is one.
    #[must_use]
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bytes(bytes) => number::parse_i64(bytes),
        }
    }
}

/// An integer in decimal, at the end of the array, and where it begins.
#[inline]
fn int_text(value: i64) -> ([u8; 20], usize) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        start -= 1;
        digits[start] = b'-';
    }
    (digits, start)
}

/// What is wrong with foreign bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where, in bytes from their beginning.
    pub at: usize,
    /// What.
    pub what: &'static str,
}

impl Damage {
    pub(crate) fn new(at: usize, what: &'static str) -> Self {
        Self { at, what }
    }
}

/// A listpack that is known to be whole.
#[derive(Clone, Copy, Debug)]
pub struct Listpack<'a>(&'a [u8]);

impl<'a> Listpack<'a> {
    /// The listpack that `bytes` are.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        debug_assert!(bytes.len() > HEADER_BYTES && total_bytes(bytes) == bytes.len());
        Self(bytes)
    }

    /// Its bytes, the header included.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The number of entries. Counts when there are 65,535 or more.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        match count(self.0) {
            COUNT_UNKNOWN => self.iter().count(),
            count => usize::from(count),
        }
    }

    /// Whether there are no entries.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0[HEADER_BYTES] == END
    }

    /// The position behind the last entry.
    #[inline]
    #[must_use]
    pub fn end(self) -> Position {
        Position::new(self.0.len() - 1)
    }

    /// The first entry.
    #[inline]
    #[must_use]
    pub fn first(self) -> Option<Position> {
        (!self.is_empty()).then_some(Position::new(HEADER_BYTES))
    }

    /// The last entry.
    #[inline]
    #[must_use]
    pub fn last(self) -> Option<Position> {
        self.prev(self.end())
    }

    /// The entry after the one at `position`.
    #[inline]
    #[must_use]
    pub fn next(self, position: Position) -> Option<Position> {
        let next = after(self.0, position.at());
        (self.0[next] != END).then_some(Position::new(next))
    }

    /// The entry before the one at `position`, or before the end.
    #[inline]
    #[must_use]
    pub fn prev(self, position: Position) -> Option<Position> {
        (position.at() > HEADER_BYTES).then(|| Position::new(before(self.0, position.at())))
    }

    /// The entry of this index; negative ones count from the end, -1 being the last.
    #[must_use]
    pub fn seek(self, index: i64) -> Option<Position> {
        let len = self.len() as i64;
        let index = if index < 0 { index + len } else { index };
        if !(0..len).contains(&index) {
            return None;
        }
        if index < len / 2 {
            let first = self.first();
            (0..index).fold(first, |at, _| at.and_then(|at| self.next(at)))
        } else {
            let end = Some(self.end());
            (index..len).fold(end, |at, _| at.and_then(|at| self.prev(at)))
        }
    }

    /// What the entry at `position` holds. There must be one.
    #[inline]
    #[must_use]
    pub fn get(self, position: Position) -> Value<'a> {
        decode(self.0, position.at()).0
    }

    /// The first of every `skip + 1`-th entry, the first one included, that is `text`.
    #[inline]
    #[must_use]
    pub fn find(self, text: &[u8], skip: usize) -> Option<Position> {
        self.find_from(Position::new(HEADER_BYTES), text, skip)
    }

    /// As [`Self::find`], from the entry at `position` on.
    #[must_use]
    pub fn find_from(self, position: Position, text: &[u8], skip: usize) -> Option<Position> {
        let wanted_int = number::parse_i64(text);
        let mut at = position.at();
        let mut passing = 0;
        while self.0[at] != END {
            if passing == 0 {
                let (value, next) = decode(self.0, at);
                let found = match value {
                    Value::Bytes(bytes) => bytes == text,
                    Value::Int(number) => wanted_int == Some(number),
                };
                if found {
                    return Some(Position::new(at));
                }
                at = next;
                passing = skip;
            } else {
                at = after(self.0, at);
                passing -= 1;
            }
        }
        None
    }

    /// The entries in order.
    #[inline]
    #[must_use]
    pub fn iter(self) -> Iter<'a> {
        self.iter_from(Position::new(HEADER_BYTES))
    }

    /// The entries from the one at `position` on.
    #[inline]
    #[must_use]
    pub fn iter_from(self, position: Position) -> Iter<'a> {
        Iter {
            bytes: self.0,
            at: position.at(),
        }
    }

    /// The entries from the last to the first.
    #[inline]
    #[must_use]
    pub fn iter_back(self) -> IterBack<'a> {
        self.iter_back_before(self.end())
    }

    /// The entries before the one at `position`, backwards.
    #[inline]
    #[must_use]
    pub fn iter_back_before(self, position: Position) -> IterBack<'a> {
        IterBack {
            bytes: self.0,
            at: position.at(),
        }
    }

    /// The entries two by two: fields and values, members and scores. An odd last one is left out.
    #[inline]
    pub fn pairs(self) -> impl Iterator<Item = (Position, Value<'a>, Value<'a>)> {
        let mut iter = self.iter();
        std::iter::from_fn(move || {
            let (position, first) = iter.next()?;
            Some((position, first, iter.next()?.1))
        })
    }
}

impl<'a> IntoIterator for Listpack<'a> {
    type Item = (Position, Value<'a>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Entries in order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iter<'_> {
    /// Where the next entry is, or the end.
    #[inline]
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.at)
    }

    /// Passes over the next entry, which must be there, without a look at it.
    #[inline]
    pub fn skip_one(&mut self) {
        self.at = after(self.bytes, self.at);
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Position, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes[self.at] == END {
            return None;
        }
        let (value, next) = decode(self.bytes, self.at);
        let position = Position::new(self.at);
        self.at = next;
        Some((position, value))
    }
}

/// Entries from the last to the first.
#[derive(Clone, Debug)]
pub struct IterBack<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for IterBack<'a> {
    type Item = (Position, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at <= HEADER_BYTES {
            return None;
        }
        self.at = before(self.bytes, self.at);
        Some((Position::new(self.at), decode(self.bytes, self.at).0))
    }
}

#[inline]
fn total_bytes(bytes: &[u8]) -> usize {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}

#[inline]
fn count(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[4], bytes[5]])
}

/// What lies at `at`, and where the next entry begins.
#[inline]
fn decode(bytes: &[u8], at: usize) -> (Value<'_>, usize) {
    let first = bytes[at];
    if first < TEXT_6 {
        return (Value::Int(i64::from(first)), at + 2);
    }
    if first < INT_13 {
        let len = usize::from(first & 0x3f);
        return (Value::Bytes(&bytes[at + 1..][..len]), at + 2 + len);
    }
    if first < TEXT_12 {
        let raw = u16::from(first & 0x1f) << 8 | u16::from(bytes[at + 1]);
        return (Value::Int(i64::from((raw << 3) as i16 >> 3)), at + 3);
    }
    let long = |head: usize, len: usize| {
        let start = at + head;
        let next = start + len + backlen_bytes(head + len);
        (Value::Bytes(&bytes[start..start + len]), next)
    };
    if first < TEXT_32 {
        return long(2, usize::from(first & 0x0f) << 8 | usize::from(bytes[at + 1]));
    }
    match first {
        TEXT_32 => long(5, u32::from_le_bytes(array(bytes, at + 1)) as usize),
        INT_16 => (Value::Int(i64::from(i16::from_le_bytes(array(bytes, at + 1)))), at + 4),
        INT_24 => {
            let [low, middle, high] = array(bytes, at + 1);
            let number = i32::from_le_bytes([0, low, middle, high]) >> 8;
            (Value::Int(i64::from(number)), at + 5)
        }
        INT_32 => (Value::Int(i64::from(i32::from_le_bytes(array(bytes, at + 1)))), at + 6),
        INT_64 => (Value::Int(i64::from_le_bytes(array(bytes, at + 1))), at + 10),
        _ => panic!("no form of a listpack's entry: {first:#x} at byte {at}"),
    }
}

#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// Where the entry after the one at `at` begins.
#[inline]
fn after(bytes: &[u8], at: usize) -> usize {
    let first = bytes[at];
    if first < TEXT_6 {
        at + 2
    } else if first < INT_13 {
        at + 2 + usize::from(first & 0x3f)
    } else {
        decode(bytes, at).1
    }
}

/// Where the entry that ends before `at` begins.
#[inline]
fn before(bytes: &[u8], at: usize) -> usize {
    let mut last = at - 1;
    let (mut len, mut shift) = (0, 0);
    loop {
        len |= usize::from(bytes[last] & 0x7f) << shift;
        if bytes[last] & 0x80 == 0 {
            return last - len;
        }
        last -= 1;
        shift += 7;
        assert!(shift <= 28, "a backlen without an end before byte {at}");
    }
}

/// How many bytes the backlen of so many bytes of form and data has.
#[inline]
fn backlen_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn texts(bytes: &[u8]) -> Vec<Vec<u8>> {
        Listpack::new(bytes).iter().map(|(_, value)| value.to_vec()).collect()
    }

    /// What stock 7.0.15 gives as DUMP of such a hash, without type, length and footer.
    #[test]
    fn the_encodings_are_those_of_stock() {
        let x63 = "x".repeat(63);
        let pairs: [(&str, &str); 17] = [
            ("a", "0"),
            ("b", "127"),
            ("c", "128"),
            ("d", "-1"),
            ("e", "4095"),
            ("f", "-4096"),
            ("g", "4096"),
            ("h", "32767"),
            ("i", "-32769"),
            ("j", "8388607"),
            ("k", "-8388609"),
            ("l", "2147483648"),
            ("m", "9223372036854775807"),
            ("n", "-9223372036854775808"),
            ("", "01"),
            ("p", &x63),
            ("q", "9223372036854775808"),
        ];
        let mut one_by_one = init().to_vec();
        let mut two_by_two = init().to_vec();
        for (field, value) in pairs {
            append(&mut one_by_one, field.as_bytes());
            append(&mut one_by_one, value.as_bytes());
            append_many(&mut two_by_two, &[field.as_bytes(), value.as_bytes()]);
        }
        let golden = "d9000000220081610200018162027f01816302c08002816402dfff02816502cfff02816602d00002816702\
                      f1001003816802f1ff7f03816902f2ff7fff04816a02f2ffff7f04816b02f3ffff7fff05816c02f4000000\
                      800000000009816d02f4ffffffffffffff7f09816e02f4000000000000008009800182303103817002bf";
        let golden = [
            golden,
            &"78".repeat(63),
            "40817102933932323333373230333638353437373538303814ff",
        ]
        .concat();
        assert_eq!(hex(&one_by_one), golden);
        assert_eq!(hex(&two_by_two), golden);
        assert_eq!(validate(&one_by_one), Ok(34));

        let mut long = init().to_vec();
        append_many(&mut long, &[&[b'y'; 4000], &[b'z'; 5000]]);
        let back = hex(&long);
        assert!(back.starts_with("3a2300000200efa079") && back.ends_with("7a278dff"));
        assert!(back.contains("791fa2f0881300007a"));
    }

    #[test]
    fn values_are_texts() {
        for text in [
            &b""[..],
            b"0",
            b"-1",
            b"01",
            b"-0",
            b"9223372036854775807",
            b"9223372036854775808",
            b"text",
        ] {
            let mut bytes = init().to_vec();
            append(&mut bytes, text);
            let value = Listpack::new(&bytes).get(Listpack::new(&bytes).first().unwrap());
            assert!(value.is(text) && !value.is(b"other"));
            assert_eq!((value.to_vec().as_slice(), value.len()), (text, text.len()));
            assert_eq!(value.is_empty(), text.is_empty());
            assert!(encoded_bytes(text) <= entry_bytes(text.len()) + 4);
        }
    }

    #[test]
    fn all_lengths_of_text_and_backlen() {
        for len in [
            62, 63, 64, 125, 126, 127, 4095, 4096, 16_377, 16_378, 16_383, 70_000, 2_097_145, 2_097_146, 2_097_152,
        ] {
            let text = vec![b'x'; len];
            let mut bytes = init().to_vec();
            append_many(&mut bytes, &[b"1", &text, b"2"]);
            assert_eq!(validate(&bytes), Ok(3), "{len}");
            assert_eq!(texts(&bytes), [b"1".to_vec(), text.clone(), b"2".to_vec()]);
            assert_eq!(bytes.len(), 7 + 2 + entry_bytes(len) + 2);
            let last = Listpack::new(&bytes).last().unwrap();
            let middle = Listpack::new(&bytes).prev(last).unwrap();
            assert!(Listpack::new(&bytes).get(middle).is(&text));
        }
    }

    fn random_text(rng: &mut Rng) -> Vec<u8> {
        match rng.below(6) {
            0 => (rng.next_u64() as i64 >> rng.below(64)).to_string().into_bytes(),
            1 => vec![b'l'; rng.below(5000) as usize],
            2 => vec![b'm'; rng.below(130) as usize],
            _ => rng.below(40).to_string().into_bytes(),
        }
    }

    fn same(bytes: &[u8], model: &[Vec<u8>]) {
        assert_eq!(validate(bytes), Ok(model.len()));
        let pack = Listpack::new(bytes);
        assert_eq!((pack.len(), pack.is_empty()), (model.len(), model.is_empty()));
        assert_eq!(texts(bytes), model);
        let back: Vec<_> = pack.iter_back().map(|(_, value)| value.to_vec()).collect();
        assert!(back.iter().eq(model.iter().rev()));
    }

    #[test]
    fn edits_are_those_of_a_vector() {
        for seed in 0..40 {
            let mut rng = Rng::new(seed);
            let (mut bytes, mut model) = (init().to_vec(), Vec::<Vec<u8>>::new());
            for _ in 0..150 {
                let text = random_text(&mut rng);
                let index = rng.below(model.len() as u64 + 1) as usize;
                let place = Listpack::new(&bytes).seek(index as i64);
                assert_eq!(place.is_some(), index < model.len());
                let at = place.unwrap_or(Listpack::new(&bytes).end());
                match (rng.below(9), place) {
                    (0, Some(_)) => {
                        replace(&mut bytes, at, &text);
                        model[index] = text;
                    }
                    (1, Some(_)) => {
                        let count = rng.below(4) as usize;
                        let deleted = delete(&mut bytes, at, count);
                        assert_eq!(deleted, model.drain(index..(index + count).min(model.len())).count());
                    }
                    (2, _) => {
                        let more = [text.as_slice(), b"7", b"", b"x"];
                        let more = &more[..rng.below(5) as usize];
                        insert_many_before(&mut bytes, at, more);
                        model.splice(index..index, more.iter().map(|text| text.to_vec()));
                    }
                    (3, Some(_)) => {
                        let new = insert_after(&mut bytes, at, &text);
                        assert!(Listpack::new(&bytes).get(new).is(&text));
                        model.insert(index + 1, text);
                    }
                    (4, _) => {
                        prepend(&mut bytes, &text);
                        model.insert(0, text);
                    }
                    (5, _) => {
                        let number = rng.next_u64() as i64;
                        append_int(&mut bytes, number);
                        model.push(number.to_string().into_bytes());
                    }
                    (6, _) => {
                        let back = split_off(&mut bytes, at);
                        same(&back, &model[index..]);
                        same(&bytes, &model[..index]);
                        merge(&mut bytes, Listpack::new(&back));
                    }
                    (7, _) => {
                        let pack = Listpack::new(&bytes);
                        let skip = rng.below(3) as usize;
                        let found = pack.find(&text, skip);
                        let expected = model.iter().step_by(skip + 1).position(|item| *item == text);
                        let expected = expected.and_then(|index| pack.seek((index * (skip + 1)) as i64));
                        assert_eq!(found, expected);
                        assert_eq!(pack.seek(-1 - index as i64).is_some(), index < model.len());
                    }
                    _ => {
                        insert_before(&mut bytes, at, &text);
                        model.insert(index, text);
                    }
                }
                same(&bytes, &model);
            }
        }
    }

    #[test]
    fn counts_beyond_the_header() {
        let mut bytes = init().to_vec();
        let many = vec![&b"x"[..]; 70_000];
        append_many(&mut bytes, &many);
        assert_eq!(hex(&bytes[4..6]), "ffff");
        assert_eq!((validate(&bytes), Listpack::new(&bytes).len()), (Ok(70_000), 70_000));
        let first = Listpack::new(&bytes).first().unwrap();
        assert_eq!(delete(&mut bytes, first, 69_999), 69_999);
        assert_eq!(Listpack::new(&bytes).len(), 1);
    }

    #[test]
    fn damage_is_seen_and_never_panics() {
        let mut bytes = init().to_vec();
        append_many(
            &mut bytes,
            &[b"a", b"1000", b"-100000", &[b'x'; 100], &[b'y'; 4100], b"9999999999999"],
        );
        assert_eq!(validate(&bytes), Ok(6));
        for end in 0..bytes.len() {
            assert!(validate(&bytes[..end]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if validate(&damaged).is_ok() {
                Listpack::new(&damaged)
                    .iter()
                    .for_each(|(_, value)| drop(value.to_vec()));
                Listpack::new(&damaged).iter_back().for_each(drop);
            }
        }
        assert!(validate(b"\x07\0\0\0\0\0\xff").is_ok());
        assert!(validate(b"\x08\0\0\0\x01\0\x81\xff").is_err());
        assert!(validate(b"\x08\0\0\0\0\0\xff\xff").is_err());
    }
}
