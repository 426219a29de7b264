//! Generic UDP encapsulation, variant 0 (draft-ietf-intarea-gue): its header behind that of UDP. Of
//! a quoted one only what is in it is read.
//!
//! Remote checksum offload has no form here: the kernel sends that option only for packets whose
//! checksum a device was to complete, and a packet that came off a wire has none of that kind.

use super::udp;
use crate::addr::Address;
use crate::checksum::{Sum, pseudo_header};
use crate::meta::Protocol;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The GUE header without optional fields: 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Version (2 bits), control bit, length of the optional fields in words (5 bits).
    pub version_length: u8,
    /// IP protocol of the packet within.
    pub protocol: u8,
    /// Which optional fields follow.
    pub flags: U16,
}

/// Bytes of both headers, UDP's and GUE's.
pub const LEN: usize = udp::Header::LEN + size_of::<Header>();

/// What both headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<A> {
    /// Source and destination of the packet that they are in.
    pub ends: (A, A),
    /// Source and destination port.
    pub ports: (u16, u16),
    /// What follows them.
    pub within: Protocol,
    /// Its length.
    pub len: u32,
    /// UDP's checksum is wanted.
    pub checksum: bool,
}

/// Writes both headers to the beginning of `bytes`, which go on with the packet within; `rest` is
/// the sum of what follows behind `bytes`. `None` if there is no room.
pub fn write<A: Address>(bytes: &mut [u8], plain: &Plain<A>, rest: Sum) -> Option<()> {
    let len = LEN as u32 + plain.len;
    let (header, behind) = udp::Header::mut_from_prefix(bytes).ok()?;
    let (gue, _) = Header::mut_from_prefix(behind).ok()?;
    *gue = Header {
        version_length: 0,
        protocol: plain.within.0,
        flags: U16::ZERO,
    };
    *header = udp::Header {
        src: U16::new(plain.ports.0),
        dst: U16::new(plain.ports.1),
        length: U16::new(len as u16),
        checksum: U16::ZERO,
    };
    if plain.checksum {
        let (src, dst) = plain.ends;
        let pseudo = pseudo_header(src, dst, Protocol::UDP, len);
        let sum = pseudo.and(Sum::of(bytes)).and(rest).finish();
        let (header, _) = udp::Header::mut_from_prefix(bytes).ok()?;
        header.checksum = U16::new(if sum == 0 { 0xffff } else { sum });
    }
    Some(())
}

/// The IP packet that follows the UDP header at the beginning of `bytes` and a GUE header, and
/// where. `None` if that is none of those that [`write()`] makes.
#[must_use]
pub fn within(bytes: &[u8]) -> Option<(Protocol, usize)> {
    let (_, behind) = udp::Header::ref_from_prefix(bytes).ok()?;
    let (header, _) = Header::ref_from_prefix(behind).ok()?;
    let protocol = Protocol(header.protocol);
    let is_plain = header.version_length == 0 && header.flags.get() == 0;
    let is_ip = matches!(protocol, Protocol::IPIP | Protocol::IPV6);
    (is_plain && is_ip).then_some((protocol, LEN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Addr4;
    use crate::checksum;

    #[test]
    fn what_was_written_is_found_again_and_its_checksum_is_right() {
        let ends = (Addr4(0xc0a8_01fe), Addr4(0xc0a8_0101));
        for (within_is, checksum) in [(Protocol::IPIP, false), (Protocol::IPV6, true)] {
            let mut bytes: Vec<u8> = (0..80).collect();
            let (head, rest) = bytes.split_at_mut(40);
            let plain = Plain {
                ends,
                ports: (40_000, 6080),
                within: within_is,
                len: 80 - LEN as u32,
                checksum,
            };
            write(head, &plain, Sum::of(rest)).unwrap();
            assert_eq!(within(&bytes), Some((within_is, 12)));
            assert_eq!(bytes[6..8] != [0, 0], checksum);
            let (src, dst) = ends;
            assert_eq!(
                checksum::is_right(src, dst, Protocol::UDP, &bytes),
                Ok(true)
            );
            assert_eq!(write(&mut bytes[..11], &plain, Sum::ZERO), None);
        }
    }

    #[test]
    fn what_pvs_does_not_send_is_not_looked_into() {
        let udp = [0x9c, 0x40, 0x17, 0xc0, 0, 12, 0, 0];
        let of = |gue: [u8; 4]| within(&[&udp[..], &gue].concat());
        assert_eq!(of([0, 4, 0, 0]), Some((Protocol::IPIP, 12)));
        for other in [
            [0x40, 4, 0, 0],
            [0x20, 4, 0, 0],
            [1, 4, 0, 0],
            [0, 17, 0, 0],
            [0, 4, 0, 1],
        ] {
            assert_eq!(of(other), None, "{other:?}");
        }
        assert_eq!(within(&udp), None);
    }
}
