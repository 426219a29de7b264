//! Datagrams that come in pieces: whatever the pieces and their order, one datagram is decided, counted and sent on;
//! and what is never put together is bounded and counted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;
#[path = "common/pieces.rs"]
mod pieces_of;

use common::{CLIENT, first_piece, snapshot, with_ttl};
use etherparse::UdpSlice;
use pieces_of::{ID, Random, by, fix, joined, lengths, piece, pieces, without_df};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::punt::PuntClass;
use pvs_dataplane::worker::{FRAGMENTED_MAX, FRAGMENTS_MAX, FRAGMENTS_OF_ONE_MAX};
use pvs_oracle::frames::{from_client, from_server, ip, tcp, udp};
use pvs_oracle::scenario::{self, at};
use pvs_oracle::{Director, Side, laboratory_with};
use pvs_proto::checksum::{self, pseudo_header};
use pvs_proto::wire::tcp::SYN;
use pvs_proto::{Addr4, Addr6, Protocol};
use pvs_sched::{Counters, Method, ServerConfig, ServerIndex, Transport, Tunnel, TunnelKind};
use std::net::{IpAddr, SocketAddr};

const VIP: &str = "10.0.0.100:53";
const VIP6: &str = "[fd00::100]:53";
const CLIENT6: &str = "[fd77::1]:4001";
const SERVER: &str = "192.168.1.1:5353";
const SERVER6: &str = "[fd01::1]:5353";

/// Client, service and server of each family.
const FAMILIES: [(&str, &str, &str); 2] = [(CLIENT, VIP, SERVER), (CLIENT6, VIP6, SERVER6)];

fn director_of(protocol: Transport, vip: &str, config: ServerConfig) -> Director {
    let mut d = Director::with(EngineConfig::default(), &[], 9216).unwrap();
    let service = scenario::service(0, protocol, at(vip), true);
    d.configure(snapshot(
        1,
        Some(service.with_server(ServerIndex(1), config)),
    ));
    d
}

fn director(vip: &str, server: &str, method: Method) -> Director {
    director_of(Transport::Udp, vip, scenario::server(at(server), method))
}

/// Sends client's pieces, the frames that come out.
fn sent(d: &mut Director, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let out = pieces
        .iter()
        .flat_map(|piece| d.send(Side::Client, &from_client(piece)).unwrap());
    by(Side::Server, out.collect())
}

fn counted(d: &Director) -> Counters {
    d.counters(ServerIndex(1))
}

fn payload(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len).map(|_| random.below(256) as u8).collect()
}

/// The UDP checksum of a datagram between these is right.
fn is_right(src: SocketAddr, dst: SocketAddr, segment: &[u8]) -> bool {
    let len = segment.len() as u32;
    let pseudo = match (src.ip(), dst.ip()) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            pseudo_header(Addr4::from(s), Addr4::from(d), Protocol::UDP, len)
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            pseudo_header(Addr6::from(s), Addr6::from(d), Protocol::UDP, len)
        }
        _ => unreachable!(),
    };
    pseudo.and(checksum::Sum::of(segment)).finish() == 0
}

#[test]
fn whatever_the_pieces_and_their_order_the_same_datagram_comes_out() {
    let mut random = Random(1);
    for (client, vip, server) in FAMILIES {
        for method in [Method::Masquerade, Method::Route] {
            let mut d = director(vip, server, method);
            let free = d.free_buffers();
            let (mut bytes, mut datagrams) = (0, 0);
            for n in 0..300u32 {
                let data = payload(24 + random.below(6000), n.into());
                let packet = without_df(udp(at(client), at(vip), &data), n);
                let cuts = random.cuts(data.len() + 8, 12);
                if cuts.is_empty() {
                    continue;
                }
                let mut frames = pieces(&packet, n, &cuts);
                let sizes: Vec<usize> = frames.iter().map(Vec::len).collect();
                random.shuffle(&mut frames);
                let out = sent(&mut d, &frames);
                assert_eq!(lengths(&out), sizes, "in order, with the sizes that came");
                let (protocol, segment) = joined(&out);
                assert_eq!(protocol, 17);
                assert!(segment[8..] == data);
                let to = if method == Method::Masquerade {
                    server
                } else {
                    vip
                };
                let ports = UdpSlice::from_slice(&segment).unwrap();
                assert_eq!(ports.destination_port(), at(to).port());
                assert!(is_right(at(client), at(to), &segment));
                bytes += packet.len() as u64;
                datagrams += 1;
            }
            assert_eq!(
                counted(&d),
                Counters {
                    connections: 1,
                    in_packets: datagrams,
                    in_bytes: bytes,
                    ..Counters::default()
                }
            );
            assert_eq!((d.losses(), d.free_buffers()), (vec![], free));
        }
    }
}

