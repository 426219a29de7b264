//! Calls of SIP: whose they are, whoever begins them. What is expected was seen in kernel 6.1.

use crate::common::pieces::{ID, pieces, without_df};
use crate::common::{Seen, nic, one, seen, service, snapshot, with_ttl};
use crate::table::Went::{Lost, Server};
use crate::table::{Table, Went};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::steering::Steering;
use pvs_oracle::frames::{from_client, from_server, udp};
use pvs_oracle::replay::Ledger;
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_sched::Persistence;
use pvs_sched::{Method, Transport};
use std::net::SocketAddr;

const VIP: &str = "10.0.0.100:5060";
const FIRST: &str = "192.168.1.1:5060";
const SECOND: &str = "192.168.1.2:5060";

/// A service of calls with two servers, and one of names with a third.
fn calls(options: &str) -> Table {
    Table::new(&[
        &format!("-A -u 10.0.0.100:5060 -s rr -p 60 {options} --pe sip"),
        "-a -u 10.0.0.100:5060 -r 192.168.1.1:5060 -m",
        "-a -u 10.0.0.100:5060 -r 192.168.1.2:5060 -m",
        "-A -u 10.0.0.101:53 -s rr",
        "-a -u 10.0.0.101:53 -r 192.168.1.3:53 -m",
    ])
}

fn message(call: &str) -> Vec<u8> {
    format!("INVITE sip:b@c SIP/2.0\r\nCall-ID: {call}\r\n\r\n").into_bytes()
}

impl Table {
    /// Sends a server's packets; whom they come from, as their receiver sees them,
    /// unless they are Linux's.
    fn seen_from(&mut self, packets: &[Vec<u8>]) -> Option<SocketAddr> {
        let mut left = Vec::new();
        for packet in packets {
            let frame = from_server(1, packet);
            let sent = self
                .lab
                .send_frame(Side::Server, &frame, &mut Ledger::default());
            let sent = sent.unwrap();
            if !sent.punted.is_empty() {
                return None;
            }
            left = sent.left;
        }
        assert!(left.iter().all(|left| left.side == Side::Client));
        assert!(left.len() <= packets.len());
        Some(match packets.len() {
            1 => seen(&left.first()?.frame).src,
            _ => SocketAddr::new(
                left.first()?.frame[26..30]
                    .first_chunk::<4>()?
                    .to_owned()
                    .into(),
                0,
            ),
        })
    }

    /// A server's call to a client: whom it comes from.
    fn call(&mut self, from: &str, to: &str, message: &[u8]) -> Option<SocketAddr> {
        self.seen_from(&[udp(at(from), at(to), message)])
    }

    /// What a client says in a call.
    fn say(&mut self, from: &str, call: &str) -> Went {
        self.udp(from, VIP, &message(call))
    }
}

#[test]
fn a_call_of_a_client_has_one_server() {
    let mut t = calls("");
    assert_eq!(t.say("10.9.0.1:4001", "one@here"), Server(2));
    assert_eq!(
        t.say("10.9.0.2:4001", "one@here"),
        Server(1),
        "another client's"
    );
    assert_eq!(t.say("10.9.0.1:4002", "one@here"), Server(2));
    assert_eq!(
        t.say("10.9.0.1:4003", "two@here"),
        Server(2),
        "another call"
    );
    assert_eq!(t.say("10.9.0.3:4001", ""), Lost("no_call"));
    let text = t.run("-Lnc --persistent-conn");
    let heading = "pro expire state       source             virtual            destination        pe name          pe_data\n";
    assert!(text.contains(heading), "{text}");
    let call =
        "10.9.0.1:0         10.0.0.100:5060    192.168.1.2:5060   sip              one@here\n";
    assert!(text.contains(call), "{text}");
    assert_eq!(t.run("-Lnc").matches("sip").count(), 0);

    let mut t = calls("-M 255.255.255.0");
    for client in ["10.9.0.1:4001", "10.9.0.2:4001", "10.9.0.1:4002"] {
        assert_eq!(
            t.say(client, "one@here"),
            Server(2),
            "whoever of them speaks"
        );
    }
}

