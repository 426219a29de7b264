//! Several workers: whose a packet is, how it gets there, and what is counted on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::pieces::{Random, by, joined, pieces, without_df};
use common::{SERVER, VIP, one, seen, service, snapshot};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::handover::HANDOVER_RING_MAX;
use pvs_dataplane::steering::Steering;
use pvs_oracle::frames::{CLIENT_MAC, DIRECTOR_CLIENT_MAC, ethernet};
use pvs_oracle::frames::{from_client, from_server, tcp, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_proto::wire::ethernet::IPV4;
use pvs_proto::wire::tcp::{ACK, SYN};
use pvs_proto::{Addr4, Endpoint};
use pvs_sched::{Counters, Load, Method, SchedulerName, ServerIndex, Transport};
use std::net::SocketAddr;

const WORKERS: usize = 4;
const FLOWS: u16 = 400;

fn director(steering: Steering, queues: usize, servers: &[(&str, Method)]) -> Director {
    let config = EngineConfig::default();
    let mut d = Director::several(config, &[], 4096, steering, queues).unwrap();
    d.configure(snapshot(1, Some(service(Transport::Tcp, VIP, servers))));
    d
}

fn nic() -> Steering {
    common::nic(WORKERS as u16)
}

fn client(n: u16) -> SocketAddr {
    at(&format!("10.9.{}.{}:{}", n % 3, 1 + n % 200, 4000 + n))
}

/// The queue that a NIC with this steering brings a client's packets by.
fn queue_of(steering: &Steering, client: SocketAddr) -> usize {
    let SocketAddr::V4(v4) = client else {
        unreachable!()
    };
    let endpoint = Endpoint {
        addr: Addr4::from(*v4.ip()),
        port: v4.port(),
    };
    steering.owner(endpoint).unwrap().0.into()
}

/// Handshakes of many clients under masquerading; `queue` says by which queue
/// a client's packets come.
fn handshakes(d: &mut Director, queue: impl Fn(SocketAddr) -> usize) {
    for n in 0..FLOWS {
        let from = client(n);
        let syn = from_client(&tcp(from, at(VIP), SYN, b""));
        let (side, out) = one(d.send_by(Side::Client, queue(from), &syn).unwrap());
        assert_eq!((side, out.src, out.dst), (Side::Server, from, at(SERVER)));
        let reply = from_server(1, &tcp(at(SERVER), from, SYN | ACK, b""));
        let (side, out) = one(d.send_by(Side::Server, queue(from), &reply).unwrap());
        assert_eq!((side, out.src, out.dst), (Side::Client, at(VIP), from));
        let ack = from_client(&tcp(from, at(VIP), ACK, b""));
        one(d.send_by(Side::Client, queue(from), &ack).unwrap());
    }
    let flows = u64::from(FLOWS);
    assert_eq!(
        d.counters(ServerIndex(1)),
        Counters {
            connections: flows,
            in_packets: 2 * flows,
            out_packets: flows,
            in_bytes: 80 * flows,
            out_bytes: 40 * flows,
        }
    );
    assert_eq!(
        d.load(ServerIndex(1)),
        Load {
            active: FLOWS.into(),
            inactive: 0
        }
    );
    assert_eq!((d.losses(), d.punted()), (vec![], vec![]));
}

/// Each worker's connections, and the frames that it gave away, sent by others, and was given.
fn work(d: &Director) -> Vec<(u64, u64, u64, u64)> {
    let totals = d.handles().iter().map(|handle| handle.stats.totals());
    totals
        .map(|t| (t.connections, t.handed_over, t.relayed, t.taken_over))
        .collect()
}

#[test]
fn with_one_queue_packets_are_handed_to_their_owners_and_leave_by_it() {
    let steering = Steering::ring(WORKERS as u16);
    let mut d = director(steering, 1, &[(SERVER, Method::Masquerade)]);
    let buffers = d.free_buffers();
    handshakes(&mut d, |_| 0);
    let work = work(&d);
    let share = u64::from(FLOWS) / WORKERS as u64;
    assert!(
        work.iter().all(|w| w.0 > share / 2 && w.0 < share * 2),
        "{work:?}"
    );
    let elsewhere: u64 = work[1..].iter().map(|w| w.0).sum();
    // Three packets of each connection that is not the receiver's go to its
    // owner, and come back to leave.
    assert_eq!(work[0].1, 3 * elsewhere);
    assert_eq!(work[1..].iter().map(|w| w.2).sum::<u64>(), 3 * elsewhere);
    assert_eq!(work[0].3, 3 * elsewhere);
    assert_eq!(d.free_buffers(), buffers, "no buffer is lost");
}

#[test]
fn with_a_queue_for_each_worker_nothing_comes_back_to_leave() {
    let steering = Steering::ring(WORKERS as u16);
    let mut d = director(steering, WORKERS, &[(SERVER, Method::Masquerade)]);
    handshakes(&mut d, |from| usize::from(from.port()) % WORKERS);
    assert!(work(&d).iter().all(|w| w.1 > 0 && w.2 == 0));
}

#[test]
fn a_nic_that_does_its_part_leaves_nothing_to_hand_over() {
    let steering = nic();
    let mut d = director(steering.clone(), WORKERS, &[(SERVER, Method::Masquerade)]);
    handshakes(&mut d, |from| queue_of(&steering, from));
    let work = work(&d);
    assert!(
        work.iter().all(|w| w.0 > 0 && (w.1, w.2, w.3) == (0, 0, 0)),
        "{work:?}"
    );
}

#[test]
fn what_a_nic_brings_to_the_wrong_worker_is_handed_over_once() {
    let steering = nic();
    let mut d = director(steering.clone(), WORKERS, &[(SERVER, Method::Masquerade)]);
    handshakes(&mut d, |from| (queue_of(&steering, from) + 1) % WORKERS);
    let handed: u64 = work(&d).iter().map(|w| w.1).sum();
    assert_eq!(handed, 3 * u64::from(FLOWS));
}

#[test]
fn under_rxq_the_queues_worker_owns_what_arrives() {
    let mut d = director(
        Steering::rxq(2),
        2,
        &[
            ("192.168.1.1:80", Method::Route),
            ("192.168.1.2:80", Method::Route),
        ],
    );
    for n in 0..FLOWS {
        let queue = usize::from(n % 2);
        for signal in [SYN, ACK] {
            let packet = from_client(&tcp(client(n), at(VIP), signal, b""));
            one(d.send_by(Side::Client, queue, &packet).unwrap());
        }
    }
    let half = u64::from(FLOWS) / 2;
    assert_eq!(work(&d), [(half, 0, 0, 0), (half, 0, 0, 0)]);
    // The scheduler's position is shared: both servers have as many.
    for server in [1, 2] {
        assert_eq!(d.load(ServerIndex(server)).active, u32::from(FLOWS) / 2);
    }
}

#[test]
fn a_scheduler_sees_the_connections_of_all_workers() {
    let mut d = director(Steering::rxq(2), 2, &[]);
    let servers = [
        ("192.168.1.1:80", Method::Route),
        ("192.168.1.2:80", Method::Route),
    ];
    let mut wlc = service(Transport::Tcp, VIP, &servers);
    let mut config = wlc.config.clone();
    config.scheduler = SchedulerName::Wlc;
    wlc = wlc.edited(config);
    d.configure(snapshot(2, Some(wlc)));
    // Were each worker's own connections all it saw, ties would go to the first in both.
    for n in 0..2 {
        let syn = from_client(&tcp(client(n), at(VIP), SYN, b""));
        one(d.send_by(Side::Client, n.into(), &syn).unwrap());
    }
    let active = [1, 2].map(|server| {
        let load = d.load(ServerIndex(server));
        load.active + load.inactive
    });
    assert_eq!(active, [1, 1]);
}

#[test]
fn replies_of_the_director_itself_go_to_their_connections_owner() {
    const OWN: &str = "10.9.9.254:8080";
    let steering = Steering::ring(WORKERS as u16);
    let mut d = director(steering, 1, &[(OWN, Method::Masquerade)]);
    for n in 0..40 {
        let syn = from_client(&tcp(client(n), at(VIP), SYN, b""));
        assert_eq!(d.send(Side::Client, &syn).unwrap(), []);
        assert_eq!(seen(&d.punted()[0].2).dst, at(OWN));
        let reply = tcp(at(OWN), client(n), SYN | ACK, b"");
        let reply = ethernet(CLIENT_MAC, DIRECTOR_CLIENT_MAC, IPV4, &reply);
        assert!(d.inject(Side::Client, &reply));
        d.settle();
        let out = d.cable(Side::Client).receive_bytes().unwrap();
        assert_eq!(seen(&out).src, at(VIP));
    }
}

#[test]
fn what_is_no_connections_is_whose_worker_receives_it() {
    let steering = Steering::ring(WORKERS as u16);
    let mut d = director(steering, WORKERS, &[(SERVER, Method::Masquerade)]);
    let arp = ethernet(pvs_proto::MacAddr::BROADCAST, CLIENT_MAC, 0x0806, &[0; 28]);
    for queue in 0..WORKERS {
        assert_eq!(d.send_by(Side::Client, queue, &arp).unwrap(), []);
    }
    assert_eq!(d.punted().len(), WORKERS);
    assert!(work(&d).iter().all(|w| w.1 == 0));
}

#[test]
fn a_worker_that_stands_still_holds_up_nobody() {
    let steering = Steering::ring(2);
    let mut d = director(steering.clone(), 1, &[(SERVER, Method::Masquerade)]);
    let buffers = d.free_buffers();
    let its = |worker: usize| {
        let steering = steering.clone();
        (0..).filter(move |n| queue_of(&steering, client(*n)) == worker)
    };
    // Only the first worker turns. What belongs to the other waits, and then is lost and counted.
    let mut lost = 0;
    for n in its(1).cycle().take(HANDOVER_RING_MAX + 100) {
        let syn = from_client(&tcp(client(n % 20_000), at(VIP), SYN, b""));
        assert!(d.cable(Side::Client).send(&syn));
        d.poll_one(0);
        lost = d.losses().iter().map(|(_, n)| *n).sum();
    }
    assert_eq!((d.losses(), lost), (vec![("hand_over_full", 100)], 100));
    let own = its(0).next().unwrap();
    let syn = from_client(&tcp(client(own), at(VIP), SYN, b""));
    assert!(d.cable(Side::Client).send(&syn));
    d.poll_one(0);
    assert!(d.cable(Side::Server).receive().is_some());
    // It wakes up and does its work, in bounded turns.
    d.settle();
    d.drain();
    assert_eq!(d.free_buffers(), buffers);
}

#[test]
fn two_directors_of_one_and_of_four_workers_do_the_same() {
    let trace = |workers: u16| {
        let steering = Steering::ring(workers);
        let servers = [
            ("192.168.1.1:80", Method::Masquerade),
            ("192.168.1.2:80", Method::Masquerade),
            ("192.168.1.3:80", Method::Route),
        ];
        let mut d = director(steering, 1, &servers);
        let mut out = Vec::new();
        for n in 0..300u16 {
            for signal in [SYN, ACK, ACK] {
                let packet = from_client(&tcp(client(n), at(VIP), signal, b"x"));
                out.extend(d.send(Side::Client, &packet).unwrap());
            }
            let stray = from_client(&udp(client(n), at("10.0.0.100:53"), b"?"));
            out.extend(d.send(Side::Client, &stray).unwrap());
        }
        (out, d.punted(), d.losses())
    };
    assert_eq!(trace(1), trace(4));
}

#[test]
fn pieces_meet_at_one_worker_and_go_to_the_owner_of_their_connection() {
    let vip = "10.0.0.100:53";
    for (steering, queues) in [(Steering::ring(WORKERS as u16), 1), (nic(), WORKERS)] {
        let mut d = director(steering, queues, &[]);
        let to = [("192.168.1.1:5353", Method::Masquerade)];
        d.configure(snapshot(2, Some(service(Transport::Udp, vip, &to))));
        let free = d.free_buffers();
        let mut random = Random(5);
        for n in 0..200u16 {
            let data = vec![n as u8; 3000];
            let both = [
                (Side::Client, Side::Server, udp(client(n), at(vip), &data)),
                (
                    Side::Server,
                    Side::Client,
                    udp(at(to[0].0), client(n), &data),
                ),
            ];
            for (from, by_side, packet) in both {
                let mut frames = pieces(&without_df(packet, n.into()), n.into(), &[1000, 2000]);
                random.shuffle(&mut frames);
                // A NIC hashes pieces by addresses alone, if at all: they come by any queue.
                let mut out = Vec::new();
                for piece in &frames {
                    let frame = match from {
                        Side::Client => from_client(piece),
                        Side::Server => from_server(1, piece),
                    };
                    let queue = random.below(queues);
                    out.extend(d.send_by(from, queue, &frame).unwrap());
                }
                let (_, segment) = joined(&by(by_side, out));
                assert!(segment[8..] == data);
            }
            // A whole packet of the same flow finds the connection that the pieces began.
            let queue = random.below(queues);
            let whole = from_client(&udp(client(n), at(vip), b"?"));
            one(d.send_by(Side::Client, queue, &whole).unwrap());
        }
        let counters = d.counters(ServerIndex(1));
        assert_eq!(
            (
                counters.connections,
                counters.in_packets,
                counters.out_packets
            ),
            (200, 400, 200)
        );
        assert_eq!((d.losses(), d.punted()), (vec![], vec![]));
        assert_eq!(d.free_buffers(), free);
        // To who collects them, and to their owner: never a third time.
        let moved: u64 = d
            .handles()
            .iter()
            .map(|h| h.stats.totals().handed_over)
            .sum();
        assert!(moved > 0 && moved <= 2 * 6 * 200 + 200, "{moved}");
        let shards = d
            .handles()
            .iter()
            .filter(|h| h.stats.totals().connections > 0);
        assert_eq!(shards.count(), WORKERS);
    }
}

#[test]
fn replies_of_a_local_server_in_pieces_find_their_owner() {
    let (vip, own) = ("10.0.0.100:53", "192.168.1.254:5353");
    let mut d = director(Steering::ring(WORKERS as u16), 1, &[]);
    let dns = service(Transport::Udp, vip, &[(own, Method::Masquerade)]);
    d.configure(snapshot(2, Some(dns)));
    for n in 0..100u16 {
        let request = from_client(&udp(client(n), at(vip), b"?"));
        assert_eq!(d.send(Side::Client, &request).unwrap(), []);
        let data = vec![n as u8; 3000];
        let reply = without_df(udp(at(own), client(n), &data), n.into());
        for piece in pieces(&reply, n.into(), &[1000, 2000]) {
            let frame = ethernet(CLIENT_MAC, DIRECTOR_CLIENT_MAC, IPV4, &piece);
            assert!(d.inject(Side::Client, &frame));
        }
        d.settle();
        let cable = d.cable(Side::Client);
        let out: Vec<_> = core::iter::from_fn(|| cable.receive_bytes()).collect();
        assert_eq!(out.len(), 3);
        assert!(joined(&out).1[8..] == data);
        let source = &out[0][26..30];
        assert_eq!(source, [10, 0, 0, 100]);
    }
    assert_eq!(d.losses(), []);
    assert_eq!(d.counters(ServerIndex(1)).out_packets, 100);
}

#[test]
fn a_worker_without_a_queue_cuts_what_is_too_long_too() {
    let vip = "10.0.0.100:53";
    let mut d = director(Steering::ring(WORKERS as u16), 1, &[]);
    let to = [("192.168.1.1:53", Method::Tunnel)];
    d.configure(snapshot(2, Some(service(Transport::Udp, vip, &to))));
    let free = d.free_buffers();
    for n in 0..100u16 {
        let packet = without_df(udp(client(n), at(vip), &[n as u8; 1472]), n.into());
        let out = d.send(Side::Client, &from_client(&packet)).unwrap();
        let (_, inner) = joined(&by(Side::Server, out));
        assert_eq!(inner[20..], packet[20..]);
    }
    assert_eq!((d.losses(), d.free_buffers()), (vec![], free));
    let shards = d.handles().iter();
    let shards = shards.filter(|h| h.stats.totals().connections > 0);
    assert_eq!(shards.count(), WORKERS);
}
