//! Packets whose next hop is not known yet, or not any more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::pieces::{joined, without_df};
use common::{CLIENT, SERVER, VIP, director, one, seen};
use pvs_dataplane::fib::{Fib, FibBuilder, Interface, Neighbour, OwnAddress, Target, Way};
use pvs_oracle::frames::{self, from_client, from_server, server_mac, tcp};
use pvs_oracle::scenario::{at, fib_with};
use pvs_oracle::{Director, Side};
use pvs_proto::wire::tcp::{ACK, SYN};
use pvs_proto::{Addr4, MacAddr, V4, VlanId};
use pvs_sched::{Method, Transport};

#[test]
fn packets_wait_for_the_neighbour_and_leave_in_order_when_it_is_known() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    d.route(fib_with(None, 2, true));
    for flags in [SYN, ACK] {
        assert!(
            d.send(
                Side::Client,
                &from_client(&tcp(at(CLIENT), at(VIP), flags, b""))
            )
            .unwrap()
            .is_empty()
        );
    }
    d.sleep_ms(1000);
    let mac = MacAddr([2, 7, 7, 7, 7, 7]);
    d.route(fib_with(Some(Neighbour::Resolved(mac)), 3, true));
    d.settle();
    let mut flags = Vec::new();
    while let Some(frame) = d.cable(Side::Server).receive_bytes() {
        assert_eq!((seen(&frame).dst, seen(&frame).macs.0), (at(SERVER), mac));
        flags.push(frame[14 + 20 + 13]);
    }
    assert_eq!(flags, [SYN, ACK]);
    assert_eq!(d.losses(), []);
}

#[test]
fn packets_that_wait_too_long_and_those_of_a_dead_neighbour_are_freed_and_counted() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let all = d.free_buffers();
    d.route(fib_with(None, 2, true));
    d.send(
        Side::Client,
        &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
    )
    .unwrap();
    assert_eq!(d.free_buffers(), all - 1);
    d.sleep_ms(3100);
    assert_eq!(d.losses(), [("neighbour_timeout", 1)]);
    d.route(fib_with(Some(Neighbour::Failed), 3, true));
    d.send(
        Side::Client,
        &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
    )
    .unwrap();
    assert_eq!(
        d.losses(),
        [("host_unreachable", 1), ("neighbour_timeout", 1)]
    );
    assert_eq!(
        d.free_buffers(),
        all,
        "the answer to a client without a hardware address does not wait"
    );
}

#[test]
fn linux_is_asked_for_a_neighbour_and_for_a_dead_one_again() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let syn = from_client(&tcp(at(CLIENT), at(VIP), SYN, b""));
    d.route(fib_with(None, 2, true));
    d.send(Side::Client, &syn).unwrap();
    assert_eq!(
        d.wishes(),
        [at(SERVER).ip()],
        "once, while the packet waits"
    );
    d.sleep_ms(500);
    assert!(d.wishes().is_empty());
    d.route(fib_with(Some(Neighbour::Failed), 3, true));
    d.send(Side::Client, &syn).unwrap();
    assert_eq!(
        d.wishes(),
        [at(SERVER).ip(), at(CLIENT).ip()],
        "and for the client, who is told"
    );
    assert_eq!(d.losses(), [("host_unreachable", 2)]);
}

#[test]
fn a_neighbour_with_another_hardware_address_is_followed_at_once() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let to = |d: &mut Director, flags| {
        one(d
            .send(
                Side::Client,
                &from_client(&tcp(at(CLIENT), at(VIP), flags, b"")),
            )
            .unwrap())
        .1
        .macs
        .0
    };
    assert_eq!(to(&mut d, SYN), server_mac(1));
    let mac = MacAddr([2, 7, 7, 7, 7, 7]);
    d.route(fib_with(Some(Neighbour::Resolved(mac)), 2, true));
    assert_eq!(to(&mut d, ACK), mac);
}

