//! Replies as a client sees them: every RESP2 and RESP3 type, decoded piece by piece as bytes arrive.

use std::fmt;

use crate::scan::find_either;

/// The longest line that is a number or a length. Statuses and errors may be as long as strings: MONITOR's are.
const NUMBER_BYTES_MAX: usize = 4096;

/// One reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+`: a status.
    Simple(Vec<u8>),
    /// `-` or `!`: an error, without its mark.
    Error(Vec<u8>),
    /// `:`
    Int(i64),
    /// `$`: a string of any bytes.
    Bulk(Vec<u8>),
    /// `$-1`: no string, in RESP2.
    NullBulk,
    /// `*-1`: no array, in RESP2.
    NullArray,
    /// `_`: nothing, in RESP3.
    Null,
    /// `*`
    Array(Vec<Value>),
    /// `%`: pairs in the order they came.
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`: a message that answers no request.
    Push(Vec<Value>),
    /// `,`: the text as sent; [`Value::as_f64`] reads it.
    Double(Vec<u8>),
    /// `#`
    Boolean(bool),
    /// `(`: decimal digits.
    BigNumber(Vec<u8>),
    /// `=`: text for people.
    Verbatim {
        /// What kind of text: `txt`, `mkd`.
        format: [u8; 3],
        /// The text itself.
        text: Vec<u8>,
    },
    /// `|`: a reply with remarks about it.
    Attributed {
        /// The remarks.
        attributes: Vec<(Value, Value)>,
        /// The reply.
        value: Box<Value>,
    },
}

impl Value {
    /// The bytes of a status, string or verbatim text.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::Verbatim { text: bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The number of an integer reply, or of a string that holds one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            other => base::number::parse_i64(other.as_bytes()?),
        }
    }

    /// The number of a double reply, or of a string that holds one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Double(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            Self::Int(number) => Some(*number as f64),
            other => std::str::from_utf8(other.as_bytes()?).ok()?.parse().ok(),
        }
    }

    /// The error's line, if this is an error.
    #[must_use]
    pub fn as_error(&self) -> Option<&[u8]> {
        match self {
            Self::Error(line) => Some(line),
            Self::Attributed { value, .. } => value.as_error(),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    #[must_use]
    pub fn as_elements(&self) -> Option<&[Value]> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// Whether this is one of the three ways to say nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::NullBulk | Self::NullArray | Self::Null)
    }
}

/// What a decoder will take before it calls the other side broken.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How deep aggregates may nest.
    pub depth: usize,
    /// The longest string, in bytes.
    pub bulk_bytes: usize,
    /// The most elements of one aggregate; a map's key and value count as two.
    pub elements: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            depth: 64,
            bulk_bytes: 4 << 30,
            elements: 1 << 31,
        }
    }
}

/// Why the bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A reply begins with a byte that marks no type.
    UnknownType(u8),
    /// A header, number or terminator that is not well-formed.
    Malformed(&'static str),
    /// More than [`Bounds`] allow.
    TooLarge(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(byte) => {
                write!(
                    f,
                    "Protocol error, got {:?} as reply type byte",
                    byte.escape_ascii().to_string()
                )
            }
            Self::Malformed(what) => write!(f, "Protocol error, malformed {what}"),
            Self::TooLarge(what) => write!(f, "Protocol error, {what} above the limit"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The outcome of [`decode`].
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// A whole reply, which took `consumed` bytes.
    Value {
        /// The reply.
        value: Value,
        /// How many bytes it took.
        consumed: usize,
    },
    /// The reply goes on.
    Incomplete,
    /// The bytes are no reply.
    Error(DecodeError),
}

/// Decodes the reply at the front of `bytes`, in one go and with default bounds. For a stream use [`Decoder`], which
/// does not begin anew when a reply comes in pieces.
#[must_use]
pub fn decode(bytes: &[u8]) -> Decoded {
    let mut progress = Progress::default();
    match progress.advance(bytes, &Bounds::default()) {
        Ok(Some(value)) => Decoded::Value {
            value,
            consumed: progress.at,
        },
        Ok(None) => Decoded::Incomplete,
        Err(error) => Decoded::Error(error),
    }
}

/// Decodes the replies of one connection: bytes in, values out.
#[derive(Debug, Default)]
pub struct Decoder {
    buf: Vec<u8>,
    bounds: Bounds,
    progress: Progress,
}

impl Decoder {
    /// A decoder with these bounds; `Decoder::default()` has generous ones.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    /// Takes bytes from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.progress.at == self.buf.len() || self.progress.at >= 64 * 1024 {
            self.buf.drain(..self.progress.at);
            self.progress.at = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// The next whole reply, or `None` until more bytes come.
    ///
    /// # Errors
    /// When the bytes are no reply; the connection is then of no further use.
    #[allow(clippy::should_implement_trait, reason = "an iterator would end at None")]
    pub fn next(&mut self) -> Result<Option<Value>, DecodeError> {
        self.progress.advance(&self.buf, &self.bounds)
    }

    /// The bytes that no decoded reply has used.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.buf[self.progress.at..]
    }

    /// Whether no reply has been begun.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.rest().is_empty() && self.progress.open.is_empty()
    }
}

