//! The arguments' syntax of a command, from the text that its [`Spec`](crate::Spec) gives to the tree that COMMAND DOCS
//! shows.
//!
//! ```text
//!   key value [NX|XX] [GET] [EX seconds|PX milliseconds]      a word in capitals is itself, any other is an argument
//!   key [key ...]                                             what is repeated before dots may be repeated
//!   <NX|XX>  cursor  increment:double                         angles group, a colon names a type
//! ```

/// What kind of argument it is, as COMMAND DOCS calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Type {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl Type {
    /// The word for it in COMMAND DOCS.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }

    /// The type of an argument of this name.
    fn of(name: &str) -> Self {
        match name {
            "key" | "newkey" | "key1" | "key2" | "source" | "destination" => Self::Key,
            "pattern" => Self::Pattern,
            "seconds" | "milliseconds" | "microseconds" | "increment" | "decrement" | "offset" | "start" | "end"
            | "count" | "cursor" | "index" | "index1" | "index2" | "db" | "destination-db" | "len" | "ttl"
            | "frequency" | "numfields" | "numkeys" | "timeout" | "port" | "numreplicas" | "protover" | "client-id" => {
                Self::Integer
            }
            _ if name.starts_with("unix-time") => Self::UnixTime,
            _ => Self::String,
        }
    }
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// What documentation calls it.
    pub name: String,
    /// What kind it is.
    pub kind: Type,
    /// The word in front of it, or the word that it is.
    pub token: Option<String>,
    /// It may be left out.
    pub optional: bool,
    /// It may be repeated.
    pub multiple: bool,
    /// The parts of a block, the choices of a oneof.
    pub parts: Vec<Argument>,
}

impl Argument {
    fn new(name: impl Into<String>, kind: Type) -> Self {
        Self {
            name: name.into(),
            kind,
            token: None,
            optional: false,
            multiple: false,
            parts: Vec::new(),
        }
    }

    /// Several arguments as one.
    fn block(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let name = names.join("_");
        Self {
            parts,
            ..Self::new(name, Type::Block)
        }
    }
}

/// Reads a syntax text.
///
/// # Panics
/// When brackets do not match: the text is part of the program, and a test reads them all.
#[must_use]
pub fn parse(text: &str) -> Vec<Argument> {
    let mut rest = text.trim_start();
    let first = sequence(&mut rest);
    let arguments = if let Some(others) = rest.strip_prefix('|') {
        rest = others;
        let mut choices = group(&mut rest);
        choices.choices.insert(0, first);
        vec![choices.into_argument()]
    } else {
        first
    };
    assert!(rest.is_empty(), "brackets do not match in the syntax `{text}`");
    arguments
}

/// Reads up to a bracket that closes, a bar, or the end.
fn sequence(rest: &mut &str) -> Vec<Argument> {
    let mut arguments: Vec<Argument> = Vec::new();
    let mut token: Option<&str> = None;
    loop {
        *rest = rest.trim_start();
        let Some(next) = rest.chars().next().filter(|next| !matches!(next, ']' | '>' | '|')) else {
            break;
        };
        if next == '[' || next == '<' {
            *rest = &rest[1..];
            let group = group(rest);
            if group.dots && next == '[' && mark_repeated(&mut arguments, token, &group) {
                token = None;
                continue;
            }
            push_token(&mut arguments, if next == '[' { token.take() } else { None });
            let argument = group.into_argument();
            arguments.push(Argument {
                optional: next == '[',
                token: token.take().map(Into::into).or(argument.token),
                ..argument
            });
            continue;
        }
        let word = take_word(rest);
        if word == "..." {
            // The caller sees the dots as the last of a group.
            arguments.push(Argument::new("...", Type::String));
        } else if is_token(word) {
            push_token(&mut arguments, token.replace(word));
        } else {
            let (name, kind) = match word.split_once(':') {
                Some((name, "double")) => (name, Type::Double),
                Some((name, "integer")) => (name, Type::Integer),
                Some((name, "string")) => (name, Type::String),
                Some((name, "key")) => (name, Type::Key),
                _ => (word, Type::of(word)),
            };
            arguments.push(Argument {
                token: token.take().map(Into::into),
                ..Argument::new(name, kind)
            });
        }
    }
    push_token(&mut arguments, token);
    arguments
}

