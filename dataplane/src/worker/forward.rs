//! The way out: a packet of a known connection goes to its server or to its client.
//!
//! In the kernel's order (`ip_vs_xmit.c`): route, time to live, size, rewrite. A packet whose next
//! hop is not resolved waits with all of it done but the link layer. One that can't go on is
//! counted, and its sender told.

use super::View;
use super::hops::{self, HopFamily, ServerHops, Way};
use super::icmp::{self, Error};
use super::lane::Verdict;
use super::local;
use super::rewrite;
use super::tunnel::{self, Entrance};
use crate::port::Buf;
use crate::punt::PuntClass;
use crate::reason::{DropReason, Loss};
use crate::table::{Direction, Entry, Flags};
use pvs_proto::{Endpoint, Meta};
use pvs_sched::Method;

/// A request, on its way to the connection's server. Part of its callers, as what it calls is: as
/// functions they cost a fourteenth of the instructions that a packet takes.
#[inline(always)]
pub(super) fn to_server<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    entry: &Entry<F>,
    meta: &Meta<F>,
    buf: &mut B,
) -> Verdict {
    let method = entry.flags.method();
    if method == Method::Tunnel {
        return into_tunnel(view, hops, entry, meta, buf);
    }
    let way = hops.towards::<F>(view, entry.server_index(), entry.server);
    if way == Err(Verdict::Punt(PuntClass::Local)) && entry.has_reply() {
        return local::deliver(entry, meta, buf);
    }
    if let Err(stop) = judge(&way, path_mtu(&way), meta) {
        return refuse(view, hops, entry, Direction::Request, meta, buf, stop);
    }
    pass_to_server(way, method, entry, meta, buf)
}

/// The same in a packet that fits, or will be cut. Each of its two callers has a copy of its own.
#[inline(always)]
fn pass_to_server<F: HopFamily, B: Buf>(
    way: Way<'_>,
    method: Method,
    entry: &Entry<F>,
    meta: &Meta<F>,
    buf: &mut B,
) -> Verdict {
    if let Err(verdict) = rewrite::hop_limit(buf, meta) {
        return verdict;
    }
    if method == Method::Masquerade {
        let server = Endpoint {
            addr: entry.server,
            port: entry.server_port,
        };
        if let Err(verdict) = rewrite::destination(buf, meta, server) {
            return verdict;
        }
    }
    leave(way, buf)
}

/// Its own function, so that it takes no registers from the other methods.
#[inline(never)]
pub(super) fn into_tunnel<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    entry: &Entry<F>,
    meta: &Meta<F>,
    buf: &mut B,
) -> Verdict {
    let Entrance { tunnel, way, mtu } = hops.tunnels.towards(view, entry.server_index());
    let room = tunnel.room(mtu).unwrap_or(0);
    if let Err(stop) = judge(&way, room, meta) {
        return refuse(view, hops, entry, Direction::Request, meta, buf, stop);
    }
    pass(way, meta, buf, |buf| {
        tunnel::wrap(view, hops, &tunnel, meta, buf)
    })
}

/// A reply, on its way to the connection's client; `judge` has passed it.
#[inline]
pub(super) fn to_client<F: HopFamily, B: Buf>(
    way: Way<'_>,
    entry: &Entry<F>,
    meta: &Meta<F>,
    buf: &mut B,
) -> Verdict {
    let source = Endpoint {
        addr: entry.virtual_,
        port: entry.virtual_port,
    };
    if let Err(verdict) = rewrite::hop_limit(buf, meta) {
        return verdict;
    }
    if let Err(verdict) = rewrite::source(buf, meta, source) {
        return verdict;
    }
    leave(way, buf)
}

/// Longest packet that a way takes, whether its next hop is resolved or not.
#[inline]
pub(super) fn path_mtu(way: &Way<'_>) -> u32 {
    match way {
        Ok(hop) => hop.mtu,
        Err(Verdict::Wait(_, mtu)) => u32::from(*mtu),
        Err(_) => u32::MAX,
    }
}

/// Longest packet that gets into a tunnel, however it is cut outside: the outer packet has a length
/// of 16 bits too, and its headers take 64 bytes at most.
const TUNNELLED_MAX: u32 = u16::MAX as u32 - 64;

/// A packet that can't take its way.
#[derive(Clone, Copy)]
pub(super) struct Stop {
    verdict: Verdict,
    /// What would have fitted.
    mtu: u32,
}

impl Stop {
    /// The packet is only too long, and may be cut, as `ensure_mtu_is_adequate` has it: one of IPv4
    /// without DF, or into a tunnel with `pmtu_disc` 0; one of IPv6 if it came in pieces that fit.
    /// A tunnel that nothing fits into is none.
    #[cold]
    pub(super) fn passes_in_pieces<F: HopFamily>(
        &self,
        view: &View<'_>,
        entry: &Entry<F>,
        direction: Direction,
        meta: &Meta<F>,
    ) -> bool {
        if self.verdict != Verdict::drop(DropReason::TooBig) || self.mtu == 0 {
            return false;
        }
        let tunnel = direction == Direction::Request && entry.flags.method() == Method::Tunnel;
        if tunnel && meta.ip_len > TUNNELLED_MAX {
            return false;
        }
        if F::IS_V4 {
            return !meta.dont_fragment || (tunnel && view.config.tunables.pmtu_disc == 0);
        }
        let largest = view.gathered.largest;
        largest > 0 && largest <= self.mtu
    }

