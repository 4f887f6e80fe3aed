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

/// What a key of a database is, to those who watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does not exist.
    Absent,
    /// It is there, and its time has passed.
    Expired,
    /// It exists.
    Live,
}

impl Watched {
    fn on_replaced(&mut self, id: &(DbIndex, Box<[u8]>), before: Presence, after: Presence) {
        let was_expired = self.already_expired.contains(id);
        match after {
            Presence::Absent if was_expired => {
                self.already_expired.remove(id);
            }
            Presence::Expired if was_expired => {}
            Presence::Expired if before == Presence::Absent => {
                self.already_expired.insert(id.clone());
            }
            _ => self.broken = true,
        }
    }
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
    #[inline]
    pub fn touch(&mut self, db: DbIndex, key: &[u8]) {
        if !self.by_key.is_empty() {
            self.touch_watched(db, key);
        }
    }

    fn touch_watched(&mut self, db: DbIndex, key: &[u8]) {
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

    /// A database is about to change as a whole (FLUSHDB, SWAPDB, a loaded keyspace): `change` says for each watched
    /// key what it is before and after. An expired key and none are the same to a watcher.
    pub fn touch_database(&mut self, db: DbIndex, change: impl Fn(&[u8]) -> (Presence, Presence)) {
        for (id, sessions) in self.by_key.iter().filter(|((of, _), _)| *of == db) {
            let (before, after) = change(&id.1);
            if (before, after) == (Presence::Absent, Presence::Absent) {
                continue;
            }
            for session in sessions {
                if let Some(watched) = self.by_session.get_mut(session) {
                    watched.on_replaced(id, before, after);
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

    /// How many keys `session` watches.
    #[must_use]
    pub fn count_of(&self, session: SessionId) -> usize {
        self.by_session.get(&session).map_or(0, |watched| watched.keys.len())
    }

    /// Whether anybody watches anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
