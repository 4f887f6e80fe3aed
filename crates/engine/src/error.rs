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
    /// One that quotes bytes which are not text.
    Quoting(Box<Quoting>),
}

/// An error line with bytes of a client in it that are not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoting {
    line: Vec<u8>,
    text: String,
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

    /// A whole line that quotes what a client sent, which need not be text.
    #[must_use]
    pub fn quoting(line: Vec<u8>) -> Self {
        String::from_utf8(line).map_or_else(
            |not_text| {
                let line = not_text.into_bytes();
                let text = String::from_utf8_lossy(&line).into_owned();
                Self::Quoting(Box::new(Quoting { line, text }))
            },
            |text| Self::Message(Cow::Owned(text)),
        )
    }

    /// `wrong number of arguments`, naming the command (`client|list` for a subcommand).
    #[must_use]
    pub fn arity(full_name: &str) -> Self {
        Self::err(format_args!("wrong number of arguments for '{full_name}' command"))
    }

    /// A subcommand that the container does not have, or not with so many words.
    #[must_use]
    pub fn unknown_subcommand(container: &str, word: &[u8]) -> Self {
        let help = container.to_ascii_uppercase();
        let line = [
            b"ERR unknown subcommand '",
            quoted(word),
            b"'. Try ",
            help.as_bytes(),
            b" HELP.",
        ]
        .concat();
        Self::quoting(line)
    }

    /// The whole line as it is sent, without the leading `-`.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        match self {
            Self::Quoting(quoting) => &quoting.line,
            other => other.text().as_bytes(),
        }
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
            Self::Quoting(quoting) => &quoting.text,
        }
    }

    /// The code word: what INFO errorstats counts by.
    #[must_use]
    pub fn code(&self) -> &str {
        let text = self.text();
        text.split(' ').next().unwrap_or(text)
    }
}

/// What an error quotes of a client's word: 128 bytes, and nothing from a zero byte on.
#[must_use]
pub fn quoted(word: &[u8]) -> &[u8] {
    const SHOWN_BYTES: usize = 128;
    let end = word.iter().take(SHOWN_BYTES).position(|byte| *byte == 0);
    &word[..end.unwrap_or(word.len().min(SHOWN_BYTES))]
}
