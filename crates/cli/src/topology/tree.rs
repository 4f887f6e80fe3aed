//! The servers found, and the tree they make.

use std::collections::{BTreeMap, VecDeque};

use super::probe::{Address, Facts, LinkState, Listed, Upstream};

/// More servers than anybody runs under one primary; a limit for lists that lie.
const SERVERS_MAX: usize = 1000;

/// Which of the servers found.
pub type ServerIndex = usize;

/// A server found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where we reached it, or tried to.
    pub address: Address,
    /// What it says, or why it says nothing.
    pub facts: Result<Facts, String>,
    /// Whom it follows; for a server that says nothing, who lists it.
    pub parent: Option<ServerIndex>,
    /// Who follows it.
    pub children: Vec<ServerIndex>,
    /// How its primary lists it.
    pub listed: Option<Listed>,
}

impl Server {
    /// Its link to its primary, if it told of one.
    #[must_use]
    pub fn upstream(&self) -> Option<&Upstream> {
        self.facts.as_ref().ok()?.upstream.as_ref()
    }

    /// Whether it answers, and its link, if it has one, is up or on its way.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        match (&self.facts, self.upstream()) {
            (Err(_), _) => false,
            (Ok(_), Some(upstream)) => !matches!(upstream.state, LinkState::Down { .. }),
            (Ok(_), None) => true,
        }
    }
}

impl Server {
    /// Takes what its primary says. A replica that its primary prepares a full sync for is not broken, though its own
    /// INFO says down until the transfer begins.
    fn note_listing(&mut self, listed: Listed) {
        let link = self.facts.as_mut().ok().and_then(|facts| facts.upstream.as_mut());
        if let Some(Upstream {
            state: state @ LinkState::Down { reason: None, .. },
            ..
        }) = link
            && matches!(listed.state.as_str(), "wait_bgsave" | "send_bulk")
        {
            *state = LinkState::Syncing { percent: None };
        }
        self.listed = Some(listed);
    }
}

/// Every server found from some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// In the order they were found.
    pub servers: Vec<Server>,
    /// Those that follow nobody, or only each other.
    pub roots: Vec<ServerIndex>,
}

impl Topology {
    /// Walks up and down from `seeds`, asking each server once.
    pub fn survey(seeds: &[Address], probe: &mut dyn FnMut(&Address) -> Result<Facts, String>) -> Self {
        let mut names: BTreeMap<Address, ServerIndex> = BTreeMap::new();
        let mut runs: BTreeMap<String, ServerIndex> = BTreeMap::new();
        let mut topology = Self::default();
        let mut to_visit: VecDeque<Address> = seeds.iter().cloned().collect();
        while let Some(address) = to_visit.pop_front() {
            if names.contains_key(&address) || topology.servers.len() == SERVERS_MAX {
                continue;
            }
            let facts = probe(&address);
            let index = topology.servers.len();
            if let Ok(facts) = &facts {
                if let Some(&known) = runs.get(&facts.run_id).filter(|_| !facts.run_id.is_empty()) {
                    names.insert(address, known);
                    continue;
                }
                runs.insert(facts.run_id.clone(), index);
                to_visit.extend(
                    facts
                        .upstream
                        .iter()
                        .map(|upstream| upstream.address.clone().seen_from(&address)),
                );
                to_visit.extend(
                    facts
                        .replicas
                        .iter()
                        .map(|replica| replica.address.clone().seen_from(&address)),
                );
            }
            names.insert(address.clone(), index);
            topology.servers.push(Server {
                address,
                facts,
                parent: None,
                children: Vec::new(),
                listed: None,
            });
        }
        topology.link(&names);
        topology
    }

