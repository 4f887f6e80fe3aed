//! Whether a listpack holds something twice.

use ds::KeyHash;
use ds::listpack::{Listpack, Position, Value};

/// Up to so many things, each is compared with each.
const COMPARED_MAX: usize = 8;

/// Memory for the search, kept from one value to the next.
#[derive(Debug, Default)]
pub(crate) struct Unique {
    /// Open addressing by the hash of the text; twice as many places as things, at least.
    places: Vec<Option<Position>>,
}

impl Unique {
    /// Whether no two of every `step`-th entry of `pack`, the first included, are the same text. `hash` must not be
    /// guessable.
    pub(crate) fn holds(&mut self, pack: Listpack<'_>, step: usize, hash: impl Fn(&[u8]) -> KeyHash) -> bool {
        let things = pack.len().div_ceil(step);
        if things <= COMPARED_MAX {
            let each = || pack.iter().step_by(step).map(|(_, value)| value);
            return each()
                .enumerate()
                .all(|(index, one)| each().skip(index + 1).all(|other| !same(one, other)));
        }
        let mask = (things * 2).next_power_of_two() - 1;
        self.places.clear();
        self.places.resize(mask + 1, None);
        for (position, value) in pack.iter().step_by(step) {
            let mut place = value.with_text(&hash).0 as usize & mask;
            while let Some(other) = self.places[place] {
                if same(pack.get(other), value) {
                    return false;
                }
                place = (place + 1) & mask;
            }
            self.places[place] = Some(position);
        }
        true
    }
}

/// Whether two entries are the same text. Foreign listpacks may hold an integer as text.
fn same(one: Value<'_>, other: Value<'_>) -> bool {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => one == other,
        (Value::Bytes(text), other) | (other, Value::Bytes(text)) => other.is(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ds::Hasher;
    use ds::listpack::{append_many, init};

    fn unique(texts: &[String], step: usize) -> bool {
        let mut pack = init().to_vec();
        for text in texts {
            append_many(&mut pack, &[text.as_bytes()]);
        }
        let hasher = Hasher::new(1);
        Unique::default().holds(Listpack::new(&pack), step, |text| hasher.hash(text))
    }

    #[test]
    fn duplicates_are_found_among_few_and_many() {
        for len in [0, 1, 2, 7, 8, 9, 100, 1000] {
            let mut texts: Vec<String> = (0..len).map(|number| format!("{number}")).collect();
            assert!(unique(&texts, 1), "{len}");
            let pairs: Vec<String> = texts.iter().flat_map(|text| [text.clone(), "same".into()]).collect();
            assert!(unique(&pairs, 2), "{len}");
            if len > 1 {
                assert!(!unique(&pairs, 1));
                texts[len - 1] = texts[len / 2 - 1].clone();
                assert!(!unique(&texts, 1), "{len}");
            }
        }
    }

    #[test]
    fn an_integer_as_text_is_the_integer() {
        // "5" as text of one byte, then 5.
        let pack = b"\x0c\0\0\0\x02\0\x815\x02\x05\x01\xff";
        assert_eq!(ds::listpack::validate(pack), Ok(2));
        assert!(!Unique::default().holds(Listpack::new(pack), 1, |_| KeyHash(0)));
    }
}
