//! Settings with a shape of their own: addresses, save points, output limits, the primary, and the like.

use crate::numbers::{format_memory, parse_c_integer, parse_memory};
use crate::setting::{Line, Lines, Origin, Rule, Setting, Text, none_of};
use base::words::quote_into;

/// Most addresses that `bind` takes.
pub const BIND_ADDRESSES_MAX: usize = 16;

/// True for the one empty word that stands for *none*.
fn is_none(words: &[Vec<u8>]) -> bool {
    matches!(words, [word] if word.is_empty())
}

fn joined(words: impl IntoIterator<Item = String>) -> Vec<u8> {
    words.into_iter().collect::<Vec<_>>().join(" ").into_bytes()
}

/// Addresses to listen on. `*` and `::*` are all of IPv4 and IPv6; a leading `-` allows the address to be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind(pub Vec<Text>);

impl Default for Bind {
    fn default() -> Self {
        Self(vec![Text::from("*"), Text::from("-::*")])
    }
}

impl std::ops::Deref for Bind {
    type Target = [Text];

    fn deref(&self) -> &[Text] {
        &self.0
    }
}

impl Setting for Bind {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        if words.len() > BIND_ADDRESSES_MAX {
            return Err("Too many bind addresses specified.".to_owned());
        }
        self.0 = if is_none(words) {
            Vec::new()
        } else {
            words.iter().cloned().map(Text).collect()
        };
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        self.0.iter().map(Text::as_bytes).collect::<Vec<_>>().join(&b' ')
    }

    fn lines(&self, name: &str, _rule: &Rule, default: &dyn Setting) -> Lines {
        let shown = self.show();
        if shown == default.show() {
            return Lines::Absent;
        }
        let addresses = if self.0.is_empty() { b"\"\"".to_vec() } else { shown };
        Lines::one([name.as_bytes(), b" ", &addresses].concat(), true)
    }
}

/// A snapshot is due after `seconds` if at least `changes` keys changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last snapshot, 1 or more.
    pub seconds: i64,
    /// Changes since the last snapshot, 0 or more.
    pub changes: i64,
}

/// The `save` points; none switches automatic snapshots off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavePoints(pub Vec<SavePoint>);

impl Default for SavePoints {
    fn default() -> Self {
        let point = |(seconds, changes)| SavePoint { seconds, changes };
        Self([(3600, 1), (300, 100), (60, 10_000)].map(point).to_vec())
    }
}

impl std::ops::Deref for SavePoints {
    type Target = [SavePoint];

    fn deref(&self) -> &[SavePoint] {
        &self.0
    }
}

impl Setting for SavePoints {
    /// The first `save` line of a file replaces the defaults, further ones add to it.
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, origin: Origin) -> Result<(), String> {
        let none = is_none(words);
        let words = if none { &[] } else { words };
        let invalid = || "Invalid save parameters".to_owned();
        let (pairs, rest) = words.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(invalid());
        }
        let mut points = Vec::with_capacity(pairs.len());
        for [seconds, changes] in pairs {
            let seconds = parse_c_integer(seconds, 10).ok_or_else(invalid)?.value;
            let changes = parse_c_integer(changes, 10).ok_or_else(invalid)?.value;
            if seconds < 1 || changes < 0 {
                return Err(invalid());
            }
            // Stock servers keep 32 bits of the changes.
            points.push(SavePoint {
                seconds,
                changes: i64::from(changes as i32),
            });
        }
        match origin {
            Origin::File { first: false } if !none => self.0.extend(points),
            _ => self.0 = points,
        }
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        joined(
            self.0
                .iter()
                .map(|point| format!("{} {}", point.seconds, point.changes)),
        )
    }

    fn lines(&self, name: &str, _rule: &Rule, _default: &dyn Setting) -> Lines {
        if self.0.is_empty() {
            return Lines::one(format!("{name} \"\"").into_bytes(), true);
        }
        let line = |point: &SavePoint| Line {
            text: format!("{name} {} {}", point.seconds, point.changes).into_bytes(),
            force: true,
        };
        Lines::Some(self.0.iter().map(line).collect())
    }
}

/// How much unsent output closes a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// At so many bytes, at once; 0 is never.
    pub hard_bytes: u64,
    /// At so many bytes for `soft_seconds` in a row; 0 is never.
    pub soft_bytes: u64,
    /// Seconds.
    pub soft_seconds: i64,
}

/// `client-output-buffer-limit`, by class of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Clients that neither replicate nor subscribe.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Subscribers.
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    fn default() -> Self {
        let limit = |hard_bytes, soft_bytes, soft_seconds| OutputLimit {
            hard_bytes,
            soft_bytes,
            soft_seconds,
        };
        Self {
            normal: limit(0, 0, 0),
            replica: limit(256 << 20, 64 << 20, 60),
            pubsub: limit(32 << 20, 8 << 20, 60),
        }
    }
}

impl OutputLimits {
    fn class_mut(&mut self, name: &[u8]) -> Option<&mut OutputLimit> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Some(&mut self.normal),
            b"slave" | b"replica" => Some(&mut self.replica),
            b"pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }
}

