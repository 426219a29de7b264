//! Pieces in any order, decided and translated as one packet.

use crate::common::dns::{CLIENT6, VIP, VIP6};
use crate::common::pieces::{ID, Random, by, joined, lengths, piece, pieces, without_df};
use crate::common::{CLIENT, with_ttl};
use crate::support::{
    FAMILIES, SERVER, SERVER6, counted, director, director_of, is_right, payload, sent,
};
use etherparse::UdpSlice;
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::frames::{from_client, from_server, ip, tcp, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Side, scenario};
use pvs_proto::wire::tcp::SYN;
use pvs_proto::{Addr4, Protocol, checksum};
use pvs_sched::{Counters, Method, ServerConfig, Transport, Tunnel, TunnelKind};

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

/// Options behind the fragment header are in the first piece alone: the others do not say that they
/// are UDP's (RFC 8200 section 4.5).
#[test]
fn a_datagram_with_options_is_put_together_too() {
    let data = payload(2000, 9);
    let plain = udp(at(CLIENT6), at(VIP6), &data);
    let mut packet = plain[..40].to_vec();
    packet[4..6].copy_from_slice(&((plain.len() - 40 + 8) as u16).to_be_bytes());
    packet[6] = 60;
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    packet.extend(options);
    packet.extend(&plain[40..]);
    for backwards in [false, true] {
        let mut d = director(VIP6, SERVER6, Method::Masquerade);
        let free = d.free_buffers();
        let mut frames = pieces(&packet, ID, &[800, 1600]);
        if backwards {
            frames.reverse();
        }
        let (protocol, got) = joined(&sent(&mut d, &frames));
        assert_eq!((protocol, &got[..8]), (60, &options[..]));
        assert!(got[16..] == data);
        assert!(is_right(at(CLIENT6), at(SERVER6), &got[8..]));
        assert_eq!(counted(&d).in_packets, 1);
        assert_eq!((d.losses(), d.punted()), (vec![], vec![]));
        assert_eq!(d.free_buffers(), free);
    }
}

/// IPv6 allows 65,575 bytes, the outer header 65,535.
#[test]
fn what_is_too_long_for_any_tunnel_is_told_and_counted() {
    let mut d = director(VIP6, SERVER, Method::Tunnel);
    let free = d.free_buffers();
    let packet = udp(at(CLIENT6), at(VIP6), &payload(65_500, 3));
    let cuts: Vec<usize> = (1400..65_500).step_by(1400).collect();
    let mut out = Vec::new();
    for frame in pieces(&packet, ID, &cuts) {
        out.extend(d.send(Side::Client, &from_client(&frame)).unwrap());
    }
    assert_eq!(by(Side::Client, out).len(), 1, "the client is told");
    assert_eq!((d.losses(), d.free_buffers()), (vec![("too_big", 1)], free));
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
    // Neither ports nor ICMP: it is nobody's.
    let hello = without_df(
        ip(at(CLIENT).ip(), at(VIP).ip(), Protocol(89), vec![8; 64]),
        ID,
    );
    let first = piece(&hello, ID, 0, 32);
    assert_eq!(d.send(Side::Client, &from_client(&first)).unwrap(), []);
    assert_eq!(d.punted().len(), 1);
    assert_eq!(d.losses(), []);
}

fn header_of(frame: &[u8]) -> usize {
    if frame[12..14] == [0x08, 0] { 20 } else { 40 }
}

fn with_hop(mut packet: Vec<u8>) -> Vec<u8> {
    packet[7] -= 1;
    packet
}
