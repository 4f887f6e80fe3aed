//! DEBUG DIGEST: equal datasets have equal digests, whatever the order and encoding of what they hold, and a stock
//! server of 7.0 has the same.
//!
//! ```text
//!   add(d, x)    d ⊕ SHA1(x)              parts added so may come in any order
//!   mix(d, x)    SHA1(d ⊕ SHA1(x))        parts mixed in so must come in this one
//!
//!   value:   mix the number of its type, then what it holds, then add "!!expire!!" if its key expires
//!     string        mix its text                        list     mix each element
//!     set           add each member                     stream   mix each id, "ms.seq", and its fields and values
//!     hash, zset    add, for each element, what comes of mixing field and value, or member and score, into nothing
//!   dataset: for each database, mix its number, then add, for each key, the key mixed into nothing and then its value
//! ```

use base::DbIndex;
use keyspace::stream::stream::StreamId;
use keyspace::{Entry, HashRef, Keyspace, ListRef, SetRef, Type, ValueRef, ZsetRef};
use sha1::{Digest as _, Sha1};
use std::fmt;

/// 160 bits, printed as 40 hexadecimal digits; all zero for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; 20]);

impl Digest {
    /// Puts `part` in, among others that may come in any order.
    fn add(&mut self, part: &[u8]) {
        self.merge(Sha1::digest(part).into());
    }

    /// Puts `part` in, after what was put in before.
    fn mix(&mut self, part: &[u8]) {
        self.add(part);
        self.0 = Sha1::digest(self.0).into();
    }

    fn merge(&mut self, other: [u8; 20]) {
        for (byte, more) in self.0.iter_mut().zip(other) {
            *byte ^= more;
        }
    }

    /// Puts an element of two parts in, among others that may come in any order.
    fn add_pair(&mut self, first: &[u8], second: &[u8], rest: impl FnOnce(&mut Self)) {
        let mut element = Self::default();
        element.mix(first);
        element.mix(second);
        rest(&mut element);
        self.add(&element.0);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The number by which stock servers know a type.
fn type_number(value_type: Type) -> u32 {
    match value_type {
        Type::List => 1,
        Type::Set => 2,
        Type::Zset => 3,
        Type::Hash => 4,
        Type::Stream => 6,
        _ => 0,
    }
}

/// The digest of a value, apart from its key.
#[must_use]
pub fn of_value(entry: &Entry) -> Digest {
    let mut digest = Digest::default();
    mix_value(&mut digest, entry);
    digest
}

fn mix_value(digest: &mut Digest, entry: &Entry) {
    let value = entry.value();
    digest.mix(&type_number(value.value_type()).to_be_bytes());
    mix_contents(digest, value);
    if entry.expiry().is_some() {
        digest.add(b"!!expire!!");
    }
}

fn mix_contents(digest: &mut Digest, value: ValueRef<'_>) {
    match value {
        ValueRef::Int(number) => digest.mix(number.to_string().as_bytes()),
        ValueRef::Bytes(bytes) => digest.mix(bytes),
        ValueRef::Chunked(string) => digest.mix(&string.chunks().flatten().copied().collect::<Vec<u8>>()),
        ValueRef::Stream(stream) => {
            for entry in stream.range(StreamId::MIN, StreamId::MAX) {
                let id = entry.id();
                digest.mix(format!("{}.{}", id.ms, id.seq).as_bytes());
                for (field, value) in entry.pairs() {
                    field.with_text(|field| digest.mix(field));
                    value.with_text(|value| digest.mix(value));
                }
            }
        }
        other => mix_collection(digest, other),
    }
}

fn mix_collection(digest: &mut Digest, value: ValueRef<'_>) {
    if let Some(list) = ListRef::of(value) {
        list.for_each(|element| element.with_text(|element| digest.mix(element)));
    } else if let Some(set) = SetRef::of(value) {
        set.iter()
            .for_each(|member| member.with_text(|member| digest.add(member)));
    } else if let Some(hash) = HashRef::of(value) {
        for field in hash {
            field.name.with(|name| {
                field.value.with(|value| {
                    digest.add_pair(name, value, |element| {
                        if field.expiry.is_some() {
                            element.add(b"!!hexpire!!");
                        }
                    });
                });
            });
        }
    } else if let Some(zset) = ZsetRef::of(value) {
        let mut text = Vec::new();
        for (member, score) in zset.iter() {
            text.clear();
            base::number::write_f64(&mut text, score);
            member.with_text(|member| digest.add_pair(member, &text, |_| {}));
        }
    }
}

/// The digest of all databases.
#[must_use]
pub fn of_keyspace(keyspace: &Keyspace) -> Digest {
    let mut whole = Digest::default();
    for index in 0..keyspace.databases() {
        let db = keyspace.db(DbIndex(index));
        if db.is_empty() {
            continue;
        }
        whole.mix(&index.to_be_bytes());
        for entry in db.iter() {
            let mut digest = Digest::default();
            digest.mix(entry.key());
            mix_value(&mut digest, entry);
            whole.add(&digest.0);
        }
    }
    whole
}
