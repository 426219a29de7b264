//! Errors about packets in tunnels.

use crate::common::icmp::{addr, icmp, one, told};
use crate::common::{CLIENT, snapshot, with_ttl};
use crate::support::{FAMILIES, SECOND, SERVER, VIP, about_tunnel, tunnelled};
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::frames::{from_client, from_server, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side, scenario};
use pvs_sched::{Method, Transport, Tunnel, TunnelKind};

fn without_dont_fragment(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6] = 0;
    let ttl = packet[8];
    with_ttl(packet, ttl)
}

#[test]
fn an_error_about_a_tunnel_is_told_to_the_client_and_its_mtu_remembered() {
    let f = &FAMILIES[0];
    let mut d = f.opened(Method::Tunnel);
    let inner = f.request();
    let big = |len: usize| from_client(&udp(at(CLIENT), at(VIP), &vec![b'a'; len - 28]));
    let told_by = |d: &mut Director, frame: &[u8], side| {
        let out = d.send(side, frame).unwrap();
        let told = told(&one(d, Side::Client, out));
        assert_eq!((told.from, told.to), (at(VIP).ip(), at(CLIENT).ip()));
        (told.what, told.rest, told.quote)
    };
    let too_big = |mtu| about_tunnel((3, 4), mtu, &inner);
    let before = d.counters(SECOND);
    assert_eq!(
        told_by(&mut d, &too_big(1300), Side::Server),
        ((3, 4), 1480, inner.clone()),
        "the way that was found before is longer"
    );
    let counted = d.counters(SECOND).since(before);
    assert_eq!((counted.out_packets, counted.out_bytes), (2, 36 + 64));
    assert_eq!(
        told_by(&mut d, &about_tunnel((3, 1), 0, &inner), Side::Server).0,
        (3, 1)
    );
    assert_eq!(
        told_by(&mut d, &about_tunnel((4, 0), 7, &inner), Side::Server).1,
        7
    );
    assert_eq!(told_by(&mut d, &big(1281), Side::Client).1, 1280);
    let out = d.send(Side::Client, &big(1280)).unwrap();
    assert_eq!(one(&d, Side::Server, out).len(), 1300);
    assert_eq!(told_by(&mut d, &too_big(1200), Side::Server).1, 1180);
    assert_eq!(told_by(&mut d, &too_big(1250), Side::Server).1, 1180);
    assert_eq!(told_by(&mut d, &too_big(0), Side::Server).1, 532);
    d.sleep_ms(599_000);
    d.send(Side::Client, &from_client(&inner)).unwrap();
    assert_eq!(told_by(&mut d, &big(533), Side::Client).1, 532);
    d.sleep_ms(1_500);
    let out = d.send(Side::Client, &big(1480)).unwrap();
    assert_eq!(one(&d, Side::Server, out).len(), 1500);
    assert_eq!(told_by(&mut d, &big(1481), Side::Client).1, 1480);
}

#[test]
fn what_is_no_error_about_a_tunnel_of_ours_is_linuxs() {
    let f = &FAMILIES[0];
    let mut d = f.opened(Method::Tunnel);
    let inner = f.request();
    let before = d.counters(SECOND);
    let unknown = udp(at("10.9.0.1:999"), at(VIP), b"question");
    let stranger = tunnelled(addr("192.168.1.2"), &inner);
    let passing = tunnelled(at(SERVER).ip(), &inner);
    let cases = [
        (about_tunnel((3, 4), 1300, &inner[..8]), PuntClass::Local),
        (about_tunnel((3, 4), 1300, &inner[..23]), PuntClass::Local),
        (about_tunnel((12, 0), 0, &inner), PuntClass::Local),
        (about_tunnel((3, 4), 1300, &unknown), PuntClass::Local),
        (
            from_server(
                7,
                &icmp(addr(f.router), addr(f.director), (3, 4), 1300, &stranger),
            ),
            PuntClass::Local,
        ),
        (
            from_server(
                7,
                &icmp(addr(f.router), at(CLIENT).ip(), (3, 4), 1300, &passing),
            ),
            PuntClass::Forwarded,
        ),
    ];
    for (frame, class) in cases {
        assert_eq!(d.send(Side::Server, &frame).unwrap(), []);
        assert_eq!(d.punted(), [(class, Side::Server, frame)]);
    }
    assert_eq!(d.losses(), []);
    // Whose packet may be cut is told nothing, but the path is known.
    let cut = without_dont_fragment(inner.clone());
    assert_eq!(
        d.send(Side::Server, &about_tunnel((3, 4), 1300, &cut))
            .unwrap(),
        []
    );
    let mut wrong = about_tunnel((3, 1), 0, &inner);
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(d.send(Side::Server, &wrong).unwrap(), []);
    assert_eq!(d.losses(), [("icmp_checksum", 1), ("tunnel_error", 1)]);
    assert_eq!(d.counters(SECOND), before);
    let big = from_client(&udp(at(CLIENT), at(VIP), &[b'a'; 1281 - 28]));
    let out = d.send(Side::Client, &big).unwrap();
    assert_eq!(told(&one(&d, Side::Client, out)).rest, 1280);
}

#[test]
fn gue_and_gre_leave_less_for_the_packet_within() {
    // What the kernel told of a path of 1300 bytes, once the tunnel's way had been found anew.
    for (kind, flags, told_mtu) in [
        (TunnelKind::Gue, 0, 1268),
        (TunnelKind::Gue, 1, 1268),
        (TunnelKind::Gre, 0, 1276),
        (TunnelKind::Gre, 1, 1272),
    ] {
        let mut d = Director::new().unwrap();
        let mut server = scenario::server(at("192.168.1.1:53"), Method::Tunnel);
        server.tunnel = Tunnel {
            kind,
            port: if kind == TunnelKind::Gue { 6080 } else { 0 },
            flags,
        };
        let service = scenario::service(0, Transport::Udp, at(VIP), true);
        d.configure(snapshot(1, Some(service.with_server(SECOND, server))));
        let request = from_client(&FAMILIES[0].request());
        let mut tell = |mtu| {
            let out = d.send(Side::Client, &request).unwrap();
            let outer = one(&d, Side::Server, out);
            let (router, director) = (addr("192.168.1.7"), addr("192.168.1.254"));
            let error = from_server(7, &icmp(router, director, (3, 4), mtu, &outer));
            let out = d.send(Side::Server, &error).unwrap();
            let told = told(&one(&d, Side::Client, out));
            assert_eq!(told.to, at(CLIENT).ip());
            told.rest
        };
        assert_eq!(tell(1300), told_mtu + 200);
        assert_eq!(tell(1300), told_mtu);
    }
}
