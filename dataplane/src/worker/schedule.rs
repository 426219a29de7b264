//! A packet without a connection: a new one for a service, or something for Linux.
//!
//! The order is the kernel's: service, may this packet begin a connection, scheduler,
//! entry. What matches a service but may not begin a connection goes to Linux, which
//! answers a TCP segment with RST.

use super::View;
use super::connect::{Failed, connect};
use super::hops::{HopFamily, ServerHops};
use super::lane::{Item, Verdict, other_owner};
use super::{icmp, marks, outgoing, related, unclaimed};
use crate::fib::FibFamily;
use crate::port::Buf;
use crate::punt::PuntClass;
use crate::reason::DropReason;
use crate::steering::Mode;
use crate::table::Table;
use pvs_proto::wire::{sctp, tcp};
use pvs_proto::{Address, Meta, Protocol};
use pvs_sched::snapshot::{FTP, FTP_DATA};
use pvs_sched::{AddressFamily, Service};

/// What becomes of a packet that no connection is known for.
pub(super) fn miss<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    hops: &mut ServerHops,
    item: &Item<F>,
    buf: &mut B,
) -> Verdict {
    let meta = &item.meta;
    if !meta.protocol.has_ports() {
        return related::decide(view, table, hops, item, buf);
    }
    // In the mode `nic` only here: what the NIC has brought to the right worker is in its table.
    if view.steering.mode() == Mode::Nic {
        if let Some(owner) = other_owner(view, meta) {
            return Verdict::HandOver(owner);
        }
    }
    if view.config.has_callers() {
        if let Some(verdict) = outgoing::begin(view, table, hops, item, buf) {
            return verdict;
        }
    }
    if view.config.tunables.nat_icmp_send != 0 {
        if let Some(verdict) = unclaimed::refuse(view, hops, meta, buf) {
            return verdict;
        }
    }
    let Some(service) = service(view, meta, buf) else {
        return Verdict::Punt(class(view, meta));
    };
    if meta.src.addr.is_martian_source() || view.fib.is_local::<F>(meta.src.addr) {
        return Verdict::drop(DropReason::MartianSource);
    }
    if !begins(view, meta) {
        return Verdict::Punt(PuntClass::Refused);
    }
    if view.defence.drops_packet() {
        return Verdict::drop(DropReason::Defence);
    }
    // Data of active FTP comes from a server, or belongs to one.
    if meta.src.port == FTP_DATA {
        return Verdict::Punt(PuntClass::Refused);
    }
    let own_port = service.config.key.port();
    let is_others = own_port != 0 && own_port != meta.dst.port;
    if is_others && service.config.persistence.is_none() {
        return leave(view, hops, meta, buf, service);
    }
    match connect(view, table, hops, item, buf, service) {
        Ok(verdict) => verdict,
        Err(Failed::NoServer) => leave(view, hops, meta, buf, service),
        Err(Failed::Dropped(reason)) => Verdict::drop(reason),
    }
}

/// No server takes it: dropped, and answered as if nobody listened on the port. What a service of
/// FTP gets for its data connections may be another program's (`ip_vs_leave`).
#[cold]
fn leave<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    meta: &Meta<F>,
    buf: &mut B,
    service: &Service,
) -> Verdict {
    if service.config.key.port() == FTP && meta.dst.port != FTP {
        return Verdict::Punt(class(view, meta));
    }
    match icmp::answer(view, hops, meta, buf, icmp::Error::NoServer) {
        Some((answer, _)) => {
            view.stats.count_dropped(DropReason::NoServer, 1);
            answer
        }
        None => Verdict::drop(DropReason::NoServer),
    }
}

/// The service that takes the packet: by its mark, or by address and port; and only
/// while the address is local.
#[inline]
pub(super) fn service<'a, F: HopFamily, B: Buf>(
    view: &View<'a>,
    meta: &Meta<F>,
    buf: &B,
) -> Option<&'a Service> {
    let marked = view.config.has_marked().then(|| {
        let family = match F::IS_V4 {
            true => AddressFamily::Ipv4,
            false => AddressFamily::Ipv6,
        };
        view.config.marked(marks::mark(view, meta, buf), family)
    });
    marked
        .flatten()
        .or_else(|| {
            view.config
                .serving::<F>(meta.protocol, meta.dst.addr, meta.dst.port)
        })
        .filter(|_| view.fib.is_local::<F>(meta.dst.addr))
}

/// A packet without a connection that a service takes.
pub(super) fn would_begin<F: HopFamily, B: Buf>(view: &View<'_>, meta: &Meta<F>, buf: &B) -> bool {
    meta.protocol.has_ports() && service(view, meta, buf).is_some() && begins(view, meta)
}

/// May this packet begin a connection? The kernel takes every segment with SYN but
/// resets, also answers to a SYN and those that say FIN as well, which no sound client
/// sends (RFC 9293 section 3.10.7.2).
fn begins<F: HopFamily>(view: &View<'_>, meta: &Meta<F>) -> bool {
    const LONE: u8 = tcp::SYN | tcp::ACK | tcp::FIN | tcp::RST;
    let tunables = &view.config.tunables;
    match meta.protocol {
        Protocol::TCP if tunables.sloppy_tcp != 0 => meta.signal & tcp::RST == 0,
        Protocol::TCP if tunables.strict_compat != 0 => {
            meta.signal & (tcp::SYN | tcp::RST) == tcp::SYN
        }
        Protocol::TCP => meta.signal & LONE == tcp::SYN,
        Protocol::SCTP if tunables.sloppy_sctp != 0 => meta.signal != sctp::chunk::ABORT,
        Protocol::SCTP => meta.signal == sctp::chunk::INIT,
        _ => true,
    }
}

/// BGP (RFC 4271), and BFD: control and echo on a link, control over several
/// hops (RFC 5881, RFC 5883).
const BGP: u16 = 179;
const BFD: [u16; 2] = [3784, 3785];
const BFD_MULTIHOP: u16 = 4784;
const IGMP: Protocol = Protocol(2);
const OSPF: Protocol = Protocol(89);

/// Router and neighbour discovery (RFC 4861).
const DISCOVERY: core::ops::RangeInclusive<u8> = 133..=137;

/// What no router has passed on: the generalized TTL security mechanism (RFC 5082).
const FROM_THE_LINK: u8 = 255;

/// Which way a packet that is not balanced goes to Linux.
pub(super) fn class<F: FibFamily>(view: &View<'_>, meta: &Meta<F>) -> PuntClass {
    if !meta.dst.addr.is_multicast() && !view.fib.is_local::<F>(meta.dst.addr) {
        return PuntClass::Forwarded;
    }
    let near = meta.ttl == FROM_THE_LINK;
    match meta.protocol {
        Protocol::ICMPV6 if near && DISCOVERY.contains(&meta.signal) => PuntClass::Neighbour,
        Protocol::VRRP if near => PuntClass::Control,
        Protocol::UDP if near && BFD.contains(&meta.dst.port) => PuntClass::Control,
        // To a group: no router passes such a frame on to a director that asked for none.
        OSPF | IGMP if meta.dst.addr.is_multicast() => PuntClass::Control,
        OSPF => PuntClass::Session,
        Protocol::TCP if meta.src.port == BGP || meta.dst.port == BGP => PuntClass::Session,
        Protocol::UDP if meta.dst.port == BFD_MULTIHOP => PuntClass::Session,
        _ => PuntClass::Local,
    }
}
