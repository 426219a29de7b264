//! The header of generic UDP encapsulation, version 0, as Linux's fou module reads it
//! (draft-ietf-intarea-gue): written only, never parsed.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flag that says that private fields follow.
pub const PRIVATE: u16 = 0x0001;
/// The private flag of remote checksum offload.
pub const REMOTE_CHECKSUM: u32 = 0x8000_0000;

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

/// The remote checksum option, behind a 32-bit word of private flags: 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RemoteChecksum {
    /// Where the receiver begins to sum, from the end of the GUE header.
    pub start: U16,
    /// Where the receiver stores the checksum, from the end of the GUE header.
    pub offset: U16,
}
