//! ICMP errors about connections: whose they are, what becomes of them, and what is counted. The packets are those
//! that kernel IPVS was asked about; decoders are independent.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{CLIENT, director, service, snapshot, with_ttl};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::punt::PuntClass;
use pvs_dataplane::steering::{Steering, Toeplitz};
use pvs_oracle::frames::{from_client, from_server, ip, tcp, udp};
use pvs_oracle::scenario::{self, at};
use pvs_oracle::{Director, Side};
use pvs_proto::Protocol;
use pvs_proto::checksum::Sum;
use pvs_proto::wire::tcp::{ACK, SYN};
use pvs_sched::{Counters, Method, ServerIndex, Transport, Tunnel, TunnelKind};
use std::net::{IpAddr, SocketAddr};

const VIP: &str = "10.0.0.100:53";
const SERVER: &str = "192.168.1.1:5353";

/// Both families: client, service, server, a router on either side, and the director.
struct Family {
    client: &'static str,
    vip: &'static str,
    server: &'static str,
    router: &'static str,
    director: &'static str,
    protocol: Protocol,
    /// Types that are followed, and some that are not.
    followed: &'static [u8],
    others: &'static [u8],
}

const FAMILIES: [Family; 2] = [
    Family {
        client: CLIENT,
        vip: VIP,
        server: SERVER,
        router: "192.168.1.7",
        director: "192.168.1.254",
        protocol: Protocol::ICMP,
        followed: &[3, 4, 11],
        others: &[0, 5, 8, 12, 13, 200],
    },
    Family {
        client: "[fd77::1]:4001",
        vip: "[fd00::100]:53",
        server: "[fd01::1]:5353",
        router: "fd01::7",
        director: "fd01::fe",
        protocol: Protocol::ICMPV6,
        followed: &[1, 2, 3, 4, 100, 127],
        others: &[128, 129, 255],
    },
];

const SECOND: ServerIndex = ServerIndex(1);

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn icmp(src: IpAddr, dst: IpAddr, what: (u8, u8), rest: u32, quote: &[u8]) -> Vec<u8> {
    let protocol = match src {
        IpAddr::V4(_) => Protocol::ICMP,
        IpAddr::V6(_) => Protocol::ICMPV6,
    };
    let head = [&[what.0, what.1, 0, 0][..], &rest.to_be_bytes()].concat();
    ip(src, dst, protocol, [&head, quote].concat())
}

/// An error as an independent decoder reads it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    from: IpAddr,
    to: IpAddr,
    ttl: u8,
    what: (u8, u8),
    rest: u32,
    quote: Vec<u8>,
}

fn told(packet: &[u8]) -> Told {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    let (from, to, ttl): (IpAddr, IpAddr, u8) = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let h = ip.header();
            let sum = Sum::of(&packet[..usize::from(h.ihl()) * 4]).finish();
            assert_eq!(sum, 0, "IPv4 checksum");
            (h.source_addr().into(), h.destination_addr().into(), h.ttl())
        }
        NetSlice::Ipv6(ip) => {
            let h = ip.header();
            let (src, dst) = (h.source_addr(), h.destination_addr());
            (src.into(), dst.into(), h.hop_limit())
        }
        other => panic!("{other:?}"),
    };
    let bytes = match sliced.transport.as_ref().unwrap() {
        TransportSlice::Icmpv4(icmp) => {
            assert_eq!(Sum::of(icmp.slice()).finish(), 0, "ICMP checksum");
            icmp.slice()
        }
        TransportSlice::Icmpv6(icmp) => {
            let (IpAddr::V6(src), IpAddr::V6(dst)) = (from, to) else {
                panic!("ICMPv6 in IPv6")
            };
            assert!(icmp.is_checksum_valid(src.octets(), dst.octets()));
            icmp.slice()
        }
        other => panic!("{other:?}"),
    };
    Told {
        from,
        to,
        ttl,
        what: (bytes[0], bytes[1]),
        rest: u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
        quote: bytes[8..].to_vec(),
    }
}

/// The one frame that came out, without its link layer.
fn one(d: &Director, side: Side, out: Vec<(Side, Vec<u8>)>) -> Vec<u8> {
    assert_eq!(out.len(), 1, "{:?}", d.losses());
    assert_eq!(out[0].0, side);
    out[0].1[14..].to_vec()
}

