//! The words of one request, as slices of the buffer they arrived in.

use crate::reply::write_command;

/// How many ranges a reused [`Argv`] keeps room for; one giant command does not hold its memory for ever.
const KEPT_RANGES: usize = 4 * 1024;
/// How many bytes of unquoted inline words a reused [`Argv`] keeps room for.
const KEPT_SCRATCH_BYTES: usize = 64 * 1024;

/// Where one word lies in the bytes of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgRange {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What the parser found: the places of the words of one request. Reuse one for many requests: it allocates only while
/// it grows to the size of what it sees.
#[derive(Debug, Default)]
pub struct Argv {
    pub(crate) ranges: Vec<ArgRange>,
    /// The unquoted words of an inline request, end to end; unused by multibulk requests.
    pub(crate) scratch: Vec<u8>,
    pub(crate) origin: Origin,
}

/// Where the ranges of an [`Argv`] point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Into the scratch space: an inline request.
    #[default]
    Scratch,
    /// Into the first `length` bytes of the read buffer, which are exactly what [`write_command`] would have written.
    Canonical { length: usize },
    /// Into the read buffer, but the request was terminated sloppily (stock servers do not check it either).
    Sloppy { length: usize },
}

impl Argv {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The words of the request just parsed from `buf`, the very bytes handed to [`crate::Parser::parse`].
    ///
    /// Bytes may have been appended to `buf` since, but none removed from its front.
    #[must_use]
    pub fn args<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        let (bytes, form) = match self.origin {
            Origin::Scratch => (self.scratch.as_slice(), Form::Loose),
            Origin::Canonical { length } => (&buf[..length], Form::Canonical),
            Origin::Sloppy { length } => (&buf[..length], Form::Loose),
        };
        Args {
            bytes,
            ranges: &self.ranges,
            form,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.scratch.clear();
        if self.ranges.capacity() > KEPT_RANGES || self.scratch.capacity() > KEPT_SCRATCH_BYTES {
            self.shrink();
        }
        self.origin = Origin::Scratch;
    }

    #[cold]
    fn shrink(&mut self) {
        self.ranges.shrink_to(KEPT_RANGES);
        self.scratch.shrink_to(KEPT_SCRATCH_BYTES);
    }

    /// Forgets the request, and gives room back that few requests need.
    pub fn rest(&mut self) {
        const FEW_RANGES: usize = 64;
        const FEW_BYTES: usize = 1024;
        self.clear();
        self.ranges.shrink_to(FEW_RANGES);
        self.scratch.shrink_to(FEW_BYTES);
    }
}

/// The words of one request: the command's name and its arguments. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    ranges: &'a [ArgRange],
    form: Form,
}

/// What the bytes of [`Args`] are to its words. As wide as a register because a copy is made word by word, and reading a
/// word waits for the store if only a byte of it was written just before.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Form {
    /// They hold the words somehow.
    Loose,
    /// They are exactly the canonical request of all of them.
    Canonical,
}

impl Form {
    /// Stays as it is under this condition, else the form is lost.
    #[inline]
    fn kept_if(self, condition: bool) -> Self {
        if condition { self } else { Self::Loose }
    }
}

impl<'a> Args<'a> {
    /// How many words there are, the command's name included.
    #[must_use]
    #[inline]
    pub fn len(self) -> usize {
        self.ranges.len()
    }

    /// Whether there is no word at all; never so for a request that the parser reported as a command.
    #[must_use]
    #[inline]
    pub fn is_empty(self) -> bool {
        self.ranges.is_empty()
    }

