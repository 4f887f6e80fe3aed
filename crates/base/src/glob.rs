//! Glob patterns as KEYS, SCAN MATCH, CONFIG GET and PSUBSCRIBE understand them.
//!
//! `*` any run of bytes, `?` one byte, `[a-z]` one of a set, `[^a-z]` one outside it, `\` takes the next byte as it is.
//! Two habits of stock servers are kept: a set that is never closed ends with the pattern, and nothing but the empty
//! pattern matches the empty text, not even `*`.

/// True when the whole of `text` matches `pattern`; with `nocase`, ASCII letters match in either case.
///
/// Takes at most `pattern.len() × text.len()` steps: after a second `*` has matched, giving more to an earlier one
/// cannot help, so only the last is ever retried.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*`, and the first byte of the text that it has not swallowed yet.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        if t < text.len() && p < pattern.len() {
            let (hit, next) = match_one(pattern, p, text[t], nocase);
            if hit {
                (p, t) = (next, t + 1);
                continue;
            }
        }
        match retry {
            Some((after_star, swallowed)) if swallowed < text.len() && t <= text.len() => {
                if after_star == pattern.len() {
                    return true;
                }
                // The text ran out: any further start is too late as well.
                if t == text.len() {
                    return false;
                }
                retry = Some((after_star, swallowed + 1));
                (p, t) = (after_star, swallowed + 1);
            }
            _ => return false,
        }
    }
}

/// Matches the pattern element at `p` against one byte. Returns the outcome and where the next element starts.
fn match_one(pattern: &[u8], p: usize, byte: u8, nocase: bool) -> (bool, usize) {
    match pattern[p] {
        b'?' => (true, p + 1),
        b'[' => match_set(pattern, p + 1, byte, nocase),
        b'\\' if p + 1 < pattern.len() => (same(pattern[p + 1], byte, nocase), p + 2),
        literal => (same(literal, byte, nocase), p + 1),
    }
}

/// Matches a set whose first byte after `[` is at `p`.
fn match_set(pattern: &[u8], mut p: usize, byte: u8, nocase: bool) -> (bool, usize) {
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut hit = false;
    while let Some(rest @ [first, ..]) = pattern.get(p..) {
        match rest {
            [b'\\', literal, ..] => {
                // An escaped byte of a set keeps its case even when the rest does not.
                hit |= *literal == byte;
                p += 2;
            }
            [b']', ..] => {
                p += 1;
                break;
            }
            [low, b'-', high, ..] => {
                hit |= in_range(*low, *high, byte, nocase);
                p += 3;
            }
            _ => {
                hit |= same(*first, byte, nocase);
                p += 1;
            }
        }
    }
    (hit != negated, p)
}

/// Ranges may be written backwards. Bytes compare as signed chars, as they do in stock servers on this machine class.
fn in_range(low: u8, high: u8, byte: u8, nocase: bool) -> bool {
    let (low, high) = if (low as i8) <= (high as i8) {
        (low, high)
    } else {
        (high, low)
    };
    let fold = |byte: u8| (if nocase { byte.to_ascii_lowercase() } else { byte }) as i8;
    (fold(low)..=fold(high)).contains(&fold(byte))
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || (nocase && a.eq_ignore_ascii_case(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn what_patterns_mean() {
        for (pattern, text) in [
            ("", ""),
            ("a*", "a"),
            ("*", "x"),
            ("**a**", "bab"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hxllo"),
            ("h[a-c]llo", "hbllo"),
            ("h[c-a]llo", "hbllo"),
            ("\\*", "*"),
            ("[\\]]", "]"),
            ("a\\", "a\\"),
            ("[a", "a"),
            ("[^", "x"),
            ("[a-", "-"),
            ("*b*d", "abcbd"),
            ("[]", ""),
        ] {
            let expected = pattern != "[]";
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), false),
                expected,
                "{pattern} {text}"
            );
        }
        for (pattern, text) in [
            ("*", ""),
            ("a", ""),
            ("", "a"),
            ("a", "b"),
            ("a*b", "a"),
            ("*a", "b"),
            ("[]", "]"),
            ("[", "["),
            ("A", "a"),
            ("h[^e]llo", "hello"),
            ("\\?", "x"),
            ("a*c*e", "abcd"),
            ("?", "ab"),
        ] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes(), false), "{pattern} {text}");
        }
        assert!(matches(b"HeL[L-M]O*", b"hellO world", true));
        assert!(!matches(b"[\\A]", b"a", true));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let text = vec![b'a'; 20_000];
        let pattern = b"a*".repeat(2_000);
        let pattern = [&pattern[..], b"b"].concat();
        assert!(!matches(&pattern, &text, false));
    }

    /// The same question asked the slow way, one recursion per choice.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            ([], _) | (_, []) => false,
            (_, [byte, after @ ..]) => {
                let (hit, next) = match_one(pattern, 0, *byte, false);
                hit && slow(&pattern[next..], after)
            }
        }
    }

    #[test]
    fn agrees_with_plain_backtracking() {
        let mut rng = Rng::new(11);
        for _ in 0..200_000 {
            let mut word = |alphabet: &[u8], longest: u64| -> Vec<u8> {
                (0..rng.below(longest + 1)).map(|_| *rng.pick(alphabet)).collect()
            };
            let pattern = word(b"ab*?[]^-\\", 8);
            let text = word(b"ab]-", 8);
            if !text.is_empty() {
                assert_eq!(
                    matches(&pattern, &text, false),
                    slow(&pattern, &text),
                    "{pattern:?} {text:?}"
                );
            }
        }
    }
}
