//! Reference counts of blocks that the live tree and frozen views share.
//!
//! The protocol of [`std::sync::Arc`] without its weak half. A new reference is only ever made by someone who holds
//! one, so a holder that reads 1 is alone and stays alone until it gives a reference away itself.

// The crate's atomics are the standard ones; those of `tests/count_loom.rs`, which includes this file, are loom's.
use crate::atomics::{AtomicU8, AtomicU32, Ordering, fence};

macro_rules! count {
    ($(#[$doc:meta])* $name:ident, $atomic:ident, $integer:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name($atomic);

        impl $name {
            /// The count of a block with one holder.
            pub(crate) fn one() -> Self {
                Self($atomic::new(1))
            }

            /// Whether the caller's reference is the only one; what former holders did is then visible.
            #[inline]
            pub(crate) fn is_one(&self) -> bool {
                self.0.load(Ordering::Acquire) == 1
            }

            /// One more holder. Aborts the process before the count could wrap.
            #[inline]
            pub(crate) fn increment(&self) {
                if self.0.fetch_add(1, Ordering::Relaxed) > <$integer>::MAX / 2 {
                    std::process::abort();
                }
            }

            /// One holder less; true if it was the last, who must free the block.
            #[inline]
            #[must_use]
            pub(crate) fn decrement(&self) -> bool {
                if self.0.fetch_sub(1, Ordering::Release) != 1 {
                    return false;
                }
                fence(Ordering::Acquire);
                true
            }
        }
    };
}

count!(
    /// The holders of an entry: the tables that contain it, of which there is one per frozen view and the live one.
    Count8, AtomicU8, u8
);
count!(
    /// The holders of a node or segment.
    Count32, AtomicU32, u32
);
