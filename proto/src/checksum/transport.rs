//! Where each transport keeps its checksum, and what it covers.
//!
//! Rules mirrored from the kernel's IPVS: NAT updates TCP and UDP incrementally; a UDP
//! checksum that is absent is computed and filled in; SCTP's CRC is computed anew if a port
//! changed, and is not touched otherwise, as it covers no address. An ICMP error whose quote
//! was translated is computed anew.

use super::{Crc32c, Delta, Sum};
use crate::addr::Address;
use crate::meta::{Malformed, Protocol};
use crate::wire::{icmp, sctp, tcp, udp};
use zerocopy::FromBytes;
use zerocopy::network_endian::U16;

/// Who completes a TCP, UDP or SCTP checksum that is computed in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Offload {
    /// The checksum is computed here.
    #[default]
    Software,
    /// A device will: it wants the pseudo-header's sum in the field (0 for SCTP).
    Device,
}

/// What [`update`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The checksum follows the change.
    Done,
    /// There is no checksum yet (UDP), or it has no incremental update (SCTP): [`fill`] if wanted.
    Fill,
}

/// The sum of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) for a segment of `len`
/// bytes.
#[must_use]
#[inline]
pub fn pseudo_header<A: Address>(src: A, dst: A, protocol: Protocol, len: u32) -> Sum {
    let mut sum = Sum::ZERO.word(protocol.0.into()).long(len);
    for mut bits in [src.bits(), dst.bits()] {
        for _ in 0..A::BITS / 32 {
            sum = sum.long(bits as u32);
            bits >>= 32;
        }
    }
    sum
}

/// Lets the checksum of a transport segment follow a change of addresses, ports or both.
///
/// A protocol without checksum, and ICMP, which covers no address, are left as they are.
///
/// # Errors
/// The segment ends before its checksum.
#[inline]
pub fn update(protocol: Protocol, segment: &mut [u8], delta: Delta) -> Result<Update, Malformed> {
    match protocol {
        Protocol::TCP => {
            let field = field(protocol, segment)?;
            field.set(delta.apply(field.get()));
        }
        Protocol::UDP => {
            let field = field(protocol, segment)?;
            if field.get() == 0 {
                return Ok(Update::Fill);
            }
            field.set(delta.apply_udp(field.get()));
        }
        Protocol::ICMPV6 => {
            let field = field(protocol, segment)?;
            field.set(delta.apply(field.get()));
        }
        Protocol::SCTP => return Ok(Update::Fill),
        _ => {}
    }
    Ok(Update::Done)
}

/// Computes a segment's checksum in full, between these addresses; `segment` begins with the
/// transport header and ends where the packet ends.
///
/// # Errors
/// The segment ends before its checksum.
pub fn fill<A: Address>(
    src: A,
    dst: A,
    protocol: Protocol,
    segment: &mut [u8],
    offload: Offload,
) -> Result<(), Malformed> {
    if protocol == Protocol::SCTP {
        return fill_sctp(segment, offload);
    }
    let by_device = offload == Offload::Device && matches!(protocol, Protocol::TCP | Protocol::UDP);
    let pseudo = covered(src, dst, protocol, segment.len() as u32);
    field(protocol, segment)?.set(0);
    let checksum = match pseudo.and(Sum::of(segment)).finish() {
        _ if by_device => pseudo.folded(),
        0 if protocol == Protocol::UDP => 0xffff,
        checksum => checksum,
    };
    field(protocol, segment)?.set(checksum);
    Ok(())
}

