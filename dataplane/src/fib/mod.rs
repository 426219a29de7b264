//! Forwarding information: interfaces, routes and next hops as workers see
//! them, one immutable value.
//!
//! pvs-linux mirrors it from netlink and publishes it whole, with a version of its own; a
//! connection caches its next hop together with that version. A route look-up is a binary search
//! over ranges that do not overlap: the longest-prefix match was made when the table was built. The
//! kernel's local table comes first, as rule 0 has it, whatever the length of its prefixes.

mod build;
mod paint;
mod receivers;
mod routes;
mod several;
mod source;

pub use build::{BuilderFamily, FibBuilder};
pub use several::{BUCKETS, Leg};
pub use source::OwnAddress;

use pvs_proto::{Addr4, Addr6, Family, MacAddr, V4, V6, VlanId};
use receivers::Receivers;
use routes::Routes;

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

/// Forwarding information.
#[derive(Debug, Default)]
pub struct Fib {
    /// Counts up with every published Fib; never 0, which an entry without a next hop holds.
    pub version: u32,
    interfaces: Box<[Interface]>,
    /// Their names.
    names: Box<[Box<str>]>,
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
    #[doc(hidden)]
    fn route_mtu(&self, dst: A) -> Option<u32>;
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

    /// Longest packet that the way to an address takes, whether its next hop is resolved or not:
    /// what its interface and its route allow. 65,535 where there is no way.
    #[must_use]
    pub fn mtu<F: FibFamily>(&self, dst: F::Addr) -> u16 {
        let interface = self.next_hop::<F>(dst).map(|(interface, _)| interface);
        let interface = interface.and_then(|index| self.interfaces.get(usize::from(index.0)));
        let limits = [interface.map(|i| i.mtu), F::routes(self).route_mtu(dst)];
        let least = limits.into_iter().flatten().min();
        least
            .and_then(|mtu| u16::try_from(mtu).ok())
            .unwrap_or(u16::MAX)
    }

    /// True if a packet to this address is for Linux itself.
    #[inline]
    pub fn is_local<F: FibFamily>(&self, dst: F::Addr) -> bool {
        F::routes(self).is_local(dst)
    }

    /// The address that Linux would send from to this destination; `None` where there is no way out
    /// by a port, or no address to send from.
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

    /// What Linux calls an interface; empty if nobody has said.
    #[must_use]
    pub fn name(&self, interface: InterfaceIndex) -> &str {
        self.names
            .get(usize::from(interface.0))
            .map_or("", |name| name)
    }

    /// The interface that a frame of this VLAN on this port belongs to; none that is down.
    #[must_use]
    #[inline]
    pub fn interface(&self, port: PortIndex, vlan: VlanId) -> Option<(InterfaceIndex, &Interface)> {
        let index = self.receivers.get(usize::from(port.0))?.of(vlan)?;
        Some((index, self.interfaces.get(usize::from(index.0))?))
    }
}

#[cfg(test)]
mod tests;
