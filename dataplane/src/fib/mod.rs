//! Forwarding information: interfaces, routes and next hops as workers see them, one immutable value.
//!
//! pvs-linux mirrors it from netlink and publishes it whole, with a version of its own; a connection
//! caches its next hop together with that version. A route look-up is a binary search over ranges
//! that do not overlap: the longest-prefix match was made when the table was built. The kernel's
//! local table comes first, as rule 0 has it, whatever the length of its prefixes.

mod build;
mod several;
mod source;

pub use build::{BuilderFamily, FibBuilder};
pub use several::{BUCKETS, Leg};
pub use source::OwnAddress;

use pvs_proto::{Addr4, Addr6, Address, Family, MacAddr, V4, V6, VlanId};
use several::Group;
use source::Sources;

/// A port of the director, in the order of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PortIndex(pub u16);

/// An interface: a port and a VLAN, or none, on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InterfaceIndex(pub u16);

/// A next hop's place in [`Fib`]; meaningful only with that Fib's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HopIndex(pub u32);

impl HopIndex {
    /// No next hop.
    pub const NONE: Self = Self(u32::MAX);
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its port.
    pub port: PortIndex,
    /// Its VLAN.
    pub vlan: VlanId,
    /// The source of what it sends.
    pub mac: MacAddr,
    /// Further addresses that it receives for: those of macvlans on the tap.
    pub other_macs: Vec<MacAddr>,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
}

/// A neighbour that frames can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its hardware address.
    pub mac: MacAddr,
    /// Our own address on that interface.
    pub source: MacAddr,
    /// The interface.
    pub interface: InterfaceIndex,
    /// The interface's port.
    pub port: PortIndex,
    /// The interface's VLAN.
    pub vlan: VlanId,
    /// Largest IP packet on the way there, in bytes.
    pub mtu: u32,
    /// Somebody sees to it that this stays true. If not, a worker that sends there asks for it.
    pub watched: bool,
}

/// A set of next hops that [`FibBuilder::several`] was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupIndex(u32);

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target<A> {
    /// To Linux itself.
    Local,
    /// To the destination itself, a neighbour on this interface.
    OnLink(InterfaceIndex),
    /// To a gateway, a neighbour on this interface.
    Via(InterfaceIndex, A),
    /// By one of several next hops, as the destination has it.
    Several(GroupIndex),
    /// Out by an interface that is no port of pvs: Linux may have a way, pvs has none.
    Elsewhere,
    /// Nowhere: unreachable, prohibit, blackhole.
    Unreachable,
}

/// The answer of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<A> {
    /// Linux takes it.
    Local,
    /// A resolved neighbour.
    Hop(HopIndex),
    /// A neighbour whose hardware address is not known yet: ask Linux to resolve it.
    Unresolved(InterfaceIndex, A),
    /// Linux may have a way out, pvs has none.
    Elsewhere,
    /// No route.
    Unreachable,
    /// A neighbour that does not answer: Linux may try again if it is asked.
    Failed(InterfaceIndex, A),
}

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Reachable, stale, in delay, probed or permanent: frames go there.
    Resolved(MacAddr),
    /// The same, but Linux does not keep asking whether it is still so.
    Unwatched(MacAddr),
    /// Resolution failed; nothing is sent there until it succeeds.
    Failed,
}

/// What a route says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way<A> {
    /// Where it leads.
    pub target: Target<A>,
    /// The address to send from, if the route says.
    pub source: Option<A>,
    /// Largest IP packet, if it is to be smaller than the interface's.
    pub mtu: Option<u32>,
}

impl<A> From<Target<A>> for Way<A> {
    fn from(target: Target<A>) -> Self {
        Self {
            target,
            source: None,
            mtu: None,
        }
    }
}

/// A place in [`Routes::ways`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WayIndex(u32);

impl WayIndex {
    const LOCAL: Self = Self(0);
    const UNREACHABLE: Self = Self(1);
}

/// The routes and neighbours of one family.
#[derive(Debug)]
struct Routes<A> {
    /// Where each range begins, ascending, the first at 0; its way reaches to the next one.
    ranges: Box<[(A, WayIndex)]>,
    /// Each different one once.
    ways: Box<[Way<A>]>,
    /// Ascending by interface and address; `None` is a failed neighbour.
    neighbours: Box<[(InterfaceIndex, A, Option<HopIndex>)]>,
    /// Next hops that a route's own MTU makes others of; ascending.
    limited: Box<[Limited]>,
    groups: Box<[Group<A>]>,
    sources: Sources<A>,
}

