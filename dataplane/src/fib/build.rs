//! The builder: collects what Linux says, and makes a [`Fib`] of it.
//!
//! Off the workers, so it may allocate.

use super::paint::{Painted, paint};
use super::receivers::receivers;
use super::routes::{Limited, Routes};
use super::several::{Group, Leg, Lots};
use super::source::{OwnAddress, Sources};
use super::{
    Fib, GroupIndex, Hop, HopIndex, Interface, InterfaceIndex, Lookup, Neighbour, PortIndex, Route,
    Target, Way,
};
use pvs_proto::{Addr4, Addr6, Address, Family, MacAddr, V4, V6, VlanId};
use std::collections::{BTreeMap, BTreeSet};

/// Collects what Linux says, and makes a [`Fib`] of it.
#[derive(Debug, Default)]
pub struct FibBuilder {
    interfaces: Vec<Interface>,
    names: BTreeMap<InterfaceIndex, Box<str>>,
    deaf: BTreeSet<InterfaceIndex>,
    v4: Collected<Addr4>,
    v6: Collected<Addr6>,
}

#[derive(Debug)]
struct Collected<A> {
    routes: Vec<(A, u8, Way<A>)>,
    groups: BTreeMap<Vec<Leg<A>>, GroupIndex>,
    neighbours: BTreeMap<(InterfaceIndex, A), Neighbour>,
    own: Vec<OwnAddress<A>>,
}

impl<A> Default for Collected<A> {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            groups: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            own: Vec::new(),
        }
    }
}

/// A family that a builder collects.
pub trait BuilderFamily: Family {
    #[doc(hidden)]
    fn add_route(builder: &mut FibBuilder, prefix: Self::Addr, len: u8, way: Way<Self::Addr>);
    #[doc(hidden)]
    fn add_group(builder: &mut FibBuilder, legs: Vec<Leg<Self::Addr>>) -> GroupIndex;
    #[doc(hidden)]
    fn add_neighbour(
        builder: &mut FibBuilder,
        interface: InterfaceIndex,
        addr: Self::Addr,
        state: Neighbour,
    );
    #[doc(hidden)]
    fn add_own(builder: &mut FibBuilder, address: OwnAddress<Self::Addr>);
}