impl Family {
    /// With a connection that has sent one packet.
    fn opened(&self, method: Method) -> Director {
        let server = match method {
            Method::Masquerade => self.server.to_owned(),
            _ => at(self.server).ip().to_string(),
        };
        let server = match method {
            Method::Masquerade => server,
            _ => SocketAddr::new(addr(&server), 53).to_string(),
        };
        let mut d = director(Transport::Udp, self.vip, &[(&server, method)]);
        let out = d.send(Side::Client, &from_client(&self.request())).unwrap();
        one(&d, Side::Server, out);
        d
    }

    fn request(&self) -> Vec<u8> {
        udp(at(self.client), at(self.vip), b"question")
    }

    /// The request as its server gets it.
    fn translated(&self) -> Vec<u8> {
        udp(at(self.client), at(self.server), b"question")
    }

    fn answer(&self, from: &str) -> Vec<u8> {
        udp(at(from), at(self.client), b"an answer")
    }
}

/// A quoted packet whose transport checksum is another's: it stays as it is.
fn with_checksum_of(mut quote: Vec<u8>, other: &[u8]) -> Vec<u8> {
    let at = if quote[0] >> 4 == 4 { 26 } else { 46 };
    quote[at..at + 2].copy_from_slice(&other[at..at + 2]);
    quote
}

fn counted(packets: [u64; 2], bytes: [usize; 2]) -> Counters {
    Counters {
        connections: 1,
        in_packets: 1 + packets[0],
        out_packets: packets[1],
        in_bytes: bytes[0] as u64,
        out_bytes: bytes[1] as u64,
    }
}

#[test]
fn a_servers_error_is_translated_to_the_client() {
    for f in &FAMILIES {
        let (request, seen) = (f.request(), f.translated());
        let mut d = f.opened(Method::Masquerade);
        let mut bytes = 0;
        for (n, kind) in f.followed.iter().enumerate() {
            for from in [at(f.server).ip(), addr(f.router)] {
                let error = icmp(from, at(f.client).ip(), (*kind, 4), 1200, &seen);
                let out = d.send(Side::Server, &from_server(1, &error)).unwrap();
                let expected = Told {
                    from: at(f.vip).ip(),
                    to: at(f.client).ip(),
                    ttl: 63,
                    what: (*kind, 4),
                    rest: 1200,
                    quote: with_checksum_of(request.clone(), &seen),
                };
                assert_eq!(told(&one(&d, Side::Client, out)), expected);
                bytes += error.len();
            }
            let packets = 2 * (n as u64 + 1);
            let expected = counted([0, packets], [request.len(), bytes]);
            assert_eq!(d.counters(SECOND), expected);
        }
        assert_eq!(d.losses(), []);
        assert_eq!(d.punted(), []);
    }
}

#[test]
fn a_clients_error_is_translated_to_the_server() {
    for f in &FAMILIES {
        let (quote, seen) = (f.answer(f.server), f.answer(f.vip));
        let mut d = f.opened(Method::Masquerade);
        let error = icmp(
            at(f.client).ip(),
            at(f.vip).ip(),
            (f.followed[0], 3),
            0,
            &seen,
        );
        let out = d.send(Side::Client, &from_client(&error)).unwrap();
        let expected = Told {
            from: at(f.client).ip(),
            to: at(f.server).ip(),
            ttl: 63,
            what: (f.followed[0], 3),
            rest: 0,
            quote: with_checksum_of(quote, &seen),
        };
        assert_eq!(told(&one(&d, Side::Server, out)), expected);
        let bytes = [f.request().len() + error.len(), 0];
        assert_eq!(d.counters(SECOND), counted([1, 0], bytes));

        // One that is cut right behind the ports will do, one that can't go on counts, one with a wrong sum does not.
        let header = if f.protocol == Protocol::ICMP { 20 } else { 40 };
        let cut = icmp(
            at(f.client).ip(),
            at(f.vip).ip(),
            (f.followed[0], 3),
            0,
            &seen[..header + 4],
        );
        let out = d.send(Side::Client, &from_client(&cut)).unwrap();
        assert_eq!(told(&one(&d, Side::Server, out)).to, at(f.server).ip());
        let old = with_ttl(error.clone(), 1);
        assert_eq!(d.send(Side::Client, &from_client(&old)).unwrap(), []);
        let mut wrong = error.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(d.send(Side::Client, &from_client(&wrong)).unwrap(), []);
        let bytes = [bytes[0] + cut.len() + old.len(), 0];
        assert_eq!(d.counters(SECOND), counted([3, 0], bytes));
        assert_eq!(d.losses(), [("ttl_exceeded", 1), ("icmp_checksum", 1)]);
    }
}

