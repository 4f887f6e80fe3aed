//! What a command is: one [`Spec`] beside its handler, from which lookup, COMMAND, ACL categories and docs derive.

use crate::{error::Result, host::ServerCtx, keys::ReadCtx, keys::WriteCtx};
use resp::Args;

/// One command, or one subcommand of a container such as CLIENT.
pub struct Spec {
    /// Lowercase name; of a subcommand, its own word only (`"list"`, not `"client|list"`).
    pub name: &'static str,
    /// One sentence for COMMAND DOCS, in our words.
    pub summary: &'static str,
    /// The version of Redis that first had it.
    pub since: &'static str,
    /// Time complexity for COMMAND DOCS.
    pub complexity: &'static str,
    /// How many words a request has, its name included.
    pub arity: Arity,
    /// Where its keys are, and what happens to them.
    pub keys: &'static [KeySpec],
    /// Finds the keys when `keys` cannot tell alone: the positions of the keys in the request.
    pub get_keys: Option<fn(Args<'_>) -> Vec<usize>>,
    /// What really happens to the keys of a request, where that depends on its arguments.
    pub get_key_flags: Option<fn(Args<'_>) -> KeyFlags>,
    /// The word that names a member or field of the collection at the first key, 0 if none does: for fetching ahead.
    pub member: usize,
    /// What tells the score that this member will have in a sorted set: for fetching ahead.
    pub score: Option<ScoreWord>,
    /// The words of a request that no log may show, where there are such.
    pub secrets: Option<fn(Args<'_>) -> Vec<usize>>,
    /// The documentation group.
    pub category: Category,
    /// What the gates need to know.
    pub flags: Flags,
    /// ACL categories beyond those that flags and group imply.
    pub acl: Acl,
    /// Command tips, in the order in which COMMAND INFO lists them.
    pub tips: &'static [&'static str],
    /// The arguments' syntax: `key value [NX|XX] [EX seconds]`. See [`crate::syntax`].
    pub args: &'static str,
    /// Documentation history: version and change.
    pub history: &'static [(&'static str, &'static str)],
    /// What replaces it, if it is deprecated: version and replacement.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Runs it. The type of the handler is its read/write flag.
    pub handler: Handler,
    /// The subcommands of a container.
    pub subcommands: &'static [&'static Spec],
}

/// A word of a request that tells a member's score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreWord {
    /// This word is the score.
    Is(usize),
    /// This word is added to it.
    Adds(usize),
}

impl Spec {
    /// What most commands share; a definition names what differs and takes the rest from here.
    pub const BASE: Self = Self {
        name: "",
        summary: "",
        since: "1.0.0",
        complexity: "O(1)",
        arity: Arity::Exactly(1),
        keys: &[],
        get_keys: None,
        get_key_flags: None,
        member: 0,
        score: None,
        secrets: None,
        category: Category::Generic,
        flags: Flags::NONE,
        acl: Acl::NONE,
        tips: &[],
        args: "",
        history: &[],
        deprecated: None,
        handler: Handler::Container,
        subcommands: &[],
    };

    /// All flags, those that the kind of handler implies included.
    #[must_use]
    pub fn all_flags(&self) -> Flags {
        match self.handler {
            // One that only notes beside a value what it found out about it: PFCOUNT.
            Handler::Write(_) if self.flags.has(Flags::READONLY) => self.flags,
            Handler::Write(_) => self.flags.or(Flags::WRITE),
            Handler::Read(_) => self.flags.or(Flags::READONLY),
            Handler::Server(_) | Handler::Container => self.flags,
        }
    }
}

/// Runs a command.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Looks at keys only.
    Read(fn(&mut ReadCtx<'_>, Args<'_>) -> Result),
    /// Changes keys, through slots.
    Write(fn(&mut WriteCtx<'_>, Args<'_>) -> Result),
    /// Deals with sessions, the server or its outside.
    Server(fn(&mut ServerCtx<'_>, Args<'_>) -> Result),
    /// Has subcommands and does nothing by itself.
    Container,
}