#[test]
fn linux_is_asked_to_watch_a_neighbour_that_it_happens_to_know() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let mac = MacAddr([2, 7, 7, 7, 7, 7]);
    let send = |d: &mut Director, flags| {
        d.send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at(VIP), flags, b"")),
        )
        .unwrap()
        .len()
    };
    d.route(fib_with(Some(Neighbour::Unwatched(mac)), 2, true));
    assert_eq!(send(&mut d, SYN), 1, "it is used meanwhile");
    assert_eq!(d.wishes(), [at(SERVER).ip()]);
    send(&mut d, ACK);
    assert!(d.wishes().is_empty(), "once for each way that is found");
    d.route(fib_with(Some(Neighbour::Resolved(mac)), 3, true));
    send(&mut d, ACK);
    assert!(d.wishes().is_empty(), "it is watched now");
}

/// Routes to clients and servers on the link, with what Linux knows of one each;
/// the servers' may be narrow.
fn on_link(
    version: u32,
    client: Option<Neighbour>,
    server: Option<Neighbour>,
    mtu: Option<u32>,
) -> Fib {
    let mut b = FibBuilder::new();
    let mut side = |side: Side, mac| {
        b.interface(Interface {
            port: side.port(),
            vlan: VlanId::NONE,
            mac,
            other_macs: vec![],
            mtu: 1500,
        })
    };
    let c1 = side(Side::Client, frames::DIRECTOR_CLIENT_MAC);
    let r1 = side(Side::Server, frames::DIRECTOR_SERVER_MAC);
    let own = Addr4::from_wire([10, 0, 0, 100]);
    b.route::<V4>(Addr4(0), 0, Target::OnLink(c1));
    let target = Target::OnLink(r1);
    let way = Way {
        target,
        source: None,
        mtu,
    };
    b.way::<V4>(Addr4::from_wire([192, 168, 1, 0]), 24, way);
    b.route::<V4>(own, 32, Target::Local);
    b.own_address::<V4>(OwnAddress::plain(c1, own, 24));
    if let Some(state) = client {
        b.neighbour::<V4>(c1, Addr4::from_wire([10, 9, 0, 1]), state);
    }
    if let Some(state) = server {
        b.neighbour::<V4>(r1, Addr4::from_wire([192, 168, 1, 1]), state);
    }
    b.build(version)
}

#[test]
fn a_client_that_linux_merely_knows_is_asked_to_be_watched() {
    let known = Neighbour::Unwatched(server_mac(9));
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    d.route(on_link(
        2,
        Some(known),
        Some(Neighbour::Resolved(server_mac(1))),
        None,
    ));
    one(d
        .send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
        )
        .unwrap());
    assert_eq!(d.wishes(), [] as [std::net::IpAddr; 0]);
    let reply = from_server(1, &tcp(at(SERVER), at(CLIENT), SYN | ACK, b""));
    one(d.send(Side::Server, &reply).unwrap());
    assert_eq!(d.wishes(), [at(CLIENT).ip()]);
    // Once for each version of what Linux knows is enough.
    one(d.send(Side::Server, &reply).unwrap());
    assert!(d.wishes().is_empty());
}

#[test]
fn a_flood_of_strangers_keeps_no_newcomer_out() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    let server = Some(Neighbour::Resolved(server_mac(1)));
    d.route(on_link(2, None, server, None));
    let buffers = d.free_buffers();
    let handshake = |d: &mut Director, client: &str| {
        one(d
            .send(
                Side::Client,
                &from_client(&tcp(at(client), at(VIP), SYN, b"")),
            )
            .unwrap());
        let reply = from_server(1, &tcp(at(SERVER), at(client), SYN | ACK, b""));
        assert!(d.send(Side::Server, &reply).unwrap().is_empty());
    };
    for n in 0..400 {
        handshake(&mut d, &format!("10.8.{}.{}:5000", n / 200, 1 + n % 200));
    }
    d.wishes();
    assert_eq!(d.losses(), [("neighbour_queue_full", 400 - 256)]);
    handshake(&mut d, CLIENT);
    assert_eq!(d.wishes(), [at(CLIENT).ip()], "Linux is asked at once");
    d.route(on_link(
        3,
        Some(Neighbour::Resolved(server_mac(9))),
        server,
        None,
    ));
    d.settle();
    let out = d.cable(Side::Client).receive_bytes().unwrap();
    assert_eq!(seen(&out).dst, at(CLIENT));
    d.sleep_ms(4000);
    assert_eq!(d.free_buffers(), buffers);
}

