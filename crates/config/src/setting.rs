//! What every kind of setting can do: take words, show itself, write its line.

use crate::numbers::{format_memory, parse_c_integer, parse_memory};
use base::words::quote_into;

/// Where words come from; some settings add up in a file and are replaced by a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of a file, of standard input or of the command line.
    File {
        /// True for the first line of this directive in the whole load.
        first: bool,
    },
    /// CONFIG SET.
    Command,
}

/// What a directive accepts beyond its field's type.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// The type says everything.
    Own,
    /// An integer between two bounds, both allowed.
    Int(i64, u64),
    /// A memory size in bytes, from and to.
    Memory(u64, u64),
    /// Permission bits, in octal.
    Octal(u32, u32),
    /// A text.
    Text {
        /// True when empty means *not set*: the line then vanishes from a rewritten file.
        unset_when_empty: bool,
        /// Says what is wrong with a text.
        check: fn(&[u8]) -> Result<(), &'static str>,
    },
}

/// A value that a directive sets. `words` are the words behind the directive's name.
pub(crate) trait Setting {
    /// Takes a new value, or says what is wrong with it and stays as it was.
    fn assign(&mut self, words: &[Vec<u8>], rule: &Rule, origin: Origin) -> Result<(), String>;
    /// The value as CONFIG GET answers it.
    fn show(&self) -> Vec<u8>;
    /// The line or lines of a rewritten file.
    fn lines(&self, name: &str, rule: &Rule, default: &dyn Setting) -> Lines {
        let _ = rule;
        let line = [name.as_bytes(), b" ", &self.show()].concat();
        Lines::one(line, self.show() != default.show())
    }
    /// Lists the words it may be, for a setting that is one of a few.
    fn choices(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// The lines that stand for a directive in a rewritten file.
pub(crate) enum Lines {
    /// None: lines that the old file has go away.
    Absent,
    /// Each reuses a line of the old file; where there is none, it is appended if `force`, else left out.
    Some(Vec<Line>),
}

pub(crate) struct Line {
    pub text: Vec<u8>,
    pub force: bool,
}

impl Lines {
    pub(crate) fn one(text: Vec<u8>, force: bool) -> Self {
        Self::Some(vec![Line { text, force }])
    }
}

/// The only word of a directive that takes one.
pub(crate) fn single(words: &[Vec<u8>]) -> Result<&[u8], String> {
    match words {
        [word] => Ok(word),
        _ => Err("wrong number of arguments".to_owned()),
    }
}

impl Setting for bool {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        let word = single(words)?;
        *self = match word.to_ascii_lowercase().as_slice() {
            b"yes" => true,
            b"no" => false,
            _ => return Err("argument must be 'yes' or 'no'".to_owned()),
        };
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        if *self { b"yes".to_vec() } else { b"no".to_vec() }
    }
}

fn outside(min: impl std::fmt::Display, max: impl std::fmt::Display) -> String {
    format!("argument must be between {min} and {max} inclusive")
}

/// Declares integers of several widths; their rule keeps them inside.
macro_rules! integers {
    ($($type:ty),+) => { $(
        impl Setting for $type {
            fn assign(&mut self, words: &[Vec<u8>], rule: &Rule, _origin: Origin) -> Result<(), String> {
                let value = parse_integer(single(words)?, rule)?;
                let (min, max) = (<$type>::MIN, <$type>::MAX);
                *self = <$type>::try_from(value).map_err(|_| outside(min, max))?;
                Ok(())
            }

            fn show(&self) -> Vec<u8> {
                self.to_string().into_bytes()
            }
        }
    )+ };
}
integers!(i64, i32, u32, u16);

fn parse_integer(word: &[u8], rule: &Rule) -> Result<i64, String> {
    let value = base::number::parse_i64(word).ok_or("argument couldn't be parsed into an integer")?;
    match *rule {
        Rule::Int(min, max) if value < min || i128::from(value) > i128::from(max) => Err(outside(min, max)),
        _ => Ok(value),
    }
}

/// A number of bytes.
impl Setting for u64 {
    fn assign(&mut self, words: &[Vec<u8>], rule: &Rule, _origin: Origin) -> Result<(), String> {
        let value = parse_memory(single(words)?).ok_or("argument must be a memory value")?;
        if let Rule::Memory(min, max) = *rule
            && !(min..=max).contains(&value)
        {
            return Err(outside(min, max));
        }
        *self = value;
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    fn lines(&self, name: &str, _rule: &Rule, default: &dyn Setting) -> Lines {
        let line = format!("{name} {}", format_memory(*self)).into_bytes();
        Lines::one(line, self.show() != default.show())
    }
}

/// A memory size, or a share of `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryOrPercent {
    /// So many bytes; 0 is no limit.
    Bytes(u64),
    /// So many hundredths, 1 to 100.
    Percent(u8),
}

impl Setting for MemoryOrPercent {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule, _origin: Origin) -> Result<(), String> {
        let word = single(words)?;
        *self = match (parse_memory(word), word) {
            // Beyond 63 bits stock servers see a negative number, which is how they keep percentages.
            (Some(bytes), _) if bytes > i64::MAX as u64 => match bytes.wrapping_neg() {
                percent @ 1..=100 => Self::Percent(percent as u8),
                _ => return Err("percentage argument must be less or equal to 100".to_owned()),
            },
            (Some(bytes), _) => Self::Bytes(bytes),
            (None, [digits @ .., b'%']) => match base::number::parse_u64(digits) {
                Some(0) => Self::Bytes(0),
                Some(percent @ 1..=100) => Self::Percent(percent as u8),
                Some(percent) if percent <= i64::MAX as u64 => {
                    return Err("percentage argument must be less or equal to 100".to_owned());
                }
                _ => return Err("argument must be a memory or percent value".to_owned()),
            },
            _ => return Err("argument must be a memory or percent value".to_owned()),
        };
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_string().into_bytes(),
            Self::Percent(percent) => format!("{percent}%").into_bytes(),
        }
    }

    fn lines(&self, name: &str, rule: &Rule, default: &dyn Setting) -> Lines {
        match self {
            Self::Bytes(bytes) => bytes.lines(name, rule, default),
            Self::Percent(percent) => Lines::one(format!("{name} {percent}%").into_bytes(), true),
        }
    }
}

