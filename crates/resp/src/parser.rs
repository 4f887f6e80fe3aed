//! The incremental request parser.
//!
//! ```text
//!   *3\r\n  $3\r\n SET \r\n  $1\r\n k \r\n  $5\r\n va…        multibulk: bytes from here on are still to come
//!   ▲                                      ▲
//!   first unconsumed byte                  State::Argument { bulk: Some(5), .. }: the next call starts here
//!
//!   SET k "a value"\r\n                                       inline: a line of words
//! ```
//!
//! The read buffer keeps a request until it is whole. Between calls the parser remembers how far it came, not what it
//! saw: when the last piece arrives it walks the lengths once more to collect the words, so that the work is linear in
//! the number of words, never in the bytes of a large value, and an idle connection costs four words of state.

use std::fmt;

use crate::args::{ArgRange, Argv, Origin};
use crate::inline;
use crate::scan::find_either;

/// The longest line: an inline request, or the count that begins a multibulk request or a bulk.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// The most words a request may announce.
const WORDS_MAX: i64 = i32::MAX as i64;
/// The most words a request may announce before the client has authenticated.
const UNAUTHENTICATED_WORDS_MAX: i64 = 10;
/// The longest word before the client has authenticated, in bytes.
const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16_384;
/// The largest query buffer before the client has authenticated, in bytes.
const UNAUTHENTICATED_QUERY_BUFFER_BYTES_MAX: u64 = 1024 * 1024;

/// What a connection may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest word, in bytes: `proto-max-bulk-len`. `u64::MAX` for the link to a primary.
    pub bulk_bytes: u64,
    /// False as long as the connection must still authenticate: then the requests may only be small.
    pub authenticated: bool,
    /// `client-query-buffer-limit`: how many bytes may be waiting, read but not yet executed. The parser does not look
    /// at it; the owner of the buffer asks [`Limits::query_buffer_exceeded`] after each read.
    pub query_buffer_bytes: u64,
}

impl Limits {
    /// Whether a connection with `buffered` unparsed bytes and `queued` bytes in an open MULTI must be closed.
    #[must_use]
    pub fn query_buffer_exceeded(&self, buffered: usize, queued: usize) -> bool {
        let waiting = buffered as u64 + queued as u64;
        waiting > self.query_buffer_bytes || (!self.authenticated && waiting > UNAUTHENTICATED_QUERY_BUFFER_BYTES_MAX)
    }
}

impl Default for Limits {
    /// A stock server's defaults, authenticated: 512 MiB a word, 1 GiB of query buffer.
    fn default() -> Self {
        Self {
            bulk_bytes: 512 * 1024 * 1024,
            authenticated: true,
            query_buffer_bytes: 1024 * 1024 * 1024,
        }
    }
}

/// What one call of [`Parser::parse`] found at the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Parsed {
    /// A request of at least one word; it took `consumed` bytes.
    Command {
        /// How many bytes to remove from the front of the buffer, after the command has used them.
        consumed: usize,
    },
    /// A blank line, or a multibulk request of no words: nothing to do, no reply.
    Empty {
        /// How many bytes to remove from the front of the buffer.
        consumed: usize,
    },
    /// The request goes on; call again with the same bytes and more behind them.
    Incomplete,
    /// The connection cannot go on: send the error, close.
    Error(ProtocolError),
}

/// Why a connection cannot go on. Displays as stock servers reply, without the leading `-ERR `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// No line end within 64 KiB of an inline request.
    InlineTooLong,
    /// The quotes of an inline request do not close.
    UnbalancedQuotes,
    /// No line end within 64 KiB of a `*`.
    MultibulkCountTooLong,
    /// The count after `*` is no number or is too large.
    InvalidMultibulkLength,
    /// More than 10 words before authentication.
    UnauthenticatedMultibulkLength,
    /// No line end within 64 KiB of a `$`.
    BulkCountTooLong,
    /// Something else where a `$` must be.
    ExpectedDollar {
        /// The byte found.
        got: u8,
    },
    /// The length after `$` is no number, negative, or above `proto-max-bulk-len`.
    InvalidBulkLength,
    /// A word of more than 16,384 bytes before authentication.
    UnauthenticatedBulkLength,
}

