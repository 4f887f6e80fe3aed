//! ACL categories of commands: those that the definition names, and those that follow from group and flags.

use crate::spec::{Acl, Category, Flags, Spec};

/// Whether a command belongs to a category.
type Belongs = fn(&Spec) -> bool;

/// All categories, in the order in which COMMAND INFO lists them, and when a command belongs to each.
const CATEGORIES: &[(&str, Belongs)] = &[
    ("keyspace", |spec| spec.acl.has(Acl::KEYSPACE)),
    ("read", |spec| {
        spec.all_flags().has(Flags::READONLY) && spec.category != Category::Scripting
    }),
    ("write", |spec| spec.all_flags().has(Flags::WRITE)),
    ("set", |spec| spec.category == Category::Set || spec.acl.has(Acl::SET)),
    ("sortedset", |spec| {
        spec.category == Category::SortedSet || spec.acl.has(Acl::SORTED_SET)
    }),
    ("list", |spec| {
        spec.category == Category::List || spec.acl.has(Acl::LIST)
    }),
    ("hash", |spec| spec.category == Category::Hash),
    ("string", |spec| {
        spec.category == Category::String || spec.acl.has(Acl::STRING)
    }),
    ("bitmap", |spec| spec.category == Category::Bitmap),
    ("hyperloglog", |spec| spec.category == Category::HyperLogLog),
    ("geo", |spec| spec.category == Category::Geo),
    ("stream", |spec| spec.category == Category::Stream),
    ("pubsub", |spec| spec.all_flags().has(Flags::PUBSUB)),
    ("admin", |spec| {
        spec.acl.has(Acl::ADMIN) || spec.all_flags().has(Flags::ADMIN)
    }),
    ("fast", |spec| spec.all_flags().has(Flags::FAST)),
    ("slow", |spec| !spec.all_flags().has(Flags::FAST)),
    ("blocking", |spec| spec.all_flags().has(Flags::BLOCKING)),
    ("dangerous", |spec| {
        spec.acl.has(Acl::DANGEROUS) || spec.all_flags().has(Flags::ADMIN)
    }),
    ("connection", |spec| spec.acl.has(Acl::CONNECTION)),
    ("transaction", |spec| spec.acl.has(Acl::TRANSACTION)),
    ("scripting", |spec| spec.category == Category::Scripting),
];

/// The categories of a command, without the `@`.
pub fn categories(spec: &Spec) -> impl Iterator<Item = &'static str> {
    CATEGORIES
        .iter()
        .filter(move |(_, belongs)| belongs(spec))
        .map(|(name, _)| *name)
}

/// Whether there is a category of this name, letter case aside.
#[must_use]
pub fn category_exists(name: &[u8]) -> bool {
    CATEGORIES
        .iter()
        .any(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}
