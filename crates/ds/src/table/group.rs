//! Eight slots in a cache line: the unit in which a segment is searched.
//!
//! ```text
//!   slot      0          1          2                    7
//!          +----------+----------+----------+---…---+----------+
//!          | tag addr | tag addr |    0     |   0   |    0     |     tag: 16 bits of the hash, see `hash`; addr: 48 bits
//!          +----------+----------+----------+---…---+----------+
//! ```
//!
//! A group is filled from slot 0 without gaps, so its last slot says whether it is full.

use crate::entry::Entry;

/// Slots in a group.
pub(super) const SLOTS: usize = 8;

/// Eight entries or places for them.
pub(super) type Group = [Option<Entry>; SLOTS];

/// How many entries a group has.
#[inline]
pub(super) fn len(group: &Group) -> usize {
    group.partition_point(Option::is_some)
}

/// Which slots hold this tag, as a bit each. Empty slots look like tag 0.
#[inline]
pub(super) fn with_tag(group: &Group, tag: u16) -> u8 {
    #[cfg(target_arch = "x86_64")]
    return sse2::with_tag(group, tag);
    #[cfg(not(target_arch = "x86_64"))]
    portable::with_tag(group, tag)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::Group;

    pub(super) fn with_tag(group: &Group, tag: u16) -> u8 {
        let mut found = 0;
        for (index, slot) in group.iter().enumerate() {
            let slot_tag = slot.as_ref().map_or(0, super::Entry::tag);
            found |= u8::from(slot_tag == tag) << index;
        }
        found
    }
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128, __m128i, _mm_castps_si128, _mm_cmpeq_epi32, _mm_loadu_ps, _mm_movemask_epi8, _mm_packs_epi16,
        _mm_packs_epi32, _mm_set1_epi32, _mm_setzero_si128, _mm_shuffle_ps, _mm_srli_epi32,
    };

    use super::Group;

    #[inline]
    pub(super) fn with_tag(group: &Group, tag: u16) -> u8 {
        let slots = std::ptr::from_ref(group).cast::<f32>();
        // SAFETY: every x86-64 processor has SSE2. A group is eight slots of eight initialised bytes each (a pointer,
        // or the null that stands for none), so four unaligned loads of 16 bytes stay inside it.
        unsafe {
            let load = |index: usize| -> __m128 { _mm_loadu_ps(slots.add(4 * index)) };
            // The upper halves of four slots at a time; their upper halves are the tags.
            let upper = |a: __m128, b: __m128| -> __m128i {
                _mm_srli_epi32::<16>(_mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(a, b)))
            };
            let tag = _mm_set1_epi32(i32::from(tag));
            let first = _mm_cmpeq_epi32(upper(load(0), load(1)), tag);
            let second = _mm_cmpeq_epi32(upper(load(2), load(3)), tag);
            _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(first, second), _mm_setzero_si128())) as u8
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::account::Ledger;
    use crate::entry::Payload;

    #[test]
    fn both_searches_find_the_same_slots() {
        let mut ledger = Ledger::new(Arc::default());
        let tags = [7, 0, 0xffff, 7, 0x8000, 7];
        let mut group = Group::default();
        for (slot, tag) in group.iter_mut().zip(tags) {
            *slot = Some(Entry::new(tag, b"key", None, 0, Payload::Int(1), &mut ledger));
        }
        for tag in [0, 1, 7, 0x7fff, 0x8000, 0xffff] {
            let expected = (0..8)
                .filter(|index| tags.get(*index).copied().unwrap_or(0) == tag)
                .map(|i| 1 << i)
                .sum::<u8>();
            assert_eq!(with_tag(&group, tag), expected, "tag {tag:#x}");
            assert_eq!(portable::with_tag(&group, tag), expected, "tag {tag:#x}");
        }
        group.into_iter().flatten().for_each(|entry| entry.leave(&mut ledger));
        assert_eq!(ledger.bytes(), 0);
    }
}
