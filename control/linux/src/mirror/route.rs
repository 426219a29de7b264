//! Routes: what the mirror keeps of an RTM_NEWROUTE, and the table that it keeps them in.
//!
//! Mirrored are the tables that an unchanged set of rules consults: `local` and `main`. The kernel
//! tells of most changes but not of all, and what a replacement replaced must be guessed; where a
//! message leaves any doubt the table says so, and the watcher lists the family anew.

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
};
use netlink_packet_route::route::{RouteNextHopFlags, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use pvs_proto::{Addr4, Addr6, Address};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TABLE_LOCAL: u32 = 255;
const TABLE_MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// One of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Local,
    Main,
}

/// A destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix {
    pub(crate) address: IpAddr,
    pub(crate) len: u8,
}

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) ifindex: u32,
    pub(crate) gateway: Option<IpAddr>,
    /// Its share beside the others'.
    pub(crate) weight: u16,
    /// The interface has no carrier; taken only if no other way is left.
    pub(crate) linkdown: bool,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To Linux: an address of its own, or an anycast address.
    Local,
    /// To Linux, but not as an address of its own: broadcast, multicast.
    Broadcast,
    /// Out by one of these, in the kernel's order; several are ECMP. Empty if all are dead.
    Out(Vec<Exit>),
    /// Refused: unreachable, prohibit, blackhole, throw.
    Refused,
    /// Out in a way that pvs does not follow; the text says which.
    Unsupported(&'static str),
}

/// A route to a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) table: Table,
    pub(crate) metric: u32,
    pub(crate) way: Way,
    /// The preferred source.
    pub(crate) source: Option<IpAddr>,
    /// The MTU on the way, if the route has one.
    pub(crate) mtu: Option<u32>,
}

/// A route in the form that the mirror keeps, out of a listing.
pub(crate) struct ListedRoute(pub(super) Prefix, pub(super) Entry);

impl ListedRoute {
    /// `None` for a message that is no mirrored route.
    pub(crate) fn read(message: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRoute(message) = message else {
            return None;
        };
        read(message).map(|(prefix, entry)| Self(prefix, entry))
    }
}

/// Turns a message into a route; `None` for what is not mirrored: other tables, cached exceptions,
/// routes for a type of service or a source prefix.
pub(crate) fn read(message: &RouteMessage) -> Option<(Prefix, Entry)> {
    let header = &message.header;
    if header.flags.contains(RouteFlags::Cloned)
        || header.tos != 0
        || header.source_prefix_length != 0
    {
        return None;
    }
    let any = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut table = u32::from(header.table);
    let (mut address, mut metric, mut source, mut mtu) = (any, 0, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(to) => address = ip(to)?,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::PrefSource(from) => source = ip(from),
            RouteAttribute::Metrics(metrics) => mtu = own_mtu(metrics),
            _ => (),
        }
    }
    let table = match table {
        TABLE_LOCAL => Table::Local,
        TABLE_MAIN => Table::Main,
        _ => return None,
    };
    let prefix = Prefix {
        address,
        len: header.destination_prefix_length,
    };
    Some((
        prefix,
        Entry {
            table,
            metric,
            way: way(message),
            source,
            mtu,
        },
    ))
}

fn own_mtu(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu).filter(|mtu| *mtu > 0),
        _ => None,
    })
}

fn way(message: &RouteMessage) -> Way {
    match message.header.kind {
        RouteType::Local | RouteType::Anycast => Way::Local,
        RouteType::Broadcast | RouteType::Multicast => Way::Broadcast,
        RouteType::Unicast => exits(message),
        RouteType::Unreachable | RouteType::Prohibit | RouteType::BlackHole | RouteType::Throw => {
            Way::Refused
        }
        _ => Way::Unsupported("routes of unknown types"),
    }
}

fn exits(message: &RouteMessage) -> Way {
    let multipath = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => Some(hops),
            _ => None,
        });
    let found: Result<Vec<_>, _> = match multipath {
        Some(hops) => hops.iter().map(exit_of_hop).collect(),
        None => {
            let flags = message.header.flags;
            let (dead, linkdown) = (
                flags.contains(RouteFlags::Dead),
                flags.contains(RouteFlags::Linkdown),
            );
            exit(None, &message.attributes, dead, linkdown).map(|only| vec![only])
        }
    };
    found.map_or_else(Way::Unsupported, |exits| {
        Way::Out(exits.into_iter().flatten().collect())
    })
}

fn exit_of_hop(hop: &RouteNextHop) -> Result<Option<Exit>, &'static str> {
    let dead = hop.flags.contains(RouteNextHopFlags::Dead);
    let linkdown = hop.flags.contains(RouteNextHopFlags::Linkdown);
    let exit = exit(Some(hop.interface_index), &hop.attributes, dead, linkdown)?;
    Ok(exit.map(|exit| Exit {
        weight: u16::from(hop.hops) + 1,
        ..exit
    }))
}

