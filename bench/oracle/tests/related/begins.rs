//! Errors that begin a connection, and those that servers get for packets that belong to none.

use crate::common::icmp::{Told, addr, icmp, one, told};
use crate::common::{director, service, snapshot, with_ttl};
use crate::support::{SECOND, counted};
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::frames::{from_client, from_server, tcp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_proto::wire::tcp::{ACK, SYN};
use pvs_sched::{Method, Transport};
use std::net::SocketAddr;

/// A director of this service and tunable.
fn tuned(name: &str, protocol: Transport, servers: &[(&str, Method)]) -> Director {
    let mut d = Director::new().unwrap();
    let mut snapshot = snapshot(1, Some(service(protocol, "10.0.0.100:80", servers)));
    snapshot.tunables.set(name, "1").unwrap();
    d.configure(snapshot);
    d
}

#[test]
fn a_server_is_told_that_its_packet_belongs_to_no_connection() {
    let servers = [("192.168.1.1:80", Method::Masquerade)];
    let stray = |src: &str, signal| tcp(at(src), at("10.9.0.1:7777"), signal, b"");
    let mut d = tuned("nat_icmp_send", Transport::Tcp, &servers);
    let packet = stray("192.168.1.1:80", ACK);
    let out = d.send(Side::Server, &from_server(1, &packet)).unwrap();
    let expected = Told {
        from: addr("192.168.1.254"),
        to: addr("192.168.1.1"),
        ttl: 64,
        what: (3, 3),
        rest: 0,
        quote: with_ttl(packet.clone(), 63),
    };
    assert_eq!(told(&one(&d, Side::Server, out)), expected);
    assert_eq!(d.losses(), [("no_connection", 1)]);
    for passes in [
        stray("192.168.1.1:80", 4),
        stray("192.168.1.1:81", ACK),
        stray("192.168.1.2:80", ACK),
        with_ttl(packet.clone(), 1),
    ] {
        let frame = from_server(1, &passes);
        assert_eq!(d.send(Side::Server, &frame).unwrap(), []);
        assert_eq!(d.punted(), [(PuntClass::Forwarded, Side::Server, frame)]);
    }
    // By default, and from a server under direct routing, it passes.
    let mut default = director(Transport::Tcp, "10.0.0.100:80", &servers);
    let routed = [("192.168.1.1:80", Method::Route)];
    let mut routed = tuned("nat_icmp_send", Transport::Tcp, &routed);
    for d in [&mut default, &mut routed] {
        assert_eq!(d.send(Side::Server, &from_server(1, &packet)).unwrap(), []);
        assert_eq!(d.punted().len(), 1);
        assert_eq!(d.losses(), []);
    }
}

#[test]
fn an_error_begins_a_connection_if_it_may() {
    let servers = [("192.168.1.1:80", Method::Masquerade)];
    let mut d = tuned("schedule_icmp", Transport::Tcp, &servers);
    let error = |port: u16| {
        let quote = tcp(
            at("10.0.0.100:80"),
            SocketAddr::new(addr("10.9.0.1"), port),
            SYN | ACK,
            b"",
        );
        icmp(addr("10.9.0.1"), addr("10.0.0.100"), (3, 3), 0, &quote)
    };
    for _ in 0..2 {
        let out = d.send(Side::Client, &from_client(&error(4000))).unwrap();
        assert_eq!(told(&one(&d, Side::Server, out)).to, addr("192.168.1.1"));
    }
    assert_eq!(d.counters(SECOND), counted([1, 0], [2 * 68, 0]));
    let entries = d.connections();
    assert_eq!(entries.len(), 1);
    assert_eq!((d.load(SECOND).active, d.load(SECOND).inactive), (0, 1));
    // Data of active FTP is never scheduled, and a service without servers answers no error.
    let ftp = from_client(&error(20));
    assert_eq!(d.send(Side::Client, &ftp).unwrap(), []);
    assert_eq!(d.punted(), [(PuntClass::Local, Side::Client, ftp)]);
    d.sleep_ms(3_100);
    assert_eq!(d.connections().len(), 0, "it lives for three seconds");
    let mut none = tuned("schedule_icmp", Transport::Tcp, &[]);
    assert_eq!(
        none.send(Side::Client, &from_client(&error(4000))).unwrap(),
        []
    );
    assert_eq!(none.losses(), [("no_server", 1)]);
    let mut default = director(Transport::Tcp, "10.0.0.100:80", &servers);
    assert_eq!(
        default
            .send(Side::Client, &from_client(&error(4000)))
            .unwrap(),
        []
    );
    assert_eq!(
        (default.punted().len(), default.connections().len()),
        (1, 0)
    );
}