#[test]
fn one_neighbour_has_a_share_of_the_room() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Route)]);
    d.route(on_link(2, None, None, None));
    for n in 0..40 {
        let syn = tcp(at(&format!("10.9.0.1:{}", 5000 + n)), at(VIP), SYN, b"");
        assert!(d.send(Side::Client, &from_client(&syn)).unwrap().is_empty());
    }
    assert_eq!(d.losses(), [("neighbour_queue_full", 40 - 32)]);
}

#[test]
fn errors_of_the_directors_own_do_not_wait() {
    let mut d = director(Transport::Tcp, VIP, &[]);
    d.route(on_link(2, None, None, None));
    let buffers = d.free_buffers();
    let syn = from_client(&tcp(at(CLIENT), at(VIP), SYN, b""));
    assert!(d.send(Side::Client, &syn).unwrap().is_empty());
    assert_eq!(
        (d.wishes(), d.free_buffers()),
        (vec![at(CLIENT).ip()], buffers)
    );
    assert_eq!(
        (d.losses(), d.totals().icmp_sent),
        (vec![("no_server", 1)], 0)
    );
}

/// What a route allows holds while its next hop is not resolved, too.
#[test]
fn a_packet_that_waits_fits_its_route() {
    let client = Some(Neighbour::Resolved(server_mac(9)));
    let server = Some(Neighbour::Resolved(server_mac(1)));
    for method in [Method::Masquerade, Method::Route, Method::Tunnel] {
        let mut d = director(Transport::Tcp, VIP, &[(SERVER, method)]);
        d.route(on_link(2, client, None, Some(1300)));
        let send = |d: &mut Director, len: usize| {
            let packet = tcp(at(CLIENT), at(VIP), SYN, &vec![1; len]);
            d.send(Side::Client, &from_client(&packet)).unwrap().len()
        };
        assert_eq!(send(&mut d, 0), 0);
        assert_eq!(send(&mut d, 1400), 1, "the client is told");
        assert_eq!(d.losses(), [("too_big", 1)]);
        d.route(on_link(3, client, server, Some(1300)));
        d.settle();
        assert!(d.cable(Side::Server).receive_bytes().is_some());
        assert_eq!(d.cable(Side::Server).receive_bytes(), None);
    }
}

#[test]
fn a_packet_that_may_be_cut_waits_whole_and_is_cut_to_its_route() {
    let client = Some(Neighbour::Resolved(server_mac(9)));
    let server = Some(Neighbour::Resolved(server_mac(1)));
    for method in [Method::Masquerade, Method::Route, Method::Tunnel] {
        let mut d = director(Transport::Tcp, VIP, &[(SERVER, method)]);
        d.route(on_link(2, client, None, Some(1300)));
        let packet = without_df(tcp(at(CLIENT), at(VIP), SYN, &[1; 1400]), 7);
        let out = d.send(Side::Client, &from_client(&packet)).unwrap();
        assert_eq!((out, d.losses()), (vec![], vec![]));
        d.route(on_link(3, client, server, Some(1300)));
        d.settle();
        let cable = d.cable(Side::Server);
        let out: Vec<_> = core::iter::from_fn(|| cable.receive_bytes()).collect();
        assert_eq!(out.len(), 2);
        assert!(out.iter().all(|frame| frame.len() <= 14 + 1300));
        assert!(joined(&out).1.ends_with(&[1; 1400]));
        assert_eq!(d.losses(), []);
    }
}
