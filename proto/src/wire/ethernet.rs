//! Ethernet II with an optional 802.1Q tag. No LLC, no QinQ: such frames are left to Linux.

use crate::mac::MacAddr;
use crate::meta::VlanId;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// The Ethernet header: 14 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Destination hardware address.
    pub dst: MacAddr,
    /// Source hardware address.
    pub src: MacAddr,
    /// What follows; below 0x600 it is the length of an LLC frame.
    pub ethertype: U16,
}

/// An 802.1Q tag behind the Ethernet header: 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Tag {
    /// Priority (3 bits), drop eligible (1 bit), VLAN (12 bits).
    pub control: U16,
    /// What follows the tag.
    pub ethertype: U16,
}

impl Header {
    /// Bytes of the header.
    pub const LEN: usize = size_of::<Self>();

    /// Destination and source. The bytes are moved one by one, which compilers turn into two moves;
    /// copies of six bytes meet on the stack in pieces, and reading them back stalls.
    #[must_use]
    #[inline]
    pub const fn addresses(&self) -> (MacAddr, MacAddr) {
        let MacAddr([a, b, c, d, e, f]) = self.dst;
        let MacAddr([g, h, i, j, k, l]) = self.src;
        (MacAddr([a, b, c, d, e, f]), MacAddr([g, h, i, j, k, l]))
    }
}

impl Tag {
    /// Bytes of a tag.
    pub const LEN: usize = size_of::<Self>();

    /// The VLAN; identifier 0 is a priority tag and means none (IEEE 802.1Q section 9.6).
    #[must_use]
    pub fn vlan(&self) -> VlanId {
        VlanId(self.control.get() & 0x0fff)
    }

    /// A tag of priority 0.
    #[must_use]
    pub fn new(vlan: VlanId, ethertype: u16) -> Self {
        Self {
            control: U16::new(vlan.0 & 0x0fff),
            ethertype: U16::new(ethertype),
        }
    }
}
