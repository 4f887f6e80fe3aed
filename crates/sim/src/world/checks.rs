//! What must be true, looked at after everything that a server does.

use base::{Offset, ReplId};

use super::{Outcome, World};
use crate::faults::Sabotage;
use crate::model::{bytes_of, fingerprint};
use crate::server::{Link, Server, index_of};
use crate::time;
use crate::truth::Sight;

impl World {
    /// Compares a server's data, if anything has changed, with what its history says.
    pub(super) fn compare(&mut self, index: usize) -> Outcome {
        let server = &mut self.servers[index];
        let version = server.version();
        if version.is_none() || version == server.compared || server.is_starting() {
            return Ok(());
        }
        server.compared = version;
        let (Some(node), Some(view)) = (&server.node, server.view()) else {
            return Ok(());
        };
        let sight = Sight {
            view: &view,
            stream: node::replication::stream(&node.state),
            keyspace: &node.engine.data.keyspace,
            just_started: server.seen.0 == ReplId::NONE,
        };
        let seen = if server.seen.0 == view.id {
            server.seen.1
        } else {
            Offset(0)
        };
        // A transaction may have written and then made its server a replica.
        let wrote = server.seen.2 && server.seen.0 == view.id;
        let outcome = match view.link {
            None => self.truth.record(sight),
            Some(_) if wrote => self.truth.record(sight).and_then(|()| self.truth.check(sight, seen)),
            Some(_) => self.truth.check(sight, seen),
        };
        server.seen = (view.id, view.offset, view.link.is_none());
        let names = match (view.second_id == ReplId::NONE, view.second_offset) {
            (true, -1) => Ok(()),
            (false, valid_to) if valid_to >= 0 && valid_to as u64 <= view.offset.0 + 1 => Ok(()),
            (_, valid_to) => Err(format!(
                "shows {} valid up to {valid_to} at {}",
                view.second_id, view.offset
            )),
        };
        outcome.and(names).map_err(|what| format!("server {index}: {what}"))
    }

    /// No replica has acknowledged what it does not have, and none has two connections to its primary.
    pub(super) fn check_connections(&self) -> Outcome {
        let mut links = vec![0; self.servers.len()];
        for (id, connection) in &self.connections {
            if connection.replica_open {
                links[connection.replica] += 1;
            }
            let (primary, replica) = (&self.servers[connection.primary], &self.servers[connection.replica]);
            let is_current = matches!(&replica.link, Link::Up(up) if up == id);
            if !connection.primary_open || !is_current {
                continue;
            }
            let (Some(ours), Some(theirs)) = (primary.view(), replica.view()) else {
                continue;
            };
            let shown = ours
                .replicas
                .iter()
                .find(|shown| shown.id.0 == connection.session.number);
            if let Some(shown) = shown
                && ours.id == theirs.id
                && shown.offset > theirs.offset
            {
                return Err(format!(
                    "server {} has acknowledged {} and applied {}",
                    connection.replica, shown.offset, theirs.offset
                ));
            }
        }
        match links.iter().position(|links| *links > 1) {
            None => Ok(()),
            Some(index) => Err(format!("server {index} has two links")),
        }
    }

    /// What a GET must answer, from the data as it lies there: on a replica too, what has expired is not shown.
    pub(super) fn expected_reply(&self, index: usize, client: usize, line: &str) -> Option<Vec<u8>> {
        let key = line.strip_prefix("GET ")?;
        let server = &self.servers[index];
        let node = server.node.as_ref()?;
        let session = node.engine.sessions.get(server.clients.get(client)?.session)?;
        if session.transaction.is_some() {
            return None;
        }
        let keyspace = &node.engine.data.keyspace;
        let hash = keyspace.hash(key.as_bytes());
        let entry = keyspace.db(session.db).get(key.as_bytes(), hash);
        let alive = entry.filter(|entry| entry.expiry().is_none_or(|at| at > time::now().unix_ms()));
        Some(match alive {
            None => b"$-1\r\n".to_vec(),
            Some(entry) => {
                let bytes = bytes_of(entry.value());
                [format!("${}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()
            }
        })
    }

    /// Whether a server is the primary, or follows it.
    pub(super) fn is_as_wished(&self, index: usize, primary: usize) -> bool {
        let Some(view) = self.servers[index].view() else {
            return false;
        };
        match view.link {
            None => index == primary,
            Some(link) => index != primary && index_of(&link.host) == Some(primary),
        }
    }

    /// Whether all follow the primary and are where it is.
    pub(super) fn agree(&self, primary: usize) -> bool {
        let Some(wanted) = self.servers[primary].view() else {
            return false;
        };
        (0..self.servers.len()).all(|index| {
            let in_step = || {
                self.servers[index].view().is_some_and(|view| {
                    view.offset == wanted.offset && view.id == wanted.id && view.link.is_none_or(|link| link.up)
                })
            };
            self.is_as_wished(index, primary) && in_step()
        })
    }

    /// The same data everywhere, expiries included.
    pub(super) fn compare_all(&self, primary: usize) -> Outcome {
        let data = |server: &Server| server.node.as_ref().map(|node| fingerprint(&node.engine.data.keyspace));
        let expected = data(&self.servers[primary]);
        match self.servers.iter().position(|server| data(server) != expected) {
            None => Ok(()),
            Some(index) => Err(format!("server {index} differs from primary {primary} in the end")),
        }
    }

    pub(super) fn describe(&self) -> String {
        let one = |(index, server): (usize, &Server)| match server.view() {
            None => format!("{index} is down"),
            Some(view) => match &view.link {
                None => format!("{index} is primary at {}", view.offset),
                Some(link) => {
                    let down = link.down.as_ref().map(|(reason, _)| format!(", {reason}"));
                    let down = down.unwrap_or_default();
                    format!(
                        "{index} follows {} ({}) at {}{down}",
                        link.host, link.state, view.offset
                    )
                }
            },
        };
        self.servers.iter().enumerate().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Sabotage: a replica deletes a key that its primary has not deleted.
    pub(super) fn delete_alone(&mut self, index: usize) {
        if self.sabotage != Some(Sabotage::DeleteAlone) || !self.is_ripe(index) {
            return;
        }
        let Some(node) = &mut self.servers[index].node else {
            return;
        };
        let keyspace = &mut node.engine.data.keyspace;
        let found = (0..keyspace.databases()).find_map(|db| {
            let entry = keyspace.db(base::DbIndex(db)).iter().next()?;
            Some((base::DbIndex(db), entry.key().to_vec()))
        });
        if let Some((db, key)) = found {
            let hash = keyspace.hash(&key);
            keyspace.db_mut(db).delete(&key, hash);
            self.servers[index].compared = None;
            self.sabotage = None;
            self.note(format!("sabotage: {index} deletes a key by itself"));
        }
    }

    /// Whether the time has come for sabotage at a replica whose stream flows.
    pub(super) fn is_ripe(&self, index: usize) -> bool {
        time::now_ms() > super::SABOTAGE_MS
            && self.servers[index]
                .view()
                .is_some_and(|view| view.link.is_some_and(|link| link.up))
    }
}
