//! Forwarding information: interfaces, routes and next hops as workers see them, one immutable value.
//!
//! pvs-linux mirrors it from netlink and publishes it whole, with a version of its own; a connection
//! caches its next hop together with that version. A route look-up is a binary search over ranges
//! that do not overlap: the longest-prefix match was made when the table was built. The kernel's
//! local table comes first, as rule 0 has it, whatever the length of its prefixes.

use pvs_proto::{Addr4, Addr6, Address, Family, MacAddr, V4, V6, VlanId};
use std::collections::BTreeMap;

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
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<A> {
    /// To Linux itself.
    Local,
    /// To the destination itself, a neighbour on this interface.
    OnLink(InterfaceIndex),
    /// To a gateway, a neighbour on this interface.
    Via(InterfaceIndex, A),
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
    /// Resolution failed; nothing is sent there until it succeeds.
    Failed,
}

/// The routes and neighbours of one family.
#[derive(Debug)]
struct Routes<A> {
    /// Where each range begins, ascending, the first at 0; its target reaches to the next one.
    ranges: Box<[(A, Target<A>)]>,
    /// Ascending by interface and address; `None` is a failed neighbour.
    neighbours: Box<[(InterfaceIndex, A, Option<HopIndex>)]>,
}

impl<A> Default for Routes<A> {
    fn default() -> Self {
        Self {
            ranges: Box::default(),
            neighbours: Box::default(),
        }
    }
}

impl<A: Address> Routes<A> {
    fn target(&self, dst: A) -> Target<A> {
        let behind = self.ranges.partition_point(|(start, _)| *start <= dst);
        behind
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .map_or(Target::Unreachable, |r| r.1)
    }
}

/// Forwarding information.
#[derive(Debug, Default)]
pub struct Fib {
    /// Counts up with every published Fib; never 0, which an entry without a next hop holds.
    pub version: u32,
    interfaces: Box<[Interface]>,
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
}

impl<A: Address> Lookup<A> for Routes<A> {
    fn route(&self, dst: A) -> Route<A> {
        match self.target(dst) {
            Target::Local => Route::Local,
            Target::OnLink(interface) => self.neighbour(interface, dst),
            Target::Via(interface, gateway) => self.neighbour(interface, gateway),
            Target::Elsewhere => Route::Elsewhere,
            Target::Unreachable => Route::Unreachable,
        }
    }

    fn is_local(&self, dst: A) -> bool {
        self.target(dst) == Target::Local
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

    /// True if a packet to this address is for Linux itself.
    #[inline]
    pub fn is_local<F: FibFamily>(&self, dst: F::Addr) -> bool {
        F::routes(self).is_local(dst)
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

    /// The interface that a frame of this VLAN on this port belongs to.
    #[must_use]
    #[inline]
    pub fn interface(&self, port: PortIndex, vlan: VlanId) -> Option<(InterfaceIndex, &Interface)> {
        let at = self
            .interfaces
            .iter()
            .position(|i| i.port == port && i.vlan == vlan)?;
        Some((
            InterfaceIndex(u16::try_from(at).ok()?),
            self.interfaces.get(at)?,
        ))
    }
}

/// Collects what Linux says, and makes a [`Fib`] of it.
#[derive(Debug, Default)]
pub struct FibBuilder {
    interfaces: Vec<Interface>,
    v4: Collected<Addr4>,
    v6: Collected<Addr6>,
}

#[derive(Debug)]
struct Collected<A> {
    routes: Vec<(A, u8, Target<A>)>,
    neighbours: BTreeMap<(InterfaceIndex, A), Neighbour>,
}

impl<A> Default for Collected<A> {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            neighbours: BTreeMap::new(),
        }
    }
}

/// A family that a builder collects.
pub trait BuilderFamily: Family {
    #[doc(hidden)]
    fn add_route(builder: &mut FibBuilder, prefix: Self::Addr, len: u8, target: Target<Self::Addr>);
    #[doc(hidden)]
    fn add_neighbour(
        builder: &mut FibBuilder,
        interface: InterfaceIndex,
        addr: Self::Addr,
        state: Neighbour,
    );
}

