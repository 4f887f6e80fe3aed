//! HyperLogLogs: estimates of how many different elements there were.

use crate::WriteCtx;
use crate::hyperloglog::{self, Corrupted, Editor, Encoding, Histogram, REGISTERS, View};
use crate::{ArgsExt, Arity, Category, Error, Event, Flags, Handler, KeyFlags, KeySpec, Result, Spec, StrRef};
use resp::Args;
use std::borrow::Cow;

const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const INSERT: KeyFlags = KeyFlags::RW.or(KeyFlags::INSERT);

impl From<Corrupted> for Error {
    fn from(_: Corrupted) -> Self {
        Self::fixed("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// The bytes of a string that is a HyperLogLog.
fn bytes_of(string: StrRef<'_>) -> Result<Cow<'_, [u8]>> {
    let bytes = string.to_bytes();
    if matches!(string, StrRef::Int(_)) || View::new(&bytes).is_none() {
        return Err(Error::fixed("WRONGTYPE Key is not a valid HyperLogLog string value."));
    }
    Ok(bytes)
}

/// Bytes that [`bytes_of`] has let through.
fn view(bytes: &[u8]) -> Result<View<'_>> {
    View::new(bytes).ok_or(Error::WrongType)
}

/// PFADD key [element ...]
pub static PFADD: Spec = Spec {
    name: "pfadd",
    summary: "Adds elements to the HyperLogLog at a key.",
    since: "2.8.9",
    complexity: "O(1) to add every element.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::at(1, INSERT)],
    category: Category::HyperLogLog,
    flags: Flags::DENY_OOM.or(Flags::FAST),
    args: "key [element ...]",
    handler: Handler::Write(add),
    ..Spec::BASE
};

/// Replies 1 if the key was created or a register changed. Each counts as a change. Propagated verbatim.
fn add(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let (key, elements) = (args.key(1), args.skip(2));
    let sparse_bytes_max = ctx.keys.data().settings.encodings.hll_sparse_max_bytes;
    let mut slot = ctx.keys.string_slot(key)?;
    let existing = match slot.get() {
        Some(string) => Some(bytes_of(string)?),
        None => None,
    };
    let mut changes = u64::from(existing.is_none());

    if let Some(bytes) = &existing
        && view(bytes)?.encoding() == Encoding::Dense
    {
        drop(existing);
        for element in elements.iter() {
            // Short enough to lie in one piece; it was valid and stays so.
            let Some(StrRef::Bytes(bytes)) = slot.get() else { break };
            if let Some((at, pair)) = View::new(bytes).and_then(|hll| hll.dense_change(element)) {
                slot.patch(at, &pair);
                changes += 1;
            }
        }
        if changes > 0 {
            let mark = slot.get().and_then(|string| match string {
                StrRef::Bytes(bytes) => View::new(bytes).map(hyperloglog::stale_mark),
                _ => None,
            });
            if let Some((at, byte)) = mark {
                slot.patch(at, &[byte]);
            }
        }
    } else {
        let mut bytes = existing.map_or_else(hyperloglog::empty, Cow::into_owned);
        let mut editor = Editor::new(&mut bytes, sparse_bytes_max);
        for element in elements.iter() {
            changes += u64::from(editor.add(element)?);
        }
        if changes > 0 {
            editor.mark_stale();
            slot.rewrite(&bytes);
        } else {
            // As stock does, whether it changes it or not.
            slot.stretch(bytes.len());
        }
    }
    if changes > 0 {
        slot.commit(changes, Event::PF_ADD);
    }
    ctx.reply.int(i64::from(changes > 0));
    Ok(())
}

/// PFCOUNT key [key ...]
pub static PFCOUNT: Spec = Spec {
    name: "pfcount",
    summary: "Estimates how many different elements were added to the HyperLogLogs at one or several keys.",
    since: "2.8.9",
    complexity: "O(1) for one key, O(N) with large constants for N keys.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec {
        notes: "RW because it may change the internal representation of the key, and propagate to replicas",
        ..KeySpec::range(1, -1, 1, KeyFlags::RW.or(KeyFlags::ACCESS))
    }],
    category: Category::HyperLogLog,
    flags: Flags::READONLY.or(Flags::MAY_REPLICATE),
    args: "key [key ...]",
    handler: Handler::Write(count),
    ..Spec::BASE
};

/// The estimate of one is kept with it, which counts as a change that is propagated verbatim but has no event.
fn count(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    if args.len() > 2 {
        let mut registers = [0; REGISTERS];
        for key in args.skip(1).iter() {
            if let Some(string) = ctx.keys.string(key)? {
                view(&bytes_of(string)?)?.merge_into(&mut registers)?;
            }
        }
        ctx.reply.int(Histogram::of(&registers).estimate() as i64);
        return Ok(());
    }
    let key = args.key(1);
    let Some(string) = ctx.keys.string(key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let bytes = bytes_of(string)?;
    let hll = view(&bytes)?;
    let cached = hll.cached();
    let estimate = match cached {
        Some(estimate) => estimate,
        None => hll.histogram()?.estimate(),
    };
    let length = bytes.len();
    drop(bytes);

    let mut slot = ctx.keys.string_slot(key)?;
    slot.stretch(length);
    if cached.is_none() {
        let (at, bytes) = hyperloglog::cache_of(estimate);
        slot.patch(at, &bytes);
        slot.commit_unannounced();
    }
    ctx.reply.int(estimate as i64);
    Ok(())
}

/// PFMERGE destkey [sourcekey ...]
pub static PFMERGE: Spec = Spec {
    name: "pfmerge",
    summary: "Puts the union of several HyperLogLogs, its own included, at a key.",
    since: "2.8.9",
    complexity: "O(N) to merge N HyperLogLogs, with large constants.",
    arity: Arity::AtLeast(2),
    keys: &[
        KeySpec::at(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::INSERT)),
        KeySpec::range(2, -1, 1, READ),
    ],
    category: Category::HyperLogLog,
    flags: Flags::DENY_OOM,
    args: "destkey:key [sourcekey:key ...]",
    handler: Handler::Write(merge),
    ..Spec::BASE
};

/// The result is dense if any of them is. Propagated verbatim.
fn merge(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let sparse_bytes_max = ctx.keys.data().settings.encodings.hll_sparse_max_bytes;
    let mut registers = [0; REGISTERS];
    let mut dense = false;
    for key in args.skip(1).iter() {
        if let Some(string) = ctx.keys.string(key)? {
            let bytes = bytes_of(string)?;
            let hll = view(&bytes)?;
            dense |= hll.encoding() == Encoding::Dense;
            hll.merge_into(&mut registers)?;
        }
    }

    let mut slot = ctx.keys.string_slot(args.key(1))?;
    let mut bytes = match slot.get() {
        Some(string) => bytes_of(string)?.into_owned(),
        None => hyperloglog::empty(),
    };
    let mut editor = Editor::new(&mut bytes, sparse_bytes_max);
    if dense {
        editor.make_dense()?;
    }
    for (index, value) in registers.iter().enumerate().filter(|(_, value)| **value > 0) {
        editor.raise(index, *value)?;
    }
    editor.mark_stale();
    slot.rewrite(&bytes);
    slot.commit(1, Event::PF_ADD);
    ctx.reply.ok();
    Ok(())
}

/// PFDEBUG subcommand key
pub static PFDEBUG: Spec = Spec {
    name: "pfdebug",
    summary: "Shows the insides of the HyperLogLog at a key.",
    since: "2.8.9",
    complexity: "O(1), with large constants.",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::at(2, KeyFlags::RW.or(KeyFlags::ACCESS))],
    category: Category::HyperLogLog,
    flags: Flags::DENY_OOM.or(Flags::ADMIN),
    args: "subcommand key",
    handler: Handler::Write(debug),
    ..Spec::BASE
};

