//! What may differ between two right servers, all of it: one rule per command whose reply is not the same byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use harness::{Reply, Value};

/// How replies to a command are compared when their bytes differ. Error replies always have to be the same.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// The same kind of reply.
    Shape,
    /// Integers at most so far apart: times, which pass between one server and the other.
    Near(i64),
    /// The same elements in any order.
    AnyOrder,
    /// A map, or names and values in turn, in any order; only what [`CONFIG_OWN`] names may differ.
    Config,
    /// A cursor, and keys that were sent at some time.
    Cursor,
    /// As [`Rule::Cursor`], of keys and values in turn.
    CursorPairs,
    /// A key that was sent at some time.
    KnownKey,
    /// The same value inside, whichever way it is compressed.
    Dump,
    /// Lines of `name=value`: all names; the values but of [`CLIENT_OWN`].
    Client,
    /// The names of INFO, in order; counted fields by value.
    Info,
    /// A map in which only `id` differs.
    Hello,
    /// Text with numbers; the words are the same.
    Words,
    /// The same, in any order on every level.
    AnyOrderDeep,
    /// The same pairs, as a map or flat, in any order.
    Pairs,
    /// As many elements, or none; which ones is chance. All of them were sent at some time.
    Sample,
    /// As [`Rule::Sample`], of elements that are keys of a collection and their values.
    SamplePairs,
    /// The same, but that some fields tell times or what the memory looks like: [`STREAM_OWN`].
    Stream,
    /// Entries that wait: id, consumer, and how long, which is not compared.
    Pending,
    /// An id that was made from the clock if `*` was asked for.
    NewId,
    /// The same in any order where BY leaves ties or sorts not at all; of these LIMIT takes whichever.
    Sorted,
}

/// Fields of XINFO that tell a time, or count nodes of the server's own.
const STREAM_OWN: &[&str] = &[
    "idle",
    "inactive",
    "seen-time",
    "active-time",
    "radix-tree-nodes",
    "radix-tree-keys",
];

/// Command (and subcommand) in lower case; the longest that fits counts.
const RULES: &[(&str, Rule)] = &[
    ("ttl", Rule::Near(2)),
    ("pttl", Rule::Near(2_000)),
    ("expiretime", Rule::Near(2)),
    ("pexpiretime", Rule::Near(2_000)),
    ("time", Rule::Shape),
    ("lastsave", Rule::Near(100)),
    ("keys", Rule::AnyOrder),
    ("scan", Rule::Cursor),
    ("randomkey", Rule::KnownKey),
    ("dump", Rule::Dump),
    ("smembers", Rule::AnyOrder),
    ("sinter", Rule::AnyOrder),
    ("sunion", Rule::AnyOrder),
    ("sdiff", Rule::AnyOrder),
    ("hkeys", Rule::AnyOrder),
    ("hvals", Rule::AnyOrder),
    ("hgetall", Rule::Pairs),
    ("spop", Rule::Sample),
    ("srandmember", Rule::Sample),
    ("hrandfield", Rule::SamplePairs),
    ("zrandmember", Rule::SamplePairs),
    ("sscan", Rule::Cursor),
    ("hscan", Rule::CursorPairs),
    ("zscan", Rule::CursorPairs),
    ("sort", Rule::Sorted),
    ("sort_ro", Rule::Sorted),
    ("xadd", Rule::NewId),
    ("xinfo", Rule::Stream),
    ("xinfo help", Rule::Shape),
    ("xgroup help", Rule::Shape),
    ("xpending", Rule::Pending),
    ("pubsub help", Rule::Shape),
    // Stock shares small numbers between keys, and with them the time of the last access.
    ("object idletime", Rule::Shape),
    ("object refcount", Rule::Shape),
    // Grows by chance.
    ("object freq", Rule::Shape),
    ("object help", Rule::Shape),
    ("hello", Rule::Hello),
    ("client id", Rule::Shape),
    ("client info", Rule::Client),
    ("client list", Rule::Client),
    ("client help", Rule::Shape),
    ("command", Rule::Shape),
    ("command info", Rule::AnyOrderDeep),
    ("command list", Rule::Shape),
    ("command getkeysandflags", Rule::AnyOrderDeep),
    ("config get", Rule::Config),
    ("config help", Rule::Shape),
    ("info", Rule::Info),
    ("memory", Rule::Shape),
    ("slowlog get", Rule::Shape),
    ("slowlog len", Rule::Shape),
    ("slowlog help", Rule::Shape),
    ("latency", Rule::Shape),
    ("debug object", Rule::Words),
    ("debug digest", Rule::Shape),
    ("debug digest-value", Rule::Shape),
    ("debug help", Rule::Shape),
];

