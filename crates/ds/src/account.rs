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
//!
//! The account also knows which frozen views there are, by generation:
//!
//! ```text
//!   generation      1         2         3                 a freeze begins the next one
//!   views          (gone)   ──┴──►    ──┴──►  still there
//! ```
//!
//! Half a claim (see [`crate::count`]) that the writer got in generation 1 is a whole one again, without a look at the
//! block, once no view of generation 1 or before is there: the partner was in one of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What the owners of trees and the holders of their frozen views share.
#[derive(Debug, Default)]
pub struct Account {
    frozen_bytes: AtomicU64,
    /// The generation that the last freeze began.
    generation: AtomicU32,
    /// The lowest generation of which there is a view, plus one; 0 if there is none.
    oldest: AtomicU32,
    /// The number of views by generation.
    views: Mutex<BTreeMap<u32, usize>>,
}

/// That there is a frozen view. To be dropped after all that the view held has been given up.
#[derive(Debug)]
pub(crate) struct View {
    account: Arc<Account>,
    /// None if it holds nothing.
    generation: Option<u32>,
}

impl View {
    /// A view of nothing.
    pub(crate) fn empty(account: Arc<Account>) -> Self {
        let generation = None;
        Self { account, generation }
    }

    /// A view made by a freeze.
    pub(crate) fn frozen(account: Arc<Account>) -> Self {
        Self::of(account, true)
    }

    /// What is left behind by a fork: a view too, but of no generation of its own.
    pub(crate) fn forked(account: Arc<Account>) -> Self {
        Self::of(account, false)
    }

    fn of(account: Arc<Account>, begins: bool) -> Self {
        let mut views = account.views();
        let generation = account.generation.load(Ordering::Relaxed);
        // Claims that were settled by a number that came round again would be settled wrongly.
        let generation = if begins {
            generation.checked_add(2).expect("a thousand million freezes") - 1
        } else {
            generation
        };
        account.generation.store(generation, Ordering::Relaxed);
        *views.entry(generation).or_default() += 1;
        account.note_oldest(&views);
        drop(views);
        let generation = Some(generation);
        Self { account, generation }
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let Some(generation) = self.generation else { return };
        let mut views = self.account.views();
        if let Some(count) = views.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                views.remove(&generation);
            }
        }
        self.account.note_oldest(&views);
    }
}

impl Account {
    /// Bytes that only frozen views hold.
    #[must_use]
    pub fn frozen_bytes(&self) -> u64 {
        self.frozen_bytes.load(Ordering::Relaxed)
    }

    /// The generation of the last freeze.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Whether there is no view of this generation or one before; what the views did is then visible.
    pub(crate) fn is_settled(&self, generation: u32) -> bool {
        let oldest = self.oldest.load(Ordering::Acquire);
        oldest == 0 || oldest - 1 > generation
    }

    fn views(&self) -> MutexGuard<'_, BTreeMap<u32, usize>> {
        // Nothing panics while it is locked.
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_oldest(&self, views: &BTreeMap<u32, usize>) {
        let oldest = views.keys().next().map_or(0, |generation| generation + 1);
        self.oldest.store(oldest, Ordering::Release);
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
    /// There once this is the ledger of a frozen view.
    forked: OnceLock<View>,
}

impl Ledger {
    /// An empty ledger that leaves what frozen views keep to `account`.
    #[must_use]
    pub fn new(account: Arc<Account>) -> Self {
        Self {
            bytes: 0,
            account,
            forked: OnceLock::new(),
        }
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

    /// A ledger of as many bytes, for another owner of the same blocks, which is the one to change them from now on. What
    /// this ledger is of is a frozen view.
    pub(crate) fn fork(&self) -> Self {
        self.forked.get_or_init(|| View::forked(self.account.clone()));
        Self {
            bytes: self.bytes,
            account: self.account.clone(),
            forked: OnceLock::new(),
        }
    }

    /// Whether another ledger was forked from this one.
    pub(crate) fn is_forked(&self) -> bool {
        self.forked.get().is_some()
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
