//! The GRE header that a tunnelled packet gets (RFC 2784): written only, never parsed.

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

/// The optional checksum: 4 bytes behind the header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Checksum {
    /// Checksum over GRE header and the packet within.
    pub checksum: U16,
    /// Zero.
    pub reserved: U16,
}