/// Fields of CLIENT LIST whose values are the process's own.
const CLIENT_OWN: &[&str] = &[
    "id",
    "addr",
    "laddr",
    "fd",
    "age",
    "idle",
    "qbuf",
    "qbuf-free",
    "argv-mem",
    "multi-mem",
    "rbs",
    "rbp",
    "obl",
    "oll",
    "omem",
    "tot-mem",
];

/// Parameters whose values are the process's own, or that only one of the two has.
const CONFIG_OWN: &[&str] = &[
    "port",
    "dir",
    "pidfile",
    "logfile",
    "unixsocket",
    "unbuilt-directives",
    "repl-sync-buffer-limit",
    "proc-title-template",
];

/// Fields and sections of INFO that speak of stock's allocator and build, for which there is nothing to say here.
const INFO_STOCK_ONLY: &[&str] = &["allocator_", "lazyfree_", "active_defrag_", "mem_allocator"];

/// What has been before.
pub struct Context<'a> {
    /// Tells keys and members that were sent.
    pub known: &'a dyn Fn(&[u8]) -> bool,
    /// Something was sorted. Stock turns a small sorted set into a large one to sort it, and we do not; and it stores what it
    /// has sorted in a list of default settings.
    pub sorted: bool,
}

/// Why two replies to a command are not both right; `None` if they are.
pub fn difference(words: &[Vec<u8>], a: &Value, b: &Value, context: &Context<'_>) -> Option<String> {
    let known = context.known;
    if a == b {
        // The same value in other bytes: the encoding differs.
        return Some("the same value in a different encoding".into());
    }
    if context.sorted && b.bytes() == Some(b"listpack") && a.bytes() == Some(b"skiplist") {
        return None;
    }
    // Stock takes the overflow of an earlier command for one of these numbers.
    const NO_NUMBERS: &[u8] = b"ERR One or more scores can't be converted into double";
    if a.as_error() == Some(NO_NUMBERS) && b.as_error().is_none() {
        return (b.as_elements().is_none()).then(|| "not what SORT replies".into());
    }
    if a.as_error().is_some() || b.as_error().is_some() {
        return Some("an error reply differs".into());
    }
    let rule = rule(words)?;
    let same = match rule {
        None => false,
        Some(Rule::Shape) => kind(a) == kind(b),
        Some(Rule::Near(slack)) => match (a.int(), b.int()) {
            // Negative ones are answers of another sort: no key, no expiry.
            (Some(a), Some(b)) => a >= 0 && b >= 0 && (a - b).abs() <= slack,
            _ => false,
        },
        Some(Rule::AnyOrder) => kind(a) == kind(b) && multiset(a.items()) == multiset(b.items()),
        Some(Rule::AnyOrderDeep) => any_order(a) == any_order(b),
        Some(Rule::Config) => {
            let (ours, theirs) = (config(b), config(a));
            let parts: Vec<_> = theirs
                .iter()
                .filter(|(name, value)| ours.get(*name) != Some(value))
                .collect();
            let more: Vec<_> = ours.keys().filter(|name| !theirs.contains_key(*name)).collect();
            let same = kind(a) == kind(b) && parts.is_empty() && more.is_empty();
            return (!same).then(|| format!("the settings differ: {parts:?}, only in the second: {more:?}"));
        }
        Some(Rule::KnownKey) => kind(a) == kind(b) && b.bytes().is_none_or(known),
        Some(Rule::Cursor) => cursor(a, b, 1, known),
        Some(Rule::CursorPairs) => cursor(a, b, 2, known),
        Some(Rule::Dump) => match (a.bytes(), b.bytes()) {
            (Some(a), Some(b)) => dumped(a).is_some() && dumped(a) == dumped(b),
            _ => false,
        },
        Some(Rule::Client) => {
            let (a, b) = (client(&a.text()).concat(), client(&b.text()).concat());
            let parts = a.iter().zip(&b).find(|(a, b)| a != b);
            return (a != b).then(|| format!("the clients differ: {parts:?}"));
        }
        Some(Rule::Info) => return info(&a.text(), &b.text()),
        Some(Rule::Hello) => kind(a) == kind(b) && without_id(a) == without_id(b),
        Some(Rule::Pairs) => kind(a) == kind(b) && pairs(a) == pairs(b),
        Some(Rule::Sample) => match (a.items(), b.items()) {
            ([], []) => kind(a) == kind(b) && b.bytes().is_none_or(known),
            (a, b) => a.len() == b.len() && b.iter().all(|item| item.bytes().is_some_and(known)),
        },
        Some(Rule::SamplePairs) => {
            let kinds = |value: &Value| -> Vec<_> {
                let items = value.items().iter();
                items.map(|item| (kind(item), item.items().len())).collect()
            };
            kind(a) == kind(b) && kinds(a) == kinds(b)
        }
        Some(Rule::Stream) => stream(a) == stream(b),
        Some(Rule::Pending) => pending(a) == pending(b),
        Some(Rule::NewId) => kind(a) == kind(b) && words.iter().any(|word| word == b"*"),
        Some(Rule::Sorted) => {
            let said = |wanted: &[u8]| words.iter().any(|word| word.eq_ignore_ascii_case(wanted));
            let unordered = said(b"by") && kind(a) == kind(b) && a.items().len() == b.items().len();
            unordered && (said(b"limit") || multiset(a.items()) == multiset(b.items()))
        }
        Some(Rule::Words) => {
            let [a, b] = [a.text(), b.text()].map(|text| wordy(if context.sorted { nodeless(&text) } else { &text }));
            a == b
        }
    };
    (!same).then(|| {
        rule.map_or_else(
            || "the replies differ".into(),
            |rule| format!("the replies differ (rule {rule:?})"),
        )
    })
}