#[test]
fn a_tunnel_has_the_whole_datagram_in_it_and_is_cut_outside() {
    let mut random = Random(2);
    let kinds = [TunnelKind::Ipip, TunnelKind::Gue, TunnelKind::Gre];
    for (client, vip, server) in [
        (CLIENT, VIP, SERVER),
        (CLIENT6, VIP6, SERVER),
        (CLIENT, VIP, SERVER6),
        (CLIENT6, VIP6, SERVER6),
    ] {
        for kind in kinds {
            let tunnel = Tunnel {
                kind,
                port: 6080,
                flags: 1,
            };
            let config = ServerConfig {
                tunnel,
                ..scenario::server(at(server), Method::Tunnel)
            };
            let mut d = director_of(Transport::Udp, vip, config);
            let free = d.free_buffers();
            for n in 0..60u32 {
                let data = payload(1200 + random.below(4000), n.into());
                let packet = without_df(udp(at(client), at(vip), &data), n);
                let size = 8 * (75 + random.below(85));
                let cuts: Vec<usize> = (size..data.len() + 8).step_by(size).collect();
                if cuts.is_empty() {
                    continue;
                }
                let mut frames = pieces(&packet, n, &cuts);
                random.shuffle(&mut frames);
                let out = sent(&mut d, &frames);
                let ipip = if client == CLIENT { 4 } else { 41 };
                let (protocol, outer) = match out.len() {
                    1 => (ipip, out[0][14 + header_of(&out[0])..].to_vec()),
                    _ => joined(&out),
                };
                let (between, expected) = match kind {
                    TunnelKind::Ipip => (0, ipip),
                    TunnelKind::Gue => (12, 17),
                    TunnelKind::Gre => (8, 47),
                };
                assert!(out.len() == 1 || protocol == expected);
                if kind == TunnelKind::Gre {
                    assert_eq!(checksum::Sum::of(&outer).finish(), 0);
                }
                if kind == TunnelKind::Gue {
                    let source = if server == SERVER {
                        "192.168.1.254:0"
                    } else {
                        "[fd01::fe]:0"
                    };
                    assert!(is_right(at(source), at(server), &outer));
                }
                let hop = if client == CLIENT {
                    with_ttl(packet, 63)
                } else {
                    with_hop(packet)
                };
                assert!(outer[between..] == hop);
                assert!(lengths(&out).iter().all(|len| *len <= 1500));
            }
            assert_eq!(
                (d.losses(), d.free_buffers()),
                (vec![], free),
                "{vip} {kind:?}"
            );
        }
    }
}

fn header_of(frame: &[u8]) -> usize {
    if frame[12..14] == [0x08, 0] { 20 } else { 40 }
}

fn with_hop(mut packet: Vec<u8>) -> Vec<u8> {
    packet[7] -= 1;
    packet
}

#[test]
fn a_reply_in_pieces_is_translated_once_it_is_whole() {
    for (client, vip, server) in FAMILIES {
        let mut d = director(vip, server, Method::Masquerade);
        d.send(Side::Client, &from_client(&udp(at(client), at(vip), b"?")))
            .unwrap();
        let data = payload(4000, 7);
        let packet = without_df(udp(at(server), at(client), &data), ID);
        let mut frames = pieces(&packet, ID, &[1400, 2800]);
        frames.reverse();
        let out = frames
            .iter()
            .flat_map(|piece| d.send(Side::Server, &from_server(1, piece)).unwrap());
        let out = by(Side::Client, out.collect());
        let (_, segment) = joined(&out);
        assert!(segment[8..] == data);
        assert!(is_right(at(vip), at(client), &segment));
        let counters = counted(&d);
        assert_eq!(
            (counters.out_packets, counters.out_bytes),
            (1, packet.len() as u64)
        );
        assert_eq!(d.losses(), []);
    }
}

