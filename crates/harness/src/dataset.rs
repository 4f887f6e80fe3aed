//! The whole of a server's data, read key by key, and what two of them differ in.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::Result;
use crate::reply::{Reply, Value};
use crate::{Client, Server, bail, ensure, wait};

/// Keys, values and expiries of all databases at one time.
#[derive(Debug, Default)]
pub struct Dataset {
    entries: BTreeMap<(u32, Vec<u8>), Entry>,
    /// When the reading ended, in milliseconds since 1970.
    read_at_ms: i64,
}

/// A key's type, value (as a fingerprint, so that a gigabyte of data can be compared in little memory) and expiry.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    kind: String,
    length: usize,
    hash: u64,
    start: Vec<u8>,
    /// Milliseconds since 1970; -1 without expiry.
    expires_at_ms: i64,
}

/// What `PEXPIRETIME` answers for a key that is gone.
const GONE: i64 = -2;

impl Dataset {
    /// Reads everything through SCAN, TYPE, the type's own read command, and PEXPIRETIME.
    ///
    /// # Errors
    /// When the server does not answer, or with an error.
    pub fn read(server: &Server) -> Result<Self> {
        let mut client = server.client()?;
        Self::read_from(&mut client)
    }

    /// As [`Dataset::read`], on a connection that is open already; leaves it in database 0.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn read_from(client: &mut Client) -> Result<Self> {
        let mut dataset = Self::default();
        let keyspace = crate::server::parse_info(&client.ok(&["INFO", "keyspace"])?.text());
        for db in keyspace
            .keys()
            .filter_map(|k| k.strip_prefix("db")?.parse::<u32>().ok())
        {
            client.ok(&["SELECT", &db.to_string()])?;
            let mut cursor = b"0".to_vec();
            loop {
                let reply = client.ok(&[b"SCAN".as_slice(), &cursor, b"COUNT", b"1000"])?;
                let [next, keys] = reply.items() else {
                    bail!("SCAN answered {}", reply.show())
                };
                dataset.read_keys(client, db, keys.items())?;
                cursor = next.bytes().unwrap_or_default().to_vec();
                if cursor == b"0" {
                    break;
                }
            }
        }
        client.ok(&["SELECT", "0"])?;
        dataset.read_at_ms = wait::unix_ms();
        Ok(dataset)
    }

    fn read_keys(&mut self, client: &mut Client, db: u32, keys: &[Value]) -> Result<()> {
        let keys: Vec<&[u8]> = keys.iter().filter_map(Reply::bytes).collect();
        let questions: Vec<Vec<&[u8]>> = keys
            .iter()
            .flat_map(|key| [vec![b"TYPE".as_slice(), key], vec![b"PEXPIRETIME", key]])
            .collect();
        let answers = client.pipeline(&questions)?;
        let reads: Vec<Vec<&[u8]>> = keys
            .iter()
            .zip(answers.chunks(2))
            .map(|(key, answer)| read_command(&answer[0].text(), key))
            .collect();
        let values = client.pipeline(&reads)?;
        for ((key, answer), value) in keys.iter().zip(answers.chunks(2)).zip(values) {
            let Some(expires_at_ms) = answer[1].int() else {
                bail!("PEXPIRETIME answered {}", answer[1].show())
            };
            if expires_at_ms == GONE || value.is_null() {
                continue; // It expired between SCAN and here.
            }
            let kind = answer[0].text();
            if let Some(error) = value.as_error() {
                bail!("reading the {kind} at {}: {}", key.escape_ascii(), error.escape_ascii());
            }
            let mut value = value;
            if kind == "stream" {
                // What it knows of itself beside its entries, and its groups.
                let about = client.ok(&[b"XINFO".as_slice(), b"STREAM", key])?;
                value = Value::Array(vec![value, about]);
            }
            let entry = fingerprint(kind, value, expires_at_ms);
            self.entries.insert((db, key.to_vec()), entry);
        }
        Ok(())
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many keys have an expiry.
    #[must_use]
    pub fn expiring(&self) -> usize {
        self.entries.values().filter(|e| e.expires_at_ms >= 0).count()
    }

    /// The first differences, at most `limit`, expiries compared with `slack_ms` of tolerance. Keys whose time was up
    /// when the later of the two was read are left out: whether they still show is a matter of when one looks.
    #[must_use]
    pub fn differences(&self, other: &Self, slack_ms: i64, limit: usize) -> Vec<String> {
        let now = self.read_at_ms.max(other.read_at_ms);
        let alive = |e: &&Entry| e.expires_at_ms < 0 || e.expires_at_ms > now;
        let mut found = Vec::new();
        let keys: std::collections::BTreeSet<_> = self.entries.keys().chain(other.entries.keys()).collect();
        for place in keys {
            let (a, b) = (
                self.entries.get(place).filter(alive),
                other.entries.get(place).filter(alive),
            );
            let why = match (a, b) {
                (Some(a), Some(b)) => difference(a, b, slack_ms),
                (Some(_), None) => Some("missing in the second".to_owned()),
                (None, Some(_)) => Some("only in the second".to_owned()),
                (None, None) => None,
            };
            if let Some(why) = why {
                found.push(format!("db {} key \"{}\": {why}", place.0, place.1.escape_ascii()));
                if found.len() == limit {
                    break;
                }
            }
        }
        found
    }
}