/// `Some(None)` when the replies have to be the same.
fn rule(words: &[Vec<u8>]) -> Option<Option<Rule>> {
    let lower = |at: usize| words.get(at).map(|w| String::from_utf8_lossy(w).to_lowercase());
    let name = lower(0)?;
    let both = lower(1).map(|second| format!("{name} {second}"));
    if both.as_deref() == Some("command info") && words.len() == 2 {
        return Some(Some(Rule::Shape)); // All commands, of which stock has those of later issues too.
    }
    let find = |wanted: &str| RULES.iter().find(|(name, _)| *name == wanted).map(|(_, rule)| *rule);
    Some(both.and_then(|both| find(&both)).or_else(|| find(&name)))
}

fn kind(value: &Value) -> std::mem::Discriminant<Value> {
    std::mem::discriminant(value)
}

fn multiset(items: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = items.iter().map(Reply::show).collect();
    texts.sort();
    texts
}

/// Whether both are a cursor and elements, of which every `step`-th is known.
fn cursor(a: &Value, b: &Value, step: usize, known: &dyn Fn(&[u8]) -> bool) -> bool {
    let ([_, theirs], [cursor, ours]) = (a.items(), b.items()) else {
        return false;
    };
    let number = cursor
        .bytes()
        .is_some_and(|c| !c.is_empty() && c.iter().all(u8::is_ascii_digit));
    let even = ours.items().len().is_multiple_of(step) && kind(theirs) == kind(ours);
    let keys = ours.items().iter().step_by(step);
    number && even && keys.into_iter().all(|key| key.bytes().is_some_and(known))
}