impl ProtocolError {
    /// The wording of stock servers' logs: `Protocol error (<reason>) from client: …`.
    #[must_use]
    pub fn log_reason(self) -> &'static str {
        match self {
            Self::InlineTooLong => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in inline request",
            Self::MultibulkCountTooLong => "too big mbulk count string",
            Self::InvalidMultibulkLength => "invalid mbulk count",
            Self::UnauthenticatedMultibulkLength => "unauth mbulk count",
            Self::BulkCountTooLong => "too big bulk count string",
            Self::ExpectedDollar { .. } => "expected $ but got something else",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedBulkLength => "unauth bulk length",
        }
    }

    /// The whole error reply, as bytes: the offending byte goes back as it came, whatever it is.
    #[must_use]
    pub fn reply_line(self) -> Vec<u8> {
        let mut line = b"-ERR ".to_vec();
        match self {
            // The reply is a C string there: a zero byte ends it.
            Self::ExpectedDollar { got: 0 } => line.extend_from_slice(b"Protocol error: expected '$', got '"),
            Self::ExpectedDollar { got } => {
                line.extend_from_slice(b"Protocol error: expected '$', got '");
                line.push(if matches!(got, b'\r' | b'\n') { b' ' } else { got });
                line.push(b'\'');
            }
            other => line.extend_from_slice(other.to_string().as_bytes()),
        }
        line.extend_from_slice(b"\r\n");
        line
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match self {
            Self::InlineTooLong => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::MultibulkCountTooLong => "too big mbulk count string",
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::BulkCountTooLong => "too big bulk count string",
            Self::ExpectedDollar { got } => {
                return write!(f, "expected '$', got '{}'", char::from(*got));
            }
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
        })
    }
}

impl std::error::Error for ProtocolError {}

/// How far the parser of one connection came in the request at the front of its buffer.
#[derive(Debug, Default)]
pub struct Parser {
    state: State,
}

/// All positions count from the first unconsumed byte.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The first line is not whole; `scanned` bytes of it hold no line end.
    FirstLine { scanned: usize },
    /// Inside a multibulk request.
    Arguments(Arguments),
}

#[derive(Clone, Copy, Debug)]
struct Arguments {
    /// How many words are still to come, the current one included.
    missing: usize,
    /// Where the current word's header begins, or its bytes when `bulk` is there.
    at: usize,
    /// The length of the current word, once its header has been read.
    bulk: Option<usize>,
    /// How many bytes from `at` on hold no line end; only while the header is not whole.
    scanned: usize,
    /// Whether every terminator so far was a proper CR LF.
    canonical: bool,
}

impl Default for State {
    fn default() -> Self {
        Self::FirstLine { scanned: 0 }
    }
}

impl Parser {
    /// The parser of a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the request that begins at `buf[0]`.
    ///
    /// After [`Parsed::Command`] `argv` holds the words: see [`Argv::args`]. After [`Parsed::Incomplete`] the caller
    /// keeps every byte of `buf`; the contents of `argv` are then of no use and may be shared between connections.
    pub fn parse(&mut self, buf: &[u8], limits: &Limits, argv: &mut Argv) -> Parsed {
        argv.clear();
        match self.state {
            State::FirstLine { scanned } => match buf.first() {
                Some(b'*') if scanned == 0 => match whole_request(buf, limits, &mut argv.ranges) {
                    Some(consumed) => {
                        argv.origin = Origin::Canonical { length: consumed };
                        Parsed::Command { consumed }
                    }
                    None => self.unusual_multibulk(buf, limits, argv),
                },
                Some(b'*') => self.multibulk(buf, scanned, limits, argv),
                Some(_) => self.inline(buf, scanned, argv),
                None => Parsed::Incomplete,
            },
            State::Arguments(progress) => match self.arguments(buf, progress, limits, argv) {
                // The words of earlier calls are not in argv: walk the request again, its lengths already approved.
                Parsed::Command { .. } => self.walk_again(buf, argv),
                other => other,
            },
        }
    }