fn push_token(arguments: &mut Vec<Argument>, token: Option<&str>) {
    if let Some(token) = token {
        let name = token.to_ascii_lowercase();
        arguments.push(Argument {
            token: Some(token.into()),
            ..Argument::new(name, Type::PureToken)
        });
    }
}

/// A word in capitals, or a sign.
fn is_token(word: &str) -> bool {
    !word.chars().any(|letter| letter.is_ascii_lowercase())
}

fn take_word<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest
        .find(|letter: char| letter.is_whitespace() || "[]<>|".contains(letter))
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    word
}

/// What stands between brackets.
struct Group {
    choices: Vec<Vec<Argument>>,
    /// Whether it ends in dots.
    dots: bool,
}

impl Group {
    fn into_argument(self) -> Argument {
        let multiple = self.dots;
        let mut choices: Vec<Argument> = self.choices.into_iter().map(Argument::block).collect();
        let argument = if choices.len() == 1 {
            choices.remove(0)
        } else {
            Argument {
                parts: choices,
                ..Argument::new("option", Type::OneOf)
            }
        };
        Argument {
            multiple: multiple || argument.multiple,
            ..argument
        }
    }
}

fn group(rest: &mut &str) -> Group {
    let mut choices = Vec::new();
    let mut dots = false;
    loop {
        let mut choice = sequence(rest);
        if choice.last().is_some_and(|last| last.name == "...") {
            choice.pop();
            dots = true;
        }
        choices.push(choice);
        let Some(end) = rest.chars().next() else { break };
        *rest = &rest[1..];
        if end != '|' {
            break;
        }
    }
    Group { choices, dots }
}

/// `key [key ...]`: if the group repeats what stands before it, marks that. False if it does not.
fn mark_repeated(arguments: &mut Vec<Argument>, token: Option<&str>, group: &Group) -> bool {
    let [repeated] = &group.choices[..] else { return false };
    // What is repeated is not always preceded by its token again: `ID client-id [client-id ...]`.
    let same = |(old, new): (&Argument, &Argument)| old.name == new.name && old.kind == new.kind;
    let fits = !repeated.is_empty() && repeated.len() <= arguments.len();
    if token.is_some()
        || !fits
        || !arguments[arguments.len() - repeated.len()..]
            .iter()
            .zip(repeated)
            .all(same)
    {
        return false;
    }
    let mut block = Argument::block(arguments.split_off(arguments.len() - repeated.len()));
    block.multiple = true;
    arguments.push(block);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let mut text = match argument.kind {
                Type::OneOf | Type::Block => format!("{}({})", argument.kind.name(), show(&argument.parts)),
                Type::PureToken => "token".into(),
                kind => format!("{}:{}", argument.name, kind.name()),
            };
            if let Some(token) = &argument.token {
                text = format!("{token}={text}");
            }
            text + if argument.multiple { "*" } else { "" } + if argument.optional { "?" } else { "" }
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn syntax_texts() {
        for (text, tree) in [
            ("", ""),
            ("key increment:double", "key:key increment:double"),
            ("key [key ...]", "key:key*"),
            ("[command-name [command-name ...]]", "command-name:string*?"),
            ("key value [key value ...]", "block(key:key value:string)*"),
            ("[LEN] [MINMATCHLEN len]", "LEN=token? MINMATCHLEN=len:integer?"),
            (
                "key [NX|XX] [EX seconds|KEEPTTL]",
                "key:key oneof(NX=token XX=token)? oneof(EX=seconds:integer KEEPTTL=token)?",
            ),
            ("<ON|OFF|SKIP>", "oneof(ON=token OFF=token SKIP=token)"),
            (
                "[TO host port [FORCE]] [ABORT]",
                "block(TO=host:string port:integer FORCE=token?)? ABORT=token?",
            ),
            (
                "[FILTERBY <MODULE module-name|PATTERN pattern>]",
                "FILTERBY=oneof(MODULE=module-name:string PATTERN=pattern:pattern)?",
            ),
            ("[arg ...]", "arg:string*?"),
            (
                "dst:key start:string [LIMIT <offset count>]",
                "dst:key start:string LIMIT=block(offset:integer count:integer)?",
            ),
            ("[ID client-id [client-id ...]]", "ID=client-id:integer*?"),
            (
                "ip:port|<[ID client-id] [ADDR ip:port]>",
                "oneof(ip:port:string block(ID=client-id:integer? ADDR=ip:port:string?))",
            ),
        ] {
            assert_eq!(show(&parse(text)), tree, "{text}");
        }
    }
}
