//! ICMP errors about packets in tunnels: told to the client whose packet was within.
//!
//! Routers on the way to a server answer the director, which sent the outer packet. As the tunnel
//! part of `ip_vs_in_icmp`: the error becomes one about the packet within, from the virtual
//! address to the client, if the quote goes far enough; and the path MTU that it may tell is
//! remembered for the server's address. It counts twice, as a packet of the length that was
//! quoted, and as the error that is sent.

use super::View;
use super::hops::{HopFamily, ServerHops};
use super::icmp::{self, Error};
use super::lane::Verdict;
use super::quote::{Related, other_owner};
use super::related::count;
use crate::port::Buf;
use crate::reason::DropReason;
use crate::table::{Direction, Table, Tuple};
use pvs_proto::Meta;
use pvs_proto::wire::{ethernet, icmp as wire, ipv4};
use zerocopy::FromBytes;

/// What becomes of an error that quotes `inner` within a packet of a tunnel. `None` if no
/// connection is known for that: it is Linux's.
pub(super) fn decide<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &Table<F>,
    hops: &mut ServerHops,
    error: &Related<'_, F>,
    inner: &Meta<F>,
    buf: &mut B,
) -> Option<Verdict> {
    if let Some(owner) = other_owner(view, inner) {
        return Some(Verdict::HandOver(owner));
    }
    let (at, Direction::Request) = table.lookup(&Tuple::of(inner))? else {
        return None;
    };
    let entry = table.get(at)?;
    if !error.is_right(view, buf.bytes()) {
        return Some(Verdict::drop(DropReason::IcmpChecksum));
    }
    let untold = Verdict::drop(DropReason::TunnelError);
    let Some(header) = header(buf.bytes(), error.meta) else {
        return Some(untold);
    };
    let told = match (header.kind, header.code) {
        (wire::UNREACHABLE, wire::FRAGMENTATION_NEEDED) => {
            let (mtu, far) = (header.rest.get() & 0xffff, error.quote.dst.addr);
            let path = hops.tunnels.tell::<F>(view, entry.server_index(), far, mtu);
            if !inner.dont_fragment {
                return Some(untold);
            }
            Error::TooBig(room(path, inner.l3.saturating_sub(error.quote.l3)))
        }
        (kind, code) => Error::Told(kind, code, header.rest.get()),
    };
    let Some(inner) = strip(error.meta, inner, buf) else {
        return Some(untold);
    };
    count(view, entry, Direction::Reply, inner.ip_len);
    let Some((verdict, len)) = icmp::answer(view, hops, &inner, buf, told) else {
        return Some(untold);
    };
    // The director's own error passes its hook for replies, which knows connections without any.
    if !entry.has_reply() {
        count(view, entry, Direction::Reply, len);
    }
    Some(verdict)
}

fn header<F: HopFamily>(frame: &[u8], meta: &Meta<F>) -> Option<wire::Header> {
    let (header, _) = wire::Header::read_from_prefix(frame.get(meta.l4.into()..)?).ok()?;
    Some(header)
}

/// What is left of a path MTU for a packet in a tunnel with this much before it. One that would
/// leave less than any host must take (RFC 791) is told as it is.
fn room(mtu: u32, before: u16) -> u32 {
    const LEAST: u32 = 68;
    let before = u32::from(before).max(ipv4::Header::LEN as u32);
    match mtu.checked_sub(before) {
        Some(left) if left > LEAST => left,
        _ => mtu,
    }
}

/// Cuts off all that is before and behind the packet within, of which the quote may
/// have the beginning only.
fn strip<F: HopFamily, B: Buf>(meta: &Meta<F>, inner: &Meta<F>, buf: &mut B) -> Option<Meta<F>> {
    let link = ethernet::Header::LEN as u16;
    let end = usize::from(meta.l3).checked_add(meta.ip_len as usize)?;
    let before = inner.l3.checked_sub(link)?;
    buf.truncate(end);
    buf.trim_front(before.into()).then_some(())?;
    Some(Meta {
        l3: link,
        l4: inner.l4.checked_sub(before)?,
        ip_len: end.checked_sub(inner.l3.into())? as u32,
        ..*inner
    })
}
