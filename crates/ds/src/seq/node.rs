//! The nodes of a sequence.
//!
//! ```text
//!   leaf     +-------------------------+--------+--------+-----+
//!            | count, level 0, len,    | item 0 | item 1 | ... |
//!            | capacity, scale         |        |        |     |
//!            +-------------------------+--------+--------+-----+
//!   inner    +-------------------------+-------------+-------------+-------------+-------------+
//!            | count, level, len,      | sort key of | child       | items below | weight      |   columns of
//!            | capacity                | its first … | pointers …  | child …     | of child …  |   `capacity` words
//!            +-------------------------+-------------+-------------+-------------+-------------+
//! ```
//!
//! There is a column of weights only where items [have some](Item::WEIGHED).
//!
//! Items that are [marked](Item::MARKED) carry their sort key, rounded to the [`Scale`] of their leaf.
//!
//! Moving elements between nodes and within them is the same for both kinds: a move of bytes in every column.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::Item;
use super::scale::Scale;
use crate::account::{Account, Ledger};
use crate::count::Count32;

/// The most items of a leaf, and children of an inner node.
pub(super) const LEN_MAX: usize = 62;

/// Nodes with less are evened out with a neighbour.
pub(super) const LEN_MIN: usize = LEN_MAX / 4;

const KEYS: usize = 0;
pub(super) const CHILDREN: usize = 1;
pub(super) const ITEMS: usize = 2;
const WEIGHTS: usize = 3;

#[repr(C, align(8))]
struct Header {
    count: Count32,
    level: u8,
    len: u8,
    capacity: u8,
    /// With `base` the scale of the marks of a leaf.
    shift: u8,
    base: u64,
}

pub(super) const HEADER_BYTES: usize = size_of::<Header>();
const _: () = assert!(HEADER_BYTES == 16);

/// A node in memory: a pointer without a count of its own.
///
/// All functions rely on one promise, made where a node is taken from its parent or a root: the node lives as long as
/// this is used. Those that change it are unsafe in addition: the caller must be its only holder.
pub(super) struct Node<T> {
    header: NonNull<Header>,
    of: PhantomData<*const T>,
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Node<T> {}

impl<T> PartialEq for Node<T> {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

/// What a parent knows of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) items: u64,
    pub(super) weight: u64,
    /// Of the first item below.
    pub(super) key: u64,
}

/// The columns of inner nodes.
const fn columns<T: Item>() -> usize {
    if T::WEIGHED { WEIGHTS + 1 } else { WEIGHTS }
}

fn element_bytes<T: Item>(level: u8) -> usize {
    if level == 0 { size_of::<T>() } else { columns::<T>() * 8 }
}

/// The capacity that a block with room for `len` elements and some more has.
fn capacity_for<T: Item>(level: u8, len: usize) -> usize {
    let bytes = crate::size::growing_bytes(HEADER_BYTES + len * element_bytes::<T>(level));
    ((bytes - HEADER_BYTES) / element_bytes::<T>(level)).min(LEN_MAX)
}

fn layout<T: Item>(level: u8, capacity: usize) -> Layout {
    let bytes = crate::size::growing_bytes(HEADER_BYTES + capacity * element_bytes::<T>(level));
    // At most 63 elements, whose size the compiler accepted.
    Layout::from_size_align(bytes, 8).expect("the layout of a node")
}

impl<T: Item> Node<T> {
    const CHECKED: () = assert!(
        size_of::<T>() > 0 && align_of::<T>() <= 8,
        "items of up to word alignment"
    );

    /// An empty node with one holder and room for at least `len` elements.
    pub(super) fn new(level: u8, len: usize, ledger: &mut Ledger) -> Self {
        const { Self::CHECKED };
        let capacity = capacity_for::<T>(level, len.clamp(1, LEN_MAX));
        let layout = layout::<T>(level, capacity);
        // SAFETY: the size is not 0.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        ledger.add(layout.size());
        let header = block.cast::<Header>();
        // SAFETY: the block has room for the header.
        unsafe {
            header.write(Header {
                count: Count32::one(),
                level,
                len: 0,
                capacity: capacity as u8,
                shift: Scale::UNKNOWN.shift,
                base: Scale::UNKNOWN.base,
            });
        }
        Self {
            header,
            of: PhantomData,
        }
    }

