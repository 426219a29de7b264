//! The tunnel method: every byte of the outer header, in all four pairs of families, and what fits.

use crate::common::dns::{CLIENT, CLIENT6, PAIRS, SERVER, SERVER6, VIP, VIP6};
use crate::common::{director, sent, service, snapshot};
use etherparse::{IpNumber, NetSlice, SlicedPacket};
use pvs_dataplane::fib::{FibBuilder, Interface, Neighbour, OwnAddress, Target};
use pvs_oracle::frames::{from_client, server_mac, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side, frames, laboratory_with, scenario};
use pvs_proto::{Addr4, Addr6, MacAddr, V4, V6, VlanId};
use pvs_sched::{Counters, Load, Method, ServerIndex, Transport};
use std::net::IpAddr;

fn tunnel(vip: &str, server: &str) -> Director {
    director(Transport::Udp, vip, &[(server, Method::Tunnel)])
}

/// What an independent decoder reads in an outer header: source, destination, what is in it, hop
/// limit, and where the packet within begins.
fn outer(frame: &[u8]) -> (IpAddr, IpAddr, IpNumber, u8, usize) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let h = ip.header();
            assert_eq!(
                h.header_checksum(),
                h.to_header().calc_header_checksum(),
                "outer checksum"
            );
            assert_eq!(usize::from(h.total_len()), frame.len() - 14);
            let (src, dst) = (h.source_addr().into(), h.destination_addr().into());
            (src, dst, h.protocol(), h.ttl(), 34)
        }
        NetSlice::Ipv6(ip) => {
            let h = ip.header();
            assert_eq!(usize::from(h.payload_length()), frame.len() - 54);
            assert_eq!(h.flow_label().value(), 0);
            let (src, dst) = (h.source_addr().into(), h.destination_addr().into());
            (src, dst, h.next_header(), h.hop_limit(), 54)
        }
        other => panic!("{other:?}"),
    }
}

