//! The mirror, fed with hand-made messages.

use super::*;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteNextHop, RouteNextHopFlags, RouteType,
};
use pvs_dataplane::fib::Route;
use pvs_proto::{Addr4, Addr6, V4, V6};

const TAP0: u32 = 10;
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

fn unicast(prefix: &str, more: &[RouteAttribute]) -> RouteMessage {
    route(prefix, 254, RouteType::Unicast, more)
}

fn oif(index: u32) -> RouteAttribute {
    RouteAttribute::Oif(index)
}

fn via(gateway: &str) -> RouteAttribute {
    RouteAttribute::Gateway(gateway.parse::<IpAddr>().unwrap().into())
}

fn metric(metric: u32) -> RouteAttribute {
    RouteAttribute::Priority(metric)
}

fn neighbour(
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
fn mirror() -> Mirror {
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

fn add(mirror: &mut Mirror, route: RouteMessage) {
    mirror.apply(&RouteNetlinkMessage::NewRoute(route), false);
}

fn remove(mirror: &mut Mirror, route: RouteMessage) {
    mirror.apply(&RouteNetlinkMessage::DelRoute(route), false);
}

fn see(mirror: &mut Mirror, neighbour: NeighbourMessage) {
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

#[test]
fn versions_count_up_and_only_for_changes() {
    let mut m = mirror();
    assert_eq!(m.update().unwrap().fib.version, 1);
    assert!(m.update().is_none());
    m.apply(&link(TAP0, "tap0", &[]), false);
    assert!(m.update().is_none(), "the same link again");
    add(&mut m, unicast("10.0.0.0/24", &[oif(TAP0)]));
    assert_eq!(m.update().unwrap().fib.version, 2);
    m.version = u32::MAX;
    remove(&mut m, unicast("10.0.0.0/24", &[oif(TAP0)]));
    assert_eq!(m.update().unwrap().fib.version, 1, "never 0");
}

#[test]
fn routes_of_every_kind() {
    let mut m = mirror();
    add(&mut m, unicast("10.0.0.0/24", &[oif(TAP0)]));
    add(
        &mut m,
        unicast("0.0.0.0/0", &[oif(TAP1), via("192.0.2.254")]),
    );
    add(&mut m, unicast("10.9.0.0/16", &[oif(OTHER)]));
    for (prefix, kind) in [
        ("10.1.0.0/16", RouteType::BlackHole),
        ("10.2.0.0/16", RouteType::Unreachable),
        ("10.3.0.0/16", RouteType::Prohibit),
    ] {
        add(&mut m, route(prefix, 254, kind, &[]));
    }
    add(
        &mut m,
        route("10.0.0.1/32", 255, RouteType::Local, &[oif(TAP0)]),
    );
    add(
        &mut m,
        route("10.0.0.255/32", 255, RouteType::Broadcast, &[oif(TAP0)]),
    );
    let u = m.update().unwrap();
    assert_eq!(to4(&u, "10.0.0.7"), unresolved4(0, "10.0.0.7"));
    assert_eq!(to4(&u, "8.8.8.8"), unresolved4(1, "192.0.2.254"));
    assert_eq!(to4(&u, "10.9.1.1"), Route::Elsewhere);
    for refused in ["10.1.1.1", "10.2.1.1", "10.3.1.1"] {
        assert_eq!(to4(&u, refused), Route::Unreachable, "{refused}");
    }
    for linux in ["10.0.0.1", "10.0.0.255", "224.0.0.18", "255.255.255.255"] {
        assert_eq!(to4(&u, linux), Route::Local, "{linux}");
    }
    assert_eq!(to6(&u, "ff02::1"), Route::Local);
    assert_eq!(to6(&u, "2001:db8::1"), Route::Unreachable);
    assert!(u.local.is_local("10.0.0.1".parse().unwrap()));
    assert!(!u.local.is_local("10.0.0.255".parse().unwrap()));
    assert!(!u.local.is_local("224.0.0.18".parse().unwrap()));
}

#[test]
fn the_lowest_metric_wins_and_the_next_takes_over() {
    let mut m = mirror();
    let far = unicast("10.0.0.0/8", &[oif(TAP0), via("192.0.2.1"), metric(200)]);
    let near = unicast("10.0.0.0/8", &[oif(TAP1), via("198.51.100.1"), metric(100)]);
    add(&mut m, near.clone());
    add(&mut m, far);
    assert_eq!(
        to4(&m.update().unwrap(), "10.1.1.1"),
        unresolved4(1, "198.51.100.1")
    );
    remove(&mut m, near);
    assert_eq!(
        to4(&m.update().unwrap(), "10.1.1.1"),
        unresolved4(0, "192.0.2.1")
    );
    assert_eq!(m.doubts(), Doubts::default());
}

#[test]
fn a_replacement_is_followed_and_a_doubtful_one_asks_for_a_listing() {
    let mut m = mirror();
    let old = unicast("10.0.0.0/8", &[oif(TAP0), via("192.0.2.1")]);
    let new = unicast("10.0.0.0/8", &[oif(TAP1), via("198.51.100.1")]);
    add(&mut m, old.clone());
    m.apply(&RouteNetlinkMessage::NewRoute(new.clone()), true);
    assert_eq!(m.doubts(), Doubts::default());
    assert_eq!(
        to4(&m.update().unwrap(), "10.1.1.1"),
        unresolved4(1, "198.51.100.1")
    );
    // `ip route append`: a second route with the same metric.
    add(&mut m, old.clone());
    assert_eq!(
        m.doubts(),
        Doubts {
            v4: true,
            v6: false
        }
    );
    m.list_routes(
        true,
        [new, old]
            .into_iter()
            .filter_map(|r| ListedRoute::read(&RouteNetlinkMessage::NewRoute(r)))
            .collect(),
    );
    assert!(
        m.update()
            .is_none_or(|u| to4(&u, "10.1.1.1") == unresolved4(1, "198.51.100.1"))
    );
    // One leg of an IPv6 multipath route goes.
    let hop = |index, gateway: &str| {
        let mut hop = RouteNextHop::default();
        hop.interface_index = index;
        hop.attributes = vec![via(gateway)];
        hop
    };
    let legs = vec![hop(TAP0, "fd00::1"), hop(TAP1, "fd01::1")];
    add(
        &mut m,
        unicast("2001:db8::/32", &[RouteAttribute::MultiPath(legs)]),
    );
    remove(
        &mut m,
        unicast("2001:db8::/32", &[oif(TAP0), via("fd00::1")]),
    );
    assert_eq!(
        m.doubts(),
        Doubts {
            v4: false,
            v6: true
        }
    );
}

#[test]
fn of_several_next_hops_a_usable_one_is_taken() {
    let mut m = mirror();
    let hop = |index, gateway: &str, flags| {
        let mut hop = RouteNextHop::default();
        hop.interface_index = index;
        hop.flags = flags;
        hop.attributes = vec![via(gateway)];
        hop
    };
    let (dead, down) = (RouteNextHopFlags::Dead, RouteNextHopFlags::Linkdown);
    let hops = [
        (TAP0, "192.0.2.1", dead),
        (TAP0, "192.0.2.2", down),
        (TAP1, "192.0.2.3", RouteNextHopFlags::empty()),
    ];
    for (kept, expected) in [
        (3, unresolved4(1, "192.0.2.3")),
        (2, unresolved4(0, "192.0.2.2")),
        (1, Route::Unreachable),
    ] {
        let legs = hops
            .iter()
            .take(kept)
            .map(|(i, g, f)| hop(*i, g, *f))
            .collect();
        let message = unicast("0.0.0.0/0", &[RouteAttribute::MultiPath(legs)]);
        m.list_routes(
            true,
            ListedRoute::read(&RouteNetlinkMessage::NewRoute(message))
                .into_iter()
                .collect(),
        );
        assert_eq!(to4(&m.update().unwrap(), "203.0.113.1"), expected, "{kept}");
    }
}

#[test]
fn what_is_no_route_of_the_two_tables_is_left_out() {
    let mut m = mirror();
    m.update();
    let mut cached = unicast("2001:db8::1/128", &[oif(TAP0)]);
    cached.header.flags = RouteFlags::Cloned;
    let mut tos = unicast("10.0.0.0/8", &[oif(TAP0)]);
    tos.header.tos = 0x10;
    let mut from = unicast("2001:db8::/32", &[oif(TAP0)]);
    from.header.source_prefix_length = 64;
    let vrf = unicast("10.0.0.0/8", &[oif(TAP0), RouteAttribute::Table(1000)]);
    for message in [cached, tos, from, vrf] {
        add(&mut m, message);
    }
    assert!(m.update().is_none());
}

#[test]
fn what_is_not_followed_is_said() {
    let mut m = mirror();
    let gateway: std::net::Ipv6Addr = "fe80::1".parse().unwrap();
    add(
        &mut m,
        unicast(
            "10.0.0.0/8",
            &[oif(TAP0), RouteAttribute::Via(gateway.into())],
        ),
    );
    let mut rule = RuleMessage::default();
    rule.header.family = AddressFamily::Inet;
    rule.attributes = vec![RuleAttribute::Priority(1000), RuleAttribute::Table(100)];
    m.apply(&RouteNetlinkMessage::NewRule(rule.clone()), false);
    for (priority, table) in [(0, 255), (32766, 254), (32767, 253)] {
        let mut first = RuleMessage::default();
        first.header.family = AddressFamily::Inet6;
        first.attributes = vec![
            RuleAttribute::Priority(priority),
            RuleAttribute::Table(table),
        ];
        m.apply(&RouteNetlinkMessage::NewRule(first), false);
    }
    let u = m.update().unwrap();
    assert_eq!(to4(&u, "10.0.0.1"), Route::Elsewhere);
    assert_eq!(
        u.unsupported,
        [
            "gateways of the other address family (via inet6) are not followed: what they lead to is left to Linux",
            "the IPv4 rule of priority 1000 (table 100) is not followed: pvs knows `local` and `main`",
        ]
    );
    m.apply(&RouteNetlinkMessage::DelRule(rule), false);
    assert_eq!(m.update().unwrap().unsupported.len(), 1);
}

#[test]
fn states_of_neighbours() {
    use NeighbourState as S;
    let mut m = mirror();
    add(&mut m, unicast("10.0.0.0/24", &[oif(TAP0)]));
    let resolved = |m: &mut Mirror| match to4(&m.update().unwrap(), "10.0.0.7") {
        Route::Hop(_) => "hop",
        Route::Unresolved(..) => "unresolved",
        Route::Unreachable => "unreachable",
        other => panic!("{other:?}"),
    };
    see(&mut m, neighbour(TAP0, "10.0.0.7", S::Incomplete, None));
    assert_eq!(resolved(&mut m), "unresolved");
    see(&mut m, neighbour(TAP0, "10.0.0.7", S::Reachable, Some(7)));
    assert_eq!(resolved(&mut m), "hop");
    for same in [S::Stale, S::Delay, S::Probe] {
        see(&mut m, neighbour(TAP0, "10.0.0.7", same, Some(7)));
        assert!(m.update().is_none(), "{same:?} still forwards");
    }
    see(&mut m, neighbour(TAP0, "10.0.0.7", S::Failed, None));
    assert_eq!(resolved(&mut m), "unreachable");
    see(&mut m, neighbour(TAP0, "10.0.0.7", S::Permanent, Some(8)));
    let update = m.update().unwrap();
    let Route::Hop(at) = to4(&update, "10.0.0.7") else {
        panic!()
    };
    let hop = update.fib.hop(at).unwrap();
    assert_eq!(
        (hop.mac, hop.source, hop.port, hop.mtu),
        (mac(8), mac(TAP0 as u8), PortIndex(0), 1500)
    );
    let gone = neighbour(TAP0, "10.0.0.7", S::Permanent, Some(8));
    m.apply(&RouteNetlinkMessage::DelNeighbour(gone), false);
    assert_eq!(resolved(&mut m), "unresolved");
}

#[test]
fn an_ipv6_gateway_is_found_by_its_link_local_address() {
    let mut m = mirror();
    add(&mut m, unicast("::/0", &[oif(TAP1), via("fe80::1")]));
    see(
        &mut m,
        neighbour(TAP0, "fe80::1", NeighbourState::Reachable, Some(1)),
    );
    see(
        &mut m,
        neighbour(TAP1, "fe80::1", NeighbourState::Reachable, Some(2)),
    );
    let update = m.update().unwrap();
    let Route::Hop(at) = to6(&update, "2001:db8::1") else {
        panic!()
    };
    assert_eq!(update.fib.hop(at).unwrap().mac, mac(2));
}

#[test]
fn vlans_are_interfaces_and_macvlans_are_further_addresses() {
    let mut m = mirror();
    let vlan = [
        LinkAttribute::Link(TAP1),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(100)])),
        ]),
    ];
    let macvlan = [
        LinkAttribute::Link(TAP0),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan)]),
    ];
    m.apply(&link(30, "tap1.100", &vlan), false);
    m.apply(&link(31, "vrrp.51", &macvlan), false);
    add(&mut m, unicast("10.0.0.0/24", &[oif(30)]));
    add(&mut m, unicast("10.0.1.0/24", &[oif(31)]));
    let u = m.update().unwrap();
    let shape: Vec<_> = u
        .interfaces
        .iter()
        .map(|i| (i.ifname.as_str(), i.port.0, i.vlan.0))
        .collect();
    assert_eq!(
        shape,
        [("tap0", 0, 0), ("tap1", 1, 0), ("tap1.100", 1, 100)]
    );
    assert_eq!(u.interfaces[0].other_macs, [mac(31)]);
    assert_eq!(to4(&u, "10.0.0.7"), unresolved4(2, "10.0.0.7"));
    assert_eq!(to4(&u, "10.0.1.7"), unresolved4(0, "10.0.1.7"));
    assert_eq!(m.ifindex(InterfaceIndex(2)), Some(30));
    assert_eq!(u.fib.interfaces().len(), 3);
}

