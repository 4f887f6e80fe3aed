//! Error replies, worded as clients match them.

use std::borrow::Cow;

/// What a command returns: its reply is already written, or it failed and wrote none.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// An error reply. [`Error::text`] is the line after the `-`, the code word first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Error {
    WrongType,
    Syntax,
    NotAnInteger,
    NotAFloat,
    Overflow,
    NoSuchKey,
    IndexOutOfRange,
    DbIndexOutOfRange,
    InvalidDbIndex,
    SameObject,
    /// Any other text, with its code word.
    Message(Cow<'static, str>),
}

impl Error {
    /// An error of the code `ERR`.
    #[must_use]
    pub fn err(text: impl std::fmt::Display) -> Self {
        Self::Message(Cow::Owned(format!("ERR {text}")))
    }

    /// An error whose text is fixed and has its code word.
    #[must_use]
    pub const fn fixed(text: &'static str) -> Self {
        Self::Message(Cow::Borrowed(text))
    }

    /// `wrong number of arguments`, naming the command (`client|list` for a subcommand).
    #[must_use]
    pub fn arity(full_name: &str) -> Self {
        Self::err(format_args!("wrong number of arguments for '{full_name}' command"))
    }

    /// A subcommand that the container does not have, or not with so many words.
    #[must_use]
    pub fn unknown_subcommand(container: &str, word: &[u8]) -> Self {
        let word = String::from_utf8_lossy(&word[..word.len().min(128)]).into_owned();
        let help = container.to_ascii_uppercase();
        Self::err(format_args!("unknown subcommand '{word}'. Try {help} HELP."))
    }

    /// The whole line, code word first, without the leading `-`.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::Syntax => "ERR syntax error",
            Self::NotAnInteger => "ERR value is not an integer or out of range",
            Self::NotAFloat => "ERR value is not a valid float",
            Self::Overflow => "ERR increment or decrement would overflow",
            Self::NoSuchKey => "ERR no such key",
            Self::IndexOutOfRange => "ERR index out of range",
            Self::DbIndexOutOfRange => "ERR DB index is out of range",
            Self::InvalidDbIndex => "ERR invalid DB index",
            Self::SameObject => "ERR source and destination objects are the same",
            Self::Message(text) => text,
        }
    }

    /// The code word: what INFO errorstats counts by.
    #[must_use]
    pub fn code(&self) -> &str {
        let text = self.text();
        text.split(' ').next().unwrap_or(text)
    }
}