#[test]
fn an_absent_checksum_is_filled_in_over_all_pieces() {
    let mut d = director(VIP, SERVER, Method::Masquerade);
    let data = payload(3001, 3);
    let mut packet = without_df(udp(at(CLIENT), at(VIP), &data), ID);
    packet[26..28].fill(0);
    let out = sent(&mut d, &pieces(&packet, ID, &[1000, 2000]));
    let (_, segment) = joined(&out);
    assert_ne!(segment[6..8], [0, 0]);
    assert!(is_right(at(CLIENT), at(SERVER), &segment));
}

#[test]
fn the_crc_of_sctp_is_computed_over_all_pieces() {
    let (vip, server) = ("10.0.0.100:3868", "192.168.1.1:4000");
    let config = scenario::server(at(server), Method::Masquerade);
    let mut d = director_of(Transport::Sctp, vip, config);
    let mut segment = [4001u16.to_be_bytes(), 3868u16.to_be_bytes()].concat();
    // An INIT chunk of 3,000 bytes, verification tag 0.
    segment.extend([0; 8]);
    segment.extend([1, 0, 11, 184]);
    segment.extend(payload(2996, 5));
    let packet = ip(
        at(CLIENT).ip(),
        at(vip).ip(),
        Protocol::SCTP,
        segment.clone(),
    );
    let out = sent(&mut d, &pieces(&without_df(packet, ID), ID, &[8, 1448]));
    let (protocol, got) = joined(&out);
    assert_eq!(protocol, 132);
    segment[2..4].copy_from_slice(&4000u16.to_be_bytes());
    let (from, to) = (Addr4(0), Addr4(0));
    checksum::fill(
        from,
        to,
        Protocol::SCTP,
        &mut segment,
        checksum::Offload::Software,
    )
    .unwrap();
    assert!(got == segment);
}

#[test]
fn a_header_may_be_in_several_pieces() {
    let vip = "10.0.0.100:80";
    let config = scenario::server(at("192.168.1.1:80"), Method::Masquerade);
    for (signal, goes_on) in [(SYN, true), (0x10, false)] {
        let mut d = director_of(Transport::Tcp, vip, config);
        let packet = without_df(tcp(at(CLIENT), at(vip), signal, &payload(100, 1)), ID);
        let frames = pieces(&packet, ID, &[8, 16]);
        let mut out = Vec::new();
        for frame in &frames {
            out.extend(d.send(Side::Client, &from_client(frame)).unwrap());
        }
        if goes_on {
            let (_, segment) = joined(&by(Side::Server, out));
            assert_eq!(segment[13], SYN);
            assert_eq!(d.connections()[0].state, "SYN_RECV");
        } else {
            assert_eq!(
                out,
                [],
                "an ACK begins no connection, wherever its flags are"
            );
            let punted = d.punted();
            assert!(
                punted
                    .iter()
                    .all(|(class, ..)| *class == PuntClass::Refused)
            );
            assert_eq!(punted.len(), 3);
        }
    }
    let mut d = director_of(Transport::Tcp, vip, config);
    let mut cut = tcp(at(CLIENT), at(vip), SYN, b"");
    cut.truncate(36);
    cut[3] = 36;
    assert_eq!(
        sent(&mut d, &pieces(&without_df(cut, ID), ID, &[8])),
        [] as [Vec<u8>; 0]
    );
    assert_eq!(d.losses(), [("transport_truncated", 1)]);
}

