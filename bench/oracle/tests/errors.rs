//! The ICMP errors that the director makes: what they say, to whom, what they
//! count, and when there is none.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::dns::{CLIENT, CLIENT6, SERVER, SERVER6, VIP, VIP6};
use common::icmp::{Told, told};
use common::{director, service, snapshot, with_ttl};
use etherparse::{NetSlice, SlicedPacket};
use pvs_dataplane::fib::Target;
use pvs_oracle::frames::{self, from_client, from_server, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side, laboratory_with};
use pvs_proto::{Addr4, Addr6, V4, V6};
use pvs_sched::{Counters, Method, ServerIndex, ServiceFlags, Transport};
use std::net::IpAddr;

const METHODS: [Method; 3] = [Method::Masquerade, Method::Route, Method::Tunnel];

/// An error of the director's own, as an independent decoder reads it.
fn own(frame: &[u8]) -> Told {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let h = ip.header();
            assert_eq!(usize::from(h.total_len()), frame.len() - 14);
            assert!(frame.len() - 14 <= 576);
            assert_eq!((frame[15], h.dont_fragment()), (0xc0, false));
        }
        NetSlice::Ipv6(ip) => {
            let h = ip.header();
            assert_eq!(usize::from(h.payload_length()), frame.len() - 54);
            assert!(frame.len() - 14 <= 1280);
            assert_eq!(h.traffic_class(), 0);
        }
        other => panic!("{other:?}"),
    }
    told(&frame[14..])
}

/// Sends a packet in by a side; the one error that comes back there.
fn answer(d: &mut Director, side: Side, packet: &[u8]) -> Told {
    let frame = match side {
        Side::Client => from_client(packet),
        Side::Server => from_server(1, packet),
    };
    let out = d.send(side, &frame).unwrap();
    assert_eq!(out.len(), 1, "{:?}", d.losses());
    assert_eq!(out[0].0, side);
    let (to, from) = match side {
        Side::Client => (frames::CLIENT_MAC, frames::DIRECTOR_CLIENT_MAC),
        Side::Server => (frames::server_mac(1), frames::DIRECTOR_SERVER_MAC),
    };
    assert_eq!((&out[0].1[..6], &out[0].1[6..12]), (&to.0[..], &from.0[..]));
    own(&out[0].1)
}

/// Both families: client, service, server, and the numbers of their errors.
struct Family {
    client: &'static str,
    vip: &'static str,
    server: &'static str,
    no_server: (u8, u8),
    unreachable: (u8, u8),
    time_exceeded: (u8, u8),
    too_big: (u8, u8),
    quote_max: usize,
    outer: u32,
}

const FAMILIES: [Family; 2] = [
    Family {
        client: CLIENT,
        vip: VIP,
        server: SERVER,
        no_server: (3, 3),
        unreachable: (3, 1),
        time_exceeded: (11, 0),
        too_big: (3, 4),
        quote_max: 548,
        outer: 20,
    },
    Family {
        client: CLIENT6,
        vip: VIP6,
        server: SERVER6,
        no_server: (1, 4),
        unreachable: (1, 3),
        time_exceeded: (3, 0),
        too_big: (2, 0),
        quote_max: 1232,
        outer: 40,
    },
];

impl Family {
    fn director(&self, method: Method) -> Director {
        director(Transport::Udp, self.vip, &[(self.server, method)])
    }

    fn request(&self, payload: usize) -> Vec<u8> {
        udp(at(self.client), at(self.vip), &vec![b'a'; payload])
    }

    /// The error from the virtual address to the client.
    fn error(&self, what: (u8, u8), rest: u32, quote: &[u8]) -> Told {
        Told {
            from: at(self.vip).ip(),
            to: at(self.client).ip(),
            ttl: 64,
            what,
            rest,
            quote: quote[..quote.len().min(self.quote_max)].to_vec(),
        }
    }
}

