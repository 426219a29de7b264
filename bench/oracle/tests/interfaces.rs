//! Interfaces: groups that are Linux's, VLANs, macvlans, interfaces that are down, several routers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{CLIENT, SERVER, VIP, director, with_ttl};
use pvs_dataplane::fib::{Fib, FibBuilder, Interface, Leg, Neighbour, Target};
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::frames::{self, from_client, from_server, server_mac, tcp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_proto::wire::tcp::{ACK, SYN};
use pvs_proto::{Addr4, MacAddr, Protocol, V4, VlanId};
use pvs_sched::{Method, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const VRRP_MAC: MacAddr = MacAddr([0, 0, 0x5e, 0, 1, 51]);

/// The hardware address of a group (RFC 1112 section 6.4, RFC 2464 section 7).
fn group_mac(group: IpAddr) -> MacAddr {
    match group {
        IpAddr::V4(a) => {
            let [_, b, c, d] = a.octets();
            MacAddr([1, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(a) => {
            let [.., b, c, d, e] = a.octets();
            MacAddr([0x33, 0x33, b, c, d, e])
        }
    }
}

fn to_group(group: &str, protocol: Protocol, segment: Vec<u8>) -> Vec<u8> {
    let group: IpAddr = group.parse().unwrap();
    let (from, ethertype): (IpAddr, _) = match group {
        IpAddr::V4(_) => (Ipv4Addr::new(10, 9, 9, 7).into(), 0x0800),
        IpAddr::V6(_) => (Ipv6Addr::from_bits(0xfd09 << 112 | 7).into(), 0x86dd),
    };
    let packet = with_ttl(frames::ip(from, group, protocol, segment), 255);
    frames::ethernet(group_mac(group), frames::CLIENT_MAC, ethertype, &packet)
}

#[test]
fn groups_go_to_linux_as_they_came() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let (igmp, ospf) = (Protocol(2), Protocol(89));
    let mut solicitation = vec![135, 0, 0, 0, 0, 0, 0, 0];
    solicitation.extend([0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe]);
    let mdns = frames::udp_datagram(5353, 5353, b"who");
    let lldp = frames::ethernet(
        MacAddr([1, 0x80, 0xc2, 0, 0, 0x0e]),
        frames::CLIENT_MAC,
        0x88cc,
        &[0; 46],
    );
    for (what, frame, class) in [
        (
            "VRRP",
            to_group("224.0.0.18", Protocol::VRRP, vec![0x31; 20]),
            PuntClass::Control,
        ),
        (
            "VRRP, IPv6",
            to_group("ff02::12", Protocol::VRRP, vec![0x31; 20]),
            PuntClass::Control,
        ),
        (
            "OSPF",
            to_group("224.0.0.5", ospf, vec![2; 44]),
            PuntClass::Control,
        ),
        (
            "OSPFv3",
            to_group("ff02::5", ospf, vec![3; 36]),
            PuntClass::Control,
        ),
        (
            "IGMP",
            to_group("224.0.0.1", igmp, vec![0x11; 8]),
            PuntClass::Control,
        ),
        (
            "a neighbour solicitation",
            to_group("ff02::1:ff00:fe", Protocol::ICMPV6, solicitation),
            PuntClass::Neighbour,
        ),
        (
            "mDNS",
            to_group("224.0.0.251", Protocol::UDP, mdns),
            PuntClass::Local,
        ),
        ("LLDP", lldp, PuntClass::Local),
    ] {
        assert!(d.send(Side::Client, &frame).unwrap().is_empty(), "{what}");
        assert_eq!(d.punted(), [(class, Side::Client, frame)], "{what}");
    }
    assert_eq!(d.losses(), []);
}

#[test]
fn what_anybody_can_send_is_not_in_the_class_of_the_links_own_protocols() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let own = at("10.9.9.254:179");
    let bfd = |port| SocketAddr::new(own.ip(), port);
    for (what, packet, class) in [
        (
            "BGP",
            tcp(at("10.9.0.9:40000"), own, SYN, b""),
            PuntClass::Session,
        ),
        (
            "from port 179",
            tcp(at("10.9.0.9:179"), bfd(22), SYN, b""),
            PuntClass::Session,
        ),
        (
            "BFD from afar",
            frames::udp(at("10.9.0.9:50000"), bfd(3784), b"bfd"),
            PuntClass::Local,
        ),
        (
            "BFD from the link",
            with_ttl(frames::udp(at("10.9.0.9:50000"), bfd(3784), b"bfd"), 255),
            PuntClass::Control,
        ),
        (
            "multihop BFD",
            frames::udp(at("10.9.0.9:50000"), bfd(4784), b"bfd"),
            PuntClass::Session,
        ),
        (
            "VRRP that a router has passed on",
            frames::ip(
                at("10.9.0.9:0").ip(),
                own.ip(),
                Protocol::VRRP,
                vec![0x31; 20],
            ),
            PuntClass::Local,
        ),
        (
            "OSPF to the director",
            frames::ip(at("10.9.0.9:0").ip(), own.ip(), Protocol(89), vec![2; 24]),
            PuntClass::Session,
        ),
        (
            "IGMP to the director",
            frames::ip(at("10.9.0.9:0").ip(), own.ip(), Protocol(2), vec![0x16; 8]),
            PuntClass::Local,
        ),
    ] {
        let frame = from_client(&packet);
        assert!(d.send(Side::Client, &frame).unwrap().is_empty(), "{what}");
        assert_eq!(d.punted(), [(class, Side::Client, frame)], "{what}");
    }
}

/// A frame's tag, put behind its addresses.
fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    let [high, low] = vlan.to_be_bytes();
    let mut frame = frame.to_vec();
    frame.splice(12..12, [0x81, 0, high, low]);
    frame
}

/// Clients in VLAN 100 of their port, servers in VLAN 200 of theirs; VLAN 300 is down.
fn vlans() -> Fib {
    let mut b = FibBuilder::new();
    let mut on = |side: Side, vlan, mac| {
        b.interface(Interface {
            port: side.port(),
            vlan: VlanId(vlan),
            mac,
            other_macs: vec![],
            mtu: 1500,
        })
    };
    on(Side::Client, 0, frames::DIRECTOR_CLIENT_MAC);
    let clients = on(Side::Client, 100, frames::DIRECTOR_CLIENT_MAC);
    let servers = on(Side::Server, 200, frames::DIRECTOR_SERVER_MAC);
    let down = on(Side::Client, 300, frames::DIRECTOR_CLIENT_MAC);
    b.deafen(down);
    let client = Addr4::from_wire([10, 9, 0, 1]);
    let server = Addr4::from_wire([192, 168, 1, 1]);
    b.route::<V4>(Addr4(0), 0, Target::OnLink(clients))
        .route::<V4>(server, 24, Target::OnLink(servers))
        .route::<V4>(Addr4::from_wire([10, 0, 0, 100]), 32, Target::Local)
        .neighbour::<V4>(clients, client, Neighbour::Resolved(frames::CLIENT_MAC))
        .neighbour::<V4>(servers, server, Neighbour::Resolved(server_mac(1)));
    b.build(2)
}

fn only(frames: Vec<(Side, Vec<u8>)>) -> (Side, Vec<u8>) {
    let [one] = <[_; 1]>::try_from(frames).unwrap();
    one
}

#[test]
fn a_masqueraded_connection_crosses_from_one_vlan_to_another_and_back() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    d.route(vlans());
    let syn = from_client(&tcp(at(CLIENT), at(VIP), SYN, b""));
    let (side, request) = only(d.send(Side::Client, &tagged(&syn, 100)).unwrap());
    assert_eq!(
        (side, &request[12..16]),
        (Side::Server, &[0x81, 0, 0, 200][..])
    );
    let answer = from_server(1, &tcp(at(SERVER), at(CLIENT), SYN | ACK, b""));
    let (side, reply) = only(d.send(Side::Server, &tagged(&answer, 200)).unwrap());
    assert_eq!(
        (side, &reply[12..16]),
        (Side::Client, &[0x81, 0, 0, 100][..])
    );
    // Of a VLAN that is no interface, of one that is down, and of a port that has no untagged one.
    for (side, frame) in [
        (Side::Client, tagged(&syn, 101)),
        (Side::Client, tagged(&syn, 300)),
        (Side::Server, answer),
    ] {
        assert!(d.send(side, &frame).unwrap().is_empty());
    }
    assert_eq!(d.punted(), []);
    assert_eq!(d.losses(), [("unknown_vlan", 2), ("no_interface", 1)]);
}

/// The client's side with a macvlan, which the clients' route leads out by if `exit`.
fn with_macvlan(d: &mut Director, exit: bool) {
    let mut b = FibBuilder::new();
    let mut on = |side: Side, mac, other_macs| {
        b.interface(Interface {
            port: side.port(),
            vlan: VlanId::NONE,
            mac,
            other_macs,
            mtu: 1500,
        })
    };
    let own = on(Side::Client, frames::DIRECTOR_CLIENT_MAC, vec![VRRP_MAC]);
    let servers = on(Side::Server, frames::DIRECTOR_SERVER_MAC, vec![]);
    let macvlan = on(Side::Client, VRRP_MAC, vec![]);
    let clients = if exit { macvlan } else { own };
    let client = Addr4::from_wire([10, 9, 0, 1]);
    let server = Addr4::from_wire([192, 168, 1, 1]);
    b.route::<V4>(Addr4(0), 0, Target::OnLink(clients))
        .route::<V4>(server, 24, Target::OnLink(servers))
        .route::<V4>(Addr4::from_wire([10, 0, 0, 100]), 32, Target::Local)
        .neighbour::<V4>(clients, client, Neighbour::Resolved(frames::CLIENT_MAC))
        .neighbour::<V4>(servers, server, Neighbour::Resolved(server_mac(1)));
    d.route(b.build(2 + u32::from(exit)));
}

#[test]
fn a_macvlan_receives_and_sends_by_its_own_address() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let mut syn = from_client(&tcp(at(CLIENT), at(VIP), SYN, b""));
    syn[..6].copy_from_slice(&VRRP_MAC.0);
    let answer = from_server(1, &tcp(at(SERVER), at(CLIENT), SYN | ACK, b""));
    for (exit, source) in [(false, frames::DIRECTOR_CLIENT_MAC), (true, VRRP_MAC)] {
        with_macvlan(&mut d, exit);
        assert_eq!(only(d.send(Side::Client, &syn).unwrap()).0, Side::Server);
        let (side, reply) = only(d.send(Side::Server, &answer).unwrap());
        assert_eq!((side, &reply[6..12]), (Side::Client, &source.0[..]));
    }
    syn[5] += 1;
    assert!(d.send(Side::Client, &syn).unwrap().is_empty());
    assert_eq!(d.losses(), [("other_host", 1)]);
}

