//! Changing a part of a value: of a string, of a small collection's block, of a large collection.

use std::mem::{self, ManuallyDrop};
use std::ptr;
use std::sync::Arc;

use base::number;

use super::{BYTES, CHUNKED, EXPIRY, Entry, PACK_FIRST, PACK_LAST, Payload, RAW, Shape, ZEROS};
use crate::account::Ledger;
use crate::chunked::ChunkedString;
use crate::object::ObjectMut;
use crate::value::{INLINE_BYTES_MAX, ValueRef};

impl Entry {
    /// Adds `bytes` at the end of the string; gives the new length.
    pub(crate) fn append(&mut self, bytes: &[u8], ledger: &mut Ledger) -> usize {
        let len = match self.value() {
            ValueRef::Int(number) => {
                let mut text = Vec::with_capacity(20);
                number::write_i64(&mut text, number);
                return self.set_raw(&[&text, bytes], ledger);
            }
            ValueRef::Bytes(old) => old.len(),
            ValueRef::Chunked(string) => string.len(),
            _ => unreachable!("a string"),
        };
        self.splice(len, len, bytes, ledger)
    }

    /// Writes `bytes`, at least one, at `offset`, zeros between the end and there; gives the new length.
    pub(crate) fn write_at(&mut self, offset: usize, bytes: &[u8], ledger: &mut Ledger) -> usize {
        let len = match self.value() {
            ValueRef::Int(number) => {
                let mut text = Vec::with_capacity(20);
                number::write_i64(&mut text, number);
                self.set_raw(&[&text], ledger)
            }
            ValueRef::Bytes(old) => old.len(),
            ValueRef::Chunked(string) => string.len(),
            _ => unreachable!("a string"),
        };
        self.splice(len, offset, bytes, ledger)
    }

    /// Writes into a string of `len` bytes that is not an integer.
    fn splice(&mut self, len: usize, offset: usize, bytes: &[u8], ledger: &mut Ledger) -> usize {
        let end = offset
            .checked_add(bytes.len())
            .expect("a string within the address space");
        let new_len = len.max(end);
        let old = self.shape();
        if old.kind() == CHUNKED {
            self.chunked_mut(ledger, |string, ledger| string.write(offset, bytes, ledger));
            return new_len;
        }
        if new_len > INLINE_BYTES_MAX {
            let string = {
                let ValueRef::Bytes(old) = self.value() else {
                    unreachable!("neither integer nor chunked")
                };
                let mut string = ChunkedString::new(&[old], ledger);
                ChunkedString::make_mut(&mut string, ledger).write(offset, bytes, ledger);
                string
            };
            self.set(Payload::Chunked(string), self.expiry(), ledger);
            return new_len;
        }
        let new = Shape::new(BYTES | RAW, old.has(EXPIRY), old.key_len, new_len);
        if old.fits(new) && self.is_alone() {
            // SAFETY: alone, and the block has room for the new length, which covers both the gap and `bytes`; these
            // come from outside, since `self` is borrowed mutably.
            unsafe {
                self.write_header(new);
                let value = self.at(new.value_at());
                if offset > len {
                    ptr::write_bytes(value.add(len), 0, offset - len);
                }
                ptr::copy_nonoverlapping(bytes.as_ptr(), value.add(offset), bytes.len());
            }
            return new_len;
        }
        let new = {
            let ValueRef::Bytes(old) = self.value() else {
                unreachable!("neither integer nor chunked")
            };
            let parts = [
                &old[..offset.min(len)],
                &ZEROS[..offset.saturating_sub(len)],
                bytes,
                &old[end.min(len)..],
            ];
            Self::new(
                self.tag(),
                self.key(),
                self.expiry(),
                self.clock(),
                Payload::Bytes {
                    parts: &parts,
                    raw: true,
                },
                ledger,
            )
        };
        mem::replace(self, new).leave(ledger);
        new_len
    }

    /// Replaces the value by the concatenation of `parts`, which must not lie in the block; gives its length.
    fn set_raw(&mut self, parts: &[&[u8]], ledger: &mut Ledger) -> usize {
        let len = parts.iter().map(|part| part.len()).sum();
        let payload = if len > INLINE_BYTES_MAX {
            Payload::Chunked(ChunkedString::new(parts, ledger))
        } else {
            Payload::Bytes { parts, raw: true }
        };
        self.set(payload, self.expiry(), ledger);
        len
    }