/// The same for a segment that goes on behind `head` in further pieces: all but the
/// last have an even length.
///
/// # Errors
/// The first piece ends before the checksum.
pub fn fill_pieces<'a, A: Address>(
    src: A,
    dst: A,
    protocol: Protocol,
    head: &mut [u8],
    rest: impl Iterator<Item = &'a [u8]>,
) -> Result<(), Malformed> {
    if protocol == Protocol::SCTP {
        let (header, _) = sctp::Header::mut_from_prefix(head).map_err(short)?;
        header.checksum.set(0);
        let crc = rest.fold(Crc32c::default().and(head), Crc32c::and).finish();
        let (header, _) = sctp::Header::mut_from_prefix(head).map_err(short)?;
        header.checksum.set(crc);
        return Ok(());
    }
    field(protocol, head)?.set(0);
    let all = (Sum::of(head), head.len());
    let (sum, len) = rest.fold(all, |(sum, len), piece| {
        (sum.and(Sum::of(piece)), len + piece.len())
    });
    let checksum = match covered(src, dst, protocol, len as u32).and(sum).finish() {
        0 if protocol == Protocol::UDP => 0xffff,
        checksum => checksum,
    };
    field(protocol, head)?.set(checksum);
    Ok(())
}

/// Whether a segment's checksum is right; an absent UDP checksum is.
///
/// # Errors
/// The segment ends before its checksum.
pub fn is_right<A: Address>(
    src: A,
    dst: A,
    protocol: Protocol,
    segment: &[u8],
) -> Result<bool, Malformed> {
    match protocol {
        Protocol::SCTP => {
            let (header, _) = sctp::Header::ref_from_prefix(segment).map_err(short)?;
            Ok(header.checksum.get() == crc(segment))
        }
        Protocol::UDP => {
            let (header, _) = udp::Header::ref_from_prefix(segment).map_err(short)?;
            let sum = covered(src, dst, protocol, segment.len() as u32).and(Sum::of(segment));
            Ok(header.checksum.get() == 0 || sum.finish() == 0)
        }
        _ => Ok(is_right_sum(
            src,
            dst,
            protocol,
            segment.len() as u32,
            Sum::of(segment),
        )),
    }
}

/// Whether the checksum within a segment of `len` bytes is right, whose bytes have this sum: where
/// it is a sum at all, and never absent.
#[must_use]
pub fn is_right_sum<A: Address>(src: A, dst: A, protocol: Protocol, len: u32, sum: Sum) -> bool {
    covered(src, dst, protocol, len).and(sum).finish() == 0
}

/// What the checksum of a segment of so many bytes covers besides: ICMP for
/// IPv4 has no pseudo-header.
fn covered<A: Address>(src: A, dst: A, protocol: Protocol, len: u32) -> Sum {
    if protocol == Protocol::ICMP {
        Sum::ZERO
    } else {
        pseudo_header(src, dst, protocol, len)
    }
}

/// The 16-bit checksum field of a transport header.
#[inline]
fn field(protocol: Protocol, segment: &mut [u8]) -> Result<&mut U16, Malformed> {
    match protocol {
        Protocol::TCP => {
            let (header, _) = tcp::Header::mut_from_prefix(segment).map_err(short)?;
            Ok(&mut header.checksum)
        }
        Protocol::UDP => {
            let (header, _) = udp::Header::mut_from_prefix(segment).map_err(short)?;
            Ok(&mut header.checksum)
        }
        _ => {
            let (header, _) = icmp::Header::mut_from_prefix(segment).map_err(short)?;
            Ok(&mut header.checksum)
        }
    }
}

fn fill_sctp(segment: &mut [u8], offload: Offload) -> Result<(), Malformed> {
    let crc = match offload {
        Offload::Software => crc(segment),
        Offload::Device => 0,
    };
    let (header, _) = sctp::Header::mut_from_prefix(segment).map_err(short)?;
    header.checksum.set(crc);
    Ok(())
}

/// CRC32c over an SCTP packet with zeros in place of its checksum.
fn crc(segment: &[u8]) -> u32 {
    let (head, rest) = segment.split_at_checked(8).unwrap_or((segment, &[]));
    let (_, chunks) = rest.split_at_checked(4).unwrap_or_default();
    Crc32c::default()
        .and(head)
        .and(&[0; 4])
        .and(chunks)
        .finish()
}

fn short<E>(_: E) -> Malformed {
    Malformed::TransportTruncated
}
