//! Strings as bitmaps.

use super::string_parts::longest_string;
use crate::bits;
use crate::{ArgsExt, Arity, Category, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, StrRef};
use crate::{WriteCtx, keys::Reader};
use resp::Args;
use std::ops::{ControlFlow, RangeInclusive};

const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);

/// A bit offset as it is given. With `#` in front it counts fields of `field_bits`, where that means something.
pub(super) fn bit_offset(keys: &Reader<'_>, word: &[u8], field_bits: Option<u8>) -> Result<u64> {
    const INVALID: Error = Error::fixed("ERR bit offset is not an integer or out of range");
    let fields = word.strip_prefix(b"#").zip(field_bits);
    let (number, unit) = fields.unwrap_or((word, 1));
    let number = base::number::parse_i64(number).ok_or(INVALID)?;
    // Wraps around as stock's does.
    let offset = u64::try_from(number.wrapping_mul(i64::from(unit))).map_err(|_| INVALID)?;
    if offset >> 3 >= longest_string(keys) {
        return Err(INVALID);
    }
    Ok(offset)
}

/// SETBIT key offset value
pub static SETBIT: Spec = Spec {
    name: "setbit",
    summary: "Sets or clears one bit of the string at a key.",
    since: "2.2.0",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE))],
    category: Category::Bitmap,
    flags: Flags::DENY_OOM,
    args: "key offset value:integer",
    handler: Handler::Write(set_bit),
    ..Spec::BASE
};

/// Replies with the bit that was there. A string that is too short grows with zeros; a bit that is as it should be, in a
/// string that did not grow, counts as no change.
fn set_bit(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let offset = bit_offset(&ctx.keys, args.get(2), None)?;
    let bit = match args.int(3) {
        Ok(bit @ (0 | 1)) => bit as u8,
        _ => return Err(Error::fixed("ERR bit is not an integer or out of range")),
    };

    let mut slot = ctx.keys.string_slot(key)?;
    let (at, shift) = ((offset / 8) as usize, 7 - offset % 8);
    let stretched = slot.stretch(at + 1);
    let byte = slot.get().map_or(0, |string| bits::byte(string, at));
    let old = byte >> shift & 1;
    if stretched || old != bit {
        slot.patch(at, &[byte & !(1 << shift) | bit << shift]);
        slot.commit(1, Event::SET_BIT);
    }
    ctx.reply.int(i64::from(old));
    Ok(())
}

/// GETBIT key offset
pub static GETBIT: Spec = Spec {
    name: "getbit",
    summary: "Returns one bit of the string at a key.",
    since: "2.2.0",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, READ)],
    category: Category::Bitmap,
    flags: Flags::FAST,
    args: "key offset",
    handler: Handler::Read(get_bit),
    ..Spec::BASE
};

/// 0 past the end of the string.
fn get_bit(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let offset = bit_offset(&ctx.keys, args.get(2), None)?;
    let byte = ctx
        .keys
        .string(args.key(1))?
        .map_or(0, |string| bits::byte(string, (offset / 8) as usize));
    ctx.reply.int(i64::from(byte >> (7 - offset % 8) & 1));
    Ok(())
}

/// BITCOUNT key [start end [BYTE|BIT]]
pub static BITCOUNT: Spec = Spec {
    name: "bitcount",
    summary: "Counts the set bits of the string at a key, or of a part of it.",
    since: "2.6.0",
    complexity: "O(N) where N is the number of bytes looked at.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::at(1, READ)],
    category: Category::Bitmap,
    args: "key [start end [BYTE|BIT]]",
    history: &[("7.0.0", "BYTE and BIT.")],
    handler: Handler::Read(bit_count),
    ..Spec::BASE
};

/// What positions in a string count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    /// The unit that word `at` names; bytes where there is no such word.
    fn parse(args: Args<'_>, at: usize) -> Result<Self> {
        match args.try_get(at) {
            None => Ok(Self::Byte),
            Some(_) if args.is(at, "bit") => Ok(Self::Bit),
            Some(_) if args.is(at, "byte") => Ok(Self::Byte),
            Some(_) => Err(Error::Syntax),
        }
    }

    fn bits(self) -> i64 {
        match self {
            Self::Byte => 8,
            Self::Bit => 1,
        }
    }

    /// The bits from `start` to `end`, either of which may count from the end of the string; `None` where they cross.
    fn bits_between(self, start: i64, end: i64, string_bytes: usize) -> Option<RangeInclusive<u64>> {
        let length = string_bytes as i64 * 8 / self.bits();
        let absolute = |at: i64| if at < 0 { (length + at).max(0) } else { at };
        let (start, end) = (absolute(start), absolute(end).min(length - 1));
        (start <= end).then(|| (start * self.bits()) as u64..=(end * self.bits() + self.bits() - 1) as u64)
    }
}

