//! ovf: overflow: the greatest weight that has no more active connections than that; the earlier
//! server in the list wins a tie.
//!
//! Mirrors `ip_vs_ovf.c`: a server takes one connection more than its weight; when
//! all have, nobody is picked.

use super::candidates::{Candidate, Candidates};
use super::{Ask, List, Scheduler};
use crate::cells::Loads;
use pvs_proto::Address;

/// The servers that have a weight, the heaviest first.
#[derive(Clone, Debug)]
pub(crate) struct Ovf(Candidates);

impl Scheduler for Ovf {
    type State = ();
    type Change = ();

    fn build(list: &List<'_>) -> Self {
        Self(Candidates::by_weight(list.servers))
    }

    fn start(&self) {}

    fn pick<A: Address, L: Loads>(&self, (): &(), _: &Ask<'_, A>, loads: &L) -> Option<usize> {
        let room = |c: &&Candidate| loads.load(c.index).active <= c.weight;
        self.0.usable(loads).find(room).map(Candidate::place)
    }
}