impl Setting for OutputLimits {
    /// Classes that are not named keep their limits.
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        let (classes, rest) = words.as_chunks::<4>();
        if !rest.is_empty() {
            return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
        }
        let mut limits = *self;
        for [class, hard, soft, seconds] in classes {
            let limit = limits
                .class_mut(class)
                .ok_or("Invalid client class specified in buffer limit configuration.")?;
            let read = || {
                Some(OutputLimit {
                    hard_bytes: parse_memory(hard)?,
                    soft_bytes: parse_memory(soft)?,
                    // Stock servers keep 32 bits of the seconds.
                    soft_seconds: i64::from(parse_c_integer(seconds, 10)?.value as i32),
                })
            };
            *limit = read()
                .filter(|limit| limit.soft_seconds >= 0)
                .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
        }
        *self = limits;
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        let class = |name: &str, limit: &OutputLimit| {
            format!(
                "{name} {} {} {}",
                limit.hard_bytes, limit.soft_bytes, limit.soft_seconds
            )
        };
        joined([
            class("normal", &self.normal),
            class("slave", &self.replica),
            class("pubsub", &self.pubsub),
        ])
    }

    fn lines(&self, name: &str, _rule: &Rule, _default: &dyn Setting) -> Lines {
        let defaults = Self::default();
        let line = |class: &str, limit: &OutputLimit, default: &OutputLimit| Line {
            text: format!(
                "{name} {class} {} {} {}",
                format_memory(limit.hard_bytes),
                format_memory(limit.soft_bytes),
                limit.soft_seconds
            )
            .into_bytes(),
            force: limit != default,
        };
        Lines::Some(vec![
            line("normal", &self.normal, &defaults.normal),
            line("replica", &self.replica, &defaults.replica),
            line("pubsub", &self.pubsub, &defaults.pubsub),
        ])
    }
}

/// Where a replica's primary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Host name or address.
    pub host: Text,
    /// Port; stock servers take 0 here.
    pub port: u16,
}

/// `replicaof`: the primary, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaOf(pub Option<Primary>);

impl Setting for ReplicaOf {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        let [host, port] = words else {
            return Err("wrong number of arguments".to_owned());
        };
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            self.0 = None;
            return Ok(());
        }
        let port = parse_c_integer(port, 10).and_then(|read| u16::try_from(read.value).ok());
        self.0 = Some(Primary {
            host: Text(host.clone()),
            port: port.ok_or("Invalid master port")?,
        });
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        match &self.0 {
            Some(primary) => [primary.host.as_bytes(), format!(" {}", primary.port).as_bytes()].concat(),
            None => Vec::new(),
        }
    }

    fn lines(&self, name: &str, _rule: &Rule, _default: &dyn Setting) -> Lines {
        match self.0 {
            Some(_) => Lines::one([name.as_bytes(), b" ", &self.show()].concat(), true),
            None => Lines::Absent,
        }
    }
}

/// `oom-score-adj-values`: of a primary, of a replica, of a background process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomScores(pub [i64; 3]);

impl Setting for OomScores {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        let words: &[Vec<u8>; 3] = words.try_into().map_err(|_| "wrong number of arguments")?;
        let mut scores = [0; 3];
        for (score, word) in scores.iter_mut().zip(words) {
            *score = parse_c_integer(word, 10)
                .map(|read| read.value)
                .filter(|value| (-2000..=2000).contains(value))
                .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
        }
        self.0 = scores;
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        joined(self.0.iter().map(i64::to_string))
    }
}

/// `latency-tracking-info-percentiles`, each between 0 and 100.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentiles(pub Vec<f64>);

impl std::ops::Deref for Percentiles {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.0
    }
}

impl Setting for Percentiles {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        let words = if is_none(words) { &[] } else { words };
        let mut percentiles = Vec::with_capacity(words.len());
        for word in words {
            let value = base::number::parse_f64(word).ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            if !(0.0..=100.0).contains(&value) {
                let what = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
                return Err(what.to_owned());
            }
            percentiles.push(value);
        }
        self.0 = percentiles;
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        joined(self.0.iter().map(|value| format_percentile(*value)))
    }

    fn lines(&self, name: &str, _rule: &Rule, _default: &dyn Setting) -> Lines {
        let shown = if self.0.is_empty() {
            b"\"\"".to_vec()
        } else {
            self.show()
        };
        Lines::one([name.as_bytes(), b" ", &shown].concat(), true)
    }
}

/// A percentile as INFO and CONFIG GET print it: six decimals, trailing zeros dropped.
#[must_use]
pub fn format_percentile(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `notify-keyspace-events`: classes of events, and the channels they go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyEvents(u32);

/// Letters in the order in which stock servers show them. `A` stands for the first ten.
const EVENT_LETTERS: &[u8; 14] = b"g$lshzxetdnKEm";
const EVENT_ALL: u32 = (1 << 10) - 1;

impl KeyEvents {
    /// True when events of this class letter (or to this channel, `K` or `E`) are wanted.
    #[must_use]
    pub fn wants(self, letter: u8) -> bool {
        let position = EVENT_LETTERS.iter().position(|&known| known == letter);
        position.is_some_and(|position| self.0 & (1 << position) != 0)
    }

    /// True when nothing is published.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn parse(letters: &[u8]) -> Option<Self> {
        letters
            .iter()
            .try_fold(0, |flags, &letter| match letter {
                b'A' => Some(flags | EVENT_ALL),
                _ => EVENT_LETTERS
                    .iter()
                    .position(|&known| known == letter)
                    .map(|position| flags | 1 << position),
            })
            .map(Self)
    }
}

