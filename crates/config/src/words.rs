//! One configuration line as words, and a word as it is written back.
//!
//! ```text
//! requirepass  "a \"b\"\x00"   # words: requirepass, a "b"<0>, and then: # is no comment here
//! ```
//! Double quotes know `\n \r \t \b \a \xHH` and take any other escaped byte as it is; single quotes know only `\'`.
//! A closing quote must end its word.

/// Splits a line into words. `None`: a quote is not closed, or its word goes on behind it.
#[must_use]
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = skip_space(line);
    while !rest.is_empty() {
        let mut word = Vec::new();
        rest = skip_space(take_word(rest, &mut word)?);
        words.push(word);
    }
    Some(words)
}

/// Drops leading space; a zero byte ends the line, as it ends a C string.
fn skip_space(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|&byte| !is_space(byte)).unwrap_or(line.len());
    match &line[start..] {
        [0, ..] => &[],
        rest => rest,
    }
}

/// Space as C's `isspace` sees it.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Reads one word into `word` and returns what follows it.
fn take_word<'a>(line: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = line;
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t' | 0, ..] => return Some(rest),
            [b'"', quoted @ ..] => return end_of_quotes(take_double_quoted(quoted, word)?),
            [b'\'', quoted @ ..] => return end_of_quotes(take_single_quoted(quoted, word)?),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// What may follow a closing quote: space, or the end.
fn end_of_quotes(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [] | [0, ..] => Some(rest),
        [byte, ..] if is_space(*byte) => Some(rest),
        _ => None,
    }
}

fn take_double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] | [0, ..] => return None,
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex_digit(*high) * 16 + hex_digit(*low));
                after
            }
            [b'\\', 0, ..] => return None,
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        }
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] | [0, ..] => return None,
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        }
    }
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte - b'A' + 10,
    }
}

/// Appends `word` in double quotes, escaped so that [`split`] gives it back.
pub fn quote_into(out: &mut Vec<u8>, word: &[u8]) {
    out.push(b'"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            7 => out.extend_from_slice(b"\\a"),
            8 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<&[&str]>) {
        let got = split(line.as_bytes()).map(|words| {
            words
                .iter()
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect::<Vec<_>>()
        });
        let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(got, expected, "{line}");
    }

    #[test]
    fn words_and_quotes() {
        check("", Some(&[]));
        check("  save 900   1 ", Some(&["save", "900", "1"]));
        check(r#"a "b c" 'd e'"#, Some(&["a", "b c", "d e"]));
        check(r#"a "\x41\n\q\\\"""#, Some(&["a", "A\nq\\\""]));
        check(r"a 'it\'s \n'", Some(&["a", "it's \\n"]));
        check(r#"a b"c d""#, Some(&["a", "bc d"]));
        check(r#"save """#, Some(&["save", ""]));
        check(r##"a # b#c"##, Some(&["a", "#", "b#c"]));
        check(r#"a "b"#, None);
        check(r#"a "b"c"#, None);
        check(r#"a 'b"#, None);
        check("a \0 b", Some(&["a"]));
    }

    #[test]
    fn a_quoted_word_reads_back_as_it_was() {
        let mut rng = base::Rng::new(5);
        for _ in 0..2_000 {
            let word: Vec<u8> = (0..rng.below(12)).map(|_| rng.below(256) as u8).collect();
            let mut line = Vec::new();
            quote_into(&mut line, &word);
            assert_eq!(split(&line), Some(vec![word]));
        }
    }
}
