//! The ICMPv6 header (RFC 4443), with the neighbour discovery types (RFC 4861) by number only.

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Destination unreachable.
pub const UNREACHABLE: u8 = 1;
/// Packet too big.
pub const PACKET_TOO_BIG: u8 = 2;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Time exceeded: fragment reassembly (RFC 4443 section 3.3).
pub const REASSEMBLY_TIME: u8 = 1;
/// Parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Echo request.
pub const ECHO: u8 = 128;
/// Echo reply.
pub const ECHO_REPLY: u8 = 129;
/// First of the neighbour discovery types: router solicitation.
pub const ND_FIRST: u8 = 133;
/// Last of the neighbour discovery types: redirect.
pub const ND_LAST: u8 = 137;

/// Code of [`UNREACHABLE`]: address unreachable.
pub const ADDRESS_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: nobody listens on the port.
pub const PORT_UNREACHABLE: u8 = 4;

/// The ICMPv6 header: 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// The type.
    pub kind: u8,
    /// The code, by type.
    pub code: u8,
    /// Checksum over pseudo-header and the whole message.
    pub checksum: U16,
    /// By type: MTU, identifier and sequence, unused.
    pub rest: U32,
}

impl Header {
    /// Bytes of the header.
    pub const LEN: usize = size_of::<Self>();
}

/// Errors quote the packet that they are about behind their 8 bytes (RFC 4443 section 2.1).
#[must_use]
pub const fn is_error(kind: u8) -> bool {
    kind < ECHO
}