#[test]
fn a_call_that_a_server_begins_leaves_from_the_virtual_address() {
    let mut t = calls("");
    for _ in 0..2 {
        let from = t.call(FIRST, "10.9.0.5:5070", &message("one@x"));
        assert_eq!(from, Some(at(VIP)));
    }
    assert_eq!(
        t.connections(),
        [
            "UDP 01:00 ASSURED 10.9.0.5:0 10.0.0.100:5060 192.168.1.1:5060",
            "UDP 05:00 UDP 10.9.0.5:5070 10.0.0.100:5060 192.168.1.1:5060",
        ]
    );
    // Its answers, be they from another port.
    assert_eq!(t.say("10.9.0.5:5070", "one@x"), Server(1));
    assert_eq!(t.say("10.9.0.5:5071", "one@x"), Server(1));
    let stats = t.run("-Ln --stats");
    let service = stats.lines().nth(3).unwrap().split_whitespace().skip(2);
    assert_eq!(service.collect::<Vec<_>>(), ["2", "2", "2", "140", "140"]);
    // Another server in the same call has the call from then on.
    let from = t.call(SECOND, "10.9.0.5:5072", &message("one@x"));
    assert_eq!(from, Some(at(VIP)));
    assert_eq!(t.say("10.9.0.5:5073", "one@x"), Server(2));

    let mut t = Table::new(&[
        "-A -u [fd00::100]:5060 -s rr -p 60 --pe sip",
        "-a -u [fd00::100]:5060 -r [fd01::1]:5060 -m",
    ]);
    let from = t.call("[fd01::1]:5060", "[fd77::1]:5070", &message("one@x"));
    assert_eq!(from, Some(at("[fd00::100]:5060")));
}

#[test]
fn what_is_no_call_of_a_server_passes_as_it_is() {
    let mut t = calls("");
    let message = message("one@x");
    for (from, message) in [
        (FIRST, &b"hello"[..]),
        ("192.168.1.1:5061", &message),
        ("192.168.1.9:5060", &message),
        ("192.168.1.3:53", &message),
    ] {
        assert_eq!(t.call(from, "10.9.0.5:5070", message), None, "{from}");
    }
    // Nor is one for the director, or one that goes no further.
    assert_eq!(t.call(FIRST, "10.9.9.254:5070", &message), None);
    let old = with_ttl(udp(at(FIRST), at("10.9.0.5:5070"), &message), 1);
    assert_eq!(t.seen_from(&[old]), None);
    assert!(t.connections().is_empty());
    // Port 0 and marks have no port to send from.
    for service in ["-u 10.0.0.100:0", "-f 7"] {
        let mut t = Table::new(&[
            &format!("-A {service} -s rr -p 60 --pe sip"),
            &format!("-a {service} -r 192.168.1.1:5060 -m"),
        ]);
        assert_eq!(t.call(FIRST, "10.9.0.5:5070", &message), None);
        assert!(t.connections().is_empty());
    }
}

#[test]
fn a_server_may_call_while_it_is_in_its_service() {
    let mut t = calls("");
    t.run("-e -u 10.0.0.100:5060 -r 192.168.1.1:5060 -m -w 0");
    let from = t.call(FIRST, "10.9.0.5:5070", &message("one@x"));
    assert_eq!(from, Some(at(VIP)), "weight 0");
    t.run("-e -u 10.0.0.100:5060 -r 192.168.1.1:5060 -m -x 1");
    let from = t.call(FIRST, "10.9.0.6:5070", &message("two@x"));
    assert_eq!(from, Some(at(VIP)), "at its threshold");
    t.run("-d -u 10.0.0.100:5060 -r 192.168.1.1:5060");
    let from = t.call(FIRST, "10.9.0.5:5070", &message("one@x"));
    assert_eq!(from, Some(at(VIP)), "what it has begun goes on");
    let from = t.call(FIRST, "10.9.0.7:5070", &message("three@x"));
    assert_eq!(from, None);
}

