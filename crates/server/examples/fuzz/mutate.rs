//! Mutations that know a little of the formats.

use base::Rng;

/// What is put right after a mutation, most of the time: headers that would hide all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Bytes,
    /// Total bytes and the end mark.
    Listpack,
    /// The count.
    Intset,
}

/// Bytes that mean something in one format or another.
const TELLING: [u8; 22] = [
    0, 1, 2, 3, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xc3, 0xe0, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xfd, 0xfe, 0xff,
    b'\r',
];

/// Numbers that mean something.
const TELLING_NUMBERS: [u32; 9] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX - 1,
    u32::MAX,
];

/// A mutation of something in `corpus`.
pub fn mutate(corpus: &[Vec<u8>], shape: Shape, rng: &mut Rng) -> Vec<u8> {
    let mut data = rng.pick(corpus).clone();
    for _ in 0..1 + rng.below(4) {
        change(&mut data, corpus, rng);
    }
    if rng.chance(7, 8) {
        put_right(&mut data, shape, rng);
    }
    data
}

fn change(data: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(data.len() as u64 + 1) as usize;
    let piece = |data: &[u8], rng: &mut Rng| {
        let from = rng.below(data.len() as u64 + 1) as usize;
        let to = (from + 1 + rng.below(24) as usize).min(data.len());
        data[from..to].to_vec()
    };
    match rng.below(9) {
        0 if at < data.len() => data[at] ^= 1 << rng.below(8),
        1 if at < data.len() => data[at] = *rng.pick(&TELLING),
        2 if at < data.len() => data[at] = data[at].wrapping_add(rng.below(5) as u8).wrapping_sub(2),
        3 => data.insert(at, *rng.pick(&TELLING)),
        4 => {
            let to = (at + 1 + rng.below(16) as usize).min(data.len());
            data.drain(at..to);
        }
        5 => {
            let own = piece(data, rng);
            data.splice(at..at, own);
        }
        6 => {
            let other = rng.pick(corpus).clone();
            let other = piece(&other, rng);
            let to = (at + other.len() * rng.below(2) as usize).min(data.len());
            data.splice(at..to, other);
        }
        7 if at + 4 <= data.len() => {
            let number = *rng.pick(&TELLING_NUMBERS);
            let bytes = if rng.chance(1, 2) {
                number.to_le_bytes()
            } else {
                number.to_be_bytes()
            };
            data[at..at + 4].copy_from_slice(&bytes);
        }
        _ => data.truncate(at.max(data.len() / 2)),
    }
}

fn put_right(data: &mut Vec<u8>, shape: Shape, rng: &mut Rng) {
    match shape {
        Shape::Bytes => {}
        Shape::Listpack if data.len() >= 7 => {
            let total = data.len() as u32;
            data[..4].copy_from_slice(&total.to_le_bytes());
            let last = data.len() - 1;
            data[last] = 0xff;
            // "Go and count", or else the count that was there.
            if rng.chance(1, 2) {
                data[4..6].fill(0xff);
            }
        }
        Shape::Intset if data.len() >= 8 => {
            let width = [2, 4, 8][rng.below(3) as usize];
            let count = (data.len() - 8) / width;
            data.truncate(8 + count * width);
            data[..4].copy_from_slice(&(width as u32).to_le_bytes());
            data[4..8].copy_from_slice(&(count as u32).to_le_bytes());
        }
        Shape::Listpack | Shape::Intset => {}
    }
}