/// How far a reply has been decoded.
#[derive(Debug, Default)]
struct Progress {
    /// The first byte not yet decoded.
    at: usize,
    /// The aggregates around it, outermost first.
    open: Vec<Open>,
}

/// An aggregate of which elements are missing.
#[derive(Debug)]
struct Open {
    kind: u8,
    missing: usize,
    elements: Vec<Value>,
}

/// What stands at one place.
enum Item {
    Scalar(Value),
    /// An aggregate of so many elements begins.
    Opens {
        kind: u8,
        elements: usize,
    },
}

impl Progress {
    /// Decodes on from `at`; `bytes` begins with what it began with before.
    fn advance(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<Option<Value>, DecodeError> {
        loop {
            let Some((item, length)) = read_item(&bytes[self.at..], bounds)? else {
                return Ok(None);
            };
            self.at += length;
            let mut value = match item {
                Item::Scalar(value) => value,
                Item::Opens { kind, elements } if elements > 0 || kind == b'|' => {
                    if self.open.len() == bounds.depth {
                        return Err(DecodeError::TooLarge("nesting"));
                    }
                    // Attributes are followed by the reply they belong to.
                    let missing = elements + usize::from(kind == b'|');
                    self.open.push(Open {
                        kind,
                        missing,
                        elements: Vec::with_capacity(missing.min(1024)),
                    });
                    continue;
                }
                Item::Opens { kind, .. } => close(kind, Vec::new()),
            };
            loop {
                let Some(open) = self.open.last_mut() else {
                    return Ok(Some(value));
                };
                open.elements.push(value);
                open.missing -= 1;
                if open.missing > 0 {
                    break;
                }
                let (kind, elements) = (open.kind, std::mem::take(&mut open.elements));
                self.open.pop();
                value = close(kind, elements);
            }
        }
    }
}

/// The value of an aggregate whose elements are all there.
fn close(kind: u8, mut elements: Vec<Value>) -> Value {
    match kind {
        b'~' => Value::Set(elements),
        b'>' => Value::Push(elements),
        b'%' => Value::Map(pairs(elements)),
        b'|' => match elements.pop() {
            Some(value) => Value::Attributed {
                attributes: pairs(elements),
                value: Box::new(value),
            },
            None => Value::Null,
        },
        _ => Value::Array(elements),
    }
}

fn pairs(elements: Vec<Value>) -> Vec<(Value, Value)> {
    let mut elements = elements.into_iter();
    let mut pairs = Vec::with_capacity(elements.len() / 2);
    while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
        pairs.push((key, value));
    }
    pairs
}

