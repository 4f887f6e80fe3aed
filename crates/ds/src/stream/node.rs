//! The nodes of a stream: some entries in one listpack, in the format that stock servers keep and save.
//!
//! ```text
//!   +-------+---------+------------+---------+- … -+---+---------+---------+- … -+
//!   | count | deleted | num-fields | field 1 |     | 0 | entry 1 | entry 2 |     |   ids are differences to the master
//!   +-------+---------+------------+---------+- … -+---+---------+---------+- … -+   id, that of the first entry
//!                                                          │
//!         +-------+---------+----------+---------+- … -+---┴------+
//!         | flags | ms-diff | seq-diff | value 1 |     | lp-count |     fields as in the head (SAME_FIELDS)
//!         +-------+---------+----------+---------+- … -+----------+
//!         +-------+---------+----------+------------+---------+---------+- … -+----------+
//!         | flags | ms-diff | seq-diff | num-fields | field 1 | value 1 |     | lp-count |     its own
//!         +-------+---------+----------+------------+---------+---------+- … -+----------+
//! ```
//!
//! Every box is an entry of the listpack; `lp-count` says how many boxes are before it in its stream entry, so that one
//! can go backwards. A deleted entry is only marked, until none is left and the node goes.

use super::id::StreamId;
use crate::bytes::Bytes;
use crate::listpack::{self, Damage, Listpack, Position, Run, Value};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// A node to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeRef<'a> {
    master: StreamId,
    pack: Listpack<'a>,
    /// Entries that are there.
    pub(crate) live: u64,
    /// Entries that are marked as deleted.
    pub(crate) deleted: u64,
    field_count: usize,
    fields_at: Position,
    entries_at: Position,
}

/// An entry of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    id: StreamId,
    pack: Listpack<'a>,
    flags: i64,
    at: Position,
    field_count: usize,
    /// The next field: in the head, or before its value.
    fields_at: Position,
    values_at: Position,
}

impl<'a> Entry<'a> {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// How many pairs of field and value it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.field_count
    }

    /// Whether it has none, as no entry does that was added by a command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.field_count == 0
    }

    /// Fields and values, in the order in which they were given.
    pub fn pairs(&self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + use<'a> {
        let mut fields = self.pack.iter_from(self.fields_at);
        let mut values = self.pack.iter_from(self.values_at);
        let own_fields = self.flags & SAME_FIELDS == 0;
        (0..self.field_count).map_while(move |_| {
            if own_fields {
                // One run, fields and values in turn.
                return Some((values.next()?.1, values.next()?.1));
            }
            Some((fields.next()?.1, values.next()?.1))
        })
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }
}

impl<'a> NodeRef<'a> {
    /// Reads the head of a node.
    pub(crate) fn new(master: StreamId, bytes: &'a [u8]) -> Self {
        let pack = Listpack::new(bytes);
        let mut iter = pack.iter();
        let (_, live) = int(iter.next());
        let (_, deleted) = int(iter.next());
        let (_, field_count) = int(iter.next());
        let after_counts = iter.position();
        for _ in 0..=field_count {
            iter.next();
        }
        Self {
            master,
            pack,
            live: live as u64,
            deleted: deleted as u64,
            field_count: field_count as usize,
            fields_at: after_counts,
            entries_at: iter.position(),
        }
    }

    /// All entries, deleted ones too.
    pub(crate) fn entries(self) -> Entries<'a> {
        Entries {
            node: self,
            at: self.entries_at,
        }
    }

    /// The entry that begins at `at`, and where the next one does.
    fn entry(&self, at: Position) -> (Entry<'a>, Position) {
        let mut iter = self.pack.iter_from(at);
        let (_, flags) = int(iter.next());
        let (_, ms) = int(iter.next());
        let (_, seq) = int(iter.next());
        let same_fields = flags & SAME_FIELDS != 0;
        let field_count = if same_fields {
            self.field_count
        } else {
            int(iter.next()).1 as usize
        };
        let values_at = iter.position();
        let boxes = if same_fields { field_count } else { 2 * field_count };
        // With the lp-count.
        for _ in 0..=boxes {
            iter.skip_one();
        }
        let entry = Entry {
            id: StreamId::new(
                self.master.ms.wrapping_add(ms as u64),
                self.master.seq.wrapping_add(seq as u64),
            ),
            pack: self.pack,
            flags,
            at,
            field_count,
            fields_at: if same_fields { self.fields_at } else { values_at },
            values_at,
        };
        (entry, iter.position())
    }

    /// The entry before the one at `at` (or before the end), deleted or not.
    fn entry_before(&self, at: Position) -> Option<Entry<'a>> {
        if at <= self.entries_at {
            return None;
        }
        let mut at = self.pack.prev(at)?;
        let Value::Int(boxes) = self.pack.get(at) else {
            return None;
        };
        for _ in 0..boxes {
            at = self.pack.prev(at)?;
        }
        Some(self.entry(at).0)
    }

    /// All entries from the last to the first, deleted ones too.
    pub(crate) fn entries_back(self) -> EntriesBack<'a> {
        EntriesBack {
            node: self,
            before: self.pack.end(),
        }
    }

    /// The id of the last entry, deleted or not.
    pub(crate) fn last_id(&self) -> StreamId {
        self.entry_before(self.pack.end()).map_or(self.master, |entry| entry.id)
    }

    fn has_fields<'f>(&self, mut fields: impl ExactSizeIterator<Item = &'f [u8]>) -> bool {
        fields.len() == self.field_count
            && self
                .pack
                .iter_from(self.fields_at)
                .take(self.field_count)
                .all(|(_, known)| fields.next().is_some_and(|field| known.is(field)))
    }
}