#[test]
fn without_translation_replies_are_linuxs_and_requests_go_to_the_server() {
    for f in &FAMILIES {
        for method in [Method::Route, Method::Tunnel] {
            let mut d = f.opened(method);
            let error = icmp(
                addr(f.router),
                at(f.client).ip(),
                (f.followed[0], 1),
                0,
                &f.request(),
            );
            let frame = from_server(1, &error);
            assert_eq!(d.send(Side::Server, &frame).unwrap(), []);
            assert_eq!(d.punted(), [(PuntClass::Forwarded, Side::Server, frame)]);
            let old = from_server(1, &with_ttl(error.clone(), 1));
            assert_eq!(d.send(Side::Server, &old).unwrap(), []);
            assert_eq!(d.punted().len(), 1);
            let bytes = [f.request().len(), error.len()];
            assert_eq!(d.counters(SECOND), counted([0, 1], bytes));

            // A wrong checksum is the server's to judge.
            let mut error = icmp(
                at(f.client).ip(),
                at(f.vip).ip(),
                (f.followed[0], 3),
                0,
                &f.answer(f.vip),
            );
            *error.last_mut().unwrap() ^= 1;
            let out = d.send(Side::Client, &from_client(&error)).unwrap();
            let left = one(&d, Side::Server, out);
            let inner = left.len() - error.len();
            assert_eq!(inner > 0, method == Method::Tunnel);
            assert_eq!(left[inner..], with_ttl(error.clone(), 63));
            let bytes = [bytes[0] + error.len(), bytes[1]];
            assert_eq!(d.counters(SECOND), counted([1, 1], bytes));
            assert_eq!(d.losses(), []);
        }
    }
}

#[test]
fn what_quotes_no_connection_is_linuxs_untouched() {
    for f in &FAMILIES {
        let mut d = f.opened(Method::Masquerade);
        let before = d.counters(SECOND);
        let (client, vip, server) = (at(f.client).ip(), at(f.vip).ip(), at(f.server).ip());
        let unknown = udp(at(f.vip), SocketAddr::new(client, 999), b"an answer");
        let header = if f.protocol == Protocol::ICMP { 20 } else { 40 };
        let seen = f.answer(f.vip);
        let mut packets: Vec<Vec<u8>> = f
            .others
            .iter()
            .map(|kind| icmp(client, vip, (*kind, 0), 0, &seen))
            .collect();
        for quote in [
            &unknown[..],
            &seen[..header + 3],
            &seen[..header],
            &[],
            &[0x45; 60],
        ] {
            packets.push(icmp(client, vip, (f.followed[0], 0), 0, quote));
        }
        if f.protocol == Protocol::ICMP {
            let mut later = seen.clone();
            later[7] = 8;
            packets.push(icmp(client, vip, (3, 3), 0, &later));
        }
        for packet in packets {
            let frame = from_client(&packet);
            assert_eq!(d.send(Side::Client, &frame).unwrap(), []);
            assert_eq!(d.punted(), [(PuntClass::Local, Side::Client, frame)]);
        }
        let passing = from_server(1, &icmp(server, client, (f.followed[0], 0), 0, &unknown));
        assert_eq!(d.send(Side::Server, &passing).unwrap(), []);
        assert_eq!(d.punted(), [(PuntClass::Forwarded, Side::Server, passing)]);
        assert_eq!(d.counters(SECOND), before);
        assert_eq!(d.losses(), []);
    }
}

/// A packet of an IPv4 tunnel.
fn tunnelled(server: IpAddr, inner: &[u8]) -> Vec<u8> {
    let from = addr(FAMILIES[0].director);
    let outer = ip(from, server, Protocol::IPIP, inner.to_vec());
    // There is no checksum to be filled in.
    [&outer[..20], inner].concat()
}

