//! The reply encoder, and the encoding of requests.

use base::number::{write_f64, write_i64, write_u64};

/// The protocol a connection speaks; HELLO changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// The protocol of every connection's start.
    #[default]
    Resp2,
    /// With maps, sets, doubles, nulls and out-of-band pushes.
    Resp3,
}

impl Proto {
    /// The protocol that HELLO calls `version`.
    #[must_use]
    pub fn from_version(version: i64) -> Option<Self> {
        match version {
            2 => Some(Self::Resp2),
            3 => Some(Self::Resp3),
            _ => None,
        }
    }

    /// 2 or 3.
    #[must_use]
    pub fn version(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Appends replies to an output buffer, in the words of one protocol.
///
/// An aggregate is its header, then as many replies as the header says.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    proto: Proto,
}

/// An aggregate whose length is not known yet. Set nested ones before the one around them, siblings in any order of
/// their beginning.
#[derive(Debug)]
#[must_use = "without set_deferred the reply lacks its header"]
pub struct Deferred {
    /// Where the header belongs.
    at: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
}

impl<'a> Reply<'a> {
    /// An encoder that appends to `out`.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>, proto: Proto) -> Self {
        Self { out, proto }
    }

    /// The protocol spoken.
    #[must_use]
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Writes what follows in another protocol, as HELLO's own reply is.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// How many bytes the buffer holds: what [`Self::truncate`] takes back to.
    #[must_use]
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// Takes back everything written since the buffer held `written` bytes.
    pub fn truncate(&mut self, written: usize) {
        self.out.truncate(written);
    }