/// The server behind the servers' port; clients behind two routers, of which one may not answer.
fn two_routers(failed: Option<u8>, version: u32) -> Fib {
    let mut b = FibBuilder::new();
    let mut on = |side: Side, mac| {
        b.interface(Interface {
            port: side.port(),
            vlan: VlanId::NONE,
            mac,
            other_macs: vec![],
            mtu: 1500,
        })
    };
    let clients = on(Side::Client, frames::DIRECTOR_CLIENT_MAC);
    let servers = on(Side::Server, frames::DIRECTOR_SERVER_MAC);
    let router = |n: u8| Addr4::from_wire([10, 9, 9, n]);
    let leg = |n| Leg {
        interface: clients,
        gateway: Some(router(n)),
        weight: 1,
        linkdown: false,
    };
    let both = b.several::<V4>(vec![leg(1), leg(2)]);
    let server = Addr4::from_wire([192, 168, 1, 1]);
    b.route::<V4>(Addr4(0), 0, both)
        .route::<V4>(server, 24, Target::OnLink(servers))
        .route::<V4>(Addr4::from_wire([10, 0, 0, 100]), 32, Target::Local)
        .neighbour::<V4>(servers, server, Neighbour::Resolved(server_mac(1)));
    for n in [1, 2] {
        let state = match failed {
            Some(dead) if dead == n => Neighbour::Failed,
            _ => Neighbour::Resolved(MacAddr([2, 0, 0, 0, 9, n])),
        };
        b.neighbour::<V4>(clients, router(n), state);
    }
    b.build(version)
}

