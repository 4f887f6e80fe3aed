//! What one server says about itself.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use resp::Value;

use crate::connection::{Connection, Credentials, Endpoint, Error, io_text};
use crate::modes::info_field;

/// A server's place, as somebody names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A name or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port` or `[address]:port`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }

    /// The same place for us: a server that names a neighbour on its own machine means that machine, not ours.
    #[must_use]
    pub fn seen_from(self, teller: &Address) -> Self {
        if is_loopback(&self.host) && !is_loopback(&teller.host) {
            return Self {
                host: teller.host.clone(),
                ..self
            };
        }
        self
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// What a server told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name of this run of this server: what tells two addresses of one server from two servers.
    pub run_id: String,
    /// Its product and version.
    pub version: String,
    /// The history it is at.
    pub replid: String,
    /// The bytes of that history it has.
    pub offset: u64,
    /// Whom it follows; a primary follows nobody.
    pub upstream: Option<Upstream>,
    /// Who follows it, as it sees them.
    pub replicas: Vec<Listed>,
    /// The replicas it lost lately, and why, in its own words.
    pub lost: Vec<String>,
    /// Commands it executed in the last second.
    pub ops_per_second: u64,
    /// Keys in all databases.
    pub keys: u64,
    /// Full resyncs it has given.
    pub full_syncs: u64,
    /// Partial resyncs it has given.
    pub partial_syncs: u64,
}

/// A replica's link to its primary, as the replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The primary.
    pub address: Address,
    /// How the link is.
    pub state: LinkState,
    /// Seconds since the primary was last heard.
    pub silent_seconds: Option<u64>,
}

/// How a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The stream flows.
    Up,
    /// A full sync is under way.
    Syncing {
        /// How much of it is here, in percent, when the server knows.
        percent: Option<String>,
    },
    /// Neither.
    Down {
        /// Since when.
        seconds: Option<u64>,
        /// Why, in the replica's words; stock servers have none.
        reason: Option<String>,
        /// The phase that ROLE names: `connect`, `connecting`, `handshake`.
        phase: String,
    },
}

/// A replica as its primary lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where the primary believes it listens.
    pub address: Address,
    /// `online`, or the phase of its full sync.
    pub state: String,
    /// Seconds since it last acknowledged.
    pub lag_seconds: Option<u64>,
}

/// Asks servers, over connections that are kept.
#[derive(Debug)]
pub struct Prober {
    credentials: Credentials,
    timeout: Duration,
    connections: BTreeMap<Address, Connection>,
}

impl Prober {
    /// One that authenticates with `credentials` and gives each server `timeout` to connect and to answer.
    #[must_use]
    pub fn new(credentials: Credentials, timeout: Duration) -> Self {
        Self {
            credentials,
            timeout,
            connections: BTreeMap::new(),
        }
    }

    /// What the server at `address` says.
    ///
    /// # Errors
    /// Why it says nothing, for people.
    pub fn probe(&mut self, address: &Address) -> Result<Facts, String> {
        if let Some(kept) = self.connections.get_mut(address)
            && let Ok(facts) = ask(kept)
        {
            return facts;
        }
        self.connections.remove(address);
        let mut connection = self.connect(address)?;
        let facts = ask(&mut connection).map_err(|error| error.to_string())??;
        self.connections.insert(address.clone(), connection);
        Ok(facts)
    }

    /// A connection to `address`, kept or new, to send commands on.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn connection(&mut self, address: &Address) -> Result<&mut Connection, String> {
        if !self.connections.contains_key(address) {
            let connection = self.connect(address)?;
            self.connections.insert(address.clone(), connection);
        }
        self.connections
            .get_mut(address)
            .ok_or_else(|| "not connected".to_owned())
    }

    /// Gives up the connection to `address`.
    pub fn forget(&mut self, address: &Address) {
        self.connections.remove(address);
    }

    fn connect(&self, address: &Address) -> Result<Connection, String> {
        let endpoint = Endpoint::Tcp {
            host: address.host.clone(),
            port: address.port,
        };
        let mut connection = Connection::open(&endpoint, Some(self.timeout)).map_err(|error| io_text(&error))?;
        connection
            .set_timeout(Some(self.timeout))
            .map_err(|error| io_text(&error))?;
        let Some(auth) = self.credentials.command() else {
            return Ok(connection);
        };
        let reply = connection.call(&auth).map_err(|error| error.to_string())?;
        match reply.as_error() {
            // A server without a password among servers with one is no reason to stop.
            Some(line) if !line.starts_with(b"ERR") => {
                Err(format!("it refuses our password: {}", String::from_utf8_lossy(line)))
            }
            _ => Ok(connection),
        }
    }
}

