//! Packets that wait for the hardware address of their next hop: few, and not for long.
//!
//! A packet comes here rewritten but for its link layer. Linux is asked to resolve the
//! neighbour; when a new version of the forwarding information arrives, all waiting packets are
//! tried again. A neighbour has a share of the room, and in a full one a newcomer takes the
//! place of who has waited longest: neighbours that are there answer within milliseconds, so a
//! flood to others keeps nobody out.

use super::cut::{self, Exit, Outlet};
use super::hops::ServerHops;
use super::pieces::Complete;
use super::plan::{Cut, Place6};
use super::rewrite;
use super::{Lineup, Shared, State, View, dispatch};
use crate::fib::{Hop, InterfaceIndex, Route};
use crate::port::{Buf, Port};
use crate::reason::DropReason;
use arrayvec::ArrayVec;
use pvs_proto::wire::{ethernet, ipv4};
use pvs_proto::{Addr4, Addr6, Ticks, V4, V6};
use std::net::IpAddr;
use zerocopy::FromBytes;

/// Packets that wait at most, in one worker.
const WAITING_MAX: usize = 256;

/// Packets that wait for one neighbour at most.
const PER_NEIGHBOUR_MAX: usize = 32;

/// How long a packet waits: the kernel gives a neighbour three probes of a second each.
const PATIENCE: Ticks = Ticks::from_secs(3);

/// A neighbour that a worker wants resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResolveRequest {
    /// The interface that it is on.
    pub interface: InterfaceIndex,
    /// Its address.
    pub address: IpAddr,
}

struct Waiting<B> {
    buf: B,
    wants: ResolveRequest,
    /// Longest packet that its way takes, as it was judged by. One that is longer may be cut.
    mtu: u16,
    until: Ticks,
    asked: bool,
}

/// The packets that wait, in the order in which they came.
pub(super) struct WaitingRoom<B> {
    packets: ArrayVec<Waiting<B>, WAITING_MAX>,
    /// The version of the forwarding information under which they were last tried.
    seen: u32,
    /// Linux was not asked for all of them yet.
    unasked: bool,
    /// When the first of them has waited long enough.
    first_due: Ticks,
}

impl<B> WaitingRoom<B> {
    pub(super) fn new() -> Self {
        Self {
            packets: ArrayVec::new(),
            seen: 0,
            unasked: false,
            first_due: Ticks(0),
        }
    }

    /// Lets a packet wait; false if a packet was freed for want of room: this one, if its neighbour
    /// has used up its share, else the one that has waited longest.
    #[cold]
    pub(super) fn enter(
        &mut self,
        buf: B,
        (wants, mtu): (ResolveRequest, u16),
        now: Ticks,
    ) -> bool {
        let share = self.packets.iter().filter(|p| p.wants == wants).count();
        if share >= PER_NEIGHBOUR_MAX {
            return false;
        }
        let gave_way = self.packets.is_full() && self.packets.pop_at(0).is_some();
        let until = now.after(PATIENCE);
        self.first_due = self.packets.first().map_or(until, |first| first.until);
        let waiting = Waiting {
            buf,
            wants,
            mtu,
            until,
            asked: false,
        };
        let entered = self.packets.try_push(waiting).is_ok();
        self.unasked |= entered;
        entered && !gave_way
    }
}

/// Asks for what is wanted, sends what is resolved, frees what has waited too long.
#[inline]
pub(super) fn serve<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
) -> usize {
    let room = &mut state.waiting;
    let news = room.seen != view.fib.version;
    room.seen = view.fib.version;
    if room.packets.is_empty() || !(news || room.unasked || room.first_due.is_due(view.now)) {
        return 0;
    }
    serve_waiting(
        view,
        &mut state.hops,
        &mut state.waiting,
        ports,
        shared,
        news,
    )
}

