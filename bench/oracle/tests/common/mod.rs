//! What the tests of the engine share: directors with one service, and frames as
//! somebody else reads them.
#![allow(
    dead_code,
    clippy::field_reassign_with_default,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

pub mod dns;
pub mod icmp;
pub mod pieces;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pvs_dataplane::steering::{Steering, Toeplitz};
use pvs_oracle::frames::from_client;
use pvs_oracle::scenario::{self, at};
use pvs_oracle::{Director, Side};
use pvs_proto::MacAddr;
use pvs_proto::checksum::Sum;
use pvs_sched::{Method, ServerIndex, Service, Snapshot, Transport};
use std::net::SocketAddr;

pub const VIP: &str = "10.0.0.100:80";
pub const CLIENT: &str = "10.9.0.1:4001";
pub const SERVER: &str = "192.168.1.1:8080";

/// The hash of a NIC that spreads its packets over these workers.
pub fn nic(workers: u16) -> Steering {
    let key: Vec<u8> = (0..40u8).map(|n| n.wrapping_mul(29) ^ 0x71).collect();
    let queues = (0..128).map(|n| n % workers).collect();
    Steering::nic(workers, Toeplitz::new(&key, queues).unwrap())
}

/// The service in slot 0 with its servers in the cells from 1 on.
pub fn service(protocol: Transport, vip: &str, servers: &[(&str, Method)]) -> Service {
    let none = scenario::service(0, protocol, at(vip), true);
    (1u32..)
        .zip(servers)
        .fold(none, |service, (n, (addr, method))| {
            service.with_server(ServerIndex(n), scenario::server(at(addr), *method))
        })
}

/// A configuration of this version with one service, if any.
pub fn snapshot(version: u64, service: Option<Service>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.version = version;
    if let Some(service) = service {
        snapshot.put(service);
    }
    snapshot
}

/// A director with one service.
pub fn director(protocol: Transport, vip: &str, servers: &[(&str, Method)]) -> Director {
    let mut director = Director::new().unwrap();
    director.configure(snapshot(1, Some(service(protocol, vip, servers))));
    director
}

/// A frame as an independent decoder reads it.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub macs: (MacAddr, MacAddr),
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub ttl: u8,
    pub len: usize,
}

pub fn seen(frame: &[u8]) -> Seen {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let link = frame;
    let mac = |at: usize| MacAddr(link[at..at + 6].try_into().unwrap());
    let (src, dst, ttl) = match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let h = ip.header();
            assert_eq!(
                h.header_checksum(),
                h.to_header().calc_header_checksum(),
                "IPv4 checksum"
            );
            (h.source_addr().into(), h.destination_addr().into(), h.ttl())
        }
        NetSlice::Ipv6(ip) => {
            let h = ip.header();
            (
                h.source_addr().into(),
                h.destination_addr().into(),
                h.hop_limit(),
            )
        }
        other => panic!("{other:?}"),
    };
    let (sport, dport) = match packet.transport.as_ref().unwrap() {
        TransportSlice::Tcp(t) => {
            let sum = match packet.net.as_ref().unwrap() {
                NetSlice::Ipv4(ip) => {
                    t.calc_checksum_ipv4(ip.header().source(), ip.header().destination())
                }
                NetSlice::Ipv6(ip) => {
                    t.calc_checksum_ipv6(ip.header().source(), ip.header().destination())
                }
                _ => unreachable!(),
            };
            assert_eq!(t.checksum(), sum.unwrap(), "TCP checksum");
            (t.source_port(), t.destination_port())
        }
        TransportSlice::Udp(u) => {
            assert_ne!(u.checksum(), 0, "UDP checksum");
            (u.source_port(), u.destination_port())
        }
        other => panic!("{other:?}"),
    };
    Seen {
        macs: (mac(0), mac(6)),
        src: SocketAddr::new(src, sport),
        dst: SocketAddr::new(dst, dport),
        ttl,
        len: frame.len(),
    }
}

/// The one frame that came out, and where.
pub fn one(out: Vec<(Side, Vec<u8>)>) -> (Side, Seen) {
    assert_eq!(out.len(), 1, "{out:?}");
    (out[0].0, seen(&out[0].1))
}

/// A packet with this hop limit.
pub fn with_ttl(mut packet: Vec<u8>, ttl: u8) -> Vec<u8> {
    if packet[0] >> 4 == 6 {
        packet[7] = ttl;
        return packet;
    }
    packet[8] = ttl;
    packet[10..12].fill(0);
    let sum = Sum::of(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The same IPv4 packet as the first piece of a longer one.
pub fn first_piece(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6..8].copy_from_slice(&[0x20, 0]);
    let ttl = packet[8];
    with_ttl(packet, ttl)
}

/// Sends a client's packet; the one frame that comes out, which is for a server.
pub fn sent(d: &mut Director, packet: &[u8]) -> Vec<u8> {
    let mut out = d.send(Side::Client, &from_client(packet)).unwrap();
    assert_eq!(out.len(), 1, "{:?}", d.losses());
    let (side, frame) = out.remove(0);
    assert_eq!(side, Side::Server);
    frame
}