/// GETREG and TODENSE make a sparse one dense, which is propagated verbatim.
fn debug(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let mut slot = ctx.keys.string_slot(args.key(2))?;
    let Some(string) = slot.get() else {
        return Err(Error::fixed("ERR The specified key does not exist"));
    };
    let mut bytes = bytes_of(string)?.into_owned();
    let encoding = view(&bytes)?.encoding();
    let sparse = encoding == Encoding::Sparse;
    slot.stretch(bytes.len());

    if args.is(1, "decode") {
        if !sparse {
            return Err(Error::fixed("ERR HLL encoding is not sparse"));
        }
        ctx.reply.bulk(view(&bytes)?.describe_runs().as_bytes());
        return Ok(());
    }
    if args.is(1, "encoding") {
        ctx.reply.simple(if sparse { "sparse" } else { "dense" });
        return Ok(());
    }
    let registers = args.is(1, "getreg");
    if !registers && !args.is(1, "todense") {
        // All of it, but for what follows a zero byte.
        let word = args.get(1).split(|byte| *byte == 0).next().unwrap_or_default();
        let line = [b"ERR Unknown PFDEBUG subcommand '", word, b"'"].concat();
        return Err(Error::quoting(line));
    }
    if sparse {
        Editor::new(&mut bytes, 0).make_dense()?;
        slot.rewrite(&bytes);
        // It says the same as before: who watches it is not disturbed.
        ctx.keys.commit_whole();
    }
    if registers {
        let mut registers = [0; REGISTERS];
        view(&bytes)?.merge_into(&mut registers)?;
        ctx.reply.array(REGISTERS);
        registers.iter().for_each(|value| ctx.reply.int(i64::from(*value)));
    } else {
        ctx.reply.int(i64::from(sparse));
    }
    Ok(())
}

