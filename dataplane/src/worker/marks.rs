//! What the mark rules say of a packet.

use super::View;
use super::hops::HopFamily;
use crate::port::Buf;
use pvs_proto::{Meta, parse_link};
use pvs_sched::marks::{Judged, Judgement};

/// Asks the rules.
#[cold]
#[inline(never)]
pub(super) fn judge<F: HopFamily, B: Buf>(view: &View<'_>, meta: &Meta<F>, buf: &B) -> Judgement {
    let link = parse_link(buf.bytes());
    let interface = link
        .ok()
        .and_then(|(link, _)| view.fib.interface(view.port, link.vlan))
        .map_or("", |(index, _)| view.fib.name(index));
    view.config.marks.judge(&Judged {
        protocol: meta.protocol,
        source: (meta.src.addr, meta.src.port),
        destination: (meta.dst.addr, meta.dst.port),
        interface,
    })
}

/// The packet's mark; 0 is none. Only asked for where there is a service of a mark.
pub(super) fn mark<F: HopFamily, B: Buf>(view: &View<'_>, meta: &Meta<F>, buf: &B) -> u32 {
    match judge(view, meta, buf) {
        Judgement::Mark(mark) => mark,
        Judgement::Drop => 0,
    }
}