fn pairs(value: &Value) -> Vec<String> {
    let mut texts: Vec<String> = match value {
        Value::Map(pairs) => pairs
            .iter()
            .map(|(k, v)| format!("{} {}", k.show(), v.show()))
            .collect(),
        other => {
            let chunks = other.items().chunks(2);
            chunks.map(|pair| pair.iter().map(Reply::show).collect()).collect()
        }
    };
    texts.sort();
    texts
}

/// What XINFO says, without the values of [`STREAM_OWN`]; and without the time of each delivery, which is the third of four
/// fields, or the second of three.
fn stream(value: &Value) -> String {
    let own = |name: &Value| STREAM_OWN.contains(&name.text().as_str());
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match value {
        Value::Map(pairs) => {
            let fields = pairs.iter().map(|(name, value)| match own(name) {
                true => name.text(),
                false => format!("{}: {}", name.text(), stream(value)),
            });
            list(fields.collect())
        }
        Value::Array(items) if delivery(items) => {
            let time = items.len() - 2;
            let fields = items.iter().enumerate().filter(|(at, _)| *at != time);
            list(fields.map(|(_, item)| item.show()).collect())
        }
        Value::Array(items) => {
            let mut out = Vec::new();
            let mut hide = false;
            for item in items {
                out.push(if std::mem::take(&mut hide) {
                    "…".into()
                } else {
                    stream(item)
                });
                hide = item
                    .bytes()
                    .is_some_and(|name| STREAM_OWN.iter().any(|own| own.as_bytes() == name));
            }
            list(out)
        }
        other => other.show(),
    }
}

/// An id, perhaps a consumer, a time and a count.
fn delivery(items: &[Value]) -> bool {
    let id = |value: &Value| value.bytes().is_some_and(|bytes| bytes.contains(&b'-'));
    matches!(items, [first, .., Value::Int(_), Value::Int(_)] if id(first) && items.len() <= 4)
}

fn pending(value: &Value) -> String {
    stream(value)
}

fn any_order(value: &Value) -> String {
    let sorted = |items: Vec<String>| {
        let mut items = items;
        items.sort();
        items.join(", ")
    };
    match value {
        Value::Array(items) | Value::Set(items) => format!("[{}]", sorted(items.iter().map(any_order).collect())),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(k, v)| format!("{}: {}", any_order(k), any_order(v)));
            format!("{{{}}}", sorted(pairs.collect()))
        }
        other => other.show(),
    }
}

fn config(value: &Value) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = match value {
        Value::Map(pairs) => pairs.iter().map(|(k, v)| (k.text(), v.show())).collect(),
        other => other
            .items()
            .chunks(2)
            .map(|c| (c[0].text(), c.get(1).map(Reply::show).unwrap_or_default()))
            .collect(),
    };
    pairs
        .into_iter()
        .filter(|(name, _)| !CONFIG_OWN.contains(&name.as_str()))
        .collect()
}

/// A stream of replies with the connection's id taken out of HELLO's.
pub fn without_ids(stream: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"$2\r\nid\r\n:";
    let mut out = Vec::with_capacity(stream.len());
    let mut rest = stream;
    while let Some(at) = rest.windows(MARK.len()).position(|w| w == MARK) {
        let (before, after) = rest.split_at(at + MARK.len());
        out.extend_from_slice(before);
        let digits = after.iter().take_while(|b| b.is_ascii_digit()).count();
        rest = &after[digits..];
    }
    out.extend_from_slice(rest);
    out
}

