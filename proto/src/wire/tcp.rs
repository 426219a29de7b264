//! The TCP header (RFC 9293 section 3.1). Options are not looked at; the data offset is not judged,
//! as IPVS forwards a segment whatever it says.

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flag FIN.
pub const FIN: u8 = 0x01;
/// The flag SYN.
pub const SYN: u8 = 0x02;
/// The flag RST.
pub const RST: u8 = 0x04;
/// The flag PSH.
pub const PSH: u8 = 0x08;
/// The flag ACK.
pub const ACK: u8 = 0x10;

/// The TCP header without options: 20 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Sequence number.
    pub seq: U32,
    /// Acknowledgement number.
    pub ack: U32,
    /// Data offset in words (high 4 bits) and reserved bits.
    pub offset: u8,
    /// The flags.
    pub flags: u8,
    /// Window.
    pub window: U16,
    /// Checksum over pseudo-header, header and data.
    pub checksum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

impl Header {
    /// Bytes of the header without options.
    pub const LEN: usize = size_of::<Self>();
}