fn read_command<'a>(kind: &str, key: &'a [u8]) -> Vec<&'a [u8]> {
    match kind {
        "list" => vec![b"LRANGE", key, b"0", b"-1"],
        "set" => vec![b"SMEMBERS", key],
        "hash" => vec![b"HGETALL", key],
        "zset" => vec![b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        "stream" => vec![b"XRANGE", key, b"-", b"+"],
        _ => vec![b"GET", key],
    }
}

fn fingerprint(kind: String, value: Value, expires_at_ms: i64) -> Entry {
    let mut bytes = match (kind.as_str(), value) {
        (_, Value::Bulk(bytes)) => bytes,
        // Their order means nothing.
        ("set", value) => sorted(value.items().chunks(1)),
        ("hash", value) => sorted(value.items().chunks(2)),
        (_, value) => value.show().into_bytes(),
    };
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let length = bytes.len();
    bytes.truncate(24);
    bytes.shrink_to_fit();
    Entry {
        kind,
        length,
        hash: hasher.finish(),
        start: bytes,
        expires_at_ms,
    }
}

fn sorted<'a>(groups: impl Iterator<Item = &'a [Value]>) -> Vec<u8> {
    let mut texts: Vec<String> = groups
        .map(|group| group.iter().map(Reply::show).collect::<Vec<_>>().join("="))
        .collect();
    texts.sort();
    texts.join("\n").into_bytes()
}

fn difference(a: &Entry, b: &Entry, slack_ms: i64) -> Option<String> {
    if (&a.kind, a.length, a.hash) != (&b.kind, b.length, b.hash) {
        let show = |e: &Entry| format!("{} of {} bytes \"{}\"", e.kind, e.length, e.start.escape_ascii());
        return Some(format!("{} and {}", show(a), show(b)));
    }
    let both_or_none = (a.expires_at_ms < 0) == (b.expires_at_ms < 0);
    if !both_or_none || (a.expires_at_ms - b.expires_at_ms).abs() > slack_ms {
        return Some(format!("expires at {} and at {}", a.expires_at_ms, b.expires_at_ms));
    }
    None
}

/// Reads both servers and fails if they differ. Gives the number of keys.
///
/// # Errors
/// With the first differences.
pub fn ensure_equal(a: &Server, b: &Server) -> Result<usize> {
    let (left, right) = std::thread::scope(|scope| {
        let left = scope.spawn(|| Dataset::read(a));
        (left.join(), Dataset::read(b))
    });
    let left = left.map_err(|_| "a thread that reads a dataset panicked")??;
    let right = right?;
    let differences = left.differences(&right, 0, 5);
    ensure!(
        differences.is_empty(),
        "{} ({} keys) and {} ({} keys) differ:\n  {}",
        a.label(),
        left.len(),
        b.label(),
        right.len(),
        differences.join("\n  ")
    );
    Ok(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str, expires_at_ms: i64) -> Dataset {
        let mut dataset = Dataset {
            read_at_ms: 1_000,
            ..Dataset::default()
        };
        let entry = fingerprint("string".into(), Value::Bulk(value.into()), expires_at_ms);
        dataset.entries.insert((0, b"k".to_vec()), entry);
        dataset
    }

    #[test]
    fn differences_are_found_and_named() {
        let check = |a: &Dataset, b: &Dataset, expected: &[&str]| assert_eq!(a.differences(b, 0, 5), expected);
        check(&one("v", -1), &one("v", -1), &[]);
        check(
            &one("v", -1),
            &one("w", -1),
            &[r#"db 0 key "k": string of 1 bytes "v" and string of 1 bytes "w""#],
        );
        check(
            &one("v", 5_000),
            &one("v", 5_001),
            &[r#"db 0 key "k": expires at 5000 and at 5001"#],
        );
        check(
            &one("v", -1),
            &one("v", 5_001),
            &[r#"db 0 key "k": expires at -1 and at 5001"#],
        );
        check(
            &one("v", -1),
            &Dataset::default(),
            &[r#"db 0 key "k": missing in the second"#],
        );
        check(
            &Dataset::default(),
            &one("v", 5_000),
            &[r#"db 0 key "k": only in the second"#],
        );
    }

    #[test]
    fn a_key_whose_time_was_up_may_be_missing() {
        assert_eq!(
            one("v", 999).differences(&Dataset::default(), 0, 5),
            Vec::<String>::new()
        );
    }
}
