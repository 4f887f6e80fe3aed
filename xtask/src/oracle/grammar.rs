//! Reads `grammar.txt`.

/// A piece of a command.
#[derive(Debug)]
pub enum Piece {
    /// Sent as it is, in random case.
    Word(String),
    /// The name of a generator.
    Made(String),
    All(Vec<Piece>),
    Maybe(Box<Piece>),
    OneOf(Vec<Piece>),
    Repeat(Box<Piece>),
}

/// A command's form.
#[derive(Debug)]
pub struct Form {
    pub weight: u64,
    /// Whether it may be sent with words missing, added or replaced.
    pub harmable: bool,
    pub words: Piece,
}

/// All forms of the table.
pub fn forms() -> Vec<Form> {
    include_str!("grammar.txt")
        .lines()
        .filter(|l| !l.trim().is_empty() && !l.starts_with('#'))
        .map(form)
        .collect()
}

fn form(line: &str) -> Form {
    let (weight, rest) = line
        .split_once(' ')
        .unwrap_or_else(|| panic!("grammar.txt: no words in: {line}"));
    let harmable = !weight.starts_with('!');
    let weight = weight
        .trim_start_matches('!')
        .parse()
        .unwrap_or_else(|_| panic!("grammar.txt: no weight in: {line}"));
    let tokens: Vec<&str> = rest.split_whitespace().collect();
    let mut at = 0;
    let words = sequence(&tokens, &mut at, &[]);
    assert!(at == tokens.len(), "grammar.txt: unbalanced brackets in: {line}");
    Form {
        weight,
        harmable,
        words,
    }
}

/// Pieces up to one of the closing tokens, which is left.
fn sequence(tokens: &[&str], at: &mut usize, closing: &[&str]) -> Piece {
    let mut pieces = Vec::new();
    while let Some(&token) = tokens.get(*at) {
        let (bare, repeated) = match token.strip_suffix("...") {
            Some(bare) => (bare, true),
            None => (token, false),
        };
        if closing.contains(&bare) {
            break;
        }
        *at += 1;
        let mut repeated = repeated;
        let piece = match bare {
            "[" => Piece::Maybe(Box::new(enclosed(tokens, at, "]", &mut repeated))),
            "{" => enclosed(tokens, at, "}", &mut repeated),
            "(" => choice(tokens, at, &mut repeated),
            _ => match bare.strip_prefix('<').and_then(|name| name.strip_suffix('>')) {
                Some(name) => Piece::Made(name.to_owned()),
                None => Piece::Word(bare.to_owned()),
            },
        };
        pieces.push(if repeated {
            Piece::Repeat(Box::new(piece))
        } else {
            piece
        });
    }
    Piece::All(pieces)
}

fn enclosed(tokens: &[&str], at: &mut usize, close: &str, repeated: &mut bool) -> Piece {
    let inner = sequence(tokens, at, &[close]);
    *repeated = tokens.get(*at).is_some_and(|token| token.ends_with("..."));
    *at += 1;
    inner
}

fn choice(tokens: &[&str], at: &mut usize, repeated: &mut bool) -> Piece {
    let mut ways = vec![sequence(tokens, at, &["|", ")"])];
    while tokens.get(*at) == Some(&"|") {
        *at += 1;
        ways.push(sequence(tokens, at, &["|", ")"]));
    }
    *repeated = tokens.get(*at).is_some_and(|token| token.ends_with("..."));
    *at += 1;
    Piece::OneOf(ways)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads() {
        assert!(forms().len() > 100);
        let form = form("!3 SET <key> [ ( NX | XX <a> ) ]... { B <b> }...");
        assert!(!form.harmable && form.weight == 3);
        assert_eq!(
            format!("{:?}", form.words),
            "All([Word(\"SET\"), Made(\"key\"), Repeat(Maybe(All([OneOf([All([Word(\"NX\")]), All([Word(\"XX\"), \
             Made(\"a\")])])]))), Repeat(All([Word(\"B\"), Made(\"b\")]))])"
        );
    }
}
