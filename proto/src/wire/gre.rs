//! The GRE header that a tunnelled packet gets (RFC 2784). Of a quoted one
//! only what is in it is read.

use super::{ethernet, ipv4, ipv6};
use crate::checksum::Sum;
use crate::meta::Protocol;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flag that says that checksum and reserved word follow.
pub const CHECKSUM_PRESENT: u16 = 0x8000;

/// The GRE header without its optional words: 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Flags and version 0.
    pub flags: U16,
    /// EtherType of the packet within.
    pub protocol: U16,
}

impl Header {
    /// Bytes of the header.
    pub const LEN: usize = size_of::<Self>();
}

/// The optional checksum: 4 bytes behind the header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Checksum {
    /// Checksum over GRE header and the packet within.
    pub checksum: U16,
    /// Zero.
    pub reserved: U16,
}

/// Writes the header for a packet of this protocol to the beginning of `bytes`, which go on with
/// that packet, and its checksum if one is wanted; `rest` is the sum of what follows behind
/// `bytes`. `None` if there is no room.
pub fn write(bytes: &mut [u8], within: Protocol, checksum: bool, rest: Sum) -> Option<()> {
    let protocol = match within {
        Protocol::IPV6 => ethernet::IPV6,
        _ => ethernet::IPV4,
    };
    let flags = if checksum { CHECKSUM_PRESENT } else { 0 };
    let (header, _) = Header::mut_from_prefix(bytes).ok()?;
    *header = Header {
        flags: U16::new(flags),
        protocol: U16::new(protocol),
    };
    if checksum {
        let (field, _) = Checksum::mut_from_prefix(bytes.get_mut(Header::LEN..)?).ok()?;
        *field = Checksum {
            checksum: U16::ZERO,
            reserved: U16::ZERO,
        };
        let sum = Sum::of(bytes).and(rest).finish();
        let (field, _) = Checksum::mut_from_prefix(bytes.get_mut(Header::LEN..)?).ok()?;
        field.checksum = U16::new(sum);
    }
    Some(())
}

/// Bytes of a header with or without a checksum.
#[must_use]
pub const fn len(checksum: bool) -> usize {
    match checksum {
        true => Header::LEN + size_of::<Checksum>(),
        false => Header::LEN,
    }
}

/// The IP packet that follows the GRE header at the beginning of `bytes`, and where. `None` if that
/// header is none of those that [`write()`] makes.
#[must_use]
pub fn within(bytes: &[u8]) -> Option<(Protocol, usize)> {
    let (header, rest) = Header::ref_from_prefix(bytes).ok()?;
    let checksum = match header.flags.get() {
        0 => false,
        CHECKSUM_PRESENT => true,
        _ => return None,
    };
    let behind = rest.get(len(checksum) - Header::LEN..)?;
    let (protocol, version) = match header.protocol.get() {
        ethernet::IPV4 => (Protocol::IPIP, ipv4::VERSION),
        ethernet::IPV6 => (Protocol::IPV6, ipv6::VERSION),
        _ => return None,
    };
    (behind.first()? >> 4 == version).then_some((protocol, len(checksum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found_again() {
        for (within_is, first, checksum, rest) in [
            (Protocol::IPIP, 0x45, false, Sum::ZERO),
            (Protocol::IPV6, 0x60, true, Sum::of(&[1, 2, 3])),
        ] {
            let mut bytes = [7; 20];
            bytes[len(checksum)] = first;
            write(&mut bytes, within_is, checksum, rest).unwrap();
            assert_eq!(within(&bytes), Some((within_is, len(checksum))));
            let right = Sum::of(&bytes).and(rest).finish() == 0;
            assert_eq!(right, checksum);
            assert_eq!(write(&mut bytes[..3], within_is, checksum, rest), None);
        }
    }

    #[test]
    fn what_pvs_does_not_send_is_not_looked_into() {
        let plain = [0, 0, 8, 0, 0x45];
        assert_eq!(within(&plain), Some((Protocol::IPIP, 4)));
        let key = [0x20, 0, 8, 0, 0x45];
        let version_1 = [0, 1, 8, 0, 0x45];
        let arp = [0, 0, 8, 6, 0x45];
        let crossed = [0, 0, 8, 0, 0x60];
        for bytes in [&key[..], &version_1, &arp, &crossed, &plain[..4], &[]] {
            assert_eq!(within(bytes), None, "{bytes:?}");
        }
    }
}
