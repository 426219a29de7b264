//! The route table against a naive longest-prefix match, and the order of the kernel's tables.

use super::*;
use proptest::prelude::*;
use pvs_proto::Address;

fn a4(text: &str) -> Addr4 {
    text.parse::<std::net::Ipv4Addr>().unwrap().into()
}

fn interface(n: u8) -> Interface {
    Interface {
        port: PortIndex(n.into()),
        vlan: VlanId::NONE,
        mac: MacAddr([2, 0, 0, 0, 0, n]),
        other_macs: vec![],
        mtu: 1500,
    }
}

#[test]
fn a_packet_takes_the_longest_prefix_and_its_neighbour() {
    let mut b = FibBuilder::new();
    let eth0 = b.interface(interface(0));
    let eth1 = b.interface(interface(1));
    b.route::<V4>(a4("0.0.0.0"), 0, Target::Via(eth0, a4("10.9.9.1")))
        .route::<V4>(a4("10.9.9.0"), 24, Target::OnLink(eth0))
        .route::<V4>(a4("192.168.1.0"), 24, Target::OnLink(eth1))
        .route::<V4>(a4("192.168.1.254"), 32, Target::Local)
        .route::<V4>(a4("172.16.0.0"), 12, Target::Unreachable)
        .neighbour::<V4>(
            eth0,
            a4("10.9.9.1"),
            Neighbour::Resolved(MacAddr([2, 0, 0, 0, 0, 0xc1])),
        )
        .neighbour::<V4>(eth1, a4("192.168.1.2"), Neighbour::Failed);
    let fib = b.build(7);
    let Route::Hop(hop) = fib.route::<V4>(a4("8.8.8.8")) else {
        panic!("the gateway is resolved")
    };
    assert_eq!(
        fib.hop(hop).map(|h| (h.mac, h.source)),
        Some((MacAddr([2, 0, 0, 0, 0, 0xc1]), interface(0).mac))
    );
    assert_eq!(
        fib.route::<V4>(a4("192.168.1.1")),
        Route::Unresolved(eth1, a4("192.168.1.1"))
    );
    let dead = a4("192.168.1.2");
    assert_eq!(fib.route::<V4>(dead), Route::Failed(eth1, dead));
    assert_eq!(fib.route::<V4>(a4("192.168.1.254")), Route::Local);
    assert_eq!(fib.route::<V4>(a4("172.31.255.255")), Route::Unreachable);
    assert!(matches!(fib.route::<V4>(a4("172.32.0.0")), Route::Hop(_)));
    assert_eq!(fib.route::<V6>(Addr6::default()), Route::Unreachable);
}

#[test]
fn the_local_table_is_asked_first() {
    let mut b = FibBuilder::new();
    let eth0 = b.interface(interface(0));
    b.route::<V4>(a4("10.50.0.0"), 16, Target::Local)
        .route::<V4>(a4("10.50.1.0"), 24, Target::OnLink(eth0));
    let fib = b.build(1);
    assert!(fib.is_local::<V4>(a4("10.50.1.1")));
    assert!(fib.is_local::<V4>(a4("10.50.255.255")));
    assert!(!fib.is_local::<V4>(a4("10.51.0.0")));
}

#[test]
fn a_frame_s_interface_is_found_by_port_and_vlan() {
    let mut b = FibBuilder::new();
    let on = |port, vlan, mac| Interface {
        vlan: VlanId(vlan),
        port: PortIndex(port),
        ..interface(mac)
    };
    let eth0 = b.interface(on(0, 0, 1));
    let macvlan = b.interface(on(0, 0, 2));
    let eth2 = b.interface(on(2, 0, 3));
    let vlans: Vec<_> = (1..4095).map(|vlan| b.interface(on(2, vlan, 4))).collect();
    b.deafen(vlans[6]).deafen(eth2);
    b.route::<V4>(a4("10.0.0.0"), 8, Target::OnLink(macvlan));
    let resolved = Neighbour::Resolved(MacAddr::BROADCAST);
    b.neighbour::<V4>(macvlan, a4("10.0.0.1"), resolved);
    let fib = b.build(1);
    let found = |port, vlan| fib.interface(PortIndex(port), VlanId(vlan)).map(|i| i.0);
    assert_eq!(found(0, 0), Some(eth0));
    assert_eq!(found(0, 1), None);
    assert_eq!(found(1, 0), None, "no such port");
    assert_eq!(found(2, 0), None, "down");
    assert_eq!(found(2, 7), None, "down");
    for vlan in (1..4095).filter(|vlan| *vlan != 7) {
        assert_eq!(found(2, vlan), Some(vlans[usize::from(vlan) - 1]));
    }
    assert_eq!(found(2, 4095), None);
    assert_eq!(found(3, 0), None);
    let Route::Hop(hop) = fib.route::<V4>(a4("10.0.0.1")) else {
        panic!("the neighbour is resolved")
    };
    let source = fib.hop(hop).map(|hop| hop.source);
    assert_eq!(source, Some(interface(2).mac), "a macvlan sends as itself");
}

