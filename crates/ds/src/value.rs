//! Values as they come in and as they are looked at, however an entry keeps them.

use base::number;

use crate::account::Ledger;
use crate::chunked::ChunkedString;
use crate::entry::Payload;
use crate::list::List;
use crate::object::Object;
use crate::stream::Stream;
use crate::table::Table;
use crate::zset::Zset;

/// Values up to this many bytes lie in their entry; longer ones are chunked.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// What kind of value a key holds, as `TYPE` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// A string, in whatever encoding.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A hash.
    Hash,
    /// A sorted set.
    Zset,
    /// A stream.
    Stream,
}

impl Type {
    /// The name that `TYPE` answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Hash => "hash",
            Self::Zset => "zset",
            Self::Stream => "stream",
        }
    }
}

/// A small collection that lies in its entry as one compact block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pack {
    /// A listpack of elements.
    List,
    /// An intset.
    Intset,
    /// A listpack of members, not all of which are integers.
    Set,
    /// A listpack of fields, each followed by its value.
    Hash,
    /// A listpack of members, each followed by its score, in order.
    Zset,
}

impl Pack {
    const ALL: [Self; 5] = [Self::List, Self::Intset, Self::Set, Self::Hash, Self::Zset];

    /// The type that it is a value of.
    #[must_use]
    pub fn value_type(self) -> Type {
        match self {
            Self::List => Type::List,
            Self::Intset | Self::Set => Type::Set,
            Self::Hash => Type::Hash,
            Self::Zset => Type::Zset,
        }
    }

    fn encoding(self) -> Encoding {
        match self {
            Self::List => Encoding::Quicklist,
            Self::Intset => Encoding::Intset,
            Self::Set => Encoding::Hashtable,
            Self::Hash | Self::Zset => Encoding::Listpack,
        }
    }

    pub(crate) fn from_index(index: u8) -> Self {
        Self::ALL[usize::from(index)]
    }
}

/// How a value is stored, as `OBJECT ENCODING` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// A 64-bit integer.
    Int,
    /// A string of at most 44 bytes, as it was set.
    Embstr,
    /// A longer string, or one that was changed in place.
    Raw,
    /// A list.
    Quicklist,
    /// A set of integers in one block.
    Intset,
    /// A set, or a large hash.
    Hashtable,
    /// A small hash or sorted set.
    Listpack,
    /// A large sorted set.
    Skiplist,
    /// A stream.
    Stream,
}

impl Encoding {
    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Embstr => "embstr",
            Self::Raw => "raw",
            Self::Quicklist => "quicklist",
            Self::Intset => "intset",
            Self::Hashtable => "hashtable",
            Self::Listpack => "listpack",
            Self::Skiplist => "skiplist",
            Self::Stream => "stream",
        }
    }
}

/// A value as readers see it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// A string that is a canonical 64-bit integer.
    Int(i64),
    /// A string up to [`INLINE_BYTES_MAX`].
    Bytes(&'a [u8]),
    /// A longer string.
    Chunked(&'a ChunkedString),
    /// A small collection, in one block.
    Pack(Pack, &'a [u8]),
    /// A large set: entries without values.
    Set(&'a Table),
    /// A large hash, or one with field expiries: an entry a field.
    Hash(&'a Table),
    /// A large sorted set.
    Zset(&'a Zset),
    /// A stream.
    Stream(&'a Stream),
    /// A large list.
    List(&'a List),
}

impl ValueRef<'_> {
    /// The type of the value.
    #[must_use]
    pub fn value_type(self) -> Type {
        match self {
            Self::Int(_) | Self::Bytes(_) | Self::Chunked(_) => Type::String,
            Self::Pack(pack, _) => pack.value_type(),
            Self::Set(_) => Type::Set,
            Self::Hash(_) => Type::Hash,
            Self::Zset(_) => Type::Zset,
            Self::Stream(_) => Type::Stream,
            Self::List(_) => Type::List,
        }
    }

    /// How a collection is stored. (Of a string only the entry knows.)
    pub(crate) fn collection_encoding(self) -> Encoding {
        match self {
            Self::Int(_) => Encoding::Int,
            Self::Bytes(_) | Self::Chunked(_) => Encoding::Raw,
            Self::Pack(pack, _) => pack.encoding(),
            Self::Set(_) | Self::Hash(_) => Encoding::Hashtable,
            Self::Zset(_) => Encoding::Skiplist,
            Self::Stream(_) => Encoding::Stream,
            Self::List(_) => Encoding::Quicklist,
        }
    }
}

/// A value as writers hand it in.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// A string; kept as an integer when its text is canonical.
    Bytes(&'a [u8]),
    /// A string that stays one.
    RawBytes(&'a [u8]),
    /// An integer.
    Int(i64),
    /// A small collection, in one block.
    Pack(Pack, &'a [u8]),
    /// A large collection, made with the account of the keyspace it goes into.
    Object(Object),
}

/// Hands `value` on in the form it will be stored in.
pub(crate) fn with_payload<R>(
    value: NewValue<'_>,
    ledger: &mut Ledger,
    then: impl FnOnce(Payload<'_>, &mut Ledger) -> R,
) -> R {
    let bytes = match value {
        NewValue::Int(number) => return then(Payload::Int(number), ledger),
        NewValue::Bytes(bytes) => {
            if let Some(number) = number::parse_i64(bytes) {
                return then(Payload::Int(number), ledger);
            }
            bytes
        }
        NewValue::RawBytes(bytes) => bytes,
        NewValue::Pack(pack, bytes) => return then(Payload::Pack(pack, &[bytes]), ledger),
        NewValue::Object(object) => {
            ledger.add(object.memory_bytes());
            return then(Payload::Object(object), ledger);
        }
    };
    let payload = if bytes.len() > INLINE_BYTES_MAX {
        Payload::Chunked(ChunkedString::new(&[bytes], ledger))
    } else {
        Payload::Bytes {
            parts: &[bytes],
            raw: false,
        }
    };
    then(payload, ledger)
}
