//! Errors that come in pieces themselves: put together, decided as one, and sent on in pieces. What
//! leaves is what kernel 6.1 let go.

use crate::common::icmp::{Told, addr, icmp, one, told};
use crate::common::pieces::{ID, by, fix, lengths, pieces, whole, without_df};
use crate::common::{CLIENT, nic, service, snapshot, with_ttl};
use crate::support::{FAMILIES, Family, SECOND, SERVER, VIP, counted, tunnelled, with_checksum_of};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::punt::PuntClass;
use pvs_dataplane::steering::Steering;
use pvs_oracle::frames::{from_client, from_server, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side, laboratory_with};
use pvs_proto::Protocol;
use pvs_sched::{Method, Transport};

/// Bytes of data of the quoted packet.
const LEN: usize = 1792;

fn data() -> Vec<u8> {
    (0..LEN).map(|n| n as u8).collect()
}

/// A client's error about an answer, as it came and as its server gets it; and a
/// server's about a request.
fn errors(f: &Family) -> [(Vec<u8>, Vec<u8>); 2] {
    let [client, vip, server] = [f.client, f.vip, f.server].map(at);
    let kind = (f.followed[0], 3);
    let answer = |from| udp(from, client, &data());
    let request = |to| udp(client, to, &data());
    let (seen, sent) = (answer(vip), answer(server));
    let told_server = with_checksum_of(sent, &seen);
    let (got, asked) = (request(server), request(vip));
    let told_client = with_checksum_of(asked, &got);
    let error = |from, to, about: &[u8]| icmp(from, to, kind, 0, about);
    let (c, v, s) = (client.ip(), vip.ip(), server.ip());
    [
        (error(c, v, &seen), with_ttl(error(c, s, &told_server), 63)),
        (error(s, c, &got), with_ttl(error(v, c, &told_client), 63)),
    ]
}

/// Sends pieces in by a side; the frames that come out by the other one.
fn sent(d: &mut Director, side: Side, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let other = match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    };
    let frame = |piece: &[u8]| match side {
        Side::Client => from_client(piece),
        Side::Server => from_server(1, piece),
    };
    let out = pieces
        .iter()
        .flat_map(|piece| d.send(side, &frame(piece)).unwrap());
    by(other, out.collect())
}

const SIDES: [Side; 2] = [Side::Client, Side::Server];

#[test]
fn an_error_in_pieces_is_translated_once_it_is_whole() {
    for f in &FAMILIES {
        for (side, (error, expected)) in SIDES.into_iter().zip(errors(f)) {
            // In their order and in another one; and with next to nothing in the first.
            for (cuts, reversed) in [(&[1000][..], false), (&[1000], true), (&[8, 1000], false)] {
                let mut d = f.opened(Method::Masquerade);
                let free = d.free_buffers();
                let mut frames = pieces(&without_df(error.clone(), ID), ID, cuts);
                let sizes: Vec<usize> = frames.iter().map(Vec::len).collect();
                if reversed {
                    frames.reverse();
                }
                let out = sent(&mut d, side, &frames);
                assert_eq!(told(&whole(&out)), told(&expected));
                if cuts.len() == 1 {
                    assert_eq!(lengths(&out), sizes, "with the sizes that came");
                }
                let (request, len) = (f.request().len(), error.len());
                let expected = match side {
                    Side::Client => counted([1, 0], [request + len, 0]),
                    Side::Server => counted([0, 1], [request, len]),
                };
                assert_eq!(
                    d.counters(SECOND),
                    expected,
                    "one packet of the whole length"
                );
                assert_eq!((d.losses(), d.punted()), (vec![], vec![]));
                assert_eq!(d.free_buffers(), free);
            }
        }
    }
}

#[test]
fn a_wrong_checksum_over_all_pieces_is_noticed() {
    for f in &FAMILIES {
        for (side, (mut error, _)) in SIDES.into_iter().zip(errors(f)) {
            *error.last_mut().unwrap() ^= 1;
            let mut d = f.opened(Method::Masquerade);
            let before = d.counters(SECOND);
            let frames = pieces(&without_df(error, ID), ID, &[1000]);
            assert_eq!(sent(&mut d, side, &frames), [] as [Vec<u8>; 0]);
            assert_eq!(d.losses(), [("icmp_checksum", 1)]);
            assert_eq!(d.counters(SECOND), before);
        }
    }
}

