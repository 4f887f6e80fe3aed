//! What an epoch is about.

use harness::Rng;

use crate::oracle::grammar::{Group, Role};

/// What a run is restricted to.
#[derive(Debug, Default)]
pub struct Choice {
    /// Groups that epochs may be about; all if empty.
    pub only: Vec<String>,
    /// Groups that are never sent.
    pub without: Vec<String>,
}

/// Of which groups the commands of one epoch are, and how often.
pub struct Plan<'a> {
    groups: Vec<(u64, &'a Group)>,
    /// The words of a CONFIG SET to begin with.
    pub settings: Vec<&'static str>,
    /// The groups that most of the commands are of.
    pub about: Vec<&'static str>,
    /// Whether commands come in that are about no type.
    pub everywhere: bool,
}

/// Where collections change their form, each at the default and at some other values.
const THRESHOLDS: &[(&str, &[&str])] = &[
    ("hash-max-listpack-entries", &["512", "4", "0", "16"]),
    ("hash-max-listpack-value", &["64", "8", "0"]),
    ("set-max-intset-entries", &["512", "4", "0"]),
    ("zset-max-listpack-entries", &["128", "4", "0", "16"]),
    ("zset-max-listpack-value", &["64", "8", "0"]),
    ("list-max-listpack-size", &["-2", "-1", "1", "3", "128", "-5"]),
    ("list-compress-depth", &["0", "1", "2"]),
    ("stream-node-max-entries", &["100", "3", "1", "0"]),
    ("stream-node-max-bytes", &["4096", "0", "100"]),
    ("hll-sparse-max-bytes", &["3000", "0", "100", "20000"]),
];

impl<'a> Plan<'a> {
    pub fn new(rng: &mut Rng, groups: &'a [Group], choice: &Choice) -> Self {
        let sent = |group: &&Group| !choice.without.iter().any(|name| name == group.name);
        let chosen = |group: &&Group| match choice.only.is_empty() {
            true => group.role == Role::Type,
            false => choice.only.iter().any(|name| name == group.name),
        };
        let mut about: Vec<&Group> = groups.iter().filter(sent).filter(chosen).collect();
        let most = 1 + rng.below(3) as usize;
        while about.len() > most {
            about.remove(rng.below(about.len() as u64) as usize);
        }
        let everywhere = choice.only.is_empty();
        // What sorting hides is looked at in the other epochs: see `Context::sorted`.
        let sorts = rng.chance(1, 4);
        let sent = |group: &&Group| sent(group) && (sorts || group.name != "sort");
        let others = groups.iter().filter(sent).filter(|_| everywhere);
        let mut weighted: Vec<(u64, &Group)> = others
            .map(|group| {
                let weight = match (group.role, group.name) {
                    (Role::Type, _) => 3,
                    (_, "generic") => 30,
                    (_, "sort" | "transactions") => 5,
                    (_, "server") => 4,
                    _ => 2,
                };
                (weight, group)
            })
            .collect();
        if !everywhere {
            weighted.extend(
                groups
                    .iter()
                    .filter(sent)
                    .filter(|group| group.name == "generic")
                    .map(|group| (10, group)),
            );
        }
        weighted.extend(about.iter().map(|group| (150 / about.len() as u64, *group)));
        Self {
            groups: weighted,
            settings: settings(rng),
            about: about.iter().map(|group| group.name).collect(),
            everywhere,
        }
    }

    /// A group, by weight.
    pub fn pick(&self, rng: &mut Rng) -> &'a Group {
        let mut at = rng.below(self.groups.iter().map(|(weight, _)| weight).sum());
        for (weight, group) in &self.groups {
            if at < *weight {
                return group;
            }
            at -= weight;
        }
        self.groups[0].1
    }

    /// Whether commands of this group are sent.
    pub fn has(&self, name: &str) -> bool {
        self.groups.iter().any(|(_, group)| group.name == name)
    }
}

fn settings(rng: &mut Rng) -> Vec<&'static str> {
    if rng.chance(1, 3) {
        return Vec::new();
    }
    let mut words = vec!["CONFIG", "SET"];
    for (name, values) in THRESHOLDS {
        words.extend([name, *rng.pick(values)]);
    }
    words
}

/// The words of the CONFIG SET that takes all of this back.
pub fn default_thresholds() -> Vec<&'static str> {
    let pairs = THRESHOLDS.iter().flat_map(|(name, values)| [*name, values[0]]);
    ["CONFIG", "SET"].into_iter().chain(pairs).collect()
}