/// Asks on a connection: outer errors are the connection's, inner ones the server's.
fn ask(connection: &mut Connection) -> Result<Result<Facts, String>, Error> {
    let info = connection.call(&["INFO"])?;
    if let Some(line) = info.as_error() {
        let line = String::from_utf8_lossy(line);
        let hint = if line.starts_with("NOAUTH") {
            "it asks for a password (-a): "
        } else {
            ""
        };
        return Ok(Err(format!("{hint}{line}")));
    }
    let role = connection.call(&["ROLE"])?;
    let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
    Ok(Ok(facts(&info, &role)))
}

fn facts(info: &str, role: &Value) -> Facts {
    let text = |name: &str| info_field(info, name).unwrap_or_default().to_owned();
    let number = |name: &str| info_field(info, name).and_then(|value| value.parse().ok());
    let upstream = (text("role") == "slave").then(|| upstream(info, role));
    let offset = if upstream.is_some() {
        number("slave_repl_offset")
    } else {
        number("master_repl_offset")
    };
    let product = ["skein_version", "valkey_version", "redis_version"]
        .into_iter()
        .find_map(|name| {
            let version = info_field(info, name)?;
            Some(format!("{} {version}", name.trim_end_matches("_version")))
        });
    Facts {
        run_id: text("run_id"),
        version: product.unwrap_or_default(),
        replid: text("master_replid"),
        offset: offset.unwrap_or(0),
        upstream,
        replicas: listed(info),
        lost: lost(info),
        ops_per_second: number("instantaneous_ops_per_sec").unwrap_or(0),
        keys: info.lines().filter_map(database_keys).sum(),
        full_syncs: number("sync_full").unwrap_or(0),
        partial_syncs: number("sync_partial_ok").unwrap_or(0),
    }
}

fn upstream(info: &str, role: &Value) -> Upstream {
    let text = |name: &str| info_field(info, name).unwrap_or_default();
    let number = |name: &str| {
        text(name)
            .parse::<i64>()
            .ok()
            .and_then(|number| u64::try_from(number).ok())
    };
    // ROLE of a replica: "slave", host, port, phase, offset.
    let phase = role
        .as_elements()
        .and_then(|parts| parts.get(3)?.as_bytes())
        .unwrap_or_default();
    let state = if text("master_link_status") == "up" {
        LinkState::Up
    } else if text("master_sync_in_progress") == "1" || phase == b"sync" {
        let percent = info_field(info, "master_sync_perc").filter(|percent| !percent.starts_with('-'));
        LinkState::Syncing {
            percent: percent.map(str::to_owned),
        }
    } else {
        LinkState::Down {
            // A link that never was up has no seconds in stock words; Skein tells since when it tries.
            seconds: number("master_link_down_since_seconds")
                .or_else(|| Some(unix_seconds().saturating_sub(number("master_link_down_since_unix")?))),
            reason: Some(text("master_link_down_reason").to_owned()).filter(|reason| !reason.is_empty()),
            phase: String::from_utf8_lossy(phase).into_owned(),
        }
    };
    Upstream {
        address: Address {
            host: text("master_host").to_owned(),
            port: text("master_port").parse().unwrap_or(0),
        },
        state,
        silent_seconds: number("master_last_io_seconds_ago"),
    }
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// `slave0:ip=127.0.0.1,port=7002,state=online,offset=14,lag=1`
fn listed(info: &str) -> Vec<Listed> {
    let replica = |line: &str| -> Option<Listed> {
        let (index, fields) = line.strip_prefix("slave")?.split_once(':')?;
        index.parse::<u32>().ok()?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Listed {
            address: Address {
                host: field("ip")?.to_owned(),
                port: field("port")?.parse().ok()?,
            },
            state: field("state")?.to_owned(),
            lag_seconds: field("lag").and_then(|lag| lag.parse().ok()),
        })
    };
    info.lines().map(str::trim_end).filter_map(replica).collect()
}

