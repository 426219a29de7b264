//! lblc: locality-based least connection: a destination address stays with its server while that is
//! usable and not over its weight with others idle; else the choice of wlc becomes its server.
//!
//! Mirrors `ip_vs_lblc.c`: a remembered server is not asked whether it is at its threshold.

use super::cache::{Cache, span};
use super::candidates::Candidate;
use super::locality::{Known, Name};
use super::{Ask, List, Scheduler};
use crate::cells::Loads;
use pvs_proto::Address;

/// The servers by name.
#[derive(Clone, Debug)]
pub(crate) struct Lblc(Known);

impl Scheduler for Lblc {
    type State = Cache<Name>;
    type Change = ();

    fn build(list: &List<'_>) -> Self {
        Self(Known::of(list.servers))
    }

    /// Waits for [`finish`](Self::finish), since servers are sorted.
    fn update(&mut self, _: &List<'_>) {}

    fn finish(&mut self, list: &List<'_>) {
        *self = Self::build(list);
        self.0.keep_for(list.workers);
    }

    fn start(&self) -> Cache<Name> {
        Cache::new()
    }

    fn pick<A: Address, L: Loads>(
        &self,
        cache: &Cache<Name>,
        ask: &Ask<'_, A>,
        loads: &L,
    ) -> Option<usize> {
        let (addr, now) = (ask.flow.virtual_.addr.bits(), ask.flow.now);
        let memory = span(ask.tunables.lblc_expiration);
        let known = cache
            .part(addr)
            .and_then(|mut part| part.get(addr, now, memory).copied());
        let server = known.and_then(|name| self.0.named(name));
        if let Some(server) = server.filter(|s| !self.0.is_over_weight(s, loads)) {
            return Some(Candidate::place(server));
        }
        let picked = self.0.lightest(loads)?;
        if let Some(mut part) = cache.part(addr) {
            part.put(addr, self.0.name(picked), now);
        }
        Some(picked)
    }
}