    #[inline]
    fn scale(self) -> Scale {
        let header = self.header();
        Scale {
            base: header.base,
            shift: header.shift,
        }
    }

    /// # Safety
    /// - The caller is the only holder, and gives all items marks on this scale.
    unsafe fn set_scale(self, scale: Scale) {
        // SAFETY: as promised; the fields are never accessed as anything else.
        unsafe {
            (*self.header.as_ptr()).base = scale.base;
            (*self.header.as_ptr()).shift = scale.shift;
        }
    }

    /// The mark that an item with this sort key has, or would have, in this leaf.
    #[inline]
    pub(super) fn mark(self, key: u64) -> u16 {
        self.scale().mark(key)
    }

    /// Chooses another scale where many neighbours have the same mark and that changes it.
    ///
    /// # Safety
    /// - The caller is the only holder.
    unsafe fn refine(self) {
        if !T::MARKED || !self.is_leaf() {
            return;
        }
        let items = self.items();
        let equal = items.windows(2).filter(|pair| pair[0].mark() == pair[1].mark()).count();
        if equal <= items.len() / 8 {
            return;
        }
        let (Some(first), Some(last)) = (items.first(), items.last()) else {
            return;
        };
        let scale = Scale::around(first.sort_key(), last.sort_key());
        if scale == self.scale() {
            return;
        }
        // SAFETY: as promised; all items get their marks just below.
        unsafe {
            self.set_scale(scale);
            self.remark(0, self.len());
        }
    }

    /// Gives the items from `from` up to `to` their marks on the leaf's scale.
    ///
    /// # Safety
    /// - The caller is the only holder.
    unsafe fn remark(self, from: usize, to: usize) {
        if !T::MARKED || !self.is_leaf() {
            return;
        }
        let scale = self.scale();
        // SAFETY: as promised; the reference ends with this function.
        let items = unsafe { &mut self.items_mut()[from..to] };
        items.iter().for_each(Item::prefetch);
        for item in items {
            item.set_mark(scale.mark(item.sort_key()));
        }
    }

    fn header<'a>(self) -> &'a Header {
        // SAFETY: the node lives.
        unsafe { self.header.as_ref() }
    }

    pub(super) fn count<'a>(self) -> &'a Count32 {
        &self.header().count
    }

    #[inline]
    pub(super) fn level(self) -> u8 {
        self.header().level
    }

    #[inline]
    pub(super) fn is_leaf(self) -> bool {
        self.level() == 0
    }

    #[inline]
    pub(super) fn len(self) -> usize {
        usize::from(self.header().len)
    }

    #[inline]
    fn capacity(self) -> usize {
        usize::from(self.header().capacity)
    }

    pub(super) fn is_full(self) -> bool {
        self.len() == LEN_MAX
    }

    #[inline]
    pub(super) fn has_room(self) -> bool {
        self.len() < self.capacity()
    }

    pub(super) fn address(self) -> *mut u8 {
        self.header.as_ptr().cast()
    }

    pub(super) fn block_bytes(self) -> usize {
        layout::<T>(self.level(), self.capacity()).size()
    }

    fn elements_at(self) -> *mut u8 {
        self.header.as_ptr().wrapping_add(1).cast()
    }

    /// The items of a leaf.
    #[inline]
    pub(super) fn items<'a>(self) -> &'a [T] {
        assert!(self.is_leaf(), "the items of an inner node");
        // SAFETY: a living leaf has `len` initialised items there; whoever may change them (the only holder, through a
        // `&mut Seq`) keeps no such reference.
        unsafe { std::slice::from_raw_parts(self.elements_at().cast(), self.len()) }
    }

    /// The items of a leaf, to change.
    ///
    /// # Safety
    /// - The caller is the only holder, and uses no other reference to them meanwhile.
    pub(super) unsafe fn items_mut<'a>(self) -> &'a mut [T] {
        assert!(self.is_leaf(), "the items of an inner node");
        // SAFETY: as above, and as promised.
        unsafe { std::slice::from_raw_parts_mut(self.elements_at().cast(), self.len()) }
    }

    #[inline]
    pub(super) fn column_at(self, column: usize) -> *mut u64 {
        self.elements_at().cast::<u64>().wrapping_add(column * self.capacity())
    }

