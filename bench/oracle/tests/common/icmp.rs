//! ICMP errors: as somebody else reads them, and as routers and hosts send them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pvs_oracle::frames::ip;
use pvs_oracle::{Director, Side};
use pvs_proto::Protocol;
use pvs_proto::checksum::Sum;
use std::net::IpAddr;

pub fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An ICMP message of a type and a code, with the word behind its checksum and what is behind that.
pub fn icmp(src: IpAddr, dst: IpAddr, what: (u8, u8), rest: u32, quote: &[u8]) -> Vec<u8> {
    let protocol = match src {
        IpAddr::V4(_) => Protocol::ICMP,
        IpAddr::V6(_) => Protocol::ICMPV6,
    };
    let head = [&[what.0, what.1, 0, 0][..], &rest.to_be_bytes()].concat();
    ip(src, dst, protocol, [&head, quote].concat())
}

/// An error as an independent decoder reads it.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub from: IpAddr,
    pub to: IpAddr,
    pub ttl: u8,
    /// Type and code.
    pub what: (u8, u8),
    /// The word behind the checksum.
    pub rest: u32,
    pub quote: Vec<u8>,
}

/// Reads the error in a packet, whose checksums must be right.
pub fn told(packet: &[u8]) -> Told {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    let (from, to, ttl): (IpAddr, IpAddr, u8) = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let h = ip.header();
            let sum = Sum::of(&packet[..usize::from(h.ihl()) * 4]).finish();
            assert_eq!(sum, 0, "IPv4 checksum");
            (h.source_addr().into(), h.destination_addr().into(), h.ttl())
        }
        NetSlice::Ipv6(ip) => {
            let h = ip.header();
            let (src, dst) = (h.source_addr(), h.destination_addr());
            (src.into(), dst.into(), h.hop_limit())
        }
        other => panic!("{other:?}"),
    };
    let bytes = match sliced.transport.as_ref().unwrap() {
        TransportSlice::Icmpv4(icmp) => {
            assert_eq!(Sum::of(icmp.slice()).finish(), 0, "ICMP checksum");
            icmp.slice()
        }
        TransportSlice::Icmpv6(icmp) => {
            let (IpAddr::V6(src), IpAddr::V6(dst)) = (from, to) else {
                panic!("ICMPv6 in IPv6")
            };
            assert!(icmp.is_checksum_valid(src.octets(), dst.octets()));
            icmp.slice()
        }
        other => panic!("{other:?}"),
    };
    Told {
        from,
        to,
        ttl,
        what: (bytes[0], bytes[1]),
        rest: u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
        quote: bytes[8..].to_vec(),
    }
}

/// The one frame that came out, without its link layer.
pub fn one(d: &Director, side: Side, out: Vec<(Side, Vec<u8>)>) -> Vec<u8> {
    assert_eq!(out.len(), 1, "{:?}", d.losses());
    assert_eq!(out[0].0, side);
    out[0].1[14..].to_vec()
}
