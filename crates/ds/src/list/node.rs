//! A node of a long list: a blob, what form it is in, and how many elements it holds.

use std::cell::RefCell;

use base::lzf::{self, Compressor};

use super::Elements;
use crate::account::{Account, Ledger};
use crate::blob::Blob;
use crate::listpack::{self, Listpack};
use crate::seq::Item;

/// Listpacks of fewer bytes are not compressed …
const COMPRESS_BYTES_MIN: usize = 48;
/// … and those that would not become so many bytes shorter stay as they are.
const COMPRESS_GAIN_MIN: usize = 8;
/// Before the compressed bytes: how many they stand for.
const LENGTH_BYTES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A listpack.
    Pack,
    /// A compressed listpack, after its length.
    Compressed,
    /// One element, as it is.
    Plain,
}

/// A node, whose blob is given up by [`Item::leave`] or [`Item::release`].
#[derive(Debug)]
pub(super) struct Node {
    blob: Blob,
    entries: u32,
    form: Form,
}

/// A node as those see it who save the list.
#[derive(Clone, Copy, Debug)]
pub enum NodeRef<'a> {
    /// A listpack.
    Pack(&'a [u8]),
    /// A listpack of so many bytes, compressed by LZF.
    Compressed {
        /// What it stands for.
        plain_bytes: usize,
        /// The compressed bytes.
        bytes: &'a [u8],
    },
    /// One long element.
    Plain(&'a [u8]),
}

impl NodeRef<'_> {
    /// Hands the bytes on, a listpack decompressed if need be.
    pub fn with_bytes<R>(self, then: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Pack(bytes) | Self::Plain(bytes) => then(bytes),
            Self::Compressed { plain_bytes, bytes } => {
                let mut plain = Vec::new();
                decompress(bytes, plain_bytes, &mut plain);
                then(&plain)
            }
        }
    }
}

impl Item for Node {
    const WEIGHED: bool = true;

    fn weight(&self) -> u64 {
        u64::from(self.entries)
    }

    fn prefetch(&self) {
        self.blob.prefetch();
    }

    fn share(&self) -> Self {
        Self {
            blob: self.blob.share(),
            ..*self
        }
    }

    fn leave(self, ledger: &mut Ledger) {
        self.blob.leave(ledger);
    }

    fn release(self, account: &Account) {
        self.blob.release(account);
    }
}

thread_local! {
    static COMPRESSOR: RefCell<(Compressor, Vec<u8>)> = RefCell::default();
}

fn decompress(bytes: &[u8], plain_bytes: usize, plain: &mut Vec<u8>) {
    // We compressed it.
    lzf::decompress(bytes, plain_bytes, plain).expect("a node that was compressed here");
}

impl Node {
    pub(super) fn pack(bytes: &[u8], ledger: &mut Ledger) -> Self {
        Self {
            blob: Blob::new(&[bytes], ledger),
            entries: Listpack::new(bytes).len() as u32,
            form: Form::Pack,
        }
    }

    pub(super) fn plain(text: &[u8], ledger: &mut Ledger) -> Self {
        Self {
            blob: Blob::new(&[text], ledger),
            entries: 1,
            form: Form::Plain,
        }
    }

    /// A listpack of one element.
    pub(super) fn of_one(text: &[u8], ledger: &mut Ledger) -> Self {
        let mut bytes = listpack::init().to_vec();
        listpack::append(&mut bytes, text);
        Self::pack(&bytes, ledger)
    }

    pub(super) fn duplicate(&self, ledger: &mut Ledger) -> Self {
        Self {
            blob: self.blob.duplicate(ledger),
            ..*self
        }
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    pub(super) fn entries(&self) -> usize {
        self.entries as usize
    }

    pub(super) fn view(&self) -> NodeRef<'_> {
        let bytes = self.blob.as_slice();
        match self.form {
            Form::Pack => NodeRef::Pack(bytes),
            Form::Plain => NodeRef::Plain(bytes),
            Form::Compressed => {
                let (length, bytes) = bytes.split_at(LENGTH_BYTES);
                let plain_bytes = length.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                NodeRef::Compressed { plain_bytes, bytes }
            }
        }
    }

    /// The elements; `scratch` takes them if they are compressed.
    pub(super) fn elements<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Elements<'a> {
        match self.view() {
            NodeRef::Pack(bytes) => Elements::Pack(Listpack::new(bytes)),
            NodeRef::Plain(bytes) => Elements::Plain(bytes),
            NodeRef::Compressed { plain_bytes, bytes } => {
                decompress(bytes, plain_bytes, scratch);
                Elements::Pack(Listpack::new(scratch))
            }
        }
    }

    fn put(&mut self, parts: &[&[u8]], form: Form, ledger: &mut Ledger) {
        let blob = Blob::new(parts, ledger);
        std::mem::replace(&mut self.blob, blob).leave(ledger);
        self.form = form;
    }

    /// Makes a compressed node a listpack.
    pub(super) fn decompress(&mut self, ledger: &mut Ledger) {
        let NodeRef::Compressed { plain_bytes, bytes } = self.view() else {
            return;
        };
        let mut plain = Vec::new();
        decompress(bytes, plain_bytes, &mut plain);
        self.put(&[&plain], Form::Pack, ledger);
    }

    /// Compresses a listpack if that is worth it.
    pub(super) fn compress(&mut self, ledger: &mut Ledger) {
        let len = self.blob.len();
        if self.form != Form::Pack || len < COMPRESS_BYTES_MIN {
            return;
        }
        COMPRESSOR.with_borrow_mut(|(compressor, out)| {
            if compressor.compress(self.blob.as_slice(), len - COMPRESS_GAIN_MIN, out) {
                self.put(&[&(len as u32).to_le_bytes(), out], Form::Compressed, ledger);
            }
        });
    }

    /// Changes the listpack of the node, which is not plain. It is not compressed afterwards.
    pub(super) fn edit<R>(
        &mut self,
        ledger: &mut Ledger,
        change: impl FnOnce(&mut crate::blob::BlobMut<'_>) -> R,
    ) -> R {
        debug_assert_ne!(self.form, Form::Plain);
        self.decompress(ledger);
        let result = change(&mut self.blob.make_mut(ledger));
        self.entries = Listpack::new(self.blob.as_slice()).len() as u32;
        result
    }
}
