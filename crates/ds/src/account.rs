//! Who holds how many bytes.
//!
//! Every block is counted once, in the size the allocator gives it. It belongs to the ledger of the tree that reaches
//! it ([`Ledger`], one per table, plain arithmetic on the owner's thread), or, once that tree has let go of it while
//! frozen views still hold it, to the frozen bytes of the [`Account`] (atomic, since the last view drops it anywhere).
//!
//! ```text
//!   allocate ──► ledger ──── the owner drops the last reference ───────────────► freed
//!                   └─────── the owner drops one of several ──► frozen bytes ──► freed by whoever drops the last
//! ```
//!
//! The owner adds to the frozen bytes before it gives its reference up, so that whoever frees the block, and takes it
//! off again, comes after.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the owners of trees and the holders of their frozen views share.
#[derive(Debug, Default)]
pub struct Account {
    frozen_bytes: AtomicU64,
}

impl Account {
    /// Bytes that only frozen views hold.
    #[must_use]
    pub fn frozen_bytes(&self) -> u64 {
        self.frozen_bytes.load(Ordering::Relaxed)
    }

    /// A block that only frozen views held is freed.
    pub(crate) fn freed(&self, bytes: usize) {
        self.frozen_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

/// The bytes that one owner's tree reaches.
#[derive(Debug)]
pub struct Ledger {
    bytes: u64,
    account: Arc<Account>,
}

impl Ledger {
    /// An empty ledger that leaves what frozen views keep to `account`.
    #[must_use]
    pub fn new(account: Arc<Account>) -> Self {
        Self { bytes: 0, account }
    }

    /// The bytes reached.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The shared part.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// A ledger of as many bytes, for another owner of the same blocks. Only one of the two goes on changing.
    pub(crate) fn fork(&self) -> Self {
        Self {
            bytes: self.bytes,
            account: self.account.clone(),
        }
    }

    /// A block joins the tree.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// A block leaves the tree, freed or for another owner's.
    pub(crate) fn remove(&mut self, bytes: usize) {
        debug_assert!(self.bytes >= bytes as u64, "more bytes leave the tree than came in");
        self.bytes -= bytes as u64;
    }

    /// A block leaves the tree, but others hold it. To be called before the reference is given up.
    pub(crate) fn leave_to_frozen(&mut self, bytes: usize) {
        self.remove(bytes);
        self.account.frozen_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
