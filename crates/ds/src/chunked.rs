//! Strings longer than an entry takes: trees of chunks, so that a write to a frozen one copies a chunk and its path.
//!
//! ```text
//!   ChunkedString { len, height 2, top }
//!                                   │
//!                    branch of 32 ──┴──────────────┐
//!                      │    │    └ zeros (no node)  ...
//!         branch of 32 ┘    └ branch of 32
//!           │ │ │ …
//!        chunks of 16 368 bytes; with their counts they fill blocks of 16 KiB
//! ```
//!
//! All chunks are full-size blocks; bytes past the end of the string are zeros. A part that was skipped by a write far
//! behind the end has no node at all.

use std::mem::{self, size_of};
use std::sync::Arc;

use crate::account::{Account, Ledger};
use crate::size::block_bytes;

/// The bytes of a string in one chunk.
pub const CHUNK_BYTES: usize = 16 * 1024 - ARC_BYTES;

const FAN_OUT: usize = 32;
const ARC_BYTES: usize = 16;
const CHUNK_BLOCK: usize = block_bytes(size_of::<Chunk>() + ARC_BYTES);
const BRANCH_BLOCK: usize = block_bytes(size_of::<Branch>() + ARC_BYTES);
const ROOT_BLOCK: usize = block_bytes(size_of::<ChunkedString>() + ARC_BYTES);

static ZEROS: Chunk = [0; CHUNK_BYTES];

type Chunk = [u8; CHUNK_BYTES];
type Branch = [Node; FAN_OUT];

#[derive(Clone, Debug, Default)]
enum Node {
    /// Nothing but zeros below.
    #[default]
    Zeros,
    Chunk(Arc<Chunk>),
    Branch(Arc<Branch>),
}

/// A string of more than 64 KiB.
#[derive(Debug)]
pub struct ChunkedString {
    len: usize,
    /// The sizes of all blocks of this string, this one's included.
    memory_bytes: usize,
    /// Levels of branches above the chunks.
    height: u32,
    top: Node,
}

impl ChunkedString {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory it takes, in bytes, shared or not.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// About how many heap blocks it consists of.
    #[must_use]
    pub fn blocks(&self) -> usize {
        1 + self.memory_bytes / CHUNK_BLOCK
    }

    /// All bytes, in order, piece by piece.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.range(0, self.len)
    }

    /// The bytes from `start` up to, not including, `end`, piece by piece. Panics if they are not all there.
    pub fn range(&self, start: usize, end: usize) -> impl Iterator<Item = &[u8]> {
        assert!(
            start <= end && end <= self.len,
            "bytes {start}..{end} of a string of {}",
            self.len
        );
        let mut at = start;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let within = at % CHUNK_BYTES;
                let take = (CHUNK_BYTES - within).min(end - at);
                let piece = &self.chunk(at / CHUNK_BYTES)[within..within + take];
                at += take;
                piece
            })
        })
    }

    /// Fills `out` with the bytes from `start` on. Panics if there are not as many.
    pub fn read(&self, start: usize, out: &mut [u8]) {
        let mut filled = 0;
        for piece in self.range(start, start + out.len()) {
            out[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
    }

    fn chunk(&self, index: usize) -> &Chunk {
        let mut node = &self.top;
        let mut level = self.height;
        loop {
            match node {
                Node::Zeros => return &ZEROS,
                Node::Chunk(chunk) => return chunk,
                Node::Branch(branch) => {
                    level -= 1;
                    node = &branch[slot(index, level)];
                }
            }
        }
    }

    /// A string of these parts, entered in `ledger`.
    pub(crate) fn new(parts: &[&[u8]], ledger: &mut Ledger) -> Arc<Self> {
        ledger.add(ROOT_BLOCK);
        let mut string = Self {
            len: 0,
            memory_bytes: ROOT_BLOCK,
            height: 0,
            top: Node::Zeros,
        };
        for part in parts {
            string.write(string.len, part, ledger);
        }
        Arc::new(string)
    }

    /// A copy that shares nothing.
    pub(crate) fn duplicate(&self, ledger: &mut Ledger) -> Arc<Self> {
        ledger.add(ROOT_BLOCK);
        let mut copy = Self {
            len: 0,
            memory_bytes: ROOT_BLOCK,
            height: 0,
            top: Node::Zeros,
        };
        let mut at = 0;
        for piece in self.chunks() {
            if !std::ptr::eq(piece.as_ptr(), ZEROS.as_ptr()) {
                copy.write(at, piece, ledger);
            }
            at += piece.len();
        }
        copy.reach(self.len, ledger);
        copy.len = self.len;
        Arc::new(copy)
    }

    /// The string to write to: this one if nobody else holds it, else a copy that shares all chunks.
    pub(crate) fn make_mut<'a>(this: &'a mut Arc<Self>, ledger: &mut Ledger) -> &'a mut Self {
        if Arc::get_mut(this).is_none() {
            ledger.add(ROOT_BLOCK);
            let copy = Self {
                top: this.top.clone(),
                ..**this
            };
            ledger.leave_to_frozen(ROOT_BLOCK);
            Self::release(mem::replace(this, Arc::new(copy)), ledger.account());
        }
        // Alone since the copy above, if not before.
        Arc::get_mut(this).expect("a string that was just made the only one")
    }

    /// Writes `bytes` at `offset`; what lies between the end and there becomes zeros.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8], ledger: &mut Ledger) {
        self.reach(offset + bytes.len(), ledger);
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = at % CHUNK_BYTES;
            let (now, later) = rest.split_at(rest.len().min(CHUNK_BYTES - within));
            let added = write_chunk(&mut self.top, self.height, at / CHUNK_BYTES, within, now, ledger);
            self.memory_bytes += added;
            at += now.len();
            rest = later;
        }
        self.len = self.len.max(at);
    }

    /// Puts branches on top until `end` bytes fit under them.
    fn reach(&mut self, end: usize, ledger: &mut Ledger) {
        while end > CHUNK_BYTES << (5 * self.height) {
            if !matches!(self.top, Node::Zeros) {
                let mut branch: Branch = Default::default();
                branch[0] = mem::take(&mut self.top);
                ledger.add(BRANCH_BLOCK);
                self.memory_bytes += BRANCH_BLOCK;
                self.top = Node::Branch(Arc::new(branch));
            }
            self.height += 1;
        }
    }

    /// The owner gives its reference up.
    pub(crate) fn leave(this: Arc<Self>, ledger: &mut Ledger) {
        let mut this = this;
        if let Some(string) = Arc::get_mut(&mut this) {
            leave_node(mem::take(&mut string.top), ledger);
            ledger.remove(ROOT_BLOCK);
        } else {
            ledger.leave_to_frozen(this.memory_bytes);
            Self::release(this, ledger.account());
        }
    }

    /// A frozen view gives its reference up.
    pub(crate) fn release(this: Arc<Self>, account: &Account) {
        if let Some(string) = Arc::into_inner(this) {
            account.freed(ROOT_BLOCK);
            release_node(string.top, account);
        }
    }
}

