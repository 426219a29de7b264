//! The rewrites in place: addresses and ports for NAT, the hop limit, an
//! outer header, the link layer.

use super::lane::Verdict;
use crate::fib::Hop;
use crate::port::Buf;
use pvs_proto::checksum::{self, Delta, Offload, Update};
use pvs_proto::wire::{IpHeader, Network, Plain, Ports, ethernet};
use pvs_proto::{Endpoint, Malformed, Meta, Protocol, VlanId};
use zerocopy::FromBytes;
use zerocopy::network_endian::U16;

const CUT: Verdict = Verdict::malformed(Malformed::TransportTruncated);

/// Translates the destination: a request on its way to its server.
#[inline(always)]
pub(super) fn destination<F: Network, B: Buf>(
    buf: &mut B,
    meta: &Meta<F>,
    to: Endpoint<F::Addr>,
) -> Result<(), Verdict> {
    let frame = buf.bytes_mut();
    let delta = F::header_mut(frame, meta.l3).ok_or(CUT)?.set_dst(to.addr);
    let port_changed = meta.dst.port != to.port;
    transport(
        frame,
        meta,
        delta,
        |ports| replace(&mut ports.dst, to.port),
        meta.src.addr,
        to.addr,
        port_changed,
    )
}

/// Translates the source: a reply on its way to its client.
#[inline(always)]
pub(super) fn source<F: Network, B: Buf>(
    buf: &mut B,
    meta: &Meta<F>,
    from: Endpoint<F::Addr>,
) -> Result<(), Verdict> {
    let frame = buf.bytes_mut();
    let delta = F::header_mut(frame, meta.l3).ok_or(CUT)?.set_src(from.addr);
    let port_changed = meta.src.port != from.port;
    transport(
        frame,
        meta,
        delta,
        |ports| replace(&mut ports.src, from.port),
        from.addr,
        meta.dst.addr,
        port_changed,
    )
}

fn replace(port: &mut U16, new: u16) -> Delta {
    let delta = Delta::NONE.word(port.get(), new);
    port.set(new);
    delta
}

/// Sets a port and lets the checksum follow; an absent UDP checksum is filled in, as the kernel
/// does. What is to be computed over more than is here is left to who has it all.
#[inline(always)]
fn transport<F: Network>(
    frame: &mut [u8],
    meta: &Meta<F>,
    addresses: Delta,
    set_port: impl FnOnce(&mut Ports) -> Delta,
    src: F::Addr,
    dst: F::Addr,
    port_changed: bool,
) -> Result<(), Verdict> {
    let end = usize::from(meta.l3) + meta.ip_len as usize;
    // Of a datagram in pieces only the first one is here.
    let here = end.min(frame.len());
    let segment = frame.get_mut(usize::from(meta.l4)..here).ok_or(CUT)?;
    let (ports, _) = Ports::mut_from_prefix(segment).map_err(|_| CUT)?;
    let delta = addresses.and(set_port(ports));
    let update = checksum::update(meta.protocol, segment, delta).map_err(Verdict::malformed)?;
    let is_due = update == Update::Fill && (meta.protocol != Protocol::SCTP || port_changed);
    if is_due && here == end {
        checksum::fill(src, dst, meta.protocol, segment, Offload::Software)
            .map_err(Verdict::malformed)?;
    }
    Ok(())
}

/// Takes one from the hop limit, and Ethernet's padding off.
#[inline]
pub(super) fn hop_limit<F: Network, B: Buf>(buf: &mut B, meta: &Meta<F>) -> Result<(), Verdict> {
    buf.truncate(usize::from(meta.l3) + meta.ip_len as usize);
    let header = F::header_mut(buf.bytes_mut(), meta.l3).ok_or(CUT)?;
    header.set_ttl(meta.ttl.saturating_sub(1));
    Ok(())
}

/// Puts a header, and room for `between` bytes behind it, before the packet at `l3`. The link layer
/// is then untagged and without addresses; false if there is no room.
#[inline]
pub(super) fn wrap<F: Network, B: Buf>(
    buf: &mut B,
    l3: u16,
    between: usize,
    plain: &Plain<F::Addr>,
) -> bool {
    let needed = ethernet::Header::LEN + F::HEADER_LEN + between;
    let Some(more) = needed.checked_sub(l3.into()) else {
        return false;
    };
    if buf.prepend(more).is_none() {
        return false;
    }
    let Ok((link, rest)) = ethernet::Header::mut_from_prefix(buf.bytes_mut()) else {
        return false;
    };
    link.ethertype = U16::new(F::ETHERTYPE);
    let Ok((header, _)) = F::Header::mut_from_prefix(rest) else {
        return false;
    };
    header.write(plain);
    true
}

/// Writes the link layer for a next hop, with or without a VLAN tag; false if
/// there is no room for one.
#[inline(always)] // too short for a call
pub(super) fn link<B: Buf>(buf: &mut B, hop: &Hop) -> bool {
    let Ok((header, rest)) = ethernet::Header::mut_from_prefix(buf.bytes_mut()) else {
        return false;
    };
    let tagged = header.ethertype.get() == ethernet::VLAN;
    if !tagged && hop.vlan == VlanId::NONE {
        header.dst = hop.mac;
        header.src = hop.source;
        return true;
    }
    let ethertype = match ethernet::Tag::ref_from_prefix(rest) {
        Ok((tag, _)) if tagged => tag.ethertype,
        _ => header.ethertype,
    };
    relink(buf, hop, tagged, ethertype)
}

/// The rare case of a tag on either side.
#[cold]
fn relink<B: Buf>(buf: &mut B, hop: &Hop, tagged: bool, ethertype: U16) -> bool {
    let wants = hop.vlan != VlanId::NONE;
    let moved = match (tagged, wants) {
        (true, false) => buf.trim_front(ethernet::Tag::LEN),
        (false, true) => buf.prepend(ethernet::Tag::LEN).is_some(),
        _ => true,
    };
    let Ok((header, rest)) = ethernet::Header::mut_from_prefix(buf.bytes_mut()) else {
        return false;
    };
    header.dst = hop.mac;
    header.src = hop.source;
    header.ethertype = if wants {
        U16::new(ethernet::VLAN)
    } else {
        ethertype
    };
    if wants {
        let Ok((tag, _)) = ethernet::Tag::mut_from_prefix(rest) else {
            return false;
        };
        *tag = ethernet::Tag::new(hop.vlan, ethertype.get());
    }
    moved
}
