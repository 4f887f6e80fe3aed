//! Strings as arrays of integers of any width.

use super::bitmaps::bit_offset;
use crate::{ArgsExt, Arity, Category, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, StrRef};
use crate::{WriteCtx, keys::Reader};
use resp::{Args, Reply};

const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const UPDATE: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE);

/// BITFIELD key [operation ...]
pub static BITFIELD: Spec = Spec {
    name: "bitfield",
    summary: "Reads, sets and increments integers of any width inside of the string at a key.",
    since: "3.2.0",
    complexity: "O(1) for each operation.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec {
        notes: "This command allows both access and modification of the key",
        ..KeySpec::at(1, UPDATE.or(KeyFlags::VARIABLE_FLAGS))
    }],
    get_key_flags: Some(bitfield_key_flags),
    category: Category::Bitmap,
    flags: Flags::DENY_OOM,
    args: "key [<GET encoding offset|[OVERFLOW <WRAP|SAT|FAIL>] <SET encoding offset value:integer|\
           INCRBY encoding offset increment>> ...]",
    handler: Handler::Write(bitfield),
    ..Spec::BASE
};

/// BITFIELD_RO key [GET encoding offset ...]
pub static BITFIELD_RO: Spec = Spec {
    name: "bitfield_ro",
    summary: "Reads integers of any width inside of the string at a key.",
    since: "6.0.0",
    complexity: "O(1) for each operation.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::at(1, READ)],
    category: Category::Bitmap,
    flags: Flags::FAST,
    args: "key [GET encoding offset [GET encoding offset ...]]",
    handler: Handler::Read(bitfield_read_only),
    ..Spec::BASE
};

/// A type of integers: `u1` to `u63`, `i1` to `i64`.
#[derive(Clone, Copy)]
struct Field {
    signed: bool,
    bits: u8,
}

/// What happens to a result that its field cannot hold.
#[derive(Clone, Copy, Default)]
enum Overflow {
    /// Its upper bits are lost.
    #[default]
    Wrap,
    /// It becomes the nearest that fits.
    Saturate,
    /// Nothing happens.
    Fail,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    IncrBy(i64),
}

#[derive(Clone, Copy)]
struct Operation {
    field: Field,
    offset: u64,
    action: Action,
    overflow: Overflow,
}

impl Operation {
    /// The bytes that a string needs for the field to lie in it.
    fn end_byte(&self) -> usize {
        ((self.offset + u64::from(self.field.bits) - 1) / 8) as usize + 1
    }
}

/// Everything that a request asks for.
fn parse(keys: &Reader<'_>, args: Args<'_>) -> Result<Vec<Operation>> {
    let mut operations = Vec::with_capacity(args.len() / 3);
    let mut overflow = Overflow::default();
    let mut at = 2;
    while at < args.len() {
        let more = args.len() - at - 1;
        if args.is(at, "overflow") && more >= 1 {
            overflow = match args.get(at + 1) {
                word if word.eq_ignore_ascii_case(b"wrap") => Overflow::Wrap,
                word if word.eq_ignore_ascii_case(b"sat") => Overflow::Saturate,
                word if word.eq_ignore_ascii_case(b"fail") => Overflow::Fail,
                _ => return Err(Error::fixed("ERR Invalid OVERFLOW type specified")),
            };
            at += 2;
            continue;
        }
        let action: fn(i64) -> Action = match () {
            () if args.is(at, "get") && more >= 2 => |_| Action::Get,
            () if args.is(at, "set") && more >= 3 => Action::Set,
            () if args.is(at, "incrby") && more >= 3 => Action::IncrBy,
            () => return Err(Error::Syntax),
        };
        let field = Field::parse(args.get(at + 1))?;
        let offset = bit_offset(keys, args.get(at + 2), Some(field.bits))?;
        let reads = matches!(action(0), Action::Get);
        let number = if reads { 0 } else { args.int(at + 3)? };
        operations.push(Operation {
            field,
            offset,
            action: action(number),
            overflow,
        });
        at += if reads { 3 } else { 4 };
    }
    Ok(operations)
}

fn is_read(operations: &[Operation]) -> bool {
    operations
        .iter()
        .all(|operation| matches!(operation.action, Action::Get))
}

/// As far as the words make sense, whether any of them writes.
fn bitfield_key_flags(args: Args<'_>) -> KeyFlags {
    let mut at = 2;
    while at < args.len() {
        let more = args.len() - at - 1;
        if args.is(at, "get") && more >= 2 {
            at += 3;
        } else if args.is(at, "overflow") && more >= 1 {
            at += 2;
        } else {
            return UPDATE;
        }
    }
    READ
}

