//! mh: Maglev hashing: the client's address, and with mh-port its port, leads to a slot of a table
//! in which each server has its share, and of which little changes when servers come and go.
//!
//! Mirrors `ip_vs_mh.c`, whose table has 4093 slots unless the kernel was built with more; here a
//! service may have more or fewer ([`MhSlots`]). A share goes by the last weight that was not 0, so
//! that a server that is quiesced keeps its slots: without mh-fallback its clients are refused,
//! with it other slots are tried.

use super::hash::{folded, folded_server, hsiphash};
use super::{Ask, List, Scheduler, gcd, usable};
use crate::cells::Loads;
use crate::config::ServiceFlags;
use crate::slots::MhSlots;
use pvs_proto::Address;
use std::sync::Arc;

/// The kernel's two keys. Under the first one clients and the servers' first slots are hashed,
/// under the second one the servers' steps.
const KEYS: [u64; 2] = [2_654_435_761, 2_654_446_892];

/// Slots that mh-fallback tries at most for one connection: as many as the kernel's table has. It
/// bounds what a pick costs; behind them a larger table takes the next server of the list.
const TRIES_MAX: usize = 4093;

/// What a server's part of the table follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    /// Address and port, added.
    name: u32,
    /// The last weight that was not 0.
    weight: u32,
}

/// A table with what it was filled by.
#[derive(Debug, Default)]
struct Table {
    slots: MhSlots,
    shares: Vec<Share>,
    /// The place in the list for each slot; none without a weight.
    places: Vec<u32>,
}

/// The table, which many versions of the list may have in common.
#[derive(Clone, Debug)]
pub(crate) struct Mh(Arc<Table>);

impl Scheduler for Mh {
    type State = ();
    type Change = ();

    fn build(_: &List<'_>) -> Self {
        Self(Arc::default())
    }

    fn start(&self) {}

    /// Waits for [`finish`](Self::finish): a thousand servers that come in
    /// one batch want one table.
    fn update(&mut self, _: &List<'_>) {}

    fn finish(&mut self, list: &List<'_>) {
        let share = |s: &crate::service::Server| Share {
            name: folded_server(list.family, s.config.key.address)
                .wrapping_add(s.config.key.port.into()),
            weight: s.last_weight,
        };
        let shares: Vec<Share> = list.servers.iter().map(share).collect();
        let slots = list.slots;
        if slots != self.0.slots || shares != self.0.shares {
            let places = fill(slots, &shares);
            self.0 = Arc::new(Table {
                slots,
                shares,
                places,
            });
        }
    }

    fn pick<A: Address, L: Loads>(&self, (): &(), ask: &Ask<'_, A>, loads: &L) -> Option<usize> {
        let client = ask.flow.client;
        let with_port = ask.flags.has(ServiceFlags::SCHED2);
        let port = if with_port { client.port } else { 0 };
        let name = folded(client.addr).wrapping_add(port.into());
        let first = self.0.slot(name);
        let may = |at: &usize| ask.servers.get(*at).is_some_and(|s| usable(s, 1, loads));
        let at = self.0.at(first)?;
        if may(&at) {
            return Some(at);
        }
        let servers = ask.servers.len();
        if !ask.flags.has(ServiceFlags::SCHED1) || !(0..servers).any(|at| may(&at)) {
            return None;
        }
        let slots = self.0.slots.get();
        let offsets = (first..slots).chain(0..first).take(TRIES_MAX);
        let mut tried = offsets.filter_map(|offset| {
            let slot = self.0.slot(name.wrapping_add(offset));
            self.0.at(slot)
        });
        let found = tried.find(may);
        if found.is_some() || slots as usize <= TRIES_MAX {
            return found;
        }
        (at..servers).chain(0..at).find(may)
    }
}

impl Table {
    /// The slot of a client.
    #[inline]
    fn slot(&self, name: u32) -> u32 {
        hsiphash(name, KEYS[0]) % self.slots.divisor()
    }

    #[inline]
    fn at(&self, slot: u32) -> Option<usize> {
        self.places.get(slot as usize).map(|at| *at as usize)
    }
}

/// The slots that nobody has, a bit each: the table is filled by asking for these a dozen times as
/// often as it has slots, and they fit into the nearest cache.
struct Free(Vec<u64>);

impl Free {
    /// Takes the slot, if it is free.
    #[inline]
    fn take(&mut self, slot: u32) -> bool {
        let bit = 1 << (slot % u64::BITS);
        let Some(word) = self.0.get_mut((slot / u64::BITS) as usize) else {
            return false;
        };
        let is_free = *word & bit != 0;
        *word &= !bit;
        is_free
    }
}

/// A server while the table is filled.
struct Turns {
    at: u32,
    slot: u32,
    step: u32,
    each: u32,
}

impl Turns {
    fn of(at: u32, share: &Share, each: u32, slots: MhSlots) -> Self {
        // A table has more slots than one.
        let steps = slots.get() - 1;
        let step = hsiphash(share.name, KEYS[1]).checked_rem(steps);
        Self {
            at,
            slot: hsiphash(share.name, KEYS[0]) % slots.divisor(),
            step: step.unwrap_or(0) + 1,
            each: each.max(1),
        }
    }

    /// Takes the next free slot of this server's own order: there has to be one.
    fn take(&mut self, free: &mut Free, slots: u32) -> u32 {
        loop {
            let slot = self.slot;
            let next = slot + self.step;
            self.slot = if next < slots { next } else { next - slots };
            if free.take(slot) {
                return slot;
            }
        }
    }
}

/// The servers take slots by turns, each as many in a round as its weight says.
fn fill(slots: MhSlots, shares: &[Share]) -> Vec<u32> {
    let divisor = shares.iter().map(|s| s.weight).fold(0, gcd);
    let greatest = shares.iter().map(|s| s.weight).max().unwrap_or(0);
    let Some(rounds) = greatest.checked_div(divisor) else {
        return Vec::new();
    };
    let shift = (u32::BITS - rounds.leading_zeros()).saturating_sub(slots.turn_bits());
    let weighty = (0..).zip(shares).filter(|(_, s)| s.weight > 0);
    let turns = weighty.map(|(at, share)| {
        let each = share.weight.checked_div(divisor).unwrap_or(0) >> shift;
        Turns::of(at, share, each, slots)
    });
    let mut turns: Vec<Turns> = turns.collect();
    let mut left = slots.get();
    let mut free = Free(vec![u64::MAX; left.div_ceil(u64::BITS) as usize]);
    let mut places = vec![0; left as usize];
    while left > 0 {
        for turn in &mut turns {
            let taken = turn.each.min(left);
            for _ in 0..taken {
                let slot = turn.take(&mut free, slots.get());
                if let Some(place) = places.get_mut(slot as usize) {
                    *place = turn.at;
                }
            }
            left -= taken;
        }
    }
    places
}
