//! Parts of strings.

use crate::WriteCtx;
use crate::keys::{Reader, int_text};
use crate::session::Kind;
use crate::{ArgsExt, Arity, Category, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, StrRef};
use resp::{Args, Reply};
use std::ops::Range;

/// APPEND key value
pub static APPEND: Spec = Spec {
    name: "append",
    summary: "Appends to the string at a key.",
    since: "2.0.0",
    complexity: "O(1), amortised, for a short value.",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::INSERT))],
    category: Category::String,
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key value",
    handler: Handler::Write(append),
    ..Spec::BASE
};

/// Replies with the new length. An absent key counts as empty; the expiry stays.
fn append(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let (key, value) = (args.key(1), args.get(2));
    let limit = longest_string(&ctx.keys);
    let slot = ctx.keys.string_slot(key)?;
    if let Some(string) = slot.get() {
        check_length(string.len(), value.len(), limit)?;
    }
    let length = slot.append(value, Event::APPEND);
    ctx.reply.int(length as i64);
    Ok(())
}

/// The longest that a string may grow, in bytes. The primary's stream is believed.
pub(super) fn longest_string(keys: &Reader<'_>) -> u64 {
    if keys.from == Kind::Primary {
        u64::MAX
    } else {
        keys.data().settings.max_bulk_bytes
    }
}

fn check_length(bytes: usize, more: usize, limit: u64) -> Result {
    match (bytes as u64).checked_add(more as u64) {
        Some(total) if total <= limit => Ok(()),
        _ => Err(Error::fixed(
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        )),
    }
}

/// STRLEN key
pub static STRLEN: Spec = Spec {
    name: "strlen",
    summary: "Returns the length of the string at a key, in bytes.",
    since: "2.2.0",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO)],
    category: Category::String,
    flags: Flags::FAST,
    args: "key",
    handler: Handler::Read(length),
    ..Spec::BASE
};

fn length(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let length = ctx.keys.string(args.key(1))?.map_or(0, StrRef::len);
    ctx.reply.int(length as i64);
    Ok(())
}

/// GETRANGE key start end
pub static GETRANGE: Spec = Spec {
    name: "getrange",
    summary: "Returns a part of the string at a key.",
    since: "2.4.0",
    complexity: "O(N) where N is the length of the returned string.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    category: Category::String,
    args: "key start end",
    handler: Handler::Read(get_range),
    ..Spec::BASE
};

/// SUBSTR key start end
pub static SUBSTR: Spec = Spec {
    name: "substr",
    summary: "Returns a part of the string at a key.",
    since: "1.0.0",
    complexity: "O(N) where N is the length of the returned string.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    category: Category::String,
    args: "key start end",
    deprecated: Some(("2.0.0", "`GETRANGE`")),
    handler: Handler::Read(get_range),
    ..Spec::BASE
};

/// The bytes from `start` to `end`, both included; negative positions count from the end.
fn get_range(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let (start, end) = (args.int(2)?, args.int(3)?);
    match ctx.keys.string(args.key(1))? {
        Some(string) => reply_range(&mut ctx.reply, string, absolute_range(start, end, string.len())),
        None => ctx.reply.bulk(b""),
    }
    Ok(())
}

/// The positions that `start` and `end` mean in a string of `length` bytes; empty where they cross.
fn absolute_range(start: i64, end: i64, length: usize) -> Range<usize> {
    if length == 0 || (start < 0 && end < 0 && start > end) {
        return 0..0;
    }
    let length = length as i64;
    let from_start = |at: i64| if at < 0 { (length + at).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(length - 1));
    if start > end {
        0..0
    } else {
        start as usize..end as usize + 1
    }
}

fn reply_range(reply: &mut Reply<'_>, string: StrRef<'_>, range: Range<usize>) {
    match string {
        StrRef::Int(number) => reply.bulk(&int_text(number)[range]),
        StrRef::Bytes(bytes) => reply.bulk(&bytes[range]),
        StrRef::Chunked(chunks) => reply.bulk_parts(range.len(), chunks.range(range.start, range.end)),
    }
}

/// SETRANGE key offset value
pub static SETRANGE: Spec = Spec {
    name: "setrange",
    summary: "Overwrites a part of the string at a key, from an offset on.",
    since: "2.2.0",
    complexity: "O(1) for a short value, else O(M) where M is its length.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
    category: Category::String,
    flags: Flags::DENY_OOM,
    args: "key offset value",
    handler: Handler::Write(set_range),
    ..Spec::BASE
};

/// Fills a gap with zero bytes and replies with the new length. Writing nothing changes, and creates, nothing.
fn set_range(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let (key, offset, value) = (args.key(1), args.int(2)?, args.get(3));
    let offset = usize::try_from(offset).map_err(|_| Error::fixed("ERR offset is out of range"))?;
    let limit = longest_string(&ctx.keys);

    let slot = ctx.keys.string_slot(key)?;
    let length = if value.is_empty() {
        slot.get().map_or(0, StrRef::len)
    } else {
        check_length(offset, value.len(), limit)?;
        slot.write_at(offset, value, Event::SET_RANGE)
    };
    ctx.reply.int(length as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn ranges_count_from_either_end() {
        let whole = [(0, -1), (-100, 100), (0, i64::MAX), (i64::MIN, i64::MAX)];
        assert!(
            whole
                .into_iter()
                .all(|(start, end)| absolute_range(start, end, 5) == (0..5))
        );
        assert_eq!(absolute_range(1, 3, 5), 1..4);
        assert_eq!(absolute_range(-3, -2, 5), 2..4);
        assert_eq!(absolute_range(-100, -100, 5), 0..1);
        assert!(absolute_range(3, 1, 5).is_empty());
        assert!(absolute_range(5, 9, 5).is_empty());
        assert!(absolute_range(-1, -100, 5).is_empty());
        assert!(absolute_range(0, -1, 0).is_empty());
    }

    #[test]
    fn parts_of_strings() {
        check(
            "
            > APPEND k 12
            2
            > OBJECT ENCODING k
            int
            > APPEND k 34
            4
            > GETRANGE k 1 -2
            23
            > SUBSTR k -2 -1
            34
            > SETRANGE k 6 x
            7
            > GET k
            1234\\x00\\x00x
            > SETRANGE k 9 \"\"
            7
            > SETRANGE absent 9 \"\"
            0
            > EXISTS absent
            0
            > SETRANGE k -1 x
            ERR offset is out of range
            > SETRANGE k 536870912 x
            ERR string exceeds maximum allowed size (proto-max-bulk-len)
            > STRLEN k
            7
            propagated: SELECT 0
            propagated: APPEND k 12
            propagated: APPEND k 34
            propagated: SETRANGE k 6 x
            propagated: nothing
            events: append k
            events: append k
            events: setrange k
            events: nothing
            ",
        );
    }
}