/// An error with or without DF, in pieces or whole.
fn cut(error: &[u8], df: bool, cuts: &[usize]) -> Vec<Vec<u8>> {
    let packet = match df {
        true => error.to_vec(),
        false => without_df(error.to_vec(), ID),
    };
    match cuts {
        [] => vec![packet],
        cuts => pieces(&packet, ID, cuts),
    }
}

#[test]
fn df_holds_for_pieces_alone_on_the_way_to_a_server_and_for_the_whole_on_the_way_back() {
    let [v4, v6] = &FAMILIES;
    let short = |f: &Family| {
        let seen = udp(at(f.vip), at(f.client), &data());
        icmp(at(f.client).ip(), at(f.vip).ip(), (3, 3), 0, &seen[..1372])
    };
    let [long4, long6] = [v4, v6].map(|f| errors(f)[0].0.clone());
    for (f, error, df, cuts, expected) in [
        (v4, short(v4), false, &[][..], &[1300, 120][..]),
        (v4, short(v4), true, &[], &[1300, 120]),
        (v4, long4.clone(), false, &[1376], &[1300, 568]),
        (v4, long4.clone(), true, &[1376], &[]),
        (v4, long4, true, &[1000], &[1020, 848]),
        (v6, long6.clone(), true, &[1352], &[]),
        (v6, long6, true, &[960], &[1008, 936]),
    ] {
        let mut d = f.opened(Method::Masquerade);
        d.route(laboratory_with(&[], 1300, 2, |_, _| {}).unwrap());
        let out = sent(&mut d, Side::Client, &cut(&error, df, cuts));
        assert_eq!(lengths(&out), expected, "{df} {cuts:?}");
        let fields = out.iter().filter(|frame| frame[12] == 8);
        assert!(fields.into_iter().all(|frame| frame[20] & 0x40 == 0));
        let bytes = [f.request().len() + error.len(), 0];
        assert_eq!(d.counters(SECOND), counted([1, 0], bytes), "sent or not");
        let lost = if out.is_empty() {
            vec![("too_big", 1)]
        } else {
            vec![]
        };
        assert_eq!(d.losses(), lost);
    }

    let error = &errors(v4)[1].0;
    for (df, expected) in [(false, &[1020, 848][..]), (true, &[])] {
        let mut d = v4.opened(Method::Masquerade);
        let out = sent(&mut d, Side::Server, &cut(error, df, &[1000]));
        assert_eq!(lengths(&out), expected);
        let bytes = [v4.request().len(), error.len()];
        assert_eq!(d.counters(SECOND), counted([0, 1], bytes), "sent or not");
    }
}

#[test]
fn without_translation_it_goes_to_the_server_as_it_is() {
    let f = &FAMILIES[0];
    let seen = udp(at(VIP), at(CLIENT), &vec![0; 1800]);
    let error = icmp(at(CLIENT).ip(), at(VIP).ip(), (3, 3), 0, &seen);
    let error = without_df(error, ID);
    for (method, expected) in [(Method::Route, [1020, 856]), (Method::Tunnel, [1020, 876])] {
        let mut d = f.opened(method);
        let out = sent(&mut d, Side::Client, &pieces(&error, ID, &[1000]));
        assert_eq!(lengths(&out), expected, "a tunnel is cut outside");
        let left = whole(&out);
        assert!(left[left.len() - error.len()..] == with_ttl(error.clone(), 63));
        assert_eq!(d.losses(), []);
    }
    // DF keeps none from being cut, and what came in pieces with it leaves in pieces with it.
    for (error, cuts, expected, df) in [
        (&error[..1490], &[][..], [1500, 30], 0),
        (&error[..], &[1000], [1020, 876], 0x40),
    ] {
        let mut error = error.to_vec();
        let len = error.len() as u16;
        error[2..4].copy_from_slice(&len.to_be_bytes());
        error[6] = 0x40;
        let mut d = f.opened(Method::Tunnel);
        let out = sent(&mut d, Side::Client, &cut(&fix(error), true, cuts));
        assert_eq!(lengths(&out), expected);
        for piece in &out {
            assert_eq!(piece[20] & 0x40, df, "{cuts:?}");
            let header = fix(piece[14..].to_vec());
            assert_eq!(piece[14..34], header[..20], "with its checksum");
            assert_ne!(piece[18..20], [0; 2], "and an identification");
        }
    }
    // An error about a packet in a tunnel is told to the client.
    let mut d = f.opened(Method::Tunnel);
    let inner = udp(at(CLIENT), at(VIP), &data()[..1300]);
    let outer = tunnelled(at(SERVER).ip(), &inner);
    let error = icmp(addr(f.router), addr(f.director), (3, 1), 0, &outer);
    let out = sent(
        &mut d,
        Side::Server,
        &pieces(&without_df(error, ID), ID, &[1000]),
    );
    assert_eq!(lengths(&out), [576]);
    let expected = Told {
        from: at(VIP).ip(),
        to: at(CLIENT).ip(),
        ttl: 64,
        what: (3, 1),
        rest: 0,
        quote: inner[..548].to_vec(),
    };
    assert_eq!(told(&out[0][14..]), expected);
}

