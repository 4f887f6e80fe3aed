//! Collections too large for their entry's block: boxed containers, each owned by one entry.
//!
//! ```text
//!   entry ──► Box<Table> ──► root ──► nodes …        the live entry and its container
//!   entry ──► Box<Table> ────┘                       an older entry, held by frozen views alone; it shares nodes
//! ```
//!
//! An entry that frozen views hold too is copied before it is written, and its container is forked: the copy gets a
//! second container over the same nodes. From then on the first one is never changed.

use std::fmt::Debug;
use std::sync::Arc;

use crate::account::{Account, Ledger};
use crate::list::List;
use crate::size::block_bytes;
use crate::stream::Stream;
use crate::table::Table;
use crate::value::{Type, ValueRef};
use crate::zset::Zset;

/// A freezable structure that one entry owns. Dropping it is how its live owner gives it up; [`Self::release`] is how
/// frozen views do.
pub trait Container: Debug + Send + Sync + Sized {
    /// Bytes of heap that it reaches, shared or not, without those of the container itself.
    fn memory_bytes(&self) -> usize;

    /// About how many heap blocks it consists of.
    fn blocks(&self) -> usize;

    /// Another container over the same nodes, in constant time. It is the live one from now on, and reaches as many
    /// bytes; the original is read only, and released in the end.
    fn fork(&self) -> Self;

    /// A frozen view gives it up: what nobody else holds is freed.
    fn release(self);

    /// A copy that shares nothing.
    fn deep_copy(&self, account: &Arc<Account>) -> Self;
}

macro_rules! containers {
    ($($(#[$doc:meta])* $name:ident: $container:ty = $kind:literal;)*) => {
        /// A large collection of its own, on its way into or out of an entry.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum Object {
            $($(#[$doc])* $name(Box<$container>),)*
        }

        /// The container of an entry, to be changed.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum ObjectMut<'a> {
            $($(#[$doc])* $name(&'a mut $container),)*
        }

        impl Object {
            /// The number of its kind in an entry's header.
            pub(crate) fn kind(&self) -> u8 {
                match self {
                    $(Self::$name(_) => $kind,)*
                }
            }

            /// The type it is a value of.
            #[must_use]
            pub fn value_type(&self) -> Type {
                match self {
                    $(Self::$name(_) => Type::$name,)*
                }
            }

            /// Bytes of heap that it reaches, its own block included.
            #[must_use]
            pub fn memory_bytes(&self) -> usize {
                match self {
                    $(Self::$name(container) => block_bytes(size_of::<$container>()) + Container::memory_bytes(&**container),)*
                }
            }

            /// The block of the container itself.
            pub(crate) fn root_bytes(&self) -> usize {
                match self {
                    $(Self::$name(_) => block_bytes(size_of::<$container>()),)*
                }
            }

            /// About how many heap blocks it consists of.
            #[must_use]
            pub fn blocks(&self) -> usize {
                match self {
                    $(Self::$name(container) => 1 + container.blocks(),)*
                }
            }

            pub(crate) fn fork(&self) -> Self {
                match self {
                    $(Self::$name(container) => Self::$name(Box::new(container.fork())),)*
                }
            }

            pub(crate) fn deep_copy(&self, account: &Arc<Account>) -> Self {
                match self {
                    $(Self::$name(container) => Self::$name(Box::new(container.deep_copy(account))),)*
                }
            }

            /// The owner gives it up.
            pub(crate) fn leave(self, ledger: &mut Ledger) {
                ledger.remove(self.memory_bytes());
            }

            /// A frozen view gives it up.
            pub(crate) fn release(self, account: &Account) {
                account.freed(self.root_bytes());
                match self {
                    $(Self::$name(container) => container.release(),)*
                }
            }

            pub(crate) fn as_mut(&mut self) -> ObjectMut<'_> {
                match self {
                    $(Self::$name(container) => ObjectMut::$name(container),)*
                }
            }

            /// As an address, for an entry's block; with [`Self::kind`] it leads back here.
            pub(crate) fn into_raw(self) -> *mut u8 {
                match self {
                    $(Self::$name(container) => Box::into_raw(container).cast(),)*
                }
            }

            /// The container behind an address.
            ///
            /// # Safety
            /// - `address` came from [`Self::into_raw`] of an object of this kind.
            /// - Of all that is made from the address, one is dropped at most, and nothing is used after it.
            pub(crate) unsafe fn from_raw(kind: u8, address: *mut u8) -> Self {
                match kind {
                    // SAFETY: it came from `Box::into_raw` for this type, by contract.
                    $($kind => Self::$name(unsafe { Box::from_raw(address.cast()) }),)*
                    _ => unreachable!("kind {kind} is no container"),
                }
            }

            /// The container behind an address, to look at.
            ///
            /// # Safety
            /// - `address` came from [`Self::into_raw`] of an object of this kind, and lives and is not changed as long
            ///   as the result is used.
            pub(crate) unsafe fn view<'a>(kind: u8, address: *const u8) -> ValueRef<'a> {
                match kind {
                    // SAFETY: alive and unchanged, by contract.
                    $($kind => ValueRef::$name(unsafe { &*address.cast::<$container>() }),)*
                    _ => unreachable!("kind {kind} is no container"),
                }
            }
        }

        /// The type of the container of this kind.
        pub(crate) fn type_of_kind(kind: u8) -> Type {
            match kind {
                $($kind => Type::$name,)*
                _ => unreachable!("kind {kind} is no container"),
            }
        }
    };
}

// Numbers of kinds are a matter of memory alone; the lower ones are in `entry`.
containers! {
    /// Members without values.
    Set: Table = 9;
    /// Fields with values and perhaps expiries.
    Hash: Table = 10;
    /// Members in order of their scores.
    Zset: Zset = 11;
    /// Elements in an order.
    List: List = 13;
    /// Entries by id, and groups that read them.
    Stream: Stream = 12;
}