/// `lost_replica0:ip=127.0.0.1,port=7002,reason=closed by the replica,seconds_ago=3`: only Skein has these.
fn lost(info: &str) -> Vec<String> {
    let entry = |line: &str| -> Option<String> {
        let (index, rest) = line.strip_prefix("lost_replica")?.split_once(':')?;
        index.parse::<u32>().ok()?;
        Some(lost_text(rest).unwrap_or_else(|| rest.to_owned()))
    };
    info.lines().map(str::trim_end).filter_map(entry).collect()
}

/// The reason may hold commas, so it is what lies between its neighbours.
fn lost_text(fields: &str) -> Option<String> {
    let (host, rest) = fields.strip_prefix("ip=")?.split_once(",port=")?;
    let (port, rest) = rest.split_once(",reason=")?;
    let (reason, seconds) = rest.rsplit_once(",seconds_ago=")?;
    let address = Address {
        host: host.to_owned(),
        port: port.parse().ok()?,
    };
    Some(format!("{address}, {seconds} s ago: {reason}"))
}

/// `db0:keys=3,expires=0,avg_ttl=0`
fn database_keys(line: &str) -> Option<u64> {
    let (index, fields) = line.strip_prefix("db")?.split_once(":keys=")?;
    index.parse::<u32>().ok()?;
    fields.split(',').next()?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLICA: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n# Replication\r\nrole:slave\r\n\
        master_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\n\
        master_sync_in_progress:0\r\nslave_read_repl_offset:70\r\nslave_repl_offset:70\r\n\
        master_link_down_since_seconds:12\r\nmaster_link_down_reason:auth: WRONGPASS no\r\nconnected_slaves:1\r\n\
        slave0:ip=::1,port=7002,state=online,offset=14,lag=1\r\n\
        lost_replica0:ip=10.0.0.4,port=1,reason=too slow, too long,seconds_ago=3\r\nmaster_replid:fff\r\nmaster_repl_offset:70\r\n\
        # Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ndb9:keys=4,expires=0,avg_ttl=0\r\n";

    #[test]
    fn a_replica_with_a_broken_link_and_one_of_its_own() {
        let role = Value::Array(vec![
            Value::Bulk(b"slave".to_vec()),
            Value::Bulk(b"10.0.0.1".to_vec()),
            Value::Int(6379),
            Value::Bulk(b"connect".to_vec()),
            Value::Int(70),
        ]);
        let facts = facts(REPLICA, &role);
        let upstream = facts.upstream.unwrap();
        assert_eq!(upstream.address.to_string(), "10.0.0.1:6379");
        let reason = Some("auth: WRONGPASS no".to_owned());
        assert_eq!(
            upstream.state,
            LinkState::Down {
                seconds: Some(12),
                reason,
                phase: "connect".into()
            }
        );
        assert_eq!(upstream.silent_seconds, None);
        assert_eq!(facts.replicas[0].address.to_string(), "[::1]:7002");
        assert_eq!(facts.replicas[0].lag_seconds, Some(1));
        assert_eq!(
            (facts.offset, facts.keys, facts.version.as_str()),
            (70, 7, "redis 7.0.15")
        );
    }

    #[test]
    fn a_neighbour_on_the_tellers_machine() {
        let address = |text: &str| Address::parse(text).unwrap();
        assert_eq!(
            address("127.0.0.1:1").seen_from(&address("10.0.0.1:2")),
            address("10.0.0.1:1")
        );
        assert_eq!(
            address("127.0.0.1:1").seen_from(&address("localhost:2")),
            address("127.0.0.1:1")
        );
        assert_eq!(
            address("10.0.0.3:1").seen_from(&address("10.0.0.1:2")),
            address("10.0.0.3:1")
        );
        assert_eq!(Address::parse("[::1]:5").unwrap().host, "::1");
        assert_eq!(Address::parse("nonsense"), None);
    }
}
