//! Reads the tables of what is sent, a file per group of commands in `grammar/`. One form per line: a weight, then the words.
//!
//! ```text
//!   UPPERCASE   sent as it is, in random case     <name>        made by a generator (generate/made.rs)
//!   [ a b ]     or nothing                        ( a | b )     one of them
//!   { a b }...  or a...  once or a few times      a...60        once or up to so many times
//!   N{ a b }... how many there are, and them      ={ a }        as many as the N{ before had
//!   a ; b       two commands, always together     <@1>          word 1 of the first of them
//!   !weight     never harmed: see `harm` in generate/mod.rs
//! ```

/// A piece of a command.
#[derive(Debug)]
pub enum Piece {
    /// Sent as it is, in random case.
    Word(String),
    /// The name of a generator.
    Made(String),
    /// A word of the form's first command.
    Again(usize),
    All(Vec<Piece>),
    Maybe(Box<Piece>),
    OneOf(Vec<Piece>),
    /// Once, or up to so many times.
    Repeat(Box<Piece>, u64),
    /// The number of repetitions, then the repetitions.
    Counted(Box<Piece>),
    /// As often as the last that was counted.
    AsCounted(Box<Piece>),
}

/// A command's form, or that of several which belong together.
#[derive(Debug)]
pub struct Form {
    pub weight: u64,
    /// Whether it may be sent with words missing, added or replaced.
    pub harmable: bool,
    pub commands: Vec<Piece>,
}

/// The forms of one file.
#[derive(Debug)]
pub struct Group {
    pub name: &'static str,
    pub role: Role,
    pub forms: Vec<Form>,
}

/// What part the commands of a group play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An epoch is about one type, or a few.
    Type,
    /// Sent in all epochs.
    Everywhere,
}

macro_rules! groups {
    ($($role:ident $name:literal)*) => {
        &[$(($name, Role::$role, include_str!(concat!("grammar/", $name, ".txt")))),*]
    };
}

const FILES: &[(&str, Role, &str)] = groups! {
    Type "strings"
    Type "bitmaps"
    Type "hyperloglogs"
    Type "lists"
    Type "sets"
    Type "hashes"
    Type "zsets"
    Type "geo"
    Type "streams"
    Everywhere "generic"
    Everywhere "sort"
    Everywhere "transactions"
    Everywhere "connection"
    Everywhere "server"
    Everywhere "pubsub"
    Everywhere "absent"
};

/// All tables.
pub fn groups() -> Vec<Group> {
    let group = |(name, role, text): &(&'static str, Role, &str)| Group {
        name,
        role: *role,
        forms: text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(form)
            .collect(),
    };
    FILES.iter().map(group).collect()
}

fn form(line: &str) -> Form {
    let (weight, rest) = line
        .split_once(' ')
        .unwrap_or_else(|| panic!("grammar: no words in: {line}"));
    let harmable = !weight.starts_with('!');
    let weight = weight
        .trim_start_matches('!')
        .parse()
        .unwrap_or_else(|_| panic!("grammar: no weight in: {line}"));
    let command = |text: &str| {
        let tokens: Vec<&str> = text.split_whitespace().collect();
        let mut at = 0;
        let words = sequence(&tokens, &mut at, &[]);
        assert!(at == tokens.len(), "grammar: unbalanced brackets in: {line}");
        words
    };
    Form {
        weight,
        harmable,
        commands: rest.split(" ; ").map(command).collect(),
    }
}

/// How often a piece may be repeated, by the dots after it.
#[derive(Clone, Copy)]
struct Dots(Option<u64>);

impl Dots {
    const FEW: u64 = 5;

    /// A token without the dots at its end, and these.
    fn of(token: &str) -> (&str, Self) {
        match token.rsplit_once("...") {
            Some((bare, "")) => (bare, Self(Some(Self::FEW))),
            Some((bare, most)) => (bare, Self(most.parse().ok())),
            None => (token, Self(None)),
        }
    }
}

/// Pieces up to one of the closing tokens, which is left.
fn sequence(tokens: &[&str], at: &mut usize, closing: &[&str]) -> Piece {
    let mut pieces = Vec::new();
    while let Some(&token) = tokens.get(*at) {
        let (bare, mut dots) = Dots::of(token);
        if closing.contains(&bare) {
            break;
        }
        *at += 1;
        let piece = match bare {
            "[" => Piece::Maybe(Box::new(enclosed(tokens, at, "]", &mut dots))),
            "{" => enclosed(tokens, at, "}", &mut dots),
            "N{" => {
                let inner = enclosed(tokens, at, "}", &mut dots);
                dots = Dots(None);
                Piece::Counted(Box::new(inner))
            }
            "={" => Piece::AsCounted(Box::new(enclosed(tokens, at, "}", &mut dots))),
            "(" => choice(tokens, at, &mut dots),
            _ => match bare.strip_prefix('<').and_then(|name| name.strip_suffix('>')) {
                Some(name) => match name.strip_prefix('@').and_then(|index| index.parse().ok()) {
                    Some(index) => Piece::Again(index),
                    None => Piece::Made(name.to_owned()),
                },
                None => Piece::Word(bare.to_owned()),
            },
        };
        pieces.push(match dots.0 {
            Some(most) => Piece::Repeat(Box::new(piece), most),
            None => piece,
        });
    }
    Piece::All(pieces)
}

fn enclosed(tokens: &[&str], at: &mut usize, close: &str, dots: &mut Dots) -> Piece {
    let inner = sequence(tokens, at, &[close]);
    *dots = tokens.get(*at).map_or(Dots(None), |token| Dots::of(token).1);
    *at += 1;
    inner
}

fn choice(tokens: &[&str], at: &mut usize, dots: &mut Dots) -> Piece {
    let mut ways = vec![sequence(tokens, at, &["|", ")"])];
    while tokens.get(*at) == Some(&"|") {
        *at += 1;
        ways.push(sequence(tokens, at, &["|", ")"]));
    }
    *dots = tokens.get(*at).map_or(Dots(None), |token| Dots::of(token).1);
    *at += 1;
    Piece::OneOf(ways)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_read() {
        assert!(groups().iter().map(|group| group.forms.len()).sum::<usize>() > 350);
        let form = form("!3 SET <key> [ ( NX | XX <a> ) ]... { B <b> }...60 ; N{ <c> }... ={ W } <@1>");
        assert!(!form.harmable && form.weight == 3);
        assert_eq!(
            format!("{:?}", form.commands),
            "[All([Word(\"SET\"), Made(\"key\"), Repeat(Maybe(All([OneOf([All([Word(\"NX\")]), All([Word(\"XX\"), \
             Made(\"a\")])])])), 5), Repeat(All([Word(\"B\"), Made(\"b\")]), 60)]), All([Counted(All([Made(\"c\")])), \
             AsCounted(All([Word(\"W\")])), Again(1)])]"
        );
    }
}
