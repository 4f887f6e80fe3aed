//! What Skein does not do yet, where ignoring it in silence would lose data or open a door.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::directive::{self, Effect};
use crate::setting::Text;
use crate::{Config, Place};

/// One directive with a value that is not built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbuilt {
    /// The directive.
    pub directive: String,
    /// What is missing and what to do.
    pub text: String,
    /// The line that set it, if it came from one.
    pub place: Option<Place>,
}

impl fmt::Display for Unbuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}': {}", self.directive, self.text)
    }
}

pub(crate) const USERS: &str = "users and their rights (ACL) are not built yet: everyone with the password could do \
     everything. Remove the line and protect the server with 'requirepass' and 'bind'.";
pub(crate) const APPEND_ONLY: &str = "the append-only file is not built yet: a crash would lose every write since the \
     last snapshot. Remove the line and rely on 'save' and on replicas, or stay on a stock server for now.";
pub(crate) const CLUSTER: &str = "cluster mode is not built yet: the server would take keys that belong to other nodes. \
     Remove the line to run it as a primary or a replica.";
pub(crate) const TLS: &str = "TLS is not built yet: connections would be neither encrypted nor checked. Remove the line \
     and put a TLS proxy in front, or keep the server inside a private network.";
const MODULES: &str = "modules cannot be loaded: their commands and data types would be missing. \
     Remove the line, or stay on a stock server.";

/// The directives of `config` whose values are not built.
pub(crate) fn of_values(config: &Config) -> Vec<Unbuilt> {
    directive::all()
        .filter_map(|directive| match directive.effect {
            Effect::Unbuilt(text) if directive.differs_from_default(config) => Some(missing(directive.name, text)),
            _ => None,
        })
        .collect()
}

/// What a line that is no setting asks for and is not built. `words` has the name in front.
pub(crate) fn of_line(words: &[Vec<u8>], requirepass: &Text) -> Option<Unbuilt> {
    let name = String::from_utf8_lossy(&words[0]).into_owned();
    match name.as_str() {
        "user" if is_plain_default_user(&words[1..], requirepass) => None,
        "user" => Some(missing(&name, USERS)),
        _ => Some(missing(&name, MODULES)),
    }
}

fn missing(directive: &str, text: &str) -> Unbuilt {
    Unbuilt {
        directive: directive.to_owned(),
        text: text.to_owned(),
        place: None,
    }
}

/// True for the line that stock servers write on CONFIG REWRITE when nobody touched their users: a default user with
/// all rights, and with no password or that of `requirepass`. It asks for nothing that Skein does not do.
fn is_plain_default_user(words: &[Vec<u8>], requirepass: &Text) -> bool {
    let [name, rules @ ..] = words else {
        return false;
    };
    let password = match requirepass.as_bytes() {
        [] => b"nopass".to_vec(),
        password => hash_rule(password),
    };
    let has = |rule: &[u8]| rules.iter().any(|word| word == rule);
    let plain: [&[u8]; 9] = [
        &password,
        b"on",
        b"~*",
        b"&*",
        b"+@all",
        b"allkeys",
        b"allchannels",
        b"allcommands",
        b"sanitize-payload",
    ];
    name == b"default"
        && has(b"on")
        && has(&password)
        && (has(b"~*") || has(b"allkeys"))
        && (has(b"&*") || has(b"allchannels"))
        && (has(b"+@all") || has(b"allcommands"))
        && rules.iter().all(|word| plain.contains(&word.as_slice()))
}

/// A password as a rule of a `user` line: `#` and its SHA-256 in hexadecimal.
fn hash_rule(password: &[u8]) -> Vec<u8> {
    let mut rule = String::from("#");
    for byte in Sha256::digest(password) {
        rule.push_str(&format!("{byte:02x}"));
    }
    rule.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_that_stock_servers_write_is_no_news() {
        let plain = |line: &str, password: &str| {
            let words = base::words::split(line.as_bytes()).unwrap();
            of_line(&words, &Text::from(password)).is_none()
        };
        assert!(plain("user default on nopass ~* &* +@all", ""));
        assert!(plain("user default on nopass sanitize-payload ~* &* +@all", ""));
        assert!(!plain("user default on nopass ~* &* +@all", "secret"));
        let hashed = "user default on #c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65 ~* &* +@all";
        assert!(plain(hashed, "a b"));
        assert!(!plain(hashed, "a c"));
        assert!(!plain(hashed, ""));
        assert!(!plain("user default on nopass ~* &* +@all -@dangerous", ""));
        assert!(!plain("user default off nopass ~* &* +@all", ""));
        assert!(!plain("user default on >secret ~* &* +@all", ""));
        assert!(!plain("user alice on nopass ~* &* +@all", ""));
        assert!(!plain("loadmodule /x.so", ""));
    }
}