#[test]
fn what_is_not_balanced_goes_to_linux_whole_and_as_it_came() {
    let mut d = director(VIP, SERVER, Method::Masquerade);
    for (to, class) in [
        ("10.0.0.100:54", PuntClass::Local),
        ("10.9.9.254:53", PuntClass::Local),
        ("203.0.113.1:53", PuntClass::Forwarded),
    ] {
        let packet = without_df(udp(at(CLIENT), at(to), &payload(2000, 1)), ID);
        let frames = pieces(&packet, ID, &[800, 1600]);
        for at in [2, 0, 1] {
            assert_eq!(d.punted(), []);
            assert_eq!(d.send(Side::Client, &from_client(&frames[at])).unwrap(), []);
        }
        let expected: Vec<_> = frames
            .iter()
            .map(|frame| (class, Side::Client, from_client(frame)))
            .collect();
        assert_eq!(d.punted(), expected);
    }
    // Without ports it is nobody's.
    let ping = without_df(
        ip(at(CLIENT).ip(), at(VIP).ip(), Protocol::ICMP, vec![8; 64]),
        ID,
    );
    let first = piece(&ping, ID, 0, 32);
    assert_eq!(d.send(Side::Client, &from_client(&first)).unwrap(), []);
    assert_eq!(d.punted().len(), 1);
    assert_eq!(d.losses(), []);
}

#[test]
fn pieces_that_overlap_or_contradict_each_other_end_their_datagram() {
    let packet = without_df(udp(at(CLIENT), at(VIP), &payload(2000, 1)), ID);
    let of = |start, end| piece(&packet, ID, start, end);
    let cases: [(Vec<Vec<u8>>, u64, u64); 6] = [
        (vec![of(0, 800), of(400, 1200)], 2, 0),
        (vec![of(800, 1600), of(0, 808)], 2, 0),
        // The same again is no overlap, nor is what lies within what is there.
        (vec![of(0, 800), of(0, 800)], 0, 1),
        (vec![of(0, 800), of(800, 1600), of(400, 1200)], 0, 1),
        // Behind the end, and another end.
        (
            vec![
                of(1600, 2008),
                piece(&[&packet[..], &[0; 8]].concat(), ID, 1600, 2016),
            ],
            2,
            0,
        ),
        (
            vec![of(0, 1600), piece(&packet[..1520], ID, 800, 1500)],
            2,
            0,
        ),
    ];
    for (frames, overlap, duplicate) in cases {
        let mut d = director(VIP, SERVER, Method::Masquerade);
        let free = d.free_buffers();
        assert_eq!(sent(&mut d, &frames), [] as [Vec<u8>; 0]);
        let mut expected = vec![];
        if overlap > 0 {
            expected.push(("fragment_overlap", overlap));
            assert_eq!(d.free_buffers(), free);
        }
        if duplicate > 0 {
            expected.push(("fragment_duplicate", duplicate));
        }
        assert_eq!(d.losses(), expected);
        if duplicate > 0 {
            let rest = if frames.len() == 2 { 800 } else { 1600 };
            assert!(!sent(&mut d, &[of(rest, 2008)]).is_empty(), "it goes on");
        }
        assert_eq!(counted(&d).in_packets, duplicate);
    }
}

#[test]
fn a_datagram_that_is_not_whole_in_time_is_freed_and_counted() {
    for ((client, vip, server), seconds) in FAMILIES.into_iter().zip([30, 60]) {
        let mut d = director(vip, server, Method::Route);
        let free = d.free_buffers();
        let packet = without_df(udp(at(client), at(vip), &payload(3000, 1)), ID);
        let frames = pieces(&packet, ID, &[1000, 2000]);
        sent(&mut d, &frames[1..]);
        d.sleep_ms(seconds * 1000 - 100);
        assert_eq!((d.losses(), d.free_buffers()), (vec![], free - 2));
        d.sleep_ms(200);
        assert_eq!(d.losses(), [("fragment_timeout", 2)]);
        assert_eq!(d.free_buffers(), free);
        assert_eq!(sent(&mut d, &frames[..1]), [] as [Vec<u8>; 0]);
        assert_eq!(
            counted(&d),
            Counters::default(),
            "it counts when it is complete"
        );
    }
}

