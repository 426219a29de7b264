//! A client, a service, its server and the routers around them, in both
//! families, and what they say.

use crate::common::icmp::{addr, icmp, one};
use crate::common::{CLIENT, director};
use pvs_oracle::frames::{from_client, from_server, ip, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_proto::Protocol;
use pvs_proto::checksum::Sum;
use pvs_sched::{Counters, Method, ServerIndex, Transport};
use std::net::{IpAddr, SocketAddr};

pub const VIP: &str = "10.0.0.100:53";
pub const SERVER: &str = "192.168.1.1:5353";

/// Both families: client, service, server, a router on either side, and the director.
pub struct Family {
    pub client: &'static str,
    pub vip: &'static str,
    pub server: &'static str,
    pub router: &'static str,
    pub director: &'static str,
    pub protocol: Protocol,
    /// Types that are followed, and some that are not.
    pub followed: &'static [u8],
    pub others: &'static [u8],
}

pub const FAMILIES: [Family; 2] = [
    Family {
        client: CLIENT,
        vip: VIP,
        server: SERVER,
        router: "192.168.1.7",
        director: "192.168.1.254",
        protocol: Protocol::ICMP,
        followed: &[3, 4, 11],
        others: &[0, 5, 8, 12, 13, 200],
    },
    Family {
        client: "[fd77::1]:4001",
        vip: "[fd00::100]:53",
        server: "[fd01::1]:5353",
        router: "fd01::7",
        director: "fd01::fe",
        protocol: Protocol::ICMPV6,
        followed: &[1, 2, 3, 4, 100, 127],
        others: &[128, 129, 255],
    },
];

pub const SECOND: ServerIndex = ServerIndex(1);

impl Family {
    /// With a connection that has sent one packet.
    pub fn opened(&self, method: Method) -> Director {
        let server = match method {
            Method::Masquerade => self.server.to_owned(),
            _ => at(self.server).ip().to_string(),
        };
        let server = match method {
            Method::Masquerade => server,
            _ => SocketAddr::new(addr(&server), 53).to_string(),
        };
        let mut d = director(Transport::Udp, self.vip, &[(&server, method)]);
        let out = d.send(Side::Client, &from_client(&self.request())).unwrap();
        one(&d, Side::Server, out);
        d
    }

    pub fn request(&self) -> Vec<u8> {
        udp(at(self.client), at(self.vip), b"question")
    }

    /// The request as its server gets it.
    pub fn translated(&self) -> Vec<u8> {
        udp(at(self.client), at(self.server), b"question")
    }

    pub fn answer(&self, from: &str) -> Vec<u8> {
        udp(at(from), at(self.client), b"an answer")
    }
}

/// A quoted packet whose transport checksum is another's: it stays as it is.
pub fn with_checksum_of(mut quote: Vec<u8>, other: &[u8]) -> Vec<u8> {
    let at = if quote[0] >> 4 == 4 { 26 } else { 46 };
    quote[at..at + 2].copy_from_slice(&other[at..at + 2]);
    quote
}

pub fn counted(packets: [u64; 2], bytes: [usize; 2]) -> Counters {
    Counters {
        connections: 1,
        in_packets: 1 + packets[0],
        out_packets: packets[1],
        in_bytes: bytes[0] as u64,
        out_bytes: bytes[1] as u64,
    }
}

/// A packet of an IPv4 tunnel.
pub fn tunnelled(server: IpAddr, inner: &[u8]) -> Vec<u8> {
    let from = addr(FAMILIES[0].director);
    ip(from, server, Protocol::IPIP, inner.to_vec())
}

/// An error about a packet of an IPv4 tunnel.
pub fn about_tunnel(kind: (u8, u8), rest: u32, inner: &[u8]) -> Vec<u8> {
    let f = &FAMILIES[0];
    let outer = tunnelled(at(SERVER).ip(), inner);
    from_server(
        7,
        &icmp(addr(f.router), addr(f.director), kind, rest, &outer),
    )
}

/// A packet with these options, which are a multiple of 4 bytes.
pub fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut packet = [&packet[..20], options, &packet[20..]].concat();
    packet[0] = 0x40 | ((20 + options.len()) / 4) as u8;
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[10..12].fill(0);
    let sum = Sum::of(&packet[..20 + options.len()]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

pub fn lost(d: &Director) -> u64 {
    d.losses().iter().map(|(_, n)| n).sum()
}
