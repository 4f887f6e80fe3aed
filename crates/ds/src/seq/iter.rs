//! Walking along a sequence, in either direction.
//!
//! ```text
//!   path: [ root, child 3 ] [ inner, child 0 ]      the way to the leaf, one step per level
//!   leaf: items, next                               what is handed out
//! ```

use super::node::Node;
use super::{Item, Seq};

/// More levels than any sequence has: a root splits only when it is full of nodes that each split when they were full.
const LEVELS_MAX: usize = 16;

/// How many items ahead are asked for.
const AHEAD: usize = 6;

/// The way to a leaf.
struct Path<T> {
    steps: [Option<(Node<T>, usize)>; LEVELS_MAX],
    len: usize,
}

impl<T: Item> Path<T> {
    fn new() -> Self {
        Self {
            steps: [const { None }; LEVELS_MAX],
            len: 0,
        }
    }

    /// Goes down from `node` to the leaf that has item `index` of those below.
    fn down<'a>(&mut self, node: Node<T>, index: u64) -> (&'a [T], usize) {
        let mut node = node;
        let mut within = index;
        while !node.is_leaf() {
            let (at, rest) = node.child_at(within);
            self.steps[self.len] = Some((node, at));
            self.len += 1;
            within = rest;
            node = node.child(at);
        }
        (node.items(), within as usize)
    }

    /// Goes to a neighbouring leaf: the next child of the lowest node that has one, as `step` says.
    fn sideways(&mut self, step: impl Fn(Node<T>, usize) -> Option<usize>) -> Option<(Node<T>, u64)> {
        while let Some(last) = self.len.checked_sub(1) {
            let (node, at) = self.steps[last]?;
            if let Some(next) = step(node, at) {
                self.steps[last] = Some((node, next));
                return Some((node.child(next), node.items_below()[next]));
            }
            self.len = last;
        }
        None
    }
}

/// The items of a sequence from some index on.
pub struct Iter<'a, T: Item> {
    path: Path<T>,
    leaf: &'a [T],
    next: usize,
}

// SAFETY: what a `&'a Seq<T>` is.
unsafe impl<T: Item> Send for Iter<'_, T> {}

impl<'a, T: Item> Iter<'a, T> {
    pub(super) fn new(sequence: &'a Seq<T>, index: u64) -> Self {
        let mut path = Path::new();
        let (leaf, next) = match sequence.root {
            Some(root) if index < sequence.len => path.down(root, index),
            _ => (&[][..], 0),
        };
        let iter = Self { path, leaf, next };
        iter.leaf[iter.next..].iter().take(AHEAD).for_each(Item::prefetch);
        iter
    }
}

impl<'a, T: Item> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if self.next == self.leaf.len() {
            let (node, _) = self.path.sideways(|node, at| (at + 1 < node.len()).then_some(at + 1))?;
            (self.leaf, self.next) = self.path.down(node, 0);
            self.leaf.iter().take(AHEAD).for_each(Item::prefetch);
        }
        let item = &self.leaf[self.next];
        if let Some(ahead) = self.leaf.get(self.next + AHEAD) {
            ahead.prefetch();
        }
        self.next += 1;
        Some(item)
    }
}

/// The items of a sequence from some index back to the first.
pub struct IterBack<'a, T: Item> {
    path: Path<T>,
    /// What is left of the current leaf.
    leaf: &'a [T],
}

// SAFETY: what a `&'a Seq<T>` is.
unsafe impl<T: Item> Send for IterBack<'_, T> {}

impl<'a, T: Item> IterBack<'a, T> {
    pub(super) fn new(sequence: &'a Seq<T>, index: u64) -> Self {
        let mut path = Path::new();
        let leaf = match sequence.root {
            Some(root) if index < sequence.len => {
                let (leaf, at) = path.down(root, index);
                &leaf[..=at]
            }
            _ => &[],
        };
        leaf.iter().rev().take(AHEAD).for_each(Item::prefetch);
        Self { path, leaf }
    }
}

impl<'a, T: Item> Iterator for IterBack<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if self.leaf.is_empty() {
            let (node, items) = self.path.sideways(|_, at| at.checked_sub(1))?;
            (self.leaf, _) = self.path.down(node, items - 1);
            self.leaf.iter().rev().take(AHEAD).for_each(Item::prefetch);
        }
        let (item, rest) = self.leaf.split_last()?;
        self.leaf = rest;
        if let Some(ahead) = rest.len().checked_sub(AHEAD) {
            rest[ahead].prefetch();
        }
        Some(item)
    }
}

impl<T: Item> std::fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

impl<T: Item> std::fmt::Debug for IterBack<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IterBack").finish_non_exhaustive()
    }
}
