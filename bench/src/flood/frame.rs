//! The frames of a flood: 60 bytes each (64 with the FCS), every one from another sender.

use super::Kind;
use anyhow::{Context, ensure};
use pvs_proto::checksum::{self, Offload};
use pvs_proto::wire::{ethernet, ipv4, tcp};
use pvs_proto::{Addr4, MacAddr, Protocol};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;
use zerocopy::IntoBytes;

const FRAME_LEN: usize = 60;

const BGP_PORT: u16 = 179;

/// Addresses in common notation: 192.0.2.0/24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    first: u32,
    count: u32,
}

impl FromStr for Prefix {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (address, len) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().context("no IPv4 address before the /")?;
        let len: u32 = len.parse().context("no number behind the /")?;
        ensure!((1..=32).contains(&len), "the length is 1 to 32");
        let count = 1u32 << (32 - len);
        Ok(Self {
            first: address.to_bits() & !(count - 1),
            count,
        })
    }
}

/// Makes them one after the other.
pub struct Flood {
    kind: Kind,
    to: SocketAddrV4,
    mac: MacAddr,
    from: Prefix,
    number: u32,
    frame: [u8; FRAME_LEN],
}

impl Flood {
    /// From the first address and port.
    pub fn new(kind: Kind, to: SocketAddrV4, mac: MacAddr, from: Prefix) -> Self {
        Self {
            kind,
            to,
            mac,
            from,
            number: 0,
            frame: [0; FRAME_LEN],
        }
    }

    /// The next one.
    pub fn next_frame(&mut self) -> &[u8] {
        let sender = Addr4(self.from.first + self.number % self.from.count);
        let port = 1024 + (self.number / self.from.count + self.number) as u16 % 60_000;
        self.number = self.number.wrapping_add(1);
        let [_, b, c, d] = sender.0.to_be_bytes();
        let source = MacAddr([2, 0xf1, 0, b, c, d]);
        let target = Addr4(self.to.ip().to_bits());
        match self.kind {
            Kind::Arp => self.arp(source, sender, target),
            Kind::Udp => self.packet(source, sender, target, Protocol::UDP, &self.datagram(port)),
            Kind::Syn => {
                let segment = self.segment(port, tcp::SYN);
                self.packet(source, sender, target, Protocol::TCP, &segment);
            }
            Kind::Bgp => {
                let segment = self.segment(BGP_PORT, tcp::ACK);
                self.packet(source, sender, target, Protocol::TCP, &segment);
            }
        }
        &self.frame
    }

    fn datagram(&self, port: u16) -> [u8; 8] {
        let mut datagram = [0; 8];
        let fields = [port, self.to.port(), 8];
        for (field, value) in datagram.chunks_exact_mut(2).zip(fields) {
            field.copy_from_slice(&value.to_be_bytes());
        }
        datagram
    }

    fn segment(&self, port: u16, flags: u8) -> [u8; 20] {
        let header = tcp::Header {
            src: port.into(),
            dst: self.to.port().into(),
            seq: self.number.into(),
            ack: 0.into(),
            offset: 5 << 4,
            flags,
            window: 64_240.into(),
            checksum: 0.into(),
            urgent: 0.into(),
        };
        let mut segment = [0; 20];
        segment.copy_from_slice(header.as_bytes());
        segment
    }

    fn packet(
        &mut self,
        source: MacAddr,
        from: Addr4,
        to: Addr4,
        protocol: Protocol,
        segment: &[u8],
    ) {
        let mut ip = ipv4::Header {
            version_ihl: ipv4::Header::PLAIN,
            tos: 0,
            total_len: ((ipv4::Header::LEN + segment.len()) as u16).into(),
            id: 0.into(),
            fragment: ipv4::DONT_FRAGMENT.into(),
            ttl: 64,
            protocol: protocol.0,
            checksum: 0.into(),
            src: from.to_wire(),
            dst: to.to_wire(),
        };
        ip.fill_checksum();
        let mut segment = segment.to_vec();
        let _ = checksum::fill(from, to, protocol, &mut segment, Offload::Software);
        self.link(source, self.mac, ethernet::IPV4);
        self.put(14, ip.as_bytes());
        self.put(14 + ipv4::Header::LEN, &segment);
    }

    /// RFC 826: Ethernet, IPv4, request.
    fn arp(&mut self, source: MacAddr, from: Addr4, to: Addr4) {
        self.link(source, MacAddr([0xff; 6]), 0x0806);
        self.put(14, &[0, 1, 8, 0, 6, 4, 0, 1]);
        self.put(22, &source.0);
        self.put(28, &from.0.to_be_bytes());
        self.put(38, &to.0.to_be_bytes());
    }

    fn link(&mut self, src: MacAddr, dst: MacAddr, ethertype: u16) {
        let header = ethernet::Header {
            dst,
            src,
            ethertype: ethertype.into(),
        };
        self.put(0, header.as_bytes());
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(room) = self.frame.get_mut(at..at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use pvs_proto::checksum::Sum;

    fn flood(kind: Kind) -> Flood {
        let to = "192.0.2.1:9".parse().unwrap();
        Flood::new(kind, to, MacAddr([2; 6]), "10.0.0.7/24".parse().unwrap())
    }

    #[test]
    fn senders_go_round_the_prefix() {
        let mut udp = flood(Kind::Udp);
        let senders: Vec<u8> = (0..257).map(|_| udp.next_frame()[29]).collect();
        assert_eq!(
            (senders[0], senders[1], senders[255], senders[256]),
            (0, 1, 255, 0)
        );
        assert!("10.0.0.0/0".parse::<Prefix>().is_err());
        assert_eq!("10.0.0.9".parse::<Prefix>().unwrap().count, 1);
    }

    #[test]
    fn segments_of_bgp_come_from_its_port() {
        let mut bgp = flood(Kind::Bgp);
        for _ in 0..300 {
            let frame = bgp.next_frame();
            assert_eq!(frame[34..38], [0, 179, 0, 9]);
            assert_eq!(frame[47], tcp::ACK);
        }
    }

    #[test]
    fn packets_have_right_checksums() {
        for (kind, protocol, len) in [
            (Kind::Udp, Protocol::UDP, 8),
            (Kind::Syn, Protocol::TCP, 20),
            (Kind::Bgp, Protocol::TCP, 20),
        ] {
            let mut flood = flood(kind);
            for _ in 0..300 {
                let frame = flood.next_frame();
                let (from, to) = (&frame[26..30], &frame[30..34]);
                let address = |b: &[u8]| Addr4(u32::from_be_bytes(b.try_into().unwrap()));
                assert_eq!(Sum::of(&frame[14..34]).finish(), 0);
                let segment = &frame[34..34 + len];
                assert_eq!(
                    checksum::is_right(address(from), address(to), protocol, segment),
                    Ok(true)
                );
            }
        }
    }
}
