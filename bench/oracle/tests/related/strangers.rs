//! What quotes no connection, comes from nowhere, or makes no sense.

use crate::common::icmp::{addr, icmp};
use crate::common::with_ttl;
use crate::support::{FAMILIES, SECOND, VIP, about_tunnel, lost};
use pvs_dataplane::punt::PuntClass;
use pvs_oracle::Side;
use pvs_oracle::frames::{from_client, from_server, udp};
use pvs_oracle::scenario::at;
use pvs_proto::Protocol;
use pvs_sched::Method;
use std::net::SocketAddr;

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

#[test]
fn what_quotes_no_connection_is_linuxs_untouched() {
    for f in &FAMILIES {
        let mut d = f.opened(Method::Masquerade);
        let before = d.counters(SECOND);
        let (client, vip, server) = (at(f.client).ip(), at(f.vip).ip(), at(f.server).ip());
        let unknown = udp(at(f.vip), SocketAddr::new(client, 999), b"an answer");
        let header = if f.protocol == Protocol::ICMP { 20 } else { 40 };
        let seen = f.answer(f.vip);
        let mut packets: Vec<Vec<u8>> = f
            .others
            .iter()
            .map(|kind| icmp(client, vip, (*kind, 0), 0, &seen))
            .collect();
        for quote in [
            &unknown[..],
            &seen[..header + 3],
            &seen[..header],
            &[],
            &[0x45; 60],
        ] {
            packets.push(icmp(client, vip, (f.followed[0], 0), 0, quote));
        }
        if f.protocol == Protocol::ICMP {
            let mut later = seen.clone();
            later[7] = 8;
            packets.push(icmp(client, vip, (3, 3), 0, &later));
        }
        for packet in packets {
            let frame = from_client(&packet);
            assert_eq!(d.send(Side::Client, &frame).unwrap(), []);
            assert_eq!(d.punted(), [(PuntClass::Local, Side::Client, frame)]);
        }
        let passing = from_server(1, &icmp(server, client, (f.followed[0], 0), 0, &unknown));
        assert_eq!(d.send(Side::Server, &passing).unwrap(), []);
        assert_eq!(d.punted(), [(PuntClass::Forwarded, Side::Server, passing)]);
        assert_eq!(d.counters(SECOND), before);
        assert_eq!(d.losses(), []);
    }
}

#[test]
fn a_source_that_is_none_reaches_no_connection() {
    let f = &FAMILIES[0];
    let mut d = f.opened(Method::Masquerade);
    let before = d.counters(SECOND);
    for source in ["224.0.0.1", "127.0.0.1", "10.0.0.101", "0.0.0.0"] {
        let error = icmp(addr(source), at(VIP).ip(), (3, 3), 0, &f.answer(VIP));
        assert_eq!(d.send(Side::Client, &from_client(&error)).unwrap(), []);
    }
    assert_eq!(d.losses(), [("martian_source", 4)]);
    assert_eq!(d.counters(SECOND), before);
}

#[test]
fn whatever_strangers_quote_each_packet_has_one_end() {
    for f in &FAMILIES {
        for method in [Method::Masquerade, Method::Tunnel] {
            let mut d = f.opened(method);
            let buffers = d.free_buffers();
            let mut random = Random(0x1cb0_0b1e);
            let seeds = [
                icmp(
                    at(f.client).ip(),
                    at(f.vip).ip(),
                    (f.followed[0], 4),
                    1300,
                    &f.answer(f.vip),
                ),
                icmp(
                    addr(f.router),
                    at(f.client).ip(),
                    (f.followed[0], 4),
                    1300,
                    &f.translated(),
                ),
                about_tunnel((3, 4), 1300, &FAMILIES[0].request())[14..].to_vec(),
            ];
            for _ in 0..3000 {
                let mut packet = seeds[random.below(seeds.len())].clone();
                let v4 = packet[0] >> 4 == 4;
                for _ in 0..random.below(4) {
                    // Behind the outer header, whose damage would end it before.
                    let at = 20 + random.below(packet.len() - 20);
                    packet[at] = random.below(256) as u8;
                }
                let least = if v4 { 28 } else { 48 };
                packet.truncate(least + random.below(packet.len() - least + 1));
                let payload = (packet.len() - if v4 { 0 } else { 40 }) as u16;
                let at = if v4 { 2 } else { 4 };
                packet[at..at + 2].copy_from_slice(&payload.to_be_bytes());
                let packet = with_ttl(packet, 64);
                let (sent, before) = (d.totals().sent, lost(&d));
                let out = d
                    .send(Side::Server, &from_server(7, &packet))
                    .unwrap()
                    .len();
                assert_eq!(d.totals().sent - sent, out as u64);
                let punted = d.punted().len();
                let ends = out + punted + (lost(&d) - before) as usize;
                // One that became another counts as nothing lost.
                assert_eq!(ends, 1, "{packet:02x?}");
                d.pass_ms(4);
            }
            assert_eq!(d.free_buffers(), buffers);
        }
    }
}