fn a6(text: &str) -> Addr6 {
    text.parse::<std::net::Ipv6Addr>().unwrap().into()
}

#[test]
fn the_source_is_the_one_that_linux_would_take() {
    let mut b = FibBuilder::new();
    let eth0 = b.interface(interface(0));
    let eth1 = b.interface(interface(1));
    b.route::<V4>(a4("0.0.0.0"), 0, Target::Via(eth0, a4("10.2.0.1")))
        .route::<V4>(a4("10.1.0.0"), 24, Target::OnLink(eth0))
        .route::<V4>(a4("10.3.0.0"), 24, Target::OnLink(eth1))
        .route::<V4>(a4("10.9.0.0"), 16, Target::Elsewhere)
        .route::<V4>(a4("10.1.0.5"), 32, Target::Local)
        .way::<V4>(
            a4("10.4.0.0"),
            16,
            Way {
                source: Some(a4("10.7.7.7")),
                ..Target::OnLink(eth0).into()
            },
        )
        .own_address::<V4>(OwnAddress::plain(eth0, a4("10.1.0.254"), 24))
        .own_address::<V4>(OwnAddress::plain(eth0, a4("10.2.0.254"), 24));
    let fib = b.build(1);
    for (to, from) in [
        ("8.8.8.8", Some("10.2.0.254")),
        ("10.1.0.9", Some("10.1.0.254")),
        ("10.3.0.9", Some("10.1.0.254")),
        ("10.4.0.9", Some("10.7.7.7")),
        ("10.1.0.5", Some("10.1.0.5")),
        ("10.9.0.1", None),
    ] {
        assert_eq!(fib.source::<V4>(a4(to)), from.map(a4), "{to}");
    }
    assert_eq!(fib.source::<V6>(a6("2001:db8::1")), None);
}

#[test]
fn the_source_of_ipv6_follows_rfc_6724() {
    let mut b = FibBuilder::new();
    let eth0 = b.interface(interface(0));
    let eth1 = b.interface(interface(1));
    b.route::<V6>(a6("::"), 0, Target::Via(eth0, a6("fe80::1")))
        .route::<V6>(a6("fe80::"), 64, Target::OnLink(eth0))
        .route::<V6>(a6("2001:db8:9::"), 48, Target::OnLink(eth1));
    let mut own = |exit, address, link_scope, deprecated| {
        let plain = OwnAddress::plain(exit, a6(address), 64);
        b.own_address::<V6>(OwnAddress {
            link_scope,
            deprecated,
            ..plain
        });
    };
    own(eth0, "2001:db8:8::d", false, true);
    own(eth0, "2001:db8:1::1", false, false);
    own(eth0, "2001:db8:2::1", false, false);
    own(eth0, "fd00:2::1", false, false);
    own(eth0, "fe80::fe", true, false);
    own(eth1, "fe80::ff", true, false);
    let fib = b.build(1);
    for (to, from) in [
        ("2001:db8:2::9", "2001:db8:2::1"),
        ("2001:db8:1::9", "2001:db8:1::1"),
        // Nearer to the deprecated one.
        ("2001:db8:8::9", "2001:db8:1::1"),
        ("fd00:9::9", "fd00:2::1"),
        ("fe80::9", "fe80::fe"),
        // The exit has none of that scope, so another interface lends one.
        ("2001:db8:9::9", "2001:db8:1::1"),
    ] {
        assert_eq!(fib.source::<V6>(a6(to)), Some(a6(from)), "{to}");
    }
}

