//! What the server tells about its commands: hints, completion and `help`, from COMMAND DOCS.

use std::collections::BTreeMap;

use resp::Value;

use crate::connection::{Connection, Error};

/// The documentation of one command or subcommand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doc {
    /// The name as one types it: `CONFIG GET`.
    pub name: String,
    /// One line.
    pub summary: String,
    /// The version that brought it.
    pub since: String,
    /// `string`, `generic`, …
    pub group: String,
    /// The arguments one by one: `key`, `[NX|XX]`, `element [element ...]`.
    pub arguments: Vec<String>,
}

/// All that a server documents, by lowercase name.
#[derive(Clone, Debug, Default)]
pub struct Docs {
    commands: BTreeMap<String, Doc>,
}

impl Docs {
    /// Asks the server. One that does not know COMMAND DOCS gives the bare names; one that knows nothing, nothing.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn fetch(connection: &mut Connection) -> Result<Self, Error> {
        let docs = Self::from_reply(&connection.call(&["COMMAND", "DOCS"])?);
        if !docs.is_empty() {
            return Ok(docs);
        }
        let names = connection.call(&["COMMAND", "LIST"])?;
        let names = names.as_elements().unwrap_or_default().iter().filter_map(text);
        let named = |name: String| {
            (
                name.to_lowercase(),
                Doc {
                    name: name.to_uppercase(),
                    ..Doc::default()
                },
            )
        };
        Ok(Self {
            commands: names.map(named).collect(),
        })
    }

    /// Reads the reply of COMMAND DOCS, in either protocol.
    #[must_use]
    pub fn from_reply(reply: &Value) -> Self {
        let mut commands = BTreeMap::new();
        for (name, fields) in pairs(reply) {
            if let Some(name) = text(name) {
                add(&mut commands, &name, fields);
            }
        }
        Self { commands }
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// What `words` begin: the command, and how many words its name takes.
    #[must_use]
    pub fn find(&self, words: &[String]) -> Option<(&Doc, usize)> {
        let first = words.first()?.to_lowercase();
        let sub = words
            .get(1)
            .and_then(|second| self.commands.get(&format!("{first} {}", second.to_lowercase())));
        sub.map(|doc| (doc, 2))
            .or_else(|| self.commands.get(&first).map(|doc| (doc, 1)))
    }

    /// The names that begin with `prefix`, whatever its case; in capitals unless the prefix is lowercase.
    #[must_use]
    pub fn completions(&self, prefix: &str) -> Vec<String> {
        let lower = prefix.to_lowercase();
        let as_typed = |name: &String| {
            if prefix == lower {
                name.clone()
            } else {
                name.to_uppercase()
            }
        };
        self.commands
            .keys()
            .filter(|name| name.starts_with(&lower))
            .map(as_typed)
            .collect()
    }

    /// All commands of a group.
    pub fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Doc> {
        self.commands
            .values()
            .filter(move |doc| doc.group.eq_ignore_ascii_case(group))
    }

    /// What is still to be typed behind `line`, if it begins a known command and ends with a blank.
    #[must_use]
    pub fn hint(&self, line: &str) -> Option<String> {
        let words: Vec<String> = base::words::split(line.as_bytes())
            .ok()?
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let (doc, name_words) = self.find(&words)?;
        let typed = words.len() - name_words;
        let rest = remaining(&doc.arguments, typed);
        let gap = if line.ends_with(char::is_whitespace) { "" } else { " " };
        let hint = rest.join(" ");
        (!hint.is_empty()).then(|| format!("{gap}{hint}"))
    }
}

/// The arguments left when `typed` words have been given: plain ones are used up one by one, what is optional or
/// repeated stays.
fn remaining(arguments: &[String], typed: usize) -> &[String] {
    let plain = |argument: &&String| !argument.contains(['[', ' ']);
    let used = arguments.iter().take(typed).take_while(plain).count();
    &arguments[used..]
}

/// Adds a command and its subcommands.
fn add(commands: &mut BTreeMap<String, Doc>, name: &str, fields: &Value) {
    let field = |wanted: &str| field(fields, wanted);
    let string = |wanted: &str| field(wanted).and_then(text).unwrap_or_default();
    let typed_name = name.replace('|', " ");
    let arguments = field("arguments").and_then(Value::as_elements).unwrap_or_default();
    let doc = Doc {
        name: typed_name.to_uppercase(),
        summary: string("summary"),
        since: string("since"),
        group: string("group"),
        arguments: arguments.iter().map(argument).collect(),
    };
    commands.insert(typed_name.to_lowercase(), doc);
    for (name, fields) in field("subcommands").map(pairs).unwrap_or_default() {
        if let Some(name) = text(name) {
            add(commands, &name, fields);
        }
    }
}