#[test]
fn replies_are_spread_over_routers_by_client_and_only_those_of_a_dead_one_move() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let clients: Vec<String> = (1..=64).map(|n| format!("10.7.0.{n}:4001")).collect();
    let mut routers = |fib: Fib, signal, answer| -> Vec<u8> {
        d.route(fib);
        let through = |client: &String| {
            let packet = from_client(&tcp(at(client), at(VIP), signal, b""));
            assert_eq!(only(d.send(Side::Client, &packet).unwrap()).0, Side::Server);
            let reply = from_server(1, &tcp(at(SERVER), at(client), answer, b""));
            let (side, reply) = only(d.send(Side::Server, &reply).unwrap());
            assert_eq!((side, &reply[..5]), (Side::Client, &[2, 0, 0, 0, 9][..]));
            reply[5]
        };
        clients.iter().map(through).collect()
    };
    let before = routers(two_routers(None, 2), SYN, SYN | ACK);
    for n in [1, 2] {
        let share = before.iter().filter(|router| **router == n).count();
        assert!(share > 16, "{before:?}");
    }
    let dead = routers(two_routers(Some(1), 3), ACK, ACK);
    assert!(dead.iter().all(|router| *router == 2));
    assert_eq!(routers(two_routers(None, 4), ACK, ACK), before);
    assert_eq!(d.losses(), []);
}
