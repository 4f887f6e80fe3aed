//! A key, its expiry and its value in one heap block.
//!
//! ```text
//!    0       1       2        3          4           7
//!   +-------+-------+--------+----------+-----------+---+
//!   | flags | count | key    | value    | access    | 0 |   count: tables that hold the entry (frozen views, and
//!   |       |       | length | length   | clock, 24 |   |   the live one); clock: the only byte changed while shared
//!   +-------+-------+--------+----------+-----------+---+
//!   | expiry, milliseconds since the epoch              |   only with EXPIRY
//!   +---------------------------------------------------+
//!   | key length, 32 bits    | value length, 32 bits    |   each only with LONG_KEY, LONG_VALUE
//!   +------------------------+--------------------------+
//!   | key …            | value …                        |   value: bytes, an integer (8) or a pointer (8)
//!   +------------------+--------------------------------+
//! ```
//!
//! The block's size follows from these lengths alone, rounded to what the allocator gives ([`block_bytes`]): a value
//! may change in place as long as its block stays of one size, and never sits in one that is too large for it.
//!
//! An [`Entry`] is the pointer to such a block, with 16 bits of the key's hash in the upper part of the address, and in
//! the lower part what it has of the count ([`crate::count`]).

mod edit;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::{self, ManuallyDrop};
use std::num::NonZero;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::Millis;

use crate::account::{Account, Ledger};
use crate::chunked::ChunkedString;
use crate::count::{Claim, Count8};
use crate::object::{Object, type_of_kind};
use crate::size::block_bytes;
use crate::value::{Encoding, INLINE_BYTES_MAX, Pack, Type, ValueRef};

/// Strings up to this length count as embedded, as the stock server has it.
const EMBSTR_BYTES_MAX: usize = 44;

const KIND: u8 = 0x0f;
const INT: u8 = 0;
const BYTES: u8 = 1;
const CHUNKED: u8 = 2;
/// Kinds of small collections, in the order of [`Pack`].
const PACK_FIRST: u8 = 3;
const PACK_LAST: u8 = 7;
/// Kinds from here on are those of [`Object`].
const OBJECT_FIRST: u8 = 8;
const EXPIRY: u8 = 0x10;
const RAW: u8 = 0x20;
const LONG_KEY: u8 = 0x40;
const LONG_VALUE: u8 = 0x80;

/// Lengths from this one on have a field of their own.
const LONG: usize = 255;
const CLOCK: u32 = 0x00ff_ffff;

/// The size of a cache line.
const LINE_BYTES: usize = 64;

/// So much of an entry is fetched ahead at most; reading what is longer goes on in order, which the processor sees.
const FETCHED_BYTES_MAX: usize = 512;

/// Where the address is in a pointer to a block: blocks are aligned to words.
pub(crate) const ADDRESS: usize = BELOW_UPPER & !7;
const BELOW_UPPER: usize = (1 << 48) - 1;
const _: () = assert!(ADDRESS & Claim::BITS == 0);

static ZEROS: [u8; INLINE_BYTES_MAX] = [0; INLINE_BYTES_MAX];

/// A value on its way into a block.
pub(crate) enum Payload<'a> {
    Int(i64),
    Bytes {
        parts: &'a [&'a [u8]],
        raw: bool,
    },
    Chunked(Arc<ChunkedString>),
    Pack(Pack, &'a [&'a [u8]]),
    /// Its bytes are in the ledger already.
    Object(Object),
}

impl Payload<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Int(_) => INT,
            Self::Bytes { raw: false, .. } => BYTES,
            Self::Bytes { raw: true, .. } => BYTES | RAW,
            Self::Chunked(_) => CHUNKED,
            Self::Pack(pack, _) => PACK_FIRST + *pack as u8,
            Self::Object(object) => object.kind(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Int(_) | Self::Chunked(_) | Self::Object(_) => 8,
            // Most often there is one part.
            Self::Bytes { parts: [part], .. } => part.len(),
            Self::Bytes { parts, .. } | Self::Pack(_, parts) => parts.iter().map(|part| part.len()).sum(),
        }
    }
}

/// What the header says about the rest of the block.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    flags: u8,
    key_len: usize,
    value_len: usize,
}

