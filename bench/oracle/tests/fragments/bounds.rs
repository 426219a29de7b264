//! Datagrams that are never whole: too late, too many, or of pieces that do not belong together.

use crate::common::dns::VIP;
use crate::common::pieces::{ID, piece, pieces, without_df};
use crate::common::{CLIENT, first_piece};
use crate::support::{FAMILIES, SERVER, counted, director, payload, sent};
use pvs_dataplane::worker::{FRAGMENTED_MAX, FRAGMENTS_MAX, FRAGMENTS_OF_ONE_MAX};
use pvs_oracle::frames::udp;
use pvs_oracle::scenario::at;
use pvs_sched::{Counters, Method};

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