#[test]
fn a_flood_of_pieces_is_bounded_and_the_oldest_give_way() {
    let mut d = director(VIP, SERVER, Method::Route);
    let free = d.free_buffers();
    let packet = |n: u32| without_df(udp(at(CLIENT), at(VIP), &payload(2000, 1)), n);
    let few = FRAGMENTED_MAX as u32;
    for n in 0..2 * few {
        sent(&mut d, &[piece(&packet(n), n, 0, 1000)]);
    }
    assert_eq!(d.losses(), [("fragments_full", few.into())]);
    assert_eq!(d.free_buffers(), free - FRAGMENTED_MAX);
    // The newest are there, the oldest are not.
    let rest = |n| piece(&packet(n), n, 1000, 2008);
    assert_eq!(sent(&mut d, &[rest(2 * few - 1)]).len(), 2);
    assert_eq!(sent(&mut d, &[rest(0)]).len(), 0);

    // Many pieces of few datagrams.
    let mut d = director(VIP, SERVER, Method::Route);
    let many = FRAGMENTS_MAX / 100 + 1;
    for n in 0..many as u32 {
        let cuts: Vec<usize> = (8..=800).step_by(8).collect();
        sent(&mut d, &pieces(&packet(n), n, &cuts)[..100]);
    }
    assert_eq!(d.losses(), [("fragments_full", 100)]);
    // And of one.
    let mut d = director(VIP, SERVER, Method::Route);
    let cuts: Vec<usize> = (8..2008).step_by(8).collect();
    assert!(cuts.len() > FRAGMENTS_OF_ONE_MAX);
    let all = pieces(&packet(1), 1, &cuts);
    sent(&mut d, &all[..FRAGMENTS_OF_ONE_MAX + 1]);
    let lost = FRAGMENTS_OF_ONE_MAX as u64 + 1;
    assert_eq!(d.losses(), [("fragments_full", lost)]);
}

#[test]
fn congestion_that_one_piece_met_is_the_datagram_s() {
    let packet = without_df(udp(at(CLIENT), at(VIP), &payload(2000, 1)), ID);
    let marked = |tos: [u8; 2]| -> Vec<Vec<u8>> {
        let frames = pieces(&packet, ID, &[1000]);
        let frames = frames.into_iter().zip(tos);
        frames
            .map(|(mut frame, tos)| {
                frame[1] = tos;
                fix(frame)
            })
            .collect()
    };
    // RFC 3168 section 5.3.
    for (tos, expected) in [
        ([0xb8, 0xb8], Some(0xb8)),
        ([0xba, 0xba], Some(0xba)),
        ([0xba, 0xbb], Some(0xbb)),
        ([0xbb, 0xb9], Some(0xbb)),
        ([0xb8, 0xbb], None),
        ([0xb8, 0xba], None),
    ] {
        let mut d = director(VIP, SERVER, Method::Route);
        let out = sent(&mut d, &marked(tos));
        let got: Vec<u8> = out.iter().map(|frame| frame[15]).collect();
        assert_eq!(got, expected.map_or(vec![], |tos| vec![tos; 2]), "{tos:x?}");
    }
}

#[test]
fn an_error_about_a_datagram_in_pieces_comes_once() {
    let packet = without_df(udp(at(CLIENT), at(VIP), &payload(2000, 1)), ID);
    let mut d = director(VIP, SERVER, Method::Route);
    let frames: Vec<_> = pieces(&packet, ID, &[1000])
        .into_iter()
        .map(|frame| with_ttl(frame, 1))
        .collect();
    let out: Vec<_> = frames
        .iter()
        .flat_map(|frame| d.send(Side::Client, &from_client(frame)).unwrap())
        .collect();
    let out = by(Side::Client, out);
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].len(), &out[0][34..36]), (14 + 576, &[11, 0][..]));
    // It quotes the whole.
    assert_eq!(out[0][44..46], 2028u16.to_be_bytes());
    assert_eq!(d.losses(), [("ttl_exceeded", 1)]);
    assert_eq!(counted(&d).in_packets, 1);
}

