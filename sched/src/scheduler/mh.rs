//! mh: Maglev hashing: the client's address, and with mh-port its port, leads to a slot of a table in which each
//! server has its share, and of which little changes when servers come and go.
//!
//! Mirrors `ip_vs_mh.c` with its table of 4093 slots. A share goes by the last weight that was not 0, so that a server
//! that is quiesced keeps its slots: without mh-fallback its clients are refused, with it other slots are tried.

use super::hash::{folded, folded_server, hsiphash};
use super::{Ask, List, Scheduler, gcd, usable};
use crate::cells::Loads;
use crate::config::ServiceFlags;
use pvs_proto::Address;
use std::sync::Arc;

/// Slots (`CONFIG_IP_VS_MH_TAB_INDEX` = 12): a prime, so that every step through them reaches all.
const SLOTS: u32 = 4093;

/// Bits of the greatest number of turns that a server has in a round: half of those of the table's size.
const TURN_BITS: u32 = 6;

/// The kernel's two keys. Under the first one clients and the servers' first slots are hashed, under the second one
/// the servers' steps.
const KEYS: [u64; 2] = [2_654_435_761, 2_654_446_892];

/// A slot of nobody, while the table is filled.
const FREE: u32 = u32::MAX;

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

    /// Waits for [`finish`](Self::finish): a thousand servers that come in one batch want one table.
    fn update(&mut self, _: &List<'_>) {}

    fn finish(&mut self, list: &List<'_>) {
        let share = |s: &crate::service::Server| Share {
            name: folded_server(list.family, s.config.key.address)
                .wrapping_add(s.config.key.port.into()),
            weight: s.last_weight,
        };
        let shares: Vec<Share> = list.servers.iter().map(share).collect();
        if shares != self.0.shares {
            let places = fill(&shares);
            self.0 = Arc::new(Table { shares, places });
        }
    }

    fn pick<A: Address, L: Loads>(&self, (): &(), ask: &Ask<'_, A>, loads: &L) -> Option<usize> {
        let client = ask.flow.client;
        let with_port = ask.flags.has(ServiceFlags::SCHED2);
        let port = if with_port { client.port } else { 0 };
        let name = folded(client.addr).wrapping_add(port.into());
        let first = hsiphash(name, KEYS[0]) % SLOTS;
        let may = |at: &usize| ask.servers.get(*at).is_some_and(|s| usable(s, 1, loads));
        let at = self.at(first)?;
        if may(&at) {
            return Some(at);
        }
        if !ask.flags.has(ServiceFlags::SCHED1) || !(0..ask.servers.len()).any(|at| may(&at)) {
            return None;
        }
        let offsets = (first..SLOTS).chain(0..first);
        offsets
            .filter_map(|offset| self.at(hsiphash(name.wrapping_add(offset), KEYS[0]) % SLOTS))
            .find(may)
    }
}

impl Mh {
    fn at(&self, slot: u32) -> Option<usize> {
        self.0.places.get(slot as usize).map(|at| *at as usize)
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
    fn of(at: u32, share: &Share, divisor: u32, shift: u32) -> Self {
        let each = share.weight.checked_div(divisor).unwrap_or(0) >> shift;
        Self {
            at,
            slot: hsiphash(share.name, KEYS[0]) % SLOTS,
            step: hsiphash(share.name, KEYS[1]) % (SLOTS - 1) + 1,
            each: each.max(1),
        }
    }

    /// Takes the next free slot of this server's own order.
    fn take(&mut self, places: &mut [u32]) {
        while let Some(place) = places.get_mut(self.slot as usize) {
            if *place == FREE {
                *place = self.at;
                return;
            }
            self.slot = (self.slot + self.step) % SLOTS;
        }
    }
}

/// The servers take slots by turns, each as many in a round as its weight says.
fn fill(shares: &[Share]) -> Vec<u32> {
    let divisor = shares.iter().map(|s| s.weight).fold(0, gcd);
    let greatest = shares.iter().map(|s| s.weight).max().unwrap_or(0);
    let Some(rounds) = greatest.checked_div(divisor) else {
        return Vec::new();
    };
    let shift = (u32::BITS - rounds.leading_zeros()).saturating_sub(TURN_BITS);
    let weighty = (0..).zip(shares).filter(|(_, s)| s.weight > 0);
    let mut turns: Vec<Turns> = weighty
        .map(|(at, share)| Turns::of(at, share, divisor, shift))
        .collect();
    let mut places = vec![FREE; SLOTS as usize];
    let mut left = SLOTS;
    while left > 0 {
        for turn in &mut turns {
            let taken = turn.each.min(left);
            (0..taken).for_each(|_| turn.take(&mut places));
            left -= taken;
        }
    }
    places
}
