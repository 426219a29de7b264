//! The engine on the memory ports: what goes in, what comes out, what was
//! counted, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{CLIENT, SERVER, Seen, VIP, director, one, service, snapshot};
use pvs_dataplane::reason::{DropReason, Loss};
use pvs_oracle::frames::{self, from_client, from_server, server_mac, tcp, udp};
use pvs_oracle::scenario::{self, at};
use pvs_oracle::{Director, Side};
use pvs_proto::wire::tcp::{ACK, SYN};
use pvs_proto::{Addr4, MacAddr};
use pvs_sched::{Counters, Load, Method, ServerIndex, Transport};
use std::net::SocketAddr;

#[test]
fn nat_translates_the_request_to_the_server_and_the_reply_to_the_client() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let out = d
        .send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
        )
        .unwrap();
    let (side, request) = one(out);
    assert_eq!(side, Side::Server);
    let macs = (server_mac(1), frames::DIRECTOR_SERVER_MAC);
    assert_eq!(
        request,
        Seen {
            macs,
            src: at(CLIENT),
            dst: at(SERVER),
            ttl: 63,
            len: 54
        }
    );

    let out = d
        .send(
            Side::Server,
            &from_server(1, &tcp(at(SERVER), at(CLIENT), SYN | ACK, b"")),
        )
        .unwrap();
    let (side, reply) = one(out);
    assert_eq!(side, Side::Client);
    let macs = (frames::CLIENT_MAC, frames::DIRECTOR_CLIENT_MAC);
    assert_eq!(
        reply,
        Seen {
            macs,
            src: at(VIP),
            dst: at(CLIENT),
            ttl: 63,
            len: 54
        }
    );

    d.send(
        Side::Client,
        &from_client(&tcp(at(CLIENT), at(VIP), ACK, b"GET /")),
    )
    .unwrap();
    let counted = Counters {
        connections: 1,
        in_packets: 2,
        out_packets: 1,
        in_bytes: 85,
        out_bytes: 40,
    };
    assert_eq!(d.counters(ServerIndex(1)), counted);
    assert_eq!(
        d.load(ServerIndex(1)),
        Load {
            active: 1,
            inactive: 0
        }
    );
    let conns = d.connections();
    assert_eq!(conns.len(), 1);
    assert_eq!(
        (conns[0].state, conns[0].expires_secs),
        ("ESTABLISHED", 900)
    );
    assert_eq!(
        (conns[0].client, conns[0].virtual_, conns[0].server),
        (at(CLIENT), at(VIP), at(SERVER))
    );
    assert_eq!(d.losses(), []);
    assert!(d.punted().is_empty());
}

#[test]
fn nat_and_dr_do_the_same_for_ipv6() {
    let (vip, client, rs) = ("[fd00::100]:80", "[fd77::1]:4001", "[fd01::2]:8080");
    let mut d = director(Transport::Tcp, vip, &[(rs, Method::Masquerade)]);
    let (side, request) = one(d
        .send(
            Side::Client,
            &from_client(&tcp(at(client), at(vip), SYN, b"")),
        )
        .unwrap());
    assert_eq!(
        (side, request.src, request.dst, request.ttl),
        (Side::Server, at(client), at(rs), 63)
    );
    let out = d
        .send(
            Side::Server,
            &from_server(2, &tcp(at(rs), at(client), SYN | ACK, b"")),
        )
        .unwrap();
    let (side, reply) = one(out);
    assert_eq!(
        (side, reply.src, reply.dst, reply.ttl),
        (Side::Client, at(vip), at(client), 63)
    );

    let mut d = director(Transport::Tcp, vip, &[("[fd01::3]:80", Method::Route)]);
    let (side, request) = one(d
        .send(
            Side::Client,
            &from_client(&tcp(at(client), at(vip), SYN, b"")),
        )
        .unwrap());
    assert_eq!(
        (side, request.dst, request.macs.0, request.ttl),
        (Side::Server, at(vip), server_mac(3), 63)
    );
}

