//! A segment: up to 105 entries (seven eighths of 15 groups) whose hashes agree in their first bits. It grows with
//! them, and then splits.
//!
//! ```text
//!   +--------+---------+---------+-----+---------+
//!   | header | group 0 | group 1 | ... | group n |      64 bytes each; 1 ≤ groups ≤ 15, in the sizes that the
//!   +--------+---------+---------+-----+---------+      allocator has: 1 2 3 4 5 6 7 9 11 13 15
//!
//!   home group of an entry = lasting part of its tag × groups / 2¹²; if that is full, the next that is not, around the end.
//! ```
//!
//! A search ends at the first group that is not full: removal keeps that true by moving an entry back into the gap.
//! Home groups follow from the tags in the slots, so growing and shrinking look at no entry.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::{self, size_of};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI64, Ordering};

use super::child::Child;
use super::group::{self, Group, SLOTS};
use super::lent::{Lent, Mark};
use crate::account::{Account, Ledger};
use crate::count::Count32;
use crate::entry::Entry;
use crate::hash::{LASTING_TAGS, lasting};
use base::Millis;

/// Groups by size class. The last ones are for segments that cannot be split: more keys than fit whose hashes agree in
/// all 48 bits, which nobody will see.
const GROUPS: [usize; 16] = [1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15, 31, 63, 127, 255, 1023];

const HEADER_BYTES: usize = 64;

/// No expiry at all.
pub(super) const NEVER: i64 = i64::MAX;

#[repr(C)]
struct Header {
    count: Count32,
    len: u16,
    /// Entries with an expiry.
    expiring: u16,
    /// No entry expires before this moment; [`NEVER`] if none expires. Atomic because whoever finds it too early may
    /// correct it, in a shared segment too.
    soonest: AtomicI64,
    mark: Mark,
    _pad: [u32; 11],
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES && size_of::<Group>() == 64);

/// A segment in memory: a pointer without a count of its own.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    header: NonNull<Header>,
    groups: usize,
    class: usize,
}

/// The smallest class for `len` entries.
pub(super) fn class_for(len: usize) -> usize {
    // The largest class takes more than 7000 entries with equal hashes, which takes breaking the hash function.
    GROUPS
        .iter()
        .position(|groups| groups * (SLOTS - 1) >= len)
        .expect("thousands of keys with one hash")
}

fn layout(class: usize) -> Layout {
    // Constants, and a power of two.
    Layout::from_size_align(block_bytes(class), 8).expect("the layout of a segment")
}

/// The memory of a segment of this class.
pub(super) fn block_bytes(class: usize) -> usize {
    crate::size::block_bytes(HEADER_BYTES + GROUPS[class] * size_of::<Group>())
}

impl Segment {
    /// The segment behind `child`.
    ///
    /// # Safety
    /// - `child` refers to a segment (not to nothing, not to an inner node) that lives as long as the result is used.
    #[inline]
    pub(super) unsafe fn of(child: Child) -> Self {
        let class = child.class();
        // SAFETY: not null, by contract.
        let header = unsafe { NonNull::new_unchecked(child.address().cast()) };
        Self {
            header,
            groups: GROUPS[class],
            class,
        }
    }

    /// A new empty segment with one holder.
    pub(super) fn new(class: usize, ledger: &mut Ledger) -> Self {
        let layout = layout(class);
        // SAFETY: the size is not 0.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        ledger.add(layout.size());
        let header = block.cast::<Header>();
        let segment = Self {
            header,
            groups: GROUPS[class],
            class,
        };
        // SAFETY: the block has room for the header and the groups; all-zero groups are empty slots.
        unsafe {
            header.write(Header {
                count: Count32::one(),
                len: 0,
                expiring: 0,
                soonest: AtomicI64::new(NEVER),
                mark: Mark::new(),
                _pad: [0; 11],
            });
            ptr::write_bytes(segment.groups_at(), 0, segment.groups);
        }
        segment
    }

    pub(super) fn child(self, depth: u32) -> Child {
        Child::segment(self.header.as_ptr().cast(), self.class, depth)
    }