/// An error about a packet of an IPv4 tunnel.
fn about_tunnel(kind: (u8, u8), rest: u32, inner: &[u8]) -> Vec<u8> {
    let f = &FAMILIES[0];
    let outer = tunnelled(at(SERVER).ip(), inner);
    from_server(
        7,
        &icmp(addr(f.router), addr(f.director), kind, rest, &outer),
    )
}

fn without_dont_fragment(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6] = 0;
    let ttl = packet[8];
    with_ttl(packet, ttl)
}

#[test]
fn an_error_about_a_tunnel_is_told_to_the_client_and_its_mtu_remembered() {
    let f = &FAMILIES[0];
    let mut d = f.opened(Method::Tunnel);
    let inner = f.request();
    let big = |len: usize| from_client(&udp(at(CLIENT), at(VIP), &vec![b'a'; len - 28]));
    let told_by = |d: &mut Director, frame: &[u8], side| {
        let out = d.send(side, frame).unwrap();
        let told = told(&one(d, Side::Client, out));
        assert_eq!((told.from, told.to), (at(VIP).ip(), at(CLIENT).ip()));
        (told.what, told.rest, told.quote)
    };
    let too_big = |mtu| about_tunnel((3, 4), mtu, &inner);
    let before = d.counters(SECOND);
    assert_eq!(
        told_by(&mut d, &too_big(1300), Side::Server),
        ((3, 4), 1480, inner.clone()),
        "the way that was found before is longer"
    );
    let counted = d.counters(SECOND).since(before);
    assert_eq!((counted.out_packets, counted.out_bytes), (2, 36 + 64));
    assert_eq!(
        told_by(&mut d, &about_tunnel((3, 1), 0, &inner), Side::Server).0,
        (3, 1)
    );
    assert_eq!(
        told_by(&mut d, &about_tunnel((4, 0), 7, &inner), Side::Server).1,
        7
    );
    assert_eq!(told_by(&mut d, &big(1281), Side::Client).1, 1280);
    let out = d.send(Side::Client, &big(1280)).unwrap();
    assert_eq!(one(&d, Side::Server, out).len(), 1300);
    assert_eq!(told_by(&mut d, &too_big(1200), Side::Server).1, 1180);
    assert_eq!(told_by(&mut d, &too_big(1250), Side::Server).1, 1180);
    assert_eq!(told_by(&mut d, &too_big(0), Side::Server).1, 532);
    d.sleep_ms(599_000);
    d.send(Side::Client, &from_client(&inner)).unwrap();
    assert_eq!(told_by(&mut d, &big(533), Side::Client).1, 532);
    d.sleep_ms(1_500);
    let out = d.send(Side::Client, &big(1480)).unwrap();
    assert_eq!(one(&d, Side::Server, out).len(), 1500);
    assert_eq!(told_by(&mut d, &big(1481), Side::Client).1, 1480);
}

#[test]
fn what_is_no_error_about_a_tunnel_of_ours_is_linuxs() {
    let f = &FAMILIES[0];
    let mut d = f.opened(Method::Tunnel);
    let inner = f.request();
    let before = d.counters(SECOND);
    let unknown = udp(at("10.9.0.1:999"), at(VIP), b"question");
    let stranger = tunnelled(addr("192.168.1.2"), &inner);
    let passing = tunnelled(at(SERVER).ip(), &inner);
    let cases = [
        (about_tunnel((3, 4), 1300, &inner[..8]), PuntClass::Local),
        (about_tunnel((3, 4), 1300, &inner[..23]), PuntClass::Local),
        (about_tunnel((12, 0), 0, &inner), PuntClass::Local),
        (about_tunnel((3, 4), 1300, &unknown), PuntClass::Local),
        (
            from_server(
                7,
                &icmp(addr(f.router), addr(f.director), (3, 4), 1300, &stranger),
            ),
            PuntClass::Local,
        ),
        (
            from_server(
                7,
                &icmp(addr(f.router), at(CLIENT).ip(), (3, 4), 1300, &passing),
            ),
            PuntClass::Forwarded,
        ),
    ];
    for (frame, class) in cases {
        assert_eq!(d.send(Side::Server, &frame).unwrap(), []);
        assert_eq!(d.punted(), [(class, Side::Server, frame)]);
    }
    assert_eq!(d.losses(), []);
    // Whose packet may be cut is told nothing, but the path is known.
    let cut = without_dont_fragment(inner.clone());
    assert_eq!(
        d.send(Side::Server, &about_tunnel((3, 4), 1300, &cut))
            .unwrap(),
        []
    );
    let mut wrong = about_tunnel((3, 1), 0, &inner);
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(d.send(Side::Server, &wrong).unwrap(), []);
    assert_eq!(d.losses(), [("icmp_checksum", 1), ("tunnel_error", 1)]);
    assert_eq!(d.counters(SECOND), before);
    let big = from_client(&udp(at(CLIENT), at(VIP), &[b'a'; 1281 - 28]));
    let out = d.send(Side::Client, &big).unwrap();
    assert_eq!(told(&one(&d, Side::Client, out)).rest, 1280);
}