fn without_id(value: &Value) -> String {
    match value {
        Value::Map(pairs) => pairs
            .iter()
            .filter(|(k, _)| k.text() != "id")
            .map(|(k, v)| format!("{} {}, ", k.show(), v.show()))
            .collect(),
        other => other
            .items()
            .chunks(2)
            .filter(|c| c[0].text() != "id")
            .map(|c| Value::Array(c.to_vec()).show())
            .collect(),
    }
}

fn client(text: &str) -> Vec<Vec<String>> {
    // Later versions of the stock server have these too.
    let later = |field: &&str| !field.starts_with("lib-name=") && !field.starts_with("lib-ver=");
    let line = |line: &str| {
        let fields = line.split(' ').filter(later).map(|field| match field.split_once('=') {
            Some((name, _)) if CLIENT_OWN.contains(&name) => format!("{name}="),
            _ => field.to_owned(),
        });
        fields.collect()
    };
    // Stock's timer turns the list round while it looks after it.
    let id = |line: &&str| -> u64 {
        let id = line.strip_prefix("id=").and_then(|rest| rest.split(' ').next());
        id.and_then(|id| id.parse().ok()).unwrap_or(0)
    };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(id);
    lines.into_iter().map(line).collect()
}

/// What DEBUG OBJECT says, without the nodes of a list: what stock's SORT stores knows nothing of the settings.
fn nodeless(text: &str) -> &str {
    text.split(" ql_nodes:").next().unwrap_or(text)
}

/// Numbers, and addresses after `0x`, as `#`.
fn wordy(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(' ') {
        let (name, value) = word.split_once(':').unwrap_or(("", word));
        let number = value.starts_with("0x") || (!value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()));
        out.push_str(&format!("{name}:{} ", if number { "#" } else { value }));
    }
    out
}

/// Every field of stock's INFO must be there, in stock's order; more may be. Counts of keys must be the same.
fn info(a: &str, b: &str) -> Option<String> {
    let names = |text: &str| -> Vec<String> {
        let fields = text
            .lines()
            .map(|line| line.split(':').next().unwrap_or_default().to_owned());
        fields
            .filter(|name| !name.is_empty() && !INFO_STOCK_ONLY.iter().any(|p| name.starts_with(p)))
            .collect()
    };
    let counted = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|l| l.starts_with("db"));
        lines
            .map(|line| line.split(",avg_ttl").next().unwrap_or_default().to_owned())
            .collect()
    };
    // Statistics per command come in no order.
    let dynamic = |name: &String| {
        ["cmdstat_", "errorstat_", "latency_percentiles_"]
            .iter()
            .any(|p| name.starts_with(p))
    };
    let (stock, ours) = (names(a), names(b));
    let ours_set: BTreeSet<&String> = ours.iter().collect();
    if let Some(missing) = stock.iter().find(|name| !ours_set.contains(name)) {
        return Some(format!("INFO lacks {missing}"));
    }
    let stock_set: BTreeSet<&String> = stock.iter().collect();
    let mine: Vec<&String> = ours
        .iter()
        .filter(|name| stock_set.contains(name) && !dynamic(name))
        .collect();
    let theirs: Vec<&String> = stock.iter().filter(|name| !dynamic(name)).collect();
    if let Some((a, b)) = theirs.iter().zip(&mine).find(|(a, b)| a != b) {
        return Some(format!("INFO is in another order: {b} where {a} belongs"));
    }
    (counted(a) != counted(b)).then(|| format!("INFO keyspace differs: {:?} and {:?}", counted(a), counted(b)))
}

/// The value inside DUMP's answer (its type, then the text with compression undone) and the version in its footer.
///
/// Of other types than strings only which form of them it is: they hold their elements in any order, and compressed pieces.
fn dumped(payload: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const STRING: u8 = 0;
    let (body, footer) = payload.split_at_checked(payload.len().checked_sub(10)?)?;
    let version = footer[..2].to_vec();
    let (&kind, rest) = body.split_first()?;
    if kind != STRING {
        return Some((vec![kind], version));
    }
    let text = match rest.first()? {
        // Compressed: compressed length, length, data.
        0xC3 => {
            let (packed, rest) = length(&rest[1..])?;
            let (unpacked, data) = length(rest)?;
            unpack(data.get(..packed)?, unpacked)?
        }
        // A number in 8, 16 or 32 bits: there is one way to write it.
        0xC0..=0xC2 => return Some((body.to_vec(), version)),
        _ => length(rest)?.1.to_vec(),
    };
    Some(([&[kind], text.as_slice()].concat(), version))
}

