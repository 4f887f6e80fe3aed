//! Byte search, eight bytes a step.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of every zero byte in `word`; bits above the lowest such byte may be false.
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// The position of the first `a` or `b` in `bytes`.
pub(crate) fn find_either(bytes: &[u8], a: u8, b: u8) -> Option<usize> {
    let (a_mask, b_mask) = (ONES * u64::from(a), ONES * u64::from(b));
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, chunk) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let hits = zero_bytes(word ^ a_mask) | zero_bytes(word ^ b_mask);
        if hits != 0 {
            return Some(index * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    let rest = tail.iter().position(|&byte| byte == a || byte == b)?;
    Some(words.len() * 8 + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_plain_search_at_every_position() {
        let mut rng = base::Rng::new(11);
        for length in 0..70 {
            for _ in 0..50 {
                let bytes: Vec<u8> = (0..length)
                    .map(|_| *rng.pick(b"\n\0\x01\x0b\x8a\xffabcdefghijklmnop"))
                    .collect();
                let plain = bytes.iter().position(|&byte| byte == b'\n' || byte == 0);
                assert_eq!(find_either(&bytes, b'\n', 0), plain, "{bytes:?}");
            }
        }
    }
}