    /// What becomes of it, if nobody is to be told.
    pub(super) const fn verdict(self) -> Verdict {
        self.verdict
    }
}

/// What keeps a packet from this way, if anything does.
#[inline]
pub(super) fn judge<F: HopFamily>(way: &Way<'_>, mtu: u32, meta: &Meta<F>) -> Result<(), Stop> {
    let verdict = match way {
        Err(verdict @ (Verdict::Lose(_) | Verdict::Punt(_))) => *verdict,
        _ if meta.ttl <= 1 => Verdict::drop(DropReason::TtlExceeded),
        _ if meta.ip_len > mtu => Verdict::drop(DropReason::TooBig),
        _ => return Ok(()),
    };
    Err(Stop { verdict, mtu })
}

/// What every forwarded packet goes through, whatever is rewritten in it. What passes most often
/// says so itself, and saves the call.
#[inline]
pub(super) fn pass<F: HopFamily, B: Buf>(
    way: Way<'_>,
    meta: &Meta<F>,
    buf: &mut B,
    translate: impl FnOnce(&mut B) -> Result<(), Verdict>,
) -> Verdict {
    if let Err(verdict) = rewrite::hop_limit(buf, meta).and_then(|()| translate(buf)) {
        return verdict;
    }
    leave(way, buf)
}

/// By its way, once it is rewritten.
#[inline(always)]
fn leave<B: Buf>(way: Way<'_>, buf: &mut B) -> Verdict {
    match way {
        Ok(hop) if rewrite::link(buf, hop) => Verdict::Send(hop.port),
        Ok(_) => Verdict::drop(DropReason::NoHeadroom),
        Err(other) => other,
    }
}

/// What becomes of a packet that was judged so: its sender is told, where
/// there is something to tell.
///
/// A client's packet has passed a hop before its size is looked at, a server's has
/// not. Errors to the client of a connection without replies count as such: the kernel
/// takes them for its server's.
#[cold]
#[inline(never)]
pub(super) fn refuse<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    entry: &Entry<F>,
    direction: Direction,
    meta: &Meta<F>,
    buf: &mut B,
    stop: Stop,
) -> Verdict {
    let Stop { verdict, mtu } = stop;
    let Verdict::Lose(Loss::Dropped(reason)) = verdict else {
        return verdict;
    };
    let request = direction == Direction::Request;
    if stop.passes_in_pieces(view, entry, direction, meta) {
        return in_pieces(view, hops, entry, direction, meta, buf);
    }
    let error = match reason {
        DropReason::HostUnreachable | DropReason::NoPort | DropReason::NoSource => {
            Error::Unreachable
        }
        DropReason::TtlExceeded => Error::TimeExceeded,
        // A tunnel that nothing fits into is none.
        DropReason::TooBig if mtu > 0 => Error::TooBig(mtu),
        _ => return verdict,
    };
    if request && matches!(error, Error::TooBig(_)) {
        if let Err(malformed) = rewrite::hop_limit(buf, meta) {
            return malformed;
        }
    }
    let Some((answer, len)) = icmp::answer(view, hops, meta, buf, error) else {
        return verdict;
    };
    view.stats.count_dropped(reason, 1);
    // A connection of one packet is in no table where the kernel would find whose error it is.
    if request && !entry.has_reply() && !entry.flags.has(Flags::ONE_PACKET) {
        if let Some(cell) = view.cells.get(entry.server_index()) {
            cell.count_out(len);
        }
    }
    answer
}

/// Readies a packet that is longer than its way, to be cut by who lets it go. The waiting
/// room cuts what leaves it.
fn in_pieces<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    entry: &Entry<F>,
    direction: Direction,
    meta: &Meta<F>,
    buf: &mut B,
) -> Verdict {
    let (method, server) = (entry.flags.method(), entry.server_index());
    let way;
    let mtu;
    let verdict = match (direction, method) {
        (Direction::Request, Method::Tunnel) => {
            let entrance = hops.tunnels.towards(view, server);
            (way, mtu) = (entrance.way, entrance.mtu);
            pass(way, meta, buf, |buf| {
                tunnel::wrap(view, hops, &entrance.tunnel, meta, buf)
            })
        }
        (Direction::Request, _) => {
            way = hops.towards::<F>(view, server, entry.server);
            mtu = path_mtu(&way);
            pass_to_server(way, method, entry, meta, buf)
        }
        (Direction::Reply, _) => {
            way = hops::route::<F>(view, entry.client).map(|(_, hop)| hop);
            mtu = path_mtu(&way);
            to_client(way, entry, meta, buf)
        }
    };
    cut(verdict, mtu)
}

/// The same for a packet that is longer than what its way takes, and may be cut.
pub(super) fn cut(verdict: Verdict, mtu: u32) -> Verdict {
    match verdict {
        Verdict::Send(port) => Verdict::Cut(port, u16::try_from(mtu).unwrap_or(u16::MAX)),
        other => other,
    }
}
