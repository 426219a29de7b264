//! How connections end otherwise than by their timer, and what is Linux's then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_dataplane::punt::PuntClass;
use pvs_oracle::frames::{from_client, tcp};
use pvs_oracle::scenario::{self, at};
use pvs_oracle::{Director, Side};
use pvs_proto::wire::tcp::{ACK, RST, SYN};
use pvs_sched::{Load, Method, ServerIndex};

const CLIENT: &str = "10.9.0.1:4001";
const VIP: &str = "10.0.0.100:80";
const SERVER: &str = "192.168.1.1:8080";
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