    fn header<'a>(self) -> &'a Header {
        // SAFETY: the segment lives, by the contract of `of`.
        unsafe { self.header.as_ref() }
    }

    #[inline]
    fn groups_at(self) -> *mut Group {
        self.header.as_ptr().wrapping_add(1).cast()
    }

    pub(super) fn groups<'a>(self) -> &'a [Group] {
        // SAFETY: the segment lives, by the contract of `of`, and nobody writes to it meanwhile: whoever may (the only
        // holder, through a `&mut Table`) keeps no such reference.
        unsafe { std::slice::from_raw_parts(self.groups_at(), self.groups) }
    }

    pub(super) fn entries<'a>(self) -> impl Iterator<Item = &'a Entry> {
        self.groups()
            .iter()
            .flat_map(|group| group.iter().map_while(Option::as_ref))
    }

    /// The slot of `index`, counted over all groups.
    pub(super) fn slot<'a>(self, index: usize) -> Option<&'a Entry> {
        self.groups()[index / SLOTS][index % SLOTS].as_ref()
    }

    pub(super) fn slots(self) -> usize {
        self.groups * SLOTS
    }

    pub(super) fn class(self) -> usize {
        self.class
    }

    /// How many entries it takes before it must grow: seven eighths of its slots.
    #[inline]
    pub(super) fn capacity(self) -> usize {
        self.groups * (SLOTS - 1)
    }

    /// How many entries have a tag of which this is true.
    pub(super) fn count_where(self, is: impl Fn(u16) -> bool) -> usize {
        let holds = |slot: &Option<Entry>| slot.as_ref().is_some_and(|entry| is(entry.tag()));
        let count = |group: &Group| group.iter().filter(|slot| holds(slot)).count();
        self.groups().iter().map(count).sum()
    }

    pub(super) fn len(self) -> usize {
        usize::from(self.header().len)
    }

    pub(super) fn expiring(self) -> usize {
        usize::from(self.header().expiring)
    }

    pub(super) fn soonest(self) -> i64 {
        self.header().soonest.load(Ordering::Relaxed)
    }

    pub(super) fn set_soonest(self, soonest: i64) {
        self.header().soonest.store(soonest, Ordering::Relaxed);
    }

    pub(super) fn count<'a>(self) -> &'a Count32 {
        &self.header().count
    }

    pub(super) fn mark<'a>(self) -> &'a Mark {
        &self.header().mark
    }

    #[inline]
    fn home(self, tag: u16) -> usize {
        lasting(tag) * self.groups / LASTING_TAGS
    }

    #[inline]
    fn after(self, group: usize) -> usize {
        if group + 1 == self.groups { 0 } else { group + 1 }
    }

    /// The slot of `key`, which has this tag here.
    #[inline]
    pub(super) fn find(self, key: &[u8], tag: u16) -> Option<usize> {
        self.find_where(tag, |entry| entry.key() == key)
    }

    /// The slot of the entry at this address, whatever stands above it.
    #[inline]
    pub(super) fn find_address(self, address: NonNull<u8>, tag: u16) -> Option<usize> {
        self.find_where(tag, |entry| entry.is_at(address))
    }

    #[inline]
    fn find_where(self, tag: u16, is: impl Fn(&Entry) -> bool) -> Option<usize> {
        self.look_where(tag, is).ok()
    }

    /// The slot of `key`, which has this tag here; else the free slot that an entry with this tag goes into, which is none
    /// of the segment's if all are taken.
    #[inline]
    pub(super) fn look(self, key: &[u8], tag: u16) -> Result<usize, usize> {
        self.look_where(tag, |entry| entry.key() == key)
            .map_err(|group| match self.groups().get(group) {
                Some(slots) => group * SLOTS + group::len(slots),
                None => self.slots(),
            })
    }

