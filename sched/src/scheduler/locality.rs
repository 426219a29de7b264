//! What lblc and lblcr have in common: servers by lasting names, the choice by weighted least
//! connection, and when a server counts as loaded over its weight.
//!
//! Mirrors `ip_vs_lblc.c` and `ip_vs_lblcr.c`, whose caches hold on to a server that is removed:
//! if it comes back its destinations come back to it. So a cache keeps names here, neither
//! places in a list nor cells.

use super::candidates::{Candidate, Candidates};
use super::least::{Active, Least, Overhead};
use crate::cells::Loads;
use crate::service::Server;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A hash of a server's address and port, never 0.
pub(super) type Name = u64;

/// The servers of a list.
#[derive(Clone, Debug)]
pub(super) struct Known {
    lightest: Least<Overhead>,
    idlest: Least<Active>,
    /// By place in the list.
    listed: Arc<[Name]>,
    /// The places by name, in ascending order.
    named: Arc<[(Name, u32)]>,
}

impl Known {
    pub(super) fn of(servers: &[Server]) -> Self {
        let listed: Arc<[Name]> = servers.iter().map(name).collect();
        let mut named: Vec<(Name, u32)> = listed.iter().copied().zip(0..).collect();
        named.sort_unstable();
        let candidates = Candidates::listed(servers);
        Self {
            lightest: Least::of(candidates.clone()),
            idlest: Least::of(candidates),
            listed,
            named: named.into(),
        }
    }

    /// Takes the memory that makes it fast for this number of workers.
    pub(super) fn keep_for(&mut self, workers: usize) {
        self.lightest.keep_for(workers);
        self.idlest.keep_for(workers);
    }

    /// The server in a place.
    pub(super) fn name(&self, place: usize) -> Name {
        self.listed.get(place).copied().unwrap_or_default()
    }

    /// The server of this name, if it is in the list and has a weight.
    pub(super) fn named(&self, name: Name) -> Option<&Candidate> {
        let found = self.named.binary_search_by_key(&name, |(name, _)| *name);
        let (_, place) = self.named.get(found.ok()?)?;
        self.lightest.candidates().at(*place)
    }

    /// The choice of wlc.
    pub(super) fn lightest<L: Loads>(&self, loads: &L) -> Option<usize> {
        self.lightest.pick(loads).map(Candidate::place)
    }

    /// The server has more active connections than its weight, while some other has not
    /// half as many as its own.
    pub(super) fn is_over_weight<L: Loads>(&self, server: &Candidate, loads: &L) -> bool {
        let active = |c: &Candidate| loads.load(c.index).active;
        let is_idle = |c: &Candidate| u64::from(active(c)) * 2 < u64::from(c.weight);
        active(server) > server.weight && self.idlest.pick(loads).is_some_and(is_idle)
    }
}

fn name(server: &Server) -> Name {
    let mut hasher = DefaultHasher::new();
    server.config.key.hash(&mut hasher);
    hasher.finish().max(1)
}
