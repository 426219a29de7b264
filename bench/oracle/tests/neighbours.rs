//! Packets whose next hop is not known yet, or not any more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{CLIENT, SERVER, VIP, director, one, seen};
use pvs_dataplane::fib::Neighbour;
use pvs_oracle::frames::{from_client, server_mac, tcp};
use pvs_oracle::scenario::{at, fib_with};
use pvs_oracle::{Director, Side};
use pvs_proto::MacAddr;
use pvs_proto::wire::tcp::{ACK, SYN};
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
        all - 1,
        "the client's answer waits for the client"
    );
    d.sleep_ms(3100);
    assert_eq!(
        d.losses(),
        [("host_unreachable", 1), ("neighbour_timeout", 2)]
    );
    assert_eq!(d.free_buffers(), all);
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
