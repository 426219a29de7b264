//! lblcr: locality-based least connection with replication: a destination address has a set of
//! servers, of which the least loaded is taken; if that is over its weight with others idle, the
//! choice of wlc joins the set.
//!
//! Mirrors `ip_vs_lblcr.c`. A set that has not changed for `lblcr_expiration` loses its most loaded
//! server.

use super::cache::{Cache, Part, span};
use super::candidates::{Candidate, is_less};
use super::locality::{Known, Name};
use super::{Ask, List, Scheduler};
use crate::cells::Loads;
use crate::limits::CACHE_SET_MAX;
use pvs_proto::{Address, Ticks};

/// The servers by name.
#[derive(Clone, Debug)]
pub(crate) struct Lblcr(Known);

/// The servers of a destination, the latest first; no name is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Set {
    servers: [Name; CACHE_SET_MAX],
    changed: Ticks,
}

impl Scheduler for Lblcr {
    type State = Cache<Set>;
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

    fn start(&self) -> Cache<Set> {
        Cache::new()
    }

    fn pick<A: Address, L: Loads>(
        &self,
        cache: &Cache<Set>,
        ask: &Ask<'_, A>,
        loads: &L,
    ) -> Option<usize> {
        let place = At {
            addr: ask.flow.virtual_.addr.bits(),
            now: ask.flow.now,
            memory: span(ask.tunables.lblcr_expiration),
        };
        let set = cache
            .part(place.addr)
            .and_then(|mut part| place.set(&mut part));
        let least = set.and_then(|set| self.least(&set, loads));
        if let Some(set) = set.filter(|set| set.is_old(&place)) {
            if let Some(most) = self.most(&set, loads) {
                place.change(cache, |set| set.erase(self.0.name(most), place.now));
            }
        }
        if let Some(least) = least.filter(|s| !self.0.is_over_weight(s, loads)) {
            return Some(Candidate::place(least));
        }
        let picked = self.0.lightest(loads)?;
        place.change(cache, |set| set.insert(self.0.name(picked), place.now));
        Some(picked)
    }
}

/// Where in the cache, and when.
struct At {
    addr: u128,
    now: Ticks,
    memory: Ticks,
}

impl At {
    fn set(&self, part: &mut Part<Set>) -> Option<Set> {
        part.get(self.addr, self.now, self.memory).copied()
    }

    /// Changes the set, which may be a new one; not at all if others are at it.
    fn change(&self, cache: &Cache<Set>, change: impl FnOnce(&mut Set)) {
        if let Some(mut part) = cache.part(self.addr) {
            let mut set = self.set(&mut part).unwrap_or_default();
            change(&mut set);
            part.put(self.addr, set, self.now);
        }
    }
}

impl Lblcr {
    /// The usable server of the set with the least overhead for its weight; the latest wins a tie.
    fn least<L: Loads>(&self, set: &Set, loads: &L) -> Option<&Candidate> {
        let usable = self.members(set).filter(|c| !loads.overloaded(c.index));
        usable.reduce(|least, other| {
            let cost = |c: &Candidate| loads.load(c.index).overhead();
            if is_less(cost(other), other.weight, cost(least), least.weight) {
                other
            } else {
                least
            }
        })
    }

    /// The server of the set with the most overhead for its weight, overloaded or
    /// not; the latest wins a tie.
    fn most<L: Loads>(&self, set: &Set, loads: &L) -> Option<usize> {
        let most = self.members(set).reduce(|most, other| {
            let cost = |c: &Candidate| loads.load(c.index).overhead();
            if is_less(cost(most), most.weight, cost(other), other.weight) {
                other
            } else {
                most
            }
        });
        most.map(Candidate::place)
    }

    /// Those that are in the list and have a weight.
    fn members(&self, set: &Set) -> impl Iterator<Item = &Candidate> {
        let servers = set.servers;
        servers.into_iter().filter_map(|name| self.0.named(name))
    }
}

impl Set {
    /// It has several servers, and has not changed for longer than it is remembered.
    fn is_old(&self, at: &At) -> bool {
        let several = self.servers.get(1).is_some_and(|name| *name != 0);
        several && at.now.left(self.changed.after(at.memory)).0 > 0
    }

    /// Takes a server up, unless it is there; the oldest goes if there is no room.
    fn insert(&mut self, server: Name, now: Ticks) {
        if self.servers.contains(&server) {
            return;
        }
        self.servers.rotate_right(1);
        if let Some(first) = self.servers.first_mut() {
            *first = server;
        }
        self.changed = now;
    }

    fn erase(&mut self, server: Name, now: Ticks) {
        let at = self.servers.iter().position(|name| *name == server);
        if let Some(behind) = at.and_then(|at| self.servers.get_mut(at..)) {
            behind.rotate_left(1);
            if let Some(last) = behind.last_mut() {
                *last = 0;
            }
            self.changed = now;
        }
    }
}