#[cold]
fn serve_waiting<P: Port>(
    view: &View<'_>,
    hops: &mut ServerHops,
    room: &mut WaitingRoom<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
    news: bool,
) -> usize {
    let mut moved = 0;
    let packets = core::mem::take(&mut room.packets);
    room.unasked = false;
    for mut packet in packets {
        let lost = match news.then(|| route(view, packet.wants)) {
            Some(Route::Hop(index)) => {
                let Some(hop) = view.fib.hop(index) else {
                    view.stats.count_dropped(DropReason::HostUnreachable, 1);
                    continue;
                };
                match leave(&mut packet.buf, hop, packet.mtu) {
                    Ok(true) => {
                        dispatch::send(view, ports, &shared.handover, hop.port, packet.buf);
                        moved += 1;
                        continue;
                    }
                    Ok(false) => {
                        let mut exit = Exit {
                            view,
                            ports,
                            shared,
                            waiting: room,
                        };
                        let cut = Cut {
                            longest: hop.mtu.min(packet.mtu.into()),
                            always: false,
                            keeps: false,
                            place6: Place6::plain(hops.identification().into()),
                        };
                        let outlet = Outlet::Port(hop.port);
                        cut::send(&mut exit, outlet, packet.buf, Complete::new(), &cut);
                        moved += 1;
                        continue;
                    }
                    Err(reason) => Some(reason),
                }
            }
            None | Some(Route::Unresolved(..)) => packet
                .until
                .is_due(view.now)
                .then_some(DropReason::NeighbourTimeout),
            Some(_) => Some(DropReason::HostUnreachable),
        };
        if let Some(reason) = lost {
            view.stats.count_dropped(reason, 1);
            continue;
        }
        if !packet.asked {
            packet.asked = view.resolve.push(packet.wants).is_ok();
            room.unasked |= !packet.asked;
        }
        if room.packets.is_empty() {
            room.first_due = packet.until;
        }
        // There is room: as many as there were.
        let _ = room.packets.try_push(packet);
    }
    moved
}

/// Readies a packet for the next hop that it waited for; false if it is to be cut: one that was
/// judged to be when it came here, or that is of IPv4 without DF.
fn leave<B: Buf>(buf: &mut B, hop: &Hop, judged_by: u16) -> Result<bool, DropReason> {
    let Ok((link, packet)) = ethernet::Header::ref_from_prefix(buf.bytes()) else {
        return Err(DropReason::NoHeadroom);
    };
    let tag = match link.ethertype.get() {
        ethernet::VLAN => ethernet::Tag::LEN,
        _ => 0,
    };
    let packet = packet.get(tag..).unwrap_or_default();
    let judged_by = usize::from(judged_by);
    let fits = packet.len() <= judged_by.min(hop.mtu as usize);
    if !fits && packet.len() <= judged_by && !is_without_df(packet) {
        return Err(DropReason::TooBig);
    }
    if rewrite::link(buf, hop) {
        Ok(fits)
    } else {
        Err(DropReason::NoHeadroom)
    }
}

fn is_without_df(packet: &[u8]) -> bool {
    ipv4::Header::ref_from_prefix(packet).is_ok_and(|(header, _)| {
        header.version() == ipv4::VERSION && header.fragment.get() & ipv4::DONT_FRAGMENT == 0
    })
}

/// What is known of the neighbour now.
fn route(view: &View<'_>, wants: ResolveRequest) -> Route<()> {
    fn plain<A>(route: Route<A>) -> Route<()> {
        match route {
            Route::Hop(index) => Route::Hop(index),
            Route::Unresolved(interface, _) => Route::Unresolved(interface, ()),
            _ => Route::Unreachable,
        }
    }
    match wants.address {
        IpAddr::V4(a) => plain(view.fib.neighbour::<V4>(wants.interface, Addr4::from(a))),
        IpAddr::V6(a) => plain(view.fib.neighbour::<V6>(wants.interface, Addr6::from(a))),
    }
}
