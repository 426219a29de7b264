//! The engine on the memory ports: what goes in, what comes out, what was counted, and nothing else.
#![allow(
    clippy::field_reassign_with_default,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pvs_dataplane::fib::{FibBuilder, Interface, InterfaceIndex, Neighbour, Target};
use pvs_dataplane::punt::PuntClass;
use pvs_dataplane::reason::{DropReason, Loss};
use pvs_oracle::frames::{self, from_client, from_server, server_mac, tcp, udp};
use pvs_oracle::{Director, Side};
use pvs_proto::wire::tcp::{ACK, FIN, RST, SYN};
use pvs_proto::{Addr4, MacAddr, V4, VlanId};
use pvs_sched::{
    Counters, Load, Method, SchedulerName, ServerConfig, ServerIndex, ServerKey, Service,
    ServiceConfig, ServiceFlags, ServiceIndex, ServiceKey, Snapshot, Transport, Tunnel,
};
use std::net::SocketAddr;

const VIP: &str = "10.0.0.100:80";
const CLIENT: &str = "10.9.0.1:4001";
const SERVER: &str = "192.168.1.1:8080";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn service(protocol: Transport, vip: &str, local: bool) -> Service {
    let key = ServiceKey::Address {
        protocol,
        address: at(vip).ip(),
        port: at(vip).port(),
    };
    let config = ServiceConfig {
        key,
        scheduler: SchedulerName::Rr,
        flags: ServiceFlags::default(),
        persistence: None,
        engine: None,
    };
    Service::new(ServiceIndex(0), config, local)
}

fn server(addr: &str, method: Method) -> ServerConfig {
    ServerConfig {
        key: ServerKey {
            address: at(addr).ip(),
            port: at(addr).port(),
        },
        method,
        weight: 1,
        upper_threshold: 0,
        lower_threshold: 0,
        tunnel: Tunnel::default(),
    }
}

fn director(protocol: Transport, vip: &str, servers: &[(&str, Method)]) -> Director {
    let mut director = Director::new().unwrap();
    let mut service = service(protocol, vip, true);
    for (n, (addr, method)) in (1u32..).zip(servers) {
        service = service.with_server(ServerIndex(n), server(addr, *method));
    }
    let mut snapshot = Snapshot::default();
    snapshot.put(service);
    director.configure(snapshot);
    director
}

/// A frame as an independent decoder reads it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    macs: (MacAddr, MacAddr),
    src: SocketAddr,
    dst: SocketAddr,
    ttl: u8,
    len: usize,
}

fn seen(frame: &[u8]) -> Seen {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let link = frame;
    let mac = |at: usize| MacAddr(link[at..at + 6].try_into().unwrap());
    let (src, dst, ttl) = match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let h = ip.header();
            assert_eq!(
                h.header_checksum(),
                h.to_header().calc_header_checksum(),
                "IPv4 checksum"
            );
            (h.source_addr().into(), h.destination_addr().into(), h.ttl())
        }
        NetSlice::Ipv6(ip) => {
            let h = ip.header();
            (
                h.source_addr().into(),
                h.destination_addr().into(),
                h.hop_limit(),
            )
        }
        other => panic!("{other:?}"),
    };
    let (sport, dport) = match packet.transport.as_ref().unwrap() {
        TransportSlice::Tcp(t) => {
            let sum = match packet.net.as_ref().unwrap() {
                NetSlice::Ipv4(ip) => {
                    t.calc_checksum_ipv4(ip.header().source(), ip.header().destination())
                }
                NetSlice::Ipv6(ip) => {
                    t.calc_checksum_ipv6(ip.header().source(), ip.header().destination())
                }
                _ => unreachable!(),
            };
            assert_eq!(t.checksum(), sum.unwrap(), "TCP checksum");
            (t.source_port(), t.destination_port())
        }
        TransportSlice::Udp(u) => {
            assert_ne!(u.checksum(), 0, "UDP checksum");
            (u.source_port(), u.destination_port())
        }
        other => panic!("{other:?}"),
    };
    Seen {
        macs: (mac(0), mac(6)),
        src: SocketAddr::new(src, sport),
        dst: SocketAddr::new(dst, dport),
        ttl,
        len: frame.len(),
    }
}

