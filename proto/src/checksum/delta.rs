//! What a rewrite changed, as one number (RFC 1624 equation 3: HC' = ~(~HC + ~m + m')).
//!
//! The part that does not depend on HC is collected once and applied to the IP and the transport
//! checksum. A checksum that was wrong stays wrong by the same amount, as with the kernel's NAT.

use super::sum::fold;
use crate::addr::Address;

/// The sum of ~m + m' over every changed word m.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u64);

impl Delta {
    /// Nothing changed.
    pub const NONE: Self = Self(0);

    /// A 16-bit word of the packet changed.
    #[must_use]
    pub const fn word(self, old: u16, new: u16) -> Self {
        Self(self.0.wrapping_add(!old as u64 + new as u64))
    }

    /// A 32-bit word of the packet changed.
    #[must_use]
    pub const fn long(self, old: u32, new: u32) -> Self {
        Self(self.0.wrapping_add(!old as u64 + new as u64))
    }

    /// An address changed.
    #[must_use]
    #[inline]
    pub fn address<A: Address>(self, old: A, new: A) -> Self {
        let (mut delta, mut old, mut new) = (self, old.bits(), new.bits());
        for _ in 0..A::BITS / 32 {
            delta = delta.long(old as u32, new as u32);
            old >>= 32;
            new >>= 32;
        }
        delta
    }

    /// Both changes.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// The checksum after the change.
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(self.0.wrapping_add(!checksum as u64))
    }

    /// The UDP checksum after the change: 0 says that there is none and stays, and a result of 0 is
    /// sent as 0xffff (RFC 768).
    #[must_use]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        match (checksum, self.apply(checksum)) {
            (0, _) => 0,
            (_, 0) => 0xffff,
            (_, updated) => updated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Addr4, Addr6};

    #[test]
    fn follows_the_example_of_rfc_1624() {
        // Section 4: 0x5555 becomes 0x3285 in a header whose checksum is 0xdd2f.
        assert_eq!(Delta::NONE.word(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    #[test]
    fn udp_keeps_absent_and_avoids_zero() {
        let delta = Delta::NONE.word(0x5555, 0x3285);
        assert_eq!(delta.apply_udp(0xdd2f), 0xffff);
        assert_eq!(delta.apply_udp(0), 0);
    }

    #[test]
    fn a_change_and_its_reverse_cancel() {
        let (a, b) = (Addr4(0x0a00_0001), Addr4(0xc0a8_0101));
        let there = Delta::NONE.address(a, b).word(80, 8080);
        let back = Delta::NONE.address(b, a).word(8080, 80);
        assert_eq!(there.and(back).apply(0x1234), 0x1234);
        let (a, b) = (Addr6 { hi: 1, lo: 2 }, Addr6 { hi: !0, lo: 0xfd00 });
        let there = Delta::NONE.address(a, b);
        assert_ne!(there.apply(0x1234), 0x1234);
        assert_eq!(there.and(Delta::NONE.address(b, a)).apply(0x1234), 0x1234);
    }
}
