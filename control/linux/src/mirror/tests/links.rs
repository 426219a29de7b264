//! Links, neighbours, rules, and versions.

use super::*;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVlan, LinkInfo};
use netlink_packet_route::neighbour::NeighbourExtFlags;
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use pvs_proto::VlanId;

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
fn a_neighbour_is_watched_while_the_kernel_manages_it() {
    let mut m = mirror();
    add(&mut m, unicast("10.0.0.0/24", &[oif(TAP0)]));
    let watched = |m: &mut Mirror| {
        let update = m.update().unwrap();
        let Route::Hop(at) = to4(&update, "10.0.0.7") else {
            panic!()
        };
        update.fib.hop(at).unwrap().watched
    };
    let heard_of = neighbour(TAP0, "10.0.0.7", NeighbourState::Stale, Some(7));
    see(&mut m, heard_of.clone());
    assert!(!watched(&mut m));
    let mut managed = heard_of.clone();
    let flags = NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed);
    managed.attributes.push(flags);
    see(&mut m, managed);
    assert!(watched(&mut m));
    see(&mut m, heard_of);
    assert!(!watched(&mut m));
}

#[test]
fn states_of_neighbours() {
    use NeighbourState as S;
    let mut m = mirror();
    add(&mut m, unicast("10.0.0.0/24", &[oif(TAP0)]));
    let resolved = |m: &mut Mirror| match to4(&m.update().unwrap(), "10.0.0.7") {
        Route::Hop(_) => "hop",
        Route::Unresolved(..) => "unresolved",
        Route::Failed(..) => "failed",
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
    assert_eq!(resolved(&mut m), "failed");
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
    assert!(hop.watched, "the operator's is the operator's business");
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
        [
            ("tap0", 0, 0),
            ("tap1", 1, 0),
            ("tap1.100", 1, 100),
            ("vrrp.51", 0, 0)
        ]
    );
    assert_eq!(u.interfaces[0].other_macs, [mac(31)]);
    assert_eq!(to4(&u, "10.0.0.7"), unresolved4(2, "10.0.0.7"));
    assert_eq!(to4(&u, "10.0.1.7"), unresolved4(3, "10.0.1.7"));
    assert_eq!(m.ifindex(InterfaceIndex(2)), Some(30));
    assert_eq!(m.ifindex(InterfaceIndex(3)), Some(31));
    see(
        &mut m,
        neighbour(31, "10.0.1.7", NeighbourState::Reachable, Some(7)),
    );
    let u = m.update().unwrap();
    let Route::Hop(at) = to4(&u, "10.0.1.7") else {
        panic!()
    };
    let hop = u.fib.hop(at).unwrap();
    assert_eq!((hop.source, hop.port), (mac(31), PortIndex(0)));
}

#[test]
fn an_interface_that_is_down_receives_nothing() {
    let mut m = mirror();
    let receives = |u: &Update| u.fib.interface(PortIndex(0), VlanId::NONE).is_some();
    assert!(receives(&m.update().unwrap()));
    let RouteNetlinkMessage::NewLink(mut down) = link(TAP0, "tap0", &[]) else {
        panic!()
    };
    down.header.flags = LinkFlags::empty();
    m.apply(&RouteNetlinkMessage::NewLink(down), false);
    let u = m.update().unwrap();
    assert!(!receives(&u));
    assert_eq!(
        m.ifindex(InterfaceIndex(1)),
        Some(TAP1),
        "numbered as before"
    );
    m.apply(&link(TAP0, "tap0", &[]), false);
    assert!(receives(&m.update().unwrap()));
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
