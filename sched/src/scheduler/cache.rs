//! What lblc and lblcr remember of destinations: a map from addresses to values, of fixed size,
//! that several workers use.
//!
//! All memory is there from the start and nothing is allocated later. The map is in 64 parts by a
//! hash of the address, each behind a lock that is only ever tried: a worker that finds it taken
//! some times over does without the memory for this one connection. A part is locked for a look-up
//! or an entry, never while servers are compared.
//!
//! Mirrors the tables of `ip_vs_lblc.c` and `ip_vs_lblcr.c`. Their timer goes round once a minute;
//! here a part is tidied up when it is used.

use super::Copyable;
use crate::limits::{CACHE_PART_ENTRIES_MAX, CACHE_PARTS};
use pvs_proto::Ticks;
use spin::{Mutex, MutexGuard};

/// How often a worker tries a part's lock before it does without.
const TRIES: usize = 64;

/// Chains in a part: with the parts the kernel's 1024 buckets.
const CHAINS: usize = 16;

/// The end of a chain.
const END: u16 = u16::MAX;

/// From this many entries of a part on, those idle for [`IDLE`] go: the kernel's 16,384 in all.
const TIDY_FROM: u16 = (CACHE_PART_ENTRIES_MAX / 3 * 2) as u16;

/// How long an entry must have been unused to go when there are many.
const IDLE: Ticks = Ticks::from_secs(6 * 60);

/// How often a full part is tidied up.
const TIDY_EVERY: Ticks = Ticks::from_secs(60);

/// The map.
#[derive(Debug)]
pub(crate) struct Cache<V>(Box<[Mutex<Part<V>>]>);

/// A part of the map.
#[derive(Clone, Debug)]
pub(super) struct Part<V> {
    chains: [u16; CHAINS],
    entries: Box<[Entry<V>]>,
    /// The chain of those that are free.
    free: u16,
    used: u16,
    tidied: Ticks,
}

#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    addr: u128,
    used: Ticks,
    next: u16,
    value: V,
}

impl<V: Copy + Default> Cache<V> {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self((0..CACHE_PARTS).map(|_| Mutex::new(Part::new())).collect())
    }

    /// The part of an address, for the time of a look-up or an entry; `None` if others are at it.
    pub(super) fn part(&self, addr: u128) -> Option<MutexGuard<'_, Part<V>>> {
        let part = self.0.get(mix(addr) as usize % CACHE_PARTS)?;
        (0..TRIES).find_map(|_| {
            let locked = part.try_lock();
            if locked.is_none() {
                core::hint::spin_loop();
            }
            locked
        })
    }
}

impl<V: Copy> Copyable for Cache<V> {
    fn copy(&self) -> Self {
        Self(
            self.0
                .iter()
                .map(|part| Mutex::new(part.lock().clone()))
                .collect(),
        )
    }
}

/// The span that a tunable in seconds says.
pub(super) fn span(secs: i32) -> Ticks {
    // Instants can be told apart for 99 days.
    let ticks = Ticks::from_secs(u32::try_from(secs).unwrap_or(0)).0;
    Ticks(ticks.min(i32::MAX as u32))
}

/// Spreads an address: the upper bits of a product, which depend on all of its bits.
const fn mix(addr: u128) -> u32 {
    let word = (addr >> 64) as u64 ^ (addr as u64).rotate_left(32);
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32
}

impl<V: Copy + Default> Part<V> {
    fn new() -> Self {
        let entries = (1..=CACHE_PART_ENTRIES_MAX).map(|next| Entry {
            addr: 0,
            used: Ticks::default(),
            next: if next < CACHE_PART_ENTRIES_MAX {
                next as u16
            } else {
                END
            },
            value: V::default(),
        });
        Self {
            chains: [END; CHAINS],
            entries: entries.collect(),
            free: 0,
            used: 0,
            tidied: Ticks::default(),
        }
    }

    /// What is remembered of an address, which is thereby used; nothing if it
    /// was unused for `memory`.
    pub(super) fn get(&mut self, addr: u128, now: Ticks, memory: Ticks) -> Option<&mut V> {
        let at = usize::from(self.find(addr)?);
        if self.entries.get(at)?.used.after(memory).is_due(now) {
            self.keep(|entry| entry.addr != addr);
            return None;
        }
        let entry = self.entries.get_mut(at)?;
        entry.used = now;
        Some(&mut entry.value)
    }

