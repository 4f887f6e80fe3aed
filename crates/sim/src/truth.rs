//! What every history was at every offset, as its writers had it; and whether replicas agree.

use std::collections::BTreeMap;

use base::{DbIndex, ReplId};
use keyspace::{Keyspace, ValueRef};
use repl::ReplicationView;

/// A dataset as one number: equal data, equal number.
#[must_use]
pub fn fingerprint(keyspace: &Keyspace) -> u64 {
    let mut sum = 0u64;
    for index in 0..keyspace.databases() {
        for entry in keyspace.db(DbIndex(index)).iter() {
            let mut hash = Hash::new();
            hash.add(&index.to_le_bytes());
            hash.add(entry.key());
            hash.add(&[0xff]);
            match entry.value() {
                ValueRef::Int(number) => hash.add(number.to_string().as_bytes()),
                ValueRef::Bytes(bytes) => hash.add(bytes),
                ValueRef::Chunked(chunked) => chunked.chunks().for_each(|chunk| hash.add(chunk)),
                _ => panic!("the world's clients write strings"),
            }
            hash.add(&entry.expiry().map_or(-1, |at| at.0).to_le_bytes());
            sum = sum.wrapping_add(hash.0);
        }
    }
    sum
}

struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0 ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 ^= self.0 >> 29;
        }
    }
}

/// Fingerprints by history and offset.
#[derive(Default)]
pub struct Truth(BTreeMap<[u8; 40], BTreeMap<u64, u64>>);

impl Truth {
    /// A writer's dataset after a command. A history that begins here inherits what it shares with its second id.
    ///
    /// # Errors
    /// When the same offset of the same history was another dataset before.
    pub fn record(&mut self, view: &ReplicationView, fingerprint: u64) -> Result<(), String> {
        let id = *view.id.as_bytes();
        if !self.0.contains_key(&id) {
            let inherited = match self.0.get(view.second_id.as_bytes()) {
                Some(older) if view.second_id != ReplId::NONE => {
                    let shared = u64::try_from(view.second_offset - 1).unwrap_or(0);
                    older
                        .range(..=shared)
                        .map(|(offset, state)| (*offset, *state))
                        .collect()
                }
                _ => BTreeMap::new(),
            };
            self.0.insert(id, inherited);
        }
        let history = self.0.entry(id).or_default();
        let known = history.insert(view.offset.0, fingerprint);
        // Without a backlog nothing is recorded, so the offset stands still while the data goes on.
        if view.backlog.active && known.is_some_and(|known| known != fingerprint) {
            return Err(format!(
                "history {} had two datasets at offset {}",
                view.id, view.offset
            ));
        }
        Ok(())
    }

    /// Whether a replica has what its history had at its offset.
    ///
    /// # Errors
    /// When it has not.
    pub fn check(&self, view: &ReplicationView, fingerprint: u64) -> Result<(), String> {
        let Some(history) = self.0.get(view.id.as_bytes()) else {
            return Ok(());
        };
        let offset = view.offset.0;
        let before = history.range(..=offset).next_back();
        let after = history.range(offset..).next();
        // Between two recorded offsets the dataset is known only if nothing changed from one to the other.
        let expected = match (before, after) {
            (Some((at, state)), _) if *at == offset => *state,
            (Some((_, before)), Some((_, after))) if before == after => *before,
            _ => return Ok(()),
        };
        if fingerprint == expected {
            return Ok(());
        }
        Err(format!(
            "the data is not what history {} had at offset {offset}: {fingerprint:016x} instead of {expected:016x}",
            view.id
        ))
    }
}