    #[inline]
    fn column<'a>(self, column: usize) -> &'a [u64] {
        assert!(!self.is_leaf(), "the children of a leaf");
        // SAFETY: a living inner node has `len` initialised words in each column; as for `items`.
        unsafe { std::slice::from_raw_parts(self.column_at(column), self.len()) }
    }

    /// The numbers of items below the children.
    #[inline]
    pub(super) fn items_below<'a>(self) -> &'a [u64] {
        self.column(ITEMS)
    }

    /// The weights of the children.
    #[inline]
    pub(super) fn weights<'a>(self) -> &'a [u64] {
        self.column(if T::WEIGHED { WEIGHTS } else { ITEMS })
    }

    /// The sort keys of the first items below the children.
    #[inline]
    pub(super) fn keys<'a>(self) -> &'a [u64] {
        self.column(KEYS)
    }

    /// A child, which lives at least as long as this node is held and unchanged.
    #[inline]
    pub(super) fn child(self, index: usize) -> Self {
        assert!(!self.is_leaf() && index < self.len(), "child {index} of {}", self.len());
        // SAFETY: the column of pointers has `len` pointers to nodes that this node holds.
        let header = unsafe { self.column_at(CHILDREN).cast::<NonNull<Header>>().add(index).read() };
        Self {
            header,
            of: PhantomData,
        }
    }

    pub(super) fn children(self) -> impl Iterator<Item = Self> {
        (0..self.len()).map(move |index| self.child(index))
    }

    /// Exchanges the pointer to a child.
    ///
    /// # Safety
    /// - The caller is the only holder.
    /// - The reference to `child` goes into the node; that to the child that was there is the caller's now.
    pub(super) unsafe fn set_child(self, index: usize, child: Self) {
        assert!(!self.is_leaf() && index < self.len(), "child {index} of {}", self.len());
        // SAFETY: as promised; in bounds.
        unsafe {
            self.column_at(CHILDREN)
                .cast::<NonNull<Header>>()
                .add(index)
                .write(child.header)
        };
    }

    /// Writes what is known of a child.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn set_sum(self, index: usize, sum: Sum) {
        assert!(!self.is_leaf() && index < self.len(), "child {index} of {}", self.len());
        // SAFETY: as promised; in bounds.
        unsafe {
            self.column_at(ITEMS).add(index).write(sum.items);
            if T::WEIGHED {
                self.column_at(WEIGHTS).add(index).write(sum.weight);
            }
            self.column_at(KEYS).add(index).write(sum.key);
        }
    }

    /// Adds to what is known of a child.
    ///
    /// # Safety
    /// - The caller is the only holder.
    #[inline]
    pub(super) unsafe fn change_sum(self, index: usize, items: i64, weight: i64) {
        assert!(!self.is_leaf() && index < self.len(), "child {index} of {}", self.len());
        // SAFETY: as promised; in bounds.
        unsafe {
            let below = self.column_at(ITEMS).add(index);
            below.write(below.read().wrapping_add_signed(items));
            if T::WEIGHED {
                let weights = self.column_at(WEIGHTS).add(index);
                weights.write(weights.read().wrapping_add_signed(weight));
            }
        }
    }

