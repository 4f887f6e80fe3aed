//! `redis.conf`: reading it, CONFIG GET, SET and REWRITE.
//!
//! ```text
//!   command line ─ arguments::Invocation ─┐
//!   files, standard input ─ Outside ──────┼─► load ─► Config ─► get / prepare (SET) / rewrite
//!   table (one line per directive) ───────┘
//! ```
//! Nothing here opens a file or changes the process: the outside is reached through [`Outside`], and CONFIG SET yields
//! a new [`Config`] for the caller to apply and keep, or to drop.

pub mod arguments;
pub mod choices;
pub mod directive;
mod glob;
mod load;
pub mod numbers;
mod rewrite;
mod set;
mod setting;
pub mod special;
mod table;
pub mod title;
pub mod unbuilt;

use std::collections::BTreeSet;
use std::sync::LazyLock;

pub use arguments::Invocation;
pub use choices::*;
pub use directive::{Directive, Effect, Flags, is_sensitive};
pub use load::{LoadError, Outside, Place, load};
pub use rewrite::RewriteScope;
pub use set::{Prepared, SetContext, SetError};
pub use setting::{MemoryOrPercent, Permissions, Rule, Text};
pub use special::{
    Bind, Directory, KeyEvents, OomScores, OutputLimit, OutputLimits, Percentiles, Primary, ReplicaOf, SavePoint,
    SavePoints, ShutdownFlags,
};
pub use table::Config;
pub use unbuilt::Unbuilt;

/// What configuration holds beside settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct More {
    /// `rename-command`, in the order of the lines.
    renamed_commands: Vec<Rename>,
    /// The file that was read, as the command line names it.
    file: Option<String>,
    /// Directives that a line or CONFIG SET named.
    explicit: BTreeSet<&'static str>,
    /// What stood in the files, is not built, and was allowed as `unbuilt-directives warn`.
    unbuilt: Vec<Unbuilt>,
    /// True when the only `user` lines were those that stock servers write for a default user with all rights.
    only_default_user: bool,
}

/// A command under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The command's own name.
    pub from: Text,
    /// The name that clients must use; empty takes the command away.
    pub to: Text,
}

static DEFAULTS: LazyLock<Config> = LazyLock::new(Config::default);

impl Config {
    /// What holds without any configuration.
    #[must_use]
    pub fn defaults() -> &'static Self {
        &DEFAULTS
    }

    /// CONFIG GET: names and values that fit any of `patterns`, each name once.
    ///
    /// A word without `*`, `?` and `[` is looked up as it is and answered in the spelling it was asked in. Hidden
    /// directives answer only to such a word; older names answer beside the newer.
    #[must_use]
    pub fn get<'p>(&self, patterns: impl IntoIterator<Item = &'p [u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut answers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add = |name: &[u8], directive: &Directive| {
            if !answers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                answers.push((name.to_vec(), directive.show(self)));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
                if let Some(found) = directive::find(pattern) {
                    add(pattern, found.directive);
                }
                continue;
            }
            for directive in directive::all().filter(|directive| !directive.flags.has(Flags::HIDDEN)) {
                for name in [Some(directive.name), directive.alias].into_iter().flatten() {
                    if base::glob::matches(pattern, name.as_bytes(), true) {
                        add(name.as_bytes(), directive);
                    }
                }
            }
        }
        answers
    }

    /// `rename-command`, in the order of the lines.
    #[must_use]
    pub fn renamed_commands(&self) -> &[Rename] {
        &self.more.renamed_commands
    }

    /// The file that was read, as the command line names it; CONFIG REWRITE writes it.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.more.file.as_deref()
    }

    /// Directives that were set to something other than their default and do nothing yet, for a warning at the start.
    #[must_use]
    pub fn kept_without_effect(&self) -> Vec<&'static str> {
        directive::all()
            .filter(|directive| directive.effect == Effect::Kept && self.more.explicit.contains(directive.name))
            .filter(|directive| directive.differs_from_default(self))
            .map(|directive| directive.name)
            .collect()
    }

    /// What `unbuilt-directives warn` let pass, for a warning at the start.
    #[must_use]
    pub fn unbuilt(&self) -> &[Unbuilt] {
        &self.more.unbuilt
    }

    /// True when a line or CONFIG SET named the directive, whatever the value.
    #[must_use]
    pub fn is_explicit(&self, name: &str) -> bool {
        self.more.explicit.contains(name)
    }

    /// Brings values that are legal but out of their useful range into it, as stock servers do when they apply them.
    fn settle(&mut self) {
        self.hz = self.hz.clamp(1, 500);
        if self.watchdog_period > 0 {
            self.watchdog_period = self.watchdog_period.max(2 * (1000 / self.hz));
        }
    }
}
