//! The translation of an ICMP error, in place: its own address, and the packet that it quotes.
//!
//! As `ip_vs_nat_icmp` and `ip_vs_nat_icmp_v6`: the quoted packet's address and port on the
//! translated side are replaced, its header checksum and that of the ICMP message are computed
//! anew, and the checksum of the quoted transport header stays as it is, since the quote
//! seldom has all that it covers.

use super::hops::HopFamily;
use super::lane::Verdict;
use crate::port::Buf;
use crate::table::Direction;
use pvs_proto::checksum::{self, Offload};
use pvs_proto::wire::{IpHeader, Ports};
use pvs_proto::{Endpoint, Malformed, Meta};
use zerocopy::FromBytes;

const CUT: Malformed = Malformed::TransportTruncated;

/// Translates the error: a request's destination becomes `to`, a reply's source, and so does the
/// other end of what it quotes, which travelled the other way. The frame ends with the packet.
pub(super) fn translate<F: HopFamily, B: Buf>(
    buf: &mut B,
    meta: &Meta<F>,
    quote: &Meta<F>,
    direction: Direction,
    to: Endpoint<F::Addr>,
) -> Result<(), Verdict> {
    let end = usize::from(meta.l3) + meta.ip_len as usize;
    buf.truncate(end);
    write::<F>(buf.bytes_mut(), meta, quote, direction, to)
        .unwrap_or(Err(CUT))
        .map_err(Verdict::malformed)
}

fn write<F: HopFamily>(
    frame: &mut [u8],
    meta: &Meta<F>,
    quote: &Meta<F>,
    direction: Direction,
    to: Endpoint<F::Addr>,
) -> Option<Result<(), Malformed>> {
    let outer = F::header_mut(frame, meta.l3)?;
    match direction {
        Direction::Request => outer.set_dst(to.addr),
        Direction::Reply => outer.set_src(to.addr),
    };
    let (src, dst) = (outer.src(), outer.dst());

    let inner = F::header_mut(frame, quote.l3)?;
    match direction {
        Direction::Request => inner.set_src(to.addr),
        Direction::Reply => inner.set_dst(to.addr),
    };
    F::fill_checksum(frame, quote.l3)?;

    let (ports, _) = Ports::mut_from_prefix(frame.get_mut(usize::from(quote.l4)..)?).ok()?;
    match direction {
        Direction::Request => ports.src.set(to.port),
        Direction::Reply => ports.dst.set(to.port),
    }
    let message = frame.get_mut(usize::from(meta.l4)..)?;
    Some(checksum::fill(
        src,
        dst,
        F::PROTOCOL,
        message,
        Offload::Software,
    ))
}