impl Shape {
    fn new(kind: u8, expires: bool, key_len: usize, value_len: usize) -> Self {
        let mut flags = kind;
        flags |= if expires { EXPIRY } else { 0 };
        flags |= if key_len >= LONG { LONG_KEY } else { 0 };
        flags |= if value_len >= LONG { LONG_VALUE } else { 0 };
        Self {
            flags,
            key_len,
            value_len,
        }
    }

    #[inline]
    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    fn kind(self) -> u8 {
        self.flags & KIND
    }

    /// Whether the value is a pointer to something that the block owns.
    #[inline]
    fn owns(self) -> bool {
        let kind = self.kind();
        kind == CHUNKED || kind >= OBJECT_FIRST
    }

    #[inline]
    fn is_object(self) -> bool {
        self.kind() >= OBJECT_FIRST
    }

    #[inline]
    fn long_key_at(self) -> usize {
        8 + if self.has(EXPIRY) { 8 } else { 0 }
    }

    #[inline]
    fn long_value_at(self) -> usize {
        self.long_key_at() + if self.has(LONG_KEY) { 4 } else { 0 }
    }

    #[inline]
    fn key_at(self) -> usize {
        self.long_value_at() + if self.has(LONG_VALUE) { 4 } else { 0 }
    }

    #[inline]
    fn value_at(self) -> usize {
        self.key_at() + self.key_len
    }

    #[inline]
    fn block_bytes(self) -> usize {
        block_bytes(self.value_at() + self.value_len)
    }

    fn layout(self) -> Layout {
        // A size that was allocated once is one that a layout can have.
        Layout::from_size_align(self.block_bytes(), 8).expect("the layout of an entry")
    }

    /// Whether a block of this shape can become one of `other` without moving its key.
    fn fits(self, other: Self) -> bool {
        self.key_at() == other.key_at()
            && self.key_len == other.key_len
            && (self.flags ^ other.flags) & (EXPIRY | LONG_VALUE) == 0
            && self.block_bytes() == other.block_bytes()
    }
}

/// A reference to an entry's block: one of as many as the block counts.
///
/// It does not give itself up when dropped; its table does that, which knows whose the bytes are.
#[repr(transparent)]
pub struct Entry(NonNull<u8>);

// SAFETY: a block is changed only through `&mut Entry` by a holder who is alone (`is_alone`), apart from its count and
// its clock, which are atomics; and it may be freed on any thread.
unsafe impl Send for Entry {}
// SAFETY: as above: `&Entry` gives reads, and stores to atomics.
unsafe impl Sync for Entry {}