#[test]
fn gue_and_gre_leave_less_for_the_packet_within() {
    // What the kernel told of a path of 1300 bytes, once the tunnel's way had been found anew.
    for (kind, flags, told_mtu) in [
        (TunnelKind::Gue, 0, 1268),
        (TunnelKind::Gue, 1, 1268),
        (TunnelKind::Gre, 0, 1276),
        (TunnelKind::Gre, 1, 1272),
    ] {
        let mut d = Director::new().unwrap();
        let mut server = scenario::server(at("192.168.1.1:53"), Method::Tunnel);
        server.tunnel = Tunnel {
            kind,
            port: if kind == TunnelKind::Gue { 6080 } else { 0 },
            flags,
        };
        let service = scenario::service(0, Transport::Udp, at(VIP), true);
        d.configure(snapshot(1, Some(service.with_server(SECOND, server))));
        let request = from_client(&FAMILIES[0].request());
        let mut tell = |mtu| {
            let out = d.send(Side::Client, &request).unwrap();
            let outer = one(&d, Side::Server, out);
            let (router, director) = (addr("192.168.1.7"), addr("192.168.1.254"));
            let error = from_server(7, &icmp(router, director, (3, 4), mtu, &outer));
            let out = d.send(Side::Server, &error).unwrap();
            let told = told(&one(&d, Side::Client, out));
            assert_eq!(told.to, at(CLIENT).ip());
            told.rest
        };
        assert_eq!(tell(1300), told_mtu + 200);
        assert_eq!(tell(1300), told_mtu);
    }
}

#[test]
fn a_source_that_is_none_reaches_no_connection() {
    let f = &FAMILIES[0];
    let mut d = f.opened(Method::Masquerade);
    let before = d.counters(SECOND);
    for source in ["224.0.0.1", "127.0.0.1", "10.0.0.101", "0.0.0.0"] {
        let error = icmp(addr(source), at(VIP).ip(), (3, 3), 0, &f.answer(VIP));
        assert_eq!(d.send(Side::Client, &from_client(&error)).unwrap(), []);
    }
    assert_eq!(d.losses(), [("martian_source", 4)]);
    assert_eq!(d.counters(SECOND), before);
}

#[test]
fn a_removed_servers_connection_has_its_errors_passed_and_counts_none() {
    let f = &FAMILIES[0];
    let mut d = f.opened(Method::Masquerade);
    let before = d.counters(SECOND);
    d.configure(snapshot(2, Some(service(Transport::Udp, VIP, &[]))));
    let error = icmp(at(CLIENT).ip(), at(VIP).ip(), (3, 3), 0, &f.answer(VIP));
    let out = d.send(Side::Client, &from_client(&error)).unwrap();
    assert_eq!(told(&one(&d, Side::Server, out)).to, at(SERVER).ip());
    let error = icmp(at(SERVER).ip(), at(CLIENT).ip(), (3, 3), 0, &f.translated());
    let out = d.send(Side::Server, &from_server(1, &error)).unwrap();
    assert_eq!(told(&one(&d, Side::Client, out)).from, at(VIP).ip());
    assert_eq!(d.counters(SECOND), before);
}