    /// The slot of what is searched for; else the group where the search ended, the first that is not full.
    #[inline]
    fn look_where(self, tag: u16, is: impl Fn(&Entry) -> bool) -> Result<usize, usize> {
        let home = self.home(tag);
        let mut at = home;
        loop {
            // SAFETY: the segment lives, by the contract of `of`, and `at` is less than its groups.
            let group = unsafe { &*self.groups_at().add(at) };
            let mut candidates = group::with_tag(group, tag);
            while candidates != 0 {
                let index = candidates.trailing_zeros() as usize;
                if group[index].as_ref().is_some_and(&is) {
                    return Ok(at * SLOTS + index);
                }
                candidates &= candidates - 1;
            }
            if group[SLOTS - 1].is_none() {
                return Err(at);
            }
            at = self.after(at);
            if at == home {
                return Err(self.groups);
            }
        }
    }

    /// Asks the processor for the group in which a search for this tag begins.
    #[inline]
    pub(super) fn prefetch_group(self, tag: u16) {
        crate::entry::prefetch(self.groups_at().wrapping_add(self.home(tag)).cast());
    }

    /// Asks the processor for the header, which writers look at and change.
    #[inline]
    pub(super) fn prefetch_header(self) {
        crate::entry::prefetch(self.header.as_ptr().cast());
    }

    /// The entry that a search will likely find: the first in its home group whose tag agrees. Where there is none, and the
    /// search goes on to the next group, asks the processor for that.
    #[inline]
    pub(super) fn likely<'a>(self, tag: u16) -> Option<&'a Entry> {
        let home = self.home(tag);
        // SAFETY: the segment lives, by the contract of `of`, and a home group is less than its groups.
        let group = unsafe { &*self.groups_at().add(home) };
        let found = group::with_tag(group, tag);
        if found == 0 {
            if group[SLOTS - 1].is_some() {
                crate::entry::prefetch(self.groups_at().wrapping_add(self.after(home)).cast());
            }
            return None;
        }
        group[found.trailing_zeros() as usize].as_ref()
    }

    /// Asks the processor for all slots.
    pub(super) fn prefetch_groups(self) {
        for group in 0..self.groups {
            crate::entry::prefetch(self.groups_at().wrapping_add(group).cast());
        }
    }

    /// Asks the processor for the first cache line of every entry, so that touching all of them takes their misses
    /// side by side.
    pub(super) fn prefetch_entries(self) {
        self.entries().for_each(Entry::prefetch);
    }

