//! CRC-64 as RDB files and DUMP payloads carry it: Jones' polynomial, bits reflected, starting from 0, no final xor.
//!
//! Sixteen bytes a step, each looked up in a table of its own ("slicing"): table `k` holds what a byte does to the sum
//! once `k` further bytes have passed over it.

/// Jones' polynomial 0xad93d23594c935a9, bit-reversed.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

const SLICES: usize = 16;

static TABLES: [[u64; 256]; SLICES] = tables();

const fn tables() -> [[u64; 256]; SLICES] {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ POLYNOMIAL
            } else {
                sum >> 1
            };
            bit += 1;
        }
        tables[0][byte] = sum;
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

/// The sum of some bytes whose sum is `sum`, followed by `bytes`. The sum of nothing is 0.
#[must_use]
pub fn crc64(sum: u64, bytes: &[u8]) -> u64 {
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
        let bytes: Vec<u8> = (0..300u32).map(|i| (i * 7 + i / 13) as u8).collect();
        let plain = bytes.iter().fold(0, |sum, byte| crc64(sum, &[*byte]));
        for split in 0..bytes.len() {
            let (front, back) = bytes.split_at(split);
            assert_eq!(crc64(crc64(0, front), back), plain, "split at {split}");
        }
    }
}