/// Reads one scalar, or the header of an aggregate; and says how many bytes it took.
fn read_item(bytes: &[u8], bounds: &Bounds) -> Result<Option<(Item, usize)>, DecodeError> {
    let Some((&mark, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    if !b"+-:$*%~>,#(=!_|".contains(&mark) {
        return Err(DecodeError::UnknownType(mark));
    }
    let line_bytes_max = if matches!(mark, b'+' | b'-') {
        bounds.bulk_bytes
    } else {
        NUMBER_BYTES_MAX
    };
    let Some(line) = read_line(rest, line_bytes_max)? else {
        return Ok(None);
    };
    let header_bytes = 1 + line.len() + 2;
    let scalar = |value| Ok(Some((Item::Scalar(value), header_bytes)));
    match mark {
        b'+' => scalar(Value::Simple(line.to_vec())),
        b'-' => scalar(Value::Error(line.to_vec())),
        b':' => scalar(Value::Int(number(line, "number")?)),
        b',' if is_double(line) => scalar(Value::Double(line.to_vec())),
        b',' => Err(DecodeError::Malformed("double")),
        b'(' if is_big_number(line) => scalar(Value::BigNumber(line.to_vec())),
        b'(' => Err(DecodeError::Malformed("big number")),
        b'_' if line.is_empty() => scalar(Value::Null),
        b'_' => Err(DecodeError::Malformed("null")),
        b'#' => match line {
            b"t" => scalar(Value::Boolean(true)),
            b"f" => scalar(Value::Boolean(false)),
            _ => Err(DecodeError::Malformed("boolean")),
        },
        b'$' | b'=' | b'!' => read_bulk(mark, line, &bytes[header_bytes..], bounds)
            .map(|found| found.map(|(value, length)| (Item::Scalar(value), header_bytes + length))),
        _ => match number(line, "length")? {
            -1 if mark == b'*' => scalar(Value::NullArray),
            count => {
                let count = usize::try_from(count).map_err(|_| DecodeError::Malformed("length"))?;
                let per_element = if matches!(mark, b'%' | b'|') { 2 } else { 1 };
                let elements = count
                    .checked_mul(per_element)
                    .filter(|&elements| elements <= bounds.elements);
                let elements = elements.ok_or(DecodeError::TooLarge("elements"))?;
                Ok(Some((Item::Opens { kind: mark, elements }, header_bytes)))
            }
        },
    }
}

/// Reads the bytes after a bulk's header; and says how many they are with their terminator.
fn read_bulk(mark: u8, line: &[u8], body: &[u8], bounds: &Bounds) -> Result<Option<(Value, usize)>, DecodeError> {
    let length = number(line, "length")?;
    if length == -1 && mark == b'$' {
        return Ok(Some((Value::NullBulk, 0)));
    }
    let length = usize::try_from(length).map_err(|_| DecodeError::Malformed("length"))?;
    if length > bounds.bulk_bytes {
        return Err(DecodeError::TooLarge("string"));
    }
    let Some(terminator) = body.get(length..).and_then(|rest| rest.first_chunk::<2>()) else {
        return Ok(None);
    };
    if terminator != b"\r\n" {
        return Err(DecodeError::Malformed("string"));
    }
    let bytes = &body[..length];
    let value = match (mark, bytes) {
        (b'$', _) => Value::Bulk(bytes.to_vec()),
        (b'!', _) => Value::Error(bytes.to_vec()),
        (_, [a, b, c, b':', text @ ..]) => Value::Verbatim {
            format: [*a, *b, *c],
            text: text.to_vec(),
        },
        _ => return Err(DecodeError::Malformed("verbatim string")),
    };
    Ok(Some((value, length + 2)))
}

/// The line up to CR LF, without it. Either byte alone is part of the line.
fn read_line(bytes: &[u8], bytes_max: usize) -> Result<Option<&[u8]>, DecodeError> {
    let mut from = 0;
    while let Some(found) = find_either(&bytes[from..], b'\r', b'\r') {
        let end = from + found;
        match bytes.get(end + 1) {
            Some(b'\n') if end <= bytes_max => return Ok(Some(&bytes[..end])),
            Some(b'\n') => return Err(DecodeError::TooLarge("line")),
            Some(_) => from = end + 1,
            None => return Ok(None),
        }
    }
    if bytes.len() > bytes_max {
        Err(DecodeError::TooLarge("line"))
    } else {
        Ok(None)
    }
}

fn number(line: &[u8], what: &'static str) -> Result<i64, DecodeError> {
    base::number::parse_i64(line).ok_or(DecodeError::Malformed(what))
}

fn is_double(line: &[u8]) -> bool {
    // `nan` may carry a sign, as C prints it.
    std::str::from_utf8(line).is_ok_and(|text| text.parse::<f64>().is_ok())
}

fn is_big_number(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8]) -> Value {
        match decode(bytes) {
            Decoded::Value { value, consumed } if consumed == bytes.len() => value,
            other => panic!("{}: {other:?}", bytes.escape_ascii()),
        }
    }

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn every_type() {
        assert_eq!(value(b"+OK\r\n"), Value::Simple(b"OK".to_vec()));
        assert_eq!(value(b"-ERR no\r\n"), Value::Error(b"ERR no".to_vec()));
        assert_eq!(value(b"!6\r\nERR no\r\n"), Value::Error(b"ERR no".to_vec()));
        assert_eq!(value(b":-12\r\n"), Value::Int(-12));
        assert_eq!(value(b"$4\r\na\r\nb\r\n"), bulk("a\r\nb"));
        assert_eq!(value(b"$-1\r\n"), Value::NullBulk);
        assert_eq!(value(b"*-1\r\n"), Value::NullArray);
        assert_eq!(value(b"_\r\n"), Value::Null);
        assert_eq!(
            value(b"*2\r\n$1\r\na\r\n*0\r\n"),
            Value::Array(vec![bulk("a"), Value::Array(vec![])])
        );
        assert_eq!(
            value(b"%1\r\n$1\r\na\r\n:1\r\n"),
            Value::Map(vec![(bulk("a"), Value::Int(1))])
        );
        assert_eq!(value(b"~1\r\n#t\r\n"), Value::Set(vec![Value::Boolean(true)]));
        assert_eq!(value(b">1\r\n#f\r\n"), Value::Push(vec![Value::Boolean(false)]));
        assert_eq!(value(b",-inf\r\n").as_f64(), Some(f64::NEG_INFINITY));
        assert_eq!(
            value(b"(-12345678901234567890\r\n"),
            Value::BigNumber(b"-12345678901234567890".to_vec())
        );
        assert_eq!(
            value(b"=7\r\ntxt:abc\r\n"),
            Value::Verbatim {
                format: *b"txt",
                text: b"abc".to_vec()
            }
        );
        let attributes = vec![(bulk("ttl"), Value::Int(9))];
        let attributed = Value::Attributed {
            attributes,
            value: Box::new(Value::Array(vec![Value::Int(1)])),
        };
        assert_eq!(value(b"|1\r\n$3\r\nttl\r\n:9\r\n*1\r\n:1\r\n"), attributed);
    }

    #[test]
    fn what_is_no_reply() {
        for bytes in [
            b"x\r\n".as_slice(),
            b":1x\r\n",
            b"$-2\r\n",
            b"$2\r\nabc\r\n",
            b"*-2\r\n",
            b"%-1\r\n",
            b"#x\r\n",
            b"_x\r\n",
            b",x\r\n",
            b"(1.5\r\n",
            b"=3\r\nabc\r\n",
            b"*99999999999\r\n",
            b"$99999999999\r\n",
        ] {
            assert!(matches!(decode(bytes), Decoded::Error(_)), "{}", bytes.escape_ascii());
        }
        assert!(matches!(
            decode(&b"*1\r\n".repeat(100)),
            Decoded::Error(DecodeError::TooLarge("nesting"))
        ));
    }

    /// A reply of a million elements that comes byte by byte is decoded once, not a million times.
    #[test]
    fn an_aggregate_in_pieces_is_decoded_once() {
        let mut bytes = b"*200000\r\n".to_vec();
        for number in 0..200_000 {
            bytes.extend_from_slice(format!(":{number}\r\n").as_bytes());
        }
        let mut decoder = Decoder::default();
        for piece in bytes[..bytes.len() - 1].chunks(7) {
            decoder.push(piece);
            assert_eq!(decoder.next(), Ok(None));
        }
        assert!(!decoder.is_idle());
        decoder.push(b"\n+rest");
        let Ok(Some(Value::Array(elements))) = decoder.next() else {
            panic!("no array")
        };
        assert_eq!(elements.last(), Some(&Value::Int(199_999)));
        assert_eq!(decoder.rest(), b"+rest");
    }
}