/// The syntax of one argument.
fn argument(fields: &Value) -> String {
    let string = |wanted: &str| field(fields, wanted).and_then(text);
    let flags = field(fields, "flags").and_then(Value::as_elements).unwrap_or_default();
    let has_flag = |flag: &str| flags.iter().any(|value| value.as_bytes() == Some(flag.as_bytes()));
    let inner = field(fields, "arguments")
        .and_then(Value::as_elements)
        .unwrap_or_default();
    let inner: Vec<String> = inner.iter().map(argument).collect();
    let token = string("token").filter(|token| !token.is_empty());

    let operand = match string("type").as_deref() {
        Some("oneof") => inner.join("|"),
        Some("block") => inner.join(" "),
        Some("pure-token") => String::new(),
        _ => string("display_text").or_else(|| string("name")).unwrap_or_default(),
    };
    let repeat_token = if has_flag("multiple_token") {
        token.clone()
    } else {
        None
    };
    let one = match &token {
        Some(token) if operand.is_empty() => token.clone(),
        Some(token) => format!("{token} {operand}"),
        None => operand.clone(),
    };
    let whole = match (has_flag("multiple"), repeat_token) {
        (false, _) => one,
        (true, Some(token)) => format!("{one} [{token} {operand} ...]"),
        (true, None) => format!("{one} [{operand} ...]"),
    };
    if has_flag("optional") {
        format!("[{whole}]")
    } else {
        whole
    }
}

/// The pairs of a map, or of the flat array that RESP2 makes of it.
fn pairs(value: &Value) -> Vec<(&Value, &Value)> {
    match value {
        Value::Map(pairs) => pairs.iter().map(|(key, value)| (key, value)).collect(),
        other => other
            .as_elements()
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|pair| (&pair[0], &pair[1]))
            .collect(),
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    pairs(value)
        .into_iter()
        .find(|(key, _)| key.as_bytes() == Some(name.as_bytes()))
        .map(|(_, value)| value)
}

fn text(value: &Value) -> Option<String> {
    value
        .as_bytes()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    fn fields(pairs: &[(&str, Value)]) -> Value {
        Value::Map(pairs.iter().map(|(name, value)| (bulk(name), value.clone())).collect())
    }

    fn set_docs() -> Docs {
        let flags = |names: &[&str]| Value::Set(names.iter().map(|name| Value::Simple((*name).into())).collect());
        let token = |token: &str| {
            fields(&[
                ("name", bulk("x")),
                ("type", bulk("pure-token")),
                ("token", bulk(token)),
            ])
        };
        let condition = fields(&[
            ("type", bulk("oneof")),
            ("flags", flags(&["optional"])),
            ("arguments", Value::Array(vec![token("NX"), token("XX")])),
        ]);
        let expiry = fields(&[
            ("name", bulk("seconds")),
            ("type", bulk("integer")),
            ("token", bulk("EX")),
            ("flags", flags(&["optional"])),
        ]);
        let plain = |name: &str| fields(&[("name", bulk(name)), ("type", bulk("string"))]);
        let arguments = Value::Array(vec![plain("key"), plain("value"), condition, expiry]);
        let many = fields(&[
            ("name", bulk("key")),
            ("type", bulk("key")),
            ("flags", flags(&["multiple"])),
        ]);
        let get = fields(&[("arguments", Value::Array(vec![plain("parameter")]))]);
        Docs::from_reply(&fields(&[
            ("set", fields(&[("group", bulk("string")), ("arguments", arguments)])),
            ("del", fields(&[("arguments", Value::Array(vec![many]))])),
            ("config", fields(&[("subcommands", fields(&[("config|get", get)]))])),
        ]))
    }

    #[test]
    fn hints_shrink_as_one_types() {
        let docs = set_docs();
        let check = |line: &str, expected: Option<&str>| assert_eq!(docs.hint(line).as_deref(), expected, "{line}");
        check("set", Some(" key value [NX|XX] [EX seconds]"));
        check("SET ", Some("key value [NX|XX] [EX seconds]"));
        check("SET k ", Some("value [NX|XX] [EX seconds]"));
        check("SET k v", Some(" [NX|XX] [EX seconds]"));
        check("SET k v EX 5 ", Some("[NX|XX] [EX seconds]"));
        check("del a b ", Some("key [key ...]"));
        check("config get ", Some("parameter"));
        check("config get x", None);
        check("nothing", None);
        check("set \"", None);
    }

    #[test]
    fn completion_keeps_the_case() {
        assert_eq!(set_docs().completions("con"), ["config", "config get"]);
        assert_eq!(set_docs().completions("S"), ["SET"]);
    }
}