    /// How many bytes the buffer must hold for the word under way to be whole; 0 while its length is not known. A hint
    /// for the size of the buffer and of the next read.
    #[must_use]
    pub fn bytes_needed(&self) -> usize {
        match self.state {
            State::Arguments(Arguments {
                at, bulk: Some(length), ..
            }) => at.saturating_add(length).saturating_add(2),
            _ => 0,
        }
    }

    /// How many bytes at the beginning of the buffer are of words of an unfinished request that are whole, headers
    /// included, and of the header of the word under way.
    #[must_use]
    pub fn bytes_parsed(&self) -> usize {
        match self.state {
            State::Arguments(Arguments { at, .. }) => at,
            State::FirstLine { .. } => 0,
        }
    }

    /// Whether a request has begun but is not whole.
    #[must_use]
    pub fn in_multibulk(&self) -> bool {
        matches!(self.state, State::Arguments(_))
    }

    fn inline(&mut self, buf: &[u8], scanned: usize, argv: &mut Argv) -> Parsed {
        let line_end = match find_line_end(buf, scanned, b'\n') {
            LineEnd::At(position) => position,
            LineEnd::Missing { .. } | LineEnd::TooLong if buf.len() > LINE_BYTES_MAX => {
                return Parsed::Error(ProtocolError::InlineTooLong);
            }
            LineEnd::TooLong => return Parsed::Error(ProtocolError::InlineTooLong),
            LineEnd::Missing { scanned } => {
                self.state = State::FirstLine { scanned };
                return Parsed::Incomplete;
            }
        };
        self.state = State::default();
        let line = &buf[..line_end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if inline::split(line, argv).is_err() {
            return Parsed::Error(ProtocolError::UnbalancedQuotes);
        }
        argv.origin = Origin::Scratch;
        let consumed = line_end + 1;
        if argv.ranges.is_empty() {
            Parsed::Empty { consumed }
        } else {
            Parsed::Command { consumed }
        }
    }

    fn multibulk(&mut self, buf: &[u8], scanned: usize, limits: &Limits, argv: &mut Argv) -> Parsed {
        let header = match read_header(buf, 0, scanned) {
            HeaderRead::Whole(header) => header,
            HeaderRead::Incomplete { scanned } => {
                self.state = State::FirstLine { scanned };
                return Parsed::Incomplete;
            }
            HeaderRead::TooLong => return Parsed::Error(ProtocolError::MultibulkCountTooLong),
        };
        let announced = match header.number {
            Some(number) if number <= WORDS_MAX => number,
            _ => return Parsed::Error(ProtocolError::InvalidMultibulkLength),
        };
        if announced > UNAUTHENTICATED_WORDS_MAX && !limits.authenticated {
            return Parsed::Error(ProtocolError::UnauthenticatedMultibulkLength);
        }
        if announced <= 0 {
            self.state = State::default();
            return Parsed::Empty { consumed: header.next };
        }
        let start = Arguments {
            missing: announced as usize,
            at: header.next,
            bulk: None,
            scanned: 0,
            canonical: header.canonical,
        };
        self.arguments(buf, start, limits, argv)
    }

    /// Takes as many words as `buf` holds, from where `progress` stands; puts their ranges into `argv`.
    fn arguments(&mut self, buf: &[u8], progress: Arguments, limits: &Limits, argv: &mut Argv) -> Parsed {
        let Arguments {
            mut missing,
            mut at,
            mut bulk,
            mut scanned,
            mut canonical,
        } = progress;
        while missing > 0 {
            let length = match bulk {
                Some(length) => length,
                None => match read_header(buf, at, scanned) {
                    HeaderRead::Whole(header) => {
                        let length = match approve_bulk(buf[at], header.number, limits) {
                            Ok(length) => length,
                            Err(error) => return Parsed::Error(error),
                        };
                        canonical &= header.canonical;
                        at = header.next;
                        scanned = 0;
                        length
                    }
                    HeaderRead::Incomplete { scanned } => {
                        let bulk = None;
                        self.state = State::Arguments(Arguments {
                            missing,
                            at,
                            bulk,
                            scanned,
                            canonical,
                        });
                        return Parsed::Incomplete;
                    }
                    HeaderRead::TooLong => return Parsed::Error(ProtocolError::BulkCountTooLong),
                },
            };
            // A length near the largest number cannot be reached by any buffer.
            let end = at.saturating_add(length);
            let Some(terminator) = buf.get(end..).and_then(|rest| rest.first_chunk::<2>()) else {
                let bulk = Some(length);
                self.state = State::Arguments(Arguments {
                    missing,
                    at,
                    bulk,
                    scanned,
                    canonical,
                });
                return Parsed::Incomplete;
            };
            canonical &= terminator == b"\r\n";
            argv.ranges.push(ArgRange { start: at, end });
            at = end + 2;
            bulk = None;
            missing -= 1;
        }
        self.state = State::default();
        argv.origin = if canonical {
            Origin::Canonical { length: at }
        } else {
            Origin::Sloppy { length: at }
        };
        Parsed::Command { consumed: at }
    }

    fn walk_again(&mut self, buf: &[u8], argv: &mut Argv) -> Parsed {
        argv.clear();
        let approved = Limits {
            bulk_bytes: u64::MAX,
            authenticated: true,
            query_buffer_bytes: u64::MAX,
        };
        self.parse(buf, &approved, argv)
    }

    /// A request that is not whole, not canonical or not acceptable: once more, with care.
    #[cold]
    fn unusual_multibulk(&mut self, buf: &[u8], limits: &Limits, argv: &mut Argv) -> Parsed {
        argv.clear();
        self.multibulk(buf, 0, limits, argv)
    }
}

/// The usual case at full speed: the ranges of a request that is all there, canonical and within the limits; `None`
/// for any other. Returns how many bytes it took.
#[inline]
fn whole_request(buf: &[u8], limits: &Limits, ranges: &mut Vec<ArgRange>) -> Option<usize> {
    let (words, mut at) = short_number(buf, 1)?;
    if words == 0 || (words as i64 > UNAUTHENTICATED_WORDS_MAX && !limits.authenticated) {
        return None;
    }
    for _ in 0..words {
        let (length, start) = match short_length(buf, at) {
            Some(found) => found,
            None => any_length(buf, at, limits)?,
        };
        if length as u64 > limits.bulk_bytes {
            return None;
        }
        let end = start + length;
        if buf.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        ranges.push(ArgRange { start, end });
        at = end + 2;
    }
    Some(at)
}

/// The length of a word of less than a hundred bytes, which nearly all are, and the place of the word: told by the eight
/// bytes of its header and what follows it at once.
#[inline(always)]
fn short_length(buf: &[u8], at: usize) -> Option<(usize, usize)> {
    const ONE: u64 = u64::from_le_bytes(*b"$\0\r\n\0\0\0\0");
    const ONE_MASK: u64 = u64::from_le_bytes(*b"\xff\0\xff\xff\0\0\0\0");
    const TWO: u64 = u64::from_le_bytes(*b"$\0\0\r\n\0\0\0");
    const TWO_MASK: u64 = u64::from_le_bytes(*b"\xff\0\0\xff\xff\0\0\0");
    let bytes = buf.get(at..at + 8)?.first_chunk::<8>()?;
    let header = u64::from_le_bytes(*bytes);
    let [first, second] = [bytes[1], bytes[2]].map(|byte| usize::from(byte.wrapping_sub(b'0')));
    if header & ONE_MASK == ONE && first <= 9 {
        return Some((first, at + 4));
    }
    if header & TWO_MASK == TWO && (1..=9).contains(&first) && second <= 9 {
        return Some((first * 10 + second, at + 5));
    }
    None
}

/// The same of any word, if it is acceptable before authentication too or that has been.
fn any_length(buf: &[u8], at: usize, limits: &Limits) -> Option<(usize, usize)> {
    if *buf.get(at)? != b'$' {
        return None;
    }
    let (length, start) = short_number(buf, at + 1)?;
    let acceptable = length as i64 <= UNAUTHENTICATED_BULK_BYTES_MAX || limits.authenticated;
    acceptable.then_some((length, start))
}

/// Reads a canonical number of at most nine digits and its CR LF; returns it and the place after it.
///
/// Numbers of one or two digits, which nearly all are, are told by four bytes at once.
#[inline(always)]
fn short_number(buf: &[u8], at: usize) -> Option<(usize, usize)> {
    const CR_LF_AFTER_ONE: u32 = u32::from_le_bytes(*b"\0\r\n\0");
    const CR_LF_AFTER_TWO: u32 = u32::from_le_bytes(*b"\0\0\r\n");
    let line = buf.get(at..)?;
    if let Some(bytes) = line.first_chunk::<4>() {
        let word = u32::from_le_bytes(*bytes);
        let [first, second] = [bytes[0], bytes[1]].map(|byte| usize::from(byte.wrapping_sub(b'0')));
        if word & 0x00ff_ff00 == CR_LF_AFTER_ONE && first <= 9 {
            return Some((first, at + 3));
        }
        if word & 0xffff_0000 == CR_LF_AFTER_TWO && (1..=9).contains(&first) && second <= 9 {
            return Some((first * 10 + second, at + 4));
        }
    }
    any_number(line).map(|(number, bytes)| (number, at + bytes))
}

/// A number of any length, and how many bytes it takes with its CR LF.
fn any_number(line: &[u8]) -> Option<(usize, usize)> {
    if !matches!(line, [b'1'..=b'9', ..] | [b'0', b'\r', ..]) {
        return None;
    }
    let mut number = 0;
    for length in 0..10 {
        match *line.get(length)? {
            digit @ b'0'..=b'9' => number = number * 10 + usize::from(digit - b'0'),
            b'\r' if line.get(length + 1) == Some(&b'\n') => return Some((number, length + 2)),
            _ => return None,
        }
    }
    None
}

/// Checks the header of a word and gives the word's length.
fn approve_bulk(kind: u8, number: Option<i64>, limits: &Limits) -> Result<usize, ProtocolError> {
    if kind != b'$' {
        return Err(ProtocolError::ExpectedDollar { got: kind });
    }
    let length = match number {
        Some(number) if number >= 0 && number as u64 <= limits.bulk_bytes => number,
        _ => return Err(ProtocolError::InvalidBulkLength),
    };
    if length > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedBulkLength);
    }
    Ok(length as usize)
}

