//! Recorded frames of GUE and GRE tunnels: what a network card would have finished, and
//! the port that a hash makes.

use crate::frames::set;
use pvs_proto::checksum::{Delta, Sum, is_right, pseudo_header};
use pvs_proto::wire::{ipv6, udp};
use pvs_proto::{Checks, Family, Fragment, Meta, Packet, Protocol, parse};
use std::collections::HashMap;
use std::ops::Range;
use zerocopy::FromBytes;

/// In a GRE header: a checksum follows (RFC 2784).
const GRE_CHECKSUM: u8 = 0x80;
/// Bytes of a GUE header without options.
const GUE: usize = 4;
/// Where a UDP header has its checksum.
const UDP_CHECKSUM: usize = 6;
/// Where a GRE header has its checksum.
const GRE_CHECKSUM_AT: usize = 4;

/// The ports that flows had: when recorded, and here.
pub(super) type Ports = HashMap<Vec<u8>, (u16, u16)>;

/// The outer transport of a frame.
struct Outer {
    /// Where it begins in the frame, and where the packet ends.
    at: usize,
    end: usize,
    protocol: Protocol,
    /// The sum of the pseudo-header.
    pseudo: Sum,
    is_whole: bool,
    is_right: bool,
}

/// The outer transport of a frame that went into a tunnel: none in a later fragment.
fn outer(frame: &[u8]) -> Option<Outer> {
    fn of<F: Family>(frame: &[u8], meta: &Meta<F>) -> Option<Outer> {
        let (at, end) = (
            usize::from(meta.l4),
            usize::from(meta.l3) + meta.ip_len as usize,
        );
        let segment = frame.get(at..end)?;
        let (src, dst, protocol) = (meta.src.addr, meta.dst.addr, meta.protocol);
        (meta.fragment != Fragment::Later).then_some(Outer {
            at,
            end,
            protocol,
            pseudo: pseudo_header(src, dst, protocol, segment.len() as u32),
            is_whole: meta.fragment == Fragment::None,
            is_right: is_right(src, dst, protocol, segment).unwrap_or(false),
        })
    }
    match parse(frame, Checks { ip_good: true }).ok()?.1 {
        Packet::V4(meta) => of(frame, &meta),
        Packet::V6(meta) => of(frame, &meta),
        Packet::Other(_) => None,
    }
}

/// Finishes the checksum that was left to the network card; true if there was one.
pub(super) fn finish(frame: &mut [u8]) -> bool {
    let Some(outer) = outer(frame).filter(|outer| outer.is_whole) else {
        return false;
    };
    let word = |at: usize| {
        let bytes = frame.get(at..)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    };
    let covered = frame
        .get(outer.at..outer.end)
        .map(Sum::of)
        .unwrap_or_default();
    let (place, unfinished) = match outer.protocol {
        Protocol::UDP => (outer.at + UDP_CHECKSUM, outer.pseudo.folded()),
        Protocol::GRE if frame.get(outer.at).is_some_and(|b| b & GRE_CHECKSUM != 0) => {
            (outer.at + GRE_CHECKSUM_AT, 0)
        }
        _ => return false,
    };
    if word(place) != Some(unfinished) || (outer.protocol == Protocol::UDP && outer.is_right) {
        return false;
    }
    // The unfinished one is within what is covered, where the pseudo-header belongs, or nothing.
    set(frame, place, covered.finish().to_be_bytes());
    true
}

/// Gives a recorded frame of GUE the source port that it has here. Where that is, and what is wrong
/// about either: not the same for each packet of a flow, or 0.
pub(super) fn follow_port(
    recorded: &mut [u8],
    here: &[u8],
    ports: &mut Ports,
) -> Option<(Range<usize>, Option<String>)> {
    let outer = outer(recorded).filter(|outer| outer.protocol == Protocol::UDP)?;
    let port = |frame: &[u8]| {
        let (header, _) = udp::Header::ref_from_prefix(frame.get(outer.at..)?).ok()?;
        Some((header.src.get(), header.checksum.get()))
    };
    let ((was, checksum), (is, _)) = (port(recorded)?, port(here)?);
    if checksum != 0 {
        let followed = Delta::default().word(was, is).apply_udp(checksum);
        set(recorded, outer.at + UDP_CHECKSUM, followed.to_be_bytes());
    }
    set(recorded, outer.at, is.to_be_bytes());
    let inner = here
        .get(outer.at + size_of::<udp::Header>() + GUE..)
        .unwrap_or(&[]);
    let first = *ports.entry(flow(inner)).or_insert((was, is));
    let wrong = (first != (was, is) || was == 0 || is == 0)
        .then(|| format!("ports of a flow: {was} recorded, {is} here, before {first:?}"));
    Some((outer.at..outer.at + 2, wrong))
}

/// What tells the flow of a packet, of which only the beginning may be there: its
/// outer packet's first piece.
fn flow(packet: &[u8]) -> Vec<u8> {
    let (addresses, protocol, next) = match packet.first() {
        Some(b) if b >> 4 == ipv6::VERSION => (8..40, 6, ipv6::Header::LEN),
        Some(b) => (12..20, 9, usize::from(b & 0x0f) * 4),
        None => return Vec::new(),
    };
    let protocol = packet.get(protocol).copied().unwrap_or_default();
    let ports = match protocol {
        6 | 17 | 132 => next..next + 4,
        _ => 0..0,
    };
    let part = |bytes| packet.get(bytes).unwrap_or_default();
    [part(addresses), &[protocol], part(ports)].concat()
}
