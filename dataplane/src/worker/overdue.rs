//! Datagrams that are not whole in time: freed, and their sender told.
//!
//! As `ip_expire` and `nf_ct_frag6_expire` (RFC 792, RFC 1122 section 3.3.2, RFC 8200 section 4.5):
//! who sent the first piece hears that the time for reassembly has run out, be the datagram for the
//! director or for somebody behind it; if that piece is not here, nobody does. The error is about
//! that piece; IPv4's router has it behind it, unless it is for the director. Pieces that end for
//! another reason end silently.

use super::cut::{Exit, Outlet};
use super::gather::{Gathering, Overdue};
use super::hops::{HopFamily, ServerHops};
use super::icmp::{self, Error};
use super::lane::Verdict;
use super::{Lineup, Shared, State, View, rewrite};
use crate::fib::{PortIndex, Route};
use crate::port::{Buf, Port};
use crate::reason::DropReason;
use pvs_proto::Checks;

/// Ends what has waited too long.
#[inline]
pub(super) fn expire<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
) {
    if state.v4_pieces.is_due(view.now) | state.v6_pieces.is_due(view.now) {
        expire_some(view, state, ports, shared);
    }
}

#[cold]
#[inline(never)]
fn expire_some<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
) {
    let mut exit = Exit {
        view,
        ports,
        shared,
        waiting: &mut state.waiting,
    };
    end(&mut exit, &mut state.hops, &mut state.v4_pieces);
    end(&mut exit, &mut state.hops, &mut state.v6_pieces);
}

fn end<F: HopFamily, P: Port>(
    exit: &mut Exit<'_, '_, P>,
    hops: &mut ServerHops,
    gathering: &mut Gathering<F, P::Buf>,
) {
    while let Some(overdue) = gathering.take_overdue(exit.view.now) {
        let pieces = overdue.pieces.len() as u64;
        exit.view
            .stats
            .count_dropped(DropReason::FragmentTimeout, pieces);
        if let Some((port, error)) = error::<F, _>(exit.view, hops, overdue) {
            exit.leave(Outlet::Port(port), error);
        }
    }
}

/// The error about a datagram, made of its first piece, and the port that it leaves by.
fn error<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    mut overdue: Overdue<B>,
) -> Option<(PortIndex, B)> {
    if overdue.from_linux || overdue.pieces.first()?.piece.offset != 0 {
        return None;
    }
    let first = overdue.pieces.pop_at(0)?;
    let mut buf = first.buf;
    let meta = F::parse_at(buf.bytes(), first.l3, Checks { ip_good: true }).ok()?;
    // As the kernel's router has it, which is asked again for IPv4: nothing comes from here,
    // and nothing goes nowhere.
    let nowhere = F::IS_V4 && view.fib.route::<F>(meta.dst.addr) == Route::Unreachable;
    if nowhere || view.fib.is_local::<F>(meta.src.addr) {
        return None;
    }
    let mut why = Error::ReassemblyTime;
    if F::IS_V4 && !view.fib.is_local::<F>(meta.dst.addr) {
        // It has passed a hop before it is put together.
        match meta.ttl {
            0 | 1 => why = Error::TimeExceeded,
            _ => rewrite::hop_limit(&mut buf, &meta).ok()?,
        }
    }
    match icmp::answer(view, hops, &meta, &mut buf, why)? {
        (Verdict::Answer(port), _) => Some((port, buf)),
        _ => None,
    }
}
