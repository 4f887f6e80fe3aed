//! Telling sessions what has happened to keys: keyspace events, and what they cache.

use super::Engine;
use crate::keys::Event;
use crate::outbox::News;
use crate::pubsub::Scope;
use crate::session::SessionId;
use base::DbIndex;

impl Engine {
    /// Tells sessions what they must hear of the changes made since the last time.
    #[inline]
    pub fn deliver(&mut self) {
        if !self.data.outbox.is_empty() {
            self.deliver_from(None);
        }
    }

    /// The same, of changes that the command of a session made.
    pub(super) fn deliver_from(&mut self, current: Option<SessionId>) {
        let (news, keys) = self.data.outbox.take();
        for item in &news {
            match item {
                News::Event(db, event, key) => self.publish_event(*db, *event, &keys[key.clone()]),
                other => self.invalidate(other, &keys, current),
            }
        }
        self.data.outbox.recycle(news, keys);
    }

    fn publish_event(&mut self, db: DbIndex, event: Event, key: &[u8]) {
        use std::io::Write;
        if self.pubsub.is_silent() {
            return;
        }
        let mut channel = std::mem::take(&mut self.channel);
        let wanted = self.data.settings.key_events;
        if wanted.wants('K') {
            channel.clear();
            // Writing to memory cannot fail.
            let _ = write!(channel, "__keyspace@{}__:", db.0);
            channel.extend_from_slice(key);
            self.publish(Scope::Channel, &channel, event.name.as_bytes());
        }
        if wanted.wants('E') {
            channel.clear();
            let _ = write!(channel, "__keyevent@{}__:{}", db.0, event.name);
            self.publish(Scope::Channel, &channel, key);
        }
        self.channel = channel;
    }

    /// Keeps what the executing session was sent by its own command out of its reply.
    pub(super) fn set_own_pushes_apart(&mut self, id: SessionId) {
        if !self.in_exec
            && let Some(session) = self.sessions.get_mut(id)
            && !session.out.is_empty()
        {
            self.own_pushes.append(&mut session.out);
        }
    }
}
