//! A line as words, and a word as it is written into a line: of configuration, of a prompt, of an inline request.
//!
//! ```text
//! requirepass  "a \"b\"\x00"   # words: requirepass, a "b"<0>, and then: # is no comment here
//! ```
//! Double quotes know `\n \r \t \b \a \xHH` and take any other escaped byte as it is; single quotes know only `\'`.
//! A quote may open inside a word; the closing one must end it. A zero byte ends the line, as it ends a C string.

/// A line whose quotes do not close, or close in the middle of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced;

/// Splits a line into words.
///
/// # Errors
/// [`Unbalanced`] when a quote is not closed, or its word goes on behind it.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
    let mut words = Vec::new();
    let mut word = Vec::new();
    let mut rest = line;
    while let Some(after) = next_word(rest, &mut word)? {
        words.push(std::mem::take(&mut word));
        rest = after;
    }
    Ok(words)
}

/// Appends the first word of `line` to `word`; what follows it, or `None` if there is no word.
///
/// # Errors
/// [`Unbalanced`], as [`split`].
pub fn next_word<'a>(line: &'a [u8], word: &mut Vec<u8>) -> Result<Option<&'a [u8]>, Unbalanced> {
    match skip_space(line) {
        [] => Ok(None),
        rest => take_word(rest, word).map(Some).ok_or(Unbalanced),
    }
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
#[must_use]
pub fn is_space(byte: u8) -> bool {
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

    fn check(line: &str, expected: Option<&[&[u8]]>) {
        let words = split(line.as_bytes()).ok();
        let expected = expected.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
        assert_eq!(words, expected, "{line}");
    }

    #[test]
    fn words_and_quotes() {
        check("", Some(&[]));
        check(" \t\r\x0b\x0c ", Some(&[]));
        check("  SET  key\tvalue ", Some(&[b"SET", b"key", b"value"]));
        check(r#"a "b c" 'd e'"#, Some(&[b"a", b"b c", b"d e"]));
        check(r#""\x41\x4G\n\r\t\b\a\q\"\\""#, Some(&[b"Ax4G\n\r\t\x08\x07q\"\\"]));
        check(r"'it\'s \n \x41'", Some(&[br"it's \n \x41"]));
        check(r#"a b"c d""#, Some(&[b"a", b"bc d"]));
        check(r#""" '' save """#, Some(&[b"", b"", b"save", b""]));
        check("a\x0bb", Some(&[b"a\x0bb"]));
        check(r##"a # b#c"##, Some(&[b"a", b"#", b"b#c"]));
        check(r#""a" b"#, Some(&[b"a", b"b"]));
        check("a \0 b", Some(&[b"a"]));
        for unbalanced in [r#"a "b"#, r#""a"b"#, "'a", "\"a\\", r#"""""#, "\"a\0\""] {
            check(unbalanced, None);
        }
    }

    #[test]
    fn a_quoted_word_reads_back_as_it_was() {
        let mut rng = crate::Rng::new(5);
        for _ in 0..2_000 {
            let word: Vec<u8> = (0..rng.below(12)).map(|_| rng.below(256) as u8).collect();
            let mut line = Vec::new();
            quote_into(&mut line, &word);
            assert_eq!(split(&line), Ok(vec![word]));
        }
    }
}
