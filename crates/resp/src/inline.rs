//! Inline requests: a line of words, quoted as a shell would.

use crate::args::{ArgRange, Argv};

/// A line whose quotes do not close, or close in the middle of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced;

/// Splits `line` into words, appending them to `argv`'s scratch space.
///
/// Blanks separate words. `"…"` understands `\n \r \t \b \a \xHH` and takes any other escaped byte as it is; `'…'`
/// understands `\'` only. A quote may open inside a word, but after the closing one a blank or the end must follow.
pub(crate) fn split(line: &[u8], argv: &mut Argv) -> Result<(), Unbalanced> {
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&byte| is_space(byte)) {
            at += 1;
        }
        if at == line.len() {
            return Ok(());
        }
        let start = argv.scratch.len();
        at = word(line, at, &mut argv.scratch)?;
        argv.ranges.push(ArgRange {
            start,
            end: argv.scratch.len(),
        });
    }
}

/// The words of a line, by the quoting rules of inline requests: what a prompt needs.
///
/// # Errors
/// [`Unbalanced`] when a quote does not close, or closes in the middle of a word.
pub fn split_words(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
    let mut argv = Argv::new();
    split(line, &mut argv)?;
    Ok(argv.args(&[]).iter().map(<[u8]>::to_vec).collect())
}

/// Reads one word that begins at `at`; returns where it ends.
fn word(line: &[u8], mut at: usize, out: &mut Vec<u8>) -> Result<usize, Unbalanced> {
    loop {
        match line.get(at) {
            None | Some(b' ' | b'\n' | b'\r' | b'\t' | 0) => return Ok(at),
            Some(b'"') => return quoted(line, at + 1, b'"', out),
            Some(b'\'') => return quoted(line, at + 1, b'\'', out),
            Some(&byte) => out.push(byte),
        }
        at += 1;
    }
}

/// Reads up to the closing `quote`; returns the place after it.
fn quoted(line: &[u8], mut at: usize, quote: u8, out: &mut Vec<u8>) -> Result<usize, Unbalanced> {
    loop {
        match line[at..] {
            [] => return Err(Unbalanced),
            [byte, ref rest @ ..] if byte == quote => {
                return if rest.first().is_none_or(|&next| is_space(next)) {
                    Ok(at + 1)
                } else {
                    Err(Unbalanced)
                };
            }
            [b'\\', b'x', high, low, ..] if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(high) << 4 | hex(low));
                at += 4;
            }
            [b'\\', escaped, ..] if quote == b'"' => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                at += 2;
            }
            [b'\\', b'\'', ..] if quote == b'\'' => {
                out.push(b'\'');
                at += 2;
            }
            [byte, ..] => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The value of a digit already known to be hexadecimal.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<&[&[u8]]>) {
        let words = split_words(line.as_bytes()).ok();
        let expected = expected.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
        assert_eq!(words, expected, "{line}");
    }

    #[test]
    fn words_and_quotes() {
        check("", Some(&[]));
        check(" \t\r\x0b\x0c ", Some(&[]));
        check("  SET  key\tvalue ", Some(&[b"SET", b"key", b"value"]));
        check(r#"a"b c""#, Some(&[b"ab c"]));
        check(r#""\x41\x4G\n\r\t\b\a\q\"\\""#, Some(&[b"Ax4G\n\r\t\x08\x07q\"\\"]));
        check(r"'it\'s \n \x41'", Some(&[br"it's \n \x41"]));
        check(r#""" ''"#, Some(&[b"", b""]));
        check("a\x0bb", Some(&[b"a\x0bb"]));
        check(r#""a"b"#, None);
        check(r#""a" b"#, Some(&[b"a", b"b"]));
        check("'a", None);
        check("\"a\\", None);
        check(r#"""""#, None);
    }
}
