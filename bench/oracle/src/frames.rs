//! Frames as the recordings' clients and servers send them: TTL 64, DF, no
//! options, right checksums.

use pvs_proto::checksum::{self, Offload};
use pvs_proto::wire::{ethernet, ipv4, ipv6, sctp, tcp};
use pvs_proto::{Addr4, Addr6, MacAddr, Protocol};
use std::net::{IpAddr, SocketAddr};
use zerocopy::IntoBytes;

/// The clients' router.
pub const CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xc1]);
/// The director on the clients' side.
pub const DIRECTOR_CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// The director on the servers' side.
pub const DIRECTOR_SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// Server `n` on the servers' side.
#[must_use]
pub const fn server_mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, n])
}

/// A frame with an Ethernet header.
#[must_use]
pub fn ethernet(dst: MacAddr, src: MacAddr, ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let header = ethernet::Header {
        dst,
        src,
        ethertype: ethertype.into(),
    };
    [header.as_bytes(), packet].concat()
}

/// A TCP segment without options; `signal` is the flags byte.
#[must_use]
pub fn tcp_segment(src: u16, dst: u16, seq: u32, ack: u32, signal: u8, payload: &[u8]) -> Vec<u8> {
    let header = tcp::Header {
        src: src.into(),
        dst: dst.into(),
        seq: seq.into(),
        ack: ack.into(),
        offset: 5 << 4,
        flags: signal,
        window: 64_240.into(),
        checksum: 0.into(),
        urgent: 0.into(),
    };
    [header.as_bytes(), payload].concat()
}

/// A UDP datagram.
#[must_use]
pub fn udp_datagram(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let len = 8 + payload.len() as u16;
    let head = [
        src.to_be_bytes(),
        dst.to_be_bytes(),
        len.to_be_bytes(),
        [0; 2],
    ]
    .concat();
    [head.as_slice(), payload].concat()
}

/// An SCTP packet of one chunk.
#[must_use]
pub fn sctp_chunk(src: u16, dst: u16, tag: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    let header = sctp::Header {
        src: src.into(),
        dst: dst.into(),
        tag: tag.into(),
        checksum: 0.into(),
    };
    let chunk = sctp::Chunk {
        kind,
        flags: 0,
        length: (size_of::<sctp::Chunk>() as u16 + body.len() as u16).into(),
    };
    [header.as_bytes(), chunk.as_bytes(), body].concat()
}

/// An IP packet around a transport segment, whose checksum is filled in where its
/// protocol is known to have one.
///
/// # Panics
/// If the addresses are of two families.
#[must_use]
pub fn ip(src: IpAddr, dst: IpAddr, protocol: Protocol, mut segment: Vec<u8>) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let (s, d) = (Addr4::from(s), Addr4::from(d));
            if has_checksum(protocol) {
                let _ = checksum::fill(s, d, protocol, &mut segment, Offload::Software);
            }
            let mut header = ipv4::Header {
                version_ihl: ipv4::Header::PLAIN,
                tos: 0,
                total_len: (20 + segment.len() as u16).into(),
                id: 0.into(),
                fragment: ipv4::DONT_FRAGMENT.into(),
                ttl: 64,
                protocol: protocol.0,
                checksum: 0.into(),
                src: s.to_wire(),
                dst: d.to_wire(),
            };
            header.fill_checksum();
            [header.as_bytes(), &segment].concat()
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let (s, d) = (Addr6::from(s), Addr6::from(d));
            if has_checksum(protocol) {
                let _ = checksum::fill(s, d, protocol, &mut segment, Offload::Software);
            }
            let header = ipv6::Header {
                version_class_flow: (6u32 << 28).into(),
                payload_len: (segment.len() as u16).into(),
                next_header: protocol.0,
                hop_limit: 64,
                src: s.to_wire(),
                dst: d.to_wire(),
            };
            [header.as_bytes(), &segment].concat()
        }
        _ => unreachable_families(),
    }
}

fn has_checksum(protocol: Protocol) -> bool {
    let icmp = [Protocol::ICMP, Protocol::ICMPV6];
    protocol.has_ports() || icmp.contains(&protocol)
}

#[allow(clippy::panic)] // a mistake of the test that calls it
fn unreachable_families() -> ! {
    panic!("source and destination are of two families")
}

/// A TCP packet.
#[must_use]
pub fn tcp(src: SocketAddr, dst: SocketAddr, signal: u8, payload: &[u8]) -> Vec<u8> {
    let segment = tcp_segment(src.port(), dst.port(), 1000, 0, signal, payload);
    ip(src.ip(), dst.ip(), Protocol::TCP, segment)
}

/// A UDP packet.
#[must_use]
pub fn udp(src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Vec<u8> {
    ip(
        src.ip(),
        dst.ip(),
        Protocol::UDP,
        udp_datagram(src.port(), dst.port(), payload),
    )
}

/// Overwrites bytes, where there are some.
pub fn set<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(at..at + N) {
        place.copy_from_slice(&value);
    }
}

/// A client's packet in a frame to the director.
#[must_use]
pub fn from_client(packet: &[u8]) -> Vec<u8> {
    ethernet(DIRECTOR_CLIENT_MAC, CLIENT_MAC, ethertype(packet), packet)
}

/// A server's packet in a frame to the director.
#[must_use]
pub fn from_server(n: u8, packet: &[u8]) -> Vec<u8> {
    ethernet(
        DIRECTOR_SERVER_MAC,
        server_mac(n),
        ethertype(packet),
        packet,
    )
}

fn ethertype(packet: &[u8]) -> u16 {
    match packet.first() {
        Some(b) if b >> 4 == 6 => ethernet::IPV6,
        _ => ethernet::IPV4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_checksum_gets_one() {
        let pairs = [["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]];
        for pair in pairs {
            let [src, dst] = pair.map(|addr| addr.parse::<IpAddr>().unwrap());
            let payload = |protocol| {
                let packet = ip(src, dst, protocol, vec![0; 24]);
                packet.get(packet.len() - 24..).unwrap().to_vec()
            };
            for protocol in [Protocol(2), Protocol::IPIP, Protocol::GRE, Protocol(89)] {
                assert_eq!(payload(protocol), [0; 24], "{protocol:?}");
            }
            for protocol in [
                Protocol::TCP,
                Protocol::UDP,
                Protocol::ICMP,
                Protocol::ICMPV6,
            ] {
                assert_ne!(payload(protocol), [0; 24], "{protocol:?}");
            }
        }
    }
}
