//! Registers that are each written down by themselves, in 6 bits.
//!
//! ```text
//!   byte       0          1          2          3
//!   register   11000000   22221111   33333322   …      lowest bits first
//! ```

use super::REGISTERS;

const REGISTER_BITS: usize = 6;
const VALUE: u8 = (1 << REGISTER_BITS) - 1;

/// What all registers take.
pub const BYTES: usize = REGISTERS * REGISTER_BITS / 8;

/// Hands all registers on, in order.
pub fn for_each(bytes: &[u8], mut each: impl FnMut(usize, u8)) {
    let (groups, _) = bytes.as_chunks::<3>();
    for (group, [a, b, c]) in groups.iter().enumerate() {
        let index = 4 * group;
        each(index, a & VALUE);
        each(index + 1, (a >> 6 | b << 2) & VALUE);
        each(index + 2, (b >> 4 | c << 4) & VALUE);
        each(index + 3, c >> 2);
    }
}

/// Where the two bytes of a register are, and what they become for it to be at least `value`; `None` if it is.
pub fn raised(bytes: &[u8], index: usize, value: u8) -> Option<(usize, [u8; 2])> {
    let bit = index * REGISTER_BITS;
    // The last register ends the last byte; it is reached from the byte before.
    let at = (bit / 8).min(BYTES - 2);
    let shift = bit - at * 8;
    let pair = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let old = (pair >> shift) as u8 & VALUE;
    let mask = u16::from(VALUE) << shift;
    (old < value).then(|| (at, (pair & !mask | u16::from(value) << shift).to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;

    #[test]
    fn registers_do_not_disturb_each_other() {
        let mut rng = Rng::new(3);
        let mut bytes = vec![0; BYTES];
        let mut model = vec![0; REGISTERS];
        for _ in 0..100_000 {
            let (index, value) = (rng.below(REGISTERS as u64) as usize, rng.below(64) as u8);
            match raised(&bytes, index, value) {
                Some((at, pair)) => {
                    assert!(model[index] < value);
                    bytes[at..at + 2].copy_from_slice(&pair);
                    model[index] = value;
                }
                None => assert!(model[index] >= value),
            }
        }
        for_each(&bytes, |index, value| assert_eq!(value, model[index], "{index}"));
    }
}