#[test]
fn each_error_is_the_recorded_one() {
    for f in &FAMILIES {
        let packet = f.request(10);
        let mut d = director(Transport::Udp, f.vip, &[]);
        let got = answer(&mut d, Side::Client, &packet);
        assert_eq!(got, f.error(f.no_server, 0, &packet));
        assert_eq!(d.losses(), [("no_server", 1)]);

        for method in METHODS {
            let mut d = f.director(method);
            let old = with_ttl(packet.clone(), 1);
            let got = answer(&mut d, Side::Client, &old);
            assert_eq!(got, f.error(f.time_exceeded, 0, &old), "quoted as it came");
            assert_eq!(d.losses(), [("ttl_exceeded", 1)]);

            let long = f.request(1400);
            let mtu = 1400;
            d.route(laboratory_with(&[], mtu, 2, |_, _| {}).unwrap());
            let fits = match method {
                Method::Tunnel => mtu - f.outer,
                _ => mtu,
            };
            let got = answer(&mut d, Side::Client, &long);
            let passed = with_ttl(long, 63);
            let expected = f.error(f.too_big, fits, &passed);
            assert_eq!(got, expected, "quoted a hop later");
            assert_eq!(d.losses(), [("ttl_exceeded", 1), ("too_big", 1)]);

            let unreachable = laboratory_with(&[], 1500, 3, |b, _| {
                b.route::<V4>(Addr4::from_wire([192, 168, 1, 1]), 32, Target::Unreachable);
                let IpAddr::V6(server) = at(SERVER6).ip() else {
                    panic!("it is IPv6")
                };
                b.route::<V6>(Addr6::from(server), 128, Target::Unreachable);
            });
            d.route(unreachable.unwrap());
            let got = answer(&mut d, Side::Client, &packet);
            assert_eq!(got, f.error(f.unreachable, 0, &packet));
            assert_eq!(d.totals().icmp_sent, 3);
        }
    }
}

#[test]
fn a_tunnel_of_the_other_family_is_told_of_in_the_clients_own() {
    for (f, server, fits) in [(&FAMILIES[0], SERVER6, 1360), (&FAMILIES[1], SERVER, 1380)] {
        let mut d = director(Transport::Udp, f.vip, &[(server, Method::Tunnel)]);
        d.route(laboratory_with(&[], 1400, 2, |_, _| {}).unwrap());
        let long = f.request(1400);
        let got = answer(&mut d, Side::Client, &long);
        assert_eq!(got, f.error(f.too_big, fits, &with_ttl(long, 63)));
    }
}

#[test]
fn an_error_counts_where_the_kernel_counts_it() {
    for f in &FAMILIES {
        for method in METHODS {
            let mut d = f.director(method);
            let packet = with_ttl(f.request(1), 1);
            answer(&mut d, Side::Client, &packet);
            let len = packet.len() as u64;
            let own = match method {
                Method::Masquerade => Counters::default(),
                // As if the server had sent it.
                _ => Counters {
                    out_packets: 1,
                    out_bytes: 8 + u64::from(f.outer) + len,
                    ..Counters::default()
                },
            };
            let request = Counters {
                connections: 1,
                in_packets: 1,
                in_bytes: len,
                ..Counters::default()
            };
            assert_eq!(d.counters(ServerIndex(1)), request.plus(own), "{method:?}");
            let totals = d.totals();
            assert_eq!((totals.icmp_sent, totals.icmp_limited), (1, 0));
            assert_eq!((totals.received, totals.sent), (1, 1));
        }
    }
}

/// The kernel's table does not have it any more, so the error counts as nobody's.
#[test]
fn an_error_about_a_connection_of_one_packet_counts_for_no_server() {
    for f in &FAMILIES {
        for method in METHODS {
            let mut once = service(Transport::Udp, f.vip, &[(f.server, method)]);
            once.config.flags = ServiceFlags::ONE_PACKET;
            let mut d = f.director(method);
            d.configure(snapshot(2, Some(once)));
            let packet = with_ttl(f.request(1), 1);
            answer(&mut d, Side::Client, &packet);
            let counters = d.counters(ServerIndex(1));
            assert_eq!((counters.connections, counters.in_packets), (1, 1));
            assert_eq!((counters.out_packets, counters.out_bytes), (0, 0));
        }
    }
}

