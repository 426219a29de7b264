//! The index: buckets of one cache line, ten slots each, their signatures compared at once by SIMD.
//!
//! A tuple has two buckets, the second derived from the first and the signature. It goes into the
//! first one that has room; if neither has, a tuple of theirs makes room by moving to its own other
//! bucket. How many of a bucket's own tuples are in their second one is counted in the bucket, so
//! that a look-up reads a second cache line only if there is a reason.

use super::EntryIndex;
use crate::slab::{Backing, Slab, SlabError};
use zerocopy::{FromZeros, Immutable, IntoBytes, KnownLayout};

/// Slots in a bucket.
const WAYS: usize = 10;

/// Of a hundred slots at most this many are used when the table is full and all of it is NAT.
const FULL_PERCENT: u64 = 70;

/// Which of a connection's two tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the virtual address.
    Request,
    /// From the server to the client, under NAT.
    Reply,
}

/// What a slot holds: an entry and a direction. A slot of a removed entry is never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Slot(u32);

impl Slot {
    /// No slot.
    pub const NONE: Self = Self(EntryIndex::NONE.0);

    pub(super) const fn new(entry: EntryIndex, direction: Direction) -> Self {
        match direction {
            Direction::Request => Self(entry.0),
            Direction::Reply => Self(entry.0 | 1 << 31),
        }
    }

    #[inline]
    pub(super) const fn entry(self) -> EntryIndex {
        EntryIndex(self.0 & (u32::MAX >> 1))
    }

    #[inline]
    pub(super) const fn direction(self) -> Direction {
        if self.0 >> 31 == 0 {
            Direction::Request
        } else {
            Direction::Reply
        }
    }
}

#[derive(Clone, Copy, Debug, FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
struct Bucket {
    /// 0 is an empty slot.
    signatures: [u16; WAYS],
    /// Tuples whose first bucket this is and which are in their second one.
    spilled: u16,
    reserved: u16,
    slots: [Slot; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64, "a bucket is one cache line");

/// Positions of equal signatures, lowest first.
struct Positions(u32);

impl Iterator for Positions {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let at = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(at as usize)
    }
}

impl Bucket {
    #[inline]
    fn positions(&self, signature: u16) -> Positions {
        Positions(crate::slab::equal_lanes(self, signature) & ((1 << WAYS) - 1))
    }

    fn put(&mut self, signature: u16, slot: Slot) -> bool {
        let Some(at) = self.positions(0).next() else {
            return false;
        };
        self.set(at, signature, slot)
    }

    fn set(&mut self, at: usize, signature: u16, slot: Slot) -> bool {
        let (Some(s), Some(p)) = (self.signatures.get_mut(at), self.slots.get_mut(at)) else {
            return false;
        };
        *s = signature;
        *p = slot;
        true
    }

    fn take(&mut self, signature: u16, slot: Slot) -> bool {
        let found = self
            .positions(signature)
            .find(|at| self.slots.get(*at) == Some(&slot));
        found.is_some_and(|at| self.set(at, 0, Slot::NONE))
    }
}

#[derive(Debug)]
pub(super) struct Index {
    buckets: Slab<Bucket>,
    mask: usize,
}

#[inline]
const fn signature(hash: u64) -> u16 {
    let s = (hash >> 48) as u16;
    if s == 0 { 1 } else { s }
}

/// Buckets for as many connections, each with two tuples: a power of two.
fn buckets(connections: u32) -> usize {
    let slots = u64::from(connections) * 2 * 100 / FULL_PERCENT;
    usize::try_from(slots)
        .unwrap_or(usize::MAX)
        .div_ceil(WAYS)
        .next_power_of_two()
        .max(2)
}

impl Index {
    #[cfg(test)]
    pub(super) fn extent(&self) -> core::ops::Range<usize> {
        let buckets = self.buckets.as_ptr_range();
        buckets.start.addr()..buckets.end.addr()
    }

    pub(super) fn new(connections: u32, backing: Backing) -> Result<Self, SlabError> {
        let buckets = buckets(connections);
        Ok(Self {
            buckets: Slab::new(buckets, backing)?,
            mask: buckets - 1,
        })
    }

