//! CRC-64 as RDB files and DUMP payloads carry it: Jones' polynomial, bits reflected, starting from 0, no final xor.
//!
//! Sixteen bytes a step, each looked up in a table of its own ("slicing"): table `k` holds what a byte does to the sum
//! once `k` further bytes have passed over it. Where the processor multiplies without carries, longer input is folded first:
//!
//! ```text
//!   128 bytes │ next 128 bytes │ …          eight registers of 16 bytes
//!        └─ × x^1024 mod P ─┘ xor           moved over the next ones, again and again
//!   eight registers ─► one ─► tables        one moved over the next, at the end
//! ```
//!
//! The method is in Intel's paper "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction".

/// Jones' polynomial 0xad93d23594c935a9, bit-reversed.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

const SLICES: usize = 16;

static TABLES: [[u64; 256]; SLICES] = tables();

const fn tables() -> [[u64; 256]; SLICES] {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        tables[0][byte] = times_x(byte as u64, 8);
        byte += 1;
    }
    let mut slice = 1;
    while slice < SLICES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[slice - 1][byte];
            tables[slice][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        slice += 1;
    }
    tables
}

/// A remainder, moved on by so many bits of zeros.
const fn times_x(remainder: u64, bits: u32) -> u64 {
    let (mut remainder, mut bit) = (remainder, 0);
    while bit < bits {
        remainder = if remainder & 1 == 1 {
            (remainder >> 1) ^ POLYNOMIAL
        } else {
            remainder >> 1
        };
        bit += 1;
    }
    remainder
}

/// The sum of some bytes whose sum is `sum`, followed by `bytes`. The sum of nothing is 0.
#[must_use]
pub fn crc64(sum: u64, bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= folded::BYTES_MIN && is_x86_feature_detected!("pclmulqdq") {
        // SAFETY: the processor has just been asked for that very feature.
        return unsafe { folded::crc64(sum, bytes) };
    }
    by_tables(sum, bytes)
}

fn by_tables(sum: u64, bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<SLICES>();
    let mut sum = sum;
    for block in blocks {
        sum = step(sum, block);
    }
    for byte in rest {
        sum = TABLES[0][usize::from(sum as u8 ^ byte)] ^ (sum >> 8);
    }
    sum
}

#[inline(always)]
fn step(sum: u64, block: &[u8; SLICES]) -> u64 {
    let [a, b, c, d, e, f, g, h] = sum.to_le_bytes();
    let at = |slice: usize, byte: u8| TABLES[slice][usize::from(byte)];
    at(15, a ^ block[0])
        ^ at(14, b ^ block[1])
        ^ at(13, c ^ block[2])
        ^ at(12, d ^ block[3])
        ^ at(11, e ^ block[4])
        ^ at(10, f ^ block[5])
        ^ at(9, g ^ block[6])
        ^ at(8, h ^ block[7])
        ^ at(7, block[8])
        ^ at(6, block[9])
        ^ at(5, block[10])
        ^ at(4, block[11])
        ^ at(3, block[12])
        ^ at(2, block[13])
        ^ at(1, block[14])
        ^ at(0, block[15])
}

#[cfg(target_arch = "x86_64")]
mod folded {
    use std::arch::x86_64::{
        __m128i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi64, _mm_xor_si128,
    };

    use super::{by_tables, times_x};

    const REGISTERS: usize = 8;
    const REGISTER_BYTES: usize = 16;

    /// Below this the tables are as fast.
    pub(super) const BYTES_MIN: usize = 2 * REGISTERS * REGISTER_BYTES;

    /// What multiplies the two halves of a register to move it on by so many bits.
    ///
    /// Bit i of a half stands for x to the power of 63 - i, so the first half is 64 bits ahead; and a product of two such
    /// halves is one bit short of where it should be.
    const fn movers(bits: u32) -> [u64; 2] {
        const ONE: u64 = 1 << 63;
        [times_x(ONE, bits + 64 - 1), times_x(ONE, bits - 1)]
    }

    const BY_ALL: [u64; 2] = movers((REGISTERS * REGISTER_BYTES * 8) as u32);
    const BY_ONE: [u64; 2] = movers((REGISTER_BYTES * 8) as u32);

    #[target_feature(enable = "pclmulqdq")]
    pub(super) fn crc64(sum: u64, bytes: &[u8]) -> u64 {
        let (rows, rest) = bytes.as_chunks::<{ REGISTERS * REGISTER_BYTES }>();
        let Some((first, rows)) = rows.split_first() else {
            return by_tables(sum, bytes);
        };
        let mut registers = row(first);
        registers[0] = _mm_xor_si128(registers[0], pair([sum, 0]));
        let by_all = pair(BY_ALL);
        for coming in rows {
            for (register, coming) in registers.iter_mut().zip(row(coming)) {
                *register = _mm_xor_si128(moved(*register, by_all), coming);
            }
        }
        let (by_one, [first, others @ ..]) = (pair(BY_ONE), registers);
        let mut last = first;
        for register in others {
            last = _mm_xor_si128(moved(last, by_one), register);
        }
        let halves = [last, _mm_unpackhi_epi64(last, last)].map(|half| _mm_cvtsi128_si64(half).to_le_bytes());
        by_tables(by_tables(0, halves.as_flattened()), rest)
    }

    #[target_feature(enable = "pclmulqdq")]
    fn row(bytes: &[u8; REGISTERS * REGISTER_BYTES]) -> [__m128i; REGISTERS] {
        let mut registers = [pair([0, 0]); REGISTERS];
        let (blocks, _) = bytes.as_chunks::<REGISTER_BYTES>();
        for (register, block) in registers.iter_mut().zip(blocks) {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *block;
            *register = pair([
                u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                u64::from_le_bytes([i, j, k, l, m, n, o, p]),
            ]);
        }
        registers
    }

    #[target_feature(enable = "pclmulqdq")]
    fn pair([first, second]: [u64; 2]) -> __m128i {
        _mm_set_epi64x(second as i64, first as i64)
    }

    #[target_feature(enable = "pclmulqdq")]
    fn moved(register: __m128i, by: __m128i) -> __m128i {
        _mm_xor_si128(
            _mm_clmulepi64_si128::<0x00>(register, by),
            _mm_clmulepi64_si128::<0x11>(register, by),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_check_value() {
        assert_eq!(crc64(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(0, b""), 0);
    }

    #[test]
    fn any_split_gives_the_same_sum_as_byte_by_byte() {
        let bytes: Vec<u8> = (0..900_u32).map(|i| (i * 7 + i / 13) as u8).collect();
        let plain = bytes.iter().fold(0, |sum, byte| crc64(sum, &[*byte]));
        for split in 0..bytes.len() {
            let (front, back) = bytes.split_at(split);
            assert_eq!(crc64(crc64(0, front), back), plain, "split at {split}");
            assert_eq!(
                by_tables(crc64(0, front), back),
                plain,
                "tables after a split at {split}"
            );
        }
    }

    /// Long input takes another way than short input, where the processor has one.
    #[test]
    fn long_input_is_summed_as_by_tables() {
        let mut rng = base::Rng::new(64);
        let bytes: Vec<u8> = (0..70_000).map(|_| rng.next_u64() as u8).collect();
        for _ in 0..300 {
            let from = rng.below(bytes.len() as u64) as usize;
            let part = &bytes[from..from + rng.below((bytes.len() - from) as u64 + 1) as usize];
            let sum = rng.next_u64();
            assert_eq!(crc64(sum, part), by_tables(sum, part), "{} bytes", part.len());
        }
    }
}
