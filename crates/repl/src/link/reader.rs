//! The primary's stream as bytes, cut into commands and commands into units.
//!
//! ```text
//!   ┌ applied ┐┌──────────── unit ───────────────┐┌ unit ┐
//!   …SET a 1…  MULTI  SET b 2  SELECT 3  INCR c  EXEC  PING …
//!              ▲               ▲
//!              unit            at: handed out, being applied
//! ```
//!
//! A unit is what becomes true at once: one command, or everything from MULTI to EXEC. The offset moves from unit to unit,
//! and a unit is passed on to our own replicas when it is whole. What is left of an unfinished one dies with the link.

use base::{DbIndex, number};
use resp::{Args, Argv, Limits, Parsed, Parser, ProtocolError};

/// The buffer is moved together when so much of it has been applied.
const SLACK_BYTES: usize = 64 << 10;
/// A buffer that grew beyond this for a large unit is given back afterwards.
const KEPT_CAPACITY_BYTES: usize = 1 << 20;

/// What a command means to the link itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Multi,
    /// EXEC or DISCARD.
    End,
    Select(DbIndex),
    GetAck,
    /// Nothing: it is for the engine alone.
    Plain,
}

/// What is at the front of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    Command(Meaning),
    /// A blank line or an empty request: counts, and does nothing.
    Blank,
    Incomplete,
    Error(ProtocolError),
}

/// See the module. Holds what has been read and is not yet applied: bounded by one unit and what one read brings.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    /// Where the unit under way begins; what is before it has been applied.
    unit: usize,
    /// Where the command at the front begins.
    at: usize,
    /// Its length, once it is known.
    length: usize,
    meaning: Option<Meaning>,
    in_transaction: bool,
    parser: Parser,
    argv: Argv,
    /// The words of a command that is only looked at.
    ahead: Argv,
}

/// A primary may send what it likes.
const NO_LIMITS: Limits = Limits {
    bulk_bytes: u64::MAX,
    authenticated: true,
    query_buffer_bytes: u64::MAX,
};

impl Reader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.let_go();
        if self.unit > SLACK_BYTES && self.unit > self.bytes.len() / 2 {
            self.bytes.drain(..self.unit);
            (self.unit, self.at) = (0, self.at - self.unit);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Gives the room of a long command back as soon as all has been applied: a quiet primary may send nothing for long.
    fn let_go(&mut self) {
        if self.unit == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY_BYTES);
            (self.unit, self.at) = (0, 0);
        }
    }

    /// How many bytes have been read beyond the applied offset.
    pub(super) fn pending_bytes(&self) -> u64 {
        (self.bytes.len() - self.unit) as u64
    }

    /// How far the first byte of the command at the front is beyond the applied offset.
    pub(super) fn front_start(&self) -> u64 {
        (self.at - self.unit) as u64
    }

    /// What the command at the front means.
    pub(super) fn front_meaning(&self) -> Option<Meaning> {
        self.meaning
    }

    /// Finds the command at the front. Until [`Self::pass`] it stays there.
    pub(super) fn front(&mut self) -> Front {
        self.let_go();
        match self.parser.parse(&self.bytes[self.at..], &NO_LIMITS, &mut self.argv) {
            Parsed::Command { consumed } => {
                self.length = consumed;
                let meaning = meaning(self.args());
                self.meaning = Some(meaning);
                Front::Command(meaning)
            }
            Parsed::Empty { consumed } => {
                self.length = consumed;
                self.meaning = Some(Meaning::Plain);
                Front::Blank
            }
            Parsed::Incomplete => Front::Incomplete,
            Parsed::Error(error) => Front::Error(error),
        }
    }

    /// Shows up to `count` commands, from the front on, that are whole; how many there were. A look ahead: it moves nothing.
    pub(super) fn upcoming(&mut self, count: usize, mut each: impl FnMut(Args<'_>)) -> usize {
        if self.parser.in_multibulk() {
            return 0;
        }
        let mut at = self.at;
        for seen in 0..count {
            let rest = &self.bytes[at..];
            let Parsed::Command { consumed } = Parser::new().parse(rest, &NO_LIMITS, &mut self.ahead) else {
                return seen;
            };
            each(self.ahead.args(rest));
            at += consumed;
        }
        count
    }

    /// The words of the command at the front.
    pub(super) fn args(&self) -> Args<'_> {
        self.argv.args(&self.bytes[self.at..])
    }

    /// Whether the command at the front completes its unit.
    pub(super) fn completes(&self) -> bool {
        match self.meaning {
            Some(Meaning::Multi) => false,
            Some(Meaning::End) => true,
            _ => !self.in_transaction,
        }
    }

    /// The command at the front has been applied or queued. Gives the bytes of its unit when that is complete, and the
    /// database in which it leaves the stream if it changed that.
    pub(super) fn pass(&mut self) -> Option<&[u8]> {
        let completes = self.completes();
        let meaning = self
            .meaning
            .take()
            .expect("a command is passed once, and after it was found");
        self.in_transaction = match meaning {
            Meaning::Multi => true,
            Meaning::End => false,
            _ => self.in_transaction,
        };
        self.at += self.length;
        self.length = 0;
        completes.then(|| {
            let unit = &self.bytes[self.unit..self.at];
            self.unit = self.at;
            unit
        })
    }
}

