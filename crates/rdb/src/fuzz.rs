//! Entry points for fuzzers: any bytes must be taken without a panic, in memory that they fill, and what is accepted must
//! come back the same when it is saved.

use crate::facts::Unwatched;
use crate::output::Compression;
use crate::payload::write_payload;
use crate::{Duplicates, Home, LoadOptions, Payload, SaveOptions, Verify, check, crc64, load, save, ziplist, zipmap};
use base::{DbIndex, lzf};
use keyspace::{Encodings, Keyspace};

/// Takes `data` as a file. What loads is saved, and must load again with as many keys and to the same form.
pub fn file(data: &[u8]) {
    let options = LoadOptions {
        verify: Verify::Nothing,
        duplicates: Duplicates::Replace,
        encodings: small(),
        ..LoadOptions::default()
    };
    let _ = check(data, base::Millis(0), &mut |_, _| {});
    let mut keyspace = Keyspace::new(16, 1);
    if load(data, &mut keyspace, &options, &mut Unwatched).is_err() {
        return;
    }
    let keys = keyspace.key_count();
    let first = saved(&mut keyspace);
    let mut again = Keyspace::new(16, 1);
    let loaded = load(&first[..], &mut again, &options, &mut Unwatched).expect("what we saved loads");
    assert_eq!(loaded.keys_loaded, keys);
    assert_eq!(first.len(), saved(&mut again).len());
}

fn saved(keyspace: &mut Keyspace) -> Vec<u8> {
    let mut out = Vec::new();
    let saved = save(&mut out, keyspace.freeze(), &SaveOptions::default(), &mut Unwatched);
    saved.expect("writing to memory does not fail");
    out
}

/// Takes `data` as a payload of RESTORE, of whatever version its two bytes at the end say; the checksum is put right.
pub fn payload(data: &[u8]) {
    let _ = Payload::open(data);
    let Some(body) = data.len().checked_sub(8).and_then(|end| data.get(..end)) else {
        return;
    };
    let signed = [body, &crc64(0, body).to_le_bytes()].concat();
    let Ok(payload) = Payload::open(&signed) else { return };
    for encodings in [Encodings::default(), small()] {
        let mut keyspace = Keyspace::new(1, 1);
        let home = Home::new(keyspace.db(DbIndex(0)), encodings, None);
        let hash = keyspace.hash(b"key");
        let db = keyspace.db_mut(DbIndex(0));
        if payload.read(&home, |value| db.set(b"key", hash, value, None)).is_err() {
            return;
        }
        let value = db
            .get(b"key", hash)
            .map(|entry| entry.value())
            .expect("it was set just now");
        let mut ours = Vec::new();
        write_payload(&mut ours, value, Compression::Lzf);
        let again = Payload::open(&ours).expect("what we wrote is whole");
        again.read(&home, |value| drop(value)).expect("what we wrote is read");
    }
}

/// Takes `data` as the packed forms of old versions, and as compressed bytes.
pub fn old_forms(data: &[u8]) {
    let _ = ziplist::read(data, |value| drop(value.to_vec()));
    let _ = zipmap::read(data, |field, value| assert!(field.len() + value.len() <= data.len()));
    let mut plain = Vec::new();
    let _ = lzf::decompress(data, data.len().saturating_mul(3), &mut plain);
}

/// Limits that make large collections of almost all.
fn small() -> Encodings {
    Encodings {
        hash_max_listpack_entries: 2,
        hash_max_listpack_value: 4,
        list_max_listpack_size: 3,
        list_compress_depth: 1,
        set_max_intset_entries: 2,
        zset_max_listpack_entries: 2,
        zset_max_listpack_value: 4,
        ..Encodings::default()
    }
}
