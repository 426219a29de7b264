//! The IPv6 header and its extension headers (RFC 8200), authentication (RFC 4302) included.

use super::network::{IpHeader, Plain};
use crate::addr::Addr6;
use crate::checksum::Delta;
use crate::meta::Protocol;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What the version field says.
pub const VERSION: u8 = 6;
/// Next header: hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Next header: routing.
pub const ROUTING: u8 = 43;
/// Next header: fragment.
pub const FRAGMENT: u8 = 44;
/// Next header: authentication.
pub const AUTHENTICATION: u8 = 51;
/// Next header: destination options.
pub const DESTINATION: u8 = 60;

/// The M bit of [`Fragment::offset`].
pub const MORE_FRAGMENTS: u16 = 0x0001;
/// The offset in [`Fragment::offset`]: already in bytes, as its low 3 bits are flags.
pub const OFFSET_MASK: u16 = 0xfff8;

/// The IPv6 header: 40 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Version (4 bits), traffic class (8 bits), flow label (20 bits).
    pub version_class_flow: U32,
    /// Bytes behind this header.
    pub payload_len: U16,
    /// Protocol of what follows, or an extension header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: [u8; 16],
    /// Destination address.
    pub dst: [u8; 16],
}

/// What every extension header but [`Fragment`] begins with: 2 of its bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Extension {
    /// Protocol of what follows, or an extension header.
    pub next_header: u8,
    /// Length: in units that depend on the kind.
    pub length: u8,
}

/// The fragment extension header: 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Fragment {
    /// Protocol of the datagram's fragmentable part, or an extension header.
    pub next_header: u8,
    /// Reserved.
    pub reserved: u8,
    /// Offset and the M bit.
    pub offset: U16,
    /// Identification of the datagram.
    pub id: U32,
}

impl Header {
    /// Bytes of the header.
    pub const LEN: usize = size_of::<Self>();

    /// The version: 6 in a good packet.
    #[must_use]
    pub fn version(&self) -> u8 {
        let [first, ..] = self.version_class_flow.to_bytes();
        first >> 4
    }

    /// Protocol of what follows, or an extension header.
    #[must_use]
    pub const fn next(&self) -> Protocol {
        Protocol(self.next_header)
    }
}

impl Fragment {
    /// Bytes of the header.
    pub const LEN: usize = size_of::<Self>();
}

impl Extension {
    /// Bytes of this extension header, by its kind: AH counts words less two, the others count
    /// units of 8 bytes less one.
    #[must_use]
    pub fn header_len(&self, kind: u8) -> usize {
        if kind == AUTHENTICATION {
            (usize::from(self.length) + 2) * 4
        } else {
            (usize::from(self.length) + 1) * 8
        }
    }
}

/// An extension header that the parser steps over.
#[must_use]
pub const fn is_extension(kind: u8) -> bool {
    matches!(
        kind,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION
    )
}

impl IpHeader for Header {
    type Addr = Addr6;
    fn src(&self) -> Addr6 {
        Addr6::from_wire(self.src)
    }
    fn dst(&self) -> Addr6 {
        Addr6::from_wire(self.dst)
    }
    fn set_src(&mut self, addr: Addr6) -> Delta {
        let delta = Delta::NONE.address(self.src(), addr);
        self.src = addr.to_wire();
        delta
    }
    fn set_dst(&mut self, addr: Addr6) -> Delta {
        let delta = Delta::NONE.address(self.dst(), addr);
        self.dst = addr.to_wire();
        delta
    }
    fn ttl(&self) -> u8 {
        self.hop_limit
    }
    fn set_ttl(&mut self, ttl: u8) {
        self.hop_limit = ttl;
    }
    fn allow_fragments(&mut self) {}
    fn tos(&self) -> u8 {
        let [first, second, ..] = self.version_class_flow.to_bytes();
        (first << 4) | (second >> 4)
    }
    #[inline]
    fn write(&mut self, plain: &Plain<Addr6>) {
        *self = Self {
            version_class_flow: U32::new((6 << 28) | (u32::from(plain.tos) << 20)),
            payload_len: U16::new(plain.payload_len),
            next_header: plain.next.0,
            hop_limit: plain.ttl,
            src: plain.src.to_wire(),
            dst: plain.dst.to_wire(),
        };
    }
}