/// A line such as `*3` or `$12`.
struct Header {
    /// The number after the first byte; `None` when it is no canonical number.
    number: Option<i64>,
    /// Where the next thing begins.
    next: usize,
    /// Whether the line ended with a proper CR LF.
    canonical: bool,
}

enum HeaderRead {
    Whole(Header),
    Incomplete { scanned: usize },
    TooLong,
}

/// Reads the header that begins at `at`, knowing that `scanned` bytes from there hold no CR.
#[inline]
fn read_header(buf: &[u8], at: usize, scanned: usize) -> HeaderRead {
    match short_number(buf, at + 1) {
        Some((number, next)) => HeaderRead::Whole(Header {
            number: Some(number as i64),
            next,
            canonical: true,
        }),
        None => long_header(buf, at, scanned),
    }
}

/// Everything else, by the rules: the line ends at the first CR and whatever byte follows it.
#[cold]
fn long_header(buf: &[u8], at: usize, scanned: usize) -> HeaderRead {
    let rest = &buf[at..];
    match find_line_end(rest, scanned, b'\r') {
        LineEnd::At(end) => match rest.get(end + 1) {
            Some(terminator) => HeaderRead::Whole(Header {
                number: base::number::parse_i64(rest.get(1..end).unwrap_or_default()),
                next: at + end + 2,
                canonical: *terminator == b'\n',
            }),
            None => HeaderRead::Incomplete { scanned: end },
        },
        LineEnd::Missing { .. } if rest.len() > LINE_BYTES_MAX => HeaderRead::TooLong,
        LineEnd::Missing { scanned } => HeaderRead::Incomplete { scanned },
        LineEnd::TooLong => HeaderRead::TooLong,
    }
}