fn slot(index: usize, level: u32) -> usize {
    (index >> (5 * level)) % FAN_OUT
}

fn new_chunk() -> Arc<Chunk> {
    let mut chunk = Arc::<Chunk>::new_uninit();
    // Just made, so nobody else has it.
    Arc::get_mut(&mut chunk).expect("a new chunk").write(ZEROS);
    // SAFETY: written in full by the line above.
    unsafe { chunk.assume_init() }
}

/// Writes into chunk `index` under `node`, copying what others hold too; gives the memory that was added to the string.
fn write_chunk(node: &mut Node, height: u32, index: usize, within: usize, bytes: &[u8], ledger: &mut Ledger) -> usize {
    let mut added = 0;
    if matches!(node, Node::Zeros) {
        (*node, added) = if height == 0 {
            (Node::Chunk(new_chunk()), CHUNK_BLOCK)
        } else {
            (Node::Branch(Arc::new(Default::default())), BRANCH_BLOCK)
        };
        ledger.add(added);
    }
    match node {
        Node::Zeros => unreachable!("filled above"),
        Node::Chunk(chunk) => {
            unshare(chunk, CHUNK_BLOCK, ledger, |old, account| {
                release_node(Node::Chunk(old), account)
            })[within..within + bytes.len()]
                .copy_from_slice(bytes);
        }
        Node::Branch(branch) => {
            let branch = unshare(branch, BRANCH_BLOCK, ledger, |old, account| {
                release_node(Node::Branch(old), account)
            });
            added += write_chunk(
                &mut branch[slot(index, height - 1)],
                height - 1,
                index,
                within,
                bytes,
                ledger,
            );
        }
    }
    added
}

fn unshare<'a, T: Clone>(
    node: &'a mut Arc<T>,
    block: usize,
    ledger: &mut Ledger,
    release: impl FnOnce(Arc<T>, &Account),
) -> &'a mut T {
    if Arc::get_mut(node).is_none() {
        ledger.add(block);
        let copy = Arc::new(T::clone(node));
        ledger.leave_to_frozen(block);
        release(mem::replace(node, copy), ledger.account());
    }
    // Alone since the copy above, if not before.
    Arc::get_mut(node).expect("a node that was just made the only one")
}