macro_rules! builder_family {
    ($family:ty, $field:ident) => {
        impl BuilderFamily for $family {
            fn add_route(b: &mut FibBuilder, prefix: Self::Addr, len: u8, way: Way<Self::Addr>) {
                b.$field.routes.push((prefix.masked(len), len, way));
            }
            fn add_group(b: &mut FibBuilder, legs: Vec<Leg<Self::Addr>>) -> GroupIndex {
                let groups = &mut b.$field.groups;
                let next = GroupIndex(u32::try_from(groups.len()).unwrap_or(u32::MAX));
                *groups.entry(legs).or_insert(next)
            }
            fn add_neighbour(
                b: &mut FibBuilder,
                i: InterfaceIndex,
                addr: Self::Addr,
                state: Neighbour,
            ) {
                b.$field.neighbours.insert((i, addr), state);
            }
            fn add_own(b: &mut FibBuilder, address: OwnAddress<Self::Addr>) {
                b.$field.own.push(address);
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

    /// Another interface; they are numbered in the order of the calls. Of several on one port and
    /// VLAN the first receives; the others, as macvlans are, only send.
    pub fn interface(&mut self, interface: Interface) -> InterfaceIndex {
        self.interfaces.push(interface);
        InterfaceIndex(u16::try_from(self.interfaces.len() - 1).unwrap_or(u16::MAX))
    }

    /// What Linux calls an interface: mark rules name it so.
    pub fn name(&mut self, interface: InterfaceIndex, name: &str) -> &mut Self {
        self.names.insert(interface, name.into());
        self
    }

    /// A place without an interface, so that those behind it keep their numbers.
    pub fn no_interface(&mut self) {
        let none = self.interface(Interface {
            port: PortIndex(u16::MAX),
            vlan: VlanId::NONE,
            mac: MacAddr::default(),
            other_macs: Vec::new(),
            mtu: 0,
        });
        self.deafen(none);
    }

    /// An interface that receives nothing, since it is down.
    pub fn deafen(&mut self, interface: InterfaceIndex) -> &mut Self {
        self.deaf.insert(interface);
        self
    }

    /// A route. Of two with the same prefix the later call wins, so add the preferred one last;
    /// [`Target::Local`] wins over all others that overlap it.
    pub fn route<F: BuilderFamily>(
        &mut self,
        prefix: F::Addr,
        len: u8,
        target: Target<F::Addr>,
    ) -> &mut Self {
        self.way::<F>(prefix, len, target.into())
    }

    /// A route with a source or an MTU of its own.
    pub fn way<F: BuilderFamily>(
        &mut self,
        prefix: F::Addr,
        len: u8,
        way: Way<F::Addr>,
    ) -> &mut Self {
        F::add_route(self, prefix, len, way);
        self
    }

    /// Where a route with these next hops leads: what is the same for all routes is kept once.
    pub fn several<F: BuilderFamily>(&mut self, legs: Vec<Leg<F::Addr>>) -> Target<F::Addr> {
        match *legs {
            [] => Target::Unreachable,
            [leg] => match leg.gateway {
                Some(gateway) => Target::Via(leg.interface, gateway),
                None => Target::OnLink(leg.interface),
            },
            _ => Target::Several(F::add_group(self, legs)),
        }
    }

    /// An address of Linux's own that packets may be sent from, in the kernel's order. It makes
    /// nothing local: that is a route's doing.
    pub fn own_address<F: BuilderFamily>(&mut self, address: OwnAddress<F::Addr>) -> &mut Self {
        F::add_own(self, address);
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
        let receivers = receivers(&self.interfaces, &self.deaf);
        let mut names = self.names;
        let indices = (0..).map(InterfaceIndex).take(self.interfaces.len());
        let names = indices.map(|index| names.remove(&index).unwrap_or_default());
        let names = names.collect();
        let interfaces = self.interfaces.into_boxed_slice();
        let v4 = self.v4.finish(&interfaces, &mut hops);
        let v6 = self.v6.finish(&interfaces, &mut hops);
        Fib {
            version,
            interfaces,
            names,
            receivers,
            hops: hops.into_boxed_slice(),
            v4,
            v6,
        }
    }
}

impl<A: Address> Collected<A> {
    fn finish(mut self, interfaces: &[Interface], hops: &mut Vec<Hop>) -> Routes<A> {
        let sources = Sources::new(std::mem::take(&mut self.own));
        for (_, _, way) in &mut self.routes {
            way.source = match way.target {
                Target::OnLink(i) => way.source.or_else(|| sources.fixed(i, None)),
                Target::Via(i, gateway) => way.source.or_else(|| sources.fixed(i, Some(gateway))),
                Target::Several(_) => way.source,
                _ => None,
            };
            let limits = !matches!(
                way.target,
                Target::Local | Target::Elsewhere | Target::Unreachable
            );
            way.mtu = way.mtu.filter(|_| limits);
        }
        let groups = self.groups(interfaces, &sources);
        let Painted { ways, ranges } = paint(self.routes);
        let neighbours = self.neighbours.into_iter();
        let neighbours = neighbours
            .map(|((i, a), n)| (i, a, hop_of(interfaces, i, n, hops)))
            .collect();
        let mut routes = Routes {
            ranges,
            ways,
            neighbours,
            limited: Box::default(),
            groups,
            sources,
        };
        routes.limited = limit(&routes, hops);
        routes
    }

    fn groups(&self, interfaces: &[Interface], sources: &Sources<A>) -> Box<[Group<A>]> {
        let failed = |leg: &Leg<A>| {
            let known = leg.gateway.map(|gateway| (leg.interface, gateway));
            known.and_then(|key| self.neighbours.get(&key)) == Some(&Neighbour::Failed)
        };
        let source = |leg: &Leg<A>| sources.fixed(leg.interface, leg.gateway);
        let mut lots = Lots::new();
        let mut numbered: Vec<_> = self.groups.iter().collect();
        numbered.sort_unstable_by_key(|(_, number)| **number);
        numbered
            .into_iter()
            .map(|(legs, _)| lots.group(legs, interfaces, source, failed))
            .collect()
    }
}

fn hop_of(
    interfaces: &[Interface],
    i: InterfaceIndex,
    n: Neighbour,
    hops: &mut Vec<Hop>,
) -> Option<HopIndex> {
    let (mac, watched) = match n {
        Neighbour::Resolved(mac) => (mac, true),
        Neighbour::Unwatched(mac) => (mac, false),
        Neighbour::Failed => return None,
    };
    let on = interfaces.get(usize::from(i.0))?;
    hops.push(Hop {
        mac,
        source: on.mac,
        interface: i,
        port: on.port,
        vlan: on.vlan,
        mtu: on.mtu,
        watched,
    });
    Some(HopIndex(u32::try_from(hops.len() - 1).ok()?))
}

/// The next hops that stand for others on routes with an MTU of their own.
fn limit<A: Address>(routes: &Routes<A>, hops: &mut Vec<Hop>) -> Box<[Limited]> {
    let mut wanted = BTreeSet::new();
    let mut want = |route, mtu: Option<u32>| {
        if let (Route::Hop(hop), Some(mtu)) = (route, mtu) {
            wanted.insert((hop, mtu));
        }
    };
    for way in routes.ways.iter().filter(|way| way.mtu.is_some()) {
        match way.target {
            Target::Via(i, gateway) => want(routes.neighbour(i, gateway), way.mtu),
            Target::Several(group) => {
                let legs = routes.group(group).into_iter().flat_map(Group::legs);
                for (i, gateway) in legs.filter_map(|leg| Some((leg.interface, leg.gateway?))) {
                    want(routes.neighbour(i, gateway), way.mtu);
                }
            }
            _ => (),
        }
    }
    if routes.ways.iter().any(|way| way.mtu.is_some()) {
        for (_, address, _) in &routes.neighbours {
            want(routes.route(*address), routes.way(*address).mtu);
        }
    }
    let mut limited = Vec::new();
    for (hop, mtu) in wanted {
        let known = hops.get(hop.0 as usize).copied();
        let Some(known) = known.filter(|known| mtu < known.mtu) else {
            continue;
        };
        if let Ok(at) = u32::try_from(hops.len()) {
            hops.push(Hop { mtu, ..known });
            limited.push(((hop, mtu), HopIndex(at)));
        }
    }
    limited.into_boxed_slice()
}