impl Setting for KeyEvents {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        let word = crate::setting::single(words)?;
        *self = Self::parse(word).ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
        Ok(())
    }

    /// With all classes on, stock servers say `A` and are silent about `n`.
    fn show(&self) -> Vec<u8> {
        let all = self.0 & EVENT_ALL == EVENT_ALL;
        let single = |&letter: &u8| match letter {
            b'K' | b'E' | b'm' => self.wants(letter),
            _ => !all && self.wants(letter),
        };
        let mut shown = if all { b"A".to_vec() } else { Vec::new() };
        shown.extend(EVENT_LETTERS.iter().copied().filter(single));
        shown
    }

    fn lines(&self, name: &str, _rule: &Rule, _default: &dyn Setting) -> Lines {
        let mut line = [name.as_bytes(), b" "].concat();
        quote_into(&mut line, &self.show());
        Lines::one(line, !self.is_empty())
    }
}

/// `shutdown-on-sigint` and `shutdown-on-sigterm`: the options of SHUTDOWN that a signal stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownFlags {
    /// Save even if no save points are set.
    pub save: bool,
    /// Do not save.
    pub nosave: bool,
    /// Do not wait for replicas.
    pub now: bool,
    /// Go even if saving fails.
    pub force: bool,
}

const SHUTDOWN_WORDS: [&str; 5] = ["default", "save", "nosave", "now", "force"];

impl Setting for ShutdownFlags {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        let mut flags = Self::default();
        for word in words {
            match word.to_ascii_lowercase().as_slice() {
                b"default" => {}
                b"save" => flags.save = true,
                b"nosave" => flags.nosave = true,
                b"now" => flags.now = true,
                b"force" => flags.force = true,
                _ => return Err(none_of(&SHUTDOWN_WORDS)),
            }
        }
        if words.is_empty() {
            return Err(none_of(&SHUTDOWN_WORDS));
        }
        if flags.save && flags.nosave {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".to_owned());
        }
        *self = flags;
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        let set = [self.save, self.nosave, self.now, self.force];
        let words: Vec<&str> = SHUTDOWN_WORDS[1..]
            .iter()
            .zip(set)
            .filter_map(|(word, on)| on.then_some(*word))
            .collect();
        if words.is_empty() {
            b"default".to_vec()
        } else {
            words.join(" ").into_bytes()
        }
    }

    fn choices(&self) -> Vec<&'static str> {
        SHUTDOWN_WORDS.to_vec()
    }
}

/// `dir`: the working directory, as an absolute path once the process is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory(pub Text);

impl Setting for Directory {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        let [path] = words else {
            return Err("wrong number of arguments".to_owned());
        };
        self.0 = Text(path.clone());
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        self.0.0.clone()
    }

    fn lines(&self, name: &str, _rule: &Rule, _default: &dyn Setting) -> Lines {
        let mut line = [name.as_bytes(), b" "].concat();
        quote_into(&mut line, self.0.as_bytes());
        Lines::one(line, true)
    }
}

/// Checks of texts, with the words of stock servers.
pub(crate) mod check {
    type Checked = Result<(), &'static str>;

    pub(crate) fn anything(_: &[u8]) -> Checked {
        Ok(())
    }

    fn is_path(text: &[u8]) -> bool {
        text.contains(&b'/') || text.contains(&b'\\')
    }

    pub(crate) fn dump_file(text: &[u8]) -> Checked {
        if is_path(text) {
            Err("dbfilename can't be a path, just a filename")
        } else {
            Ok(())
        }
    }

    pub(crate) fn append_file(text: &[u8]) -> Checked {
        match text {
            [] => Err("appendfilename can't be empty"),
            _ if is_path(text) => Err("appendfilename can't be a path, just a filename"),
            _ => Ok(()),
        }
    }

    pub(crate) fn append_directory(text: &[u8]) -> Checked {
        match text {
            [] => Err("appenddirname can't be empty"),
            _ if is_path(text) => Err("appenddirname can't be a path, just a dirname"),
            _ => Ok(()),
        }
    }

    pub(crate) fn host_name(text: &[u8]) -> Checked {
        if text.len() >= 256 {
            return Err("Hostnames must be less than 256 characters");
        }
        let fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if text.iter().all(fine) {
            Ok(())
        } else {
            Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
        }
    }

    pub(crate) fn title_template(text: &[u8]) -> Checked {
        let fine = crate::title::expand(text, &|_| Some("x".into())).is_some_and(|title| !title.is_empty());
        if fine {
            Ok(())
        } else {
            Err("template format is invalid or contains unknown variables")
        }
    }
}
