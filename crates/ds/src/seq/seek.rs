//! Ways down a sequence: which child, and which place in the leaf.

use super::node::Node;
use super::{Item, position_within};

/// A place in a sequence, found from the root downwards.
pub(super) trait Seek<T: Item>: Copy {
    /// The child of an inner node below which the place is; the rest of the way is to be asked of what this becomes.
    fn child(&mut self, node: Node<T>) -> usize;

    /// The place in a leaf.
    fn item(self, leaf: Node<T>) -> usize;
}

/// Where an item comes to stand at this index.
#[derive(Clone, Copy)]
pub(super) struct Before(pub(super) u64);

impl<T: Item> Seek<T> for Before {
    fn child(&mut self, node: Node<T>) -> usize {
        for (at, items) in node.items_below().iter().enumerate() {
            if self.0 <= *items {
                return at;
            }
            self.0 -= items;
        }
        panic!("an insertion behind the end");
    }

    fn item(self, _: Node<T>) -> usize {
        self.0 as usize
    }
}

/// The item at this index, which is there.
#[derive(Clone, Copy)]
pub(super) struct At(pub(super) u64);

impl<T: Item> Seek<T> for At {
    fn child(&mut self, node: Node<T>) -> usize {
        let (at, within) = node.child_at(self.0);
        self.0 = within;
        at
    }

    fn item(self, _: Node<T>) -> usize {
        self.0 as usize
    }
}

/// The point before which all items have sort keys up to `key`, and after which all have `key` or more: behind all items
/// that `before` is true for, which is asked only about items with that very key, and a few others.
#[derive(Debug)]
pub struct Point<B> {
    /// The sort key.
    pub key: u64,
    /// Whether an item lies before the point.
    pub before: B,
}

impl<B: Copy> Copy for Point<B> {}

impl<B: Copy> Clone for Point<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Point<B> {
    /// The point in a leaf if it is surely inside: not in front of the first item, nor behind the last.
    pub(super) fn inside<T: Item>(&self, leaf: Node<T>) -> Option<usize>
    where
        B: Fn(&T) -> bool,
    {
        let (first, last) = (leaf.items().first()?, leaf.items().last()?);
        let mark = leaf.mark(self.key);
        (T::MARKED && first.mark() < mark && mark < last.mark()).then(|| point(leaf, self.key, &self.before))
    }
}

impl<T: Item, B: Fn(&T) -> bool + Copy> Seek<T> for Point<B> {
    fn child(&mut self, node: Node<T>) -> usize {
        child_by_key(node, self.key, self.before)
    }

    fn item(self, leaf: Node<T>) -> usize {
        point(leaf, self.key, self.before)
    }
}

/// An item that is in the sequence.
#[derive(Debug)]
pub struct Present<I, U> {
    /// Its sort key.
    pub key: u64,
    /// Whether it is this item, which is told without a look at what items refer to.
    pub is: I,
    /// Whether an item with this key comes before it, or is it.
    pub up_to: U,
}

impl<I: Copy, U: Copy> Copy for Present<I, U> {}

impl<I: Copy, U: Copy> Clone for Present<I, U> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Item, I: Fn(&T) -> bool + Copy, U: Fn(&T) -> bool + Copy> Seek<T> for Present<I, U> {
    fn child(&mut self, node: Node<T>) -> usize {
        child_by_key(node, self.key, self.up_to)
    }

    fn item(self, leaf: Node<T>) -> usize {
        let items = leaf.items();
        let from = if T::MARKED {
            let mark = leaf.mark(self.key);
            items.partition_point(|item| item.mark() < mark)
        } else {
            0
        };
        let within = items[from..].iter().position(self.is);
        from + within.expect("an item of this leaf")
    }
}

/// The last child of which `up_to` is true for the first item; for items with other keys that is known without asking.
#[inline]
fn child_by_key<T: Item>(node: Node<T>, key: u64, up_to: impl Fn(&T) -> bool) -> usize {
    let keys = node.keys();
    let below = keys.partition_point(|first| *first < key);
    let (mut low, mut high) = (below.max(1), node.len());
    if keys.get(low).is_none_or(|first| *first > key) {
        return low - 1;
    }
    while low < high {
        let middle = usize::midpoint(low, high);
        if keys[middle] == key && up_to(node.child(middle).first_item()) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low - 1
}

/// The index of the first item of a leaf that `before` is false for.
#[inline]
fn point<T: Item>(leaf: Node<T>, key: u64, before: impl Fn(&T) -> bool) -> usize {
    let items = leaf.items();
    if !T::MARKED {
        return partition(items, before);
    }
    let mark = leaf.mark(key);
    let low = items.partition_point(|item| item.mark() < mark);
    let equal = items[low..].iter().take_while(|item| item.mark() == mark).count();
    low + partition(&items[low..low + equal], before)
}

/// The index of the first item that `before` is false for. What items refer to is asked for several at a time: a search
/// that goes from one to the next would wait for memory at each.
fn partition<T: Item>(items: &[T], before: impl Fn(&T) -> bool) -> usize {
    const PIVOTS: usize = 8;
    let (mut low, mut high) = (0, items.len());
    let step = items.len() / PIVOTS;
    if step > 1 {
        let pivots = || items.iter().skip(step).step_by(step);
        pivots().for_each(Item::prefetch);
        // Between two pivots, or behind the last.
        let (mut first, mut last) = (0, pivots().len());
        while first < last {
            let middle = usize::midpoint(first, last);
            if before(&items[(middle + 1) * step]) {
                first = middle + 1;
            } else {
                last = middle;
            }
        }
        low = first * step;
        high = high.min(low + step);
    }
    let rest = &items[low..high];
    rest.iter().for_each(Item::prefetch);
    low + rest.partition_point(before)
}

impl<T: Item> Node<T> {
    /// Whether the way to all places with this sort key is through this child of an inner node, whatever items there are
    /// with the same key.
    #[inline]
    pub(super) fn leads_to(self, key: u64, at: usize) -> bool {
        let keys = self.keys();
        (at == 0 || keys.get(at).is_some_and(|first| *first < key)) && keys.get(at + 1).is_none_or(|next| *next > key)
    }

    /// The child of an inner node below which item `index` lies, and its index there. Panics if there is none.
    pub(super) fn child_at(self, index: u64) -> (usize, u64) {
        let mut within = index;
        let at = position_within(self.items_below().iter().copied(), &mut within);
        (at.expect("an item of this node"), within)
    }
}