/// The one frame that came out, and where.
fn one(out: Vec<(Side, Vec<u8>)>) -> (Side, Seen) {
    assert_eq!(out.len(), 1, "{out:?}");
    (out[0].0, seen(&out[0].1))
}

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
fn a_service_takes_packets_only_while_its_address_is_local() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let syn = from_client(&tcp(at(CLIENT), at(VIP), SYN, b""));
    let ack = from_client(&tcp(at(CLIENT), at(VIP), ACK, b""));
    assert_eq!(d.send(Side::Client, &syn).unwrap().len(), 1);
    // The address goes away: neither a new connection nor the old one is balanced.
    d.route(fib_with(Some(Neighbour::Resolved(server_mac(1))), 2, None));
    for frame in [&syn, &ack] {
        assert!(d.send(Side::Client, frame).unwrap().is_empty());
        assert_eq!(
            d.punted(),
            [(PuntClass::Forwarded, Side::Client, frame.clone())]
        );
    }
    // It comes back, and so does the connection.
    d.route(fib_with(
        Some(Neighbour::Resolved(server_mac(1))),
        3,
        Some(VIP),
    ));
    assert_eq!(one(d.send(Side::Client, &ack).unwrap()).1.dst, at(SERVER));
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
    let mut snapshot = Snapshot::default();
    snapshot.version = 2;
    let service = service(Transport::Udp, "10.0.0.100:53", true);
    snapshot.put(service.with_server(ServerIndex(1), server("192.168.1.2:53", Method::Route)));
    d.configure(snapshot);
    assert_eq!(
        one(d.send(Side::Client, &packet(2)).unwrap()).1.macs.0,
        server_mac(2)
    );
}

#[test]
fn nobody_is_a_client_from_an_address_of_the_directors_own() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    for source in [VIP, "10.9.9.254:4001"] {
        assert!(
            d.send(
                Side::Client,
                &from_client(&tcp(at(source), at(VIP), SYN, b""))
            )
            .unwrap()
            .is_empty()
        );
    }
    assert_eq!(d.losses(), [("martian_source", 2)]);
}

#[test]
fn translation_to_the_director_itself_is_refused_with_a_reason() {
    let mut d = director(
        Transport::Tcp,
        VIP,
        &[("10.9.9.254:8080", Method::Masquerade)],
    );
    assert!(
        d.send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at(VIP), SYN, b""))
        )
        .unwrap()
        .is_empty()
    );
    assert_eq!(d.losses(), [("local_server", 1)]);
}

#[test]
fn a_flood_of_broadcasts_does_not_keep_arp_from_linux() {
    let mut d = director(Transport::Tcp, VIP, &[]);
    let noise = udp(at("10.9.9.7:5000"), at("255.255.255.255:5000"), b"noise");
    let noise = frames::ethernet(MacAddr::BROADCAST, frames::CLIENT_MAC, 0x0800, &noise);
    for _ in 0..1100 {
        assert!(d.send(Side::Client, &noise).unwrap().is_empty());
    }
    let arp = frames::ethernet(MacAddr::BROADCAST, frames::CLIENT_MAC, 0x0806, &[0; 28]);
    d.send(Side::Client, &arp).unwrap();
    let (control, others): (Vec<_>, Vec<_>) = d
        .punted()
        .into_iter()
        .partition(|p| p.0 == PuntClass::Control);
    assert_eq!(others.len(), 1024, "as many as a ring holds");
    assert_eq!(control, [(PuntClass::Control, Side::Client, arp)]);
}

#[test]
fn what_is_not_load_balancing_goes_to_linux_by_class() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let arp = frames::ethernet(MacAddr::BROADCAST, frames::CLIENT_MAC, 0x0806, &[0; 28]);
    let ssh = from_client(&tcp(at(CLIENT), at("10.9.9.254:22"), SYN, b""));
    let bgp = from_client(&tcp(at(CLIENT), at("10.9.9.254:179"), SYN, b""));
    let outside = from_server(1, &tcp(at("192.168.1.1:40000"), at("8.8.8.8:80"), SYN, b""));
    let no_connection = from_client(&tcp(at(CLIENT), at(VIP), ACK, b""));
    for (side, frame, class) in [
        (Side::Client, arp, PuntClass::Control),
        (Side::Client, ssh, PuntClass::Local),
        (Side::Client, bgp, PuntClass::Control),
        (Side::Server, outside, PuntClass::Forwarded),
        (Side::Client, no_connection, PuntClass::Refused),
    ] {
        assert!(d.send(side, &frame).unwrap().is_empty());
        assert_eq!(d.punted(), [(class, side, frame)]);
    }
    assert_eq!(d.losses(), []);
}

