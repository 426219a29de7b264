//! The routes and neighbours of one family, as a worker looks them up.

use super::several::Group;
use super::source::Sources;
use super::{GroupIndex, HopIndex, InterfaceIndex, Lookup, Route, Target, Way};
use pvs_proto::Address;

/// A place in [`Routes::ways`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WayIndex(pub(super) u32);

impl WayIndex {
    pub(super) const LOCAL: Self = Self(0);
    pub(super) const UNREACHABLE: Self = Self(1);
}

/// The routes and neighbours of one family.
#[derive(Debug)]
pub(super) struct Routes<A> {
    /// Where each range begins, ascending, the first at 0; its way reaches to the next one.
    pub(super) ranges: Box<[Range<A>]>,
    /// Each different one once.
    pub(super) ways: Box<[Way<A>]>,
    /// Ascending by interface and address; `None` is a failed neighbour.
    pub(super) neighbours: Box<[(InterfaceIndex, A, Option<HopIndex>)]>,
    /// Next hops that a route's own MTU makes others of; ascending.
    pub(super) limited: Box<[Limited]>,
    pub(super) groups: Box<[Group<A>]>,
    pub(super) sources: Sources<A>,
}

/// Where a range begins, and the way that holds from there.
pub(super) type Range<A> = (A, WayIndex);

/// A next hop on the way of a route with an MTU of its own, and that MTU; what stands for it.
pub(super) type Limited = ((HopIndex, u32), HopIndex);

impl<A> Default for Routes<A> {
    fn default() -> Self {
        Self {
            ranges: Box::default(),
            ways: Box::default(),
            neighbours: Box::default(),
            limited: Box::default(),
            groups: Box::default(),
            sources: Sources::default(),
        }
    }
}

impl<A: Address> Routes<A> {
    fn way_index(&self, dst: A) -> WayIndex {
        let behind = self.ranges.partition_point(|(start, _)| *start <= dst);
        behind
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .map_or(WayIndex::UNREACHABLE, |range| range.1)
    }

    pub(super) fn way(&self, dst: A) -> Way<A> {
        let WayIndex(at) = self.way_index(dst);
        let way = self.ways.get(at as usize).copied();
        way.unwrap_or(Target::Unreachable.into())
    }

    pub(super) fn group(&self, GroupIndex(at): GroupIndex) -> Option<&Group<A>> {
        self.groups.get(at as usize)
    }

    /// The next hop in place of this one on a route of that MTU.
    fn limited(&self, route: Route<A>, mtu: u32) -> Route<A> {
        let Route::Hop(hop) = route else { return route };
        let found = self
            .limited
            .binary_search_by_key(&(hop, mtu), |(key, _)| *key);
        let stand_in = found.ok().and_then(|at| self.limited.get(at));
        stand_in.map_or(route, |(_, hop)| Route::Hop(*hop))
    }
}

impl<A: Address> Lookup<A> for Routes<A> {
    fn route(&self, dst: A) -> Route<A> {
        let way = self.way(dst);
        let route = match way.target {
            Target::Local => Route::Local,
            Target::OnLink(interface) => self.neighbour(interface, dst),
            Target::Via(interface, gateway) => self.neighbour(interface, gateway),
            Target::Several(group) => match self.group(group).and_then(|group| group.leg(dst)) {
                Some((leg, _)) => self.neighbour(leg.interface, leg.gateway.unwrap_or(dst)),
                None => Route::Unreachable,
            },
            Target::Elsewhere => Route::Elsewhere,
            Target::Unreachable => Route::Unreachable,
        };
        match way.mtu {
            Some(mtu) => self.limited(route, mtu),
            None => route,
        }
    }

    fn is_local(&self, dst: A) -> bool {
        self.way_index(dst) == WayIndex::LOCAL
    }

    fn next_hop(&self, dst: A) -> Option<(InterfaceIndex, A)> {
        match self.way(dst).target {
            Target::OnLink(interface) => Some((interface, dst)),
            Target::Via(interface, gateway) => Some((interface, gateway)),
            Target::Several(group) => {
                let (leg, _) = self.group(group)?.leg(dst)?;
                Some((leg.interface, leg.gateway.unwrap_or(dst)))
            }
            Target::Local | Target::Elsewhere | Target::Unreachable => None,
        }
    }

    fn source(&self, dst: A) -> Option<A> {
        let way = self.way(dst);
        let (interface, source) = match way.target {
            Target::Local => return Some(dst),
            Target::OnLink(interface) | Target::Via(interface, _) => (interface, None),
            Target::Several(group) => {
                let (leg, source) = self.group(group)?.leg(dst)?;
                (leg.interface, source)
            }
            Target::Elsewhere | Target::Unreachable => return None,
        };
        way.source
            .or(source)
            .or_else(|| self.sources.towards(interface, dst))
    }

    fn route_mtu(&self, dst: A) -> Option<u32> {
        self.way(dst).mtu
    }

    fn neighbour(&self, interface: InterfaceIndex, addr: A) -> Route<A> {
        let at = self
            .neighbours
            .partition_point(|(i, a, _)| (*i, *a) < (interface, addr));
        match self.neighbours.get(at) {
            Some((i, a, hop)) if (*i, *a) == (interface, addr) => {
                hop.map_or(Route::Failed(interface, addr), Route::Hop)
            }
            _ => Route::Unresolved(interface, addr),
        }
    }
}
