//! The UDP header (RFC 768). Its length field is not judged: IPVS forwards such a datagram.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The UDP header: 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Length of header and data.
    pub length: U16,
    /// Checksum over pseudo-header, header and data; 0 = absent (IPv4 only).
    pub checksum: U16,
}

impl Header {
    /// Bytes of the header.
    pub const LEN: usize = size_of::<Self>();
}
