//! Entry points for fuzzers: any bytes must be taken without a panic, and what passes validation must work.

use std::sync::Arc;

use crate::intset::{self, Intset};
use crate::listpack::{self, Listpack};
use crate::object::Container;
use crate::stream::{Stream, StreamId, TrimBy, TrimTo, validate_node};

/// Takes `data` as a listpack: if it is one, reads it both ways and edits it.
pub fn listpack(data: &[u8]) {
    let Ok(entries) = listpack::validate(data) else { return };
    let pack = Listpack::new(data);
    assert_eq!(pack.len(), entries);
    let forward: Vec<Vec<u8>> = pack.iter().map(|(_, value)| value.to_vec()).collect();
    let mut back: Vec<Vec<u8>> = pack.iter_back().map(|(_, value)| value.to_vec()).collect();
    back.reverse();
    assert_eq!(forward, back);

    let mut bytes = data.to_vec();
    if let (Some(first), Some(middle)) = (pack.first(), pack.seek(entries as i64 / 2)) {
        let text = pack.get(middle).to_vec();
        assert!(pack.find(&text, 0).is_some_and(|at| at <= middle));
        let behind = listpack::split_off(&mut bytes, middle);
        listpack::prepend(&mut bytes, &text);
        listpack::merge(&mut bytes, Listpack::new(&behind));
        listpack::replace(&mut bytes, first, b"replaced");
        listpack::append_int(&mut bytes, -1);
        assert_eq!(listpack::delete(&mut bytes, first, 2), 2);
        assert_eq!(listpack::validate(&bytes), Ok(entries));
    }
}

/// Takes `data` as an intset: if it is one, reads it and edits it.
pub fn intset(data: &[u8]) {
    let Ok(numbers) = intset::validate(data) else { return };
    let set = Intset::new(data);
    assert!(set.iter().is_sorted() && set.len() == numbers);
    let mut bytes = data.to_vec();
    for number in set.iter().step_by(numbers / 16 + 1) {
        assert!(set.contains(number) && intset::remove(&mut bytes, number));
        assert!(!Intset::new(&bytes).contains(number) && intset::insert(&mut bytes, number));
    }
    assert_eq!(intset::validate(&bytes), Ok(numbers));
    intset::insert(&mut bytes, i64::MIN);
    assert!(intset::validate(&bytes).is_ok());
}

/// Takes `data` as a node of a stream: if it is one, reads it both ways, deletes from it and trims it.
pub fn stream_node(data: &[u8]) {
    let master = StreamId::new(7, 7);
    let Ok(entries) = validate_node(master, data) else {
        return;
    };
    let mut stream = Stream::new(Arc::default());
    assert!(stream.push_node(master, data));
    assert_eq!(stream.len(), entries);
    let ids: Vec<StreamId> = stream
        .range(StreamId::MIN, StreamId::MAX)
        .map(|entry| entry.id())
        .collect();
    let back = stream.range_back(StreamId::MIN, StreamId::MAX).map(|entry| entry.id());
    assert!(back.eq(ids.iter().rev().copied()) && ids.len() as u64 == entries);
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        assert_eq!(entry.pairs().count(), entry.len());
    }
    let frozen = stream;
    let mut live = frozen.fork();
    for id in ids.iter().step_by(2) {
        assert!(live.delete(*id) && !live.contains(*id));
    }
    live.trim(TrimTo::Length(1), TrimBy::Entries);
    assert_eq!(frozen.len(), entries);
    drop(live);
    frozen.release();
}