/// How many words a request may have, the command's name included (of a subcommand, both names).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Just so many.
    Exactly(u32),
    /// So many or more.
    AtLeast(u32),
}

impl Arity {
    /// Whether a request of `words` words fits.
    #[must_use]
    pub fn admits(self, words: usize) -> bool {
        match self {
            Self::Exactly(n) => words == n as usize,
            Self::AtLeast(n) => words >= n as usize,
        }
    }

    /// The number COMMAND INFO shows: negative for "or more".
    #[must_use]
    pub fn as_number(self) -> i64 {
        match self {
            Self::Exactly(n) => i64::from(n),
            Self::AtLeast(n) => -i64::from(n),
        }
    }
}

/// The documentation group, which is also an ACL category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Category {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Pubsub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Sentinel,
    Geo,
    Stream,
    Bitmap,
}

impl Category {
    /// The name COMMAND DOCS gives the group.
    #[must_use]
    pub fn doc_name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Hash => "hash",
            Self::Pubsub => "pubsub",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Scripting => "scripting",
            Self::HyperLogLog => "hyperloglog",
            Self::Cluster => "cluster",
            Self::Sentinel => "sentinel",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::Bitmap => "bitmap",
        }
    }
}

macro_rules! bit_set {
    ($(#[$meta:meta])* $name:ident : $repr:ty { $($(#[$bit_meta:meta])* $bit:ident = $at:expr, $text:expr;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name($repr);

        impl $name {
            /// The empty set.
            pub const NONE: Self = Self(0);
            $($(#[$bit_meta])* pub const $bit: Self = Self(1 << $at);)*

            /// Every member with the word that stands for it on the wire, in wire order.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self::$bit, $text)),*];

            /// Both sets together.
            #[must_use]
            pub const fn or(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// This set but for the members of `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// Whether all of `other` is in this set.
            #[must_use]
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether any of `other` is in this set.
            #[must_use]
            pub const fn any(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// The words for the members, in wire order; members without a word are left out.
            pub fn words(self) -> impl Iterator<Item = &'static str> {
                Self::NAMES.iter().filter(move |(bit, text)| self.has(*bit) && !text.is_empty()).map(|(_, text)| *text)
            }
        }
    };
}

bit_set! {
    /// What the gates ask about a command. The words and their order are those of COMMAND INFO.
    Flags: u32 {
        /// May change the dataset; implied by a write handler.
        WRITE = 0, "write";
        /// Only reads keys; implied by a read handler.
        READONLY = 1, "readonly";
        /// Refused when memory is full.
        DENY_OOM = 2, "denyoom";
        /// Loads or unloads modules.
        MODULE = 3, "module";
        /// For administrators.
        ADMIN = 4, "admin";
        /// Publishes or subscribes.
        PUBSUB = 5, "pubsub";
        /// Not from scripts.
        NO_SCRIPT = 6, "noscript";
        /// May block the client.
        BLOCKING = 7, "blocking";
        /// Allowed while a dataset loads.
        LOADING = 8, "loading";
        /// Allowed on a replica with stale data.
        STALE = 9, "stale";
        /// Not shown to monitors.
        SKIP_MONITOR = 10, "skip_monitor";
        /// Not in the slow log.
        SKIP_SLOWLOG = 11, "skip_slowlog";
        /// Asked by a cluster client.
        ASKING = 12, "asking";
        /// Constant or logarithmic time.
        FAST = 13, "fast";
        /// Allowed before authentication.
        NO_AUTH = 14, "no_auth";
        /// May propagate though it does not write keys. COMMAND INFO of 7.0 has no word for it.
        MAY_REPLICATE = 15, "";
        /// Refused while a replica serves old data during a load.
        NO_ASYNC_LOADING = 16, "no_async_loading";
        /// Refused inside MULTI.
        NO_MULTI = 17, "no_multi";
        /// Keys are not where the key specs alone say.
        MOVABLE_KEYS = 18, "movablekeys";
        /// Allowed while a script keeps the server busy.
        ALLOW_BUSY = 19, "allow_busy";
        /// Runs only where `enable-debug-command` and its like allow.
        PROTECTED = 20, "";
        /// Also in Sentinel mode.
        SENTINEL = 21, "";
        /// Allowed to a listener that speaks RESP2, to whom all else would be a message.
        PUBSUB_MODE = 22, "";
    }
}

bit_set! {
    /// ACL categories that a definition names itself.
    Acl: u32 {
        /// `@keyspace`
        KEYSPACE = 0, "keyspace";
        /// `@dangerous`
        DANGEROUS = 1, "dangerous";
        /// `@connection`
        CONNECTION = 2, "connection";
        /// `@transaction`
        TRANSACTION = 3, "transaction";
        /// `@admin`
        ADMIN = 4, "admin";
        /// `@string`
        STRING = 5, "string";
        /// `@set`
        SET = 6, "set";
        /// `@sortedset`
        SORTED_SET = 7, "sortedset";
        /// `@list`
        LIST = 8, "list";
    }
}

bit_set! {
    /// What a command does with the keys of one key spec.
    KeyFlags: u16 {
        /// Reads and writes.
        RW = 0, "RW";
        /// Reads only.
        RO = 1, "RO";
        /// Overwrites.
        OW = 2, "OW";
        /// Removes.
        RM = 3, "RM";
        /// Returns, copies or checks the value.
        ACCESS = 4, "access";
        /// Changes the value.
        UPDATE = 5, "update";
        /// Adds data, changes none.
        INSERT = 6, "insert";
        /// Deletes content.
        DELETE = 7, "delete";
        /// Not a key.
        NOT_KEY = 8, "not_key";
        /// The spec may miss keys.
        INCOMPLETE = 9, "incomplete";
        /// What happens depends on the arguments.
        VARIABLE_FLAGS = 10, "variable_flags";
    }
}

/// Where some of a command's keys are.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Where to begin.
    pub begin: Begin,
    /// How to go on from there.
    pub find: Find,
    /// What happens to these keys.
    pub flags: KeyFlags,
    /// A remark for COMMAND INFO.
    pub notes: &'static str,
}

/// Where the first key of a [`KeySpec`] is.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Begin {
    Index(usize),
    /// After a word, searched from a position on (from the end when negative).
    Keyword {
        word: &'static str,
        from: i64,
    },
    Unknown,
}

/// How the keys of a [`KeySpec`] go on from the first.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Find {
    /// Up to `last` (relative to the first; negative counts from the end), every `step`-th, the last `limit`-th part.
    Range {
        last: i64,
        step: usize,
        limit: usize,
    },
    /// A count stands at `count`, keys begin at `first` (both relative).
    KeyNum {
        count: usize,
        first: usize,
        step: usize,
    },
    Unknown,
}

impl KeySpec {
    /// One key at a fixed position.
    #[must_use]
    pub const fn at(index: usize, flags: KeyFlags) -> Self {
        Self::range(index, 0, 1, flags)
    }

    /// Keys behind a number that says how many they are.
    #[must_use]
    pub const fn counted(index: usize, flags: KeyFlags) -> Self {
        Self {
            begin: Begin::Index(index),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
            flags,
            notes: "",
        }
    }

    /// Keys from `first`, up to `last` relative to it (negative from the end), every `step`-th word.
    #[must_use]
    pub const fn range(first: usize, last: i64, step: usize, flags: KeyFlags) -> Self {
        Self {
            begin: Begin::Index(first),
            find: Find::Range { last, step, limit: 0 },
            flags,
            notes: "",
        }
    }
}