/// A length in 6, 14 or 32 bits, and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first >> 6 {
        0 => Some((usize::from(first), rest)),
        1 => Some((usize::from(first & 0x3f) << 8 | usize::from(*rest.first()?), &rest[1..])),
        _ => {
            let (number, rest) = rest.split_at_checked(4)?;
            Some((u32::from_be_bytes(number.try_into().ok()?) as usize, rest))
        }
    }
}

/// LZF: a control byte below 32 is followed by one more than so many bytes; others repeat what came before.
fn unpack(mut data: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(length);
    while let Some((&control, rest)) = data.split_first() {
        data = rest;
        let control = usize::from(control);
        if control < 32 {
            let (literal, rest) = data.split_at_checked(control + 1)?;
            out.extend_from_slice(literal);
            data = rest;
            continue;
        }
        let mut take = || {
            let (&byte, rest) = data.split_first()?;
            data = rest;
            Some(usize::from(byte))
        };
        let count = if control >> 5 == 7 { 7 + take()? } else { control >> 5 } + 2;
        let back = ((control & 0x1f) << 8) + take()? + 1;
        let from = out.len().checked_sub(back)?;
        (from..from + count).for_each(|at| out.push(out[at]));
    }
    (out.len() == length).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, a: &Value, b: &Value, expected: Option<&str>) {
        let words: Vec<Vec<u8>> = command.split(' ').map(|w| w.as_bytes().to_vec()).collect();
        assert_eq!(
            difference(
                &words,
                a,
                b,
                &Context {
                    known: &|key| key == b"k",
                    sorted: false
                }
            )
            .as_deref(),
            expected,
            "{command}"
        );
    }

    #[test]
    fn rules_forgive_only_what_they_name() {
        let text = |t: &str| Value::Bulk(t.into());
        check("GET k", &text("a"), &text("b"), Some("the replies differ"));
        check("GET k", &text("a"), &Value::NullBulk, Some("the replies differ"));
        check("PTTL k", &Value::Int(1_000), &Value::Int(1_500), None);
        check(
            "PTTL k",
            &Value::Int(1_000),
            &Value::Int(9_500),
            Some("the replies differ (rule Near(2000))"),
        );
        check(
            "TTL k",
            &Value::Int(-1),
            &Value::Int(-2),
            Some("the replies differ (rule Near(2))"),
        );
        check(
            "RANDOMKEY",
            &text("k"),
            &text("other"),
            Some("the replies differ (rule KnownKey)"),
        );
        let ab = Value::Array(vec![text("a"), text("b")]);
        let ba = Value::Array(vec![text("b"), text("a")]);
        let bb = Value::Array(vec![text("b"), text("b")]);
        check("KEYS *", &ab, &ba, None);
        check("KEYS *", &ab, &bb, Some("the replies differ (rule AnyOrder)"));
        let error = |t: &str| Value::Error(t.into());
        check(
            "TTL k",
            &error("ERR a"),
            &error("ERR b"),
            Some("an error reply differs"),
        );
        check("INFO", &text("a:1\r\nb:2\r\n"), &text("a:1\r\nx:1\r\nb:3\r\n"), None);
        check(
            "INFO",
            &text("a:1\r\nb:2\r\n"),
            &text("b:1\r\na:1\r\n"),
            Some("INFO is in another order: b where a belongs"),
        );
        check("INFO", &text("a:1\r\nb:2\r\n"), &text("a:1\r\n"), Some("INFO lacks b"));
    }
}