/// Replies with an array of a result per operation: null for one that failed to fit. Propagated verbatim.
fn bitfield(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let operations = parse(&ctx.keys, args)?;
    let key = args.key(1);
    if is_read(&operations) {
        reply_fields(&mut ctx.reply, ctx.keys.string(key)?, &operations);
        return Ok(());
    }

    let writes = operations.iter().filter(|op| !matches!(op.action, Action::Get));
    let length = writes.map(Operation::end_byte).max().unwrap_or(0);
    let mut slot = ctx.keys.string_slot(key)?;
    let stretched = slot.stretch(length);
    let mut changes = 0;
    ctx.reply.array(operations.len());
    for operation in &operations {
        let old = slot.get().map_or(0, |string| operation.load(string));
        let Some((new, result)) = operation.apply(old) else {
            ctx.reply.null();
            continue;
        };
        ctx.reply.int(result);
        if !matches!(operation.action, Action::Get) {
            let (at, bytes) = operation.store(slot.get(), new);
            slot.patch(at, &bytes[..operation.end_byte() - at]);
            changes += u64::from(stretched || new != old);
        }
    }
    if changes > 0 {
        slot.commit(changes, Event::SET_BIT);
    } else if stretched {
        // Every write failed, but the string has grown. Stock tells nobody; here at least replicas get it.
        slot.commit_unannounced();
    }
    Ok(())
}

