//! Frames for property tests: good ones that etherparse builds, damaged ones, and rubbish.

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Header, Ipv4Options, Ipv6Extensions, Ipv6FragmentHeader,
    Ipv6Header, Ipv6RawExtHeader, PacketBuilder, TcpHeader,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use pvs_proto::Protocol;
use smoltcp::wire::Ipv4Packet;

/// What goes into a frame.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub vlan: Option<u16>,
    pub network: Net,
    pub transport: Transport,
    pub payload: Vec<u8>,
    pub padding: usize,
}

#[derive(Clone, Debug)]
pub enum Net {
    V4 {
        src: [u8; 4],
        dst: [u8; 4],
        ttl: u8,
        df: bool,
        option_words: usize,
    },
    V6 {
        src: [u8; 16],
        dst: [u8; 16],
        ttl: u8,
        hop: Option<u8>,
        dest: Option<u8>,
        piece: Option<u32>,
    },
}

#[derive(Clone, Debug)]
pub enum Transport {
    Tcp { src: u16, dst: u16, flags: u8 },
    Udp { src: u16, dst: u16 },
    Echo,
}

impl Recipe {
    pub fn build(&self) -> Vec<u8> {
        let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 0xc1], [2, 0, 0, 0, 0, 1]);
        let network = self.network.headers();
        let packet = match self.vlan {
            Some(id) => link.single_vlan(id.try_into().unwrap()).ip(network),
            None => link.ip(network),
        };
        let mut frame = Vec::new();
        let payload = &self.payload;
        match self.transport {
            Transport::Tcp { src, dst, flags } => {
                let mut header = TcpHeader::new(src, dst, 1000, 64240);
                (header.fin, header.syn) = (flags & 1 != 0, flags & 2 != 0);
                (header.rst, header.psh) = (flags & 4 != 0, flags & 8 != 0);
                (header.ack, header.urg) = (flags & 16 != 0, flags & 32 != 0);
                (header.ece, header.cwr) = (flags & 64 != 0, flags & 128 != 0);
                packet
                    .tcp_header(header)
                    .write(&mut frame, payload)
                    .unwrap();
            }
            Transport::Udp { src, dst } => packet.udp(src, dst).write(&mut frame, payload).unwrap(),
            Transport::Echo if matches!(self.network, Net::V4 { .. }) => {
                packet
                    .icmpv4_echo_request(1, 2)
                    .write(&mut frame, payload)
                    .unwrap();
            }
            Transport::Echo => packet
                .icmpv6_echo_request(1, 2)
                .write(&mut frame, payload)
                .unwrap(),
        }
        frame.resize(frame.len() + self.padding, 0xa5);
        frame
    }

    /// Protocol, ports and signal.
    pub fn transport(&self) -> (Protocol, u16, u16, u8) {
        match (&self.transport, &self.network) {
            (Transport::Tcp { src, dst, flags }, _) => (Protocol::TCP, *src, *dst, *flags),
            (Transport::Udp { src, dst }, _) => (Protocol::UDP, *src, *dst, 0),
            (Transport::Echo, Net::V4 { .. }) => (Protocol::ICMP, 0, 0, 8),
            (Transport::Echo, Net::V6 { .. }) => (Protocol::ICMPV6, 0, 0, 128),
        }
    }
}

impl Net {
    fn headers(&self) -> IpHeaders {
        match *self {
            Self::V4 {
                src,
                dst,
                ttl,
                df,
                option_words,
            } => {
                // The builder sets protocol, length and checksum.
                let mut header = Ipv4Header::new(0, ttl, IpNumber(0), src, dst).unwrap();
                header.dont_fragment = df;
                header.options = Ipv4Options::try_from(&vec![1u8; option_words * 4][..]).unwrap();
                IpHeaders::Ipv4(header, Default::default())
            }
            Self::V6 {
                src,
                dst,
                ttl,
                hop,
                dest,
                piece,
            } => {
                let header = Ipv6Header {
                    source: src,
                    destination: dst,
                    hop_limit: ttl,
                    ..Default::default()
                };
                let raw = |units: u8| {
                    let payload = vec![0; 6 + 8 * usize::from(units)];
                    Ipv6RawExtHeader::new_raw(IpNumber(0), &payload).unwrap()
                };
                let atomic =
                    |id| Ipv6FragmentHeader::new(IpNumber(0), IpFragOffset::ZERO, false, id);
                let extensions = Ipv6Extensions {
                    hop_by_hop_options: hop.map(raw),
                    destination_options: dest.map(raw),
                    fragment: piece.map(atomic),
                    ..Default::default()
                };
                IpHeaders::Ipv6(header, extensions)
            }
        }
    }