/// A next hop on the way of a route with an MTU of its own, and that MTU; what stands for it.
type Limited = ((HopIndex, u32), HopIndex);

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

    fn way(&self, dst: A) -> Way<A> {
        let WayIndex(at) = self.way_index(dst);
        let way = self.ways.get(at as usize).copied();
        way.unwrap_or(Target::Unreachable.into())
    }

    fn group(&self, GroupIndex(at): GroupIndex) -> Option<&Group<A>> {
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

/// Forwarding information.
#[derive(Debug, Default)]
pub struct Fib {
    /// Counts up with every published Fib; never 0, which an entry without a next hop holds.
    pub version: u32,
    interfaces: Box<[Interface]>,
    /// By port.
    receivers: Box<[Receivers]>,
    hops: Box<[Hop]>,
    v4: Routes<Addr4>,
    v6: Routes<Addr6>,
}

/// A family that routes can be looked up in.
pub trait FibFamily: Family {
    #[doc(hidden)]
    fn routes(fib: &Fib) -> &impl Lookup<Self::Addr>;
}

/// The look-ups that a worker makes.
pub trait Lookup<A> {
    #[doc(hidden)]
    fn route(&self, dst: A) -> Route<A>;
    #[doc(hidden)]
    fn is_local(&self, dst: A) -> bool;
    #[doc(hidden)]
    fn neighbour(&self, interface: InterfaceIndex, addr: A) -> Route<A>;
    #[doc(hidden)]
    fn next_hop(&self, dst: A) -> Option<(InterfaceIndex, A)>;
    #[doc(hidden)]
    fn source(&self, dst: A) -> Option<A>;
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

impl FibFamily for V4 {
    fn routes(fib: &Fib) -> &impl Lookup<Addr4> {
        &fib.v4
    }
}

impl FibFamily for V6 {
    fn routes(fib: &Fib) -> &impl Lookup<Addr6> {
        &fib.v6
    }
}

impl Fib {
    /// The way to an address.
    #[inline]
    pub fn route<F: FibFamily>(&self, dst: F::Addr) -> Route<F::Addr> {
        F::routes(self).route(dst)
    }

    /// What is known of a neighbour.
    pub fn neighbour<F: FibFamily>(
        &self,
        interface: InterfaceIndex,
        addr: F::Addr,
    ) -> Route<F::Addr> {
        F::routes(self).neighbour(interface, addr)
    }

    /// The neighbour that packets to an address go to.
    #[must_use]
    pub fn next_hop<F: FibFamily>(&self, dst: F::Addr) -> Option<(InterfaceIndex, F::Addr)> {
        F::routes(self).next_hop(dst)
    }

    /// True if a packet to this address is for Linux itself.
    #[inline]
    pub fn is_local<F: FibFamily>(&self, dst: F::Addr) -> bool {
        F::routes(self).is_local(dst)
    }

    /// The address that Linux would send from to this destination; `None` where there is no way out by a
    /// port, or no address to send from.
    #[must_use]
    pub fn source<F: FibFamily>(&self, dst: F::Addr) -> Option<F::Addr> {
        F::routes(self).source(dst)
    }

    /// The next hop in a place.
    #[must_use]
    #[inline]
    pub fn hop(&self, index: HopIndex) -> Option<&Hop> {
        self.hops.get(index.0 as usize)
    }

    /// All interfaces.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The interface that a frame of this VLAN on this port belongs to; none that is down.
    #[must_use]
    #[inline]
    pub fn interface(&self, port: PortIndex, vlan: VlanId) -> Option<(InterfaceIndex, &Interface)> {
        let tags = self.receivers.get(usize::from(port.0))?;
        let index = if vlan == VlanId::NONE {
            tags.untagged?
        } else {
            tags.vlans.get(usize::from(vlan.0)).copied()??
        };
        Some((index, self.interfaces.get(usize::from(index.0))?))
    }
}

/// Who receives on a port: a look-up is bounded whatever the number of VLANs.
#[derive(Clone, Debug, Default)]
struct Receivers {
    untagged: Option<InterfaceIndex>,
    /// By VLAN; empty if there is none.
    vlans: Box<[Option<InterfaceIndex>]>,
}

#[cfg(test)]
mod tests;
