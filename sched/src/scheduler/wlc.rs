//! wlc: the least overhead for its weight; the earlier server in the list wins a tie.
//!
//! Mirrors `ip_vs_wlc.c`: `overhead / weight` compared by cross-multiplication.

use super::candidates::{Candidate, Candidates};
use super::least::{Least, Overhead};
use super::{Ask, List, Scheduler};
use crate::cells::Loads;
use pvs_proto::Address;

/// The servers that have a weight.
#[derive(Clone, Debug)]
pub(crate) struct Wlc(Least<Overhead>);

impl Scheduler for Wlc {
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