#[test]
fn frames_of_linux_leave_by_the_port_they_are_meant_for() {
    let mut d = director(Transport::Tcp, VIP, &[]);
    let frame = frames::ethernet(
        MacAddr::BROADCAST,
        frames::DIRECTOR_SERVER_MAC,
        0x0806,
        &[7; 28],
    );
    assert!(d.inject(Side::Server, &frame));
    d.settle();
    assert_eq!(d.cable(Side::Server).receive_bytes(), Some(frame));
    assert_eq!(d.cable(Side::Client).receive_bytes(), None);
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
    for frame in [other_host, martian, from_client(&old)] {
        assert!(d.send(Side::Client, &frame).unwrap().is_empty());
    }
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
    let mut snapshot = Snapshot::default();
    snapshot.put(service(Transport::Tcp, VIP, true));
    d.configure(snapshot);
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
fn a_syn_on_a_connection_that_is_over_is_scheduled_anew() {
    let servers = ["192.168.1.1:80", "192.168.1.2:80"].map(|s| (s, Method::Masquerade));
    let mut d = director(Transport::Tcp, VIP, &servers);
    let mut syn = || {
        one(d
            .send(
                Side::Client,
                &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
            )
            .unwrap())
        .1
        .dst
    };
    assert_eq!(
        (syn(), syn()),
        (at("192.168.1.2:80"), at("192.168.1.2:80")),
        "a repeated SYN"
    );
    for (side, packet) in [
        (
            Side::Client,
            from_client(&tcp(at(CLIENT), at(VIP), ACK, b"")),
        ),
        (
            Side::Client,
            from_client(&tcp(at(CLIENT), at(VIP), RST, b"")),
        ),
    ] {
        d.send(side, &packet).unwrap();
    }
    assert_eq!(d.connections()[0].state, "CLOSE");
    let out = d
        .send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
        )
        .unwrap();
    assert_eq!(one(out).1.dst, at("192.168.1.1:80"));
    assert_eq!(d.load(ServerIndex(2)), Load::default());
    assert_eq!(d.connections().len(), 1);
}

#[test]
fn a_connection_expires_and_its_server_has_one_less() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    for flags in [SYN, ACK, FIN | ACK] {
        d.send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at(VIP), flags, b"")),
        )
        .unwrap();
    }
    assert_eq!(
        (d.connections()[0].state, d.connections()[0].expires_secs),
        ("CLOSE_WAIT", 60)
    );
    assert_eq!(
        d.load(ServerIndex(1)),
        Load {
            active: 0,
            inactive: 1
        }
    );
    d.sleep_ms(59_900);
    assert_eq!(d.connections().len(), 1);
    d.sleep_ms(200);
    assert_eq!(d.connections().len(), 0);
    assert_eq!(d.load(ServerIndex(1)), Load::default());
}

