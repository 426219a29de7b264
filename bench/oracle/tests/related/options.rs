//! IPv4 options that ask for the director's address.

use crate::common::icmp::{one, told};
use crate::common::{CLIENT, with_ttl};
use crate::support::{FAMILIES, SERVER, VIP, with_options};
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::Side;
use pvs_oracle::frames::{from_client, from_server, udp};
use pvs_oracle::scenario::at;
use pvs_proto::checksum::Sum;
use pvs_sched::Method;

#[test]
fn a_route_is_recorded_with_the_virtual_address() {
    let f = &FAMILIES[0];
    let asked = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let recorded = [7, 11, 8, 10, 0, 0, 100, 0, 0, 0, 0, 0];
    for method in [Method::Masquerade, Method::Route, Method::Tunnel] {
        let mut d = f.opened(method);
        for client in [CLIENT, "10.9.0.1:4002"] {
            let packet = with_options(&udp(at(client), at(VIP), b"question"), &asked);
            let out = d.send(Side::Client, &from_client(&packet)).unwrap();
            let left = one(&d, Side::Server, out);
            let inner = &left[left.len() - packet.len()..];
            assert_eq!((inner[0], &inner[20..32]), (0x48, &recorded[..]));
            assert_eq!(Sum::of(&inner[..32]).finish(), 0);
            // An error echoes what was recorded, and adds its own.
            let old = with_ttl(packet, 64);
            let mut old = with_options(&[&old[..20], &old[32..]].concat(), &asked);
            old[8] = 1;
            old[10..12].fill(0);
            let sum = Sum::of(&old[..32]).finish();
            old[10..12].copy_from_slice(&sum.to_be_bytes());
            let out = d.send(Side::Client, &from_client(&old)).unwrap();
            let error = one(&d, Side::Client, out);
            assert_eq!(error[20..32], [7, 11, 12, 10, 0, 0, 100, 10, 0, 0, 100, 0]);
            let told = told(&error);
            assert_eq!((told.what, &told.quote[20..32]), ((11, 0), &recorded[..]));
            assert_eq!(Sum::of(&told.quote[..32]).finish(), 0);
        }
        assert_eq!(d.losses(), [("ttl_exceeded", 2)]);
    }
    // What the kernel answers by a parameter problem, and a source route, are Linux's as they came;
    // so is what is not balanced.
    let mut d = f.opened(Method::Masquerade);
    let bad = [7, 7, 3, 0, 0, 0, 0, 0];
    let route = [131, 7, 8, 10, 9, 9, 9, 0];
    let elsewhere = udp(at(CLIENT), at("10.0.0.100:54"), b"question");
    for packet in [
        with_options(&f.request(), &bad),
        with_options(&f.request(), &route),
        with_options(&elsewhere, &asked),
    ] {
        let frame = from_client(&packet);
        assert_eq!(d.send(Side::Client, &frame).unwrap(), []);
        assert_eq!(d.punted(), [(PuntClass::Local, Side::Client, frame)]);
    }
    // A reply gets it too.
    let reply = with_options(&f.answer(SERVER), &asked);
    let out = d.send(Side::Server, &from_server(1, &reply)).unwrap();
    assert_eq!(one(&d, Side::Client, out)[20..32], recorded);
}
