//! GUE and GRE tunnels: every byte between the outer header and the packet within, in all pairs of
//! families, and what fits.

use crate::common::dns::{CLIENT, PAIRS, SERVER, SERVER6, VIP};
use crate::common::{sent, snapshot};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pvs_oracle::frames::{from_client, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side, laboratory_with, scenario};
use pvs_sched::{Method, ServerConfig, ServerIndex, Transport, Tunnel, TunnelKind};
use std::collections::BTreeSet;

/// Every kind, and what it puts between.
const KINDS: [(TunnelKind, u16, usize); 5] = [
    (TunnelKind::Gue, 0, 12),
    (TunnelKind::Gue, 1, 12),
    (TunnelKind::Gue, 2, 12),
    (TunnelKind::Gre, 0, 4),
    (TunnelKind::Gre, 1, 8),
];

fn tunnel(vip: &str, server: &str, kind: TunnelKind, flags: u16) -> Director {
    let config = ServerConfig {
        tunnel: Tunnel {
            kind,
            port: 6080,
            flags,
        },
        ..scenario::server(at(server), Method::Tunnel)
    };
    let service = scenario::service(0, Transport::Udp, at(vip), true);
    let mut d = Director::new().unwrap();
    d.configure(snapshot(
        1,
        Some(service.with_server(ServerIndex(1), config)),
    ));
    d
}

/// The one's complement sum of 16-bit words, as RFC 1071 has it in words.
fn naive_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// A datagram that makes an IP packet of this length.
fn of_length(client: &str, vip: &str, len: usize) -> Vec<u8> {
    let header = if client.starts_with('[') { 48 } else { 28 };
    udp(at(client), at(vip), &vec![b'a'; len - header])
}

#[test]
fn each_kind_goes_through_each_family() {
    for (client, vip, server) in PAIRS {
        for (kind, flags, between) in KINDS {
            let mut d = tunnel(vip, server, kind, flags);
            // An odd length: the last byte counts too.
            let packet = udp(at(client), at(vip), b"query");
            let frame = sent(&mut d, &packet);
            let header = if server == SERVER { 20 } else { 40 };
            let within = &frame[14 + header + between..];
            let addresses = if client == CLIENT { 12 } else { 8 };
            assert_eq!(within[addresses..], packet[addresses..]);
            SlicedPacket::from_ip(within).unwrap();
            let what = format!("{vip} by {server}: {kind:?} {flags}");
            match kind {
                TunnelKind::Gue => gue(&frame, client == CLIENT, flags, &what),
                _ => gre(&frame[14 + header..], client == CLIENT, flags, &what),
            }
        }
    }
}

fn gue(frame: &[u8], is_v4: bool, flags: u16, what: &str) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(TransportSlice::Udp(outer)) = &packet.transport else {
        panic!("{what}: {packet:?}")
    };
    assert!((32_768..=60_999).contains(&outer.source_port()), "{what}");
    assert_eq!(outer.destination_port(), 6080);
    let payload = outer.payload();
    assert_eq!(usize::from(outer.length()), 8 + payload.len());
    assert_eq!(payload[..4], [0, if is_v4 { 4 } else { 41 }, 0, 0]);
    let header = outer.to_header();
    let right = match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => header.calc_checksum_ipv4(&ip.header().to_header(), payload),
        NetSlice::Ipv6(ip) => header.calc_checksum_ipv6(&ip.header().to_header(), payload),
        other => panic!("{other:?}"),
    };
    let expected = if flags == 0 { 0 } else { right.unwrap() };
    assert_eq!(outer.checksum(), expected, "{what}");
}

fn gre(header: &[u8], is_v4: bool, flags: u16, what: &str) {
    let protocol = if is_v4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    let checksum = if flags == 0 { 0 } else { 0x80 };
    assert_eq!(header[..4], [[checksum, 0], protocol].concat(), "{what}");
    if flags == 1 {
        assert_eq!(header[6..8], [0, 0]);
        assert_eq!(naive_sum(header), 0xffff, "{what}");
    }
}

#[test]
fn what_fits_is_the_path_without_what_is_put_around() {
    for (client, vip, server) in PAIRS {
        for (kind, flags, between) in KINDS {
            let mut d = tunnel(vip, server, kind, flags);
            let header = between + if server == SERVER { 20 } else { 40 };
            let room = 1500 - header;
            let frame = sent(&mut d, &of_length(client, vip, room));
            assert_eq!(frame.len(), 1514);
            let longer = from_client(&of_length(client, vip, room + 1));
            let out = d.send(Side::Client, &longer).unwrap();
            assert_eq!(out.len(), 1);
            // "Fragmentation needed" has the MTU in its last two bytes,
            // "packet too big" in all four.
            let told = if client == CLIENT { 14 + 26 } else { 14 + 46 };
            let (side, error) = &out[0];
            assert_eq!(*side, Side::Client);
            assert_eq!(error[told..told + 2], (room as u16).to_be_bytes());
            assert_eq!(d.losses(), [("too_big", 1)]);
        }
    }
}

#[test]
fn a_path_that_is_too_narrow_for_any_host_carries_no_tunnel() {
    for (server, least) in [(SERVER, 68 + 20), (SERVER6, 1280 + 40)] {
        for (kind, flags, between) in KINDS {
            let packet = of_length(CLIENT, VIP, 40);
            let mut d = tunnel(VIP, server, kind, flags);
            let least = (least + between) as u32;
            d.route(laboratory_with(&[], least - 1, 2, |_, _| {}).unwrap());
            assert_eq!(d.send(Side::Client, &from_client(&packet)).unwrap(), []);
            assert_eq!(d.losses(), [("too_big", 1)]);
            d.route(laboratory_with(&[], least, 3, |_, _| {}).unwrap());
            sent(&mut d, &packet);
        }
    }
}

#[test]
fn a_flow_has_one_source_port_and_flows_have_several() {
    let mut d = tunnel(VIP, SERVER, TunnelKind::Gue, 0);
    let mut ports = BTreeSet::new();
    for n in 0..64 {
        let client = format!("10.9.0.1:{}", 4000 + n);
        let mut of_flow = BTreeSet::new();
        for payload in [&b"one"[..], b"another"] {
            let frame = sent(&mut d, &udp(at(&client), at(VIP), payload));
            of_flow.insert([frame[34], frame[35]]);
        }
        assert_eq!(of_flow.len(), 1, "{client}");
        ports.extend(of_flow);
    }
    assert!(ports.len() > 60, "{}", ports.len());
}

#[test]
fn an_edit_of_the_kind_takes_effect_at_the_next_packet() {
    let packet = udp(at(CLIENT), at(VIP), b"query");
    let mut d = tunnel(VIP, SERVER, TunnelKind::Gre, 0);
    assert_eq!(sent(&mut d, &packet)[23], 47);
    let service = scenario::service(0, Transport::Udp, at(VIP), true);
    let plain = scenario::server(at(SERVER), Method::Tunnel);
    d.configure(snapshot(
        2,
        Some(service.with_server(ServerIndex(1), plain)),
    ));
    assert_eq!(sent(&mut d, &packet)[23], 4);
}
