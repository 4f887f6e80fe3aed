//! What the allocator makes of a request: the size classes of mimalloc.
//!
//! ```text
//!   1 … 64 bytes       every multiple of 8
//!   above              four classes per doubling: 80 96 112 128 160 192 224 256 320 …
//! ```
//!
//! Blocks of this crate are requested in these sizes exactly, so that counting requests counts memory, and a block
//! knows how far it may grow in place. Classes of 8 bytes up to 64 want mimalloc built with `MI_MAX_ALIGN_SIZE=8` (see
//! `.cargo/config.toml`); built otherwise, a small block takes up to 8 bytes more than counted.

/// The size of the block that a request of `bytes` gets. The source is `mi_bin` in mimalloc's `page-queue.c`.
#[inline]
#[must_use]
pub const fn block_bytes(bytes: usize) -> usize {
    if bytes <= 64 {
        return if bytes == 0 { 8 } else { (bytes + 7) & !7 };
    }
    let step = 1 << ((bytes - 1).ilog2() - 2);
    (bytes + step - 1) & !(step - 1)
}

#[cfg(test)]
mod tests {
    use super::block_bytes;

    #[test]
    fn classes_are_those_of_the_allocator() {
        let classes: Vec<usize> = (1..=1024).map(block_bytes).collect();
        let mut distinct = classes.clone();
        distinct.dedup();
        assert_eq!(
            distinct,
            [
                8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896,
                1024
            ]
        );
        assert!(classes.iter().enumerate().all(|(index, class)| *class > index));
        assert_eq!(block_bytes(65_536), 65_536);
        assert_eq!(block_bytes(65_537), 81_920);
    }
}
