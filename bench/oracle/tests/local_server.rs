//! Servers that are the director itself (LocalNode): what Linux gets, and
//! what becomes of its replies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::pieces::{ID, joined, pieces, without_df};
use common::{CLIENT, SERVER, VIP, director, seen};
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::frames::{CLIENT_MAC, DIRECTOR_CLIENT_MAC, ethernet, from_client, tcp, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_proto::wire::ethernet::{IPV4, IPV6};
use pvs_proto::wire::tcp::{ACK, FIN, SYN};
use pvs_sched::{Counters, Method, ServerIndex, Transport};

const OWN: &str = "10.9.9.254:8080";
const OWN6: &str = "[fd09::fe]:8080";
const VIP6: &str = "[fd00::100]:80";
const CLIENT6: &str = "[fd77::1]:4001";

/// Sends a client's packet in and returns what Linux gets.
fn delivered(d: &mut Director, packet: &[u8]) -> Vec<u8> {
    assert_eq!(
        d.send(Side::Client, &from_client(packet)).unwrap(),
        [],
        "nothing leaves"
    );
    let mut punted = d.punted();
    assert_eq!(punted.len(), 1, "{punted:?}");
    let (class, side, frame) = punted.remove(0);
    assert_eq!((class, side), (PuntClass::Local, Side::Client));
    frame
}

/// Lets Linux send a packet to the clients' router and returns what leaves.
fn sent_by_linux(d: &mut Director, ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let frame = ethernet(CLIENT_MAC, DIRECTOR_CLIENT_MAC, ethertype, packet);
    assert!(d.inject(Side::Client, &frame));
    d.settle();
    d.cable(Side::Client).receive_bytes().unwrap()
}

fn a_connection(vip: &str, own: &str, client: &str, ethertype: u16) {
    let mut d = director(Transport::Tcp, vip, &[(own, Method::Masquerade)]);
    let (vip, own, client) = (at(vip), at(own), at(client));
    let request = seen(&delivered(&mut d, &tcp(client, vip, SYN, b"")));
    assert_eq!((request.src, request.dst, request.ttl), (client, own, 64));
    let reply = tcp(own, client, SYN | ACK, b"");
    let out = seen(&sent_by_linux(&mut d, ethertype, &reply));
    assert_eq!((out.src, out.dst, out.ttl), (vip, client, 64));
    assert_eq!(out.macs, (CLIENT_MAC, DIRECTOR_CLIENT_MAC));
    let request = seen(&delivered(&mut d, &tcp(client, vip, ACK, b"get")));
    assert_eq!(request.dst, own);
    let record = &d.connections()[0];
    assert_eq!((record.state, record.server), ("ESTABLISHED", own));
    let header = if client.is_ipv4() { 40 } else { 60 };
    assert_eq!(
        d.counters(ServerIndex(1)),
        Counters {
            connections: 1,
            in_packets: 2,
            out_packets: 1,
            in_bytes: 2 * header + 3,
            out_bytes: header,
        }
    );
    // Both sides end it, and the state follows Linux's packets as it follows a server's.
    sent_by_linux(&mut d, ethertype, &tcp(own, client, FIN | ACK, b""));
    delivered(&mut d, &tcp(client, vip, FIN | ACK, b""));
    assert_eq!(d.connections()[0].state, "TIME_WAIT");
    assert_eq!(d.losses(), []);
}

#[test]
fn a_masqueraded_connection_is_translated_both_ways() {
    a_connection(VIP, OWN, CLIENT, IPV4);
    a_connection(VIP6, OWN6, CLIENT6, IPV6);
}

#[test]
fn udp_is_translated_both_ways() {
    let mut d = director(
        Transport::Udp,
        "10.0.0.100:53",
        &[(OWN, Method::Masquerade)],
    );
    let request = seen(&delivered(
        &mut d,
        &udp(at(CLIENT), at("10.0.0.100:53"), b"who"),
    ));
    assert_eq!(request.dst, at(OWN));
    let out = sent_by_linux(&mut d, IPV4, &udp(at(OWN), at(CLIENT), b"me"));
    assert_eq!(seen(&out).src, at("10.0.0.100:53"));
}

#[test]
fn under_direct_routing_and_tunnelling_linux_gets_the_packet_as_it_came() {
    for method in [Method::Route, Method::Tunnel] {
        let mut d = director(Transport::Tcp, VIP, &[("10.9.9.254:80", method)]);
        let syn = tcp(at(CLIENT), at(VIP), SYN, b"");
        assert_eq!(delivered(&mut d, &syn), from_client(&syn));
        // The reply has the virtual address already.
        let reply = tcp(at(VIP), at(CLIENT), SYN | ACK, b"");
        let out = sent_by_linux(&mut d, IPV4, &reply);
        assert_eq!(out[14..], reply);
        assert_eq!(d.counters(ServerIndex(1)).out_packets, 0);
    }
}

#[test]
fn what_else_linux_sends_is_left_alone() {
    let mut d = director(Transport::Tcp, VIP, &[(OWN, Method::Masquerade)]);
    delivered(&mut d, &tcp(at(CLIENT), at(VIP), SYN, b""));
    for packet in [
        tcp(at("10.9.9.254:8080"), at("10.9.0.1:4002"), SYN | ACK, b""),
        tcp(at("10.9.9.254:8081"), at(CLIENT), SYN | ACK, b""),
        udp(at(OWN), at(CLIENT), b"the same ports of another protocol"),
        // The tuple of a request, as nobody but a client sends it.
        tcp(at(CLIENT), at(VIP), ACK, b""),
        b"no packet at all".to_vec(),
        vec![],
    ] {
        assert_eq!(sent_by_linux(&mut d, IPV4, &packet)[14..], packet);
    }
    assert_eq!(d.losses(), []);
}

#[test]
fn replies_of_a_removed_one_still_pass_translated() {
    let mut d = director(Transport::Tcp, VIP, &[(OWN, Method::Masquerade)]);
    delivered(&mut d, &tcp(at(CLIENT), at(VIP), SYN, b""));
    d.configure(common::snapshot(
        2,
        Some(common::service(Transport::Tcp, VIP, &[])),
    ));
    let out = sent_by_linux(&mut d, IPV4, &tcp(at(OWN), at(CLIENT), SYN | ACK, b""));
    assert_eq!(seen(&out).src, at(VIP));
    assert_eq!(
        d.counters(ServerIndex(1)).out_packets,
        0,
        "and count nowhere, as the kernel's"
    );
}

#[test]
fn a_local_server_and_a_distant_one_take_turns() {
    let mut d = director(
        Transport::Tcp,
        VIP,
        &[(OWN, Method::Masquerade), (SERVER, Method::Masquerade)],
    );
    let mut to_linux = 0;
    for port in 5000..5010 {
        let syn = tcp(at(&format!("10.9.0.1:{port}")), at(VIP), SYN, b"");
        let out = d.send(Side::Client, &from_client(&syn)).unwrap();
        let punted = d.punted();
        assert_eq!(out.len() + punted.len(), 1);
        to_linux += punted.len();
    }
    assert_eq!(to_linux, 5);
}

#[test]
fn nothing_is_translated_to_a_loopback_address() {
    let mut d = director(Transport::Tcp, VIP, &[("127.0.0.1:80", Method::Masquerade)]);
    let mut b = pvs_dataplane::fib::FibBuilder::new();
    let c1 = b.interface(pvs_dataplane::fib::Interface {
        port: Side::Client.port(),
        vlan: pvs_proto::VlanId::NONE,
        mac: DIRECTOR_CLIENT_MAC,
        other_macs: vec![],
        mtu: 1500,
    });
    use pvs_dataplane::fib::Target;
    use pvs_proto::{Addr4, V4};
    b.route::<V4>(Addr4(0), 0, Target::OnLink(c1));
    b.route::<V4>(Addr4::from_wire([127, 0, 0, 0]), 8, Target::Local);
    b.route::<V4>(Addr4::from_wire([10, 0, 0, 100]), 32, Target::Local);
    d.route(b.build(2));
    let syn = tcp(at(CLIENT), at(VIP), SYN, b"");
    assert_eq!(d.send(Side::Client, &from_client(&syn)).unwrap(), []);
    assert_eq!(d.punted(), []);
    assert_eq!(d.losses(), [("loopback_server", 1)]);
}

#[test]
fn a_reply_in_pieces_is_translated_once_it_is_whole() {
    let vip = "10.0.0.100:53";
    let mut d = director(Transport::Udp, vip, &[(OWN, Method::Masquerade)]);
    delivered(&mut d, &udp(at(CLIENT), at(vip), b"who"));
    let data = vec![7; 3000];
    let reply = without_df(udp(at(OWN), at(CLIENT), &data), ID);
    let stranger = without_df(udp(at("10.9.9.254:99"), at(CLIENT), &data), ID + 1);
    for (packet, id) in [(reply, ID), (stranger.clone(), ID + 1)] {
        for piece in pieces(&packet, id, &[1000, 2000]) {
            let frame = ethernet(CLIENT_MAC, DIRECTOR_CLIENT_MAC, IPV4, &piece);
            assert!(d.inject(Side::Client, &frame));
        }
    }
    d.settle();
    let cable = d.cable(Side::Client);
    let mut out: Vec<_> = core::iter::from_fn(|| cable.receive_bytes()).collect();
    let others = out.split_off(3);
    let (_, segment) = joined(&out);
    assert!(segment[8..] == data);
    assert_eq!(
        (&out[0][26..30], &segment[..2]),
        (&[10, 0, 0, 100][..], &[0, 53][..])
    );
    assert_eq!(
        joined(&others).1,
        stranger[20..],
        "what is no reply leaves as it came"
    );
    assert_eq!(others[0][26..30], [10, 9, 9, 254]);
    assert_eq!(d.losses(), []);
}