#[test]
fn dr_changes_the_link_layer_and_the_ttl_alone() {
    let mut d = director(
        Transport::Udp,
        "10.0.0.100:53",
        &[("192.168.1.5:53", Method::Route)],
    );
    let packet = udp(at(CLIENT), at("10.0.0.100:53"), b"query");
    let out = d.send(Side::Client, &from_client(&packet)).unwrap();
    let (side, request) = one(out.clone());
    assert_eq!(
        (side, request.macs),
        (Side::Server, (server_mac(5), frames::DIRECTOR_SERVER_MAC))
    );
    assert_eq!(
        (request.src, request.dst, request.ttl),
        (at(CLIENT), at("10.0.0.100:53"), 63)
    );
    assert_eq!(
        out[0].1[14 + 12..],
        packet[12..],
        "nothing behind the header checksum changed"
    );
    let counted = Counters {
        connections: 1,
        in_packets: 1,
        in_bytes: 33,
        ..Counters::default()
    };
    assert_eq!(d.counters(ServerIndex(1)), counted);
    assert_eq!(
        d.load(ServerIndex(1)),
        Load {
            active: 0,
            inactive: 1
        },
        "UDP is never active"
    );
    assert_eq!(
        (d.connections()[0].state, d.connections()[0].expires_secs),
        ("UDP", 300)
    );
}

#[test]
fn nat_fills_in_an_absent_udp_checksum() {
    let mut d = director(
        Transport::Udp,
        "10.0.0.100:53",
        &[("192.168.1.1:5353", Method::Masquerade)],
    );
    let mut packet = udp(at(CLIENT), at("10.0.0.100:53"), b"query");
    packet[26..28].fill(0);
    let out = d.send(Side::Client, &from_client(&packet)).unwrap();
    let ip = &out[0].1[14..];
    let (src, dst) = (
        Addr4::from_wire([10, 9, 0, 1]),
        Addr4::from_wire([192, 168, 1, 1]),
    );
    assert!(pvs_proto::checksum::is_right(src, dst, pvs_proto::Protocol::UDP, &ip[20..]).unwrap());
    assert_ne!(ip[26..28], [0, 0]);
}

#[test]
fn padding_behind_the_packet_is_cut_off() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let mut frame = from_client(&tcp(at(CLIENT), at(VIP), SYN, b""));
    frame.extend([0; 6]);
    let (_, request) = one(d.send(Side::Client, &frame).unwrap());
    assert_eq!(request.len, 54);
    assert_eq!(d.counters(ServerIndex(1)).in_bytes, 40);
}

#[test]
fn round_robin_over_three_servers_goes_from_the_last_added_to_the_first() {
    let servers =
        ["192.168.1.1:80", "192.168.1.2:80", "192.168.1.3:80"].map(|s| (s, Method::Route));
    let mut d = director(Transport::Tcp, VIP, &servers);
    let picks: Vec<MacAddr> = (0..6)
        .map(|n| {
            let client = SocketAddr::new(at(CLIENT).ip(), 5000 + n);
            one(d
                .send(Side::Client, &from_client(&tcp(client, at(VIP), SYN, b"")))
                .unwrap())
            .1
            .macs
            .0
        })
        .collect();
    assert_eq!(picks, [3, 2, 1, 3, 2, 1].map(server_mac));
}

#[test]
fn a_burst_keeps_its_order_within_a_flow() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    d.send(
        Side::Client,
        &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
    )
    .unwrap();
    for n in 0..100u8 {
        assert!(
            d.cable(Side::Client)
                .send(&from_client(&tcp(at(CLIENT), at(VIP), ACK, &[n])))
        );
    }
    d.settle();
    let order: Vec<u8> = core::iter::from_fn(|| d.cable(Side::Server).receive_bytes())
        .map(|f| *f.last().unwrap())
        .collect();
    assert_eq!(order, (0..100).collect::<Vec<u8>>());
}

