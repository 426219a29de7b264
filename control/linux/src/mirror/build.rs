//! The forwarding information made of a mirror.

use super::link::Kind;
use super::route::{Entry, Exit, Routes, Table, Way, best};
use super::rule::ForeignRule;
use super::{InterfaceState, Mirror, Update};
use crate::local::LocalAddresses;
use pvs_dataplane::fib::{self, BuilderFamily, FibBuilder, Interface, InterfaceIndex, Leg, Target};
use pvs_proto::{Addr4, Addr6, MacAddr, V4, V6, VlanId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) fn update(mirror: &Mirror, interfaces: Vec<InterfaceState>, version: u32) -> Update {
    let mut builder = FibBuilder::new();
    let found: BTreeMap<_, _> = interfaces.iter().map(|i| (i.ifindex, i)).collect();
    let mut numbers = BTreeMap::new();
    for ifindex in mirror.numbers.places() {
        match ifindex.and_then(|ifindex| found.get(&ifindex)) {
            Some(found) => {
                let number = add_interface(&mut builder, found);
                numbers.insert(found.ifindex, number);
            }
            None => builder.no_interface(),
        }
    }
    let mut unsupported = unsupported_rules(mirror);
    // Group and broadcast addresses are Linux's business, whatever the default route says.
    let groups = [(Ipv4Addr::new(224, 0, 0, 0), 4), (Ipv4Addr::BROADCAST, 32)];
    for (address, len) in groups {
        builder.route::<V4>(address.into(), len, Target::Local);
    }
    builder.route::<V6>(
        Addr6::from(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)),
        8,
        Target::Local,
    );
    add_routes::<V4>(&mut builder, &mirror.v4, &numbers, &mut unsupported);
    add_routes::<V6>(&mut builder, &mirror.v6, &numbers, &mut unsupported);
    for (ifindex, assigned) in &mirror.addresses {
        let exit = numbers.get(ifindex).copied();
        for one in assigned {
            one.own::<V4>(exit)
                .map(|own| builder.own_address::<V4>(own));
            one.own::<V6>(exit)
                .map(|own| builder.own_address::<V6>(own));
        }
    }
    add_neighbours(&mut builder, mirror, &numbers);
    let local = prefixes(&mirror.v4, &Way::Local).chain(prefixes(&mirror.v6, &Way::Local));
    let broadcasts = prefixes(&mirror.v4, &Way::Broadcast).filter(|(a, _)| !a.is_multicast());
    Update {
        fib: builder.build(version),
        local: LocalAddresses::new(local).with_broadcasts(broadcasts),
        interfaces,
        unsupported: unsupported.into_iter().collect(),
    }
}

fn add_interface(builder: &mut FibBuilder, found: &InterfaceState) -> InterfaceIndex {
    let number = builder.interface(Interface {
        port: found.port,
        vlan: found.vlan,
        mac: found.mac,
        other_macs: found.other_macs.clone(),
        mtu: found.mtu,
    });
    builder.name(number, &found.ifname);
    if !found.up {
        builder.deafen(number);
    }
    number
}

/// The interfaces of pvs: the taps in the order of the ports, the VLANs on
/// them, the macvlans on these.
pub(super) fn interfaces(mirror: &Mirror) -> Vec<InterfaceState> {
    let taps = mirror
        .taps
        .iter()
        .map(|tap| (tap.ifindex, tap.port, VlanId::NONE));
    let vlans = mirror.links.iter().filter_map(|(index, link)| {
        let Kind::Vlan(on, vlan) = link.kind else {
            return None;
        };
        let tap = mirror.taps.iter().find(|tap| tap.ifindex == on)?;
        Some((*index, tap.port, vlan))
    });
    let real: Vec<_> = taps.chain(vlans).collect();
    let macvlans = mirror.links.iter().filter_map(|(index, link)| {
        let Kind::Macvlan(on) = link.kind else {
            return None;
        };
        let (_, port, vlan) = real.iter().find(|(index, ..)| *index == on)?;
        Some((*index, *port, *vlan))
    });
    let macvlans: Vec<_> = macvlans.collect();
    let state = |(ifindex, port, vlan): (u32, _, VlanId)| {
        let link = mirror.links.get(&ifindex)?;
        Some(InterfaceState {
            ifname: link.name.clone(),
            ifindex,
            port,
            vlan,
            mac: link.mac,
            other_macs: macvlan_macs(mirror, ifindex),
            mtu: link.mtu,
            up: link.up,
            macvlan: matches!(link.kind, Kind::Macvlan(_)),
            promiscuous: link.promiscuous,
            all_multicast: link.all_multicast,
            addresses: addresses(mirror, ifindex),
        })
    };
    real.into_iter().chain(macvlans).filter_map(state).collect()
}