#[test]
fn an_error_reaches_the_worker_that_owns_the_connection() {
    const WORKERS: u16 = 4;
    let key: Vec<u8> = (0..40u8).map(|n| n.wrapping_mul(29) ^ 0x71).collect();
    let queues = (0..128).map(|n| n % WORKERS).collect();
    let nic = Steering::nic(WORKERS, Toeplitz::new(&key, queues).unwrap());
    for (steering, method) in [
        (Steering::ring(WORKERS), Method::Masquerade),
        (nic.clone(), Method::Masquerade),
        (Steering::ring(WORKERS), Method::Tunnel),
        (nic, Method::Tunnel),
    ] {
        let config = EngineConfig::default();
        let queues = WORKERS.into();
        let mut d = Director::several(config, &[], 4096, steering, queues).unwrap();
        let servers = [("192.168.1.1:53", method)];
        d.configure(snapshot(1, Some(service(Transport::Udp, VIP, &servers))));
        let mut handed = 0;
        for n in 0..64u16 {
            let client = at(&format!("10.9.0.{}:{}", 1 + n % 9, 4000 + n));
            let request = udp(client, at(VIP), b"question");
            let out = d.send_by(Side::Client, 0, &from_client(&request)).unwrap();
            one(&d, Side::Server, out);
            // By any queue: who receives it knows nothing of the connection.
            let queue = usize::from(n) % queues;
            let before = d.handles().iter().map(|h| h.stats.totals().handed_over);
            let before: u64 = before.sum();
            let error = match method {
                Method::Tunnel => about_tunnel((3, 1), 0, &request),
                _ => {
                    let seen = udp(client, at("192.168.1.1:53"), b"question");
                    from_server(7, &icmp(addr("192.168.1.7"), client.ip(), (3, 1), 0, &seen))
                }
            };
            let out = d.send_by(Side::Server, queue, &error).unwrap();
            let told = told(&one(&d, Side::Client, out));
            assert_eq!((told.from, told.to), (at(VIP).ip(), client.ip()));
            let after = d.handles().iter().map(|h| h.stats.totals().handed_over);
            let hops = after.sum::<u64>() - before;
            assert!(hops <= 1, "{hops} workers passed it on");
            handed += hops;
            let error = icmp(
                client.ip(),
                at(VIP).ip(),
                (3, 3),
                0,
                &udp(at(VIP), client, b"a"),
            );
            let out = d
                .send_by(Side::Client, queue, &from_client(&error))
                .unwrap();
            one(&d, Side::Server, out);
        }
        assert!(handed > 20, "{handed}");
        assert_eq!(d.losses(), []);
        assert_eq!(d.punted(), []);
    }
}

