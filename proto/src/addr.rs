//! Addresses, and the address family as a type.
//!
//! [`Family`] is the type parameter that lets one body serve IPv4 and IPv6 all the way from the
//! parser to the connection table. Addresses are plain integers in host order, so that a prefix
//! is a range and a comparison is one instruction; they are turned to wire order at the edges only.

use core::fmt;
use core::hash::Hash;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An IPv4 address, host order.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct Addr4(pub u32);

/// An IPv6 address, host order: the high half of the address first.
///
/// Two 64-bit words instead of one of 128, so that its alignment is 8 and
/// table entries have no holes.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct Addr6 {
    /// Bits 127 to 64.
    pub hi: u64,
    /// Bits 63 to 0.
    pub lo: u64,
}

/// What the engine asks of an address, whatever its family.
pub trait Address:
    Copy
    + Eq
    + Ord
    + Hash
    + Default
    + fmt::Debug
    + fmt::Display
    + Send
    + Sync
    + FromBytes
    + IntoBytes
    + Immutable
    + KnownLayout
    + Into<IpAddr>
    + 'static
{
    /// Bits in an address: 32 or 128.
    const BITS: u8;
    /// The address as a number; an IPv4 address fills the low 32 bits.
    fn bits(self) -> u128;
    /// The inverse of [`bits`](Self::bits); higher bits are cut.
    fn from_bits(bits: u128) -> Self;
    /// Mixes the address into one word for hashing. Not a hash: it spreads nothing.
    fn fold(self) -> u64;
    /// The address with all but its first `prefix_len` bits cleared.
    fn masked(self, prefix_len: u8) -> Self {
        let host = u32::from(Self::BITS.saturating_sub(prefix_len));
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        Self::from_bits(self.bits() & mask)
    }
    /// 224.0.0.0/4 or ff00::/8.
    fn is_multicast(self) -> bool;
    /// May not be a packet's source: unspecified, loopback, multicast, limited broadcast
    /// (RFC 1812 section 5.3.7, RFC 4291 section 2.7).
    fn is_martian_source(self) -> bool;
}

/// An address family: [`V4`] or [`V6`].
pub trait Family:
    Copy + Clone + fmt::Debug + Default + PartialEq + Eq + Hash + Send + Sync + 'static
{
    /// The family's address.
    type Addr: Address;
    /// The EtherType of its packets.
    const ETHERTYPE: u16;
    /// Bytes of its header without options or extension headers.
    const HEADER_LEN: usize;
    /// True for IPv4: for choices that a `const` decides.
    const IS_V4: bool;
    /// The family's address out of a standard one, if it is of this family.
    fn addr(ip: IpAddr) -> Option<Self::Addr>;
}

/// The IPv4 family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct V4;

/// The IPv6 family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct V6;

impl Family for V4 {
    type Addr = Addr4;
    const ETHERTYPE: u16 = 0x0800;
    const HEADER_LEN: usize = 20;
    const IS_V4: bool = true;
    fn addr(ip: IpAddr) -> Option<Addr4> {
        match ip {
            IpAddr::V4(a) => Some(a.into()),
            IpAddr::V6(_) => None,
        }
    }
}

impl Family for V6 {
    type Addr = Addr6;
    const ETHERTYPE: u16 = 0x86dd;
    const HEADER_LEN: usize = 40;
    const IS_V4: bool = false;
    fn addr(ip: IpAddr) -> Option<Addr6> {
        match ip {
            IpAddr::V6(a) => Some(a.into()),
            IpAddr::V4(_) => None,
        }
    }
}