/// An IPv4 packet with these bytes of type of service, fragment field and time to live.
fn with_fields(mut packet: Vec<u8>, tos: u8, fragment: u8, ttl: u8) -> Vec<u8> {
    (packet[1], packet[6], packet[8]) = (tos, fragment, ttl);
    packet[10..12].fill(0);
    let sum = pvs_proto::checksum::Sum::of(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// A datagram that makes an IP packet of this length.
fn of_length(client: &str, vip: &str, len: usize) -> Vec<u8> {
    let header = if client.starts_with('[') { 48 } else { 28 };
    udp(at(client), at(vip), &vec![b'a'; len - header])
}

#[test]
fn the_outer_header_is_the_recorded_one() {
    let mut d = tunnel(VIP, SERVER);
    let packet = udp(at(CLIENT), at(VIP), b"12345");
    let frame = sent(&mut d, &packet);
    #[rustfmt::skip]
    let expected = [
        // Ethernet: server 1, the director, IPv4.
        2, 0, 0, 0, 1, 1,  2, 0, 0, 0, 0, 2,  0x08, 0x00,
        // 53 bytes, identification 0, DF, hop limit 63, IPv4 within.
        0x45, 0, 0, 53,  0, 0, 0x40, 0,  63, 4, 0xb7, 0x75,
        192, 168, 1, 254,  192, 168, 1, 1,
    ];
    assert_eq!(frame[..34], expected);
    assert_eq!(frame[34..], with_fields(packet, 0, 0x40, 63));
}

#[test]
fn each_family_goes_through_either() {
    for (client, vip, server) in PAIRS {
        let mut d = tunnel(vip, server);
        let packet = udp(at(client), at(vip), b"query");
        let frame = sent(&mut d, &packet);
        assert_eq!(frame[..6], server_mac(1).0);
        assert_eq!(frame[6..12], frames::DIRECTOR_SERVER_MAC.0);
        let (src, dst, within, ttl, inner) = outer(&frame);
        let (own, protocol): (IpAddr, _) = (
            match server {
                SERVER => "192.168.1.254",
                _ => "fd01::fe",
            }
            .parse()
            .unwrap(),
            match client {
                CLIENT => IpNumber::IPV4,
                _ => IpNumber::IPV6,
            },
        );
        assert_eq!((src, dst), (own, at(server).ip()));
        assert_eq!((within, ttl), (protocol, 63), "{vip} by {server}");
        // The packet within is the client's, one hop later; the bytes between hold no address.
        let (hop_limit, addresses) = if client == CLIENT { (8, 12) } else { (7, 8) };
        assert_eq!(frame[inner + hop_limit], 63);
        assert_eq!(frame[inner + addresses..], packet[addresses..]);
        SlicedPacket::from_ip(&frame[inner..]).unwrap();
        if server == SERVER {
            let df = if client == CLIENT { [0x40, 0] } else { [0, 0] };
            assert_eq!(frame[20..22], df, "DF is IPv4's within IPv4 alone");
        }
    }
}

#[test]
fn type_of_service_df_and_hop_limit_come_from_within() {
    let mut d = tunnel(VIP, SERVER);
    let packet = udp(at(CLIENT), at(VIP), b"query");
    for (tos, outside) in [
        (0x10, 0x10),
        (0xb9, 0xb9),
        (0xb8, 0xb8),
        (0x03, 0x02),
        (0xbb, 0xba),
    ] {
        let inner = with_fields(packet.clone(), tos, 0x40, 64);
        let frame = sent(&mut d, &inner);
        assert_eq!(
            (frame[15], frame[35]),
            (outside, tos),
            "CE becomes ECT(0) outside"
        );
    }
    for (ttl, left) in [(255, 254), (2, 1)] {
        let frame = sent(&mut d, &with_fields(packet.clone(), 0, 0x40, ttl));
        assert_eq!((frame[22], frame[42]), (left, left));
    }
    let mut ids = vec![];
    for _ in 0..3 {
        let frame = sent(&mut d, &with_fields(packet.clone(), 0, 0, 64));
        outer(&frame);
        assert_eq!(frame[20..22], [0, 0], "without DF within, none outside");
        ids.push([frame[18], frame[19]]);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "then each packet has its own identification");

    let mut d = tunnel(VIP6, SERVER6);
    let mut packet = udp(at(CLIENT6), at(VIP6), b"query");
    // Class 0xbb, flow label 0x12345.
    packet[..4].copy_from_slice(&[0x6b, 0xb1, 0x23, 0x45]);
    let frame = sent(&mut d, &packet);
    assert_eq!(frame[14..18], [0x6b, 0xa0, 0, 0]);
    assert_eq!(frame[54..58], packet[..4]);
}

#[test]
fn what_fits_is_the_path_without_the_outer_header() {
    for (client, vip, server) in PAIRS {
        let header = if server == SERVER { 20 } else { 40 };
        for mtu in [1500, 1400] {
            let mut d = tunnel(vip, server);
            d.route(laboratory_with(&[], mtu, 2, |_, _| {}).unwrap());
            let room = mtu as usize - header;
            let frame = sent(&mut d, &of_length(client, vip, room));
            assert_eq!(frame.len(), 14 + mtu as usize);
            let longer = from_client(&of_length(client, vip, room + 1));
            let out = d.send(Side::Client, &longer).unwrap();
            assert!(out.iter().all(|(side, _)| *side == Side::Client));
            assert_eq!(d.losses(), [("too_big", 1)]);
        }
    }
}

#[test]
fn a_path_that_is_too_narrow_for_any_host_carries_no_tunnel() {
    // RFC 791: 68 bytes; RFC 8200: 1280.
    for (server, narrow, least) in [(SERVER, 87, 88), (SERVER6, 1319, 1320)] {
        let packet = of_length(CLIENT, VIP, 40);
        let mut d = tunnel(VIP, server);
        d.route(laboratory_with(&[], narrow, 2, |_, _| {}).unwrap());
        assert_eq!(d.send(Side::Client, &from_client(&packet)).unwrap(), []);
        assert_eq!(d.losses(), [("too_big", 1)]);
        d.route(laboratory_with(&[], least, 3, |_, _| {}).unwrap());
        sent(&mut d, &packet);
    }
}

#[test]
fn counts_and_lists_the_packet_within() {
    let mut d = Director::new().unwrap();
    let servers = [(SERVER6, Method::Tunnel)];
    let mut configuration = snapshot(1, Some(service(Transport::Udp, VIP, &servers)));
    d.configure(configuration.clone());
    sent(&mut d, &udp(at(CLIENT), at(VIP), b"query"));
    let counted = Counters {
        connections: 1,
        in_packets: 1,
        in_bytes: 33,
        ..Counters::default()
    };
    let load = Load {
        active: 0,
        inactive: 1,
    };
    assert_eq!(
        (d.counters(ServerIndex(1)), d.load(ServerIndex(1))),
        (counted, load)
    );
    let conns = d.connections();
    let c = conns[0];
    assert_eq!(
        (c.client, c.virtual_, c.server),
        (at(CLIENT), at(VIP), at(SERVER6))
    );
    assert_eq!((c.method, c.state), (Method::Tunnel, "UDP"));

    // The server goes: its connections are still listed with it, and their packets dropped.
    configuration.version = 2;
    configuration.put(service(Transport::Udp, VIP, &[]));
    d.configure(configuration);
    assert_eq!(d.connections()[0].server, at(SERVER6));
    let out = d.send(
        Side::Client,
        &from_client(&udp(at(CLIENT), at(VIP), b"query")),
    );
    assert_eq!(out.unwrap(), []);
    assert_eq!(d.losses(), [("server_removed", 1)]);
    assert_eq!(d.counters(ServerIndex(1)), counted);
}

#[test]
fn a_server_in_another_network_is_reached_through_the_gateway() {
    let mut d = tunnel(VIP, "203.0.113.7:53");
    let far = |a| Addr4::from_wire(a);
    let fib = laboratory_with(&[], 1500, 2, |b, [_, r1]| {
        let gateway = far([192, 168, 1, 9]);
        b.route::<V4>(far([203, 0, 113, 0]), 24, Target::Via(r1, gateway));
    });
    d.route(fib.unwrap());
    let frame = sent(&mut d, &udp(at(CLIENT), at(VIP), b"query"));
    let (src, dst, ..) = outer(&frame);
    assert_eq!(frame[..6], server_mac(9).0);
    assert_eq!(
        (src, dst),
        (at("192.168.1.254:0").ip(), at("203.0.113.7:0").ip())
    );
}

#[test]
fn a_tunnel_follows_its_routes_and_its_server() {
    let mut d = tunnel(VIP, SERVER);
    let packet = udp(at(CLIENT), at(VIP), b"query");
    assert_eq!(sent(&mut d, &packet)[..6], server_mac(1).0);
    // The same cell, another server: after the connection has ended.
    d.sleep_ms(301_000);
    d.configure(snapshot(
        2,
        Some(service(Transport::Udp, VIP, &[(SERVER6, Method::Tunnel)])),
    ));
    let (_, dst, ..) = outer(&sent(&mut d, &packet));
    assert_eq!(dst, at(SERVER6).ip());
    // The same server behind another neighbour.
    let fib = laboratory_with(&[], 1500, 3, |b, [_, r1]| {
        let (server, gateway) = (at(SERVER6).ip(), at("[fd01::5]:0").ip());
        let (IpAddr::V6(server), IpAddr::V6(gateway)) = (server, gateway) else {
            panic!("both are IPv6")
        };
        b.route::<V6>(
            Addr6::from(server),
            128,
            Target::Via(r1, Addr6::from(gateway)),
        );
    });
    d.route(fib.unwrap());
    assert_eq!(sent(&mut d, &packet)[..6], server_mac(5).0);
    assert_eq!(d.losses(), []);
}

#[test]
fn a_packet_that_waits_for_its_neighbour_leaves_in_its_tunnel() {
    let mut d = tunnel(VIP, "192.168.1.77:53");
    let packet = udp(at(CLIENT), at(VIP), b"query");
    assert_eq!(d.send(Side::Client, &from_client(&packet)).unwrap(), []);
    assert_eq!(d.wishes(), [at("192.168.1.77:0").ip()]);
    let mac = MacAddr([2, 0, 0, 0, 1, 77]);
    let fib = laboratory_with(&[], 1500, 2, |b, [_, r1]| {
        let server = Addr4::from_wire([192, 168, 1, 77]);
        b.neighbour::<V4>(r1, server, Neighbour::Resolved(mac));
    });
    d.route(fib.unwrap());
    let frame = d.cable(Side::Server).receive_bytes().unwrap();
    let (_, dst, ..) = outer(&frame);
    assert_eq!((&frame[..6], dst), (&mac.0[..], at("192.168.1.77:0").ip()));
    assert_eq!(frame[34 + 12..], packet[12..]);
}

#[test]
fn a_server_without_way_or_source_gets_nothing() {
    let mut d = tunnel(VIP, SERVER);
    d.route(scenario::fib_with(
        Some(Neighbour::Resolved(server_mac(1))),
        2,
        true,
    ));
    let packet = from_client(&udp(at(CLIENT), at(VIP), b"query"));
    assert_eq!(d.send(Side::Client, &packet).unwrap(), []);
    assert_eq!(
        d.losses(),
        [("no_source", 1)],
        "no interface has an address"
    );
}

#[test]
fn vlan_tags_stay_on_their_side() {
    for (client_tag, server_tag) in [(7, 0), (0, 8), (7, 8)] {
        let mut b = FibBuilder::new();
        let mut side = |side: Side, tag, mac| {
            b.interface(Interface {
                port: side.port(),
                vlan: VlanId(tag),
                mac,
                other_macs: vec![],
                mtu: 1500,
            })
        };
        let c1 = side(Side::Client, client_tag, frames::DIRECTOR_CLIENT_MAC);
        let r1 = side(Side::Server, server_tag, frames::DIRECTOR_SERVER_MAC);
        let server = Addr4::from_wire([192, 168, 1, 1]);
        b.route::<V4>(Addr4(0), 0, Target::OnLink(c1));
        b.route::<V4>(server, 32, Target::OnLink(r1));
        b.route::<V4>(Addr4::from_wire([10, 0, 0, 100]), 32, Target::Local);
        b.own_address::<V4>(OwnAddress::plain(
            r1,
            Addr4::from_wire([192, 168, 1, 254]),
            24,
        ));
        b.neighbour::<V4>(r1, server, Neighbour::Resolved(server_mac(1)));
        let mut d = tunnel(VIP, SERVER);
        d.route(b.build(2));

        let packet = udp(at(CLIENT), at(VIP), b"query");
        let mut frame = from_client(&packet);
        if client_tag > 0 {
            frame.splice(12..12, [0x81, 0, 0, client_tag as u8]);
        }
        let (_, mut left) = d.send(Side::Client, &frame).unwrap().remove(0);
        if server_tag > 0 {
            let tag: Vec<u8> = left.splice(12..16, []).collect();
            assert_eq!(tag, [0x81, 0, 0, server_tag as u8]);
        }
        let (_, dst, .., inner) = outer(&left);
        assert_eq!(dst, at(SERVER).ip());
        assert_eq!(left[inner + 12..], packet[12..]);
    }
}
