//! dh: the server that the destination's address hashes to.
//!
//! Mirrors `ip_vs_dh.c`: 256 buckets are filled by turns in list order, whatever the
//! weights, so that a bucket's server follows from their number. A server that may take
//! nothing is not replaced by another.

use super::hash::{bucket, folded};
use super::{Ask, List, Scheduler, usable};
use crate::cells::Loads;
use pvs_proto::Address;

/// Nothing is built.
#[derive(Clone, Debug)]
pub(crate) struct Dh;

impl Scheduler for Dh {
    type State = ();
    type Change = ();

    fn build(_: &List<'_>) -> Self {
        Self
    }

    fn start(&self) {}

    fn pick<A: Address, L: Loads>(&self, (): &(), ask: &Ask<'_, A>, loads: &L) -> Option<usize> {
        let bucket = bucket(folded(ask.flow.virtual_.addr));
        let at = usize::from(bucket).checked_rem(ask.servers.len())?;
        let server = ask.servers.get(at)?;
        usable(server, 1, loads).then_some(at)
    }
}
