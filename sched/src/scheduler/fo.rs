//! fo: failover: the greatest weight; the earlier server in the list wins a tie.
//!
//! Mirrors `ip_vs_fo.c`: loads count for nothing, so that all connections go to one
//! server while it is usable.

use super::candidates::{Candidate, Candidates};
use super::{Ask, List, Scheduler};
use crate::cells::Loads;
use pvs_proto::Address;

/// The servers that have a weight, the heaviest first.
#[derive(Clone, Debug)]
pub(crate) struct Fo(Candidates);

impl Scheduler for Fo {
    type State = ();
    type Change = ();

    fn build(list: &List<'_>) -> Self {
        Self(Candidates::by_weight(list.servers))
    }

    fn start(&self) {}

    fn pick<A: Address, L: Loads>(&self, (): &(), _: &Ask<'_, A>, loads: &L) -> Option<usize> {
        self.0.usable(loads).next().map(Candidate::place)
    }
}
