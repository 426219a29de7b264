//! Packets that wait for the hardware address of their next hop: few, and not for long.
//!
//! A packet comes here rewritten but for its link layer. Linux is asked to resolve the neighbour; when
//! a new version of the forwarding information arrives, all waiting packets are tried again.

use super::rewrite;
use super::{Lineup, State, View, dispatch};
use crate::fib::{InterfaceIndex, Route};
use crate::port::Port;
use crate::reason::DropReason;
use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
use pvs_proto::{Addr4, Addr6, Ticks, V4, V6};
use std::net::IpAddr;

/// Packets that wait at most, in one worker.
const WAITING_MAX: usize = 256;

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
    until: Ticks,
    asked: bool,
}

/// The packets that wait.
pub(super) struct WaitingRoom<B> {
    packets: ArrayVec<Waiting<B>, WAITING_MAX>,
    seen: u32,
}

impl<B> WaitingRoom<B> {
    pub(super) fn new() -> Self {
        Self {
            packets: ArrayVec::new(),
            seen: 0,
        }
    }

    /// Lets a packet wait; false if the room is full and the packet was freed.
    pub(super) fn enter(
        &mut self,
        buf: B,
        interface: InterfaceIndex,
        address: IpAddr,
        now: Ticks,
    ) -> bool {
        let wants = ResolveRequest { interface, address };
        let until = now.after(PATIENCE);
        self.packets
            .try_push(Waiting {
                buf,
                wants,
                until,
                asked: false,
            })
            .is_ok()
    }
}

/// Asks for what is wanted, sends what is resolved, frees what has waited too long.
#[inline]
pub(super) fn serve<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    resolve: &ArrayQueue<ResolveRequest>,
) -> usize {
    let room = &mut state.waiting;
    if room.packets.is_empty() {
        room.seen = view.fib.version;
        return 0;
    }
    let news = room.seen != view.fib.version;
    room.seen = view.fib.version;
    serve_waiting(view, state, ports, resolve, news)
}

#[cold]
fn serve_waiting<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    resolve: &ArrayQueue<ResolveRequest>,
    news: bool,
) -> usize {
    let mut moved = 0;
    let packets = core::mem::take(&mut state.waiting.packets);
    for mut packet in packets {
        if !packet.asked {
            packet.asked = resolve.push(packet.wants).is_ok();
        }
        if news {
            match route(view, packet.wants) {
                Route::Hop(index) => {
                    if let Some(hop) = view.fib.hop(index) {
                        if rewrite::link(&mut packet.buf, hop) {
                            dispatch::send(view, ports, hop.port, packet.buf);
                            moved += 1;
                            continue;
                        }
                    }
                }
                Route::Unresolved(..) => {}
                _ => {
                    view.stats.count_dropped(DropReason::HostUnreachable, 1);
                    continue;
                }
            }
        }
        if packet.until.is_due(view.now) {
            view.stats.count_dropped(DropReason::NeighbourTimeout, 1);
            continue;
        }
        // There is room: as many as there were.
        let _ = state.waiting.packets.try_push(packet);
    }
    moved
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
