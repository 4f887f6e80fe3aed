//! Freezable structures: what the keyspace is made of, and the one place for `unsafe` beside `net`.
//!
//! ```text
//!   Table ──► inner node (≤ 64 children) ──► inner node ──► segment (≤ 105 entries) ──► entry ──► chunked string
//!                                                                                        one block: header, expiry,
//!   a frozen Table holds the same root                                                   key, value up to 64 KiB
//! ```
//!
//! Everything is a tree of reference-counted nodes with one rule, [`std::sync::Arc::make_mut`]'s: whoever writes
//! changes a node in place when it holds the only reference to it, and copies that one node first when it does not.
//! A snapshot is then one more reference to the root, and costs what is overwritten while it lives.
//!
//! - [`table`]: the hash-ordered tree of entries.
//! - [`entry`]: a key, its expiry and its value in one heap block.
//! - [`chunked`]: strings too long for a block.
//! - [`listpack`], [`intset`]: small collections in one run of bytes, edited through [`bytes::Bytes`].
//! - [`seq`]: items in an order, counted and weighed: under sorted sets, lists and streams; [`blob`]: a counted block of
//!   bytes, as their items.
//! - [`zset`]: a large sorted set: a table of members and a sequence of references to them.
//! - [`list`]: a long list of elements.
//! - [`account`]: who holds how many bytes: the live tree, or frozen views alone.
//! - [`memory`]: the counting global allocator; its small blocks come from a slab with classes that fit.
//! - [`crc64`]: a checksum that the processor helps with; here because that takes `unsafe`.
//!
//! Besides its model tests, which look through whole trees block by block, this crate is checked by the address
//! sanitizer and, for the protocols of its reference counts and of blocks that threads return to each other, by loom:
//!
//! ```text
//! RUSTFLAGS="-Zsanitizer=address --cfg slow_checker" \
//!     cargo +nightly test -p skein-ds -p skein-keyspace --target x86_64-unknown-linux-gnu --target-dir target/asan
//! RUSTFLAGS="--cfg loom" cargo test --profile fast -p skein-ds --test count_loom --test slab_loom \
//!     --target-dir target/loom
//! ```

#[cfg(not(target_pointer_width = "64"))]
compile_error!("addresses carry 16 bits of hash in their upper part, which takes 64-bit pointers");

pub mod account;
pub mod blob;
pub mod bytes;
pub mod chunked;
mod count;
pub mod crc64;
pub mod entry;
pub mod fuzz;
pub mod hash;
pub mod intset;
pub mod list;
pub mod listpack;
pub mod memory;
pub mod object;
pub mod seq;
pub mod size;
mod slab;
pub mod stream;
pub mod table;
pub mod value;
pub mod zset;

pub use blob::{Blob, BlobMut};
pub use bytes::Bytes;
pub use chunked::ChunkedString;
pub use entry::Entry;
pub use hash::{Hasher, KeyHash};
pub use list::List;
pub use object::{Container, Object, ObjectMut};
pub use seq::Seq;
pub use table::{Frozen, FrozenEntries, FrozenEntry, PackMut, Removed, StringMut, Table, ValueMut};
pub use value::{Encoding, NewValue, Pack, Type, ValueRef};
pub use zset::Zset;

/// What reference counts are made of.
mod atomics {
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering, fence};
}
