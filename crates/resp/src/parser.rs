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
    /// How many words were announced.
    announced: usize,
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
            State::FirstLine { scanned } => {
                let Some(first) = buf.first() else {
                    return Parsed::Incomplete;
                };
                if *first == b'*' {
                    self.multibulk(buf, scanned, limits, argv)
                } else {
                    self.inline(buf, scanned, argv)
                }
            }
            State::Arguments(progress) => match self.arguments(buf, progress, limits, argv) {
                // The words of earlier calls are not in argv: walk the request again, its lengths already approved.
                Parsed::Command { .. } => self.walk_again(buf, progress.announced, argv),
                other => other,
            },
        }
    }

    /// How many bytes the buffer must hold before the next call can make progress, as far as is known: a hint for the
    /// size of the next read.
    #[must_use]
    pub fn bytes_needed(&self) -> usize {
        match self.state {
            State::FirstLine { scanned } => scanned + 1,
            State::Arguments(Arguments {
                at, bulk: Some(length), ..
            }) => at + length + 2,
            State::Arguments(Arguments { at, scanned, .. }) => at + scanned + 1,
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
        let announced = announced as usize;
        let start = Arguments {
            announced,
            missing: announced,
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
            announced,
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
                            announced,
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
                    announced,
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

    fn walk_again(&mut self, buf: &[u8], announced: usize, argv: &mut Argv) -> Parsed {
        argv.clear();
        argv.ranges.reserve(announced);
        let approved = Limits {
            bulk_bytes: u64::MAX,
            authenticated: true,
            query_buffer_bytes: u64::MAX,
        };
        self.multibulk(buf, 0, &approved, argv)
    }
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
    match short_header(buf, at) {
        Some(header) => HeaderRead::Whole(header),
        None => long_header(buf, at, scanned),
    }
}

/// The usual case at full speed: one to nine digits without a leading zero, then CR LF, all in the buffer.
#[inline]
fn short_header(buf: &[u8], at: usize) -> Option<Header> {
    let line = buf.get(at + 1..)?;
    let first = line.first()?.wrapping_sub(b'0');
    if first > 9 {
        return None;
    }
    let mut number = i64::from(first);
    let mut length = 1;
    while length < 10 {
        let digit = line.get(length)?.wrapping_sub(b'0');
        if digit > 9 || first == 0 {
            break;
        }
        number = number * 10 + i64::from(digit);
        length += 1;
    }
    let terminated = line.get(length..)?.first_chunk::<2>()? == b"\r\n";
    terminated.then_some(Header {
        number: Some(number),
        next: at + 1 + length + 2,
        canonical: true,
    })
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
