//! The connection table of one worker and one address family.
//!
//! An index of cache-line buckets (`index.rs`) over an arena of fixed [`Entry`]s, a timer wheel
//! through the entries (`wheel.rs`), and a policy for the day the table is full. It never grows,
//! has one writer, and every call's work is bounded. Entries are found by the tuple of a packet as
//! it is on the wire: a request by client and virtual endpoint, and under NAT a reply by server and
//! client endpoint, in a second index slot.

mod entry;
mod evict;
mod hash;
mod index;
mod wheel;

pub use entry::{Entry, EntryIndex, Flags};
pub use evict::EvictClass;
pub use hash::HashKeys;
pub use index::{Direction, Slot};

use crate::slab::{Backing, Slab, SlabError};
use entry::NIL;
use evict::Hand;
use index::Index;
use pvs_proto::{Endpoint, Family, Meta, Protocol, Ticks};
use wheel::Wheel;

/// Entries expired, or looked at for it, in one call of [`Table::expire`].
pub const EXPIRE_BUDGET: u32 = 32;

/// What a packet is looked up by, as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple<F: Family> {
    /// The protocol.
    pub protocol: Protocol,
    /// The packet's source.
    pub src: Endpoint<F::Addr>,
    /// The packet's destination.
    pub dst: Endpoint<F::Addr>,
}

impl<F: Family> Tuple<F> {
    /// A packet's.
    #[inline]
    #[must_use]
    pub fn of(meta: &Meta<F>) -> Self {
        Self {
            protocol: meta.protocol,
            src: meta.src,
            dst: meta.dst,
        }
    }
}

/// Why a connection was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No entry is free and none may be evicted.
    Full,
    /// Both buckets of a tuple are full.
    BucketFull,
    /// Another connection has the same request tuple or the same reply tuple.
    Collision,
}

/// The table.
#[derive(Debug)]
pub struct Table<F: Family> {
    arena: Slab<Entry<F>>,
    index: Index,
    wheel: Wheel,
    keys: HashKeys,
    hand: Hand,
    free: u32,
    fresh: u32,
    used: u32,
}

impl<F: Family> Table<F> {
    /// An empty table for `connections` connections. All its memory is taken here.
    ///
    /// # Errors
    /// If the memory can't be had.
    pub fn new(connections: u32, keys: HashKeys, backing: Backing) -> Result<Self, SlabError> {
        Ok(Self {
            arena: Slab::new(connections as usize, backing)?,
            index: Index::new(connections, backing)?,
            wheel: Wheel::new(),
            keys,
            hand: Hand::default(),
            free: NIL,
            fresh: 0,
            used: 0,
        })
    }

    /// Where in memory its parts lie that are not within itself: arena, index, wheel.
    #[cfg(test)]
    pub(crate) fn places(&self) -> [core::ops::Range<usize>; 3] {
        let (arena, wheel) = (self.arena.as_ptr_range(), self.wheel.heads().as_ptr_range());
        [
            arena.start.addr()..arena.end.addr(),
            self.index.extent(),
            wheel.start.addr()..wheel.end.addr(),
        ]
    }

    /// Bytes of memory that a table for `connections` connections maps, in whole huge pages.
    #[must_use]
    pub fn bytes(connections: u32) -> usize {
        Slab::<Entry<F>>::bytes(connections as usize).saturating_add(Index::bytes(connections))
    }

