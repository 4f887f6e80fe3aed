//! One directive: its name, what it accepts, who may change it, whether it has effect yet, and its field.

use crate::Config;
use crate::setting::{Rule, Setting};

/// A line of the table. Lookup is by [`find`]; the fields of [`Config`] hold the values.
pub struct Directive {
    /// The name that stock servers write.
    pub name: &'static str,
    /// An older name, answered as well.
    pub alias: Option<&'static str>,
    /// What it accepts.
    pub rule: Rule,
    /// Who may change it, and how it is shown.
    pub flags: Flags,
    /// Whether it does anything yet.
    pub effect: Effect,
    pub(crate) get: fn(&Config) -> &dyn Setting,
    pub(crate) get_mut: fn(&mut Config) -> &mut dyn Setting,
}

/// Whether a directive does anything yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what its documentation says.
    Now,
    /// It is checked, kept and answered by CONFIG GET, and nothing else: harmless when missing.
    Kept,
    /// A value other than the default would lose data or open a door if it were ignored; it stops the start. The text
    /// says what is missing and what to do.
    Unbuilt(&'static str),
}

/// A set of properties of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// Nothing special: CONFIG SET changes it.
    pub const MODIFIABLE: Self = Self(0);
    /// Only a start sets it.
    pub const IMMUTABLE: Self = Self(1);
    /// Its value is a secret: logs leave it out.
    pub const SENSITIVE: Self = Self(2);
    /// CONFIG SET needs `enable-protected-configs`.
    pub const PROTECTED: Self = Self(4);
    /// CONFIG GET answers it by its full name only.
    pub const HIDDEN: Self = Self(8);
    /// CONFIG SET is refused while data is loading.
    pub const DENY_LOADING: Self = Self(16);
    /// It takes several words, which CONFIG SET gives as one.
    pub const MULTI: Self = Self(32);
    /// Stock servers call it a debugging aid.
    pub const DEBUG: Self = Self(64);

    /// Both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when all of `other` is in here.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Directive {
    /// The value as CONFIG GET answers it.
    #[must_use]
    pub fn show(&self, config: &Config) -> Vec<u8> {
        (self.get)(config).show()
    }

    /// The words it may be, if it is one of a few.
    #[must_use]
    pub fn choices(&self) -> Vec<&'static str> {
        (self.get)(Config::defaults()).choices()
    }

    /// True when the value is not the default.
    #[must_use]
    pub fn differs_from_default(&self, config: &Config) -> bool {
        self.show(config) != self.show(Config::defaults())
    }
}

/// The directives, in groups.
pub fn all() -> impl Iterator<Item = &'static Directive> {
    crate::table::TABLE.iter()
}

/// A directive found, and which of its names found it.
#[derive(Clone, Copy)]
pub struct Found {
    /// The table's line.
    pub directive: &'static Directive,
    /// The name or the older name, as the table spells it.
    pub name: &'static str,
}

/// Finds a directive by either name, in any case.
#[must_use]
pub fn find(name: &[u8]) -> Option<Found> {
    let fits = |known: &&'static str| known.as_bytes().eq_ignore_ascii_case(name);
    all().find_map(|directive| {
        let name = [Some(directive.name), directive.alias]
            .into_iter()
            .flatten()
            .find(fits)?;
        Some(Found { directive, name })
    })
}

/// Whether the value of this directive is a secret.
#[must_use]
pub fn is_sensitive(name: &[u8]) -> bool {
    find(name).is_some_and(|found| found.directive.flags.has(Flags::SENSITIVE))
}

/// Lines that stock servers read without a setting behind them.
pub(crate) const LINE_ONLY: [&str; 5] = ["include", "rename-command", "user", "loadmodule", "sentinel"];

/// Directives of the past that stock servers accept and ignore: name, fewest and most words behind it.
pub(crate) const IGNORED: [(&str, usize, usize); 3] = [
    ("list-max-ziplist-entries", 1, 1),
    ("list-max-ziplist-value", 1, 1),
    ("lua-replicate-commands", 1, 1),
];

/// The known directive that `name` most likely means, if one is near: few letters swapped, missing or added.
#[must_use]
pub fn nearest(name: &[u8]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let names = all().filter(|directive| !directive.flags.has(Flags::HIDDEN));
    names
        .flat_map(|directive| [Some(directive.name), directive.alias])
        .flatten()
        .chain(LINE_ONLY)
        .map(|known| (distance(&name, known.as_bytes()), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= 1 + known.len().min(name.len()) / 5)
        .map(|(_, known)| known)
}

/// Fewest edits between two words: a letter added, dropped or replaced, or two neighbours swapped.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Declares the fields of [`Config`] with their defaults, and the table.
macro_rules! directives {
    ($(
        $(#[$doc:meta])*
        $name:literal $(/ $alias:literal)? => $field:ident: $type:ty = $default:expr, $rule:expr, $flags:expr, $effect:expr;
    )*) => {
        /// Every setting, as a plain field named as its directive with `_` for `-`.
        #[derive(Clone, Debug)]
        pub struct Config {
            $( #[doc = concat!("`", $name, "`. ")] $(#[$doc])* pub $field: $type, )*
            /// What is no setting.
            pub(crate) more: crate::More,
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $( $field: $default, )* more: crate::More::default() }
            }
        }

        pub(crate) static TABLE: &[Directive] = &[
            $( Directive {
                name: $name,
                alias: directives!(@alias $($alias)?),
                rule: $rule,
                flags: $flags,
                effect: $effect,
                get: |config| &config.$field,
                get_mut: |config| &mut config.$field,
            }, )*
        ];
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
}
pub(crate) use directives;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_directive() {
        assert_eq!(nearest(b"prot"), Some("port"));
        assert_eq!(nearest(b"maxmemroy"), Some("maxmemory"));
        assert_eq!(nearest(b"slaveoff"), Some("slaveof"));
        assert_eq!(nearest(b"require-pass"), Some("requirepass"));
        assert_eq!(nearest(b"something-else-altogether"), None);
    }

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut names: Vec<&str> = all().flat_map(|line| [Some(line.name), line.alias]).flatten().collect();
        assert!(names.iter().all(|name| *name == name.to_lowercase()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