    /// The same encoder, lent for shorter.
    pub fn reborrow(&mut self) -> Reply<'_> {
        Reply {
            out: self.out,
            proto: self.proto,
        }
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status line. `text` must not contain a line end.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.crlf();
    }

    /// An error line: `ERR …`, `WRONGTYPE …`. Line ends at its end are dropped, those inside become spaces.
    pub fn error(&mut self, line: &str) {
        self.error_bytes(line.as_bytes());
    }

    /// An error line that quotes what a client sent, which need not be text.
    pub fn error_bytes(&mut self, line: &[u8]) {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let end = line
            .iter()
            .rposition(|byte| !is_line_end(byte))
            .map_or(0, |last| last + 1);
        self.out.push(b'-');
        self.out.extend(
            line[..end]
                .iter()
                .map(|byte| if is_line_end(byte) { b' ' } else { *byte }),
        );
        self.crlf();
    }

    /// A number.
    #[inline]
    pub fn int(&mut self, number: i64) {
        match number {
            0 => self.out.extend_from_slice(b":0\r\n"),
            1 => self.out.extend_from_slice(b":1\r\n"),
            _ => self.line(b':', number),
        }
    }

    /// A string of any bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 24);
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.crlf();
    }

    /// A number as a string.
    pub fn bulk_int(&mut self, number: i64) {
        let at = self.out.len();
        write_i64(self.out, number);
        self.close_bulk(at);
    }

    /// A string whose bytes come in pieces.
    ///
    /// # Panics
    /// When the pieces are not `total_bytes` long together: the reply would be unreadable.
    pub fn bulk_parts<'p>(&mut self, total_bytes: usize, parts: impl IntoIterator<Item = &'p [u8]>) {
        self.out.reserve(total_bytes + 24);
        self.header(b'$', total_bytes);
        let start = self.out.len();
        for part in parts {
            self.out.extend_from_slice(part);
        }
        assert_eq!(
            self.out.len() - start,
            total_bytes,
            "a bulk reply of another length than announced"
        );
        self.crlf();
    }

    /// No value, where a string would be.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.proto {
            Proto::Resp2 => b"$-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// No value, where an array would be.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.proto {
            Proto::Resp2 => b"*-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// The header of an array of `count` replies.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// The header of a map of `pairs` key and value replies; in RESP2 an array of both.
    pub fn map(&mut self, pairs: usize) {
        self.aggregate(Kind::Map, pairs);
    }

    /// The header of a set of `count` replies; in RESP2 an array.
    pub fn set(&mut self, count: usize) {
        self.aggregate(Kind::Set, count);
    }

    /// The header of an out-of-band message of `count` replies; in RESP2 an array.
    pub fn push(&mut self, count: usize) {
        self.aggregate(Kind::Push, count);
    }

    /// The header of `pairs` attributes, before the reply they belong to.
    ///
    /// # Panics
    /// In RESP2, which has none: the caller leaves them out.
    pub fn attribute(&mut self, pairs: usize) {
        assert_eq!(self.proto, Proto::Resp3, "RESP2 has no attributes");
        self.header(b'|', pairs);
    }

    /// A floating-point number, in the shortest of forms that has 17 significant digits; in RESP2 a string.
    pub fn double(&mut self, number: f64) {
        let at = self.out.len();
        if self.proto == Proto::Resp3 {
            self.out.push(b',');
        }
        write_f64(self.out, number);
        match self.proto {
            Proto::Resp2 => self.close_bulk(at),
            Proto::Resp3 => self.crlf(),
        }
    }

    /// A floating-point number already as text; in RESP2 a string.
    pub fn double_text(&mut self, text: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                self.out.push(b',');
                self.out.extend_from_slice(text);
                self.crlf();
            }
        }
    }

    /// True or false; in RESP2 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.proto, value) {
            (Proto::Resp2, false) => b":0\r\n",
            (Proto::Resp2, true) => b":1\r\n",
            (Proto::Resp3, false) => b"#f\r\n",
            (Proto::Resp3, true) => b"#t\r\n",
        });
    }

    /// A whole number of any size, as decimal digits; in RESP2 a string.
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits.as_bytes()),
            Proto::Resp3 => {
                self.out.push(b'(');
                self.out.extend_from_slice(digits.as_bytes());
                self.crlf();
            }
        }
    }

    /// Text for people, of format `extension` (`txt` or `mkd`; cut or padded to three bytes); in RESP2 a string.
    pub fn verbatim(&mut self, extension: &str, text: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                let mut format = [b' '; 3];
                for (to, from) in format.iter_mut().zip(extension.bytes()) {
                    *to = from;
                }
                self.out.reserve(text.len() + 28);
                self.header(b'=', text.len() + 4);
                self.out.extend_from_slice(&format);
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.crlf();
            }
        }
    }

    /// Bytes that are protocol already.
    pub fn raw(&mut self, protocol: &[u8]) {
        self.out.extend_from_slice(protocol);
    }

    /// Begins an array whose length is set later.
    pub fn deferred_array(&mut self) -> Deferred {
        self.deferred(Kind::Array)
    }

    /// Begins a map whose number of pairs is set later.
    pub fn deferred_map(&mut self) -> Deferred {
        self.deferred(Kind::Map)
    }

    /// Begins a set whose length is set later.
    pub fn deferred_set(&mut self) -> Deferred {
        self.deferred(Kind::Set)
    }

    /// Begins a push whose length is set later.
    pub fn deferred_push(&mut self) -> Deferred {
        self.deferred(Kind::Push)
    }

    /// Writes the header of a deferred aggregate: `count` elements, or pairs of a map. Moves what follows it, once.
    pub fn set_deferred(&mut self, deferred: Deferred, count: usize) {
        let (mark, count) = self.kind_header(deferred.kind, count);
        self.insert_header(deferred.at, mark, count);
    }

    /// Makes a bulk of the bytes from `at` on.
    fn close_bulk(&mut self, at: usize) {
        let length = self.out.len() - at;
        self.crlf();
        self.insert_header(at, b'$', length);
    }

    /// Puts a header before the bytes from `at` on, which move.
    fn insert_header(&mut self, at: usize, mark: u8, count: usize) {
        let end = self.out.len();
        write_header(self.out, mark, count);
        let length = self.out.len() - end;
        // At most a mark, 20 digits and a line end.
        let mut header = [0; 24];
        header[..length].copy_from_slice(&self.out[end..]);
        self.out.copy_within(at..end, at + length);
        self.out[at..at + length].copy_from_slice(&header[..length]);
    }

    fn deferred(&mut self, kind: Kind) -> Deferred {
        Deferred {
            at: self.out.len(),
            kind,
        }
    }

    fn aggregate(&mut self, kind: Kind, count: usize) {
        let (mark, count) = self.kind_header(kind, count);
        self.header(mark, count);
    }

    /// How this protocol begins an aggregate of `count` elements.
    fn kind_header(&self, kind: Kind, count: usize) -> (u8, usize) {
        match (self.proto, kind) {
            (Proto::Resp2, Kind::Map) => (b'*', count * 2),
            (Proto::Resp2, _) | (Proto::Resp3, Kind::Array) => (b'*', count),
            (Proto::Resp3, Kind::Map) => (b'%', count),
            (Proto::Resp3, Kind::Set) => (b'~', count),
            (Proto::Resp3, Kind::Push) => (b'>', count),
        }
    }

    #[inline]
    fn header(&mut self, mark: u8, count: usize) {
        write_header(self.out, mark, count);
    }

    #[inline]
    fn line(&mut self, mark: u8, number: i64) {
        self.out.push(mark);
        write_i64(self.out, number);
        self.crlf();
    }

    #[inline]
    fn crlf(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends the request of these words: an array of bulk strings, as clients send it and streams carry it.
pub fn write_command<W: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    words: impl IntoIterator<Item = W, IntoIter: ExactSizeIterator>,
) {
    let words = words.into_iter();
    write_header(out, b'*', words.len());
    for word in words {
        let word = word.as_ref();
        out.reserve(word.len() + 24);
        write_header(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a line such as `*3` or `$12`.
#[inline]
fn write_header(out: &mut Vec<u8>, mark: u8, count: usize) {
    match count {
        0..=9 => out.extend_from_slice(&[mark, b'0' + count as u8, b'\r', b'\n']),
        10..=99 => {
            let [tens, ones] = [count as u8 / 10, count as u8 % 10];
            out.extend_from_slice(&[mark, b'0' + tens, b'0' + ones, b'\r', b'\n']);
        }
        _ => {
            out.push(mark);
            write_u64(out, count as u64);
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that `write` makes in both protocols.
    fn check(write: impl Fn(&mut Reply<'_>), resp2: &str, resp3: &str) {
        for (proto, expected) in [(Proto::Resp2, resp2), (Proto::Resp3, resp3)] {
            let mut out = b"before".to_vec();
            write(&mut Reply::new(&mut out, proto));
            assert_eq!(
                out[6..].escape_ascii().to_string().replace("\\r\\n", "~"),
                expected,
                "{proto:?}"
            );
        }
    }

    fn check_same(write: impl Fn(&mut Reply<'_>), expected: &str) {
        check(write, expected, expected);
    }

    #[test]
    fn what_is_the_same_in_both_protocols() {
        check_same(|r| r.ok(), "+OK~");
        check_same(|r| r.simple("PONG"), "+PONG~");
        check_same(|r| r.error("ERR a\r\nb\n\r\n"), "-ERR a  b~");
        check_same(|r| r.error("ERR"), "-ERR~");
        for (number, text) in [
            (0, ":0~"),
            (1, ":1~"),
            (-1, ":-1~"),
            (i64::MIN, ":-9223372036854775808~"),
        ] {
            check_same(|r| r.int(number), text);
        }
        check_same(|r| r.bulk(b""), "$0~~");
        check_same(|r| r.bulk(b"0123456789"), "$10~0123456789~");
        check_same(|r| r.bulk(&[b'x'; 100]), &format!("$100~{}~", "x".repeat(100)));
        check_same(|r| r.bulk_int(-12), "$3~-12~");
        check_same(|r| r.bulk_parts(3, [b"a".as_slice(), b"bc"]), "$3~abc~");
        check_same(|r| r.array(0), "*0~");
        check_same(|r| r.array(12345), "*12345~");
    }

    #[test]
    fn what_differs() {
        check(|r| r.null(), "$-1~", "_~");
        check(|r| r.null_array(), "*-1~", "_~");
        check(|r| r.map(2), "*4~", "%2~");
        check(|r| r.set(2), "*2~", "~2~");
        check(|r| r.push(3), "*3~", ">3~");
        check(|r| r.boolean(true), ":1~", "#t~");
        check(|r| r.boolean(false), ":0~", "#f~");
        check(|r| r.big_number("123"), "$3~123~", "(123~");
        check(|r| r.verbatim("txt", b"hi"), "$2~hi~", "=6~txt:hi~");
        check(|r| r.verbatim("m", b""), "$0~~", "=4~m  :~");
        check(|r| r.double(0.1), "$19~0.10000000000000001~", ",0.10000000000000001~");
        check(|r| r.double(3.0), "$1~3~", ",3~");
        check(
            |r| r.double(-1e300),
            "$23~-1.0000000000000001e+300~".replace("$23", "$24").as_str(),
            ",-1.0000000000000001e+300~",
        );
        check(|r| r.double(f64::INFINITY), "$3~inf~", ",inf~");
        check(|r| r.double(f64::NEG_INFINITY), "$4~-inf~", ",-inf~");
    }

    #[test]
    fn aggregates_whose_length_is_known_late() {
        let write = |r: &mut Reply<'_>| {
            r.int(5);
            let outer = r.deferred_map();
            r.bulk(b"key");
            let inner = r.deferred_set();
            for number in 0..11 {
                r.int(number);
            }
            r.set_deferred(inner, 11);
            r.set_deferred(outer, 1);
            let none = r.deferred_array();
            r.set_deferred(none, 0);
        };
        let numbers = ":0~:1~:2~:3~:4~:5~:6~:7~:8~:9~:10~";
        check(
            write,
            &format!(":5~*2~$3~key~*11~{numbers}*0~"),
            &format!(":5~%1~$3~key~~11~{numbers}*0~"),
        );
    }

    #[test]
    fn requests() {
        let mut out = Vec::new();
        write_command(&mut out, ["SET", "k", ""]);
        write_command(&mut out, &[b"PING".as_slice()]);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n");
    }

    #[test]
    #[should_panic(expected = "another length")]
    fn a_bulk_of_another_length_than_announced_is_our_bug() {
        Reply::new(&mut Vec::new(), Proto::Resp2).bulk_parts(3, [b"ab".as_slice()]);
    }
}