/// A default route over gateways of these weights; the failed ones do not answer.
fn several(weights: &[u16], failed: &[usize], linkdown: &[usize]) -> Fib {
    let mut b = FibBuilder::new();
    let eth0 = b.interface(interface(0));
    let gateway = |at: usize| Addr4::from_wire([192, 0, 2, at as u8]);
    let leg = |(at, weight): (usize, &u16)| Leg {
        interface: eth0,
        gateway: Some(gateway(at)),
        weight: *weight,
        linkdown: linkdown.contains(&at),
    };
    let target = b.several::<V4>(weights.iter().enumerate().map(leg).collect());
    b.route::<V4>(a4("0.0.0.0"), 0, target);
    for at in failed {
        b.neighbour::<V4>(eth0, gateway(*at), Neighbour::Failed);
    }
    b.build(1)
}

/// Which gateway each of many destinations is sent to.
fn spread(fib: &Fib) -> Vec<usize> {
    let to = |n: u32| match fib.route::<V4>(Addr4(0x0a00_0000 + n * 7)) {
        Route::Unresolved(_, gateway) | Route::Failed(_, gateway) => (gateway.0 & 0xff) as usize,
        other => panic!("{other:?}"),
    };
    (0..20_000).map(to).collect()
}

#[test]
fn destinations_are_spread_over_several_next_hops_by_weight() {
    let weights = [1, 2, 5, 0];
    let found = spread(&several(&weights, &[], &[]));
    for (at, weight) in weights.iter().enumerate() {
        let expected = f64::from((*weight).max(1)) / 9.0;
        let share = found.iter().filter(|to| **to == at).count() as f64 / 20_000.0;
        assert!(
            (share - expected).abs() < 0.06,
            "{at}: {share} for {expected}"
        );
    }
}

#[test]
fn a_next_hop_that_fails_gives_away_its_own_destinations_only() {
    let before = spread(&several(&[1; 4], &[], &[]));
    for now in [several(&[1; 4], &[2], &[]), several(&[1; 4], &[], &[2])] {
        for (was, is) in before.iter().zip(spread(&now)) {
            assert!(if *was == 2 { is != 2 } else { is == *was });
        }
    }
    let fewer = spread(&several(&[1; 3], &[], &[]));
    assert!(
        before
            .iter()
            .zip(fewer)
            .all(|(was, is)| is == *was || *was == 3)
    );
    // With no better one left: carrier without an answer, then anything.
    assert!(
        spread(&several(&[1; 3], &[1], &[0, 2]))
            .iter()
            .all(|to| *to == 1)
    );
    assert!(spread(&several(&[1; 4], &[0, 1, 2, 3], &[])) == before);
    assert!(spread(&several(&[1; 4], &[1], &[0, 1, 2, 3])) == before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn agrees_with_a_naive_longest_prefix_match(
        routes in prop::collection::vec((any::<u32>(), 0u8..=32, 0u16..4), 0..40),
        probes in prop::collection::vec(any::<u32>(), 1..20),
    ) {
        let mut b = FibBuilder::new();
        for (prefix, len, i) in &routes {
            b.route::<V4>(Addr4(*prefix), *len, Target::OnLink(InterfaceIndex(*i)));
        }
        let fib = b.build(1);
        let edges = routes.iter().flat_map(|(p, len, _)| {
            let start = Addr4(*p).masked(*len).0;
            let end = start | u32::MAX.checked_shr((*len).into()).unwrap_or(0);
            [start, end, start.wrapping_sub(1), end.wrapping_add(1)]
        });
        for probe in probes.iter().copied().chain(edges) {
            let naive = routes.iter().rev()
                .filter(|(p, len, _)| Addr4(*p).masked(*len) == Addr4(probe).masked(*len))
                .max_by_key(|(_, len, _)| *len);
            // Of equal lengths the later call wins: max_by_key takes the last,
            // so compare prefixes only.
            let naive = naive.map(|(_, len, _)| *len);
            let best = naive.and_then(|len| routes.iter().rev()
                .find(|(p, l, _)| *l == len && Addr4(*p).masked(len) == Addr4(probe).masked(len)));
            let expected = best.map_or(Route::Unreachable, |(_, _, i)| Route::Unresolved(InterfaceIndex(*i), Addr4(probe)));
            prop_assert_eq!(fib.route::<V4>(Addr4(probe)), expected);
        }
    }
}
