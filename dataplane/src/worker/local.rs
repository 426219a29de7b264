//! LocalNode: a real server that is the director itself.
//!
//! Under direct routing and tunnelling Linux gets the packet as it came, and answers from the
//! virtual address. Under masquerading the packet is translated before Linux gets it, and
//! Linux's replies, which come by the injection ring like all that it sends, are translated back
//! on their way out. Linux has chosen their next hop already, and neither direction passes a hop
//! here: the time to live stays, as in `ip_vs_nat_xmit`, which leaves a packet for the local
//! stack before it counts one.

use super::datagram;
use super::decide::advance;
use super::hops::HopFamily;
use super::lane::Verdict;
use super::{State, View, related, rewrite};
use crate::port::Buf;
use crate::punt::PuntClass;
use crate::reason::DropReason;
use crate::table::{Direction, Entry, EntryIndex, Table, Tuple};
use pvs_proto::{Address, Checks, Endpoint, Family, Fragment, Meta, Parse, V4, V6, parse_link};

/// A masqueraded packet for a server of the director's own.
///
/// A loopback address is none that a packet from outside may be translated to: Linux
/// would take it for an attack.
#[cold]
pub(super) fn deliver<F: HopFamily, B: Buf>(
    entry: &Entry<F>,
    meta: &Meta<F>,
    buf: &mut B,
) -> Verdict {
    if entry.server.is_martian_source() {
        return Verdict::drop(DropReason::LoopbackServer);
    }
    let server = Endpoint {
        addr: entry.server,
        port: entry.server_port,
    };
    match rewrite::destination(buf, meta, server) {
        Ok(()) => Verdict::Punt(PuntClass::Local),
        Err(verdict) => verdict,
    }
}

/// A frame of Linux's, on its way to a port: translated if it is a reply of a server of the
/// director's own, and untouched if it is anything else. False if it is a piece of what may be a
/// reply: it is to wait for the others.
pub(super) fn translate<B: Buf>(view: &View<'_>, state: &mut State<B>, buf: &mut B) -> bool {
    let Ok((link, ethertype)) = parse_link(buf.bytes()) else {
        return true;
    };
    match ethertype {
        V4::ETHERTYPE => translate_family(view, &mut state.v4, link.l3.into(), buf),
        V6::ETHERTYPE => translate_family(view, &mut state.v6, link.l3.into(), buf),
        _ => true,
    }
}

#[inline(never)]
fn translate_family<F: HopFamily + Parse, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    l3: u16,
    buf: &mut B,
) -> bool {
    // With several workers the connection of a piece may be another one's.
    if table.is_empty() && view.steering.workers() == 1 {
        return true;
    }
    // What Linux made needs no judgement.
    let Ok(meta) = F::parse_at(buf.bytes(), l3, Checks { ip_good: true }) else {
        return true;
    };
    if !view.fib.is_local::<F>(meta.src.addr) {
        return true;
    }
    // Linux sends no error that is so long.
    let whole = meta.fragment == Fragment::None;
    if whole && meta.protocol == F::PROTOCOL && F::is_followed(meta.signal) {
        related::from_linux(view, table, &meta, buf);
        return true;
    }
    if !meta.protocol.has_ports() {
        return true;
    }
    if meta.fragment != Fragment::None {
        return datagram::verdict(view, &meta) != Verdict::Gather;
    }
    if let Some((at, Direction::Reply)) = table.lookup(&Tuple::of(&meta)) {
        reply(view, table, at, &meta, buf);
    }
    true
}

/// A reply of a server of the director's own: advanced, counted and translated.
pub(super) fn reply<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    at: EntryIndex,
    meta: &Meta<F>,
    buf: &mut B,
) {
    let Some(entry) = table.get_mut(at) else {
        return;
    };
    let old_timeout = entry.timeout;
    let listed = view.config.is_available(entry.server_index());
    advance(view, entry, meta, Direction::Reply, listed);
    let nearer = entry.timeout.0 < old_timeout.0;
    let source = Endpoint {
        addr: entry.virtual_,
        port: entry.virtual_port,
    };
    // It fails on a cut packet only, and Linux sends none.
    let _ = rewrite::source(buf, meta, source);
    if nearer {
        table.reschedule(at, view.now);
    }
}
