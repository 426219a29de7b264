//! Which servers' loads a worker has changed, the latest ones: so that whoever keeps something that
//! depends on loads need not look through all of them for what is new.

use super::words::Words;
use crate::service::ServerIndex;
use crate::sync::{Acquire, AtomicU64, Relaxed, Release, fence};

/// How many changes it holds; a power of two.
#[cfg(not(loom))]
pub(crate) const SLOTS: u64 = 1024;
#[cfg(loom)]
pub(crate) const SLOTS: u64 = 2;

/// A ring.
#[derive(Debug)]
pub(crate) struct Journal(Words);

/// The parts of it.
struct Parts<'a> {
    /// The number of changes so far: for its worker.
    count: &'a AtomicU64,
    /// The same for others. Its worker only writes it: the model checker overlooks who reads a word
    /// between a load and a store of another thread.
    length: &'a AtomicU64,
    /// The servers of the latest.
    slots: &'a [AtomicU64],
}

impl Journal {
    pub(super) fn new() -> Self {
        Self(Words::new(2 + SLOTS as usize))
    }

    #[inline]
    fn parts(&self) -> Option<Parts<'_>> {
        let [count, length, slots @ ..] = &*self.0 else {
            return None;
        };
        Some(Parts {
            count,
            length,
            slots,
        })
    }

    /// A server's load has changed. Only its worker may say so.
    #[inline]
    pub(super) fn note(&self, server: ServerIndex) {
        let Some(parts) = self.parts() else {
            return;
        };
        let count = parts.count.load(Relaxed);
        if let Some(slot) = slot(parts.slots, count) {
            // Behind the length that was written before: who sees this one
            // sees that it has come round.
            slot.store(server.0.into(), Release);
        }
        let count = count.wrapping_add(1);
        parts.count.store(count, Relaxed);
        // Behind the load: who sees this length sees the load.
        parts.length.store(count, Release);
    }

    /// How many changes there have been. Loads that are read later are no older.
    #[inline]
    pub(crate) fn length(&self) -> u64 {
        self.parts().map_or(0, |parts| parts.length.load(Acquire))
    }

    /// The server of the change of this number, if it is among the latest: to be asked afterwards,
    /// by [`reaches`](Self::reaches).
    #[inline]
    pub(crate) fn server(&self, n: u64) -> ServerIndex {
        let slot = self.parts().and_then(|parts| slot(parts.slots, n));
        ServerIndex(slot.map_or(0, |slot| slot.load(Relaxed) as u32))
    }

    /// Nothing that has been read of the changes from this number on had been written over.
    #[inline]
    pub(crate) fn reaches(&self, n: u64) -> bool {
        fence(Acquire);
        self.length().wrapping_sub(n) < SLOTS
    }

    /// Where in memory it is.
    pub(super) fn place(&self) -> core::ops::Range<usize> {
        self.0.place()
    }
}

#[inline]
fn slot(slots: &[AtomicU64], n: u64) -> Option<&AtomicU64> {
    slots.get((n & (SLOTS - 1)) as usize)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_latest_changes_are_told_and_older_ones_are_known_to_be_lost() {
        let journal = Journal::new();
        (0..SLOTS - 1).for_each(|n| journal.note(ServerIndex(n as u32)));
        let told = |journal: &Journal, n| journal.reaches(n).then(|| journal.server(n).0);
        assert_eq!((journal.length(), told(&journal, 0)), (SLOTS - 1, Some(0)));
        journal.note(ServerIndex(7));
        assert_eq!(
            told(&journal, 0),
            None,
            "the next change may be in its place already"
        );
        assert_eq!(told(&journal, 1), Some(1));
        assert_eq!(told(&journal, SLOTS - 1), Some(7));
    }
}
