//! sed: the shortest expected delay, (active + 1) / weight; the earlier
//! server in the list wins a tie.
//!
//! Mirrors `ip_vs_sed.c`: the one more is the connection that is about to come.

use super::candidates::{Candidate, Candidates};
use super::least::{Delay, Least};
use super::{Ask, List, Scheduler};
use crate::cells::Loads;
use pvs_proto::Address;

/// The servers that have a weight.
#[derive(Clone, Debug)]
pub(crate) struct Sed(Least<Delay>);

impl Scheduler for Sed {
    type State = ();
    type Change = ();

    fn build(list: &List<'_>) -> Self {
        Self(Least::of(Candidates::listed(list.servers)))
    }

    fn finish(&mut self, list: &List<'_>) {
        self.0.keep_for(list.workers);
    }

    fn start(&self) {}

    fn pick<A: Address, L: Loads>(&self, (): &(), _: &Ask<'_, A>, loads: &L) -> Option<usize> {
        self.0.pick(loads).map(Candidate::place)
    }
}