impl Entry {
    /// The key.
    #[inline]
    #[must_use]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the block has `key_len` initialised bytes there, unchanged while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.at(shape.key_at()), shape.key_len) }
    }

    /// When the key expires, if it does.
    #[inline]
    #[must_use]
    pub fn expiry(&self) -> Option<Millis> {
        // SAFETY: with EXPIRY set, bytes 8 to 15 are an initialised i64, aligned as the block is.
        (self.flags() & EXPIRY != 0).then(|| Millis(unsafe { self.at(8).cast::<i64>().read() }))
    }

    /// The value.
    #[inline]
    #[must_use]
    pub fn value(&self) -> ValueRef<'_> {
        let shape = self.shape();
        let at = self.at(shape.value_at());
        match shape.kind() {
            // SAFETY: the value of this kind is eight initialised bytes.
            INT => ValueRef::Int(unsafe { at.cast::<i64>().read_unaligned() }),
            // SAFETY: `value_len` initialised bytes, unchanged while `self` is borrowed.
            BYTES => ValueRef::Bytes(unsafe { std::slice::from_raw_parts(at, shape.value_len) }),
            // SAFETY: the value of this kind came from `Arc::into_raw`, and the block holds that reference.
            CHUNKED => ValueRef::Chunked(unsafe { &*at.cast::<*const ChunkedString>().read_unaligned() }),
            kind @ PACK_FIRST..=PACK_LAST => {
                // SAFETY: `value_len` initialised bytes, unchanged while `self` is borrowed.
                let bytes = unsafe { std::slice::from_raw_parts(at, shape.value_len) };
                ValueRef::Pack(Pack::from_index(kind - PACK_FIRST), bytes)
            }
            // SAFETY: the value of such a kind is the address of an object that the block owns; it lives, and is not
            // changed, while `self` is borrowed.
            kind => unsafe { Object::view(kind, at.cast::<*const u8>().read_unaligned()) },
        }
    }

    /// The text of an entry without expiry, if it has eight bytes: what most often is asked of the members of a sorted set.
    #[inline]
    pub(crate) fn word(&self) -> Option<[u8; 8]> {
        let shape = self.shape();
        if shape.flags & !LONG_KEY != BYTES || shape.value_len != 8 {
            return None;
        }
        // SAFETY: a value of this kind and length is eight initialised bytes, unchanged while `self` is borrowed.
        Some(unsafe { self.at(shape.value_at()).cast::<[u8; 8]>().read() })
    }

    /// The type of the value.
    #[must_use]
    pub fn value_type(&self) -> Type {
        match self.flags() & KIND {
            INT | BYTES | CHUNKED => Type::String,
            kind @ PACK_FIRST..=PACK_LAST => Pack::from_index(kind - PACK_FIRST).value_type(),
            kind => type_of_kind(kind),
        }
    }

    /// How the value is stored.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        let shape = self.shape();
        match shape.kind() {
            INT => Encoding::Int,
            BYTES if !shape.has(RAW) && shape.value_len <= EMBSTR_BYTES_MAX => Encoding::Embstr,
            BYTES | CHUNKED => Encoding::Raw,
            _ => self.value().collection_encoding(),
        }
    }

    /// The access clock: 24 bits that mean what the eviction policy says.
    #[inline]
    #[must_use]
    pub fn clock(&self) -> u32 {
        self.clock_word().load(Ordering::Relaxed) & CLOCK
    }

    /// Sets the access clock; its upper eight bits are dropped.
    #[inline]
    pub fn touch(&self, clock: u32) {
        self.clock_word().store(clock & CLOCK, Ordering::Relaxed);
    }

    /// The memory of the entry, in bytes: its block, and all that a large value reaches.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.shape().block_bytes() + self.tree_bytes()
    }

    /// About how many heap blocks freeing it frees.
    #[must_use]
    pub fn blocks(&self) -> usize {
        match self.value() {
            ValueRef::Chunked(string) => 1 + string.blocks(),
            _ => 1 + self.with_object(Object::blocks).unwrap_or(0),
        }
    }

    /// Whether the value lies outside of the entry's own block.
    #[inline]
    pub(crate) fn owns(&self) -> bool {
        self.shape().owns()
    }

    fn tree_bytes(&self) -> usize {
        match self.value() {
            ValueRef::Chunked(string) => string.memory_bytes(),
            _ => self.with_object(Object::memory_bytes).unwrap_or(0),
        }
    }

    /// Looks at the object of the block, if it has one.
    fn with_object<R>(&self, look: impl FnOnce(&Object) -> R) -> Option<R> {
        let shape = self.shape();
        shape.is_object().then(|| {
            let address = self.at(shape.value_at()).cast::<*mut u8>();
            // SAFETY: the block owns the object, which nobody changes while `self` is borrowed; what is made of its
            // address is never dropped.
            let object = unsafe { ManuallyDrop::new(Object::from_raw(shape.kind(), address.read_unaligned())) };
            look(&object)
        })
    }

    /// Takes the object out of the block, which is the caller's to free or to fill.
    ///
    /// # Safety
    /// - The block is of a kind that has an object, and the caller is its only holder.
    /// - The value is not looked at again.
    unsafe fn take_object(&self) -> Object {
        let shape = self.shape();
        // SAFETY: as promised.
        unsafe {
            Object::from_raw(
                shape.kind(),
                self.at(shape.value_at()).cast::<*mut u8>().read_unaligned(),
            )
        }
    }

    #[inline]
    fn block(&self) -> *mut u8 {
        self.0.as_ptr().map_addr(|address| address & ADDRESS)
    }

    #[inline]
    fn at(&self, offset: usize) -> *mut u8 {
        self.block().wrapping_add(offset)
    }

    #[inline]
    fn flags(&self) -> u8 {
        // SAFETY: byte 0 of the block is initialised and does not change while `self` is borrowed.
        unsafe { self.block().read() }
    }

    fn count(&self) -> &Count8 {
        // SAFETY: byte 1 of the block is only ever accessed as this atomic after it was made.
        unsafe { &*self.at(1).cast::<Count8>() }
    }

    #[inline]
    fn clock_word(&self) -> &AtomicU32 {
        // SAFETY: bytes 4 to 7 are only ever accessed as this atomic after they were made, and are aligned to 4.
        unsafe { &*self.at(4).cast::<AtomicU32>() }
    }

    #[inline]
    fn shape(&self) -> Shape {
        let flags = self.flags();
        // SAFETY: bytes 2 and 3 are initialised and do not change while `self` is borrowed.
        let (key_len, value_len) = unsafe { (self.at(2).read(), self.at(3).read()) };
        let mut shape = Shape {
            flags,
            key_len: usize::from(key_len),
            value_len: usize::from(value_len),
        };
        if flags & (LONG_KEY | LONG_VALUE) != 0 {
            let (long_key_at, long_value_at) = (shape.long_key_at(), shape.long_value_at());
            if shape.has(LONG_KEY) {
                // SAFETY: with LONG_KEY set there is an initialised, aligned u32 there.
                shape.key_len = unsafe { self.at(long_key_at).cast::<u32>().read() } as usize;
            }
            if shape.has(LONG_VALUE) {
                // SAFETY: with LONG_VALUE set there is an initialised, aligned u32 there.
                shape.value_len = unsafe { self.at(long_value_at).cast::<u32>().read() } as usize;
            }
        }
        shape
    }

    /// The bits of the key's hash that travel in the pointer.
    #[inline]
    pub(crate) fn tag(&self) -> u16 {
        upper(self.0)
    }

    /// The same reference with other bits of the hash.
    #[inline]
    pub(crate) fn with_tag(self, tag: u16) -> Self {
        Self(with_upper(self.0, tag))
    }

    /// Asks the processor for the block's first cache line.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self.block());
    }

    /// Asks the processor for an entry that is likely short, but may lie across two cache lines.
    #[inline]
    pub(crate) fn prefetch_short(&self) {
        prefetch(self.block());
        prefetch(self.at(LINE_BYTES / 2));
    }

    /// Asks the processor for the header, the key and the beginning of the value: two cache lines, and where the block lies
    /// so that a value of 64 bytes behind a key of 16 ends in a third one, that too.
    #[inline]
    pub(crate) fn prefetch_whole(&self) {
        const ORDINARY_BYTES: usize = 8 + 16 + 64;
        prefetch(self.block());
        prefetch(self.at(LINE_BYTES));
        prefetch(self.at(ORDINARY_BYTES - 8));
    }

    /// Asks the processor for what follows the first cache line, which must be near: this looks into it.
    #[inline]
    pub(crate) fn prefetch_rest(&self) {
        let bytes = self.shape().block_bytes().min(FETCHED_BYTES_MAX);
        for offset in (LINE_BYTES..bytes).step_by(LINE_BYTES) {
            prefetch(self.at(offset));
        }
    }

    /// Whether the block is at this address, whatever stands above it.
    #[inline]
    pub(crate) fn is_at(&self, address: NonNull<u8>) -> bool {
        (self.0.addr().get() ^ address.addr().get()) & ADDRESS == 0
    }

    /// The reference as a pointer, which is not counted.
    pub(crate) fn as_raw(&self) -> NonNull<u8> {
        self.0
    }

    /// The reference that such a pointer stands for.
    ///
    /// # Safety
    /// - The pointer came from [`Self::as_raw`], and the block is held, and not replaced or changed by its holder, as
    ///   long as the result is used.
    pub(crate) unsafe fn from_raw_ref(raw: &NonNull<u8>) -> &Self {
        // SAFETY: an entry is transparent around this pointer.
        unsafe { &*ptr::from_ref(raw).cast() }
    }

    #[inline]
    pub(crate) fn claim(&self) -> Claim {
        Claim::of(self.0.addr().get())
    }

    /// The reference with another claim.
    fn with_claim(&self, claim: Claim) -> Self {
        // SAFETY: blocks are aligned and not at address 0, so something is left without the lowest bits.
        let without = |address: NonZero<usize>| unsafe { NonZero::new_unchecked(address.get() & !Claim::BITS) };
        Self(self.0.map_addr(|address| without(address) | claim.bits()))
    }

    /// Whether this is the only reference to the block.
    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.count().is_alone(self.claim())
    }

    /// One more reference.
    pub(crate) fn share(&self) -> Self {
        self.count().increment();
        self.with_claim(self.claim().counted())
    }

    /// One more reference, and the very same claim: the other holder's is a whole one then.
    pub(crate) fn share_half(&self) -> Self {
        self.count().increment();
        Self(self.0)
    }

    /// The reference of another holder that this one has the block together with from now on, with half a claim each. This
    /// one's is to be taken for what [`Claim::halved`] says.
    pub(crate) fn halve(&self) -> Self {
        self.with_claim(self.claim().halved())
    }

    /// The reference, its claim taken for a whole one beside others.
    pub(crate) fn counted(self) -> Self {
        self.with_claim(self.claim().counted())
    }

    /// A new block, entered in `ledger`.
    pub(crate) fn new(
        tag: u16,
        key: &[u8],
        expiry: Option<Millis>,
        clock: u32,
        payload: Payload<'_>,
        ledger: &mut Ledger,
    ) -> Self {
        assert!(u32::try_from(key.len()).is_ok(), "a key of {} bytes", key.len());
        let shape = Shape::new(payload.kind(), expiry.is_some(), key.len(), payload.len());
        let layout = shape.layout();
        // SAFETY: the layout's size is not 0.
        let block = unsafe { alloc(layout) };
        let Some(block) = NonNull::new(block) else {
            handle_alloc_error(layout)
        };
        assert!(block.addr().get() & !ADDRESS == 0, "an address of more than 48 bits");
        ledger.add(layout.size());

        let mut entry = Self(block);
        // SAFETY: the block is ours alone and has room for all that `shape` speaks of.
        unsafe {
            entry.at(1).cast::<Count8>().write(Count8::one());
            entry.at(4).cast::<AtomicU32>().write(AtomicU32::new(clock & CLOCK));
            entry.write_header(shape);
            if let Some(expiry) = expiry {
                entry.at(8).cast::<i64>().write(expiry.0);
            }
            ptr::copy_nonoverlapping(key.as_ptr(), entry.at(shape.key_at()), key.len());
            entry.write_value(shape, payload);
        }
        Self(entry.0.map_addr(|address| address | usize::from(tag) << 48))
    }

    /// Writes flags and lengths.
    ///
    /// # Safety
    /// - The caller is the block's only holder.
    /// - The block is at least of `shape`'s size.
    unsafe fn write_header(&mut self, shape: Shape) {
        let short = |len: usize| len.min(LONG) as u8;
        // SAFETY: all offsets are within a block of this shape, aligned as their types need.
        unsafe {
            self.at(0).write(shape.flags);
            self.at(2).write(short(shape.key_len));
            self.at(3).write(short(shape.value_len));
            if shape.has(LONG_KEY) {
                self.at(shape.long_key_at()).cast::<u32>().write(shape.key_len as u32);
            }
            if shape.has(LONG_VALUE) {
                self.at(shape.long_value_at())
                    .cast::<u32>()
                    .write(shape.value_len as u32);
            }
        }
    }

    /// Writes the value, without regard for the one that was there.
    ///
    /// # Safety
    /// - The caller is the block's only holder.
    /// - The block is at least of `shape`'s size, and `shape` is that of `payload`.
    /// - No part of `payload` lies in the block.
    unsafe fn write_value(&mut self, shape: Shape, payload: Payload<'_>) {
        let mut at = self.at(shape.value_at());
        // SAFETY: the payload's length is the shape's, for which there is room; sources lie elsewhere.
        unsafe {
            match payload {
                Payload::Int(number) => at.cast::<i64>().write_unaligned(number),
                Payload::Chunked(string) => at.cast::<*const ChunkedString>().write_unaligned(Arc::into_raw(string)),
                Payload::Object(object) => at.cast::<*mut u8>().write_unaligned(object.into_raw()),
                Payload::Bytes { parts: [part], .. } => ptr::copy_nonoverlapping(part.as_ptr(), at, part.len()),
                Payload::Bytes { parts, .. } | Payload::Pack(_, parts) => {
                    for part in parts {
                        ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                        at = at.add(part.len());
                    }
                }
            }
        }
    }

    /// Gives the entry another value and expiry: in its block if nobody else holds it and it fits, else in a new one.
    pub(crate) fn set(&mut self, payload: Payload<'_>, expiry: Option<Millis>, ledger: &mut Ledger) {
        let old = self.shape();
        let new = Shape::new(payload.kind(), expiry.is_some(), old.key_len, payload.len());
        if old.fits(new) && !old.owns() && self.is_alone() {
            // SAFETY: alone, as just checked; the block is of the new shape's size too, with the key in place; the
            // payload was handed in from outside the block, since `self` is borrowed mutably.
            unsafe {
                self.write_header(new);
                if let Some(expiry) = expiry {
                    self.at(8).cast::<i64>().write(expiry.0);
                }
                self.write_value(new, payload);
            }
            return;
        }
        let new = Self::new(self.tag(), self.key(), expiry, self.clock(), payload, ledger);
        mem::replace(self, new).leave(ledger);
    }

    /// Gives an entry without expiry another text: most often one of the same length, in its place.
    pub(crate) fn set_text(&mut self, text: &[u8], ledger: &mut Ledger) {
        let old = self.shape();
        if old.flags == BYTES && old.value_len == text.len() && self.is_alone() {
            // SAFETY: alone, as just checked; the block has a value of this length, and `text` was handed in from outside
            // the block, since `self` is borrowed mutably.
            unsafe { ptr::copy_nonoverlapping(text.as_ptr(), self.at(old.value_at()), text.len()) };
            return;
        }
        let parts = &[text];
        self.set(Payload::Bytes { parts, raw: false }, None, ledger);
    }

    /// Gives the entry another expiry.
    pub(crate) fn set_expiry(&mut self, expiry: Option<Millis>, ledger: &mut Ledger) {
        match expiry {
            Some(expiry) if self.flags() & EXPIRY != 0 && self.is_alone() => {
                // SAFETY: alone, and with EXPIRY set bytes 8 to 15 are an aligned i64.
                unsafe { self.at(8).cast::<i64>().write(expiry.0) };
            }
            None if self.flags() & EXPIRY == 0 => {}
            _ => {
                let key = self.key().as_ptr();
                let key_len = self.key().len();
                // SAFETY: the key lies in the old block, which lives until the new one is made from it.
                let key = unsafe { std::slice::from_raw_parts(key, key_len) };
                self.move_to(self.tag(), key, expiry, ledger);
            }
        }
    }

    /// Puts the value under another key, or expiry, in a new block.
    pub(crate) fn move_to(&mut self, tag: u16, key: &[u8], expiry: Option<Millis>, ledger: &mut Ledger) {
        let alone = self.is_alone();
        let new = match self.value() {
            ValueRef::Int(number) => Self::new(tag, key, expiry, self.clock(), Payload::Int(number), ledger),
            ValueRef::Bytes(bytes) => {
                let raw = self.flags() & RAW != 0;
                Self::new(
                    tag,
                    key,
                    expiry,
                    self.clock(),
                    Payload::Bytes { parts: &[bytes], raw },
                    ledger,
                )
            }
            ValueRef::Chunked(string) => {
                // SAFETY: the pointer came from `Arc::into_raw`; the reference that the block holds moves to the new
                // block if the old one is freed below without giving it up (alone), and is doubled otherwise.
                let string = unsafe {
                    if !alone {
                        Arc::increment_strong_count(string);
                    }
                    Arc::from_raw(string)
                };
                Self::new(tag, key, expiry, self.clock(), Payload::Chunked(string), ledger)
            }
            ValueRef::Pack(pack, bytes) => {
                Self::new(tag, key, expiry, self.clock(), Payload::Pack(pack, &[bytes]), ledger)
            }
            _ => {
                let object = if alone {
                    // SAFETY: alone, and the old block is freed below without another look at its value.
                    unsafe { self.take_object() }
                } else {
                    // All other kinds are those of objects. The nodes stay the ledger's, through the fork.
                    let (fork, root_bytes) = self
                        .with_object(|object| (object.fork(), object.root_bytes()))
                        .expect("an object in an entry of its kind");
                    ledger.add(root_bytes);
                    ledger.leave_to_frozen(root_bytes);
                    fork
                };
                Self::new(tag, key, expiry, self.clock(), Payload::Object(object), ledger)
            }
        };
        let old = mem::replace(self, new);
        let shape = old.shape();
        if alone {
            ledger.remove(shape.block_bytes());
            // SAFETY: `old` was the only reference, and a chunked value has moved on.
            unsafe { dealloc(old.block(), shape.layout()) };
        } else {
            ledger.leave_to_frozen(shape.block_bytes());
            old.release(ledger.account());
        }
    }

    /// A copy that shares nothing.
    pub(crate) fn duplicate(&self, ledger: &mut Ledger) -> Self {
        let raw = self.flags() & RAW != 0;
        let parts;
        let payload = match self.value() {
            ValueRef::Int(number) => Payload::Int(number),
            ValueRef::Bytes(bytes) => {
                parts = [bytes];
                Payload::Bytes { parts: &parts, raw }
            }
            ValueRef::Chunked(string) => Payload::Chunked(string.duplicate(ledger)),
            ValueRef::Pack(pack, bytes) => {
                parts = [bytes];
                Payload::Pack(pack, &parts)
            }
            _ => {
                let object = self
                    .with_object(|object| object.deep_copy(ledger.account()))
                    .expect("an object in an entry of its kind");
                ledger.add(object.memory_bytes());
                Payload::Object(object)
            }
        };
        Self::new(self.tag(), self.key(), self.expiry(), self.clock(), payload, ledger)
    }

    /// The owner gives its reference up.
    pub(crate) fn leave(self, ledger: &mut Ledger) {
        let shape = self.shape();
        if !self.is_alone() {
            ledger.leave_to_frozen(self.memory_bytes());
            self.release(ledger.account());
            return;
        }
        if let Some(string) = self.chunked() {
            ChunkedString::leave(string, ledger);
        } else if shape.is_object() {
            // SAFETY: alone, and the block is freed below.
            unsafe { self.take_object() }.leave(ledger);
        }
        ledger.remove(shape.block_bytes());
        // SAFETY: `self` was the only reference and is gone now; a chunked value was given up above.
        unsafe { dealloc(self.block(), shape.layout()) };
    }

    /// A frozen view gives its reference up.
    pub(crate) fn release(self, account: &Account) {
        if !self.count().give_up(self.claim()) {
            return;
        }
        let shape = self.shape();
        if let Some(string) = self.chunked() {
            ChunkedString::release(string, account);
        } else if shape.is_object() {
            // SAFETY: the count says that `self` was the last reference; the block is freed below.
            unsafe { self.take_object() }.release(account);
        }
        account.freed(shape.block_bytes());
        // SAFETY: the count says that `self` was the last reference; a chunked value was given up above.
        unsafe { dealloc(self.block(), shape.layout()) };
    }

    /// The reference to the tree of a chunked value, to be given up by the last holder of the block.
    fn chunked(&self) -> Option<Arc<ChunkedString>> {
        match self.value() {
            // SAFETY: the pointer came from `Arc::into_raw`, and the caller frees the block without using it again.
            ValueRef::Chunked(string) => Some(unsafe { Arc::from_raw(string) }),
            _ => None,
        }
    }
}