#[test]
fn a_cell_that_is_another_servers_now_does_not_lead_to_the_old_one() {
    let mut d = director(
        Transport::Udp,
        "10.0.0.100:53",
        &[("192.168.1.1:53", Method::Route)],
    );
    let packet = |port| {
        from_client(&udp(
            SocketAddr::new(at(CLIENT).ip(), port),
            at("10.0.0.100:53"),
            b"x",
        ))
    };
    assert_eq!(
        one(d.send(Side::Client, &packet(1)).unwrap()).1.macs.0,
        server_mac(1)
    );
    let other = service(
        Transport::Udp,
        "10.0.0.100:53",
        &[("192.168.1.2:53", Method::Route)],
    );
    d.configure(snapshot(2, Some(other)));
    assert_eq!(
        one(d.send(Side::Client, &packet(2)).unwrap()).1.macs.0,
        server_mac(2)
    );
}

#[test]
fn every_drop_is_counted_under_its_reason() {
    let lost = |d: &Director| d.losses();
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let good = tcp(at(CLIENT), at(VIP), SYN, b"");
    let other_host = frames::ethernet(
        MacAddr([2, 9, 9, 9, 9, 9]),
        frames::CLIENT_MAC,
        0x0800,
        &good,
    );
    let martian = from_client(&tcp(at("127.0.0.1:1"), at(VIP), SYN, b""));
    let mut old = good.clone();
    old[8] = 1;
    old[10..12].fill(0);
    let sum = pvs_proto::checksum::Sum::of(&old[..20]).finish();
    old[10..12].copy_from_slice(&sum.to_be_bytes());
    for frame in [other_host, martian] {
        assert!(d.send(Side::Client, &frame).unwrap().is_empty());
    }
    d.send(Side::Client, &from_client(&old)).unwrap();
    assert_eq!(
        lost(&d),
        [
            ("other_host", 1),
            ("martian_source", 1),
            ("ttl_exceeded", 1)
        ]
    );
    assert_eq!(
        d.counters(ServerIndex(1)).in_packets,
        1,
        "the expired one counts, as in the kernel"
    );

    let mut d = director(Transport::Tcp, VIP, &[]);
    d.send(Side::Client, &from_client(&good)).unwrap();
    assert_eq!(lost(&d), [("no_server", 1)]);
}

#[test]
fn packets_of_a_removed_server_are_dropped_and_its_replies_still_pass() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    d.send(
        Side::Client,
        &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
    )
    .unwrap();
    d.configure(snapshot(2, Some(service(Transport::Tcp, VIP, &[]))));
    assert!(
        d.send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at(VIP), ACK, b""))
        )
        .unwrap()
        .is_empty()
    );
    assert_eq!(d.lost(Loss::Dropped(DropReason::ServerRemoved)), 1);
    let out = d
        .send(
            Side::Server,
            &from_server(1, &tcp(at(SERVER), at(CLIENT), SYN | ACK, b"")),
        )
        .unwrap();
    assert_eq!(one(out).1.src, at(VIP));
    let counted = Counters {
        connections: 1,
        in_packets: 1,
        in_bytes: 40,
        ..Counters::default()
    };
    assert_eq!(d.counters(ServerIndex(1)), counted, "neither is counted");
}

#[test]
fn two_clients_whose_replies_would_be_alike_get_two_servers_or_one_is_refused() {
    let mut d = Director::new().unwrap();
    let mut snapshot = snapshot(1, None);
    for (n, vip) in [(0, "10.0.0.100:80"), (1, "10.0.0.101:80")] {
        let service = scenario::service(n, Transport::Tcp, at(vip), true);
        let server = scenario::server(at(SERVER), Method::Masquerade);
        snapshot.put(service.with_server(ServerIndex(n + 1), server));
    }
    d.configure(snapshot);
    let out = d
        .send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at("10.0.0.100:80"), SYN, b"")),
        )
        .unwrap();
    assert_eq!(one(out).1.dst, at(SERVER));
    let out = d
        .send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at("10.0.0.101:80"), SYN, b"")),
        )
        .unwrap();
    assert!(out.is_empty());
    assert_eq!(d.losses(), [("reply_collision", 1)]);
}
