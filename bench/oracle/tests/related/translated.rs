//! Errors about connections, translated or passed on, and what they count.

use crate::common::icmp::{Told, addr, icmp, one, told};
use crate::common::{CLIENT, director, service, snapshot, with_ttl};
use crate::support::{FAMILIES, SECOND, SERVER, VIP, counted, with_checksum_of};
use etherparse::{SlicedPacket, TransportSlice};
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::Side;
use pvs_oracle::frames::{from_client, from_server, udp};
use pvs_oracle::scenario::at;
use pvs_proto::Protocol;
use pvs_sched::{Method, Transport};

#[test]
fn a_servers_error_is_translated_to_the_client() {
    for f in &FAMILIES {
        let (request, seen) = (f.request(), f.translated());
        let mut d = f.opened(Method::Masquerade);
        let mut bytes = 0;
        for (n, kind) in f.followed.iter().enumerate() {
            for from in [at(f.server).ip(), addr(f.router)] {
                let error = icmp(from, at(f.client).ip(), (*kind, 4), 1200, &seen);
                let out = d.send(Side::Server, &from_server(1, &error)).unwrap();
                let expected = Told {
                    from: at(f.vip).ip(),
                    to: at(f.client).ip(),
                    ttl: 63,
                    what: (*kind, 4),
                    rest: 1200,
                    quote: with_checksum_of(request.clone(), &seen),
                };
                assert_eq!(told(&one(&d, Side::Client, out)), expected);
                bytes += error.len();
            }
            let packets = 2 * (n as u64 + 1);
            let expected = counted([0, packets], [request.len(), bytes]);
            assert_eq!(d.counters(SECOND), expected);
        }
        assert_eq!(d.losses(), []);
        assert_eq!(d.punted(), []);
    }
}

#[test]
fn a_clients_error_is_translated_to_the_server() {
    for f in &FAMILIES {
        let (quote, seen) = (f.answer(f.server), f.answer(f.vip));
        let mut d = f.opened(Method::Masquerade);
        let error = icmp(
            at(f.client).ip(),
            at(f.vip).ip(),
            (f.followed[0], 3),
            0,
            &seen,
        );
        let out = d.send(Side::Client, &from_client(&error)).unwrap();
        let expected = Told {
            from: at(f.client).ip(),
            to: at(f.server).ip(),
            ttl: 63,
            what: (f.followed[0], 3),
            rest: 0,
            quote: with_checksum_of(quote, &seen),
        };
        assert_eq!(told(&one(&d, Side::Server, out)), expected);
        let bytes = [f.request().len() + error.len(), 0];
        assert_eq!(d.counters(SECOND), counted([1, 0], bytes));

        // One that is cut right behind the ports will do, one that can't go on counts, one
        // with a wrong sum does not.
        let header = if f.protocol == Protocol::ICMP { 20 } else { 40 };
        let cut = icmp(
            at(f.client).ip(),
            at(f.vip).ip(),
            (f.followed[0], 3),
            0,
            &seen[..header + 4],
        );
        let out = d.send(Side::Client, &from_client(&cut)).unwrap();
        assert_eq!(told(&one(&d, Side::Server, out)).to, at(f.server).ip());
        let old = with_ttl(error.clone(), 1);
        assert_eq!(d.send(Side::Client, &from_client(&old)).unwrap(), []);
        let mut wrong = error.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(d.send(Side::Client, &from_client(&wrong)).unwrap(), []);
        let bytes = [bytes[0] + cut.len() + old.len(), 0];
        assert_eq!(d.counters(SECOND), counted([3, 0], bytes));
        assert_eq!(d.losses(), [("ttl_exceeded", 1), ("icmp_checksum", 1)]);
    }
}

