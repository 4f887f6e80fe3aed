//! Bytes that can be spliced: what the compact encodings are edited through, wherever they lie.

/// A growable run of bytes: a vector, the inline block of an entry, a counted blob.
pub trait Bytes {
    /// The bytes.
    fn as_slice(&self) -> &[u8];

    /// The bytes, to change in place; a holder that shares them copies them first.
    fn as_mut_slice(&mut self) -> &mut [u8];

    /// Puts the bytes of `insert`, one part after the other, in the place of the `remove` bytes from `at` on.
    ///
    /// Panics if those bytes are not there.
    fn splice(&mut self, at: usize, remove: usize, insert: &[&[u8]]);
}

impl Bytes for Vec<u8> {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        self
    }

    fn splice(&mut self, at: usize, remove: usize, insert: &[&[u8]]) {
        let (old, added) = (self.len(), insert.iter().map(|part| part.len()).sum::<usize>());
        let tail = at + remove;
        assert!(tail <= old, "bytes {at} to {tail} of {old}");
        if added > remove {
            self.resize(old + added - remove, 0);
        }
        self.copy_within(tail..old, at + added);
        self.truncate(old + added - remove);
        let mut to = at;
        for part in insert {
            self[to..to + part.len()].copy_from_slice(part);
            to += part.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn a_vector_splices() {
        let spliced = |at, remove, insert: &[&[u8]]| {
            let mut bytes = b"0123456789".to_vec();
            Bytes::splice(&mut bytes, at, remove, insert);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(spliced(3, 0, &[b"a", b"bc"]), "012abc3456789");
        assert_eq!(spliced(3, 4, &[b"a", b"bc"]), "012abc789");
        assert_eq!(spliced(0, 10, &[]), "");
        assert_eq!(spliced(10, 0, &[b"x"]), "0123456789x");
        assert_eq!(spliced(2, 3, &[b"abc"]), "01abc56789");
    }
}