    /// The entry that expires first; corrects what the segment says about it.
    pub(super) fn soonest_entry<'a>(self) -> Option<(&'a Entry, i64)> {
        self.prefetch_entries();
        let soonest = self
            .entries()
            .filter_map(|entry| entry.expiry().map(|Millis(expiry)| (entry, expiry)))
            .min_by_key(|(_, expiry)| *expiry);
        self.set_soonest(soonest.map_or(NEVER, |(_, expiry)| expiry));
        soonest
    }

    // What follows changes a segment.

    /// The slots, to change.
    ///
    /// # Safety
    /// - The caller is the only holder, and lets no other reference to the slots live beside the result.
    pub(super) unsafe fn groups_mut<'a>(self) -> &'a mut [Group] {
        // SAFETY: alive by the contract of `of`, ours alone by this one.
        unsafe { std::slice::from_raw_parts_mut(self.groups_at(), self.groups) }
    }

    /// The header, to change.
    ///
    /// # Safety
    /// - The caller is the only holder, and lets no other reference to the header live beside the result.
    unsafe fn header_mut<'a>(self) -> &'a mut Header {
        // SAFETY: alive by the contract of `of`, ours alone by this one.
        unsafe { &mut *self.header.as_ptr() }
    }

    /// Changes the counts, and the soonest expiry by one that has come.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn adjust(self, len: isize, expiring: isize, soonest: i64) {
        // SAFETY: the only holder; the reference ends with this function.
        let header = unsafe { self.header_mut() };
        header.len = (header.len as isize + len) as u16;
        header.expiring = (header.expiring as isize + expiring) as u16;
        let known = header.soonest.get_mut();
        *known = if header.expiring == 0 {
            NEVER
        } else {
            soonest.min(*known)
        };
    }

    /// Counts one more entry, which does not expire.
    ///
    /// # Safety
    /// - The caller is the only holder.
    #[inline]
    pub(super) unsafe fn count_one(self) {
        // SAFETY: the only holder; the reference ends with this function.
        unsafe { self.header_mut() }.len += 1;
    }

    /// Puts an entry into a free slot that [`Self::look`] gave for its tag, without counting it.
    ///
    /// # Safety
    /// - The caller is the only holder, and has not changed the segment since.
    #[inline]
    pub(super) unsafe fn place_at(self, free: usize, entry: Entry) {
        // SAFETY: the only holder; the reference ends with this function.
        let groups = unsafe { self.groups_mut() };
        groups[free / SLOTS][free % SLOTS] = Some(entry);
    }

    /// Puts an entry into a free slot, without counting it. Its tag is one of this segment.
    ///
    /// # Safety
    /// - The caller is the only holder.
    /// - There is room: fewer entries than [`Self::capacity`].
    pub(super) unsafe fn place(self, entry: Entry) {
        // SAFETY: the only holder; the reference ends with this function.
        let groups = unsafe { self.groups_mut() };
        let mut at = self.home(entry.tag());
        loop {
            let free = group::len(&groups[at]);
            if free < SLOTS {
                groups[at][free] = Some(entry);
                return;
            }
            at = self.after(at);
        }
    }

    /// Puts an entry into a free slot, and counts it.
    ///
    /// # Safety
    /// - As for [`Self::place`].
    pub(super) unsafe fn insert(self, entry: Entry) {
        let expiry = entry.expiry();
        // SAFETY: as promised.
        unsafe {
            self.place(entry);
            self.adjust(
                1,
                isize::from(expiry.is_some()),
                expiry.map_or(NEVER, |Millis(expiry)| expiry),
            );
        }
    }

    /// Takes the entry of slot `index` out, without counting.
    ///
    /// # Safety
    /// - The caller is the only holder.
    pub(super) unsafe fn take(self, index: usize) -> Entry {
        // SAFETY: the only holder; the reference ends with this function.
        let groups = unsafe { self.groups_mut() };
        let mut gap = index / SLOTS;
        let mut was_full = groups[gap][SLOTS - 1].is_some();
        // The slot was found to hold an entry.
        let taken = take_and_close(&mut groups[gap], index % SLOTS).expect("an entry to take");
        // Entries that passed the gap's group while it was full must be found again: move one of them into it.
        let mut at = gap;
        while was_full {
            at = self.after(at);
            if at == gap {
                break;
            }
            let at_was_full = groups[at][SLOTS - 1].is_some();
            let passed = groups[at].iter().flatten().position(|entry| {
                let home = self.home(entry.tag());
                self.distance(home, at) >= self.distance(gap, at)
            });
            if let Some(passed) = passed {
                let entry = take_and_close(&mut groups[at], passed);
                groups[gap][SLOTS - 1] = entry;
                gap = at;
            }
            was_full = at_was_full;
        }
        taken
    }

    fn distance(self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.groups - from }
    }

    /// A copy with one holder that shares all entries. The caller gives up its reference to `self` afterwards.
    ///
    /// # Safety
    /// - The caller is the writer.
    pub(super) unsafe fn duplicate(self, ledger: &mut Ledger) -> Self {
        let copy = Self::new(self.class, ledger);
        let lent = self.mark().lend(copy.mark(), ledger.account());
        let counted = |entry: &Entry| lent == Lent::Whole && entry.claim().is_half();
        self.entries().filter(|entry| counted(entry)).for_each(Entry::prefetch);
        // SAFETY: the copy is ours alone, and of the same class, so every slot has its counterpart.
        unsafe {
            for (to, from) in copy.groups_mut().iter_mut().zip(self.groups()) {
                for (to, from) in to.iter_mut().zip(from.iter().map_while(Option::as_ref)) {
                    *to = Some(if counted(from) { from.share_half() } else { from.halve() });
                }
            }
            copy.adjust(self.len() as isize, self.expiring() as isize, self.soonest());
        }
        copy
    }

    /// All entries out of the segment, whose block is then gone.
    ///
    /// # Safety
    /// - The caller is the only holder, and does not use the segment again.
    pub(super) unsafe fn dissolve(self, ledger: &mut Ledger, mut each: impl FnMut(Entry, &mut Ledger)) {
        for group in 0..self.groups {
            // SAFETY: `group` is one of the segment's, whose entries are the caller's now: nobody looks at the slots again.
            let slots = unsafe { self.groups_at().add(group).read() };
            for slot in slots {
                let Some(entry) = slot else { break };
                each(entry, ledger);
            }
        }
        ledger.remove(block_bytes(self.class));
        // SAFETY: allocated with this layout; nobody else holds it.
        unsafe { dealloc(self.header.as_ptr().cast(), layout(self.class)) };
    }

    /// The same entries in a segment of another class.
    ///
    /// # Safety
    /// - As for [`Self::dissolve`].
    /// - They fit: no more than the class's [`Self::capacity`].
    pub(super) unsafe fn resize(self, class: usize, ledger: &mut Ledger) -> Self {
        let mut filling = Filling::new(class, ledger);
        let resized = filling.segment;
        resized.mark().inherit(self.mark());
        let (len, expiring, soonest) = (self.len() as isize, self.expiring() as isize, self.soonest());
        // SAFETY: the new segment is ours alone and has room; the old one is the caller's to give up.
        unsafe {
            self.dissolve(ledger, |entry, _| filling.place(entry));
            resized.adjust(len, expiring, soonest);
        }
        resized
    }

    /// A frozen view gives its reference up.
    ///
    /// # Safety
    /// - The reference is the caller's, who does not use it again.
    pub(super) unsafe fn release(self, account: &Account) {
        if self.count().decrement() {
            // SAFETY: the count says that nobody else holds it.
            unsafe { self.free_released(account) };
        }
    }

    /// Frees a segment that a frozen view has held last.
    ///
    /// # Safety
    /// - The caller has given up the last reference.
    pub(super) unsafe fn free_released(self, account: &Account) {
        self.prefetch_entries();
        let lent = self.mark().lent();
        // SAFETY: nobody else holds it.
        for slot in unsafe { self.groups_mut() }.iter_mut().flatten() {
            if let Some(entry) = slot.take() {
                lent.entry(entry).release(account);
            }
        }
        account.freed(block_bytes(self.class));
        // SAFETY: allocated with this layout; nobody else holds it.
        unsafe { dealloc(self.header.as_ptr().cast(), layout(self.class)) };
    }
}