    /// Replaces `remove` bytes at `at` of a small collection's block by `insert`, which lies elsewhere.
    pub(crate) fn splice_pack(&mut self, at: usize, remove: usize, insert: &[&[u8]], ledger: &mut Ledger) {
        let old = self.shape();
        assert!(
            (PACK_FIRST..=PACK_LAST).contains(&old.kind()) && at + remove <= old.value_len,
            "bytes {at}..{} of a block of {}",
            at + remove,
            old.value_len
        );
        let added = insert.iter().map(|part| part.len()).sum::<usize>();
        let new_len = old.value_len - remove + added;
        let new = Shape::new(old.kind(), old.has(EXPIRY), old.key_len, new_len);
        if old.fits(new) && self.is_alone() {
            // SAFETY: alone, and the block has room for the new length; `insert` comes from outside, since `self` is
            // borrowed mutably.
            unsafe {
                let value = self.at(old.value_at());
                let tail = old.value_len - at - remove;
                ptr::copy(value.add(at + remove), value.add(at + added), tail);
                let mut to = value.add(at);
                for part in insert {
                    ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
                    to = to.add(part.len());
                }
                self.write_header(new);
            }
            return;
        }
        let new = {
            let ValueRef::Pack(pack, bytes) = self.value() else {
                unreachable!("a small collection, as checked above")
            };
            let mut parts = Vec::with_capacity(insert.len() + 2);
            parts.push(&bytes[..at]);
            parts.extend_from_slice(insert);
            parts.push(&bytes[at + remove..]);
            let payload = Payload::Pack(pack, &parts);
            Self::new(self.tag(), self.key(), self.expiry(), self.clock(), payload, ledger)
        };
        mem::replace(self, new).leave(ledger);
    }

    /// The block of a small collection, to overwrite bytes of.
    pub(crate) fn pack_bytes_mut(&mut self, ledger: &mut Ledger) -> &mut [u8] {
        self.make_own(ledger);
        let shape = self.shape();
        assert!((PACK_FIRST..=PACK_LAST).contains(&shape.kind()), "a small collection");
        // SAFETY: `value_len` initialised bytes in a block that is ours alone, borrowed as long as `self`.
        unsafe { std::slice::from_raw_parts_mut(self.at(shape.value_at()), shape.value_len) }
    }

    /// Changes the object of the entry, which nobody else sees; the ledger learns what became of its bytes.
    pub(crate) fn object_mut<R>(&mut self, ledger: &mut Ledger, change: impl FnOnce(ObjectMut<'_>) -> R) -> R {
        assert!(self.shape().is_object(), "a large collection");
        self.make_own(ledger);
        // SAFETY: alone, and of a kind that has an object; what is made of its address is never dropped, not even by
        // a panic in `change`.
        let mut object = ManuallyDrop::new(unsafe { self.take_object() });
        let before = object.memory_bytes();
        let result = change(object.as_mut());
        let after = object.memory_bytes();
        if after >= before {
            ledger.add(after - before);
        } else {
            ledger.remove(before - after);
        }
        result
    }

    /// Makes the block one that nobody else holds.
    fn make_own(&mut self, ledger: &mut Ledger) {
        if !self.is_alone() {
            let key = self.key().to_vec();
            self.move_to(self.tag(), &key, self.expiry(), ledger);
        }
    }

    /// Changes a chunked value, in a block and a tree that nobody else holds.
    fn chunked_mut(&mut self, ledger: &mut Ledger, change: impl FnOnce(&mut ChunkedString, &mut Ledger)) {
        self.make_own(ledger);
        let at = self.at(self.shape().value_at()).cast::<*const ChunkedString>();
        // SAFETY: a chunked value came from `Arc::into_raw`. The reference is taken out of the block, which is ours
        // alone, and put back, changed or not.
        unsafe {
            let mut string = Arc::from_raw(at.read_unaligned());
            change(ChunkedString::make_mut(&mut string, ledger), ledger);
            at.write_unaligned(Arc::into_raw(string));
        }
    }
}
