//! How connections end, by their timer and otherwise, and what is Linux's then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{CLIENT, SERVER, VIP, director, one};
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::frames::{from_client, tcp};
use pvs_oracle::scenario::{self, at};
use pvs_oracle::{Director, Side};
use pvs_proto::wire::tcp::{ACK, FIN, RST, SYN};
use pvs_sched::{Load, Method, ServerIndex, Transport};

/// The server's cell under TCP.
const CELL: ServerIndex = ServerIndex(1);

fn request(d: &mut Director, signal: u8) -> Vec<(Side, Vec<u8>)> {
    let frame = from_client(&tcp(at(CLIENT), at(VIP), signal, b""));
    d.send(Side::Client, &frame).unwrap()
}

fn classes(d: &mut Director) -> Vec<PuntClass> {
    d.punted().into_iter().map(|(class, _, _)| class).collect()
}

#[test]
fn a_syn_with_rst_ends_a_connection_that_is_over_and_begins_none() {
    let mut d = scenario::director(&[(SERVER, Method::Masquerade)]).unwrap();
    for signal in [SYN, ACK] {
        assert_eq!(request(&mut d, signal).len(), 1);
    }
    assert_eq!(
        request(&mut d, SYN | RST).len(),
        1,
        "on a live one it is a RST"
    );
    assert_eq!(d.connections()[0].state, "CLOSE");
    assert!(request(&mut d, SYN | RST).is_empty());
    assert_eq!(classes(&mut d), [PuntClass::Refused]);
    assert!(d.connections().is_empty());
    assert_eq!(d.load(CELL), Load::default());
}

#[test]
fn a_syn_on_a_connection_that_is_over_is_scheduled_anew() {
    let servers = ["192.168.1.1:80", "192.168.1.2:80"].map(|s| (s, Method::Masquerade));
    let mut d = director(Transport::Tcp, VIP, &servers);
    let mut syn = || {
        one(d
            .send(
                Side::Client,
                &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
            )
            .unwrap())
        .1
        .dst
    };
    assert_eq!(
        (syn(), syn()),
        (at("192.168.1.2:80"), at("192.168.1.2:80")),
        "a repeated SYN"
    );
    for (side, packet) in [
        (
            Side::Client,
            from_client(&tcp(at(CLIENT), at(VIP), ACK, b"")),
        ),
        (
            Side::Client,
            from_client(&tcp(at(CLIENT), at(VIP), RST, b"")),
        ),
    ] {
        d.send(side, &packet).unwrap();
    }
    assert_eq!(d.connections()[0].state, "CLOSE");
    let out = d
        .send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at(VIP), SYN, b"")),
        )
        .unwrap();
    assert_eq!(one(out).1.dst, at("192.168.1.1:80"));
    assert_eq!(d.load(ServerIndex(2)), Load::default());
    assert_eq!(d.connections().len(), 1);
}

#[test]
fn a_connection_expires_and_its_server_has_one_less() {
    let mut d = director(Transport::Tcp, VIP, &[(SERVER, Method::Masquerade)]);
    for flags in [SYN, ACK, FIN | ACK] {
        d.send(
            Side::Client,
            &from_client(&tcp(at(CLIENT), at(VIP), flags, b"")),
        )
        .unwrap();
    }
    assert_eq!(
        (d.connections()[0].state, d.connections()[0].expires_secs),
        ("CLOSE_WAIT", 60)
    );
    assert_eq!(
        d.load(ServerIndex(1)),
        Load {
            active: 0,
            inactive: 1
        }
    );
    d.sleep_ms(59_900);
    assert_eq!(d.connections().len(), 1);
    d.sleep_ms(200);
    assert_eq!(d.connections().len(), 0);
    assert_eq!(d.load(ServerIndex(1)), Load::default());
}
