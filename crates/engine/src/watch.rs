//! WATCH: which sessions must see their next EXEC fail, because a key they watch was touched.

use crate::session::SessionId;
use base::DbIndex;
use std::collections::{BTreeMap, BTreeSet};

/// Watched keys both ways: who watches a key, and what a session watches.
#[derive(Default)]
pub struct WatchIndex {
    by_key: BTreeMap<(DbIndex, Box<[u8]>), Vec<SessionId>>,
    by_session: BTreeMap<SessionId, Watched>,
}

#[derive(Default)]
struct Watched {
    /// With each key, whether it was logically expired when the watch began: its later deletion changes nothing then.
    keys: BTreeSet<(DbIndex, Box<[u8]>)>,
    already_expired: BTreeSet<(DbIndex, Box<[u8]>)>,
    broken: bool,
}

impl WatchIndex {
    /// Begins to watch `key` for `session`. `expired` says that the key exists but its time has passed.
    pub fn watch(&mut self, session: SessionId, db: DbIndex, key: &[u8], expired: bool) {
        let id = (db, Box::<[u8]>::from(key));
        let watched = self.by_session.entry(session).or_default();
        if !watched.keys.insert(id.clone()) {
            return;
        }
        if expired {
            watched.already_expired.insert(id.clone());
        }
        self.by_key.entry(id).or_default().push(session);
    }

    /// Forgets all that `session` watches, and whether any of it was touched.
    pub fn unwatch(&mut self, session: SessionId) {
        let Some(watched) = self.by_session.remove(&session) else {
            return;
        };
        for id in watched.keys {
            if let Some(sessions) = self.by_key.get_mut(&id) {
                sessions.retain(|other| *other != session);
                if sessions.is_empty() {
                    self.by_key.remove(&id);
                }
            }
        }
    }

    /// A key was changed: every session that watches it fails its next EXEC.
    pub fn touch(&mut self, db: DbIndex, key: &[u8]) {
        if self.by_key.is_empty() {
            return;
        }
        let id = (db, Box::<[u8]>::from(key));
        let Some(sessions) = self.by_key.get(&id) else { return };
        for session in sessions {
            if let Some(watched) = self.by_session.get_mut(session) {
                watched.broken = true;
            }
        }
    }

    /// A key whose time has passed was removed: that breaks a watch, unless it had passed when the watch began.
    pub fn touch_expired(&mut self, db: DbIndex, key: &[u8]) {
        if self.by_key.is_empty() {
            return;
        }
        let id = (db, Box::<[u8]>::from(key));
        let Some(sessions) = self.by_key.get(&id) else { return };
        for session in sessions {
            if let Some(watched) = self.by_session.get_mut(session) {
                watched.broken |= !watched.already_expired.remove(&id);
            }
        }
    }

    /// A database is about to change as a whole (FLUSHDB, SWAPDB, a loaded keyspace): `changes` says for each watched
    /// key whether it exists before or after.
    pub fn touch_database(&mut self, db: DbIndex, mut changes: impl FnMut(&[u8]) -> bool) {
        for ((key_db, key), sessions) in &self.by_key {
            if *key_db != db || !changes(key) {
                continue;
            }
            for session in sessions {
                if let Some(watched) = self.by_session.get_mut(session) {
                    watched.broken = true;
                }
            }
        }
    }

    /// The keys that `session` watches.
    pub fn keys_of(&self, session: SessionId) -> impl Iterator<Item = (DbIndex, &[u8])> {
        let watched = self.by_session.get(&session);
        watched
            .into_iter()
            .flat_map(|w| w.keys.iter().map(|(db, key)| (*db, &**key)))
    }

    /// Whether `key` had expired already when `session` began to watch it.
    #[must_use]
    pub fn was_expired(&self, session: SessionId, db: DbIndex, key: &[u8]) -> bool {
        let id = (db, Box::<[u8]>::from(key));
        self.by_session
            .get(&session)
            .is_some_and(|w| w.already_expired.contains(&id))
    }

    /// Whether a key that `session` watches was touched.
    #[must_use]
    pub fn is_broken(&self, session: SessionId) -> bool {
        self.by_session.get(&session).is_some_and(|w| w.broken)
    }

    /// Whether anybody watches anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