/// A new segment that is being filled with many entries: how full its groups are is known without looking at their slots.
pub(super) struct Filling {
    pub(super) segment: Segment,
    lens: [u8; FILLED_GROUPS],
}

/// A segment of as many groups, or more, cannot be split and hardly ever is: it is filled like any other.
const FILLED_GROUPS: usize = 16;

impl Filling {
    /// An empty segment with one holder.
    pub(super) fn new(class: usize, ledger: &mut Ledger) -> Self {
        Self {
            segment: Segment::new(class, ledger),
            lens: [0; FILLED_GROUPS],
        }
    }

    /// Puts an entry, whose tag is one of the segment, into a free slot, without counting it.
    ///
    /// # Safety
    /// - The caller is the segment's only holder, and puts entries into it by this alone.
    /// - There is room: fewer entries than [`Segment::capacity`].
    #[inline]
    pub(super) unsafe fn place(&mut self, entry: Entry) {
        let segment = self.segment;
        if segment.groups >= FILLED_GROUPS {
            // SAFETY: as promised.
            return unsafe { segment.place(entry) };
        }
        let mut at = segment.home(entry.tag());
        // Which are less than this anyway: so no bounds need be checked.
        while usize::from(self.lens[at % FILLED_GROUPS]) == SLOTS {
            at = segment.after(at);
        }
        let len = &mut self.lens[at % FILLED_GROUPS];
        // SAFETY: the only holder; `at` is one of its groups, which has fewer than eight entries.
        unsafe {
            let slots = segment.groups_at().add(at).cast::<Option<Entry>>();
            slots.add(usize::from(*len)).write(Some(entry));
        }
        *len += 1;
    }
}

/// Takes an entry out of a group and moves the last one into its place.
fn take_and_close(group: &mut Group, index: usize) -> Option<Entry> {
    let last = group::len(group).checked_sub(1)?;
    let moved = group[last].take();
    if last == index {
        moved
    } else {
        mem::replace(&mut group[index], moved)
    }
}
