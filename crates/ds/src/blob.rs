//! A counted block of bytes: what the items of long lists and streams consist of.
//!
//! ```text
//!    0       4       8
//!   +-------+-------+---------------+--------+
//!   | count | len   | bytes …       | unused |    the block has room to grow, as much as `len` says
//!   +-------+-------+---------------+--------+
//! ```
//!
//! A [`Blob`] is one reference to such a block. Writing to it goes through [`Blob::make_mut`], which copies the block
//! first if others hold it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

use crate::account::{Account, Ledger};
use crate::bytes::Bytes;
use crate::count::Count32;
use crate::size::growing_bytes;

const HEADER_BYTES: usize = 8;

#[repr(C, align(8))]
struct Header {
    count: Count32,
    len: u32,
}

/// A reference to a counted block of bytes. It does not give itself up when dropped; see [`Self::leave`].
#[repr(transparent)]
pub struct Blob(NonNull<Header>);

// SAFETY: a block is changed only through `&mut Blob` by a holder who is alone, apart from its count, which is atomic;
// and it may be freed on any thread.
unsafe impl Send for Blob {}
// SAFETY: as above: `&Blob` gives reads.
unsafe impl Sync for Blob {}

fn layout(len: usize) -> Layout {
    // The length is at most 32 bits.
    Layout::from_size_align(growing_bytes(HEADER_BYTES + len), 8).expect("the layout of a blob")
}

impl Blob {
    /// A block of these parts, one after the other, entered in `ledger`.
    #[must_use]
    pub fn new(parts: &[&[u8]], ledger: &mut Ledger) -> Self {
        let len = parts.iter().map(|part| part.len()).sum();
        assert!(u32::try_from(len).is_ok(), "a blob of {len} bytes");
        let layout = layout(len);
        // SAFETY: the size is not 0.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        ledger.add(layout.size());
        let header = block.cast::<Header>();
        // SAFETY: the block has room for the header and all parts, which lie elsewhere.
        unsafe {
            header.write(Header {
                count: Count32::one(),
                len: len as u32,
            });
            let mut at = header.add(1).cast::<u8>().as_ptr();
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
        }
        Self(header)
    }

    fn header(&self) -> &Header {
        // SAFETY: the block lives as long as this reference.
        unsafe { self.0.as_ref() }
    }

    fn at(&self) -> *mut u8 {
        self.0.as_ptr().wrapping_add(1).cast()
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.header().len as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes, unchanged while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.at(), self.len()) }
    }

    /// The memory of the block, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        layout(self.len()).size()
    }

    /// Asks the processor for the block's beginning.
    pub fn prefetch(&self) {
        crate::entry::prefetch(self.0.as_ptr().cast());
    }

    /// The bytes, to change: in a block that nobody else holds.
    pub fn make_mut<'a>(&'a mut self, ledger: &'a mut Ledger) -> BlobMut<'a> {
        if !self.header().count.is_one() {
            let copy = Self::new(&[self.as_slice()], ledger);
            std::mem::replace(self, copy).leave(ledger);
        }
        BlobMut { blob: self, ledger }
    }

    /// One more reference.
    #[must_use]
    pub fn share(&self) -> Self {
        self.header().count.increment();
        Self(self.0)
    }

    /// A copy that shares nothing.
    #[must_use]
    pub fn duplicate(&self, ledger: &mut Ledger) -> Self {
        Self::new(&[self.as_slice()], ledger)
    }

    /// The owner gives its reference up.
    pub fn leave(self, ledger: &mut Ledger) {
        if self.header().count.is_one() {
            ledger.remove(self.memory_bytes());
            // SAFETY: the only reference, gone with `self`.
            unsafe { self.dealloc() };
        } else {
            ledger.leave_to_frozen(self.memory_bytes());
            self.release(ledger.account());
        }
    }

    /// A frozen holder gives its reference up.
    pub fn release(self, account: &Account) {
        if self.header().count.decrement() {
            account.freed(self.memory_bytes());
            // SAFETY: the count says that this was the last reference, gone with `self`.
            unsafe { self.dealloc() };
        }
    }

    /// # Safety
    /// - Nobody uses the block again.
    unsafe fn dealloc(&self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.0.as_ptr().cast(), layout(self.len())) };
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob").field("len", &self.len()).finish()
    }
}

