//! lc: the least overhead; the earlier server in the list wins a tie.
//!
//! Mirrors `ip_vs_lc.c`: a weight counts only as zero or not.

use super::candidates::{Candidate, Candidates};
use super::least::{Least, Overhead};
use super::{Ask, List, Scheduler};
use crate::cells::Loads;
use pvs_proto::Address;

/// The servers that have a weight, as if they all had the same.
#[derive(Clone, Debug)]
pub(crate) struct Lc(Least<Overhead>);

impl Scheduler for Lc {
    type State = ();
    type Change = ();

    fn build(list: &List<'_>) -> Self {
        Self(Least::of(Candidates::equal(list.servers)))
    }

    fn finish(&mut self, list: &List<'_>) {
        self.0.keep_for(list.workers);
    }

    fn start(&self) {}

    fn pick<A: Address, L: Loads>(&self, (): &(), _: &Ask<'_, A>, loads: &L) -> Option<usize> {
        self.0.pick(loads).map(Candidate::place)
    }
}