#[test]
fn two_clients_whose_replies_would_be_alike_get_two_servers_or_one_is_refused() {
    let mut d = Director::new().unwrap();
    let mut snapshot = Snapshot::default();
    for (n, vip) in [(0, "10.0.0.100:80"), (1, "10.0.0.101:80")] {
        let mut s = service(Transport::Tcp, vip, true);
        s.index = ServiceIndex(n);
        snapshot.put(s.with_server(ServerIndex(n + 1), server(SERVER, Method::Masquerade)));
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

fn fib_with(
    neighbour: Option<Neighbour>,
    version: u32,
    vip: Option<&str>,
) -> pvs_dataplane::fib::Fib {
    let mut b = FibBuilder::new();
    let mut side = |side: Side, mac| {
        b.interface(Interface {
            port: side.port(),
            vlan: VlanId::NONE,
            mac,
            other_macs: vec![],
            mtu: 1500,
        })
    };
    let c1 = side(Side::Client, frames::DIRECTOR_CLIENT_MAC);
    let r1 = side(Side::Server, frames::DIRECTOR_SERVER_MAC);
    b.route::<V4>(Addr4(0), 0, Target::OnLink(c1));
    b.route::<V4>(Addr4::from_wire([192, 168, 1, 0]), 24, Target::OnLink(r1));
    if let Some(vip) = vip {
        let std::net::IpAddr::V4(addr) = at(vip).ip() else {
            panic!("{vip}")
        };
        b.route::<V4>(addr.into(), 32, Target::Local);
    }
    if let Some(state) = neighbour {
        b.neighbour::<V4>(InterfaceIndex(1), Addr4::from_wire([192, 168, 1, 1]), state);
    }
    b.build(version)
}

#[test]
fn packets_wait_for_the_neighbour_and_leave_in_order_when_it_is_known() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    d.route(fib_with(None, 2, Some(VIP)));
    for flags in [SYN, ACK] {
        assert!(
            d.send(
                Side::Client,
                &from_client(&tcp(at(CLIENT), at(VIP), flags, b""))
            )
            .unwrap()
            .is_empty()
        );
    }
    d.sleep_ms(1000);
    let mac = MacAddr([2, 7, 7, 7, 7, 7]);
    d.route(fib_with(Some(Neighbour::Resolved(mac)), 3, Some(VIP)));
    d.settle();
    let mut flags = Vec::new();
    while let Some(frame) = d.cable(Side::Server).receive_bytes() {
        assert_eq!((seen(&frame).dst, seen(&frame).macs.0), (at(SERVER), mac));
        flags.push(frame[14 + 20 + 13]);
    }
    assert_eq!(flags, [SYN, ACK]);
    assert_eq!(d.losses(), []);
}

#[test]
fn packets_that_wait_too_long_and_those_of_a_dead_neighbour_are_freed_and_counted() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let all = d.free_buffers();
    d.route(fib_with(None, 2, Some(VIP)));
    d.send(
        Side::Client,
        &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
    )
    .unwrap();
    assert_eq!(d.free_buffers(), all - 1);
    d.sleep_ms(3100);
    assert_eq!(d.losses(), [("neighbour_timeout", 1)]);
    d.route(fib_with(Some(Neighbour::Failed), 3, Some(VIP)));
    d.send(
        Side::Client,
        &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
    )
    .unwrap();
    assert_eq!(
        d.losses(),
        [("host_unreachable", 1), ("neighbour_timeout", 1)]
    );
    assert_eq!(d.free_buffers(), all);
}

#[test]
fn linux_is_asked_for_a_neighbour_and_for_a_dead_one_again() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let syn = from_client(&tcp(at(CLIENT), at(VIP), SYN, b""));
    d.route(fib_with(None, 2, Some(VIP)));
    d.send(Side::Client, &syn).unwrap();
    assert_eq!(
        d.wishes(),
        [at(SERVER).ip()],
        "once, while the packet waits"
    );
    d.sleep_ms(500);
    assert!(d.wishes().is_empty());
    d.route(fib_with(Some(Neighbour::Failed), 3, Some(VIP)));
    d.send(Side::Client, &syn).unwrap();
    assert_eq!(d.wishes(), [at(SERVER).ip()]);
    assert_eq!(d.losses(), [("host_unreachable", 2)]);
}

#[test]
fn a_neighbour_with_another_hardware_address_is_followed_at_once() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let to = |d: &mut Director, flags| {
        one(d
            .send(
                Side::Client,
                &from_client(&tcp(at(CLIENT), at(VIP), flags, b"")),
            )
            .unwrap())
        .1
        .macs
        .0
    };
    assert_eq!(to(&mut d, SYN), server_mac(1));
    let mac = MacAddr([2, 7, 7, 7, 7, 7]);
    d.route(fib_with(Some(Neighbour::Resolved(mac)), 2, Some(VIP)));
    assert_eq!(to(&mut d, ACK), mac);
}
