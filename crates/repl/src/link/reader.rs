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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    Command(Meaning),
    /// A blank line or an empty request: counts, and does nothing.
    Blank,
    Incomplete,
    Error(ProtocolError),
}

/// So many commands are cut at once: more than a processor has cache misses under way for what they look up, so that it
/// need not wait for the last of these before it begins.
const CUT_AT_ONCE: usize = 32;

/// A primary may send what it likes.
const NO_LIMITS: Limits = Limits {
    bulk_bytes: u64::MAX,
    authenticated: true,
    query_buffer_bytes: u64::MAX,
};

/// A part of the stream that has been cut off, and not yet passed.
#[derive(Debug)]
struct Cut {
    argv: Argv,
    /// In bytes.
    length: usize,
    what: Front,
}

/// See the module. Holds what has been read and is not yet applied: bounded by one unit and what one read brings.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    /// What is before it is in the stream that our own replicas read.
    forwarded: usize,
    /// Where the unit under way begins; what is before it has been applied.
    unit: usize,
    /// Where the front begins.
    at: usize,
    /// What lies beyond has not been looked at.
    seen: usize,
    /// What has been cut and not passed is `cuts[front..ready]`; the rest is kept for its room.
    cuts: Vec<Cut>,
    front: usize,
    ready: usize,
    in_transaction: bool,
    parser: Parser,
}

impl Reader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.room(0).extend_from_slice(bytes);
    }

    /// The buffer, to be read into: what is there stays, and there is room for so many bytes more.
    pub(super) fn room(&mut self, bytes: usize) -> &mut Vec<u8> {
        debug_assert_eq!(
            self.forwarded, self.unit,
            "what is applied is forwarded before more is read"
        );
        self.let_go();
        if self.unit > SLACK_BYTES && self.unit > self.bytes.len() / 2 {
            self.bytes.drain(..self.unit);
            self.at -= self.unit;
            self.seen -= self.unit;
            (self.unit, self.forwarded) = (0, 0);
        }
        self.bytes.reserve(bytes);
        &mut self.bytes
    }

    /// Gives the room of a long command back as soon as all has been applied: a quiet primary may send nothing for long.
    fn let_go(&mut self) {
        if self.unit == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY_BYTES);
            (self.forwarded, self.unit, self.at, self.seen) = (0, 0, 0, 0);
        }
    }

    /// How many bytes have been read beyond the applied offset.
    pub(super) fn pending_bytes(&self) -> u64 {
        (self.bytes.len() - self.unit) as u64
    }

    /// How far the first byte of the front is beyond the applied offset.
    pub(super) fn front_start(&self) -> u64 {
        (self.at - self.unit) as u64
    }

    /// What is at the front. Until [`Self::pass`] it stays there.
    pub(super) fn front(&mut self) -> Front {
        if self.front == self.ready {
            self.cut();
        }
        self.cuts[..self.ready]
            .get(self.front)
            .map_or(Front::Incomplete, |cut| cut.what)
    }

    /// Cuts what is whole, some of it at once.
    fn cut(&mut self) {
        (self.front, self.ready) = (0, 0);
        if self.forwarded == self.unit {
            self.let_go();
        }
        while self.ready < CUT_AT_ONCE {
            if self.ready == self.cuts.len() {
                self.cuts.push(Cut {
                    argv: Argv::new(),
                    length: 0,
                    what: Front::Incomplete,
                });
            }
            let cut = &mut self.cuts[self.ready];
            let rest = &self.bytes[self.seen..];
            (cut.length, cut.what) = match self.parser.parse(rest, &NO_LIMITS, &mut cut.argv) {
                Parsed::Command { consumed } => (consumed, Front::Command(meaning(cut.argv.args(rest)))),
                Parsed::Empty { consumed } => (consumed, Front::Blank),
                Parsed::Incomplete => return,
                Parsed::Error(error) => (0, Front::Error(error)),
            };
            self.seen += cut.length;
            self.ready += 1;
            if cut.length == 0 {
                return;
            }
        }
    }

    /// Shows the commands that have been cut, from the front on, but for those that only the link itself needs. A look
    /// ahead: it passes nothing.
    pub(super) fn upcoming(&mut self, mut each: impl FnMut(Args<'_>)) {
        if self.front == self.ready {
            self.cut();
        }
        let mut at = self.at;
        for cut in &self.cuts[self.front..self.ready] {
            if let Front::Command(meaning) = cut.what
                && meaning != Meaning::GetAck
            {
                each(cut.argv.args(&self.bytes[at..]));
            }
            at += cut.length;
        }
    }

    /// The words of the command at the front.
    pub(super) fn args(&self) -> Args<'_> {
        self.cuts[self.front].argv.args(&self.bytes[self.at..])
    }

    /// Whether the front completes its unit.
    pub(super) fn completes(&self) -> bool {
        match self.cuts[self.front].what {
            Front::Command(Meaning::Multi) => false,
            Front::Command(Meaning::End) => true,
            _ => !self.in_transaction,
        }
    }

    /// The front has been applied or queued. Gives the length of its unit if that is complete now, and what the front
    /// meant.
    pub(super) fn pass(&mut self) -> (Option<usize>, Meaning) {
        assert!(self.front < self.ready, "what is passed was at the front");
        let completes = self.completes();
        let cut = &self.cuts[self.front];
        let meaning = match cut.what {
            Front::Command(meaning) => meaning,
            _ => Meaning::Plain,
        };
        match meaning {
            Meaning::Multi => self.in_transaction = true,
            Meaning::End => self.in_transaction = false,
            _ => {}
        }
        self.at += cut.length;
        self.front += 1;
        let unit = completes.then(|| {
            let length = self.at - self.unit;
            self.unit = self.at;
            length
        });
        (unit, meaning)
    }

    /// Whether all that was cut has been passed.
    pub(super) fn has_passed_all(&self) -> bool {
        self.front == self.ready
    }

    /// Whole units that were passed since the last call, for our own replicas to read.
    pub(super) fn take_passed(&mut self) -> &[u8] {
        let from = std::mem::replace(&mut self.forwarded, self.unit);
        &self.bytes[from..self.unit]
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
                    let (unit, _) = reader.pass();
                    let passed = reader.take_passed();
                    assert_eq!(unit.unwrap_or(0), passed.len());
                    if unit.is_some() {
                        units.push(passed.escape_ascii().to_string());
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
        for _ in 0..2 {
            let mut seen = Vec::new();
            reader.upcoming(|args| seen.push(args.get(0).to_vec()));
            assert_eq!(seen, [b"PING", b"INCR"]);
        }
        assert_eq!(units(&mut reader).len(), 2);
        // The rest of a request is on its way: what it is cannot be told without it.
        reader.upcoming(|_| panic!("nothing is whole"));
        reader.push(b"x\r\n*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n\r\n");
        let mut seen = 0;
        reader.upcoming(|_| seen += 1);
        assert_eq!(seen, 1, "what is for the link alone is not shown");
        assert_eq!(units(&mut reader).len(), 3);
    }

    #[test]
    fn what_comes_before_an_error_is_applied() {
        let mut reader = Reader::default();
        reader.push(b"PING\r\n*1\r\n$x\r\n");
        assert_eq!(reader.front(), Front::Command(Meaning::Plain));
        reader.pass();
        assert!(matches!(reader.front(), Front::Error(_)));
        assert_eq!(reader.take_passed(), b"PING\r\n");
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