#[test]
fn the_newest_connection_of_a_client_has_its_packets() {
    let mut t = calls("");
    assert_eq!(t.say("10.9.0.1:5060", "one@h"), Server(2));
    let from = t.call(FIRST, "10.9.0.1:5060", &message("two@h"));
    assert_eq!(from, Some(at(VIP)));
    assert_eq!(t.say("10.9.0.1:5060", "one@h"), Server(1));
    // What the other one sends leaves from the virtual address all the same.
    let from = t.call(SECOND, "10.9.0.1:5060", &message("one@h"));
    assert_eq!(from, Some(at(VIP)));
    assert_eq!(t.connections().len(), 3, "two calls, one connection");
    assert_eq!(t.counts()[..2], [["1", "0", "0"], ["1", "0", "1"]]);
}

#[test]
fn a_one_packet_service_s_call_leaves_a_template_alone() {
    let mut t = calls("-o");
    let from = t.call(FIRST, "10.9.0.5:5070", &message("one@x"));
    assert_eq!(from, Some(at(VIP)));
    let template = "UDP 01:00 ASSURED 10.9.0.5:0 10.0.0.100:5060 192.168.1.1:5060";
    assert_eq!(t.connections(), [template]);
    assert_eq!(t.say("10.9.0.5:5070", "one@x"), Server(1));
    assert_eq!(t.counts()[..2], [["1", "0", "0"], ["0", "0", "0"]]);
}

#[test]
fn a_call_in_pieces_is_told_by_the_first() {
    let mut t = calls("");
    let long = [message("one@x"), vec![b'a'; 2000]].concat();
    let packet = without_df(udp(at(FIRST), at("10.9.0.5:5070"), &long), ID);
    let from = t.seen_from(&pieces(&packet, ID, &[1000]));
    assert_eq!(from.unwrap().ip(), at(VIP).ip());
    assert_eq!(t.connections().len(), 2);
    // One whose name comes later passes as it is.
    let header = [&b"INVITE sip:b@c SIP/2.0\r\nX: "[..], &[b'a'; 1500]].concat();
    let long = [&header[..], b"\r\nCall-ID: two@x\r\n\r\n"].concat();
    let packet = without_df(udp(at(FIRST), at("10.9.0.6:5070"), &long), ID);
    assert_eq!(t.seen_from(&pieces(&packet, ID, &[1000])), None);
}

/// A call's connection belongs to the worker that its client's packets go to, whoever hears the
/// server; its template is all workers'.
#[test]
fn whichever_worker_hears_of_a_call_it_has_one_server() {
    const WORKERS: u16 = 4;
    for steering in [Steering::ring(WORKERS), nic(WORKERS)] {
        let queues = WORKERS.into();
        let config = EngineConfig::default();
        let mut d = Director::several(config, &[], 2048, steering, queues).unwrap();
        let servers = [FIRST, SECOND].map(|server| (server, Method::Masquerade));
        let mut calls = service(Transport::Udp, VIP, &servers);
        calls.config.engine = Some("sip".to_owned());
        calls.config.persistence = Some(Persistence {
            timeout_secs: 60,
            netmask: u32::MAX,
        });
        d.configure(snapshot(1, Some(calls)));
        for n in 0..64u16 {
            let queue = |more: u16| usize::from(n.wrapping_mul(7) + more) % queues;
            let server = [FIRST, SECOND][usize::from(n) % 2];
            let (client, other) = (format!("10.9.0.{n}:5070"), format!("10.9.0.{n}:5071"));
            let said = message(&format!("{n}@x"));
            for more in 0..2 {
                let frame = from_server(1 + (n % 2) as u8, &udp(at(server), at(&client), &said));
                let out = d.send_by(Side::Server, queue(more), &frame).unwrap();
                let left = sole(Side::Client, out);
                assert_eq!((left.src, left.dst), (at(VIP), at(&client)));
            }
            for (more, from) in [(2, &client), (3, &other)] {
                let frame = from_client(&udp(at(from), at(VIP), &said));
                let out = d.send_by(Side::Client, queue(more), &frame).unwrap();
                let left = sole(Side::Server, out);
                assert_eq!((left.src, left.dst), (at(from), at(server)));
            }
        }
        assert_eq!((d.losses(), d.punted()), (vec![], vec![]));
    }
}

/// The one frame that left, which did by this side.
fn sole(side: Side, out: Vec<(Side, Vec<u8>)>) -> Seen {
    let (left_by, seen) = one(out);
    assert_eq!(left_by, side);
    seen
}
