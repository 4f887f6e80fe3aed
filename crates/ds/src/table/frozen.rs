//! A table as it was at one moment, and the reader that gives it back as it goes.
//!
//! ```text
//!   FrozenEntries { stack: [ children of the root not yet read ]
//!                          [ children of an inner node not yet read ]
//!                   current: a segment, held once for all its entries }
//! ```
//!
//! The reader takes a node's children and gives the node up before it reads them, and gives a segment up when its last
//! entry is. What the writer has replaced meanwhile is thereby freed, here; what it still has in common with the view
//! becomes its own again.

use std::ops::Deref;
use std::sync::Arc;

use super::child::Child;
use super::group::SLOTS;
use super::node::{self, Inner};
use super::segment::Segment;
use crate::account::{Account, View};
use crate::entry::Entry;

/// A whole table, unchanging. A clone is one more reference to the root.
pub struct Frozen {
    pub(super) root: Child,
    view: Arc<View>,
    len: u64,
    expiring: u64,
}

// SAFETY: the nodes behind `root` are counted by atomics and not changed while this view holds them; entries are `Send`
// and `Sync`.
unsafe impl Send for Frozen {}
// SAFETY: as above.
unsafe impl Sync for Frozen {}

impl Frozen {
    /// A view of the tree under `root`, which the caller holds.
    pub(super) fn new(root: Child, account: Arc<Account>) -> Self {
        if root.is_none() {
            return Self {
                root,
                view: Arc::new(View::empty(account)),
                len: 0,
                expiring: 0,
            };
        }
        let view = Arc::new(View::frozen(account));
        // SAFETY: the caller holds it.
        let (root, summary) = unsafe { (node::share(root), node::summary(root)) };
        Self {
            root,
            view,
            len: summary.len,
            expiring: summary.expiring,
        }
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of entries with an expiry.
    #[must_use]
    pub fn expiring_len(&self) -> u64 {
        self.expiring
    }

    /// All entries, segment by segment in the order of their hashes.
    #[must_use]
    pub fn into_entries(mut self) -> FrozenEntries {
        let root = std::mem::replace(&mut self.root, Child::NONE);
        let stack = if root.is_none() {
            Vec::new()
        } else {
            vec![vec![root].into_iter()]
        };
        FrozenEntries {
            stack,
            current: None,
            slot: 0,
            view: self.view.clone(),
        }
    }
}

impl Clone for Frozen {
    fn clone(&self) -> Self {
        if !self.root.is_none() {
            // SAFETY: held by this view.
            unsafe { node::share(self.root) };
        }
        Self {
            root: self.root,
            view: self.view.clone(),
            len: self.len,
            expiring: self.expiring,
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !self.root.is_none() {
            // SAFETY: the view's own reference, not used again.
            unsafe { node::release(self.root, self.view.account()) };
        }
    }
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frozen")
            .field("len", &self.len)
            .field("expiring", &self.expiring)
            .finish()
    }
}

/// The entries of a frozen table.
pub struct FrozenEntries {
    /// Nodes to read, each with a reference of this reader's.
    stack: Vec<std::vec::IntoIter<Child>>,
    current: Option<Arc<Held>>,
    slot: usize,
    view: Arc<View>,
}

// SAFETY: as for `Frozen`.
unsafe impl Send for FrozenEntries {}
// SAFETY: as for `Frozen`; `&FrozenEntries` gives nothing.
unsafe impl Sync for FrozenEntries {}

/// How many entries ahead of the one being visited all of an entry is fetched.
const FETCHED_AHEAD: usize = 8;

impl FrozenEntries {
    /// Hands `each` the entries that are left, in the same order, until it fails. Where nobody keeps an entry this is
    /// cheaper than the iterator: only segments are held, and what comes is fetched ahead.
    ///
    /// # Errors
    /// The error of `each`.
    pub fn visit<E>(mut self, mut each: impl FnMut(&Entry) -> Result<(), E>) -> Result<(), E> {
        let mut given = match &self.current {
            Some(held) => (0..self.slot).filter(|slot| held.0.slot(*slot).is_some()).count(),
            None => 0,
        };
        loop {
            let Some(held) = self.current.take().or_else(|| self.next_segment()) else {
                return Ok(());
            };
            let mut ahead = held.0.entries().skip(given + FETCHED_AHEAD);
            for entry in held.0.entries().skip(given) {
                if let Some(coming) = ahead.next() {
                    coming.prefetch_rest();
                }
                each(entry)?;
            }
            given = 0;
        }
    }

    /// The next segment, its entries on their way from memory.
    fn next_segment(&mut self) -> Option<Arc<Held>> {
        loop {
            let child = loop {
                match self.stack.last_mut()?.next() {
                    Some(child) => break child,
                    None => drop(self.stack.pop()),
                }
            };
            // SAFETY: the reference is this reader's, and goes to what is made of it; so is that to the next child.
            unsafe {
                if child.is_inner() {
                    self.stack.push(Inner::of(child).open(self.view.account()).into_iter());
                    continue;
                }
                let segment = Segment::of(child);
                segment.prefetch_entries();
                let next = self.stack.last().and_then(|level| level.as_slice().first());
                if let Some(next) = next.filter(|next| !next.is_inner()) {
                    Segment::of(*next).prefetch_groups();
                }
                return Some(Arc::new(Held(segment, self.view.clone())));
            }
        }
    }
}

impl Iterator for FrozenEntries {
    type Item = FrozenEntry;

    fn next(&mut self) -> Option<FrozenEntry> {
        loop {
            if let Some(held) = &self.current {
                while self.slot < held.0.slots() {
                    let slot = self.slot;
                    if held.0.slot(slot).is_some() {
                        self.slot += 1;
                        return Some(FrozenEntry {
                            held: held.clone(),
                            slot,
                        });
                    }
                    // The rest of the group is empty too.
                    self.slot = (slot / SLOTS + 1) * SLOTS;
                }
            }
            self.current = None;
            self.current = Some(self.next_segment()?);
            self.slot = 0;
        }
    }
}

impl Drop for FrozenEntries {
    fn drop(&mut self) {
        for child in self.stack.drain(..).flatten() {
            // SAFETY: the reader's own reference, not used again.
            unsafe { node::release(child, self.view.account()) };
        }
    }
}

impl std::fmt::Debug for FrozenEntries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrozenEntries").finish_non_exhaustive()
    }
}

/// A reference to a segment, for as long as one of its entries is looked at.
struct Held(Segment, Arc<View>);

// SAFETY: a segment that is held is not changed, and may be given up on any thread; entries are `Send` and `Sync`.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the reference is this one's, not used again.
        unsafe { self.0.release(self.1.account()) };
    }
}

/// An entry of a frozen table. It keeps its segment.
pub struct FrozenEntry {
    held: Arc<Held>,
    slot: usize,
}

impl Deref for FrozenEntry {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        // Found there when this was made, and a held segment does not change.
        self.held.0.slot(self.slot).expect("an entry in its slot")
    }
}

impl std::fmt::Debug for FrozenEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}