enum LineEnd {
    At(usize),
    /// The first `scanned` bytes hold none.
    Missing {
        scanned: usize,
    },
    TooLong,
}

/// Looks for `end` in `line`, of which `scanned` bytes hold none. A zero byte before it hides it, as it ends a C string.
fn find_line_end(line: &[u8], scanned: usize, end: u8) -> LineEnd {
    match find_either(&line[scanned..], end, 0) {
        Some(found) if scanned + found > LINE_BYTES_MAX => LineEnd::TooLong,
        Some(found) if line[scanned + found] == end => LineEnd::At(scanned + found),
        Some(zero) => LineEnd::Missing {
            scanned: scanned + zero,
        },
        None => LineEnd::Missing { scanned: line.len() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands of `stream`, their words joined by `|`, then how it ended.
    fn transcript(stream: &[u8], limits: &Limits) -> String {
        let (mut parser, mut argv, mut lines) = (Parser::new(), Argv::new(), Vec::new());
        let mut rest = stream;
        loop {
            match parser.parse(rest, limits, &mut argv) {
                Parsed::Command { consumed } => {
                    let args = argv.args(rest);
                    let words: Vec<String> = args.iter().map(|word| word.escape_ascii().to_string()).collect();
                    lines.push(words.join("|") + if args.raw().is_some() { " raw" } else { "" });
                    rest = &rest[consumed..];
                }
                Parsed::Empty { consumed } => {
                    lines.push("empty".into());
                    rest = &rest[consumed..];
                }
                Parsed::Incomplete => {
                    lines.extend((!rest.is_empty()).then(|| "incomplete".into()));
                    return lines.join(", ");
                }
                Parsed::Error(error) => {
                    lines.push(error.to_string());
                    return lines.join(", ");
                }
            }
        }
    }

    fn check(stream: &str, expected: &str) {
        assert_eq!(
            transcript(stream.as_bytes(), &Limits::default()),
            expected,
            "{stream:?}"
        );
    }

    #[test]
    fn requests_of_both_forms_in_one_stream() {
        check(
            "*1\r\n$4\r\nPING\r\nPING\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
            "PING raw, PING, GET| raw",
        );
        check(
            "\r\n\n*0\r\n*-1\r\n  \r\nPING\n",
            "empty, empty, empty, empty, empty, PING",
        );
        check("*2\r\n$3\r\nGET\r\n$1\r\n", "incomplete");
        check("GET \"a b\" 'c'\r\nGE", "GET|a b|c, incomplete");
    }

    #[test]
    fn a_sloppy_terminator_is_accepted_but_not_called_canonical() {
        check("*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", "PING, PING raw");
        check("*1\rx$4\r\nPING\r\n", "PING");
    }

    #[test]
    fn the_errors_of_stock_servers() {
        check("*x\r\n", "Protocol error: invalid multibulk length");
        check("*2147483648\r\n", "Protocol error: invalid multibulk length");
        check("*2147483647\r\n", "incomplete");
        check("*1\r\nPING\r\n", "Protocol error: expected '$', got 'P'");
        check("*1\r\n$-1\r\n", "Protocol error: invalid bulk length");
        check("*1\r\n$536870912\r\n", "incomplete");
        check("*1\r\n$536870913\r\n", "Protocol error: invalid bulk length");
        check("GET \"a\r\n", "Protocol error: unbalanced quotes in request");
        let long = "1".repeat(65 * 1024);
        check(&long, "Protocol error: too big inline request");
        check(&format!("*{long}"), "Protocol error: too big mbulk count string");
        check(&format!("*1\r\n${long}"), "Protocol error: too big bulk count string");
        assert_eq!(
            ProtocolError::ExpectedDollar { got: b'\r' }.reply_line(),
            b"-ERR Protocol error: expected '$', got ' '\r\n"
        );
        assert_eq!(
            ProtocolError::ExpectedDollar { got: 0 }.reply_line(),
            b"-ERR Protocol error: expected '$', got '\r\n"
        );
        assert_eq!(
            ProtocolError::ExpectedDollar { got: 0xe9 }.reply_line(),
            b"-ERR Protocol error: expected '$', got '\xe9'\r\n"
        );
    }

    #[test]
    fn strangers_may_send_only_a_little() {
        let limits = Limits {
            authenticated: false,
            ..Limits::default()
        };
        assert_eq!(transcript(b"*10\r\n", &limits), "incomplete");
        assert_eq!(
            transcript(b"*11\r\n", &limits),
            "Protocol error: unauthenticated multibulk length"
        );
        assert_eq!(transcript(b"*1\r\n$16384\r\n", &limits), "incomplete");
        assert_eq!(
            transcript(b"*1\r\n$16385\r\n", &limits),
            "Protocol error: unauthenticated bulk length"
        );
        assert!(limits.query_buffer_exceeded(1 << 20, 1));
        assert!(!Limits::default().query_buffer_exceeded(1 << 20, 1));
        assert!(Limits::default().query_buffer_exceeded(1 << 29, (1 << 29) + 1));
    }

    #[test]
    fn the_largest_lengths_do_not_overflow() {
        let limits = Limits {
            bulk_bytes: u64::MAX,
            ..Limits::default()
        };
        assert_eq!(transcript(b"*1\r\n$9223372036854775807\r\nabc", &limits), "incomplete");
    }

    /// A 100 MB value arrives in 16 KiB pieces. Looking at all that came at every piece would be 300 GB of memory reads.
    #[test]
    fn a_large_partial_bulk_is_not_looked_at_again() {
        let mut buf = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\n".to_vec();
        let header = buf.len();
        let (mut parser, mut argv, limits) = (Parser::new(), Argv::new(), Limits::default());
        assert_eq!(parser.parse(&buf, &limits, &mut argv), Parsed::Incomplete);
        assert_eq!(parser.bytes_needed(), header + 100_000_002);
        assert!(parser.in_multibulk());
        while buf.len() < header + 100_000_000 {
            assert_eq!(parser.parse(&buf, &limits, &mut argv), Parsed::Incomplete);
            buf.resize((buf.len() + 16_384).min(header + 100_000_000), b'v');
        }
        buf.extend_from_slice(b"\r\n");
        assert_eq!(
            parser.parse(&buf, &limits, &mut argv),
            Parsed::Command { consumed: buf.len() }
        );
        assert_eq!(argv.args(&buf).get(2).len(), 100_000_000);
        assert_eq!(argv.args(&buf).raw().map(<[u8]>::len), Some(buf.len()));
    }

    /// Sixty-four thousand blanks one at a time must not cost two thousand million looks.
    #[test]
    fn a_line_that_trickles_in_is_scanned_once() {
        let (mut parser, mut argv, limits) = (Parser::new(), Argv::new(), Limits::default());
        let line = vec![b' '; LINE_BYTES_MAX];
        for length in 0..=line.len() {
            assert_eq!(parser.parse(&line[..length], &limits, &mut argv), Parsed::Incomplete);
            let State::FirstLine { scanned } = parser.state else {
                panic!("no line")
            };
            assert_eq!(scanned, length);
        }
    }

    #[test]
    fn one_giant_command_does_not_keep_its_memory() {
        let mut stream = Vec::new();
        crate::write_command(&mut stream, vec![b"x"; 100_000]);
        stream.extend_from_slice(b"PING\r\n");
        let (mut parser, mut argv, limits) = (Parser::new(), Argv::new(), Limits::default());
        let Parsed::Command { consumed } = parser.parse(&stream, &limits, &mut argv) else {
            panic!("not whole")
        };
        assert_eq!(argv.args(&stream).len(), 100_000);
        assert_eq!(
            parser.parse(&stream[consumed..], &limits, &mut argv),
            Parsed::Command { consumed: 6 }
        );
        assert!(argv.ranges.capacity() <= 5_000);
        argv.rest();
        assert!(argv.ranges.capacity() <= 100 && argv.args(&[]).is_empty());
    }
}
