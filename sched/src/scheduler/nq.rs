//! nq: never queue: the first server without active connections, else the one of the shortest expected delay.
//!
//! Mirrors `ip_vs_nq.c`: an idle server is taken whatever its weight, the earliest in the list; else as sed.

use super::candidates::{Candidate, Candidates};
use super::{Ask, List, Scheduler};
use crate::cells::{Load, Loads};
use pvs_proto::Address;

/// The servers that have a weight.
#[derive(Clone, Debug)]
pub(crate) struct Nq(Candidates);

impl Scheduler for Nq {
    type State = ();
    type Change = ();

    fn build(list: &List<'_>) -> Self {
        Self(Candidates::listed(list.servers))
    }

    fn start(&self) {}

    fn pick<A: Address, L: Loads>(&self, (): &(), _: &Ask<'_, A>, loads: &L) -> Option<usize> {
        let idle = |load: Load| load.active == 0;
        self.0
            .least_until(loads, Load::delay, idle)
            .map(Candidate::place)
    }
}