    /// Word `index`; 0 is the command's name.
    ///
    /// # Panics
    /// When `index` is not below [`Self::len`]: the arity has been checked before.
    #[must_use]
    #[inline]
    pub fn get(self, index: usize) -> &'a [u8] {
        let range = self.ranges[index];
        &self.bytes[range.start..range.end]
    }

    /// Word `index`, if there is one.
    #[must_use]
    #[inline]
    pub fn try_get(self, index: usize) -> Option<&'a [u8]> {
        let range = self.ranges.get(index)?;
        Some(&self.bytes[range.start..range.end])
    }

    /// The words in order.
    #[inline]
    pub fn iter(self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone + use<'a> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |range| &bytes[range.start..range.end])
    }

    /// The words from word `count` on; none when there are not so many.
    #[must_use]
    #[inline]
    pub fn skip(self, count: usize) -> Args<'a> {
        let ranges = &self.ranges[count.min(self.ranges.len())..];
        Args {
            ranges,
            form: self.form.kept_if(count == 0),
            ..self
        }
    }

    /// The first `count` words; all of them when there are not so many.
    #[must_use]
    #[inline]
    pub fn take(self, count: usize) -> Args<'a> {
        let ranges = &self.ranges[..count.min(self.ranges.len())];
        Args {
            ranges,
            form: self.form.kept_if(count >= self.ranges.len()),
            ..self
        }
    }

    /// The whole request as it came, when that is what [`write_command`] would write for these words: then it can be
    /// propagated by copying. `None` for inline requests, sloppily terminated ones, and parts of a request.
    #[must_use]
    #[inline]
    pub fn raw(self) -> Option<&'a [u8]> {
        (self.form == Form::Canonical).then_some(self.bytes)
    }

    /// Appends the canonical request of these words to `out`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        match self.raw() {
            Some(raw) => out.extend_from_slice(raw),
            None => write_command(out, self.iter()),
        }
    }

    /// The bytes of all words together, without framing.
    #[must_use]
    pub fn payload_bytes(self) -> usize {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|word| word.escape_ascii().to_string()))
            .finish()
    }
}

/// A request that outlives its read buffer: queued by MULTI, blocked, or made by ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedArgs {
    /// The canonical request; `ranges` point into it.
    request: Box<[u8]>,
    ranges: Box<[ArgRange]>,
}

impl OwnedArgs {
    /// A request of these words.
    pub fn from_words<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let words: Vec<W> = words.into_iter().collect();
        let mut request = Vec::new();
        write_command(&mut request, words.iter().map(AsRef::as_ref));
        let ranges = ranges_of(&request, words.iter().map(|word| word.as_ref().len()));
        Self {
            request: request.into(),
            ranges,
        }
    }

    /// The words, as if just parsed; [`Args::raw`] is always there.
    #[must_use]
    pub fn as_args(&self) -> Args<'_> {
        Args {
            bytes: &self.request,
            ranges: &self.ranges,
            form: Form::Canonical,
        }
    }

    /// The bytes this holds on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.request.len() + size_of_val(&*self.ranges)
    }
}

impl From<Args<'_>> for OwnedArgs {
    fn from(args: Args<'_>) -> Self {
        match args.raw() {
            Some(raw) => Self {
                request: raw.into(),
                ranges: args.ranges.into(),
            },
            None => Self::from_words(args.iter()),
        }
    }
}

/// Where the words of the canonical `request` lie, given their lengths.
fn ranges_of(request: &[u8], lengths: impl ExactSizeIterator<Item = usize>) -> Box<[ArgRange]> {
    let mut at = 1 + decimal_digits(lengths.len()) + 2;
    let ranges: Box<[ArgRange]> = lengths
        .map(|length| {
            let start = at + 1 + decimal_digits(length) + 2;
            at = start + length + 2;
            ArgRange {
                start,
                end: start + length,
            }
        })
        .collect();
    debug_assert_eq!(at, request.len());
    ranges
}

fn decimal_digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_args_are_canonical_whatever_they_were_made_from() {
        let long = vec![b'x'; 1000];
        let owned = OwnedArgs::from_words([b"SET".as_slice(), b"", &long]);
        let args = owned.as_args();
        assert_eq!(args.len(), 3);
        assert_eq!(args.iter().collect::<Vec<_>>(), [b"SET".as_slice(), b"", &long]);
        let mut request = Vec::new();
        write_command(&mut request, [b"SET".as_slice(), b"", &long]);
        assert_eq!(args.raw(), Some(request.as_slice()));
        assert_eq!(OwnedArgs::from(args), owned);

        let tail = OwnedArgs::from(args.skip(1));
        assert_eq!(tail.as_args().get(1), long);
        assert_eq!(args.skip(1).raw(), None);
        assert_eq!(args.take(2).raw(), None);
        assert_eq!(args.take(9).raw(), args.raw());
        assert_eq!(args.skip(9).len(), 0);
        assert_eq!(args.payload_bytes(), 1003);
        assert_eq!(OwnedArgs::from_words(["PING"; 12]).as_args().get(11), b"PING");
    }
}