/// An absent key is answered for before the range is looked at, as stock does.
fn bit_count(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let Some(string) = ctx.keys.string(args.key(1))? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let (start, end, unit) = match args.len() {
        2 => (0, -1, Unit::Byte),
        4 | 5 => {
            let (start, end) = (args.int(2)?, args.int(3)?);
            if start < 0 && end < 0 && start > end {
                // Whatever the unit is called.
                ctx.reply.int(0);
                return Ok(());
            }
            (start, end, Unit::parse(args, 4)?)
        }
        _ => return Err(Error::Syntax),
    };
    let range = unit.bits_between(start, end, string.len());
    let count = range.map_or(0, |bits| bits::count_in(string, bits));
    ctx.reply.int(count as i64);
    Ok(())
}

/// BITPOS key bit [start [end [BYTE|BIT]]]
pub static BITPOS: Spec = Spec {
    name: "bitpos",
    summary: "Finds the first set, or clear, bit of the string at a key, or of a part of it.",
    since: "2.8.7",
    complexity: "O(N) where N is the number of bytes looked at.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, READ)],
    category: Category::Bitmap,
    args: "key bit:integer [start [end [BYTE|BIT]]]",
    history: &[("7.0.0", "BYTE and BIT.")],
    handler: Handler::Read(bit_position),
    ..Spec::BASE
};

