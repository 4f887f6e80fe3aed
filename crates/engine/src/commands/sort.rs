//! SORT: the elements of a list, set or sorted set in order, by themselves or by what keys named after them hold.
//!
//! ```text
//!   elements ─► with what they are compared by (BY) ─► in order ─► LIMIT ─► what is asked of each (GET) ─► reply, STORE
//! ```

use crate::keys::Reader;
use crate::spec::{Begin, Find};
use crate::{
    Acl, ArgsExt, Arity, Error, Event, Flags, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, StrRef, WriteCtx,
};
use keyspace::{Direction, End, ListRef, SetRef, ValueRef, ZsetRef};
use resp::{Args, Reply};
use std::cmp::Ordering;
use std::ops::ControlFlow;

const SORTED: KeySpec = KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS));
const BY_PATTERN: KeySpec = KeySpec {
    begin: Begin::Unknown,
    find: Find::Unknown,
    flags: KeyFlags::RO.or(KeyFlags::ACCESS),
    notes: "Of BY and GET: the names of these keys derive from the elements, so nobody can tell them beforehand",
};
const STORED: KeySpec = KeySpec {
    begin: Begin::Unknown,
    find: Find::Unknown,
    flags: KeyFlags::OW.or(KeyFlags::UPDATE),
    notes: "Of STORE, which may stand anywhere among the options",
};
const COST: &str = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of \
                    returned elements. When the elements are not sorted, complexity is O(N).";

/// SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE destination]
pub static SORT: Spec = Spec {
    name: "sort",
    summary: "Sorts the elements of a list, a set or a sorted set, and returns or stores them.",
    complexity: COST,
    arity: Arity::AtLeast(2),
    keys: &[SORTED, BY_PATTERN, STORED],
    get_keys: Some(|args| {
        let stored = Plan::parse(args).ok().and_then(|plan| plan.store);
        std::iter::once(1).chain(stored).collect()
    }),
    flags: Flags::DENY_OOM.or(Flags::MOVABLE_KEYS),
    acl: SORT_ACL,
    args: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [ALPHA] [STORE destination]",
    handler: Handler::Write(sort),
    ..Spec::BASE
};

/// SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA]
pub static SORT_RO: Spec = Spec {
    name: "sort_ro",
    summary: "Sorts the elements of a list, a set or a sorted set, and returns them.",
    since: "7.0.0",
    complexity: COST,
    arity: Arity::AtLeast(2),
    keys: &[SORTED, BY_PATTERN],
    get_keys: Some(|_| vec![1]),
    flags: Flags::MOVABLE_KEYS,
    acl: SORT_ACL,
    args: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [ALPHA]",
    handler: Handler::Read(sort_read_only),
    ..Spec::BASE
};

const SORT_ACL: Acl = Acl::SET.or(Acl::SORTED_SET).or(Acl::LIST).or(Acl::DANGEROUS);

/// What is to be done.
#[derive(Default)]
struct Plan<'a> {
    /// The pattern of the keys that elements are compared by.
    by: Option<&'a [u8]>,
    /// The elements stay in the order they have.
    as_they_are: bool,
    /// What is asked of each element: a pattern of keys, or `#` for the element itself.
    get: Vec<&'a [u8]>,
    offset: i64,
    count: Option<i64>,
    descending: bool,
    alpha: bool,
    /// Where in the request the destination is.
    store: Option<usize>,
}