pub(super) fn addresses(mirror: &Mirror, ifindex: u32) -> Vec<(IpAddr, u8)> {
    let known = mirror.addresses.get(&ifindex).into_iter().flatten();
    known.map(|known| (known.address, known.len)).collect()
}

fn macvlan_macs(mirror: &Mirror, ifindex: u32) -> Vec<MacAddr> {
    let on_it = mirror
        .links
        .values()
        .filter(|link| link.kind == Kind::Macvlan(ifindex) && link.up);
    on_it.map(|link| link.mac).collect()
}

fn add_routes<F: BuilderFamily>(
    builder: &mut FibBuilder,
    routes: &Routes,
    numbers: &BTreeMap<u32, InterfaceIndex>,
    unsupported: &mut BTreeSet<String>,
) {
    let number = |ifindex| numbers.get(&ifindex).copied();
    for (prefix, entries) in routes.iter() {
        let Some(address) = F::addr(prefix.address) else {
            continue;
        };
        for entry in winners(entries) {
            let target = match &entry.way {
                Way::Local | Way::Broadcast => Target::Local,
                Way::Refused => Target::Unreachable,
                Way::Unsupported(what) => {
                    unsupported.insert(format!(
                        "{what} are not followed: what they lead to is left to Linux"
                    ));
                    Target::Elsewhere
                }
                Way::Out(exits) => out::<F>(builder, exits, number),
            };
            let way = fib::Way {
                target,
                source: entry.source.and_then(F::addr),
                mtu: entry.mtu,
            };
            builder.way::<F>(address, prefix.len, way);
        }
    }
}

/// Where the exits lead that are interfaces of pvs: it has no other.
fn out<F: BuilderFamily>(
    builder: &mut FibBuilder,
    exits: &[Exit],
    number: impl Fn(u32) -> Option<InterfaceIndex>,
) -> Target<F::Addr> {
    let leg = |exit: &Exit| {
        let gateway = match exit.gateway {
            Some(gateway) => Some(F::addr(gateway)?),
            None => None,
        };
        Some(Leg {
            interface: number(exit.ifindex)?,
            gateway,
            weight: exit.weight,
            linkdown: exit.linkdown,
        })
    };
    let legs: Vec<_> = exits.iter().filter_map(leg).collect();
    if legs.is_empty() {
        return Target::Elsewhere;
    }
    builder.several::<F>(legs)
}

/// What the routes to one prefix come to: the winner of main, then that of local over it.
fn winners(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    [Table::Main, Table::Local]
        .into_iter()
        .filter_map(|table| best(entries, table))
}

fn add_neighbours(
    builder: &mut FibBuilder,
    mirror: &Mirror,
    numbers: &BTreeMap<u32, InterfaceIndex>,
) {
    for ((ifindex, address), known) in &mirror.neighbours {
        let (Some(interface), Some(state)) = (numbers.get(ifindex), known.state) else {
            continue;
        };
        match address {
            IpAddr::V4(a) => builder.neighbour::<V4>(*interface, Addr4::from(*a), state),
            IpAddr::V6(a) => builder.neighbour::<V6>(*interface, Addr6::from(*a), state),
        };
    }
}

/// The prefixes to which packets go this way.
fn prefixes(routes: &Routes, way: &Way) -> impl Iterator<Item = (IpAddr, u8)> {
    let goes = move |entries: &[Entry]| winners(entries).any(|entry| entry.way == *way);
    routes
        .iter()
        .filter(move |(_, entries)| goes(entries))
        .map(|(prefix, _)| (prefix.address, prefix.len))
}

fn unsupported_rules(mirror: &Mirror) -> BTreeSet<String> {
    let sentence = |rule: &ForeignRule| {
        format!(
            "the IPv{} rule of priority {} (table {}) is not followed: pvs knows `local` and `main`",
            rule.family, rule.priority, rule.table
        )
    };
    mirror.rules.iter().map(sentence).collect()
}
