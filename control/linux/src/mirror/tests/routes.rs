//! Routes: which one wins, and when a listing is needed.

use super::*;
use netlink_packet_route::route::{RouteFlags, RouteMetric, RouteNextHop, RouteNextHopFlags};
use std::collections::BTreeMap;

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

/// `proto bgp` and `proto static`: Linux keeps both, and the mirror does not see which is which.
#[test]
fn a_second_route_that_looks_the_same_asks_for_a_listing() {
    let mut m = mirror();
    let route = unicast("10.0.0.0/8", &[oif(TAP0), via("192.0.2.1")]);
    add(&mut m, route.clone());
    m.apply(&RouteNetlinkMessage::NewRoute(route.clone()), true);
    assert_eq!(m.doubts(), Doubts::default(), "replaced by itself");
    add(&mut m, route);
    assert!(m.doubts().v4);
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

fn leg(index: u32, gateway: &str, flags: RouteNextHopFlags, weight: u8) -> RouteNextHop {
    let mut leg = RouteNextHop::default();
    leg.interface_index = index;
    leg.flags = flags;
    leg.hops = weight - 1;
    leg.attributes = vec![via(gateway)];
    leg
}

/// The gateways that addresses of 203.0.113.0/24 are sent to, with how many are.
fn gateways(update: &Update) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for last in 0..=255 {
        let to = format!("203.0.113.{last}");
        let gateway = match to4(update, &to) {
            Route::Unresolved(_, gateway) => gateway.to_string(),
            other => format!("{other:?}"),
        };
        *found.entry(gateway).or_default() += 1;
    }
    found
}

#[test]
fn of_several_next_hops_the_usable_ones_are_taken() {
    let mut m = mirror();
    let none = RouteNextHopFlags::empty();
    let (dead, down) = (RouteNextHopFlags::Dead, RouteNextHopFlags::Linkdown);
    let legs = [
        leg(TAP0, "192.0.2.1", dead, 1),
        leg(TAP0, "192.0.2.2", down, 1),
        leg(OTHER, "192.0.2.9", none, 1),
        leg(TAP1, "192.0.2.3", none, 1),
        leg(TAP1, "192.0.2.4", none, 3),
    ];
    for (kept, expected) in [
        (5, vec!["192.0.2.3", "192.0.2.4"]),
        (4, vec!["192.0.2.3"]),
        (3, vec!["192.0.2.2"]),
        (1, vec!["Unreachable"]),
    ] {
        let legs = legs.iter().take(kept).cloned().collect();
        let message = unicast("0.0.0.0/0", &[RouteAttribute::MultiPath(legs)]);
        let listed = ListedRoute::read(&RouteNetlinkMessage::NewRoute(message));
        m.list_routes(true, listed.into_iter().collect());
        let found = gateways(&m.update().unwrap());
        assert_eq!(found.keys().collect::<Vec<_>>(), expected, "{kept}");
        if let (Some(one), Some(three)) = (found.get("192.0.2.3"), found.get("192.0.2.4")) {
            assert!(three > one, "weights: {found:?}");
        }
    }
}

#[test]
fn one_of_several_that_does_not_answer_is_left_until_it_does() {
    use NeighbourState as S;
    let mut m = mirror();
    let none = RouteNextHopFlags::empty();
    let legs = vec![
        leg(TAP0, "192.0.2.1", none, 1),
        leg(TAP1, "192.0.2.3", none, 1),
    ];
    let message = unicast("0.0.0.0/0", &[RouteAttribute::MultiPath(legs)]);
    add(&mut m, message);
    let both = gateways(&m.update().unwrap());
    assert_eq!(both.len(), 2);
    let only_other = BTreeMap::from([("192.0.2.3".to_owned(), 256)]);
    see(&mut m, neighbour(TAP0, "192.0.2.1", S::Failed, None));
    assert_eq!(gateways(&m.update().unwrap()), only_other);
    // Asked again, it has not answered yet.
    see(&mut m, neighbour(TAP0, "192.0.2.1", S::Incomplete, None));
    assert!(m.update().is_none());
    let gone = neighbour(TAP0, "192.0.2.1", S::Failed, None);
    m.apply(&RouteNetlinkMessage::DelNeighbour(gone), false);
    assert_eq!(gateways(&m.update().unwrap()), both, "the same as before");
}

#[test]
fn a_route_has_an_mtu_of_its_own() {
    use NeighbourState as S;
    let mut m = mirror();
    let mtu = |mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]);
    add(&mut m, unicast("10.0.0.0/24", &[oif(TAP0)]));
    add(&mut m, unicast("10.0.0.128/25", &[oif(TAP0), mtu(1300)]));
    let gateway = |more: RouteAttribute| [oif(TAP0), via("10.0.0.1"), more];
    add(&mut m, unicast("10.1.0.0/16", &gateway(mtu(1280))));
    add(&mut m, unicast("10.2.0.0/16", &gateway(mtu(9000))));
    for address in ["10.0.0.1", "10.0.0.200"] {
        see(&mut m, neighbour(TAP0, address, S::Reachable, Some(1)));
    }
    let u = m.update().unwrap();
    let mtu_to = |to| match to4(&u, to) {
        Route::Hop(at) => u.fib.hop(at).unwrap().mtu,
        other => panic!("{other:?}"),
    };
    assert_eq!(mtu_to("10.0.0.1"), 1500);
    assert_eq!(mtu_to("10.0.0.200"), 1300);
    assert_eq!(mtu_to("10.1.1.1"), 1280);
    assert_eq!(mtu_to("10.2.1.1"), 1500, "never more than the interface's");
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
        let hops = m.next_hops(to.parse().unwrap());
        assert!(hops.len() < 2);
        hops.first().map(|h| (h.ifindex, h.address.to_string()))
    };
    assert_eq!(hop("10.0.0.7"), Some((TAP0, "10.0.0.7".into())));
    assert_eq!(hop("10.0.0.200"), Some((TAP0, "10.0.0.9".into())));
    for none in ["10.0.0.1", "10.9.0.1", "192.0.2.1", "2001:db8::1"] {
        assert_eq!(hop(none), None, "{none}");
    }
}
