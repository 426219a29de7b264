//! The IPv4 header (RFC 791). Options stay where they are: pvs never adds or removes one.
//!
//! Its setters keep the header checksum in step by the incremental rule (RFC 1624), so a checksum
//! that was wrong stays wrong, as in the kernel.

use super::network::{IpHeader, Plain};
use crate::addr::Addr4;
use crate::checksum::{Delta, Sum};
use crate::meta::Protocol;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What the version field says.
pub const VERSION: u8 = 4;
/// The DF bit of [`Header::fragment`].
pub const DONT_FRAGMENT: u16 = 0x4000;
/// The MF bit of [`Header::fragment`].
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The offset in [`Header::fragment`], in units of 8 bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

/// The IPv4 header without options: 20 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Version (high 4 bits) and header length in words.
    pub version_ihl: u8,
    /// Type of service: DSCP and ECN.
    pub tos: u8,
    /// Length of the packet with this header.
    pub total_len: U16,
    /// Identification of a fragmented datagram.
    pub id: U16,
    /// DF, MF and fragment offset.
    pub fragment: U16,
    /// Time to live.
    pub ttl: u8,
    /// The protocol of what follows.
    pub protocol: u8,
    /// Checksum over the header with its options.
    pub checksum: U16,
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
}

impl Header {
    /// Bytes of the header without options.
    pub const LEN: usize = size_of::<Self>();
    /// Version 4 and a length of 20 bytes.
    pub const PLAIN: u8 = 0x45;

    /// The version: 4 in a good packet.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Bytes of the header with its options: 0 to 60.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        ((self.version_ihl & 0x0f) as usize) * 4
    }

    /// The protocol of what follows.
    #[must_use]
    pub const fn next(&self) -> Protocol {
        Protocol(self.protocol)
    }

    /// Computes the checksum of a header without options.
    pub fn fill_checksum(&mut self) {
        self.checksum = U16::ZERO;
        self.checksum = U16::new(Sum::of(self.as_bytes()).finish());
    }

    fn patch(&mut self, delta: Delta) {
        self.checksum.set(delta.apply(self.checksum.get()));
    }
}

impl IpHeader for Header {
    type Addr = Addr4;
    fn src(&self) -> Addr4 {
        Addr4::from_wire(self.src)
    }
    fn dst(&self) -> Addr4 {
        Addr4::from_wire(self.dst)
    }
    fn set_src(&mut self, addr: Addr4) -> Delta {
        let delta = Delta::NONE.address(self.src(), addr);
        self.src = addr.to_wire();
        self.patch(delta);
        delta
    }
    fn set_dst(&mut self, addr: Addr4) -> Delta {
        let delta = Delta::NONE.address(self.dst(), addr);
        self.dst = addr.to_wire();
        self.patch(delta);
        delta
    }
    fn ttl(&self) -> u8 {
        self.ttl
    }
    fn set_ttl(&mut self, ttl: u8) {
        let old = u16::from_be_bytes([self.ttl, self.protocol]);
        self.ttl = ttl;
        self.patch(Delta::NONE.word(old, u16::from_be_bytes([ttl, self.protocol])));
    }
    fn allow_fragments(&mut self) {
        let old = self.fragment.get();
        let new = old & !DONT_FRAGMENT;
        self.fragment.set(new);
        self.patch(Delta::NONE.word(old, new));
    }
    fn tos(&self) -> u8 {
        self.tos
    }
    #[inline]
    fn write(&mut self, plain: &Plain<Addr4>) {
        let fragment = if plain.dont_fragment {
            DONT_FRAGMENT
        } else {
            0
        };
        *self = Self {
            version_ihl: Self::PLAIN,
            tos: plain.tos,
            total_len: U16::new(plain.payload_len.wrapping_add(Self::LEN as u16)),
            id: U16::new(plain.id),
            fragment: U16::new(fragment),
            ttl: plain.ttl,
            protocol: plain.next.0,
            checksum: U16::ZERO,
            src: plain.src.to_wire(),
            dst: plain.dst.to_wire(),
        };
        self.fill_checksum();
    }
}
