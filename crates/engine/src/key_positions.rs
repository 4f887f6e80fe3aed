//! Where the keys of a request are, as the key specs of its command say.

use crate::spec::{Begin, Find, Flags, KeyFlags, KeySpec, Spec};
use resp::Args;

/// The position of a key in its request, and what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPosition {
    /// Which word of the request it is; 0 is the command's name.
    pub at: usize,
    /// What happens to it.
    pub flags: KeyFlags,
}

/// Whether requests of this command can have keys at all.
#[must_use]
pub fn has_keys(spec: &Spec) -> bool {
    spec.get_keys.is_some() || !spec.keys.is_empty()
}

/// The keys of a request, in the order of the command's key specs. Words that the request lacks are no keys.
#[must_use]
pub fn find(spec: &Spec, args: Args<'_>) -> Vec<KeyPosition> {
    if let Some(get_keys) = spec.get_keys {
        // The first key is what the first spec says, the others are what the last says.
        let flags_of = |key_spec: Option<&KeySpec>| key_spec.map_or(KeyFlags::NONE, |keys| keys.flags);
        let flags = [flags_of(spec.keys.first()), flags_of(spec.keys.last())];
        let positions = get_keys(args).into_iter().enumerate();
        return positions
            .map(|(index, at)| KeyPosition {
                at,
                flags: flags[index.min(1)],
            })
            .collect();
    }
    let mut keys = Vec::new();
    for key_spec in spec
        .keys
        .iter()
        .filter(|key_spec| !key_spec.flags.has(KeyFlags::NOT_KEY))
    {
        let mut flags = key_spec.flags;
        if let (true, Some(get)) = (flags.has(KeyFlags::VARIABLE_FLAGS), spec.get_key_flags) {
            flags = get(args);
        }
        keys.extend(positions(key_spec, args).map(|at| KeyPosition { at, flags }));
    }
    keys
}

/// The positions that one key spec names.
fn positions(key_spec: &KeySpec, args: Args<'_>) -> impl Iterator<Item = usize> {
    let range = first(key_spec.begin, args).and_then(|first| range(key_spec.find, first, args));
    let words = args.len();
    range
        .into_iter()
        .flat_map(|(first, last, step)| (first..=last).step_by(step))
        .take_while(move |at| *at < words)
}

fn first(begin: Begin, args: Args<'_>) -> Option<usize> {
    match begin {
        Begin::Index(at) => Some(at),
        Begin::Keyword { word, from } => {
            let is_word = |at: &usize| args.get(*at).eq_ignore_ascii_case(word.as_bytes());
            let found = if from >= 0 {
                (from as usize..args.len()).find(is_word)
            } else {
                let from = args.len().checked_sub(from.unsigned_abs() as usize)?;
                (1..=from).rev().find(is_word)
            };
            found.map(|at| at + 1)
        }
        Begin::Unknown => None,
    }
}

/// First, last and step of a key spec that begins at `first`.
fn range(find: Find, first: usize, args: Args<'_>) -> Option<(usize, usize, usize)> {
    match find {
        Find::Range { last, step, limit } => {
            let last = if last >= 0 {
                first + last as usize
            } else if limit <= 1 {
                args.len().checked_sub(last.unsigned_abs() as usize)?
            } else {
                first + args.len().checked_sub(first)? / limit - last.unsigned_abs() as usize
            };
            Some((first, last, step))
        }
        Find::KeyNum {
            count,
            first: offset,
            step,
        } => {
            let count = base::number::parse_i64(args.try_get(first + count)?)?;
            let count = usize::try_from(count).ok().filter(|count| *count > 0)?;
            Some((
                first + offset,
                (first + offset).checked_add((count - 1).checked_mul(step)?)?,
                step,
            ))
        }
        Find::Unknown => None,
    }
}

/// First key, last key and step, as COMMAND INFO told them before there were key specs: they cover the specs that are
/// plain ranges next to each other. Zeros where there is none.
#[must_use]
pub fn legacy_range(spec: &Spec) -> (i64, i64, i64) {
    let plain = |key_spec: &KeySpec| match (key_spec.begin, key_spec.find) {
        (Begin::Index(first), Find::Range { last, step, .. }) => {
            let last = if last >= 0 { first as i64 + last } else { last };
            Some((first as i64, last, step as i64))
        }
        _ => None,
    };
    if let [only] = spec.keys {
        return plain(only).unwrap_or((0, 0, 0));
    }
    let mut whole: Option<(i64, i64)> = None;
    for (first, last, step) in spec.keys.iter().filter_map(plain) {
        whole = match whole {
            None if step == 1 => Some((first, last)),
            Some((start, end)) if step == 1 && end == first - 1 => Some((start, last)),
            None => return (0, 0, 0),
            Some(_) => break,
        };
    }
    whole.map_or((0, 0, 0), |(first, last)| (first, last, 1))
}

/// Whether keys are where the key specs cannot tell exactly.
#[must_use]
pub fn are_movable(spec: &Spec) -> bool {
    let is_range =
        |key_spec: &KeySpec| matches!((key_spec.begin, key_spec.find), (Begin::Index(_), Find::Range { .. }));
    spec.flags.has(Flags::MOVABLE_KEYS) || spec.keys.iter().any(|key_spec| !is_range(key_spec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::OwnedArgs;

    fn at(keys: &'static [KeySpec], request: &str) -> Vec<usize> {
        let spec = Spec { keys, ..Spec::BASE };
        let args = OwnedArgs::from_words(request.split(' '));
        find(&spec, args.as_args()).into_iter().map(|key| key.at).collect()
    }

    #[test]
    fn key_specs_find_keys() {
        const PAIRS: &[KeySpec] = &[KeySpec::range(1, -1, 2, KeyFlags::OW)];
        assert_eq!(at(PAIRS, "mset a 1 b 2"), [1, 3]);
        assert_eq!(at(PAIRS, "mset a 1 b"), [1, 3]);
        assert_eq!(at(PAIRS, "mset"), [0; 0]);

        const COUNTED: &[KeySpec] = &[KeySpec {
            begin: Begin::Index(2),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
            flags: KeyFlags::RW,
            notes: "",
        }];
        assert_eq!(at(COUNTED, "eval x 2 a b c"), [3, 4]);
        assert_eq!(at(COUNTED, "eval x 0 a"), [0; 0]);
        assert_eq!(at(COUNTED, "eval x many a"), [0; 0]);

        const AFTER_WORD: &[KeySpec] = &[KeySpec {
            begin: Begin::Keyword {
                word: "STREAMS",
                from: 1,
            },
            find: Find::Range {
                last: -1,
                step: 1,
                limit: 2,
            },
            flags: KeyFlags::RO,
            notes: "",
        }];
        assert_eq!(at(AFTER_WORD, "xread count 2 streams a b 0 0"), [4, 5]);
        assert_eq!(at(AFTER_WORD, "xread count 2"), [0; 0]);
    }
}
