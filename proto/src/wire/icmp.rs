//! The ICMP header (RFC 792), and the types that a load balancer meets.

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Source quench.
pub const SOURCE_QUENCH: u8 = 4;
/// Redirect.
pub const REDIRECT: u8 = 5;
/// Echo request.
pub const ECHO: u8 = 8;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Time exceeded: fragment reassembly (RFC 792).
pub const REASSEMBLY_TIME: u8 = 1;
/// Parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;

/// Code of [`UNREACHABLE`]: no way to the host.
pub const HOST_UNREACHABLE: u8 = 1;
/// Code of [`UNREACHABLE`]: nobody listens on the port.
pub const PORT_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: too long for the next hop, and DF is set (RFC 1191).
pub const FRAGMENTATION_NEEDED: u8 = 4;

/// The ICMP header: 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// The type.
    pub kind: u8,
    /// The code, by type.
    pub code: u8,
    /// Checksum over the whole message.
    pub checksum: U16,
    /// By type: identifier and sequence, next-hop MTU (low 16 bits), gateway.
    pub rest: U32,
}

impl Header {
    /// Bytes of the header.
    pub const LEN: usize = size_of::<Self>();
}

/// Errors quote the packet that they are about behind their 8 bytes (RFC 1122 section 3.2.2).
#[must_use]
pub const fn is_error(kind: u8) -> bool {
    matches!(
        kind,
        UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM
    )
}