    pub(super) fn bytes(connections: u32) -> usize {
        Slab::<Bucket>::bytes(buckets(connections))
    }

    pub(super) fn backing(&self) -> Backing {
        self.buckets.backing()
    }

    #[inline]
    fn first_at(&self, hash: u64) -> usize {
        hash as usize & self.mask
    }

    /// Its own inverse: the second bucket's second bucket is the first.
    #[inline]
    fn second_at(&self, hash: u64) -> usize {
        let step = (u64::from(signature(hash)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as usize;
        (self.first_at(hash) ^ (step | 1)) & self.mask
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.first_at(hash)) {
            crate::slab::prefetch(bucket);
        }
    }

    /// The first slot with the hash's signature in its first bucket.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Slot {
        let Some(bucket) = self.buckets.get(self.first_at(hash)) else {
            return Slot::NONE;
        };
        let at = bucket.positions(signature(hash)).next();
        at.and_then(|at| bucket.slots.get(at))
            .copied()
            .unwrap_or(Slot::NONE)
    }

    /// The slot of a hash that `holds`.
    #[inline]
    pub(super) fn find(&self, hash: u64, holds: impl Fn(Slot) -> bool) -> Option<Slot> {
        let bucket = self.buckets.get(self.first_at(hash))?;
        let in_bucket = |bucket: &Bucket| {
            bucket
                .positions(signature(hash))
                .filter_map(|at| bucket.slots.get(at).copied())
                .find(|s| holds(*s))
        };
        if let Some(slot) = in_bucket(bucket) {
            return Some(slot);
        }
        if bucket.spilled == 0 {
            return None;
        }
        self.buckets.get(self.second_at(hash)).and_then(in_bucket)
    }

    /// False if both buckets are full and nothing in them can move. `hash_of` tells the hash of a
    /// slot that is in the index.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot, hash_of: impl Fn(Slot) -> u64) -> bool {
        let (first, second) = (self.first_at(hash), self.second_at(hash));
        if self.put(first, hash, slot) || self.put(second, hash, slot) {
            return true;
        }
        [first, second]
            .into_iter()
            .any(|at| self.make_room(at, &hash_of) && self.put(at, hash, slot))
    }

    /// Puts a slot into one of its hash's two buckets.
    fn put(&mut self, at: usize, hash: u64, slot: Slot) -> bool {
        let fits = self
            .buckets
            .get_mut(at)
            .is_some_and(|b| b.put(signature(hash), slot));
        if fits && at != self.first_at(hash) {
            self.spill(hash, 1);
        }
        fits
    }

    /// Takes a slot out of one of its hash's two buckets.
    fn take(&mut self, at: usize, hash: u64, slot: Slot) -> bool {
        let found = self
            .buckets
            .get_mut(at)
            .is_some_and(|b| b.take(signature(hash), slot));
        if found && at != self.first_at(hash) {
            self.spill(hash, -1);
        }
        found
    }

    fn spill(&mut self, hash: u64, change: i16) {
        let first = self.first_at(hash);
        if let Some(bucket) = self.buckets.get_mut(first) {
            bucket.spilled = bucket.spilled.saturating_add_signed(change);
        }
    }

    /// Moves one slot of a full bucket to its other bucket, if any of the ten has room there.
    fn make_room(&mut self, at: usize, hash_of: &impl Fn(Slot) -> u64) -> bool {
        let Some(slots) = self.buckets.get(at).map(|b| b.slots) else {
            return false;
        };
        slots.into_iter().any(|slot| {
            let hash = hash_of(slot);
            let first = self.first_at(hash);
            let other = if first == at {
                self.second_at(hash)
            } else {
                first
            };
            // In its new place before it leaves the old one: it is never lost.
            self.put(other, hash, slot) && self.take(at, hash, slot)
        })
    }

    pub(super) fn remove(&mut self, hash: u64, slot: Slot) {
        let (first, second) = (self.first_at(hash), self.second_at(hash));
        if !self.take(first, hash, slot) {
            self.take(second, hash, slot);
        }
    }
}