fn meaning(args: Args<'_>) -> Meaning {
    let name = args.get(0);
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    // The length decides first: this is asked of every command.
    match (name.len(), args.len()) {
        (5, 1) if is(b"multi") => Meaning::Multi,
        (4, 1) if is(b"exec") => Meaning::End,
        (7, 1) if is(b"discard") => Meaning::End,
        (6, 2) if is(b"select") => {
            let index = number::parse_u64(args.get(1)).and_then(|index| u32::try_from(index).ok());
            index.map_or(Meaning::Plain, |index| Meaning::Select(DbIndex(index)))
        }
        (8, 3) if is(b"replconf") && args.get(1).eq_ignore_ascii_case(b"getack") => Meaning::GetAck,
        _ => Meaning::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(reader: &mut Reader) -> Vec<String> {
        let mut units = Vec::new();
        loop {
            match reader.front() {
                Front::Incomplete => return units,
                Front::Error(error) => panic!("{error}"),
                Front::Command(_) | Front::Blank => {
                    if let Some(unit) = reader.pass() {
                        units.push(unit.escape_ascii().to_string());
                    }
                }
            }
        }
    }

    #[test]
    fn units_are_the_same_wherever_the_bytes_are_cut() {
        let stream = b"*1\r\n$4\r\nPING\r\n*1\r\n$5\r\nmulti\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$4\r\nEXEC\r\n\r\n*2\r\n$1\r\nX\r\n$3\r\na\r\n\r\n";
        let mut whole = Reader::default();
        whole.push(stream);
        let expected = units(&mut whole);
        assert_eq!(expected.len(), 4);
        assert_eq!(whole.pending_bytes(), 0);
        assert_eq!(expected.concat(), stream.escape_ascii().to_string());

        for cut in 0..stream.len() {
            let mut reader = Reader::default();
            reader.push(&stream[..cut]);
            let mut got = units(&mut reader);
            reader.push(&stream[cut..]);
            got.extend(units(&mut reader));
            assert_eq!(got, expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_look_ahead_sees_what_will_come_and_moves_nothing() {
        let mut reader = Reader::default();
        reader.push(b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n*2\r\n$3\r\nDEL\r\n$1\r\n");
        let mut seen = Vec::new();
        for count in [0, 1, 9] {
            let shown = reader.upcoming(count, |args| seen.push(args.get(0).to_vec()));
            assert_eq!(shown, count.min(2));
        }
        assert_eq!(seen, [b"PING", b"PING", b"INCR"]);
        assert_eq!(units(&mut reader).len(), 2);
        // The rest of a request is on its way: what it is cannot be told without it.
        assert_eq!(reader.upcoming(9, |_| panic!("nothing is whole")), 0);
        reader.push(b"x\r\n");
        assert_eq!(units(&mut reader).len(), 1);
    }

    #[test]
    fn an_open_transaction_holds_its_unit() {
        let mut reader = Reader::default();
        reader.push(b"PING\r\nMULTI\r\nSET a b\r\n");
        assert_eq!(units(&mut reader), ["PING\\r\\n"]);
        assert_eq!(reader.pending_bytes(), 16);
        assert!(reader.in_transaction);
        reader.push(b"EXEC\r\n");
        assert_eq!(units(&mut reader), ["MULTI\\r\\nSET a b\\r\\nEXEC\\r\\n"]);
        assert!(!reader.in_transaction);
    }

    #[test]
    fn the_buffer_does_not_grow_with_the_stream() {
        let mut reader = Reader::default();
        let command = format!("SET a {}\r\n", "x".repeat(3000));
        let mut bytes = command.repeat(100).into_bytes();
        bytes.truncate(bytes.len() - 5);
        reader.push(&bytes);
        units(&mut reader);
        for _ in 0..1000 {
            reader.push(&command.as_bytes()[command.len() - 5..]);
            reader.push(&command.as_bytes()[..command.len() - 5]);
            assert_eq!(units(&mut reader).len(), 1);
        }
        assert!(reader.bytes.capacity() < 1 << 20);
    }

    #[test]
    fn a_long_command_leaves_no_room_behind() {
        let mut reader = Reader::default();
        let value = "x".repeat(4 << 20);
        reader.push(format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n{value}\r\n", value.len()).as_bytes());
        assert_eq!(units(&mut reader).len(), 1);
        assert!(reader.bytes.capacity() <= KEPT_CAPACITY_BYTES);
    }
}