#[test]
fn pieces_with_df_say_what_would_have_fitted() {
    // As the kernel: a datagram whose largest piece has DF is judged as a whole.
    let mut d = director(VIP, SERVER, Method::Route);
    let mut packet = udp(at(CLIENT), at(VIP), &payload(2000, 1));
    packet[4..6].copy_from_slice(&[0x12, 0x34]);
    let out: Vec<_> = pieces(&fix(packet), ID, &[1000])
        .iter()
        .flat_map(|frame| d.send(Side::Client, &from_client(frame)).unwrap())
        .collect();
    let out = by(Side::Client, out);
    assert_eq!((out.len(), &out[0][34..36]), (1, &[3, 4][..]));
    assert_eq!(d.losses(), [("too_big", 1)]);

    // The pieces of one that fits leave without it.
    let mut d = director(VIP, SERVER, Method::Route);
    let mut packet = udp(at(CLIENT), at(VIP), &payload(1000, 1));
    packet[4..6].copy_from_slice(&[0x12, 0x34]);
    let out = sent(&mut d, &pieces(&fix(packet), ID, &[800]));
    let fields: Vec<_> = out.iter().map(|frame| [frame[20], frame[21]]).collect();
    assert_eq!(fields, [[0x20, 0], [0, 100]]);
}

#[test]
fn pieces_that_do_not_fit_are_cut_anew() {
    let mut d = director(VIP, SERVER, Method::Masquerade);
    d.route(laboratory_with(&[], 1000, 2, |_, _| {}).unwrap());
    let data = payload(4000, 9);
    let packet = without_df(udp(at(CLIENT), at(VIP), &data), ID);
    let out = sent(&mut d, &pieces(&packet, ID, &[1480, 2960]));
    // As long as possible, whatever came.
    assert_eq!(lengths(&out), [996, 996, 996, 996, 124]);
    let (_, segment) = joined(&out);
    assert!(segment[8..] == data);
    assert!(is_right(at(CLIENT), at(SERVER), &segment));

    // IPv6 is told: its routers cut nothing.
    let mut d = director(VIP6, SERVER6, Method::Masquerade);
    d.route(laboratory_with(&[], 1400, 2, |_, _| {}).unwrap());
    let packet = udp(at(CLIENT6), at(VIP6), &data);
    for (size, fits) in [(1352, true), (1360, false)] {
        let cuts: Vec<usize> = (size..4008).step_by(size).collect();
        let out: Vec<_> = pieces(&packet, ID, &cuts)
            .iter()
            .flat_map(|frame| d.send(Side::Client, &from_client(frame)).unwrap())
            .collect();
        if fits {
            assert!(joined(&by(Side::Server, out)).1[8..] == data);
        } else {
            let out = by(Side::Client, out);
            assert_eq!((out.len(), out[0][54]), (1, 2), "packet too big");
            assert_eq!(out[0][58..62], 1400u32.to_be_bytes());
        }
    }
}

#[test]
fn pieces_wait_for_their_neighbour_too() {
    let mut d = director(VIP, "192.168.1.77:53", Method::Masquerade);
    let data = payload(3000, 4);
    let packet = without_df(udp(at(CLIENT), at(VIP), &data), ID);
    assert_eq!(
        sent(&mut d, &pieces(&packet, ID, &[1480])),
        [] as [Vec<u8>; 0]
    );
    let fib = laboratory_with(&[], 1500, 2, |b, [_, r1]| {
        use pvs_dataplane::fib::Neighbour;
        let server = Addr4::from_wire([192, 168, 1, 77]);
        let mac = pvs_proto::MacAddr([2, 0, 0, 0, 1, 77]);
        b.neighbour::<pvs_proto::V4>(r1, server, Neighbour::Resolved(mac));
    });
    d.route(fib.unwrap());
    d.settle();
    let cable = d.cable(Side::Server);
    let out: Vec<Vec<u8>> = core::iter::from_fn(|| cable.receive_bytes()).collect();
    assert!(joined(&out).1[8..] == data);
}

#[test]
fn a_first_piece_alone_waits() {
    let mut d = director(VIP, SERVER, Method::Masquerade);
    let first = first_piece(udp(at(CLIENT), at(VIP), &[7; 64]));
    assert_eq!(sent(&mut d, &[first]), [] as [Vec<u8>; 0]);
    assert_eq!((d.losses(), d.punted()), (vec![], vec![]));
}
