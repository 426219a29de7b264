//! sh: the server that the client's address hashes to, and with sh-port its port.
//!
//! Mirrors `ip_vs_sh.c`: 256 buckets are filled in list order, each server as often as its weight
//! says and at least once. Without sh-fallback nobody takes the place of a server that may take
//! nothing; with it other buckets are tried, from the client's own on.

use super::hash::{BUCKETS, bucket, folded};
use super::{Ask, List, Scheduler, usable};
use crate::cells::Loads;
use crate::config::ServiceFlags;
use pvs_proto::Address;
use std::sync::Arc;

/// The place in the list for each bucket; none without servers.
#[derive(Clone, Debug)]
pub(crate) struct Sh(Arc<[u32]>);

impl Scheduler for Sh {
    type State = ();
    type Change = ();

    fn build(list: &List<'_>) -> Self {
        let times = |weight: u32| weight.clamp(1, BUCKETS as u32) as usize;
        let each = (0..).zip(list.servers);
        let once = each.flat_map(|(at, s)| std::iter::repeat_n(at, times(s.config.weight)));
        Self(once.cycle().take(BUCKETS).collect())
    }

    fn start(&self) {}

    fn pick<A: Address, L: Loads>(&self, (): &(), ask: &Ask<'_, A>, loads: &L) -> Option<usize> {
        let client = ask.flow.client;
        let with_port = ask.flags.has(ServiceFlags::SCHED2);
        let port = if with_port { client.port } else { 0 };
        let first = bucket(folded(client.addr).wrapping_add(port.into()));
        let at = self.at(first)?;
        if Self::may(ask, at, loads) {
            return Some(at);
        }
        if !ask.flags.has(ServiceFlags::SCHED1) {
            return None;
        }
        // As the kernel has it, offsets begin at the client's bucket and are added to it once more.
        let others = (0..=u8::MAX).map(|n| first.wrapping_add(first).wrapping_add(n));
        others
            .filter_map(|bucket| self.at(bucket))
            .find(|at| Self::may(ask, *at, loads))
    }
}

impl Sh {
    fn at(&self, bucket: u8) -> Option<usize> {
        self.0.get(usize::from(bucket)).map(|at| *at as usize)
    }

    fn may<A, L: Loads>(ask: &Ask<'_, A>, at: usize, loads: &L) -> bool {
        ask.servers.get(at).is_some_and(|s| usable(s, 1, loads))
    }
}