    /// Remembers something of an address, unless there are too many.
    pub(super) fn put(&mut self, addr: u128, value: V, now: Ticks) {
        let known = self.find(addr).map(usize::from);
        if let Some(known) = known.and_then(|at| self.entries.get_mut(at)) {
            known.used = now;
            known.value = value;
            return;
        }
        if self.used >= TIDY_FROM && now.0.wrapping_sub(self.tidied.0) >= TIDY_EVERY.0 {
            self.tidied = now;
            self.keep(|entry| !entry.used.after(IDLE).is_due(now));
        }
        let at = self.free;
        let (Some(head), Some(entry)) = (
            self.chains.get_mut(chain(addr)),
            self.entries.get_mut(usize::from(at)),
        ) else {
            return;
        };
        self.free = entry.next;
        self.used += 1;
        *entry = Entry {
            addr,
            used: now,
            next: *head,
            value,
        };
        *head = at;
    }

    fn find(&self, addr: u128) -> Option<u16> {
        let mut at = *self.chains.get(chain(addr))?;
        while let Some(entry) = self.entries.get(usize::from(at)) {
            if entry.addr == addr {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }

    /// Forgets all but what `wanted` says.
    fn keep(&mut self, wanted: impl Fn(&Entry<V>) -> bool) {
        for head in &mut self.chains {
            let (mut at, mut kept) = (*head, END);
            while let Some(entry) = self.entries.get_mut(usize::from(at)) {
                let next = entry.next;
                let to = if wanted(entry) {
                    &mut kept
                } else {
                    self.used = self.used.saturating_sub(1);
                    &mut self.free
                };
                entry.next = *to;
                *to = at;
                at = next;
            }
            *head = kept;
        }
    }
}

const fn chain(addr: u128) -> usize {
    (mix(addr) as usize / CACHE_PARTS) % CHAINS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const DAY: Ticks = secs(86_400);

    const fn secs(n: u32) -> Ticks {
        Ticks::from_secs(n)
    }

    proptest! {
        /// Against a map that remembers when each entry was used.
        #[test]
        fn a_part_remembers_as_a_map_does(
            steps in prop::collection::vec((0u128..40, any::<bool>(), 0u32..20_000), 1..200),
        ) {
            let mut part = Part::new();
            let mut naive: BTreeMap<u128, (u32, u32)> = BTreeMap::new();
            let mut now = 0;
            for (n, (addr, put, pause)) in (0u32..).zip(steps) {
                now += pause;
                naive.retain(|_, (_, used)| now - *used < 86_400);
                if put {
                    part.put(addr, n, secs(now));
                    naive.insert(addr, (n, now));
                } else {
                    let known = part.get(addr, secs(now), DAY).copied();
                    let expected = naive.get_mut(&addr).map(|(value, used)| {
                        *used = now;
                        *value
                    });
                    prop_assert_eq!(known, expected);
                }
            }
        }
    }

    #[test]
    fn a_full_part_forgets_what_is_idle_and_takes_no_more_than_fits() {
        let mut part = Part::new();
        let max = CACHE_PART_ENTRIES_MAX as u128;
        for addr in 0..max + 10 {
            part.put(addr, 1u32, secs(1));
        }
        assert_eq!(part.used as usize, CACHE_PART_ENTRIES_MAX);
        assert!(part.get(max - 1, secs(1), DAY).is_some());
        assert!(part.get(max, secs(1), DAY).is_none(), "there was no room");
        // Those that were used in the last six minutes stay, all others go.
        assert!(part.get(7, secs(300), DAY).is_some());
        part.put(max, 1, secs(361));
        assert_eq!(part.used, 2);
        assert!(part.get(7, secs(361), DAY).is_some() && part.get(max, secs(361), DAY).is_some());
        // And the places are there again.
        for addr in 1000..1000 + 2 * max {
            part.put(addr, 1, secs(362));
        }
        assert_eq!(part.used as usize, CACHE_PART_ENTRIES_MAX);
    }

    #[test]
    fn a_taken_part_is_done_without() {
        let cache = Cache::<u32>::new();
        let held = cache.part(5);
        assert!(held.is_some() && cache.part(5).is_none());
        drop(held);
        assert!(cache.part(5).is_some());
    }
}