    /// Length of the header with options or extension headers.
    pub fn len(&self) -> usize {
        let units = |units: u8| 8 + 8 * usize::from(units);
        match *self {
            Self::V4 { option_words, .. } => 20 + option_words * 4,
            Self::V6 {
                hop, dest, piece, ..
            } => 40 + hop.map_or(0, units) + dest.map_or(0, units) + piece.map_or(0, |_| 8),
        }
    }
}

pub fn recipes() -> impl Strategy<Value = Recipe> {
    let v4 = (
        any::<[u8; 4]>(),
        any::<[u8; 4]>(),
        any::<u8>(),
        any::<bool>(),
        0usize..=10,
    );
    let v4 = v4.prop_map(|(src, dst, ttl, df, option_words)| Net::V4 {
        src,
        dst,
        ttl,
        df,
        option_words,
    });
    let extensions = (
        option::of(0u8..8),
        option::of(0u8..8),
        option::of(any::<u32>()),
    );
    let v6 = (
        any::<[u8; 16]>(),
        any::<[u8; 16]>(),
        any::<u8>(),
        extensions,
    );
    let v6 = v6.prop_map(|(src, dst, ttl, (hop, dest, piece))| Net::V6 {
        src,
        dst,
        ttl,
        hop,
        dest,
        piece,
    });
    let tcp = any::<(u16, u16, u8)>();
    let tcp = tcp.prop_map(|(src, dst, flags)| Transport::Tcp { src, dst, flags });
    let udp = any::<(u16, u16)>().prop_map(|(src, dst)| Transport::Udp { src, dst });
    let transport = prop_oneof![tcp, udp, Just(Transport::Echo)];
    let vlan = option::of(0u16..4096);
    let payload = vec(any::<u8>(), 0..100);
    (vlan, prop_oneof![v4, v6], transport, payload, 0usize..20).prop_map(
        |(vlan, network, transport, payload, padding)| Recipe {
            vlan,
            network,
            transport,
            payload,
            padding,
        },
    )
}

/// A frame of bytes that have a chance to get past the EtherType.
pub fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let head = prop_oneof![
        Just(vec![0x08, 0x00, 0x45]),
        Just(vec![0x08, 0x00, 0x46]),
        Just(vec![0x86, 0xdd, 0x60]),
        Just(vec![0x81, 0x00, 0x00, 0x64, 0x08, 0x00, 0x45]),
        Just(vec![]),
    ];
    (head, vec(any::<u8>(), 0..120)).prop_map(|(head, tail)| [vec![2; 12], head, tail].concat())
}

/// A good frame with a few bytes changed, and perhaps cut: mostly broken in one place only.
pub fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let index = any::<prop::sample::Index>;
    let wounds = vec((index(), any::<u8>()), 1..4);
    (recipes(), wounds, option::of(index()), any::<bool>()).prop_map(
        |(recipe, wounds, cut, mend)| {
            let mut frame = recipe.build();
            for (at, value) in wounds {
                // Headers are hit more often than payload.
                let at = at.index(frame.len().min(80));
                frame[at] = value;
            }
            if mend {
                mend_checksum(&mut frame, recipe.vlan.map_or(14, |_| 18));
            }
            if let Some(cut) = cut.filter(|_| !mend) {
                frame.truncate(cut.index(frame.len()));
            }
            frame
        },
    )
}

/// Lets damage to an IPv4 header get past its checksum.
fn mend_checksum(frame: &mut [u8], l3: usize) {
    let mut ip = Ipv4Packet::new_unchecked(&mut frame[l3..]);
    if ip.version() == 4 && ip.header_len() >= 20 && ip.check_len().is_ok() {
        ip.fill_checksum();
    }
}