    /// Whether every server answers and no link is broken.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.servers.iter().all(Server::is_healthy)
    }

    /// How many bytes of its primary's history a replica lacks, as far as both tell.
    #[must_use]
    pub fn bytes_behind(&self, index: ServerIndex) -> Option<u64> {
        let server = &self.servers[index];
        let primary = self.servers[server.parent?].facts.as_ref().ok()?;
        let facts = server.facts.as_ref().ok()?;
        Some(primary.offset.saturating_sub(facts.offset))
    }

    /// Why the link of a replica is broken, in the best words there are.
    #[must_use]
    pub fn why_broken(&self, index: ServerIndex) -> Option<String> {
        let server = &self.servers[index];
        let LinkState::Down { reason, phase, .. } = &server.upstream()?.state else {
            return None;
        };
        if let Some(reason) = reason {
            return Some(reason.clone());
        }
        // A stock replica does not say; perhaps we find the same closed door.
        let primary = server.parent.map(|parent| &self.servers[parent]);
        Some(match primary.map(|primary| (&primary.address, &primary.facts)) {
            Some((address, Err(reason))) => format!("its primary {address} does not answer: {reason}"),
            _ => format!("the server does not say; its link is in phase '{phase}', its log may tell"),
        })
    }

    /// Connects the servers found: what a replica says of its primary first, then what primaries say of the silent.
    fn link(&mut self, names: &BTreeMap<Address, ServerIndex>) {
        for index in 0..self.servers.len() {
            let server = &self.servers[index];
            let upstream = server
                .upstream()
                .map(|upstream| upstream.address.clone().seen_from(&server.address));
            self.servers[index].parent = upstream.and_then(|address| names.get(&address).copied());
        }
        for teller in 0..self.servers.len() {
            let Ok(facts) = &self.servers[teller].facts else {
                continue;
            };
            for replica in facts.replicas.clone() {
                let address = replica.address.clone().seen_from(&self.servers[teller].address);
                let Some(&index) = names.get(&address) else { continue };
                let server = &mut self.servers[index];
                if server.facts.is_err() && server.parent.is_none() {
                    server.parent = Some(teller);
                }
                if server.parent == Some(teller) {
                    server.note_listing(replica);
                }
            }
        }
        self.find_roots();
        for index in 0..self.servers.len() {
            if let Some(parent) = self.servers[index].parent {
                self.servers[parent].children.push(index);
            }
        }
        for index in 0..self.servers.len() {
            let mut children = std::mem::take(&mut self.servers[index].children);
            children.sort_by_key(|&child| self.servers[child].address.clone());
            self.servers[index].children = children;
        }
    }

    /// Finds who follows nobody; servers that follow each other in a circle are cut at the first of them.
    fn find_roots(&mut self) {
        for index in 0..self.servers.len() {
            let mut at = index;
            let mut steps = 0;
            while let Some(parent) = self.servers[at].parent {
                at = parent;
                steps += 1;
                if at == index || steps > self.servers.len() {
                    break;
                }
            }
            if at == index {
                self.servers[index].parent = None;
                self.roots.push(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn primary(run: &str, replicas: &[&str]) -> Facts {
        let listed = |text: &&str| Listed {
            address: address(text),
            state: "online".into(),
            lag_seconds: Some(0),
        };
        let replicas = replicas.iter().map(listed).collect();
        Facts {
            run_id: run.into(),
            offset: 100,
            replicas,
            ..Facts::default()
        }
    }

    fn replica(run: &str, of: &str, replicas: &[&str]) -> Facts {
        let upstream = Upstream {
            address: address(of),
            state: LinkState::Up,
            silent_seconds: Some(0),
        };
        Facts {
            upstream: Some(upstream),
            offset: 90,
            ..primary(run, replicas)
        }
    }

    fn survey(seeds: &[&str], servers: &[(&str, Facts)]) -> Topology {
        let seeds: Vec<Address> = seeds.iter().map(|seed| address(seed)).collect();
        Topology::survey(&seeds, &mut |asked| {
            let found = servers.iter().find(|(name, _)| address(name) == *asked);
            found
                .map(|(_, facts)| facts.clone())
                .ok_or_else(|| "Connection refused".to_owned())
        })
    }

    /// `parent < child` for every edge, in address order.
    fn edges(topology: &Topology) -> Vec<String> {
        let name = |index: usize| topology.servers[index].address.to_string();
        let mut edges: Vec<String> = topology
            .servers
            .iter()
            .filter_map(|server| Some(format!("{} < {}", name(server.parent?), server.address)))
            .collect();
        edges.sort();
        edges
    }

    #[test]
    fn a_chain_is_found_from_its_end() {
        let servers = [
            ("h:1", primary("a", &["h:2", "h:4"])),
            ("h:2", replica("b", "h:1", &["h:3"])),
            ("h:3", replica("c", "h:2", &[])),
        ];
        for seed in ["h:1", "h:2", "h:3"] {
            let topology = survey(&[seed], &servers);
            assert_eq!(edges(&topology), ["h:1 < h:2", "h:1 < h:4", "h:2 < h:3"]);
            assert_eq!(topology.roots.len(), 1);
            assert!(!topology.is_healthy(), "h:4 does not answer");
        }
    }

    #[test]
    fn one_server_under_two_names_is_one() {
        let servers = [
            ("h:1", primary("a", &["10.0.0.2:2"])),
            ("10.0.0.2:2", replica("b", "h:1", &[])),
            ("h:2", replica("b", "h:1", &[])),
        ];
        let topology = survey(&["h:2"], &servers);
        assert_eq!(topology.servers.len(), 2);
        assert_eq!(edges(&topology), ["h:1 < h:2"]);
        assert!(topology.servers[0].listed.is_some());
        assert!(topology.is_healthy());
        assert_eq!(topology.bytes_behind(0), Some(10));
    }

    #[test]
    fn an_unreachable_primary_is_shown_as_such() {
        let mut lonely = replica("b", "h:1", &[]);
        let state = LinkState::Down {
            seconds: Some(3),
            reason: None,
            phase: "connect".into(),
        };
        lonely.upstream.as_mut().unwrap().state = state;
        let topology = survey(&["h:2"], &[("h:2", lonely)]);
        assert_eq!(edges(&topology), ["h:1 < h:2"]);
        assert_eq!(
            topology.why_broken(0).unwrap(),
            "its primary h:1 does not answer: Connection refused"
        );
        assert!(!topology.is_healthy());
    }

    /// A primary waits some seconds for more replicas before a full sync; until then the first one's link is "down".
    #[test]
    fn a_replica_that_is_waited_for_is_not_broken() {
        let mut waiting = replica("b", "h:1", &[]);
        waiting.upstream.as_mut().unwrap().state = LinkState::Down {
            seconds: None,
            reason: None,
            phase: "handshake".into(),
        };
        let mut leader = primary("a", &["h:2"]);
        leader.replicas[0].state = "wait_bgsave".into();
        let topology = survey(&["h:2"], &[("h:1", leader), ("h:2", waiting)]);
        assert!(topology.is_healthy());
        assert_eq!(topology.why_broken(0), None);
    }

    /// Two servers told to follow each other make no tree; the walk must end and show both.
    #[test]
    fn a_circle_is_cut() {
        let servers = [
            ("h:1", replica("a", "h:2", &[])),
            ("h:2", replica("b", "h:1", &[])),
            ("h:3", replica("c", "h:1", &[])),
        ];
        let topology = survey(&["h:3"], &servers);
        assert_eq!(topology.roots.len(), 1);
        assert_eq!(edges(&topology).len(), 2);
    }
}