#[test]
fn a_link_that_goes_down_casts_doubt_on_all_routes() {
    let mut m = mirror();
    let RouteNetlinkMessage::NewLink(mut down) = link(TAP0, "tap0", &[]) else {
        panic!()
    };
    down.header.flags = LinkFlags::Up;
    m.apply(&RouteNetlinkMessage::NewLink(down.clone()), false);
    assert_eq!(m.doubts(), Doubts::ALL);
    assert_eq!(m.doubts(), Doubts::default(), "asking settles it");
    m.apply(&RouteNetlinkMessage::DelLink(down), false);
    assert_eq!(m.doubts(), Doubts::ALL);
    assert_eq!(m.gone().as_deref(), Some("tap0"));
    assert_eq!(m.gone(), None, "told once");
    assert_eq!(m.update().unwrap().fib.interfaces().len(), 1);
}

#[test]
fn a_bridge_that_loses_a_port_does_not_delete_it() {
    let mut m = mirror();
    let RouteNetlinkMessage::NewLink(mut port) = link(TAP0, "tap0", &[]) else {
        panic!()
    };
    port.header.interface_family = AddressFamily::Bridge;
    m.apply(&RouteNetlinkMessage::DelLink(port), false);
    assert_eq!(m.gone(), None);
    assert_eq!(m.update().unwrap().fib.interfaces().len(), 2);
}

#[test]
fn next_hops_of_servers() {
    let mut m = mirror();
    add(&mut m, unicast("10.0.0.0/24", &[oif(TAP0)]));
    add(
        &mut m,
        unicast("10.0.0.128/25", &[oif(TAP0), via("10.0.0.9")]),
    );
    add(&mut m, unicast("10.9.0.0/16", &[oif(OTHER)]));
    add(
        &mut m,
        route("10.0.0.1/32", 255, RouteType::Local, &[oif(TAP0)]),
    );
    let hop = |to: &str| {
        m.next_hop(to.parse().unwrap())
            .map(|h| (h.ifindex, h.address.to_string()))
    };
    assert_eq!(hop("10.0.0.7"), Some((TAP0, "10.0.0.7".into())));
    assert_eq!(hop("10.0.0.200"), Some((TAP0, "10.0.0.9".into())));
    for none in ["10.0.0.1", "10.9.0.1", "192.0.2.1", "2001:db8::1"] {
        assert_eq!(hop(none), None, "{none}");
    }
}