/// A way out, `None` if it is dead.
fn exit(
    ifindex: Option<u32>,
    attributes: &[RouteAttribute],
    dead: bool,
    linkdown: bool,
) -> Result<Option<Exit>, &'static str> {
    let (mut ifindex, mut gateway, mut object) = (ifindex, None, false);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = Some(*index),
            RouteAttribute::Gateway(to) => gateway = ip(to).filter(|to| !to.is_unspecified()),
            RouteAttribute::Via(_) => {
                return Err("gateways of the other address family (via inet6)");
            }
            RouteAttribute::Encap(_) | RouteAttribute::EncapType(_) => {
                return Err("encapsulating routes (encap)");
            }
            RouteAttribute::NhId(_) => object = true,
            _ => (),
        }
    }
    match ifindex {
        Some(_) if dead => Ok(None),
        Some(ifindex) => Ok(Some(Exit {
            ifindex,
            gateway,
            weight: 1,
            linkdown,
        })),
        None if object => Err("next-hop objects without net.ipv4.nexthop_compat_mode=1"),
        None => Err("routes without an interface"),
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(a) => Some((*a).into()),
        RouteAddress::Inet6(a) => Some((*a).into()),
        _ => None,
    }
}

/// What a change did to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing that matters.
    None,
    /// The table differs.
    Changed,
    /// The message does not fit what is known: list the family anew.
    Doubt,
}

/// The routes of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Routes(BTreeMap<Prefix, Vec<Entry>>);

impl Routes {
    /// From a listing.
    pub(crate) fn listed(routes: impl IntoIterator<Item = (Prefix, Entry)>) -> Self {
        let mut table = Self::default();
        for (prefix, entry) in routes {
            table.0.entry(prefix).or_default().push(entry);
        }
        table
    }

    /// A route that was added, or replaced one (NLM_F_REPLACE).
    pub(crate) fn add(&mut self, prefix: Prefix, entry: Entry, replace: bool) -> Effect {
        let entries = self.0.entry(prefix).or_default();
        let mut rivals = entries
            .iter_mut()
            .filter(|e| (e.table, e.metric) == (entry.table, entry.metric));
        match (rivals.next(), rivals.next()) {
            (Some(known), None) if replace && *known == entry => Effect::None,
            (Some(known), None) if replace => {
                *known = entry;
                Effect::Changed
            }
            // A second route with the same metric, which may differ in what is not kept here, or a leg added to an IPv6 multipath route.
            (Some(_), _) => Effect::Doubt,
            (None, _) => {
                entries.push(entry);
                // What it replaced had another metric.
                if replace {
                    Effect::Doubt
                } else {
                    Effect::Changed
                }
            }
        }
    }

    /// A route that was removed.
    pub(crate) fn remove(&mut self, prefix: Prefix, entry: &Entry) -> Effect {
        let Some(entries) = self.0.get_mut(&prefix) else {
            return Effect::None;
        };
        if let Some(at) = entries.iter().position(|known| known == entry) {
            entries.remove(at);
            if entries.is_empty() {
                self.0.remove(&prefix);
            }
            return Effect::Changed;
        }
        let same = entries
            .iter()
            .any(|e| (e.table, e.metric) == (entry.table, entry.metric));
        if same { Effect::Doubt } else { Effect::None }
    }

    /// All routes, by prefix.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Prefix, &[Entry])> {
        self.0
            .iter()
            .map(|(prefix, entries)| (prefix, entries.as_slice()))
    }

    /// How many prefixes there are routes to.
    pub(crate) fn prefixes(&self) -> usize {
        self.0.len()
    }

    /// The ways out of all routes.
    pub(crate) fn exits(&self) -> impl Iterator<Item = &[Exit]> {
        let ways = self
            .iter()
            .flat_map(|(_, entries)| entries)
            .map(|entry| &entry.way);
        ways.filter_map(|way| match way {
            Way::Out(exits) => Some(exits.as_slice()),
            _ => None,
        })
    }

    /// The way to an address, as the kernel finds it: table local first, then the longest prefix of
    /// main, then the lowest metric.
    pub(crate) fn way(&self, to: IpAddr) -> Option<&Way> {
        let bits = if to.is_ipv4() { 32 } else { 128 };
        let longest_first = || {
            (0..=bits).rev().filter_map(|len| {
                self.0.get(&Prefix {
                    address: masked(to, len),
                    len,
                })
            })
        };
        longest_first()
            .find_map(|entries| best(entries, Table::Local))
            .or_else(|| longest_first().find_map(|entries| best(entries, Table::Main)))
            .map(|entry| &entry.way)
    }
}

/// The way that the kernel takes among the routes of one prefix in one table: the lowest metric,
/// and of equals the first, that is not dead.
pub(crate) fn best(entries: &[Entry], table: Table) -> Option<&Entry> {
    let alive = |entry: &&Entry| {
        entry.table == table && !matches!(&entry.way, Way::Out(exits) if exits.is_empty())
    };
    entries
        .iter()
        .filter(alive)
        .min_by_key(|entry| entry.metric)
}

fn masked(address: IpAddr, len: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => Addr4::from(a).masked(len).into(),
        IpAddr::V6(a) => Addr6::from(a).masked(len).into(),
    }
}