#[test]
fn a_server_is_told_by_the_interface_that_it_is_on() {
    for (f, own) in [(&FAMILIES[0], "192.168.1.254"), (&FAMILIES[1], "fd01::fe")] {
        let mut d = f.director(Method::Masquerade);
        d.send(Side::Client, &from_client(&f.request(1))).unwrap();
        let counted = d.counters(ServerIndex(1));
        let told = |what, rest, quote: &[u8]| Told {
            from: own.parse().unwrap(),
            to: at(f.server).ip(),
            ..f.error(what, rest, quote)
        };
        let reply = udp(at(f.server), at(f.client), &[b'a'; 1472]);
        let old = with_ttl(reply.clone(), 1);
        let got = answer(&mut d, Side::Server, &old);
        assert_eq!(got, told(f.time_exceeded, 0, &old));
        if f.outer == 40 {
            let got = answer(&mut d, Side::Server, &reply);
            let expected = told(f.too_big, 1500, &reply);
            assert_eq!(got, expected, "1520 bytes, a hop earlier than a request");
        }
        // The kernel's router judges before its hook counts.
        assert_eq!(d.counters(ServerIndex(1)), counted);
    }
}

#[test]
fn what_is_never_answered() {
    let f = &FAMILIES[0];
    // Later fragments of what is never whole, sources that are none, groups; and what is Linux's.
    let mut d = director(Transport::Udp, f.vip, &[]);
    let mut fragment = f.request(8);
    fragment[7] = 0x20;
    let martian = udp(at("127.0.0.1:1"), at(VIP), b"x");
    let group = udp(at(CLIENT), at("224.0.0.1:53"), b"x");
    for packet in [with_ttl(fragment, 64), martian, with_ttl(group, 1)] {
        assert_eq!(d.send(Side::Client, &from_client(&packet)).unwrap(), []);
    }
    d.sleep_ms(31_000);
    assert_eq!(d.losses(), [("martian_source", 1), ("fragment_timeout", 1)]);
    assert_eq!(d.totals().icmp_sent, 0);

    // No way back.
    let nowhere = laboratory_with(&[], 1500, 2, |b, _| {
        b.route::<V4>(Addr4::from_wire([10, 9, 0, 1]), 32, Target::Unreachable);
    });
    d.route(nowhere.unwrap());
    let frame = from_client(&f.request(8));
    assert_eq!(d.send(Side::Client, &frame).unwrap(), []);
    assert_eq!(d.losses()[2], ("no_server", 1));
}

#[test]
fn a_worker_makes_so_many_errors_and_no_more() {
    let f = &FAMILIES[0];
    let mut d = director(Transport::Udp, f.vip, &[]);
    let flood = |d: &mut Director, frames: usize| -> usize {
        let frame = from_client(&f.request(1));
        (0..frames)
            .map(|_| d.send(Side::Client, &frame).unwrap().len())
            .sum()
    };
    assert_eq!(flood(&mut d, 60), 50, "the burst");
    assert_eq!(
        d.losses(),
        [("no_server", 60)],
        "each is counted all the same"
    );
    let totals = d.totals();
    assert_eq!((totals.icmp_sent, totals.icmp_limited), (50, 10));
    d.pass_ms(20);
    assert_eq!(flood(&mut d, 60), 20, "one for each millisecond");

    // What path MTU discovery needs has a limit of its own.
    let mut d = f.director(Method::Route);
    d.route(laboratory_with(&[], 1400, 2, |_, _| {}).unwrap());
    let frame = from_client(&f.request(1400));
    let flood = |d: &mut Director, frames: usize| -> usize {
        (0..frames)
            .map(|_| d.send(Side::Client, &frame).unwrap().len())
            .sum()
    };
    assert_eq!(flood(&mut d, 1100), 1000);
    d.pass_ms(20);
    assert_eq!(flood(&mut d, 300), 200, "ten for each millisecond");
}

#[test]
fn an_error_leaves_in_the_packets_own_buffer() {
    let f = &FAMILIES[0];
    let mut d = f.director(Method::Tunnel);
    let free = d.free_buffers();
    for _ in 0..40 {
        answer(&mut d, Side::Client, &with_ttl(f.request(1), 1));
        assert_eq!(d.free_buffers(), free);
    }
}

#[test]
fn the_type_of_service_of_an_error_keeps_four_bits_of_the_packets() {
    let f = &FAMILIES[0];
    let mut d = f.director(Method::Route);
    let mut packet = f.request(1);
    packet[1] = 0xbb;
    let out = d
        .send(Side::Client, &from_client(&with_ttl(packet, 1)))
        .unwrap();
    assert_eq!(out[0].1[15], 0xda, "0xc0, and 0x1a of 0xbb");
}