fn leave_node(node: Node, ledger: &mut Ledger) {
    match node {
        Node::Zeros => {}
        Node::Chunk(mut chunk) => {
            if Arc::get_mut(&mut chunk).is_some() {
                ledger.remove(CHUNK_BLOCK);
            } else {
                ledger.leave_to_frozen(CHUNK_BLOCK);
                release_node(Node::Chunk(chunk), ledger.account());
            }
        }
        Node::Branch(mut branch) => {
            // What hangs below leaves piece by piece, also where the branch itself goes on with others.
            let children = match Arc::get_mut(&mut branch) {
                Some(branch) => {
                    ledger.remove(BRANCH_BLOCK);
                    mem::take(branch)
                }
                None => {
                    let children = Branch::clone(&branch);
                    ledger.leave_to_frozen(BRANCH_BLOCK);
                    release_node(Node::Branch(branch), ledger.account());
                    children
                }
            };
            for child in children {
                leave_node(child, ledger);
            }
        }
    }
}

fn release_node(node: Node, account: &Account) {
    match node {
        Node::Zeros => {}
        Node::Chunk(chunk) => {
            if Arc::into_inner(chunk).is_some() {
                account.freed(CHUNK_BLOCK);
            }
        }
        Node::Branch(branch) => {
            for child in Arc::into_inner(branch)
                .into_iter()
                .inspect(|_| account.freed(BRANCH_BLOCK))
                .flatten()
            {
                release_node(child, account);
            }
        }
    }
}

#[cfg(test)]
impl ChunkedString {
    /// Address and size of every block of the string.
    pub(crate) fn for_each_block(&self, each: &mut dyn FnMut(usize, usize)) {
        fn visit(node: &Node, each: &mut dyn FnMut(usize, usize)) {
            match node {
                Node::Zeros => {}
                Node::Chunk(chunk) => each(Arc::as_ptr(chunk).addr(), CHUNK_BLOCK),
                Node::Branch(branch) => {
                    each(Arc::as_ptr(branch).addr(), BRANCH_BLOCK);
                    branch.iter().for_each(|child| visit(child, each));
                }
            }
        }
        each(std::ptr::from_ref(self).addr(), ROOT_BLOCK);
        visit(&self.top, each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;

    fn ledger() -> Ledger {
        Ledger::new(Arc::default())
    }

    fn text(string: &ChunkedString) -> Vec<u8> {
        string.chunks().flatten().copied().collect()
    }

    /// Random writes against a plain vector, with frozen copies taken and checked along the way.
    #[test]
    fn behaves_as_a_vector_and_frozen_copies_stay() {
        for seed in 0..8 {
            let mut rng = Rng::new(seed);
            let mut ledger = ledger();
            let mut model = vec![7; 70_000];
            let mut string = ChunkedString::new(&[&model], &mut ledger);
            let mut frozen: Vec<(Arc<ChunkedString>, Vec<u8>)> = Vec::new();
            for round in 0..60 {
                let offset = rng.below(model.len() as u64 * 5 / 4) as usize;
                let bytes = vec![round; rng.below(40_000) as usize];
                if !bytes.is_empty() {
                    model.resize(model.len().max(offset + bytes.len()), 0);
                    model[offset..offset + bytes.len()].copy_from_slice(&bytes);
                    ChunkedString::make_mut(&mut string, &mut ledger).write(offset, &bytes, &mut ledger);
                }
                if rng.chance(1, 5) {
                    frozen.push((string.clone(), model.clone()));
                }
                if rng.chance(1, 8) && !frozen.is_empty() {
                    let (copy, expected) = frozen.swap_remove(rng.below(frozen.len() as u64) as usize);
                    assert_eq!(text(&copy), expected);
                    ChunkedString::release(copy, ledger.account());
                }
                assert_eq!(string.len(), model.len());
                assert_eq!(ledger.bytes(), string.memory_bytes() as u64);
            }
            assert_eq!(text(&string), model);
            let copy = string.duplicate(&mut ledger);
            assert_eq!(text(&copy), model);
            ChunkedString::leave(copy, &mut ledger);
            ChunkedString::leave(string, &mut ledger);
            assert_eq!(ledger.bytes(), 0);
            for (copy, expected) in frozen {
                assert_eq!(text(&copy), expected);
                ChunkedString::release(copy, ledger.account());
            }
            assert_eq!(ledger.account().frozen_bytes(), 0);
        }
    }

    #[test]
    fn a_write_far_out_allocates_no_zeros() {
        let mut ledger = ledger();
        let mut string = ChunkedString::new(&[], &mut ledger);
        let far = 512 * 1024 * 1024 - 1;
        ChunkedString::make_mut(&mut string, &mut ledger).write(far, b"x", &mut ledger);
        assert_eq!(string.len(), far + 1);
        assert!(string.memory_bytes() < 32 * 1024);
        let mut end = [9; 2];
        string.read(far - 1, &mut end);
        assert_eq!(&end, b"\0x");
        let copy = string.duplicate(&mut ledger);
        assert_eq!((copy.len(), copy.memory_bytes()), (string.len(), string.memory_bytes()));
        ChunkedString::leave(copy, &mut ledger);
        ChunkedString::leave(string, &mut ledger);
        assert_eq!(ledger.bytes(), 0);
    }
}