/// Permission bits of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(pub u32);

impl Setting for Permissions {
    fn assign(&mut self, words: &[Vec<u8>], rule: &Rule, _origin: Origin) -> Result<(), String> {
        let read = parse_c_integer(single(words)?, 8).filter(|read| !read.saturated);
        let value = read.ok_or("argument couldn't be parsed as an octal number")?.value;
        if let Rule::Octal(min, max) = *rule
            && !(i64::from(min)..=i64::from(max)).contains(&value)
        {
            return Err(outside(format_args!("{min:o}"), format_args!("{max:o}")));
        }
        self.0 = value as u32;
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        format!("{:o}", self.0).into_bytes()
    }
}

/// Bytes that someone chose: a password, a path, a name.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub Vec<u8>);

impl Text {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for the empty text, which mostly means *not set*.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text for people and file names; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn to_str(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.to_str())
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_str())
    }
}

impl Setting for Text {
    fn assign(&mut self, words: &[Vec<u8>], rule: &Rule, _origin: Origin) -> Result<(), String> {
        let word = single(words)?;
        if let Rule::Text { check, .. } = rule {
            check(word)?;
        }
        self.0 = word.to_vec();
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn lines(&self, name: &str, rule: &Rule, default: &dyn Setting) -> Lines {
        let unset_when_empty = matches!(
            rule,
            Rule::Text {
                unset_when_empty: true,
                ..
            }
        );
        if self.is_empty() && unset_when_empty {
            return Lines::Absent;
        }
        let mut line = [name.as_bytes(), b" "].concat();
        quote_into(&mut line, &self.0);
        Lines::one(line, self.0 != default.show())
    }
}

/// Declares a setting that is one of a few words. The first word of a value is the one that is shown.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $( $(#[$doc:meta])* $value:ident = $first:literal $(| $other:literal)* ),+ $(,)? } in [$($word:literal),+]) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$doc])* #[doc = concat!("`", $first, "`")] $value ),+ }

        impl $name {
            /// The word of the configuration.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Self::$value => $first ),+ }
            }
        }

        impl $crate::setting::Setting for $name {
            fn assign(&mut self, words: &[Vec<u8>], _: &$crate::setting::Rule, _: $crate::setting::Origin) -> Result<(), String> {
                let word = $crate::setting::single(words)?.to_ascii_lowercase();
                *self = match word.as_slice() {
                    $( word if word == $first.as_bytes() $(|| word == $other.as_bytes())* => Self::$value, )+
                    _ => return Err($crate::setting::none_of(&self.choices())),
                };
                Ok(())
            }
            fn show(&self) -> Vec<u8> {
                self.name().as_bytes().to_vec()
            }
            fn choices(&self) -> Vec<&'static str> {
                vec![$($word),+]
            }
        }
    };
}
pub(crate) use choice;

/// The stock complaint about a word that is none of `choices`.
pub(crate) fn none_of(choices: &[&str]) -> String {
    format!("argument(s) must be one of the following: {}", choices.join(", "))
}
