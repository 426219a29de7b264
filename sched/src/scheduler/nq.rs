//! nq: never queue: the first server without active connections, else the one of the
//! shortest expected delay.
//!
//! Mirrors `ip_vs_nq.c`: an idle server is taken whatever its weight, the earliest
//! in the list; else as sed.

use super::candidates::{Candidate, Candidates};
use super::least::{Least, Queue};
use super::{Ask, List, Scheduler};
use crate::cells::Loads;
use pvs_proto::Address;

/// The servers that have a weight.
#[derive(Clone, Debug)]
pub(crate) struct Nq(Least<Queue>);

impl Scheduler for Nq {
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