    /// Takes note of another first sort key below a child.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn set_key(self, index: usize, key: u64) {
        assert!(!self.is_leaf() && index < self.len(), "child {index} of {}", self.len());
        // SAFETY: as promised; in bounds.
        unsafe { self.column_at(KEYS).add(index).write(key) };
    }

    /// What a parent should know of this node.
    pub(super) fn sum(self) -> Sum {
        if self.is_leaf() {
            let items = self.items();
            Sum {
                items: items.len() as u64,
                weight: weight_of(items),
                key: items.first().map_or(0, Item::sort_key),
            }
        } else {
            Sum {
                items: self.items_below().iter().sum(),
                weight: self.weights().iter().sum(),
                key: self.keys().first().copied().unwrap_or(0),
            }
        }
    }

    /// What the parent knows of a child.
    pub(super) fn sum_of(self, index: usize) -> Sum {
        Sum {
            items: self.items_below()[index],
            weight: self.weights()[index],
            key: self.keys()[index],
        }
    }

    /// The sort key of the first item below.
    pub(super) fn first_key(self) -> u64 {
        if self.is_leaf() {
            self.items().first().map_or(0, Item::sort_key)
        } else {
            self.keys().first().copied().unwrap_or(0)
        }
    }

    /// Start and element size of each column.
    fn columns(self) -> impl Iterator<Item = (*mut u8, usize)> {
        let (columns, bytes) = if self.is_leaf() {
            (1, size_of::<T>())
        } else {
            (columns::<T>(), 8)
        };
        let step = self.capacity() * bytes;
        (0..columns).map(move |column| (self.elements_at().wrapping_add(column * step), bytes))
    }

    /// # Safety
    /// - The caller is the only holder, and the first `len` elements are initialised.
    unsafe fn set_len(self, len: usize) {
        assert!(
            len <= self.capacity(),
            "{len} elements in a node for {}",
            self.capacity()
        );
        // SAFETY: as promised; the field is never accessed as anything else.
        unsafe { (*self.header.as_ptr()).len = len as u8 };
    }

    /// Copies elements into another node of the same level, over what is there.
    ///
    /// # Safety
    /// - The caller is the only holder of `to`, which is another node; the elements are not used twice.
    unsafe fn copy(self, from: usize, len: usize, to: Self, at: usize) {
        assert!(self.level() == to.level() && from + len <= self.len() && at + len <= to.capacity());
        for ((source, bytes), (target, _)) in self.columns().zip(to.columns()) {
            // SAFETY: within the columns, as asserted; two nodes do not overlap.
            unsafe { ptr::copy_nonoverlapping(source.add(from * bytes), target.add(at * bytes), len * bytes) };
        }
    }

    /// Moves the elements from `from` on to `at`, within the node. Does not change the length.
    ///
    /// # Safety
    /// - The caller is the only holder, and sets the length to what is then initialised.
    unsafe fn shift(self, from: usize, at: usize) {
        let len = self.len() - from;
        assert!(at + len <= self.capacity());
        for (column, bytes) in self.columns() {
            // SAFETY: within the column, as asserted.
            unsafe { ptr::copy(column.add(from * bytes), column.add(at * bytes), len * bytes) };
        }
    }

    /// The same elements in a block of another size; the old one is gone.
    ///
    /// # Safety
    /// - The caller is the only holder, and does not use the node again.
    unsafe fn resize(self, len: usize, ledger: &mut Ledger) -> Self {
        let resized = Self::new(self.level(), len.max(self.len()), ledger);
        // SAFETY: as promised; the elements move, since the old node is freed without looking at them.
        unsafe {
            self.copy(0, self.len(), resized, 0);
            resized.set_len(self.len());
            resized.set_scale(self.scale());
            self.free(ledger);
        }
        resized
    }

    /// Makes room for one more element where there is none.
    ///
    /// # Safety
    /// - The caller is the only holder, uses only the result from then on, and there are less than [`LEN_MAX`].
    pub(super) unsafe fn reserve(self, ledger: &mut Ledger) -> Self {
        if self.len() < self.capacity() {
            return self;
        }
        let len = self.len() + 1 + self.len() / 8;
        // SAFETY: as promised.
        unsafe {
            let resized = self.resize(len.min(LEN_MAX), ledger);
            resized.refine();
            resized
        }
    }

    /// Gives room back of which there is much.
    ///
    /// # Safety
    /// - The caller is the only holder, and uses only the result from then on.
    pub(super) unsafe fn fit(self, ledger: &mut Ledger) -> Self {
        if !self.would_shrink(self.len()) {
            return self;
        }
        // SAFETY: as promised.
        unsafe { self.resize(self.wanted(self.len()), ledger) }
    }

    /// The capacity that a node of so many elements should have at most.
    fn wanted(self, len: usize) -> usize {
        capacity_for::<T>(self.level(), (len + 1 + len / 8).min(LEN_MAX))
    }

    /// Whether a node of this capacity has much room to give back where there are so many elements.
    pub(super) fn would_shrink(self, len: usize) -> bool {
        self.wanted(len) < self.capacity()
    }

    /// Puts an item into a leaf that has room.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn insert_item(self, index: usize, item: T) {
        assert!(self.is_leaf() && index <= self.len());
        let mut item = item;
        // SAFETY: as promised; `shift` asserts that there is room, and leaves a gap that is then filled.
        unsafe {
            if T::MARKED {
                let key = item.sort_key();
                if self.len() == 0 {
                    self.set_scale(self.scale().at(key));
                }
                item.set_mark(self.mark(key));
            }
            self.shift(index, index + 1);
            self.elements_at().cast::<T>().add(index).write(item);
            self.set_len(self.len() + 1);
        }
    }

    /// Puts `item` in so that it stands at `to`, in place of the one at `from`, which is not given back.
    ///
    /// # Safety
    /// - The caller is the only holder, and items need no giving up.
    pub(super) unsafe fn turn_item(self, from: usize, to: usize, item: T) {
        assert!(self.is_leaf() && from < self.len() && to < self.len());
        let mut item = item;
        if T::MARKED {
            item.set_mark(self.mark(item.sort_key()));
        }
        let items = self.elements_at().cast::<T>();
        // SAFETY: as promised; within the items, as asserted, of which those between the two places move by one.
        unsafe {
            if to > from {
                ptr::copy(items.add(from + 1), items.add(from), to - from);
            } else {
                ptr::copy(items.add(to), items.add(to + 1), from - to);
            }
            items.add(to).write(item);
        }
    }

    /// Takes an item out of a leaf.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn remove_item(self, index: usize) -> T {
        assert!(self.is_leaf() && index < self.len());
        // SAFETY: as promised; the item is moved out before its place is taken.
        unsafe {
            let item = self.elements_at().cast::<T>().add(index).read();
            self.shift(index + 1, index);
            self.set_len(self.len() - 1);
            item
        }
    }

    /// Puts a child, the reference to which goes into the node, into an inner node that has room.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn insert_child(self, index: usize, child: Self) {
        assert!(child.level() + 1 == self.level() && index <= self.len());
        // SAFETY: as promised; `shift` asserts that there is room, and leaves a gap that is then filled.
        unsafe {
            self.shift(index, index + 1);
            self.set_len(self.len() + 1);
            self.set_child(index, child);
            self.set_sum(index, child.sum());
        }
    }

    /// Takes a child out; the reference is the caller's.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn remove_child(self, index: usize) -> Self {
        let child = self.child(index);
        // SAFETY: as promised.
        unsafe {
            self.shift(index + 1, index);
            self.set_len(self.len() - 1);
        }
        child
    }

    /// A new node with the elements from `at` on, which are no longer in this one.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn split_off(self, at: usize, ledger: &mut Ledger) -> Self {
        let len = self.len() - at;
        let right = Self::new(self.level(), len + 1 + len / 8, ledger);
        // SAFETY: as promised; the elements move.
        unsafe {
            self.copy(at, len, right, 0);
            right.set_len(len);
            right.set_scale(self.scale());
            self.set_len(at);
            self.refine();
            right.refine();
        }
        right
    }

    /// Divides the elements of two neighbours so that the left one has `left_len`. Gives the two nodes as they are then:
    /// the blocks may be others.
    ///
    /// # Safety
    /// - The caller is the only holder of both, and uses only the results from then on.
    /// - `left_len`, and what remains for the right one, are at most [`LEN_MAX`].
    pub(super) unsafe fn divide(self, right: Self, left_len: usize, ledger: &mut Ledger) -> (Self, Self) {
        let (mut left, mut right) = (self, right);
        let total = left.len() + right.len();
        assert!(left_len <= LEN_MAX && total - left_len <= LEN_MAX);
        // SAFETY: as promised; elements move, and lengths are set to what is there.
        unsafe {
            if left_len > left.len() {
                let moved = left_len - left.len();
                if left_len > left.capacity() {
                    left = left.resize(left_len, ledger);
                }
                let at = left.len();
                right.copy(0, moved, left, at);
                left.set_len(left_len);
                left.remark(at, left_len);
                right.shift(moved, 0);
                right.set_len(right.len() - moved);
            } else {
                let moved = left.len() - left_len;
                if total - left_len > right.capacity() {
                    right = right.resize(total - left_len, ledger);
                }
                right.shift(0, moved);
                left.copy(left_len, moved, right, 0);
                right.set_len(total - left_len);
                right.remark(0, moved);
                left.set_len(left_len);
            }
            left.refine();
            right.refine();
            (left.fit(ledger), right.fit(ledger))
        }
    }

    /// Moves all items out of a leaf.
    ///
    /// # Safety
    /// - The caller is the only holder, and does not look at the items again where they were.
    unsafe fn take_items(self, mut each: impl FnMut(T)) {
        let at = self.elements_at().cast::<T>();
        for index in 0..self.len() {
            // SAFETY: `len` initialised items, each moved once.
            each(unsafe { at.add(index).read() });
        }
    }

    /// Frees the node, not what is in it.
    ///
    /// # Safety
    /// - The caller is the only holder, and does not use the node again.
    pub(super) unsafe fn free(self, ledger: &mut Ledger) {
        ledger.remove(self.block_bytes());
        // SAFETY: as promised.
        unsafe { self.dealloc() };
    }

    /// # Safety
    /// - Nobody holds the node any more.
    unsafe fn dealloc(self) {
        let layout = layout::<T>(self.level(), self.capacity());
        // SAFETY: allocated with this layout; nobody uses it again.
        unsafe { dealloc(self.address(), layout) };
    }
}