impl<'a> Plan<'a> {
    fn parse(args: Args<'a>) -> Result<Self> {
        let mut plan = Self::default();
        let mut at = 2;
        while at < args.len() {
            let left = args.len() - at - 1;
            if args.is(at, "asc") {
                plan.descending = false;
            } else if args.is(at, "desc") {
                plan.descending = true;
            } else if args.is(at, "alpha") {
                plan.alpha = true;
            } else if args.is(at, "limit") && left >= 2 {
                plan.offset = args.int(at + 1)?;
                plan.count = Some(args.int(at + 2)?);
                at += 2;
            } else if args.is(at, "store") && left >= 1 {
                plan.store = Some(at + 1);
                at += 1;
            } else if args.is(at, "by") && left >= 1 {
                plan.by = Some(args.get(at + 1));
                plan.as_they_are |= !c_text(args.get(at + 1)).contains(&b'*');
                at += 1;
            } else if args.is(at, "get") && left >= 1 {
                plan.get.push(args.get(at + 1));
                at += 1;
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        Ok(plan)
    }

    /// The first element wanted of `len`, and the one after the last.
    fn range(&self, len: u64) -> (u64, u64) {
        let start = u64::try_from(self.offset).unwrap_or(0).min(len);
        let count = self.count.and_then(|count| u64::try_from(count).ok());
        let end = count.map_or(len, |count| start.saturating_add(count).min(len));
        (start, end)
    }
}

/// What a C string function sees of a text.
fn c_text(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    &text[..end]
}

/// Propagated verbatim when it stores.
fn sort(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let plan = Plan::parse(args)?;
    let output = run(&mut ctx.keys, args.key(1), &plan)?;
    let Some(destination) = plan.store.map(|at| args.key(at)) else {
        write(&mut ctx.reply, &output);
        return Ok(());
    };
    let len = output.len();
    let slot = ctx.key_slot(destination);
    let mut list = slot.list_builder();
    for text in output {
        list.push(End::Tail, &text.unwrap_or_default());
    }
    slot.store_list(list, Event::new('l', "sortstore"));
    ctx.reply.int(len as i64);
    Ok(())
}

fn sort_read_only(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let plan = Plan::parse(args)?;
    if plan.store.is_some() {
        return Err(Error::Syntax);
    }
    let output = run(&mut ctx.keys, args.key(1), &plan)?;
    write(&mut ctx.reply, &output);
    Ok(())
}

fn write(reply: &mut Reply<'_>, output: &[Option<Vec<u8>>]) {
    reply.array(output.len());
    for text in output {
        match text {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        }
    }
}

/// The elements in order, or what is asked of each.
fn run(keys: &mut Reader<'_>, key: &[u8], plan: &Plan<'_>) -> Result<Vec<Option<Vec<u8>>>> {
    let elements = load(keys, key, plan)?;
    let elements = match elements {
        Elements::Final(elements) => elements,
        Elements::Unsorted { elements, alpha, by } => {
            let (start, end) = plan.range(elements.len() as u64);
            let mut sorted = in_order(keys, elements, plan, alpha, by)?;
            sorted.truncate(end as usize);
            sorted.drain(..start as usize);
            sorted
        }
    };
    if plan.get.is_empty() {
        return Ok(elements.into_iter().map(Some).collect());
    }
    let mut output = Vec::with_capacity(elements.len() * plan.get.len());
    for element in &elements {
        output.extend(plan.get.iter().map(|pattern| by_pattern(keys, pattern, element)));
    }
    Ok(output)
}

/// The elements of a value.
enum Elements<'a> {
    /// Those wanted, in the order wanted.
    Final(Vec<Vec<u8>>),
    /// All, to be sorted.
    Unsorted {
        elements: Vec<Vec<u8>>,
        alpha: bool,
        by: Option<&'a [u8]>,
    },
}

fn load<'a>(keys: &mut Reader<'_>, key: &[u8], plan: &Plan<'a>) -> Result<Elements<'a>> {
    let (mut alpha, mut by, mut as_they_are) = (plan.alpha, plan.by, plan.as_they_are);
    let Some(value) = keys.get(key).map(keyspace::Entry::value) else {
        return Ok(Elements::Final(Vec::new()));
    };
    let elements = if let Some(list) = ListRef::of(value) {
        if as_they_are {
            return Ok(Elements::Final(part_of_list(list, plan)));
        }
        let mut elements = Vec::with_capacity(list.len() as usize);
        list.for_each(|element| elements.push(element.to_vec()));
        elements
    } else if let Some(zset) = ZsetRef::of(value) {
        if as_they_are {
            return Ok(Elements::Final(part_of_zset(zset, plan)));
        }
        zset.iter().map(|(member, _)| member.to_vec()).collect()
    } else {
        let elements = members(value)?;
        // What is stored must be the same on every replica.
        if as_they_are && plan.store.is_some() {
            (alpha, by, as_they_are) = (true, None, false);
        }
        if as_they_are {
            let (start, end) = plan.range(elements.len() as u64);
            return Ok(Elements::Final(elements[start as usize..end as usize].to_vec()));
        }
        elements
    };
    Ok(Elements::Unsorted { elements, alpha, by })
}

fn members(value: ValueRef<'_>) -> Result<Vec<Vec<u8>>> {
    let set = SetRef::of(value).ok_or(Error::WrongType)?;
    Ok(set.iter().map(|member| member.to_vec()).collect())
}

fn part_of_list(list: ListRef<'_>, plan: &Plan<'_>) -> Vec<Vec<u8>> {
    let len = list.len();
    let (start, end) = plan.range(len);
    let mut elements = Vec::with_capacity((end - start) as usize);
    if start == end {
        return elements;
    }
    let (first, direction) = if plan.descending {
        (len - 1 - start, Direction::Back)
    } else {
        (start, Direction::Forward)
    };
    list.walk(first, direction, &mut |element| {
        elements.push(element.to_vec());
        if elements.len() as u64 == end - start {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    elements
}

fn part_of_zset(zset: ZsetRef<'_>, plan: &Plan<'_>) -> Vec<Vec<u8>> {
    let len = zset.len();
    let (start, end) = plan.range(len);
    let part = if plan.descending {
        zset.range_back(len - end..len - start)
    } else {
        zset.range(start..end)
    };
    part.map(|(member, _)| member.to_vec()).collect()
}

/// What an element is compared by.
enum Weight {
    Score(f64),
    Text(Option<Vec<u8>>),
    /// Itself.
    Element,
}

fn in_order(
    keys: &mut Reader<'_>,
    elements: Vec<Vec<u8>>,
    plan: &Plan<'_>,
    alpha: bool,
    by: Option<&[u8]>,
) -> Result<Vec<Vec<u8>>> {
    const NOT_A_NUMBER: Error = Error::fixed("ERR One or more scores can't be converted into double");
    let mut weighed = Vec::with_capacity(elements.len());
    let mut all_numbers = true;
    for element in elements {
        let value = by.map(|pattern| by_pattern(keys, pattern, &element));
        let weight = match (alpha, value) {
            (true, None) => Weight::Element,
            (true, Some(value)) => Weight::Text(value),
            (false, None) => Weight::Score(number(&element).unwrap_or(f64::NAN)),
            (false, Some(None)) => Weight::Score(0.0),
            (false, Some(Some(value))) => Weight::Score(number(&value).unwrap_or(f64::NAN)),
        };
        all_numbers &= !matches!(weight, Weight::Score(score) if score.is_nan());
        weighed.push((element, weight));
    }
    if !all_numbers {
        return Err(NOT_A_NUMBER);
    }
    // What is stored is compared whole, what is shown as text that ends with a zero byte.
    let seen = |text: &'_ [u8]| {
        if plan.store.is_some() {
            text.len()
        } else {
            c_text(text).len()
        }
    };
    let text_order = |a: &[u8], b: &[u8]| a[..seen(a)].cmp(&b[..seen(b)]);
    weighed.sort_by(|(a, by_a), (b, by_b)| {
        let order = match (by_a, by_b) {
            (Weight::Score(x), Weight::Score(y)) => x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.cmp(b)),
            (Weight::Text(Some(x)), Weight::Text(Some(y))) => text_order(x, y),
            (Weight::Text(x), Weight::Text(y)) => x.is_some().cmp(&y.is_some()),
            _ => text_order(a, b),
        };
        if plan.descending { order.reverse() } else { order }
    });
    Ok(weighed.into_iter().map(|(element, _)| element).collect())
}

/// The number that C's `strtod` reads, if that is all there is.
fn number(text: &[u8]) -> Option<f64> {
    let text = c_text(text);
    if text.is_empty() {
        return Some(0.0);
    }
    base::number::parse_f64(text.trim_ascii_start())
}

/// What the key of this pattern holds for an element: its string, or a field of its hash after `->`.
fn by_pattern(keys: &mut Reader<'_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = c_text(pattern).iter().position(|byte| *byte == b'*')?;
    let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = c_text(rest).windows(2).position(|pair| pair == b"->");
    // An arrow with nothing behind it is a part of the name.
    let arrow = arrow.filter(|arrow| rest.get(arrow + 2).is_some_and(|byte| *byte != 0));
    let Some(arrow) = arrow else {
        let key = [prefix, element, rest].concat();
        let found = keys.string(&key).ok().flatten();
        return found.map(|string: StrRef<'_>| string.to_bytes().into_owned());
    };
    let key = [prefix, element, &rest[..arrow]].concat();
    let hash = keys.hash(&key).ok().flatten()?;
    hash.get(&rest[arrow + 2..]).map(|field| field.value.to_vec())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn numbers_texts_and_limits() {
        check(
            "
            > RPUSH l 3 10 1 2
            4
            > SORT l
            [\"1\", \"2\", \"3\", \"10\"]
            > SORT l DESC LIMIT 1 2
            [\"3\", \"2\"]
            > SORT l ALPHA
            [\"1\", \"10\", \"2\", \"3\"]
            > SORT_RO l LIMIT 3 10
            [\"10\"]
            > SORT l BY nosort
            [\"3\", \"10\", \"1\", \"2\"]
            > SORT l BY nosort DESC LIMIT 0 3
            [\"2\", \"1\", \"10\"]
            > SORT l LIMIT 0 x
            ERR value is not an integer or out of range
            > SORT l LIMIT 0
            ERR syntax error
            > SORT_RO l STORE d
            ERR syntax error
            > RPUSH l x
            5
            > SORT l
            ERR One or more scores can't be converted into double
            > SORT none
            []
            > SET s x
            OK
            > SORT s
            WRONGTYPE Operation against a key holding the wrong kind of value
            ",
        );
    }

    #[test]
    fn weights_and_values_in_other_keys() {
        check(
            "
            > RPUSH l 1 2 3
            3
            > MSET w1 30 w2 20 w3 10 v1 a v3 c
            OK
            > HSET h1 f x g->h deep
            2
            > SORT l BY w*
            [\"3\", \"2\", \"1\"]
            > SORT l BY w* GET # GET v*
            [\"3\", \"c\", \"2\", (nil), \"1\", \"a\"]
            > SORT l GET h*->f
            [\"x\", (nil), (nil)]
            > SORT l GET h*->
            [(nil), (nil), (nil)]
            > SORT l BY v* ALPHA
            [\"2\", \"1\", \"3\"]
            > SORT l BY none* DESC
            [\"3\", \"2\", \"1\"]
            > SORT l GET v* STORE d
            3
            > LRANGE d 0 -1
            [\"a\", \"\", \"c\"]
            > SORT none STORE d
            0
            > EXISTS d
            0
            > SORT none STORE d
            0
            propagated: SELECT 0
            propagated: RPUSH l 1 2 3
            propagated: MSET w1 30 w2 20 w3 10 v1 a v3 c
            propagated: HSET h1 f x g->h deep
            propagated: SORT l GET v* STORE d
            propagated: SORT none STORE d
            propagated: nothing
            ",
        );
    }

    #[test]
    fn sets_and_sorted_sets() {
        check(
            "
            > SADD s b a c
            3
            > SORT s BY nosort STORE d
            3
            > LRANGE d 0 -1
            [\"a\", \"b\", \"c\"]
            > ZADD z 1 c 2 b 3 a
            3
            > SORT z ALPHA
            [\"a\", \"b\", \"c\"]
            > SORT z BY nosort
            [\"c\", \"b\", \"a\"]
            > SORT z BY nosort DESC LIMIT 0 1
            [\"a\"]
            > SORT z BY nosort LIMIT 1 5
            [\"b\", \"a\"]
            ",
        );
    }
}
