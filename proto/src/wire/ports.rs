//! The two ports that TCP, UDP and SCTP begin with.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Source and destination port: the first 4 bytes of a TCP, UDP or SCTP header.
///
/// Address translation of a quoted packet may hold no more of the transport than this.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ports {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
}