/// The weight of items together.
fn weight_of<T: Item>(items: &[T]) -> u64 {
    if T::WEIGHED {
        items.iter().map(Item::weight).sum()
    } else {
        items.len() as u64
    }
}

/// Makes `node`, a reference of the caller's, the only one to its block: a copy if others hold it too.
///
/// # Safety
/// - The caller owns the reference and the node lives in a tree counted by `ledger`.
#[inline]
pub(super) unsafe fn own<T: Item>(node: &mut Node<T>, ledger: &mut Ledger) {
    if !node.count().is_one() {
        // SAFETY: as promised.
        *node = unsafe { copy_shared(*node, ledger) };
    }
}

/// # Safety
/// - As for [`own`].
#[cold]
unsafe fn copy_shared<T: Item>(node: Node<T>, ledger: &mut Ledger) -> Node<T> {
    let copy = Node::<T>::new(node.level(), node.len(), ledger);
    // SAFETY: the copy is ours alone. Its references to what is below are made before the original's may go.
    unsafe {
        if node.is_leaf() {
            for (index, item) in node.items().iter().enumerate() {
                copy.elements_at().cast::<T>().add(index).write(item.share());
            }
            copy.set_len(node.len());
            copy.set_scale(node.scale());
        } else {
            // Counting one after the other would wait for memory as often.
            node.children()
                .for_each(|child| crate::entry::prefetch(child.address()));
            node.children().for_each(|child| child.count().increment());
            node.copy(0, node.len(), copy, 0);
            copy.set_len(node.len());
        }
        ledger.leave_to_frozen(node.block_bytes());
        release(node, ledger.account());
    }
    copy
}

