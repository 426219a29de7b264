//! The mirror as people look at it.

use super::*;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVlan, LinkInfo};
use pvs_proto::VlanId;

#[test]
fn taps_come_first_and_one_that_was_deleted_is_told() {
    let mut m = mirror();
    let vlan = [
        LinkAttribute::Link(TAP1),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(100)])),
        ]),
    ];
    let macvlan = [
        LinkAttribute::Link(30),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan)]),
    ];
    m.apply(&link(30, "tap1.100", &vlan), false);
    m.apply(&link(9, "vrrp.51", &macvlan), false);
    let mut gone = LinkMessage::default();
    gone.header.index = TAP0;
    m.apply(&RouteNetlinkMessage::DelLink(gone), false);
    let seen: Vec<_> = m
        .survey()
        .into_iter()
        .map(|s| (s.ifname, s.kind, s.port.0, s.gone, s.carrier))
        .collect();
    let wanted = [
        ("tap0", InterfaceKind::Tap, 0, true, false),
        ("tap1", InterfaceKind::Tap, 1, false, true),
        ("vrrp.51", InterfaceKind::Macvlan, 1, false, true),
        ("tap1.100", InterfaceKind::Vlan(VlanId(100)), 1, false, true),
    ];
    assert_eq!(
        seen,
        wanted.map(|(n, k, p, g, c)| (n.to_owned(), k, p, g, c))
    );
}

#[test]
fn how_an_address_is_reached() {
    let mut m = mirror();
    let reach = |m: &Mirror, to: &str| m.reach(to.parse().unwrap());
    assert_eq!(reach(&m, "10.0.0.7"), Reach::Unreachable);
    add(&mut m, unicast("10.0.0.0/24", &[oif(TAP0)]));
    add(
        &mut m,
        unicast("0.0.0.0/0", &[oif(OTHER), via("192.0.2.1")]),
    );
    add(
        &mut m,
        route("10.0.0.1/32", 255, RouteType::Local, &[oif(TAP0)]),
    );
    add(&mut m, route("10.9.0.0/16", 254, RouteType::BlackHole, &[]));
    assert_eq!(reach(&m, "10.0.0.7"), Reach::Port);
    assert_eq!(reach(&m, "10.0.0.1"), Reach::Local);
    assert_eq!(reach(&m, "10.9.0.1"), Reach::Unreachable);
    assert_eq!(reach(&m, "8.8.8.8"), Reach::Elsewhere(Some("eth9".into())));
    assert_eq!((m.amounts().routes_v4, m.amounts().routes_v6), (4, 0));
}
