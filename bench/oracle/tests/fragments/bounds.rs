//! Datagrams that are never whole: too late, too many, or of pieces that do not belong together.

use crate::common::dns::VIP;
use crate::common::icmp::{Told, icmp, told};
use crate::common::pieces::{ID, by, piece, pieces, without_df};
use crate::common::{CLIENT, first_piece, with_ttl};
use crate::support::{FAMILIES, SERVER, counted, director, payload, sent};
use pvs_dataplane::worker::{FRAGMENTED_MAX, FRAGMENTS_MAX, FRAGMENTS_OF_ONE_MAX};
use pvs_oracle::frames::{from_client, from_server, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_sched::{Counters, Method};
use std::net::SocketAddr;

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
fn a_first_piece_alone_waits() {
    let mut d = director(VIP, SERVER, Method::Masquerade);
    let first = first_piece(udp(at(CLIENT), at(VIP), &[7; 64]));
    assert_eq!(sent(&mut d, &[first]), [] as [Vec<u8>; 0]);
    assert_eq!((d.losses(), d.punted()), (vec![], vec![]));
}

/// What a first piece's sender is told about it, and what came out by its side is that alone.
fn told_of(d: &mut Director, side: Side) -> Vec<Told> {
    by(side, d.collect())
        .iter()
        .map(|frame| told(&frame[14..]))
        .collect()
}

/// That the rest did not come in time (RFC 792, RFC 4443 section 3.3).
fn too_late(from: &str, to: &str, quote: &[u8]) -> Told {
    let v4 = quote[0] >> 4 == 4;
    Told {
        from: from.parse().unwrap(),
        to: at(to).ip(),
        ttl: 64,
        what: if v4 { (11, 1) } else { (3, 1) },
        rest: 0,
        quote: quote[..quote.len().min(if v4 { 548 } else { 1232 })].to_vec(),
    }
}

#[test]
fn the_sender_of_a_first_piece_is_told_if_the_rest_does_not_come_in_time() {
    for ((client, vip, server), seconds) in FAMILIES.into_iter().zip([30, 60]) {
        let packet = without_df(udp(at(client), at(vip), &payload(3000, 1)), ID);
        let other = at(vip).ip();
        let unserved = udp(at(client), SocketAddr::new(other, 99), &payload(3000, 1));
        let frames = pieces(&packet, ID, &[1000, 2000]);
        let [first, second, _] = &frames[..] else {
            panic!("three pieces")
        };
        let tiny = piece(&packet, ID, 0, 8);
        let elsewhere = piece(&without_df(unserved, ID), ID, 0, 1000);
        for (came, told) in [
            (vec![first], Some(first)),
            (vec![second, first], Some(first)),
            (vec![first, second], Some(first)),
            (vec![second], None),
            (vec![&tiny], Some(&tiny)),
            (vec![&elsewhere], Some(&elsewhere)),
        ] {
            let mut d = director(vip, server, Method::Masquerade);
            let free = d.free_buffers();
            for piece in &came {
                assert_eq!(d.send(Side::Client, &from_client(piece)).unwrap(), []);
            }
            d.sleep_ms(seconds * 1000 - 100);
            assert_eq!(d.collect(), []);
            d.sleep_ms(200);
            let from = other.to_string();
            let expected = told.map(|piece| too_late(&from, client, piece));
            assert_eq!(told_of(&mut d, Side::Client), Vec::from_iter(expected));
            assert_eq!(d.losses(), [("fragment_timeout", came.len() as u64)]);
            assert_eq!(d.totals().icmp_sent, told.iter().count() as u64);
            assert_eq!(d.free_buffers(), free);
        }
    }
}

#[test]
fn one_for_somebody_behind_the_director_is_told_of_by_the_director() {
    for ((client, vip, server), (own, servers)) in FAMILIES
        .into_iter()
        .zip([("10.9.9.254", "192.168.1.254"), ("fd09::fe", "fd01::fe")])
    {
        let to = at(server);
        let behind = SocketAddr::new(to.ip(), 999);
        let v4 = client == CLIENT;
        let mut d = director(vip, server, Method::Masquerade);
        for (side, src, dst, from) in [
            (Side::Client, at(client), behind, own),
            (Side::Server, to, at(client), servers),
        ] {
            let packet = without_df(udp(src, dst, &payload(2000, 1)), ID);
            let first = piece(&packet, ID, 0, 1000);
            let send = |d: &mut Director, piece: &[u8]| {
                let frame = match side {
                    Side::Client => from_client(piece),
                    Side::Server => from_server(1, piece),
                };
                assert_eq!(d.send(side, &frame).unwrap(), []);
                d.sleep_ms(61_000);
            };
            send(&mut d, &first);
            // The router of IPv4 has it behind it.
            let quote = with_ttl(first.clone(), if v4 { 63 } else { 64 });
            let expected = too_late(from, &src.to_string(), &quote);
            assert_eq!(told_of(&mut d, side), [expected]);
            let old = with_ttl(first, 1);
            send(&mut d, &old);
            let mut expected = too_late(from, &src.to_string(), &old);
            if v4 {
                expected.what = (11, 0);
            }
            assert_eq!(told_of(&mut d, side), [expected]);
        }
    }
}

#[test]
fn so_many_are_told_and_no_more_and_errors_and_the_director_itself_are_not() {
    let mut d = director(VIP, SERVER, Method::Masquerade);
    for n in 0..60 {
        let packet = without_df(udp(at(CLIENT), at(VIP), &payload(2000, 1)), n);
        sent(&mut d, &[piece(&packet, n, 0, 1000)]);
    }
    d.sleep_ms(31_000);
    assert_eq!(told_of(&mut d, Side::Client).len(), 50, "the burst");
    let totals = d.totals();
    assert_eq!((totals.icmp_sent, totals.icmp_limited), (50, 10));
    assert_eq!(d.losses(), [("fragment_timeout", 60)]);
    d.sleep_ms(1000);
    let quote = udp(at(VIP), at(CLIENT), &payload(1800, 1));
    let error = icmp(at(CLIENT).ip(), at(VIP).ip(), (3, 3), 0, &quote);
    let own = udp(at("10.9.9.254:4000"), at(VIP), &payload(1800, 1));
    let nobody = udp(at("127.0.0.1:4000"), at(VIP), &payload(1800, 1));
    for packet in [error, own, nobody] {
        sent(&mut d, &[piece(&without_df(packet, ID), ID, 0, 1000)]);
        d.sleep_ms(31_000);
        assert_eq!(told_of(&mut d, Side::Client), []);
    }
    assert_eq!(d.losses(), [("fragment_timeout", 63)]);
}
