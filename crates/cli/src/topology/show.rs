//! The tree as text and as JSON.

use resp::Value;

use super::probe::{Address, Facts, LinkState};
use super::tree::{ServerIndex, Topology};

/// The tree, a server a line, with the reason under each broken link.
#[must_use]
pub fn as_tree(topology: &Topology) -> String {
    as_named_tree(topology, &|address| address.to_string())
}

/// As [`as_tree`], with names for the addresses.
#[must_use]
pub fn as_named_tree(topology: &Topology, name: &dyn Fn(&Address) -> String) -> String {
    let mut text = String::new();
    for &root in &topology.roots {
        branch(&mut text, topology, name, root, &Prefix::default());
    }
    text
}

/// What stands before the lines of a branch.
#[derive(Default)]
struct Prefix {
    /// Before its first line, behind the lines of the branches around it.
    mark: &'static str,
    /// The lines of the branches around it.
    stems: String,
    /// Before its other lines: the stem of its own parent.
    under: &'static str,
}

/// Writes a server and everything under it.
fn branch(
    text: &mut String,
    topology: &Topology,
    name: &dyn Fn(&Address) -> String,
    index: ServerIndex,
    prefix: &Prefix,
) {
    let server = &topology.servers[index];
    let Prefix { mark, stems, under } = prefix;
    text.push_str(&format!(
        "{stems}{mark}{}  {}\n",
        name(&server.address),
        line(topology, index)
    ));
    let stems = format!("{stems}{under}");
    let children = &server.children;
    let own_stem = if children.is_empty() { "    " } else { "│   " };
    for remark in remarks(topology, index) {
        text.push_str(&format!("{stems}{own_stem}  {remark}\n"));
    }
    for (position, &child) in children.iter().enumerate() {
        let (mark, under) = if position + 1 == children.len() {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        branch(
            text,
            topology,
            name,
            child,
            &Prefix {
                mark,
                stems: stems.clone(),
                under,
            },
        );
    }
}

/// What stands behind a server's address.
#[must_use]
pub fn line(topology: &Topology, index: ServerIndex) -> String {
    let server = &topology.servers[index];
    let facts = match &server.facts {
        Ok(facts) => facts,
        Err(reason) => return format!("UNREACHABLE: {reason}"),
    };
    let mut parts = vec![if facts.upstream.is_some() { "replica" } else { "primary" }.to_owned()];
    parts.extend(server.upstream().map(|upstream| link_text(&upstream.state)));
    parts.push(format!("offset {}", facts.offset));
    match facts.upstream {
        Some(_) => parts.extend(behind(topology, index)),
        None => parts.push(counted(facts.replicas.len(), "replica")),
    }
    parts.push(format!("{} ops/s", facts.ops_per_second));
    parts.push(counted(facts.keys as usize, "key"));
    if !facts.version.is_empty() {
        parts.push(facts.version.clone());
    }
    parts.join("  ")
}

/// `link up`, `link syncing, 40%`, `LINK DOWN for 12 s`.
#[must_use]
pub fn link_text(state: &LinkState) -> String {
    match state {
        LinkState::Up => "link up".to_owned(),
        LinkState::Syncing { percent: Some(percent) } => format!("link syncing, {percent}%"),
        LinkState::Syncing { percent: None } => "link syncing".to_owned(),
        LinkState::Down {
            seconds: Some(seconds), ..
        } => format!("LINK DOWN for {seconds} s"),
        LinkState::Down { seconds: None, .. } => "LINK DOWN".to_owned(),
    }
}

/// `0 bytes and 1 s behind`
fn behind(topology: &Topology, index: ServerIndex) -> Option<String> {
    let bytes = counted(topology.bytes_behind(index)? as usize, "byte");
    let lag = topology.servers[index]
        .listed
        .as_ref()
        .and_then(|listed| listed.lag_seconds);
    Some(match lag {
        Some(seconds) => format!("{bytes} and {seconds} s behind"),
        None => format!("{bytes} behind"),
    })
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The lines under a server: why its link is broken, how its primary sees it, whom it lost.
fn remarks(topology: &Topology, index: ServerIndex) -> Vec<String> {
    let server = &topology.servers[index];
    let mut remarks: Vec<String> = topology
        .why_broken(index)
        .map(|why| format!("why: {why}"))
        .into_iter()
        .collect();
    if let Some(listed) = server.listed.as_ref().filter(|listed| listed.state != "online") {
        remarks.push(format!("its primary lists it as {}", listed.state));
    }
    let lost: &[String] = server.facts.as_ref().map_or(&[], |facts| &facts.lost);
    remarks.extend(lost.iter().map(|lost| format!("lost: {lost}")));
    remarks
}

/// Everything as one reply, to be shown as JSON.
#[must_use]
pub fn as_value(topology: &Topology) -> Value {
    let servers = (0..topology.servers.len())
        .map(|index| server_value(topology, index))
        .collect();
    map(vec![
        ("healthy", Value::Boolean(topology.is_healthy())),
        ("servers", Value::Array(servers)),
    ])
}

fn server_value(topology: &Topology, index: ServerIndex) -> Value {
    let server = &topology.servers[index];
    let parent = server
        .parent
        .map(|parent| text(&topology.servers[parent].address.to_string()));
    let mut fields = vec![
        ("address", text(&server.address.to_string())),
        ("healthy", Value::Boolean(server.is_healthy())),
        ("reachable", Value::Boolean(server.facts.is_ok())),
        ("primary", parent.unwrap_or(Value::Null)),
    ];
    match &server.facts {
        Err(reason) => fields.push(("error", text(reason))),
        Ok(facts) => fields.extend(facts_fields(facts)),
    }
    if let Some(upstream) = server.upstream() {
        let listed = server.listed.as_ref();
        let (status, down_seconds) = match &upstream.state {
            LinkState::Up => ("up", None),
            LinkState::Syncing { .. } => ("syncing", None),
            LinkState::Down { seconds, .. } => ("down", *seconds),
        };
        fields.push((
            "link",
            map(vec![
                ("status", text(status)),
                (
                    "down_reason",
                    topology.why_broken(index).map_or(Value::Null, |why| text(&why)),
                ),
                ("down_seconds", optional(down_seconds)),
                ("silent_seconds", optional(upstream.silent_seconds)),
                ("bytes_behind", optional(topology.bytes_behind(index))),
                ("lag_seconds", optional(listed.and_then(|listed| listed.lag_seconds))),
                (
                    "state_at_primary",
                    listed.map_or(Value::Null, |listed| text(&listed.state)),
                ),
            ]),
        ));
    }
    map(fields)
}

fn facts_fields(facts: &Facts) -> Vec<(&'static str, Value)> {
    vec![
        (
            "role",
            text(if facts.upstream.is_some() { "replica" } else { "primary" }),
        ),
        ("version", text(&facts.version)),
        ("replid", text(&facts.replid)),
        ("offset", optional(Some(facts.offset))),
        ("replicas", optional(Some(facts.replicas.len() as u64))),
        ("ops_per_second", optional(Some(facts.ops_per_second))),
        ("keys", optional(Some(facts.keys))),
        (
            "lost_replicas",
            Value::Array(facts.lost.iter().map(|lost| text(lost)).collect()),
        ),
    ]
}

fn map(fields: Vec<(&str, Value)>) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (text(name), value)).collect())
}

