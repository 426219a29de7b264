//! The mirror, fed with hand-made messages: the messages, and what to ask of an update.

mod links;
mod routes;
mod survey;
mod vlans;

use super::*;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use pvs_dataplane::fib::{InterfaceIndex, PortIndex, Route};
use pvs_proto::{Addr4, Addr6, MacAddr, V4, V6};
use std::net::IpAddr;

pub(crate) const TAP0: u32 = 10;
const TAP1: u32 = 11;
const OTHER: u32 = 20;

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn link(index: u32, name: &str, more: &[LinkAttribute]) -> RouteNetlinkMessage {
    let mut m = LinkMessage::default();
    m.header.index = index;
    m.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
    m.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::Mtu(1500),
        LinkAttribute::Address(mac(index as u8).0.to_vec()),
    ];
    m.attributes.extend_from_slice(more);
    RouteNetlinkMessage::NewLink(m)
}

fn family(text: &str) -> AddressFamily {
    if text.contains(':') {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    }
}

/// As `ip route` writes it: prefix, table (254 is main), type, attributes.
fn route(prefix: &str, table: u8, kind: RouteType, more: &[RouteAttribute]) -> RouteMessage {
    let (address, len) = prefix.split_once('/').unwrap();
    let mut m = RouteMessage::default();
    m.header.address_family = family(address);
    m.header.destination_prefix_length = len.parse().unwrap();
    m.header.table = table;
    m.header.kind = kind;
    if m.header.destination_prefix_length > 0 {
        let address: IpAddr = address.parse().unwrap();
        m.attributes
            .push(RouteAttribute::Destination(address.into()));
    }
    m.attributes.extend_from_slice(more);
    m
}

pub(crate) fn unicast(prefix: &str, more: &[RouteAttribute]) -> RouteMessage {
    route(prefix, 254, RouteType::Unicast, more)
}

pub(crate) fn oif(index: u32) -> RouteAttribute {
    RouteAttribute::Oif(index)
}

pub(crate) fn via(gateway: &str) -> RouteAttribute {
    RouteAttribute::Gateway(gateway.parse::<IpAddr>().unwrap().into())
}

fn metric(metric: u32) -> RouteAttribute {
    RouteAttribute::Priority(metric)
}

pub(crate) fn neighbour(
    ifindex: u32,
    address: &str,
    state: NeighbourState,
    lladdr: Option<u8>,
) -> NeighbourMessage {
    let mut m = NeighbourMessage::default();
    m.header.family = family(address);
    m.header.ifindex = ifindex;
    m.header.state = state;
    let address: IpAddr = address.parse().unwrap();
    m.attributes
        .push(NeighbourAttribute::Destination(address.into()));
    m.attributes
        .extend(lladdr.map(|last| NeighbourAttribute::LinkLayerAddress(mac(last).0.to_vec())));
    m
}

/// Two taps, ports 0 and 1, and an interface that is none of pvs's.
pub(crate) fn mirror() -> Mirror {
    let tap = |ifindex, port| TapBinding {
        ifname: format!("tap{port}"),
        ifindex,
        port: PortIndex(port),
    };
    let mut mirror = Mirror::new(vec![tap(TAP0, 0), tap(TAP1, 1)]);
    mirror.list(&[
        link(TAP0, "tap0", &[]),
        link(TAP1, "tap1", &[]),
        link(OTHER, "eth9", &[]),
    ]);
    mirror.doubts();
    mirror
}

pub(crate) fn add(mirror: &mut Mirror, route: RouteMessage) {
    mirror.apply(&RouteNetlinkMessage::NewRoute(route), false);
}

fn remove(mirror: &mut Mirror, route: RouteMessage) {
    mirror.apply(&RouteNetlinkMessage::DelRoute(route), false);
}

pub(crate) fn see(mirror: &mut Mirror, neighbour: NeighbourMessage) {
    mirror.apply(&RouteNetlinkMessage::NewNeighbour(neighbour), false);
}

fn to4(update: &Update, address: &str) -> Route<Addr4> {
    update
        .fib
        .route::<V4>(address.parse::<std::net::Ipv4Addr>().unwrap().into())
}

fn to6(update: &Update, address: &str) -> Route<Addr6> {
    update
        .fib
        .route::<V6>(address.parse::<std::net::Ipv6Addr>().unwrap().into())
}

fn unresolved4(interface: u16, address: &str) -> Route<Addr4> {
    let address = address.parse::<std::net::Ipv4Addr>().unwrap();
    Route::Unresolved(InterfaceIndex(interface), address.into())
}
