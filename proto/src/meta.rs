//! What the parser says of a frame: the small, always-valid meaning that later stages trust.

use crate::addr::{Endpoint, Family, V4, V6};
use crate::mac::MacAddr;

/// An IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet control messages (RFC 792).
    pub const ICMP: Self = Self(1);
    /// IPv4 in IP (RFC 2003).
    pub const IPIP: Self = Self(4);
    /// Transmission control protocol (RFC 9293).
    pub const TCP: Self = Self(6);
    /// User datagram protocol (RFC 768).
    pub const UDP: Self = Self(17);
    /// IPv6 in IP (RFC 4213).
    pub const IPV6: Self = Self(41);
    /// Generic routing encapsulation (RFC 2784).
    pub const GRE: Self = Self(47);
    /// Internet control messages for IPv6 (RFC 4443).
    pub const ICMPV6: Self = Self(58);
    /// Virtual router redundancy protocol (RFC 5798).
    pub const VRRP: Self = Self(112);
    /// Stream control transmission protocol (RFC 9260).
    pub const SCTP: Self = Self(132);

    /// The name in a listing of connections; IP is that of a firewall mark's templates.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TCP => "TCP",
            Self::UDP => "UDP",
            Self::SCTP => "SCTP",
            _ => "IP",
        }
    }

    /// One of the three that IPVS balances: its packets carry ports.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }
}

/// An 802.1Q VLAN identifier, 1 to 4094; `NONE` for an untagged or priority-tagged frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct VlanId(pub u16);

impl VlanId {
    /// No VLAN.
    pub const NONE: Self = Self(0);
}

/// The link layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Destination hardware address.
    pub dst: MacAddr,
    /// Source hardware address.
    pub src: MacAddr,
    /// The 802.1Q tag's VLAN.
    pub vlan: VlanId,
    /// Where the network header begins: 14, or 18 behind a tag.
    pub l3: u8,
}

/// Whether the packet is a piece of a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fragment {
    /// A whole packet.
    #[default]
    None,
    /// The first piece: the transport header is in it.
    First,
    /// A later piece: no ports.
    Later,
}

/// One IP packet, parsed once.
///
/// Every offset lies inside the frame. What is proven to lie inside the packet behind `l4`: 20
/// bytes for TCP, 12 for SCTP, 8 for ICMP and ICMPv6, and the 4 bytes of the ports for UDP (IPVS
/// forwards a datagram that is cut behind them); of a first fragment the ports or the ICMP type;
/// nothing for a later one or another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta<F: Family> {
    /// Source address, and port where the protocol has ports (else 0).
    pub src: Endpoint<F::Addr>,
    /// Destination address, and port where the protocol has ports (else 0).
    pub dst: Endpoint<F::Addr>,
    /// IP length in bytes, header included: what IPVS's byte counters count (RFC 791 total length;
    /// 40 + payload length for IPv6). Up to 65,575.
    pub ip_len: u32,
    /// Identification of the datagram that a fragment belongs to; else 0.
    pub fragment_id: u32,
    /// Where the network header begins in the frame.
    pub l3: u16,
    /// Where the transport header begins in the frame, behind options or extension headers.
    pub l4: u16,
    /// The transport protocol (behind IPv6 extension headers).
    pub protocol: Protocol,
    /// TCP: the flags byte. SCTP: the first chunk's type, or ABORT where one follows a COOKIE chunk
    /// (0 if there is no chunk). Both are 0 in a first fragment that is too short for them. ICMP
    /// and ICMPv6: the type. Else 0.
    pub signal: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// A piece of a larger packet?
    pub fragment: Fragment,
    /// The IPv4 DF bit; always true for IPv6, whose routers never fragment.
    pub dont_fragment: bool,
}

/// What is not IP: left to Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// Address resolution (RFC 826).
    Arp,
    /// Any other EtherType, or an LLC frame (whose length stands in its place).
    EtherType(u16),
}

/// A parsed frame behind its link layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// An IPv4 packet.
    V4(Meta<V4>),
    /// An IPv6 packet.
    V6(Meta<V6>),
    /// Something else.
    Other(Other),
}

/// Declares an enum of reasons, each with its counter's name and the
/// sentence that an operator reads.
#[macro_export]
macro_rules! reasons {
    ($(#[$outer:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident => $label:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $doc])+ $variant,)+ }

        impl $name {
            /// Every reason, in the order of the discriminants.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The counter's name, as operators see it.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// Why a frame is malformed; each reason has a counter of its own.
    Malformed {
        /// The frame ends inside its Ethernet header or VLAN tag.
        LinkTruncated => "link_truncated",
        /// The frame ends inside the IP header.
        IpTruncated => "ip_truncated",
        /// The version field does not fit the EtherType.
        IpVersion => "ip_version",
        /// The IPv4 header length is below 20 bytes or runs past the packet.
        IpHeaderLength => "ip_header_length",
        /// The IP length is below the header's, or above what the frame holds.
        IpLength => "ip_length",
        /// The IPv4 header checksum is wrong.
        IpChecksum => "ip_checksum",
        /// The frame ends inside an IPv6 extension header, or there are too many of them.
        ExtensionHeader => "extension_header",
        /// A fragment lies past the largest datagram, or a piece but the last
        /// is no multiple of 8 bytes.
        FragmentOffset => "fragment_offset",
        /// The packet ends inside its TCP, SCTP or ICMP header, or inside the
        /// ports of its UDP header.
        TransportTruncated => "transport_truncated",
    }
}
