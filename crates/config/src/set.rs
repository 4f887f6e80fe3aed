//! CONFIG SET: check every pair, then hand back a whole new configuration for the caller to apply and keep.

use std::fmt;

use crate::Config;
use crate::choices::UnbuiltDirectives;
use crate::directive::{self, Flags, Found};
use crate::setting::Origin;
use crate::unbuilt;

/// What decides whether a directive may be changed now.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetContext {
    /// True while data is loading.
    pub loading: bool,
    /// True when `enable-protected-configs` allows this client to change protected directives.
    pub protected_allowed: bool,
}

/// A configuration that passed all checks. The caller applies what changed (listens on the new port, enters the new
/// directory), and then makes it the one that holds, or drops it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The configuration to be.
    pub config: Config,
    /// The directives whose values are new, by the names that stock servers write.
    pub changed: Vec<&'static str>,
}

/// Why CONFIG SET is refused. Its text is the error reply, without the leading `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// Names and values do not pair up.
    Syntax,
    /// There is no such directive.
    Unknown(Vec<u8>),
    /// Not while data is loading.
    Loading,
    /// A value, or the directive, cannot be set.
    Failed {
        /// The directive, as the client named it.
        name: Vec<u8>,
        /// What is wrong.
        what: String,
    },
}

impl SetError {
    /// The error of a directive that could not be applied.
    #[must_use]
    pub fn failed(name: &str, what: impl Into<String>) -> Self {
        Self::Failed {
            name: name.as_bytes().to_vec(),
            what: what.into(),
        }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("ERR syntax error"),
            Self::Unknown(name) => {
                let name = String::from_utf8_lossy(name);
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Loading => f.write_str("LOADING Redis is loading the dataset in memory"),
            Self::Failed { name, what } => {
                let name = String::from_utf8_lossy(name);
                write!(
                    f,
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - {what}"
                )
            }
        }
    }
}

impl std::error::Error for SetError {}

impl Config {
    /// Checks all of `words`, which are names and values in turn, and prepares the configuration that they make.
    ///
    /// # Errors
    /// The first refusal, in the order of stock servers: names, permissions and duplicates of all pairs before any
    /// value. Nothing has changed then.
    pub fn prepare(&self, words: &[&[u8]], context: SetContext) -> Result<Prepared, SetError> {
        let (pairs, []) = words.as_chunks::<2>() else {
            return Err(SetError::Syntax);
        };
        let found = may_change(pairs, context)?;
        let mut config = self.clone();
        for (found, [_, value]) in found.iter().zip(pairs) {
            assign(&mut config, found, value).map_err(|what| SetError::failed(found.name, what))?;
        }
        config.settle_after_command(self);
        for found in &found {
            config.more.explicit.insert(found.directive.name);
        }
        refuse_unbuilt(self, &config, &found)?;
        let changed = directive::all()
            .filter(|directive| directive.show(self) != directive.show(&config))
            .map(|directive| directive.name)
            .collect();
        Ok(Prepared { config, changed })
    }

    fn settle_after_command(&mut self, before: &Self) {
        self.settle();
        // A backlog of less than 16 KiB cannot be had; a file may ask for it, a command sees what it gets.
        if self.repl_backlog_size != before.repl_backlog_size {
            self.repl_backlog_size = self.repl_backlog_size.max(16 << 10);
        }
    }
}

/// Finds every directive and checks that it may be changed at all.
fn may_change(pairs: &[[&[u8]; 2]], context: SetContext) -> Result<Vec<Found>, SetError> {
    let mut all: Vec<Found> = Vec::with_capacity(pairs.len());
    for [name, _] in pairs {
        let found = directive::find(name).ok_or_else(|| SetError::Unknown(name.to_vec()))?;
        let flags = found.directive.flags;
        let refuse = |what: &str| {
            Err(SetError::Failed {
                name: name.to_vec(),
                what: what.to_owned(),
            })
        };
        if flags.has(Flags::IMMUTABLE) {
            return refuse("can't set immutable config");
        }
        if flags.has(Flags::PROTECTED) && !context.protected_allowed {
            return refuse("can't set protected config");
        }
        if flags.has(Flags::DENY_LOADING) && context.loading {
            return Err(SetError::Loading);
        }
        if all.iter().any(|other| other.name == found.name) {
            return refuse("duplicate parameter");
        }
        all.push(found);
    }
    Ok(all)
}

fn assign(config: &mut Config, found: &Found, value: &[u8]) -> Result<(), String> {
    let directive = found.directive;
    // Words are split at single spaces here, without quotes; nothing at all is no words.
    let words: Vec<Vec<u8>> = match value {
        [] if directive.flags.has(Flags::MULTI) => Vec::new(),
        _ if directive.flags.has(Flags::MULTI) => value.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect(),
        _ => vec![value.to_vec()],
    };
    (directive.get_mut)(config).assign(&words, &directive.rule, Origin::Command)?;
    if found.directive.name == "activedefrag" && config.activedefrag {
        return Err("Active defragmentation cannot be enabled: Skein has none".to_owned());
    }
    Ok(())
}

/// Refuses a value that would lose data or open a door because it is not built, unless it held before.
fn refuse_unbuilt(before: &Config, after: &Config, found: &[Found]) -> Result<(), SetError> {
    if after.unbuilt_directives == UnbuiltDirectives::Warn {
        return Ok(());
    }
    let held = unbuilt::of_values(before);
    let Some(new) = unbuilt::of_values(after).into_iter().find(|new| !held.contains(new)) else {
        return Ok(());
    };
    // `maxmemory` makes the policy wrong as much as the other way round: name what the client named.
    let named = found.iter().find(|found| found.directive.name == new.directive);
    let name = named
        .or(found.first())
        .map_or(new.directive.as_str(), |found| found.name);
    Err(SetError::failed(name, new.text))
}