/// A blob that nobody else holds, open for changes.
#[derive(Debug)]
pub struct BlobMut<'a> {
    blob: &'a mut Blob,
    ledger: &'a mut Ledger,
}

impl Bytes for BlobMut<'_> {
    fn as_slice(&self) -> &[u8] {
        self.blob.as_slice()
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `len` initialised bytes of a block that nobody else holds, as `make_mut` saw to.
        unsafe { std::slice::from_raw_parts_mut(self.blob.at(), self.blob.len()) }
    }

    fn splice(&mut self, at: usize, remove: usize, insert: &[&[u8]]) {
        let old_len = self.blob.len();
        let tail = at + remove;
        assert!(tail <= old_len, "bytes {at}..{tail} of a blob of {old_len}");
        let added: usize = insert.iter().map(|part| part.len()).sum();
        let new_len = old_len - remove + added;
        if u32::try_from(new_len).is_err() || layout(new_len) != layout(old_len) {
            let old = self.blob.as_slice();
            let mut parts = Vec::with_capacity(insert.len() + 2);
            parts.push(&old[..at]);
            parts.extend_from_slice(insert);
            parts.push(&old[tail..]);
            let new = Blob::new(&parts, self.ledger);
            std::mem::replace(self.blob, new).leave(self.ledger);
            return;
        }
        // SAFETY: the block has room for the new length, nobody else holds it, and what is inserted lies elsewhere, since
        // `self` is borrowed mutably.
        unsafe {
            let bytes = self.blob.at();
            ptr::copy(bytes.add(tail), bytes.add(at + added), old_len - tail);
            let mut to = bytes.add(at);
            for part in insert {
                ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
                to = to.add(part.len());
            }
            (*self.blob.0.as_ptr()).len = new_len as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::Rng;

    use super::*;

    /// Random splices against a plain vector; shared copies stay as they were, and no byte is left over.
    #[test]
    fn behaves_as_a_vector_and_shared_blobs_stay() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut ledger = Ledger::new(Arc::default());
            let mut model: Vec<u8> = vec![1; rng.below(100) as usize];
            let mut blob = Blob::new(&[&model], &mut ledger);
            let mut shared: Vec<(Blob, Vec<u8>)> = Vec::new();
            for round in 0..300 {
                let at = rng.below(model.len() as u64 + 1) as usize;
                let remove = rng.below((model.len() - at) as u64 + 1).min(rng.below(40)) as usize;
                let (one, two) = (vec![round as u8; rng.below(30) as usize], [7, 8]);
                blob.make_mut(&mut ledger).splice(at, remove, &[&one, &two]);
                model.splice(at..at + remove, one.into_iter().chain(two));
                if let Some(first) = blob.make_mut(&mut ledger).as_mut_slice().first_mut() {
                    *first = 9;
                    model[0] = 9;
                }
                assert_eq!(blob.as_slice(), model);
                assert_eq!(ledger.bytes(), blob.memory_bytes() as u64);
                if rng.chance(1, 4) {
                    shared.push((blob.share(), model.clone()));
                }
                if rng.chance(1, 5) && !shared.is_empty() {
                    let (copy, expected) = shared.swap_remove(rng.below(shared.len() as u64) as usize);
                    assert_eq!(copy.as_slice(), expected);
                    copy.release(ledger.account());
                }
            }
            let copy = blob.duplicate(&mut ledger);
            blob.leave(&mut ledger);
            assert_eq!(copy.as_slice(), model);
            copy.leave(&mut ledger);
            assert_eq!(ledger.bytes(), 0);
            for (copy, expected) in shared {
                assert_eq!(copy.as_slice(), expected);
                copy.release(ledger.account());
            }
            assert_eq!(ledger.account().frozen_bytes(), 0);
        }
    }
}