/// A packet with these options, which are a multiple of 4 bytes.
fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut packet = [&packet[..20], options, &packet[20..]].concat();
    packet[0] = 0x40 | ((20 + options.len()) / 4) as u8;
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[10..12].fill(0);
    let sum = Sum::of(&packet[..20 + options.len()]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

#[test]
fn a_route_is_recorded_with_the_virtual_address() {
    let f = &FAMILIES[0];
    let asked = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let recorded = [7, 11, 8, 10, 0, 0, 100, 0, 0, 0, 0, 0];
    for method in [Method::Masquerade, Method::Route, Method::Tunnel] {
        let mut d = f.opened(method);
        for client in [CLIENT, "10.9.0.1:4002"] {
            let packet = with_options(&udp(at(client), at(VIP), b"question"), &asked);
            let out = d.send(Side::Client, &from_client(&packet)).unwrap();
            let left = one(&d, Side::Server, out);
            let inner = &left[left.len() - packet.len()..];
            assert_eq!((inner[0], &inner[20..32]), (0x48, &recorded[..]));
            assert_eq!(Sum::of(&inner[..32]).finish(), 0);
            // An error echoes what was recorded, and adds its own.
            let old = with_ttl(packet, 64);
            let mut old = with_options(&[&old[..20], &old[32..]].concat(), &asked);
            old[8] = 1;
            old[10..12].fill(0);
            let sum = Sum::of(&old[..32]).finish();
            old[10..12].copy_from_slice(&sum.to_be_bytes());
            let out = d.send(Side::Client, &from_client(&old)).unwrap();
            let error = one(&d, Side::Client, out);
            assert_eq!(error[20..32], [7, 11, 12, 10, 0, 0, 100, 10, 0, 0, 100, 0]);
            let told = told(&error);
            assert_eq!((told.what, &told.quote[20..32]), ((11, 0), &recorded[..]));
        }
        assert_eq!(d.losses(), [("ttl_exceeded", 2)]);
    }
    // What the kernel answers by a parameter problem, and a source route, are Linux's as they came; so is what is not balanced.
    let mut d = f.opened(Method::Masquerade);
    let bad = [7, 7, 3, 0, 0, 0, 0, 0];
    let route = [131, 7, 8, 10, 9, 9, 9, 0];
    let elsewhere = udp(at(CLIENT), at("10.0.0.100:54"), b"question");
    for packet in [
        with_options(&f.request(), &bad),
        with_options(&f.request(), &route),
        with_options(&elsewhere, &asked),
    ] {
        let frame = from_client(&packet);
        assert_eq!(d.send(Side::Client, &frame).unwrap(), []);
        assert_eq!(d.punted(), [(PuntClass::Local, Side::Client, frame)]);
    }
    // A reply gets it too.
    let reply = with_options(&f.answer(SERVER), &asked);
    let out = d.send(Side::Server, &from_server(1, &reply)).unwrap();
    assert_eq!(one(&d, Side::Client, out)[20..32], recorded);
}

/// A director of this service and tunable.
fn tuned(name: &str, protocol: Transport, servers: &[(&str, Method)]) -> Director {
    let mut d = Director::new().unwrap();
    let mut snapshot = snapshot(1, Some(service(protocol, "10.0.0.100:80", servers)));
    snapshot.tunables.set(name, "1").unwrap();
    d.configure(snapshot);
    d
}

#[test]
fn a_server_is_told_that_its_packet_belongs_to_no_connection() {
    let servers = [("192.168.1.1:80", Method::Masquerade)];
    let stray = |src: &str, signal| tcp(at(src), at("10.9.0.1:7777"), signal, b"");
    let mut d = tuned("nat_icmp_send", Transport::Tcp, &servers);
    let packet = stray("192.168.1.1:80", ACK);
    let out = d.send(Side::Server, &from_server(1, &packet)).unwrap();
    let expected = Told {
        from: addr("192.168.1.254"),
        to: addr("192.168.1.1"),
        ttl: 64,
        what: (3, 3),
        rest: 0,
        quote: with_ttl(packet.clone(), 63),
    };
    assert_eq!(told(&one(&d, Side::Server, out)), expected);
    assert_eq!(d.losses(), [("no_connection", 1)]);
    for passes in [
        stray("192.168.1.1:80", 4),
        stray("192.168.1.1:81", ACK),
        stray("192.168.1.2:80", ACK),
        with_ttl(packet.clone(), 1),
    ] {
        let frame = from_server(1, &passes);
        assert_eq!(d.send(Side::Server, &frame).unwrap(), []);
        assert_eq!(d.punted(), [(PuntClass::Forwarded, Side::Server, frame)]);
    }
    // By default, and from a server under direct routing, it passes.
    let mut default = director(Transport::Tcp, "10.0.0.100:80", &servers);
    let routed = [("192.168.1.1:80", Method::Route)];
    let mut routed = tuned("nat_icmp_send", Transport::Tcp, &routed);
    for d in [&mut default, &mut routed] {
        assert_eq!(d.send(Side::Server, &from_server(1, &packet)).unwrap(), []);
        assert_eq!(d.punted().len(), 1);
        assert_eq!(d.losses(), []);
    }
}

#[test]
fn an_error_begins_a_connection_if_it_may() {
    let servers = [("192.168.1.1:80", Method::Masquerade)];
    let mut d = tuned("schedule_icmp", Transport::Tcp, &servers);
    let error = |port: u16| {
        let quote = tcp(
            at("10.0.0.100:80"),
            SocketAddr::new(addr("10.9.0.1"), port),
            SYN | ACK,
            b"",
        );
        icmp(addr("10.9.0.1"), addr("10.0.0.100"), (3, 3), 0, &quote)
    };
    for _ in 0..2 {
        let out = d.send(Side::Client, &from_client(&error(4000))).unwrap();
        assert_eq!(told(&one(&d, Side::Server, out)).to, addr("192.168.1.1"));
    }
    assert_eq!(d.counters(SECOND), counted([1, 0], [2 * 68, 0]));
    let entries = d.connections();
    assert_eq!(entries.len(), 1);
    assert_eq!((d.load(SECOND).active, d.load(SECOND).inactive), (0, 1));
    // Data of active FTP is never scheduled, and a service without servers answers no error.
    let ftp = from_client(&error(20));
    assert_eq!(d.send(Side::Client, &ftp).unwrap(), []);
    assert_eq!(d.punted(), [(PuntClass::Local, Side::Client, ftp)]);
    d.sleep_ms(3_100);
    assert_eq!(d.connections().len(), 0, "it lives for three seconds");
    let mut none = tuned("schedule_icmp", Transport::Tcp, &[]);
    assert_eq!(
        none.send(Side::Client, &from_client(&error(4000))).unwrap(),
        []
    );
    assert_eq!(none.losses(), [("no_server", 1)]);
    let mut default = director(Transport::Tcp, "10.0.0.100:80", &servers);
    assert_eq!(
        default
            .send(Side::Client, &from_client(&error(4000)))
            .unwrap(),
        []
    );
    assert_eq!(
        (default.punted().len(), default.connections().len()),
        (1, 0)
    );
}

#[test]
fn an_error_of_a_server_that_is_the_director_itself_is_translated() {
    let local = "192.168.1.254:5353";
    for method in [Method::Masquerade, Method::Route] {
        let server = if method == Method::Route {
            "192.168.1.254:53"
        } else {
            local
        };
        let mut d = director(Transport::Udp, VIP, &[(server, method)]);
        let request = udp(at(CLIENT), at(VIP), b"question");
        assert_eq!(d.send(Side::Client, &from_client(&request)).unwrap(), []);
        let (_, _, given) = d.punted().remove(0);
        let from = if method == Method::Route { VIP } else { local };
        let error = icmp(at(from).ip(), at(CLIENT).ip(), (3, 3), 0, &given[14..]);
        assert!(d.inject(Side::Client, &from_client(&error)));
        d.settle();
        let left = d.cable(Side::Client).receive_bytes().unwrap();
        let told = told(&left[14..]);
        assert_eq!((told.from, told.to), (at(VIP).ip(), at(CLIENT).ip()));
        let quoted = SlicedPacket::from_ip(&told.quote).unwrap();
        let Some(TransportSlice::Udp(udp)) = quoted.transport else {
            panic!("a datagram is quoted")
        };
        assert_eq!((udp.source_port(), udp.destination_port()), (4001, 53));
        let counters = d.counters(SECOND);
        assert_eq!(
            (counters.out_packets, counters.out_bytes),
            (1, error.len() as u64)
        );
    }
}

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

#[test]
fn whatever_strangers_quote_each_packet_has_one_end() {
    for f in &FAMILIES {
        for method in [Method::Masquerade, Method::Tunnel] {
            let mut d = f.opened(method);
            let buffers = d.free_buffers();
            let mut random = Random(0x1cb0_0b1e);
            let seeds = [
                icmp(
                    at(f.client).ip(),
                    at(f.vip).ip(),
                    (f.followed[0], 4),
                    1300,
                    &f.answer(f.vip),
                ),
                icmp(
                    addr(f.router),
                    at(f.client).ip(),
                    (f.followed[0], 4),
                    1300,
                    &f.translated(),
                ),
                about_tunnel((3, 4), 1300, &FAMILIES[0].request())[14..].to_vec(),
            ];
            for _ in 0..3000 {
                let mut packet = seeds[random.below(seeds.len())].clone();
                let v4 = packet[0] >> 4 == 4;
                for _ in 0..random.below(4) {
                    // Behind the outer header, whose damage would end it before.
                    let at = 20 + random.below(packet.len() - 20);
                    packet[at] = random.below(256) as u8;
                }
                let least = if v4 { 28 } else { 48 };
                packet.truncate(least + random.below(packet.len() - least + 1));
                let payload = (packet.len() - if v4 { 0 } else { 40 }) as u16;
                let at = if v4 { 2 } else { 4 };
                packet[at..at + 2].copy_from_slice(&payload.to_be_bytes());
                let packet = with_ttl(packet, 64);
                let (sent, lost) = (d.totals().sent, lost(&d));
                let out = d
                    .send(Side::Server, &from_server(7, &packet))
                    .unwrap()
                    .len();
                assert_eq!(d.totals().sent - sent, out as u64);
                let punted = d.punted().len();
                let ends = out + punted + (crate::lost(&d) - lost) as usize;
                // One that became another counts as nothing lost.
                assert_eq!(ends, 1, "{packet:02x?}");
                d.pass_ms(4);
            }
            assert_eq!(d.free_buffers(), buffers);
        }
    }
}

fn lost(d: &Director) -> u64 {
    d.losses().iter().map(|(_, n)| n).sum()
}