impl Addr4 {
    /// From the four bytes of a header.
    #[must_use]
    pub const fn from_wire(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }
    /// To the four bytes of a header.
    #[must_use]
    pub const fn to_wire(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

impl Addr6 {
    /// From the sixteen bytes of a header.
    #[must_use]
    pub const fn from_wire(bytes: [u8; 16]) -> Self {
        Self::from_number(u128::from_be_bytes(bytes))
    }
    /// To the sixteen bytes of a header.
    #[must_use]
    pub const fn to_wire(self) -> [u8; 16] {
        self.number().to_be_bytes()
    }
    const fn number(self) -> u128 {
        ((self.hi as u128) << 64) | self.lo as u128
    }
    const fn from_number(n: u128) -> Self {
        Self {
            hi: (n >> 64) as u64,
            lo: n as u64,
        }
    }
}

impl Address for Addr4 {
    const BITS: u8 = 32;
    fn bits(self) -> u128 {
        self.0.into()
    }
    fn from_bits(bits: u128) -> Self {
        Self(bits as u32)
    }
    fn fold(self) -> u64 {
        self.0.into()
    }
    fn is_multicast(self) -> bool {
        self.0 >> 28 == 0xe
    }
    fn is_martian_source(self) -> bool {
        let first = self.0 >> 24;
        first == 0 || first == 127 || self.is_multicast() || self.0 == u32::MAX
    }
}

impl Address for Addr6 {
    const BITS: u8 = 128;
    fn bits(self) -> u128 {
        self.number()
    }
    fn from_bits(bits: u128) -> Self {
        Self::from_number(bits)
    }
    fn fold(self) -> u64 {
        self.hi.rotate_left(29) ^ self.lo
    }
    fn is_multicast(self) -> bool {
        self.hi >> 56 == 0xff
    }
    fn is_martian_source(self) -> bool {
        (self.hi == 0 && self.lo <= 1) || self.is_multicast()
    }
}

impl From<Ipv4Addr> for Addr4 {
    fn from(a: Ipv4Addr) -> Self {
        Self(a.to_bits())
    }
}

impl From<Ipv6Addr> for Addr6 {
    fn from(a: Ipv6Addr) -> Self {
        Self::from_number(a.to_bits())
    }
}

impl From<Addr4> for IpAddr {
    fn from(a: Addr4) -> Self {
        Self::V4(Ipv4Addr::from_bits(a.0))
    }
}

impl From<Addr6> for IpAddr {
    fn from(a: Addr6) -> Self {
        Self::V6(Ipv6Addr::from_bits(a.number()))
    }
}

impl fmt::Display for Addr4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv4Addr::from_bits(self.0).fmt(f)
    }
}

impl fmt::Display for Addr6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv6Addr::from_bits(self.number()).fmt(f)
    }
}

impl fmt::Debug for Addr4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Addr6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address and a port: one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Endpoint<A> {
    /// The address.
    pub addr: A,
    /// The port, host order; 0 where the protocol has none.
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_by_prefix_length() {
        let a = Addr4::from_wire([10, 1, 2, 3]);
        assert_eq!(a.masked(24), Addr4::from_wire([10, 1, 2, 0]));
        assert_eq!(a.masked(0), Addr4(0));
        assert_eq!(a.masked(32), a);
        let b: Addr6 = "fd00:1::2".parse::<Ipv6Addr>().unwrap().into();
        assert_eq!(b.masked(32), "fd00:1::".parse::<Ipv6Addr>().unwrap().into());
        assert_eq!(b.masked(0), Addr6::default());
        assert_eq!(b.masked(128), b);
    }

    #[test]
    fn martian_sources() {
        for text in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
            assert!(
                Addr4::from(text.parse::<Ipv4Addr>().unwrap()).is_martian_source(),
                "{text}"
            );
        }
        assert!(!Addr4::from_wire([10, 0, 0, 1]).is_martian_source());
        for text in ["::", "::1", "ff02::1"] {
            assert!(
                Addr6::from(text.parse::<Ipv6Addr>().unwrap()).is_martian_source(),
                "{text}"
            );
        }
        assert!(!Addr6::from("fe80::1".parse::<Ipv6Addr>().unwrap()).is_martian_source());
    }
}
