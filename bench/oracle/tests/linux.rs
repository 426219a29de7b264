//! What goes to Linux and comes from it, and which packets a service does not take.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::pieces::fix;
use common::{CLIENT, SERVER, VIP, director, one};
use pvs_dataplane::fib::Neighbour;
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::Side;
use pvs_oracle::frames::{self, from_client, from_server, server_mac, tcp, udp};
use pvs_oracle::scenario::{at, fib_with};
use pvs_proto::MacAddr;
use pvs_proto::wire::tcp::{ACK, SYN};
use pvs_sched::{Method, Transport};

#[test]
fn a_service_takes_packets_only_while_its_address_is_local() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let syn = from_client(&tcp(at(CLIENT), at(VIP), SYN, b""));
    let ack = from_client(&tcp(at(CLIENT), at(VIP), ACK, b""));
    assert_eq!(d.send(Side::Client, &syn).unwrap().len(), 1);
    // The address goes away: neither a new connection nor the old one is balanced.
    d.route(fib_with(Some(Neighbour::Resolved(server_mac(1))), 2, false));
    for frame in [&syn, &ack] {
        assert!(d.send(Side::Client, frame).unwrap().is_empty());
        assert_eq!(
            d.punted(),
            [(PuntClass::Forwarded, Side::Client, frame.clone())]
        );
    }
    // A reply passes, and does not bring the connection back.
    let reply = from_server(1, &tcp(at(SERVER), at(CLIENT), SYN | ACK, b""));
    d.send(Side::Server, &reply).unwrap();
    d.punted();
    assert!(d.send(Side::Client, &ack).unwrap().is_empty());
    assert_eq!(
        d.punted(),
        [(PuntClass::Forwarded, Side::Client, ack.clone())]
    );
    // It comes back, and so does the connection.
    d.route(fib_with(Some(Neighbour::Resolved(server_mac(1))), 3, true));
    assert_eq!(one(d.send(Side::Client, &ack).unwrap()).1.dst, at(SERVER));
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
        .partition(|p| p.0 == PuntClass::Neighbour);
    assert_eq!(others.len(), 1024, "as many as a ring holds");
    assert_eq!(control, [(PuntClass::Neighbour, Side::Client, arp)]);
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
        (Side::Client, arp, PuntClass::Neighbour),
        (Side::Client, ssh, PuntClass::Local),
        (Side::Client, bgp, PuntClass::Session),
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
fn a_packet_that_ends_within_its_header_is_dropped_whoever_it_is_for() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    for (lost, to) in [VIP, "10.0.0.100:81", "192.168.1.9:80"]
        .into_iter()
        .enumerate()
    {
        let mut packet = tcp(at(CLIENT), at(to), SYN, b"");
        packet.truncate(28);
        packet[3] = 28;
        assert_eq!(
            d.send(Side::Client, &from_client(&fix(packet))).unwrap(),
            []
        );
        assert_eq!(d.losses(), [("transport_truncated", 1 + lost as u64)]);
    }
    assert_eq!(d.punted(), []);
}
