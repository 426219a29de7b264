//! Packets of masqueraded servers that belong to no connection, where
//! `nat_icmp_send` has them refused.
//!
//! As at the end of `ip_vs_out_hook`: the server is told that nobody listens there, unless its
//! packet is a reset. By default they pass by as they are.

use super::View;
use super::hops::{HopFamily, ServerHops};
use super::icmp::{self, Error};
use super::lane::Verdict;
use super::{options, rewrite};
use crate::port::Buf;
use crate::reason::DropReason;
use pvs_proto::wire::{sctp, tcp};
use pvs_proto::{Meta, Protocol};
use pvs_sched::Real;

/// What becomes of a packet without a connection, if it is a server's; `None`
/// if it is not, or may pass.
#[cold]
#[inline(never)]
pub(super) fn refuse<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    meta: &Meta<F>,
    buf: &mut B,
) -> Option<Verdict> {
    let (address, port) = (meta.src.addr.into(), meta.src.port);
    let is_real = |protocol| {
        view.config
            .has_real(Real::Masquerade(protocol, address, port))
    };
    if !is_real(Some(meta.protocol)) && !is_real(None) {
        return None;
    }
    let is_reset = match meta.protocol {
        Protocol::TCP => meta.signal & tcp::RST != 0,
        Protocol::SCTP => meta.signal == sctp::chunk::ABORT,
        _ => false,
    };
    // One that is not for the director has passed a hop, or will have Linux's
    // answer to that it can't.
    let here = view.fib.is_local::<F>(meta.dst.addr);
    if is_reset || (!here && meta.ttl <= 1) {
        return None;
    }
    if options::has_any(meta) {
        let towards = view.fib.source::<F>(meta.src.addr)?;
        if let Err(verdict) = options::record(view, meta, towards, buf) {
            return Some(verdict);
        }
    }
    if !here {
        if let Err(malformed) = rewrite::hop_limit(buf, meta) {
            return Some(malformed);
        }
    }
    let dropped = DropReason::NoConnection;
    match icmp::answer(view, hops, meta, buf, Error::NoServer) {
        Some((answer, _)) => {
            view.stats.count_dropped(dropped, 1);
            Some(answer)
        }
        None => Some(Verdict::drop(dropped)),
    }
}