#[test]
fn other_messages_in_pieces_are_linuxs_once_they_are_whole() {
    for f in &FAMILIES {
        let mut d = f.opened(Method::Masquerade);
        let before = d.counters(SECOND);
        let (client, vip) = (at(f.client).ip(), at(f.vip).ip());
        let unknown = udp(at(f.vip), at(&f.client.replace("4001", "999")), &data());
        let echo = if f.protocol == Protocol::ICMP { 8 } else { 128 };
        for packet in [
            icmp(client, vip, (echo, 0), 1, &data()),
            icmp(client, vip, (f.followed[0], 0), 0, &unknown),
        ] {
            let frames = pieces(&without_df(packet, ID), ID, &[1000]);
            let frames: Vec<_> = frames.iter().map(|piece| from_client(piece)).collect();
            assert_eq!(d.send(Side::Client, &frames[1]).unwrap(), []);
            assert_eq!(d.punted(), [], "it waits");
            assert_eq!(d.send(Side::Client, &frames[0]).unwrap(), []);
            let as_it_came = frames
                .into_iter()
                .map(|frame| (PuntClass::Local, Side::Client, frame));
            assert_eq!(d.punted(), as_it_came.collect::<Vec<_>>());
        }
        assert_eq!(d.counters(SECOND), before);
        assert_eq!(d.losses(), []);
    }
}

#[test]
fn the_pieces_reach_the_worker_that_owns_the_connection() {
    const WORKERS: u16 = 4;
    for steering in [Steering::ring(WORKERS), nic(WORKERS)] {
        let queues = WORKERS.into();
        let config = EngineConfig::default();
        let mut d = Director::several(config, &[], 4096, steering, queues).unwrap();
        let servers = [(SERVER, Method::Masquerade)];
        d.configure(snapshot(1, Some(service(Transport::Udp, VIP, &servers))));
        for n in 0..48u16 {
            let client = at(&format!("10.9.0.{}:{}", 1 + n % 9, 4000 + n));
            let request = from_client(&udp(client, at(VIP), b"question"));
            let out = d.send_by(Side::Client, 0, &request).unwrap();
            one(&d, Side::Server, out);
            let seen = udp(at(VIP), client, &data());
            let error = icmp(client.ip(), at(VIP).ip(), (3, 3), 0, &seen);
            let frames = pieces(&without_df(error, n.into()), n.into(), &[1000]);
            let mut out = Vec::new();
            for (at, piece) in frames.iter().enumerate() {
                let queue = (usize::from(n) + at) % queues;
                let left = d.send_by(Side::Client, queue, &from_client(piece));
                out.extend(left.unwrap());
            }
            let left = told(&whole(&by(Side::Server, out)));
            assert_eq!((left.from, left.to), (client.ip(), at(SERVER).ip()));
            let counters = d.counters(SECOND);
            assert_eq!(counters.in_packets, 2 * (u64::from(n) + 1));
        }
        assert_eq!((d.losses(), d.punted()), (vec![], vec![]));
    }
}