/// -1 if there is no such bit. A string counts as going on with zeros, unless an end is given; an absent key is nothing
/// but zeros, and its range is not looked at.
fn bit_position(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let wanted = match args.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(Error::fixed("ERR The bit argument must be 1 or 0.")),
    };
    let Some(string) = ctx.keys.string(args.key(1))? else {
        ctx.reply.int(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let (start, end, unit) = match args.len() {
        3 => (0, None, Unit::Byte),
        4 => (args.int(3)?, None, Unit::Byte),
        5 | 6 => {
            let start = args.int(3)?;
            let unit = Unit::parse(args, 5)?;
            (start, Some(args.int(4)?), unit)
        }
        _ => return Err(Error::Syntax),
    };
    let length = string.len();
    let range = unit.bits_between(start, end.unwrap_or(-1), length);
    let position = range.and_then(|bits| {
        let beyond = (!wanted && end.is_none()).then_some(length as u64 * 8);
        bits::find_in(string, bits, wanted).or(beyond)
    });
    ctx.reply.int(position.map_or(-1, |bit| bit as i64));
    Ok(())
}

/// BITOP operation destkey key [key ...]
pub static BITOP: Spec = Spec {
    name: "bitop",
    summary: "Combines the strings at several keys bit by bit, and puts the result at another.",
    since: "2.6.0",
    complexity: "O(N) where N is the length of the longest string.",
    arity: Arity::AtLeast(4),
    keys: &[
        KeySpec::at(2, KeyFlags::OW.or(KeyFlags::UPDATE)),
        KeySpec::range(3, -1, 1, READ),
    ],
    category: Category::Bitmap,
    flags: Flags::DENY_OOM,
    args: "operation destkey:key key [key ...]",
    handler: Handler::Write(combine_bits),
    ..Spec::BASE
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

/// Strings are combined, and the result written, in pieces of this many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Shorter strings count as going on with zeros. Replies with the length of the result; an empty one deletes the
/// destination.
fn combine_bits(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let operation = match args.get(1) {
        word if word.eq_ignore_ascii_case(b"and") => Operation::And,
        word if word.eq_ignore_ascii_case(b"or") => Operation::Or,
        word if word.eq_ignore_ascii_case(b"xor") => Operation::Xor,
        word if word.eq_ignore_ascii_case(b"not") => Operation::Not,
        _ => return Err(Error::Syntax),
    };
    if operation == Operation::Not && args.len() != 4 {
        return Err(Error::fixed("ERR BITOP NOT must be called with a single source key."));
    }
    let (destination, sources) = (args.key(2), args.skip(3));
    let mut length = 0;
    for key in sources.iter() {
        length = length.max(ctx.keys.string(key)?.map_or(0, StrRef::len));
    }

    if length == 0 {
        ctx.keys.key_slot(destination).remove(Event::DEL);
    } else {
        write_combination(ctx, operation, destination, sources, length);
    }
    ctx.reply.int(length as i64);
    Ok(())
}

fn write_combination(
    ctx: &mut WriteCtx<'_>,
    operation: Operation,
    destination: &[u8],
    sources: Args<'_>,
    length: usize,
) {
    let mut piece = vec![0; length.min(PIECE_BYTES)];
    let in_place = sources.iter().any(|key| key == destination) && length > PIECE_BYTES;
    for at in (0..length).step_by(PIECE_BYTES) {
        let piece = &mut piece[..PIECE_BYTES.min(length - at)];
        combine_piece(&mut ctx.keys, operation, sources, at, piece);
        let slot = ctx.keys.key_slot(destination);
        let mut slot = if at == 0 && !in_place {
            slot.restart_string()
        } else {
            slot.into_string_slot()
        };
        if at == 0 && in_place {
            // A destination that is absent or shorter counts as going on with zeros, and now does.
            slot.stretch(length);
        }
        slot.patch(at, piece);
        if at + piece.len() == length {
            slot.clear_expiry();
            slot.commit(1, Event::SET);
        }
    }
}

/// Computes the part of the result that begins at `start`.
fn combine_piece(keys: &mut Reader<'_>, operation: Operation, sources: Args<'_>, start: usize, out: &mut [u8]) {
    out.fill(0);
    for (index, key) in sources.iter().enumerate() {
        let string = keys.peek(key).and_then(|entry| StrRef::of(entry).ok());
        let mut at = 0;
        if let Some(string) = string {
            let end = string.len().min(start + out.len());
            let _ = string.pieces(start.min(end)..end, |piece| {
                combine(operation, index == 0, &mut out[at..at + piece.len()], piece);
                at += piece.len();
                ControlFlow::<()>::Continue(())
            });
        }
        match operation {
            Operation::And => out[at..].fill(0),
            Operation::Not => out[at..].fill(0xff),
            Operation::Or | Operation::Xor => {}
        }
    }
}

fn combine(operation: Operation, first: bool, out: &mut [u8], source: &[u8]) {
    let pairs = out.iter_mut().zip(source);
    match operation {
        Operation::Not => pairs.for_each(|(out, byte)| *out = !byte),
        Operation::And if !first => pairs.for_each(|(out, byte)| *out &= byte),
        Operation::Xor if !first => pairs.for_each(|(out, byte)| *out ^= byte),
        Operation::Or if !first => pairs.for_each(|(out, byte)| *out |= byte),
        Operation::And | Operation::Xor | Operation::Or => out.copy_from_slice(source),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn single_bits() {
        check(
            "
            > SETBIT k 7 1
            0
            > SETBIT k 7 1
            1
            > SETBIT k 100 0
            0
            > STRLEN k
            13
            > GETBIT k 7
            1
            > GETBIT k 4294967295
            0
            > SET n 12
            OK
            > SETBIT n 2 1
            1
            > OBJECT ENCODING n
            raw
            > SETBIT k 4294967296 1
            ERR bit offset is not an integer or out of range
            > SETBIT k -1 1
            ERR bit offset is not an integer or out of range
            > SETBIT k #1 1
            ERR bit offset is not an integer or out of range
            > SETBIT k 1 2
            ERR bit is not an integer or out of range
            > GETBIT k x
            ERR bit offset is not an integer or out of range
            propagated: SELECT 0
            propagated: SETBIT k 7 1
            propagated: SETBIT k 100 0
            propagated: SET n 12
            propagated: nothing
            events: setbit k
            events: setbit k
            events: set n
            events: nothing
            ",
        );
    }

    #[test]
    fn counting_and_finding() {
        check(
            "
            > SET k foobar
            OK
            > BITCOUNT k
            26
            > BITCOUNT k 1 1
            6
            > BITCOUNT k 5 30 BIT
            17
            > BITCOUNT k -1 -5 nonsense
            0
            > BITCOUNT k 0
            ERR syntax error
            > BITCOUNT absent 0
            0
            > SET f \"\\xff\\xf0\\x00\"
            OK
            > BITPOS f 0
            12
            > BITPOS f 1 2
            -1
            > BITPOS f 0 0 0
            -1
            > BITPOS f 0 7 15 BIT
            12
            > BITPOS f 2
            ERR The bit argument must be 1 or 0.
            > SET f \"\\xff\"
            OK
            > BITPOS f 0
            8
            > BITPOS f 0 0 -1
            -1
            > BITPOS f 0 1
            -1
            > BITPOS absent 0
            0
            > BITPOS absent 1
            -1
            ",
        );
    }

    #[test]
    fn combinations() {
        check(
            "
            > SET a abc
            OK
            > SET b \"\\xff\\x00\"
            OK
            > SET d old EX 100
            OK
            > BITOP AND d a b
            3
            > GET d
            a\\x00\\x00
            > TTL d
            -1
            > OBJECT ENCODING d
            raw
            > BITOP or d a b nosuch
            3
            > GET d
            \\xffbc
            > BITOP XOR d d a
            3
            > GET d
            \\x9e\\x00\\x00
            > BITOP NOT d b
            2
            > GET d
            \\x00\\xff
            > BITOP NOT d a b
            ERR BITOP NOT must be called with a single source key.
            > BITOP NAND d a b
            ERR syntax error
            > BITOP AND d absent absent
            0
            > EXISTS d
            0
            events: set a
            events: set b
            events: set d
            events: expire d
            events: set d
            events: set d
            events: set d
            events: set d
            events: del d
            ",
        );
    }

    /// Longer than a piece, the destination among the sources.
    #[test]
    fn long_combinations() {
        check(
            "
            > SETRANGE a 200000 x
            200001
            > SETRANGE b 100000 y
            100001
            > SETBIT b 3 1
            0
            > EXPIRE a 100
            1
            > BITOP OR a b a
            200001
            > TTL a
            -1
            > BITCOUNT a
            10
            > BITPOS a 1 1
            800001
            > BITOP NOT c a
            200001
            > BITCOUNT c
            1599998
            > BITOP AND c a b
            200001
            > BITCOUNT c
            6
            > BITPOS c 1
            3
            > BITOP OR new new a
            200001
            > BITCOUNT new
            10
            > SETBIT c 4294967295 1
            0
            > STRLEN c
            536870912
            > BITCOUNT c -1000 -1
            1
            ",
        );
    }
}