/// The integer of a box, with its position. Nodes are validated when they come from outside.
fn int(found: Option<(Position, Value<'_>)>) -> (Position, i64) {
    match found {
        Some((at, Value::Int(number))) => (at, number),
        other => panic!("a stream's node has {other:?} in place of an integer"),
    }
}

/// Entries of a node, in order.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a> {
    node: NodeRef<'a>,
    at: Position,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.at >= self.node.pack.end() {
            return None;
        }
        let (entry, next) = self.node.entry(self.at);
        self.at = next;
        Some(entry)
    }
}

/// Entries of a node, from the last to the first.
#[derive(Clone, Debug)]
pub(crate) struct EntriesBack<'a> {
    node: NodeRef<'a>,
    before: Position,
}

impl<'a> Iterator for EntriesBack<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let entry = self.node.entry_before(self.before)?;
        self.before = entry.at;
        Some(entry)
    }
}

/// A node of one entry's head, without the entry. `pairs` are fields and values in turn.
pub(crate) fn new_node(pairs: &[&[u8]]) -> Vec<u8> {
    let mut run = Run::default();
    run.push_int(0);
    run.push_int(0);
    run.push_int((pairs.len() / 2) as i64);
    for field in pairs.iter().step_by(2) {
        run.push(field);
    }
    run.push_int(0);
    let mut bytes = listpack::init().to_vec();
    listpack::append_run(&mut bytes, &run);
    bytes
}

/// Adds an entry behind all others.
pub(crate) fn append(node: &mut impl Bytes, master: StreamId, id: StreamId, pairs: &[&[u8]]) {
    let view = NodeRef::new(master, node.as_slice());
    let live = view.live;
    let same_fields = view.has_fields(pairs.iter().step_by(2).copied());
    let mut run = Run::default();
    run.push_int(if same_fields { SAME_FIELDS } else { 0 });
    run.push_int(id.ms.wrapping_sub(master.ms) as i64);
    run.push_int(id.seq.wrapping_sub(master.seq) as i64);
    if same_fields {
        pairs.iter().skip(1).step_by(2).for_each(|value| run.push(value));
    } else {
        run.push_int((pairs.len() / 2) as i64);
        pairs.iter().for_each(|word| run.push(word));
    }
    run.push_int(run.len() as i64);
    listpack::append_run(node, &run);
    set_count(node, 0, live + 1);
}

/// Marks the entry `id`, if it is there and not marked, unless it is the last one that is not: then the node should go.
pub(crate) fn delete(node: &mut impl Bytes, master: StreamId, id: StreamId) {
    let view = NodeRef::new(master, node.as_slice());
    let found = view.entries().find(|entry| entry.id == id && !entry.is_deleted());
    if let Some(entry) = found {
        let (live, deleted) = (view.live, view.deleted);
        let (at, flags) = (entry.at, entry.flags | DELETED);
        listpack::replace_int(node, at, flags);
        set_count(node, 0, live - 1);
        set_count(node, 1, deleted + 1);
    }
}

/// Marks entries from the first on while `more` says so; gives how many were not marked before.
pub(crate) fn delete_front(
    node: &mut impl Bytes,
    master: StreamId,
    mut more: impl FnMut(StreamId, u64) -> bool,
) -> u64 {
    let view = NodeRef::new(master, node.as_slice());
    let (live, deleted) = (view.live, view.deleted);
    let mut marks = Vec::new();
    for entry in view.entries() {
        if !more(entry.id, marks.len() as u64) {
            break;
        }
        if !entry.is_deleted() {
            marks.push((entry.at, entry.flags | DELETED));
        }
    }
    let marked = marks.len() as u64;
    // From the end, so that positions before stay right; flags never change their size, but nothing here relies on it.
    for (at, flags) in marks.into_iter().rev() {
        listpack::replace_int(node, at, flags);
    }
    set_count(node, 0, live - marked);
    set_count(node, 1, deleted + marked);
    marked
}