macro_rules! builder_family {
    ($family:ty, $field:ident) => {
        impl BuilderFamily for $family {
            fn add_route(
                b: &mut FibBuilder,
                prefix: Self::Addr,
                len: u8,
                target: Target<Self::Addr>,
            ) {
                b.$field.routes.push((prefix.masked(len), len, target));
            }
            fn add_neighbour(
                b: &mut FibBuilder,
                i: InterfaceIndex,
                addr: Self::Addr,
                state: Neighbour,
            ) {
                b.$field.neighbours.insert((i, addr), state);
            }
        }
    };
}
builder_family!(V4, v4);
builder_family!(V6, v6);

impl FibBuilder {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another interface; they are numbered in the order of the calls.
    pub fn interface(&mut self, interface: Interface) -> InterfaceIndex {
        self.interfaces.push(interface);
        InterfaceIndex(u16::try_from(self.interfaces.len() - 1).unwrap_or(u16::MAX))
    }

    /// A route. Of two with the same prefix the later call wins, so add the preferred one last;
    /// [`Target::Local`] wins over all others that overlap it.
    pub fn route<F: BuilderFamily>(
        &mut self,
        prefix: F::Addr,
        len: u8,
        target: Target<F::Addr>,
    ) -> &mut Self {
        F::add_route(self, prefix, len, target);
        self
    }

    /// A neighbour's state.
    pub fn neighbour<F: BuilderFamily>(
        &mut self,
        interface: InterfaceIndex,
        addr: F::Addr,
        state: Neighbour,
    ) -> &mut Self {
        F::add_neighbour(self, interface, addr, state);
        self
    }

    /// The finished value. `version` must not be 0.
    #[must_use]
    pub fn build(self, version: u32) -> Fib {
        let mut hops = Vec::new();
        let interfaces = self.interfaces.into_boxed_slice();
        let v4 = self.v4.finish(&interfaces, &mut hops);
        let v6 = self.v6.finish(&interfaces, &mut hops);
        Fib {
            version,
            interfaces,
            hops: hops.into_boxed_slice(),
            v4,
            v6,
        }
    }
}

impl<A: Address> Collected<A> {
    fn finish(mut self, interfaces: &[Interface], hops: &mut Vec<Hop>) -> Routes<A> {
        // Short prefixes first, local ones last: each paints over what it covers.
        self.routes
            .sort_by_key(|(_, len, target)| (*target == Target::Local, *len));
        let mut painted = BTreeMap::from([(0u128, Target::Unreachable)]);
        let last = u128::MAX.checked_shr(u32::from(128 - A::BITS)).unwrap_or(0);
        for (prefix, len, target) in self.routes {
            let start = prefix.bits();
            let end = start | last.checked_shr(len.into()).unwrap_or(0);
            let behind = painted
                .range(..=end)
                .next_back()
                .map_or(Target::Unreachable, |(_, t)| *t);
            let covered: Vec<u128> = painted.range(start..=end).map(|(at, _)| *at).collect();
            for at in covered {
                painted.remove(&at);
            }
            painted.insert(start, target);
            if end < last {
                painted.entry(end + 1).or_insert(behind);
            }
        }
        let mut ranges: Vec<_> = painted
            .into_iter()
            .map(|(at, t)| (A::from_bits(at), t))
            .collect();
        ranges.dedup_by(|later, earlier| later.1 == earlier.1);
        let neighbours = self.neighbours.into_iter();
        let neighbours = neighbours
            .map(|((i, a), n)| (i, a, hop_of(interfaces, i, n, hops)))
            .collect();
        Routes {
            ranges: ranges.into_boxed_slice(),
            neighbours,
        }
    }
}

fn hop_of(
    interfaces: &[Interface],
    i: InterfaceIndex,
    n: Neighbour,
    hops: &mut Vec<Hop>,
) -> Option<HopIndex> {
    let Neighbour::Resolved(mac) = n else {
        return None;
    };
    let on = interfaces.get(usize::from(i.0))?;
    hops.push(Hop {
        mac,
        source: on.mac,
        interface: i,
        port: on.port,
        vlan: on.vlan,
        mtu: on.mtu,
    });
    Some(HopIndex(u32::try_from(hops.len() - 1).ok()?))
}

#[cfg(test)]
mod tests;
