//! What the allocator makes of a request: its size classes.
//!
//! ```text
//!   1 … 512 bytes       every multiple of 8                                        ┐ of the slab
//!   … 4096 bytes        32 classes per doubling: 528 544 … 1024 1056 … 2048 2112 … ┘
//!   above               four classes per doubling: 5120 6144 7168 8192 10240 …       of mimalloc
//! ```
//!
//! Blocks of this crate are requested in these sizes exactly, so that counting requests counts memory, and a block
//! knows how far it may grow in place.

/// The largest block of the slab.
pub(crate) const SMALL_BYTES_MAX: usize = 4096;

/// How many classes the slab has.
pub(crate) const CLASSES: usize = FINE_CLASSES + 3 * CLASSES_PER_DOUBLING;

const FINE_BYTES_MAX: usize = 512;
const FINE_CLASSES: usize = FINE_BYTES_MAX / 8;
const CLASSES_PER_DOUBLING: usize = 32;

/// The size of the block that a request of `bytes` gets. Above the slab's it is mimalloc's, `mi_bin` in its `page-queue.c`.
#[inline]
#[must_use]
pub const fn block_bytes(bytes: usize) -> usize {
    if bytes <= FINE_BYTES_MAX {
        return if bytes == 0 { 8 } else { (bytes + 7) & !7 };
    }
    let doubling = (bytes - 1).ilog2();
    let step = if bytes <= SMALL_BYTES_MAX {
        1 << (doubling - CLASSES_PER_DOUBLING.ilog2())
    } else {
        1 << (doubling - 2)
    };
    (bytes + step - 1) & !(step - 1)
}

/// The size of the block for something that will grow step by step: with room to spare, four sizes per doubling, so that
/// not every step takes another block, nor leaves one of another class behind.
#[inline]
#[must_use]
pub const fn growing_bytes(bytes: usize) -> usize {
    if bytes <= 64 {
        return block_bytes(bytes);
    }
    let step = 1 << ((bytes - 1).ilog2() - 2);
    (bytes + step - 1) & !(step - 1)
}

/// The number of the slab's class for a request of `bytes`, from 1 up to [`SMALL_BYTES_MAX`].
pub(crate) const fn class_of(bytes: usize) -> usize {
    if bytes <= FINE_BYTES_MAX {
        return bytes.div_ceil(8) - 1;
    }
    let shift = (bytes - 1).ilog2() - CLASSES_PER_DOUBLING.ilog2();
    let doublings = (shift - 4) as usize;
    FINE_CLASSES + doublings * CLASSES_PER_DOUBLING + ((bytes - 1) >> shift) - CLASSES_PER_DOUBLING
}

/// The size of the blocks of the slab's class number `class`.
pub(crate) const fn class_bytes(class: usize) -> usize {
    if class < FINE_CLASSES {
        return 8 * (class + 1);
    }
    let (doublings, step) = (
        (class - FINE_CLASSES) / CLASSES_PER_DOUBLING,
        (class - FINE_CLASSES) % CLASSES_PER_DOUBLING,
    );
    (FINE_BYTES_MAX << doublings) + ((step + 1) << (doublings + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_allocators() {
        let mut distinct: Vec<usize> = (1..=16_384).map(block_bytes).collect();
        distinct.dedup();
        let mut expected: Vec<usize> = (8..=512).step_by(8).collect();
        expected.extend((528..=1024).step_by(16));
        expected.extend((1056..=2048).step_by(32));
        expected.extend((2112..=4096).step_by(64));
        assert_eq!(expected.len(), CLASSES);
        expected.extend([5120, 6144, 7168, 8192, 10_240, 12_288, 14_336, 16_384]);
        assert_eq!(distinct, expected);
        assert!(
            (1..=16_384)
                .all(|bytes| block_bytes(bytes) >= bytes && block_bytes(block_bytes(bytes)) == block_bytes(bytes))
        );
        assert!((1..=16_384).all(|bytes| block_bytes(growing_bytes(bytes)) == growing_bytes(bytes)));
        assert_eq!(
            [65, 81, 500, 513, 1025, 5000].map(growing_bytes),
            [80, 96, 512, 640, 1280, 5120]
        );
        assert_eq!(block_bytes(65_536), 65_536);
        assert_eq!(block_bytes(65_537), 81_920);
    }

    #[test]
    fn classes_are_numbered_in_order() {
        let mut last = 0;
        for bytes in 2..=SMALL_BYTES_MAX {
            let grows = block_bytes(bytes) > block_bytes(bytes - 1);
            assert_eq!(class_of(bytes), last + usize::from(grows), "{bytes} bytes");
            last = class_of(bytes);
            assert_eq!(class_bytes(last), block_bytes(bytes));
        }
        assert_eq!((class_of(1), last), (0, CLASSES - 1));
    }
}