/// Writes the first (0) or second (1) number of the head.
fn set_count(node: &mut impl Bytes, index: i64, count: u64) {
    let at = Listpack::new(node.as_slice()).seek(index);
    if let Some(at) = at {
        listpack::replace_int(node, at, count as i64);
    }
}

/// Whether a node can take one more entry of so many bytes of fields and values.
pub(crate) fn has_room(node: &[u8], master: StreamId, more_bytes: usize, limits: super::NodeLimits) -> bool {
    // A listpack stays well below what its header can say.
    const BYTES_MAX: u64 = 1 << 30;
    let bytes_max = match limits.bytes {
        0 => BYTES_MAX,
        bytes => bytes.min(BYTES_MAX),
    };
    if node.len() as u64 + more_bytes as u64 >= bytes_max {
        return false;
    }
    let view = NodeRef::new(master, node);
    limits.entries == 0 || view.live + view.deleted < limits.entries
}

/// Looks through a node that comes from outside; gives the number of its entries that are not deleted.
///
/// # Errors
/// What is wrong with it. After `Ok` everything here works on it.
pub fn validate_node(master: StreamId, bytes: &[u8]) -> Result<u64, Damage> {
    let boxes = listpack::validate(bytes)?;
    let pack = Listpack::new(bytes);
    let damage = |at: Position, what| Damage::new(at.offset(), what);
    let mut iter = pack.iter();
    let mut number = |what| match iter.next() {
        Some((_, Value::Int(number))) if number >= 0 => Ok(number as u64),
        Some((at, _)) => Err(damage(at, what)),
        None => Err(damage(pack.end(), what)),
    };
    let live = number("a stream's node without its count")?;
    let deleted = number("a stream's node without its count of deleted entries")?;
    let field_count = number("a stream's node without its number of fields")?;
    if field_count > boxes as u64 {
        return Err(damage(pack.end(), "a stream's node with fewer fields than it says"));
    }
    for _ in 0..field_count {
        iter.next()
            .ok_or(damage(pack.end(), "a stream's node with fewer fields than it says"))?;
    }
    match iter.next() {
        Some((_, Value::Int(0))) => {}
        _ => return Err(damage(iter.position(), "a stream's node whose head does not end")),
    }
    let (mut found_live, mut found_deleted) = (0, 0);
    let mut last = None;
    while iter.position() < pack.end() {
        let at = iter.position();
        let (flags, id) = validate_entry(&mut iter, master, field_count, boxes as u64)
            .ok_or(damage(at, "a stream's entry that is not one"))?;
        if last.is_some_and(|last| last >= id) {
            return Err(damage(at, "a stream's entries out of order"));
        }
        last = Some(id);
        if flags & DELETED == 0 {
            found_live += 1;
        } else {
            found_deleted += 1;
        }
    }
    if (found_live, found_deleted) != (live, deleted) {
        return Err(damage(pack.end(), "a stream's node with other entries than it counts"));
    }
    if found_live + found_deleted == 0 {
        return Err(damage(pack.end(), "a stream's node without entries"));
    }
    Ok(live)
}

/// Flags and id of one entry of a listpack that is whole, if it is one.
fn validate_entry(
    iter: &mut listpack::Iter<'_>,
    master: StreamId,
    head_fields: u64,
    boxes: u64,
) -> Option<(i64, StreamId)> {
    fn int_of(iter: &mut listpack::Iter<'_>) -> Option<i64> {
        match iter.next() {
            Some((_, Value::Int(number))) => Some(number),
            _ => None,
        }
    }
    let mut int = || int_of(iter);
    let (flags, ms, seq) = (int()?, int()?, int()?);
    let (values, head_boxes) = if flags & SAME_FIELDS != 0 {
        (head_fields, 3)
    } else {
        let fields = u64::try_from(int()?).ok().filter(|fields| *fields <= boxes)?;
        (2 * fields, 4)
    };
    for _ in 0..values {
        iter.next()?;
    }
    let count = int_of(iter)?;
    let id = StreamId::new(master.ms.wrapping_add(ms as u64), master.seq.wrapping_add(seq as u64));
    (u64::try_from(count).ok() == Some(values + head_boxes)).then_some((flags, id))
}
