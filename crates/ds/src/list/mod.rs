//! Long lists: a sequence of nodes, each a small compact block of elements.
//!
//! ```text
//!   List ──► Seq ──► node   node   node   node   node        weight of a node: its elements
//!                     │      │      │      │      │
//!                    pack   lzf    plain  lzf    pack        listpack; the same, compressed; one long element
//!                   └ depth ┘                  └ depth ┘     nodes nearer to an end than `depth` stay plain
//! ```
//!
//! A node's blob is shared with frozen lists and copied before it is changed, as everything here. How large nodes get and
//! how deep the uncompressed ends are is told at each change ([`Limits`]): nodes made under other limits stay as they are.

mod edit;
mod node;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::account::{Account, Ledger};
use crate::listpack::{Listpack, Value};
use crate::object::Container;
use crate::seq::Seq;
use node::Node;

pub use node::NodeRef;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Index 0.
    Head,
    /// The last index.
    Tail,
}

/// Which way to go through a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the tail.
    Forward,
    /// Towards the head.
    Back,
}

/// How nodes are made.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of a node's listpack.
    pub node_bytes: usize,
    /// The most elements of a node.
    pub node_entries: usize,
    /// Elements of so many bytes get a node of their own.
    pub plain_bytes: usize,
    /// How many nodes at each end stay uncompressed; 0 compresses none.
    pub compress_depth: u32,
}

impl Limits {
    /// Whether a listpack of so many bytes and entries may take one more entry of so many bytes.
    #[must_use]
    pub fn admit(&self, bytes: usize, entries: usize, entry_bytes: usize) -> bool {
        bytes + entry_bytes <= self.node_bytes && entries < self.node_entries
    }

    /// Whether an element of so many bytes gets a node of its own.
    #[must_use]
    pub fn is_plain(&self, text_len: usize) -> bool {
        text_len >= self.plain_bytes || crate::listpack::entry_bytes(text_len) + EMPTY_BYTES > self.node_bytes
    }
}

/// An empty listpack.
const EMPTY_BYTES: usize = 7;

/// A long list.
pub struct List {
    nodes: Seq<Node>,
    ledger: Ledger,
}

impl List {
    /// An empty list.
    #[must_use]
    pub fn new(account: Arc<Account>) -> Self {
        Self {
            nodes: Seq::new(),
            ledger: Ledger::new(account),
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.nodes.weight()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The number of nodes.
    #[must_use]
    pub fn node_count(&self) -> u64 {
        self.nodes.len()
    }

    /// The nodes, from head to tail: for those who save the list.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.nodes.iter().map(Node::view)
    }

    /// Hands the element at `index` on.
    pub fn with<R>(&self, index: u64, then: impl FnOnce(Value<'_>) -> R) -> Option<R> {
        let (_, within, node) = self.nodes.locate(index)?;
        let mut scratch = Vec::new();
        match node.elements(&mut scratch) {
            Elements::Plain(bytes) => Some(then(Value::Bytes(bytes))),
            Elements::Pack(pack) => Some(then(pack.get(pack.seek(within as i64)?))),
        }
    }

    /// Visits the elements from `start` on, in this direction, until there are no more or `visit` breaks off.
    pub fn walk(&self, start: u64, direction: Direction, visit: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
        let Some((index, within, _)) = self.nodes.locate(start) else {
            return;
        };
        let mut scratch = Vec::new();
        // Of the first node only a part is visited.
        let mut within = Some(within as i64);
        match direction {
            Direction::Forward => {
                for node in self.nodes.iter_from(index) {
                    if walk_forward(node, within.take(), &mut scratch, visit).is_break() {
                        return;
                    }
                }
            }
            Direction::Back => {
                for node in self.nodes.iter_back_from(index) {
                    if walk_back(node, within.take(), &mut scratch, visit).is_break() {
                        return;
                    }
                }
            }
        }
    }
}

/// What is in a node.
enum Elements<'a> {
    Pack(Listpack<'a>),
    Plain(&'a [u8]),
}

fn walk_forward(
    node: &Node,
    within: Option<i64>,
    scratch: &mut Vec<u8>,
    visit: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match node.elements(scratch) {
        Elements::Plain(bytes) => visit(Value::Bytes(bytes)),
        Elements::Pack(pack) => {
            let Some(first) = pack.seek(within.unwrap_or(0)) else {
                return ControlFlow::Continue(());
            };
            pack.iter_from(first).try_for_each(|(_, value)| visit(value))
        }
    }
}

fn walk_back(
    node: &Node,
    within: Option<i64>,
    scratch: &mut Vec<u8>,
    visit: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match node.elements(scratch) {
        Elements::Plain(bytes) => visit(Value::Bytes(bytes)),
        Elements::Pack(pack) => {
            // Iteration begins before a position.
            let behind = match within {
                Some(within) => pack.seek(within + 1).unwrap_or(pack.end()),
                None => pack.end(),
            };
            pack.iter_back_before(behind).try_for_each(|(_, value)| visit(value))
        }
    }
}

impl Container for List {
    fn memory_bytes(&self) -> usize {
        self.ledger.bytes() as usize
    }

    fn blocks(&self) -> usize {
        self.nodes.blocks() + self.nodes.len() as usize
    }

    fn fork(&self) -> Self {
        Self {
            nodes: self.nodes.fork(),
            ledger: self.ledger.fork(),
        }
    }

    fn release(mut self) {
        // What is dropped then is empty.
        std::mem::take(&mut self.nodes).release(self.ledger.account());
    }

    fn deep_copy(&self, account: &Arc<Account>) -> Self {
        let mut ledger = Ledger::new(account.clone());
        let nodes = self.nodes.duplicate(&mut ledger, Node::duplicate);
        Self { nodes, ledger }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        std::mem::take(&mut self.nodes).leave(&mut self.ledger);
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("List")
            .field("elements", &self.len())
            .field("nodes", &self.node_count())
            .finish()
    }
}
