//! Keys by pattern, all at once or step by step.

use crate::{Acl, ArgsExt, Arity, Category, Error, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec};
use base::{glob, number};
use resp::{Args, Proto, Reply};

/// KEYS pattern
pub static KEYS: Spec = Spec {
    name: "keys",
    summary: "Returns the names of all keys that match a pattern.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys in the database.",
    arity: Arity::Exactly(2),
    acl: Acl::KEYSPACE.or(Acl::DANGEROUS),
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    args: "pattern",
    handler: Handler::Read(keys),
    ..Spec::BASE
};

fn keys(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let pattern = args.get(1);
    let all = pattern == b"*";
    let deferred = ctx.reply.deferred_array();
    let mut found = 0;
    for entry in ctx.keys.database().iter() {
        if (all || glob::matches(pattern, entry.key(), false)) && ctx.keys.is_visible(entry) {
            ctx.reply.bulk(entry.key());
            found += 1;
        }
    }
    ctx.reply.set_deferred(deferred, found);
    Ok(())
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
pub static SCAN: Spec = Spec {
    name: "scan",
    summary: "Returns some names of keys, and the cursor to go on from.",
    since: "2.8.0",
    complexity: "O(1) for every call, O(N) from the first cursor to the last, where N is the number of keys.",
    arity: Arity::AtLeast(2),
    acl: Acl::KEYSPACE,
    tips: &["nondeterministic_output", "request_policy:special"],
    args: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
    history: &[("6.0.0", "TYPE.")],
    handler: Handler::Read(scan),
    ..Spec::BASE
};

const DEFAULT_COUNT: i64 = 10;

/// The options of SCAN and its like.
struct Options<'a> {
    /// What to return; `None` for everything.
    pattern: Option<&'a [u8]>,
    count: i64,
    /// Of what type keys must be.
    type_name: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// Reads the options from word `at` on.
    fn parse(args: Args<'a>, mut at: usize) -> Result<Self> {
        let mut options = Self {
            pattern: None,
            count: DEFAULT_COUNT,
            type_name: None,
        };
        while at < args.len() {
            let value = args.try_get(at + 1).ok_or(Error::Syntax)?;
            if args.is(at, "count") {
                options.count = args.int(at + 1)?;
                if options.count < 1 {
                    return Err(Error::Syntax);
                }
            } else if args.is(at, "match") {
                options.pattern = (value != b"*").then_some(value);
            } else if args.is(at, "type") {
                options.type_name = Some(value);
            } else {
                return Err(Error::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    /// How much work a call may do.
    fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }
}

/// A key that is there from the first call to the last is returned at least once; COUNT says how much work a call may do.
fn scan(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let cursor = cursor(args, 1)?;
    let options = Options::parse(args, 2)?;

    let (mut found, mut expired) = (Vec::new(), Vec::new());
    let keys = &ctx.keys;
    let next = keys.database().scan(cursor, options.count(), &mut |entry| {
        if options
            .pattern
            .is_some_and(|pattern| !glob::matches(pattern, entry.key(), false))
        {
            return;
        }
        let type_name = entry.value_type().name().as_bytes();
        if !keys.is_visible(entry) {
            expired.push(entry.key().to_vec());
        } else if options
            .type_name
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(type_name))
        {
            found.push(entry.key().to_vec());
        }
    });
    // A look at a key whose time has passed is what deletes it, where it may be.
    for key in &expired {
        ctx.keys.peek(key);
    }

    begin_found(&mut ctx.reply, next, found.len());
    found.iter().for_each(|key| ctx.reply.bulk(key));
    Ok(())
}

/// SSCAN key cursor [MATCH pattern] [COUNT count]
pub static SSCAN: Spec = Spec {
    name: "sscan",
    summary: "Returns some members of a set, and the cursor to go on from.",
    since: "2.8.0",
    complexity: COLLECTION_COST,
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    category: Category::Set,
    tips: &["nondeterministic_output"],
    args: "key cursor [MATCH pattern] [COUNT count]",
    handler: Handler::Read(scan_set),
    ..Spec::BASE
};

const COLLECTION_COST: &str = "O(1) for every call. O(N) for a complete iteration, including enough command calls for \
                               the cursor to return back to 0. N is the number of elements inside the collection..";

fn scan_set(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let cursor = cursor(args, 2)?;
    let set = ctx.keys.set(args.key(1))?;
    collection(&mut ctx.reply, args, set, |set, count, found| {
        set.scan(cursor, count, &mut |member| {
            member.with_text(|text| found.offer(text, |reply| reply.bulk(text)));
        })
    })
}

/// What a step through a collection comes upon. The cursor stands before it in the reply, and is known only after it.
pub(super) struct Found<'a> {
    pattern: Option<&'a [u8]>,
    proto: Proto,
    bytes: Vec<u8>,
    elements: usize,
}

impl Found<'_> {
    /// Takes one element if its name is wanted.
    pub(super) fn offer(&mut self, name: &[u8], write: impl FnOnce(&mut Reply<'_>)) {
        self.offer_with(name, 1, write);
    }

    /// Takes a name and what belongs to it, two elements in either protocol.
    pub(super) fn offer_pair(&mut self, name: &[u8], write: impl FnOnce(&mut Reply<'_>)) {
        self.offer_with(name, 2, write);
    }

    fn offer_with(&mut self, name: &[u8], elements: usize, write: impl FnOnce(&mut Reply<'_>)) {
        if self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false)) {
            write(&mut Reply::new(&mut self.bytes, self.proto));
            self.elements += elements;
        }
    }
}

/// A step through the collection of a key, `key cursor [MATCH pattern] [COUNT count]`: `visit` offers what it comes upon
/// and gives the next cursor. An absent key has nothing, whatever the options are.
pub(super) fn collection<View>(
    reply: &mut Reply<'_>,
    args: Args<'_>,
    view: Option<View>,
    visit: impl FnOnce(View, usize, &mut Found<'_>) -> u64,
) -> Result {
    let mut found = Found {
        pattern: None,
        proto: reply.proto(),
        bytes: Vec::new(),
        elements: 0,
    };
    let mut next = 0;
    if let Some(view) = view {
        let options = Options::parse(args, 3)?;
        if options.type_name.is_some() {
            return Err(Error::Syntax);
        }
        found.pattern = options.pattern;
        next = visit(view, options.count(), &mut found);
    }
    begin_found(reply, next, found.elements);
    reply.raw(&found.bytes);
    Ok(())
}

/// Begins the reply of a step: the cursor to go on from, and so many elements.
fn begin_found(reply: &mut Reply<'_>, next: u64, elements: usize) {
    reply.array(2);
    let mut text = Vec::new();
    number::write_u64(&mut text, next);
    reply.bulk(&text);
    reply.array(elements);
}

/// The cursor at word `at`.
pub(super) fn cursor(args: Args<'_>, at: usize) -> Result<u64> {
    parse_cursor(args.get(at)).ok_or(Error::fixed("ERR invalid cursor"))
}

/// Cursors are read as C's `strtoul` reads them: a sign and leading zeros are allowed, a minus wraps around, a zero byte
/// ends the text, and no text is 0.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or(text);
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if text.is_empty() {
        return Some(0);
    }
    let significant = &digits[digits.iter().take_while(|digit| **digit == b'0').count()..];
    let value = match (significant, digits) {
        ([], []) => return None,
        ([], _) => 0,
        _ => number::parse_u64(significant)?,
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn cursors_as_strtoul_takes_them() {
        for (text, value) in [
            ("0", 0),
            ("+7", 7),
            ("007", 7),
            ("", 0),
            ("3\0x", 3),
            ("-1", u64::MAX),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["-", "x", " 1", "1 ", "18446744073709551616", "--1"] {
            assert_eq!(parse_cursor(text.as_bytes()), None, "{text}");
        }
    }

    /// The stock suite: the deletions of expired keys that SCAN comes upon travel each for itself.
    #[test]
    fn expired_keys_go_one_by_one() {
        check(
            "
            > SET a 1 PX 1
            OK
            propagated: SELECT 0
            propagated: SET a 1 PXAT 1700000000001
            > SET b 1 PX 1
            OK
            propagated: SET b 1 PXAT 1700000000001
            clock: +5
            > SCAN 0 COUNT 100
            [\"0\", []]
            propagated: DEL b
            propagated: DEL a
            ",
        );
    }

    #[test]
    fn keys_by_pattern() {
        check(
            "
            > MSET one 1 two 2
            OK
            > SET gone 1 PX 10
            OK
            clock: +20
            > KEYS t*
            [\"two\"]
            > SCAN 0 MATCH one COUNT 100
            [\"0\", [\"one\"]]
            > SCAN 0 TYPE STRING MATCH t* COUNT 100
            [\"0\", [\"two\"]]
            > DBSIZE
            3
            > SCAN 0 TYPE hash COUNT 100
            [\"0\", []]
            > DBSIZE
            2
            > SCAN x
            ERR invalid cursor
            > SCAN 0 COUNT 0
            ERR syntax error
            > SCAN 0 COUNT x
            ERR value is not an integer or out of range
            > SCAN 0 MATCH
            ERR syntax error
            ",
        );
    }
}