fn text(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

fn optional(number: Option<u64>) -> Value {
    number
        .and_then(|number| i64::try_from(number).ok())
        .map_or(Value::Null, Value::Int)
}

#[cfg(test)]
mod tests {
    use super::super::probe::{Listed, Upstream};
    use super::*;
    use crate::format::{Delimiters, Style, reply};

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn example() -> Topology {
        let listed = |port: u16, state: &str| Listed {
            address: Address { host: "h".into(), port },
            state: state.into(),
            lag_seconds: Some(1),
        };
        let following = |of: &str, state: LinkState| {
            Some(Upstream {
                address: address(of),
                state,
                silent_seconds: Some(0),
            })
        };
        let down = LinkState::Down {
            seconds: Some(12),
            reason: Some("auth: WRONGPASS".into()),
            phase: "connect".into(),
        };
        let primary = Facts {
            run_id: "a".into(),
            version: "skein 0.1.0".into(),
            offset: 100,
            replicas: vec![listed(2, "online"), listed(3, "online")],
            ops_per_second: 5,
            keys: 1,
            lost: vec!["h:4, 3 s ago: output buffer limit".into()],
            ..Facts::default()
        };
        let servers = [
            ("h:1", primary),
            (
                "h:2",
                Facts {
                    run_id: "b".into(),
                    offset: 99,
                    upstream: following("h:1", LinkState::Up),
                    ..Facts::default()
                },
            ),
            (
                "h:5",
                Facts {
                    run_id: "c".into(),
                    offset: 70,
                    upstream: following("h:2", down),
                    ..Facts::default()
                },
            ),
        ];
        Topology::survey(&[address("h:5"), address("h:1")], &mut |asked| {
            let found = servers.iter().find(|(name, _)| address(name) == *asked);
            found
                .map(|(_, facts)| facts.clone())
                .ok_or_else(|| "Connection refused".to_owned())
        })
    }

    #[test]
    fn the_tree_says_what_is_wrong_where_it_is() {
        let expected = "\
h:1  primary  offset 100  2 replicas  5 ops/s  1 key  skein 0.1.0
│     lost: h:4, 3 s ago: output buffer limit
├── h:2  replica  link up  offset 99  1 byte and 1 s behind  0 ops/s  0 keys
│   └── h:5  replica  LINK DOWN for 12 s  offset 70  29 bytes behind  0 ops/s  0 keys
│             why: auth: WRONGPASS
└── h:3  UNREACHABLE: Connection refused
";
        assert_eq!(as_tree(&example()), expected);
    }

    #[test]
    fn json_holds_the_same() {
        let json = reply(&as_value(&example()), Style::Json, &Delimiters::default());
        let json = String::from_utf8(json).unwrap();
        assert!(
            json.starts_with(r#"{"healthy":false,"servers":[{"address":"h:5","healthy":false,"reachable":true,"#),
            "{json}"
        );
        assert!(
            json.contains(r#""down_reason":"auth: WRONGPASS","down_seconds":12"#),
            "{json}"
        );
        assert!(
            json.contains(
                r#"{"address":"h:3","healthy":false,"reachable":false,"primary":"h:1","error":"Connection refused"}"#
            ),
            "{json}"
        );
    }
}