#[cfg(test)]
impl Entry {
    pub(crate) fn count_word(&self) -> u8 {
        self.count().word()
    }

    /// Address and size of every block of the entry.
    pub(crate) fn for_each_block(&self, each: &mut dyn FnMut(usize, usize)) {
        each(self.block().addr(), self.shape().block_bytes());
        if let ValueRef::Chunked(string) = self.value() {
            string.for_each_block(each);
        }
        self.with_object(|object| match object {
            Object::Zset(zset) => {
                each(std::ptr::from_ref(&**zset).addr(), object.root_bytes());
                zset.for_each_block(each);
            }
            Object::Set(table) | Object::Hash(table) => {
                each(std::ptr::from_ref(&**table).addr(), object.root_bytes());
                table.for_each_block(each);
            }
            Object::Stream(stream) => {
                // Its blocks are counted in its own tests.
                each(std::ptr::from_ref(&**stream).addr(), object.memory_bytes());
            }
            Object::List(list) => each(std::ptr::from_ref(&**list).addr(), object.memory_bytes()),
        });
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("value", &self.value())
            .field("expiry", &self.expiry())
            .finish()
    }
}

/// The 16 bits above an address.
#[inline]
pub(crate) fn upper(raw: NonNull<u8>) -> u16 {
    (raw.addr().get() >> 48) as u16
}

/// The same address and claim with other bits above them.
#[inline]
pub(crate) fn with_upper(raw: NonNull<u8>, bits: u16) -> NonNull<u8> {
    // Blocks are not at address 0.
    raw.map_addr(|address| NonZero::new(address.get() & BELOW_UPPER).expect("an address") | usize::from(bits) << 48)
}

/// Asks the processor to bring the cache line at `address` near; any address will do.
#[inline]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of whatever address changes nothing that a program sees.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
