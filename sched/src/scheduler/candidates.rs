//! The servers that a weighted scheduler has to choose among, as close
//! together as a scan wants them.
//!
//! Made by control with every edit of the list: servers of weight 0 are left out, and what a pick
//! does not ask about a server is too. Not a scheduler.

use crate::cells::Loads;
use crate::service::{Server, ServerIndex};
use std::sync::Arc;

/// A server of a positive weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its cell.
    pub(super) index: ServerIndex,
    /// Its weight.
    pub(super) weight: u32,
    /// Its place in the service's list.
    pub(super) at: u32,
}

/// Candidates in an order that the scheduler wants.
#[derive(Clone, Debug)]
pub(super) struct Candidates(Arc<[Candidate]>);

impl Candidates {
    /// In the order of the list.
    pub(super) fn listed(servers: &[Server]) -> Self {
        Self(all(servers).collect())
    }

    /// In the order of the list, and each of weight 1.
    pub(super) fn equal(servers: &[Server]) -> Self {
        Self(all(servers).map(|c| Candidate { weight: 1, ..c }).collect())
    }

    /// By descending weight; among equals the earlier one in the list comes first.
    pub(super) fn by_weight(servers: &[Server]) -> Self {
        let mut sorted: Vec<Candidate> = all(servers).collect();
        sorted.sort_by_key(|c| core::cmp::Reverse(c.weight));
        Self(sorted.into())
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Candidate> {
        self.0.iter()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one at this position among them.
    pub(super) fn nth(&self, position: usize) -> Option<&Candidate> {
        self.0.get(position)
    }

    /// The one in a place of the list; only if they are in the list's order.
    pub(super) fn at(&self, place: u32) -> Option<&Candidate> {
        let found = self.0.binary_search_by_key(&place, |c| c.at).ok()?;
        self.0.get(found)
    }

    /// Those that are not overloaded.
    pub(super) fn usable<L: Loads>(&self, loads: &L) -> impl Iterator<Item = &Candidate> {
        self.0.iter().filter(|c| !loads.overloaded(c.index))
    }
}

/// `cost / weight < other_cost / other_weight`. Costs are those of 32 bits, so
/// that no product overflows.
pub(super) fn is_less(cost: u64, weight: u32, other_cost: u64, other_weight: u32) -> bool {
    let (cost, other_cost) = (cost.min(COST_MAX), other_cost.min(COST_MAX));
    other_cost * u64::from(weight) > cost * u64::from(other_weight)
}

/// Costs above are equal: the kernel's have 32 bits, which 16 million active
/// connections of a server fill.
pub(super) const COST_MAX: u64 = u32::MAX as u64;

fn all(servers: &[Server]) -> impl Iterator<Item = Candidate> {
    (0..)
        .zip(servers)
        .filter(|(_, s)| s.config.weight > 0)
        .map(|(at, s)| Candidate {
            index: s.index,
            weight: s.config.weight,
            at,
        })
}

impl Candidate {
    /// Its place in the service's list.
    pub(super) const fn place(&self) -> usize {
        self.at as usize
    }
}