/// PFSELFTEST
pub static PFSELFTEST: Spec = Spec {
    name: "pfselftest",
    summary: "Tests the estimates of HyperLogLogs.",
    since: "2.8.9",
    complexity: "O(1), with large constants.",
    arity: Arity::Exactly(1),
    category: Category::HyperLogLog,
    flags: Flags::ADMIN,
    handler: Handler::Server(|ctx, _| self_test().map(|()| ctx.reply.ok())),
    ..Spec::BASE
};

/// How many elements the test adds, and the largest error that it lets through: some six times the standard one.
const TESTED_ELEMENTS: u64 = 100_000;
const TESTED_ERROR: f64 = 6.0 * 1.04 / 128.0;

fn self_test() -> Result {
    let mut bytes = hyperloglog::empty();
    let mut editor = Editor::new(&mut bytes, 3000);
    for element in 1..=TESTED_ELEMENTS {
        editor.add(&element.to_le_bytes())?;
    }
    let estimate = view(&bytes)?.histogram()?.estimate();
    if estimate.abs_diff(TESTED_ELEMENTS) as f64 > TESTED_ERROR * TESTED_ELEMENTS as f64 {
        return Err(Error::Message(
            format!("TESTFAILED Too big error. card:{TESTED_ELEMENTS} estimated:{estimate}").into(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn adding_and_counting() {
        check(
            "
            > PFADD h
            1
            > GET h
            HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x7f\\xff
            > OBJECT ENCODING h
            raw
            > PFADD h
            0
            > PFCOUNT h
            0
            > PFADD h a b c d e f g
            1
            > PFCOUNT h
            7
            > PFCOUNT h
            7
            > PFADD h a b c d e f g
            0
            > PFDEBUG DECODE h
            Z:1646 v:1,1 Z:5645 v:1,1 Z:1085 v:2,1 z:57 v:1,1 Z:4274 v:2,1 Z:2445 v:1,1 Z:622 v:1,1 Z:603
            > WATCH h
            OK
            > PFDEBUG TODENSE h
            1
            > MULTI
            OK
            > EXEC
            []
            > PFADD h a h
            1
            > PFCOUNT h
            8
            > PFADD h2 x y
            1
            > PFCOUNT h h2 nosuch
            10
            > PFMERGE h3 h h2
            OK
            > PFCOUNT h3
            10
            > PFDEBUG ENCODING h3
            dense
            propagated: SELECT 0
            propagated: PFADD h
            propagated: PFCOUNT h
            propagated: PFADD h a b c d e f g
            propagated: PFCOUNT h
            propagated: PFDEBUG TODENSE h
            propagated: PFADD h a h
            propagated: PFCOUNT h
            propagated: PFADD h2 x y
            propagated: PFMERGE h3 h h2
            propagated: PFCOUNT h3
            events: pfadd h
            events: pfadd h
            events: pfadd h
            events: pfadd h2
            events: pfadd h3
            ",
        );
    }

    #[test]
    fn strings_that_are_none() {
        check(
            "
            > SET k 5
            OK
            > PFADD k a
            WRONGTYPE Key is not a valid HyperLogLog string value.
            > PFCOUNT k
            WRONGTYPE Key is not a valid HyperLogLog string value.
            > PFMERGE other k
            WRONGTYPE Key is not a valid HyperLogLog string value.
            > PFADD h a
            1
            > APPEND h hello
            26
            > PFCOUNT h
            INVALIDOBJ Corrupted HLL object detected
            > PFCOUNT h h
            INVALIDOBJ Corrupted HLL object detected
            > PFDEBUG NONSENSE h
            ERR Unknown PFDEBUG subcommand 'NONSENSE'
            > PFDEBUG GETREG absent
            ERR The specified key does not exist
            > PFSELFTEST
            OK
            ",
        );
    }
}