#[test]
fn without_translation_replies_are_linuxs_and_requests_go_to_the_server() {
    for f in &FAMILIES {
        for method in [Method::Route, Method::Tunnel] {
            let mut d = f.opened(method);
            let error = icmp(
                addr(f.router),
                at(f.client).ip(),
                (f.followed[0], 1),
                0,
                &f.request(),
            );
            let frame = from_server(1, &error);
            assert_eq!(d.send(Side::Server, &frame).unwrap(), []);
            assert_eq!(d.punted(), [(PuntClass::Forwarded, Side::Server, frame)]);
            let old = from_server(1, &with_ttl(error.clone(), 1));
            assert_eq!(d.send(Side::Server, &old).unwrap(), []);
            assert_eq!(d.punted().len(), 1);
            let bytes = [f.request().len(), error.len()];
            assert_eq!(d.counters(SECOND), counted([0, 1], bytes));

            // A wrong checksum is the server's to judge.
            let mut error = icmp(
                at(f.client).ip(),
                at(f.vip).ip(),
                (f.followed[0], 3),
                0,
                &f.answer(f.vip),
            );
            *error.last_mut().unwrap() ^= 1;
            let out = d.send(Side::Client, &from_client(&error)).unwrap();
            let left = one(&d, Side::Server, out);
            let inner = left.len() - error.len();
            assert_eq!(inner > 0, method == Method::Tunnel);
            assert_eq!(left[inner..], with_ttl(error.clone(), 63));
            let bytes = [bytes[0] + error.len(), bytes[1]];
            assert_eq!(d.counters(SECOND), counted([1, 1], bytes));
            assert_eq!(d.losses(), []);
        }
    }
}

#[test]
fn a_removed_servers_connection_has_its_errors_passed_and_counts_none() {
    let f = &FAMILIES[0];
    let mut d = f.opened(Method::Masquerade);
    let before = d.counters(SECOND);
    d.configure(snapshot(2, Some(service(Transport::Udp, VIP, &[]))));
    let error = icmp(at(CLIENT).ip(), at(VIP).ip(), (3, 3), 0, &f.answer(VIP));
    let out = d.send(Side::Client, &from_client(&error)).unwrap();
    assert_eq!(told(&one(&d, Side::Server, out)).to, at(SERVER).ip());
    let error = icmp(at(SERVER).ip(), at(CLIENT).ip(), (3, 3), 0, &f.translated());
    let out = d.send(Side::Server, &from_server(1, &error)).unwrap();
    assert_eq!(told(&one(&d, Side::Client, out)).from, at(VIP).ip());
    assert_eq!(d.counters(SECOND), before);
}

#[test]
fn an_error_of_a_server_that_is_the_director_itself_is_translated() {
    let local = "192.168.1.254:5353";
    for method in [Method::Masquerade, Method::Route] {
        let server = if method == Method::Route {
            "192.168.1.254:53"
        } else {
            local
        };
        let mut d = director(Transport::Udp, VIP, &[(server, method)]);
        let request = udp(at(CLIENT), at(VIP), b"question");
        assert_eq!(d.send(Side::Client, &from_client(&request)).unwrap(), []);
        let (_, _, given) = d.punted().remove(0);
        let from = if method == Method::Route { VIP } else { local };
        let error = icmp(at(from).ip(), at(CLIENT).ip(), (3, 3), 0, &given[14..]);
        assert!(d.inject(Side::Client, &from_client(&error)));
        d.settle();
        let left = d.cable(Side::Client).receive_bytes().unwrap();
        let told = told(&left[14..]);
        assert_eq!((told.from, told.to), (at(VIP).ip(), at(CLIENT).ip()));
        let quoted = SlicedPacket::from_ip(&told.quote).unwrap();
        let Some(TransportSlice::Udp(udp)) = quoted.transport else {
            panic!("a datagram is quoted")
        };
        assert_eq!((udp.source_port(), udp.destination_port()), (4001, 53));
        let counters = d.counters(SECOND);
        assert_eq!(
            (counters.out_packets, counters.out_bytes),
            (1, error.len() as u64)
        );
    }
}