fn bitfield_read_only(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let operations = parse(&ctx.keys, args)?;
    if !is_read(&operations) {
        return Err(Error::fixed("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    reply_fields(&mut ctx.reply, ctx.keys.string(args.key(1))?, &operations);
    Ok(())
}

fn reply_fields(reply: &mut Reply<'_>, string: Option<StrRef<'_>>, operations: &[Operation]) {
    reply.array(operations.len());
    for operation in operations {
        reply.int(string.map_or(0, |string| operation.load(string)));
    }
}

/// The nine bytes that a field may touch, as the upper part of a number.
const WINDOW_BYTES: usize = 9;

impl Operation {
    fn shift(&self) -> u32 {
        128 - (self.offset % 8) as u32 - u32::from(self.field.bits)
    }

    fn window(&self, string: StrRef<'_>) -> u128 {
        let mut window = [0; 16];
        string.read((self.offset / 8) as usize, &mut window[..WINDOW_BYTES]);
        u128::from_be_bytes(window)
    }

    /// The number in the field; zeros past the end of the string.
    fn load(&self, string: StrRef<'_>) -> i64 {
        let raw = (self.window(string) >> self.shift()) as u64;
        self.field.wrap(raw as i64)
    }

    /// What to write, and where, for the field to hold `number`.
    fn store(&self, string: Option<StrRef<'_>>, number: i64) -> (usize, [u8; 16]) {
        let mask = u128::from(self.field.mask()) << self.shift();
        let old = string.map_or(0, |string| self.window(string));
        let new = old & !mask | u128::from(number as u64) << self.shift() & mask;
        ((self.offset / 8) as usize, new.to_be_bytes())
    }

    /// What the field becomes, and the answer; `None` when it does not fit and must not change.
    fn apply(&self, old: i64) -> Option<(i64, i64)> {
        let (base, increment) = match self.action {
            Action::Get => return Some((old, old)),
            Action::Set(number) => (number, 0),
            Action::IncrBy(increment) => (old, increment),
        };
        let new = match (self.field.fit(base, increment), self.overflow) {
            (Fit::Inside(new), _) => new,
            (_, Overflow::Fail) => return None,
            (_, Overflow::Wrap) => self.field.wrap(base.wrapping_add(increment)),
            (Fit::Above, Overflow::Saturate) => self.field.max(),
            (Fit::Below, Overflow::Saturate) => self.field.min(),
        };
        let answer = if matches!(self.action, Action::Set(_)) {
            old
        } else {
            new
        };
        Some((new, answer))
    }
}

enum Fit {
    Inside(i64),
    Above,
    Below,
}

impl Field {
    fn parse(word: &[u8]) -> Result<Self> {
        const INVALID: Error = Error::fixed(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        );
        let (signed, digits) = match word.split_first() {
            Some((b'i', digits)) => (true, digits),
            Some((b'u', digits)) => (false, digits),
            _ => return Err(INVALID),
        };
        // Stock sees what stands before a zero byte.
        let digits = digits.split(|byte| *byte == 0).next().unwrap_or_default();
        let most = if signed { 64 } else { 63 };
        match base::number::parse_i64(digits) {
            Some(bits) if (1..=most).contains(&bits) => Ok(Self {
                signed,
                bits: bits as u8,
            }),
            _ => Err(INVALID),
        }
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    fn max(self) -> i64 {
        (self.mask() >> u32::from(self.signed)) as i64
    }

    fn min(self) -> i64 {
        if self.signed { -self.max() - 1 } else { 0 }
    }

    /// The number that the lower bits of `number` are in this field.
    fn wrap(self, number: i64) -> i64 {
        let unused = 64 - u32::from(self.bits);
        if self.signed {
            number << unused >> unused
        } else {
            number & self.mask() as i64
        }
    }

    /// Whether the sum fits. A number to be set counts as stock reckons: to an unsigned field a negative one is large, and
    /// for a narrow signed one so is a number so low that its distance from the greatest overflows.
    fn fit(self, base: i64, increment: i64) -> Fit {
        let (low, high) = (i128::from(self.min()), i128::from(self.max()));
        let wraps = self.signed && self.bits < 64 && increment > self.max().wrapping_sub(base);
        let base = if self.signed {
            i128::from(base)
        } else {
            i128::from(base as u64)
        };
        let sum = base + i128::from(increment);
        if wraps || sum > high {
            Fit::Above
        } else if sum < low {
            Fit::Below
        } else {
            Fit::Inside(sum as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn types() {
        for good in ["i1", "i64", "u1", "u63"] {
            assert!(Field::parse(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in ["", "i", "i0", "i65", "u64", "u-1", "8", "I8", "u08", "u8x"] {
            assert!(Field::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_are_read_and_written() {
        check(
            "
            > BITFIELD k SET u8 0 255 SET u8 8 100 GET u4 6 GET i8 0
            [0, 0, 13, -1]
            > BITFIELD k INCRBY i5 #2 1 GET u63 4 GET i64 60
            [-13, 8876594865547247616, 0]
            > BITFIELD_RO k GET u8 #1
            [102]
            > BITFIELD k GET u8 0
            [255]
            > BITFIELD_RO k GET u8 0 SET u8 0 1
            ERR BITFIELD_RO only supports the GET subcommand
            > BITFIELD k
            []
            > BITFIELD k GET u64 0
            ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
            > BITFIELD k GET u8 -1
            ERR bit offset is not an integer or out of range
            > BITFIELD k SET u8 0
            ERR syntax error
            > BITFIELD k OVERFLOW no
            ERR Invalid OVERFLOW type specified
            > BITFIELD absent GET u8 0
            [0]
            > EXISTS absent
            0
            propagated: SELECT 0
            propagated: BITFIELD k SET u8 0 255 SET u8 8 100 GET u4 6 GET i8 0
            propagated: BITFIELD k INCRBY i5 #2 1 GET u63 4 GET i64 60
            propagated: nothing
            events: setbit k
            events: setbit k
            events: nothing
            ",
        );
    }

    #[test]
    fn overflows() {
        check(
            "
            > BITFIELD k SET u2 100 3 OVERFLOW SAT INCRBY u2 100 1 OVERFLOW WRAP INCRBY u2 100 2 OVERFLOW FAIL INCRBY u2 100 9
            [0, 3, 1, (nil)]
            > BITFIELD k OVERFLOW SAT INCRBY i8 0 -1000 INCRBY i8 0 1000 SET i8 0 -200 GET i8 0
            [-128, 127, 127, -128]
            > BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0
            [-128, 127]
            > BITFIELD k OVERFLOW SAT SET u8 0 -1 INCRBY u8 0 -1000
            [127, 0]
            > BITFIELD k SET i64 64 9223372036854775807 INCRBY i64 64 1
            [67108864, -9223372036854775808]
            > BITFIELD k OVERFLOW FAIL INCRBY i64 64 -1
            [(nil)]
            ",
        );
    }

    /// All writes failed, yet the string was made: stock forgets to tell its replicas, which would answer otherwise then.
    #[test]
    fn a_string_that_only_grew_is_propagated() {
        check(
            "
            > BITFIELD k OVERFLOW FAIL INCRBY u2 5 100
            [(nil)]
            > STRLEN k
            1
            propagated: SELECT 0
            propagated: BITFIELD k OVERFLOW FAIL INCRBY u2 5 100
            events: nothing
            ",
        );
    }
}