    /// Connections in the table.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.used
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Connections that fit.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.arena.len()).unwrap_or(u32::MAX)
    }

    /// What memory it really is of: huge pages only if all of it is.
    #[must_use]
    pub fn backing(&self) -> Backing {
        match (self.arena.backing(), self.index.backing()) {
            (Backing::Huge, Backing::Huge) => Backing::Huge,
            _ => Backing::Ordinary,
        }
    }

    /// The hash of a tuple under this table's keys.
    #[inline]
    #[must_use]
    pub fn hash(&self, tuple: &Tuple<F>) -> u64 {
        self.keys.hash(tuple)
    }

    /// Stage one of a look-up: brings the bucket near.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Stage two: the most likely entry, brought near; [`EntryIndex::NONE`] if there is none.
    #[inline]
    #[must_use]
    pub fn candidate(&self, hash: u64) -> Slot {
        let slot = self.index.first(hash);
        if let Some(entry) = self.arena.get(slot.entry().get()) {
            crate::slab::prefetch(entry);
        }
        slot
    }

    /// Stage three: the entry of a tuple, the candidate tried first.
    #[inline]
    #[must_use]
    pub fn find(
        &self,
        hash: u64,
        candidate: Slot,
        tuple: &Tuple<F>,
    ) -> Option<(EntryIndex, Direction)> {
        if self.holds(candidate, tuple) {
            return Some((candidate.entry(), candidate.direction()));
        }
        self.search(hash, tuple)
    }

    /// The entry of a tuple.
    #[must_use]
    pub fn lookup(&self, tuple: &Tuple<F>) -> Option<(EntryIndex, Direction)> {
        self.search(self.hash(tuple), tuple)
    }

    fn search(&self, hash: u64, tuple: &Tuple<F>) -> Option<(EntryIndex, Direction)> {
        let slot = self.index.find(hash, |slot| self.holds(slot, tuple))?;
        Some((slot.entry(), slot.direction()))
    }

    #[inline]
    fn holds(&self, slot: Slot, tuple: &Tuple<F>) -> bool {
        self.arena
            .get(slot.entry().get())
            .is_some_and(|entry| entry.matches(slot.direction(), tuple))
    }

    /// The entry in a place, if it is in use.
    #[inline]
    #[must_use]
    pub fn get(&self, at: EntryIndex) -> Option<&Entry<F>> {
        self.arena
            .get(at.get())
            .filter(|e| e.flags.has(Flags::USED))
    }

    /// The entry in a place, if it is in use, to be advanced.
    #[inline]
    pub fn get_mut(&mut self, at: EntryIndex) -> Option<&mut Entry<F>> {
        self.arena
            .get_mut(at.get())
            .filter(|e| e.flags.has(Flags::USED))
    }

    /// Enters a connection; its deadline is `now` plus its timeout.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn insert(&mut self, entry: Entry<F>, now: Ticks) -> Result<EntryIndex, Refused> {
        let request = entry.tuple(Direction::Request);
        let reply = entry.has_reply().then(|| entry.tuple(Direction::Reply));
        if self.lookup(&request).is_some()
            || reply.as_ref().is_some_and(|r| self.lookup(r).is_some())
        {
            return Err(Refused::Collision);
        }
        let at = self.take().ok_or(Refused::Full)?;
        if let Some(slot) = self.arena.get_mut(at.get()) {
            *slot = entry;
            slot.flags = slot.flags.with(Flags::USED);
            slot.deadline = now.after(slot.timeout);
        }
        if !self.index_both(at, &request, reply.as_ref()) {
            self.give_back(at);
            return Err(Refused::BucketFull);
        }
        self.used += 1;
        self.wheel.link(&mut self.arena, at.0, now);
        Ok(at)
    }

    fn index_both(&mut self, at: EntryIndex, request: &Tuple<F>, reply: Option<&Tuple<F>>) -> bool {
        if !self.index_one(request, Slot::new(at, Direction::Request)) {
            return false;
        }
        let Some(reply) = reply else { return true };
        let fits = self.index_one(reply, Slot::new(at, Direction::Reply));
        if !fits {
            self.index
                .remove(self.hash(request), Slot::new(at, Direction::Request));
        }
        fits
    }

    fn index_one(&mut self, tuple: &Tuple<F>, slot: Slot) -> bool {
        let (arena, keys) = (&self.arena, &self.keys);
        let hash_of = |s: Slot| {
            arena
                .get(s.entry().get())
                .map_or(0, |e| keys.hash(&e.tuple(s.direction())))
        };
        self.index.insert(keys.hash(tuple), slot, hash_of)
    }

    fn take(&mut self) -> Option<EntryIndex> {
        if self.free != NIL {
            let at = self.free;
            self.free = self.arena.get(at as usize)?.next();
            return Some(EntryIndex(at));
        }
        if (self.fresh as usize) < self.arena.len() {
            self.fresh += 1;
            return Some(EntryIndex(self.fresh - 1));
        }
        None
    }

    fn give_back(&mut self, at: EntryIndex) {
        if let Some(entry) = self.arena.get_mut(at.get()) {
            entry.release(self.free);
            self.free = at.0;
        }
    }

    /// Moves an entry to its own deadline in the wheel. Needed only when the deadline came nearer;
    /// one that moved away is found late and put off then.
    pub fn reschedule(&mut self, at: EntryIndex, now: Ticks) {
        self.wheel.unlink(&mut self.arena, at.0);
        self.wheel.link(&mut self.arena, at.0, now);
    }

    /// Takes an entry out, and returns what it was.
    pub fn remove(&mut self, at: EntryIndex) -> Option<Entry<F>> {
        let entry = *self.get(at)?;
        let hash = self.hash(&entry.tuple(Direction::Request));
        self.index.remove(hash, Slot::new(at, Direction::Request));
        if entry.has_reply() {
            let hash = self.hash(&entry.tuple(Direction::Reply));
            self.index.remove(hash, Slot::new(at, Direction::Reply));
        }
        self.wheel.unlink(&mut self.arena, at.0);
        self.give_back(at);
        self.used = self.used.saturating_sub(1);
        Some(entry)
    }

    /// Takes out one entry whose time has come, if there is one; `budget` is the work still
    /// allowed and goes down to 0.
    pub fn expire(&mut self, now: Ticks, budget: &mut u32) -> Option<Entry<F>> {
        let at = self.wheel.due(&mut self.arena, now, budget)?;
        self.remove(EntryIndex(at))
    }

    /// Frees one entry by the policy of a full table; see [`EvictClass`].
    pub fn evict(&mut self, now: Ticks) -> Option<(EvictClass, Entry<F>)> {
        let (class, at) = self.hand.choose(&self.arena, now)?;
        Some((class, self.remove(EntryIndex(at))?))
    }

    /// The entries in use from place `from` on; a listing's source. Looks at `span` places at most.
    pub fn scan(&self, from: u32, span: u32) -> impl Iterator<Item = (u32, &Entry<F>)> {
        let end = from.saturating_add(span).min(self.fresh);
        (from..end).filter_map(|at| Some((at, self.get(EntryIndex(at))?)))
    }

    /// Places that were ever used: where a scan ends.
    #[must_use]
    pub fn extent(&self) -> u32 {
        self.fresh
    }
}

#[cfg(test)]
mod tests;