/// A frozen holder gives its reference up; what it held last is freed.
///
/// # Safety
/// - The reference is the caller's, who does not use it again.
pub(super) unsafe fn release<T: Item>(node: Node<T>, account: &Account) {
    if !node.count().decrement() {
        return;
    }
    // SAFETY: the count said that nobody else holds the node, so what is in it is the caller's.
    unsafe {
        if node.is_leaf() {
            node.take_items(|item| item.release(account));
        } else {
            node.children().for_each(|child| release(child, account));
        }
        account.freed(node.block_bytes());
        node.dealloc();
    }
}

/// The owner gives its reference up: everything below leaves its ledger, what frozen views share becomes theirs.
///
/// # Safety
/// - As for [`release`].
pub(super) unsafe fn leave<T: Item>(node: Node<T>, ledger: &mut Ledger) {
    // SAFETY: references to what is below either come with the last one to the node, or are made before the one to the
    // node is given up.
    unsafe {
        if node.count().is_one() {
            if node.is_leaf() {
                node.take_items(|item| item.leave(ledger));
            } else {
                node.children().for_each(|child| leave(child, ledger));
            }
            node.free(ledger);
            return;
        }
        let (mut items, mut children) = (Vec::new(), Vec::new());
        if node.is_leaf() {
            items.extend(node.items().iter().map(Item::share));
        } else {
            children.extend(node.children());
            children.iter().for_each(|child| child.count().increment());
        }
        ledger.leave_to_frozen(node.block_bytes());
        release(node, ledger.account());
        items.into_iter().for_each(|item: T| item.leave(ledger));
        children.into_iter().for_each(|child| leave(child, ledger));
    }
}
