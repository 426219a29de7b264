//! A packet without a connection: a new one for a service, or something for Linux.
//!
//! The order is the kernel's: service, may this packet begin a connection, scheduler, entry. What
//! matches a service but may not begin a connection goes to Linux, which answers a TCP segment with RST.

use super::View;
use super::decide::{ended, established};
use super::hops::{HopFamily, ServerHops};
use super::lane::{Item, Verdict, other_owner};
use super::{icmp, related};
use crate::fib::FibFamily;
use crate::port::Buf;
use crate::punt::PuntClass;
use crate::reason::DropReason;
use crate::steering::Mode;
use crate::table::{Direction, Entry, EntryIndex, Refused, Table, Tuple};
use pvs_proto::state::Timeouts;
use pvs_proto::wire::{sctp, tcp};
use pvs_proto::{Address, Endpoint, Fragment, Meta, Protocol};
use pvs_sched::{Flow, Method, Server, Service};

/// Servers that are tried in turn when a reply tuple is taken, at most.
const COLLISION_TRIES: usize = 8;

/// The port that active FTP's data comes from: never scheduled.
const FTP_DATA: u16 = 20;

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
    let Some(service) = service(view, meta) else {
        return Verdict::Punt(class(view, meta));
    };
    if meta.src.addr.is_martian_source() || view.fib.is_local::<F>(meta.src.addr) {
        return Verdict::drop(DropReason::MartianSource);
    }
    if !begins(meta) {
        return Verdict::Punt(PuntClass::Refused);
    }
    match connect(view, table, item, service) {
        Ok(at) => established(view, table, hops, item, buf, at, Direction::Request),
        Err(DropReason::NoServer) => no_server(view, hops, meta, buf),
        Err(reason) => Verdict::drop(reason),
    }
}

/// As `ip_vs_leave`: dropped, and answered as if nobody listened on the port.
#[cold]
fn no_server<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    meta: &Meta<F>,
    buf: &mut B,
) -> Verdict {
    match icmp::answer(view, hops, meta, buf, icmp::Error::NoServer) {
        Some((answer, _)) => {
            view.stats.count_dropped(DropReason::NoServer, 1);
            answer
        }
        None => Verdict::drop(DropReason::NoServer),
    }
}

/// A piece of a datagram: lost if it is a service's, Linux's else.
#[cold]
pub(super) fn fragment<F: HopFamily>(view: &View<'_>, table: &Table<F>, item: &Item<F>) -> Verdict {
    let meta = &item.meta;
    let balanced = match meta.fragment {
        Fragment::Later => {
            view.config.serves::<F>(meta.protocol, meta.dst.addr)
                && view.fib.is_local::<F>(meta.dst.addr)
        }
        _ => service(view, meta).is_some(),
    };
    let known = table
        .lookup(&Tuple::of(meta))
        .is_some_and(|(_, direction)| {
            direction == Direction::Reply || view.fib.is_local::<F>(meta.dst.addr)
        });
    if balanced || known {
        return Verdict::drop(DropReason::Fragment);
    }
    Verdict::Punt(class(view, meta))
}

/// The service that takes the packet: by address and port, and only while the address is local.
#[inline]
fn service<'a, F: HopFamily>(view: &View<'a>, meta: &Meta<F>) -> Option<&'a Service> {
    view.config
        .lookup::<F>(meta.protocol, meta.dst.addr, meta.dst.port)
        .filter(|_| view.fib.is_local::<F>(meta.dst.addr))
}

/// May this packet begin a connection?
fn begins<F: HopFamily>(meta: &Meta<F>) -> bool {
    if meta.src.port == FTP_DATA {
        return false;
    }
    match meta.protocol {
        Protocol::TCP => meta.signal & (tcp::SYN | tcp::RST) == tcp::SYN,
        Protocol::SCTP => meta.signal == sctp::chunk::INIT,
        _ => true,
    }
}

/// Schedules a connection and enters it.
fn connect<F: HopFamily>(
    view: &View<'_>,
    table: &mut Table<F>,
    item: &Item<F>,
    service: &Service,
) -> Result<EntryIndex, DropReason> {
    let flow = Flow {
        client: item.meta.src,
        virtual_: item.meta.dst,
        now: view.now,
    };
    let picked = service
        .pick(&flow, view.loads)
        .ok_or(DropReason::NoServer)?;
    // Where another client's replies from that server would look the same, the next server will do.
    let others = service
        .servers()
        .iter()
        .filter(|s| s.index != picked.index && s.config.weight > 0);
    for server in core::iter::once(picked).chain(others.take(COLLISION_TRIES)) {
        match enter(view, table, item, service, server) {
            Ok(at) => return Ok(at),
            Err(Refused::Collision) => {}
            Err(Refused::Full) => return Err(DropReason::TableFull),
            Err(Refused::BucketFull) => return Err(DropReason::BucketFull),
        }
    }
    Err(DropReason::ReplyCollision)
}

fn enter<F: HopFamily>(
    view: &View<'_>,
    table: &mut Table<F>,
    item: &Item<F>,
    service: &Service,
    server: &Server,
) -> Result<EntryIndex, Refused> {
    let method = server.config.method;
    let addr = match F::addr(server.config.key.address) {
        Some(addr) => addr,
        // A tunnel may lead to a server of the other family, whose name is in the snapshot alone.
        None if method == Method::Tunnel => F::Addr::default(),
        None => return Err(Refused::Collision),
    };
    let to = Endpoint {
        addr,
        port: server.config.key.port,
    };
    let entry = Entry::new(
        &Tuple::of(&item.meta),
        to,
        method,
        server.index,
        service.index,
        Timeouts::NEW,
    );
    let at = match table.insert(entry, view.now) {
        Err(Refused::Full) => {
            let (class, evicted) = table.evict(view.now).ok_or(Refused::Full)?;
            ended(view, &evicted);
            view.stats.count_evicted(class);
            table.insert(entry, view.now)?
        }
        other => other?,
    };
    if let Some(cell) = view.cells.get(server.index) {
        cell.open(false);
        cell.count_connection();
    }
    Ok(at)
}

/// BGP (RFC 4271), and BFD: control and echo on a link, control over several hops (RFC 5881, RFC 5883).
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
        OSPF | IGMP => PuntClass::Control,
        Protocol::TCP if meta.src.port == BGP || meta.dst.port == BGP => PuntClass::Session,
        Protocol::UDP if meta.dst.port == BFD_MULTIHOP => PuntClass::Session,
        _ => PuntClass::Local,
    }
}
