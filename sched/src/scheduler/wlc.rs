//! wlc: the least overhead for its weight; the earlier server in the list wins a tie.
//!
//! Mirrors `ip_vs_wlc.c`: `overhead / weight` compared by cross-multiplication.

use super::{Edit, Flow, Scheduler, usable};
use crate::cells::Loads;
use crate::service::Server;
use pvs_proto::Address;

/// Nothing is built.
#[derive(Clone, Debug)]
pub(crate) struct Wlc;

impl Scheduler for Wlc {
    type State = ();
    type Change = ();

    fn build(_: &[Server]) -> Self {
        Self
    }

    fn start(&self) {}

    fn change(&self, _: Edit) -> Option<()> {
        None
    }

    fn settle((): &(), (): &()) {}

    fn pick<A: Address, L: Loads>(
        &self,
        servers: &[Server],
        (): &(),
        _: &Flow<A>,
        loads: &L,
    ) -> Option<usize> {
        let mut least: Option<(usize, u64, u64)> = None;
        for (at, server) in servers
            .iter()
            .enumerate()
            .filter(|(_, s)| usable(s, 1, loads))
        {
            let overhead = loads.load(server.index).overhead();
            let weight = u64::from(server.config.weight);
            // A product is below 2^41 * 2^31.
            let lighter = least.is_none_or(|(_, least_overhead, least_weight)| {
                u128::from(least_overhead) * u128::from(weight)
                    > u128::from(overhead) * u128::from(least_weight)
            });
            if lighter {
                least = Some((at, overhead, weight));
            }
        }
        least.map(|(at, _, _)| at)
    }
}
