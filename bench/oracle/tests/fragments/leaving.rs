//! How a datagram leaves that came in pieces.

use crate::common::dns::{CLIENT6, VIP, VIP6};
use crate::common::pieces::{ID, by, fix, joined, lengths, pieces, without_df};
use crate::common::{CLIENT, snapshot, with_ttl};
use crate::support::{SERVER, SERVER6, counted, director, is_right, payload, sent};
use pvs_oracle::frames::{from_client, from_server, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Side, laboratory_with, scenario};
use pvs_proto::Addr4;
use pvs_sched::{Method, ServerIndex, Transport};

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

/// Outer pieces have DF if the pieces had it, whatever `pmtu_disc` makes of a packet that is
/// whole, and an identification.
#[test]
fn pieces_with_df_leave_in_a_tunnel_with_it() {
    let whole = udp(at(CLIENT), at(VIP), &payload(1400, 1));
    for (pmtu_disc, df) in [(1, true), (0, true), (1, false), (0, false)] {
        let mut d = director(VIP, SERVER, Method::Tunnel);
        let tunnel = scenario::service(0, Transport::Udp, at(VIP), true)
            .with_server(ServerIndex(1), scenario::server(at(SERVER), Method::Tunnel));
        let mut configured = snapshot(2, Some(tunnel));
        configured
            .tunables
            .set("pmtu_disc", &pmtu_disc.to_string())
            .unwrap();
        d.configure(configured);
        let packet = match df {
            true => whole.clone(),
            false => without_df(whole.clone(), ID),
        };
        let out = sent(&mut d, &pieces(&packet, ID, &[480, 960]));
        assert_eq!(lengths(&out), [500, 500, 488], "{pmtu_disc} {df}");
        for frame in &out {
            assert_eq!(frame[20] & 0x40 != 0, df, "{pmtu_disc}");
            assert_ne!(frame[18..20], [0, 0]);
        }
    }
}

/// The kernel drops it, and asks the server for packets no longer than a path that it fits.
#[test]
fn a_masqueraded_reply_in_pieces_with_df_goes_on() {
    let mut d = director(VIP, SERVER, Method::Masquerade);
    d.send(
        Side::Client,
        &from_client(&udp(at(CLIENT), at(VIP), b"question")),
    )
    .unwrap();
    let reply = udp(at(SERVER), at(CLIENT), &payload(1300, 1));
    let frames = pieces(&reply, ID, &[1000]);
    let out = frames
        .iter()
        .flat_map(|piece| d.send(Side::Server, &from_server(1, piece)).unwrap());
    let out = by(Side::Client, out.collect());
    assert_eq!(lengths(&out), [1020, 328]);
    assert!(out.iter().all(|frame| frame[20] & 0x40 == 0), "without it");
    assert_eq!(counted(&d).out_packets, 1);
}
